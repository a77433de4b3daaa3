/* SPDX-License-Identifier: MIT */
/*
 * Laws of opening: what a SYN-ACK may agree to, and what a connection then has, whether a record, a
 * cookie or Fast Open made it; how often a SYN-ACK is sent; how many connections a source has.
 */
#include "tests/sim/sim.h"

enum {
	SYN = 0x02,
	ACK = 0x10,
	ECE = 0x40,
	CWR = 0x80,
	STAMPS_BYTES = 12,
	COOKIES_FEW = 100, /* of a thousand places: hardly one has lost its own */
};

static const struct sim_host *host_of(const struct sim_end *e)
{
	return &e->sim->scenario.host[e->side];
}

static struct sim_syn read_syn(const struct sim_seg *seg)
{
	return (struct sim_syn){ .is = true,
				 .ts = seg->has_ts,
				 .sack = seg->sack,
				 .has_shift = seg->has_shift,
				 .shift = seg->shift,
				 .flags = seg->flags,
				 .ace = seg->ace,
				 .mss = seg->mss };
}

/* RFC 9768 3.1.2: the ones that a SYN-ACK agrees by. */
static bool is_agreement(uint8_t ace)
{
	return ace == 2 || ace == 3 || ace == 4 || ace == 6;
}

static void note_accurate(struct sim_end *e, const struct sim_seg *seg)
{
	if (seg->flags & ACK)
		e->wire.agreed_accurate |= is_agreement(seg->ace);
	else
		e->wire.asked_accurate |= seg->ace == 7;
}

/* Or a server's first SYN-ACKs found no frame, and those that left have no bits any more (3.1.4).
 */
bool sim_is_accurate(const struct sim_end *e)
{
	const struct sim_wire *w = &e->wire;

	return w->asked_accurate &&
	       (w->agreed_accurate || (e->side == SIM_SERVER && w->said.is && !w->said.ace &&
				       host_of(e)->ecn >= MR_ECN_ACCURATE));
}

/* ----- SYNs ----- */

/* RFC 7413 4.1.3: with a cookie, and what the application wrote first. */
static void law_of_syn_text(struct sim_end *e, const struct sim_seg *seg)
{
	if (!seg->text_len)
		return;
	if (!host_of(e)->fast_open || seg->flags & ACK || !seg->fast_open_bytes)
		sim_wire_wrong(e, seg, "text in a SYN without a Fast Open cookie");
	else if (seg->text_len > e->written || !sim_pattern_is(e, 0, seg->text, seg->text_len))
		sim_wire_wrong(e, seg, "other bytes went with the SYN than were written");
	else if (seg->ip_len > e->sim->lane[0].config.mtu)
		sim_wire_wrong(e, seg, "a SYN of %u bytes is too large", seg->ip_len);
}

/* A cookie keeps window scale and SACK in the timestamp, and ECN nowhere; a record keeps all. */
static void law_of_answer(struct sim_end *e, const struct sim_seg *seg)
{
	const struct sim_syn *asked = &e->wire.heard;
	bool keeps = !host_of(e)->cookies || asked->ts;

	if (seg->has_ts != asked->ts)
		sim_wire_wrong(e, seg, "the SYN-ACK's timestamps are not as asked");
	if (seg->sack ? !asked->sack : asked->sack && keeps)
		sim_wire_wrong(e, seg, "the SYN-ACK's SACK is not as asked");
	if (seg->has_shift ? !asked->has_shift : asked->has_shift && keeps)
		sim_wire_wrong(e, seg, "the SYN-ACK's window scale is not as asked");
	if (seg->flags & ECE && !is_agreement(seg->ace) &&
	    (asked->flags & (ECE | CWR)) != (ECE | CWR))
		sim_wire_wrong(e, seg, "the SYN-ACK agrees on ECN that nobody asked for");
	if (is_agreement(seg->ace) &&
	    (!e->wire.asked_accurate || host_of(e)->ecn < MR_ECN_ACCURATE))
		sim_wire_wrong(e, seg, "the SYN-ACK agrees on accurate ECN that nobody asked for");
	if (seg->ace &&
	    (host_of(e)->ecn == MR_ECN_OFF || host_of(e)->cookies == MR_SYN_COOKIES_ALWAYS))
		sim_wire_wrong(e, seg, "the SYN-ACK agrees on ECN that it may not use");
	if (++e->wire.n_syn_acks > e->wire.n_syns_heard * (1 + host_of(e)->syn_ack_retries))
		sim_wire_wrong(e, seg, "%u SYN-ACKs for %u SYNs", e->wire.n_syn_acks,
			       e->wire.n_syns_heard);
}

