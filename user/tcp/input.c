/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7, SEGMENT ARRIVES: one function a step, in the RFC's order.
 *
 * Options taken: RFC 5961 for RST (3.2), SYN (4.2) and ACK (5.2); RFC 7323 timestamps with PAWS in
 * the first step; RFC 6093: the urgent pointer is not interpreted, urgent text is read in line.
 */
#include "user/tcp/internal.h"

/* 3.10.7.1, CLOSED STATE. */
int mr_tcp_closed_state(struct mr_tcp *t, const struct mr_segment *seg)
{
	if (seg->flags & MR_RST)
		return MR_DROP_TCP_RST_UNKNOWN;
	mr_tcp_reply_rst(t, seg);
	return MR_DROP_TCP_NO_CONNECTION;
}

/* Take over what a SYN says (RFC 9293 3.7.1, RFC 7323 2.2 and 3.2). */
static void read_syn_options(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	const struct mr_tcp_options *o = &seg->options;
	uint32_t mtu = mr_tcp_mtu_of(c); /* of the path, as it was opened */

	if (o->has_timestamps) {
		c->ts_recent = o->ts_val;
		c->heard_ms = t->now_ms;
	} else {
		c->flags &= ~MR_CONN_TIMESTAMPS;
	}
	if (!o->sack_permitted) /* RFC 2018 2 */
		c->flags &= ~MR_CONN_SACK;
	if (o->has_window_scale && c->flags & MR_CONN_WINDOW_SCALE) {
		c->snd_shift = o->window_shift;
	} else {
		c->flags &= ~MR_CONN_WINDOW_SCALE;
		c->rcv_shift = 0;
		c->snd_shift = 0;
	}
	mr_tcp_set_mss(t, c, o->mss, mtu);
}

/* The SYN's window is never scaled (RFC 7323 2.2). */
static void take_syn_window(struct mr_conn *c, const struct mr_segment *seg)
{
	c->snd_wnd = seg->wnd;
	c->snd_wl1 = seg->seq;
	c->snd_wl2 = seg->ack;
	c->max_snd_wnd = max_u32(c->max_snd_wnd, c->snd_wnd);
}

/* Text in a SYN is not kept: the peer sends it again (allowed by 3.10.7.2: "process later"). */
static void syn_sent_established(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	bool syn_lost = c->backoff > 0;

	mr_fast_open_answered(t, c, seg);
	mr_fast_open_acked(t, c, seg->ack);
	take_syn_window(c, seg);
	c->backoff = 0;
	if (!syn_lost && c->flags & MR_CONN_RTT_RUNNING)
		mr_rtt_sample(c, (uint32_t)t->now_us - c->rtt_start_us);
	else if (syn_lost)
		c->rto_ms = MR_RTO_AFTER_SYN_LOSS_MS;
	c->flags &= ~MR_CONN_RTT_RUNNING;
	mr_path_established(t, c);
	mr_cc_of(c)->init(c, syn_lost);
	c->flags |= MR_CONN_ACK_NOW;
	mr_tcp_set_state(t, c, MR_ESTABLISHED);
	mr_fast_open_established(t, c);
	mr_tcp_want_output(t, c);
}

/* 3.10.7.3, SYN-SENT STATE. */
static int syn_sent_state(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	/* text may stand behind our SYN (RFC 7413): both answers are good */
	bool acceptable = seg->flags & MR_ACK && mr_seq_lt(c->iss, seg->ack) &&
			  mr_seq_le(seg->ack, c->snd_nxt);

	/* first, the ACK bit */
	if (seg->flags & MR_ACK && !acceptable) {
		if (!(seg->flags & MR_RST))
			mr_tcp_reply_rst(t, seg);
		return MR_DROP_TCP_ACK;
	}
	/* second, the RST bit; RFC 5961 3.2 allows it with an acceptable ACK only */
	if (seg->flags & MR_RST) {
		if (!acceptable)
			return MR_DROP_TCP_SEQUENCE;
		t->stats->resets_in++;
		mr_tcp_close_conn(t, c, MR_CLOSE_REFUSED);
		return MR_DROP_NONE;
	}
	/* third, security: we carry none; fourth, the SYN bit */
	if (!(seg->flags & MR_SYN))
		return MR_DROP_TCP_FLAGS;
	c->irs = seg->seq;
	c->rcv_nxt = seg->seq + 1;
	c->last_ack_sent = c->rcv_nxt;
	read_syn_options(t, c, seg);
	mr_ecn_syn_arrives(t, c, seg);
	if (acceptable) {
		syn_sent_established(t, c, seg);
		return MR_DROP_NONE;
	}
	/* simultaneous open (MUST-10): SYN-RECEIVED, and our SYN goes out again with an ACK */
	take_syn_window(c, seg);
	mr_tcp_set_state(t, c, MR_SYN_RECEIVED);
	c->flags &= ~MR_CONN_RTT_RUNNING; /* Karn: the SYN leaves for the second time */
	mr_tcp_send_syn(t, c);
	return MR_DROP_NONE;
}

