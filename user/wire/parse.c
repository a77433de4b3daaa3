/* SPDX-License-Identifier: MIT */
/*
 * A frame taken apart, one function per header. Bytes come through one door: take() moves the
 * cursor over a header only if all of it is there, so that a check and an access cannot disagree.
 * Where IP says that the packet ends before the frame does (Ethernet padding), the cursor's end
 * moves to it; nothing reads behind. Every step returns MR_DROP_NONE or the reason to drop.
 *
 * The shape that nearly every frame has is taken whole (plain.h). Whatever is unusual about it goes
 * through the general steps, which know the reason.
 */
#include "user/wire/segment.h"

#include <netinet/in.h>
#include <linux/types.h>

#include "shared/mr_lane.h"
#include "user/wire/checksum.h"
#include "user/wire/plain.h"

enum {
	MAX_TAGS = 2,
	MAX_EXTENSIONS = 6,

	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_DESTINATION = 60,

	IPV6_FRAGMENT_BYTES = 8,
	IPV6_FRAGMENT_MORE = 0xfff9, /* offset, or M flag; two bits are reserved */

	ICMP_BYTES = 8,
	ICMP4_UNREACHABLE = 3, /* RFC 792 */
	ICMP4_QUENCH = 4,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP4_FRAGMENTATION_NEEDED = 4, /* code of UNREACHABLE; RFC 1191 4 */
	ICMP6_UNREACHABLE = 1,		/* RFC 4443 3 */
	ICMP6_TOO_BIG = 2,
	ICMP6_PARAMETER = 4,

	QUOTED_TCP_BYTES = 8, /* ports and sequence number (RFC 792) */
};

struct cursor {
	const uint8_t *pos;
	const uint8_t *end;
};

/* An IP packet without its header: the cursor stands on the next one. */
struct packet {
	struct cursor c;
	const uint8_t *source;	    /* 4 or 16 bytes, in the frame */
	const uint8_t *destination; /* the same */
	uint8_t protocol;
	uint8_t ecn;
	bool ipv6;
};

static inline size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->pos);
}

static inline const uint8_t *take(struct cursor *c, size_t len)
{
	const uint8_t *p = c->pos;

	if (len > left(c))
		return NULL;
	c->pos += len;
	return p;
}

static inline void read_link(const uint8_t *ethernet, struct mr_link *link)
{
	memcpy(link->own_mac, ethernet, 6);
	memcpy(link->peer_mac, ethernet + 6, 6);
	link->vlan[0] = 0;
	link->vlan[1] = 0;
}

/* IEEE 802.3 and 802.1Q, at most two tags; a third one is no IP packet. */
static inline int parse_ethernet(struct cursor *c, struct mr_link *link, uint16_t *type)
{
	const uint8_t *p = take(c, MR_ETH_BYTES);
	unsigned int n;

	if (!p)
		return MR_DROP_ETH_SHORT;
	read_link(p, link);
	*type = load_be16(p + 12);
	for (n = 0; n < MAX_TAGS && (*type == ETH_VLAN || *type == ETH_QINQ); n++) {
		p = take(c, MR_VLAN_BYTES);
		if (!p)
			return MR_DROP_ETH_SHORT;
		link->vlan[n] = load_be16(p);
		*type = load_be16(p + 2);
	}
	return MR_DROP_NONE;
}

/* RFC 1122 3.2.1.3: what one host on a network may have: not zero, loopback, group or broadcast. */
static inline bool is_host_ipv4(const uint8_t *addr)
{
	uint32_t a = load_be32(addr);

	return a != 0 && a >> 24 != 127 && a >> 28 != 0xe && a != 0xffffffff;
}

/*
 * RFC 4291 2.5 and 2.7: not ::, ::1 or a group. Mapped IPv4 addresses stand for IPv4 inside this
 * program, so on the wire nobody may have them.
 */
static inline bool is_host_ipv6(const uint8_t addr[16])
{
	static const uint8_t zeros[15];

	if (memcmp(addr, zeros, 15) == 0 && addr[15] <= 1)
		return false;
	return addr[0] != 0xff && !mr_is_ipv4(addr);
}

