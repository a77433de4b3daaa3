/* SPDX-License-Identifier: MIT */
/*
 * A rule's congestion control and ECN (RFC 3168 6.1.1, RFC 8257 3.1) hold for connections of every
 * way to open: by a record, by a SYN cookie (RFC 4987 3.6), by Fast Open (RFC 7413).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/mr_cc.h"
#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	ISN = 1000000,
	ASK = MR_SYN | MR_ECE | MR_CWR, /* an ECN-setup SYN */
	TS_ECN = 1 << 5,		/* of a cookie's timestamp, as Linux has it */
};

/* What a rule says, and whether a connection whose peer asks for ECN has it. */
static const struct {
	uint8_t cc, ecn;
	bool agrees;
} rows[] = {
	{ MR_CC_CUBIC, MR_ECN_PASSIVE, true }, { MR_CC_CUBIC, MR_ECN_OFF, false },
	{ MR_CC_NEWRENO, MR_ECN_ON, true },    { MR_CC_DCTCP, MR_ECN_PASSIVE, true },
	{ MR_CC_BBR, MR_ECN_PASSIVE, false },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void start(struct pair *p, struct raw *r, size_t row, uint8_t cookies, uint8_t fast_open)
{
	struct mr_lane_rule *rule;

	pair_init(p, PAIR_OPTIONS);
	p->end[PAIR_SERVER].config.open = (struct mr_open_settings){
		.syn_cookies = cookies,
		.fast_open = fast_open,
		.fast_open_pending = 10,
		.fast_open_secret = { 5, 6 },
		.syn_ack_retries = 5,
	};
	rule = pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	rule->cc = rows[row].cc;
	rule->ecn = rows[row].ecn;
	talk_serve(p);
	raw_init(r, p);
}

static void syn_with(struct raw *r, const struct mr_tcp_options *o, const char *text)
{
	struct mr_segment_out syn = { .seq = ISN, .wnd = 60000, .flags = ASK, .options = *o };

	syn.options.mss = 1460;
	raw_segment(r, RAW_PORTS, 7000, &syn, text, (uint32_t)strlen(text));
	raw_run(r, 1);
}

static void check_conn(const struct pair *p, size_t row, bool ecn)
{
	const struct mr_conn *c = &p->end[PAIR_SERVER].lane->conns[0];

	assert_int_equal(p->end[PAIR_SERVER].stats.connections, 1);
	assert_int_equal(c->cc, rows[row].cc);
	assert_int_equal(!!(c->flags & MR_CONN_ECN), ecn);
}

static void connection_of_a_record_is_as_the_rule_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct pair p;
		struct raw r;

		start(&p, &r, i, MR_SYN_COOKIES_OFF, 0);
		syn_with(&r, &(struct mr_tcp_options){ 0 }, "");
		assert_int_equal(r.last.flags, MR_SYN | MR_ACK | (rows[i].agrees ? MR_ECE : 0));
		raw_ack(&r, RAW_PORTS, 7000, ISN + 1, NULL, 0);
		check_conn(&p, i, rows[i].agrees);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
		talk_end(&p);
	}
}

/* 4.2.2: the SYN asks for ECN and brings text; the connection is there at once. */
static void connection_of_fast_open_is_as_the_rule_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct mr_tcp_options o;
		struct pair p;
		struct raw r;

		start(&p, &r, i, MR_SYN_COOKIES_OFF, MR_FAST_OPEN_SERVER);
		syn_with(&r, &(struct mr_tcp_options){ .has_fast_open = true }, "");
		o = r.last.options;
		assert_int_equal(o.fast_open_bytes, 8);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
		syn_with(&r, &o, "hello");
		assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, 1);
		check_conn(&p, i, rows[i].agrees);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 6);
		talk_end(&p);
	}
}

/* The SYN-ACK of a cookie agrees on no ECN, so that no echo of its timestamp can turn it on. */
static void connection_of_a_cookie_is_as_the_rule_says_without_ecn(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const struct mr_tcp_options o = { .has_timestamps = true, .ts_val = 7 };
		struct mr_segment_out ack = { .seq = ISN + 1, .wnd = 60000, .flags = MR_ACK };
		struct pair p;
		struct raw r;

		start(&p, &r, i, MR_SYN_COOKIES_ALWAYS, 0);
		syn_with(&r, &o, "");
		assert_int_equal(r.last.flags, MR_SYN | MR_ACK);
		assert_true(r.last.options.has_timestamps);
		ack.ack = r.last.seq + 1;
		ack.options = o;
		ack.options.ts_ecr = r.last.options.ts_val | TS_ECN;
		raw_segment(&r, RAW_PORTS, 7000, &ack, NULL, 0);
		raw_run(&r, 1);
		assert_int_equal(p.end[PAIR_SERVER].stats.cookies_accepted, 1);
		check_conn(&p, i, false);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
		talk_end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connection_of_a_record_is_as_the_rule_says),
		cmocka_unit_test(connection_of_fast_open_is_as_the_rule_says),
		cmocka_unit_test(connection_of_a_cookie_is_as_the_rule_says_without_ecn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
