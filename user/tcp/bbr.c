/* SPDX-License-Identifier: MIT */
/*
 * BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00, as in Linux 4.9): a model of the
 * path, the largest delivery rate of ten round trips and the smallest round trip of ten seconds,
 * sets the pacing rate and the window. Loss and marks do not: ECN is never agreed on with it.
 *
 *	STARTUP -> DRAIN -> PROBE_BW <-> PROBE_RTT
 *
 * Left out of Linux's: long-term sampling for policers, and the allowance for ACK aggregation. The
 * model lies in the active record: a connection idle for so long that it gave the record back
 * begins with STARTUP again. Gains are in 1/256, rates in bytes a second.
 */
#include "user/tcp/internal.h"

enum {
	UNIT = 256,
	HIGH_GAIN = 739, /* 2 / ln 2 */
	DRAIN_GAIN = 88,
	CWND_GAIN = 512,
	BW_ROUNDS = 10,
	CYCLE = 8,
	MIN_RTT_WINDOW_MS = 10000,
	PROBE_RTT_MS = 200,
	MIN_SEGMENTS = 4,
	FULL_BW_ROUNDS = 3,
	MARGIN_PERCENT = 99, /* of the rate: queues drain */
};

static const uint16_t cycle_gain[CYCLE] = { 320, 192, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT };

static uint64_t bandwidth(const struct mr_bbr *b)
{
	return b->bw[0].rate;
}

/* Kathleen Nichols' windowed maximum: the best, second and third best of the window. */
static void add_bandwidth(struct mr_bbr *b, uint64_t rate)
{
	struct mr_bbr_rate now = { .rate = rate, .round = b->rounds };

	if (rate >= b->bw[0].rate || b->rounds - b->bw[2].round > BW_ROUNDS) {
		b->bw[0] = b->bw[1] = b->bw[2] = now;
		return;
	}
	if (rate >= b->bw[1].rate)
		b->bw[1] = b->bw[2] = now;
	else if (rate >= b->bw[2].rate)
		b->bw[2] = now;
	if (b->rounds - b->bw[0].round > BW_ROUNDS) {
		b->bw[0] = b->bw[1];
		b->bw[1] = b->bw[2];
		b->bw[2] = now;
	} else if (b->bw[1].round == b->bw[0].round && b->rounds - b->bw[1].round > BW_ROUNDS / 4) {
		b->bw[1] = b->bw[2] = now;
	} else if (b->bw[2].round == b->bw[1].round && b->rounds - b->bw[2].round > BW_ROUNDS / 2) {
		b->bw[2] = now;
	}
}

/* Bytes in flight that keep the path full, times @gain. */
static uint32_t inflight(const struct mr_conn *c, const struct mr_bbr *b, uint32_t gain)
{
	uint64_t bdp;

	if (!b->min_rtt_us || !bandwidth(b))
		return mr_cc_restart_window(c);
	bdp = bandwidth(b) * b->min_rtt_us / 1000000;
	bdp = bdp * gain / UNIT + 3u * c->snd_mss; /* for bursts and delayed ACKs */
	return (uint32_t)min_u64(bdp, UINT32_MAX / 2);
}

static uint32_t pacing_gain(const struct mr_bbr *b)
{
	switch (b->mode) {
	case MR_BBR_STARTUP:
		return HIGH_GAIN;
	case MR_BBR_DRAIN:
		return DRAIN_GAIN;
	case MR_BBR_PROBE_BW:
		return cycle_gain[b->cycle % CYCLE];
	case MR_BBR_PROBE_RTT:
		return UNIT;
	}
	return UNIT;
}

static uint32_t cwnd_gain(const struct mr_bbr *b)
{
	return b->mode == MR_BBR_PROBE_BW    ? CWND_GAIN
	       : b->mode == MR_BBR_PROBE_RTT ? UNIT
					     : HIGH_GAIN;
}

/* ----- the model ----- */

static void update_bandwidth(struct mr_bbr *b, struct mr_active *a)
{
	struct mr_rate_sample s;
	uint64_t rate;

	b->round_start = false;
	if (!mr_rate_sample(a, &s))
		return;
	if (!mr_seq_lt(s.prior_delivered, b->next_round)) {
		b->next_round = a->rate.delivered;
		b->rounds++;
		b->round_start = true;
		b->conserve = false;
	}
	if (b->min_rtt_us && s.interval_us < b->min_rtt_us)
		return; /* ACKs came in a heap: no rate */
	rate = (uint64_t)s.bytes * 1000000 / s.interval_us;
	if (!s.app_limited || rate >= bandwidth(b))
		add_bandwidth(b, rate);
	b->sample_limited = s.app_limited;
}

