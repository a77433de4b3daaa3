/* SPDX-License-Identifier: MIT */
#include "user/daemon/links.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/daemon/bonds.h"
#include "user/daemon/bpf.h"
#include "user/daemon/guard.h"
#include "user/daemon/log.h"
#include "user/daemon/queues.h"
#include "user/daemon/rss.h"

enum {
	FRAME_SMALL = 2048,
	FRAME_LARGE = 4096,
	HEADROOM = 256, /* XDP_PACKET_HEADROOM: the kernel leaves it in front of each frame */
	LINK_HEADER = 14 + 2 * 4,
	VLANS_MOST = 3, /* interfaces one on the other */
};

static int ask(int fd, const char *name, unsigned long what, struct ifreq *r)
{
	memset(r, 0, sizeof(*r));
	memcpy(r->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, what, r) < 0 ? -errno : 0;
}

/* Lanes for what the configuration says, or for all that the interface may come to have. */
static int check_queues(struct mr_daemon *d, struct mr_link *l, uint32_t there, uint32_t most)
{
	uint32_t wanted = l->settings->queues ? l->settings->queues : there;

	if (wanted > there)
		return mr_fail(d, -EINVAL,
			       "%s: has %u receive queues, the configuration wants %u; "
			       "set queues: %u, or ethtool -L %s combined %u",
			       l->name, there, wanted, there, l->name, wanted);
	if (wanted > MR_MAX_LANES)
		return mr_fail(d, -E2BIG, "%s: has %u receive queues; set queues: %d or fewer",
			       l->name, wanted, MR_MAX_LANES);
	if (wanted < there)
		mr_warn("%s: %u of %u receive queues have a lane; connections on the others go to "
			"the kernel (ethtool -L %s combined %u)",
			l->name, wanted, there, l->name, wanted);
	l->queues = there;
	l->n_queues = wanted;
	if (!l->settings->queues && most > there)
		l->n_queues = most < MR_MAX_LANES ? most : MR_MAX_LANES;
	return 0;
}

static void size_frames(const struct mr_settings_lanes *s, struct mr_link *l)
{
	uint32_t fitting = l->mtu + LINK_HEADER + HEADROOM <= FRAME_SMALL ? FRAME_SMALL
									  : FRAME_LARGE;

	mr_links_fit(l, s->frame_bytes ? s->frame_bytes : fitting);
}

void mr_links_fit(struct mr_link *l, uint32_t frame_bytes)
{
	uint32_t room = frame_bytes - HEADROOM - LINK_HEADER;

	l->frame_bytes = frame_bytes;
	l->room = room;
	l->lane_mtu = l->mtu < room ? l->mtu : room;
	if (l->lane_mtu < l->mtu)
		mr_warn("%s: MTU %u, a frame of %u bytes holds %u; lanes announce that much",
			l->name, l->mtu, l->frame_bytes, l->lane_mtu);
}

static int find(struct mr_daemon *d, int fd, struct mr_link *l)
{
	struct ifreq r;
	int err = ask(fd, l->name, SIOCGIFINDEX, &r);

	if (err)
		return mr_fail(d, err, "%s: there is no such interface; see ip link", l->name);
	l->ifindex = (uint32_t)r.ifr_ifindex;
	err = ask(fd, l->name, SIOCGIFMTU, &r);
	l->mtu = (uint32_t)r.ifr_mtu;
	if (!err)
		err = ask(fd, l->name, SIOCGIFFLAGS, &r);
	l->up = r.ifr_flags & IFF_UP;
	if (!err && r.ifr_flags & IFF_LOOPBACK)
		return mr_fail(d, -EINVAL, "%s: is a loopback; name an Ethernet interface",
			       l->name);
	if (!err && r.ifr_flags & IFF_MASTER)
		return mr_fail(d, -EINVAL,
			       "%s: has interfaces below it; AF_XDP gets nothing there, name those",
			       l->name);
	if (!err)
		err = ask(fd, l->name, SIOCGIFHWADDR, &r);
	if (err)
		return mr_fail(d, err, "%s: cannot be looked at: %s", l->name, strerror(-err));
	memcpy(l->mac, r.ifr_hwaddr.sa_data, sizeof(l->mac));
	err = check_queues(d, l, mr_queues_count(fd, l->name, l->ifindex),
			   mr_queues_most(fd, l->name));
	if (err)
		return err;
	mr_rss_read(fd, l->name, &l->rss);
	l->is_veth = mr_guard_is_veth(l->name);
	size_frames(&d->settings.lanes, l);
	if (!l->up)
		mr_warn("%s: is down; ip link set dev %s up", l->name, l->name);
	return 0;
}

