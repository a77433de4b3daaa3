/* SPDX-License-Identifier: MIT */
/*
 * What the peer has of our text (RFC 2018 5, RFC 6675 4): marks on the frames of the send queue.
 *
 * A frame that was sent is SACKED, or LOST (to be sent again), or neither: on its way. Those on
 * their way are linked in the order of their last transmission, so that RACK looks at the oldest
 * only. A frame is SACKED when a block covers all of it. Runs of SACKED frames are jumped over.
 *
 * A block is looked for from the left edge of the newest known one, or from the head; blocks that
 * the last ACK had are not looked for at all, and STEPS bounds what is left for one ACK.
 */
#include "user/tcp/internal.h"

#include <string.h>

enum {
	STEPS = 1024, /* frames that one ACK may be looked for without marking any */
};

/* ----- by transmission time ----- */

static void time_insert(struct mr_frame *rec, struct mr_active *a, uint32_t i, uint32_t before)
{
	uint32_t after = before == MR_NONE ? a->time_head : rec[before].time_next;

	rec[i].time_prev = before;
	rec[i].time_next = after;
	rec[i].marks |= MR_FRAME_TIMED;
	if (before == MR_NONE)
		a->time_head = i;
	else
		rec[before].time_next = i;
	if (after == MR_NONE)
		a->time_tail = i;
	else
		rec[after].time_prev = i;
}

static void time_remove(struct mr_frame *rec, struct mr_active *a, uint32_t i)
{
	struct mr_frame *r = &rec[i];

	if (!(r->marks & MR_FRAME_TIMED))
		return;
	r->marks &= (uint8_t)~MR_FRAME_TIMED;
	if (r->time_prev == MR_NONE)
		a->time_head = r->time_next;
	else
		rec[r->time_prev].time_next = r->time_next;
	if (r->time_next == MR_NONE)
		a->time_tail = r->time_prev;
	else
		rec[r->time_next].time_prev = r->time_prev;
}

/* ----- marks ----- */

static void unmark_lost(struct mr_active *a, struct mr_frame *r)
{
	if (r->marks & MR_FRAME_LOST)
		a->lost -= r->len;
	r->marks &= (uint8_t)~MR_FRAME_LOST;
}

/* The frame went out: it is the youngest on its way. */
void mr_scoreboard_sent(struct mr_tcp *t, struct mr_active *a, uint32_t frame)
{
	struct mr_frame *rec = t->frames->record;

	if (rec[frame].marks) {
		unmark_lost(a, &rec[frame]);
		time_remove(rec, a, frame);
	}
	time_insert(rec, a, frame, a->time_tail);
}

/* The same for the first time, when nothing else is on its way. */
inline void mr_scoreboard_sent_alone(struct mr_tcp *t, struct mr_active *a, uint32_t frame)
{
	struct mr_frame *r = &t->frames->record[frame];

	a->time_head = frame;
	a->time_tail = frame;
	r->time_prev = MR_NONE;
	r->time_next = MR_NONE;
	r->marks = MR_FRAME_TIMED;
}

/* Text that is on its way is taken for lost: it leaves the pipe and goes out again. */
void mr_scoreboard_lose(struct mr_tcp *t, struct mr_active *a, uint32_t frame)
{
	struct mr_frame *rec = t->frames->record;
	struct mr_frame *r = &rec[frame];

	if (r->marks & (MR_FRAME_LOST | MR_FRAME_SACKED))
		return;
	time_remove(rec, a, frame);
	r->marks |= MR_FRAME_LOST;
	a->lost += r->len;
	if (a->lost_next == MR_NONE || mr_seq_lt(r->seq, rec[a->lost_next].seq))
		a->lost_next = frame;
}

/* RFC 6298 5.4 with RFC 2018 8, RFC 8985 6.3: all that the peer does not have. */
void mr_scoreboard_lose_all(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	const struct mr_frame *rec = t->frames->record;

	for (uint32_t i = c->tx_head; i != c->tx_next; i = rec[i].next)
		mr_scoreboard_lose(t, a, i);
}

