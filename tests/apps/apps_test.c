/* SPDX-License-Identifier: MIT */
/* docs/apps.md: echo, sink, echo-bytes, discard-bytes, source-bytes, and the table of all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/apps/fake_host.h"
#include "user/apps/apps.h"
#include "user/apps/pattern.h"

static void builtin_table_names_every_app_of_the_contract(void **state)
{
	static const struct {
		const char *name;
		bool messages;
	} want[] = {
		{ "echo", true },	 { "sink", true },	     { "store", true },
		{ "echo-bytes", false }, { "discard-bytes", false }, { "source-bytes", false },
		{ "drill", false },
	};
	const struct mr_app *const *apps;
	unsigned int n, i;

	(void)state;
	apps = mr_builtin_apps(&n);
	assert_int_equal(n, sizeof(want) / sizeof(want[0]));
	for (i = 0; i < n; i++) {
		assert_string_equal(apps[i]->name, want[i].name);
		assert_int_equal(apps[i]->messages, want[i].messages);
		assert_true(want[i].messages ? !!apps[i]->message : !!apps[i]->bytes);
	}
}

static void echo_message_is_answered_with_same_tag_and_value(void **state)
{
	static const uint8_t want[] = { 0x12, 0x34, 0, 0, 0, 3, 'a', 'b', 'c' };
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_echo);
	c = fake_open(&h);
	assert_int_equal(fake_message(&h, c, 0x1234, "abc", 3), MR_APP_DONE);
	assert_int_equal(fake_conn(&h, c)->out_bytes, sizeof(want));
	assert_memory_equal(fake_conn(&h, c)->out, want, sizeof(want));
	fake_host_fini(&h);
}

static void echo_message_without_room_is_left_and_answered_later(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_echo);
	h.room = 8;
	c = fake_open(&h);
	assert_int_equal(fake_message(&h, c, 1, "abc", 3), MR_APP_AGAIN);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 0);
	fake_make_room(&h, c, 1);
	assert_int_equal(fake_message(&h, c, 1, "abc", 3), MR_APP_DONE);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 9);
	fake_host_fini(&h);
}

static void echo_message_that_never_fits_aborts(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_echo);
	c = fake_open(&h);
	h.send_message_error = -EMSGSIZE;
	assert_int_equal(fake_message(&h, c, 1, "abc", 3), MR_APP_CLOSED);
	assert_int_equal(fake_end(&h, c), FAKE_ABORTED);
	assert_int_equal(fake_conn(&h, c)->n_closed, 1);
	fake_host_fini(&h);
}

static void sink_message_is_consumed_without_answer(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_sink);
	c = fake_open(&h);
	assert_int_equal(fake_message(&h, c, 1, "abc", 3), MR_APP_DONE);
	assert_int_equal(fake_message(&h, c, 0, "", 0), MR_APP_DONE);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 0);
	assert_int_equal(fake_end(&h, c), FAKE_ALIVE);
	fake_host_fini(&h);
}

static void echo_bytes_without_room_leaves_the_rest_and_goes_on(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_echo_bytes);
	h.room = 4;
	c = fake_open(&h);
	fake_receive(&h, c, "0123456789", 10);
	assert_int_equal(fake_conn(&h, c)->in_bytes, 6);
	fake_fin(&h, c);
	assert_int_equal(fake_end(&h, c), FAKE_ALIVE);
	fake_make_room(&h, c, 3);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 7);
	assert_int_equal(fake_end(&h, c), FAKE_ALIVE);
	fake_make_room(&h, c, 100);
	assert_int_equal(fake_end(&h, c), FAKE_CLOSED);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 10);
	assert_memory_equal(fake_conn(&h, c)->out, "0123456789", 10);
	fake_host_fini(&h);
}

static void discard_bytes_consumes_until_the_peer_closes(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_discard_bytes);
	c = fake_open(&h);
	fake_receive(&h, c, "0123456789", 10);
	assert_int_equal(fake_conn(&h, c)->in_bytes, 0);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 0);
	fake_fin(&h, c);
	assert_int_equal(fake_end(&h, c), FAKE_CLOSED);
	fake_host_fini(&h);
}

static void pattern_bytes_are_the_formula(void **state)
{
	static const uint8_t first[] = { 0x00, 0xbb, 0x77, 0x33, 0xef, 0xab, 0x66, 0x22,
					 0xde, 0x9a, 0x56, 0x11, 0xcd, 0x89, 0x45, 0x01 };
	uint8_t out[64];
	uint64_t from;
	size_t i;

	(void)state;
	mr_pattern_fill(out, sizeof(first), 0);
	assert_memory_equal(out, first, sizeof(first));
	for (from = 0; from < UINT64_C(1) << 40; from = from * 3 + 1) {
		mr_pattern_fill(out, sizeof(out), from);
		for (i = 0; i < sizeof(out); i++) {
			uint64_t n = from + i;

			assert_int_equal(out[i], ((n * 2654435761u) >> 13) & 255);
		}
	}
}

static void source_bytes_fills_all_room_with_one_pattern(void **state)
{
	uint8_t want[1234];
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	mr_pattern_fill(want, sizeof(want), 0);
	fake_host_init(&h, &mr_app_source_bytes);
	h.room = 234;
	c = fake_open(&h);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 234);
	fake_receive(&h, c, "who is there?", 13);
	assert_int_equal(fake_conn(&h, c)->in_bytes, 0);
	fake_make_room(&h, c, 1);
	fake_make_room(&h, c, 999);
	assert_int_equal(fake_conn(&h, c)->out_bytes, sizeof(want));
	assert_memory_equal(fake_conn(&h, c)->out, want, sizeof(want));
	fake_host_fini(&h);
}

static void source_bytes_peer_fin_closes(void **state)
{
	struct mr_host h;
	mr_conn_id c;

	(void)state;
	fake_host_init(&h, &mr_app_source_bytes);
	h.room = 10;
	c = fake_open(&h);
	fake_fin(&h, c);
	assert_int_equal(fake_end(&h, c), FAKE_CLOSED);
	assert_int_equal(fake_conn(&h, c)->out_bytes, 10);
	fake_host_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builtin_table_names_every_app_of_the_contract),
		cmocka_unit_test(echo_message_is_answered_with_same_tag_and_value),
		cmocka_unit_test(echo_message_without_room_is_left_and_answered_later),
		cmocka_unit_test(echo_message_that_never_fits_aborts),
		cmocka_unit_test(sink_message_is_consumed_without_answer),
		cmocka_unit_test(echo_bytes_without_room_leaves_the_rest_and_goes_on),
		cmocka_unit_test(discard_bytes_consumes_until_the_peer_closes),
		cmocka_unit_test(pattern_bytes_are_the_formula),
		cmocka_unit_test(source_bytes_fills_all_room_with_one_pattern),
		cmocka_unit_test(source_bytes_peer_fin_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
