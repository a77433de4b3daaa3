/* SPDX-License-Identifier: MIT */
/*
 * mr_frame_parse(): RFC 791 3.1, RFC 8200 3 and 4, RFC 6946, RFC 9293 3.1, RFC 792, RFC 4443,
 * RFC 1122 3.2.1.3 and 3.3.6. Each frame is parsed in a heap block of exactly its length, so that
 * the sanitizer finds a read of one byte too many.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mr_lane.h"
#include "user/wire/segment.h"

#include "wire_frames.h"

static const char *const drop_names[] = {
#define D(name, field, text) #name,
	MR_DROPS(D)
#undef D
};

struct parsed {
	enum mr_frame_kind kind;
	int drop;
	struct mr_segment seg;
	struct mr_icmp_error icmp;
};

static const uint8_t ts_block[12] = { 1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };

static struct parsed parse_bytes(const uint8_t *bytes, size_t len)
{
	struct parsed p;
	uint8_t *copy = malloc(len ? len : 1);

	memset(&p, 0xa5, sizeof(p));
	memcpy(copy, bytes, len);
	p.kind = mr_frame_parse(copy, len, &p.seg, &p.icmp, &p.drop);
	free(copy);
	return p;
}

static struct parsed parse(const struct frame *f)
{
	return parse_bytes(f->b, f->len);
}

static void assert_dropped(const struct parsed *p, int drop)
{
	if (p->kind != MR_KIND_DROP || p->drop != drop)
		print_error("kind %d, %s instead of %s\n", p->kind,
			    p->kind == MR_KIND_DROP ? drop_names[p->drop] : "taken",
			    drop_names[drop]);
	assert_int_equal(p->kind, MR_KIND_DROP);
	assert_int_equal(p->drop, drop);
}

static void expect_drop(const struct frame *f, int drop)
{
	struct parsed p = parse(f);

	assert_dropped(&p, drop);
}

static void expect_tcp(const struct frame *f)
{
	struct parsed p = parse(f);

	if (p.kind == MR_KIND_DROP)
		print_error("dropped: %s\n", drop_names[p.drop]);
	assert_int_equal(p.kind, MR_KIND_TCP);
}

static struct frame tcp_frame(bool v6, unsigned int tags)
{
	struct frame f;

	frame_start(&f, v6, tags);
	frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
	return f;
}

/* ----- what a good frame says ----- */

static void assert_fields(const struct parsed *p, const struct frame *f)
{
	const struct mr_segment *s = &p->seg;

	assert_int_equal(p->kind, MR_KIND_TCP);
	assert_memory_equal(s->tuple.local, f->v6 ? v6_own : v4_own, 16);
	assert_memory_equal(s->tuple.remote, f->v6 ? v6_peer : v4_peer, 16);
	assert_int_equal(mr_be16(s->tuple.local_port), 7000);
	assert_int_equal(mr_be16(s->tuple.remote_port), 40001);
	assert_memory_equal(s->link.own_mac, mac_own, 6);
	assert_memory_equal(s->link.peer_mac, mac_peer, 6);
	assert_int_equal(s->seq, 0x01020304);
	assert_int_equal(s->ack, 0xa0b0c0d0);
	assert_int_equal(s->wnd, 8000);
	assert_int_equal(s->flags, MR_PSH | MR_ACK);
	assert_int_equal(s->len, 5);
	assert_memory_equal(f->b + s->payload, "hello", 5);
	assert_true(s->options.has_timestamps);
	assert_int_equal(s->options.ts_val, 0x11223344);
	assert_int_equal(s->options.ts_ecr, 0x55667788);
}

static void plain_segment_gives_every_field(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = tcp_frame(v6, 0);
		struct parsed p = parse(&f);

		assert_fields(&p, &f);
		assert_int_equal(p.seg.link.vlan[0], 0);
		assert_int_equal(p.seg.link.vlan[1], 0);
		assert_int_equal(p.seg.ecn, 0);
	}
}

/* The common shape with every length of text, odd ones too. */
static void plain_segment_of_any_length_is_taken(void **state)
{
	uint8_t text[1448];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 31 + 7);
	for (size_t len = 0; len <= sizeof(text); len += len < 200 ? 1 : 39) {
		struct frame f;
		struct parsed p;

		frame_start(&f, false, 0);
		frame_tcp(&f, ts_block, sizeof(ts_block), text, len);
		p = parse(&f);
		assert_int_equal(p.kind, MR_KIND_TCP);
		assert_int_equal(p.drop, MR_DROP_NONE);
		assert_int_equal(p.seg.len, len);
		assert_int_equal(p.seg.payload, 66);
		assert_int_equal(p.seg.options.mss, 0);
		assert_int_equal(p.seg.options.n_sack, 0);
		if (len) {
			f.b[f.len - 1] ^= 0x80;
			expect_drop(&f, MR_DROP_TCP_CHECKSUM);
		}
	}
}

static void tagged_segments_give_their_tcis(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++)
		for (unsigned int tags = 1; tags <= 2; tags++) {
			struct frame f = tcp_frame(v6, tags);
			struct parsed p = parse(&f);

			assert_fields(&p, &f);
			assert_int_equal(p.seg.link.vlan[0], 0x2000 | 200);
			assert_int_equal(p.seg.link.vlan[1], tags == 2 ? 100 : 0);
		}
}

