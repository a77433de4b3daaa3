/* SPDX-License-Identifier: MIT */
/*
 * Segment size and path: what routers say (RFC 1191, RFC 8201, checked as RFC 5927 asks), what
 * probes find (RFC 4821), and what is remembered of a destination for later connections.
 */
#ifndef MR_PMTU_H
#define MR_PMTU_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/mr_worker.h"

enum {
	MR_PMTU_SETS = 128,
	MR_PMTU_WAYS = 4,
	MR_PMTU_LIFE_MS = 600000, /* RFC 1191 6.3: a larger size is tried after 10 minutes */
};

/* A destination whose path takes less than the interface. */
struct mr_pmtu_entry {
	uint8_t remote[16];
	uint32_t mtu;
	uint32_t expires_ms; /* 0: free */
};

/**
 * struct mr_pmtu_cache - of one lane; all zeros: empty
 * @n_learned:	entries ever written, so that lanes without any look nothing up
 */
struct mr_pmtu_cache {
	uint32_t n_learned;
	struct mr_pmtu_entry entry[MR_PMTU_SETS][MR_PMTU_WAYS];
};

struct mr_tcp;

/** mr_pmtu_lookup() - the remembered MTU of the path to @remote, 0: none, or too old */
uint32_t mr_pmtu_lookup(struct mr_tcp *t, const uint8_t remote[16]);

/** mr_pmtu_learn() - remember it for 10 minutes; the oldest of the same set makes room */
void mr_pmtu_learn(struct mr_tcp *t, const uint8_t remote[16], uint32_t mtu);

/** mr_pmtu_forget() - the path takes what the interface takes */
void mr_pmtu_forget(struct mr_tcp *t, const uint8_t remote[16]);

#endif
