/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which rule names a frame, where rules have prefixes, ranges, sources, interfaces or priorities.
 *
 *	field of the frame --trie--> class --array--> set of the rules that the field fits
 *	rule of the frame = first rule of the order that is in the sets of all fields
 *
 * The loader has done the hard part: a prefix's class has the rules of all prefixes around it, and
 * the order is that of the rules' priorities. So a frame costs at most a look-up a field and
 * MR_RULE_WORDS steps, however many rules and prefixes there are.
 */
#ifndef MR_BPF_CLASSES_H
#define MR_BPF_CLASSES_H

#include "maps.h"
#include "parse.h"

/* The maps of one generation. */
struct classes {
	void *fields;
	void *sets;
	void *order;
};

/* False: the generation is not all there. */
static __always_inline bool find_classes(struct classes *c, __u32 parity)
{
	c->fields = bpf_map_lookup_elem(&mr1_field, &parity);
	c->sets = bpf_map_lookup_elem(&mr1_class, &parity);
	c->order = bpf_map_lookup_elem(&mr1_order, &parity);
	return c->fields && c->sets && c->order;
}

/* Out of line for its prototype, as look_up_rule() is. */
static __noinline const struct mr_rule_set *rules_of_field(void *fields, void *sets,
							   const struct mr_field_key *key)
{
	const __u32 *class = bpf_map_lookup_elem(fields, key);

	return class ? bpf_map_lookup_elem(sets, class) : NULL;
}

/* Number of the lowest bit, by counting those below it: no table, no branches. */
static __always_inline __u32 lowest_bit(__u64 word)
{
	__u64 n = (word & -word) - 1;

	n -= n >> 1 & 0x5555555555555555;
	n = (n & 0x3333333333333333) + (n >> 2 & 0x3333333333333333);
	n = (n + (n >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return n * 0x0101010101010101 >> 56 & 63;
}

/*
 * The first place that all sets have; MR_MAX_RULES: none. A global function, for its loop: the
 * verifier looks at it once, not once for each way to here.
 */
__noinline __u32 mr_first_common(const struct mr_rule_set *a, const struct mr_rule_set *b,
				 const struct mr_rule_set *c, const struct mr_rule_set *d,
				 const struct mr_rule_set *e)
{
	__u64 words;

	if (!a || !b || !c || !d || !e)
		return MR_MAX_RULES;
	words = a->words & b->words & c->words & d->words & e->words;
	for (int i = 0; i < MR_RULE_WORDS && words; i++) {
		__u32 w = lowest_bit(words);
		__u64 rules = a->rules[w] & b->rules[w] & c->rules[w] & d->rules[w] & e->rules[w];

		if (rules)
			return w * 64 + lowest_bit(rules);
		words &= words - 1;
	}
	return MR_MAX_RULES;
}

/* Store by store: clang would copy a key with constant fields out of .rodata, which is a map. */
static __always_inline void begin_key(struct mr_field_key *key, __u32 bytes, enum mr_field field,
				      __u8 family)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->bits = MR_FIELD_BITS(bytes);
	key->field = field;
	key->family = family;
}

static __always_inline const struct mr_rule_set *
rules_of_address(const struct classes *c, enum mr_field field, __u8 family, const __u32 addr[4])
{
	struct mr_field_key key;

	begin_key(&key, 16, field, family);
	__builtin_memcpy(key.data, addr, sizeof(key.data));
	return rules_of_field(c->fields, c->sets, &key);
}

static __always_inline const struct mr_rule_set *rules_of_number(const struct classes *c,
								 enum mr_field field, __u32 number)
{
	struct mr_field_key key;

	begin_key(&key, 4, field, 0);
	__builtin_memcpy(key.data, &number, sizeof(number));
	return rules_of_field(c->fields, c->sets, &key);
}

static __always_inline const struct mr_rule_set *rules_of_port(const struct classes *c,
							       const struct flow *f)
{
	struct mr_field_key key;

	begin_key(&key, 3, MR_FIELD_PORT, 0);
	key.data[0] = f->protocol;
	__builtin_memcpy(key.data + 1, &f->dport, sizeof(f->dport));
	return rules_of_field(c->fields, c->sets, &key);
}

/* A field that no rule looks at has no say: the ports' set once more leaves all as it is. */
static __noinline const struct mr_rule *classify(const struct classes *c, __u8 shapes,
						 const struct flow *f, __u32 ifindex)
{
	const struct mr_rule_set *source, *destination, *port, *vlan, *interface;
	__u32 place;

	port = rules_of_port(c, f);
	destination = rules_of_address(c, MR_FIELD_DESTINATION, f->family, f->daddr);
	if (!port || !destination)
		return NULL;
	source = vlan = interface = port;
	if (shapes & MR_SHAPE_SOURCES)
		source = rules_of_address(c, MR_FIELD_SOURCE, f->family, f->saddr);
	if (shapes & MR_SHAPE_VLANS)
		vlan = rules_of_number(c, MR_FIELD_VLAN, f->vlan);
	if (shapes & MR_SHAPE_INTERFACES)
		interface = rules_of_number(c, MR_FIELD_INTERFACE, ifindex);
	if (!source || !vlan || !interface)
		return NULL;
	place = mr_first_common(port, destination, source, vlan, interface);
	return bpf_map_lookup_elem(c->order, &place);
}

#endif