/* Two, for the key changes with the day and the one before it is good. */
static void note_given(uint64_t *given, uint64_t cookie)
{
	if (given[0] == cookie)
		return;
	given[1] = given[0];
	given[0] = cookie;
}

void sim_open_syn_sent(struct sim_lane *l, struct sim_end *e, const struct sim_seg *seg)
{
	e->wire.said = read_syn(seg);
	note_accurate(e, seg);
	if (seg->flags & ACK && seg->fast_open)
		note_given(l->sim->fast_open[seg->ipv6], seg->fast_open);
	if (l->sim->header_altered || e->flow->odd)
		return;
	law_of_syn_text(e, seg);
	if (seg->ttl != (host_of(e)->ttl ? host_of(e)->ttl : 64) ||
	    seg->tos >> 2 != host_of(e)->dscp)
		sim_wire_wrong(e, seg, "TTL %u and DSCP %u are not the rule's", seg->ttl,
			       seg->tos >> 2);
	if (seg->tos & 3 && host_of(e)->cc != MR_CC_DCTCP)
		sim_wire_wrong(e, seg, "a SYN says ECT");
	if (seg->flags & ACK && l->sim->scenario.class != SIM_BOTH && e->wire.heard.is)
		law_of_answer(e, seg);
}

void sim_open_syn_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg)
{
	uint8_t before = to->wire.heard.flags;

	(void)from;
	to->wire.heard = read_syn(seg);
	note_accurate(to, seg);
	to->wire.heard.flags |= before; /* one that is sent again may not ask for ECN any more */
	to->wire.n_syns_heard++;
	to->wire.n_syn_texts_heard += seg->text_len > 0;
	if (seg->text_len)
		to->wire.cookie = seg->fast_open;
}

/* ----- a connection that is open ----- */

static const char *options_laws(const struct sim_end *e, const struct mr_conn *c)
{
	const struct sim_syn *a = &e->wire.said, *b = &e->wire.heard;
	uint8_t flags = a->flags & b->flags;

	if (!!(c->flags & MR_CONN_TIMESTAMPS) != (a->ts && b->ts))
		return "timestamps are not as both said";
	if (!!(c->flags & MR_CONN_SACK) != (a->sack && b->sack))
		return "SACK is not as both said";
	if (!!(c->flags & MR_CONN_WINDOW_SCALE) != (a->has_shift && b->has_shift))
		return "window scale is not as both said";
	if (c->flags & MR_CONN_WINDOW_SCALE && c->snd_shift != b->shift)
		return "the window scale is another one than the peer's";
	if (c->flags & MR_CONN_ECN && !(flags & ECE) && !sim_is_accurate(e))
		return "ECN is used that was not agreed on";
	return NULL;
}

/* MUST-14, RFC 6691: as the peer asked, and no less when the path takes it. */
static const char *size_laws(const struct sim_end *e, const struct mr_conn *c)
{
	const struct sim_scenario *s = &e->sim->scenario;
	uint32_t asked = e->wire.heard.mss ? e->wire.heard.mss : e->flow->ipv6 ? 1220 : 536;
	uint32_t mss = c->snd_mss + (c->flags & MR_CONN_TIMESTAMPS ? STAMPS_BYTES : 0);

	if (mss > asked)
		return "segments are larger than the peer asked for";
	if (mss < asked && !s->link[0].mtu && !s->link[1].mtu)
		return "segments are smaller than the peer asked for";
	return NULL;
}

void sim_open_done(struct sim_end *e, const struct mr_conn *c)
{
	bool early = c->flags & MR_CONN_FAST_OPEN && c->state < MR_ESTABLISHED;
	const uint64_t *given = e->sim->fast_open[e->flow->ipv6];
	const char *wrong;

	if (e->sim->header_altered || e->flow->odd)
		return;
	if (early) {
		e->sim->result->seen[SIM_SEEN_FAST_OPEN]++;
		if (e->wire.cookie != given[0] && e->wire.cookie != given[1])
			sim_fail(e->sim, "a Fast Open with a cookie that was not given");
		e->wire.sent[e->wire.n_sent++ % SIM_SENDS] = (struct sim_sent){
			.seq = c->iss, .end = c->iss + 1, .lane_us = sim_lane_ns(e->lane) / 1000
		};
	}
	if (early && (!host_of(e)->fast_open || !e->wire.n_syn_texts_heard))
		sim_fail(e->sim, "a Fast Open that nobody asked for");
	if (!e->wire.heard.is || !e->wire.said.is)
		return;
	wrong = options_laws(e, c);
	wrong = wrong ? wrong : size_laws(e, c);
	if (wrong)
		sim_fail(e->sim, "flow %u, %s opened: %s", e->flow->number,
			 e->side == SIM_SERVER ? "server" : "client", wrong);
}

