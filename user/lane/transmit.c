/* SPDX-License-Identifier: MIT */
/*
 * Frames out: what TCP wants sent is collected and given to the port in batches; completions
 * bring the frames back.
 */
#include "user/lane/internal.h"

#include <string.h>

void lane_transmit_begin(struct mr_lane *l)
{
	/* what was sent between turns (an answer of the daemon opened a connection) still waits */
	l->tx_room = l->port->ops->transmit_room(l->port) - l->hand->n_out;
}

/*
 * A worker that takes over hands over what stands in the batch, unless the ring's index has moved
 * on from where it was: therefore the batch is empty before the index is noted.
 */
void lane_transmit_flush(struct mr_lane *l)
{
	struct mr_hand *h = l->hand;
	uint32_t n = h->n_out;
	uint32_t taken;

	if (!n)
		return;
	if (__builtin_expect(l->sent_until_ns != 0, 0))
		lane_sent_copy(l, h->out, n);
	taken = l->port->ops->transmit(l->port, h->out, n);
	lane_hold_in(&h->n_out, 0);
	lane_hold_in(&h->tx_index, *l->port->tx_index);
	for (uint32_t i = taken; i < n; i++) { /* cannot be: room was asked first */
		l->stats->tx_ring_full++;
		mr_frame_completed(&l->frames, mr_frame_of(&l->frames, h->out[i].addr));
	}
}

/* The frame's headers are written: @len bytes go out, up to the @end of its payload. */
static inline void put_out(struct mr_lane *l, struct mr_frame *r, const uint8_t *end, uint32_t len)
{
	struct mr_hand *h = l->hand;
	uint32_t n = h->n_out;

	r->in_tx = 1;
	h->out[n].addr = (uint64_t)(end - l->frames.base) - len;
	h->out[n].len = len;
	h->out[n].options = 0;
	lane_hold_in(&h->n_out, n + 1);
	l->tx_room--;
	l->stats->tx_frames++;
	l->stats->tx_bytes += len;
	if (n + 1 == BATCH)
		lane_transmit_flush(l);
}

/* Write the headers in front of the frame's payload and put it into the batch. */
static void push(struct mr_lane *l, uint32_t frame, const struct mr_tuple *tuple,
		 struct mr_link *link, const struct mr_segment_out *out)
{
	struct mr_frame *r = &l->frames.record[frame];
	uint8_t *payload = mr_frame_payload(&l->frames, frame);
	size_t headers;

	memcpy(link->own_mac, l->mac, sizeof(link->own_mac));
	headers = mr_segment_push(payload, r->len, tuple, link, out, l->ip_id++);
	put_out(l, r, payload + r->len, (uint32_t)(headers + r->len));
}

/* A frame for a segment that nobody keeps: free at its completion. */
static uint32_t control_frame(struct mr_lane *l, const uint8_t *data, uint32_t len)
{
	uint32_t frame;

	if (!l->tx_room) {
		l->stats->tx_ring_full++;
		return MR_NONE;
	}
	frame = mr_frame_take(&l->frames, MR_FRAME_CTL, true);
	if (frame == MR_NONE) {
		l->stats->drop.no_frame++;
		return MR_NONE;
	}
	if (len)
		memcpy(mr_frame_payload(&l->frames, frame), data, len);
	l->frames.record[frame].len = (uint16_t)len;
	return frame;
}

static bool op_copy(struct mr_tcp *t, struct mr_conn *c, const uint8_t *data, uint32_t len,
		    const struct mr_segment_out *out)
{
	struct mr_lane *l = lane_of(t);
	struct mr_link link = mr_conn_link(c);
	uint32_t frame = control_frame(l, data, len);

	if (frame == MR_NONE)
		return false;
	push(l, frame, mr_conn_tuple(c), &link, out);
	return true;
}

static bool op_transmit(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
			const struct mr_segment_out *out)
{
	struct mr_lane *l = lane_of(t);
	struct mr_link link = mr_conn_link(c);

	if (frame == MR_NONE)
		return op_copy(t, c, NULL, 0, out);
	if (!l->tx_room) {
		l->stats->tx_ring_full++;
		return false;
	}
	push(l, frame, mr_conn_tuple(c), &link, out);
	return true;
}

/* With tags, or without room. */
static __attribute__((noinline)) bool answer_any(struct mr_tcp *t, struct mr_conn *c,
						 uint32_t frame, const struct mr_plain_out *out)
{
	struct mr_segment_out any = mr_plain_segment(out);

	return op_transmit(t, c, frame, &any);
}

static bool op_answer(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
		      const struct mr_plain_out *out)
{
	struct mr_lane *l = lane_of(t);
	struct mr_frame *r = &l->frames.record[frame];
	uint8_t *payload = mr_frame_payload(&l->frames, frame);
	size_t headers, len;

	if (!l->tx_room || c->vlan[0] | c->vlan[1])
		return answer_any(t, c, frame, out);
	len = r->len;
	headers =
		mr_plain_push(payload, len, mr_conn_tuple(c), c->peer_mac, l->mac, out, l->ip_id++);
	put_out(l, r, payload + len, (uint32_t)(headers + len));
	return true;
}

static void op_reply(struct mr_tcp *t, const struct mr_tuple *tuple, const struct mr_link *link,
		     const struct mr_segment_out *out)
{
	struct mr_lane *l = lane_of(t);
	struct mr_link to = *link;
	uint32_t frame = control_frame(l, NULL, 0);

	if (frame != MR_NONE)
		push(l, frame, tuple, &to, out);
}

static void op_ready(struct mr_tcp *t, struct mr_conn *c)
{
	lane_ready(lane_of(t), c);
}

static void op_armed(struct mr_tcp *t, struct mr_conn *c)
{
	lane_arm(lane_of(t), c);
}

const struct mr_tcp_ops lane_tcp_ops = {
	.transmit = op_transmit,
	.answer = op_answer,
	.copy = op_copy,
	.reply = op_reply,
	.ready = op_ready,
	.armed = op_armed,
	.event = lane_conn_event,
};

/*
 * The turn's end: hand over, and kick until the kernel has taken it. When it takes no more for now
 * (a link that is down takes nothing), the lane looks again soon, but does not spin. Returns
 * whether it was kicked.
 */
bool lane_transmit_end(struct mr_lane *l)
{
	l->tx_refused = false;
	lane_transmit_flush(l);
	if (!l->port->ops->needs_kick(l->port))
		return false;
	l->stats->tx_kicks += l->port->ops->kick(l->port, &l->tx_refused);
	return true;
}

uint32_t lane_complete(struct mr_lane *l)
{
	uint64_t addr[BATCH];
	uint32_t done = 0;
	uint32_t n;

	do {
		n = l->port->ops->complete(l->port, addr, BATCH);
		for (uint32_t i = 0; i < n; i++)
			mr_frame_completed(&l->frames, mr_frame_of(&l->frames, addr[i]));
		done += n;
	} while (n == BATCH);
	return done;
}
