/* SPDX-License-Identifier: MIT */
/* user/nft: nftables rules as libnftables' JSON says them (libnftables-json(5)). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "user/nft/ruleset.h"

#define CHAIN                                                                                      \
	"{'chain': {'family': 'inet', 'table': 't', 'name': 'in', 'handle': 1, 'type': "           \
	"'filter', 'hook': 'input', 'prio': 0, 'policy': 'accept'}},"
#define SET                                                                                        \
	"{'set': {'family': 'inet', 'table': 't', 'name': 'p', 'elem': [22, {'range': [80, "       \
	"90]}]}},"
#define DPORT	 "'left': {'payload': {'protocol': 'tcp', 'field': 'dport'}}"
#define SADDR	 "'left': {'payload': {'protocol': 'ip', 'field': 'saddr'}}"
#define DROP	 "{'drop': null}"
#define PORT(n)	 ((struct mr_nft_ports){ n, n })
#define MATCH(x) "{'match': {'op': '==', " x "}},"

static struct mr_nft_ruleset set;

/* One rule of the chain, by its statements in JSON with ' for ". */
static const struct mr_nft_rule *parse_in(const char *chain, const char *expr)
{
	char text[4096];
	json_t *o;

	snprintf(text, sizeof(text),
		 "{'nftables': [" CHAIN SET
		 "{'chain': {'family': 'inet', 'table': 't', 'name': 'out', 'hook': 'output'}},"
		 "{'rule': {'family': 'inet', 'table': 't', 'chain': '%s', 'handle': 7, "
		 "'comment': 'words', 'expr': [%s]}}]}",
		 chain, expr);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	mr_nft_free(&set);
	assert_int_equal(mr_nft_parse(o, &set), 0);
	json_decref(o);
	return set.n ? &set.rule[0] : NULL;
}

static const struct mr_nft_rule *parse(const char *expr)
{
	const struct mr_nft_rule *r = parse_in("in", expr);

	assert_non_null(r);
	return r;
}

static void drop_of_a_prefix_and_ports_is_expressed(void **state)
{
	const struct mr_nft_rule *r = parse(
		MATCH(SADDR ", 'right': {'prefix': {'addr': '192.0.2.0', 'len': 24}}")
			MATCH(DPORT ", 'right': {'set': [80, {'range': [7000, 7005]}]}") DROP);

	(void)state;
	assert_string_equal(r->place, "inet t in handle 7");
	assert_string_equal(r->comment, "words");
	assert_string_equal(r->why, "");
	assert_int_equal(r->verdict, MR_NFT_DROP);
	assert_int_equal(r->n_source, 1);
	assert_string_equal(r->source[0], "192.0.2.0/24");
	assert_int_equal(r->n_ports, 2);
	assert_int_equal(r->port[1].lo, 7000);
	assert_int_equal(r->port[1].hi, 7005);
	assert_true(mr_nft_concerns(r, PORT(7005)));
	assert_false(mr_nft_concerns(r, PORT(7006)));
	assert_true(mr_nft_concerns(r, ((struct mr_nft_ports){ 7005, 7100 })));
	assert_true(mr_nft_concerns(r, ((struct mr_nft_ports){ 6000, 9000 })));
	assert_false(mr_nft_concerns(r, ((struct mr_nft_ports){ 81, 6999 })));
}

static void named_set_is_looked_up(void **state)
{
	const struct mr_nft_rule *r = parse(MATCH(DPORT ", 'right': '@p'") "{'accept': null}");

	(void)state;
	assert_string_equal(r->why, "");
	assert_int_equal(r->n_ports, 2);
	assert_true(mr_nft_has_ports(r, PORT(85)));
	r = parse(MATCH(DPORT ", 'right': '@none'") "{'accept': null}");
	assert_string_not_equal(r->why, "");
	assert_true(mr_nft_concerns(r, PORT(85))); /* what cannot be read may be any port */
}

