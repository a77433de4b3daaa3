/* SPDX-License-Identifier: MIT */
/* What the parent believes of rules that its child, perhaps an intruder, has laid, and their
 * numbers. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/ruleset.h"

enum {
	DEEP = 400, /* more prefixes in one another than an address has bits */
};

static struct mr_daemon d;
static struct mr_settings_rule rule[DEEP];
static struct mr_net net[DEEP];
static struct mr_ruleset set;

static int set_up(void **state)
{
	(void)state;
	memset(&d, 0, sizeof(d));
	memset(rule, 0, sizeof(rule));
	set = (struct mr_ruleset){ .list = rule };
	return mr_ruleset_room(&d);
}

static int take(bool whole)
{
	struct mr_ruleset f;
	int err = mr_ruleset_take(d.rules_room, &d.settings, whole, &f);

	if (!err) {
		assert_int_equal(f.n, set.n);
		mr_ruleset_free(&f);
	}
	assert_null(f.list);
	return err;
}

static void lay(void)
{
	assert_int_equal(mr_ruleset_lay(d.rules_room, &d.settings, &set), 0);
}

static void takes(bool whole)
{
	lay();
	assert_int_equal(take(whole), 0);
}

static void refuses(bool whole)
{
	lay();
	assert_int_equal(take(whole), -EINVAL);
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
	r->lane.rule_id = (uint16_t)set.n;
	snprintf(r->lane.name, sizeof(r->lane.name), "r%u", set.n++);
}

static struct mr_settings_rule *add_steering(const char *name, const char *app, uint16_t port)
{
	struct mr_settings_rule *r = &rule[set.n];

	r->action = MR_ACTION_STEER;
	r->match = (struct mr_match){ .priority = MR_PRIORITY_STEER,
				      .protocol = IPPROTO_TCP,
				      .port_lo = port,
				      .port_hi = port,
				      .vlan = (uint32_t)MR_VLAN_ANY };
	r->lane = (struct mr_lane_rule){
		.ttl = 64,
		.backlog = 128,
		.directory = -1,
		.rule_id = (uint16_t)set.n,
		.tlv = { .tag_bytes = 2, .length_bytes = 4, .max_bytes = 1 << 20 }
	};
	snprintf(r->lane.name, sizeof(r->lane.name), "%s", name);
	snprintf(r->lane.app, sizeof(r->lane.app), "%s", app);
	set.n++;
	return r;
}

static void a_set_that_makes_sense_is_taken(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	add("2001:db8::/32");
	add_steering("echo", "echo", 7000);
	takes(false);
	takes(true);
}

static void a_count_beyond_all_bounds_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	lay();
	*(volatile uint32_t *)&d.rules_room->n = UINT32_MAX;
	assert_int_equal(take(false), -EINVAL);
	*(volatile uint32_t *)&d.rules_room->n = MR_RULES_MOST + 1;
	assert_int_equal(take(false), -EINVAL);
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
	refuses(false);
}

static void ipv4_that_is_not_mapped_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	net[0].addr[0] = 1;
	refuses(false);
}

/* Of a whole set; else numbers are the parent's to give. */
static void a_number_that_is_another_rules_is_refused(void **state)
{
	(void)state;
	add("192.0.2.0/24");
	add("198.51.100.0/24");
	rule[1].lane.rule_id = rule[0].lane.rule_id;
	refuses(true);
	takes(false);
	rule[1].lane.rule_id = MR_RULES_MOST;
	refuses(true);
}

/* Each changes the one good rule that steers into something that no file could say. */
static void impossible_steering_is_refused(void **state)
{
	struct mr_settings_rule good;

	(void)state;
	add_steering("echo", "echo", 7000);
	good = rule[0];
#define REFUSES(change)                                                                            \
	do {                                                                                       \
		rule[0] = good;                                                                    \
		rule[0].change;                                                                    \
		refuses(false);                                                                    \
	} while (0)
	REFUSES(lane.app[0] = 'x');
	REFUSES(lane.ttl = 0);
	REFUSES(lane.dscp = 64);
	REFUSES(lane.cc = 200);
	REFUSES(lane.ecn = 200);
	REFUSES(lane.backlog = 0);
	REFUSES(lane.directory = MR_MAX_DIRECTORIES);
	REFUSES(lane.directory = 0); /* the configuration has none */
	REFUSES(lane.tlv.tag_bytes = 3);
	REFUSES(lane.tlv.check = 2);
	REFUSES(match.protocol = IPPROTO_UDP);
	REFUSES(match.port_lo = 0);
	REFUSES(match.port_hi = 6999);
	REFUSES(match.priority = MR_PRIORITY_MOST + 1);
	REFUSES(fallback = (enum mr_rule_fallback)2);
	REFUSES(action = (enum mr_rule_action)MR_ACTION_KEEP);
#undef REFUSES
	memset(good.lane.name, 'x', sizeof(good.lane.name));
	rule[0] = good;
	refuses(false);
}

