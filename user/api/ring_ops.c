/* SPDX-License-Identifier: MIT */
/*
 * What the operations of a ring do. Each is tried when it comes to the head of its direction of
 * its socket, and again when the set says that something changed there, until it is not -EAGAIN.
 */
#include "user/api/ring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What a completion has to say. */
struct outcome {
	int64_t result;
	uint32_t flags;
	uint32_t buffer;
};

/* ----- one try of each; -EAGAIN: wait ----- */

static int64_t try_accept(struct mr_ring *r, const struct mr_sqe *s)
{
	socklen_t len = s->addr_len;
	int fd = mr_sock_accept(r->context, s->fd, s->addr, s->addr ? &len : NULL, SOCK_NONBLOCK);

	if (fd >= 0 && s->addr_out)
		*s->addr_out = len;
	return fd;
}

static int64_t try_connect(struct mr_ring *r, struct ring_op *op)
{
	const struct mr_sqe *s = &op->sqe;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int err;

	if (!op->begun) {
		op->begun = true;
		err = mr_sock_connect(r->context, s->fd, s->addr, s->addr_len);
		return err == -EINPROGRESS ? -EAGAIN : err;
	}
	err = mr_sock_error(r->context, s->fd);
	if (err)
		return err < 0 ? err : -err;
	err = mr_sock_peer(r->context, s->fd, (struct sockaddr *)&peer, &len);
	return err == -ENOTCONN ? -EAGAIN : err;
}

static int64_t try_recv(struct mr_ring *r, struct ring_op *op, struct outcome *o)
{
	const struct mr_sqe *s = &op->sqe;
	struct ring_group *g;
	uint8_t *to;
	ssize_t n;

	if (!(s->flags & MR_SQE_SELECT))
		return mr_sock_recv(r->context, s->fd, (uint8_t *)s->buf + op->done,
				    s->len - op->done, (s->msg_flags & MSG_PEEK) | MSG_DONTWAIT);
	g = ring_group(r, s->group);
	to = g ? ring_buffer_top(g, &o->buffer) : NULL;
	if (!to)
		return -ENOBUFS;
	n = mr_sock_recv(r->context, s->fd, to, s->len && s->len < g->bytes ? s->len : g->bytes,
			 MSG_DONTWAIT);
	if (n > 0) {
		ring_buffer_take(g);
		o->flags = MR_CQE_BUFFER;
	}
	return n;
}

static int64_t try_send(struct mr_ring *r, struct ring_op *op)
{
	const struct mr_sqe *s = &op->sqe;

	return mr_sock_send(r->context, s->fd, (uint8_t *)s->buf + op->done, s->len - op->done,
			    (s->msg_flags & MSG_MORE) | MSG_DONTWAIT);
}

/* Through a buffer of the ring: what the socket does not take is read again next time. */
static int64_t try_sendfile(struct mr_ring *r, struct ring_op *op)
{
	const struct mr_sqe *s = &op->sqe;
	size_t len = s->len - op->done;
	ssize_t n;

	if (!r->file_bytes)
		r->file_bytes = malloc(RING_FILE_BYTES);
	if (!r->file_bytes)
		return -ENOMEM;
	n = pread(s->file, r->file_bytes, len < RING_FILE_BYTES ? len : RING_FILE_BYTES,
		  s->offset + (off_t)op->done);
	if (n <= 0)
		return n ? -errno : 0;
	return mr_sock_send(r->context, s->fd, r->file_bytes, (size_t)n, MSG_DONTWAIT);
}

/*
 * Go on with one that moves bytes. Return: what it completes with, or -EAGAIN. An error behind
 * bytes that were moved is kept for the next operation of the direction.
 */
static int64_t move(struct mr_ring *r, struct ring_op *op, struct outcome *o, int *error)
{
	struct mr_sqe *s = &op->sqe;
	bool whole = s->op != MR_OP_RECV || s->msg_flags & MSG_WAITALL;
	size_t len = s->len;
	int64_t n;

	if (*error) {
		n = *error;
		*error = 0;
		return n;
	}
	if (s->op == MR_OP_SEND && !len)
		return 0;
	do {
		if (s->op == MR_OP_RECV)
			n = try_recv(r, op, o);
		else
			n = s->op == MR_OP_SEND ? try_send(r, op) : try_sendfile(r, op);
		if (n == -EAGAIN)
			return n;
		if (n > 0)
			op->done += (size_t)n;
	} while (whole && n > 0 && op->done < len);
	if (!op->done)
		return n;
	if (n < 0)
		*error = (int)n;
	return (int64_t)op->done;
}

static int64_t attempt(struct mr_ring *r, struct ring_op *op, struct outcome *o, int *error)
{
	switch (op->sqe.op) {
	case MR_OP_ACCEPT:
		return try_accept(r, &op->sqe);
	case MR_OP_CONNECT:
		return try_connect(r, op);
	case MR_OP_SHUTDOWN:
		return mr_sock_shutdown(r->context, op->sqe.fd, op->sqe.how);
	default:
		return move(r, op, o, error);
	}
}

/* ----- a direction of a socket ----- */

/* Is there another completion to come from it? */
static bool goes_on(const struct ring_op *op, const struct outcome *o)
{
	return op->sqe.flags & MR_SQE_MULTISHOT &&
	       (op->sqe.op == MR_OP_ACCEPT ? o->result >= 0 : o->result > 0);
}