/* The loss was none: what was marked is on its way still, older than all the rest. */
void mr_scoreboard_found(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t last = MR_NONE;

	for (uint32_t i = c->tx_head; i != c->tx_next && a->lost; i = rec[i].next) {
		if (!(rec[i].marks & MR_FRAME_LOST))
			continue;
		unmark_lost(a, &rec[i]);
		time_insert(rec, a, i, last);
		last = i;
	}
	a->lost_next = MR_NONE;
}

/* RFC 2018 8: the peer dropped what it had reported: no mark is worth anything. */
void mr_scoreboard_reneged(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	struct mr_frame *rec = t->frames->record;

	for (uint32_t i = c->tx_head; i != c->tx_next; i = rec[i].next) {
		if (!(rec[i].marks & MR_FRAME_SACKED))
			continue;
		rec[i].marks &= (uint8_t)~MR_FRAME_SACKED;
		time_insert(rec, a, i, MR_NONE);
	}
	a->sacked = 0;
	a->n_sacked = 0;
	memset(a->sack_seen, 0, sizeof(a->sack_seen));
}

static uint32_t next_sent(const struct mr_frame *rec, const struct mr_frame *r)
{
	return r->next != MR_NONE && rec[r->next].sends ? r->next : MR_NONE;
}

/* @n bytes of the head frame, or all of it, are acknowledged cumulatively. */
void mr_scoreboard_acked(struct mr_tcp *t, struct mr_active *a, uint32_t frame, uint32_t n)
{
	struct mr_frame *rec = t->frames->record;
	struct mr_frame *r = &rec[frame];

	if (r->marks & MR_FRAME_LOST)
		a->lost -= n;
	if (r->marks & MR_FRAME_SACKED)
		a->sacked -= n;
	if (n < r->len)
		return;
	time_remove(rec, a, frame);
	if (r->marks & MR_FRAME_SACKED)
		a->n_sacked--;
	if (a->lost_next == frame)
		a->lost_next = next_sent(rec, r);
	if (a->sack_hint == frame)
		a->sack_hint = next_sent(rec, r);
}

/* @rest was cut off behind @frame and has its marks. */
void mr_scoreboard_split(struct mr_tcp *t, struct mr_active *a, uint32_t frame, uint32_t rest)
{
	struct mr_frame *rec = t->frames->record;

	rec[rest].marks = rec[frame].marks & (MR_FRAME_LOST | MR_FRAME_APP_LIMITED);
	if (rec[frame].marks & MR_FRAME_TIMED)
		time_insert(rec, a, rest, frame);
}

/* All frames go at once. */
inline void mr_scoreboard_clear(struct mr_active *a)
{
	a->sacked = 0;
	a->n_sacked = 0;
	a->lost = 0;
	a->lost_next = MR_NONE;
	a->sack_hint = MR_NONE;
	a->time_head = MR_NONE;
	a->time_tail = MR_NONE;
}

/* RFC 6675 4, "pipe": bytes of text that are on their way. A FIN of its own does not count. */
uint32_t mr_tcp_pipe(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t end = c->tx_next == MR_NONE ? mr_tcp_queue_end(c) : mr_tcp_send_point(t, c);

	return end - c->snd_una - (a ? a->sacked + a->lost : 0);
}

/* ----- walks ----- */

/* The frame behind the run of SACKED frames that @i is in; remembers where the run ends. */
static uint32_t behind_run(struct mr_frame *rec, uint32_t i)
{
	uint32_t last = rec[i].time_next;
	uint32_t next;

	for (;;) {
		next = rec[last].next;
		if (next == MR_NONE || !(rec[next].marks & MR_FRAME_SACKED))
			break;
		last = rec[next].time_next;
	}
	rec[i].time_next = last;
	return next;
}

/* RFC 6675 4, NextSeg (1): the first frame to be sent again; MR_NONE: none is. */
uint32_t mr_scoreboard_next_lost(struct mr_tcp *t, struct mr_active *a)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t i = a->lost ? a->lost_next : MR_NONE;

	while (i != MR_NONE && !(rec[i].marks & MR_FRAME_LOST))
		i = rec[i].marks & MR_FRAME_SACKED ? behind_run(rec, i) : rec[i].next;
	a->lost_next = i;
	return i;
}

/*
 * RFC 6675 4, IsLost: where RACK has no sample: more than DupThresh - 1 segments that the peer has
 * lie above.
 */
