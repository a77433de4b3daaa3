/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "user/cli/netlink.h"

enum {
	BUFFER = 32768,

	/* linux/netdev.h, which Debian 12 does not have */
	NETDEV_DEV_GET = 1,
	NETDEV_DEV_IFINDEX = 1,
	NETDEV_DEV_XDP_FEATURES = 3,
};

/* Send @nlh, hand each answer to @cb, until the kernel's error or acknowledgement. */
static int ask(int bus, struct nlmsghdr *nlh, mnl_cb_t cb, void *arg)
{
	struct mnl_socket *s = mnl_socket_open2(bus, SOCK_CLOEXEC);
	char buffer[BUFFER];
	unsigned int port;
	ssize_t n;
	int more = 1, err = 0;

	if (!s)
		return -errno;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	port = mnl_socket_get_portid(s);
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = (uint32_t)time(NULL);
	if (mnl_socket_sendto(s, nlh, nlh->nlmsg_len) < 0)
		goto fail;
	while (more > 0) {
		n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));
		if (n < 0)
			goto fail;
		more = mnl_cb_run(buffer, (size_t)n, nlh->nlmsg_seq, port, cb, arg);
		if (more < 0)
			goto fail;
	}
	mnl_socket_close(s);
	return 0;
fail:
	err = -errno;
	mnl_socket_close(s);
	return err ? err : -EPROTO;
}

/* ----- RTM_GETLINK ----- */

static void read_number(const struct nlattr *attr, uint32_t *out)
{
	if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		*out = mnl_attr_get_u32(attr);
}

static int on_xdp_attribute(const struct nlattr *attr, void *arg)
{
	struct mr_netlink_link *link = arg;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_XDP_ATTACHED:
		if (mnl_attr_validate(attr, MNL_TYPE_U8) >= 0)
			link->xdp_mode = mnl_attr_get_u8(attr);
		break;
	case IFLA_XDP_PROG_ID:
		read_number(attr, &link->xdp_program);
		break;
	case IFLA_XDP_DRV_PROG_ID: /* of several, the kernel's summary names none */
		if (!link->xdp_program)
			read_number(attr, &link->xdp_program);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_info_attribute(const struct nlattr *attr, void *arg)
{
	struct mr_netlink_link *link = arg;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		snprintf(link->kind, sizeof(link->kind), "%.*s", mnl_attr_get_payload_len(attr),
			 mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static void read_mac(const struct nlattr *attr, struct mr_netlink_link *link)
{
	const uint8_t *b = mnl_attr_get_payload(attr);

	if (mnl_attr_get_payload_len(attr) == 6)
		snprintf(link->mac, sizeof(link->mac), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1],
			 b[2], b[3], b[4], b[5]);
}

static int on_link_attribute(const struct nlattr *attr, void *arg)
{
	struct mr_netlink_link *link = arg;
	uint32_t id;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		snprintf(link->name, sizeof(link->name), "%.*s", mnl_attr_get_payload_len(attr),
			 mnl_attr_get_str(attr));
		break;
	case IFLA_ADDRESS:
		read_mac(attr, link);
		break;
	case IFLA_MTU:
		read_number(attr, &link->mtu);
		break;
	case IFLA_NUM_RX_QUEUES:
		read_number(attr, &link->rx_queues);
		break;
	case IFLA_MASTER:
		read_number(attr, &link->master);
		break;
	case IFLA_LINK:
		read_number(attr, &link->peer);
		break;
	case IFLA_LINK_NETNSID:
		id = UINT32_MAX;
		read_number(attr, &id);
		link->peer_netns = (int32_t)id;
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, on_info_attribute, link);
		break;
	case IFLA_XDP:
		mnl_attr_parse_nested(attr, on_xdp_attribute, link);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct mr_netlink_link *link = arg;

	link->ifindex = (uint32_t)info->ifi_index;
	link->type = info->ifi_type;
	link->flags = info->ifi_flags;
	return mnl_attr_parse(nlh, sizeof(*info), on_link_attribute, link);
}

int mr_netlink_link(const char *name, struct mr_netlink_link *link)
{
	char buffer[BUFFER];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	unsigned int ifindex = strlen(name) < IFNAMSIZ ? if_nametoindex(name) : 0;
	struct ifinfomsg *info;

	if (!ifindex)
		return -ENODEV;
	*link = (struct mr_netlink_link){ .peer_netns = -1 };
	nlh->nlmsg_type = RTM_GETLINK;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return ask(NETLINK_ROUTE, nlh, on_link, link);
}

/* ----- generic netlink: families by name, then netdev ----- */

static struct nlmsghdr *generic_request(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = family;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = command;
	genl->version = 1;
	return nlh;
}

/* One attribute of an answer, of a fixed size. */
struct wanted {
	uint16_t type;
	uint16_t bytes;
	void *out;
};

static int copy_wanted(const struct nlattr *attr, void *arg)
{
	const struct wanted *w = arg;

	if (mnl_attr_get_type(attr) == w->type && mnl_attr_get_payload_len(attr) >= w->bytes)
		memcpy(w->out, mnl_attr_get_payload(attr), w->bytes);
	return MNL_CB_OK;
}

static int on_generic(const struct nlmsghdr *nlh, void *arg)
{
	return mnl_attr_parse(nlh, sizeof(struct genlmsghdr), copy_wanted, arg);
}

int mr_netlink_xdp_features(uint32_t ifindex, uint64_t *features)
{
	char buffer[BUFFER];
	struct nlmsghdr *nlh = generic_request(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	uint16_t family = 0;
	struct wanted id = { CTRL_ATTR_FAMILY_ID, sizeof(family), &family };
	struct wanted bits = { NETDEV_DEV_XDP_FEATURES, sizeof(*features), features };

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "netdev");
	if (ask(NETLINK_GENERIC, nlh, on_generic, &id) < 0 || !family)
		return -EOPNOTSUPP;
	*features = 0;
	nlh = generic_request(buffer, family, NETDEV_DEV_GET);
	mnl_attr_put_u32(nlh, NETDEV_DEV_IFINDEX, ifindex);
	return ask(NETLINK_GENERIC, nlh, on_generic, &bits);
}

/* ----- RTM_GETNSID ----- */

static int on_netns_id(const struct nlmsghdr *nlh, void *arg)
{
	return mnl_attr_parse(nlh, sizeof(struct rtgenmsg), copy_wanted, arg);
}

int mr_netlink_netns_id(int fd)
{
	char buffer[BUFFER];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	struct rtgenmsg *message;
	int32_t id = -1;
	struct wanted wanted = { NETNSA_NSID, sizeof(id), &id };
	int err;

	nlh->nlmsg_type = RTM_GETNSID;
	message = mnl_nlmsg_put_extra_header(nlh, sizeof(*message));
	message->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)fd);
	err = ask(NETLINK_ROUTE, nlh, on_netns_id, &wanted);
	return err ? err : id;
}
