/* SPDX-License-Identifier: MIT */
/*
 * user/daemon/guard_changes.h: changes over a configuration. Single ones are held in
 * tests/veth/test_guard_changes.py, through the tool; here is what no tool can ask for.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/daemon/guard_changes.h"

enum {
	ROUNDS = 400,
	PLACES = 48,
};

static struct mr_block_item item(uint32_t i, uint8_t action)
{
	return (struct mr_block_item){
		.family = i % 3 ? 4 : 6,
		.addr = { (uint8_t)(i * 7), (uint8_t)i },
		.bits = i % 3 ? 24 : 64,
		.action = action,
	};
}

/* A list as an array of actions, which is what the functions are held to. */
static struct mr_blocks list(const uint8_t action[PLACES])
{
	struct mr_blocks b = { 0 };

	for (uint32_t i = 0; i < PLACES; i++) {
		struct mr_block_item one = item(i, action[i]);

		if (action[i] != MR_BLOCK_NONE)
			assert_int_equal(mr_blocks_put(&b, &one), 0);
	}
	mr_blocks_sort(&b);
	return b;
}

static void any(uint8_t action[PLACES], unsigned int most)
{
	for (uint32_t i = 0; i < PLACES; i++)
		action[i] = (uint8_t)((unsigned int)rand() % most);
}

static void holds(const struct mr_guard_changes *g, const struct mr_settings *s,
		  const uint8_t action[PLACES])
{
	struct mr_blocks wanted = list(action);
	struct mr_settings_guard now;

	assert_int_equal(mr_guard_changes_check(g), 0);
	assert_int_equal(mr_guard_merge(s, g, &now), 0);
	assert_true(mr_blocks_is_equal(&now.blocks, &wanted));
	mr_guard_fini(&now);
	mr_blocks_free(&wanted);
}

/* Lists of all kinds changed at random, against one that is an array; changes back leave nothing.
 */
static void random_changes_of_lists_are_those_of_an_array(void **state)
{
	uint8_t config[PLACES], now[PLACES], change[PLACES];
	struct mr_guard_changes *g = calloc(1, sizeof(*g));
	struct mr_settings s = { 0 };
	char words[MR_GUARD_WORDS];

	(void)state;
	srand(5);
	assert_non_null(g);
	for (int round = 0; round < ROUNDS; round++) {
		struct mr_blocks items;

		if (round % 20 == 0) { /* another configuration: what was changed stays changed */
			mr_guard_changes_free(g);
			mr_blocks_free(&s.guard.blocks);
			any(config, 3);
			s.guard.blocks = list(config);
			memcpy(now, config, sizeof(now));
		}
		any(change, 3);
		for (uint32_t i = 0; i < PLACES; i++)
			if (rand() % 4)
				change[i] = MR_BLOCK_NONE;
		if (round % 3 == 0) {
			memcpy(now, change, sizeof(now));
			items = list(change);
			assert_int_equal(mr_guard_blocks_load(g, &s.guard.blocks, &items, words),
					 0);
		} else if (round % 3 == 1) {
			for (uint32_t i = 0; i < PLACES; i++)
				now[i] = change[i] ? change[i] : now[i];
			items = list(change);
			assert_int_equal(mr_guard_blocks_add(g, &s.guard.blocks, &items, words), 0);
		} else {
			for (uint32_t i = 0; i < PLACES; i++) {
				change[i] = change[i] ? now[i] : MR_BLOCK_NONE;
				now[i] = change[i] ? MR_BLOCK_NONE : now[i];
			}
			items = list(change);
			assert_int_equal(mr_guard_blocks_delete(g, &s.guard.blocks, &items, words),
					 0);
		}
		mr_blocks_free(&items);
		holds(g, &s, now);
	}
	assert_int_equal(mr_guard_blocks_load(g, &s.guard.blocks, &s.guard.blocks, words), 0);
	assert_int_equal(g->blocks.n, 0);
	mr_guard_changes_free(g);
	mr_blocks_free(&s.guard.blocks);
	free(g);
}

/* What was changed is changed also when the configuration is read again. */
static void changes_hold_over_another_configuration(void **state)
{
	uint8_t was[PLACES] = { [1] = MR_BLOCK_DROP, [2] = MR_BLOCK_DROP };
	uint8_t add[PLACES] = { [2] = MR_BLOCK_ALLOW, [3] = MR_BLOCK_DROP };
	uint8_t del[PLACES] = { [1] = MR_BLOCK_DROP };
	uint8_t is[PLACES] = { [1] = MR_BLOCK_DROP, [4] = MR_BLOCK_DROP };
	uint8_t wanted[PLACES] = { [2] = MR_BLOCK_ALLOW, [3] = MR_BLOCK_DROP, [4] = MR_BLOCK_DROP };
	struct mr_guard_changes *g = calloc(1, sizeof(*g));
	struct mr_settings s = { .guard.blocks = list(was) };
	struct mr_blocks a = list(add), b = list(del);
	char words[MR_GUARD_WORDS];

	(void)state;
	assert_non_null(g);
	assert_int_equal(mr_guard_blocks_add(g, &s.guard.blocks, &a, words), 0);
	assert_int_equal(mr_guard_blocks_delete(g, &s.guard.blocks, &b, words), 0);
	mr_blocks_free(&s.guard.blocks);
	s.guard.blocks = list(is);
	holds(g, &s, wanted);
	mr_blocks_free(&s.guard.blocks);
	mr_blocks_free(&a);
	mr_blocks_free(&b);
	mr_guard_changes_free(g);
	free(g);
}

