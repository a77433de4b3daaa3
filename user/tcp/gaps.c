/* SPDX-License-Identifier: MIT */
/*
 * Text out of order (RFC 9293 3.10.7.4, SHLD-31): a list of frames, in runs (see gaps.h).
 *
 * What it costs is bounded whatever a peer sends. Time: nearly always the piece goes behind the
 * last run, which is looked at first; else runs are walked from the nearer end, and there are at
 * most MR_OOO_RUNS of them. Memory: a run's neighbours whose text fits into one frame share it, so
 * that its frames are half full; a frame for a byte can be had for a new run alone, and how many
 * runs there may be grows with the window. Frames in all: no more than are left free, so that one
 * connection may hold half of them, two a third each (dynamic thresholds, Choudhury and Hahne
 * 1998). The window that is offered keeps to that (window.c).
 */
#include "user/tcp/gaps.h"

#include <string.h>

enum {
	RUNS_LEAST = 128,	  /* runs that any connection may hold */
	WINDOW_PER_RUN = 8 << 10, /* and one more for each so many bytes of window */
	FEW_SHARE = 8, /* of the upper half of the reserve: frames, while they are short */
};

/* Behind the run that ends with @last; its FIN is not counted. */
static uint32_t end_of(const struct mr_frame *rec, uint32_t last)
{
	return rec[last].seq + rec[last].len;
}

/* The first frame of the last run that begins at @seq or before, or MR_NONE. */
static uint32_t find_run(const struct mr_frame *rec, const struct mr_conn *c,
			 const struct mr_active *a, uint32_t seq)
{
	uint32_t run, next;

	if (c->ooo_head == MR_NONE || mr_seq_lt(seq, rec[c->ooo_head].seq))
		return MR_NONE;
	run = rec[a->ooo_tail].time_next;
	if (mr_seq_le(rec[run].seq, seq))
		return run;
	if (rec[run].seq - seq < seq - rec[c->ooo_head].seq) {
		do {
			run = rec[rec[run].time_prev].time_next;
		} while (mr_seq_lt(seq, rec[run].seq));
		return run;
	}
	for (next = c->ooo_head; mr_seq_le(rec[next].seq, seq); next = rec[rec[run].time_next].next)
		run = next;
	return run;
}

/* Tell the peer of the run that begins with frame @run. */
static void report_run(struct mr_tcp *t, struct mr_conn *c, uint32_t run)
{
	const struct mr_frame *rec = t->frames->record;
	uint32_t last = rec[run].time_next;

	if (c->flags & MR_CONN_SACK)
		mr_sack_gap(t, c, rec[run].seq,
			    end_of(rec, last) + !!(rec[last].tcp_flags & MR_FIN));
}

/* What the run at @run has of [r->seq, r->seq + r->len) already (RFC 2883 4.2). */
static void report_overlap(struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r,
			   uint32_t run)
{
	const struct mr_frame *rec = t->frames->record;
	uint32_t end = r->seq + r->len;
	uint32_t left, right;

	if (run == MR_NONE)
		return;
	left = mr_seq_lt(r->seq, rec[run].seq) ? rec[run].seq : r->seq;
	right = end_of(rec, rec[run].time_next);
	mr_sack_duplicate(t, c, left, mr_seq_lt(end, right) ? end : right);
}

void mr_gap_overlap(struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r)
{
	report_overlap(t, c, r, c->ooo_head);
}

/* Cut off what the run at @run has of the piece; false: nothing is left, or a FIN is before it. */
static bool cut_behind(const struct mr_frame *rec, struct mr_frame *r, uint32_t run)
{
	uint32_t last = rec[run].time_next;

	return !(rec[last].tcp_flags & MR_FIN) && mr_text_cut_front(r, end_of(rec, last));
}

static void unlink_frame(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t frame)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t before = rec[frame].time_prev;
	uint32_t next = rec[frame].next;

	if (before == MR_NONE)
		c->ooo_head = next;
	else
		rec[before].next = next;
	if (next == MR_NONE)
		a->ooo_tail = before;
	else
		rec[next].time_prev = before;
	a->ooo_frames--;
}