/* Most addresses that is_host_ipv4() takes, by their first byte: 1 to 126 and 128 to 223. */
static inline bool is_common_ipv4(const uint8_t *addr)
{
	return addr[0] - 1u < 223 && addr[0] != 127;
}

/* The packet's own length against the frame's; then what is behind it is padding. */
static inline bool cut_padding(struct cursor *c, size_t len)
{
	if (len > left(c))
		return false;
	c->end = c->pos + len;
	return true;
}

/* RFC 791 3.1; options are stepped over (RFC 9293 3.9.2, MUST-50). */
static inline int parse_ipv4(struct packet *p)
{
	const uint8_t *ip = take(&p->c, MR_IPV4_BYTES);
	size_t header;
	uint64_t sum;

	if (!ip)
		return MR_DROP_IP_SHORT;
	header = (ip[0] & 15u) * 4u;
	if (ip[0] >> 4 != 4 || header < MR_IPV4_BYTES || load_be16(ip + 2) < header)
		return MR_DROP_IP_BAD;
	sum = sum_ipv4_header(ip);
	if (header > MR_IPV4_BYTES) {
		const uint8_t *options = take(&p->c, header - MR_IPV4_BYTES);

		if (!options)
			return MR_DROP_IP_SHORT;
		sum = mr_checksum_partial(options, header - MR_IPV4_BYTES, sum);
	}
	if (sum_fold(sum) != 0)
		return MR_DROP_IP_CHECKSUM;
	if (!cut_padding(&p->c, load_be16(ip + 2) - header))
		return MR_DROP_IP_BAD;
	if (load_be16(ip + 6) & MR_IP_FRAGMENT)
		return MR_DROP_IP_FRAGMENT;
	/* our own address as source: nobody else may have it (the LAND attack) */
	if (!is_host_ipv4(ip + 12) || memcmp(ip + 12, ip + 16, 4) == 0)
		return MR_DROP_IP_SOURCE;
	if (!is_host_ipv4(ip + 16))
		return MR_DROP_IP_DESTINATION;
	p->source = ip + 12;
	p->destination = ip + 16;
	p->protocol = ip[9];
	p->ecn = ip[1] & 3;
	p->ipv6 = false;
	return MR_DROP_NONE;
}

/* RFC 8200 4.2: an option that we do not know may forbid the whole packet by its upper two bits. */
static int check_ipv6_options(struct cursor c)
{
	while (left(&c)) {
		const uint8_t *type = take(&c, 1);
		const uint8_t *len;

		if (*type == 0) /* Pad1 */
			continue;
		len = take(&c, 1);
		if (!len || *type >> 6 != 0 || !take(&c, *len))
			return MR_DROP_IP_BAD;
	}
	return MR_DROP_NONE;
}

/* RFC 8200 4.3, 4.4 and 4.6: next header, length in units of 8 bytes without the first, body. */
static int parse_ipv6_plain_extension(struct packet *p)
{
	uint8_t kind = p->protocol;
	const uint8_t *h = take(&p->c, 2);
	const uint8_t *body;
	size_t len;

	if (!h)
		return MR_DROP_IP_SHORT;
	len = 6u + 8u * h[1];
	body = take(&p->c, len);
	if (!body)
		return MR_DROP_IP_SHORT;
	p->protocol = h[0];
	if (kind == IPV6_ROUTING) /* type, segments left */
		return body[1] == 0 ? MR_DROP_NONE : MR_DROP_IP_BAD;
	return check_ipv6_options((struct cursor){ body, body + len });
}

/* RFC 8200 4.5; an atomic fragment is a whole packet (RFC 6946). */
static int parse_ipv6_fragment(struct packet *p)
{
	const uint8_t *h = take(&p->c, IPV6_FRAGMENT_BYTES);

	if (!h)
		return MR_DROP_IP_SHORT;
	p->protocol = h[0];
	return load_be16(h + 2) & IPV6_FRAGMENT_MORE ? MR_DROP_IP_FRAGMENT : MR_DROP_NONE;
}

