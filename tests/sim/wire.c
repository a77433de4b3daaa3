/* SPDX-License-Identifier: MIT */
/*
 * Laws of the wire: what may be said of every segment that leaves a lane, whatever algorithm chose
 * to send it. Known of each end: what its application wrote, what it has sent, what has arrived
 * from its peer. Nothing here reads congestion or recovery state.
 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	SLACK = 65536, /* between sums of rounding windows */
};

static bool lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static bool le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

/* Behind everything that it sent, probes included. */
static uint32_t sent_to(const struct sim_wire *w)
{
	return lt(w->snd_max, w->probed) ? w->probed : w->snd_max;
}

/* A port may come again while segments of its last connection are on their way. */
static bool is_of(const struct sim_flow *f, const struct sim_seg *seg)
{
	const struct sim_wire *w = &f->end[seg->client_side ? SIM_CLIENT : SIM_SERVER].wire;

	return !w->has_iss || (!lt(seg->seq, w->iss) && !lt(sent_to(w) + 1, seg->seq));
}

struct sim_flow *sim_flow_of(struct sim *s, const struct sim_seg *seg)
{
	struct sim_flow *last = s->by_port[seg->ipv6][seg->client_side ? seg->sport : seg->dport];
	struct sim_flow *f = last;

	while (f && !is_of(f, seg))
		f = f->before;
	return f ? f : last;
}

void sim_wire_wrong(struct sim_end *e, const struct sim_seg *seg, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim_fail(e->sim, "flow %u, %s, port %u, seq %u + %u, ack %u, window %u: %s",
		 e->flow->number, e->side == SIM_SERVER ? "server" : "client", e->flow->client_port,
		 seg->seq - e->wire.iss, seg->text_len, seg->ack - sim_peer(e)->wire.iss, seg->wnd,
		 text);
}

/* ----- who sent it ----- */

/* A SYN of the client names a connection that begins: its port is known from now on. */
static struct sim_flow *bind_flow(struct sim *s, struct sim_end *e, const struct sim_seg *seg)
{
	struct sim_flow *f = e->flow;

	if (e->side == SIM_CLIENT) {
		f->bound = true;
		f->client_port = seg->sport;
		if (s->by_port[seg->ipv6][seg->sport] != f)
			f->before = s->by_port[seg->ipv6][seg->sport];
		s->by_port[seg->ipv6][seg->sport] = f;
	}
	return f;
}

static struct mr_tuple tuple_of(const struct sim_seg *seg)
{
	struct mr_tuple t = { .local_port = mr_to_be16(seg->sport),
			      .remote_port = mr_to_be16(seg->dport) };
	uint32_t n = seg->ipv6 ? 16 : 4;
	const uint8_t *src = seg->ip + (seg->ipv6 ? 8 : 12);

	if (!seg->ipv6)
		for (int i = 10; i < 12; i++)
			t.local[i] = t.remote[i] = 0xff;
	__builtin_memcpy(t.local + 16 - n, src, n);
	__builtin_memcpy(t.remote + 16 - n, src + n, n);
	return t;
}

static struct sim_end *end_of_tuple(struct sim_lane *l, const struct sim_seg *seg)
{
	struct mr_tuple t = tuple_of(seg);
	uint32_t entry;

	entry = mr_table_find(&l->lane->table, lane_hash(l->lane, &t), &t);
	if (entry == MR_ENTRY_NONE || mr_entry_kind(entry) != MR_ENTRY_CONN)
		return NULL;
	return sim_end_of(l, &l->lane->conns[mr_entry_index(entry)]);
}

/* ----- SYN ----- */

/* Its SYN, or text that went along (RFC 7413). */
static bool answers(const struct sim_wire *client, const struct sim_seg *seg)
{
	return lt(client->iss, seg->ack) && le(seg->ack, sent_to(client));
}

/* Fast Open: the peer may take it, or it is sent again as if for the first time. */
static void note_syn_text(struct sim_wire *w, const struct sim_seg *seg)
{
	w->probed = mr_seq_max(w->probed, seg->seq + 1 + seg->text_len);
}

/* What one lane of a host has, no other one answers. */
static void law_of_one_lane(struct sim_lane *l, const struct sim_seg *seg)
{
	struct sim *s = l->sim;
	struct mr_tuple t = tuple_of(seg);

	for (uint32_t i = 0; i < s->n_lanes; i++) {
		struct sim_lane *other = &s->lane[i];

		if (other != l && other->side == l->side &&
		    mr_table_find(&other->lane->table, lane_hash(other->lane, &t), &t) !=
			    MR_ENTRY_NONE)
			sim_fail(s, "port %u: two lanes of one host have the connection",
				 seg->client_side ? seg->sport : seg->dport);
	}
}