static void set_run(struct mr_frame *rec, uint32_t first, uint32_t last)
{
	rec[first].time_next = last;
	rec[last].time_next = first;
}

/* Free the runs from @next on that [r->seq, r->seq + r->len) covers; returns what follows. */
static uint32_t drop_covered(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     const struct mr_frame *r, uint32_t next)
{
	const struct mr_frame *rec = t->frames->record;

	while (next != MR_NONE) {
		uint32_t last = rec[next].time_next;
		uint32_t frame;

		if (rec[last].tcp_flags & MR_FIN || mr_seq_lt(r->seq + r->len, end_of(rec, last)))
			break;
		do {
			frame = next;
			next = rec[frame].next;
			unlink_frame(t, c, a, frame);
			mr_frame_give(t->frames, frame);
		} while (frame != last);
		a->ooo_runs--;
	}
	return next;
}

/* Copy the text of @from behind that of @to, when one frame holds both. */
static bool copy_behind(struct mr_tcp *t, uint32_t to, uint32_t from)
{
	struct mr_frame *r = &t->frames->record[to];
	const struct mr_frame *s = &t->frames->record[from];
	uint32_t sum = (uint32_t)r->len + s->len;

	if (sum > t->frames->frame_bytes - MR_TX_OFFSET)
		return false;
	if (r->offset + sum > t->frames->frame_bytes) {
		memmove(mr_frame_bytes_at(t->frames, to) + MR_TX_OFFSET,
			mr_frame_payload(t->frames, to), r->len);
		r->offset = MR_TX_OFFSET;
	}
	memcpy(mr_frame_payload(t->frames, to) + r->len, mr_frame_payload(t->frames, from), s->len);
	r->len = (uint16_t)sum;
	r->tcp_flags |= s->tcp_flags & MR_FIN;
	return true;
}

/* The runs at @run and at @next, which follows it: is there no gap between them? Then one run. */
static void join_runs(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t run,
		      uint32_t next)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t middle, last;

	if (run == MR_NONE || next == MR_NONE)
		return;
	middle = rec[run].time_next;
	if (rec[middle].tcp_flags & MR_FIN || end_of(rec, middle) != rec[next].seq)
		return;
	last = rec[next].time_next;
	a->ooo_runs--;
	if (copy_behind(t, middle, next)) {
		if (last == next)
			last = middle;
		unlink_frame(t, c, a, next);
		mr_frame_give(t->frames, next);
	}
	set_run(rec, run, last);
}

/* ----- how much ----- */

/*
 * Held already and free: half of it. Frames never get short (window.c) by that; while they are, a
 * few for those whose next segment is missing, so that it alone has to come again.
 */
uint32_t mr_gap_frames_most(const struct mr_tcp *t, const struct mr_conn *c,
			    const struct mr_active *a)
{
	uint32_t held = a && c->ooo_head != MR_NONE ? a->ooo_frames : 0;
	uint32_t n_free = t->frames->n_free;
	uint32_t reserve = t->frames->reserve;
	uint32_t few;

	if (n_free <= reserve)
		return 0;
	few = (min_u32(n_free, 2 * reserve) - reserve) / FEW_SHARE + 1;
	if (n_free <= 2 * reserve)
		return few;
	return max_u32(few, (n_free - 2 * reserve + held + 1) / 2);
}

static uint32_t runs_most(const struct mr_conn *c)
{
	return min_u32(MR_OOO_RUNS, RUNS_LEAST + c->rcv_wnd / WINDOW_PER_RUN);
}

/*
 * No more frames for text out of order: the last frame makes room for one at @seq, which is
 * needed sooner. It may have been reported (RFC 2018 8 allows that); nothing that is acknowledged
 * cumulatively is ever dropped.
 */
static bool prune(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t seq)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t last = a->ooo_tail;
	uint32_t first;

	if (c->ooo_head == MR_NONE || !mr_seq_lt(seq, rec[last].seq))
		return false;
	first = rec[last].time_next;
	mr_sack_renege(t, c, rec[last].seq);
	if (first == last)
		a->ooo_runs--;
	else
		set_run(rec, first, rec[last].time_prev);
	unlink_frame(t, c, a, last);
	mr_frame_give(t->frames, last);
	t->stats->ooo_pruned++;
	return true;
}

