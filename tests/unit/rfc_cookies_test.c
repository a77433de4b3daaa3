/* SPDX-License-Identifier: MIT */
/*
 * SYN cookies: RFC 4987 3.6, RFC 9293 3.10.7.2, RFC 7323 2.2 and 3.2 (options kept in the
 * timestamp), RFC 6691 (MSS kept).
 */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

#include "user/tcp/cookies.h"

enum { MINUTE = 60000 };

static struct mr_segment syn_of(bool ipv6, uint16_t mss, bool timestamps)
{
	struct mr_segment s = rfc_segment(MR_SYN, RFC_IRS, 0, 0);

	s.link.vlan[0] = 5;
	s.link.vlan[1] = 6;
	s.options = (struct mr_tcp_options){
		.mss = mss,
		.has_window_scale = true,
		.window_shift = 9,
		.sack_permitted = true,
		.has_timestamps = timestamps,
		.ts_val = timestamps ? 77 : 0,
	};
	if (ipv6)
		s.tuple.local[0] = s.tuple.remote[0] = 0x20;
	return s;
}

/* The ACK that the peer sends for the last SYN-ACK. */
static struct mr_segment ack_of(struct rfc *f, const struct mr_segment *syn)
{
	struct mr_segment a = *syn;

	a.flags = MR_ACK;
	a.seq = syn->seq + 1;
	a.ack = rfc_last(f)->seq + 1;
	a.options = (struct mr_tcp_options){ 0 };
	if (rfc_last(f)->options.has_timestamps) {
		a.options.has_timestamps = true;
		a.options.ts_val = 99;
		a.options.ts_ecr = rfc_last(f)->options.ts_val;
	}
	return a;
}

static void set_ms(struct rfc *f, uint32_t ms)
{
	f->tcp.now_ms = ms;
	f->tcp.now_us = (uint64_t)ms * 1000;
}

static void cookie_answers_a_syn_and_is_taken_back(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_half_open h;
	struct mr_segment ack;

	assert_true(mr_cookie_send(&f->tcp, &syn, 0, NULL));
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_SYN | MR_ACK);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
	assert_int_equal(f->stats.cookies_sent, 1);
	ack = ack_of(f, &syn);
	assert_true(mr_cookie_check(&f->tcp, &ack, &h));
	assert_int_equal(h.iss, rfc_last(f)->seq);
	assert_int_equal(h.irs, RFC_IRS);
	assert_int_equal(h.peer_mss, 1460);
	assert_int_equal(h.ts_recent, 99);
	assert_int_equal(h.sends, 0); /* not timed: nobody knows when the SYN-ACK left */
	assert_int_equal(h.vlan[1], 6);
	assert_memory_equal(h.local, &syn.tuple, sizeof(syn.tuple));
}

