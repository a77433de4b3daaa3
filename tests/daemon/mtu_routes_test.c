/* SPDX-License-Identifier: MIT */
/* user/daemon/mtu_routes.h: which of the host's routes lanes are told of, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "user/daemon/mtu_routes.h"

/* 10.@b.@c.0 and a prefix length, as rtnetlink tells of it. */
static struct mr_netlink_route v4(uint8_t b, uint8_t c, uint8_t length, uint32_t metric,
				  uint32_t mtu)
{
	struct mr_netlink_route r = { .bits = (uint8_t)(96 + length),
				      .metric = metric,
				      .mtu = mtu };

	memset(r.prefix + 10, 0xff, 2);
	if (length) {
		r.prefix[12] = 10;
		r.prefix[13] = b;
		r.prefix[14] = c;
	}
	return r;
}

static void add(struct mr_mtu_routes *m, struct mr_netlink_route r)
{
	mr_mtu_routes_add(m, &r);
}

static void routes_without_mtu_leave_an_empty_list(void **state)
{
	struct mr_mtu_routes m = { 0 };

	(void)state;
	add(&m, v4(0, 0, 0, 0, 0));
	add(&m, v4(1, 0, 16, 0, 0));
	assert_int_equal(m.n, 0);
	assert_int_equal(m.left_out, 0);
}

static void longest_prefixes_come_first(void **state)
{
	struct mr_mtu_routes m = { 0 };

	(void)state;
	add(&m, v4(1, 0, 16, 0, 1400));
	add(&m, v4(0, 0, 0, 0, 1300));
	add(&m, v4(1, 2, 24, 0, 1200));
	add(&m, v4(2, 0, 16, 0, 1100));
	assert_int_equal(m.n, 4);
	assert_int_equal(m.route[0].mtu, 1200);
	assert_int_equal(m.route[1].mtu, 1400);
	assert_int_equal(m.route[2].mtu, 1100);
	assert_int_equal(m.route[3].mtu, 1300);
	assert_int_equal(m.route[3].bits, 96);
}

static void route_without_mtu_is_kept_inside_one_with(void **state)
{
	struct mr_mtu_routes m = { 0 };

	(void)state;
	add(&m, v4(1, 0, 16, 0, 1400));
	add(&m, v4(1, 2, 24, 0, 0));
	add(&m, v4(2, 2, 24, 0, 0)); /* beside it */
	add(&m, v4(0, 0, 8, 0, 0));  /* around it */
	assert_int_equal(m.n, 2);
	assert_int_equal(m.route[0].bits, 96 + 24);
	assert_int_equal(m.route[0].prefix[13], 1);
	assert_int_equal(m.route[0].mtu, 0);
	assert_int_equal(m.route[1].mtu, 1400);
}

static void default_route_of_ipv6_contains_no_ipv4(void **state)
{
	struct mr_netlink_route v6 = { .bits = 0, .mtu = 1400 };
	struct mr_mtu_routes m = { 0 };

	(void)state;
	add(&m, v6);
	add(&m, v4(1, 0, 16, 0, 0));
	assert_int_equal(m.n, 1);
}

static void lower_metric_counts_of_equal_prefixes(void **state)
{
	struct mr_mtu_routes m = { 0 };

	(void)state;
	add(&m, v4(1, 0, 16, 20, 1400));
	add(&m, v4(1, 0, 16, 30, 1300));
	assert_int_equal(m.route[0].mtu, 1400);
	add(&m, v4(1, 0, 16, 10, 1200));
	assert_int_equal(m.route[0].mtu, 1200);
	add(&m, v4(1, 0, 16, 10, 1100)); /* the first of equal ones */
	assert_int_equal(m.route[0].mtu, 1200);
	add(&m, v4(1, 0, 16, 0, 0));
	assert_int_equal(m.n, 1);
	assert_int_equal(m.route[0].mtu, 0);
}

static void routes_beyond_the_room_are_counted(void **state)
{
	struct mr_mtu_routes m = { 0 };

	(void)state;
	for (uint8_t i = 0; i < MR_MTU_ROUTES + 3; i++)
		add(&m, v4(i, 0, 16, 0, 1400));
	add(&m, v4(1, 2, 24, 0, 0));
	assert_int_equal(m.n, MR_MTU_ROUTES);
	assert_int_equal(m.left_out, 4);
	add(&m, v4(5, 0, 16, 0, 1300)); /* one of those that are in */
	assert_int_equal(m.left_out, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_without_mtu_leave_an_empty_list),
		cmocka_unit_test(longest_prefixes_come_first),
		cmocka_unit_test(route_without_mtu_is_kept_inside_one_with),
		cmocka_unit_test(default_route_of_ipv6_contains_no_ipv4),
		cmocka_unit_test(lower_metric_counts_of_equal_prefixes),
		cmocka_unit_test(routes_beyond_the_room_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
