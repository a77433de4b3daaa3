/* SPDX-License-Identifier: MIT */
/* Bodies of POST /v1/rules: how much of them the daemon takes in, whoever sends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/api.h"
#include "user/daemon/changes.h"

enum {
	PIECE = 32768,
	MIB = 1 << 20,
};

static struct mr_child c;
static unsigned int answered;

/* Instead of a connection. */
enum MHD_Result __wrap_mr_api_reply(struct MHD_Connection *http, unsigned int status, json_t *o);

enum MHD_Result __wrap_mr_api_reply(struct MHD_Connection *http, unsigned int status, json_t *o)
{
	(void)http;
	json_decref(o);
	answered = status;
	return MHD_YES;
}

/* A request that has sent so much of its body. */
static void *request_with(uint64_t bytes)
{
	static const char piece[PIECE];
	void *state = NULL;
	size_t none = 0;

	assert_int_equal(mr_change_serve(&c, NULL, NULL, &none, &state), MHD_YES);
	for (uint64_t at = 0; at < bytes; at += PIECE) {
		size_t n = PIECE;

		assert_int_equal(mr_change_serve(&c, NULL, piece, &n, &state), MHD_YES);
		assert_int_equal(n, 0);
	}
	return state;
}

/* The status with which it is answered when its body is whole. */
static unsigned int end(void *state)
{
	size_t none = 0;

	answered = 0;
	assert_int_equal(mr_change_serve(&c, NULL, NULL, &none, &state), MHD_YES);
	mr_change_completed(&c, state);
	return answered;
}

static void a_body_beyond_its_bound_is_read_past(void **state)
{
	(void)state;
	assert_int_equal(end(request_with(65 * MIB)), 413);
}

static void all_bodies_share_a_bound(void **state)
{
	void *one = request_with(40 * MIB), *two = request_with(40 * MIB);

	(void)state;
	assert_int_equal(end(request_with(40 * MIB)), 503);
	assert_int_equal(end(request_with(PIECE)), 400); /* small ones fit: this is no JSON */
	assert_int_equal(end(one), 400);
	assert_int_equal(end(request_with(40 * MIB)), 400);
	mr_change_completed(&c, two);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_beyond_its_bound_is_read_past),
		cmocka_unit_test(all_bodies_share_a_bound),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
