/* SPDX-License-Identifier: MIT */
#include "user/daemon/match.h"

#include <linux/types.h>
#include <string.h>

#include "shared/mr_maps.h"

static int difference(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static bool has_vlan(const struct mr_match *m)
{
	return m->vlan != (uint32_t)MR_VLAN_ANY;
}

static uint32_t n_ports(const struct mr_match *m)
{
	return m->port_hi - m->port_lo + 1u;
}

int mr_match_compare(const struct mr_match *a, const struct mr_match *b)
{
	const int steps[] = {
		difference(a->priority, b->priority),
		difference(b->destination.width, a->destination.width),
		difference(has_vlan(b), has_vlan(a)),
		difference(b->source.width, a->source.width),
		difference(n_ports(a), n_ports(b)),
		difference(b->interface[0] != '\0', a->interface[0] != '\0'),
		difference(b->protocol != 0, a->protocol != 0),
	};

	for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i])
			return steps[i];
	return 0;
}

bool mr_match_is_equal(const struct mr_match *a, const struct mr_match *b)
{
	return a->priority == b->priority && a->protocol == b->protocol &&
	       a->port_lo == b->port_lo && a->port_hi == b->port_hi && a->vlan == b->vlan &&
	       !strcmp(a->interface, b->interface) &&
	       mr_prefixes_are_equal(&a->source, &b->source) &&
	       mr_prefixes_are_equal(&a->destination, &b->destination);
}

bool mr_match_is_exact(const struct mr_match *m)
{
	const struct mr_prefixes *to = &m->destination;

	return m->protocol && m->port_lo == m->port_hi && !m->interface[0] && !m->source.given &&
	       (!to->given || (to->n == 1 && to->list[0].bits == 128));
}

void mr_match_free(struct mr_match *m)
{
	mr_prefixes_free(&m->source);
	mr_prefixes_free(&m->destination);
}
