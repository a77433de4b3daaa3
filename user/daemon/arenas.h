/* SPDX-License-Identifier: MIT */
/* Records of a lane's arena, read by a process that does not trust the lane. */
#ifndef MR_DAEMON_ARENAS_H
#define MR_DAEMON_ARENAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/daemon/daemon.h"

/**
 * mr_arena_read() - copies of some records of an area
 * @index:	in: of the first one wanted; out: of the first one there is, behind a hole
 * @records:	of @bytes, at least one record
 *
 * Return: how many; 0: there are no more
 */
uint32_t mr_arena_read(const struct mr_lane *l, enum mr_arena_area area, uint32_t *index,
		       void *records, size_t bytes);

/**
 * mr_arena_each() - copies of the records of an area, in order
 * @first:	index to begin with; beyond the area: none
 * @fn:		false ends it
 *
 * Where the area lies is what the daemon wrote at the start, not what the arena says of itself.
 * Holes (records that were never touched) are skipped, and not filled by the reading.
 */
void mr_arena_each(const struct mr_lane *l, enum mr_arena_area area, uint32_t first,
		   bool (*fn)(void *arg, uint32_t index, const void *record), void *arg);

/** mr_arena_one() - a copy of one record of @bytes; false: there is none of that index and size */
bool mr_arena_one(const struct mr_lane *l, enum mr_arena_area area, uint32_t index, void *record,
		  size_t bytes);

/** mr_arena_part() - the same of @bytes at @offset of a record; false: not all of them are in it */
bool mr_arena_part(const struct mr_lane *l, enum mr_arena_area area, uint32_t index, size_t offset,
		   void *out, size_t bytes);

#endif
