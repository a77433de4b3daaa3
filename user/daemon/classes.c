/* SPDX-License-Identifier: MIT */
/*
 * Each rule says of each field which prefixes it takes: an entry. Entries sorted, a prefix follows
 * what it lies in; so one walk with a stack finds for every prefix the rules that take it: its own,
 * and those of the prefix around it. Equal sets of rules are one class, which is why a list of
 * 100,000 prefixes costs two classes and not 100,000.
 */
#include "user/daemon/classes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOBODY = MR_MAX_RULES, /* place of an entry that only makes a prefix known */
	STACK = 130,	       /* a field's 128 bits, each once, and none */
	BUCKETS = 1 << 14,
	MEMOS = 1 << 8,
	NONE = -1,
};

struct entry {
	struct mr_field_key key;
	uint32_t place;
};

struct around {
	struct mr_field_key key;
	uint32_t class;
};

/* "A prefix of this rule, in a prefix of that class, is of this class." */
struct memo {
	uint32_t in, place, class;
};

struct builder {
	struct mr_classes *c;
	struct entry *entry;
	size_t n, room;
	struct around stack[STACK];
	unsigned int depth;
	int32_t bucket[BUCKETS];
	int32_t *chain; /* of each class, the next of its bucket */
	struct memo memo[MEMOS];
};

static int add(struct builder *b, const struct mr_field_key *key, uint32_t place)
{
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 1024;
		struct entry *entry = realloc(b->entry, room * sizeof(*entry));

		if (!entry)
			return -ENOMEM;
		b->entry = entry;
		b->room = room;
	}
	b->entry[b->n++] = (struct entry){ *key, place };
	return 0;
}

/* ----- entries of each field ----- */

static int add_root(struct builder *b, enum mr_field field, uint8_t family, uint32_t place)
{
	struct mr_field_key key = { .bits = MR_FIELD_BITS(0),
				    .field = (uint8_t)field,
				    .family = family };

	return add(b, &key, place);
}

static int add_prefixes(struct builder *b, enum mr_field field, const struct mr_prefixes *s,
			uint32_t place)
{
	int err = 0;

	if (!s->given) {
		err = add_root(b, field, 4, place);
		return err ? err : add_root(b, field, 6, place);
	}
	for (uint32_t i = 0; !err && i < s->n; i++) {
		struct mr_field_key key = {
			.bits = MR_FIELD_BITS(0) + s->list[i].bits,
			.field = (uint8_t)field,
			.family = s->list[i].family,
		};

		memcpy(key.data, s->list[i].addr, sizeof(key.data));
		err = add(b, &key, place);
	}
	return err;
}

/* A range of ports is a few blocks of 2^k ports, each of which is a prefix. */
static int add_ports(struct builder *b, uint8_t protocol, uint32_t lo, uint32_t hi, uint32_t place)
{
	int err = 0;

	while (!err && lo <= hi) {
		struct mr_field_key key = { .field = MR_FIELD_PORT, .data = { protocol } };
		uint32_t k = 0;
		uint16_t port = htons((uint16_t)lo);

		while (k < 16 && !(lo >> k & 1) && lo + (2u << k) - 1 <= hi)
			k++;
		key.bits = MR_FIELD_BITS(1) + 16 - k;
		memcpy(key.data + 1, &port, sizeof(port));
		err = add(b, &key, place);
		lo += 1u << k;
	}
	return err;
}

static int add_protocols(struct builder *b, const struct mr_match *m, uint32_t place)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
	int err = 0;

	for (int i = 0; !err && i < 2; i++)
		if (!m->protocol || m->protocol == protocols[i])
			err = add_ports(b, protocols[i], m->port_lo, m->port_hi, place);
	return err;
}

static int add_number(struct builder *b, enum mr_field field, bool any, uint32_t number,
		      uint32_t place)
{
	struct mr_field_key key = { .bits = MR_FIELD_BITS(4), .field = (uint8_t)field };

	if (any)
		return add_root(b, field, 0, place);
	memcpy(key.data, &number, sizeof(number));
	return add(b, &key, place);
}

