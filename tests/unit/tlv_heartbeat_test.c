/* SPDX-License-Identifier: MIT */
/* docs/tlv.md, "Heartbeats" and "Why a connection is closed". */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "user/tlv/heartbeat.h"

/* Every limit on, each of another length. */
static const struct mr_heartbeat_config all = {
	.has_ping = true,
	.ping_tag = 1,
	.pong_tag = 2,
	.idle_ms = 60000,
	.partial_ms = 7000,
	.ping_ms = 15000,
	.pong_ms = 5000,
	.handler_ms = 3000,
	.send_ms = 10000,
};

enum {
	NOW = 1000000,
};

static const struct mr_heartbeat_facts quiet = { .now_ms = NOW, .last_received_ms = NOW };

static void expect_close(const struct mr_heartbeat_config *cfg, struct mr_heartbeat_facts f,
			 enum mr_heartbeat_cause cause)
{
	struct mr_heartbeat_verdict v = mr_heartbeat_decide(cfg, &f);

	assert_int_equal(v.action, MR_HEARTBEAT_CLOSE);
	assert_int_equal(v.cause, cause);
}

static void expect_wait(const struct mr_heartbeat_config *cfg, struct mr_heartbeat_facts f,
			uint64_t next_ms)
{
	struct mr_heartbeat_verdict v = mr_heartbeat_decide(cfg, &f);

	assert_int_equal(v.action, MR_HEARTBEAT_NONE);
	assert_int_equal(v.cause, MR_HEARTBEAT_NO_CAUSE);
	assert_true(v.next_ms == next_ms);
}

/* Nothing a millisecond before @due_ms, and that it is known beforehand; @cause at it. */
static void expect_close_at(const struct mr_heartbeat_config *cfg, struct mr_heartbeat_facts f,
			    uint64_t due_ms, enum mr_heartbeat_cause cause)
{
	f.now_ms = due_ms - 1;
	expect_wait(cfg, f, due_ms);
	f.now_ms = due_ms;
	expect_close(cfg, f, cause);
}

static void no_limits_never_look_again(void **state)
{
	const struct mr_heartbeat_config none = { 0 };
	struct mr_heartbeat_facts f = { .now_ms = UINT64_MAX / 2,
					.last_received_ms = 1,
					.partial_since_ms = 1,
					.ping_sent_ms = 2,
					.send_blocked_since_ms = 1 };

	(void)state;
	expect_wait(&none, f, MR_HEARTBEAT_NEVER);
	f.handler_blocked_since_ms = 1;
	expect_wait(&none, f, MR_HEARTBEAT_NEVER);
}

static void silence_reaches_the_idle_limit_and_closes(void **state)
{
	const struct mr_heartbeat_config cfg = { .idle_ms = 60000 };

	(void)state;
	expect_close_at(&cfg, quiet, NOW + 60000, MR_HEARTBEAT_IDLE);
}

static void message_not_complete_in_time_closes_although_bytes_come(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.partial_since_ms = NOW;
	f.last_received_ms = NOW + 6999; /* a byte a second, say */
	expect_close_at(&all, f, NOW + 7000, MR_HEARTBEAT_PARTIAL);
}

static void silence_asks_for_one_ping_then_waits_for_the_pong(void **state)
{
	struct mr_heartbeat_facts f = quiet;
	struct mr_heartbeat_verdict v;

	(void)state;
	f.now_ms = NOW + 14999;
	expect_wait(&all, f, NOW + 15000);
	f.now_ms = NOW + 15000;
	v = mr_heartbeat_decide(&all, &f);
	assert_int_equal(v.action, MR_HEARTBEAT_SEND_PING);
	assert_true(v.next_ms == NOW + 20000);

	f.ping_sent_ms = f.now_ms;
	expect_wait(&all, f, NOW + 20000);
	f.now_ms = NOW + 16000;
	expect_wait(&all, f, NOW + 20000);
}

/* A middlebox that drops TCP keepalives, or a peer whose program hangs. */
static void ping_without_answer_closes(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.ping_sent_ms = NOW + 15000;
	expect_close_at(&all, f, NOW + 20000, MR_HEARTBEAT_PONG);
}

static void any_byte_answers_a_ping(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.ping_sent_ms = NOW + 15000;
	f.last_received_ms = NOW + 15000; /* in the same millisecond */
	f.now_ms = NOW + 20001;
	expect_wait(&all, f, NOW + 30000);
	f.now_ms = NOW + 30000;
	assert_int_equal(mr_heartbeat_decide(&all, &f).action, MR_HEARTBEAT_SEND_PING);
}

