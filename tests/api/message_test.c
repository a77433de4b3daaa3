/* SPDX-License-Identifier: MIT */
/*
 * The message layer (include/millrace/message.h): servers and clients in one loop; what comes, in
 * which order, with which reason it ends; back-pressure, requests, heartbeats, reconnecting.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <millrace/message.h>
#include <millrace/sock.h>

enum {
	STEPS = 500, /* of 10 ms: until something that must come has come */
	TAG_ECHO = 1,
	TAG_REPLY = 2,
	TAG_KEEP = 3, /* not taken until it is said */
	TAG_COUNT = 4,
	TAG_PING = 100,
	TAG_PONG = 101,
};

/* What one side saw. */
struct side {
	struct mr_peer *peer;
	unsigned int opens, messages, closes, writables, heartbeats, kept;
	enum mr_peer_reason reason;
	int error;
	uint64_t tag;
	size_t len;
	uint8_t value[256];
	bool take; /* TAG_KEEP is taken */
	bool close_on_message, abort_on_message;
	uint64_t next; /* TAG_COUNT: the number that must come */
};

struct bench {
	struct mr_context *x;
	struct mr_loop *l;
	struct mr_message_server *server;
	struct mr_message_options o;
	struct sockaddr_in addr;
	struct side s, c; /* server's and client's */
};

static void on_open(struct mr_peer *p, void *arg)
{
	struct side *s = arg;

	s->peer = p;
	s->opens++;
}

static enum mr_message_verdict on_message(struct mr_peer *p, uint64_t tag, const uint8_t *value,
					  size_t len, void *arg)
{
	struct side *s = arg;

	if (tag == TAG_KEEP && !s->take) {
		s->kept++;
		return MR_MESSAGE_AGAIN;
	}
	s->messages++;
	s->tag = tag;
	s->len = len;
	memcpy(s->value, value, len < sizeof(s->value) ? len : sizeof(s->value));
	if (tag == TAG_COUNT) {
		uint64_t n;

		assert_true(len >= sizeof(n));
		memcpy(&n, value, sizeof(n));
		assert_int_equal(n, s->next++);
	}
	if (s->close_on_message)
		mr_peer_close(p);
	if (s->abort_on_message)
		mr_peer_abort(p);
	if (tag == TAG_ECHO)
		mr_message_send(p, TAG_REPLY, value, len);
	return MR_MESSAGE_DONE;
}

static void on_writable(struct mr_peer *p, void *arg)
{
	(void)p;
	((struct side *)arg)->writables++;
}

static void on_heartbeat(struct mr_peer *p, uint64_t ms, void *arg)
{
	(void)p;
	assert_true(ms < 60000);
	((struct side *)arg)->heartbeats++;
}

static void on_close(struct mr_peer *p, enum mr_peer_reason reason, int error, void *arg)
{
	struct side *s = arg;

	(void)p;
	s->closes++;
	s->reason = reason;
	s->error = error;
}

static const struct mr_message_handlers handlers = {
	.on_open = on_open,
	.on_message = on_message,
	.on_writable = on_writable,
	.on_heartbeat = on_heartbeat,
	.on_close = on_close,
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(mr_context_open("kernel", &b->x, NULL, 0), 0);
	assert_int_equal(mr_loop_new(b->x, &b->l), 0);
	b->o = mr_message_options_default();
	b->addr = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	mr_loop_free(b->l);
	assert_int_equal(b->s.opens, b->s.closes);
	assert_int_equal(b->c.opens > b->c.closes, 0);
	mr_context_close(b->x);
	free(b);
	return 0;
}

static void serve(struct bench *b)
{
	socklen_t len = sizeof(b->addr);

	assert_int_equal(mr_message_listen(b->l, (struct sockaddr *)&b->addr, len, &handlers, &b->o,
					   &b->s, &b->server),
			 0);
	assert_int_equal(mr_message_server_address(b->server, (struct sockaddr *)&b->addr, &len),
			 0);
}

static struct mr_peer *dial(struct bench *b)
{
	struct mr_peer *p;

	assert_int_equal(mr_message_connect(b->l, (struct sockaddr *)&b->addr, sizeof(b->addr),
					    &handlers, &b->o, &b->c, &p),
			 0);
	return p;
}

