/* SPDX-License-Identifier: MIT */
/*
 * Two server lanes of one interface with a mailbox, and one client lane:
 *
 *	            wire 0 ---- lane 0 \
 *	client ---<                     > mailbox
 *	            wire 1 ---- lane 1 /
 *
 * The client's port spreads its frames over the two wires by a rule of the test.
 */
#ifndef MR_NET_H
#define MR_NET_H

#include "tests/lane/talk.h"
#include "user/lane/internal.h"
#include "user/wire/segment.h"

struct net;

/* The client's port: both wires behind one. */
struct spread {
	struct mr_port port;
	uint32_t done, queued; /* its indexes */
	struct mr_port *half[2];
	unsigned int (*which)(struct net *n, const uint8_t *frame, uint32_t len);
	struct net *net;
	const uint8_t *umem;
	uint32_t turn; /* of receive and fill */
};

struct net {
	struct pair p[2]; /* end 0 of each is a server lane; end 1 of the first is the client */
	struct spread spread;
	struct mr_mailbox_header *mailbox;
	uint32_t sent;	 /* frames of the client */
	uint32_t resets; /* RSTs that came to the client's port */
};

/** net_new() - echo-bytes on port 7000 of both server lanes; the client's frames alternate */
struct net *net_new(void);

/** net_start() - net_new() with a word to the configuration of all lanes first; NULL: none */
struct net *net_start(void (*configure)(struct mr_lane_config *c));

/** net_server() - what server lane 0 or 1 counts */
struct mr_lane_stats *net_server(struct net *n, int lane);

/** net_clock() - the virtual clock; @arg is the net */
uint64_t net_clock(void *arg);

/** net_run() - turns of all lanes until @done says so or @ms are over; NULL: run for @ms */
bool net_run(struct net *n, uint32_t ms, bool (*done)(void *arg), void *arg);

/** net_free() - assert that no lane has a connection or a frame left; free all */
void net_free(struct net *n);

/** net_flags_of() - of a TCP segment over IPv4 without options or VLAN */
uint8_t net_flags_of(const uint8_t *frame);

/** net_alternate(), net_second_only() - rules for the client's frames */
unsigned int net_alternate(struct net *n, const uint8_t *frame, uint32_t len);
unsigned int net_second_only(struct net *n, const uint8_t *frame, uint32_t len);

#endif
