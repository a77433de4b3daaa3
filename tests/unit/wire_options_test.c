/* SPDX-License-Identifier: MIT */
/* TCP options: RFC 9293 3.1 (MUST-4 to MUST-7) and 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2 and 3. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "user/wire/segment.h"
#include "user/wire/tcp_options.h"

struct row {
	const char *name;
	uint8_t bytes[40];
	size_t len;
	bool ok;
	struct mr_tcp_options want;
};

#define BYTES(...) .bytes = { __VA_ARGS__ }, .len = sizeof((uint8_t[]){ __VA_ARGS__ })

static const struct row rows[] = {
	/* clang-format off */
	{ "none", .len = 0, .ok = true },
	{ "end", BYTES(0), .ok = true },
	{ "nops", BYTES(1, 1, 1, 1), .ok = true },
	{ "behind end nothing is read", BYTES(0, 2, 0, 0), .ok = true },
	{ "mss", BYTES(2, 4, 0x05, 0xb4), .ok = true, .want.mss = 1460 },
	{ "mss twice, the last one counts", BYTES(2, 4, 1, 0, 2, 4, 2, 0), .ok = true,
	  .want.mss = 512 },
	{ "mss too short", BYTES(2, 3, 5) },
	{ "mss too long", BYTES(2, 5, 5, 0xb4, 0) },
	{ "mss cut", BYTES(2, 4, 5) },
	{ "mss of length 2", BYTES(2, 2) },
	{ "window scale", BYTES(1, 3, 3, 7), .ok = true, .want.has_window_scale = true,
	  .want.window_shift = 7 },
	{ "window scale 14", BYTES(3, 3, 14), .ok = true, .want.has_window_scale = true,
	  .want.window_shift = 14 },
	{ "window scale 15 means 14", BYTES(3, 3, 15), .ok = true, .want.has_window_scale = true,
	  .want.window_shift = 14 },
	{ "window scale 255 means 14", BYTES(3, 3, 255), .ok = true,
	  .want.has_window_scale = true, .want.window_shift = 14 },
	{ "window scale too long", BYTES(3, 4, 7, 0) },
	{ "window scale without shift", BYTES(3, 2) },
	{ "sack permitted", BYTES(4, 2), .ok = true, .want.sack_permitted = true },
	{ "sack permitted too long", BYTES(4, 3, 0) },
	{ "timestamps in the usual block", BYTES(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8), .ok = true,
	  .want.has_timestamps = true, .want.ts_val = 0x01020304, .want.ts_ecr = 0x05060708 },
	{ "timestamps alone", BYTES(8, 10, 1, 2, 3, 4, 5, 6, 7, 8), .ok = true,
	  .want.has_timestamps = true, .want.ts_val = 0x01020304, .want.ts_ecr = 0x05060708 },
	{ "timestamps behind the nops", BYTES(8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1), .ok = true,
	  .want.has_timestamps = true, .want.ts_val = 0x01020304, .want.ts_ecr = 0x05060708 },
	{ "timestamps too short", BYTES(8, 9, 1, 2, 3, 4, 5, 6, 7) },
	{ "timestamps too long", BYTES(8, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9) },
	{ "timestamps cut", BYTES(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7) },
	{ "sack without blocks", BYTES(5, 2), .ok = true },
	{ "sack, one block", BYTES(5, 10, 0, 0, 0, 1, 0, 0, 0, 2), .ok = true, .want.n_sack = 1,
	  .want.sack = { { 1, 2 } } },
	{ "sack, four blocks",
	  BYTES(1, 1, 5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6,
		0xff, 0xff, 0xff, 0xff, 0, 0, 0, 8),
	  .ok = true, .want.n_sack = 4,
	  .want.sack = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 0xffffffff, 8 } } },
	{ "sack of half a block", BYTES(5, 6, 0, 0, 0, 1) },
	{ "sack of one and a half", BYTES(5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3) },
	{ "sack cut", BYTES(5, 10, 0, 0, 0, 1, 0, 0, 0) },
	{ "unknown kind is skipped", BYTES(254, 4, 9, 9, 4, 2), .ok = true,
	  .want.sack_permitted = true },
	{ "unknown kind of length 2", BYTES(99, 2, 4, 2), .ok = true, .want.sack_permitted = true },
	{ "unknown kind of length 0", BYTES(254, 0, 1, 0) },
	{ "unknown kind of length 1", BYTES(254, 1, 1, 0) },
	{ "unknown kind beyond the end", BYTES(254, 5, 0, 0) },
	{ "known kind of length 0", BYTES(2, 0, 5, 0xb4) },
	{ "known kind of length 1", BYTES(8, 1, 1, 1) },
	{ "length byte missing", BYTES(1, 1, 1, 2) },
	{ "length 255", BYTES(30, 255, 0, 0) },
	{ "fast open cookie is skipped", BYTES(34, 6, 1, 2, 3, 4, 1, 1), .ok = true },
	{ "linux syn",
	  BYTES(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 10),
	  .ok = true, .want.mss = 1460, .want.sack_permitted = true, .want.has_timestamps = true,
	  .want.ts_val = 9, .want.has_window_scale = true, .want.window_shift = 10 },
	{ "usual block and one sack",
	  BYTES(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 3, 0, 0, 0, 4),
	  .ok = true, .want.has_timestamps = true, .want.ts_val = 1, .want.ts_ecr = 2,
	  .want.n_sack = 1, .want.sack = { { 3, 4 } } },
	/* clang-format on */
};

