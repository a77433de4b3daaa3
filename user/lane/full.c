/* SPDX-License-Identifier: MIT */
/*
 * Sources at their limit of connections, told to the XDP program (include/shared/mr_full.h), which
 * then drops their SYNs. A source is published when a SYN of it is refused, so that the few places
 * are of those that go on asking; and no longer when it may have a connection again. What is
 * published counts only while the lane's heartbeat is fresh, and a new worker begins with nothing.
 */
#include <linux/types.h>
#include <string.h>

#include "shared/mr_guard.h"
#include "user/lane/internal.h"

static __u64 *place_of(const struct mr_lane *l, const uint8_t remote[16], __u64 *word)
{
	struct mr_full *f = l->s.full;
	uint32_t addr[4];

	memcpy(addr, remote, sizeof(addr));
	if (mr_is_ipv4(remote)) {
		*word = mr_full_ipv4(addr);
		return &f->ipv4[mr_full_place(*word, f->key)];
	}
	*word = mr_full_ipv6(addr);
	return &f->ipv6[mr_full_place(*word, f->key)];
}

static void put(__u64 *place, __u64 word)
{
	__atomic_store_n(place, word, __ATOMIC_RELAXED);
}

static void flag(const struct mr_lane *l, bool on)
{
	struct mr_beat *b = l->s.beat;
	uint32_t syn = b->syn & ~(uint32_t)MR_SYN_FULL;

	/* Release: with the flag the program finds key and source. */
	__atomic_store_n(&b->syn, syn | (on ? MR_SYN_FULL : 0), __ATOMIC_RELEASE);
}

/* Behind lane_overrun_init(), which has taken all flags away. */
void lane_full_init(struct mr_lane *l)
{
	static const uint8_t use[16] = "full sources";

	if (!l->s.full || !l->s.beat)
		return;
	memset(l->s.full->ipv4, 0, sizeof(l->s.full->ipv4));
	memset(l->s.full->ipv6, 0, sizeof(l->s.full->ipv6));
	l->s.full->key = mr_siphash13(&l->hash_key, use, sizeof(use)) | 1;
	l->n_full = 0;
}

void lane_full_note(struct mr_lane *l, const uint8_t remote[16])
{
	__u64 word, *place;

	if (!l->s.full || !l->s.beat)
		return;
	place = place_of(l, remote, &word);
	if (!word || *place == word)
		return;
	l->n_full += !*place;
	put(place, word);
	flag(l, true);
}

void lane_source_sub(struct mr_lane *l, const uint8_t remote[16], enum mr_source_count which)
{
	__u64 word, *place;

	mr_sources_sub(&l->sources, remote, which);
	if (!l->n_full || lane_source_is_full(l, remote))
		return;
	place = place_of(l, remote, &word);
	if (!word || *place != word)
		return;
	put(place, 0);
	if (--l->n_full == 0)
		flag(l, false);
}
