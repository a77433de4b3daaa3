/* SPDX-License-Identifier: MIT */
/*
 * A small byte-code that plays a peer, or many, against a lane: each instruction is two bytes, what
 * to do and for which connection, and operands. Numbers in segments are relative to what the
 * connection stands at, so that random bytes come near to what matters.
 */
#ifndef MR_FUZZ_PLAY_H
#define MR_FUZZ_PLAY_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/net.h"

enum {
	PLAY_ECHO = 7000, /* ports of the lane's rules */
	PLAY_SINK,
	PLAY_ECHO_BYTES,
	PLAY_DISCARD,
	PLAY_SOURCE,
	PLAY_DRILL,
	PLAY_PORTS_END,
};

/** play_open() - a lane with a rule for each port above; the first bytes of @in set it up */
void play_open(struct net *n, struct fuzz_in *in, uint32_t n_lanes);

/** play_instruction() - the next instruction; false: the input is at its end */
bool play_instruction(struct net *n, struct fuzz_in *in);

/** play_close() - the peer falls silent: in the end nothing may be left; gives all back */
void play_close(struct net *n);

#endif
