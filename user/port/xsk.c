/* SPDX-License-Identifier: MIT */
/*
 * A lane's side of an AF_XDP socket: four rings, mapped from a descriptor that somebody else opened
 * and bound, or binds then (xsk_open.c).
 *
 * Who a frame belongs to must be readable from the rings' own indexes, also after this process was
 * killed between any two instructions. So received entries are given back to the kernel one by one,
 * when the lane is done with each (mr_port_done()), the last of them by the next receive() or
 * fill(): what was not looked at stands in the receive ring, where the next owner finds it. fill()
 * gives back first, so no frame stands in both rings.
 */
#include "user/port/xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "user/port/ring.h"

#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0) /* since Linux 6.6: the packet goes on in the next descriptor */
#endif

enum {
	RINGS = MR_XSK_COMPLETION + 1,
	IDLE_KICKS_MAX = 2, /* system calls in a row that may move nothing */
};

struct mapping {
	void *base;
	size_t bytes;
};

struct mr_xsk {
	struct mr_port port;
	int fd;
	bool zero_copy;
	bool in_packet;	  /* the last descriptor was not its packet's last */
	uint32_t in_hand; /* received entries that still stand in the ring */
	uint32_t frame_bytes;
	uint64_t umem_bytes;
	uint64_t rx_bad; /* descriptors outside the frame area */
	struct mr_ring ring[RINGS];
	struct mapping mapping[RINGS];
};

static struct mr_xsk *xsk_of(struct mr_port *p)
{
	return (struct mr_xsk *)p; /* its first member */
}

static const struct mr_xsk *const_xsk_of(const struct mr_port *p)
{
	return (const struct mr_xsk *)p;
}

static struct xdp_desc *packet_at(const struct mr_ring *r, uint32_t index)
{
	return &((struct xdp_desc *)r->desc)[mr_ring_slot(r, index)];
}

static uint64_t *frame_at(const struct mr_ring *r, uint32_t index)
{
	return &((uint64_t *)r->desc)[mr_ring_slot(r, index)];
}

/* ----- receiving ----- */

static void give_back(struct mr_xsk *x)
{
	if (!x->in_hand)
		return;
	mr_ring_release(&x->ring[MR_XSK_RX], x->in_hand);
	x->in_hand = 0;
}

static bool is_inside(const struct mr_xsk *x, const struct xdp_desc *d)
{
	return d->addr < x->umem_bytes &&
	       (d->addr & (x->frame_bytes - 1)) + d->len <= x->frame_bytes;
}

/*
 * Sockets are bound without XDP_USE_SG, so the kernel sends no packet in pieces. If it did, each
 * piece goes up empty: the lane drops what is too short for a header and has its frame back.
 */
static bool is_piece(struct mr_xsk *x, const struct xdp_desc *d)
{
	bool piece = x->in_packet || d->options & XDP_PKT_CONTD;

	x->in_packet = d->options & XDP_PKT_CONTD;
	return piece;
}

static uint32_t xsk_receive(struct mr_port *p, struct mr_span *spans, uint32_t max)
{
	struct mr_xsk *x = xsk_of(p);
	struct mr_ring *r = &x->ring[MR_XSK_RX];
	uint32_t first, n, good = 0;

	give_back(x);
	n = mr_ring_peek(r, &first, max);
	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc d = *packet_at(r, first + i);
		bool piece = is_piece(x, &d);

		if (!is_inside(x, &d)) {
			x->rx_bad++;
			continue;
		}
		spans[good].addr = d.addr;
		spans[good].len = piece ? 0 : d.len;
		spans[good].options = 0;
		good++;
	}
	x->in_hand = n;
	return good;
}

static uint32_t xsk_fill_room(struct mr_port *p)
{
	struct mr_ring *r = &xsk_of(p)->ring[MR_XSK_FILL];

	return mr_ring_room(r, r->size);
}

static uint32_t xsk_fill(struct mr_port *p, const uint64_t *addrs, uint32_t n)
{
	struct mr_xsk *x = xsk_of(p);
	struct mr_ring *r = &x->ring[MR_XSK_FILL];
	uint32_t first;

	give_back(x);
	n = mr_ring_reserve(r, &first, n);
	for (uint32_t i = 0; i < n; i++)
		*frame_at(r, first + i) = addrs[i];
	if (n)
		mr_ring_submit(r, n);
	return n;
}

/* ----- sending ----- */

static uint32_t xsk_transmit_room(struct mr_port *p)
{
	struct mr_ring *r = &xsk_of(p)->ring[MR_XSK_TX];

	return mr_ring_room(r, r->size);
}

