/* SPDX-License-Identifier: MIT */
/* What the net does to a frame on its way. */
#include "tests/sim/sim.h"

#include <string.h>

enum {
	FIN = 0x01,
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
};

static const struct sim_link *link_from(const struct sim *s, unsigned int from)
{
	return &s->scenario.link[from];
}

/* Gilbert and Elliott's two states. */
static bool is_lost(struct sim *s, unsigned int from)
{
	const struct sim_link *l = link_from(s, from);
	struct sim_rng *r = &s->net.rng;

	if (s->now_ns < s->net.outage_ns[from] || sim_chance(r, l->loss))
		return true;
	if (sim_chance(r, s->net.in_burst[from] ? l->burst_end : l->burst_begin))
		s->net.in_burst[from] = !s->net.in_burst[from];
	return s->net.in_burst[from] && sim_chance(r, l->burst_loss);
}

static bool is_the_single_loss(struct sim *s, const struct sim_seg *seg)
{
	if (s->scenario.class != SIM_SINGLE || !seg->text_len || seg->client_side)
		return false;
	if (++s->net.text_segments != s->scenario.lost_segment)
		return false;
	s->net.lost_one = true;
	return true;
}

/* The sender still uses an address that the other side gave up. */
static bool is_stale(const struct sim *s, unsigned int from, const uint8_t *bytes, uint16_t vlan)
{
	return memcmp(bytes, s->net.mac[!from], 6) != 0 || vlan != s->net.vlan[!from];
}

/* When a frame of @len bytes has left the queue; 0: the queue was full. */
static uint64_t queued(struct sim *s, unsigned int from, uint32_t len)
{
	const struct sim_link *l = link_from(s, from);
	uint64_t *busy = &s->net.busy_ns[from];
	uint64_t took;

	if (!l->rate_bps)
		return s->now_ns;
	if (*busy < s->now_ns)
		*busy = s->now_ns;
	if ((*busy - s->now_ns) * l->rate_bps / 8 / SIM_SECOND > l->queue_bytes)
		return 0;
	took = (len + 24ull) * 8 * SIM_SECOND / l->rate_bps;
	*busy += took;
	return *busy;
}

static uint64_t arrival(struct sim *s, unsigned int from, uint64_t left_ns)
{
	const struct sim_link *l = link_from(s, from);
	uint64_t at = left_ns + l->delay_ns;

	if (sim_is_healed(s))
		return at;
	if (l->jitter_ns) {
		at += sim_between(&s->net.rng, 0, l->jitter_ns);
		if (!l->overtakes && at < s->net.last_ns[from])
			at = s->net.last_ns[from];
		s->net.last_ns[from] = at;
	}
	if (sim_chance(&s->net.rng, l->reorder))
		at += sim_between(&s->net.rng, 1, 2 * l->delay_ns + SIM_MS);
	if (sim_chance(&s->net.rng, l->late))
		at += sim_between(&s->net.rng, 1, 20 * SIM_SECOND);
	return at;
}

/*
 * One byte: checksums find it. The Ethernet header has none, and of IPv6 only the addresses are
 * under one, so those are left alone.
 */
static void flip(struct sim *s, struct sim_seg *seg)
{
	uint8_t *from = seg->ipv6 ? seg->tcp : seg->ip;
	uint32_t len = seg->ipv6 ? seg->tcp_len : seg->ip_len;

	from[sim_draw(&s->net.rng) % len] ^= (uint8_t)sim_between(&s->net.rng, 1, 255);
}

static void alter(struct sim *s, const struct sim_link *l, struct sim_seg *seg)
{
	struct sim_rng *r = &s->net.rng;

	if (sim_chance(r, l->flip)) {
		flip(s, seg);
		return;
	}
	if (seg->text_len && sim_chance(r, l->text)) {
		seg->text[sim_draw(r) % seg->text_len] ^= (uint8_t)sim_between(r, 1, 255);
		sim_seg_repair(seg);
		s->text_altered = true;
		s->result->altered++;
	}
	if (sim_chance(r, l->header)) {
		seg->tcp[sim_draw(r) % (seg->tcp_len - seg->text_len)] ^=
			(uint8_t)sim_between(r, 1, 255);
		sim_seg_repair(seg);
		s->header_altered = true;
		s->result->altered++;
	}
}

/*
 * A stranger, or a segment out of the past, at the receiver's door: nothing of it may be believed.
 * RFC 5961 for RST, SYN and ACK that do not fit exactly; RFC 7323 5 for text with a timestamp that
 * is older than what the receiver has shown to know: the sender's clock may have jumped since by
 * days.
 */
