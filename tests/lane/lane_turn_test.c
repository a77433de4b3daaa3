/* SPDX-License-Identifier: MIT */
/*
 * The turn itself: callbacks are timed and slow ones counted, an idle lane sleeps until its next
 * timer, applications may end connections wherever they are called.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

/* The server's application: does what the test says, where the test says. */
static struct {
	struct mr_memory_wire *wire;
	uint64_t takes_ns; /* of the virtual clock, in @bytes */
	int (*act)(struct mr_host *h, mr_conn_id c);
	char where; /* o, b, e, t: the callback that acts */
	unsigned int opened, closed, timers;
	mr_conn_id id;
	uint64_t timer_ms;
	enum mr_app_verdict verdict;
	int reason;
} app;

static void act(struct mr_host *h, mr_conn_id c, char where)
{
	app.id = c;
	if (app.where == where && app.act)
		app.act(h, c);
}

static void on_open(struct mr_host *h, mr_conn_id c)
{
	app.opened++;
	act(h, c, 'o');
}

static enum mr_app_verdict on_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				    size_t len, size_t *used)
{
	(void)data;
	mr_memory_advance(app.wire, app.takes_ns);
	*used = app.verdict == MR_APP_DONE ? len : 0;
	act(h, c, 'b');
	return app.verdict;
}

static void on_end(struct mr_host *h, mr_conn_id c)
{
	act(h, c, 'e');
}

static void on_timer(struct mr_host *h, mr_conn_id c)
{
	app.timers++;
	app.timer_ms = mr_now_ms(h);
	act(h, c, 't');
}

static void on_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	/* the id still names the connection's state, and nothing else can be done with it */
	assert_non_null(mr_conn_state(h, c));
	assert_int_equal(mr_send(h, c, "x", 1), -ENOTCONN);
	assert_int_equal(mr_close(h, c), -ENOTCONN);
	app.closed++;
	app.reason = reason;
}

static const struct mr_app acting_app = {
	.name = "acting",
	.conn_bytes = 24,
	.open = on_open,
	.bytes = on_bytes,
	.peer_shutdown = on_end,
	.timer = on_timer,
	.closed = on_closed,
};

static void start(struct pair *p)
{
	static const struct mr_app *const apps[] = { &talk_app, &acting_app };

	memset(&app, 0, sizeof(app));
	pair_init(p, PAIR_OPTIONS);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7001);
	pair_rule(p, PAIR_SERVER, "acting", 7000);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 2);
	app.wire = p->wire;
}

/* ----- time in callbacks ----- */

static uint64_t histogram(const struct mr_lane_stats *s)
{
	uint64_t n = 0;

	for (int i = 0; i < MR_CALLBACK_BUCKETS; i++)
		n += s->callback_ns[i];
	return n;
}

static void slow_callbacks_are_counted_against_their_application(void **state)
{
	struct talk t = { 0 };
	struct pair p;
	struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;
	uint32_t index;

	(void)state;
	start(&p);
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 10, NULL, NULL);
	index = p.end[PAIR_SERVER].lane->rules[1].app_index;
	app.takes_ns = 1000000;
	talk_say(&t, "a", 1);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(s->callbacks_slow, 0); /* not over a millisecond */
	assert_int_equal(s->callback_ns[19], 1);
	app.takes_ns = 1000001;
	talk_say(&t, "b", 1);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(s->callbacks_slow, 1);
	assert_int_equal(s->app_slow[index], 1);
	app.takes_ns = 3000000000;
	talk_say(&t, "c", 1);
	pair_run(&p, 5000, NULL, NULL);
	assert_int_equal(s->app_slow[index], 2);
	assert_int_equal(s->callback_ns[MR_CALLBACK_BUCKETS - 1], 1);
	app.takes_ns = 1000;
	talk_say(&t, "d", 1);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(s->callback_ns[9], 1);
	for (uint32_t i = 0; i < MR_LANE_APPS; i++)
		assert_int_equal(s->app_slow[i], i == index ? 2 : 0);
	assert_int_equal(histogram(s), s->callbacks);
	app.takes_ns = 0;
	app.where = 'e';
	app.act = mr_close;
	talk_close(&t);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

/* ----- ends, wherever they are asked for ----- */

static int close_and_abort(struct mr_host *h, mr_conn_id c)
{
	assert_int_equal(mr_close(h, c), 0);
	assert_int_equal(mr_abort(h, c), -ENOTCONN); /* given back already */
	return 0;
}

static int send_and_close(struct mr_host *h, mr_conn_id c)
{
	assert_int_equal(mr_send(h, c, "bye", 3), 3);
	return mr_close(h, c);
}

static int abort_after_shutdown(struct mr_host *h, mr_conn_id c)
{
	mr_shutdown(h, c, SHUT_RDWR);
	return mr_abort(h, c);
}

static void every_end_in_every_callback_leaves_nothing(void **state)
{
	static int (*const acts[])(struct mr_host *, mr_conn_id) = {
		mr_close, mr_abort, close_and_abort, send_and_close, abort_after_shutdown,
	};
	static const char places[] = "obet";

	(void)state;
	for (size_t a = 0; a < sizeof(acts) / sizeof(acts[0]); a++) {
		for (const char *where = places; *where; where++) {
			struct talk t[3];
			struct pair p;

			start(&p);
			app.act = acts[a];
			app.where = *where;
			app.verdict = *where == 'b' ? MR_APP_CLOSED : MR_APP_DONE;
			for (int i = 0; i < 3; i++) {
				t[i] = (struct talk){ .out = "words",
						      .out_len = 5,
						      .half_close = *where == 'e' };
				talk_begin(&p, &t[i], 7000, false);
				pair_run(&p, 10, NULL, NULL);
				if (*where == 't' && app.opened > app.closed)
					mr_timer(mr_lane_host(p.end[0].lane), app.id, 50);
			}
			pair_run(&p, 500, NULL, NULL);
			assert_int_equal(app.opened, 3);
			assert_int_equal(app.closed, 3);
			for (int i = 0; i < 3; i++)
				assert_true(t[i].closed);
			talk_end(&p);
		}
	}
}

