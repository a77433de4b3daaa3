/* SPDX-License-Identifier: MIT */
/* docs/tlv.md, "Reading a stream": millrace/tlv.h's format over user/tlv/reader.h's contract. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tlv_layouts.h"
#include "user/tlv/reader.h"

enum {
	STREAM_MAX = 400,
	MESSAGES_MAX = 16,
	LAYOUTS = 128,
	STORE_MAX = 256,
};

/* A stream of messages, and what it must read as. */
struct stream {
	struct mr_tlv_format f;
	uint8_t bytes[STREAM_MAX];
	size_t len;
	struct {
		uint64_t tag;
		uint32_t len;
		size_t at; /* of the value, in bytes[] */
	} m[MESSAGES_MAX];
	size_t n;
};

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void add_message(struct stream *s, uint32_t *seed, uint32_t len)
{
	uint64_t tag = ((uint64_t)next_random(seed) << 40) ^ ((uint64_t)next_random(seed) << 20) ^
		       next_random(seed);
	ssize_t header;
	uint32_t i;

	if (s->f.tag_bytes < 8)
		tag &= (UINT64_C(1) << (8 * s->f.tag_bytes)) - 1;
	header = mr_tlv_write_header(&s->f, s->bytes + s->len, tag, len);
	assert_int_equal(header, mr_tlv_header_bytes(&s->f));
	s->len += (size_t)header;
	s->m[s->n].tag = tag;
	s->m[s->n].len = len;
	s->m[s->n++].at = s->len;
	for (i = 0; i < len; i++)
		s->bytes[s->len++] = (uint8_t)next_random(seed);
	s->len += mr_tlv_write_check(&s->f, s->bytes + s->len,
				     s->bytes + s->m[s->n - 1].at - header,
				     s->bytes + s->m[s->n - 1].at, len);
	assert_true(s->len <= STREAM_MAX && s->n <= MESSAGES_MAX);
}

/* Empty values first, in the middle and last; the largest is as large as the limit. */
static void make_stream(struct stream *s, struct mr_tlv_format f, uint32_t seed)
{
	static const uint32_t lens[] = { 0, 1, 5, 0, 0, 13, 2, 0 };
	size_t i;

	*s = (struct stream){ .f = f };
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		add_message(s, &seed, lens[i]);
}

/* A reader with its store, as a lane would hold them, and what it has read so far. */
struct reading {
	const struct stream *s;
	struct mr_tlv_reader r;
	uint8_t *store;
	size_t store_bytes;
	size_t n;  /* messages */
	size_t at; /* bytes of the stream consumed */
};

static bool is_zero(const struct mr_tlv_reader *r)
{
	const struct mr_tlv_reader zero = { 0 };

	return !memcmp(r, &zero, sizeof(zero));
}

static void grow_store(struct reading *rd, size_t bytes)
{
	uint8_t *larger = malloc(bytes);

	assert_true(bytes > rd->store_bytes);
	if (rd->store)
		memcpy(larger, rd->store, mr_tlv_reader_gathered(&rd->r));
	free(rd->store);
	rd->store = larger;
	rd->store_bytes = bytes;
}

/* The message is the stream's next, and lies where it should: in the piece if whole there. */
static void check_message(struct reading *rd, const struct mr_tlv *m, const uint8_t *piece,
			  size_t piece_at)
{
	const struct stream *s = rd->s;
	size_t at = s->m[rd->n].at, check = mr_tlv_check_bytes(&s->f);

	assert_true(rd->n < s->n);
	assert_true(m->tag == s->m[rd->n].tag);
	assert_int_equal(m->len, s->m[rd->n].len);
	assert_int_equal(rd->at, at + m->len + check);
	if (at >= piece_at)
		assert_ptr_equal(m->value, piece + (at - piece_at));
	else if (m->len)
		assert_ptr_equal(m->value, rd->store);
	if (m->len)
		assert_memory_equal(m->value, s->bytes + at, m->len);
	assert_true(is_zero(&rd->r));
	rd->n++;
}

