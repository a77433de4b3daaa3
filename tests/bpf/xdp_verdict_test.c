/* SPDX-License-Identifier: MIT */
/*
 * The verdicts of the XDP program, include/shared/mr_verdict.h, in both of its sections: what a
 * frame gets, that exactly one counter rises by one, and that the action is the table's.
 */
#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

#include <stdio.h>

/* Once all the others ran: nothing in the table is untested. */
static void table_every_verdict_was_given(void **state)
{
	int missing = 0;

	(void)state;
	for (int v = 0; v < MR_VERDICT_COUNT; v++) {
		if (verdict_hits(v))
			continue;
		print_error("never given: %s\n", verdict_name(v));
		/* TEST_RUN shows no program less than an Ethernet header, except in pieces. */
		missing += v != MR_V_ETH_SHORT || can_run_in_pieces();
	}
	assert_int_equal(missing, 0);
}

int main(void)
{
	const struct CMUnitTest last[] = { cmocka_unit_test(table_every_verdict_was_given) };
	static const struct {
		const char *name;
		int (*run)(const char *name);
	} groups[] = {
		{ "headers", run_parse_cases }, { "ICMP errors", run_icmp_cases },
		{ "rules", run_rule_cases },	{ "lanes", run_lane_cases },
		{ "captures", run_tap_cases },	{ "guard", run_guard_cases },
	};
	int failed = 0;

	fixture_open();
	for (unsigned int s = 0; s < N_SECTIONS; s++) {
		use_section(s);
		for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
			char name[64];

			snprintf(name, sizeof(name), "%s: %s", section_names[s], groups[i].name);
			failed += groups[i].run(name);
		}
	}
	failed += run_buffer_cases("xdp.frags: buffers");
	failed += cmocka_run_group_tests_name("table", last, NULL, NULL);
	fixture_close();
	return failed != 0;
}
