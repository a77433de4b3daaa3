/* SPDX-License-Identifier: MIT */
/* mangle.h: what a frame is, and how it is damaged, with the checksums of RFC 1071 as witness. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "mangle.h"

enum { TEXT = 101, ROOM = 300, SYN = 2, ACK = 16 };

struct frame {
	uint8_t b[ROOM];
	size_t len, ip, l4, data;
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum(const uint8_t *p, size_t len, uint32_t s)
{
	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static bool ip_sum_good(const struct frame *f)
{
	return f->b[f->ip] >> 4 != 4 || sum(f->b + f->ip, 20, 0) == 0xffff;
}

static uint32_t l4_sum(const struct frame *f)
{
	size_t len = f->len - f->l4;

	if (f->b[f->ip] >> 4 == 4)
		return sum(f->b + f->l4, len, sum(f->b + f->ip + 12, 8, 6 + (uint32_t)len));
	return sum(f->b + f->l4, len, sum(f->b + f->ip + 8, 32, 6 + (uint32_t)len));
}

/* TCP with timestamps and @text bytes, IPv4 or IPv6, behind @tags VLAN tags. */
static struct frame tcp_frame(int version, unsigned tags, uint8_t flags, size_t text)
{
	struct frame f = { .ip = 14 + 4 * tags };
	size_t header = 32;

	f.l4 = f.ip + (version == 4 ? 20 : 40);
	f.data = f.l4 + header;
	f.len = f.data + text;
	memset(f.b, 0x5a, f.len);
	for (unsigned i = 0; i < tags; i++)
		put16(f.b + 12 + 4 * i, 0x8100);
	put16(f.b + f.ip - 2, version == 4 ? 0x0800 : 0x86dd);
	if (version == 4) {
		f.b[f.ip] = 0x45;
		f.b[f.ip + 1] = 2; /* ECN capable */
		put16(f.b + f.ip + 2, (unsigned)(f.len - f.ip));
		put16(f.b + f.ip + 6, 0x4000);
		f.b[f.ip + 9] = 6;
		put16(f.b + f.ip + 10, 0);
		put16(f.b + f.ip + 10, ~sum(f.b + f.ip, 20, 0) & 0xffff);
	} else {
		f.b[f.ip] = 0x60;
		f.b[f.ip + 1] = 0x20; /* ECN capable */
		put16(f.b + f.ip + 4, (unsigned)(header + text));
		f.b[f.ip + 6] = 6;
	}
	f.b[f.l4 + 12] = 0x80;
	f.b[f.l4 + 13] = flags;
	put16(f.b + f.l4 + 16, 0);
	put16(f.b + f.l4 + 16, ~l4_sum(&f) & 0xffff);
	return f;
}

static unsigned bits_between(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
	unsigned n = 0;

	for (size_t i = from; i < to; i++)
		n += (unsigned)__builtin_popcount(a[i] ^ b[i]);
	return n;
}

static void frames_made_here_have_good_checksums(void **state)
{
	(void)state;
	for (unsigned tags = 0; tags < 3; tags++) {
		struct frame four = tcp_frame(4, tags, ACK, TEXT),
			     six = tcp_frame(6, tags, ACK, TEXT);

		assert_true(ip_sum_good(&four));
		assert_int_equal(l4_sum(&four), 0xffff);
		assert_int_equal(l4_sum(&six), 0xffff);
	}
}

static void filters_name_what_they_say(void **state)
{
	uint8_t arp[42] = { [12] = 0x08, [13] = 0x06 };

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		for (unsigned tags = 0; tags < 3; tags++) {
			struct frame syn = tcp_frame(version, tags, SYN, 0);
			struct frame ack = tcp_frame(version, tags, ACK, 0);
			struct frame data = tcp_frame(version, tags, ACK, 1);

			assert_true(mr_frame_matches(MR_MATCH_SYN, syn.b, syn.len));
			assert_false(mr_frame_matches(MR_MATCH_SYN, ack.b, ack.len));
			assert_true(mr_frame_matches(MR_MATCH_TCP, ack.b, ack.len));
			assert_false(mr_frame_matches(MR_MATCH_DATA, ack.b, ack.len));
			assert_true(mr_frame_matches(MR_MATCH_DATA, data.b, data.len));
			assert_false(mr_frame_matches(MR_MATCH_ARP, ack.b, ack.len));
		}
	}
	assert_true(mr_frame_matches(MR_MATCH_ARP, arp, sizeof(arp)));
	assert_false(mr_frame_matches(MR_MATCH_TCP, arp, sizeof(arp)));
	assert_true(mr_frame_matches(MR_MATCH_ANY, arp, sizeof(arp)));
	assert_false(mr_frame_matches(MR_MATCH_LOCAL, arp, sizeof(arp)));
	put16(arp + 12, 0x88b5);
	assert_true(mr_frame_matches(MR_MATCH_LOCAL, arp, sizeof(arp)));
	assert_false(mr_frame_matches(MR_MATCH_ARP, arp, sizeof(arp)));
}

