/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A frame's headers, one step each. A step returns the verdict that the frame gets if a lane is
 * to have it (TAKE: go on; TAKE_ICMP: an error about a flow; FRAGMENT_STEERED: the first fragment
 * of a flow); any other verdict is the last word. What is rare or not for a lane goes to the
 * kernel, which has counters of its own for it. The lane parses the frame again and trusts
 * nothing of this.
 *
 * The verifier walks every path, so where two kinds of header differ only in numbers, the code
 * computes instead of branching: that keeps the walk some ten times shorter.
 */
#ifndef MR_BPF_PARSE_H
#define MR_BPF_PARSE_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "shared/mr_endian.h"
#include "shared/mr_verdict.h"

enum {
	MAX_TAGS = 2,
	MAX_EXTENSIONS = 6,

	ETH_IPV4 = 0x0800,
	ETH_IPV6 = 0x86dd,
	ETH_VLAN = 0x8100, /* IEEE 802.1Q */
	ETH_QINQ = 0x88a8, /* IEEE 802.1ad */
	VLAN_VID = 0x0fff,

	IPV4_MORE_BIT = 13, /* RFC 791 3.1: MF, and the offset */
	IPV4_OFFSET = 0x1fff,
	IPV4_FRAGMENT = 1 << IPV4_MORE_BIT | IPV4_OFFSET,
	IPV6_MORE = 0x0001, /* RFC 8200 4.5 */
	IPV6_OFFSET = 0xfff8,

	EXT_HOP_BY_HOP = 0, /* RFC 8200 4.1 */
	EXT_ROUTING = 43,
	EXT_FRAGMENT = 44,
	EXT_DESTINATION = 60,
	EXT_UNIT = 8, /* bytes that the length of an extension header counts */

	TAKE_MAX = 255 * EXT_UNIT,

	PROTOCOL_ICMPV6 = 58,

	TCP_FIN = 0x01, /* RFC 9293 3.1 */
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	TCP_FLAGS_AT = 13, /* byte of the header */

	ICMP4_UNREACHABLE = 3, /* RFC 792 */
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_UNREACHABLE = 1, /* RFC 4443 3 */
	ICMP6_PARAMETER = 4,
};

/*
 * pos to end can be read; left is what the frame, and once IP was parsed the packet, has from
 * pos on. Ethernet padding and a frame in several buffers make the two differ.
 */
struct cursor {
	void *pos;
	void *end;
	__u32 left;
};

/*
 * Addresses and ports as they stand in the frame; of an ICMP error, as if the peer had sent it.
 * From daddr to family it is a struct mr_rule_key, so that it need not be copied.
 */
struct flow {
	__u32 daddr[4]; /* IPv4 as ::ffff:a.b.c.d */
	__u32 vlan;	/* as struct mr_rule_key has it */
	struct mr_be16 dport;
	__u8 protocol;
	__u8 family;
	__u32 saddr[4];
	struct mr_be16 sport;
	__u8 tcp_flags;
	__u8 more; /* parse_frame()'s: more fragments follow this first one */
} __attribute__((aligned(8)));

/*
 * Which frames a parser is for. The plain ones are those of nearly all flows: TCP or UDP, whole,
 * without IP options or extension headers. Whether a frame is one is all that its parser says: it
 * is part of the program's main way, where a word a reason would cost registers and steps, and
 * what it does not take is parsed once more.
 */
enum frames {
	FRAMES_PLAIN,
	FRAMES_ALL,
};

/*
 * The door to bytes: a header's address exists only if all of the header does. The frame is at
 * least as long as its first buffer, so this will do as far as IP's length is not known.
 */
static __always_inline void *take_first(struct cursor *c, __u32 len)
{
	void *p = c->pos;

	if (p + len > c->end)
		return NULL;
	__builtin_assume(p != NULL);
	c->pos = p + len;
	c->left -= len;
	return p;
}

/*
 * The same behind IP's length. Older verifiers want to see a limit on what is added to the address;
 * clang would leave out one that it can prove, unless it is kept from knowing the length.
 */
static __always_inline void *take(struct cursor *c, __u32 len)
{
	if (!__builtin_constant_p(len))
		asm volatile("" : "+r"(len));
	if (len > TAKE_MAX || len > c->left)
		return NULL;
	return take_first(c, len);
}

/* The length that IP claims for what follows; padding is behind it. */
static __always_inline bool cut_padding(struct cursor *c, __u32 len)
{
	if (len > c->left)
		return false;
	c->left = len;
	return true;
}

