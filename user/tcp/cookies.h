/* SPDX-License-Identifier: MIT */
/*
 * SYN cookies (RFC 4987 3.6): a SYN-ACK that stands for itself, so that a flood of SYNs costs no
 * memory. All lanes of a daemon have the key, so any of them takes the ACK.
 */
#ifndef MR_TCP_COOKIES_H
#define MR_TCP_COOKIES_H

#include <linux/types.h>

#include "shared/mr_cookie.h"
#include "shared/mr_guard.h"
#include "shared/mr_maps.h"
#include "user/tcp/tcp.h"

enum {
	MR_COOKIE_MINUTES = 2, /* an ACK is good in the minute of its SYN-ACK and in the next */
};

/**
 * mr_cookie_send() - answer a SYN; nothing is kept
 * @rule:	that listens: its IP settings
 * @used:	last sequence number of an earlier connection of the tuple, or NULL
 *
 * Without timestamps the SYN-ACK offers neither window scale nor SACK: only the MSS fits. With or
 * without them it never agrees on ECN.
 *
 * Return: false when it is no plain SYN, or when the cookie is not above @used; nothing was sent
 */
bool mr_cookie_send(struct mr_tcp *t, const struct mr_segment *syn, uint16_t rule,
		    const uint32_t *used);

/**
 * mr_cookie_check() - is @ack the answer to a cookie of the last MR_COOKIE_MINUTES?
 * @half:	out for true: the record that would have been kept, its SYN-ACK sent once
 *
 * The segment may carry text and FIN: it is the first one after the SYN, or that one again.
 */
bool mr_cookie_check(const struct mr_tcp *t, const struct mr_segment *ack,
		     struct mr_half_open *half);

/**
 * mr_cookie_describe() - what the SYN-ACKs of mr_cookie_send() say now, for who sends them instead
 * @b:	out: its syn_ fields; of @b->syn all flags but MR_SYN_ANSWER, which stays
 *
 * Called by the lane that owns @b.
 */
void mr_cookie_describe(struct mr_tcp *t, struct mr_beat *b);

#endif
