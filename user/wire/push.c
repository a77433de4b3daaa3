/* SPDX-License-Identifier: MIT */
/* Headers of a TCP segment, written from the payload towards the front of the frame. */
#include "user/wire/segment.h"

#include <netinet/in.h>

#include "user/wire/checksum.h"
#include "user/wire/plain.h"

/* Once for each shape of header, whose lengths are then constants. */
#define INLINE inline __attribute__((always_inline))

_Static_assert(offsetof(struct mr_link, own_mac) == 6, "copied as twelve bytes");

/* Nothing but timestamps: what nearly every segment carries. */
static inline bool is_timestamps_alone(const struct mr_tcp_options *o)
{
	return o->has_timestamps &&
	       !(o->mss | o->has_window_scale | o->sack_permitted | o->n_sack | o->has_ecn);
}

/* Timestamps behind two NOPs: in registers, as the rest of the header. */
static inline uint64_t put_timestamps(uint8_t *p, const struct mr_tcp_options *o, uint64_t sum)
{
	const uint32_t kinds = mr_to_be32(MR_OPT_TS_BLOCK).raw;
	const uint64_t stamps = word_of(o->ts_val, o->ts_ecr);

	store_u32(p, kinds);
	store_word(p + 4, stamps);
	return sum_add(sum_add(sum, kinds), stamps);
}

static uint64_t put_options(uint8_t *p, size_t len, const struct mr_tcp_options *o, uint64_t sum)
{
	mr_tcp_options_write(o, p);
	return mr_checksum_partial(p, len, sum);
}

/*
 * RFC 9293 3.1. Headers are put together in registers and summed there: to read back as words what
 * was just written as bytes would wait for the store buffer.
 * @options:	their bytes; @plain: they are timestamps alone
 * @sum:	of the addresses
 */
static INLINE uint8_t *push_tcp(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				const struct mr_segment_out *out, size_t options, bool plain,
				uint64_t sum)
{
	const size_t header = MR_TCP_BYTES + options;
	const uint32_t ports = (uint32_t)mr_be16(tuple->local_port) << 16 |
			       mr_be16(tuple->remote_port);
	const uint64_t first = word_of(ports, out->seq);
	const uint64_t second =
		word_of(out->ack, (uint32_t)header << 26 | (uint32_t)(out->ecn & MR_AE) << 22 |
					  (uint32_t)out->flags << 16 | out->wnd);
	uint8_t *p = payload - header;
	struct mr_be16 urgent;
	uint16_t checksum;

	store_word(p, first);
	store_word(p + 8, second);
	sum = sum_add(sum, sum_protocol(IPPROTO_TCP, (uint32_t)(header + len)));
	sum = sum_add(sum_add(sum, first), second);
	if (plain)
		sum = put_timestamps(p + MR_TCP_BYTES, &out->options, sum);
	else if (options)
		sum = put_options(p + MR_TCP_BYTES, options, &out->options, sum);
	urgent = mr_to_be16(out->urgent);
	checksum = sum_fold(sum_bytes(payload, len, sum_add(sum, urgent.raw)));
	memcpy(p + 16, &checksum, sizeof(checksum));
	memcpy(p + 18, &urgent, sizeof(urgent));
	return p;
}

/* RFC 2474 3, RFC 3168 5: six bits of DSCP, two of ECN. */
static inline uint32_t traffic_class(const struct mr_segment_out *out)
{
	return (out->dscp & 0x3fu) << 2 | (out->ecn & MR_ECN_IP);
}

/* RFC 791 3.1, without options, DF set (RFC 1191). */
static inline uint8_t *push_ipv4(uint8_t *tcp, size_t len, uint32_t source, uint32_t destination,
				 const struct mr_segment_out *out, uint16_t ip_id)
{
	const uint32_t length = MR_IPV4_BYTES + (uint32_t)len;
	const uint8_t ttl = out->ttl ? out->ttl : MR_TTL_DEFAULT;
	const uint64_t first = word_of((4u << 4 | MR_IPV4_BYTES / 4) << 24 |
					       traffic_class(out) << 16 | (uint16_t)length,
				       (uint32_t)ip_id << 16 | MR_IP_DF);
	const uint32_t ttl_protocol = mr_to_be32((uint32_t)ttl << 24 | IPPROTO_TCP << 16).raw;
	uint8_t *p = tcp - MR_IPV4_BYTES;
	uint64_t sum = sum_add(first, (uint64_t)ttl_protocol + source + destination);
	uint16_t checksum = sum_fold(sum);

	store_word(p, first);
	store_u32(p + 8, ttl_protocol);
	memcpy(p + 10, &checksum, sizeof(checksum));
	store_u32(p + 12, source);
	store_u32(p + 16, destination);
	return p;
}

