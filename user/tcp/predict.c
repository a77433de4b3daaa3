/* SPDX-License-Identifier: MIT */
/*
 * Header prediction (Jacobson, "4BSD TCP header prediction", 1990): most segments of a connection
 * are the one that it waits for: the next text in order, on a connection where nothing is lost,
 * closing or being probed, that acknowledges nothing, or the one segment in flight. For those the
 * eight steps of input.c come to what stands here, and every condition below is one of theirs.
 * Whatever differs in anything goes through the steps.
 */
#include "user/tcp/internal.h"

enum {
	USUAL = MR_CONN_TIMESTAMPS | MR_CONN_SACK,
	UNUSUAL = MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY | MR_CONN_PROBING | MR_CONN_ECN |
		  MR_CONN_SHUT_RD | MR_CONN_ORPHAN | MR_CONN_FIN_QUEUED | MR_CONN_FIN_RECEIVED |
		  MR_CONN_WANT_WRITE,
};

/* First to fourth, sixth and eighth step: nothing is to be done but to note the time. */
static inline bool is_expected(const struct mr_tcp *t, const struct mr_conn *c,
			       const struct mr_segment *seg)
{
	return c->state == MR_ESTABLISHED && (c->flags & (USUAL | UNUSUAL)) == USUAL &&
	       (seg->flags & ~MR_PSH) == MR_ACK && seg->seq == c->rcv_nxt &&
	       seg->len <= c->rcv_wnd && c->ooo_head == MR_NONE && c->rx_head == MR_NONE &&
	       seg->options.has_timestamps && !seg->options.n_sack &&
	       mr_seq_le(c->ts_recent, seg->options.ts_val) &&
	       mr_seq_le(seg->seq, c->last_ack_sent) && t->frames->n_free > 2 * t->frames->reserve;
}

/* Fifth: the one segment in flight, sent once, is acknowledged, and nothing else waits. */
static inline bool acks_all(const struct mr_tcp *t, const struct mr_conn *c,
			    const struct mr_active *a, const struct mr_segment *seg)
{
	const struct mr_frame *r = &t->frames->record[c->tx_head];

	return seg->ack == c->snd_nxt && c->tx_head != MR_NONE && c->tx_head == c->tx_tail &&
	       c->tx_next == MR_NONE && r->sends == 1 && r->marks == MR_FRAME_TIMED &&
	       r->seq + r->len == seg->ack && !a->tlp_is_out && c->flags & MR_CONN_RTT_RUNNING &&
	       mr_seq_lt(c->rtt_seq, seg->ack);
}

/* What mr_tcp_acked() comes to for one frame, at half of its instructions. */
static inline void take_ack(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			    const struct mr_cc *cc, const struct mr_segment *seg)
{
	uint32_t bytes = c->tx_bytes;
	struct mr_cc_ack ack = { .acked = bytes, .delivered = bytes, .flight = bytes };

	ack.rtt_us = mr_rack_answered(t, a, &t->frames->record[c->tx_head]);
	mr_frame_give(t->frames, c->tx_head);
	mr_scoreboard_clear(a);
	c->tx_head = MR_NONE;
	c->tx_tail = MR_NONE;
	c->tx_bytes = 0;
	mr_conn_advance_una(c, seg->ack);
	ack.limited = mr_cwv_is_limited(c, a, bytes);
	mr_path_acked(t, c, a);
	c->flags &= ~MR_CONN_RTT_RUNNING;
	mr_rtt_sample(c, (uint32_t)t->now_us - c->rtt_start_us);
	mr_cc_acked(cc, t, c, a, &ack);
	mr_timer_data_acked(t, c);
}

/* mr_tcp_update_send_window() for what acknowledges no less than ever, and without a probe. */
static inline void take_window(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint32_t wnd = (uint32_t)seg->wnd << c->snd_shift;
	uint32_t before = c->snd_wnd;

	if (mr_seq_lt(seg->seq, c->snd_wl1) && c->snd_wl2 == seg->ack)
		return;
	c->snd_wnd = wnd;
	c->snd_wl1 = seg->seq;
	c->snd_wl2 = seg->ack;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, wnd);
	if (wnd > before && !(c->flags & MR_CONN_READY))
		mr_tcp_want_output(t, c);
}

inline bool mr_tcp_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	const struct mr_cc *cc;
	struct mr_active *a;

	if (!is_expected(t, c, seg))
		return false;
	a = mr_active_peek(t->actives, c);
	if (seg->ack == c->snd_una) {
		if (!seg->len || (a && a->tlp_is_out))
			return false;
	} else {
		cc = mr_cc_of(c);
		if (!a || cc->pacing_rate || !acks_all(t, c, a, seg))
			return false;
		a->used_ms = t->now_ms;
		take_ack(t, c, a, cc, seg);
	}
	take_window(t, c, seg);
	c->ts_recent = seg->options.ts_val;
	mr_timer_segment_received(t, c);
	t->stats->segments_in++;
	return true;
}

/* The same with its text: @kept as mr_tcp_segment_arrives(). */
bool mr_tcp_predict(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
		    uint32_t frame, bool *kept)
{
	if (!mr_tcp_expected(t, c, seg))
		return false;
	*kept = seg->len && mr_tcp_queue_expected(t, c, seg, frame);
	return true;
}
