/* SPDX-License-Identifier: MIT */
/* The words of include/shared/mr_lane.h for the names that the control API uses. */
#ifndef MR_CLI_WORDS_H
#define MR_CLI_WORDS_H

#include <jansson.h>
#include <stdbool.h>

enum mr_words {
	MR_WORDS_COUNTERS,
	MR_WORDS_GAUGES,
	MR_WORDS_DROPS,
	MR_WORDS_CLOSES,
	MR_WORDS_FRAMES,
	MR_WORDS_NONE, /* nothing is known */
};

/** mr_words_find() - what @name counts, or "" for a name of another release */
const char *mr_words_find(enum mr_words kind, const char *name);

/**
 * mr_words_print() - an object of counters on stdout, one a line, with their words
 * @title:	printed before the first of them, or NULL
 * @all:	zeros too
 */
void mr_words_print(const char *title, enum mr_words kind, const json_t *counters, bool all);

#endif
