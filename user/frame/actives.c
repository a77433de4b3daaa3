/* SPDX-License-Identifier: MIT */
#include "user/frame/actives.h"

#include <stddef.h>
#include <string.h>

void mr_actives_init(struct mr_actives *a, struct mr_active *records, uint32_t count,
		     struct mr_conn *conns)
{
	*a = (struct mr_actives){
		.record = records, .conns = conns, .count = count, .free_head = MR_NONE
	};
}

bool mr_active_is_of(const struct mr_actives *a, const struct mr_conn *c)
{
	return c->active < a->count && a->record[c->active].owner == (uint32_t)(c - a->conns);
}

void mr_actives_adopt(struct mr_actives *a, uint32_t conns_used)
{
	for (uint32_t i = 0; i < conns_used; i++) {
		if (a->conns[i].active == MR_NONE)
			continue;
		a->n_taken++;
		if (a->conns[i].active >= a->used)
			a->used = a->conns[i].active + 1;
	}
	for (uint32_t i = a->used; i-- > 0;) {
		uint32_t owner = a->record[i].owner;

		if (owner < conns_used && a->conns[owner].active == i)
			continue;
		a->record[i].owner = MR_NONE;
		a->record[i].next_free = a->free_head;
		a->free_head = i;
	}
}

struct mr_active *mr_active_take(struct mr_actives *a, struct mr_conn *c)
{
	struct mr_active *r;

	if (a->free_head != MR_NONE) {
		r = &a->record[a->free_head];
		a->free_head = r->next_free;
	} else { /* there is one for each connection */
		r = &a->record[a->used++];
	}
	mr_trace_write(&r->trace_writes);
	memset(r, 0, offsetof(struct mr_active, trace_writes)); /* who reads needs that to go on */
	r->owner = (uint32_t)(c - a->conns);
	r->next_free = r->lost_next = r->sack_hint = r->time_head = r->time_tail = MR_NONE;
	mr_trace_written(&r->trace_writes);
	c->active = (uint32_t)(r - a->record);
	a->n_taken++;
	return r;
}

void mr_active_give(struct mr_actives *a, struct mr_conn *c)
{
	struct mr_active *r = mr_active_peek(a, c);
	uint32_t next = a->free_head;

	if (!r)
		return;
	a->n_taken--;
	a->free_head = c->active;
	c->active = MR_NONE; /* first: a worker that takes over believes the block */
	/* Compiler fence: in this order, also for one that comes after our end. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->owner = MR_NONE;
	r->next_free = next;
}
