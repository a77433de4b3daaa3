/* SPDX-License-Identifier: MIT */
/*
 * Frames in, stage by stage over a batch, so that the misses of each stage overlap: check all,
 * look up all, then run TCP in the order of arrival.
 */
#include "user/lane/arrival.h"

static void parse(struct mr_lane *l, struct arrival *a)
{
	a->kind = mr_plain_parse(arrival_bytes(l, a), a->len, a->tcp, a->text, &a->seg, &a->icmp,
				 &a->drop);
	if (a->kind == MR_KIND_TCP) {
		struct mr_frame *r = &l->frames.record[a->frame];

		r->offset = (uint16_t)(a->offset + a->seg.payload);
		r->len = a->seg.len;
		r->seq = a->seg.seq + !!(a->seg.flags & MR_SYN);
		if (!a->tcp || a->known) /* else check() had it */
			a->hash = lane_hash(l, &a->seg.tuple);
	} else if (a->kind == MR_KIND_ICMP) {
		a->hash = lane_hash(l, &a->icmp.tuple);
	}
}

/* The hash that lane_hash() has for the tuple of a plain frame. */
static inline uint64_t plain_hash(const struct mr_lane *l, const uint8_t *f, uint32_t tcp)
{
	struct mr_be16 remote, local;
	struct mr_tuple tuple;

	memcpy(&remote, f + tcp, sizeof(remote));
	memcpy(&local, f + tcp + 2, sizeof(local));
	if (tcp == MR_PLAIN_IPV4)
		return lane_hash_ipv4(l, f + MR_PLAIN_IP + 12, f + MR_PLAIN_IP + 16, remote, local);
	memcpy(tuple.remote, f + MR_PLAIN_IP + 8, 16);
	memcpy(tuple.local, f + MR_PLAIN_IP + 24, 16);
	tuple.remote_port = remote;
	tuple.local_port = local;
	return lane_hash(l, &tuple);
}

static inline uint64_t key_of(const uint8_t *f)
{
	return known_key(f + MR_PLAIN_IP + 12, f + MR_PLAIN_IPV4);
}

static inline bool is_known(struct mr_lane *l, struct arrival *a, const uint8_t *f)
{
	uint64_t key;
	const struct known_flow *k;

	if (a->tcp != MR_PLAIN_IPV4)
		return false;
	key = key_of(f);
	k = known_at(&l->known, key);
	a->guess = k->conn;
	return k->tag == known_tag(key);
}

/* Stage 1: headers. */
static inline void check(struct mr_lane *l, struct arrival *a)
{
	const uint8_t *f = arrival_bytes(l, a);

	a->tcp = mr_plain_check(f, a->len, &a->text);
	a->known = is_known(l, a, f);
	if (a->known)
		return;
	if (a->tcp) {
		a->hash = plain_hash(l, f, a->tcp);
		mr_table_prefetch(&l->table, a->hash);
		return;
	}
	parse(l, a);
	if (a->kind == MR_KIND_TCP)
		mr_table_prefetch(&l->table, a->hash);
}

/* Stage 2: the block that the segment most likely belongs to. */
static inline void guess(struct mr_lane *l, struct arrival *a)
{
	uint32_t entry;

	if (!a->known) {
		a->guess = MR_NONE;
		if (!a->tcp && a->kind != MR_KIND_TCP)
			return;
		entry = mr_table_guess(&l->table, a->hash);
		if (entry != MR_ENTRY_NONE && mr_entry_kind(entry) == MR_ENTRY_CONN)
			a->guess = mr_entry_index(entry);
	}
	if (a->guess != MR_NONE) {
		const char *block = (const char *)&l->conns[a->guess];

		__builtin_prefetch(block);
		__builtin_prefetch(block + 64);
		__builtin_prefetch(block + 128);
		__builtin_prefetch(block + 192);
	}
}

/* The table has said whose flow it is, which may be another block's than it was. */
static inline void know(struct mr_lane *l, const struct arrival *a)
{
	uint64_t key;

	if (a->guess == MR_NONE || a->tcp != MR_PLAIN_IPV4)
		return;
	key = key_of(arrival_bytes(l, a));
	*known_at(&l->known, key) = (struct known_flow){ known_tag(key), a->guess };
}

/* Stage 3: one frame through TCP. */
static inline void arrive(struct mr_lane *l, struct arrival *a)
{
	if (a->tcp) {
		l->n_texts += a->text != 0;
		if (a->guess != MR_NONE && lane_usual_arrives(l, a)) {
			if (!a->known)
				know(l, a);
			return;
		}
		parse(l, a);
	} else {
		l->n_texts += a->kind == MR_KIND_TCP && a->seg.len;
	}
	lane_dispatch(l, a, NULL);
	know(l, a);
}

