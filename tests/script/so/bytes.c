// SPDX-License-Identifier: MIT
/* Calls that move bytes: read, write and their kin. */
#include "tests/script/so/so.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/lane/internal.h"
#include "user/tcp/internal.h"

enum {
	TCP_CM_INQ_TYPE = 36, /* TCP_CM_INQ of linux/tcp.h */
};

/* ----- reading ----- */

struct wait_for_text {
	const struct so *s;
	const struct so_sock *k;
};

/* Text, or a reason why none will come. */
static bool can_read(void *arg)
{
	const struct wait_for_text *w = arg;
	const struct mr_conn *c = so_conn_of(w->s, w->k);

	return !c || w->k->error || w->k->shut_rd || c->rx_bytes || c->flags & MR_CONN_FIN_RECEIVED;
}

/* Copy without consuming (MSG_PEEK). */
static ssize_t peek(struct so *s, const struct mr_conn *c, uint8_t *to, size_t n)
{
	size_t done = 0;

	for (uint32_t i = c->rx_head; i != MR_NONE && done < n;
	     i = s->lane->frames.record[i].next) {
		size_t len = s->lane->frames.record[i].len;

		len = len < n - done ? len : n - done;
		memcpy(to + done, mr_frame_payload(&s->lane->frames, i), len);
		done += len;
	}
	return (ssize_t)done;
}

void so_keep_text(struct so *s)
{
	for (struct so_sock *k = s->socks; k; k = k->next) {
		const struct mr_conn *c = so_conn_of(s, k);
		uint8_t *copy;

		if (!c || k->kind != SO_CONNECTED)
			continue;
		k->n_kept = 0;
		copy = c->rx_bytes ? realloc(k->kept, c->rx_bytes) : NULL;
		if (!copy)
			continue;
		k->kept = copy;
		k->n_kept = (size_t)peek(s, c, copy, c->rx_bytes);
	}
}

size_t so_unread(const struct so *s, const struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);

	if (c)
		return c->rx_bytes;
	return k->kind == SO_DEAD && !k->shut_rd ? k->n_kept : 0;
}

static size_t take_kept(struct so_sock *k, uint8_t *to, size_t n, bool peek_only)
{
	n = n < k->n_kept ? n : k->n_kept;
	memcpy(to, k->kept, n);
	if (!peek_only) {
		k->n_kept -= n;
		memmove(k->kept, k->kept + n, k->n_kept);
	}
	return n;
}

static size_t take_text(struct so *s, struct so_sock *k, uint8_t *to, size_t n)
{
	k->read_to = to;
	k->read_want = n;
	k->read_done = 0;
	mr_pause(mr_lane_host(s->lane), k->conn, false);
	so_run(s);
	k->read_to = NULL;
	return k->read_done;
}

/* What a read says when there is no text, in the order of Linux's tcp_recvmsg(). */
static ssize_t no_text(const struct so *s, struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);
	int error = k->error;

	if (error) {
		k->error = 0;
		return -error;
	}
	if (k->shut_rd || (c && c->flags & MR_CONN_FIN_RECEIVED) || k->kind == SO_DEAD)
		return 0;
	return -EAGAIN;
}

static ssize_t receive(struct so *s, struct so_sock *k, uint8_t *to, size_t n, int flags)
{
	struct wait_for_text w = { s, k };
	const struct mr_conn *c;
	size_t done = 0;

	if (k->kind == SO_FRESH || k->kind == SO_LISTENING)
		return -ENOTCONN;
	for (;;) {
		c = so_conn_of(s, k);
		if (c && k->kind == SO_CONNECTED && c->rx_bytes && !k->shut_rd) {
			if (!to && n)
				return -EFAULT;
			if (flags & MSG_PEEK)
				return peek(s, c, to, n);
			done += take_text(s, k, to + done, n - done);
		}
		if (!c && so_unread(s, k)) {
			if (!to && n)
				return -EFAULT;
			return (ssize_t)(done +
					 take_kept(k, to + done, n - done, flags & MSG_PEEK));
		}
		if (done == n || (done && !(flags & MSG_WAITALL)))
			return (ssize_t)done;
		if (can_read(&w) && !(so_conn_of(s, k) && so_conn_of(s, k)->rx_bytes))
			return done ? (ssize_t)done : no_text(s, k);
		if (k->nonblock || flags & MSG_DONTWAIT)
			return done ? (ssize_t)done : -EAGAIN;
		if (!so_wait(s, can_read, &w, SO_NEVER))
			return done ? (ssize_t)done : -EAGAIN;
	}
}

