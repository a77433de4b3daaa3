/* SPDX-License-Identifier: MIT */
/* mr_segment_push(): RFC 9293 3.1, RFC 791 3.1, RFC 8200 3, IEEE 802.1Q; golden frames by scapy. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "user/wire/plain.h"

#include "wire_frames.h"

/* Options of a SYN, of data, and of an ACK with holes; none; and every one alone. */
static const struct mr_tcp_options option_sets[] = {
	{ 0 },
	{ .mss = 1460 },
	{ .sack_permitted = true },
	{ .has_window_scale = true, .window_shift = 14 },
	{ .has_timestamps = true, .ts_val = 0x11223344, .ts_ecr = 0x55667788 },
	{ .mss = 1460,
	  .sack_permitted = true,
	  .has_timestamps = true,
	  .ts_val = 1,
	  .ts_ecr = 2,
	  .has_window_scale = true,
	  .window_shift = 7 },
	{ .mss = 1220, .sack_permitted = true, .has_window_scale = true, .window_shift = 0 },
	{ .n_sack = 4, .sack = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 0xffffffff } } },
	{ .has_timestamps = true,
	  .ts_val = 3,
	  .ts_ecr = 4,
	  .n_sack = 3,
	  .sack = { { 1, 2 }, { 3, 4 }, { 5, 6 } } },
};

static struct mr_tuple tuple_of(bool v6)
{
	struct mr_tuple t = { .local_port = mr_to_be16(7000), .remote_port = mr_to_be16(40001) };

	memcpy(t.local, v6 ? v6_own : v4_own, 16);
	memcpy(t.remote, v6 ? v6_peer : v4_peer, 16);
	return t;
}

static struct mr_link link_of(uint16_t outer, uint16_t inner)
{
	struct mr_link l = { .vlan = { outer, inner } };

	memcpy(l.own_mac, mac_own, 6);
	memcpy(l.peer_mac, mac_peer, 6);
	return l;
}

struct pushed {
	uint8_t b[MR_HEADERS_MAX + 2048];
	size_t at;  /* where the frame starts */
	size_t len; /* of the frame */
};

static void push(struct pushed *p, const void *text, size_t len, bool v6,
		 const struct mr_link *link, const struct mr_segment_out *out, uint16_t ip_id)
{
	const struct mr_tuple t = tuple_of(v6);
	size_t headers;

	memset(p->b, 0xa5, sizeof(p->b));
	if (len)
		memcpy(p->b + MR_HEADERS_MAX, text, len);
	headers = mr_segment_push(p->b + MR_HEADERS_MAX, len, &t, link, out, ip_id);
	assert_true(headers <= MR_HEADERS_MAX);
	p->at = MR_HEADERS_MAX - headers;
	p->len = headers + len;
	for (size_t i = 0; i < p->at; i++)
		assert_int_equal(p->b[i], 0xa5);
}

static void hex_to_bytes(const char *hex, uint8_t *out, size_t len)
{
	char digits[3] = { 0 };

	assert_int_equal(strlen(hex), 2 * len);
	for (size_t i = 0; i < len; i++) {
		memcpy(digits, hex + 2 * i, 2);
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

static void assert_golden(const struct pushed *p, const char *hex)
{
	uint8_t want[256];

	hex_to_bytes(hex, want, p->len);
	assert_memory_equal(p->b + p->at, want, p->len);
}

static void ipv4_data_segment_equals_golden_frame(void **state)
{
	const struct mr_link link = link_of(0, 0);
	const struct mr_segment_out out = {
		.seq = 0x01020304,
		.ack = 0xa0b0c0d0,
		.wnd = 8000,
		.flags = MR_PSH | MR_ACK,
		.ecn = 2,
		.options = option_sets[4],
	};
	struct pushed p;

	(void)state;
	push(&p, "hello", 5, false, &link, &out, 0x1234);
	assert_golden(&p, "0200000000010200000000020800"
			  "45020039123440004006a485c0000202c0000201"
			  "1b589c4101020304a0b0c0d080181f4061240000"
			  "0101080a1122334455667788"
			  "68656c6c6f");
}

static void ipv6_tagged_syn_ack_equals_golden_frame(void **state)
{
	const struct mr_link link = link_of(3 << 13 | 100, 0);
	const struct mr_segment_out out = {
		.seq = 1,
		.ack = 2,
		.wnd = 65535,
		.flags = MR_SYN | MR_ACK,
		.options = { .mss = 1220,
			     .sack_permitted = true,
			     .has_timestamps = true,
			     .ts_val = 7,
			     .ts_ecr = 9,
			     .has_window_scale = true,
			     .window_shift = 7 },
	};
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, true, &link, &out, 0);
	assert_golden(&p, "0200000000010200000000028100606486dd"
			  "600000000028064020010db800000000000000000000000220010db8000000000000"
			  "000000000001"
			  "1b589c410000000100000002a012ffff35bf0000"
			  "020404c40402080a000000070000000901030307");
}

static void ipv4_doubly_tagged_sack_equals_golden_frame(void **state)
{
	const struct mr_link link = link_of(200, 1 << 13 | 100);
	const struct mr_segment_out out = {
		.seq = 5,
		.ack = 6,
		.wnd = 512,
		.flags = MR_ACK,
		.options = { .n_sack = 2, .sack = { { 100, 200 }, { 300, 400 } } },
	};
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, false, &link, &out, 1);
	assert_golden(&p, "02000000000102000000000288a800c8810020640800"
			  "4500003c000140004006b6b7c0000202c0000201"
			  "1b589c410000000500000006a0100200181d0000"
			  "01010512000000640000"
			  "00c80000012c00000190");
}

