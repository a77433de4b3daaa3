/* SPDX-License-Identifier: MIT */
/* What include/millrace/app.h declares: the lane as its applications see it. */
#include "user/lane/internal.h"

#include <errno.h>
#include <sys/socket.h>

static struct mr_lane *lane(struct mr_host *h)
{
	return (struct mr_lane *)(void *)h;
}

struct mr_host *mr_lane_host(struct mr_lane *l)
{
	return (struct mr_host *)(void *)l;
}

/* A connection that may still be used: not closed, and not given back by the application. */
static struct mr_conn *usable(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = lane_conn_find(lane(h), id);

	if (!c || c->state == MR_CLOSED ||
	    c->flags & (MR_CONN_ORPHAN | MR_CONN_CLOSE_ASKED | MR_CONN_ABORT_ASKED))
		return NULL;
	if (conn_index(lane(h), c) != lane(h)->hand->conn)
		lane_hold_in(&lane(h)->hand->other, conn_index(lane(h), c));
	return c;
}

void *mr_conn_state(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = lane_conn_find(lane(h), id);

	if (!c || c->app_state == MR_NONE)
		return NULL;
	return lane_state_at(lane(h), c->app_state);
}

void *mr_rule_state(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = lane_conn_find(lane(h), id);

	return c ? rule_of(lane(h), c)->state : NULL;
}

uint64_t mr_now_ms(const struct mr_host *h)
{
	return ((const struct mr_lane *)(const void *)h)->now_ns / 1000000;
}

int64_t mr_send(struct mr_host *h, mr_conn_id id, const void *buf, size_t len)
{
	struct mr_conn *c = usable(h, id);

	return c ? mr_tcp_send_call(&lane(h)->tcp, c, buf, len) : -ENOTCONN;
}

int mr_urge(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = usable(h, id);
	int error = c ? mr_tcp_cannot_send(c) : -ENOTCONN;

	if (!error)
		mr_tcp_urge(&lane(h)->tcp, c);
	return error;
}

size_t mr_urgent(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = usable(h, id);

	return c ? mr_tcp_urgent(&lane(h)->tcp, c) : 0;
}

size_t mr_send_room(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = usable(h, id);

	return c && !mr_tcp_cannot_send(c) ? mr_tcp_send_room(&lane(h)->tcp, c) : 0;
}

void *mr_reserve(struct mr_host *h, mr_conn_id id, size_t *room)
{
	struct mr_conn *c = usable(h, id);
	uint32_t space = 0;
	void *to;

	if (!c || mr_tcp_cannot_send(c))
		return NULL;
	to = mr_tcp_reserve(&lane(h)->tcp, c, &space);
	if (!to)
		c->flags |= MR_CONN_WANT_WRITE;
	*room = space;
	return to;
}

int mr_commit(struct mr_host *h, mr_conn_id id, size_t len)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	mr_tcp_commit(&lane(h)->tcp, c, (uint32_t)len);
	return 0;
}

int mr_send_message(struct mr_host *h, mr_conn_id id, uint64_t tag, const void *value, size_t len)
{
	struct mr_conn *c = usable(h, id);

	return c ? lane_send_message(lane(h), c, tag, value, len) : -ENOTCONN;
}

int mr_resume(struct mr_host *h, mr_conn_id id)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	c->flags &= ~MR_CONN_BLOCKED;
	lane_ready(lane(h), c);
	return 0;
}

int mr_pause(struct mr_host *h, mr_conn_id id, bool on)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	if (on) {
		c->flags |= MR_CONN_PAUSED;
		return 0;
	}
	c->flags &= ~(MR_CONN_PAUSED | MR_CONN_BLOCKED);
	lane_ready(lane(h), c);
	return 0;
}

int mr_shutdown(struct mr_host *h, mr_conn_id id, int how)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
		return -EINVAL;
	if (how != SHUT_WR)
		mr_tcp_shutdown_receive(&lane(h)->tcp, c);
	if (how != SHUT_RD)
		mr_tcp_shutdown_send(&lane(h)->tcp, c);
	lane_ready(lane(h), c);
	return 0;
}

/* Both ends run after the callback, when it is known which bytes it consumed. */
static int ask(struct mr_host *h, mr_conn_id id, uint32_t flag)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	c->flags |= flag;
	lane_ready(lane(h), c);
	return 0;
}

int mr_close(struct mr_host *h, mr_conn_id id)
{
	return ask(h, id, MR_CONN_CLOSE_ASKED);
}

int mr_abort(struct mr_host *h, mr_conn_id id)
{
	return ask(h, id, MR_CONN_ABORT_ASKED);
}

int mr_nodelay(struct mr_host *h, mr_conn_id id, bool on)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	if (on)
		c->flags |= MR_CONN_NODELAY;
	else
		c->flags &= ~MR_CONN_NODELAY;
	lane_ready(lane(h), c);
	return 0;
}

int mr_keepalive(struct mr_host *h, mr_conn_id id, unsigned int idle_s, unsigned int interval_s,
		 unsigned int count)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	mr_tcp_set_keepalive(&lane(h)->tcp, c, idle_s, interval_s, count);
	return 0;
}

int mr_user_timeout(struct mr_host *h, mr_conn_id id, unsigned int ms)
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	mr_tcp_set_user_timeout(&lane(h)->tcp, c, ms);
	return 0;
}

int mr_timer(struct mr_host *h, mr_conn_id id, unsigned int ms)
{
	struct mr_conn *c = usable(h, id);
	uint32_t when;

	if (!c)
		return -ENOTCONN;
	when = lane(h)->tcp.now_ms + ms;
	c->deadline[MR_DEADLINE_APP] = !ms ? 0 : when ? when : 1;
	if (ms)
		lane_arm(lane(h), c);
	return 0;
}

int mr_connect(struct mr_host *h, mr_conn_id c, const struct sockaddr *remote, mr_conn_id *opened)
{
	struct mr_conn *from = usable(h, c);

	return from ? lane_connect(lane(h), from->rule, NULL, remote, NULL, NULL, opened)
		    : -ENOTCONN;
}

int mr_connect_from(struct mr_host *h, mr_conn_id c, const struct sockaddr *local,
		    const struct sockaddr *remote, mr_conn_id *opened)
{
	struct mr_conn *from = usable(h, c);

	return from ? lane_connect(lane(h), from->rule, local, remote, NULL, NULL, opened)
		    : -ENOTCONN;
}

int64_t mr_connect_with(struct mr_host *h, mr_conn_id c, const struct sockaddr *remote,
			const void *buf, size_t len, mr_conn_id *opened)
{
	struct mr_conn *from = usable(h, c);
	size_t queued = len;
	int error = from ? lane_connect(lane(h), from->rule, NULL, remote, buf, &queued, opened)
			 : -ENOTCONN;

	return error ? error : (int64_t)queued;
}

static bool has_listener(const struct mr_lane *l, mr_conn_id id)
{
	for (uint32_t i = 0; i < l->n_listeners; i++)
		if (l->listener[i].used && l->listener[i].conn == id)
			return true;
	return false;
}

int mr_listen(struct mr_host *h, mr_conn_id id, uint16_t port, unsigned int backlog,
	      void (*listening)(struct mr_host *h, mr_conn_id c, int error))
{
	struct mr_conn *c = usable(h, id);

	if (!c)
		return -ENOTCONN;
	if (has_listener(lane(h), id))
		return -EALREADY;
	return lane_listen(lane(h), c, port, backlog, listening);
}
