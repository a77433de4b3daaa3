/* SPDX-License-Identifier: MIT */
/*
 * The urgent mechanism (RFC 9293 3.8.5, RFC 6093): text stays in line; what is told is where the
 * urgent part ends. The pointer names the byte behind it (MUST-62).
 */
#include "user/tcp/internal.h"

/* Sixth, check the URG bit: RCV.UP <- max(RCV.UP, SEG.UP); the user hears when it is ahead. */
void mr_tcp_check_urg_bit(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint32_t up = seg->seq + seg->urgent;
	struct mr_active *a;

	if (!(seg->flags & MR_URG) || c->state < MR_ESTABLISHED || c->state > MR_FIN_WAIT_2)
		return;
	a = mr_active_of(t, c);
	if (!mr_seq_lt(c->rcv_nxt - c->rx_bytes, up))
		return; /* nothing of it is ahead of the reader */
	if (a->urgent & MR_URGENT_IN && mr_seq_le(up, a->rcv_up))
		return;
	a->rcv_up = up;
	a->urgent |= MR_URGENT_IN | MR_URGENT_NEWS;
	t->ops->event(t, c, MR_EVENT_URGENT);
}

uint32_t mr_tcp_urgent(struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t reader = c->rcv_nxt - c->rx_bytes - !!(c->flags & MR_CONN_FIN_RECEIVED);

	if (!a || !(a->urgent & MR_URGENT_IN) || !mr_seq_lt(reader, a->rcv_up))
		return 0;
	return a->rcv_up - reader;
}

bool mr_tcp_take_urgent_news(struct mr_tcp *t, const struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a || !(a->urgent & MR_URGENT_NEWS))
		return false;
	a->urgent &= (uint8_t)~MR_URGENT_NEWS;
	return mr_tcp_urgent(t, c) > 0;
}

void mr_tcp_urge(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_of(t, c);

	a->snd_up = mr_tcp_queue_end(c);
	a->urgent |= MR_URGENT_OUT;
	mr_tcp_want_output(t, c);
}

/* URG and pointer of a segment that begins at @out->seq, while urgent text is not acknowledged. */
void mr_tcp_fill_urgent(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a || !(a->urgent & MR_URGENT_OUT))
		return;
	if (mr_seq_le(a->snd_up, c->snd_una)) {
		a->urgent &= (uint8_t)~MR_URGENT_OUT;
		return;
	}
	if (!mr_seq_lt(out->seq, a->snd_up))
		return;
	out->flags |= MR_URG;
	out->urgent = (uint16_t)min_u32(a->snd_up - out->seq, UINT16_MAX);
}
