/* SPDX-License-Identifier: MIT */
/*
 * SYNs answered in XDP (bpf/cookie.h) are answered as the lane does it (user/tcp/cookies.c): the
 * program's SYN-ACK is compared, byte by byte, with the one that the lane's TCP makes of the same
 * SYN at the same time, and the ACK for it is a cookie for the lane.
 */
#include "tests/bpf/fixture.h"
#include "tests/unit/rfc_fixture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

#include "user/tcp/cookies.h"

enum {
	RULE = 0,
	TTL = 255,
	DSCP = 46,
	HEADERS = 128,
};

static struct rfc lane; /* its memory is large: made once */

static const struct mr_guard_secret secret = { .key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };

/* What a SYN offers. */
struct offer {
	bool ipv6;
	unsigned int n_tags;
	uint16_t mss; /* 0: none */
	bool timestamps, sack, scale;
	uint8_t shift;
	uint16_t text; /* bytes behind the header */
};

/* ----- the lane's side ----- */

static void lane_init(struct rfc *f)
{
	rfc_init(f);
	f->config.isn_key = (struct mr_siphash_key){ { secret.key[0], secret.key[1] } };
	f->tcp.ts_offset = 123456789;
}

static void lane_set_ns(struct rfc *f, uint64_t ns)
{
	f->tcp.now_us = ns / 1000;
	f->tcp.now_ms = (uint32_t)(ns / 1000000);
}

static void ask_for_answers(struct rfc *f)
{
	uint32_t slot = SLOT, rule = RULE;
	struct mr_beat b = { .beat_ns = monotonic_ns(), .syn = MR_SYN_ANSWER };
	struct mr_guard_rule r = { .ttl = TTL, .dscp = DSCP };

	mr_cookie_describe(&f->tcp, &b);
	update("mr1_beat", &slot, &b);
	update("mr1_grule", &rule, &r);
	update("mr1_grule", &(uint32_t){ 1 }, &r);
	update("mr1_secret", &(uint32_t){ 0 }, &secret);
}

/* The frame of the lane's SYN-ACK; its length. */
static size_t lane_answers(struct rfc *f, const struct mr_segment *syn, uint8_t out[HEADERS])
{
	struct mr_link link = syn->link;
	const struct rfc_sent *s;
	struct mr_segment_out o;
	size_t bytes;

	assert_true(mr_cookie_send(&f->tcp, syn, 0, NULL));
	s = rfc_last(f);
	o = (struct mr_segment_out){ .seq = s->seq,
				     .ack = s->ack,
				     .wnd = s->wnd,
				     .flags = s->flags,
				     .ttl = TTL,
				     .dscp = DSCP,
				     .options = s->options };
	bytes = mr_segment_push(out + HEADERS, 0, &syn->tuple, &link, &o, 0);
	memmove(out, out + HEADERS - bytes, bytes);
	return bytes;
}

/* ----- the program's side ----- */

static size_t make_syn(const struct offer *o, uint32_t seq, uint8_t out[256])
{
	struct mr_tuple tuple = { .local_port = mr_to_be16(TEST_PEER_PORT),
				  .remote_port = mr_to_be16(TEST_PORT) };
	struct mr_link link = { .peer_mac = { 2, 0, 0, 0, 0, 2 }, .own_mac = { 2, 0, 0, 0, 0, 1 } };
	struct mr_segment_out s = { .seq = seq, .wnd = 1024, .flags = MR_SYN };
	uint8_t frame[HEADERS + 64];
	size_t bytes;

	memset(frame, 'x', sizeof(frame));
	for (unsigned int i = 0; i < o->n_tags; i++)
		link.vlan[i] = (uint16_t)(5 + i);
	s.options = (struct mr_tcp_options){ .mss = o->mss,
					     .has_timestamps = o->timestamps,
					     .ts_val = o->timestamps ? 0xfffffff0 : 0,
					     .sack_permitted = o->sack,
					     .has_window_scale = o->scale,
					     .window_shift = o->shift };
	address_bytes(tuple.local, o->ipv6 ? "2001:db8::1" : "192.0.2.1");
	address_bytes(tuple.remote, o->ipv6 ? "2001:db8::2" : "192.0.2.2");
	bytes = mr_segment_push(frame + HEADERS, o->text, &tuple, &link, &s, 7);
	memcpy(out, frame + HEADERS - bytes, bytes + o->text);
	return bytes + o->text;
}

static size_t program_answers(const uint8_t *syn, size_t bytes, uint8_t out[512])
{
	struct xdp_md ctx = { .data_end = (uint32_t)bytes, .ingress_ifindex = test_ifindex() };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = syn, .data_size_in = (uint32_t)bytes,
		    .data_out = out, .data_size_out = 512, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(program_fd(), &opts), 0);
	assert_int_equal(opts.retval, XDP_TX);
	return opts.data_size_out;
}

/* Whether some millisecond of the run gives the lane the same frame. */
static bool lane_agrees(struct rfc *f, const struct mr_segment *syn, uint64_t from, uint64_t to,
			const uint8_t *reply, size_t bytes)
{
	uint8_t expected[2 * HEADERS] = { 0 };
	size_t n;

	for (uint64_t ns = from; ns / 1000000 <= to / 1000000; ns += 1000000) {
		memset(expected, 0, sizeof(expected));
		lane_set_ns(f, ns);
		f->n_sent = 0;
		n = lane_answers(f, syn, expected);
		if (n < ETH_ZLEN)
			n = ETH_ZLEN;
		memset(expected + n, 0, sizeof(expected) - n);
		if (n == bytes && !memcmp(expected, reply, n))
			return true;
	}
	return false;
}

