/* SPDX-License-Identifier: MIT */
/*
 * Short times, measured by the processor's counter where it runs at one rate for all cores: a
 * reading costs a third of the clock's, and there are two a message.
 */
#ifndef MR_LANE_TICKS_H
#define MR_LANE_TICKS_H

#include <stdint.h>

/**
 * mr_ticks_rate() - nanoseconds of CLOCK_MONOTONIC a tick, times 2^32
 *
 * Takes five milliseconds. 0: this processor has no such counter; ask the clock.
 */
uint64_t mr_ticks_rate(void);

/* When measuring began. */
struct mr_ticks_mark {
	uint64_t ns;
	uint64_t ticks; /* 0: this processor has no such counter */
};

/** mr_ticks_begin() - begin to measure, without waiting */
void mr_ticks_begin(struct mr_ticks_mark *m);

/** mr_ticks_rate_since() - mr_ticks_rate() once five milliseconds have passed since @m, else 0 */
uint64_t mr_ticks_rate_since(const struct mr_ticks_mark *m);

static inline uint64_t mr_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

/** mr_ticks_ns() - @ticks in nanoseconds; 0 when they ran backwards, between cores that disagree */
static inline uint64_t mr_ticks_ns(uint64_t ticks, uint64_t rate)
{
	if ((int64_t)ticks < 0)
		return 0;
	return (uint64_t)((unsigned __int128)ticks * rate >> 32);
}

#endif
