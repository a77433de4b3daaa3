/* SPDX-License-Identifier: MIT */
/*
 * Laws of what goes with segments: congestion marks and their echo (RFC 3168, RFC 8257), pacing,
 * urgent text, user time-outs, the rule's fields of IP headers.
 *
 * A lane reads what came in the order in which it came: where a frame stands in its ring says
 * whether it has read it. With several lanes a frame may still be in the mail; what needs to know
 * is not asked then.
 */
#include "tests/sim/sim.h"

enum {
	FIN = 0x01,
	SYN = 0x02,
	URG = 0x20,
	ECE = 0x40,
	CWR = 0x80,
	CE = 3,
	TTL = 64, /* when the rule names none */
	BURST_MS = 2,
	BURST_SEGMENTS = 2,
};

static bool lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static const struct sim_host *host_of(const struct sim_end *e)
{
	return &e->sim->scenario.host[e->side];
}

static bool has_read(const struct sim_end *e, uint32_t at)
{
	return !lt(e->lane->port.rx.head, at);
}

static bool is_agreed(const struct sim_end *e)
{
	return e->wire.said.flags & e->wire.heard.flags & ECE || sim_is_accurate(e);
}

/* Whoever opened at the same time asked as well, and may not have agreed. */
static bool is_sure_of_ecn(const struct sim_end *e)
{
	return is_agreed(e) && !sim_is_accurate(e) && e->sim->scenario.class != SIM_BOTH;
}

static bool is_probe(const struct sim_end *e, const struct sim_seg *seg)
{
	return seg->text_len == 1 && e->wire.has_heard && lt(e->wire.heard_edge, seg->seq + 1);
}

/* Also behind a probe of its first byte that was none any more when the wire saw it. */
static bool is_new_text(const struct sim_end *e, const struct sim_seg *seg)
{
	uint32_t max = e->wire.snd_max;

	if (!seg->text_len || is_probe(e, seg))
		return false;
	return !lt(seg->seq, max) || (seg->seq + 1 == max && seg->text_len > 1);
}

/* Did the byte at @seq leave once? False also when that is forgotten. */
static bool was_sent_once(const struct sim_wire *w, uint32_t seq)
{
	uint32_t n = w->n_sent < SIM_SENDS ? w->n_sent : SIM_SENDS;

	for (uint32_t i = 0; i < n; i++)
		if (!lt(seq, w->sent[i].seq) && lt(seq, w->sent[i].end))
			return !w->sent[i].again;
	return false;
}

/* ----- the IP header ----- */

/* RFC 3168 6.1.1 to 6.1.5; RFC 8257 3.5: DCTCP says ECT on every segment. */
static void law_of_ip(struct sim_end *e, const struct sim_seg *seg)
{
	const struct sim_host *h = host_of(e);
	uint8_t ect = seg->tos & 3;

	if (seg->ttl != (h->ttl ? h->ttl : TTL) || seg->tos >> 2 != h->dscp)
		sim_wire_wrong(e, seg, "TTL %u and DSCP %u are not the rule's", seg->ttl,
			       seg->tos >> 2);
	if (ect == CE)
		sim_wire_wrong(e, seg, "CE was sent by a host");
	if ((ect || seg->ace) && !is_agreed(e))
		sim_wire_wrong(e, seg, "ECN is used that was not agreed on");
	if (ect && h->cc != MR_CC_DCTCP && !sim_is_accurate(e) && !is_new_text(e, seg))
		sim_wire_wrong(e, seg, "ECT on what is not new text");
}

/* ----- marks and their echo ----- */

/*
 * A mark on new text is told by the segment that acknowledges it, or by one before that; without
 * DCTCP, by all until CWR comes.
 */
