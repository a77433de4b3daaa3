/* SPDX-License-Identifier: MIT */
/*
 * The connection table: open addressing over cache-line buckets of twelve entries, each a one-byte
 * tag and a 32-bit entry; about 7 bytes a connection at its usual load. It grows by moving a few
 * buckets at every insertion, never in one pause. It holds no keys: the owner compares.
 */
#ifndef MR_TABLE_H
#define MR_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MR_BUCKET_SLOTS = 12,
};

/* What an entry names: the kind in the upper two bits, an index below. */
enum mr_entry_kind {
	MR_ENTRY_CONN = 0u,
	MR_ENTRY_HALF = 1u,
	MR_ENTRY_TIME_WAIT = 2u,
};

#define MR_ENTRY_NONE 0xffffffffu

static inline uint32_t mr_entry(enum mr_entry_kind kind, uint32_t index)
{
	return (uint32_t)kind << 30 | index;
}

static inline enum mr_entry_kind mr_entry_kind(uint32_t entry)
{
	return (enum mr_entry_kind)(entry >> 30);
}

static inline uint32_t mr_entry_index(uint32_t entry)
{
	return entry & ((1u << 30) - 1);
}

struct mr_bucket {
	uint32_t entry[MR_BUCKET_SLOTS];
	uint8_t tag[MR_BUCKET_SLOTS]; /* 0: free */
	uint32_t overflow;	      /* entries of this home that stand in later buckets */
};

_Static_assert(sizeof(struct mr_bucket) == 64, "a bucket is a cache line");

/* One generation of the table. */
struct mr_buckets {
	struct mr_bucket *bucket;
	uint32_t mask;
};

/**
 * struct mr_table - the table
 * @matches:	does @entry stand for @key?
 * @hash_of:	the hash of an entry's key, for growing
 */
struct mr_table {
	struct mr_buckets now;
	struct mr_buckets old; /* while growing */
	uint32_t moved;	       /* old buckets moved so far */
	uint32_t count;
	bool (*matches)(void *arg, uint32_t entry, const void *key);
	uint64_t (*hash_of)(void *arg, uint32_t entry);
	void *arg;
};

/** mr_table_init() - empty, with room for about @expected entries before it grows; 0 or -ENOMEM */
int mr_table_init(struct mr_table *t, uint32_t expected,
		  bool (*matches)(void *, uint32_t, const void *),
		  uint64_t (*hash_of)(void *, uint32_t), void *arg);

/** mr_table_fini() - free its memory */
void mr_table_fini(struct mr_table *t);

/** mr_table_prefetch() - touch the bucket of a hash */
static inline void mr_table_prefetch(const struct mr_table *t, uint64_t hash)
{
	__builtin_prefetch(&t->now.bucket[hash & t->now.mask]);
}

/** mr_table_find() - the entry for @key, or MR_ENTRY_NONE */
uint32_t mr_table_find(struct mr_table *t, uint64_t hash, const void *key);

/** mr_table_guess() - the first entry with the hash's tag, not compared: for prefetching */
uint32_t mr_table_guess(const struct mr_table *t, uint64_t hash);

/** mr_table_insert() - add an entry that is not there; never fails once initialised */
void mr_table_insert(struct mr_table *t, uint64_t hash, uint32_t entry);

/** mr_table_replace() - let another entry stand for the same key; false: @from is not there */
bool mr_table_replace(struct mr_table *t, uint64_t hash, uint32_t from, uint32_t to);

/** mr_table_remove() - take an entry out; false: it is not there */
bool mr_table_remove(struct mr_table *t, uint64_t hash, uint32_t entry);

/** mr_table_bytes() - memory in use */
uint64_t mr_table_bytes(const struct mr_table *t);

#endif
