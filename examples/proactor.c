/* SPDX-License-Identifier: MIT */
/*
 * One thread and one ring: it submits what it wants done and sleeps until something of it is. A
 * connection has one operation under way, so its bytes stay in order and one buffer is enough.
 */
#include <errno.h>
#include <stdlib.h>

#include <millrace/ring.h>

#include "common.h"

struct conn {
	int fd;
	enum mr_op under_way;
	char buf[2048];
};

static struct mr_sqe *operation(struct mr_ring *r, enum mr_op op, int fd, void *of)
{
	struct mr_sqe *s = mr_ring_sqe(r);

	if (!s)
		example_check(-ENOMEM, "ring");
	s->op = (uint8_t)op;
	s->fd = fd;
	s->user = (uint64_t)(uintptr_t)of;
	return s;
}

static void next(struct mr_ring *r, struct conn *c, enum mr_op op, size_t len)
{
	struct mr_sqe *s = operation(r, op, c->fd, c);

	s->buf = c->buf;
	s->len = len;
	c->under_way = op;
}

static void connection(struct mr_ring *r, int fd)
{
	struct conn *c = malloc(sizeof(*c));

	if (!c) {
		operation(r, MR_OP_CLOSE, fd, NULL)->flags = MR_SQE_QUIET;
		return;
	}
	c->fd = fd;
	next(r, c, MR_OP_RECV, sizeof(c->buf));
}

/* What was received goes back; what was sent makes room; the end and errors close. */
static void completed(struct mr_ring *r, struct conn *c, int64_t result)
{
	if (c->under_way == MR_OP_CLOSE) {
		free(c);
	} else if (result <= 0) {
		operation(r, MR_OP_CLOSE, c->fd, c);
		c->under_way = MR_OP_CLOSE;
	} else if (c->under_way == MR_OP_RECV) {
		next(r, c, MR_OP_SEND, (size_t)result);
	} else {
		next(r, c, MR_OP_RECV, sizeof(c->buf));
	}
}

/* In @ms: where there is no descriptor for another connection, some may be closed by then. */
static void listen_on(struct mr_ring *r, int listener, uint32_t ms)
{
	struct mr_sqe *wait = operation(r, MR_OP_TIMEOUT, -1, NULL);

	wait->timeout_ms = ms;
	wait->flags = MR_SQE_LINK | MR_SQE_QUIET;
	operation(r, MR_OP_ACCEPT, listener, NULL)->flags = MR_SQE_MULTISHOT;
}

int main(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);
	int listener = example_listen(x, argv, 0);
	struct mr_cqe done[64];
	struct mr_ring *r;

	example_check(mr_ring_new(x, 1024, &r), "ring");
	listen_on(r, listener, 0);
	for (;;) {
		int n = mr_ring_wait(r, done, 64, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = (struct conn *)(uintptr_t)done[i].user;

			if (c)
				completed(r, c, done[i].result);
			else if (done[i].result > 0)
				connection(r, (int)done[i].result);
			else if (!(done[i].flags & MR_CQE_MORE))
				listen_on(r, listener, 100);
		}
		if (n != -EINTR)
			example_check(n, "wait");
	}
}
