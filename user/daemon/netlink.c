/* SPDX-License-Identifier: MIT */
#include "user/daemon/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	BUFFER_BYTES = 32768,
	NEWS_AT_ONCE = 32,
	LOWER_UP = 1 << 16, /* IFF_LOWER_UP; <linux/if.h> and <net/if.h> exclude each other */
	NUD_USABLE = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
};

struct mr_netlink {
	struct mnl_socket *ask;
	struct mnl_socket *events;
	struct mr_netlink_news news;
	void *arg;
	uint32_t seq;
	char buffer[BUFFER_BYTES];
};

/* Attributes by type; a table on the stack of whoever parses. */
struct attributes {
	const struct nlattr *at[64];
};

static int collect(const struct nlattr *a, void *data)
{
	struct attributes *t = data;
	uint16_t type = mnl_attr_get_type(a);

	if (type < sizeof(t->at) / sizeof(t->at[0]))
		t->at[type] = a;
	return MNL_CB_OK;
}

static uint32_t number(const struct nlattr *a)
{
	return a && mnl_attr_validate(a, MNL_TYPE_U32) >= 0 ? mnl_attr_get_u32(a) : 0;
}

/* Out of an attribute of the right size for the family; false: there is none. */
static bool address(const struct nlattr *a, uint8_t out[16])
{
	if (a && mnl_attr_get_payload_len(a) == 16) {
		memcpy(out, mnl_attr_get_payload(a), 16);
		return true;
	}
	if (!a || mnl_attr_get_payload_len(a) != 4)
		return false;
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, mnl_attr_get_payload(a), 4);
	return true;
}

static bool is_v4(const uint8_t addr[16])
{
	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)addr);
}

static void put_address(struct nlmsghdr *h, uint16_t type, const uint8_t addr[16])
{
	if (is_v4(addr))
		mnl_attr_put(h, type, 4, addr + 12);
	else
		mnl_attr_put(h, type, 16, addr);
}

static bool is_kind(const struct nlattr *a, const char *kind)
{
	size_t len = strlen(kind);

	return a && mnl_attr_get_payload_len(a) >= len &&
	       strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) == len &&
	       !memcmp(mnl_attr_get_payload(a), kind, len);
}

static void parse_vlan(const struct nlattr *info, struct mr_netlink_link *l)
{
	struct attributes data = { 0 };
	const struct nlattr *id;

	if (!info || mnl_attr_parse_nested(info, collect, &data) < 0)
		return;
	id = data.at[IFLA_VLAN_ID];
	if (id && mnl_attr_validate(id, MNL_TYPE_U16) >= 0)
		l->vlan = mnl_attr_get_u16(id);
}

/* Where several modes have one each, the kernel names none as the interface's. */
static void parse_xdp(const struct nlattr *xdp, struct mr_netlink_link *l)
{
	struct attributes t = { 0 };
	const struct nlattr *attached;

	if (!xdp || mnl_attr_parse_nested(xdp, collect, &t) < 0)
		return;
	attached = t.at[IFLA_XDP_ATTACHED];
	l->no_program = attached && mnl_attr_validate(attached, MNL_TYPE_U8) >= 0 &&
			mnl_attr_get_u8(attached) == XDP_ATTACHED_NONE;
	l->program = number(t.at[IFLA_XDP_PROG_ID]);
}

/* BOND_STATE_BACKUP is 1. Slaves of other masters say nothing of the kind. */
static void parse_bond_slave(const struct nlattr *info, struct mr_netlink_link *l)
{
	struct attributes data = { 0 };
	const struct nlattr *state;

	if (!info || mnl_attr_parse_nested(info, collect, &data) < 0)
		return;
	state = data.at[IFLA_BOND_SLAVE_STATE];
	if (state && mnl_attr_validate(state, MNL_TYPE_U8) >= 0)
		l->backup = mnl_attr_get_u8(state) != 0;
}

static void parse_kind(const struct nlattr *info, struct mr_netlink_link *l)
{
	struct attributes t = { 0 };

	if (!info || mnl_attr_parse_nested(info, collect, &t) < 0)
		return;
	if (is_kind(t.at[IFLA_INFO_KIND], "vlan"))
		parse_vlan(t.at[IFLA_INFO_DATA], l);
	l->is_bond = is_kind(t.at[IFLA_INFO_KIND], "bond");
	if (is_kind(t.at[IFLA_INFO_SLAVE_KIND], "bond"))
		parse_bond_slave(t.at[IFLA_INFO_SLAVE_DATA], l);
}