/* The peer's ACK for @reply is a cookie for the lane, and says what the SYN had offered. */
static void expect_cookie(struct rfc *f, const uint8_t *reply, size_t bytes, const struct offer *o)
{
	struct mr_icmp_error icmp;
	struct mr_half_open half;
	struct mr_segment in, ack;
	int drop;

	assert_int_equal(mr_frame_parse(reply, bytes, &in, &icmp, &drop), MR_KIND_TCP);
	ack = in;
	memcpy(ack.tuple.local, in.tuple.remote, 16);
	memcpy(ack.tuple.remote, in.tuple.local, 16);
	ack.tuple.local_port = in.tuple.remote_port;
	ack.tuple.remote_port = in.tuple.local_port;
	ack.flags = MR_ACK;
	ack.seq = in.ack;
	ack.ack = in.seq + 1;
	ack.options = (struct mr_tcp_options){ .has_timestamps = in.options.has_timestamps,
					       .ts_val = 5,
					       .ts_ecr = in.options.ts_val };
	assert_true(mr_cookie_check(&f->tcp, &ack, &half));
	assert_int_equal(!!(half.flags & MR_HALF_TIMESTAMPS), o->timestamps);
	assert_int_equal(!!(half.flags & MR_HALF_SACK), o->timestamps && o->sack);
	assert_int_equal(!!(half.flags & MR_HALF_WINDOW_SCALE), o->timestamps && o->scale);
	if (half.flags & MR_HALF_WINDOW_SCALE)
		assert_int_equal(half.snd_shift, o->shift > 14 ? 14 : o->shift);
	ack.ack += 1000; /* beyond the MSS table */
	assert_false(mr_cookie_check(&f->tcp, &ack, &half));
}

static void answer_and_compare(const struct offer *o, uint32_t seq)
{
	uint8_t syn[256], reply[512];
	size_t bytes = make_syn(o, seq, syn), n;
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	uint64_t from, to;
	int drop;

	ask_for_answers(&lane);
	from = monotonic_ns();
	n = program_answers(syn, bytes, reply);
	to = monotonic_ns();
	assert_int_equal(mr_frame_parse(syn, bytes, &seg, &icmp, &drop), MR_KIND_TCP);
	assert_true(lane_agrees(&lane, &seg, from, to, reply, n));
	expect_cookie(&lane, reply, n, o);
}

static void answer_is_the_lanes_for_every_set_of_options(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 64; i++) {
		struct offer o = { .ipv6 = i & 1,
				   .n_tags = i >> 4 & 3,
				   .mss = 1460,
				   .timestamps = i & 2,
				   .sack = i & 4,
				   .scale = i & 8,
				   .shift = (uint8_t)(i % 15) };

		if (o.n_tags > 2)
			continue;
		answer_and_compare(&o, i * 0x10000000u + 5);
	}
}

static void answer_keeps_the_mss(void **state)
{
	static const uint16_t mss[] = { 0,    1,    63,	  64,	535,  536,  1199, 1220, 1340,
					1359, 1420, 1439, 1440, 1460, 8940, 8960, 65535 };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(mss) / sizeof(mss[0]); i++)
		answer_and_compare(&(struct offer){ .ipv6 = i & 1, .mss = mss[i / 2] }, 77);
}

static void answer_keeps_every_shift(void **state)
{
	(void)state;
	for (uint8_t shift = 0; shift < 20; shift++)
		answer_and_compare(&(struct offer){ .mss = 1460,
						    .timestamps = true,
						    .scale = true,
						    .sack = shift & 1,
						    .shift = shift },
				   0xffffffff);
}

/* TCP Fast Open's text is not taken: it comes again. */
static void answer_has_no_text(void **state)
{
	(void)state;
	answer_and_compare(&(struct offer){ .mss = 1460, .timestamps = true, .text = 60 }, 9);
	answer_and_compare(&(struct offer){ .ipv6 = true, .text = 1 }, 9);
}

static void options_that_are_malformed_are_not_believed(void **state)
{
	static const uint8_t bad[][12] = {
		{ 2, 0, 5, 180 },			/* length 0 */
		{ 2, 1, 5, 180 },			/* and 1 */
		{ 3, 200, 1 },				/* longer than all */
		{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2 }, /* cut */
		{ 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 4 },	/* length beyond the end */
	};

	(void)state;
	ask_for_answers(&lane);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame syn = FRAME(.flags = SYN, .doff = 8);
		uint8_t reply[512];

		memcpy(syn.bytes + syn.transport + 20, bad[i], sizeof(bad[i]));
		assert_in_range(program_answers(syn.bytes, syn.len, reply), 60, 74);
	}
}

int main(void)
{
	int failed = 0;

	fixture_open();
	lane_init(&lane);
	for (unsigned int s = 0; s < N_SECTIONS; s++) {
		const struct CMUnitTest tests[] = {
			cmocka_unit_test_setup(answer_is_the_lanes_for_every_set_of_options,
					       setup_served),
			cmocka_unit_test_setup(answer_keeps_the_mss, setup_served),
			cmocka_unit_test_setup(answer_keeps_every_shift, setup_served),
			cmocka_unit_test_setup(answer_has_no_text, setup_served),
			cmocka_unit_test_setup(options_that_are_malformed_are_not_believed,
					       setup_served),
		};

		use_section(s);
		failed += cmocka_run_group_tests_name(section_names[s], tests, NULL, NULL);
	}
	rfc_fini(&lane);
	fixture_close();
	return failed != 0;
}
