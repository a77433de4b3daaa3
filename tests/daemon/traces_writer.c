/* SPDX-License-Identifier: MIT */
#include "tests/daemon/traces_writer.h"

#include <stdlib.h>

#include "user/tcp/internal.h"

#define MIX 2654435761u

bool writer_init(struct writer *w, const struct mr_arena *arena)
{
	struct mr_conn *conns;
	uint32_t n, n_traces;

	conns = mr_arena_area(arena, MR_AREA_CONNS, &n);
	mr_actives_init(&w->actives, mr_arena_area(arena, MR_AREA_ACTIVE, NULL), n, conns);
	mr_traces_init(&w->traces, mr_arena_area(arena, MR_AREA_TRACES, &n_traces), MR_TRACES);
	w->tcp = calloc(1, sizeof(*w->tcp));
	if (!w->tcp || n <= WRITER_INDEX || n_traces != MR_TRACES)
		return false;
	w->tcp->actives = &w->actives;
	w->tcp->traces = &w->traces;
	w->conn = &conns[WRITER_INDEX];
	writer_open(w, 1);
	return true;
}

void writer_fini(struct writer *w)
{
	free(w->tcp);
}

void writer_open(struct writer *w, uint32_t generation)
{
	*w->conn = (struct mr_conn){ .active = MR_NONE, .generation = generation };
	w->conn->remote[15] = (uint8_t)generation;
	w->conn->remote_port = mr_to_be16((uint16_t)generation);
	w->conn->state = MR_ESTABLISHED;
	w->n = generation * WRITER_NUMBERS;
	mr_active_take(&w->actives, w->conn);
}

void writer_end(struct writer *w)
{
	w->conn->state = MR_CLOSED;
	mr_active_give(&w->actives, w->conn);
}

void writer_note(struct writer *w)
{
	w->tcp->now_ms = ++w->n;
	w->conn->snd_una = w->n * 7;
	mr_trace(w->tcp, w->conn, MR_TRACE_TIMEOUT, (uint16_t)w->n, w->n * MIX);
}

void writer_note_many(struct writer *w)
{
	for (int i = 0; i < MR_TRACE_EVENTS + 3; i++)
		writer_note(w);
}

void writer_next(struct writer *w)
{
	uint32_t generation = w->conn->generation;

	writer_end(w);
	writer_open(w, generation + 1);
	writer_note(w);
	writer_note(w);
}

bool writer_is_event(const struct mr_trace_event *e, uint32_t n)
{
	return e->time_ms == n && e->kind == MR_TRACE_TIMEOUT && e->detail == (uint16_t)n &&
	       e->value == n * MIX && e->sent == n * 7;
}
