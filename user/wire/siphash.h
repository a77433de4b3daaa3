/* SPDX-License-Identifier: MIT */
/* SipHash: a fast short-input PRF (Aumasson, Bernstein 2012), sections 2.1 to 2.4. */
#ifndef MR_SIPHASH_H
#define MR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct mr_siphash_key {
	uint64_t k[2];
};

struct siphash_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void siphash_rounds(struct siphash_state *s, unsigned int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
		s->v0 = siphash_rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
		s->v2 = siphash_rotate(s->v2, 32);
	}
}

static inline struct siphash_state siphash_begin(const struct mr_siphash_key *key)
{
	return (struct siphash_state){
		key->k[0] ^ 0x736f6d6570736575ull,
		key->k[1] ^ 0x646f72616e646f6dull,
		key->k[0] ^ 0x6c7967656e657261ull,
		key->k[1] ^ 0x7465646279746573ull,
	};
}

static inline void siphash_compress(struct siphash_state *s, uint64_t m, unsigned int c)
{
	s->v3 ^= m;
	siphash_rounds(s, c);
	s->v0 ^= m;
}

static inline uint64_t siphash_end(struct siphash_state *s, unsigned int d)
{
	s->v2 ^= 0xff;
	siphash_rounds(s, d);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
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
