/* SPDX-License-Identifier: MIT */
/* What a seed stands for: hosts, net, and what will happen to them. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/rng.h"

enum {
	SIM_SERVER = 0,
	SIM_CLIENT = 1,
	SIM_QUEUES = 2,	 /* lanes of a side, at most */
	SIM_EVENTS = 24, /* things that happen at a time */
	SIM_PORT = 7000, /* of the server */
	SIM_RULE = 1,	 /* of the application; another one stands before it */
	SIM_MS = 1000000,
};

#define SIM_SECOND 1000000000ull

/* Purposes of random streams. */
enum sim_stream {
	SIM_RNG_SCENARIO,
	SIM_RNG_NET,
	SIM_RNG_APPS,
	SIM_RNG_TURNS,
	SIM_RNG_PLANS, /* and one for each connection behind it */
	SIM_RNG_CC = 1 << 24,
	SIM_RNG_MARKS = 2 << 24,
	SIM_RNG_OPEN = 3 << 24,
	SIM_RNG_IP = 4 << 24,
	SIM_RNG_FAST_OPEN = 5 << 24, /* behind these, too, one for each connection */
	SIM_RNG_TIMEOUT = 6 << 24,
	SIM_RNG_URGENT = 7 << 24,
	SIM_RNG_ACCURATE = 8 << 24,
	SIM_RNG_KILL = 9 << 24,
};

enum sim_class {
	SIM_CALM,   /* a net without faults: nothing may be sent twice */
	SIM_SINGLE, /* one segment is lost: no timeout may be needed */
	SIM_MIXED,
	SIM_MANY, /* thousands of short connections */
	SIM_POOR, /* few frames and records */
	SIM_BOTH, /* simultaneous open */
	SIM_WILD, /* headers corrupted behind good checksums */
	SIM_CLASS_COUNT
};

/* One direction of the net; chances in parts per million of frames. */
struct sim_link {
	uint64_t rate_bps; /* 0: infinite */
	uint64_t delay_ns, jitter_ns;
	uint32_t queue_bytes;
	bool overtakes; /* jitter may reorder */
	uint32_t loss, burst_begin, burst_end, burst_loss;
	uint32_t twice, reorder, late;
	uint32_t cut;	 /* a segment becomes two, as hardware may do it */
	uint32_t flip;	 /* a byte, found by the checksum */
	uint32_t text;	 /* a byte of text, checksum repaired */
	uint32_t header; /* a byte of the TCP header, checksum repaired */
	uint32_t forge;	 /* a stranger's segment into the connection */
	uint32_t mtu;	 /* 0: the interface's */
	bool tells;	 /* ICMP says so */
	uint64_t strip;	 /* options of SYNs, one bit a kind */
	uint32_t mark;	 /* CE on what says ECT */
	uint32_t syn_text_loss, syn_twice;
};

enum sim_event_kind {
	SIM_EVENT_OUTAGE,  /* of the direction from @side, for @arg ns */
	SIM_EVENT_ADDRESS, /* MAC address and perhaps VLAN of @side change */
	SIM_EVENT_STALL,   /* a lane of @side does not run for @arg ns */
	SIM_EVENT_JUMP,	   /* the clock of @side jumps by @arg ns */
	SIM_EVENT_RSS,	   /* frames to @side come to other queues */
	SIM_EVENT_KEY,	   /* the server makes other Fast Open cookies */
	SIM_EVENT_KILL,	   /* a lane of @side is killed, another goes on */
};

struct sim_event {
	uint64_t at_ns;
	uint64_t arg;
	enum sim_event_kind kind;
	unsigned int side;
};

/* One side's host. */
struct sim_host {
	uint32_t frames, conns, half_open, time_wait, ring;
	uint32_t receive_buffer, send_buffer;
	uint32_t delayed_ack_ms, time_wait_ms, fin_wait_ms;
	uint32_t keep_idle_s; /* 0: no keepalive */
	uint64_t clock_ns;    /* at the simulation's start */
	uint64_t dma_ns;      /* longest time between transmit and completion */
	uint64_t isn_key[2];
	uint32_t backlog;
	bool nagle;
	uint8_t cc, ecn; /* enum mr_cc_algorithm, enum mr_ecn_mode */
	uint8_t ttl, dscp;
	uint8_t cookies, syn_ack_retries; /* enum mr_syn_cookies */
	uint8_t fast_open;
	uint32_t fast_open_pending;
	uint32_t source_connections, source_half_open;
	uint32_t user_timeout_ms;
};

struct sim_scenario {
	uint64_t seed;
	enum sim_class class;
	struct sim_host host[2];
	struct sim_link link[2]; /* from each side */
	uint32_t lanes;		 /* of a side */
	uint32_t astray;	 /* frames that come to a wrong queue */
	uint64_t turn_ns;	 /* shortest time between two turns of a lane */
	uint64_t heal_ns;	 /* faults end here, from the start */
	uint32_t n_flows;
	uint64_t spread_ns; /* connections begin within this time */
	uint32_t bytes_most;
	uint16_t port_lo, port_hi; /* of the client */
	bool ipv6, ipv4;
	bool dawdles, stalls, aborts;
	bool timeouts, urgent; /* of single connections */
	bool strict; /* nothing happens that may end a connection otherwise than in order */
	uint32_t lost_segment; /* SIM_SINGLE: which one with text */
	struct sim_event event[SIM_EVENTS];
	uint32_t n_events;
};

/** sim_scenario_draw() - all of it from the seed */
void sim_scenario_draw(struct sim_scenario *s, uint64_t seed);

/** sim_class_name() - for people */
const char *sim_class_name(enum sim_class class);

#endif