#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		for (int step = 0; step < STEPS && !(condition); step++)                           \
			assert_int_equal(mr_loop_run(b->l, 10), 0);                                \
		assert_true(condition);                                                            \
	} while (0)

/* Both ends are open. */
static struct mr_peer *pair(struct bench *b)
{
	struct mr_peer *p;

	serve(b);
	p = dial(b);
	UNTIL(b->s.opens && b->c.opens);
	return p;
}

/* A client that is not one of ours: bytes as the test wants them. */
static int raw(struct bench *b)
{
	int fd;

	serve(b);
	fd = mr_sock_open(b->x, AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(mr_sock_connect(b->x, fd, (struct sockaddr *)&b->addr, sizeof(b->addr)),
			 0);
	UNTIL(b->s.opens);
	return fd;
}

static void say(struct bench *b, int fd, const void *bytes, size_t len)
{
	assert_int_equal(mr_sock_send(b->x, fd, bytes, len, 0), len);
}

/* ----- messages ----- */

static void messages_go_both_ways(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);

	assert_int_equal(mr_message_send(p, TAG_ECHO, "hello", 5), 0);
	UNTIL(b->c.messages);
	assert_int_equal(b->c.tag, TAG_REPLY);
	assert_int_equal(b->c.len, 5);
	assert_memory_equal(b->c.value, "hello", 5);
	assert_int_equal(b->s.messages, 1);
	mr_peer_close(p);
	UNTIL(b->c.closes && b->s.closes);
	assert_int_equal(b->c.reason, MR_PEER_CLOSED_HERE);
	assert_int_equal(b->s.reason, MR_PEER_CLOSED_THERE);
}

/* What is sent before the connection stands goes with it, and a close waits for it. */
static void sent_before_it_is_open(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p;

	serve(b);
	p = dial(b);
	for (uint64_t n = 0; n < 1000; n++)
		assert_int_equal(mr_message_send(p, TAG_COUNT, &n, sizeof(n)), 0);
	assert_int_equal(mr_peer_queued(p), 1000 * 14);
	UNTIL(b->s.messages == 1000);
	mr_message_send(p, TAG_ECHO, NULL, 0);
	mr_peer_close(p);
	assert_int_equal(mr_message_send(p, TAG_ECHO, NULL, 0), -EPIPE);
	UNTIL(b->s.closes);
	assert_int_equal(b->s.messages, 1001);
	assert_int_equal(b->s.tag, TAG_ECHO);
}

static void values_of_all_sizes(void **state)
{
	static const size_t size[] = { 0, 1, 1000, 65530, 65536, 200000, 1 << 20 };
	struct bench *b = *state;
	struct mr_peer *p = pair(b);
	uint8_t *value = malloc(1 << 20);

	assert_non_null(value);
	for (size_t i = 0; i < 1 << 20; i++)
		value[i] = (uint8_t)(i % 251);
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		assert_int_equal(mr_message_send(p, TAG_ECHO, value, size[i]), 0);
		UNTIL(b->c.messages == i + 1);
		assert_int_equal(b->c.len, size[i]);
		assert_memory_equal(b->c.value, value, size[i] < 256 ? size[i] : 256);
	}
	assert_int_equal(mr_message_send(p, TAG_ECHO, value, (1 << 20) + 1), -EMSGSIZE);
	assert_int_equal(mr_message_send(p, 65536, value, 1), -EMSGSIZE);
	assert_int_equal(mr_peer_queued(p), 0);
	free(value);
}

static void built_in_place(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);
	int error = 1;
	char *to = mr_message_reserve(p, TAG_ECHO, 100, &error);

	assert_non_null(to);
	assert_int_equal(error, 0);
	assert_int_equal(mr_peer_queued(p), 0);
	memcpy(to, "placed", 6);
	assert_int_equal(mr_message_commit(p, 101), -EINVAL);
	assert_int_equal(mr_message_commit(p, 6), 0);
	assert_int_equal(mr_message_commit(p, 6), -EINVAL);
	UNTIL(b->c.messages);
	assert_memory_equal(b->c.value, "placed", 6);
	assert_null(mr_message_reserve(p, TAG_ECHO, (1 << 20) + 1, &error));
	assert_int_equal(error, -EMSGSIZE);
}

