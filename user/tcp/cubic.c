/* SPDX-License-Identifier: MIT */
/*
 * CUBIC (RFC 9438) with HyStart++ (RFC 9406) for the first slow start.
 *
 *	W_cubic(t) = C (t - K)^3 + W_max,	K = cbrt((W_max - cwnd_epoch) / C)
 *
 * Windows are in bytes and times in milliseconds of the lane's clock; the curve is computed in
 * 1/1024 of a segment, exact for |t - K| up to 100 seconds, where it is cut off. Time in which the
 * application did not use the window is not part of t (RFC 9438 5.8).
 *
 * The state lives in the active record: a connection that was idle for so long that it gave the
 * record back begins without W_max, as after HyStart++.
 */
#include "user/tcp/internal.h"

enum {
	BETA_10 = 7, /* 4.6, tenths; C is 0.4 (5.1) */
	CURVE_LIMIT_MS = 100000,
	/* RFC 9406 4.3 */
	MIN_RTT_THRESH_US = 4000,
	MAX_RTT_THRESH_US = 16000,
	MIN_RTT_DIVISOR = 8,
	N_RTT_SAMPLE = 8,
	CSS_GROWTH_DIVISOR = 4,
	CSS_ROUNDS = 5,
};

/* ----- the curve ----- */

/* Integer part of the cube root: one bit of the result at a time. */
static uint32_t cube_root(uint64_t v)
{
	uint64_t root = 0;

	for (int bit = 20; bit >= 0; bit--) {
		uint64_t next = root | 1ull << bit;

		if (next * next * next <= v)
			root = next;
	}
	return (uint32_t)root;
}

/* (2): milliseconds from the epoch's start until the curve is at W_max; C = 0.4 segments / s^3 */
static uint32_t time_to_w_max(const struct mr_conn *c, uint32_t w_max)
{
	uint64_t deficit = w_max - c->cwnd;

	return cube_root(deficit * 2500000000ull / c->snd_mss);
}

/* (1) at @ms since the epoch's start. */
static uint32_t w_cubic(const struct mr_conn *c, const struct mr_cubic_epoch *e, uint32_t ms)
{
	bool before = ms < e->k_ms;
	uint64_t d = min_u32(before ? e->k_ms - ms : ms - e->k_ms, CURVE_LIMIT_MS);
	uint64_t offset = d * d * d * 4096 / 10000000000ull * c->snd_mss / 1024;

	if (before)
		return offset < e->w_max ? e->w_max - (uint32_t)offset : 0;
	return (uint32_t)(offset < UINT32_MAX / 2 - e->w_max ? e->w_max + offset : UINT32_MAX / 2);
}

/* ----- congestion avoidance ----- */

static uint32_t not_zero(uint32_t ms)
{
	return ms ? ms : 1;
}

/* 4.2; 4.10 where no reduction is behind us: K is 0, and the window is W_max. */
static void begin_epoch(struct mr_tcp *t, struct mr_conn *c, struct mr_cubic *q)
{
	struct mr_cubic_epoch *e = &q->epoch;

	e->start_ms = not_zero(t->now_ms);
	e->k_ms = 0;
	if (e->w_max > c->cwnd)
		e->k_ms = time_to_w_max(c, e->w_max);
	else
		e->w_max = c->cwnd;
	if (!e->cwnd_prior)
		e->cwnd_prior = c->cwnd;
	e->w_est = c->cwnd;
	q->w_est_rest = 0;
}

/* (4): alpha is 3 (1 - beta) / (1 + beta) = 9/17, and 1 from cwnd_prior on. */
static void grow_w_est(struct mr_conn *c, struct mr_cubic *q, uint32_t acked)
{
	bool like_reno = q->epoch.w_est >= q->epoch.cwnd_prior;
	uint64_t unit = 17ull * c->cwnd;
	uint64_t add = (uint64_t)acked * c->snd_mss * (like_reno ? 17 : 9) + q->w_est_rest;

	q->epoch.w_est += (uint32_t)(add / unit);
	q->w_est_rest = (uint32_t)min_u64(add % unit, UINT32_MAX);
}

/* 4.4, 4.5: (target - cwnd) / cwnd for every segment acknowledged, target at most 1.5 cwnd. */
static void follow_curve(struct mr_conn *c, struct mr_active *a, uint32_t ms, uint32_t acked)
{
	uint32_t rtt_ms = c->srtt_us / 8 / 1000;
	uint32_t target = w_cubic(c, &a->cc.cubic.epoch, ms + rtt_ms);
	uint64_t add;

	target = min_u32(max_u32(target, c->cwnd), c->cwnd + c->cwnd / 2);
	add = (uint64_t)acked * (target - c->cwnd) + a->cc_acked;
	a->cc_acked = (uint32_t)(add % c->cwnd);
	c->cwnd += (uint32_t)(add / c->cwnd);
}

static void avoid_congestion(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     uint32_t acked)
{
	struct mr_cubic *q = &a->cc.cubic;
	uint32_t ms;

	if (!q->epoch.start_ms)
		begin_epoch(t, c, q);
	ms = t->now_ms - q->epoch.start_ms;
	grow_w_est(c, q, acked);
	if (w_cubic(c, &q->epoch, ms) < q->epoch.w_est) /* 4.3, the Reno-friendly region */
		c->cwnd = max_u32(c->cwnd, q->epoch.w_est);
	else
		follow_curve(c, a, ms, acked);
}

