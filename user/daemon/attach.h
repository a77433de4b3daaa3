/* SPDX-License-Identifier: MIT */
/* The XDP program of an interface: an explicit ladder up, and exactly our own down again. */
#ifndef MR_DAEMON_ATTACH_H
#define MR_DAEMON_ATTACH_H

struct mr_daemon;
struct mr_link;

/**
 * mr_attach() - attach to one interface: native, then generic, as its settings allow
 *
 * A program that stands there already is left alone (-EBUSY, with its name and id) unless it is
 * our own of a daemon that died, or `force` says to replace it.
 *
 * Return: 0 with the outcome in @l, or -errno with @d->error
 */
int mr_attach(struct mr_daemon *d, struct mr_link *l);

/** mr_detach() - take our program away if it is still there, and put back what force replaced */
void mr_detach(struct mr_daemon *d, struct mr_link *l);

#endif
