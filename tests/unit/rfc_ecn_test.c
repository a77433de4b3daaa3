/* SPDX-License-Identifier: MIT */
/*
 * RFC 3168 6.1 (ECN in TCP): negotiation (6.1.1), the sender (6.1.2), the receiver (6.1.3),
 * retransmissions (6.1.5), window probes (6.1.6), pure ACKs (6.1.4). RFC 8257: alpha and the window
 * (3.3), loss (3.4), the exact echo (3.2), SYN (3.5).
 */
#include "tests/unit/rfc_fixture.h"

enum {
	ECT_0 = 2,
	CE = 3,
	ASK = MR_ECE | MR_CWR,
};

static uint8_t text[40 * RFC_MSS];

static uint32_t segment(uint32_t n)
{
	return RFC_ISS + 1 + n * RFC_MSS;
}

static struct mr_conn *start(struct rfc *f, uint8_t cc)
{
	struct mr_conn *c;

	rfc_init(f);
	f->cc = cc;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->flags |= MR_CONN_ECN;
	c->rcv_mss = RFC_MSS;
	return c;
}

static void ack(struct rfc *f, struct mr_conn *c, uint32_t n, uint8_t more)
{
	rfc_arrives(f, c, IN(.flags = MR_ACK | more, .seq = c->rcv_nxt, .ack = n));
}

/* Text of the peer with @ecn in its IP header. */
static void text_arrives(struct rfc *f, struct mr_conn *c, uint8_t ecn, uint8_t more)
{
	rfc_arrives(f, c,
		    IN(.flags = MR_ACK | more, .seq = c->rcv_nxt, .text = text, .len = 100,
		       .ecn = ecn));
}

/* An ACK that leaves now, whatever was owed. */
static uint8_t flags_of_next_ack(struct rfc *f, struct mr_conn *c)
{
	mr_tcp_send_ack(&f->tcp, c);
	return rfc_last(f)->flags;
}

/* ----- 6.1.1, passive ----- */

static struct mr_segment syn(uint8_t flags, uint8_t ecn)
{
	struct mr_segment s = rfc_segment(MR_SYN | flags, RFC_IRS, 0, 0);

	s.ecn = ecn;
	s.options.mss = 1460;
	return s;
}

/* The SYN-ACK to a SYN; @half is the record, and the connection that it expands to is f->conn. */
static const struct rfc_sent *listen_to(struct rfc *f, struct mr_half_open *half, uint8_t flags,
					uint8_t in_ip, uint8_t cc, uint8_t ecn)
{
	struct mr_segment s = syn(flags, in_ip);

	rfc_init(f);
	assert_true(mr_tcp_listen_state(&f->tcp, &s, half));
	mr_half_open_choose_cc(half, &s, cc, ecn);
	mr_half_open_send(&f->tcp, half);
	mr_half_open_expand(&f->tcp, half, &f->conn);
	return rfc_last(f);
}

/*
 * "an ECN-setup SYN packet" has ECE and CWR, "an ECN-setup SYN-ACK packet" ECE and not CWR; "a host
 * MUST NOT set ECT on SYN or SYN-ACK packets"
 */
static void listen_ecn_setup_syn_gets_ecn_setup_syn_ack(void **state)
{
	static const struct {
		uint8_t flags, in_ip, cc, ecn;
		bool agreed;
	} row[] = {
		{ ASK, 0, MR_CC_CUBIC, MR_ECN_PASSIVE, true },
		{ ASK, 0, MR_CC_NEWRENO, MR_ECN_ON, true },
		{ ASK, 0, MR_CC_CUBIC, MR_ECN_OFF, false },
		{ 0, 0, MR_CC_CUBIC, MR_ECN_ON, false },
		{ MR_ECE, 0, MR_CC_CUBIC, MR_ECN_ON, false },
		{ MR_CWR, 0, MR_CC_CUBIC, MR_ECN_ON, false },
		{ ASK, ECT_0, MR_CC_CUBIC, MR_ECN_ON, false }, /* the path rewrites the field */
		{ ASK, ECT_0, MR_CC_DCTCP, MR_ECN_PASSIVE, true },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct mr_half_open half;
		struct rfc f;
		const struct rfc_sent *s =
			listen_to(&f, &half, row[i].flags, row[i].in_ip, row[i].cc, row[i].ecn);

		assert_int_equal(s->flags, MR_SYN | MR_ACK | (row[i].agreed ? MR_ECE : 0));
		assert_int_equal(s->ecn, row[i].cc == MR_CC_DCTCP ? ECT_0 : 0);
		assert_int_equal(!!(f.conn.flags & MR_CONN_ECN), row[i].agreed);
		assert_int_equal(f.conn.cc, row[i].cc);
		rfc_fini(&f);
	}
}