static void what_cannot_be_expressed_has_a_reason(void **state)
{
	static const char *const cases[][2] = {
		{ MATCH("'left': {'ct': {'key': 'state'}}, 'right': 'new'") "{'drop': null}",
		  "connection tracking" },
		{ "{'limit': {'rate': 5}}, {'accept': null}", "it has limit" },
		{ "{'jump': {'target': 'x'}}", "it has jump" },
		{ "{'counter': {}}", "neither accepts nor drops" },
		{ "{'match': {'op': '!=', " DPORT ", 'right': 5}}, {'drop': null}", "not so" },
		{ MATCH("'left': {'meta': {'key': 'mark'}}, 'right': 5") "{'drop': null}",
		  "meta mark" },
		{ MATCH(SADDR ", 'right': {'range': ['192.0.2.1', '192.0.2.9']}") "{'drop': null}",
		  "range of addresses" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_non_null(strstr(parse(cases[i][0])->why, cases[i][1]));
}

static void rules_of_other_protocols_and_ways_do_not_concern(void **state)
{
	const struct mr_nft_rule *r =
		parse(MATCH("'left': {'payload': {'protocol': 'udp', 'field': 'dport'}}, "
			    "'right': 7000") "{'drop': null}");

	(void)state;
	assert_false(mr_nft_concerns(r, PORT(7000)));
	assert_null(parse_in("out", "{'drop': null}"));
	r = parse("{'accept': null}");
	assert_false(mr_nft_concerns(r, PORT(7000)));
	r = parse("{'drop': null}");
	assert_true(mr_nft_concerns(r, PORT(7000)));
}

/* Whatever stands where: nothing but what is well-formed is taken. */
static void malformed_answers_do_no_harm(void **state)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"5",
		"{\"nftables\": 5}",
		"{\"nftables\": [5, {}, {\"rule\": 7}]}",
		"{\"nftables\": [{\"rule\": {\"expr\": {}}}, {\"chain\": []}]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *o = json_loads(cases[i], JSON_DECODE_ANY, NULL);
		struct mr_nft_ruleset s;

		assert_non_null(o);
		assert_int_equal(mr_nft_parse(o, &s), 0);
		assert_int_equal(s.n, 0);
		mr_nft_free(&s);
		json_decref(o);
	}
	parse("{'match': 5}, {'match': {'op': '==', 'left': 7}}, 8, {}, {'drop': null}");
	parse(MATCH(DPORT ", 'right': {'range': [9]}") MATCH(SADDR ", 'right': 5") "{'drop': 1}");
	parse(MATCH(DPORT ", 'right': {'set': [{'elem': {'val': 70000}}]}") "{'drop': null}");
}

/* As GET /v1/rules has them. */
static void only_what_steers_has_ports(void **state)
{
	static const struct {
		const char *rule;
		struct mr_nft_ports ports; /* 0: none */
	} cases[] = {
		{ "{'action': 'steer', 'port': 7000}", { 7000, 7000 } },
		{ "{'action': 'steer', 'port': '7000-7010'}", { 7000, 7010 } },
		{ "{'port': 65535}", { 65535, 65535 } },
		{ "{'action': 'drop', 'port': 7000}", { 0, 0 } },
		{ "{'action': 'pass', 'port': '7000-7010'}", { 0, 0 } },
		{ "{'action': 'steer', 'port': 'any'}", { 0, 0 } },
		{ "{'action': 'steer', 'port': '9-8'}", { 0, 0 } },
		{ "{'action': 'steer', 'port': '1-70000'}", { 0, 0 } },
		{ "{'action': 'steer', 'port': 65536}", { 0, 0 } },
		{ "{'action': 'steer'}", { 0, 0 } },
		{ "5", { 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mr_nft_ports ports = { 0, 0 };
		char text[128];
		json_t *o;

		snprintf(text, sizeof(text), "%s", cases[i].rule);
		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		o = json_loads(text, JSON_DECODE_ANY, NULL);
		assert_non_null(o);
		assert_int_equal(mr_nft_steered(o, &ports), cases[i].ports.hi != 0);
		if (cases[i].ports.hi)
			assert_memory_equal(&ports, &cases[i].ports, sizeof(ports));
		json_decref(o);
	}
}

static int forget(void **state)
{
	(void)state;
	mr_nft_free(&set);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_of_a_prefix_and_ports_is_expressed),
		cmocka_unit_test(named_set_is_looked_up),
		cmocka_unit_test(what_cannot_be_expressed_has_a_reason),
		cmocka_unit_test(rules_of_other_protocols_and_ways_do_not_concern),
		cmocka_unit_test(malformed_answers_do_no_harm),
		cmocka_unit_test(only_what_steers_has_ports),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
