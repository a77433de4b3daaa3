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

/* DCTCP has an exact echo of its own (RFC 8257), which peers of its kind expect. */
static bool may_be_accurate(const struct mr_cc *cc, uint8_t ecn)
{
	return may_use(cc, ecn) && !cc->needs_ecn && ecn >= MR_ECN_ACCURATE;
}

void mr_conn_choose_cc(struct mr_conn *c, uint8_t cc, uint8_t ecn)
{
	const struct mr_cc *algorithm;

	c->cc = cc;
	algorithm = mr_cc_of(c);
	c->flags &= ~(MR_CONN_ECN | MR_CONN_CWR_OWED);
	if (may_use(algorithm, ecn) && (ecn == MR_ECN_ON || ecn == MR_ECN_ACCURATE ||
					ecn == MR_ECN_ACCURATE_ON || algorithm->needs_ecn))
		c->flags |= MR_CONN_ECN;
	if (may_be_accurate(algorithm, ecn) && ecn == MR_ECN_ACCURATE)
		c->flags |= MR_CONN_CWR_OWED; /* see accurate.c */
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
	h->accurate = 0;
	if (may_be_accurate(algorithm, ecn) && mr_accurate_listen(h, syn))
		h->flags |= MR_HALF_ECN;
	else if (may_use(algorithm, ecn) && (syn->flags & ECN_FLAGS) == ECN_FLAGS &&
		 ((syn->ecn & MR_ECN_IP) == NOT_ECT || algorithm->needs_ecn))
		h->flags |= MR_HALF_ECN;
}

void mr_half_open_syn_again(struct mr_half_open *h, const struct mr_segment *syn)
{
	if (h->accurate)
		mr_accurate_listen_again(h, syn);
	else if ((syn->flags & ECN_FLAGS) !=
		 ECN_FLAGS) /* "at least one non-ECN-setup SYN": no ECT */
		h->flags &= (uint8_t)~MR_HALF_ECN;
}

/* The flags of a SYN that asks, of a SYN-ACK that agrees. */
void mr_ecn_fill_syn(const struct mr_conn *c, struct mr_segment_out *out)
{
	if (!(c->flags & MR_CONN_ECN))
		return;
	if (!(c->flags & MR_CONN_CWR_OWED))
		out->flags |= out->flags & MR_ACK ? MR_ECE : ECN_FLAGS;
	else if (!(out->flags & MR_ACK)) /* what agrees: mr_accurate_offer() */
		mr_accurate_fill_syn(c, out);
}

/* The SYN-ACK, or the SYN of a simultaneous open, in SYN-SENT. */
void mr_ecn_syn_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint8_t agrees = seg->flags & MR_ACK ? MR_ECE : ECN_FLAGS;

	if (c->flags & MR_CONN_CWR_OWED) {
		if (!mr_accurate_syn_arrives(t, c, seg))
			c->flags &= ~MR_CONN_ECN;
		return;
	}
	if ((seg->flags & ECN_FLAGS) != agrees)
		c->flags &= ~MR_CONN_ECN;
}

/*
 * RFC 3168 6.1.1.1: the SYN's flags may be what does not get through. What asks for accurate
 * feedback may still be answered, whatever later SYNs say (RFC 9768 3.1.4).
 */
void mr_ecn_syn_lost(struct mr_conn *c)
{
	if (c->state == MR_SYN_SENT && !(c->flags & MR_CONN_CWR_OWED))
		c->flags &= ~MR_CONN_ECN;
}

/* The last segment of a handshake, in SYN-RECEIVED. */
void mr_ecn_established(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (c->flags & MR_CONN_ECN && c->flags & MR_CONN_CWR_OWED)
		mr_accurate_established(t, c, seg);
}

/* ----- sending ----- */

/* Every segment: DCTCP wants all of them marked by switches (RFC 8257 3.5). */
void mr_ecn_fill(const struct mr_tcp *t, const struct mr_conn *c, struct mr_segment_out *out)
{
	struct mr_accurate *k = mr_accurate_of(t, c);

	if (k) {
		mr_accurate_fill(c, k, out);
		return;
	}
	if (c->flags & MR_CONN_ECE_OWED && !(out->flags & MR_SYN))
		out->flags |= MR_ECE;
	if (mr_cc_of(c)->needs_ecn)
		out->ecn = ECT_0;
}

