/* SPDX-License-Identifier: MIT */
/*
 * Copies of the frames that a lane sends, while somebody captures: a ring in the lane's arena,
 * which the lane alone writes and never waits for. What nobody took in time is written over, and
 * the numbers of the frames say how many that were. The daemon hands pieces of it to root, who
 * treats every word as hostile.
 *
 * Positions are bytes since the beginning of time; byte p stands at p % MR_SENT_BYTES. A record
 * begins at a multiple of eight and lies in one block of MR_SENT_BLOCK: what is left of a block
 * that is too short for the next one is passed over (`bytes` 0, or no room for a head), so every
 * block begins with a record.
 */
#ifndef MR_SENT_H
#define MR_SENT_H

#include <stdint.h>

enum {
	MR_SENT_BYTES = 1 << 20,
	MR_SENT_BLOCK = 1 << 16,
	MR_SENT_COPY_MOST = 4096, /* of a frame; one of the UMEM is not larger */
	MR_SENT_NONE = -1,	  /* as uint32_t: no connection, no rule */
};

/* Head of a record; the frame's bytes follow. */
struct mr_sent_frame {
	uint64_t time_ns;     /* CLOCK_MONOTONIC, when it was given to the transmit ring */
	uint64_t number;      /* counts the lane's copies, from 1 */
	uint32_t bytes;	      /* of the record, a multiple of eight */
	uint32_t copied;      /* bytes of the frame that follow */
	uint32_t frame_bytes; /* that it has */
	uint32_t conn;	      /* index of the connection, MR_SENT_NONE: none is known */
	uint32_t generation;  /* of that block */
	uint32_t rule;	      /* id, MR_SENT_NONE */
};

_Static_assert(sizeof(struct mr_sent_frame) == 40, "record of a sent frame");

struct mr_sent {
	uint64_t head;	  /* behind the last whole record */
	uint64_t writing; /* behind the one being written: before it less the ring, nothing is whole
			   */
	uint64_t frames;  /* copies made */
	uint64_t pad[5];
	uint8_t ring[MR_SENT_BYTES];
};

/* Before the bytes from @from up to @next in an answer of POST /v1/lanes/sent. */
struct mr_sent_answer {
	uint64_t from;
	uint64_t next;	 /* where to go on */
	uint64_t frames; /* copies that the lane had made by then */
	uint64_t head;	 /* there is more before it */
};

#endif
