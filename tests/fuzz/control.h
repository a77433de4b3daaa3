/* SPDX-License-Identifier: MIT */
/*
 * A daemon with two lanes and nothing behind them: for the targets of the control API, of the
 * arenas that it reads, and of the messages between parent, child and workers.
 */
#ifndef MR_FUZZ_CONTROL_H
#define MR_FUZZ_CONTROL_H

#include "user/daemon/child.h"
#include "user/frame/arena.h"

enum {
	CONTROL_LANES = 2,
	CONTROL_CONNS = 64,
};

struct control {
	struct mr_daemon d;
	struct mr_child c;
	struct mr_link link;
	struct mr_settings_interface interface;
	struct mr_lane lanes[CONTROL_LANES];
	struct mr_ward wards[CONTROL_LANES];
	struct mr_settings_rule rules[2];
	struct mr_beat beats[CONTROL_LANES];
	struct mr_lane_stats stats[CONTROL_LANES];
	struct mr_arena arena[CONTROL_LANES];
};

/** control_init() - fill it in; once a program */
void control_init(struct control *k);

#endif
