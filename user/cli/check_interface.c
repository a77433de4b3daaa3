/* SPDX-License-Identifier: MIT */
#include <net/if_arp.h>
#include <string.h>

#include "shared/mr_worker.h"
#include "user/cli/check.h"
#include "user/cli/ethtool.h"
#include "user/cli/value.h"

/*
 * A frame of the UMEM is at most a page. The kernel keeps XDP_PACKET_HEADROOM of it free in front;
 * Ethernet header and two VLAN tags come before the MTU's bytes.
 */
enum {
	HEADROOM = 256,
	LINK_HEADERS = 14 + 2 * 4,
	MTU_SMALL_FRAME = 2048 - HEADROOM - LINK_HEADERS,
	MTU_LARGE_FRAME = 4096 - HEADROOM - LINK_HEADERS,
	MTU_MIN = 576, /* RFC 9293 3.7.1 needs less, but nobody sets less for TCP */
};

static void check_link(struct mr_check *c)
{
	const struct mr_netlink_link *l = &c->link;
	char cure[64];

	mr_check_fact(c, MR_CHECK_OK, "interface", NULL, "%s, index %u", l->name, l->ifindex);
	snprintf(cure, sizeof(cure), "ip link set %s up", l->name);
	if (!(l->flags & IFF_UP))
		mr_check_fact(c, MR_CHECK_WARN, "link", cure, "down");
	else if (!(l->flags & IFF_RUNNING))
		mr_check_fact(c, MR_CHECK_WARN, "link",
			      strcmp(l->kind, "veth") ? "is the cable in?" : "is its peer up?",
			      "up, no carrier");
	else
		mr_check_fact(c, MR_CHECK_OK, "link", NULL, "up");
	if (l->type != ARPHRD_ETHER && l->type != ARPHRD_LOOPBACK)
		mr_check_fact(c, MR_CHECK_FAIL, "type", "choose an Ethernet interface",
			      "not Ethernet (%u)", l->type);
}

static void check_mtu(struct mr_check *c)
{
	uint32_t mtu = c->link.mtu;
	char cure[80];

	snprintf(cure, sizeof(cure), "ip link set %s mtu %d", c->link.name, MTU_LARGE_FRAME);
	if (mtu < MTU_MIN)
		mr_check_fact(c, MR_CHECK_WARN, "mtu", "ip link set mtu 1500", "%u, small for TCP",
			      mtu);
	else if (mtu <= MTU_SMALL_FRAME)
		mr_check_fact(c, MR_CHECK_OK, "mtu", NULL, "%u, fits a frame of 2048 bytes", mtu);
	else if (mtu <= MTU_LARGE_FRAME)
		mr_check_fact(c, MR_CHECK_OK, "mtu", NULL, "%u, fits a frame of 4096 bytes", mtu);
	else
		mr_check_fact(c, MR_CHECK_WARN, "mtu", cure,
			      "%u, more than a frame holds: lanes use %d", mtu, MTU_LARGE_FRAME);
}

static void check_driver(struct mr_check *c)
{
	const char *kind = c->link.kind;
	char bus[32] = "";

	if (mr_ethtool_driver(c->socket, c->link.name, c->driver, bus) < 0)
		c->driver[0] = '\0';
	if (!c->driver[0] && !kind[0])
		mr_check_fact(c, MR_CHECK_OK, "driver", NULL,
			      c->link.type == ARPHRD_LOOPBACK ? "none: loopback" : "unknown");
	else if (!c->driver[0] || !strcmp(c->driver, kind))
		mr_check_fact(c, MR_CHECK_OK, "driver", NULL, "%s", kind);
	else
		mr_check_fact(c, MR_CHECK_OK, "driver", NULL, "%s%s%s%s%s", c->driver,
			      bus[0] ? " at " : "", bus, kind[0] ? ", kind " : "", kind);
}

/* The daemon has counted them with its program attached, which the driver may have grown by. */
static void check_served_queues(struct mr_check *c)
{
	uint32_t lanes = (uint32_t)mr_value_count(json_object_get(c->served, "queues"));
	char cure[96];

	c->rx_queues = (uint32_t)mr_value_count(json_object_get(c->served, "receive_queues"));
	snprintf(cure, sizeof(cure), "queues: all, or ethtool -L %s combined %u", c->link.name,
		 lanes);
	if (lanes < c->rx_queues)
		mr_check_fact(c, MR_CHECK_WARN, "queues", cure,
			      "%u to receive, %u have a lane: the kernel serves what comes to the "
			      "others",
			      c->rx_queues, lanes);
	else
		mr_check_fact(c, MR_CHECK_OK, "queues", NULL, "%u to receive: as many lanes",
			      c->rx_queues);
}

/* virtio-net takes pairs for each CPU to transmit by XDP, and receives on them as well. */
static bool grows_with_xdp(const struct mr_check *c, uint32_t most)
{
	return !strcmp(c->driver, "virtio_net") && most > c->rx_queues;
}

static void check_queues(struct mr_check *c)
{
	char cure[96];
	uint32_t most = 0;

	snprintf(cure, sizeof(cure), "ethtool -L %s combined %d, and queues: %d", c->link.name,
		 MR_MAX_LANES, MR_MAX_LANES);
	if (mr_ethtool_queues(c->socket, c->link.name, &c->rx_queues, &most) < 0)
		c->rx_queues = c->link.rx_queues;
	if (!c->rx_queues)
		mr_check_fact(c, MR_CHECK_WARN, "queues", NULL, "unknown");
	else if (c->rx_queues > MR_MAX_LANES)
		mr_check_fact(c, MR_CHECK_WARN, "queues", cure, "%u to receive, lanes for %d",
			      c->rx_queues, MR_MAX_LANES);
	else if (grows_with_xdp(c, most))
		mr_check_fact(c, MR_CHECK_OK, "queues", NULL,
			      "%u to receive, up to %u while XDP is attached: as many lanes",
			      c->rx_queues, most);
	else
		mr_check_fact(c, MR_CHECK_OK, "queues", NULL, "%u to receive: as many lanes",
			      c->rx_queues);
}

void mr_check_interface(struct mr_check *c)
{
	check_link(c);
	mr_check_bond(c);
	check_mtu(c);
	check_driver(c);
	if (json_object_get(c->served, "receive_queues"))
		check_served_queues(c);
	else
		check_queues(c);
}
