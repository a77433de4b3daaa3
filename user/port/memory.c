/* SPDX-License-Identifier: MIT */
/*
 * The in-memory wire. Each end has the four rings of an AF_XDP socket, and the wire behaves like a
 * kernel in copy mode does:
 *
 *   transmit() -> transmit ring -> kick() -> copied onto the wire, address to the completion ring
 *   wire -> receive(): frames that are due, in order of arrival -> a fill entry each -> receive
 * ring
 *
 * A frame that is due and finds no fill entry, or no room in the receive ring, is lost and counted.
 * Received bytes start where AF_XDP puts them, XDP_PACKET_HEADROOM behind the start of the frame.
 * For one thread: nothing here is atomic.
 */
#include "user/port/memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

enum {
	CLOCK_START_NS = 1000000000,
	COPY_BLOCK = 64,
};

/*
 * A ring, of spans (receive, transmit) or of addresses (fill, completion). Head is taken, tail is
 * put; both run freely modulo 2^32.
 */
struct fifo {
	union {
		struct mr_span *span;
		uint64_t *addr;
		uint8_t *bytes;
	};
	uint32_t entry_bytes;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
};

/* A frame on the wire, in the list of the end that it goes to or in the wire's free list. */
struct flight {
	struct flight *next;
	struct flight *prev;
	uint64_t arrive_ns;
	uint32_t len;
	uint8_t bytes[];
};

struct end {
	struct mr_port port;
	struct mr_memory_wire *wire;
	struct mr_memory_end conf;
	struct fifo rx, tx, fill, completion;
	uint32_t taken;	      /* of rx: the lane has what stands before it, and may not be done */
	struct flight *first; /* to arrive here, earliest first */
	struct flight *last;
	struct mr_port_statistics statistics;
};

struct mr_memory_wire {
	struct end end[2];
	uint64_t now_ns;
	uint64_t delay_ns;
	mr_memory_fate fate;
	void *fate_arg;
	struct flight *unused;
	uint32_t flight_bytes; /* largest frame of either end */
};

static struct end *end_of(struct mr_port *p)
{
	return (struct end *)p; /* its first member */
}

static const struct end *const_end_of(const struct mr_port *p)
{
	return (const struct end *)p;
}

static uint32_t fifo_count(const struct fifo *f)
{
	return f->tail - f->head;
}

static uint32_t fifo_room(const struct fifo *f)
{
	return f->size - fifo_count(f);
}

static uint32_t fifo_at(const struct fifo *f, uint32_t index)
{
	return index & (f->size - 1);
}