/* Never more than the peer asked for; its own value where it is a usual one. */
static void cookie_keeps_the_mss(void **state)
{
	static const struct {
		bool ipv6;
		uint16_t offered, kept;
	} cases[] = {
		{ false, 0, 536 },     { false, 10, 64 },     { false, 535, 64 },
		{ false, 536, 536 },   { false, 1452, 1440 }, { false, 1460, 1460 },
		{ false, 8959, 1460 }, { false, 8960, 8960 }, { false, 65535, 8960 },
		{ true, 0, 1220 },     { true, 1219, 64 },    { true, 1220, 1220 },
		{ true, 1439, 1420 },  { true, 1440, 1440 },  { true, 65535, 8940 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mr_segment syn = syn_of(cases[i].ipv6, cases[i].offered, false);
		struct mr_segment ack;
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		assert_true(mr_cookie_send(&f.tcp, &syn, 0, NULL));
		ack = ack_of(&f, &syn);
		assert_true(mr_cookie_check(&f.tcp, &ack, &h));
		assert_int_equal(h.peer_mss, cases[i].kept);
		rfc_fini(&f);
	}
}

/* What the SYN-ACK offers and what the ACK brings back are the same, for every shift. */
static void cookie_keeps_the_window_scale_in_the_timestamp(void **state)
{
	(void)state;
	for (uint8_t shift = 0; shift <= 15; shift++) {
		struct mr_segment syn = syn_of(false, 1460, true);
		struct mr_segment ack;
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		set_ms(&f, RFC_START_MS + shift * 7u);
		syn.options.has_window_scale = shift < 15;
		syn.options.window_shift = shift < 15 ? shift : 0;
		assert_true(mr_cookie_send(&f.tcp, &syn, 0, NULL));
		assert_int_equal(rfc_last(&f)->options.has_window_scale, shift < 15);
		assert_true(mr_seq_le(rfc_last(&f)->options.ts_val, f.tcp.now_ms));
		assert_true(f.tcp.now_ms - rfc_last(&f)->options.ts_val < 128);
		ack = ack_of(&f, &syn);
		assert_true(mr_cookie_check(&f.tcp, &ack, &h));
		assert_int_equal(!!(h.flags & MR_HALF_WINDOW_SCALE), shift < 15);
		assert_int_equal(h.snd_shift, shift < 15 ? shift : 0);
		assert_int_equal(!!(h.flags & MR_HALF_SACK), rfc_last(&f)->options.sack_permitted);
		rfc_fini(&f);
	}
}

/* No SYN-ACK with a cookie agrees on ECN: an echo of Linux's bit for it turns nothing on. */
static void cookie_reads_sack_of_the_echo_and_no_ecn(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_segment ack;
	struct mr_half_open h;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	ack = ack_of(f, &syn);
	ack.options.ts_ecr = (ack.options.ts_ecr & ~0x3fu) | 0x30 | 4;
	assert_true(mr_cookie_check(&f->tcp, &ack, &h));
	assert_int_equal(h.flags,
			 MR_HALF_USED | MR_HALF_TIMESTAMPS | MR_HALF_WINDOW_SCALE | MR_HALF_SACK);
	assert_int_equal(h.snd_shift, 4);
}

static void cookie_without_timestamps_offers_the_mss_alone(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, false);
	struct mr_segment ack;
	struct mr_half_open h;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	assert_false(rfc_last(f)->options.has_window_scale);
	assert_false(rfc_last(f)->options.sack_permitted);
	assert_false(rfc_last(f)->options.has_timestamps);
	assert_int_equal(rfc_last(f)->options.mss, 1460);
	ack = ack_of(f, &syn);
	assert_true(mr_cookie_check(&f->tcp, &ack, &h));
	assert_int_equal(h.flags, MR_HALF_USED);
}

/* Good in its minute and in the next, whenever in the minute it was made; then never again. */
static void cookie_lives_two_minutes_at_most(void **state)
{
	static const uint32_t made[] = { 0, 1, MINUTE / 2, MINUTE - 1 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mr_segment syn = syn_of(false, 1460, false);
		struct mr_segment ack;
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		set_ms(&f, 10 * MINUTE + made[i]);
		mr_cookie_send(&f.tcp, &syn, 0, NULL);
		ack = ack_of(&f, &syn);
		set_ms(&f, 11 * MINUTE + MINUTE - 1);
		assert_true(mr_cookie_check(&f.tcp, &ack, &h));
		set_ms(&f, 12 * MINUTE);
		assert_false(mr_cookie_check(&f.tcp, &ack, &h));
		for (uint32_t m = 13; m < 300; m++) {
			set_ms(&f, m * MINUTE);
			assert_false(mr_cookie_check(&f.tcp, &ack, &h));
		}
		rfc_fini(&f);
	}
}

/* Another sequence number, acknowledgement, port, address or key: no cookie. */
static void cookie_is_bound_to_all_that_it_answers(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_segment good;
	struct mr_half_open h;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	good = ack_of(f, &syn);
	for (int i = 0; i < 6; i++) {
		struct mr_segment bad = good;

		bad.seq += i == 0 ? 1448 : 0;
		bad.ack += i == 1 ? 1u << 20 : 0;
		bad.tuple.remote_port = mr_to_be16(i == 2 ? 40001 : 40000);
		bad.tuple.remote[15] = i == 3 ? 9 : 1;
		bad.tuple.local_port = mr_to_be16(i == 4 ? 7001 : 7000);
		f->config.isn_key.k[1] += i == 5;
		assert_false(mr_cookie_check(&f->tcp, &bad, &h));
	}
	f->config.isn_key.k[1]--;
	assert_true(mr_cookie_check(&f->tcp, &good, &h));
}