/*
 * RFC 7413 2.1: a SYN with text that comes again when its connection is gone (or on a lane that
 * does not know it) opens another one: its text is delivered twice, to two connections. So does an
 * ACK of a cookie on a lane that did not take it the first time: lanes remember them for
 * themselves, and each of them only so many.
 */
bool sim_open_may_come_again(struct sim_end *e)
{
	const struct sim_wire *w = &e->wire;
	bool other = e->sim->scenario.lanes > 1;
	bool forgotten = e->closed && e->lane->stats.cookies_accepted > COOKIES_FEW;

	if (!(w->n_syn_texts_heard && w->n_syns_heard > 1 && (e->closed || other)) &&
	    !(host_of(e)->cookies && (other || forgotten)))
		return false;
	e->sim->result->seen[SIM_SEEN_GHOST]++;
	return true;
}

/* ----- limits ----- */

static bool is_early(const struct mr_conn *c)
{
	return c->state == MR_SYN_RECEIVED && c->flags & MR_CONN_FAST_OPEN &&
	       c->flags & MR_CONN_PASSIVE;
}

/* All clients of a family have one address, or one /64. */
static void source_laws(struct sim_lane *sl, const struct sim_host *h)
{
	const struct mr_lane *l = sl->lane;
	uint32_t n[2] = { 0 }, half[2] = { 0 };

	for (uint32_t i = 0; i < l->header->conns_used; i++)
		if (l->conns[i].state != MR_CLOSED && l->conns[i].flags & MR_CONN_PASSIVE)
			n[mr_is_ipv4(l->conns[i].remote)]++;
	for (uint32_t i = 0; i < l->n_halves; i++)
		if (l->halves[i].flags & MR_HALF_USED)
			half[mr_is_ipv4(l->halves[i].remote)]++;
	for (unsigned int i = 0; i < 2; i++) {
		if (h->source_connections && n[i] + half[i] > h->source_connections)
			sim_fail(sl->sim, "a source has %u connections, %u half open, of %u", n[i],
				 half[i], h->source_connections);
		if (h->source_half_open && half[i] > h->source_half_open)
			sim_fail(sl->sim, "a source has %u half-open connections of %u", half[i],
				 h->source_half_open);
	}
}

static void fast_open_laws(struct sim_lane *sl, const struct sim_host *h)
{
	const struct mr_lane *l = sl->lane;
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->header->conns_used; i++)
		n += is_early(&l->conns[i]);
	if (n != l->fast_open_pending)
		sim_fail(sl->sim, "%u Fast Opens wait, %u are counted", n, l->fast_open_pending);
	if (n > h->fast_open_pending)
		sim_fail(sl->sim, "%u Fast Opens wait of %u", n, h->fast_open_pending);
}

void sim_open_laws(struct sim_lane *l)
{
	const struct sim_host *h = &l->sim->scenario.host[l->side];

	if (h->source_connections || h->source_half_open)
		source_laws(l, h);
	if (h->fast_open && l->side == SIM_SERVER)
		fast_open_laws(l, h);
}

void sim_open_at_end(struct sim_lane *l)
{
	const struct sim_host *h = &l->sim->scenario.host[l->side];
	uint64_t *seen = l->sim->result->seen;

	if (l->lane->sources.place && l->lane->sources.used)
		sim_fail(l->sim, "a source stayed counted");
	if (!h->cookies && l->stats.cookies_sent)
		sim_fail(l->sim, "cookies were sent that are off");
	if (l->stats.cookies_accepted > l->stats.cookies_sent && l->sim->scenario.lanes == 1)
		sim_fail(l->sim, "more cookies came back than were sent");
	seen[SIM_SEEN_COOKIE] += l->stats.cookies_accepted;
	seen[SIM_SEEN_FALLBACK] += l->stats.fast_open_fallbacks;
	seen[SIM_SEEN_LIMIT] += l->stats.drop.source_limit;
}
