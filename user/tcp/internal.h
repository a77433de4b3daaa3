/* SPDX-License-Identifier: MIT */
/* Between the files of user/tcp. */
#ifndef MR_TCP_INTERNAL_H
#define MR_TCP_INTERNAL_H

#include "user/tcp/tcp.h"
#include "user/tcp/cc.h"

enum step {
	STEP_NEXT,
	STEP_DONE,
};

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Our FIN is acknowledged when everything is. */
static inline bool mr_conn_fin_is_acked(const struct mr_conn *c)
{
	return c->flags & MR_CONN_FIN_SENT && c->snd_una == c->snd_nxt;
}

/**
 * struct mr_delivery - what one ACK brought, as it is found out
 * @delivered:	bytes newly acknowledged, cumulatively or selectively
 * @rtt_us:	round trip of the frame sent last among them that was sent once, 0: none
 * @advanced:	snd_una moved
 * @sacked:	a frame was newly marked SACKED
 * @original:	text from before a timeout, not sent again since, was received (RFC 5682)
 * @resent:	something was received that was sent more than once
 * @dsack:	the duplicate that it reports, when @has_dsack
 */
struct mr_delivery {
	uint32_t delivered;
	uint32_t rtt_us;
	bool advanced;
	bool sacked;
	bool original;
	bool resent;
	bool has_dsack;
	struct mr_block dsack;
};

/* A server's, with text of the SYN and not confirmed yet: it may send, but no FIN. */
static inline bool mr_conn_is_early(const struct mr_conn *c)
{
	return c->state == MR_SYN_RECEIVED && c->flags & MR_CONN_FAST_OPEN &&
	       c->flags & MR_CONN_PASSIVE;
}

/* Everything before @ack was received. */
static inline void mr_conn_advance_una(struct mr_conn *c, uint32_t ack)
{
	if (ack - c->iss < c->snd_una - c->iss)
		c->snd_wraps++;
	c->snd_una = ack;
}

/* active.c */
struct mr_active *mr_active_of(struct mr_tcp *t, struct mr_conn *c);
uint32_t mr_tcp_user_timeout(const struct mr_tcp *t, const struct mr_active *a);

/* urgent.c */
void mr_tcp_check_urg_bit(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_tcp_fill_urgent(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out);

/* trace.c */
void mr_trace(struct mr_tcp *t, struct mr_conn *c, enum mr_trace_kind kind, uint16_t detail,
	      uint32_t value);

/* state.c */
void mr_tcp_set_state(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_state state);
void mr_tcp_close_conn(struct mr_tcp *t, struct mr_conn *c, enum mr_close_reason reason);
void mr_tcp_want_output(struct mr_tcp *t, struct mr_conn *c);
bool mr_conn_is_synchronised(const struct mr_conn *c);

/* text.c */
void mr_tcp_drop_received(struct mr_tcp *t, struct mr_conn *c);
int mr_tcp_receive_text(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			uint32_t frame, bool *kept);
bool mr_tcp_queue_text(struct mr_tcp *t, struct mr_conn *c, uint32_t frame);
void mr_tcp_owe_ack(struct mr_tcp *t, struct mr_conn *c, uint32_t len, bool gap);

/* gaps.c */
void mr_tcp_drop_out_of_order(struct mr_tcp *t, struct mr_conn *c);

/* predict.c */
bool mr_tcp_predict(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
		    uint32_t frame, bool *kept);

/* answer.c */
bool mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);

/* window.c */
uint32_t mr_tcp_select_window(struct mr_tcp *t, struct mr_conn *c);
uint32_t mr_tcp_window_of(struct mr_tcp *t, struct mr_conn *c, const struct mr_active *a);

enum {
	MR_RECEIVE_START = 64 << 10, /* window before the application has shown that it reads */
};

/* A connection that reads what comes and never needed more than the start, most of which is offered
 * still: there is nothing to note when it reads, and no window to open. */
