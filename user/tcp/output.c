/* SPDX-License-Identifier: MIT */
/*
 * What leaves: segments of a connection, each built in one place (fill_segment), and the rules of
 * when (RFC 9293 3.7.4 Nagle, 3.8.6 windows, RFC 5681 congestion window).
 */
#include "user/tcp/internal.h"

enum {
	IPV4_TCP_BYTES = MR_IPV4_BYTES + MR_TCP_BYTES,
	IPV6_TCP_BYTES = MR_IPV6_BYTES + MR_TCP_BYTES,
	MSS_MIN = 64,	 /* a peer that offers less costs itself, not us */
	SACKS_LEAST = 2, /* beside timestamps and a duplicate */
};

static uint32_t header_bytes(const struct mr_conn *c)
{
	return mr_is_ipv4(c->remote) ? IPV4_TCP_BYTES : IPV6_TCP_BYTES;
}

/* The MTU that the present segment size stands for. */
uint32_t mr_tcp_mtu_of(const struct mr_conn *c)
{
	return c->snd_mss + header_bytes(c) +
	       (c->flags & MR_CONN_TIMESTAMPS ? MR_TS_OPTION_BYTES : 0);
}

/*
 * RFC 9293 3.7.1 and RFC 6691: what we send is bounded by the peer's option, by the path, and by
 * what one frame holds; options come off it. @peer_mss 0: the option was absent. @mtu 0: the
 * interface's.
 */
void mr_tcp_set_mss(struct mr_tcp *t, struct mr_conn *c, uint32_t peer_mss, uint32_t mtu)
{
	uint32_t room = t->frames->frame_bytes - MR_TX_OFFSET;
	uint32_t headers = header_bytes(c);
	uint32_t mss = max_u32(mtu ? mtu : t->config->mtu, headers + MSS_MIN) - headers;

	if (!peer_mss)
		peer_mss = mr_is_ipv4(c->remote) ? MR_MSS_DEFAULT_IPV4 : MR_MSS_DEFAULT_IPV6;
	mss = min_u32(mss, max_u32(peer_mss, MSS_MIN));
	if (c->flags & MR_CONN_TIMESTAMPS)
		mss -= MR_TS_OPTION_BYTES;
	c->snd_mss = (uint16_t)min_u32(mss, room);
	if (!c->rcv_mss)
		c->rcv_mss = c->snd_mss;
}

void mr_tcp_limit_mtu(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu)
{
	if (mtu < mr_tcp_mtu_of(c))
		mr_tcp_set_mss(t, c, mr_tcp_mtu_of(c) - header_bytes(c), mtu);
}

/* What we tell the peer (RFC 6691: options are not taken off): the interface, and our frames. */
static uint16_t mss_option(const struct mr_tcp *t, const uint8_t *remote)
{
	uint32_t headers = mr_is_ipv4(remote) ? IPV4_TCP_BYTES : IPV6_TCP_BYTES;
	uint32_t frame = t->frames->frame_bytes - 256 - MR_HEADERS_MAX;

	return (uint16_t)min_u32(t->config->mtu - headers, frame);
}

static void fill_ip(const struct mr_tcp *t, const struct mr_conn *c, struct mr_segment_out *out)
{
	if (!t->ip)
		return;
	out->ttl = t->ip[c->rule].ttl;
	out->dscp = t->ip[c->rule].dscp;
}

static void fill_timestamps(const struct mr_tcp *t, const struct mr_conn *c,
			    struct mr_segment_out *out)
{
	out->options.has_timestamps = true;
	out->options.ts_val = t->now_ms + t->ts_offset;
	out->options.ts_ecr = out->flags & MR_ACK ? c->ts_recent : 0;
}