/* Bytes one by one, and with a check behind the value. */
static void cut_in_any_way(void **state)
{
	static const uint8_t stream[] = { 0, TAG_ECHO, 0, 0, 0, 2, 'h', 'i', 0, TAG_COUNT, 0,
					  0, 0,	       8, 0, 0, 0, 0,	0,   0, 0,	   0 };
	struct bench *b = *state;
	int fd = raw(b);
	uint8_t answer[8];

	for (size_t i = 0; i < sizeof(stream); i++) {
		say(b, fd, stream + i, 1);
		mr_loop_run(b->l, 1);
	}
	UNTIL(b->s.messages == 2);
	assert_int_equal(mr_sock_recv(b->x, fd, answer, sizeof(answer), MSG_WAITALL), 8);
	assert_memory_equal(answer, "\0\2\0\0\0\2hi", 8);
}

static void other_formats(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p;

	b->o.format = (struct mr_tlv_format){ .tag_bytes = 8,
					      .length_bytes = 2,
					      .little_endian = true,
					      .length_has_header = true,
					      .max_bytes = 1000,
					      .check = MR_TLV_CHECK_CRC32C };
	p = pair(b);
	assert_int_equal(mr_message_send(p, TAG_ECHO, "checked", 7), 0);
	UNTIL(b->c.messages);
	assert_memory_equal(b->c.value, "checked", 7);
	assert_int_equal(mr_message_send(p, TAG_ECHO, "", 1001), -EMSGSIZE);
}

/* ----- ends ----- */

static void expect_end(struct bench *b, enum mr_peer_reason reason)
{
	UNTIL(b->s.closes);
	assert_int_equal(b->s.reason, reason);
}

static void cut_short(void **state)
{
	struct bench *b = *state;
	int fd = raw(b);

	say(b, fd, "\0\1\0\0\0\5he", 8);
	mr_sock_close(b->x, fd);
	expect_end(b, MR_PEER_CUT_SHORT);
	assert_int_equal(b->s.messages, 0);
}

static void too_long(void **state)
{
	struct bench *b = *state;
	int fd = raw(b);

	say(b, fd, "\0\1\377\377\377\377", 6);
	expect_end(b, MR_PEER_TOO_LONG);
	mr_sock_close(b->x, fd);
}

static void changed_on_its_way(void **state)
{
	struct bench *b = *state;
	int fd;

	b->o.format.check = MR_TLV_CHECK_CRC32C;
	fd = raw(b);
	say(b, fd, "\0\1\0\0\0\2hixxxx", 12);
	expect_end(b, MR_PEER_BAD_CHECK);
	mr_sock_close(b->x, fd);
}

static void reset_by_the_peer(void **state)
{
	struct bench *b = *state;
	int fd = raw(b);

	mr_sock_abort(b->x, fd);
	expect_end(b, MR_PEER_ERROR);
	assert_int_equal(b->s.error, ECONNRESET);
}

static void nobody_listens(void **state)
{
	struct bench *b = *state;

	serve(b);
	mr_message_server_end(b->server);
	dial(b);
	UNTIL(b->c.closes);
	assert_int_equal(b->c.opens, 0);
	assert_int_equal(b->c.reason, MR_PEER_NOT_CONNECTED);
	assert_int_equal(b->c.error, ECONNREFUSED);
	b->c.closes = 0;
}

/* A client that sends its last message and then no more still gets its replies. */
static void half_closed_peer_is_answered(void **state)
{
	struct bench *b = *state;
	int fd = raw(b);
	uint8_t answer[9];

	say(b, fd, "\0\1\0\0\0\2hi", 8);
	assert_int_equal(mr_sock_shutdown(b->x, fd, SHUT_WR), 0);
	expect_end(b, MR_PEER_CLOSED_THERE);
	assert_int_equal(mr_sock_recv(b->x, fd, answer, sizeof(answer), MSG_WAITALL), 8);
	mr_sock_close(b->x, fd);
}

