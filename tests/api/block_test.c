/* SPDX-License-Identifier: MIT */
/* millrace/sock.h: calls that block, and what ends them. Backends whose context is one wire in one
 * thread have no second thread to wait for; they are asked for what one thread sees. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/api/world.h"

enum { BIG = 4 << 20 };

/* One call in a thread of its own. */
struct call {
	struct mr_context *x;
	int fd;
	int flags;
	void *buf;
	size_t len;
	ssize_t result;
	long sleeps;
	_Atomic int begun;
	pthread_t thread;
};

static void *recv_in_thread(void *arg)
{
	struct call *c = arg;

	c->begun = 1;
	c->result = mr_sock_recv(c->x, c->fd, c->buf, c->len, c->flags);
	return NULL;
}

static void *send_in_thread(void *arg)
{
	struct call *c = arg;

	c->begun = 1;
	c->result = mr_sock_send(c->x, c->fd, c->buf, c->len, c->flags);
	return NULL;
}

static void *accept_in_thread(void *arg)
{
	struct call *c = arg;

	struct rusage before, after;

	c->begun = 1;
	getrusage(RUSAGE_THREAD, &before);
	c->result = mr_sock_accept(c->x, c->fd, NULL, NULL, 0);
	getrusage(RUSAGE_THREAD, &after);
	c->sleeps = after.ru_nvcsw - before.ru_nvcsw;
	return NULL;
}

/* Also good for one that is still on its way into the kernel: what follows has to end it all the
 * same. A few milliseconds make it likely that it sleeps. */
static void start(struct call *c, void *(*function)(void *))
{
	assert_int_equal(mr_sock_blocking(c->x, c->fd, true), 0);
	assert_int_equal(pthread_create(&c->thread, NULL, function, c), 0);
	while (!c->begun)
		usleep(1000);
	usleep(5000);
}

static ssize_t end_of(struct call *c)
{
	pthread_join(c->thread, NULL);
	return c->result;
}

static void close_ends_recv(struct world *w)
{
	int client, server;
	char byte;
	struct call c = { .x = w->x, .buf = &byte, .len = 1 };

	open_pair(w, &client, &server);
	c.fd = server;
	start(&c, recv_in_thread);
	assert_int_equal(mr_sock_close(w->x, server), 0);
	assert_int_equal(end_of(&c), -EBADF);
	expect_end(w->peer, client, 0);
}