/* RFC 7323 5.5: after 24 idle days the peer's clock may have wrapped its sign bit. */
static bool is_ts_recent_outdated(const struct mr_tcp *t, const struct mr_conn *c)
{
	return t->now_ms - c->heard_ms >= MR_PAWS_IDLE_MS;
}

/* RFC 7323 5.3 R1: a timestamp from the past, unless ts_recent itself is too old to say so. */
static bool is_paws_failure(const struct mr_tcp *t, const struct mr_conn *c,
			    const struct mr_segment *seg)
{
	if (!(c->flags & MR_CONN_TIMESTAMPS) || !seg->options.has_timestamps || seg->flags & MR_RST)
		return false;
	return mr_seq_lt(seg->options.ts_val, c->ts_recent) && !is_ts_recent_outdated(t, c);
}

/* 3.10.7.4, table 6: is any part of the segment inside the window? */
static bool is_acceptable(const struct mr_conn *c, const struct mr_segment *seg)
{
	uint32_t len = mr_segment_length(seg);
	uint32_t edge = c->rcv_nxt + c->rcv_wnd;

	if (!len && !c->rcv_wnd)
		return seg->seq == c->rcv_nxt;
	if (!len)
		return mr_seq_le(c->rcv_nxt, seg->seq) && mr_seq_lt(seg->seq, edge);
	if (!c->rcv_wnd)
		return false;
	return (mr_seq_le(c->rcv_nxt, seg->seq) && mr_seq_lt(seg->seq, edge)) ||
	       (mr_seq_lt(c->rcv_nxt, seg->seq + len) && mr_seq_lt(seg->seq + len - 1, edge));
}

/*
 * An ACK, RST or URG of a segment that the zero window refuses still counts (MUST-66): text and
 * FIN are cut off, the rest is processed.
 */
static bool is_for_zero_window(const struct mr_conn *c, const struct mr_segment *seg)
{
	return !c->rcv_wnd && seg->seq == c->rcv_nxt;
}

/*
 * A pure ACK at the right edge, where table 6 ends: the peer has used our window up, so that this
 * is its SND.NXT. Had all its text come, the window were zero and the ACK valid (3.10.7.4); it is
 * the same segment while some is missing, and we would send again what it acknowledges until that
 * came. Linux takes it (tcp_sequence()). It moves no timestamp, for it lies beyond the last ACK;
 * SYN, FIN, text and RST are left to the table, and so to RFC 5961.
 */
static bool is_ack_at_edge(const struct mr_conn *c, const struct mr_segment *seg)
{
	return (seg->flags & (MR_SYN | MR_FIN | MR_RST | MR_ACK)) == MR_ACK && !seg->len &&
	       seg->seq == c->rcv_nxt + c->rcv_wnd;
}

/* Simultaneous open: the SYN-ACK that answers our SYN repeats the SYN that we know (3.5, figure 8).
 */
static bool is_answer_to_both_syns(const struct mr_conn *c, const struct mr_segment *seg)
{
	return c->state == MR_SYN_RECEIVED && !(c->flags & MR_CONN_PASSIVE) && seg->seq == c->irs &&
	       seg->flags & MR_SYN && seg->flags & MR_ACK;
}

/* RFC 5961 4.2; with accurate ECN the ACK says how the SYN-ACK came that is there again. */
static void answer_syn(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (c->flags & MR_CONN_ECN)
		mr_accurate_syn_again(t, c, seg, true);
	mr_tcp_send_challenge(t, c);
	if (c->flags & MR_CONN_ECN)
		mr_accurate_syn_again(t, c, seg, false);
}

