/* SPDX-License-Identifier: MIT */
/*
 * One lane on an in-memory wire, and at the wire's other end nobody but the target: it puts frames
 * on the wire, and what the lane sends is read (every frame must be whole) and noted by connection,
 * so that segments can be made relative to it. Virtual clock; the same input does the same.
 */
#ifndef MR_FUZZ_NET_H
#define MR_FUZZ_NET_H

#include "tests/fuzz/frame.h"
#include "user/lane/lane.h"
#include "user/port/memory.h"
#include "user/wire/segment.h"

enum {
	NET_CONNS = 24,	   /* of the peer */
	NET_PORTS = 61000, /* the peer's port of connection 0 */
	NET_LANE_PORT_LO = 40000,
	NET_FRAMES = 128,
	NET_FRAME_BYTES = 2048,
	NET_RULES = 8,
};

/** struct net_conn - a connection as the peer sees it; even ones are IPv4, odd ones IPv6 */
struct net_conn {
	uint16_t lane_port; /* 0: the lane has not said (an active open of the lane) */
	uint16_t vlan;
	uint32_t snd_nxt;   /* what the peer would send next */
	uint32_t acked;	    /* by the lane */
	uint32_t rcv_nxt;   /* end of what the lane sent */
	uint32_t una;	    /* how much of that the peer has acknowledged */
	uint32_t edge;	    /* right edge of the lane's window */
	uint8_t lane_shift; /* of its window, once it said it and the peer did */
	bool shifts;	    /* the peer's SYN had a window scale */
	bool timestamps;    /* both said them */
	uint32_t ts_recent; /* the lane's last */
	uint32_t heard;	    /* segments of the lane */
	bool reset;	    /* by the lane */
};

/** struct net_options - what a target chooses before net_open() */
struct net_options {
	uint32_t conns;
	uint32_t receive_buffer;
	uint32_t n_lanes; /* above 1: with a mailbox, and the lane is lane 0 */
	bool nagle;
	const struct mr_app *app; /* beside the built-in ones, or NULL */
};

struct net {
	struct mr_arena arena;
	int arena_fd;
	struct mr_lane_config config;
	struct mr_lane_rule rule[NET_RULES];
	struct mr_lane_stats stats;
	struct mr_path_table *paths;
	struct mr_mailbox_header *mailbox;
	uint8_t *umem; /* the peer's */
	struct mr_memory_wire *wire;
	struct mr_lane *lane;
	struct net_conn conn[NET_CONNS];
	uint8_t asked[16]; /* path that the lane wants */
	bool has_asked;
	uint64_t cookie; /* of the listener that it wants */
	bool has_cookie;
	/* every segment of the lane, after @conn was brought up to date; may be NULL */
	void (*seen)(struct net *n, struct net_conn *c, const struct mr_segment *seg);
	void *arg;
};

/** net_init() - arena, wire, configuration; rules may be added, then net_open() */
void net_init(struct net *n, const struct net_options *o);

/** net_rule() - a rule on @port of the lane, to be changed before net_open() */
struct mr_lane_rule *net_rule(struct net *n, const char *app, uint16_t port);

/** net_open() - make the lane */
void net_open(struct net *n, const struct net_options *o);

/** net_frame() - put a frame on the wire to the lane */
void net_frame(struct net *n, const uint8_t *frame, size_t len);

/** net_segment() - a segment of connection @i as numbers, ports and addresses are; to be changed */
struct frame_segment net_segment(const struct net *n, unsigned int i);

/** net_send() - build and put on the wire */
void net_send(struct net *n, const struct frame_segment *s);

/** net_turns() - turns until the lane is idle, which it becomes; no frame is lost meanwhile */
void net_turns(struct net *n);

/** net_run() - net_turns(), and the clock moved on by @ms, timer by timer */
void net_run(struct net *n, uint32_t ms);

/** net_now_ms() - the lane's clock, for timestamps */
uint32_t net_now_ms(const struct net *n);

/** net_held() - frames that are neither free nor posted for receiving */
uint64_t net_held(const struct net *n);

/** net_close() - end the lane; memory is given back */
void net_close(struct net *n);

#endif
