/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timer wheel (Varghese and Lauck 1987): six levels of 64 slots, one millisecond a
 * tick, one node a connection inside its block. A bitmap a level gives the next tick at which
 * anything is to be done, so that an idle lane sleeps until then and not longer.
 */
#ifndef MR_WHEEL_H
#define MR_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_arena.h"

enum {
	MR_WHEEL_LEVELS = 6,
	MR_WHEEL_SLOTS = 64,
};

struct mr_wheel {
	struct mr_conn *conns;
	uint32_t now_ms; /* everything up to here has fired */
	uint32_t count;
	uint64_t occupied[MR_WHEEL_LEVELS];
	uint32_t head[MR_WHEEL_LEVELS][MR_WHEEL_SLOTS];
};

/** mr_wheel_init() - empty; @now_ms of the lane's clock */
void mr_wheel_init(struct mr_wheel *w, struct mr_conn *conns, uint32_t now_ms);

/** mr_wheel_is_armed() - does the connection's node stand in the wheel? */
static inline bool mr_wheel_is_armed(const struct mr_conn *c)
{
	return c->wheel_prev != MR_NONE;
}

/** mr_wheel_arm() - fire at @ms (at the next tick when that is over); moves an armed node */
void mr_wheel_arm(struct mr_wheel *w, struct mr_conn *c, uint32_t ms);

/** mr_wheel_disarm() - take the node out; harmless when it is not in */
void mr_wheel_disarm(struct mr_wheel *w, struct mr_conn *c);

/**
 * mr_wheel_advance() - fire everything up to @now_ms, in order of ticks
 * @fire:	called with the node out of the wheel; may arm it again
 *
 * Return: how many fired
 */
uint32_t mr_wheel_advance_to(struct mr_wheel *w, uint32_t now_ms,
			     void (*fire)(void *arg, struct mr_conn *c), void *arg);

/* Most turns come within the same millisecond: nothing can be due in it that did not fire. */
static inline uint32_t mr_wheel_advance(struct mr_wheel *w, uint32_t now_ms,
					void (*fire)(void *arg, struct mr_conn *c), void *arg)
{
	return now_ms == w->now_ms ? 0 : mr_wheel_advance_to(w, now_ms, fire, arg);
}

/** mr_wheel_next() - ms from the wheel's now to the next tick with work, UINT32_MAX: none */
uint32_t mr_wheel_next(const struct mr_wheel *w);

#endif
