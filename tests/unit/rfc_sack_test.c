/* SPDX-License-Identifier: MIT */
/*
 * RFC 2018 (selective acknowledgment: 2, 3, 4, 5 and 8) and RFC 2883 (duplicates, 4): what we send
 * and what we make of what we get.
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	SEG = 500, /* as in the examples of both RFCs */
};

static struct mr_conn *begin(struct rfc *f)
{
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->flags |= MR_CONN_SACK;
	return c;
}

/* Segment @n of SEG bytes arrives. */
static void piece(struct rfc *f, struct mr_conn *c, uint32_t n)
{
	tcp_text_arrives(f, c, n * SEG, SEG, 0);
}

/* The last segment acknowledges @ack pieces and has @n blocks, of pieces [from, to) each. */
static void assert_acked(struct rfc *f, uint32_t ack, uint8_t n, const uint32_t (*blocks)[2])
{
	const struct rfc_sent *s = rfc_last(f);

	assert_int_equal(s->ack, RFC_IRS + 1 + ack * SEG);
	assert_int_equal(s->options.n_sack, n);
	for (uint8_t i = 0; i < n; i++) {
		assert_int_equal(s->options.sack[i].left, RFC_IRS + 1 + blocks[i][0] * SEG);
		assert_int_equal(s->options.sack[i].right, RFC_IRS + 1 + blocks[i][1] * SEG);
	}
}

#define ACKED(f, ack, ...)                                                                         \
	assert_acked(f, ack, sizeof((uint32_t[][2]){ __VA_ARGS__ }) / 8,                           \
		     (const uint32_t[][2]){ __VA_ARGS__ })

/* ----- RFC 2018 2: SACK-permitted ----- */

static void syn_sent_offers_sack(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	c->flags |= MR_CONN_SACK;
	mr_tcp_send_syn(&f->tcp, c);
	assert_true(rfc_last(f)->options.sack_permitted);
	arrives(f, c, .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS,
		.sack_permitted = true);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_true(c->flags & MR_CONN_SACK);
	assert_false(rfc_last(f)->options.sack_permitted);
}

static void syn_sent_peer_without_sack_gets_none(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	c->flags |= MR_CONN_SACK;
	arrives(f, c, .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS);
	assert_false(c->flags & MR_CONN_SACK);
	piece(f, c, 1);
	assert_int_equal(rfc_last(f)->options.n_sack, 0);
}

static void listen_answers_sack_with_sack(void **state)
{
	struct rfc *f = *state;

	for (int offered = 0; offered < 2; offered++) {
		struct mr_segment syn = { .seq = RFC_IRS,
					  .flags = MR_SYN,
					  .wnd = 65535,
					  .options = { .mss = RFC_MSS,
						       .sack_permitted = offered } };
		struct mr_half_open half;
		struct mr_conn c = { 0 };

		assert_true(mr_tcp_listen_state(&f->tcp, &syn, &half));
		mr_half_open_send(&f->tcp, &half);
		assert_int_equal(rfc_last(f)->options.sack_permitted, offered);
		mr_half_open_expand(&f->tcp, &half, &c);
		assert_int_equal(!!(c.flags & MR_CONN_SACK), offered);
	}
}

/* ----- RFC 2018 4, "Case 1" to "Case 3" of section 4's examples (eight segments of 500) ----- */

/* Case 1: the last four are lost */
static void case_1_first_four_arrive_no_option(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	for (uint32_t i = 0; i < 4; i++) {
		piece(f, c, i);
		assert_int_equal(rfc_last(f)->options.n_sack, 0);
	}
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1 + 4 * SEG);
}

/* Case 2: the first is lost */
static void case_2_first_lost_one_growing_block(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	for (uint32_t i = 1; i < 8; i++) {
		piece(f, c, i);
		ACKED(f, 0, { 1, i + 1 });
	}
}

