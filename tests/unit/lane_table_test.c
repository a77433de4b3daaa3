/* SPDX-License-Identifier: MIT */
/*
 * The connection table (user/lane/table.h) against a naive model: what was inserted and not
 * removed is found, nothing else is, also while it grows; growing never moves more than a few
 * buckets at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/lane/table.h"

enum {
	KEYS = 60000,
	OPERATIONS = 200000,
};

struct model {
	uint64_t key_of[2 * KEYS]; /* by entry index */
	bool in[KEYS];
	bool second[KEYS]; /* stands as entry key + KEYS (after a replace) */
	uint32_t hashed;   /* calls of hash_of: entries moved */
	uint32_t compared;
	uint64_t hash_mask; /* fewer hash values: chains */
	struct mr_table table;
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint64_t hash_key(const struct model *m, uint64_t key)
{
	return mix(key + 1) & m->hash_mask;
}

static bool matches(void *arg, uint32_t entry, const void *key)
{
	struct model *m = arg;

	m->compared++;
	return m->key_of[mr_entry_index(entry)] == *(const uint64_t *)key;
}

static uint64_t hash_of(void *arg, uint32_t entry)
{
	struct model *m = arg;

	m->hashed++;
	return hash_key(m, m->key_of[mr_entry_index(entry)]);
}

static struct model *model_new(uint64_t hash_mask, uint32_t expected)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->hash_mask = hash_mask;
	for (uint32_t i = 0; i < 2 * KEYS; i++)
		m->key_of[i] = i % KEYS;
	assert_int_equal(mr_table_init(&m->table, expected, matches, hash_of, m), 0);
	return m;
}

static void model_free(struct model *m)
{
	mr_table_fini(&m->table);
	free(m);
}

static uint32_t entry_of(const struct model *m, uint32_t key)
{
	return mr_entry(m->second[key] ? MR_ENTRY_TIME_WAIT : MR_ENTRY_CONN,
			m->second[key] ? key + KEYS : key);
}

static uint32_t find(struct model *m, uint64_t key)
{
	return mr_table_find(&m->table, hash_key(m, key), &key);
}

static void insert(struct model *m, uint32_t key)
{
	uint32_t before = m->hashed;

	m->in[key] = true;
	m->second[key] = false;
	mr_table_insert(&m->table, hash_key(m, key), entry_of(m, key));
	/* two buckets at most are moved by one insertion */
	assert_true(m->hashed - before <= 2 * MR_BUCKET_SLOTS);
}

static void remove_key(struct model *m, uint32_t key)
{
	assert_true(mr_table_remove(&m->table, hash_key(m, key), entry_of(m, key)));
	m->in[key] = false;
}

static void replace(struct model *m, uint32_t key)
{
	uint32_t from = entry_of(m, key);

	m->second[key] = !m->second[key];
	assert_true(mr_table_replace(&m->table, hash_key(m, key), from, entry_of(m, key)));
	assert_false(mr_table_replace(&m->table, hash_key(m, key), from, 12345));
}

static void check_all(struct model *m)
{
	uint32_t n = 0;

	for (uint32_t key = 0; key < KEYS; key++) {
		assert_int_equal(find(m, key), m->in[key] ? entry_of(m, key) : MR_ENTRY_NONE);
		n += m->in[key];
	}
	assert_int_equal(m->table.count, n);
}

/* Every home's overflow counts are right: an emptied table has none. */
static void check_empty(struct model *m)
{
	for (uint32_t key = 0; key < KEYS; key++)
		if (m->in[key])
			remove_key(m, key);
	assert_int_equal(m->table.count, 0);
	for (uint32_t b = 0; b <= m->table.now.mask; b++) {
		assert_int_equal(m->table.now.bucket[b].overflow, 0);
		for (int s = 0; s < MR_BUCKET_SLOTS; s++)
			assert_int_equal(m->table.now.bucket[b].tag[s], 0);
	}
	for (uint32_t b = 0; m->table.old.bucket && b <= m->table.old.mask; b++)
		assert_int_equal(m->table.old.bucket[b].overflow, 0);
}

