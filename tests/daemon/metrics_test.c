/* SPDX-License-Identifier: MIT */
/* /metrics when names have characters that mean something there: label values are escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/control.h"
#include "user/daemon/api.h"

static char *metrics(const char *interface, const char *rule)
{
	static struct control k;
	size_t bytes = 0;
	char *text;

	control_init(&k);
	snprintf(k.interface.name, sizeof(k.interface.name), "%s", interface);
	snprintf(k.rules[0].lane.name, sizeof(k.rules[0].lane.name), "%s", rule);
	text = mr_metrics_text(&k.c, &bytes);
	assert_non_null(text);
	assert_int_equal(strlen(text), bytes);
	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		mr_arena_unmap(&k.arena[i]);
	return text;
}

static void plain_names_stand_as_they_are(void **state)
{
	char *text = metrics("eth0", "echo");

	(void)state;
	assert_non_null(strstr(text, "\nmillrace_interface_info{interface=\"eth0\","));
	assert_non_null(
		strstr(text, "\nmillrace_lane_restarts_total{interface=\"eth0\",queue=\"1\"} 0\n"));
	assert_non_null(strstr(text, "\nmillrace_rule_packets_total{rule=\"echo\",port=\""));
	free(text);
}

static void quotes_and_backslashes_are_escaped(void **state)
{
	char *text = metrics("a\"b\\c", "r\"1");

	(void)state;
	assert_non_null(strstr(text, "\nmillrace_interface_info{interface=\"a\\\"b\\\\c\","));
	assert_non_null(strstr(
		text,
		"\nmillrace_lane_frames{interface=\"a\\\"b\\\\c\",queue=\"0\",state=\"free\"}"));
	assert_non_null(strstr(text, "\nmillrace_rule_packets_total{rule=\"r\\\"1\",port=\""));
	assert_null(strstr(text, "a\"b"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_names_stand_as_they_are),
		cmocka_unit_test(quotes_and_backslashes_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
