/* SPDX-License-Identifier: MIT */
/*
 * Sockets: the calls of socket(2), with a context in front and errors as return values.
 *
 * A socket is a descriptor: the lowest number that is free in its context, as POSIX has it. On
 * backend "kernel" it is the kernel's own descriptor; on the others it means nothing to the kernel.
 *
 * Sockets block unless SOCK_NONBLOCK was asked for, here or by mr_sock_blocking(). A blocked
 * call sleeps without holding the context's lock; mr_sock_close() by another thread ends it with
 * -EBADF. Signals do not end it, though they may make its time-out (SO_RCVTIMEO, SO_SNDTIMEO) up
 * to two times longer.
 *
 * fork(2): on "kernel" both processes have the context with its sockets, as they have descriptors;
 * a set stays the parent's, the child makes its own. On the others the child opens a context anew.
 */
#ifndef MILLRACE_SOCK_H
#define MILLRACE_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <millrace/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * mr_sock_open() - socket(2)
 * @domain:	AF_INET or AF_INET6
 * @type:	SOCK_STREAM, with SOCK_NONBLOCK or not; SOCK_CLOEXEC is always meant
 *
 * Return: a descriptor, or -EAFNOSUPPORT, -EPROTONOSUPPORT, -EMFILE, -ENOMEM
 */
int mr_sock_open(struct mr_context *x, int domain, int type, int protocol);

/**
 * mr_sock_bind() - bind(2): a local address
 *
 * "lane": an address and port that a rule steers to attached programs of this user; port 0 and
 * the unspecified address are for sockets that connect.
 *
 * Return: 0, or -EBADF, -EINVAL (bound already), -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a rule
 *	   steers the port, but not to this user)
 */
int mr_sock_bind(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);

/**
 * mr_sock_listen() - listen(2)
 * @backlog:	connections that may wait for mr_sock_accept(), 1 to 65535; others are cut to that
 *
 * Several contexts, of this program or of others, may listen on the same address and port: each
 * connection goes to one of them and wakes nobody else (SO_REUSEPORT's meaning, always on).
 *
 * Return: 0, or -EBADF, -EDESTADDRREQ (not bound), -EADDRINUSE, -EACCES, -EINVAL (connected)
 */
int mr_sock_listen(struct mr_context *x, int fd, int backlog);

/**
 * mr_sock_accept() - accept4(2)
 * @addr, @len:	out: the peer, as accept(2); both may be NULL
 * @flags:	SOCK_NONBLOCK or 0
 *
 * Return: a descriptor, or -EAGAIN, -EBADF, -EINVAL (does not listen), -EMFILE. A connection that
 *	   its peer reset while it waited is not returned at all, as RFC 9293 has no name for it;
 *	   "kernel" returns it, and mr_sock_recv() then says -ECONNRESET
 */
int mr_sock_accept(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len, int flags);

/**
 * mr_sock_connect() - connect(2)
 *
 * Return: 0, or -EINPROGRESS (does not block: writable tells of the end, mr_sock_error() says
 *	   how), -EALREADY, -EISCONN, -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH,
 *	   -EADDRNOTAVAIL, -EBADF, -EAFNOSUPPORT
 */
int mr_sock_connect(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);

/**
 * mr_sock_send() - send(2), never with SIGPIPE
 * @flags:	MSG_DONTWAIT, MSG_MORE, MSG_OOB or 0
 *
 * A socket that blocks takes all of @len, unless an error comes behind a part of it: then the part
 * is returned, and the error next time. SO_SNDTIMEO may end it behind a part, too.
 *
 * Return: bytes taken, or -EAGAIN, -EPIPE (shut down, or the peer is gone), -ECONNRESET,
 *	   -ETIMEDOUT, -ENOTCONN, -EBADF, -EOPNOTSUPP (another flag)
 */
ssize_t mr_sock_send(struct mr_context *x, int fd, const void *buf, size_t len, int flags);

/** mr_sock_sendv() - mr_sock_send() from @n pieces, up to IOV_MAX */
ssize_t mr_sock_sendv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);

