/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, seventh, process the segment text: SHLD-31 (segments out of order are kept),
 * overlaps, duplicates, a FIN out of order, and what a peer may make us hold.
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	STREAM = 3000,
	WAYS = 2000,
	OUT_OF_ORDER = MR_OOO_RUNS + 50,
};

static uint32_t ooo_frames(const struct rfc *f)
{
	return (uint32_t)f->stats.frames.ooo;
}

static void assert_reads(struct rfc *f, struct mr_conn *c, uint32_t offset, uint32_t len)
{
	static uint8_t bytes[64 << 10];

	assert_int_equal(rfc_read(f, c, bytes, sizeof(bytes)), len);
	assert_memory_equal(bytes, tcp_bytes(offset, len), len);
}

static void established_gap_then_fill_delivers_both(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 100, 50, 0);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(ooo_frames(f), 1);
	tcp_text_arrives(f, c, 0, 100, 0);
	assert_int_equal(ooo_frames(f), 0);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + 150);
	assert_reads(f, c, 0, 150);
}

/* RFC 5681 4.2: an ACK at once for what opens a gap, and for what fills one. */
static void established_gap_and_fill_are_acknowledged_at_once(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 100, 50, 0);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
	tcp_text_arrives(f, c, 0, 40, 0);
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1 + 40);
	tcp_text_arrives(f, c, 40, 60, 0);
	assert_int_equal(f->n_sent, 3);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1 + 150);
}

/* A second piece [from, to) after [100, 200): everything up to the larger end is read once. */
static void established_every_overlap_of_two_pieces_reads_the_stream(void **state)
{
	static const struct {
		uint16_t from, to;
	} second[] = {
		{ 50, 100 },  { 50, 150 },  { 50, 200 },  { 50, 250 },	{ 100, 150 }, { 100, 200 },
		{ 100, 250 }, { 150, 180 }, { 150, 200 }, { 150, 250 }, { 200, 250 },
	};

	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		struct rfc *f = *state;
		struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
		uint32_t end = second[i].to > 200 ? second[i].to : 200;

		tcp_text_arrives(f, c, 100, 100, 0);
		tcp_text_arrives(f, c, second[i].from, second[i].to - second[i].from, 0);
		tcp_text_arrives(f, c, 0, 100, 0);
		assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + end);
		assert_reads(f, c, 0, end);
		assert_int_equal(ooo_frames(f), 0);
	}
}

static void established_duplicate_out_of_order_holds_no_second_frame(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 100, 100, 0);
	tcp_text_arrives(f, c, 200, 100, 0);
	assert_int_equal(ooo_frames(f), 1); /* both fit */
	assert_int_equal(tcp_text_arrives(f, c, 100, 100, 0), MR_DROP_TCP_SEQUENCE);
	assert_int_equal(tcp_text_arrives(f, c, 150, 100, 0), MR_DROP_TCP_SEQUENCE);
	assert_int_equal(ooo_frames(f), 1);
}

static void established_fin_out_of_order_counts_when_the_gap_is_filled(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 100, 50, MR_FIN);
	assert_int_equal(c->state, MR_ESTABLISHED);
	tcp_text_arrives(f, c, 0, 100, 0);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1 + 151);
	assert_reads(f, c, 0, 150);
}

static void established_fin_again_out_of_order_holds_one_frame(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	for (int i = 0; i < 10; i++)
		tcp_text_arrives(f, c, 100, 0, MR_FIN);
	assert_int_equal(ooo_frames(f), 1);
	tcp_text_arrives(f, c, 0, 100, 0);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + 101);
}

/* RFC 9293 3.10.7.4, eighth: nothing follows a FIN; a peer that sends it leaves no frame behind. */
static void established_text_behind_a_fin_is_dropped(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 200, 50, 0);
	tcp_text_arrives(f, c, 100, 50, 0);
	tcp_text_arrives(f, c, 0, 100, MR_FIN);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + 101);
	assert_int_equal(ooo_frames(f), 0);
	assert_reads(f, c, 0, 100);
}

static void fin_wait_2_text_behind_a_fin_is_gone_in_time_wait(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_2);

	tcp_text_arrives(f, c, 200, 50, 0);
	tcp_text_arrives(f, c, 0, 0, MR_FIN);
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(c->ooo_head, MR_NONE);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

