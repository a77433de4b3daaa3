/* SPDX-License-Identifier: MIT */
/* Tests of loss recovery count in segments of RFC_MSS bytes: what is sent, reported and lost. */
#ifndef MR_TCP_SEGMENTS_H
#define MR_TCP_SEGMENTS_H

#include "tests/unit/tcp_fixture.h"

enum {
	RTT = 40,
	SENT_SEGMENTS = 10, /* the initial window */
};

/* A connection with SACK, whose round trip is RTT; segment 0 follows. */
static inline struct mr_conn *begin(struct rfc *f)
{
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->flags |= MR_CONN_SACK | MR_CONN_NODELAY;
	rfc_send(f, c, tcp_bytes(0, 1), 1);
	rfc_advance(f, c, RTT);
	tcp_ack_arrives(f, c, c->snd_nxt);
	rfc_forget(f);
	return c;
}

/* Sequence number of segment @n. */
static inline uint32_t segment(uint32_t n)
{
	return RFC_ISS + 2 + n * RFC_MSS;
}

/* @n segments are queued, those that the window lets out are sent. */
static inline void queue(struct rfc *f, struct mr_conn *c, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(rfc_send(f, c, tcp_bytes(0, RFC_MSS), RFC_MSS), RFC_MSS);
}

/* ACK of everything before segment @ack, with one block of segments [from, to). */
static inline void sack(struct rfc *f, struct mr_conn *c, uint32_t ack, uint32_t from, uint32_t to)
{
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(ack), .n_sack = 1,
		.sack = { { segment(from), segment(to) } });
}

/* How often segment @n was sent. */
static inline uint32_t times_sent(const struct rfc *f, uint32_t n)
{
	uint32_t times = 0;

	for (unsigned int i = 0; i < f->n_sent; i++)
		times += f->sent[i].len && f->sent[i].seq == segment(n);
	return times;
}

#endif
