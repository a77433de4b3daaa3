/* SPDX-License-Identifier: MIT */
/* A received frame on its way through the stages, between receive.c, usual.c and demux.c. */
#ifndef MR_LANE_ARRIVAL_H
#define MR_LANE_ARRIVAL_H

#include "user/lane/internal.h"
#include "user/wire/plain.h"

/**
 * struct arrival - a frame
 * @tcp, @text:	mr_plain_check()'s; @tcp 0: not of the plain shape
 * @known:	@guess is of a flow seen lately (known.h), and @hash not known
 * @guess:	the connection block that it most likely belongs to, MR_NONE: none has its hash
 * @kind, @drop, @seg, @icmp: of mr_frame_parse(), when the frame went that way
 */
struct arrival {
	uint32_t frame;
	uint32_t offset; /* of its first byte in the frame */
	uint32_t len;
	uint32_t tcp;
	uint32_t text;
	uint32_t guess;
	bool known;
	uint64_t hash;
	enum mr_frame_kind kind;
	int drop;
	struct mr_segment seg;
	struct mr_icmp_error icmp;
};

static inline const uint8_t *arrival_bytes(const struct mr_lane *l, const struct arrival *a)
{
	return mr_frame_bytes_at(&l->frames, a->frame) + a->offset;
}

/* demux.c: parsed; what nobody keeps is free again. Sets a->guess to the connection or MR_NONE */
void lane_dispatch(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail);

/* usual.c */
bool lane_usual_arrives(struct mr_lane *l, struct arrival *a);

#endif
