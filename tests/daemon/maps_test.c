/* SPDX-License-Identifier: MIT */
/* What the daemon writes into the maps, and in which order (docs/maps.md). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/bpf.h"

enum {
	N = MR_NEAR_INTERFACES,
	MOST = 32,
};

/* What was written, in order: the descriptor of the map, and the key. */
static struct {
	int map;
	uint32_t key;
} written[MOST];
static unsigned int n_written;

int __real_bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);

int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)
{
	if (n_written < MOST) {
		written[n_written].map = fd;
		memcpy(&written[n_written].key, key, sizeof(uint32_t));
		n_written++;
	}
	return __real_bpf_map_update_elem(fd, key, value, flags);
}

static int setup_maps(void **state)
{
	struct mr_daemon *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->bpf.map[MR_MAP_IF] = bpf_map_create(BPF_MAP_TYPE_HASH, "mr1_if", sizeof(uint32_t),
					       sizeof(struct mr_interface), MR_MAX_INTERFACES,
					       NULL);
	d->bpf.map[MR_MAP_NEAR] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mr1_near", sizeof(uint32_t),
						 sizeof(struct mr_interface), N, NULL);
	assert_true(d->bpf.map[MR_MAP_IF] >= 0 && d->bpf.map[MR_MAP_NEAR] >= 0);
	*state = d;
	return 0;
}

static int teardown_maps(void **state)
{
	struct mr_daemon *d = *state;

	close(d->bpf.map[MR_MAP_IF]);
	close(d->bpf.map[MR_MAP_NEAR]);
	free(d);
	return 0;
}

static void write_link(struct mr_daemon *d, uint32_t ifindex, uint32_t slot_base)
{
	const struct mr_link l = {
		.name = "mr0", .ifindex = ifindex, .slot_base = slot_base, .n_queues = 2
	};

	assert_int_equal(mr_bpf_interface(d, &l), 0);
}

static void expect_record(int map, uint32_t key, uint32_t ifindex, uint32_t slot_base)
{
	struct mr_interface v;

	assert_int_equal(bpf_map_lookup_elem(map, &key, &v), 0);
	assert_int_equal(v.ifindex, ifindex);
	assert_int_equal(v.slot_base, slot_base);
	assert_int_equal(v.n_queues, 2);
}

static void interface_written_stands_in_both_maps(void **state)
{
	struct mr_daemon *d = *state;

	write_link(d, 3, 10);
	expect_record(d->bpf.map[MR_MAP_IF], 3, 3, 10);
	expect_record(d->bpf.map[MR_MAP_NEAR], 3, 3, 10);
}

static void interface_written_again_changes_both_maps(void **state)
{
	struct mr_daemon *d = *state;

	write_link(d, 3, 10);
	write_link(d, 3, 20);
	expect_record(d->bpf.map[MR_MAP_IF], 3, 3, 20);
	expect_record(d->bpf.map[MR_MAP_NEAR], 3, 3, 20);
}

static void interface_whose_place_is_taken_leaves_it(void **state)
{
	struct mr_daemon *d = *state;

	write_link(d, 3, 10);
	write_link(d, 3 + N, 20);
	write_link(d, 4 + N, 30);
	expect_record(d->bpf.map[MR_MAP_IF], 3 + N, 3 + N, 20);
	expect_record(d->bpf.map[MR_MAP_NEAR], 3, 3, 10);
	expect_record(d->bpf.map[MR_MAP_NEAR], 4, 4 + N, 30);
}

/* ----- generations ----- */

