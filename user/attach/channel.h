/* SPDX-License-Identifier: MIT */
/*
 * A channel (shared/mr_attach.h) as one of its ends has it: the lane's or the program's. An end
 * puts records into one ring and takes them from the other; what it knows of its own indexes it
 * keeps to itself, so the other end can lie about its own part only. One thread at a time on each
 * end.
 */
#ifndef MR_CHANNEL_H
#define MR_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/mr_attach.h"

/**
 * struct mr_channel - one end
 * @sizes:	as they were when it was opened; the header's are not read again
 * @produced, @consumed: this end's own indexes
 */
struct mr_channel {
	struct mr_attach_header *header;
	uint64_t bytes;
	struct mr_attach_sizes sizes;
	struct mr_attach_ring *out_ring, *in_ring;
	struct mr_attach_record *out, *in;
	uint32_t out_size, in_size;
	uint32_t produced, consumed;
	uint32_t *own_sleeps, *other_sleeps;
	struct mr_attach_slot *receive_slot, *send_slot;
	uint8_t *receive, *send;
};

enum mr_channel_end {
	MR_CHANNEL_LANE,
	MR_CHANNEL_PROGRAM,
};

/** mr_channel_sizes_default() - 1,024 commands, 32,768 events, 2,048 buffers of 2 KiB each way */
struct mr_attach_sizes mr_channel_sizes_default(void);

/** mr_channel_bytes() - size of a channel, 0: sizes out of range */
uint64_t mr_channel_bytes(const struct mr_attach_sizes *sizes);

/**
 * mr_channel_create() - a sealed memfd with an empty channel
 * @lane:	number of the lane it is for
 * @fd:		out: the caller's
 *
 * Return: 0, or -EINVAL (sizes), -EMFILE, -ENOMEM
 */
int mr_channel_create(const struct mr_attach_sizes *sizes, uint32_t lane, int *fd);

/**
 * mr_channel_open() - map it
 * @fd:	sealed against shrinking; may be closed afterwards
 *
 * Rings go on where they stand: an end that died is followed by the next one.
 *
 * Return: 0, or -EPROTO (magic, layout or sizes do not fit what the memfd is; it is not sealed),
 *	   -ENOMEM, @c unchanged
 */
int mr_channel_open(struct mr_channel *c, int fd, enum mr_channel_end end);

/** mr_channel_close() - unmap */
void mr_channel_close(struct mr_channel *c);

/** mr_channel_room() - records that may be put now. An other end that lies gets none */
uint32_t mr_channel_room(const struct mr_channel *c);

/**
 * mr_channel_put() - one record, published at once
 *
 * Return: true, or false: there is no room
 */
bool mr_channel_put(struct mr_channel *c, const struct mr_attach_record *r);

/**
 * mr_channel_peek() - a copy of the next record; it stays until mr_channel_done()
 *
 * Return: 1, 0: there is none, or -EPROTO: the other end's index cannot be
 */
int mr_channel_peek(const struct mr_channel *c, struct mr_attach_record *r);

/** mr_channel_done() - the record that was peeked is dealt with */
void mr_channel_done(struct mr_channel *c);

/**
 * mr_channel_doze() - this end is about to sleep until its doorbell rings
 *
 * Return: false: a record came meanwhile, do not sleep. mr_channel_wake() follows either way
 */
bool mr_channel_doze(struct mr_channel *c);
void mr_channel_wake(struct mr_channel *c);

/** mr_channel_must_ring() - behind mr_channel_put(): the other end sleeps. True once a sleep */
bool mr_channel_must_ring(struct mr_channel *c);

/** mr_channel_receive_at(), mr_channel_send_at() - a buffer's bytes; @i is in range */
static inline uint8_t *mr_channel_receive_at(const struct mr_channel *c, uint32_t i)
{
	return c->receive + (size_t)i * c->sizes.buffer_bytes;
}

static inline uint8_t *mr_channel_send_at(const struct mr_channel *c, uint32_t i)
{
	return c->send + (size_t)i * c->sizes.buffer_bytes;
}

/** mr_channel_part_is_inside() - does @len at @offset lie in a buffer, and is there such a one? */
static inline bool mr_channel_part_is_inside(const struct mr_channel *c, uint32_t n_buffers,
					     uint32_t buffer, uint32_t offset, uint32_t len)
{
	return buffer < n_buffers && offset <= c->sizes.buffer_bytes &&
	       len <= c->sizes.buffer_bytes - offset;
}

#endif