static void priority_tag_keeps_its_tci(void **state)
{
	struct frame f = tcp_frame(false, 1);
	struct parsed p;

	(void)state;
	put16(f.b + 14, 5 << 13);
	p = parse(&f);
	assert_fields(&p, &f);
	assert_int_equal(p.seg.link.vlan[0], 5 << 13);
}

static void ecn_bits_are_read(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	f.b[f.ip + 1] = 0xb8 | 3;
	frame_seal(&f);
	assert_int_equal(parse(&f).seg.ecn, 3);
	f = tcp_frame(true, 0);
	f.b[f.ip + 1] = 2 << 4;
	assert_int_equal(parse(&f).seg.ecn, 2);
}

static void syn_without_options_or_text_counts_one(void **state)
{
	struct frame f;
	struct parsed p;

	(void)state;
	frame_start(&f, false, 0);
	frame_tcp(&f, NULL, 0, NULL, 0);
	f.b[f.l4 + 13] = MR_SYN;
	frame_seal(&f);
	p = parse(&f);
	assert_int_equal(p.kind, MR_KIND_TCP);
	assert_int_equal(p.seg.len, 0);
	assert_int_equal(mr_segment_length(&p.seg), 1);
	assert_int_equal(p.seg.options.mss, 0);
	assert_false(p.seg.options.has_timestamps);
}

/* Ports are numbers like any other, 0 as well. */
static void port_zero_is_taken(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	put16(f.b + f.l4, 0);
	put16(f.b + f.l4 + 2, 0);
	frame_seal(&f);
	expect_tcp(&f);
}

static void all_forty_bytes_of_options_are_taken(void **state)
{
	uint8_t nops[40];

	(void)state;
	memset(nops, 1, sizeof(nops));
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f;

		frame_start(&f, v6, 2);
		frame_tcp(&f, nops, sizeof(nops), "x", 1);
		assert_int_equal(parse(&f).seg.payload, f.len - 1);
	}
}

static void ethernet_padding_is_not_text(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = tcp_frame(v6, 1);
		struct parsed p;

		frame_append(&f, "\xff\x01padding that is garbage", 20);
		p = parse(&f);
		assert_fields(&p, &f);
	}
}

static void zero_padding_to_sixty_bytes_is_not_text(void **state)
{
	struct frame f;
	struct parsed p;

	(void)state;
	frame_start(&f, false, 0);
	frame_tcp(&f, NULL, 0, NULL, 0);
	f.len = 60;
	p = parse(&f);
	assert_int_equal(p.kind, MR_KIND_TCP);
	assert_int_equal(p.seg.len, 0);
	assert_int_equal(p.seg.payload, 54);
}

/* ----- link ----- */

static void frames_that_end_in_the_link_header_are_short(void **state)
{
	(void)state;
	for (unsigned int tags = 0; tags <= 2; tags++) {
		struct frame f = tcp_frame(false, tags);

		for (size_t len = 0; len < f.ip; len++) {
			struct parsed p = parse_bytes(f.b, len);

			assert_dropped(&p, MR_DROP_ETH_SHORT);
		}
	}
}

static void other_ethertypes_are_not_ip(void **state)
{
	static const unsigned int types[] = { 0x0806, 0x05dc, 0x0000, 0x9100, 0x8847, 0xffff };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct frame f = tcp_frame(false, 0);

		put16(f.b + 12, types[i]);
		expect_drop(&f, MR_DROP_NOT_IP);
	}
}

static void third_tag_is_not_ip(void **state)
{
	struct frame f = tcp_frame(false, 3);

	(void)state;
	expect_drop(&f, MR_DROP_NOT_IP);
}

static void frame_to_a_group_mac_is_dropped(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	memset(f.b, 0xff, 6);
	expect_drop(&f, MR_DROP_IP_DESTINATION);
	f = tcp_frame(true, 0);
	f.b[0] = 0x33;
	expect_drop(&f, MR_DROP_IP_DESTINATION);
}

/* ----- truncation ----- */

/* Cut on the wire, IP's length untouched: never taken, and the reason fits the place. */
static void expect_every_cut_dropped(const struct frame *f)
{
	size_t header = f->v6 ? 40 : 20;

	for (size_t len = 0; len < f->len; len++) {
		struct parsed p = parse_bytes(f->b, len);

		if (len < f->ip)
			assert_dropped(&p, MR_DROP_ETH_SHORT);
		else if (len < f->ip + header || (!f->v6 && len < f->l4))
			assert_dropped(&p, MR_DROP_IP_SHORT);
		else
			assert_dropped(&p, MR_DROP_IP_BAD);
	}
}

static void every_truncation_on_the_wire_is_dropped(void **state)
{
	static const uint8_t options[8] = { 1, 1, 1, 1, 1, 1, 1, 0 };
	static const uint8_t extension[8] = { 0, 0, 1, 4 };
	struct frame f;

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		f = tcp_frame(i & 1, i / 2);
		expect_tcp(&f);
		expect_every_cut_dropped(&f);
	}
	frame_start(&f, false, 1);
	frame_ipv4_options(&f, options, sizeof(options));
	frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
	expect_tcp(&f);
	expect_every_cut_dropped(&f);
	frame_start(&f, true, 2);
	frame_extension(&f, 0, extension, 8);
	frame_extension(&f, 60, extension, 8);
	frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
	expect_tcp(&f);
	expect_every_cut_dropped(&f);
}