static void law_of_echo(struct sim_end *e, const struct sim_seg *seg)
{
	struct sim_marks *m = &e->wire.marks;
	bool ece = seg->flags & ECE;

	if (ece && !m->any)
		sim_wire_wrong(e, seg, "an echo of a mark that never came");
	m->told |= ece;
	if (m->owes && has_read(e, m->ce_at) && !lt(seg->ack, m->ce_end)) {
		m->owes = false;
		if (!m->told && was_sent_once(&sim_peer(e)->wire, m->ce_end - 1))
			sim_wire_wrong(e, seg, "a mark was not echoed");
	}
	if (m->echoing && !ece)
		sim_wire_wrong(e, seg, "the echo of a mark ended before CWR came");
	/* what answers a stranger leaves in the midst of the burst that has CWR further on */
	if (ece && host_of(e)->cc != MR_CC_DCTCP && has_read(e, m->cwr_at) &&
	    e->sim->scenario.lanes == 1 && !(m->has_cwr && lt(seg->ack, m->cwr_end)))
		m->echoing = true;
	e->sim->result->seen[SIM_SEEN_ECE] += ece;
}

/*
 * RFC 9768: ACE is the count of packets that came with CE, or at the handshake's end what the
 * SYN-ACK had; neither it nor the option's bytes say more than came, nor does what an end believes
 * of the other.
 */
static void law_of_accurate(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	static const uint8_t field[] = { 0, 2, 1 };
	struct sim_marks *m = &e->wire.marks;
	const struct mr_active *a = c ? mr_active_peek(&e->lane->lane->actives, c) : NULL;

	if (!a || !a->accurate.on || seg->flags & SYN)
		return;
	e->sim->result->seen[SIM_SEEN_ACE] += a->accurate.delivered_ce > 0;
	e->sim->result->seen[SIM_SEEN_COUNTERS] += seg->n_counters > 0;
	if (e->sim->scenario.link[0].forge || e->sim->scenario.link[1].forge)
		return; /* what a stranger repeats is counted, too */
	if (a->accurate.received_ce > m->n_ce)
		sim_wire_wrong(e, seg, "%u marks were counted, and %u came",
			       a->accurate.received_ce, m->n_ce);
	if (((seg->ace - 5 - m->counted) & 7) > a->accurate.received_ce - m->counted &&
	    seg->ace != 2 && seg->ace != 3 && seg->ace != 4 && seg->ace != 6 &&
	    c->state != MR_TIME_WAIT)
		sim_wire_wrong(e, seg, "ACE %u after %u to %u marks", seg->ace, m->counted,
			       a->accurate.received_ce);
	m->counted = a->accurate.received_ce;
	for (uint8_t i = 0; i < seg->n_counters; i++)
		if (seg->counter[i] - (i != 1) > m->bytes[field[i]])
			sim_wire_wrong(e, seg, "counter %u says %u, and %llu bytes came", i,
				       seg->counter[i], (unsigned long long)m->bytes[field[i]]);
	for (uint8_t i = 0; i < 3; i++)
		if (a->accurate.delivered[i] > sim_peer(e)->wire.marks.bytes[i])
			sim_wire_wrong(e, seg, "bytes with a mark were believed that never came");
}

/* Echoes of what is on its way now, and the one that acknowledges all of it, change nothing. */
static void calm_down(struct sim_wire *w, uint32_t seq)
{
	if (!w->marks.has_calm || lt(w->marks.calm_seq, seq))
		w->marks.calm_seq = seq;
	w->marks.has_calm = true;
}

/* An echo reduces the window once: CWR goes with the next new text. */
static void law_of_cwr(struct sim_end *e, const struct sim_seg *seg)
{
	struct sim_marks *m = &e->wire.marks;

	if (seg->flags & CWR) {
		if (!is_new_text(e, seg))
			sim_wire_wrong(e, seg, "CWR on what is not new text");
		calm_down(&e->wire, seg->seq + seg->text_len);
		m->must_reduce = m->resent = false;
		e->sim->result->seen[SIM_SEEN_CWR]++;
		return;
	}
	if (seg->text_len && !is_new_text(e, seg) && !is_probe(e, seg)) {
		m->resent = true; /* a loss has reduced it, or will */
		calm_down(&e->wire, e->wire.snd_max);
	}
	if (!m->must_reduce || !is_new_text(e, seg) || !has_read(e, m->ece_at))
		return;
	m->must_reduce = false;
	if (!m->resent)
		sim_wire_wrong(e, seg, "new text without CWR after an echo");
}

