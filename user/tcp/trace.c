/* SPDX-License-Identifier: MIT */
/*
 * The trace of a connection: events of unusual paths only, so that what goes well pays nothing for
 * it. They stand in the record that active connections borrow, so that idle ones have none; a
 * timeout or a reset copies them into the lane's archive, and what follows is added there.
 */
#include "user/tcp/internal.h"
#include "user/frame/traces.h"

static bool is_archived(enum mr_trace_kind kind)
{
#define K(name, word, archived, text) | ((uint32_t)(archived) << MR_TRACE_##name)
	return (0u MR_TRACE_KINDS(K)) >> kind & 1;
#undef K
}

void mr_trace(struct mr_tcp *t, struct mr_conn *c, enum mr_trace_kind kind, uint16_t detail,
	      uint32_t value)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	/* A half-open connection is no more than a record, expanded for this segment. */
	if (!a && (!is_archived(kind) || c->state <= MR_SYN_RECEIVED))
		return;
	if (!a)
		a = mr_active_of(t, c);
	mr_trace_write(&a->trace_writes);
	a->trace[a->n_traced++ % MR_TRACE_EVENTS] = (struct mr_trace_event){
		.time_ms = t->now_ms,
		.kind = (uint8_t)kind,
		.state = c->state,
		.detail = detail,
		.value = value,
		.sent = c->snd_una - c->iss,
	};
	mr_trace_written(&a->trace_writes);
	if (t->traces && (a->trace_number || is_archived(kind)))
		a->trace_number = mr_traces_put(t->traces, a->trace_number, a->owner, c, a);
}
