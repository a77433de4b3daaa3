/* SPDX-License-Identifier: MIT */
/*
 * Bonds. Addresses and routes belong to the bond, frames to its slaves: so an interface of the
 * configuration that is a bond is served by lanes on each of its slaves, and what a slave's lane
 * sends goes out there. The bond drops what comes to a backup slave; so do we, by leaving it to the
 * kernel. Slaves that join and leave are followed. Parent only.
 */
#ifndef MR_DAEMON_BONDS_H
#define MR_DAEMON_BONDS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;
struct mr_link;
struct mr_topology;

/** mr_bonds_links() - make d->links of the configuration's interfaces; of a bond, its slaves */
int mr_bonds_links(struct mr_daemon *d);

/** mr_bonds_look() - what became of the slaves? Those that left are off, those that came serve */
void mr_bonds_look(struct mr_daemon *d);

/**
 * mr_bonds_may_serve() - may an interface that is back be served as @l?
 *
 * True for all that are no slaves. A slave must be its bond's again; what it is there is noted.
 */
bool mr_bonds_may_serve(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_bond_slaves() - the slaves of a bond, by their index
 * @most:	places of @slaves
 *
 * Return: how many; -ENODEV: there is no interface @name, or it is no bond
 */
int mr_bond_slaves(const struct mr_topology *t, const char *name, uint32_t *slaves,
		   unsigned int most);

#endif