bool mr_netlink_link_of(const void *message, struct mr_netlink_link *out)
{
	const struct nlmsghdr *h = message;
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	struct attributes t = { 0 };
	struct mr_netlink_link l = {
		.ifindex = (uint32_t)i->ifi_index,
		.up = (i->ifi_flags & IFF_UP) && (i->ifi_flags & LOWER_UP),
		.gone = h->nlmsg_type == RTM_DELLINK,
	};

	/* AF_BRIDGE news of a port are not news of the interface. */
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*i) || i->ifi_family != AF_UNSPEC ||
	    mnl_attr_parse(h, sizeof(*i), collect, &t) < 0)
		return false;
	l.mtu = number(t.at[IFLA_MTU]);
	if (t.at[IFLA_ADDRESS] && mnl_attr_get_payload_len(t.at[IFLA_ADDRESS]) == sizeof(l.mac))
		memcpy(l.mac, mnl_attr_get_payload(t.at[IFLA_ADDRESS]), sizeof(l.mac));
	if (t.at[IFLA_IFNAME])
		strncpy(l.name, mnl_attr_get_str(t.at[IFLA_IFNAME]), sizeof(l.name) - 1);
	parse_xdp(t.at[IFLA_XDP], &l);
	l.master = number(t.at[IFLA_MASTER]);
	parse_kind(t.at[IFLA_LINKINFO], &l);
	if (l.vlan)
		l.lower = number(t.at[IFLA_LINK]);
	*out = l;
	return true;
}

static void parse_link(struct mr_netlink *n, const struct nlmsghdr *h)
{
	struct mr_netlink_link l;

	if (n->news.link && mr_netlink_link_of(h, &l))
		n->news.link(n->arg, &l);
}

void mr_netlink_broadcast(const uint8_t addr[16], unsigned int prefix, uint8_t out[16])
{
	memset(out, 0, 16);
	if (!is_v4(addr) || prefix > 30)
		return;
	memcpy(out, addr, 16);
	for (unsigned int bit = prefix; bit < 32; bit++)
		out[12 + bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

static bool parse_address(const struct nlmsghdr *h, struct mr_netlink_address *a)
{
	const struct ifaddrmsg *i = mnl_nlmsg_get_payload(h);
	struct attributes t = { 0 };

	*a = (struct mr_netlink_address){ .ifindex = i->ifa_index,
					  .gone = h->nlmsg_type == RTM_DELADDR };
	if (mnl_attr_parse(h, sizeof(*i), collect, &t) < 0)
		return false;
	/* On point-to-point links IFA_ADDRESS is the peer's. */
	if (!address(t.at[IFA_LOCAL], a->addr) && !address(t.at[IFA_ADDRESS], a->addr))
		return false;
	if (!address(t.at[IFA_BROADCAST], a->broadcast))
		mr_netlink_broadcast(a->addr, i->ifa_prefixlen, a->broadcast);
	/* a /32 may come with itself for a broadcast address; the kernel takes it for local, too */
	if (memcmp(a->broadcast, a->addr, sizeof(a->addr)) == 0)
		memset(a->broadcast, 0, sizeof(a->broadcast));
	return true;
}

static bool parse_neighbour(const struct nlmsghdr *h, struct mr_netlink_neighbour *out)
{
	const struct ndmsg *i = mnl_nlmsg_get_payload(h);
	struct attributes t = { 0 };
	const struct nlattr *mac;

	if (mnl_attr_parse(h, sizeof(*i), collect, &t) < 0)
		return false;
	*out = (struct mr_netlink_neighbour){ .ifindex = (uint32_t)i->ndm_ifindex };
	if ((i->ndm_family != AF_INET && i->ndm_family != AF_INET6) ||
	    !address(t.at[NDA_DST], out->addr))
		return false;
	mac = t.at[NDA_LLADDR];
	out->deleted = h->nlmsg_type == RTM_DELNEIGH;
	out->failed = !out->deleted && i->ndm_state & NUD_FAILED;
	out->valid = !out->deleted && i->ndm_state & NUD_USABLE && mac &&
		     mnl_attr_get_payload_len(mac) == sizeof(out->mac);
	if (out->valid)
		memcpy(out->mac, mnl_attr_get_payload(mac), sizeof(out->mac));
	return true;
}

static uint32_t route_mtu(const struct nlattr *metrics)
{
	struct attributes m = { 0 };

	if (!metrics || mnl_attr_parse_nested(metrics, collect, &m) < 0)
		return 0;
	return number(m.at[RTAX_MTU]);
}

/* False: none that leads to peers, or one that not every packet to its prefix takes. */
static bool parse_route(const struct nlmsghdr *h, struct mr_netlink_route *out)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	bool v4 = m->rtm_family == AF_INET;
	struct attributes t = { 0 };
	uint32_t table;

	if ((!v4 && m->rtm_family != AF_INET6) || mnl_attr_parse(h, sizeof(*m), collect, &t) < 0)
		return false;
	table = t.at[RTA_TABLE] ? number(t.at[RTA_TABLE]) : m->rtm_table;
	if ((table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL) || m->rtm_type != RTN_UNICAST ||
	    m->rtm_tos || m->rtm_src_len || m->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD))
		return false;
	*out = (struct mr_netlink_route){ .bits = (uint8_t)((v4 ? 96 : 0) + m->rtm_dst_len),
					  .ifindex = number(t.at[RTA_OIF]),
					  .metric = number(t.at[RTA_PRIORITY]),
					  .mtu = route_mtu(t.at[RTA_METRICS]) };
	if (v4)
		memset(out->prefix + 10, 0xff, 2);
	/* No RTA_DST: the default route. */
	return out->bits <= 128 && (address(t.at[RTA_DST], out->prefix) || !m->rtm_dst_len);
}

