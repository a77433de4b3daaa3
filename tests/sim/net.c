/* SPDX-License-Identifier: MIT */
/*
 * The simulated net: for each lane the rings of an AF_XDP socket, as user/port/memory.c has them,
 * between them a heap of frames in flight. Against the in-memory wire of two ends it adds what a
 * simulation needs: several queues a side, frames that nobody sent, completions that come late. A
 * frame is read at its "DMA", some time after transmit(): whoever writes it meanwhile is caught.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

static struct sim_port *port_of(struct mr_port *p)
{
	return (struct sim_port *)(void *)p;
}

static const struct sim_port *const_port_of(const struct mr_port *p)
{
	return (const struct sim_port *)(const void *)p;
}

static uint32_t count(const struct sim_fifo *f)
{
	return f->tail - f->head;
}

static uint32_t room(const struct sim_fifo *f)
{
	return f->size - count(f);
}

static void put(struct sim_fifo *f, uint64_t addr, uint32_t len, uint64_t note)
{
	f->slot[f->tail % f->size] = (struct mr_span){ .addr = addr, .len = len };
	f->note[f->tail++ % f->size] = note;
}

static uint32_t take(struct sim_fifo *f, struct mr_span *spans, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && count(f))
		spans[n++] = f->slot[f->head++ % f->size];
	return n;
}

static uint64_t sum(const struct sim_port *p, const struct mr_span *s)
{
	const uint8_t *b = p->umem + s->addr;
	uint64_t h = s->len, w;
	uint32_t i;

	for (i = 0; i + 8 <= s->len; i += 8) {
		memcpy(&w, b + i, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	for (; i < s->len; i++)
		h = (h ^ b[i]) * 0x9e3779b97f4a7c15ull;
	return h;
}

/* ----- the port ----- */

static uint32_t port_receive(struct mr_port *p, struct mr_span *spans, uint32_t max)
{
	return take(&port_of(p)->rx, spans, max);
}

static uint32_t port_fill(struct mr_port *p, const uint64_t *addrs, uint32_t n)
{
	struct sim_fifo *f = &port_of(p)->fill;
	uint32_t i;

	for (i = 0; i < n && room(f); i++)
		put(f, addrs[i], 0, 0);
	return i;
}

static uint32_t port_fill_room(struct mr_port *p)
{
	return room(&port_of(p)->fill);
}

static bool is_span_valid(const struct sim_port *p, const struct mr_span *s)
{
	return s->len && s->addr < p->umem_bytes &&
	       s->addr % SIM_FRAME_BYTES + s->len <= SIM_FRAME_BYTES;
}

static uint32_t port_transmit(struct mr_port *port, const struct mr_span *spans, uint32_t n)
{
	struct sim_port *p = port_of(port);
	uint32_t i;

	for (i = 0; i < n && room(&p->tx); i++) {
		if (!is_span_valid(p, &spans[i])) {
			sim_fail(p->lane->sim, "transmit of bytes outside a frame");
			continue;
		}
		put(&p->tx, spans[i].addr, spans[i].len, sum(p, &spans[i]));
		sim_wire_sent(p->lane, p->umem + spans[i].addr, spans[i].len);
	}
	return i;
}

static uint32_t port_transmit_room(struct mr_port *p)
{
	return room(&port_of(p)->tx);
}

/* What stands in the transmit ring is read, and leaves. */
static void dma(struct sim_port *p)
{
	struct sim *s = p->lane->sim;
	uint64_t late = s->scenario.host[p->lane->side].dma_ns;

	while (count(&p->tx) && room(&p->completion)) {
		uint64_t note = p->tx.note[p->tx.head % p->tx.size];
		struct mr_span span;

		take(&p->tx, &span, 1);
		if (sum(p, &span) != note)
			sim_fail(s, "a frame was written while the kernel held it");
		sim_net_send(s, p->lane->side, p->umem + span.addr, span.len);
		p->completion.due_ns[p->completion.tail % p->completion.size] =
			s->now_ns + (late ? sim_between(&s->net.rng, 0, late) : 0);
		put(&p->completion, span.addr, span.len, note);
	}
}

static uint32_t port_complete(struct mr_port *port, uint64_t *addrs, uint32_t max)
{
	struct sim_port *p = port_of(port);
	uint32_t n = 0;

	while (n < max && count(&p->completion) &&
	       p->completion.due_ns[p->completion.head % p->completion.size] <=
		       p->lane->sim->now_ns) {
		uint64_t note = p->completion.note[p->completion.head % p->completion.size];
		struct mr_span span;

		take(&p->completion, &span, 1);
		if (sum(p, &span) != note)
			sim_fail(p->lane->sim, "a frame was written while the kernel held it");
		addrs[n++] = span.addr;
	}
	return n;
}

/* A slow device takes what is queued at the next event only. */
static uint32_t port_kick(struct mr_port *port, bool *again)
{
	struct sim_port *p = port_of(port);
	struct sim *s = p->lane->sim;

	if (!s->scenario.host[p->lane->side].dma_ns || sim_draw(&s->net.rng) % 4)
		dma(p);
	*again = count(&p->tx) != 0;
	return 0;
}

