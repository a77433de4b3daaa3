/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SYNs answered by a cookie while a lane is overrun by them, so that a flood wakes nobody: what
 * came is turned round where it lies and leaves by the port by which it came. The cookie is the
 * lane's own (user/tcp/cookies.c says how it is built and checked), with the lane's key, MSS
 * table, timestamps, window and options: the ACK that comes back is one of the lane's cookies, and
 * nothing but TCP's own bytes says so.
 *
 * The kernel's helpers (bpf_tcp_raw_gen_syncookie_ipv4() and the like) are not used. Their check
 * says yes or no but not which MSS the cookie holds; it would have to be asked for every ACK of
 * every connection meanwhile; and its yes would have to reach the lane in front of the frame, in
 * metadata that some drivers have no room for and that a lane cannot tell from a forgery.
 */
#ifndef MR_BPF_COOKIE_H
#define MR_BPF_COOKIE_H

#include "maps.h"
#include "parse.h"
#include "shared/mr_cookie.h"
#include "shared/mr_siphash.h"
#include "steer.h"

enum {
	ETH_LEAST = 60, /* IEEE 802.3, without its checksum */
	ETH_ADDRESS = 6,
	ETH_GROUP = 1, /* of an address's first byte */

	OPTIONS_MOST = 40,
	OPTIONS_LOOKED_AT = 16, /* padding included */
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WINDOW_SCALE = 3,
	OPT_SACK_PERMITTED = 4,
	OPT_TIMESTAMPS = 8,
	SHIFT_MOST = 14, /* RFC 7323 2.3 */

	MSS_DEFAULT_IPV4 = 536, /* RFC 9293 3.7.1 */
	MSS_DEFAULT_IPV6 = 1220,

	IPV4_WORDS = 5,
	IPV6_WORDS = 10,
	TCP_WORDS = 5,
	REPLY_WORDS = IPV6_WORDS + TCP_WORDS + 5, /* MSS, timestamps, window scale */
	TTL_DEFAULT = 64,
	NS_PER_MS = 1000000,
};

/* What is hashed: struct mr_tuple and its arguments, as hash() of user/tcp/cookies.c has them. */
struct cookie_input {
	__u32 local[4];
	__u32 remote[4];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	__u32 minute;
	__u32 irs;
	char use[8];
	__u32 zero; /* behind the end */
} __attribute__((aligned(8)));

/*
 * What options say. The verifier does not follow what is in another's memory, so it walks the
 * loop that fills this in without remembering what it found so far.
 */
struct options {
	volatile __u32 at;
	__u32 ts_val;
	__u16 mss;
	__u8 shift; /* MR_COOKIE_TS_SHIFT_NONE: no window scale */
	bool timestamps;
	bool sack;
};

/* First the options that came, then the headers that leave: the stack is short. Zeros behind. */
struct room {
	union {
		__u8 bytes[REPLY_WORDS * 4];
		__u32 words[REPLY_WORDS];
	};
};

/* A SYN: where it stands in the frame, and what it says. */
struct syn {
	struct cookie_input in;
	__u32 seq;
	__u16 options_at; /* offset in the frame */
	__u8 n_options;
	__u8 family;
	struct options o;
};

/* Not static: the verifier walks through such a function once, not once for each way to it. */
__noinline __u32 cookie_hash(const struct cookie_input *in)
{
	const __u32 words = sizeof(*in) / sizeof(__u64), bytes = sizeof(*in) - sizeof(in->zero);
	const __u64 *word = (const __u64 *)in;
	const struct mr_guard_secret *s;
	struct siphash_state state;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&mr1_secret, &zero);
	if (!in || !s)
		return 0;
	state = siphash_begin_words(s->key[0], s->key[1]);
	for (__u32 i = 0; i < words; i++) {
		__u64 m = word[i];

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		m = __builtin_bswap64(m);
#endif
		if (i == words - 1)
			m |= (__u64)bytes << 56;
		siphash_compress(&state, m, 2);
	}
	return (__u32)siphash_end(&state, 4);
}

static __always_inline __u32 mss_index(const struct syn *s)
{
	__u32 mss = s->o.mss, n = 0;

	/* the sign of a difference, as everywhere here: a comparison would be a branch */
#define M(least) n += ((least)-1 - mss) >> 31;
	if (s->family == 4) {
		mss = mss ?: MSS_DEFAULT_IPV4;
		asm volatile("" : "+r"(mss));
		MR_COOKIE_MSS_IPV4(M)
	} else {
		mss = mss ?: MSS_DEFAULT_IPV6;
		asm volatile("" : "+r"(mss));
		MR_COOKIE_MSS_IPV6(M)
	}
#undef M
	return n ? n - 1 : 0;
}

