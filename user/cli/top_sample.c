/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <time.h>

#include "user/cli/top.h"

static void release(struct mr_top_sample *s)
{
	json_decref(s->status);
	json_decref(s->lanes);
	json_decref(s->stats);
	memset(s, 0, sizeof(*s));
}

void mr_top_sample_move(struct mr_top_sample *to, struct mr_top_sample *from)
{
	release(to);
	*to = *from;
	memset(from, 0, sizeof(*from));
}

int mr_top_sample_get(const struct mr_cli *cli, struct mr_top_sample *s, char why[MR_CLIENT_WORDS])
{
	struct mr_top_sample got = { 0 };
	struct timespec t;
	int err = mr_client_try(cli, "/v1/status", &got.status, why);

	if (!err)
		err = mr_client_try(cli, "/v1/lanes", &got.lanes, why);
	if (!err)
		err = mr_client_try(cli, "/v1/stats", &got.stats, why);
	clock_gettime(CLOCK_MONOTONIC, &t);
	got.at_ns = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	if (err)
		release(&got);
	else
		mr_top_sample_move(s, &got);
	return err;
}
