/* SPDX-License-Identifier: MIT */
/*
 * Accurate ECN feedback (RFC 9768): both sides count what the network marked, and tell it in every
 * segment: packets with CE in the three bits AE, CWR and ECE (ACE, modulo 8), bytes by IP's field
 * in an option where that gets through.
 *
 * A connection that agreed has its struct mr_active for its life; before that MR_CONN_CWR_OWED
 * says in SYN-SENT and SYN-RECEIVED that this is what is asked or agreed on (it means nothing else
 * there), and MR_CONN_ECE_OWED in SYN-RECEIVED that a SYN of the peer did not ask. The server's
 * half of the handshake stands in mr_half_open.accurate.
 */
#include "user/tcp/internal.h"
#include "user/wire/tcp_options.h"

enum {
	NOT_ECT = 0,
	ECT_0 = 2,
	CE = 3,
	ACE_MOST = 7,
	ACE_FIRST = 5, /* 3.2.1: where r.cep begins */
	ACE_NONE = 0,
	ACE_BROKEN = 7, /* a SYN-ACK that repeats the SYN's bits */
	ACE_CLASSIC = 1,
	BYTES_MASK = 0xffffff,
	BYTES_SIGN = 0x800000,
	FIELD_ECT_0 = 3, /* the counter's place in an AccECN1 option, from 1 */
	TRIES_ACE = 2,	 /* SYNs and SYN-ACKs that have the bits (3.1.4) */
	ACK_AFTER_CE = 2,
	ACK_AFTER_BARE_CE = 3, /* of segments without text (3.2.2.5.1) */
	AVERAGE_SHIFT = 6,
	ACKS_MERGED =
		4, /* segments an ACK, on average, from which on ACKs are known to be thinned */
	SACKS_LEAST = 2, /* that an option leaves of those that wait */
};

/* 3.1.2, table 2: what ACE says of the IP field that a SYN or SYN-ACK had */
static const uint8_t ace_of_field[] = { 2, 3, 4, 6 };

/* IP's field less one, of an option's counters: AccECN1 and AccECN0 */
static const uint8_t fields1[] = { 0, 2, 1 }, fields0[] = { 1, 2, 0 };

static uint8_t ace_of(const struct mr_segment *seg)
{
	return (uint8_t)((seg->ecn & MR_AE) | seg->flags >> 6);
}

static void put_ace(struct mr_segment_out *out, uint8_t ace)
{
	out->flags = (uint8_t)((out->flags & ~(MR_ECE | MR_CWR)) | (ace & 3) << 6);
	out->ecn = (uint8_t)((out->ecn & ~MR_AE) | (ace & MR_AE));
}

/* 3.2.3: counters begin at 1, but that of CE, so that one which somebody zeroed is known. */
static uint32_t first_count(unsigned int field)
{
	return field + 1 != CE;
}

struct mr_accurate *mr_accurate_of(const struct mr_tcp *t, const struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	return a && a->accurate.on ? &a->accurate : NULL;
}

/* ----- the client's handshake ----- */

void mr_accurate_fill_syn(const struct mr_conn *c, struct mr_segment_out *out)
{
	if (c->backoff < TRIES_ACE)
		put_ace(out, MR_AE | 3);
}

/*
 * 3.1.2, table 2, SYN-SENT: the SYN-ACK says which ECN the server knows. A SYN that crosses ours is
 * answered without ECN.
 */
bool mr_accurate_syn_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	uint8_t ace = ace_of(seg);
	struct mr_accurate *k;

	c->flags &= ~MR_CONN_CWR_OWED;
	if (!(seg->flags & MR_ACK) || ace == ACE_NONE || ace == ACE_BROKEN)
		return false;
	if (ace == ACE_CLASSIC) /* RFC 3168 6.1.1: not after a SYN that did not ask */
		return c->backoff < TRIES_ACE;
	k = &mr_active_of(t, c)->accurate;
	*k = (struct mr_accurate){ .on = 1, .ts_seen = c->ts_recent };
	k->received_ce = (seg->ecn & MR_ECN_IP) == CE;
	k->syn_answer = ace_of_field[seg->ecn & MR_ECN_IP];
	/* 3.2.2.3: the SYN had Not-ECT: whoever saw another field saw it rewritten */
	if (ace == ace_of_field[1] || ace == ace_of_field[ECT_0] || ace == ace_of_field[CE])
		k->flags |= MR_ACCURATE_NO_ECT;
	mr_accurate_option_arrives(k, seg);
	return true;
}

