/* SPDX-License-Identifier: MIT */
/* link.h: when frames come out, in which order, and which the queue refuses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

static const uint64_t MS = 1000000;

static void put(struct mr_link *l, uint8_t name, size_t len, uint32_t overtake, uint64_t now)
{
	uint8_t bytes[1500] = { name };
	struct mr_packet *p = mr_packet_new(bytes, len);

	p->salt = mr_fate_mix(1, name, 0);
	assert_int_equal(mr_link_put(l, p, overtake, now), 0);
}

/* Names of all that comes out until @now, in order. */
static const char *out(struct mr_link *l, uint64_t now)
{
	static char names[256];
	struct mr_packet *p;
	size_t n = 0;

	assert_int_equal(mr_link_expire(l, now), 0);
	while ((p = mr_link_take(l, now)) && n < sizeof(names) - 1) {
		names[n++] = (char)p->bytes[0];
		free(p);
	}
	names[n] = '\0';
	return names;
}

static void plain_link_gives_frames_at_once_in_order(void **state)
{
	struct mr_link l = { 0 };

	(void)state;
	for (const char *p = "abcdef"; *p; p++)
		put(&l, (uint8_t)*p, 100, 0, 5);
	assert_string_equal(out(&l, 5), "abcdef");
	assert_true(mr_link_next_ns(&l) == UINT64_MAX);
	mr_link_clear(&l);
}

static void delay_holds_each_frame_for_just_so_long(void **state)
{
	struct mr_link l = { .rules.delay_ns = 10 * MS };

	(void)state;
	put(&l, 'a', 100, 0, 0);
	put(&l, 'b', 100, 0, 3 * MS);
	assert_true(mr_link_next_ns(&l) == 10 * MS);
	assert_string_equal(out(&l, 10 * MS - 1), "");
	assert_string_equal(out(&l, 10 * MS), "a");
	assert_true(mr_link_next_ns(&l) == 13 * MS);
	assert_string_equal(out(&l, 13 * MS), "b");
	mr_link_clear(&l);
}

static unsigned steps_back(bool in_order)
{
	struct mr_link l = { .rules = {
				     .delay_ns = MS, .jitter_ns = 50 * MS, .in_order = in_order } };
	unsigned back = 0, n = 0, last = 0;

	for (unsigned i = 1; i <= 100; i++)
		put(&l, (uint8_t)i, 100, 0, i * MS);
	for (uint64_t t = 0; t <= 200; t++) {
		for (const char *p = out(&l, t * MS); *p; p++, n++) {
			unsigned name = (uint8_t)*p;

			back += name < last;
			last = name;
			assert_true(t >= name + 1);  /* the delay */
			assert_true(t <= name + 53); /* and the jitter, rounded up */
		}
	}
	assert_int_equal(n, 100);
	mr_link_clear(&l);
	return back;
}

static void jitter_reorders_unless_told_not_to(void **state)
{
	(void)state;
	assert_true(steps_back(false) > 10);
	assert_int_equal(steps_back(true), 0);
}

/* 8 Mbit/s: a byte a microsecond. */
static void bottleneck_spaces_frames_by_their_length(void **state)
{
	struct mr_link l = { .rules = { .rate_bps = 8000000, .queue_bytes = 10000 } };

	(void)state;
	put(&l, 'a', 1000, 0, 0);
	put(&l, 'b', 500, 0, 0);
	put(&l, 'c', 1500, 0, 0);
	assert_string_equal(out(&l, MS - 1), "");
	assert_string_equal(out(&l, MS), "a");
	assert_string_equal(out(&l, 3 * MS / 2), "b");
	assert_string_equal(out(&l, 3 * MS - 1), "");
	assert_string_equal(out(&l, 3 * MS), "c");
	put(&l, 'd', 1000, 0, 10 * MS); /* it has been idle: no credit is kept */
	assert_string_equal(out(&l, 11 * MS), "d");
	mr_link_clear(&l);
}

static void full_queue_refuses_the_frame_that_comes(void **state)
{
	struct mr_link l = { .rules = { .rate_bps = 8000000, .queue_bytes = 3000 } };

	(void)state;
	for (const char *p = "abcde"; *p; p++)
		put(&l, (uint8_t)*p, 1000, 0, 0);
	assert_int_equal(l.queue_drops, 2);
	assert_int_equal(l.backlog_max, 3000);
	put(&l, 'f', 1000, 0, MS); /* one left, one may come */
	assert_string_equal(out(&l, 100 * MS), "abcf");
	assert_int_equal(l.queue_drops, 2);
	mr_link_clear(&l);
}

/* A queue shorter than a frame still lets frames through one by one. */
static void empty_queue_takes_a_frame_of_any_length(void **state)
{
	struct mr_link l = { .rules = { .rate_bps = 8000000, .queue_bytes = 10 } };

	(void)state;
	put(&l, 'a', 1000, 0, 0);
	put(&l, 'b', 1000, 0, 0);
	assert_string_equal(out(&l, MS), "a");
	mr_link_clear(&l);
}