/* Case 3: the 2nd, 4th, 6th and 8th are lost; then the 4th arrives, then the 2nd */
static void case_3_every_second_lost_newest_first_and_merged(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 0);
	piece(f, c, 2);
	ACKED(f, 1, { 2, 3 });
	piece(f, c, 4);
	ACKED(f, 1, { 4, 5 }, { 2, 3 });
	piece(f, c, 6);
	ACKED(f, 1, { 6, 7 }, { 4, 5 }, { 2, 3 });
	piece(f, c, 3);
	ACKED(f, 1, { 2, 5 }, { 6, 7 });
	piece(f, c, 1);
	ACKED(f, 5, { 6, 7 });
}

/* 3: "a SACK option that specifies n blocks will have a length of 8*n+2 bytes": 4, 3 with TS */
static void more_gaps_than_blocks_newest_are_told(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	for (uint32_t i = 0; i < 6; i++)
		piece(f, c, 1 + 2 * i);
	ACKED(f, 0, { 11, 12 }, { 9, 10 }, { 7, 8 }, { 5, 6 });
	c->flags |= MR_CONN_TIMESTAMPS;
	piece(f, c, 13);
	ACKED(f, 0, { 13, 14 }, { 11, 12 }, { 9, 10 });
}

/* Segments @from, @from + 2, ... (@n of them) in one burst: no output between them. */
static void burst(struct rfc *f, struct mr_conn *c, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (from + 2 * i) * SEG;

		rfc_arrives_only(f, c,
				 &(struct rfc_in){ .flags = MR_ACK,
						   .seq = c->irs + 1 + at,
						   .text = tcp_bytes(at, SEG),
						   .len = SEG });
	}
}

/* What the ACKs since the last rfc_forget() report, by segment: how often each. */
static void count_told(const struct rfc *f, uint8_t *told, uint32_t n)
{
	memset(told, 0, n);
	for (unsigned int i = 0; i < f->n_sent; i++) {
		const struct rfc_sent *s = &f->sent[i];

		assert_int_equal(s->len, 0);
		assert_int_equal(s->ack, RFC_IRS + 1);
		for (uint8_t k = 0; k < s->options.n_sack; k++)
			for (uint32_t at = s->options.sack[k].left; at != s->options.sack[k].right;
			     at += SEG)
				told[(at - RFC_IRS - 1) / SEG]++;
	}
}

/* 4, for a burst that one ACK would answer: as many as tell all, those that changed first ahead */
static void burst_with_more_gaps_than_blocks_tells_all(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 1);
	rfc_forget(f);
	burst(f, c, 3, 3); /* with what is known already as many as fit */
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 1);
	ACKED(f, 0, { 7, 8 }, { 5, 6 }, { 3, 4 }, { 1, 2 });
	rfc_forget(f);
	burst(f, c, 9, 7);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 2);
	ACKED(f, 0, { 21, 22 }, { 19, 20 }, { 17, 18 }, { 15, 16 });
	f->n_sent = 1;
	ACKED(f, 0, { 13, 14 }, { 11, 12 }, { 9, 10 });
	rfc_forget(f);
	piece(f, c, 23); /* nothing is left over */
	assert_int_equal(f->n_sent, 1);
}

/* With timestamps, a duplicate to tell, or without room at first: all is told, once, and bounded */
static void bursts_of_any_size_tell_all_in_few_acks(void **state)
{
	(void)state;
	for (int way = 0; way < 8; way++) {
		for (uint32_t n = 1; n <= 40; n++) {
			uint32_t room = way & 1 ? 3 : 4, known = min_u32(n, MR_SACK_RUNS);
			struct rfc f;
			struct mr_conn *c;
			uint8_t told[100];

			rfc_init(&f);
			c = begin(&f);
			c->flags |= way & 1 ? MR_CONN_TIMESTAMPS : 0;
			burst(&f, c, 1, n);
			if (way & 2)
				burst(&f, c, 2 * n - 1, 1);
			f.no_room = way & 4;
			rfc_output(&f, c);
			f.no_room = false;
			f.ready = true;
			rfc_output(&f, c);
			assert_int_equal(f.n_sent, (known + !!(way & 2) + room - 1) / room);
			assert_true(f.n_sent <= n + !!(way & 2));
			count_told(&f, told, sizeof(told));
			for (uint32_t i = 0; i < known; i++)
				assert_int_equal(told[2 * (n - i) - 1],
						 1 + (way & 2 && i == 0)); /* in DSACK and run */
			rfc_fini(&f);
		}
	}
}

