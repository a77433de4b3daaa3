/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * Sources that have as many connections with a lane as they may have: the value of the map
 * mr1_full, whose key is a slot. The lane alone knows how many that are (user/lane/full.c); the XDP
 * program drops their SYNs (bpf/full.h) while the flag MR_SYN_FULL stands in the lane's beat and
 * the beat is fresh.
 *
 * A source is one word: an IPv4 address, or the first half of an IPv6 address. A word is written
 * and read whole, so nobody ever believes half a source. Each has just one place, by a keyed hash;
 * of two that meet there one stands there, and the lane refuses the other one itself.
 *
 * Includes nothing: define __u8 .. __u64 first.
 */
#ifndef MR_FULL_H
#define MR_FULL_H

enum {
	MR_FULL_PLACE_BITS = 8,
	MR_FULL_PLACES = 1 << MR_FULL_PLACE_BITS,
	MR_FULL_LET = 64,
};

struct mr_full {
	__u64 key; /* of the hash, odd; the lane's secret */
	__u64 pad[7];
	__u64 ipv4[MR_FULL_PLACES]; /* 0: nobody */
	__u64 ipv6[MR_FULL_PLACES];
	__u64 let_ns[MR_FULL_LET]; /* the program's: when a SYN was let through, by place */
};

/* @addr: as four words, in network order, IPv4 mapped or not: the last one is its address. */
static inline __u64 mr_full_ipv4(const __u32 addr[4])
{
	return 1ull << 32 | addr[3];
}

static inline __u64 mr_full_ipv6(const __u32 addr[4])
{
	return (__u64)addr[1] << 32 | addr[0];
}

static inline __u32 mr_full_place(__u64 word, __u64 key)
{
	return (__u32)((word * key) >> (64 - MR_FULL_PLACE_BITS));
}

#endif
