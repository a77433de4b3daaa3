/* SPDX-License-Identifier: MIT */
/*
 * Deadlines. The rest of TCP reports what happened; only this file arms and stops. A deadline that
 * moves later leaves the connection's wheel node alone (it fires, finds nothing due and goes to
 * its next place); only an earlier one moves it.
 */
#include "user/tcp/internal.h"

enum {
	SWS_OVERRIDE_MS = 1000, /* RFC 9293 3.8.6.2.1: 0.1 to 1.0 s */
	RENEGE_MS = 10,
};

/* 0 means off, so a deadline that falls on it moves by one millisecond. */
static uint32_t at(const struct mr_tcp *t, uint32_t ms)
{
	uint32_t when = t->now_ms + ms;

	return when ? when : 1;
}

static void arm(struct mr_tcp *t, struct mr_conn *c, enum mr_deadline which, uint32_t ms)
{
	c->deadline[which] = at(t, ms);
	/* the node fires before that anyway */
	if (c->wheel_prev != MR_NONE && !mr_ms_before(c->deadline[which], c->wheel_ms))
		return;
	t->ops->armed(t, c);
}

static bool is_due(const struct mr_tcp *t, const struct mr_conn *c, enum mr_deadline which)
{
	return c->deadline[which] && !mr_ms_before(t->now_ms, c->deadline[which]);
}

uint32_t mr_conn_next_deadline(const struct mr_conn *c)
{
	uint32_t next = 0;

	for (int i = 0; i < MR_DEADLINE_COUNT; i++)
		if (c->deadline[i] && (!next || mr_ms_before(c->deadline[i], next)))
			next = c->deadline[i];
	return next;
}

/* What TCP armed; the application's timer and the message layer's are not ours to stop. */
void mr_timer_stop_tcp(struct mr_conn *c)
{
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
	c->deadline[MR_DEADLINE_DELACK] = 0;
	c->deadline[MR_DEADLINE_KEEPALIVE] = 0;
}

void mr_timer_stop_all(struct mr_conn *c)
{
	for (int i = 0; i < MR_DEADLINE_COUNT; i++)
		c->deadline[i] = 0;
}

static void set_kind(struct mr_tcp *t, struct mr_conn *c, enum mr_timer_kind kind)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (a)
		a->timer = (uint8_t)kind;
}

static enum mr_timer_kind kind_of(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);

	return a ? a->timer : MR_TIMER_RTO;
}

/* The user time-out is not overslept. */
static uint32_t within_user_timeout(const struct mr_tcp *t, const struct mr_conn *c,
				    const struct mr_active *a, uint32_t ms)
{
	uint32_t limit = mr_tcp_user_timeout(t, a);
	uint32_t waited;

	if (!limit || !c->unacked_ms)
		return ms;
	waited = t->now_ms - c->unacked_ms;
	return min_u32(ms, waited < limit ? limit - waited : 1);
}

static void arm_retransmit_within(struct mr_tcp *t, struct mr_conn *c, uint32_t most_ms)
{
	uint32_t ms = min_u32(mr_rto_backed_off(c), most_ms);
	const struct mr_active *a = mr_active_peek(t->actives, c);

	set_kind(t, c, MR_TIMER_RTO);
	arm(t, c, MR_DEADLINE_RETRANSMIT, within_user_timeout(t, c, a, ms));
}

void mr_tcp_set_user_timeout(struct mr_tcp *t, struct mr_conn *c, uint32_t ms)
{
	uint32_t when = c->deadline[MR_DEADLINE_RETRANSMIT];
	struct mr_active *a = mr_active_of(t, c);

	a->user_timeout_ms = ms;
	if (when && mr_ms_before(t->now_ms, when))
		arm(t, c, MR_DEADLINE_RETRANSMIT, within_user_timeout(t, c, a, when - t->now_ms));
}

static void arm_retransmit(struct mr_tcp *t, struct mr_conn *c)
{
	arm_retransmit_within(t, c, MR_RTO_MAX_MS);
}

/* What is left of the retransmission time-out: it began with the last progress, or with the last
 * transmission of the oldest text. */
