/* SPDX-License-Identifier: MIT */
/* SipHash: a fast short-input PRF (Aumasson, Bernstein 2012), sections 2.1 to 2.4. */
#ifndef MR_SIPHASH_H
#define MR_SIPHASH_H

#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_siphash.h"

struct mr_siphash_key {
	uint64_t k[2];
};

static inline struct siphash_state siphash_begin(const struct mr_siphash_key *key)
{
	return siphash_begin_words(key->k[0], key->k[1]);
}

/** mr_siphash24() - SipHash-2-4 (Aumasson, Bernstein 2012): for initial sequence numbers */
uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *data, size_t len);

/** mr_siphash13() - SipHash-1-3: for hash tables that peers may try to flood */
uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *data, size_t len);

/** mr_siphash13_12() - the same of twelve bytes, the first eight and the last four as little-endian
 * numbers */
static inline uint64_t mr_siphash13_12(const struct mr_siphash_key *key, uint64_t first,
				       uint32_t last)
{
	struct siphash_state s = siphash_begin(key);

	siphash_compress(&s, first, 1);
	siphash_compress(&s, last | 12ull << 56, 1);
	return siphash_end(&s, 3);
}

#endif