static void backlog_over_the_mark_asks_for_ce(void **state)
{
	struct mr_link l = {
		.rules = { .rate_bps = 8000000, .queue_bytes = 9000, .mark_bytes = 1500 }
	};
	struct mr_packet *p;

	(void)state;
	for (const char *name = "abcd"; *name; name++)
		put(&l, (uint8_t)*name, 1000, 0, 0);
	assert_int_equal(l.marks, 2);
	while ((p = mr_link_take(&l, 100 * MS))) {
		assert_int_equal(p->ce, p->bytes[0] >= 'c');
		free(p);
	}
	mr_link_clear(&l);
}

static void overtaken_frame_comes_behind_the_frames_that_pass_it(void **state)
{
	struct mr_link l = { .rules.wait_ns = 20 * MS };

	(void)state;
	put(&l, 'a', 100, 0, 0);
	put(&l, 'b', 100, 2, 0);
	put(&l, 'c', 100, 0, 0);
	put(&l, 'd', 100, 0, 0);
	put(&l, 'e', 100, 0, 0);
	assert_string_equal(out(&l, 0), "acdbe");
	assert_int_equal(l.reordered, 1);
	mr_link_clear(&l);
}

static void overtaken_frame_that_nobody_passes_goes_on_after_the_wait(void **state)
{
	struct mr_link l = { .rules.wait_ns = 20 * MS };

	(void)state;
	put(&l, 'a', 100, 3, 0);
	put(&l, 'b', 100, 0, MS);
	assert_string_equal(out(&l, MS), "b");
	assert_true(mr_link_next_ns(&l) == 20 * MS);
	assert_string_equal(out(&l, 20 * MS - 1), "");
	assert_string_equal(out(&l, 20 * MS), "a");
	assert_true(mr_link_next_ns(&l) == UINT64_MAX);
	mr_link_clear(&l);
}

static void several_frames_can_wait_at_once(void **state)
{
	struct mr_link l = { .rules.wait_ns = 20 * MS };

	(void)state;
	put(&l, 'a', 100, 2, 0);
	put(&l, 'b', 100, 2, 0);
	put(&l, 'c', 100, 0, 0);
	put(&l, 'd', 100, 0, 0);
	assert_string_equal(out(&l, 0), "cadb");
	mr_link_clear(&l);
}

static void hold_is_for_its_frame_alone(void **state)
{
	struct mr_link l = { .rules = { .in_order = true, .delay_ns = MS } };
	uint8_t byte = 'a';
	struct mr_packet *p = mr_packet_new(&byte, 1);

	(void)state;
	p->hold_ns = 150 * MS;
	assert_int_equal(mr_link_put(&l, p, 0, 0), 0);
	put(&l, 'b', 100, 0, MS);
	assert_string_equal(out(&l, 2 * MS), "b");
	assert_string_equal(out(&l, 151 * MS), "a");
	mr_link_clear(&l);
}

static void thousands_of_frames_come_out_by_time_then_by_arrival(void **state)
{
	enum { N = 5000 };
	struct mr_link l = { .rules.jitter_ns = 1000 * MS };
	uint64_t last = 0;
	unsigned n = 0;
	struct mr_packet *p;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		uint8_t byte = 0;

		p = mr_packet_new(&byte, 1);
		p->salt = mr_fate_mix(2, i / 2, 0); /* pairs of the same time */
		assert_int_equal(mr_link_put(&l, p, 0, 0), 0);
	}
	while ((p = mr_link_take(&l, UINT64_MAX - 1))) {
		assert_true(p->release_ns >= last);
		assert_int_equal(p->order & 1, n & 1);
		last = p->release_ns;
		n++;
		free(p);
	}
	assert_int_equal(n, N);
	mr_link_clear(&l);
}

static void clearing_frees_what_is_in_it(void **state)
{
	struct mr_link l = { .rules = { .delay_ns = MS, .wait_ns = MS } };

	(void)state;
	put(&l, 'a', 100, 5, 0);
	put(&l, 'b', 100, 0, 0);
	mr_link_clear(&l);
	assert_true(mr_link_next_ns(&l) == UINT64_MAX);
	put(&l, 'c', 100, 0, 0);
	assert_string_equal(out(&l, MS), "c");
	mr_link_clear(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_link_gives_frames_at_once_in_order),
		cmocka_unit_test(delay_holds_each_frame_for_just_so_long),
		cmocka_unit_test(jitter_reorders_unless_told_not_to),
		cmocka_unit_test(bottleneck_spaces_frames_by_their_length),
		cmocka_unit_test(full_queue_refuses_the_frame_that_comes),
		cmocka_unit_test(empty_queue_takes_a_frame_of_any_length),
		cmocka_unit_test(backlog_over_the_mark_asks_for_ce),
		cmocka_unit_test(overtaken_frame_comes_behind_the_frames_that_pass_it),
		cmocka_unit_test(overtaken_frame_that_nobody_passes_goes_on_after_the_wait),
		cmocka_unit_test(several_frames_can_wait_at_once),
		cmocka_unit_test(hold_is_for_its_frame_alone),
		cmocka_unit_test(thousands_of_frames_come_out_by_time_then_by_arrival),
		cmocka_unit_test(clearing_frees_what_is_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
