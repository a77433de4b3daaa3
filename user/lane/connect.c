/* SPDX-License-Identifier: MIT */
/*
 * Active opens (RFC 9293 3.10.1): the daemon's path table gives source address, next hop and MTU;
 * a path that is not there is asked for, and the open waits. ports.c chooses the port.
 */
#include "user/lane/internal.h"
#include "user/tcp/internal.h"

#include <errno.h>
#include <string.h>

enum {
	PATH_WAIT_MS = 5000, /* the daemon itself gives up after 3 s */
	FOLLOW_BATCH = 512,  /* connections that follow a change of paths in one turn */
};

/* MUST-46: broadcast and multicast are not connected to, nor is nobody. */
static bool is_a_hosts(const uint8_t addr[4])
{
	static const uint8_t all[4] = { 255, 255, 255, 255 }, none[4];

	return addr[0] >> 4 != 14 && memcmp(addr, all, 4) && memcmp(addr, none, 4);
}

static bool read_sockaddr(const struct sockaddr *sa, uint8_t addr[16], struct mr_be16 *port)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

		memset(addr, 0, 10);
		memset(addr + 10, 0xff, 2);
		memcpy(addr + 12, &in->sin_addr, 4);
		port->raw = in->sin_port;
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

		memcpy(addr, &in6->sin6_addr, 16);
		port->raw = in6->sin6_port;
		return true;
	}
	return false;
}

static bool remote_of(const struct sockaddr *sa, uint8_t addr[16], struct mr_be16 *port)
{
	const struct in6_addr *in6 = (const struct in6_addr *)(const void *)addr;

	if (!read_sockaddr(sa, addr, port) || !port->raw)
		return false;
	if (mr_is_ipv4(addr))
		return is_a_hosts(addr + 12);
	return !IN6_IS_ADDR_MULTICAST(in6) && !IN6_IS_ADDR_UNSPECIFIED(in6);
}

/* A consistent copy of a path: seq is even and did not change meanwhile. */
static bool read_path(const struct mr_path_table *table, uint32_t index, struct mr_path *out)
{
	const struct mr_path *p = &table->path[index];

	for (int tries = 0; tries < 100; tries++) {
		/* Acquire: pairs with the daemon's release after it wrote the record. */
		uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_ACQUIRE);

		if (seq & 1)
			continue;
		memcpy(out, p, sizeof(*out));
		/* Acquire fence: the copy is done before seq is read again. */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&p->seq, __ATOMIC_RELAXED) == seq)
			return true;
	}
	return false;
}

/* The MTU of this host's route to an address, 0: it has none of its own. */
uint32_t lane_route_mtu(const struct mr_lane *l, const uint8_t remote[16])
{
	for (uint32_t i = 0; i < l->n_mtu_routes; i++)
		if (mr_mtu_route_fits(&l->mtu_route[i], remote))
			return l->mtu_route[i].mtu;
	return 0;
}

/* Of a network that the interface is in: nobody's own address (RFC 1122 3.2.1.3). */
bool lane_is_broadcast(const struct mr_lane *l, const uint8_t addr[16])
{
	for (uint32_t i = 0; mr_is_ipv4(addr) && i < l->n_addresses; i++)
		if (memcmp(l->address[i].broadcast, addr, 16) == 0)
			return true;
	return false;
}

static struct path_hint *hint_for(struct mr_lane *l, const uint8_t remote[16])
{
	return &l->path_hint[mr_siphash13(&l->hash_key, remote, 16) % PATH_HINTS];
}

static bool path_to(struct mr_lane *l, const uint8_t remote[16], struct mr_path *path)
{
	const struct path_hint *hint = hint_for(l, remote);

	return l->s.paths && hint->used && memcmp(hint->remote, remote, 16) == 0 &&
	       hint->index < MR_PATHS && read_path(l->s.paths, hint->index, path) &&
	       path->state == MR_PATH_VALID && memcmp(path->remote, remote, 16) == 0;
}

static void fail(struct mr_lane *l, struct mr_conn *c, enum mr_close_reason reason)
{
	c->flags &= ~MR_CONN_PATH_ASKED;
	mr_tcp_abort_call(&l->tcp, c, reason);
}

/* Did the caller name the address of ours? */
static bool is_chosen(const struct mr_conn *c)
{
	static const uint8_t none[16];

	return memcmp(c->local, none, 16) != 0;
}

