/* SPDX-License-Identifier: MIT */
/*
 * A ring of operations over the sockets of a context: submissions, completions, and the set that
 * tells when a socket is to be tried again. Sockets are watched edge-triggered, from the first
 * operation on that had to wait to the socket's end: nothing is armed or taken back for each.
 */
#include "user/api/ring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int mr_ring_new(struct mr_context *x, unsigned int completions, struct mr_ring **out)
{
	struct mr_ring *r;
	int err;

	if (!x || !completions || completions > 65536)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	err = mr_set_new(x, &r->set);
	if (err) {
		free(r);
		return err;
	}
	r->context = x;
	r->pause_at = completions;
	*out = r;
	return 0;
}

void mr_ring_free(struct mr_ring *r)
{
	if (!r)
		return;
	mr_set_free(r->set);
	while (r->chunks) {
		struct ring_chunk *chunk = r->chunks;

		r->chunks = chunk->next;
		free(chunk);
	}
	ring_groups_free(r);
	free(r->fd);
	free(r->again);
	free(r->cqe);
	api_timers_free(&r->timers);
	free(r->file_bytes);
	free(r);
}

/* ----- completions ----- */

bool ring_is_full(const struct mr_ring *r)
{
	return r->n_cqes >= r->pause_at;
}

/* One of each operation, what multishot ones may leave waiting, and the one that it adds. */
static bool make_room(struct mr_ring *r, size_t wanted)
{
	size_t room = r->cqe_room ? r->cqe_room : 64;
	struct mr_cqe *cqe;

	if (wanted <= r->cqe_room)
		return true;
	while (room < wanted)
		room *= 2;
	cqe = reallocarray(NULL, room, sizeof(*cqe));
	if (!cqe)
		return false;
	for (size_t i = 0; i < r->n_cqes; i++)
		cqe[i] = r->cqe[(r->cqe_first + i) & (r->cqe_room - 1)];
	free(r->cqe);
	r->cqe = cqe;
	r->cqe_room = room;
	r->cqe_first = 0;
	return true;
}

void ring_complete(struct mr_ring *r, struct ring_op *op, int64_t result, uint32_t flags,
		   uint32_t buffer)
{
	r->cqe[(r->cqe_first + r->n_cqes++) & (r->cqe_room - 1)] = (struct mr_cqe){
		.user = op->sqe.user,
		.result = result,
		.flags = flags,
		.buffer = buffer,
	};
}

static bool succeeded(const struct ring_op *op, int64_t result)
{
	switch (op->sqe.op) {
	case MR_OP_TIMEOUT:
		return result == -ETIME;
	case MR_OP_SEND:
		return result == (int64_t)op->sqe.len;
	case MR_OP_RECV:
		return result >= 0 &&
		       (!(op->sqe.msg_flags & MSG_WAITALL) || result == (int64_t)op->sqe.len);
	default:
		return result >= 0;
	}
}

static void give(struct mr_ring *r, struct ring_op *op)
{
	op->state = RING_FREE;
	op->next = r->free_op;
	r->free_op = op;
	r->n_ops--;
}

/*
 * The operation is over and in no queue any more. What was linked behind it can be started, or it
 * is cancelled, with all that follow.
 */
static void finish(struct mr_ring *r, struct ring_op *op, int64_t result, uint32_t flags,
		   uint32_t buffer)
{
	bool ok = succeeded(op, result);
	struct ring_op *next = op->linked;

	if (!(ok && op->sqe.flags & MR_SQE_QUIET))
		ring_complete(r, op, result, flags, buffer);
	give(r, op);
	if (next && ok) {
		next->state = RING_SUBMITTED;
		next->before = NULL;
		ring_push(&r->startable, next);
		return;
	}
	while (next) {
		op = next;
		next = op->linked;
		ring_complete(r, op, -ECANCELED, 0, 0);
		give(r, op);
	}
}