/* Every segment of a connection: ACK, window and timestamps as they are now. */
static void fill_segment(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out,
			 uint32_t seq, uint8_t flags)
{
	out->seq = seq;
	out->ack = 0;
	out->wnd = 0;
	out->urgent = 0;
	out->flags = flags;
	out->ecn = 0;
	out->ttl = 0;
	out->dscp = 0;
	mr_tcp_options_clear(&out->options);
	fill_ip(t, c, out);
	if (flags & MR_ACK) {
		c->rcv_wnd = mr_tcp_select_window(t, c);
		out->ack = c->rcv_nxt;
		if (flags & MR_SYN)
			out->wnd = (uint16_t)min_u32(c->rcv_wnd, 65535);
		else
			out->wnd = (uint16_t)(c->rcv_wnd >> c->rcv_shift);
	}
	if (c->flags & MR_CONN_TIMESTAMPS)
		fill_timestamps(t, c, out);
	if (c->flags & MR_CONN_ECN)
		mr_ecn_fill(t, c, out);
}

/* SACK blocks beside @len bytes of text. False: no room for them, an ACK of its own follows. */
static inline bool fill_sack(const struct mr_conn *c, const struct mr_active *a,
			     struct mr_segment_out *out, uint32_t len)
{
	return !(c->flags & MR_CONN_SACK) || !a || mr_sack_fill(c, a, len, out);
}

/* A segment without text. False: no room, the output stage tries again. */
static bool send_control(struct mr_tcp *t, struct mr_conn *c, uint32_t seq, uint8_t flags)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	struct mr_segment_out out;
	bool all;

	fill_segment(t, c, &out, seq, flags);
	all = fill_sack(c, a, &out, 0);
	if (c->flags & MR_CONN_ECN && a)
		mr_accurate_fill_option(t, c, a, 0, &out);
	if (!t->ops->transmit(t, c, MR_NONE, &out)) {
		c->flags |= MR_CONN_SEND_LIMITED;
		return false;
	}
	t->stats->segments_out++;
	if (flags & MR_ACK)
		mr_tcp_ack_left(c, a, all);
	return true;
}

/*
 * snd_nxt, unless a window probe or a peer that took its window back put it beyond the window: a
 * segment there would not be acceptable to the peer, and its ACK or RST would be lost on it.
 */
static uint32_t control_seq(const struct mr_conn *c)
{
	uint32_t edge = c->snd_una + c->snd_wnd;

	return c->state >= MR_ESTABLISHED && mr_seq_lt(edge, c->snd_nxt) ? edge : c->snd_nxt;
}

/*
 * A half-open connection may stand for a SYN that somebody forged into a flow of another lane: its
 * peer would believe an ACK and free text that nobody received. Where there are other lanes it says
 * SYN-ACK and nothing else: that acknowledges as well, and a standing connection takes it for a SYN
 * (RFC 5961 4), while a client that crashed and opens anew resets it (RFC 9293 3.5.1).
 */
static bool must_be_quiet(const struct mr_tcp *t, const struct mr_conn *c)
{
	return t->config->quiet_half_open && c->state == MR_SYN_RECEIVED &&
	       c->flags & MR_CONN_PASSIVE && !mr_conn_is_early(c);
}

/* Not by the block: it is gone again before a frame of its own would be. */
static void reply_syn_ack(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_link link = mr_conn_link(c);
	struct mr_segment_out out;

	mr_tcp_syn_ack(t, c, &out);
	t->ops->reply(t, mr_conn_tuple(c), &link, &out);
	t->stats->segments_out++;
}

/* The runs that the ACK which follows has no room for. False: no room to send. */
static bool send_older_sacks(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	struct mr_segment_out out;
	uint8_t left;

	while ((left = mr_sack_older(c, a)) != a->n_untold) {
		fill_segment(t, c, &out, control_seq(c), MR_ACK);
		mr_sack_fill_older(a, left, &out);
		if (!t->ops->transmit(t, c, MR_NONE, &out)) {
			c->flags |= MR_CONN_SEND_LIMITED;
			return false;
		}
		a->n_untold = left;
		t->stats->segments_out++;
	}
	return true;
}

