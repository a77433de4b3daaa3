/* SPDX-License-Identifier: MIT */
/* The XDP program of an interface: an explicit ladder up, and exactly our own down again. */
#ifndef MR_DAEMON_ATTACH_H
#define MR_DAEMON_ATTACH_H

#include <linux/bpf.h>
#include <stdint.h>

struct mr_daemon;
struct mr_link;
struct mr_standing;
struct mr_attach_way;

/**
 * mr_attach() - attach to one interface: native, then generic, as its settings allow
 *
 * Held as its `attach:` says. A program that stands there already is left alone (-EBUSY, with its
 * name and id) unless it is our own of a daemon that died, from which ours takes over, or `force`
 * says to replace it. With `attach: adopt` the one that stands there is taken as it is.
 *
 * Return: 0 with the outcome in @l, or -errno with @d->error
 */
int mr_attach(struct mr_daemon *d, struct mr_link *l);

/** mr_attach_way() - how the program of @l is held */
const struct mr_attach_way *mr_attach_way(const struct mr_link *l);

/**
 * mr_attach_find_ours() - the program of ours that somebody attached to @l
 * @s:		out: with its descriptor, the caller's
 *
 * Return: 0, or -errno with @d->error: nothing there, a foreign one, or one in use by another
 * daemon
 */
int mr_attach_find_ours(struct mr_daemon *d, const struct mr_link *l, struct mr_standing *s);

/** mr_map_by_id() - descriptor of a map and what it is; negative on error */
int mr_map_by_id(uint32_t id, struct bpf_map_info *info);

/**
 * mr_attach_spread() - have the program run on receive queues that came after it
 *
 * veth starts queues that `ethtool -L` adds without the program (seen up to Linux 6.18), until the
 * interface is set down and up or gets another program: it gets our other section for a moment,
 * over the same maps. Other drivers are left alone.
 *
 * Return: 0 or -errno; it stands there as before then
 */
int mr_attach_spread(struct mr_daemon *d, struct mr_link *l);

/** mr_detach() - take our program away if it is still there, and put back what force replaced */
void mr_detach(struct mr_daemon *d, struct mr_link *l);

#endif