static uint32_t minimum(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* @n entries from @index on, which may go round the end. */
static void fifo_read(const struct fifo *f, uint32_t index, void *to, uint32_t n)
{
	uint32_t at = fifo_at(f, index);
	size_t first = (size_t)minimum(n, f->size - at) * f->entry_bytes;

	memcpy(to, f->bytes + (size_t)at * f->entry_bytes, first);
	memcpy((uint8_t *)to + first, f->bytes, (size_t)n * f->entry_bytes - first);
}

/* As many of @n entries as there is room for, behind the last. */
static uint32_t fifo_put(struct fifo *f, const void *from, uint32_t n)
{
	uint32_t at = fifo_at(f, f->tail);
	size_t first;

	n = minimum(n, fifo_room(f));
	first = (size_t)minimum(n, f->size - at) * f->entry_bytes;
	memcpy(f->bytes + (size_t)at * f->entry_bytes, from, first);
	memcpy(f->bytes, (const uint8_t *)from + first, (size_t)n * f->entry_bytes - first);
	f->tail += n;
	return n;
}

/* ----- on the wire ----- */

static struct flight *flight_new(struct mr_memory_wire *w)
{
	struct flight *f = w->unused;

	if (f) {
		w->unused = f->next;
		return f;
	}
	return malloc(sizeof(*f) + w->flight_bytes);
}

static void flight_recycle(struct mr_memory_wire *w, struct flight *f)
{
	f->next = w->unused;
	w->unused = f;
}

/* Behind every frame that arrives no later: first come, first served, also at equal times. */
static void list_insert(struct end *to, struct flight *f)
{
	struct flight *before = to->last;

	while (before && before->arrive_ns > f->arrive_ns)
		before = before->prev;
	f->prev = before;
	f->next = before ? before->next : to->first;
	if (f->next)
		f->next->prev = f;
	else
		to->last = f;
	if (before)
		before->next = f;
	else
		to->first = f;
}

static struct flight *list_take_first(struct end *e)
{
	struct flight *f = e->first;

	e->first = f->next;
	if (e->first)
		e->first->prev = NULL;
	else
		e->last = NULL;
	return f;
}

static uint64_t later(uint64_t ns, uint64_t by_ns)
{
	return ns + by_ns < ns ? UINT64_MAX : ns + by_ns;
}

/* The second copy of a frame that is to arrive twice. */
static void duplicate(struct end *to, const struct flight *f)
{
	struct flight *copy = flight_new(to->wire);

	if (!copy) {
		to->statistics.rx_dropped++;
		return;
	}
	memcpy(copy, f, sizeof(*f) + f->len);
	list_insert(to, copy);
}

static void put_on_wire(struct end *from, const struct mr_span *span)
{
	struct mr_memory_wire *w = from->wire;
	unsigned int number = from == &w->end[1];
	struct end *to = &w->end[!number];
	struct flight *f = flight_new(w);
	uint64_t extra_ns = 0;
	unsigned int copies = 1;

	if (!f) {
		to->statistics.rx_dropped++;
		return;
	}
	f->len = span->len;
	memcpy(f->bytes, from->conf.umem + span->addr, span->len);
	if (w->fate) {
		copies = w->fate(w->fate_arg, number, f->bytes, &f->len, &extra_ns);
		f->len = minimum(f->len, span->len);
	}
	if (copies == 0) {
		flight_recycle(w, f);
		return;
	}
	f->arrive_ns = later(later(w->now_ns, w->delay_ns), extra_ns);
	list_insert(to, f);
	if (copies > 1)
		duplicate(to, f);
}

/* Start of the next fill entry's frame, or false when there is none. */
static bool take_fill(struct end *e, uint64_t *frame)
{
	while (fifo_count(&e->fill)) {
		*frame = e->fill.addr[fifo_at(&e->fill, e->fill.head++)] &
			 ~(uint64_t)(e->conf.frame_bytes - 1);
		if (*frame < e->conf.umem_bytes)
			return true;
		e->statistics.rx_invalid++;
	}
	e->statistics.fill_empty++;
	return false;
}

static void arrive(struct end *e, const uint8_t *bytes, uint32_t len)
{
	struct mr_span span = { .len = len };

	if (len > e->conf.frame_bytes - XDP_PACKET_HEADROOM) {
		e->statistics.rx_dropped++;
		return;
	}
	if (!fifo_room(&e->rx)) {
		e->statistics.rx_ring_full++;
		return;
	}
	if (!take_fill(e, &span.addr))
		return;
	span.addr += XDP_PACKET_HEADROOM;
	memcpy(e->conf.umem + span.addr, bytes, len);
	fifo_put(&e->rx, &span, 1);
}

static void arrivals(struct end *e)
{
	while (e->first && e->first->arrive_ns <= e->wire->now_ns) {
		struct flight *f = list_take_first(e);

		arrive(e, f->bytes, f->len);
		flight_recycle(e->wire, f);
	}
}

/* ----- the port ----- */

static uint32_t memory_receive(struct mr_port *p, struct mr_span *spans, uint32_t max)
{
	struct end *e = end_of(p);
	uint32_t n;

	e->rx.head = e->taken;
	arrivals(e);
	n = minimum(fifo_count(&e->rx), max);
	fifo_read(&e->rx, e->rx.head, spans, n);
	e->taken += n;
	return n;
}

static uint32_t memory_fill_room(struct mr_port *p)
{
	return fifo_room(&end_of(p)->fill);
}

static uint32_t memory_fill(struct mr_port *p, const uint64_t *addrs, uint32_t n)
{
	struct end *e = end_of(p);

	e->rx.head = e->taken;
	return fifo_put(&e->fill, addrs, n);
}

static uint32_t memory_transmit_room(struct mr_port *p)
{
	return fifo_room(&end_of(p)->tx);
}

static uint32_t memory_transmit(struct mr_port *p, const struct mr_span *spans, uint32_t n)
{
	return fifo_put(&end_of(p)->tx, spans, n);
}

static uint32_t memory_complete(struct mr_port *p, uint64_t *addrs, uint32_t max)
{
	struct end *e = end_of(p);
	uint32_t n = minimum(fifo_count(&e->completion), max);

	fifo_read(&e->completion, e->completion.head, addrs, n);
	e->completion.head += n;
	return n;
}

/* As the kernel (xskq_cons_is_valid_desc): inside the UMEM and inside one frame. */
static bool is_span_valid(const struct mr_memory_end *e, const struct mr_span *s)
{
	uint32_t offset = (uint32_t)s->addr & (e->frame_bytes - 1);

	return s->len && s->len <= e->frame_bytes - offset && s->addr < e->umem_bytes;
}

/* In whole blocks, some moves each instead of a call: what stands behind @len is nobody's. */
static inline void copy_blocks(uint8_t *to, const uint8_t *from, uint32_t len)
{
	for (const uint8_t *end = from + len; from < end; from += COPY_BLOCK, to += COPY_BLOCK)
		memcpy(to, from, COPY_BLOCK);
}

/*
 * A wire without delay on which nothing stands: frames are at the other end at once, as long as
 * there are places for them now and nothing is odd about them, such as an end near that of its
 * frame. (What a copy of a whole block may not overwrite is read once.)
 */
static void kick_through(struct end *e)
{
	struct end *other = &e->wire->end[e == e->wire->end];
	const struct fifo tx = e->tx, completion = e->completion;
	const struct fifo fill = other->fill, rx = other->rx;
	const struct mr_memory_end from = e->conf, to = other->conf;
	const uint64_t start = ~(uint64_t)(to.frame_bytes - 1);
	const uint32_t most = to.frame_bytes - XDP_PACKET_HEADROOM - COPY_BLOCK;
	const uint32_t end = from.frame_bytes - COPY_BLOCK;
	uint32_t n = minimum(minimum(fifo_count(&tx), fifo_room(&completion)),
			     minimum(fifo_count(&fill), fifo_room(&rx)));
	uint32_t i;

	if (e->wire->fate || e->wire->delay_ns || other->first)
		return;
	for (i = 0; i < n; i++) {
		struct mr_span s = tx.span[fifo_at(&tx, tx.head + i)];
		uint64_t place = fill.addr[fifo_at(&fill, fill.head + i)] & start;

		if (s.len - 1 >= most || (s.addr & (from.frame_bytes - 1)) + s.len > end ||
		    s.addr >= from.umem_bytes || place >= to.umem_bytes)
			break;
		completion.addr[fifo_at(&completion, completion.tail + i)] = s.addr;
		place += XDP_PACKET_HEADROOM;
		copy_blocks(to.umem + place, from.umem + s.addr, s.len);
		s.addr = place;
		rx.span[fifo_at(&rx, rx.tail + i)] = s;
	}
	e->tx.head += i;
	e->completion.tail += i;
	other->fill.head += i;
	other->rx.tail += i;
}

/* Needs a completion entry for each frame, as the kernel does, and stops where there is none. */
static uint32_t memory_kick(struct mr_port *p, bool *again)
{
	struct end *e = end_of(p);

	kick_through(e);
	while (fifo_count(&e->tx) && fifo_room(&e->completion)) {
		const struct mr_span s = e->tx.span[fifo_at(&e->tx, e->tx.head++)];

		if (!is_span_valid(&e->conf, &s)) {
			e->statistics.tx_invalid++;
			continue;
		}
		put_on_wire(e, &s);
		fifo_put(&e->completion, &s.addr, 1);
	}
	*again = fifo_count(&e->tx) != 0;
	return 0;
}

static bool memory_needs_kick(const struct mr_port *p)
{
	return fifo_count(&const_end_of(p)->tx) != 0;
}

static int memory_poll_fd(const struct mr_port *p)
{
	(void)p;
	return -1;
}

static bool memory_wants_wakeup(const struct mr_port *p)
{
	(void)p;
	return false;
}

static void memory_statistics(struct mr_port *p, struct mr_port_statistics *s)
{
	*s = end_of(p)->statistics;
}

/* The wire belongs to who made it: mr_memory_free(). */
static void memory_close(struct mr_port *p)
{
	(void)p;
}

static const struct mr_port_ops memory_ops = {
	.receive = memory_receive,
	.fill = memory_fill,
	.fill_room = memory_fill_room,
	.transmit = memory_transmit,
	.transmit_room = memory_transmit_room,
	.complete = memory_complete,
	.kick = memory_kick,
	.needs_kick = memory_needs_kick,
	.poll_fd = memory_poll_fd,
	.wants_wakeup = memory_wants_wakeup,
	.statistics = memory_statistics,
	.close = memory_close,
};

/* ----- the wire ----- */

static bool is_end_valid(const struct mr_memory_end *c)
{
	return c->umem && c->ring_size && !(c->ring_size & (c->ring_size - 1)) &&
	       !(c->frame_bytes & (c->frame_bytes - 1)) &&
	       c->frame_bytes > XDP_PACKET_HEADROOM + COPY_BLOCK && c->umem_bytes &&
	       c->umem_bytes % c->frame_bytes == 0;
}

static int end_init(struct end *e, struct mr_memory_wire *w, const struct mr_memory_end *conf)
{
	struct fifo *ring[] = { &e->rx, &e->tx, &e->fill, &e->completion };

	e->port = (struct mr_port){ &memory_ops, &e->rx.head, &e->tx.tail };
	e->wire = w;
	e->conf = *conf;
	for (unsigned int i = 0; i < sizeof(ring) / sizeof(ring[0]); i++) {
		ring[i]->size = conf->ring_size;
		ring[i]->entry_bytes = i < 2 ? sizeof(struct mr_span) : sizeof(uint64_t);
		ring[i]->bytes = calloc(conf->ring_size, ring[i]->entry_bytes);
		if (!ring[i]->bytes)
			return -ENOMEM;
	}
	return 0;
}

static void list_free(struct flight *f)
{
	while (f) {
		struct flight *next = f->next;

		free(f);
		f = next;
	}
}

static void end_fini(struct end *e)
{
	list_free(e->first);
	free(e->rx.bytes);
	free(e->tx.bytes);
	free(e->fill.bytes);
	free(e->completion.bytes);
}

struct mr_memory_wire *mr_memory_new(const struct mr_memory_end ends[2], uint64_t delay_ns)
{
	struct mr_memory_wire *w;

	if (!is_end_valid(&ends[0]) || !is_end_valid(&ends[1])) {
		errno = EINVAL;
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->now_ns = CLOCK_START_NS;
	w->delay_ns = delay_ns;
	w->flight_bytes = ends[0].frame_bytes > ends[1].frame_bytes ? ends[0].frame_bytes
								    : ends[1].frame_bytes;
	if (end_init(&w->end[0], w, &ends[0]) < 0 || end_init(&w->end[1], w, &ends[1]) < 0) {
		mr_memory_free(w);
		errno = ENOMEM;
		return NULL;
	}
	return w;
}

struct mr_port *mr_memory_port(struct mr_memory_wire *w, unsigned int end)
{
	return &w->end[end].port;
}

void mr_memory_each(struct mr_port *p, void (*fn)(void *arg, uint64_t addr), void *arg)
{
	const struct end *e = const_end_of(p);

	for (uint32_t i = e->fill.head; i != e->fill.tail; i++)
		fn(arg, e->fill.addr[fifo_at(&e->fill, i)]);
	for (uint32_t i = e->rx.head; i != e->rx.tail; i++)
		fn(arg, e->rx.span[fifo_at(&e->rx, i)].addr);
}

void mr_memory_adopt(struct mr_port *p)
{
	struct end *e = end_of(p);

	e->taken = e->rx.head;
}

void mr_memory_set_fate(struct mr_memory_wire *w, mr_memory_fate fate, void *arg)
{
	w->fate = fate;
	w->fate_arg = arg;
}

uint64_t mr_memory_now(const struct mr_memory_wire *w)
{
	return w->now_ns;
}

void mr_memory_advance(struct mr_memory_wire *w, uint64_t by_ns)
{
	w->now_ns = later(w->now_ns, by_ns);
}

uint64_t mr_memory_next(const struct mr_memory_wire *w)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned int i = 0; i < 2; i++) {
		const struct end *e = &w->end[i];

		if (e->rx.tail != e->taken)
			return w->now_ns;
		if (e->first && e->first->arrive_ns < next_ns)
			next_ns = e->first->arrive_ns;
	}
	return next_ns;
}

void mr_memory_free(struct mr_memory_wire *w)
{
	if (!w)
		return;
	end_fini(&w->end[0]);
	end_fini(&w->end[1]);
	list_free(w->unused);
	free(w);
}
