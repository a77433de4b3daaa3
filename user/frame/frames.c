/* SPDX-License-Identifier: MIT */
#include "user/frame/frames.h"

/* Records cost 32 bytes a frame; the reserve is a thirty-second of them, at least 32. */
static uint32_t reserve_of(uint32_t count)
{
	return count / 32 > 32 ? count / 32 : 32;
}

void mr_frames_adopt(struct mr_frames *f, uint8_t *base, struct mr_frame *records, uint32_t count,
		     uint32_t frame_bytes, uint64_t *by_state)
{
	*f = (struct mr_frames){
		.base = base,
		.record = records,
		.by_state = by_state,
		.count = count,
		.frame_bytes = frame_bytes,
		.frame_shift = (uint32_t)__builtin_ctz(frame_bytes),
		.free_head = MR_NONE,
		.reserve = reserve_of(count),
	};
	memset(by_state, 0, MR_FRAME_STATE_COUNT * sizeof(*by_state));
	by_state[MR_FRAME_HAND] = count;
	for (uint32_t i = 0; i < count; i++) {
		records[i].state = MR_FRAME_HAND;
		records[i].limbo = 0;
	}
}

bool mr_frame_claim(struct mr_frames *f, const uint8_t *held, uint32_t i, uint32_t owner,
		    enum mr_frame_state state)
{
	struct mr_frame *r = &f->record[i];

	if (i >= f->count || r->state != MR_FRAME_HAND || (held && held[i] == MR_FRAME_FILL) ||
	    (uint32_t)r->offset + r->len > f->frame_bytes)
		return false;
	r->owner = owner;
	mr_frame_set_state(f, i, state);
	return true;
}

void mr_frames_unclaim(struct mr_frames *f, uint32_t owner)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->record[i].state != MR_FRAME_HAND && f->record[i].owner == owner)
			mr_frame_set_state(f, i, MR_FRAME_HAND);
}

void mr_frames_adopted(struct mr_frames *f, const uint8_t *held)
{
	for (uint32_t i = f->count; i-- > 0;) {
		struct mr_frame *r = &f->record[i];
		uint8_t by_kernel = held ? held[i] : 0;

		r->in_tx = by_kernel == MR_FRAME_CTL;
		r->limbo = by_kernel == MR_FRAME_CTL;
		if (r->state != MR_FRAME_HAND)
			continue;
		if (by_kernel)
			mr_frame_set_state(f, i, by_kernel);
		else
			mr_frame_give(f, i);
	}
}

void mr_frames_init(struct mr_frames *f, uint8_t *base, struct mr_frame *records, uint32_t count,
		    uint32_t frame_bytes, const uint8_t *held, uint64_t *by_state)
{
	mr_frames_adopt(f, base, records, count, frame_bytes, by_state);
	mr_frames_adopted(f, held);
}

void mr_frames_end_limbo(struct mr_frames *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->record[i].limbo)
			mr_frame_completed(f, i);
}