void mr_tcp_send_ack(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (must_be_quiet(t, c)) {
		c->flags &= ~MR_CONN_ACK_NOW;
		reply_syn_ack(t, c);
		return;
	}
	if (a && a->n_untold > SACKS_LEAST && !send_older_sacks(t, c, a)) {
		c->flags |= MR_CONN_ACK_NOW;
		return;
	}
	if (!send_control(t, c, control_seq(c), MR_ACK))
		c->flags |= MR_CONN_ACK_NOW;
}

void mr_tcp_send_rst(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_segment_out out = { .seq = control_seq(c),
				      .ack = c->rcv_nxt,
				      .flags = MR_RST | MR_ACK };

	struct mr_link link = mr_conn_link(c);

	fill_ip(t, c, &out);
	if (c->flags & MR_CONN_TIMESTAMPS) /* RFC 7323 3.2: SHOULD in a RST, too */
		fill_timestamps(t, c, &out);
	t->stats->resets_out++;
	mr_trace(t, c, MR_TRACE_RESET_OUT, 0, 0);
	t->ops->reply(t, mr_conn_tuple(c), &link, &out);
}

/*
 * Segments that are not acceptable are answered once in answer_ms by each connection, so that
 * two ends that disagree do not answer each other without end, and a flood of forged ones does not
 * use up what the lane may send in a second (RFC 5961 7; Linux's tcp_invalid_ratelimit).
 */
bool mr_tcp_may_answer(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);

	if (a->answered_ms && t->now_ms - a->answered_ms < t->config->answer_ms) {
		t->stats->acks_limited++;
		return false;
	}
	a->answered_ms = t->now_ms;
	return true;
}

/*
 * RFC 5961 7: challenge ACKs are limited for the whole lane, so that an attacker can neither use
 * us as an amplifier nor learn from the count of one connection what happens on another: the
 * number that may be sent in a second varies with the secret.
 */
void mr_tcp_send_challenge(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t second = t->now_ms / 1000;

	if (!mr_tcp_may_answer(t, c))
		return;
	if (second != t->challenge_second) {
		uint64_t jitter = mr_siphash13(&t->config->isn_key, &second, sizeof(second));

		t->challenge_second = second;
		t->challenges = MR_CHALLENGES_PER_S / 2 + (uint32_t)(jitter % MR_CHALLENGES_PER_S);
	}
	if (!t->challenges)
		return;
	t->challenges--;
	t->stats->challenge_acks++;
	mr_tcp_send_ack(t, c);
}

/* RFC 9293 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>, or <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. */
void mr_tcp_reply_rst(struct mr_tcp *t, const struct mr_segment *seg)
{
	struct mr_segment_out out = { .flags = MR_RST };

	if (seg->flags & MR_ACK) {
		out.seq = seg->ack;
	} else {
		out.ack = seg->seq + mr_segment_length(seg);
		out.flags |= MR_ACK;
	}
	t->stats->resets_out++;
	t->ops->reply(t, &seg->tuple, &seg->link, &out);
}

/* Options and window of a SYN or SYN-ACK: Linux's options, in its order. */
static void fill_syn(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out, uint8_t flags)
{
	uint32_t offered = c->rcv_wnd; /* by a segment behind the SYN-ACK: Fast Open */

	fill_segment(t, c, out, c->iss, flags);
	mr_ecn_fill_syn(c, out);
	c->rcv_wnd = min_u32(mr_tcp_select_window(t, c), 65535); /* never scaled (RFC 7323 2.2) */
	out->wnd = (uint16_t)c->rcv_wnd;
	c->rcv_wnd = max_u32(c->rcv_wnd, offered);
	out->options.mss = mss_option(t, c->remote);
	out->options.sack_permitted = c->flags & MR_CONN_SACK;
	out->options.has_window_scale = c->flags & MR_CONN_WINDOW_SCALE;
	out->options.window_shift = c->rcv_shift;
}

/* The SYN-ACK of a passive open, built from the block that its record expands to. */
void mr_tcp_syn_ack(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out)
{
	fill_syn(t, c, out, MR_SYN | MR_ACK);
}