static bool port_needs_kick(const struct mr_port *p)
{
	return count(&const_port_of(p)->tx) != 0;
}

static int port_poll_fd(const struct mr_port *p)
{
	(void)p;
	return -1;
}

static bool port_wants_wakeup(const struct mr_port *p)
{
	(void)p;
	return false;
}

static void port_statistics(struct mr_port *p, struct mr_port_statistics *s)
{
	(void)p;
	memset(s, 0, sizeof(*s));
}

static void port_close(struct mr_port *p)
{
	(void)p;
}

static const struct mr_port_ops port_ops = {
	.receive = port_receive,
	.fill = port_fill,
	.fill_room = port_fill_room,
	.transmit = port_transmit,
	.transmit_room = port_transmit_room,
	.complete = port_complete,
	.kick = port_kick,
	.needs_kick = port_needs_kick,
	.poll_fd = port_poll_fd,
	.wants_wakeup = port_wants_wakeup,
	.statistics = port_statistics,
	.close = port_close,
};

void sim_fifo_init(struct sim_fifo *f, uint32_t size)
{
	f->size = size;
	f->head = f->tail = 0;
	f->slot = calloc(size, sizeof(*f->slot));
	f->note = calloc(size, sizeof(*f->note));
	f->due_ns = calloc(size, sizeof(*f->due_ns));
	if (!f->slot || !f->note || !f->due_ns)
		abort();
}

int sim_port_init(struct sim_lane *l, uint32_t ring)
{
	struct sim_port *p = &l->port;
	uint32_t frames;

	p->port = (struct mr_port){ &port_ops, &p->done, &p->tx.tail };
	p->lane = l;
	p->umem = mr_arena_area(&l->arena, MR_AREA_FRAMES, &frames);
	p->umem_bytes = (uint64_t)frames * SIM_FRAME_BYTES;
	sim_fifo_init(&p->rx, ring);
	sim_fifo_init(&p->tx, ring);
	sim_fifo_init(&p->fill, ring);
	sim_fifo_init(&p->completion, ring);
	return p->umem ? 0 : -EINVAL;
}

void sim_port_fini(struct sim_port *p)
{
	struct sim_fifo *all[] = { &p->rx, &p->tx, &p->fill, &p->completion };

	for (unsigned int i = 0; i < 4; i++) {
		free(all[i]->slot);
		free(all[i]->note);
		free(all[i]->due_ns);
	}
}

/* ----- frames in flight: a heap by time, then by order of sending ----- */

static bool is_before(const struct sim_flight *a, const struct sim_flight *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->serial < b->serial;
}

static struct sim_flight *flight_new(struct sim_net *n)
{
	struct sim_flight *f = n->unused;

	if (f) {
		memcpy(&n->unused, f->bytes, sizeof(n->unused));
		return f;
	}
	f = malloc(sizeof(*f));
	if (!f)
		abort();
	return f;
}

static void flight_recycle(struct sim_net *n, struct sim_flight *f)
{
	memcpy(f->bytes, &n->unused, sizeof(n->unused));
	n->unused = f;
}

static void heap_put(struct sim_net *n, struct sim_flight *f)
{
	uint32_t i = n->n_heap++;

	if (n->n_heap > n->heap_size) {
		n->heap_size = n->heap_size ? n->heap_size * 2 : 64;
		n->heap = realloc(n->heap, n->heap_size * sizeof(*n->heap));
		if (!n->heap)
			abort();
	}
	while (i && is_before(f, n->heap[(i - 1) / 2])) {
		n->heap[i] = n->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	n->heap[i] = f;
}

static struct sim_flight *heap_take(struct sim_net *n)
{
	struct sim_flight *first = n->heap[0];
	struct sim_flight *last = n->heap[--n->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= n->n_heap)
			break;
		if (child + 1 < n->n_heap && is_before(n->heap[child + 1], n->heap[child]))
			child++;
		if (!is_before(n->heap[child], last))
			break;
		n->heap[i] = n->heap[child];
		i = child;
	}
	n->heap[i] = last;
	return first;
}

/* The address and the tag of the other side's host, as they are when the frame arrives. */
void sim_net_put(struct sim *s, unsigned int to, const uint8_t *bytes, uint32_t len, uint64_t at_ns)
{
	struct sim_flight *f = flight_new(&s->net);
	uint16_t vlan = s->net.vlan[!to];
	uint32_t tag = vlan ? 4 : 0;

	f->at_ns = at_ns;
	f->serial = s->net.serial++;
	f->to = to;
	f->len = len + tag;
	memcpy(f->bytes, bytes, 12);
	memcpy(f->bytes + 6, s->net.mac[!to], 6);
	if (vlan) {
		sim_store16(f->bytes + 12, 0x8100);
		sim_store16(f->bytes + 14, vlan);
	}
	memcpy(f->bytes + 12 + tag, bytes + 12, len - 12);
	heap_put(&s->net, f);
}

