/* SPDX-License-Identifier: MIT */
/*
 * The arena: where everything of a lane lies, laid out once by the daemon, mapped by anybody.
 */
#ifndef MR_ARENA_MAP_H
#define MR_ARENA_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_arena.h"

/**
 * struct mr_arena_sizes - how big a lane may become
 * @frames:	frames of the UMEM, 64 to 2^20, rounded up to a power of two by the caller
 * @frame_bytes: 2048 or 4096
 * @conns:	connection blocks, at most 2^26; memory is touched only when used
 * @half_open, @time_wait, @sessions: records of each kind, at least 16
 * @message_bytes: of the message store, a multiple of MR_MESSAGE_BLOCK, a power of two
 */
struct mr_arena_sizes {
	uint32_t frames;
	uint32_t frame_bytes;
	uint32_t conns;
	uint32_t half_open;
	uint32_t time_wait;
	uint32_t sessions;
	uint64_t message_bytes;
};

/** struct mr_arena - one mapping of an arena */
struct mr_arena {
	uint8_t *base;
	uint64_t bytes;
	bool huge; /* on huge pages */
};

/**
 * mr_arena_create() - make the memfd of one lane and write its header
 * @fd:		out: descriptor, sealed against shrinking and growing, close-on-exec
 * @huge:	try huge pages first; falls back in silence, @got_huge says what came
 *
 * Return: 0, -EINVAL (sizes), or -errno of memfd_create, ftruncate, fcntl; nothing left behind
 */
int mr_arena_create(const char *name, const struct mr_arena_sizes *sizes, bool huge, int *fd,
		    bool *got_huge);

/**
 * mr_arena_map() - map an arena and check its header against the file's size
 * @writable:	false for the daemon's readers
 *
 * Return: 0, -EPROTO (other layout version), -EBADMSG (header does not fit the file), -errno
 */
int mr_arena_map(struct mr_arena *a, int fd, bool writable);

/** mr_arena_unmap() - the descriptor stays open */
void mr_arena_unmap(struct mr_arena *a);

/**
 * mr_arena_area() - first byte of an area
 * @count:	out: its records; may be NULL
 *
 * Checked again at each call: the header may have been overwritten since mr_arena_map().
 *
 * Return: the area, or NULL when it no longer fits the file, @count unchanged
 */
void *mr_arena_area(const struct mr_arena *a, enum mr_arena_area area, uint32_t *count);

#endif
