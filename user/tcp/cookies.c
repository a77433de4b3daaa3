/* SPDX-License-Identifier: MIT */
/*
 * The cookie is the initial sequence number:
 *
 *	H(0) + IRS + minute * 2^24 + (H(minute, IRS) + MSS index) mod 2^24
 *
 * with H a SipHash-2-4 of the tuple and its arguments. IRS stays readable in it by design: a new
 * SYN of the peer moves the number on as RFC 9293 3.4.1 wants it, with the help of the next minute
 * where the hashes' difference is against it. A forger hits one of 2^32 / 24.
 *
 * IRS is hashed as well: else later segments of the connection would be cookies too, those a few
 * bytes behind the first (with another index), and those of peers that had sent as much as they
 * got; what came before would be lost without a word, a dead connection would open in its middle.
 *
 * What does not fit goes through the timestamp that the peer echoes, in its lowest six bits: shift
 * of the peer's window (15: none), SACK; the layout of Linux (net/ipv4/syncookies.c), whose bit for
 * ECN stays 0: no SYN-ACK with a cookie agrees on it. These bits are not protected: the peer can
 * only lie about what it had offered itself.
 */
#include "user/tcp/cookies.h"

#include <string.h>

#include "user/tcp/internal.h"

enum {
	DATA_BITS = MR_COOKIE_DATA_BITS,
	DATA_MASK = MR_COOKIE_DATA_MASK,

	TS_SHIFT_MASK = 0xf,
	TS_SHIFT_NONE = MR_COOKIE_TS_SHIFT_NONE,
	TS_SACK = MR_COOKIE_TS_SACK,
	TS_BITS = MR_COOKIE_TS_BITS,
	TS_MASK = MR_COOKIE_TS_MASK,
};

#define M(mss) mss,
static const uint16_t mss_ipv4[] = { MR_COOKIE_MSS_IPV4(M) };
static const uint16_t mss_ipv6[] = { MR_COOKIE_MSS_IPV6(M) };
#undef M

enum {
	N_MSS = sizeof(mss_ipv4) / sizeof(mss_ipv4[0]),
};

_Static_assert(sizeof(mss_ipv4) == sizeof(mss_ipv6), "MSS tables");

static uint32_t mss_index(const struct mr_tuple *tuple, uint16_t mss)
{
	bool ipv4 = mr_is_ipv4(tuple->remote);
	const uint16_t *table = ipv4 ? mss_ipv4 : mss_ipv6;
	uint32_t i = N_MSS - 1;

	if (!mss)
		mss = ipv4 ? MR_MSS_DEFAULT_IPV4 : MR_MSS_DEFAULT_IPV6;
	while (i && table[i] > mss)
		i--;
	return i;
}

/* @minute 0 is the hash without time: minutes are counted from 1. */
static uint32_t hash(const struct mr_tcp *t, const struct mr_tuple *tuple, uint32_t minute,
		     uint32_t irs)
{
	struct {
		struct mr_tuple tuple;
		uint32_t minute;
		uint32_t irs;
		uint8_t use[8]; /* other hashes under this key have other lengths */
	} in = { *tuple, minute, irs, "cookie" };

	return (uint32_t)mr_siphash24(&t->config->isn_key, &in, sizeof(in));
}

static uint32_t minute_of(const struct mr_tcp *t)
{
	return (uint32_t)(t->now_us / MR_COOKIE_MINUTE_US) + 1;
}

static uint32_t make(const struct mr_tcp *t, const struct mr_segment *syn, uint32_t minute)
{
	uint32_t data =
		hash(t, &syn->tuple, minute, syn->seq) + mss_index(&syn->tuple, syn->options.mss);

	return hash(t, &syn->tuple, 0, 0) + syn->seq + (minute << DATA_BITS) + (data & DATA_MASK);
}

/* The index of the MSS, or N_MSS and above: no cookie of ours. */
static uint32_t open_cookie(const struct mr_tcp *t, const struct mr_segment *ack)
{
	uint32_t irs = ack->seq - 1;
	uint32_t v = ack->ack - 1 - hash(t, &ack->tuple, 0, 0) - irs;
	uint32_t next = minute_of(t) + 1;
	uint32_t age = (next - (v >> DATA_BITS)) & (UINT32_MAX >> DATA_BITS);

	if (age > MR_COOKIE_MINUTES || age >= next)
		return N_MSS;
	return (v - hash(t, &ack->tuple, next - age, irs)) & DATA_MASK;
}

/* Options into the timestamp's low bits, never later than it is. */
static void hide_options(struct mr_segment_out *out, uint8_t peer_shift)
{
	struct mr_tcp_options *o = &out->options;
	uint32_t now = o->ts_val;
	uint32_t bits = o->has_window_scale ? peer_shift : TS_SHIFT_NONE;

	bits |= o->sack_permitted ? TS_SACK : 0;
	o->ts_val = (now & ~(uint32_t)TS_MASK) | bits;
	if (mr_seq_lt(now, o->ts_val))
		o->ts_val -= 1 << TS_BITS;
}

