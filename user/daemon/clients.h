/* SPDX-License-Identifier: MIT */
/*
 * Who stands at the other end of the control API's connections, what each may do, and how long.
 *
 * Root and the members of the daemon's group may write; everybody else who gets a connection at
 * all (loopback; a socket that somebody opened to others) may read. Clients that are not root never
 * have all connections, and one that does not finish its request in time loses its connection,
 * however many bytes it sends meanwhile: so no client keeps root out.
 */
#ifndef MR_DAEMON_CLIENTS_H
#define MR_DAEMON_CLIENTS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	MR_CLIENTS_MOST = 32,	/* connections */
	MR_CLIENTS_OTHERS = 24, /* of those, by others than root */
	MR_CLIENT_REQUEST_S =
		10, /* from connecting, or the last answer, to the end of the headers */
};

struct mr_client {
	int fd; /* MHD's; -1: none */
	uid_t uid;
	bool writes;
	bool turned_away;
	uint64_t deadline_ns; /* 0: its request has come */
};

struct mr_clients {
	gid_t group;
	struct mr_client list[MR_CLIENTS_MOST];
};

/** mr_clients_init() - no client yet; @group: whose members may write */
void mr_clients_init(struct mr_clients *c, gid_t group);

/**
 * mr_client_add() - somebody has connected
 * @fd:		the connection; stays the caller's, who calls mr_client_remove() before closing it
 * @now:	CLOCK_MONOTONIC in ns, here and below
 *
 * Return: the client; or NULL when there is no room for it: @fd is shut down then
 */
struct mr_client *mr_client_add(struct mr_clients *c, int fd, uint64_t now);

/** mr_client_remove() - the connection ends; NULL is nobody */
void mr_client_remove(struct mr_client *k);

/** mr_client_asked(), mr_client_answered() - its request is whole; it may send the next one */
void mr_client_asked(struct mr_client *k);
void mr_client_answered(struct mr_client *k, uint64_t now);

/** mr_clients_tick() - shut down the connections of those whose time is over */
void mr_clients_tick(struct mr_clients *c, uint64_t now);

/** mr_client_of() - of an HTTP connection, or NULL */
struct mr_client *mr_client_of(struct MHD_Connection *http);

/* For MHD_OPTION_NOTIFY_CONNECTION and MHD_OPTION_NOTIFY_COMPLETED; @arg is the struct mr_clients.
 */
void mr_clients_connection(void *arg, struct MHD_Connection *http, void **client,
			   enum MHD_ConnectionNotificationCode what);
void mr_clients_completed(void *arg, struct MHD_Connection *http, void **state,
			  enum MHD_RequestTerminationCode how);

#endif
