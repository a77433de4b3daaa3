/* SPDX-License-Identifier: MIT */
/*
 * Congestion control: one file an algorithm, behind this table. Loss detection and recovery are
 * not here: they call in.
 */
#ifndef MR_CC_H
#define MR_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_cc.h"
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
 * @needs_ecn:	asks for ECN, echoes each mark exactly, and marks all its segments (RFC 8257)
 * @ignores_marks: has no answer to marks, so ECN is never used with it
 * @init:	the handshake is done, snd_mss is known; @syn_lost: initial window of one segment
 * @acked:	new data was acknowledged, or selectively acknowledged
 * @ssthresh:	loss was found with @flight bytes outstanding, or congestion was echoed: the new
 *		ssthresh
 * @echoed:	NULL: @ssthresh; congestion was echoed: the new ssthresh
 * @marked:	NULL: it need not know; an ACK up to @ack on a connection with ECN, before snd_una
 *		moves; @echo: with ECE
 * @event:	NULL: it needs none
 * @pacing_rate: bytes a second, 0: as fast as the window lets; NULL: never paced
 */
struct mr_cc {
	const char *name;
	bool rules_recovery;
	bool needs_ecn;
	bool ignores_marks;
	void (*init)(struct mr_conn *c, bool syn_lost);
	void (*acked)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      const struct mr_cc_ack *ack);
	uint32_t (*ssthresh)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     uint32_t flight);
	uint32_t (*echoed)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			   uint32_t flight);
	void (*marked)(struct mr_conn *c, struct mr_active *a, uint32_t ack, bool echo);
	void (*event)(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      enum mr_cc_event event);
	uint64_t (*pacing_rate)(const struct mr_conn *c, const struct mr_active *a);
};

extern const struct mr_cc mr_cc_cubic;
extern const struct mr_cc *const mr_cc_table[MR_CC_COUNT];

/** mr_cc_of() - the connection's algorithm */
static inline const struct mr_cc *mr_cc_of(const struct mr_conn *c)
{
	return mr_cc_table[c->cc < MR_CC_COUNT ? c->cc : 0];
}

/**
 * mr_cc_acked() - @cc->acked(), for the acknowledgments that most connections get
 *
 * The window was not used, and no reduction is behind: CUBIC notes the time alone.
 */
static inline void mr_cc_acked(const struct mr_cc *cc, struct mr_tcp *t, struct mr_conn *c,
			       struct mr_active *a, const struct mr_cc_ack *ack)
{
	if (cc == &mr_cc_cubic && !ack->limited && !a->cc.cubic.epoch.start_ms)
		a->cc.cubic.last_ms = t->now_ms;
	else
		cc->acked(t, c, a, ack);
}

/** mr_cc_initial_window() - RFC 6928 2, and one segment after a lost SYN (RFC 5681 3.1) */
void mr_cc_initial_window(struct mr_conn *c, bool syn_lost);

/** mr_cc_restart_window() - bytes that may leave at once after a long pause (RFC 5681 4.1) */
uint32_t mr_cc_restart_window(const struct mr_conn *c);

/** mr_cc_slow_start() - bytes by which cwnd grows below ssthresh */
uint32_t mr_cc_slow_start(const struct mr_conn *c, uint32_t acked);

/** mr_cc_reno_acked() - slow start and congestion avoidance of RFC 5681 3.1, RFC 3465 */
void mr_cc_reno_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
		      const struct mr_cc_ack *ack);

/** mr_cc_reno_ssthresh() - RFC 5681 (4): max(FlightSize / 2, 2 * SMSS) */
uint32_t mr_cc_reno_ssthresh(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a,
			     uint32_t flight);

/**
 * mr_cwv_is_limited() - was the window used, so that an ACK may open it?
 * @flight:	bytes outstanding before the ACK
 *
 * It held text back, or it is in slow start and half of it was out in this round trip: RFC 7661 4.1
 * takes that for validated, and the next round trip of a sender that doubles needs twice the
 * flight. While what a timeout took is sent again, always. Called once for each ACK that
 * advances, brings SACK blocks or may answer a tail probe: it follows the round trips.
 */
bool mr_cwv_is_limited(const struct mr_conn *c, struct mr_active *a, uint32_t flight);

/**
 * mr_cwv_sending_begins() - nothing is in flight and text is about to leave
 *
 * After more than an RTO without sending, the window halves for every RTO that passed, down to
 * the restart window (RFC 5681 4.1, RFC 2861 3), and the algorithm hears MR_CC_IDLE. Algorithms
 * that rule recovery themselves only hear.
 */
void mr_cwv_sending_begins(struct mr_tcp *t, struct mr_conn *c);

extern const struct mr_cc mr_cc_newreno;
extern const struct mr_cc mr_cc_dctcp;
extern const struct mr_cc mr_cc_bbr;

/* ----- rate.c: for algorithms with a pacing rate ----- */

/* One delivery-rate sample: @bytes in @interval_us. */
struct mr_rate_sample {
	uint32_t prior_delivered; /* mr_rate.delivered when the newest frame of it left */
	uint32_t bytes;
	uint32_t interval_us;
	bool app_limited;
};

/** mr_rate_frame_sent() - @r leaves, for the first time or again; before snd_nxt moves */
void mr_rate_frame_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_frame *r);

/**
 * mr_rate_frame_delivered() - @bytes of @r are at the peer: by a cumulative ACK, or newly by SACK
 *
 * Once for each byte: not at the cumulative ACK of what was MR_FRAME_SACKED. Before mr_cc.acked()
 * of the same ACK. Returns at once for algorithms without a pacing rate.
 */
void mr_rate_frame_delivered(struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r,
			     uint32_t bytes);

/** mr_rate_sample() - the sample of this ACK; false: there is none. Once an ACK */
bool mr_rate_sample(struct mr_active *a, struct mr_rate_sample *s);

/** mr_rate_app_limited() - nothing more to send: samples of what is in flight may be too low */
void mr_rate_app_limited(struct mr_tcp *t, struct mr_conn *c);

/** mr_pace_allows() - may @len bytes leave? False: a deadline brings the output stage back */
bool mr_pace_allows(struct mr_tcp *t, struct mr_conn *c, uint32_t len);

/** mr_pace_sent() - @len bytes left */
void mr_pace_sent(struct mr_tcp *t, struct mr_conn *c, uint32_t len);

/** mr_pace_waits() - does text wait for that deadline? */
bool mr_pace_waits(const struct mr_tcp *t, const struct mr_conn *c);

#endif
