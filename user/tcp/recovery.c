/* SPDX-License-Identifier: MIT */
/*
 * What a loss does to the sender: fast recovery of connections with SACK (RFC 6675 5, losses by
 * RACK), how much it may send meanwhile (PRR, RFC 6937), and finding out that nothing was lost:
 * by timestamps (Eifel, RFC 3522), by DSACK (RFC 3708), and after a timeout (F-RTO, RFC 5682).
 */
#include "user/tcp/internal.h"

enum {
	IN_RECOVERY = MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY,
};

void mr_recovery_event(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		       enum mr_cc_event event)
{
	const struct mr_cc *cc = mr_cc_of(c);

	if (cc->event)
		cc->event(t, c, a, event);
}

/* ----- undo ----- */

static void remember(struct mr_conn *c, struct mr_active *a)
{
	a->undo = 1;
	a->undo_sent = 0;
	a->undo_retrans = 0;
	a->undo_cwnd = c->cwnd;
	a->undo_ssthresh = c->ssthresh;
	a->undo_una = c->snd_una;
}

/* RFC 4015 3.2: what the reduction took comes back; what was marked is on its way. */
static void undo(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	c->cwnd = max_u32(c->cwnd, a->undo_cwnd);
	c->ssthresh = max_u32(c->ssthresh, a->undo_ssthresh);
	c->flags &= ~(uint32_t)IN_RECOVERY;
	c->dupacks = 0;
	a->undo = 0;
	a->frto = MR_FRTO_OFF;
	mr_scoreboard_found(t, c, a);
	t->stats->spurious_recoveries++;
	mr_trace(t, c, MR_TRACE_UNDO, 0, 0);
	mr_recovery_event(t, c, a, MR_CC_UNDO);
	mr_tcp_want_output(t, c);
}

/* RFC 3522 3.2, (4): the ACK echoes a time before the first retransmission. */
bool mr_recovery_undo_by_timestamp(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
				   const struct mr_segment *seg)
{
	if (!(c->flags & IN_RECOVERY) || !a->undo || !a->undo_sent ||
	    !(c->flags & MR_CONN_TIMESTAMPS) || !seg->options.has_timestamps ||
	    !seg->options.ts_ecr || !mr_seq_lt(seg->options.ts_ecr, a->undo_ts))
		return false;
	undo(t, c, a);
	return true;
}

/* RFC 3708 2: every retransmission of this recovery came as a duplicate. */
static void undo_by_dsack(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			  const struct mr_block *dsack)
{
	if (!a->undo || !a->undo_retrans || mr_seq_lt(dsack->left, a->undo_una) ||
	    mr_seq_lt(c->recover, dsack->right))
		return;
	if (!--a->undo_retrans)
		undo(t, c, a);
}

void mr_recovery_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t len,
		      bool again)
{
	if (c->flags & MR_CONN_RECOVERY)
		a->prr_out += len;
	if (!again)
		return;
	a->undo_retrans++;
	if (a->undo_sent)
		return;
	a->undo_sent = 1;
	a->undo_ts = t->now_ms + t->ts_offset;
}

/* ----- F-RTO ----- */

/* RFC 5682 2.1, 2b: "if the TCP sender has previously unsent data and the window allows" */
static bool new_text_can_go(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_frame *r;

	if (c->tx_next == MR_NONE)
		return false;
	r = &t->frames->record[c->tx_next];
	return r->len &&
	       (r->len >= c->snd_mss || c->flags & (MR_CONN_NODELAY | MR_CONN_FIN_QUEUED)) &&
	       mr_seq_le(r->seq + min_u32(r->len, c->snd_mss), c->snd_una + c->snd_wnd);
}

/*
 * RFC 5682 2.1 and 3.1, after a timeout: text that was not sent again is received (@original):
 * nothing was lost. @duplicate: the ACK says that something arrived behind a gap.
 */
bool mr_recovery_frto(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, bool original,
		      bool duplicate, bool advanced)
{
	if (a->frto == MR_FRTO_OFF)
		return false;
	if (original && a->undo) { /* 3b */
		t->stats->frto_spurious++;
		undo(t, c, a);
		return true;
	}
	if (duplicate) /* 2a, 3a */
		a->frto = MR_FRTO_OFF;
	else if (advanced && a->frto == MR_FRTO_RESENT)
		a->frto = new_text_can_go(t, c) ? MR_FRTO_NEW : MR_FRTO_OFF;
	return false;
}