static void syn_sent(struct sim_lane *l, struct sim_end *e, const struct sim_seg *seg)
{
	struct sim *s = l->sim;
	struct sim_flow *f = e ? bind_flow(s, e, seg) : sim_flow_of(s, seg);
	struct sim_wire *w;

	if (!f)
		return;
	if (!e && seg->flags & ACK && !answers(&f->end[SIM_CLIENT].wire, seg))
		return; /* an answer to an earlier connection's SYN */
	w = &f->end[l->side].wire;
	if (!w->has_iss || w->iss == seg->seq)
		sim_open_syn_sent(l, &f->end[l->side], seg);
	if (w->has_iss && w->iss == seg->seq) {
		note_syn_text(w, seg);
		return;
	}
	law_of_one_lane(l, seg);
	/* by a cookie, and by a record or in another minute: the client may take either */
	if (w->has_iss && (f->end[l->side].opened || s->scenario.host[SIM_SERVER].cookies)) {
		f->odd = true; /* it was forgotten there meanwhile */
		return;
	}
	w->has_iss = true;
	w->iss = seg->seq;
	w->snd_max = w->probed = seg->seq + 1;
	note_syn_text(w, seg);
	if (w->has_early)
		w->probed = mr_seq_max(w->probed, w->early_end);
	w->offers = seg->has_shift;
	w->shift = seg->shift;
	w->mss = seg->mss;
	w->has_ts = seg->has_ts;
	if (e) {
		w->sent[0] = (struct sim_sent){ .seq = seg->seq,
						.end = seg->seq + 1,
						.lane_us = sim_lane_ns(l) / 1000 };
		w->n_sent = 1;
	}
}

/* A SYN is sent again, alone or with an ACK: Karn. */
static void syn_again(struct sim_end *e, const struct sim_seg *seg)
{
	if (e && e->wire.has_iss && e->wire.iss == seg->seq && e->wire.n_sent &&
	    e->wire.sent[0].seq == seg->seq)
		e->wire.sent[0].again = e->wire.sent[0].lane_us != sim_lane_ns(e->lane) / 1000 ||
					e->wire.sent[0].again;
}

/* ----- text, ACK, FIN ----- */

static uint32_t window_of(const struct sim_wire *from, const struct sim_seg *seg)
{
	return (uint32_t)seg->wnd << (from->offers && from->has_shift ? from->shift : 0);
}

/* MUST-58, SHLD-14: an ACK never goes back, nor does the right edge of the window. */
static void law_of_edges(struct sim_end *e, const struct sim_seg *seg)
{
	const struct sim_wire *peer = &sim_peer(e)->wire;
	struct sim_wire *w = &e->wire;
	uint32_t edge = seg->ack + window_of(w, seg);

	if (w->has_edge && lt(seg->ack, w->last_ack))
		sim_wire_wrong(e, seg, "an acknowledgment went back");
	if (peer->has_iss && lt(sent_to(peer), seg->ack))
		sim_wire_wrong(e, seg, "bytes were acknowledged that were never sent, %u",
			       sent_to(peer) - peer->iss);
	if (w->has_edge && lt(edge, w->edge))
		sim_wire_wrong(e, seg, "the right window edge moved back by %u", w->edge - edge);
	if (edge - seg->ack > 2u * e->lane->config.receive_buffer + SLACK)
		sim_wire_wrong(e, seg, "a window of %u was offered", edge - seg->ack);
	if (!w->has_edge || lt(w->edge, edge))
		w->edge = edge;
	w->has_edge = true;
	w->last_ack = seg->ack;
}

/* The same byte of the stream is the same byte of the segment, also the second time. */
static void law_of_text(struct sim_end *e, const struct sim_seg *seg)
{
	const struct sim_wire *w = &e->wire;
	uint32_t offset = seg->seq - w->iss - 1;

	if (!seg->text_len)
		return;
	if (offset + seg->text_len > e->written)
		sim_wire_wrong(e, seg, "bytes were sent that nobody wrote");
	else if (!sim_pattern_is(e, offset, seg->text, seg->text_len))
		sim_wire_wrong(e, seg, "other bytes were sent than were written");
}