static void answer_unacceptable(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (seg->flags & MR_RST)
		return;
	if (seg->flags & MR_SYN) { /* RFC 5961 4.2, irrespective of the sequence number */
		answer_syn(t, c, seg);
		return;
	}
	/* text is no part of a loop of ACKs, and its sender waits */
	if (!seg->len && !(seg->flags & MR_FIN) && !mr_tcp_may_answer(t, c))
		return;
	c->flags |= MR_CONN_ACK_NOW;
	mr_tcp_want_output(t, c);
}

/* RFC 5961 5.2: it acknowledges what was never sent, or what no peer would any more. */
static inline bool is_ack_refused(const struct mr_conn *c, const struct mr_segment *seg)
{
	return mr_seq_lt(c->snd_nxt, seg->ack) || mr_seq_lt(seg->ack, c->snd_una - c->max_snd_wnd);
}

/* First, check sequence number. *@drop says why when the step ends the processing. */
static enum step first_check_sequence_number(struct mr_tcp *t, struct mr_conn *c,
					     const struct mr_segment *seg, int *drop)
{
	if (is_paws_failure(t, c, seg)) {
		answer_unacceptable(t, c, seg);
		*drop = MR_DROP_TCP_PAWS;
		return STEP_DONE;
	}
	if (!is_acceptable(c, seg) && !is_for_zero_window(c, seg) && !is_ack_at_edge(c, seg) &&
	    !is_answer_to_both_syns(c, seg)) {
		answer_unacceptable(t, c, seg);
		*drop = MR_DROP_TCP_SEQUENCE;
		if (seg->len && mr_seq_le(seg->seq + seg->len, c->rcv_nxt)) {
			t->stats->duplicates++;
			if (c->flags & MR_CONN_ECN)
				mr_accurate_arrives(t, c, seg);
			mr_sack_duplicate(t, c, seg->seq, seg->seq + seg->len);
		}
		return STEP_DONE;
	}
	/*
	 * RFC 7323 4.3 (2): remember the timestamp of the segment that the next ACK answers. Not of
	 * one that the fifth step discards: RFC 5961 5 leaves nothing of it.
	 */
	if (c->flags & MR_CONN_TIMESTAMPS && seg->options.has_timestamps &&
	    !is_ack_refused(c, seg) &&
	    (mr_seq_le(c->ts_recent, seg->options.ts_val) || is_ts_recent_outdated(t, c)) &&
	    mr_seq_le(seg->seq, c->last_ack_sent)) {
		c->ts_recent = seg->options.ts_val;
		c->heard_ms = t->now_ms;
	}
	return STEP_NEXT;
}

/*
 * Both sides have ended. Text of ours that was not acknowledged is lost; else the peer is only done
 * with us, and what the application has not read yet stays for it: mr_tcp_consumed() closes then.
 */
static void reset_while_closing(struct mr_tcp *t, struct mr_conn *c)
{
	if (!c->rx_bytes || c->tx_bytes) {
		mr_tcp_close_conn(t, c, c->rx_bytes ? MR_CLOSE_RESET_BY_PEER : MR_CLOSE_DONE);
		return;
	}
	mr_conn_advance_una(c, c->snd_nxt);
	mr_timer_data_acked(t, c);
	if (c->state == MR_CLOSING)
		mr_tcp_set_state(t, c, MR_TIME_WAIT);
}

/* Second, check the RST bit (RFC 5961 3.2: only RCV.NXT exactly resets). */
static enum step second_check_rst_bit(struct mr_tcp *t, struct mr_conn *c,
				      const struct mr_segment *seg, int *drop)
{
	if (!(seg->flags & MR_RST))
		return STEP_NEXT;
	if (seg->seq != c->rcv_nxt) { /* in the window, or the first check had dropped it */
		*drop = MR_DROP_TCP_SEQUENCE;
		mr_tcp_send_challenge(t, c);
		return STEP_DONE;
	}
	t->stats->resets_in++;
	mr_trace(t, c, MR_TRACE_RESET_IN, 0, 0);
	switch (c->state) {
	case MR_SYN_RECEIVED:
		mr_tcp_close_conn(t, c,
				  c->flags & MR_CONN_PASSIVE ? MR_CLOSE_RESET_BY_PEER
							     : MR_CLOSE_REFUSED);
		break;
	case MR_ESTABLISHED:
	case MR_FIN_WAIT_1:
	case MR_FIN_WAIT_2:
	case MR_CLOSE_WAIT:
		mr_tcp_close_conn(t, c, MR_CLOSE_RESET_BY_PEER);
		break;
	case MR_CLOSING:
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		reset_while_closing(t, c);
		break;
	case MR_CLOSED:
	case MR_LISTEN:
	case MR_SYN_SENT:
		break; /* 3.10.7.1 to 3.10.7.3 */
	}
	return STEP_DONE;
}