/* SYN, or the SYN-ACK of a simultaneous open. */
void mr_tcp_send_syn(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_segment_out out;
	uint32_t text;

	fill_syn(t, c, &out, c->state == MR_SYN_SENT ? MR_SYN : MR_SYN | MR_ACK);
	text = mr_fast_open_fill(t, c, &out);
	if (!text && t->ops->transmit(t, c, MR_NONE, &out))
		t->stats->segments_out++;
	else if (text && t->ops->copy(t, c, mr_frame_payload(t->frames, c->tx_head), text, &out)) {
		t->stats->segments_out++;
		t->stats->fast_opens_out++;
		c->snd_nxt = c->iss + 1 + text;
	}
	mr_timer_data_sent(t, c);
}

/* ----- text ----- */

/* FIN goes with the last byte when it may. */
static uint8_t text_flags(const struct mr_conn *c, const struct mr_frame *r)
{
	uint8_t flags = MR_ACK | (r->tcp_flags & MR_PSH);

	if (r->seq + r->len == mr_tcp_queue_end(c)) { /* MUST-60, MUST-61: PSH on the last */
		flags |= MR_PSH;
		if (c->flags & MR_CONN_FIN_QUEUED && c->state >= MR_ESTABLISHED)
			flags |= MR_FIN;
	}
	return flags;
}

static void note_sent(struct mr_tcp *t, struct mr_conn *c, uint32_t end, bool first)
{
	if (!first) {
		t->stats->retransmits++;
		if (c->retransmits < UINT16_MAX)
			c->retransmits++;
		c->flags &= ~MR_CONN_RTT_RUNNING; /* Karn: what is sent twice is not timed */
		mr_path_resent(t, c);
	}
	if (mr_seq_lt(c->snd_nxt, end))
		c->snd_nxt = end;
	if (!first)
		mr_timer_data_sent(t, c);
}

/*
 * One frame of the queue as a segment. A frame that the kernel still holds from an earlier
 * transmission is not touched: it goes out as a copy.
 */
bool mr_tcp_send_frame(struct mr_tcp *t, struct mr_conn *c, uint32_t frame)
{
	struct mr_frame *r = &t->frames->record[frame];
	struct mr_active *a = mr_active_of(t, c);
	uint8_t flags = text_flags(c, r);
	struct mr_segment_out out;
	bool sent, all;

	fill_segment(t, c, &out, r->seq, flags);
	if (a->urgent & MR_URGENT_OUT)
		mr_tcp_fill_urgent(t, c, &out);
	all = fill_sack(c, a, &out, r->len);
	if (c->flags & MR_CONN_ECN)
		mr_accurate_fill_option(t, c, a, r->len, &out);
	if (c->flags & MR_CONN_ECN && !r->sends)
		mr_ecn_fill_new_text(t, c, &out);
	if (r->in_tx)
		sent = t->ops->copy(t, c, mr_frame_payload(t->frames, frame), r->len, &out);
	else
		sent = t->ops->transmit(t, c, frame, &out);
	if (!sent) {
		c->flags |= MR_CONN_SEND_LIMITED;
		return false;
	}
	t->stats->segments_out++;
	mr_tcp_ack_left(c, a, all);
	if (flags & MR_FIN)
		c->flags |= MR_CONN_FIN_SENT;
	if (out.flags & MR_CWR)
		c->flags &= ~MR_CONN_CWR_OWED;
	r->sent_us = (uint32_t)t->now_us;
	if (mr_cc_of(c)->pacing_rate) {
		mr_rate_frame_sent(t, c, r);
		mr_pace_sent(t, c, r->len);
	}
	if (!r->sends) {
		if (!mr_seq_lt(r->seq, c->snd_nxt)) /* no byte of it left in a probe */
			mr_tcp_start_rtt(t, c, r->seq);
		a->cc_sent_ms = t->now_ms;
		mr_path_sent(a, r->len, r->seq + r->len);
	}
	mr_scoreboard_sent(t, a, frame);
	if (c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY))
		mr_recovery_sent(t, c, a, r->len, r->sends);
	note_sent(t, c, r->seq + r->len + !!(flags & MR_FIN), !r->sends);
	if (!r->sends && r->len < c->snd_mss) {
		a->small_end = r->seq + r->len;
		a->has_small = 1;
	}
	if (r->sends < UINT8_MAX)
		r->sends++;
	if (r->state == MR_FRAME_TX)
		mr_frame_set_state(t->frames, frame, MR_FRAME_SENT);
	return true;
}

