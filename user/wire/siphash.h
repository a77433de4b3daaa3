/* SPDX-License-Identifier: MIT */
#ifndef MR_SIPHASH_H
#define MR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct mr_siphash_key {
	uint64_t k[2];
};

/** mr_siphash24() - SipHash-2-4 (Aumasson, Bernstein 2012): for initial sequence numbers */
uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *data, size_t len);

/** mr_siphash13() - SipHash-1-3: for hash tables that peers may try to flood */
uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *data, size_t len);

#endif
