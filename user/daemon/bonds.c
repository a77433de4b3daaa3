/* SPDX-License-Identifier: MIT */
#include "user/daemon/bonds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/lanes.h"
#include "user/daemon/links.h"
#include "user/daemon/log.h"
#include "user/daemon/recover.h"
#include "user/daemon/topology.h"

static void remember(void *arg, const struct mr_netlink_link *l)
{
	mr_topology_remember(arg, l);
}

/* The host's interfaces now; NULL on error. To be freed. */
static struct mr_topology *ask_host(void)
{
	static const struct mr_netlink_news news = { .link = remember };
	struct mr_topology *t = calloc(1, sizeof(*t));
	struct mr_netlink *n = NULL;
	int err = t ? mr_netlink_open(&n, &news, t) : -ENOMEM;

	if (!err)
		err = mr_netlink_dump(n, false);
	if (n)
		mr_netlink_close(n);
	if (!err)
		return t;
	free(t);
	errno = -err;
	return NULL;
}

int mr_bond_slaves(const struct mr_topology *t, const char *name, uint32_t *slaves,
		   unsigned int most)
{
	const struct mr_netlink_link *bond = mr_topology_named(t, name);
	unsigned int n = 0;

	if (!bond || !bond->is_bond)
		return -ENODEV;
	for (uint32_t i = 0; i < t->n; i++) {
		unsigned int at = n;

		if (t->link[i].master != bond->ifindex || n == most)
			continue;
		/* In the order of their indexes, whatever order they were told in. */
		for (; at > 0 && slaves[at - 1] > t->link[i].ifindex; at--)
			slaves[at] = slaves[at - 1];
		slaves[at] = t->link[i].ifindex;
		n++;
	}
	return (int)n;
}

static struct mr_link *add_link(struct mr_daemon *d, unsigned int setting)
{
	struct mr_link *l = &d->links[d->n_links++];

	*l = (struct mr_link){ .settings = &d->settings.interfaces[setting],
			       .mailbox = -1,
			       .paths = -1,
			       .paths_reader = -1,
			       .former_program = -1,
			       .held = -1 };
	l->name = l->settings->name;
	return l;
}

static void make_slave(struct mr_link *l, const struct mr_topology *t, uint32_t ifindex)
{
	const struct mr_netlink_link *slave = mr_topology_link(t, ifindex);

	snprintf(l->slave_name, sizeof(l->slave_name), "%s", slave->name);
	l->name = l->slave_name;
	l->ifindex = ifindex;
	l->bond_ifindex = slave->master;
	l->backup = slave->backup;
}

static int add_bond(struct mr_daemon *d, const struct mr_topology *t, unsigned int setting)
{
	const char *name = d->settings.interfaces[setting].name;
	uint32_t slaves[MR_MAX_INTERFACES];
	int n = mr_bond_slaves(t, name, slaves, MR_MAX_INTERFACES);

	if (n == 0)
		return mr_fail(d, -ENODEV,
			       "%s: is a bond without slaves; ip link set dev SLAVE master %s",
			       name, name);
	for (int i = 0; i < n; i++) {
		if (d->n_links == MR_MAX_INTERFACES)
			return mr_fail(d, -E2BIG, "%s: more than %d interfaces and slaves in all",
				       name, MR_MAX_INTERFACES);
		make_slave(add_link(d, setting), t, slaves[i]);
	}
	return 0;
}

/* A slave's index is not the bond's; which of them a rule means is better said by the rule. */
static int check_rules(struct mr_daemon *d, const char *bond)
{
	for (unsigned int i = 0; i < d->settings.n_rules + d->settings.n_filters; i++) {
		const struct mr_settings_rule *r =
			i < d->settings.n_rules ? &d->settings.rules[i]
						: &d->settings.filters[i - d->settings.n_rules];

		if (!strcmp(r->match.interface, bond))
			return mr_fail(d, -EINVAL,
				       "rule %s: interface %s is a bond; leave interface out, or "
				       "name a slave",
				       r->lane.name, bond);
	}
	return 0;
}

