/* SPDX-License-Identifier: MIT */
/*
 * RFC 9768, accurate ECN feedback: negotiation (3.1), the ACE field (3.2.2) with its checks for
 * rewritten bits, the option's counters (3.2.3), and what the sender makes of both (A.2).
 */
#include "tests/unit/rfc_fixture.h"

enum {
	ECT_1 = 1,
	ECT_0 = 2,
	CE = 3,
	ASK = MR_ECE | MR_CWR, /* and MR_AE */
};

static uint8_t text[40 * RFC_MSS];

static uint32_t segment(uint32_t n)
{
	return RFC_ISS + 1 + n * RFC_MSS;
}

static uint8_t ace(const struct rfc_sent *s)
{
	return (uint8_t)((s->ecn & MR_AE) | s->flags >> 6);
}

/* An established connection on which both agreed, without the handshake. */
static struct mr_accurate *start(struct rfc *f, struct mr_conn **c)
{
	struct mr_active *a;

	rfc_init(f);
	*c = rfc_conn_in(f, MR_ESTABLISHED);
	(*c)->flags |= MR_CONN_ECN;
	(*c)->rcv_mss = RFC_MSS;
	a = mr_active_take(&f->actives, *c);
	a->accurate.on = 1;
	return &a->accurate;
}

static void arrives(struct rfc *f, struct mr_conn *c, uint8_t ecn, uint16_t len)
{
	rfc_arrives(f, c,
		    IN(.flags = MR_ACK | MR_ECE, .seq = c->rcv_nxt, .text = text, .len = len,
		       .ecn = ecn | MR_AE));
}

static void ack(struct rfc *f, struct mr_conn *c, uint32_t n, uint8_t told)
{
	rfc_arrives(f, c,
		    IN(.flags = MR_ACK | (told & 2 ? MR_CWR : 0) | (told & 1 ? MR_ECE : 0),
		       .seq = c->rcv_nxt, .ack = n, .ecn = told & MR_AE));
}

static struct mr_segment syn(uint8_t flags, uint8_t ecn)
{
	struct mr_segment s = rfc_segment(MR_SYN | flags, RFC_IRS, 0, 0);

	s.ecn = ecn;
	s.options.mss = 1460;
	return s;
}

/* ----- 3.1 ----- */

/* Table 2: what the SYN-ACK says of the IP field that the SYN had. */
static void listen_syn_ack_says_how_the_syn_came(void **state)
{
	static const uint8_t told[] = { 2, 3, 4, 6 };

	(void)state;
	for (uint8_t field = 0; field < 4; field++) {
		struct mr_segment s = syn(ASK, field | MR_AE);
		struct mr_half_open half;
		struct rfc f;

		rfc_init(&f);
		assert_true(mr_tcp_listen_state(&f.tcp, &s, &half));
		mr_half_open_choose_cc(&half, &s, MR_CC_CUBIC, MR_ECN_ACCURATE_PASSIVE);
		mr_half_open_send(&f.tcp, &half);
		assert_int_equal(ace(rfc_last(&f)), told[field]);
		assert_int_equal(rfc_last(&f)->ecn & MR_ECN_IP, 0);
		mr_half_open_send(&f.tcp, &half);
		assert_int_equal(ace(rfc_last(&f)), told[field]);
		mr_half_open_send(&f.tcp, &half); /* 3.1.4 */
		assert_int_equal(ace(rfc_last(&f)), 0);
		rfc_fini(&f);
	}
}

/* A mode without accurate feedback, and DCTCP, agree by RFC 3168; so does a peer that asks by it.
 */
static void listen_agrees_by_what_both_know(void **state)
{
	static const struct {
		uint8_t ae, cc, ecn, told;
	} row[] = {
		{ MR_AE, MR_CC_CUBIC, MR_ECN_PASSIVE, 1 },
		{ MR_AE, MR_CC_DCTCP, MR_ECN_ACCURATE, 1 },
		{ MR_AE, MR_CC_BBR, MR_ECN_ACCURATE, 0 },
		{ MR_AE, MR_CC_CUBIC, MR_ECN_OFF, 0 },
		{ 0, MR_CC_CUBIC, MR_ECN_ACCURATE, 1 },
		{ MR_AE, MR_CC_NEWRENO, MR_ECN_ACCURATE_ON, 2 },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct mr_segment s = syn(ASK, row[i].ae);
		struct mr_half_open half;
		struct rfc f;

		rfc_init(&f);
		assert_true(mr_tcp_listen_state(&f.tcp, &s, &half));
		mr_half_open_choose_cc(&half, &s, row[i].cc, row[i].ecn);
		mr_half_open_send(&f.tcp, &half);
		assert_int_equal(ace(rfc_last(&f)), row[i].told);
		rfc_fini(&f);
	}
}

