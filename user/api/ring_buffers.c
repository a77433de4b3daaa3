/* SPDX-License-Identifier: MIT */
/* Buffers that a program provides in groups, and receiving operations take. */
#include "user/api/ring_internal.h"

#include <errno.h>
#include <stdlib.h>

struct ring_group *ring_group(struct mr_ring *r, uint16_t number)
{
	struct ring_group *g = r->groups;

	while (g && g->number != number)
		g = g->next;
	return g;
}

/* The buffer that would be taken, or NULL: all are. */
uint8_t *ring_buffer_top(struct ring_group *g, uint32_t *buffer)
{
	if (!g->n_free)
		return NULL;
	*buffer = g->free[g->n_free - 1];
	return g->memory + g->bytes * *buffer;
}

void ring_buffer_take(struct ring_group *g)
{
	g->taken[g->free[--g->n_free]] = true;
}

static void group_free(struct ring_group *g)
{
	free(g->free);
	free(g->taken);
	free(g);
}

void ring_groups_free(struct mr_ring *r)
{
	while (r->groups) {
		struct ring_group *g = r->groups;

		r->groups = g->next;
		group_free(g);
	}
}

int mr_ring_provide(struct mr_ring *r, uint16_t group, void *memory, size_t bytes, unsigned int n)
{
	struct ring_group *g;

	if (!memory || !bytes || !n || n > 65536)
		return -EINVAL;
	if (ring_group(r, group))
		return -EEXIST;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->free = calloc(n, sizeof(*g->free));
	g->taken = calloc(n, sizeof(*g->taken));
	if (!g->free || !g->taken) {
		group_free(g);
		return -ENOMEM;
	}
	g->number = group;
	g->memory = memory;
	g->bytes = bytes;
	g->n = g->n_free = n;
	for (uint32_t i = 0; i < n; i++)
		g->free[i] = n - 1 - i;
	g->next = r->groups;
	r->groups = g;
	return 0;
}

int mr_ring_return(struct mr_ring *r, uint16_t group, const uint32_t *buffers, unsigned int n)
{
	struct ring_group *g = ring_group(r, group);

	if (!g)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		bool wrong = buffers[i] >= g->n || !g->taken[buffers[i]];

		if (!wrong) {
			g->taken[buffers[i]] = false;
			g->free[g->n_free++] = buffers[i];
			continue;
		}
		while (i--) { /* as if it had not been called */
			g->taken[buffers[i]] = true;
			g->n_free--;
		}
		return -EINVAL;
	}
	return 0;
}
