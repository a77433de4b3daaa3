// SPDX-License-Identifier: MIT
/* bench/histogram.h: quantiles are never too low and at most 1/128 too high. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bench/histogram.h"

enum {
	VALUES = 20000,
};

static struct mr_histogram a, b;
static uint64_t sorted[VALUES];

static int by_value(const void *x, const void *y)
{
	const uint64_t *l = x, *r = y;

	return *l < *r ? -1 : *l > *r;
}

/* From nanoseconds to minutes, as many in each power of two. */
static uint64_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 24) & ((1ull << (*state >> 59)) - 1);
}

static void fill(void)
{
	uint64_t state = 1;

	memset(&a, 0, sizeof(a));
	for (int i = 0; i < VALUES; i++) {
		sorted[i] = draw(&state);
		mr_histogram_add(&a, sorted[i]);
	}
	qsort(sorted, VALUES, sizeof(sorted[0]), by_value);
}

static void filled_quantile_is_that_of_the_values(void **state)
{
	static const double q[] = { 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0 };

	(void)state;
	fill();
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		uint64_t exact = sorted[(size_t)(q[i] * VALUES + 0.999999) - 1];
		uint64_t found = mr_histogram_quantile(&a, q[i]);

		assert_true(found >= exact);
		assert_true(found <= exact + exact / 128);
	}
}

static void empty_quantile_is_zero(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	assert_int_equal(mr_histogram_quantile(&a, 0.99), 0);
}

static void merged_counts_both(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	mr_histogram_add(&a, 10);
	mr_histogram_add(&b, 1000);
	mr_histogram_merge(&a, &b);
	assert_int_equal(a.count, 2);
	assert_int_equal(mr_histogram_quantile(&a, 0.5), 10);
	assert_int_equal(mr_histogram_quantile(&a, 1.0), 1000);
}

static void large_value_counts_as_the_limit(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	mr_histogram_add(&a, UINT64_MAX);
	assert_int_equal(a.bucket[MR_HISTOGRAM_BUCKETS - 1], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filled_quantile_is_that_of_the_values),
		cmocka_unit_test(empty_quantile_is_zero),
		cmocka_unit_test(merged_counts_both),
		cmocka_unit_test(large_value_counts_as_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
