/* SPDX-License-Identifier: MIT */
/*
 * Completions: operations are submitted, and what became of them is collected later, as io_uring
 * does it, over the sockets of a context on any backend.
 *
 * mr_ring_sqe() gives a free submission to be filled in; mr_ring_submit() starts all that were
 * filled; mr_ring_wait() starts them too and collects completions. Each operation that is not
 * multishot completes exactly once, in no promised order; operations of one direction of one
 * socket are carried out in the order of their submission.
 *
 * A ring belongs to one thread at a time. It makes the sockets that it is given non-blocking. A
 * socket that a ring has seen is closed by MR_OP_CLOSE of the same ring. On "lane" and "wire"
 * operations that need not sleep cost no system call.
 */
#ifndef MILLRACE_RING_H
#define MILLRACE_RING_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <millrace/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_ring;

enum mr_op {
	MR_OP_NOP,
	MR_OP_ACCEPT,  /* result: the socket, non-blocking. @addr: out, may be NULL */
	MR_OP_CONNECT, /* @addr, @addr_len */
	MR_OP_RECV, /* @buf, @len, @msg_flags (0, MSG_PEEK, MSG_WAITALL); result: bytes, 0: end */
	MR_OP_SEND, /* @buf, @len, @msg_flags (0, MSG_MORE); result: @len, or what went before an
		     * error */
	MR_OP_SENDFILE, /* @file, @offset, @len; result: bytes, fewer where the file ends */
	MR_OP_SHUTDOWN, /* @how, behind everything that was submitted to be sent before */
	MR_OP_CLOSE,	/* everything else of the socket ends with -ECANCELED first */
	MR_OP_POLL,	/* @events (EPOLL bits); result: those that hold */
	MR_OP_TIMEOUT,	/* @timeout_ms from now; result: -ETIME */
	MR_OP_CANCEL,	/* every operation with @target as its user word; result: how many, or
			 * -ENOENT. They complete with -ECANCELED */
	MR_OP_COUNT
};

/* struct mr_sqe.flags */
enum {
	MR_SQE_LINK = 1 << 0,	   /* the next submission waits for this one, and is cancelled
				    * (-ECANCELED) when it fails, or MSG_WAITALL got less */
	MR_SQE_MULTISHOT = 1 << 1, /* ACCEPT, RECV (with MR_SQE_SELECT), POLL: completes again and
				    * again, with MR_CQE_MORE, until it fails or is cancelled */
	MR_SQE_SELECT = 1 << 2,	   /* RECV takes a buffer of @group when bytes are there */
	MR_SQE_EDGE = 1 << 3,	   /* POLL, multishot: only when something came anew */
	MR_SQE_QUIET = 1 << 4,	   /* no completion when it succeeds */
};

/**
 * struct mr_sqe - a submission; all that is not named is 0 as mr_ring_sqe() gives it
 * @user:	given back with each completion
 *
 * Memory that @buf and @addr name stays untouched by its owner until the completion.
 */
struct mr_sqe {
	uint8_t op;
	uint8_t flags;
	uint16_t group;
	int fd;
	uint64_t user;
	void *buf; /* RECV, SEND */
	size_t len;
	int msg_flags;
	int how;	       /* SHUTDOWN */
	struct sockaddr *addr; /* CONNECT, ACCEPT */
	socklen_t addr_len;    /* CONNECT: bytes; ACCEPT: room */
	socklen_t *addr_out;   /* ACCEPT: out, bytes; may be NULL */
	int file;	       /* SENDFILE */
	uint32_t events;       /* POLL */
	off_t offset;
	uint64_t target; /* CANCEL */
	uint32_t timeout_ms;
};

/* struct mr_cqe.flags */
enum {
	MR_CQE_MORE = 1 << 0,	/* multishot: others follow */
	MR_CQE_BUFFER = 1 << 1, /* @buffer of the operation's group holds the bytes */
};

/* A completion. @result: as said above, or a negative errno. */
struct mr_cqe {
	uint64_t user;
	int64_t result;
	uint32_t flags;
	uint32_t buffer;
};

/**
 * mr_ring_new() - a ring over the sockets of @x
 * @completions: multishot operations pause while as many wait to be collected, 1 to 65536
 *
 * Return: 0, or -EINVAL, -ENOMEM, -EMFILE
 */
int mr_ring_new(struct mr_context *x, unsigned int completions, struct mr_ring **out);

/** mr_ring_free() - forget what is under way; sockets stay open. NULL is allowed */
void mr_ring_free(struct mr_ring *r);

/** mr_ring_sqe() - a submission to be filled in, zeroed, fd -1; NULL: no memory */
struct mr_sqe *mr_ring_sqe(struct mr_ring *r);

/**
 * mr_ring_submit() - start what was filled in
 *
 * What is wrong with a submission is told by its completion. Return: how many were started
 */
int mr_ring_submit(struct mr_ring *r);

/**
 * mr_ring_wait() - submit, then collect
 * @out:	room for @most completions
 * @timeout_ms:	how long to sleep while there is none; 0: not, -1: for ever
 *
 * Return: completions written, 0: the time is over; -EINTR, -EINVAL
 */
int mr_ring_wait(struct mr_ring *r, struct mr_cqe *out, unsigned int most, int timeout_ms);

/**
 * mr_ring_provide() - a group of buffers for MR_SQE_SELECT
 * @group:	any number that has no buffers yet
 * @memory:	@n times @bytes; the caller's, untouched until the ring is gone, but for buffers
 *		that a completion handed out
 * @n:		1 to 65536
 *
 * Return: 0, or -EEXIST, -EINVAL, -ENOMEM
 */
int mr_ring_provide(struct mr_ring *r, uint16_t group, void *memory, size_t bytes, unsigned int n);

/** mr_ring_return() - give buffers of a group back. Return: 0, or -EINVAL: none was taken */
int mr_ring_return(struct mr_ring *r, uint16_t group, const uint32_t *buffers, unsigned int n);

#ifdef __cplusplus
}
#endif
#endif
