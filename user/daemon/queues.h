/* SPDX-License-Identifier: MIT */
/*
 * How many receive queues an interface has, and lanes that follow when that changes: `ethtool -L`,
 * a driver that takes queues for XDP as the program is attached, an interface that is made again
 * with fewer.
 *
 * Lanes are planned for as many queues as the interface could have; those whose queue is not there
 * are absent: no memory, no socket, no worker. Parent only.
 */
#ifndef MR_DAEMON_QUEUES_H
#define MR_DAEMON_QUEUES_H

#include <stdint.h>

struct mr_daemon;
struct mr_lane;
struct mr_link;

enum {
	MR_QUEUES_BEAT_MS = 1000, /* how often mr_queues_beat() is due */
};

/**
 * mr_queues_count() - receive queues that are in use, as the kernel and ethtool say; at least 1
 * @socket:	any, for the ioctl
 */
uint32_t mr_queues_count(int socket, const char *name, uint32_t ifindex);

/** mr_queues_most() - how many it may come to have; 0: the driver does not say */
uint32_t mr_queues_most(int socket, const char *name);

/**
 * mr_queues_settle() - count them now that the program is attached; lanes without one are absent
 *
 * For links whose lanes are not open yet.
 */
void mr_queues_settle(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_queues_look() - count again, and open lanes on queues that are new
 *
 * What changed is logged. d->renew_child is set when the child has to know.
 */
void mr_queues_look(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_queues_beat() - keep what comes to queues that have no lane yet from the kernel
 *
 * A queue that appears gets frames of connections that stand, before it can have a lane, and the
 * kernel would reset them. Its slot has a heartbeat of ours and another queue's socket, so that
 * they are dropped, and come again when the lane is there. Without a beat for the grace time, the
 * daemon being gone, they go to the kernel.
 *
 * Return: milliseconds to the next call, -1: no lane is absent
 */
int mr_queues_beat(struct mr_daemon *d);

/** mr_queues_release() - a lane was drained: its queue is given back, so that it may be taken away
 */
void mr_queues_release(struct mr_daemon *d, struct mr_lane *l);

#endif
