/* SPDX-License-Identifier: MIT */
/*
 * What is told of a trace, archived or of a connection that stands. Records are copies; nothing in
 * them is followed, and every number is bounded. Text is written as it comes: of some hundred
 * traces with their events a tree of objects would take longer than all else.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/api.h"
#include "user/daemon/arenas.h"
#include "user/daemon/traces.h"

struct walk {
	struct mr_trace_telling telling;
	const char *id; /* the one that is wanted; NULL: all */
	FILE *out;
	size_t n; /* traces so far */
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

/* `,"name":`, without the comma behind a bracket */
static void key(struct mr_out *o, const char *name)
{
	if (o->at[-1] != '{')
		mr_out_text(o, ",", 1);
	mr_out_text(o, "\"", 1);
	mr_out_text(o, name, strlen(name));
	mr_out_text(o, "\":", 2);
}

static void put_number(struct mr_out *o, const char *name, uint64_t v)
{
	key(o, name);
	mr_out_number(o, v);
}

/* NULL is null. */
static void put_string(struct mr_out *o, const char *name, const char *text)
{
	key(o, name);
	if (text)
		mr_out_string(o, text);
	else
		mr_out_null(o);
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

static void put_event(struct mr_out *o, const struct mr_trace_telling *t,
		      const struct mr_trace_event *e)
{
	mr_out_text(o, "{", 1);
	put_number(o, "ago_ms", ago(t, e->time_ms));
	put_string(o, "event", word_of(kind_names, MR_TRACE_KIND_COUNT, e->kind));
	put_string(o, "state", word_of(state_names, MR_TCP_STATE_COUNT, e->state));
	/* SYN has the first number */
	put_number(o, "bytes_acknowledged", e->sent ? e->sent - 1 : 0);
	if (e->kind == MR_TRACE_TIMEOUT) {
		put_number(o, "in_a_row", e->detail);
		put_number(o, "rto_ms", e->value);
	} else if (e->kind == MR_TRACE_CLOSED) {
		put_string(o, "reason", word_of(close_names, MR_CLOSE_REASON_COUNT, e->detail));
	} else if (e->kind == MR_TRACE_RECOVERY || e->kind == MR_TRACE_WINDOW_CLOSED ||
		   e->kind == MR_TRACE_WINDOW_OPENED) {
		put_number(o, "bytes", e->value);
	}
	mr_out_text(o, "}", 1);
}

static uint32_t events_of(const struct mr_trace *r)
{
	return r->n_events < MR_TRACE_EVENTS ? r->n_events : MR_TRACE_EVENTS;
}

/* What the last event says of the connection. */
static void put_last(struct mr_out *o, const struct mr_trace_telling *t, const struct mr_trace *r)
{
	uint32_t n = events_of(r);
	const struct mr_trace_event *e = &r->event[n ? n - 1 : 0];
	bool closed = n && e->kind == MR_TRACE_CLOSED;

	put_string(o, "last", n ? word_of(kind_names, MR_TRACE_KIND_COUNT, e->kind) : "");
	put_string(o, "close_reason",
		   closed ? word_of(close_names, MR_CLOSE_REASON_COUNT, e->detail) : NULL);
	key(o, "last_ago_ms");
	if (n)
		mr_out_number(o, ago(t, e->time_ms));
	else
		mr_out_null(o);
}

const char *mr_trace_id(const struct mr_trace_telling *t, uint32_t number, char out[MR_TRACE_ID])
{
	const struct mr_lane *lane = &t->c->d->lanes[t->lane];

	snprintf(out, MR_TRACE_ID, "%s:%" PRIu32 ":%" PRIu32, mr_lane_link(t->c->d, lane)->name,
		 lane->index, number);
	return out;
}

static void put_who(struct mr_out *o, const struct mr_trace_telling *t, const struct mr_trace *r)
{
	const struct mr_daemon *d = t->c->d;
	const struct mr_lane *lane = &d->lanes[t->lane];
	char text[64];

	put_string(o, "interface", mr_lane_link(d, lane)->name);
	put_number(o, "queue", lane->index);
	snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu32, r->conn, r->generation);
	put_string(o, "connection", text);
	key(o, "local");
	mr_out_address(o, r->local);
	put_number(o, "local_port", mr_be16(r->local_port));
	key(o, "remote");
	mr_out_address(o, r->remote);
	put_number(o, "remote_port", mr_be16(r->remote_port));
	put_string(o, "rule",
		   r->rule < d->settings.n_rules && d->settings.rules[r->rule].lane.name[0]
			   ? d->settings.rules[r->rule].lane.name
			   : NULL);
	put_string(o, "state",
		   t->state < 0 ? NULL
				: word_of(state_names, MR_TCP_STATE_COUNT, (uint32_t)t->state));
}

void mr_trace_put(struct mr_out *o, const struct mr_trace_telling *t, const struct mr_trace *r)
{
	char id[MR_TRACE_ID];

	mr_out_text(o, "{", 1);
	put_string(o, "id", r->number ? mr_trace_id(t, r->number, id) : NULL);
	put_who(o, t, r);
	put_last(o, t, r);
	put_number(o, "events_total", r->n_total);
	if (t->events) {
		key(o, "events");
		mr_out_text(o, "[", 1);
		for (uint32_t i = 0; i < events_of(r); i++) {
			mr_out_text(o, ",", i > 0);
			put_event(o, t, &r->event[i]);
		}
		mr_out_text(o, "]", 1);
	}
	mr_out_text(o, "}", 1);
}

/* What was copied with others says only whether there is one. */
static bool put_record(void *arg, uint32_t index, const void *record)
{
	const struct mr_trace *seen = record;
	char text[MR_CONNS_ROW], id[MR_TRACE_ID];
	struct mr_out o = { .at = text, .end = text + sizeof(text), .json = true };
	struct walk *w = arg;
	struct mr_trace r;

	if (!seen->number ||
	    !mr_trace_archived(&w->telling.c->d->lanes[w->telling.lane], index, &r))
		return true;
	if (w->id && strcmp(w->id, mr_trace_id(&w->telling, r.number, id)) != 0)
		return true;
	mr_trace_put(&o, &w->telling, &r);
	fprintf(w->out, "%s%.*s", w->n++ ? ",\n" : "\n", (int)(o.at - text), text);
	return true;
}

char *mr_json_traces(struct mr_child *c, const char *id, bool events, size_t *bytes, size_t *n)
{
	char *text = NULL;
	struct walk w = {
		.telling = {
			.c = c,
			.now_ms = (uint32_t)(mr_now_ns() / 1000000),
			.events = events || id,
			.state = -1,
		},
		.id = id,
		.out = open_memstream(&text, bytes),
	};

	if (!w.out)
		return NULL;
	fputs("{\"v\":1,\"traces\":[", w.out);
	for (; w.telling.lane < c->d->n_lanes; w.telling.lane++)
		mr_arena_each(&c->d->lanes[w.telling.lane], MR_AREA_TRACES, 0, put_record, &w);
	fputs("],\"next\":null}\n", w.out);
	*n = w.n;
	if (fclose(w.out) == 0)
		return text;
	free(text);
	return NULL;
}
