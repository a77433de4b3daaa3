/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, seventh check: text in any order, cut, overlapped and repeated, becomes the
 * stream that was sent. RFC 5681 4.2: when it is acknowledged. What a peer may make us hold.
 */
#include "tests/unit/rfc_fixture.h"

#include <stdlib.h>
#include <string.h>

enum {
	STREAM = 40000, /* fits the first window */
	PIECES = 400,
	ROUNDS = 1000,
	SMALL = 6, /* bytes of the stream that is cut in every way */
};

static struct mr_conn *begin(struct rfc *f)
{
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13);
}

/* [@from, @from + @len) of the stream that starts at @base; @flags besides ACK. */
static int piece(struct rfc *f, struct mr_conn *c, uint32_t base, uint32_t from, uint32_t len,
		 uint8_t flags)
{
	uint8_t text[RFC_MSS];

	for (uint32_t i = 0; i < len; i++)
		text[i] = byte_at(from + i);
	return rfc_arrives(f, c,
			   IN(.flags = MR_ACK | flags, .seq = base + from, .text = text,
			      .len = (uint16_t)len));
}

/* Runs that a window of @wnd lets a peer make. */
static uint32_t most_runs(uint32_t wnd)
{
	return min_u32(MR_OOO_RUNS, 128 + wnd / 8192);
}

/* ----- gaps ----- */

static void gap_is_kept_and_answered_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	piece(&f, c, RFC_IRS + 1, 10, 5, 0);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	assert_int_equal(f.stats.out_of_order, 1);
	assert_int_equal(f.events[MR_EVENT_READABLE], 0);
	piece(&f, c, RFC_IRS + 1, 0, 10, 0);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 16);
	assert_int_equal(c->rx_bytes, 15);
	assert_int_equal(f.events[MR_EVENT_READABLE], 1);
	rfc_fini(&f);
}

static void gaps_filled_one_by_one_each_answered_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t base = RFC_IRS + 1;

	(void)state;
	c->irs -= 1000000; /* no longer at the start, where every segment is acknowledged */
	piece(&f, c, base, 30, 10, 0);
	piece(&f, c, base, 10, 10, 0);
	assert_int_equal(rfc_check_gaps(&f, c), 2);
	rfc_forget(&f);
	piece(&f, c, base, 0, 10, 0); /* fills the first, the second stays */
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, base + 20);
	piece(&f, c, base, 20, 10, 0);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->ack, base + 40);
	assert_int_equal(rfc_check_gaps(&f, c), 0);
	rfc_fini(&f);
}

static void duplicate_text_is_answered_at_once_and_counted(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	piece(&f, c, RFC_IRS + 1, 0, 10, 0);
	rfc_forget(&f);
	piece(&f, c, RFC_IRS + 1, 0, 10, 0);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 11);
	assert_int_equal(f.stats.duplicates, 1);
	assert_int_equal(c->rx_bytes, 10);
	rfc_fini(&f);
}

/* What is there stays: a later copy with other bytes adds only what was missing. */
static void overlap_with_other_bytes_first_copy_wins(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	char got[12];

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 3, .text = "ABC", .len = 3));
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 2, .text = "xyz", .len = 3));
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 5, .text = "xyz", .len = 3));
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "01", .len = 2));
	assert_int_equal(rfc_read(&f, c, got, sizeof(got)), 8);
	assert_memory_equal(got, "01xABCyz", 8);
	rfc_fini(&f);
}

static void overlap_that_covers_pieces_frees_them(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	piece(&f, c, RFC_IRS + 1, 10, 1, 0);
	piece(&f, c, RFC_IRS + 1, 20, 5, 0);
	piece(&f, c, RFC_IRS + 1, 30, 10, 0);
	assert_int_equal(rfc_check_gaps(&f, c), 3);
	piece(&f, c, RFC_IRS + 1, 9, 31, 0); /* all three */
	assert_int_equal(rfc_check_gaps(&f, c), 1);
	assert_int_equal(f.records[c->ooo_head].len, 31);
	assert_int_equal(f.frames.n_free, RFC_FRAMES - 1);
	rfc_fini(&f);
}

static void text_behind_out_of_order_fin_is_not_kept(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	piece(&f, c, RFC_IRS + 1, 10, 5, MR_FIN);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 15, 5, 0), MR_DROP_TCP_SEQUENCE);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 12, 8, 0), MR_DROP_TCP_SEQUENCE);
	assert_int_equal(rfc_check_gaps(&f, c), 1);
	piece(&f, c, RFC_IRS + 1, 0, 10, 0);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rx_bytes, 15);
	rfc_fini(&f);
}

