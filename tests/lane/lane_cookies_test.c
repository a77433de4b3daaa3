/* SPDX-License-Identifier: MIT */
/*
 * SYN cookies on a lane (RFC 4987 3.6) and what becomes of a final ACK that finds the accept queue
 * full: full tables answer by cookies, their ACKs open connections, everything else is answered as
 * for no connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>
#include <cmocka.h>

#include "shared/mr_guard.h"
#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	ISN = 1000000,
};

static void start(struct pair *p, struct raw *r, struct pair_options o, uint32_t backlog,
		  uint8_t cookies, uint8_t overflow)
{
	pair_init(p, o);
	p->end[PAIR_SERVER].config.open.syn_cookies = cookies;
	p->end[PAIR_SERVER].config.open.overflow = overflow;
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000)->backlog = backlog;
	pair_rule(p, PAIR_SERVER, "drill", 7006);
	talk_serve(p);
	raw_init(r, p);
}

/* A small table of half-open records, and a lane that tells the program in @beat. */
static struct mr_lane *start_told(struct pair *p, struct raw *r, struct mr_beat *beat)
{
	struct pair_options o = PAIR_OPTIONS;

	o.half_open = 16;
	start(p, r, o, 100, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	p->end[PAIR_SERVER].lane->s.beat = beat;
	return p->end[PAIR_SERVER].lane;
}

static void end_told(struct pair *p)
{
	p->end[PAIR_SERVER].lane->s.beat = NULL;
	talk_end(p);
}

static void full_backlog_is_answered_by_cookies(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	for (uint16_t i = 0; i < 10; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_int_equal(s->cookies_sent, 0);
	for (uint16_t i = 10; i < 210; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_int_equal(s->cookies_sent, 200);
	assert_int_equal(s->half_open, 10);
	assert_int_equal(s->drop.half_open_full, 0);
	raw_ack(&r, RAW_PORTS + 209, 7000, ISN + 1, "hi", 2);
	assert_int_equal(s->connections, 1);
	assert_int_equal(s->passive_opens, 1);
	assert_int_equal(s->cookies_accepted, 1);
	assert_int_equal(r.last.len, 2); /* the echo */
	assert_int_equal(s->half_open, 10);
	raw_reset(&r, RAW_PORTS + 209, 7000, ISN + 3);
	raw_run(&r, 250000);
	talk_end(&p);
}

static void full_table_is_answered_by_cookies_and_evicts_nobody(void **state)
{
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	o.half_open = 16;
	start(&p, &r, o, 100, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	for (uint16_t i = 0; i < 16; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	raw_run(&r, 1500);
	assert_true(raw_syn(&r, RAW_PORTS + 16, 7000, ISN));
	assert_int_equal(s->cookies_sent, 1);
	assert_int_equal(s->half_open_expired, 0);
	raw_run(&r, 250000);
	talk_end(&p);
}

/* From half of the table on, until it is calm; what is to be said stands beside the flag. */
static void overrun_lane_lets_the_program_answer(void **state)
{
	struct mr_beat beat = { .syn = MR_SYN_ANSWER };
	struct mr_lane *l;
	struct pair p;
	struct raw r;

	(void)state;
	l = start_told(&p, &r, &beat);
	p.end[PAIR_SERVER].config.open.syn_answers = MR_SYN_ANSWERS_ON;
	lane_overrun_init(l);
	for (uint16_t i = 0; i < 9; i++) {
		assert_false(beat.syn & MR_SYN_ANSWER);
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	}
	assert_true(beat.syn & MR_SYN_ANSWER);
	assert_true(beat.syn & MR_SYN_TIMESTAMPS);
	assert_int_equal(beat.syn_rounds, 1);
	assert_int_equal(beat.syn_mss4, 1460);
	assert_int_equal(beat.syn_mss6, 1440);
	for (int i = 0; i < 200; i++) { /* the records run out, the flood goes on */
		raw_run(&r, 1000);
		beat.syns_answered += 5;
	}
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
	assert_true(beat.syn & MR_SYN_ANSWER);
	assert_true(lane_cookies_are_about(l));
	raw_run(&r, 10000);
	assert_false(beat.syn & MR_SYN_ANSWER);
	assert_true(raw_syn(&r, RAW_PORTS + 9, 7000, ISN));
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 1);
	raw_run(&r, 250000);
	end_told(&p);
}

/* Changed while the lane serves: from another share of the table on, for another time, or never. */
static void overrun_is_what_the_daemon_says_it_is(void **state)
{
	struct mr_beat beat = { 0 };
	struct mr_lane *l;
	struct pair p;
	struct raw r;

	(void)state;
	l = start_told(&p, &r, &beat);
	for (uint16_t i = 0; i < 4; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	mr_lane_syn(l, true, 25, 20);
	assert_false(beat.syn & MR_SYN_ANSWER);
	assert_true(raw_syn(&r, RAW_PORTS + 4, 7000, ISN));
	assert_true(beat.syn & MR_SYN_ANSWER);
	raw_run(&r, 250000); /* the records ran out, calm began */
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
	assert_false(beat.syn & MR_SYN_ANSWER);
	for (uint16_t i = 5; i < 10; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_true(beat.syn & MR_SYN_ANSWER);
	mr_lane_syn(l, false, 25, 20);
	assert_false(beat.syn & MR_SYN_ANSWER);
	for (uint16_t i = 10; i < 20; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_false(beat.syn & MR_SYN_ANSWER);
	raw_run(&r, 250000);
	end_told(&p);
}

/* The time of calm counts from the look that found it. */
static void calm_lasts_as_long_as_the_daemon_says(void **state)
{
	struct mr_beat beat = { 0 };
	struct mr_lane *l;
	struct pair p;
	struct raw r;

	(void)state;
	l = start_told(&p, &r, &beat);
	mr_lane_syn(l, true, 50, 20);
	lane_overrun_begin(l);
	assert_true(beat.syn & MR_SYN_ANSWER);
	for (int i = 0; i < 19; i++)
		raw_run(&r, 1000);
	assert_true(beat.syn & MR_SYN_ANSWER);
	for (int i = 0; i < 4; i++)
		raw_run(&r, 1000);
	assert_false(beat.syn & MR_SYN_ANSWER);
	end_told(&p);
}

/* Nothing is kept, nothing is sent again, and the whole life goes on one cookie. */
static void always_keeps_no_record(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	assert_int_equal(s->half_open, 0);
	raw_run(&r, 10000);
	assert_int_equal(r.syn_acks, 1);
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(s->connections, 1);
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "text", 4);
	assert_int_equal(r.last.len, 4);
	assert_int_equal(r.last.ack, ISN + 5);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 5);
	talk_end(&p);
}

/* A client of ours, with window scale and timestamps, over IPv4 and IPv6. */
static void whole_connection_opened_by_a_cookie(void **state)
{
	static char text[100000];

	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct talk t = { .out = text, .out_len = sizeof(text), .half_close = true };
		struct pair p;
		struct raw r;

		start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
		talk_begin(&p, &t, 7000, ipv6);
		assert_true(pair_run(&p, 20000, talk_is_closed, &t));
		assert_int_equal(t.in_len, sizeof(text));
		assert_int_equal(t.reason, MR_CLOSE_DONE);
		assert_int_equal(p.end[PAIR_SERVER].stats.cookies_accepted, 1);
		assert_int_equal(p.end[PAIR_SERVER].stats.cookies_failed, 0);
		talk_end(&p);
	}
}

/* The bare ACK is lost; the first text, even sent twice, opens the connection once. */
static void text_without_the_ack_before_it_opens(void **state)
{
	struct pair p;
	struct raw r;
	struct mr_segment syn_ack;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	syn_ack = r.last;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "abcd", 4);
	r.last = syn_ack;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "abcd", 4);
	assert_int_equal(s->connections, 1);
	assert_int_equal(s->cookies_accepted, 1);
	assert_int_equal(s->app_bytes_in, 4);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 5);
	talk_end(&p);
}

/* A wrong one, and one that is too old: RST, as for no connection (3.10.7.1). */
static void bad_cookie_is_answered_as_for_no_connection(void **state)
{
	struct pair p;
	struct raw r;
	struct mr_segment syn_ack;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	syn_ack = r.last;
	r.last.seq += 1u << 20;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(r.resets, 1);
	assert_int_equal(r.last.seq, syn_ack.seq + (1u << 20) + 1);
	assert_int_equal(s->cookies_failed, 1);
	assert_int_equal(s->drop.tcp_no_connection, 1);
	raw_run(&r, 110000); /* another minute's turn: cookies are looked at, this one is old */
	assert_true(raw_syn(&r, RAW_PORTS + 1, 7000, ISN));
	raw_run(&r, 11000);
	r.last = syn_ack;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(r.resets, 2);
	assert_int_equal(s->cookies_failed, 2);
	assert_int_equal(s->connections, 0);
	talk_end(&p);
}

/* The ACK that opened a connection, once more after its end: nothing opens. */
static void replayed_ack_opens_nothing(void **state)
{
	struct pair p;
	struct raw r;
	struct mr_segment syn_ack;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	syn_ack = r.last;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
	assert_int_equal(s->connections, 0);
	r.last = syn_ack;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "again", 5);
	assert_int_equal(r.resets, 1);
	assert_int_equal(s->connections, 0);
	assert_int_equal(s->cookies_accepted, 1);
	talk_end(&p);
}