/* A pure ACK is padded to 60 bytes by some drivers: padding is no text. */
static void padding_is_not_data(void **state)
{
	struct frame f = tcp_frame(4, 0, ACK, 0);

	(void)state;
	assert_false(mr_frame_matches(MR_MATCH_DATA, f.b, f.len + 20));
	for (uint64_t salt = 0; salt < 2000; salt++)
		assert_false(mr_frame_corrupt(f.b, f.len + 20, MR_CORRUPT_DATA, false, salt));
}

static void damage_is_one_bit_within_its_range(void **state)
{
	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		const struct frame f = tcp_frame(version, 1, ACK, TEXT);
		const struct {
			enum mr_corrupt_where where;
			size_t from, to;
		} cases[] = { { MR_CORRUPT_ANY, 14, f.len },
			      { MR_CORRUPT_HDR, f.ip, f.data },
			      { MR_CORRUPT_L4, f.l4, f.len },
			      { MR_CORRUPT_DATA, f.data, f.len } };

		for (size_t i = 0; i < 4; i++) {
			for (uint64_t n = 0; n < 1000; n++) {
				struct frame g = f;
				uint64_t salt = mr_fate_mix(1, n, i);

				assert_true(
					mr_frame_corrupt(g.b, g.len, cases[i].where, false, salt));
				assert_int_equal(bits_between(f.b, g.b, 0, f.len), 1);
				assert_int_equal(bits_between(f.b, g.b, cases[i].from, cases[i].to),
						 1);
			}
		}
	}
}

static void unrepaired_damage_shows_in_a_checksum(void **state)
{
	const struct frame f = tcp_frame(4, 0, ACK, TEXT);

	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		struct frame g = f;

		mr_frame_corrupt(g.b, g.len, MR_CORRUPT_L4, false, mr_fate_mix(2, n, 0));
		assert_int_not_equal(l4_sum(&g), 0xffff);
	}
}

static void repaired_data_damage_has_good_checksums(void **state)
{
	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		for (size_t text = 1; text < TEXT; text++) {
			const struct frame f = tcp_frame(version, text % 3, ACK, text);
			struct frame g = f;

			assert_true(mr_frame_corrupt(g.b, g.len, MR_CORRUPT_DATA, true,
						     mr_fate_mix(3, text, 0)));
			assert_int_equal(bits_between(f.b, g.b, f.data, f.len), 1);
			assert_int_equal(bits_between(f.b, g.b, 0, f.l4 + 16), 0);
			assert_true(ip_sum_good(&g));
			assert_int_equal(l4_sum(&g), 0xffff);
		}
	}
}

/* Damage in the IPv4 header that leaves its shape: both checksums are made good. */
static void repaired_header_damage_has_a_good_header_checksum(void **state)
{
	const struct frame f = tcp_frame(4, 0, ACK, TEXT);

	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		struct frame g = f;

		assert_true(
			mr_frame_corrupt(g.b, g.len, MR_CORRUPT_HDR, true, mr_fate_mix(4, n, 0)));
		assert_true(bits_between(f.b, g.b, 0, f.len) > 0);
		if (g.b[g.ip] == 0x45)
			assert_true(ip_sum_good(&g));
	}
}

/* The header length says 60 now, and there are no 60 bytes. */
static void repair_reads_no_further_than_the_header_was(void **state)
{
	const struct frame f = tcp_frame(4, 0, ACK, 0);
	uint8_t *p = malloc(f.ip + 20);

	(void)state;
	for (uint64_t n = 0; n < 5000; n++) {
		memcpy(p, f.b, f.ip + 20);
		p[f.ip + 9] = 99;
		put16(p + f.ip + 2, 20);
		mr_frame_corrupt(p, f.ip + 20, MR_CORRUPT_ANY, true, mr_fate_mix(10, n, 0));
	}
	free(p);
}

