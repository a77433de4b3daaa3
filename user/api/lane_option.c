/* SPDX-License-Identifier: MIT */
/* Sockets over channels: options, names, and what waits. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "shared/mr_cc.h"
#include "user/api/lane.h"

enum {
	KEEP_IDLE_S = 7200, /* tcp(7) */
	KEEP_INTERVAL_S = 75,
	KEEP_COUNT = 9,
	KEEP_TIME_MOST = 32767,
	KEEP_COUNT_MOST = 127,
};

void lane_options_default(struct lane_options *o)
{
	*o = (struct lane_options){
		.keep_idle = KEEP_IDLE_S,
		.keep_interval = KEEP_INTERVAL_S,
		.keep_count = KEEP_COUNT,
		.reuse_port = 1,
		.receive_bytes = MR_ATTACH_CREDIT,
		.send_bytes = LANE_SEND_BYTES,
	};
}

static void tell(struct lane_sock *s, uint32_t option, uint32_t a, uint32_t b, uint32_t c)
{
	struct mr_attach_record r = { .op = MR_ATTACH_OPTION, .conn = s->conn, .value = option };

	if (!s->conn)
		return;
	r.word[0] = a;
	r.word[1] = b;
	r.word[2] = c;
	lane_command(s->x, s->link, &r);
}

static void tell_keepalive(struct lane_sock *s)
{
	tell(s, MR_ATTACH_KEEPALIVE, s->o.keepalive ? (uint32_t)s->o.keep_idle : 0,
	     (uint32_t)s->o.keep_interval, (uint32_t)s->o.keep_count);
}

/* What was set before there was a connection. */
void lane_options_apply(struct lane_sock *s)
{
	if (s->o.nodelay)
		tell(s, MR_ATTACH_NODELAY, 1, 0, 0);
	if (s->o.keepalive)
		tell_keepalive(s);
	if (s->o.user_timeout_ms)
		tell(s, MR_ATTACH_USER_TIMEOUT, (uint32_t)s->o.user_timeout_ms, 0, 0);
	if (s->o.receive_bytes != MR_ATTACH_CREDIT)
		tell(s, MR_ATTACH_RECEIVE, (uint32_t)s->o.receive_bytes, 0, 0);
}

/* ----- whole numbers ----- */

struct number {
	int level, name;
	size_t offset; /* in struct lane_options */
	int least, most;
	bool truth; /* any number but 0 is 1 */
	void (*changed)(struct lane_sock *s);
};

static void nodelay_changed(struct lane_sock *s)
{
	tell(s, MR_ATTACH_NODELAY, (uint32_t)s->o.nodelay, 0, 0);
	lane_cork_flush(s);
}

static void cork_changed(struct lane_sock *s)
{
	if (!s->o.cork)
		lane_cork_flush(s);
}

static void quick_ack_changed(struct lane_sock *s)
{
	if (s->o.quick_ack)
		tell(s, MR_ATTACH_QUICK_ACK, 0, 0, 0);
}

static void user_timeout_changed(struct lane_sock *s)
{
	tell(s, MR_ATTACH_USER_TIMEOUT, (uint32_t)s->o.user_timeout_ms, 0, 0);
}

static void receive_changed(struct lane_sock *s)
{
	tell(s, MR_ATTACH_RECEIVE, (uint32_t)s->o.receive_bytes, 0, 0);
}

#define N(level, name, field, least, most, truth, changed)                                         \
	{                                                                                          \
		level, name, offsetof(struct lane_options, field), least, most, truth, changed     \
	}
static const struct number numbers[] = {
	N(SOL_SOCKET, SO_KEEPALIVE, keepalive, INT_MIN, INT_MAX, true, tell_keepalive),
	N(SOL_SOCKET, SO_REUSEADDR, reuse_address, INT_MIN, INT_MAX, true, NULL),
	N(SOL_SOCKET, SO_REUSEPORT, reuse_port, INT_MIN, INT_MAX, true, NULL),
	N(SOL_SOCKET, SO_RCVBUF, receive_bytes, MR_ATTACH_CREDIT_LEAST, MR_ATTACH_CREDIT_MOST,
	  false, receive_changed),
	N(SOL_SOCKET, SO_SNDBUF, send_bytes, MR_ATTACH_CREDIT_LEAST, MR_ATTACH_CREDIT_MOST, false,
	  NULL),
	N(IPPROTO_TCP, TCP_NODELAY, nodelay, INT_MIN, INT_MAX, true, nodelay_changed),
	N(IPPROTO_TCP, TCP_CORK, cork, INT_MIN, INT_MAX, true, cork_changed),
	N(IPPROTO_TCP, TCP_QUICKACK, quick_ack, INT_MIN, INT_MAX, true, quick_ack_changed),
	N(IPPROTO_TCP, TCP_KEEPIDLE, keep_idle, 1, KEEP_TIME_MOST, false, tell_keepalive),
	N(IPPROTO_TCP, TCP_KEEPINTVL, keep_interval, 1, KEEP_TIME_MOST, false, tell_keepalive),
	N(IPPROTO_TCP, TCP_KEEPCNT, keep_count, 1, KEEP_COUNT_MOST, false, tell_keepalive),
	N(IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms, 0, INT_MAX, false, user_timeout_changed),
	N(IPPROTO_TCP, TCP_DEFER_ACCEPT, defer_s, 0, INT_MAX, false, NULL),
};
#undef N

