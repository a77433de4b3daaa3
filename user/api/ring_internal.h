/* SPDX-License-Identifier: MIT */
/* Between the files of the completion ring. */
#ifndef MR_API_RING_INTERNAL_H
#define MR_API_RING_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <millrace/ring.h>
#include <millrace/set.h>
#include <millrace/sock.h>

#include "user/api/timers.h"

enum {
	RING_CHUNK = 64,  /* operations that are allocated at a time */
	RING_EVENTS = 64, /* of the set, collected at a time */
	RING_TRIES = 16,  /* of one direction of one socket, before others have their turn */
	RING_FILE_BYTES = 1 << 16,
};

enum ring_op_state {
	RING_FREE,
	RING_FILLING,	/* given out by mr_ring_sqe() */
	RING_SUBMITTED, /* to be started, or under way */
	RING_HELD,	/* behind another one, by MR_SQE_LINK */
};

struct ring_op {
	struct mr_sqe sqe; /* first: what the caller holds */
	struct ring_op *next;
	struct ring_op *linked; /* waits for this one */
	struct ring_op *before; /* while it is held: what it waits for */
	enum ring_op_state state;
	bool begun;  /* CONNECT: the backend was asked */
	size_t done; /* bytes */
	struct api_timer timer;
};

struct ring_queue {
	struct ring_op *head, *tail;
};

/* One socket. What waits in a queue is carried out from its head, one at a time. */
struct ring_fd {
	struct ring_queue in, out, polls;
	int in_error, out_error; /* came behind a part that was told as a success */
	bool seen;
	bool watched; /* in the set, edge-triggered */
	bool again;   /* on the list of those to be tried without an event */
};

struct ring_group {
	struct ring_group *next;
	uint16_t number;
	uint8_t *memory;
	size_t bytes;
	uint32_t n, n_free;
	uint32_t *free; /* a stack */
	bool *taken;
};

struct mr_ring {
	struct mr_context *context;
	struct mr_set *set;

	struct ring_chunk {
		struct ring_chunk *next;
		struct ring_op op[RING_CHUNK];
	} * chunks;
	struct ring_op *free_op;
	size_t n_ops; /* not free */
	struct ring_queue filled;
	struct ring_queue startable; /* submitted, and what they were linked behind succeeded */

	struct ring_fd *fd;
	int n_fds;
	int *again;
	int n_again;

	/* completions: a circle that always has room for one of each operation */
	struct mr_cqe *cqe;
	size_t cqe_room, cqe_first, n_cqes;
	size_t pause_at;

	struct api_timers timers;

	struct ring_group *groups;
	uint8_t *file_bytes;
};

/* ring.c */
void ring_complete(struct mr_ring *r, struct ring_op *op, int64_t result, uint32_t flags,
		   uint32_t buffer);
void ring_done(struct mr_ring *r, struct ring_op *op, int64_t result);
void ring_done_with(struct mr_ring *r, struct ring_op *op, int64_t result, uint32_t flags,
		    uint32_t buffer);
struct ring_fd *ring_fd(struct mr_ring *r, int fd, int *error);
int ring_cancel_all(struct mr_ring *r, uint64_t user, const struct ring_op *but);
void ring_forget(struct mr_ring *r, int fd);
void ring_cancel(struct mr_ring *r, struct ring_op *op);
int ring_watch(struct mr_ring *r, int fd);
void ring_again(struct mr_ring *r, int fd);
bool ring_is_full(const struct mr_ring *r);

/* ring_ops.c: what operations do */
void ring_start(struct mr_ring *r, struct ring_op *op);
void ring_run(struct mr_ring *r, int fd, uint32_t events);

/* ring_buffers.c */
struct ring_group *ring_group(struct mr_ring *r, uint16_t number);
uint8_t *ring_buffer_top(struct ring_group *g, uint32_t *buffer);
void ring_buffer_take(struct ring_group *g);
void ring_groups_free(struct mr_ring *r);

/* queues */
static inline void ring_push(struct ring_queue *q, struct ring_op *op)
{
	op->next = NULL;
	if (q->tail)
		q->tail->next = op;
	else
		q->head = op;
	q->tail = op;
}

static inline struct ring_op *ring_pop(struct ring_queue *q)
{
	struct ring_op *op = q->head;

	if (op) {
		q->head = op->next;
		if (!q->head)
			q->tail = NULL;
	}
	return op;
}

static inline void ring_unlink(struct ring_queue *q, struct ring_op *op)
{
	struct ring_op **at = &q->head, *before = NULL;

	while (*at && *at != op) {
		before = *at;
		at = &before->next;
	}
	if (!*at)
		return;
	*at = op->next;
	if (q->tail == op)
		q->tail = before;
}

#endif
