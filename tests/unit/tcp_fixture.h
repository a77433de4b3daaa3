/* SPDX-License-Identifier: MIT */
/*
 * Two ends of one connection, each with a TCP of its own (rfc_fixture.h), and a channel between
 * them that loses, doubles and reorders. Deterministic for a seed. And short words for tests of
 * one end.
 */
#ifndef MR_TCP_FIXTURE_H
#define MR_TCP_FIXTURE_H

#include "tests/unit/rfc_fixture.h"

/* arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt) */
#define arrives(f, c, ...)	    rfc_arrives(f, c, IN(__VA_ARGS__))
#define arrives_in_burst(f, c, ...) rfc_arrives_only(f, c, IN(__VA_ARGS__))

/** tcp_byte() - the byte at @offset of every stream in these tests */
uint8_t tcp_byte(uint32_t offset);

/** tcp_bytes() - @len bytes of the stream from @offset on, at most 64 KiB; until the next call */
const uint8_t *tcp_bytes(uint32_t offset, uint32_t len);

/** tcp_text_arrives() - text of the stream at @offset behind RFC_IRS + 1, with the output stage */
int tcp_text_arrives(struct rfc *f, struct mr_conn *c, uint32_t offset, uint16_t len,
		     uint8_t flags);

/** tcp_ack_arrives() - pure ACK of everything before @ack */
int tcp_ack_arrives(struct rfc *f, struct mr_conn *c, uint32_t ack);

/* xorshift32 */
uint32_t tcp_random(uint32_t *seed);

/* What the channel does and what the two applications do. */
struct tcp_pair_options {
	uint32_t seed;
	uint32_t client_bytes, server_bytes; /* each way */
	uint32_t client_iss, server_iss;     /* 0: by clock */
	uint8_t loss, dup, reorder;	     /* per cent */
	bool no_timestamps, no_scale, no_sack;
	uint32_t delay_ms;	   /* each way, 0: 1 */
	const uint16_t *lose;	   /* numbers of the client's full segments that are lost when they
				    * are sent first, 0 ends */
	const uint16_t *overtaken; /* the same: they come three milliseconds later than the next */
	struct mr_lane_stats *stats; /* out: of the client */
	bool hold_tx;		     /* the kernel keeps sent frames for a while */
	bool short_of_room;	     /* the transmit ring is full at times */
	bool slow_reader;	     /* the server reads little at a time, after pauses */
	bool simultaneous_close;     /* both close at once; else the server follows the client */
	bool nodelay;
	uint32_t receive_buffer; /* 0: the fixture's */
	uint32_t mtu;		 /* 0: 1500 */
};

/**
 * tcp_pair_run() - handshake, both streams, close; fails the test when a byte differs, a stream is
 * cut, an end does not end, or a frame is lost
 *
 * Return: milliseconds it took
 */
uint32_t tcp_pair_run(const struct tcp_pair_options *o);

#endif
