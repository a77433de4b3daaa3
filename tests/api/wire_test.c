/* SPDX-License-Identifier: MIT */
/*
 * What only backend "wire" can show: a run is the same each time, and what sockets hold of a
 * channel that is short does not stop the others.
 */
#include <stdio.h>
#include <arpa/inet.h>

#include "tests/api/world.h"

enum {
	BULK = 3 << 20,
	BLOCK = 40000,
	MANY = 300,
};

static void open_wire(struct world *w)
{
	*w = (struct world){ .backend = "wire",
			     .address = { .sin_family = AF_INET, .sin_port = htons(7000) } };
	assert_int_equal(inet_pton(AF_INET, "192.0.2.2", &w->address.sin_addr), 1);
	assert_int_equal(mr_context_open("wire", &w->x, NULL, 0), 0);
	w->peer = w->x;
}

static uint8_t byte_at(uint64_t i)
{
	return (uint8_t)(i * 31 + (i >> 9) * 7);
}

/* One end of a connection that sends BULK bytes and reads as many, as far as it goes. */
struct end {
	int fd;
	uint64_t sent, got;
	bool shut, ended;
};

static uint8_t block[BLOCK];

static void push(struct mr_context *x, struct end *e)
{
	while (e->sent < BULK) {
		uint64_t n = BULK - e->sent < BLOCK ? BULK - e->sent : BLOCK;
		ssize_t done;

		for (uint64_t i = 0; i < n; i++)
			block[i] = byte_at(e->sent + i);
		done = mr_sock_send(x, e->fd, block, n, 0);
		if (done == -EAGAIN)
			return;
		assert_true(done > 0);
		e->sent += (uint64_t)done;
	}
	if (!e->shut)
		assert_int_equal(mr_sock_shutdown(x, e->fd, SHUT_WR), 0);
	e->shut = true;
}

static void pull(struct mr_context *x, struct end *e)
{
	ssize_t n;

	while ((n = mr_sock_recv(x, e->fd, block, BLOCK, 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (block[i] != byte_at(e->got + (uint64_t)i))
				fail_msg("byte %llu is wrong", (unsigned long long)e->got + i);
		e->got += (uint64_t)n;
	}
	assert_true(n == 0 || n == -EAGAIN);
	e->ended = n == 0;
}

static void bulk_both_ways_arrives_whole(void **state)
{
	struct epoll_event events[2];
	struct end end[2] = { 0 };
	struct mr_set *set;
	struct world w;
	int client, server;

	(void)state;
	open_wire(&w);
	open_pair(&w, &client, &server);
	end[0].fd = client;
	end[1].fd = server;
	assert_int_equal(mr_set_new(w.x, &set), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(mr_set_add(set, end[i].fd, EPOLLIN | EPOLLOUT | EPOLLET,
					    (epoll_data_t){ .u32 = i }),
				 0);
	while (!end[0].ended || !end[1].ended) {
		int n = mr_set_wait(set, events, 2, 60000);

		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			push(w.x, &end[events[i].data.u32]);
			pull(w.x, &end[events[i].data.u32]);
		}
	}
	assert_int_equal(end[0].got, BULK);
	assert_int_equal(end[1].got, BULK);
	mr_set_free(set);
	mr_context_close(w.x);
}

/* Peers whose text nobody reads hold no buffers: the last one is served all the same. */
static void unread_sockets_do_not_starve_others(void **state)
{
	static char text[30000];
	int client[MANY], server[MANY], listener;
	struct world w;
	char back[5];

	(void)state;
	open_wire(&w);
	listener = listen_on(&w, MANY);
	for (int i = 0; i < MANY; i++) {
		client[i] = open_client(&w, SOCK_NONBLOCK);
		assert_int_equal(connect_to(&w, client[i]), 0);
		server[i] = accept_one(&w, listener);
	}
	for (int i = 0; i < MANY - 1; i++)
		mr_sock_send(w.peer, client[i], text, sizeof(text), 0);
	send_text(w.peer, client[MANY - 1], "hello");
	expect_text(w.x, server[MANY - 1], "hello");
	send_text(w.x, server[MANY - 1], "world");
	wait_for(w.peer, client[MANY - 1], POLLIN);
	assert_int_equal(mr_sock_recv(w.peer, client[MANY - 1], back, 5, 0), 5);
	assert_memory_equal(back, "world", 5);
	for (int i = 0; i < MANY - 1; i++) {
		size_t got = 0;
		ssize_t n;

		mr_sock_close(w.peer, client[i]);
		while ((n = mr_sock_recv(w.x, server[i], text, sizeof(text), 0)) > 0)
			got += (size_t)n;
		assert_true(n == 0 || n == -EAGAIN);
		assert_true(got <= sizeof(text));
	}
	mr_context_close(w.x);
}

/* What a run looks like from outside: when what happened. */
static void play(char *record, size_t bytes)
{
	struct mr_sock_queues q;
	struct world w;
	int client, server;
	size_t len = 0;
	char text[3000];

	open_wire(&w);
	open_pair(&w, &client, &server);
	memset(text, 'x', sizeof(text));
	for (int i = 1; i <= 20; i++) {
		ssize_t n;

		mr_sock_send(w.peer, client, text, (size_t)(i * 149), 0);
		mr_poll(w.x, NULL, 0, i % 3);
		n = mr_sock_recv(w.x, server, text, (size_t)(i * 100), 0);
		mr_sock_queues(w.peer, client, &q);
		len += (size_t)snprintf(record + len, bytes - len, "%zd %u;", n,
					(unsigned int)q.unsent);
	}
	mr_context_close(w.x);
}

static void a_run_is_the_same_each_time(void **state)
{
	char first[2000], second[2000];

	(void)state;
	play(first, sizeof(first));
	play(second, sizeof(second));
	assert_string_equal(first, second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_both_ways_arrives_whole),
		cmocka_unit_test(unread_sockets_do_not_starve_others),
		cmocka_unit_test(a_run_is_the_same_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