static __always_inline __u16 host16(__be16 v)
{
	return mr_be16((struct mr_be16){ v });
}

/* Two words of an address as one, written at once: who compares it reads it at once. */
static __always_inline void set_half(__u32 out[2], __u32 first, __u32 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	*(__u64 *)out = first | (__u64)second << 32;
#else
	*(__u64 *)out = (__u64)first << 32 | second;
#endif
}

static __always_inline void set_ipv4(__u32 out[4], __be32 addr)
{
	set_half(out, 0, 0);
	set_half(out + 2, mr_to_be32(0xffff).raw, addr);
}

static __always_inline void set_ipv6(__u32 out[4], const struct in6_addr *addr)
{
	const __u32 *w = addr->in6_u.u6_addr32;

	set_half(out, w[0], w[1]);
	set_half(out + 2, w[2], w[3]);
}

static __always_inline bool is_same_ipv6(const __u32 a[4], const struct in6_addr *b)
{
	const __u32 *w = b->in6_u.u6_addr32;

	return a[0] == w[0] && a[1] == w[1] && a[2] == w[2] && a[3] == w[3];
}

static __always_inline bool is_tag(__u16 type)
{
	return type == ETH_VLAN || type == ETH_QINQ;
}

/* IEEE 802.3, 802.1Q, 802.1ad. */
static __always_inline enum mr_verdict parse_ethernet(struct cursor *c, struct flow *f, __u16 *type)
{
	struct ethhdr *eth = take_first(c, sizeof(*eth));

	if (!eth)
		return MR_V_ETH_SHORT;
	*type = host16(eth->h_proto);
	f->vlan = 0;
	for (int i = 0; i < MAX_TAGS; i++) {
		struct vlan_hdr *tag;

		if (!is_tag(*type))
			return MR_V_TAKE;
		tag = take_first(c, sizeof(*tag));
		if (!tag)
			return MR_V_VLAN_SHORT;
		f->vlan = f->vlan << 16 | (host16(tag->h_vlan_TCI) & VLAN_VID);
		*type = host16(tag->h_vlan_encapsulated_proto);
	}
	return is_tag(*type) ? MR_V_VLAN_DEEP : MR_V_TAKE;
}

/* RFC 791 3.1. Options are stepped over. */
static __always_inline enum mr_verdict parse_ipv4(struct cursor *c, struct flow *f,
						  enum frames which)
{
	struct iphdr *ip = take_first(c, sizeof(*ip));
	__u16 fragment;
	__u32 options;

	if (!ip)
		return MR_V_IPV4_SHORT;
	options = which == FRAMES_PLAIN ? 0 : ip->ihl * 4u - sizeof(*ip);
	if (which == FRAMES_PLAIN && ip->ihl != 5)
		return MR_V_IPV4_BAD;
	if (ip->version != 4 || ip->ihl < 5 || host16(ip->tot_len) < sizeof(*ip) + options)
		return MR_V_IPV4_BAD;
	if (which != FRAMES_PLAIN && !take(c, options))
		return MR_V_IPV4_SHORT;
	if (!cut_padding(c, host16(ip->tot_len) - sizeof(*ip) - options))
		return MR_V_IPV4_BAD;
	set_ipv4(f->saddr, ip->saddr);
	set_ipv4(f->daddr, ip->daddr);
	f->protocol = ip->protocol;
	f->family = 4;
	fragment = host16(ip->frag_off);
	if (which == FRAMES_PLAIN)
		return fragment & IPV4_FRAGMENT ? MR_V_FRAGMENT : MR_V_TAKE;
	f->more = fragment >> IPV4_MORE_BIT & 1;
	return fragment & IPV4_OFFSET ? MR_V_FRAGMENT : MR_V_TAKE;
}

static __always_inline bool is_extension(__u8 kind, bool first)
{
	__u64 extensions = 1ull << EXT_ROUTING | 1ull << EXT_FRAGMENT | 1ull << EXT_DESTINATION;

	if (first)
		extensions |= 1ull << EXT_HOP_BY_HOP;
	return kind < 64 && extensions >> kind & 1;
}

/* All ones for a fragment header, else zero. */
static __always_inline __u32 fragment_mask(__u8 kind)
{
	__s32 differs = kind ^ EXT_FRAGMENT;
	__u32 mask = (differs - 1) >> 31;

	asm volatile("" : "+r"(mask)); /* or clang makes branches of it */
	return mask;
}

