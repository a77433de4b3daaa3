/* SPDX-License-Identifier: MIT */
#include "user/daemon/paths.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/channels.h"
#include "user/daemon/child.h"
#include "user/daemon/log.h"
#include "user/daemon/mtu_routes.h"
#include "user/daemon/netlink.h"
#include "user/daemon/standing.h"
#include "user/daemon/topology.h"

enum {
	BACK_MS = 500,
	RESOLVE_MS = 3000,
	REST = 10, /* times as long as a refresh took: routes change in bursts */
};

/* What the child knows of a path, beside the record that lanes read. */
struct entry {
	uint32_t ifindex; /* where the route leaves: ours, or a VLAN on it */
	uint8_t next_hop[16];
	uint64_t asked_ns;    /* last asked for */
	uint64_t waiting;     /* lanes of the interface, a bit each */
	uint64_t deadline_ns; /* with waiting */
};

struct mr_paths {
	struct mr_watch watch; /* first member */
	struct mr_child *c;
	struct mr_netlink *netlink;
	struct entry (*entries)[MR_PATHS]; /* one array a link */
	struct mr_topology host;
	bool stale;	  /* look up all paths again ... */
	uint64_t rest_ns; /* ... but not before this time */
	bool mtu_news;	  /* a route with an MTU may have come or gone */
	bool own_news;	  /* an address may have */
	bool asked_all;	  /* what comes now is an answer, and no news */
	uint64_t back_ns; /* when to ask next for interfaces that went */
	struct mr_mtu_routes mtu_routes;
};

