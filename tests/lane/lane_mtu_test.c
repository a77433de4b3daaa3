/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.7.1: what a lane sends fits the MTU of the interface and of the host's route to the
 * peer (struct mr_path_table), whoever opened the connection; what it offers is the interface's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

enum {
	BYTES = 20000,
	ETHERNET = 14,
};

/* What passed the wire, by the end that sent it. */
struct seen {
	uint32_t largest[2]; /* IP packet */
	uint32_t mss[2];     /* option of the SYN or SYN-ACK */
};

static unsigned int look(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			 uint64_t *delay_ns)
{
	const uint8_t *tcp = frame + ETHERNET + (frame[12] == 0x86 ? 40 : 20);
	struct seen *seen = arg;

	(void)delay_ns;
	if (*len - ETHERNET > seen->largest[from])
		seen->largest[from] = *len - ETHERNET;
	if (tcp[13] & 2 && tcp[20] == 2) /* SYN; the MSS is its first option */
		seen->mss[from] = (uint32_t)tcp[22] << 8 | tcp[23];
	return 1;
}

static void set_up(struct pair *p)
{
	talk_start(p, "drill", PAIR_OPTIONS);
	for (int i = 0; i < 2; i++) {
		p->end[i].paths->mtu = 1500;
		memcpy(p->end[i].paths->mac, p->end[i].config.mac, 6);
	}
}

/* The daemon's part: the head of the server's path table is written anew. */
static void publish(struct pair *p, const struct mr_mtu_route *routes, uint32_t n)
{
	struct mr_path_table *t = p->end[PAIR_SERVER].paths;

	t->n_mtu_routes = n;
	memset(t->mtu_route, 0, sizeof(t->mtu_route));
	if (n)
		memcpy(t->mtu_route, routes, n * sizeof(*routes));
	t->seq += 2;
}

/* The client fetches BYTES of the pattern. */
static struct seen download(struct pair *p, bool ipv6)
{
	struct talk t = { .out = "G 20000\n", .out_len = 8, .half_close = true };
	struct seen seen = { 0 };

	mr_memory_set_fate(p->wire, look, &seen);
	talk_begin(p, &t, 7000, ipv6);
	assert_true(pair_run(p, 10000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(t.in_len, BYTES);
	mr_memory_set_fate(p->wire, NULL, NULL);
	return seen;
}

/* The largest packet to 192.0.2.1 or 2001:db8::1 when these are the routes. */
static uint32_t largest_over(const struct mr_mtu_route *routes, uint32_t n, bool ipv6)
{
	struct pair p;
	struct seen seen;

	set_up(&p);
	publish(&p, routes, n);
	seen = download(&p, ipv6);
	assert_int_equal(seen.mss[PAIR_SERVER], ipv6 ? 1440 : 1460);
	talk_end(&p);
	return seen.largest[PAIR_SERVER];
}

#define V4(a, b, c, d, length, m)                                                                  \
	{                                                                                          \
		.prefix = { [10] = 0xff, 0xff, a, b, c, d }, .bits = 96 + (length), .mtu = (m)     \
	}
#define V6(last, length, m)                                                                        \
	{                                                                                          \
		.prefix = { 0x20, 0x01, 0x0d, 0xb8, [15] = (last) }, .bits = (length), .mtu = (m)  \
	}

static void without_routes_packets_fill_the_interface(void **state)
{
	(void)state;
	assert_int_equal(largest_over(NULL, 0, false), 1500);
	assert_int_equal(largest_over(NULL, 0, true), 1500);
}

static void host_route_with_mtu_limits_a_passive_open(void **state)
{
	static const struct mr_mtu_route routes[] = { V4(192, 0, 2, 1, 32, 1280),
						      V6(1, 128, 1300) };

	(void)state;
	assert_int_equal(largest_over(routes, 2, false), 1280);
	assert_int_equal(largest_over(routes, 2, true), 1300);
}

static void route_to_others_limits_nothing(void **state)
{
	static const struct mr_mtu_route routes[] = { V4(192, 0, 2, 2, 32, 1280), V6(2, 127, 1280),
						      V4(192, 0, 2, 2, 31, 1280),
						      V4(10, 0, 0, 0, 8, 1280) };

	(void)state;
	assert_int_equal(largest_over(routes, 4, false), 1500);
	assert_int_equal(largest_over(routes, 4, true), 1500);
}

static void prefix_of_odd_length_counts_to_its_last_bit(void **state)
{
	static const struct mr_mtu_route routes[] = { V4(192, 0, 2, 0, 31, 1280),
						      V6(0, 127, 1300) };

	(void)state;
	assert_int_equal(largest_over(routes, 2, false), 1280);
	assert_int_equal(largest_over(routes, 2, true), 1300);
}

static void longest_prefix_counts(void **state)
{
	static const struct mr_mtu_route routes[] = { V4(192, 0, 2, 1, 32, 1400),
						      V4(192, 0, 2, 0, 24, 1280),
						      V4(0, 0, 0, 0, 0, 1300) };

	(void)state;
	assert_int_equal(largest_over(routes, 3, false), 1400);
	assert_int_equal(largest_over(routes + 1, 2, false), 1280);
	assert_int_equal(largest_over(routes + 2, 1, false), 1300);
}

static void route_without_mtu_inside_one_is_not_limited(void **state)
{
	static const struct mr_mtu_route routes[] = { V4(192, 0, 2, 0, 24, 0),
						      V4(0, 0, 0, 0, 0, 1300) };

	(void)state;
	assert_int_equal(largest_over(routes, 2, false), 1500);
}

static void default_route_of_ipv6_is_not_that_of_ipv4(void **state)
{
	static const struct mr_mtu_route route = { .bits = 0, .mtu = 1300 };

	(void)state;
	assert_int_equal(largest_over(&route, 1, false), 1500);
	assert_int_equal(largest_over(&route, 1, true), 1300);
}

static void route_wider_than_the_interface_changes_nothing(void **state)
{
	static const struct mr_mtu_route route = V4(192, 0, 2, 1, 32, 9000);

	(void)state;
	assert_int_equal(largest_over(&route, 1, false), 1500);
}

static void absurd_mtu_still_serves(void **state)
{
	static const struct mr_mtu_route route = V4(192, 0, 2, 1, 32, 1);

	(void)state;
	assert_int_equal(largest_over(&route, 1, false), 40 + 64);
}

static void more_routes_than_there_is_room_for_are_not_read(void **state)
{
	static const struct mr_mtu_route route = V4(192, 0, 2, 1, 32, 1280);
	struct pair p;

	(void)state;
	set_up(&p);
	publish(&p, &route, 1);
	p.end[PAIR_SERVER].paths->n_mtu_routes = UINT32_MAX;
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1280);
	talk_end(&p);
}

static void routes_are_followed_while_serving(void **state)
{
	static const struct mr_mtu_route route = V4(192, 0, 2, 1, 32, 1280);
	struct pair p;

	(void)state;
	set_up(&p);
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1500);
	publish(&p, &route, 1);
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1280);
	publish(&p, NULL, 0);
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1500);
	talk_end(&p);
}

