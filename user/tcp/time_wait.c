/* SPDX-License-Identifier: MIT */
/*
 * TIME-WAIT as a 64-byte record (RFC 9293 3.10.7.4 and 3.6.1, RFC 6191, RFC 1337). The expiry is
 * kept in half seconds modulo 2^16 of the lane's clock (the 64-bit one, which does not wrap):
 * 9 hours, far beyond any 2 MSL.
 */
#include "user/tcp/internal.h"

#include <string.h>

static uint16_t half_seconds(const struct mr_tcp *t, uint32_t later_ms)
{
	return (uint16_t)((t->now_us / 1000 + later_ms) / 500);
}

static void restart(struct mr_tcp *t, struct mr_time_wait *w)
{
	w->expire_half_s = half_seconds(t, t->config->time_wait_ms + 499);
}

void mr_time_wait_compress(struct mr_tcp *t, const struct mr_conn *c, struct mr_time_wait *w)
{
	*w = (struct mr_time_wait){
		.local_port = c->local_port,
		.remote_port = c->remote_port,
		.snd_nxt = c->snd_nxt,
		.rcv_nxt = c->rcv_nxt,
		.ts_recent = c->flags & MR_CONN_TIMESTAMPS ? max_u32(c->ts_recent, 1) : 0,
		.next = MR_NONE,
	};
	memcpy(w->local, c->local, sizeof(w->local));
	memcpy(w->remote, c->remote, sizeof(w->remote));
	if (t->ip) {
		w->ttl = t->ip[c->rule].ttl;
		w->dscp = t->ip[c->rule].dscp;
	}
	restart(t, w);
}

uint32_t mr_time_wait_left_ms(const struct mr_tcp *t, const struct mr_time_wait *w)
{
	int16_t left = (int16_t)(w->expire_half_s - half_seconds(t, 0));

	return left > 0 ? (uint32_t)left * 500 : 0;
}

/* To where @seg came from, as a reset of no connection: the path may have moved since. */
static void send_ack(struct mr_tcp *t, const struct mr_time_wait *w, const struct mr_segment *seg)
{
	struct mr_segment_out out = {
		.seq = w->snd_nxt,
		.ack = w->rcv_nxt,
		.flags = MR_ACK,
		.wnd = UINT16_MAX,
		.ttl = w->ttl,
		.dscp = w->dscp,
	};

	if (w->ts_recent) {
		out.options.has_timestamps = true;
		out.options.ts_val = t->now_ms + t->ts_offset;
		out.options.ts_ecr = w->ts_recent;
	}
	t->stats->segments_out++;
	t->ops->reply(t, &seg->tuple, &seg->link, &out);
}

/* MAY-2 with RFC 6191: a SYN beyond everything the old connection could have sent. */
static bool may_reopen(const struct mr_time_wait *w, const struct mr_segment *seg)
{
	if ((seg->flags & (MR_SYN | MR_ACK | MR_RST | MR_FIN)) != MR_SYN)
		return false;
	if (w->ts_recent && seg->options.has_timestamps && seg->options.ts_val != w->ts_recent)
		return mr_seq_lt(w->ts_recent, seg->options.ts_val);
	return mr_seq_lt(w->rcv_nxt, seg->seq);
}

bool mr_time_wait_arrives(struct mr_tcp *t, struct mr_time_wait *w, const struct mr_segment *seg,
			  bool *reopen)
{
	*reopen = may_reopen(w, seg);
	if (*reopen)
		return false;
	/* RFC 1337 (F1): a RST does not end TIME-WAIT early; RFC 5961 asks for RCV.NXT exactly */
	if (seg->flags & MR_RST)
		return true;
	if (seg->flags & MR_FIN && seg->seq + seg->len + 1 == w->rcv_nxt)
		restart(t, w); /* the peer's FIN again: our ACK was lost */
	if (mr_segment_length(seg) || seg->seq != w->rcv_nxt)
		send_ack(t, w, seg);
	return true;
}