/* What mr_frame_parse() makes of it at the other end. */
static void assert_read_back(const struct pushed *p, const void *text, size_t len, bool v6,
			     const struct mr_link *link, const struct mr_segment_out *out)
{
	const struct mr_tuple t = tuple_of(v6);
	uint8_t *frame = malloc(p->len);
	struct mr_segment s;
	struct mr_icmp_error e;
	int drop;

	memcpy(frame, p->b + p->at, p->len);
	assert_int_equal(mr_frame_parse(frame, p->len, &s, &e, &drop), MR_KIND_TCP);
	assert_memory_equal(s.tuple.local, t.remote, 16);
	assert_memory_equal(s.tuple.remote, t.local, 16);
	assert_int_equal(s.tuple.local_port.raw, t.remote_port.raw);
	assert_int_equal(s.tuple.remote_port.raw, t.local_port.raw);
	assert_memory_equal(s.link.own_mac, link->peer_mac, 6);
	assert_memory_equal(s.link.peer_mac, link->own_mac, 6);
	assert_memory_equal(s.link.vlan, link->vlan, sizeof(s.link.vlan));
	assert_int_equal(s.seq, out->seq);
	assert_int_equal(s.ack, out->ack);
	assert_int_equal(s.wnd, out->wnd);
	assert_int_equal(s.flags, out->flags);
	assert_int_equal(s.ecn, out->ecn);
	assert_int_equal(s.len, len);
	assert_int_equal(s.payload + len, p->len);
	assert_memory_equal(frame + s.payload, text, len);
	assert_memory_equal(&s.options, &out->options, offsetof(struct mr_tcp_options, sack));
	for (unsigned int i = 0; i < s.options.n_sack; i++) {
		assert_int_equal(s.options.sack[i].left, out->options.sack[i].left);
		assert_int_equal(s.options.sack[i].right, out->options.sack[i].right);
	}
	free(frame);
}

static void everything_pushed_parses_back(void **state)
{
	static const uint16_t vlans[][2] = { { 0, 0 }, { 100, 0 }, { 200, 0xe000 | 4094 } };
	static const size_t lengths[] = { 0, 1, 2, 3, 64, 1447, 1448 };
	uint8_t text[1448];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + 3);
	for (unsigned int i = 0; i < 2 * 3 * 7 * 9; i++) {
		const bool v6 = i % 2;
		const uint16_t *vlan = vlans[i / 2 % 3];
		const size_t len = lengths[i / 6 % 7];
		const struct mr_link link = link_of(vlan[0], vlan[1]);
		const struct mr_segment_out out = {
			.seq = 0xfffffff0 + i,
			.ack = i * 0x01010101u,
			.wnd = (uint16_t)(i * 257),
			.flags = (uint8_t)(i * 11),
			.ecn = i & 3,
			.options = option_sets[i / 42],
		};
		struct pushed p;

		push(&p, text, len, v6, &link, &out, (uint16_t)i);
		assert_read_back(&p, text, len, v6, &link, &out);
	}
}