/* Store asked for: only for a value that is begun, and just what is missing. */
static void check_store_wanted(struct reading *rd)
{
	uint32_t wanted = mr_tlv_reader_wanted(&rd->r);

	assert_int_equal(wanted, rd->s->m[rd->n].len);
	assert_int_equal(mr_tlv_reader_gathered(&rd->r), rd->at - rd->s->m[rd->n].at);
	assert_true(rd->store_bytes < wanted);
	grow_store(rd, rd->store_bytes + 3 < wanted ? rd->store_bytes + 3 : wanted);
}

/* One piece, in memory of exactly its size, so that reading past it shows. */
static void feed(struct reading *rd, const uint8_t *bytes, size_t len)
{
	uint8_t *piece = malloc(len ? len : 1);
	size_t piece_at = rd->at, left = len, used;
	enum mr_tlv_status status = MR_TLV_MESSAGE;
	struct mr_tlv m;

	if (len)
		memcpy(piece, bytes, len);
	while (left || status != MR_TLV_MORE) {
		used = SIZE_MAX;
		status = mr_tlv_read(&rd->r, &rd->s->f, piece + (len - left), left, rd->store,
				     rd->store_bytes, &used, &m);
		assert_true(used <= left);
		rd->at += used;
		left -= used;
		if (status == MR_TLV_MESSAGE)
			check_message(rd, &m, piece, piece_at);
		else if (status == MR_TLV_STORE)
			check_store_wanted(rd);
		else
			assert_int_equal(status, MR_TLV_MORE);
		if (status == MR_TLV_MORE)
			assert_int_equal(left, 0);
	}
	free(piece);
}

static void finish_reading(struct reading *rd)
{
	assert_int_equal(rd->n, rd->s->n);
	assert_int_equal(rd->at, rd->s->len);
	assert_true(mr_tlv_reader_is_idle(&rd->r));
	assert_true(is_zero(&rd->r));
	free(rd->store);
}

static void read_in_pieces(const struct stream *s, size_t first, size_t second)
{
	struct reading rd = { .s = s };

	feed(&rd, s->bytes, first);
	feed(&rd, s->bytes + first, second - first);
	feed(&rd, s->bytes + second, s->len - second);
	finish_reading(&rd);
}

static void every_layout_in_one_piece_reads_all_messages(void **state)
{
	struct stream s;
	unsigned int i;

	(void)state;
	for (i = 0; i < LAYOUTS; i++) {
		make_stream(&s, tlv_layout(i, 13), i);
		read_in_pieces(&s, s.len, s.len);
	}
}

static void every_layout_in_two_and_three_pieces_reads_the_same(void **state)
{
	struct stream s;
	size_t first, second;
	unsigned int i;

	(void)state;
	for (i = 0; i < LAYOUTS; i++) {
		make_stream(&s, tlv_layout(i, 13), 1000 + i);
		for (first = 0; first <= s.len; first++)
			for (second = first; second <= s.len; second++)
				read_in_pieces(&s, first, second);
	}
}

static void every_layout_byte_by_byte_reads_the_same(void **state)
{
	struct stream s;
	unsigned int i;
	size_t at;

	(void)state;
	for (i = 0; i < LAYOUTS; i++) {
		struct reading rd = { .s = &s };

		make_stream(&s, tlv_layout(i, 13), 2000 + i);
		for (at = 0; at < s.len; at++)
			feed(&rd, s.bytes + at, 1);
		finish_reading(&rd);
	}
}

