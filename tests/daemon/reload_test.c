/* SPDX-License-Identifier: MIT */
/* Which settings of a file that is read again are named, because they need a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/reload.h"

static struct mr_settings_interface one[1], two[1];
static struct mr_settings now, file;
static char words[MR_RELOAD_WORDS];

static int set_up(void **state)
{
	(void)state;
	memset(one, 0, sizeof(one));
	strcpy(one[0].name, "eth0");
	memcpy(two, one, sizeof(two));
	now = (struct mr_settings){ .interfaces = one, .n_interfaces = 1, .user = "nobody" };
	file = (struct mr_settings){ .interfaces = two, .n_interfaces = 1, .user = "nobody" };
	return 0;
}

static const char *differences(void)
{
	mr_reload_differences(&now, &file, words);
	return words;
}

static void nothing_differs(void **state)
{
	(void)state;
	assert_string_equal(differences(), "");
}

static void rules_and_guard_are_no_difference(void **state)
{
	struct mr_settings_rule rule = { 0 };

	(void)state;
	file.rules = &rule;
	file.n_rules = 1;
	file.mode = MR_MODE_BYPASS;
	file.rules_in_file = 7;
	file.guard.limits.n_limits = 1;
	file.tcp.open.syn_calm_s = 9;
	file.tcp.cc = 1;
	file.tcp.ecn = 1;
	assert_string_equal(differences(), "");
}

static void each_is_named(void **state)
{
	uint32_t cpus[] = { 0, 1 };

	(void)state;
	two[0].force = true;
	file.user = "daemon";
	file.http = "127.0.0.1:80";
	file.lanes.cpus = cpus;
	file.lanes.n_cpus = 2;
	file.lanes.port_hi = 5;
	file.grace_ms = 1;
	file.tcp.open.source_half_open = 1;
	assert_string_equal(differences(), "interfaces, user, http, lanes.cpus, lanes.ports, "
					   "heartbeat.grace_ms, tcp.per_source.half_open");
}

static void all_of_them_fit(void **state)
{
	(void)state;
	memset(&file.lanes, 0xff, sizeof(file.lanes));
	file.lanes.capture_directory = "/x";
	file.lanes.cpus = NULL;
	file.lanes.n_cpus = 0;
	memset(&file.tcp, 0xff, sizeof(file.tcp));
	file.stale_ms = file.grace_ms = 1;
	file.n_interfaces = 0;
	file.user = file.run_directory = file.pin_directory = file.http = "/x";
	assert_true(strlen(differences()) < MR_RELOAD_WORDS - 1);
	assert_non_null(strstr(words, ", tcp.per_source.half_open"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_differs, set_up),
		cmocka_unit_test_setup(rules_and_guard_are_no_difference, set_up),
		cmocka_unit_test_setup(each_is_named, set_up),
		cmocka_unit_test_setup(all_of_them_fit, set_up),
	};

	return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