/* RFC 8200 3, flow label 0. */
static inline uint8_t *push_ipv6(uint8_t *tcp, size_t len, const struct mr_tuple *tuple,
				 const struct mr_segment_out *out)
{
	const uint8_t ttl = out->ttl ? out->ttl : MR_TTL_DEFAULT;
	uint8_t *p = tcp - MR_IPV6_BYTES;

	store_word(p, word_of(6u << 28 | traffic_class(out) << 20,
			      (uint32_t)len << 16 | IPPROTO_TCP << 8 | ttl));
	memcpy(p + 8, tuple->local, 16);
	memcpy(p + 24, tuple->remote, 16);
	return p;
}

static uint8_t *push_tag(uint8_t *p, uint16_t tci, uint16_t next_type)
{
	p -= MR_VLAN_BYTES;
	store_be16(p, tci);
	store_be16(p + 2, next_type);
	return p;
}

/* 802.1Q: a lone tag is a customer tag, the outer one of two a service tag. */
static uint8_t *push_tags(uint8_t *p, const struct mr_link *link, uint16_t *type)
{
	if (link->vlan[1]) {
		p = push_tag(p, link->vlan[1], *type);
		*type = ETH_VLAN;
	}
	if (link->vlan[0]) {
		p = push_tag(p, link->vlan[0], *type);
		*type = link->vlan[1] ? ETH_QINQ : ETH_VLAN;
	}
	return p;
}

static inline bool is_tagged(const struct mr_link *link)
{
	return link->vlan[0] | link->vlan[1];
}

/* IEEE 802.3. */
static inline uint8_t *push_ethernet(uint8_t *p, const struct mr_link *link, uint16_t type)
{
	if (is_tagged(link))
		p = push_tags(p, link, &type);
	p -= MR_ETH_BYTES;
	memcpy(p, link, 12); /* both addresses */
	store_be16(p + 12, type);
	return p;
}

static INLINE size_t push_over_ipv4(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				    const struct mr_link *link, const struct mr_segment_out *out,
				    uint16_t ip_id, size_t options, bool plain)
{
	const uint32_t source = load_u32(tuple->local + 12);
	const uint32_t destination = load_u32(tuple->remote + 12);
	uint8_t *p =
		push_tcp(payload, len, tuple, out, options, plain, (uint64_t)source + destination);

	p = push_ipv4(p, MR_TCP_BYTES + options + len, source, destination, out, ip_id);
	p = push_ethernet(p, link, ETH_IPV4);
	return (size_t)(payload - p);
}

static INLINE size_t push_over_ipv6(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
				    const struct mr_link *link, const struct mr_segment_out *out,
				    size_t options, bool plain)
{
	uint8_t *p = push_tcp(payload, len, tuple, out, options, plain,
			      sum_addresses(tuple->local, tuple->remote));

	p = push_ipv6(p, MR_TCP_BYTES + options + len, tuple, out);
	p = push_ethernet(p, link, ETH_IPV6);
	return (size_t)(payload - p);
}

/* SYNs, and segments with SACK blocks or without any option. */
static __attribute__((noinline)) size_t push_any(uint8_t *payload, size_t len,
						 const struct mr_tuple *tuple,
						 const struct mr_link *link,
						 const struct mr_segment_out *out, uint16_t ip_id)
{
	size_t options = mr_tcp_options_bytes(&out->options);

	if (mr_is_ipv4(tuple->remote))
		return push_over_ipv4(payload, len, tuple, link, out, ip_id, options, false);
	return push_over_ipv6(payload, len, tuple, link, out, options, false);
}

size_t mr_segment_push(uint8_t *payload, size_t len, const struct mr_tuple *tuple,
		       const struct mr_link *link, const struct mr_segment_out *out, uint16_t ip_id)
{
	if (!is_timestamps_alone(&out->options))
		return push_any(payload, len, tuple, link, out, ip_id);
	if (mr_is_ipv4(tuple->remote))
		return push_over_ipv4(payload, len, tuple, link, out, ip_id, MR_TS_OPTION_BYTES,
				      true);
	return push_over_ipv6(payload, len, tuple, link, out, MR_TS_OPTION_BYTES, true);
}
