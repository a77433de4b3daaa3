/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open (RFC 7413) between two lanes and a raw peer: cookies asked for, given and renewed;
 * text of a SYN delivered before the handshake is done; fallbacks, duplicates, resets and limits.
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
	DAY_MS = MR_FAST_OPEN_KEY_S * 1000,
};

static void start(struct pair *p, struct raw *r, uint8_t fast_open, uint32_t pending)
{
	pair_init(p, PAIR_OPTIONS);
	for (int i = 0; i < 2; i++)
		p->end[i].config.open = (struct mr_open_settings){
			.fast_open = fast_open,
			.fast_open_pending = pending,
			.fast_open_secret = { 5, 6 },
			.syn_ack_retries = 5,
		};
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	talk_serve(p);
	if (r)
		raw_init(r, p);
}

static void syn_with(struct raw *r, uint16_t from, uint32_t seq, const struct mr_tcp_options *o,
		     const void *text, uint32_t len)
{
	struct mr_segment_out syn = { .seq = seq, .wnd = 60000, .flags = MR_SYN, .options = *o };

	syn.options.mss = 1460;
	raw_segment(r, from, 7000, &syn, text, len);
	raw_run(r, 1);
}

/* The cookie that the server gives to the raw peer. */
static struct mr_tcp_options cookie_of(struct raw *r, bool experimental)
{
	const struct mr_tcp_options ask = { .has_fast_open = true,
					    .fast_open_experimental = experimental };
	struct mr_segment_out rst = { .seq = ISN + 1, .flags = MR_RST };
	struct mr_tcp_options o;

	syn_with(r, RAW_PORTS + 99, ISN, &ask, NULL, 0);
	assert_int_equal(r->last.flags, MR_SYN | MR_ACK);
	assert_int_equal(r->last.ack, ISN + 1);
	o = r->last.options;
	assert_true(o.has_fast_open);
	assert_int_equal(o.fast_open_experimental, experimental);
	assert_int_equal(o.fast_open_bytes, 8);
	raw_segment(r, RAW_PORTS + 99, 7000, &rst, NULL, 0);
	raw_run(r, 1);
	raw_forget(r);
	return o;
}

/* 4.2.2: the text is acknowledged by the SYN-ACK and answered before any ACK came. */
static void text_of_a_syn_is_answered_before_the_handshake_is_done(void **state)
{
	(void)state;
	for (int experimental = 0; experimental < 2; experimental++) {
		struct mr_tcp_options o;
		struct pair p;
		struct raw r;
		const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

		start(&p, &r, MR_FAST_OPEN_SERVER, 10);
		o = cookie_of(&r, experimental);
		syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
		assert_int_equal(r.syn_acks, 1);
		assert_int_equal(r.last.flags & MR_SYN, 0); /* the echo came behind it */
		assert_int_equal(r.last.len, 5);
		assert_int_equal(r.last.ack, ISN + 6);
		assert_int_equal(s->fast_opens_in, 1);
		assert_int_equal(s->connections, 1);
		assert_int_equal(s->half_open, 0);
		assert_int_equal(s->passive_opens, 0);
		raw_ack(&r, RAW_PORTS, 7000, ISN + 6, "more", 4);
		assert_int_equal(s->passive_opens, 1);
		assert_int_equal(r.last.len, 4);
		assert_int_equal(s->retransmits, 0);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 10);
		talk_end(&p);
	}
}

/* Without a cookie, or with a wrong one: an ordinary handshake, the text is not acknowledged. */
static void text_without_a_good_cookie_is_not_taken(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mr_tcp_options o;
		struct pair p;
		struct raw r;

		start(&p, &r, i == 3 ? 0 : MR_FAST_OPEN_SERVER, 10);
		o = i == 3 ? (struct mr_tcp_options){ .has_fast_open = true, .fast_open_bytes = 8 }
			   : cookie_of(&r, false);
		if (i == 0)
			o.has_fast_open = false;
		if (i == 1)
			o.fast_open[3] ^= 1;
		if (i == 2)
			o.fast_open_bytes = 6;
		syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
		assert_int_equal(r.last.flags, MR_SYN | MR_ACK);
		assert_int_equal(r.last.ack, ISN + 1);
		/* 4.2.2: a good one comes back for a wrong one */
		assert_int_equal(r.last.options.has_fast_open, i == 1 || i == 2);
		assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 1);
		assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, 0);
		raw_ack(&r, RAW_PORTS, 7000, ISN + 1, "hello", 5);
		assert_int_equal(r.last.len, 5);
		raw_reset(&r, RAW_PORTS, 7000, ISN + 6);
		talk_end(&p);
	}
}