static void random_messages_in_random_pieces_read_the_same(void **state)
{
	uint32_t seed = 20240501, round;

	(void)state;
	for (round = 0; round < 5000; round++) {
		struct mr_tlv_format f = tlv_layout(round % LAYOUTS, 13);
		struct stream s = { 0 };
		struct reading rd = { .s = &s };

		f.max_bytes = 100;
		s.f = f;
		while (s.n < 3)
			add_message(&s, &seed, next_random(&seed) % 101);
		while (rd.at < s.len) {
			size_t n = 1 + next_random(&seed) % 60;

			feed(&rd, s.bytes + rd.at, n < s.len - rd.at ? n : s.len - rd.at);
		}
		finish_reading(&rd);
	}
}

static void moved_reader_and_store_go_on_reading(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	static const uint8_t bytes[] = { 0, 9, 0, 0, 0, 4, 'a', 'b', 'c', 'd' };
	struct mr_tlv_reader old = { 0 }, moved;
	uint8_t store[4], moved_store[4];
	struct mr_tlv m;
	size_t used;

	(void)state;
	assert_int_equal(mr_tlv_read(&old, &f, bytes, 8, store, 4, &used, &m), MR_TLV_MORE);
	memcpy(&moved, &old, sizeof(old));
	memcpy(moved_store, store, mr_tlv_reader_gathered(&old));
	memset(&old, 0xff, sizeof(old));
	memset(store, 0xff, sizeof(store));
	assert_int_equal(mr_tlv_read(&moved, &f, bytes + 8, 2, moved_store, 4, &used, &m),
			 MR_TLV_MESSAGE);
	assert_int_equal(m.tag, 9);
	assert_memory_equal(m.value, "abcd", 4);
}

static void copy_put_back_offers_the_same_message_again(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	static const uint8_t bytes[] = { 0, 9, 0, 0, 0, 4, 'a', 'b', 'c', 'd', 0 };
	struct mr_tlv_reader r = { 0 }, copy;
	uint8_t store[4];
	struct mr_tlv m;
	size_t used;
	int i;

	(void)state;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 7, store, 4, &used, &m), MR_TLV_MORE);
	copy = r;
	for (i = 0; i < 3; i++) {
		r = copy;
		assert_int_equal(mr_tlv_read(&r, &f, bytes + 7, 4, store, 4, &used, &m),
				 MR_TLV_MESSAGE);
		assert_int_equal(used, 3);
		assert_int_equal(m.tag, 9);
		assert_memory_equal(m.value, "abcd", 4);
	}
}

static void spanning_value_without_store_asks_for_one_of_its_size(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	static const uint8_t bytes[] = { 0, 9, 0, 0, 0, 4, 'a', 'b', 'c' };
	struct mr_tlv_reader r = { 0 };
	uint8_t store[3];
	struct mr_tlv m;
	size_t used;

	(void)state;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 9, NULL, 0, &used, &m), MR_TLV_STORE);
	assert_int_equal(used, 6);
	assert_int_equal(mr_tlv_reader_wanted(&r), 4);
	assert_int_equal(mr_tlv_reader_gathered(&r), 0);
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 6, 3, NULL, 100, &used, &m), MR_TLV_STORE);
	assert_int_equal(used, 0);
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 6, 3, store, 2, &used, &m), MR_TLV_STORE);
	assert_int_equal(used, 2);
	assert_int_equal(mr_tlv_reader_gathered(&r), 2);
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 8, 1, store, 3, &used, &m), MR_TLV_MORE);
	assert_int_equal(used, 1);
	assert_memory_equal(store, "abc", 3);
}

static void header_at_the_end_of_a_piece_asks_for_no_store(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	static const uint8_t bytes[] = { 0, 9, 0, 0, 0, 4, 'a', 'b', 'c', 'd' };
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	(void)state;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 6, NULL, 0, &used, &m), MR_TLV_MORE);
	assert_false(mr_tlv_reader_is_idle(&r));
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 6, 0, NULL, 0, &used, &m), MR_TLV_MORE);
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 6, 4, NULL, 0, &used, &m), MR_TLV_MESSAGE);
	assert_ptr_equal(m.value, bytes + 6);
}

