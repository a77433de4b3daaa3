/* SPDX-License-Identifier: MIT */
/*
 * The path tables that lanes read: who is the next hop to a remote address, from which address and
 * with which MTU. The child alone writes them; routes and neighbours stay the kernel's.
 */
#ifndef MR_DAEMON_PATHS_H
#define MR_DAEMON_PATHS_H

#include <stdint.h>

struct mr_child;

/** mr_paths_open() - follow rtnetlink, take over the tables as they are; 0 or -errno */
int mr_paths_open(struct mr_child *c);

/** mr_paths_ask() - a lane wants a path; it is answered at once, when resolved, or after 3 s */
void mr_paths_ask(struct mr_child *c, uint32_t lane, const uint8_t remote[16]);

/** mr_paths_tick() - time-outs, and paths to be looked up again after routes changed */
void mr_paths_tick(struct mr_child *c, uint64_t now);

#endif
