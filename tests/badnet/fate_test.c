/* SPDX-License-Identifier: MIT */
/* fate.h: a frame's fate is a function of seed, direction, number and rules; rates; lists. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "fate.h"

enum { FRAMES = 200000 };

static const struct mr_fate_rules everything = {
	.drop = 0.02,
	.burst_enter = 0.005,
	.burst_leave = 0.3,
	.burst_drop = 0.9,
	.duplicate = 0.03,
	.reorder = 0.05,
	.reorder_by = 3,
	.corrupt = 0.01,
	.truncate = 0.004,
	.ce = 0.06,
};

static bool same(const struct mr_fate *a, const struct mr_fate *b)
{
	return a->number == b->number && a->drop == b->drop && a->corrupt == b->corrupt &&
	       a->truncate == b->truncate && a->ce == b->ce && a->copies == b->copies &&
	       a->reorder_by == b->reorder_by && a->hold_ms == b->hold_ms && a->salt == b->salt;
}

static void same_seed_and_direction_give_the_same_fates(void **state)
{
	struct mr_fate_state a, b;

	(void)state;
	mr_fate_init(&a, 99, 1);
	mr_fate_init(&b, 99, 1);
	for (int i = 0; i < FRAMES; i++) {
		struct mr_fate x = mr_fate_next(&a, &everything);
		struct mr_fate y = mr_fate_next(&b, &everything);

		assert_true(same(&x, &y));
	}
}

static unsigned differences(uint64_t seed_a, unsigned dir_a, uint64_t seed_b, unsigned dir_b)
{
	struct mr_fate_state a, b;
	unsigned n = 0;

	mr_fate_init(&a, seed_a, dir_a);
	mr_fate_init(&b, seed_b, dir_b);
	for (int i = 0; i < FRAMES; i++)
		n += mr_fate_next(&a, &everything).drop != mr_fate_next(&b, &everything).drop;
	return n;
}

/* Independent losses of p differ in 2 p (1 - p) of all frames: about 6.7 % here. */
static void another_seed_or_direction_gives_other_fates(void **state)
{
	(void)state;
	assert_in_range(differences(1, 0, 1, 1), FRAMES / 25, FRAMES / 10);
	assert_in_range(differences(1, 0, 2, 0), FRAMES / 25, FRAMES / 10);
	assert_in_range(differences(1, 1, 2, 0), FRAMES / 25, FRAMES / 10);
	assert_int_equal(differences(7, 0, 7, 0), 0);
}

/* One more question asked about each frame does not move the answers to the others. */
static void another_rule_leaves_the_losses_where_they_were(void **state)
{
	struct mr_fate_rules more = { .drop = 0.1, .duplicate = 0.5, .corrupt = 0.5, .ce = 0.5 };
	struct mr_fate_rules plain = { .drop = 0.1 };
	struct mr_fate_state a, b;

	(void)state;
	mr_fate_init(&a, 5, 0);
	mr_fate_init(&b, 5, 0);
	for (int i = 0; i < FRAMES; i++)
		assert_int_equal(mr_fate_next(&a, &plain).drop, mr_fate_next(&b, &more).drop);
}

/* Six standard deviations of a binomial: it fails once in 500 million seeds; this is one. */
static void assert_rate(unsigned n, double p)
{
	double mean = FRAMES * p, variance = FRAMES * p * (1 - p), off = n - mean;

	assert_true(off * off <= 36 * variance);
}

static void rates_are_as_asked(void **state)
{
	unsigned drop = 0, dup = 0, reorder = 0, corrupt = 0, truncate = 0, ce = 0;
	struct mr_fate_rules r = everything;
	struct mr_fate_state s;

	(void)state;
	r.burst_enter = 0;
	mr_fate_init(&s, 3, 0);
	for (int i = 0; i < FRAMES; i++) {
		struct mr_fate f = mr_fate_next(&s, &r);

		drop += f.drop;
		dup += f.copies == 2;
		reorder += f.reorder_by == 3;
		corrupt += f.corrupt;
		truncate += f.truncate;
		ce += f.ce;
		assert_int_equal(f.number, i + 1);
	}
	assert_rate(drop, 0.02);
	assert_rate(dup, 0.03);
	assert_rate(reorder, 0.05);
	assert_rate(corrupt, 0.01);
	assert_rate(truncate, 0.004);
	assert_rate(ce, 0.06);
}

