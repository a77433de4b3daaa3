/* SPDX-License-Identifier: MIT */
/*
 * 50 connections echo messages of many sizes over a wire that loses, doubles, reorders and
 * corrupts frames: everything comes back intact and in order, and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/pair.h"

enum {
	CONNS = 50,
	MESSAGES = 60,
	WINDOW = 4, /* messages on their way a connection */
};

/* One connection's state in the client: sizes follow from connection and number. */
struct flow {
	uint32_t number;
	uint32_t sent;
	uint32_t received;
};

static struct {
	uint32_t started, closed, done;
	bool wrong;
} all;

static size_t size_of(const struct flow *f, uint32_t n)
{
	static const size_t sizes[] = { 0, 1, 64, 300, 1400, 1448, 1500, 3000, 9000, 20000 };

	return sizes[(f->number * 7 + n * 3) % 10] + n % 5;
}

static void fill(uint8_t *value, const struct flow *f, uint32_t n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		value[i] = (uint8_t)(f->number * 131 + n * 17 + i * 7 + (i >> 8));
}

static void send_some(struct mr_host *h, mr_conn_id c)
{
	static uint8_t value[32768];
	struct flow *f = mr_conn_state(h, c);

	while (f->sent < MESSAGES && f->sent < f->received + WINDOW) {
		size_t len = size_of(f, f->sent);

		fill(value, f, f->sent, len);
		if (mr_send_message(h, c, f->sent, value, len) != 0)
			return;
		f->sent++;
	}
}

static void on_open(struct mr_host *h, mr_conn_id c)
{
	struct flow *f = mr_conn_state(h, c);

	f->number = all.started++;
	send_some(h, c);
}

static enum mr_app_verdict on_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
				      const uint8_t *value, size_t len)
{
	static uint8_t want[32768];
	struct flow *f = mr_conn_state(h, c);

	fill(want, f, f->received, len);
	if (tag != f->received || len != size_of(f, f->received) || memcmp(want, value, len) != 0)
		all.wrong = true;
	if (++f->received == MESSAGES)
		mr_close(h, c);
	else
		send_some(h, c);
	return MR_APP_DONE;
}

static void on_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	struct flow *f = mr_conn_state(h, c);

	all.closed++;
	all.done += reason == MR_CLOSE_DONE && f->received == MESSAGES;
}

static const struct mr_app client_app = {
	.name = "flows",
	.messages = true,
	.conn_bytes = sizeof(struct flow),
	.open = on_open,
	.message = on_message,
	.writable = send_some,
	.closed = on_closed,
};

/* Per mille of the frames. */
struct weather {
	unsigned int loss, twice, late, corrupt;
	uint64_t random;
};

static uint32_t next_random(struct weather *w)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->random >> 33);
}

static unsigned int fate(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			 uint64_t *delay_ns)
{
	struct weather *w = arg;

	(void)from;
	if (next_random(w) % 1000 < w->loss)
		return 0;
	if (next_random(w) % 1000 < w->late)
		*delay_ns = next_random(w) % 3000000;
	if (next_random(w) % 1000 < w->corrupt)
		frame[14 + next_random(w) % (*len - 14)] ^= (uint8_t)(1u << next_random(w) % 8);
	return next_random(w) % 1000 < w->twice ? 2 : 1;
}

static bool all_closed(void *arg)
{
	(void)arg;
	return all.closed == CONNS;
}

static void echo_in(struct weather w, bool ipv6, struct mr_lane_stats *server)
{
	static const struct mr_app *const apps[] = { &client_app };
	struct pair p;
	uint64_t held;

	memset(&all, 0, sizeof(all));
	pair_init(&p, PAIR_OPTIONS);
	pair_rule(&p, PAIR_SERVER, "echo", 7000);
	pair_rule(&p, PAIR_CLIENT, "flows", 9);
	pair_start(&p, apps, 1);
	mr_memory_set_fate(p.wire, fate, &w);
	for (int i = 0; i < CONNS; i++)
		pair_connect(&p, 0, 7000, ipv6);
	assert_true(pair_run(&p, 600000, all_closed, NULL));
	assert_false(all.wrong);
	assert_int_equal(all.done, CONNS);
	mr_memory_set_fate(p.wire, NULL, NULL);
	pair_run(&p, 200000, NULL, NULL); /* also what a lost last ACK leaves */
	*server = p.end[PAIR_SERVER].stats;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(p.end[i].stats.connections, 0);
		assert_int_equal(p.end[i].stats.half_open, 0);
		assert_int_equal(p.end[i].stats.time_wait, 0);
		assert_int_equal(p.end[i].stats.message_bytes, 0);
		assert_true(pair_frames_are_whole(&p, i, &held));
		assert_int_equal(held, 0);
	}
	assert_int_equal(server->messages_in, CONNS * MESSAGES);
	pair_free(&p);
}

static void echo_over_a_clean_wire(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .random = 1 }, false, &s);
	assert_int_equal(s.closed.done, CONNS);
}

static void echo_survives_loss(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .loss = 20, .random = 13 }, false, &s);
	assert_true(s.retransmits > 0);
	assert_true(s.fast_retransmits > 0);
	assert_true(s.retransmit_timeouts > 0);
}

static void echo_survives_heavy_loss(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .loss = 100, .random = 4 }, true, &s);
	assert_true(s.retransmit_timeouts > 0);
}

static void echo_survives_duplication(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .twice = 300, .random = 4 }, false, &s);
	assert_true(s.duplicates > 0);
}

static void echo_survives_reordering(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .late = 200, .random = 5 }, true, &s);
	assert_true(s.out_of_order > 0);
}

static void echo_survives_corruption(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	echo_in((struct weather){ .corrupt = 30, .random = 6 }, false, &s);
	assert_true(s.drop.tcp_checksum > 0);
	assert_true(s.drop.ip_checksum > 0);
}

static void echo_survives_everything_at_once(void **state)
{
	struct mr_lane_stats s;

	(void)state;
	for (uint64_t seed = 7; seed < 10; seed++)
		echo_in((struct weather){ 20, 50, 50, 10, seed }, seed % 2, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_over_a_clean_wire),
		cmocka_unit_test(echo_survives_loss),
		cmocka_unit_test(echo_survives_heavy_loss),
		cmocka_unit_test(echo_survives_duplication),
		cmocka_unit_test(echo_survives_reordering),
		cmocka_unit_test(echo_survives_corruption),
		cmocka_unit_test(echo_survives_everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
