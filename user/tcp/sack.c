/* SPDX-License-Identifier: MIT */
/*
 * Selective acknowledgments that we send (RFC 2018 3, 4): up to four runs of what came out of
 * order, the one received last first; and duplicates, each reported once in front (RFC 2883).
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

/* Keep what is not @run and not before rcv_nxt, in its order, behind @n blocks. */
static uint8_t keep_others(struct mr_active *a, const struct mr_block *run, struct mr_block *out,
			   uint8_t n)
{
	for (uint8_t i = 0; i < a->n_gap && n < BLOCKS; i++)
		if (!touches(&a->gap[i], run))
			out[n++] = a->gap[i];
	return n;
}

/*
 * RFC 2018 4: "The first SACK block MUST specify the contiguous block of data containing the
 * segment which triggered this ACK", then those reported before, the most recent first.
 */
void mr_sack_gap(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right)
{
	struct mr_active *a = mr_active_of(t, c);
	struct mr_block out[BLOCKS] = { { left, right } };
	uint8_t n = keep_others(a, &out[0], out, 1);

	memcpy(a->gap, out, sizeof(out));
	a->n_gap = n;
}

/* rcv_nxt moved on: what lies below is acknowledged cumulatively. */
void mr_sack_advance(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	uint8_t n = 0;

	if (!a || !a->n_gap)
		return;
	for (uint8_t i = 0; i < a->n_gap; i++)
		if (mr_seq_lt(c->rcv_nxt, a->gap[i].left))
			a->gap[n++] = a->gap[i];
	a->n_gap = c->ooo_head == MR_NONE ? 0 : n;
}

/* RFC 2018 8: the data receiver reneges: nothing from @edge on is reported any more. */
void mr_sack_renege(struct mr_tcp *t, struct mr_conn *c, uint32_t edge)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	uint8_t n = 0;

	if (!a)
		return;
	for (uint8_t i = 0; i < a->n_gap; i++) {
		struct mr_block b = a->gap[i];

		if (mr_seq_lt(edge, b.right))
			b.right = edge;
		if (mr_seq_lt(b.left, b.right))
			a->gap[n++] = b;
	}
	a->n_gap = n;
}

/* RFC 2883 4: [left, right) came again. The first duplicate since the last ACK is the one told. */
void mr_sack_duplicate(struct mr_tcp *t, struct mr_conn *c, uint32_t left, uint32_t right)
{
	struct mr_active *a;

	if (!(c->flags & MR_CONN_SACK) || !mr_seq_lt(left, right))
		return;
	a = mr_active_of(t, c);
	if (a->dsack.left == a->dsack.right)
		a->dsack = (struct mr_block){ left, right };
}

static void put(struct mr_segment_out *out, const struct mr_block *b)
{
	out->options.sack[out->options.n_sack].left = b->left;
	out->options.sack[out->options.n_sack].right = b->right;
	out->options.n_sack++;
}

/*
 * Blocks that fit beside timestamps and beside @len bytes of text; a segment that is full takes
 * none. Returns whether all is told that an ACK owes.
 */
bool mr_sack_fill(const struct mr_conn *c, const struct mr_active *a, uint32_t len,
		  struct mr_segment_out *out)
{
	uint32_t room = MR_TCP_OPTIONS_MAX - KIND_BYTES;
	bool dsack = a->dsack.left != a->dsack.right;

	if (!a->n_gap && !dsack)
		return true;
	if (len + KIND_BYTES + BLOCK_BYTES * (a->n_gap + 1u) > c->snd_mss && len)
		return false;
	room -= out->options.has_timestamps ? MR_TS_OPTION_BYTES : 0;
	room /= BLOCK_BYTES;
	if (dsack)
		put(out, &a->dsack);
	for (uint8_t i = 0; i < a->n_gap && out->options.n_sack < room; i++)
		put(out, &a->gap[i]);
	return true;
}