static void ping_without_pong_limit_is_repeated(void **state)
{
	const struct mr_heartbeat_config cfg = {
		.has_ping = true, .ping_tag = 1, .pong_tag = 2, .ping_ms = 15000
	};
	struct mr_heartbeat_facts f = quiet;
	struct mr_heartbeat_verdict v;

	(void)state;
	f.now_ms = NOW + 15000;
	v = mr_heartbeat_decide(&cfg, &f);
	assert_int_equal(v.action, MR_HEARTBEAT_SEND_PING);
	assert_true(v.next_ms == NOW + 30000);
	f.ping_sent_ms = f.now_ms;
	expect_wait(&cfg, f, NOW + 30000);
	f.now_ms = NOW + 30000;
	assert_int_equal(mr_heartbeat_decide(&cfg, &f).action, MR_HEARTBEAT_SEND_PING);
}

static void without_tags_no_ping_is_sent(void **state)
{
	struct mr_heartbeat_config cfg = all;
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	cfg.has_ping = false;
	f.now_ms = NOW + 59999;
	expect_wait(&cfg, f, NOW + 60000);
}

static void idle_limit_before_the_pongs_closes_as_idle(void **state)
{
	struct mr_heartbeat_config cfg = all;
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	cfg.idle_ms = 16000;
	f.ping_sent_ms = NOW + 15000;
	expect_close_at(&cfg, f, NOW + 16000, MR_HEARTBEAT_IDLE);
}

static void blocked_handler_closes_as_handler(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.handler_blocked_since_ms = NOW;
	expect_close_at(&all, f, NOW + 3000, MR_HEARTBEAT_HANDLER);
}

static void blocked_handler_stops_idle_partial_pong_and_ping(void **state)
{
	struct mr_heartbeat_config cfg = all;
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	cfg.handler_ms = 0;
	f.handler_blocked_since_ms = NOW;
	f.partial_since_ms = NOW;
	f.ping_sent_ms = NOW + 1;
	f.now_ms = NOW + 1000000;
	expect_wait(&cfg, f, MR_HEARTBEAT_NEVER);
	f.ping_sent_ms = 0;
	expect_wait(&cfg, f, MR_HEARTBEAT_NEVER);
}

/* All limits are over at once: our own not reading is not blamed on the peer. */
static void blocked_handler_wins_over_idle_partial_and_pong(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.handler_blocked_since_ms = NOW;
	f.partial_since_ms = NOW;
	f.ping_sent_ms = NOW + 1;
	f.now_ms = NOW + 1000000;
	expect_close(&all, f, MR_HEARTBEAT_HANDLER);
}

static void unblocked_handler_lets_the_limits_begin_anew(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.handler_blocked_since_ms = NOW;
	f.partial_since_ms = NOW;
	f.ping_sent_ms = NOW + 1;
	f.now_ms = NOW + 2999;
	mr_heartbeat_unblocked(&f);
	assert_int_equal(f.handler_blocked_since_ms, 0);
	expect_close_at(&all, f, NOW + 2999 + 7000, MR_HEARTBEAT_PARTIAL);
	f = quiet;
	f.now_ms = NOW + 2999;
	mr_heartbeat_unblocked(&f);
	assert_int_equal(f.partial_since_ms, 0);
	expect_wait(&all, f, NOW + 2999 + 15000);
}

static void peer_that_never_reads_closes_as_send(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.send_blocked_since_ms = NOW;
	f.last_received_ms = NOW + 9999; /* it goes on sending */
	expect_close_at(&all, f, NOW + 10000, MR_HEARTBEAT_SEND);
}

/*
 * A full buffer: the handler waits for room because the peer does not read. The
 * handler's own limit is shorter, and must not be blamed.
 */
static void full_buffer_that_blocks_the_handler_closes_as_send(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.handler_blocked_since_ms = NOW;
	f.send_blocked_since_ms = NOW + 5;
	f.now_ms = NOW + 3000;
	expect_wait(&all, f, NOW + 10005);
	expect_close_at(&all, f, NOW + 10005, MR_HEARTBEAT_SEND);
}

/* A peer that reads a few bytes now and then cannot keep the handler blocked for ever. */
static void slow_reader_that_blocks_the_handler_closes_as_handler_later(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.handler_blocked_since_ms = NOW;
	f.send_blocked_since_ms = NOW + 12000;
	expect_close_at(&all, f, NOW + 13000, MR_HEARTBEAT_HANDLER);
}

static void send_block_without_its_limit_gives_the_handler_no_more_time(void **state)
{
	struct mr_heartbeat_config cfg = all;
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	cfg.send_ms = 0;
	f.handler_blocked_since_ms = NOW;
	f.send_blocked_since_ms = NOW;
	expect_close_at(&cfg, f, NOW + 3000, MR_HEARTBEAT_HANDLER);
}

/* A lane that was stopped for long looks late: every limit is over. */
static void late_look_finds_the_first_cause_in_the_documented_order(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.now_ms = NOW + 1000000;
	f.ping_sent_ms = NOW + 15000;
	f.partial_since_ms = NOW;
	f.handler_blocked_since_ms = NOW;
	f.send_blocked_since_ms = NOW;
	expect_close(&all, f, MR_HEARTBEAT_SEND);
	f.send_blocked_since_ms = 0;
	expect_close(&all, f, MR_HEARTBEAT_HANDLER);
	f.handler_blocked_since_ms = 0;
	expect_close(&all, f, MR_HEARTBEAT_PARTIAL);
	f.partial_since_ms = 0;
	expect_close(&all, f, MR_HEARTBEAT_PONG);
	f.ping_sent_ms = 0;
	expect_close(&all, f, MR_HEARTBEAT_IDLE);
}

