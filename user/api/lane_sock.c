/* SPDX-License-Identifier: MIT */
/* Sockets over channels: their life from socket(2) to close(2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "user/api/lane.h"

/* ----- objects and descriptors ----- */

struct lane_sock *lane_sock_new(struct lane_context *x, int domain)
{
	struct lane_sock *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->x = x;
	s->fd = -1;
	s->domain = domain;
	s->blocking = true;
	s->corked = MR_NONE;
	s->last = &s->first;
	s->id = x->next_id++;
	lane_options_default(&s->o);
	return s;
}

static void drop_unread(struct lane_sock *s)
{
	while (s->first) {
		struct lane_piece *p = s->first;

		s->first = p->next;
		lane_piece_free(s->x, s->link, p);
	}
	s->last = &s->first;
	s->unread = 0;
}

static void disown_buffers(struct lane_sock *s)
{
	for (uint32_t i = 0; s->held && i < s->link->c.sizes.send_buffers; i++)
		if (s->link->send_owner[i] == s) {
			s->link->send_owner[i] = NULL;
			s->held--;
		}
}

/* Freed when nobody can name it any more: program, lane, calls and answers. */
void lane_sock_done(struct lane_sock *s)
{
	if (s->fd >= 0 || s->conn || s->calls || s->owed || s->listener)
		return;
	drop_unread(s);
	disown_buffers(s);
	lane_entries_drop(s);
	free(s);
}

int lane_fd_give(struct lane_context *x, struct lane_sock *s)
{
	unsigned int i = 0;

	while (i < x->n_fds && x->fd[i])
		i++;
	if (i == x->n_fds) {
		unsigned int n = x->n_fds ? x->n_fds * 2 : 64;
		struct lane_sock **more = realloc(x->fd, n * sizeof(struct lane_sock *));

		if (!more)
			return -ENOMEM;
		memset(more + x->n_fds, 0, (n - x->n_fds) * sizeof(struct lane_sock *));
		x->fd = more;
		x->n_fds = n;
	}
	x->fd[i] = s;
	s->fd = (int)i;
	return s->fd;
}

int lane_sock_open(struct mr_context *context, int domain, int type, int protocol)
{
	struct lane_context *x = lane_of(context);
	struct lane_sock *s;
	int fd;

	(void)protocol;
	lane_lock(x);
	s = lane_sock_new(x, domain);
	fd = s ? lane_fd_give(x, s) : -ENOMEM;
	if (s)
		s->blocking = !(type & SOCK_NONBLOCK);
	if (s && fd < 0)
		free(s);
	lane_unlock(x);
	return fd;
}

int lane_sock_blocking(struct mr_context *context, int fd, bool on)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	if (!s)
		return -EBADF;
	s->blocking = on;
	return lane_leave(s->x, s, 0);
}

/* ----- addresses ----- */

static int read_address(const struct lane_sock *s, const struct sockaddr *addr, uint8_t to[16],
			struct mr_be16 *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

	if (addr->sa_family != s->domain)
		return -EAFNOSUPPORT;
	memset(to, 0, 16);
	if (addr->sa_family == AF_INET6) {
		memcpy(to, &in6->sin6_addr, 16);
		port->raw = in6->sin6_port;
		return 0;
	}
	port->raw = in->sin_port;
	if (in->sin_addr.s_addr == htonl(INADDR_ANY))
		return 0;
	to[10] = to[11] = 0xff;
	memcpy(to + 12, &in->sin_addr, 4);
	return 0;
}

static int bind_locked(struct lane_sock *s, const struct sockaddr *addr)
{
	uint8_t local[16];
	struct mr_be16 port;
	int err;

	if (s->bound || s->state != LANE_FRESH)
		return -EINVAL;
	err = read_address(s, addr, local, &port);
	if (err < 0)
		return err;
	memcpy(s->end.local, local, sizeof(local));
	s->end.local_port = port;
	s->bound = true;
	return 0;
}

int lane_sock_bind(struct mr_context *context, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	(void)len;
	return s ? lane_leave(s->x, s, bind_locked(s, addr)) : -EBADF;
}

/* ----- listeners ----- */

static void tell_links(struct lane_sock *s, struct mr_attach_record *r)
{
	struct lane_context *x = s->x;

	r->user = s->id;
	for (unsigned int i = 0; i < x->n_links; i++) {
		if (!x->link[i]->serves)
			continue;
		s->owed += r->op == MR_ATTACH_LISTEN;
		lane_command(x, x->link[i], r);
	}
}