static int add_rule(struct builder *b, const struct mr_class_rule *r, uint32_t place)
{
	const struct mr_match *m = r->match;
	bool any_vlan = m->vlan == (uint32_t)MR_VLAN_ANY;
	bool any_interface = !m->interface[0];
	int err;

	b->c->shapes |= m->source.given ? MR_SHAPE_SOURCES : 0;
	b->c->shapes |= any_vlan ? 0 : MR_SHAPE_VLANS;
	b->c->shapes |= any_interface ? 0 : MR_SHAPE_INTERFACES;
	if (!any_interface && !r->ifindex)
		return 0;
	err = add_prefixes(b, MR_FIELD_SOURCE, &m->source, place);
	if (!err)
		err = add_prefixes(b, MR_FIELD_DESTINATION, &m->destination, place);
	if (!err)
		err = add_protocols(b, m, place);
	if (!err)
		err = add_number(b, MR_FIELD_VLAN, any_vlan, m->vlan, place);
	if (!err)
		err = add_number(b, MR_FIELD_INTERFACE, any_interface, r->ifindex, place);
	return err;
}

/* So that every look-up finds something. */
static int add_roots(struct builder *b)
{
	static const struct {
		enum mr_field field;
		uint8_t family;
	} roots[] = {
		{ MR_FIELD_SOURCE, 4 },	     { MR_FIELD_SOURCE, 6 }, { MR_FIELD_DESTINATION, 4 },
		{ MR_FIELD_DESTINATION, 6 }, { MR_FIELD_PORT, 0 },   { MR_FIELD_VLAN, 0 },
		{ MR_FIELD_INTERFACE, 0 },
	};
	int err = 0;

	for (unsigned int i = 0; !err && i < sizeof(roots) / sizeof(roots[0]); i++)
		err = add_root(b, roots[i].field, roots[i].family, NOBODY);
	return err;
}

/* ----- classes ----- */

static uint32_t bucket_of(const struct mr_rule_set *s)
{
	uint64_t h = s->words;

	for (int i = 0; i < MR_RULE_WORDS; i++)
		h = (h ^ s->rules[i]) * 0x9e3779b97f4a7c15;
	return (uint32_t)(h >> 40) % BUCKETS;
}

static int grow(struct builder *b)
{
	struct mr_classes *c = b->c;
	uint32_t room = c->room ? 2 * c->room : 64;
	struct mr_rule_set *set = realloc(c->set, room * sizeof(*set));
	int32_t *chain;

	if (!set)
		return -ENOMEM;
	c->set = set;
	chain = realloc(b->chain, room * sizeof(*chain));
	if (!chain)
		return -ENOMEM;
	b->chain = chain;
	c->room = room;
	return 0;
}

static int class_of_set(struct builder *b, const struct mr_rule_set *s, uint32_t *class)
{
	struct mr_classes *c = b->c;
	uint32_t at = bucket_of(s);
	int err;

	for (int32_t i = b->bucket[at]; i != NONE; i = b->chain[i])
		if (!memcmp(&c->set[i], s, sizeof(*s))) {
			*class = (uint32_t)i;
			return 0;
		}
	if (c->n_sets == MR_CLASSES_MOST)
		return -E2BIG;
	err = c->n_sets == c->room ? grow(b) : 0;
	if (err)
		return err;
	c->set[c->n_sets] = *s;
	b->chain[c->n_sets] = b->bucket[at];
	b->bucket[at] = (int32_t)c->n_sets;
	*class = c->n_sets++;
	return 0;
}

/* The class of entries @first to @last, which have the same key, inside class @in (NONE: nothing).
 */
static int class_of_entries(struct builder *b, int64_t in, const struct entry *first,
			    const struct entry *last, uint32_t *class)
{
	struct memo *m = &b->memo[(uint32_t)(in * 31 + first->place) % MEMOS];
	struct mr_rule_set s = { 0 };
	int err;

	if (first == last && in >= 0 && m->in == in && m->place == first->place) {
		*class = m->class;
		return 0;
	}
	if (in >= 0)
		s = b->c->set[in];
	for (const struct entry *e = first; e <= last; e++) {
		if (e->place == NOBODY)
			continue;
		s.rules[e->place / 64] |= 1ull << e->place % 64;
		s.words |= 1ull << e->place / 64;
	}
	err = class_of_set(b, &s, class);
	if (!err && first == last && in >= 0)
		*m = (struct memo){ (uint32_t)in, first->place, *class };
	return err;
}