/* The path is known: source address, port, SYN. */
static void open_over(struct mr_lane *l, struct mr_conn *c, const struct mr_path *path)
{
	struct mr_tuple *tuple = mr_conn_tuple(c);

	c->flags &= ~MR_CONN_PATH_ASKED;
	c->deadline[MR_DEADLINE_MESSAGE] = 0;
	if (!is_chosen(c))
		memcpy(c->local, path->local, 16);
	memcpy(c->peer_mac, path->next_hop_mac, 6);
	memcpy(c->vlan, path->vlan, sizeof(c->vlan));
	if (!lane_port_choose(l, tuple)) {
		fail(l, c, MR_CLOSE_NO_PORT);
		return;
	}
	lane_flow_insert(l, lane_hash(l, tuple), mr_entry(MR_ENTRY_CONN, conn_index(l, c)));
	mr_tcp_open_call(&l->tcp, c, path->mtu);
}

static int ask_path(struct mr_lane *l, struct mr_conn *c)
{
	int error;

	if (!l->s.asks || !l->s.asks->path)
		return -ENETUNREACH;
	if (l->n_path_waits == PATH_WAITS)
		return -ENOBUFS;
	error = l->s.asks->path(l->s.asks_arg, c->remote);
	if (error < 0)
		return error;
	l->stats->paths_asked++;
	l->path_wait[l->n_path_waits++] = conn_id(l, c);
	c->flags |= MR_CONN_PATH_ASKED;
	c->state = MR_SYN_SENT; /* nothing is sent, and nothing can arrive, before the path */
	c->deadline[MR_DEADLINE_MESSAGE] = l->tcp.now_ms + PATH_WAIT_MS;
	lane_arm(l, c);
	return 0;
}

static void forget_wait(struct mr_lane *l, uint32_t i)
{
	l->path_wait[i] = l->path_wait[--l->n_path_waits];
}

void lane_path_wait_over(struct mr_lane *l, struct mr_conn *c)
{
	for (uint32_t i = 0; i < l->n_path_waits; i++)
		if (l->path_wait[i] == conn_id(l, c))
			forget_wait(l, i--);
	fail(l, c, MR_CLOSE_UNREACHABLE);
}

/* A connection that stands asked because nothing arrives: the next hop may be another one now. */
static void move_to(struct mr_lane *l, struct mr_conn *c, const struct mr_path *path)
{
	memcpy(c->peer_mac, path->next_hop_mac, 6);
	memcpy(c->vlan, path->vlan, sizeof(c->vlan));
	if (path->mtu)
		mr_tcp_follow_mtu(&l->tcp, c, path->mtu);
}

/*
 * RFC 9293 3.8.3 (MUST-20), R1: advice to the layer below. The answer moves the connection; without
 * one the next timeout asks again, and the oldest question gives way.
 */
void lane_path_doubt(struct mr_lane *l, struct mr_conn *c)
{
	bool asked = false;

	for (uint32_t i = 0; i < PATH_DOUBTS; i++)
		asked |= l->path_doubt[i] == conn_id(l, c);
	if (!l->s.asks || !l->s.asks->path || l->s.asks->path(l->s.asks_arg, c->remote) < 0)
		return;
	l->stats->paths_asked++;
	if (!asked)
		l->path_doubt[l->next_doubt++ % PATH_DOUBTS] = conn_id(l, c);
}

static void answer_doubts(struct mr_lane *l, const uint8_t remote[16], const struct mr_path *path)
{
	for (uint32_t i = 0; i < PATH_DOUBTS; i++) {
		struct mr_conn *c = l->path_doubt[i] ? lane_conn_find(l, l->path_doubt[i]) : NULL;

		if (c && memcmp(c->remote, remote, 16) != 0)
			continue;
		l->path_doubt[i] = 0;
		if (!c || c->state == MR_CLOSED || !path)
			continue;
		lane_hold(l, conn_index(l, c));
		move_to(l, c, path);
	}
}

/* The MTU that this host allows towards the peer now. */
static uint32_t allowed_mtu(struct mr_lane *l, const uint8_t remote[16])
{
	uint32_t route = l->n_mtu_routes ? lane_route_mtu(l, remote) : 0;
	uint32_t mtu = l->tcp_config.mtu;
	struct mr_path path;

	if (route && route < mtu)
		mtu = route;
	if (path_to(l, remote, &path) && path.mtu && path.mtu < mtu)
		mtu = path.mtu;
	return mtu;
}