/*
 * RFC 3042 2: the first two duplicate ACKs each let a segment out; so they do after a timeout, when
 * they answer the new text of F-RTO (RFC 5682 2.1, 2b). With SACK the pipe shrinks instead.
 */
static uint32_t limited_transmit(const struct mr_conn *c)
{
	if (c->flags & (MR_CONN_SACK | MR_CONN_RECOVERY))
		return 0;
	return min_u32(c->dupacks, 2) * c->snd_mss;
}

/* Bytes of the frame @r, and behind it, that the windows let out. */
static uint32_t usable_window(const struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r)
{
	uint32_t pipe = mr_tcp_pipe(t, c);
	uint32_t cwnd = c->cwnd + limited_transmit(c);
	uint32_t before = r->seq - c->snd_una;

	return min_u32(cwnd > pipe ? cwnd - pipe : 0,
		       c->snd_wnd > before ? c->snd_wnd - before : 0);
}

uint32_t mr_tcp_usable_window(const struct mr_tcp *t, struct mr_conn *c)
{
	return c->tx_next == MR_NONE ? 0 : usable_window(t, c, &t->frames->record[c->tx_next]);
}

/* RFC 9293 3.7.4 (SHLD-7): a short segment waits while anything is unacknowledged. */
static bool nagle_holds(const struct mr_tcp *t, const struct mr_conn *c, const struct mr_frame *r)
{
	const struct mr_active *a;

	if (r->len >= c->snd_mss || r->sends || c->flags & (MR_CONN_NODELAY | MR_CONN_FIN_QUEUED) ||
	    !mr_conn_flight(t, c) || r->seq + r->len != mr_tcp_queue_end(c))
		return false;
	/* Minshall: only behind another short one, so that the end of a large write goes at once */
	a = mr_active_peek(t->actives, c);
	return a && a->has_small && mr_seq_lt(c->snd_una, a->small_end) &&
	       mr_seq_le(a->small_end, c->snd_nxt);
}

/*
 * RFC 9293 3.8.6.2.1: part of a frame goes out only when the window is at least half the largest
 * seen, or nothing is in flight that would open it.
 */
static bool part_is_worth_it(const struct mr_tcp *t, const struct mr_conn *c, uint32_t usable)
{
	return usable >= c->snd_mss || (c->snd_wnd <= c->cwnd && usable >= c->max_snd_wnd / 2 &&
					usable && !mr_tcp_pipe(t, c));
}

/* No frame for the rest: the lane tries again when there is one. */
static bool cut(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t len)
{
	if (mr_tcp_split(t, c, frame, len))
		return true;
	c->flags |= MR_CONN_SEND_LIMITED;
	return false;
}

/* The frame fits, or is cut so that it fits. */
static bool fit(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t usable)
{
	struct mr_frame *r = &t->frames->record[frame];

	if (r->len > c->snd_mss && !cut(t, c, frame, c->snd_mss))
		return false;
	if (r->len <= usable)
		return true;
	return part_is_worth_it(t, c, usable) && cut(t, c, frame, usable);
}

/* A frame as far as the windows let it. False: no further now. */
static bool send_in_window(struct mr_tcp *t, struct mr_conn *c, uint32_t frame)
{
	uint32_t usable = usable_window(t, c, &t->frames->record[frame]);

	if (!fit(t, c, frame, usable)) {
		if (c->cwnd <= c->snd_wnd)
			c->flags |= MR_CONN_CWND_LIMITED;
		else
			c->flags &= ~MR_CONN_CWND_LIMITED;
		return false;
	}
	if (mr_cc_of(c)->pacing_rate && !mr_pace_allows(t, c, t->frames->record[frame].len))
		return false;
	return mr_tcp_send_frame(t, c, frame);
}

