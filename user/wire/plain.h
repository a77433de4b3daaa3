/* SPDX-License-Identifier: MIT */
/*
 * The shape that nearly every frame has: untagged, IPv4 or IPv6 without options or extension
 * headers, TCP with timestamps alone. It is taken as one, with its fields at fixed places, and
 * written as one, in registers. Whatever is unusual about a frame goes through parse.c and push.c,
 * which know the reason.
 */
#ifndef MR_PLAIN_H
#define MR_PLAIN_H

#include <netinet/in.h>

#include "user/wire/bytes.h"
#include "user/wire/segment.h"
#include "user/wire/tcp_options.h"

enum {
	MR_PLAIN_IP = MR_ETH_BYTES,
	MR_PLAIN_TCP_BYTES = MR_TCP_BYTES + MR_TS_OPTION_BYTES,
	MR_PLAIN_IPV4 = MR_PLAIN_IP + MR_IPV4_BYTES, /* where TCP begins */
	MR_PLAIN_IPV6 = MR_PLAIN_IP + MR_IPV6_BYTES,
	MR_PLAIN_BYTES = MR_PLAIN_IPV4 + MR_PLAIN_TCP_BYTES, /* of the shorter one */

	MR_IP_FRAGMENT_OFFSET = 0x1fff,
	MR_IP_FRAGMENT = 0x2000 | MR_IP_FRAGMENT_OFFSET, /* MF, or an offset */
	MR_IP_DF = 0x4000,

	MR_TTL_DEFAULT = 64, /* RFC 9293 3.9.2, MUST-49: configurable */
};

/* Eight bytes at @p against @want, as far as @mask (both in network order) says. */
static inline bool plain_is(const uint8_t *p, uint64_t mask, uint64_t want)
{
	return !((load_word(p) ^ word_of((uint32_t)(want >> 32), (uint32_t)want)) &
		 word_of((uint32_t)(mask >> 32), (uint32_t)mask));
}

/* Data offset 8, reserved bits and AE 0, and behind the header the layout of RFC 7323 appendix A;
 * to a single host. */
static inline bool plain_has_timestamps(const uint8_t *f, const uint8_t *tcp)
{
	return tcp[12] == MR_PLAIN_TCP_BYTES / 4 << 4 &&
	       load_be32(tcp + MR_TCP_BYTES) == MR_OPT_TS_BLOCK && !(f[0] & 1);
}

static inline bool plain_sum_is_right(const uint8_t *tcp, uint32_t len, uint64_t sum)
{
	sum = add_32_bytes(tcp, sum);
	return sum_is_right(sum_text(tcp + MR_PLAIN_TCP_BYTES, len - MR_PLAIN_TCP_BYTES, sum));
}

/* @f: the first @len bytes. Bytes of the TCP segment, 0: not plain. */
static inline uint32_t plain_ipv4(const uint8_t *f, size_t len)
{
	const uint64_t addrs = load_word(f + MR_PLAIN_IP + 12);
	uint32_t ip_len = load_be16(f + MR_PLAIN_IP + 2);
	uint64_t sum;

	/* EtherType, version and header length; flags and offset, protocol */
	if (!plain_is(f + 12, 0xffffff0000000000, (uint64_t)ETH_IPV4 << 48 | 0x450000000000) ||
	    !plain_is(f + MR_PLAIN_IP + 6, (uint64_t)MR_IP_FRAGMENT << 48 | 0xff00000000,
		      (uint64_t)IPPROTO_TCP << 32) ||
	    !plain_has_timestamps(f, f + MR_PLAIN_IPV4) || ip_len > len - MR_PLAIN_IP ||
	    ip_len < MR_IPV4_BYTES + MR_PLAIN_TCP_BYTES)
		return 0;
	sum = sum_add(load_word(f + MR_PLAIN_IP), addrs);
	if (!sum_is_right(sum_add(sum, load_u32(f + MR_PLAIN_IP + 8))))
		return 0;
	ip_len -= MR_IPV4_BYTES;
	sum = sum_add(addrs, sum_protocol(IPPROTO_TCP, ip_len));
	return plain_sum_is_right(f + MR_PLAIN_IPV4, ip_len, sum) ? ip_len : 0;
}

