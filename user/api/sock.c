/* SPDX-License-Identifier: MIT */
/* Public functions of sockets: what no backend could take is refused here, the rest is theirs. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>

#include "user/api/backend.h"

enum {
	SEND_FLAGS = MSG_DONTWAIT | MSG_MORE | MSG_OOB | MSG_NOSIGNAL,
	RECV_FLAGS = MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL | MSG_OOB,
	BACKLOG_MAX = 65535,
};

int mr_sock_open(struct mr_context *x, int domain, int type, int protocol)
{
	if (domain != AF_INET && domain != AF_INET6)
		return -EAFNOSUPPORT;
	if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM ||
	    (protocol && protocol != IPPROTO_TCP))
		return -EPROTONOSUPPORT;
	return x->backend->sock_open(x, domain, type, protocol);
}

/* The family of @addr, when it is one with all of its bytes. */
static int check_address(const struct sockaddr *addr, socklen_t len)
{
	if (!addr || len < sizeof(addr->sa_family))
		return -EINVAL;
	switch (addr->sa_family) {
	case AF_INET:
		return len < sizeof(struct sockaddr_in) ? -EINVAL : 0;
	case AF_INET6:
		return len < sizeof(struct sockaddr_in6) ? -EINVAL : 0;
	default:
		return -EAFNOSUPPORT;
	}
}

int mr_sock_bind(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len)
{
	int err = check_address(addr, len);

	return err ? err : x->backend->sock_bind(x, fd, addr, len);
}

int mr_sock_listen(struct mr_context *x, int fd, int backlog)
{
	if (backlog < 1)
		backlog = 1;
	return x->backend->sock_listen(x, fd, backlog < BACKLOG_MAX ? backlog : BACKLOG_MAX);
}

int mr_sock_accept(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) || (addr && !len))
		return -EINVAL;
	return x->backend->sock_accept(x, fd, addr, addr ? len : NULL, flags);
}

int mr_sock_connect(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len)
{
	int err = check_address(addr, len);

	return err ? err : x->backend->sock_connect(x, fd, addr, len);
}

ssize_t mr_sock_sendv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags)
{
	if (flags & ~SEND_FLAGS)
		return -EOPNOTSUPP;
	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	return x->backend->sock_sendv(x, fd, iov, n, flags);
}

ssize_t mr_sock_send(struct mr_context *x, int fd, const void *buf, size_t len, int flags)
{
	struct iovec one = { (void *)(uintptr_t)buf, len };

	return mr_sock_sendv(x, fd, &one, 1, flags);
}

ssize_t mr_sock_recvv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags)
{
	if (flags & ~RECV_FLAGS)
		return -EOPNOTSUPP;
	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	return x->backend->sock_recvv(x, fd, iov, n, flags);
}

ssize_t mr_sock_recv(struct mr_context *x, int fd, void *buf, size_t len, int flags)
{
	struct iovec one = { buf, len };

	return mr_sock_recvv(x, fd, &one, 1, flags);
}

int mr_sock_shutdown(struct mr_context *x, int fd, int how)
{
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	return x->backend->sock_shutdown(x, fd, how);
}

int mr_sock_close(struct mr_context *x, int fd)
{
	return x->backend->sock_close(x, fd);
}

int mr_sock_abort(struct mr_context *x, int fd)
{
	return x->backend->sock_abort(x, fd);
}

int mr_sock_blocking(struct mr_context *x, int fd, bool on)
{
	return x->backend->sock_blocking(x, fd, on);
}

int mr_sock_error(struct mr_context *x, int fd)
{
	int waits = 0;
	socklen_t len = sizeof(waits);
	int err = x->backend->sock_option(x, fd, SOL_SOCKET, SO_ERROR, &waits, &len);

	return err ? err : waits;
}

int mr_sock_set_option(struct mr_context *x, int fd, int level, int name, const void *value,
		       socklen_t len)
{
	if (!value)
		return -EINVAL;
	return x->backend->sock_set_option(x, fd, level, name, value, len);
}

int mr_sock_option(struct mr_context *x, int fd, int level, int name, void *value, socklen_t *len)
{
	if (!value || !len)
		return -EINVAL;
	return x->backend->sock_option(x, fd, level, name, value, len);
}

int mr_sock_name(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len)
{
	return addr && len ? x->backend->sock_name(x, fd, addr, len) : -EINVAL;
}

int mr_sock_peer(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len)
{
	return addr && len ? x->backend->sock_peer(x, fd, addr, len) : -EINVAL;
}

int mr_sock_queues(struct mr_context *x, int fd, struct mr_sock_queues *out)
{
	*out = (struct mr_sock_queues){ 0 };
	return x->backend->sock_queues(x, fd, out);
}
