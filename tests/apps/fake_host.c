/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/apps/fake_host.h"

void fake_host_init(struct mr_host *h, const struct mr_app *app)
{
	*h = (struct mr_host){
		.app = app,
		.now_ms = 1000,
		.room = FAKE_UNLIMITED,
		.reserve_most = 100,
	};
}

void fake_host_fini(struct mr_host *h)
{
	unsigned int i;

	for (i = 0; i < h->n_conns; i++) {
		free(h->conns[i].state);
		free(h->conns[i].in);
		free(h->conns[i].out);
	}
}

struct fake_conn *fake_conn(struct mr_host *h, mr_conn_id c)
{
	assert_in_range(c, 1, h->n_conns);
	return &h->conns[c - 1];
}

enum fake_end fake_end(struct mr_host *h, mr_conn_id c)
{
	return fake_conn(h, c)->end;
}

/* A connection that an application may still use. */
static struct fake_conn *live(struct mr_host *h, mr_conn_id c)
{
	struct fake_conn *fc = fake_conn(h, c);

	return fc->end ? NULL : fc;
}

static mr_conn_id new_conn(struct mr_host *h)
{
	struct fake_conn *fc;

	assert_true(h->n_conns < FAKE_CONNS);
	fc = &h->conns[h->n_conns++];
	*fc = (struct fake_conn){ .id = h->n_conns, .room = h->room, .nodelay = -1 };
	if (h->app->conn_bytes)
		fc->state = calloc(1, h->app->conn_bytes);
	return fc->id;
}

static void tell_closed(struct mr_host *h, struct fake_conn *fc, int reason)
{
	fc->n_closed++;
	if (h->app->closed)
		h->app->closed(h, fc->id, reason);
	free(fc->state);
	fc->state = NULL;
}

static void offer(struct mr_host *h, struct fake_conn *fc);

/*
 * After every callback: ends take effect, and what mr_resume() and mr_pause() asked for.
 * Unread is judged here, when what the callback consumed is known.
 */
static void settle(struct mr_host *h)
{
	unsigned int i;

	for (i = 0; i < h->n_conns; i++) {
		struct fake_conn *fc = &h->conns[i];

		if (fc->asked_end) {
			fc->asked_end = false;
			if (fc->end == FAKE_CLOSED && fc->in_bytes)
				fc->end = FAKE_RESET;
			tell_closed(h, fc, 0);
		}
		if (fc->offer_due) {
			fc->offer_due = false;
			offer(h, fc);
		}
	}
}

static void consume(struct fake_conn *fc, size_t n)
{
	assert_true(n <= fc->in_bytes);
	memmove(fc->in, fc->in + n, fc->in_bytes - n);
	fc->in_bytes -= n;
}

static void tell_fin(struct mr_host *h, struct fake_conn *fc)
{
	if (!fc->fin || fc->fin_told || fc->in_bytes || fc->end || fc->paused)
		return;
	fc->fin_told = true;
	if (h->app->peer_shutdown)
		h->app->peer_shutdown(h, fc->id);
	else
		mr_close(h, fc->id);
	settle(h);
}

/* Offers a copy of exact size, so that reading past it shows. */
static void offer(struct mr_host *h, struct fake_conn *fc)
{
	while (fc->in_bytes && !fc->paused && !fc->end) {
		size_t len = fc->in_bytes, used = len + 1;
		uint8_t *view = malloc(len);
		enum mr_app_verdict v;

		memcpy(view, fc->in, len);
		v = h->app->bytes(h, fc->id, view, len, &used);
		free(view);
		assert_true(used <= len);
		assert_int_equal(v == MR_APP_CLOSED, fc->asked_end);
		if (v == MR_APP_DONE)
			assert_int_equal(used, len);
		consume(fc, used);
		settle(h);
		fc->again = v == MR_APP_AGAIN;
		if (fc->again)
			break;
	}
	tell_fin(h, fc);
}

mr_conn_id fake_open(struct mr_host *h)
{
	mr_conn_id c = new_conn(h);

	fake_established(h, c);
	return c;
}

void fake_established(struct mr_host *h, mr_conn_id c)
{
	fake_conn(h, c)->open = true;
	if (h->app->open)
		h->app->open(h, c);
	settle(h);
}

