/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/rules and /v1/guard, between api.c and the parent; changes.c and changes_guard.c say
 * what may be in them. One change at a time; the connection is suspended until the parent has
 * answered. Child only.
 */
#ifndef MR_DAEMON_CHANGES_H
#define MR_DAEMON_CHANGES_H

#include <microhttpd.h>

#include <jansson.h>

#include "user/daemon/child.h"
#include "user/daemon/ruleset.h"

enum mr_change_stage {
	MR_CHANGE_READING,
	MR_CHANGE_ASKED,
	MR_CHANGE_DONE,
};

struct mr_change;

/* What a change is of: rules (changes.c), the guard (changes_guard.c). */
struct mr_change_kind {
	const char *what;
	uint32_t request; /* of the parent */
	/* Makes of the body what is to be, laid where the parent finds it; or mr_change_fail(). */
	int (*prepare)(struct mr_child *c, struct mr_change *g, const json_t *body);
	void (*adopt)(struct mr_child *c, struct mr_change *g); /* the parent has done it */
	json_t *(*shown)(struct mr_child *c);
	const char *(*why)(int error); /* what the parent's error means */
};

struct mr_change {
	const struct mr_change_kind *kind;
	struct mr_change *next_one; /* of all requests that there are */
	struct MHD_Connection *http;
	struct mr_ruleset next;		/* of rules */
	struct mr_guard_changes *guard; /* of the guard */
	enum mr_change_stage stage;
	bool too_long, no_room;
	char *body;
	size_t bytes, room;
	unsigned int status;
	char words[MR_CONFIG_ERROR_BYTES];
};

/** mr_change_fail() - the request is answered by @status and these words; returns -EINVAL */
int mr_change_fail(struct mr_change *g, unsigned int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** mr_change_serve() - MHD's handler of the request, called as often as it likes; of rules */
enum MHD_Result mr_change_serve(struct mr_child *c, struct MHD_Connection *http, const char *data,
				size_t *bytes, void **state);

/** mr_change_serve_guard() - the same of the guard: changes_guard.c */
enum MHD_Result mr_change_serve_guard(struct mr_child *c, struct MHD_Connection *http,
				      const char *data, size_t *bytes, void **state);

/** mr_change_serve_kind() - the same of any */
enum MHD_Result mr_change_serve_kind(struct mr_child *c, const struct mr_change_kind *kind,
				     struct MHD_Connection *http, const char *data, size_t *bytes,
				     void **state);

/** mr_change_note() - the parent's note of what became of it: the waiting request is answered */
void mr_change_note(struct mr_child *c, const struct mr_note *n);

/** mr_change_rules() - the rules are others now, or a change of them was refused */
void mr_change_rules(struct mr_child *c, const struct mr_note *n);

/** mr_change_busy() - the parent makes another change; who waits may try again */
void mr_change_busy(struct mr_child *c, const struct mr_note *n);

/** mr_change_abandon() - the child ends: nobody waits any more */
void mr_change_abandon(struct mr_child *c);

/** mr_change_completed() - a request is over; @state: whatever it had, a change's or not */
void mr_change_completed(struct mr_child *c, const void *state);

/** mr_api_reply() - api.c: an answer; @o is given */
enum MHD_Result mr_api_reply(struct MHD_Connection *http, unsigned int status, json_t *o);

#endif