static inline uint32_t plain_ipv6(const uint8_t *f, size_t len)
{
	const uint8_t *addrs = f + MR_PLAIN_IP + 8;
	uint32_t tcp_len = load_be16(f + MR_PLAIN_IP + 4);
	uint64_t sum;

	if (len < MR_PLAIN_IPV6 + MR_PLAIN_TCP_BYTES || f[MR_PLAIN_IP] >> 4 != 6 ||
	    f[MR_PLAIN_IP + 6] != IPPROTO_TCP || !plain_has_timestamps(f, f + MR_PLAIN_IPV6) ||
	    tcp_len > len - MR_PLAIN_IPV6 || tcp_len < MR_PLAIN_TCP_BYTES)
		return 0;
	sum = sum_add(sum_addresses(addrs, addrs + 16), sum_protocol(IPPROTO_TCP, tcp_len));
	return plain_sum_is_right(f + MR_PLAIN_IPV6, tcp_len, sum) ? tcp_len : 0;
}

/**
 * mr_plain_check() - is it such a frame, with every length and checksum right?
 * @text:	out for a result: bytes of text, which follow MR_PLAIN_TCP_BYTES of TCP's header
 *
 * Addresses are not looked at: the caller has a connection that has them, or asks mr_frame_parse().
 *
 * Return: the offset of the TCP header, MR_PLAIN_IPV4 or MR_PLAIN_IPV6; 0: something else
 */
static inline uint32_t mr_plain_check(const uint8_t *frame, size_t len, uint32_t *text)
{
	uint32_t at = MR_PLAIN_IPV4;
	uint32_t tcp_len;

	*text = 0;
	if (len < MR_PLAIN_BYTES)
		return 0;
	if (load_be16(frame + 12) == ETH_IPV6) {
		at = MR_PLAIN_IPV6;
		tcp_len = plain_ipv6(frame, len);
	} else {
		tcp_len = plain_ipv4(frame, len);
	}
	if (!tcp_len)
		return 0;
	*text = tcp_len - MR_PLAIN_TCP_BYTES;
	return at;
}

/** mr_plain_parse() - mr_frame_parse() for which mr_plain_check() said @tcp and @text */
enum mr_frame_kind mr_plain_parse(const uint8_t *frame, size_t len, uint32_t tcp, uint32_t text,
				  struct mr_segment *seg, struct mr_icmp_error *icmp, int *drop);

/** mr_plain_read() - fields of the TCP header at @tcp, and the length; nothing else of @seg */
static inline void mr_plain_read(const uint8_t *tcp, uint32_t text, struct mr_segment *seg)
{
	seg->seq = load_be32(tcp + 4);
	seg->ack = load_be32(tcp + 8);
	seg->flags = tcp[13];
	seg->wnd = load_be16(tcp + 14);
	seg->len = (uint16_t)text;
	seg->options.has_timestamps = true;
	seg->options.n_sack = 0;
	seg->options.ts_val = load_be32(tcp + MR_TCP_BYTES + 4);
	seg->options.ts_ecr = load_be32(tcp + MR_TCP_BYTES + 8);
}

/**
 * struct mr_plain_out - what is written of such a segment; PSH and ACK are set
 * @wnd:	the header's field, already scaled
 * @ttl:	0: MR_TTL_DEFAULT
 */
struct mr_plain_out {
	uint32_t seq;
	uint32_t ack;
	uint32_t ts_val;
	uint32_t ts_ecr;
	uint16_t wnd;
	uint8_t ttl;
	uint8_t dscp; /* RFC 2474 */
};

/* Header and options at @p; the sum of both with @sum, the checksum's field being zero. */
static inline uint64_t plain_put_tcp(uint8_t *p, const struct mr_tuple *tuple,
				     const struct mr_plain_out *out, uint64_t sum)
{
	const uint32_t ports = load_u32((const uint8_t *)&tuple->local_port);
	const uint32_t bits = mr_to_be32((uint32_t)MR_PLAIN_TCP_BYTES / 4 << 28 |
					 (uint32_t)(MR_ACK | MR_PSH) << 16 | out->wnd)
				      .raw;
	const uint32_t kinds = mr_to_be32(MR_OPT_TS_BLOCK).raw;
	const uint64_t numbers = word_of(out->seq, out->ack);
	const uint64_t stamps = word_of(out->ts_val, out->ts_ecr);

	store_u32(p, ports);
	store_word(p + 4, numbers);
	store_u32(p + 12, bits);
	store_u32(p + 16, 0); /* checksum, urgent pointer */
	store_u32(p + MR_TCP_BYTES, kinds);
	store_word(p + MR_TCP_BYTES + 4, stamps);
	sum = sum_add(sum, (uint64_t)ports + bits + kinds);
	return sum_add(sum_add(sum, numbers), stamps);
}