/* Text of ours that would tell only a part is followed by ACKs that tell all; the duplicate once */
static void burst_beside_text_is_told_by_acks_alone(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	burst(f, c, 1, 6);
	burst(f, c, 11, 1);
	mr_tcp_send_call(&f->tcp, c, tcp_bytes(0, 100), 100);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 3);
	assert_int_equal(f->sent[0].len, 100);
	assert_int_equal(f->sent[0].options.n_sack, 0);
	ACKED(f, 0, { 11, 12 }, { 11, 12 }, { 9, 10 }, { 7, 8 });
	f->n_sent = 2;
	ACKED(f, 0, { 5, 6 }, { 3, 4 }, { 1, 2 });
}

/* 4: a block forgotten is told again when it grows, with both its edges */
static void forgotten_block_grows_and_is_whole(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	for (uint32_t i = 0; i < 6; i++)
		piece(f, c, 1 + 3 * i);
	piece(f, c, 2);
	ACKED(f, 0, { 1, 3 }, { 16, 17 }, { 13, 14 }, { 10, 11 });
}

/* A full segment of ours has no room: an ACK of its own tells */
static void full_segment_leaves_blocks_to_an_ack(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	uint32_t frame_end = RFC_ISS + 1 + RFC_MSS;

	mr_tcp_send_call(&f->tcp, c, tcp_bytes(0, RFC_MSS), RFC_MSS);
	piece(f, c, 1);
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(f->sent[0].len, RFC_MSS);
	assert_int_equal(f->sent[0].options.n_sack, 0);
	assert_int_equal(rfc_last(f)->seq, frame_end);
	ACKED(f, 0, { 1, 2 });
	mr_tcp_send_call(&f->tcp, c, tcp_bytes(0, 100), 100);
	mr_tcp_shutdown_send(&f->tcp, c);
	piece(f, c, 3);
	assert_int_equal(rfc_last(f)->len, 100);
	ACKED(f, 0, { 3, 4 }, { 1, 2 });
}

/* 8: the receiver drops what it reported when earlier text needs the frames */
static void out_of_frames_earlier_text_is_kept_and_the_last_not_told(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	uint32_t n = 0;

	for (uint32_t i = 200; i > 100; i--, n++)
		if (tcp_text_arrives(f, c, 2 * i * 10, 10, 0) != MR_DROP_NONE)
			fail();
	assert_int_equal(n, 100);
	f->frames.reserve = f->frames.n_free; /* no frame more for this connection */
	assert_int_equal(tcp_text_arrives(f, c, 50, 10, 0), MR_DROP_NONE);
	assert_int_equal(f->stats.frames.ooo, 100);
	assert_int_equal(f->stats.ooo_pruned, 1);
	assert_int_equal(rfc_last(f)->options.sack[0].left, RFC_IRS + 1 + 50);
	for (uint8_t i = 0; i < rfc_last(f)->options.n_sack; i++)
		assert_int_not_equal(rfc_last(f)->options.sack[i].left, RFC_IRS + 1 + 4000);
	assert_int_equal(tcp_text_arrives(f, c, 5000, 10, 0), MR_DROP_OOO_LIMIT);
	f->frames.reserve = 0;
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
}

/* ----- RFC 2883 4: duplicates ----- */

/* 4.1.1: "3000-3499 ... ACK dropped; resent": below the cumulative acknowledgment */
static void duplicate_below_ack_is_first_block_once(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 0);
	piece(f, c, 1);
	piece(f, c, 0);
	ACKED(f, 2, { 0, 1 });
	piece(f, c, 2);
	assert_int_equal(rfc_last(f)->options.n_sack, 0);
}

