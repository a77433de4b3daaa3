/* SPDX-License-Identifier: MIT */
/*
 * Which XDP program stands on an interface: ours, none, or one that somebody put in its place. Only
 * the slot of the interface itself is looked at (attach: netlink): a bpf_link cannot be
 * displaced, libxdp's dispatcher has a program of its own there, and what the operator attaches
 * and exchanges himself (adopt) is never foreign.
 */
#ifndef MR_STANDING_H
#define MR_STANDING_H

#include "user/daemon/child.h"
#include "user/daemon/netlink.h"

/**
 * mr_standing_news() - rtnetlink told of the interface @k
 *
 * None is believed at once: our own exchanges are one store in the kernel and never look like
 * that. Another program may be one that the parent has just put there and not told of yet.
 */
void mr_standing_news(struct mr_child *c, struct mr_link *k, const struct mr_netlink_link *l);

/** mr_standing_tick() - a program that was not known has had time to become ours */
void mr_standing_tick(struct mr_child *c, struct mr_link *k, uint64_t now);

#endif
