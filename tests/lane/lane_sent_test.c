/* SPDX-License-Identifier: MIT */
/* Copies of what a lane sends (shared/mr_sent.h): all of it while it is asked for, else nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/pair.h"
#include "user/wire/segment.h"

enum {
	PORT = 7005,
	COPY = 200,
};

static const struct mr_sent *ring_of(const struct pair *p)
{
	return mr_arena_area(&p->end[PAIR_SERVER].arena, MR_AREA_SENT, NULL);
}

static uint64_t sent_by_server(const struct pair *p)
{
	return p->end[PAIR_SERVER].stats.tx_frames;
}

struct goal {
	const struct mr_sent *ring;
	uint64_t head;
};

static bool is_reached(void *arg)
{
	const struct goal *g = arg;

	return g->ring->head >= g->head;
}

/* Until so much was copied, and hardly more: a millisecond fills the ring many times over. */
static void run_until(struct pair *p, uint64_t head)
{
	struct goal g = { ring_of(p), head };

	assert_true(pair_run(p, 1000, is_reached, &g));
}

/* The server sends without end, the client reads all. */
static void start(struct pair *p)
{
	pair_init(p, PAIR_OPTIONS);
	pair_rule(p, PAIR_SERVER, "echo", 7000);
	pair_rule(p, PAIR_SERVER, "source-bytes", PORT);
	pair_rule(p, PAIR_CLIENT, "discard-bytes", 9);
	pair_start(p, NULL, 0);
}

/* A segment of the server's, as it left. */
static void check_frame(const struct mr_sent_frame *head, const uint8_t *bytes)
{
	uint8_t frame[2048] = { 0 };
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	int drop;

	assert_true(head->time_ns > 0);
	assert_in_range(head->frame_bytes, 54, 1514);
	assert_int_equal(head->copied, head->frame_bytes < COPY ? head->frame_bytes : COPY);
	assert_int_equal(head->rule, 1);
	if (head->copied < head->frame_bytes)
		return;
	memcpy(frame, bytes, head->copied);
	assert_int_equal(mr_frame_parse(frame, head->copied, &seg, &icmp, &drop), MR_KIND_TCP);
	assert_int_equal(mr_be16(seg.tuple.remote_port), PORT);
	if (!(seg.flags & MR_SYN))
		assert_int_equal(head->conn, 0);
}

/* Walk from @from to the head; returns how many records, whose numbers follow each other. */
static uint64_t walk(const struct mr_sent *s, uint64_t from, uint64_t number)
{
	uint64_t at = from, n = 0;

	while (at < s->head) {
		uint64_t left = MR_SENT_BLOCK - at % MR_SENT_BLOCK;
		struct mr_sent_frame head = { 0 };

		if (left >= sizeof(head))
			memcpy(&head, s->ring + at % MR_SENT_BYTES, sizeof(head));
		if (!head.bytes) {
			at += left;
			continue;
		}
		assert_int_equal(head.bytes % 8, 0);
		assert_true(head.bytes <= left);
		if (number)
			assert_int_equal(head.number, number + n);
		check_frame(&head, s->ring + at % MR_SENT_BYTES + sizeof(head));
		at += head.bytes;
		n++;
	}
	assert_int_equal(at, s->head);
	return n;
}

static void nothing_is_copied_unasked(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	pair_connect(&p, 0, PORT, false);
	pair_run(&p, 5, NULL, NULL);
	assert_true(sent_by_server(&p) > 10);
	assert_int_equal(ring_of(&p)->head, 0);
	assert_int_equal(ring_of(&p)->frames, 0);
	pair_free(&p);
}

/* From the SYN-ACK on, text and what has none. */
static void every_frame_is_copied_with_whose_it_is(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	mr_lane_capture(p.end[PAIR_SERVER].lane, UINT64_MAX, COPY);
	pair_connect(&p, 0, PORT, true);
	run_until(&p, MR_SENT_BYTES / 2);
	assert_int_equal(walk(ring_of(&p), 0, 1), sent_by_server(&p));
	assert_int_equal(ring_of(&p)->frames, sent_by_server(&p));
	pair_free(&p);
}

/* The oldest is written over; every block that is whole begins with a record. */
static void ring_that_is_full_goes_on_from_its_beginning(void **state)
{
	struct pair p;
	uint64_t block;

	(void)state;
	start(&p);
	mr_lane_capture(p.end[PAIR_SERVER].lane, UINT64_MAX, COPY);
	pair_connect(&p, 0, PORT, false);
	run_until(&p, 2 * MR_SENT_BYTES);
	assert_int_equal(ring_of(&p)->frames, sent_by_server(&p));
	assert_int_equal(ring_of(&p)->writing, ring_of(&p)->head);
	block = ring_of(&p)->head / MR_SENT_BLOCK - MR_SENT_BYTES / MR_SENT_BLOCK + 1;
	for (; block * MR_SENT_BLOCK < ring_of(&p)->head; block++)
		assert_true(walk(ring_of(&p), block * MR_SENT_BLOCK, 0) > 0);
	pair_free(&p);
}

/* Nobody asks any more: it ends by itself. What stands there stays, and another worker goes on. */
static void copying_ends_in_time_and_goes_on_behind_what_stands_there(void **state)
{
	uint64_t head, frames;
	struct pair p;

	(void)state;
	start(&p);
	pair_connect(&p, 0, PORT, false);
	mr_lane_capture(p.end[PAIR_SERVER].lane,
			p.end[PAIR_SERVER].setup.clock_ns(p.end[PAIR_SERVER].setup.clock_arg) +
				3000000,
			COPY);
	pair_run(&p, 5, NULL, NULL);
	head = ring_of(&p)->head;
	frames = ring_of(&p)->frames;
	assert_true(frames > 0 && frames < sent_by_server(&p));
	pair_run(&p, 5, NULL, NULL);
	assert_int_equal(ring_of(&p)->head, head);
	pair_kill(&p, PAIR_SERVER);
	pair_replace(&p, PAIR_SERVER);
	mr_lane_capture(p.end[PAIR_SERVER].lane, UINT64_MAX, COPY);
	run_until(&p, head + MR_SENT_BLOCK);
	assert_int_equal(walk(ring_of(&p), head, frames + 1), ring_of(&p)->frames - frames);
	pair_free(&p);
}

/* The lane does the same, to the frame, whether somebody looks or not. */
static void capture_changes_nothing_of_what_is_sent(void **state)
{
	uint64_t sent[2], retransmits[2];

	(void)state;
	for (int captured = 0; captured < 2; captured++) {
		struct pair p;

		start(&p);
		if (captured)
			mr_lane_capture(p.end[PAIR_SERVER].lane, UINT64_MAX, COPY);
		pair_connect(&p, 0, PORT, false);
		pair_run(&p, 5, NULL, NULL);
		sent[captured] = sent_by_server(&p);
		retransmits[captured] = p.end[PAIR_SERVER].stats.retransmits;
		pair_free(&p);
	}
	assert_int_equal(sent[0], sent[1]);
	assert_int_equal(retransmits[0], retransmits[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_copied_unasked),
		cmocka_unit_test(every_frame_is_copied_with_whose_it_is),
		cmocka_unit_test(ring_that_is_full_goes_on_from_its_beginning),
		cmocka_unit_test(copying_ends_in_time_and_goes_on_behind_what_stands_there),
		cmocka_unit_test(capture_changes_nothing_of_what_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
