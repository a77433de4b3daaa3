/* SPDX-License-Identifier: MIT */
/*
 * The simulator's own eyes on a frame: small, strict, and independent of user/wire, so that a fault
 * there is seen and not shared.
 */
#ifndef SIM_SEGMENT_H
#define SIM_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SIM_FRAME_BYTES = 2048, /* of any frame on the simulated net */
};

/**
 * struct sim_seg - one TCP segment; pointers into the frame
 * @ip_len, @tcp_len: with what follows the header
 * @client_side: does side 1 (the client's addresses) send it?
 */
struct sim_seg {
	uint8_t *ip, *tcp, *text, *ts;
	uint32_t ip_len, tcp_len, text_len;
	bool ipv6, client_side;
	uint16_t sport, dport, wnd, mss, urgent;
	uint32_t seq, ack, ts_val, ts_ecr;
	uint8_t flags, shift;
	uint8_t tos, ttl; /* of either family */
	uint8_t fast_open_bytes;
	bool has_ts, has_shift, sack;
	uint8_t ace;	    /* AE, CWR and ECE (RFC 9768) */
	uint8_t n_counters; /* of an AccECN1 option */
	uint32_t counter[3];
	uint64_t fast_open; /* the cookie's first eight bytes, 0: none */
};

/** sim_seg_parse() - an untagged frame; false: not TCP of this net, or malformed */
bool sim_seg_parse(struct sim_seg *s, uint8_t *frame, uint32_t len);

/** sim_seg_sums_are_good() - IPv4 header checksum and TCP checksum */
bool sim_seg_sums_are_good(const struct sim_seg *s);

/** sim_seg_repair() - write both checksums anew */
void sim_seg_repair(struct sim_seg *s);

/** sim_seg_put() - write sequence number, acknowledgment and flags; no checksum */
void sim_seg_put(struct sim_seg *s, uint32_t seq, uint32_t ack, uint8_t flags);

/**
 * sim_seg_cut() - as hardware that cuts segments: the first @keep bytes of the text here, the rest
 * in @rest
 * @rest:	SIM_FRAME_BYTES
 *
 * Return: bytes of the frame at @rest; *@len becomes the first one's
 */
uint32_t sim_seg_cut(struct sim_seg *s, uint8_t *frame, uint32_t *len, uint32_t keep,
		     uint8_t *rest);

/** sim_seg_strip() - as a middlebox: turn SYN options into NOPs and repair the checksum
 * @kinds:	one bit a kind of option
 */
void sim_seg_strip(struct sim_seg *s, uint64_t kinds);

/** sim_seg_mark() - CE */
void sim_seg_mark(struct sim_seg *s);

/** sim_seg_too_big() - the ICMP error that a router answers; returns its bytes, at @out */
uint32_t sim_seg_too_big(const struct sim_seg *s, const uint8_t *frame, uint32_t mtu, uint8_t *out);

static inline uint32_t sim_load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t sim_load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void sim_store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void sim_store32(uint8_t *p, uint32_t v)
{
	sim_store16(p, v >> 16);
	sim_store16(p + 2, v);
}

#endif
