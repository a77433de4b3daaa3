/* SPDX-License-Identifier: MIT */
/* millrace/sock.h: one table of scenarios for all backends. */
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/api/world.h"

/* mr_sock_queues() until @is_done of it: what poll() does not tell */
static void wait_queues(struct mr_context *x, int fd, struct mr_sock_queues *q,
			bool (*is_done)(const struct mr_sock_queues *q))
{
	int ms;

	for (ms = 0; ms < LONG_MS; ms++) {
		assert_int_equal(mr_sock_queues(x, fd, q), 0);
		if (is_done(q))
			return;
		mr_poll(x, NULL, 0, 1);
	}
	fail_msg("waiting %u, unread %lu, unsent %lu", q->waiting, (unsigned long)q->unread,
		 (unsigned long)q->unsent);
}

static bool has_unread(const struct mr_sock_queues *q)
{
	return q->unread;
}

static bool has_two_waiting(const struct mr_sock_queues *q)
{
	return q->waiting >= 2;
}

static bool has_all_sent(const struct mr_sock_queues *q)
{
	return !q->unsent;
}

static void connect_nobody_listens_is_refused(struct world *w)
{
	int listener = listen_on(w, 1);
	int fd = open_client(w, SOCK_NONBLOCK);

	assert_int_equal(mr_sock_close(w->x, listener), 0);
	assert_int_equal(connect_to(w, fd), -ECONNREFUSED);
}

static void connect_twice_is_refused_once_connected(struct world *w)
{
	int client, server;

	open_pair(w, &client, &server);
	/* the kernel says once that the connect in progress is done */
	mr_sock_connect(w->peer, client, (struct sockaddr *)&w->address, sizeof(w->address));
	assert_int_equal(mr_sock_connect(w->peer, client, (struct sockaddr *)&w->address,
					 sizeof(w->address)),
			 -EISCONN);
}

static void accept_is_in_order_of_arrival(struct world *w)
{
	int listener = listen_on(w, 8);
	struct sockaddr_in name[3], peer;
	socklen_t len = sizeof(peer);
	int i, fd;

	for (i = 0; i < 3; i++) {
		fd = open_client(w, SOCK_NONBLOCK);
		assert_int_equal(connect_to(w, fd), 0);
		assert_int_equal(mr_sock_name(w->peer, fd, (struct sockaddr *)&name[i], &len), 0);
	}
	for (i = 0; i < 3; i++) {
		wait_for(w->x, listener, POLLIN);
		fd = mr_sock_accept(w->x, listener, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK);
		assert_true(fd >= 0);
		assert_int_equal(len, sizeof(peer));
		assert_int_equal(peer.sin_port, name[i].sin_port);
		assert_int_equal(peer.sin_addr.s_addr, name[i].sin_addr.s_addr);
	}
	assert_int_equal(mr_sock_accept(w->x, listener, NULL, NULL, 0), -EAGAIN);
}