static void close_ends_accept(struct world *w)
{
	struct call c[3];
	int i, listener = listen_on(w, 1);

	for (i = 0; i < 3; i++) {
		c[i] = (struct call){ .x = w->x, .fd = listener };
		start(&c[i], accept_in_thread);
	}
	assert_int_equal(mr_sock_close(w->x, listener), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(end_of(&c[i]), -EBADF);
}

static void close_ends_send(struct world *w)
{
	int client, server;
	char *big = calloc(1, BIG * 4);
	struct call c = { .x = w->peer, .buf = big, .len = BIG * 4 };

	open_pair(w, &client, &server);
	c.fd = client;
	start(&c, send_in_thread);
	/* It has filled both buffers. */
	assert_int_equal(mr_sock_close(w->peer, client), 0);
	assert_true(end_of(&c) < BIG * 4);
	assert_int_equal(mr_sock_send(w->peer, client, "x", 1, 0), -EBADF);
	free(big);
}

static void abort_beside_a_blocked_call_resets(struct world *w)
{
	int client, server;
	char byte;
	struct call c = { .x = w->x, .buf = &byte, .len = 1 };

	open_pair(w, &client, &server);
	c.fd = server;
	start(&c, recv_in_thread);
	assert_int_equal(mr_sock_abort(w->x, server), 0);
	assert_int_equal(end_of(&c), -EBADF);
	expect_end(w->peer, client, -ECONNRESET);
}

/* Who is woken in vain sleeps again: with four who wait, four connections would cost ten sleeps. */
static void one_connection_wakes_one_of_those_who_accept(struct world *w)
{
	int i, listener = listen_on(w, 8);
	struct call c[4];
	long sleeps = 0;

	for (i = 0; i < 4; i++) {
		c[i] = (struct call){ .x = w->x, .fd = listener };
		start(&c[i], accept_in_thread);
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(connect_to(w, open_client(w, SOCK_NONBLOCK)), 0);
		usleep(5000);
	}
	for (i = 0; i < 4; i++) {
		assert_true(end_of(&c[i]) >= 0);
		sleeps += c[i].sleeps;
	}
	assert_in_range(sleeps, 0, 4);
}

static void shutdown_ends_recv_with_an_end(struct world *w)
{
	int client, server;
	char byte;
	struct call c = { .x = w->x, .buf = &byte, .len = 1 };

	open_pair(w, &client, &server);
	c.fd = server;
	start(&c, recv_in_thread);
	assert_int_equal(mr_sock_shutdown(w->x, server, SHUT_RD), 0);
	assert_int_equal(end_of(&c), 0);
	send_text(w->x, server, "still open");
	expect_text(w->peer, client, "still open");
}

static void waitall_waits_for_all(struct world *w)
{
	int client, server;
	char buf[9];
	struct call c = { .x = w->x, .buf = buf, .len = 9, .flags = MSG_WAITALL };

	open_pair(w, &client, &server);
	c.fd = server;
	start(&c, recv_in_thread);
	send_text(w->peer, client, "one ");
	usleep(5000);
	send_text(w->peer, client, "more ");
	assert_int_equal(end_of(&c), 9);
	assert_memory_equal(buf, "one more ", 9);
	c.begun = 0;
	start(&c, recv_in_thread);
	send_text(w->peer, client, "rest");
	assert_int_equal(mr_sock_close(w->peer, client), 0);
	assert_int_equal(end_of(&c), 4);
}

static void timeout_ends_recv(struct world *w)
{
	struct timeval limit = { .tv_usec = 30000 };
	int client, server, listener;
	char byte;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_set_option(w->x, server, SOL_SOCKET, SO_RCVTIMEO, &limit,
					    sizeof(limit)),
			 0);
	assert_int_equal(mr_sock_blocking(w->x, server, true), 0);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), -EAGAIN);
	listener = listen_on(w, 1);
	assert_int_equal(mr_sock_set_option(w->x, listener, SOL_SOCKET, SO_RCVTIMEO, &limit,
					    sizeof(limit)),
			 0);
	assert_int_equal(mr_sock_blocking(w->x, listener, true), 0);
	assert_int_equal(mr_sock_accept(w->x, listener, NULL, NULL, 0), -EAGAIN);
}

static _Atomic int signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

