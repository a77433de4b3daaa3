/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, fifth step, ESTABLISHED: what an acknowledgment does to the sender: frees
 * text, samples the round trip (RFC 6298, RFC 7323 4), moves the congestion window and recovers
 * from loss: with SACK by recovery.c, without it here (NewReno: RFC 5681 3.2, RFC 6582).
 */
#include "user/tcp/internal.h"

enum {
	LEAP_SEGMENTS = 4, /* RFC 6582 4.1 */
};

/* RFC 7323 4.1 where both sides carry timestamps, else one timed segment (Karn). */
static void sample_rtt(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (c->flags & MR_CONN_RTT_RUNNING && mr_seq_lt(c->rtt_seq, seg->ack)) {
		c->flags &= ~MR_CONN_RTT_RUNNING;
		mr_rtt_sample(c, (uint32_t)t->now_us - c->rtt_start_us);
		return;
	}
	if (c->flags & MR_CONN_TIMESTAMPS && seg->options.has_timestamps && seg->options.ts_ecr &&
	    !(c->flags & MR_CONN_RTT_RUNNING)) {
		uint32_t ms = t->now_ms + t->ts_offset - seg->options.ts_ecr;

		if (ms < MR_RTO_MAX_MS)
			mr_rtt_sample(c, ms * 1000);
	}
}

/* NewReno, for peers without SACK: the third duplicate. */
static void enter_recovery(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);
	uint32_t head_bytes = c->tx_head == MR_NONE ? 0 : t->frames->record[c->tx_head].len;

	if (mr_path_probe_lost(t, c))
		return;
	if (!mr_tcp_retransmit_head(t, c)) {
		c->dupacks--; /* no room: the next duplicate asks again */
		return;
	}
	mr_recovery_begin(t, c, a, min_u32(mr_conn_flight(t, c), a->dup_flight));
	c->flags &= ~MR_CONN_RTO_RECOVERY;
	a->frto = MR_FRTO_OFF;
	mr_recovery_sent(t, c, a, head_bytes, true);
	if (!mr_cc_of(c)->rules_recovery)
		c->cwnd = c->ssthresh + MR_DUPACKS * c->snd_mss;
	mr_tcp_want_output(t, c);
}

/*
 * RFC 6582 3.2, step 2: the third duplicate is not of losses of an earlier window: at `recover`
 * itself duplicates answer what was sent again without need. After a timeout it says that what was
 * sent again was lost again (4.1, 4.2.1), when the timeout's first segment has made progress, and
 * the text missing now has left since: an acknowledgment that leapt shows that most of the rest
 * arrives for the second time.
 */
static bool shows_loss(const struct mr_tcp *t, const struct mr_conn *c, const struct mr_active *a)
{
	if (!(c->flags & MR_CONN_RTO_RECOVERY))
		return c->snd_una != c->recover;
	return c->cwnd > c->snd_mss && !a->leapt && c->tx_head != MR_NONE &&
	       !(t->frames->record[c->tx_head].marks & MR_FRAME_LOST);
}

/* RFC 5681 2, DUPLICATE ACKNOWLEDGMENT: (a) to (e). */
static bool is_duplicate(const struct mr_tcp *t, const struct mr_conn *c,
			 const struct mr_segment *seg)
{
	return mr_conn_flight(t, c) && !seg->len && !(seg->flags & (MR_SYN | MR_FIN)) &&
	       seg->ack == c->snd_una && ((uint32_t)seg->wnd << c->snd_shift) == c->snd_wnd;
}

static void duplicate_ack(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);

	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	if (c->dupacks == 1)
		a->dup_flight = mr_conn_flight(t, c); /* before limited transmit adds to it */
	if (c->flags & MR_CONN_RTO_RECOVERY)
		mr_recovery_frto(t, c, a, false, true, false);
	if (c->flags &
	    MR_CONN_RECOVERY) { /* RFC 6582 3.2, step 4: each one is a segment that left */
		c->cwnd += c->snd_mss;
		mr_tcp_want_output(t, c);
		return;
	}
	if (c->dupacks == MR_DUPACKS && shows_loss(t, c, a))
		enter_recovery(t, c);
	mr_tcp_want_output(t, c); /* RFC 3042 */
}

/* RFC 6582 3.2, step 5: a partial acknowledgment is the next hole, a full one ends recovery. */
static void ack_in_recovery(struct mr_tcp *t, struct mr_conn *c, uint32_t bytes)
{
	if (!mr_seq_lt(c->snd_una, c->recover)) {
		c->cwnd = min_u32(c->ssthresh,
				  max_u32(mr_conn_flight(t, c), c->snd_mss) + c->snd_mss);
		c->flags &= ~MR_CONN_RECOVERY;
		mr_recovery_event(t, c, mr_active_of(t, c), MR_CC_RECOVERY_ENDS);
		return;
	}
	mr_tcp_retransmit_head(t, c);
	c->cwnd -= min_u32(bytes, c->cwnd);
	if (bytes >= c->snd_mss)
		c->cwnd += c->snd_mss;
	c->cwnd = max_u32(c->cwnd, c->snd_mss);
}

/* Text left the queue: room for more, in the window and behind it. */
static void after_new_ack(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->tx_next != MR_NONE || c->flags & MR_CONN_FIN_QUEUED)
		mr_tcp_want_output(t, c);
	/* with nothing in flight no later ACK would come to say so: the lane looks for room */
	if (c->flags & MR_CONN_WANT_WRITE && (!c->tx_bytes || mr_tcp_send_room(t, c)))
		t->ops->event(t, c, MR_EVENT_WRITABLE);
}