/* Three pieces of a short stream in every place and order, then what is missing, byte by byte. */
static void overlaps_three_pieces_in_every_way_give_the_stream(void **state)
{
	struct {
		uint32_t from, len;
	} p[SMALL * (SMALL + 1) / 2];
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t n = 0;

	(void)state;
	for (uint32_t from = 0; from < SMALL; from++)
		for (uint32_t len = 1; from + len <= SMALL; len++, n++) {
			p[n].from = from;
			p[n].len = len;
		}
	for (uint32_t i = 0; i < n * n * n; i++) {
		uint32_t base = c->rcv_nxt;
		uint8_t got[SMALL + 1];

		piece(&f, c, base, p[i % n].from, p[i % n].len, 0);
		piece(&f, c, base, p[i / n % n].from, p[i / n % n].len, 0);
		piece(&f, c, base, p[i / n / n].from, p[i / n / n].len, 0);
		rfc_check_gaps(&f, c);
		for (uint32_t k = 0; k < SMALL; k++)
			piece(&f, c, base, k, 1, 0);
		assert_int_equal(c->ooo_head, MR_NONE);
		assert_int_equal(rfc_read(&f, c, got, sizeof(got)), SMALL);
		for (uint32_t k = 0; k < SMALL; k++)
			assert_int_equal(got[k], byte_at(k));
		assert_int_equal(f.frames.n_free, RFC_FRAMES);
		rfc_forget(&f);
	}
	rfc_fini(&f);
}

/* ----- one stream, a thousand ways ----- */

/* A small generator: the same pieces for the same seed on every machine. */
static uint32_t next_random(uint32_t *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 17;
	*r ^= *r << 5;
	return *r;
}

struct cut {
	uint32_t from, len;
	uint8_t flags;
};

/* Cut the stream, add repeated and overlapping pieces, shuffle. Returns how many. */
static uint32_t make_cuts(struct cut *cut, uint32_t *r)
{
	uint32_t most = 1 + next_random(r) % RFC_MSS;
	uint32_t n = 0;

	if (most < 200)
		most = 200; /* PIECES is enough */
	for (uint32_t at = 0; at < STREAM; n++) {
		uint32_t len = most / 2 + next_random(r) % (most / 2) + 1;

		cut[n].from = at;
		cut[n].len = len < STREAM - at ? len : STREAM - at;
		at += cut[n].len;
		cut[n].flags = at == STREAM && next_random(r) % 2 ? MR_FIN : 0;
	}
	cut[n++] = (struct cut){ .from = STREAM, .flags = MR_FIN };
	for (uint32_t extra = next_random(r) % n; extra && n < PIECES; extra--, n++) {
		cut[n].from = next_random(r) % STREAM;
		cut[n].len = min_u32(1 + next_random(r) % RFC_MSS, STREAM - cut[n].from);
		cut[n].flags = 0;
	}
	for (uint32_t reach = 1 + next_random(r) % n, i = 0; i < n; i++) {
		uint32_t j = min_u32(n - 1, i + next_random(r) % reach);
		struct cut swap = cut[i];

		cut[i] = cut[j];
		cut[j] = swap;
	}
	return n;
}

struct reader {
	uint8_t got[STREAM + 1];
	uint32_t n;
};

static void read_some(struct rfc *f, struct mr_conn *c, struct reader *to, uint32_t max)
{
	to->n += rfc_read(f, c, to->got + to->n, min_u32(max, sizeof(to->got) - to->n));
}

static void deliver(struct rfc *f, struct mr_conn *c, uint32_t base, const struct cut *cut,
		    struct reader *to, uint32_t *r)
{
	uint32_t edge = c->rcv_nxt + c->rcv_wnd;
	uint32_t most = most_runs(c->rcv_wnd);

	piece(f, c, base, cut->from, cut->len, cut->flags);
	assert_true(rfc_check_gaps(f, c) <= most);
	assert_true(mr_seq_le(edge, c->rcv_nxt + c->rcv_wnd));
	if (next_random(r) % 4 == 0)
		read_some(f, c, to, next_random(r) % 5000);
	rfc_forget(f);
}