static int parse_ipv6_extensions(struct packet *p)
{
	for (unsigned int n = 0;; n++) {
		int drop;

		switch (p->protocol) {
		case IPV6_HOP_BY_HOP: /* stands first or nowhere (RFC 8200 4.1) */
			drop = n == 0 ? parse_ipv6_plain_extension(p) : MR_DROP_IP_BAD;
			break;
		case IPV6_ROUTING:
		case IPV6_DESTINATION:
			drop = parse_ipv6_plain_extension(p);
			break;
		case IPV6_FRAGMENT:
			drop = parse_ipv6_fragment(p);
			break;
		default:
			return MR_DROP_NONE;
		}
		if (drop != MR_DROP_NONE)
			return drop;
		if (n == MAX_EXTENSIONS)
			return MR_DROP_IP_BAD;
	}
}

/* RFC 8200 3. */
static inline int parse_ipv6(struct packet *p)
{
	const uint8_t *ip = take(&p->c, MR_IPV6_BYTES);

	if (!ip)
		return MR_DROP_IP_SHORT;
	if (ip[0] >> 4 != 6 || !cut_padding(&p->c, load_be16(ip + 4)))
		return MR_DROP_IP_BAD;
	if (!is_host_ipv6(ip + 8) || memcmp(ip + 8, ip + 24, 16) == 0)
		return MR_DROP_IP_SOURCE;
	if (!is_host_ipv6(ip + 24))
		return MR_DROP_IP_DESTINATION;
	p->source = ip + 8;
	p->destination = ip + 24;
	p->protocol = ip[6];
	p->ecn = ip[1] >> 4 & 3;
	p->ipv6 = true;
	return p->protocol == IPPROTO_TCP ? MR_DROP_NONE : parse_ipv6_extensions(p);
}

/* Pseudo header (RFC 9293 3.1, RFC 8200 8.1) and all that IP carries: zero when it is intact. */
static inline uint16_t payload_checksum(const struct packet *p, uint8_t protocol)
{
	const uint8_t *addrs = p->source; /* the destination follows in both headers */
	size_t len = left(&p->c);
	uint64_t sum = sum_add(load_word(addrs), sum_protocol(protocol, (uint32_t)len));

	if (p->ipv6)
		for (unsigned int i = 8; i < 32; i += 8)
			sum = sum_add(sum, load_word(addrs + i));
	return sum_fold(mr_checksum_partial(p->c.pos, len, sum));
}

static inline void store_address(uint8_t out[16], const uint8_t *addr, bool ipv6)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ipv6) {
		memcpy(out, addr, 16);
		return;
	}
	memcpy(out, mapped, 12);
	memcpy(out + 12, addr, 4);
}

static inline void read_tcp_fields(const uint8_t *tcp, struct mr_segment *seg)
{
	memcpy(&seg->tuple.remote_port, tcp, 2);
	memcpy(&seg->tuple.local_port, tcp + 2, 2);
	seg->seq = load_be32(tcp + 4);
	seg->ack = load_be32(tcp + 8);
	seg->flags = tcp[13];
	seg->wnd = load_be16(tcp + 14);
	seg->urgent = load_be16(tcp + 18);
}

/* RFC 9293 3.1: fields as they stand, options read, text found. */
static inline int parse_tcp(const struct packet *p, const uint8_t *frame, struct mr_segment *seg)
{
	struct cursor c = p->c;
	const uint8_t *tcp = take(&c, MR_TCP_BYTES);
	const uint8_t *options;
	size_t header;

	if (!tcp)
		return MR_DROP_TCP_SHORT;
	header = (tcp[12] >> 4) * 4u;
	if (header < MR_TCP_BYTES)
		return MR_DROP_TCP_BAD;
	options = take(&c, header - MR_TCP_BYTES);
	if (!options)
		return MR_DROP_TCP_BAD;
	if (payload_checksum(p, IPPROTO_TCP) != 0)
		return MR_DROP_TCP_CHECKSUM;
	if (!mr_tcp_options_parse(&seg->options, options, header - MR_TCP_BYTES))
		return MR_DROP_TCP_OPTIONS;
	store_address(seg->tuple.local, p->destination, p->ipv6);
	store_address(seg->tuple.remote, p->source, p->ipv6);
	read_tcp_fields(tcp, seg);
	seg->ecn = (uint8_t)(p->ecn | (tcp[12] & 1 ? MR_AE : 0));
	seg->payload = (uint16_t)(c.pos - frame);
	seg->len = (uint16_t)left(&c);
	return MR_DROP_NONE;
}

