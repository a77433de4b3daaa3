/* SPDX-License-Identifier: MIT */
/*
 * The walk through the arenas (conns.h has the way of the data). Records are copied out by
 * pread(), never mapped: what was checked cannot change before it is used, and reading a hole of
 * the memfd does not fill it with pages.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/arenas.h"
#include "user/daemon/conns.h"
#include "user/daemon/traces.h"

enum {
	RECORDS_BYTES = 65536,
	TEXT_BYTES = 65536,
	STEPS_AT_ONCE = 16, /* buffers of records that are searched for a row before others' turn */
	TRACE_STEPS_AT_ONCE = 8, /* each of whose records takes several reads */
	N_KINDS = 3,
};

static const struct {
	const char *name;
	enum mr_arena_area area;
} kinds[N_KINDS] = {
	{ "connections", MR_AREA_CONNS },
	{ "half_open", MR_AREA_HALF_OPEN },
	{ "time_wait", MR_AREA_TIME_WAIT },
};

struct mr_conns_walk {
	struct mr_conns_query q;
	struct mr_conns_row row;
	unsigned int kind; /* in kinds[]; N_KINDS: all are done */
	uint32_t lane;
	uint32_t index;	       /* of the next record */
	uint32_t n;	       /* rows so far */
	bool begun, ended;     /* head and tail are written */
	bool first;	       /* the next row is the first of its list */
	bool full;	       /* the limit is reached, and there are more */
	struct mr_trace trace; /* of the row, when traces are told */
	/* records copied, not looked at yet: of @index on */
	uint32_t at, n_records;
	uint64_t records[RECORDS_BYTES / sizeof(uint64_t)];
	/* text printed, not taken yet */
	size_t text_at, text_len;
	char text[TEXT_BYTES];
};

static void put(struct mr_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct mr_out *o, const char *fmt, ...)
{
	char text[128];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	mr_out_text(o, text, (size_t)n);
}

static void put_head(struct mr_conns_walk *w, struct mr_out *o)
{
	if (w->q.format == MR_CONNS_JSON) {
		put(o, "{\"v\":1,\"%s\":[", w->q.traces ? "traces" : kinds[0].name);
	} else if (w->q.format == MR_CONNS_TSV) {
		mr_conns_titles_put(o, w->q.fields);
		put(o, "\n");
	}
	w->begun = w->first = true;
}

/* The last line says that nothing was cut off, and where to go on. */
static void put_tail(struct mr_conns_walk *w, struct mr_out *o)
{
	char next[64] = "null";

	if (w->full)
		snprintf(next, sizeof(next), "\"%" PRIu32 ".%d.%" PRIu32 "\"", w->lane,
			 (int)kinds[w->kind].area, w->index);
	if (w->q.format == MR_CONNS_TSV)
		put(o, "# next %s\n", next);
	else if (w->q.format == MR_CONNS_LINES)
		put(o, "{\"v\":1,\"next\":%s}\n", next);
	else
		put(o, "],\"next\":%s}\n", next);
	w->ended = true;
}

static void put_trace(struct mr_conns_walk *w, struct mr_out *o)
{
	struct mr_trace_telling telling = {
		.c = w->row.c,
		.lane = w->lane,
		.now_ms = w->row.now_ms,
		.events = w->q.events,
		.state = w->row.state,
	};

	mr_trace_put(o, &telling, &w->trace);
}

static void put_row(struct mr_conns_walk *w, struct mr_out *o)
{
	char *before = o->at;

	if (w->q.format == MR_CONNS_JSON)
		put(o, w->first ? "\n" : ",\n");
	if (w->q.traces)
		put_trace(w, o);
	else
		mr_conns_row_put(o, &w->row, w->q.fields);
	if (w->q.format != MR_CONNS_JSON)
		put(o, "\n");
	w->first = false;
	w->n++;
	if (o->cut) {
		o->at = before; /* cannot happen with MR_CONNS_ROW bytes of room */
		o->cut = false;
	}
}

/*
 * The cursor of a request names the next record: kind, then lane, then index. So a kind before the
 * cursor's is done, and of its own the lanes before the cursor's are.
 */
static uint32_t first_index(const struct mr_conns_walk *w)
{
	const struct mr_conns_query *q = &w->q;
	uint32_t area = kinds[w->kind].area;

	if (q->lane != UINT32_MAX && q->lane != w->lane)
		return UINT32_MAX;
	if (area != q->after_kind)
		return area < q->after_kind ? UINT32_MAX : 0;
	if (w->lane != q->after_lane)
		return w->lane < q->after_lane ? UINT32_MAX : 0;
	return q->after_index;
}

static void start_lane(struct mr_conns_walk *w)
{
	w->at = w->n_records = 0;
	w->index = first_index(w);
	/* One connection by its id: nobody else is looked at. */
	if (w->q.has_id && w->index < w->q.id_index)
		w->index = kinds[w->kind].area == MR_AREA_CONNS ? w->q.id_index : UINT32_MAX;
	w->row.lane = w->lane;
	w->row.kind = kinds[w->kind].area;
}

/* The next lane, or the next kind. */
static void next_area(struct mr_conns_walk *w, struct mr_out *o)
{
	if (++w->lane < w->row.c->d->n_lanes) {
		start_lane(w);
		return;
	}
	w->lane = 0;
	w->kind = w->q.traces ? N_KINDS : w->kind + 1;
	if (w->kind == N_KINDS)
		return;
	if (w->q.format == MR_CONNS_JSON)
		put(o, "],\"%s\":[", kinds[w->kind].name);
	w->first = true;
	start_lane(w);
}

