/* SPDX-License-Identifier: MIT */
/* A JSON array of objects as a table of text, one row an object. */
#ifndef MR_CLI_TABLE_H
#define MR_CLI_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "user/cli/value.h"

/**
 * struct mr_column - one column
 * @key:	path of the member to print, or
 * @format:	how to make the text from the row: @out, or a string of @row's or a constant
 * @right:	aligned right
 * @min:	least width, so that tables printed page by page stay in line
 */
struct mr_column {
	const char *title;
	const char *key;
	const char *(*format)(const json_t *row, char out[MR_VALUE_BYTES]);
	bool right;
	int min;
};

/**
 * mr_table_print() - on stdout
 * @rows:	array; anything else is a table without rows, what is no object a row of "-"
 * @titles:	print a first line of titles
 * @after:	called behind each row, for lines that belong to it; or NULL
 */
void mr_table_print(const struct mr_column *columns, int n, const json_t *rows, bool titles,
		    void (*after)(const json_t *row));

#endif