/* The pipe is full when the rate grew by less than a quarter in three rounds. */
static void look_for_full_pipe(struct mr_bbr *b)
{
	if (b->full || !b->round_start || b->sample_limited)
		return;
	if (bandwidth(b) >= b->full_bw * 5 / 4) {
		b->full_bw = bandwidth(b);
		b->full_rounds = 0;
		return;
	}
	b->full = ++b->full_rounds >= FULL_BW_ROUNDS;
}

static void enter_probe_bw(struct mr_tcp *t, const struct mr_conn *c, struct mr_bbr *b)
{
	b->mode = MR_BBR_PROBE_BW;
	b->cycle_us = (uint32_t)t->now_us;
	/* any phase but the one that drains: flows shall not probe in step */
	b->cycle = (uint8_t)(2 + (c->iss ^ t->now_ms) % (CYCLE - 1));
	b->cycle %= CYCLE;
}

static void advance_cycle(struct mr_tcp *t, const struct mr_conn *c, struct mr_bbr *b,
			  const struct mr_cc_ack *ack)
{
	uint32_t gain = cycle_gain[b->cycle];
	bool over = (uint32_t)t->now_us - b->cycle_us > b->min_rtt_us;

	if (gain > UNIT) /* until the queue is seen, or a loss says that there is no room */
		over = over && (ack->lost || ack->flight >= inflight(c, b, gain));
	else if (gain < UNIT)
		over = over || mr_conn_flight(t, c) <= inflight(c, b, UNIT);
	if (!over)
		return;
	b->cycle = (uint8_t)((b->cycle + 1) % CYCLE);
	b->cycle_us = (uint32_t)t->now_us;
}

static void save_cwnd(const struct mr_conn *c, struct mr_bbr *b)
{
	bool small = b->in_recovery || b->mode == MR_BBR_PROBE_RTT;

	b->prior_cwnd = small ? max_u32(b->prior_cwnd, c->cwnd) : c->cwnd;
}

static void leave_probe_rtt(struct mr_tcp *t, struct mr_conn *c, struct mr_bbr *b)
{
	b->min_rtt_ms = t->now_ms;
	c->cwnd = max_u32(c->cwnd, b->prior_cwnd);
	if (b->full)
		enter_probe_bw(t, c, b);
	else
		b->mode = MR_BBR_STARTUP;
}

/* At least 200 ms and a round trip with four segments in flight, so that the queue is empty. */
static void probe_rtt(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	struct mr_bbr *b = &a->cc.bbr;

	mr_rate_app_limited(t, c);
	if (!b->probing_rtt) {
		if (mr_conn_flight(t, c) > MIN_SEGMENTS * c->snd_mss)
			return;
		b->probing_rtt = true;
		b->probe_rtt_done_ms = t->now_ms + PROBE_RTT_MS;
		b->probe_rtt_round_done = false;
		b->next_round = a->rate.delivered;
		return;
	}
	b->probe_rtt_round_done |= b->round_start;
	if (b->probe_rtt_round_done && !mr_ms_before(t->now_ms, b->probe_rtt_done_ms))
		leave_probe_rtt(t, c, b);
}

static void update_min_rtt(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			   const struct mr_cc_ack *ack)
{
	struct mr_bbr *b = &a->cc.bbr;
	bool old = b->min_rtt_us && t->now_ms - b->min_rtt_ms > MIN_RTT_WINDOW_MS;

	if (ack->rtt_us && (!b->min_rtt_us || ack->rtt_us <= b->min_rtt_us || old)) {
		b->min_rtt_us = ack->rtt_us;
		b->min_rtt_ms = t->now_ms;
	}
	if (old && !b->idle_restart && b->mode != MR_BBR_PROBE_RTT) {
		save_cwnd(c, b);
		b->mode = MR_BBR_PROBE_RTT;
		b->probing_rtt = false;
	}
	if (b->mode == MR_BBR_PROBE_RTT)
		probe_rtt(t, c, a);
	b->idle_restart = false;
}

static void update_mode(struct mr_tcp *t, struct mr_conn *c, struct mr_bbr *b,
			const struct mr_cc_ack *ack)
{
	if (b->mode == MR_BBR_PROBE_BW)
		advance_cycle(t, c, b, ack);
	look_for_full_pipe(b);
	if (b->mode == MR_BBR_STARTUP && b->full)
		b->mode = MR_BBR_DRAIN;
	if (b->mode == MR_BBR_DRAIN && mr_conn_flight(t, c) <= inflight(c, b, UNIT))
		enter_probe_bw(t, c, b);
}

