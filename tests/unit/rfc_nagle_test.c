/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.7.4 (Nagle algorithm, SHLD-7, MUST-17), 3.9.1.2 (PUSH: MUST-60, MUST-61).
 */
#include "tests/unit/rfc_words.h"

static uint8_t text[20 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	rfc_fill(text, sizeof(text));
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static void established_nothing_in_flight_short_segment_leaves(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 1);
	rfc_fini(&f);
}

static void established_short_segment_waits_for_the_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	for (uint32_t i = 1; i < 10; i++)
		rfc_send(&f, c, text + 10 * i, 10);
	assert_int_equal(f.n_sent, 1);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 90);
	assert_memory_equal(rfc_last(&f)->text, text + 10, 90);
	rfc_fini(&f);
}

/* An ACK of a part of what is in flight, not of the short segment, releases nothing. */
static void established_partial_ack_still_holds(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS + 5);
	assert_int_equal(f.n_sent, 3); /* the end of a large write does not wait */
	rfc_send(&f, c, text, 10);
	assert_int_equal(f.n_sent, 3);
	ack(&f, c, RFC_ISS + 1 + RFC_MSS);
	ack(&f, c, RFC_ISS + 1 + 2 * RFC_MSS);
	ack(&f, c, RFC_ISS + 1 + 2 * RFC_MSS + 4);
	assert_int_equal(f.n_sent, 3);
	ack(&f, c, RFC_ISS + 1 + 2 * RFC_MSS + 5);
	assert_int_equal(f.n_sent, 4);
	assert_int_equal(rfc_last(&f)->len, 10);
	rfc_fini(&f);
}

/*
 * Minshall, "A Suggested Modification to Nagle's Algorithm" (draft-minshall-nagle-01): "If a TCP
 * has less than a full-sized packet to transmit, and if any previously transmitted less than
 * full-sized packet has not yet been acknowledged, do not transmit": full ones hold nothing.
 */
static void established_only_full_segments_in_flight_short_one_leaves(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	assert_int_equal(f.n_sent, 2);
	rfc_send(&f, c, text + 2 * RFC_MSS, 10);
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(rfc_last(&f)->len, 10);
	rfc_send(&f, c, text + 2 * RFC_MSS + 10, 10); /* the second waits for the first */
	assert_int_equal(f.n_sent, 3);
	rfc_fini(&f);
}

static void established_full_segment_does_not_wait(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text + 10, 2 * RFC_MSS + 7);
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(f.sent[1].len, RFC_MSS);
	assert_int_equal(f.sent[2].len, RFC_MSS);
	assert_int_equal(c->tx_bytes, 10 + 2 * RFC_MSS + 7);
	rfc_fini(&f);
}

/* Held text is filled up until it is a segment. */
static void established_held_text_leaves_when_it_fills_a_segment(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text + 10, RFC_MSS - 1);
	assert_int_equal(f.n_sent, 1);
	rfc_send(&f, c, text + 9 + RFC_MSS, 1);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, RFC_MSS);
	assert_memory_equal(rfc_last(&f)->text, text + 10, RFC_MSS);
	rfc_fini(&f);
}

/* MUST-17: "There MUST be a way for an application to disable the Nagle algorithm" */
static void established_nodelay_each_write_is_a_segment(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	for (uint32_t i = 0; i < 5; i++) {
		rfc_send(&f, c, text + 10 * i, 10);
		assert_int_equal(f.n_sent, i + 1);
		assert_int_equal(rfc_last(&f)->len, 10);
		assert_memory_equal(rfc_last(&f)->text, text + 10 * i, 10);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK | MR_PSH);
	}
	rfc_fini(&f);
}

/* Also when the windows hold them back: what was written apart leaves apart. */
static void established_nodelay_held_writes_stay_apart(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .zero_wnd = true });
	for (uint32_t i = 0; i < 5; i++)
		rfc_send(&f, c, text + 10 * i, 10);
	assert_int_equal(f.n_sent, 0);
	ack(&f, c, c->snd_una);
	assert_int_equal(f.n_sent, 5);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(f.sent[i].len, 10);
		assert_int_equal(f.sent[i].flags, MR_ACK | MR_PSH);
		assert_int_equal(f.sent[i].seq, RFC_ISS + 1 + 10 * i);
	}
	rfc_fini(&f);
}

static void established_nagle_off_in_config_holds_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	f.config.nagle = false;
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text, 10);
	assert_int_equal(f.n_sent, 2);
	rfc_fini(&f);
}

/* A FIN is not held, and it takes the held text along. */
static void established_close_sends_held_text_with_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text + 10, 20);
	assert_int_equal(f.n_sent, 1);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 20);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK | MR_PSH | MR_FIN);
	rfc_fini(&f);
}

static void established_close_while_text_in_flight_sends_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK | MR_FIN);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 11);
	rfc_fini(&f);
}

/* MUST-61: PSH in the last buffered segment, and in no other of them */
static void established_psh_on_the_last_segment_only(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 4 * RFC_MSS);
	assert_int_equal(f.n_sent, 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f.sent[i].flags, MR_ACK);
	assert_int_equal(f.sent[3].flags, MR_ACK | MR_PSH);
	rfc_fini(&f);
}

/* What is sent again is not held, however short. */
static void established_short_retransmission_is_not_held(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	c->flags |= MR_CONN_NODELAY;
	rfc_send(&f, c, text + RFC_MSS, 10);
	c->flags &= ~MR_CONN_NODELAY;
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	c->cwnd = 10 * RFC_MSS; /* so that only Nagle could hold it */
	mr_tcp_output(&f.tcp, c);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 10);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_nothing_in_flight_short_segment_leaves),
		cmocka_unit_test(established_short_segment_waits_for_the_ack),
		cmocka_unit_test(established_partial_ack_still_holds),
		cmocka_unit_test(established_only_full_segments_in_flight_short_one_leaves),
		cmocka_unit_test(established_full_segment_does_not_wait),
		cmocka_unit_test(established_held_text_leaves_when_it_fills_a_segment),
		cmocka_unit_test(established_nodelay_each_write_is_a_segment),
		cmocka_unit_test(established_nodelay_held_writes_stay_apart),
		cmocka_unit_test(established_nagle_off_in_config_holds_nothing),
		cmocka_unit_test(established_close_sends_held_text_with_fin),
		cmocka_unit_test(established_close_while_text_in_flight_sends_fin),
		cmocka_unit_test(established_psh_on_the_last_segment_only),
		cmocka_unit_test(established_short_retransmission_is_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
