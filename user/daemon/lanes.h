/* SPDX-License-Identifier: MIT */
/* Lanes: what outlives their workers, and the workers. Parent only. */
#ifndef MR_DAEMON_LANES_H
#define MR_DAEMON_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_daemon;
struct mr_lane;
struct mr_link;

/** mr_lanes_prepare() - allocate all lane records, with nothing open yet */
int mr_lanes_prepare(struct mr_daemon *d);

/** mr_lanes_open() - mailboxes, path tables, arenas, sockets and configurations of all lanes */
int mr_lanes_open(struct mr_daemon *d);

/**
 * mr_lane_reopen() - memory and socket of a lane anew, on the interface that its link is now
 *
 * It has no worker; its mailbox, doorbell and capture stay. What it held of connections is lost.
 *
 * Return: 0 or -errno with @d->error; to be called again
 */
int mr_lane_reopen(struct mr_daemon *d, struct mr_lane *l);

/**
 * mr_lane_header_restore() - what an arena says of itself, as it was made
 *
 * Workers may write there: without this, what one of them left could keep all others from starting.
 * No worker has it. How many blocks were used stays.
 */
void mr_lane_header_restore(const struct mr_lane *l);

/**
 * mr_lanes_add() - lanes of one more link behind the others; nothing but their doorbells is open
 *
 * mr_link_take_again() opens the rest. Return: 0 or -errno with @d->error
 */
int mr_lanes_add(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_lane_rebind() - another socket for a lane that has no worker, over the memory that it has
 *
 * Where sockets are renewed it is bound later (sockets.h). Its queue or interface may be others
 * than before. What connections hold stays; what the old socket's rings held is free, so text on
 * its way to the peer counts as lost.
 *
 * Return: 0 or -errno with @d->error; to be called again
 */
int mr_lane_rebind(struct mr_daemon *d, struct mr_lane *l);

/** mr_lanes_close() - the sockets leave their queues, the memory goes */
void mr_lanes_close(struct mr_daemon *d);

/** mr_memory_make() - shared memory that nobody can shrink under the others; descriptor or -errno
 */
int mr_memory_make(const char *name, uint64_t bytes);

/** mr_memory_reader() - the same memory through a descriptor that cannot write, or -errno */
int mr_memory_reader(int fd);

/** mr_lane_describe() - what a worker is told of the configuration: a memfd, or -errno */
int mr_lane_describe(const struct mr_daemon *d, const struct mr_lane *l);

/** mr_lane_configure() - what its next worker is told of the configuration: @l->config */
int mr_lane_configure(struct mr_daemon *d, struct mr_lane *l);

/**
 * mr_worker_spawn() - start the worker of a lane that has none
 *
 * The next epoch of the lane; HELLO stands in its socket before it runs. Our end is @l->socket.
 *
 * Return: 0 or -errno
 */
int mr_worker_spawn(struct mr_daemon *d, struct mr_lane *l);

/** mr_worker_has_ended() - without waiting; *@status then as of waitpid(), or MR_STATUS_UNKNOWN */
bool mr_worker_has_ended(const struct mr_lane *l, int *status);

/** mr_worker_kill() - SIGKILL, if it has a worker */
void mr_worker_kill(const struct mr_lane *l);

/**
 * mr_worker_probe() - would the worker program go on with the lane's arena? Takes a second at most
 * @words:	out on error: one line, why not
 *
 * Return: 0, -EPROTO (other version), or -errno
 */
int mr_worker_probe(const struct mr_daemon *d, const struct mr_lane *l, char *words, size_t room);

/** mr_workers_end() - STOP to all, SIGKILL after a second, all reaped */
void mr_workers_end(struct mr_daemon *d);

#endif
