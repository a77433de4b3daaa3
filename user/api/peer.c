/* SPDX-License-Identifier: MIT */
/*
 * One end of one connection of messages, from its beginning to its end, and again where it
 * reconnects. What ends it is noted at once and told behind the running handler.
 */
#include "user/api/message_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct mr_heartbeat_config limits_of(const struct mr_message_options *o)
{
	return (struct mr_heartbeat_config){
		.has_ping = o->has_ping,
		.ping_tag = o->ping_tag,
		.pong_tag = o->pong_tag,
		.idle_ms = o->idle_ms,
		.partial_ms = o->partial_ms,
		.ping_ms = o->ping_ms,
		.pong_ms = o->pong_ms,
		.handler_ms = o->handler_ms,
		.send_ms = o->send_ms,
	};
}

const char *peer_options_check(const struct mr_message_options *o)
{
	struct mr_heartbeat_config limits = limits_of(o);
	const char *wrong = mr_tlv_format_check(&o->format);

	if (!wrong)
		wrong = mr_heartbeat_config_check(&limits, &o->format);
	if (!wrong && (!o->high_water || o->low_water > o->high_water))
		wrong = "high_water is at least 1, low_water at most high_water";
	if (!wrong && o->reconnect && (!o->backoff_ms || o->backoff_most_ms < o->backoff_ms))
		wrong = "backoff_ms is at least 1, backoff_most_ms at least backoff_ms";
	return wrong;
}

struct mr_message_options mr_message_options_default(void)
{
	return (struct mr_message_options){
		.format = MR_TLV_FORMAT_DEFAULT,
		.high_water = 1 << 20,
		.low_water = 1 << 18,
		.backoff_ms = 50,
		.backoff_most_ms = 5000,
		.backlog = 1024,
	};
}

/* ----- what the set is to tell ----- */

static void watch(struct mr_peer *p)
{
	uint32_t wanted = 0;

	if (p->fd < 0)
		return;
	if (p->state == PEER_OPEN && !p->blocked)
		wanted |= EPOLLIN;
	if (p->state == PEER_CONNECTING || bytes_len(&p->out))
		wanted |= EPOLLOUT;
	if (wanted == p->interest)
		return;
	p->interest = wanted;
	mr_set_modify(p->loop->set, p->fd, wanted, (epoll_data_t){ .ptr = &p->source });
}

static int watch_first(struct mr_peer *p, uint32_t events)
{
	p->interest = events;
	return mr_set_add(p->loop->set, p->fd, events, (epoll_data_t){ .ptr = &p->source });
}

/* ----- beginnings ----- */

static void opened(struct mr_peer *p)
{
	p->state = PEER_OPEN;
	p->was_open = true;
	p->opened_ms = p->received_ms = loop_now_ms();
	p->stuck_ms = bytes_len(&p->out) ? p->opened_ms : 0;
	if (p->h.on_open)
		p->h.on_open(p, p->arg);
	loop_pending(p);
}

static void connected(struct mr_peer *p)
{
	int err = mr_sock_error(p->loop->context, p->fd);

	if (err)
		peer_end(p, MR_PEER_NOT_CONNECTED, err < 0 ? -err : err);
	else
		opened(p);
}

static void failed(struct mr_peer *p, int error)
{
	peer_end(p, MR_PEER_ERROR, error > 0 ? error : ECONNRESET);
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct mr_peer *p = API_TIMER_OWNER(source, struct mr_peer, source);

	if (p->state == PEER_CONNECTING) {
		connected(p);
		return;
	}
	if (p->state == PEER_OPEN && !p->blocked && events & ~(uint32_t)EPOLLOUT)
		peer_read(p);
	else if (events & (EPOLLERR | EPOLLHUP) && p->state <= PEER_CLOSING)
		failed(p, mr_sock_error(p->loop->context, p->fd));
	loop_pending(p);
}

