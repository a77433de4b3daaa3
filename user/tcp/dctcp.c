/* SPDX-License-Identifier: MIT */
/*
 * DCTCP (RFC 8257): the window shrinks by the share of bytes that were marked, in the average of
 * the last windows. Loss is answered as by NewReno (3.4). alpha is in 1/2^20.
 */
#include "user/tcp/internal.h"

enum {
	ALPHA_ONE = 1 << 20,
	GAIN_SHIFT = 4, /* g = 1/16 (4.1) */
};

/* 3.3: "Alpha ... SHOULD be initialized to 1", WindowEnd to SND.UNA */
static void begin(const struct mr_conn *c, struct mr_dctcp *d)
{
	if (d->begun)
		return;
	*d = (struct mr_dctcp){ .begun = true, .alpha = ALPHA_ONE, .window_end = c->snd_una };
}

static void marked(struct mr_conn *c, struct mr_active *a, uint32_t ack, bool echo)
{
	struct mr_dctcp *d = &a->cc.dctcp;
	uint32_t bytes = ack - c->snd_una;
	uint64_t share;

	begin(c, d);
	d->bytes_acked += bytes;
	if (echo)
		d->bytes_marked += bytes;
	if (!mr_seq_lt(d->window_end, ack) || !d->bytes_acked)
		return;
	share = (uint64_t)d->bytes_marked * ALPHA_ONE / d->bytes_acked;
	d->alpha += (uint32_t)(share >> GAIN_SHIFT) - (d->alpha >> GAIN_SHIFT);
	d->window_end = c->snd_nxt;
	d->bytes_acked = 0;
	d->bytes_marked = 0;
}

/* 3.3: cwnd = cwnd * (1 - DCTCP.Alpha / 2) */
static uint32_t echoed(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	struct mr_dctcp *d = &a->cc.dctcp;

	(void)t;
	(void)flight;
	begin(c, d);
	return max_u32(c->cwnd - (uint32_t)((uint64_t)c->cwnd * d->alpha / 2 / ALPHA_ONE),
		       2 * c->snd_mss);
}

const struct mr_cc mr_cc_dctcp = {
	.name = "dctcp",
	.needs_ecn = true,
	.init = mr_cc_initial_window,
	.acked = mr_cc_reno_acked,
	.ssthresh = mr_cc_reno_ssthresh,
	.echoed = echoed,
	.marked = marked,
};