void fake_lose(struct mr_host *h, mr_conn_id c, int reason)
{
	struct fake_conn *fc = fake_conn(h, c);

	assert_int_equal(fc->end, FAKE_ALIVE);
	fc->end = FAKE_LOST;
	tell_closed(h, fc, reason);
	settle(h);
}

void fake_receive(struct mr_host *h, mr_conn_id c, const void *data, size_t len)
{
	struct fake_conn *fc = fake_conn(h, c);

	if (fc->end || !len)
		return;
	fc->in = realloc(fc->in, fc->in_bytes + len);
	memcpy(fc->in + fc->in_bytes, data, len);
	fc->in_bytes += len;
	if (!fc->again)
		offer(h, fc);
}

void fake_fin(struct mr_host *h, mr_conn_id c)
{
	fake_conn(h, c)->fin = true;
	tell_fin(h, fake_conn(h, c));
}

enum mr_app_verdict fake_message(struct mr_host *h, mr_conn_id c, uint64_t tag, const void *value,
				 size_t len)
{
	uint8_t *view = malloc(len ? len : 1);
	enum mr_app_verdict v;

	assert_true(h->app->messages);
	if (len)
		memcpy(view, value, len);
	v = h->app->message(h, c, tag, view, len);
	free(view);
	assert_int_equal(v == MR_APP_CLOSED, fake_conn(h, c)->asked_end);
	settle(h);
	return v;
}

void fake_make_room(struct mr_host *h, mr_conn_id c, size_t more)
{
	struct fake_conn *fc = fake_conn(h, c);

	fc->room += more;
	if (fc->end || !fc->wants_room)
		return;
	fc->wants_room = false;
	if (h->app->writable)
		h->app->writable(h, c);
	settle(h);
	if (fc->again)
		offer(h, fc);
}

void fake_advance(struct mr_host *h, unsigned int ms)
{
	unsigned int i;

	h->now_ms += ms;
	for (i = 0; i < h->n_conns; i++) {
		struct fake_conn *fc = &h->conns[i];

		if (fc->end || !fc->timer_ms || fc->timer_ms > h->now_ms)
			continue;
		fc->timer_ms = 0;
		h->app->timer(h, fc->id);
		settle(h);
	}
}

void fake_listening(struct mr_host *h, mr_conn_id c, int error)
{
	fake_conn(h, c)->listening(h, c, error);
	settle(h);
}

/* The contract's functions */

void *mr_conn_state(struct mr_host *h, mr_conn_id c)
{
	return fake_conn(h, c)->state;
}

void *mr_rule_state(struct mr_host *h, mr_conn_id c)
{
	(void)c;
	return h->rule_state;
}

uint64_t mr_now_ms(const struct mr_host *h)
{
	return h->now_ms;
}

static void queue(struct fake_conn *fc, const void *buf, size_t len)
{
	fc->out = realloc(fc->out, fc->out_bytes + len);
	memcpy(fc->out + fc->out_bytes, buf, len);
	fc->out_bytes += len;
	fc->room -= len;
}

int64_t mr_send(struct mr_host *h, mr_conn_id c, const void *buf, size_t len)
{
	struct fake_conn *fc = live(h, c);

	if (!fc || !fc->open)
		return -ENOTCONN;
	if (fc->write_shut)
		return -EPIPE;
	if (len > fc->room) {
		len = fc->room;
		fc->wants_room = true;
	}
	if (!len)
		return 0;
	queue(fc, buf, len);
	fc->n_sends++;
	return (int64_t)len;
}

size_t mr_send_room(struct mr_host *h, mr_conn_id c)
{
	struct fake_conn *fc = live(h, c);

	return fc ? fc->room : 0;
}

/* The reserved bytes come at exact size from the heap and are not kept: mr_commit() copies. */
static uint8_t *reserved_memory;

void *mr_reserve(struct mr_host *h, mr_conn_id c, size_t *room)
{
	struct fake_conn *fc = live(h, c);

	free(reserved_memory);
	reserved_memory = NULL;
	if (!fc || fc->write_shut)
		return NULL;
	*room = fc->room < h->reserve_most ? fc->room : h->reserve_most;
	if (!*room) {
		fc->wants_room = true;
		return NULL;
	}
	fc->reserved = *room;
	reserved_memory = malloc(*room);
	return reserved_memory;
}

