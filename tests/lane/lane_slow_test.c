/* SPDX-License-Identifier: MIT */
/*
 * Slow readers and few frames: what some peers do not take costs the others nothing but time,
 * and every frame comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

enum {
	SLOW = 100,
	OTHERS = 20,
};

struct crowd {
	struct talk *t;
	uint32_t n;
};

static bool all_closed(void *arg)
{
	const struct crowd *crowd = arg;

	for (uint32_t i = 0; i < crowd->n; i++)
		if (!crowd->t[i].closed)
			return false;
	return true;
}

/* An echo of @len bytes over each of @n new connections to @port; all must come back. */
static void others_echo(struct pair *p, uint16_t port, uint32_t n, size_t len, uint32_t ms)
{
	struct crowd crowd = { calloc(n, sizeof(struct talk)), n };
	uint8_t *data = malloc(len);

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 11 + (i >> 8));
	for (uint32_t i = 0; i < n; i++) {
		crowd.t[i] = (struct talk){ .out = data, .out_len = len, .half_close = true };
		talk_begin(p, &crowd.t[i], port, false);
		pair_step(p);
	}
	assert_true(pair_run(p, ms, all_closed, &crowd));
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(crowd.t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(crowd.t[i].in_len, len);
		assert_int_equal(crowd.t[i].in_hash, talk_hash(TALK_HASH_BASIS, data, len));
	}
	free(data);
	free(crowd.t);
}

static void start(struct pair *p, const char *app, struct pair_options o)
{
	static const struct mr_app *const apps[] = { &talk_app };

	pair_init(p, o);
	pair_rule(p, PAIR_SERVER, app, 7000);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7001);
	pair_rule(p, PAIR_SERVER, "echo", 7002);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 1);
}

static void begin_slow(struct pair *p, struct talk *t, const void *out, size_t len)
{
	for (int i = 0; i < SLOW; i++) {
		t[i] = (struct talk){ .deaf = true, .out = out, .out_len = len };
		talk_begin(p, &t[i], 7000, i % 2);
		if (i < 2)
			pair_step(p);
	}
	pair_run(p, 3000, NULL, NULL);
}

static void end_slow(struct pair *p, struct talk *t)
{
	/* a reset beside text that was lost is answered by a challenge, and those are limited */
	for (int i = 0; i < SLOW; i++) {
		if (!t[i].closed)
			talk_abort(&t[i]);
		pair_run(p, 20, NULL, NULL);
	}
	pair_run(p, 130000, NULL, NULL); /* a reset that was lost is said again to a probe */
	talk_end(p);
}

/* The readers' side has frames enough: the server holds what they do not acknowledge. */
static void peers_that_never_read_from_a_source(void **state)
{
	static struct talk t[SLOW];
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	o.frames = 4096;
	o.client_frames = 8192;
	start(&p, "source-bytes", o);
	begin_slow(&p, t, NULL, 0);
	assert_int_equal(s->connections, SLOW);
	assert_true(s->window_probes > 0);
	assert_true(pair_frames_are_whole(&p, PAIR_SERVER, NULL));
	others_echo(&p, 7001, OTHERS, 3000, 60000);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(s->connections, SLOW); /* nobody was thrown out for it */
	end_slow(&p, t);
}

/* The same, and the server's own frames run out first. */
static void source_without_frames_serves_others(void **state)
{
	static struct talk t[SLOW];
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	uint64_t rx, before;

	(void)state;
	o.frames = 1024;
	o.client_frames = 8192;
	o.ring_size = 128;
	start(&p, "source-bytes", o);
	begin_slow(&p, t, NULL, 0);
	others_echo(&p, 7001, OTHERS, 3000, 120000);
	/* the lane's figures still move */
	rx = p.end[PAIR_SERVER].stats.rx_frames;
	before = mr_memory_now(p.wire);
	pair_run(&p, 130000, NULL, NULL);
	assert_true(p.end[PAIR_SERVER].stats.rx_frames > rx);
	assert_true(mr_memory_now(p.wire) > before);
	assert_true(pair_frames_are_whole(&p, PAIR_SERVER, NULL));
	end_slow(&p, t);
}

