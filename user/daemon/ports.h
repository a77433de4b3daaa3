/* SPDX-License-Identifier: MIT */
/* Steered ports, kept from the kernel's own sockets. */
#ifndef MR_DAEMON_PORTS_H
#define MR_DAEMON_PORTS_H

#include <stdint.h>

struct mr_daemon;

/**
 * mr_port_reserve() - bind a TCP socket and leave it at that
 * @addr:	v4 mapped; zeros: any IPv6 address
 *
 * Return: descriptor, or -errno
 */
int mr_port_reserve(const uint8_t addr[16], uint16_t port);

/** mr_ports_reserve() - all rules' ports and the range of active opens */
int mr_ports_reserve(struct mr_daemon *d);

/** mr_ports_release() - give them back, the sysctl as it was before */
void mr_ports_release(struct mr_daemon *d);

#endif
