/* SPDX-License-Identifier: MIT */
#include "tests/api/world.h"

#include <stdio.h>
#include <time.h>
#include <arpa/inet.h>

enum { ROWS_MAX = 64, WORLD_PORT = 7000 };

static const char *const backends[] = { "kernel", "wire", "lane" };

bool is_kernel(const struct world *w)
{
	return !strcmp(w->backend, "kernel");
}

static void open_world(struct world *w, const char *backend)
{
	char why[200] = "";

	*w = (struct world){ .backend = backend, .address.sin_family = AF_INET };
	if (mr_context_open(backend, &w->x, why, sizeof(why)))
		fail_msg("%s", why);
	w->peer = w->x;
	if (is_kernel(w)) {
		w->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		assert_int_equal(mr_context_open(backend, &w->peer, NULL, 0), 0);
	} else {
		inet_pton(AF_INET, "192.0.2.2", &w->address.sin_addr);
		w->address.sin_port = htons(WORLD_PORT);
	}
}

static void close_world(struct world *w)
{
	if (w->peer != w->x)
		mr_context_close(w->peer);
	mr_context_close(w->x);
}

struct test {
	const struct scenario *row;
	const char *backend;
};

static void run_one(void **state)
{
	const struct test *t = *state;
	struct world w;

	open_world(&w, t->backend);
	t->row->run(&w);
	close_world(&w);
}

static bool is_there(const char *backend)
{
	struct mr_context *x;

	if (mr_context_open(backend, &x, NULL, 0))
		return false;
	mr_context_close(x);
	return true;
}

int run_scenarios(const char *group, const struct scenario *rows, size_t n)
{
	static struct CMUnitTest tests[ROWS_MAX];
	static struct test states[ROWS_MAX];
	static char names[ROWS_MAX][64];
	const char *only = getenv("MR_TEST_BACKEND");
	int failed = 0;
	size_t b, i;

	for (b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
		if ((only && strcmp(only, backends[b])) || !is_there(backends[b]))
			continue;
		for (i = 0; i < n && i < ROWS_MAX; i++) {
			states[i] = (struct test){ &rows[i], backends[b] };
			snprintf(names[i], sizeof(names[i]), "%s_%s", backends[b], rows[i].name);
			tests[i] = (struct CMUnitTest){ names[i], run_one, NULL, NULL, &states[i] };
		}
		failed += _cmocka_run_group_tests(group, tests, i, NULL, NULL);
	}
	return failed;
}

int listen_on(struct world *w, int backlog)
{
	socklen_t len = sizeof(w->address);
	int fd = mr_sock_open(w->x, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(mr_sock_bind(w->x, fd, (struct sockaddr *)&w->address, len), 0);
	assert_int_equal(mr_sock_listen(w->x, fd, backlog), 0);
	assert_int_equal(mr_sock_name(w->x, fd, (struct sockaddr *)&w->address, &len), 0);
	return fd;
}

int open_client(struct world *w, int type)
{
	int fd = mr_sock_open(w->peer, AF_INET, SOCK_STREAM | type, 0);

	assert_true(fd >= 0);
	return fd;
}

void wait_for(struct mr_context *x, int fd, short events)
{
	struct timespec t;
	time_t end;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = t.tv_sec + LONG_MS / 1000;
	do {
		struct pollfd p = { .fd = fd, .events = events };

		assert_true(mr_poll(x, &p, 1, LONG_MS) >= 0);
		if ((p.revents & events) == events)
			return;
		/* something else is told already, so that poll() does not sleep */
		mr_poll(x, NULL, 0, 1);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (t.tv_sec <= end);
	fail_msg("descriptor %d: events %#x did not come", fd, events);
}

int connect_to(struct world *w, int fd)
{
	int err = mr_sock_connect(w->peer, fd, (struct sockaddr *)&w->address, sizeof(w->address));

	if (err != -EINPROGRESS)
		return err;
	wait_for(w->peer, fd, POLLOUT);
	return -mr_sock_error(w->peer, fd);
}

int accept_one(struct world *w, int listener)
{
	int fd;

	wait_for(w->x, listener, POLLIN);
	fd = mr_sock_accept(w->x, listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

void open_pair(struct world *w, int *client, int *server)
{
	int listener = listen_on(w, 8);

	*client = open_client(w, SOCK_NONBLOCK);
	assert_int_equal(connect_to(w, *client), 0);
	*server = accept_one(w, listener);
	assert_int_equal(mr_sock_close(w->x, listener), 0);
}

void send_text(struct mr_context *x, int fd, const char *text)
{
	assert_int_equal(mr_sock_send(x, fd, text, strlen(text), 0), strlen(text));
}

void expect_text(struct mr_context *x, int fd, const char *text)
{
	size_t want = strlen(text), got = 0;
	char buf[256];

	while (got < want) {
		ssize_t n;

		wait_for(x, fd, POLLIN);
		n = mr_sock_recv(x, fd, buf + got, want - got, 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_memory_equal(buf, text, want);
}

void expect_end(struct mr_context *x, int fd, ssize_t result)
{
	char byte;

	wait_for(x, fd, POLLIN);
	assert_int_equal(mr_sock_recv(x, fd, &byte, 1, 0), result);
}
