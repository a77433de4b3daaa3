/* SPDX-License-Identifier: MIT */
/* What benchmarks in C share: the clock, the memory, a line of JSON, a median. */
#ifndef MR_BENCH_FIGURE_H
#define MR_BENCH_FIGURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A function of its own, so that a profile can tell what it calls from the rest. */
#if __has_attribute(noipa)
#define KEEP_WHOLE __attribute__((noipa))
#else
#define KEEP_WHOLE __attribute__((noinline))
#endif

static inline double seconds_on(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the process has in memory now; 0: /proc does not say. */
static inline uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline void figure(const char *name, double value, const char *unit)
{
	printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", name, value, unit);
	fflush(stdout);
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts. */
static inline double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

#endif
