/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * The steps of SipHash (Aumasson, Bernstein 2012), sections 2.1 to 2.4, for user space and BPF.
 *
 * Includes nothing: define __u64 first.
 */
#ifndef MR_SHARED_SIPHASH_H
#define MR_SHARED_SIPHASH_H

struct siphash_state {
	__u64 v0, v1, v2, v3;
};

static inline __u64 siphash_rotate(__u64 x, unsigned int bits)
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

static inline struct siphash_state siphash_begin_words(__u64 k0, __u64 k1)
{
	return (struct siphash_state){
		k0 ^ 0x736f6d6570736575ull,
		k1 ^ 0x646f72616e646f6dull,
		k0 ^ 0x6c7967656e657261ull,
		k1 ^ 0x7465646279746573ull,
	};
}

static inline void siphash_compress(struct siphash_state *s, __u64 m, unsigned int c)
{
	s->v3 ^= m;
	siphash_rounds(s, c);
	s->v0 ^= m;
}

static inline __u64 siphash_end(struct siphash_state *s, unsigned int d)
{
	s->v2 ^= 0xff;
	siphash_rounds(s, d);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
