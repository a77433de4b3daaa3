/* SPDX-License-Identifier: MIT */
/*
 * Traces out of a lane's arena while the lane writes them: archived ones, and those of connections
 * that stand. The lane is never waited for; what is not whole is read again, a few times, and then
 * not told. Every word is the lane's, and nothing in it is followed unchecked.
 */
#ifndef MR_DAEMON_TRACES_H
#define MR_DAEMON_TRACES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/child.h"
#include "user/daemon/out.h"

/**
 * mr_trace_archived() - the trace at a place of the archive
 * @place:	0 to MR_TRACES - 1
 * @out:	copy as the lane wrote it at one time; undefined unless it is true
 *
 * Return: there is one, whole
 */
bool mr_trace_archived(const struct mr_lane *l, uint32_t place, struct mr_trace *out);

/**
 * mr_trace_live() - what is noted now of connection @index
 * @out:	a trace like an archived one: its `number` is that of the archived copy, 0: there is
 *		none; without events when nothing is noted
 *
 * Return: the connection stands, and all of it is of one connection and one time
 */
bool mr_trace_live(const struct mr_lane *l, uint32_t index, struct mr_trace *out);

/* What is told of a trace. */
struct mr_trace_telling {
	const struct mr_child *c;
	uint32_t lane;	 /* index in mr_daemon.lanes */
	uint32_t now_ms; /* the lane's clock, modulo 2^32 */
	bool events;	 /* each of them, too */
	int state;	 /* enum mr_tcp_state of a connection that stands, -1: archived */
};

enum {
	MR_TRACE_ID = 80, /* bytes of an id */
};

/** mr_trace_id() - "INTERFACE:QUEUE:NUMBER" of an archived trace */
const char *mr_trace_id(const struct mr_trace_telling *t, uint32_t number, char out[MR_TRACE_ID]);

/** mr_trace_put() - a JSON object; it takes less than MR_CONNS_ROW bytes (conns.h) */
void mr_trace_put(struct mr_out *o, const struct mr_trace_telling *t, const struct mr_trace *r);

#endif
