// SPDX-License-Identifier: MIT
/*
 * Options of sockets, as Linux names them. Those that the lane has for all its connections (the
 * receive buffer, the segment size, the limit of FIN-WAIT-2) are set for the lane: a script has one
 * connection.
 */
#include "tests/script/so/so.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shared/mr_cc.h"
#include "user/lane/internal.h"
#include "user/tcp/internal.h"

enum {
	SOCKBUF_MIN = 2304,
	KEEP_IDLE_S = 7200,
	KEEP_INTERVAL_S = 75,
	KEEP_COUNT = 9,
	CC_NAME_BYTES = 16, /* TCP_CA_NAME_MAX */
};

/* ----- options that are one number of the socket ----- */

struct option {
	int level;
	int name;
	uint32_t offset; /* in struct so_sock */
	bool is_bool;
	bool is_zero_default; /* getsockopt gives the value below for 0 */
	int def;
	int least, most;
};

#define FIELD(f) offsetof(struct so_sock, f)

/* clang-format off */
static const struct option options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, FIELD(reuse), true, false, 0, INT32_MIN, INT32_MAX },
	{ SOL_SOCKET, SO_KEEPALIVE, FIELD(keepalive), true, false, 0, INT32_MIN, INT32_MAX },
	{ SOL_SOCKET, SO_ZEROCOPY, FIELD(zerocopy), true, false, 0, 0, 1 },
	{ SOL_SOCKET, SO_MARK, FIELD(mark), false, false, 0, INT32_MIN, INT32_MAX },
	{ SOL_SOCKET, SO_PRIORITY, FIELD(priority), false, false, 0, INT32_MIN, INT32_MAX },
	{ SOL_SOCKET, SO_RCVLOWAT, FIELD(rcvlowat), false, false, 0, 0, INT32_MAX },
	{ IPPROTO_IP, IP_TOS, FIELD(tos), false, false, 0, 0, 255 },
	{ IPPROTO_IPV6, IPV6_TCLASS, FIELD(tos), false, false, 0, -1, 255 },
	{ IPPROTO_TCP, TCP_NODELAY, FIELD(nodelay), true, false, 0, INT32_MIN, INT32_MAX },
	{ IPPROTO_TCP, TCP_CORK, FIELD(cork), true, false, 0, INT32_MIN, INT32_MAX },
	{ IPPROTO_TCP, TCP_INQ, FIELD(inq), true, false, 0, 0, 1 },
	{ IPPROTO_TCP, TCP_MAXSEG, FIELD(maxseg), false, false, 0, 88, 32767 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, FIELD(keep_idle), false, true, KEEP_IDLE_S, 1, 32767 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, FIELD(keep_interval), false, true, KEEP_INTERVAL_S, 1, 32767 },
	{ IPPROTO_TCP, TCP_KEEPCNT, FIELD(keep_count), false, true, KEEP_COUNT, 1, 127 },
	{ IPPROTO_TCP, TCP_SYNCNT, FIELD(syncnt), false, true, 6, 1, 127 },
	{ IPPROTO_TCP, TCP_LINGER2, FIELD(linger2), false, true, 60, -1, 120 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, FIELD(defer_accept), false, false, 0, 0, INT32_MAX },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, FIELD(window_clamp), false, false, 0, 0, INT32_MAX },
	{ IPPROTO_TCP, TCP_QUICKACK, FIELD(quickack), false, false, 0, INT32_MIN, INT32_MAX },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, FIELD(user_timeout), false, false, 0, 0, INT32_MAX },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, FIELD(notsent_lowat), false, false, 0, INT32_MIN, INT32_MAX },
	{ IPPROTO_TCP, TCP_FASTOPEN, FIELD(fastopen), false, false, 0, 0, INT32_MAX },
};
/* clang-format on */

static const struct option *option_of(int level, int name)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].level == level && options[i].name == name)
			return &options[i];
	return NULL;
}

static int read_field(const struct so_sock *k, const struct option *o)
{
	const char *at = (const char *)k + o->offset;
	uint32_t v;

	if (o->is_bool)
		return *(const bool *)at;
	memcpy(&v, at, sizeof(v));
	return o->is_zero_default && !v ? o->def : (int)v;
}

