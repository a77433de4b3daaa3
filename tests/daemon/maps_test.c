/* SPDX-License-Identifier: MIT */
/* What the daemon writes into the maps of interfaces (docs/maps.md: mr1_if, mr1_near). */
#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/bpf.h"

enum { N = MR_NEAR_INTERFACES };

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
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_maps, teardown_maps)
	const struct CMUnitTest tests[] = {
		CASE(interface_written_stands_in_both_maps),
		CASE(interface_written_again_changes_both_maps),
		CASE(interface_whose_place_is_taken_leaves_it),
		cmocka_unit_test(numbers_are_promised_but_on_a_realtime_kernel),
	};
	const struct CMUnitTest none[] = { cmocka_unit_test(maps_need_root) };

	if (geteuid())
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