/* Fourth, check the SYN bit (RFC 5961 4.2: a challenge ACK, whatever the sequence number). */
static enum step fourth_check_syn_bit(struct mr_tcp *t, struct mr_conn *c,
				      const struct mr_segment *seg, int *drop)
{
	if (!(seg->flags & MR_SYN))
		return STEP_NEXT;
	if (is_answer_to_both_syns(c, seg))
		return STEP_NEXT;
	*drop = MR_DROP_TCP_SEQUENCE;
	answer_syn(t, c, seg);
	return STEP_DONE;
}

/* Fifth, in SYN-RECEIVED: the ACK of our SYN establishes the connection. */
static enum step ack_in_syn_received(struct mr_tcp *t, struct mr_conn *c,
				     const struct mr_segment *seg, int *drop)
{
	bool syn_lost = c->backoff > 0;

	if (!(mr_seq_lt(c->iss, seg->ack) && mr_seq_le(seg->ack, c->snd_nxt))) {
		*drop = MR_DROP_TCP_ACK;
		mr_tcp_reply_rst(t, seg);
		return STEP_DONE;
	}
	mr_fast_open_acked(t, c, seg->ack);
	c->snd_wnd = (uint32_t)seg->wnd << (seg->flags & MR_SYN ? 0 : c->snd_shift);
	c->snd_wl1 = seg->seq;
	c->snd_wl2 = seg->ack;
	c->max_snd_wnd = c->snd_wnd;
	c->backoff = 0;
	if (syn_lost)
		c->rto_ms = MR_RTO_AFTER_SYN_LOSS_MS;
	else if (c->flags & MR_CONN_RTT_RUNNING)
		mr_rtt_sample(c, (uint32_t)t->now_us - c->rtt_start_us);
	c->flags &= ~MR_CONN_RTT_RUNNING;
	mr_path_established(t, c);
	mr_cc_of(c)->init(c, syn_lost);
	mr_tcp_set_state(t, c, MR_ESTABLISHED);
	mr_ecn_established(t, c, seg);
	mr_fast_open_established(t, c);
	return c->state == MR_CLOSED ? STEP_DONE : STEP_NEXT;
}

/* Fifth, the closing states: what the ACK of our FIN brings. */
static enum step ack_of_fin(struct mr_tcp *t, struct mr_conn *c)
{
	if (!mr_conn_fin_is_acked(c))
		return STEP_NEXT;
	switch (c->state) {
	case MR_FIN_WAIT_1:
		mr_tcp_set_state(t, c, MR_FIN_WAIT_2);
		return STEP_NEXT;
	case MR_CLOSING:
		mr_tcp_set_state(t, c, MR_TIME_WAIT);
		return STEP_DONE;
	case MR_LAST_ACK: /* what is not read yet is read first: mr_tcp_consumed() closes then */
		if (!c->rx_bytes)
			mr_tcp_close_conn(t, c, MR_CLOSE_DONE);
		return STEP_DONE;
	case MR_CLOSED:
	case MR_LISTEN:
	case MR_SYN_SENT:
	case MR_SYN_RECEIVED:
	case MR_ESTABLISHED:
	case MR_FIN_WAIT_2:
	case MR_CLOSE_WAIT:
	case MR_TIME_WAIT:
		break;
	}
	return STEP_NEXT;
}

