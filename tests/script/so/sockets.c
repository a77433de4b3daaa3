// SPDX-License-Identifier: MIT
/*
 * Sockets over connections of the lane. A socket that listens is a rule of the lane, whose port it
 * sets; the lane's application hands established connections to the socket's queue.
 */
#include "tests/script/so/so.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lane/internal.h"

enum {
	PORT_LO = 32768,
	PORT_HI = 60999,
	HOLD_MS = 200,
};

/* What the lane keeps for each connection. */
struct script_conn {
	struct so_sock *sock;
};

/* The object that a lane belongs to: the rules of one lane point to it. */
static struct so *so_of(struct mr_host *h, mr_conn_id c)
{
	return mr_rule_state(h, c);
}

/* ----- socket objects ----- */

struct so_sock *so_sock_of(struct so *s, int fd)
{
	for (struct so_sock *k = s->socks; k; k = k->next)
		if (k->fd == fd && fd >= 0)
			return k;
	errno = EBADF;
	return NULL;
}

struct mr_conn *so_conn_of(const struct so *s, const struct so_sock *k)
{
	return k->conn ? lane_conn_find(s->lane, k->conn) : NULL;
}

static struct so_sock *sock_new(struct so *s, enum so_kind kind, int domain)
{
	struct so_sock *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->kind = kind;
	k->domain = domain;
	k->fd = -1;
	k->notsent_lowat = UINT32_MAX;
	k->cc = s->cc;
	k->rcvlowat = 1;
	k->next = s->socks;
	s->socks = k;
	return k;
}

static bool give_descriptor(struct so_sock *k)
{
	k->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return k->fd >= 0;
}

struct so_sock *so_sock_new(struct so *s, enum so_kind kind, int domain)
{
	struct so_sock *k = sock_new(s, kind, domain);

	if (!k || give_descriptor(k))
		return k;
	so_sock_free(s, k);
	return NULL;
}

void so_sock_free(struct so *s, struct so_sock *k)
{
	struct so_sock **at = &s->socks;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	if (k->fd >= 0)
		close(k->fd);
	free(k->kept);
	free(k->held);
	free(k->watch);
	free(k);
}

/* ----- the application ----- */

static int app_start(struct mr_host *h, const struct mr_app_args *args, void **rule_state)
{
	(void)h;
	/* the object's address travels in the rule's name */
	*rule_state = (void *)(uintptr_t)strtoumax(args->rule_name, NULL, 16);
	return 0;
}

static struct so_sock *listener_of(struct so *s, const struct mr_conn *c)
{
	for (struct so_sock *k = s->socks; k; k = k->next)
		if (k->kind == SO_LISTENING && k->rule == c->rule &&
		    k->local_port == mr_be16(c->local_port))
			return k;
	return NULL;
}

static void app_open(struct mr_host *h, mr_conn_id c)
{
	struct so *s = so_of(h, c);
	struct script_conn *state = mr_conn_state(h, c);
	struct mr_conn *conn = lane_conn_find(s->lane, c);
	struct so_sock *listener, **end;
	struct so_sock *k = state->sock;

	if (!k) {
		listener = listener_of(s, conn);
		k = listener ? sock_new(s, SO_CONNECTED, listener->domain) : NULL;
		if (!k) {
			mr_abort(h, c);
			return;
		}
		state->sock = k;
		k->conn = c;
		k->open_told = true;
		k->syn_text = conn->flags & MR_CONN_FAST_OPEN && conn->rx_bytes;
		k->nodelay = listener->nodelay;
		k->keepalive = listener->keepalive;
		k->keep_idle = listener->keep_idle;
		k->keep_interval = listener->keep_interval;
		k->keep_count = listener->keep_count;
		k->sndbuf = listener->sndbuf;
		k->rcvbuf = listener->rcvbuf;
		k->maxseg = listener->maxseg;
		k->linger_on = listener->linger_on;
		k->linger_s = listener->linger_s;
		k->inq = listener->inq;
		k->zerocopy = listener->zerocopy;
		k->notsent_lowat = listener->notsent_lowat;
		for (end = &listener->queue; *end; end = &(*end)->queue_next)
			;
		*end = k;
		listener->n_queue++;
		listener->wake_gen++;
	}
	if (k->kind == SO_CONNECTING) /* text of ours went with the SYN, and was taken */
		k->syn_text = conn->snd_una != conn->iss + 1;
	k->kind = SO_CONNECTED;
	k->seen_rcv_nxt = conn->rcv_nxt;
	k->wake_gen++;
	so_apply_options(s, k);
}