static const struct number *number_of(int level, int name)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].level == level && numbers[i].name == name)
			return &numbers[i];
	return NULL;
}

static int *field_of(struct lane_sock *s, const struct number *n)
{
	return (int *)(void *)((uint8_t *)&s->o + n->offset);
}

/* Buffers are cut to what is possible, as socket(7) has it; everything else is refused. */
static int set_number(struct lane_sock *s, const struct number *n, int value)
{
	bool is_size = n->name == SO_RCVBUF || n->name == SO_SNDBUF;

	if (n->truth)
		value = value != 0;
	else if (n->level == SOL_SOCKET && is_size && value < n->least)
		value = n->least;
	else if (n->level == SOL_SOCKET && is_size && value > n->most)
		value = n->most;
	else if (value < n->least || value > n->most)
		return -EINVAL;
	*field_of(s, n) = value;
	if (n->changed)
		n->changed(s);
	return 0;
}

/* ----- setting ----- */

static int set_record(void *to, size_t bytes, const void *value, socklen_t len)
{
	if (len < bytes)
		return -EINVAL;
	memcpy(to, value, bytes);
	return 0;
}

static int set_locked(struct lane_sock *s, int level, int name, const void *value, socklen_t len)
{
	const struct number *n = number_of(level, name);
	int number;

	if (!value)
		return -EINVAL;
	if (n) {
		int err = set_record(&number, sizeof(number), value, len);

		return err ? err : set_number(s, n, number);
	}
	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	switch (name) {
	case SO_LINGER:
		return set_record(&s->o.linger, sizeof(s->o.linger), value, len);
	case SO_RCVTIMEO:
		return set_record(&s->o.receive_timeout, sizeof(s->o.receive_timeout), value, len);
	case SO_SNDTIMEO:
		return set_record(&s->o.send_timeout, sizeof(s->o.send_timeout), value, len);
	}
	return -ENOPROTOOPT;
}

int lane_sock_set_option(struct mr_context *context, int fd, int level, int name, const void *value,
			 socklen_t len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	return s ? lane_leave(s->x, s, set_locked(s, level, name, value, len)) : -EBADF;
}

/* ----- asking the lane ----- */

/* Figures of a connection; one that is gone has none. */
static void ask(struct lane_sock *s)
{
	struct mr_attach_record r = { .op = MR_ATTACH_ASK, .conn = s->conn };

	s->figures = (struct mr_attach_figures){ 0 };
	if (!s->conn)
		return;
	r.user = (uintptr_t)s;
	s->owed++;
	lane_command(s->x, s->link, &r);
	while (s->owed)
		lane_wait(s->x, s, LANE_NEVER, -1);
}

static void ask_listener(struct lane_sock *s)
{
	struct lane_context *x = s->x;
	struct mr_attach_record r = { .op = MR_ATTACH_ASK, .user = s->id };

	s->half_open = 0;
	for (unsigned int i = 0; i < x->n_links; i++) {
		if (!x->link[i]->serves)
			continue;
		s->owed++;
		lane_command(x, x->link[i], &r);
	}
	while (s->owed)
		lane_wait(x, s, LANE_NEVER, -1);
}

/* ----- reading ----- */

static int give(const void *from, size_t bytes, void *value, socklen_t *len)
{
	size_t n = *len < bytes ? *len : bytes;

	memcpy(value, from, n);
	*len = (socklen_t)n;
	return 0;
}

static uint8_t linux_state(const struct lane_sock *s)
{
	static const uint8_t states[] = {
		[MR_CLOSED] = TCP_CLOSE,
		[MR_LISTEN] = TCP_LISTEN,
		[MR_SYN_SENT] = TCP_SYN_SENT,
		[MR_SYN_RECEIVED] = TCP_SYN_RECV,
		[MR_ESTABLISHED] = TCP_ESTABLISHED,
		[MR_FIN_WAIT_1] = TCP_FIN_WAIT1,
		[MR_FIN_WAIT_2] = TCP_FIN_WAIT2,
		[MR_CLOSE_WAIT] = TCP_CLOSE_WAIT,
		[MR_CLOSING] = TCP_CLOSING,
		[MR_LAST_ACK] = TCP_LAST_ACK,
		[MR_TIME_WAIT] = TCP_TIME_WAIT,
	};

	if (s->state == LANE_LISTENS)
		return TCP_LISTEN;
	return s->figures.state <= MR_TIME_WAIT ? states[s->figures.state] : TCP_CLOSE;
}

