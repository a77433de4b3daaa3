/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which rule names a frame. A look-up hashes, and a frame may need one for each shape of key that
 * the generation has; so each CPU remembers what it found (mr1_known), and the next frame to the
 * same address, port and VLAN costs a comparison, however many rules there are. Rules that ask for
 * more than that are classes.h's; where they ask for the source or the interface, a CPU remembers
 * those too (mr1_met).
 */
#ifndef MR_BPF_RULES_H
#define MR_BPF_RULES_H

#include "classes.h"
#include "maps.h"
#include "parse.h"

/* The rules of one generation. */
struct rules {
	union {
		__u64 word;
		struct mr_generation generation;
	};
};

_Static_assert(sizeof(struct mr_generation) == sizeof(__u64), "generation is one word");

/* One reading of the generation word, so that parity and shapes belong together. */
static __always_inline struct rules active_rules(const struct mr_config *cfg)
{
	return (struct rules){ .word = *(const volatile __u64 *)&cfg->generation };
}

/*
 * Kept out of line for its prototype: clang writes types that only an inner map names into BTF
 * just as forward declarations, and libbpf refuses those.
 */
static __noinline const struct mr_rule *look_up_rule(void *map, const struct mr_rule_key *key)
{
	return bpf_map_lookup_elem(map, key);
}

static __always_inline const struct mr_rule_key *rule_key(const struct flow *f)
{
#define AT(field, in_flow, in_key)                                                                 \
	_Static_assert(__builtin_offsetof(struct flow, in_flow) ==                                 \
			       __builtin_offsetof(struct mr_rule_key, in_key),                     \
		       field " of a flow is where a key has it");
	AT("address", daddr, addr)
	AT("VLAN", vlan, vlan)
	AT("port", dport, port)
	AT("protocol", protocol, protocol)
	AT("family", family, family)
#undef AT
	return (const struct mr_rule_key *)f;
}

/* The narrowest rule wins; shapes that this generation does not have cost nothing. */
static __noinline const struct mr_rule *look_up_shapes(void *map, __u8 shapes, const struct flow *f)
{
	struct mr_rule_key key = *rule_key(f);
	const struct mr_rule *rule;

	if (shapes & MR_SHAPE_ADDR_VLAN) {
		rule = look_up_rule(map, &key);
		if (rule)
			return rule;
	}
	if (shapes & MR_SHAPE_ADDR) {
		key.vlan = MR_VLAN_ANY;
		rule = look_up_rule(map, &key);
		if (rule)
			return rule;
	}
	__builtin_memset(key.addr, 0, sizeof(key.addr));
	if (shapes & MR_SHAPE_VLAN) {
		key.vlan = f->vlan;
		rule = look_up_rule(map, &key);
		if (rule)
			return rule;
	}
	if (!(shapes & MR_SHAPE_ANY))
		return NULL;
	key.vlan = MR_VLAN_ANY;
	return look_up_rule(map, &key);
}

/*
 * The last word of a key, put together in a register: the parser has just written its fields one
 * by one, and a processor that reads them back as one word waits for them.
 */
static __always_inline __u32 last_word(const struct flow *f)
{
	__u32 port = f->dport.raw, protocol = f->protocol, family = f->family;

	asm volatile("" : "+r"(port), "+r"(protocol)); /* or clang loads one word after all */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return port | protocol << 16 | family << 24;
#else
	return port << 16 | protocol << 8 | family;
#endif
}

/* Where a CPU remembers a key: all of it, stirred by Knuth's multiplier. */
static __always_inline struct mr_known *known_at(const struct flow *f, __u32 last)
{
	const __u64 *addr = (const __u64 *)f->daddr;
	__u64 folded = addr[0] ^ addr[1];
	__u32 at = folded ^ folded >> 32 ^ f->vlan << 16 ^ last;

	_Static_assert(MR_MAX_KNOWN == 1 << 9, "as many as bits are left");
	at = (at ^ at >> 15) * 2654435761u >> (32 - 9);
	return bpf_map_lookup_elem(&mr1_known, &at);
}

/* Piece by piece, as they were written. */
static __always_inline bool is_key_of(const struct mr_rule_key *key, const struct flow *f,
				      __u32 last)
{
	const __u64 *addr = (const __u64 *)f->daddr;
	const __u64 *is = (const __u64 *)key;

	return is[1] == addr[1] && is[0] == addr[0] && ((const __u32 *)key)[5] == last &&
	       key->vlan == f->vlan;
}

/* An entry is empty while it is written, in case that another run comes in between. */
static __noinline int remember(struct mr_known *known, __u64 generation, const struct flow *f,
			       const struct mr_rule *rule)
{
	if (rule) {
		*(volatile __u64 *)&known->hit_generation = 0;
		known->hit = *rule_key(f);
		known->rule = *rule;
		*(volatile __u64 *)&known->hit_generation = generation;
	} else {
		*(volatile __u64 *)&known->miss_generation = 0;
		known->miss = *rule_key(f);
		*(volatile __u64 *)&known->miss_generation = generation;
	}
	return 0;
}

/*
 * All of this is out of line, without an address in its caller's stack, which is scarce: of the 512
 * bytes the answer to a SYN takes half.
 */