static enum mr_app_verdict app_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				     size_t len, size_t *used)
{
	struct script_conn *state = mr_conn_state(h, c);
	struct so_sock *k = state->sock;
	size_t n;

	*used = 0;
	if (!k || !k->read_to)
		return MR_APP_AGAIN;
	n = k->read_want - k->read_done;
	n = n < len ? n : len;
	memcpy(k->read_to + k->read_done, data, n);
	k->read_done += n;
	*used = n;
	return n < len ? MR_APP_AGAIN : MR_APP_DONE;
}

static void app_peer_shutdown(struct mr_host *h, mr_conn_id c)
{
	struct script_conn *state = mr_conn_state(h, c);

	if (state->sock)
		state->sock->wake_gen++;
}

static int error_of(const struct so_sock *k, int reason)
{
	if (reason == MR_CLOSE_RESET_BY_PEER && k->ended_by_peer)
		return EPIPE; /* as tcp_reset() in CLOSE-WAIT */
	if (reason == MR_CLOSE_DONE || reason == MR_CLOSE_ABORTED || reason == MR_CLOSE_UNREAD)
		return 0;
	return mr_close_errno(reason);
}

static void app_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	struct so *s = so_of(h, c);
	struct script_conn *state = mr_conn_state(h, c);
	struct mr_conn *conn = lane_conn_find(s->lane, c);
	struct so_sock *k = state->sock;

	if (!k)
		return;
	if (conn) {
		k->last = *conn;
		k->ended_by_peer = conn->flags & MR_CONN_FIN_RECEIVED;
	}
	if (!k->error)
		k->error = error_of(k, reason);
	k->conn = 0;
	k->kind = SO_DEAD;
	k->wake_gen++;
}

const struct mr_app so_app = {
	.name = "script",
	.conn_bytes = sizeof(struct script_conn),
	.start = app_start,
	.open = app_open,
	.bytes = app_bytes,
	.peer_shutdown = app_peer_shutdown,
	.closed = app_closed,
};

/* Sends whose bytes are acknowledged, or whose connection is gone: one notice for all of them. */
static void look_for_notices(struct so_sock *k, const struct mr_conn *c)
{
	uint64_t acked = k->n_written - (c ? c->tx_bytes + k->n_held : 0);
	uint32_t n = 0;

	while (n < k->n_notices && k->notice[n].end <= acked)
		n++;
	if (!n)
		return;
	if (!k->has_notice)
		k->notice_lo = k->notice[0].id;
	k->notice_hi = k->notice[n - 1].id;
	k->has_notice = true;
	k->wake_gen++;
	k->n_notices -= n;
	memmove(k->notice, k->notice + n, k->n_notices * sizeof(k->notice[0]));
}

void so_look(struct so *s)
{
	for (struct so_sock *k = s->socks; k; k = k->next) {
		struct mr_conn *c = so_conn_of(s, k);

		look_for_notices(k, c);
		if (!c)
			continue;
		if (k->kind == SO_CONNECTED)
			so_info_look(s, k, c);
		if (c->rcv_nxt != k->seen_rcv_nxt) {
			k->seen_rcv_nxt = c->rcv_nxt;
			k->wake_gen++;
		}
		if (k->no_space && so_events(s, k) & EPOLLOUT) {
			k->no_space = false;
			k->wake_gen++;
		}
	}
}

/* ----- addresses ----- */