/* ----- the walk ----- */

static int compare_keys(const struct mr_field_key *a, const struct mr_field_key *b)
{
	int c = memcmp(&a->field, &b->field, sizeof(*a) - sizeof(a->bits));

	return c ? c : (int)a->bits - (int)b->bits;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *p = a, *q = b;
	int c = compare_keys(&p->key, &q->key);

	return c ? c : (int)p->place - (int)q->place;
}

static bool lies_in(const struct mr_field_key *inner, const struct mr_field_key *outer)
{
	const uint8_t *a = &inner->field, *b = &outer->field;
	uint32_t whole = outer->bits / 8, rest = outer->bits % 8;

	return inner->bits >= outer->bits && !memcmp(a, b, whole) &&
	       (!rest || !((a[whole] ^ b[whole]) >> (8 - rest)));
}

static int visit(struct builder *b, const struct entry *first, const struct entry *last)
{
	struct mr_classes *c = b->c;
	int64_t in;
	uint32_t class;
	int err;

	while (b->depth && !lies_in(&first->key, &b->stack[b->depth - 1].key))
		b->depth--;
	in = b->depth ? (int64_t)b->stack[b->depth - 1].class : NONE;
	err = class_of_entries(b, in, first, last, &class);
	if (err || class == in)
		return err; /* what it lies in says the same */
	b->stack[b->depth++] = (struct around){ first->key, class };
	c->key[c->n_keys] = first->key;
	c->class_of[c->n_keys++] = class;
	return 0;
}

static int walk(struct builder *b)
{
	struct mr_classes *c = b->c;
	int err = 0;

	c->key = malloc(b->n * sizeof(*c->key));
	c->class_of = malloc(b->n * sizeof(*c->class_of));
	if (!c->key || !c->class_of)
		return -ENOMEM;
	qsort(b->entry, b->n, sizeof(*b->entry), compare_entries);
	for (size_t i = 0, j; !err && i < b->n; i = j) {
		for (j = i + 1; j < b->n; j++)
			if (compare_keys(&b->entry[i].key, &b->entry[j].key))
				break;
		err = visit(b, &b->entry[i], &b->entry[j - 1]);
	}
	return err;
}

static int compare_rules(const void *a, const void *b)
{
	const struct mr_class_rule *p = a, *q = b;
	int c = mr_match_compare(p->match, q->match);

	return c ? c : (int)p->rule.rule_id - (int)q->rule.rule_id;
}

void mr_class_rules_sort(struct mr_class_rule *rules, uint32_t n)
{
	if (n)
		qsort(rules, n, sizeof(*rules), compare_rules);
}

int mr_classes_build(struct mr_classes *c, struct mr_class_rule *rules, uint32_t n)
{
	struct builder *b = calloc(1, sizeof(*b));
	int err;

	*c = (struct mr_classes){ .shapes = MR_SHAPE_CLASSES };
	c->order = malloc((n ? n : 1) * sizeof(*c->order));
	if (!b || !c->order) {
		free(b);
		return -ENOMEM;
	}
	b->c = c;
	memset(b->bucket, 0xff, sizeof(b->bucket));
	for (unsigned int i = 0; i < MEMOS; i++)
		b->memo[i].in = UINT32_MAX;
	mr_class_rules_sort(rules, n);
	err = add_roots(b);
	for (uint32_t i = 0; !err && i < n; i++) {
		c->order[c->n_rules++] = rules[i].rule;
		err = add_rule(b, &rules[i], i);
	}
	if (!err)
		err = walk(b);
	free(b->entry);
	free(b->chain);
	free(b);
	return err;
}

void mr_classes_free(struct mr_classes *c)
{
	free(c->key);
	free(c->class_of);
	free(c->set);
	free(c->order);
	*c = (struct mr_classes){ 0 };
}
