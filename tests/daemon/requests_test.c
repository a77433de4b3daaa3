/* SPDX-License-Identifier: MIT */
/* What the parent reads of its child: requests of one size, a few at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/request.h"

static int parent, child;
static uint64_t served;

static int set_up(void **state)
{
	int pair[2];

	(void)state;
	served = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	parent = pair[0];
	child = pair[1];
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(parent);
	close(child);
	return 0;
}

/* In their order, none twice. */
static void serve(void *arg, struct mr_request *q)
{
	assert_ptr_equal(arg, &parent);
	assert_int_equal(q->cookie, served);
	served++;
}

static void a_child_that_never_stops_asking_is_read_in_turns(void **state)
{
	struct mr_request q = { .type = MR_REQUEST_KILL };
	uint64_t turns = 0;

	(void)state;
	while (q.cookie < 4 * MR_REQUESTS_A_TURN && send(child, &q, sizeof(q), 0) > 0)
		q.cookie++;
	assert_true(q.cookie > MR_REQUESTS_A_TURN);
	for (; served < q.cookie; turns++) {
		uint64_t before = served;

		assert_true(mr_requests_read(parent, serve, &parent));
		assert_in_range(served - before, 1, MR_REQUESTS_A_TURN);
	}
	assert_int_equal(turns, (q.cookie + MR_REQUESTS_A_TURN - 1) / MR_REQUESTS_A_TURN);
}

static void what_has_another_size_is_dropped(void **state)
{
	struct {
		struct mr_request q;
		char more;
	} long_one = { .q.cookie = 7 };
	struct mr_request q = { .cookie = 0 };

	(void)state;
	assert_true(send(child, &q, sizeof(q) - 1, 0) > 0);
	assert_true(send(child, &long_one, sizeof(long_one), 0) > 0);
	assert_true(send(child, &q, sizeof(q), 0) > 0);
	assert_true(mr_requests_read(parent, serve, &parent));
	assert_int_equal(served, 1);
}

static void the_end_of_the_child_is_told(void **state)
{
	(void)state;
	assert_true(mr_requests_read(parent, serve, &parent));
	shutdown(child, SHUT_RDWR);
	assert_false(mr_requests_read(parent, serve, &parent));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_child_that_never_stops_asking_is_read_in_turns,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_has_another_size_is_dropped, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_end_of_the_child_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