static __always_inline __u32 make_cookie(struct syn *s, __u64 now)
{
	__u32 minute = (__u32)(now / (MR_COOKIE_MINUTE_US * 1000ull)) + 1;
	__u32 fixed = cookie_hash(&s->in), data;

	s->in.minute = minute;
	s->in.irs = s->seq;
	data = cookie_hash(&s->in) + mss_index(s);
	return fixed + s->seq + (minute << MR_COOKIE_DATA_BITS) + (data & MR_COOKIE_DATA_MASK);
}

/* ----- reading ----- */

/* Nobody answers to these: a flood must not make us send to groups or to ourselves. */
static __always_inline bool is_odd_ipv4(__be32 source, __be32 destination)
{
	__u32 first = mr_be32((struct mr_be32){ source }) >> 24;

	return source == destination || first == 0 || first == 127 || first >= 224;
}

static __always_inline bool is_odd_ipv6(const __u32 source[4], const __u32 destination[4])
{
	const __u32 group = mr_to_be32(0xff000000).raw;

	if ((source[0] & group) == group)
		return true;
	if (!(source[0] | source[1] | (source[2] & ~mr_to_be32(0xffff).raw)))
		return true; /* ::, ::1 and addresses that hold IPv4's */
	return source[0] == destination[0] && source[1] == destination[1] &&
	       source[2] == destination[2] && source[3] == destination[3];
}

static __always_inline bool read_ipv4(struct cursor *c, struct syn *s)
{
	struct iphdr *ip = take(c, sizeof(*ip));

	if (!ip || ip->ihl != 5 || is_odd_ipv4(ip->saddr, ip->daddr))
		return false;
	set_ipv4(s->in.remote, ip->saddr);
	set_ipv4(s->in.local, ip->daddr);
	s->family = 4;
	return true;
}

static __always_inline bool read_ipv6(struct cursor *c, struct syn *s)
{
	struct ipv6hdr *ip = take(c, sizeof(*ip));

	if (!ip || ip->nexthdr != IPPROTO_TCP)
		return false;
	set_ipv6(s->in.remote, &ip->saddr);
	set_ipv6(s->in.local, &ip->daddr);
	s->family = 6;
	return !is_odd_ipv6(s->in.remote, s->in.local);
}

static __always_inline bool is_to_one(const struct ethhdr *eth)
{
	return !((eth->h_dest[0] | eth->h_source[0]) & ETH_GROUP);
}

/* Which SYNs are answered: those of ordinary hosts, without IP options or extension headers. */
static __always_inline bool read_headers(struct xdp_md *ctx, struct syn *s)
{
	struct cursor c = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.left = TAKE_MAX,
	};
	void *start = c.pos;
	struct tcphdr *tcp;
	struct flow f; /* for its VLAN, which nobody asks about */
	__u16 type;

	if (start + sizeof(struct ethhdr) > c.end || !is_to_one(start) ||
	    parse_ethernet(&c, &f, &type) != MR_V_TAKE)
		return false;
	if (type == ETH_IPV4 ? !read_ipv4(&c, s) : !read_ipv6(&c, s))
		return false;
	tcp = take(&c, sizeof(*tcp));
	if (!tcp)
		return false;
	s->in.local_port.raw = tcp->dest;
	s->in.remote_port.raw = tcp->source;
	s->seq = mr_be32((struct mr_be32){ tcp->seq });
	s->n_options = (__u8)(tcp->doff * 4u - sizeof(*tcp));
	s->options_at = (__u16)(c.pos - start);
	return true;
}

/* The option at o->at, RFC 9293 3.1; @n: bytes of all. False: the last one, or malformed. */
static __always_inline bool read_option(struct options *o, const __u8 *bytes, __u32 n)
{
	__u32 at = o->at & 63;
	const __u8 *p = bytes + at;
	__u32 len = p[1];

	if (p[0] == OPT_NOP) {
		o->at = at + 1;
		return true;
	}
	if (p[0] == OPT_END || len < 2 || at + len > n)
		return false;
	if (p[0] == OPT_MSS && len == 4) {
		o->mss = p[2] << 8 | p[3];
	} else if (p[0] == OPT_WINDOW_SCALE && len == 3) {
		o->shift = p[2] < SHIFT_MOST ? p[2] : SHIFT_MOST;
	} else if (p[0] == OPT_SACK_PERMITTED && len == 2) {
		o->sack = true;
	} else if (p[0] == OPT_TIMESTAMPS && len == 10) {
		o->ts_val = p[2] << 24 | p[3] << 16 | p[4] << 8 | p[5];
		o->timestamps = true;
	}
	o->at = at + len;
	return true;
}