/* A forger who does not know the key: about one guess in 2^28 succeeds, and none of these. */
static void cookie_is_not_guessed(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_half_open h;
	struct mr_segment ack;
	uint32_t hits = 0;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	ack = ack_of(f, &syn);
	for (uint32_t i = 1; i <= 200000; i++) {
		ack.ack = i * 2654435761u;
		hits += mr_cookie_check(&f->tcp, &ack, &h);
	}
	assert_true(hits <= 1);
}

/* 3.10.7.2: RST, SYN or no ACK is no answer to a SYN-ACK; text and FIN may stand in one. */
static void cookie_needs_an_ack_and_no_syn_or_rst(void **state)
{
	struct rfc *f = *state;
	static const struct {
		uint8_t flags;
		bool good;
	} cases[] = {
		{ MR_ACK, true },	    { MR_ACK | MR_PSH, true },	{ MR_ACK | MR_FIN, true },
		{ MR_ACK | MR_SYN, false }, { MR_ACK | MR_RST, false }, { MR_PSH, false },
	};
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_half_open h;
	struct mr_segment ack;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	ack = ack_of(f, &syn);
	ack.len = 100;
	for (int i = 0; i < 6; i++) {
		ack.flags = cases[i].flags;
		assert_int_equal(mr_cookie_check(&f->tcp, &ack, &h), cases[i].good);
	}
}

/* RFC 6191: above everything that the connection before had used, or no answer. */
static void cookie_below_the_earlier_connection_is_not_sent(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1460, true);
	uint32_t used;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	used = rfc_last(f)->seq - 10;
	assert_true(mr_cookie_send(&f->tcp, &syn, 0, &used));
	assert_int_equal(rfc_last(f)->seq, used + 10);
	used += 0x4000000;
	rfc_forget(f);
	assert_false(mr_cookie_send(&f->tcp, &syn, 0, &used));
	assert_int_equal(f->n_sent, 0);
}

/* What this minute's hash does not reach, the next minute's does, and it is taken at once. */
static void cookie_a_little_too_low_is_of_the_next_minute(void **state)
{
	struct mr_segment syn = syn_of(false, 1460, true);
	struct mr_half_open h;
	struct mr_segment ack;
	uint32_t used;
	struct rfc f;

	(void)state;
	for (uint32_t minute = 1; minute < 40; minute++) {
		rfc_init(&f);
		set_ms(&f, minute * MINUTE);
		mr_cookie_send(&f.tcp, &syn, 0, NULL);
		used = rfc_last(&f)->seq + 1000;
		syn.seq += 2000; /* a new SYN, from behind all that was sent */
		assert_true(mr_cookie_send(&f.tcp, &syn, 0, &used));
		assert_true(mr_seq_lt(used, rfc_last(&f)->seq));
		ack = ack_of(&f, &syn);
		assert_true(mr_cookie_check(&f.tcp, &ack, &h));
		rfc_fini(&f);
	}
}

/* Later segments: the peer sent @i bytes meanwhile and got none, or as many, or twice as many. */
static void cookie_is_no_later_segment(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 65535, true);
	struct mr_half_open h;
	struct mr_segment ack;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	ack = ack_of(f, &syn);
	for (uint32_t i = 1; i < 2000; i++) {
		for (uint32_t times = 0; times < 3; times++) {
			struct mr_segment later = ack;

			later.seq += i;
			later.ack += times * i;
			assert_false(mr_cookie_check(&f->tcp, &later, &h));
		}
	}
	assert_true(mr_cookie_check(&f->tcp, &ack, &h));
}

