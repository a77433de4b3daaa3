/* SPDX-License-Identifier: MIT */
/* Rules of POST /v1/rules: what is wrong with one is said by its name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/json_rule_read.h"

static char words[MR_CONFIG_ERROR_BYTES];

static const char *refused(const char *text)
{
	struct mr_settings s = { 0 };
	struct mr_settings_rule r;
	json_t *o = json_loads(text, 0, NULL);

	assert_non_null(o);
	assert_int_equal(mr_json_rule_read(&s, o, &r, words), -EINVAL);
	json_decref(o);
	return words;
}

static void a_port_is_named_with_its_rule(void **state)
{
	(void)state;
	assert_string_equal(refused("{\"name\": \"telemetry\", \"action\": \"steer\", "
				    "\"app\": \"echo\", \"port\": -1}"),
			    "rule telemetry: port: \"-1\" is not a number; give a port, or a range "
			    "as 8000-8010");
	assert_string_equal(refused("{\"name\": \"telemetry\", \"action\": \"steer\", "
				    "\"app\": \"echo\", \"port\": 65536}"),
			    "rule telemetry: port: 65536 is out of range; give 1 to 65535");
}

static void so_are_numbers_and_words(void **state)
{
	(void)state;
	assert_non_null(strstr(refused("{\"name\": \"one\", \"action\": \"steer\", \"port\": 7, "
				       "\"app\": \"echo\", \"ttl\": 256}"),
			       "rule one: ttl"));
	assert_non_null(
		strstr(refused("{\"name\": \"one\", \"action\": \"jump\"}"), "rule one: action"));
}

static void the_files_own_words_stay(void **state)
{
	(void)state;
	assert_string_equal(refused("{\"name\": \"one\", \"action\": \"steer\", "
				    "\"app\": \"echo\"}"),
			    "rule one: key \"port\" is missing; add it");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_is_named_with_its_rule),
		cmocka_unit_test(so_are_numbers_and_words),
		cmocka_unit_test(the_files_own_words_stay),
	};

	return cmocka_run_group_tests_name("json_rule", tests, NULL, NULL);
}