/* Cut, and every length and checksum made to agree with the cut. */
static void every_truncation_that_ip_agrees_with_is_dropped(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const struct frame whole = tcp_frame(v6, 0);

		for (size_t len = whole.l4; len < whole.l4 + 32; len++) {
			struct frame f = whole;

			f.len = len;
			frame_seal(&f);
			expect_drop(&f, len < f.l4 + 20 ? MR_DROP_TCP_SHORT : MR_DROP_TCP_BAD);
		}
	}
}

static void every_truncation_in_extension_headers_is_dropped(void **state)
{
	static const uint8_t hop[8] = { 0, 0, 1, 4 };
	static const uint8_t routing[8] = { 0, 0, 3, 0 };
	static const uint8_t fragment[8] = { 0 };
	struct frame whole;

	(void)state;
	frame_start(&whole, true, 0);
	frame_extension(&whole, 0, hop, 8);
	frame_extension(&whole, 43, routing, 8);
	frame_extension(&whole, 44, fragment, 8);
	frame_tcp(&whole, NULL, 0, NULL, 0);
	expect_tcp(&whole);
	for (size_t len = whole.ip + 40; len < whole.l4; len++) {
		struct frame f = whole;

		f.len = len;
		put16(f.b + f.ip + 4, (unsigned int)(len - f.ip - 40));
		expect_drop(&f, MR_DROP_IP_SHORT);
	}
}

/* ----- IPv4 ----- */

static void ipv4_with_another_version_is_bad(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	f.b[f.ip] = 0x65;
	frame_seal(&f);
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv4_header_length_below_five_is_bad(void **state)
{
	(void)state;
	for (unsigned int ihl = 0; ihl < 5; ihl++) {
		struct frame f = tcp_frame(false, 0);

		f.b[f.ip] = (uint8_t)(0x40 | ihl);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_BAD);
	}
}

static void ipv4_total_length_below_its_header_is_bad(void **state)
{
	(void)state;
	for (unsigned int len = 0; len < 20; len++) {
		struct frame f = tcp_frame(false, 0);

		put16(f.b + f.ip + 2, len);
		expect_drop(&f, MR_DROP_IP_BAD);
	}
}

static void ipv4_total_length_beyond_the_frame_is_bad(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	f.len++;
	frame_seal(&f);
	f.len--;
	expect_drop(&f, MR_DROP_IP_BAD);
	f.len = f.ip + 65535;
	put16(f.b + f.ip + 2, 65535);
	put16(f.b + f.ip + 10, 0);
	put16(f.b + f.ip + 10, ~naive_sum(f.b + f.ip, 20, 0) & 0xffff);
	f.len = f.l4 + 37;
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv4_options_are_stepped_over(void **state)
{
	(void)state;
	for (size_t len = 4; len <= 40; len += 4) {
		uint8_t options[40];
		struct parsed p;
		struct frame f;

		memset(options, 1, sizeof(options));
		frame_start(&f, false, 0);
		frame_ipv4_options(&f, options, len);
		frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
		p = parse(&f);
		assert_fields(&p, &f);
	}
}

/* Every byte of the header is summed, options too. */
static void ipv4_header_with_a_flipped_bit_has_a_wrong_checksum(void **state)
{
	uint8_t options[8];
	struct frame f;

	(void)state;
	memset(options, 1, sizeof(options));
	frame_start(&f, false, 0);
	frame_ipv4_options(&f, options, sizeof(options));
	frame_tcp(&f, NULL, 0, NULL, 0);
	for (size_t i = f.ip + 4; i < f.l4; i++) {
		f.b[i] ^= 0x10;
		expect_drop(&f, MR_DROP_IP_CHECKSUM);
		f.b[i] ^= 0x10;
	}
	expect_tcp(&f);
}

static void ipv4_fragments_are_dropped(void **state)
{
	static const unsigned int fields[] = { 0x2000, 0x0001, 0x1fff, 0x2001, 0x6000 };

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		struct frame f = tcp_frame(false, 0);

		put16(f.b + f.ip + 6, fields[i]);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_FRAGMENT);
	}
}

static void ipv4_without_df_is_taken(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	put16(f.b + f.ip + 6, 0);
	frame_seal(&f);
	expect_tcp(&f);
}

static const uint32_t bad_ipv4[] = {
	0x00000000, 0x7f000001, 0x7fffffff, 0xe0000001, 0xefffffff, 0xffffffff,
};
static const uint32_t good_ipv4[] = {
	0x00000001, 0x7e000001, 0x80000001, 0xdfffffff, 0xf0000001, 0xfffffffe, 0x0a000001,
};

static void ipv4_addresses_nobody_has_are_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_ipv4) / sizeof(bad_ipv4[0]); i++) {
		struct frame f = tcp_frame(false, 0);

		put32(f.b + f.ip + 12, bad_ipv4[i]);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_SOURCE);
		f = tcp_frame(false, 0);
		put32(f.b + f.ip + 16, bad_ipv4[i]);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_DESTINATION);
	}
}

