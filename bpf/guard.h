/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What may come near a lane: block lists, and limits of how much a source or a rule may take. The
 * word of the rules' generation, which every frame reads anyway, says which parts are on; what is
 * off costs one test of a register. All of it stands in functions of its own, so that the
 * registers of the usual way are not taken.
 *
 * Block lists are for all IP frames of an interface that has lanes. Limits are for what a rule
 * gives to a lane: what the kernel serves is its firewall's business, and answers to a lane's own
 * connections were asked for.
 */
#ifndef MR_BPF_GUARD_H
#define MR_BPF_GUARD_H

#include "maps.h"
#include "parse.h"
#include "steer.h"

enum {
	RATE_TRIES = 8, /* CPUs that come in between */
	V4_IN_V6_BITS = 96,
};

/* Who sends, and what of it matters here: all of it set, so that any function may be handed it. */
struct sender {
	__u32 addr[4];
	__u32 family;
	__u32 is_new; /* a SYN that opens a connection */
};

static __always_inline void find_sender(struct sender *s, const struct flow *f)
{
	__builtin_memcpy(s->addr, f->saddr, sizeof(s->addr));
	s->family = f->family;
	s->is_new = 0;
}

/* Out of line for their prototypes, as look_up_rule() is. */
static __noinline const struct mr_block_entry *look_up_block4(void *map,
							      const struct mr_block4_key *key)
{
	return bpf_map_lookup_elem(map, key);
}

static __noinline const struct mr_block_entry *look_up_block6(void *map,
							      const struct mr_block6_key *key)
{
	return bpf_map_lookup_elem(map, key);
}

/* The longest prefix around the source; NULL: on no list. */
static __always_inline const struct mr_block_entry *look_up_block(const struct sender *s,
								  __u32 parity)
{
	struct mr_block4_key key4 = { .prefix_bits = 32 };
	struct mr_block6_key key6 = { .prefix_bits = 128 };
	void *map;

	if (s->family == 4) {
		map = bpf_map_lookup_elem(&mr1_block4, &parity);
		__builtin_memcpy(key4.addr, &s->addr[3], sizeof(key4.addr));
		return map ? look_up_block4(map, &key4) : NULL;
	}
	map = bpf_map_lookup_elem(&mr1_block6, &parity);
	__builtin_memcpy(key6.addr, s->addr, sizeof(key6.addr));
	return map ? look_up_block6(map, &key6) : NULL;
}

/*
 * Whether the sender is blocked. An ICMP error comes from whom it is about. Not static, as limit():
 * the verifier walks through such a function once, not once for each way to it.
 */
__noinline int is_blocked(const struct sender *s, __u32 parts, __u32 frame_bytes)
{
	const struct mr_block_entry *b;

	if (!s)
		return false;
	b = look_up_block(s, !!(parts & MR_GUARD_BLOCK_PARITY));
	if (!b)
		return false;
	if (b->action == MR_BLOCK_DROP) {
		count(&mr1_gstat, MR_GUARD_BLOCKED_STAT, frame_bytes);
		return true;
	}
	count(&mr1_gstat, MR_GUARD_ALLOWED_STAT, frame_bytes);
	return false;
}

/* The parser came as far as addresses. */
static __always_inline bool has_addresses(enum mr_verdict v)
{
	const __u64 verdicts = 1ull << MR_V_TAKE | 1ull << MR_V_TAKE_ICMP | 1ull << MR_V_FRAGMENT |
			       1ull << MR_V_FRAGMENT_STEERED | 1ull << MR_V_NOT_L4 |
			       1ull << MR_V_TCP_SHORT | 1ull << MR_V_TCP_BAD |
			       1ull << MR_V_UDP_SHORT | 1ull << MR_V_ICMP_SHORT |
			       1ull << MR_V_ICMP_OTHER;

	return verdicts >> v & 1;
}

/*
 * GCRA. True: it conforms, and @tat has moved on. Whoever is overtaken by other CPUs all the time
 * goes through: limits are not to drop for want of luck. A time further ahead than this rate can
 * have brought it is from another rate, before a change: it becomes that of a burst used up.
 */
static __always_inline bool conforms(__u64 *tat, struct mr_guard_rate rate, __u64 now)
{
	__u64 tolerance = (__u64)(rate.burst - 1) * rate.interval_ns;

	for (int i = 0; i < RATE_TRIES; i++) {
		__u64 was = *(volatile __u64 *)tat, next = was;

		if ((__s64)(was - now) > (__s64)tolerance) {
			next = now + tolerance + rate.interval_ns;
			if ((__s64)(was - next) > 0)
				__sync_val_compare_and_swap(tat, was, next);
			return false;
		}
		if ((__s64)(was - now) < 0)
			next = now;
		next += rate.interval_ns;
		if (__sync_val_compare_and_swap(tat, was, next) == was)
			return true;
	}
	return true;
}

/* One reading of a rate, so that interval and burst belong together. */
static __always_inline struct mr_guard_rate read_rate(const struct mr_guard_rate *at)
{
	union {
		__u64 word;
		struct mr_guard_rate rate;
	} r = { .word = *(const volatile __u64 *)at };

	_Static_assert(sizeof(struct mr_guard_rate) == sizeof(__u64), "a rate is one word");
	return r.rate;
}

/* A word of an address without the bits behind a prefix of which @bits fall to it or before it. */
static __always_inline __u32 mask_word(__u32 word, __s32 bits)
{
	if (bits >= 32)
		return word;
	if (bits <= 0)
		return 0;
	return word & mr_to_be32(~0u << (32 - (bits & 31))).raw;
}

