/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open (RFC 7413): text in the SYN, for peers that have shown with a cookie that they
 * receive at their address.
 *
 * While text of a SYN is not confirmed, a connection has MR_CONN_FAST_OPEN, and snd_una stands
 * behind the SYN though that is not acknowledged: the send queue begins there.
 */
#ifndef MR_TCP_FAST_OPEN_H
#define MR_TCP_FAST_OPEN_H

#include "user/tcp/tcp.h"

enum {
	MR_FAST_OPEN_BYTES = 8,		/* of our cookies */
	MR_FAST_OPEN_KEY_S = 24 * 3600, /* how long a key makes cookies; then it checks as long */
	MR_FAST_OPEN_CACHE = 256,	/* destinations whose cookies a lane knows */
	MR_FAST_OPEN_OFF_MS = 3600000,	/* not tried again after a SYN with text got lost */
	MR_FAST_OPEN_RESET_MS = 60000,	/* a request that was reset counts as pending, 5.1 */
};

/* A destination's cookie (4.1.1, 4.1.3). */
struct mr_fast_open_known {
	uint8_t remote[16];
	uint8_t cookie[16];
	uint8_t bytes;	       /* of the cookie; 0: none is known */
	uint8_t experimental;  /* which option the peer speaks */
	uint16_t mss;	       /* of its SYN-ACK */
	uint32_t off_until_ms; /* 0: may be used */
};

/* One a lane; a destination has one place in it, by a keyed hash. */
struct mr_fast_open_cache {
	struct mr_fast_open_known known[MR_FAST_OPEN_CACHE];
};

/* What a SYN's option is to a server. */
enum mr_fast_open {
	MR_FAST_OPEN_NONE,  /* absent, or we are no server of it */
	MR_FAST_OPEN_ASKED, /* asks for a cookie, or has a wrong one: the SYN-ACK brings one */
	MR_FAST_OPEN_OLD,   /* good, of the key before this: accepted and renewed */
	MR_FAST_OPEN_GOOD,
};

/** mr_fast_open_of() - look at the option of a SYN for a listener (4.2.2) */
enum mr_fast_open mr_fast_open_of(const struct mr_tcp *t, const struct mr_segment *syn);

/** mr_fast_open_note() - let the SYN-ACKs of @half bring a cookie when @syn asks for one */
void mr_fast_open_note(const struct mr_tcp *t, const struct mr_segment *syn,
		       struct mr_half_open *half);

/** mr_fast_open_offer() - the cookie into a SYN-ACK of @half, as was noted */
void mr_fast_open_offer(const struct mr_tcp *t, const struct mr_half_open *half,
			struct mr_segment_out *out);

/**
 * mr_fast_open_accept() - a SYN with text and a good cookie (4.2.2, 5 to 7): the connection is in
 * SYN-RECEIVED, its text in the receive queue, the SYN-ACK sent
 * @half:	of mr_tcp_listen_state() for @syn
 * @c:		overwritten
 * @frame:	where the text lies; @kept as in mr_tcp_segment_arrives()
 */
void mr_fast_open_accept(struct mr_tcp *t, const struct mr_segment *syn,
			 const struct mr_half_open *half, enum mr_fast_open cookie,
			 struct mr_conn *c, uint32_t frame, bool *kept);

#endif