static void mark_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg,
			 uint32_t at)
{
	struct sim_marks *m = &to->wire.marks;

	m->any = true;
	if (!seg->text_len || m->owes || !is_sure_of_ecn(to) || to->sim->scenario.lanes > 1 ||
	    to->sim->scenario.link[from->side].twice || !to->wire.has_edge ||
	    lt(seg->seq, to->wire.last_ack) || !was_sent_once(&from->wire, seg->seq))
		return;
	m->owes = true;
	m->told = false;
	m->ce_at = at;
	m->ce_end = seg->seq + seg->text_len;
}

/*
 * Of an acknowledgment from beyond all text it is known that the lane takes it: it names new text,
 * and nothing that could have come meanwhile makes it old. (At the right edge of a window that is
 * full it is not acceptable: RFC 9293 3.10.7.4, table 6.)
 */
static void sure_ack_arrived(struct sim_end *to, const struct sim_seg *seg, uint32_t at)
{
	struct sim_marks *m = &to->wire.marks;

	to->wire.acked_ms = sim_lane_ns(to->lane) / SIM_MS;
	/* the first one of Fast Open's early text also ends the handshake, and the window begins */
	if (!(seg->flags & ECE) || !is_sure_of_ecn(to) || m->must_reduce ||
	    !to->wire.has_heard_ack || (m->has_calm && lt(to->wire.heard_ack, m->calm_seq)))
		return;
	m->must_reduce = true;
	m->resent = false;
	m->ece_at = at;
}

/* @at: where it stands in the ring */
void sim_marks_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg,
		       uint32_t at)
{
	struct sim_wire *w = &to->wire;
	bool fresh = !w->has_heard_ack || lt(w->heard_ack, seg->ack);

	if (seg->flags & CWR) {
		w->marks.owes = w->marks.echoing = false;
		w->marks.cwr_at = at;
		w->marks.cwr_end = seg->seq + seg->text_len;
		w->marks.has_cwr = true;
	}
	if (seg->tos & 3)
		to->wire.marks.bytes[(seg->tos & 3) - 1] += seg->text_len;
	if ((seg->tos & 3) == CE)
		to->wire.marks.n_ce++;
	if ((seg->tos & 3) == CE)
		mark_arrived(from, to, seg, at);
	if (fresh && w->has_edge && to->lane && to->sim->scenario.lanes == 1 && !seg->text_len &&
	    !(seg->flags & (FIN | SYN)) && seg->seq == from->wire.snd_max && lt(seg->seq, w->edge))
		sure_ack_arrived(to, seg, at);
	if (fresh) {
		w->heard_ack = seg->ack;
		w->has_heard_ack = true;
	}
}

/* ----- pacing: rate * time, and one bucket ----- */

static uint64_t rate_of(const struct mr_lane *l, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&l->actives, c);
	const struct mr_cc *cc = mr_cc_of(c);

	return a && cc->pacing_rate && c->state >= MR_ESTABLISHED ? cc->pacing_rate(c, a) : 0;
}

/* What time gives counts when text leaves, by the highest rate and size since it last did. */
static void refill(struct sim_pace *p, const struct mr_lane *l, const struct mr_conn *c)
{
	uint64_t now = rate_of(l, c);
	uint64_t rate = now > p->rate ? now : p->rate;
	uint64_t burst = rate * BURST_MS / 1000;

	if (p->mss < c->snd_mss)
		p->mss = c->snd_mss;
	if (burst < (uint64_t)BURST_SEGMENTS * p->mss)
		burst = (uint64_t)BURST_SEGMENTS * p->mss;
	p->credit += rate * (l->tcp.now_us - p->us) / 1000000 + 1;
	if (!p->on || p->credit > burst)
		p->credit = burst;
	p->on = now > 0;
	p->rate = now;
	p->mss = c->snd_mss;
	p->us = l->tcp.now_us;
}

