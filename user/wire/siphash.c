/* SPDX-License-Identifier: MIT */
#include "user/wire/siphash.h"

#include <string.h>

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

/* SipHash-c-d; c and d are constants of the two callers, so the loops unroll. */
static inline uint64_t siphash(const struct mr_siphash_key *key, const void *data, size_t len,
			       unsigned int c, unsigned int d)
{
	const uint8_t *p = data;
	struct siphash_state s = siphash_begin(key);
	size_t left;

	for (left = len; left >= 8; left -= 8, p += 8)
		siphash_compress(&s, load_le64(p), c);
	siphash_compress(&s, last_word(p, left, len), c);
	return siphash_end(&s, d);
}

uint64_t mr_siphash24(const struct mr_siphash_key *key, const void *data, size_t len)
{
	return siphash(key, data, len, 2, 4);
}

uint64_t mr_siphash13(const struct mr_siphash_key *key, const void *data, size_t len)
{
	return siphash(key, data, len, 1, 3);
}