/* TCP_INQ: how much is left, beside the text. */
static void tell_inq(const struct so *s, const struct so_sock *k, struct msghdr *msg)
{
	const struct mr_conn *c = so_conn_of(s, k);
	struct cmsghdr *cm = msg->msg_controllen >= CMSG_SPACE(sizeof(int)) ? CMSG_FIRSTHDR(msg)
									    : NULL;
	int left = (int)so_unread(s, k);

	if (c && !left && c->flags & MR_CONN_FIN_RECEIVED)
		left = 1;
	if (!k->inq || !cm) {
		msg->msg_controllen = 0;
		return;
	}
	cm->cmsg_level = IPPROTO_TCP;
	cm->cmsg_type = TCP_CM_INQ_TYPE;
	cm->cmsg_len = CMSG_LEN(sizeof(left));
	memcpy(CMSG_DATA(cm), &left, sizeof(left));
	msg->msg_controllen = CMSG_SPACE(sizeof(left));
}

/* recvmsg(MSG_ERRQUEUE): a notice of MSG_ZEROCOPY, as Linux's ip_recv_error() gives it. */
static ssize_t read_notice(struct so_sock *k, struct msghdr *msg)
{
	struct {
		struct sock_extended_err error;
		struct sockaddr_in6 offender;
	} in = { .error = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY,
			    .ee_code = SO_EE_CODE_ZEROCOPY_COPIED,
			    .ee_info = k->notice_lo,
			    .ee_data = k->notice_hi } };
	size_t n = sizeof(in.error) + (k->domain == AF_INET ? sizeof(struct sockaddr_in)
							    : sizeof(struct sockaddr_in6));
	struct cmsghdr *cm = msg->msg_controllen >= CMSG_SPACE(n) ? CMSG_FIRSTHDR(msg) : NULL;

	if (!k->has_notice)
		return -EAGAIN;
	k->has_notice = false;
	msg->msg_controllen = 0;
	if (!cm)
		return 0;
	cm->cmsg_level = k->domain == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	cm->cmsg_type = k->domain == AF_INET ? IP_RECVERR : IPV6_RECVERR;
	cm->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(cm), &in, n);
	msg->msg_controllen = CMSG_SPACE(n);
	return 0;
}

static ssize_t result_of(ssize_t n)
{
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

static size_t iov_bytes(const struct iovec *iov, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

static void scatter(const struct iovec *iov, size_t n_iov, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n_iov && n; i++) {
		size_t len = iov[i].iov_len < n ? iov[i].iov_len : n;

		memcpy(iov[i].iov_base, from, len);
		from += len;
		n -= len;
	}
}

ssize_t so_recvmsg(void *u, int fd, struct msghdr *msg, int flags)
{
	struct so *s = u;
	size_t n = iov_bytes(msg->msg_iov, msg->msg_iovlen);
	uint8_t *buf = malloc(n + 1);
	ssize_t got = -EBADF;
	struct so_sock *k;

	if (!buf) {
		errno = ENOMEM;
		return -1;
	}
	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k && flags & MSG_ERRQUEUE)
		got = read_notice(k, msg);
	else if (k)
		got = receive(s, k, buf, n, flags);
	if (k && got >= 0 && !(flags & MSG_ERRQUEUE))
		tell_inq(s, k, msg);
	so_unlock(s);
	if (got >= 0) {
		scatter(msg->msg_iov, msg->msg_iovlen, buf, (size_t)got);
		msg->msg_flags = flags & MSG_ERRQUEUE;
		msg->msg_namelen = 0;
	}
	free(buf);
	return result_of(got);
}