/* A signal each 2 ms, and no SA_RESTART. */
static void disturb(bool on)
{
	struct itimerval often = { { 0, on ? 2000 : 0 }, { 0, on ? 2000 : 0 } };
	struct sigaction act = { .sa_handler = count_signal };

	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void *read_slowly(void *arg)
{
	struct call *c = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	usleep(20000);
	c->result = 0;
	while ((size_t)c->result < c->len) {
		ssize_t n = mr_sock_recv(c->x, c->fd, (char *)c->buf + c->result,
					 c->len - (size_t)c->result, 0);

		if (n <= 0)
			break;
		c->result += n;
		if (c->result < BIG)
			usleep(1000);
	}
	return NULL;
}

static void signals_end_no_call(struct world *w)
{
	unsigned char *out = malloc(BIG * 2), *in = calloc(1, BIG * 2);
	int i, client, server;
	struct call c = { .x = w->x, .buf = in, .len = BIG * 2 };

	for (i = 0; i < BIG * 2; i++)
		out[i] = (unsigned char)(i * 7 + i / 256);
	open_pair(w, &client, &server);
	c.fd = server;
	assert_int_equal(mr_sock_blocking(w->x, server, true), 0);
	assert_int_equal(mr_sock_blocking(w->peer, client, true), 0);
	assert_int_equal(pthread_create(&c.thread, NULL, read_slowly, &c), 0);
	signals = 0;
	disturb(true);
	assert_int_equal(mr_sock_send(w->peer, client, out, BIG * 2, 0), BIG * 2);
	disturb(false);
	assert_int_equal(end_of(&c), BIG * 2);
	assert_true(signals > 0);
	assert_memory_equal(in, out, BIG * 2);
	free(out);
	free(in);
}

static void *send_slowly(void *arg)
{
	const size_t piece = 4096;
	struct call *c = arg;
	sigset_t all;
	size_t at;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (at = 0; at < c->len; at += piece) {
		c->result += mr_sock_send(c->x, c->fd, (char *)c->buf + at, piece, 0);
		usleep(1000);
	}
	return NULL;
}

static void signals_do_not_cut_what_waits_for_all(struct world *w)
{
	enum { LEN = 64 * 4096 };
	unsigned char *out = malloc(LEN), *in = calloc(1, LEN);
	int i, client, server;
	struct call c = { .x = w->peer, .buf = out, .len = LEN };

	for (i = 0; i < LEN; i++)
		out[i] = (unsigned char)(i * 5 + i / 256);
	open_pair(w, &client, &server);
	c.fd = client;
	assert_int_equal(mr_sock_blocking(w->x, server, true), 0);
	assert_int_equal(pthread_create(&c.thread, NULL, send_slowly, &c), 0);
	disturb(true);
	assert_int_equal(mr_sock_recv(w->x, server, in, LEN, MSG_WAITALL), LEN);
	disturb(false);
	assert_int_equal(end_of(&c), LEN);
	assert_memory_equal(in, out, LEN);
	free(out);
	free(in);
}

static void signals_do_not_make_a_timeout_endless(struct world *w)
{
	struct timeval limit = { .tv_usec = 150000 };
	int client, server;
	char byte;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_set_option(w->x, server, SOL_SOCKET, SO_RCVTIMEO, &limit,
					    sizeof(limit)),
			 0);
	assert_int_equal(mr_sock_blocking(w->x, server, true), 0);
	disturb(true);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), -EAGAIN);
	disturb(false);
}

/* A thread with a context, a listener on the common port and a set of its own. */
struct server {
	struct world own;
	int listener;
	int stop; /* an eventfd that all sets have */
	int wakes;
	int accepted;
	pthread_t thread;
};

static void *serve_set(void *arg)
{
	struct server *v = arg;
	struct mr_context *x = v->own.x;
	struct epoll_event e;
	struct mr_set *s;
	int fd;

	mr_set_new(x, &s);
	mr_set_add(s, v->listener, EPOLLIN, (epoll_data_t){ .u32 = 0 });
	mr_set_add_kernel(s, v->stop, EPOLLIN, (epoll_data_t){ .u32 = 1 });
	while (mr_set_wait(s, &e, 1, LONG_MS) == 1 && !e.data.u32) {
		v->wakes++;
		while ((fd = mr_sock_accept(x, v->listener, NULL, NULL, 0)) >= 0) {
			v->accepted++;
			mr_sock_send(x, fd, "welcome", 7, 0);
			mr_sock_close(x, fd);
		}
	}
	mr_set_free(s);
	return NULL;
}

