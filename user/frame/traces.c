/* SPDX-License-Identifier: MIT */
#include "user/frame/traces.h"

#include <string.h>

void mr_traces_init(struct mr_traces *r, struct mr_trace *records, uint32_t count)
{
	*r = (struct mr_traces){ .record = records, .count = count };
	for (uint32_t i = 0; i < count; i++)
		if (records[i].number % count == i && records[i].number > r->last &&
		    records[i].number != UINT32_MAX)
			r->last = records[i].number;
}

/* The events of the ring in @a, oldest first. */
static void copy_events(struct mr_trace *out, const struct mr_active *a)
{
	uint32_t n = a->n_traced < MR_TRACE_EVENTS ? a->n_traced : MR_TRACE_EVENTS;

	for (uint32_t i = 0; i < n; i++)
		out->event[i] = a->trace[(a->n_traced - n + i) % MR_TRACE_EVENTS];
	out->n_events = (uint8_t)n;
	out->n_total = a->n_traced;
}

uint32_t mr_traces_put(struct mr_traces *r, uint32_t number, uint32_t index,
		       const struct mr_conn *c, const struct mr_active *a)
{
	struct mr_trace *out;

	if (!number || r->record[number % r->count].number != number)
		number = ++r->last;
	if (!number) /* after 2^32 of them */
		number = r->last = 1;
	out = &r->record[number % r->count];
	mr_trace_write(&out->writes);
	out->number = number;
	out->conn = index;
	out->generation = c->generation;
	out->rule = c->rule;
	memcpy(out->local, c->local, sizeof(out->local));
	memcpy(out->remote, c->remote, sizeof(out->remote));
	out->local_port = c->local_port;
	out->remote_port = c->remote_port;
	copy_events(out, a);
	mr_trace_written(&out->writes);
	return number;
}