/* "If a host has received at least one non-ECN-setup SYN ... it SHOULD NOT set ECT" */
static void syn_received_syn_without_ecn_ends_it(void **state)
{
	struct mr_segment again = syn(0, 0);
	struct mr_half_open half;
	struct rfc f;

	(void)state;
	listen_to(&f, &half, ASK, 0, MR_CC_CUBIC, MR_ECN_PASSIVE);
	mr_half_open_syn_again(&half, &again);
	mr_half_open_send(&f.tcp, &half);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
	rfc_fini(&f);
}

/* ----- 6.1.1, active ----- */

static struct mr_conn *open_with(struct rfc *f, uint8_t cc, uint8_t ecn)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_fresh(f, false);
	mr_conn_choose_cc(c, cc, ecn);
	mr_tcp_open_call(&f->tcp, c, 1500);
	rfc_output(f, c);
	return c;
}

static void open_call_asks_when_it_is_on(void **state)
{
	static const struct {
		uint8_t cc, ecn, flags, in_ip;
	} row[] = {
		{ MR_CC_CUBIC, MR_ECN_ON, ASK, 0 },
		{ MR_CC_CUBIC, MR_ECN_PASSIVE, 0, 0 },
		{ MR_CC_CUBIC, MR_ECN_OFF, 0, 0 },
		{ MR_CC_DCTCP, MR_ECN_PASSIVE, ASK, ECT_0 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rfc f;

		open_with(&f, row[i].cc, row[i].ecn);
		assert_int_equal(rfc_last(&f)->flags, MR_SYN | row[i].flags);
		assert_int_equal(rfc_last(&f)->ecn, row[i].in_ip);
		rfc_fini(&f);
	}
}

/* "an ECN-setup SYN-ACK": ECE without CWR; both set: a host that reflects what it does not know */
static void syn_sent_only_ece_alone_agrees(void **state)
{
	static const uint8_t flags[] = { MR_ECE, ASK, 0, MR_CWR };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct rfc f;
		struct mr_conn *c = open_with(&f, MR_CC_CUBIC, MR_ECN_ON);

		rfc_arrives(&f, c,
			    IN(.flags = MR_SYN | MR_ACK | flags[i], .seq = RFC_IRS, .mss = 1460));
		assert_int_equal(c->state, MR_ESTABLISHED);
		assert_int_equal(!!(c->flags & MR_CONN_ECN), i == 0);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
		assert_int_equal(rfc_last(&f)->ecn, 0);
		rfc_fini(&f);
	}
}

/* 6.1.1.1: "resend the SYN ... with CWR and ECE cleared"; an answer to the first is too late */
static void syn_sent_timeout_falls_back(void **state)
{
	struct rfc f;
	struct mr_conn *c = open_with(&f, MR_CC_CUBIC, MR_ECN_ON);

	(void)state;
	rfc_advance(&f, c, MR_RTO_INITIAL_MS);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN);
	rfc_arrives(&f, c, IN(.flags = MR_SYN | MR_ACK | MR_ECE, .seq = RFC_IRS, .mss = 1460));
	assert_false(c->flags & MR_CONN_ECN);
	rfc_fini(&f);
}

/* ----- 6.1.4, 6.1.5, 6.1.6: what is marked ----- */

static void established_new_text_is_ect_pure_ack_is_not(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[0].ecn, ECT_0);
	assert_int_equal(f.sent[1].ecn, ECT_0);
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK);
	assert_int_equal(rfc_last(&f)->ecn, 0);
	rfc_fini(&f);
}

static void established_without_agreement_nothing_is_marked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	c->flags &= ~MR_CONN_ECN;
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(rfc_last(&f)->ecn, 0);
	text_arrives(&f, c, CE, 0);
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK);
	ack(&f, c, segment(1), MR_ECE);
	assert_int_equal(c->ssthresh, UINT32_MAX);
	rfc_fini(&f);
}