static uint32_t rto_left_ms(const struct mr_tcp *t, const struct mr_conn *c,
			    const struct mr_active *a)
{
	uint32_t rto = mr_rto_backed_off(c);
	uint32_t waited = c->unacked_ms ? t->now_ms - c->unacked_ms : 0;

	if (waited && c->tx_head != c->tx_next) {
		const struct mr_frame *r = &t->frames->record[c->tx_head];

		waited = min_u32(waited, ((uint32_t)t->now_us - r->sent_us) / 1000);
	}
	return within_user_timeout(t, c, a, waited < rto ? rto - waited : 1);
}

static void arm_probe(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t us = mr_tlp_timeout_us(c, a, mr_conn_flight(t, c));

	a->timer = MR_TIMER_PROBE;
	arm(t, c, MR_DEADLINE_RETRANSMIT, min_u32((us + 999) / 1000, rto_left_ms(t, c, a)));
}

/*
 * mr_timer_text_sent() for a lone segment on a connection where nothing is lost or reported, so
 * that a probe may be scheduled unless one is out: with one segment in flight, a delayed ACK is
 * waited for.
 */
void mr_timer_answer_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t ms;

	if (c->unacked_ms || a->user_timeout_ms || t->config->user_timeout_ms || a->tlp_is_out ||
	    !c->srtt_us || a->timer == MR_TIMER_REORDER || !(c->flags & MR_CONN_SACK)) {
		mr_timer_text_sent(t, c);
		return;
	}
	ms = (mr_tlp_timeout_us(c, a, 0) + 999) / 1000;
	c->unacked_ms = at(t, 0);
	a->timer = MR_TIMER_PROBE;
	arm(t, c, MR_DEADLINE_RETRANSMIT, min_u32(ms, mr_rto_backed_off(c)));
}

/* RFC 8985 7.2: new text moves the probe on; it never comes after the time-out. */
void mr_timer_text_sent(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!c->unacked_ms)
		c->unacked_ms = at(t, 0);
	if (a && a->timer != MR_TIMER_REORDER && mr_tlp_may(t, c, a))
		arm_probe(t, c, a);
	else
		mr_timer_data_sent(t, c);
}

/* RFC 8985 6.2, step 5: no loss is seen before the reordering window is over. */
void mr_timer_reordered(struct mr_tcp *t, struct mr_conn *c, uint32_t us)
{
	set_kind(t, c, MR_TIMER_REORDER);
	arm(t, c, MR_DEADLINE_RETRANSMIT, us / 1000 + 1);
}

/* Neither reordering nor the tail is waited for any more. */
void mr_timer_sacked(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->deadline[MR_DEADLINE_RETRANSMIT] && kind_of(t, c) == MR_TIMER_RTO)
		return;
	set_kind(t, c, MR_TIMER_RTO);
	if (c->snd_una != c->snd_nxt)
		arm(t, c, MR_DEADLINE_RETRANSMIT, rto_left_ms(t, c, mr_active_peek(t->actives, c)));
}

/*
 * The peer may have dropped what it reported: not a whole time-out, but time for an ACK that was
 * overtaken. Only progress begins it anew: as long as what is left goes out again and is reported
 * again, nothing else would ever send the text that is missing.
 */
void mr_timer_reneged(struct mr_tcp *t, struct mr_conn *c, bool advanced)
{
	if (!advanced && c->deadline[MR_DEADLINE_RETRANSMIT] && kind_of(t, c) == MR_TIMER_RENEGED)
		return;
	set_kind(t, c, MR_TIMER_RENEGED);
	arm(t, c, MR_DEADLINE_RETRANSMIT, max_u32(c->srtt_us / 16000, RENEGE_MS));
}

/* RFC 6298 5.1 */
void mr_timer_data_sent(struct mr_tcp *t, struct mr_conn *c)
{
	if (!c->unacked_ms)
		c->unacked_ms = at(t, 0);
	if (c->deadline[MR_DEADLINE_RETRANSMIT] && !(c->flags & MR_CONN_PROBING))
		return;
	c->flags &= ~MR_CONN_PROBING;
	arm_retransmit(t, c);
}

/* RFC 6298 5.2 and 5.3 */
inline void mr_timer_data_acked(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a;

	if (c->snd_una == c->snd_nxt) {
		c->unacked_ms = 0;
		c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
		c->flags &= ~MR_CONN_PROBING;
		return;
	}
	c->unacked_ms = at(t, 0);
	a = mr_active_peek(t->actives, c);
	if (a && mr_tlp_may(t, c, a))
		arm_probe(t, c, a);
	else
		arm_retransmit(t, c);
}

