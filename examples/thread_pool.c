/* SPDX-License-Identifier: MIT */
/*
 * Eight threads and one locked queue of clients: main accepts and queues, a thread takes the
 * oldest and serves it to its end. A full queue makes main wait, and the listener's queue fills.
 */
#include <pthread.h>

#include "common.h"

enum { THREADS = 8, QUEUE = 1024 };

static struct {
	struct mr_context *x;
	pthread_mutex_t lock;
	pthread_cond_t more, room;
	int fd[QUEUE];
	unsigned int in, out;
} q = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.room = PTHREAD_COND_INITIALIZER,
};

static void put(int fd)
{
	pthread_mutex_lock(&q.lock);
	while (q.in - q.out == QUEUE)
		pthread_cond_wait(&q.room, &q.lock);
	q.fd[q.in++ % QUEUE] = fd;
	pthread_cond_signal(&q.more);
	pthread_mutex_unlock(&q.lock);
}

static int take(void)
{
	int fd;

	pthread_mutex_lock(&q.lock);
	while (q.in == q.out)
		pthread_cond_wait(&q.more, &q.lock);
	fd = q.fd[q.out++ % QUEUE];
	pthread_cond_signal(&q.room);
	pthread_mutex_unlock(&q.lock);
	return fd;
}

static void *work(void *arg)
{
	(void)arg;
	for (;;)
		example_serve(q.x, take());
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int i, listener;

	q.x = example_open(argc, argv);
	listener = example_listen(q.x, argv, 0);
	for (i = 0; i < THREADS; i++)
		example_check(-pthread_create(&thread, NULL, work, NULL), "thread");
	for (;;)
		put(example_check(mr_sock_accept(q.x, listener, NULL, NULL, 0), "accept"));
}