/* The peer sends its SYN-ACK again: the ACK of it, that ACK alone (@before it), says how it came.
 */
void mr_accurate_syn_again(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   bool before)
{
	struct mr_accurate *k = mr_accurate_of(t, c);

	if (k && !(c->flags & MR_CONN_PASSIVE))
		k->syn_answer = before ? ace_of_field[seg->ecn & MR_ECN_IP] : 0;
}

/* ----- the server's ----- */

bool mr_accurate_listen(struct mr_half_open *h, const struct mr_segment *syn)
{
	if (ace_of(syn) != ACE_MOST)
		return false;
	h->accurate = (uint8_t)(MR_HALF_ACCURATE | (syn->ecn & MR_ECN_IP));
	return true;
}

/* A SYN that did not ask: feedback stays as agreed on, but no ECT is sent (3.1.4). */
void mr_accurate_listen_again(struct mr_half_open *h, const struct mr_segment *syn)
{
	h->accurate = (uint8_t)((h->accurate & ~MR_HALF_SYN_FIELD) | (syn->ecn & MR_ECN_IP));
	if (ace_of(syn) != ACE_MOST)
		h->accurate |= MR_HALF_NO_ECT;
}

static void put_counters(struct mr_segment_out *out, const struct mr_accurate *k, uint8_t n)
{
	out->options.has_ecn = true;
	out->options.ecn_kind = MR_OPT_ACC_ECN1;
	out->options.n_ecn = n;
	for (unsigned int i = 0; i < n; i++)
		out->options.ecn_bytes[i] = (k->received[fields1[i]] + first_count(fields1[i])) &
					    BYTES_MASK;
}

/* 3.1.4, 3.2.3.2.2: what may be why a SYN-ACK is lost is left out when it is sent again. */
void mr_accurate_offer(struct mr_tcp *t, const struct mr_half_open *h, struct mr_segment_out *out)
{
	const struct mr_accurate none = { 0 };

	if (!(h->accurate & MR_HALF_ACCURATE))
		return;
	if (h->sends < TRIES_ACE)
		put_ace(out, ace_of_field[h->accurate & MR_HALF_SYN_FIELD]);
	if (h->sends || t->config->no_ecn_option)
		return;
	put_counters(out, &none, MR_ACC_ECN_FIELDS);
}

/* The handshake is done. 3.2.2.1, table 4: a first segment without text tells of the SYN-ACK. */
void mr_accurate_established(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	bool unasked = c->flags & MR_CONN_ECE_OWED;
	uint8_t ace = ace_of(seg);
	struct mr_accurate *k;

	c->flags &= ~(MR_CONN_CWR_OWED | MR_CONN_ECE_OWED);
	k = &mr_active_of(t, c)->accurate;
	*k = (struct mr_accurate){ .on = 1, .ts_seen = c->ts_recent };
	if (unasked || ace == ACE_NONE) /* 3.2.2.4: somebody zeroes the bits */
		k->flags |= MR_ACCURATE_NO_ECT;
	if (seg->len)
		return;
	k->delivered_ce = ace == ace_of_field[CE];
	if (t->config->keep_ect)
		return;
	if (ace == ace_of_field[1] || ace == ace_of_field[ECT_0] || ace == ace_of_field[CE])
		k->flags |= MR_ACCURATE_NO_ECT; /* 3.2.2.3, as of a SYN */
}

/* ----- sending ----- */

static uint8_t ace_now(const struct mr_accurate *k)
{
	return (ACE_FIRST + k->received_ce) & ACE_MOST;
}

/* In TIME-WAIT nobody counts any more. */
void mr_accurate_fill(const struct mr_conn *c, struct mr_accurate *k, struct mr_segment_out *out)
{
	if (c->state != MR_TIME_WAIT)
		put_ace(out, k->syn_answer ? k->syn_answer : ace_now(k));
	k->syn_answer = 0;
	k->ce_untold = 0;
	if (!(k->flags & MR_ACCURATE_NO_ECT))
		out->ecn |= ECT_0;
}

