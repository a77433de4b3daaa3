/* SPDX-License-Identifier: MIT */
/* From bytes of the socket to messages and heartbeats, handed over one by one. */
#include "user/api/message_internal.h"

#include <errno.h>
#include <stdlib.h>

/* A pong leaves behind the replies to what came before the ping, or not at all yet. */
static bool answer_ping(struct mr_peer *p, const struct mr_tlv *m)
{
	int err = bytes_len(&p->out) < p->o.high_water
			  ? peer_queue(p, p->o.pong_tag, m->value, m->len)
			  : -EAGAIN;

	p->for_room = err == -EAGAIN;
	return !p->for_room;
}

static bool hand_over(struct mr_peer *p, const struct mr_tlv *m)
{
	switch (mr_heartbeat_kind(&p->limits, m->tag)) {
	case MR_HEARTBEAT_TAG_PING:
		return answer_ping(p, m);
	case MR_HEARTBEAT_TAG_PONG:
		if (p->ping_ms && p->h.on_heartbeat)
			p->h.on_heartbeat(p, loop_now_ms() - p->ping_ms, p->arg);
		p->ping_ms = 0;
		return true;
	default:
		if (peer_reply(p, m->tag, m->value, m->len))
			return true;
		return p->h.on_message(p, m->tag, m->value, m->len, p->arg) == MR_MESSAGE_DONE;
	}
}

static bool larger_store(struct mr_peer *p)
{
	size_t wanted = mr_tlv_reader_wanted(&p->reader), room = p->store_bytes;
	uint8_t *store;

	/* by as much as came, not by what the header promises */
	room = room ? 2 * room : 4096;
	if (room > wanted)
		room = wanted;
	store = realloc(p->store, room);
	if (!store)
		return false;
	p->store = store;
	p->store_bytes = room;
	return true;
}

static void store_done(struct mr_peer *p)
{
	free(p->store);
	p->store = NULL;
	p->store_bytes = 0;
}

static enum mr_peer_reason reason_of(enum mr_tlv_status status)
{
	if (status == MR_TLV_TOO_LONG)
		return MR_PEER_TOO_LONG;
	return status == MR_TLV_BAD_LENGTH ? MR_PEER_BAD_LENGTH : MR_PEER_BAD_CHECK;
}

/* Read messages from @data until all is used or one is not taken. Return: bytes used */
static size_t parse(struct mr_peer *p, const uint8_t *data, size_t len)
{
	size_t all = len, used;
	struct mr_tlv m;

	while (len && p->state == PEER_OPEN) {
		struct mr_tlv_reader before = p->reader;
		enum mr_tlv_status status = mr_tlv_read(&p->reader, &p->o.format, data, len,
							p->store, p->store_bytes, &used, &m);

		if (status == MR_TLV_MESSAGE && !hand_over(p, &m)) {
			p->reader = before;
			p->blocked = !p->resumed; /* it may have resumed already */
			if (!p->blocked_ms)
				p->blocked_ms = loop_now_ms();
			break;
		}
		data += used;
		len -= used;
		if (status == MR_TLV_MESSAGE && p->blocked_ms)
			peer_limits_unblocked(p);
		if (status == MR_TLV_MESSAGE && p->store)
			store_done(p);
		else if (status == MR_TLV_STORE && !larger_store(p))
			peer_end(p, MR_PEER_NO_MEMORY, ENOMEM);
		else if (status >= MR_TLV_TOO_LONG)
			peer_end(p, reason_of(status), EPROTO);
	}
	if (mr_tlv_reader_is_idle(&p->reader))
		p->partial_ms = 0;
	else if (!p->partial_ms)
		p->partial_ms = p->received_ms;
	return all - len;
}

void peer_read(struct mr_peer *p)
{
	struct mr_loop *l = p->loop;
	ssize_t n = mr_sock_recv(l->context, p->fd, l->in, sizeof(l->in), MSG_DONTWAIT);
	size_t used;

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		peer_end(p, MR_PEER_ERROR, (int)-n);
		return;
	}
	if (!n) { /* what is queued is still sent */
		p->state = PEER_CLOSING;
		p->reason = mr_tlv_reader_is_idle(&p->reader) ? MR_PEER_CLOSED_THERE
							      : MR_PEER_CUT_SHORT;
		loop_pending(p);
		return;
	}
	p->received_ms = loop_now_ms();
	used = parse(p, l->in, (size_t)n);
	if (p->state == PEER_OPEN && used < (size_t)n &&
	    !bytes_add(&p->held, l->in + used, (size_t)n - used))
		peer_end(p, MR_PEER_NO_MEMORY, ENOMEM);
}

/* What was left; then the socket is read again. */
void peer_read_held(struct mr_peer *p)
{
	p->resumed = p->blocked = p->for_room = false;
	bytes_take(&p->held, parse(p, p->held.at + p->held.first, bytes_len(&p->held)));
	if (p->resumed && p->state == PEER_OPEN)
		loop_pending(p);
}

void mr_peer_resume(struct mr_peer *p)
{
	if (p->state != PEER_OPEN || p->for_room)
		return;
	p->resumed = true;
	loop_pending(p);
}
