/* SPDX-License-Identifier: MIT */
/*
 * select(2) over poll(2), as the kernel makes both of the same readiness: a descriptor is readable
 * on POLLIN, hang-up and error, writable on POLLOUT and error, exceptional on POLLPRI. poll() also
 * reports hang-up and error where nobody asked, select() sleeps on: such descriptors are left out
 * of the rest of the wait.
 */
#include <errno.h>
#include <limits.h>
#include <time.h>

#include "user/api/backend.h"

enum {
	READABLE = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
	WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One pollfd for each descriptor that is in a set. */
static nfds_t gather(struct pollfd *fds, int n, const fd_set *in, const fd_set *out,
		     const fd_set *except)
{
	nfds_t count = 0;
	int fd;

	for (fd = 0; fd < n; fd++) {
		short events = (short)((in && FD_ISSET(fd, in) ? POLLIN : 0) |
				       (out && FD_ISSET(fd, out) ? POLLOUT : 0) |
				       (except && FD_ISSET(fd, except) ? POLLPRI : 0));

		if (events)
			fds[count++] = (struct pollfd){ .fd = fd, .events = events };
	}
	return count;
}

/* Of what was asked for @p, the bits that select() would report; -EBADF. */
static int reported(const struct pollfd *p)
{
	int bits = 0;

	if (p->revents & POLLNVAL)
		return -EBADF;
	if ((p->events & POLLIN) && (p->revents & READABLE))
		bits |= POLLIN;
	if ((p->events & POLLOUT) && (p->revents & WRITABLE))
		bits |= POLLOUT;
	if ((p->events & POLLPRI) && (p->revents & POLLPRI))
		bits |= POLLPRI;
	return bits;
}

/* How many bits are set in all three sets; what poll() told of in vain is asked for no more. */
static int count_reported(struct pollfd *fds, nfds_t n)
{
	int total = 0;
	nfds_t i;

	for (i = 0; i < n; i++) {
		int bits = fds[i].fd < 0 ? 0 : reported(&fds[i]);

		if (bits < 0)
			return bits;
		if (!bits && fds[i].revents)
			fds[i].fd = -1;
		total += __builtin_popcount((unsigned int)bits);
	}
	return total;
}

static void spread(const struct pollfd *fds, nfds_t n, fd_set *in, fd_set *out, fd_set *except)
{
	nfds_t i;

	if (in)
		FD_ZERO(in);
	if (out)
		FD_ZERO(out);
	if (except)
		FD_ZERO(except);
	for (i = 0; i < n; i++) {
		int bits = fds[i].fd < 0 ? 0 : reported(&fds[i]);

		if (bits & POLLIN)
			FD_SET(fds[i].fd, in);
		if (bits & POLLOUT)
			FD_SET(fds[i].fd, out);
		if (bits & POLLPRI)
			FD_SET(fds[i].fd, except);
	}
}

/* Milliseconds up to @end_us, rounded up; poll() takes no more than INT_MAX. */
static int left_ms(int64_t end_us)
{
	int64_t left = (end_us - now_us() + 999) / 1000;

	return left < 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

static void tell_rest(struct timeval *timeout, int64_t end_us)
{
	int64_t left = end_us - now_us();

	if (left < 0)
		left = 0;
	timeout->tv_sec = left / 1000000;
	timeout->tv_usec = left % 1000000;
}

int mr_select(struct mr_context *x, int n, fd_set *in, fd_set *out, fd_set *except,
	      struct timeval *timeout)
{
	struct pollfd fds[FD_SETSIZE];
	int64_t end_us = 0;
	nfds_t count;
	int ready;

	if (n < 0 || n > FD_SETSIZE)
		return -EINVAL;
	if (timeout) {
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000)
			return -EINVAL;
		end_us = timeout->tv_sec > INT64_MAX / 4000000
				 ? INT64_MAX / 2
				 : now_us() + timeout->tv_sec * 1000000 + timeout->tv_usec;
	}
	count = gather(fds, n, in, out, except);
	do {
		ready = x->backend->poll(x, fds, count, timeout ? left_ms(end_us) : -1);
		if (ready > 0)
			ready = count_reported(fds, count);
	} while (!ready && (!timeout || left_ms(end_us) > 0));
	if (ready >= 0)
		spread(fds, count, in, out, except);
	if (timeout)
		tell_rest(timeout, end_us);
	return ready;
}