/* The trace of a connection, if enough is noted; it is read anew, as a whole. */
static bool trace_wanted(struct mr_conns_walk *w)
{
	const struct mr_conn *c = w->row.conn;

	if (w->q.min_events && c->active == MR_NONE)
		return false;
	return mr_trace_live(&w->row.c->d->lanes[w->lane], w->index, &w->trace) &&
	       w->trace.generation == c->generation && w->trace.n_total >= w->q.min_events;
}

/* Look at the record in hand. Returns false when the limit is reached. */
static bool look(struct mr_conns_walk *w, struct mr_out *o, uint32_t record_bytes)
{
	w->row.index = w->index;
	if (mr_conns_row_set(&w->row, (const char *)w->records + (size_t)w->at * record_bytes) &&
	    mr_conns_wanted(&w->q, &w->row) && (!w->q.traces || trace_wanted(w))) {
		if (w->n == w->q.limit) {
			w->full = true;
			return false;
		}
		put_row(w, o);
	}
	w->at++;
	w->index++;
	return true;
}

/* Look at what was copied, while there is room for another row. False: the limit is reached. */
static bool look_at_records(struct mr_conns_walk *w, struct mr_out *o)
{
	const struct mr_lane *l = &w->row.c->d->lanes[w->lane];
	uint32_t record_bytes = l->layout.area[w->row.kind].record_bytes;

	while (w->at < w->n_records && o->end - o->at > MR_CONNS_ROW)
		if (!look(w, o, record_bytes))
			return false;
	return true;
}

static void fetch(struct mr_conns_walk *w, struct mr_out *o)
{
	const struct mr_lane *l = &w->row.c->d->lanes[w->lane];
	size_t most = w->q.has_id ? l->layout.area[w->row.kind].record_bytes : RECORDS_BYTES;

	if (w->q.has_id && w->index != w->q.id_index)
		w->index = UINT32_MAX; /* it was looked at */
	w->n_records = mr_arena_read(l, w->row.kind, &w->index, w->records, most);
	w->at = 0;
	if (!w->n_records)
		next_area(w, o);
}

static void fill(struct mr_conns_walk *w)
{
	struct mr_out o = {
		.at = w->text,
		.end = w->text + TEXT_BYTES,
		.json = w->q.format != MR_CONNS_TSV,
	};

	int steps = w->q.traces ? TRACE_STEPS_AT_ONCE : STEPS_AT_ONCE;

	if (!w->begun)
		put_head(w, &o);
	for (int step = 0; step < steps && o.end - o.at > MR_CONNS_ROW; step++) {
		bool done = w->kind == N_KINDS;

		if (!done && w->at < w->n_records)
			done = !look_at_records(w, &o);
		else if (!done)
			fetch(w, &o);
		if (done) {
			put_tail(w, &o);
			break;
		}
	}
	w->text_at = 0;
	w->text_len = (size_t)(o.at - w->text);
}

struct mr_conns_walk *mr_conns_walk_new(struct mr_child *c, const struct mr_conns_query *q)
{
	struct mr_conns_walk *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	/* Not all of it: the buffers are large. */
	memset(w, 0, offsetof(struct mr_conns_walk, records));
	w->q = *q;
	w->row.c = c;
	w->row.now_ms = (uint32_t)(mr_now_ns() / 1000000);
	w->text_at = w->text_len = 0;
	if (c->d->n_lanes)
		start_lane(w);
	else
		w->kind = N_KINDS;
	return w;
}

void mr_conns_walk_free(struct mr_conns_walk *w)
{
	free(w);
}

ssize_t mr_conns_walk_read(struct mr_conns_walk *w, char *out, size_t most)
{
	size_t n;

	if (w->text_at == w->text_len) {
		if (w->ended)
			return -1;
		fill(w);
	}
	n = w->text_len - w->text_at;
	if (n > most)
		n = most;
	memcpy(out, w->text + w->text_at, n);
	w->text_at += n;
	return (ssize_t)n;
}

char *mr_json_conns(struct mr_child *c, const struct mr_conns_query *q, size_t *bytes)
{
	struct mr_conns_walk *w = mr_conns_walk_new(c, q);
	char *text = NULL, part[4096];
	FILE *out = w ? open_memstream(&text, bytes) : NULL;
	ssize_t n;

	if (!out) {
		mr_conns_walk_free(w);
		return NULL;
	}
	while ((n = mr_conns_walk_read(w, part, sizeof(part))) >= 0)
		fwrite(part, 1, (size_t)n, out);
	mr_conns_walk_free(w);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool count_record(void *arg, uint32_t index, const void *record)
{
	const struct mr_conn *c = record;
	uint32_t *counts = arg;

	(void)index;
	if (c->state != MR_CLOSED && c->rule < MR_MAX_RULES)
		counts[c->rule]++;
	return true;
}

void mr_conns_count(struct mr_child *c, uint32_t counts[MR_MAX_RULES])
{
	for (uint32_t i = 0; i < c->d->n_lanes; i++)
		mr_arena_each(&c->d->lanes[i], MR_AREA_CONNS, 0, count_record, counts);
}
