/* SPDX-License-Identifier: MIT */
/* user/port/ring.h: the contract of an AF_XDP ring (af_xdp.rst), the kernel played by the test. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "user/port/ring.h"

enum {
	SIZE = 8,
};

struct plain {
	uint32_t producer;
	uint32_t consumer;
	uint32_t flags;
	uint64_t desc[SIZE];
};

static void start_at(struct plain *m, struct mr_ring *r, uint32_t producer, uint32_t consumer)
{
	*m = (struct plain){ .producer = producer, .consumer = consumer };
	mr_ring_init(r, &m->producer, &m->consumer, &m->flags, m->desc, SIZE);
}

/* Starts just below 2^32, so that each walk wraps. */
static const uint32_t starts[] = { 0, 5, 0xfffffffc, 0xffffffff };

static void empty_ring_peeks_nothing(void **state)
{
	struct plain m;
	struct mr_ring r;
	uint32_t first;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		start_at(&m, &r, starts[i], starts[i]);
		assert_int_equal(mr_ring_peek(&r, &first, SIZE), 0);
	}
}

static void filled_ring_peeks_at_most_max(void **state)
{
	struct plain m;
	struct mr_ring r;
	uint32_t first;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		start_at(&m, &r, starts[i], starts[i]);
		m.producer += 5;
		assert_int_equal(mr_ring_peek(&r, &first, 3), 3);
		assert_int_equal(first, starts[i]);
		assert_int_equal(mr_ring_peek(&r, &first, SIZE), 5);
		assert_int_equal(m.consumer, starts[i]);
		mr_ring_release(&r, 3);
		assert_int_equal(m.consumer, starts[i] + 3);
		assert_int_equal(mr_ring_peek(&r, &first, SIZE), 2);
		assert_int_equal(first, starts[i] + 3);
	}
}

static void known_entries_are_peeked_without_the_shared_index(void **state)
{
	struct plain m;
	struct mr_ring r;
	uint32_t first;

	(void)state;
	start_at(&m, &r, 4, 0);
	m.producer = 6;
	assert_int_equal(mr_ring_peek(&r, &first, 4), 4);
	assert_int_equal(r.cached_prod, 4);
	assert_int_equal(mr_ring_peek(&r, &first, 5), 5);
	assert_int_equal(r.cached_prod, 6);
}

static void full_ring_reserves_nothing(void **state)
{
	struct plain m;
	struct mr_ring r;
	uint32_t first;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		start_at(&m, &r, starts[i], starts[i]);
		assert_int_equal(mr_ring_reserve(&r, &first, SIZE + 5), SIZE);
		assert_int_equal(first, starts[i]);
		mr_ring_submit(&r, SIZE);
		assert_int_equal(m.producer, starts[i] + SIZE);
		assert_int_equal(mr_ring_reserve(&r, &first, 1), 0);
		assert_int_equal(mr_ring_room(&r, SIZE), 0);
		m.consumer += 3;
		assert_int_equal(mr_ring_room(&r, SIZE), 3);
		assert_int_equal(mr_ring_reserve(&r, &first, 4), 3);
		assert_int_equal(first, starts[i] + SIZE);
	}
}

static void reserved_entries_are_published_by_submit_alone(void **state)
{
	struct plain m;
	struct mr_ring r;
	uint32_t first;

	(void)state;
	start_at(&m, &r, 0xfffffffe, 0xfffffffe);
	assert_int_equal(mr_ring_reserve(&r, &first, 4), 4);
	assert_int_equal(m.producer, 0xfffffffe);
	assert_true(mr_ring_is_drained(&r));
	mr_ring_submit(&r, 4);
	assert_int_equal(m.producer, 2);
	assert_false(mr_ring_is_drained(&r));
	m.consumer = 2;
	assert_true(mr_ring_is_drained(&r));
}

static void slots_wrap_at_the_size_and_at_2_32(void **state)
{
	struct plain m;
	struct mr_ring r;

	(void)state;
	start_at(&m, &r, 0, 0);
	assert_int_equal(mr_ring_slot(&r, 7), 7);
	assert_int_equal(mr_ring_slot(&r, 8), 0);
	assert_int_equal(mr_ring_slot(&r, 0xffffffff), 7);
	assert_int_equal(mr_ring_slot(&r, 0xffffffff + 1u), 0);
}

/* A new owner goes on where the rings' own indexes stand. */
static void second_owner_takes_up_where_the_first_stopped(void **state)
{
	struct plain m;
	struct mr_ring first_owner, second;
	uint32_t first;

	(void)state;
	start_at(&m, &first_owner, 0xfffffff9, 0xfffffff9);
	m.producer += 6;
	assert_int_equal(mr_ring_peek(&first_owner, &first, SIZE), 6);
	mr_ring_release(&first_owner, 4);
	mr_ring_init(&second, &m.producer, &m.consumer, &m.flags, m.desc, SIZE);
	assert_int_equal(mr_ring_peek(&second, &first, SIZE), 2);
	assert_int_equal(first, 0xfffffff9 + 4u);
}

static void flags_are_read_from_the_ring(void **state)
{
	struct plain m;
	struct mr_ring r;

	(void)state;
	start_at(&m, &r, 0, 0);
	assert_false(mr_ring_has_flag(&r, 1));
	m.flags = 3;
	assert_true(mr_ring_has_flag(&r, 1));
}

/* ----- two threads over one ring: order, no loss, no data race (run under TSan too) ----- */

enum {
	TRANSFERS = 100000,
};

static void *produce(void *arg)
{
	struct plain *m = arg;
	struct mr_ring r;
	uint64_t value = 0;

	mr_ring_init(&r, &m->producer, &m->consumer, &m->flags, m->desc, SIZE);
	while (value < TRANSFERS) {
		uint32_t first, n;

		n = mr_ring_reserve(&r, &first, 1 + value % SIZE);
		for (uint32_t i = 0; i < n; i++)
			m->desc[mr_ring_slot(&r, first + i)] = value++;
		if (n)
			mr_ring_submit(&r, n);
		else
			sched_yield();
	}
	return NULL;
}

static void two_threads_pass_every_entry_in_order(void **state)
{
	struct plain m;
	struct mr_ring r;
	pthread_t thread;
	uint64_t expected = 0;

	(void)state;
	start_at(&m, &r, 0xfffff000, 0xfffff000);
	assert_int_equal(pthread_create(&thread, NULL, produce, &m), 0);
	while (expected < TRANSFERS) {
		uint32_t first, n = mr_ring_peek(&r, &first, 1 + expected % SIZE);

		for (uint32_t i = 0; i < n; i++)
			if (m.desc[mr_ring_slot(&r, first + i)] != expected++)
				fail_msg("entry %llu out of order", (unsigned long long)expected);
		if (n)
			mr_ring_release(&r, n);
		else
			sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(m.producer, m.consumer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_ring_peeks_nothing),
		cmocka_unit_test(filled_ring_peeks_at_most_max),
		cmocka_unit_test(known_entries_are_peeked_without_the_shared_index),
		cmocka_unit_test(full_ring_reserves_nothing),
		cmocka_unit_test(reserved_entries_are_published_by_submit_alone),
		cmocka_unit_test(slots_wrap_at_the_size_and_at_2_32),
		cmocka_unit_test(second_owner_takes_up_where_the_first_stopped),
		cmocka_unit_test(flags_are_read_from_the_ring),
		cmocka_unit_test(two_threads_pass_every_entry_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
