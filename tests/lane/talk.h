/* SPDX-License-Identifier: MIT */
/*
 * The client's application of the lane tests: byte connections that say what a test wrote down
 * and keep what came back.
 */
#ifndef MR_TALK_H
#define MR_TALK_H

#include "tests/lane/pair.h"

/**
 * struct talk - one connection of the client
 * @out, @out_len: to be said; borrowed
 * @half_close:	shut down sending when all is said
 * @deaf:	never read
 * @lasting:	stay open when the peer ends; else close then
 * @in:		what came, @in_len bytes, the first TALK_KEPT of them
 */
struct talk {
	const void *out;
	size_t out_len;
	bool half_close;
	bool deaf;
	bool lasting;
	bool early; /* what is to be said is given with the connect */

	mr_conn_id id;
	struct pair *pair;
	size_t said;
	bool shut, opened, ended, closed;
	int reason; /* enum mr_close_reason */
	size_t in_len;
	uint32_t in_hash; /* FNV-1a of all that came */
	char in[256];
	uint64_t first_ns,
		last_ns; /* when the first and the last byte came, by the virtual clock */
};

enum {
	TALK_KEPT = 255, /* a NUL follows */
};

extern const struct mr_app talk_app;

/** talk_begin() - connect to @port of the server as @t says; the client's rule 0 must be "talk" */
void talk_begin(struct pair *p, struct talk *t, uint16_t port, bool ipv6);

/** talk_say() - more words on an open connection, in this turn */
void talk_say(struct talk *t, const void *out, size_t len);

/** talk_close(), talk_abort() - the client's program ends the connection */
void talk_close(struct talk *t);
void talk_abort(struct talk *t);

/** talk_is_closed(), talk_is_open(), talk_has_ended() - for pair_run(); @arg is the talk */
bool talk_is_closed(void *arg);
bool talk_is_open(void *arg);
bool talk_has_ended(void *arg);

/** talk_hash() - FNV-1a, 32 bits, as drill's H */
uint32_t talk_hash(uint32_t hash, const void *bytes, size_t len);
#define TALK_HASH_BASIS 2166136261u

/** talk_start() - a pair with @app on port 7000 of the server, and the talk client */
void talk_start(struct pair *p, const char *app, struct pair_options o);

/** talk_serve() - start both lanes of a pair whose server has its rules already */
void talk_serve(struct pair *p);

/** talk_end() - assert that nothing is left: no connection, no frame; free the pair */
void talk_end(struct pair *p);

#endif