static void accept_of_no_listener_is_invalid(struct world *w)
{
	int fd = mr_sock_open(w->x, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(mr_sock_accept(w->x, fd, NULL, NULL, 0), -EINVAL);
	assert_int_equal(mr_sock_accept(w->x, fd, NULL, NULL, 0x40000000), -EINVAL);
	assert_int_equal(mr_sock_listen(w->x, fd, 1), -EDESTADDRREQ);
}

static void backlog_holds_what_was_asked_for(struct world *w)
{
	struct mr_sock_queues q;
	int listener = listen_on(w, 2);
	int clients[6], i;

	assert_int_equal(mr_sock_queues(w->x, listener, &q), 0);
	assert_int_equal(q.backlog, 2);
	assert_int_equal(q.waiting, 0);
	for (i = 0; i < 6; i++) {
		clients[i] = open_client(w, SOCK_NONBLOCK);
		mr_sock_connect(w->peer, clients[i], (struct sockaddr *)&w->address,
				sizeof(w->address));
	}
	for (i = 0; i < 2; i++)
		wait_for(w->peer, clients[i], POLLOUT);
	wait_for(w->x, listener, POLLIN);
	wait_queues(w->x, listener, &q, has_two_waiting);
	/* one more: the column of the kernel */
	assert_in_range(q.waiting, 2, is_kernel(w) ? 3 : 2);
}

static void half_open_handshakes_are_counted(struct world *w)
{
	struct mr_sock_queues q = { 0 };
	int listener = listen_on(w, 8);
	int seconds = 30, fd = open_client(w, SOCK_NONBLOCK);

	/* To the kernel a connection that is not to be accepted before its data is half open. */
	if (!is_kernel(w))
		return;
	assert_int_equal(mr_sock_set_option(w->x, listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds,
					    sizeof(seconds)),
			 0);
	assert_int_equal(connect_to(w, fd), 0);
	assert_int_equal(mr_sock_queues(w->x, listener, &q), 0);
	assert_int_equal(q.half_open, 1);
	assert_int_equal(q.waiting, 0);
	send_text(w->peer, fd, "x");
	wait_for(w->x, listener, POLLIN);
	assert_int_equal(mr_sock_queues(w->x, listener, &q), 0);
	assert_int_equal(q.half_open, 0);
	assert_int_equal(q.waiting, 1);
}

static void half_close_leaves_the_other_way_open(struct world *w)
{
	int client, server;

	open_pair(w, &client, &server);
	send_text(w->peer, client, "request");
	assert_int_equal(mr_sock_shutdown(w->peer, client, SHUT_WR), 0);
	expect_text(w->x, server, "request");
	expect_end(w->x, server, 0);
	expect_end(w->x, server, 0);
	assert_int_equal(mr_sock_send(w->peer, client, "x", 1, 0), -EPIPE);
	send_text(w->x, server, "a late answer");
	expect_text(w->peer, client, "a late answer");
	assert_int_equal(mr_sock_shutdown(w->x, server, SHUT_WR), 0);
	expect_end(w->peer, client, 0);
	assert_int_equal(mr_sock_close(w->x, server), 0);
	assert_int_equal(mr_sock_close(w->peer, client), 0);
}

/*
 * What shutdown() does: a row for each way, and of what comes of a byte that the peer sends
 * afterwards a column for the kernel and one for lanes. Linux lets data be read after SHUT_RD, but
 * answers it with RST after SHUT_RDWR.
 */
struct shut {
	int how;
	ssize_t own_recv;  /* its own mr_sock_recv() at once */
	ssize_t own_send;  /* its own mr_sock_send() of a byte */
	ssize_t peer_recv; /* the peer's, when what this side sent was read */
	struct late {
		bool is_reset;	  /* the connection, by the peer's byte */
		ssize_t own_recv; /* then */
		ssize_t peer_recv;
	} kernel, lane;
};

static const struct shut shuts[] = {
	{ SHUT_RD, 0, 1, -EAGAIN, { false, 1, -EAGAIN }, { true, 0, -ECONNRESET } },
	{ SHUT_WR, -EAGAIN, -EPIPE, 0, { false, 1, 0 }, { false, 1, 0 } },
	{ SHUT_RDWR, 0, -EPIPE, 0, { true, -ECONNRESET, 0 }, { true, 0, 0 } },
};

static void shutdown_row(struct world *w, const struct shut *row)
{
	const struct late *late = is_kernel(w) ? &row->kernel : &row->lane;
	struct mr_sock_queues q;
	int client, server;
	char byte;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_shutdown(w->x, server, row->how), 0);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), row->own_recv);
	assert_int_equal(mr_sock_send(w->x, server, "a", 1, 0), row->own_send);
	if (row->own_send == 1)
		expect_text(w->peer, client, "a");
	if (row->peer_recv != -EAGAIN)
		wait_for(w->peer, client, POLLIN);
	assert_int_equal(mr_sock_recv(w->peer, client, &byte, 1, 0), row->peer_recv);
	assert_int_equal(mr_sock_send(w->peer, client, "b", 1, 0), 1);
	if (late->is_reset)
		wait_for(w->peer, client, POLLHUP);
	else
		wait_queues(w->x, server, &q, has_unread);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), late->own_recv);
	assert_int_equal(mr_sock_recv(w->peer, client, &byte, 1, 0), late->peer_recv);
	assert_int_equal(mr_sock_send(w->peer, client, "c", 1, 0), late->is_reset ? -EPIPE : 1);
}

