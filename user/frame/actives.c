/* SPDX-License-Identifier: MIT */
#include "user/frame/actives.h"

void mr_actives_init(struct mr_actives *a, struct mr_active *records, uint32_t count,
		     struct mr_conn *conns)
{
	*a = (struct mr_actives){
		.record = records, .conns = conns, .count = count, .free_head = MR_NONE
	};
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
	*r = (struct mr_active){
		.owner = (uint32_t)(c - a->conns),
		.next_free = MR_NONE,
		.lost_next = MR_NONE,
		.sack_hint = MR_NONE,
		.time_head = MR_NONE,
		.time_tail = MR_NONE,
	};
	c->active = (uint32_t)(r - a->record);
	a->n_taken++;
	return r;
}

void mr_active_give(struct mr_actives *a, struct mr_conn *c)
{
	struct mr_active *r = mr_active_peek(a, c);

	if (!r)
		return;
	r->owner = MR_NONE;
	r->next_free = a->free_head;
	a->free_head = c->active;
	a->n_taken--;
	c->active = MR_NONE;
}