/*
 * RFC 6675 4, NextSeg (1): what is lost goes before new text. Not in F-RTO's second step, which
 * waits for what new text shows. False: some is left.
 */
static bool send_lost(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	if (!a || !a->lost || (a->frto == MR_FRTO_NEW && c->tx_next != MR_NONE))
		return true;
	for (;;) {
		uint32_t frame = mr_scoreboard_next_lost(t, a);

		if (frame == MR_NONE)
			return true;
		if (!send_in_window(t, c, frame))
			return false;
	}
}

/* @r goes, and the frame behind it does not. */
static bool ends_burst(const struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r)
{
	const struct mr_frame *next = r->next == MR_NONE ? NULL : &t->frames->record[r->next];
	uint32_t usable = usable_window(t, c, r);

	if (r->len > c->snd_mss || r->len > usable)
		return false;
	return !next || !next->len || nagle_holds(t, c, next) ||
	       usable < r->len + min_u32(next->len, c->snd_mss);
}

static void send_new(struct mr_tcp *t, struct mr_conn *c)
{
	bool paced = mr_cc_of(c)->pacing_rate;
	bool any = false;

	/* a window that did not grow has nothing to lose by a pause */
	if (c->tx_next != MR_NONE && c->snd_una == c->snd_nxt &&
	    (paced || c->cwnd > (uint32_t)MR_INITIAL_SEGMENTS * c->snd_mss))
		mr_cwv_sending_begins(t, c);
	while (c->tx_next != MR_NONE) {
		uint32_t frame = c->tx_next;
		struct mr_frame *r = &t->frames->record[frame];

		if (!r->len || nagle_holds(t, c, r))
			break;
		/* as Linux marks each of its large segments: the receiver need not wait for more */
		if (any && ends_burst(t, c, r))
			r->tcp_flags |= MR_PSH;
		if (!send_in_window(t, c, frame))
			break;
		c->tx_next = r->next;
		any = true;
	}
	if (c->tx_next == MR_NONE) {
		c->flags &= ~MR_CONN_CWND_LIMITED;
		if (paced && mr_conn_flight(t, c) < c->cwnd)
			mr_rate_app_limited(t, c);
	}
	if (any)
		mr_timer_text_sent(t, c);
}

/* A FIN of its own, when all text has left: a window of zero does not hold it. */
static void send_fin(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t seq = mr_tcp_queue_end(c);

	if (!send_control(t, c, seq, MR_FIN | MR_ACK))
		return;
	c->flags |= MR_CONN_FIN_SENT;
	note_sent(t, c, seq + 1, mr_seq_le(c->snd_nxt, seq));
	mr_active_of(t, c); /* the tail's probe needs one */
	mr_timer_text_sent(t, c);
}

void mr_tcp_resend_fin(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->flags & MR_CONN_FIN_SENT && !c->tx_bytes)
		send_fin(t, c);
}

/* Does text wait that nothing on its way would let out? */
static bool is_stuck(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a;

	if (c->tx_head == MR_NONE || c->flags & MR_CONN_SEND_LIMITED)
		return false;
	a = mr_active_peek(t->actives, c);
	if (a && a->lost)
		return !mr_tcp_pipe(t, c);
	return c->tx_next != MR_NONE && !mr_conn_flight(t, c) && t->frames->record[c->tx_next].len;
}

void mr_tcp_output(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	c->flags &= ~MR_CONN_SEND_LIMITED;
	if (mr_tcp_answer(t, c, a)) {
		return;
	} else if (mr_conn_is_early(c)) {
		send_new(t, c);
	} else if (c->state >= MR_ESTABLISHED) {
		if (c->tx_head != MR_NONE && send_lost(t, c, a) && mr_path_probe(t, c, a))
			send_new(t, c);
		if (c->flags & MR_CONN_FIN_QUEUED && !(c->flags & MR_CONN_FIN_SENT) &&
		    (c->tx_next == MR_NONE))
			send_fin(t, c);
		if (is_stuck(t, c) && !mr_pace_waits(t, c))
			mr_timer_window_closed(t, c);
	}
	if (c->flags & MR_CONN_ACK_NOW && mr_conn_is_synchronised(c))
		mr_tcp_send_ack(t, c);
}