/* The path table's head changed: connections that stand follow, some in each turn. */
uint32_t lane_follow_paths(struct mr_lane *l)
{
	uint32_t end = l->header->conns_used;
	uint32_t n = 0;

	if (l->follow_next == UINT32_MAX)
		return 0;
	for (; l->follow_next < end && n < FOLLOW_BATCH; n++) {
		struct mr_conn *c = &l->conns[l->follow_next++];

		lane_hold(l, conn_index(l, c));
		if (c->state != MR_CLOSED && !(c->flags & MR_CONN_PATH_ASKED))
			mr_tcp_follow_mtu(&l->tcp, c, allowed_mtu(l, c->remote));
	}
	lane_hold(l, MR_NONE);
	if (l->follow_next >= end)
		l->follow_next = UINT32_MAX;
	return n;
}

void mr_lane_path_answer(struct mr_lane *l, const uint8_t remote[16], int index_or_error)
{
	struct path_hint *hint = hint_for(l, remote);
	struct mr_path path;
	bool found;

	if (index_or_error >= 0) {
		*hint = (struct path_hint){ .index = (uint32_t)index_or_error, .used = true };
		memcpy(hint->remote, remote, 16);
	}
	found = index_or_error >= 0 && path_to(l, remote, &path);
	answer_doubts(l, remote, found ? &path : NULL);
	for (uint32_t i = 0; i < l->n_path_waits; i++) {
		struct mr_conn *c = lane_conn_find(l, l->path_wait[i]);

		if (c && memcmp(c->remote, remote, 16) != 0)
			continue;
		forget_wait(l, i--);
		if (!c || !(c->flags & MR_CONN_PATH_ASKED))
			continue;
		lane_hold(l, conn_index(l, c));
		if (found)
			open_over(l, c, &path);
		else
			fail(l, c, MR_CLOSE_UNREACHABLE);
	}
	lane_hold(l, MR_NONE);
}

/* Text that may go with the SYN. The block is on no list before it is being opened. */
static void queue_early(struct mr_lane *l, struct mr_conn *c, const void *text, size_t *len)
{
	int64_t n;

	c->flags |= MR_CONN_READY;
	n = mr_tcp_early_call(&l->tcp, c, text, *len);
	c->flags &= ~MR_CONN_READY;
	*len = n > 0 ? (size_t)n : 0;
}

/* MUST-43: the caller names the address of ours; the lane chooses the port in any case. */
static int choose_local(struct mr_lane *l, const struct sockaddr *local, struct mr_tuple *tuple)
{
	struct mr_be16 port;

	if (!read_sockaddr(local, tuple->local, &port) || port.raw ||
	    mr_is_ipv4(tuple->local) != mr_is_ipv4(tuple->remote))
		return -EINVAL;
	for (uint32_t i = 0; i < l->n_addresses; i++)
		if (memcmp(l->address[i].addr, tuple->local, 16) == 0)
			return 0;
	return -EADDRNOTAVAIL;
}

/*
 * @local: where it comes from, or NULL; @text: to be sent first, or NULL; @len: in: bytes of it,
 * out: how many were queued.
 */
int lane_connect(struct mr_lane *l, uint32_t rule, const struct sockaddr *local,
		 const struct sockaddr *remote, const void *text, size_t *len, mr_conn_id *id)
{
	struct mr_tuple tuple = { 0 };
	struct mr_link link = { 0 };
	struct mr_path path;
	struct mr_conn *c;
	int error;

	if (rule >= l->n_rules || !l->rules[rule].app ||
	    !remote_of(remote, tuple.remote, &tuple.remote_port))
		return -EINVAL;
	error = local ? choose_local(l, local, &tuple) : 0;
	if (error < 0)
		return error;
	c = lane_conn_take(l);
	if (!c)
		return -ENOBUFS;
	lane_hold_in(&l->hand->other, conn_index(l, c));
	mr_conn_init(&l->tcp, c, &tuple, &link);
	c->rule = (uint16_t)rule;
	mr_conn_choose_cc(c, l->rules[rule].config->cc, l->rules[rule].config->ecn);
	*id = conn_id(l, c);
	if (text && len)
		queue_early(l, c, text, len);
	lane_state_take(l, c);
	if (path_to(l, tuple.remote, &path))
		open_over(l, c, &path);
	else
		error = ask_path(l, c);
	if (error < 0) {
		mr_tcp_drop_sent(&l->tcp, c);
		c->app_state = MR_NONE;
		lane_conn_give(l, c);
		return error;
	}
	l->rules[rule].conns++;
	return 0;
}

int mr_lane_connect(struct mr_lane *l, uint32_t rule, const struct sockaddr *remote, mr_conn_id *id)
{
	return lane_connect(l, rule, NULL, remote, NULL, NULL, id);
}
