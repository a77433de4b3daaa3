/* SPDX-License-Identifier: MIT */
/*
 * Index arithmetic of one AF_XDP ring: single producer, single consumer, one of them the kernel.
 * The indexes in shared memory run freely modulo 2^32 and live as long as the socket; each side
 * keeps copies of its own, so that it touches the other side's cache line only when it must.
 *
 * RX and completion: we consume, by peek and release. Fill and TX: we produce, by reserve and
 * submit. One thread at a time owns a ring.
 */
#ifndef MR_RING_H
#define MR_RING_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct mr_ring - our view of a ring
 * @producer, @consumer: the shared indexes
 * @flags:	of the kernel (XDP_RING_NEED_WAKEUP)
 * @desc:	@size entries; what an entry is, the ring's user knows
 */
struct mr_ring {
	uint32_t *producer;
	uint32_t *consumer;
	const uint32_t *flags;
	void *desc;
	uint32_t size; /* a power of two */
	uint32_t cached_prod;
	uint32_t cached_cons;
};

/**
 * mr_ring_init() - take up where the ring stands
 *
 * Our own index is what a former owner published last; the other one is as the kernel left it.
 */
static inline void mr_ring_init(struct mr_ring *r, uint32_t *producer, uint32_t *consumer,
				const uint32_t *flags, void *desc, uint32_t size)
{
	r->producer = producer;
	r->consumer = consumer;
	r->flags = flags;
	r->desc = desc;
	r->size = size;
	r->cached_prod = __atomic_load_n(producer, __ATOMIC_ACQUIRE);
	r->cached_cons = __atomic_load_n(consumer, __ATOMIC_ACQUIRE);
}

/** mr_ring_slot() - place of the entry with a free-running index */
static inline uint32_t mr_ring_slot(const struct mr_ring *r, uint32_t index)
{
	return index & (r->size - 1);
}

/**
 * mr_ring_peek() - look at filled entries without giving them back
 * @first:	out: index of the first entry
 * @max:	most entries wanted, at most the ring's size
 *
 * Entries [@first, @first + n) stay ours until mr_ring_release(). Never enters the kernel.
 *
 * Return: n, 0 to @max
 */
static inline uint32_t mr_ring_peek(struct mr_ring *r, uint32_t *first, uint32_t max)
{
	uint32_t n = r->cached_prod - r->cached_cons;

	if (n < max) {
		/* Acquire: pairs with the kernel's release after it filled them. */
		r->cached_prod = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
		n = r->cached_prod - r->cached_cons;
	}
	*first = r->cached_cons;
	return n < max ? n : max;
}

/** mr_ring_release() - give back the oldest @n peeked entries */
static inline void mr_ring_release(struct mr_ring *r, uint32_t n)
{
	r->cached_cons += n;
	/* Release: our reads are done before the kernel may refill them. */
	__atomic_store_n(r->consumer, r->cached_cons, __ATOMIC_RELEASE);
}

/**
 * mr_ring_room() - entries that could be reserved
 * @wanted:	the shared index is read only if fewer are known to be free
 *
 * Return: free entries, maybe more than @wanted
 */
static inline uint32_t mr_ring_room(struct mr_ring *r, uint32_t wanted)
{
	uint32_t room = r->size - (r->cached_prod - r->cached_cons);

	if (room < wanted) {
		/* Acquire: pairs with the kernel's release after it read them. */
		r->cached_cons = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
		room = r->size - (r->cached_prod - r->cached_cons);
	}
	return room;
}

/**
 * mr_ring_reserve() - up to @wanted empty entries
 * @first:	out: index of the first entry
 *
 * Write all of them, then mr_ring_submit() the same number.
 *
 * Return: how many, 0 to @wanted
 */
static inline uint32_t mr_ring_reserve(struct mr_ring *r, uint32_t *first, uint32_t wanted)
{
	uint32_t room = mr_ring_room(r, wanted);

	*first = r->cached_prod;
	return room < wanted ? room : wanted;
}

/** mr_ring_submit() - publish @n reserved entries */
static inline void mr_ring_submit(struct mr_ring *r, uint32_t n)
{
	r->cached_prod += n;
	/* Release: the entries are written before the kernel sees the index. */
	__atomic_store_n(r->producer, r->cached_prod, __ATOMIC_RELEASE);
}

/** mr_ring_is_drained() - has the consumer taken all that we submitted? */
static inline bool mr_ring_is_drained(const struct mr_ring *r)
{
	return __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE) == r->cached_prod;
}

/** mr_ring_has_flag() - one of the kernel's flags; they are hints, so no order is asked for */
static inline bool mr_ring_has_flag(const struct mr_ring *r, uint32_t flag)
{
	return __atomic_load_n(r->flags, __ATOMIC_RELAXED) & flag;
}

#endif
