/* SPDX-License-Identifier: MIT */
/* A listener of the message layer: whoever connects becomes a peer. */
#include "user/api/message_internal.h"

#include <errno.h>
#include <stdlib.h>

/* No descriptor or memory for another one: the listener rests, instead of being ready for ever. */
static void rest(struct mr_message_server *s)
{
	if (!loop_timer_set(s->loop, &s->timer, loop_now_ms() + SERVER_PAUSE_MS))
		mr_set_modify(s->loop->set, s->fd, 0, (epoll_data_t){ .ptr = &s->source });
}

static void rested(struct loop_timer *t)
{
	struct mr_message_server *s = API_TIMER_OWNER(t, struct mr_message_server, timer);

	mr_set_modify(s->loop->set, s->fd, EPOLLIN, (epoll_data_t){ .ptr = &s->source });
}

static void accept_some(struct loop_source *source, uint32_t events)
{
	struct mr_message_server *s = API_TIMER_OWNER(source, struct mr_message_server, source);

	(void)events;
	for (int i = 0; i < SERVER_ACCEPTS && s->fd >= 0 && !s->loop->stop; i++) {
		int fd = mr_sock_accept(s->loop->context, s->fd, NULL, NULL, SOCK_NONBLOCK);
		struct mr_peer *p;

		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS)
			rest(s);
		if (fd < 0)
			return;
		p = peer_new(s->loop, &s->h, &s->o, s->arg);
		if (!p || peer_accepted(p, fd)) {
			mr_sock_abort(s->loop->context, fd);
			if (p)
				peer_free(p);
			rest(s);
			return;
		}
	}
}

static int open_listener(struct mr_message_server *s, const struct sockaddr *addr, socklen_t len)
{
	struct mr_context *x = s->loop->context;
	int err;

	s->fd = mr_sock_open(x, addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return s->fd;
	err = mr_sock_bind(x, s->fd, addr, len);
	if (!err)
		err = mr_sock_listen(x, s->fd, s->o.backlog);
	if (!err)
		err = mr_set_add(s->loop->set, s->fd, EPOLLIN, (epoll_data_t){ .ptr = &s->source });
	if (err)
		mr_sock_close(x, s->fd);
	return err;
}

int mr_message_listen(struct mr_loop *l, const struct sockaddr *addr, socklen_t len,
		      const struct mr_message_handlers *h, const struct mr_message_options *o,
		      void *arg, struct mr_message_server **out)
{
	struct mr_message_server *s;
	int err;

	if (!h->on_message || peer_options_check(o))
		return -EINVAL;
	if (l->ending)
		return -ESHUTDOWN;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->source.ready = accept_some;
	s->timer.fire = rested;
	s->loop = l;
	s->h = *h;
	s->o = *o;
	s->o.reconnect = false;
	s->arg = arg;
	err = open_listener(s, addr, len);
	if (err) {
		free(s);
		return err;
	}
	s->next = l->servers;
	s->link = &l->servers;
	if (s->next)
		s->next->link = &s->next;
	l->servers = s;
	*out = s;
	return 0;
}

int mr_message_server_address(const struct mr_message_server *s, struct sockaddr *addr,
			      socklen_t *len)
{
	return mr_sock_name(s->loop->context, s->fd, addr, len);
}

/* The set may have told about it in this step: it is freed behind that. */
void mr_message_server_end(struct mr_message_server *s)
{
	loop_timer_clear(s->loop, &s->timer);
	mr_sock_close(s->loop->context, s->fd);
	s->fd = -1;
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->next = s->loop->ended_servers;
	s->loop->ended_servers = s;
}

void server_free(struct mr_message_server *s)
{
	free(s);
}
