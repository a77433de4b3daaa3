/* SPDX-License-Identifier: MIT */
/*
 * What source-bytes sends (user/apps/pattern.h): byte i is ((i * 2654435761) >> 13) & 255. It
 * repeats after 2^21 bytes, so one period is enough to send from and to compare with.
 */
#ifndef MR_BENCH_PATTERN_H
#define MR_BENCH_PATTERN_H

#include <stdint.h>
#include <stdlib.h>

enum {
	MR_PATTERN_PERIOD = 1 << 21,
	MR_PATTERN_CHUNK = 1 << 16, /* that may be used from any place in the period */
};

/** mr_pattern_new() - one period and a chunk more, to be freed; NULL: no memory */
static inline uint8_t *mr_pattern_new(void)
{
	uint8_t *p = (uint8_t *)malloc(MR_PATTERN_PERIOD + MR_PATTERN_CHUNK);

	for (uint64_t i = 0; p && i < MR_PATTERN_PERIOD + MR_PATTERN_CHUNK; i++)
		p[i] = (uint8_t)((i * 2654435761u) >> 13);
	return p;
}

#endif
