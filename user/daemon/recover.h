/* SPDX-License-Identifier: MIT */
/*
 * An interface that is deleted, and one that comes back under its name. The child hears of both by
 * rtnetlink; the parent leaves the one and takes the other, with lanes as they were planned at the
 * start. Connections of the interface that went are gone with it. Parent only.
 */
#ifndef MR_DAEMON_RECOVER_H
#define MR_DAEMON_RECOVER_H

struct mr_daemon;
struct mr_link;

/** mr_link_leave() - @l was deleted: its workers end, its sockets close, its records leave the maps
 */
void mr_link_leave(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_link_take_again() - an interface has the name of @l, which is gone: attach, open its lanes
 *
 * Nothing happens before the last worker has ended. What stands in the way is logged once; the
 * child asks again. On success d->renew_child is set: a new child knows the new descriptors.
 */
void mr_link_take_again(struct mr_daemon *d, struct mr_link *l);

#endif
