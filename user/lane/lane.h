/* SPDX-License-Identifier: MIT */
/*
 * A lane: one queue, one thread, run to completion (DESIGN: docs/design.md). The worker's main
 * gives it an arena, a port and a clock and calls mr_lane_turn(); so do the lane tests and the
 * benchmark on the in-memory wire.
 */
#ifndef MR_LANE_RUN_H
#define MR_LANE_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/types.h>

#include "millrace/app.h"
#include "shared/mr_full.h"
#include "shared/mr_lane.h"
#include "shared/mr_maps.h"
#include "shared/mr_worker.h"
#include "user/frame/arena.h"
#include "user/port/port.h"

struct mr_lane;

/**
 * struct mr_lane_asks - what a lane asks the daemon; answers come by the mr_lane_*() calls below
 * @path:	resolve a path; answer: mr_lane_path_answer()
 * @listen:	reserve and steer a port; answer: mr_lane_listen_answer()
 * @unlisten:	give it back
 * @rule_ended:	a rule that leaves has no connection here any more
 *
 * Each returns 0 or -errno (nothing was asked). NULL: the lane has no daemon, and says -ENOTCONN.
 */
struct mr_lane_asks {
	int (*path)(void *arg, const uint8_t remote[16]);
	int (*listen)(void *arg, uint64_t cookie, const uint8_t addr[16], uint16_t port);
	int (*unlisten)(void *arg, const uint8_t addr[16], uint16_t port);
	int (*rule_ended)(void *arg, uint32_t rule_id);
};

/**
 * struct mr_lane_setup - everything a lane is made of; borrowed for its life
 * @config:	followed by its n_rules rules, and their n_prefixes prefixes
 * @directories: MR_MAX_DIRECTORIES descriptors that rules name by index, -1 for none. NULL where no
 *		rule names one, now or later
 * @beat:	where the heartbeat goes, or NULL
 * @full:	where sources at their limit stand for the XDP program, or NULL
 * @stats:	where it counts; kept across generations
 * @mailbox:	shared by all lanes of the interface, or NULL with one lane
 * @doorbells:	eventfds of all lanes, or NULL
 * @paths:	the daemon's path table, or NULL
 * @apps:	known applications
 * @clock_ns:	CLOCK_MONOTONIC, or a virtual clock
 * @ticks_rate:	mr_ticks_rate(): callbacks are timed by the processor's counter; 0: by the clock
 * @held:	which frames the kernel holds for an earlier generation (mr_frames_init()), or NULL
 * @fresh:	believe nothing that an earlier generation left but @held
 */
struct mr_lane_setup {
	const struct mr_arena *arena;
	struct mr_port *port;
	const struct mr_lane_config *config;
	const struct mr_lane_rule *rules;
	const struct mr_net *prefixes;
	const int *directories;
	struct mr_beat *beat;
	struct mr_full *full;
	struct mr_lane_stats *stats;
	struct mr_mailbox_header *mailbox;
	const int *doorbells;
	const struct mr_path_table *paths;
	const struct mr_app *const *apps;
	unsigned int n_apps;
	const struct mr_lane_asks *asks;
	void *asks_arg;
	uint64_t (*clock_ns)(void *arg);
	void *clock_arg;
	uint64_t ticks_rate;
	const uint8_t *held;
	bool zero_copy;
	bool fresh;
	uint32_t lane;
	uint32_t n_lanes;
	uint32_t epoch;
};

/**
 * mr_lane_new() - make a lane over an arena
 * @error:	out: one line, what is wrong with the setup
 *
 * An arena that an earlier generation used is taken over, however that one ended: its connections
 * go on, but for what it had in hand, which is reset (counted as MR_CLOSE_WORKER_DIED). Frames that
 * the kernel holds stay with it. With @setup->fresh all are reset.
 *
 * Return: the lane, or NULL
 */
struct mr_lane *mr_lane_new(const struct mr_lane_setup *setup, char *error, size_t error_bytes);

/** mr_lane_texts() - frames with text that were received so far */
uint64_t mr_lane_texts(const struct mr_lane *l);

/** mr_lane_free() - reset all connections, stop the applications, free what is derived */
void mr_lane_free(struct mr_lane *l);

/**
 * mr_lane_leave() - between two turns: stop the applications, free what is derived, and leave all
 *		     else to the next generation
 */
void mr_lane_leave(struct mr_lane *l);

/**
 * mr_lane_drain() - from now on nobody listens, or again
 *
 * SYNs are answered by RST, as at a closed port; what is open or half open goes on.
 */
void mr_lane_drain(struct mr_lane *l, bool on);

/**
 * mr_lane_syn() - from now on: whether the XDP program is to answer SYNs, and when
 * @at_percent:	of all half-open records in use it begins; out of range: as by default
 * @calm_s:	for so long it must be calm before it ends; 0: as by default
 */
void mr_lane_syn(struct mr_lane *l, bool answers, uint32_t at_percent, uint32_t calm_s);