static void dial(struct mr_peer *p)
{
	struct mr_context *x = p->loop->context;
	int err;

	p->fd = mr_sock_open(x, p->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (p->fd < 0) {
		peer_end(p, MR_PEER_NOT_CONNECTED, -p->fd);
		return;
	}
	p->state = PEER_CONNECTING;
	err = mr_sock_connect(x, p->fd, (struct sockaddr *)&p->addr, p->addr_len);
	if (!err || err == -EINPROGRESS)
		err = watch_first(p, EPOLLOUT);
	if (err)
		peer_end(p, MR_PEER_NOT_CONNECTED, -err);
}

static void timer_fires(struct loop_timer *t)
{
	struct mr_peer *p = API_TIMER_OWNER(t, struct mr_peer, timer);

	if (p->state == PEER_WAITING)
		dial(p);
	else
		peer_limits_due(p);
}

struct mr_peer *peer_new(struct mr_loop *l, const struct mr_message_handlers *h,
			 const struct mr_message_options *o, void *arg)
{
	struct mr_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->source.ready = ready;
	p->timer.fire = timer_fires;
	p->loop = l;
	p->h = *h;
	p->o = *o;
	p->limits = limits_of(o);
	p->has_limits = o->idle_ms || o->partial_ms || o->ping_ms || o->pong_ms || o->handler_ms ||
			o->send_ms;
	p->arg = arg;
	p->fd = -1;
	p->requests_end = &p->requests;
	p->backoff_ms = o->backoff_ms;
	p->next = l->peers;
	p->link = &l->peers;
	if (p->next)
		p->next->link = &p->next;
	l->peers = p;
	return p;
}

/* On error @fd is still the caller's. */
int peer_accepted(struct mr_peer *p, int fd)
{
	int err;

	p->fd = fd;
	err = watch_first(p, EPOLLIN);
	if (err) {
		p->fd = -1;
		return err;
	}
	opened(p);
	return 0;
}

int mr_message_connect(struct mr_loop *l, const struct sockaddr *addr, socklen_t len,
		       const struct mr_message_handlers *h, const struct mr_message_options *o,
		       void *arg, struct mr_peer **out)
{
	struct mr_peer *p;

	if (!h->on_message || peer_options_check(o) || len > sizeof(p->addr))
		return -EINVAL;
	if (l->ending)
		return -ESHUTDOWN;
	p = peer_new(l, h, o, arg);
	if (!p)
		return -ENOMEM;
	p->is_client = true;
	memcpy(&p->addr, addr, len);
	p->addr_len = len;
	*out = p;
	dial(p);
	return 0;
}

/* ----- ends ----- */

/* The socket goes now; whose it was is told behind the running handler. */
void peer_end(struct mr_peer *p, enum mr_peer_reason reason, int error)
{
	if (p->state >= PEER_ENDED)
		return;
	p->state = PEER_ENDED;
	p->reason = reason;
	p->error = error;
	loop_timer_clear(p->loop, &p->timer);
	if (p->fd >= 0) {
		if (reason <= MR_PEER_NOT_CONNECTED && !p->aborted)
			mr_sock_close(p->loop->context, p->fd);
		else
			mr_sock_abort(p->loop->context, p->fd);
	}
	p->fd = -1;
	loop_pending(p);
}

static void forget_stream(struct mr_peer *p)
{
	p->reader = (struct mr_tlv_reader){ 0 };
	free(p->store);
	p->store = NULL;
	p->store_bytes = 0;
	bytes_free(&p->held);
	p->blocked = p->for_room = p->resumed = false;
	p->partial_ms = p->ping_ms = p->blocked_ms = p->stuck_ms = 0;
}

/* Full jitter over the upper half, so that clients of one server do not come back at once. */
static uint64_t backoff(struct mr_peer *p)
{
	uint32_t random = 0, ms;

	if (loop_now_ms() - p->opened_ms >= p->o.backoff_most_ms && p->opened_ms)
		p->backoff_ms = p->o.backoff_ms;
	p->opened_ms = 0;
	ms = p->backoff_ms;
	p->backoff_ms = ms < p->o.backoff_most_ms / 2 ? 2 * ms : p->o.backoff_most_ms;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	return ms - random % (ms / 2 + 1);
}

/* Told, and then freed or made ready for the next connection. */
static void settle_end(struct mr_peer *p)
{
	bool tell = p->was_open || !p->was_told;
	bool again = p->is_client && p->o.reconnect && !p->by_program && !p->loop->ending;

	p->was_told = true;
	p->was_open = false;
	p->is_pending = true; /* whatever the handlers ask for */
	peer_requests_fail(p, !again);
	if (tell && p->h.on_close)
		p->h.on_close(p, p->reason, p->error, p->arg);
	again = again && !p->by_program && !p->loop->ending; /* the handlers may have closed it */
	if (again) {
		forget_stream(p);
		peer_begin_again(p);
		p->state = PEER_WAITING;
		if (!loop_timer_set(p->loop, &p->timer, loop_now_ms() + backoff(p))) {
			p->is_pending = false;
			return;
		}
	}
	peer_requests_fail(p, true);
	peer_free(p);
}

void peer_free(struct mr_peer *p)
{
	loop_timer_clear(p->loop, &p->timer);
	*p->link = p->next;
	if (p->next)
		p->next->link = p->link;
	forget_stream(p);
	bytes_free(&p->out);
	free(p);
}

/* No handler runs: what was asked for meanwhile is done. */
void peer_settle(struct mr_peer *p)
{
	if (p->state == PEER_OPEN && p->resumed)
		peer_read_held(p);
	if (p->state == PEER_OPEN || p->state == PEER_CLOSING)
		peer_flush(p);
	if (p->state == PEER_CLOSING && !bytes_len(&p->out))
		peer_end(p, p->reason, 0);
	if (p->state == PEER_ENDED) {
		if (!p->is_pending)
			settle_end(p);
		return;
	}
	watch(p);
	peer_limits_arm(p);
}

void mr_peer_close(struct mr_peer *p)
{
	p->by_program = true;
	if (p->state == PEER_WAITING || p->state == PEER_CONNECTING) {
		peer_end(p, MR_PEER_CLOSED_HERE, 0);
	} else if (p->state == PEER_OPEN) {
		p->state = PEER_CLOSING;
		p->reason = MR_PEER_CLOSED_HERE;
		loop_pending(p);
	}
}

void mr_peer_abort(struct mr_peer *p)
{
	p->by_program = true;
	p->aborted = true;
	peer_end(p, MR_PEER_CLOSED_HERE, 0);
}

/* ----- what is known of it ----- */

bool mr_peer_is_open(const struct mr_peer *p)
{
	return p->state == PEER_OPEN;
}

void *mr_peer_data(const struct mr_peer *p)
{
	return p->data;
}

void mr_peer_set_data(struct mr_peer *p, void *data)
{
	p->data = data;
}

int mr_peer_address(const struct mr_peer *p, struct sockaddr *addr, socklen_t *len)
{
	if (p->fd < 0)
		return -ENOTCONN;
	return mr_sock_peer(p->loop->context, p->fd, addr, len);
}

int mr_peer_socket(const struct mr_peer *p)
{
	return p->fd;
}
