/* SPDX-License-Identifier: MIT */
/*
 * The timer wheel (user/lane/wheel.h) against a naive model: every node fires in its own
 * millisecond, in order, once; the next expiry is never later than the earliest node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/lane/wheel.h"

enum {
	NODES = 300,
};

struct model {
	struct mr_wheel wheel;
	struct mr_conn conn[NODES];
	uint32_t due[NODES]; /* what was armed */
	bool armed[NODES];
	uint32_t last_ms; /* of the last node that fired */
	uint32_t fired;
	uint32_t rearm_ms; /* a firing node is armed again so much later; 0: it is not */
};

static struct model *model_new(uint32_t now_ms)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	for (uint32_t i = 0; i < NODES; i++) {
		m->conn[i].wheel_next = MR_NONE;
		m->conn[i].wheel_prev = MR_NONE;
	}
	mr_wheel_init(&m->wheel, m->conn, now_ms);
	m->last_ms = now_ms;
	return m;
}

static void arm(struct model *m, uint32_t i, uint32_t ms)
{
	mr_wheel_arm(&m->wheel, &m->conn[i], ms);
	m->armed[i] = true;
	m->due[i] = (int32_t)(ms - m->wheel.now_ms) > 0 ? ms : m->wheel.now_ms + 1;
	assert_int_equal(m->conn[i].wheel_ms, m->due[i]);
}

static void disarm(struct model *m, uint32_t i)
{
	mr_wheel_disarm(&m->wheel, &m->conn[i]);
	m->armed[i] = false;
}

static void fire(void *arg, struct mr_conn *c)
{
	struct model *m = arg;
	uint32_t i = (uint32_t)(c - m->conn);

	assert_true(m->armed[i]);
	assert_false(mr_wheel_is_armed(c));
	assert_int_equal(m->wheel.now_ms, m->due[i]); /* exactly at its time */
	assert_true((int32_t)(m->due[i] - m->last_ms) >= 0);
	m->last_ms = m->due[i];
	m->armed[i] = false;
	m->fired++;
	if (m->rearm_ms)
		arm(m, i, m->wheel.now_ms + m->rearm_ms);
}

/* Milliseconds to the earliest node, UINT32_MAX: none. */
static uint32_t earliest(const struct model *m)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < NODES; i++)
		if (m->armed[i] && m->due[i] - m->wheel.now_ms < least)
			least = m->due[i] - m->wheel.now_ms;
	return least;
}

static void check(const struct model *m)
{
	uint32_t next = mr_wheel_next(&m->wheel);
	uint32_t n = 0;

	for (uint32_t i = 0; i < NODES; i++) {
		n += m->armed[i];
		assert_int_equal(mr_wheel_is_armed(&m->conn[i]), m->armed[i]);
	}
	assert_int_equal(m->wheel.count, n);
	if (!n) {
		assert_int_equal(next, UINT32_MAX);
		return;
	}
	assert_true(next > 0);
	assert_true(next <= earliest(m));
}

static void advance(struct model *m, uint32_t by_ms)
{
	uint32_t to = m->wheel.now_ms + by_ms;
	uint32_t before = m->fired;
	uint32_t fired = mr_wheel_advance(&m->wheel, to, fire, m);

	assert_int_equal(fired, m->fired - before);
	assert_int_equal(m->wheel.now_ms, to);
	for (uint32_t i = 0; i < NODES; i++) /* nothing overdue is left */
		assert_true(!m->armed[i] || (int32_t)(m->due[i] - to) > 0);
}

/* Times of every magnitude up to 2^31 - 1. */
static uint32_t random_ms(void)
{
	return (uint32_t)((unsigned int)rand() & ((1u << (rand() % 31 + 1)) - 1));
}

static void random_operations(uint32_t start_ms, unsigned int seed, uint32_t operations)
{
	struct model *m = model_new(start_ms);

	srand(seed);
	for (uint32_t n = 0; n < operations; n++) {
		uint32_t i = (uint32_t)rand() % NODES;

		switch (rand() % 8) {
		case 0:
			disarm(m, i);
			break;
		case 1:
			advance(m, (uint32_t)rand() % 100);
			break;
		case 2:
			if (rand() % 8 == 0)
				advance(m, random_ms());
			break;
		default:
			arm(m, i, m->wheel.now_ms + random_ms());
			break;
		}
		if (n % 16 == 0)
			check(m);
	}
	advance(m, INT32_MAX);
	check(m);
	assert_int_equal(m->wheel.count, 0);
	assert_true(m->fired > operations / 50);
	free(m);
}

