/* SPDX-License-Identifier: MIT */
#include "user/daemon/clients.h"

#include <string.h>
#include <sys/socket.h>

#include "user/daemon/daemon.h"

enum {
	GROUPS_MOST = 1024, /* of one process that are looked at */
};

static bool has_group(int fd, gid_t group)
{
	gid_t groups[GROUPS_MOST];
	socklen_t bytes = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* Who connected, at the time of connect(). Over IP nobody knows: such a client is nobody. */
static void identify(struct mr_client *k, gid_t group)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer), domain_bytes = sizeof(int);
	int domain = AF_UNSPEC;

	k->uid = (uid_t)-1;
	if (getsockopt(k->fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_bytes) < 0 ||
	    domain != AF_UNIX || getsockopt(k->fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return;
	k->uid = peer.uid;
	k->writes = peer.uid == 0 || peer.gid == group || has_group(k->fd, group);
}

void mr_clients_init(struct mr_clients *c, gid_t group)
{
	*c = (struct mr_clients){ .group = group };
	for (int i = 0; i < MR_CLIENTS_MOST; i++)
		c->list[i].fd = -1;
}

static uint64_t deadline(uint64_t now)
{
	return now + MR_CLIENT_REQUEST_S * 1000000000ull;
}

struct mr_client *mr_client_add(struct mr_clients *c, int fd, uint64_t now)
{
	struct mr_client *room = NULL;
	int others = 0;

	for (int i = 0; i < MR_CLIENTS_MOST; i++) {
		struct mr_client *k = &c->list[i];

		if (k->fd < 0)
			room = room ? room : k;
		else if (k->uid != 0)
			others++;
	}
	if (!room)
		goto away;
	*room = (struct mr_client){ .fd = fd, .deadline_ns = deadline(now) };
	identify(room, c->group);
	if (room->uid == 0 || others < MR_CLIENTS_OTHERS)
		return room;
	room->fd = -1;
away:
	shutdown(fd, SHUT_RDWR);
	return NULL;
}

void mr_client_remove(struct mr_client *k)
{
	if (k)
		k->fd = -1;
}

void mr_client_asked(struct mr_client *k)
{
	if (k)
		k->deadline_ns = 0;
}

void mr_client_answered(struct mr_client *k, uint64_t now)
{
	if (k)
		k->deadline_ns = deadline(now);
}

void mr_clients_tick(struct mr_clients *c, uint64_t now)
{
	for (int i = 0; i < MR_CLIENTS_MOST; i++) {
		struct mr_client *k = &c->list[i];

		if (k->fd < 0 || k->turned_away || !k->deadline_ns || now < k->deadline_ns)
			continue;
		k->turned_away = true;
		shutdown(k->fd, SHUT_RDWR); /* MHD reads its end, and closes it */
	}
}

struct mr_client *mr_client_of(struct MHD_Connection *http)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(http, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void mr_clients_connection(void *arg, struct MHD_Connection *http, void **client,
			   enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		mr_client_remove(*client);
		return;
	}
	info = MHD_get_connection_info(http, MHD_CONNECTION_INFO_CONNECTION_FD);
	*client = info ? mr_client_add(arg, info->connect_fd, mr_now_ns()) : NULL;
}

void mr_clients_completed(void *arg, struct MHD_Connection *http, void **state,
			  enum MHD_RequestTerminationCode how)
{
	(void)arg;
	(void)state;
	(void)how;
	mr_client_answered(mr_client_of(http), mr_now_ns());
}