static void routes_that_are_being_written_are_not_taken(void **state)
{
	static const struct mr_mtu_route route = V4(192, 0, 2, 1, 32, 1280);
	struct pair p;

	(void)state;
	set_up(&p);
	publish(&p, &route, 1);
	p.end[PAIR_SERVER].paths->seq++;
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1500);
	p.end[PAIR_SERVER].paths->seq++;
	assert_int_equal(download(&p, false).largest[PAIR_SERVER], 1280);
	talk_end(&p);
}

/* Active opens take the MTU from their path, where the daemon put the route's. */
static void path_with_mtu_limits_an_active_open(void **state)
{
	static uint8_t out[BYTES];
	struct talk t = { .out = out, .out_len = sizeof(out), .half_close = true };
	struct seen seen = { 0 };
	struct pair p;

	(void)state;
	talk_start(&p, "discard-bytes", PAIR_OPTIONS);
	p.end[PAIR_CLIENT].paths->path[0].mtu = 1280;
	mr_memory_set_fate(p.wire, look, &seen);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 10000, talk_is_closed, &t));
	assert_int_equal(seen.largest[PAIR_CLIENT], 1280);
	assert_int_equal(seen.mss[PAIR_CLIENT], 1460);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_routes_packets_fill_the_interface),
		cmocka_unit_test(host_route_with_mtu_limits_a_passive_open),
		cmocka_unit_test(route_to_others_limits_nothing),
		cmocka_unit_test(prefix_of_odd_length_counts_to_its_last_bit),
		cmocka_unit_test(longest_prefix_counts),
		cmocka_unit_test(route_without_mtu_inside_one_is_not_limited),
		cmocka_unit_test(default_route_of_ipv6_is_not_that_of_ipv4),
		cmocka_unit_test(route_wider_than_the_interface_changes_nothing),
		cmocka_unit_test(absurd_mtu_still_serves),
		cmocka_unit_test(more_routes_than_there_is_room_for_are_not_read),
		cmocka_unit_test(routes_are_followed_while_serving),
		cmocka_unit_test(routes_that_are_being_written_are_not_taken),
		cmocka_unit_test(path_with_mtu_limits_an_active_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