static void write_field(struct so_sock *k, const struct option *o, int value)
{
	char *at = (char *)k + o->offset;
	uint32_t v = (uint32_t)value;

	if (o->is_bool)
		*(bool *)at = value != 0;
	else
		memcpy(at, &v, sizeof(v));
}

/* ----- what options do ----- */

static void apply_keepalive(struct so *s, const struct so_sock *k)
{
	if (!k->conn)
		return;
	mr_keepalive(mr_lane_host(s->lane), k->conn,
		     !k->keepalive  ? 0
		     : k->keep_idle ? k->keep_idle
				    : KEEP_IDLE_S,
		     k->keep_interval ? k->keep_interval : KEEP_INTERVAL_S,
		     k->keep_count ? k->keep_count : KEEP_COUNT);
}

void so_apply_options(struct so *s, struct so_sock *k)
{
	struct mr_conn *c = so_conn_of(s, k);

	if (!c)
		return;
	if (k->nodelay)
		mr_nodelay(mr_lane_host(s->lane), k->conn, true);
	if (k->keepalive)
		apply_keepalive(s, k);
	if (k->user_timeout)
		mr_user_timeout(mr_lane_host(s->lane), k->conn, k->user_timeout);
	if (k->maxseg)
		mr_tcp_limit_mtu(&s->lane->tcp, c, k->maxseg + (mr_is_ipv4(c->remote) ? 40 : 60));
}

static void limit_mtu(struct so *s, const struct so_sock *k)
{
	uint32_t mtu = k->maxseg + (k->domain == AF_INET ? 40 : 60);

	if (mtu < s->lane->tcp_config.mtu)
		s->lane->tcp_config.mtu = mtu;
}

static void apply(struct so *s, struct so_sock *k, int level, int name, int value)
{
	if (level == SOL_SOCKET && name == SO_KEEPALIVE)
		apply_keepalive(s, k);
	if (level != IPPROTO_TCP)
		return;
	switch (name) {
	case TCP_NODELAY:
		if (k->conn)
			mr_nodelay(mr_lane_host(s->lane), k->conn, k->nodelay);
		if (k->nodelay && k->n_held)
			so_flush(s, k, true);
		break;
	case TCP_CORK:
		if (!k->cork && k->n_held)
			so_flush(s, k, true);
		break;
	case TCP_KEEPIDLE:
	case TCP_KEEPINTVL:
	case TCP_KEEPCNT:
		if (k->keepalive)
			apply_keepalive(s, k);
		break;
	case TCP_USER_TIMEOUT:
		if (k->conn)
			mr_user_timeout(mr_lane_host(s->lane), k->conn, k->user_timeout);
		break;
	case TCP_MAXSEG: /* before the open: what is offered, too */
		if (k->kind == SO_FRESH || k->kind == SO_LISTENING)
			limit_mtu(s, k);
		break;
	case TCP_FASTOPEN: /* of the lane, too */
		s->config.open.fast_open_pending = k->fastopen;
		if (k->fastopen)
			s->lane->tcp_config.fast_open |= MR_FAST_OPEN_SERVER;
		else
			s->lane->tcp_config.fast_open &= (uint8_t)~MR_FAST_OPEN_SERVER;
		break;
	case TCP_LINGER2: /* of the lane: a script has one connection */
		s->lane->tcp_config.fin_wait_ms = value > 0 ? (uint32_t)value * 1000 : 60000;
		break;
	}
}

/* Linux doubles what it is asked for, and never goes below a frame. */
static uint32_t buffer_bytes(int value)
{
	uint32_t v = value < 0 ? 0 : (uint32_t)value;

	v = v > INT32_MAX / 2 ? INT32_MAX : v * 2;
	return v < SOCKBUF_MIN ? SOCKBUF_MIN : v;
}

static int set_buffer(struct so *s, struct so_sock *k, int name, int value)
{
	if (name == SO_SNDBUF || name == SO_SNDBUFFORCE) {
		k->sndbuf = buffer_bytes(value);
		k->wake_gen++;
		return 0;
	}
	k->rcvbuf = buffer_bytes(value);
	/* half of it is for Linux's own bookkeeping */
	if (k->kind != SO_CONNECTED)
		s->lane->tcp_config.receive_buffer = k->rcvbuf / 2;
	return 0;
}

