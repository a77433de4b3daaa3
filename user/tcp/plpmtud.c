/* SPDX-License-Identifier: MIT */
/*
 * Path MTU without the word of routers (RFC 4821, RFC 8899).
 *
 * Black holes: when the same full segment times out again and again, smaller ones are sent, first
 * of the base size, then of the smallest one. Search: as soon as enough text waits, one segment is
 * made larger than snd_mss. If it is acknowledged, its size is the new one. If it is lost and what
 * follows it is not, that says something about its size and nothing about congestion (RFC 4821 7.5,
 * 7.6): it is sent again in pieces, and the window stays. The first probe has the largest size, the
 * next ones halve what is left between the size that passes and the smallest that did not.
 */
#include "user/tcp/internal.h"

#include <string.h>

enum {
	MTU_BASE_IPV4 = 1024, /* RFC 4821 7.2 */
	SEARCH_STEP = 16,     /* what is left when the search ends */
	BLACK_HOLE_TIMEOUTS = 3,
	SMALLEST_TIMEOUTS = 5,
	ADVICE_TIMEOUTS = 3, /* R1: RFC 9293 3.8.3 (MUST-20), at least 3 retransmissions */
	PROBE_TRIES = 3,     /* probes that went down with other segments count as lost then */
	PROBE_GUARD = MR_DUPACKS + 1, /* segments behind a probe, so that its loss is seen */
	PROBE_REST_MS = 100,
};

static uint32_t base_mss(const struct mr_conn *c)
{
	return max_u32(mr_path_floor(c), MTU_BASE_IPV4) - mr_path_overhead(c);
}

static bool search_is_over(const struct mr_conn *c, const struct mr_active *a)
{
	return a->mss_bad && a->mss_bad <= c->snd_mss + SEARCH_STEP;
}

/* The next probe not before ... */
static void rest(struct mr_tcp *t, const struct mr_conn *c, struct mr_active *a)
{
	uint32_t ms = max_u32(c->srtt_us / 8 * 5 / 1000, PROBE_REST_MS);

	a->path_ms = t->now_ms + (search_is_over(c, a) ? (uint32_t)MR_PMTU_LIFE_MS : ms);
}

/* RFC 4821 7.2: begin with what is all but sure to pass. */
void mr_path_begin_small(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t mss = base_mss(c);

	if (mss < c->snd_mss)
		mr_path_lower(t, c, mr_active_of(t, c), mss);
}

/* ----- timeouts ----- */

/* The oldest segment is larger than what passes everywhere, and never arrives. */
static void fall_back(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t mss = a->timeouts >= SMALLEST_TIMEOUTS ? mr_path_floor(c) - mr_path_overhead(c)
							: base_mss(c);

	if (a->timeouts < BLACK_HOLE_TIMEOUTS || c->tx_head == MR_NONE || mss >= c->snd_mss ||
	    t->frames->record[c->tx_head].len <= mss)
		return;
	mr_path_lower(t, c, a, mss);
	a->mss_bad = 0;
	rest(t, c, a);
	t->stats->black_holes++;
}

/* A probe went down with others: three times, and it was its size. */
static void inconclusive(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t len = a->probe_len;

	a->probe_len = 0;
	a->big_len = 0; /* what is sent again may be its pieces */
	if (++a->probe_tries >= PROBE_TRIES) {
		a->probe_tries = 0;
		a->mss_bad = (uint16_t)len;
	}
	rest(t, c, a);
}

bool mr_path_timed_out(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	if (a->timeouts < UINT8_MAX)
		a->timeouts++;
	if (a->probe_len)
		inconclusive(t, c, a);
	if (mr_path_claim_holds(t, c, a))
		return true;
	if (t->config->mtu_probing != MR_MTU_PROBING_OFF)
		fall_back(t, c, a);
	/* nothing was heard since: perhaps it is the way there that is wrong */
	if (a->timeouts >= ADVICE_TIMEOUTS && !mr_ms_before(c->unacked_ms, c->heard_ms))
		t->ops->event(t, c, MR_EVENT_PATH_DOUBT);
	return false;
}

/* ----- probes ----- */

void mr_path_resent(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (a && a->probe_len)
		inconclusive(t, c, a);
}

