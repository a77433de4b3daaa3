/* SPDX-License-Identifier: MIT */
/* The interfaces of the configuration, as they are at start, and when one is back. */
#ifndef MR_DAEMON_LINKS_H
#define MR_DAEMON_LINKS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;
struct mr_link;

/** mr_links_find() - index, MAC, MTU and queues of every interface; slots and lanes are counted */
int mr_links_find(struct mr_daemon *d);

/** mr_links_fit() - frames of so many bytes, and the MTU that they hold */
void mr_links_fit(struct mr_link *l, uint32_t frame_bytes);

/** mr_links_add() - look at one more interface, the last of d->links; its lanes come behind all */
int mr_links_add(struct mr_daemon *d, struct mr_link *l);

/**
 * mr_links_find_again() - look at the interface that has the name of @l now, which was deleted
 *
 * Its number of lanes stays.
 *
 * Return: 0, or -errno with @d->error: nobody has the name, or it has fewer queues than lanes
 */
int mr_links_find_again(struct mr_daemon *d, struct mr_link *l);

/** mr_links_locals() - write the addresses that stand on our interfaces into mr1_local */
int mr_links_locals(struct mr_daemon *d);

/** mr_links_carries() - is interface @ifindex that of @l, its bond's, or a VLAN on one of them? */
bool mr_links_carries(const struct mr_link *l, uint32_t ifindex);

/** mr_links_has_address() - does @addr stand on what @l carries (NULL: on any interface) now? */
bool mr_links_has_address(const uint8_t addr[16], const struct mr_link *l);

#endif