static void unlist(struct lane_sock *s)
{
	struct lane_sock **at = &s->x->listeners;

	while (*at && *at != s)
		at = &(*at)->next_listener;
	if (*at)
		*at = s->next_listener;
}

static int listen_locked(struct lane_sock *s, int backlog)
{
	struct mr_attach_record r = { .op = MR_ATTACH_LISTEN, .value = (uint32_t)backlog };
	int err;

	if (s->state == LANE_LISTENS) {
		s->backlog = backlog;
		return 0;
	}
	if (s->state != LANE_FRESH)
		return -EINVAL;
	if (!s->bound)
		return -EDESTADDRREQ;
	r.n = s->domain == AF_INET ? 4 : 0;
	r.end = s->end;
	s->next_listener = s->x->listeners;
	s->x->listeners = s;
	tell_links(s, &r);
	while (s->owed)
		lane_wait(s->x, s, LANE_NEVER, -1);
	err = s->error;
	s->error = 0;
	if (!err) {
		s->state = LANE_LISTENS;
		s->backlog = backlog;
		return 0;
	}
	r.op = MR_ATTACH_UNLISTEN;
	tell_links(s, &r);
	unlist(s);
	return -err;
}

int lane_sock_listen(struct mr_context *context, int fd, int backlog)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	return s ? lane_leave(s->x, s, listen_locked(s, backlog)) : -EBADF;
}

/* A connection stands in its listener's queue from now on. */
void lane_accept_next(struct lane_sock *s)
{
	struct lane_sock **at = &s->listener->queue;

	while (*at)
		at = &(*at)->queue_next;
	*at = s;
	s->waiting = 1;
	s->listener->waiting++;
	lane_wake(s->listener, EPOLLIN | EPOLLRDNORM);
}

/* It waits no more: accepted, or gone. */
static void leave_queue(struct lane_sock *s)
{
	struct lane_sock *listener = s->listener, **at = &listener->queue;

	while (*at && *at != s)
		at = &(*at)->queue_next;
	if (*at) {
		*at = s->queue_next;
		listener->waiting--;
	}
	s->queue_next = NULL;
	s->waiting = 0;
	s->listener = NULL;
	lane_command(s->x, s->link,
		     &(struct mr_attach_record){ .op = MR_ATTACH_ACCEPTED, .user = listener->id });
}

void lane_forget(struct lane_sock *s)
{
	leave_queue(s);
	lane_sock_done(s);
}

static int accept_locked(struct lane_sock *s, int flags, struct lane_sock **out)
{
	uint64_t until = lane_until(s->x, &s->o.receive_timeout);
	int fd;

	if (s->state != LANE_LISTENS)
		return -EINVAL;
	while (!s->queue) {
		if (!s->blocking)
			return -EAGAIN;
		if (lane_wait(s->x, s, until, -1) < 0)
			return -EAGAIN;
		if (s->fd < 0)
			return -EBADF;
	}
	fd = lane_fd_give(s->x, s->queue);
	if (fd < 0)
		return fd;
	*out = s->queue;
	(*out)->blocking = !(flags & SOCK_NONBLOCK);
	leave_queue(*out);
	return fd;
}

int lane_sock_accept(struct mr_context *context, int fd, struct sockaddr *addr, socklen_t *len,
		     int flags)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd), *conn = NULL;
	int got;

	if (!s)
		return -EBADF;
	got = accept_locked(s, flags, &conn);
	if (got >= 0 && addr)
		lane_name_write(conn, true, addr, len);
	return lane_leave(s->x, s, got);
}

/* ----- connecting ----- */

static struct lane_link *choose_link(struct lane_context *x)
{
	for (unsigned int i = 0; i < x->n_links; i++) {
		struct lane_link *k = x->link[x->next_link++ % x->n_links];

		if (k->connects)
			return k;
	}
	return NULL;
}

static int may_connect(struct lane_sock *s)
{
	int error = s->error;

	switch (s->state) {
	case LANE_LISTENS:
	case LANE_OPEN:
		return -EISCONN;
	case LANE_CONNECTING:
		return -EALREADY;
	case LANE_GONE:
		if (s->was_open)
			return -EISCONN;
		s->error = 0;
		s->eof = false;
		s->state = LANE_FRESH;
		return -error;
	case LANE_FRESH:
		return 0;
	}
	return -EINVAL;
}

