/* SPDX-License-Identifier: MIT */
/*
 * Lists that the daemon sends as columns separated by tabs: a line of names, a line a row, and a
 * last line "# next CURSOR", without which something was cut off. A row lives until the next one;
 * so a million of them take no more memory than one.
 */
#ifndef MR_CLI_ROWS_H
#define MR_CLI_ROWS_H

#include <stdbool.h>
#include <stddef.h>

enum {
	MR_ROWS_COLUMNS = 64,
	MR_ROWS_LINE = 65536, /* longest line */
};

/* The reader; zeroed but for the functions and @arg. */
struct mr_rows {
	void (*names_known)(void *arg); /* or NULL; before the first row */
	void (*row)(struct mr_rows *r, void *arg);
	void *arg;
	size_t n;  /* rows so far */
	bool more; /* the list goes on behind its limit */
	bool ended, wrong;
	/* names of the columns, and the row in hand */
	int n_columns;
	int next_column; /* where the next look-up begins: most go in order */
	char *name[MR_ROWS_COLUMNS];
	char *cell[MR_ROWS_COLUMNS];
	char names_text[4096];
	size_t len; /* of a line that is not complete yet */
	char line[MR_ROWS_LINE];
};

/** mr_rows_take() - the next bytes; fit for mr_client_sink.take */
bool mr_rows_take(void *rows, const char *data, size_t len);

/** mr_rows_cell() - a column of the row in hand by its name: "-" if there is none */
const char *mr_rows_cell(struct mr_rows *r, const char *name);

/** mr_rows_column() - the number of a column, or -1 */
int mr_rows_column(struct mr_rows *r, const char *name);

#endif
