/* SPDX-License-Identifier: MIT */
/* docs/tlv.md, "A check behind each value": RFC 3720 B.4 over tag, length and value. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tlv_layouts.h"
#include "user/tlv/crc32c.h"
#include "user/tlv/reader.h"

enum {
	LAYOUTS = 64,
	VALUE_MAX = 100,
	STREAM_MAX = 512,
	MESSAGES = 3,
};

/* ----- the sum ----- */

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* The definition, bit by bit. */
static uint32_t sum_by_bits(const uint8_t *p, size_t len)
{
	uint32_t sum = UINT32_MAX;
	int bit;

	for (; len--; p++) {
		sum ^= *p;
		for (bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78 : 0);
	}
	return ~sum;
}

static void expect_sum(const void *data, size_t len, uint32_t want)
{
	const uint8_t *p = data;
	size_t cut;

	for (cut = 0; cut <= len; cut++) {
		assert_int_equal(mr_crc32c(mr_crc32c(0, p, cut), p + cut, len - cut), want);
		assert_int_equal(mr_crc32c_by_table(mr_crc32c_by_table(0, p, cut), p + cut,
						    len - cut),
				 want);
	}
}

/* RFC 3720 B.4 lists the bytes of the sums with the lowest first. */
static void sums_are_those_of_the_rfc(void **state)
{
	static const uint8_t read_pdu[48] = {
		0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, 0x28, [40] = 0x02
	};
	uint8_t bytes[32];
	int i;

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	expect_sum(bytes, 32, 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	expect_sum(bytes, 32, 0x62a8ab43);
	for (i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	expect_sum(bytes, 32, 0x46dd794e);
	for (i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	expect_sum(bytes, 32, 0x113fdb5c);
	expect_sum(read_pdu, 48, 0xd9963a56);
	expect_sum("123456789", 9, 0xe3069283);
	expect_sum("", 0, 0);
	assert_int_equal(mr_crc32c(7, NULL, 0), 7);
}

static void sums_of_every_length_and_alignment_are_the_definitions(void **state)
{
	uint8_t bytes[300];
	uint32_t seed = 7;
	size_t at, len;

	(void)state;
	for (at = 0; at < sizeof(bytes); at++)
		bytes[at] = (uint8_t)next_random(&seed);
	for (at = 0; at < 9; at++)
		for (len = 0; len + at <= sizeof(bytes); len++) {
			uint32_t want = sum_by_bits(bytes + at, len);

			assert_int_equal(mr_crc32c(0, bytes + at, len), want);
			assert_int_equal(mr_crc32c_by_table(0, bytes + at, len), want);
		}
}

/* ----- what is written ----- */

static void checks_are_byte_for_byte_those_of_the_document(void **state)
{
	static const uint8_t big[] = { 0x00, 0x07, 0x00, 0x00, 0x00, 0x05, 'h', 'e',
				       'l',  'l',  'o',	 0x53, 0x6c, 0xa8, 0x76 };
	static const uint8_t empty[] = { 0x00, 0x07, 0, 0, 0, 0, 0xff, 0x5c, 0x72, 0xce };
	static const uint8_t little[] = { 0x12, 0,   5,	   0,	 'v',  'v', 'v',
					  'v',	'v', 0xe5, 0x39, 0x1f, 0x8a };
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	uint8_t out[MR_TLV_CHECK_MAX] = { 9, 9, 9, 9 };

	(void)state;
	assert_int_equal(mr_tlv_check_bytes(&f), 0);
	assert_int_equal(mr_tlv_write_check(&f, out, big, big + 6, 5), 0);
	assert_int_equal(out[0], 9);
	f.check = MR_TLV_CHECK_CRC32C;
	assert_int_equal(mr_tlv_check_bytes(&f), 4);
	assert_int_equal(mr_tlv_write_check(&f, out, big, big + 6, 5), 4);
	assert_memory_equal(out, big + 11, 4);
	assert_int_equal(mr_tlv_write_check(&f, out, empty, NULL, 0), 4);
	assert_memory_equal(out, empty + 6, 4);
	f.length_bytes = 2;
	f.little_endian = true;
	assert_int_equal(mr_tlv_write_check(&f, out, little, little + 4, 5), 4);
	assert_memory_equal(out, little + 9, 4);
}

static void format_check_refuses_unknown_checks(void **state)
{
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	unsigned int i;

	(void)state;
	for (i = 0; i < 256; i++) {
		f.check = (uint8_t)i;
		assert_int_equal(mr_tlv_format_check(&f) == NULL, i <= MR_TLV_CHECK_CRC32C);
	}
}

/* ----- what is read ----- */

/* Messages with checks, and where each ends. */
struct stream {
	struct mr_tlv_format f;
	uint8_t bytes[STREAM_MAX];
	size_t len;
	size_t end[MESSAGES];
};

static void add_message(struct stream *s, uint64_t tag, const void *value, size_t len)
{
	uint8_t *head = s->bytes + s->len;
	size_t n = (size_t)mr_tlv_write_header(&s->f, head, tag, len);

	memcpy(head + n, value, len);
	n += len;
	n += mr_tlv_write_check(&s->f, head + n, head, head + n - len, len);
	s->len += n;
}

/* Values of zeros are the worst: out of step they read as messages without value. */
static void make_stream(struct stream *s, unsigned int i, bool zeros)
{
	uint8_t value[20] = { 0 };
	uint32_t seed = i;
	size_t n, k;

	*s = (struct stream){ .f = tlv_layout(i | 64, VALUE_MAX) };
	for (n = 0; n < MESSAGES; n++) {
		for (k = 0; k < sizeof(value) && !zeros; k++)
			value[k] = (uint8_t)next_random(&seed);
		add_message(s, zeros ? 0 : n + 1, value, n == 1 ? 0 : sizeof(value));
		s->end[n] = s->len;
	}
}

/* How far a reader comes with @bytes and then zeros without end, in pieces of @step bytes. */
struct outcome {
	enum mr_tlv_status status;
	size_t messages;
	size_t at; /* bytes consumed when it ended */
};

static struct outcome read_damaged(const struct mr_tlv_format *f, const uint8_t *bytes, size_t len,
				   size_t step)
{
	uint8_t longer[STREAM_MAX + 2 * VALUE_MAX] = { 0 }, store[VALUE_MAX];
	struct outcome o = { .status = MR_TLV_MORE };
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used;

	memcpy(longer, bytes, len);
	len = sizeof(longer);
	while (o.at < len && o.status < MR_TLV_TOO_LONG) {
		size_t n = step - o.at % step;

		o.status = mr_tlv_read(&r, f, longer + o.at, n < len - o.at ? n : len - o.at, store,
				       sizeof(store), &used, &m);
		assert_int_not_equal(o.status, MR_TLV_STORE);
		o.at += used;
		o.messages += o.status == MR_TLV_MESSAGE;
	}
	if (o.status >= MR_TLV_TOO_LONG) {
		assert_int_equal(mr_tlv_read(&r, f, bytes, 1, store, sizeof(store), &used, &m),
				 o.status);
		assert_int_equal(used, 0);
	}
	return o;
}

static void every_single_bit_error_in_any_layout_is_found(void **state)
{
	static const size_t steps[] = { 1, 7, STREAM_MAX * 2 };
	struct stream s;
	unsigned int i;
	size_t bit, k;

	(void)state;
	for (i = 0; i < 2 * LAYOUTS; i++) {
		make_stream(&s, i, i >= LAYOUTS);
		for (bit = 0; bit < 8 * s.len; bit++) {
			size_t good = 0;

			while (bit / 8 >= s.end[good])
				good++;
			s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			for (k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
				struct outcome o = read_damaged(&s.f, s.bytes, s.len, steps[k]);

				assert_true(o.status >= MR_TLV_TOO_LONG);
				assert_int_equal(o.messages, good);
			}
			s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

/* Messages that end before the run of equal bytes in which @at stands does. */
static size_t untouched(const struct stream *s, size_t at)
{
	size_t n = 0;

	while (at + 1 < s->len && s->bytes[at + 1] == s->bytes[at])
		at++;
	while (n < MESSAGES && s->end[n] <= at + 1)
		n++;
	return n;
}

/* A byte that is lost or comes twice: the messages before it, then an end. */
static void every_lost_or_doubled_byte_is_found(void **state)
{
	struct stream s;
	uint8_t bytes[STREAM_MAX + 1];
	unsigned int i;
	size_t at;

	(void)state;
	for (i = 0; i < 2 * LAYOUTS; i++) {
		make_stream(&s, i, i >= LAYOUTS);
		for (at = 0; at < s.end[1]; at++) {
			size_t most = untouched(&s, at);
			struct outcome o;

			memcpy(bytes, s.bytes, at);
			memcpy(bytes + at, s.bytes + at + 1, s.len - at - 1);
			o = read_damaged(&s.f, bytes, s.len - 1, 5);
			assert_true(o.status >= MR_TLV_TOO_LONG);
			assert_true(o.messages <= most);
			memcpy(bytes, s.bytes, at + 1);
			memcpy(bytes + at + 1, s.bytes + at, s.len - at);
			o = read_damaged(&s.f, bytes, s.len + 1, 5);
			assert_true(o.status >= MR_TLV_TOO_LONG);
			assert_true(o.messages <= most);
		}
	}
}

static void zeros_without_end_are_no_messages(void **state)
{
	static const uint8_t zeros[64];
	unsigned int i;

	(void)state;
	for (i = 0; i < LAYOUTS; i++) {
		struct mr_tlv_format f = tlv_layout(i | 64, VALUE_MAX);
		size_t header = mr_tlv_header_bytes(&f), step;

		for (step = 1; step < 64; step++) {
			struct outcome o = read_damaged(&f, zeros, sizeof(zeros), step);

			assert_int_equal(o.messages, 0);
			assert_int_equal(o.status, f.length_has_header ? MR_TLV_BAD_LENGTH
								       : MR_TLV_BAD_CHECK);
			assert_int_equal(o.at, header + (f.length_has_header ? 0 : 4));
		}
	}
}

static void wrong_check_is_told_from_a_wrong_length(void **state)
{
	struct stream s;
	struct outcome o;

	(void)state;
	make_stream(&s, 1 | 2 << 2, false); /* tag 2, length 4 */
	s.bytes[s.end[0] - 1] ^= 1;
	o = read_damaged(&s.f, s.bytes, s.len, 3);
	assert_int_equal(o.status, MR_TLV_BAD_CHECK);
	assert_int_equal(o.at, s.end[0]);
	s.bytes[2] = 1;
	o = read_damaged(&s.f, s.bytes, s.len, 3);
	assert_int_equal(o.status, MR_TLV_TOO_LONG);
	assert_int_equal(o.at, 6);
}

/* The value ends with its piece: it must be kept until the check has come. */
static void value_whole_before_its_check_asks_for_a_store(void **state)
{
	struct stream s = { .f = MR_TLV_FORMAT_DEFAULT };
	struct mr_tlv_reader r = { 0 }, copy;
	uint8_t store[4];
	struct mr_tlv m;
	size_t used;
	int i;

	(void)state;
	s.f.check = MR_TLV_CHECK_CRC32C;
	s.f.max_bytes = 4;
	add_message(&s, 9, "abcd", 4);
	assert_int_equal(mr_tlv_read(&r, &s.f, s.bytes, 10, NULL, 0, &used, &m), MR_TLV_STORE);
	assert_int_equal(used, 6);
	assert_int_equal(mr_tlv_read(&r, &s.f, s.bytes + 6, 6, store, 4, &used, &m), MR_TLV_MORE);
	assert_int_equal(used, 6);
	assert_int_equal(mr_tlv_reader_gathered(&r), 4);
	assert_false(mr_tlv_reader_is_idle(&r));
	copy = r;
	for (i = 0; i < 3; i++) { /* offered again */
		r = copy;
		assert_int_equal(mr_tlv_read(&r, &s.f, s.bytes + 12, 2, store, 4, &used, &m),
				 MR_TLV_MESSAGE);
		assert_int_equal(used, 2);
		assert_int_equal(m.tag, 9);
		assert_ptr_equal(m.value, store);
		assert_memory_equal(m.value, "abcd", 4);
		assert_true(mr_tlv_reader_is_idle(&r));
	}
}

static void empty_value_needs_no_store_for_its_check(void **state)
{
	struct stream s = { .f = MR_TLV_FORMAT_DEFAULT };
	struct mr_tlv_reader r = { 0 };
	struct mr_tlv m;
	size_t used, at;

	(void)state;
	s.f.check = MR_TLV_CHECK_CRC32C;
	add_message(&s, 9, "", 0);
	assert_int_equal(s.len, 10);
	for (at = 0; at < 10; at++) {
		assert_int_equal(mr_tlv_read(&r, &s.f, s.bytes + at, 1, NULL, 0, &used, &m),
				 at < 9 ? MR_TLV_MORE : MR_TLV_MESSAGE);
		assert_int_equal(used, 1);
	}
	assert_int_equal(m.len, 0);
	assert_non_null(m.value);
}

static void messages_inside_a_value_have_no_check(void **state)
{
	static const uint8_t value[] = { 2, 2, 'a', 'b', 3, 1, 'c' };
	const struct mr_tlv_format f = { 1, 1, false, false, 200, MR_TLV_CHECK_CRC32C };
	struct mr_tlv_nested n;
	struct mr_tlv m;

	(void)state;
	mr_tlv_nested_init(&n, value, sizeof(value));
	assert_int_equal(mr_tlv_nested_next(&n, &f, &m), 1);
	assert_int_equal(m.tag, 2);
	assert_int_equal(mr_tlv_nested_next(&n, &f, &m), 1);
	assert_int_equal(m.tag, 3);
	assert_int_equal(mr_tlv_nested_next(&n, &f, &m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_are_those_of_the_rfc),
		cmocka_unit_test(sums_of_every_length_and_alignment_are_the_definitions),
		cmocka_unit_test(checks_are_byte_for_byte_those_of_the_document),
		cmocka_unit_test(format_check_refuses_unknown_checks),
		cmocka_unit_test(every_single_bit_error_in_any_layout_is_found),
		cmocka_unit_test(every_lost_or_doubled_byte_is_found),
		cmocka_unit_test(zeros_without_end_are_no_messages),
		cmocka_unit_test(wrong_check_is_told_from_a_wrong_length),
		cmocka_unit_test(value_whole_before_its_check_asks_for_a_store),
		cmocka_unit_test(empty_value_needs_no_store_for_its_check),
		cmocka_unit_test(messages_inside_a_value_have_no_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
