/* SPDX-License-Identifier: MIT */
/*
 * The completion ring (include/millrace/ring.h): each operation, links, cancelling, multishot with
 * provided buffers, time-outs, and what completes when something goes wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include <millrace/ring.h>
#include <millrace/sock.h>

enum {
	BUFFERS = 4,
	BUFFER_BYTES = 64,
	GROUP = 7,
};

/* A listener, a connection to it from both ends, and a ring. */
struct bench {
	struct mr_context *x;
	struct mr_ring *r;
	struct sockaddr_in addr;
	int listener, client, server;
};

static int listen_on(struct bench *b)
{
	socklen_t len = sizeof(b->addr);
	int fd = mr_sock_open(b->x, AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	b->addr = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(mr_sock_bind(b->x, fd, (struct sockaddr *)&b->addr, sizeof(b->addr)), 0);
	assert_int_equal(mr_sock_listen(b->x, fd, 64), 0);
	assert_int_equal(mr_sock_name(b->x, fd, (struct sockaddr *)&b->addr, &len), 0);
	return fd;
}

static int dial(struct bench *b)
{
	int fd = mr_sock_open(b->x, AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(mr_sock_connect(b->x, fd, (struct sockaddr *)&b->addr, sizeof(b->addr)),
			 0);
	return fd;
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_int_equal(mr_context_open("kernel", &b->x, NULL, 0), 0);
	assert_int_equal(mr_ring_new(b->x, 256, &b->r), 0);
	b->listener = listen_on(b);
	b->client = dial(b);
	b->server = mr_sock_accept(b->x, b->listener, NULL, NULL, 0);
	assert_true(b->server >= 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	mr_ring_free(b->r);
	mr_context_close(b->x);
	free(b);
	return 0;
}

static struct mr_sqe *sqe(struct bench *b, enum mr_op op, int fd, uint64_t user)
{
	struct mr_sqe *s = mr_ring_sqe(b->r);

	assert_non_null(s);
	s->op = op;
	s->fd = fd;
	s->user = user;
	return s;
}

static struct mr_sqe *receive(struct bench *b, int fd, uint64_t user, void *buf, size_t len)
{
	struct mr_sqe *s = sqe(b, MR_OP_RECV, fd, user);

	s->buf = buf;
	s->len = len;
	return s;
}

static struct mr_sqe *transmit(struct bench *b, int fd, uint64_t user, const char *text)
{
	struct mr_sqe *s = sqe(b, MR_OP_SEND, fd, user);

	s->buf = (void *)(uintptr_t)text;
	s->len = strlen(text);
	return s;
}

/* The next completion, which is of @user. */
static struct mr_cqe next(struct bench *b, uint64_t user)
{
	struct mr_cqe c;

	assert_int_equal(mr_ring_wait(b->r, &c, 1, 5000), 1);
	assert_int_equal(c.user, user);
	return c;
}

static void expect(struct bench *b, uint64_t user, int64_t result)
{
	struct mr_cqe c = next(b, user);

	assert_int_equal(c.result, result);
	assert_int_equal(c.flags, 0);
}

static void expect_nothing(struct bench *b)
{
	struct mr_cqe c;

	assert_int_equal(mr_ring_wait(b->r, &c, 1, 20), 0);
}

static void say(struct bench *b, int fd, const char *text)
{
	assert_int_equal(mr_sock_send(b->x, fd, text, strlen(text), 0), strlen(text));
}

/* ----- one at a time ----- */

static void nothing_completes_with_nothing(void **state)
{
	struct bench *b = *state;

	sqe(b, MR_OP_NOP, -1, 1);
	sqe(b, MR_OP_NOP, -1, 2);
	assert_int_equal(mr_ring_submit(b->r), 2);
	expect(b, 1, 0);
	expect(b, 2, 0);
	expect_nothing(b);
}

static void bytes_come_and_go(void **state)
{
	struct bench *b = *state;
	char buf[16] = "";

	receive(b, b->server, 1, buf, sizeof(buf));
	expect_nothing(b); /* it waits */
	transmit(b, b->client, 2, "hello");
	expect(b, 2, 5);
	expect(b, 1, 5);
	assert_string_equal(buf, "hello");
	sqe(b, MR_OP_SHUTDOWN, b->client, 3)->how = SHUT_WR;
	receive(b, b->server, 4, buf, sizeof(buf));
	expect(b, 3, 0);
	expect(b, 4, 0); /* the end */
}

/* Receives of one socket are served in their order, and WAITALL waits for all of its bytes. */
static void a_direction_keeps_its_order(void **state)
{
	struct bench *b = *state;
	char first[4], second[4];

	receive(b, b->server, 1, first, 4)->msg_flags = MSG_WAITALL;
	receive(b, b->server, 2, second, 4);
	say(b, b->client, "ab");
	expect_nothing(b);
	say(b, b->client, "cdef");
	expect(b, 1, 4);
	expect(b, 2, 2);
	assert_memory_equal(first, "abcd", 4);
	assert_memory_equal(second, "ef", 2);
}

/* More than socket buffers hold: it goes on as the peer reads. */
static void send_is_whole(void **state)
{
	enum { BYTES = 16 << 20, PIECE = 1 << 16 };
	struct bench *b = *state;
	uint8_t *out = malloc(BYTES), *in = malloc(BYTES);
	struct mr_cqe c;
	bool sent = false;
	size_t got = 0;
	struct mr_sqe *s;

	assert_non_null(out);
	assert_non_null(in);
	for (size_t i = 0; i < BYTES; i++)
		out[i] = (uint8_t)(i * 2654435761u >> 13);
	s = sqe(b, MR_OP_SEND, b->client, 1);
	s->buf = out;
	s->len = BYTES;
	receive(b, b->server, 2, in, PIECE);
	while (got < BYTES || !sent) {
		assert_int_equal(mr_ring_wait(b->r, &c, 1, 5000), 1);
		if (c.user == 1) {
			assert_int_equal(c.result, BYTES);
			sent = true;
			continue;
		}
		assert_true(c.result > 0);
		got += (size_t)c.result;
		if (got < BYTES)
			receive(b, b->server, 2, in + got,
				PIECE < BYTES - got ? PIECE : BYTES - got);
	}
	assert_memory_equal(in, out, BYTES);
	free(out);
	free(in);
}

static void connections_are_made(void **state)
{
	struct bench *b = *state;
	int fd = mr_sock_open(b->x, AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in peer = { 0 };
	socklen_t len = 0;
	struct mr_sqe *s = sqe(b, MR_OP_ACCEPT, b->listener, 1);
	struct mr_cqe c[2];
	int n = 0;

	s->addr = (struct sockaddr *)&peer;
	s->addr_len = sizeof(peer);
	s->addr_out = &len;
	s = sqe(b, MR_OP_CONNECT, fd, 2);
	s->addr = (struct sockaddr *)&b->addr;
	s->addr_len = sizeof(b->addr);
	while (n < 2) {
		int got = mr_ring_wait(b->r, c + n, (unsigned int)(2 - n), 5000);

		assert_true(got > 0);
		n += got;
	}
	assert_int_equal(c[0].user + c[1].user, 3);
	for (int i = 0; i < 2; i++)
		assert_true(c[i].user == 2 ? c[i].result == 0 : c[i].result > 0);
	assert_int_equal(len, sizeof(peer));
	assert_int_equal(peer.sin_family, AF_INET);
}

static void refused_connect_says_so(void **state)
{
	struct bench *b = *state;
	int fd = mr_sock_open(b->x, AF_INET, SOCK_STREAM, 0);
	struct mr_sqe *s = sqe(b, MR_OP_CONNECT, fd, 1);

	assert_int_equal(mr_sock_close(b->x, b->listener), 0);
	s->addr = (struct sockaddr *)&b->addr;
	s->addr_len = sizeof(b->addr);
	expect(b, 1, -ECONNREFUSED);
}

static void files_are_sent(void **state)
{
	enum { BYTES = 300000, FROM = 1000 };
	struct bench *b = *state;
	int file = memfd_create("file", MFD_CLOEXEC);
	uint8_t *text = malloc(BYTES), *in = malloc(BYTES);
	struct mr_sqe *s = sqe(b, MR_OP_SENDFILE, b->client, 1);

	assert_non_null(text);
	assert_non_null(in);
	for (size_t i = 0; i < BYTES; i++)
		text[i] = (uint8_t)(i % 251);
	assert_int_equal(write(file, text, BYTES), BYTES);
	s->file = file;
	s->offset = FROM;
	s->len = BYTES; /* more than there is behind FROM */
	receive(b, b->server, 2, in, BYTES - FROM)->msg_flags = MSG_WAITALL;
	for (int i = 0; i < 2; i++) {
		struct mr_cqe c;

		assert_int_equal(mr_ring_wait(b->r, &c, 1, 5000), 1);
		assert_int_equal(c.result, BYTES - FROM);
	}
	assert_memory_equal(in, text + FROM, BYTES - FROM);
	close(file);
	free(text);
	free(in);
}

static void time_passes(void **state)
{
	struct bench *b = *state;

	sqe(b, MR_OP_TIMEOUT, -1, 3)->timeout_ms = 60;
	sqe(b, MR_OP_TIMEOUT, -1, 1)->timeout_ms = 0;
	sqe(b, MR_OP_TIMEOUT, -1, 2)->timeout_ms = 30;
	sqe(b, MR_OP_TIMEOUT, -1, 4)->timeout_ms = 100000;
	expect(b, 1, -ETIME);
	expect(b, 2, -ETIME);
	expect(b, 3, -ETIME);
	sqe(b, MR_OP_CANCEL, -1, 5)->target = 4;
	expect(b, 4, -ECANCELED);
	expect(b, 5, 1);
}

/* ----- polls ----- */

static void poll_tells_once(void **state)
{
	struct bench *b = *state;

	sqe(b, MR_OP_POLL, b->server, 1)->events = EPOLLIN;
	sqe(b, MR_OP_POLL, b->server, 2)->events = EPOLLOUT;
	expect(b, 2, EPOLLOUT);
	expect_nothing(b);
	say(b, b->client, "x");
	expect(b, 1, EPOLLIN);
	expect_nothing(b);
	sqe(b, MR_OP_POLL, b->server, 3)->events = EPOLLIN; /* holds already */
	expect(b, 3, EPOLLIN);
}

static void level_is_told_until_it_is_gone(void **state)
{
	struct bench *b = *state;
	struct mr_sqe *s = sqe(b, MR_OP_POLL, b->server, 1);
	char buf[8];

	s->events = EPOLLIN;
	s->flags = MR_SQE_MULTISHOT;
	expect_nothing(b);
	say(b, b->client, "x");
	for (int i = 0; i < 3; i++) {
		struct mr_cqe c = next(b, 1);

		assert_int_equal(c.result, EPOLLIN);
		assert_int_equal(c.flags, MR_CQE_MORE);
	}
	assert_int_equal(mr_sock_recv(b->x, b->server, buf, sizeof(buf), 0), 1);
	expect_nothing(b);
	say(b, b->client, "y");
	assert_int_equal(next(b, 1).flags, MR_CQE_MORE);
}

static void edge_is_told_when_something_comes(void **state)
{
	struct bench *b = *state;
	struct mr_sqe *s = sqe(b, MR_OP_POLL, b->server, 1);

	s->events = EPOLLIN;
	s->flags = MR_SQE_MULTISHOT | MR_SQE_EDGE;
	expect_nothing(b);
	for (int i = 0; i < 3; i++) {
		say(b, b->client, "x");
		assert_int_equal(next(b, 1).result, EPOLLIN);
		expect_nothing(b);
	}
}

/* ----- links ----- */

static void links_wait_for_each_other(void **state)
{
	struct bench *b = *state;
	char buf[8] = "";

	receive(b, b->server, 1, buf, 2)->flags = MR_SQE_LINK;
	transmit(b, b->server, 2, "pong")->flags = MR_SQE_LINK;
	sqe(b, MR_OP_CLOSE, b->server, 3);
	sqe(b, MR_OP_NOP, -1, 4); /* not in the chain */
	expect(b, 4, 0);
	expect_nothing(b);
	say(b, b->client, "hi");
	expect(b, 1, 2);
	expect(b, 2, 4);
	expect(b, 3, 0);
	assert_int_equal(mr_sock_blocking(b->x, b->client, true), 0);
	assert_int_equal(mr_sock_recv(b->x, b->client, buf, sizeof(buf), MSG_WAITALL), 4);
	assert_memory_equal(buf, "pong", 4);
}

static void failed_link_cancels_what_follows(void **state)
{
	struct bench *b = *state;

	sqe(b, MR_OP_SHUTDOWN, 9999, 1)->flags = MR_SQE_LINK;
	transmit(b, b->server, 2, "never")->flags = MR_SQE_LINK;
	sqe(b, MR_OP_CLOSE, b->server, 3);
	expect(b, 1, -EBADF);
	expect(b, 2, -ECANCELED);
	expect(b, 3, -ECANCELED);
}

/* WAITALL that gets less than all is a failure to those behind it. */
static void short_receive_breaks_the_chain(void **state)
{
	struct bench *b = *state;
	char buf[8];
	struct mr_sqe *s = receive(b, b->server, 1, buf, 8);

	s->msg_flags = MSG_WAITALL;
	s->flags = MR_SQE_LINK;
	sqe(b, MR_OP_NOP, -1, 2);
	say(b, b->client, "abc");
	assert_int_equal(mr_sock_shutdown(b->x, b->client, SHUT_WR), 0);
	expect(b, 1, 3);
	expect(b, 2, -ECANCELED);
}

/* One that is held is cancelled with all behind it; the one before it stays. */
static void held_ones_are_cancelled(void **state)
{
	struct bench *b = *state;
	char buf[8];

	receive(b, b->server, 1, buf, 8)->flags = MR_SQE_LINK;
	sqe(b, MR_OP_NOP, -1, 2)->flags = MR_SQE_LINK;
	sqe(b, MR_OP_NOP, -1, 3);
	sqe(b, MR_OP_CANCEL, -1, 4)->target = 2;
	expect(b, 2, -ECANCELED);
	expect(b, 3, -ECANCELED);
	expect(b, 4, 1);
	say(b, b->client, "x");
	expect(b, 1, 1);
	expect_nothing(b);
}

static void quiet_ones_say_failures_alone(void **state)
{
	struct bench *b = *state;

	sqe(b, MR_OP_NOP, -1, 1)->flags = MR_SQE_QUIET;
	transmit(b, b->client, 2, "x")->flags = MR_SQE_QUIET;
	sqe(b, MR_OP_CLOSE, 9999, 3)->flags = MR_SQE_QUIET;
	expect(b, 3, -EBADF);
	expect_nothing(b);
}

/* ----- cancelling and closing ----- */

static void cancelled_receive_leaves_its_bytes(void **state)
{
	struct bench *b = *state;
	char buf[8];

	receive(b, b->server, 1, buf, 8);
	receive(b, b->server, 2, buf, 8);
	expect_nothing(b);
	sqe(b, MR_OP_CANCEL, -1, 3)->target = 1;
	expect(b, 1, -ECANCELED);
	expect(b, 3, 1);
	sqe(b, MR_OP_CANCEL, -1, 4)->target = 77;
	expect(b, 4, -ENOENT);
	say(b, b->client, "kept");
	expect(b, 2, 4);
}

static void close_ends_all_of_the_socket(void **state)
{
	struct bench *b = *state;
	char buf[8];
	int fd;

	receive(b, b->server, 1, buf, 8);
	receive(b, b->server, 2, buf, 8);
	sqe(b, MR_OP_POLL, b->server, 3)->events = EPOLLIN;
	expect_nothing(b);
	sqe(b, MR_OP_CLOSE, b->server, 4);
	expect(b, 1, -ECANCELED);
	expect(b, 2, -ECANCELED);
	expect(b, 3, -ECANCELED);
	expect(b, 4, 0);
	/* its number is used again, and is a socket like any other */
	fd = dial(b);
	assert_int_equal(fd, b->server);
	b->server = mr_sock_accept(b->x, b->listener, NULL, NULL, 0);
	receive(b, fd, 5, buf, 8);
	expect_nothing(b);
	say(b, b->server, "new");
	expect(b, 5, 3);
}

static void reset_is_told_behind_the_bytes(void **state)
{
	struct bench *b = *state;
	char buf[8];

	receive(b, b->server, 1, buf, 8);
	expect_nothing(b);
	assert_int_equal(mr_sock_abort(b->x, b->client), 0);
	expect(b, 1, -ECONNRESET);
	transmit(b, b->server, 2, "x");
	expect(b, 2, -EPIPE);
}

/* ----- multishot ----- */

static void accept_goes_on(void **state)
{
	struct bench *b = *state;
	int fd[3];

	sqe(b, MR_OP_ACCEPT, b->listener, 1)->flags = MR_SQE_MULTISHOT;
	expect_nothing(b);
	for (int i = 0; i < 3; i++) {
		struct mr_cqe c;

		fd[i] = dial(b);
		c = next(b, 1);
		assert_true(c.result > fd[i]);
		assert_int_equal(c.flags, MR_CQE_MORE);
	}
	sqe(b, MR_OP_CANCEL, -1, 2)->target = 1;
	expect(b, 1, -ECANCELED);
	expect(b, 2, 1);
	dial(b);
	expect_nothing(b);
}

static void start_multishot(struct bench *b, uint8_t *memory)
{
	struct mr_sqe *s = sqe(b, MR_OP_RECV, b->server, 1);

	assert_int_equal(mr_ring_provide(b->r, GROUP, memory, BUFFER_BYTES, BUFFERS), 0);
	s->flags = MR_SQE_MULTISHOT | MR_SQE_SELECT;
	s->group = GROUP;
}

static void receive_takes_buffers_as_bytes_come(void **state)
{
	struct bench *b = *state;
	uint8_t memory[BUFFERS][BUFFER_BYTES];
	char text[16];

	start_multishot(b, memory[0]);
	expect_nothing(b);
	for (int i = 0; i < 3 * BUFFERS; i++) {
		struct mr_cqe c;

		snprintf(text, sizeof(text), "t%d", i);
		say(b, b->client, text);
		c = next(b, 1);
		assert_int_equal(c.result, strlen(text));
		assert_int_equal(c.flags, MR_CQE_MORE | MR_CQE_BUFFER);
		assert_true(c.buffer < BUFFERS);
		assert_memory_equal(memory[c.buffer], text, strlen(text));
		assert_int_equal(mr_ring_return(b->r, GROUP, &c.buffer, 1), 0);
	}
	assert_int_equal(mr_sock_shutdown(b->x, b->client, SHUT_WR), 0);
	expect(b, 1, 0); /* the end, without a buffer, and nothing more */
	expect_nothing(b);
}

static void without_buffers_it_ends(void **state)
{
	struct bench *b = *state;
	uint8_t memory[BUFFERS][BUFFER_BYTES], text[2 * BUFFERS * BUFFER_BYTES];
	uint32_t buffer[BUFFERS], none = BUFFERS;
	struct mr_cqe c;

	memset(text, 'a', sizeof(text));
	start_multishot(b, memory[0]);
	assert_int_equal(mr_sock_send(b->x, b->client, text, sizeof(text), 0), sizeof(text));
	for (int i = 0; i < BUFFERS; i++) {
		c = next(b, 1);
		assert_int_equal(c.flags, MR_CQE_MORE | MR_CQE_BUFFER);
		assert_int_equal(c.result, BUFFER_BYTES);
		buffer[i] = c.buffer;
	}
	expect(b, 1, -ENOBUFS);
	assert_int_equal(mr_ring_return(b->r, GROUP, &none, 1), -EINVAL);
	assert_int_equal(mr_ring_return(b->r, GROUP, buffer, BUFFERS), 0);
	assert_int_equal(mr_ring_return(b->r, GROUP, buffer, 1), -EINVAL); /* twice */
	assert_int_equal(mr_ring_return(b->r, GROUP + 1, buffer, 1), -EINVAL);
	assert_int_equal(mr_ring_provide(b->r, GROUP, memory, BUFFER_BYTES, BUFFERS), -EEXIST);
}

/* A program that does not collect is not buried: multishot pauses and goes on where it was. */
static void completions_that_wait_pause_it(void **state)
{
	enum { CLIENTS = 20, COMPLETIONS = 4 };
	struct bench *b = *state;
	struct mr_cqe c[64];
	struct mr_ring *r;
	int n = 0;

	assert_int_equal(mr_ring_new(b->x, COMPLETIONS, &r), 0);
	mr_ring_free(b->r);
	b->r = r;
	sqe(b, MR_OP_ACCEPT, b->listener, 1)->flags = MR_SQE_MULTISHOT;
	expect_nothing(b);
	for (int i = 0; i < CLIENTS; i++)
		dial(b);
	while (n < CLIENTS) {
		int got = mr_ring_wait(r, c, 64, 5000);

		assert_in_range(got, 1, COMPLETIONS);
		n += got;
	}
	expect_nothing(b);
}

/* ----- wrong ones ----- */

static void nonsense_is_told_by_its_completion(void **state)
{
	struct bench *b = *state;
	char buf[8];

	sqe(b, MR_OP_COUNT, b->server, 1);
	expect(b, 1, -EINVAL);
	receive(b, b->server, 2, buf, 8)->flags = MR_SQE_MULTISHOT; /* into which buffers? */
	expect(b, 2, -EINVAL);
	transmit(b, b->server, 3, "x")->flags = MR_SQE_MULTISHOT;
	expect(b, 3, -EINVAL);
	receive(b, -1, 4, buf, 8);
	expect(b, 4, -EBADF);
	sqe(b, MR_OP_RECV, b->server, 5)->flags = MR_SQE_SELECT; /* of a group that has none */
	expect(b, 5, -ENOBUFS);
	assert_int_equal(mr_ring_wait(b->r, NULL, 0, 0), -EINVAL);
	assert_int_equal(mr_ring_provide(b->r, 1, NULL, 8, 1), -EINVAL);
	assert_int_equal(mr_ring_provide(b->r, 1, buf, 0, 1), -EINVAL);
	assert_int_equal(mr_ring_provide(b->r, 1, buf, 8, 0), -EINVAL);
}

/* Many sockets with an operation each, and many operations: nothing is lost or doubled. */
static void a_thousand_at_once(void **state)
{
	enum { EACH = 50, OPS = 1000 };
	struct bench *b = *state;
	static uint8_t seen[OPS];
	int client[EACH], server[EACH];
	char buf[OPS];

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < EACH; i++) {
		client[i] = dial(b);
		server[i] = mr_sock_accept(b->x, b->listener, NULL, NULL, 0);
	}
	for (int i = 0; i < OPS; i++)
		receive(b, server[i % EACH], (uint64_t)i, &buf[i], 1);
	expect_nothing(b);
	for (int i = 0; i < OPS; i++)
		say(b, client[i % EACH], "z");
	for (int i = 0; i < OPS; i++) {
		struct mr_cqe c;

		assert_int_equal(mr_ring_wait(b->r, &c, 1, 5000), 1);
		assert_int_equal(c.result, 1);
		assert_int_equal(seen[c.user]++, 0);
	}
	expect_nothing(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_completes_with_nothing),
		TEST(bytes_come_and_go),
		TEST(a_direction_keeps_its_order),
		TEST(send_is_whole),
		TEST(connections_are_made),
		TEST(refused_connect_says_so),
		TEST(files_are_sent),
		TEST(time_passes),
		TEST(poll_tells_once),
		TEST(level_is_told_until_it_is_gone),
		TEST(edge_is_told_when_something_comes),
		TEST(links_wait_for_each_other),
		TEST(failed_link_cancels_what_follows),
		TEST(short_receive_breaks_the_chain),
		TEST(held_ones_are_cancelled),
		TEST(quiet_ones_say_failures_alone),
		TEST(cancelled_receive_leaves_its_bytes),
		TEST(close_ends_all_of_the_socket),
		TEST(reset_is_told_behind_the_bytes),
		TEST(accept_goes_on),
		TEST(receive_takes_buffers_as_bytes_come),
		TEST(without_buffers_it_ends),
		TEST(completions_that_wait_pause_it),
		TEST(nonsense_is_told_by_its_completion),
		TEST(a_thousand_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