/*
 * RFC 8200 4.2 to 4.6: next header, then a length, but a fragment header's is fixed. A route that
 * does not end here is left to the kernel as a protocol that is none of ours. An atomic fragment
 * is a whole packet (RFC 6946).
 */
static __always_inline enum mr_verdict parse_extension(struct cursor *c, struct flow *f)
{
	__u32 is_fragment = fragment_mask(f->protocol);
	bool is_route = f->protocol == EXT_ROUTING;
	struct ipv6_rt_hdr *h = take(c, EXT_UNIT); /* its first two fields are those of all */
	__u16 fragment;

	if (!h)
		return MR_V_IPV6_EXT_SHORT;
	if (is_route && h->segments_left)
		return MR_V_NOT_L4;
	fragment = host16(((struct frag_hdr *)h)->frag_off) & is_fragment;
	if (fragment & IPV6_OFFSET)
		return MR_V_FRAGMENT;
	f->more |= fragment & IPV6_MORE;
	f->protocol = h->nexthdr;
	return take(c, h->hdrlen * EXT_UNIT & ~is_fragment) ? MR_V_TAKE : MR_V_IPV6_EXT_SHORT;
}

/* RFC 8200 4.1. Hop-by-hop options stand first or nowhere. A lane could not check AH or ESP. */
static __always_inline enum mr_verdict parse_extensions(struct cursor *c, struct flow *f)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		enum mr_verdict v;

		if (!is_extension(f->protocol, i == 0))
			return MR_V_TAKE;
		v = parse_extension(c, f);
		if (v != MR_V_TAKE)
			return v;
	}
	return is_extension(f->protocol, false) ? MR_V_IPV6_EXT_DEEP : MR_V_TAKE;
}

/* RFC 8200 3. A jumbogram claims no length, so that nothing is found in it. */
static __always_inline enum mr_verdict parse_ipv6(struct cursor *c, struct flow *f,
						  enum frames which)
{
	struct ipv6hdr *ip = take_first(c, sizeof(*ip));

	if (!ip)
		return MR_V_IPV6_SHORT;
	if (ip->version != 6 || !cut_padding(c, host16(ip->payload_len)))
		return MR_V_IPV6_BAD;
	set_ipv6(f->saddr, &ip->saddr);
	set_ipv6(f->daddr, &ip->daddr);
	f->protocol = ip->nexthdr;
	f->family = 6;
	if (which == FRAMES_PLAIN)
		return MR_V_TAKE;
	f->more = 0;
	return parse_extensions(c, f);
}

/* RFC 9293 3.1. */
static __always_inline enum mr_verdict parse_tcp(struct cursor *c, struct flow *f)
{
	struct tcphdr *tcp = take(c, sizeof(*tcp));
	__u32 options;

	if (!tcp)
		return MR_V_TCP_SHORT;
	options = (tcp->doff * 4u - sizeof(*tcp)) & 63; /* for the verifier */
	if (tcp->doff < 5 || options > c->left)
		return MR_V_TCP_BAD;
	if (!take_first(c, options)) /* in another buffer of the frame */
		return MR_V_TCP_SHORT;
	f->sport.raw = tcp->source;
	f->dport.raw = tcp->dest;
	f->tcp_flags = ((__u8 *)tcp)[TCP_FLAGS_AT];
	return MR_V_TAKE;
}

/* RFC 768. */
static __always_inline enum mr_verdict parse_udp(struct cursor *c, struct flow *f)
{
	struct udphdr *udp = take(c, sizeof(*udp));

	f->tcp_flags = 0;
	if (!udp)
		return MR_V_UDP_SHORT;
	f->sport.raw = udp->source;
	f->dport.raw = udp->dest;
	return MR_V_TAKE;
}

/* The eight bytes behind the IP header that every error quotes; both protocols start alike. */
static __always_inline enum mr_verdict parse_quoted_ports(struct cursor *c, struct flow *f,
							  __u8 protocol)
{
	struct udphdr *ports;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return MR_V_ICMP_OTHER;
	ports = take(c, sizeof(*ports));
	if (!ports)
		return MR_V_ICMP_SHORT;
	f->protocol = protocol;
	f->sport.raw = ports->dest;
	f->dport.raw = ports->source;
	return MR_V_TAKE_ICMP;
}