static int set_linger(struct so_sock *k, const void *value, socklen_t len)
{
	struct linger l;

	if (len < sizeof(l))
		return EINVAL;
	memcpy(&l, value, sizeof(l));
	k->linger_on = l.l_onoff != 0;
	k->linger_s = l.l_linger;
	return 0;
}

/* Linux's name of an algorithm: its NewReno is called reno. */
static const char *cc_name(unsigned int cc)
{
	const char *name = mr_cc_names()[cc];

	return cc == MR_CC_NEWRENO ? "reno" : name;
}

static int set_congestion(struct so *s, struct so_sock *k, const void *value, socklen_t len)
{
	struct mr_conn *c = so_conn_of(s, k);
	struct mr_active *a;

	for (unsigned int i = 0; i < MR_CC_COUNT; i++) {
		size_t n = strlen(cc_name(i));

		if (strnlen(value, len) != n || memcmp(cc_name(i), value, n) != 0)
			continue;
		k->cc = (uint8_t)i;
		if (k->kind == SO_LISTENING)
			s->rule[k->rule].cc = k->cc;
		a = c && c->cc != i ? mr_active_peek(s->lane->tcp.actives, c) : NULL;
		if (a) /* a new algorithm begins with a zeroed record */
			memset(&a->cc, 0, sizeof(a->cc));
		if (c)
			c->cc = k->cc;
		return 0;
	}
	return ENOENT;
}

static int set_locked(struct so *s, struct so_sock *k, int level, int name, const void *value,
		      socklen_t len)
{
	const struct option *o = option_of(level, name);
	int v;

	if (level == SOL_SOCKET && name == SO_LINGER)
		return set_linger(k, value, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION)
		return set_congestion(s, k, value, len);
	if (level == IPPROTO_IP && len &&
	    len < sizeof(v)) { /* a byte will do, as do_ip_setsockopt() */
		v = *(const uint8_t *)value;
	} else {
		if (len < sizeof(v))
			return EINVAL;
		memcpy(&v, value, sizeof(v));
	}
	if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF ||
				    name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE))
		return set_buffer(s, k, name, v);
	if (!o)
		return level == SOL_SOCKET || level == IPPROTO_IP || level == IPPROTO_IPV6
			       ? 0
			       : ENOPROTOOPT;
	if (v < o->least || v > o->most)
		return EINVAL;
	write_field(k, o, v);
	apply(s, k, level, name, v);
	return 0;
}

int so_setsockopt(void *u, int fd, int level, int name, const void *value, socklen_t len)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		error = set_locked(s, k, level, name, value, len);
	so_run(s);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

/* ----- reading ----- */

static int give(void *value, socklen_t *len, const void *from, size_t n)
{
	if (*len > n)
		*len = (socklen_t)n;
	memcpy(value, from, *len);
	return 0;
}

/* Programs know records that are longer than this system's: what it does not know is zero. */
static int give_info(void *value, socklen_t len, const struct so_tcp_info *info)
{
	memset(value, 0, len);
	memcpy(value, info, len < sizeof(*info) ? len : sizeof(*info));
	return 0;
}

/* SO_MEMINFO: of what Linux tells of a socket's memory, what there is here. */
static int give_meminfo(const struct so *s, const struct so_sock *k, void *value, socklen_t *len)
{
	const struct mr_conn *c = so_conn_of(s, k);
	uint32_t v[SK_MEMINFO_VARS] = {
		[SK_MEMINFO_RMEM_ALLOC] = c ? c->rx_bytes : 0,
		[SK_MEMINFO_RCVBUF] = k->rcvbuf ? k->rcvbuf : s->config.receive_buffer,
		[SK_MEMINFO_SNDBUF] = k->sndbuf ? k->sndbuf : s->sndbuf,
		[SK_MEMINFO_WMEM_QUEUED] = c ? c->tx_bytes + (uint32_t)k->n_held : 0,
	};

	return give(value, len, v, sizeof(v));
}

static int maxseg_of(const struct so *s, const struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);

	if (c && c->state >= MR_ESTABLISHED)
		return c->snd_mss;
	return k->maxseg ? (int)k->maxseg : MR_MSS_DEFAULT_IPV4;
}

