/* SPDX-License-Identifier: MIT */
/* The message store (user/frame/messages.h): blocks never overlap, and free ones join again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/frame/messages.h"

enum {
	BLOCKS = 256,
	TAKEN = 64,
};

struct store {
	struct mr_messages m;
	uint8_t *base;
	uint8_t map[BLOCKS];
	uint8_t owner[BLOCKS]; /* the model: who has each block, 0 nobody */
	struct {
		uint32_t block;
		uint32_t bytes;
	} taken[TAKEN];
};

static struct store *store_new(uint32_t blocks)
{
	struct store *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->base = malloc((size_t)blocks * MR_MESSAGE_BLOCK);
	assert_non_null(s->base);
	mr_messages_init(&s->m, s->base, s->map, (uint64_t)blocks * MR_MESSAGE_BLOCK);
	return s;
}

static void store_free(struct store *s)
{
	free(s->base);
	free(s);
}

/* Returns false when there is no memory. */
static bool take(struct store *s, int slot, uint32_t bytes)
{
	uint32_t got = 0;
	uint32_t block = mr_messages_take(&s->m, bytes, &got);

	if (block == MR_NONE)
		return false;
	assert_true(got >= bytes);
	assert_true(got == MR_MESSAGE_BLOCK || got / 2 < bytes);
	assert_int_equal(got % MR_MESSAGE_BLOCK, 0);
	assert_int_equal(block % (got / MR_MESSAGE_BLOCK), 0);
	for (uint32_t b = block; b < block + got / MR_MESSAGE_BLOCK; b++) {
		assert_true(b < s->m.n_blocks);
		assert_int_equal(s->owner[b], 0);
		s->owner[b] = (uint8_t)(slot + 1);
	}
	memset(mr_messages_at(&s->m, block), slot + 1, got);
	s->taken[slot].block = block;
	s->taken[slot].bytes = got;
	return true;
}

static void give(struct store *s, int slot)
{
	uint32_t block = s->taken[slot].block;
	const uint8_t *p = mr_messages_at(&s->m, block);

	for (uint32_t i = 0; i < s->taken[slot].bytes; i++) /* nobody else wrote there */
		if (p[i] != slot + 1)
			fail_msg("block %u was overwritten at %u", block, i);
	memset(&s->owner[block], 0, s->taken[slot].bytes / MR_MESSAGE_BLOCK);
	mr_messages_give(&s->m, block);
	s->taken[slot].bytes = 0;
}

static uint32_t used(const struct store *s)
{
	uint32_t n = 0;

	for (uint32_t b = 0; b < BLOCKS; b++)
		n += s->owner[b] != 0;
	return n;
}

/* The model's answer: is an aligned free run of that size there? */
static bool has_room(const struct store *s, uint32_t bytes)
{
	uint32_t n = 1;

	while (n * MR_MESSAGE_BLOCK < bytes)
		n *= 2;
	for (uint32_t b = 0; b + n <= s->m.n_blocks; b += n) {
		uint32_t free_blocks = 0;

		while (free_blocks < n && !s->owner[b + free_blocks])
			free_blocks++;
		if (free_blocks == n)
			return true;
	}
	return false;
}

/* Everything given back is one block again. */
static void check_whole(struct store *s)
{
	assert_int_equal(used(s), 0);
	assert_int_equal(s->m.used_blocks, 0);
	assert_true(take(s, 0, BLOCKS * MR_MESSAGE_BLOCK));
	give(s, 0);
}

static void store_random_takes_agree_with_model(void **state)
{
	struct store *s = store_new(BLOCKS);
	uint32_t refused = 0;

	(void)state;
	srand(1);
	for (int n = 0; n < 20000; n++) {
		int slot = rand() % TAKEN;
		uint32_t bytes = 1 + (uint32_t)rand() % (MR_MESSAGE_BLOCK << rand() % 6);

		if (s->taken[slot].bytes) {
			give(s, slot);
		} else {
			bool room = has_room(s, bytes);

			assert_int_equal(take(s, slot, bytes), room);
			refused += !room;
		}
		assert_int_equal(s->m.used_blocks, used(s));
	}
	assert_true(refused > 100);
	for (int slot = 0; slot < TAKEN; slot++)
		if (s->taken[slot].bytes)
			give(s, slot);
	check_whole(s);
	store_free(s);
}

static void store_exhausted_refuses_and_recovers(void **state)
{
	struct store *s = store_new(BLOCKS);
	uint32_t block[BLOCKS], got;

	(void)state;
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = mr_messages_take(&s->m, 1, &got);
		assert_int_equal(got, MR_MESSAGE_BLOCK);
		assert_true(block[i] < BLOCKS);
	}
	assert_int_equal(mr_messages_take(&s->m, 1, &got), MR_NONE);
	assert_int_equal(s->m.used_blocks, BLOCKS);
	for (int i = 0; i < BLOCKS; i += 2)
		mr_messages_give(&s->m, block[i]);
	assert_int_equal(mr_messages_take(&s->m, MR_MESSAGE_BLOCK + 1, &got), MR_NONE);
	for (int i = 1; i < BLOCKS; i += 2)
		mr_messages_give(&s->m, block[i]);
	check_whole(s);
	store_free(s);
}

static void store_larger_than_all_is_refused(void **state)
{
	struct store *s = store_new(BLOCKS);
	uint32_t got;

	(void)state;
	assert_int_equal(mr_messages_take(&s->m, BLOCKS * MR_MESSAGE_BLOCK + 1, &got), MR_NONE);
	assert_int_equal(mr_messages_take(&s->m, UINT32_MAX, &got), MR_NONE);
	check_whole(s);
	store_free(s);
}

static void store_of_one_block_works(void **state)
{
	struct store *s = store_new(1);
	uint32_t got;

	(void)state;
	assert_int_equal(mr_messages_take(&s->m, MR_MESSAGE_BLOCK + 1, &got), MR_NONE);
	assert_int_equal(mr_messages_take(&s->m, MR_MESSAGE_BLOCK, &got), 0);
	assert_int_equal(mr_messages_take(&s->m, 1, &got), MR_NONE);
	mr_messages_give(&s->m, 0);
	assert_int_equal(mr_messages_take(&s->m, 0, &got), 0);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(store_random_takes_agree_with_model),
		cmocka_unit_test(store_exhausted_refuses_and_recovers),
		cmocka_unit_test(store_larger_than_all_is_refused),
		cmocka_unit_test(store_of_one_block_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