int mr_bonds_links(struct mr_daemon *d)
{
	struct mr_topology *t = ask_host();
	int err = t ? 0 : -errno;

	d->links = calloc(MR_MAX_INTERFACES, sizeof(*d->links)); /* slaves may come */
	if (!err && !d->links)
		err = -ENOMEM;
	if (err)
		err = mr_fail(d, err, "interfaces: cannot be listed: %s", strerror(-err));
	for (unsigned int i = 0; !err && i < d->settings.n_interfaces; i++) {
		const struct mr_netlink_link *l =
			mr_topology_named(t, d->settings.interfaces[i].name);

		if (l && l->is_bond)
			err = add_bond(d, t, i);
		else if (d->n_links < MR_MAX_INTERFACES)
			add_link(d, i);
		if (!err && l && l->is_bond)
			err = check_rules(d, l->name);
	}
	free(t);
	return err;
}

/* ----- while lanes serve ----- */

static const char *bond_of(const struct mr_link *l)
{
	return l->bond_ifindex ? l->settings->name : NULL;
}

/* Those that we have are known by their indexes: either may be renamed. */
static const struct mr_netlink_link *as_slave(const struct mr_topology *t, const struct mr_link *l)
{
	const struct mr_netlink_link *slave = l->gone ? mr_topology_named(t, l->name)
						      : mr_topology_link(t, l->ifindex);
	const struct mr_netlink_link *bond = l->gone ? mr_topology_named(t, bond_of(l))
						     : mr_topology_link(t, l->bond_ifindex);

	return slave && bond && bond->is_bond && slave->master == bond->ifindex ? slave : NULL;
}

bool mr_bonds_may_serve(struct mr_daemon *d, struct mr_link *l)
{
	const struct mr_netlink_link *slave;
	struct mr_topology *t;

	(void)d;
	if (!bond_of(l))
		return true;
	t = ask_host();
	slave = t ? as_slave(t, l) : NULL;
	if (slave)
		make_slave(l, t, slave->ifindex);
	free(t);
	return slave != NULL;
}

static void look_at(struct mr_daemon *d, struct mr_link *l, const struct mr_netlink_link *slave)
{
	if (!slave) {
		mr_warn("%s: is no slave of %s any more; its connections are lost, its lanes start "
			"again when it is",
			l->name, bond_of(l));
		mr_link_leave(d, l);
		d->renew_child = true;
	} else if (slave->backup != l->backup) {
		mr_info("%s: is %s in %s now", l->name, slave->backup ? "the backup" : "active",
			bond_of(l));
		l->backup = slave->backup;
		mr_bpf_interface(d, l);
		d->renew_child = true;
	}
}

static bool is_known(const struct mr_daemon *d, uint32_t ifindex, const char *name)
{
	for (uint32_t i = 0; i < d->n_links; i++)
		if (d->links[i].ifindex == ifindex || !strcmp(d->links[i].name, name))
			return true;
	return false;
}

/* One more link behind the others, with slots and lanes behind theirs. */
static void take_new(struct mr_daemon *d, const struct mr_topology *t, unsigned int setting,
		     uint32_t ifindex)
{
	struct mr_link *l;

	if (d->n_links == MR_MAX_INTERFACES)
		return;
	l = add_link(d, setting);
	make_slave(l, t, ifindex);
	d->error[0] = '\0';
	if (mr_links_add(d, l) == 0 && mr_lanes_add(d, l) == 0) {
		d->renew_child = true;
		mr_info("%s: joined %s, its lanes start", l->name, bond_of(l));
		mr_link_take_again(d, l);
	} else {
		mr_error("%s: joined %s, and cannot be served: %s", l->name, bond_of(l), d->error);
		d->n_links--;
	}
	d->error[0] = '\0';
}

static void look_for_new(struct mr_daemon *d, const struct mr_topology *t, unsigned int setting)
{
	uint32_t slaves[MR_MAX_INTERFACES];
	int n = mr_bond_slaves(t, d->settings.interfaces[setting].name, slaves, MR_MAX_INTERFACES);

	for (int i = 0; i < n; i++)
		if (!is_known(d, slaves[i], mr_topology_link(t, slaves[i])->name))
			take_new(d, t, setting, slaves[i]);
}

void mr_bonds_look(struct mr_daemon *d)
{
	struct mr_topology *t = ask_host();

	if (!t)
		return;
	for (uint32_t i = 0; i < d->n_links; i++)
		if (bond_of(&d->links[i]) && !d->links[i].gone)
			look_at(d, &d->links[i], as_slave(t, &d->links[i]));
	for (unsigned int i = 0; i < d->settings.n_interfaces; i++)
		look_for_new(d, t, i);
	free(t);
}
