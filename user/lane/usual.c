/* SPDX-License-Identifier: MIT */
/*
 * The short way of the usual frame: of the plain shape, for a connection that waits for just this
 * segment and whose application waits for its text. It is read where it lies, without a queue; its
 * frame goes back to the fill ring without having been anything else; and the connection gets its
 * turn to send behind all frames of the batch. Whatever is unusual goes the long way (demux.c,
 * ready.c), to the same end.
 */
#include "user/lane/arrival.h"

enum {
	UNREADY = LANE_NOT_READING | MR_CONN_IN_ACCEPT | MR_CONN_READY,
	ROOM = 2 * BATCH, /* in the transmit ring, so that nobody who waits for it is overtaken */
};

/*
 * Has the block this frame's addresses and ports? Then they are good ones, too: but for mapped ones
 * on IPv6, which stand for IPv4 in a block and for nobody on the wire.
 */
static inline bool is_of(const struct mr_conn *c, const uint8_t *f, uint32_t tcp)
{
	const uint32_t ports = load_u32(f + tcp);

	if (load_u32((const uint8_t *)&c->local_port) != (ports << 16 | ports >> 16))
		return false;
	if (tcp == MR_PLAIN_IPV4)
		return load_u32(c->remote + 12) == load_u32(f + MR_PLAIN_IP + 12) &&
		       load_u32(c->local + 12) == load_u32(f + MR_PLAIN_IP + 16) &&
		       mr_is_ipv4(c->remote);
	return !mr_is_ipv4(c->remote) &&
	       __builtin_memcmp(c->remote, f + MR_PLAIN_IP + 8, 16) == 0 &&
	       __builtin_memcmp(c->local, f + MR_PLAIN_IP + 24, 16) == 0;
}

/* What arrives in order says where answers go. */
static inline void learn_path(struct mr_conn *c, const uint8_t *f)
{
	if (__builtin_memcmp(c->peer_mac, f + 6, sizeof(c->peer_mac)) != 0)
		__builtin_memcpy(c->peer_mac, f + 6, sizeof(c->peer_mac));
	c->vlan[0] = 0;
	c->vlan[1] = 0;
}

/* Would the application be offered this text now, nothing before it, and nobody else first? */
static inline bool may_read(const struct mr_lane *l, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&l->actives, c);

	return (c->flags & (UNREADY | MR_CONN_OPENED)) == MR_CONN_OPENED && c->session == MR_NONE &&
	       !(a && a->urgent) && l->tx_room >= ROOM;
}

/* The text is read at once. Meanwhile nothing puts the connection on the list: see below. */
static inline void read_text(struct mr_lane *l, struct mr_conn *c, const struct mr_segment *seg,
			     uint32_t frame)
{
	l->frames.record[frame].owner = conn_index(l, c);
	mr_tcp_hold_expected(&l->tcp, c, seg, frame);
	if (lane_read_held(l, c, frame))
		l->recycled[l->n_recycled++] = frame;
	if (c->tx_next == MR_NONE) /* else what was answered tells it, see lane_run_answers() */
		mr_tcp_owe_expected(&l->tcp, c);
	c->flags &= ~MR_CONN_READY;
	l->answers[l->n_answers++] = conn_index(l, c);
}

static inline void queue_text(struct mr_lane *l, struct mr_conn *c, const struct mr_segment *seg,
			      uint32_t frame)
{
	if (mr_tcp_queue_expected(&l->tcp, c, seg, frame))
		l->frames.record[frame].owner = conn_index(l, c);
	else
		mr_frame_give(&l->frames, frame);
}

/* False: nothing happened, but that @a->seg is parsed when the connection was the right one. */
bool lane_usual_arrives(struct mr_lane *l, struct arrival *a)
{
	struct mr_conn *c = &l->conns[a->guess];
	const uint8_t *f = arrival_bytes(l, a);
	struct mr_frame *r = &l->frames.record[a->frame];
	bool at_once;

	if (!is_of(c, f, a->tcp))
		return false;
	mr_plain_read(f + a->tcp, a->text, &a->seg);
	lane_hold(l, a->guess);
	at_once = a->text && may_read(l, c);
	if (at_once)
		c->flags |= MR_CONN_READY;
	if (!mr_tcp_expected(&l->tcp, c, &a->seg)) {
		c->flags &= ~(at_once ? MR_CONN_READY : 0u);
		return false;
	}
	learn_path(c, f);
	r->offset = (uint16_t)(a->offset + a->tcp + MR_PLAIN_TCP_BYTES);
	r->len = (uint16_t)a->text;
	r->seq = a->seg.seq;
	if (at_once)
		read_text(l, c, &a->seg, a->frame);
	else if (a->text)
		queue_text(l, c, &a->seg, a->frame);
	else
		l->recycled[l->n_recycled++] = a->frame;
	return true;
}
