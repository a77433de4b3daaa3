/* SPDX-License-Identifier: MIT */
/* Public functions of sets, and poll(2); select.c has select(2), which is made of poll. */
#include <errno.h>

#include "user/api/backend.h"

int mr_set_new(struct mr_context *x, struct mr_set **out)
{
	return x->backend->set_new(x, out);
}

void mr_set_free(struct mr_set *s)
{
	if (s)
		s->context->backend->set_free(s);
}

static int change(struct mr_set *s, int op, int fd, bool kernel, uint32_t events, epoll_data_t data)
{
	struct epoll_event event = { .events = events, .data = data };

	return s->context->backend->set_change(s, op, fd, kernel, &event);
}

static int take_out(struct mr_set *s, int fd, bool kernel)
{
	return change(s, EPOLL_CTL_DEL, fd, kernel, 0, (epoll_data_t){ .u64 = 0 });
}

int mr_set_add(struct mr_set *s, int fd, uint32_t events, epoll_data_t data)
{
	return change(s, EPOLL_CTL_ADD, fd, false, events, data);
}

int mr_set_modify(struct mr_set *s, int fd, uint32_t events, epoll_data_t data)
{
	return change(s, EPOLL_CTL_MOD, fd, false, events, data);
}

int mr_set_remove(struct mr_set *s, int fd)
{
	return take_out(s, fd, false);
}

int mr_set_add_kernel(struct mr_set *s, int fd, uint32_t events, epoll_data_t data)
{
	return change(s, EPOLL_CTL_ADD, fd, true, events, data);
}

int mr_set_modify_kernel(struct mr_set *s, int fd, uint32_t events, epoll_data_t data)
{
	return change(s, EPOLL_CTL_MOD, fd, true, events, data);
}

int mr_set_remove_kernel(struct mr_set *s, int fd)
{
	return take_out(s, fd, true);
}

int mr_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms)
{
	if (!events || most < 1)
		return -EINVAL;
	return s->context->backend->set_wait(s, events, most, timeout_ms < 0 ? -1 : timeout_ms);
}

int mr_set_fd(struct mr_set *s)
{
	return s->context->backend->set_fd(s);
}

int mr_poll(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return x->backend->poll(x, fds, n, timeout_ms < 0 ? -1 : timeout_ms);
}
