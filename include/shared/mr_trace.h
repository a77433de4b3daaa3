/* SPDX-License-Identifier: MIT */
/*
 * What happened to a connection that had trouble: events of unusual paths, kept while it is active
 * (struct mr_active) and copied into a ring of its lane's arena when a timeout or a reset meets it.
 * The daemon reads both while the lane works, and treats every word of them as hostile.
 *
 * `writes` beside what is written is a sequence lock of one writer, the lane, which never waits:
 * odd while it writes. A copy made between two looks at it that show the same even number is whole.
 */
#ifndef MR_TRACE_H
#define MR_TRACE_H

#include <stdint.h>

#include "mr_endian.h"

enum {
	MR_TRACE_EVENTS = 16, /* the last so many of a connection */
	MR_TRACES = 256,      /* archived traces of a lane, the last ones */
};

/* kind, name, is archived at once, meaning of detail and value */
#define MR_TRACE_KINDS(K)                                                                          \
	K(STATE, "state", 0, "its new state")                                                      \
	K(TIMEOUT, "timeout", 1, "retransmission timeout: how many in a row, the RTO in ms")       \
	K(TAIL_PROBE, "tail_probe", 0, "tail loss probe (RFC 8985)")                               \
	K(RECOVERY, "recovery", 0, "fast retransmit: bytes taken for lost")                        \
	K(UNDO, "undo", 0, "nothing was lost after all")                                           \
	K(WINDOW_CLOSED, "window_closed", 0,                                                       \
	  "the peer's window lets nothing out; bytes that wait")                                   \
	K(WINDOW_OPENED, "window_opened", 0, "the peer takes text again; its window")              \
	K(RESET_IN, "reset_in", 1, "the peer's RST")                                               \
	K(RESET_OUT, "reset_out", 1, "our RST")                                                    \
	K(CLOSED, "closed", 0, "the end, with its reason")

enum mr_trace_kind {
#define K(name, word, archived, text) MR_TRACE_##name,
	MR_TRACE_KINDS(K)
#undef K
		MR_TRACE_KIND_COUNT
};

struct mr_trace_event {
	uint32_t time_ms; /* the lane's clock */
	uint8_t kind;	  /* enum mr_trace_kind */
	uint8_t state;	  /* enum mr_tcp_state, when it happened; of STATE: the new one */
	uint16_t detail;  /* TIMEOUT: how many in a row; CLOSED: enum mr_close_reason */
	uint32_t value;	  /* as the table says */
	uint32_t sent;	  /* bytes acknowledged by the peer so far, modulo 2^32 */
};

/* Trace `number` stands at number % MR_TRACES. 0: none. Written by the lane alone. */
struct mr_trace {
	uint32_t number;     /* counts the lane's archived traces, from 1 */
	uint32_t conn;	     /* index of the connection block */
	uint32_t generation; /* of that block */
	uint16_t rule;
	uint8_t n_events; /* in `event`, oldest first */
	uint8_t pad;
	uint8_t local[16];
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	uint32_t n_total; /* events that there were since the connection became active */
	uint32_t writes;  /* odd while the lane writes it */
	uint32_t pad2;
	struct mr_trace_event event[MR_TRACE_EVENTS];
};

/**
 * mr_trace_write() - what @writes stands for is about to change; mr_trace_written(): it did
 *
 * A worker that was killed in between leaves an odd number, and what it left is told to nobody
 * until it is written anew.
 */
static inline void mr_trace_write(uint32_t *writes)
{
	__atomic_store_n(writes, *writes | 1, __ATOMIC_RELAXED);
	/* Before every store that follows; pairs with the reader's second fence. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void mr_trace_written(uint32_t *writes)
{
	/* Release: behind every store before; pairs with the reader's first fence. */
	__atomic_store_n(writes, *writes + 1, __ATOMIC_RELEASE);
}

_Static_assert(sizeof(struct mr_trace_event) == 16, "trace event");
_Static_assert(sizeof(struct mr_trace) == 64 + 16 * MR_TRACE_EVENTS, "archived trace");

#endif
