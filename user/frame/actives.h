/* SPDX-License-Identifier: MIT */
/*
 * Records of connections that are active: what TCP must know only while bytes are on their way
 * (congestion control, loss recovery, gaps in what arrived). A connection borrows one with the
 * first byte and gives it back when it has been idle for a while, so that idle connections stay
 * small. There are as many as connection blocks, so taking one never fails; the memory of those
 * never used is never touched. Owned by one lane, used by its thread alone.
 */
#ifndef MR_ACTIVES_H
#define MR_ACTIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_arena.h"

/**
 * struct mr_actives - the pool
 * @used:	records from here on were never touched
 * @n_taken:	records that a connection has
 * @hand:	where the next look for idle ones goes on
 */
struct mr_actives {
	struct mr_active *record;
	struct mr_conn *conns;
	uint32_t count;
	uint32_t used;
	uint32_t free_head;
	uint32_t n_taken;
	uint32_t hand;
};

/**
 * mr_actives_init() - all records free
 * @count:	at least as many as @conns has blocks
 */
void mr_actives_init(struct mr_actives *a, struct mr_active *records, uint32_t count,
		     struct mr_conn *conns);

/**
 * mr_actives_adopt() - take over records: those that a block names and that name the block
 * @conns_used:	blocks to look at
 *
 * Called when every block that is left names its own or MR_NONE: all others are free.
 */
void mr_actives_adopt(struct mr_actives *a, uint32_t conns_used);

/** mr_active_is_of() - is the record that @c names its own? */
bool mr_active_is_of(const struct mr_actives *a, const struct mr_conn *c);

/** mr_active_take() - a zeroed record for @c, which has none */
struct mr_active *mr_active_take(struct mr_actives *a, struct mr_conn *c);

/** mr_active_give() - give the record of @c back; harmless when it has none */
void mr_active_give(struct mr_actives *a, struct mr_conn *c);

/** mr_active_peek() - the record of @c, or NULL */
static inline struct mr_active *mr_active_peek(const struct mr_actives *a, const struct mr_conn *c)
{
	return c->active == MR_NONE ? NULL : &a->record[c->active];
}

/** mr_active_is_usual() - sizes are as agreed on, nothing is lost, urgent or to be reported */
static inline bool mr_active_is_usual(const struct mr_active *a)
{
	return !(a->unusual[0] | a->unusual[1]);
}

#endif