/* An address of the application's as the lane has it; false with errno. */
static bool take_address(const struct sockaddr *addr, socklen_t len, uint8_t ip[16], uint16_t *port)
{
	if (len >= sizeof(struct sockaddr_in) && addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

		memset(ip, 0, 16);
		if (in->sin_addr.s_addr) {
			memset(ip + 10, 0xff, 2);
			memcpy(ip + 12, &in->sin_addr, 4);
		}
		*port = ntohs(in->sin_port);
		return true;
	}
	if (len >= sizeof(struct sockaddr_in6) && addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

		memcpy(ip, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
		return true;
	}
	errno = len < sizeof(struct sockaddr_in) ? EINVAL : EAFNOSUPPORT;
	return false;
}

static void give_address(int domain, const uint8_t ip[16], struct mr_be16 port,
			 struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port.raw };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port.raw };
	const void *from = domain == AF_INET ? (void *)&in : (void *)&in6;
	socklen_t size = domain == AF_INET ? sizeof(in) : sizeof(in6);

	if (!addr || !len)
		return;
	memcpy(&in.sin_addr, ip + 12, 4);
	memcpy(&in6.sin6_addr, ip, 16);
	memcpy(addr, from, *len < size ? *len : size);
	*len = size;
}

/* ----- calls ----- */

