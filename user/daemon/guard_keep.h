/* SPDX-License-Identifier: MIT */
/*
 * Where changes of the guard (guard_changes.h) lie: on their way from child to parent in memory of
 * both, and for a daemon that takes up the lanes after this one in memory that is kept with what
 * the lanes have (estate.h).
 */
#ifndef MR_DAEMON_GUARD_KEEP_H
#define MR_DAEMON_GUARD_KEEP_H

#include "user/daemon/daemon.h"
#include "user/daemon/guard_changes.h"

/**
 * mr_guard_keep_open() - make the memory, before the child is forked; take up what is kept
 *
 * What a daemon of another version kept is left, with a warning.
 *
 * Return: 0 or -errno with @d->error
 */
int mr_guard_keep_open(struct mr_daemon *d);

void mr_guard_keep_close(struct mr_daemon *d);

/** mr_guard_lay() - child: put the changes there, all that there are to be */
void mr_guard_lay(struct mr_daemon *d, const struct mr_guard_changes *g);

/**
 * mr_guard_take() - parent: copy and check what lies there
 * @g:		out: the caller's, to be freed; empty on error
 *
 * Return: 0, -ENOMEM, or -EINVAL for what the child should not have laid
 */
int mr_guard_take(struct mr_daemon *d, struct mr_guard_changes *g);

/** mr_guard_keep() - parent: @d->guard_changes is what the next daemon is to take up */
void mr_guard_keep(struct mr_daemon *d);

#endif
