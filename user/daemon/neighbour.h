/* SPDX-License-Identifier: MIT */
/* The parent's part in resolving neighbours: asking the kernel to do it. */
#ifndef MR_DAEMON_NEIGHBOUR_H
#define MR_DAEMON_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;

/** mr_neighbour_allowed() - is it a unicast address behind an interface of ours or its VLAN? */
bool mr_neighbour_allowed(const struct mr_daemon *d, uint32_t ifindex, const uint8_t addr[16]);

/** mr_neighbour_resolve() - have the kernel resolve or confirm it (NTF_USE); 0 or -errno */
int mr_neighbour_resolve(uint32_t ifindex, const uint8_t addr[16]);

#endif