static void shutdown_does_what_the_table_says(struct world *w)
{
	size_t i;

	for (i = 0; i < sizeof(shuts) / sizeof(shuts[0]); i++)
		shutdown_row(w, &shuts[i]);
}

static void shutdown_of_what_is_not_connected_is_refused(struct world *w)
{
	int fd = open_client(w, SOCK_NONBLOCK);
	char byte;

	assert_int_equal(mr_sock_shutdown(w->peer, fd, SHUT_WR), -ENOTCONN);
	assert_int_equal(mr_sock_shutdown(w->peer, fd, 17), -EINVAL);
	assert_int_equal(mr_sock_recv(w->peer, fd, &byte, 1, 0), -ENOTCONN);
	/* to the kernel it is a pipe without an end */
	assert_int_equal(mr_sock_send(w->peer, fd, "x", 1, 0), is_kernel(w) ? -EPIPE : -ENOTCONN);
}

static void close_with_unread_bytes_resets_the_peer(struct world *w)
{
	int client, server;

	open_pair(w, &client, &server);
	send_text(w->peer, client, "nobody reads this");
	wait_for(w->x, server, POLLIN);
	assert_int_equal(mr_sock_close(w->x, server), 0);
	wait_for(w->peer, client, POLLERR | POLLHUP);
	expect_end(w->peer, client, -ECONNRESET);
	expect_end(w->peer, client, 0);
}

static void close_delivers_what_was_sent(struct world *w)
{
	int client, server;

	open_pair(w, &client, &server);
	send_text(w->x, server, "last words");
	assert_int_equal(mr_sock_close(w->x, server), 0);
	expect_text(w->peer, client, "last words");
	expect_end(w->peer, client, 0);
}

static void close_of_a_listener_resets_who_waits(struct world *w)
{
	int listener = listen_on(w, 8);
	int fd = open_client(w, SOCK_NONBLOCK);

	assert_int_equal(connect_to(w, fd), 0);
	wait_for(w->x, listener, POLLIN);
	assert_int_equal(mr_sock_close(w->x, listener), 0);
	expect_end(w->peer, fd, -ECONNRESET);
}

static void linger_of_no_time_resets(struct world *w)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 }, back = { 0 };
	socklen_t len = sizeof(back);
	int client, server;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_set_option(w->x, server, SOL_SOCKET, SO_LINGER, &l, sizeof(l)), 0);
	assert_int_equal(mr_sock_option(w->x, server, SOL_SOCKET, SO_LINGER, &back, &len), 0);
	assert_int_equal(back.l_onoff, 1);
	assert_int_equal(back.l_linger, 0);
	assert_int_equal(mr_sock_close(w->x, server), 0);
	expect_end(w->peer, client, -ECONNRESET);
}

static void abort_resets_and_frees_the_descriptor(struct world *w)
{
	int client, server;
	char byte;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_abort(w->x, server), 0);
	assert_int_equal(mr_sock_abort(w->x, server), -EBADF);
	expect_end(w->peer, client, -ECONNRESET);
	assert_int_equal(mr_sock_send(w->peer, client, "x", 1, 0), -EPIPE);
	assert_int_equal(mr_sock_recv(w->peer, client, &byte, 1, 0), 0);
}

