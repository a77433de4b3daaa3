/* SPDX-License-Identifier: MIT */
/* millrace/set.h: every scenario gives what epoll(7) over the kernel's sockets gives. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/time.h>

#include "tests/api/side.h"

enum { ADD = EPOLL_CTL_ADD, MOD = EPOLL_CTL_MOD, DEL = EPOLL_CTL_DEL };
enum { CLIENT = true, SERVER = false };

static void both(struct world *w, void (*play)(struct side *d))
{
	static struct side library, raw;

	side_open(&library, w, false);
	play(&library);
	side_close(&library);
	side_open(&raw, w, true);
	play(&raw);
	side_close(&raw);
	assert_true(raw.len > 0);
	assert_string_equal(library.record, raw.record);
}

static void play_level(struct side *d)
{
	int c, s;

	side_pair(d, &c, &s);
	side_change(d, 0, ADD, s, EPOLLIN, 1);
	side_look(d, 0, 8, 0);
	side_send(d, CLIENT, c, "abcd");
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 1);
	side_note(d, "recv %zd\n", side_recv(d, SERVER, s, 2));
	side_look(d, 0, 8, 1);
	side_note(d, "recv %zd\n", side_recv(d, SERVER, s, 8));
	side_look(d, 0, 8, 0);
	side_change(d, 0, MOD, s, EPOLLIN | EPOLLOUT, 2);
	side_look(d, 0, 8, 1);
	side_change(d, 0, MOD, s, 0, 2);
	side_look(d, 0, 8, 0);
}

static void play_edge(struct side *d)
{
	int c, s;

	side_pair(d, &c, &s);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLET, 1);
	side_send(d, CLIENT, c, "abcd");
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 0);
	side_note(d, "recv %zd\n", side_recv(d, SERVER, s, 2));
	side_look(d, 0, 8, 0); /* what is left is no edge */
	side_send(d, CLIENT, c, "ef");
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 0);
	side_change(d, 0, MOD, s, EPOLLIN | EPOLLET, 1);
	side_look(d, 0, 8, 1); /* armed again, readable still */
	side_change(d, 0, DEL, s, 0, 1);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLET | EPOLLOUT, 1);
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 0);
}

static void play_oneshot(struct side *d)
{
	int c, s;

	side_pair(d, &c, &s);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLONESHOT, 1);
	side_send(d, CLIENT, c, "abcd");
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 0);
	side_send(d, CLIENT, c, "ef");
	side_end(d, CLIENT, c);
	side_settle(d, s, POLLIN | POLLRDHUP);
	side_look(d, 0, 8, 0);
	side_change(d, 0, MOD, s, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, 1);
	side_look(d, 0, 8, 1);
	side_look(d, 0, 8, 0);
	side_change(d, 0, ADD, s, EPOLLIN, 1); /* is there still */
}

static void play_wrong_changes(struct side *d)
{
	int c, s;

	side_pair(d, &c, &s);
	side_change(d, 0, MOD, s, EPOLLIN, 1);
	side_change(d, 0, DEL, s, 0, 1);
	side_change(d, 0, ADD, s, EPOLLIN, 1);
	side_change(d, 0, ADD, s, EPOLLIN, 1);
	side_change(d, 1, ADD, s, EPOLLIN, 1);
	side_change(d, 0, DEL, s, 0, 1);
	side_change(d, 0, DEL, s, 0, 1);
	side_change(d, 0, ADD, -1, EPOLLIN, 2);
	side_change(d, 0, ADD, 900000, EPOLLIN, 2);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 3);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLEXCLUSIVE, 3);
	side_change(d, 0, MOD, s, EPOLLIN | EPOLLEXCLUSIVE, 3);
	side_change(d, 0, MOD, s, EPOLLIN, 3);
}

static void play_descriptors_of_the_kernel(struct side *d)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	side_change_kernel(d, 0, ADD, file, EPOLLIN, 1);
	side_change_kernel(d, 0, ADD, event, EPOLLIN, 2);
	side_change_kernel(d, 0, ADD, ends[0], EPOLLIN, 3);
	side_change_kernel(d, 0, ADD, -1, EPOLLIN, 4);
	side_look(d, 0, 8, 0);
	assert_int_equal(write(event, &one, sizeof(one)), sizeof(one));
	side_look(d, 0, 8, 1);
	assert_int_equal(read(event, &one, sizeof(one)), sizeof(one));
	side_change_kernel(d, 0, MOD, event, EPOLLOUT, 2);
	side_look(d, 0, 8, 1);
	side_change_kernel(d, 0, DEL, event, 0, 2);
	close(ends[1]);
	side_look(d, 0, 8, 1);
	close(ends[0]);
	side_look(d, 0, 8, 0);
	close(file);
	close(event);
}

