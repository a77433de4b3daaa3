/* SPDX-License-Identifier: MIT */
/* What the parent believes of a set of filters that its child, perhaps an intruder, has laid. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/filters.h"

enum {
	N_STEER = 1,
	DEEP = 400, /* more prefixes in one another than an address has bits */
};

static struct mr_daemon d;
static struct mr_settings_rule steer, rule[DEEP];
static struct mr_net net[DEEP];
static struct mr_filters set;

/* Instead of writing it into maps. */
int __wrap_mr_rules_publish(struct mr_daemon *daemon);

int __wrap_mr_rules_publish(struct mr_daemon *daemon)
{
	(void)daemon;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&d, 0, sizeof(d));
	memset(rule, 0, sizeof(rule));
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++)
		d.bpf.map[i] = -1;
	d.bpf.n_cpus = 1;
	d.settings.rules = &steer;
	d.settings.n_rules = N_STEER;
	set = (struct mr_filters){ .list = rule };
	return mr_filters_room(&d);
}

/* One that drops what comes from a prefix of its own. */
static void add(const char *prefix)
{
	struct mr_settings_rule *r = &rule[set.n];

	assert_int_equal(mr_net_parse(prefix, &net[set.n], NULL), 0);
	r->action = MR_ACTION_DROP;
	r->match.port_hi = MR_PORT_MOST;
	r->match.vlan = (uint32_t)MR_VLAN_ANY;
	r->match.source = (struct mr_prefixes){ &net[set.n], 1, 1, true, 0 };
	r->lane.rule_id = (uint16_t)(N_STEER + MR_MAX_DYNAMIC + set.n);
	snprintf(r->lane.name, sizeof(r->lane.name), "r%u", set.n++);
}

static void a_set_that_makes_sense_is_taken(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	add("2001:db8::/32");
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	assert_int_equal(mr_filters_take(&d), 0);
	assert_int_equal(d.settings.n_filters, 2);
	mr_rules_free(d.settings.filters, d.settings.n_filters);
}

/* Added to the number of rules that steer, it comes to nothing. */
static void a_count_beyond_all_bounds_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	((volatile uint32_t *)(void *)d.filters_room)[1] = UINT32_MAX;
	assert_int_equal(mr_filters_take(&d), -EINVAL);
	((volatile uint32_t *)(void *)d.filters_room)[1] = MR_RULES_MOST;
	assert_int_equal(mr_filters_take(&d), -EINVAL);
}

/* Each of them lies in the one before as if it were equal to it, and no depth ends that. */
static void bits_behind_a_prefix_are_refused(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < DEEP; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.%u.%u.1", i / 256, i % 256);
		add(text);
		net[i].bits = 96;
	}
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	assert_int_equal(mr_filters_take(&d), -EINVAL);
}

static void ipv4_that_is_not_mapped_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	net[0].addr[0] = 1;
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	assert_int_equal(mr_filters_take(&d), -EINVAL);
}

static void an_id_that_is_another_rules_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	add("198.51.100.0/24");
	rule[1].lane.rule_id = rule[0].lane.rule_id;
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	assert_int_equal(mr_filters_take(&d), -EINVAL);
	rule[1].lane.rule_id = 0;
	assert_int_equal(mr_filters_lay(&d, &set), 0);
	assert_int_equal(mr_filters_take(&d), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_set_that_makes_sense_is_taken, set_up),
		cmocka_unit_test_setup(a_count_beyond_all_bounds_is_refused, set_up),
		cmocka_unit_test_setup(bits_behind_a_prefix_are_refused, set_up),
		cmocka_unit_test_setup(ipv4_that_is_not_mapped_is_refused, set_up),
		cmocka_unit_test_setup(an_id_that_is_another_rules_is_refused, set_up),
	};

	return cmocka_run_group_tests_name("filters", tests, NULL, NULL);
}
