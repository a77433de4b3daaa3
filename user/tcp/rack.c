/* SPDX-License-Identifier: MIT */
/*
 * RACK-TLP (RFC 8985): a segment is lost when one that was sent later has arrived, and the
 * reordering window is over since; and a probe for losses at the tail. Section 6.2's steps.
 */
#include "user/tcp/internal.h"

enum {
	MIN_RTT_AGE_MS = 300000, /* an older minimum gives way to a new sample */
	PERSIST = 16,		 /* recoveries that a wider window outlives (6.2, step 4) */
	MULT_MAX = 254,
	DELAYED_ACK_US = 200000, /* WCDelAckT (7.2) */
	PROBE_UNKNOWN_US = 1000000,
	PROBE_MIN_US = 2000, /* two ticks of our clock */
};

/* 6.2, RACK_sent_after() */
static bool sent_after(uint32_t us1, uint32_t end1, uint32_t us2, uint32_t end2)
{
	return mr_seq_lt(us2, us1) || (us1 == us2 && mr_seq_lt(end2, end1));
}

/* Step 1: RACK.min_RTT, of segments that were sent once (Karn). */
static void update_min_rtt(const struct mr_tcp *t, struct mr_active *a, uint32_t rtt)
{
	if (a->min_rtt_us && rtt > a->min_rtt_us && t->now_ms - a->min_rtt_ms < MIN_RTT_AGE_MS)
		return;
	a->min_rtt_us = rtt;
	a->min_rtt_ms = t->now_ms;
}

/*
 * Step 2: was it the first transmission that arrived? RFC 8985's two signs: it took less than the
 * shortest round trip. (The echoed timestamp cannot tell more: an ACK in the reordered part of a
 * window echoes that of the segment before the gap.)
 */
static bool may_be_spurious(const struct mr_active *a, const struct mr_frame *r, uint32_t rtt)
{
	return r->sends > 1 && (!a->min_rtt_us || rtt < a->min_rtt_us);
}

/* Step 2: the segment delivered that was sent last. */
static void update_newest(struct mr_active *a, const struct mr_frame *r, uint32_t rtt)
{
	uint32_t end = r->seq + r->len;

	if (a->rack_valid && !sent_after(r->sent_us, end, a->rack_sent_us, a->rack_end_seq))
		return;
	a->rack_valid = 1;
	a->rack_sent_us = r->sent_us;
	a->rack_end_seq = end;
	a->rack_rtt_us = rtt;
}

/* Step 3: RACK_detect_reordering() */
static void detect_reordering(struct mr_active *a, const struct mr_frame *r)
{
	uint32_t end = r->seq + r->len;

	if (!a->rack_fack_known || mr_seq_lt(a->rack_fack, end)) {
		a->rack_fack = end;
		a->rack_fack_known = 1;
	} else if (mr_seq_lt(end, a->rack_fack) && r->sends == 1) {
		a->rack_reordering = 1;
	}
}

/* A frame was acknowledged, selectively or (not having been so before) cumulatively. */
void mr_frame_delivered(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			const struct mr_frame *r, struct mr_delivery *d)
{
	uint32_t rtt = max_u32((uint32_t)t->now_us - r->sent_us, 1);

	d->delivered += r->len;
	if (mr_cc_of(c)->pacing_rate)
		mr_rate_frame_delivered(t, c, r, r->len);
	if (r->sends == 1) {
		update_min_rtt(t, a, rtt);
		d->rtt_us = d->rtt_us ? min_u32(d->rtt_us, rtt) : rtt;
		if (mr_seq_le(r->seq + r->len, c->recover))
			d->original = true;
	} else {
		d->resent = true;
	}
	detect_reordering(a, r);
	if (!may_be_spurious(a, r, rtt))
		update_newest(a, r, rtt);
}

/*
 * mr_frame_delivered() for the only frame in flight, sent once, without pacing. Whatever arrived
 * before it was sent before it, so it is the newest, and the furthest. Returns the sample.
 */
inline uint32_t mr_rack_answered(struct mr_tcp *t, struct mr_active *a, const struct mr_frame *r)
{
	uint32_t rtt = max_u32((uint32_t)t->now_us - r->sent_us, 1);
	uint32_t end = r->seq + r->len;

	update_min_rtt(t, a, rtt);
	a->rack_fack_known = 1;
	a->rack_fack = end;
	a->rack_valid = 1;
	a->rack_sent_us = r->sent_us;
	a->rack_end_seq = end;
	a->rack_rtt_us = rtt;
	return rtt;
}

