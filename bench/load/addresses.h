/* SPDX-License-Identifier: MIT */
/* The addresses of an interface and of those beyond it, for mr-load and its reflector. */
#ifndef MR_BENCH_ADDRESSES_H
#define MR_BENCH_ADDRESSES_H

#include <netinet/in.h>
#include <stdint.h>

enum {
	LOAD_ADDRESSES = 64,
};

struct load_addresses {
	unsigned int n;
	struct in_addr addr[LOAD_ADDRESSES];
};

/* IPv4 addresses of an interface, at most @most; 0, or -1 after saying why */
int load_addresses_of(struct load_addresses *a, const char *interface, unsigned long most);

/* MAC address of an interface; 0 or -1 after saying why */
int load_mac_of(const char *interface, uint8_t mac[6]);

/* MAC address of a neighbour, asked for by the kernel if need be; 0 or -1 after saying why */
int load_mac_of_neighbour(const char *interface, struct in_addr addr, uint8_t mac[6]);

#endif
