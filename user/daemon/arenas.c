/* SPDX-License-Identifier: MIT */
#include "user/daemon/arenas.h"

#include <errno.h>
#include <unistd.h>

enum {
	CHUNK_BYTES = 65536,
};

/* The first record at or after @index that is not all hole; the count when there is none. */
static uint32_t skip_hole(const struct mr_lane *l, const struct mr_arena_area_record *r,
			  uint32_t index)
{
	off_t at = (off_t)(r->offset + (uint64_t)index * r->record_bytes);
	off_t data = lseek(l->arena_reader, at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? r->count : index;
	if (data <= at)
		return index;
	data = (data - (off_t)r->offset) / r->record_bytes;
	return data < r->count ? (uint32_t)data : r->count;
}

uint32_t mr_arena_read(const struct mr_lane *l, enum mr_arena_area area, uint32_t *index,
		       void *records, size_t bytes)
{
	const struct mr_arena_area_record *r = &l->layout.area[area];
	uint32_t n;
	ssize_t got;

	if (*index >= r->count) /* a lane whose queue is not there has none at all */
		return 0;
	n = (uint32_t)(bytes / r->record_bytes);
	*index = skip_hole(l, r, *index);
	if (n > r->count - *index)
		n = r->count - *index;
	got = pread(l->arena_reader, records, (size_t)n * r->record_bytes,
		    (off_t)(r->offset + (uint64_t)*index * r->record_bytes));
	return got < 0 ? 0 : (uint32_t)got / r->record_bytes;
}

void mr_arena_each(const struct mr_lane *l, enum mr_arena_area area, uint32_t first,
		   bool (*fn)(void *arg, uint32_t index, const void *record), void *arg)
{
	static uint64_t chunk[CHUNK_BYTES / sizeof(uint64_t)];
	uint32_t index = first, n, record_bytes = l->layout.area[area].record_bytes;

	while ((n = mr_arena_read(l, area, &index, chunk, sizeof(chunk)))) {
		for (uint32_t i = 0; i < n; i++)
			if (!fn(arg, index + i, (const char *)chunk + (size_t)i * record_bytes))
				return;
		index += n;
	}
}

bool mr_arena_part(const struct mr_lane *l, enum mr_arena_area area, uint32_t index, size_t offset,
		   void *out, size_t bytes)
{
	const struct mr_arena_area_record *r = &l->layout.area[area];
	off_t at = (off_t)(r->offset + (uint64_t)index * r->record_bytes + offset);

	return index < r->count && offset <= r->record_bytes && bytes <= r->record_bytes - offset &&
	       pread(l->arena_reader, out, bytes, at) == (ssize_t)bytes;
}

bool mr_arena_one(const struct mr_lane *l, enum mr_arena_area area, uint32_t index, void *record,
		  size_t bytes)
{
	return l->layout.area[area].record_bytes == bytes &&
	       mr_arena_part(l, area, index, 0, record, bytes);
}
