/* SPDX-License-Identifier: MIT */
/* Heartbeats of the lanes, as the child's supervision sees them. */
#ifndef MR_DAEMON_BEATS_H
#define MR_DAEMON_BEATS_H

#include "user/daemon/child.h"

/**
 * mr_beats_look() - judge a worker by its last heartbeat, or by its start if it gave none yet
 * @limit_ms:	silent for longer, it is killed
 *
 * w->stale and w->stales say what a serving one is and was.
 */
void mr_beats_look(struct mr_child *c, struct mr_ward *w, uint32_t limit_ms, uint64_t now);

/** mr_beats_wait_ms() - until the next lane may turn stale, at most @most */
int mr_beats_wait_ms(const struct mr_child *c, int most);

#endif
