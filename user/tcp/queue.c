/* SPDX-License-Identifier: MIT */
/*
 * The send queue: a list of frames from snd_una on, each with its own sequence number.
 *
 *	tx_head ... tx_next ... tx_tail
 *	 sent        not sent
 *
 * A frame is its own retransmit copy: it stays here until it is acknowledged. The tail frame takes
 * more bytes while it was never sent and the kernel does not hold it.
 */
#include "user/tcp/internal.h"

#include <errno.h>
#include <string.h>

enum {
	MESSAGE_SHARE = 9, /* of all frames: more than that one connection never gets */
};

/* Sequence number behind the last queued byte; a FIN stands there. */
uint32_t mr_tcp_queue_end(const struct mr_conn *c)
{
	return c->snd_una + c->tx_bytes;
}

/* Sequence number of the next new byte: behind snd_nxt when that byte went as a window probe. */
uint32_t mr_tcp_send_point(const struct mr_tcp *t, const struct mr_conn *c)
{
	if (c->tx_next != MR_NONE)
		return t->frames->record[c->tx_next].seq;
	return mr_seq_lt(c->snd_nxt, mr_tcp_queue_end(c)) ? mr_tcp_queue_end(c) : c->snd_nxt;
}

uint32_t mr_conn_flight(const struct mr_tcp *t, const struct mr_conn *c)
{
	return mr_tcp_send_point(t, c) - c->snd_una;
}

void mr_tcp_drop_sent(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (a)
		mr_scoreboard_clear(a);
	mr_frame_give_list(t->frames, c->tx_head);
	c->tx_head = MR_NONE;
	c->tx_next = MR_NONE;
	c->tx_tail = MR_NONE;
	c->tx_bytes = 0;
}

static void drop_head(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t head = c->tx_head;
	uint32_t next = t->frames->record[head].next;

	if (c->tx_next == head)
		c->tx_next = next;
	if (c->tx_tail == head)
		c->tx_tail = MR_NONE;
	c->tx_head = next;
	mr_frame_give(t->frames, head);
}

/* Take @n acknowledged bytes off the head frame's record. The kernel may still hold the frame. */
static void trim_head(struct mr_tcp *t, struct mr_conn *c, uint32_t n)
{
	struct mr_frame *r = &t->frames->record[c->tx_head];

	r->seq += n;
	r->offset = (uint16_t)(r->offset + n);
	r->len = (uint16_t)(r->len - n);
}

/* The first @n bytes of the head frame are acknowledged; what was SACKED counted before. */
static void deliver_head(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t n,
			 struct mr_delivery *d)
{
	struct mr_frame *r = &t->frames->record[c->tx_head];

	if (!r->sends) /* acknowledged by a window probe alone */
		return;
	if (n == r->len && !(r->marks & MR_FRAME_SACKED))
		mr_frame_delivered(t, c, a, r, d);
	else if (!(r->marks & MR_FRAME_SACKED)) {
		d->delivered += n;
		if (mr_cc_of(c)->pacing_rate)
			mr_rate_frame_delivered(t, c, r, n);
	}
	mr_scoreboard_acked(t, a, c->tx_head, n);
}

/*
 * Everything before @ack was received: free it. snd_una < @ack <= snd_nxt.
 * Returns bytes of text that were acknowledged (SYN and FIN do not count).
 */
uint32_t mr_tcp_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t ack,
		      struct mr_delivery *d)
{
	uint32_t bytes = min_u32(ack - c->snd_una, c->tx_bytes);
	uint32_t left = bytes;

	while (left) {
		uint32_t len = t->frames->record[c->tx_head].len;

		deliver_head(t, c, a, min_u32(len, left), d);
		if (len > left) {
			trim_head(t, c, left);
			break;
		}
		left -= len;
		drop_head(t, c);
	}
	c->tx_bytes -= bytes;
	mr_conn_advance_una(c, ack);
	return bytes;
}

/*
 * Cut a frame behind its first @len bytes: the rest is copied into a new frame that follows it.
 * Windows and smaller segment sizes need it, rarely. False: no frame, nothing changed.
 */