static void strip_options(struct mr_segment_out *out)
{
	out->options.has_window_scale = false;
	out->options.sack_permitted = false;
}

bool mr_cookie_send(struct mr_tcp *t, const struct mr_segment *syn, uint16_t rule,
		    const uint32_t *used)
{
	struct mr_half_open half;
	struct mr_segment_out out;
	struct mr_conn c = { 0 };

	if (!mr_tcp_listen_state(t, syn, &half))
		return false;
	half.rule = rule;
	half.iss = make(t, syn, minute_of(t));
	if (used && !mr_seq_lt(*used, half.iss))
		half.iss = make(t, syn, minute_of(t) + 1);
	if (used && !mr_seq_lt(*used, half.iss))
		return false;
	mr_half_open_expand(t, &half, &c);
	mr_tcp_syn_ack(t, &c, &out);
	if (out.options.has_timestamps)
		hide_options(&out, half.snd_shift);
	else
		strip_options(&out);
	t->ops->reply(t, &syn->tuple, &syn->link, &out);
	t->stats->segments_out++;
	t->stats->cookies_sent++;
	return true;
}

/* What the echoed timestamp says. */
static void find_options(const struct mr_segment *ack, struct mr_half_open *half)
{
	uint32_t bits = ack->options.ts_ecr & TS_MASK;
	uint8_t shift = bits & TS_SHIFT_MASK;

	half->flags |= MR_HALF_TIMESTAMPS;
	half->ts_recent = ack->options.ts_val;
	if (shift <= 14) {
		half->flags |= MR_HALF_WINDOW_SCALE;
		half->snd_shift = shift;
	}
	if (bits & TS_SACK)
		half->flags |= MR_HALF_SACK;
}

bool mr_cookie_check(const struct mr_tcp *t, const struct mr_segment *ack,
		     struct mr_half_open *half)
{
	uint32_t mss;

	if ((ack->flags & (MR_SYN | MR_ACK | MR_RST)) != MR_ACK)
		return false;
	mss = open_cookie(t, ack);
	if (mss >= N_MSS)
		return false;
	*half = (struct mr_half_open){
		.local_port = ack->tuple.local_port,
		.remote_port = ack->tuple.remote_port,
		.vlan = { ack->link.vlan[0], ack->link.vlan[1] },
		.peer_mss = mr_is_ipv4(ack->tuple.remote) ? mss_ipv4[mss] : mss_ipv6[mss],
		.iss = ack->ack - 1,
		.irs = ack->seq - 1,
		.next = MR_NONE,
		.prev = MR_NONE,
		.flags = MR_HALF_USED,
	};
	memcpy(half->local, ack->tuple.local, sizeof(half->local));
	memcpy(half->remote, ack->tuple.remote, sizeof(half->remote));
	memcpy(half->peer_mac, ack->link.peer_mac, sizeof(half->peer_mac));
	if (ack->options.has_timestamps && ack->options.ts_ecr)
		find_options(ack, half);
	return true;
}

/* The SYN-ACK for a peer of a family that offers every option, as far as it is ours to say. */
static void describe(struct mr_tcp *t, bool ipv4, struct mr_segment_out *out)
{
	struct mr_half_open half = {
		.peer_mss = MR_MSS_DEFAULT_IPV6,
		.next = MR_NONE,
		.prev = MR_NONE,
		.flags = MR_HALF_USED | MR_HALF_TIMESTAMPS | MR_HALF_WINDOW_SCALE | MR_HALF_SACK,
	};
	struct mr_conn c = { 0 };

	if (ipv4)
		memset(half.remote + 10, 0xff, 2);
	mr_half_open_expand(t, &half, &c);
	mr_tcp_syn_ack(t, &c, out);
}

void mr_cookie_describe(struct mr_tcp *t, struct mr_beat *b)
{
	struct mr_segment_out ipv4, ipv6;
	uint32_t flags = 0;

	describe(t, true, &ipv4);
	describe(t, false, &ipv6);
	b->syn_ts_offset = t->ts_offset;
	b->syn_window = ipv4.wnd;
	b->syn_mss4 = ipv4.options.mss;
	b->syn_mss6 = ipv6.options.mss;
	b->syn_shift = ipv4.options.window_shift;
	flags |= ipv4.options.has_timestamps ? MR_SYN_TIMESTAMPS : 0;
	flags |= ipv4.options.has_window_scale ? MR_SYN_WINDOW_SCALE : 0;
	flags |= ipv4.options.sack_permitted ? MR_SYN_SACK : 0;
	/* Release: with the flag the program finds all the rest. */
	__atomic_store_n(&b->syn, (b->syn & MR_SYN_LOOK) | flags, __ATOMIC_RELEASE);
}