/* ----- recovery ----- */

/* RFC 6675 5, (1) to (4.2), with what limited transmit sent left out (RFC 3042 2). */
void mr_recovery_begin(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	remember(c, a);
	if (!mr_ecn_answered_window(c, a)) {
		c->ssthresh = mr_cc_of(c)->ssthresh(t, c, a, flight);
		mr_ecn_window_reduced(c);
	}
	c->recover = c->snd_nxt;
	c->flags |= MR_CONN_RECOVERY;
	a->prr_delivered = 0;
	a->prr_out = 0;
	a->prr_flight = max_u32(flight, 1);
	a->tlp_is_out = 0;
	t->stats->fast_retransmits++;
	mr_trace(t, c, MR_TRACE_RECOVERY, 0, a->lost);
}

static void end(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	if (c->flags & MR_CONN_RECOVERY && !mr_cc_of(c)->rules_recovery)
		c->cwnd = c->ssthresh; /* RFC 6937 3.1, "at the end of recovery" */
	c->flags &= ~(uint32_t)IN_RECOVERY;
	a->frto = MR_FRTO_OFF;
	mr_rack_recovered(a);
	mr_recovery_event(t, c, a, MR_CC_RECOVERY_ENDS);
}

/* RFC 6937 3.1, the reduction bound that is conservative unless the ACK shows good progress. */
static uint32_t prr_limit(const struct mr_conn *c, const struct mr_active *a, uint32_t delivered,
			  bool good)
{
	uint32_t spare = a->prr_delivered > a->prr_out ? a->prr_delivered - a->prr_out : 0;

	return good ? max_u32(spare, delivered) + c->snd_mss : max_u32(spare, delivered);
}

/* RFC 6937 3.1: sndcnt, and cwnd so that it may be sent. The first retransmission always may. */
static void prr(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		const struct mr_cc_ack *ack)
{
	uint32_t pipe = mr_tcp_pipe(t, c);
	uint32_t send;

	a->prr_delivered += ack->delivered;
	if (pipe > c->ssthresh) {
		uint64_t due = ((uint64_t)a->prr_delivered * c->ssthresh + a->prr_flight - 1) /
			       a->prr_flight;

		send = due > a->prr_out ? (uint32_t)(due - a->prr_out) : 0;
	} else {
		send = min_u32(c->ssthresh - pipe,
			       prr_limit(c, a, ack->delivered, ack->acked && !ack->lost));
	}
	if (!a->prr_out)
		send = max_u32(send, c->snd_mss);
	c->cwnd = max_u32(pipe + send, c->snd_mss);
}

/* What the ACK, or the reordering timer, showed to be lost; and the window that follows from it. */
static void adapt(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, struct mr_cc_ack *ack)
{
	const struct mr_cc *cc = mr_cc_of(c);

	if (ack->lost && !(c->flags & IN_RECOVERY) && a->lost == a->probe_len &&
	    mr_path_probe_lost(t, c))
		ack->lost = 0; /* RFC 4821 7.5: no sign of congestion */
	if (ack->lost && !(c->flags & IN_RECOVERY))
		mr_recovery_begin(t, c, a, min_u32(ack->flight, max_u32(c->cwnd, 2 * c->snd_mss)));
	ack->recovery = c->flags & MR_CONN_RECOVERY;
	if (ack->recovery && !cc->rules_recovery)
		prr(t, c, a, ack);
	else if (ack->delivered || ack->lost)
		cc->acked(t, c, a, ack);
	if (a->lost)
		mr_tcp_want_output(t, c);
}

/* RFC 8985 7.4.2: the probe had repaired a loss; the window answers it as it would any other. */
static void answer_probed_loss(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			       uint32_t flight)
{
	t->stats->tlp_losses++;
	if (c->flags & IN_RECOVERY || mr_ecn_answered_window(c, a))
		return;
	c->ssthresh = mr_cc_of(c)->ssthresh(t, c, a, flight);
	mr_ecn_window_reduced(c);
	if (!mr_cc_of(c)->rules_recovery)
		c->cwnd = min_u32(c->cwnd, c->ssthresh);
	mr_recovery_event(t, c, a, MR_CC_RECOVERY_ENDS);
}

