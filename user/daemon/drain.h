/* SPDX-License-Identifier: MIT */
/*
 * Draining a lane: its worker opens nothing more, lets go on what is open, and ends when nothing
 * is. A deadline resets what is left then. A drained lane is not started again until it is asked.
 * The parent knows, and keeps it for the next daemon: another child goes on with it.
 */
#ifndef MR_DAEMON_DRAIN_H
#define MR_DAEMON_DRAIN_H

#include <jansson.h>

#include "user/daemon/child.h"

/** mr_drain_tell() - send a lane's worker DRAIN, RESUME or STOP */
void mr_drain_tell(struct mr_child *c, uint32_t lane, enum mr_message_type type);

/** mr_drain_go_on() - with what the child or the daemon before us was asked; its worker may run */
void mr_drain_go_on(struct mr_child *c, struct mr_ward *w);

/** mr_drain_tick() - at the deadline the worker of a draining lane is stopped */
void mr_drain_tick(struct mr_child *c, struct mr_ward *w, uint64_t now);

/** mr_drain_done() - its worker has ended */
void mr_drain_done(struct mr_child *c, const struct mr_ward *w);

/** mr_json_drain() - how far it is: an object, or null */
json_t *mr_json_drain(const struct mr_ward *w);

#endif
