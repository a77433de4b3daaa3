// SPDX-License-Identifier: MIT
/* poll() and epoll. */
#include "tests/script/so/so.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "user/lane/internal.h"

/* As Linux's sk_stream_is_writeable(): a third of the buffer is free; and TCP_NOTSENT_LOWAT. */
static bool is_writable(const struct so *s, const struct so_sock *k, const struct mr_conn *c)
{
	uint32_t queued = c->tx_bytes + (uint32_t)k->n_held;
	uint32_t flight = mr_conn_flight(&s->lane->tcp, c);
	uint32_t unsent = queued > flight ? queued - flight : 0;
	size_t room = so_send_room(s, k);

	return room && room >= queued / 2 && unsent < k->notsent_lowat;
}

static uint32_t stream_events(const struct so *s, const struct so_sock *k)
{
	const struct mr_conn *c = so_conn_of(s, k);
	bool fin = c ? (c->flags & MR_CONN_FIN_RECEIVED) != 0 : k->kind == SO_DEAD;
	uint32_t events = 0;

	if (k->error || k->has_notice)
		events |= EPOLLERR;
	if (fin || k->shut_rd)
		events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (c ? c->rx_bytes >= k->rcvlowat : so_unread(s, k) != 0)
		events |= EPOLLIN | EPOLLRDNORM;
	if (k->kind == SO_DEAD || ((fin || k->shut_rd) && k->shut_wr))
		events |= EPOLLHUP;
	if (k->kind == SO_DEAD || k->shut_wr || (c && is_writable(s, k, c)))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

uint32_t so_events(const struct so *s, const struct so_sock *k)
{
	switch (k->kind) {
	case SO_FRESH:
		return EPOLLOUT | EPOLLWRNORM | EPOLLHUP;
	case SO_LISTENING:
		return k->queue ? EPOLLIN | EPOLLRDNORM : 0;
	case SO_CONNECTED:
	case SO_DEAD:
		return stream_events(s, k);
	case SO_CONNECTING:
	case SO_EPOLL:
		break;
	}
	return 0;
}

static uint64_t deadline_of(const struct so *s, int timeout_ms)
{
	return timeout_ms < 0 ? SO_NEVER : so_now(s) + (uint64_t)timeout_ms * SO_MS;
}

/* ----- poll ----- */

struct poll_call {
	struct so *s;
	struct pollfd *fds;
	nfds_t n;
};

static int poll_once(const struct poll_call *p)
{
	int ready = 0;

	for (nfds_t i = 0; i < p->n; i++) {
		struct pollfd *f = &p->fds[i];
		const struct so_sock *k = so_sock_of(p->s, f->fd);

		if (f->fd < 0)
			f->revents = 0;
		else if (!k)
			f->revents = POLLNVAL;
		else
			f->revents = (short)(so_events(p->s, k) &
					     ((uint32_t)f->events | POLLERR | POLLHUP));
		ready += f->revents != 0;
	}
	return ready;
}

static bool poll_can_go(void *arg)
{
	return poll_once(arg) > 0;
}

int so_poll(void *u, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct so *s = u;
	struct poll_call p = { s, fds, n };
	int ready;

	so_lock(s);
	so_run(s);
	so_wait(s, poll_can_go, &p, deadline_of(s, timeout_ms));
	ready = poll_once(&p);
	so_unlock(s);
	return ready;
}

/* ----- epoll ----- */

int so_epoll_create(void *u, int size)
{
	struct so *s = u;
	struct so_sock *k;

	if (size <= 0) {
		errno = EINVAL;
		return -1;
	}
	so_lock(s);
	k = so_sock_new(s, SO_EPOLL, AF_UNSPEC);
	if (k) {
		k->watch = calloc(SO_WATCHES, sizeof(*k->watch));
		for (int i = 0; k->watch && i < SO_WATCHES; i++)
			k->watch[i].fd = -1;
	}
	so_unlock(s);
	return k && k->watch ? k->fd : -1;
}

static struct so_watch *watch_of(const struct so_sock *set, int fd)
{
	for (int i = 0; i < SO_WATCHES; i++)
		if (set->watch[i].fd == fd)
			return &set->watch[i];
	return NULL;
}

static int control(struct so *s, const struct so_sock *set, int op, int fd,
		   const struct epoll_event *event)
{
	struct so_watch *w = watch_of(set, fd);

	if (!so_sock_of(s, fd))
		return EBADF;
	switch (op) {
	case EPOLL_CTL_ADD:
		if (w)
			return EEXIST;
		w = watch_of(set, -1);
		if (!w)
			return ENOSPC;
		break;
	case EPOLL_CTL_MOD:
	case EPOLL_CTL_DEL:
		if (!w)
			return ENOENT;
		break;
	default:
		return EINVAL;
	}
	if (op == EPOLL_CTL_DEL)
		w->fd = -1;
	else
		*w = (struct so_watch){ .fd = fd, .event = *event, .seen = UINT64_MAX };
	return 0;
}

int so_epoll_ctl(void *u, int epfd, int op, int fd, struct epoll_event *event)
{
	struct so *s = u;
	const struct so_sock *set;
	int error = EBADF;

	so_lock(s);
	so_run(s);
	set = so_sock_of(s, epfd);
	if (set)
		error = set->kind == SO_EPOLL ? control(s, set, op, fd, event) : EINVAL;
	so_unlock(s);
	errno = error;
	return error ? -1 : 0;
}

struct epoll_call {
	struct so *s;
	const struct so_sock *set;
	struct epoll_event *events;
	int max;
};

static uint32_t ready_events(const struct epoll_call *e, const struct so_watch *w)
{
	const struct so_sock *k = w->fd >= 0 ? so_sock_of(e->s, w->fd) : NULL;

	if (!k || w->disabled || (w->event.events & EPOLLET && w->seen == k->wake_gen))
		return 0;
	return so_events(e->s, k) & (w->event.events | EPOLLERR | EPOLLHUP);
}

static bool epoll_can_go(void *arg)
{
	const struct epoll_call *e = arg;

	for (int i = 0; i < SO_WATCHES; i++)
		if (ready_events(e, &e->set->watch[i]))
			return true;
	return false;
}

static int collect(const struct epoll_call *e)
{
	int n = 0;

	for (int i = 0; i < SO_WATCHES && n < e->max; i++) {
		struct so_watch *w = &e->set->watch[i];
		uint32_t events = ready_events(e, w);

		if (!events)
			continue;
		w->seen = so_sock_of(e->s, w->fd)->wake_gen;
		w->disabled = w->event.events & EPOLLONESHOT;
		e->events[n] = w->event;
		e->events[n++].events = events;
	}
	return n;
}

int so_epoll_wait(void *u, int epfd, struct epoll_event *events, int max, int timeout_ms)
{
	struct so *s = u;
	struct epoll_call e = { .s = s, .events = events, .max = max };
	int n = -1;

	so_lock(s);
	so_run(s);
	e.set = so_sock_of(s, epfd);
	if (e.set && (e.set->kind != SO_EPOLL || max <= 0)) {
		errno = EINVAL;
	} else if (e.set) {
		so_wait(s, epoll_can_go, &e, deadline_of(s, timeout_ms));
		n = collect(&e);
	}
	so_unlock(s);
	return n;
}