static void assert_options_equal(const struct mr_tcp_options *a, const struct mr_tcp_options *b)
{
	assert_int_equal(a->mss, b->mss);
	assert_int_equal(a->has_window_scale, b->has_window_scale);
	assert_int_equal(a->window_shift, b->window_shift);
	assert_int_equal(a->sack_permitted, b->sack_permitted);
	assert_int_equal(a->has_timestamps, b->has_timestamps);
	assert_int_equal(a->ts_val, b->ts_val);
	assert_int_equal(a->ts_ecr, b->ts_ecr);
	assert_int_equal(a->n_sack, b->n_sack);
	for (unsigned int i = 0; i < a->n_sack; i++) {
		assert_int_equal(a->sack[i].left, b->sack[i].left);
		assert_int_equal(a->sack[i].right, b->sack[i].right);
	}
}

/* In a heap block of exactly their length: one byte too far is found by the sanitizer. */
static bool parse_copy(struct mr_tcp_options *o, const uint8_t *bytes, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);
	bool ok;

	memset(o, 0xa5, sizeof(*o));
	memcpy(p, bytes, len);
	ok = mr_tcp_options_parse(o, p, len);
	free(p);
	return ok;
}

static void every_row_of_the_table_parses_as_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mr_tcp_options o;
		bool ok = parse_copy(&o, rows[i].bytes, rows[i].len);

		if (ok != rows[i].ok)
			print_error("row: %s\n", rows[i].name);
		assert_int_equal(ok, rows[i].ok);
		if (ok)
			assert_options_equal(&o, &rows[i].want);
	}
}

/* Each row, cut anywhere: never a read behind the end, never a loop. */
static void every_cut_of_every_row_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t len = 0; len <= rows[i].len; len++) {
			struct mr_tcp_options o;

			if (parse_copy(&o, rows[i].bytes, len))
				assert_true(o.n_sack <= 4 && o.window_shift <= 14);
		}
}

static void every_kind_and_length_ends(void **state)
{
	uint8_t bytes[40] = { 0 };

	(void)state;
	for (unsigned int kind = 0; kind < 256; kind++)
		for (unsigned int len = 0; len < 256; len++) {
			struct mr_tcp_options o;
			bool ok;

			bytes[0] = (uint8_t)kind;
			bytes[1] = (uint8_t)len;
			ok = parse_copy(&o, bytes, sizeof(bytes));
			if (kind > 1 && (len < 2 || len > sizeof(bytes)))
				assert_false(ok);
			if (kind == 0)
				assert_true(ok);
		}
}

/* All 2^5 sets of options, with 0 to 4 SACK blocks: what is counted is what is written. */
static void written_options_read_back(void **state)
{
	(void)state;
	for (unsigned int set = 0; set < 16 * 5; set++) {
		struct mr_tcp_options in = {
			.mss = set & 1 ? 1460 : 0,
			.has_window_scale = set & 2,
			.window_shift = set & 2 ? 9 : 0,
			.sack_permitted = set & 4,
			.has_timestamps = set & 8,
			.ts_val = set & 8 ? 0xdeadbeef : 0,
			.ts_ecr = set & 8 ? 0x01020304 : 0,
			.n_sack = (uint8_t)(set / 16),
			.sack = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } },
		};
		size_t len = mr_tcp_options_bytes(&in);
		uint8_t *p = malloc(len ? len : 1);
		struct mr_tcp_options out;
		unsigned int room;

		assert_true(len <= MR_TCP_OPTIONS_MAX && len % 4 == 0);
		mr_tcp_options_write(&in, p);
		assert_true(parse_copy(&out, p, len));
		room = (40 - (in.mss ? 4 : 0) - (in.has_window_scale ? 4 : 0) -
			(in.has_timestamps   ? 12
			 : in.sack_permitted ? 4
					     : 0) -
			4) /
		       8;
		if (in.n_sack > room)
			in.n_sack = (uint8_t)room;
		assert_options_equal(&in, &out);
		free(p);
	}
}