/* What the error quotes of our segment's TCP header. */
static int parse_quoted_tcp(struct cursor *c, struct mr_icmp_error *e)
{
	const uint8_t *tcp = take(c, QUOTED_TCP_BYTES);

	if (!tcp)
		return MR_DROP_ICMP_BAD;
	memcpy(&e->tuple.local_port, tcp, 2);
	memcpy(&e->tuple.remote_port, tcp + 2, 2);
	e->seq = load_be32(tcp + 4);
	return MR_DROP_NONE;
}

/* The quoted packet must be one that we sent: its source is whom the error is addressed to. */
static int parse_quoted_ipv4(const struct packet *p, struct cursor *c, struct mr_icmp_error *e)
{
	const uint8_t *ip = take(c, MR_IPV4_BYTES);
	size_t header;

	if (!ip || ip[0] >> 4 != 4)
		return MR_DROP_ICMP_BAD;
	header = (ip[0] & 15u) * 4u;
	if (header < MR_IPV4_BYTES || !take(c, header - MR_IPV4_BYTES) ||
	    load_be16(ip + 6) & MR_IP_FRAGMENT_OFFSET || memcmp(ip + 12, p->destination, 4) != 0)
		return MR_DROP_ICMP_BAD;
	if (ip[9] != IPPROTO_TCP)
		return MR_DROP_ICMP_UNKNOWN;
	e->quoted_bytes = load_be16(ip + 2);
	store_address(e->tuple.local, ip + 12, false);
	store_address(e->tuple.remote, ip + 16, false);
	return parse_quoted_tcp(c, e);
}

/* Segments of ours have no extension headers, so a quoted one is not ours. */
static int parse_quoted_ipv6(const struct packet *p, struct cursor *c, struct mr_icmp_error *e)
{
	const uint8_t *ip = take(c, MR_IPV6_BYTES);

	if (!ip || ip[0] >> 4 != 6 || memcmp(ip + 8, p->destination, 16) != 0)
		return MR_DROP_ICMP_BAD;
	if (ip[6] != IPPROTO_TCP)
		return MR_DROP_ICMP_UNKNOWN;
	e->quoted_bytes = (uint16_t)(load_be16(ip + 4) + MR_IPV6_BYTES);
	store_address(e->tuple.local, ip + 8, true);
	store_address(e->tuple.remote, ip + 24, true);
	return parse_quoted_tcp(c, e);
}

static bool is_icmp4_error(uint8_t type)
{
	return type == ICMP4_UNREACHABLE || type == ICMP4_QUENCH || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER;
}

/* RFC 792, RFC 1191 4. */
static int parse_icmp4(const struct packet *p, struct mr_icmp_error *e)
{
	struct cursor c = p->c;
	const uint8_t *icmp = take(&c, ICMP_BYTES);

	if (!icmp)
		return MR_DROP_ICMP_BAD;
	if (!is_icmp4_error(icmp[0]))
		return MR_DROP_NOT_TCP;
	if (sum_fold(mr_checksum_partial(icmp, left(&p->c), 0)) != 0)
		return MR_DROP_ICMP_BAD;
	e->type = icmp[0];
	e->code = icmp[1];
	e->ipv6 = false;
	e->mtu = 0;
	if (e->type == ICMP4_UNREACHABLE && e->code == ICMP4_FRAGMENTATION_NEEDED)
		e->mtu = load_be16(icmp + 6);
	return parse_quoted_ipv4(p, &c, e);
}

/* RFC 4443 2.1 and 3. */
static int parse_icmp6(const struct packet *p, struct mr_icmp_error *e)
{
	struct cursor c = p->c;
	const uint8_t *icmp = take(&c, ICMP_BYTES);

	if (!icmp)
		return MR_DROP_ICMP_BAD;
	if (icmp[0] < ICMP6_UNREACHABLE || icmp[0] > ICMP6_PARAMETER)
		return MR_DROP_NOT_TCP;
	if (payload_checksum(p, IPPROTO_ICMPV6) != 0)
		return MR_DROP_ICMP_BAD;
	e->type = icmp[0];
	e->code = icmp[1];
	e->ipv6 = true;
	e->mtu = e->type == ICMP6_TOO_BIG ? load_be32(icmp + 4) : 0;
	return parse_quoted_ipv6(p, &c, e);
}

