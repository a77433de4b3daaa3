/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open, RFC 7413. Server: a cookie is a SipHash of both addresses under a key that is
 * derived from the daemon's secret and the day, so that all lanes agree without a word and keys
 * change by themselves; the key before is accepted. Client: cookies by destination; a SYN with
 * text that is lost is sent again plain, and Fast Open is off for that destination for a while.
 */
#include "user/tcp/fast_open.h"

#include <string.h>

#include "user/tcp/internal.h"

/* ----- server ----- */

static uint32_t day_of(const struct mr_tcp *t)
{
	return (uint32_t)(t->now_us / (MR_FAST_OPEN_KEY_S * 1000000ull));
}

static void make_cookie(const struct mr_tcp *t, const struct mr_tuple *tuple, uint32_t day,
			uint8_t cookie[MR_FAST_OPEN_BYTES])
{
	uint8_t addresses[32];
	uint32_t in[2] = { day, 0 };
	struct mr_siphash_key key;
	uint64_t v;

	key.k[0] = mr_siphash24(&t->config->fast_open_key, in, sizeof(in));
	in[1] = 1;
	key.k[1] = mr_siphash24(&t->config->fast_open_key, in, sizeof(in));
	memcpy(addresses, tuple->remote, 16);
	memcpy(addresses + 16, tuple->local, 16);
	v = mr_siphash24(&key, addresses, sizeof(addresses));
	memcpy(cookie, &v, MR_FAST_OPEN_BYTES);
}

/* In constant time: how much of a guess is right may not show. */
static bool is_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t difference = 0;

	for (int i = 0; i < MR_FAST_OPEN_BYTES; i++)
		difference |= a[i] ^ b[i];
	return !difference;
}

enum mr_fast_open mr_fast_open_of(const struct mr_tcp *t, const struct mr_segment *syn)
{
	const struct mr_tcp_options *o = &syn->options;
	uint8_t cookie[MR_FAST_OPEN_BYTES];

	if (!o->has_fast_open || !(t->config->fast_open & MR_FAST_OPEN_SERVER))
		return MR_FAST_OPEN_NONE;
	if (o->fast_open_bytes != MR_FAST_OPEN_BYTES)
		return MR_FAST_OPEN_ASKED;
	make_cookie(t, &syn->tuple, day_of(t), cookie);
	if (is_equal(cookie, o->fast_open))
		return MR_FAST_OPEN_GOOD;
	if (!day_of(t))
		return MR_FAST_OPEN_ASKED;
	make_cookie(t, &syn->tuple, day_of(t) - 1, cookie);
	return is_equal(cookie, o->fast_open) ? MR_FAST_OPEN_OLD : MR_FAST_OPEN_ASKED;
}

void mr_fast_open_note(const struct mr_tcp *t, const struct mr_segment *syn,
		       struct mr_half_open *half)
{
	enum mr_fast_open cookie = mr_fast_open_of(t, syn);

	if (cookie != MR_FAST_OPEN_ASKED && cookie != MR_FAST_OPEN_OLD)
		return;
	half->flags |= MR_HALF_FAST_OPEN;
	if (syn->options.fast_open_experimental)
		half->flags |= MR_HALF_FAST_OPEN_EXP;
}

static void put_cookie(const struct mr_tcp *t, const struct mr_tuple *tuple, bool experimental,
		       struct mr_segment_out *out)
{
	out->options.has_fast_open = true;
	out->options.fast_open_experimental = experimental;
	out->options.fast_open_bytes = MR_FAST_OPEN_BYTES;
	make_cookie(t, tuple, day_of(t), out->options.fast_open);
}

void mr_fast_open_offer(const struct mr_tcp *t, const struct mr_half_open *half,
			struct mr_segment_out *out)
{
	if (half->flags & MR_HALF_FAST_OPEN)
		put_cookie(t, (const struct mr_tuple *)(const void *)half->local,
			   half->flags & MR_HALF_FAST_OPEN_EXP, out);
}

void mr_fast_open_accept(struct mr_tcp *t, const struct mr_segment *syn,
			 const struct mr_half_open *half, enum mr_fast_open cookie,
			 struct mr_conn *c, uint32_t frame, bool *kept)
{
	mr_half_open_expand(t, half, c);
	c->flags |= MR_CONN_FAST_OPEN | MR_CONN_RTT_RUNNING;
	c->rtt_seq = c->iss;
	c->rtt_start_us = (uint32_t)t->now_us;
	c->snd_una = c->iss + 1;
	c->snd_wnd = syn->wnd;
	c->snd_wl1 = syn->seq;
	c->snd_wl2 = c->iss;
	c->max_snd_wnd = c->snd_wnd;
	mr_cc_of(c)->init(c, false);
	mr_tcp_receive_text(t, c, syn, frame, kept);
	t->fast_open_renew =
		cookie == MR_FAST_OPEN_OLD ? (syn->options.fast_open_experimental ? 2 : 1) : 0;
	mr_tcp_send_syn(t, c); /* acknowledges the text as well */
	t->fast_open_renew = 0;
	c->flags &= ~MR_CONN_ACK_NOW;
	c->segs_unacked = 0;
	c->last_ack_sent = c->rcv_nxt;
	mr_timer_ack_sent(c);
	t->stats->fast_opens_in++;
	t->stats->segments_in++;
	t->ops->event(t, c, MR_EVENT_READABLE);
}