static void ipv4_addresses_next_to_those_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good_ipv4) / sizeof(good_ipv4[0]); i++) {
		for (size_t at = 12; at <= 16; at += 4) {
			struct frame f = tcp_frame(false, 0);

			put32(f.b + f.ip + at, good_ipv4[i]);
			frame_seal(&f);
			expect_tcp(&f);
		}
	}
}

/* A packet from us to us that came from outside: RFC 1122 3.2.1.3, the LAND attack. */
static void own_address_as_source_is_dropped(void **state)
{
	struct frame f4 = tcp_frame(false, 0);
	struct frame f6 = tcp_frame(true, 0);

	(void)state;
	memcpy(f4.b + f4.ip + 12, f4.b + f4.ip + 16, 4);
	frame_seal(&f4);
	expect_drop(&f4, MR_DROP_IP_SOURCE);
	memcpy(f6.b + f6.ip + 8, f6.b + f6.ip + 24, 16);
	frame_seal(&f6);
	expect_drop(&f6, MR_DROP_IP_SOURCE);
}

/* ----- IPv6 ----- */

static void ipv6_with_another_version_is_bad(void **state)
{
	struct frame f = tcp_frame(true, 0);

	(void)state;
	f.b[f.ip] = 0x40;
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv6_payload_length_beyond_the_frame_is_bad(void **state)
{
	struct frame f = tcp_frame(true, 0);

	(void)state;
	put16(f.b + f.ip + 4, (unsigned int)(f.len - f.ip - 40 + 1));
	expect_drop(&f, MR_DROP_IP_BAD);
	put16(f.b + f.ip + 4, 65535);
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv6_payload_length_zero_is_short(void **state)
{
	struct frame f = tcp_frame(true, 0);

	(void)state;
	put16(f.b + f.ip + 4, 0);
	expect_drop(&f, MR_DROP_TCP_SHORT);
}

static void ipv6_addresses_nobody_has_are_dropped(void **state)
{
	static const uint8_t bad[][16] = {
		{ 0 },				     /* unspecified */
		{ [15] = 1 },			     /* loopback */
		{ 0xff, 0x02, [15] = 1 },	     /* group */
		{ [10] = 0xff, 0xff, 192, 0, 2, 9 }, /* mapped: IPv4 in this program */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame f = tcp_frame(true, 0);

		memcpy(f.b + f.ip + 8, bad[i], 16);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_SOURCE);
		f = tcp_frame(true, 0);
		memcpy(f.b + f.ip + 24, bad[i], 16);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_IP_DESTINATION);
	}
}

static void ipv6_link_local_is_taken(void **state)
{
	static const uint8_t link_local[16] = { 0xfe, 0x80, [15] = 9 };
	struct frame f = tcp_frame(true, 0);

	(void)state;
	memcpy(f.b + f.ip + 8, link_local, 16);
	frame_seal(&f);
	expect_tcp(&f);
}