/* "TCP SHOULD NOT set ECT on retransmitted data packets" */
static void established_retransmission_is_not_ect(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_int_equal(rfc_last(&f)->seq, segment(0));
	assert_int_equal(rfc_last(&f)->len, RFC_MSS);
	assert_int_equal(rfc_last(&f)->ecn, 0);
	rfc_fini(&f);
}

/* "TCP data senders MUST NOT set ... ECT ... in window probe data packets" */
static void established_window_probe_is_not_ect(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	c->snd_wnd = 0;
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.stats.window_probes, 1);
	assert_int_equal(rfc_last(&f)->len, 1);
	assert_int_equal(rfc_last(&f)->ecn, 0);
	rfc_fini(&f);
}

/* ----- 6.1.3, the receiver ----- */

/* "sets the ECN-Echo flag ... until it receives a CWR packet" */
static void established_ce_is_echoed_until_cwr(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	text_arrives(&f, c, ECT_0, 0);
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK);
	text_arrives(&f, c, CE, 0);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK | MR_ECE); /* at once */
	text_arrives(&f, c, ECT_0, 0);
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK | MR_ECE);
	rfc_send(&f, c, text, 10); /* text carries it, too */
	assert_int_equal(rfc_last(&f)->flags & MR_ECE, MR_ECE);
	text_arrives(&f, c, ECT_0, MR_CWR);
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK);
	text_arrives(&f, c, CE, MR_CWR); /* a new mark on the packet with CWR */
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK | MR_ECE);
	rfc_fini(&f);
}

/* 6.1.5: "the TCP data receiver SHOULD ignore the ECN field on ... packets outside the window" */
static void established_ce_outside_the_window_is_ignored(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	text_arrives(&f, c, ECT_0, 0);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt - 100, .text = text, .len = 100,
		       .ecn = CE));
	assert_int_equal(flags_of_next_ack(&f, c), MR_ACK);
	rfc_fini(&f);
}

/* ----- 6.1.2, the sender ----- */

/* "at most once per window of data"; CWR on "the first new data packet sent after the reduction" */
static void established_echo_reduces_once_a_window(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_NEWRENO);

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	assert_int_equal(f.n_sent, 10);
	rfc_forget(&f);
	ack(&f, c, segment(1), MR_ECE);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	for (uint32_t i = 2; i <= 10; i++)
		ack(&f, c, segment(i), MR_ECE);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS); /* "does not increase on ACKs with ECN-Echo" */
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	assert_int_equal(f.n_sent, 5);
	for (uint32_t i = 0; i < f.n_sent; i++) {
		assert_int_equal(f.sent[i].ecn, ECT_0);
		assert_int_equal(f.sent[i].flags & MR_CWR, i ? 0 : MR_CWR);
	}
	/* text sent after the reduction was marked: the next window */
	ack(&f, c, segment(11), MR_ECE);
	assert_true(c->ssthresh < 5 * RFC_MSS);
	rfc_fini(&f);
}

/*
 * "reduced only once in response to a series of dropped and/or CE packets from a single window of
 * data": the third duplicate repairs what was lost in the window that the echo had answered. A loss
 * in the next window is a new one.
 */
static void loss_of_the_window_that_an_echo_answered_does_not_reduce_again(void **state)
{
	for (unsigned int sack = 0; sack < 2; sack++) {
		struct rfc f;
		struct mr_conn *c = start(&f, MR_CC_NEWRENO);

		(void)state;
		if (sack)
			c->flags |= MR_CONN_SACK;
		rfc_send(&f, c, text, 20 * RFC_MSS);
		ack(&f, c, segment(1), MR_ECE);
		assert_int_equal(c->ssthresh, 5 * RFC_MSS);
		for (uint32_t i = 0; i < 3; i++) {
			rfc_advance(&f, c, 1);
			rfc_arrives(&f, c,
				    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(1),
				       .n_sack = sack, .sack = { { segment(2), segment(3 + i) } }));
		}
		rfc_advance(&f, c, 100);
		assert_int_equal(f.stats.fast_retransmits, 1);
		assert_int_equal(c->ssthresh, 5 * RFC_MSS);
		/* all is repaired; the next window loses its first segment */
		ack(&f, c, c->snd_nxt, 0);
		assert_false(c->flags & MR_CONN_RECOVERY);
		rfc_send(&f, c, text, 20 * RFC_MSS);
		ack(&f, c, c->snd_una + RFC_MSS, 0);
		for (uint32_t i = 0; i < 3; i++)
			rfc_arrives(&f, c,
				    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una,
				       .n_sack = sack,
				       .sack = { { c->snd_una + RFC_MSS,
						   c->snd_una + (2 + i) * RFC_MSS } }));
		rfc_advance(&f, c, 100);
		assert_int_equal(f.stats.fast_retransmits, 2);
		assert_true(c->ssthresh < 5 * RFC_MSS);
		rfc_fini(&f);
	}
}