/*
 * From a copy: they may lie anywhere in the frame. Behind the end stand zeros, and a zero is the
 * end of options.
 */
__noinline int read_options(struct xdp_md *ctx, struct options *o, struct room *room, __u32 at,
			    __u32 n)
{
	__u32 len = (n - 4) & 63; /* in words, and so that the verifier sees limits: 4 to 67 */

	if (!o || !room || n > OPTIONS_MOST)
		return -1;
	o->shift = MR_COOKIE_TS_SHIFT_NONE;
	if (!n)
		return 0;
	asm volatile("" : "+r"(len));
	if (bpf_xdp_load_bytes(ctx, at, room->bytes, len + 4) < 0)
		return -1;
	for (int i = 0; i < OPTIONS_LOOKED_AT && o->at < n; i++)
		if (!read_option(o, room->bytes, n))
			break;
	return 0;
}

/* ----- writing ----- */

/* The options that the lane agrees on; what does not fit into the cookie goes with timestamps. */
static __always_inline void agree(struct syn *s, __u32 flags)
{
	if (!(flags & MR_SYN_TIMESTAMPS))
		s->o.timestamps = false;
	if (!s->o.timestamps || !(flags & MR_SYN_WINDOW_SCALE))
		s->o.shift = MR_COOKIE_TS_SHIFT_NONE;
	if (!s->o.timestamps || !(flags & MR_SYN_SACK))
		s->o.sack = false;
}

/* As hide_options() of user/tcp/cookies.c: never later than it is. */
static __always_inline __u32 timestamp(const struct syn *s, __u32 now)
{
	__u32 ts = (now & ~(__u32)MR_COOKIE_TS_MASK) | s->o.shift |
		   (s->o.sack ? MR_COOKIE_TS_SACK : 0);

	return (__s32)(now - ts) < 0 ? ts - (1 << MR_COOKIE_TS_BITS) : ts;
}

static __always_inline __u32 word(__u32 v)
{
	return mr_to_be32(v).raw;
}

/* The options, in the order in which lanes write them; how many words. */
static __always_inline __u32 put_options(__u32 *p, const struct syn *s, const struct mr_beat *b,
					 __u64 now)
{
	__u32 mss = s->family == 4 ? b->syn_mss4 : b->syn_mss6;

	p[0] = word(OPT_MSS << 24 | 4 << 16 | mss);
	if (!s->o.timestamps)
		return 1;
	p[1] = word(
		(s->o.sack ? OPT_SACK_PERMITTED << 24 | 2 << 16 : OPT_NOP << 24 | OPT_NOP << 16) |
		OPT_TIMESTAMPS << 8 | 10);
	p[2] = word(timestamp(s, (__u32)(now / NS_PER_MS) + b->syn_ts_offset));
	p[3] = word(s->o.ts_val);
	if (s->o.shift == MR_COOKIE_TS_SHIFT_NONE)
		return 4;
	p[4] = word(OPT_NOP << 24 | OPT_WINDOW_SCALE << 16 | 3 << 8 | b->syn_shift);
	return 5;
}

static __always_inline __u16 fold(__s64 sum)
{
	__u32 s = (__u32)sum;

	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (__u16)~s;
}

/* Words 0 to 4 of a TCP header and the options behind it; how many words in all. */
static __always_inline __u32 put_tcp(__u32 *p, struct syn *s, const struct mr_beat *b, __u64 now)
{
	__u32 n = TCP_WORDS + put_options(p + TCP_WORDS, s, b, now);
	__u16 *ports = (__u16 *)p;
	__s64 sum;

	ports[0] = s->in.local_port.raw;
	ports[1] = s->in.remote_port.raw;
	p[1] = word(make_cookie(s, now));
	p[2] = word(s->seq + 1);
	p[3] = word(n << 28 | (TCP_SYN | TCP_ACK) << 16 | b->syn_window);
	p[4] = 0;
	sum = bpf_csum_diff(NULL, 0, s->in.local, sizeof(s->in.local) + sizeof(s->in.remote), 0);
	if (s->family == 4) /* the mapped prefixes are no part of the pseudo header */
		sum = bpf_csum_diff(NULL, 0, &s->in.local[3], 4,
				    bpf_csum_diff(NULL, 0, &s->in.remote[3], 4, 0));
	sum = bpf_csum_diff(NULL, 0, p, (TCP_WORDS + 5) * sizeof(*p), sum); /* zeros behind */
	ports[8] = fold((__u64)sum + word(IPPROTO_TCP) % 0xffff + word(n * 4) % 0xffff);
	return n;
}