static void syn_of_all_options_is_laid_out_as_linux_does(void **state)
{
	static const uint8_t want[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
					0, 1, 0, 0,    0, 2, 1, 3,  3, 7 };
	const struct mr_tcp_options o = {
		.mss = 1460,
		.sack_permitted = true,
		.has_timestamps = true,
		.ts_val = 1,
		.ts_ecr = 2,
		.has_window_scale = true,
		.window_shift = 7,
	};
	uint8_t got[sizeof(want)];

	(void)state;
	assert_int_equal(mr_tcp_options_bytes(&o), sizeof(want));
	mr_tcp_options_write(&o, got);
	assert_memory_equal(got, want, sizeof(want));
}

static void four_blocks_beside_timestamps_become_three(void **state)
{
	const struct mr_tcp_options o = { .has_timestamps = true, .n_sack = 4 };

	(void)state;
	assert_int_equal(mr_tcp_options_bytes(&o), 12 + 4 + 3 * 8);
}

/* RFC 7413 4.1.1: request, cookies of 4 to 16 even bytes; every other length is ignored. */
static void fast_open_option_of_every_length(void **state)
{
	(void)state;
	for (uint8_t len = 2; len <= 38; len++) {
		uint8_t p[40] = { 34, len };
		bool good = len == 2 || (len >= 6 && len <= 18 && len % 2 == 0);
		struct mr_tcp_options o;

		memset(p + 2, 0xab, 38);
		assert_true(mr_tcp_options_parse(&o, p, len));
		assert_int_equal(o.has_fast_open, good);
		assert_false(o.fast_open_experimental);
		assert_int_equal(o.fast_open_bytes, good ? len - 2 : 0);
		for (int i = 0; i < o.fast_open_bytes; i++)
			assert_int_equal(o.fast_open[i], 0xab);
	}
}

/* RFC 7413 1.1: the experimental option with its magic; RFC 6994: other magics are others'. */
static void experimental_fast_open_option_is_known_by_its_magic(void **state)
{
	uint8_t p[] = { 254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct mr_tcp_options o;

	(void)state;
	assert_true(mr_tcp_options_parse(&o, p, sizeof(p)));
	assert_true(o.has_fast_open && o.fast_open_experimental);
	assert_int_equal(o.fast_open_bytes, 8);
	assert_memory_equal(o.fast_open, p + 4, 8);
	p[3] = 0x88;
	assert_true(mr_tcp_options_parse(&o, p, sizeof(p)));
	assert_false(o.has_fast_open);
	p[1] = 3; /* too short for a magic */
	assert_true(mr_tcp_options_parse(&o, p, 3));
	assert_false(o.has_fast_open);
}

/* Beside all others of a SYN, with the longest cookie: 40 bytes, and read back. */
static void fast_open_option_fits_beside_all_of_a_syn(void **state)
{
	(void)state;
	for (uint8_t bytes = 0; bytes <= 16; bytes += bytes ? 2 : 4) {
		for (int experimental = 0; experimental < 2; experimental++) {
			struct mr_tcp_options in = {
				.mss = 1460,
				.has_timestamps = true,
				.ts_val = 1,
				.sack_permitted = true,
				.has_window_scale = true,
				.window_shift = 7,
				.has_fast_open = true,
				.fast_open_experimental = experimental,
				.fast_open_bytes = bytes,
			};
			size_t len = mr_tcp_options_bytes(&in);
			struct mr_tcp_options out;
			uint8_t p[44];

			memset(in.fast_open, 7, bytes);
			memset(p, 0xee, sizeof(p));
			assert_true(len <= 40 && len % 4 == 0);
			mr_tcp_options_write(&in, p);
			assert_int_equal(p[len], 0xee);
			assert_true(mr_tcp_options_parse(&out, p, len));
			assert_memory_equal(&in, &out, sizeof(in));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table_parses_as_it_says),
		cmocka_unit_test(every_cut_of_every_row_ends),
		cmocka_unit_test(every_kind_and_length_ends),
		cmocka_unit_test(written_options_read_back),
		cmocka_unit_test(syn_of_all_options_is_laid_out_as_linux_does),
		cmocka_unit_test(four_blocks_beside_timestamps_become_three),
		cmocka_unit_test(fast_open_option_of_every_length),
		cmocka_unit_test(experimental_fast_open_option_is_known_by_its_magic),
		cmocka_unit_test(fast_open_option_fits_beside_all_of_a_syn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