/* Nobody sent a cookie: ACKs are not held against the key, so that nobody can guess at it. */
static void ack_without_a_cookie_about_is_not_counted(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(r.resets, 1);
	assert_int_equal(s->cookies_failed, 0);
	talk_end(&p);
}

/* The table has room again when the SYN comes once more; the client answers the cookie. */
static void cookie_wins_over_a_later_record(void **state)
{
	struct pair p;
	struct raw r;
	struct mr_segment cookie;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 1, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	assert_true(raw_syn(&r, RAW_PORTS + 1, 7000, ISN));
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	cookie = r.last;
	raw_reset(&r, RAW_PORTS + 1, 7000, ISN + 1);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	assert_int_equal(s->half_open, 1);
	assert_int_not_equal(r.last.seq, cookie.seq);
	r.last = cookie;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "hi", 2);
	assert_int_equal(r.resets, 0);
	assert_int_equal(s->half_open, 0);
	assert_int_equal(s->connections, 1);
	assert_int_equal(r.last.len, 2);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 3);
	talk_end(&p);
}

/* ----- accept queue ----- */

static void ask_listener(struct pair *p, struct talk *t)
{
	*t = (struct talk){ .out = "B 7100\n", .out_len = 7 };
	talk_begin(p, t, 7006, false);
	pair_run(p, 10, NULL, NULL);
	assert_string_equal(t->in, "0\n");
}

