/* SPDX-License-Identifier: MIT */
/*
 * Congestion control: one file an algorithm, behind this table. Loss detection and recovery are
 * not here: they call in.
 */
#ifndef MR_CC_H
#define MR_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "user/tcp/tcp.h"

/**
 * struct mr_cc_ack - what one ACK says
 * @acked:	bytes newly acknowledged cumulatively
 * @delivered:	bytes newly acknowledged or selectively acknowledged
 * @lost:	bytes that this ACK showed to be lost
 * @flight:	bytes that were outstanding before it
 * @rtt_us:	a valid sample of the round trip, 0: none
 * @limited:	the window was used up, so that it may grow (RFC 7661)
 * @ece:	the peer echoes congestion (RFC 3168)
 * @recovery:	fast recovery goes on: only algorithms that rule recovery themselves see these
 */
struct mr_cc_ack {
	uint32_t acked;
	uint32_t delivered;
	uint32_t lost;
	uint32_t flight;
	uint32_t rtt_us;
	bool limited;
	bool ece;
	bool recovery;
};

enum mr_cc_event {
	MR_CC_RECOVERY_ENDS, /* `recover` is acknowledged */
	MR_CC_TIMEOUT,	     /* the retransmission timer fired; cwnd is one segment already */
	MR_CC_UNDO,	     /* the last reduction was for nothing: cwnd, ssthresh are back */
	MR_CC_IDLE,	     /* sending begins again after more than an RTO without any */
};

/**
 * struct mr_cc - an algorithm; writes cwnd and ssthresh of the connection and its own fields of the
 *		  active record only, which is all zero when the connection just took it
 * @rules_recovery: sets cwnd in fast recovery itself; else recovery does (RFC 6937)
 * @init:	the handshake is done, snd_mss is known; @syn_lost: initial window of one segment
 * @acked:	new data was acknowledged, or selectively acknowledged
 * @ssthresh:	loss was found with @flight bytes outstanding, or congestion was echoed: the new
 *		ssthresh
 * @event:	NULL: it needs none
 * @pacing_rate: bytes a second, 0: as fast as the window lets; NULL: never paced
 */
struct mr_cc {
	const char *name;
	bool rules_recovery;
	void (*init)(struct mr_conn *c, bool syn_lost);
	void (*acked)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      const struct mr_cc_ack *ack);
	uint32_t (*ssthresh)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     uint32_t flight);
	void (*event)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      enum mr_cc_event event);
	uint64_t (*pacing_rate)(const struct mr_conn *c, const struct mr_active *a);
};

/** mr_cc_of() - the connection's algorithm */
const struct mr_cc *mr_cc_of(const struct mr_conn *c);

extern const struct mr_cc mr_cc_newreno;

#endif
