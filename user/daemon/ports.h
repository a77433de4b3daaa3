/* SPDX-License-Identifier: MIT */
/* Steered ports, kept from the kernel's own sockets. */
#ifndef MR_DAEMON_PORTS_H
#define MR_DAEMON_PORTS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;
struct mr_settings;

/* A port that is bound for rules. */
struct mr_reserved {
	int fd;
	uint16_t port;
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16];
	bool ours; /* not shared with the list before this one */
};

/**
 * mr_port_reserve() - bind a TCP socket and leave it at that
 * @addr:	v4 mapped; zeros: any IPv6 address
 *
 * Return: descriptor, or -errno
 */
int mr_port_reserve(const uint8_t addr[16], uint16_t port);

/** mr_ports_reserve() - all rules' ports and the range of active opens */
int mr_ports_reserve(struct mr_daemon *d);

/**
 * mr_ports_prepare() - bind what other rules want more
 * @next:	the rules to come
 * @list, @n:	out: all that they have then, for mr_ports_take() or mr_ports_drop()
 *
 * Return: 0, or -errno with @d->error in words, and nothing bound
 */
int mr_ports_prepare(struct mr_daemon *d, const struct mr_settings *next, struct mr_reserved **list,
		     uint32_t *n);

/** mr_ports_take() - they are in force: the list is @d's, what it has not is given back */
void mr_ports_take(struct mr_daemon *d, struct mr_reserved *list, uint32_t n);

/** mr_ports_drop() - they do not come */
void mr_ports_drop(struct mr_reserved *list, uint32_t n);

/** mr_ports_release() - give them back, the sysctl as it was before */
void mr_ports_release(struct mr_daemon *d);

#endif
