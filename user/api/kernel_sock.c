/* SPDX-License-Identifier: MIT */
/* Backend "kernel": each call is the kernel's, held so that mr_sock_close() can end it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>

#include "user/api/kernel.h"

enum { PIECES = 64 };

/* What the kernel says of a call, unless it was woken because the descriptor closes. */
static ssize_t leave(struct kernel_context *x, int fd, uint64_t as, ssize_t result)
{
	bool closing = kernel_is_closing(x, fd);

	kernel_release(x, fd, as);
	return closing && result <= 0 ? -EBADF : result;
}

/* SO_RCVTIMEO or SO_SNDTIMEO in nanoseconds, 0: none */
static int64_t timeout_ns(int fd, int option)
{
	struct timeval limit = { 0 };
	socklen_t len = sizeof(limit);

	if (getsockopt(fd, SOL_SOCKET, option, &limit, &len))
		return 0;
	return (int64_t)limit.tv_sec * 1000000000 + limit.tv_usec * 1000;
}

/*
 * A signal ended a call with *@result -EINTR: is it to be made again? The kernel counts the
 * socket's time-out anew with every call, so signals that come often are not to make it endless:
 * *@end_ns, 0 at first, is when it is over, counted from the first of them. Then *@result is @late.
 */
static bool is_again(struct kernel_context *x, int fd, int option, int64_t *end_ns, ssize_t *result,
		     int late)
{
	struct timespec t;
	int64_t now_ns, limit_ns;

	if (*result != -EINTR || kernel_is_closing(x, fd))
		return false;
	limit_ns = timeout_ns(fd, option);
	if (!limit_ns)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &t);
	now_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	if (!*end_ns)
		*end_ns = now_ns + limit_ns;
	if (now_ns < *end_ns)
		return true;
	*result = late;
	return false;
}

static int negative(int result)
{
	return result < 0 ? -errno : result;
}

int kernel_sock_open(struct mr_context *x, int domain, int type, int protocol)
{
	int fd = socket(domain, type | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : kernel_adopt(kernel_of(x), fd);
}

int kernel_sock_bind(struct mr_context *context, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct kernel_context *x = kernel_of(context);
	int on = 1;
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	/* Before bind(), or the port is this socket's alone. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	result = negative(bind(fd, addr, len));
	return (int)leave(x, fd, KERNEL_WRITER, result);
}

static bool is_bound(int fd)
{
	struct sockaddr_in6 name = { 0 };
	socklen_t len = sizeof(name);

	/* The port stands at the same place in both families. */
	return !getsockname(fd, (struct sockaddr *)&name, &len) && name.sin6_port;
}

int kernel_sock_listen(struct mr_context *context, int fd, int backlog)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	/* The kernel would choose a port that nobody knows. */
	result = is_bound(fd) ? negative(listen(fd, backlog)) : -EDESTADDRREQ;
	return (int)leave(x, fd, KERNEL_WRITER, result);
}

/* accept(2) hands over errors of the network that are no affair of the listener's. */
static bool is_of_network(int err)
{
	return err == ECONNABORTED || err == EPROTO || err == ENETDOWN || err == ENOPROTOOPT ||
	       err == EHOSTDOWN || err == ENONET || err == EHOSTUNREACH || err == ENETUNREACH;
}

int kernel_sock_accept(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len,
		       int flags)
{
	struct kernel_context *x = kernel_of(context);
	ssize_t result = kernel_hold(x, fd, KERNEL_READER);
	int64_t end_ns = 0;

	if (result)
		return (int)result;
	do
		result = negative(accept4(fd, addr, len, flags | SOCK_CLOEXEC));
	while (is_of_network((int)-result) ||
	       is_again(x, fd, SO_RCVTIMEO, &end_ns, &result, -EAGAIN));
	if (result < 0)
		return (int)leave(x, fd, KERNEL_READER, result);
	kernel_release(x, fd, KERNEL_READER);
	return kernel_adopt(x, (int)result);
}

/*
 * connect(2) that a signal interrupted goes on by itself: another call waits for its end, where
 * one after the end says how it ended.
 */
int kernel_sock_connect(struct mr_context *context, int fd, const struct sockaddr *addr,
			socklen_t len)
{
	struct kernel_context *x = kernel_of(context);
	ssize_t result = kernel_hold(x, fd, KERNEL_WRITER);
	int64_t end_ns = 0;

	if (result)
		return (int)result;
	do
		result = negative(connect(fd, addr, len));
	while (is_again(x, fd, SO_SNDTIMEO, &end_ns, &result, -EINPROGRESS));
	return (int)leave(x, fd, KERNEL_WRITER, result);
}

/* Would a call on @fd sleep for as long as it takes? */
static bool waits_for_ever(int fd, int flags, int timeout_option)
{
	return !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK) &&
	       !timeout_ns(fd, timeout_option);
}

static size_t bytes_of(const struct iovec *iov, int n)
{
	size_t sum = 0;

	while (n-- > 0)
		sum += iov++->iov_len;
	return sum;
}

/* Up to PIECES of @iov from byte @done on; returns how many. */
static int rest_of(const struct iovec *iov, int n, size_t done, struct iovec *rest)
{
	int i = 0, count = 0;

	for (; i < n && done >= iov[i].iov_len; i++)
		done -= iov[i].iov_len;
	for (; i < n && count < PIECES; i++, count++) {
		rest[count].iov_base = (char *)iov[i].iov_base + done;
		rest[count].iov_len = iov[i].iov_len - done;
		done = 0;
	}
	return count;
}

