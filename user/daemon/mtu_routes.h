/* SPDX-License-Identifier: MIT */
/*
 * The routes that give their peers an MTU other than the interface's: what lanes need to know
 * about peers that connect to them.
 */
#ifndef MR_DAEMON_MTU_ROUTES_H
#define MR_DAEMON_MTU_ROUTES_H

#include "shared/mr_worker.h"
#include "user/daemon/topology.h"

/* Routes as struct mr_path_table has them, each with its metric. */
struct mr_mtu_routes {
	uint32_t n;
	uint32_t left_out; /* routes for which there was no room */
	struct mr_mtu_route route[MR_MTU_ROUTES];
	uint32_t metric[MR_MTU_ROUTES];
};

/**
 * mr_mtu_routes_add() - put a route in its place
 *
 * All routes with an MTU come first, then all without: of these, only those inside one that has an
 * MTU are kept. When there is no room left, these are what is missing first: peers behind them get
 * smaller segments than need be.
 */
void mr_mtu_routes_add(struct mr_mtu_routes *m, const struct mr_netlink_route *r);

/**
 * mr_mtu_routes_collect() - ask the kernel for those over an interface and the VLANs on it
 *
 * Return: 0 or -errno: -EINTR when the tables changed meanwhile; then @m is not to be used
 */
int mr_mtu_routes_collect(struct mr_mtu_routes *m, struct mr_netlink *n,
			  const struct mr_topology *host, uint32_t ifindex);

#endif