/* An application that says it closed and did not is not called without end. */
static void verdict_without_deed_blocks(void **state)
{
	struct talk t = { .out = "words", .out_len = 5 };
	struct pair p;

	(void)state;
	start(&p);
	app.verdict = MR_APP_CLOSED;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(app.closed, 0);
	assert_true(p.end[PAIR_SERVER].stats.callbacks < 10);
	talk_abort(&t);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(app.closed, 1);
	talk_end(&p);
}

/* ----- sleep ----- */

static int set_timer(struct mr_host *h, mr_conn_id c)
{
	return mr_timer(h, c, 5000);
}

static void idle_lane_sleeps_until_its_next_timer(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	struct pair p;
	struct mr_lane *l;
	uint64_t at;

	(void)state;
	start(&p);
	l = p.end[PAIR_SERVER].lane;
	app.where = 'b';
	app.act = set_timer;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	at = mr_lane_next_ns(l);
	/* the timer, or a cascade of the wheel before it */
	assert_true(at > mr_memory_now(p.wire));
	assert_true(at <= mr_memory_now(p.wire) + 5000 * 1000000ull);
	while (!app.timers) {
		uint64_t next = mr_lane_next_ns(l);

		assert_int_equal(mr_lane_turn(l), 0);
		assert_int_equal(mr_lane_sleep_ms(l), 20); /* the heartbeat's */
		assert_true(next > mr_memory_now(p.wire));
		mr_memory_advance(p.wire, next - mr_memory_now(p.wire));
		mr_lane_turn(l);
	}
	assert_in_range(app.timer_ms, 6000, 6001); /* the clock starts at 1 s */
	app.act = NULL;
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(mr_lane_next_ns(l), UINT64_MAX);
	assert_int_equal(mr_lane_turn(l), 0);
	assert_int_equal(mr_lane_sleep_ms(l), 20);
	talk_abort(&t);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

static void timer_of_zero_cancels(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	struct pair p;
	struct mr_host *h;

	(void)state;
	start(&p);
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	h = mr_lane_host(p.end[PAIR_SERVER].lane);
	assert_int_equal(mr_timer(h, app.id, 1000), 0);
	assert_int_equal(mr_timer(h, app.id, 0), 0);
	pair_run(&p, 3000, NULL, NULL);
	assert_int_equal(app.timers, 0);
	assert_int_equal(mr_timer(h, app.id, 3000), 0);
	assert_int_equal(mr_timer(h, app.id, 1000), 0); /* the later call counts */
	pair_run(&p, 1002, NULL, NULL);
	assert_int_equal(app.timers, 1);
	pair_run(&p, 5000, NULL, NULL);
	assert_int_equal(app.timers, 1);
	talk_abort(&t);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

/* ----- reserve ----- */

static int reserve_and_close(struct mr_host *h, mr_conn_id c)
{
	size_t room = 0;

	assert_non_null(mr_reserve(h, c, &room));
	assert_true(room > 0);
	return mr_close(h, c);
}

/* What was reserved and not committed is nothing: the end goes out all the same. */
static void reservation_without_commit_does_not_hold_the_end(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	struct pair p;

	(void)state;
	start(&p);
	app.where = 'b';
	app.act = reserve_and_close;
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(t.in_len, 0);
	talk_end(&p);
}

/* ----- pause ----- */

static void paused_connection_is_offered_nothing_until_it_goes_on(void **state)
{
	struct talk t = { 0 };
	struct pair p;
	struct mr_host *h;
	uint64_t before;

	(void)state;
	start(&p);
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 10, NULL, NULL);
	h = mr_lane_host(p.end[PAIR_SERVER].lane);
	app.id = conn_id(p.end[PAIR_SERVER].lane, &p.end[PAIR_SERVER].lane->conns[0]);
	assert_int_equal(mr_pause(h, app.id, true), 0);
	before = p.end[PAIR_SERVER].stats.app_bytes_in;
	talk_say(&t, "held", 4);
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.app_bytes_in, before);
	assert_int_equal(mr_pause(h, app.id, false), 0);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.app_bytes_in, before + 4);
	talk_abort(&t);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

static int shut_and_set_timer(struct mr_host *h, mr_conn_id c)
{
	mr_shutdown(h, c, SHUT_WR);
	return mr_timer(h, c, 500);
}

/* Both sides have ended, the application has not given the connection back: its timer still is. */
static void timer_outlives_both_ends(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	struct pair p;

	(void)state;
	start(&p);
	app.where = 'b';
	app.act = shut_and_set_timer;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	assert_true(t.closed); /* the talk closes when the server ends */
	assert_int_equal(app.closed, 0);
	app.where = 't';
	app.act = mr_close;
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(app.timers, 1);
	assert_int_equal(app.closed, 1);
	assert_int_equal(app.reason, MR_CLOSE_DONE);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_callbacks_are_counted_against_their_application),
		cmocka_unit_test(every_end_in_every_callback_leaves_nothing),
		cmocka_unit_test(verdict_without_deed_blocks),
		cmocka_unit_test(idle_lane_sleeps_until_its_next_timer),
		cmocka_unit_test(timer_of_zero_cancels),
		cmocka_unit_test(reservation_without_commit_does_not_hold_the_end),
		cmocka_unit_test(paused_connection_is_offered_nothing_until_it_goes_on),
		cmocka_unit_test(timer_outlives_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
