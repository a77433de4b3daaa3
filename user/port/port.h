/* SPDX-License-Identifier: MIT */
/*
 * A port: where a lane's frames come from and go to. The lane sees only this table of functions;
 * behind it stands an AF_XDP socket (xsk.h), an in-memory wire (memory.h) or a tee that writes
 * what passes to a file and hands it on (tee.h).
 *
 * Frames are named by their address in the UMEM: index * frame_bytes + offset of the first byte.
 * Owned by one lane, used by its thread alone; no call blocks but wait(), which the lane calls.
 */
#ifndef MR_PORT_H
#define MR_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_arena.h" /* struct mr_span */

/* Figures of XDP_STATISTICS; zeros where a port has none. */
struct mr_port_statistics {
	uint64_t rx_dropped;
	uint64_t rx_invalid;
	uint64_t tx_invalid;
	uint64_t rx_ring_full;
	uint64_t fill_empty;
	uint64_t tx_empty;
};

struct mr_port;

/**
 * struct mr_port_ops - what every port can do
 * @receive:	up to @max received frames into @spans; they are the lane's from now on. Returns n
 * @fill:	post @n frames (addresses of frame starts) for receiving; returns how many were
 *		taken, from the front
 * @fill_room:	how many @fill would take
 * @transmit:	queue @n frames for sending; returns how many were taken, from the front; they are
 *		the kernel's until @complete names them
 * @transmit_room: how many @transmit would take
 * @complete:	up to @max addresses of frames that the kernel is done with; returns n
 * @kick:	make the kernel take what is queued, until it has taken all or refuses for now;
 *		returns system calls made, adds to none when there was nothing to do. True in
 *		*@again when frames still stand in the transmit ring
 * @needs_kick:	would @kick do anything?
 * @poll_fd:	descriptor to poll for received frames, or -1
 * @wants_wakeup: must the kernel be woken by poll() for receiving (need_wakeup)?
 * @statistics:	may be slow (a system call)
 * @close:	unmaps; descriptors stay with their owner
 */
struct mr_port_ops {
	uint32_t (*receive)(struct mr_port *p, struct mr_span *spans, uint32_t max);
	uint32_t (*fill)(struct mr_port *p, const uint64_t *addrs, uint32_t n);
	uint32_t (*fill_room)(struct mr_port *p);
	uint32_t (*transmit)(struct mr_port *p, const struct mr_span *spans, uint32_t n);
	uint32_t (*transmit_room)(struct mr_port *p);
	uint32_t (*complete)(struct mr_port *p, uint64_t *addrs, uint32_t max);
	uint32_t (*kick)(struct mr_port *p, bool *again);
	bool (*needs_kick)(const struct mr_port *p);
	int (*poll_fd)(const struct mr_port *p);
	bool (*wants_wakeup)(const struct mr_port *p);
	void (*statistics)(struct mr_port *p, struct mr_port_statistics *s);
	void (*close)(struct mr_port *p);
};

/**
 * struct mr_port - first member of every port
 * @rx_done:	index of the receive ring behind what the lane is done with; never NULL
 * @tx_index:	index of the transmit ring behind what was queued
 */
struct mr_port {
	const struct mr_port_ops *ops;
	uint32_t *rx_done;
	const uint32_t *tx_index;
};

/**
 * mr_port_done() - the lane is done with the next frame of @receive, in the order of arrival
 *
 * A new owner of the rings finds those that stand behind it again.
 */
static inline void mr_port_done(struct mr_port *p)
{
	/* Release: what became of the frame is written before. */
	__atomic_store_n(p->rx_done, *p->rx_done + 1, __ATOMIC_RELEASE);
}

#endif
