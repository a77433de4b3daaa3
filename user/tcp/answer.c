/* SPDX-License-Identifier: MIT */
/*
 * The counterpart of header prediction: most segments that leave are one answer, on a connection
 * where nothing else is in flight, lost, closing, paced or urgent, with nothing in its header but
 * ACK, window and timestamps. No rule of output.c holds it back, and nothing is left to look at
 * when it is gone; what output.c would come to stands here.
 */
#include "user/tcp/internal.h"

enum {
	UNUSUAL = MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY | MR_CONN_PROBING | MR_CONN_FIN_QUEUED |
		  MR_CONN_FAST_OPEN | MR_CONN_ECN,
};

static inline bool is_answer(const struct mr_tcp *t, const struct mr_conn *c,
			     const struct mr_active *a)
{
	const struct mr_frame *r;

	if (c->tx_next == MR_NONE || c->tx_next != c->tx_head || c->tx_head != c->tx_tail ||
	    c->snd_una != c->snd_nxt || c->state != MR_ESTABLISHED ||
	    (c->flags & (UNUSUAL | MR_CONN_TIMESTAMPS)) != MR_CONN_TIMESTAMPS || !a ||
	    !mr_active_is_usual(a) || mr_cc_of(c)->pacing_rate)
		return false;
	r = &t->frames->record[c->tx_head];
	return r->len && r->len <= c->snd_mss && r->len <= c->cwnd && r->len <= c->snd_wnd &&
	       !r->in_tx && !r->sends && !r->marks;
}

static inline void fill(struct mr_tcp *t, struct mr_conn *c, const struct mr_active *a,
			const struct mr_frame *r, struct mr_plain_out *out)
{
	c->rcv_wnd = mr_tcp_window_of(t, c, a);
	out->seq = r->seq;
	out->ack = c->rcv_nxt;
	out->wnd = (uint16_t)(c->rcv_wnd >> c->rcv_shift);
	out->ts_val = t->now_ms + t->ts_offset;
	out->ts_ecr = c->ts_recent;
	out->ttl = t->ip ? t->ip[c->rule].ttl : 0;
	out->dscp = t->ip ? t->ip[c->rule].dscp : 0;
}

static inline void note_text(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     struct mr_frame *r)
{
	uint32_t end = r->seq + r->len;

	a->used_ms = t->now_ms;
	r->sent_us = (uint32_t)t->now_us;
	r->sends = 1;
	mr_tcp_start_rtt(t, c, r->seq);
	a->cc_sent_ms = t->now_ms;
	mr_path_sent(a, r->len, end);
	mr_scoreboard_sent_alone(t, a, c->tx_head);
	c->snd_nxt = end;
	if (r->len < c->snd_mss) {
		a->small_end = end;
		a->has_small = 1;
	}
	mr_frame_set_state(t->frames, c->tx_head, MR_FRAME_SENT);
	c->tx_next = MR_NONE;
	mr_timer_answer_sent(t, c, a);
}

/* Is an answer all that waits? Then it left, or SEND_LIMITED says that there was no room. */
inline bool mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	struct mr_plain_out out;
	struct mr_frame *r;

	if (!is_answer(t, c, a))
		return false;
	if (c->cwnd > (uint32_t)MR_INITIAL_SEGMENTS * c->snd_mss)
		mr_cwv_sending_begins(t, c);
	r = &t->frames->record[c->tx_head];
	fill(t, c, a, r, &out);
	if (!t->ops->answer(t, c, c->tx_head, &out)) {
		c->flags |= MR_CONN_SEND_LIMITED;
		return true;
	}
	t->stats->segments_out++;
	c->flags &= ~(MR_CONN_CWND_LIMITED | MR_CONN_SEND_LIMITED);
	mr_tcp_ack_left(c, a, true);
	note_text(t, c, a, r);
	return true;
}
