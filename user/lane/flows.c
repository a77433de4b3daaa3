/* SPDX-License-Identifier: MIT */
/*
 * Which lane has a flow. A frame may come to any queue, and what one lane does not know another
 * may:
 *
 *  - Every lane counts the flows it has, by hash, where the others can read it. 0 is certain, so
 *    most of what nobody knows is asked of nobody; what is above may be another flow's, so it is
 *    only a reason to ask. All others that may know it are asked one after the other.
 *  - Who opens a flow claims its hash first, so that of two SYNs that come to two queues at a time
 *    one waits for the other. A claim is held only until the record stands.
 *  - A flow that ended in order is remembered for a moment: what the net or the mailbox delivers
 *    late of it is no reason to reset anything.
 */
#include "user/lane/internal.h"

enum {
	ENDED_MS = 200, /* before the shortest RTO: what the peer sends on purpose is answered */
	COUNT_FULL = UINT8_MAX, /* of a counter: it stays there */
};

/* ----- the table, and what the others see of it ----- */

static uint8_t *count_of(const struct mr_lane *l, uint32_t lane, uint64_t hash)
{
	return &mr_mailbox_flows(l->s.mailbox, l->s.n_lanes, lane)[(hash >> 32) % MR_MAIL_FLOWS];
}

void lane_flow_insert(struct mr_lane *l, uint64_t hash, uint32_t entry)
{
	uint8_t *count;

	mr_table_insert(&l->table, hash, entry);
	if (!lane_has_others(l))
		return;
	count = count_of(l, l->s.lane, hash);
	if (*count < COUNT_FULL)
		__atomic_store_n(count, (uint8_t)(*count + 1), __ATOMIC_RELAXED);
}

void lane_flow_remove(struct mr_lane *l, uint64_t hash, uint32_t entry)
{
	uint8_t *count;

	if (!mr_table_remove(&l->table, hash, entry) || !lane_has_others(l))
		return;
	count = count_of(l, l->s.lane, hash);
	if (*count && *count < COUNT_FULL)
		/* Release: that it ended is told before that we have it no more. */
		__atomic_store_n(count, (uint8_t)(*count - 1), __ATOMIC_RELEASE);
}

/* The next lane in turn that may have the flow, before @origin comes again; MR_NONE: nobody. */
uint32_t lane_flow_next(const struct mr_lane *l, uint64_t hash, uint32_t origin)
{
	uint32_t n = lane_has_others(l) ? mr_mailbox_lanes(l->s.mailbox, l->s.n_lanes) : 0;

	for (uint32_t i = 1; i < n; i++) {
		uint32_t lane = (l->s.lane + i) % n;

		if (lane == origin)
			break;
		/* Acquire: pairs with lane_flow_remove(). */
		if (__atomic_load_n(count_of(l, lane, hash), __ATOMIC_ACQUIRE))
			return lane;
	}
	return MR_NONE;
}

/* ----- who opens it ----- */

static uint8_t *claim_of(const struct mr_lane *l, uint64_t hash)
{
	return &l->s.mailbox->claim[(hash >> 20) % MR_MAIL_CLAIMS];
}

/* Ours if nobody's; returns whose it is. Two lanes that ask at once get one answer. */
uint32_t lane_flow_claim(struct mr_lane *l, uint64_t hash)
{
	uint8_t owner = 0;

	/* Acquire: pairs with the release of who held it; what it opened is counted. */
	if (__atomic_compare_exchange_n(claim_of(l, hash), &owner, (uint8_t)(l->s.lane + 1), false,
					__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE) ||
	    owner > l->s.n_lanes)
		return l->s.lane;
	return owner - 1u;
}

/* @lane opens it no more: it did, or another has the flow. */
void lane_flow_release(struct mr_lane *l, uint64_t hash, uint32_t lane)
{
	uint8_t owner = (uint8_t)(lane + 1);

	/* Release: the count of what was opened comes before. */
	if (lane_has_others(l) && __atomic_load_n(claim_of(l, hash), __ATOMIC_RELAXED) == owner)
		__atomic_compare_exchange_n(claim_of(l, hash), &owner, 0, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED);
}

/* ----- what ended ----- */

static uint64_t ended_mark(const struct mr_lane *l, uint64_t hash)
{
	return hash >> 32 << 32 | l->tcp.now_ms;
}

void lane_flow_ended(struct mr_lane *l, uint64_t hash)
{
	if (lane_has_others(l))
		__atomic_store_n(&l->s.mailbox->ended[hash % MR_MAIL_ENDED], ended_mark(l, hash),
				 __ATOMIC_RELAXED);
}

bool lane_flow_ended_lately(const struct mr_lane *l, uint64_t hash)
{
	uint64_t mark;

	if (!lane_has_others(l))
		return false;
	mark = __atomic_load_n(&l->s.mailbox->ended[hash % MR_MAIL_ENDED], __ATOMIC_RELAXED);
	return mark >> 32 == hash >> 32 && l->tcp.now_ms - (uint32_t)mark < ENDED_MS;
}