static void closed_from_the_handler(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);

	b->s.close_on_message = true;
	for (int i = 0; i < 3; i++)
		mr_message_send(p, TAG_REPLY, "x", 1);
	UNTIL(b->s.closes && b->c.closes);
	assert_int_equal(b->s.messages, 1);
	assert_int_equal(b->s.reason, MR_PEER_CLOSED_HERE);
}

static void aborted_from_the_handler(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);

	b->s.abort_on_message = true;
	mr_message_send(p, TAG_ECHO, "x", 1);
	UNTIL(b->s.closes && b->c.closes);
	assert_int_equal(b->c.reason, MR_PEER_ERROR);
	assert_int_equal(b->c.error, ECONNRESET);
}

/* ----- back-pressure ----- */

static void what_is_not_taken_comes_again(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);

	mr_message_send(p, TAG_KEEP, "kept", 4);
	for (uint64_t n = 0; n < 100; n++)
		mr_message_send(p, TAG_COUNT, &n, sizeof(n));
	UNTIL(b->s.kept == 1);
	mr_loop_run(b->l, 30);
	assert_int_equal(b->s.kept, 1);
	assert_int_equal(b->s.messages, 0);
	mr_peer_resume(b->s.peer);
	mr_loop_run(b->l, 30);
	assert_int_equal(b->s.kept, 2); /* offered again, left again */
	b->s.take = true;
	mr_peer_resume(b->s.peer);
	UNTIL(b->s.messages == 101);
}

/* A reader that stops closes the sender's way, in bounded memory; both go on where they were. */
static void sender_meets_the_mark(void **state)
{
	struct bench *b = *state;
	uint8_t value[8192] = { 0 };
	uint64_t n = 0;
	struct mr_peer *p;

	b->o.high_water = 1 << 17;
	b->o.low_water = 1 << 15;
	p = pair(b);
	mr_message_send(p, TAG_KEEP, NULL, 0);
	for (int refused = 0; refused < 20; mr_loop_run(b->l, 0)) {
		memcpy(value, &n, sizeof(n));
		switch (mr_message_send(p, TAG_COUNT, value, sizeof(value))) {
		case 0:
			n++;
			refused = 0;
			break;
		default:
			refused++;
		}
		assert_true(mr_peer_queued(p) < (1 << 17) + 2 * sizeof(value));
		assert_true(n < 10000);
	}
	assert_int_equal(b->c.writables, 0);
	b->s.take = true;
	mr_peer_resume(b->s.peer);
	UNTIL(b->s.messages == n + 1);
	assert_int_equal(b->c.writables, 1);
}

/* ----- requests ----- */

struct answers {
	unsigned int n;
	int error[8];
	char text[8][16];
};

static void on_reply(struct mr_peer *p, int error, const uint8_t *value, size_t len, void *arg)
{
	struct answers *a = arg;

	(void)p;
	assert_true(a->n < 8);
	a->error[a->n] = error;
	if (!error)
		memcpy(a->text[a->n], value, len < 15 ? len : 15);
	a->n++;
}

static void replies_find_their_requests(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);
	struct answers a = { 0 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(mr_message_request(p, TAG_ECHO, &"abc"[i], 1, TAG_REPLY, 5000,
						    on_reply, &a),
				 0);
	assert_int_equal(
		mr_message_request(p, TAG_COUNT, "12345678", 8, TAG_COUNT, 50, on_reply, &a), 0);
	b->s.next = 0x3837363534333231; /* it is counted there, not answered */
	UNTIL(a.n == 4);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(a.error[i], 0);
		assert_int_equal(a.text[i][0], "abc"[i]);
	}
	assert_int_equal(a.error[3], -ETIMEDOUT);
	assert_int_equal(b->c.messages, 0);
	assert_int_equal(
		mr_message_request(p, TAG_COUNT, "12345678", 8, TAG_COUNT, 0, on_reply, &a), 0);
	mr_peer_abort(p);
	UNTIL(a.n == 5);
	assert_int_equal(a.error[4], -ECONNRESET);
}

