/* SPDX-License-Identifier: MIT */
/*
 * Two thousand seeds of the simulation hold every law, and a seed is the whole truth: what it
 * stands for happens twice in the same way, to the last bit of every segment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/sim/seeds.h"

static void seeds_of_every_kind_hold_the_laws(void **state)
{
	struct sim_plan p = { .first = 1, .n = 2000, .jobs = 2, .most = 10, .dir = "build/sim" };
	struct sim_totals t;

	(void)state;
	t = sim_seeds(&p);
	print_message("sim: seeds=%llu events=%llu connections=%llu bytes=%llu\n",
		      (unsigned long long)t.seeds, (unsigned long long)t.events,
		      (unsigned long long)t.connections, (unsigned long long)t.bytes);
	assert_int_equal(t.failed, 0);
	assert_int_equal(t.seeds, 2000);
	/* the laws were asked: states changed, headers were corrupted behind good checksums */
	assert_true(t.changes > 10 * t.seeds);
	assert_true(t.altered > 0);
	assert_true(t.bytes > 1000 * t.seeds);
	for (unsigned int i = 0; i < SIM_SEEN_COUNT; i++)
		assert_true(t.seen[i] >= 20);
}

/* Does a clock jump by days, and does a stranger send? */
static bool is_of_jumps_and_strangers(const struct sim_scenario *s)
{
	if (!s->link[0].forge && !s->link[1].forge)
		return false;
	for (uint32_t i = 0; i < s->n_events; i++)
		if (s->event[i].kind == SIM_EVENT_JUMP && s->event[i].arg > 86400 * SIM_SECOND)
			return true;
	return false;
}

/*
 * A stranger's timestamp is older than what the receiver knows, whatever the sender's clock did
 * since: of 18354's, one was a jump of days newer, and rightly believed.
 */
static void strangers_beside_jumps_of_days_are_not_believed(void **state)
{
	unsigned int n = 0;

	(void)state;
	for (uint64_t seed = 18000; seed < 20000; seed++) {
		struct sim_scenario s;
		struct sim_result r;

		sim_scenario_draw(&s, seed);
		if (!is_of_jumps_and_strangers(&s))
			continue;
		sim_run(seed, NULL, &r);
		if (r.failed)
			print_error("seed %llu: %s\n", (unsigned long long)seed, r.why);
		assert_false(r.failed);
		n++;
	}
	assert_true(n >= 10);
}

/*
 * Many short segments to a peer without SACK, over a link that loses some of each burst: what a
 * timeout sends again is lost again, and with a doubled timeout for each such loss a transfer of a
 * few KB took an hour. In 15974 a corrupted timestamp is believed, and both ends are orphans.
 */
static void seeds_that_once_waited_come_to_their_end(void **state)
{
	static const uint64_t seeds[] = { 6191, 6598, 15974 };

	(void)state;
	for (unsigned int i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct sim_result r;

		sim_run(seeds[i], NULL, &r);
		if (r.failed)
			print_error("seed %llu: %s\n", (unsigned long long)seeds[i], r.why);
		assert_false(r.failed);
	}
}

static void seed_run_twice_gives_the_same_events(void **state)
{
	(void)state;
	for (uint64_t seed = 100000; seed < 100040; seed++) {
		struct sim_result a, b;

		sim_run(seed, NULL, &a);
		sim_run(seed, NULL, &b);
		assert_true(a.hash == b.hash);
		assert_int_equal(a.events, b.events);
		assert_int_equal(a.bytes, b.bytes);
	}
}

static void seeds_differ_from_each_other(void **state)
{
	struct sim_result a, b;

	(void)state;
	sim_run(7, NULL, &a);
	sim_run(8, NULL, &b);
	assert_true(a.hash != b.hash);
}

static void seeds_cover_every_class(void **state)
{
	unsigned int seen[SIM_CLASS_COUNT] = { 0 };
	struct sim_scenario s;

	(void)state;
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		sim_scenario_draw(&s, seed);
		seen[s.class]++;
	}
	for (unsigned int i = 0; i < SIM_CLASS_COUNT; i++)
		assert_true(seen[i] >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seeds_of_every_kind_hold_the_laws),
		cmocka_unit_test(strangers_beside_jumps_of_days_are_not_believed),
		cmocka_unit_test(seeds_that_once_waited_come_to_their_end),
		cmocka_unit_test(seed_run_twice_gives_the_same_events),
		cmocka_unit_test(seeds_differ_from_each_other),
		cmocka_unit_test(seeds_cover_every_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