/* An echo server whose peers send and never read: it must not take in more than it can hold. */
static void peers_that_send_and_never_read(void **state)
{
	static struct talk t[SLOW];
	static uint8_t bulk[1 << 20];
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.client_frames = 32768;
	start(&p, "echo-bytes", o);
	begin_slow(&p, t, bulk, sizeof(bulk));
	others_echo(&p, 7001, OTHERS, 3000, 120000);
	assert_true(pair_frames_are_whole(&p, PAIR_SERVER, NULL));
	end_slow(&p, t);
}

/* A message that finds no room while nothing of its connection is in flight is not forgotten. */
static void message_without_room_goes_when_frames_come_back(void **state)
{
	enum { LEN = 60000 };
	static uint8_t bytes[6 + LEN];
	static struct talk t[SLOW];
	struct talk one = { .out = bytes, .out_len = sizeof(bytes), .half_close = true };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.frames = 1024;
	o.client_frames = 8192;
	o.ring_size = 128;
	bytes[4] = LEN >> 8;
	bytes[5] = LEN & 255;
	start(&p, "source-bytes", o);
	begin_slow(&p, t, NULL, 0);
	talk_begin(&p, &one, 7002, false);
	pair_run(&p, 20000, NULL, NULL);
	assert_int_equal(one.in_len, 0);
	for (int i = 0; i < SLOW; i++)
		talk_abort(&t[i]);
	assert_true(pair_run(&p, 20000, talk_is_closed, &one));
	assert_int_equal(one.reason, MR_CLOSE_DONE);
	assert_int_equal(one.in_len, sizeof(bytes));
	end_slow(&p, t);
}

/* ----- few frames ----- */

static void few_frames_everything_completes(void **state)
{
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.frames = 256;
	o.ring_size = 64;
	start(&p, "echo-bytes", o);
	others_echo(&p, 7001, 50, 20000, 600000);
	talk_end(&p);
}

static void few_frames_and_large_rings_everything_completes(void **state)
{
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.frames = 256;
	o.ring_size = 512;
	start(&p, "echo-bytes", o);
	others_echo(&p, 7001, 50, 20000, 600000);
	talk_end(&p);
}

/* A message that the share of frames takes only when the lane is quiet still gets through. */
static void large_message_waits_for_frames(void **state)
{
	enum { LEN = 24000 };
	static uint8_t bytes[6 + LEN];
	struct talk t[8];
	struct crowd crowd = { t, 8 };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.frames = 256;
	o.ring_size = 32;
	bytes[4] = LEN >> 8;
	bytes[5] = LEN & 255;
	for (int i = 0; i < LEN; i++)
		bytes[6 + i] = (uint8_t)(i * 3 + (i >> 7));
	start(&p, "echo", o);
	for (int i = 0; i < 8; i++) {
		t[i] = (struct talk){ .out = bytes, .out_len = sizeof(bytes), .half_close = true };
		talk_begin(&p, &t[i], 7000, false);
		pair_step(&p);
	}
	assert_true(pair_run(&p, 300000, all_closed, &crowd));
	for (int i = 0; i < 8; i++) {
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, sizeof(bytes));
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, bytes, sizeof(bytes)));
	}
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_that_never_read_from_a_source),
		cmocka_unit_test(source_without_frames_serves_others),
		cmocka_unit_test(peers_that_send_and_never_read),
		cmocka_unit_test(message_without_room_goes_when_frames_come_back),
		cmocka_unit_test(few_frames_everything_completes),
		cmocka_unit_test(few_frames_and_large_rings_everything_completes),
		cmocka_unit_test(large_message_waits_for_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
