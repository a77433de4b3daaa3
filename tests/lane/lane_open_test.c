/* SPDX-License-Identifier: MIT */
/*
 * Passive opens on a lane (RFC 9293 3.10.7.2, 3.10.7.4): half-open records, their resets and
 * time-outs, full tables; listeners that applications ask for, and their backlog.
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

enum {
	ISN = 1000000,
};

static void start(struct pair *p, struct raw *r, struct pair_options o, uint32_t backlog)
{
	pair_init(p, o);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000)->backlog = backlog;
	pair_rule(p, PAIR_SERVER, "drill", 7006);
	talk_serve(p);
	raw_init(r, p);
}

/* ----- half-open ----- */

static void handshake_makes_a_connection(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	assert_int_equal(r.last.ack, ISN + 1);
	assert_int_equal(s->half_open, 1);
	assert_int_equal(s->connections, 0);
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "hi", 2);
	assert_int_equal(s->half_open, 0);
	assert_int_equal(s->connections, 1);
	assert_int_equal(r.last.len, 2); /* the echo */
	raw_reset(&r, RAW_PORTS, 7000, ISN + 3);
	assert_int_equal(s->connections, 0);
	talk_end(&p);
}

static void half_open_reset_goes_back_to_listen(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	for (uint32_t i = 0; i < 50; i++) { /* nothing of it may pile up */
		assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN + i));
		raw_reset(&r, RAW_PORTS, 7000, ISN + i + 1);
		assert_int_equal(s->half_open, 0);
		assert_int_equal(s->connections, 0);
	}
	assert_int_equal(r.resets, 0);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(s->connections, 1);
	assert_int_equal(p.end[PAIR_SERVER].lane->header->conns_used, 1);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
	talk_end(&p);
}

/* Bad segments in SYN-RECEIVED are answered and change nothing. */
static void half_open_survives_bad_segments(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;
	struct mr_segment_out out = { .wnd = 100 };
	uint32_t iss;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	iss = r.last.seq;
	out.flags = MR_ACK; /* an ACK of what was never sent: RST, 3.10.7.4 fifth */
	out.seq = ISN + 1;
	out.ack = iss + 77;
	raw_segment(&r, RAW_PORTS, 7000, &out, NULL, 0);
	raw_run(&r, 1);
	assert_int_equal(r.resets, 1);
	assert_int_equal(r.last.seq, iss + 77);
	out.seq = ISN - 5000; /* outside the window: an ACK, 3.10.7.4 first */
	out.ack = iss + 1;
	raw_segment(&r, RAW_PORTS, 7000, &out, NULL, 0);
	raw_run(&r, 1);
	assert_int_equal(r.others, 1);
	assert_int_equal(r.last.ack, ISN + 1);
	out.flags = MR_RST; /* a RST in the window that is not exact: challenge ACK */
	out.seq = ISN + 100;
	raw_segment(&r, RAW_PORTS, 7000, &out, NULL, 0);
	raw_run(&r, 1);
	assert_int_equal(r.others, 2);
	assert_int_equal(s->half_open, 1);
	assert_int_equal(s->connections, 0);
	r.last.seq = iss; /* and the right ACK still opens it */
	r.last.flags = MR_SYN;
	r.last.len = 0;
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(s->connections, 1);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
	talk_end(&p);
}

/* MUST-23: the SYN-ACK is sent again with doubled time-outs for 3 minutes, then given up. */
static void unanswered_syn_ack_is_repeated_and_given_up(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;
	uint64_t first, at;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	first = r.last_ns;
	for (uint32_t n = 2, sum = 1000; n <= 7; sum = sum * 2 + 1000, n++) {
		raw_run(&r, (uint32_t)(sum - (mr_memory_now(p.wire) - first) / 1000000) + 5);
		at = (r.last_ns - first) / 1000000;
		assert_int_equal(r.syn_acks, n);
		assert_in_range(at, sum - 1, sum + 2);
	}
	raw_run(&r, 200000);
	assert_int_equal(r.syn_acks, 8);
	assert_int_equal(s->half_open, 0);
	assert_int_equal(s->half_open_expired, 1);
	assert_int_equal(r.resets, 0);
	talk_end(&p);
}

static void full_half_open_table_drops_and_recovers(void **state)
{
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	o.half_open = 16;
	start(&p, &r, o, 100);
	for (uint16_t i = 0; i < 16; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_false(raw_syn(&r, RAW_PORTS + 16, 7000, ISN));
	assert_int_equal(s->drop.half_open_full, 1);
	assert_int_equal(s->half_open, 16);
	assert_int_equal(r.resets, 0);
	raw_run(&r,
		1500); /* those that do not answer have been asked twice: the oldest makes room */
	assert_true(raw_syn(&r, RAW_PORTS + 16, 7000, ISN));
	assert_int_equal(s->half_open, 16);
	raw_run(&r, 250000);
	assert_int_equal(s->half_open, 0);
	talk_end(&p);
}

/* One rule's flood leaves the other rule's records alone. */
static void backlog_of_a_rule_bounds_its_half_open(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 10);
	for (uint16_t i = 0; i < 10; i++)
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	for (uint16_t i = 10; i < 30; i++)
		assert_false(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
	assert_int_equal(s->drop.half_open_full, 20);
	assert_true(raw_syn(&r, RAW_PORTS, 7006, ISN));
	assert_int_equal(s->half_open, 11);
	raw_run(&r, 250000);
	talk_end(&p);
}

/* A SYN that repeats itself is answered each time, from one record. */
static void repeated_syn_has_one_record(void **state)
{
	struct pair p;
	struct raw r;
	uint32_t iss;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	assert_true(raw_syn(&r, RAW_PORTS, 7000, ISN));
	iss = r.last.seq;
	for (int i = 0; i < 20; i++) {
		raw_syn(&r, RAW_PORTS, 7000, ISN);
		assert_int_equal(r.last.seq, iss);
	}
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 1);
	raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, 1);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
	talk_end(&p);
}

