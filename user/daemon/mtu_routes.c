/* SPDX-License-Identifier: MIT */
#include "user/daemon/mtu_routes.h"

#include <stdbool.h>
#include <string.h>

/* Is it the exception to a route with an MTU? */
static bool lies_inside(const struct mr_mtu_routes *m, const struct mr_netlink_route *r)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->route[i].mtu && m->route[i].bits < r->bits &&
		    mr_mtu_route_fits(&m->route[i], r->prefix))
			return true;
	return false;
}

/* The entry of the same prefix, else m->n. */
static uint32_t same(const struct mr_mtu_routes *m, const struct mr_netlink_route *r)
{
	uint32_t i = 0;

	while (i < m->n && (m->route[i].bits != r->bits ||
			    memcmp(m->route[i].prefix, r->prefix, sizeof(r->prefix))))
		i++;
	return i;
}

/* Behind all prefixes that are as long: makes room at its place. */
static uint32_t insert(struct mr_mtu_routes *m, uint8_t bits)
{
	uint32_t at = m->n++;

	for (; at && m->route[at - 1].bits < bits; at--) {
		m->route[at] = m->route[at - 1];
		m->metric[at] = m->metric[at - 1];
	}
	return at;
}

void mr_mtu_routes_add(struct mr_mtu_routes *m, const struct mr_netlink_route *r)
{
	uint32_t i = same(m, r);

	if (i < m->n) {
		if (m->metric[i] <= r->metric)
			return;
	} else if (!r->mtu && !lies_inside(m, r)) {
		return;
	} else if (m->n == MR_MTU_ROUTES) {
		m->left_out++;
		return;
	} else {
		i = insert(m, r->bits);
	}
	m->route[i] = (struct mr_mtu_route){ .bits = r->bits, .mtu = r->mtu };
	memcpy(m->route[i].prefix, r->prefix, sizeof(r->prefix));
	m->metric[i] = r->metric;
}

/* What is being collected: the routes over one interface and the VLANs on it. */
struct collection {
	struct mr_mtu_routes *routes;
	const struct mr_topology *host;
	uint32_t ifindex;
	bool with_mtu; /* else those without */
};

static void collect(void *arg, const struct mr_netlink_route *r)
{
	struct collection *c = arg;
	uint16_t vlan[2];

	if (!!r->mtu == c->with_mtu &&
	    (!r->ifindex || mr_topology_vlans(c->host, c->ifindex, r->ifindex, vlan)))
		mr_mtu_routes_add(c->routes, r);
}

int mr_mtu_routes_collect(struct mr_mtu_routes *m, struct mr_netlink *n,
			  const struct mr_topology *host, uint32_t ifindex)
{
	struct collection c = { m, host, ifindex, true };
	int err;

	memset(m, 0, sizeof(*m));
	err = mr_netlink_routes(n, collect, &c);
	if (err || !m->n)
		return err;
	c.with_mtu = false;
	return mr_netlink_routes(n, collect, &c);
}
