/* SPDX-License-Identifier: MIT */
/*
 * The peer of a veth. What it leaves undone ("offloads") nobody does: its frames arrive in user
 * space with unfinished checksums and without their VLAN tags. It is often in another network
 * namespace, which is looked for by the id that this one has for it.
 */
#define _GNU_SOURCE 1 /* setns */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/sockios.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/cli/check.h"
#include "user/cli/ethtool.h"

struct peer {
	int socket; /* in its namespace */
	char name[IFNAMSIZ];
	char netns[128]; /* path of the namespace's file, "" for this one */
};

static const char *const places[] = {
	"/run/netns/*",
	"/run/docker/netns/*",
	"/proc/[0-9]*/ns/net",
};

/* Make a socket in the namespace of @fd. We are one thread, and come back. */
static int socket_in(int fd)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int s = -1, err = 0;

	if (here < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET) < 0) {
		err = -errno;
		goto close_here;
	}
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		err = -errno;
	if (setns(here, CLONE_NEWNET) < 0) {
		err = -errno; /* what follows would ask the wrong namespace */
		if (s >= 0)
			close(s);
	}
close_here:
	close(here);
	return err ? err : s;
}

/* Descriptor of the namespace of id @id among the files of @pattern, or -1. */
static int find_netns_in(const char *pattern, int id, char path[128])
{
	glob_t found;
	ino_t last = 0;
	int fd = -1;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return -1;
	for (size_t i = 0; i < found.gl_pathc && fd < 0; i++) {
		struct stat st;

		fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && st.st_ino != last && mr_netlink_netns_id(fd) == id) {
			snprintf(path, 128, "%s", found.gl_pathv[i]);
			break;
		}
		last = st.st_ino;
		close(fd);
		fd = -1;
	}
	globfree(&found);
	return fd;
}

static int find_netns(int id, char path[128])
{
	int fd = -1;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && fd < 0; i++)
		fd = find_netns_in(places[i], id, path);
	return fd;
}

/* Returns 0 or -errno; on success p->socket is the caller's to close. */
static int find_peer(const struct mr_netlink_link *l, struct peer *p)
{
	struct ifreq request = { .ifr_ifindex = (int)l->peer };
	int fd;

	*p = (struct peer){ .socket = -1 };
	if (l->peer_netns < 0) {
		p->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	} else {
		fd = find_netns(l->peer_netns, p->netns);
		if (fd < 0)
			return -ENOENT;
		p->socket = socket_in(fd);
		close(fd);
	}
	if (p->socket < 0)
		return p->socket == -1 ? -errno : p->socket;
	if (ioctl(p->socket, SIOCGIFNAME, &request) < 0) {
		int err = -errno;

		close(p->socket);
		return err;
	}
	snprintf(p->name, sizeof(p->name), "%s", request.ifr_name);
	return 0;
}

static void report(struct mr_check *c, const struct peer *p, const struct mr_ethtool_features *f)
{
	bool is_unfinished = mr_ethtool_is_on(f, "tx-checksum-ip-generic") ||
			     mr_ethtool_is_on(f, "tx-checksum-ipv4") ||
			     mr_ethtool_is_on(f, "tx-checksum-ipv6");
	char enter[160] = "", cure[256];

	if (p->netns[0])
		snprintf(enter, sizeof(enter), "nsenter --net=%s ", p->netns);
	snprintf(cure, sizeof(cure), "%sethtool -K %s tx off", enter, p->name);
	mr_check_fact(c, is_unfinished ? MR_CHECK_FAIL : MR_CHECK_OK, "veth peer",
		      is_unfinished ? cure : NULL, "%s%s%s, checksum offload %s", p->name,
		      p->netns[0] ? " in " : "", p->netns,
		      is_unfinished ? "on: its frames arrive with wrong checksums" : "off");
	snprintf(cure, sizeof(cure), "%sethtool -K %s txvlan off", enter, p->name);
	if (mr_ethtool_is_on(f, "tx-vlan-hw-insert"))
		mr_check_fact(c, MR_CHECK_WARN, "veth peer", cure,
			      "%s, VLAN offload on: tags of its frames are lost to XDP", p->name);
}

void mr_check_veth(struct mr_check *c)
{
	struct mr_ethtool_features *f;
	struct peer p;
	int err;

	if (strcmp(c->link.kind, "veth") != 0)
		return;
	err = c->link.peer ? find_peer(&c->link, &p) : -ENODEV;
	if (err) {
		mr_check_fact(c, MR_CHECK_WARN, "veth peer",
			      "there: ethtool -k PEER, and ethtool -K PEER tx off",
			      "in a namespace that cannot be read, checksum offload unknown");
		return;
	}
	f = mr_ethtool_features_new(p.socket, p.name);
	if (f)
		report(c, &p, f);
	else
		mr_check_fact(c, MR_CHECK_WARN, "veth peer", "ethtool -K PEER tx off",
			      "%s, offloads cannot be read: %s", p.name, strerror(errno));
	mr_ethtool_features_free(f);
	close(p.socket);
}