static int get_socket(struct so *s, struct so_sock *k, int name, void *value, socklen_t *len)
{
	struct linger l = { k->linger_on, k->linger_s };
	int v;

	switch (name) {
	case SO_ERROR:
		v = k->error;
		k->error = 0;
		break;
	case SO_LINGER:
		return give(value, len, &l, sizeof(l));
	case SO_MEMINFO:
		return give_meminfo(s, k, value, len);
	case SO_SNDBUF:
		v = (int)(k->sndbuf ? k->sndbuf : s->sndbuf);
		break;
	case SO_RCVBUF:
		v = (int)(k->rcvbuf ? k->rcvbuf : s->config.receive_buffer);
		break;
	case SO_TYPE:
		v = SOCK_STREAM;
		break;
	case SO_ACCEPTCONN:
		v = k->kind == SO_LISTENING;
		break;
	default:
		return ENOPROTOOPT;
	}
	return give(value, len, &v, sizeof(v));
}

static int get_locked(struct so *s, struct so_sock *k, int level, int name, void *value,
		      socklen_t *len)
{
	const struct option *o = option_of(level, name);
	const struct mr_conn *c = so_conn_of(s, k);
	struct so_tcp_info info;
	int v;

	if (level == IPPROTO_TCP && name == TCP_INFO) {
		so_info(s, k, &info);
		return give_info(value, *len, &info);
	}
	if (level == IPPROTO_TCP && name == TCP_CC_INFO) {
		*len = 0; /* as Linux for an algorithm that has nothing to tell */
		return 0;
	}
	if (level == IPPROTO_TCP && name == TCP_MAXSEG) {
		v = maxseg_of(s, k);
		return give(value, len, &v, sizeof(v));
	}
	if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
		char cc[CC_NAME_BYTES] = "";

		strncpy(cc, cc_name(c && c->cc < MR_CC_COUNT ? c->cc : k->cc), sizeof(cc) - 1);
		return give(value, len, cc, sizeof(cc));
	}
	if (o) {
		v = read_field(k, o);
		return give(value, len, &v, sizeof(v));
	}
	return level == SOL_SOCKET ? get_socket(s, k, name, value, len) : ENOPROTOOPT;
}

int so_getsockopt(void *u, int fd, int level, int name, void *value, socklen_t *len)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;

	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		error = get_locked(s, k, level, name, value, len);
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

/* ----- fcntl, ioctl ----- */

int so_fcntl(void *u, int fd, int cmd, ...)
{
	struct so *s = u;
	struct so_sock *k;
	int result = 0;
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	so_lock(s);
	k = so_sock_of(s, fd);
	if (k && cmd == F_GETFL)
		result = O_RDWR | (k->nonblock ? O_NONBLOCK : 0);
	else if (k && cmd == F_SETFL)
		k->nonblock = (arg & O_NONBLOCK) != 0;
	so_unlock(s);
	if (k && (cmd == F_GETFL || cmd == F_SETFL))
		return result;
	return fcntl(fd, cmd, arg);
}

/* Like tcp_ioctl(): bytes to be read, to be acknowledged, to be sent. */
static int ioctl_value(struct so *s, const struct so_sock *k, unsigned long request, int *out)
{
	struct mr_conn *c = so_conn_of(s, k);
	uint32_t flight = c ? mr_conn_flight(&s->lane->tcp, c) : 0;

	if (k->kind == SO_LISTENING)
		return EINVAL;
	switch (request) {
	case SIOCINQ:
		*out = (int)so_unread(s, k);
		return 0;
	case SIOCOUTQ: /* write_seq - snd_una: a FIN counts until it is acknowledged */
		*out = c ? (int)(c->tx_bytes + k->n_held) : 0;
		if (c && c->flags & MR_CONN_FIN_QUEUED && !mr_conn_fin_is_acked(c))
			(*out)++;
		return 0;
	case SIOCOUTQNSD:
		*out = c ? (int)(c->tx_bytes > flight ? c->tx_bytes - flight : 0) : 0;
		return 0;
	}
	return ENOTTY;
}

int so_ioctl(void *u, int fd, unsigned long request, ...)
{
	struct so *s = u;
	struct so_sock *k;
	int error = EBADF;
	va_list args;
	int *out;

	va_start(args, request);
	out = va_arg(args, int *);
	va_end(args);
	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k && request == FIONBIO) {
		k->nonblock = *out != 0;
		error = 0;
	} else if (k) {
		error = ioctl_value(s, k, request, out);
	}
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}