static inline bool mr_window_is_at_rest(const struct mr_conn *c, const struct mr_active *a)
{
	return a && !(a->rcv_limit | a->rcv_rtt_us) && !c->rx_bytes &&
	       c->rcv_wnd > MR_RECEIVE_START / 2;
}
void mr_window_text_arrived(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_window_taken(struct mr_tcp *t, struct mr_conn *c, uint32_t n);

/* ack.c */
void mr_tcp_process_ack(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_tcp_update_send_window(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);

/* sack.c (RFC 2018, RFC 2883: sent) */
void mr_sack_gap(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right);
void mr_sack_advance(struct mr_tcp *t, struct mr_conn *c);
void mr_sack_renege(struct mr_tcp *t, struct mr_conn *c, uint32_t edge);
void mr_sack_duplicate(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right);
bool mr_sack_fill(const struct mr_conn *c, const struct mr_active *a, uint32_t len,
		  struct mr_segment_out *out);
uint8_t mr_sack_older(const struct mr_conn *c, const struct mr_active *a);
void mr_sack_fill_older(const struct mr_active *a, uint8_t from, struct mr_segment_out *out);

/* scoreboard.c (RFC 2018, RFC 6675: received) */
void mr_scoreboard_sent(struct mr_tcp *t, struct mr_active *a, uint32_t frame);
void mr_scoreboard_sent_alone(struct mr_tcp *t, struct mr_active *a, uint32_t frame);
void mr_scoreboard_lose(struct mr_tcp *t, struct mr_active *a, uint32_t frame);
void mr_scoreboard_lose_all(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_scoreboard_lose_by_count(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_scoreboard_found(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_scoreboard_reneged(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_scoreboard_acked(struct mr_tcp *t, struct mr_active *a, uint32_t frame, uint32_t n);
void mr_scoreboard_split(struct mr_tcp *t, struct mr_active *a, uint32_t frame, uint32_t rest);
void mr_scoreboard_clear(struct mr_active *a);
void mr_scoreboard_arrives(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			   const struct mr_segment *seg, struct mr_delivery *d);
uint32_t mr_scoreboard_next_lost(struct mr_tcp *t, struct mr_active *a);

/* rack.c (RFC 8985) */
void mr_frame_delivered(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			const struct mr_frame *r, struct mr_delivery *d);
uint32_t mr_rack_answered(struct mr_tcp *t, struct mr_active *a, const struct mr_frame *r);
void mr_rack_dsack(struct mr_conn *c, struct mr_active *a);
void mr_rack_recovered(struct mr_active *a);
uint32_t mr_rack_detect_loss(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
uint32_t mr_tlp_timeout_us(const struct mr_conn *c, const struct mr_active *a, uint32_t flight);
bool mr_tlp_may(const struct mr_tcp *t, const struct mr_conn *c, const struct mr_active *a);
bool mr_tlp_acked(struct mr_conn *c, struct mr_active *a, const struct mr_segment *seg,
		  const struct mr_delivery *d);

/* recovery.c */
void mr_recovery_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		       const struct mr_segment *seg, struct mr_cc_ack *ack,
		       const struct mr_delivery *d);
void mr_recovery_reorder_timeout(struct mr_tcp *t, struct mr_conn *c);
void mr_recovery_timeout(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_recovery_begin(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight);
void mr_recovery_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t len,
		      bool again);
bool mr_recovery_undo_by_timestamp(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
				   const struct mr_segment *seg);
bool mr_recovery_frto(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, bool original,
		      bool duplicate, bool advanced);
void mr_recovery_event(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		       enum mr_cc_event event);

/* queue.c */
uint32_t mr_tcp_send_point(const struct mr_tcp *t, const struct mr_conn *c);
uint32_t mr_tcp_queue_end(const struct mr_conn *c);
void mr_tcp_drop_reserved(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_seal(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_drop_sent(struct mr_tcp *t, struct mr_conn *c);
uint32_t mr_tcp_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t ack,
		      struct mr_delivery *d);
bool mr_tcp_split(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t len);

/* output.c */
void mr_tcp_send_syn(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_syn_ack(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out);
void mr_tcp_send_ack(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_send_rst(struct mr_tcp *t, struct mr_conn *c);
bool mr_tcp_may_answer(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_send_challenge(struct mr_tcp *t, struct mr_conn *c);
bool mr_tcp_send_keepalive(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_send_probe(struct mr_tcp *t, struct mr_conn *c);
bool mr_tcp_retransmit_head(struct mr_tcp *t, struct mr_conn *c);
bool mr_tcp_send_tail_probe(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_resend_fin(struct mr_tcp *t, struct mr_conn *c);
void mr_tcp_reply_rst(struct mr_tcp *t, const struct mr_segment *seg);
uint32_t mr_tcp_mtu_of(const struct mr_conn *c);
void mr_tcp_set_mss(struct mr_tcp *t, struct mr_conn *c, uint32_t peer_mss, uint32_t mtu);

uint32_t mr_tcp_usable_window(const struct mr_tcp *t, struct mr_conn *c);
bool mr_tcp_send_frame(struct mr_tcp *t, struct mr_conn *c, uint32_t frame);

/* fast_open.c (RFC 7413) */
uint32_t mr_fast_open_fill(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out);
void mr_fast_open_answered(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_fast_open_acked(struct mr_tcp *t, struct mr_conn *c, uint32_t ack);
void mr_fast_open_established(struct mr_tcp *t, struct mr_conn *c);
void mr_fast_open_lost(struct mr_tcp *t, struct mr_conn *c);

/* As it was before an ACK was processed. */
struct mr_ecn_before {
	uint32_t una;
	uint32_t sacked;
	uint32_t flight;
};

/* ecn.c (RFC 3168, RFC 8257) */
void mr_ecn_fill_syn(const struct mr_conn *c, struct mr_segment_out *out);
void mr_ecn_syn_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_ecn_syn_lost(struct mr_conn *c);
void mr_ecn_established(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_ecn_fill(const struct mr_tcp *t, const struct mr_conn *c, struct mr_segment_out *out);
void mr_ecn_fill_new_text(const struct mr_tcp *t, const struct mr_conn *c,
			  struct mr_segment_out *out);
void mr_ecn_window_reduced(struct mr_conn *c);
void mr_ecn_text_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
bool mr_ecn_answered_window(const struct mr_conn *c, const struct mr_active *a);
bool mr_ecn_is_echo(const struct mr_conn *c, const struct mr_active *a,
		    const struct mr_segment *seg);
struct mr_ecn_before mr_ecn_ack_arrives(struct mr_tcp *t, struct mr_conn *c,
					const struct mr_segment *seg);
void mr_ecn_acked(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
		  const struct mr_ecn_before *before);

/* accurate.c (RFC 9768) */
struct mr_accurate *mr_accurate_of(const struct mr_tcp *t, const struct mr_conn *c);
void mr_accurate_fill_syn(const struct mr_conn *c, struct mr_segment_out *out);
bool mr_accurate_syn_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_accurate_syn_again(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   bool before);
bool mr_accurate_listen(struct mr_half_open *h, const struct mr_segment *syn);
void mr_accurate_listen_again(struct mr_half_open *h, const struct mr_segment *syn);
void mr_accurate_offer(struct mr_tcp *t, const struct mr_half_open *h, struct mr_segment_out *out);
void mr_accurate_established(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
void mr_accurate_fill(const struct mr_conn *c, struct mr_accurate *k, struct mr_segment_out *out);
void mr_accurate_fill_text(const struct mr_accurate *k, struct mr_segment_out *out);
void mr_accurate_fill_option(const struct mr_tcp *t, const struct mr_conn *c, struct mr_active *a,
			     uint32_t len, struct mr_segment_out *out);
void mr_accurate_option_arrives(struct mr_accurate *k, const struct mr_segment *seg);
void mr_accurate_duplicate(struct mr_accurate *k, uint32_t left, uint32_t right);
void mr_accurate_timed_out(const struct mr_conn *c, struct mr_accurate *k);
void mr_accurate_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);
uint32_t mr_accurate_acked(struct mr_conn *c, struct mr_accurate *k, const struct mr_segment *seg,
			   uint32_t bytes);

/* pmtu.c: sizes by the word of routers and of our own host */
uint32_t mr_path_overhead(const struct mr_conn *c);
uint32_t mr_path_floor(const struct mr_conn *c);
void mr_path_raise(struct mr_conn *c, uint32_t mss);
void mr_path_lower(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t mss);
void mr_path_resend_big(struct mr_tcp *t, struct mr_conn *c);
void mr_path_too_big(struct mr_tcp *t, struct mr_conn *c, const struct mr_icmp_error *icmp);
bool mr_path_claim_holds(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
/* the handshake is done, before the initial window is computed */
void mr_path_established(struct mr_tcp *t, struct mr_conn *c);
void mr_path_note_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);

/* plpmtud.c: sizes by trying */
void mr_path_begin_small(struct mr_tcp *t, struct mr_conn *c);
/* the retransmission timer fired. True: a router's claim was confirmed, and what was too big is
 * sent again: no sign of congestion */
bool mr_path_timed_out(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
/* something is sent again: a probe in flight proves nothing any more */
void mr_path_resent(struct mr_tcp *t, struct mr_conn *c);
/* loss is to be recovered from. True: it is the probe alone, which was sent again in pieces; that
 * is no sign of congestion, and no recovery begins */
bool mr_path_probe_lost(struct mr_tcp *t, struct mr_conn *c);
void mr_path_probe_arrived(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
bool mr_path_try_probe(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);

/* Before new text leaves: a probe, when sizes may grow and there is text for it. False: it waits
 * for room in the window, and the text behind it with it. */
static inline bool mr_path_probe(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	return !a || !a->mss_most || mr_path_try_probe(t, c, a);
}

/* A segment with @len bytes of text left for the first time: is it the largest so far? */
static inline void mr_path_sent(struct mr_active *a, uint32_t len, uint32_t end)
{
	if (len <= a->mss_acked || a->big_len)
		return;
	a->big_len = (uint16_t)len;
	a->big_end = end;
}

/* snd_una moved on. */
static inline void mr_path_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	if (a->unproved)
		mr_path_note_acked(t, c, a);
}

/* rtt.c (RFC 6298) */
void mr_rtt_sample(struct mr_conn *c, uint32_t rtt_us);
uint32_t mr_rto_backed_off(const struct mr_conn *c);

/* isn.c (RFC 6528) */
uint32_t mr_tcp_isn(const struct mr_tcp *t, const struct mr_tuple *tuple);

/* timers.c: events for the timers; only they arm */
void mr_timer_data_sent(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_data_acked(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_text_sent(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_answer_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
void mr_timer_reordered(struct mr_tcp *t, struct mr_conn *c, uint32_t us);
void mr_timer_sacked(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_reneged(struct mr_tcp *t, struct mr_conn *c, bool advanced);
void mr_timer_window_closed(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_window_opened(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_ack_owed(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_ack_sent(struct mr_conn *c);
void mr_timer_segment_received(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_established(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_fin_wait(struct mr_tcp *t, struct mr_conn *c);
void mr_timer_stop_tcp(struct mr_conn *c);
void mr_timer_stop_all(struct mr_conn *c);

/* ----- of output.c and answer.c ----- */

/* A segment with an ACK left: nothing is owed any more, when @all of it was told. */
static inline void mr_tcp_ack_left(struct mr_conn *c, struct mr_active *a, bool all)
{
	if (all) {
		c->flags &= ~MR_CONN_ACK_NOW;
		if (a) {
			a->dsack = (struct mr_block){ 0 };
			a->n_untold = 0;
		}
	}
	c->segs_unacked = 0;
	c->last_ack_sent = c->rcv_nxt;
	mr_timer_ack_sent(c);
}

/* Text from @seq on leaves for the first time: one segment at a time is timed (Karn). */
static inline void mr_tcp_start_rtt(struct mr_tcp *t, struct mr_conn *c, uint32_t seq)
{
	if (c->flags & (MR_CONN_RTT_RUNNING | MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY))
		return;
	c->flags |= MR_CONN_RTT_RUNNING;
	c->rtt_seq = seq;
	c->rtt_start_us = (uint32_t)t->now_us;
}

#endif