static void run_queue(struct mr_ring *r, int fd, struct ring_queue *q, int *error)
{
	for (int tries = 0; q->head; tries++) {
		struct ring_op *op = q->head;
		struct outcome o = { 0 };

		if (tries == RING_TRIES || (op->sqe.flags & MR_SQE_MULTISHOT && ring_is_full(r))) {
			ring_again(r, fd);
			return;
		}
		o.result = attempt(r, op, &o, error);
		if (o.result == -EAGAIN) {
			o.result = ring_watch(r, fd);
			if (!o.result)
				return;
		}
		if (goes_on(op, &o)) {
			op->done = 0;
			ring_complete(r, op, o.result, o.flags | MR_CQE_MORE, o.buffer);
		} else {
			ring_done_with(r, op, o.result, o.flags, o.buffer);
		}
	}
}

/* What holds now of @events, errors and hang-ups always. */
static uint32_t level(struct mr_ring *r, int fd, uint32_t events)
{
	struct pollfd p = { .fd = fd, .events = (short)events };

	return mr_poll(r->context, &p, 1, 0) > 0 ? (uint32_t)(uint16_t)p.revents : 0;
}

/* @events: what the set told, 0: nothing, it is looked at without an event. */
static void run_polls(struct mr_ring *r, int fd, uint32_t events)
{
	struct ring_op *next;

	for (struct ring_op *op = r->fd[fd].polls.head; op; op = next) {
		uint32_t wanted = op->sqe.events | EPOLLERR | EPOLLHUP;
		bool edge = op->sqe.flags & MR_SQE_EDGE;
		uint32_t have = edge ? events & wanted : level(r, fd, op->sqe.events);

		next = op->next;
		if (!have)
			continue;
		if (!(op->sqe.flags & MR_SQE_MULTISHOT)) {
			ring_done(r, op, have);
			continue;
		}
		if (!ring_is_full(r))
			ring_complete(r, op, have, MR_CQE_MORE, 0);
		if (!edge)
			ring_again(r, fd);
	}
}

void ring_run(struct mr_ring *r, int fd, uint32_t events)
{
	run_queue(r, fd, &r->fd[fd].in, &r->fd[fd].in_error);
	run_queue(r, fd, &r->fd[fd].out, &r->fd[fd].out_error);
	run_polls(r, fd, events);
}

/* ----- starts ----- */

static void start_poll(struct mr_ring *r, struct ring_op *op)
{
	int fd = op->sqe.fd, err = ring_watch(r, fd);
	uint32_t have;

	ring_push(&r->fd[fd].polls, op);
	if (err) {
		ring_done(r, op, err);
		return;
	}
	have = level(r, fd, op->sqe.events);
	if (!have)
		return;
	if (!(op->sqe.flags & MR_SQE_MULTISHOT)) {
		ring_done(r, op, have);
		return;
	}
	ring_complete(r, op, have, MR_CQE_MORE, 0);
	if (!(op->sqe.flags & MR_SQE_EDGE))
		ring_again(r, fd);
}

static void start_timeout(struct mr_ring *r, struct ring_op *op)
{
	int err = api_timer_set(&r->timers, &op->timer,
				api_now_ns() + (uint64_t)op->sqe.timeout_ms * 1000000);

	if (err)
		ring_done(r, op, err);
}

static void start_queued(struct mr_ring *r, struct ring_op *op, bool in)
{
	struct ring_fd *f = &r->fd[op->sqe.fd];
	struct ring_queue *q = in ? &f->in : &f->out;

	ring_push(q, op);
	if (q->head == op)
		run_queue(r, op->sqe.fd, q, in ? &f->in_error : &f->out_error);
}

static bool is_well_formed(const struct mr_sqe *s)
{
	switch (s->op) {
	case MR_OP_RECV:
		if (s->flags & MR_SQE_SELECT)
			return !(s->msg_flags & (MSG_PEEK | MSG_WAITALL));
		return !(s->flags & MR_SQE_MULTISHOT);
	case MR_OP_ACCEPT:
	case MR_OP_POLL:
		return true;
	default:
		return s->op < MR_OP_COUNT && !(s->flags & MR_SQE_MULTISHOT);
	}
}

/* Those that need no socket. */
static bool start_without_socket(struct mr_ring *r, struct ring_op *op)
{
	int n;

	switch (op->sqe.op) {
	case MR_OP_NOP:
		ring_done(r, op, 0);
		return true;
	case MR_OP_TIMEOUT:
		start_timeout(r, op);
		return true;
	case MR_OP_CANCEL:
		n = ring_cancel_all(r, op->sqe.target, op);
		ring_done(r, op, n ? n : -ENOENT);
		return true;
	default:
		return false;
	}
}

void ring_start(struct mr_ring *r, struct ring_op *op)
{
	int error = 0, fd = op->sqe.fd;

	if (!is_well_formed(&op->sqe)) {
		ring_done(r, op, -EINVAL);
		return;
	}
	if (start_without_socket(r, op))
		return;
	if (!ring_fd(r, fd, &error)) {
		ring_done(r, op, error);
		return;
	}
	switch (op->sqe.op) {
	case MR_OP_POLL:
		start_poll(r, op);
		break;
	case MR_OP_CLOSE:
		ring_forget(r, fd);
		ring_done(r, op, mr_sock_close(r->context, fd));
		break;
	default:
		start_queued(r, op, op->sqe.op == MR_OP_ACCEPT || op->sqe.op == MR_OP_RECV);
	}
}
