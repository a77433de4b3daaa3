/* SPDX-License-Identifier: MIT */
/* The guard's maps (include/shared/mr_guard.h), written by the parent. */
#ifndef MR_DAEMON_GUARD_H
#define MR_DAEMON_GUARD_H

#include "user/daemon/daemon.h"

/**
 * mr_guard_start() - key, limits and block lists of the settings into the maps
 *
 * Before the first mr_rules_publish(), which switches the parts on.
 *
 * Return: 0, or -errno with @d->error
 */
int mr_guard_start(struct mr_daemon *d);

/**
 * mr_guard_blocks() - a new block list in the place of the old one
 * @blocks:	sorted; becomes the settings', given, also on error
 *
 * The idle tries are built completely, then one write makes them the active ones; on error the old
 * list stays. Waits for runs of the program to end, as mr_rules_publish() does.
 *
 * Return: 0 or -errno
 */
int mr_guard_blocks(struct mr_daemon *d, struct mr_blocks *blocks);

/** mr_guard_is_veth() - what XDP sends back reaches the other end only if that has a program too */
bool mr_guard_is_veth(const char *interface);

/** mr_guard_stop() - what is only the parent's own */
void mr_guard_stop(struct mr_daemon *d);

#endif
