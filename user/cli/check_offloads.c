/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "user/cli/check.h"
#include "user/cli/ethtool.h"

/* Offloads that take from frames what lanes need, or that drivers refuse together with XDP. */
static const struct {
	const char *feature; /* as the kernel calls it */
	const char *option;  /* as ethtool -K does */
	const char *harm;
	bool not_on_veth; /* means nothing there: check_veth.c looks at its peer */
} offloads[] = {
	{ "rx-lro", "lro", "merges segments; most drivers refuse native XDP with it", false },
	{ "rx-gro-hw", "rx-gro-hw", "merges segments; most drivers refuse native XDP with it",
	  false },
	{ "rx-vlan-hw-parse", "rxvlan", "takes VLAN tags out of frames before XDP sees them",
	  true },
	{ "rx-vlan-stag-hw-parse", "rx-vlan-stag-hw-parse",
	  "takes outer VLAN tags out of frames before XDP sees them", true },
};

void mr_check_offloads(struct mr_check *c)
{
	struct mr_ethtool_features *f = mr_ethtool_features_new(c->socket, c->link.name);
	bool is_veth = !strcmp(c->link.kind, "veth");
	bool hurts = false;
	char cure[96];

	if (!f) {
		mr_check_fact(c, MR_CHECK_OK, "offloads", NULL, "the driver tells none");
		return;
	}
	for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		if (!mr_ethtool_is_on(f, offloads[i].feature) ||
		    (is_veth && offloads[i].not_on_veth))
			continue;
		hurts = true;
		if (mr_ethtool_is_fixed(f, offloads[i].feature))
			snprintf(cure, sizeof(cure), "cannot be switched off; try: check --probe");
		else
			snprintf(cure, sizeof(cure), "ethtool -K %s %s off", c->link.name,
				 offloads[i].option);
		mr_check_fact(c, MR_CHECK_WARN, "offload", cure, "%s is on: %s",
			      offloads[i].feature, offloads[i].harm);
	}
	if (!hurts)
		mr_check_fact(c, MR_CHECK_OK, "offloads", NULL, "none that hurts is on");
	mr_ethtool_features_free(f);
}
