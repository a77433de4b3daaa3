/* SPDX-License-Identifier: MIT */
/*
 * The application `attach`: a program's end of a channel, played by the test, serves or opens
 * connections of a lane; a program that lies harms nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "tests/lane/talk.h"
#include "user/attach/channel.h"
#include "user/lane/internal.h"

enum {
	PORT = 7000,
	EVENTS_MOST = 4096,
};

/* The program. */
struct program {
	struct pair p;
	int fd;
	struct mr_channel c;
	struct mr_attach_record event[EVENTS_MOST]; /* all that came, in order */
	uint32_t n;
};

static const struct mr_attach_sizes sizes = {
	.commands = 64,
	.events = 256,
	.receive_buffers = 32,
	.send_buffers = 8,
	.buffer_bytes = 1024,
};

static void attach(struct program *g, int end, uint32_t number, const uint16_t *rules,
		   uint32_t n_rules)
{
	const struct mr_lane_channel from = {
		.number = number,
		.memory = g->fd,
		.bell = -1,
		.rules = rules,
		.n_rules = n_rules,
	};

	assert_int_equal(mr_lane_attach(g->p.end[end].lane, &from), 0);
}

static void open_channel(struct program *g)
{
	assert_int_equal(mr_channel_create(&sizes, 0, &g->fd), 0);
	assert_int_equal(mr_channel_open(&g->c, g->fd, MR_CHANNEL_PROGRAM), 0);
}

static void start(struct program *g)
{
	memset(g, 0, sizeof(*g));
	talk_start(&g->p, "attach", PAIR_OPTIONS);
	open_channel(g);
	attach(g, PAIR_SERVER, 3, NULL, 0);
}

static void finish(struct program *g)
{
	mr_channel_close(&g->c);
	close(g->fd);
	talk_end(&g->p);
}

static void command(struct program *g, const struct mr_attach_record *r)
{
	assert_true(mr_channel_put(&g->c, r));
}

/* Turns for @ms; what comes is kept. */
static void run(struct program *g, uint32_t ms)
{
	pair_run(&g->p, ms, NULL, NULL);
	while (g->n < EVENTS_MOST && mr_channel_peek(&g->c, &g->event[g->n]) == 1) {
		mr_channel_done(&g->c);
		g->n++;
	}
}

static struct mr_attach_record *find(struct program *g, uint16_t op)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (g->event[i].op == op)
			return &g->event[i];
	return NULL;
}

static uint32_t count(const struct program *g, uint16_t op)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n; i++)
		n += g->event[i].op == op;
	return n;
}

static uint32_t listen_at(struct program *g, uint16_t port, uint32_t backlog)
{
	struct mr_attach_record r = { .op = MR_ATTACH_LISTEN, .user = port, .value = backlog };

	r.end.local_port = mr_to_be16(port);
	g->n = 0;
	command(g, &r);
	run(g, 1);
	assert_non_null(find(g, MR_ATTACH_LISTENING));
	return find(g, MR_ATTACH_LISTENING)->value;
}

static mr_conn_id accepted(struct program *g)
{
	assert_non_null(find(g, MR_ATTACH_ACCEPT));
	return find(g, MR_ATTACH_ACCEPT)->conn;
}

static void send_text(struct program *g, mr_conn_id id, uint32_t buffer, const char *text)
{
	struct mr_attach_record r = { .op = MR_ATTACH_SEND, .conn = id };

	memcpy(mr_channel_send_at(&g->c, buffer), text, strlen(text));
	r.part.buffer = buffer;
	r.part.len = (uint32_t)strlen(text);
	command(g, &r);
}

static void about(struct program *g, uint16_t op, mr_conn_id id, uint32_t value)
{
	command(g, &(struct mr_attach_record){ .op = op, .conn = id, .value = value });
}

static void give_back(struct program *g, uint32_t buffer)
{
	struct mr_attach_record r = { .op = MR_ATTACH_RETURN, .n = 1 };

	r.buffer[0] = buffer;
	command(g, &r);
}