static void forge(struct sim *s, unsigned int from, const uint8_t *bytes, uint32_t len)
{
	uint8_t copy[SIM_FRAME_BYTES];
	struct sim_rng *r = &s->net.rng;
	struct sim_flow *f;
	struct sim_seg seg;
	struct sim_end *e;
	uint32_t beyond, known;

	memcpy(copy, bytes, len);
	if (!sim_seg_parse(&seg, copy, len) || seg.flags & (SYN | RST | FIN) ||
	    !(f = sim_flow_of(s, &seg)))
		return;
	e = &f->end[from];
	if (!e->wire.has_iss || !sim_peer(e)->wire.has_iss || !e->opened || !sim_peer(e)->opened)
		return;
	beyond = e->wire.snd_max + 3 + (uint32_t)sim_between(r, 0, 4000);
	known = sim_peer(e)->wire.ts_ecr;
	switch (sim_draw(r) % 5) {
	case 0:
		sim_seg_put(&seg, beyond, seg.ack, RST);
		break;
	case 1:
		sim_seg_put(&seg, beyond, seg.ack, SYN);
		break;
	case 2: /* acknowledges what was never sent */
		sim_seg_put(&seg, seg.seq,
			    sim_peer(e)->wire.snd_max + (uint32_t)sim_between(r, 1 << 20, 1 << 30),
			    ACK);
		break;
	default: /* wrong text in the window, from before the sequence numbers wrapped */
		if (!seg.text_len || !seg.has_ts || !known)
			return;
		sim_seg_put(&seg, e->wire.snd_max, seg.ack, ACK);
		sim_store32(seg.ts + 2, known - (uint32_t)sim_between(r, 1u << 20, 1u << 30));
		memset(seg.text, 0x5a, seg.text_len);
		break;
	}
	sim_seg_repair(&seg);
	sim_net_put(s, !from, copy, len, s->now_ns);
}

/* Returns true when the packet does not fit the path. */
static bool is_too_big(struct sim *s, unsigned int from, const struct sim_seg *seg,
		       const uint8_t *bytes)
{
	const struct sim_link *l = link_from(s, from);
	uint8_t icmp[SIM_FRAME_BYTES];

	if (!l->mtu || seg->ip_len <= l->mtu || (seg->ipv6 && l->mtu < 1280))
		return false;
	if (l->tells) {
		uint32_t len = sim_seg_too_big(seg, bytes, l->mtu, icmp);

		sim_net_put(s, from, icmp, len, s->now_ns + l->delay_ns / 2);
	}
	return true;
}

/* A frame without its tag, in a buffer that may be written. Returns its length. */
static uint32_t untag(const uint8_t *bytes, uint32_t len, uint8_t *out, uint16_t *vlan)
{
	*vlan = 0;
	memcpy(out, bytes, 12);
	if (len < 18 || sim_load16(bytes + 12) != 0x8100) {
		memcpy(out + 12, bytes + 12, len - 12);
		return len;
	}
	*vlan = sim_load16(bytes + 14);
	memcpy(out + 12, bytes + 16, len - 16);
	return len - 4;
}

static bool survives(struct sim *s, unsigned int from, struct sim_seg *seg, uint8_t *frame,
		     uint16_t vlan)
{
	if (is_the_single_loss(s, seg))
		return false;
	if (sim_is_healed(s))
		return true;
	if (is_lost(s, from) || is_too_big(s, from, seg, frame))
		return false;
	if (seg->flags & SYN && seg->text_len &&
	    sim_chance(&s->net.open, link_from(s, from)->syn_text_loss))
		return false;
	return !is_stale(s, from, frame, vlan) || sim_chance(&s->net.rng, 300000);
}

/* What makes more frames of one, or another one. Returns its new length. */
static uint32_t meddle(struct sim *s, unsigned int from, struct sim_seg *seg, uint8_t *frame,
		       uint32_t len, uint64_t left)
{
	const struct sim_link *l = link_from(s, from);
	struct sim_rng *r = &s->net.rng;
	uint8_t rest[SIM_FRAME_BYTES];

	if (sim_chance(r, l->forge))
		forge(s, from, frame, len);
	if (sim_chance(r, l->twice))
		sim_net_put(s, !from, frame, len, arrival(s, from, left));
	if (seg->flags & SYN && seg->text_len && sim_chance(&s->net.open, l->syn_twice))
		sim_net_put(s, !from, frame, len,
			    arrival(s, from, left) + sim_between(&s->net.open, 0, 3 * SIM_SECOND));
	if (seg->tos & 3 && sim_chance(&s->net.marks, l->mark)) {
		sim_seg_mark(seg);
		s->result->seen[SIM_SEEN_MARK]++;
	}
	if (seg->text_len > 1 && !(seg->flags & SYN) && sim_chance(r, l->cut)) {
		uint32_t keep = (uint32_t)sim_between(r, 1, seg->text_len - 1);
		uint32_t n = sim_seg_cut(seg, frame, &len, keep, rest);

		if (!is_lost(s, from))
			sim_net_put(s, !from, rest, n, arrival(s, from, left));
	}
	alter(s, l, seg);
	return len;
}

void sim_net_send(struct sim *s, unsigned int from, const uint8_t *bytes, uint32_t len)
{
	const struct sim_link *l = link_from(s, from);
	uint8_t frame[SIM_FRAME_BYTES];
	struct sim_seg seg;
	uint16_t vlan;
	uint64_t left;

	s->net.frames++;
	len = untag(bytes, len, frame, &vlan);
	if (!sim_seg_parse(&seg, frame, len))
		return; /* wire.c has failed the seed */
	if (seg.flags & SYN && l->strip)
		sim_seg_strip(&seg, l->strip);
	left = queued(s, from, len);
	if (!left || !survives(s, from, &seg, frame, vlan)) {
		s->net.lost++;
		return;
	}
	if (!sim_is_healed(s))
		len = meddle(s, from, &seg, frame, len, left);
	sim_net_put(s, !from, frame, len, arrival(s, from, left));
}
