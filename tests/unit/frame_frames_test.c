/* SPDX-License-Identifier: MIT */
/* The frame pool (user/frame/frames.h): each frame has one state, counted. The kernel keeps its. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "user/frame/frames.h"

enum {
	COUNT = 256,
};

struct pool {
	struct mr_frames f;
	struct mr_frame record[COUNT];
	uint64_t by_state[MR_FRAME_STATE_COUNT];
	uint8_t bytes[COUNT * 2048];
};

static struct pool *pool_new(const uint8_t *held)
{
	struct pool *p = malloc(sizeof(*p));

	assert_non_null(p);
	memset(p, 0xee, sizeof(*p)); /* an arena that somebody used */
	mr_frames_init(&p->f, p->bytes, p->record, COUNT, 2048, held, p->by_state);
	return p;
}

/* The counters are what the records say, and the free list is whole. */
static void check(const struct pool *p)
{
	uint64_t count[MR_FRAME_STATE_COUNT] = { 0 };
	uint32_t n_free = 0;

	for (uint32_t i = 0; i < COUNT; i++)
		count[p->record[i].state]++;
	assert_memory_equal(count, p->by_state, sizeof(count));
	for (uint32_t i = p->f.free_head; i != MR_NONE; i = p->record[i].next) {
		assert_int_equal(p->record[i].state, MR_FRAME_FREE);
		assert_int_equal(p->record[i].in_tx, 0);
		assert_true(++n_free <= COUNT);
	}
	assert_int_equal(n_free, p->f.n_free);
	assert_int_equal(n_free, count[MR_FRAME_FREE]);
}

static void new_pool_is_all_free(void **state)
{
	struct pool *p = pool_new(NULL);

	(void)state;
	check(p);
	assert_int_equal(p->f.n_free, COUNT);
	assert_int_equal(p->f.reserve, 32);
	free(p);
}

static void frame_taken_is_reset_and_counted(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t i = mr_frame_take(&p->f, MR_FRAME_TX, false);

	(void)state;
	assert_int_equal(p->record[i].state, MR_FRAME_TX);
	assert_int_equal(p->record[i].next, MR_NONE);
	assert_int_equal(p->record[i].owner, MR_NONE);
	assert_int_equal(p->record[i].offset, MR_TX_OFFSET);
	assert_int_equal(p->record[i].len, 0);
	assert_int_equal(p->record[i].sends, 0);
	assert_int_equal(mr_frame_of(&p->f, mr_frame_addr(&p->f, i) + 2047), i);
	assert_ptr_equal(mr_frame_payload(&p->f, i), p->bytes + i * 2048 + MR_TX_OFFSET);
	check(p);
	mr_frame_set_state(&p->f, i, MR_FRAME_SENT);
	check(p);
	mr_frame_give(&p->f, i);
	check(p);
	free(p);
}

/* The last frames are for control segments and receiving. */
static void reserve_is_kept_from_ordinary_takers(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t taken = 0;

	(void)state;
	while (mr_frame_take(&p->f, MR_FRAME_TX, false) != MR_NONE)
		taken++;
	assert_int_equal(taken, COUNT - 32);
	while (mr_frame_take(&p->f, MR_FRAME_CTL, true) != MR_NONE)
		taken++;
	assert_int_equal(taken, COUNT);
	check(p);
	free(p);
}

/* Given back while the kernel sends it: free at its completion, not before. */
static void frame_given_in_transmission_is_free_at_completion(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t i = mr_frame_take(&p->f, MR_FRAME_SENT, false);

	(void)state;
	p->record[i].in_tx = 1;
	mr_frame_give(&p->f, i);
	assert_int_equal(p->record[i].state, MR_FRAME_CTL);
	assert_int_equal(p->f.n_free, COUNT - 1);
	check(p);
	mr_frame_completed(&p->f, i);
	assert_int_equal(p->record[i].state, MR_FRAME_FREE);
	assert_int_equal(p->f.n_free, COUNT);
	check(p);
	free(p);
}

/* Completed first: it stays its owner's until it is given. */
static void frame_completed_stays_its_owners(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t i = mr_frame_take(&p->f, MR_FRAME_SENT, false);

	(void)state;
	p->record[i].in_tx = 1;
	mr_frame_completed(&p->f, i);
	assert_int_equal(p->record[i].state, MR_FRAME_SENT);
	check(p);
	mr_frame_give(&p->f, i);
	assert_int_equal(p->f.n_free, COUNT);
	free(p);
}

