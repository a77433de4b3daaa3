/* SPDX-License-Identifier: MIT */
/* JSON values that may be missing or of another type than expected, as text for people. */
#ifndef MR_CLI_VALUE_H
#define MR_CLI_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MR_VALUE_BYTES = 128, /* room for one value as text */
};

/** mr_value_at() - member at a path of keys, as "frames.free"; NULL if any part is missing */
json_t *mr_value_at(const json_t *v, const char *path);

/**
 * mr_value_text() - a scalar as text
 * @out:	MR_VALUE_BYTES; used for numbers only
 *
 * Return: @out, or the string itself (borrowed from @v); "yes" or "no" for a boolean; "-" for what
 *	   is missing, null, empty or no scalar
 */
const char *mr_value_text(const json_t *v, char out[MR_VALUE_BYTES]);

/** mr_value_text_at() - mr_value_text() of mr_value_at() */
const char *mr_value_text_at(const json_t *v, const char *path, char out[MR_VALUE_BYTES]);

/** mr_value_count() - a counter; 0 for what is missing, negative or no integer */
uint64_t mr_value_count(const json_t *v);

/** mr_value_is() - is it this string? */
bool mr_value_is(const json_t *v, const char *text);

/** mr_value_duration() - nanoseconds for people: "511 ns", "1.0 us", "8.4 ms", "2.1 s" */
const char *mr_value_duration(double ns, char out[MR_VALUE_BYTES]);

/** mr_mode_print() - a line unless the rules are enforced; @answer: what has a "mode" */
void mr_mode_print(const json_t *answer);

#endif