/*
 * RFC 792; RFC 1122 3.2.2: an error goes to the source of the packet that it quotes, and that is
 * us. Quoted lengths are not looked at: the quote is cut, and some hosts change them.
 */
static __always_inline enum mr_verdict parse_icmp4(struct cursor *c, struct flow *f)
{
	struct icmphdr *icmp = take(c, sizeof(*icmp));
	struct iphdr *ip;

	if (!icmp)
		return MR_V_ICMP_SHORT;
	if (icmp->type != ICMP4_UNREACHABLE && icmp->type != ICMP4_TIME_EXCEEDED &&
	    icmp->type != ICMP4_PARAMETER)
		return MR_V_ICMP_OTHER;
	ip = take(c, sizeof(*ip));
	if (!ip)
		return MR_V_ICMP_SHORT;
	if (ip->version != 4 || ip->ihl < 5 || host16(ip->frag_off) & IPV4_OFFSET ||
	    ip->saddr != f->daddr[3])
		return MR_V_ICMP_OTHER;
	if (!take(c, ip->ihl * 4u - sizeof(*ip)))
		return MR_V_ICMP_SHORT;
	set_ipv4(f->saddr, ip->daddr);
	return parse_quoted_ports(c, f, ip->protocol);
}

/* RFC 4443 2.1 and 2.4. Lanes send no extension headers, so a packet with one is none of theirs. */
static __always_inline enum mr_verdict parse_icmp6(struct cursor *c, struct flow *f)
{
	struct icmphdr *icmp = take(c, sizeof(*icmp)); /* type and code stand as in RFC 792 */
	struct ipv6hdr *ip;

	if (!icmp)
		return MR_V_ICMP_SHORT;
	if (icmp->type < ICMP6_UNREACHABLE || icmp->type > ICMP6_PARAMETER)
		return MR_V_ICMP_OTHER;
	ip = take(c, sizeof(*ip));
	if (!ip)
		return MR_V_ICMP_SHORT;
	if (ip->version != 6 || !is_same_ipv6(f->daddr, &ip->saddr))
		return MR_V_ICMP_OTHER;
	set_ipv6(f->saddr, &ip->daddr);
	return parse_quoted_ports(c, f, ip->nexthdr);
}

static __always_inline enum mr_verdict parse_transport(struct cursor *c, struct flow *f,
						       enum frames which)
{
	if (f->protocol == IPPROTO_TCP)
		return parse_tcp(c, f);
	if (f->protocol == IPPROTO_UDP)
		return parse_udp(c, f);
	if (which == FRAMES_PLAIN)
		return MR_V_NOT_L4;
	f->tcp_flags = 0;
	if (f->protocol == IPPROTO_ICMP && f->family == 4)
		return parse_icmp4(c, f);
	if (f->protocol == PROTOCOL_ICMPV6 && f->family == 6)
		return parse_icmp6(c, f);
	return MR_V_NOT_L4;
}

static __always_inline enum mr_verdict parse_network(struct cursor *c, struct flow *f,
						     enum frames which)
{
	enum mr_verdict v;
	__u16 type;

	v = parse_ethernet(c, f, &type);
	if (v != MR_V_TAKE)
		return v;
	if (type == ETH_IPV4)
		return parse_ipv4(c, f, which);
	if (type == ETH_IPV6)
		return parse_ipv6(c, f, which);
	return MR_V_NOT_IP;
}

/* With @which FRAMES_PLAIN nothing but TAKE has a meaning. */
static __always_inline enum mr_verdict parse_frame(struct cursor *c, struct flow *f,
						   enum frames which)
{
	enum mr_verdict v = parse_network(c, f, which);

	if (v != MR_V_TAKE)
		return v;
	v = parse_transport(c, f, which);
	if (which == FRAMES_PLAIN || !f->more)
		return v;
	return v == MR_V_TAKE ? MR_V_FRAGMENT_STEERED : MR_V_FRAGMENT;
}

/* False: parse_all() says what it is. */
static __always_inline bool parse_plain(struct xdp_md *ctx, __u32 frame_bytes, struct flow *f)
{
	struct cursor c = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.left = frame_bytes,
	};

	return parse_frame(&c, f, FRAMES_PLAIN) == MR_V_TAKE;
}

static __always_inline enum mr_verdict parse_all(struct xdp_md *ctx, __u32 frame_bytes,
						 struct flow *f)
{
	struct cursor c = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.left = frame_bytes,
	};

	return parse_frame(&c, f, FRAMES_ALL);
}

#endif