static struct frame extended(const uint8_t *kinds, size_t n)
{
	static const uint8_t header[8] = { 0, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t plain[8] = { 0 };
	struct frame f;

	frame_start(&f, true, 0);
	for (size_t i = 0; i < n; i++)
		frame_extension(&f, kinds[i], kinds[i] == 44 || kinds[i] == 43 ? plain : header, 8);
	frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
	return f;
}

static void ipv6_extension_headers_are_stepped_over(void **state)
{
	static const uint8_t kinds[] = { 0, 60, 43, 44, 60, 60 };

	(void)state;
	for (size_t n = 0; n <= sizeof(kinds); n++) {
		struct frame f = extended(kinds, n);
		struct parsed p = parse(&f);

		assert_fields(&p, &f);
	}
}

static void ipv6_seventh_extension_header_is_bad(void **state)
{
	static const uint8_t kinds[] = { 60, 60, 60, 60, 60, 60, 60 };
	struct frame f = extended(kinds, 7);

	(void)state;
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv6_hop_by_hop_behind_another_header_is_bad(void **state)
{
	static const uint8_t kinds[] = { 60, 0 };
	struct frame f = extended(kinds, 2);

	(void)state;
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv6_long_extension_header_is_stepped_over(void **state)
{
	uint8_t header[2048 - 512] = { 0, 0, 1, 0 };
	struct frame f;

	(void)state;
	header[1] = sizeof(header) / 8 - 1;
	for (size_t at = 2; at < sizeof(header);) { /* PadN, as long as its length byte can say */
		size_t len = sizeof(header) - at - 2 > 254 ? 254 : sizeof(header) - at - 2;

		header[at] = 1;
		header[at + 1] = (uint8_t)len;
		at += 2 + len;
	}
	frame_start(&f, true, 0);
	frame_extension(&f, 60, header, sizeof(header));
	frame_tcp(&f, NULL, 0, "x", 1);
	expect_tcp(&f);
}

static void ipv6_extension_header_longer_than_the_packet_is_short(void **state)
{
	static const uint8_t kinds[] = { 60 };
	struct frame f = extended(kinds, 1);

	(void)state;
	f.b[f.ip + 41] = 255;
	expect_drop(&f, MR_DROP_IP_SHORT);
}

/* RFC 8200 4.2: what to do with an option we do not know stands in its upper two bits. */
static void ipv6_unknown_option_decides_by_its_upper_bits(void **state)
{
	static const struct {
		uint8_t type;
		bool ok;
	} types[] = { { 0x05, true },  { 0x3e, true },	{ 0x63, false },
		      { 0x8b, false }, { 0xc2, false }, { 0xc9, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const uint8_t header[8] = { 0, 0, types[i].type, 2, 0, 0, 0, 0 };
		struct frame f;

		frame_start(&f, true, 0);
		frame_extension(&f, i & 1 ? 60 : 0, header, 8);
		frame_tcp(&f, NULL, 0, NULL, 0);
		if (types[i].ok)
			expect_tcp(&f);
		else
			expect_drop(&f, MR_DROP_IP_BAD);
	}
}

static void ipv6_option_beyond_its_header_is_bad(void **state)
{
	static const uint8_t headers[][8] = {
		{ 0, 0, 1, 5 },		    /* PadN of 5 in a room of 4 */
		{ 0, 0, 0, 0, 0, 0, 0, 1 }, /* no room for the length byte */
		{ 0, 0, 5, 255 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct frame f;

		frame_start(&f, true, 0);
		frame_extension(&f, 0, headers[i], 8);
		frame_tcp(&f, NULL, 0, NULL, 0);
		expect_drop(&f, MR_DROP_IP_BAD);
	}
}

static void ipv6_routing_header_with_segments_left_is_bad(void **state)
{
	static const uint8_t header[8] = { 0, 0, 0, 1 };
	struct frame f;

	(void)state;
	frame_start(&f, true, 0);
	frame_extension(&f, 43, header, 8);
	frame_tcp(&f, NULL, 0, NULL, 0);
	expect_drop(&f, MR_DROP_IP_BAD);
}

static void ipv6_fragments_are_dropped(void **state)
{
	static const unsigned int fields[] = { 0x0001, 0x0008, 0xfff8, 0xfff9 };

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint8_t header[8] = { 0 };
		struct frame f;

		put16(header + 2, fields[i]);
		frame_start(&f, true, 0);
		frame_extension(&f, 44, header, 8);
		frame_tcp(&f, NULL, 0, NULL, 0);
		expect_drop(&f, MR_DROP_IP_FRAGMENT);
	}
}

/* Reserved bits of an atomic fragment say nothing. */
static void ipv6_atomic_fragment_is_a_whole_packet(void **state)
{
	static const uint8_t header[8] = { 0, 0xff, 0, 0x06, 1, 2, 3, 4 };
	struct parsed p;
	struct frame f;

	(void)state;
	frame_start(&f, true, 0);
	frame_extension(&f, 44, header, 8);
	frame_tcp(&f, ts_block, sizeof(ts_block), "hello", 5);
	p = parse(&f);
	assert_fields(&p, &f);
}

static void other_protocols_are_not_tcp(void **state)
{
	static const uint8_t protocols[] = { 17, 2, 50, 51, 59, 132, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(protocols); i++)
		for (unsigned int v6 = 0; v6 < 2; v6++) {
			struct frame f = tcp_frame(v6, 0);

			f.b[f.next] = protocols[i];
			frame_seal(&f);
			expect_drop(&f, MR_DROP_NOT_TCP);
		}
}

/* ICMP in IPv6 and ICMPv6 in IPv4 are numbers without a meaning. */
static void icmp_of_the_other_family_is_not_tcp(void **state)
{
	struct frame f = tcp_frame(false, 0);

	(void)state;
	f.b[f.next] = 58;
	frame_seal(&f);
	expect_drop(&f, MR_DROP_NOT_TCP);
	f = tcp_frame(true, 0);
	f.b[f.next] = 1;
	frame_seal(&f);
	expect_drop(&f, MR_DROP_NOT_TCP);
}

/* ----- TCP ----- */

static void tcp_data_offset_below_five_is_bad(void **state)
{
	(void)state;
	for (unsigned int words = 0; words < 5; words++) {
		struct frame f = tcp_frame(words & 1, 0);

		f.b[f.l4 + 12] = (uint8_t)(words << 4);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_TCP_BAD);
	}
}

static void tcp_data_offset_beyond_the_segment_is_bad(void **state)
{
	(void)state;
	for (unsigned int words = 10; words < 16; words++) {
		struct frame f = tcp_frame(words & 1, 0); /* 37 bytes of segment */

		f.b[f.l4 + 12] = (uint8_t)(words << 4);
		frame_seal(&f);
		expect_drop(&f, MR_DROP_TCP_BAD);
	}
}

/* Behind the padding there may be bytes, but not of this segment. */
static void tcp_options_do_not_reach_into_padding(void **state)
{
	struct frame f;

	(void)state;
	frame_start(&f, false, 0);
	frame_tcp(&f, NULL, 0, NULL, 0);
	f.b[f.l4 + 12] = 6 << 4;
	frame_seal(&f);
	f.len = 60;
	expect_drop(&f, MR_DROP_TCP_BAD);
}

static void tcp_with_any_flipped_byte_has_a_wrong_checksum(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = tcp_frame(v6, 0);

		for (size_t i = f.l4; i < f.len; i++) {
			if (i == f.l4 + 12)
				continue; /* data offset: that is TCP_BAD, above */
			f.b[i] ^= 1;
			expect_drop(&f, MR_DROP_TCP_CHECKSUM);
			f.b[i] ^= 1;
		}
		expect_tcp(&f);
	}
}

static void tcp_checksum_covers_the_addresses(void **state)
{
	struct frame f = tcp_frame(true, 0);

	(void)state;
	f.b[f.ip + 8 + 15] ^= 4;
	expect_drop(&f, MR_DROP_TCP_CHECKSUM);
	f.b[f.ip + 8 + 15] ^= 4;
	f.b[f.ip + 24 + 7] ^= 4;
	expect_drop(&f, MR_DROP_TCP_CHECKSUM);
}

static void tcp_malformed_options_are_dropped(void **state)
{
	static const uint8_t bad[][4] = {
		{ 254, 0, 1, 0 }, { 2, 3, 0, 0 }, { 3, 5, 0, 0 }, { 1, 1, 1, 8 }, { 4, 4, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame f;

		frame_start(&f, i & 1, 0);
		frame_tcp(&f, bad[i], 4, "hello", 5);
		expect_drop(&f, MR_DROP_TCP_OPTIONS);
	}
}

/* ----- ICMP ----- */

/* The start of a segment that we sent, as a router quotes it: 28 or 48 bytes. */
static size_t quote(uint8_t *q, bool v6)
{
	struct frame f;

	frame_start(&f, v6, 0);
	frame_tcp(&f, NULL, 0, NULL, 0);
	if (v6) {
		memcpy(f.b + f.ip + 8, v6_own, 16);
		memcpy(f.b + f.ip + 24, v6_peer, 16);
	} else {
		memcpy(f.b + f.ip + 12, v4_own + 12, 4);
		memcpy(f.b + f.ip + 16, v4_peer + 12, 4);
	}
	put16(f.b + f.l4, 7000);
	put16(f.b + f.l4 + 2, 40001);
	memcpy(q, f.b + f.ip, f.l4 + 8 - f.ip);
	return f.l4 + 8 - f.ip;
}

static struct frame icmp_frame(bool v6, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t q[64];
	size_t len = quote(q, v6);
	struct frame f;

	frame_start(&f, v6, 1);
	/* from a router, not from the peer */
	f.b[f.ip + (v6 ? 8 : 12) + 3] ^= 0x40;
	frame_icmp(&f, type, code, rest, q, len);
	return f;
}

static void expect_icmp(const struct frame *f, uint8_t type, uint8_t code, uint32_t mtu)
{
	struct parsed p = parse(f);

	if (p.kind == MR_KIND_DROP)
		print_error("dropped: %s\n", drop_names[p.drop]);
	assert_int_equal(p.kind, MR_KIND_ICMP);
	assert_int_equal(p.icmp.type, type);
	assert_int_equal(p.icmp.code, code);
	assert_int_equal(p.icmp.mtu, mtu);
	assert_int_equal(p.icmp.ipv6, f->v6);
	assert_int_equal(p.icmp.seq, 0x01020304);
	assert_memory_equal(p.icmp.tuple.local, f->v6 ? v6_own : v4_own, 16);
	assert_memory_equal(p.icmp.tuple.remote, f->v6 ? v6_peer : v4_peer, 16);
	assert_int_equal(mr_be16(p.icmp.tuple.local_port), 7000);
	assert_int_equal(mr_be16(p.icmp.tuple.remote_port), 40001);
}

static void icmp4_errors_name_the_segment(void **state)
{
	static const uint8_t types[] = { 3, 4, 11, 12 };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++)
		for (unsigned int code = 0; code < 16; code++) {
			struct frame f = icmp_frame(false, types[i], (uint8_t)code, 1400);

			expect_icmp(&f, types[i], (uint8_t)code,
				    types[i] == 3 && code == 4 ? 1400 : 0);
		}
}

static void icmp6_errors_name_the_segment(void **state)
{
	(void)state;
	for (unsigned int type = 1; type <= 4; type++) {
		struct frame f = icmp_frame(true, (uint8_t)type, 0, 0x00012345);

		expect_icmp(&f, (uint8_t)type, 0, type == 2 ? 0x00012345 : 0);
	}
}

static void icmp_that_is_no_error_is_not_tcp(void **state)
{
	static const uint8_t types4[] = { 0, 5, 8, 9, 10, 13, 255 };
	static const uint8_t types6[] = { 0, 5, 127, 128, 129, 133, 135, 255 };

	(void)state;
	for (size_t i = 0; i < sizeof(types4); i++) {
		struct frame f = icmp_frame(false, types4[i], 0, 0);

		expect_drop(&f, MR_DROP_NOT_TCP);
	}
	for (size_t i = 0; i < sizeof(types6); i++) {
		struct frame f = icmp_frame(true, types6[i], 0, 0);

		expect_drop(&f, MR_DROP_NOT_TCP);
	}
}

static void icmp_cut_anywhere_is_bad(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const struct frame whole = icmp_frame(v6, 3, 0, 0);

		for (size_t len = whole.l4; len < whole.len; len++) {
			struct frame f = whole;

			f.len = len;
			frame_seal(&f);
			expect_drop(&f, MR_DROP_ICMP_BAD);
		}
	}
}

static void icmp_with_a_wrong_checksum_is_bad(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = icmp_frame(v6, 3, 0, 0);

		f.b[f.len - 1] ^= 1;
		expect_drop(&f, MR_DROP_ICMP_BAD);
	}
}