/* Take it out of wherever it waits. */
static void withdraw(struct mr_ring *r, struct ring_op *op)
{
	struct ring_fd *f;

	if (op->before)
		op->before->linked = NULL;
	ring_unlink(&r->startable, op);
	api_timer_clear(&r->timers, &op->timer);
	if (op->sqe.fd < 0 || op->sqe.fd >= r->n_fds)
		return;
	f = &r->fd[op->sqe.fd];
	ring_unlink(&f->in, op);
	ring_unlink(&f->out, op);
	ring_unlink(&f->polls, op);
}

void ring_done_with(struct mr_ring *r, struct ring_op *op, int64_t result, uint32_t flags,
		    uint32_t buffer)
{
	withdraw(r, op);
	finish(r, op, result, flags, buffer);
}

void ring_done(struct mr_ring *r, struct ring_op *op, int64_t result)
{
	ring_done_with(r, op, result, 0, 0);
}

void ring_cancel(struct mr_ring *r, struct ring_op *op)
{
	ring_done(r, op, -ECANCELED);
}

int ring_cancel_all(struct mr_ring *r, uint64_t user, const struct ring_op *but)
{
	int n = 0;

	for (struct ring_chunk *chunk = r->chunks; chunk; chunk = chunk->next) {
		for (int i = 0; i < RING_CHUNK; i++) {
			struct ring_op *op = &chunk->op[i];

			if (op == but || op->sqe.user != user || op->state == RING_FREE ||
			    op->state == RING_FILLING)
				continue;
			ring_cancel(r, op);
			n++;
		}
	}
	return n;
}

/* ----- sockets ----- */

struct ring_fd *ring_fd(struct mr_ring *r, int fd, int *error)
{
	struct ring_fd *f;

	if (fd < 0) {
		*error = -EBADF;
		return NULL;
	}
	if (fd >= r->n_fds) {
		int n = r->n_fds ? r->n_fds : 64;
		int *again;

		while (n <= fd)
			n *= 2;
		f = reallocarray(r->fd, (size_t)n, sizeof(*f));
		if (f)
			r->fd = f;
		/* twice: those that are being tried, and those put on the list meanwhile */
		again = f ? reallocarray(r->again, 2 * (size_t)n, sizeof(*again)) : NULL;
		if (!again) {
			*error = -ENOMEM;
			return NULL;
		}
		memset(r->fd + r->n_fds, 0, (size_t)(n - r->n_fds) * sizeof(*f));
		r->again = again;
		r->n_fds = n;
	}
	f = &r->fd[fd];
	if (!f->seen) {
		*error = mr_sock_blocking(r->context, fd, false);
		if (*error)
			return NULL;
		f->seen = true;
	}
	return f;
}

/* From now on the set tells when something comes anew; what is there already it tells at once. */
int ring_watch(struct mr_ring *r, int fd)
{
	struct ring_fd *f = &r->fd[fd];
	int err;

	if (f->watched)
		return 0;
	err = mr_set_add(r->set, fd, EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET,
			 (epoll_data_t){ .fd = fd });
	f->watched = !err;
	return err;
}

/* Try it again at the next wait, without an event. */
void ring_again(struct mr_ring *r, int fd)
{
	if (!r->fd[fd].again) {
		r->fd[fd].again = true;
		r->again[r->n_again++] = fd;
	}
}

/* The socket is about to be closed: nothing of it is under way any more. */
void ring_forget(struct mr_ring *r, int fd)
{
	struct ring_fd *f = &r->fd[fd];

	while (f->in.head)
		ring_cancel(r, f->in.head);
	while (f->out.head)
		ring_cancel(r, f->out.head);
	while (f->polls.head)
		ring_cancel(r, f->polls.head);
	*f = (struct ring_fd){ .again = f->again };
}

/* ----- submissions ----- */

static struct ring_op *take(struct mr_ring *r)
{
	struct ring_op *op;

