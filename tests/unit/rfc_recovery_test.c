/* SPDX-License-Identifier: MIT */
/*
 * RFC 5681 3.1 (slow start, congestion avoidance), 3.2 (fast retransmit and recovery) and 2
 * (duplicate acknowledgment), RFC 6582 3.2 (NewReno), RFC 6928 2 (initial window).
 */
#include "tests/unit/rfc_words.h"

#include <string.h>

static uint8_t text[40 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 5 + i / 253);
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

/* Sequence number of segment @n, counted from 0. */
static uint32_t segment(uint32_t n)
{
	return RFC_ISS + 1 + n * RFC_MSS;
}

static void acks(struct rfc *f, struct mr_conn *c, uint32_t n, int times)
{
	while (times--)
		ack(f, c, n);
}

/* ----- RFC 5681 3.2, fast retransmit ----- */

static void established_third_dupack_resends_the_lost_segment(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_forget(&f);
	acks(&f, c, segment(0), 2);
	assert_int_equal(f.stats.fast_retransmits, 0);
	ack(&f, c, segment(0));
	assert_int_equal(f.stats.fast_retransmits, 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, segment(0));
	assert_int_equal(rfc_last(&f)->len, RFC_MSS);
	assert_memory_equal(rfc_last(&f)->text, text, RFC_MSS);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	assert_int_equal(c->cwnd, 8 * RFC_MSS);
	rfc_fini(&f);
}

/* (4): "no more than max(FlightSize / 2, 2*SMSS)" */
static void established_third_dupack_with_small_flight_keeps_two_segments(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 3 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	assert_int_equal(c->ssthresh, 2 * RFC_MSS);
	rfc_fini(&f);
}

/* ----- section 2: (a) to (e) of a duplicate acknowledgment ----- */

static void established_nothing_outstanding_is_no_dupack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	ack(&f, c, segment(1));
	acks(&f, c, segment(1), 5);
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(c->dupacks, 0);
	assert_int_equal(f.n_sent, 2);
	rfc_fini(&f);
}

static void established_ack_with_text_is_no_dupack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	for (int i = 0; i < 5; i++)
		rfc_arrives(&f, c,
			    &(struct rfc_in){ .flags = MR_ACK,
					      .seq = c->rcv_nxt,
					      .ack = segment(0),
					      .text = "abc",
					      .len = 3 });
	assert_int_equal(f.stats.fast_retransmits, 0);
	assert_int_equal(f.stats.retransmits, 0);
	rfc_fini(&f);
}

static void established_ack_with_fin_is_no_dupack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 2);
	rfc_arrives(
		&f, c,
		&(struct rfc_in){ .flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .ack = segment(0) });
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(f.stats.fast_retransmits, 0);
	rfc_fini(&f);
}

static void established_window_update_is_no_dupack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	for (uint16_t i = 0; i < 5; i++)
		rfc_arrives(&f, c,
			    &(struct rfc_in){ .flags = MR_ACK,
					      .seq = c->rcv_nxt,
					      .ack = segment(0),
					      .wnd = (uint16_t)(60000 + i) });
	assert_int_equal(f.stats.fast_retransmits, 0);
	rfc_fini(&f);
}

static void established_older_ack_is_no_dupack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	ack(&f, c, segment(2));
	acks(&f, c, segment(1), 5);
	assert_int_equal(f.stats.fast_retransmits, 0);
	assert_int_equal(c->snd_una, segment(2));
	rfc_fini(&f);
}

static void established_new_ack_starts_dupacks_anew(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 2);
	acks(&f, c, segment(1), 3); /* one that is new and two duplicates */
	assert_int_equal(f.stats.fast_retransmits, 0);
	rfc_fini(&f);
}

/* ----- RFC 6582 3.2, recovery ----- */

/* Step 4: "for each additional duplicate ACK", and new text as the window grows over the flight */
static void recovery_more_dupacks_let_new_text_out(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	assert_int_equal(f.n_sent, 10);
	acks(&f, c, segment(0), 3); /* cwnd 5 + 3; two new segments by RFC 3042 */
	assert_int_equal(c->snd_nxt, segment(12));
	rfc_forget(&f);
	acks(&f, c, segment(0), 2);
	assert_int_equal(c->cwnd, 10 * RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	acks(&f, c, segment(0), 4);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[0].seq, segment(12));
	assert_int_equal(rfc_last(&f)->seq, segment(13));
	rfc_fini(&f);
}

/* Step 5, partial: the next hole at once; deflate by what was acknowledged, add one SMSS */
static void recovery_partial_ack_resends_next_hole(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	rfc_forget(&f);
	ack(&f, c, segment(4));
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, segment(4));
	assert_int_equal(c->cwnd, (8 - 4 + 1) * RFC_MSS);
	assert_true(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(f.stats.fast_retransmits, 1);
	rfc_fini(&f);
}

