/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "user/cli/table.h"

enum {
	COLUMNS_MAX = 16,
};

static const char *cell(const struct mr_column *c, const json_t *row, char out[MR_VALUE_BYTES])
{
	return c->format ? c->format(row, out) : mr_value_text_at(row, c->key, out);
}

/* Columns of the terminal that UTF-8 text takes, one a character. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(const struct mr_column *c, const char *text, int width, bool last)
{
	int pad = width - width_of(text);

	if (c->right)
		printf("%*s%s", pad > 0 ? pad : 0, "", text);
	else
		printf("%s%*s", text, pad > 0 && !last ? pad : 0, "");
	fputs(last ? "\n" : "  ", stdout);
}

void mr_table_print(const struct mr_column *columns, int n, const json_t *rows, bool titles,
		    void (*after)(const json_t *row))
{
	int width[COLUMNS_MAX] = { 0 };
	char out[MR_VALUE_BYTES];
	const json_t *row;
	size_t r;

	for (int i = 0; i < n && i < COLUMNS_MAX; i++) {
		width[i] = width_of(columns[i].title);
		width[i] = columns[i].min > width[i] ? columns[i].min : width[i];
		json_array_foreach((json_t *)rows, r, row)
		{
			int w = width_of(cell(&columns[i], row, out));

			width[i] = w > width[i] ? w : width[i];
		}
	}
	for (int i = 0; titles && i < n; i++)
		print_cell(&columns[i], columns[i].title, width[i], i == n - 1);
	json_array_foreach((json_t *)rows, r, row)
	{
		for (int i = 0; i < n; i++)
			print_cell(&columns[i], cell(&columns[i], row, out), width[i], i == n - 1);
		if (after)
			after(row);
	}
}
