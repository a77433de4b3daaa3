/* SPDX-License-Identifier: MIT */
/* The few questions that check asks the kernel by netlink. None needs privilege. */
#ifndef MR_CLI_NETLINK_H
#define MR_CLI_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* One interface as rtnetlink tells it. */
struct mr_netlink_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	char mac[18];	/* "02:00:00:00:00:01"; "" if it has none of six bytes */
	char kind[32];	/* "veth", "vlan"; "" for a device of hardware */
	uint16_t type;	/* ARPHRD_* */
	uint32_t flags; /* IFF_* */
	uint32_t mtu;
	uint32_t rx_queues;   /* as created, not all need be in use */
	uint32_t master;      /* bond, bridge, ... that it belongs to; 0: none */
	uint32_t peer;	      /* IFLA_LINK: of a veth its peer; 0: none */
	int32_t peer_netns;   /* id of the namespace that @peer is in, -1: this one */
	uint8_t xdp_mode;     /* XDP_ATTACHED_* */
	uint32_t xdp_program; /* its id; of several the native one */
};

/* NETDEV_XDP_ACT_* of the kernel's netdev family, Documentation/netlink/specs/netdev.yaml. */
enum {
	MR_XDP_BASIC = 1 << 0,
	MR_XDP_REDIRECT = 1 << 1,
	MR_XDP_NDO_XMIT = 1 << 2,
	MR_XDP_ZERO_COPY = 1 << 3,
	MR_XDP_RX_SG = 1 << 5,
};

/**
 * mr_netlink_link() - look up an interface of this namespace
 *
 * Return: 0, or -errno with @link undefined: ENODEV if it does not exist
 */
int mr_netlink_link(const char *name, struct mr_netlink_link *link);

/**
 * mr_netlink_xdp_features() - what the driver says it can do, MR_XDP_*
 *
 * Return: 0, or -errno: EOPNOTSUPP when the kernel (before 6.3) cannot tell
 */
int mr_netlink_xdp_features(uint32_t ifindex, uint64_t *features);

/**
 * mr_netlink_netns_id() - the id that this namespace has for another one
 * @fd:		of the other namespace
 *
 * Return: 0 or more; -1 if it has none; other negative: -errno
 */
int mr_netlink_netns_id(int fd);

#endif
