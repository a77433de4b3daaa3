/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

static const uint64_t NS_PER_S = 1000000000;

struct mr_packet *mr_packet_new(const uint8_t *bytes, size_t len)
{
	struct mr_packet *p = malloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	*p = (struct mr_packet){ .len = (uint32_t)len };
	memcpy(p->bytes, bytes, len);
	return p;
}

/* ----- the heap ----- */

static bool before(const struct mr_packet *a, const struct mr_packet *b)
{
	return a->release_ns != b->release_ns ? a->release_ns < b->release_ns : a->order < b->order;
}

static void swap(struct mr_link *l, size_t a, size_t b)
{
	struct mr_packet *p = l->heap[a];

	l->heap[a] = l->heap[b];
	l->heap[b] = p;
}

static int push(struct mr_link *l, struct mr_packet *p)
{
	size_t i = l->n;

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 256;
		struct mr_packet **heap = reallocarray(l->heap, room, sizeof(*heap));

		if (!heap) {
			free(p);
			return -ENOMEM;
		}
		l->heap = heap;
		l->room = room;
	}
	l->heap[l->n++] = p;
	for (; i && before(l->heap[i], l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(l, i, (i - 1) / 2);
	return 0;
}

static struct mr_packet *pop(struct mr_link *l)
{
	struct mr_packet *first = l->heap[0];
	size_t i = 0;

	l->heap[0] = l->heap[--l->n];
	for (;;) {
		size_t least = i, left = 2 * i + 1;

		for (size_t c = left; c < left + 2 && c < l->n; c++)
			if (before(l->heap[c], l->heap[least]))
				least = c;
		if (least == i)
			return first;
		swap(l, i, least);
		i = least;
	}
}

/* ----- bottleneck and delay ----- */

static uint64_t sending_ns(const struct mr_link *l, uint64_t bytes)
{
	return bytes * 8 * NS_PER_S / l->rules.rate_bps;
}

/* Bytes that stand before a frame that comes now. */
static uint64_t backlog(const struct mr_link *l, uint64_t now_ns)
{
	uint64_t ns = l->free_ns > now_ns ? l->free_ns - now_ns : 0;

	return (uint64_t)((double)ns * (double)l->rules.rate_bps / 8e9);
}

/* When the bottleneck has sent the frame; false: the queue has no room. */
static bool pass_bottleneck(struct mr_link *l, struct mr_packet *p, uint64_t now_ns, uint64_t *out)
{
	uint64_t waiting;

	*out = now_ns;
	if (!l->rules.rate_bps)
		return true;
	waiting = backlog(l, now_ns);
	if (waiting && waiting + p->len > l->rules.queue_bytes)
		return false;
	if (waiting + p->len > l->backlog_max)
		l->backlog_max = waiting + p->len;
	if (l->rules.mark_bytes && waiting > l->rules.mark_bytes) {
		p->ce = true;
		l->marks++;
	}
	if (l->free_ns < now_ns)
		l->free_ns = now_ns;
	l->free_ns += sending_ns(l, p->len);
	*out = l->free_ns;
	return true;
}

static int enter(struct mr_link *l, struct mr_packet *p, uint64_t now_ns)
{
	uint64_t at, jitter;

	if (!pass_bottleneck(l, p, now_ns, &at)) {
		l->queue_drops++;
		free(p);
		return 0;
	}
	jitter = (uint64_t)((double)l->rules.jitter_ns * mr_fate_unit(p->salt));
	p->release_ns = at + l->rules.delay_ns + jitter;
	if (l->rules.in_order && p->release_ns < l->last_ns)
		p->release_ns = l->last_ns;
	if (p->release_ns > l->last_ns)
		l->last_ns = p->release_ns;
	p->release_ns += p->hold_ns;
	p->order = l->order++;
	return push(l, p);
}

/* ----- frames that others overtake ----- */

static int let_go(struct mr_link *l, struct mr_packet **at, uint64_t now_ns)
{
	struct mr_packet *p = *at;

	*at = p->next;
	return enter(l, p, now_ns);
}

static int pass_held(struct mr_link *l, uint64_t now_ns)
{
	struct mr_packet **at = &l->held;
	int err = 0;

	while (*at) {
		if (--(*at)->overtake)
			at = &(*at)->next;
		else if (let_go(l, at, now_ns))
			err = -ENOMEM;
	}
	return err;
}

int mr_link_put(struct mr_link *l, struct mr_packet *p, uint32_t overtake, uint64_t now_ns)
{
	struct mr_packet **at = &l->held;
	int err, passed;

	if (overtake) {
		passed = pass_held(l, now_ns);
		while (*at)
			at = &(*at)->next;
		p->next = NULL;
		p->overtake = overtake;
		p->give_up_ns = now_ns + l->rules.wait_ns;
		*at = p;
		l->reordered++;
		return passed;
	}
	err = enter(l, p, now_ns);
	passed = pass_held(l, now_ns);
	return err ? err : passed;
}

int mr_link_expire(struct mr_link *l, uint64_t now_ns)
{
	int err = 0;

	/* All wait equally long, so the oldest is first. */
	while (l->held && l->held->give_up_ns <= now_ns)
		if (let_go(l, &l->held, now_ns))
			err = -ENOMEM;
	return err;
}

uint64_t mr_link_next_ns(const struct mr_link *l)
{
	uint64_t next = l->n ? l->heap[0]->release_ns : UINT64_MAX;

	if (l->held && l->held->give_up_ns < next)
		next = l->held->give_up_ns;
	return next;
}

struct mr_packet *mr_link_take(struct mr_link *l, uint64_t now_ns)
{
	return l->n && l->heap[0]->release_ns <= now_ns ? pop(l) : NULL;
}

void mr_link_clear(struct mr_link *l)
{
	while (l->n)
		free(pop(l));
	while (l->held) {
		struct mr_packet *p = l->held;

		l->held = p->next;
		free(p);
	}
	free(l->heap);
	l->heap = NULL;
	l->room = 0;
}