/* The SYN-ACK has the fields of the rule that listens. */
static void cookie_has_the_ip_settings_of_its_rule(void **state)
{
	struct rfc *f = *state;
	static const struct mr_ip_settings ip[2] = { { 1, 2 }, { 77, 33 } };
	struct mr_segment syn = syn_of(false, 1460, true);

	f->tcp.ip = ip;
	mr_cookie_send(&f->tcp, &syn, 1, NULL);
	assert_int_equal(rfc_last(f)->ttl, 77);
	assert_int_equal(rfc_last(f)->dscp, 33);
}

/* What the configuration refuses is not on, whatever a SYN, or the echo of a cookie's, says. */
static void options_off_are_off_with_and_without_cookie(void **state)
{
	struct mr_segment syn = syn_of(false, 1400, true);

	(void)state;
	for (int cookie = 0; cookie < 2; cookie++) {
		for (int off = 0; off < 2; off++) {
			const uint32_t options = MR_CONN_WINDOW_SCALE | MR_CONN_SACK;
			struct mr_half_open h;
			struct mr_segment ack;
			struct mr_conn c = { 0 };
			struct rfc f;

			rfc_init(&f);
			f.config.options_off = off ? options : 0;
			f.config.receive_buffer = 1 << 20;
			if (cookie) {
				assert_true(mr_cookie_send(&f.tcp, &syn, 0, NULL));
				ack = ack_of(&f, &syn);
				ack.options.ts_ecr &= ~31u; /* shift 9, SACK: whatever we said */
				ack.options.ts_ecr |= 16 | 9;
				assert_true(mr_cookie_check(&f.tcp, &ack, &h));
			} else {
				assert_true(mr_tcp_listen_state(&f.tcp, &syn, &h));
			}
			mr_half_open_expand(&f.tcp, &h, &c);
			assert_int_equal(c.flags & options, off ? 0 : options);
			assert_int_equal(c.snd_shift, off ? 0 : 9);
			assert_int_equal(!!c.rcv_shift, !off);
			rfc_fini(&f);
		}
	}
}

/* The block that it stands for takes the text of the same segment, window scaled. */
static void cookie_block_is_established_by_a_segment_with_text(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = syn_of(false, 1400, true);
	struct mr_half_open h;
	struct mr_segment ack;
	struct mr_conn *c = &f->conn;

	mr_cookie_send(&f->tcp, &syn, 0, NULL);
	ack = ack_of(f, &syn);
	assert_true(mr_cookie_check(&f->tcp, &ack, &h));
	mr_half_open_expand(&f->tcp, &h, c);
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_ACK,
				      .seq = ack.seq,
				      .ack = ack.ack,
				      .wnd = 10,
				      .has_ts = true,
				      .ts_val = 99,
				      .ts_ecr = ack.options.ts_ecr,
				      .text = "hello",
				      .len = 5 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->snd_wnd, 10 << 9);
	assert_int_equal(c->snd_mss, 1400 - 12);
	assert_int_equal(c->rx_bytes, 5);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cookie_answers_a_syn_and_is_taken_back),
		cmocka_unit_test(cookie_keeps_the_mss),
		cmocka_unit_test(cookie_keeps_the_window_scale_in_the_timestamp),
		TEST(cookie_reads_sack_of_the_echo_and_no_ecn),
		TEST(cookie_without_timestamps_offers_the_mss_alone),
		cmocka_unit_test(cookie_lives_two_minutes_at_most),
		TEST(cookie_is_bound_to_all_that_it_answers),
		TEST(cookie_is_not_guessed),
		TEST(cookie_needs_an_ack_and_no_syn_or_rst),
		TEST(cookie_below_the_earlier_connection_is_not_sent),
		cmocka_unit_test(cookie_a_little_too_low_is_of_the_next_minute),
		TEST(cookie_is_no_later_segment),
		TEST(cookie_has_the_ip_settings_of_its_rule),
		cmocka_unit_test(options_off_are_off_with_and_without_cookie),
		TEST(cookie_block_is_established_by_a_segment_with_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
