/* SPDX-License-Identifier: MIT */
/*
 * What is told of a trace, archived or of a connection that stands. Records are copies; nothing in
 * them is followed, and every number is bounded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "user/daemon/api.h"
#include "user/daemon/arenas.h"
#include "user/daemon/traces.h"

struct walk {
	struct mr_trace_telling telling;
	const char *id; /* the one that is wanted; NULL: all */
	json_t *traces;
};

static const char *const state_names[] = MR_TCP_STATE_NAMES;

static const char *const close_names[] = {
#define R(name, field, error, text) #field,
	MR_CLOSE_REASONS(R)
#undef R
};

static const char *const kind_names[] = {
#define K(name, word, archived, text) word,
	MR_TRACE_KINDS(K)
#undef K
};

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static const char *word_of(const char *const *words, uint32_t n, uint32_t i)
{
	return i < n ? words[i] : "unknown";
}

/* The lane's clock is CLOCK_MONOTONIC in ms, modulo 2^32. */
static uint32_t ago(const struct mr_trace_telling *t, uint32_t then)
{
	uint32_t d = t->now_ms - then;

	return d > INT32_MAX ? 0 : d;
}

static json_t *event(const struct mr_trace_telling *t, const struct mr_trace_event *e)
{
	json_t *o = json_object();

	set(o, "ago_ms", ago(t, e->time_ms));
	json_object_set_new(o, "event",
			    json_string(word_of(kind_names, MR_TRACE_KIND_COUNT, e->kind)));
	json_object_set_new(o, "state",
			    json_string(word_of(state_names, MR_TCP_STATE_COUNT, e->state)));
	set(o, "bytes_acknowledged", e->sent ? e->sent - 1 : 0); /* SYN has the first number */
	if (e->kind == MR_TRACE_TIMEOUT) {
		set(o, "in_a_row", e->detail);
		set(o, "rto_ms", e->value);
	} else if (e->kind == MR_TRACE_CLOSED) {
		json_object_set_new(
			o, "reason",
			json_string(word_of(close_names, MR_CLOSE_REASON_COUNT, e->detail)));
	} else if (e->kind == MR_TRACE_RECOVERY || e->kind == MR_TRACE_WINDOW_CLOSED ||
		   e->kind == MR_TRACE_WINDOW_OPENED) {
		set(o, "bytes", e->value);
	}
	return o;
}

static uint32_t events_of(const struct mr_trace *r)
{
	return r->n_events < MR_TRACE_EVENTS ? r->n_events : MR_TRACE_EVENTS;
}

/* What the last event says of the connection. */
static void put_last(const struct mr_trace_telling *t, json_t *o, const struct mr_trace *r)
{
	uint32_t n = events_of(r);
	const struct mr_trace_event *e = &r->event[n ? n - 1 : 0];
	bool closed = n && e->kind == MR_TRACE_CLOSED;

	json_object_set_new(
		o, "last", json_string(n ? word_of(kind_names, MR_TRACE_KIND_COUNT, e->kind) : ""));
	json_object_set_new(
		o, "close_reason",
		closed ? json_string(word_of(close_names, MR_CLOSE_REASON_COUNT, e->detail))
		       : json_null());
	json_object_set_new(o, "last_ago_ms",
			    n ? json_integer((json_int_t)ago(t, e->time_ms)) : json_null());
}

const char *mr_trace_id(const struct mr_trace_telling *t, uint32_t number, char out[MR_TRACE_ID])
{
	const struct mr_lane *lane = &t->c->d->lanes[t->lane];

	snprintf(out, MR_TRACE_ID, "%s:%" PRIu32 ":%" PRIu32, mr_lane_link(t->c->d, lane)->name,
		 lane->index, number);
	return out;
}

static void put_who(const struct mr_trace_telling *t, json_t *o, const struct mr_trace *r)
{
	const struct mr_daemon *d = t->c->d;
	const struct mr_lane *lane = &d->lanes[t->lane];
	char text[64];

	json_object_set_new(o, "interface", json_string(mr_lane_link(d, lane)->name));
	set(o, "queue", lane->index);
	snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu32, r->conn, r->generation);
	json_object_set_new(o, "connection", json_string(text));
	json_object_set_new(o, "local", json_string(mr_address_text(r->local, text)));
	set(o, "local_port", mr_be16(r->local_port));
	json_object_set_new(o, "remote", json_string(mr_address_text(r->remote, text)));
	set(o, "remote_port", mr_be16(r->remote_port));
	json_object_set_new(o, "rule",
			    r->rule < d->settings.n_rules
				    ? json_string(d->settings.rules[r->rule].lane.name)
				    : json_null());
	json_object_set_new(o, "state",
			    t->state < 0 ? json_null()
					 : json_string(word_of(state_names, MR_TCP_STATE_COUNT,
							       (uint32_t)t->state)));
}

json_t *mr_trace_json(const struct mr_trace_telling *t, const struct mr_trace *r)
{
	json_t *o = json_object(), *events;
	char id[MR_TRACE_ID];

	json_object_set_new(o, "id",
			    r->number ? json_string(mr_trace_id(t, r->number, id)) : json_null());
	put_who(t, o, r);
	put_last(t, o, r);
	set(o, "events_total", r->n_total);
	if (!t->events)
		return o;
	events = json_array();
	for (uint32_t i = 0; i < events_of(r); i++)
		json_array_append_new(events, event(t, &r->event[i]));
	json_object_set_new(o, "events", events);
	return o;
}

/* What was copied with others says only whether there is one. */
static bool put_record(void *arg, uint32_t index, const void *record)
{
	const struct mr_trace *seen = record;
	struct walk *w = arg;
	struct mr_trace r;
	char id[MR_TRACE_ID];

	if (!seen->number ||
	    !mr_trace_archived(&w->telling.c->d->lanes[w->telling.lane], index, &r))
		return true;
	if (!w->id || !strcmp(w->id, mr_trace_id(&w->telling, r.number, id)))
		json_array_append_new(w->traces, mr_trace_json(&w->telling, &r));
	return true;
}

json_t *mr_json_traces(struct mr_child *c, const char *id, bool events)
{
	struct walk w = {
		.telling = {
			.c = c,
			.now_ms = (uint32_t)(mr_now_ns() / 1000000),
			.events = events || id,
			.state = -1,
		},
		.id = id,
		.traces = json_array(),
	};

	for (; w.telling.lane < c->d->n_lanes; w.telling.lane++)
		mr_arena_each(&c->d->lanes[w.telling.lane], MR_AREA_TRACES, 0, put_record, &w);
	return json_pack("{s:i, s:o, s:n}", "v", 1, "traces", w.traces, "next");
}
