/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4 (SHLD-31: segments out of order are kept) over long fat paths: a window of
 * 4 MiB behind one loss is held, nothing that was reported is dropped (RFC 2018 8: "SHOULD NOT"),
 * no more is offered than can be held, and no peer makes us hold or look at more than its share.
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	FRAMES = 8192,
	BUFFER = 4 << 20,
	SCALE = 7,
	SEG = RFC_MSS,
};

static struct mr_conn *begin(struct rfc *f, uint32_t n_frames, uint32_t window)
{
	struct mr_conn *c;

	rfc_init_frames(f, n_frames);
	f->config.receive_buffer = BUFFER;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->flags |= MR_CONN_WINDOW_SCALE | MR_CONN_SACK;
	c->rcv_shift = SCALE;
	c->rcv_wnd = window;
	return c;
}

/* @len bytes of zeroes at @offset, with the output stage; what is sent is forgotten. */
static int text(struct rfc *f, struct mr_conn *c, uint32_t offset, uint32_t len)
{
	static const uint8_t zeroes[RFC_FRAME_BYTES];
	int drop;

	rfc_forget(f);
	drop = arrives(f, c, .flags = MR_ACK, .seq = RFC_IRS + 1 + offset, .text = zeroes,
		       .len = (uint16_t)len);
	return drop;
}

static uint32_t read_all(struct rfc *f, struct mr_conn *c)
{
	static uint8_t bytes[BUFFER];

	return rfc_read(f, c, bytes, sizeof(bytes));
}

/* The first of the window is lost, all others come: they are held, one run, reported as one. */
static void one_loss_in_4_mib_window_everything_behind_is_held(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, FRAMES, BUFFER);
	uint32_t n = BUFFER / SEG;

	(void)state;
	for (uint32_t i = 1; i < n; i++) {
		assert_int_equal(text(&f, c, i * SEG, SEG), MR_DROP_NONE);
		assert_int_equal(rfc_last(&f)->options.n_sack, 1);
		assert_int_equal(rfc_last(&f)->options.sack[0].left, RFC_IRS + 1 + SEG);
		assert_int_equal(rfc_last(&f)->options.sack[0].right, RFC_IRS + 1 + (i + 1) * SEG);
		assert_int_equal(mr_active_peek(&f.actives, c)->ooo_runs, 1);
	}
	assert_int_equal(rfc_check_gaps(&f, c), n - 1);
	assert_int_equal(text(&f, c, 0, SEG), MR_DROP_NONE);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1 + n * SEG);
	assert_int_equal(f.stats.ooo_pruned, 0);
	assert_int_equal(c->ooo_head, MR_NONE);
	assert_int_equal(read_all(&f, c), n * SEG);
	assert_int_equal(f.frames.n_free, FRAMES);
	rfc_fini(&f);
}

/* Every tenth is lost and comes later, in any order: nothing is refused, nothing is dropped. */
static void every_tenth_lost_in_4_mib_window_nothing_is_given_up(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, FRAMES, BUFFER);
	uint32_t n = BUFFER / SEG, seed = 7;
	uint32_t lost[BUFFER / SEG];
	uint32_t n_lost = 0;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		if (i % 10 == 0)
			lost[n_lost++] = i;
		else
			assert_int_equal(text(&f, c, i * SEG, SEG), MR_DROP_NONE);
	}
	while (n_lost) {
		uint32_t k = tcp_random(&seed) % n_lost;

		assert_int_equal(text(&f, c, lost[k] * SEG, SEG), MR_DROP_NONE);
		lost[k] = lost[--n_lost];
		if (n_lost % 16 == 0)
			rfc_check_gaps(&f, c);
	}
	assert_int_equal(c->rx_bytes, n * SEG);
	assert_int_equal(f.stats.ooo_pruned, 0);
	read_all(&f, c);
	rfc_fini(&f);
}

/*
 * However few frames there are: what is offered may be held when its first segment is lost, and
 * the edge that was offered does not move back while the frames go.
 */
static void any_number_of_frames_offered_window_can_be_held(void **state)
{
	static const uint32_t frames[] = { 256, 300, 400, 512, 1024, 2048, 4096 };

	(void)state;
	for (size_t k = 0; k < sizeof(frames) / sizeof(frames[0]); k++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, frames[k], SEG);
		uint32_t edge, at;

		text(&f, c, 0, SEG); /* the segments' size is known */
		mr_active_of(&f.tcp, c)->rcv_limit = BUFFER;
		read_all(&f, c);
		c->flags |= MR_CONN_ACK_NOW;
		mr_tcp_output(&f.tcp, c);
		assert_true(c->rcv_wnd >= 64 * SEG);
		assert_true(c->rcv_wnd / SEG <= mr_active_peek(&f.actives, c)->ooo_frames +
							(frames[k] - 2 * f.frames.reserve) / 2 + 1);
		edge = c->rcv_nxt + c->rcv_wnd;
		for (at = 2 * SEG; RFC_IRS + 1 + at + SEG <= edge; at += SEG) {
			assert_int_equal(text(&f, c, at, SEG), MR_DROP_NONE);
			assert_true(mr_seq_le(edge, c->rcv_nxt + c->rcv_wnd));
			assert_true(mr_seq_le(edge, rfc_last(&f)->ack + ((uint32_t)rfc_last(&f)->wnd
									 << SCALE)));
		}
		assert_int_equal(text(&f, c, SEG, SEG), MR_DROP_NONE);
		assert_int_equal(c->rcv_nxt, RFC_IRS + 1 + at);
		assert_int_equal(f.stats.ooo_pruned, 0);
		read_all(&f, c);
		rfc_fini(&f);
	}
}

