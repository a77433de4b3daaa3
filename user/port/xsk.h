/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP on raw rings (Documentation/networking/af_xdp.rst). The daemon's privileged parent opens
 * and binds the socket; an unprivileged lane maps the rings of the descriptor it was passed. libxdp
 * 1.3.1 cannot do the second half.
 */
#ifndef MR_XSK_H
#define MR_XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/port/port.h"

/* Ring sizes: powers of two. */
struct mr_xsk_sizes {
	uint32_t rx;
	uint32_t tx;
	uint32_t fill;
	uint32_t completion;
};

enum mr_xsk_bind {
	MR_XSK_AUTO,	  /* zero-copy, then copy */
	MR_XSK_ZERO_COPY, /* or fail */
	MR_XSK_COPY,	  /* or fail */
};

/**
 * struct mr_xsk_setup - what mr_xsk_open() and its two halves are asked and what they got
 * @umem, @umem_bytes, @frame_bytes: the arena's frame area as mapped in this process; page aligned
 * @bind:	which rungs of the ladder to try
 * @zero_copy:	out: bound zero-copy
 * @why:	out: why the better rung was refused, in words, or ""
 */
struct mr_xsk_setup {
	void *umem;
	uint64_t umem_bytes;
	uint32_t frame_bytes;
	uint32_t ifindex;
	uint32_t queue;
	struct mr_xsk_sizes sizes;
	enum mr_xsk_bind bind;
	bool zero_copy;
	char why[160];
};

/**
 * mr_xsk_open() - socket, UMEM, rings, bind; privileged
 *
 * Retries EBUSY for at most 200 ms (a socket that was just closed, kernel: asynchronous unbind).
 * @s->why names the cure on error as well: ENOBUFS (memlock), EBUSY (another socket has the queue),
 * EINVAL (queue does not exist), EOPNOTSUPP, EPERM.
 *
 * Return: descriptor, or -errno with nothing left
 */
int mr_xsk_open(struct mr_xsk_setup *s);

/** mr_xsk_make() - its first half: socket, UMEM and rings, to be bound later */
int mr_xsk_make(struct mr_xsk_setup *s);

/**
 * mr_xsk_bind() - its second half; @s->umem and sizes are not looked at
 *
 * Return: 0, or -errno with words in @s->why; @fd stays the caller's and may be bound again
 */
int mr_xsk_bind(int fd, struct mr_xsk_setup *s);

/**
 * mr_xsk_can_map_bound() - can the rings of this bound socket be mapped?
 *
 * Linux before 6.4 refuses it (EBUSY): whoever is to map them must have done so before the bind.
 */
bool mr_xsk_can_map_bound(int fd);

/** struct mr_xsk - a lane's view of the rings */
struct mr_xsk;

/**
 * mr_xsk_attach() - map the rings of a socket; before Linux 6.4 of one that is not bound yet
 * @fd:		stays the caller's
 * @frame_bytes, @umem_bytes: bounds that every descriptor from the kernel is checked against
 *
 * Needs no privilege. Takes up where a former owner stopped: ring indexes live in the rings. What
 * receive() returned stands in the receive ring until the next receive() or fill(), so that a
 * new owner still finds the batch that was in hand when this process died; therefore sleep only
 * after a receive() that returned 0. Descriptors outside the bounds are never handed up; they
 * count as rx_invalid.
 *
 * Return: the port, or NULL with errno: EINVAL (sizes), EOPNOTSUPP (kernel before 5.4), EBADMSG
 *	   (indexes that no ring of this size can have), or that of getsockopt or mmap
 */
struct mr_port *mr_xsk_attach(int fd, const struct mr_xsk_sizes *sizes, uint32_t frame_bytes,
			      uint64_t umem_bytes);

/** mr_xsk_bound() - the socket was bound after mr_xsk_attach(); before the port is used */
void mr_xsk_bound(struct mr_port *p);

/** What stands in a ring: for a new owner that must find out whose each frame is. */
enum mr_xsk_ring {
	MR_XSK_RX,
	MR_XSK_TX,
	MR_XSK_FILL,
	MR_XSK_COMPLETION,
};

/**
 * mr_xsk_each() - call @fn with the address of each frame that stands in a ring now
 *
 * Nothing is consumed. Only before the lane's first turn.
 */
void mr_xsk_each(struct mr_port *p, enum mr_xsk_ring ring, void (*fn)(void *arg, uint64_t addr),
		 void *arg);

#endif
