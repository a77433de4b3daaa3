/* SPDX-License-Identifier: MIT */
/*
 * Frames of several sources in the order of their times: each is held until nothing older can come
 * any more, which who reads the sources knows.
 */
#ifndef MR_CLI_ORDER_H
#define MR_CLI_ORDER_H

#include <stddef.h>

#include "user/cli/capture_file.h"

struct mr_order_frame;

/* Zeroed: none is held. */
struct mr_order {
	struct mr_order_frame **list;
	size_t n, room;
	size_t bytes; /* of the frames held */
};

/** mr_order_put() - hold a frame and its head->copied bytes, which are copied; 0 or -ENOMEM */
int mr_order_put(struct mr_order *o, const struct mr_capture_frame *frame, const uint8_t *bytes);

/**
 * mr_order_flush() - give away what is not younger than @until_ns, the oldest first
 * @give:	0 to go on; what else it returns ends it, and the frame counts as given
 *
 * Return: 0, or what @give returned
 */
int mr_order_flush(struct mr_order *o, uint64_t until_ns,
		   int (*give)(void *arg, const struct mr_capture_frame *frame,
			       const uint8_t *bytes),
		   void *arg);

/** mr_order_free() - what is held goes */
void mr_order_free(struct mr_order *o);

#endif