/* Step 5, full: min(ssthresh, max(FlightSize, SMSS) + SMSS) */
static void recovery_full_ack_ends_it(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 9);
	rfc_forget(&f);
	ack(&f, c, segment(10));
	assert_false(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(c->cwnd, 2 * RFC_MSS); /* nothing in flight: no burst */
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	rfc_fini(&f);
}

static void recovery_full_ack_with_text_in_flight_leaves_ssthresh(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	acks(&f, c, segment(0), 9); /* cwnd 5 + 9: four new segments */
	assert_int_equal(c->snd_nxt, segment(14));
	ack(&f, c, segment(10));
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	rfc_fini(&f);
}

/* Step 2: in recovery, three more are not another loss */
static void recovery_three_more_dupacks_do_not_enter_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	ack(&f, c, segment(4));
	rfc_forget(&f);
	acks(&f, c, segment(4), 3);
	assert_int_equal(f.stats.fast_retransmits, 1);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* Step 2: only when "the Cumulative Acknowledgment field covers more than recover" */
static void established_dupacks_right_after_recovery_do_not_enter_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	ack(&f, c, segment(10)); /* recover, and no more */
	rfc_send(&f, c, text, 2 * RFC_MSS);
	acks(&f, c, segment(10), 3);
	assert_int_equal(f.stats.fast_retransmits, 1);
	rfc_fini(&f);
}

static void established_dupacks_beyond_recover_enter_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	ack(&f, c, segment(10));
	rfc_send(&f, c, text, 8 * RFC_MSS);
	ack(&f, c, segment(11));
	acks(&f, c, segment(11), 3);
	assert_int_equal(f.stats.fast_retransmits, 2);
	rfc_fini(&f);
}

/* Step 6: after a timeout, duplicates for what was in flight then are not a loss */
static void established_dupacks_after_timeout_do_not_enter(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_advance(&f, c, 1000);
	acks(&f, c, segment(0), 5);
	assert_int_equal(f.stats.fast_retransmits, 0);
	ack(&f, c, segment(5));
	acks(&f, c, segment(5), 5);
	assert_int_equal(f.stats.fast_retransmits, 0);
	rfc_fini(&f);
}

/* Section 4.1: what the timeout sent again is lost again: no second timeout is waited for */
static void established_dupacks_of_what_a_timeout_resent_enter(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_advance(&f, c, 1000);
	ack(&f, c, segment(1)); /* cwnd 2: segments 1 and 2 */
	ack(&f, c, segment(2)); /* cwnd 3: segments 3 and 4 */
	acks(&f, c, segment(2), 2);
	assert_int_equal(f.stats.fast_retransmits, 0);
	rfc_forget(&f);
	ack(&f, c, segment(2));
	assert_int_equal(f.stats.fast_retransmits, 1);
	assert_int_equal(f.sent[0].seq, segment(2));
	assert_true(c->flags & MR_CONN_RECOVERY);
	assert_false(c->flags & MR_CONN_RTO_RECOVERY);
	/* partial: the next hole, whose copy was lost as well or has not left yet */
	rfc_forget(&f);
	ack(&f, c, segment(4));
	assert_int_equal(f.sent[0].seq, segment(4));
	ack(&f, c, segment(10));
	assert_false(c->flags & MR_CONN_RECOVERY);
	rfc_fini(&f);
}

/* Not while the timeout's own segment is waited for: duplicates answer what left before it */
static void established_dupacks_before_a_timeouts_answer_do_not_enter(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_advance(&f, c, 1000);
	acks(&f, c, segment(0), 8);
	assert_int_equal(f.stats.fast_retransmits, 0);
	assert_true(c->flags & MR_CONN_RTO_RECOVERY);
	rfc_fini(&f);
}

/* Step 5: a timeout in recovery ends it */
static void recovery_timeout_falls_back_to_slow_start(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	acks(&f, c, segment(0), 3);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_false(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(c->cwnd, RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, segment(0));
	rfc_fini(&f);
}

/* ----- RFC 6928 and RFC 5681 3.1 ----- */

/* min(10 * MSS, max(2 * MSS, 14600)) */
static void established_initial_window_is_ten_segments(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	assert_int_equal(f.n_sent, 10);
	rfc_fini(&f);
}

static void established_initial_window_of_large_segments_is_bounded(void **state)
{
	static const struct {
		uint16_t mss;
		uint32_t cwnd;
	} rows[] = {
		{ 536, 5360 },	 { 1448, 14480 }, { 1460, 14600 },
		{ 1500, 14600 }, { 7300, 14600 }, { 8960, 17920 },
	};
	struct mr_conn c = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.snd_mss = rows[i].mss;
		mr_cc_newreno.init(&c, false);
		assert_int_equal(c.cwnd, rows[i].cwnd);
		mr_cc_newreno.init(&c, true);
		assert_int_equal(c.cwnd, rows[i].mss);
	}
}

/*
 * Slow start: by all bytes that an ACK acknowledges (RFC 3465 2.1, with L as Linux has it); bytes,
 * not ACKs
 */