/* RFC 791 3.1, DF set (RFC 1191); @len: of the segment. */
static inline void plain_put_ipv4(uint8_t *p, uint32_t len, uint32_t source, uint32_t destination,
				  const struct mr_plain_out *out, uint16_t ip_id)
{
	const uint64_t first =
		word_of(0x45u << 24 | (out->dscp & 0x3fu) << 18 | (uint16_t)(MR_IPV4_BYTES + len),
			(uint32_t)ip_id << 16 | MR_IP_DF);
	const uint32_t ttl = (uint32_t)(out->ttl ? out->ttl : MR_TTL_DEFAULT);
	const uint32_t ttl_protocol = mr_to_be32(ttl << 24 | IPPROTO_TCP << 16).raw;
	const uint16_t checksum =
		sum_fold(sum_add(first, (uint64_t)ttl_protocol + source + destination));

	store_word(p, first);
	store_u32(p + 8, ttl_protocol);
	memcpy(p + 10, &checksum, sizeof(checksum));
	store_u32(p + 12, source);
	store_u32(p + 16, destination);
}

/* RFC 8200 3, flow label 0. */
static inline void plain_put_ipv6(uint8_t *p, uint32_t len, const struct mr_tuple *tuple,
				  const struct mr_plain_out *out)
{
	const uint32_t ttl = (uint32_t)(out->ttl ? out->ttl : MR_TTL_DEFAULT);

	store_word(p, word_of(6u << 28 | (out->dscp & 0x3fu) << 22,
			      len << 16 | IPPROTO_TCP << 8 | ttl));
	memcpy(p + 8, tuple->local, 16);
	memcpy(p + 24, tuple->remote, 16);
}

static inline void plain_put_ethernet(uint8_t *p, const uint8_t peer[6], const uint8_t own[6],
				      uint16_t type)
{
	memcpy(p, peer, 6);
	memcpy(p + 6, own, 6);
	store_be16(p + 12, type);
}

/* Header, options and checksum of @len bytes at @payload; @sum: of the addresses. */
static inline void plain_push_tcp(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				  const struct mr_plain_out *out, uint64_t sum)
{
	uint8_t *tcp = payload - MR_PLAIN_TCP_BYTES;
	uint16_t checksum;

	sum = sum_add(sum, sum_protocol(IPPROTO_TCP, (uint32_t)(MR_PLAIN_TCP_BYTES + len)));
	sum = plain_put_tcp(tcp, tuple, out, sum);
	checksum = sum_fold(sum_text(payload, len, sum));
	memcpy(tcp + 16, &checksum, sizeof(checksum));
}

static inline size_t plain_push_ipv4(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				     const uint8_t peer[6], const uint8_t own[6],
				     const struct mr_plain_out *out, uint16_t ip_id)
{
	const uint32_t source = load_u32(tuple->local + 12);
	const uint32_t destination = load_u32(tuple->remote + 12);

	plain_put_ethernet(payload - MR_PLAIN_BYTES, peer, own, ETH_IPV4);
	plain_put_ipv4(payload - MR_PLAIN_BYTES + MR_PLAIN_IP, (uint32_t)(MR_PLAIN_TCP_BYTES + len),
		       source, destination, out, ip_id);
	plain_push_tcp(payload, len, tuple, out, (uint64_t)source + destination);
	return MR_PLAIN_BYTES;
}

static inline size_t plain_push_ipv6(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				     const uint8_t peer[6], const uint8_t own[6],
				     const struct mr_plain_out *out)
{
	const size_t headers = MR_PLAIN_IPV6 + MR_PLAIN_TCP_BYTES;

	plain_put_ethernet(payload - headers, peer, own, ETH_IPV6);
	plain_put_ipv6(payload - headers + MR_PLAIN_IP, (uint32_t)(MR_PLAIN_TCP_BYTES + len), tuple,
		       out);
	plain_push_tcp(payload, len, tuple, out, sum_addresses(tuple->local, tuple->remote));
	return headers;
}

/**
 * mr_plain_push() - what mr_segment_push() does, for such a segment to an untagged link
 *
 * Return: bytes of headers written
 */
static inline size_t mr_plain_push(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				   const uint8_t peer[6], const uint8_t own[6],
				   const struct mr_plain_out *out, uint16_t ip_id)
{
	if (__builtin_expect(mr_is_ipv4(tuple->remote), 1))
		return plain_push_ipv4(payload, len, tuple, peer, own, out, ip_id);
	return plain_push_ipv6(payload, len, tuple, peer, own, out);
}

#endif