static void icmp6_checksum_covers_the_addresses(void **state)
{
	struct frame f = icmp_frame(true, 3, 0, 0);

	(void)state;
	f.b[f.ip + 8 + 15] ^= 4;
	expect_drop(&f, MR_DROP_ICMP_BAD);
}

/* The quoted packet was not sent by whom the error is for. */
static void icmp_about_somebody_elses_segment_is_bad(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = icmp_frame(v6, 3, 0, 0);

		f.b[f.l4 + 8 + (v6 ? 8 + 15 : 12 + 3)] ^= 1;
		frame_seal(&f);
		expect_drop(&f, MR_DROP_ICMP_BAD);
	}
}

static void icmp_about_another_protocol_is_unknown(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct frame f = icmp_frame(v6, 3, 3, 0);

		f.b[f.l4 + 8 + (v6 ? 6 : 9)] = 17;
		frame_seal(&f);
		expect_drop(&f, MR_DROP_ICMP_UNKNOWN);
	}
}

static void icmp_that_quotes_no_ip_header_is_bad(void **state)
{
	static const uint8_t first[] = { 0x00, 0x55, 0x44, 0x40, 0x4f };

	(void)state;
	for (size_t i = 0; i < sizeof(first); i++) {
		struct frame f = icmp_frame(false, 3, 0, 0);

		f.b[f.l4 + 8] = first[i];
		frame_seal(&f);
		expect_drop(&f, MR_DROP_ICMP_BAD);
	}
	for (size_t i = 0; i < sizeof(first); i++) {
		struct frame f = icmp_frame(true, 3, 0, 0);

		f.b[f.l4 + 8] = first[i];
		frame_seal(&f);
		expect_drop(&f, MR_DROP_ICMP_BAD);
	}
}