/* Forty connections, one after the other, are at most forty wake-ups among four who listen. */
static void no_herd_runs_for_a_connection(struct world *w)
{
	enum { SERVERS = 4, CONNECTIONS = 40 };
	int i, fd, wakes = 0, accepted = 0, stop = eventfd(0, EFD_CLOEXEC);
	struct server v[SERVERS];
	uint64_t one = 1;

	if (w->peer == w->x)
		return; /* each context is a wire of its own */
	for (i = 0; i < SERVERS; i++) {
		v[i] = (struct server){ .own = *w, .stop = stop };
		assert_int_equal(mr_context_open(w->backend, &v[i].own.x, NULL, 0), 0);
		v[i].listener = listen_on(&v[i].own, 16);
		w->address = v[i].own.address;
		assert_int_equal(pthread_create(&v[i].thread, NULL, serve_set, &v[i]), 0);
	}
	for (i = 0; i < CONNECTIONS; i++) {
		fd = open_client(w, SOCK_NONBLOCK);
		assert_int_equal(connect_to(w, fd), 0);
		expect_text(w->peer, fd, "welcome");
		expect_end(w->peer, fd, 0);
		mr_sock_close(w->peer, fd);
	}
	assert_int_equal(write(stop, &one, sizeof(one)), sizeof(one));
	for (i = 0; i < SERVERS; i++) {
		pthread_join(v[i].thread, NULL);
		wakes += v[i].wakes;
		accepted += v[i].accepted;
		mr_context_close(v[i].own.x);
	}
	close(stop);
	assert_int_equal(accepted, CONNECTIONS);
	/* fewer, where one came before its server slept again */
	assert_in_range(wakes, 1, CONNECTIONS);
}

/* The child serves the connection on, the parent forgets it, its set too. */
static void fork_shares_sockets_and_not_sets(struct world *w)
{
	struct epoll_event e;
	struct mr_set *s;
	int client, server, status;
	pid_t child;

	open_pair(w, &client, &server);
	assert_int_equal(mr_set_new(w->x, &s), 0);
	assert_int_equal(mr_set_add(s, server, EPOLLIN, (epoll_data_t){ .fd = server }), 0);
	child = fork();
	if (!child) {
		char buf[8];
		ssize_t n;

		mr_sock_blocking(w->x, server, true);
		n = mr_sock_recv(w->x, server, buf, sizeof(buf), 0);
		mr_sock_send(w->x, server, buf, (size_t)n, 0);
		_exit(mr_sock_close(w->x, server) ? 1 : 0);
	}
	assert_int_equal(mr_sock_close(w->x, server), 0);
	send_text(w->peer, client, "to a child");
	/* The parent's set has the socket no more, though the child holds it open. */
	assert_int_equal(mr_set_wait(s, &e, 1, 0), 0);
	expect_text(w->peer, client, "to a chi");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	wait_for(w->peer, client, POLLIN);
	mr_set_free(s);
}

/* A child that closes what it inherited takes nothing out of its parent's set. */
static void fork_leaves_the_parents_set_alone(struct world *w)
{
	struct epoll_event e;
	struct mr_set *s;
	int client, server, status;
	pid_t child;

	open_pair(w, &client, &server);
	assert_int_equal(mr_set_new(w->x, &s), 0);
	assert_int_equal(mr_set_add(s, server, EPOLLIN, (epoll_data_t){ .fd = server }), 0);
	child = fork();
	if (!child)
		_exit(mr_sock_close(w->x, server) ? 1 : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	send_text(w->peer, client, "x");
	assert_int_equal(mr_set_wait(s, &e, 1, LONG_MS), 1);
	assert_int_equal(e.data.fd, server);
	mr_set_free(s);
}

#define S(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct scenario rows[] = {
	S(close_ends_recv),
	S(close_ends_accept),
	S(close_ends_send),
	S(abort_beside_a_blocked_call_resets),
	S(one_connection_wakes_one_of_those_who_accept),
	S(no_herd_runs_for_a_connection),
	S(shutdown_ends_recv_with_an_end),
	S(waitall_waits_for_all),
	S(timeout_ends_recv),
	S(signals_end_no_call),
	S(signals_do_not_cut_what_waits_for_all),
	S(signals_do_not_make_a_timeout_endless),
};

static const struct scenario of_kernel[] = {
	S(fork_shares_sockets_and_not_sets),
	S(fork_leaves_the_parents_set_alone),
};

int main(void)
{
	int failed = run_scenarios("blocking", rows, sizeof(rows) / sizeof(rows[0]));

	setenv("MR_TEST_BACKEND", "kernel", 1);
	return failed + run_scenarios("fork", of_kernel, sizeof(of_kernel) / sizeof(of_kernel[0]));
}