static __always_inline __u32 reply_ipv4(__u32 *p, struct syn *s, const struct mr_beat *b,
					const struct mr_guard_rule *r, __u64 now)
{
	__u32 n = IPV4_WORDS + put_tcp(p + IPV4_WORDS, s, b, now);
	__u32 ttl = r && r->ttl ? r->ttl : TTL_DEFAULT, dscp = r ? r->dscp : 0;

	p[0] = word(0x45 << 24 | dscp << 18 | n * 4);
	p[1] = word(0x4000); /* DF; RFC 6864 4.1: then any identification will do */
	p[2] = word(ttl << 24 | IPPROTO_TCP << 16);
	p[3] = s->in.local[3];
	p[4] = s->in.remote[3];
	((__u16 *)p)[5] = fold(bpf_csum_diff(NULL, 0, p, IPV4_WORDS * sizeof(*p), 0));
	return n;
}

static __always_inline __u32 reply_ipv6(__u32 *p, struct syn *s, const struct mr_beat *b,
					const struct mr_guard_rule *r, __u64 now)
{
	__u32 n = put_tcp(p + IPV6_WORDS, s, b, now);
	__u32 ttl = r && r->ttl ? r->ttl : TTL_DEFAULT, dscp = r ? r->dscp : 0;

	p[0] = word(6u << 28 | dscp << 22);
	p[1] = word(n * 4 << 16 | IPPROTO_TCP << 8 | ttl);
	__builtin_memcpy(p + 2, s->in.local, sizeof(s->in.local));
	__builtin_memcpy(p + 6, s->in.remote, sizeof(s->in.remote));
	return IPV6_WORDS + n;
}

/* Offset of the IP header, which has neither options nor extensions. */
static __always_inline __u32 network_of(const struct syn *s)
{
	return s->options_at - (TCP_WORDS + (s->family == 4 ? IPV4_WORDS : IPV6_WORDS)) * 4;
}

/* Back to whom it came from; tags stay as they are. */
static __always_inline bool turn_round(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u8 was[ETH_ADDRESS];

	if (data + 2 * ETH_ADDRESS > end)
		return false;
	__builtin_memcpy(was, data, ETH_ADDRESS);
	__builtin_memcpy(data, data + ETH_ADDRESS, ETH_ADDRESS);
	__builtin_memcpy(data + ETH_ADDRESS, was, ETH_ADDRESS);
	return true;
}

/* The frame becomes the reply of @n words behind the link's headers. */
static __always_inline bool put_reply(struct xdp_md *ctx, __u32 frame_bytes, __u32 network,
				      __u32 *reply, __u32 n)
{
	__u32 bytes = n * sizeof(*reply);

	if (network + bytes < ETH_LEAST)
		bytes = ETH_LEAST - network;
	asm volatile("" : "+r"(bytes));
	if (bytes > REPLY_WORDS * sizeof(*reply) || bytes < sizeof(*reply))
		return false;
	return bpf_xdp_adjust_tail(ctx, (int)(network + bytes - frame_bytes)) == 0 &&
	       bpf_xdp_store_bytes(ctx, network, reply, bytes) == 0 && turn_round(ctx);
}

/* Turn a SYN for the lane of @slot into its SYN-ACK. 0: it is none that is answered. */
__noinline int answer_syn(struct xdp_md *ctx, __u32 frame_bytes, __u32 slot, __u32 rule_id)
{
	const struct mr_guard_rule *r;
	struct syn s = { .in.use = "cookie" };
	struct room room = { 0 };
	struct mr_beat *b;
	__u32 n;

	if (!read_headers(ctx, &s) || read_options(ctx, &s.o, &room, s.options_at, s.n_options) < 0)
		return false;
	__builtin_memset(&room, 0, sizeof(room));
	b = bpf_map_lookup_elem(&mr1_beat, &slot);
	r = bpf_map_lookup_elem(&mr1_grule, &rule_id);
	if (!b)
		return false;
	agree(&s, b->syn);
	n = s.family == 4 ? reply_ipv4(room.words, &s, b, r, bpf_ktime_get_ns())
			  : reply_ipv6(room.words, &s, b, r, bpf_ktime_get_ns());
	if (!put_reply(ctx, frame_bytes, network_of(&s), room.words, n))
		return false;
	b->syns_answered++; /* one queue, one CPU at a time */
	return true;
}

#endif