/* Fifth, check the ACK field. */
static enum step fifth_check_ack_field(struct mr_tcp *t, struct mr_conn *c,
				       const struct mr_segment *seg, int *drop)
{
	if (!(seg->flags & MR_ACK)) {
		*drop = MR_DROP_TCP_NO_ACK;
		return STEP_DONE;
	}
	if (c->state == MR_SYN_RECEIVED && ack_in_syn_received(t, c, seg, drop) == STEP_DONE)
		return STEP_DONE;
	/* RFC 5961 5.2 */
	if (is_ack_refused(c, seg)) {
		*drop = MR_DROP_TCP_ACK;
		mr_tcp_send_challenge(t, c);
		return STEP_DONE;
	}
	if (c->flags & MR_CONN_ECN)
		mr_accurate_arrives(t, c, seg);
	mr_tcp_process_ack(t, c, seg);
	return ack_of_fin(t, c);
}

/* May text still come? */
static bool takes_text(const struct mr_conn *c)
{
	return c->state == MR_ESTABLISHED || c->state == MR_FIN_WAIT_1 || c->state == MR_FIN_WAIT_2;
}

/* New text that nobody will read: RST (RFC 9293 3.6.1, SHLD-3; RFC 1122 4.2.2.13). */
static enum step refuse_text(struct mr_tcp *t, struct mr_conn *c, int *drop)
{
	*drop = MR_DROP_TCP_AFTER_SHUTDOWN;
	mr_tcp_send_rst(t, c);
	mr_tcp_close_conn(t, c, MR_CLOSE_UNREAD);
	return STEP_DONE;
}

/* Seventh, process the segment text. */
static enum step seventh_process_segment_text(struct mr_tcp *t, struct mr_conn *c,
					      const struct mr_segment *seg, uint32_t frame,
					      bool *kept, int *drop)
{
	uint32_t before = c->rcv_nxt;

	if (!takes_text(c) || (!seg->len && !(seg->flags & MR_FIN)))
		return STEP_NEXT;
	if (c->flags & (MR_CONN_SHUT_RD | MR_CONN_ORPHAN) && seg->len &&
	    mr_seq_lt(c->rcv_nxt, seg->seq + seg->len))
		return refuse_text(t, c, drop);
	if (c->flags & MR_CONN_ECN && seg->len)
		mr_ecn_text_arrives(t, c, seg);
	*drop = mr_tcp_receive_text(t, c, seg, frame, kept);
	if (c->rcv_nxt != before)
		t->ops->event(t, c, MR_EVENT_READABLE);
	return STEP_NEXT;
}

/* Eighth, check the FIN bit: it is in order when all text before it is. */
static void eighth_check_fin_bit(struct mr_tcp *t, struct mr_conn *c)
{
	if (!(c->flags & MR_CONN_FIN_ARRIVED))
		return;
	c->flags &= ~MR_CONN_FIN_ARRIVED;
	c->flags |= MR_CONN_FIN_RECEIVED | MR_CONN_ACK_NOW;
	mr_tcp_drop_out_of_order(t, c); /* a peer that sends text behind its FIN */
	c->rcv_nxt++;
	c->rcv_wnd -= c->rcv_wnd > 0;
	mr_tcp_want_output(t, c);
	switch (c->state) {
	case MR_ESTABLISHED:
		mr_tcp_set_state(t, c, MR_CLOSE_WAIT);
		break;
	case MR_FIN_WAIT_1: /* our FIN is not acknowledged, or the fifth step had left */
		mr_tcp_set_state(t, c, MR_CLOSING);
		break;
	case MR_FIN_WAIT_2:
		mr_tcp_set_state(t, c, MR_TIME_WAIT);
		break;
	case MR_CLOSED:
	case MR_LISTEN:
	case MR_SYN_SENT:
	case MR_SYN_RECEIVED:
	case MR_CLOSE_WAIT:
	case MR_CLOSING:
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		break;
	}
	t->ops->event(t, c, MR_EVENT_READABLE);
}

/* RFC 7413 5.2: the SYN whose text we have, again: so is our SYN-ACK. */
static bool is_early_syn_again(const struct mr_conn *c, const struct mr_segment *seg)
{
	return mr_conn_is_early(c) && (seg->flags & (MR_SYN | MR_ACK | MR_RST)) == MR_SYN &&
	       seg->seq == c->irs;
}

