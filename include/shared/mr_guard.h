/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * Records of the guard's maps: what is dropped, limited or answered before a lane sees it. Which
 * parts are on stands in the word of the rules' generation (mr_generation.promises), so that a
 * frame pays nothing for those that are off.
 *
 * Includes nothing but mr_endian.h: define __u8 .. __u64 first.
 *
 * map           type, entries                       key                    value
 * mr1_block4    ARRAY_OF_MAPS 2                     u32 parity             one generation of the
 * list: (inner)     LPM_TRIE MR_MAX_BLOCKS              struct mr_block4_key   struct
 * mr_block_entry mr1_block6    ARRAY_OF_MAPS 2                     u32 parity             the same
 * for IPv6: (inner)     LPM_TRIE MR_MAX_BLOCKS              struct mr_block6_key   struct
 * mr_block_entry mr1_guard     ARRAY 2                             u32 parity             struct
 * mr_guard mr1_gstate    LRU_HASH MR_MAX_GUARD_STATES        struct mr_guard_source struct
 * mr_guard_state mr1_grule     ARRAY MR_MAX_RULES                  u32 rule id            struct
 * mr_guard_rule mr1_gstat     PERCPU_ARRAY MR_GUARD_COUNTS        u32 enum mr_guard_stat struct
 * mr_count mr1_grstat    PERCPU_ARRAY MR_MAX_RULES           u32 rule id            struct
 * mr_count, dropped mr1_secret    ARRAY 1                             u32                    struct
 * mr_guard_secret
 */
#ifndef MR_GUARD_H
#define MR_GUARD_H

#include "mr_endian.h"

enum {
	MR_MAX_BLOCKS = 1 << 20,
	MR_MAX_GUARD_LIMITS = 4,
	MR_MAX_GUARD_STATES = 65536,
};

/* In mr_generation.promises, beside enum mr_promise. */
enum mr_guard_part {
	MR_GUARD_BLOCK = 1 << 2,	/* the block lists hold something */
	MR_GUARD_SOURCE = 1 << 3,	/* sources have limits */
	MR_GUARD_RULE = 1 << 4,		/* some rule has limits */
	MR_GUARD_BLOCK_PARITY = 1 << 5, /* which inner maps of mr1_block4, mr1_block6 are active */
	MR_GUARD_PARITY = 1 << 6,	/* which record of mr1_guard is active */

	MR_GUARD_LIMITS = MR_GUARD_SOURCE | MR_GUARD_RULE,
	MR_GUARD_PARTS = MR_GUARD_BLOCK | MR_GUARD_LIMITS | MR_GUARD_BLOCK_PARITY | MR_GUARD_PARITY,
};

struct mr_block4_key {
	__u32 prefix_bits;
	__u8 addr[4];
};

struct mr_block6_key {
	__u32 prefix_bits;
	__u8 addr[16];
};

enum mr_block_action {
	MR_BLOCK_DROP = 1,
	MR_BLOCK_ALLOW = 2, /* an exception inside a longer-reaching prefix */
};

struct mr_block_entry {
	__u32 action; /* enum mr_block_action */
	__u32 pad;
};

/*
 * How often something may happen: one word, which the program reads at once. GCRA (ITU-T I.371):
 * the theoretical arrival time of the next one moves on by the interval with each, and may lie
 * burst - 1 intervals ahead of the clock at most.
 */
struct mr_guard_rate {
	__u32 interval_ns; /* 0: no limit */
	__u32 burst;	   /* at least 1 */
};

/* Limits of each prefix that packets come from. */
struct mr_guard_limit {
	struct mr_guard_rate packets;
	struct mr_guard_rate syns; /* new connections */
	__u8 ipv4_bits;		   /* 0 to 32 */
	__u8 ipv6_bits;		   /* 0 to 128 */
	__u8 pad[6];
};

struct mr_guard {
	__u32 n_limits;
	__u32 pad;
	struct mr_guard_limit limit[MR_MAX_GUARD_LIMITS];
};

struct mr_guard_source {
	__u32 addr[4]; /* v4 as ::ffff:a.b.c.d, all bits behind the prefix zero */
	__u32 limit;   /* its index, or one of these, with it or a rule's id */
};

/* So mode monitor counts, and what is enforced keeps its own state. */
enum {
	MR_GUARD_MONITOR_SOURCE = 1 << 29,
	MR_GUARD_MONITOR_RULE = 1 << 30, /* of all sources: addr is zero */
};

/* Theoretical arrival times, CLOCK_MONOTONIC. */
struct mr_guard_state {
	__u64 packets_ns;
	__u64 syns_ns;
};

struct mr_guard_rule {
	struct mr_guard_rate packets;
	struct mr_guard_rate syns;
	struct mr_guard_state state; /* the program's */
	__u8 ttl;		     /* of answers to SYNs, 0: 64 */
	__u8 dscp;
	__u8 pad[6];
};

/* What the guard did, or in mode monitor would have done. The words are the tools'. */
#define MR_GUARD_STATS(S)                                                                          \
	S(BLOCKED, blocked, "frames from a source on a block list")                                \
	S(ALLOWED, allowed, "frames that an allow entry let through")                              \
	S(SOURCE_PACKETS, source_packets, "frames over a source's packet limit")                   \
	S(SOURCE_SYNS, source_syns, "SYNs over a source's limit of new connections")               \
	S(RULE_PACKETS, rule_packets, "frames over a rule's packet limit")                         \
	S(RULE_SYNS, rule_syns, "SYNs over a rule's limit of new connections")                     \
	S(SYNS_ANSWERED, syns_answered, "SYNs answered by a cookie in XDP")                        \
	S(SYNS_ODD, syns_odd, "SYNs with IP options or extension headers, dropped meanwhile")

enum mr_guard_stat {
#define S(name, field, text) MR_GUARD_##name##_STAT,
	MR_GUARD_STATS(S)
#undef S
		MR_GUARD_COUNTS
};

/* The key of cookies, which all lanes have: for root's eyes alone, as its pin's mode says. */
struct mr_guard_secret {
	__u64 key[2]; /* SipHash-2-4 */
};

/*
 * What a lane's SYN-ACKs say, written by the lane into its beat (struct mr_beat), so that the
 * program's are the same. A lane that is overrun by SYNs sets the flag; the program counts.
 */
enum mr_syn_flag {
	MR_SYN_ANSWER = 1 << 0,	    /* the program answers SYNs */
	MR_SYN_TIMESTAMPS = 1 << 1, /* options that the lane agrees on */
	MR_SYN_WINDOW_SCALE = 1 << 2,
	MR_SYN_SACK = 1 << 3,
	MR_SYN_FULL = 1 << 4, /* some sources stand in mr1_full (mr_full.h) */

	MR_SYN_LOOK = MR_SYN_ANSWER | MR_SYN_FULL, /* else SYNs are as all frames */
};

#endif