/* Ways to end, each with and without EPOLLRDHUP being asked for. */
static void play_hang_ups(struct side *d)
{
	const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
	int c, s, fresh;

	fresh = side_socket(d, false); /* never connected */
	side_change(d, 0, ADD, fresh, all, 1);
	side_look(d, 0, 8, 1);
	side_end(d, SERVER, fresh);

	side_pair(d, &c, &s); /* the peer half-closes */
	side_change(d, 0, ADD, s, all, 2);
	side_change(d, 1, ADD, s, EPOLLIN, 2);
	side_shutdown(d, CLIENT, c, SHUT_WR);
	side_settle(d, s, POLLIN | POLLRDHUP);
	side_look(d, 0, 8, 1);
	side_look(d, 1, 8, 1);
	side_shutdown(d, SERVER, s, SHUT_WR); /* then both */
	side_settle(d, s, POLLHUP);
	side_look(d, 0, 8, 1);
	side_look(d, 1, 8, 1);
	side_end(d, SERVER, s);
	side_look(d, 0, 8, 0);

	side_pair(d, &c, &s); /* reset */
	side_change(d, 0, ADD, s, all, 3);
	side_change(d, 1, ADD, s, 0, 3);
	side_abort(d, CLIENT, c);
	side_settle(d, s, POLLERR | POLLHUP);
	side_look(d, 0, 8, 1);
	side_look(d, 1, 8, 1); /* error and hang-up come unasked */
	side_note(d, "recv %zd\n", side_recv(d, SERVER, s, 8));
	side_look(d, 0, 8, 1);
	side_end(d, SERVER, s);

	side_pair(d, &c, &s); /* its own receiving side */
	side_change(d, 0, ADD, s, all, 4);
	side_shutdown(d, SERVER, s, SHUT_RD);
	side_look(d, 0, 8, 1);
	side_end(d, SERVER, s);

	side_pair(d, &c, &s); /* its own sending side */
	side_change(d, 0, ADD, s, all, 5);
	side_shutdown(d, SERVER, s, SHUT_WR);
	side_look(d, 0, 8, 1);
}

static void play_listener(struct side *d)
{
	int listener = side_listen(d);
	int c[2], i;

	side_change(d, 0, ADD, listener, EPOLLIN | EPOLLOUT, 1);
	side_look(d, 0, 8, 0);
	for (i = 0; i < 2; i++) {
		c[i] = side_socket(d, true);
		side_connect(d, c[i]);
	}
	side_look(d, 0, 8, 1);
	side_accept(d, listener);
	side_settle(d, listener, POLLIN);
	side_look(d, 0, 8, 1);
	side_accept(d, listener);
	side_look(d, 0, 8, 0);
}

static void play_writable(struct side *d)
{
	static char block[1 << 16];
	int c, s;

	memset(block, 'x', sizeof(block) - 1);
	side_pair(d, &c, &s);
	side_change(d, 0, ADD, s, EPOLLOUT, 1);
	side_change(d, 1, ADD, s, EPOLLOUT | EPOLLET, 1);
	side_look(d, 0, 8, 1);
	side_look(d, 1, 8, 1);
	while (side_send(d, SERVER, s, block) > 0)
		;
	side_look(d, 0, 8, 0);
	side_look(d, 1, 8, 0);
	while (side_recv(d, CLIENT, c, sizeof(block)) > 0)
		;
	/* Room comes with acknowledgments, so there may be more to read meanwhile. */
	do {
		struct pollfd p = { .fd = s, .events = POLLOUT };

		while (side_recv(d, CLIENT, c, sizeof(block)) > 0)
			;
		side_poll(d, &p, 1, 1);
		if (p.revents)
			break;
	} while (true);
	side_look(d, 0, 8, 1);
	side_look(d, 1, 8, 1);
}

static void play_changes_within_handling(struct side *d)
{
	struct epoll_event e;
	int c[2], s[2], i, first;

	for (i = 0; i < 2; i++) {
		side_pair(d, &c[i], &s[i]);
		side_change(d, 0, ADD, s[i], EPOLLIN, i);
		side_send(d, CLIENT, c[i], "x");
		side_settle(d, s[i], POLLIN);
	}
	assert_int_equal(side_wait(d, 0, &e, 1, LONG_MS), 1);
	first = (int)e.data.u32;
	side_note(d, "first %d\n", first);
	side_change(d, 0, DEL, s[!first], 0, 7);
	side_change(d, 0, MOD, s[first], EPOLLOUT, 8);
	side_look(d, 0, 8, 1);
	side_end(d, SERVER, s[first]);
	side_look(d, 0, 8, 0);
	side_change(d, 0, ADD, s[!first], EPOLLIN, 9);
	side_look(d, 0, 8, 1);
}

