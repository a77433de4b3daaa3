/* SPDX-License-Identifier: MIT */
/*
 * Readiness: epoll(7) over the sockets of a context, with the same events (EPOLLIN, EPOLLOUT,
 * EPOLLRDHUP, EPOLLHUP, EPOLLERR, EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE) and the same semantics,
 * spurious readiness and EPERM for regular files included; poll(2) and select(2) on top of it.
 *
 * Any thread may add, modify, remove and wait on one set. An event of a level-triggered descriptor
 * wakes one waiter; EPOLLONESHOT gives a descriptor to one thread until it is armed again.
 */
#ifndef MILLRACE_SET_H
#define MILLRACE_SET_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include <millrace/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_set;

/** mr_set_new() - an empty set, given back by mr_set_free(). Return: 0, or -ENOMEM, -EMFILE */
int mr_set_new(struct mr_context *x, struct mr_set **out);

/** mr_set_free() - nobody may wait on it any more; its sockets stay open. NULL is allowed */
void mr_set_free(struct mr_set *s);

/**
 * mr_set_add(), mr_set_modify(), mr_set_remove() - epoll_ctl(2)
 * @fd:		a socket of the set's context
 * @events:	EPOLL bits
 * @data:	given back with each event
 *
 * Also from within the handling of the set's events, and while others wait.
 *
 * Return: 0, or -EBADF, -EEXIST, -ENOENT, -EINVAL, -EPERM, -ENOMEM
 */
int mr_set_add(struct mr_set *s, int fd, uint32_t events, epoll_data_t data);
int mr_set_modify(struct mr_set *s, int fd, uint32_t events, epoll_data_t data);
int mr_set_remove(struct mr_set *s, int fd);

/**
 * mr_set_add_kernel(), ... - the same for descriptors of the kernel: files, pipes, eventfds
 *
 * On "kernel" the same as above.
 */
int mr_set_add_kernel(struct mr_set *s, int fd, uint32_t events, epoll_data_t data);
int mr_set_modify_kernel(struct mr_set *s, int fd, uint32_t events, epoll_data_t data);
int mr_set_remove_kernel(struct mr_set *s, int fd);

/**
 * mr_set_wait() - epoll_wait(2)
 * @events:	out: up to @most
 * @timeout_ms:	0: do not sleep; -1: for ever
 *
 * Return: events written, 0: the time is over; or -EINVAL, -EINTR (a signal handler ran)
 */
int mr_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms);

/**
 * mr_set_fd() - a descriptor of the kernel's that is readable while the set has events
 *
 * For event loops of others (libuv, libev, GLib): watch it, then call mr_set_wait() with a
 * time-out of 0 until it gives fewer than was asked for. The set keeps it.
 */
int mr_set_fd(struct mr_set *s);

/**
 * mr_poll() - poll(2) over sockets of @x; a negative fd is skipped
 *
 * "kernel" takes any descriptor. Return: as poll(2), with -EINTR, -EINVAL, -ENOMEM
 */
int mr_poll(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms);

/**
 * mr_select() - select(2) over sockets of @x below FD_SETSIZE (1,024)
 * @n:		one more than the highest descriptor in the sets, at most FD_SETSIZE
 * @timeout:	NULL: for ever; out: what is left of it
 *
 * Return: bits set in all three sets, 0: the time is over; or, with the sets as they were, -EINVAL,
 *	   -EBADF (a set has a descriptor that is none), -EINTR
 */
int mr_select(struct mr_context *x, int n, fd_set *in, fd_set *out, fd_set *except,
	      struct timeval *timeout);

#ifdef __cplusplus
}
#endif
#endif