static int setup_rules(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct mr_daemon *d = calloc(1, sizeof(*d));
	int inner = bpf_map_create(BPF_MAP_TYPE_HASH, "inner", sizeof(struct mr_rule_key),
				   sizeof(struct mr_rule), MR_MAX_RULES, NULL);

	assert_non_null(d);
	assert_true(inner >= 0);
	opts.inner_map_fd = (uint32_t)inner;
	d->bpf.map[MR_MAP_RULES] = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "mr1_rules",
						  sizeof(uint32_t), sizeof(uint32_t), 2, &opts);
	d->bpf.map[MR_MAP_CFG] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "mr1_cfg", sizeof(uint32_t),
						sizeof(struct mr_config), 1, NULL);
	assert_true(d->bpf.map[MR_MAP_RULES] >= 0 && d->bpf.map[MR_MAP_CFG] >= 0);
	close(inner);
	d->bpf.object = bpf_object__open_file("build/millrace.bpf.o", NULL);
	assert_non_null(d->bpf.object);
	assert_true(mr_bpf_inners(d, d->bpf.object));
	d->bpf.active = -1;
	d->bpf.generation.promises = MR_PROMISE_NEAR;
	n_written = 0;
	*state = d;
	return 0;
}

static int teardown_rules(void **state)
{
	struct mr_daemon *d = *state;

	close(d->bpf.map[MR_MAP_RULES]);
	close(d->bpf.map[MR_MAP_CFG]);
	close(d->bpf.active);
	bpf_object__close(d->bpf.object);
	free(d);
	return 0;
}

static void expect_written(unsigned int i, int map, uint32_t key)
{
	assert_int_equal(written[i].map, map);
	assert_int_equal(written[i].key, key);
}

/* Any write of a slot waits for the runs that go on; so one must lie between flip and refill. */
static void slot_is_filled_again_only_after_older_runs(void **state)
{
	struct mr_daemon *d = *state;
	int rules = d->bpf.map[MR_MAP_RULES], config = d->bpf.map[MR_MAP_CFG];

	assert_int_equal(mr_rules_publish(d), 0);
	assert_int_equal(mr_rules_publish(d), 0);
	assert_int_equal(mr_rules_publish(d), 0);
	assert_int_equal(n_written, 8);
	expect_written(0, rules, 1);
	expect_written(1, config, 0);
	expect_written(2, rules, 1); /* the active one, as it is */
	expect_written(3, rules, 0);
	expect_written(4, config, 0);
	expect_written(5, rules, 0);
	expect_written(6, rules, 1);
	expect_written(7, config, 0);
}

static void generation_counts_up_and_keeps_its_promises(void **state)
{
	struct mr_daemon *d = *state;
	struct mr_config config;
	uint32_t zero = 0;

	for (uint32_t i = 1; i < 4; i++) {
		assert_int_equal(mr_rules_publish(d), 0);
		assert_int_equal(bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config), 0);
		assert_int_equal(config.generation.number, i);
		assert_int_equal(config.generation.parity, i % 2);
		assert_int_equal(config.generation.promises, MR_PROMISE_NEAR);
	}
}

/* PREEMPT_RT: two runs on one CPU may come between each other, so nothing is remembered. */
static void numbers_are_promised_but_on_a_realtime_kernel(void **state)
{
	(void)state;
	assert_int_equal(mr_bpf_promises("#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)"),
			 MR_PROMISE_NUMBER | MR_PROMISE_NEAR);
	assert_int_equal(mr_bpf_promises("#1 SMP PREEMPT_RT Debian 6.1.140-1 (2025-05-22)"),
			 MR_PROMISE_NEAR);
	assert_int_equal(mr_bpf_promises("#1 SMP PREEMPT RT Debian 4.19.98-1 (2020-01-26)"),
			 MR_PROMISE_NEAR);
}

static void maps_need_root(void **state)
{
	(void)state;
	print_message("skip: needs root, for BPF maps\n");
	skip();
}

int main(void)
{
#define CASE(f)	      cmocka_unit_test_setup_teardown(f, setup_maps, teardown_maps)
#define RULES_CASE(f) cmocka_unit_test_setup_teardown(f, setup_rules, teardown_rules)
	const struct CMUnitTest tests[] = {
		CASE(interface_written_stands_in_both_maps),
		CASE(interface_written_again_changes_both_maps),
		CASE(interface_whose_place_is_taken_leaves_it),
		RULES_CASE(slot_is_filled_again_only_after_older_runs),
		RULES_CASE(generation_counts_up_and_keeps_its_promises),
		cmocka_unit_test(numbers_are_promised_but_on_a_realtime_kernel),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(maps_need_root) };

	if (geteuid())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
