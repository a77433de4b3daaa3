/* SPDX-License-Identifier: MIT */
/* NewReno's window (RFC 5681, RFC 3465 byte counting with L=2, RFC 6928 initial window). */
#include "user/tcp/internal.h"

void mr_cc_initial_window(struct mr_conn *c, bool syn_lost)
{
	uint32_t mss = c->snd_mss;

	/* RFC 6928 2; one segment after a lost SYN (RFC 5681 3.1) */
	c->cwnd = syn_lost ? mss : mr_cc_restart_window(c);
	c->ssthresh = UINT32_MAX;
}

uint32_t mr_cc_restart_window(const struct mr_conn *c)
{
	uint32_t mss = c->snd_mss;

	return min_u32(MR_INITIAL_SEGMENTS * mss, max_u32(2 * mss, 14600));
}

/*
 * RFC 3465 2.3 with L as Linux has it: all that was acknowledged counts, for receivers that answer
 * many segments at once; but one segment an ACK for what a timeout took.
 */
uint32_t mr_cc_slow_start(const struct mr_conn *c, uint32_t acked)
{
	return c->flags & MR_CONN_RTO_RECOVERY ? min_u32(acked, c->snd_mss) : acked;
}

void mr_cc_reno_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      const struct mr_cc_ack *ack)
{
	(void)t;
	/* RFC 7661's reason: a window that was not used proves nothing; RFC 3168 6.1.2 */
	if (!ack->limited || ack->ece)
		return;
	if (c->cwnd < c->ssthresh) {
		c->cwnd += mr_cc_slow_start(c, ack->acked);
		return;
	}
	a->cc_acked += ack->acked;
	if (a->cc_acked >= c->cwnd) {
		a->cc_acked -= c->cwnd;
		c->cwnd += c->snd_mss;
	}
}

uint32_t mr_cc_reno_ssthresh(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     uint32_t flight)
{
	(void)t;
	(void)a;
	return max_u32(flight / 2, 2 * c->snd_mss);
}

const struct mr_cc mr_cc_newreno = {
	.name = "newreno",
	.init = mr_cc_initial_window,
	.acked = mr_cc_reno_acked,
	.ssthresh = mr_cc_reno_ssthresh,
};