/* Text waits, nothing is in flight, and the window lets nothing out: probe (MUST-36). */
void mr_timer_window_closed(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->flags & MR_CONN_PROBING && c->deadline[MR_DEADLINE_RETRANSMIT])
		return;
	if (!(c->flags & MR_CONN_PROBING))
		mr_trace(t, c, MR_TRACE_WINDOW_CLOSED, 0, c->tx_bytes);
	c->flags |= MR_CONN_PROBING;
	if (!c->unacked_ms)
		c->unacked_ms = at(t, 0);
	/* a window too small for a whole segment waits for the override timeout, no longer */
	arm_retransmit_within(t, c, c->snd_wnd ? SWS_OVERRIDE_MS : MR_RTO_MAX_MS);
}

void mr_timer_window_opened(struct mr_tcp *t, struct mr_conn *c)
{
	if (!(c->flags & MR_CONN_PROBING))
		return;
	mr_trace(t, c, MR_TRACE_WINDOW_OPENED, 0, c->snd_wnd);
	c->flags &= ~MR_CONN_PROBING;
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
	c->unacked_ms = 0;
	c->backoff = 0;
	/* what was taken for lost may be on its way again (undo), or the probe's byte may be, whose
	 * text finds no room to leave now */
	if (mr_conn_flight(t, c) || c->snd_una != c->snd_nxt)
		mr_timer_data_sent(t, c);
}

void mr_timer_ack_owed(struct mr_tcp *t, struct mr_conn *c)
{
	if (!c->deadline[MR_DEADLINE_DELACK])
		arm(t, c, MR_DEADLINE_DELACK, t->config->delayed_ack_ms);
}

void mr_timer_ack_sent(struct mr_conn *c)
{
	c->deadline[MR_DEADLINE_DELACK] = 0;
}

/* The peer lives: keepalive counts from now; its deadline finds that out when it fires. */
void mr_timer_segment_received(struct mr_tcp *t, struct mr_conn *c)
{
	c->heard_ms = t->now_ms;
	c->probes = 0;
}

static void arm_keepalive(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->keep_idle_s)
		arm(t, c, MR_DEADLINE_KEEPALIVE, c->keep_idle_s * 1000u);
}

void mr_timer_established(struct mr_tcp *t, struct mr_conn *c)
{
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
	c->unacked_ms = 0;
	c->heard_ms = t->now_ms;
	c->received_ms = t->now_ms;
	arm_keepalive(t, c);
}

/* A peer that never closes holds an orphan no longer than this. */
void mr_timer_fin_wait(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->flags & MR_CONN_ORPHAN)
		arm(t, c, MR_DEADLINE_KEEPALIVE, t->config->fin_wait_ms);
}

void mr_tcp_set_keepalive(struct mr_tcp *t, struct mr_conn *c, uint32_t idle_s, uint32_t interval_s,
			  uint32_t count)
{
	c->keep_idle_s = (uint16_t)min_u32(idle_s, UINT16_MAX);
	c->keep_interval_s = (uint16_t)min_u32(max_u32(interval_s, 1), UINT16_MAX);
	c->keep_count = (uint8_t)min_u32(max_u32(count, 1), UINT8_MAX);
	c->probes = 0;
	c->deadline[MR_DEADLINE_KEEPALIVE] = 0;
	if (c->state >= MR_ESTABLISHED)
		arm_keepalive(t, c);
}

/* ----- RFC 9293 3.10.8, timeouts ----- */

static bool user_timeout_is_over(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint32_t limit = mr_tcp_user_timeout(t, mr_active_peek(t->actives, c));

	return limit && c->unacked_ms && t->now_ms - c->unacked_ms >= limit;
}

/* USER TIMEOUT: queues are flushed, the user is told "connection aborted due to user timeout". */
static void user_timeout(struct mr_tcp *t, struct mr_conn *c)
{
	if (mr_conn_is_synchronised(c))
		mr_tcp_send_rst(t, c);
	mr_tcp_close_conn(t, c, MR_CLOSE_USER_TIMEOUT);
}

