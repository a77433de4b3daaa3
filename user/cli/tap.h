/* SPDX-License-Identifier: MIT */
/*
 * The reader of the XDP program's copies of frames: brings a ring, switches copying on, keeps it
 * on while it lives, and reads. One at a time on one set of maps. Needs root: whoever sees frames
 * opens the maps himself, so that the daemon hands nothing out.
 */
#ifndef MR_CLI_TAP_H
#define MR_CLI_TAP_H

#include <stdint.h>

#include <linux/types.h>

#include "shared/mr_maps.h"

enum {
	MR_TAP_WORDS = 256,
};

struct mr_tap_wants {
	const char *pins;    /* directory of the maps */
	uint32_t ifindex;    /* 0: all */
	uint32_t copy_bytes; /* of each frame */
	uint32_t ring_bytes; /* power of two, at least a page */
};

/* A frame: @bytes are head->copied bytes, checked; both only until it returns. Returns 0 to go on.
 */
typedef int (*mr_tap_taker)(void *arg, const struct mr_tap_frame *head, const uint8_t *bytes);

struct mr_tap_reader;

/**
 * mr_tap_open() - switch copying on
 * @why:	one line for people on error
 *
 * Return: the reader, to be closed; or NULL
 */
struct mr_tap_reader *mr_tap_open(const struct mr_tap_wants *w, mr_tap_taker take, void *arg,
				  char why[MR_TAP_WORDS]);

/**
 * mr_tap_read() - hand over what is in the ring, waiting for some at most @wait_ms; stay switched
 *on
 *
 * Return: 0; what the taker returned to end it; -EINTR after a signal; or -errno with @why: copying
 *	   has ended, what was read before is all there will be
 */
int mr_tap_read(struct mr_tap_reader *t, int wait_ms, char why[MR_TAP_WORDS]);

/** mr_tap_stop() - switch copying off; what is in the ring can still be read */
void mr_tap_stop(struct mr_tap_reader *t);

/** mr_tap_drain() - hand over what is left after mr_tap_stop(); returns as mr_tap_read() */
int mr_tap_drain(struct mr_tap_reader *t);

/** mr_tap_lost() - frames so far that found no room in the ring */
uint64_t mr_tap_lost(const struct mr_tap_reader *t);

/** mr_tap_close() - switch off, and give everything back; NULL: nothing */
void mr_tap_close(struct mr_tap_reader *t);

#endif
