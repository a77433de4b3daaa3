/* SPDX-License-Identifier: MIT */
/*
 * A TCP segment (or an ICMP error about one) taken out of a frame, and put into one. Pure: no
 * clock, no I/O, no allocation, no globals. Offsets count from the first byte of the frame.
 */
#ifndef MR_SEGMENT_H
#define MR_SEGMENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include "shared/mr_endian.h"

/* RFC 9293 3.1, control bits. */
enum {
	MR_FIN = 0x01,
	MR_SYN = 0x02,
	MR_RST = 0x04,
	MR_PSH = 0x08,
	MR_ACK = 0x10,
	MR_URG = 0x20,
	MR_ECE = 0x40,
	MR_CWR = 0x80,
};

/* Beside IP's two bits in mr_segment.ecn: TCP's AE bit (RFC 9768), which is no part of `flags`. */
enum {
	MR_ECN_IP = 0x03,
	MR_AE = 0x04,
};

enum {
	MR_ETH_BYTES = 14,
	MR_VLAN_BYTES = 4,
	MR_IPV4_BYTES = 20,
	MR_IPV6_BYTES = 40,
	MR_TCP_BYTES = 20,
	MR_TCP_OPTIONS_MAX = 40,
	/* Ethernet, two tags, IPv6, TCP with all options: what must be free before a payload. */
	MR_HEADERS_MAX = MR_ETH_BYTES + 2 * MR_VLAN_BYTES + MR_IPV6_BYTES + MR_TCP_BYTES +
			 MR_TCP_OPTIONS_MAX,
	MR_TS_OPTION_BYTES = 12,   /* NOP NOP timestamps */
	MR_MSS_DEFAULT_IPV4 = 536, /* RFC 9293 3.7.1, MUST-15 */
	MR_MSS_DEFAULT_IPV6 = 1220,
};

/* Both ends as this host sees them: IPv4 addresses as ::ffff:a.b.c.d. */
struct mr_tuple {
	uint8_t local[16];
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
};

/* Where a frame came from, or goes to, on the link. TCI 0: no tag. */
struct mr_link {
	uint8_t peer_mac[6];
	uint8_t own_mac[6];
	uint16_t vlan[2]; /* outer and inner TCI, host order */
};

/* RFC 9293 3.2, RFC 7323, RFC 2018, RFC 7413: the options this stack knows. */
struct mr_tcp_options {
	uint16_t mss; /* 0: absent */
	bool has_window_scale;
	uint8_t window_shift; /* at most 14 (RFC 7323 2.3) */
	bool sack_permitted;
	bool has_timestamps;
	uint8_t n_sack;	    /* SACK blocks, at most 4 */
	bool has_fast_open; /* RFC 7413; for SYNs only */
	bool fast_open_experimental;
	uint8_t fast_open_bytes; /* 0: asks for a cookie; else 4 to 16 */
	bool has_ecn;		 /* RFC 9768 3.2.3 */
	uint8_t n_ecn;		 /* counters in `ecn_bytes`: the first ones of the option */
	uint32_t ts_val;
	uint32_t ts_ecr;
	/* what follows is undefined as far as the counts above do not say that it is there */
	uint8_t fast_open[16];
	struct {
		uint32_t left;
		uint32_t right;
	} sack[4];
	/* 24 bits each; 0xac, AccECN0: ECT(0), CE, ECT(1); 0xae, AccECN1: ECT(1), CE, ECT(0) */
	uint32_t ecn_bytes[3];
	uint8_t ecn_kind;
};

/** mr_tcp_options_clear() - none is there */
static inline void mr_tcp_options_clear(struct mr_tcp_options *o)
{
	__builtin_memset(o, 0, __builtin_offsetof(struct mr_tcp_options, fast_open));
}

/**
 * struct mr_segment - one parsed segment, host order
 * @payload:	offset of the text in the frame; @len bytes of it
 */
struct mr_segment {
	struct mr_tuple tuple;
	struct mr_link link;
	uint32_t seq;
	uint32_t ack;
	uint16_t wnd;	 /* as in the header, not scaled */
	uint16_t urgent; /* the pointer, meant with MR_URG */
	uint8_t flags;
	uint8_t ecn; /* IP's two ECN bits, MR_AE */
	uint16_t payload;
	uint16_t len;
	struct mr_tcp_options options;
};