/* Mean length of a loss run 1/q, share of frames lost p/(p+q). */
static void bursts_have_the_length_and_share_of_their_chain(void **state)
{
	struct mr_fate_rules r = { .burst_enter = 0.01, .burst_leave = 0.25, .burst_drop = 1 };
	unsigned lost = 0, runs = 0;
	struct mr_fate_state s;
	bool before = false;

	(void)state;
	mr_fate_init(&s, 11, 0);
	for (int i = 0; i < FRAMES; i++) {
		bool drop = mr_fate_next(&s, &r).drop;

		lost += drop;
		runs += drop && !before;
		before = drop;
	}
	assert_true((double)lost / runs > 3.6 && (double)lost / runs < 4.4);
	assert_true((double)lost / FRAMES > 0.035 && (double)lost / FRAMES < 0.042);
}

static void no_rules_leave_every_frame_alone(void **state)
{
	struct mr_fate_rules r = { 0 };
	struct mr_fate_state s;

	(void)state;
	mr_fate_init(&s, 0, 0);
	for (int i = 0; i < 1000; i++) {
		struct mr_fate f = mr_fate_next(&s, &r);

		assert_false(f.drop || f.corrupt || f.truncate || f.ce);
		assert_int_equal(f.copies, 1);
		assert_int_equal(f.reorder_by + f.hold_ms, 0);
	}
}

static void probability_one_hits_every_frame(void **state)
{
	struct mr_fate_rules r = { .drop = 1 };
	struct mr_fate_state s;

	(void)state;
	mr_fate_init(&s, 0, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(mr_fate_next(&s, &r).drop);
}

static void list_hits_just_its_frames(void **state)
{
	struct mr_fate_rules r = { 0 };
	struct mr_fate_state s;

	(void)state;
	assert_int_equal(mr_fate_list_parse(&r, "d2,2x4,r6:2,h8:150,c9,t10,e11,d13-15"), 0);
	assert_int_equal(r.n_list, 8);
	mr_fate_init(&s, 1, 0);
	for (unsigned i = 1; i <= 20; i++) {
		struct mr_fate f = mr_fate_next(&s, &r);

		assert_int_equal(f.drop, i == 2 || (i >= 13 && i <= 15));
		assert_int_equal(f.copies, i == 4 ? 2 : 1);
		assert_int_equal(f.reorder_by, i == 6 ? 2 : 0);
		assert_int_equal(f.hold_ms, i == 8 ? 150 : 0);
		assert_int_equal(f.corrupt, i == 9);
		assert_int_equal(f.truncate, i == 10);
		assert_int_equal(f.ce, i == 11);
	}
}

static void lists_add_up(void **state)
{
	struct mr_fate_rules r = { 0 };

	(void)state;
	assert_int_equal(mr_fate_list_parse(&r, "d1"), 0);
	assert_int_equal(mr_fate_list_parse(&r, "d5,16x7-9"), 0);
	assert_int_equal(r.n_list, 3);
	assert_int_equal(r.list[2].value, 16);
	assert_int_equal(r.list[2].first, 7);
	assert_int_equal(r.list[2].last, 9);
}

static void unreadable_list_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = { "",
					   ",",
					   "d",
					   "d0",
					   "d2,",
					   "d2,,d3",
					   "z4",
					   "d-1",
					   "d3-2",
					   "0x4",
					   "17x4",
					   "2x",
					   "2x0",
					   "r6",
					   "r6:",
					   "r6:0",
					   "h8",
					   "h8:x",
					   "d2 d3",
					   "d+1",
					   " d1",
					   "h1:3600001",
					   "d99999999999999999999999" };
	struct mr_fate_rules r = { 0 };

	(void)state;
	assert_int_equal(mr_fate_list_parse(&r, "d1"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mr_fate_list_parse(&r, bad[i]), -EINVAL);
		assert_int_equal(r.n_list, 1);
	}
}

static void overlong_list_is_refused(void **state)
{
	static char text[3 * (MR_FATE_LIST_MAX + 1)];
	struct mr_fate_rules r = { 0 };

	(void)state;
	for (int i = 0; i <= MR_FATE_LIST_MAX; i++)
		memcpy(text + 3 * i, i ? ",d1" : "d11", 3);
	assert_int_equal(mr_fate_list_parse(&r, text), -E2BIG);
	assert_int_equal(r.n_list, 0);
	text[3 * MR_FATE_LIST_MAX] = '\0';
	assert_int_equal(mr_fate_list_parse(&r, text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_and_direction_give_the_same_fates),
		cmocka_unit_test(another_seed_or_direction_gives_other_fates),
		cmocka_unit_test(another_rule_leaves_the_losses_where_they_were),
		cmocka_unit_test(rates_are_as_asked),
		cmocka_unit_test(bursts_have_the_length_and_share_of_their_chain),
		cmocka_unit_test(no_rules_leave_every_frame_alone),
		cmocka_unit_test(probability_one_hits_every_frame),
		cmocka_unit_test(list_hits_just_its_frames),
		cmocka_unit_test(lists_add_up),
		cmocka_unit_test(unreadable_list_is_refused_and_changes_nothing),
		cmocka_unit_test(overlong_list_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