static int deliver(const struct nlmsghdr *h, void *data)
{
	struct mr_netlink *n = data;
	struct mr_netlink_neighbour neighbour;
	struct mr_netlink_address own;
	struct mr_netlink_route route;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		parse_link(n, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (n->news.address && parse_address(h, &own))
			n->news.address(n->arg, &own);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (n->news.routes)
			n->news.routes(n->arg, parse_route(h, &route) && route.mtu);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (n->news.neighbour && parse_neighbour(h, &neighbour))
			n->news.neighbour(n->arg, &neighbour);
		break;
	}
	return MNL_CB_OK;
}

void mr_netlink_read(struct mr_netlink *n)
{
	for (int i = 0; i < NEWS_AT_ONCE; i++) {
		ssize_t got = recv(mnl_socket_get_fd(n->events), n->buffer, sizeof(n->buffer),
				   MSG_DONTWAIT);

		if (got < 0 && errno == ENOBUFS && n->news.lost)
			n->news.lost(n->arg);
		if (got <= 0)
			return;
		mnl_cb_run(n->buffer, (size_t)got, 0, 0, deliver, n);
	}
}

/* Send a question; the kernel has answered when send() returns. */
static int exchange(struct mr_netlink *n, struct nlmsghdr *h, mnl_cb_t reply, void *data)
{
	unsigned int port = mnl_socket_get_portid(n->ask);
	ssize_t got;
	int run;

	h->nlmsg_seq = ++n->seq;
	if (mnl_socket_sendto(n->ask, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		got = mnl_socket_recvfrom(n->ask, n->buffer, sizeof(n->buffer));
		if (got < 0)
			return -errno;
		run = mnl_cb_run(n->buffer, (size_t)got, n->seq, port, reply, data);
		if (run < 0 && errno == EPROTO) /* the end of an answer given up before */
			run = MNL_CB_OK;
		else if (run < 0)
			return -errno;
	} while (run > 0);
	return 0;
}

static int dump(struct mr_netlink *n, uint16_t type, mnl_cb_t each, void *data)
{
	char question[64];
	struct nlmsghdr *h = mnl_nlmsg_put_header(question);
	struct rtgenmsg *g;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->rtgen_family = AF_UNSPEC;
	return exchange(n, h, each, data);
}

int mr_netlink_dump(struct mr_netlink *n, bool addresses)
{
	int err = dump(n, RTM_GETLINK, deliver, n);

	return err || !addresses ? err : dump(n, RTM_GETADDR, deliver, n);
}

struct each_route {
	void (*fn)(void *arg, const struct mr_netlink_route *r);
	void *arg;
};

static int dumped_route(const struct nlmsghdr *h, void *data)
{
	const struct each_route *each = data;
	struct mr_netlink_route route;

	if (h->nlmsg_type == RTM_NEWROUTE && parse_route(h, &route))
		each->fn(each->arg, &route);
	return MNL_CB_OK;
}

int mr_netlink_routes(struct mr_netlink *n,
		      void (*each)(void *arg, const struct mr_netlink_route *r), void *arg)
{
	struct each_route call = { each, arg };

	return dump(n, RTM_GETROUTE, dumped_route, &call);
}

struct each_address {
	void (*fn)(void *arg, const struct mr_netlink_address *a);
	void *arg;
};

static int dumped_address(const struct nlmsghdr *h, void *data)
{
	const struct each_address *each = data;
	struct mr_netlink_address a;

	if (h->nlmsg_type == RTM_NEWADDR && parse_address(h, &a))
		each->fn(each->arg, &a);
	return MNL_CB_OK;
}

int mr_netlink_addresses(struct mr_netlink *n,
			 void (*each)(void *arg, const struct mr_netlink_address *a), void *arg)
{
	struct each_address call = { each, arg };

	return dump(n, RTM_GETADDR, dumped_address, &call);
}

struct route_reply {
	struct mr_route *out;
	bool unicast;
};

/* RTA_VIA: a gateway of the other family (RFC 5549), behind its 16-bit family. */
static void parse_via(const struct nlattr *via, struct mr_route *out)
{
	const struct rtvia *v;

	if (!via || mnl_attr_get_payload_len(via) != sizeof(*v) + 16)
		return;
	v = mnl_attr_get_payload(via);
	memcpy(out->next_hop, v->rtvia_addr, 16);
}

static int route_reply(const struct nlmsghdr *h, void *data)
{
	struct route_reply *r = data;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct attributes t = { 0 };

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_attr_parse(h, sizeof(*m), collect, &t) < 0)
		return MNL_CB_STOP;
	r->unicast = m->rtm_type == RTN_UNICAST;
	r->out->ifindex = number(t.at[RTA_OIF]);
	address(t.at[RTA_PREFSRC], r->out->source);
	if (!address(t.at[RTA_GATEWAY], r->out->next_hop))
		parse_via(t.at[RTA_VIA], r->out);
	r->out->mtu = route_mtu(t.at[RTA_METRICS]);
	return MNL_CB_STOP;
}