static void answer_dsack(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			 const struct mr_delivery *d)
{
	if (!c->retransmits)
		return; /* the network doubled it */
	mr_rack_dsack(c, a);
	undo_by_dsack(t, c, a, &d->dsack);
}

/* RFC 2018 8: an ACK below what was reported: does the peer still have it? Ask soon. */
static bool is_reneged(const struct mr_tcp *t, const struct mr_conn *c)
{
	return c->tx_head != c->tx_next && t->frames->record[c->tx_head].marks & MR_FRAME_SACKED;
}

static void rearm(struct mr_tcp *t, struct mr_conn *c, const struct mr_delivery *d,
		  uint32_t reorder_us)
{
	if (d->advanced)
		mr_timer_data_acked(t, c);
	if (is_reneged(t, c))
		mr_timer_reneged(t, c, d->advanced);
	else if (reorder_us)
		mr_timer_reordered(t, c, reorder_us);
	else if (d->sacked)
		mr_timer_sacked(t, c);
}

/* Nothing is lost, reported out of order or being probed: most ACKs are like that. */
static bool is_plain(const struct mr_conn *c, const struct mr_active *a,
		     const struct mr_delivery *d)
{
	return d->advanced && !(c->flags & IN_RECOVERY) && !a->n_sacked && !a->lost &&
	       !a->tlp_is_out && !d->has_dsack && !d->sacked;
}

/* An ACK of a connection with SACK; marks and snd_una are as it says. */
void mr_recovery_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		       const struct mr_segment *seg, struct mr_cc_ack *ack,
		       const struct mr_delivery *d)
{
	uint32_t lost, reorder_us;

	if (is_plain(c, a, d)) {
		mr_cc_of(c)->acked(t, c, a, ack);
		mr_timer_data_acked(t, c);
		return;
	}
	if (d->has_dsack)
		answer_dsack(t, c, a, d);
	if (mr_tlp_acked(c, a, seg, d))
		answer_probed_loss(t, c, a, ack->flight);
	if (d->advanced)
		mr_recovery_undo_by_timestamp(t, c, a, seg);
	/* what was taken for lost arrived, and nothing was sent again: spurious for sure */
	if (c->flags & MR_CONN_RECOVERY && a->undo && !a->undo_sent && !a->lost)
		undo(t, c, a);
	if (c->flags & MR_CONN_RTO_RECOVERY)
		mr_recovery_frto(t, c, a, d->original, d->sacked, d->advanced);
	if (c->flags & IN_RECOVERY && !mr_seq_lt(c->snd_una, c->recover))
		end(t, c, a);
	lost = a->lost;
	reorder_us = a->n_sacked ? mr_rack_detect_loss(t, c, a) : 0;
	ack->lost = a->lost - lost;
	adapt(t, c, a, ack);
	rearm(t, c, d, reorder_us);
}

/* RFC 8985 6.2, step 5: the reordering window is over. */
void mr_recovery_reorder_timeout(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);
	struct mr_cc_ack ack = { .flight = mr_conn_flight(t, c) };
	uint32_t lost = a->lost;
	uint32_t reorder_us = mr_rack_detect_loss(t, c, a);

	ack.lost = a->lost - lost;
	adapt(t, c, a, &ack);
	if (is_reneged(t, c))
		mr_timer_reneged(t, c, false);
	else if (reorder_us)
		mr_timer_reordered(t, c, reorder_us);
	else
		mr_timer_sacked(t, c);
	mr_tcp_want_output(t, c);
}

/*
 * RFC 6298 5.4, RFC 8985 6.3: all that the peer did not report is lost. What it did report is not
 * sent again, unless it cannot have it: the first text missing is what it reported (RFC 2018 8).
 */
void mr_recovery_timeout(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	bool fresh = !(c->flags & IN_RECOVERY);

	if (is_reneged(t, c)) {
		t->stats->sack_reneges++;
		mr_scoreboard_reneged(t, c, a);
	}
	if (fresh)
		remember(c, a);
	a->frto = fresh && c->tx_bytes ? MR_FRTO_RESENT : MR_FRTO_OFF; /* RFC 5682 2.1, 1 */
	a->tlp_is_out = 0;
	mr_scoreboard_lose_all(t, c, a);
}