/* May a frame be held for text at @seq? It lies behind the run at @run, and is a run for now. */
static bool may_hold(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		     const struct mr_frame *r, uint32_t run)
{
	const struct mr_frame *rec = t->frames->record;
	bool is_behind = run != MR_NONE && end_of(rec, rec[run].time_next) == r->seq;

	if (!is_behind && a->ooo_runs >= runs_most(c)) {
		/* a run of one frame goes for one that is needed sooner, but no longer one */
		if (rec[a->ooo_tail].time_next != a->ooo_tail)
			return false;
		return prune(t, c, a, r->seq);
	}
	return a->ooo_frames < mr_gap_frames_most(t, c, a) || prune(t, c, a, r->seq);
}

/* ----- in and out ----- */

/* A run of its own, behind the one at @run. */
static void link_frame(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t frame,
		       uint32_t run)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t before = run == MR_NONE ? MR_NONE : rec[run].time_next;
	uint32_t next = run == MR_NONE ? c->ooo_head : rec[before].next;

	rec[frame].next = next;
	rec[frame].time_prev = before;
	set_run(rec, frame, frame);
	if (before == MR_NONE)
		c->ooo_head = frame;
	else
		rec[before].next = frame;
	if (next == MR_NONE)
		a->ooo_tail = frame;
	else
		rec[next].time_prev = frame;
	a->ooo_frames++;
	a->ooo_runs++;
	mr_frame_set_state(t->frames, frame, MR_FRAME_OOO);
}

/* The run that the piece lies in now; MR_NONE: no frame may be held for it. */
static uint32_t put(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t frame,
		    uint32_t run, bool replaces, bool *kept)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t last = run == MR_NONE ? MR_NONE : rec[run].time_next;
	bool is_behind = last != MR_NONE && end_of(rec, last) == rec[frame].seq;

	if (is_behind && copy_behind(t, last, frame)) {
		join_runs(t, c, a, run, rec[last].next);
		return run;
	}
	if (!replaces && !may_hold(t, c, a, &rec[frame], run))
		return MR_NONE;
	link_frame(t, c, a, frame, run);
	*kept = true;
	join_runs(t, c, a, frame, rec[frame].next);
	if (!is_behind)
		return frame;
	join_runs(t, c, a, run, frame);
	return run;
}

int mr_gap_insert(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, bool *kept)
{
	struct mr_active *a = mr_active_of(t, c);
	struct mr_frame *rec = t->frames->record;
	struct mr_frame *r = &rec[frame];
	uint32_t run = find_run(rec, c, a, r->seq);
	uint32_t next, behind;

	*kept = false;
	report_overlap(t, c, r, run);
	if (run != MR_NONE && !cut_behind(rec, r, run)) {
		report_run(t, c, run);
		return MR_DROP_TCP_SEQUENCE;
	}
	next = run == MR_NONE ? c->ooo_head : rec[rec[run].time_next].next;
	report_overlap(t, c, r, next);
	behind = drop_covered(t, c, a, r, next);
	if (behind != MR_NONE)
		mr_text_cut_back(r, rec[behind].seq);
	if (!r->len && !(r->tcp_flags & MR_FIN))
		return MR_DROP_TCP_SEQUENCE;
	run = put(t, c, a, frame, run, behind != next, kept);
	if (run == MR_NONE)
		return MR_DROP_OOO_LIMIT;
	report_run(t, c, run);
	return MR_DROP_NONE;
}

uint32_t mr_gap_take(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t head = c->ooo_head;
	struct mr_active *a;

	if (head == MR_NONE || mr_seq_lt(c->rcv_nxt, rec[head].seq))
		return MR_NONE;
	a = mr_active_of(t, c);
	if (rec[head].time_next == head)
		a->ooo_runs--;
	else
		set_run(rec, rec[head].next, rec[head].time_next);
	unlink_frame(t, c, a, head);
	return head;
}

void mr_tcp_drop_out_of_order(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	mr_frame_give_list(t->frames, c->ooo_head);
	c->ooo_head = MR_NONE;
	if (!a)
		return;
	a->ooo_frames = 0;
	a->ooo_runs = 0;
	mr_sack_advance(t, c);
}