static void port_without_a_listener_resets(void **state)
{
	struct pair p;
	struct raw r;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	assert_false(raw_syn(&r, RAW_PORTS, 7001, ISN));
	assert_int_equal(r.resets, 1);
	assert_int_equal(r.last.ack, ISN + 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.drop.tcp_no_connection, 1);
	talk_end(&p);
}

/* ----- listeners of applications: drill's B ----- */

/* Ask the drill to listen on 7100; @answer: what it says. */
static void ask_listener(struct pair *p, struct talk *t, const char *answer)
{
	*t = (struct talk){ .out = "B 7100\n", .out_len = 7 };
	talk_begin(p, t, 7006, false);
	pair_run(p, 10, NULL, NULL);
	assert_string_equal(t->in, answer);
}

static void listener_takes_its_backlog_and_no_more(void **state)
{
	struct talk owner;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;
	uint32_t completed = 0;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	ask_listener(&p, &owner, "0\n");
	assert_int_equal(p.end[PAIR_SERVER].listen.port, 7100);
	assert_int_equal(s->listeners, 3);
	for (uint16_t i = 0; i < 6; i++) {
		if (!raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7100, ISN))
			continue;
		raw_ack(&r, (uint16_t)(RAW_PORTS + i), 7100, ISN + 1, NULL, 0);
		completed++;
	}
	/* as Linux: a backlog of n holds n + 1 */
	assert_int_equal(completed, 2);
	assert_int_equal(s->accept_queue, 2);
	assert_int_equal(s->drop.accept_full, 4);
	assert_int_equal(s->accept_overflow, 4);
	assert_int_equal(r.resets, 0);
	assert_int_equal(s->connections, 3);
	/* one leaves, one may come */
	raw_reset(&r, RAW_PORTS, 7100, ISN + 1);
	assert_int_equal(s->accept_queue, 1);
	assert_true(raw_syn(&r, RAW_PORTS + 9, 7100, ISN));
	raw_ack(&r, RAW_PORTS + 9, 7100, ISN + 1, NULL, 0);
	assert_int_equal(s->accept_queue, 2);
	/* the listener goes with its connection, and who waited is reset */
	raw_forget(&r);
	talk_close(&owner);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(r.resets, 2);
	assert_int_equal(s->accept_queue, 0);
	assert_int_equal(s->listeners, 2);
	assert_int_equal(p.end[PAIR_SERVER].listen.given, 1);
	assert_false(raw_syn(&r, RAW_PORTS, 7100, ISN + 7));
	assert_int_equal(r.resets, 3);
	talk_end(&p);
}

/* A handshake that is under way when the listener goes ends with a RST, not as a connection. */
static void handshake_of_a_listener_that_went_is_reset(void **state)
{
	struct talk owner;
	struct pair p;
	struct raw r;
	struct mr_segment syn_ack;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	ask_listener(&p, &owner, "0\n");
	assert_true(raw_syn(&r, RAW_PORTS, 7100, ISN));
	syn_ack = r.last;
	talk_close(&owner);
	pair_run(&p, 10, NULL, NULL);
	raw_forget(&r);
	r.last = syn_ack;
	raw_ack(&r, RAW_PORTS, 7100, ISN + 1, NULL, 0);
	assert_int_equal(r.resets, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
	talk_end(&p);
}

static void refused_listener_reports_the_error(void **state)
{
	struct talk owner;
	struct pair p;
	struct raw r;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	p.end[PAIR_SERVER].listen.error = -98;
	ask_listener(&p, &owner, "98\n");
	assert_int_equal(p.end[PAIR_SERVER].stats.listeners, 2);
	assert_false(raw_syn(&r, RAW_PORTS, 7100, ISN));
	assert_int_equal(r.resets, 1);
	talk_close(&owner);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].listen.given, 0);
	talk_end(&p);
}

/* The connection goes before the daemon answers: the port is given back. */
static void listener_without_owner_is_given_back(void **state)
{
	struct talk owner = { .out = "B 7100\n", .out_len = 7 };
	struct pair p;
	struct raw r;
	uint64_t cookie;

	(void)state;
	start(&p, &r, PAIR_OPTIONS, 100);
	talk_begin(&p, &owner, 7006, false);
	while (!p.end[PAIR_SERVER].listen.asked) {
		pair_step(&p);
		mr_memory_advance(p.wire, 20000);
	}
	p.end[PAIR_SERVER].listen.asked = false; /* the daemon takes its time */
	cookie = p.end[PAIR_SERVER].listen.cookie;
	talk_abort(&owner);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, 0);
	mr_lane_listen_answer(p.end[PAIR_SERVER].lane, cookie, 0);
	assert_int_equal(p.end[PAIR_SERVER].listen.given, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.listeners, 2);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_makes_a_connection),
		cmocka_unit_test(half_open_reset_goes_back_to_listen),
		cmocka_unit_test(half_open_survives_bad_segments),
		cmocka_unit_test(unanswered_syn_ack_is_repeated_and_given_up),
		cmocka_unit_test(full_half_open_table_drops_and_recovers),
		cmocka_unit_test(backlog_of_a_rule_bounds_its_half_open),
		cmocka_unit_test(repeated_syn_has_one_record),
		cmocka_unit_test(port_without_a_listener_resets),
		cmocka_unit_test(listener_takes_its_backlog_and_no_more),
		cmocka_unit_test(handshake_of_a_listener_that_went_is_reset),
		cmocka_unit_test(refused_listener_reports_the_error),
		cmocka_unit_test(listener_without_owner_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
