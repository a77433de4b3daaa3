/* SPDX-License-Identifier: MIT */
/*
 * Threads on one set, under ThreadSanitizer: some wait, some add, modify and remove, some close.
 * EPOLLONESHOT gives a descriptor to nobody else until it is armed again.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/api/world.h"

enum { PAIRS = 16, WAITERS = 3, ROUNDS = 4000 };

/* What all threads of a test share. */
struct stage {
	struct world *w;
	struct mr_set *s;
	int client[PAIRS];
	int server[PAIRS];
	_Atomic int owner[PAIRS]; /* threads that hold the descriptor now */
	_Atomic int handled;
	_Atomic int doubled;
	_Atomic bool over;
};

static uint32_t events_of(int i)
{
	return EPOLLIN | EPOLLONESHOT | (i % 2 ? EPOLLET : 0);
}

static void set_up(struct stage *g, struct world *w)
{
	int i;

	memset(g, 0, sizeof(*g));
	g->w = w;
	assert_int_equal(mr_set_new(w->x, &g->s), 0);
	for (i = 0; i < PAIRS; i++) {
		open_pair(w, &g->client[i], &g->server[i]);
		assert_int_equal(mr_set_add(g->s, g->server[i], events_of(i),
					    (epoll_data_t){ .u32 = (uint32_t)i }),
				 0);
	}
}

static void handle(struct stage *g, int i)
{
	char buf[64];

	if (atomic_fetch_add(&g->owner[i], 1))
		atomic_fetch_add(&g->doubled, 1);
	while (mr_sock_recv(g->w->x, g->server[i], buf, sizeof(buf), 0) > 0)
		atomic_fetch_add(&g->handled, 1);
	atomic_fetch_sub(&g->owner[i], 1);
	/* From here on another thread may have it. */
	mr_set_modify(g->s, g->server[i], events_of(i), (epoll_data_t){ .u32 = (uint32_t)i });
}

static void *wait_on_set(void *arg)
{
	struct stage *g = arg;
	struct epoll_event e[4];

	while (!atomic_load(&g->over)) {
		int i, n = mr_set_wait(g->s, e, 4, 10);

		for (i = 0; i < n; i++)
			handle(g, (int)e[i].data.u32);
	}
	return NULL;
}

static void *change_set(void *arg)
{
	struct stage *g = arg;
	int own = mr_sock_open(g->w->x, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	while (!atomic_load(&g->over)) {
		mr_set_add(g->s, own, EPOLLOUT | EPOLLONESHOT, (epoll_data_t){ .u32 = 0 });
		mr_set_modify(g->s, own, EPOLLPRI | EPOLLONESHOT, (epoll_data_t){ .u32 = 0 });
		mr_set_remove(g->s, own);
	}
	mr_sock_close(g->w->x, own);
	return NULL;
}

static void *send_to_all(void *arg)
{
	struct stage *g = arg;
	int i;

	for (i = 0; i < ROUNDS; i++)
		mr_sock_send(g->w->peer, g->client[i % PAIRS], "x", 1, 0);
	return NULL;
}

static void oneshot_gives_a_descriptor_to_one_thread(struct world *w)
{
	pthread_t waiters[WAITERS], sender;
	struct stage g;
	int i;

	set_up(&g, w);
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(pthread_create(&waiters[i], NULL, wait_on_set, &g), 0);
	assert_int_equal(pthread_create(&sender, NULL, send_to_all, &g), 0);
	pthread_join(sender, NULL);
	/* All bytes were read: nothing is lost between arming and arrival. */
	for (i = 0; i < PAIRS; i++) {
		struct mr_sock_queues q;
		int ms = 0;

		do
			assert_int_equal(mr_sock_queues(w->x, g.server[i], &q), 0);
		while (q.unread && ms++ < LONG_MS && !mr_poll(w->x, NULL, 0, 1));
		assert_int_equal(q.unread, 0);
	}
	atomic_store(&g.over, true);
	for (i = 0; i < WAITERS; i++)
		pthread_join(waiters[i], NULL);
	assert_int_equal(g.doubled, 0);
	assert_true(g.handled > 0);
	mr_set_free(g.s);
}

static void *wait_and_drop(void *arg)
{
	struct stage *g = arg;
	struct epoll_event e[4];

	while (!atomic_load(&g->over))
		mr_set_wait(g->s, e, 4, 5);
	return NULL;
}

static void sets_change_while_others_wait(struct world *w)
{
	pthread_t waiters[WAITERS], changers[2];
	struct stage g;
	int i;

	set_up(&g, w);
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(pthread_create(&waiters[i], NULL, wait_and_drop, &g), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&changers[i], NULL, change_set, &g), 0);
	send_to_all(&g);
	atomic_store(&g.over, true);
	for (i = 0; i < WAITERS; i++)
		pthread_join(waiters[i], NULL);
	for (i = 0; i < 2; i++)
		pthread_join(changers[i], NULL);
	mr_set_free(g.s);
}

static void *use_until_closed(void *arg)
{
	struct stage *g = arg;
	char buf[16];
	int i, round;

	for (round = 0; round < 200; round++)
		for (i = 0; i < PAIRS; i++) {
			mr_sock_recv(g->w->x, g->server[i], buf, sizeof(buf), MSG_DONTWAIT);
			mr_sock_send(g->w->x, g->server[i], "y", 1, MSG_DONTWAIT);
		}
	return NULL;
}

/* Closed and made again, so that numbers are used again: no call of others meets a wrong socket. */
static void sockets_close_under_calls(struct world *w)
{
	pthread_t users[WAITERS];
	struct stage g;
	int i;

	set_up(&g, w);
	for (i = 0; i < WAITERS; i++)
		assert_int_equal(pthread_create(&users[i], NULL, use_until_closed, &g), 0);
	for (i = 0; i < PAIRS; i++) {
		assert_int_equal(mr_sock_close(w->x, g.server[i]), 0);
		assert_true(mr_sock_open(w->x, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) >= 0);
	}
	for (i = 0; i < WAITERS; i++)
		pthread_join(users[i], NULL);
	mr_set_free(g.s);
}

#define S(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct scenario rows[] = {
	S(oneshot_gives_a_descriptor_to_one_thread),
	S(sets_change_while_others_wait),
	S(sockets_close_under_calls),
};

int main(void)
{
	return run_scenarios("threads", rows, sizeof(rows) / sizeof(rows[0]));
}
