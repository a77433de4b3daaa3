/* SPDX-License-Identifier: MIT */
/* Requests and their replies, matched by the reply's tag, in the order of the requests. */
#include "user/api/message_internal.h"

#include <errno.h>
#include <stdlib.h>

static void unlink_request(struct mr_peer *p, struct request **at)
{
	struct request *r = *at;

	*at = r->next;
	if (p->requests_end == &r->next)
		p->requests_end = at;
	p->n_requests--;
	loop_timer_clear(p->loop, &r->timer);
}

/* Its reply may still come, and is not the reply to a later one. */
static void late(struct loop_timer *t)
{
	struct request *r = API_TIMER_OWNER(t, struct request, timer);
	void (*on_reply)(struct mr_peer * p, int error, const uint8_t *value, size_t len,
			 void *arg) = r->on_reply;

	r->on_reply = NULL;
	on_reply(r->peer, -ETIMEDOUT, NULL, 0, r->arg);
}

int mr_message_request(struct mr_peer *p, uint64_t tag, const void *value, size_t len,
		       uint64_t reply_tag, uint32_t timeout_ms,
		       void (*on_reply)(struct mr_peer *p, int error, const uint8_t *value,
					size_t len, void *arg),
		       void *arg)
{
	struct request *r;
	int err;

	if (!on_reply || mr_heartbeat_kind(&p->limits, reply_tag) != MR_HEARTBEAT_TAG_OTHER)
		return -EINVAL;
	if (p->n_requests == PEER_REQUESTS)
		return -EAGAIN;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->timer.fire = late;
	r->peer = p;
	r->reply_tag = reply_tag;
	r->on_reply = on_reply;
	r->arg = arg;
	r->number = p->n_queued;
	err = timeout_ms ? loop_timer_set(p->loop, &r->timer, loop_now_ms() + timeout_ms) : 0;
	if (!err)
		err = mr_message_send(p, tag, value, len);
	if (err) {
		loop_timer_clear(p->loop, &r->timer);
		free(r);
		return err;
	}
	*p->requests_end = r;
	p->requests_end = &r->next;
	p->n_requests++;
	return 0;
}

/* False: nobody waits for a message with this tag. */
bool peer_reply(struct mr_peer *p, uint64_t tag, const uint8_t *value, size_t len)
{
	struct request **at = &p->requests, *r;

	while (*at && (*at)->reply_tag != tag)
		at = &(*at)->next;
	r = *at;
	if (!r)
		return false;
	unlink_request(p, at);
	if (r->on_reply)
		r->on_reply(p, 0, value, len, r->arg);
	free(r);
	return true;
}

/*
 * The connection is over: those whose message was given to it whole will not be answered. The
 * others go with the next connection, unless there is none (@all).
 */
void peer_requests_fail(struct mr_peer *p, bool all)
{
	struct request **at = &p->requests, *failed = NULL, **end = &failed, *r;

	while ((r = *at)) {
		if (!all && r->number >= p->n_given) {
			at = &r->next;
			continue;
		}
		unlink_request(p, at);
		r->next = NULL;
		*end = r;
		end = &r->next;
	}
	while ((r = failed)) {
		failed = r->next;
		if (r->on_reply)
			r->on_reply(p, -ECONNRESET, NULL, 0, r->arg);
		free(r);
	}
}