/*
 * Link and IP layer. A frame to a group address of the link carries no unicast packet for us
 * (RFC 1122 3.3.6); this finds directed broadcasts as well, without knowing any netmask.
 */
static inline int parse_network(struct packet *p, struct mr_link *link)
{
	uint16_t type;
	int drop = parse_ethernet(&p->c, link, &type);

	if (drop != MR_DROP_NONE)
		return drop;
	if (type == ETH_IPV4)
		drop = parse_ipv4(p);
	else if (type == ETH_IPV6)
		drop = parse_ipv6(p);
	else
		return MR_DROP_NOT_IP;
	if (drop == MR_DROP_NONE && link->own_mac[0] & 1)
		return MR_DROP_IP_DESTINATION;
	return drop;
}

/* ----- the common shape ----- */

static inline bool are_addresses_usual(const uint8_t *f, bool ipv6)
{
	const uint8_t *source = f + MR_PLAIN_IP + (ipv6 ? 8 : 12);
	const uint8_t *destination = source + (ipv6 ? 16 : 4);

	if (ipv6)
		return is_host_ipv6(source) && is_host_ipv6(destination) &&
		       memcmp(source, destination, 16) != 0;
	return is_common_ipv4(source) && is_common_ipv4(destination) &&
	       load_u32(source) != load_u32(destination);
}

static inline void read_plain(const uint8_t *f, uint32_t tcp, uint32_t text, struct mr_segment *seg)
{
	const bool ipv6 = tcp == MR_PLAIN_IPV6;
	const uint8_t *source = f + MR_PLAIN_IP + (ipv6 ? 8 : 12);

	read_link(f, &seg->link);
	store_address(seg->tuple.local, source + (ipv6 ? 16 : 4), ipv6);
	store_address(seg->tuple.remote, source, ipv6);
	mr_tcp_options_clear(&seg->options);
	mr_plain_read(f + tcp, text, seg);
	memcpy(&seg->tuple.remote_port, f + tcp, 2);
	memcpy(&seg->tuple.local_port, f + tcp + 2, 2);
	seg->urgent = load_be16(f + tcp + 18);
	seg->ecn = ipv6 ? f[MR_PLAIN_IP + 1] >> 4 & 3 : f[MR_PLAIN_IP + 1] & 3;
	seg->payload = (uint16_t)(tcp + MR_PLAIN_TCP_BYTES);
}

/* ----- any shape ----- */

static __attribute__((noinline)) enum mr_frame_kind parse_any(const uint8_t *frame, size_t len,
							      struct mr_segment *seg,
							      struct mr_icmp_error *icmp, int *drop)
{
	struct packet p = { .c = { frame, frame + len } };
	enum mr_frame_kind kind = MR_KIND_TCP;

	*drop = parse_network(&p, &seg->link);
	if (*drop != MR_DROP_NONE)
		return MR_KIND_DROP;
	if (p.protocol == IPPROTO_TCP) {
		*drop = parse_tcp(&p, frame, seg);
	} else if (p.protocol == (p.ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		*drop = p.ipv6 ? parse_icmp6(&p, icmp) : parse_icmp4(&p, icmp);
		kind = MR_KIND_ICMP;
	} else {
		*drop = MR_DROP_NOT_TCP;
	}
	return *drop == MR_DROP_NONE ? kind : MR_KIND_DROP;
}

enum mr_frame_kind mr_plain_parse(const uint8_t *frame, size_t len, uint32_t tcp, uint32_t text,
				  struct mr_segment *seg, struct mr_icmp_error *icmp, int *drop)
{
	if (!tcp || !are_addresses_usual(frame, tcp == MR_PLAIN_IPV6))
		return parse_any(frame, len, seg, icmp, drop);
	read_plain(frame, tcp, text, seg);
	*drop = MR_DROP_NONE;
	return MR_KIND_TCP;
}

enum mr_frame_kind mr_frame_parse(const uint8_t *frame, size_t len, struct mr_segment *seg,
				  struct mr_icmp_error *icmp, int *drop)
{
	uint32_t text;
	uint32_t tcp = mr_plain_check(frame, len, &text);

	return mr_plain_parse(frame, len, tcp, text, seg, icmp, drop);
}