static uint32_t xsk_transmit(struct mr_port *p, const struct mr_span *spans, uint32_t n)
{
	struct mr_ring *r = &xsk_of(p)->ring[MR_XSK_TX];
	uint32_t first;

	n = mr_ring_reserve(r, &first, n);
	for (uint32_t i = 0; i < n; i++)
		*packet_at(r, first + i) = (struct xdp_desc){
			.addr = spans[i].addr,
			.len = spans[i].len,
		};
	if (n)
		mr_ring_submit(r, n);
	return n;
}

static uint32_t xsk_complete(struct mr_port *p, uint64_t *addrs, uint32_t max)
{
	struct mr_ring *r = &xsk_of(p)->ring[MR_XSK_COMPLETION];
	uint32_t first, n;

	n = mr_ring_peek(r, &first, max);
	for (uint32_t i = 0; i < n; i++)
		addrs[i] = *frame_at(r, first + i);
	if (n)
		mr_ring_release(r, n);
	return n;
}

static bool xsk_needs_kick(const struct mr_port *p)
{
	const struct mr_ring *r = &const_xsk_of(p)->ring[MR_XSK_TX];

	return !mr_ring_is_drained(r) && mr_ring_has_flag(r, XDP_RING_NEED_WAKEUP);
}

/*
 * Errors that only say "not now": EAGAIN (copy mode takes 32 frames a call, or the completion ring
 * is full), EBUSY, ENOBUFS (the device or the socket's send buffer is full). Any other one, such as
 * ENETDOWN or ENXIO of a device that is down or gone, is no better a moment later.
 */
static bool is_worth_retrying(int err)
{
	return err == 0 || err == EAGAIN || err == EBUSY || err == ENOBUFS || err == EINTR;
}

/*
 * Copy mode sends inside sendto(), some frames a call: go on while any leave. A zero-copy driver is
 * only woken and sends by itself, so one call is all there is to do.
 */
static uint32_t xsk_kick(struct mr_port *p, bool *again)
{
	struct mr_xsk *x = xsk_of(p);
	struct mr_ring *r = &x->ring[MR_XSK_TX];
	uint32_t calls = 0;
	unsigned int idle = 0;

	while (xsk_needs_kick(p) && idle < IDLE_KICKS_MAX) {
		uint32_t before = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
		int err = sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;

		calls++;
		if (!is_worth_retrying(err) || x->zero_copy)
			break;
		if (__atomic_load_n(r->consumer, __ATOMIC_ACQUIRE) == before)
			idle++;
		else
			idle = 0;
	}
	*again = !mr_ring_is_drained(r);
	return calls;
}

/* ----- the rest of the port ----- */

static int xsk_poll_fd(const struct mr_port *p)
{
	return const_xsk_of(p)->fd;
}

static bool xsk_wants_wakeup(const struct mr_port *p)
{
	return mr_ring_has_flag(&const_xsk_of(p)->ring[MR_XSK_FILL], XDP_RING_NEED_WAKEUP);
}

static void xsk_statistics(struct mr_port *p, struct mr_port_statistics *s)
{
	struct mr_xsk *x = xsk_of(p);
	struct xdp_statistics k = { 0 };
	socklen_t len = sizeof(k);

	/* A kernel older than 5.9 writes the first three alone; on an error all stay zero. */
	getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &k, &len);
	s->rx_dropped = k.rx_dropped;
	s->rx_invalid = k.rx_invalid_descs + x->rx_bad;
	s->tx_invalid = k.tx_invalid_descs;
	s->rx_ring_full = k.rx_ring_full;
	s->fill_empty = k.rx_fill_ring_empty_descs;
	s->tx_empty = k.tx_ring_empty_descs;
}

static void xsk_close(struct mr_port *p)
{
	struct mr_xsk *x = xsk_of(p);

	give_back(x);
	for (unsigned int i = 0; i < RINGS; i++)
		munmap(x->mapping[i].base, x->mapping[i].bytes);
	free(x);
}

static const struct mr_port_ops xsk_ops = {
	.receive = xsk_receive,
	.fill = xsk_fill,
	.fill_room = xsk_fill_room,
	.transmit = xsk_transmit,
	.transmit_room = xsk_transmit_room,
	.complete = xsk_complete,
	.kick = xsk_kick,
	.needs_kick = xsk_needs_kick,
	.poll_fd = xsk_poll_fd,
	.wants_wakeup = xsk_wants_wakeup,
	.statistics = xsk_statistics,
	.close = xsk_close,
};

/* ----- attaching ----- */

static int ask_mode(struct mr_xsk *x)
{
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);

	if (getsockopt(x->fd, SOL_XDP, XDP_OPTIONS, &options, &len) < 0)
		return -errno;
	x->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	return 0;
}