/* ----- HyStart++ ----- */

static void begin_round(struct mr_conn *c, struct mr_cubic *q)
{
	q->last_round_min_us = q->round_min_us;
	q->round_min_us = 0;
	q->n_samples = 0;
	q->window_end = c->snd_nxt;
	q->in_round = true;
}

/* RFC 9406 4.2: the round trip grew by an eighth, 4 to 16 ms: conservative slow start. */
static void look_at_delay(struct mr_cubic *q)
{
	uint32_t thresh;

	if (q->n_samples < N_RTT_SAMPLE || !q->round_min_us)
		return;
	if (q->in_css) {
		if (q->round_min_us < q->css_base_us)
			q->in_css = false; /* the exit was premature */
		return;
	}
	if (!q->last_round_min_us)
		return;
	thresh = min_u32(max_u32(q->last_round_min_us / MIN_RTT_DIVISOR, MIN_RTT_THRESH_US),
			 MAX_RTT_THRESH_US);
	if (q->round_min_us < q->last_round_min_us + thresh)
		return;
	q->css_base_us = q->round_min_us;
	q->in_css = true;
	q->css_rounds = 0;
}

static void round_ends(struct mr_conn *c, struct mr_cubic *q)
{
	if (q->in_css && ++q->css_rounds == CSS_ROUNDS) {
		q->in_css = false;
		c->ssthresh = c->cwnd;
	}
	begin_round(c, q);
}

static void hystart(struct mr_conn *c, struct mr_cubic *q, const struct mr_cc_ack *ack)
{
	uint32_t grow = ack->acked;

	if (!q->in_round)
		begin_round(c, q);
	c->cwnd += q->in_css ? grow / CSS_GROWTH_DIVISOR : grow;
	if (ack->rtt_us) {
		if (!q->round_min_us || ack->rtt_us < q->round_min_us)
			q->round_min_us = ack->rtt_us;
		q->n_samples += q->n_samples < UINT8_MAX;
		look_at_delay(q);
	}
	if (!mr_seq_lt(c->snd_una, q->window_end))
		round_ends(c, q);
}

/* ----- the table ----- */

/* RFC 9406 4.3: HyStart++ for the first slow start; the others know ssthresh. RFC 3465 2.3: what a
 * timeout took returns by one segment an ACK. */
static void slow_start(struct mr_conn *c, struct mr_cubic *q, const struct mr_cc_ack *ack)
{
	if (c->ssthresh == UINT32_MAX)
		hystart(c, q, ack);
	else
		c->cwnd = min_u32(c->cwnd + mr_cc_slow_start(c, ack->acked), c->ssthresh);
}

/* 5.8: the time since the last ACK was not spent growing. */
static void exclude_pause(struct mr_tcp *t, struct mr_cubic *q)
{
	if (q->epoch.start_ms)
		q->epoch.start_ms = not_zero(q->epoch.start_ms + (t->now_ms - q->last_ms));
	q->last_ms = t->now_ms;
}

static void acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		  const struct mr_cc_ack *ack)
{
	struct mr_cubic *q = &a->cc.cubic;

	if (!ack->limited) {
		exclude_pause(t, q);
		return;
	}
	q->last_ms = t->now_ms;
	if (ack->ece) /* RFC 3168 6.1.2 */
		return;
	if (c->cwnd < c->ssthresh)
		slow_start(c, q, ack);
	else
		avoid_congestion(t, c, a, ack->acked);
}

/* 4.6, and 4.7, fast convergence: a flow that did not come back to W_max leaves room to others. */
static uint32_t ssthresh(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	struct mr_cubic *q = &a->cc.cubic;
	struct mr_cubic_epoch *e = &q->epoch;

	(void)t;
	q->before = *e;
	e->cwnd_prior = c->cwnd;
	e->w_max = c->cwnd < e->w_max ? (uint32_t)((uint64_t)c->cwnd * (10 + BETA_10) / 20)
				      : c->cwnd;
	e->start_ms = 0;
	a->cc_acked = 0;
	q->in_css = false;
	return max_u32((uint32_t)((uint64_t)flight * BETA_10 / 10), 2 * c->snd_mss);
}

static void event(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, enum mr_cc_event event)
{
	struct mr_cubic *q = &a->cc.cubic;

	(void)c;
	switch (event) {
	case MR_CC_TIMEOUT: /* 4.8: K is 0, W_max the window with which the next epoch begins */
		q->epoch.w_max = 0;
		q->epoch.start_ms = 0;
		break;
	case MR_CC_UNDO: /* 4.9 */
		q->epoch = q->before;
		break;
	case MR_CC_IDLE:
		exclude_pause(t, q);
		q->in_round = false;
		break;
	case MR_CC_RECOVERY_ENDS:
		break;
	}
}

const struct mr_cc mr_cc_cubic = {
	.name = "cubic",
	.init = mr_cc_initial_window,
	.acked = acked,
	.ssthresh = ssthresh,
	.event = event,
};