/* RFC 8257 3.5: DCTCP's answer to a mark may be small; its answer to a loss is Reno's. */
static void dctcp_loss_after_an_echo_reduces_all_the_same(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);
	uint32_t before;

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	ack(&f, c, segment(1), MR_ECE);
	before = c->ssthresh;
	for (uint32_t i = 0; i < 3; i++)
		ack(&f, c, segment(1), 0);
	assert_int_equal(f.stats.fast_retransmits, 1);
	assert_true(c->ssthresh < before);
	rfc_fini(&f);
}

/* RFC 9438 4.6: CUBIC's answer to a mark is that to a loss */
static void established_echo_reduces_cubic_by_beta(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	ack(&f, c, segment(0), MR_ECE); /* a duplicate ACK says it as well */
	assert_int_equal(c->cwnd, 7 * RFC_MSS);
	assert_int_equal(c->ssthresh, 7 * RFC_MSS);
	rfc_fini(&f);
}

/* "because of a retransmit timeout, a Fast Retransmit, or in response to an ECN Notification" */
static void established_timeout_owes_cwr(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_CUBIC);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_int_equal(rfc_last(&f)->flags & MR_CWR, 0); /* not on what is sent again */
	ack(&f, c, segment(10), 0);
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(rfc_last(&f)->flags & MR_CWR, MR_CWR);
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(rfc_last(&f)->flags & MR_CWR, 0);
	rfc_fini(&f);
}

/* ----- RFC 8257 ----- */

static const struct mr_dctcp *dctcp(struct rfc *f)
{
	return &mr_active_of(&f->tcp, &f->conn)->cc.dctcp;
}

/* 3.3, steps 1 to 8, in floating point beside it; then cwnd = cwnd * (1 - alpha / 2) */
static void dctcp_alpha_follows_the_marked_share(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);
	double alpha = 1, acked = 0, marked = 0;
	uint32_t window_end = c->snd_una, begin = c->snd_una;

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		bool echo = i * 7 % 10 < (i < 150 ? 6 : 1);

		c->snd_nxt = c->snd_una + 10 * RFC_MSS;
		mr_cc_dctcp.marked(c, mr_active_of(&f.tcp, c), c->snd_una + RFC_MSS, echo);
		c->snd_una += RFC_MSS;
		acked += RFC_MSS;
		marked += echo ? RFC_MSS : 0;
		if (c->snd_una > window_end) {
			alpha = alpha * (1 - 1.0 / 16) + marked / acked / 16;
			window_end = c->snd_nxt;
			acked = marked = 0;
		}
		assert_true(dctcp(&f)->alpha > alpha * 1048576 - 100);
		assert_true(dctcp(&f)->alpha < alpha * 1048576 + 100);
	}
	assert_true(alpha > 0.1 && alpha < 0.6);
	c->cwnd = 100 * RFC_MSS;
	assert_in_range(mr_cc_dctcp.echoed(&f.tcp, c, mr_active_of(&f.tcp, c), c->cwnd),
			(uint32_t)(c->cwnd * (1 - alpha / 2)) - 100,
			(uint32_t)(c->cwnd * (1 - alpha / 2)) + 100);
	c->snd_una = begin;
	c->snd_nxt = begin;
	rfc_fini(&f);
}

/* 3.4: "in the same way as conventional TCP" */
static void dctcp_loss_halves(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);

	(void)state;
	assert_int_equal(mr_cc_dctcp.ssthresh(&f.tcp, c, mr_active_of(&f.tcp, c), 10 * RFC_MSS),
			 5 * RFC_MSS);
	rfc_fini(&f);
}

/*
 * 3.2: "If the CE codepoint is set and DCTCP.CE is false, send an ACK for any previously
 * unacknowledged packets and set DCTCP.CE to true", and the other way round
 */
