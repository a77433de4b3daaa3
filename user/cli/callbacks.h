/* SPDX-License-Identifier: MIT */
/* The time that applications take in their callbacks. */
#ifndef MR_CLI_CALLBACKS_H
#define MR_CLI_CALLBACKS_H

#include <jansson.h>

/**
 * mr_callbacks_print() - on stdout: calls, median and 99th percentile; then each application with
 *			  callbacks over 1 ms. Nothing if there was no call.
 * @callbacks:	the member of that name, of a lane or of all
 * @indent:	put before each line
 */
void mr_callbacks_print(const json_t *callbacks, const char *indent);

/** mr_callbacks_print_histogram() - each bucket with calls, one a line */
void mr_callbacks_print_histogram(const json_t *callbacks, const char *indent);

#endif