/* The reply to a request whose time is over is not the reply to the next one. */
static void late_reply_is_dropped(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p = pair(b);
	struct answers a = { 0 };

	mr_message_request(p, TAG_KEEP, "1", 1, TAG_KEEP, 20, on_reply, &a);
	UNTIL(a.n == 1 && b->s.kept);
	assert_int_equal(a.error[0], -ETIMEDOUT);
	mr_message_request(p, TAG_KEEP, "2", 1, TAG_KEEP, 5000, on_reply, &a);
	mr_message_send(b->s.peer, TAG_KEEP, "late", 4);
	mr_message_send(b->s.peer, TAG_KEEP, "right", 5);
	UNTIL(a.n == 2);
	assert_int_equal(a.error[1], 0);
	assert_string_equal(a.text[1], "right");
}

/* ----- heartbeats ----- */

static void pings_are_answered(void **state)
{
	struct bench *b = *state;

	b->o.has_ping = true;
	b->o.ping_tag = TAG_PING;
	b->o.pong_tag = TAG_PONG;
	b->o.ping_ms = 20;
	b->o.pong_ms = 5000;
	pair(b);
	UNTIL(b->c.heartbeats >= 2 && b->s.heartbeats >= 1);
	assert_int_equal(b->c.messages + b->s.messages, 0);
}

static void silent_peer_is_closed(void **state)
{
	struct bench *b = *state;
	int fd;

	b->o.has_ping = true;
	b->o.ping_tag = TAG_PING;
	b->o.pong_tag = TAG_PONG;
	b->o.ping_ms = 20;
	b->o.pong_ms = 40;
	fd = raw(b);
	expect_end(b, MR_PEER_NO_PONG);
	mr_sock_close(b->x, fd);
}

static void limits_name_themselves(void **state)
{
	struct bench *b = *state;
	int fd;

	b->o.partial_ms = 30;
	fd = raw(b);
	say(b, fd, "\0\1\0", 3);
	expect_end(b, MR_PEER_PARTIAL);
	mr_sock_close(b->x, fd);
}

static void idle_peer_is_closed(void **state)
{
	struct bench *b = *state;
	int fd;

	b->o.idle_ms = 30;
	fd = raw(b);
	expect_end(b, MR_PEER_IDLE);
	mr_sock_close(b->x, fd);
}

static void own_handler_is_blamed(void **state)
{
	struct bench *b = *state;
	int fd;

	b->o.handler_ms = 30;
	fd = raw(b);
	say(b, fd, "\0\3\0\0\0\0", 6);
	expect_end(b, MR_PEER_HANDLER);
	mr_sock_close(b->x, fd);
}

/* Pings without end to a peer that does not read are not answered without end. */
static void pings_cost_bounded_memory(void **state)
{
	enum { REFUSED = 50, BYTES = 1006 };
	struct bench *b = *state;
	uint8_t *ping = calloc(1, BYTES);
	uint64_t queued = 0;
	size_t sent = 0;
	int fd, small = 16384;

	assert_non_null(ping);
	memcpy(ping, "\0\144\0\0\3\350", 6); /* 100, 1000 */
	b->o.has_ping = true;
	b->o.ping_tag = TAG_PING;
	b->o.pong_tag = TAG_PONG;
	b->o.high_water = 1 << 16;
	b->o.low_water = 1 << 14;
	fd = raw(b);
	assert_int_equal(mr_sock_set_option(b->x, mr_peer_socket(b->s.peer), SOL_SOCKET, SO_SNDBUF,
					    &small, sizeof(small)),
			 0);
	for (int refused = 0; refused < REFUSED; mr_loop_run(b->l, 0)) {
		ssize_t n = mr_sock_send(b->x, fd, ping + sent, BYTES - sent, MSG_DONTWAIT);

		refused = n < 0 ? refused + 1 : 0;
		sent = (sent + (n < 0 ? 0 : (size_t)n)) % BYTES;
		if (mr_peer_queued(b->s.peer) > queued)
			queued = mr_peer_queued(b->s.peer);
	}
	assert_in_range(queued, 1, (1 << 16) + 2 * BYTES);
	free(ping);
	mr_sock_abort(b->x, fd);
}

/* ----- clients that come back ----- */