static int await_connect(struct lane_sock *s)
{
	uint64_t until = lane_until(s->x, &s->o.send_timeout);

	while (s->state == LANE_CONNECTING) {
		if (lane_wait(s->x, s, until, -1) < 0)
			return -EINPROGRESS;
		if (s->fd < 0)
			return -EBADF;
	}
	return s->state == LANE_OPEN ? 0 : may_connect(s);
}

static int connect_locked(struct lane_sock *s, const struct sockaddr *addr)
{
	struct mr_attach_record r = { .op = MR_ATTACH_CONNECT, .user = (uintptr_t)s };
	struct lane_link *k = choose_link(s->x);
	int err = may_connect(s);

	if (err == -EALREADY && s->blocking)
		return await_connect(s);
	if (err < 0)
		return err;
	err = read_address(s, addr, r.end.remote, &r.end.remote_port);
	if (err < 0)
		return err;
	if (!k)
		return -ENETUNREACH;
	memcpy(s->end.remote, r.end.remote, sizeof(r.end.remote));
	s->end.remote_port = r.end.remote_port;
	memcpy(r.end.local, s->end.local, sizeof(r.end.local));
	s->state = LANE_CONNECTING;
	s->link = k;
	s->owed++;
	lane_command(s->x, k, &r);
	return s->blocking ? await_connect(s) : -EINPROGRESS;
}

int lane_sock_connect(struct mr_context *context, int fd, const struct sockaddr *addr,
		      socklen_t len)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	(void)len;
	return s ? lane_leave(s->x, s, connect_locked(s, addr)) : -EBADF;
}

/* ----- ends ----- */

static void about(struct lane_sock *s, uint16_t op, uint32_t value)
{
	if (s->conn)
		lane_command(
			s->x, s->link,
			&(struct mr_attach_record){ .op = op, .conn = s->conn, .value = value });
}

static int shutdown_locked(struct lane_sock *s, int how)
{
	if (s->state != LANE_OPEN)
		return -ENOTCONN;
	lane_cork_flush(s);
	about(s, MR_ATTACH_SHUTDOWN, (uint32_t)how);
	s->shut_read |= how != SHUT_WR;
	s->shut_write |= how != SHUT_RD;
	lane_wake(s, 0);
	return 0;
}

int lane_sock_shutdown(struct mr_context *context, int fd, int how)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	return s ? lane_leave(s->x, s, shutdown_locked(s, how)) : -EBADF;
}

static void close_listener(struct lane_sock *s)
{
	struct mr_attach_record r = { .op = MR_ATTACH_UNLISTEN };

	tell_links(s, &r);
	unlist(s);
	for (unsigned int i = 0; i < s->x->n_links; i++) {
		struct lane_link *k = s->x->link[i];

		/* all that came for it, those as well that wait for their first bytes */
		for (uint32_t n = 0; n < k->n_socks; n++) {
			struct lane_sock *c = k->sock[n];

			if (!c || c->listener != s)
				continue;
			about(c, MR_ATTACH_ABORT, 0);
			leave_queue(c);
		}
	}
}

/* The descriptor is free, and leaves all sets; calls of other threads end. */
static void release_fd(struct lane_sock *s)
{
	lane_wake(s, 0);
	lane_entries_drop(s);
	s->x->fd[s->fd] = NULL;
	s->fd = -1;
}

void lane_close_locked(struct lane_sock *s, bool abort)
{
	if (s->state == LANE_LISTENS)
		close_listener(s);
	abort |= s->o.linger.l_onoff && !s->o.linger.l_linger;
	if (!abort)
		lane_cork_flush(s);
	lane_tell_read(s); /* whatever is not told now was not read */
	drop_unread(s);
	about(s, abort ? MR_ATTACH_ABORT : MR_ATTACH_CLOSE, 0);
	release_fd(s);
	lane_sock_done(s);
}

static int close_one(struct mr_context *context, int fd, bool abort)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);

	if (!s)
		return -EBADF;
	lane_close_locked(s, abort);
	s->x->door->settle(s->x);
	return lane_leave(s->x, s, 0);
}

int lane_sock_close(struct mr_context *x, int fd)
{
	return close_one(x, fd, false);
}

int lane_sock_abort(struct mr_context *x, int fd)
{
	return close_one(x, fd, true);
}
