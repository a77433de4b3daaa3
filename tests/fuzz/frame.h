/* SPDX-License-Identifier: MIT */
/*
 * Frames for the targets, made without the code under test: a segment with any options, tags and
 * headers that IP allows, an ICMP error that quotes one, and checksums made right in any bytes.
 */
#ifndef MR_FUZZ_FRAME_H
#define MR_FUZZ_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_MAX = 1900, /* what a frame of 2048 bytes holds behind the headroom */
	FRAME_TEXT_MAX = 1460,
	FRAME_OPTIONS_MAX = 40,
};

/* Both ends of the wire: the lane's and the peer's. */
extern const uint8_t frame_lane_mac[6], frame_peer_mac[6];
extern const uint8_t frame_lane_addr[2][16], frame_peer_addr[2][16]; /* IPv4 mapped, IPv6 */

/** struct frame_segment - a segment of the peer to the lane (or, with @back, the other way) */
struct frame_segment {
	bool ipv6;
	bool back;
	uint16_t vlan;	   /* TCI, 0: no tag */
	uint8_t ip_extras; /* IPv4: words of options (NOPs); IPv6: hop-by-hop headers; 0 to 3 */
	uint8_t ecn;	   /* IP's two bits, and TCP's AE above them */
	uint16_t from, to;
	uint32_t seq, ack;
	uint16_t wnd;
	uint16_t urgent;
	uint8_t flags;
	const uint8_t *options;
	uint8_t options_len; /* filled up with END to a multiple of four */
	const uint8_t *text;
	uint16_t text_len;
};

/** frame_build() - the whole frame into @out of FRAME_MAX bytes; returns its length */
size_t frame_build(uint8_t *out, const struct frame_segment *s);

/**
 * frame_build_icmp() - an ICMP error to the lane about a segment that it sent
 * @quoted:	the segment, @back is taken as set
 * @quote:	how many bytes of the quoted packet come along
 */
size_t frame_build_icmp(uint8_t *out, const struct frame_segment *quoted, uint8_t type,
			uint8_t code, uint32_t rest, size_t quote);

/** frame_repair() - make the checksums of IPv4, TCP and ICMP right as far as lengths allow */
void frame_repair(uint8_t *frame, size_t len);

#endif
