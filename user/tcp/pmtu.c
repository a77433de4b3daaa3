/* SPDX-License-Identifier: MIT */
/*
 * Path MTU by the word of routers (RFC 1191, RFC 8201), and of this host's own routes.
 *
 * A "too big" is believed only about a segment in flight (RFC 5927 4.1), only when it lowers the
 * size, and at once only when nothing of a larger size was ever acknowledged on this connection.
 * Else it waits: an acknowledgment of the quoted segment cancels it, a timeout confirms it (RFC
 * 5927 7.2). A believed one sends again the segments that were too big and nothing else, and
 * leaves the congestion window alone (RFC 8201 5.4). After ten minutes larger sizes are probed.
 *
 * A connection whose segments are smaller than it agreed on keeps its active record, which holds
 * what they may grow to.
 */
#include "user/tcp/internal.h"

#include <string.h>

enum {
	MTU_MIN_IPV4 = 576, /* smaller claims count as this (RFC 5927 7) */
	MTU_MIN_IPV6 = 1280,
	MSS_LEAST = 52,
};

/* RFC 1191 7.1, for routers that do not say */
static const uint16_t plateaus[] = { 65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 576 };

/* ----- what is remembered of destinations ----- */

static struct mr_pmtu_entry *set_of(const struct mr_tcp *t, const uint8_t remote[16])
{
	return t->pmtu->entry[mr_siphash13(&t->config->isn_key, remote, 16) % MR_PMTU_SETS];
}

static struct mr_pmtu_entry *find(struct mr_tcp *t, const uint8_t remote[16])
{
	struct mr_pmtu_entry *set;

	if (!t->pmtu || !t->pmtu->n_learned)
		return NULL;
	set = set_of(t, remote);
	for (uint32_t i = 0; i < MR_PMTU_WAYS; i++) {
		if (set[i].expires_ms && !mr_ms_before(t->now_ms, set[i].expires_ms))
			set[i].expires_ms = 0;
		if (set[i].expires_ms && memcmp(set[i].remote, remote, 16) == 0)
			return &set[i];
	}
	return NULL;
}

uint32_t mr_pmtu_lookup(struct mr_tcp *t, const uint8_t remote[16])
{
	const struct mr_pmtu_entry *e = find(t, remote);

	return e ? e->mtu : 0;
}

/* A free place of the set, else the one that would expire first. */
static struct mr_pmtu_entry *victim(const struct mr_tcp *t, const uint8_t remote[16])
{
	struct mr_pmtu_entry *set = set_of(t, remote);
	struct mr_pmtu_entry *best = set;

	for (uint32_t i = 0; i < MR_PMTU_WAYS; i++) {
		if (!set[i].expires_ms)
			return &set[i];
		if (mr_ms_before(set[i].expires_ms, best->expires_ms))
			best = &set[i];
	}
	return best;
}

void mr_pmtu_learn(struct mr_tcp *t, const uint8_t remote[16], uint32_t mtu)
{
	struct mr_pmtu_entry *e = find(t, remote);
	uint32_t expires_ms = t->now_ms + MR_PMTU_LIFE_MS;

	if (!t->pmtu)
		return;
	if (!e)
		e = victim(t, remote);
	memcpy(e->remote, remote, sizeof(e->remote));
	e->mtu = mtu;
	e->expires_ms = expires_ms ? expires_ms : 1;
	t->pmtu->n_learned++;
	t->pmtu->n_learned += !t->pmtu->n_learned;
}

void mr_pmtu_forget(struct mr_tcp *t, const uint8_t remote[16])
{
	struct mr_pmtu_entry *e = find(t, remote);

	if (e)
		e->expires_ms = 0;
}

/* ----- the size of segments ----- */

uint32_t mr_path_overhead(const struct mr_conn *c)
{
	return mr_tcp_mtu_of(c) - c->snd_mss;
}

uint32_t mr_path_floor(const struct mr_conn *c)
{
	return mr_is_ipv4(c->remote) ? MTU_MIN_IPV4 : MTU_MIN_IPV6;
}

void mr_path_lower(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t mss)
{
	if (!a->mss_most)
		a->mss_most = c->snd_mss;
	c->snd_mss = (uint16_t)mss;
	a->mss_acked = (uint16_t)min_u32(a->mss_acked, mss);
	a->big_len = 0;
	a->claimed_mtu = 0;
	a->probe_len = 0;
	a->probe_tries = 0;
	t->stats->mtu_lowered++;
}

/* RFC 5681 3.1: the least that windows are, now of segments that are larger; in bytes they stay. */
void mr_path_raise(struct mr_conn *c, uint32_t mss)
{
	c->snd_mss = (uint16_t)mss;
	c->cwnd = max_u32(c->cwnd, mss);
	c->ssthresh = max_u32(c->ssthresh, 2 * mss);
}

/*
 * Sent segments that are too big now, once more in pieces; all others stay as they are. Without
 * room the retransmission timer does the rest.
 */
void mr_path_resend_big(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_frame *rec = t->frames->record;
	bool is_rest = false;

	for (uint32_t i = c->tx_head; i != MR_NONE && i != c->tx_next; i = rec[i].next) {
		bool is_big = rec[i].len > c->snd_mss;

		if ((!is_big && !is_rest) || rec[i].marks & MR_FRAME_SACKED)
			continue;
		if (is_big && !mr_tcp_split(t, c, i, c->snd_mss))
			return;
		if (!mr_tcp_send_frame(t, c, i))
			return;
		is_rest = is_big;
	}
}