static void established_slow_start_adds_what_was_acked(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 30 * RFC_MSS);
	ack(&f, c, segment(1));
	assert_int_equal(c->cwnd, 11 * RFC_MSS);
	ack(&f, c, segment(3));
	assert_int_equal(c->cwnd, 13 * RFC_MSS);
	ack(&f, c, segment(8));
	assert_int_equal(c->cwnd, 18 * RFC_MSS);
	ack(&f, c, segment(8) + 100); /* ACK division gains nothing */
	assert_int_equal(c->cwnd, 18 * RFC_MSS + 100);
	rfc_fini(&f);
}

/* RFC 3465 2.3: "during slow start phases that follow RTO-based loss recovery, L = 1 * SMSS" */
static void after_a_timeout_slow_start_adds_one_segment_an_ack(void **state)
{
	struct mr_conn c = { .snd_mss = RFC_MSS, .flags = MR_CONN_RTO_RECOVERY };

	(void)state;
	assert_int_equal(mr_cc_slow_start(&c, 5 * RFC_MSS), RFC_MSS);
	assert_int_equal(mr_cc_slow_start(&c, 100), 100);
	c.flags = 0;
	assert_int_equal(mr_cc_slow_start(&c, 5 * RFC_MSS), 5 * RFC_MSS);
}

/* Congestion avoidance: one segment a round trip */
static void established_congestion_avoidance_adds_one_segment_a_window(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->ssthresh = 10 * RFC_MSS;
	rfc_send(&f, c, text, 40 * RFC_MSS);
	for (uint32_t i = 1; i <= 9; i++)
		ack(&f, c, segment(i));
	assert_int_equal(c->cwnd, 10 * RFC_MSS);
	ack(&f, c, segment(10));
	assert_int_equal(c->cwnd, 11 * RFC_MSS);
	for (uint32_t i = 11; i <= 20; i++)
		ack(&f, c, segment(i));
	assert_int_equal(c->cwnd, 11 * RFC_MSS);
	ack(&f, c, segment(21));
	assert_int_equal(c->cwnd, 12 * RFC_MSS);
	rfc_fini(&f);
}

/* A window that was not used proves nothing (RFC 7661 1). */
static void established_unused_window_does_not_grow(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (uint32_t i = 1; i <= 20; i++) {
		rfc_send(&f, c, text, RFC_MSS);
		ack(&f, c, segment(i));
	}
	assert_int_equal(c->cwnd, 10 * RFC_MSS);
	rfc_fini(&f);
}

/* After a timeout: slow start from one segment up to ssthresh, then avoidance */
static void established_slow_start_after_timeout_ends_at_ssthresh(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS); /* no new text: no F-RTO */
	rfc_advance(&f, c, 1000);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	for (uint32_t i = 1; i <= 4; i++)
		ack(&f, c, segment(i));
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	ack(&f, c, segment(5));
	assert_int_equal(c->cwnd, 5 * RFC_MSS);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_third_dupack_resends_the_lost_segment),
		cmocka_unit_test(established_third_dupack_with_small_flight_keeps_two_segments),
		cmocka_unit_test(established_nothing_outstanding_is_no_dupack),
		cmocka_unit_test(established_ack_with_text_is_no_dupack),
		cmocka_unit_test(established_ack_with_fin_is_no_dupack),
		cmocka_unit_test(established_window_update_is_no_dupack),
		cmocka_unit_test(established_older_ack_is_no_dupack),
		cmocka_unit_test(established_new_ack_starts_dupacks_anew),
		cmocka_unit_test(recovery_more_dupacks_let_new_text_out),
		cmocka_unit_test(recovery_partial_ack_resends_next_hole),
		cmocka_unit_test(recovery_full_ack_ends_it),
		cmocka_unit_test(recovery_full_ack_with_text_in_flight_leaves_ssthresh),
		cmocka_unit_test(recovery_three_more_dupacks_do_not_enter_again),
		cmocka_unit_test(established_dupacks_right_after_recovery_do_not_enter_again),
		cmocka_unit_test(established_dupacks_beyond_recover_enter_again),
		cmocka_unit_test(established_dupacks_after_timeout_do_not_enter),
		cmocka_unit_test(established_dupacks_of_what_a_timeout_resent_enter),
		cmocka_unit_test(established_dupacks_before_a_timeouts_answer_do_not_enter),
		cmocka_unit_test(recovery_timeout_falls_back_to_slow_start),
		cmocka_unit_test(established_initial_window_is_ten_segments),
		cmocka_unit_test(established_initial_window_of_large_segments_is_bounded),
		cmocka_unit_test(established_slow_start_adds_what_was_acked),
		cmocka_unit_test(after_a_timeout_slow_start_adds_one_segment_an_ack),
		cmocka_unit_test(established_congestion_avoidance_adds_one_segment_a_window),
		cmocka_unit_test(established_unused_window_does_not_grow),
		cmocka_unit_test(established_slow_start_after_timeout_ends_at_ssthresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
