/* SPDX-License-Identifier: MIT */
/* Words for a person beside a negative errno. */
#ifndef MR_API_WORDS_H
#define MR_API_WORDS_H

#include <stddef.h>

/**
 * mr_api_words() - what went wrong and its cure, as mr_context_open() gives it
 * @error:	room for @error_bytes; may be NULL
 *
 * Return: @result
 */
int mr_api_words(char *error, size_t error_bytes, int result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