static void time_to_live_is_64_unless_asked(void **state)
{
	const struct mr_link link = link_of(0, 0);
	struct mr_segment_out out = { .flags = MR_ACK };
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, false, &link, &out, 0);
	assert_int_equal(p.b[p.at + 14 + 8], 64);
	push(&p, NULL, 0, true, &link, &out, 0);
	assert_int_equal(p.b[p.at + 14 + 7], 64);
	out.ttl = 255;
	push(&p, NULL, 0, false, &link, &out, 0);
	assert_int_equal(p.b[p.at + 14 + 8], 255);
	push(&p, NULL, 0, true, &link, &out, 0);
	assert_int_equal(p.b[p.at + 14 + 7], 255);
}

static void ipv4_always_says_do_not_fragment(void **state)
{
	const struct mr_link link = link_of(0, 0);
	const struct mr_segment_out out = { .flags = MR_RST };
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, false, &link, &out, 0xffff);
	assert_int_equal(p.len, 54);
	assert_int_equal(p.b[p.at + 14 + 6], 0x40);
	assert_int_equal(p.b[p.at + 14 + 7], 0);
	assert_int_equal(p.b[p.at + 14 + 4], 0xff);
	assert_int_equal(p.b[p.at + 14 + 5], 0xff);
}

/* A lone inner tag is a customer tag like any other. */
static void inner_tag_without_outer_is_one_tag(void **state)
{
	const struct mr_link link = link_of(0, 77);
	const struct mr_segment_out out = { .flags = MR_ACK };
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, false, &link, &out, 0);
	assert_int_equal(p.len, 58);
	assert_memory_equal(p.b + p.at + 12, "\x81\x00\x00\x4d\x08\x00", 6);
}

/* All headers at their largest fill MR_HEADERS_MAX to the byte. */
static void largest_headers_fill_the_headroom(void **state)
{
	const struct mr_link link = link_of(200, 100);
	const struct mr_segment_out out = { .flags = MR_ACK, .options = option_sets[8] };
	struct pushed p;

	(void)state;
	push(&p, NULL, 0, true, &link, &out, 0);
	assert_int_equal(p.at, 0);
	assert_int_equal(p.len, MR_HEADERS_MAX);
}

/* The short way writes what the long way writes, byte for byte. */
static void plain_segments_are_the_same_by_the_short_way(void **state)
{
	static uint8_t text[2][MR_HEADERS_MAX + 2048];
	struct mr_plain_out plain = { .seq = 0xfedcba98,
				      .ack = 0x01020304,
				      .ts_val = 0x11223344,
				      .ts_ecr = 0x55667788,
				      .wnd = 0xabcd };

	(void)state;
	for (uint32_t n = 0; n < 4000; n++) {
		size_t len = n % 1449;
		struct mr_tuple tuple = tuple_of(n & 1);
		struct mr_link link = link_of(0, 0);
		struct mr_segment_out out = { .flags = MR_ACK | MR_PSH };
		size_t headers, short_headers;

		plain.seq += 0x10001u * n;
		plain.ttl = n & 2 ? (uint8_t)n : 0;
		plain.dscp = n & 4 ? (uint8_t)(n >> 3) : 0;
		out.seq = plain.seq;
		out.ack = plain.ack;
		out.wnd = plain.wnd;
		out.ttl = plain.ttl;
		out.dscp = plain.dscp;
		out.options.has_timestamps = true;
		out.options.ts_val = plain.ts_val;
		out.options.ts_ecr = plain.ts_ecr;
		for (size_t i = 0; i < len; i++)
			text[0][MR_HEADERS_MAX + i] = (uint8_t)(i * n >> 3);
		memcpy(text[1], text[0], sizeof(text[0]));
		headers = mr_segment_push(text[0] + MR_HEADERS_MAX, len, &tuple, &link, &out,
					  (uint16_t)n);
		short_headers = mr_plain_push(text[1] + MR_HEADERS_MAX, len, &tuple, link.peer_mac,
					      link.own_mac, &plain, (uint16_t)n);
		assert_int_equal(headers, short_headers);
		assert_memory_equal(text[0], text[1], sizeof(text[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_data_segment_equals_golden_frame),
		cmocka_unit_test(ipv6_tagged_syn_ack_equals_golden_frame),
		cmocka_unit_test(ipv4_doubly_tagged_sack_equals_golden_frame),
		cmocka_unit_test(everything_pushed_parses_back),
		cmocka_unit_test(time_to_live_is_64_unless_asked),
		cmocka_unit_test(ipv4_always_says_do_not_fragment),
		cmocka_unit_test(inner_tag_without_outer_is_one_tag),
		cmocka_unit_test(largest_headers_fill_the_headroom),
		cmocka_unit_test(plain_segments_are_the_same_by_the_short_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
