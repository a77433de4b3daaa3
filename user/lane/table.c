/* SPDX-License-Identifier: MIT */
#include "user/lane/table.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	MOVE_STEP = 2, /* old buckets moved at each insertion: done before the next growth */
	LOAD_NUMERATOR = 3,
	LOAD_DENOMINATOR = 4,
	BUCKETS_MIN = 16,
};

/* The upper bits, so that the tag says something that the bucket's number does not. */
static uint8_t tag_of(uint64_t hash)
{
	uint8_t tag = (uint8_t)(hash >> 56);

	return tag ? tag : 1;
}

/* Zeroed lazily by the kernel: a large table costs nothing until it is used. */
static int buckets_init(struct mr_buckets *b, uint32_t n)
{
	void *p = mmap(NULL, (size_t)n * sizeof(struct mr_bucket), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	b->bucket = p;
	b->mask = n - 1;
	return 0;
}

static void buckets_fini(struct mr_buckets *b)
{
	if (b->bucket)
		munmap(b->bucket, ((size_t)b->mask + 1) * sizeof(struct mr_bucket));
	b->bucket = NULL;
}

int mr_table_init(struct mr_table *t, uint32_t expected,
		  bool (*matches)(void *, uint32_t, const void *),
		  uint64_t (*hash_of)(void *, uint32_t), void *arg)
{
	uint32_t n = BUCKETS_MIN;

	while ((uint64_t)n * MR_BUCKET_SLOTS * LOAD_NUMERATOR / LOAD_DENOMINATOR < expected)
		n *= 2;
	*t = (struct mr_table){ .matches = matches, .hash_of = hash_of, .arg = arg };
	return buckets_init(&t->now, n);
}

void mr_table_fini(struct mr_table *t)
{
	buckets_fini(&t->now);
	buckets_fini(&t->old);
}

/* One bit for each slot that has the tag. */
static uint32_t slots_with(const struct mr_bucket *bucket, uint8_t tag)
{
#ifdef __SSE2__ /* the tags are the first twelve of the bucket's last sixteen bytes */
	const __m128i all = _mm_loadu_si128((const __m128i *)(const void *)bucket->tag);
	const __m128i hits = _mm_cmpeq_epi8(all, _mm_set1_epi8((char)tag));

	return (uint32_t)_mm_movemask_epi8(hits) & ((1u << MR_BUCKET_SLOTS) - 1);
#else
	uint32_t hits = 0;

	for (int s = 0; s < MR_BUCKET_SLOTS; s++)
		hits |= (uint32_t)(bucket->tag[s] == tag) << s;
	return hits;
#endif
}

/* The slot of @entry, or with a @key of the entry that matches it; NULL: none. */
static uint32_t *find_slot(struct mr_table *t, struct mr_buckets *b, uint64_t hash, uint32_t entry,
			   const void *key)
{
	uint8_t tag = tag_of(hash);
	uint32_t i = (uint32_t)hash & b->mask;

	for (uint32_t n = 0; n <= b->mask; n++, i = (i + 1) & b->mask) {
		struct mr_bucket *bucket = &b->bucket[i];

		for (uint32_t hits = slots_with(bucket, tag); hits; hits &= hits - 1) {
			int s = __builtin_ctz(hits);

			if (key ? t->matches(t->arg, bucket->entry[s], key)
				: bucket->entry[s] == entry)
				return &bucket->entry[s];
		}
		if (!bucket->overflow)
			return NULL;
	}
	return NULL;
}

static struct mr_bucket *bucket_of(struct mr_buckets *b, const uint32_t *slot)
{
	size_t at = (size_t)((const char *)slot - (const char *)b->bucket);

	return &b->bucket[at / sizeof(struct mr_bucket)];
}

static void clear_slot(struct mr_buckets *b, uint64_t hash, uint32_t *slot)
{
	struct mr_bucket *stands_in = bucket_of(b, slot);
	uint32_t i = (uint32_t)hash & b->mask;

	stands_in->tag[slot - stands_in->entry] = 0;
	for (; &b->bucket[i] != stands_in; i = (i + 1) & b->mask)
		b->bucket[i].overflow--;
}

static void put(struct mr_buckets *b, uint64_t hash, uint32_t entry)
{
	uint32_t i = (uint32_t)hash & b->mask;

	for (;; i = (i + 1) & b->mask) {
		struct mr_bucket *bucket = &b->bucket[i];

		unsigned int empty = slots_with(bucket, 0);

		if (empty) {
			int s = __builtin_ctz(empty);

			bucket->tag[s] = tag_of(hash);
			bucket->entry[s] = entry;
			return;
		}
		bucket->overflow++;
	}
}

static void move_some(struct mr_table *t, uint32_t n)
{
	while (t->old.bucket && n--) {
		struct mr_bucket *bucket = &t->old.bucket[t->moved];

		for (int s = 0; s < MR_BUCKET_SLOTS; s++) {
			uint64_t hash;

			if (!bucket->tag[s])
				continue;
			hash = t->hash_of(t->arg, bucket->entry[s]);
			put(&t->now, hash, bucket->entry[s]);
			clear_slot(&t->old, hash, &bucket->entry[s]);
		}
		if (++t->moved > t->old.mask)
			buckets_fini(&t->old);
	}
}

/* Without memory for a larger one the table goes on fuller, as long as it has free slots. */
static void grow_if_full(struct mr_table *t)
{
	uint64_t slots = ((uint64_t)t->now.mask + 1) * MR_BUCKET_SLOTS;
	struct mr_buckets larger;

	if (t->old.bucket || t->count * (uint64_t)LOAD_DENOMINATOR < slots * LOAD_NUMERATOR)
		return;
	if (buckets_init(&larger, (t->now.mask + 1) * 2) < 0)
		return;
	t->old = t->now;
	t->now = larger;
	t->moved = 0;
}

static uint32_t *find(struct mr_table *t, uint64_t hash, uint32_t entry, const void *key,
		      struct mr_buckets **in)
{
	uint32_t *slot = find_slot(t, &t->now, hash, entry, key);

	*in = &t->now;
	if (!slot && t->old.bucket) {
		slot = find_slot(t, &t->old, hash, entry, key);
		*in = &t->old;
	}
	return slot;
}

uint32_t mr_table_find(struct mr_table *t, uint64_t hash, const void *key)
{
	struct mr_buckets *in;
	uint32_t *slot = find(t, hash, 0, key, &in);

	return slot ? *slot : MR_ENTRY_NONE;
}

uint32_t mr_table_guess(const struct mr_table *t, uint64_t hash)
{
	const struct mr_bucket *bucket = &t->now.bucket[(uint32_t)hash & t->now.mask];
	unsigned int hits = slots_with(bucket, tag_of(hash));

	return hits ? bucket->entry[__builtin_ctz(hits)] : MR_ENTRY_NONE;
}

void mr_table_insert(struct mr_table *t, uint64_t hash, uint32_t entry)
{
	grow_if_full(t);
	move_some(t, MOVE_STEP);
	put(&t->now, hash, entry);
	t->count++;
}

bool mr_table_replace(struct mr_table *t, uint64_t hash, uint32_t from, uint32_t to)
{
	struct mr_buckets *in;
	uint32_t *slot = find(t, hash, from, NULL, &in);

	if (slot)
		*slot = to;
	return slot != NULL;
}

bool mr_table_remove(struct mr_table *t, uint64_t hash, uint32_t entry)
{
	struct mr_buckets *in;
	uint32_t *slot = find(t, hash, entry, NULL, &in);

	if (!slot)
		return false;
	clear_slot(in, hash, slot);
	t->count--;
	return true;
}

uint64_t mr_table_bytes(const struct mr_table *t)
{
	uint64_t buckets = (uint64_t)t->now.mask + 1 + (t->old.bucket ? t->old.mask + 1u : 0);

	return buckets * sizeof(struct mr_bucket);
}
