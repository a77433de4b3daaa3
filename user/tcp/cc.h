/* SPDX-License-Identifier: MIT */
/*
 * Congestion control: one file an algorithm, behind this table. Loss detection and recovery are
 * not here: they call in.
 */
#ifndef MR_CC_H
#define MR_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_arena.h"

/**
 * struct mr_cc - an algorithm; writes cwnd, ssthresh and cc_acked of the connection only
 * @init:	the handshake is done, snd_mss is known; @syn_lost: initial window of one segment
 * @acked:	@bytes were newly acknowledged outside recovery; @limited: the window was used up
 * @ssthresh:	loss was found with @flight bytes outstanding: the new ssthresh
 */
struct mr_cc {
	const char *name;
	void (*init)(struct mr_conn *c, bool syn_lost);
	void (*acked)(struct mr_conn *c, uint32_t bytes, bool limited);
	uint32_t (*ssthresh)(const struct mr_conn *c, uint32_t flight);
};

/** mr_cc_of() - the connection's algorithm */
const struct mr_cc *mr_cc_of(const struct mr_conn *c);

extern const struct mr_cc mr_cc_newreno;

#endif
