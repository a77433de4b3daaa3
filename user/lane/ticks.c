/* SPDX-License-Identifier: MIT */
#include "user/lane/ticks.h"

#include <time.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

enum {
	MEASURE_NS = 5000000,
	INVARIANT_LEAF = 0x80000007, /* AMD64 manual 3, Intel manual 3B 18.17.1: bit 8 of EDX */
	INVARIANT_BIT = 1 << 8,
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#ifdef __x86_64__
static int is_invariant(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid((unsigned int)INVARIANT_LEAF, &a, &b, &c, &d) && d & INVARIANT_BIT;
}
#else
static int is_invariant(void)
{
	return 0;
}
#endif

uint64_t mr_ticks_rate(void)
{
	const struct timespec wait = { .tv_nsec = MEASURE_NS };
	uint64_t ns, ticks;

	if (!is_invariant())
		return 0;
	ns = clock_ns();
	ticks = mr_ticks();
	nanosleep(&wait, NULL);
	ns = clock_ns() - ns;
	ticks = mr_ticks() - ticks;
	return ticks && ns ? (uint64_t)(((unsigned __int128)ns << 32) / ticks) : 0;
}
