/* SPDX-License-Identifier: MIT */
#include "user/daemon/traces.h"

#include <stddef.h>
#include <string.h>

#include "user/daemon/arenas.h"

enum {
	TRIES = 8, /* events are rare: a second one is hardly ever needed */
};

/*
 * A record that has a sequence lock (shared/mr_trace.h) in its word at @lock. @record is only a
 * copy: whoever holds the memory may write what he wants, then it is a whole copy of nonsense.
 */
static bool read_whole(const struct mr_lane *l, enum mr_arena_area area, uint32_t index,
		       size_t lock, void *record, size_t bytes)
{
	uint32_t before, after;

	if (!mr_arena_part(l, area, index, lock, &before, sizeof(before)) || before & 1)
		return false;
	/* Acquire: the record is read behind the first look; pairs with mr_trace_written(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (!mr_arena_one(l, area, index, record, bytes))
		return false;
	/* Acquire: the second look is behind the record; pairs with mr_trace_write(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return mr_arena_part(l, area, index, lock, &after, sizeof(after)) && before == after;
}

bool mr_trace_archived(const struct mr_lane *l, uint32_t place, struct mr_trace *out)
{
	for (int i = 0; i < TRIES; i++)
		if (read_whole(l, MR_AREA_TRACES, place, offsetof(struct mr_trace, writes), out,
			       sizeof(*out)))
			return out->number && out->number % MR_TRACES == place;
	return false;
}

static bool read_conn(const struct mr_lane *l, uint32_t index, struct mr_conn *c)
{
	return mr_arena_one(l, MR_AREA_CONNS, index, c, sizeof(*c)) && c->state != MR_CLOSED &&
	       c->state < MR_TCP_STATE_COUNT;
}

static bool is_same(const struct mr_conn *a, const struct mr_conn *b)
{
	return a->generation == b->generation && a->active == b->active &&
	       !memcmp(a->local, b->local, sizeof(a->local)) &&
	       !memcmp(a->remote, b->remote, sizeof(a->remote)) &&
	       a->local_port.raw == b->local_port.raw && a->remote_port.raw == b->remote_port.raw;
}

static void set_conn(struct mr_trace *out, uint32_t index, const struct mr_conn *c)
{
	*out = (struct mr_trace){
		.conn = index,
		.generation = c->generation,
		.rule = c->rule,
		.local_port = c->local_port,
		.remote_port = c->remote_port,
	};
	memcpy(out->local, c->local, sizeof(out->local));
	memcpy(out->remote, c->remote, sizeof(out->remote));
}

static void set_events(struct mr_trace *out, const struct mr_active *a)
{
	uint32_t n = a->n_traced < MR_TRACE_EVENTS ? a->n_traced : MR_TRACE_EVENTS;

	for (uint32_t i = 0; i < n; i++)
		out->event[i] = a->trace[(a->n_traced - n + i) % MR_TRACE_EVENTS];
	out->n_events = (uint8_t)n;
	out->n_total = a->n_traced;
	out->number = a->trace_number;
}

/*
 * The record is the connection's as long as the block names it: the block is looked at before and
 * behind. An end and a new beginning in between show in the generation.
 */
bool mr_trace_live(const struct mr_lane *l, uint32_t index, struct mr_trace *out)
{
	struct mr_active active;
	struct mr_conn c, again;

	for (int i = 0; i < TRIES; i++) {
		if (!read_conn(l, index, &c))
			return false;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (c.active != MR_NONE && (!read_whole(l, MR_AREA_ACTIVE, c.active,
							offsetof(struct mr_active, trace_writes),
							&active, sizeof(active)) ||
					    active.owner != index))
			continue;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!read_conn(l, index, &again) || !is_same(&c, &again))
			continue;
		set_conn(out, index, &c);
		if (c.active != MR_NONE)
			set_events(out, &active);
		return true;
	}
	return false;
}
