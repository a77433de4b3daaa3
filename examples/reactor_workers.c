/* SPDX-License-Identifier: MIT */
/*
 * One reactor with a pool of workers. The reactor sleeps in mr_set_wait() and hands ready
 * connections over; a worker serves one and arms it again. EPOLLONESHOT sees to it that a
 * connection is with one worker at a time, so nothing of it needs a lock; the queue between them is
 * a ring with a counter on each end.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "common.h"

enum { WORKERS = 4, RING = 1 << 15, EVENTS = 256 };

static struct {
	struct mr_context *x;
	struct mr_set *s;
	_Atomic(struct example_conn *) ring[RING];
	_Atomic unsigned int out;
	unsigned int in;
	sem_t filled;
} g;

/* Room there always is: a connection stands in the ring once, and RING is above their number. */
static void hand_over(struct example_conn *c)
{
	/* Release: pairs with the exchange of who takes it. */
	atomic_store_explicit(&g.ring[g.in++ % RING], c, memory_order_release);
	sem_post(&g.filled);
}

static struct example_conn *take(void)
{
	while (sem_wait(&g.filled))
		;
	return atomic_exchange_explicit(&g.ring[atomic_fetch_add(&g.out, 1) % RING], NULL,
					memory_order_acquire);
}

static void *work(void *arg)
{
	(void)arg;
	for (;;)
		example_handle(g.x, g.s, take(), EPOLLONESHOT);
	return NULL;
}

int main(int argc, char **argv)
{
	struct epoll_event e[EVENTS];
	pthread_t thread;
	int i, n, listener;

	g.x = example_open(argc, argv);
	listener = example_listen(g.x, argv, SOCK_NONBLOCK);
	sem_init(&g.filled, 0, 0);
	example_check(mr_set_new(g.x, &g.s), "set");
	example_check(mr_set_add(g.s, listener, EPOLLIN, (epoll_data_t){ .ptr = NULL }), "set");
	for (i = 0; i < WORKERS; i++)
		example_check(-pthread_create(&thread, NULL, work, NULL), "thread");
	for (;;) {
		n = mr_set_wait(g.s, e, EVENTS, -1);
		for (i = 0; i < n; i++)
			if (e[i].data.ptr)
				hand_over(e[i].data.ptr);
			else
				example_accept(g.x, g.s, listener, EPOLLONESHOT);
	}
}
