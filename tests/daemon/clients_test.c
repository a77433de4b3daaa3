/* SPDX-License-Identifier: MIT */
/* Clients of the control API: what each may do, how many there may be, and how long they may take.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/clients.h"

enum {
	SECOND = 1000000000,
};

static const uint64_t NOW = 77ull * SECOND;
static struct mr_clients clients;

static int set_up(void **state)
{
	(void)state;
	mr_clients_init(&clients, getgid());
	return 0;
}

struct ends {
	int ours, theirs;
};

static struct ends over_unix(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	return (struct ends){ pair[0], pair[1] };
}

static struct ends over_loopback(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ends e = { .theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, bytes), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &bytes), 0);
	assert_int_equal(connect(e.theirs, (struct sockaddr *)&a, bytes), 0);
	e.ours = accept(listener, NULL, NULL);
	assert_true(e.ours >= 0);
	close(listener);
	return e;
}

static void end(struct ends e)
{
	close(e.ours);
	close(e.theirs);
}

/* The peer reads the end of the connection. */
static bool is_shut(struct ends e)
{
	char byte;

	return recv(e.theirs, &byte, 1, MSG_DONTWAIT) == 0;
}

static void a_member_of_the_group_writes(void **state)
{
	struct ends e = over_unix();
	struct mr_client *k = mr_client_add(&clients, e.ours, NOW);

	(void)state;
	assert_non_null(k);
	assert_true(k->writes);
	assert_int_equal(k->uid, getuid());
	end(e);
}

static void a_stranger_does_not_write(void **state)
{
	struct ends e = over_unix();
	struct mr_client *k;

	(void)state;
	mr_clients_init(&clients, getgid() + 1);
	k = mr_client_add(&clients, e.ours, NOW);
	assert_non_null(k);
	assert_int_equal(k->writes, getuid() == 0);
	end(e);
}

static void over_loopback_nobody_writes(void **state)
{
	struct ends e = over_loopback();
	struct mr_client *k = mr_client_add(&clients, e.ours, NOW);

	(void)state;
	assert_non_null(k);
	assert_false(k->writes);
	assert_int_not_equal(k->uid, 0);
	end(e);
}

static void others_leave_room_for_root(void **state)
{
	struct ends e[MR_CLIENTS_OTHERS + 1], root = over_unix();

	(void)state;
	for (int i = 0; i < MR_CLIENTS_OTHERS; i++) {
		e[i] = over_loopback();
		assert_non_null(mr_client_add(&clients, e[i].ours, NOW));
	}
	e[MR_CLIENTS_OTHERS] = over_loopback();
	assert_null(mr_client_add(&clients, e[MR_CLIENTS_OTHERS].ours, NOW));
	assert_true(is_shut(e[MR_CLIENTS_OTHERS]));
	if (getuid() == 0)
		assert_non_null(mr_client_add(&clients, root.ours, NOW));
	mr_client_remove(&clients.list[0]);
	end(e[MR_CLIENTS_OTHERS]);
	e[MR_CLIENTS_OTHERS] = over_loopback();
	assert_non_null(mr_client_add(&clients, e[MR_CLIENTS_OTHERS].ours, NOW));
	for (int i = 0; i <= MR_CLIENTS_OTHERS; i++)
		end(e[i]);
	end(root);
}

static void nobody_is_let_in_beyond_the_table(void **state)
{
	struct ends e[MR_CLIENTS_MOST + 1];

	(void)state;
	if (getuid() != 0)
		skip(); /* only root's connections may fill it */
	for (int i = 0; i <= MR_CLIENTS_MOST; i++) {
		e[i] = over_unix();
		assert_int_equal(mr_client_add(&clients, e[i].ours, NOW) != NULL,
				 i < MR_CLIENTS_MOST);
	}
	assert_true(is_shut(e[MR_CLIENTS_MOST]));
	for (int i = 0; i <= MR_CLIENTS_MOST; i++)
		end(e[i]);
}

static void who_does_not_finish_a_request_loses_the_connection(void **state)
{
	struct ends e = over_unix();
	uint64_t late = NOW + (uint64_t)MR_CLIENT_REQUEST_S * SECOND;

	(void)state;
	assert_non_null(mr_client_add(&clients, e.ours, NOW));
	mr_clients_tick(&clients, late - 1);
	assert_false(is_shut(e));
	mr_clients_tick(&clients, late);
	assert_true(is_shut(e));
	end(e);
}

static void an_answer_may_take_longer_and_the_next_request_may_not(void **state)
{
	struct ends e = over_unix();
	struct mr_client *k = mr_client_add(&clients, e.ours, NOW);
	uint64_t later = NOW + 100ull * SECOND;

	(void)state;
	assert_non_null(k);
	mr_client_asked(k);
	mr_clients_tick(&clients, later);
	assert_false(is_shut(e));
	mr_client_answered(k, later);
	mr_clients_tick(&clients, later + 1);
	assert_false(is_shut(e));
	mr_clients_tick(&clients, later + (uint64_t)MR_CLIENT_REQUEST_S * SECOND);
	assert_true(is_shut(e));
	end(e);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_member_of_the_group_writes, set_up),
		cmocka_unit_test_setup(a_stranger_does_not_write, set_up),
		cmocka_unit_test_setup(over_loopback_nobody_writes, set_up),
		cmocka_unit_test_setup(others_leave_room_for_root, set_up),
		cmocka_unit_test_setup(nobody_is_let_in_beyond_the_table, set_up),
		cmocka_unit_test_setup(who_does_not_finish_a_request_loses_the_connection, set_up),
		cmocka_unit_test_setup(an_answer_may_take_longer_and_the_next_request_may_not,
				       set_up),
	};

	return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