/** mr_segment_length() - SEG.LEN of RFC 9293 3.3.1: text plus SYN and FIN */
static inline uint32_t mr_segment_length(const struct mr_segment *s)
{
	return s->len + !!(s->flags & MR_SYN) + !!(s->flags & MR_FIN);
}

/* RFC 9293 3.4: sequence numbers compare modulo 2^32. */
static inline bool mr_seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool mr_seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t mr_seq_max(uint32_t a, uint32_t b)
{
	return mr_seq_lt(a, b) ? b : a;
}

/** mr_is_ipv4() - does @addr hold an IPv4 address (::ffff:0:0/96)? */
static inline bool mr_is_ipv4(const uint8_t addr[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return __builtin_memcmp(addr, prefix, 12) == 0;
}

/* What a frame is to a lane. */
enum mr_frame_kind {
	MR_KIND_TCP,  /* @seg is set */
	MR_KIND_ICMP, /* @icmp is set */
	MR_KIND_DROP, /* @drop says why */
};

/* ICMP error about a segment that we sent (RFC 792, RFC 4443; checks of RFC 5927 are TCP's). */
struct mr_icmp_error {
	struct mr_tuple tuple; /* the quoted segment's source is our local end */
	uint32_t seq;	       /* of the quoted segment */
	uint32_t mtu;	       /* next-hop MTU of "fragmentation needed" / "packet too big", or 0 */
	uint16_t quoted_bytes; /* length of the quoted packet as it says itself */
	uint8_t type;
	uint8_t code;
	bool ipv6;
};

/**
 * mr_frame_parse() - one frame, every header checked
 * @frame:	@len bytes, read only
 * @seg:	out for MR_KIND_TCP; its options are parsed
 * @icmp:	out for MR_KIND_ICMP
 * @drop:	out for MR_KIND_DROP: enum mr_drop
 *
 * Ethernet, at most two tags, IPv4 with options, IPv6 with at most six extension headers (an
 * atomic fragment counts as none, RFC 6946), TCP, ICMP errors. Checks: every length from below
 * and above, IPv4 header checksum, TCP and ICMP checksum over the IP payload (not over Ethernet
 * padding), options (RFC 9293 3.1, MUST-4 to MUST-7: an illegal length is malformed), source and
 * destination addresses (RFC 1122 3.2.1.3, MUST-57, MUST-63: neither may be multicast, broadcast
 * 255.255.255.255, zero, loopback or, in IPv6, a mapped IPv4 address; a frame to a group MAC is for
 * nobody, RFC 1122 3.3.6; port 0 is accepted as any other).
 *
 * Return: the kind
 */
enum mr_frame_kind mr_frame_parse(const uint8_t *frame, size_t len, struct mr_segment *seg,
				  struct mr_icmp_error *icmp, int *drop);

/** mr_tcp_options_parse() - @len bytes at @p; false when malformed, @o is then partly set */
bool mr_tcp_options_parse(struct mr_tcp_options *o, const uint8_t *p, size_t len);

/**
 * struct mr_segment_out - what to write in front of a payload
 * @options:	written in Linux's order: mss, sackOK, TS, nop wscale, fast open on SYN; nop nop TS;
 *		AccECN (behind TS); nop nop SACK. Absent ones by mss 0, has_* false, n_sack 0
 * @ecn:	IP's two ECN bits, MR_AE
 * @wnd:	the header's field, already scaled
 * @urgent:	the pointer, with MR_URG; else 0
 */
struct mr_segment_out {
	uint32_t seq;
	uint32_t ack;
	uint16_t wnd;
	uint16_t urgent;
	uint8_t flags;
	uint8_t ecn;
	uint8_t ttl;  /* 0: 64 */
	uint8_t dscp; /* RFC 2474 */
	struct mr_tcp_options options;
};

/**
 * mr_segment_push() - write all headers in front of a payload that already lies in the frame
 * @payload:	first byte of the text; MR_HEADERS_MAX bytes before it are writable
 * @len:	bytes of text, checksummed here
 * @ip_id:	IPv4 identification; DF is always set
 *
 * Return: bytes of headers written: the frame starts at @payload minus that
 */
size_t mr_segment_push(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
		       const struct mr_link *link, const struct mr_segment_out *out,
		       uint16_t ip_id);

/** mr_tcp_options_bytes() - padded bytes that mr_segment_push() writes for @o, 0 to 40 */
size_t mr_tcp_options_bytes(const struct mr_tcp_options *o);

#endif