static void play_turns(struct side *d)
{
	struct epoll_event e;
	int c[3], s[3], i;

	for (i = 0; i < 3; i++) {
		side_pair(d, &c[i], &s[i]);
		side_change(d, 0, ADD, s[i], EPOLLIN, i);
		side_send(d, CLIENT, c[i], "x");
		side_settle(d, s[i], POLLIN);
	}
	for (i = 0; i < 7; i++) { /* none is starved by those before it */
		assert_int_equal(side_wait(d, 0, &e, 1, LONG_MS), 1);
		side_note(d, "turn %u\n", e.data.u32);
	}
	side_look(d, 0, 2, 0);
}

static void play_polled(struct side *d)
{
	struct pollfd p[4];
	int c, s, fresh = side_socket(d, false), i;

	side_pair(d, &c, &s);
	side_send(d, CLIENT, c, "x");
	side_settle(d, s, POLLIN);
	p[0] = (struct pollfd){ s, POLLIN | POLLOUT, 0 };
	p[1] = (struct pollfd){ -1, POLLIN, 77 };
	p[2] = (struct pollfd){ fresh, 0, 0 };
	p[3] = (struct pollfd){ 900000, POLLIN, 0 };
	side_note(d, "poll %d:", side_poll(d, p, 4, LONG_MS));
	for (i = 0; i < 4; i++)
		side_note(d, " %#x", p[i].revents);
	side_recv(d, SERVER, s, 8);
	p[0].events = POLLIN;
	side_note(d, "\npoll %d\n", side_poll(d, p, 2, 10));
	side_note(d, "poll %d\n", side_poll(d, NULL, 0, 0));
}

static void play_selected(struct side *d)
{
	struct timeval limit = { .tv_sec = LONG_MS / 1000 };
	fd_set in, out, except;
	int c, s, n;

	side_pair(d, &c, &s);
	n = s + 1;
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&except);
	FD_SET(s, &in);
	FD_SET(s, &out);
	FD_SET(s, &except);
	side_note(d, "select %d:", side_select(d, n, &in, &out, &except, &limit));
	side_note(d, " %d%d%d\n", FD_ISSET(s, &in), FD_ISSET(s, &out), FD_ISSET(s, &except));
	side_abort(d, CLIENT, c);
	side_settle(d, s, POLLERR | POLLHUP);
	FD_SET(s, &in);
	FD_SET(s, &except);
	side_note(d, "select %d:", side_select(d, n, &in, &out, &except, NULL));
	side_note(d, " %d%d%d\n", FD_ISSET(s, &in), FD_ISSET(s, &out), FD_ISSET(s, &except));
	/* A hang-up is nothing exceptional: it sleeps until the time is over. */
	limit = (struct timeval){ .tv_usec = 20000 };
	FD_ZERO(&except);
	FD_SET(s, &except);
	side_note(d, "select %d:", side_select(d, n, NULL, NULL, &except, &limit));
	side_note(d, " %d, %ld us left\n", FD_ISSET(s, &except), (long)limit.tv_usec);
	side_note(d, "select %d\n", side_select(d, -1, NULL, NULL, NULL, NULL));
	side_end(d, SERVER, s);
	FD_SET(s, &in);
	side_note(d, "select %d\n", side_select(d, n, &in, NULL, NULL, NULL));
}

static void play_foreign_loop(struct side *d)
{
	int c, s, loop = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = { .events = EPOLLIN };

	side_pair(d, &c, &s);
	assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, side_set_fd(d, 0), &e), 0);
	side_change(d, 0, ADD, s, EPOLLIN, 1);
	side_note(d, "loop %d\n", epoll_wait(loop, &e, 1, 0));
	side_send(d, CLIENT, c, "x");
	side_settle(d, s, POLLIN);
	side_note(d, "loop %d %#x\n", epoll_wait(loop, &e, 1, LONG_MS), e.events);
	side_look(d, 0, 8, 1);
	side_recv(d, SERVER, s, 8);
	side_look(d, 0, 8, 0);
	side_note(d, "loop %d\n", epoll_wait(loop, &e, 1, 0));
	close(loop);
}

/* Threads on set 0, or one on each of both sets. */
struct waiter {
	struct side *d;
	int set;
	_Atomic int *ready;
	int got;
	pthread_t thread;
};

static void *wait_once(void *arg)
{
	struct waiter *w = arg;
	struct epoll_event e;

	(*w->ready)++;
	w->got = side_wait(w->d, w->set, &e, 1, 300);
	return NULL;
}