int so_socket(void *u, int domain, int type, int protocol)
{
	struct so *s = u;
	struct so_sock *k;

	if (domain != AF_INET && domain != AF_INET6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if ((type & 0xf) != SOCK_STREAM || (protocol && protocol != IPPROTO_TCP)) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	so_lock(s);
	so_take_sysctls(s);
	k = so_sock_new(s, SO_FRESH, domain);
	if (k)
		k->nonblock = type & SOCK_NONBLOCK;
	so_unlock(s);
	return k ? k->fd : -1;
}

static bool is_port_taken(const struct so *s, const struct so_sock *but, uint16_t port)
{
	for (const struct so_sock *k = s->socks; k; k = k->next)
		if (k != but && k->bound && k->local_port == port &&
		    (k->kind == SO_LISTENING || !k->reuse || !but->reuse))
			return true;
	return false;
}

static int bind_locked(struct so *s, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct so_sock *k = so_sock_of(s, fd);
	uint8_t ip[16];
	uint16_t port;

	if (!k)
		return EBADF;
	if (!take_address(addr, len, ip, &port))
		return errno;
	if (k->bound || k->kind != SO_FRESH)
		return EINVAL;
	for (uint16_t p = PORT_LO; !port && p < PORT_HI; p++)
		if (!is_port_taken(s, k, p))
			port = p;
	if (is_port_taken(s, k, port))
		return EADDRINUSE;
	memcpy(k->local, ip, 16);
	k->local_port = port;
	k->bound = true;
	if (mr_is_ipv4(ip))
		memcpy(s->local4, ip, 16);
	else if (memcmp(ip, (uint8_t[16]){ 0 }, 16) != 0)
		memcpy(s->local6, ip, 16);
	return 0;
}

int so_bind(void *u, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct so *s = u;
	int error;

	so_lock(s);
	error = bind_locked(s, fd, addr, len);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

/* The rules are not those that the lane began with. -ENOMEM leaves it without any. */
static int index_rules(struct so *s)
{
	lane_rule_index_free(&s->lane->rule_index);
	return lane_rule_index_make(&s->lane->rule_index, s->lane->rules, s->lane->n_rules);
}

static int listen_locked(struct so *s, struct so_sock *k, int backlog)
{
	struct mr_lane_rule *rule;

	if (k->kind != SO_FRESH && k->kind != SO_LISTENING)
		return EINVAL;
	k->backlog = backlog < 0 ? SO_ACCEPT_MAX : (uint32_t)backlog;
	if (k->kind == SO_LISTENING)
		return 0;
	for (k->rule = 0; s->rule[k->rule].port; k->rule++)
		if (k->rule == SO_LISTENERS - 1)
			return EADDRINUSE;
	if (!k->local_port)
		k->local_port = PORT_LO;
	k->bound = true;
	rule = &s->rule[k->rule];
	rule->port = k->local_port;
	memcpy(rule->addr, k->local, 16);
	rule->any_family = k->domain == AF_INET6;
	rule->family = k->domain == AF_INET ? 4 : 0;
	rule->place = memcmp(rule->addr, (uint8_t[16]){ 0 }, 16) ? 0 : 1; /* narrower ones first */
	rule->cc = k->cc;
	k->kind = SO_LISTENING;
	return -index_rules(s);
}

int so_listen(void *u, int fd, int backlog)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;

	so_lock(s);
	k = so_sock_of(s, fd);
	if (k)
		error = listen_locked(s, k, backlog);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

static bool can_accept(void *arg)
{
	const struct so_sock *k = arg;

	return k->queue != NULL || k->kind != SO_LISTENING;
}

static int accept_locked(struct so *s, struct so_sock *k, struct sockaddr *addr, socklen_t *len)
{
	const struct mr_conn *c;
	struct so_sock *child;

	if (k->kind != SO_LISTENING)
		return -EINVAL;
	if (!k->queue && (k->nonblock || !so_wait(s, can_accept, k, SO_NEVER)))
		return -EAGAIN;
	child = k->queue;
	if (!child)
		return -EINVAL;
	if (!give_descriptor(child))
		return -EMFILE;
	k->queue = child->queue_next;
	k->n_queue--;
	c = so_conn_of(s, child);
	if (!c)
		c = &child->last;
	give_address(k->domain, c->remote, c->remote_port, addr, len);
	return child->fd;
}

int so_accept(void *u, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct so *s = u;
	struct so_sock *k;
	int result = -EBADF;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		result = accept_locked(s, k, addr, len);
	so_unlock(s);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

/* The lane takes source address and port from its path table and its port range: both are ours. */
static int begin_connect(struct so *s, struct so_sock *k, const struct sockaddr *addr,
			 const uint8_t remote[16], const void *text, size_t *len)
{
	bool v4 = mr_is_ipv4(remote);
	struct mr_path *path = &s->paths->path[v4 ? 0 : 1];
	struct script_conn *state;
	mr_conn_id id;
	int error;

	*path = (struct mr_path){ .state = MR_PATH_VALID, .mtu = s->config.mtu };
	memcpy(path->remote, remote, 16);
	memcpy(path->local, v4 ? s->local4 : s->local6, 16);
	memcpy(path->next_hop_mac, (uint8_t[6]){ 2, 0, 0, 0, 0, 1 }, 6);
	memcpy(path->own_mac, s->config.mac, 6);
	s->config.port_lo = k->local_port ? k->local_port : PORT_LO;
	s->config.port_hi = k->local_port ? k->local_port : PORT_HI;
	s->rule[0].cc = k->cc; /* whose connection it will be */
	mr_lane_path_answer(s->lane, remote, v4 ? 0 : 1);
	error = lane_connect(s->lane, 0, NULL, addr, text, len, &id);
	if (error)
		return -error;
	k->conn = id;
	k->kind = SO_CONNECTING;
	state = mr_conn_state(mr_lane_host(s->lane), id);
	state->sock = k;
	so_apply_options(s, k);
	so_run(s);
	return 0;
}

static bool is_connect_over(void *arg)
{
	return ((struct so_sock *)arg)->kind != SO_CONNECTING;
}

static int take_error(struct so_sock *k)
{
	int error = k->error;

	k->error = 0;
	return error;
}

static void close_listener(struct so *s, struct so_sock *k)
{
	s->rule[k->rule].port = 0;
	index_rules(s);
	lane_halves_drop(s->lane, k->local, k->local_port);
	lane_halves_drop(s->lane, s->local4, k->local_port);
	lane_halves_drop(s->lane, s->local6, k->local_port);
	while (k->queue) {
		struct so_sock *child = k->queue;

		k->queue = child->queue_next;
		if (child->conn) {
			struct mr_host *h = mr_lane_host(s->lane);
			struct script_conn *state = mr_conn_state(h, child->conn);

			if (state)
				state->sock = NULL;
			mr_abort(h, child->conn);
		}
		so_sock_free(s, child);
	}
}

/* connect() to AF_UNSPEC, as tcp_disconnect(): the connection ends, the socket goes on. */
static int disconnect(struct so *s, struct so_sock *k)
{
	if (k->kind == SO_LISTENING)
		close_listener(s, k);
	if (k->conn) {
		struct mr_host *h = mr_lane_host(s->lane);
		struct script_conn *state = mr_conn_state(h, k->conn);

		if (state)
			state->sock = NULL;
		mr_abort(h, k->conn);
		k->conn = 0;
		so_run(s);
	}
	k->kind = SO_FRESH;
	k->error = 0;
	k->n_held = 0;
	k->n_written = 0;
	k->shut_rd = k->shut_wr = k->open_told = k->ended_by_peer = false;
	k->wake_gen++;
	return 0;
}

static int connect_locked(struct so *s, struct so_sock *k, const struct sockaddr *addr,
			  socklen_t len)
{
	uint8_t remote[16];
	uint16_t port;
	int error;

	if (len >= sizeof(addr->sa_family) && addr->sa_family == AF_UNSPEC)
		return disconnect(s, k);
	if (!take_address(addr, len, remote, &port))
		return errno;
	if (k->kind == SO_LISTENING)
		return EISCONN;
	if (k->kind == SO_CONNECTED && k->open_told)
		return EISCONN;
	if (k->kind == SO_FRESH || (k->kind == SO_DEAD && !k->error && !k->open_told)) {
		s->lane->tcp_config.fast_open &= (uint8_t)~MR_FAST_OPEN_CLIENT;
		error = begin_connect(s, k, addr, remote, NULL, NULL);
		if (error)
			return error;
		if (k->nonblock && k->kind == SO_CONNECTING)
			return EINPROGRESS;
	} else if (k->kind == SO_CONNECTING && k->nonblock) {
		return EALREADY;
	}
	if (!so_wait(s, is_connect_over, k, SO_NEVER))
		return EINTR;
	if (k->kind == SO_DEAD) {
		error = take_error(k);
		return error ? error : ECONNABORTED;
	}
	k->open_told = true;
	return 0;
}

/* What the lane knows of a destination's Fast Open (RFC 7413 4.1.3), NULL: no cookie. */
static const struct mr_fast_open_known *cookie_of(const struct so *s, const uint8_t remote[16])
{
	const struct mr_lane *l = s->lane;
	uint64_t hash = mr_siphash13(&l->tcp_config.fast_open_key, remote, 16);
	const struct mr_fast_open_known *known =
		&l->fast_open_cache.known[hash % MR_FAST_OPEN_CACHE];

	if (memcmp(known->remote, remote, 16) != 0 || !known->bytes ||
	    (known->off_until_ms && mr_ms_before(l->tcp.now_ms, known->off_until_ms)))
		return NULL;
	return known;
}

ssize_t so_connect_with(struct so *s, struct so_sock *k, const struct sockaddr *addr, socklen_t len,
			const void *text, size_t n)
{
	const struct mr_fast_open_known *known;
	uint8_t remote[16];
	uint16_t port;
	uint32_t most;
	int error;

	if (!addr || !take_address(addr, len, remote, &port))
		return addr ? -errno : -EINVAL;
	if (k->kind != SO_FRESH)
		return k->kind == SO_CONNECTING ? -EALREADY : -EISCONN;
	s->lane->tcp_config.fast_open |= MR_FAST_OPEN_CLIENT;
	known = cookie_of(s, remote);
	if (known) { /* as Linux: what one segment holds beside all options */
		most = s->config.mtu - (mr_is_ipv4(remote) ? 40 : 60);
		most = (known->mss && known->mss < most ? known->mss : most) - MR_TCP_OPTIONS_MAX;
		n = n < most ? n : most;
	}
	error = begin_connect(s, k, addr, remote, known ? text : NULL, known ? &n : NULL);
	return error ? -error : known ? (ssize_t)n : 0;
}

bool so_wait_open(struct so *s, struct so_sock *k)
{
	if (!so_wait(s, is_connect_over, k, SO_NEVER))
		return false;
	k->open_told = true;
	return true;
}

int so_connect(void *u, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		error = connect_locked(s, k, addr, len);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

/* ----- the end ----- */

static void leave_conn(struct so *s, struct so_sock *k)
{
	struct mr_host *h = mr_lane_host(s->lane);
	struct script_conn *state = mr_conn_state(h, k->conn);

	if (state)
		state->sock = NULL;
	if (k->linger_on && !k->linger_s)
		mr_abort(h, k->conn);
	else
		mr_close(h, k->conn);
	k->conn = 0;
}

struct wait_for_end {
	const struct so *s;
	const struct so_sock *k;
};

/* As Linux's sk_stream_closing(): until the peer has acknowledged the FIN. */
static bool is_closed(void *arg)
{
	const struct wait_for_end *w = arg;
	const struct mr_conn *c = so_conn_of(w->s, w->k);

	return !c ||
	       (c->state != MR_FIN_WAIT_1 && c->state != MR_CLOSING && c->state != MR_LAST_ACK);
}

/* SO_LINGER with a time: close() waits. */
static void linger(struct so *s, struct so_sock *k)
{
	struct wait_for_end w = { s, k };

	mr_shutdown(mr_lane_host(s->lane), k->conn, SHUT_WR);
	so_run(s);
	so_wait(s, is_closed, &w, so_now(s) + (uint64_t)k->linger_s * SO_S);
}

static void close_locked(struct so *s, struct so_sock *k)
{
	for (struct so_sock *e = s->socks; e; e = e->next)
		for (int i = 0; e->watch && i < SO_WATCHES; i++)
			if (e->watch[i].fd == k->fd)
				e->watch[i].fd = -1;
	if (k->n_held)
		so_flush(s, k, true);
	if (k->kind == SO_LISTENING)
		close_listener(s, k);
	if (k->conn && k->linger_on && k->linger_s && !k->nonblock)
		linger(s, k);
	if (k->conn)
		leave_conn(s, k);
	so_sock_free(s, k);
	so_run(s);
}

int so_close(void *u, int fd)
{
	struct so *s = u;
	struct so_sock *k;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		close_locked(s, k);
	so_unlock(s);
	return k ? 0 : close(fd);
}

static int shutdown_locked(struct so *s, struct so_sock *k, int how)
{
	struct mr_host *h = mr_lane_host(s->lane);

	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return EINVAL;
	if (k->kind == SO_LISTENING && how != SHUT_WR) {
		close_listener(s, k);
		k->kind = SO_FRESH;
		return 0;
	}
	if (k->kind == SO_CONNECTING) {
		mr_abort(h, k->conn);
		so_run(s);
		return 0;
	}
	if (k->kind != SO_CONNECTED)
		return ENOTCONN;
	if (k->n_held)
		so_flush(s, k, true);
	k->shut_rd |= how != SHUT_WR;
	k->shut_wr |= how != SHUT_RD;
	k->wake_gen++;
	/* Linux notes SHUT_RD alone and tells nobody; with both, text that comes is refused */
	if (k->shut_rd && k->shut_wr)
		mr_shutdown(h, k->conn, SHUT_RDWR);
	else if (how == SHUT_WR)
		mr_shutdown(h, k->conn, SHUT_WR);
	so_run(s);
	return 0;
}

int so_shutdown(void *u, int fd, int how)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		error = shutdown_locked(s, k, how);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

/* ----- held back bytes ----- */

size_t so_send_room(const struct so *s, const struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);
	size_t room, limit, queued;

	if (!c)
		return 0;
	room = mr_send_room(mr_lane_host(s->lane), k->conn);
	limit = k->sndbuf ? k->sndbuf : s->sndbuf;
	queued = c->tx_bytes + k->n_held;
	limit = limit > queued ? limit - queued : 0;
	return room < limit ? room : limit;
}

uint64_t so_hold_until(const struct so *s, const struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);

	return so_now(s) + HOLD_MS * SO_MS + (c ? c->srtt_us / 8 : 0) * SO_US;
}

void so_flush(struct so *s, struct so_sock *k, bool all)
{
	const struct mr_conn *c = so_conn_of(s, k);
	size_t n = k->n_held;
	int64_t sent;

	if (!c) {
		k->n_held = 0;
		return;
	}
	if (!all)
		n -= n % (c->snd_mss ? c->snd_mss : 536);
	if (!n)
		return;
	sent = mr_send(mr_lane_host(s->lane), k->conn, k->held, n);
	if (sent > 0) {
		memmove(k->held, k->held + sent, k->n_held - (size_t)sent);
		k->n_held -= (size_t)sent;
	}
	k->held_until = so_hold_until(s, k);
}
