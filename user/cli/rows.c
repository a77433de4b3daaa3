/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "user/cli/rows.h"

/* @text at its tabs; characters that would do something to a terminal become "?". */
static int split(char *text, size_t len, char *part[MR_ROWS_COLUMNS])
{
	int n = 0;

	part[n++] = text;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\t') {
			text[i] = '\0';
			if (n < MR_ROWS_COLUMNS)
				part[n++] = text + i + 1;
		} else if (c < ' ' || c >= 0x7f) {
			text[i] = '?';
		}
	}
	text[len] = '\0';
	return n;
}

static bool take_names(struct mr_rows *r, const char *line, size_t len)
{
	if (len >= sizeof(r->names_text))
		return false;
	memcpy(r->names_text, line, len);
	r->n_columns = split(r->names_text, len, r->name);
	if (r->names_known)
		r->names_known(r->arg);
	return true;
}

static bool take_line(struct mr_rows *r, size_t len)
{
	static const char next[] = "# next ";

	if (r->ended)
		return false;
	if (!r->n_columns)
		return take_names(r, r->line, len);
	if (len >= sizeof(next) - 1 && !memcmp(r->line, next, sizeof(next) - 1)) {
		r->ended = true;
		r->more = len != sizeof(next) + 3 ||
			  memcmp(r->line + sizeof(next) - 1, "null", 4) != 0;
		return true;
	}
	if (split(r->line, len, r->cell) != r->n_columns)
		return false;
	r->n++;
	r->row(r, r->arg);
	return true;
}

bool mr_rows_take(void *rows, const char *data, size_t len)
{
	struct mr_rows *r = rows;

	while (len) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		if (n >= sizeof(r->line) - r->len) {
			r->wrong = true;
			return false;
		}
		memcpy(r->line + r->len, data, n);
		r->len += n;
		if (!end)
			return true;
		if (!take_line(r, r->len)) {
			r->wrong = true;
			return false;
		}
		r->len = 0;
		data += n + 1;
		len -= n + 1;
	}
	return true;
}

int mr_rows_column(struct mr_rows *r, const char *name)
{
	for (int i = 0; i < r->n_columns; i++) {
		int at = (r->next_column + i) % r->n_columns;

		if (!strcmp(r->name[at], name)) {
			r->next_column = at + 1;
			return at;
		}
	}
	return -1;
}

const char *mr_rows_cell(struct mr_rows *r, const char *name)
{
	int i = mr_rows_column(r, name);

	return i < 0 || !r->cell[i][0] ? "-" : r->cell[i];
}
