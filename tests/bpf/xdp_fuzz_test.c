/* SPDX-License-Identifier: MIT */
/*
 * Whatever bytes arrive: one verdict of the table and no other, its action, and one counter that
 * rises by one. Never XDP_ABORTED. Frames are cut at every length and changed at random places,
 * with a seed that never changes.
 */
#include <errno.h>
#include <linux/if_ether.h>

#include "tests/bpf/fixture.h"

enum {
	CUT_MAX = 128,
	FLIPPED_FRAMES = 20000,
	FRAMES_BOTH_WAYS = 2000,
	FLIPS_MAX = 8,
	FLIP_BYTES = 120, /* headers are within these */
};

static void expect_some_verdict(const struct frame *f, const struct run *how, const char *what,
				size_t n)
{
	struct outcome o = run_frame(f, how);

	if (o.error == 0 && o.counted == 1 && o.verdict >= 0 && o.bytes == f->len &&
	    o.action == verdict_action(o.verdict) && o.action != XDP_ABORTED)
		return;
	print_error("%s: %s, %zu: error %d, action %u, %s, %llu counted\n",
		    section_names[section_in_use()], what, n, o.error, o.action,
		    verdict_name(o.verdict), (unsigned long long)o.counted);
	fail();
}

/* TEST_RUN refuses what is shorter than an Ethernet header, as every driver does. */
static void expect_refused(const struct frame *f)
{
	struct outcome o = run_frame(f, &(struct run){ 0 });

	assert_int_equal(o.error, -EINVAL);
	assert_int_equal(o.counted, 0);
}

static void cut_templates(struct frame (*cut)(const struct frame *f, size_t len))
{
	assert_true(n_templates >= 8);
	for (size_t i = 0; i < n_templates; i++) {
		struct frame whole = frame_build(&templates[i].packet);

		assert_true(whole.len >= CUT_MAX);
		for (size_t len = 0; len <= CUT_MAX; len++) {
			struct frame f = cut(&whole, len);

			assert_int_equal(f.len, len);
			if (len < ETH_HLEN)
				expect_refused(&f);
			else
				expect_some_verdict(&f, &(struct run){ 0 }, templates[i].name, len);
		}
	}
}

static void frame_cut_anywhere_gets_one_verdict(void **state)
{
	(void)state;
	cut_templates(frame_cut);
}

/* The same, while IP's length is honest, so that the headers behind it are reached. */
static void packet_cut_anywhere_gets_one_verdict(void **state)
{
	(void)state;
	cut_templates(frame_cut_honest);
}

/* The frame is whole, but its first buffer ends anywhere, from the first byte on. */
static void first_buffer_cut_anywhere_gets_one_verdict(void **state)
{
	(void)state;
	if (!can_run_in_pieces()) {
		print_message("skip: TEST_RUN of this kernel fills the first buffer\n");
		skip();
	}
	for (size_t i = 0; i < n_templates; i++) {
		struct frame f = frame_build(&templates[i].packet);

		for (uint32_t linear = 1; linear <= CUT_MAX; linear++)
			expect_some_verdict(&f, &(struct run){ .linear = linear },
					    templates[i].name, linear);
	}
}

/* xorshift32 (Marsaglia 2003). */
static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static void flip(struct frame *f, uint32_t *seed)
{
	size_t reach = f->len < FLIP_BYTES ? f->len : FLIP_BYTES;

	for (uint32_t n = 1 + next_random(seed) % FLIPS_MAX; n > 0; n--) {
		uint32_t r = next_random(seed);
		uint8_t *p = &f->bytes[r % reach];

		if (r & 0x10000000)
			*p = (uint8_t)(r >> 16); /* any byte */
		else
			*p ^= (uint8_t)(1u << (r >> 16 & 7)); /* one bit */
	}
}

static void flipped_bytes_get_one_verdict(void **state)
{
	uint32_t seed = 0x4d52464c;
	uint64_t seen = 0;

	(void)state;
	for (size_t n = 0; n < FLIPPED_FRAMES; n++) {
		struct frame f = frame_build(&templates[n % n_templates].packet);
		struct run how = { .queue = next_random(&seed) % N_QUEUES };

		flip(&f, &seed);
		if (next_random(&seed) % 4 == 0)
			f = frame_cut(&f, ETH_HLEN + next_random(&seed) % (f.len - ETH_HLEN));
		expect_some_verdict(&f, &how, templates[n % n_templates].name, n);
	}
	for (int v = 0; v < MR_VERDICT_COUNT; v++)
		seen += verdict_hits(v) > 0;
	print_message("%llu of %d verdicts seen so far\n", (unsigned long long)seen,
		      MR_VERDICT_COUNT);
	assert_true(seen > MR_VERDICT_COUNT / 2); /* or the frames are not worth much */
}

/*
 * What the CPU remembers of a key, and the short way that it opens, say what the full way says: it
 * is taken as soon as any part of the guard is on, here limits of sources of which there are none.
 */
static void flipped_bytes_get_the_same_verdict_both_ways(void **state)
{
	uint32_t seed = 0x4d52464d;

	(void)state;
	for (size_t n = 0; n < FRAMES_BOTH_WAYS; n++) {
		struct frame f = frame_build(&templates[n % n_templates].packet);
		struct run how = { .queue = next_random(&seed) % N_QUEUES };
		struct outcome first, again, full;

		if (n >= n_templates)
			flip(&f, &seed);
		first = run_frame(&f, &how);
		again = run_frame(&f, &how);
		set_guard(MR_GUARD_SOURCE);
		full = run_frame(&f, &how);
		set_guard(0);
		assert_string_equal(verdict_name(first.verdict), verdict_name(full.verdict));
		assert_string_equal(verdict_name(again.verdict), verdict_name(full.verdict));
		assert_int_equal(first.action, full.action);
		assert_int_equal(again.action, full.action);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(frame_cut_anywhere_gets_one_verdict, setup_served),
		cmocka_unit_test_setup(packet_cut_anywhere_gets_one_verdict, setup_served),
		cmocka_unit_test_setup(flipped_bytes_get_one_verdict, setup_served),
		cmocka_unit_test_setup(flipped_bytes_get_the_same_verdict_both_ways, setup_served),
	};
	const struct CMUnitTest frags_tests[] = {
		cmocka_unit_test_setup(first_buffer_cut_anywhere_gets_one_verdict, setup_served),
	};
	int failed = 0;

	fixture_open();
	for (unsigned int s = 0; s < N_SECTIONS; s++) {
		use_section(s);
		failed += cmocka_run_group_tests_name(section_names[s], tests, NULL, NULL);
	}
	failed += cmocka_run_group_tests_name("first buffer", frags_tests, NULL, NULL);
	fixture_close();
	return failed != 0;
}
