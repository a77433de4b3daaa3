/* SPDX-License-Identifier: MIT */
/*
 * An in-memory wire between two lanes of one process, with a virtual clock: deterministic, for
 * tests, simulation and benchmarks. Frames are copied from one UMEM to the other.
 */
#ifndef MR_MEMORY_H
#define MR_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "user/port/port.h"

/** struct mr_memory_end - one end's UMEM */
struct mr_memory_end {
	uint8_t *umem;
	uint64_t umem_bytes;
	uint32_t frame_bytes;
	uint32_t ring_size; /* of each of its rings, a power of two */
};

struct mr_memory_wire;

/**
 * typedef of what may happen to a frame on the wire
 * @from:	0 or 1, the end that sent it
 * @frame, @len: the bytes in flight; may be changed in place, *@len may shrink
 * @delay_ns:	out, 0 at call: how much later than the wire's own delay it arrives
 *
 * Return: copies to deliver: 0 drops it, 1, or 2
 */
typedef unsigned int (*mr_memory_fate)(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				       uint64_t *delay_ns);

/**
 * mr_memory_new() - a wire with two ends
 * @delay_ns:	one way; 0 delivers at the receiver's next receive()
 *
 * Return: the wire, or NULL with errno
 */
struct mr_memory_wire *mr_memory_new(const struct mr_memory_end ends[2], uint64_t delay_ns);

/** mr_memory_port() - the port of end 0 or 1; lives as long as the wire */
struct mr_port *mr_memory_port(struct mr_memory_wire *w, unsigned int end);

/** mr_memory_each() - call @fn with the address of each frame in the fill and receive rings */
void mr_memory_each(struct mr_port *p, void (*fn)(void *arg, uint64_t addr), void *arg);

/** mr_memory_adopt() - another owner: what the last one was not done with is received again */
void mr_memory_adopt(struct mr_port *p);

/** mr_memory_set_fate() - impair; NULL: deliver all once */
void mr_memory_set_fate(struct mr_memory_wire *w, mr_memory_fate fate, void *arg);

/** mr_memory_now() - the virtual clock in ns; starts at 1 s */
uint64_t mr_memory_now(const struct mr_memory_wire *w);

/** mr_memory_advance() - move the clock on by @by_ns; it never goes backwards */
void mr_memory_advance(struct mr_memory_wire *w, uint64_t by_ns);

/**
 * mr_memory_next() - when the next frame in flight arrives, UINT64_MAX: none
 *
 * A reading of the clock of mr_memory_now(): now or earlier when a frame waits for receive().
 */
uint64_t mr_memory_next(const struct mr_memory_wire *w);

/** mr_memory_free() - wire and both ports */
void mr_memory_free(struct mr_memory_wire *w);

#endif
