/* SPDX-License-Identifier: MIT */
/* user/daemon/bonds.h, netlink.h, topology.h: bonds and slaves, as the kernel tells of them. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/daemon/bonds.h"
#include "user/daemon/topology.h"

enum {
	BOND = 10,
	ETH0 = 2,
	ETH1 = 3,
	ETH2 = 4,
	VLAN5 = 11,
	BRIDGE = 12,
	TAP = 13,
	ACTIVE = 0, /* BOND_STATE_* of the kernel's bonding.h */
	BACKUP = 1,
};

static struct mr_topology host;

/* RTM_NEWLINK with the attributes that every link has, in rtnl_fill_ifinfo()'s order. */
static struct nlmsghdr *link_message(char *room, uint16_t type, uint32_t ifindex, const char *name,
				     uint32_t master)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(room);
	struct ifinfomsg *i;

	h->nlmsg_type = type;
	i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	i->ifi_index = (int)ifindex;
	i->ifi_flags = IFF_UP | 1 << 16;
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_MTU, 1500);
	if (master)
		mnl_attr_put_u32(h, IFLA_MASTER, master);
	return h;
}

static struct mr_netlink_link told(const struct nlmsghdr *h)
{
	struct mr_netlink_link l;

	assert_true(mr_netlink_link_of(h, &l));
	mr_topology_remember(&host, &l);
	return l;
}

/* bond_fill_info() begins with mode and active slave. */
static void tell_bond(void)
{
	char room[512];
	struct nlmsghdr *h = link_message(room, RTM_NEWLINK, BOND, "bond0", 0);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO), *data;

	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bond");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u8(h, IFLA_BOND_MODE, 1);
	mnl_attr_put_u32(h, IFLA_BOND_ACTIVE_SLAVE, ETH0);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	assert_true(told(h).is_bond);
}

/* bond_fill_slave_info(): state, MII status, ... */
static struct mr_netlink_link tell_slave(uint16_t type, uint32_t ifindex, const char *name,
					 const char *kind, uint8_t state, uint32_t master)
{
	char room[512];
	struct nlmsghdr *h = link_message(room, type, ifindex, name, master);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO), *data;

	if (master) {
		mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, kind);
		data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
		mnl_attr_put_u8(h, IFLA_BOND_SLAVE_STATE, state);
		mnl_attr_put_u8(h, IFLA_BOND_SLAVE_MII_STATUS, 0);
		mnl_attr_nest_end(h, data);
	}
	mnl_attr_nest_end(h, info);
	return told(h);
}

static void tell_vlan(uint32_t below)
{
	char room[512];
	struct nlmsghdr *h = link_message(room, RTM_NEWLINK, VLAN5, "bond0.5", 0);
	struct nlattr *info, *data;

	mnl_attr_put_u32(h, IFLA_LINK, below);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "vlan");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u16(h, IFLA_VLAN_ID, 5);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	assert_int_equal(told(h).vlan, 5);
}

static int begin(void **state)
{
	(void)state;
	host.n = 0;
	tell_bond();
	tell_slave(RTM_NEWLINK, ETH1, "eth1", "bond", BACKUP, BOND);
	tell_slave(RTM_NEWLINK, ETH0, "eth0", "bond", ACTIVE, BOND);
	return 0;
}

static void slaves_are_listed_by_index(void **state)
{
	uint32_t slaves[4] = { 0 };

	(void)state;
	assert_int_equal(mr_bond_slaves(&host, "bond0", slaves, 4), 2);
	assert_int_equal(slaves[0], ETH0);
	assert_int_equal(slaves[1], ETH1);
	assert_int_equal(mr_bond_slaves(&host, "bond0", slaves, 1), 1);
	assert_int_equal(mr_bond_slaves(&host, "eth0", slaves, 4), -ENODEV);
	assert_int_equal(mr_bond_slaves(&host, "bond1", slaves, 4), -ENODEV);
}

static void slaves_join_and_leave(void **state)
{
	uint32_t slaves[4];

	(void)state;
	tell_slave(RTM_NEWLINK, ETH2, "eth2", "bond", BACKUP, BOND);
	assert_int_equal(mr_bond_slaves(&host, "bond0", slaves, 4), 3);
	tell_slave(RTM_NEWLINK, ETH0, "eth0", "bond", ACTIVE, 0);
	assert_int_equal(mr_bond_slaves(&host, "bond0", slaves, 4), 2);
	assert_int_equal(slaves[0], ETH1);
	tell_slave(RTM_DELLINK, ETH1, "eth1", "bond", ACTIVE, BOND);
	assert_int_equal(mr_bond_slaves(&host, "bond0", slaves, 4), 1);
	assert_int_equal(slaves[0], ETH2);
}

static void state_of_a_slave_is_read(void **state)
{
	(void)state;
	assert_true(mr_topology_link(&host, ETH1)->backup);
	assert_false(mr_topology_link(&host, ETH0)->backup);
	assert_true(tell_slave(RTM_NEWLINK, ETH0, "eth0", "bond", BACKUP, BOND).backup);
	assert_false(tell_slave(RTM_NEWLINK, ETH1, "eth1", "bond", ACTIVE, BOND).backup);
}

/* Routes over the bond, and over a VLAN on it, leave by each of its slaves. */
static void what_stands_on_the_bond_stands_on_its_slaves(void **state)
{
	uint16_t vlan[2];

	(void)state;
	tell_vlan(BOND);
	for (uint32_t slave = ETH0; slave <= ETH1; slave++) {
		assert_true(mr_topology_vlans(&host, slave, BOND, vlan));
		assert_int_equal(vlan[0], 0);
		assert_true(mr_topology_vlans(&host, slave, VLAN5, vlan));
		assert_int_equal(vlan[0], 5);
	}
	assert_false(mr_topology_vlans(&host, ETH2, BOND, vlan));
}

/* IFLA_BR_PORT_STATE and its like have the numbers of a bond's attributes. */
static void ports_of_a_bridge_are_no_slaves(void **state)
{
	char room[512];
	struct nlmsghdr *h = link_message(room, RTM_NEWLINK, BRIDGE, "br0", 0);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	uint32_t slaves[4];
	uint16_t vlan[2];

	(void)state;
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(h, info);
	assert_false(told(h).is_bond);
	assert_false(tell_slave(RTM_NEWLINK, TAP, "tap0", "bridge", 3, BRIDGE).backup);
	assert_int_equal(mr_bond_slaves(&host, "br0", slaves, 4), -ENODEV);
	assert_false(mr_topology_vlans(&host, TAP, BRIDGE, vlan));
}

static void cut_messages_are_refused(void **state)
{
	char room[512];
	struct nlmsghdr *h = link_message(room, RTM_NEWLINK, ETH0, "eth0", BOND);
	struct mr_netlink_link l;

	(void)state;
	h->nlmsg_len = sizeof(*h) + sizeof(struct ifinfomsg) - 1;
	assert_false(mr_netlink_link_of(h, &l));
	h->nlmsg_len = sizeof(*h);
	assert_false(mr_netlink_link_of(h, &l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slaves_are_listed_by_index, begin),
		cmocka_unit_test_setup(slaves_join_and_leave, begin),
		cmocka_unit_test_setup(state_of_a_slave_is_read, begin),
		cmocka_unit_test_setup(what_stands_on_the_bond_stands_on_its_slaves, begin),
		cmocka_unit_test_setup(ports_of_a_bridge_are_no_slaves, begin),
		cmocka_unit_test_setup(cut_messages_are_refused, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