/* ----- both ----- */

/*
 * The first acknowledgment that a connection gets: of its SYN or SYN-ACK, and of text sent with or
 * behind it. What of it is left waits at tx_next.
 */
void mr_fast_open_acked(struct mr_tcp *t, struct mr_conn *c, uint32_t ack)
{
	if (!(c->flags & MR_CONN_FAST_OPEN)) {
		c->snd_una = ack;
		return;
	}
	if (mr_seq_lt(c->snd_una, ack)) {
		struct mr_delivery d = { .advanced = true };

		mr_tcp_acked(t, c, mr_active_of(t, c), ack, &d);
	}
}

/* Established: deadlines and a FIN that waited for it. */
void mr_fast_open_established(struct mr_tcp *t, struct mr_conn *c)
{
	if (!(c->flags & MR_CONN_FAST_OPEN) || c->state != MR_ESTABLISHED)
		return;
	c->flags &= ~MR_CONN_FAST_OPEN;
	if (mr_conn_flight(t, c))
		mr_timer_data_sent(t, c);
	if (c->flags & MR_CONN_FIN_QUEUED)
		mr_tcp_set_state(t, c, MR_FIN_WAIT_1);
	mr_tcp_want_output(t, c);
}

/* ----- client ----- */

static struct mr_fast_open_known *known_at(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint64_t hash;

	if (!t->fast_open || !(t->config->fast_open & MR_FAST_OPEN_CLIENT))
		return NULL;
	hash = mr_siphash13(&t->config->fast_open_key, c->remote, sizeof(c->remote));
	return &t->fast_open->known[hash % MR_FAST_OPEN_CACHE];
}

/* The place in the cache, if it is this destination's. */
static struct mr_fast_open_known *known(const struct mr_tcp *t, const struct mr_conn *c)
{
	struct mr_fast_open_known *k = known_at(t, c);

	return k && memcmp(k->remote, c->remote, sizeof(k->remote)) == 0 ? k : NULL;
}

/* Text that goes with the SYN: what one segment to this peer holds beside all options. */
static uint32_t syn_text(const struct mr_tcp *t, const struct mr_conn *c, uint16_t mss,
			 const struct mr_segment_out *out)
{
	uint32_t options = (uint32_t)mr_tcp_options_bytes(&out->options);
	uint32_t most = c->snd_mss + (c->flags & MR_CONN_TIMESTAMPS ? MR_TS_OPTION_BYTES : 0);

	if (!mss)
		mss = mr_is_ipv4(c->remote) ? MR_MSS_DEFAULT_IPV4 : MR_MSS_DEFAULT_IPV6;
	most = min_u32(most, mss);
	if (c->tx_head == MR_NONE || most <= options)
		return 0;
	return min_u32(t->frames->record[c->tx_head].len, most - options);
}

/* The option of a SYN or SYN-ACK; returns bytes of text that go along. */
uint32_t mr_fast_open_fill(struct mr_tcp *t, struct mr_conn *c, struct mr_segment_out *out)
{
	struct mr_fast_open_known *k;

	if (c->state != MR_SYN_SENT) {
		if (t->fast_open_renew)
			put_cookie(t, mr_conn_tuple(c), t->fast_open_renew == 2, out);
		return 0;
	}
	if (c->backoff || !known_at(t, c))
		return 0;
	k = known(t, c);
	if (k && k->off_until_ms && mr_ms_before(t->now_ms, k->off_until_ms))
		return 0;
	out->options.has_fast_open = true;
	if (!k || !k->bytes)
		return 0; /* asks for a cookie */
	out->options.fast_open_experimental = k->experimental;
	out->options.fast_open_bytes = k->bytes;
	memcpy(out->options.fast_open, k->cookie, sizeof(k->cookie));
	return syn_text(t, c, k->mss, out);
}

/* The peer's SYN-ACK (4.1.3, 4.2.1): its cookie; was the text taken? */
void mr_fast_open_answered(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	const struct mr_tcp_options *o = &seg->options;
	struct mr_fast_open_known *k = known_at(t, c);

	if (c->snd_nxt != c->iss + 1 && seg->ack == c->iss + 1)
		t->stats->fast_open_fallbacks++;
	if (!k || !o->has_fast_open || !o->fast_open_bytes)
		return;
	*k = (struct mr_fast_open_known){
		.bytes = o->fast_open_bytes,
		.experimental = o->fast_open_experimental,
		.mss = o->mss,
	};
	memcpy(k->remote, c->remote, sizeof(k->remote));
	memcpy(k->cookie, o->fast_open, sizeof(k->cookie));
}

/* A SYN is sent again. Text in it may be what a box on the path does not like (4.1.3.1). */
void mr_fast_open_lost(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_fast_open_known *k = known(t, c);

	if (c->state != MR_SYN_SENT || c->snd_nxt == c->iss + 1 || !k)
		return;
	k->off_until_ms = t->now_ms + MR_FAST_OPEN_OFF_MS;
	k->off_until_ms += !k->off_until_ms;
}
