/* SPDX-License-Identifier: MIT */
#include "user/daemon/topology.h"

#include <stddef.h>
#include <string.h>

void mr_topology_remember(struct mr_topology *t, const struct mr_netlink_link *l)
{
	uint32_t i = 0;

	while (i < t->n && t->link[i].ifindex != l->ifindex)
		i++;
	if (l->gone) {
		if (i < t->n)
			t->link[i] = t->link[--t->n];
	} else if (i < MR_TOPOLOGY_LINKS) {
		t->link[i] = *l;
		t->n += i == t->n;
	}
}

const struct mr_netlink_link *mr_topology_link(const struct mr_topology *t, uint32_t ifindex)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (t->link[i].ifindex == ifindex)
			return &t->link[i];
	return NULL;
}

const struct mr_netlink_link *mr_topology_named(const struct mr_topology *t, const char *name)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!strcmp(t->link[i].name, name))
			return &t->link[i];
	return NULL;
}

bool mr_topology_vlans(const struct mr_topology *t, uint32_t lower, uint32_t ifindex,
		       uint16_t vlan[2])
{
	const struct mr_netlink_link *below = mr_topology_link(t, lower);
	const struct mr_netlink_link *master =
		below && below->master ? mr_topology_link(t, below->master) : NULL;
	uint32_t bond = master && master->is_bond ? master->ifindex : 0;

	vlan[0] = vlan[1] = 0;
	for (int depth = 0; ifindex != lower && (!bond || ifindex != bond); depth++) {
		const struct mr_netlink_link *l = mr_topology_link(t, ifindex);

		if (!l || !l->lower || depth == 2)
			return false;
		/* Down the stack: the lower a VLAN stands, the further out its tag. */
		vlan[1] = vlan[0];
		vlan[0] = l->vlan;
		ifindex = l->lower;
	}
	return true;
}
