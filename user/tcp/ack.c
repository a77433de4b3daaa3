/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, fifth step, ESTABLISHED: what an acknowledgment does to the sender: frees
 * text, samples the round trip (RFC 6298, RFC 7323 4), moves the congestion window and recovers
 * from loss (NewReno: RFC 5681 3.2, RFC 6582).
 */
#include "user/tcp/internal.h"

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

static void enter_recovery(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t flight = mr_conn_flight(t, c);

	if (mr_path_probe_lost(t, c))
		return;
	if (!mr_tcp_retransmit_head(t, c)) {
		c->dupacks--; /* no room: the next duplicate asks again */
		return;
	}
	c->ssthresh = mr_cc_of(c)->ssthresh(t, c, mr_active_of(t, c), flight);
	c->recover = c->snd_nxt;
	c->flags |= MR_CONN_RECOVERY;
	t->stats->fast_retransmits++;
	c->cwnd = c->ssthresh + MR_DUPACKS * c->snd_mss;
	mr_tcp_want_output(t, c);
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
	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	if (c->flags &
	    MR_CONN_RECOVERY) { /* RFC 6582 3.2, step 4: each one is a segment that left */
		c->cwnd += c->snd_mss;
		mr_tcp_want_output(t, c);
		return;
	}
	/*
	 * RFC 6582 3.2, step 2: not for the losses of an earlier window: at `recover` itself the
	 * duplicates answer what was sent again without need
	 */
	if (c->dupacks == MR_DUPACKS && !(c->flags & MR_CONN_RTO_RECOVERY) &&
	    c->snd_una != c->recover)
		enter_recovery(t, c);
}

/* RFC 6582 3.2, step 5: a partial acknowledgment is the next hole, a full one ends recovery. */
static void ack_in_recovery(struct mr_tcp *t, struct mr_conn *c, uint32_t bytes)
{
	if (!mr_seq_lt(c->snd_una, c->recover)) {
		c->cwnd = min_u32(c->ssthresh,
				  max_u32(mr_conn_flight(t, c), c->snd_mss) + c->snd_mss);
		c->flags &= ~MR_CONN_RECOVERY;
		return;
	}
	mr_tcp_retransmit_head(t, c);
	c->cwnd -= min_u32(bytes, c->cwnd);
	if (bytes >= c->snd_mss)
		c->cwnd += c->snd_mss;
	c->cwnd = max_u32(c->cwnd, c->snd_mss);
}

static void new_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	struct mr_cc_ack ack = { .flight = mr_conn_flight(t, c) };
	struct mr_active *a = mr_active_of(t, c);

	ack.acked = mr_tcp_acked(t, c, seg->ack);
	ack.delivered = ack.acked;
	mr_path_acked(t, c, a);
	ack.limited = c->flags & (MR_CONN_CWND_LIMITED | MR_CONN_RTO_RECOVERY);
	c->dupacks = 0;
	sample_rtt(t, c, seg);
	if (c->flags & MR_CONN_RECOVERY)
		ack_in_recovery(t, c, ack.acked);
	else
		mr_cc_of(c)->acked(t, c, a, &ack);
	if (c->flags & MR_CONN_RTO_RECOVERY && !mr_seq_lt(c->snd_una, c->recover))
		c->flags &= ~MR_CONN_RTO_RECOVERY;
	mr_timer_data_acked(t, c);
	if (c->tx_next != MR_NONE || c->flags & MR_CONN_FIN_QUEUED)
		mr_tcp_want_output(t, c);
	if (c->flags & MR_CONN_WANT_WRITE && mr_tcp_send_room(t, c))
		t->ops->event(t, c, MR_EVENT_WRITABLE);
}

/* RFC 9293 3.10.7.4: SND.WL1 and SND.WL2 keep old segments from changing the window. */
void mr_tcp_update_send_window(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint32_t before = c->snd_wnd;

	if (!(mr_seq_lt(c->snd_wl1, seg->seq) ||
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

/* snd_una - max_snd_wnd <= seg->ack <= snd_nxt was checked (RFC 5961 5.2). */
void mr_tcp_process_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (mr_seq_lt(seg->ack, c->snd_una))
		return; /* old duplicate: its text is still read */
	if (is_duplicate(t, c, seg))
		duplicate_ack(t, c);
	else if (seg->ack != c->snd_una)
		new_ack(t, c, seg);
	mr_tcp_update_send_window(t, c, seg);
}
