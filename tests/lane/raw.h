/* SPDX-License-Identifier: MIT */
/*
 * A raw peer beside the client's lane: puts any frame on the wire to the server, and sees the
 * server's answers to its own ports, which the client's lane does not get.
 */
#ifndef MR_RAW_H
#define MR_RAW_H

#include "tests/lane/pair.h"
#include "user/wire/segment.h"

enum {
	RAW_PORTS = 61000, /* and above: the raw peer's, beyond the client's range */
};

/** struct raw - the peer; what the server sent to it since the last raw_forget() */
struct raw {
	struct pair *pair;
	uint32_t n;
	uint32_t syn_acks, resets, others;
	struct mr_segment last;
	uint64_t last_ns; /* when it was sent */
};

/** raw_init() - take the wire's fate; after pair_start() */
void raw_init(struct raw *r, struct pair *p);

/** raw_forget() - count from zero */
void raw_forget(struct raw *r);

/** raw_frame() - @len bytes as they are, from the client's end to the server */
void raw_frame(struct raw *r, const void *frame, uint32_t len);

/** raw_segment() - a TCP segment over IPv4 from the client's address */
void raw_segment(struct raw *r, uint16_t from, uint16_t to, const struct mr_segment_out *out,
		 const void *text, uint32_t len);

/** raw_run() - the server gets it and answers */
void raw_run(struct raw *r, uint32_t ms);

/** raw_reset() - a RST with @seq, and its turn */
void raw_reset(struct raw *r, uint16_t from, uint16_t to, uint32_t seq);

/** raw_syn() - open: send a SYN and take the SYN-ACK's numbers from r->last; false: none came */
bool raw_syn(struct raw *r, uint16_t from, uint16_t to, uint32_t isn);

/** raw_ack() - an ACK of all that r->last carried, with @text; @seq: the next of ours */
void raw_ack(struct raw *r, uint16_t from, uint16_t to, uint32_t seq, const void *text,
	     uint32_t len);

#endif