/* The rules of @set with numbers, and the live ones of them anew, which the caller changes. */
static void begin_anew(struct mr_ruleset *now, struct mr_ruleset *next)
{
	*now = *next = (struct mr_ruleset){ 0 };
	for (unsigned int i = 0; i < set.n; i++) {
		assert_int_equal(mr_ruleset_add(now, &set.list[i]), 0);
		assert_int_equal(mr_ruleset_add(next, &set.list[i]), 0);
	}
}

static void a_rule_keeps_its_number_while_it_serves_alike(void **state)
{
	struct mr_ruleset now, next;

	(void)state;
	add_steering("a", "echo", 7000);
	add_steering("b", "echo", 7001);
	add_steering("c", "echo", 7002);
	begin_anew(&now, &next);
	next.list[0].lane.backlog = 9; /* of new connections alone */
	snprintf(next.list[1].lane.app, MR_APP_NAME_BYTES, "sink");
	next.list[2].match.port_hi = 7003; /* other frames */
	assert_int_equal(mr_ruleset_number(&next, &now), 0);
	assert_int_equal(next.n, 5);
	assert_int_equal(next.list[0].lane.rule_id, 0);
	assert_int_equal(next.list[1].lane.rule_id, 3);
	assert_int_equal(next.list[2].lane.rule_id, 4);
	for (unsigned int i = 3; i < 5; i++) {
		assert_int_equal(next.list[i].lane.rule_id, i - 2);
		assert_int_equal(next.list[i].lane.state, MR_RULE_LEAVING);
		assert_int_equal(next.list[i].match.priority, MR_PRIORITY_LEAVING);
	}
	mr_ruleset_free(&now);
	mr_ruleset_free(&next);
}

static void a_number_is_free_when_its_rule_is_forgotten(void **state)
{
	struct mr_ruleset now, next;

	(void)state;
	add_steering("a", "echo", 7000);
	begin_anew(&now, &next);
	mr_rule_leave(&now.list[0]);
	snprintf(next.list[0].lane.name, MR_RULE_NAME_BYTES, "other");
	assert_int_equal(mr_ruleset_number(&next, &now), 0);
	assert_int_equal(next.list[0].lane.rule_id, 1);
	assert_int_equal(next.n, 2);
	mr_ruleset_free(&next);
	assert_int_equal(mr_ruleset_add(&next, &set.list[0]), 0);
	now.n = 0;
	assert_int_equal(mr_ruleset_number(&next, &now), 0);
	assert_int_equal(next.list[0].lane.rule_id, 0);
	mr_ruleset_free(&next);
	now.n = 1;
	mr_ruleset_free(&now);
}

static void settings_have_rules_by_number(void **state)
{
	struct mr_settings s = { 0 };
	struct mr_ruleset f, back;

	(void)state;
	add_steering("a", "echo", 7000)->lane.rule_id = 2;
	add("192.0.2.0/24");
	rule[1].lane.rule_id = 9;
	begin_anew(&f, &back);
	mr_ruleset_free(&back);
	assert_int_equal(mr_ruleset_install(&s, &f), 0);
	assert_int_equal(s.n_rules, 3);
	assert_int_equal(s.n_filters, 1);
	assert_int_equal(mr_rules_live(&s), 1);
	assert_int_equal(s.rules[0].lane.state, MR_RULE_FREE);
	assert_int_equal(s.rules[2].lane.port, 0);
	assert_string_equal(s.rules[2].lane.name, "a");
	assert_int_equal(mr_ruleset_copy(&back, &s, true), 0);
	assert_int_equal(back.n, 2);
	mr_ruleset_free(&back);
	mr_settings_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_set_that_makes_sense_is_taken, set_up),
		cmocka_unit_test_setup(a_count_beyond_all_bounds_is_refused, set_up),
		cmocka_unit_test_setup(bits_behind_a_prefix_are_refused, set_up),
		cmocka_unit_test_setup(ipv4_that_is_not_mapped_is_refused, set_up),
		cmocka_unit_test_setup(a_number_that_is_another_rules_is_refused, set_up),
		cmocka_unit_test_setup(impossible_steering_is_refused, set_up),
		cmocka_unit_test_setup(a_rule_keeps_its_number_while_it_serves_alike, set_up),
		cmocka_unit_test_setup(a_number_is_free_when_its_rule_is_forgotten, set_up),
		cmocka_unit_test_setup(settings_have_rules_by_number, set_up),
	};

	return cmocka_run_group_tests_name("ruleset", tests, NULL, NULL);
}
