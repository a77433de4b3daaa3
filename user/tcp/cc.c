/* SPDX-License-Identifier: MIT */
/* The table of algorithms, and congestion window validation, which is the same for all of them. */
#include "shared/mr_cc.h"
#include "user/tcp/internal.h"

const struct mr_cc *const mr_cc_table[MR_CC_COUNT] = {
	[MR_CC_CUBIC] = &mr_cc_cubic,
	[MR_CC_NEWRENO] = &mr_cc_newreno,
	[MR_CC_DCTCP] = &mr_cc_dctcp,
	[MR_CC_BBR] = &mr_cc_bbr,
};

/*
 * In slow start the window may reach twice what a round trip had on its way at its fullest, as
 * Linux's tcp_is_cwnd_limited(): what is left when the round's last ACKs come says nothing.
 */
inline bool mr_cwv_is_limited(const struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	uint32_t most = flight;

	if (a->flight_most && mr_seq_le(c->snd_una, a->flight_end))
		most = max_u32(flight, a->flight_most);
	if (a->flight_most && mr_seq_lt(c->snd_una, a->flight_end)) {
		a->flight_most = most;
	} else { /* the next round */
		a->flight_most = flight;
		a->flight_end = c->snd_nxt;
	}
	if (c->flags & (MR_CONN_CWND_LIMITED | MR_CONN_RTO_RECOVERY))
		return true;
	return c->cwnd < c->ssthresh && c->cwnd / 2 < most;
}

/*
 * How long nothing was sent. A connection without its record gave it back because it was idle;
 * one that never sent has nothing to validate.
 */
static uint32_t idle_ms(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);

	if (c->snd_nxt == c->iss + 1 && !c->snd_wraps)
		return 0;
	return a && a->cc_sent_ms ? t->now_ms - a->cc_sent_ms : MR_ACTIVE_IDLE_MS;
}

/* RFC 2861 3.1: for every RTO half of it; ssthresh remembers what was reached. */
static void decay(struct mr_conn *c, uint32_t idle)
{
	uint32_t restart = min_u32(mr_cc_restart_window(c), c->cwnd);
	uint32_t cwnd = c->cwnd;

	c->ssthresh = max_u32(c->ssthresh, cwnd / 4 * 3);
	for (; idle > c->rto_ms && cwnd > restart; idle -= c->rto_ms)
		cwnd /= 2;
	c->cwnd = max_u32(cwnd, restart);
}

void mr_cwv_sending_begins(struct mr_tcp *t, struct mr_conn *c)
{
	const struct mr_cc *cc = mr_cc_of(c);
	uint32_t idle = idle_ms(t, c);
	struct mr_active *a;

	if (idle <= c->rto_ms)
		return;
	if (!cc->rules_recovery)
		decay(c, idle);
	a = mr_active_of(t, c);
	a->cc_sent_ms = t->now_ms;
	a->cc_acked = 0;
	if (cc->event)
		cc->event(t, c, a, MR_CC_IDLE);
}