static int give_info(struct lane_sock *s, void *value, socklen_t *len)
{
	const struct mr_attach_figures *f = &s->figures;
	uint32_t mss;
	struct tcp_info info = { 0 };

	ask(s);
	mss = f->snd_mss ? f->snd_mss : 1;
	info.tcpi_state = linux_state(s);
	info.tcpi_backoff = f->backoff;
	info.tcpi_rto = f->rto_ms * 1000;
	info.tcpi_snd_mss = f->snd_mss;
	info.tcpi_rcv_mss = f->rcv_mss;
	info.tcpi_unacked = (f->unsent + mss - 1) / mss;
	info.tcpi_rtt = f->rtt_us;
	info.tcpi_rttvar = f->rttvar_us;
	info.tcpi_snd_cwnd = f->cwnd_bytes / mss;
	info.tcpi_total_retrans = f->retransmits;
	return give(&info, sizeof(info), value, len);
}

static int give_congestion(struct lane_sock *s, void *value, socklen_t *len)
{
	const char *const *names = mr_cc_names();
	char name[16] = "";

	ask(s);
	for (uint32_t i = 0; names[i]; i++)
		if (i == s->figures.cc)
			strncpy(name, names[i], sizeof(name) - 1);
	return give(name, sizeof(name), value, len);
}

static int give_number(int number, void *value, socklen_t *len)
{
	return give(&number, sizeof(number), value, len);
}

static int give_tcp(struct lane_sock *s, int name, void *value, socklen_t *len)
{
	switch (name) {
	case TCP_INFO:
		return give_info(s, value, len);
	case TCP_CONGESTION:
		return give_congestion(s, value, len);
	case TCP_MAXSEG:
		ask(s);
		return give_number(s->figures.snd_mss ? s->figures.snd_mss : 536, value, len);
	}
	return -ENOPROTOOPT;
}

static int give_socket(struct lane_sock *s, int name, void *value, socklen_t *len)
{
	int error = s->error;

	switch (name) {
	case SO_ERROR:
		s->error = 0;
		return give_number(error, value, len);
	case SO_TYPE:
		return give_number(SOCK_STREAM, value, len);
	case SO_DOMAIN:
		return give_number(s->domain, value, len);
	case SO_PROTOCOL:
		return give_number(IPPROTO_TCP, value, len);
	case SO_ACCEPTCONN:
		return give_number(s->state == LANE_LISTENS, value, len);
	case SO_LINGER:
		return give(&s->o.linger, sizeof(s->o.linger), value, len);
	case SO_RCVTIMEO:
		return give(&s->o.receive_timeout, sizeof(s->o.receive_timeout), value, len);
	case SO_SNDTIMEO:
		return give(&s->o.send_timeout, sizeof(s->o.send_timeout), value, len);
	}
	return -ENOPROTOOPT;
}

int lane_sock_option(struct mr_context *context, int fd, int level, int name, void *value,
		     socklen_t *len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);
	const struct number *n = number_of(level, name);
	int err = -ENOPROTOOPT;

	if (!s)
		return -EBADF;
	if (n)
		err = give_number(*field_of(s, n), value, len);
	else if (level == SOL_SOCKET)
		err = give_socket(s, name, value, len);
	else if (level == IPPROTO_TCP)
		err = give_tcp(s, name, value, len);
	return lane_leave(s->x, s, err);
}

/* ----- names ----- */

/* As accept(2): cut to *@len, which tells the whole length. */
void lane_name_write(const struct lane_sock *s, bool remote, struct sockaddr *addr, socklen_t *len)
{
	const uint8_t *from = remote ? s->end.remote : s->end.local;
	struct mr_be16 port = remote ? s->end.remote_port : s->end.local_port;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port.raw };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = port.raw };
	socklen_t room = *len, whole;

	memcpy(&in.sin_addr, from + 12, 4);
	memcpy(&in6.sin6_addr, from, 16);
	whole = s->domain == AF_INET ? sizeof(in) : sizeof(in6);
	memcpy(addr, s->domain == AF_INET ? (void *)&in : (void *)&in6,
	       room < whole ? room : whole);
	*len = whole;
}

int lane_sock_name(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	if (!s)
		return -EBADF;
	lane_name_write(s, false, addr, len);
	return lane_leave(s->x, s, 0);
}

int lane_sock_peer(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	if (!s)
		return -EBADF;
	if (s->state != LANE_OPEN)
		return lane_leave(s->x, s, -ENOTCONN);
	lane_name_write(s, true, addr, len);
	return lane_leave(s->x, s, 0);
}

int lane_sock_queues(struct mr_context *context, int fd, struct mr_sock_queues *out)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	if (!s)
		return -EBADF;
	*out = (struct mr_sock_queues){ .unread = s->unread };
	if (s->state == LANE_LISTENS) {
		ask_listener(s);
		out->half_open = s->half_open;
		out->waiting = s->waiting;
		out->backlog = (uint32_t)s->backlog;
	} else {
		ask(s);
		out->unsent = s->lent + s->figures.unsent;
		out->unsent += s->corked == MR_NONE ? 0 : s->corked_len;
	}
	return lane_leave(s->x, s, 0);
}