int mr_commit(struct mr_host *h, mr_conn_id c, size_t len)
{
	struct fake_conn *fc = live(h, c);

	if (!fc)
		return -ENOTCONN;
	assert_true(len <= fc->reserved);
	queue(fc, reserved_memory, len);
	fc->reserved = 0;
	free(reserved_memory);
	reserved_memory = NULL;
	return 0;
}

int mr_send_message(struct mr_host *h, mr_conn_id c, uint64_t tag, const void *value, size_t len)
{
	struct fake_conn *fc = live(h, c);
	uint8_t header[6] = { (uint8_t)(tag >> 8),  (uint8_t)tag,	 (uint8_t)(len >> 24),
			      (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };

	if (!fc || !fc->open)
		return -ENOTCONN;
	if (h->send_message_error)
		return h->send_message_error;
	if (sizeof(header) + len > fc->room) {
		fc->wants_room = true;
		return -EAGAIN;
	}
	queue(fc, header, sizeof(header));
	queue(fc, value, len);
	return 0;
}

int mr_resume(struct mr_host *h, mr_conn_id c)
{
	struct fake_conn *fc = live(h, c);

	if (!fc)
		return -ENOTCONN;
	fc->offer_due = true;
	return 0;
}

int mr_pause(struct mr_host *h, mr_conn_id c, bool on)
{
	struct fake_conn *fc = live(h, c);

	if (!fc)
		return -ENOTCONN;
	fc->paused = on;
	fc->offer_due = !on;
	return 0;
}

int mr_shutdown(struct mr_host *h, mr_conn_id c, int how)
{
	struct fake_conn *fc = live(h, c);

	if (!fc)
		return -ENOTCONN;
	if (how != SHUT_WR)
		fc->read_shut = true;
	if (how != SHUT_RD)
		fc->write_shut = true;
	return 0;
}

static int ask_end(struct mr_host *h, mr_conn_id c, enum fake_end end)
{
	struct fake_conn *fc = live(h, c);

	if (!fc)
		return -ENOTCONN;
	fc->end = end;
	fc->asked_end = true;
	return 0;
}

int mr_close(struct mr_host *h, mr_conn_id c)
{
	return ask_end(h, c, FAKE_CLOSED);
}

int mr_abort(struct mr_host *h, mr_conn_id c)
{
	return ask_end(h, c, FAKE_ABORTED);
}

int mr_nodelay(struct mr_host *h, mr_conn_id c, bool on)
{
	fake_conn(h, c)->nodelay = on;
	return 0;
}

int mr_keepalive(struct mr_host *h, mr_conn_id c, unsigned int idle_s, unsigned int interval_s,
		 unsigned int count)
{
	struct fake_conn *fc = fake_conn(h, c);

	fc->keepalive[0] = idle_s;
	fc->keepalive[1] = interval_s;
	fc->keepalive[2] = count;
	return 0;
}

int mr_timer(struct mr_host *h, mr_conn_id c, unsigned int ms)
{
	fake_conn(h, c)->timer_ms = ms ? h->now_ms + ms : 0;
	return 0;
}

int mr_connect(struct mr_host *h, mr_conn_id c, const struct sockaddr *remote, mr_conn_id *id)
{
	size_t bytes = remote->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						    : sizeof(struct sockaddr_in6);

	assert_non_null(live(h, c));
	if (h->connect_error)
		return h->connect_error;
	*id = new_conn(h);
	memcpy(&fake_conn(h, *id)->remote, remote, bytes);
	return 0;
}

int mr_listen(struct mr_host *h, mr_conn_id c, uint16_t port, unsigned int backlog,
	      void (*listening)(struct mr_host *h, mr_conn_id c, int error))
{
	struct fake_conn *fc = live(h, c);

	if (h->listen_error)
		return h->listen_error;
	fc->listen_port = port;
	fc->backlog = backlog;
	fc->listening = listening;
	return 0;
}

/* Here a reason is its errno. */
int mr_close_errno(int reason)
{
	return reason;
}

const char *mr_close_reason_text(int reason)
{
	return reason ? "lost" : "closed";
}