/* One round; the stream crosses 2^32 in half of them. */
static void one_round(uint32_t seed)
{
	static struct cut cut[PIECES];
	static struct reader to;
	uint32_t r = seed * 2654435761u + 1;
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t n, base;

	c->irs = seed % 2 ? next_random(&r) : (uint32_t) - (next_random(&r) % STREAM) - 1;
	c->snd_wl1 = c->irs;
	base = c->rcv_nxt = c->last_ack_sent = c->irs + 1;
	to.n = 0;
	n = make_cuts(cut, &r);
	for (uint32_t i = 0; i < n; i++)
		deliver(&f, c, base, &cut[i], &to, &r);
	/* what was refused for want of room is sent again from the left edge */
	while (c->state == MR_ESTABLISHED) {
		uint32_t at = c->rcv_nxt - base;
		struct cut again = { .from = at, .len = min_u32(RFC_MSS, STREAM - at) };

		again.flags = at + again.len == STREAM ? MR_FIN : 0;
		deliver(&f, c, base, &again, &to, &r);
		assert_int_not_equal(c->rcv_nxt - base, at);
	}
	read_some(&f, c, &to, sizeof(to.got));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rcv_nxt, base + STREAM + 1);
	assert_int_equal(to.n, STREAM);
	for (uint32_t i = 0; i < STREAM; i++)
		if (to.got[i] != byte_at(i))
			fail_msg("seed %u: byte %u is wrong", seed, i);
	assert_int_equal(f.frames.n_free, RFC_FRAMES);
	rfc_fini(&f);
}

static void stream_cut_repeated_reordered_overlapped_arrives_intact(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < ROUNDS; seed++)
		one_round(seed);
}

static void stream_beyond_2_to_32_bytes_counts_wraps(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	c->rcv_nxt = c->last_ack_sent = c->irs - 5; /* nearly 4 GiB were received */
	c->snd_wl1 = c->rcv_nxt - 1;
	piece(&f, c, c->rcv_nxt, 0, 10, 0);
	assert_int_equal(c->rcv_wraps, 1);
	assert_int_equal(c->rx_bytes, 10);
	piece(&f, c, c->rcv_nxt, 0, 10, 0);
	assert_int_equal(c->rcv_wraps, 1);
	rfc_fini(&f);
}

/* ----- what a peer may make us hold ----- */

static void one_byte_segments_share_frames(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	for (uint32_t i = 0; i < 3000; i++)
		piece(&f, c, RFC_IRS + 1, i, 1, 0);
	assert_int_equal(c->rx_bytes, 3000);
	assert_true(f.stats.frames.rx <= 3);
	rfc_fini(&f);
}

/* In rising and in falling order: the limit counts what is held, wherever the next one goes. */
static void one_byte_gaps_hold_no_more_than_the_limit(void **state)
{
	(void)state;
	for (int falling = 0; falling < 2; falling++) {
		struct rfc f;
		struct mr_conn *c = begin(&f);
		uint32_t refused = 0, n;

		for (uint32_t i = 1; i <= 1000; i++)
			refused += piece(&f, c, RFC_IRS + 1, 2 * (falling ? 1001 - i : i), 1, 0) ==
				   MR_DROP_OOO_LIMIT;
		n = rfc_check_gaps(&f, c);
		assert_int_equal(n, most_runs(c->rcv_wnd));
		/* falling: each makes room for itself, so that the lowest are held */
		assert_int_equal(refused + f.stats.ooo_pruned, 1000 - n);
		assert_int_equal(f.stats.frames.ooo, n);
		/* text in order is never refused for it */
		for (uint32_t i = 0; i < 2002; i++)
			piece(&f, c, RFC_IRS + 1, i, 1, 0);
		assert_int_equal(c->rx_bytes, 2002);
		assert_int_equal(c->ooo_head, MR_NONE);
		rfc_fini(&f);
	}
}

static void frames_short_out_of_order_is_refused_in_order_is_read(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t taken[RFC_FRAMES];
	uint32_t n = 0;

	(void)state;
	while (f.frames.n_free > f.frames.reserve)
		taken[n++] = mr_frame_take(&f.frames, MR_FRAME_HAND, true);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 10, 5, 0), MR_DROP_OOO_LIMIT);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 0, 10, 0), MR_DROP_NONE);
	/* it left bytes unread: it gets no more, and they are not acknowledged */
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 10, 300, 0), MR_DROP_RX_LIMIT);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 11);
	while (n)
		mr_frame_give(&f.frames, taken[--n]);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, 10, 300, 0), MR_DROP_NONE);
	assert_int_equal(c->rx_bytes, 310);
	rfc_fini(&f);
}