/* With few places for lanes: none for queues that may come. */
static uint32_t number_slots(struct mr_daemon *d, bool spare)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < d->n_links; i++) {
		struct mr_link *l = &d->links[i];

		if (!spare && l->n_queues > l->queues)
			l->n_queues = l->queues;
		l->slot_base = l->first_lane = slots;
		slots += l->n_queues;
	}
	return slots;
}

static int find_all(struct mr_daemon *d, int fd)
{
	for (uint32_t i = 0; i < d->n_links; i++) {
		struct mr_link *l = &d->links[i];
		int err = find(d, fd, l);

		if (err)
			return err;
	}
	d->n_lanes = number_slots(d, true);
	if (d->n_lanes > MR_MAX_SLOTS)
		d->n_lanes = number_slots(d, false);
	if (d->n_lanes > MR_MAX_SLOTS)
		return mr_fail(d, -E2BIG, "%u receive queues in all, lanes for %d; set queues: N",
			       d->n_lanes, MR_MAX_SLOTS);
	return 0;
}

int mr_links_find(struct mr_daemon *d)
{
	int fd, err = mr_bonds_links(d);

	if (err)
		return err;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mr_fail(d, -errno, "interfaces: %s", strerror(errno));
	err = find_all(d, fd);
	close(fd);
	return err;
}

int mr_links_add(struct mr_daemon *d, struct mr_link *l)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return mr_fail(d, -errno, "interfaces: %s", strerror(errno));
	err = find(d, fd, l);
	close(fd);
	if (!err && d->n_lanes + l->n_queues > MR_MAX_SLOTS)
		err = mr_fail(d, -E2BIG, "%s: no place for %u more lanes", l->name, l->n_queues);
	l->slot_base = l->first_lane = d->n_lanes;
	l->gone = true;
	return err;
}

int mr_links_find_again(struct mr_daemon *d, struct mr_link *l)
{
	uint32_t lanes = l->n_queues;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return mr_fail(d, -errno, "interfaces: %s", strerror(errno));
	err = find(d, fd, l);
	close(fd);
	l->n_queues = lanes;
	return err;
}

/* v4 mapped; false: no IP address. */
static bool address_of(const struct sockaddr *a, uint8_t out[16])
{
	if (a && a->sa_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)a)->sin6_addr, 16);
		return true;
	}
	if (!a || a->sa_family != AF_INET)
		return false;
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &((const struct sockaddr_in *)a)->sin_addr, 4);
	return true;
}

int mr_links_locals(struct mr_daemon *d)
{
	struct ifaddrs *all, *a;
	uint8_t addr[16];

	if (getifaddrs(&all) < 0)
		return mr_fail(d, -errno, "addresses: cannot be listed: %s", strerror(errno));
	for (a = all; a; a = a->ifa_next)
		for (uint32_t i = 0; i < d->n_links; i++)
			if ((!strcmp(a->ifa_name, d->links[i].name) ||
			     !strcmp(a->ifa_name, d->links[i].settings->name)) &&
			    address_of(a->ifa_addr, addr))
				mr_bpf_local(d, addr, d->links[i].ifindex, true);
	freeifaddrs(all);
	return 0;
}

/* One VLAN down: the interface below @ifindex, 0: it is no VLAN. */
static uint32_t below(uint32_t ifindex)
{
	struct vlan_ioctl_args v = { .cmd = GET_VLAN_REALDEV_NAME_CMD };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t lower = 0;

	if (fd < 0)
		return 0;
	if (if_indextoname(ifindex, v.device1) && ioctl(fd, SIOCGIFVLAN, &v) == 0)
		lower = if_nametoindex(v.u.device2);
	close(fd);
	return lower;
}

bool mr_links_carries(const struct mr_link *l, uint32_t ifindex)
{
	for (int depth = 0; ifindex && depth < VLANS_MOST; depth++) {
		if (mr_link_is(l, ifindex))
			return true;
		ifindex = below(ifindex);
	}
	return false;
}

bool mr_links_has_address(const uint8_t addr[16], const struct mr_link *l)
{
	struct ifaddrs *all, *a;
	uint8_t each[16];
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (a = all; a && !found; a = a->ifa_next)
		found = address_of(a->ifa_addr, each) && !memcmp(each, addr, sizeof(each)) &&
			(!l || mr_links_carries(l, if_nametoindex(a->ifa_name)));
	freeifaddrs(all);
	return found;
}
