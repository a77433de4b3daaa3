/* SPDX-License-Identifier: MIT */
/* The pcapng file of a capture: frames with what the XDP program made of them, in words. */
#ifndef MR_CLI_CAPTURE_FILE_H
#define MR_CLI_CAPTURE_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/types.h>

#include "shared/mr_maps.h"

struct mr_capture_file;

/**
 * mr_capture_file_new() - begin the file
 * @fd:		to write to; stays the caller's
 * @status:	answer of /v1/status, or NULL: names of interfaces and lanes
 * @rules:	answer of /v1/rules, or NULL: names of rules; both borrowed while the file is
 * written
 * @snaplen:	bytes of each frame to keep
 * @filter:	for the file's header, or NULL
 *
 * Return: the file, or NULL (out of memory)
 */
struct mr_capture_file *mr_capture_file_new(int fd, const json_t *status, const json_t *rules,
					    uint32_t snaplen, const char *filter);

/* A frame that was received, with what the XDP program knows; or one that a lane sent. */
struct mr_capture_frame {
	struct mr_tap_frame tap; /* sent: neither verdict nor action */
	bool sent;
	uint32_t conn, generation; /* of a sent one; MR_TAP_NONE: not known */
};

/** mr_capture_file_put() - one frame; 0, or -errno of the file, after which nothing is written */
int mr_capture_file_put(struct mr_capture_file *f, const struct mr_capture_frame *frame,
			const uint8_t *bytes);

/** mr_capture_file_flush() - write out what is buffered; 0 or -errno */
int mr_capture_file_flush(struct mr_capture_file *f);

/** mr_capture_file_end() - the statistics at the end of the file, then as flush */
int mr_capture_file_end(struct mr_capture_file *f, uint64_t seen, uint64_t lost);

/** mr_capture_file_free() - nothing is written any more */
void mr_capture_file_free(struct mr_capture_file *f);

#endif