	if (!r->free_op) {
		struct ring_chunk *chunk = calloc(1, sizeof(*chunk));

		if (!chunk)
			return NULL;
		chunk->next = r->chunks;
		r->chunks = chunk;
		for (int i = RING_CHUNK - 1; i >= 0; i--) {
			chunk->op[i].next = r->free_op;
			r->free_op = &chunk->op[i];
		}
	}
	if (!make_room(r, r->n_cqes + r->n_ops + 1 + r->pause_at))
		return NULL;
	op = r->free_op;
	r->free_op = op->next;
	r->n_ops++;
	return op;
}

struct mr_sqe *mr_ring_sqe(struct mr_ring *r)
{
	struct ring_op *op = take(r);

	if (!op)
		return NULL;
	*op = (struct ring_op){ .sqe.fd = -1, .state = RING_FILLING };
	ring_push(&r->filled, op);
	return &op->sqe;
}

static void start_all(struct mr_ring *r)
{
	struct ring_op *op;

	while ((op = ring_pop(&r->startable)))
		ring_start(r, op);
}

int mr_ring_submit(struct mr_ring *r)
{
	struct ring_op *op, *before = NULL;
	int n = 0;

	while ((op = ring_pop(&r->filled))) {
		if (before) {
			before->linked = op;
			op->before = before;
			op->state = RING_HELD;
		} else {
			op->state = RING_SUBMITTED;
			ring_push(&r->startable, op);
		}
		before = op->sqe.flags & MR_SQE_LINK ? op : NULL;
		n++;
	}
	start_all(r);
	return n;
}

/* ----- waiting ----- */

static unsigned int collect(struct mr_ring *r, struct mr_cqe *out, unsigned int most)
{
	unsigned int n = 0;

	while (n < most && r->n_cqes) {
		out[n++] = r->cqe[r->cqe_first];
		r->cqe_first = (r->cqe_first + 1) & (r->cqe_room - 1);
		r->n_cqes--;
	}
	return n;
}

/* Those that were left because others had their turn, or completions were not collected. */
static void try_again(struct mr_ring *r)
{
	int n = r->n_again;

	if (!n)
		return;
	for (int i = 0; i < n; i++) {
		int fd = r->again[i];

		r->fd[fd].again = false;
		ring_run(r, fd, 0);
	}
	/* what they put on the list stands behind those */
	r->n_again -= n;
	memmove(r->again, r->again + n, (size_t)r->n_again * sizeof(*r->again));
}

static void timers_fire(struct mr_ring *r)
{
	uint64_t now = r->timers.n ? api_now_ns() : 0;
	struct api_timer *t;

	while ((t = api_timer_due(&r->timers, now)))
		ring_done(r, API_TIMER_OWNER(t, struct ring_op, timer), -ETIME);
}

/* One look at the set, sleeping @ms at most while there is nothing. Return: 0 or -errno */
static int look(struct mr_ring *r, int ms)
{
	struct epoll_event event[RING_EVENTS];
	int n = mr_set_wait(r->set, event, RING_EVENTS, ms);

	for (int i = 0; i < n; i++)
		if (r->fd[event[i].data.fd].seen)
			ring_run(r, event[i].data.fd, event[i].events);
	timers_fire(r);
	start_all(r);
	return n < 0 ? n : 0;
}

int mr_ring_wait(struct mr_ring *r, struct mr_cqe *out, unsigned int most, int timeout_ms)
{
	uint64_t until = timeout_ms > 0 ? api_now_ns() + (uint64_t)timeout_ms * 1000000 : 0;
	int err, left = timeout_ms;

	if (!most)
		return -EINVAL;
	mr_ring_submit(r);
	try_again(r);
	start_all(r);
	for (;;) {
		err = look(r, r->n_cqes || r->n_again ? 0 : api_timers_wait_ms(&r->timers, left));
		if (r->n_cqes || err)
			break;
		if (timeout_ms > 0) {
			uint64_t now = api_now_ns();

			left = now < until ? (int)((until - now + 999999) / 1000000) : 0;
		}
		if (!left && !r->n_again)
			break;
		try_again(r);
		start_all(r);
	}
	if (err && !r->n_cqes)
		return err;
	return (int)collect(r, out, most);
}
