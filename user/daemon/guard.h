/* SPDX-License-Identifier: MIT */
/* The guard's maps (include/shared/mr_guard.h), written by the parent. */
#ifndef MR_DAEMON_GUARD_H
#define MR_DAEMON_GUARD_H

#include "user/daemon/daemon.h"
#include "user/daemon/guard_changes.h"

/**
 * mr_guard_start() - key, limits and block lists of the settings into the maps
 *
 * Before the first mr_rules_publish(), which switches the parts on.
 *
 * Return: 0, or -errno with @d->error
 */
int mr_guard_start(struct mr_daemon *d);

/**
 * mr_guard_apply() - changes over the settings' guard, in place of those that there were
 * @changes:	become @d's: empty then; or @d's own, when the settings are others
 *
 * Lists and limits are written where nobody looks, then one write makes them the ones that count;
 * each limit of a rule is one store. They are kept for another daemon. Waits for runs of the
 * program to end, as mr_rules_publish() does.
 *
 * Return: 0, or -errno with everything as it was: -E2BIG when more is wanted than fits
 */
int mr_guard_apply(struct mr_daemon *d, struct mr_guard_changes *changes);

/** mr_guard_is_veth() - what XDP sends back reaches the other end only if that has a program too */
bool mr_guard_is_veth(const char *interface);

/** mr_guard_rules() - TTL, DSCP and limits of each rule, when the rules are others; 0 or -errno */
int mr_guard_rules(struct mr_daemon *d);

#endif
