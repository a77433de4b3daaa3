/* SPDX-License-Identifier: MIT */
/* Listeners that applications ask for: the parent opens them, every lane of the interface hears. */
#include <errno.h>
#include <string.h>

#include "user/daemon/child.h"
#include "user/daemon/log.h"

static void answer(struct mr_child *c, uint32_t lane, uint64_t cookie, int error)
{
	struct mr_listen_answer a = {
		.head = { MR_WORKER_MAGIC, MR_MSG_LISTEN_ANSWER, sizeof(a) },
		.cookie = cookie,
		.error = error,
	};

	mr_ward_send(c, lane, &a, sizeof(a));
}

static void send_one(struct mr_child *c, uint32_t to, enum mr_message_type type,
		     const struct mr_dynamic *y)
{
	struct mr_listener_message m = {
		.head = { MR_WORKER_MAGIC, (uint16_t)type, sizeof(m) },
		.port = y->port,
		.lane = (uint16_t)c->d->lanes[y->lane].index,
	};

	memcpy(m.addr, y->addr, sizeof(m.addr));
	mr_ward_send(c, to, &m, sizeof(m));
}

static void broadcast(struct mr_child *c, enum mr_message_type type, const struct mr_dynamic *y)
{
	const struct mr_link *k = mr_lane_link(c->d, &c->d->lanes[y->lane]);

	for (uint32_t i = 0; i < k->n_queues; i++)
		send_one(c, k->first_lane + i, type, y);
}

void mr_listeners_ask(struct mr_child *c, uint32_t lane, const struct mr_listen_ask *m)
{
	struct mr_request q = {
		.type = MR_REQUEST_LISTEN, .lane = lane, .port = m->port, .cookie = m->cookie
	};

	if (c->listens_asked == MR_LISTENS_AT_ONCE) {
		answer(c, lane, m->cookie, -EBUSY);
		return;
	}
	c->listens_asked++;
	memcpy(q.addr, m->addr, sizeof(q.addr));
	mr_child_ask(c, &q);
}

void mr_listeners_unlisten(struct mr_child *c, uint32_t lane, const struct mr_listener_message *m)
{
	struct mr_request q = { .type = MR_REQUEST_UNLISTEN, .lane = lane, .port = m->port };

	memcpy(q.addr, m->addr, sizeof(q.addr));
	mr_child_ask(c, &q);
}

static struct mr_dynamic *find(struct mr_child *c, const struct mr_note *n)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &c->dynamic[i];

		if (y->used && y->port == n->port && !memcmp(y->addr, n->addr, sizeof(y->addr)))
			return y;
	}
	return NULL;
}

static void add(struct mr_child *c, const struct mr_note *n)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &c->dynamic[i];

		if (y->used)
			continue;
		*y = (struct mr_dynamic){
			.used = true, .lane = n->lane, .port = n->port, .rule_id = n->rule_id
		};
		memcpy(y->addr, n->addr, sizeof(y->addr));
		/* The lanes know of it before the owner is told that it stands. */
		broadcast(c, MR_MSG_LISTENER, y);
		return;
	}
}

void mr_listeners_note(struct mr_child *c, const struct mr_note *n)
{
	struct mr_dynamic *y;

	if (n->type == MR_NOTE_LISTENING) {
		c->listens_asked--;
		if (!n->error)
			add(c, n);
		answer(c, n->lane, n->cookie, n->error);
		return;
	}
	y = find(c, n);
	if (!y)
		return;
	broadcast(c, MR_MSG_UNLISTENER, y);
	y->used = false;
}

void mr_listeners_greet(struct mr_child *c, uint32_t lane)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++)
		if (c->dynamic[i].used &&
		    c->d->lanes[c->dynamic[i].lane].link == c->d->lanes[lane].link)
			send_one(c, lane, MR_MSG_LISTENER, &c->dynamic[i]);
}