static void error_is_told_once(struct world *w)
{
	int client, server;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_error(w->peer, client), 0);
	assert_int_equal(mr_sock_abort(w->x, server), 0);
	wait_for(w->peer, client, POLLERR);
	assert_int_equal(mr_sock_error(w->peer, client), ECONNRESET);
	assert_int_equal(mr_sock_error(w->peer, client), 0);
	assert_int_equal(mr_sock_error(w->peer, -1), -EBADF);
}

/* Whole numbers that may be set and read back as they were set. */
static const struct option {
	int level, name, value;
} options[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, 1 },   { SOL_SOCKET, SO_REUSEADDR, 1 },
	{ IPPROTO_TCP, TCP_NODELAY, 1 },   { IPPROTO_TCP, TCP_NODELAY, 0 },
	{ IPPROTO_TCP, TCP_CORK, 1 },	   { IPPROTO_TCP, TCP_CORK, 0 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 33 }, { IPPROTO_TCP, TCP_KEEPINTVL, 7 },
	{ IPPROTO_TCP, TCP_KEEPCNT, 5 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, 4000 },
	{ IPPROTO_TCP, TCP_QUICKACK, 1 },
};

static void options_are_read_as_they_were_set(struct world *w)
{
	int client, server;
	size_t i;

	open_pair(w, &client, &server);
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const struct option *o = &options[i];
		int back = -1;
		socklen_t len = sizeof(back);

		assert_int_equal(mr_sock_set_option(w->x, server, o->level, o->name, &o->value,
						    sizeof(o->value)),
				 0);
		assert_int_equal(mr_sock_option(w->x, server, o->level, o->name, &back, &len), 0);
		assert_int_equal(back, o->value);
		assert_int_equal(len, sizeof(back));
	}
}

static int number(struct mr_context *x, int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(mr_sock_option(x, fd, level, name, &value, &len), 0);
	return value;
}