/* ----- what follows from it ----- */

/* Before the first sample: the window in a round trip, times the gain of STARTUP. */
static uint64_t pacing_rate(const struct mr_conn *c, const struct mr_active *a)
{
	uint32_t rtt_us = c->srtt_us ? max_u32(c->srtt_us / 8, 1) : 1000;

	if (a->cc.bbr.rate)
		return a->cc.bbr.rate;
	return (uint64_t)c->cwnd * 1000000 / rtt_us * HIGH_GAIN / UNIT;
}

static void set_rate(const struct mr_conn *c, struct mr_active *a)
{
	struct mr_bbr *b = &a->cc.bbr;
	uint64_t rate = bandwidth(b) * pacing_gain(b) / UNIT * MARGIN_PERCENT / 100;

	if (rate && !b->rate && !b->full &&
	    c->srtt_us) /* not below the first window in a round trip */
		b->rate = pacing_rate(c, a);
	if (rate && (b->full || rate > b->rate))
		b->rate = rate;
}

/* Packet conservation in the first round of a recovery, and back to the old window at its end. */
static bool recovery_sets_cwnd(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			       const struct mr_cc_ack *ack)
{
	struct mr_bbr *b = &a->cc.bbr;
	bool recovery = ack->recovery || c->flags & MR_CONN_RTO_RECOVERY;

	if (ack->lost)
		c->cwnd = max_u32(c->cwnd - min_u32(ack->lost, c->cwnd), c->snd_mss);
	if (recovery && !b->in_recovery) {
		b->in_recovery = b->conserve = true;
		b->next_round = a->rate.delivered;
		c->cwnd = mr_conn_flight(t, c) + ack->delivered;
	} else if (!recovery && b->in_recovery) {
		b->in_recovery = b->conserve = false;
		c->cwnd = max_u32(c->cwnd, b->prior_cwnd);
	}
	if (b->conserve)
		c->cwnd = max_u32(c->cwnd, mr_conn_flight(t, c) + ack->delivered);
	return b->conserve;
}

static void set_cwnd(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		     const struct mr_cc_ack *ack)
{
	struct mr_bbr *b = &a->cc.bbr;
	uint32_t target = inflight(c, b, cwnd_gain(b));

	if (!recovery_sets_cwnd(t, c, a, ack)) {
		if (b->full)
			c->cwnd = min_u32(c->cwnd + ack->delivered, target);
		else if (c->cwnd < target || a->rate.delivered < mr_cc_restart_window(c))
			c->cwnd += ack->delivered;
		c->cwnd = max_u32(c->cwnd, MIN_SEGMENTS * c->snd_mss);
	}
	if (b->mode == MR_BBR_PROBE_RTT)
		c->cwnd = min_u32(c->cwnd, MIN_SEGMENTS * c->snd_mss);
}

static void acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		  const struct mr_cc_ack *ack)
{
	struct mr_bbr *b = &a->cc.bbr;

	update_bandwidth(b, a);
	update_mode(t, c, b, ack);
	update_min_rtt(t, c, a, ack);
	set_rate(c, a);
	set_cwnd(t, c, a, ack);
}

/* Loss only says what to come back to. */
static uint32_t ssthresh(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	(void)t;
	(void)flight;
	save_cwnd(c, &a->cc.bbr);
	return c->ssthresh;
}

static void event(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, enum mr_cc_event event)
{
	struct mr_bbr *b = &a->cc.bbr;

	(void)t;
	switch (event) {
	case MR_CC_TIMEOUT:
		b->full_bw = 0;
		b->in_recovery = true;
		b->conserve = false;
		break;
	case MR_CC_UNDO:
		b->full_bw = 0;
		b->full_rounds = 0;
		b->in_recovery = b->conserve = false;
		break;
	case MR_CC_RECOVERY_ENDS:
		if (b->in_recovery)
			c->cwnd = max_u32(c->cwnd, b->prior_cwnd);
		b->in_recovery = b->conserve = false;
		break;
	case MR_CC_IDLE:
		b->idle_restart = true;
		if (b->mode == MR_BBR_PROBE_BW && bandwidth(b))
			b->rate = bandwidth(b) * MARGIN_PERCENT / 100;
		break;
	}
}

const struct mr_cc mr_cc_bbr = {
	.name = "bbr",
	.rules_recovery = true,
	.ignores_marks = true,
	.init = mr_cc_initial_window,
	.acked = acked,
	.ssthresh = ssthresh,
	.event = event,
	.pacing_rate = pacing_rate,
};