static void dctcp_echo_is_exact(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);
	uint32_t first;

	(void)state;
	c->irs -= 1000000; /* the quick ACKs of the beginning are over */
	text_arrives(&f, c, ECT_0, 0);
	first = c->rcv_nxt;
	assert_int_equal(f.n_sent, 0); /* delayed */
	text_arrives(&f, c, CE, 0);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[0].flags, MR_ACK);
	assert_int_equal(f.sent[0].ack, first);
	assert_int_equal(f.sent[1].flags, MR_ACK | MR_ECE);
	assert_int_equal(f.sent[1].ack, c->rcv_nxt);
	text_arrives(&f, c, CE, MR_CWR); /* CWR does not end it */
	assert_int_equal(f.n_sent, 2);
	first = c->rcv_nxt;
	text_arrives(&f, c, ECT_0, 0);
	assert_int_equal(f.n_sent, 4);
	assert_int_equal(f.sent[2].flags, MR_ACK | MR_ECE);
	assert_int_equal(f.sent[2].ack, first);
	assert_int_equal(f.sent[3].flags, MR_ACK);
	rfc_fini(&f);
}

/* A mark behind a gap, in one burst with what fills the gap: RCV.NXT does not tell them apart. */
static void dctcp_echo_of_text_out_of_order_is_exact(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);

	(void)state;
	rfc_arrives_only(&f, c,
			 IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100, .text = text, .len = 100,
			    .ecn = CE));
	text_arrives(&f, c, ECT_0, 0);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[0].flags, MR_ACK | MR_ECE);
	assert_int_equal(f.sent[0].ack, c->rcv_nxt - 200);
	assert_int_equal(f.sent[1].flags, MR_ACK);
	assert_int_equal(f.sent[1].ack, c->rcv_nxt);
	rfc_fini(&f);
}

/* 3.5 */
/* Without room the ACK that would tell of the mark does not leave: a later one tells */
static void dctcp_echo_without_room_is_told_later(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);

	(void)state;
	text_arrives(&f, c, ECT_0, 0);
	f.no_room = true;
	text_arrives(&f, c, CE, 0);
	text_arrives(&f, c, ECT_0, 0);
	f.no_room = false;
	assert_true(flags_of_next_ack(&f, c) & MR_ECE);
	text_arrives(&f, c, ECT_0, 0);
	assert_false(flags_of_next_ack(&f, c) & MR_ECE);
	rfc_fini(&f);
}

static void dctcp_marks_every_segment(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CC_DCTCP);

	(void)state;
	mr_tcp_send_ack(&f.tcp, c);
	assert_int_equal(rfc_last(&f)->ecn, ECT_0);
	rfc_send(&f, c, text, RFC_MSS);
	rfc_advance(&f, c, 1000);
	assert_int_equal(rfc_last(&f)->ecn, ECT_0);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listen_ecn_setup_syn_gets_ecn_setup_syn_ack),
		cmocka_unit_test(syn_received_syn_without_ecn_ends_it),
		cmocka_unit_test(open_call_asks_when_it_is_on),
		cmocka_unit_test(syn_sent_only_ece_alone_agrees),
		cmocka_unit_test(syn_sent_timeout_falls_back),
		cmocka_unit_test(established_new_text_is_ect_pure_ack_is_not),
		cmocka_unit_test(established_without_agreement_nothing_is_marked),
		cmocka_unit_test(established_retransmission_is_not_ect),
		cmocka_unit_test(established_window_probe_is_not_ect),
		cmocka_unit_test(established_ce_is_echoed_until_cwr),
		cmocka_unit_test(established_ce_outside_the_window_is_ignored),
		cmocka_unit_test(established_echo_reduces_once_a_window),
		cmocka_unit_test(loss_of_the_window_that_an_echo_answered_does_not_reduce_again),
		cmocka_unit_test(dctcp_loss_after_an_echo_reduces_all_the_same),
		cmocka_unit_test(established_echo_reduces_cubic_by_beta),
		cmocka_unit_test(established_timeout_owes_cwr),
		cmocka_unit_test(dctcp_alpha_follows_the_marked_share),
		cmocka_unit_test(dctcp_loss_halves),
		cmocka_unit_test(dctcp_echo_is_exact),
		cmocka_unit_test(dctcp_echo_of_text_out_of_order_is_exact),
		cmocka_unit_test(dctcp_echo_without_room_is_told_later),
		cmocka_unit_test(dctcp_marks_every_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
