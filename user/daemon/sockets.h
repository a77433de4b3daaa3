/* SPDX-License-Identifier: MIT */
/*
 * The AF_XDP sockets of lanes. Usually a socket is bound as it is made, and outlives the workers:
 * each maps the rings of the same one. Linux before 6.4 maps no rings of a bound socket. There each
 * worker gets a socket of its own, which is bound when the worker has mapped its rings; what stood
 * in the rings of the one before is lost, as on a wire. `lanes.sockets: renew` asks for the same.
 * Parent only, but for mr_sockets_text().
 */
#ifndef MR_DAEMON_SOCKETS_H
#define MR_DAEMON_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;
struct mr_lane;

/**
 * mr_socket_open() - make a lane's socket, and put it into mr1_xsk
 * @umem:	the frames of its arena as mapped here
 *
 * Bound, unless sockets are renewed; until it is bound, the kernel drops what comes to it. What the
 * lane had stays open and is the caller's: in mr1_xsk the new one has taken its place.
 *
 * Return: 0 or -errno with @d->error
 */
int mr_socket_open(struct mr_daemon *d, struct mr_lane *l, void *umem);

/** mr_socket_bind() - bind the socket of a worker that has mapped its rings, and tell it so */
int mr_socket_bind(struct mr_daemon *d, struct mr_lane *l);

/** mr_socket_is_spent() - can the lane's next worker not have the socket of the last one? */
bool mr_socket_is_spent(const struct mr_daemon *d, const struct mr_lane *l);

/** mr_sockets_are_renewed() - does each worker get a socket of its own? */
bool mr_sockets_are_renewed(const struct mr_daemon *d);

/** mr_sockets_look() - find out whether sockets that were taken up can be kept */
void mr_sockets_look(struct mr_daemon *d);

/** mr_sockets_text() - "kept" or "renewed" */
const char *mr_sockets_text(const struct mr_daemon *d);

#endif