/** mr_lane_time_by() - callbacks are timed by the processor's counter now, between two turns */
void mr_lane_time_by(struct mr_lane *l, uint64_t ticks_rate);

/**
 * mr_lane_capture() - copy the frames that are sent into the arena (shared/mr_sent.h)
 * @until_ns:	on the lane's clock; 0, or past: no more
 * @copy_bytes:	of each frame, at most MR_SENT_COPY_MOST
 */
void mr_lane_capture(struct mr_lane *l, uint64_t until_ns, uint32_t copy_bytes);

/** mr_lane_is_drained() - it is draining, and nothing is open or half open any more */
bool mr_lane_is_drained(const struct mr_lane *l);

/**
 * mr_lane_turn() - one turn: receive, deliver, send, timers, refill. Never blocks
 *
 * Return: how many things it did; 0: the lane is idle
 */
unsigned int mr_lane_turn(struct mr_lane *l);

/**
 * mr_lane_sleep_ms() - how long the lane may sleep, at most beat_ms; 0: it may not
 *
 * Call it after a turn that returned 0.
 */
uint32_t mr_lane_sleep_ms(struct mr_lane *l);

/**
 * mr_lane_doze() - announce sleep to the other lanes
 *
 * Return: false when mail came meanwhile: do not sleep. mr_lane_wake() must follow either way
 */
bool mr_lane_doze(struct mr_lane *l);
void mr_lane_wake(struct mr_lane *l);

/** mr_lane_next_ns() - when the next timer fires on the lane's clock, UINT64_MAX: none */
uint64_t mr_lane_next_ns(const struct mr_lane *l);

/** Answers and news of the daemon. */
void mr_lane_path_answer(struct mr_lane *l, const uint8_t remote[16], int index_or_error);
void mr_lane_listen_answer(struct mr_lane *l, uint64_t cookie, int error);
void mr_lane_listener(struct mr_lane *l, const uint8_t addr[16], uint16_t port, uint32_t owner,
		      bool on);

/**
 * mr_lane_rules() - other rules from now on; between two turns
 * @rules, @prefixes:	as in struct mr_lane_setup; borrowed until other rules take their place
 * @error:		out: one line, why they are refused
 *
 * A rule that is as before, but for whom it names, goes on with its connections and what its
 * application keeps. One that leaves gets no new connections. What is free now is stopped; while
 * connections have a number, it neither is freed nor becomes another rule's.
 *
 * Return: 0, or -errno with all as it was: -EBUSY for a number that is in use, -ENOENT for an
 *	   application that is not here, whatever an application says that does not start, -ENOMEM
 */
int mr_lane_rules(struct mr_lane *l, const struct mr_lane_rule *rules, uint32_t n,
		  const struct mr_net *prefixes, char *error, size_t error_bytes);

/**
 * struct mr_lane_channel - a program's channel
 * @number:	0 to MR_ATTACH_CHANNELS - 1, none that stands; to an arena that is taken over all
 *		channels come back under their numbers, before the first turn
 * @memory:	memfd (user/attach/channel.h); it may be closed afterwards
 * @bell:	a socket: a byte is sent there when the program sleeps; borrowed until
 *		mr_lane_detach(). -1: nobody is rung
 * @rules, @n_rules: numbers of the rules that it may serve; NULL: all
 */
struct mr_lane_channel {
	uint32_t number;
	int memory;
	int bell;
	const uint16_t *rules;
	uint32_t n_rules;
};

/**
 * mr_lane_attach() - serve a program by a channel from now on; between two turns
 *
 * Return: 0, or -EBUSY (the number stands), -EINVAL, -EPROTO (@memory is no channel), -ENOMEM,
 *	   and nothing changed
 */
int mr_lane_attach(struct mr_lane *l, const struct mr_lane_channel *from);

/**
 * mr_lane_detach() - the program is gone; between two turns
 *
 * Its listeners leave at once. Its connections are closed as the kernel closes a dead process's:
 * what it sent is sent, unread bytes make it an RST. The number is free when the last one ended.
 */
void mr_lane_detach(struct mr_lane *l, uint32_t number);

/** mr_lane_is_attached() - does the number stand still? */
bool mr_lane_is_attached(const struct mr_lane *l, uint32_t number);

/** mr_lane_memory() - bytes of derived memory (tables, application state), for accounting */
uint64_t mr_lane_memory(const struct mr_lane *l);

/** mr_lane_host() - the lane as its applications see it (tests call the application API with it) */
struct mr_host *mr_lane_host(struct mr_lane *l);

/**
 * mr_lane_connect() - open a connection without an application's connection at hand
 * @rule:	rule id whose application serves it
 *
 * For tests and load generators. As mr_connect().
 */
int mr_lane_connect(struct mr_lane *l, uint32_t rule, const struct sockaddr *remote,
		    mr_conn_id *id);

#endif