/* ----- 3.2.2 ----- */

static void established_ace_counts_packets_with_ce(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	for (uint32_t i = 1; i <= 12; i++) {
		arrives(&f, c, i % 3 ? CE : ECT_0, i % 2 ? 0 : 100);
		mr_tcp_send_ack(&f.tcp, c);
		assert_int_equal(ace(rfc_last(&f)), (5 + i - i / 3) & 7);
		assert_int_equal(rfc_last(&f)->ecn & MR_ECN_IP, ECT_0);
	}
	assert_int_equal(k->received_ce, 8);
	assert_int_equal(k->received[CE - 1] + k->received[ECT_0 - 1], 600);
	rfc_fini(&f);
}

/* 3.2.2.5.1: the second mark is acknowledged at once, a bare ACK's third */
static void established_every_second_mark_is_acknowledged_at_once(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	k->last_field = CE;
	c->irs -= 100 * RFC_MSS; /* not at the start of the connection */
	rfc_forget(&f);
	arrives(&f, c, CE, 100);
	assert_int_equal(f.n_sent, 0);
	arrives(&f, c, CE, 100);
	assert_int_equal(f.n_sent, 1);
	rfc_forget(&f);
	for (int i = 0; i < 2; i++)
		arrives(&f, c, CE, 0);
	assert_int_equal(f.n_sent, 0);
	arrives(&f, c, CE, 0);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* 3.2.3.3: when another field than before comes, at once as well */
static void established_change_of_the_field_is_acknowledged_at_once(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	k->last_field = ECT_0;
	c->irs -= 100 * RFC_MSS;
	rfc_forget(&f);
	arrives(&f, c, ECT_0, 100);
	assert_int_equal(f.n_sent, 0);
	arrives(&f, c, ECT_1, 100);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* ----- the sender ----- */

/* RFC 3168 6.1.2 with 9768's marks: once a window, and CWR is no flag here */
static void established_marks_reduce_once_a_window(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	rfc_send(&f, c, text, 10 * RFC_MSS);
	ack(&f, c, segment(1), 6);
	assert_int_equal(k->delivered_ce, 1);
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	ack(&f, c, segment(2), 7);
	assert_int_equal(k->delivered_ce, 2);
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	rfc_fini(&f);
}

/* An ACK with nothing new may be an old one that was overtaken. */
static void established_ack_without_progress_tells_nothing(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	rfc_send(&f, c, text, 2 * RFC_MSS);
	ack(&f, c, segment(0), 7);
	assert_int_equal(k->delivered_ce, 0);
	assert_int_equal(c->cwnd, 10 * RFC_MSS);
	rfc_fini(&f);
}

/* A.2.1: beyond seven segments ACE may have gone round */
static void established_ace_that_may_have_gone_round_is_taken_for_the_most(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	rfc_send(&f, c, text, 10 * RFC_MSS);
	ack(&f, c, segment(1), 5);
	ack(&f, c, segment(10), 5);
	assert_int_equal(k->delivered_ce, 8);
	rfc_fini(&f);
}

/* Where ACKs come for many segments as a rule, that would be said of each of them. */
static void established_thinned_acks_are_taken_at_their_word(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	rfc_send(&f, c, text, 10 * RFC_MSS);
	ack(&f, c, segment(10), 6);
	assert_int_equal(k->delivered_ce, 1);
	rfc_fini(&f);
}

/* ----- the record ----- */

static void established_counters_outlive_idleness(void **state)
{
	struct mr_accurate *k;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	k = start(&f, &c);
	arrives(&f, c, CE, 100);
	rfc_advance(&f, c, 10 * MR_ACTIVE_IDLE_MS);
	mr_tcp_give_idle(&f.tcp, RFC_ACTIVES);
	assert_int_not_equal(c->active, MR_NONE);
	assert_int_equal(k->received_ce, 1);
	mr_tcp_send_ack(&f.tcp, c);
	assert_int_equal(ace(rfc_last(&f)), 6);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listen_syn_ack_says_how_the_syn_came),
		cmocka_unit_test(listen_agrees_by_what_both_know),
		cmocka_unit_test(established_ace_counts_packets_with_ce),
		cmocka_unit_test(established_every_second_mark_is_acknowledged_at_once),
		cmocka_unit_test(established_change_of_the_field_is_acknowledged_at_once),
		cmocka_unit_test(established_marks_reduce_once_a_window),
		cmocka_unit_test(established_ack_without_progress_tells_nothing),
		cmocka_unit_test(established_ace_that_may_have_gone_round_is_taken_for_the_most),
		cmocka_unit_test(established_thinned_acks_are_taken_at_their_word),
		cmocka_unit_test(established_counters_outlive_idleness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