/* The same with text: its place is no handshake's any more. */
void mr_accurate_fill_text(const struct mr_accurate *k, struct mr_segment_out *out)
{
	put_ace(out, ace_now(k));
}

static bool may_tell(const struct mr_tcp *t, const struct mr_accurate *k)
{
	return !t->config->no_ecn_option &&
	       (k->flags & (MR_ACCURATE_OPTION_SEEN | MR_ACCURATE_OPTION_OFF)) ==
		       MR_ACCURATE_OPTION_SEEN;
}

/* Counters that fit beside what stands there and @n SACK blocks; fewer than @least: 0. */
static uint8_t fields_beside(const struct mr_conn *c, uint32_t n, uint8_t least)
{
	uint32_t room =
		MR_TCP_OPTIONS_MAX - (c->flags & MR_CONN_TIMESTAMPS ? MR_TS_OPTION_BYTES : 0);

	room -= n ? 4 + n * MR_OPT_SACK_BLOCK_BYTES : 0;
	for (uint8_t f = MR_ACC_ECN_FIELDS; f >= least && f; f--)
		if (((2u + f * MR_OPT_ACC_ECN_FIELD_BYTES + 3) & ~3u) <= room)
			return f;
	return 0;
}

/*
 * 3.2.3.3: the option, as far as there is room: news of a counter may take the place of SACK blocks
 * that were told before. A segment that is full takes none.
 */
void mr_accurate_fill_option(const struct mr_tcp *t, const struct mr_conn *c, struct mr_active *a,
			     uint32_t len, struct mr_segment_out *out)
{
	struct mr_accurate *k = &a->accurate;
	bool dsack = a->dsack.left != a->dsack.right;
	uint8_t n = out->options.n_sack;
	uint8_t keep = (uint8_t)max_u32(SACKS_LEAST, a->n_untold + dsack);
	uint8_t fields;

	if (!may_tell(t, k))
		return;
	fields = fields_beside(c, n, k->news);
	while (!fields && k->news && n > keep)
		fields = fields_beside(c, --n, k->news);
	if (!fields)
		return;
	put_counters(out, k, fields);
	if (len && len + mr_tcp_options_bytes(&out->options) > c->snd_mss) {
		out->options.has_ecn = false; /* snd_mss has timestamps taken off already */
		return;
	}
	out->options.n_sack = n;
	k->news = 0;
	if (dsack && n)
		k->told = a->dsack;
}

/* ----- receiving ----- */

/* 3.2.3.2.4: a first counter of 0 was zeroed on the way. */
void mr_accurate_option_arrives(struct mr_accurate *k, const struct mr_segment *seg)
{
	if (seg->options.has_ecn && (!seg->options.n_ecn || seg->options.ecn_bytes[0]))
		k->flags |= MR_ACCURATE_OPTION_SEEN;
}

/*
 * 3.2.3.2.2: what was told in an ACK with the option came again, and again: such ACKs may not get
 * through.
 */
void mr_accurate_duplicate(struct mr_accurate *k, uint32_t left, uint32_t right)
{
	if (k->told.left != k->told.right && k->told.left == left && k->told.right == right)
		k->flags |= MR_ACCURATE_OPTION_OFF;
}

/* The text behind the handshake timed out, with all that went with it. */
void mr_accurate_timed_out(const struct mr_conn *c, struct mr_accurate *k)
{
	if (c->snd_una == c->iss + 1)
		k->flags |= MR_ACCURATE_OPTION_OFF;
}

/* 3.2.2.5.1, 3.2.3.3: an ACK at once for every second mark, and when the field changes. */
static void want_ack(struct mr_tcp *t, struct mr_conn *c)
{
	c->flags |= MR_CONN_ACK_NOW;
	mr_tcp_want_output(t, c);
}