static void law_of_fin(struct sim_end *e, const struct sim_seg *seg)
{
	uint32_t end = seg->seq + seg->text_len;
	struct sim_wire *w = &e->wire;

	if (w->fin && seg->text_len && lt(w->fin_seq, end))
		sim_wire_wrong(e, seg, "text behind the FIN");
	if (!(seg->flags & FIN))
		return;
	if (!e->shut && !e->gave_back)
		sim_wire_wrong(e, seg, "a FIN that nobody asked for");
	if ((w->fin && w->fin_seq != end) || end != w->iss + 1 + (uint32_t)e->written)
		sim_wire_wrong(e, seg, "a FIN in the wrong place");
	w->fin = true;
	w->fin_seq = end;
}

/* RFC 9293 3.8.6: only a probe of one byte goes beyond what the peer offered. */
static void law_of_window(struct sim_end *e, const struct sim_seg *seg)
{
	uint32_t end = seg->seq + seg->text_len;
	uint32_t edge = e->wire.heard_edge;

	if (!seg->text_len || !e->wire.has_heard || le(end, edge) || le(end, e->wire.snd_max))
		return;
	if (seg->text_len > 1 || lt(edge, seg->seq))
		sim_wire_wrong(e, seg, "%u bytes were sent beyond the peer's window", end - edge);
}

/* What is taken for the peer's window must be one that it offered. */
static void law_of_offers(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	if (e->wire.has_heard && c->snd_wnd > e->wire.heard_most)
		sim_wire_wrong(e, seg,
			       "the peer's window is taken for %u, it never offered more than %u",
			       c->snd_wnd, e->wire.heard_most);
}

/* MUST-16, RFC 6691: no larger than the peer's option and the path take. */
static void law_of_size(struct sim_end *e, const struct sim_seg *seg)
{
	const struct sim_wire *peer = &sim_peer(e)->wire;
	uint32_t options = (uint32_t)(seg->text - seg->tcp) - 20;
	uint32_t most = peer->mss && !e->sim->scenario.link[!e->side].strip ? peer->mss
									    : e->lane->config.mtu;

	if (seg->ip_len > e->lane->config.mtu || seg->text_len + options > most)
		sim_wire_wrong(e, seg, "a segment of %u bytes is too large", seg->text_len);
}

/* RFC 7323 3.2: once agreed, in every segment; and the clock behind them never goes back. */
static void law_of_stamps(struct sim_end *e, const struct sim_seg *seg)
{
	struct sim_wire *w = &e->wire;
	bool agreed = w->has_ts && sim_peer(e)->wire.has_ts &&
		      !(e->sim->scenario.link[0].strip & 1u << 8);

	if (agreed && !seg->has_ts)
		sim_wire_wrong(e, seg, "a segment without timestamps");
	if (seg->has_ts && w->ts_val &&
	    w->ts_val - seg->ts_val - 1 < 1u << 30) /* no jump of days */
		sim_wire_wrong(e, seg, "a timestamp went back");
	w->ts_val = seg->has_ts ? seg->ts_val : w->ts_val;
	w->ts_ecr = seg->has_ts && seg->flags & ACK ? seg->ts_ecr : w->ts_ecr;
}

static void remember(struct sim_end *e, const struct sim_seg *seg)
{
	struct sim_wire *w = &e->wire;
	uint32_t end = seg->seq + seg->text_len + !!(seg->flags & FIN);
	uint32_t n = w->n_sent < SIM_SENDS ? w->n_sent : SIM_SENDS;
	bool again = lt(seg->seq, sent_to(w)); /* also by a probe, or with the SYN */

	if (end == seg->seq)
		return;
	if (lt(seg->seq, w->snd_max) && e->sim->scenario.class == SIM_CALM)
		sim_wire_wrong(e, seg, "sent again on a net without loss");
	for (uint32_t i = 0; again && i < n; i++)
		if (lt(w->sent[i].seq, end) && lt(seg->seq, w->sent[i].end))
			w->sent[i].again = true;
	w->sent[w->n_sent++ % SIM_SENDS] = (struct sim_sent){
		.seq = seg->seq,
		.end = end,
		.lane_us = sim_lane_ns(e->lane) / 1000,
		.again = again,
	};
	if (seg->text_len == 1 && w->has_heard && lt(w->heard_edge, end)) /* a window probe */
		w->probed = end;
	else if (lt(w->snd_max, end))
		w->snd_max = end;
}

