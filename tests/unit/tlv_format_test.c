/* SPDX-License-Identifier: MIT */
/* docs/tlv.md, "Layout" and "Settings". */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "user/tlv/format.h"

static const unsigned int widths[] = { 1, 2, 4, 8 };

static void default_format_is_the_contracts(void **state)
{
	static const uint8_t want[] = { 0x00, 0x07, 0x00, 0x00, 0x00, 0x05 };
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	uint8_t out[MR_TLV_HEADER_MAX];

	(void)state;
	assert_null(mr_tlv_format_check(&f));
	assert_int_equal(f.max_bytes, 1048576);
	assert_int_equal(mr_tlv_header_bytes(&f), 6);
	assert_int_equal(mr_tlv_write_header(&f, out, 7, 5), 6);
	assert_memory_equal(out, want, sizeof(want));
	assert_true(mr_tlv_is_default_layout(&f));
	f.max_bytes = 9;
	assert_true(mr_tlv_is_default_layout(&f));
}

static void other_layouts_are_not_the_default(void **state)
{
	struct mr_tlv_format f[4] = { MR_TLV_FORMAT_DEFAULT, MR_TLV_FORMAT_DEFAULT,
				      MR_TLV_FORMAT_DEFAULT, MR_TLV_FORMAT_DEFAULT };
	unsigned int i;

	(void)state;
	f[0].tag_bytes = 4;
	f[1].length_bytes = 2;
	f[2].little_endian = true;
	f[3].length_has_header = true;
	for (i = 0; i < 4; i++)
		assert_false(mr_tlv_is_default_layout(&f[i]));
}

static void check_refuses_what_is_no_width(void **state)
{
	unsigned int n;

	(void)state;
	for (n = 0; n < 256; n++) {
		struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
		bool good = n == 1 || n == 2 || n == 4 || n == 8;

		f.tag_bytes = (uint8_t)n;
		assert_int_equal(mr_tlv_format_check(&f) == NULL, good);
		f = MR_TLV_FORMAT_DEFAULT;
		f.length_bytes = (uint8_t)n;
		assert_int_equal(mr_tlv_format_check(&f) == NULL, good);
	}
}

static void check_refuses_limits_outside_1_to_1_gib(void **state)
{
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;

	(void)state;
	f.max_bytes = 0;
	assert_non_null(mr_tlv_format_check(&f));
	f.max_bytes = 1;
	assert_null(mr_tlv_format_check(&f));
	f.max_bytes = 1u << 30;
	assert_null(mr_tlv_format_check(&f));
	f.max_bytes++;
	assert_non_null(mr_tlv_format_check(&f));
}

static void headers_are_byte_for_byte_those_of_the_document(void **state)
{
	static const struct {
		struct mr_tlv_format f;
		uint8_t bytes[MR_TLV_HEADER_MAX];
	} want[] = {
		{ { 1, 1, false, false, 255, 0 }, { 0x12, 5 } },
		{ { 1, 1, false, true, 200, 0 }, { 0x12, 7 } },
		{ { 2, 2, true, false, 9, 0 }, { 0x12, 0, 5, 0 } },
		{ { 4, 2, true, true, 9, 0 }, { 0x12, 0, 0, 0, 11, 0 } },
		{ { 8, 8, false, false, 9, 0 },
		  { 0, 0, 0, 0, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 5 } },
		{ { 8, 8, true, true, 9, 0 }, { 0x12, 0, 0, 0, 0, 0, 0, 0, 21 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		uint8_t out[MR_TLV_HEADER_MAX];
		size_t n = mr_tlv_header_bytes(&want[i].f);

		assert_int_equal(mr_tlv_write_header(&want[i].f, out, 0x12, 5), n);
		assert_memory_equal(out, want[i].bytes, n);
	}
}

static uint64_t largest(unsigned int width)
{
	return UINT64_MAX >> (64 - 8 * width);
}

static void written_headers_read_back_in_every_layout(void **state)
{
	unsigned int t, l, order, counts;

	(void)state;
	for (t = 0; t < 4; t++)
		for (l = 0; l < 4; l++)
			for (order = 0; order < 2; order++)
				for (counts = 0; counts < 2; counts++) {
					struct mr_tlv_format f = { widths[t], widths[l], order,
								   counts,    200,	 0 };
					uint64_t tag, want = largest(widths[t]) - 3;
					uint8_t out[MR_TLV_HEADER_MAX];
					uint32_t len;

					assert_null(mr_tlv_format_check(&f));
					assert_int_equal(mr_tlv_write_header(&f, out, want, 200),
							 widths[t] + widths[l]);
					assert_int_equal(mr_tlv_decode_header(&f, out, &tag, &len),
							 0);
					assert_true(tag == want);
					assert_int_equal(len, 200);
				}
}

static void value_over_the_limit_is_not_written(void **state)
{
	struct mr_tlv_format f = { 2, 4, false, false, 10, 0 };
	uint8_t out[6], untouched[6];

	(void)state;
	memset(out, 0xaa, sizeof(out));
	memset(untouched, 0xaa, sizeof(untouched));
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 11), -EMSGSIZE);
	assert_int_equal(mr_tlv_write_header(&f, out, 1, SIZE_MAX), -EMSGSIZE);
	assert_memory_equal(out, untouched, sizeof(out));
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 10), 6);
}

static void length_that_does_not_fit_its_field_is_not_written(void **state)
{
	struct mr_tlv_format f = { 1, 1, false, false, 1000, 0 };
	uint8_t out[2] = { 0 };

	(void)state;
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 255), 2);
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 256), -EMSGSIZE);
	f.length_has_header = true;
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 253), 2);
	assert_int_equal(out[1], 255);
	assert_int_equal(mr_tlv_write_header(&f, out, 1, 254), -EMSGSIZE);
}

static void tag_that_does_not_fit_its_field_is_not_written(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct mr_tlv_format f = { widths[i], 4, false, false, 1000, 0 };
		uint8_t out[MR_TLV_HEADER_MAX];

		assert_int_equal(mr_tlv_write_header(&f, out, largest(widths[i]), 1),
				 widths[i] + 4);
		assert_int_equal(mr_tlv_write_header(&f, out, largest(widths[i]) + 1, 1), -ERANGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_format_is_the_contracts),
		cmocka_unit_test(other_layouts_are_not_the_default),
		cmocka_unit_test(check_refuses_what_is_no_width),
		cmocka_unit_test(check_refuses_limits_outside_1_to_1_gib),
		cmocka_unit_test(headers_are_byte_for_byte_those_of_the_document),
		cmocka_unit_test(written_headers_read_back_in_every_layout),
		cmocka_unit_test(value_over_the_limit_is_not_written),
		cmocka_unit_test(length_that_does_not_fit_its_field_is_not_written),
		cmocka_unit_test(tag_that_does_not_fit_its_field_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
