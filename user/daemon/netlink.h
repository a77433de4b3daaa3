/* SPDX-License-Identifier: MIT */
/*
 * rtnetlink, as far as paths need it: four questions, and the news that change their answers.
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d.
 */
#ifndef MR_DAEMON_NETLINK_H
#define MR_DAEMON_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct mr_netlink;

/* The way to a destination. */
struct mr_route {
	uint32_t ifindex;     /* where it leaves */
	uint8_t next_hop[16]; /* the destination itself when it is on the link */
	uint8_t source[16];
	uint32_t mtu; /* of the route, 0: it has none */
};

/* An entry of the host's route tables. */
struct mr_netlink_route {
	uint8_t prefix[16];
	uint8_t bits;	  /* 0 to 128; IPv4: 96 + prefix length */
	uint32_t ifindex; /* where it leaves, 0: several ways */
	uint32_t metric;  /* of equal prefixes the lower one counts */
	uint32_t mtu;	  /* 0: it has none */
};

struct mr_netlink_link {
	uint32_t ifindex;
	uint32_t lower;	 /* VLANs: the interface below, else 0 */
	uint16_t vlan;	 /* VLAN id, with @lower */
	uint32_t master; /* bond, bridge, ... that it belongs to, else 0 */
	bool is_bond;
	bool backup; /* slaves of bonds: the bond takes no frames from it now */
	uint32_t mtu;
	uint8_t mac[6];
	bool up; /* administratively, and with carrier */
	bool gone;
	bool no_program;  /* the kernel says that no XDP program is attached */
	uint32_t program; /* id of the one that is, 0: it did not say */
	char name[IFNAMSIZ];
};

struct mr_netlink_neighbour {
	uint32_t ifindex;
	uint8_t addr[16];
	uint8_t mac[6];
	bool valid;
	bool failed;  /* resolved in vain */
	bool deleted; /* forgotten */
};

struct mr_netlink_address {
	uint32_t ifindex;
	uint8_t addr[16];
	uint8_t broadcast[16]; /* of its network, 0: it has none */
	bool gone;
};

/* News; any may be NULL. */
struct mr_netlink_news {
	void (*link)(void *arg, const struct mr_netlink_link *l);
	void (*address)(void *arg, const struct mr_netlink_address *a);
	void (*neighbour)(void *arg, const struct mr_netlink_neighbour *n);
	void (*routes)(void *arg, bool has_mtu); /* any route came or went */
	void (*lost)(void *arg);		 /* news were lost: ask again for everything */
};

/** mr_netlink_open() - a socket for questions and one for news; 0 or -errno */
int mr_netlink_open(struct mr_netlink **out, const struct mr_netlink_news *news, void *arg);

/** mr_netlink_close() - both sockets */
void mr_netlink_close(struct mr_netlink *n);

/**
 * mr_netlink_link_of() - read a message about a link
 * @message:	a whole struct nlmsghdr, RTM_NEWLINK or RTM_DELLINK
 *
 * Return: false when it is not about the interface itself (a bridge's port), or malformed
 */
bool mr_netlink_link_of(const void *message, struct mr_netlink_link *out);

/** mr_netlink_fd() - to be polled for news */
int mr_netlink_fd(const struct mr_netlink *n);

/** mr_netlink_read() - deliver what news there are, a bounded number of messages */
void mr_netlink_read(struct mr_netlink *n);

/** mr_netlink_dump() - deliver all links (and, when asked, addresses) as if they were news */
int mr_netlink_dump(struct mr_netlink *n, bool addresses);

/** mr_netlink_addresses() - all addresses, as mr_netlink_routes() gives routes; 0 or -errno */
int mr_netlink_addresses(struct mr_netlink *n,
			 void (*each)(void *arg, const struct mr_netlink_address *a), void *arg);

/** mr_netlink_broadcast() - RFC 919: all ones behind the prefix; zero for /31, /32, IPv6 */
void mr_netlink_broadcast(const uint8_t addr[16], unsigned int prefix, uint8_t out[16]);

/** mr_netlink_route() - Return: 0, -ENETUNREACH (no unicast route to others), -errno */
int mr_netlink_route(struct mr_netlink *n, const uint8_t remote[16], struct mr_route *out);

/**
 * mr_netlink_routes() - the unicast routes of the tables local and main, in the kernel's order
 *
 * @each must not ask anything itself. Return: 0 or -errno
 */
int mr_netlink_routes(struct mr_netlink *n,
		      void (*each)(void *arg, const struct mr_netlink_route *r), void *arg);

/** mr_netlink_neighbour() - Return: 0 with a valid MAC, -EAGAIN (not resolved), -errno */
int mr_netlink_neighbour(struct mr_netlink *n, uint32_t ifindex, const uint8_t addr[16],
			 uint8_t mac[6]);

#endif
