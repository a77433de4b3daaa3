/* SPDX-License-Identifier: MIT */
/*
 * The simulator's random numbers: splitmix64 (Steele, Lea, Flood 2014), one stream a purpose, so
 * that a change in one part leaves what the others draw as it was.
 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct sim_rng {
	uint64_t state;
};

static inline uint64_t sim_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/** sim_rng_split() - the stream of a purpose (any number) under a seed */
static inline struct sim_rng sim_rng_split(uint64_t seed, uint64_t purpose)
{
	return (struct sim_rng){ sim_mix(sim_mix(seed + 0x9e3779b97f4a7c15ull) ^
					 sim_mix(purpose * 0xd1b54a32d192ed03ull + 1)) };
}

static inline uint64_t sim_draw(struct sim_rng *r)
{
	return sim_mix(r->state += 0x9e3779b97f4a7c15ull);
}

/** sim_between() - lo to hi, both included */
static inline uint64_t sim_between(struct sim_rng *r, uint64_t lo, uint64_t hi)
{
	return lo + sim_draw(r) % (hi - lo + 1);
}

/** sim_chance() - true in @ppm of a million draws; draws nothing for 0 */
static inline bool sim_chance(struct sim_rng *r, uint32_t ppm)
{
	return ppm && sim_draw(r) % 1000000 < ppm;
}

#endif