static int woken_by_one_byte(struct side *d, int c, int threads, bool one_set)
{
	_Atomic int ready = 0;
	struct waiter w[4];
	int i, woken = 0;

	for (i = 0; i < threads; i++) {
		w[i] = (struct waiter){ .d = d, .set = one_set ? 0 : i, .ready = &ready };
		assert_int_equal(pthread_create(&w[i].thread, NULL, wait_once, &w[i]), 0);
	}
	while (ready < threads)
		usleep(1000);
	usleep(10000);
	side_send(d, CLIENT, c, "x");
	for (i = 0; i < threads; i++) {
		pthread_join(w[i].thread, NULL);
		woken += w[i].got;
	}
	return woken;
}

static void play_one_event_of_several_waiters(struct side *d)
{
	int c, s;

	side_pair(d, &c, &s);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLET, 1);
	side_note(d, "edge: %d\n", woken_by_one_byte(d, c, 4, true));
	side_change(d, 0, MOD, s, 0, 1);
	side_recv(d, SERVER, s, 8);
	side_change(d, 0, MOD, s, EPOLLIN | EPOLLONESHOT, 1);
	side_note(d, "one-shot: %d\n", woken_by_one_byte(d, c, 4, true));
	side_change(d, 0, DEL, s, 0, 1);
	side_recv(d, SERVER, s, 8);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLET, 1);
	side_change(d, 1, ADD, s, EPOLLIN | EPOLLET, 1);
	side_note(d, "two sets: %d\n", woken_by_one_byte(d, c, 2, false));
	side_change(d, 0, DEL, s, 0, 1);
	side_change(d, 1, DEL, s, 0, 1);
	side_recv(d, SERVER, s, 8);
	side_change(d, 0, ADD, s, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 1);
	side_change(d, 1, ADD, s, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 1);
	/* One, or both where the first does not sleep yet: epoll(7) promises at least one. */
	side_note(d, "exclusive: %d\n", woken_by_one_byte(d, c, 2, false) >= 1);
}

static void nothing(int number)
{
	(void)number;
}

static void play_time_and_signals(struct side *d)
{
	struct sigaction act = { .sa_handler = nothing };
	struct itimerval soon = { .it_value.tv_usec = 10000, .it_interval.tv_usec = 10000 };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct epoll_event e;

	side_note(d, "wait %d\n", side_wait(d, 0, &e, 1, 0));
	side_note(d, "wait %d\n", side_wait(d, 0, &e, 1, 10));
	side_note(d, "wait %d\n", side_wait(d, 0, &e, 0, 0));
	side_note(d, "wait %d\n", side_wait(d, 0, &e, -1, 0));
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	side_note(d, "wait %d\n", side_wait(d, 0, &e, 1, LONG_MS));
	setitimer(ITIMER_REAL, &never, NULL);
}

#define PLAY(name)                                                                                 \
	static void name(struct world *w)                                                          \
	{                                                                                          \
		both(w, play_##name);                                                              \
	}
PLAY(level)
PLAY(edge)
PLAY(oneshot)
PLAY(wrong_changes)
PLAY(descriptors_of_the_kernel)
PLAY(hang_ups)
PLAY(listener)
PLAY(writable)
PLAY(changes_within_handling)
PLAY(turns)
PLAY(polled)
PLAY(selected)
PLAY(foreign_loop)
PLAY(one_event_of_several_waiters)
PLAY(time_and_signals)

static void select_has_its_limit(struct world *w)
{
	fd_set in;

	FD_ZERO(&in);
	assert_int_equal(mr_select(w->x, FD_SETSIZE + 1, &in, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(mr_select(w->x, FD_SETSIZE, &in, NULL, NULL, &(struct timeval){ 0, 0 }),
			 0);
	assert_int_equal(mr_select(w->x, 0, NULL, NULL, NULL, &(struct timeval){ 0, 1000000 }),
			 -EINVAL);
}

static void sockets_of_other_contexts_are_none(struct world *w)
{
	int fd = mr_sock_open(w->peer, AF_INET, SOCK_STREAM, 0);
	struct mr_set *s;

	assert_int_equal(mr_set_new(w->x, &s), 0);
	if (w->peer != w->x)
		assert_int_equal(mr_set_add(s, fd, EPOLLIN, (epoll_data_t){ .fd = fd }), -EBADF);
	mr_set_free(s);
	mr_set_free(NULL);
}

#define S(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct scenario rows[] = {
	S(level),
	S(edge),
	S(oneshot),
	S(wrong_changes),
	S(hang_ups),
	S(descriptors_of_the_kernel),
	S(listener),
	S(writable),
	S(turns),
	S(changes_within_handling),
	S(polled),
	S(selected),
	S(foreign_loop),
	S(one_event_of_several_waiters),
	S(time_and_signals),
	S(select_has_its_limit),
	S(sockets_of_other_contexts_are_none),
};

int main(void)
{
	return run_scenarios("readiness", rows, sizeof(rows) / sizeof(rows[0]));
}