static void program_serves_a_connection(void **state)
{
	struct talk t = { .out = "hello", .out_len = 5, .half_close = true };
	static struct program g;
	struct mr_attach_record *r;
	mr_conn_id id;

	(void)state;
	start(&g);
	assert_int_equal(listen_at(&g, PORT, 8), 0);
	talk_begin(&g.p, &t, PORT, false);
	run(&g, 20);
	id = accepted(&g);
	r = find(&g, MR_ATTACH_ACCEPT);
	assert_int_equal(r->user, PORT);
	assert_int_equal(mr_be16(r->end.local_port), PORT);
	assert_int_equal(r->end.remote[15], 1);
	r = find(&g, MR_ATTACH_DATA);
	assert_int_equal(r->conn, id);
	assert_int_equal(r->part.len, 5);
	assert_memory_equal(mr_channel_receive_at(&g.c, r->part.buffer), "hello", 5);
	assert_non_null(find(&g, MR_ATTACH_EOF));
	about(&g, MR_ATTACH_READ, id, 5);
	give_back(&g, r->part.buffer);
	send_text(&g, id, 2, "world");
	about(&g, MR_ATTACH_CLOSE, id, 0);
	run(&g, 100);
	assert_int_equal(find(&g, MR_ATTACH_SENT)->buffer[0], 2);
	assert_int_equal(find(&g, MR_ATTACH_CLOSED)->value, 0);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_string_equal(t.in, "world");
	finish(&g);
}

static void without_a_listener_syns_are_reset(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	static struct program g;

	(void)state;
	start(&g);
	talk_begin(&g.p, &t, PORT, false);
	run(&g, 20);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_REFUSED);
	assert_int_equal(g.n, 0);
	finish(&g);
}

static void listening_where_no_rule_leads_is_refused(void **state)
{
	static const uint16_t other[] = { 5 };
	static struct program g;

	(void)state;
	start(&g);
	assert_int_equal(listen_at(&g, PORT + 1, 8), EADDRNOTAVAIL);
	mr_lane_detach(g.p.end[PAIR_SERVER].lane, 3);
	run(&g, 1);
	assert_false(mr_lane_is_attached(g.p.end[PAIR_SERVER].lane, 3));
	attach(&g, PAIR_SERVER, 4, other, 1);
	assert_int_equal(listen_at(&g, PORT, 8), EACCES);
	finish(&g);
}

static void full_backlog_keeps_further_peers_waiting(void **state)
{
	struct talk t[4] = { 0 };
	static struct program g;
	mr_conn_id first;

	(void)state;
	start(&g);
	assert_int_equal(listen_at(&g, PORT, 2), 0);
	for (int i = 0; i < 4; i++)
		talk_begin(&g.p, &t[i], PORT, false);
	run(&g, 50);
	assert_int_equal(count(&g, MR_ATTACH_ACCEPT), 2);
	first = accepted(&g);
	command(&g, &(struct mr_attach_record){ .op = MR_ATTACH_ACCEPTED, .user = PORT });
	run(&g, 8000);
	assert_int_equal(count(&g, MR_ATTACH_ACCEPT), 3);
	assert_true(first);
	mr_lane_detach(g.p.end[PAIR_SERVER].lane, 3);
	for (int i = 0; i < 4; i++)
		talk_abort(&t[i]);
	finish(&g);
}

static void unread_bytes_stop_at_the_credit(void **state)
{
	static char text[200000];
	struct talk t = { .out = text, .out_len = sizeof(text) };
	static struct program g;
	mr_conn_id id;
	uint64_t lent = 0;

	(void)state;
	start(&g);
	listen_at(&g, PORT, 8);
	talk_begin(&g.p, &t, PORT, false);
	run(&g, 50);
	id = accepted(&g);
	assert_int_equal(count(&g, MR_ATTACH_DATA), 32); /* all receive buffers */
	for (int rounds = 0; rounds < 400 && lent < sizeof(text); rounds++) {
		uint32_t n = g.n;

		g.n = 0;
		for (uint32_t i = 0; i < n; i++) {
			if (g.event[i].op != MR_ATTACH_DATA)
				continue;
			lent += g.event[i].part.len;
			give_back(&g, g.event[i].part.buffer);
			if (rounds >
			    3) /* before, they go back unread: the credit is what stops it */
				about(&g, MR_ATTACH_READ, id, g.event[i].part.len);
			if (mr_channel_room(&g.c) < 4)
				run(&g, 1);
		}
		if (rounds == 3) {
			assert_true(lent <= MR_ATTACH_CREDIT);
			assert_true(lent > MR_ATTACH_CREDIT - 2048);
			about(&g, MR_ATTACH_READ, id, (uint32_t)lent);
		}
		run(&g, 50);
	}
	assert_int_equal(lent, sizeof(text));
	about(&g, MR_ATTACH_CLOSE, id, 0);
	run(&g, 50);
	talk_close(&t);
	finish(&g);
}

static void close_with_unread_bytes_resets(void **state)
{
	struct talk t = { .out = "unread", .out_len = 6 };
	static struct program g;

	(void)state;
	start(&g);
	listen_at(&g, PORT, 8);
	talk_begin(&g.p, &t, PORT, false);
	run(&g, 20);
	about(&g, MR_ATTACH_CLOSE, accepted(&g), 0);
	run(&g, 50);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(count(&g, MR_ATTACH_CLOSED), 1);
	finish(&g);
}