ssize_t so_recvfrom(void *u, int fd, void *buf, size_t n, int flags, struct sockaddr *from,
		    socklen_t *len)
{
	struct so *s = u;
	ssize_t got = -EBADF;
	struct so_sock *k;

	(void)from; /* a stream socket tells no address */
	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k)
		got = receive(s, k, buf, n, flags);
	so_unlock(s);
	if (len)
		*len = 0;
	return result_of(got);
}

ssize_t so_recv(void *u, int fd, void *buf, size_t n, int flags)
{
	return so_recvfrom(u, fd, buf, n, flags, NULL, NULL);
}

static bool is_ours(struct so *s, int fd)
{
	bool ours;

	so_lock(s);
	ours = so_sock_of(s, fd) != NULL;
	so_unlock(s);
	return ours;
}

ssize_t so_read(void *u, int fd, void *buf, size_t n)
{
	if (!is_ours(u, fd)) /* a pipe */
		return read(fd, buf, n);
	return so_recv(u, fd, buf, n, 0);
}

ssize_t so_readv(void *u, int fd, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };

	if (!is_ours(u, fd))
		return readv(fd, iov, n);
	return so_recvmsg(u, fd, &msg, 0);
}

/* ----- writing ----- */

static bool can_write(void *arg)
{
	const struct wait_for_text *w = arg;

	return !so_conn_of(w->s, w->k) || w->k->error ||
	       (w->k->kind == SO_CONNECTED && so_events(w->s, w->k) & EPOLLOUT);
}

static bool keep_back(const struct so *s, struct so_sock *k, const uint8_t *from, size_t n)
{
	uint8_t *more = realloc(k->held, k->n_held + n);

	if (!more)
		return false;
	k->held = more;
	memcpy(k->held + k->n_held, from, n);
	if (!k->n_held)
		k->held_until = so_hold_until(s, k);
	k->n_held += n;
	return true;
}

/* One step of a write: as much as there is room for. */
static size_t put_text(struct so *s, struct so_sock *k, const uint8_t *from, size_t n, bool more)
{
	size_t room = so_send_room(s, k);
	int64_t sent;

	n = n < room ? n : room;
	if (!n)
		return 0;
	if (more || k->n_held) {
		if (!keep_back(s, k, from, n))
			return 0;
		k->n_written += n;
		so_flush(s, k, !more);
		return n;
	}
	sent = mr_send(mr_lane_host(s->lane), k->conn, from, n);
	if (sent <= 0)
		return 0;
	k->n_written += (uint64_t)sent;
	return (size_t)sent;
}

static int cannot_write(struct so_sock *k)
{
	int error = k->error;

	if (k->kind == SO_CONNECTING)
		return 0;
	if (error) {
		k->error = 0;
		return error;
	}
	return k->shut_wr || k->kind != SO_CONNECTED ? EPIPE : 0;
}

/* MSG_EOR: what comes later goes into segments of its own. */
static void seal(struct so *s, const struct so_sock *k)
{
	struct mr_conn *c = so_conn_of(s, k);

	if (c && c->tx_tail != MR_NONE)
		mr_tcp_seal(&s->lane->tcp, c);
}

static ssize_t transmit(struct so *s, struct so_sock *k, const uint8_t *from, size_t n, int flags)
{
	struct wait_for_text w = { s, k };
	size_t done = 0;

	while (done < n || !done) {
		int error = cannot_write(k);

		if (error)
			return done ? (ssize_t)done : -error;
		if (!n)
			return 0;
		if (k->kind == SO_CONNECTED)
			done += put_text(s, k, from + done, n - done, k->cork || flags & MSG_MORE);
		if (k->kind == SO_CONNECTED && flags & MSG_EOR && done == n && !k->n_held)
			seal(s, k);
		if (k->kind == SO_CONNECTED && flags & MSG_OOB && done == n)
			mr_urge(mr_lane_host(s->lane), k->conn);
		so_run(s);
		if (done == n)
			break;
		k->no_space = true;
		if (k->nonblock || flags & MSG_DONTWAIT)
			return done ? (ssize_t)done : -EAGAIN;
		if (!so_wait(s, can_write, &w, SO_NEVER))
			return done ? (ssize_t)done : -EAGAIN;
	}
	return (ssize_t)done;
}

