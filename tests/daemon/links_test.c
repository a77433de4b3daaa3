/* SPDX-License-Identifier: MIT */
/* Whose an address is, when the control process, perhaps an intruder, says whose. */
#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/daemon.h"
#include "user/daemon/links.h"

static const uint8_t loopback[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
static const uint8_t nobodys[16] = { [10] = 0xff, 0xff, 198, 51, 100, 77 };

static void an_address_is_of_the_interface_it_stands_on(void **state)
{
	const uint32_t lo = if_nametoindex("lo");
	struct mr_link its = { .ifindex = lo }, another = { .ifindex = lo + 1000000 };

	(void)state;
	assert_true(mr_links_has_address(loopback, &its));
	assert_false(mr_links_has_address(loopback, &another));
	assert_true(mr_links_has_address(loopback, NULL));
	assert_false(mr_links_has_address(nobodys, &its));
	assert_false(mr_links_has_address(nobodys, NULL));
}

static void what_stands_on_a_bond_is_its_slaves(void **state)
{
	const uint32_t lo = if_nametoindex("lo");
	struct mr_link slave = { .ifindex = lo + 1000000, .bond_ifindex = lo };

	(void)state;
	assert_true(mr_links_has_address(loopback, &slave));
	assert_true(mr_links_carries(&slave, lo));
	assert_false(mr_links_carries(&slave, lo + 2000000));
	assert_false(mr_links_carries(&slave, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_of_the_interface_it_stands_on),
		cmocka_unit_test(what_stands_on_a_bond_is_its_slaves),
	};

	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