static void reconnects_and_sends_what_waits(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p;
	uint64_t n = 0;

	b->o.reconnect = true;
	b->o.backoff_ms = 10;
	b->o.backoff_most_ms = 40;
	p = pair(b);
	mr_message_server_end(b->server);
	mr_peer_abort(b->s.peer);
	UNTIL(b->c.closes == 1);
	assert_int_equal(b->c.reason, MR_PEER_ERROR);
	assert_false(mr_peer_is_open(p));
	for (; n < 5; n++)
		assert_int_equal(mr_message_send(p, TAG_COUNT, &n, sizeof(n)), 0);
	mr_loop_run(b->l, 100); /* refused, several times: told once a connection */
	assert_int_equal(b->c.closes, 1);
	serve(b);
	UNTIL(b->c.opens == 2 && b->s.messages == 5);
	mr_peer_close(p);
	UNTIL(b->c.closes == 2);
	mr_loop_run(b->l, 60);
	assert_int_equal(b->c.opens, 2);
}

/* A request that was not sent yet when the connection ended is sent with the next one. */
static void waiting_request_outlives_the_connection(void **state)
{
	struct bench *b = *state;
	struct answers a = { 0 };
	struct mr_peer *p;

	b->o.reconnect = true;
	b->o.backoff_ms = b->o.backoff_most_ms = 20;
	serve(b);
	mr_message_server_end(b->server);
	p = dial(b);
	assert_int_equal(mr_message_request(p, TAG_ECHO, "wait", 4, TAG_REPLY, 0, on_reply, &a), 0);
	UNTIL(b->c.closes == 1);
	assert_int_equal(a.n, 0);
	serve(b);
	UNTIL(a.n == 1);
	assert_int_equal(a.error[0], 0);
	assert_string_equal(a.text[0], "wait");
	b->c.closes = 0;
}

/* ----- wrong ones, and ends of the loop ----- */

static void options_that_do_not_fit(void **state)
{
	struct bench *b = *state;
	struct mr_peer *p;

	b->o.low_water = b->o.high_water + 1;
	assert_int_equal(mr_message_connect(b->l, (struct sockaddr *)&b->addr, sizeof(b->addr),
					    &handlers, &b->o, &b->c, &p),
			 -EINVAL);
	b->o = mr_message_options_default();
	b->o.format.tag_bytes = 3;
	assert_int_equal(mr_message_connect(b->l, (struct sockaddr *)&b->addr, sizeof(b->addr),
					    &handlers, &b->o, &b->c, &p),
			 -EINVAL);
	assert_string_equal(mr_peer_reason_text(MR_PEER_REASON_COUNT), "unknown");
	for (int r = 0; r < MR_PEER_REASON_COUNT; r++)
		assert_string_not_equal(mr_peer_reason_text((enum mr_peer_reason)r), "unknown");
}

static void loop_that_ends_tells_everybody(void **state)
{
	struct bench *b = *state;

	pair(b);
	dial(b);
	UNTIL(b->c.opens == 2 && b->s.opens == 2);
	mr_loop_free(b->l);
	assert_int_equal(b->s.closes, 2);
	assert_int_equal(b->c.closes, 2);
	assert_int_equal(mr_loop_new(b->x, &b->l), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_go_both_ways),
		TEST(sent_before_it_is_open),
		TEST(values_of_all_sizes),
		TEST(built_in_place),
		TEST(cut_in_any_way),
		TEST(other_formats),
		TEST(cut_short),
		TEST(too_long),
		TEST(changed_on_its_way),
		TEST(reset_by_the_peer),
		TEST(nobody_listens),
		TEST(half_closed_peer_is_answered),
		TEST(closed_from_the_handler),
		TEST(aborted_from_the_handler),
		TEST(what_is_not_taken_comes_again),
		TEST(sender_meets_the_mark),
		TEST(replies_find_their_requests),
		TEST(late_reply_is_dropped),
		TEST(pings_are_answered),
		TEST(silent_peer_is_closed),
		TEST(limits_name_themselves),
		TEST(idle_peer_is_closed),
		TEST(own_handler_is_blamed),
		TEST(pings_cost_bounded_memory),
		TEST(reconnects_and_sends_what_waits),
		TEST(waiting_request_outlives_the_connection),
		TEST(options_that_do_not_fit),
		TEST(loop_that_ends_tells_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