bool mr_tcp_split(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t len)
{
	struct mr_frame *r = &t->frames->record[frame];
	uint32_t rest = mr_frame_take(t->frames, r->state, false);
	struct mr_frame *s;

	if (rest == MR_NONE)
		return false;
	s = &t->frames->record[rest];
	s->owner = r->owner;
	s->seq = r->seq + len;
	s->len = (uint16_t)(r->len - len);
	s->sends = r->sends;
	s->tcp_flags = r->tcp_flags;
	s->next = r->next;
	memcpy(mr_frame_payload(t->frames, rest), mr_frame_payload(t->frames, frame) + len, s->len);
	r->len = (uint16_t)len;
	r->tcp_flags = 0;
	r->next = rest;
	s->sent_us = r->sent_us;
	s->delivered = r->delivered;
	s->delivered_us = r->delivered_us;
	s->first_sent_us = r->first_sent_us;
	if (r->sends)
		mr_scoreboard_split(t, mr_active_of(t, c), frame, rest);
	if (c->tx_tail == frame)
		c->tx_tail = rest;
	return true;
}

/* The tail frame, if it may still take bytes. */
static uint32_t open_tail(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_frame *r;

	if (c->tx_tail == MR_NONE)
		return MR_NONE;
	r = &t->frames->record[c->tx_tail];
	if (r->state != MR_FRAME_TX || r->sends || r->in_tx || r->len >= c->snd_mss ||
	    r->tcp_flags & MR_PSH || (uint32_t)r->offset + r->len >= t->frames->frame_bytes)
		return MR_NONE;
	return c->tx_tail;
}

/*
 * Frames that one connection may take now: a share of what is free (dynamic thresholds, Choudhury
 * and Hahne 1998), so that no number of slow readers takes the last frame.
 */
static uint32_t frame_share(const struct mr_tcp *t)
{
	uint32_t n_free = t->frames->n_free;

	return n_free > t->frames->reserve ? (n_free - t->frames->reserve) / 4 : 0;
}

/*
 * Whoever has nothing queued gets a frame even when hogs took the rest, from half of the reserve;
 * an answer, which as a rule gives back the frame that asked for it, also where the fill ring takes
 * no more (lane_refill()). The last eighth, where no text is kept either, is for ACKs, probes and
 * resets: a peer may leave the beginning of a message behind each that is answered, so that the
 * frame does not come back.
 */
static bool may_take_reserve(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint32_t floor = c->rx_bytes ? t->frames->reserve / 8 : t->frames->reserve / 2;

	return !c->tx_bytes && t->frames->n_free > floor;
}

uint32_t mr_tcp_send_room(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint32_t limit = t->config->send_buffer;

	uint32_t share = frame_share(t);

	if (c->flags & MR_CONN_FIN_QUEUED || c->tx_bytes >= limit)
		return 0;
	if (!share && may_take_reserve(t, c))
		share = 1;
	return min_u32(limit - c->tx_bytes, share * c->snd_mss);
}

static uint32_t append_frame(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t i = mr_frame_take(t->frames, MR_FRAME_TX, may_take_reserve(t, c));
	struct mr_frame *r;

	if (i == MR_NONE)
		return MR_NONE;
	r = &t->frames->record[i];
	r->seq = mr_tcp_queue_end(c);
	if (c->tx_tail == MR_NONE)
		c->tx_head = i;
	else
		t->frames->record[c->tx_tail].next = i;
	c->tx_tail = i;
	if (c->tx_next == MR_NONE)
		c->tx_next = i;
	return i;
}

/* The place behind what is queued; NULL: no frame. @room: up to the segment's end. */
static uint8_t *place(struct mr_tcp *t, struct mr_conn *c, uint32_t *room)
{
	uint32_t i = open_tail(t, c);
	const struct mr_frame *r;

	if (i == MR_NONE)
		i = append_frame(t, c);
	if (i == MR_NONE)
		return NULL;
	r = &t->frames->record[i];
	*room = min_u32(c->snd_mss - r->len, t->frames->frame_bytes - r->offset - r->len);
	return mr_frame_payload(t->frames, i) + r->len;
}

uint8_t *mr_tcp_reserve(struct mr_tcp *t, struct mr_conn *c, uint32_t *room)
{
	uint32_t space = mr_tcp_send_room(t, c);
	uint32_t left;
	uint8_t *to;

	if (!space)
		return NULL;
	to = place(t, c, &left);
	if (to)
		*room = min_u32(space, left);
	return to;
}