/* 6.1.2, 6.1.5: text that leaves for the first time, the first after a reduction with CWR. */
void mr_ecn_fill_new_text(const struct mr_tcp *t, const struct mr_conn *c,
			  struct mr_segment_out *out)
{
	const struct mr_accurate *k = mr_accurate_of(t, c);

	if (k) {
		mr_accurate_fill_text(k, out);
		return;
	}
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
	if (c->rcv_nxt != c->last_ack_sent || c->flags & MR_CONN_ACK_NOW) {
		mr_tcp_send_ack(t, c);
		/* no room for it: the mark is told by the next one, which then acknowledges more */
		if (c->flags & MR_CONN_ACK_NOW && c->flags & MR_CONN_ECE_OWED)
			return;
	}
	c->flags ^= MR_CONN_ECE_OWED;
	ack_now(t, c);
}

/* RFC 3168 6.1.3; the segment has text and lies in the window (6.1.5). */
void mr_ecn_text_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (mr_accurate_of(t, c))
		return; /* counted by mr_accurate_arrives() */
	if (mr_cc_of(c)->needs_ecn) {
		echo_exactly(t, c, (seg->ecn & MR_ECN_IP) == CE);
		return;
	}
	if (seg->flags & MR_CWR) { /* its window may be one segment: no delayed ACK */
		c->flags &= ~MR_CONN_ECE_OWED;
		ack_now(t, c);
	}
	if ((seg->ecn & MR_ECN_IP) == CE && !(c->flags & MR_CONN_ECE_OWED)) {
		c->flags |= MR_CONN_ECE_OWED;
		ack_now(t, c);
	}
}

/* ----- the peer's echo ----- */

static void reduce(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t flight)
{
	const struct mr_cc *cc = mr_cc_of(c);

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

bool mr_ecn_is_echo(const struct mr_conn *c, const struct mr_active *a,
		    const struct mr_segment *seg)
{
	return c->flags & MR_CONN_ECN && seg->flags & MR_ECE && !(seg->flags & MR_SYN) &&
	       !(a && a->accurate.on);
}

/* 6.1.2: like a loss, but nothing is sent again; once for a window, and not on top of a loss. */
static void answer_marks(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			 const struct mr_segment *seg, bool marked, uint32_t flight)
{
	if (a->ecn_reduced && mr_seq_lt(a->ecn_end, seg->ack))
		a->ecn_reduced = false;
	if (marked && !a->ecn_reduced && !(c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY)))
		reduce(t, c, a, flight);
}

/* Before the ACK is processed: an echo, and what is needed to tell what the ACK brought. */
struct mr_ecn_before mr_ecn_ack_arrives(struct mr_tcp *t, struct mr_conn *c,
					const struct mr_segment *seg)
{
	const struct mr_cc *cc = mr_cc_of(c);
	struct mr_ecn_before before = { .una = c->snd_una, .flight = mr_conn_flight(t, c) };
	struct mr_active *a;
	bool echo;

	if (mr_accurate_of(t, c)) {
		before.sacked = mr_active_peek(t->actives, c)->sacked;
		return before;
	}
	if (c->snd_una == c->snd_nxt)
		return before;
	a = mr_active_of(t, c);
	echo = mr_ecn_is_echo(c, a, seg);
	if (cc->marked)
		cc->marked(c, a, seg->ack, echo);
	answer_marks(t, c, a, seg, echo, before.flight);
	return before;
}

void mr_ecn_acked(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
		  const struct mr_ecn_before *before)
{
	struct mr_accurate *k = mr_accurate_of(t, c);
	struct mr_active *a;
	uint32_t marks;

	if (!k)
		return;
	a = mr_active_peek(t->actives, c);
	marks = mr_accurate_acked(c, k, seg, c->snd_una - before->una + a->sacked - before->sacked);
	answer_marks(t, c, a, seg, marks, before->flight);
}
