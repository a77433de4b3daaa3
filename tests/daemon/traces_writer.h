/* SPDX-License-Identifier: MIT */
/*
 * A lane's side of traces, with the lane's own code: one connection in an arena, whose events all
 * follow from their number, so that a reader sees what does not belong together.
 */
#ifndef MR_TRACES_WRITER_H
#define MR_TRACES_WRITER_H

#include "user/frame/actives.h"
#include "user/frame/arena.h"
#include "user/frame/traces.h"

enum {
	WRITER_INDEX = 3,	  /* of the connection */
	WRITER_NUMBERS = 1000000, /* event n of a connection is its generation times this, plus n */
};

struct mr_tcp;

struct writer {
	struct mr_actives actives;
	struct mr_traces traces;
	struct mr_tcp *tcp;
	struct mr_conn *conn;
	uint32_t n; /* of the last event */
};

/** writer_init() - with a connection of generation 1 and its record; false: memory is short */
bool writer_init(struct writer *w, const struct mr_arena *arena);
void writer_fini(struct writer *w);

/** writer_open() - a connection, in place of whatever stands there */
void writer_open(struct writer *w, uint32_t generation);

/** writer_end() - it is closed; writer_next(): and another one begins, with two events */
void writer_end(struct writer *w);
void writer_next(struct writer *w);

/** writer_note() - one event, archived at once; writer_note_many(): more than a ring holds */
void writer_note(struct writer *w);
void writer_note_many(struct writer *w);

/** writer_is_event() - is @e number @n? */
bool writer_is_event(const struct mr_trace_event *e, uint32_t n);

#endif
