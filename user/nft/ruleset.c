/* SPDX-License-Identifier: MIT */
#include "user/nft/ruleset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A rule under way, and where its sets are looked up. */
struct reading {
	const json_t *all; /* the array "nftables" */
	const json_t *rule;
	struct mr_nft_rule *out;
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void cannot(struct mr_nft_rule *r, const char *why)
{
	if (!r->why[0])
		snprintf(r->why, sizeof(r->why), "%s", why);
}

static bool same(const json_t *a, const json_t *b, const char *key_a, const char *key_b)
{
	return !strcmp(text(a, key_a), text(b, key_b));
}

/* ----- values: one, a range, a prefix, a set, the name of a set ----- */

static const json_t *named_set(const struct reading *g, const char *name)
{
	const json_t *each;
	size_t i;

	json_array_foreach(g->all, i, each)
	{
		const json_t *set = json_object_get(each, "set");

		if (set && !strcmp(text(set, "name"), name) &&
		    same(set, g->rule, "table", "table") && same(set, g->rule, "family", "family"))
			return json_object_get(set, "elem");
	}
	return NULL;
}

/* The members of a value; a value that is no list stands for itself. Borrowed. */
static const json_t *members(const struct reading *g, const json_t *value)
{
	const char *name = json_string_value(value);
	const json_t *set = json_object_get(value, "set");

	if (name && name[0] == '@')
		return named_set(g, name + 1);
	if (json_is_array(set))
		return set;
	return value;
}

/* Elements of sets may carry a time-out or a counter around their value. */
static const json_t *bare(const json_t *element)
{
	const json_t *v = json_object_get(json_object_get(element, "elem"), "val");

	return v ? v : element;
}

static bool add_port(struct mr_nft_rule *r, const json_t *v)
{
	const json_t *range = json_object_get(v, "range");
	json_int_t lo, hi;

	if (!range && !json_is_integer(v))
		return false;
	lo = json_integer_value(range ? json_array_get(range, 0) : v);
	hi = json_integer_value(range ? json_array_get(range, 1) : v);
	if (lo < 0 || hi < lo || hi > UINT16_MAX || r->n_ports == MR_NFT_PORTS)
		return false;
	r->port[r->n_ports++] = (struct mr_nft_ports){ (uint16_t)lo, (uint16_t)hi };
	return true;
}

static bool add_address(const json_t *v, char list[][MR_NFT_NAME], uint32_t *n)
{
	const json_t *prefix = json_object_get(v, "prefix");
	const char *addr = prefix ? text(prefix, "addr") : json_string_value(v);

	if (!addr || !addr[0] || strlen(addr) > 46 || *n == MR_NFT_PREFIXES)
		return false;
	if (prefix)
		snprintf(list[*n], MR_NFT_NAME, "%.46s/%d", addr,
			 (int)json_integer_value(json_object_get(prefix, "len")));
	else
		snprintf(list[*n], MR_NFT_NAME, "%.46s", addr);
	(*n)++;
	return true;
}

enum kind {
	PORTS,
	SOURCE,
	DESTINATION,
};

static bool add_one(struct mr_nft_rule *r, enum kind kind, const json_t *v)
{
	switch (kind) {
	case PORTS:
		return add_port(r, v);
	case SOURCE:
		return add_address(v, r->source, &r->n_source);
	case DESTINATION:
		return add_address(v, r->destination, &r->n_destination);
	}
	return false;
}

static void add_all(const struct reading *g, enum kind kind, const json_t *value)
{
	const json_t *list = members(g, value), *each;
	bool good = list != NULL;
	size_t i;

	if (!json_is_array(list)) {
		good = good && add_one(g->out, kind, bare(list));
	} else {
		good = json_array_size(list) > 0;
		json_array_foreach(list, i, each)
		{
			good = good && add_one(g->out, kind, bare(each));
		}
	}
	if (!good)
		cannot(g->out, "it matches by a set, map or range of addresses that cannot be "
			       "written as a few prefixes or ports");
}

/* ----- statements ----- */

static void match_payload(struct reading *g, const json_t *payload, const json_t *right)
{
	const char *protocol = text(payload, "protocol"), *field = text(payload, "field");
	bool ip = !strcmp(protocol, "ip") || !strcmp(protocol, "ip6");

	if (!strcmp(protocol, "udp") || !strcmp(protocol, "icmp") || !strcmp(protocol, "icmpv6"))
		g->out->tcp_possible = false;
	if ((!strcmp(protocol, "tcp") || !strcmp(protocol, "th")) && !strcmp(field, "dport")) {
		g->out->names_port = true;
		add_all(g, PORTS, right);
	} else if (ip && !strcmp(field, "saddr")) {
		add_all(g, SOURCE, right);
	} else if (ip && !strcmp(field, "daddr")) {
		add_all(g, DESTINATION, right);
	} else if (ip && (!strcmp(field, "protocol") || !strcmp(field, "nexthdr"))) {
		g->out->tcp_possible &= !strcmp(json_string_value(right) ?: "", "tcp");
	} else {
		char why[MR_NFT_WORDS];

		snprintf(why, sizeof(why), "it matches by %.20s %.20s", protocol, field);
		cannot(g->out, why);
	}
}

static void match_meta(struct reading *g, const char *key, const json_t *right)
{
	const char *word = json_string_value(right);

	if (!strcmp(key, "iifname") && word && word[0] != '@' && !strchr(word, '*')) {
		snprintf(g->out->interface, sizeof(g->out->interface), "%s", word);
	} else if (!strcmp(key, "l4proto") && word) {
		g->out->tcp_possible &= !strcmp(word, "tcp");
	} else if (strcmp(key, "nfproto") != 0) {
		char why[MR_NFT_WORDS];

		snprintf(why, sizeof(why), "it matches by meta %.30s", key);
		cannot(g->out, why);
	}
}

static void match(struct reading *g, const json_t *m)
{
	const json_t *left = json_object_get(m, "left"), *right = json_object_get(m, "right");
	const json_t *payload = json_object_get(left, "payload");
	const json_t *meta = json_object_get(left, "meta");
	const char *op = text(m, "op");

	if (strcmp(op, "==") && strcmp(op, "in"))
		cannot(g->out, "it matches what is not so, or a comparison");
	else if (payload)
		match_payload(g, payload, right);
	else if (meta)
		match_meta(g, text(meta, "key"), right);
	else if (json_object_get(left, "ct"))
		cannot(g->out, "it goes by connection tracking, which never sees steered frames");
	else
		cannot(g->out, "it matches by an expression that rules do not have");
}

static void statement(struct reading *g, const char *name, const json_t *value)
{
	if (!strcmp(name, "match")) {
		match(g, value);
	} else if (!strcmp(name, "accept")) {
		g->out->verdict = MR_NFT_ACCEPT;
	} else if (!strcmp(name, "drop")) {
		g->out->verdict = MR_NFT_DROP;
	} else if (strcmp(name, "counter") && strcmp(name, "comment")) {
		char why[MR_NFT_WORDS];

		snprintf(why, sizeof(why), "it has %.30s", name);
		cannot(g->out, why);
	}
}

static void read_rule(struct reading *g)
{
	struct mr_nft_rule *r = g->out;
	const json_t *each;
	size_t i;

	*r = (struct mr_nft_rule){ .inbound = true, .tcp_possible = true };
	snprintf(r->place, sizeof(r->place), "%.10s %.60s %.60s handle %d", text(g->rule, "family"),
		 text(g->rule, "table"), text(g->rule, "chain"),
		 (int)json_integer_value(json_object_get(g->rule, "handle")));
	snprintf(r->comment, sizeof(r->comment), "%.63s", text(g->rule, "comment"));
	json_array_foreach(json_object_get(g->rule, "expr"), i, each)
	{
		void *first = json_object_iter((json_t *)each);

		if (first)
			statement(g, json_object_iter_key(first), json_object_iter_value(first));
	}
	if (r->verdict == MR_NFT_OTHER)
		cannot(r, "it neither accepts nor drops");
}

/* ----- chains ----- */

static bool is_inbound(const json_t *chain)
{
	const char *hook = text(chain, "hook");

	return !strcmp(hook, "input") || !strcmp(hook, "prerouting") || !strcmp(hook, "ingress");
}

static const json_t *chain_of(const json_t *all, const json_t *rule)
{
	const json_t *each;
	size_t i;

	json_array_foreach(all, i, each)
	{
		const json_t *chain = json_object_get(each, "chain");

		if (text(chain, "name")[0] && same(chain, rule, "name", "chain") &&
		    same(chain, rule, "table", "table") && same(chain, rule, "family", "family"))
			return chain;
	}
	return NULL;
}

/* Does a rule of an inbound base chain lead there? By name; deeper ways are not followed. */
static bool is_jumped_to(const json_t *chain)
{
	return chain && !text(chain, "hook")[0];
}

static void add_policy(struct mr_nft_ruleset *out, const json_t *chain)
{
	struct mr_nft_rule *r = &out->rule[out->n];

	if (!is_inbound(chain) || strcmp(text(chain, "policy"), "drop") != 0)
		return;
	*r = (struct mr_nft_rule){ .inbound = true, .tcp_possible = true, .verdict = MR_NFT_DROP };
	snprintf(r->place, sizeof(r->place), "%.10s %.60s %.60s policy drop", text(chain, "family"),
		 text(chain, "table"), text(chain, "name"));
	cannot(r, "what no rule names goes to the kernel, where the policy holds; a steered port "
		  "is open to all unless its rule has a source");
	out->n++;
}

static void add_rule(struct mr_nft_ruleset *out, const json_t *all, const json_t *rule)
{
	struct reading g = { .all = all, .rule = rule, .out = &out->rule[out->n] };
	const json_t *chain = chain_of(all, rule);

	if (!chain || (!is_inbound(chain) && !is_jumped_to(chain)))
		return;
	read_rule(&g);
	if (is_jumped_to(chain))
		cannot(g.out, "it stands in a chain that others jump to");
	out->n++;
}

int mr_nft_parse(const json_t *answer, struct mr_nft_ruleset *out)
{
	const json_t *all = json_object_get(answer, "nftables"), *each;
	size_t most = json_array_size(all), i;

	*out = (struct mr_nft_ruleset){ 0 };
	out->rule = calloc(most ? most : 1, sizeof(*out->rule));
	if (!out->rule)
		return -ENOMEM;
	json_array_foreach(all, i, each)
	{
		if (json_object_get(each, "rule"))
			add_rule(out, all, json_object_get(each, "rule"));
	}
	json_array_foreach(all, i, each)
	{
		if (json_object_get(each, "chain"))
			add_policy(out, json_object_get(each, "chain"));
	}
	return 0;
}

void mr_nft_free(struct mr_nft_ruleset *r)
{
	free(r->rule);
	*r = (struct mr_nft_ruleset){ 0 };
}

bool mr_nft_has_ports(const struct mr_nft_rule *r, struct mr_nft_ports ports)
{
	for (uint32_t i = 0; i < r->n_ports; i++)
		if (ports.hi >= r->port[i].lo && ports.lo <= r->port[i].hi)
			return true;
	/* a rule whose ports could not be read may mean any */
	return !r->n_ports && r->tcp_possible;
}

bool mr_nft_concerns(const struct mr_nft_rule *r, struct mr_nft_ports ports)
{
	if (!r->tcp_possible || !strcmp(r->interface, "lo") || !mr_nft_has_ports(r, ports))
		return false;
	return r->names_port || r->verdict != MR_NFT_ACCEPT;
}

bool mr_nft_steered(const json_t *rule, struct mr_nft_ports *ports)
{
	const char *action = json_string_value(json_object_get(rule, "action"));
	const json_t *port = json_object_get(rule, "port");
	json_int_t one = json_integer_value(port);
	unsigned int lo, hi;

	if (action && strcmp(action, "steer"))
		return false;
	if (json_is_string(port) && sscanf(json_string_value(port), "%5u-%5u", &lo, &hi) == 2 &&
	    lo <= hi && hi <= UINT16_MAX) {
		*ports = (struct mr_nft_ports){ (uint16_t)lo, (uint16_t)hi };
		return true;
	}
	*ports = (struct mr_nft_ports){ (uint16_t)one, (uint16_t)one };
	return one > 0 && one <= UINT16_MAX;
}
