/* SPDX-License-Identifier: MIT */
/*
 * The loop of the message layer: what is ready, what is due, and behind the handlers what they
 * asked for: texts that leave, peers that end. Nothing is freed while a handler may still hold it.
 */
#include "user/api/message_internal.h"

#include <errno.h>
#include <stdlib.h>

int mr_loop_new(struct mr_context *x, struct mr_loop **out)
{
	struct mr_loop *l;
	int err;

	if (!x)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	err = mr_set_new(x, &l->set);
	if (err) {
		free(l);
		return err;
	}
	l->context = x;
	*out = l;
	return 0;
}

uint64_t loop_now_ms(void)
{
	return api_now_ns() / 1000000;
}

int loop_timer_set(struct mr_loop *l, struct loop_timer *t, uint64_t at_ms)
{
	return api_timer_set(&l->timers, &t->t, at_ms * 1000000);
}

void loop_timer_clear(struct mr_loop *l, struct loop_timer *t)
{
	api_timer_clear(&l->timers, &t->t);
}

/* It is looked at when no handler runs. */
void loop_pending(struct mr_peer *p)
{
	if (p->is_pending)
		return;
	p->is_pending = true;
	p->next_pending = p->loop->pending;
	p->loop->pending = p;
}

static void settle_all(struct mr_loop *l)
{
	struct mr_peer *p;

	while ((p = l->pending)) {
		l->pending = p->next_pending;
		p->is_pending = false;
		peer_settle(p); /* handlers it calls may put others on the list, or itself */
	}
	while (l->ended_servers) {
		struct mr_message_server *s = l->ended_servers;

		l->ended_servers = s->next;
		server_free(s);
	}
}

void mr_loop_free(struct mr_loop *l)
{
	if (!l)
		return;
	l->ending = true;
	while (l->servers)
		mr_message_server_end(l->servers);
	while (l->peers) {
		mr_peer_abort(l->peers);
		settle_all(l);
	}
	settle_all(l);
	mr_set_free(l->set);
	api_timers_free(&l->timers);
	free(l);
}

/* Those that were due when it began; a timer that is set anew for now waits for the next step. */
static void timers_fire(struct mr_loop *l)
{
	uint64_t now = l->timers.n ? api_now_ns() : 0;
	struct api_timer *t;

	while (!l->stop && (t = api_timer_due(&l->timers, now))) {
		struct loop_timer *timer = API_TIMER_OWNER(t, struct loop_timer, t);

		timer->fire(timer);
		settle_all(l);
	}
}

/* One step. Return: 0 or -errno of the wait */
static int step(struct mr_loop *l, int timeout_ms)
{
	struct epoll_event event[LOOP_EVENTS];
	int n = mr_set_wait(l->set, event, LOOP_EVENTS, api_timers_wait_ms(&l->timers, timeout_ms));

	for (int i = 0; i < n; i++) {
		struct loop_source *s = event[i].data.ptr;

		s->ready(s, event[i].events);
	}
	settle_all(l);
	timers_fire(l);
	return n < 0 ? n : 0;
}

int mr_loop_run(struct mr_loop *l, int timeout_ms)
{
	uint64_t now = loop_now_ms(), until = now + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
	int err;

	settle_all(l);
	do {
		int left = timeout_ms < 0 ? -1 : (int)(until > now ? until - now : 0);

		err = l->stop ? 0 : step(l, left);
		now = loop_now_ms();
	} while (!err && !l->stop && (timeout_ms < 0 || now < until));
	if (l->stop)
		err = 0;
	l->stop = false;
	return err;
}

void mr_loop_stop(struct mr_loop *l)
{
	l->stop = true;
}

int mr_loop_fd(struct mr_loop *l)
{
	return mr_set_fd(l->set);
}