void mr_tcp_commit(struct mr_tcp *t, struct mr_conn *c, uint32_t len)
{
	struct mr_frame *r;

	if (!len || c->tx_tail == MR_NONE || c->flags & MR_CONN_FIN_QUEUED)
		return; /* closed since it was reserved */
	r = &t->frames->record[c->tx_tail];
	r->len = (uint16_t)(r->len + len);
	c->tx_bytes += len;
	t->stats->app_bytes_out += len;
	mr_tcp_want_output(t, c);
}

/* Reserved and never filled: an empty frame at the end, which a FIN would wait for. */
void mr_tcp_drop_reserved(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t empty = c->tx_tail;
	uint32_t last = MR_NONE;

	if (empty == MR_NONE || rec[empty].len)
		return;
	for (uint32_t i = c->tx_head; i != empty; i = rec[i].next)
		last = i;
	c->tx_tail = last;
	if (last == MR_NONE)
		c->tx_head = MR_NONE;
	else
		rec[last].next = MR_NONE;
	if (c->tx_next == empty)
		c->tx_next = MR_NONE;
	mr_frame_give(t->frames, empty);
}

static void queue_bytes(struct mr_tcp *t, struct mr_conn *c, const uint8_t *data, uint32_t len)
{
	while (len) {
		uint32_t room;
		uint8_t *to = place(t, c, &room);
		uint32_t n;

		if (!to)
			return; /* cannot be: the caller counted the frames */
		n = min_u32(len, room);
		memcpy(to, data, n);
		mr_tcp_commit(t, c, n);
		data += n;
		len -= n;
	}
}

/* Both in the tail frame, when they fit there: nearly every message does. */
static bool queue_in_one(struct mr_tcp *t, struct mr_conn *c, const void *head, uint32_t head_len,
			 const void *body, uint32_t body_len)
{
	uint32_t room;
	uint8_t *to = place(t, c, &room);

	if (!to || room < head_len || room - head_len < body_len)
		return false;
	memcpy(to, head, head_len);
	if (body_len)
		memcpy(to + head_len, body, body_len);
	mr_tcp_commit(t, c, head_len + body_len);
	return true;
}

/*
 * An empty queue takes a message that is larger than the buffer, else it could never leave: what
 * one connection holds is still bounded by its share of the frames.
 */
static inline int find_room(const struct mr_tcp *t, struct mr_conn *c, uint64_t len)
{
	uint64_t share = (uint64_t)frame_share(t) * c->snd_mss;
	uint64_t buffer = t->config->send_buffer;

	if (len > (uint64_t)t->frames->count / MESSAGE_SHARE * c->snd_mss)
		return -EMSGSIZE;
	if (len > max_u32((uint32_t)share, may_take_reserve(t, c) ? c->snd_mss : 0) ||
	    (c->tx_bytes && c->tx_bytes + len > buffer)) {
		c->flags |= MR_CONN_WANT_WRITE;
		return -EAGAIN;
	}
	return 0;
}

int mr_tcp_send_whole(struct mr_tcp *t, struct mr_conn *c, const void *head, uint32_t head_len,
		      const void *body, uint32_t body_len)
{
	int error = find_room(t, c, (uint64_t)head_len + body_len);

	if (error)
		return error;
	if (!queue_in_one(t, c, head, head_len, body, body_len)) {
		queue_bytes(t, c, head, head_len);
		queue_bytes(t, c, body, body_len);
	}
	return 0;
}

int mr_tcp_send_begin(struct mr_tcp *t, struct mr_conn *c, uint64_t len)
{
	return find_room(t, c, len);
}

void mr_tcp_send_part(struct mr_tcp *t, struct mr_conn *c, const void *part, uint32_t len)
{
	queue_bytes(t, c, part, len);
}

/*
 * Without Nagle's algorithm every write of bytes is a segment of its own: the tail takes no more.
 * Not when frames are short: a write of one byte may not cost a frame then.
 */
void mr_tcp_seal(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->tx_tail != MR_NONE && t->frames->n_free > t->frames->count / 4)
		t->frames->record[c->tx_tail].tcp_flags |= MR_PSH;
}
