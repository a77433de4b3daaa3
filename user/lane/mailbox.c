/* SPDX-License-Identifier: MIT */
/*
 * Frames between the lanes of one interface: a ring of copies for each ordered pair, one producer
 * and one consumer. A lane that sleeps says so; who gives it mail then rings its doorbell.
 */
#include "user/lane/internal.h"

#include <string.h>
#include <unistd.h>

static struct mr_mail_ring *ring_between(const struct mr_lane *l, uint32_t to, uint32_t from)
{
	struct mr_mail_ring *rings = (struct mr_mail_ring *)(void *)(l->s.mailbox + 1);

	return &rings[(size_t)to * l->s.n_lanes + from];
}

static void ring_doorbell(struct mr_lane *l, uint32_t to)
{
	uint64_t one = 1;

	/* Full fence: the mail is visible before we look whether its reader sleeps; pairs with
	 * mr_lane_doze(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&l->s.mailbox->asleep[to].value, __ATOMIC_RELAXED) && l->s.doorbells &&
	    write(l->s.doorbells[to], &one, sizeof(one)) < 0)
		return; /* the counter is full: the reader is being woken anyway */
}

/* @opens: no flow knows it yet; half of the ring is enough for such, a flood leaves the rest. */
bool lane_mail_send(struct mr_lane *l, uint32_t to, enum mr_mail_kind kind, const uint8_t *frame,
		    uint32_t len, uint32_t origin, uint32_t hops, bool opens)
{
	uint32_t room = opens ? MR_MAIL_SLOTS / 2 : MR_MAIL_SLOTS;
	struct mr_mail_ring *r = ring_between(l, to, l->s.lane);
	uint32_t producer = r->producer;
	struct mr_mail *m = &r->mail[producer % MR_MAIL_SLOTS];

	/* Acquire: pairs with the reader's release; it is done with the slot. */
	if (producer - __atomic_load_n(&r->consumer, __ATOMIC_ACQUIRE) >= room ||
	    len > MR_MAIL_BYTES)
		return false;
	m->kind = (uint16_t)kind;
	m->len = (uint16_t)len;
	m->origin = (uint16_t)origin;
	m->hops = (uint16_t)hops;
	memcpy(m->frame, frame, len);
	/* Release: the mail is written before the reader may see it. */
	__atomic_store_n(&r->producer, producer + 1, __ATOMIC_RELEASE);
	l->stats->mail_out++;
	ring_doorbell(l, to);
	return true;
}

/* Copy it into a frame of ours and let it go the way of every frame. */
static void take_mail(struct mr_lane *l, const struct mr_mail *m)
{
	uint32_t len = m->len;
	uint32_t frame;

	if (len > MR_MAIL_BYTES || len > l->frames.frame_bytes - MR_TX_OFFSET)
		return;
	frame = mr_frame_take(&l->frames, MR_FRAME_HAND, true);
	if (frame == MR_NONE) {
		l->stats->drop.no_frame++;
		return;
	}
	memcpy(mr_frame_bytes_at(&l->frames, frame) + MR_TX_OFFSET, m->frame, len);
	l->stats->mail_in++;
	lane_frame_arrives(l, frame, MR_TX_OFFSET, len, m);
}

static uint32_t drain(struct mr_lane *l, struct mr_mail_ring *r)
{
	/* Acquire: pairs with the writer's release; the mail is whole. */
	uint32_t n = __atomic_load_n(&r->producer, __ATOMIC_ACQUIRE) - r->consumer;

	if (n > MR_MAIL_SLOTS)
		n = MR_MAIL_SLOTS;
	for (uint32_t i = 0; i < n; i++) {
		take_mail(l, &r->mail[r->consumer % MR_MAIL_SLOTS]);
		/* Release: our reads are done before the slot is written again. */
		__atomic_store_n(&r->consumer, r->consumer + 1, __ATOMIC_RELEASE);
	}
	return n;
}

unsigned int lane_mail_receive(struct mr_lane *l)
{
	unsigned int n = 0;
	uint32_t lanes;

	if (!l->s.mailbox)
		return 0;
	lanes = mr_mailbox_lanes(l->s.mailbox, l->s.n_lanes);
	for (uint32_t from = 0; from < lanes; from++)
		if (from != l->s.lane)
			n += drain(l, ring_between(l, l->s.lane, from));
	return n;
}

bool lane_mail_waits(const struct mr_lane *l)
{
	uint32_t lanes = l->s.mailbox ? mr_mailbox_lanes(l->s.mailbox, l->s.n_lanes) : 0;

	for (uint32_t from = 0; from < lanes; from++) {
		struct mr_mail_ring *r = ring_between(l, l->s.lane, from);

		if (from != l->s.lane &&
		    __atomic_load_n(&r->producer, __ATOMIC_ACQUIRE) != r->consumer)
			return true;
	}
	return false;
}

static bool doze_for_mail(struct mr_lane *l)
{
	if (!l->s.mailbox)
		return true;
	__atomic_store_n(&l->s.mailbox->asleep[l->s.lane].value, 1, __ATOMIC_RELAXED);
	/* Full fence: we are seen asleep before we look for mail; pairs with ring_doorbell(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !lane_mail_waits(l);
}

bool mr_lane_doze(struct mr_lane *l)
{
	bool quiet = doze_for_mail(l);

	return l->attached ? lane_attached_doze(l) && quiet : quiet;
}

void mr_lane_wake(struct mr_lane *l)
{
	if (l->s.mailbox)
		__atomic_store_n(&l->s.mailbox->asleep[l->s.lane].value, 0, __ATOMIC_RELAXED);
	if (l->attached)
		lane_attached_wake(l);
}
