/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

static struct talk *talk_of(struct mr_host *h, mr_conn_id c)
{
	return *(struct talk **)mr_conn_state(h, c);
}

static struct mr_host *host_of(const struct talk *t)
{
	return mr_lane_host(t->pair->end[PAIR_CLIENT].lane);
}

uint32_t talk_hash(uint32_t hash, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 16777619u;
	return hash;
}

static void say(struct mr_host *h, mr_conn_id c)
{
	struct talk *t = talk_of(h, c);

	if (t->said < t->out_len) {
		int64_t n = mr_send(h, c, (const uint8_t *)t->out + t->said, t->out_len - t->said);

		if (n > 0)
			t->said += (size_t)n;
	}
	if (t->said == t->out_len && t->half_close && !t->shut) {
		t->shut = true;
		mr_shutdown(h, c, SHUT_WR);
	}
}

static void talk_open(struct mr_host *h, mr_conn_id c)
{
	talk_of(h, c)->opened = true;
	say(h, c);
}

static enum mr_app_verdict talk_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				      size_t len, size_t *used)
{
	struct talk *t = talk_of(h, c);
	size_t kept = t->in_len < TALK_KEPT ? TALK_KEPT - t->in_len : 0;

	if (t->deaf) {
		*used = 0;
		return MR_APP_AGAIN;
	}
	if (!t->in_len)
		t->first_ns = mr_memory_now(t->pair->wire);
	t->last_ns = mr_memory_now(t->pair->wire);
	memcpy(t->in + (t->in_len < TALK_KEPT ? t->in_len : TALK_KEPT), data,
	       len < kept ? len : kept);
	t->in_hash = talk_hash(t->in_hash, data, len);
	t->in_len += len;
	*used = len;
	return MR_APP_DONE;
}

static void talk_ended(struct mr_host *h, mr_conn_id c)
{
	struct talk *t = talk_of(h, c);

	t->ended = true;
	if (!t->lasting)
		mr_close(h, c);
}

static void talk_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	struct talk *t = talk_of(h, c);

	assert_false(t->closed);
	t->closed = true;
	t->reason = reason;
}

const struct mr_app talk_app = {
	.name = "talk",
	.conn_bytes = sizeof(struct talk *),
	.open = talk_open,
	.bytes = talk_bytes,
	.writable = say,
	.peer_shutdown = talk_ended,
	.closed = talk_closed,
};

void talk_begin(struct pair *p, struct talk *t, uint16_t port, bool ipv6)
{
	struct talk **place;

	t->pair = p;
	t->in_hash = TALK_HASH_BASIS;
	if (t->early) {
		t->said = t->out_len;
		t->id = pair_connect_with(p, 0, port, ipv6, t->out, &t->said);
	} else {
		t->id = pair_connect(p, 0, port, ipv6);
	}
	place = mr_conn_state(mr_lane_host(p->end[PAIR_CLIENT].lane), t->id);
	assert_non_null(place);
	*place = t;
}

void talk_say(struct talk *t, const void *out, size_t len)
{
	t->out = out;
	t->out_len = len;
	t->said = 0;
	say(host_of(t), t->id);
}

void talk_close(struct talk *t)
{
	mr_close(host_of(t), t->id);
}

void talk_abort(struct talk *t)
{
	mr_abort(host_of(t), t->id);
}

bool talk_is_closed(void *arg)
{
	return ((const struct talk *)arg)->closed;
}

bool talk_is_open(void *arg)
{
	return ((const struct talk *)arg)->opened;
}

bool talk_has_ended(void *arg)
{
	return ((const struct talk *)arg)->ended;
}

void talk_serve(struct pair *p)
{
	static const struct mr_app *const apps[] = { &talk_app };

	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 1);
}

void talk_start(struct pair *p, const char *app, struct pair_options o)
{
	pair_init(p, o);
	pair_rule(p, PAIR_SERVER, app, 7000);
	talk_serve(p);
}

void talk_end(struct pair *p)
{
	uint64_t held;

	pair_run(p, 1000, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(p->end[i].stats.connections, 0);
		assert_int_equal(p->end[i].stats.half_open, 0);
		assert_int_equal(p->end[i].stats.message_bytes, 0);
		assert_true(pair_frames_are_whole(p, i, &held));
		assert_int_equal(held, 0);
	}
	pair_free(p);
}