static void segment_sent(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg)
{
	struct sim_wire *w = &e->wire;

	if (!w->has_iss && c->flags & MR_CONN_PASSIVE) { /* the ring had no room for the SYN-ACK */
		w->has_early = true;
		w->early_end = seg->seq + seg->text_len;
	}
	if (!w->has_iss || e->flow->odd || e->sim->header_altered)
		return;
	if (lt(sent_to(w), seg->seq) || lt(seg->seq, w->iss))
		sim_wire_wrong(e, seg,
			       "a segment leaves a gap before it, or lies before the first");
	law_of_edges(e, seg);
	law_of_text(e, seg);
	law_of_fin(e, seg);
	law_of_window(e, seg);
	law_of_offers(e, c, seg);
	law_of_size(e, seg);
	law_of_stamps(e, seg);
	sim_marks_sent(e, c, seg);
	remember(e, seg);
}

/* Its block is gone, in the turn in which it left: all that is noted is how far it went. */
static void last_words(struct sim_lane *l, const struct sim_seg *seg)
{
	struct sim_flow *f = sim_flow_of(l->sim, seg);
	struct sim_wire *w = f ? &f->end[l->side].wire : NULL;
	uint32_t end = seg->seq + seg->text_len + !!(seg->flags & FIN);

	if (w && w->has_iss && lt(sent_to(w), end) && end - w->snd_max < 1u << 20)
		w->probed = end;
}

static void add_to_hash(struct sim *s, const struct sim_seg *seg)
{
	uint64_t h = s->result->hash;

	h = sim_mix(h ^ s->now_ns);
	h = sim_mix(h ^ ((uint64_t)seg->seq << 32 | seg->ack));
	h = sim_mix(h ^ ((uint64_t)seg->sport << 48 | (uint64_t)seg->dport << 32 |
			 (uint64_t)seg->flags << 24 | seg->text_len));
	s->result->hash = sim_mix(h ^ ((uint64_t)seg->ts_val << 16 | seg->wnd));
}

void sim_wire_sent(struct sim_lane *l, uint8_t *frame, uint32_t len)
{
	uint8_t copy[SIM_FRAME_BYTES];
	uint32_t tag = sim_load16(frame + 12) == 0x8100 ? 4 : 0;
	struct sim_end *e;
	struct sim_seg seg;

	__builtin_memcpy(copy, frame, 12);
	__builtin_memcpy(copy + 12, frame + 12 + tag, len - 12 - tag);
	if (!sim_seg_parse(&seg, copy, len - tag) || !sim_seg_sums_are_good(&seg) ||
	    seg.client_side != (l->side == SIM_CLIENT)) {
		sim_fail(l->sim, "a malformed frame was sent");
		return;
	}
	add_to_hash(l->sim, &seg);
	e = end_of_tuple(l, &seg);
	if (seg.flags & SYN) {
		syn_again(e, &seg);
		syn_sent(l, e, &seg);
	} else if (seg.flags & RST) {
		l->sim->reset[l->side][seg.ipv6][seg.client_side ? seg.sport : seg.dport] = true;
	} else if (!e) {
		last_words(l, &seg);
	} else {
		segment_sent(e, lane_conn_find(l->lane, e->id), &seg);
	}
}

/* ----- what arrives ----- */

static void syn_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg)
{
	uint32_t edge;

	if (seg->seq != from->wire.iss)
		return;
	sim_open_syn_arrived(from, to, seg);
	to->wire.has_shift = seg->has_shift;
	if (seg->wnd > to->wire.heard_most)
		to->wire.heard_most = seg->wnd;
	if (!to->wire.has_iss)
		return;
	edge = (seg->flags & ACK ? seg->ack : to->wire.iss + 1) + seg->wnd;
	if (!to->wire.has_heard || lt(to->wire.heard_edge, edge))
		to->wire.heard_edge = edge;
	to->wire.has_heard = true;
}

void sim_wire_arrived(struct sim_lane *l, struct sim_seg *seg)
{
	struct sim_flow *f = sim_flow_of(l->sim, seg);
	struct sim_end *e, *from;
	uint32_t edge, window;

	if (!f || seg->flags & RST)
		return;
	e = &f->end[l->side];
	from = &f->end[!l->side];
	if (!from->wire.has_iss)
		return;
	if (seg->flags & SYN) {
		syn_arrived(from, e, seg);
		return;
	}
	if (!(seg->flags & ACK) || !e->wire.has_iss || le(seg->ack, e->wire.iss) ||
	    lt(sent_to(&e->wire), seg->ack))
		return;
	sim_marks_arrived(from, e, seg, l->port.rx.tail);
	window = window_of(&from->wire, seg);
	edge = seg->ack + window;
	e->wire.heard_most = window > e->wire.heard_most ? window : e->wire.heard_most;
	if (!e->wire.has_heard || lt(e->wire.heard_edge, edge))
		e->wire.heard_edge = edge;
	e->wire.has_heard = true;
}