/* A writer of a seqlock: lanes copy between two equal even readings. */
static void write_begin(uint32_t *seq)
{
	__atomic_store_n(seq, *seq | 1, __ATOMIC_RELAXED);
	/* Release: no write below may be seen before the odd number. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_end(uint32_t *seq)
{
	__atomic_store_n(seq, (*seq | 1) + 1, __ATOMIC_RELEASE);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return b && b < a ? b : a;
}

static void publish(struct mr_paths *p, const struct mr_link *k, uint32_t i,
		    const struct mr_path *path)
{
	struct mr_path *out = &k->path_table->path[i];

	(void)p;
	write_begin(&out->seq);
	out->state = path->state;
	memcpy(out->remote, path->remote, sizeof(out->remote));
	memcpy(out->local, path->local, sizeof(out->local));
	memcpy(out->next_hop_mac, path->next_hop_mac, sizeof(out->next_hop_mac));
	memcpy(out->own_mac, path->own_mac, sizeof(out->own_mac));
	memcpy(out->vlan, path->vlan, sizeof(out->vlan));
	out->mtu = path->mtu;
	write_end(&out->seq);
}

static void set_state(struct mr_paths *p, const struct mr_link *k, uint32_t i,
		      enum mr_path_state state)
{
	struct mr_path path = k->path_table->path[i];

	path.state = state;
	publish(p, k, i, &path);
}

static void answer(struct mr_paths *p, uint32_t lane, const uint8_t remote[16], int32_t index)
{
	struct mr_path_answer a = { .head = { MR_WORKER_MAGIC, MR_MSG_PATH_ANSWER, sizeof(a) },
				    .index = index };

	memcpy(a.remote, remote, sizeof(a.remote));
	mr_ward_send(p->c, lane, &a, sizeof(a));
}

static void answer_all(struct mr_paths *p, const struct mr_link *k, uint32_t i, int32_t index)
{
	struct entry *e = &p->entries[k - p->c->d->links][i];

	for (uint32_t lane = 0; lane < k->n_queues; lane++)
		if (e->waiting >> lane & 1)
			answer(p, k->first_lane + lane, k->path_table->path[i].remote, index);
	e->waiting = 0;
}

static void ask_neighbour(struct mr_paths *p, const struct entry *e)
{
	struct mr_request q = { .type = MR_REQUEST_NEIGHBOUR, .ifindex = e->ifindex };

	memcpy(q.addr, e->next_hop, sizeof(q.addr));
	mr_child_ask(p->c, &q);
}

/*
 * Look a path up: route, then neighbour. Return: 0 (VALID now), -EAGAIN (the kernel resolves the
 * neighbour), -errno (no way there).
 */
static int look_up(struct mr_paths *p, const struct mr_link *k, uint32_t i)
{
	struct entry *e = &p->entries[k - p->c->d->links][i];
	struct mr_path path = k->path_table->path[i];
	const struct mr_netlink_link *l;
	struct mr_route route;
	int err = mr_netlink_route(p->netlink, path.remote, &route);

	if (err)
		return err;
	l = mr_topology_link(&p->host, route.ifindex);
	if (!l || !mr_topology_vlans(&p->host, k->ifindex, route.ifindex, path.vlan))
		return -ENETUNREACH;
	e->ifindex = route.ifindex;
	memcpy(e->next_hop, route.next_hop, sizeof(e->next_hop));
	memcpy(path.local, route.source, sizeof(path.local));
	memcpy(path.own_mac, l->mac, sizeof(path.own_mac));
	path.mtu = smaller(smaller(k->lane_mtu, l->mtu), route.mtu);
	err = mr_netlink_neighbour(p->netlink, e->ifindex, e->next_hop, path.next_hop_mac);
	path.state = err ? MR_PATH_RESOLVING : MR_PATH_VALID;
	publish(p, k, i, &path);
	return err;
}

/* The record for a remote address: its own, a free one, or the one not asked for longest. */
static uint32_t place_for(struct mr_paths *p, const struct mr_link *k, const uint8_t remote[16])
{
	struct entry *e = p->entries[k - p->c->d->links];
	struct mr_path fresh = { .state = MR_PATH_RESOLVING };
	uint32_t best = 0;

	for (uint32_t i = 0; i < MR_PATHS; i++) {
		const struct mr_path *path = &k->path_table->path[i];

		if (path->state != MR_PATH_FREE && !memcmp(path->remote, remote, 16))
			return i;
		if (path->state == MR_PATH_FREE) {
			best = i;
			break;
		}
		if (!e[i].waiting && e[i].asked_ns < e[best].asked_ns)
			best = i;
	}
	answer_all(p, k, best, -ENOBUFS);
	e[best] = (struct entry){ 0 };
	memcpy(fresh.remote, remote, sizeof(fresh.remote));
	publish(p, k, best, &fresh);
	return best;
}

void mr_paths_ask(struct mr_child *c, uint32_t lane, const uint8_t remote[16])
{
	struct mr_paths *p = c->paths;
	const struct mr_lane *l = &c->d->lanes[lane];
	const struct mr_link *k = mr_lane_link(c->d, l);
	uint32_t i = place_for(p, k, remote);
	struct entry *e = &p->entries[l->link][i];
	bool is_known = k->path_table->path[i].state == MR_PATH_VALID;
	int err;

	e->asked_ns = mr_now_ns();
	if (e->waiting) {
		e->waiting |= 1ull << l->index;
		return;
	}
	err = look_up(p, k, i);
	if (!err) {
		answer(p, lane, remote, (int32_t)i);
		/* A lane may ask because nothing arrives: let the kernel see if it is there. */
		if (is_known)
			ask_neighbour(p, e);
		return;
	}
	if (err != -EAGAIN) {
		set_state(p, k, i, MR_PATH_UNREACHABLE);
		answer(p, lane, remote, err);
		return;
	}
	e->waiting = 1ull << l->index;
	e->deadline_ns = e->asked_ns + RESOLVE_MS * 1000000ull;
	ask_neighbour(p, e);
}

static void heard_neighbour(struct mr_paths *p, const struct mr_link *k, uint32_t i,
			    const struct mr_netlink_neighbour *n)
{
	struct entry *e = &p->entries[k - p->c->d->links][i];
	struct mr_path path = k->path_table->path[i];

	if (n->valid) {
		if (path.state == MR_PATH_VALID &&
		    !memcmp(path.next_hop_mac, n->mac, sizeof(n->mac)))
			return;
		memcpy(path.next_hop_mac, n->mac, sizeof(path.next_hop_mac));
		path.state = MR_PATH_VALID;
		publish(p, k, i, &path);
		answer_all(p, k, i, (int32_t)i);
	} else if (n->failed) {
		set_state(p, k, i, MR_PATH_UNREACHABLE);
		answer_all(p, k, i, -EHOSTUNREACH);
	} else if (n->deleted && path.state == MR_PATH_VALID) {
		/* Forgotten for want of use, perhaps: the kernel does not see our frames. */
		ask_neighbour(p, e);
	}
}

static void each_path(struct mr_paths *p,
		      void (*fn)(struct mr_paths *p, const struct mr_link *k, uint32_t i,
				 const struct mr_netlink_neighbour *n),
		      const struct mr_netlink_neighbour *n)
{
	for (uint32_t k = 0; k < p->c->d->n_links; k++) {
		const struct mr_link *link = &p->c->d->links[k];

		for (uint32_t i = 0; i < MR_PATHS; i++)
			if (link->path_table->path[i].state != MR_PATH_FREE)
				fn(p, link, i, n);
	}
}

static void match_neighbour(struct mr_paths *p, const struct mr_link *k, uint32_t i,
			    const struct mr_netlink_neighbour *n)
{
	const struct entry *e = &p->entries[k - p->c->d->links][i];

	if (e->ifindex == n->ifindex && !memcmp(e->next_hop, n->addr, sizeof(n->addr)))
		heard_neighbour(p, k, i, n);
}

static void news_neighbour(void *arg, const struct mr_netlink_neighbour *n)
{
	each_path(arg, match_neighbour, n);
}

static void news_routes(void *arg, bool has_mtu)
{
	struct mr_paths *p = arg;

	p->mtu_news |= has_mtu;
	p->stale = true;
}

/* Ours, or the one of ours below a VLAN: NULL if neither. */
static struct mr_link *our_link(struct mr_paths *p, uint32_t ifindex)
{
	uint16_t vlan[2];

	for (uint32_t i = 0; i < p->c->d->n_links; i++)
		if (mr_topology_vlans(&p->host, p->c->d->links[i].ifindex, ifindex, vlan))
			return &p->c->d->links[i];
	return NULL;
}

/* Once: the kernel speaks of an address each time that anything about it changes. */
static void tell_address(const struct mr_paths *p, const struct mr_link *k,
			 const struct mr_netlink_address *a)
{
	const struct mr_path_table *t = k->path_table;
	char text[INET6_ADDRSTRLEN];
	bool known = false;

	for (uint32_t i = 0; i < t->n_addresses; i++)
		known |= !memcmp(t->address[i].addr, a->addr, sizeof(a->addr));
	if (!p->asked_all && known == a->gone)
		mr_info("%s: address %s %s", k->name, mr_address_text(a->addr, text),
			a->gone ? "is gone" : "is there now");
}

static void news_address(void *arg, const struct mr_netlink_address *a)
{
	struct mr_paths *p = arg;
	struct mr_link *k = our_link(p, a->ifindex);
	struct mr_request q = {
		.type = a->gone ? MR_REQUEST_LOCAL_DELETE : MR_REQUEST_LOCAL_ADD,
	};

	if (!k)
		return;
	tell_address(p, k, a);
	q.ifindex = k->ifindex;
	memcpy(q.addr, a->addr, sizeof(q.addr));
	mr_child_ask(p->c, &q);
	p->own_news = true;
	p->stale = true;
}

/* Under another name it is still the interface that the lanes have. */
static void heed_name(struct mr_link *k, const struct mr_netlink_link *l)
{
	bool renamed = strcmp(l->name, k->name) != 0;

	if (renamed && strcmp(l->name, k->now_named) != 0)
		mr_warn("%s: interface is named %s now; its lanes go on, but the next start looks "
			"for %s",
			k->name, l->name, k->name);
	else if (!renamed && k->now_named[0])
		mr_info("%s: interface has its name again", k->name);
	snprintf(k->now_named, sizeof(k->now_named), "%s", renamed ? l->name : "");
}

static void ask_parent(struct mr_paths *p, const struct mr_link *k, enum mr_request_type type)
{
	struct mr_request q = { .type = type, .lane = k->first_lane };

	mr_child_ask(p->c, &q);
}

static void tell_mtu(const struct mr_link *k, uint32_t mtu)
{
	if (mtu <= k->room)
		mr_info("%s: MTU is %u now", k->name, mtu);
	else
		mr_warn("%s: MTU is %u now, a frame of %u bytes holds %u; lanes announce that "
			"much, restart millraced for larger frames",
			k->name, mtu, k->frame_bytes, k->room);
}

static void link_changed(struct mr_paths *p, struct mr_link *k, const struct mr_netlink_link *l)
{
	struct mr_path_table *t = k->path_table;
	bool up = l->up && !l->gone;

	if (l->gone && !k->gone) {
		mr_error("%s: interface was deleted; its connections are lost, its lanes start "
			 "again when it is back",
			 k->name);
		ask_parent(p, k, MR_REQUEST_LINK_GONE);
	} else if (up != k->up)
		mr_info("%s: link is %s", k->name, up ? "up" : "down");
	if (up && !k->up) /* drivers that start anew may come with other queues */
		mr_channels_ask(p->c, k);
	if (!l->gone && l->mtu != k->mtu)
		tell_mtu(k, l->mtu);
	k->gone = l->gone;
	k->up = up;
	if (!l->gone) {
		heed_name(k, l);
		mr_standing_news(p->c, k, l);
		k->mtu = l->mtu;
		k->lane_mtu = smaller(k->room, k->mtu);
		memcpy(k->mac, l->mac, sizeof(k->mac));
	}
	write_begin(&t->seq);
	t->link_up = up;
	t->mtu = smaller(k->lane_mtu, k->mtu);
	memcpy(t->mac, k->mac, sizeof(t->mac));
	write_end(&t->seq);
}

static bool has_bonds(const struct mr_paths *p)
{
	for (uint32_t i = 0; i < p->c->d->n_links; i++)
		if (p->c->d->links[i].bond_ifindex)
			return true;
	return false;
}

/* Has somebody joined or left, or is another slave active? The parent knows which bonds are ours.
 */
static bool concerns_bonds(const struct mr_paths *p, const struct mr_netlink_link *l)
{
	const struct mr_netlink_link *before = mr_topology_link(&p->host, l->ifindex);

	return has_bonds(p) &&
	       (l->gone || !before || before->master != l->master || before->backup != l->backup);
}

static void news_link(void *arg, const struct mr_netlink_link *l)
{
	struct mr_paths *p = arg;

	if (!p->asked_all && concerns_bonds(p, l))
		ask_parent(p, &p->c->d->links[0], MR_REQUEST_BONDS);
	mr_topology_remember(&p->host, l);
	for (uint32_t i = 0; i < p->c->d->n_links; i++)
		if (p->c->d->links[i].ifindex == l->ifindex && (!p->c->d->links[i].gone || l->gone))
			link_changed(p, &p->c->d->links[i], l);
	p->own_news = true; /* of a VLAN that is known only now */
	p->stale = true;
}

/* The whole list of links and addresses; what is not in it any more is gone. */
static int ask_all(struct mr_paths *p)
{
	int err;

	p->host.n = 0;
	p->asked_all = true;
	err = mr_netlink_dump(p->netlink, true);
	p->asked_all = false;
	if (has_bonds(p)) /* it may have changed before we listened */
		ask_parent(p, &p->c->d->links[0], MR_REQUEST_BONDS);
	for (uint32_t i = 0; !err && i < p->c->d->n_links; i++) {
		struct mr_netlink_link gone = { .ifindex = p->c->d->links[i].ifindex,
						.gone = true };

		if (!p->c->d->links[i].gone && !mr_topology_link(&p->host, gone.ifindex))
			news_link(p, &gone);
	}
	return err;
}

/* Those that went: is there one with the name again? The parent tries, and has its reasons. */
static void look_for_gone(struct mr_paths *p, uint64_t now)
{
	if (now < p->back_ns)
		return;
	p->back_ns = now + BACK_MS * 1000000ull;
	for (uint32_t i = 0; i < p->c->d->n_links; i++)
		if (p->c->d->links[i].gone && mr_topology_named(&p->host, p->c->d->links[i].name))
			ask_parent(p, &p->c->d->links[i], MR_REQUEST_LINK_BACK);
}

static void news_lost(void *arg)
{
	struct mr_paths *p = arg;

	mr_warn("rtnetlink: news were lost; asking for everything again");
	ask_all(p);
	p->own_news = true;
	news_routes(p, true);
}

static void refresh_path(struct mr_paths *p, const struct mr_link *k, uint32_t i,
			 const struct mr_netlink_neighbour *n)
{
	struct entry *e = &p->entries[k - p->c->d->links][i];
	int err;

	(void)n;
	if (k->path_table->path[i].state == MR_PATH_UNREACHABLE && !e->waiting)
		return; /* looked up again when somebody asks */
	err = look_up(p, k, i);
	if (!err) {
		answer_all(p, k, i, (int32_t)i);
	} else if (err == -EAGAIN) {
		ask_neighbour(p, e);
	} else {
		set_state(p, k, i, MR_PATH_UNREACHABLE);
		answer_all(p, k, i, err);
	}
}

/* ----- MTUs of routes, for peers that connect to us ----- */

static void publish_mtu_routes(const struct mr_mtu_routes *m, const struct mr_link *k)
{
	struct mr_path_table *t = k->path_table;

	if (t->n_mtu_routes == m->n && !memcmp(t->mtu_route, m->route, sizeof(m->route)))
		return;
	if (m->left_out)
		mr_warn("%s: there are more than %d routes with an MTU and routes inside them; %u "
			"are left out for connections that peers open",
			k->name, MR_MTU_ROUTES, m->left_out);
	write_begin(&t->seq);
	t->n_mtu_routes = m->n;
	memcpy(t->mtu_route, m->route, sizeof(t->mtu_route));
	write_end(&t->seq);
}

/* The kernel tells of no route that goes with its interface: the list is compared each time. */
static void refresh_mtu_routes(struct mr_paths *p)
{
	bool news = p->mtu_news;

	p->mtu_news = false;
	for (uint32_t i = 0; i < p->c->d->n_links; i++) {
		const struct mr_link *k = &p->c->d->links[i];

		if (!news && !k->path_table->n_mtu_routes)
			continue;
		if (mr_mtu_routes_collect(&p->mtu_routes, p->netlink, &p->host, k->ifindex) == 0)
			publish_mtu_routes(&p->mtu_routes, k);
		else
			news_routes(p, true); /* the tables changed meanwhile: once more */
	}
}

/* ----- the host's own addresses, and the broadcast addresses of their networks ----- */

struct own {
	struct mr_paths *p;
	const struct mr_link *link;
	uint32_t n, left_out;
	struct mr_own_address address[MR_OWN_ADDRESSES];
};

static void collect_own(void *arg, const struct mr_netlink_address *a)
{
	struct own *o = arg;
	uint16_t vlan[2];

	if (!mr_topology_vlans(&o->p->host, o->link->ifindex, a->ifindex, vlan))
		return;
	if (o->n == MR_OWN_ADDRESSES) {
		o->left_out++;
		return;
	}
	memcpy(o->address[o->n].addr, a->addr, sizeof(a->addr));
	memcpy(o->address[o->n++].broadcast, a->broadcast, sizeof(a->broadcast));
}

static void publish_own(const struct own *o, const struct mr_link *k)
{
	struct mr_path_table *t = k->path_table;

	if (t->n_addresses == o->n && !memcmp(t->address, o->address, sizeof(o->address)))
		return;
	if (o->left_out)
		mr_warn("%s: it has more than %d addresses; %u of them are not known to lanes",
			k->name, MR_OWN_ADDRESSES, o->left_out);
	write_begin(&t->seq);
	t->n_addresses = o->n;
	memcpy(t->address, o->address, sizeof(t->address));
	write_end(&t->seq);
}

static void refresh_own(struct mr_paths *p)
{
	bool news = p->own_news;

	p->own_news = false;
	for (uint32_t i = 0; news && i < p->c->d->n_links; i++) {
		struct own o = { .p = p, .link = &p->c->d->links[i] };

		if (mr_netlink_addresses(p->netlink, collect_own, &o) == 0)
			publish_own(&o, o.link);
		else
			p->own_news = p->stale = true; /* they changed meanwhile: once more */
	}
}

static void give_up_late(struct mr_paths *p, const struct mr_link *k, uint64_t now)
{
	struct entry *e = p->entries[k - p->c->d->links];

	for (uint32_t i = 0; i < MR_PATHS; i++) {
		if (!e[i].waiting || now < e[i].deadline_ns)
			continue;
		set_state(p, k, i, MR_PATH_UNREACHABLE);
		answer_all(p, k, i, -EHOSTUNREACH);
	}
}

void mr_paths_tick(struct mr_child *c, uint64_t now)
{
	struct mr_paths *p = c->paths;

	if (p->stale && now >= p->rest_ns) {
		p->stale = false;
		refresh_own(p);
		refresh_mtu_routes(p);
		each_path(p, refresh_path, NULL);
		p->rest_ns = mr_now_ns() + (mr_now_ns() - now) * REST;
	}
	look_for_gone(p, now);
	for (uint32_t i = 0; i < c->d->n_links; i++) {
		give_up_late(p, &c->d->links[i], now);
		mr_standing_tick(c, &c->d->links[i], now);
	}
}

static void news_ready(struct mr_child *c, struct mr_watch *w)
{
	(void)c;
	mr_netlink_read(((struct mr_paths *)w)->netlink);
}

int mr_paths_open(struct mr_child *c)
{
	static const struct mr_netlink_news news = {
		.link = news_link,
		.address = news_address,
		.neighbour = news_neighbour,
		.routes = news_routes,
		.lost = news_lost,
	};
	struct mr_paths *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->c = c;
	c->paths = p;
	p->entries = calloc(c->d->n_links, sizeof(*p->entries));
	if (!p->entries)
		return -ENOMEM;
	err = mr_netlink_open(&p->netlink, &news, p);
	if (err)
		return err;
	p->watch = (struct mr_watch){ mr_netlink_fd(p->netlink), news_ready };
	err = mr_child_watch(c, &p->watch);
	/* VLANs are known by the dump; paths that a child before us made are looked up again. */
	p->own_news = true;
	news_routes(p, true);
	return err ? err : ask_all(p);
}