static void clock_near_its_end_does_not_wrap(void **state)
{
	struct mr_heartbeat_facts f = { .now_ms = UINT64_MAX - 1,
					.last_received_ms = UINT64_MAX - 2,
					.partial_since_ms = UINT64_MAX - 2,
					.ping_sent_ms = UINT64_MAX - 1,
					.send_blocked_since_ms = UINT64_MAX - 2 };

	(void)state;
	expect_wait(&all, f, MR_HEARTBEAT_NEVER);
}

/* An arena's clock may have been read later than this turn's. */
static void facts_in_the_future_do_not_fire(void **state)
{
	struct mr_heartbeat_facts f = quiet;

	(void)state;
	f.last_received_ms = NOW + 5;
	f.send_blocked_since_ms = NOW + 5;
	expect_wait(&all, f, NOW + 10005);
}

static void tags_are_told_apart(void **state)
{
	struct mr_heartbeat_config cfg = { .has_ping = true, .ping_tag = 0, .pong_tag = 0xfffe };

	(void)state;
	assert_int_equal(mr_heartbeat_kind(&cfg, 0), MR_HEARTBEAT_TAG_PING);
	assert_int_equal(mr_heartbeat_kind(&cfg, 0xfffe), MR_HEARTBEAT_TAG_PONG);
	assert_int_equal(mr_heartbeat_kind(&cfg, 1), MR_HEARTBEAT_TAG_OTHER);
	cfg.has_ping = false;
	assert_int_equal(mr_heartbeat_kind(&cfg, 0), MR_HEARTBEAT_TAG_OTHER);
	assert_int_equal(mr_heartbeat_kind(&cfg, 0xfffe), MR_HEARTBEAT_TAG_OTHER);
}

static void config_check_refuses_what_cannot_work(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	const struct mr_heartbeat_config none = { 0 };
	struct mr_heartbeat_config cfg;

	(void)state;
	assert_null(mr_heartbeat_config_check(&all, &f));
	assert_null(mr_heartbeat_config_check(&none, &f));
	cfg = all;
	cfg.has_ping = false;
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
	cfg = all;
	cfg.pong_tag = cfg.ping_tag; /* a pong would be answered like a ping, for ever */
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
	cfg = all;
	cfg.ping_tag = 65536;
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
	cfg = all;
	cfg.pong_tag = 65536;
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
	cfg = all;
	cfg.ping_ms = 0;
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
	cfg = all;
	cfg.ping_ms = cfg.idle_ms;
	assert_non_null(mr_heartbeat_config_check(&cfg, &f));
}

static void config_check_takes_the_widest_tags(void **state)
{
	const struct mr_tlv_format f = { 8, 4, false, false, 100, 0 };
	struct mr_heartbeat_config cfg = all;

	(void)state;
	cfg.ping_tag = UINT64_MAX;
	assert_null(mr_heartbeat_config_check(&cfg, &f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limits_never_look_again),
		cmocka_unit_test(silence_reaches_the_idle_limit_and_closes),
		cmocka_unit_test(message_not_complete_in_time_closes_although_bytes_come),
		cmocka_unit_test(silence_asks_for_one_ping_then_waits_for_the_pong),
		cmocka_unit_test(ping_without_answer_closes),
		cmocka_unit_test(any_byte_answers_a_ping),
		cmocka_unit_test(ping_without_pong_limit_is_repeated),
		cmocka_unit_test(without_tags_no_ping_is_sent),
		cmocka_unit_test(idle_limit_before_the_pongs_closes_as_idle),
		cmocka_unit_test(blocked_handler_closes_as_handler),
		cmocka_unit_test(blocked_handler_stops_idle_partial_pong_and_ping),
		cmocka_unit_test(blocked_handler_wins_over_idle_partial_and_pong),
		cmocka_unit_test(unblocked_handler_lets_the_limits_begin_anew),
		cmocka_unit_test(peer_that_never_reads_closes_as_send),
		cmocka_unit_test(full_buffer_that_blocks_the_handler_closes_as_send),
		cmocka_unit_test(slow_reader_that_blocks_the_handler_closes_as_handler_later),
		cmocka_unit_test(send_block_without_its_limit_gives_the_handler_no_more_time),
		cmocka_unit_test(late_look_finds_the_first_cause_in_the_documented_order),
		cmocka_unit_test(clock_near_its_end_does_not_wrap),
		cmocka_unit_test(facts_in_the_future_do_not_fire),
		cmocka_unit_test(tags_are_told_apart),
		cmocka_unit_test(config_check_refuses_what_cannot_work),
		cmocka_unit_test(config_check_takes_the_widest_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
