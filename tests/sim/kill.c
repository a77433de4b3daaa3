/* SPDX-License-Identifier: MIT */
/*
 * SIGKILL of a lane, between two of its turns, and another worker at once on what it left: arena,
 * rings and counters stay, all that is derived from them is built anew. Nobody at the other end may
 * notice: every law holds on.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

#include "tests/lane/killed.h"

static void mark(uint8_t *held, const struct sim_fifo *f, enum mr_frame_state state)
{
	for (uint32_t i = f->head; i != f->tail; i++)
		held[f->slot[i % f->size].addr / SIM_FRAME_BYTES] = (uint8_t)state;
}

/* As a worker finds out: by the records of what was sent, and by the rings. */
static uint8_t *find_held(const struct sim_lane *l)
{
	uint32_t n;
	const struct mr_frame *record = mr_arena_area(&l->arena, MR_AREA_FRAME_RECORDS, &n);
	uint8_t *held = calloc(n, 1);

	if (!held)
		abort();
	for (uint32_t i = 0; i < n; i++)
		if (record[i].in_tx)
			held[i] = MR_FRAME_CTL;
	mark(held, &l->port.tx, MR_FRAME_CTL);
	mark(held, &l->port.completion, MR_FRAME_CTL);
	mark(held, &l->port.fill, MR_FRAME_FILL);
	mark(held, &l->port.rx, MR_FRAME_FILL);
	return held;
}

void sim_kill(struct sim_lane *l)
{
	const struct mr_siphash_key cookies = l->lane->tcp_config.fast_open_key;
	uint8_t *held;
	char error[256] = "";

	l->port.rx.head = l->port.done; /* what was taken only, is there still */
	held = find_held(l);
	killed_lane_forget(l->lane);
	l->setup.epoch++;
	l->setup.held = held;
	l->lane = mr_lane_new(&l->setup, error, sizeof(error));
	free(held);
	l->setup.held = NULL;
	if (!l->lane) {
		sim_fail(l->sim, "%s", error);
		return;
	}
	l->lane->tcp_config.fast_open_key = cookies; /* SIM_EVENT_KEY */
	l->sim->result->seen[SIM_SEEN_KILL]++;
	l->killed = true; /* its next turn is held to all laws; deadlines may have passed */
	l->killed_ms = sim_lane_ns(l) / SIM_MS;
}
