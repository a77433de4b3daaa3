/* SPDX-License-Identifier: MIT */
/*
 * Heartbeats on a lane: each limit ends a connection with its own reason, and only its own
 * (user/tlv/heartbeat.h); a pong is released by the application's progress.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	PING = 0xfff0,
	PONG = 0xfff1,
};

/* The server's application: refuses while it is held, else echoes. */
static struct {
	bool hold;
	uint32_t messages;
	mr_conn_id id;
} seen;

static enum mr_app_verdict hold_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					const uint8_t *value, size_t len)
{
	seen.id = c;
	if (seen.hold || mr_send_message(h, c, tag, value, len) != 0)
		return MR_APP_AGAIN;
	seen.messages++;
	return MR_APP_DONE;
}

static void note_open(struct mr_host *h, mr_conn_id c)
{
	(void)h;
	seen.id = c;
}

static const struct mr_app hold_app = {
	.name = "hold",
	.messages = true,
	.open = note_open,
	.message = hold_message,
};

static struct mr_heartbeat_settings *begin(struct pair *p)
{
	struct mr_lane_rule *rule;

	memset(&seen, 0, sizeof(seen));
	pair_init(p, PAIR_OPTIONS);
	rule = pair_rule(p, PAIR_SERVER, "hold", 7000);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	rule->heartbeat.has_ping = 1;
	rule->heartbeat.ping_tag = PING;
	rule->heartbeat.pong_tag = PONG;
	return &rule->heartbeat;
}

static void go(struct pair *p, struct talk *t, const void *out, size_t len)
{
	static const struct mr_app *const apps[] = { &talk_app, &hold_app };

	pair_start(p, apps, 2);
	t->out = out;
	t->out_len = len;
	talk_begin(p, t, 7000, false);
	assert_true(pair_run(p, 100, talk_is_open, t));
}

static void resume(struct pair *p)
{
	seen.hold = false;
	assert_int_equal(mr_resume(mr_lane_host(p->end[PAIR_SERVER].lane), seen.id), 0);
}

/* The connection is closed between the two times after now, for the reason. */
static void expect_close(struct pair *p, struct talk *t, uint32_t not_before_ms, uint32_t by_ms,
			 int reason)
{
	const uint64_t *closed = (const uint64_t *)&p->end[PAIR_SERVER].stats.closed;

	pair_run(p, not_before_ms, NULL, NULL);
	assert_int_equal(p->end[PAIR_SERVER].stats.closes, 0);
	pair_run(p, by_ms - not_before_ms, NULL, NULL);
	assert_int_equal(p->end[PAIR_SERVER].stats.closes, 1);
	assert_int_equal(closed[reason], 1);
	t->deaf = false;
	(void)t;
}

static const uint8_t message[] = { 0, 1, 0, 0, 0, 3, 'a', 'b', 'c' };
static const uint8_t ping[] = { 0xff, 0xf0, 0, 0, 0, 4, 'p', 'i', 'n', 'g' };

/* ----- each limit ----- */

static void silence_ends_with_idle(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p)->idle_ms = 1000;
	go(&p, &t, message, sizeof(message));
	expect_close(&p, &t, 990, 1020, MR_CLOSE_HEARTBEAT_IDLE);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	talk_end(&p);
}

static void messages_hold_off_idle(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p)->idle_ms = 1000;
	go(&p, &t, message, sizeof(message));
	for (int i = 0; i < 10; i++) {
		pair_run(&p, 900, NULL, NULL);
		talk_say(&t, message, sizeof(message));
	}
	assert_false(t.closed);
	expect_close(&p, &t, 990, 1020, MR_CLOSE_HEARTBEAT_IDLE);
	talk_end(&p);
}

/* The peer's kernel answers TCP keepalives; its program says nothing. */
static void keepalive_answers_do_not_hold_off_idle(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p)->idle_ms = 5000;
	p.end[PAIR_SERVER].config.keepalive = (struct mr_keepalive_settings){ 1, 1, 1, 3 };
	go(&p, &t, message, sizeof(message));
	expect_close(&p, &t, 4900, 5100, MR_CLOSE_HEARTBEAT_IDLE);
	assert_true(p.end[PAIR_SERVER].stats.keepalive_probes >= 3);
	talk_end(&p);
}

static void byte_a_second_ends_with_partial(void **state)
{
	static const uint8_t head[] = { 0, 1, 0, 0, 1, 0 };
	struct talk t = { 0 };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);

	(void)state;
	h->partial_ms = 5000;
	h->idle_ms = 3000; /* each byte is heard, so it is not this one */
	go(&p, &t, head, sizeof(head));
	for (int i = 0; i < 4; i++) {
		pair_run(&p, 1000, NULL, NULL);
		assert_false(t.closed);
		talk_say(&t, "x", 1);
	}
	expect_close(&p, &t, 900, 1100, MR_CLOSE_HEARTBEAT_PARTIAL);
	talk_end(&p);
}