static void frames_without_the_bytes_stay_as_they_are(void **state)
{
	uint8_t arp[42] = { [12] = 0x08, [13] = 0x06 }, before[42];

	(void)state;
	memcpy(before, arp, sizeof(arp));
	assert_false(mr_frame_corrupt(arp, sizeof(arp), MR_CORRUPT_DATA, true, 77));
	assert_false(mr_frame_corrupt(arp, sizeof(arp), MR_CORRUPT_L4, true, 77));
	assert_false(mr_frame_corrupt(arp, sizeof(arp), MR_CORRUPT_HDR, true, 77));
	assert_false(mr_frame_mark_ce(arp, sizeof(arp)));
	assert_memory_equal(arp, before, sizeof(arp));
	assert_true(mr_frame_corrupt(arp, sizeof(arp), MR_CORRUPT_ANY, false, 77));
}

static void ce_is_set_on_capable_packets_alone(void **state)
{
	struct frame four = tcp_frame(4, 0, ACK, TEXT), six = tcp_frame(6, 1, ACK, TEXT);

	(void)state;
	assert_true(mr_frame_mark_ce(four.b, four.len));
	assert_int_equal(four.b[four.ip + 1] & 3, 3);
	assert_true(ip_sum_good(&four));
	assert_true(mr_frame_mark_ce(six.b, six.len));
	assert_int_equal(six.b[six.ip + 1] & 0x30, 0x30);
	four.b[four.ip + 1] = 0;
	assert_false(mr_frame_mark_ce(four.b, four.len));
	assert_int_equal(four.b[four.ip + 1], 0);
}

static void cuts_are_shorter_and_keep_the_ethernet_header(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 2000; n++) {
		size_t cut = mr_frame_cut(100, mr_fate_mix(5, n, 0));

		assert_in_range(cut, 14, 99);
	}
	assert_int_equal(mr_frame_cut(14, 9), 14);
	assert_int_equal(mr_frame_cut(3, 9), 3);
	assert_int_equal(mr_frame_cut(15, 12345), 14);
}

/* Every length from 0, in memory of just that size: the address sanitizer sees a byte too far. */
static void any_bytes_of_any_length_are_read_within_their_end(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 20000; n++) {
		struct frame f = tcp_frame(n & 1 ? 4 : 6, n % 3, n & 4 ? SYN : ACK, n % TEXT);
		size_t len = (size_t)(mr_fate_mix(6, n, 0) % (f.len + 1));
		uint8_t *p = malloc(len ? len : 1);

		memcpy(p, f.b, len);
		for (unsigned i = 0; i < 4 && len; i++)
			p[mr_fate_mix(7, n, i) % len] = (uint8_t)mr_fate_mix(8, n, i);
		for (int m = 0; m < MR_MATCH_COUNT; m++)
			mr_frame_matches((enum mr_match)m, p, len);
		for (int w = MR_CORRUPT_ANY; w <= MR_CORRUPT_DATA; w++)
			mr_frame_corrupt(p, len, (enum mr_corrupt_where)w, n & 8,
					 mr_fate_mix(9, n, 0));
		mr_frame_mark_ce(p, len);
		assert_in_range(mr_frame_cut(len, n << 8), 0, len);
		free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_made_here_have_good_checksums),
		cmocka_unit_test(filters_name_what_they_say),
		cmocka_unit_test(padding_is_not_data),
		cmocka_unit_test(damage_is_one_bit_within_its_range),
		cmocka_unit_test(unrepaired_damage_shows_in_a_checksum),
		cmocka_unit_test(repaired_data_damage_has_good_checksums),
		cmocka_unit_test(repaired_header_damage_has_a_good_header_checksum),
		cmocka_unit_test(repair_reads_no_further_than_the_header_was),
		cmocka_unit_test(frames_without_the_bytes_stay_as_they_are),
		cmocka_unit_test(ce_is_set_on_capable_packets_alone),
		cmocka_unit_test(cuts_are_shorter_and_keep_the_ethernet_header),
		cmocka_unit_test(any_bytes_of_any_length_are_read_within_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
