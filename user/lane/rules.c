/* SPDX-License-Identifier: MIT */
/*
 * Which rule a segment that opens a connection belongs to: of those that fit, the one with the
 * lowest place, as in the XDP program. For each port the lane knows the first and the last place
 * of a rule that names it, so that thousands of rules on ports of their own cost one comparison.
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	N_PORTS = 65536,
};

static int compare(const void *a, const void *b)
{
	const struct mr_lane_rule *p = (*(struct lane_rule *const *)a)->config;
	const struct mr_lane_rule *q = (*(struct lane_rule *const *)b)->config;

	if (p->place != q->place)
		return p->place < q->place ? -1 : 1;
	return p < q ? -1 : p > q;
}

static void note_ports(struct rule_index *x, uint32_t at)
{
	const struct mr_lane_rule *r = x->rule[at]->config;

	for (uint32_t port = r->port; port <= mr_lane_rule_port_hi(r); port++) {
		if (!x->of_port[port].end)
			x->of_port[port].first = (uint16_t)at;
		x->of_port[port].end = (uint16_t)(at + 1);
	}
}

int lane_rule_index_make(struct rule_index *x, struct lane_rule *rules, uint32_t n)
{
	uint32_t live = 0;

	x->rule = calloc(n + 1, sizeof(*x->rule));
	x->of_port = calloc(N_PORTS, sizeof(*x->of_port));
	if (!x->rule || !x->of_port) {
		lane_rule_index_free(x);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		if (lane_rule_is_live(&rules[i]))
			x->rule[live++] = &rules[i];
	if (live)
		qsort(x->rule, live, sizeof(*x->rule), compare);
	for (uint32_t i = 0; i < live; i++)
		note_ports(x, i);
	return 0;
}

void lane_rule_index_free(struct rule_index *x)
{
	free(x->rule);
	free(x->of_port);
	*x = (struct rule_index){ 0 };
}

/* VLAN of a segment as rules name it (struct mr_rule_key). */
static uint32_t vlan_of(const struct mr_segment *seg)
{
	uint32_t outer = seg->link.vlan[0] & 0xfff;
	uint32_t inner = seg->link.vlan[1] & 0xfff;

	return seg->link.vlan[1] ? outer << 16 | inner : outer;
}

static bool is_zero(const uint8_t addr[16])
{
	static const uint8_t zero[16];

	return memcmp(addr, zero, 16) == 0;
}

/* The prefixes are sorted and none lies in another: only the last one not above can fit. */
static bool is_among(const struct mr_lane *l, const struct mr_lane_prefixes *s,
		     const uint8_t addr[16])
{
	const struct mr_net *list = l->s.prefixes + s->first;
	uint8_t family = mr_is_ipv4(addr) ? 4 : 6;
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = (int)list[mid].family - family;

		if (!c)
			c = memcmp(list[mid].addr, addr, 16);
		if (c <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && mr_net_fits(&list[lo - 1], addr, family);
}

static bool fits_destination(const struct mr_lane *l, const struct mr_lane_rule *r,
			     const uint8_t addr[16])
{
	if (r->destination.given)
		return is_among(l, &r->destination, addr);
	if (!is_zero(r->addr))
		return memcmp(r->addr, addr, 16) == 0;
	return r->any_family || (r->family == 4) == mr_is_ipv4(addr);
}

/* May a program listen there? At @addr all zeros: on whatever address the rule has. */
bool lane_rule_serves(const struct mr_lane *l, const struct mr_lane_rule *r, const uint8_t addr[16],
		      uint16_t port)
{
	return port >= r->port && port <= mr_lane_rule_port_hi(r) && !r->elsewhere &&
	       (is_zero(addr) || fits_destination(l, r, addr));
}

static bool fits(const struct mr_lane *l, const struct mr_lane_rule *r,
		 const struct mr_segment *seg)
{
	uint16_t port = mr_be16(seg->tuple.local_port);

	if (port < r->port || port > mr_lane_rule_port_hi(r) || r->elsewhere)
		return false;
	if (r->vlan != (uint32_t)MR_VLAN_ANY && r->vlan != vlan_of(seg))
		return false;
	return fits_destination(l, r, seg->tuple.local) &&
	       (!r->source.given || is_among(l, &r->source, seg->tuple.remote));
}

struct lane_rule *lane_rule_for(struct mr_lane *l, const struct mr_segment *seg)
{
	const struct rule_index *x = &l->rule_index;
	const struct rules_of_port *p = &x->of_port[mr_be16(seg->tuple.local_port)];

	for (uint32_t i = p->first; i < p->end; i++)
		if (fits(l, x->rule[i]->config, seg))
			return x->rule[i];
	return NULL;
}