/* A completion that nobody waits for (of a worker that died, taken for lost) changes nothing. */
static void completion_of_a_free_frame_is_ignored(void **state)
{
	struct pool *p = pool_new(NULL);

	(void)state;
	mr_frame_completed(&p->f, 5);
	mr_frame_completed(&p->f, 5);
	assert_int_equal(p->f.n_free, COUNT);
	check(p);
	free(p);
}

static void held_frames_stay_with_the_kernel(void **state)
{
	uint8_t held[COUNT] = { [3] = MR_FRAME_FILL, [4] = MR_FRAME_CTL, [5] = MR_FRAME_CTL };
	struct pool *p = pool_new(held);

	(void)state;
	check(p);
	assert_int_equal(p->f.n_free, COUNT - 3);
	assert_int_equal(p->by_state[MR_FRAME_FILL], 1);
	assert_int_equal(p->by_state[MR_FRAME_CTL], 2);
	mr_frame_completed(&p->f, 4);
	assert_int_equal(p->f.n_free, COUNT - 2);
	mr_frames_end_limbo(&p->f); /* 5 never completes */
	assert_int_equal(p->f.n_free, COUNT - 1);
	mr_frame_completed(&p->f, 5); /* ... or late, when it is free again */
	assert_int_equal(p->f.n_free, COUNT - 1);
	assert_int_equal(p->record[3].state, MR_FRAME_FILL);
	check(p);
	free(p);
}

/* What this generation sends is not touched when the limbo of the last one ends. */
static void end_of_limbo_spares_what_was_sent_since(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t i = mr_frame_take(&p->f, MR_FRAME_CTL, true);

	(void)state;
	p->record[i].in_tx = 1;
	mr_frames_end_limbo(&p->f);
	assert_int_equal(p->record[i].state, MR_FRAME_CTL);
	assert_int_equal(p->record[i].in_tx, 1);
	check(p);
	free(p);
}

static void list_is_given_back_whole(void **state)
{
	struct pool *p = pool_new(NULL);
	uint32_t head = MR_NONE;

	(void)state;
	for (int n = 0; n < 20; n++) {
		uint32_t i = mr_frame_take(&p->f, MR_FRAME_SENT, false);

		p->record[i].next = head;
		p->record[i].in_tx = n % 3 == 0;
		head = i;
	}
	mr_frame_give_list(&p->f, head);
	assert_int_equal(p->by_state[MR_FRAME_CTL], 7);
	assert_int_equal(p->f.n_free, COUNT - 7);
	for (uint32_t i = 0; i < COUNT; i++)
		mr_frame_completed(&p->f, i);
	assert_int_equal(p->f.n_free, COUNT);
	check(p);
	free(p);
}

static void random_life_keeps_every_frame(void **state)
{
	struct pool *p = pool_new(NULL);

	(void)state;
	srand(1);
	for (int n = 0; n < 100000; n++) {
		uint32_t i = (uint32_t)rand() % COUNT;

		switch (rand() % 4) {
		case 0:
			i = mr_frame_take(&p->f, MR_FRAME_TX, rand() % 2);
			break;
		case 1:
			if (p->record[i].state == MR_FRAME_TX)
				p->record[i].in_tx = 1;
			break;
		case 2:
			if (p->record[i].state == MR_FRAME_TX)
				mr_frame_give(&p->f, i);
			break;
		default:
			mr_frame_completed(&p->f, i);
			break;
		}
		if (n % 1000 == 0)
			check(p);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		if (p->record[i].state == MR_FRAME_TX)
			mr_frame_give(&p->f, i);
		mr_frame_completed(&p->f, i);
	}
	assert_int_equal(p->f.n_free, COUNT);
	check(p);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_pool_is_all_free),
		cmocka_unit_test(frame_taken_is_reset_and_counted),
		cmocka_unit_test(reserve_is_kept_from_ordinary_takers),
		cmocka_unit_test(frame_given_in_transmission_is_free_at_completion),
		cmocka_unit_test(frame_completed_stays_its_owners),
		cmocka_unit_test(completion_of_a_free_frame_is_ignored),
		cmocka_unit_test(held_frames_stay_with_the_kernel),
		cmocka_unit_test(end_of_limbo_spares_what_was_sent_since),
		cmocka_unit_test(list_is_given_back_whole),
		cmocka_unit_test(random_life_keeps_every_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
