/* SPDX-License-Identifier: MIT */
/*
 * Many connections: 1,000 at work at once; what an idle one costs (at most 300 bytes, no frame, no
 * session, no timer); no connection block, no half-open record left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	AT_ONCE = 1000,
	IDLE = 100000,
	IDLE_PORTS = 50000, /* of the client, for each port of the server */
	IDLE_BYTES = 300,
};

static uint32_t n_closed(const struct talk *t, uint32_t n)
{
	uint32_t closed = 0;

	for (uint32_t i = 0; i < n; i++)
		closed += t[i].closed;
	return closed;
}

static bool all_closed(void *arg)
{
	return n_closed(arg, AT_ONCE) == AT_ONCE;
}

static void thousand_connections_at_once(void **state)
{
	struct talk *t = calloc(AT_ONCE, sizeof(*t));
	uint8_t *data = malloc(5000);
	struct pair p;

	(void)state;
	for (int i = 0; i < 5000; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	talk_start(&p, "echo-bytes", PAIR_OPTIONS);
	for (int i = 0; i < AT_ONCE; i++) {
		t[i].out = data + i;
		t[i].out_len = 4000;
		t[i].half_close = true;
		talk_begin(&p, &t[i], 7000, i % 2);
		if (i < 2)
			pair_step(&p); /* the first of each family asks for the path */
	}
	assert_true(pair_run(&p, 120000, all_closed, t));
	for (int i = 0; i < AT_ONCE; i++) {
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, 4000);
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, data + i, 4000));
	}
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.passive_opens, AT_ONCE);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.done, AT_ONCE);
	assert_int_equal(p.end[PAIR_CLIENT].stats.time_wait, AT_ONCE);
	talk_end(&p);
	free(data);
	free(t);
}

/* One more than there are blocks: its handshake stays unanswered, nobody else notices. */
static void connection_without_a_block_is_dropped(void **state)
{
	struct talk t[20] = { 0 };
	struct pair p;
	struct pair_options o = PAIR_OPTIONS;

	(void)state;
	o.conns = 16;
	pair_init(&p, o);
	pair_rule(&p, PAIR_SERVER, "echo-bytes", 7000);
	pair_rule(&p, PAIR_CLIENT, "talk", 9);
	pair_start(&p, (const struct mr_app *const[]){ &talk_app }, 1);
	for (int i = 0; i < 16; i++)
		talk_begin(&p, &t[i], 7000, false);
	pair_run(&p, 100, NULL, NULL);
	for (int i = 0; i < 16; i++)
		assert_true(t[i].opened);
	/* the client has none either */
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(7000) };
	mr_conn_id id;

	inet_pton(AF_INET, "192.0.2.2", &in.sin_addr);
	assert_int_equal(mr_lane_connect(p.end[PAIR_CLIENT].lane, 0, (struct sockaddr *)&in, &id),
			 -ENOBUFS);
	for (int i = 0; i < 16; i++)
		talk_close(&t[i]);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

/* ----- idle connections ----- */

static const struct mr_app still_app = {
	.name = "still",
	.conn_bytes = 0,
};

static void open_idle(struct pair *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pair_connect(p, 0, (uint16_t)(7000 + i / IDLE_PORTS), false);
		if (i % 128 == 0)
			for (int s = 0; s < 8; s++) {
				pair_step(p);
				mr_memory_advance(p->wire, 20000);
			}
	}
	pair_run(p, 2000, NULL, NULL);
}

static uint64_t bytes_each(const struct mr_lane *l)
{
	return sizeof(struct mr_conn) * (uint64_t)l->header->conns_used + mr_lane_memory(l) -
	       sizeof(*l);
}

static void idle_connection_costs_300_bytes_at_most(void **state)
{
	struct pair *p = malloc(sizeof(*p));
	struct pair_options o = PAIR_OPTIONS;
	struct mr_lane *l;
	uint64_t held, bytes;

	(void)state;
	o.conns = IDLE + 64;
	pair_init(p, o);
	for (int i = 0; i < IDLE / IDLE_PORTS; i++)
		pair_rule(p, PAIR_SERVER, "echo", (uint16_t)(7000 + i))->backlog = 65535;
	pair_rule(p, PAIR_CLIENT, "still", 9);
	p->end[PAIR_CLIENT].config.port_lo = 10000;
	p->end[PAIR_CLIENT].config.port_hi = 10000 + IDLE_PORTS - 1 + 5000;
	pair_start(p, (const struct mr_app *const[]){ &still_app }, 1);
	open_idle(p, IDLE);
	l = p->end[PAIR_SERVER].lane;
	assert_int_equal(p->end[PAIR_SERVER].stats.connections, IDLE);
	assert_int_equal(p->end[PAIR_CLIENT].stats.connections, IDLE);
	assert_int_equal(p->end[PAIR_SERVER].stats.half_open, 0);
	bytes = bytes_each(l);
	print_message(
		"idle connections: %u, %.1f bytes each (block %zu, table %.1f, growing: %s)\n",
		IDLE, (double)bytes / IDLE, sizeof(struct mr_conn),
		(double)mr_table_bytes(&l->table) / IDLE, l->table.old.bucket ? "yes" : "no");
	assert_true(bytes <= (uint64_t)IDLE * IDLE_BYTES);
	/* nothing else belongs to them */
	for (int i = 0; i < 2; i++) {
		struct mr_lane *end = p->end[i].lane;

		assert_true(pair_frames_are_whole(p, i, &held));
		assert_int_equal(held, 0);
		assert_int_equal(end->wheel.count, 0);
		assert_int_equal(mr_lane_next_ns(end), UINT64_MAX);
		for (uint32_t c = 0; c < end->header->conns_used; c++)
			assert_int_equal(end->conns[c].session, MR_NONE);
	}
	pair_free(p);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousand_connections_at_once),
		cmocka_unit_test(connection_without_a_block_is_dropped),
		cmocka_unit_test(idle_connection_costs_300_bytes_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
