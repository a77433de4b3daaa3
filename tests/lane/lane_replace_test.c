/* SPDX-License-Identifier: MIT */
/*
 * A worker dies and another takes its arena over without believing what stands there: the old
 * connections are reset, every frame is accounted for, the statistics go on, and new connections
 * work at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"

/* Turns of the server are over at any place: @steps decides where. */
static void dies_after(unsigned int steps)
{
	static uint8_t data[100000];
	struct talk t[20], after = { .out = "alive", .out_len = 5, .half_close = true };
	struct pair p;
	struct pair_end *server = &p.end[PAIR_SERVER];
	uint32_t open, n_reset = 0;
	uint64_t held;

	talk_start(&p, "echo-bytes", PAIR_OPTIONS);
	for (int i = 0; i < 20; i++) {
		t[i] = (struct talk){ .out = data, .out_len = sizeof(data) };
		talk_begin(&p, &t[i], 7000, i % 2);
		if (i < 2)
			pair_step(&p);
	}
	for (unsigned int i = 0; i < steps; i++) {
		pair_step(&p);
		mr_memory_advance(p.wire, 5000);
	}
	open = (uint32_t)server->stats.connections;
	pair_kill(&p, PAIR_SERVER);
	server->setup.fresh = true;
	pair_replace(&p, PAIR_SERVER);
	assert_int_equal(server->stats.epoch, 2);
	assert_int_equal(server->stats.connections, 0);
	assert_int_equal(server->stats.half_open, 0);
	assert_int_equal(server->stats.closed.worker_died, open);
	pair_run(&p, 5000, NULL, NULL);
	for (int i = 0; i < 20; i++)
		n_reset += t[i].closed && t[i].reason == MR_CLOSE_RESET_BY_PEER;
	assert_true(n_reset >= open);
	assert_true(pair_frames_are_whole(&p, PAIR_SERVER, &held));
	talk_begin(&p, &after, 7000, false);
	assert_true(pair_run(&p, 1000, talk_is_closed, &after));
	assert_string_equal(after.in, "alive");
	assert_int_equal(after.reason, MR_CLOSE_DONE);
	for (int i = 0; i < 20; i++)
		if (!t[i].closed)
			talk_abort(&t[i]);
	pair_run(&p, 2000, NULL, NULL);
	talk_end(&p);
}

static void old_connections_are_reset_and_new_ones_work(void **state)
{
	(void)state;
	for (unsigned int steps = 0; steps < 120; steps += 7)
		dies_after(steps);
}

/* An idle peer is told at once, without asking. */
static void idle_peer_is_told_at_once(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	struct pair p;

	(void)state;
	talk_start(&p, "echo-bytes", PAIR_OPTIONS);
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 1000, NULL, NULL);
	pair_kill(&p, PAIR_SERVER);
	p.end[PAIR_SERVER].setup.fresh = true;
	pair_replace(&p, PAIR_SERVER);
	assert_true(pair_run(&p, 10, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	talk_end(&p);
}

/* More connections than the transmit ring takes: the others learn it with their next segment. */
static void connections_beyond_the_ring_are_reset_when_they_speak(void **state)
{
	enum { N = 200 };
	struct talk *t = calloc(N, sizeof(*t));
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	uint32_t told = 0;

	(void)state;
	o.ring_size = 64;
	talk_start(&p, "echo-bytes", o);
	for (int i = 0; i < N; i++) {
		talk_begin(&p, &t[i], 7000, false);
		pair_run(&p, 1, NULL, NULL);
	}
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, N);
	pair_kill(&p, PAIR_SERVER);
	p.end[PAIR_SERVER].setup.fresh = true;
	pair_replace(&p, PAIR_SERVER);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.worker_died, N);
	pair_run(&p, 100, NULL, NULL);
	for (int i = 0; i < N; i++) {
		told += t[i].closed;
		if (!t[i].closed)
			talk_say(&t[i], "?", 1);
	}
	assert_in_range(told, 60, 64);
	pair_run(&p, 2000, NULL, NULL);
	for (int i = 0; i < N; i++)
		assert_int_equal(t[i].reason, MR_CLOSE_RESET_BY_PEER);
	talk_end(&p);
	free(t);
}

/* Ids of the old generation name nothing in the new one. */
static void old_ids_are_dead(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 }, u = { .out = "y", .out_len = 1 };
	struct pair p;
	struct pair_end *server = &p.end[PAIR_SERVER];
	mr_conn_id old;

	(void)state;
	talk_start(&p, "echo-bytes", PAIR_OPTIONS);
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	old = conn_id(server->lane, &server->lane->conns[0]);
	assert_int_equal(mr_resume(mr_lane_host(server->lane), old), 0);
	pair_kill(&p, PAIR_SERVER);
	server->setup.fresh = true;
	pair_replace(&p, PAIR_SERVER);
	talk_begin(&p, &u, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(server->stats.connections, 1);
	assert_int_equal(mr_resume(mr_lane_host(server->lane), old), -107); /* ENOTCONN */
	talk_close(&u);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_connections_are_reset_and_new_ones_work),
		cmocka_unit_test(idle_peer_is_told_at_once),
		cmocka_unit_test(connections_beyond_the_ring_are_reset_when_they_speak),
		cmocka_unit_test(old_ids_are_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