/* Three handshakes are under way when the queue (of two) fills. */
static void overflow(struct pair *p, struct raw *r, uint8_t cookies, uint8_t policy)
{
	struct mr_segment syn_ack[3];
	struct talk owner;

	start(p, r, PAIR_OPTIONS, 100, cookies, policy);
	ask_listener(p, &owner);
	for (uint16_t i = 0; i < 3; i++) {
		raw_syn(r, (uint16_t)(RAW_PORTS + i), 7100, ISN);
		syn_ack[i] = r->last;
	}
	assert_int_equal(r->syn_acks, 3);
	for (uint16_t i = 0; i < 3; i++) {
		r->last = syn_ack[i];
		raw_ack(r, (uint16_t)(RAW_PORTS + i), 7100, ISN + 1, NULL, 0);
	}
	assert_int_equal(p->end[PAIR_SERVER].stats.accept_queue, 2);
	assert_int_equal(p->end[PAIR_SERVER].stats.accept_overflow, 1);
	assert_int_equal(p->end[PAIR_SERVER].stats.drop.accept_full, 1);
	assert_int_equal(r->resets, policy == MR_OVERFLOW_RESET);
	assert_int_equal(p->end[PAIR_SERVER].stats.accept_resets, policy == MR_OVERFLOW_RESET);
	if (policy == MR_OVERFLOW_RESET)
		assert_int_equal(r->last.seq, syn_ack[2].seq + 1);
	/* one goes; the peer of the third sends its ACK again */
	raw_reset(r, RAW_PORTS, 7100, ISN + 1);
	r->last = syn_ack[2];
	raw_ack(r, RAW_PORTS + 2, 7100, ISN + 1, NULL, 0);
	assert_int_equal(p->end[PAIR_SERVER].stats.accept_queue, 2);
	talk_close(&owner);
	pair_run(p, 10, NULL, NULL);
}