/* Inserts prevail at first, removals later, so that every size is passed in both directions. */
static void random_operations(struct model *m, uint32_t keys, unsigned int seed)
{
	bool seen_growing = false;

	srand(seed);
	for (uint32_t n = 0; n < OPERATIONS; n++) {
		uint32_t key = (uint32_t)rand() % keys;
		uint32_t dice = (uint32_t)rand() % 100;
		uint32_t removals = n < OPERATIONS / 2 ? 15 : 60;

		assert_int_equal(find(m, key), m->in[key] ? entry_of(m, key) : MR_ENTRY_NONE);
		if (!m->in[key])
			insert(m, key);
		else if (dice < removals)
			remove_key(m, key);
		else if (dice < removals + 20)
			replace(m, key);
		assert_int_equal(find(m, key), m->in[key] ? entry_of(m, key) : MR_ENTRY_NONE);
		seen_growing |= m->table.old.bucket != NULL;
		if (n % 20000 == 0)
			check_all(m);
	}
	check_all(m);
	assert_true(seen_growing);
	check_empty(m);
}

static void table_random_operations_agree_with_model(void **state)
{
	struct model *m = model_new(UINT64_MAX, 16);

	(void)state;
	random_operations(m, KEYS, 1);
	model_free(m);
}

/* All homes among 4 buckets and 8 tags: long overflow chains, many equal tags. */
static void table_crowded_homes_agree_with_model(void **state)
{
	struct model *m = model_new(7ull << 56 | 3, 16);

	(void)state;
	random_operations(m, 400, 2);
	model_free(m);
}

/* The last bucket overflows into the first. */
static void table_last_bucket_overflows_into_first(void **state)
{
	struct model *m = model_new(UINT64_MAX, 16);
	uint32_t key[40], n = 0;

	(void)state;
	for (uint32_t k = 0; k < KEYS && n < 40; k++)
		if ((hash_key(m, k) & m->table.now.mask) == m->table.now.mask)
			key[n++] = k;
	assert_int_equal(n, 40);
	for (uint32_t i = 0; i < 40; i++)
		insert(m, key[i]);
	assert_int_equal(m->table.now.bucket[m->table.now.mask].overflow, 28);
	check_all(m);
	for (uint32_t i = 0; i < 40; i += 2)
		remove_key(m, key[i]);
	check_all(m);
	check_empty(m);
	model_free(m);
}

static void table_absent_entry_is_not_removed(void **state)
{
	struct model *m = model_new(UINT64_MAX, 16);

	(void)state;
	insert(m, 7);
	assert_false(mr_table_remove(&m->table, hash_key(m, 8), 8));
	assert_false(mr_table_remove(&m->table, hash_key(m, 7), 8));
	assert_false(mr_table_replace(&m->table, hash_key(m, 8), 8, 9));
	check_all(m);
	model_free(m);
}

/* 7 to 14 bytes an entry at any steady size, three generations' halves while it grows. */
static void table_memory_stays_near_its_entries(void **state)
{
	struct model *m = model_new(UINT64_MAX, 16);

	(void)state;
	for (uint32_t key = 0; key < KEYS; key++) {
		insert(m, key);
		if (key < 1000)
			continue;
		assert_true(mr_table_bytes(&m->table) <=
			    (m->table.old.bucket ? 22 : 15) * (key + 1ull));
		assert_true(mr_table_bytes(&m->table) >= 7ull * (key + 1));
	}
	model_free(m);
}

/* Moving is over long before the next growth is due, and lookups stay short. */
static void table_growth_ends_before_the_next(void **state)
{
	struct model *m = model_new(UINT64_MAX, 16);
	uint32_t growths = 0;
	void *last = m->table.now.bucket;

	(void)state;
	for (uint32_t key = 0; key < KEYS; key++) {
		insert(m, key);
		if (m->table.now.bucket == last)
			continue;
		growths++;
		last = m->table.now.bucket;
	}
	assert_true(growths >= 7);
	m->compared = 0;
	check_all(m);
	assert_true(m->compared < KEYS + KEYS / 10); /* tags leave almost nothing to compare */
	model_free(m);
}

static void table_guess_names_a_present_entry(void **state)
{
	struct model *m = model_new(UINT64_MAX, 4096);
	uint32_t right = 0;

	(void)state;
	for (uint32_t key = 0; key < 2000; key++)
		insert(m, key);
	for (uint32_t key = 0; key < 2000; key++)
		right += mr_table_guess(&m->table, hash_key(m, key)) == key;
	assert_true(right > 1900);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_random_operations_agree_with_model),
		cmocka_unit_test(table_crowded_homes_agree_with_model),
		cmocka_unit_test(table_last_bucket_overflows_into_first),
		cmocka_unit_test(table_absent_entry_is_not_removed),
		cmocka_unit_test(table_memory_stays_near_its_entries),
		cmocka_unit_test(table_growth_ends_before_the_next),
		cmocka_unit_test(table_guess_names_a_present_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
