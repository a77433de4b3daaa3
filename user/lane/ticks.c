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

void mr_ticks_begin(struct mr_ticks_mark *m)
{
	*m = (struct mr_ticks_mark){ .ns = clock_ns(), .ticks = is_invariant() ? mr_ticks() : 0 };
}

uint64_t mr_ticks_rate_since(const struct mr_ticks_mark *m)
{
	uint64_t ns = clock_ns() - m->ns, ticks = mr_ticks() - m->ticks;

	if (!m->ticks || ns < MEASURE_NS || !ticks)
		return 0;
	return (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

uint64_t mr_ticks_rate(void)
{
	const struct timespec wait = { .tv_nsec = MEASURE_NS };
	struct mr_ticks_mark m;

	mr_ticks_begin(&m);
	if (m.ticks)
		nanosleep(&wait, NULL);
	return mr_ticks_rate_since(&m);
}