/* One byte a segment, from the end to the front or to the end: both are limited. */
static void one_byte_pieces(struct rfc *f, struct mr_conn *c, bool downwards)
{
	for (uint32_t i = 0; i < OUT_OF_ORDER; i++) {
		uint32_t place = downwards ? OUT_OF_ORDER - i : i + 1;

		tcp_text_arrives(f, c, 2 * place, 1, 0);
	}
	assert_int_equal(ooo_frames(f), min_u32(MR_OOO_RUNS, 128 + c->rcv_wnd / 8192));
	assert_true(f->frames.n_free > RFC_FRAMES / 2);
}

static void established_one_byte_pieces_upwards_hold_a_limited_number(void **state)
{
	one_byte_pieces(*state, rfc_conn_in(*state, MR_ESTABLISHED), false);
}

static void established_one_byte_pieces_downwards_hold_a_limited_number(void **state)
{
	one_byte_pieces(*state, rfc_conn_in(*state, MR_ESTABLISHED), true);
}

static void established_text_beyond_the_window_is_cut_to_it(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->rcv_wnd = 100;
	tcp_text_arrives(f, c, 0, 150, MR_FIN);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + 100);
	assert_int_equal(c->state, MR_ESTABLISHED); /* the FIN stood outside */
	assert_reads(f, c, 0, 100);
}

/* Frames of one byte each arrive in order: they share frames (a peer cannot hold one per byte). */
static void established_small_segments_share_frames(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	for (uint32_t i = 0; i < 1000; i++)
		tcp_text_arrives(f, c, i, 1, 0);
	assert_int_equal(c->rx_bytes, 1000);
	assert_true(f->stats.frames.rx <= 2);
	assert_reads(f, c, 0, 1000);
}

/* One way of cutting, doubling, overlapping and shuffling the stream, with its FIN. */
static void one_way(struct rfc *f, uint32_t seed)
{
	struct {
		uint16_t from, len;
	} piece[400];
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t n = 0;

	if (seed & 1)
		c->irs = c->rcv_nxt = c->last_ack_sent = 0u - seed % STREAM; /* wraps within */
	if (seed & 1)
		c->rcv_nxt = c->last_ack_sent = c->irs + 1;
	for (uint32_t from = 0; from < STREAM; n++) {
		uint32_t back = tcp_random(&seed) % 3 ? 0 : tcp_random(&seed) % (from + 1) % 300;
		uint32_t len = 1 + tcp_random(&seed) % 200 + back;

		piece[n].from = (uint16_t)(from - back);
		piece[n].len = (uint16_t)min_u32(len, STREAM - piece[n].from);
		from = piece[n].from + piece[n].len;
	}
	for (uint32_t i = 0; i < 30; i++, n++) /* anything once more */
		piece[n] = piece[tcp_random(&seed) % n];
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j = tcp_random(&seed) % (i + 1);
		uint16_t from = piece[i].from, len = piece[i].len;

		piece[i] = piece[j];
		piece[j].from = from;
		piece[j].len = len;
	}
	for (uint32_t i = 0; i < n; i++)
		tcp_text_arrives(f, c, piece[i].from, piece[i].len,
				 piece[i].from + piece[i].len == STREAM ? MR_FIN : 0);
	rfc_check_gaps(f, c);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rcv_nxt, c->irs + 1 + STREAM + 1);
	assert_reads(f, c, 0, STREAM);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
	mr_active_give(&f->actives, c);
	rfc_forget(f);
}

static void established_stream_cut_in_any_way_comes_out_the_same(void **state)
{
	for (uint32_t seed = 1; seed <= WAYS; seed++)
		one_way(*state, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established_gap_then_fill_delivers_both),
		TEST(established_gap_and_fill_are_acknowledged_at_once),
		TEST(established_every_overlap_of_two_pieces_reads_the_stream),
		TEST(established_duplicate_out_of_order_holds_no_second_frame),
		TEST(established_fin_out_of_order_counts_when_the_gap_is_filled),
		TEST(established_fin_again_out_of_order_holds_one_frame),
		TEST(established_text_behind_a_fin_is_dropped),
		TEST(fin_wait_2_text_behind_a_fin_is_gone_in_time_wait),
		TEST(established_one_byte_pieces_upwards_hold_a_limited_number),
		TEST(established_one_byte_pieces_downwards_hold_a_limited_number),
		TEST(established_text_beyond_the_window_is_cut_to_it),
		TEST(established_small_segments_share_frames),
		TEST(established_stream_cut_in_any_way_comes_out_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