bool mr_path_probe_lost(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a || !a->probe_len || c->snd_una != a->probe_seq)
		return false;
	a->mss_bad = a->probe_len;
	a->probe_len = 0;
	a->big_len = 0;
	a->probe_tries = 0;
	rest(t, c, a);
	t->stats->mtu_probes_lost++;
	mr_path_resend_big(t, c);
	return true;
}

void mr_path_probe_arrived(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	mr_path_raise(c, a->probe_len);
	a->mss_acked = (uint16_t)max_u32(a->mss_acked, a->probe_len);
	a->probe_len = 0;
	a->probe_tries = 0;
	a->path_ms = 0;
	if (c->snd_mss >= a->mss_most) {
		a->mss_most = 0;
		a->mss_bad = 0;
		mr_pmtu_forget(t, c->remote);
		return;
	}
	if (mr_pmtu_lookup(t, c->remote))
		mr_pmtu_learn(t, c->remote, mr_tcp_mtu_of(c));
	if (search_is_over(c, a))
		rest(t, c, a);
}

/* Size of the next probe; 0: none. A search that is over begins anew when its rest is. */
static uint32_t probe_size(const struct mr_conn *c, struct mr_active *a)
{
	uint32_t most = a->mss_local ? min_u32(a->mss_most, a->mss_local) : a->mss_most;
	uint32_t size;

	if (search_is_over(c, a))
		a->mss_bad = 0;
	size = a->mss_bad ? (c->snd_mss + a->mss_bad) / 2u : most;
	size = min_u32(size, most);
	return size > c->snd_mss ? size : 0;
}

/* Enough text waits behind the send point, and the windows are wide, for it and its guard. */
static bool has_text_for(const struct mr_tcp *t, const struct mr_conn *c, uint32_t size)
{
	uint32_t needed = size + PROBE_GUARD * c->snd_mss;

	return c->tx_next != MR_NONE && mr_tcp_queue_end(c) - mr_tcp_send_point(t, c) >= needed &&
	       min_u32(c->snd_wnd, c->cwnd) >= needed && !t->frames->record[c->tx_next].sends;
}

/*
 * Move text from the frames behind tx_next into it until it holds @size bytes. The guard's text
 * lies behind, so the tail, where the application may be writing, is not reached.
 */
static bool gather(struct mr_tcp *t, struct mr_conn *c, uint32_t size)
{
	struct mr_frame *rec = t->frames->record;
	uint32_t first = c->tx_next;
	struct mr_frame *r = &rec[first];

	if (r->in_tx || (uint32_t)r->offset + size > t->frames->frame_bytes)
		return false;
	while (r->len < size) {
		uint32_t i = r->next;
		struct mr_frame *s;
		uint32_t n;

		if (i == MR_NONE || i == c->tx_tail || rec[i].in_tx || rec[i].sends)
			return false; /* what was gathered stays good */
		s = &rec[i];
		n = min_u32(size - r->len, s->len);
		memcpy(mr_frame_payload(t->frames, first) + r->len, mr_frame_payload(t->frames, i),
		       n);
		r->len = (uint16_t)(r->len + n);
		s->seq += n;
		s->offset = (uint16_t)(s->offset + n);
		s->len = (uint16_t)(s->len - n);
		if (!s->len) {
			r->next = s->next;
			r->tcp_flags |= s->tcp_flags & MR_PSH;
			mr_frame_give(t->frames, i);
		}
	}
	return true;
}

bool mr_path_try_probe(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t frame = c->tx_next;
	uint32_t size;

	if (a->probe_len || c->dupacks || c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY) ||
	    (a->path_ms && mr_ms_before(t->now_ms, a->path_ms)))
		return true;
	size = probe_size(c, a);
	if (!size || !has_text_for(t, c, size))
		return true;
	if (mr_tcp_usable_window(t, c) < size)
		return false; /* what is in flight makes room for it */
	if (!gather(t, c, size))
		return true;
	c->tx_next = t->frames->record[frame].next;
	if (!mr_tcp_send_frame(t, c, frame)) {
		c->tx_next = frame;
		return true;
	}
	a->probe_len = (uint16_t)size;
	a->probe_seq = t->frames->record[frame].seq;
	t->stats->mtu_probes++;
	return true;
}
