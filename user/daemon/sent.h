/* SPDX-License-Identifier: MIT */
/* Pieces of the ring in which a lane copies what it sends (shared/mr_sent.h). */
#ifndef MR_DAEMON_SENT_H
#define MR_DAEMON_SENT_H

#include <stddef.h>
#include <stdint.h>

#include "shared/mr_sent.h"
#include "user/daemon/daemon.h"

enum {
	MR_SENT_PIECE = 4 * MR_SENT_BLOCK, /* bytes of an answer */
};

/**
 * mr_sent_piece() - what stands behind @after, at most a piece
 * @after:	where the one before ended; UINT64_MAX: nothing before what comes from now on
 * @answer:	out: from where to where; not from @after when that is written over already
 * @out:	MR_SENT_PIECE bytes, as the lane left them
 *
 * Return: bytes in @out, those from @answer->from to @answer->next: whole records, if the lane
 *	   keeps to its rules
 */
size_t mr_sent_piece(const struct mr_lane *l, uint64_t after, struct mr_sent_answer *answer,
		     uint8_t *out);

#endif
