/* SPDX-License-Identifier: MIT */
/* POST /v1/rules, between api.c and the parent; changes.c says what may be in it. Child only. */
#ifndef MR_DAEMON_CHANGES_H
#define MR_DAEMON_CHANGES_H

#include <microhttpd.h>

#include "user/daemon/child.h"

/** mr_change_serve() - MHD's handler of the request, called as often as it likes */
enum MHD_Result mr_change_serve(struct mr_child *c, struct MHD_Connection *http, const char *data,
				size_t *bytes, void **state);

/** mr_change_note() - the parent's MR_NOTE_RULES: the waiting request gets its answer */
void mr_change_note(struct mr_child *c, const struct mr_note *n);

/** mr_change_abandon() - the child ends: nobody waits any more */
void mr_change_abandon(struct mr_child *c);

/** mr_change_completed() - a request is over; @state: whatever it had, a change's or not */
void mr_change_completed(struct mr_child *c, const void *state);

/** mr_api_reply() - api.c: an answer; @o is given */
enum MHD_Result mr_api_reply(struct MHD_Connection *http, unsigned int status, json_t *o);

#endif
