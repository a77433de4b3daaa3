/* SPDX-License-Identifier: MIT */
/* docs/tlv.md, "Messages inside a value". */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "millrace/tlv.h"

static const struct mr_tlv_format small = { 1, 1, false, false, 200, 0 };

static void empty_value_ends_at_once(void **state)
{
	struct mr_tlv_nested n;
	struct mr_tlv m;

	(void)state;
	mr_tlv_nested_init(&n, NULL, 0);
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 0);
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 0);
}

static void inner_messages_come_in_order_as_views(void **state)
{
	static const uint8_t value[] = { 1, 2, 'a', 'b', 2, 0, 3, 1, 'c' };
	struct mr_tlv_nested n;
	struct mr_tlv m;

	(void)state;
	mr_tlv_nested_init(&n, value, sizeof(value));
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 1);
	assert_int_equal(m.tag, 1);
	assert_int_equal(m.len, 2);
	assert_ptr_equal(m.value, value + 2);
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 1);
	assert_int_equal(m.tag, 2);
	assert_int_equal(m.len, 0);
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 1);
	assert_int_equal(m.tag, 3);
	assert_int_equal(m.len, 1);
	assert_ptr_equal(m.value, value + 8);
	assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 0);
}

static void message_inside_a_message_inside_a_message_is_found(void **state)
{
	static const uint8_t value[] = { 1, 5, 2, 3, 3, 1, 'x' };
	const uint8_t *data = value;
	size_t len = sizeof(value);
	struct mr_tlv m = { 0 };
	unsigned int depth;

	(void)state;
	for (depth = 1; depth <= 3; depth++) {
		struct mr_tlv_nested n;

		mr_tlv_nested_init(&n, data, len);
		assert_int_equal(mr_tlv_nested_next(&n, &small, &m), 1);
		assert_int_equal(m.tag, depth);
		data = m.value;
		len = m.len;
	}
	assert_int_equal(m.len, 1);
	assert_int_equal(*m.value, 'x');
}

/* Each cut lies in memory of exactly its size, so that reading past it shows. */
static void value_cut_anywhere_is_refused_and_the_position_stays(void **state)
{
	static const uint8_t value[] = { 0, 1, 0, 0, 0, 1, 'a', 0, 2, 0, 0, 0, 3, 'b', 'c', 'd' };
	const struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	size_t cut;

	(void)state;
	for (cut = 1; cut <= sizeof(value); cut++) {
		uint8_t *p = malloc(cut);
		struct mr_tlv_nested n;
		struct mr_tlv m;
		size_t whole = cut < 7 ? 0 : cut < sizeof(value) ? 7 : sizeof(value);
		int end = cut == whole ? 0 : -EBADMSG;

		memcpy(p, value, cut);
		mr_tlv_nested_init(&n, p, cut);
		while (mr_tlv_nested_next(&n, &f, &m) == 1)
			;
		assert_ptr_equal(n.pos, p + whole);
		assert_int_equal(mr_tlv_nested_next(&n, &f, &m), end);
		assert_int_equal(mr_tlv_nested_next(&n, &f, &m), end);
		assert_ptr_equal(n.pos, p + whole);
		free(p);
	}
}

static void lying_lengths_are_refused(void **state)
{
	static const struct {
		struct mr_tlv_format f;
		uint8_t bytes[16];
		size_t len;
	} bad[] = {
		{ { 1, 1, false, true, 200, 0 }, { 1, 1, 'x' }, 3 },	      /* below the header */
		{ { 1, 1, false, false, 2, 0 }, { 1, 3, 'a', 'b', 'c' }, 5 }, /* over the limit */
		{ { 1, 8, false, false, 200, 0 },
		  { 1, 255, 255, 255, 255, 255, 255, 255, 255 },
		  9 },
		{ { 1, 8, true, true, 200, 0 }, { 1, 255, 255, 255, 255, 255, 255, 255, 255 }, 9 },
		{ { 1, 4, false, false, 1u << 30, 0 },
		  { 1, 0x40, 0, 0, 0, 'a' },
		  6 }, /* past the end */
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mr_tlv_nested n;
		struct mr_tlv m;

		mr_tlv_nested_init(&n, bad[i].bytes, bad[i].len);
		assert_int_equal(mr_tlv_nested_next(&n, &bad[i].f, &m), -EBADMSG);
		assert_ptr_equal(n.pos, bad[i].bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_value_ends_at_once),
		cmocka_unit_test(inner_messages_come_in_order_as_views),
		cmocka_unit_test(message_inside_a_message_inside_a_message_is_found),
		cmocka_unit_test(value_cut_anywhere_is_refused_and_the_position_stays),
		cmocka_unit_test(lying_lengths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