static void options_that_tell_of_a_socket(struct world *w)
{
	struct tcp_info info = { 0 };
	char cc[16] = "";
	int client, server, listener = listen_on(w, 1);
	socklen_t len = sizeof(info);

	assert_int_equal(number(w->x, listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(number(w->x, listener, SOL_SOCKET, SO_REUSEPORT), 1);
	assert_int_equal(mr_sock_close(w->x, listener), 0);
	open_pair(w, &client, &server);
	assert_int_equal(number(w->x, server, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_int_equal(number(w->x, server, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_true(number(w->x, server, SOL_SOCKET, SO_RCVBUF) > 0);
	assert_true(number(w->x, server, SOL_SOCKET, SO_SNDBUF) > 0);
	assert_true(number(w->x, server, IPPROTO_TCP, TCP_MAXSEG) >= 88);
	assert_int_equal(mr_sock_option(w->x, server, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.tcpi_state, TCP_ESTABLISHED);
	len = sizeof(cc);
	assert_int_equal(mr_sock_option(w->x, server, IPPROTO_TCP, TCP_CONGESTION, cc, &len), 0);
	assert_true(cc[0]);
}

static void options_that_are_wrong_are_refused(struct world *w)
{
	int one = 1, client, server;
	socklen_t len = sizeof(one);

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_set_option(w->x, server, IPPROTO_TCP, 250, &one, sizeof(one)),
			 -ENOPROTOOPT);
	assert_int_equal(mr_sock_option(w->x, server, IPPROTO_TCP, 250, &one, &len), -ENOPROTOOPT);
	assert_int_equal(mr_sock_set_option(w->x, server, IPPROTO_TCP, TCP_NODELAY, &one, 1),
			 -EINVAL);
	assert_int_equal(mr_sock_set_option(w->x, server, IPPROTO_TCP, TCP_NODELAY, NULL, 4),
			 -EINVAL);
	assert_int_equal(mr_sock_set_option(w->x, server, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 0 },
					    sizeof(int)),
			 -EINVAL);
}

static void names_of_both_ends_agree(struct world *w)
{
	struct sockaddr_in a, b;
	socklen_t len = sizeof(a);
	int client, server, fd = open_client(w, 0);

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_name(w->peer, client, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(mr_sock_peer(w->x, server, (struct sockaddr *)&b, &len), 0);
	assert_int_equal(a.sin_port, b.sin_port);
	assert_int_equal(a.sin_addr.s_addr, b.sin_addr.s_addr);
	assert_int_equal(mr_sock_peer(w->peer, client, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(a.sin_port, w->address.sin_port);
	len = 4; /* cut, and the whole length is told */
	assert_int_equal(mr_sock_peer(w->peer, client, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(len, sizeof(a));
	assert_int_equal(mr_sock_peer(w->peer, fd, (struct sockaddr *)&a, &len), -ENOTCONN);
}

static void peek_leaves_bytes_where_they_are(struct world *w)
{
	int client, server;
	char buf[8];

	open_pair(w, &client, &server);
	send_text(w->peer, client, "abcd");
	wait_for(w->x, server, POLLIN);
	assert_int_equal(mr_sock_recv(w->x, server, buf, 2, MSG_PEEK), 2);
	assert_memory_equal(buf, "ab", 2);
	assert_int_equal(mr_sock_recv(w->x, server, buf, 8, MSG_PEEK), 4);
	expect_text(w->x, server, "abcd");
	assert_int_equal(mr_sock_recv(w->x, server, buf, 8, MSG_PEEK), -EAGAIN);
}

static void flags_let_one_call_not_block(struct world *w)
{
	int client, server;
	char byte;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_blocking(w->x, server, true), 0);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, MSG_DONTWAIT), -EAGAIN);
	send_text(w->peer, client, "x");
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), 1);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0x1000000), -EOPNOTSUPP);
	assert_int_equal(mr_sock_send(w->x, server, &byte, 1, 0x1000000), -EOPNOTSUPP);
	assert_int_equal(mr_sock_blocking(w->x, server, false), 0);
	assert_int_equal(mr_sock_recv(w->x, server, &byte, 1, 0), -EAGAIN);
}

static void pieces_are_one_stream(struct world *w)
{
	char a[2], b[5], c[3];
	struct iovec out[] = { { "hello", 5 }, { "", 0 }, { " you", 4 } };
	struct iovec in[] = { { a, 2 }, { b, 5 }, { c, 3 } };
	int client, server;

	open_pair(w, &client, &server);
	assert_int_equal(mr_sock_sendv(w->peer, client, out, 3, 0), 9);
	wait_for(w->x, server, POLLIN);
	assert_int_equal(mr_sock_recvv(w->x, server, in, 3, 0), 9);
	assert_memory_equal(a, "he", 2);
	assert_memory_equal(b, "llo y", 5);
	assert_memory_equal(c, "ou", 2);
	assert_int_equal(mr_sock_sendv(w->peer, client, out, -1, 0), -EINVAL);
	assert_int_equal(mr_sock_recvv(w->x, server, in, 100000, 0), -EINVAL);
}

static void queues_tell_what_waits(struct world *w)
{
	struct mr_sock_queues q;
	int client, server;

	open_pair(w, &client, &server);
	send_text(w->peer, client, "12345");
	wait_for(w->x, server, POLLIN);
	assert_int_equal(mr_sock_queues(w->x, server, &q), 0);
	assert_int_equal(q.unread, 5);
	assert_int_equal(q.unsent, 0);
	wait_queues(w->peer, client, &q, has_all_sent);
	assert_int_equal(q.unread, 0);
	assert_int_equal(mr_sock_queues(w->x, -1, &q), -EBADF);
}

static void sender_is_held_when_nobody_reads(struct world *w)
{
	static char block[65536];
	struct mr_sock_queues q;
	int client, server;
	size_t sent = 0, got = 0;
	ssize_t n;

	open_pair(w, &client, &server);
	while ((n = mr_sock_send(w->peer, client, block, sizeof(block), 0)) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(mr_sock_queues(w->peer, client, &q), 0);
	assert_true(q.unsent <= sent);
	while (got < sent) {
		wait_for(w->x, server, POLLIN);
		n = mr_sock_recv(w->x, server, block, sizeof(block), 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
	wait_for(w->peer, client, POLLOUT);
	assert_int_equal(got, sent);
}

static void two_listeners_share_a_port(struct world *w)
{
	struct mr_context *other;
	int listeners[2], i, accepted = 0;

	assert_int_equal(mr_context_open(w->backend, &other, NULL, 0), 0);
	listeners[0] = listen_on(w, 64);
	listeners[1] = mr_sock_open(other, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(mr_sock_bind(other, listeners[1], (struct sockaddr *)&w->address,
				      sizeof(w->address)),
			 0);
	assert_int_equal(mr_sock_listen(other, listeners[1], 64), 0);
	if (!is_kernel(w)) {
		mr_context_close(other); /* a wire of its own */
		return;
	}
	for (i = 0; i < 32; i++)
		assert_int_equal(connect_to(w, open_client(w, SOCK_NONBLOCK)), 0);
	while (accepted < 32) {
		struct pollfd p[2] = { { listeners[0], POLLIN, 0 }, { listeners[1], POLLIN, 0 } };

		assert_true(mr_poll(w->x, p, 2, LONG_MS) > 0);
		if (p[0].revents)
			accepted += mr_sock_accept(w->x, listeners[0], NULL, NULL, 0) >= 0;
		if (p[1].revents)
			accepted += mr_sock_accept(other, listeners[1], NULL, NULL, 0) >= 0;
	}
	assert_int_equal(mr_sock_accept(w->x, listeners[0], NULL, NULL, 0), -EAGAIN);
	assert_int_equal(mr_sock_accept(other, listeners[1], NULL, NULL, 0), -EAGAIN);
	mr_context_close(other);
}

static void address_of_another_program_is_in_use(struct world *w)
{
	struct sockaddr_in a = w->address;
	socklen_t len = sizeof(a);
	int theirs, fd;

	if (!is_kernel(w))
		return; /* there is no other program on a wire */
	theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(theirs, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(theirs, 1), 0);
	assert_int_equal(getsockname(theirs, (struct sockaddr *)&a, &len), 0);
	fd = mr_sock_open(w->x, AF_INET, SOCK_STREAM, 0);
	assert_int_equal(mr_sock_bind(w->x, fd, (struct sockaddr *)&a, len), -EADDRINUSE);
	close(theirs);
	assert_int_equal(mr_sock_bind(w->x, fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(mr_sock_bind(w->x, fd, (struct sockaddr *)&a, len), -EINVAL);
}

static void arguments_that_cannot_be_are_refused(struct world *w)
{
	struct sockaddr strange = { .sa_family = AF_UNIX };
	int fd = mr_sock_open(w->x, AF_INET, SOCK_STREAM, IPPROTO_TCP);

	assert_true(fd >= 0);
	assert_int_equal(mr_sock_open(w->x, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
	assert_int_equal(mr_sock_open(w->x, AF_INET, SOCK_DGRAM, 0), -EPROTONOSUPPORT);
	assert_int_equal(mr_sock_open(w->x, AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
	assert_int_equal(mr_sock_bind(w->x, fd, &strange, sizeof(strange)), -EAFNOSUPPORT);
	assert_int_equal(mr_sock_connect(w->x, fd, (struct sockaddr *)&w->address, 8), -EINVAL);
	assert_int_equal(mr_sock_connect(w->x, fd, NULL, 0), -EINVAL);
}

static void descriptors_that_are_none_are_told(struct world *w)
{
	int fd = mr_sock_open(w->x, AF_INET, SOCK_STREAM, 0);
	int bad[] = { -1, fd, fd + 1, 1 << 20, INT32_MAX };
	struct sockaddr *a = (struct sockaddr *)&w->address;
	socklen_t len = sizeof(w->address);
	char byte = 0;
	size_t i;

	assert_int_equal(mr_sock_close(w->x, fd), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mr_sock_bind(w->x, bad[i], a, len), -EBADF);
		assert_int_equal(mr_sock_listen(w->x, bad[i], 1), -EBADF);
		assert_int_equal(mr_sock_accept(w->x, bad[i], NULL, NULL, 0), -EBADF);
		assert_int_equal(mr_sock_connect(w->x, bad[i], a, len), -EBADF);
		assert_int_equal(mr_sock_send(w->x, bad[i], &byte, 1, 0), -EBADF);
		assert_int_equal(mr_sock_recv(w->x, bad[i], &byte, 1, 0), -EBADF);
		assert_int_equal(mr_sock_shutdown(w->x, bad[i], SHUT_WR), -EBADF);
		assert_int_equal(mr_sock_blocking(w->x, bad[i], true), -EBADF);
		assert_int_equal(mr_sock_name(w->x, bad[i], a, &len), -EBADF);
		assert_int_equal(mr_sock_peer(w->x, bad[i], a, &len), -EBADF);
		assert_int_equal(mr_sock_abort(w->x, bad[i]), -EBADF);
		assert_int_equal(mr_sock_close(w->x, bad[i]), -EBADF);
	}
}

static void descriptor_is_the_lowest_that_is_free(struct world *w)
{
	int a = mr_sock_open(w->x, AF_INET, SOCK_STREAM, 0);
	int b = mr_sock_open(w->x, AF_INET, SOCK_STREAM, 0);

	assert_true(b > a);
	assert_int_equal(mr_sock_close(w->x, a), 0);
	assert_int_equal(mr_sock_open(w->x, AF_INET, SOCK_STREAM, 0), a);
}

static void context_closes_what_stands_open(struct world *w)
{
	struct mr_context *other = w->x;
	int listener = listen_on(w, 8);
	int fd = open_client(w, SOCK_NONBLOCK);

	if (w->peer == w->x)
		return; /* the peer would go with it */
	assert_int_equal(connect_to(w, fd), 0);
	wait_for(w->x, listener, POLLIN);
	assert_int_equal(mr_context_open(w->backend, &w->x, NULL, 0), 0);
	mr_context_close(other);
	expect_end(w->peer, fd, -ECONNRESET);
}

#define S(name)                                                                                    \
	{                                                                                          \
#name, name                                                                        \
	}
static const struct scenario rows[] = {
	S(connect_nobody_listens_is_refused),
	S(connect_twice_is_refused_once_connected),
	S(accept_is_in_order_of_arrival),
	S(accept_of_no_listener_is_invalid),
	S(backlog_holds_what_was_asked_for),
	S(half_open_handshakes_are_counted),
	S(half_close_leaves_the_other_way_open),
	S(shutdown_does_what_the_table_says),
	S(shutdown_of_what_is_not_connected_is_refused),
	S(close_with_unread_bytes_resets_the_peer),
	S(close_delivers_what_was_sent),
	S(close_of_a_listener_resets_who_waits),
	S(linger_of_no_time_resets),
	S(abort_resets_and_frees_the_descriptor),
	S(error_is_told_once),
	S(options_are_read_as_they_were_set),
	S(options_that_tell_of_a_socket),
	S(options_that_are_wrong_are_refused),
	S(names_of_both_ends_agree),
	S(peek_leaves_bytes_where_they_are),
	S(flags_let_one_call_not_block),
	S(pieces_are_one_stream),
	S(queues_tell_what_waits),
	S(sender_is_held_when_nobody_reads),
	S(two_listeners_share_a_port),
	S(address_of_another_program_is_in_use),
	S(arguments_that_cannot_be_are_refused),
	S(descriptors_that_are_none_are_told),
	S(descriptor_is_the_lowest_that_is_free),
	S(context_closes_what_stands_open),
};

int main(void)
{
	return run_scenarios("sockets", rows, sizeof(rows) / sizeof(rows[0]));
}
