/* SPDX-License-Identifier: MIT */
#include "user/daemon/genetlink.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of <linux/netdev.h>, which is younger than the headers we build with. */
enum {
	NETDEV_CMD_QUEUE_GET = 10,
	NETDEV_A_QUEUE_IFINDEX = 2,
	NETDEV_A_QUEUE_TYPE = 3,
	NETDEV_QUEUE_TYPE_RX = 0,
	VERSION = 1,
	BUFFER_BYTES = 16384,
};

static struct nlmsghdr *question(char *room, uint16_t family, uint8_t command, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(room);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));

	h->nlmsg_type = family;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = 1;
	g->cmd = command;
	g->version = VERSION;
	return h;
}

/* Send it, and read until the answer ends. */
static int exchange(struct mnl_socket *s, const struct nlmsghdr *h, mnl_cb_t each, void *data)
{
	char buffer[BUFFER_BYTES];
	int run = MNL_CB_OK;

	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return -errno;
	while (run > MNL_CB_STOP) {
		ssize_t got = mnl_socket_recvfrom(s, buffer, sizeof(buffer));

		if (got < 0)
			return -errno;
		run = mnl_cb_run(buffer, (size_t)got, h->nlmsg_seq, mnl_socket_get_portid(s), each,
				 data);
		if (run < 0)
			return -errno;
	}
	return 0;
}

struct family {
	const char *group; /* that is looked for */
	uint32_t group_id;
	int id;
};

static void look_at_group(struct family *f, const struct nlattr *group)
{
	const struct nlattr *a;
	const char *name = NULL;
	uint32_t id = 0;

	mnl_attr_for_each_nested(a, group)
	{
		if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(a);
		else if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GRP_ID &&
			 mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			id = mnl_attr_get_u32(a);
	}
	if (f->group && name && !strcmp(name, f->group))
		f->group_id = id;
}

static int family_reply(const struct nlmsghdr *h, void *data)
{
	struct family *f = data;
	const struct nlattr *a, *group;

	mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(a, MNL_TYPE_U16) >= 0)
			f->id = mnl_attr_get_u16(a);
		if (mnl_attr_get_type(a) == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(group, a)
			{
				look_at_group(f, group);
			}
	}
	return MNL_CB_STOP;
}

int mr_genetlink_family(struct mnl_socket *s, const char *family, const char *group,
			uint32_t *group_id)
{
	struct family f = { .group = group, .id = -ENOENT };
	char room[128];
	struct nlmsghdr *h = question(room, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	int err;

	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, family);
	err = exchange(s, h, family_reply, &f);
	if (group_id)
		*group_id = f.group_id;
	return err ? err : f.id;
}

static struct mnl_socket *open_socket(int flags)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC | flags);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		return NULL;
	}
	return s;
}

static int count_rx(const struct nlmsghdr *h, void *data)
{
	const struct nlattr *a;
	int *n = data;

	mnl_attr_for_each(a, h, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(a) == NETDEV_A_QUEUE_TYPE &&
		    mnl_attr_validate(a, MNL_TYPE_U32) >= 0 &&
		    mnl_attr_get_u32(a) == NETDEV_QUEUE_TYPE_RX)
			(*n)++;
	}
	return MNL_CB_OK;
}

int mr_genetlink_rx_queues(uint32_t ifindex)
{
	struct mnl_socket *s = open_socket(0);
	struct nlmsghdr *h;
	char room[64];
	int family, n = 0, err;

	if (!s)
		return -errno;
	family = mr_genetlink_family(s, "netdev", NULL, NULL);
	if (family >= 0) {
		h = question(room, (uint16_t)family, NETDEV_CMD_QUEUE_GET, NLM_F_DUMP);
		mnl_attr_put_u32(h, NETDEV_A_QUEUE_IFINDEX, ifindex);
		err = exchange(s, h, count_rx, &n);
	} else {
		err = family == -ENOENT ? -EOPNOTSUPP : family;
	}
	mnl_socket_close(s);
	return err ? err : n;
}

int mr_genetlink_channels_socket(void)
{
	struct mnl_socket *s = open_socket(0);
	uint32_t group = 0;
	int err = s ? mr_genetlink_family(s, ETHTOOL_GENL_NAME, ETHTOOL_MCGRP_MONITOR_NAME, &group)
		    : -errno;
	int fd = -1;

	if (err >= 0 && !group)
		err = -ENOENT;
	if (err >= 0 && mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		err = -errno;
	if (err >= 0) {
		fd = fcntl(mnl_socket_get_fd(s), F_DUPFD_CLOEXEC, 3);
		err = fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	}
	if (err < 0 && fd >= 0)
		close(fd);
	if (s)
		mnl_socket_close(s);
	return err < 0 ? err : fd;
}

uint32_t mr_genetlink_channels_changed(const void *message, uint32_t bytes)
{
	const struct nlmsghdr *h = message;
	const struct genlmsghdr *g;
	const struct nlattr *a, *in;
	uint32_t ifindex = 0;

	if (!mnl_nlmsg_ok(h, (int)bytes) || h->nlmsg_type < NLMSG_MIN_TYPE ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*g))
		return 0;
	g = mnl_nlmsg_get_payload(h);
	if (g->cmd != ETHTOOL_MSG_CHANNELS_NTF)
		return 0;
	mnl_attr_for_each(a, h, sizeof(*g))
	{
		if (mnl_attr_get_type(a) != ETHTOOL_A_CHANNELS_HEADER)
			continue;
		mnl_attr_for_each_nested(in, a)
		{
			if (mnl_attr_get_type(in) == ETHTOOL_A_HEADER_DEV_INDEX &&
			    mnl_attr_validate(in, MNL_TYPE_U32) >= 0)
				ifindex = mnl_attr_get_u32(in);
		}
	}
	return ifindex;
}