/* A segment that is acceptable, or text that came before: what IP said of it is counted. */
void mr_accurate_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	static const uint8_t place[] = { 1, FIELD_ECT_0, 2 };
	struct mr_accurate *k = mr_accurate_of(t, c);
	uint8_t field = seg->ecn & MR_ECN_IP;

	if (!k)
		return;
	mr_accurate_option_arrives(k, seg);
	if (field == CE) {
		k->received_ce++;
		if (k->ce_untold < UINT8_MAX)
			k->ce_untold++;
		if (k->ce_untold >= (seg->len ? ACK_AFTER_CE : ACK_AFTER_BARE_CE))
			want_ack(t, c);
	}
	if (!seg->len)
		return;
	if (field != k->last_field)
		want_ack(t, c);
	k->last_field = field;
	if (field == NOT_ECT)
		return;
	k->received[field - 1] += seg->len;
	if (k->news < place[field - 1])
		k->news = place[field - 1];
}

/* ----- what the peer tells ----- */

/* The option's counters. Returns whether they are plausible; *@ce: bytes newly told as marked. */
static bool take_counters(struct mr_accurate *k, const struct mr_segment *seg, uint32_t *ce)
{
	const struct mr_tcp_options *o = &seg->options;
	const uint8_t *fields = o->ecn_kind == MR_OPT_ACC_ECN0 ? fields0 : fields1;
	bool good = o->has_ecn && o->n_ecn > 1;

	*ce = 0;
	for (unsigned int i = 0; o->has_ecn && i < o->n_ecn; i++) {
		uint32_t *known = &k->delivered[fields[i]];
		uint32_t more = (o->ecn_bytes[i] - first_count(fields[i]) - *known) & BYTES_MASK;

		if (more & BYTES_SIGN) { /* older than what is known, or rewritten */
			good = false;
			continue;
		}
		*known += more;
		if (fields[i] + 1 == CE)
			*ce = more;
	}
	return good;
}

/* Segments an ACK, as an average that moves by a 64th: 64ths of a segment. */
static void note_acked(struct mr_accurate *k, uint32_t segments)
{
	uint32_t scaled = segments << AVERAGE_SHIFT;

	if (!segments)
		return;
	if (!k->acked_average)
		k->acked_average = (uint16_t)min_u32(scaled, UINT16_MAX);
	else
		k->acked_average = (uint16_t)min_u32(
			(k->acked_average * ((1u << AVERAGE_SHIFT) - 1) + scaled) >> AVERAGE_SHIFT,
			UINT16_MAX);
}

/*
 * 3.2.2.5.2 and appendix A.2: marks since the last ACK. ACE counts modulo 8: when more than seven
 * segments were delivered it may have gone round, and the safe answer is the most that it can
 * stand for, unless the bytes of the option speak against it, or ACKs are thinned anyway.
 */
static uint32_t marks_of(const struct mr_accurate *k, const struct mr_segment *seg,
			 uint32_t segments, uint32_t mss, bool counted, uint32_t ce)
{
	uint32_t few = (ace_of(seg) - ACE_FIRST - k->delivered_ce) & ACE_MOST;
	uint32_t most;

	if (segments <= ACE_MOST)
		return few;
	most = segments - ((segments - few) & ACE_MOST);
	if (counted) {
		if (ce > few * mss)
			return most;
		return ce < most * mss / 2 ? few : most;
	}
	return k->acked_average > ACKS_MERGED << AVERAGE_SHIFT ? few : most;
}

static bool has_newer_time(struct mr_accurate *k, const struct mr_segment *seg)
{
	if (!seg->options.has_timestamps || !mr_seq_lt(k->ts_seen, seg->options.ts_val))
		return false;
	k->ts_seen = seg->options.ts_val;
	return true;
}

/* @bytes were delivered by the ACK. Returns how many marks it told of; only news can. */
uint32_t mr_accurate_acked(struct mr_conn *c, struct mr_accurate *k, const struct mr_segment *seg,
			   uint32_t bytes)
{
	uint32_t segments = (bytes + c->snd_mss - 1) / c->snd_mss;
	bool newer = has_newer_time(k, seg);
	uint32_t ce, marks;
	bool counted;

	if (!bytes && !newer)
		return 0;
	note_acked(k, segments);
	counted = take_counters(k, seg, &ce);
	marks = marks_of(k, seg, segments, c->snd_mss, counted, ce);
	k->delivered_ce += marks;
	return marks;
}
