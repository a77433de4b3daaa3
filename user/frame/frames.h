/* SPDX-License-Identifier: MIT */
/*
 * One lane's frames: the records beside the UMEM, a free list, and the rule who may hold a frame.
 *
 * A frame has one state (enum mr_frame_state) and at most one owner. While the kernel has it for
 * sending (in_tx) its bytes are not written; giving it back meanwhile only marks it, and the
 * completion frees it. Owned by one lane, used by its thread alone. Derived: everything here can be
 * rebuilt from the records and the rings.
 */
#ifndef MR_FRAMES_H
#define MR_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "shared/mr_arena.h"
#include <linux/types.h>
#include "shared/mr_lane.h"

enum {
	MR_TX_OFFSET = 128, /* payload of frames that we fill: room for all headers before it */
};

/**
 * struct mr_frames - the pool
 * @by_state:	frames in each state, in struct mr_lane_stats, indexed by enum mr_frame_state
 * @reserve:	the last frames: for receiving and for control segments; part of them for who has
 *		nothing queued (user/tcp/queue.c)
 */
struct mr_frames {
	uint8_t *base;
	struct mr_frame *record;
	uint64_t *by_state;
	uint32_t count;
	uint32_t frame_bytes;
	uint32_t frame_shift;
	uint32_t free_head;
	uint32_t n_free;
	uint32_t reserve;
};

/**
 * mr_frames_init() - take over the frames of an arena
 * @held:	one byte a frame: MR_FRAME_FILL or MR_FRAME_CTL where the kernel holds it for an
 *		earlier generation, else 0; NULL: none. All others become free
 * @by_state:	MR_FRAME_STATE_COUNT counters, zeroed here and kept up to date
 */
void mr_frames_init(struct mr_frames *f, uint8_t *base, struct mr_frame *records, uint32_t count,
		    uint32_t frame_bytes, const uint8_t *held, uint64_t *by_state);

/**
 * mr_frames_adopt() - take over the frames of an arena with what stands in them
 *
 * As mr_frames_init(); but every frame is in hand, for the caller to say whose it is by
 * mr_frame_claim(), and mr_frames_adopted() ends it.
 */
void mr_frames_adopt(struct mr_frames *f, uint8_t *base, struct mr_frame *records, uint32_t count,
		     uint32_t frame_bytes, uint64_t *by_state);

/**
 * mr_frame_claim() - @owner has a frame of an earlier generation; its record stays otherwise
 * @held:	as mr_frames_init() has it
 *
 * Return: false: there is no such frame, somebody else has it, or the kernel receives into it
 */
bool mr_frame_claim(struct mr_frames *f, const uint8_t *held, uint32_t i, uint32_t owner,
		    enum mr_frame_state state);

/** mr_frames_unclaim() - @owner has none after all */
void mr_frames_unclaim(struct mr_frames *f, uint32_t owner);

/** mr_frames_adopted() - what nobody claimed is the kernel's, as @held says, or free */
void mr_frames_adopted(struct mr_frames *f, const uint8_t *held);

/**
 * mr_frames_end_limbo() - free the frames that an earlier generation sent and that never completed
 *
 * Its process may have died between marking them and handing them to the kernel.
 */
void mr_frames_end_limbo(struct mr_frames *f);

/** mr_frame_bytes_at() - the frame's first byte */
static inline uint8_t *mr_frame_bytes_at(const struct mr_frames *f, uint32_t i)
{
	return f->base + ((uint64_t)i << f->frame_shift);
}

/** mr_frame_payload() - first byte of its payload */
static inline uint8_t *mr_frame_payload(const struct mr_frames *f, uint32_t i)
{
	return mr_frame_bytes_at(f, i) + f->record[i].offset;
}

/** mr_frame_of() - the frame that holds a UMEM address; the caller checked the address */
static inline uint32_t mr_frame_of(const struct mr_frames *f, uint64_t addr)
{
	return (uint32_t)(addr >> f->frame_shift);
}

/** mr_frame_addr() - UMEM address of a frame's first byte */
static inline uint64_t mr_frame_addr(const struct mr_frames *f, uint32_t i)
{
	return (uint64_t)i << f->frame_shift;
}

/* The only place where a frame changes its state. */
static inline void frame_enter(uint64_t *by_state, struct mr_frame *r, enum mr_frame_state state)
{
	by_state[r->state]--;
	by_state[state]++;
	r->state = (uint8_t)state;
}

/** mr_frame_set_state() - count it there, too */
static inline void mr_frame_set_state(struct mr_frames *f, uint32_t i, enum mr_frame_state state)
{
	frame_enter(f->by_state, &f->record[i], state);
}

/**
 * mr_frame_take() - a free frame
 * @reserved:	may it be one of the reserve?
 *
 * Return: index, its record reset, in @state, or MR_NONE
 */
static inline uint32_t mr_frame_take(struct mr_frames *f, enum mr_frame_state state, bool reserved)
{
	uint32_t i = f->free_head;
	uint32_t n = f->n_free;
	struct mr_frame *r;

	if (i == MR_NONE || (!reserved && n <= f->reserve))
		return MR_NONE;
	r = &f->record[i];
	f->free_head = r->next;
	f->n_free = n - 1;
	r->next = MR_NONE;
	r->owner = MR_NONE;
	r->offset = MR_TX_OFFSET;
	r->len = 0;
	r->tcp_flags = 0;
	r->sends = 0;
	r->marks = 0;
	frame_enter(f->by_state, r, state);
	return i;
}

/** mr_frame_give() - give a frame back; with the kernel still, it is free at its completion */
static inline void mr_frame_give(struct mr_frames *f, uint32_t i)
{
	struct mr_frame *r = &f->record[i];
	uint32_t head = f->free_head;
	uint32_t n = f->n_free;

	r->owner = MR_NONE;
	if (r->in_tx) {
		frame_enter(f->by_state, r, MR_FRAME_CTL);
		return;
	}
	r->next = head;
	f->free_head = i;
	f->n_free = n + 1;
	frame_enter(f->by_state, r, MR_FRAME_FREE);
}

/** mr_frame_completed() - the kernel is done with a frame that was sent */
static inline void mr_frame_completed(struct mr_frames *f, uint32_t i)
{
	struct mr_frame *r = &f->record[i];

	if (!r->in_tx)
		return; /* sent by a worker that died, and taken for lost since */
	r->in_tx = 0;
	r->limbo = 0;
	if (r->state == MR_FRAME_CTL)
		mr_frame_give(f, i);
}

/** mr_frame_give_list() - give back a whole list linked by `next` */
static inline void mr_frame_give_list(struct mr_frames *f, uint32_t head)
{
	while (head != MR_NONE) {
		uint32_t next = f->record[head].next;

		mr_frame_give(f, head);
		head = next;
	}
}

#endif