static void ack_beyond_the_accept_queue_is_dropped_and_comes_again(void **state)
{
	struct pair p;
	struct raw r;

	(void)state;
	overflow(&p, &r, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_DROP);
	talk_end(&p);
}

static void ack_beyond_the_accept_queue_is_reset_by_policy(void **state)
{
	struct pair p;
	struct raw r;

	(void)state;
	overflow(&p, &r, MR_SYN_COOKIES_ALWAYS, MR_OVERFLOW_RESET);
	talk_end(&p);
}

/* A full accept queue answers no SYN at all: a cookie would promise what is not there. */
static void full_accept_queue_answers_no_syn(void **state)
{
	struct talk owner;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100, MR_SYN_COOKIES_AUTO, MR_OVERFLOW_DROP);
	ask_listener(&p, &owner);
	for (uint16_t i = 0; i < 2; i++) {
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7100, ISN));
		raw_ack(&r, (uint16_t)(RAW_PORTS + i), 7100, ISN + 1, NULL, 0);
	}
	assert_false(raw_syn(&r, RAW_PORTS + 2, 7100, ISN));
	assert_int_equal(s->cookies_sent, 0);
	assert_int_equal(s->accept_overflow, 1);
	talk_close(&owner);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

/* RFC 9293 3.8.3, by configuration: as often as Linux, and not at all. */
static void syn_ack_is_sent_again_as_often_as_configured(void **state)
{
	static const uint8_t retries[] = { 5, 0, 8 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct pair p;
		struct raw r;

		pair_init(&p, PAIR_OPTIONS);
		p.end[PAIR_SERVER].config.open.syn_ack_retries = retries[i];
		pair_rule(&p, PAIR_SERVER, "echo-bytes", 7000);
		pair_rule(&p, PAIR_CLIENT, "talk", 9);
		pair_start(&p, (const struct mr_app *const[]){ &talk_app }, 1);
		raw_init(&r, &p);
		assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
		raw_run(&r, 400000);
		assert_int_equal(r.syn_acks, retries[i] + 1u);
		assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
		assert_int_equal(p.end[PAIR_SERVER].stats.half_open_expired, 1);
		talk_end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_backlog_is_answered_by_cookies),
		cmocka_unit_test(full_table_is_answered_by_cookies_and_evicts_nobody),
		cmocka_unit_test(overrun_lane_lets_the_program_answer),
		cmocka_unit_test(overrun_is_what_the_daemon_says_it_is),
		cmocka_unit_test(calm_lasts_as_long_as_the_daemon_says),
		cmocka_unit_test(always_keeps_no_record),
		cmocka_unit_test(whole_connection_opened_by_a_cookie),
		cmocka_unit_test(text_without_the_ack_before_it_opens),
		cmocka_unit_test(bad_cookie_is_answered_as_for_no_connection),
		cmocka_unit_test(replayed_ack_opens_nothing),
		cmocka_unit_test(ack_without_a_cookie_about_is_not_counted),
		cmocka_unit_test(cookie_wins_over_a_later_record),
		cmocka_unit_test(ack_beyond_the_accept_queue_is_dropped_and_comes_again),
		cmocka_unit_test(ack_beyond_the_accept_queue_is_reset_by_policy),
		cmocka_unit_test(full_accept_queue_answers_no_syn),
		cmocka_unit_test(syn_ack_is_sent_again_as_often_as_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
