/* SPDX-License-Identifier: MIT */
/*
 * millrace top: samples of the control API (top_sample.c), the difference of two of them as lines
 * of text (top_lines.c), and those on a screen or, for scripts, on stdout (top.c).
 */
#ifndef MR_CLI_TOP_H
#define MR_CLI_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/cli/client.h"

/* What the daemon said at one time; NULL members before the first. */
struct mr_top_sample {
	json_t *status;
	json_t *lanes;
	json_t *stats;
	uint64_t at_ns; /* CLOCK_MONOTONIC */
};

/**
 * mr_top_sample_get() - ask the daemon
 * @s:		out: replaced on success, unchanged on error
 *
 * Return: 0, or -errno with the reason in @why
 */
int mr_top_sample_get(const struct mr_cli *cli, struct mr_top_sample *s, char why[MR_CLIENT_WORDS]);

/** mr_top_sample_move() - @from becomes @to, whose former content is released */
void mr_top_sample_move(struct mr_top_sample *to, struct mr_top_sample *from);

enum mr_top_sort {
	MR_TOP_BY_LANE,
	MR_TOP_BY_CONNECTIONS,
	MR_TOP_BY_RECEIVED,
	MR_TOP_BY_RETRANSMITS,
	MR_TOP_BY_DROPS,
	MR_TOP_SORTS,
};

/** mr_top_sort_name() - as on the command line and on the screen */
const char *mr_top_sort_name(enum mr_top_sort sort);

enum mr_top_kind {
	MR_TOP_PLAIN,
	MR_TOP_HEAD,
	MR_TOP_GOOD,
	MR_TOP_BAD,
};

enum {
	MR_TOP_LINE = 256,
	MR_TOP_LINES = 512,
};

struct mr_top_text {
	int n;
	struct {
		enum mr_top_kind kind;
		bool columns; /* of lanes: see mr_top_fit() */
		char text[MR_TOP_LINE];
	} line[MR_TOP_LINES];
};

/** mr_top_add() - a line; the last ones are left out when there are too many */
void mr_top_add(struct mr_top_text *t, enum mr_top_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** mr_top_fit() - how much of a line of lanes is shown of @width: whole columns */
int mr_top_fit(int width);

/** mr_top_lines() - what happened between two samples; rates are dashes when @before is empty */
void mr_top_lines(struct mr_top_text *t, const struct mr_top_sample *before,
		  const struct mr_top_sample *now, enum mr_top_sort sort);

#endif