/* Which queue? By the receiver's port range, as steered, or by a hash; some go astray. */
static struct sim_lane *queue_of(struct sim *s, const struct sim_flight *f)
{
	uint32_t n = s->scenario.lanes;
	uint32_t tag = sim_load16(f->bytes + 12) == 0x8100 ? 4 : 0;
	uint32_t ports = 14 + tag + (sim_load16(f->bytes + 12 + tag) == 0x86dd ? 40 : 20);
	uint32_t client = ports + (f->to == SIM_CLIENT ? 2 : 0);
	uint32_t queue = 0;

	if (n > 1 && client + 2 <= f->len)
		queue = (sim_load16(f->bytes + client) + (f->to == SIM_SERVER ? s->net.rss : 0)) %
			n;
	if (n > 1 && !sim_is_healed(s) && sim_chance(&s->net.rng, s->scenario.astray))
		queue = (queue + 1) % n;
	return &s->lane[f->to * n + queue];
}

static void arrive(struct sim *s, struct sim_flight *f)
{
	struct sim_lane *l = queue_of(s, f);
	struct sim_port *p = &l->port;
	uint32_t tag = sim_load16(f->bytes + 12) == 0x8100 ? 4 : 0;
	uint8_t bare[sizeof(f->bytes)];
	struct sim_seg seg;
	struct mr_span span;

	if (f->len > SIM_FRAME_BYTES - XDP_PACKET_HEADROOM || !room(&p->rx) ||
	    !take(&p->fill, &span, 1)) {
		s->net.lost++;
		return;
	}
	span.addr = span.addr / SIM_FRAME_BYTES * SIM_FRAME_BYTES + XDP_PACKET_HEADROOM;
	memcpy(p->umem + span.addr, f->bytes, f->len);
	put(&p->rx, span.addr, f->len, 0);
	memcpy(bare, f->bytes, 12);
	memcpy(bare + 12, f->bytes + 12 + tag, f->len - 12 - tag);
	if (sim_seg_parse(&seg, bare, f->len - tag) && sim_seg_sums_are_good(&seg))
		sim_wire_arrived(l, &seg);
}

void sim_net_arrive(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_lanes; i++)
		if (sim_draw(&s->net.rng) % 2 || !s->scenario.host[s->lane[i].side].dma_ns)
			dma(&s->lane[i].port);
	while (s->net.n_heap && s->net.heap[0]->at_ns <= s->now_ns) {
		struct sim_flight *f = heap_take(&s->net);

		arrive(s, f);
		flight_recycle(&s->net, f);
	}
}

/* When frames that wait for it are looked at. */
static uint64_t wakes(const struct sim_lane *l)
{
	return l->sim->now_ns > l->stalled_ns ? l->sim->now_ns : l->stalled_ns;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t sim_net_next(const struct sim *s)
{
	uint64_t next = s->net.n_heap ? s->net.heap[0]->at_ns : UINT64_MAX;

	for (uint32_t i = 0; i < s->n_lanes; i++) {
		const struct sim_port *p = &s->lane[i].port;
		const struct sim_fifo *c = &p->completion;

		if (count(&p->tx) && room(c))
			next = s->now_ns < next ? s->now_ns : next;
		if (count(&p->rx) && wakes(&s->lane[i]) < next)
			next = wakes(&s->lane[i]);
		if (count(c) && later(c->due_ns[c->head % c->size], wakes(&s->lane[i])) < next)
			next = later(c->due_ns[c->head % c->size], wakes(&s->lane[i]));
	}
	return next;
}

/* The host of @side moves: another MAC address, and on some links another VLAN. */
void sim_net_move(struct sim *s, unsigned int side, uint64_t arg)
{
	memcpy(s->net.old_mac[side], s->net.mac[side], 6);
	s->net.old_vlan[side] = s->net.vlan[side];
	s->net.mac[side][4]++;
	s->net.mac[side][5] = (uint8_t)arg;
	if (arg & 1 << 8)
		s->net.vlan[side] = (uint16_t)(arg >> 9 & 0xfff);
}

void sim_net_init(struct sim *s)
{
	s->net.rng = sim_rng_split(s->scenario.seed, SIM_RNG_NET);
	s->net.marks = sim_rng_split(s->scenario.seed, SIM_RNG_MARKS + 1);
	s->net.open = sim_rng_split(s->scenario.seed, SIM_RNG_OPEN + 1);
	for (unsigned int i = 0; i < 2; i++) {
		static const uint8_t mac[2][6] = { { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 1 } };

		memcpy(s->net.mac[i], mac[i], 6);
		memcpy(s->net.old_mac[i], mac[i], 6);
	}
}

void sim_net_fini(struct sim *s)
{
	struct sim_flight *f = s->net.unused;

	for (uint32_t i = 0; i < s->net.n_heap; i++)
		free(s->net.heap[i]);
	free(s->net.heap);
	while (f) {
		struct sim_flight *next;

		memcpy(&next, f->bytes, sizeof(next));
		free(f);
		f = next;
	}
}