static ssize_t send_once(int fd, const struct iovec *iov, int n, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	ssize_t sent = n == 1 ? send(fd, iov->iov_base, iov->iov_len, flags | MSG_NOSIGNAL)
			      : sendmsg(fd, &m, flags | MSG_NOSIGNAL);

	return sent < 0 ? -errno : sent;
}

static ssize_t recv_once(int fd, const struct iovec *iov, int n, int flags)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	ssize_t got = n == 1 ? recv(fd, iov->iov_base, iov->iov_len, flags)
			     : recvmsg(fd, &m, flags);

	return got < 0 ? -errno : got;
}

/* An error that waits is not to be taken by the call for the rest: the caller's next one has it. */
static bool has_error(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP));
}

/*
 * A signal cut a call short behind @done bytes of @len: go on, on a socket that would have slept
 * for all of them. An end of the stream or an error cuts it short, too.
 */
static ssize_t send_rest(struct kernel_context *x, int fd, const struct iovec *iov, int n,
			 int flags, ssize_t done, size_t len)
{
	struct iovec rest[PIECES];
	ssize_t sent;

	if (!waits_for_ever(fd, flags, SO_SNDTIMEO))
		return done;
	while ((size_t)done < len && !kernel_is_closing(x, fd) && !has_error(fd)) {
		int count = rest_of(iov, n, (size_t)done, rest);

		sent = send_once(fd, rest, count, flags);
		if (sent > 0)
			done += sent;
		else if (sent != -EINTR)
			break;
	}
	return done;
}

ssize_t kernel_sock_sendv(struct mr_context *context, int fd, const struct iovec *iov, int n,
			  int flags)
{
	struct kernel_context *x = kernel_of(context);
	size_t len = bytes_of(iov, n);
	ssize_t sent = kernel_hold(x, fd, KERNEL_WRITER);
	int64_t end_ns = 0;

	if (sent)
		return sent;
	do
		sent = send_once(fd, iov, n, flags);
	while (is_again(x, fd, SO_SNDTIMEO, &end_ns, &sent, -EAGAIN));
	if (sent > 0 && (size_t)sent < len)
		sent = send_rest(x, fd, iov, n, flags, sent, len);
	return leave(x, fd, KERNEL_WRITER, sent);
}

static bool has_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) != 0;
}

static ssize_t recv_rest(struct kernel_context *x, int fd, const struct iovec *iov, int n,
			 int flags, ssize_t done, size_t len)
{
	struct iovec rest[PIECES];
	int waiting = 0;
	ssize_t got;

	if (!waits_for_ever(fd, flags, SO_RCVTIMEO))
		return done;
	while ((size_t)done < len && !kernel_is_closing(x, fd)) {
		if (has_ended(fd) && (ioctl(fd, FIONREAD, &waiting) || !waiting))
			break;
		got = recv_once(fd, rest, rest_of(iov, n, (size_t)done, rest), flags);
		if (got > 0)
			done += got;
		else if (got != -EINTR)
			break;
	}
	return done;
}

ssize_t kernel_sock_recvv(struct mr_context *context, int fd, const struct iovec *iov, int n,
			  int flags)
{
	const int whole = MSG_WAITALL | MSG_PEEK;
	struct kernel_context *x = kernel_of(context);
	ssize_t got = kernel_hold(x, fd, KERNEL_READER);
	int64_t end_ns = 0;

	if (got)
		return got;
	do
		got = recv_once(fd, iov, n, flags);
	while (is_again(x, fd, SO_RCVTIMEO, &end_ns, &got, -EAGAIN));
	if (got > 0 && (flags & whole) == MSG_WAITALL && (size_t)got < bytes_of(iov, n))
		got = recv_rest(x, fd, iov, n, flags, got, bytes_of(iov, n));
	return leave(x, fd, KERNEL_READER, got);
}

int kernel_sock_shutdown(struct mr_context *context, int fd, int how)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	return (int)leave(x, fd, KERNEL_WRITER, negative(shutdown(fd, how)));
}

int kernel_sock_close(struct mr_context *x, int fd)
{
	int err = kernel_take(kernel_of(x), fd);

	if (!err)
		close(fd); /* whatever it says, the descriptor is free */
	return err;
}

int kernel_sock_abort(struct mr_context *x, int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	int err = kernel_take(kernel_of(x), fd);

	if (err)
		return err;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	return 0;
}

int kernel_sock_blocking(struct mr_context *context, int fd, bool on)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);
	int flags;

	if (result)
		return result;
	flags = fcntl(fd, F_GETFL);
	result = negative(fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK));
	return (int)leave(x, fd, KERNEL_WRITER, result);
}

int kernel_sock_set_option(struct mr_context *context, int fd, int level, int name,
			   const void *value, socklen_t len)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	return (int)leave(x, fd, KERNEL_WRITER, negative(setsockopt(fd, level, name, value, len)));
}

int kernel_sock_option(struct mr_context *context, int fd, int level, int name, void *value,
		       socklen_t *len)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	return (int)leave(x, fd, KERNEL_WRITER, negative(getsockopt(fd, level, name, value, len)));
}

int kernel_sock_name(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	return (int)leave(x, fd, KERNEL_WRITER, negative(getsockname(fd, addr, len)));
}

int kernel_sock_peer(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len)
{
	struct kernel_context *x = kernel_of(context);
	int result = kernel_hold(x, fd, KERNEL_WRITER);

	if (result)
		return result;
	return (int)leave(x, fd, KERNEL_WRITER, negative(getpeername(fd, addr, len)));
}