static __always_inline struct mr_guard_source source_key(const struct sender *s, __u32 bits,
							 __u32 limit)
{
	struct mr_guard_source key = { .limit = limit };

	for (int i = 0; i < 4; i++)
		key.addr[i] = mask_word(s->addr[i], (__s32)bits - 32 * i);
	return key;
}

/* The state of a prefix, made if it is new; NULL: there is none to be had. */
static __always_inline struct mr_guard_state *state_of(const struct mr_guard_source *key)
{
	struct mr_guard_state fresh = { 0 }, *s = bpf_map_lookup_elem(&mr1_gstate, key);

	if (s)
		return s;
	bpf_map_update_elem(&mr1_gstate, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&mr1_gstate, key);
}

/* Both limits of @state; what a refused SYN took of the packets is not given back. */
static __always_inline int over_limit(struct mr_guard_state *state, struct mr_guard_rate packets,
				      struct mr_guard_rate syns, const struct sender *s, __u64 now)
{
	if (packets.interval_ns && !conforms(&state->packets_ns, packets, now))
		return 1;
	if (syns.interval_ns && s->is_new && !conforms(&state->syns_ns, syns, now))
		return 2;
	return 0;
}

/* 0, or 1 + the counter of what the source has too much of. */
static __noinline __u32 check_limit(const struct sender *s, const struct mr_guard_limit *l,
				    __u32 limit, __u64 now)
{
	__u32 bits = s->family == 4 ? V4_IN_V6_BITS + l->ipv4_bits : l->ipv6_bits;
	struct mr_guard_source key = source_key(s, bits, limit);
	struct mr_guard_state *state = state_of(&key);
	int over;

	if (!state)
		return 0;
	over = over_limit(state, read_rate(&l->packets), read_rate(&l->syns), s, now);
	if (!over)
		return 0;
	return over == 1 ? 1 + MR_GUARD_SOURCE_PACKETS_STAT : 1 + MR_GUARD_SOURCE_SYNS_STAT;
}

static __always_inline bool is_source_over(const struct sender *s, __u32 parts, __u64 now,
					   __u32 frame_bytes)
{
	__u32 parity = !!(parts & MR_GUARD_PARITY);
	__u32 monitor = parts & ONLY_COUNTED ? MR_GUARD_MONITOR_SOURCE : 0;
	const struct mr_guard *g = bpf_map_lookup_elem(&mr1_guard, &parity);

	for (__u32 i = 0; g && i < MR_MAX_GUARD_LIMITS && i < g->n_limits; i++) {
		__u32 over = check_limit(s, &g->limit[i], i | monitor, now);

		if (over) {
			count(&mr1_gstat, over - 1, frame_bytes);
			return true;
		}
	}
	return false;
}

/* Out of line, for the stack of those that do not only count. */
static __noinline struct mr_guard_state *monitor_state_of_rule(__u32 rule_id)
{
	struct mr_guard_source key = { .limit = rule_id | MR_GUARD_MONITOR_RULE };

	return state_of(&key);
}

static __always_inline bool is_rule_over(const struct sender *s, __u32 rule_id, __u32 parts,
					 __u64 now, __u32 frame_bytes)
{
	struct mr_guard_rule *r = bpf_map_lookup_elem(&mr1_grule, &rule_id);
	struct mr_guard_state *state;
	int over;

	if (!r)
		return false;
	state = parts & ONLY_COUNTED ? monitor_state_of_rule(rule_id) : &r->state;
	if (!state)
		return false;
	over = over_limit(state, read_rate(&r->packets), read_rate(&r->syns), s, now);
	if (!over)
		return false;
	count(&mr1_gstat, over == 1 ? MR_GUARD_RULE_PACKETS_STAT : MR_GUARD_RULE_SYNS_STAT,
	      frame_bytes);
	count(&mr1_grstat, rule_id, frame_bytes);
	return true;
}

/*
 * Whether a frame that a rule gives to a lane is too much: the verdict, or -1. @parts: enum
 * mr_guard_part, and ONLY_COUNTED, for which states are others. The source comes
 * first, so that one that sends too much takes nothing of what others have in the rule.
 */
__noinline int limit(const struct sender *s, __u32 rule_id, __u32 parts, __u32 frame_bytes)
{
	__u64 now = bpf_ktime_get_ns();

	if (!s)
		return -1;
	if (parts & MR_GUARD_SOURCE && is_source_over(s, parts, now, frame_bytes))
		return MR_V_GUARD_SOURCE;
	if (parts & MR_GUARD_RULE && is_rule_over(s, rule_id, parts, now, frame_bytes))
		return MR_V_GUARD_RULE;
	return -1;
}

/* As limit(), of a frame; with what that needs on a stack of its own. */
static __noinline int limit_frame(const struct flow *f, __u32 rule_id, __u32 parts,
				  __u32 frame_bytes)
{
	struct sender s;

	find_sender(&s, f);
	s.is_new = f->protocol == IPPROTO_TCP && is_new_connection(f);
	return limit(&s, rule_id, parts, frame_bytes);
}

static __noinline int is_from_blocked(const struct flow *f, __u32 parts, __u32 frame_bytes)
{
	struct sender s;

	find_sender(&s, f);
	return is_blocked(&s, parts, frame_bytes);
}

#endif