/* The end of what a timeout resent, or that it was for nothing (peers without SACK). */
static void ack_after_timeout(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			      const struct mr_delivery *d, uint32_t bytes)
{
	a->leapt = bytes > LEAP_SEGMENTS * (uint32_t)c->snd_mss;
	/* what filled a gap shows nothing about what was sent behind it */
	mr_recovery_frto(t, c, a, d->original && !d->resent, false, true);
	if (!(c->flags & MR_CONN_RTO_RECOVERY))
		return;
	if (!mr_seq_lt(c->snd_una, c->recover)) {
		c->flags &= ~MR_CONN_RTO_RECOVERY;
		a->frto = MR_FRTO_OFF;
		mr_recovery_event(t, c, a, MR_CC_RECOVERY_ENDS);
	}
	if (a->lost)
		mr_tcp_want_output(t, c);
}

/* What the congestion control is told of an ACK, beside what it acknowledged. */
static inline void fill_ack(struct mr_cc_ack *ack, const struct mr_conn *c, struct mr_active *a,
			    const struct mr_segment *seg, const struct mr_delivery *d)
{
	ack->rtt_us = d->rtt_us;
	ack->limited = mr_cwv_is_limited(c, a, ack->flight);
	ack->ece = mr_ecn_is_echo(c, a, seg);
}

static void new_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	struct mr_cc_ack ack = { .flight = mr_conn_flight(t, c) };
	struct mr_active *a = mr_active_of(t, c);
	struct mr_delivery d = { .advanced = true };
	bool in_recovery = c->flags & MR_CONN_RECOVERY;

	ack.acked = mr_tcp_acked(t, c, a, seg->ack, &d);
	ack.delivered = ack.acked;
	fill_ack(&ack, c, a, seg, &d);
	mr_path_acked(t, c, a);
	c->dupacks = 0;
	sample_rtt(t, c, seg);
	mr_recovery_undo_by_timestamp(t, c, a, seg);
	in_recovery = in_recovery && c->flags & MR_CONN_RECOVERY; /* or it was undone just now */
	if (in_recovery)
		ack_in_recovery(t, c, ack.acked);
	ack.recovery = c->flags & MR_CONN_RECOVERY;
	if (!in_recovery || mr_cc_of(c)->rules_recovery)
		mr_cc_of(c)->acked(t, c, a, &ack);
	if (c->flags & MR_CONN_RTO_RECOVERY)
		ack_after_timeout(t, c, a, &d, ack.acked);
	mr_timer_data_acked(t, c);
	after_new_ack(t, c);
}

/* The same for peers with SACK: what counts is what they have, not how often they say so. */
static void selective_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	struct mr_cc_ack ack = { .flight = mr_conn_flight(t, c) };
	struct mr_delivery d = { .advanced = seg->ack != c->snd_una };

	if (!d.advanced && !seg->options.n_sack && !(a && a->tlp_is_out))
		return;
	a = mr_active_of(t, c);
	if (seg->options.n_sack)
		mr_scoreboard_arrives(t, c, a, seg, &d);
	if (d.advanced) {
		ack.acked = mr_tcp_acked(t, c, a, seg->ack, &d);
		mr_path_acked(t, c, a);
		sample_rtt(t, c, seg);
	}
	ack.delivered = d.delivered;
	fill_ack(&ack, c, a, seg, &d);
	mr_recovery_acked(t, c, a, seg, &ack, &d);
	if (d.advanced)
		after_new_ack(t, c);
	else if (d.sacked)
		mr_tcp_want_output(t, c); /* the pipe shrank */
}

/* RFC 9293 3.10.7.4: SND.WL1 and SND.WL2 keep old segments from changing the window. */
void mr_tcp_update_send_window(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint32_t before = c->snd_wnd;

	/* what acknowledges more is never old, even if text overtook it (Linux, tcp_ack.c) */
	if (!(mr_seq_lt(c->snd_wl2, seg->ack) || mr_seq_lt(c->snd_wl1, seg->seq) ||
	      (c->snd_wl1 == seg->seq && mr_seq_le(c->snd_wl2, seg->ack))))
		return;
	/* a SYN's window is never scaled (RFC 7323 2.2) */
	c->snd_wnd = (uint32_t)seg->wnd << (seg->flags & MR_SYN ? 0 : c->snd_shift);
	c->snd_wl1 = seg->seq;
	c->snd_wl2 = seg->ack;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, c->snd_wnd);
	if (c->snd_wnd > before) {
		mr_timer_window_opened(t, c);
		mr_tcp_want_output(t, c);
	}
}

static inline void take_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (c->flags & MR_CONN_SACK)
		selective_ack(t, c, seg);
	else if (is_duplicate(t, c, seg))
		duplicate_ack(t, c);
	else if (seg->ack != c->snd_una)
		new_ack(t, c, seg);
	mr_tcp_update_send_window(t, c, seg);
}

/* snd_una - max_snd_wnd <= seg->ack <= snd_nxt was checked (RFC 5961 5.2). */
void mr_tcp_process_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	struct mr_ecn_before before;

	if (mr_seq_lt(seg->ack, c->snd_una))
		return; /* old duplicate: its text is still read */
	if (!(c->flags & MR_CONN_ECN)) {
		take_ack(t, c, seg);
		return;
	}
	before = mr_ecn_ack_arrives(t, c, seg);
	take_ack(t, c, seg);
	mr_ecn_acked(t, c, seg, &before);
}