/* 4.1.2: keys change; the one before is accepted, and the SYN-ACK renews the cookie. */
static void cookie_of_yesterday_is_renewed_and_older_ones_are_not_taken(void **state)
{
	struct mr_tcp_options o;
	struct pair p;
	struct raw r;

	(void)state;
	start(&p, &r, MR_FAST_OPEN_SERVER, 10);
	o = cookie_of(&r, false);
	mr_memory_advance(p.wire, DAY_MS * 1000000ull);
	raw_run(&r, 1);
	raw_forget(&r);
	syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
	assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, 1);
	assert_int_equal(r.last.len, 5);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 6);
	mr_memory_advance(p.wire, DAY_MS * 1000000ull);
	raw_run(&r, 1);
	syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
	assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, 1);
	assert_int_equal(r.last.ack, ISN + 1);
	assert_true(r.last.options.has_fast_open);
	assert_memory_not_equal(r.last.options.fast_open, o.fast_open, 8);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 1);
	talk_end(&p);
}

/* 5.1: beyond the limit the ordinary way; a reset request counts for a while, so that resets do
 * not make room. */
static void pending_requests_are_limited_and_resets_count(void **state)
{
	struct mr_tcp_options o;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, MR_FAST_OPEN_SERVER, 3);
	o = cookie_of(&r, false);
	for (uint16_t i = 0; i < 5; i++)
		syn_with(&r, (uint16_t)(RAW_PORTS + i), ISN, &o, "x", 1);
	assert_int_equal(s->fast_opens_in, 3);
	assert_int_equal(s->fast_open_overflow, 2);
	assert_int_equal(s->half_open, 2);
	for (uint16_t i = 0; i < 3; i++)
		raw_reset(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 2);
	for (uint16_t i = 3; i < 5; i++)
		raw_reset(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 1);
	assert_int_equal(s->connections, 0);
	assert_int_equal(s->half_open, 0);
	syn_with(&r, RAW_PORTS + 6, ISN, &o, "x", 1);
	assert_int_equal(s->fast_opens_in, 3);
	raw_reset(&r, RAW_PORTS + 6, 7000, ISN + 1);
	raw_run(&r, MR_FAST_OPEN_RESET_MS);
	syn_with(&r, RAW_PORTS + 6, ISN, &o, "x", 1);
	assert_int_equal(s->fast_opens_in, 4);
	raw_reset(&r, RAW_PORTS + 6, 7000, ISN + 2);
	/* one that is confirmed leaves its place at once */
	raw_run(&r, MR_FAST_OPEN_RESET_MS);
	for (uint16_t i = 10; i < 20; i++) {
		syn_with(&r, (uint16_t)(RAW_PORTS + i), ISN, &o, "x", 1);
		raw_ack(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 2, NULL, 0);
	}
	assert_int_equal(s->fast_opens_in, 14);
	for (uint16_t i = 10; i < 20; i++)
		raw_reset(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 2);
	talk_end(&p);
}

/* The SYN comes twice: one connection, the text once, the SYN-ACK again. */
static void doubled_syn_is_one_connection(void **state)
{
	struct mr_tcp_options o;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, MR_FAST_OPEN_SERVER, 10);
	o = cookie_of(&r, false);
	syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
	assert_int_equal(r.syn_acks, 1);
	syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
	assert_int_equal(r.syn_acks, 2);
	assert_int_equal(r.last.ack, ISN + 6);
	assert_int_equal(s->connections, 1);
	assert_int_equal(s->app_bytes_in, 5);
	raw_reset(&r, RAW_PORTS, 7000, ISN + 6);
	talk_end(&p);
}

/* The client is gone: the SYN-ACK is sent as often as configured, then the connection ends. */
static void unconfirmed_connection_is_given_up(void **state)
{
	struct mr_tcp_options o;
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, MR_FAST_OPEN_SERVER, 1);
	o = cookie_of(&r, false);
	syn_with(&r, RAW_PORTS, ISN, &o, "hello", 5);
	raw_run(&r, 200000);
	assert_int_equal(r.syn_acks, 6);
	assert_int_equal(s->connections, 0);
	assert_int_equal(s->closed.open_timeout, 1);
	assert_int_equal(p.end[PAIR_SERVER].lane->fast_open_pending, 0);
	talk_end(&p);
}

/* ----- our client ----- */

static void talk_to_the_end(struct pair *p, struct talk *t, const char *text, size_t len, bool ipv6)
{
	*t = (struct talk){ .out = text, .out_len = len, .half_close = true, .early = true };
	talk_begin(p, t, 7000, ipv6);
	assert_true(pair_run(p, 400000, talk_is_closed, t));
	assert_int_equal(t->reason, MR_CLOSE_DONE);
	assert_int_equal(t->in_len, len);
	assert_int_equal(t->in_hash, talk_hash(TALK_HASH_BASIS, text, len));
}