/*
 * The small segments of one burst, which nobody could read yet: what is copied behind the first one
 * takes no frame, and is not refused, until the frame is full.
 */
static void frames_short_small_segments_of_a_burst_share_the_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t taken[RFC_FRAMES];
	uint32_t n = 0, n_free, at;

	(void)state;
	piece(&f, c, RFC_IRS + 1, 0, 10, 0);
	while (f.frames.n_free > 2 * f.frames.reserve)
		taken[n++] = mr_frame_take(&f.frames, MR_FRAME_HAND, true);
	n_free = f.frames.n_free;
	for (at = 10; piece(&f, c, RFC_IRS + 1, at, 100, 0) == MR_DROP_NONE; at += 100)
		assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + at + 100);
	assert_true(at > 1000 && at < RFC_FRAME_BYTES);
	assert_int_equal(piece(&f, c, RFC_IRS + 1, at, 100, 0), MR_DROP_RX_LIMIT);
	assert_int_equal(f.frames.n_free, n_free);
	while (n)
		mr_frame_give(&f.frames, taken[--n]);
	rfc_fini(&f);
}

/* While frames are short some text out of order is held all the same, by each up to a share. */
static void frames_short_a_few_are_held_out_of_order(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t taken[RFC_FRAMES];
	uint32_t n = 0, held = 0, reserve = f.frames.reserve;

	(void)state;
	while (f.frames.n_free > 2 * reserve)
		taken[n++] = mr_frame_take(&f.frames, MR_FRAME_HAND, true);
	while (piece(&f, c, RFC_IRS + 1, 10 + 20 * held, 5, 0) == MR_DROP_NONE)
		held++;
	assert_int_equal(rfc_check_gaps(&f, c), held);
	assert_in_range(held, 2, reserve / 8 + 1);
	while (n)
		mr_frame_give(&f.frames, taken[--n]);
	rfc_fini(&f);
}

static void text_beyond_window_is_cut(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	f.config.receive_buffer = 100;
	c->rcv_wnd = 100;
	piece(&f, c, RFC_IRS + 1, 90, 50, 0);
	assert_int_equal(f.records[c->ooo_head].len, 10);
	piece(&f, c, RFC_IRS + 1, 0, 500, 0);
	assert_int_equal(c->rx_bytes, 100);
	assert_int_equal(c->rcv_wnd, 0);
	assert_int_equal(rfc_last(&f)->wnd, 0);
	rfc_fini(&f);
}

static void close_wait_and_later_text_is_not_read(void **state)
{
	static const enum mr_tcp_state states[] = { MR_CLOSE_WAIT, MR_CLOSING, MR_LAST_ACK,
						    MR_TIME_WAIT };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rfc f;
		struct mr_conn *c;

		rfc_init(&f);
		c = rfc_conn_in(&f, states[i]);
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .text = "abc",
			       .len = 3));
		assert_int_equal(c->rx_bytes, 0);
		assert_int_equal(c->rcv_nxt, RFC_IRS + 2);
		assert_int_equal(c->state, states[i]);
		rfc_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gap_is_kept_and_answered_at_once),
		cmocka_unit_test(gaps_filled_one_by_one_each_answered_at_once),
		cmocka_unit_test(duplicate_text_is_answered_at_once_and_counted),
		cmocka_unit_test(overlap_with_other_bytes_first_copy_wins),
		cmocka_unit_test(overlap_that_covers_pieces_frees_them),
		cmocka_unit_test(text_behind_out_of_order_fin_is_not_kept),
		cmocka_unit_test(overlaps_three_pieces_in_every_way_give_the_stream),
		cmocka_unit_test(stream_cut_repeated_reordered_overlapped_arrives_intact),
		cmocka_unit_test(stream_beyond_2_to_32_bytes_counts_wraps),
		cmocka_unit_test(one_byte_segments_share_frames),
		cmocka_unit_test(one_byte_gaps_hold_no_more_than_the_limit),
		cmocka_unit_test(frames_short_out_of_order_is_refused_in_order_is_read),
		cmocka_unit_test(frames_short_small_segments_of_a_burst_share_the_frame),
		cmocka_unit_test(frames_short_a_few_are_held_out_of_order),
		cmocka_unit_test(text_beyond_window_is_cut),
		cmocka_unit_test(close_wait_and_later_text_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
