/* SPDX-License-Identifier: MIT */
/* A thread for each client, with a small stack: it sleeps in mr_sock_recv() most of its life. */
#include <pthread.h>
#include <stdlib.h>

#include "common.h"

enum { STACK_BYTES = 64 * 1024 };

struct client {
	struct mr_context *x;
	int fd;
};

static void *serve(void *arg)
{
	struct client c = *(struct client *)arg;

	free(arg);
	example_serve(c.x, c.fd);
	return NULL;
}

static void start(struct mr_context *x, int fd, const pthread_attr_t *attr)
{
	struct client *c = malloc(sizeof(*c));
	pthread_t thread;

	if (c) {
		c->x = x;
		c->fd = fd;
	}
	if (!c || pthread_create(&thread, attr, serve, c)) {
		free(c);
		mr_sock_abort(x, fd); /* no room for one more: say so at once */
	}
}

int main(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);
	int listener = example_listen(x, argv, 0);
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;)
		start(x, example_check(mr_sock_accept(x, listener, NULL, NULL, 0), "accept"),
		      &attr);
}