static void syn_timeout(struct mr_tcp *t, struct mr_conn *c)
{
	if (t->now_ms - c->unacked_ms >= MR_SYN_GIVE_UP_MS ||
	    (mr_conn_is_early(c) && c->backoff >= t->config->syn_ack_retries)) {
		mr_tcp_close_conn(t, c, MR_CLOSE_OPEN_TIMEOUT);
		return;
	}
	mr_fast_open_lost(t, c);
	c->backoff++;
	if (c->backoff >= 3) /* MUST-20's R1 */
		t->ops->event(t, c, MR_EVENT_PATH_DOUBT);
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
	c->flags &= ~MR_CONN_RTT_RUNNING;
	mr_ecn_syn_lost(c);
	t->stats->retransmits++;
	mr_tcp_send_syn(t, c);
	if (c->state == MR_SYN_SENT && t->config->syn_linear)
		arm(t, c, MR_DEADLINE_RETRANSMIT,
		    c->rto_ms << (max_u32(c->backoff, t->config->syn_linear) -
				  t->config->syn_linear));
}

/*
 * R2 (RFC 9293 3.8.3): as long as MR_RETRIES doublings take. By time and not by the back-off, which
 * outlives the segment that it was for (Karn), while R2 is of "the same segment".
 */
static uint32_t r2_ms(const struct mr_conn *c)
{
	uint32_t rto = c->rto_ms;
	uint32_t sum = 0;

	for (int i = 0; i <= MR_RETRIES; i++) {
		sum += rto;
		rto = min_u32(rto * 2, MR_RTO_MAX_MS);
	}
	return sum;
}

static void back_off(struct mr_conn *c)
{
	if (c->backoff < 16)
		c->backoff++;
}

static void give_up(struct mr_tcp *t, struct mr_conn *c)
{
	mr_tcp_send_rst(t, c);
	mr_tcp_close_conn(t, c, MR_CLOSE_TIMEOUT);
}

/* RFC 5681 3.1: ssthresh is held while the same segment times out again. */
static bool was_resent_by_timer(const struct mr_tcp *t, const struct mr_conn *c)
{
	if (!(c->flags & MR_CONN_RTO_RECOVERY))
		return false;
	return !c->tx_bytes || t->frames->record[c->tx_head].sends > 1;
}

/* RFC 6298 5.4 to 5.7, RFC 5681 3.1: the oldest segment again, one segment of window. */
static void retransmission_timeout(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);
	bool again = was_resent_by_timer(t, c);
	uint32_t flight = mr_conn_flight(t, c);

	t->stats->retransmit_timeouts++;
	mr_trace(t, c, MR_TRACE_TIMEOUT, c->backoff + 1u, mr_rto_backed_off(c));
	if (t->now_ms - c->unacked_ms >= r2_ms(c)) {
		give_up(t, c);
		return;
	}
	if (mr_path_timed_out(t, c, a)) {
		back_off(c);
		arm_retransmit(t, c);
		return;
	}
	mr_recovery_timeout(t, c, a);
	if (!again)
		c->ssthresh = mr_cc_of(c)->ssthresh(t, c, a, flight);
	back_off(c);
	c->cwnd = c->snd_mss;
	a->cc_acked = 0;
	mr_ecn_window_reduced(c);
	mr_accurate_timed_out(c, &a->accurate);
	c->dupacks = 0;
	c->recover = c->snd_nxt;
	c->flags = (c->flags & ~(MR_CONN_RECOVERY | MR_CONN_RTT_RUNNING)) | MR_CONN_RTO_RECOVERY;
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
	mr_recovery_event(t, c, a, MR_CC_TIMEOUT);
	if (c->tx_bytes)
		mr_tcp_output(t, c);
	else
		mr_tcp_resend_fin(t, c);
	/* no room to send, or no window: try again all the same */
	if (!c->deadline[MR_DEADLINE_RETRANSMIT])
		arm_retransmit(t, c);
	mr_tcp_want_output(t, c);
}

/* RFC 8985 7.3: a probe, and the retransmission timer behind it. */
static void tail_probe(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);

	if (mr_tlp_may(t, c, a) && mr_tcp_send_tail_probe(t, c)) {
		t->stats->tlp_probes++;
		mr_trace(t, c, MR_TRACE_TAIL_PROBE, 0, 0);
		a->tlp_is_out = 1;
		a->tlp_end_seq = c->snd_nxt;
	}
	arm_retransmit(t, c);
}

/* Nobody has it any more, and the peer's window was closed until the back-off met its ceiling. */
static bool is_orphan_for_long(const struct mr_conn *c)
{
	return c->flags & MR_CONN_ORPHAN && (uint64_t)c->rto_ms << c->backoff >= MR_RTO_MAX_MS;
}