/* Behind a fragment's offset there is no TCP header. */
static void icmp_that_quotes_a_later_fragment_is_bad(void **state)
{
	struct frame f = icmp_frame(false, 3, 0, 0);

	(void)state;
	put16(f.b + f.l4 + 8 + 6, 0x2001);
	frame_seal(&f);
	expect_drop(&f, MR_DROP_ICMP_BAD);
}

static void icmp_that_quotes_ip_options_is_understood(void **state)
{
	uint8_t q[64], with[68];
	size_t len = quote(q, false);
	struct frame f;

	(void)state;
	memcpy(with, q, 20);
	memset(with + 20, 1, 4);
	memcpy(with + 24, q + 20, len - 20);
	with[0] = 0x46;
	frame_start(&f, false, 0);
	frame_icmp(&f, 11, 0, 0, with, len + 4);
	expect_icmp(&f, 11, 0, 0);
}

/* ----- anything ----- */

static void assert_inside(const struct parsed *p, size_t len)
{
	assert_in_range(p->kind, MR_KIND_TCP, MR_KIND_DROP);
	if (p->kind == MR_KIND_DROP)
		assert_in_range(p->drop, 0, MR_DROP_COUNT - 1);
	if (p->kind == MR_KIND_TCP)
		assert_true(p->seg.payload + (size_t)p->seg.len <= len);
}

/* Whatever is taken as untagged IPv4 has sums that the slow way finds right as well. */
static void assert_sums_hold(const struct parsed *p, const struct frame *f)
{
	const uint8_t *ip = f->b + 14;
	size_t header = (ip[0] & 15u) * 4u, total = (size_t)ip[2] << 8 | ip[3];
	uint8_t pseudo[4] = { 0, 6 };

	if (p->kind != MR_KIND_TCP || f->b[12] != 8 || f->b[13] != 0)
		return;
	put16(pseudo + 2, (unsigned int)(total - header));
	assert_int_equal(naive_sum(ip, header, 0), 0xffff);
	assert_int_equal(naive_sum(ip + header, total - header,
				   naive_sum(pseudo, 4, naive_sum(ip + 12, 8, 0))),
			 0xffff);
}