/* A frame that did not come in a batch: handed over by another lane. */
void lane_frame_arrives(struct mr_lane *l, uint32_t frame, uint32_t offset, uint32_t len,
			const struct mr_mail *mail)
{
	struct arrival a = { .frame = frame, .offset = offset, .len = len };

	check(l, &a);
	if (a.tcp)
		parse(l, &a);
	lane_dispatch(l, &a, mail);
}

/*
 * It stays in state FILL until somebody keeps it or gives it back. Not in zero-copy mode, where a
 * worker that takes over from one that died believes of frames in that state, and in no ring, that
 * the driver has them.
 */
static inline void take_span(struct mr_lane *l, struct arrival *a, const struct mr_span *span)
{
	a->frame = mr_frame_of(&l->frames, span->addr);
	a->offset = (uint32_t)(span->addr & (l->frames.frame_bytes - 1));
	a->len = span->len;
	if (l->s.zero_copy)
		mr_frame_set_state(&l->frames, a->frame, MR_FRAME_HAND);
	l->stats->rx_bytes += span->len;
	__builtin_prefetch(l->frames.base + span->addr);
	__builtin_prefetch(l->frames.base + span->addr + 64);
}

unsigned int lane_receive(struct mr_lane *l)
{
	struct mr_span span[BATCH];
	struct arrival a[BATCH];
	uint32_t n = l->port->ops->receive(l->port, span, BATCH);

	for (uint32_t i = 0; i < n; i++)
		take_span(l, &a[i], &span[i]);
	for (uint32_t i = 0; i < n; i++)
		check(l, &a[i]);
	for (uint32_t i = 0; i < n; i++)
		guess(l, &a[i]);
	for (uint32_t i = 0; i < n; i++) {
		arrive(l, &a[i]);
		mr_port_done(l->port);
	}
	lane_run_answers(l);
	lane_hold(l, MR_NONE);
	l->stats->rx_frames += n;
	return n;
}

/*
 * Keep the fill ring full; but when frames are short, an eighth of all of them is enough there, and
 * the rest is left for sending. The last ones are for receiving again, down to a few that always
 * stand there: the ACKs of the peers are what frees frames.
 */
static uint32_t frames_to_post(const struct mr_lane *l)
{
	uint32_t room = l->port->ops->fill_room(l->port);
	uint64_t posted = l->frames.by_state[MR_FRAME_FILL] - (l->s.zero_copy ? 0 : l->n_recycled);
	uint32_t enough = l->frames.count / 8;

	if (l->frames.n_free > room + 2 * l->frames.reserve)
		return room;
	if (l->frames.n_free <= l->frames.reserve / 2)
		enough = l->frames.reserve / 4;
	if (posted >= enough || (posted && l->frames.n_free <= l->frames.reserve / 4))
		return 0; /* the last ones are for ACKs, probes and resets */
	return room < enough - posted ? room : (uint32_t)(enough - posted);
}

/* The frames of this batch that nobody kept: as many as are wanted go back as they are. */
static uint32_t post_recycled(struct mr_lane *l, uint32_t room)
{
	uint64_t addr[BATCH];
	uint32_t n = l->n_recycled < room ? l->n_recycled : room;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t frame = l->recycled[i];

		l->frames.record[frame].owner = MR_NONE;
		if (l->s.zero_copy)
			mr_frame_set_state(&l->frames, frame, MR_FRAME_FILL);
		addr[i] = mr_frame_addr(&l->frames, frame);
	}
	for (uint32_t i = n; i < l->n_recycled; i++)
		mr_frame_give(&l->frames, l->recycled[i]);
	l->n_recycled = 0;
	if (n)
		l->port->ops->fill(l->port, addr, n);
	return room - n;
}

void lane_refill(struct mr_lane *l)
{
	uint64_t addr[BATCH];
	uint32_t room = post_recycled(l, frames_to_post(l));

	while (room) {
		uint32_t n = room < BATCH ? room : BATCH;
		uint32_t i;

		for (i = 0; i < n; i++) {
			uint32_t frame = mr_frame_take(&l->frames, MR_FRAME_FILL, true);

			if (frame == MR_NONE)
				break;
			addr[i] = mr_frame_addr(&l->frames, frame);
		}
		if (i)
			l->port->ops->fill(l->port, addr, i);
		if (i < n) {
			l->stats->fill_empty++;
			return;
		}
		room -= n;
	}
}