/*
 * Zero-window probes go on for as long as the peer answers (MUST-37), not without an answer; and
 * for an orphan some minutes at most (RFC 6429 3 leaves that to the host; Linux,
 * tcp_probe_timer()).
 */
static void probe_timeout(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->probes >= MR_RETRIES || is_orphan_for_long(c)) {
		give_up(t, c);
		return;
	}
	c->probes++; /* 0 again with any segment of the peer */
	back_off(c);
	mr_tcp_send_probe(t, c);
	if (!c->deadline[MR_DEADLINE_RETRANSMIT])
		arm_retransmit(t, c);
}

static void retransmit_deadline(struct mr_tcp *t, struct mr_conn *c)
{
	if (user_timeout_is_over(t, c))
		user_timeout(t, c);
	else if (c->state == MR_SYN_SENT || c->state == MR_SYN_RECEIVED)
		syn_timeout(t, c);
	else if (c->flags & MR_CONN_PROBING)
		probe_timeout(t, c);
	else if (kind_of(t, c) == MR_TIMER_REORDER)
		mr_recovery_reorder_timeout(t, c);
	else if (kind_of(t, c) == MR_TIMER_PROBE)
		tail_probe(t, c);
	else
		retransmission_timeout(t, c);
}

static void delack_deadline(struct mr_tcp *t, struct mr_conn *c)
{
	c->deadline[MR_DEADLINE_DELACK] = 0;
	t->stats->delayed_acks++;
	mr_tcp_send_ack(t, c);
	if (c->flags & MR_CONN_ACK_NOW) /* no room: with the next output */
		mr_tcp_want_output(t, c);
}

static void fin_wait_deadline(struct mr_tcp *t, struct mr_conn *c)
{
	c->deadline[MR_DEADLINE_KEEPALIVE] = 0;
	mr_tcp_close_conn(t, c, MR_CLOSE_FIN_WAIT);
}

/* RFC 9293 3.8.4: only when nothing was heard and nothing is outstanding (MUST-26). */
static void keepalive_deadline(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t idle = t->now_ms - c->heard_ms;

	if (c->flags & MR_CONN_ORPHAN && c->state == MR_FIN_WAIT_2) {
		fin_wait_deadline(t, c);
		return;
	}
	if (!c->keep_idle_s) {
		c->deadline[MR_DEADLINE_KEEPALIVE] = 0;
		return;
	}
	if (!c->probes && idle < c->keep_idle_s * 1000u) {
		arm(t, c, MR_DEADLINE_KEEPALIVE, c->keep_idle_s * 1000u - idle);
		return;
	}
	if (c->unacked_ms) {
		arm(t, c, MR_DEADLINE_KEEPALIVE, c->keep_interval_s * 1000u);
		return;
	}
	if (c->probes >= c->keep_count) {
		mr_tcp_send_rst(t, c);
		mr_tcp_close_conn(t, c, MR_CLOSE_KEEPALIVE);
		return;
	}
	if (mr_tcp_send_keepalive(t, c))
		c->probes++;
	arm(t, c, MR_DEADLINE_KEEPALIVE, c->keep_interval_s * 1000u);
}

/* The bucket has filled (rate.c). */
static void pace_deadline(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a || !a->pace_ms || mr_ms_before(t->now_ms, a->pace_ms))
		return;
	a->pace_ms = 0;
	mr_tcp_want_output(t, c);
}

uint32_t mr_tcp_next_deadline(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t next = mr_conn_next_deadline(c);

	if (a && a->pace_ms && (!next || mr_ms_before(a->pace_ms, next)))
		next = a->pace_ms;
	return next;
}

void mr_tcp_timers(struct mr_tcp *t, struct mr_conn *c)
{
	if (is_due(t, c, MR_DEADLINE_RETRANSMIT)) {
		c->deadline[MR_DEADLINE_RETRANSMIT] = 0;
		retransmit_deadline(t, c);
	}
	if (c->state != MR_CLOSED && is_due(t, c, MR_DEADLINE_DELACK))
		delack_deadline(t, c);
	if (c->state != MR_CLOSED && is_due(t, c, MR_DEADLINE_KEEPALIVE))
		keepalive_deadline(t, c);
	if (c->state != MR_CLOSED)
		pace_deadline(t, c);
}