int mr_netlink_route(struct mr_netlink *n, const uint8_t remote[16], struct mr_route *out)
{
	char question[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(question);
	struct route_reply reply = { .out = out };
	struct rtmsg *m;
	int err;

	*out = (struct mr_route){ 0 };
	memcpy(out->next_hop, remote, sizeof(out->next_hop));
	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = is_v4(remote) ? AF_INET : AF_INET6;
	m->rtm_dst_len = is_v4(remote) ? 32 : 128;
	put_address(h, RTA_DST, remote);
	err = exchange(n, h, route_reply, &reply);
	if (err)
		return err;
	return reply.unicast && out->ifindex ? 0 : -ENETUNREACH;
}

static int neighbour_reply(const struct nlmsghdr *h, void *data)
{
	if (h->nlmsg_type == RTM_NEWNEIGH)
		parse_neighbour(h, data);
	return MNL_CB_STOP;
}

int mr_netlink_neighbour(struct mr_netlink *n, uint32_t ifindex, const uint8_t addr[16],
			 uint8_t mac[6])
{
	char question[128];
	struct nlmsghdr *h = mnl_nlmsg_put_header(question);
	struct mr_netlink_neighbour found = { 0 };
	struct ndmsg *m;
	int err;

	h->nlmsg_type = RTM_GETNEIGH;
	h->nlmsg_flags = NLM_F_REQUEST;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ndm_family = is_v4(addr) ? AF_INET : AF_INET6;
	m->ndm_ifindex = (int)ifindex;
	put_address(h, NDA_DST, addr);
	err = exchange(n, h, neighbour_reply, &found);
	if (err && err != -ENOENT)
		return err;
	if (!found.valid)
		return -EAGAIN;
	memcpy(mac, found.mac, sizeof(found.mac));
	return 0;
}

int mr_netlink_fd(const struct mr_netlink *n)
{
	return mnl_socket_get_fd(n->events);
}

static const unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
				   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH;

void mr_netlink_close(struct mr_netlink *n)
{
	mnl_socket_close(n->ask);
	mnl_socket_close(n->events);
	free(n);
}

int mr_netlink_open(struct mr_netlink **out, const struct mr_netlink_news *news, void *arg)
{
	struct mr_netlink *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->news = *news;
	n->arg = arg;
	n->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	n->events = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (n->ask && n->events && mnl_socket_bind(n->ask, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_bind(n->events, groups, MNL_SOCKET_AUTOPID) == 0) {
		*out = n;
		return 0;
	}
	err = -errno;
	if (n->ask)
		mnl_socket_close(n->ask);
	if (n->events)
		mnl_socket_close(n->events);
	free(n);
	return err;
}
