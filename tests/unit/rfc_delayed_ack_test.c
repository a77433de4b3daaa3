/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.8.6.3 (delayed acknowledgments, SHLD-18, SHLD-19, MUST-40, MUST-58, MUST-59), RFC
 * 5681 4.2 (every second segment or 2*RMSS bytes, at once around gaps).
 */
#include "tests/unit/rfc_fixture.h"

enum {
	DELAY_MS = 40, /* of the fixture */
};

static uint8_t text[40 * RFC_MSS];
static uint8_t sink[40 * RFC_MSS];

/* A connection that is past its start, where every segment is acknowledged. */
static struct mr_conn *start(struct rfc *f)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_in(f, MR_ESTABLISHED);
	for (int i = 0; i < 20; i++) {
		rfc_arrives(
			f, c,
			&(struct rfc_in){
				.flags = MR_ACK, .seq = c->rcv_nxt, .text = text, .len = RFC_MSS });
		rfc_read(f, c, sink, sizeof(sink));
	}
	rfc_advance(f, c, 1000); /* nothing is owed */
	rfc_forget(f);
	return c;
}

static struct rfc_in piece(const struct mr_conn *c, uint32_t offset, uint16_t len)
{
	return (struct rfc_in){
		.flags = MR_ACK, .seq = c->rcv_nxt + offset, .text = text, .len = len
	};
}

/* Text @offset bytes behind rcv_nxt, with the output stage. */
static void text_arrives(struct rfc *f, struct mr_conn *c, uint32_t offset, uint16_t len)
{
	struct rfc_in in = piece(c, offset, len);

	rfc_arrives(f, c, &in);
}

static void established_one_segment_is_acked_by_the_timer(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint64_t before = f.stats.delayed_acks;

	(void)state;
	text_arrives(&f, c, 0, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, DELAY_MS - 1);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	assert_int_equal(f.stats.delayed_acks, before + 1);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* MUST-40: the first of them waits less than 0.5 s, and later ones do not prolong it. */
static void established_later_text_does_not_prolong_the_delay(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (uint32_t i = 0; i < 5; i++) {
		text_arrives(&f, c, 0, 10);
		assert_int_equal(f.n_sent, 0);
		rfc_advance(&f, c, DELAY_MS / 5);
	}
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

/* SHLD-19: "at least every second segment" of full-sized ones */
static void established_every_second_full_segment_is_acked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (unsigned int i = 1; i <= 10; i++) {
		text_arrives(&f, c, 0, RFC_MSS);
		assert_int_equal(f.n_sent, i / 2);
		rfc_read(&f, c, sink, RFC_MSS);
	}
	rfc_fini(&f);
}

/* RFC 5681 4.2: "at least one acknowledgment every time it receives 2*RMSS bytes" */
static void established_two_segments_worth_of_pieces_is_acked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (int i = 0; i < 2; i++)
		text_arrives(&f, c, 0, 1000);
	assert_int_equal(f.n_sent, 0);
	text_arrives(&f, c, 0, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

/* Text that leaves anyway carries it. */
static void established_our_text_carries_the_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	text_arrives(&f, c, 0, 100);
	rfc_send(&f, c, "answer", 6);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_advance(&f, c, 500);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* RFC 5681 4.2: "An out-of-order data segment SHOULD be acknowledged immediately" */
static void established_gap_is_acked_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t expected = c->rcv_nxt;

	(void)state;
	for (unsigned int i = 1; i <= 3; i++) {
		text_arrives(&f, c, i * RFC_MSS, RFC_MSS);
		assert_int_equal(f.n_sent, i);
		assert_int_equal(rfc_last(&f)->ack, expected);
		assert_int_equal(rfc_last(&f)->len, 0);
	}
	rfc_fini(&f);
}

/* "... when it receives a data segment that fills in all or part of a gap" */
static void established_filled_gap_is_acked_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	text_arrives(&f, c, 100, 100);
	text_arrives(&f, c, 300, 100);
	rfc_forget(&f);
	text_arrives(&f, c, 0, 100); /* a part */
	assert_int_equal(f.n_sent, 1);
	text_arrives(&f, c, 0, 100); /* all: rcv_nxt is 200 further now */
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	assert_int_equal(c->ooo_head, MR_NONE);
	rfc_fini(&f);
}

/* Text that was received before: its ACK was lost. */
static void established_duplicate_is_acked_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	text_arrives(&f, c, 0u - 500, 500);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	assert_int_equal(f.stats.duplicates, 1);
	rfc_fini(&f);
}

/* MUST-59: queued segments are all processed "before sending any ACK segments" */
static void established_burst_gets_one_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct rfc_in in = piece(c, 0, RFC_MSS);

		rfc_arrives_only(&f, c, &in);
	}
	assert_int_equal(f.n_sent, 0);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_advance(&f, c, 500);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* While the peer's window is small it must grow: no delay (RFC 5681 4.2 allows every segment). */
static void established_first_segments_are_acked_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	for (unsigned int i = 1; i <= 8; i++) {
		text_arrives(&f, c, 0, RFC_MSS);
		assert_int_equal(f.n_sent, i);
		assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	}
	rfc_fini(&f);
}

static void established_fin_is_acked_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt });
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

/* An ACK is not answered by an ACK. */
static void established_pure_ack_is_not_acked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt });
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* The transmit ring was full: the ACK is owed still. */
static void established_delayed_ack_without_room_leaves_later(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	text_arrives(&f, c, 0, 100);
	f.no_room = true;
	rfc_advance(&f, c, DELAY_MS - 1);
	f.tcp.now_ms++;
	f.tcp.now_us += 1000;
	mr_tcp_timers(&f.tcp, c);
	assert_true(f.ready);
	f.no_room = false;
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_one_segment_is_acked_by_the_timer),
		cmocka_unit_test(established_later_text_does_not_prolong_the_delay),
		cmocka_unit_test(established_every_second_full_segment_is_acked),
		cmocka_unit_test(established_two_segments_worth_of_pieces_is_acked),
		cmocka_unit_test(established_our_text_carries_the_ack),
		cmocka_unit_test(established_gap_is_acked_at_once),
		cmocka_unit_test(established_filled_gap_is_acked_at_once),
		cmocka_unit_test(established_duplicate_is_acked_at_once),
		cmocka_unit_test(established_burst_gets_one_ack),
		cmocka_unit_test(established_first_segments_are_acked_at_once),
		cmocka_unit_test(established_fin_is_acked_at_once),
		cmocka_unit_test(established_pure_ack_is_not_acked),
		cmocka_unit_test(established_delayed_ack_without_room_leaves_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
