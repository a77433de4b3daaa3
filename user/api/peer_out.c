/* SPDX-License-Identifier: MIT */
/* Messages on their way out: written once into the peer's bytes, which leave behind the handlers.
 */
#include "user/api/message_internal.h"

#include <errno.h>

#include "user/tlv/format.h"

static bool takes_messages(const struct mr_peer *p)
{
	bool comes_back = p->is_client && p->o.reconnect;

	if (p->by_program || p->state == PEER_CLOSING)
		return false;
	return p->state != PEER_ENDED || comes_back;
}

/* Room for a message whose value has @most bytes at most. */
static int make_room(struct mr_peer *p, size_t most)
{
	const struct mr_tlv_format *f = &p->o.format;

	if (!takes_messages(p))
		return -EPIPE;
	if (most > f->max_bytes)
		return -EMSGSIZE;
	if (!bytes_room(&p->out, mr_tlv_header_bytes(f) + most + mr_tlv_check_bytes(f)))
		return -ENOMEM;
	return 0;
}

/* The value stands in its place already. */
static int finish(struct mr_peer *p, uint64_t tag, size_t len)
{
	const struct mr_tlv_format *f = &p->o.format;
	uint8_t *header = p->out.at + p->out.end, *value = header + mr_tlv_header_bytes(f);

	if (mr_tlv_write_header(f, header, tag, len) < 0)
		return -EMSGSIZE;
	mr_tlv_write_check(f, value + len, header, value, len);
	if (!bytes_len(&p->out))
		p->stuck_ms = p->state == PEER_OPEN ? loop_now_ms() : 0;
	p->out.end += mr_tlv_header_bytes(f) + len + mr_tlv_check_bytes(f);
	p->n_queued++;
	if (p->state == PEER_OPEN)
		loop_pending(p);
	return 0;
}

int peer_queue(struct mr_peer *p, uint64_t tag, const void *value, size_t len)
{
	int err = make_room(p, len);

	if (err)
		return err;
	if (len)
		memcpy(p->out.at + p->out.end + mr_tlv_header_bytes(&p->o.format), value, len);
	return finish(p, tag, len);
}

/* Beyond the mark nothing is taken, and the program is told when there is room again. */
static bool is_high(struct mr_peer *p)
{
	if (bytes_len(&p->out) < p->o.high_water || !takes_messages(p))
		return false;
	p->wants_room = true;
	return true;
}

int mr_message_send(struct mr_peer *p, uint64_t tag, const void *value, size_t len)
{
	return is_high(p) ? -EAGAIN : peer_queue(p, tag, value, len);
}

void *mr_message_reserve(struct mr_peer *p, uint64_t tag, size_t most, int *error)
{
	*error = is_high(p) ? -EAGAIN : make_room(p, most);
	if (*error)
		return NULL;
	p->reserved_tag = tag;
	p->reserved = most;
	p->has_reserved = true;
	return p->out.at + p->out.end + mr_tlv_header_bytes(&p->o.format);
}

int mr_message_commit(struct mr_peer *p, size_t len)
{
	if (!p->has_reserved || len > p->reserved)
		return -EINVAL;
	p->has_reserved = false;
	return takes_messages(p) ? finish(p, p->reserved_tag, len) : -EPIPE;
}

size_t mr_peer_queued(const struct mr_peer *p)
{
	return bytes_len(&p->out) - p->given;
}

/* Bytes of the message at the front, which this side wrote. */
static size_t front_bytes(const struct mr_peer *p)
{
	const struct mr_tlv_format *f = &p->o.format;
	uint64_t tag;
	uint32_t len = 0;

	mr_tlv_decode_header(f, p->out.at + p->out.first, &tag, &len);
	return mr_tlv_header_bytes(f) + len + mr_tlv_check_bytes(f);
}

/* @n more were given: messages that went whole are forgotten, one that did not stays whole. */
static void gave(struct mr_peer *p, size_t n)
{
	size_t whole = 0;

	p->given += n;
	while (p->given) {
		size_t front = front_bytes(p);

		if (front > p->given)
			break;
		p->given -= front;
		p->out.first += front;
		whole++;
		if (p->out.first == p->out.end)
			break;
	}
	p->n_given += whole;
	bytes_take(&p->out, 0);
}

void peer_flush(struct mr_peer *p)
{
	while (bytes_len(&p->out) > p->given) {
		ssize_t n = mr_sock_send(p->loop->context, p->fd,
					 p->out.at + p->out.first + p->given,
					 bytes_len(&p->out) - p->given, MSG_DONTWAIT);

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			peer_end(p, MR_PEER_ERROR, n ? (int)-n : ECONNRESET);
			return;
		}
		gave(p, (size_t)n);
		p->stuck_ms = loop_now_ms();
	}
	if (!bytes_len(&p->out))
		p->stuck_ms = 0;
	if (bytes_len(&p->out) > p->o.low_water || p->state != PEER_OPEN)
		return;
	if (p->for_room) {
		p->resumed = true;
		loop_pending(p);
	}
	if (p->wants_room) {
		p->wants_room = false;
		if (p->h.on_writable)
			p->h.on_writable(p, p->arg);
	}
}

/* For another connection: the message at the front goes from its beginning. */
void peer_begin_again(struct mr_peer *p)
{
	p->given = 0;
	p->has_reserved = false;
}