static void wheel_random_operations_agree_with_model(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 8; seed++)
		random_operations(seed * 1000003, seed, 20000);
}

static void wheel_clock_wraps_and_nothing_is_lost(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 8; seed++)
		random_operations((uint32_t)-50 - seed * 977, 100 + seed, 3000);
}

/* Each of the digits' boundaries, approached from both sides. */
static void wheel_boundary_times_fire_exactly(void **state)
{
	static const uint32_t start[] = { 0,	      1,	  63,
					  64,	      4095,	  4096,
					  262143,     1 << 18,	  (1 << 24) - 1,
					  1 << 24,    0x3fffffff, 0x40000000,
					  0x7fffffff, 0xffffffc0, 0xffffffff };
	static const uint32_t delta[] = { 1,	    2,
					  63,	    64,
					  65,	    4095,
					  4096,	    4097,
					  262143,   262144,
					  1 << 24,  (1 << 24) + 1,
					  1 << 30,  (1 << 30) + 1,
					  INT32_MAX };

	(void)state;
	for (size_t s = 0; s < sizeof(start) / sizeof(start[0]); s++) {
		for (size_t d = 0; d < sizeof(delta) / sizeof(delta[0]); d++) {
			struct model *m = model_new(start[s]);

			arm(m, 0, start[s] + delta[d]);
			check(m);
			if (delta[d] > 1)
				advance(m, delta[d] - 1);
			assert_int_equal(m->fired, 0);
			check(m);
			assert_int_equal(earliest(m), 1);
			assert_int_equal(mr_wheel_next(&m->wheel), 1);
			advance(m, 1);
			assert_int_equal(m->fired, 1);
			free(m);
		}
	}
}

/* Following the announced expiries alone reaches every node in its millisecond. */
static void wheel_steps_by_next_reach_every_node(void **state)
{
	struct model *m = model_new(12345);
	uint32_t steps = 0;

	(void)state;
	srand(5);
	for (uint32_t i = 0; i < NODES; i++)
		arm(m, i, 12345 + 1 + random_ms() % 10000000);
	while (m->wheel.count) {
		advance(m, mr_wheel_next(&m->wheel));
		steps++;
	}
	assert_int_equal(m->fired, NODES);
	assert_true(steps <= NODES * MR_WHEEL_LEVELS); /* a node cascades once a level at most */
	free(m);
}

static void wheel_time_that_is_over_fires_at_the_next_tick(void **state)
{
	struct model *m = model_new(1000);

	(void)state;
	arm(m, 0, 1000);
	arm(m, 1, 500);
	arm(m, 2, 1000u - INT32_MAX);
	assert_int_equal(mr_wheel_next(&m->wheel), 1);
	advance(m, 0);
	assert_int_equal(m->fired, 0);
	advance(m, 1);
	assert_int_equal(m->fired, 3);
	free(m);
}

/* A node that arms itself while it fires comes again, also within one jump. */
static void wheel_node_armed_while_firing_fires_again(void **state)
{
	struct model *m = model_new(7);

	(void)state;
	m->rearm_ms = 10;
	arm(m, 0, 17);
	advance(m, 1000);
	assert_int_equal(m->fired, 100);
	check(m);
	free(m);
}

static void other_fires(void *arg, struct mr_conn *c)
{
	struct model *m = arg;
	uint32_t other = c == &m->conn[0] ? 1 : 0;

	m->fired++;
	mr_wheel_disarm(&m->wheel, &m->conn[other]); /* a neighbour of the same slot goes */
}

static void wheel_node_disarmed_by_a_neighbour_does_not_fire(void **state)
{
	struct model *m = model_new(0);

	(void)state;
	mr_wheel_arm(&m->wheel, &m->conn[0], 50);
	mr_wheel_arm(&m->wheel, &m->conn[1], 50);
	assert_int_equal(mr_wheel_advance(&m->wheel, 100, other_fires, m), 1);
	assert_int_equal(m->wheel.count, 0);
	assert_int_equal(mr_wheel_next(&m->wheel), UINT32_MAX);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wheel_random_operations_agree_with_model),
		cmocka_unit_test(wheel_clock_wraps_and_nothing_is_lost),
		cmocka_unit_test(wheel_boundary_times_fire_exactly),
		cmocka_unit_test(wheel_steps_by_next_reach_every_node),
		cmocka_unit_test(wheel_time_that_is_over_fires_at_the_next_tick),
		cmocka_unit_test(wheel_node_armed_while_firing_fires_again),
		cmocka_unit_test(wheel_node_disarmed_by_a_neighbour_does_not_fire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
