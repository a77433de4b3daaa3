/* SPDX-License-Identifier: MIT */
/*
 * Selective acknowledgments that we send (RFC 2018 3, 4): runs of what came out of order, the one
 * received last first; and duplicates, each reported once in front (RFC 2883). One ACK answers a
 * burst, and names up to four runs: what a burst changed beyond that is told in ACKs before it.
 */
#include "user/tcp/internal.h"

#include <string.h>

enum {
	BLOCKS = 4, /* that an option can hold */
	BLOCK_BYTES = 8,
	KIND_BYTES = 4, /* NOP NOP kind length */
};

static bool touches(const struct mr_block *a, const struct mr_block *b)
{
	return mr_seq_le(a->left, b->right) && mr_seq_le(b->left, a->right);
}

/*
 * RFC 2018 4: "The first SACK block MUST specify the contiguous block of data containing the
 * segment which triggered this ACK", then those reported before, the most recent first.
 */
void mr_sack_gap(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right)
{
	struct mr_active *a = mr_active_of(t, c);
	const struct mr_block run = { left, right };
	struct mr_block moved = run;
	uint8_t n = 0, n_untold = 1;

	for (uint8_t i = 0; i < a->n_gap; i++) {
		struct mr_block b = a->gap[i];

		if (touches(&b, &run))
			continue;
		a->gap[n++] = moved;
		moved = b;
		n_untold += i < a->n_untold;
	}
	if (n < MR_SACK_RUNS)
		a->gap[n++] = moved;
	a->n_gap = n;
	a->n_untold = n_untold < n ? n_untold : n;
}

/* Keep those of the blocks that lie in (@left, @right), and of the others what does. */
static void keep_between(struct mr_active *a, uint32_t left, uint32_t right)
{
	uint8_t n = 0, n_untold = 0;

	for (uint8_t i = 0; i < a->n_gap; i++) {
		struct mr_block b = a->gap[i];

		if (mr_seq_lt(right, b.right))
			b.right = right;
		if (!mr_seq_lt(left, b.left) || !mr_seq_lt(b.left, b.right))
			continue;
		a->gap[n++] = b;
		n_untold += i < a->n_untold;
	}
	a->n_gap = n;
	a->n_untold = n_untold;
}

/* rcv_nxt moved on: what lies below is acknowledged cumulatively. */
void mr_sack_advance(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a || !a->n_gap)
		return;
	if (c->ooo_head == MR_NONE) {
		a->n_gap = 0;
		a->n_untold = 0;
		return;
	}
	keep_between(a, c->rcv_nxt, c->rcv_nxt + (1u << 31) - 1);
}

/* RFC 2018 8: the data receiver reneges: nothing from @edge on is reported any more. */
void mr_sack_renege(struct mr_tcp *t, struct mr_conn *c, uint32_t edge)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (a)
		keep_between(a, c->rcv_nxt, edge);
}

/* RFC 2883 4: [left, right) came again. The first duplicate since the last ACK is the one told. */
void mr_sack_duplicate(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right)
{
	struct mr_active *a;

	if (!(c->flags & MR_CONN_SACK) || !mr_seq_lt(left, right))
		return;
	a = mr_active_of(t, c);
	mr_accurate_duplicate(&a->accurate, left, right);
	if (a->dsack.left == a->dsack.right)
		a->dsack = (struct mr_block){ left, right };
}

static void put(struct mr_segment_out *out, const struct mr_block *b)
{
	out->options.sack[out->options.n_sack].left = b->left;
	out->options.sack[out->options.n_sack].right = b->right;
	out->options.n_sack++;
}

/* Blocks that fit beside timestamps. */
static uint8_t room_for_blocks(const struct mr_conn *c)
{
	uint32_t room = MR_TCP_OPTIONS_MAX - KIND_BYTES;

	room -= c->flags & MR_CONN_TIMESTAMPS ? MR_TS_OPTION_BYTES : 0;
	return (uint8_t)(room / BLOCK_BYTES);
}

/*
 * Blocks that fit beside timestamps and beside @len bytes of text; a segment that is full takes
 * none, nor one that would not tell all of a burst. Returns whether all is told that an ACK owes.
 */
bool mr_sack_fill(const struct mr_conn *c, const struct mr_active *a, uint32_t len,
		  struct mr_segment_out *out)
{
	bool dsack = a->dsack.left != a->dsack.right;
	uint8_t room;

	if (!a->n_gap && !dsack)
		return true;
	room = room_for_blocks(c);
	if (a->n_untold + dsack > room)
		return false; /* see mr_sack_older() */
	if (len + KIND_BYTES + BLOCK_BYTES * (min_u32(a->n_gap, BLOCKS) + 1u) > c->snd_mss && len)
		return false;
	if (dsack)
		put(out, &a->dsack);
	for (uint8_t i = 0; i < a->n_gap && out->options.n_sack < room; i++)
		put(out, &a->gap[i]);
	return true;
}

/*
 * Are there more blocks to be told of than an ACK has room for? Then those that changed first, as
 * an ACK of their segments would have told them; a peer that hears of the others alone sends again
 * what arrived. There are never more such ACKs than segments that came. Returns the first block of
 * the next one, which is how many are left untold when it has left; a->n_untold: the ACK itself has
 * room for all.
 */
uint8_t mr_sack_older(const struct mr_conn *c, const struct mr_active *a)
{
	uint8_t room = room_for_blocks(c);
	uint8_t newest = room - (a->dsack.left != a->dsack.right);

	if (a->n_untold <= newest)
		return a->n_untold;
	return newest + (a->n_untold - newest - 1) / room * room;
}

/* The ACK that mr_sack_older() asks for: blocks from @from on. */
void mr_sack_fill_older(const struct mr_active *a, uint8_t from, struct mr_segment_out *out)
{
	for (uint8_t i = from; i < a->n_untold; i++)
		put(out, &a->gap[i]);
}