void sim_pace_turn(struct sim_end *e, const struct mr_lane *l, const struct mr_conn *c)
{
	uint64_t rate = host_of(e)->cc == MR_CC_BBR ? rate_of(l, c) : 0;

	if (rate > e->wire.pace.rate)
		e->wire.pace.rate = rate;
	if (c->snd_mss > e->wire.pace.mss)
		e->wire.pace.mss = c->snd_mss;
}

/* Text that is sent again uses credit up; tail probes and time-outs ask for none. */
static void law_of_pacing(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	const struct mr_lane_stats *st = &e->lane->stats;
	struct sim_pace *p = &e->wire.pace;

	if (host_of(e)->cc != MR_CC_BBR || !seg->text_len)
		return;
	if (!is_new_text(e, seg)) { /* it may have left without asking */
		p->credit -= p->credit < seg->text_len ? p->credit : seg->text_len;
		return;
	}
	refill(p, e->lane->lane, c);
	if (!p->on)
		return;
	e->sim->result->seen[SIM_SEEN_PACED]++;
	if (p->credit >= seg->text_len) {
		p->credit -= seg->text_len;
		return;
	}
	p->credit = 0;
	if (++p->beyond > st->tlp_probes + st->retransmit_timeouts + st->window_probes + 1)
		sim_wire_wrong(e, seg, "more left than the pacing rate and one burst allow");
}

/* ----- urgent text ----- */

static bool is_urged(const struct sim_end *e, uint64_t offset)
{
	for (uint32_t i = 0; i < e->n_urged; i++)
		if (e->urged[i] == offset)
			return true;
	return false;
}

/* MUST-62: the pointer names the byte behind; it goes with all text before that. */
static void law_of_urgent(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	uint32_t offset = seg->seq - e->wire.iss - 1;
	uint32_t una = c->snd_una - e->wire.iss - 1;
	uint32_t up = e->n_urged_before ? (uint32_t)e->urged[e->n_urged_before - 1] : 0;

	if (seg->flags & URG && seg->urgent != UINT16_MAX && !is_urged(e, offset + seg->urgent))
		sim_wire_wrong(e, seg, "an urgent pointer to where nothing urgent ends");
	if (!(seg->flags & URG) && seg->text_len > 1 && offset < up && una < up)
		sim_wire_wrong(e, seg, "urgent text without its pointer");
}

/* The receiver is told of @ahead bytes. A pointer has 16 bits: what is further says less. */
void sim_urge_laws(struct sim_end *e, uint64_t ahead)
{
	const struct sim_end *p = sim_peer(e);

	e->sim->result->seen[SIM_SEEN_URGENT]++;
	if (e->sim->header_altered || is_urged(p, e->received + ahead))
		return;
	if (!p->n_urged || e->received + ahead > p->urged[p->n_urged - 1] ||
	    p->written - e->received < UINT16_MAX)
		sim_fail(e->sim, "flow %u: the urgent text is said to end at %llu", e->flow->number,
			 (unsigned long long)(e->received + ahead));
}

/* ----- user time-outs ----- */

const char *sim_timeout_laws(const struct mr_lane *l, const struct mr_conn *c)
{
	struct sim_lane *sl = l->s.clock_arg;
	struct sim_end *e = sim_end_of(sl, c);
	uint32_t limit = sl->sim->scenario.host[sl->side].user_timeout_ms;

	if (e && e->opened && e->user_timeout_ms)
		limit = e->user_timeout_ms;
	if (limit && c->unacked_ms && c->state != MR_TIME_WAIT &&
	    (int32_t)(l->tcp.now_ms - c->unacked_ms - limit) > 1)
		return "it outlived its user time-out";
	return NULL;
}

/* ----- all of them ----- */

void sim_marks_sent(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	law_of_ip(e, seg);
	law_of_accurate(e, c, seg);
	if (!sim_is_accurate(e)) {
		law_of_echo(e, seg);
		law_of_cwr(e, seg);
	}
	law_of_pacing(e, c, seg);
	law_of_urgent(e, c, seg);
}