/* The path takes @mtu and no more: for ten minutes that is not put to the test. */
static void believe(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a, uint32_t mtu)
{
	mr_path_lower(t, c, a, mtu - mr_path_overhead(c));
	a->mss_bad = (uint16_t)(c->snd_mss + 1);
	a->path_ms = t->now_ms + MR_PMTU_LIFE_MS;
}

static uint32_t plateau_below(uint32_t bytes)
{
	for (uint32_t i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++)
		if (plateaus[i] < bytes)
			return plateaus[i];
	return MTU_MIN_IPV4;
}

/* What a message claims, 0: nothing that counts. */
static uint32_t claim_of(const struct mr_conn *c, const struct mr_icmp_error *icmp)
{
	uint32_t mtu = icmp->mtu;

	if (!mr_is_ipv4(c->remote))
		return mtu < MTU_MIN_IPV6 ? 0 : mtu; /* RFC 8201 4: discard */
	if (!mtu)				     /* RFC 1191 5: a router from before */
		mtu = plateau_below(icmp->quoted_bytes ? icmp->quoted_bytes : mr_tcp_mtu_of(c));
	return max_u32(mtu, MTU_MIN_IPV4);
}

void mr_path_too_big(struct mr_tcp *t, struct mr_conn *c, const struct mr_icmp_error *icmp)
{
	uint32_t mtu = claim_of(c, icmp);
	struct mr_active *a;

	if (!mtu || mtu >= mr_tcp_mtu_of(c) || c->state < MR_ESTABLISHED)
		return;
	a = mr_active_of(t, c);
	if (mtu - mr_path_overhead(c) < a->mss_acked) { /* larger ones have passed */
		a->claimed_mtu = (uint16_t)mtu;
		a->claimed_seq = icmp->seq;
		return;
	}
	believe(t, c, a, mtu);
	mr_pmtu_learn(t, c->remote, mtu);
	mr_path_resend_big(t, c);
	mr_tcp_want_output(t, c);
}

/*
 * A segment that is larger than was claimed timed out: the claim that waited for that is true. One
 * that is not larger was lost for another reason, and the claim does not stand in its way.
 */
bool mr_path_claim_holds(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	uint32_t mtu = a->claimed_mtu;

	if (!mtu || mtu >= mr_tcp_mtu_of(c))
		return false;
	if (c->tx_head == MR_NONE ||
	    t->frames->record[c->tx_head].len + mr_path_overhead(c) <= mtu) {
		a->claimed_mtu = 0;
		return false;
	}
	believe(t, c, a, mtu);
	mr_pmtu_learn(t, c->remote, mtu);
	mr_path_resend_big(t, c);
	mr_tcp_want_output(t, c);
	return true;
}

/* ----- events ----- */

void mr_path_established(struct mr_tcp *t, struct mr_conn *c)
{
	uint32_t mtu = mr_pmtu_lookup(t, c->remote);

	if (mtu && mtu < mr_tcp_mtu_of(c)) {
		believe(t, c, mr_active_of(t, c), mtu);
		return;
	}
	if (t->config->mtu_probing == MR_MTU_PROBING_ON)
		mr_path_begin_small(t, c);
}

void mr_path_note_acked(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	a->timeouts = 0;
	if (a->big_len && mr_seq_le(a->big_end, c->snd_una)) {
		a->mss_acked = (uint16_t)max_u32(a->mss_acked, a->big_len);
		a->big_len = 0;
	}
	if (a->claimed_mtu && mr_seq_lt(a->claimed_seq, c->snd_una))
		a->claimed_mtu = 0; /* the segment arrived: the claim was false, or is over */
	if (a->probe_len && mr_seq_le(a->probe_seq + a->probe_len, c->snd_una))
		mr_path_probe_arrived(t, c, a);
}

/* Our own side takes more again, or less than what segments may grow to. */
static void follow_up(struct mr_conn *c, struct mr_active *a, uint32_t mss)
{
	uint32_t before = a->mss_local;

	a->mss_local = (uint16_t)(mss < a->mss_most ? mss : 0);
	if (!before || mss <= before)
		return;
	if (c->snd_mss == before && !a->probe_len) /* nothing else had made it smaller */
		mr_path_raise(c, min_u32(mss, a->mss_most));
	a->mss_bad = 0;
	a->path_ms = 0;
	if (c->snd_mss >= a->mss_most)
		a->mss_most = 0;
}

void mr_tcp_follow_mtu(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu)
{
	uint32_t overhead = mr_path_overhead(c);
	uint32_t mss = max_u32(mtu, overhead + MSS_LEAST) - overhead;
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (c->state < MR_ESTABLISHED) {
		if (c->state != MR_CLOSED)
			mr_tcp_limit_mtu(t, c, mtu);
		return;
	}
	if (mss >= c->snd_mss) {
		if (a && a->mss_most)
			follow_up(c, a, mss);
		return;
	}
	a = mr_active_of(t, c);
	mr_path_lower(t, c, a, mss);
	a->mss_local = (uint16_t)mss;
	a->mss_bad = 0;
	a->path_ms = 0;
	mr_path_resend_big(t, c);
	mr_tcp_want_output(t, c);
}