void mr_scoreboard_lose_by_count(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	const struct mr_frame *rec = t->frames->record;
	uint32_t above = a->sacked;

	for (uint32_t i = c->tx_head; i != c->tx_next && above > (MR_DUPACKS - 1u) * c->snd_mss;
	     i = rec[i].next) {
		if (rec[i].marks & MR_FRAME_SACKED)
			above -= rec[i].len;
		else if (rec[i].sends == 1)
			mr_scoreboard_lose(t, a, i);
	}
}

/* ----- blocks that arrive ----- */

static bool is_within(const struct mr_block *b, uint32_t left, uint32_t right)
{
	return mr_seq_le(left, b->left) && mr_seq_le(b->right, right);
}

static void mark(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t i,
		 struct mr_delivery *d)
{
	struct mr_frame *rec = t->frames->record;
	struct mr_frame *r = &rec[i];

	unmark_lost(a, r);
	time_remove(rec, a, i);
	r->marks |= MR_FRAME_SACKED;
	r->time_next = i; /* a run of its own, until behind_run() joins it */
	a->sacked += r->len;
	a->n_sacked++;
	d->sacked = true;
	mr_frame_delivered(t, c, a, r, d);
}

/* Mark what [left, right) covers. Keeps its place in @steps' bound: the next ACK goes on there. */
static void mark_block(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		       const struct mr_block *b, struct mr_delivery *d, uint32_t *steps)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t i = a->sack_hint;

	if (i == MR_NONE || mr_seq_lt(b->left, rec[i].seq))
		i = c->tx_head;
	while (i != c->tx_next && mr_seq_lt(rec[i].seq, b->right) && *steps) {
		struct mr_frame *r = &rec[i];

		if (mr_seq_le(r->seq, b->left))
			a->sack_hint = i;
		if (r->marks & MR_FRAME_SACKED) {
			i = behind_run(rec, i);
			--*steps;
			continue;
		}
		if (mr_seq_le(b->left, r->seq) && mr_seq_le(r->seq + r->len, b->right))
			mark(t, c, a, i, d);
		else
			--*steps;
		i = r->next;
	}
}

/* Did the last ACK say the same, or more? */
static bool was_seen(const struct mr_active *a, const struct mr_block *b)
{
	for (int i = 0; i < 4; i++)
		if (a->sack_seen[i].left != a->sack_seen[i].right &&
		    is_within(b, a->sack_seen[i].left, a->sack_seen[i].right))
			return true;
	return false;
}

/* RFC 2883 4: the first block is below the cumulative acknowledgment, or within the second. */
static bool is_dsack(const struct mr_conn *c, const struct mr_segment *seg,
		     const struct mr_block *b)
{
	if (mr_seq_lt(b->left, seg->ack))
		return mr_seq_le(b->right, seg->ack) && mr_seq_lt(b->left, b->right) &&
		       seg->ack - b->left <= 2 * c->max_snd_wnd;
	return seg->options.n_sack > 1 &&
	       is_within(b, seg->options.sack[1].left, seg->options.sack[1].right);
}

/* Only text that was sent and not acknowledged can be. */
static bool is_valid(const struct mr_conn *c, const struct mr_segment *seg,
		     const struct mr_block *b)
{
	return mr_seq_lt(b->left, b->right) && mr_seq_le(seg->ack, b->left) &&
	       mr_seq_le(b->right, c->snd_nxt) && mr_seq_le(c->snd_una, b->left);
}

void mr_scoreboard_arrives(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			   const struct mr_segment *seg, struct mr_delivery *d)
{
	struct mr_block seen[4] = { 0 };
	uint32_t steps = STEPS;

	t->stats->sacks_in++;
	for (int i = 0; i < seg->options.n_sack; i++) {
		struct mr_block b = { seg->options.sack[i].left, seg->options.sack[i].right };

		if (!i && is_dsack(c, seg, &b)) {
			t->stats->dsacks_in++;
			d->has_dsack = true;
			d->dsack = b;
			continue;
		}
		if (!is_valid(c, seg, &b))
			continue;
		if (!was_seen(a, &b))
			mark_block(t, c, a, &b, d, &steps);
		if (steps)
			seen[i] = b;
	}
	memcpy(a->sack_seen, seen, sizeof(seen));
}