static void no_bytes_change_nothing(void **state)
{
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	(void)state;
	assert_int_equal(mr_tlv_read(&r, &f, NULL, 0, NULL, 0, &used, &m), MR_TLV_MORE);
	assert_int_equal(used, 0);
	assert_true(is_zero(&r));
}

/* Whole header, or byte by byte; a store is there, and must not be touched. */
static void expect_refused(const struct mr_tlv_format *f, const uint8_t *bytes, size_t len,
			   enum mr_tlv_status want)
{
	size_t header = mr_tlv_header_bytes(f), step, at, used;
	uint8_t store[STORE_MAX], untouched[STORE_MAX];
	enum mr_tlv_status status;
	struct mr_tlv m;

	memset(untouched, 0xaa, sizeof(untouched));
	for (step = 1; step <= len; step++) {
		struct mr_tlv_reader r = { 0 };

		memset(store, 0xaa, sizeof(store));
		status = MR_TLV_MORE;
		for (at = 0; at < len && status == MR_TLV_MORE; at += used)
			status = mr_tlv_read(&r, f, bytes + at, len - at < step ? len - at : step,
					     store, sizeof(store), &used, &m);
		assert_int_equal(status, want);
		assert_int_equal(at, header);
		assert_false(mr_tlv_reader_is_idle(&r));
		assert_memory_equal(store, untouched, sizeof(store));

		status = mr_tlv_read(&r, f, bytes, len, store, sizeof(store), &used, &m);
		assert_int_equal(status, want);
		assert_int_equal(used, 0);
		assert_memory_equal(store, untouched, sizeof(store));
	}
}

static void length_over_the_limit_is_refused_before_anything_is_stored(void **state)
{
	static const uint8_t bytes[] = { 0,   9,   0,	0,   0,	  11,  'a', 'b', 'c',
					 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k' };
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;

	(void)state;
	f.max_bytes = 10;
	expect_refused(&f, bytes, sizeof(bytes), MR_TLV_TOO_LONG);
	expect_refused(&f, bytes, 6, MR_TLV_TOO_LONG);
}

/* Read in the wrong order, 65536 would be 256: enough bytes are there for either. */
static void default_layout_reads_its_length_in_network_order(void **state)
{
	enum { BYTES = 65536 };
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	uint8_t *bytes = calloc(1, 6 + BYTES);
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	(void)state;
	bytes[0] = 0x12;
	bytes[1] = 0x34;
	bytes[3] = 1;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 6 + BYTES, NULL, 0, &used, &m), MR_TLV_MESSAGE);
	assert_int_equal(m.tag, 0x1234);
	assert_int_equal(m.len, BYTES);
	assert_int_equal(used, 6 + BYTES);
	free(bytes);
}

static void length_at_the_limit_is_read(void **state)
{
	static const uint8_t bytes[] = { 0, 9, 0, 0, 0, 2, 'a', 'b' };
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	(void)state;
	f.max_bytes = 2;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 8, NULL, 0, &used, &m), MR_TLV_MESSAGE);
	assert_int_equal(used, 8);
}

static void lengths_beyond_the_address_space_are_refused(void **state)
{
	static const uint8_t most[] = { 1, 255, 255, 255, 255, 255, 255, 255, 255, 'x' };
	static const uint8_t only_high_bits[] = { 1, 0, 0, 0, 1, 0, 0, 0, 0, 'x' };
	static const uint8_t four[] = { 1, 255, 255, 255, 255, 'x' };
	struct mr_tlv_format f = { 1, 8, false, false, 1u << 30, 0 };

	(void)state;
	expect_refused(&f, most, sizeof(most), MR_TLV_TOO_LONG);
	expect_refused(&f, only_high_bits, sizeof(only_high_bits), MR_TLV_TOO_LONG);
	f.length_has_header = true;
	expect_refused(&f, most, sizeof(most), MR_TLV_TOO_LONG);
	f.little_endian = true;
	expect_refused(&f, most, sizeof(most), MR_TLV_TOO_LONG);
	f.length_bytes = 4;
	expect_refused(&f, four, sizeof(four), MR_TLV_TOO_LONG);
}

