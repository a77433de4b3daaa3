/* SPDX-License-Identifier: MIT */
/* Capabilities: which the parent needs, and how child and workers lose them all. */
#ifndef MR_DAEMON_PRIVILEGES_H
#define MR_DAEMON_PRIVILEGES_H

#include <sys/types.h>

struct mr_daemon;

/** mr_privileges_check() - 0, or -EPERM with @d->error naming what is missing and the cure */
int mr_privileges_check(struct mr_daemon *d);

/** mr_privileges_has() - is a capability (CAP_*) in effect? */
int mr_privileges_has(int capability);

/**
 * mr_privileges_drop() - become @uid:@gid for good
 *
 * No supplementary groups, no capabilities, no_new_privs, not traceable by the same user. Only
 * calls that are safe after fork().
 *
 * Return: 0 or -errno; the caller must not go on after an error
 */
int mr_privileges_drop(uid_t uid, gid_t gid);

/** mr_privileges_raise_limits() - locked memory and descriptors, as far as is allowed */
void mr_privileges_raise_limits(void);

#endif