/* Step 4: a duplicate was reported: the window was too small, once a round trip. */
void mr_rack_dsack(struct mr_conn *c, struct mr_active *a)
{
	if (a->rack_has_round && mr_seq_lt(c->snd_una, a->rack_dsack_round) &&
	    mr_seq_le(a->rack_dsack_round, c->snd_nxt))
		return;
	a->rack_has_round = 1;
	a->rack_dsack_round = c->snd_nxt;
	if (a->rack_mult < MULT_MAX)
		a->rack_mult++;
	a->rack_persist = PERSIST;
}

/* Step 4: "reset after 16 loss recoveries" */
void mr_rack_recovered(struct mr_active *a)
{
	if (a->rack_persist && !--a->rack_persist)
		a->rack_mult = 0;
}

/* Step 4: RACK_update_reo_wnd() */
static uint32_t reordering_window(const struct mr_conn *c, const struct mr_active *a)
{
	uint64_t window = (uint64_t)(a->rack_mult + 1) * a->min_rtt_us / 4;

	if (!a->rack_reordering &&
	    (c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY) || a->n_sacked >= MR_DUPACKS))
		return 0;
	return window < c->srtt_us / 8 ? (uint32_t)window : c->srtt_us / 8;
}

/*
 * Step 5: RACK_detect_loss(). Returns microseconds until the next one would be lost, 0: none.
 * Without a sample the count of RFC 6675 decides.
 */
uint32_t mr_rack_detect_loss(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	const struct mr_frame *rec = t->frames->record;
	uint32_t window, next;

	if (!a->rack_valid) {
		mr_scoreboard_lose_by_count(t, c, a);
		return 0;
	}
	window = reordering_window(c, a);
	for (uint32_t i = a->time_head; i != MR_NONE; i = next) {
		const struct mr_frame *r = &rec[i];
		int32_t left =
			(int32_t)(r->sent_us + a->rack_rtt_us + window - (uint32_t)t->now_us);

		next = r->time_next;
		if (!sent_after(a->rack_sent_us, a->rack_end_seq, r->sent_us, r->seq + r->len))
			break;
		if (left > 0)
			return (uint32_t)left; /* those behind it come later: one timer a time */
		mr_scoreboard_lose(t, a, i);
		t->stats->rack_losses++;
	}
	return 0;
}

/* 7.2: may a probe be scheduled? */
bool mr_tlp_may(const struct mr_tcp *t, const struct mr_conn *c, const struct mr_active *a)
{
	return c->flags & MR_CONN_SACK && !a->tlp_is_out && !a->sacked && !a->lost &&
	       !(c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY | MR_CONN_PROBING)) &&
	       c->state >= MR_ESTABLISHED && mr_conn_flight(t, c);
}

/* 7.2, TLP_calc_PTO() */
uint32_t mr_tlp_timeout_us(const struct mr_conn *c, const struct mr_active *a, uint32_t flight)
{
	uint32_t pto;

	(void)a;
	if (!c->srtt_us)
		return PROBE_UNKNOWN_US;
	pto = max_u32(2 * (c->srtt_us / 8), PROBE_MIN_US);
	return flight <= c->snd_mss ? pto + DELAYED_ACK_US : pto;
}

/* 7.4.2, TLP_process_ack(). Returns true when the probe repaired a loss that nobody saw. */
bool mr_tlp_acked(struct mr_conn *c, struct mr_active *a, const struct mr_segment *seg,
		  const struct mr_delivery *d)
{
	bool repaired = false;

	if (!a->tlp_is_out || mr_seq_lt(seg->ack, a->tlp_end_seq))
		return false;
	if (!a->tlp_is_retrans || (d->has_dsack && d->dsack.right == a->tlp_end_seq))
		a->tlp_is_out = 0;
	else if (mr_seq_lt(a->tlp_end_seq, seg->ack))
		repaired = true;
	else if (!d->delivered && !seg->options.n_sack && seg->ack == c->snd_una && !seg->len)
		a->tlp_is_out = 0;
	if (repaired)
		a->tlp_is_out = 0;
	return repaired;
}