static void limits_of_a_rule_that_went_limit_nothing(void **state)
{
	struct mr_settings_rule rules[2] = { { .lane.name = "one" }, { .lane.name = "two" } };
	struct mr_settings s = { .rules = rules, .n_rules = 2 };
	struct mr_guard_rule_change r = { .rule = "two", .packets = { 1000, 1 } };
	struct mr_guard_changes *g = calloc(1, sizeof(*g));
	struct mr_settings_guard now;
	char words[MR_GUARD_WORDS];

	(void)state;
	assert_non_null(g);
	assert_int_equal(mr_guard_rule_set(g, &s, &r, words), 0);
	assert_int_equal(mr_guard_merge(&s, g, &now), 0);
	assert_int_equal(now.n_rules, 1);
	assert_int_equal(now.rules[0].rule, 1);
	mr_guard_fini(&now);
	s.n_rules = 1;
	assert_int_equal(mr_guard_merge(&s, g, &now), 0);
	assert_int_equal(now.n_rules, 0);
	mr_guard_fini(&now);
	assert_int_equal(mr_guard_rule_set(g, &s, &r, words), -ENOENT);
	free(g);
}

/* Another configuration with limits of its own: what no longer fits is refused as a whole. */
static void more_limits_than_fit_are_refused(void **state)
{
	struct mr_guard_changes *g = calloc(1, sizeof(*g));
	struct mr_settings s = { 0 };
	struct mr_settings_guard now;
	char words[MR_GUARD_WORDS];

	(void)state;
	assert_non_null(g);
	for (uint8_t i = 0; i < MR_MAX_GUARD_LIMITS; i++) {
		struct mr_guard_limit l = { .packets = { 1000, 1 }, .ipv4_bits = i };

		assert_int_equal(mr_guard_limit_set(g, &s, &l, words), 0);
	}
	s.guard.limits.n_limits = 1;
	s.guard.limits.limit[0] = (struct mr_guard_limit){ .syns = { 5, 5 }, .ipv4_bits = 32 };
	assert_int_equal(mr_guard_merge(&s, g, &now), -E2BIG);
	s.guard.limits.limit[0].ipv4_bits = 2; /* its place is taken by the change */
	assert_int_equal(mr_guard_merge(&s, g, &now), 0);
	assert_int_equal(now.limits.n_limits, MR_MAX_GUARD_LIMITS);
	assert_int_equal(now.limits.limit[0].syns.interval_ns, 0);
	mr_guard_fini(&now);
	free(g);
}

/* What a child that was taken over might lay: each is refused, none is believed. */
static void words_of_another_process_are_checked(void **state)
{
	uint8_t some[PLACES] = { [4] = MR_BLOCK_DROP, [5] = MR_BLOCK_ALLOW };
	struct mr_guard_changes *g = calloc(1, sizeof(*g));
	struct mr_blocks *b = &g->blocks;

	(void)state;
	assert_non_null(g);
	*b = list(some);
	g->few.n_limits = g->few.n_rules = 1;
	g->few.limit[0] = (struct mr_guard_limit){ .packets = { 1, 1 }, .ipv4_bits = 32 };
	strcpy(g->few.rule[0].rule, "echo");
	g->few.has_syn = 1;
	g->few.syn = (struct mr_guard_syn){ MR_SYN_ANSWERS_ON, 50, 3 };
	assert_int_equal(mr_guard_changes_check(g), 0);
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		typeof(field) was = field;                                                         \
		field = (typeof(field))(value);                                                    \
		assert_int_equal(mr_guard_changes_check(g), -EINVAL);                              \
		field = was;                                                                       \
		assert_int_equal(mr_guard_changes_check(g), 0);                                    \
	} while (0)
	REFUSED(g->few.n_limits, MR_GUARD_LIMIT_CHANGES + 1);
	REFUSED(g->few.n_limits, UINT32_MAX);
	REFUSED(g->few.n_rules, MR_RULES_MOST + 1);
	REFUSED(g->few.limit[0].ipv4_bits, 33);
	REFUSED(g->few.limit[0].ipv6_bits, 129);
	REFUSED(g->few.limit[0].packets.burst, 0);
	REFUSED(g->few.syn.answers, MR_SYN_ANSWERS_ON + 1);
	REFUSED(g->few.syn.at_percent, 0);
	REFUSED(g->few.syn.at_percent, 101);
	REFUSED(g->few.syn.calm_s, 0);
	REFUSED(b->item[0].family, 5);
	REFUSED(b->item[0].bits, 33);
	REFUSED(b->item[0].action, 3);
	REFUSED(b->item[0].addr[3], 1); /* behind the prefix */
	REFUSED(b->item[1].addr[0], 0); /* out of order */
	memset(g->few.rule[0].rule, 'x', sizeof(g->few.rule[0].rule));
	assert_int_equal(mr_guard_changes_check(g), -EINVAL);
	mr_guard_changes_free(g);
	free(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes_of_lists_are_those_of_an_array),
		cmocka_unit_test(changes_hold_over_another_configuration),
		cmocka_unit_test(limits_of_a_rule_that_went_limit_nothing),
		cmocka_unit_test(more_limits_than_fit_are_refused),
		cmocka_unit_test(words_of_another_process_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