/* First a cookie, then text with every SYN: the answer is a round trip earlier. */
static void client_learns_the_cookie_and_sends_text_with_the_next_syn(void **state)
{
	static char text[50000];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		const size_t len[] = { 1, 5, 1400, 1460, sizeof(text) };
		struct talk t;
		struct pair p;
		const struct mr_lane_stats *c = &p.end[PAIR_CLIENT].stats;

		start(&p, NULL, MR_FAST_OPEN_SERVER | MR_FAST_OPEN_CLIENT, 10);
		talk_to_the_end(&p, &t, text, 5, ipv6);
		assert_int_equal(c->fast_opens_out, 0);
		for (unsigned int i = 0; i < 5; i++) {
			talk_to_the_end(&p, &t, text, len[i], ipv6);
			assert_int_equal(c->fast_opens_out, i + 1);
			assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, i + 1);
		}
		assert_int_equal(c->fast_open_fallbacks, 0);
		assert_int_equal(c->retransmits, 0);
		assert_int_equal(p.end[PAIR_SERVER].stats.retransmits, 0);
		pair_run(&p, 100000, NULL, NULL);
		talk_end(&p);
	}
}

/* The server does not take the text: it follows the handshake at once. */
static void client_sends_what_was_not_acknowledged_again(void **state)
{
	struct talk t;
	struct pair p;

	(void)state;
	start(&p, NULL, MR_FAST_OPEN_SERVER | MR_FAST_OPEN_CLIENT, 1);
	talk_to_the_end(&p, &t, "hello", 5, false);
	p.end[PAIR_SERVER].config.open.fast_open_pending = 0;
	talk_to_the_end(&p, &t, "hello world", 11, false);
	assert_int_equal(p.end[PAIR_CLIENT].stats.fast_opens_out, 1);
	assert_int_equal(p.end[PAIR_CLIENT].stats.fast_open_fallbacks, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.fast_open_overflow, 1);
	assert_int_equal(p.end[PAIR_CLIENT].stats.retransmit_timeouts, 0);
	pair_run(&p, 100000, NULL, NULL);
	talk_end(&p);
}

static unsigned int no_syn_text(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				uint64_t *delay_ns)
{
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	int drop;

	(void)arg;
	(void)delay_ns;
	return !(from == PAIR_CLIENT &&
		 mr_frame_parse(frame, *len, &seg, &icmp, &drop) == MR_KIND_TCP &&
		 seg.flags & MR_SYN && (seg.len || seg.options.has_fast_open));
}

/* 4.1.3.1: a box on the path drops such SYNs: plain from the second on, and for an hour. */
static void client_falls_back_when_the_syn_is_lost(void **state)
{
	struct talk t;
	struct pair p;
	const struct mr_lane_stats *c = &p.end[PAIR_CLIENT].stats;

	(void)state;
	start(&p, NULL, MR_FAST_OPEN_SERVER | MR_FAST_OPEN_CLIENT, 10);
	talk_to_the_end(&p, &t, "hello", 5, false);
	mr_memory_set_fate(p.wire, no_syn_text, NULL);
	talk_to_the_end(&p, &t, "hello", 5, false);
	assert_int_equal(c->fast_opens_out, 1);
	assert_int_equal(c->retransmits, 1);
	talk_to_the_end(&p, &t, "hello", 5, false);
	assert_int_equal(c->fast_opens_out, 1);
	assert_int_equal(c->retransmits, 1);
	mr_memory_set_fate(p.wire, NULL, NULL);
	pair_run(&p, MR_FAST_OPEN_OFF_MS, NULL, NULL);
	talk_to_the_end(&p, &t, "hello", 5, false);
	assert_int_equal(c->fast_opens_out, 2);
	pair_run(&p, 100000, NULL, NULL);
	talk_end(&p);
}

/* The client is off: its text waits for the handshake, its SYN asks for nothing. */
static void client_without_fast_open_sends_early_text_behind_the_handshake(void **state)
{
	struct talk t;
	struct pair p;

	(void)state;
	start(&p, NULL, MR_FAST_OPEN_SERVER, 10);
	talk_to_the_end(&p, &t, "hello", 5, false);
	talk_to_the_end(&p, &t, "hello", 5, false);
	assert_int_equal(p.end[PAIR_CLIENT].stats.fast_opens_out, 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.fast_opens_in, 0);
	pair_run(&p, 100000, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_of_a_syn_is_answered_before_the_handshake_is_done),
		cmocka_unit_test(text_without_a_good_cookie_is_not_taken),
		cmocka_unit_test(cookie_of_yesterday_is_renewed_and_older_ones_are_not_taken),
		cmocka_unit_test(pending_requests_are_limited_and_resets_count),
		cmocka_unit_test(doubled_syn_is_one_connection),
		cmocka_unit_test(unconfirmed_connection_is_given_up),
		cmocka_unit_test(client_learns_the_cookie_and_sends_text_with_the_next_syn),
		cmocka_unit_test(client_sends_what_was_not_acknowledged_again),
		cmocka_unit_test(client_falls_back_when_the_syn_is_lost),
		cmocka_unit_test(client_without_fast_open_sends_early_text_behind_the_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
