/* SPDX-License-Identifier: MIT */
/*
 * A node stands at the level of the highest six-bit digit in which its time and the wheel's now
 * differ, in the slot of its own digit there. When now reaches that digit, the slot is dealt out
 * to lower levels; at level 0 it fires. Times are modulo 2^32, so the top level is circular.
 */
#include "user/lane/wheel.h"

#include <stddef.h>

enum {
	DIGIT_BITS = 6,
	HEAD_MARK = 1u << 31, /* wheel_prev of the first node: the mark and the slot's number */
};

static uint32_t digit(uint32_t ms, unsigned int level)
{
	return ms >> (DIGIT_BITS * level) & (MR_WHEEL_SLOTS - 1);
}

void mr_wheel_init(struct mr_wheel *w, struct mr_conn *conns, uint32_t now_ms)
{
	*w = (struct mr_wheel){ .conns = conns, .now_ms = now_ms };
	for (int l = 0; l < MR_WHEEL_LEVELS; l++)
		for (int s = 0; s < MR_WHEEL_SLOTS; s++)
			w->head[l][s] = MR_NONE;
}

static void insert(struct mr_wheel *w, struct mr_conn *c)
{
	uint32_t differ = c->wheel_ms ^ w->now_ms;
	unsigned int level = differ ? (31u - (unsigned int)__builtin_clz(differ)) / DIGIT_BITS : 0;
	uint32_t slot = digit(c->wheel_ms, level);
	uint32_t i = (uint32_t)(c - w->conns);
	uint32_t *head = &w->head[level][slot];

	c->wheel_next = *head;
	c->wheel_prev = (uint32_t)HEAD_MARK | level << DIGIT_BITS | slot;
	if (*head != MR_NONE)
		w->conns[*head].wheel_prev = i;
	*head = i;
	w->occupied[level] |= 1ull << slot;
	w->count++;
}

void mr_wheel_disarm(struct mr_wheel *w, struct mr_conn *c)
{
	if (!mr_wheel_is_armed(c))
		return;
	if (c->wheel_next != MR_NONE)
		w->conns[c->wheel_next].wheel_prev = c->wheel_prev;
	if (c->wheel_prev & HEAD_MARK) {
		uint32_t at = c->wheel_prev & ~(uint32_t)HEAD_MARK;
		uint32_t level = at >> DIGIT_BITS;
		uint32_t slot = at & (MR_WHEEL_SLOTS - 1);

		w->head[level][slot] = c->wheel_next;
		if (c->wheel_next == MR_NONE)
			w->occupied[level] &= ~(1ull << slot);
	} else {
		w->conns[c->wheel_prev].wheel_next = c->wheel_next;
	}
	c->wheel_next = MR_NONE;
	c->wheel_prev = MR_NONE;
	w->count--;
}

void mr_wheel_arm(struct mr_wheel *w, struct mr_conn *c, uint32_t ms)
{
	mr_wheel_disarm(w, c);
	c->wheel_ms = (int32_t)(ms - w->now_ms) > 0 ? ms : w->now_ms + 1;
	insert(w, c);
}

uint32_t mr_wheel_next(const struct mr_wheel *w)
{
	for (unsigned int level = 0; level < MR_WHEEL_LEVELS; level++) {
		uint32_t here = digit(w->now_ms, level);
		uint64_t later = w->occupied[level] & ~((2ull << here) - 1);
		unsigned int shift = DIGIT_BITS * level;
		uint32_t base = w->now_ms & ~(uint32_t)((1ull << (shift + DIGIT_BITS)) - 1);

		if (here == MR_WHEEL_SLOTS - 1)
			later = 0;
		if (!later && level == MR_WHEEL_LEVELS - 1)
			later = w->occupied[level]; /* beyond 2^32: slot 0 of the next round */
		if (later)
			return base + ((uint32_t)__builtin_ctzll(later) << shift) - w->now_ms;
	}
	return UINT32_MAX;
}

/* Take a slot's nodes out, one after the other: firing may change any list. */
static struct mr_conn *pop(struct mr_wheel *w, unsigned int level, uint32_t slot)
{
	uint32_t i = w->head[level][slot];

	if (i == MR_NONE)
		return NULL;
	mr_wheel_disarm(w, &w->conns[i]);
	return &w->conns[i];
}

static void deal_out(struct mr_wheel *w)
{
	for (unsigned int level = MR_WHEEL_LEVELS - 1; level > 0; level--) {
		struct mr_conn *c;

		if (w->now_ms & ((1u << (DIGIT_BITS * level)) - 1))
			continue;
		while ((c = pop(w, level, digit(w->now_ms, level))))
			insert(w, c);
	}
}

uint32_t mr_wheel_advance_to(struct mr_wheel *w, uint32_t now_ms,
			     void (*fire)(void *arg, struct mr_conn *c), void *arg)
{
	uint32_t fired = 0;

	for (;;) {
		uint32_t step = mr_wheel_next(w);
		struct mr_conn *c;

		if (step == UINT32_MAX || (int32_t)(w->now_ms + step - now_ms) > 0)
			break;
		w->now_ms += step;
		deal_out(w);
		while ((c = pop(w, 0, digit(w->now_ms, 0)))) {
			fire(arg, c);
			fired++;
		}
	}
	if ((int32_t)(now_ms - w->now_ms) > 0)
		w->now_ms = now_ms;
	return fired;
}
