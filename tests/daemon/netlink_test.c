/* SPDX-License-Identifier: MIT */
/* user/daemon/netlink.h: the host's addresses and the broadcast addresses of their networks. */
#include <arpa/inet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/daemon/netlink.h"

static void read_address(const char *words, uint8_t out[16])
{
	char mapped[64] = "::ffff:";

	strcat(mapped, words);
	assert_int_equal(inet_pton(AF_INET6, strchr(words, ':') ? words : mapped, out), 1);
}

static void expect(const char *addr, unsigned int prefix, const char *broadcast)
{
	uint8_t a[16], want[16] = { 0 }, got[16];

	read_address(addr, a);
	if (broadcast)
		read_address(broadcast, want);
	mr_netlink_broadcast(a, prefix, got);
	assert_memory_equal(got, want, 16);
}

static void address_and_prefix_give_the_broadcast_address(void **state)
{
	(void)state;
	expect("192.0.2.2", 24, "192.0.2.255");
	expect("198.51.100.70", 26, "198.51.100.127");
	expect("10.1.2.3", 8, "10.255.255.255");
	expect("10.1.2.3", 15, "10.1.255.255");
	expect("192.0.2.5", 30, "192.0.2.7");
	expect("192.0.2.5", 0, "255.255.255.255");
}

/* RFC 3021; and IPv6 has no broadcast at all. */
static void short_networks_and_ipv6_have_none(void **state)
{
	(void)state;
	expect("192.0.2.5", 31, NULL);
	expect("192.0.2.5", 32, NULL);
	expect("2001:db8::5", 24, NULL);
}

static void look(void *arg, const struct mr_netlink_address *a)
{
	uint8_t *found = arg;
	uint8_t loopback[16];

	read_address("127.0.0.1", loopback);
	if (!memcmp(a->addr, loopback, 16))
		memcpy(found, a->broadcast, 16);
}

/* The kernel configures none for it: what is told comes of the prefix. */
static void kernel_tells_of_the_loopback_address(void **state)
{
	static const struct mr_netlink_news none;
	uint8_t found[16] = { 0 }, want[16];
	static struct mr_netlink *n; /* as long as the program lives: nobody closes one */

	(void)state;
	read_address("127.255.255.255", want);
	assert_int_equal(mr_netlink_open(&n, &none, NULL), 0);
	assert_int_equal(mr_netlink_addresses(n, look, found), 0);
	assert_memory_equal(found, want, 16);
}

static void look_for_host(void *arg, const struct mr_netlink_address *a)
{
	uint8_t host[16];

	read_address("203.0.113.5", host);
	if (!memcmp(a->addr, host, 16))
		memcpy(arg, a->broadcast, 16);
}

/* Some tools write it so; the kernel goes on to take the address for its own (fib_add_ifaddr()). */
static void address_that_is_its_own_broadcast_address_has_none(void **state)
{
	static const struct mr_netlink_news none;
	static struct mr_netlink *n;
	static const uint8_t nothing[16];
	uint8_t found[16] = { 1 };

	(void)state;
	if (unshare(CLONE_NEWNET) || system("ip link set lo up && ip address add 203.0.113.5/32 "
					    "broadcast 203.0.113.5 dev lo")) {
		print_message("no namespace of its own: not shown\n");
		skip();
	}
	assert_int_equal(mr_netlink_open(&n, &none, NULL), 0);
	assert_int_equal(mr_netlink_addresses(n, look_for_host, found), 0);
	assert_memory_equal(found, nothing, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_and_prefix_give_the_broadcast_address),
		cmocka_unit_test(short_networks_and_ipv6_have_none),
		cmocka_unit_test(kernel_tells_of_the_loopback_address),
		cmocka_unit_test(address_that_is_its_own_broadcast_address_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
