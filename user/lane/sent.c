/* SPDX-License-Identifier: MIT */
/*
 * Copies of frames on their way out, for who captures (shared/mr_sent.h). Off, a batch pays one
 * load and one branch for it. On, a frame costs its copy and a look at whose it is; nothing here
 * waits, and no frame is held back or lost for it.
 */
#include "user/lane/internal.h"

#include <string.h>

#include "shared/mr_sent.h"

static void set_conn(const struct mr_lane *l, struct mr_sent_frame *head, uint32_t i)
{
	head->conn = i;
	head->generation = l->conns[i].generation;
	head->rule = l->conns[i].rule;
}

/* A segment without text belongs to whom its addresses say. */
static void find_conn(struct mr_lane *l, struct mr_sent_frame *head, const uint8_t *frame)
{
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	struct mr_tuple ours;
	uint32_t entry;
	int drop;

	if (mr_frame_parse(frame, head->frame_bytes, &seg, &icmp, &drop) != MR_KIND_TCP)
		return;
	memcpy(ours.local, seg.tuple.remote, sizeof(ours.local)); /* it is read as one that came */
	memcpy(ours.remote, seg.tuple.local, sizeof(ours.remote));
	ours.local_port = seg.tuple.remote_port;
	ours.remote_port = seg.tuple.local_port;
	entry = mr_table_find(&l->table, lane_hash(l, &ours), &ours);
	if (entry == MR_ENTRY_NONE)
		return;
	if (mr_entry_kind(entry) == MR_ENTRY_CONN)
		set_conn(l, head, mr_entry_index(entry));
	else if (mr_entry_kind(entry) == MR_ENTRY_HALF)
		head->rule = l->halves[mr_entry_index(entry)].rule;
}

/* Where the next record stands; what is left of a block that is too short is marked. */
static uint64_t place(struct mr_sent *s, uint32_t bytes)
{
	static const struct mr_sent_frame nothing;
	uint64_t at = s->head, left = MR_SENT_BLOCK - at % MR_SENT_BLOCK;
	bool passed = bytes > left;
	uint64_t begin = passed ? at + left : at;

	__atomic_store_n(&s->writing, begin + bytes, __ATOMIC_RELAXED);
	/* Before every store that follows; pairs with the reader's fence behind its copy. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (passed && left >= sizeof(nothing))
		memcpy(s->ring + at % MR_SENT_BYTES, &nothing, sizeof(nothing));
	return begin;
}

static void copy_frame(struct mr_lane *l, const struct mr_span *span, uint64_t now_ns)
{
	const uint8_t *frame = l->frames.base + span->addr;
	uint32_t owner = l->frames.record[mr_frame_of(&l->frames, span->addr)].owner;
	struct mr_sent_frame head = {
		.time_ns = now_ns,
		.number = ++l->sent->frames,
		.copied = span->len < l->sent_copy ? span->len : l->sent_copy,
		.frame_bytes = span->len,
		.conn = (uint32_t)MR_SENT_NONE,
		.rule = (uint32_t)MR_SENT_NONE,
	};
	uint64_t at;

	if (owner < l->n_conns)
		set_conn(l, &head, owner);
	else
		find_conn(l, &head, frame);
	head.bytes = (uint32_t)(sizeof(head) + head.copied + 7) & ~7u;
	at = place(l->sent, head.bytes);
	memcpy(l->sent->ring + at % MR_SENT_BYTES, &head, sizeof(head));
	memcpy(l->sent->ring + at % MR_SENT_BYTES + sizeof(head), frame, head.copied);
	/* Release: the record is whole; pairs with the reader's acquire. */
	__atomic_store_n(&l->sent->head, at + head.bytes, __ATOMIC_RELEASE);
}

void lane_sent_copy(struct mr_lane *l, const struct mr_span *spans, uint32_t n)
{
	uint64_t now_ns = l->s.clock_ns(l->s.clock_arg);

	if (now_ns >= l->sent_until_ns) {
		l->sent_until_ns = 0;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		copy_frame(l, &spans[i], now_ns);
}

void mr_lane_capture(struct mr_lane *l, uint64_t until_ns, uint32_t copy_bytes)
{
	if (!l->sent)
		return;
	/* What an earlier worker left, or anybody: a position is a multiple of eight. */
	l->sent->head &= ~7ull;
	l->sent_copy = copy_bytes < MR_SENT_COPY_MOST ? copy_bytes : MR_SENT_COPY_MOST;
	l->sent_until_ns = until_ns;
}
