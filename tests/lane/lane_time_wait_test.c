/* SPDX-License-Identifier: MIT */
/* TIME-WAIT records of a lane (RFC 9293 3.6.1, 3.10.7.4; RFC 6191): made, reopened, over, full. */
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
	ISN = 5000,
};

static void start(struct pair *p, struct raw *r, uint32_t time_wait)
{
	struct pair_options o = PAIR_OPTIONS;

	o.time_wait = time_wait;
	pair_init(p, o);
	pair_rule(p, PAIR_SERVER, "drill", 7006);
	talk_serve(p);
	raw_init(r, p);
}

/* The server closes first (drill's C), the raw peer follows: the server waits. */
static void close_by_server(struct raw *r, uint16_t port, uint32_t isn)
{
	struct mr_segment_out fin = { .wnd = 60000, .flags = MR_FIN | MR_ACK };

	assert_true(raw_syn(r, port, 7006, isn));
	raw_ack(r, port, 7006, isn + 1, "C\n", 2);
	assert_true(r->last.flags & MR_FIN);
	fin.seq = isn + 3;
	fin.ack = r->last.seq + 1;
	raw_segment(r, port, 7006, &fin, NULL, 0);
	raw_run(r, 1);
	assert_int_equal(r->last.ack, isn + 4);
}

static void fin_again(struct raw *r, uint16_t port, uint32_t isn)
{
	struct mr_segment_out fin = {
		.wnd = 60000, .flags = MR_FIN | MR_ACK, .seq = isn + 3, .ack = r->last.seq
	};
	uint32_t before = r->others;

	raw_segment(r, port, 7006, &fin, NULL, 0);
	raw_run(r, 1);
	assert_int_equal(r->others, before + 1); /* acknowledged again */
	assert_int_equal(r->last.ack, isn + 4);
}

static void record_ends_after_two_msl(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, 64);
	close_by_server(&r, RAW_PORTS, ISN);
	assert_int_equal(s->time_wait, 1);
	assert_int_equal(s->connections, 0);
	assert_int_equal(s->closed.done, 1);
	raw_run(&r, 59900);
	assert_int_equal(s->time_wait, 1);
	raw_run(&r, 1200);
	assert_int_equal(s->time_wait, 0);
	assert_int_equal(mr_lane_next_ns(p.end[PAIR_SERVER].lane), UINT64_MAX);
	talk_end(&p);
}

static void newer_syn_opens_the_same_tuple(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, 64);
	for (uint32_t n = 0; n < 100; n++) { /* more often than there are records */
		close_by_server(&r, RAW_PORTS, ISN + n * 1000);
		assert_int_equal(s->time_wait, 1);
		assert_int_equal(s->half_open, 0);
	}
	assert_int_equal(s->passive_opens, 100);
	/* an old one does not: it is acknowledged (RFC 9293 3.10.7.4, RFC 5961) */
	assert_false(raw_syn(&r, RAW_PORTS, 7006, ISN));
	assert_int_equal(s->time_wait, 1);
	assert_int_equal(r.resets, 0);
	raw_run(&r, 70000);
	assert_int_equal(s->time_wait, 0);
	talk_end(&p);
}

/* MAY-2 (1): "its initial sequence number is larger than the largest the earlier one used". */
static void reopened_tuple_starts_above_its_last_number(void **state)
{
	struct pair p;
	struct raw r;
	uint32_t used;

	(void)state;
	start(&p, &r, 64);
	close_by_server(&r, RAW_PORTS, ISN);
	used = r.last.seq;
	assert_true(raw_syn(&r, RAW_PORTS, 7006, ISN + 1000));
	assert_true(mr_seq_lt(used + 65535, r.last.seq));
	pair_free(&p);
}

/* RFC 1337: a RST does not end it. */
static void reset_does_not_end_the_wait(void **state)
{
	struct mr_segment_out rst = { .seq = ISN + 4, .flags = MR_RST };
	struct pair p;
	struct raw r;

	(void)state;
	start(&p, &r, 64);
	close_by_server(&r, RAW_PORTS, ISN);
	raw_segment(&r, RAW_PORTS, 7006, &rst, NULL, 0);
	raw_run(&r, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.time_wait, 1);
	raw_run(&r, 70000);
	talk_end(&p);
}

/* A FIN that comes again restarts the 2 MSL, of its own record alone. */
static void repeated_fin_restarts_its_own_wait(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, 64);
	close_by_server(&r, RAW_PORTS, ISN);
	close_by_server(&r, RAW_PORTS + 1, ISN);
	close_by_server(&r, RAW_PORTS + 2, ISN);
	raw_run(&r, 30000);
	fin_again(&r, RAW_PORTS, ISN);
	raw_run(&r, 31000);
	assert_int_equal(s->time_wait, 1); /* the two behind it are over */
	fin_again(&r, RAW_PORTS, ISN);
	raw_run(&r, 59000);
	assert_int_equal(s->time_wait, 1);
	raw_run(&r, 2000);
	assert_int_equal(s->time_wait, 0);
	talk_end(&p);
}

static void full_table_recycles_the_oldest(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, 16);
	for (uint16_t i = 0; i < 40; i++)
		close_by_server(&r, (uint16_t)(RAW_PORTS + i), ISN);
	assert_int_equal(s->time_wait, 16);
	assert_int_equal(s->closed.done, 40);
	r.resets = 0;
	raw_ack(&r, RAW_PORTS, 7006, ISN + 4, NULL, 0); /* the first is forgotten ... */
	assert_int_equal(r.resets, 1);
	fin_again(&r, RAW_PORTS + 39, ISN); /* ... the last is not */
	raw_run(&r, 70000);
	assert_int_equal(s->time_wait, 0);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_ends_after_two_msl),
		cmocka_unit_test(newer_syn_opens_the_same_tuple),
		cmocka_unit_test(reopened_tuple_starts_above_its_last_number),
		cmocka_unit_test(reset_does_not_end_the_wait),
		cmocka_unit_test(repeated_fin_restarts_its_own_wait),
		cmocka_unit_test(full_table_recycles_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
