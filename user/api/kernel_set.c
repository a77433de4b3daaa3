/* SPDX-License-Identifier: MIT */
/* Backend "kernel": a set is an epoll(7) descriptor. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/api/kernel.h"

int kernel_set_new(struct mr_context *context, struct mr_set **out)
{
	struct kernel_context *x = kernel_of(context);
	struct kernel_set *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->set.context = context;
	s->fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->fd < 0) {
		int err = -errno;

		free(s);
		return err;
	}
	pthread_mutex_lock(&x->lock);
	s->next = x->sets;
	x->sets = s;
	pthread_mutex_unlock(&x->lock);
	*out = &s->set;
	return 0;
}

void kernel_set_free(struct mr_set *set)
{
	struct kernel_context *x = kernel_of(set->context);
	struct kernel_set *s = kernel_set_of(set);
	struct kernel_set **at;

	pthread_mutex_lock(&x->lock);
	for (at = &x->sets; *at != s; at = &(*at)->next)
		;
	*at = s->next;
	pthread_mutex_unlock(&x->lock);
	close(s->fd);
	free(s);
}

int kernel_set_change(struct mr_set *set, int op, int fd, bool kernel,
		      const struct epoll_event *event)
{
	struct kernel_context *x = kernel_of(set->context);
	struct epoll_event copy = *event;
	int err = kernel ? 0 : kernel_hold(x, fd, KERNEL_WRITER);

	if (err)
		return err;
	err = epoll_ctl(kernel_set_of(set)->fd, op, fd, &copy) ? -errno : 0;
	if (!kernel)
		kernel_release(x, fd, KERNEL_WRITER);
	return err;
}

int kernel_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms)
{
	int n = epoll_wait(kernel_set_of(s)->fd, events, most, timeout_ms);

	return n < 0 ? -errno : n;
}

int kernel_set_fd(struct mr_set *s)
{
	return kernel_set_of(s)->fd;
}

int kernel_poll(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	int ready = poll(fds, n, timeout_ms);

	(void)x;
	return ready < 0 ? -errno : ready;
}

/*
 * The kernel takes a descriptor out of its sets when the last process closes it. A set that came by
 * fork() is the other process's as well, which may want the socket still.
 */
void kernel_sets_forget(struct kernel_context *x, int fd)
{
	struct epoll_event none = { 0 };
	struct kernel_set *s;

	pthread_mutex_lock(&x->lock);
	for (s = x->sets; s; s = s->next)
		if (!s->inherited)
			epoll_ctl(s->fd, EPOLL_CTL_DEL, fd, &none);
	pthread_mutex_unlock(&x->lock);
}