/**
 * mr_sock_recv() - recv(2)
 * @flags:	MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, MSG_OOB or 0
 *
 * Return: bytes, 0: the peer sends no more (or this side shut receiving down), or -EAGAIN,
 *	   -ECONNRESET, -ETIMEDOUT, -ENOTCONN, -EBADF, -EOPNOTSUPP (another flag). An error is
 *	   told once, then 0
 */
ssize_t mr_sock_recv(struct mr_context *x, int fd, void *buf, size_t len, int flags);

/** mr_sock_recvv() - mr_sock_recv() into @n pieces, up to IOV_MAX */
ssize_t mr_sock_recvv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);

/**
 * mr_sock_shutdown() - shutdown(2)
 * @how:	SHUT_RD, SHUT_WR, SHUT_RDWR
 *
 * SHUT_WR: FIN behind what was sent; the other direction stays open. SHUT_RD: receiving gives 0.
 * Data that arrives afterwards is answered with RST on "lane" and "wire"; the kernel acknowledges
 * it and lets it be read, and answers with RST after SHUT_RDWR. Only mr_sock_close() frees the
 * descriptor.
 *
 * Return: 0, or -ENOTCONN, -EINVAL, -EBADF
 */
int mr_sock_shutdown(struct mr_context *x, int fd, int how);

/**
 * mr_sock_close() - close(2)
 *
 * What was sent is still delivered, unless SO_LINGER says otherwise; unread bytes make it an RST
 * (RFC 2525 2.17). A listener that closes resets what waits in its queue. The descriptor is free
 * in any case and leaves all sets. Calls of other threads on it end first, with -EBADF.
 */
int mr_sock_close(struct mr_context *x, int fd);

/** mr_sock_abort() - RST now, what was not acknowledged is dropped; the descriptor is free */
int mr_sock_abort(struct mr_context *x, int fd);

/** mr_sock_blocking() - let calls on @fd block, or not */
int mr_sock_blocking(struct mr_context *x, int fd, bool on);

/** mr_sock_error() - SO_ERROR: a positive errno that waits, 0: none; it is taken by this */
int mr_sock_error(struct mr_context *x, int fd);

/**
 * mr_sock_set_option(), mr_sock_option() - setsockopt(2), getsockopt(2), by the kernel's names
 *
 * SOL_SOCKET: SO_LINGER, SO_KEEPALIVE, SO_REUSEADDR, SO_REUSEPORT, SO_RCVBUF, SO_SNDBUF,
 * SO_RCVTIMEO, SO_SNDTIMEO, SO_ERROR, SO_TYPE, SO_ACCEPTCONN. IPPROTO_TCP: TCP_NODELAY, TCP_CORK,
 * TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT, TCP_MAXSEG, TCP_INFO,
 * TCP_CONGESTION, TCP_QUICKACK, TCP_DEFER_ACCEPT.
 *
 * "kernel" has all others of its kernel, too.
 *
 * Return: 0, or -ENOPROTOOPT, -EINVAL, -EBADF; on "lane" -EOPNOTSUPP where its lane is older
 */
int mr_sock_set_option(struct mr_context *x, int fd, int level, int name, const void *value,
		       socklen_t len);
int mr_sock_option(struct mr_context *x, int fd, int level, int name, void *value, socklen_t *len);

/** mr_sock_name(), mr_sock_peer() - getsockname(2), getpeername(2) */
int mr_sock_name(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
int mr_sock_peer(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);

/**
 * struct mr_sock_queues - what waits at a socket
 * @half_open:	of a listener: handshakes that are not done (of its port, all contexts). "kernel":
 *		by sock_diag(7), a walk over the host's connections, 0 where that is not to be had
 * @waiting:	of a listener: connections that wait for this context to accept
 * @backlog:	of a listener: as many may wait. "kernel": cut to net.core.somaxconn, and it lets
 *		one more wait
 * @unread:	bytes that mr_sock_recv() would give at once (SIOCINQ)
 * @unsent:	bytes sent and not acknowledged yet (SIOCOUTQ)
 */
struct mr_sock_queues {
	uint32_t half_open;
	uint32_t waiting;
	uint32_t backlog;
	uint64_t unread;
	uint64_t unsent;
};

/** mr_sock_queues() - Return: 0, or -EBADF */
int mr_sock_queues(struct mr_context *x, int fd, struct mr_sock_queues *out);

#ifdef __cplusplus
}
#endif
#endif