/* ----- sent by timers and by loss recovery ----- */

/* The oldest unacknowledged segment, once more. */
bool mr_tcp_retransmit_head(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->tx_head == MR_NONE || !t->frames->record[c->tx_head].len) {
		mr_tcp_resend_fin(t, c);
		return true;
	}
	if (t->frames->record[c->tx_head].len > c->snd_mss &&
	    !mr_tcp_split(t, c, c->tx_head, c->snd_mss))
		return false;
	return mr_tcp_send_frame(t, c, c->tx_head);
}

/* The frame sent last, or MR_NONE. */
static uint32_t last_sent(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint32_t last = MR_NONE;

	if (c->tx_next == MR_NONE)
		return c->tx_tail;
	for (uint32_t i = c->tx_head; i != c->tx_next; i = t->frames->record[i].next)
		last = i;
	return last;
}

/*
 * RFC 8985 7.3, TLP_send_probe(): new text if there is some, whatever the congestion window says,
 * else the last segment again. Returns true when a segment left; tlp_is_retrans says which.
 */
bool mr_tcp_send_tail_probe(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);
	uint32_t frame = c->tx_next;
	const struct mr_frame *r = &t->frames->record[frame];

	if (frame != MR_NONE && r->len &&
	    mr_seq_le(r->seq + min_u32(r->len, c->snd_mss), c->snd_una + c->snd_wnd)) {
		a->tlp_is_retrans = 0;
		if (!fit(t, c, frame, c->snd_mss) || !mr_tcp_send_frame(t, c, frame))
			return false;
		c->tx_next = r->next;
		return true;
	}
	a->tlp_is_retrans = 1;
	frame = last_sent(t, c);
	if (frame == MR_NONE) {
		mr_tcp_resend_fin(t, c);
		return true;
	}
	return fit(t, c, frame, c->snd_mss) && mr_tcp_send_frame(t, c, frame);
}

/* RFC 9293 3.8.6.2.1 (4): the override timeout sends what the small window takes. */
static bool send_what_fits(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t len = t->frames->record[c->tx_head].len;
	uint32_t usable = min_u32(c->snd_wnd, c->snd_mss);

	/* the first text missing is what the peer had reported (RFC 2018 8) */
	if (a && t->frames->record[c->tx_head].marks & MR_FRAME_SACKED)
		mr_scoreboard_reneged(t, c, a);

	if (len > usable && !mr_tcp_split(t, c, c->tx_head, usable))
		return false;
	if (!mr_tcp_send_frame(t, c, c->tx_head))
		return false;
	if (c->tx_next == c->tx_head)
		c->tx_next = t->frames->record[c->tx_head].next;
	mr_timer_data_sent(t, c);
	return true;
}

/* RFC 9293 3.8.6.1: one byte of new text, so that the peer must answer with its window. */
void mr_tcp_send_probe(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_segment_out out;

	if (c->tx_head == MR_NONE || !t->frames->record[c->tx_head].len)
		return;
	if (c->snd_wnd && send_what_fits(t, c))
		return;
	fill_segment(t, c, &out, c->snd_una, MR_ACK);
	if (!t->ops->copy(t, c, mr_frame_payload(t->frames, c->tx_head), 1, &out))
		return;
	t->stats->segments_out++;
	t->stats->window_probes++;
	mr_tcp_ack_left(c, NULL, false);
	c->snd_nxt = mr_seq_max(c->snd_nxt, c->snd_una + 1);
}

/* RFC 9293 3.8.4: a sequence number that was acknowledged, no text: the peer must answer. */
bool mr_tcp_send_keepalive(struct mr_tcp *t, struct mr_conn *c)
{
	t->stats->keepalive_probes++;
	return send_control(t, c, c->snd_una - 1, MR_ACK);
}
