/* SPDX-License-Identifier: MIT */
/*
 * Explicit congestion notification (RFC 3168), and the exact echo of DCTCP (RFC 8257 3.2).
 *
 * MR_CONN_ECN in SYN-SENT says that our SYN asked; from ESTABLISHED on, that both sides agreed. An
 * algorithm that cannot answer marks (BBR) neither asks nor agrees. MR_CONN_ECE_OWED: ECE on every
 * ACK, until CWR arrives; for DCTCP it is DCTCP.CE, the mark of the last text.
 */
#include "shared/mr_cc.h"
#include "user/tcp/internal.h"

enum {
	NOT_ECT = 0,
	ECT_0 = 2,
	CE = 3,
	ECN_FLAGS = MR_ECE | MR_CWR,
};

static bool may_use(const struct mr_cc *cc, uint8_t ecn)
{
	return ecn != MR_ECN_OFF && !cc->ignores_marks;
}

/* ----- negotiation, RFC 3168 6.1.1 ----- */

void mr_conn_choose_cc(struct mr_conn *c, uint8_t cc, uint8_t ecn)
{
	const struct mr_cc *algorithm;

	c->cc = cc;
	algorithm = mr_cc_of(c);
	if (may_use(algorithm, ecn) && (ecn == MR_ECN_ON || algorithm->needs_ecn))
		c->flags |= MR_CONN_ECN;
	else
		c->flags &= ~MR_CONN_ECN;
}

/*
 * An ECN-setup SYN has both flags. One that says ECT in IP is only believed for DCTCP, which sets
 * it (RFC 8257 3.5); else it is a sign that the path rewrites the field.
 */
void mr_half_open_choose_cc(struct mr_half_open *h, const struct mr_segment *syn, uint8_t cc,
			    uint8_t ecn)
{
	const struct mr_conn c = { .cc = cc };
	const struct mr_cc *algorithm = mr_cc_of(&c);

	h->cc = cc;
	h->flags &= (uint8_t)~MR_HALF_ECN;
	if (may_use(algorithm, ecn) && (syn->flags & ECN_FLAGS) == ECN_FLAGS &&
	    (syn->ecn == NOT_ECT || algorithm->needs_ecn))
		h->flags |= MR_HALF_ECN;
}

void mr_half_open_syn_again(struct mr_half_open *h, const struct mr_segment *syn)
{
	if ((syn->flags & ECN_FLAGS) != ECN_FLAGS) /* "at least one non-ECN-setup SYN": no ECT */
		h->flags &= (uint8_t)~MR_HALF_ECN;
}

/* The flags of a SYN that asks, of a SYN-ACK that agrees. */
uint8_t mr_ecn_syn_flags(const struct mr_conn *c, uint8_t flags)
{
	if (!(c->flags & MR_CONN_ECN))
		return 0;
	return flags & MR_ACK ? MR_ECE : ECN_FLAGS;
}

/* The SYN-ACK, or the SYN of a simultaneous open, in SYN-SENT. */
void mr_ecn_syn_arrives(struct mr_conn *c, const struct mr_segment *seg)
{
	uint8_t agrees = seg->flags & MR_ACK ? MR_ECE : ECN_FLAGS;

	if ((seg->flags & ECN_FLAGS) != agrees)
		c->flags &= ~MR_CONN_ECN;
}

/* ----- sending ----- */

/* Every segment: DCTCP wants all of them marked by switches (RFC 8257 3.5). */
void mr_ecn_fill(const struct mr_conn *c, struct mr_segment_out *out)
{
	if (c->flags & MR_CONN_ECE_OWED && !(out->flags & MR_SYN))
		out->flags |= MR_ECE;
	if (mr_cc_of(c)->needs_ecn)
		out->ecn = ECT_0;
}

/* 6.1.2, 6.1.5: text that leaves for the first time, the first after a reduction with CWR. */
void mr_ecn_fill_new_text(const struct mr_conn *c, struct mr_segment_out *out)
{
	out->ecn = ECT_0;
	if (c->flags & MR_CONN_CWR_OWED)
		out->flags |= MR_CWR;
}

void mr_ecn_window_reduced(struct mr_conn *c)
{
	if (c->flags & MR_CONN_ECN)
		c->flags |= MR_CONN_CWR_OWED;
}

/* ----- receiving ----- */

static void ack_now(struct mr_tcp *t, struct mr_conn *c)
{
	c->flags |= MR_CONN_ACK_NOW;
	mr_tcp_want_output(t, c);
}

/*
 * RFC 8257 3.2: when the mark changes, what came before it is acknowledged at once with the old
 * value, and the text itself without delay. What came out of order waits for its ACK as well.
 */
static void echo_exactly(struct mr_tcp *t, struct mr_conn *c, bool ce)
{
	if (ce == !!(c->flags & MR_CONN_ECE_OWED))
		return;
	if (c->rcv_nxt != c->last_ack_sent || c->flags & MR_CONN_ACK_NOW)
		mr_tcp_send_ack(t, c);
	c->flags ^= MR_CONN_ECE_OWED;
	ack_now(t, c);
}

/* RFC 3168 6.1.3; the segment has text and lies in the window (6.1.5). */
void mr_ecn_text_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (mr_cc_of(c)->needs_ecn) {
		echo_exactly(t, c, seg->ecn == CE);
		return;
	}
	if (seg->flags & MR_CWR) { /* its window may be one segment: no delayed ACK */
		c->flags &= ~MR_CONN_ECE_OWED;
		ack_now(t, c);
	}
	if (seg->ecn == CE && !(c->flags & MR_CONN_ECE_OWED)) {
		c->flags |= MR_CONN_ECE_OWED;
		ack_now(t, c);
	}
}

/* ----- the peer's echo ----- */

static void reduce(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	const struct mr_cc *cc = mr_cc_of(c);
	uint32_t flight = mr_conn_flight(t, c);

	c->ssthresh = (cc->echoed ? cc->echoed : cc->ssthresh)(t, c, a, flight);
	c->cwnd = min_u32(c->cwnd, c->ssthresh);
	a->ecn_reduced = true;
	a->ecn_end = c->snd_nxt;
	c->flags |= MR_CONN_CWR_OWED;
}

/*
 * 6.1.2: is what was lost of the window whose congestion an echo has answered already? Not where
 * the answer to an echo is smaller than that to a loss.
 */
bool mr_ecn_answered_window(const struct mr_conn *c, const struct mr_active *a)
{
	return c->flags & MR_CONN_ECN && a->ecn_reduced && !mr_cc_of(c)->echoed &&
	       mr_seq_lt(c->snd_una, a->ecn_end);
}

bool mr_ecn_is_echo(const struct mr_conn *c, const struct mr_segment *seg)
{
	return c->flags & MR_CONN_ECN && seg->flags & MR_ECE && !(seg->flags & MR_SYN);
}

/* 6.1.2: like a loss, but nothing is sent again; once for a window, and not on top of a loss. */
void mr_ecn_ack_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	bool echo = mr_ecn_is_echo(c, seg);
	const struct mr_cc *cc = mr_cc_of(c);
	struct mr_active *a;

	if (c->snd_una == c->snd_nxt)
		return;
	a = mr_active_of(t, c);
	if (cc->marked)
		cc->marked(c, a, seg->ack, echo);
	if (a->ecn_reduced && mr_seq_lt(a->ecn_end, seg->ack))
		a->ecn_reduced = false;
	if (echo && !a->ecn_reduced && !(c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY)))
		reduce(t, c, a);
}