static void whole_messages_hold_off_partial(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p)->partial_ms = 1000;
	go(&p, &t, message, 5);
	for (int i = 0; i < 10; i++) { /* always incomplete, never the same message for long */
		uint8_t bytes[sizeof(message)];

		memcpy(bytes, message + 5, sizeof(message) - 5);
		memcpy(bytes + sizeof(message) - 5, message, 5);
		pair_run(&p, 700, NULL, NULL);
		talk_say(&t, bytes, sizeof(bytes));
	}
	pair_run(&p, 500, NULL, NULL);
	assert_false(t.closed);
	assert_int_equal(seen.messages, 10);
	expect_close(&p, &t, 400, 600, MR_CLOSE_HEARTBEAT_PARTIAL);
	talk_end(&p);
}

static void blocked_handler_ends_with_handler(void **state)
{
	struct talk t = { 0 };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);

	(void)state;
	h->handler_ms = 2000;
	h->idle_ms = 1000; /* the peer is not blamed */
	seen.hold = true;
	go(&p, &t, message, sizeof(message));
	expect_close(&p, &t, 1990, 2020, MR_CLOSE_HEARTBEAT_HANDLER);
	talk_end(&p);
}

/* What did not run while the handler was blocked begins anew afterwards. */
static void handler_that_goes_on_blames_nobody(void **state)
{
	struct talk t = { 0 };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);

	(void)state;
	h->handler_ms = 10000;
	h->idle_ms = 1000;
	h->send_ms = 300; /* so that the limits are looked at earlier */
	seen.hold = true;
	go(&p, &t, message, sizeof(message));
	pair_run(&p, 5000, NULL, NULL);
	assert_false(t.closed);
	resume(&p);
	expect_close(&p, &t, 990, 1020, MR_CLOSE_HEARTBEAT_IDLE);
	assert_int_equal(seen.messages, 1);
	talk_end(&p);
}

/* A peer that never reads: the echo's bytes make no progress. */
static void full_buffer_ends_with_send(void **state)
{
	static uint8_t bulk[800 * 1000];
	struct talk t = { .deaf = true };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);

	(void)state;
	for (size_t at = 0; at + 1000 <= sizeof(bulk); at += 1000) {
		bulk[at + 1] = 1;
		bulk[at + 4] = (1000 - 6) >> 8;
		bulk[at + 5] = (1000 - 6) & 255;
	}
	h->send_ms = 3000;
	h->handler_ms = 1000; /* blocked only because the peer does not read: not this one */
	go(&p, &t, bulk, sizeof(bulk));
	expect_close(&p, &t, 2900, 4500, MR_CLOSE_HEARTBEAT_SEND);
	talk_end(&p);
}

/* ----- ping and pong ----- */

static void unanswered_ping_ends_with_pong(void **state)
{
	struct talk t = { 0 }; /* its kernel acknowledges the ping, its program answers nothing */
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);

	(void)state;
	h->ping_ms = 1000;
	h->pong_ms = 500;
	go(&p, &t, message, sizeof(message));
	expect_close(&p, &t, 1490, 1530, MR_CLOSE_HEARTBEAT_PONG);
	assert_int_equal(p.end[PAIR_SERVER].stats.pings_out, 1);
	assert_int_equal(t.in_len, sizeof(message) + 6);
	assert_memory_equal(t.in + sizeof(message), "\xff\xf0\0\0\0\0", 6);
	talk_end(&p);
}

static void answered_pings_go_on(void **state)
{
	static const uint8_t pong[] = { 0xff, 0xf1, 0, 0, 0, 0 };
	struct talk t = { 0 };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);
	size_t heard = 0;

	(void)state;
	h->ping_ms = 1000;
	h->pong_ms = 500;
	h->idle_ms = 1400;
	go(&p, &t, NULL, 0);
	for (int ms = 0; ms < 10500; ms += 10) {
		pair_run(&p, 10, NULL, NULL);
		if (t.in_len == heard)
			continue;
		heard = t.in_len;
		talk_say(&t, pong, sizeof(pong));
	}
	assert_false(t.closed);
	assert_in_range(p.end[PAIR_SERVER].stats.pings_out, 9, 11);
	assert_int_equal(p.end[PAIR_SERVER].stats.pongs_in, p.end[PAIR_SERVER].stats.pings_out);
	assert_int_equal(seen.messages, 0); /* the application does not see them */
	/* between two pings nothing is kept for them */
	assert_int_equal(p.end[PAIR_SERVER].lane->conns[0].session, MR_NONE);
	talk_abort(&t);
	talk_end(&p);
}

static void pong_echoes_the_ping_in_message_order(void **state)
{
	uint8_t bytes[3 * sizeof(message) + sizeof(ping)];
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p);
	memcpy(bytes, message, sizeof(message));
	memcpy(bytes + sizeof(message), message, sizeof(message));
	memcpy(bytes + 2 * sizeof(message), ping, sizeof(ping));
	memcpy(bytes + 2 * sizeof(message) + sizeof(ping), message, sizeof(message));
	go(&p, &t, bytes, sizeof(bytes));
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(t.in_len, sizeof(bytes));
	bytes[2 * sizeof(message) + 1] = 0xf1; /* the pong stands where the ping stood */
	assert_memory_equal(t.in, bytes, sizeof(bytes));
	assert_int_equal(p.end[PAIR_SERVER].stats.pings_in, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.pongs_out, 1);
	talk_close(&t);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

