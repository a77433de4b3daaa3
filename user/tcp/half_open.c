/* SPDX-License-Identifier: MIT */
/*
 * Passive opens: RFC 9293 3.10.7.2, and the 80-byte record that stands for a connection until the
 * handshake is done. An arriving segment is run through the ordinary steps on the block that the
 * record expands to.
 */
#include "user/tcp/fast_open.h"
#include "user/tcp/internal.h"

#include <string.h>

/* 3.10.7.2, LISTEN STATE. */
bool mr_tcp_listen_state(struct mr_tcp *t, const struct mr_segment *seg, struct mr_half_open *half)
{
	const struct mr_tcp_options *o = &seg->options;

	if (seg->flags & MR_RST) /* first */
		return false;
	if (seg->flags & MR_ACK) { /* second */
		mr_tcp_reply_rst(t, seg);
		return false;
	}
	if (!(seg->flags & MR_SYN) || seg->flags & MR_FIN) /* third; fourth: anything else */
		return false;
	*half = (struct mr_half_open){
		.local_port = seg->tuple.local_port,
		.remote_port = seg->tuple.remote_port,
		.vlan = { seg->link.vlan[0], seg->link.vlan[1] },
		.peer_mss = o->mss,
		.iss = mr_tcp_isn(t, &seg->tuple),
		.irs = seg->seq,
		.ts_recent = o->ts_val,
		.next = MR_NONE,
		.prev = MR_NONE,
		.snd_shift = o->window_shift,
		.flags = (uint8_t)(MR_HALF_USED | (o->has_timestamps ? MR_HALF_TIMESTAMPS : 0) |
				   (o->has_window_scale ? MR_HALF_WINDOW_SCALE : 0) |
				   (o->sack_permitted ? MR_HALF_SACK : 0)),
	};
	memcpy(half->local, seg->tuple.local, sizeof(half->local));
	memcpy(half->remote, seg->tuple.remote, sizeof(half->remote));
	memcpy(half->peer_mac, seg->link.peer_mac, sizeof(half->peer_mac));
	return true;
}

void mr_half_open_expand(struct mr_tcp *t, const struct mr_half_open *h, struct mr_conn *c)
{
	struct mr_tuple tuple = { .local_port = h->local_port, .remote_port = h->remote_port };
	struct mr_link link = { .vlan = { h->vlan[0], h->vlan[1] } };

	memcpy(tuple.local, h->local, sizeof(tuple.local));
	memcpy(tuple.remote, h->remote, sizeof(tuple.remote));
	memcpy(link.peer_mac, h->peer_mac, sizeof(link.peer_mac));
	mr_conn_init(t, c, &tuple, &link);
	c->state = MR_SYN_RECEIVED;
	c->flags |= MR_CONN_PASSIVE;
	c->iss = h->iss;
	c->irs = h->irs;
	c->snd_una = h->iss;
	c->snd_nxt = h->iss + 1;
	c->recover = h->iss;
	c->rcv_nxt = h->irs + 1;
	c->last_ack_sent = c->rcv_nxt;
	c->rcv_wnd = min_u32(t->config->receive_buffer, 65535); /* what the SYN-ACK offered */
	c->ts_recent = h->ts_recent;
	c->heard_ms = t->now_ms;
	c->backoff = h->sends > 1 ? (uint8_t)(h->sends - 1) : 0;
	if (h->sends == 1) { /* Karn: one SYN-ACK, one answer */
		c->flags |= MR_CONN_RTT_RUNNING;
		c->rtt_seq = h->iss;
		c->rtt_start_us = (uint32_t)t->now_us -
				  (t->now_ms - (h->expire_ms - MR_RTO_INITIAL_MS)) * 1000;
	}
	c->rule = h->rule;
	c->cc = h->cc;
	if (h->flags & MR_HALF_ECN)
		c->flags |= MR_CONN_ECN;
	if (h->accurate & MR_HALF_ACCURATE) /* see accurate.c */
		c->flags |= MR_CONN_CWR_OWED |
			    (h->accurate & MR_HALF_NO_ECT ? MR_CONN_ECE_OWED : 0);
	if (!(h->flags & MR_HALF_TIMESTAMPS))
		c->flags &= ~MR_CONN_TIMESTAMPS;
	if (!(h->flags & MR_HALF_SACK))
		c->flags &= ~MR_CONN_SACK;
	if (h->flags & MR_HALF_WINDOW_SCALE && c->flags & MR_CONN_WINDOW_SCALE) {
		c->snd_shift = h->snd_shift;
	} else {
		c->flags &= ~MR_CONN_WINDOW_SCALE;
		c->rcv_shift = 0;
	}
	/* as an ACK says it, which is not remembered here: what it offered may not shrink again */
	c->rcv_wnd = (c->rcv_wnd + (1u << c->rcv_shift) - 1) & ~((1u << c->rcv_shift) - 1);
	mr_tcp_set_mss(t, c, h->peer_mss, 0);
}

void mr_half_open_send(struct mr_tcp *t, struct mr_half_open *h)
{
	struct mr_conn c = { 0 };
	uint32_t wait = MR_RTO_INITIAL_MS << min_u32(h->sends, 6);
	struct mr_segment_out out;
	struct mr_link link = { .vlan = { h->vlan[0], h->vlan[1] } };

	mr_half_open_expand(t, h, &c);
	mr_tcp_syn_ack(t, &c, &out);
	mr_fast_open_offer(t, h, &out);
	mr_accurate_offer(t, h, &out);
	memcpy(link.peer_mac, h->peer_mac, sizeof(link.peer_mac));
	t->ops->reply(t, mr_conn_tuple(&c), &link, &out);
	t->stats->segments_out++;
	if (h->sends)
		t->stats->retransmits++;
	if (h->sends < UINT8_MAX)
		h->sends++;
	h->expire_ms = t->now_ms + wait;
}