/* 3.10.7.4, OTHER STATES: the RFC's eight checks, in its order. */
static int other_states(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			uint32_t frame, bool *kept)
{
	int drop = MR_DROP_NONE;

	if (is_early_syn_again(c, seg)) {
		t->stats->duplicates++;
		c->flags &= ~MR_CONN_RTT_RUNNING; /* Karn: the SYN-ACK leaves again */
		mr_tcp_send_syn(t, c);
		return MR_DROP_NONE;
	}
	if (first_check_sequence_number(t, c, seg, &drop) == STEP_DONE)
		return drop;
	if (second_check_rst_bit(t, c, seg, &drop) == STEP_DONE)
		return drop;
	/* third, security/compartment: we carry none */
	if (fourth_check_syn_bit(t, c, seg, &drop) == STEP_DONE)
		return drop;
	if (fifth_check_ack_field(t, c, seg, &drop) == STEP_DONE)
		return drop;
	mr_timer_segment_received(t, c);
	mr_tcp_check_urg_bit(t, c, seg); /* sixth */
	if (is_for_zero_window(c, seg) && seg->len) {
		answer_unacceptable(t, c, seg); /* MUST-66: only ACK and RST counted */
		return MR_DROP_TCP_SEQUENCE;
	}
	if (seventh_process_segment_text(t, c, seg, frame, kept, &drop) == STEP_DONE)
		return drop;
	eighth_check_fin_bit(t, c);
	return drop;
}

int mr_tcp_segment_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame, bool *kept)
{
	int drop = MR_DROP_NONE;

	if (mr_tcp_predict(t, c, seg, frame, kept))
		return MR_DROP_NONE;
	*kept = false;
	switch (c->state) {
	case MR_CLOSED:
		drop = mr_tcp_closed_state(t, seg);
		break;
	case MR_SYN_SENT:
		drop = syn_sent_state(t, c, seg);
		break;
	case MR_LISTEN: /* a listener has no block: mr_tcp_listen_state() */
		break;
	case MR_SYN_RECEIVED:
	case MR_ESTABLISHED:
	case MR_FIN_WAIT_1:
	case MR_FIN_WAIT_2:
	case MR_CLOSE_WAIT:
	case MR_CLOSING:
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		drop = other_states(t, c, seg, frame, kept);
		break;
	}
	if (drop == MR_DROP_NONE)
		t->stats->segments_in++;
	return drop;
}

/* RFC 5927 4.1: the quoted segment must be one that is in flight. */
static bool is_in_flight(const struct mr_conn *c, uint32_t seq)
{
	/* text that waits behind a SYN has put snd_una behind it (RFC 7413) */
	return mr_seq_le(c->state == MR_SYN_SENT ? c->iss : c->snd_una, seq) &&
	       mr_seq_lt(seq, c->snd_nxt);
}

static bool is_port_unreachable(const struct mr_icmp_error *icmp)
{
	return icmp->ipv6 ? icmp->code == 4 : icmp->code == 3;
}

/* RFC 1191, RFC 8201: fragmentation needed, packet too big */
static bool is_too_big(const struct mr_icmp_error *icmp)
{
	return icmp->ipv6 ? icmp->type == 2 : icmp->type == 3 && icmp->code == 4;
}

/* RFC 9293 3.9.2.2, RFC 5461 2: no route, no host, no address now: it may pass. */
static bool is_hard(const struct mr_icmp_error *icmp)
{
	if (icmp->ipv6)
		return icmp->type == 1 && icmp->code != 0 && icmp->code != 3;
	return icmp->type == 3 && icmp->code != 0 && icmp->code != 1 && icmp->code != 4 &&
	       icmp->code != 5;
}

void mr_tcp_icmp_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_icmp_error *icmp)
{
	if (!is_in_flight(c, icmp->seq))
		return;
	t->stats->icmp_errors++;
	if (is_too_big(icmp)) {
		mr_path_too_big(t, c, icmp);
		return;
	}
	/* RFC 5927 5.2: hard errors abort only connections that are being opened; source quench and
	 * all soft errors change nothing (MUST-55, MUST-56) */
	if (is_hard(icmp) && c->state == MR_SYN_SENT)
		mr_tcp_close_conn(
			t, c, is_port_unreachable(icmp) ? MR_CLOSE_REFUSED : MR_CLOSE_UNREACHABLE);
}