static void length_that_counts_the_header_and_is_less_is_refused(void **state)
{
	unsigned int i, length;

	(void)state;
	for (i = 32; i < 64; i++) {
		struct mr_tlv_format f = tlv_layout(i, 13);
		size_t header = mr_tlv_header_bytes(&f);

		for (length = 0; length < header; length++) {
			uint8_t bytes[MR_TLV_HEADER_MAX + 1] = { 0 };

			mr_tlv_store(bytes + f.tag_bytes, f.length_bytes, f.little_endian, length);
			expect_refused(&f, bytes, header + 1, MR_TLV_BAD_LENGTH);
		}
	}
}

static void good_message_before_a_bad_one_is_still_read(void **state)
{
	static const uint8_t bytes[] = { 1, 1, 'a', 2, 200, 'x' };
	const struct mr_tlv_format f = { 1, 1, false, false, 100, 0 };
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	(void)state;
	assert_int_equal(mr_tlv_read(&r, &f, bytes, 6, NULL, 0, &used, &m), MR_TLV_MESSAGE);
	assert_int_equal(used, 3);
	assert_int_equal(mr_tlv_read(&r, &f, bytes + 3, 3, NULL, 0, &used, &m), MR_TLV_TOO_LONG);
}

static void one_value_over_many_segments_is_put_together(void **state)
{
	enum { BYTES = 1 << 20, SEGMENT = 1448 };
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	uint8_t *bytes = malloc(6 + BYTES), *store = malloc(BYTES);
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m = { 0 };
	size_t at, used, i;

	(void)state;
	mr_tlv_write_header(&f, bytes, 3, BYTES);
	for (i = 0; i < BYTES; i++)
		bytes[6 + i] = (uint8_t)(i * 2654435761u >> 13);
	for (at = 0; at < 6 + BYTES; at += used) {
		size_t n = 6 + BYTES - at < SEGMENT ? 6 + BYTES - at : SEGMENT;
		enum mr_tlv_status status =
			mr_tlv_read(&r, &f, bytes + at, n, store, BYTES, &used, &m);

		assert_int_equal(used, n);
		assert_int_equal(status, at + n < 6 + BYTES ? MR_TLV_MORE : MR_TLV_MESSAGE);
	}
	assert_int_equal(m.tag, 3);
	assert_int_equal(m.len, BYTES);
	assert_ptr_equal(m.value, store);
	assert_memory_equal(store, bytes + 6, BYTES);
	free(bytes);
	free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_in_one_piece_reads_all_messages),
		cmocka_unit_test(every_layout_in_two_and_three_pieces_reads_the_same),
		cmocka_unit_test(every_layout_byte_by_byte_reads_the_same),
		cmocka_unit_test(random_messages_in_random_pieces_read_the_same),
		cmocka_unit_test(moved_reader_and_store_go_on_reading),
		cmocka_unit_test(copy_put_back_offers_the_same_message_again),
		cmocka_unit_test(spanning_value_without_store_asks_for_one_of_its_size),
		cmocka_unit_test(header_at_the_end_of_a_piece_asks_for_no_store),
		cmocka_unit_test(no_bytes_change_nothing),
		cmocka_unit_test(length_over_the_limit_is_refused_before_anything_is_stored),
		cmocka_unit_test(default_layout_reads_its_length_in_network_order),
		cmocka_unit_test(length_at_the_limit_is_read),
		cmocka_unit_test(lengths_beyond_the_address_space_are_refused),
		cmocka_unit_test(length_that_counts_the_header_and_is_less_is_refused),
		cmocka_unit_test(good_message_before_a_bad_one_is_still_read),
		cmocka_unit_test(one_value_over_many_segments_is_put_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
