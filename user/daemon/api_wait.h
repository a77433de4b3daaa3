/* SPDX-License-Identifier: MIT */
/*
 * A client of the control API that waits for something to be done, one at a time of a kind: its
 * connection is suspended, and the place is its own until its answer is on its way, so that no
 * other client's outcome can come between.
 */
#ifndef MR_DAEMON_API_WAIT_H
#define MR_DAEMON_API_WAIT_H

#include <stdbool.h>

#include "user/daemon/daemon.h"

struct MHD_Connection;
struct mr_child;

struct mr_api_wait {
	struct MHD_Connection *http; /* NULL: nobody waits */
	bool done;		     /* and the answer is below */
	unsigned int status;
	char words[MR_WORDS];
};

/** mr_api_wait_begin() - @http waits; nobody else does (@w->http is NULL) */
void mr_api_wait_begin(struct mr_api_wait *w, struct MHD_Connection *http);

/** mr_api_wait_pending() - does somebody wait whose answer is not known yet? */
bool mr_api_wait_pending(const struct mr_api_wait *w);

/** mr_api_wait_end() - the answer, if one is waited for; @words: why not, for other than 200 */
void mr_api_wait_end(struct mr_child *c, struct mr_api_wait *w, unsigned int status,
		     const char *words);

/**
 * mr_api_wait_take() - the handler of @http was called again: its answer
 * @words:	out: NULL when it succeeded; good until the next mr_api_wait_begin()
 *
 * From here on another may wait.
 */
void mr_api_wait_take(struct mr_api_wait *w, const struct MHD_Connection *http,
		      unsigned int *status, const char **words);

/** mr_api_wait_completed() - @http's request is over, answered or not */
void mr_api_wait_completed(struct mr_api_wait *w, const struct MHD_Connection *http);

#endif
