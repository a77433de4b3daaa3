/* SPDX-License-Identifier: MIT */
/* ACKs of the peer in short words, for tests in which it does little else. */
#ifndef MR_RFC_WORDS_H
#define MR_RFC_WORDS_H

#include "tests/unit/rfc_fixture.h"

/* Everything before @n is acknowledged, and @wnd offered. */
static inline void ack_window(struct rfc *f, struct mr_conn *c, uint32_t n, uint16_t wnd)
{
	rfc_arrives(f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = n, .wnd = wnd, .zero_wnd = !wnd));
}

static inline void ack(struct rfc *f, struct mr_conn *c, uint32_t n)
{
	ack_window(f, c, n, 65535);
}

#endif
