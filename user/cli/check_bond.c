/* SPDX-License-Identifier: MIT */
/* millrace check of a bond, which has no queues of its own, and of one of its slaves. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "user/cli/check.h"

static bool is_bond(const struct mr_netlink_link *l)
{
	return !strcmp(l->kind, "bond");
}

/* Names of those that have it as their master, with blanks between. */
static void list_slaves(uint32_t bond, char *out, size_t room)
{
	struct if_nameindex *all = if_nameindex();
	struct mr_netlink_link l;
	size_t used = 0;

	out[0] = '\0';
	for (const struct if_nameindex *i = all; i && i->if_index && used + IF_NAMESIZE < room; i++)
		if (mr_netlink_link(i->if_name, &l) == 0 && l.master == bond)
			used += (size_t)snprintf(out + used, room - used, "%s%.15s",
						 used ? " " : "", l.name);
	if (all)
		if_freenameindex(all);
}

void mr_check_bond(struct mr_check *c)
{
	struct mr_netlink_link bond;
	char text[256], cure[64];

	if (is_bond(&c->link)) {
		list_slaves(c->link.ifindex, text, sizeof(text));
		snprintf(cure, sizeof(cure), "ip link set dev SLAVE master %.15s", c->link.name);
		mr_check_fact(c, text[0] ? MR_CHECK_OK : MR_CHECK_FAIL, "bond",
			      text[0] ? NULL : cure, "%s%s",
			      text[0] ? "its slaves are served, check each: " : "has no slaves",
			      text);
	} else if (c->link.master && if_indextoname(c->link.master, text) &&
		   mr_netlink_link(text, &bond) == 0 && is_bond(&bond)) {
		mr_check_fact(c, MR_CHECK_OK, "bond", NULL,
			      "a slave of %s, which has the addresses; name either in interfaces",
			      bond.name);
	}
}
