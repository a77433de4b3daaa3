/* SPDX-License-Identifier: MIT */
/*
 * Buddy system (Knuth, TAOCP 1, 2.5). Free blocks are linked through their own first bytes; the
 * map knows each block's order, so a buddy is found free or not in one look.
 */
#include "user/frame/messages.h"

#include <string.h>

struct link {
	uint32_t next;
	uint32_t prev;
};

static struct link *link_of(struct mr_messages *m, uint32_t block)
{
	return (struct link *)mr_messages_at(m, block);
}

static void push(struct mr_messages *m, uint32_t block, uint32_t order)
{
	struct link *l = link_of(m, block);

	l->next = m->free_head[order];
	l->prev = MR_NONE;
	if (l->next != MR_NONE)
		link_of(m, l->next)->prev = block;
	m->free_head[order] = block;
	m->map[block] = (uint8_t)order;
}

static void unlink_free(struct mr_messages *m, uint32_t block, uint32_t order)
{
	struct link *l = link_of(m, block);

	if (l->prev == MR_NONE)
		m->free_head[order] = l->next;
	else
		link_of(m, l->prev)->next = l->next;
	if (l->next != MR_NONE)
		link_of(m, l->next)->prev = l->prev;
	m->map[block] = MR_MESSAGE_INSIDE;
}

static uint32_t order_for(uint32_t bytes)
{
	uint32_t order = 0;

	while (order < MR_MESSAGE_ORDERS && ((uint64_t)MR_MESSAGE_BLOCK << order) < bytes)
		order++;
	return order;
}

void mr_messages_adopt_begin(struct mr_messages *m, uint8_t *base, uint8_t *map, uint64_t bytes)
{
	*m = (struct mr_messages){
		.base = base,
		.map = map,
		.n_blocks = (uint32_t)(bytes / MR_MESSAGE_BLOCK),
	};
	memset(map, MR_MESSAGE_INSIDE, m->n_blocks);
	for (uint32_t i = 0; i < MR_MESSAGE_ORDERS; i++)
		m->free_head[i] = MR_NONE;
	while ((1u << (m->max_order + 1)) <= m->n_blocks && m->max_order + 1 < MR_MESSAGE_ORDERS)
		m->max_order++;
}

/* Taken blocks are marked in all of their bytes meanwhile, so that one look finds a conflict. */
bool mr_messages_adopt(struct mr_messages *m, uint32_t block, uint32_t bytes)
{
	uint32_t order = order_for(bytes);
	uint32_t n = 1u << order;

	if (order > m->max_order || bytes != (uint32_t)MR_MESSAGE_BLOCK << order ||
	    block >= m->n_blocks || block & (n - 1) || n > m->n_blocks - block)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (m->map[block + i] != MR_MESSAGE_INSIDE)
			return false;
	memset(m->map + block, (int)(MR_MESSAGE_USED | order), n);
	m->used_blocks += n;
	return true;
}

/* The free blocks from @block up to @end, each as large as its place allows. */
static void push_free(struct mr_messages *m, uint32_t block, uint32_t end)
{
	while (block < end) {
		uint32_t order = 0;

		while (order < m->max_order && !(block & ((2u << order) - 1)) &&
		       (2u << order) <= end - block)
			order++;
		push(m, block, order);
		block += 1u << order;
	}
}

void mr_messages_adopt_end(struct mr_messages *m)
{
	uint32_t block = 0;

	while (block < m->n_blocks) {
		uint32_t end = block;

		while (end < m->n_blocks && !(m->map[end] & MR_MESSAGE_USED))
			end++;
		push_free(m, block, end);
		block = end;
		if (block < m->n_blocks) {
			uint32_t n = 1u << (m->map[block] & ~(uint32_t)MR_MESSAGE_USED);

			memset(m->map + block + 1, MR_MESSAGE_INSIDE, n - 1);
			block += n;
		}
	}
}

void mr_messages_init(struct mr_messages *m, uint8_t *base, uint8_t *map, uint64_t bytes)
{
	mr_messages_adopt_begin(m, base, map, bytes);
	mr_messages_adopt_end(m);
}

uint32_t mr_messages_take(struct mr_messages *m, uint32_t bytes, uint32_t *got)
{
	uint32_t want = order_for(bytes);
	uint32_t order = want;
	uint32_t block;

	while (order <= m->max_order && m->free_head[order] == MR_NONE)
		order++;
	if (order > m->max_order)
		return MR_NONE;
	block = m->free_head[order];
	unlink_free(m, block, order);
	while (order > want) {
		order--;
		push(m, block + (1u << order), order);
	}
	m->map[block] = (uint8_t)(MR_MESSAGE_USED | want);
	m->used_blocks += 1u << want;
	*got = (uint32_t)MR_MESSAGE_BLOCK << want;
	return block;
}

void mr_messages_give(struct mr_messages *m, uint32_t block)
{
	uint32_t order = m->map[block] & ~(uint32_t)MR_MESSAGE_USED;

	m->used_blocks -= 1u << order;
	while (order < m->max_order) {
		uint32_t buddy = block ^ (1u << order);

		if (buddy >= m->n_blocks || m->map[buddy] != order)
			break;
		unlink_free(m, buddy, order);
		m->map[block] = MR_MESSAGE_INSIDE;
		block &= ~(1u << order);
		order++;
	}
	push(m, block, order);
}
