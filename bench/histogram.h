/* SPDX-License-Identifier: MIT */
/*
 * Latency histogram: log-linear buckets, fixed size, no allocation. Debian has no package of
 * HdrHistogram for C, so this is our own, of the same idea.
 *
 * Values below 2^SUB_BITS have a bucket each. Above, every power of two is cut into 2^SUB_BITS
 * equal buckets: a bucket is never wider than 1/128 of its values, so a quantile is at most 0.8 %
 * too high and never too low.
 *
 *   value 0..127     bucket = value
 *   value 128..255   shift 0: bucket = 128 + (value - 128)
 *   value 256..511   shift 1: bucket = 256 + (value >> 1) - 128
 *   ...
 */
#ifndef MR_BENCH_HISTOGRAM_H
#define MR_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
	MR_HISTOGRAM_SUB_BITS = 7,
	MR_HISTOGRAM_SUB = 1 << MR_HISTOGRAM_SUB_BITS,
	MR_HISTOGRAM_VALUE_BITS = 40, /* 2^40 ns are 18 minutes; larger values count as that */
	MR_HISTOGRAM_BUCKETS = (MR_HISTOGRAM_VALUE_BITS - MR_HISTOGRAM_SUB_BITS + 1)
			       << MR_HISTOGRAM_SUB_BITS,
};

#define MR_HISTOGRAM_LIMIT ((1ull << MR_HISTOGRAM_VALUE_BITS) - 1)

/* Zeroed memory is an empty histogram. Owned by one thread. */
struct mr_histogram {
	uint64_t count;
	uint64_t max;
	uint64_t bucket[MR_HISTOGRAM_BUCKETS];
};

static inline unsigned int mr_histogram_bucket(uint64_t value)
{
	unsigned int shift;

	if (value > MR_HISTOGRAM_LIMIT)
		value = MR_HISTOGRAM_LIMIT;
	if (value < MR_HISTOGRAM_SUB)
		return (unsigned int)value;
	shift = 63 - (unsigned int)__builtin_clzll(value) - MR_HISTOGRAM_SUB_BITS;
	return (shift << MR_HISTOGRAM_SUB_BITS) + (unsigned int)(value >> shift);
}

/* The largest value that falls into @bucket. */
static inline uint64_t mr_histogram_bucket_top(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * MR_HISTOGRAM_SUB)
		return bucket;
	shift = (bucket >> MR_HISTOGRAM_SUB_BITS) - 1;
	return (((uint64_t)bucket - ((uint64_t)shift << MR_HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

/** mr_histogram_add() - count one @value */
static inline void mr_histogram_add(struct mr_histogram *h, uint64_t value)
{
	h->bucket[mr_histogram_bucket(value)]++;
	h->count++;
	if (value > h->max)
		h->max = value;
}

/** mr_histogram_merge() - add all values of @from to @h */
static inline void mr_histogram_merge(struct mr_histogram *h, const struct mr_histogram *from)
{
	for (unsigned int i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
		h->bucket[i] += from->bucket[i];
	h->count += from->count;
	if (from->max > h->max)
		h->max = from->max;
}

/**
 * mr_histogram_quantile() - the value that a share of the values does not exceed
 * @q:	share, 0.0 to 1.0; 0.99 gives the 99th percentile
 *
 * Return: top of the bucket that holds the value of rank ceil(@q * count), at most the largest
 *	   value seen; 0 when empty
 */
static inline uint64_t mr_histogram_quantile(const struct mr_histogram *h, double q)
{
	double wanted = q * (double)h->count;
	uint64_t seen = 0, top;

	if (!h->count)
		return 0;
	for (unsigned int i = 0; i < MR_HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen && (double)seen >= wanted) {
			top = mr_histogram_bucket_top(i);
			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}

#endif
