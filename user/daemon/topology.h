/* SPDX-License-Identifier: MIT */
/* The host's interfaces, as rtnetlink tells of them: which VLAN stands on which. */
#ifndef MR_DAEMON_TOPOLOGY_H
#define MR_DAEMON_TOPOLOGY_H

#include "user/daemon/netlink.h"

enum {
	MR_TOPOLOGY_LINKS = 1024, /* more are not followed: paths over them are unreachable */
};

struct mr_topology {
	struct mr_netlink_link link[MR_TOPOLOGY_LINKS];
	uint32_t n;
};

/** mr_topology_remember() - an interface came, changed or went */
void mr_topology_remember(struct mr_topology *t, const struct mr_netlink_link *l);

/** mr_topology_link() - NULL: not known */
const struct mr_netlink_link *mr_topology_link(const struct mr_topology *t, uint32_t ifindex);

/** mr_topology_named() - the interface that has a name now, or NULL */
const struct mr_netlink_link *mr_topology_named(const struct mr_topology *t, const char *name);

/**
 * mr_topology_vlans() - the tags on the way from an interface down to @lower
 *
 * A bond is its slaves: what stands on it, and it itself, stands on each of them.
 * @vlan:	out: outer and inner VLAN id, 0: none
 *
 * Return: true; false when @ifindex does not stand on @lower, or by more than two VLANs
 */
bool mr_topology_vlans(const struct mr_topology *t, uint32_t lower, uint32_t ifindex,
		       uint16_t vlan[2]);

#endif