static __noinline const struct mr_rule *find_classified(__u64 word, const struct flow *f,
							__u32 ifindex)
{
	struct rules r = { .word = word };
	struct classes c;

	if (!find_classes(&c, r.generation.parity & 1))
		return NULL;
	return classify(&c, r.generation.shapes, f, ifindex);
}

/* Where a CPU remembers a frame whose rule may depend on its source and interface. */
static __always_inline struct mr_met *met_at(const struct flow *f, __u32 ifindex)
{
	const __u64 *to = (const __u64 *)f->daddr, *from = (const __u64 *)f->saddr;
	__u64 folded = (from[0] ^ from[1]) * 11400714819323198485ull ^ to[0] ^ to[1];
	__u32 at = folded ^ folded >> 32 ^ f->vlan << 16 ^ last_word(f) ^ ifindex << 8;

	_Static_assert(MR_MAX_MET == 1 << 10, "as many as bits are left");
	at = (at ^ at >> 15) * 2654435761u >> (32 - 10);
	return bpf_map_lookup_elem(&mr1_met, &at);
}

static __always_inline bool is_met(const struct mr_met *m, const struct flow *f, __u32 ifindex)
{
	const __u64 *from = (const __u64 *)f->saddr, *is = (const __u64 *)m->saddr;

	return is_key_of(&m->key, f, last_word(f)) && is[0] == from[0] && is[1] == from[1] &&
	       m->ifindex == ifindex;
}

static __always_inline void meet(struct mr_met *m, __u64 generation, const struct flow *f,
				 __u32 ifindex, const struct mr_rule *rule)
{
	*(volatile __u64 *)&m->generation = 0;
	m->key = *rule_key(f);
	__builtin_memcpy(m->saddr, f->saddr, sizeof(m->saddr));
	m->ifindex = ifindex;
	m->is_named = rule != NULL;
	if (rule)
		m->rule = *rule;
	*(volatile __u64 *)&m->generation = generation;
}

/* What no rule names may be so because there are none, or not all there: nothing to remember. */
static __noinline bool is_all_there(__u64 word)
{
	const struct rules r = { .word = word };
	__u32 parity = r.generation.parity & 1;
	struct classes c;

	if (r.generation.shapes & MR_SHAPE_CLASSES)
		return find_classes(&c, parity);
	return bpf_map_lookup_elem(&mr1_rules, &parity) != NULL;
}

/* By the maps of the generation, whatever a CPU remembers. */
static __always_inline const struct mr_rule *look_up(__u64 word, const struct flow *f,
						     __u32 ifindex)
{
	const struct rules r = { .word = word };
	__u32 parity = r.generation.parity & 1;
	void *map;

	if (r.generation.shapes & MR_SHAPE_CLASSES)
		return find_classified(word, f, ifindex);
	map = bpf_map_lookup_elem(&mr1_rules, &parity);
	return map ? look_up_shapes(map, r.generation.shapes, f) : NULL;
}

static __noinline const struct mr_rule *find_met(__u64 word, const struct flow *f, __u32 ifindex)
{
	const struct rules r = { .word = word };
	const struct mr_rule *rule;
	struct mr_met *m = met_at(f, ifindex);

	if (!m)
		return NULL;
	if (m->generation == word && is_met(m, f, ifindex))
		return m->is_named ? &m->rule : NULL;
	rule = look_up(word, f, ifindex);
	if (r.generation.promises & MR_PROMISE_NUMBER && (rule || is_all_there(word)))
		meet(m, word, f, ifindex, rule);
	return rule;
}

/* What a CPU remembers of a key. Where neither source nor interface matters, it is all there is. */
struct memory {
	const struct mr_rule *rule; /* NULL: no rule names it */
	bool sure;		    /* false: nothing is remembered */
};

static __always_inline struct memory remembered(__u64 word, const struct flow *f)
{
	__u32 last = last_word(f);
	struct mr_known *known = known_at(f, last);

	if (known && known->hit_generation == word && is_key_of(&known->hit, f, last))
		return (struct memory){ &known->rule, true };
	if (known && known->miss_generation == word && is_key_of(&known->miss, f, last))
		return (struct memory){ NULL, true };
	return (struct memory){ NULL, false };
}

/* The rule of a key that is not remembered, which it is from now on. */
static __noinline const struct mr_rule *find_anew(__u64 word, const struct flow *f)
{
	const struct rules r = { .word = word };
	const struct mr_rule *rule = look_up(word, f, 0);
	struct mr_known *known;

	if (!(r.generation.promises & MR_PROMISE_NUMBER) || (!rule && !is_all_there(word)))
		return rule;
	known = known_at(f, last_word(f));
	if (known)
		remember(known, word, f, rule);
	return rule;
}

static __always_inline const struct mr_rule *find_keyed(__u64 word, const struct flow *f)
{
	struct memory m = remembered(word, f);

	return m.sure ? m.rule : find_anew(word, f);
}

/* NULL: no rule names it. */
static __always_inline const struct mr_rule *find_rule(__u64 word, const struct flow *f,
						       const struct xdp_md *ctx)
{
	const struct rules r = { .word = word };

	if (!r.generation.shapes)
		return NULL;
	if (r.generation.shapes & (MR_SHAPE_SOURCES | MR_SHAPE_INTERFACES))
		return find_met(word, f, ctx->ingress_ifindex);
	return find_keyed(word, f);
}

#endif