static void program_that_ends_has_its_words_sent(void **state)
{
	struct talk quiet = { 0 }, unread = { .out = "x", .out_len = 1 };
	static struct program g;
	mr_conn_id id;

	(void)state;
	start(&g);
	listen_at(&g, PORT, 8);
	talk_begin(&g.p, &quiet, PORT, false);
	run(&g, 20);
	id = accepted(&g);
	talk_begin(&g.p, &unread, PORT, false);
	run(&g, 20);
	send_text(&g, id, 0, "last words");
	mr_lane_detach(g.p.end[PAIR_SERVER].lane, 3);
	run(&g, 100);
	assert_string_equal(quiet.in, "last words");
	assert_int_equal(quiet.reason, MR_CLOSE_DONE);
	assert_true(unread.closed);
	assert_int_equal(unread.reason, MR_CLOSE_RESET_BY_PEER);
	run(&g, 61000);
	assert_false(mr_lane_is_attached(g.p.end[PAIR_SERVER].lane, 3));
	finish(&g);
}

static void active_open_is_told_in_order(void **state)
{
	struct mr_attach_record r = { .op = MR_ATTACH_CONNECT, .user = 77 };
	static const uint8_t server[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
	static struct program g;
	mr_conn_id id;

	(void)state;
	memset(&g, 0, sizeof(g));
	pair_init(&g.p, PAIR_OPTIONS);
	pair_rule(&g.p, PAIR_SERVER, "echo-bytes", PORT);
	pair_rule(&g.p, PAIR_CLIENT, "attach", 9);
	pair_start(&g.p, NULL, 0);
	open_channel(&g);
	attach(&g, PAIR_CLIENT, 0, NULL, 0);
	memcpy(r.end.remote, server, 16);
	r.end.remote_port = mr_to_be16(PORT);
	command(&g, &r);
	r.user = 78;
	r.end.remote_port = mr_to_be16(PORT + 1);
	command(&g, &r);
	r.user = 79;
	r.end.remote_port = mr_to_be16(0);
	command(&g, &r);
	run(&g, 100);
	assert_int_equal(g.event[0].op, MR_ATTACH_OPENING);
	assert_int_equal(g.event[0].user, 77);
	assert_int_equal(g.event[1].user, 78);
	assert_int_equal(find(&g, MR_ATTACH_FAILED)->user, 79);
	assert_int_equal(find(&g, MR_ATTACH_FAILED)->value, EINVAL);
	id = find(&g, MR_ATTACH_CONNECTED)->conn;
	assert_int_equal(id, g.event[0].conn);
	assert_int_equal(find(&g, MR_ATTACH_CLOSED)->value, ECONNREFUSED);
	send_text(&g, id, 1, "echo");
	about(&g, MR_ATTACH_SHUTDOWN, id, SHUT_WR);
	run(&g, 100);
	assert_memory_equal(mr_channel_receive_at(&g.c, find(&g, MR_ATTACH_DATA)->part.buffer),
			    "echo", 4);
	assert_non_null(find(&g, MR_ATTACH_EOF));
	about(&g, MR_ATTACH_READ, id, 4);
	about(&g, MR_ATTACH_CLOSE, id, 0);
	finish(&g);
}

/* Two lanes of the wire are one listener's too: the one with fewer waiting gets the next. */
static void channels_share_a_port(void **state)
{
	static struct program g, other;
	struct talk t[6] = { 0 };
	uint32_t n;

	(void)state;
	start(&g);
	memset(&other, 0, sizeof(other));
	open_channel(&other);
	assert_int_equal(mr_lane_attach(g.p.end[PAIR_SERVER].lane,
					&(struct mr_lane_channel){
						.number = 9, .memory = other.fd, .bell = -1 }),
			 0);
	listen_at(&g, PORT, 100);
	command(&other, &(struct mr_attach_record){ .op = MR_ATTACH_LISTEN,
						    .value = 100,
						    .end.local_port = mr_to_be16(PORT) });
	run(&g, 1);
	for (int i = 0; i < 6; i++)
		talk_begin(&g.p, &t[i], PORT, false);
	run(&g, 50);
	assert_int_equal(count(&g, MR_ATTACH_ACCEPT), 3);
	for (n = 0; mr_channel_peek(&other.c, &other.event[n]) == 1; n++)
		mr_channel_done(&other.c);
	other.n = n;
	assert_int_equal(count(&other, MR_ATTACH_ACCEPT), 3);
	/* a name of the other program's connection is nothing to this one */
	about(&g, MR_ATTACH_ABORT, accepted(&other), 0);
	run(&g, 50);
	assert_int_equal(g.p.end[PAIR_SERVER].stats.connections, 6);
	for (int i = 0; i < 6; i++)
		talk_abort(&t[i]);
	run(&g, 10);
	mr_channel_close(&other.c);
	close(other.fd);
	finish(&g);
}

static void connections_go_on_with_the_next_worker(void **state)
{
	struct talk t = { .out = "before", .out_len = 6 };
	static struct program g;
	mr_conn_id id;

	(void)state;
	start(&g);
	listen_at(&g, PORT, 8);
	talk_begin(&g.p, &t, PORT, false);
	run(&g, 20);
	id = accepted(&g);
	about(&g, MR_ATTACH_READ, id, 6);
	run(&g, 1);
	pair_kill(&g.p, PAIR_SERVER);
	pair_replace(&g.p, PAIR_SERVER);
	attach(&g, PAIR_SERVER, 3, NULL, 0);
	g.n = 0;
	talk_say(&t, "behind", 6);
	send_text(&g, id, 0, "answer");
	run(&g, 500);
	assert_memory_equal(mr_channel_receive_at(&g.c, find(&g, MR_ATTACH_DATA)->part.buffer),
			    "behind", 6);
	assert_string_equal(t.in, "answer");
	about(&g, MR_ATTACH_READ, id, 6);
	about(&g, MR_ATTACH_CLOSE, id, 0);
	run(&g, 50);
	finish(&g);
}

/* Whatever a program writes: the lane stands, and a connection of another application goes on. */
static void garbage_harms_nobody_else(void **state)
{
	struct talk t = { .out = "calm", .out_len = 4, .lasting = true };
	static struct program g;
	uint32_t seed = 12345;

	(void)state;
	memset(&g, 0, sizeof(g));
	pair_init(&g.p, PAIR_OPTIONS);
	pair_rule(&g.p, PAIR_SERVER, "attach", PORT);
	pair_rule(&g.p, PAIR_SERVER, "echo-bytes", PORT + 1);
	talk_serve(&g.p);
	open_channel(&g);
	attach(&g, PAIR_SERVER, 0, NULL, 0);
	listen_at(&g, PORT, 1000);
	talk_begin(&g.p, &t, PORT + 1, false);
	for (int round = 0; round < 3000; round++) {
		struct talk *peer = NULL;
		struct mr_attach_record r;
		uint8_t *bytes = (uint8_t *)&r;

		for (size_t i = 0; i < sizeof(r); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (uint8_t)(seed >> 16);
		}
		r.op = (uint16_t)(1 + r.op % MR_ATTACH_COMMANDS);
		if (seed >> 20 & 1) { /* names that exist */
			r.conn = g.n ? g.event[seed % g.n].conn : 0;
			r.part.buffer %= 9;
			r.part.offset %= 1100;
			r.part.len %= 1100;
		}
		if (r.op == MR_ATTACH_LISTEN || r.op == MR_ATTACH_CONNECT)
			r.end.local_port = mr_to_be16(PORT);
		if (mr_channel_put(&g.c, &r) && round % 16 == 0) {
			static struct talk peers[200];

			peer = &peers[round / 16];
			*peer = (struct talk){ .out = "words", .out_len = 5 };
			talk_begin(&g.p, peer, PORT, false);
		}
		/* and over the slots, which are the lane's */
		g.c.send_slot[seed % 8].next = seed >> 3 & 15;
		g.c.send_slot[seed % 8].len = seed;
		g.c.receive_slot[seed % 32].lent = seed >> 9 & 1;
		if (g.n > EVENTS_MOST - 300)
			g.n = 0;
		run(&g, 1);
	}
	g.c.header->command.producer += 1000;
	run(&g, 10);
	assert_memory_equal(t.in, "calm", 4);
	assert_false(t.closed);
	talk_say(&t, "still", 5);
	run(&g, 70000);
	assert_memory_equal(t.in, "calmstill", 9);
	assert_false(mr_lane_is_attached(g.p.end[PAIR_SERVER].lane, 0));
	talk_close(&t);
	run(&g, 100);
	finish(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_serves_a_connection),
		cmocka_unit_test(without_a_listener_syns_are_reset),
		cmocka_unit_test(listening_where_no_rule_leads_is_refused),
		cmocka_unit_test(full_backlog_keeps_further_peers_waiting),
		cmocka_unit_test(unread_bytes_stop_at_the_credit),
		cmocka_unit_test(close_with_unread_bytes_resets),
		cmocka_unit_test(program_that_ends_has_its_words_sent),
		cmocka_unit_test(active_open_is_told_in_order),
		cmocka_unit_test(channels_share_a_port),
		cmocka_unit_test(connections_go_on_with_the_next_worker),
		cmocka_unit_test(garbage_harms_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