/* One connection alone takes half of what may be taken before frames are short. */
static void frames_short_each_connection_leaves_as_many_as_it_holds(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, 512, BUFFER);
	uint32_t above = 512 - 2 * f.frames.reserve;
	uint32_t n = 0;

	(void)state;
	while (text(&f, c, 2 * SEG + n * SEG, SEG) == MR_DROP_NONE)
		n++;
	assert_int_equal(n, above / 2);
	assert_int_equal(f.frames.n_free, 512 - n);
	assert_int_equal(f.stats.ooo_pruned, 0);
	/* what is needed sooner takes the last one's place, which is not told any more */
	assert_int_equal(text(&f, c, SEG, SEG), MR_DROP_NONE);
	assert_int_equal(f.stats.ooo_pruned, 1);
	assert_int_equal(rfc_check_gaps(&f, c), n);
	assert_int_equal(rfc_last(&f)->options.n_sack, 1);
	assert_int_equal(rfc_last(&f)->options.sack[0].right, RFC_IRS + 1 + (n + 1) * SEG);
	rfc_fini(&f);
}

/* ----- peers that send little pieces ----- */

/* A stream of 60,000 bytes behind a hole in pieces of @len, from the front, the end, or both. */
static void pieces_without_gaps(uint32_t len, int way)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, 1024, 64 << 10);
	uint32_t n = 60000 / len;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = way == 0 ? i : way == 1 ? n - 1 - i : i % 2 ? n - 1 - i / 2 : i / 2;

		assert_int_equal(text(&f, c, 1 + k * len, len), MR_DROP_NONE);
	}
	assert_int_equal(mr_active_peek(&f.actives, c)->ooo_runs, 1);
	/* neighbours hold more than a frame's worth together */
	assert_true(rfc_check_gaps(&f, c) <= 2 * n * len / (RFC_FRAME_BYTES - MR_TX_OFFSET) + 2);
	text(&f, c, 0, 1);
	assert_int_equal(c->rx_bytes, 1 + n * len);
	read_all(&f, c);
	rfc_fini(&f);
}

static void little_pieces_without_gaps_share_frames(void **state)
{
	static const uint32_t lens[] = { 1, 7, 100, 536, 900 };

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (int way = 0; way < 3; way++)
			pieces_without_gaps(lens[i], way);
}

/* A full segment a time of which one byte is new: it does not take a frame to hold that byte. */
static void overlapping_segments_one_new_byte_each_share_frames(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, 1024, 64 << 10);

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(text(&f, c, 10 + i, SEG), MR_DROP_NONE);
	assert_true(rfc_check_gaps(&f, c) <= 2 * 12000 / (RFC_FRAME_BYTES - MR_TX_OFFSET) + 2);
	rfc_fini(&f);
}

/* Bytes with gaps between them: 128 runs and one for 8 KiB of window; never more than 512. */
static void little_pieces_with_gaps_are_limited_by_the_window(void **state)
{
	static const uint32_t windows[] = { 16 << 10, 64 << 10, 1 << 20, BUFFER };

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, FRAMES, windows[k]);
		uint32_t most = min_u32(MR_OOO_RUNS, 128 + windows[k] / 8192);
		uint32_t seed = 1;

		f.config.receive_buffer = windows[k];
		for (uint32_t i = 1; i < 3000; i++)
			text(&f, c, 2 + 2 * (tcp_random(&seed) % 6000), 1);
		assert_int_equal(rfc_check_gaps(&f, c), most);
		assert_true(f.stats.ooo_pruned > 0); /* those needed sooner were preferred */
		/* text that follows without a gap is held all the same */
		assert_int_equal(text(&f, c, f.records[c->ooo_head].seq - RFC_IRS, 1),
				 MR_DROP_NONE);
		assert_int_equal(rfc_check_gaps(&f, c), most);
		rfc_fini(&f);
	}
}

/* At the limit of runs, a long last run is not dropped for a little one that is needed sooner. */
static void limit_of_runs_long_last_run_is_kept(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, FRAMES, 1 << 20);

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		text(&f, c, 500000 + i * SEG, SEG);
	while (text(&f, c, 2 + 2 * mr_active_peek(&f.actives, c)->ooo_runs, 1) == MR_DROP_NONE)
		;
	assert_int_equal(mr_active_peek(&f.actives, c)->ooo_runs, 256);
	assert_int_equal(f.stats.ooo_pruned, 0);
	assert_int_equal(rfc_check_gaps(&f, c), 255 + 4);
	/* one that closes a gap between two is welcome, and makes room for another run */
	assert_int_equal(text(&f, c, 5, 1), MR_DROP_NONE);
	assert_int_equal(mr_active_peek(&f.actives, c)->ooo_runs, 255);
	assert_int_equal(text(&f, c, 400000, 1), MR_DROP_NONE);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_loss_in_4_mib_window_everything_behind_is_held),
		cmocka_unit_test(every_tenth_lost_in_4_mib_window_nothing_is_given_up),
		cmocka_unit_test(any_number_of_frames_offered_window_can_be_held),
		cmocka_unit_test(frames_short_each_connection_leaves_as_many_as_it_holds),
		cmocka_unit_test(little_pieces_without_gaps_share_frames),
		cmocka_unit_test(overlapping_segments_one_new_byte_each_share_frames),
		cmocka_unit_test(little_pieces_with_gaps_are_limited_by_the_window),
		cmocka_unit_test(limit_of_runs_long_last_run_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
