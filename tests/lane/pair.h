/* SPDX-License-Identifier: MIT */
/*
 * Two lanes on an in-memory wire with a virtual clock: 0 is the server (192.0.2.2, 2001:db8::2),
 * 1 the client (192.0.2.1, 2001:db8::1). Deterministic. For lane tests and benchmarks.
 *
 *	lane 1 (client) ---- mr_memory_wire, delay, fate ---- lane 0 (server)
 */
#ifndef MR_PAIR_H
#define MR_PAIR_H

#include "user/lane/lane.h"
#include "user/port/memory.h"

enum {
	PAIR_RULES = 16,
	PAIR_SERVER = 0,
	PAIR_CLIENT = 1,
};

struct pair_end {
	int arena_fd;
	struct mr_arena arena;
	struct mr_lane_config config;
	struct mr_lane_rule rule[PAIR_RULES];
	struct mr_lane_stats stats;
	struct mr_path_table *paths;
	uint8_t asked[16]; /* path that was asked for and is to be answered */
	bool has_asked;
	bool mute;	     /* the daemon answers no path */
	uint32_t ended_rule; /* the last that the lane told of, plus 1 */
	struct {
		bool asked; /* not answered yet */
		uint64_t cookie;
		uint16_t port;
		int error;	    /* what the daemon answers */
		unsigned int given; /* back by the lane */
	} listen;
	struct mr_lane_setup setup;
	struct mr_lane *lane;
};

struct pair {
	struct pair_end end[2];
	struct mr_memory_wire *wire;
	bool real_clock; /* benchmarks measure; tests run on the wire's clock */
	uint64_t ticks_rate;
};

/* Sizes and times that a test may change between pair_init() and pair_start(). */
struct pair_options {
	uint32_t frames;
	uint32_t conns;
	uint64_t delay_ns;
	uint32_t ring_size;
	uint32_t client_frames; /* 0: as many as the server */
	/* 0: 1024, 4096, 1024, 16 MiB */
	uint32_t half_open;
	uint32_t time_wait;
	uint32_t sessions;
	uint32_t message_bytes;
	bool huge; /* the arenas on huge pages, if there are as many as they need */
};

#define PAIR_OPTIONS                                                                               \
	((struct pair_options){                                                                    \
		.frames = 2048, .conns = 4096, .delay_ns = 10000, .ring_size = 512 })

/** pair_init() - arenas, wire and default configuration; no rules, no lanes yet */
void pair_init(struct pair *p, struct pair_options o);

/** pair_rule() - add a rule for @app on @port to one end; returns it to be changed */
struct mr_lane_rule *pair_rule(struct pair *p, int end, const char *app, uint16_t port);

/** pair_start() - make both lanes; @apps: known to both, besides the built-in ones */
void pair_start(struct pair *p, const struct mr_app *const *apps, unsigned int n_apps);

/** pair_step() - one turn of each lane; true: something happened */
bool pair_step(struct pair *p);

/** pair_run() - turns, and the clock to the next event, until @done says so or @ms are over
 *
 * Return: did @done say so? NULL: run for @ms
 */
bool pair_run(struct pair *p, uint32_t ms, bool (*done)(void *arg), void *arg);

/** pair_connect() - the client opens a connection to the server's @port; fails the program else */
mr_conn_id pair_connect(struct pair *p, uint32_t client_rule, uint16_t port, bool ipv6);

/** pair_connect_with() - the same with text to be sent first; @len: out: how much was queued */
mr_conn_id pair_connect_with(struct pair *p, uint32_t client_rule, uint16_t port, bool ipv6,
			     const void *text, size_t *len);

/** pair_kill() - what SIGKILL leaves of a lane: arena and port, nothing said to anybody */
void pair_kill(struct pair *p, int end);

/** pair_replace() - another lane takes over what pair_kill() or mr_lane_leave() left */
void pair_replace(struct pair *p, int end);

/** pair_frames_are_whole() - frames of a lane in all states are its frames, none is held */
bool pair_frames_are_whole(const struct pair *p, int end, uint64_t *held);

/** pair_free() - lanes, wire, arenas */
void pair_free(struct pair *p);

#endif
