/* SPDX-License-Identifier: MIT */
/* RFC 1071: the Internet checksum; RFC 9293 3.1 and RFC 8200 8.1: pseudo headers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/wire/bytes.h"
#include "user/wire/checksum.h"

#include "wire_frames.h"

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint8_t random_byte(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint8_t)(random_state >> 56);
}

static uint16_t stored(uint64_t sum)
{
	uint16_t raw = mr_checksum_fold(sum);
	uint8_t b[2];

	memcpy(b, &raw, 2);
	return (uint16_t)(b[0] << 8 | b[1]);
}

static uint16_t naive(const uint8_t *p, size_t len)
{
	return (uint16_t)~naive_sum(p, len, 0);
}

/* The example of RFC 1071 section 3: the words sum to ddf2. */
static void rfc1071_example_gives_its_sum(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	(void)state;
	assert_int_equal(stored(mr_checksum_partial(bytes, sizeof(bytes), 0)), 0xffff & ~0xddf2);
}

static void every_alignment_and_short_length_equals_naive(void **state)
{
	(void)state;
	for (size_t align = 0; align < 16; align++) {
		for (size_t len = 0; len <= 300; len++) {
			uint8_t *block = malloc(align + len + (align + len == 0));
			uint8_t *p = block + align;

			for (size_t i = 0; i < len; i++)
				p[i] = random_byte();
			assert_int_equal(stored(mr_checksum_partial(p, len, 0)), naive(p, len));
			free(block);
		}
	}
}

/* The bytes end where a page ends that nobody may read behind. */
static void nothing_behind_the_end_is_read(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *end = pages + page;

	(void)state;
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(end, page, PROT_NONE), 0);
	for (size_t i = 0; i < page; i++)
		pages[i] = random_byte();
	for (size_t len = 0; len <= 300; len++)
		assert_int_equal(stored(mr_checksum_partial(end - len, len, 0)),
				 naive(end - len, len));
	munmap(pages, 2 * page);
}

static void long_lengths_equal_naive(void **state)
{
	static const size_t lengths[] = { 1499, 1500, 9000, 32767, 65504, 65533, 65534, 65535 };

	(void)state;
	for (size_t n = 0; n < sizeof(lengths) / sizeof(lengths[0]); n++) {
		uint8_t *p = malloc(lengths[n]);

		for (size_t i = 0; i < lengths[n]; i++)
			p[i] = random_byte();
		assert_int_equal(stored(mr_checksum_partial(p, lengths[n], 0)),
				 naive(p, lengths[n]));
		free(p);
	}
}

/* All ones carry at every step. */
static void all_ones_carry_around(void **state)
{
	uint8_t bytes[256];

	(void)state;
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t len = 0; len <= sizeof(bytes); len++)
		assert_int_equal(stored(mr_checksum_partial(bytes, len, 0)), naive(bytes, len));
}

static void pieces_of_even_length_add_up(void **state)
{
	uint8_t bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = random_byte();
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 2) {
		uint64_t sum = mr_checksum_partial(bytes, cut, 0);

		sum = mr_checksum_partial(bytes + cut, sizeof(bytes) - cut, sum);
		assert_int_equal(stored(sum), naive(bytes, sizeof(bytes)));
	}
}

static void largest_sum_folds(void **state)
{
	(void)state;
	assert_int_equal(mr_checksum_fold(UINT64_MAX), 0);
	assert_int_equal(mr_checksum_fold(0), 0xffff);
	assert_int_equal(mr_checksum_fold(0xfffffffffffffffeull), 1);
}

static void pseudo_header_of_ipv4_uses_four_bytes_each(void **state)
{
	static const uint8_t header[] = { 192, 0, 2, 1, 192, 0, 2, 2, 0, 6, 0x12, 0x34 };

	(void)state;
	assert_int_equal(stored(mr_checksum_pseudo(v4_own, v4_peer, 6, 0x1234)),
			 naive(header, sizeof(header)));
	assert_int_equal(stored(mr_checksum_pseudo(v4_peer, v4_own, 6, 0x1234)),
			 naive(header, sizeof(header)));
}

static void pseudo_header_of_ipv6_has_a_long_length(void **state)
{
	uint8_t header[40] = { 0 };

	(void)state;
	memcpy(header, v6_own, 16);
	memcpy(header + 16, v6_peer, 16);
	put32(header + 32, 0x00012345);
	header[39] = 58;
	assert_int_equal(stored(mr_checksum_pseudo(v6_own, v6_peer, 58, 0x00012345)),
			 naive(header, sizeof(header)));
}

/* What plain frames are summed by: no branch for the last bytes, no fold to see whether it is
 * right.
 */
static void text_behind_a_header_sums_the_same(void **state)
{
	uint8_t b[8 + 300];

	(void)state;
	for (size_t len = 0; len <= 300; len++) {
		for (size_t i = 0; i < sizeof(b); i++)
			b[i] = len % 3 ? random_byte() : 0xff;
		for (uint64_t seed = 1; seed; seed *= 0x10001) {
			uint64_t sum = sum_text(b + 8, len, seed);

			assert_int_equal(sum_fold(sum), sum_fold(sum_bytes(b + 8, len, seed)));
			assert_int_equal(sum_is_right(sum), !sum_fold(sum));
			sum = sum_add(sum, sum_fold(sum));
			assert_true(sum_is_right(sum));
			assert_false(sum_is_right(sum_add(sum, 1)));
			if (seed >> 48)
				break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc1071_example_gives_its_sum),
		cmocka_unit_test(every_alignment_and_short_length_equals_naive),
		cmocka_unit_test(nothing_behind_the_end_is_read),
		cmocka_unit_test(long_lengths_equal_naive),
		cmocka_unit_test(all_ones_carry_around),
		cmocka_unit_test(pieces_of_even_length_add_up),
		cmocka_unit_test(largest_sum_folds),
		cmocka_unit_test(text_behind_a_header_sums_the_same),
		cmocka_unit_test(pseudo_header_of_ipv4_uses_four_bytes_each),
		cmocka_unit_test(pseudo_header_of_ipv6_has_a_long_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