/* Flipped bytes, half of them with the sums put right again, from a fixed seed. */
static void mutated_frames_stay_inside_their_bytes(void **state)
{
	static const uint8_t kinds[] = { 0, 60, 43, 44 };
	struct frame base[] = { tcp_frame(false, 0), tcp_frame(true, 2), extended(kinds, 4),
				icmp_frame(false, 3, 4, 1400), icmp_frame(true, 2, 0, 1400) };
	uint32_t seed = 1;

	(void)state;
	for (unsigned int round = 0; round < 40000; round++) {
		struct frame f = base[round % 5];
		struct parsed p;

		for (unsigned int n = 0; n < 1 + round % 3; n++) {
			seed = seed * 1664525 + 1013904223;
			f.b[(seed >> 16) % f.len] = (uint8_t)(seed >> 8);
		}
		if (f.b[f.ip] >> 4 == (f.v6 ? 6 : 4) && (f.v6 || (f.b[f.ip] & 15) == 5) &&
		    round & 8)
			frame_seal(&f);
		p = parse(&f);
		assert_inside(&p, f.len);
		assert_sums_hold(&p, &f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_segment_gives_every_field),
		cmocka_unit_test(plain_segment_of_any_length_is_taken),
		cmocka_unit_test(tagged_segments_give_their_tcis),
		cmocka_unit_test(priority_tag_keeps_its_tci),
		cmocka_unit_test(ecn_bits_are_read),
		cmocka_unit_test(syn_without_options_or_text_counts_one),
		cmocka_unit_test(port_zero_is_taken),
		cmocka_unit_test(all_forty_bytes_of_options_are_taken),
		cmocka_unit_test(ethernet_padding_is_not_text),
		cmocka_unit_test(zero_padding_to_sixty_bytes_is_not_text),
		cmocka_unit_test(frames_that_end_in_the_link_header_are_short),
		cmocka_unit_test(other_ethertypes_are_not_ip),
		cmocka_unit_test(third_tag_is_not_ip),
		cmocka_unit_test(frame_to_a_group_mac_is_dropped),
		cmocka_unit_test(every_truncation_on_the_wire_is_dropped),
		cmocka_unit_test(every_truncation_that_ip_agrees_with_is_dropped),
		cmocka_unit_test(every_truncation_in_extension_headers_is_dropped),
		cmocka_unit_test(ipv4_with_another_version_is_bad),
		cmocka_unit_test(ipv4_header_length_below_five_is_bad),
		cmocka_unit_test(ipv4_total_length_below_its_header_is_bad),
		cmocka_unit_test(ipv4_total_length_beyond_the_frame_is_bad),
		cmocka_unit_test(ipv4_options_are_stepped_over),
		cmocka_unit_test(ipv4_header_with_a_flipped_bit_has_a_wrong_checksum),
		cmocka_unit_test(ipv4_fragments_are_dropped),
		cmocka_unit_test(ipv4_without_df_is_taken),
		cmocka_unit_test(ipv4_addresses_nobody_has_are_dropped),
		cmocka_unit_test(ipv4_addresses_next_to_those_are_taken),
		cmocka_unit_test(own_address_as_source_is_dropped),
		cmocka_unit_test(ipv6_with_another_version_is_bad),
		cmocka_unit_test(ipv6_payload_length_beyond_the_frame_is_bad),
		cmocka_unit_test(ipv6_payload_length_zero_is_short),
		cmocka_unit_test(ipv6_addresses_nobody_has_are_dropped),
		cmocka_unit_test(ipv6_link_local_is_taken),
		cmocka_unit_test(ipv6_extension_headers_are_stepped_over),
		cmocka_unit_test(ipv6_seventh_extension_header_is_bad),
		cmocka_unit_test(ipv6_hop_by_hop_behind_another_header_is_bad),
		cmocka_unit_test(ipv6_long_extension_header_is_stepped_over),
		cmocka_unit_test(ipv6_extension_header_longer_than_the_packet_is_short),
		cmocka_unit_test(ipv6_unknown_option_decides_by_its_upper_bits),
		cmocka_unit_test(ipv6_option_beyond_its_header_is_bad),
		cmocka_unit_test(ipv6_routing_header_with_segments_left_is_bad),
		cmocka_unit_test(ipv6_fragments_are_dropped),
		cmocka_unit_test(ipv6_atomic_fragment_is_a_whole_packet),
		cmocka_unit_test(other_protocols_are_not_tcp),
		cmocka_unit_test(icmp_of_the_other_family_is_not_tcp),
		cmocka_unit_test(tcp_data_offset_below_five_is_bad),
		cmocka_unit_test(tcp_data_offset_beyond_the_segment_is_bad),
		cmocka_unit_test(tcp_options_do_not_reach_into_padding),
		cmocka_unit_test(tcp_with_any_flipped_byte_has_a_wrong_checksum),
		cmocka_unit_test(tcp_checksum_covers_the_addresses),
		cmocka_unit_test(tcp_malformed_options_are_dropped),
		cmocka_unit_test(icmp4_errors_name_the_segment),
		cmocka_unit_test(icmp6_errors_name_the_segment),
		cmocka_unit_test(icmp_that_is_no_error_is_not_tcp),
		cmocka_unit_test(icmp_cut_anywhere_is_bad),
		cmocka_unit_test(icmp_with_a_wrong_checksum_is_bad),
		cmocka_unit_test(icmp6_checksum_covers_the_addresses),
		cmocka_unit_test(icmp_about_somebody_elses_segment_is_bad),
		cmocka_unit_test(icmp_about_another_protocol_is_unknown),
		cmocka_unit_test(icmp_that_quotes_no_ip_header_is_bad),
		cmocka_unit_test(icmp_that_quotes_a_later_fragment_is_bad),
		cmocka_unit_test(icmp_that_quotes_ip_options_is_understood),
		cmocka_unit_test(mutated_frames_stay_inside_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
