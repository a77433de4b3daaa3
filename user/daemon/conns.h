/* SPDX-License-Identifier: MIT */
/*
 * GET /v1/conns: the connections out of the lanes' arenas.
 *
 *   query (conns_query.c)  what a client asks for
 *   walk  (conns_walk.c)   kind by kind, lane by lane, index by index: a buffer of records is
 *                          copied out of an arena, those that the query wants are printed into a
 *                          buffer of text, and HTTP takes that away piece by piece
 *   rows  (conns_rows.c)   what is told of a record; of GET /v1/traces?live=yes its trace instead
 *
 * The walk holds two buffers and a cursor, however many connections there are, and does a bounded
 * part of its work at a time: supervision and other clients have their turn in between.
 */
#ifndef MR_DAEMON_CONNS_H
#define MR_DAEMON_CONNS_H

#include "user/daemon/child.h"
#include "user/daemon/out.h"

enum {
	MR_CONNS_DEFAULT = 1000,
	MR_CONNS_ROW = 4096, /* bytes that a row may take */
};

enum mr_conns_format {
	MR_CONNS_JSON,	/* one object */
	MR_CONNS_LINES, /* an object a line */
	MR_CONNS_TSV,	/* columns separated by tabs, under a line of their names */
};

/* Addresses that agree with @addr in the first @bits. 0 bits: every address. */
struct mr_prefix {
	uint8_t addr[16]; /* IPv4 mapped */
	uint8_t bits;
};

/* What a client asks for. Zero means any, but for those with another word beside them. */
struct mr_conns_query {
	uint32_t lane;	/* index in mr_daemon.lanes, UINT32_MAX: all */
	uint32_t limit; /* UINT32_MAX: none */
	int state;	/* enum mr_tcp_state, -1: any */
	int port;	/* local, -1: any */
	uint16_t remote_port;
	uint16_t rule; /* with has_rule */
	bool has_rule;
	bool has_id;
	bool limit_given;
	uint8_t format;		  /* enum mr_conns_format */
	struct mr_prefix address; /* of either end */
	struct mr_prefix local;
	struct mr_prefix remote;
	uint32_t id_index; /* with has_id */
	uint32_t id_generation;
	uint32_t min_age_ms;
	uint32_t max_age_ms;
	uint32_t min_idle_ms;
	uint32_t min_retransmits;
	uint64_t fields; /* bits of the table of rows, in its order; 0: all */
	/* of GET /v1/traces?live=yes */
	bool traces;	     /* their traces, not their figures */
	bool events;	     /* each event, too */
	uint32_t min_events; /* so many are noted */
	/* cursor */
	uint32_t after_lane;
	uint32_t after_kind;
	uint32_t after_index;
};

/** mr_conns_query_init() - everything, up to the default limit */
void mr_conns_query_init(struct mr_conns_query *q);

/** mr_conns_query_traces() - the same of traces: all in which something is noted */
void mr_conns_query_traces(struct mr_conns_query *q);

/**
 * mr_conns_query_set() - one parameter of a request
 *
 * Return: NULL, or what is wrong with it, for the client
 */
const char *mr_conns_query_set(const struct mr_child *c, struct mr_conns_query *q, const char *name,
			       const char *value);

/* A record with what is read beside it; pointers are valid for the row. */
struct mr_conns_row {
	const struct mr_child *c;
	uint32_t lane;
	uint32_t index;
	enum mr_arena_area kind;
	uint32_t now_ms; /* the lane's clock, modulo 2^32 */
	int state;	 /* enum mr_tcp_state, checked */
	const uint8_t *local, *remote;
	uint16_t local_port, remote_port;
	const struct mr_conn *conn;	      /* of MR_AREA_CONNS, else NULL */
	const struct mr_half_open *half_open; /* the same */
	const struct mr_time_wait *time_wait;
	struct mr_active active; /* zeros without; read for the fields that need it */
	struct mr_session session;
	bool has_session;
};

/** mr_conns_row_set() - look at a record; false: it is not in use */
bool mr_conns_row_set(struct mr_conns_row *r, const void *record);

/** mr_conns_wanted() - is it what @q asks for? */
bool mr_conns_wanted(const struct mr_conns_query *q, const struct mr_conns_row *r);

/** mr_conns_row_put() - print it: an object, or a line; reads what else the fields need */
void mr_conns_row_put(struct mr_out *o, struct mr_conns_row *r, uint64_t fields);

/** mr_conns_titles_put() - the line of names over the columns */
void mr_conns_titles_put(struct mr_out *o, uint64_t fields);

/** mr_conns_field() - the number of the field of this name, or -1 */
int mr_conns_field(const char *name, size_t len);

/* A listing under way. */
struct mr_conns_walk;

/** mr_conns_walk_new() - begin; @q is copied. NULL when memory is short */
struct mr_conns_walk *mr_conns_walk_new(struct mr_child *c, const struct mr_conns_query *q);

void mr_conns_walk_free(struct mr_conns_walk *w);

/**
 * mr_conns_walk_read() - the next bytes of the answer
 *
 * Return: how many; 0: none yet, ask again; -1: that was all
 */
ssize_t mr_conns_walk_read(struct mr_conns_walk *w, char *out, size_t most);

/** mr_json_conns() - the whole answer as text, to be freed, or NULL; @bytes out: its length */
char *mr_json_conns(struct mr_child *c, const struct mr_conns_query *q, size_t *bytes);

/** mr_conns_count() - connections that stand, by rule id; @counts zeroed by the caller */
void mr_conns_count(struct mr_child *c, uint32_t counts[MR_MAX_RULES]);

#endif
