/* SPDX-License-Identifier: MIT */
/*
 * The web page and the control API's GET requests on loopback (`http` in millraced.yaml): for a
 * browser and for Prometheus, which speak no Unix sockets. Every local user may read there, nobody
 * may do anything; a page of another site that a local browser shows may not even read.
 */
#ifndef MR_DAEMON_WEB_H
#define MR_DAEMON_WEB_H

#include <sys/socket.h>

#include "user/daemon/child.h"

/**
 * mr_web_address() - read ADDRESS:PORT, as 127.0.0.1:9270 or [::1]:9270
 *
 * Return: 0, -EINVAL (no such thing), -EADDRNOTAVAIL (not of loopback)
 */
int mr_web_address(const char *text, struct sockaddr_storage *out, socklen_t *len);

/** mr_web_listen() - the parent's part: make the socket, if there shall be one */
int mr_web_listen(struct mr_daemon *d);

/** mr_web_open() - the child's: serve it; 0 or -errno */
int mr_web_open(struct mr_child *c);

void mr_web_close(struct mr_child *c);

/** mr_web_timeout(), mr_web_turn(): as mr_api_timeout(), mr_api_turn() */
int mr_web_timeout(struct mr_child *c, int most);
void mr_web_turn(struct mr_child *c);

#endif
