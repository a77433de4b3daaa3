/* SPDX-License-Identifier: MIT */
/*
 * A main reactor that accepts and sub-reactors that serve, each in a thread with a set of its own:
 * connections are dealt out in turn and stay where they are put, so nothing is shared.
 */
#include <pthread.h>

#include "common.h"

enum { SUBS = 2, EVENTS = 256 };

static struct sub {
	struct mr_context *x;
	struct mr_set *s;
} subs[SUBS];

static void *serve(void *arg)
{
	struct sub *sub = arg;
	struct epoll_event e[EVENTS];
	int i, n;

	for (;;) {
		n = mr_set_wait(sub->s, e, EVENTS, -1);
		for (i = 0; i < n; i++)
			example_handle(sub->x, sub->s, e[i].data.ptr, 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);
	int listener = example_listen(x, argv, SOCK_NONBLOCK);
	struct pollfd ready = { .fd = listener, .events = POLLIN };
	unsigned int turn = 0;
	pthread_t thread;
	int i;

	for (i = 0; i < SUBS; i++) {
		subs[i].x = x;
		example_check(mr_set_new(x, &subs[i].s), "set");
		example_check(-pthread_create(&thread, NULL, serve, &subs[i]), "thread");
	}
	for (;;)
		if (mr_poll(x, &ready, 1, -1) > 0)
			example_accept(x, subs[turn++ % SUBS].s, listener, 0);
}
