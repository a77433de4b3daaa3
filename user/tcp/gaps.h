/* SPDX-License-Identifier: MIT */
/*
 * Text out of order, between gaps.c and text.c.
 *
 * Frames from mr_conn.ooo_head on, by sequence number, without overlaps. Those that follow each
 * other without a gap are a run; `time_prev` of each is the frame before it in the list,
 * `time_next` of a run's first frame its last one, and of its last one its first.
 */
#ifndef MR_GAPS_H
#define MR_GAPS_H

#include "user/tcp/internal.h"

/** mr_text_cut() - cut @n bytes off the front; false: nothing is left, not even a FIN */
bool mr_text_cut(struct mr_frame *r, uint32_t n);

/** mr_text_cut_front() - cut what lies before @edge off; false: nothing is left */
static inline bool mr_text_cut_front(struct mr_frame *r, uint32_t edge)
{
	return !mr_seq_lt(r->seq, edge) || mr_text_cut(r, edge - r->seq);
}

/** mr_text_cut_back() - cut what lies from @edge on off, and a FIN with it */
static inline void mr_text_cut_back(struct mr_frame *r, uint32_t edge)
{
	if (mr_seq_lt(edge, r->seq + r->len)) {
		r->len = (uint16_t)(edge - r->seq);
		r->tcp_flags &= (uint8_t)~MR_FIN;
	}
}

/**
 * mr_gap_insert() - keep text that is out of order
 * @frame:	in no list, cut to the window
 * @kept:	out: true: the frame is the connection's now; false: still the caller's
 *
 * What is held already stays, the new piece is cut to what it adds. Return: MR_DROP_NONE, or why
 * it was dropped. At most MR_OOO_RUNS runs are looked at and two frames copied.
 */
int mr_gap_insert(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, bool *kept);

/** mr_gap_take() - the first frame, taken off the list, when it begins at rcv_nxt or before; or
 * MR_NONE */
uint32_t mr_gap_take(struct mr_tcp *t, struct mr_conn *c);

/** mr_gap_overlap() - what the first run has of @r, which is in order, is told (RFC 2883 4.2) */
void mr_gap_overlap(struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r);

/**
 * mr_gap_frames_most() - frames that the connection may hold out of order, as frames are free now
 * @a:	its active record, or NULL
 */
uint32_t mr_gap_frames_most(const struct mr_tcp *t, const struct mr_conn *c,
			    const struct mr_active *a);

#endif
