/* SPDX-License-Identifier: MIT */
/* SipHash: a fast short-input PRF (Aumasson, Bernstein 2012), sections 2.1 to 2.4. */
#include "user/wire/siphash.h"

#include <string.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline uint64_t load_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

/* The last word: the bytes that are left, and the length modulo 256 on top. */
static inline uint64_t last_word(const uint8_t *p, size_t left, size_t len)
{
	uint64_t m = 0;
	uint32_t four;

	for (size_t i = left; i > (left & 4); i--)
		m = m << 8 | p[i - 1];
	if (left & 4) {
		memcpy(&four, p, sizeof(four));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		four = __builtin_bswap32(four);
#endif
		m = m << 32 | four;
	}
	return m | (uint64_t)len << 56;
}

static inline void rounds(struct state *s, unsigned int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static inline void compress(struct state *s, uint64_t m, unsigned int c)
{
	s->v3 ^= m;
	rounds(s, c);
	s->v0 ^= m;
}

/* SipHash-c-d; c and d are constants of the two callers, so the loops unroll. */
static inline uint64_t siphash(const struct mr_siphash_key *key, const void *data, size_t len,
			       unsigned int c, unsigned int d)
{
	const uint8_t *p = data;
	struct state s = {
		key->k[0] ^ 0x736f6d6570736575ull,
		key->k[1] ^ 0x646f72616e646f6dull,
		key->k[0] ^ 0x6c7967656e657261ull,
		key->k[1] ^ 0x7465646279746573ull,
	};
	size_t left;

	for (left = len; left >= 8; left -= 8, p += 8)
		compress(&s, load_le64(p), c);
	compress(&s, last_word(p, left, len), c);
	s.v2 ^= 0xff;
	rounds(&s, d);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *data, size_t len)
{
	return siphash(key, data, len, 2, 4);
}

uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *data, size_t len)
{
	return siphash(key, data, len, 1, 3);
}