/* A send has returned: its bytes end here. */
static void want_notice(struct so_sock *k, int flags)
{
	if (!k->zerocopy || !(flags & MSG_ZEROCOPY) || k->n_notices == SO_NOTICES)
		return;
	k->notice[k->n_notices].id = k->next_notice++;
	k->notice[k->n_notices++].end = k->n_written;
}

/* MSG_FASTOPEN: RFC 7413 in one call, as tcp_sendmsg_fastopen(). */
static ssize_t send_first(struct so *s, struct so_sock *k, const uint8_t *from, size_t n, int flags,
			  const struct sockaddr *to, socklen_t len)
{
	ssize_t done = so_connect_with(s, k, to, len, from, n);
	ssize_t rest;

	if (done < 0)
		return done;
	k->n_written += (uint64_t)done;
	so_run(s);
	if (k->nonblock || flags & MSG_DONTWAIT)
		return done ? done : -EINPROGRESS;
	if (!so_wait_open(s, k))
		return -EINTR;
	if ((size_t)done == n)
		return done;
	rest = transmit(s, k, from + done, n - (size_t)done, flags & ~MSG_FASTOPEN);
	return rest < 0 ? rest : done + rest;
}

ssize_t so_sendto(void *u, int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
		  socklen_t len)
{
	struct so *s = u;
	ssize_t sent = -EBADF;
	struct so_sock *k;

	if (!buf && n) {
		errno = EFAULT;
		return -1;
	}
	so_lock(s);
	so_run(s);
	k = so_sock_of(s, fd);
	if (k && flags & MSG_FASTOPEN && k->kind != SO_CONNECTED)
		sent = send_first(s, k, buf, n, flags, to, len);
	else if (k) /* a connected stream socket takes no address */
		sent = transmit(s, k, buf, n, flags);
	if (k && sent > 0)
		want_notice(k, flags);
	so_unlock(s);
	return result_of(sent);
}

ssize_t so_send(void *u, int fd, const void *buf, size_t n, int flags)
{
	return so_sendto(u, fd, buf, n, flags, NULL, 0);
}

ssize_t so_write(void *u, int fd, const void *buf, size_t n)
{
	if (!is_ours(u, fd))
		return write(fd, buf, n);
	return so_send(u, fd, buf, n, 0);
}

ssize_t so_sendmsg(void *u, int fd, const struct msghdr *msg, int flags)
{
	size_t n = iov_bytes(msg->msg_iov, msg->msg_iovlen);
	uint8_t *buf = malloc(n + 1), *to = buf;
	ssize_t sent;

	if (!buf) {
		errno = ENOMEM;
		return -1;
	}
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		memcpy(to, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		to += msg->msg_iov[i].iov_len;
	}
	sent = so_sendto(u, fd, buf, n, flags, msg->msg_name, msg->msg_namelen);
	free(buf);
	return sent;
}

ssize_t so_writev(void *u, int fd, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };

	if (!is_ours(u, fd))
		return writev(fd, iov, n);
	return so_sendmsg(u, fd, &msg, 0);
}

/* One end is a pipe, a real one: its bytes are carried by hand. */
int so_splice(void *u, int from, loff_t *off_from, int to, loff_t *off_to, size_t n,
	      unsigned int flags)
{
	uint8_t *buf;
	ssize_t got;

	(void)flags;
	/* packetdrill gives the address of a zero where a script says NULL */
	if ((off_from && *off_from) || (off_to && *off_to)) {
		errno = ESPIPE;
		return -1;
	}
	n = n < 65536 ? n : 65536;
	buf = malloc(n);
	if (!buf) {
		errno = ENOMEM;
		return -1;
	}
	got = so_read(u, from, buf, n);
	if (got > 0)
		got = so_write(u, to, buf, (size_t)got);
	free(buf);
	return (int)got;
}
