/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "user/cli/callbacks.h"
#include "user/cli/value.h"

/* Where the share @permille of all calls is reached, in words: the histogram knows bounds only. */
static const char *percentile(const json_t *histogram, unsigned int permille,
			      char out[MR_VALUE_BYTES])
{
	double total = 0, reached = 0;
	char time[MR_VALUE_BYTES];
	const json_t *bucket;
	size_t i;

	json_array_foreach((json_t *)histogram, i, bucket)
	{
		total += (double)mr_value_count(json_object_get(bucket, "calls"));
	}
	json_array_foreach((json_t *)histogram, i, bucket)
	{
		const json_t *to = json_object_get(bucket, "to_ns");
		const json_t *from = json_object_get(bucket, "from_ns");
		bool is_last = !json_is_number(to);

		reached += (double)mr_value_count(json_object_get(bucket, "calls"));
		if (!total || reached * 1000 < total * permille)
			continue;
		if (is_last && !json_is_number(from))
			break;
		snprintf(out, MR_VALUE_BYTES, "%s %s", is_last ? "over" : "up to",
			 mr_value_duration(json_number_value(is_last ? from : to), time));
		return out;
	}
	return "-";
}

void mr_callbacks_print(const json_t *callbacks, const char *indent)
{
	const json_t *histogram = json_object_get(callbacks, "histogram");
	uint64_t calls = mr_value_count(json_object_get(callbacks, "calls"));
	char p50[MR_VALUE_BYTES], p99[MR_VALUE_BYTES], out[MR_VALUE_BYTES];
	const char *app;
	json_t *n;

	if (calls)
		printf("%scallbacks: %" PRIu64 ", p50 %s, p99 %s\n", indent, calls,
		       percentile(histogram, 500, p50), percentile(histogram, 990, p99));
	json_object_foreach(json_object_get(callbacks, "slow_by_app"), app, n)
	{
		if (!json_is_integer(n) || json_integer_value(n) != 0)
			printf("%sslow: %s: %s over 1 ms\n", indent, app, mr_value_text(n, out));
	}
}

void mr_callbacks_print_histogram(const json_t *callbacks, const char *indent)
{
	char from[MR_VALUE_BYTES], to[MR_VALUE_BYTES], calls[MR_VALUE_BYTES];
	const json_t *bucket;
	size_t i;

	json_array_foreach(json_object_get(callbacks, "histogram"), i, bucket)
	{
		const json_t *end = json_object_get(bucket, "to_ns");
		const json_t *start = json_object_get(bucket, "from_ns");

		printf("%s%14s  %10s to %s\n", indent, mr_value_text_at(bucket, "calls", calls),
		       json_is_number(start) ? mr_value_duration(json_number_value(start), from)
					     : "-",
		       json_is_number(end) ? mr_value_duration(json_number_value(end), to)
					   : "longer");
	}
}