/* 4.1.2: out of order, and a duplicate packet below: duplicate first, then the gap */
static void duplicate_below_ack_with_a_gap_is_first(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 0);
	piece(f, c, 2);
	piece(f, c, 0);
	ACKED(f, 1, { 0, 1 }, { 2, 3 });
	piece(f, c, 3);
	ACKED(f, 1, { 2, 4 });
}

/* 4.1.3: a duplicate of an out-of-order segment: then the block that it lies in */
static void duplicate_above_ack_is_within_second_block(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	for (uint32_t i = 1; i < 4; i++)
		piece(f, c, i);
	piece(f, c, 2);
	ACKED(f, 0, { 2, 3 }, { 1, 4 });
}

/* 4.2.1: a segment that repeats part only: the part */
static void partial_duplicate_reports_the_part(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 0);
	tcp_text_arrives(f, c, 0, 2 * SEG, 0);
	ACKED(f, 2, { 0, 1 });
	piece(f, c, 4);
	tcp_text_arrives(f, c, 4 * SEG, 2 * SEG, 0);
	ACKED(f, 2, { 4, 5 }, { 4, 6 });
	tcp_text_arrives(f, c, 3 * SEG, 2 * SEG, 0);
	ACKED(f, 2, { 4, 5 }, { 3, 6 });
}

/* 4.2.3: in order, over a gap's end: what was there already is the duplicate */
static void fill_that_overlaps_reports_the_overlap(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	piece(f, c, 1);
	piece(f, c, 3);
	tcp_text_arrives(f, c, 0, 2 * SEG, 0);
	ACKED(f, 2, { 1, 2 }, { 3, 4 });
}

/* A connection without SACK reports neither. */
static void peer_without_sack_is_told_no_duplicate(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	piece(f, c, 0);
	piece(f, c, 0);
	piece(f, c, 2);
	assert_int_equal(rfc_last(f)->options.n_sack, 0);
}

/* Sequence numbers wrap within a block. */
static void block_over_2_to_32_is_one(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	uint32_t base = 0u - 700;

	c->irs = base - 1;
	c->rcv_nxt = c->last_ack_sent = base;
	c->snd_wl1 = c->irs;
	tcp_text_arrives(f, c, 500, 500, 0);
	tcp_text_arrives(f, c, 1000, 500, 0);
	assert_int_equal(rfc_last(f)->options.n_sack, 1);
	assert_int_equal(rfc_last(f)->options.sack[0].left, base + 500);
	assert_int_equal(rfc_last(f)->options.sack[0].right, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(syn_sent_offers_sack),
		TEST(syn_sent_peer_without_sack_gets_none),
		TEST(listen_answers_sack_with_sack),
		TEST(case_1_first_four_arrive_no_option),
		TEST(case_2_first_lost_one_growing_block),
		TEST(case_3_every_second_lost_newest_first_and_merged),
		TEST(more_gaps_than_blocks_newest_are_told),
		TEST(burst_with_more_gaps_than_blocks_tells_all),
		cmocka_unit_test(bursts_of_any_size_tell_all_in_few_acks),
		TEST(burst_beside_text_is_told_by_acks_alone),
		TEST(forgotten_block_grows_and_is_whole),
		TEST(full_segment_leaves_blocks_to_an_ack),
		TEST(out_of_frames_earlier_text_is_kept_and_the_last_not_told),
		TEST(duplicate_below_ack_is_first_block_once),
		TEST(duplicate_below_ack_with_a_gap_is_first),
		TEST(duplicate_above_ack_is_within_second_block),
		TEST(partial_duplicate_reports_the_part),
		TEST(fill_that_overlaps_reports_the_overlap),
		TEST(peer_without_sack_is_told_no_duplicate),
		TEST(block_over_2_to_32_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