static void pong_waits_for_a_blocked_handler(void **state)
{
	uint8_t bytes[sizeof(message) + sizeof(ping)];
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p);
	seen.hold = true;
	memcpy(bytes, message, sizeof(message));
	memcpy(bytes + sizeof(message), ping, sizeof(ping));
	go(&p, &t, bytes, sizeof(bytes));
	pair_run(&p, 20000, NULL, NULL);
	assert_int_equal(t.in_len, 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.pongs_out, 0);
	resume(&p);
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(t.in_len, sizeof(bytes));
	assert_memory_equal(t.in + sizeof(message), "\xff\xf1\0\0\0\4ping", 10);
	talk_close(&t);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

/* ----- a middlebox ----- */

/* Drops TCP keepalives: no text, and the byte before the next one. */
static unsigned int drop_keepalives(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				    uint64_t *delay_ns)
{
	const struct pair *p = arg;
	const struct mr_conn *c = &p->end[PAIR_SERVER].lane->conns[0];
	uint32_t ip = (uint32_t)(frame[16] << 8 | frame[17]);
	uint32_t seq = (uint32_t)frame[38] << 24 | (uint32_t)frame[39] << 16 |
		       (uint32_t)frame[40] << 8 | frame[41];
	uint32_t tcp = (uint32_t)(frame[46] >> 4) * 4;

	(void)len, (void)delay_ns;
	return !(from == PAIR_SERVER && c->state == MR_ESTABLISHED && ip == 20 + tcp &&
		 seq == c->snd_una - 1);
}

static void dropped_keepalives_end_with_keepalive(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p);
	p.end[PAIR_SERVER].config.keepalive = (struct mr_keepalive_settings){ 1, 5, 2, 4 };
	mr_memory_set_fate(p.wire, drop_keepalives, &p);
	go(&p, &t, message, sizeof(message));
	expect_close(&p, &t, 12800, 13200, MR_CLOSE_KEEPALIVE); /* 5 + 4 * 2 s */
	assert_int_equal(p.end[PAIR_SERVER].stats.keepalive_probes, 4);
	talk_end(&p);
}

/* The same middlebox lets pings pass: with them the connection lives. */
static void pings_pass_where_keepalives_do_not(void **state)
{
	static const uint8_t pong[] = { 0xff, 0xf1, 0, 0, 0, 0 };
	struct talk t = { 0 };
	struct pair p;
	struct mr_heartbeat_settings *h = begin(&p);
	size_t heard = 0;

	(void)state;
	h->ping_ms = 3000;
	h->pong_ms = 1000;
	p.end[PAIR_SERVER].config.keepalive = (struct mr_keepalive_settings){ 1, 5, 2, 4 };
	mr_memory_set_fate(p.wire, drop_keepalives, &p);
	go(&p, &t, NULL, 0);
	for (int ms = 0; ms < 30000; ms += 100) {
		pair_run(&p, 100, NULL, NULL);
		if (t.in_len != heard)
			talk_say(&t, pong, sizeof(pong));
		heard = t.in_len;
	}
	assert_false(t.closed);
	assert_int_equal(p.end[PAIR_SERVER].stats.keepalive_probes, 0);
	talk_close(&t);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

/* Without limits an idle connection has no timer. */
static void connection_without_limits_has_no_timer(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	begin(&p);
	go(&p, &t, message, sizeof(message));
	pair_run(&p, 2000, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].lane->wheel.count, 0);
	assert_int_equal(mr_lane_next_ns(p.end[PAIR_SERVER].lane), UINT64_MAX);
	assert_int_equal(p.end[PAIR_SERVER].lane->conns[0].session, MR_NONE);
	pair_run(&p, 3600000, NULL, NULL);
	assert_false(t.closed);
	talk_close(&t);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_ends_with_idle),
		cmocka_unit_test(messages_hold_off_idle),
		cmocka_unit_test(keepalive_answers_do_not_hold_off_idle),
		cmocka_unit_test(byte_a_second_ends_with_partial),
		cmocka_unit_test(whole_messages_hold_off_partial),
		cmocka_unit_test(blocked_handler_ends_with_handler),
		cmocka_unit_test(handler_that_goes_on_blames_nobody),
		cmocka_unit_test(full_buffer_ends_with_send),
		cmocka_unit_test(unanswered_ping_ends_with_pong),
		cmocka_unit_test(answered_pings_go_on),
		cmocka_unit_test(pong_echoes_the_ping_in_message_order),
		cmocka_unit_test(pong_waits_for_a_blocked_handler),
		cmocka_unit_test(dropped_keepalives_end_with_keepalive),
		cmocka_unit_test(pings_pass_where_keepalives_do_not),
		cmocka_unit_test(connection_without_limits_has_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
