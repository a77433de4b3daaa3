/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SYNs of sources that have as many connections with a lane as they may have, as the lane says in
 * mr1_full: dropped before anything is known of a connection. A SYN a second goes through, for only
 * the lane can tell one of a connection that it has: a peer that lost its memory learns of it by
 * the answer (RFC 5961 4), and TIME-WAIT is taken over.
 */
#ifndef MR_BPF_FULL_H
#define MR_BPF_FULL_H

#include "maps.h"
#include "parse.h"

enum {
	LET_NS = 1000000000,
};

/* Out of line: few frames come here. @now: the coarse clock. */
static __noinline bool is_source_full(const struct flow *f, __u32 slot, __u64 now,
				      bool only_counted)
{
	struct mr_full *m = bpf_map_lookup_elem(&mr1_full, &slot);
	volatile __u64 *let;
	__u64 word, there;
	__u32 place;

	if (!m)
		return false;
	word = f->family == 4 ? mr_full_ipv4(f->saddr) : mr_full_ipv6(f->saddr);
	place = mr_full_place(word, m->key) & (MR_FULL_PLACES - 1);
	there = f->family == 4 ? *(volatile __u64 *)&m->ipv4[place]
			       : *(volatile __u64 *)&m->ipv6[place];
	if (!word || there != word)
		return false;
	let = &m->let_ns[place & (MR_FULL_LET - 1)];
	/* signed: other CPUs' clocks may be a tick ahead; none is let through in mode monitor */
	if (only_counted || (__s64)(now - *let) < LET_NS)
		return true;
	*let = now;
	return false;
}

#endif