void mr_xsk_bound(struct mr_port *p)
{
	ask_mode(xsk_of(p)); /* it was answered before */
}

/* What the kernel says about the socket; offsets with ring flags came with Linux 5.4. */
static int ask_kernel(struct mr_xsk *x, struct xdp_mmap_offsets *off)
{
	socklen_t len = sizeof(*off);

	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, off, &len) < 0)
		return -errno;
	if (len < sizeof(*off))
		return -EOPNOTSUPP;
	return ask_mode(x);
}

static int map_ring(struct mr_xsk *x, enum mr_xsk_ring ring, const struct xdp_ring_offset *off,
		    uint32_t size, size_t entry_bytes, uint64_t page_offset)
{
	struct mapping *m = &x->mapping[ring];
	size_t bytes = off->desc + size * entry_bytes;
	uint8_t *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, x->fd,
			     (off_t)page_offset);

	if (base == MAP_FAILED)
		return -errno;
	m->base = base;
	m->bytes = bytes;
	mr_ring_init(&x->ring[ring], (uint32_t *)(base + off->producer),
		     (uint32_t *)(base + off->consumer), (const uint32_t *)(base + off->flags),
		     base + off->desc, size);
	/* A former owner may have left anything in its index. */
	return x->ring[ring].cached_prod - x->ring[ring].cached_cons <= size ? 0 : -EBADMSG;
}

static int map_rings(struct mr_xsk *x, const struct mr_xsk_sizes *sizes,
		     const struct xdp_mmap_offsets *off)
{
	int err = map_ring(x, MR_XSK_RX, &off->rx, sizes->rx, sizeof(struct xdp_desc),
			   XDP_PGOFF_RX_RING);

	if (err == 0)
		err = map_ring(x, MR_XSK_TX, &off->tx, sizes->tx, sizeof(struct xdp_desc),
			       XDP_PGOFF_TX_RING);
	if (err == 0)
		err = map_ring(x, MR_XSK_FILL, &off->fr, sizes->fill, sizeof(uint64_t),
			       XDP_UMEM_PGOFF_FILL_RING);
	if (err == 0)
		err = map_ring(x, MR_XSK_COMPLETION, &off->cr, sizes->completion, sizeof(uint64_t),
			       XDP_UMEM_PGOFF_COMPLETION_RING);
	return err;
}

static void unmap_rings(struct mr_xsk *x)
{
	for (unsigned int i = 0; i < RINGS; i++)
		if (x->mapping[i].base)
			munmap(x->mapping[i].base, x->mapping[i].bytes);
}

static bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static bool are_bounds_valid(const struct mr_xsk_sizes *s, uint32_t frame_bytes,
			     uint64_t umem_bytes)
{
	return is_power_of_two(s->rx) && is_power_of_two(s->tx) && is_power_of_two(s->fill) &&
	       is_power_of_two(s->completion) && is_power_of_two(frame_bytes) && umem_bytes &&
	       umem_bytes % frame_bytes == 0;
}

struct mr_port *mr_xsk_attach(int fd, const struct mr_xsk_sizes *sizes, uint32_t frame_bytes,
			      uint64_t umem_bytes)
{
	struct xdp_mmap_offsets off = { 0 };
	struct mr_xsk *x;
	int err;

	if (!are_bounds_valid(sizes, frame_bytes, umem_bytes)) {
		errno = EINVAL;
		return NULL;
	}
	x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->port.ops = &xsk_ops;
	x->fd = fd;
	x->frame_bytes = frame_bytes;
	x->umem_bytes = umem_bytes;
	err = ask_kernel(x, &off);
	if (err < 0)
		goto undo_alloc;
	err = map_rings(x, sizes, &off);
	if (err < 0)
		goto undo_map;
	x->port.rx_done = x->ring[MR_XSK_RX].consumer;
	x->port.tx_index = x->ring[MR_XSK_TX].producer;
	return &x->port;

undo_map:
	unmap_rings(x);
undo_alloc:
	free(x);
	errno = -err;
	return NULL;
}

static uint64_t address_at(const struct mr_ring *r, enum mr_xsk_ring ring, uint32_t index)
{
	if (ring == MR_XSK_RX || ring == MR_XSK_TX)
		return packet_at(r, index)->addr;
	return *frame_at(r, index);
}

void mr_xsk_each(struct mr_port *p, enum mr_xsk_ring ring, void (*fn)(void *arg, uint64_t addr),
		 void *arg)
{
	const struct mr_ring *r = &xsk_of(p)->ring[ring];
	/* Acquire: pairs with whoever filled the entries, the kernel or a former owner. */
	uint32_t end = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	uint32_t index = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);

	for (; index != end; index++)
		fn(arg, address_at(r, ring, index));
}
