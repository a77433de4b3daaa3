/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.8.5 (MUST-30 to MUST-33, MUST-62, MUST-66) and 3.10.7.4, sixth step: urgent text.
 */
#include "tests/unit/rfc_fixture.h"

static const uint8_t text[100] = "urgent";

static struct mr_conn *start(struct rfc *f)
{
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static void urgent(struct rfc *f, struct mr_conn *c, uint16_t pointer, uint16_t len)
{
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_ACK | MR_URG,
				      .seq = c->rcv_nxt,
				      .urgent = pointer,
				      .text = text,
				      .len = len });
}

/* MUST-62: the pointer names the byte behind the urgent text; MUST-33: how much is left. */
static void established_urgent_pointer_counts_from_the_reader(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint8_t got[8];

	(void)state;
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 0);
	urgent(&f, c, 6, 10);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 6);
	assert_int_equal(rfc_read(&f, c, got, 4), 4);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 2);
	assert_int_equal(rfc_read(&f, c, got, 2), 2);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 0);
	rfc_fini(&f);
}

/* The peer's FIN has a number, and is no byte. */
static void close_wait_urgent_does_not_count_the_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK | MR_URG | MR_FIN,
				      .seq = c->rcv_nxt,
				      .urgent = 6,
				      .text = text,
				      .len = 10 });
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 6);
	rfc_fini(&f);
}

/* MUST-32: told when it arrives, ahead of the text, once for each new pointer. */
static void established_urgent_is_told_before_its_text(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	urgent(&f, c, 5000, 10); /* the end comes with later segments (MUST-31) */
	assert_int_equal(f.events[MR_EVENT_URGENT], 1);
	assert_true(mr_tcp_take_urgent_news(&f.tcp, c));
	assert_false(mr_tcp_take_urgent_news(&f.tcp, c));
	urgent(&f, c, 4990, 10); /* the same end */
	assert_int_equal(f.events[MR_EVENT_URGENT], 1);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 5000);
	urgent(&f, c, 60000, 10);
	assert_int_equal(f.events[MR_EVENT_URGENT], 2);
	rfc_fini(&f);
}

/* "RCV.UP <- max(RCV.UP, SEG.UP)": an older pointer takes nothing back. */
static void established_older_pointer_changes_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	urgent(&f, c, 50, 10);
	urgent(&f, c, 1, 10);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 50);
	rfc_fini(&f);
}

static void established_pointer_behind_the_reader_is_no_news(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint8_t got[10];

	(void)state;
	urgent(&f, c, 0, 10); /* nothing is before the segment's first byte */
	assert_int_equal(f.events[MR_EVENT_URGENT], 0);
	assert_int_equal(rfc_read(&f, c, got, 10), 10);
	rfc_fini(&f);
}

/* MUST-66: the URG field counts while our window is closed and the text does not fit. */
static void zero_window_urgent_is_told(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->rcv_wnd = 0;
	f.config.receive_buffer = 0;
	urgent(&f, c, 7, 7);
	assert_int_equal(f.events[MR_EVENT_URGENT], 1);
	assert_int_equal(mr_tcp_urgent(&f.tcp, c), 7);
	assert_int_equal(c->rx_bytes, 0);
	rfc_fini(&f);
}

/* "If the connection state is CLOSE-WAIT ...: This should not occur ... Ignore the URG." */
static void close_wait_urgent_is_ignored(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_CLOSE_WAIT);
	urgent(&f, c, 7, 0);
	assert_int_equal(f.events[MR_EVENT_URGENT], 0);
	rfc_fini(&f);
}

/* MUST-30, MUST-62: segments up to the end of urgent text carry URG and where it ends. */
static void established_urged_text_carries_the_pointer_until_acked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	assert_int_equal(mr_tcp_send_call(&f.tcp, c, text, 20), 20);
	mr_tcp_urge(&f.tcp, c);
	rfc_output(&f, c);
	assert_true(rfc_last(&f)->flags & MR_URG);
	assert_int_equal(rfc_last(&f)->urgent, 20);
	rfc_send(&f, c, text, 30); /* behind it */
	assert_false(rfc_last(&f)->flags & MR_URG);
	assert_int_equal(rfc_last(&f)->urgent, 0);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 21 });
	rfc_send(&f, c, text, 10);
	assert_false(rfc_last(&f)->flags & MR_URG);
	rfc_fini(&f);
}

/* MUST-31: more than the pointer's 16 bits reach is told by the largest value. */
static void established_urgent_text_of_any_length(void **state)
{
	static uint8_t much[100000];
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	assert_int_equal(mr_tcp_send_call(&f.tcp, c, much, sizeof(much)), sizeof(much));
	mr_tcp_urge(&f.tcp, c);
	rfc_output(&f, c);
	assert_true(f.sent[0].flags & MR_URG);
	assert_int_equal(f.sent[0].urgent, UINT16_MAX);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_urgent_pointer_counts_from_the_reader),
		cmocka_unit_test(close_wait_urgent_does_not_count_the_fin),
		cmocka_unit_test(established_urgent_is_told_before_its_text),
		cmocka_unit_test(established_older_pointer_changes_nothing),
		cmocka_unit_test(established_pointer_behind_the_reader_is_no_news),
		cmocka_unit_test(zero_window_urgent_is_told),
		cmocka_unit_test(close_wait_urgent_is_ignored),
		cmocka_unit_test(established_urged_text_carries_the_pointer_until_acked),
		cmocka_unit_test(established_urgent_text_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
