/* SPDX-License-Identifier: MIT */
/* The in-memory wire: port.h's contract, a virtual clock, order, loss and copies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/port/memory.h"

enum {
	FRAME = 2048,
	FRAMES = 64,
	RING = 16,
	HEADROOM = 256, /* XDP_PACKET_HEADROOM */
};

#define START_NS 1000000000ull

struct fixture {
	uint8_t *umem[2];
	struct mr_memory_wire *wire;
	struct mr_port *port[2];
};

static void open_wire(struct fixture *x, uint64_t delay_ns)
{
	struct mr_memory_end ends[2];

	for (unsigned int i = 0; i < 2; i++) {
		x->umem[i] = calloc(FRAMES, FRAME);
		ends[i] = (struct mr_memory_end){ x->umem[i], FRAMES * FRAME, FRAME, RING };
	}
	x->wire = mr_memory_new(ends, delay_ns);
	assert_non_null(x->wire);
	x->port[0] = mr_memory_port(x->wire, 0);
	x->port[1] = mr_memory_port(x->wire, 1);
}

static void close_wire(struct fixture *x)
{
	x->port[0]->ops->close(x->port[0]);
	x->port[1]->ops->close(x->port[1]);
	mr_memory_free(x->wire);
	free(x->umem[0]);
	free(x->umem[1]);
}

static void fill(struct fixture *x, unsigned int end, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint64_t addr = (uint64_t)(32 + i) * FRAME;

		assert_int_equal(x->port[end]->ops->fill(x->port[end], &addr, 1), 1);
	}
}

/* Frame @number of the sender, its bytes the number again and again. */
static void transmit(struct fixture *x, unsigned int end, uint8_t number, uint32_t len)
{
	struct mr_span s = { .addr = (uint64_t)(number % 32) * FRAME + 100, .len = len };

	memset(x->umem[end] + s.addr, number, len);
	assert_int_equal(x->port[end]->ops->transmit(x->port[end], &s, 1), 1);
}

static void kick(struct fixture *x, unsigned int end)
{
	bool again = true;

	x->port[end]->ops->kick(x->port[end], &again);
	assert_false(again);
}

/* The next received frame's number, or -1; its bytes must be whole. */
static int receive(struct fixture *x, unsigned int end, uint32_t *len)
{
	struct mr_span s;
	const uint8_t *bytes;

	if (x->port[end]->ops->receive(x->port[end], &s, 1) == 0)
		return -1;
	assert_int_equal(s.options, 0);
	assert_int_equal(s.addr % FRAME, HEADROOM);
	bytes = x->umem[end] + s.addr;
	for (uint32_t i = 1; i < s.len; i++)
		assert_int_equal(bytes[i], bytes[0]);
	if (len)
		*len = s.len;
	return s.len ? bytes[0] : 0;
}

static struct mr_port_statistics statistics(struct fixture *x, unsigned int end)
{
	struct mr_port_statistics s;

	x->port[end]->ops->statistics(x->port[end], &s);
	return s;
}

static void frame_arrives_whole_in_a_filled_frame(void **state)
{
	struct fixture x;
	uint32_t len;

	(void)state;
	open_wire(&x, 0);
	for (unsigned int from = 0; from < 2; from++) {
		fill(&x, !from, 1);
		transmit(&x, from, 7, 1500);
		kick(&x, from);
		assert_int_equal(receive(&x, !from, &len), 7);
		assert_int_equal(len, 1500);
		assert_int_equal(receive(&x, !from, NULL), -1);
		assert_int_equal(receive(&x, from, NULL), -1);
	}
	close_wire(&x);
}

static void nothing_leaves_or_completes_before_the_kick(void **state)
{
	struct fixture x;
	uint64_t addr[4];

	(void)state;
	open_wire(&x, 0);
	fill(&x, 1, 1);
	assert_false(x.port[0]->ops->needs_kick(x.port[0]));
	transmit(&x, 0, 3, 60);
	assert_true(x.port[0]->ops->needs_kick(x.port[0]));
	assert_int_equal(x.port[0]->ops->complete(x.port[0], addr, 4), 0);
	assert_int_equal(receive(&x, 1, NULL), -1);
	assert_true(mr_memory_next(x.wire) == UINT64_MAX);
	kick(&x, 0);
	assert_false(x.port[0]->ops->needs_kick(x.port[0]));
	assert_int_equal(x.port[0]->ops->complete(x.port[0], addr, 4), 1);
	assert_int_equal(addr[0], 3 * FRAME + 100);
	assert_int_equal(x.port[0]->ops->complete(x.port[0], addr, 4), 0);
	assert_int_equal(receive(&x, 1, NULL), 3);
	close_wire(&x);
}

static void bytes_on_the_wire_are_a_copy(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 10);
	fill(&x, 1, 1);
	transmit(&x, 0, 3, 60);
	kick(&x, 0);
	memset(x.umem[0], 0xee, FRAMES * FRAME);
	mr_memory_advance(x.wire, 10);
	assert_int_equal(receive(&x, 1, NULL), 3);
	close_wire(&x);
}

static void frame_arrives_after_the_delay_and_not_before(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 5000);
	assert_true(mr_memory_now(x.wire) == START_NS);
	fill(&x, 1, 2);
	transmit(&x, 0, 1, 60);
	kick(&x, 0);
	assert_true(mr_memory_next(x.wire) == START_NS + 5000);
	mr_memory_advance(x.wire, 4999);
	assert_int_equal(receive(&x, 1, NULL), -1);
	mr_memory_advance(x.wire, 1);
	assert_true(mr_memory_now(x.wire) == START_NS + 5000);
	assert_int_equal(receive(&x, 1, NULL), 1);
	assert_true(mr_memory_next(x.wire) == UINT64_MAX);
	close_wire(&x);
}

static void frame_that_waits_for_receive_is_due_now(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	fill(&x, 1, 2);
	transmit(&x, 0, 1, 60);
	transmit(&x, 0, 2, 60);
	kick(&x, 0);
	assert_int_equal(receive(&x, 1, NULL), 1);
	assert_true(mr_memory_next(x.wire) <= mr_memory_now(x.wire));
	assert_int_equal(receive(&x, 1, NULL), 2);
	assert_true(mr_memory_next(x.wire) == UINT64_MAX);
	close_wire(&x);
}

static void clock_never_goes_backwards(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	mr_memory_advance(x.wire, UINT64_MAX);
	assert_true(mr_memory_now(x.wire) == UINT64_MAX);
	mr_memory_advance(x.wire, 5);
	assert_true(mr_memory_now(x.wire) == UINT64_MAX);
	close_wire(&x);
}

/* ----- order ----- */

static const uint64_t *delays;

static unsigned int delay_fate(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			       uint64_t *delay_ns)
{
	(void)arg;
	(void)from;
	(void)len;
	assert_int_equal(*delay_ns, 0);
	*delay_ns = delays[frame[0]];
	return 1;
}

static void frames_arrive_by_time_and_equal_times_in_order_of_sending(void **state)
{
	static const uint64_t by_number[] = { 30, 10, 20, 10, 0, 30, 20 };
	static const int want[] = { 4, 1, 3, 2, 6, 0, 5 };
	struct fixture x;

	(void)state;
	delays = by_number;
	open_wire(&x, 100);
	mr_memory_set_fate(x.wire, delay_fate, NULL);
	fill(&x, 1, 7);
	for (uint8_t i = 0; i < 7; i++)
		transmit(&x, 0, i, 60);
	kick(&x, 0);
	assert_true(mr_memory_next(x.wire) == START_NS + 100);
	mr_memory_advance(x.wire, 130);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(receive(&x, 1, NULL), want[i]);
	close_wire(&x);
}

static void both_directions_are_apart(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	fill(&x, 0, 2);
	fill(&x, 1, 2);
	transmit(&x, 0, 1, 60);
	transmit(&x, 1, 2, 60);
	kick(&x, 0);
	kick(&x, 1);
	assert_int_equal(receive(&x, 0, NULL), 2);
	assert_int_equal(receive(&x, 0, NULL), -1);
	assert_int_equal(receive(&x, 1, NULL), 1);
	assert_int_equal(receive(&x, 1, NULL), -1);
	close_wire(&x);
}

/* ----- fates ----- */

struct fate {
	unsigned int copies;
	unsigned int calls;
	unsigned int from;
};

static unsigned int any_fate(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			     uint64_t *delay_ns)
{
	struct fate *f = arg;

	(void)delay_ns;
	f->calls++;
	f->from = from;
	memset(frame, 9, *len);
	*len = *len > 40 ? 40 : 2 * *len; /* growing is not allowed */
	return f->copies;
}

static void fate_drops_copies_changes_and_cuts(void **state)
{
	struct fate f = { 0 };
	struct fixture x;
	uint32_t len;

	(void)state;
	open_wire(&x, 0);
	mr_memory_set_fate(x.wire, any_fate, &f);
	fill(&x, 0, 8);
	for (f.copies = 0; f.copies <= 2; f.copies++) {
		transmit(&x, 1, 5, 60);
		kick(&x, 1);
		for (unsigned int i = 0; i < f.copies; i++) {
			assert_int_equal(receive(&x, 0, &len), 9);
			assert_int_equal(len, 40);
		}
		assert_int_equal(receive(&x, 0, NULL), -1);
	}
	assert_int_equal(f.calls, 3);
	assert_int_equal(f.from, 1);
	f.copies = 1;
	transmit(&x, 1, 5, 30);
	kick(&x, 1);
	assert_int_equal(receive(&x, 0, &len), 9);
	assert_int_equal(len, 30);
	mr_memory_set_fate(x.wire, NULL, NULL);
	transmit(&x, 1, 5, 60);
	kick(&x, 1);
	assert_int_equal(receive(&x, 0, &len), 5);
	assert_int_equal(len, 60);
	close_wire(&x);
}

static void dropped_frame_completes_all_the_same(void **state)
{
	struct fate f = { .copies = 0 };
	struct fixture x;
	uint64_t addr;

	(void)state;
	open_wire(&x, 0);
	mr_memory_set_fate(x.wire, any_fate, &f);
	transmit(&x, 0, 5, 60);
	kick(&x, 0);
	assert_int_equal(x.port[0]->ops->complete(x.port[0], &addr, 1), 1);
	close_wire(&x);
}

/* ----- limits ----- */

static void frames_without_fill_entries_are_lost_and_counted(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	fill(&x, 1, 2);
	for (uint8_t i = 0; i < 5; i++)
		transmit(&x, 0, i, 60);
	kick(&x, 0);
	assert_int_equal(receive(&x, 1, NULL), 0);
	assert_int_equal(receive(&x, 1, NULL), 1);
	assert_int_equal(receive(&x, 1, NULL), -1);
	assert_int_equal(statistics(&x, 1).fill_empty, 3);
	fill(&x, 1, 1);
	assert_int_equal(receive(&x, 1, NULL), -1);
	close_wire(&x);
}

static void frames_beyond_the_receive_ring_are_lost_and_counted(void **state)
{
	struct fixture x;
	uint64_t done[RING];

	(void)state;
	open_wire(&x, 0);
	fill(&x, 1, RING);
	for (unsigned int round = 0; round < 2; round++) {
		for (uint8_t i = 0; i < RING; i++)
			transmit(&x, 0, i, 60);
		kick(&x, 0);
		assert_int_equal(x.port[0]->ops->complete(x.port[0], done, RING), RING);
	}
	for (uint8_t i = 0; i < RING; i++)
		assert_int_equal(receive(&x, 1, NULL), i);
	assert_int_equal(receive(&x, 1, NULL), -1);
	assert_int_equal(statistics(&x, 1).rx_ring_full, RING);
	assert_int_equal(statistics(&x, 1).fill_empty, 0);
	close_wire(&x);
}

static void rings_take_their_size_and_no_more(void **state)
{
	struct mr_span spans[RING + 3];
	uint64_t addrs[RING + 3];
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	for (unsigned int i = 0; i < RING + 3; i++) {
		addrs[i] = (uint64_t)i * FRAME;
		spans[i] = (struct mr_span){ .addr = addrs[i], .len = 60 };
	}
	assert_int_equal(x.port[0]->ops->fill_room(x.port[0]), RING);
	assert_int_equal(x.port[0]->ops->fill(x.port[0], addrs, RING + 3), RING);
	assert_int_equal(x.port[0]->ops->fill_room(x.port[0]), 0);
	assert_int_equal(x.port[0]->ops->transmit_room(x.port[0]), RING);
	assert_int_equal(x.port[0]->ops->transmit(x.port[0], spans, RING + 3), RING);
	assert_int_equal(x.port[0]->ops->transmit_room(x.port[0]), 0);
	assert_int_equal(x.port[0]->ops->transmit(x.port[0], spans, 1), 0);
	close_wire(&x);
}

/* As the kernel: no frame leaves without an entry for its completion. */
static void full_completion_ring_stops_the_kick(void **state)
{
	struct fixture x;
	uint64_t done[RING];
	bool again = false;

	(void)state;
	open_wire(&x, 0);
	for (uint8_t i = 0; i < RING; i++)
		transmit(&x, 0, i, 60);
	kick(&x, 0);
	transmit(&x, 0, 20, 60);
	x.port[0]->ops->kick(x.port[0], &again);
	assert_true(again);
	assert_true(x.port[0]->ops->needs_kick(x.port[0]));
	assert_int_equal(x.port[0]->ops->complete(x.port[0], done, RING), RING);
	kick(&x, 0);
	assert_int_equal(x.port[0]->ops->complete(x.port[0], done, RING), 1);
	assert_int_equal(done[0], 20 * FRAME + 100);
	close_wire(&x);
}

static void descriptors_outside_the_umem_are_counted_and_never_completed(void **state)
{
	const struct mr_span bad[] = {
		{ .addr = FRAMES * FRAME, .len = 60 }, { .addr = UINT64_MAX - 10, .len = 60 },
		{ .addr = FRAME - 10, .len = 60 },     { .addr = 0, .len = FRAME + 1 },
		{ .addr = 0, .len = UINT32_MAX },      { .addr = 0, .len = 0 },
	};
	struct fixture x;
	uint64_t done[8];

	(void)state;
	open_wire(&x, 0);
	assert_int_equal(x.port[0]->ops->transmit(x.port[0], bad, 6), 6);
	kick(&x, 0);
	assert_int_equal(statistics(&x, 0).tx_invalid, 6);
	assert_int_equal(x.port[0]->ops->complete(x.port[0], done, 8), 0);
	assert_true(mr_memory_next(x.wire) == UINT64_MAX);
	close_wire(&x);
}

static void fill_address_inside_a_frame_means_the_frame(void **state)
{
	const uint64_t addrs[] = { FRAMES * FRAME, 40 * FRAME + 700 };
	struct fixture x;
	struct mr_span s;

	(void)state;
	open_wire(&x, 0);
	assert_int_equal(x.port[1]->ops->fill(x.port[1], addrs, 2), 2);
	transmit(&x, 0, 1, 60);
	kick(&x, 0);
	assert_int_equal(x.port[1]->ops->receive(x.port[1], &s, 1), 1);
	assert_int_equal(s.addr, 40 * FRAME + HEADROOM);
	assert_int_equal(statistics(&x, 1).rx_invalid, 1);
	close_wire(&x);
}

static void frame_larger_than_the_room_behind_the_headroom_is_lost(void **state)
{
	struct fixture x;
	uint32_t len;

	(void)state;
	open_wire(&x, 0);
	fill(&x, 1, 2);
	transmit(&x, 0, 1, FRAME - HEADROOM);
	transmit(&x, 0, 2, FRAME - HEADROOM + 1);
	kick(&x, 0);
	assert_int_equal(receive(&x, 1, &len), 1);
	assert_int_equal(len, FRAME - HEADROOM);
	assert_int_equal(receive(&x, 1, NULL), -1);
	assert_int_equal(statistics(&x, 1).rx_dropped, 1);
	close_wire(&x);
}

static void wire_of_impossible_ends_is_refused(void **state)
{
	static uint8_t umem[4 * FRAME];
	const struct mr_memory_end good = { umem, sizeof(umem), FRAME, RING };
	struct mr_memory_end bad[5] = { good, good, good, good, good };

	(void)state;
	bad[0].umem = NULL;
	bad[1].ring_size = 12;
	bad[2].ring_size = 0;
	bad[3].frame_bytes = HEADROOM;
	bad[4].umem_bytes = FRAME + 1;
	for (unsigned int i = 0; i < 5; i++) {
		const struct mr_memory_end ends[2] = { good, bad[i] };

		errno = 0;
		assert_null(mr_memory_new(ends, 0));
		assert_int_equal(errno, EINVAL);
	}
}

/* Many rounds with loss: what was filled comes back, what was sent completes. */
static void no_frame_is_lost_by_the_port_itself(void **state)
{
	static const uint64_t no_delay[256];
	uint64_t done[RING], total_done = 0, received = 0;
	struct fixture x;

	(void)state;
	delays = no_delay;
	open_wire(&x, 3);
	mr_memory_set_fate(x.wire, delay_fate, NULL);
	for (unsigned int i = 0; i < 1000; i++) {
		fill(&x, 1, 1);
		transmit(&x, 0, (uint8_t)i, 60);
		kick(&x, 0);
		total_done += x.port[0]->ops->complete(x.port[0], done, RING);
		mr_memory_advance(x.wire, 1);
		received += receive(&x, 1, NULL) >= 0;
	}
	mr_memory_advance(x.wire, 3);
	while (receive(&x, 1, NULL) >= 0)
		received++;
	assert_int_equal(total_done, 1000);
	assert_int_equal(received, 1000);
	close_wire(&x);
}

static void port_of_memory_has_nothing_to_poll(void **state)
{
	struct fixture x;

	(void)state;
	open_wire(&x, 0);
	assert_int_equal(x.port[0]->ops->poll_fd(x.port[0]), -1);
	assert_false(x.port[0]->ops->wants_wakeup(x.port[0]));
	close_wire(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_arrives_whole_in_a_filled_frame),
		cmocka_unit_test(nothing_leaves_or_completes_before_the_kick),
		cmocka_unit_test(bytes_on_the_wire_are_a_copy),
		cmocka_unit_test(frame_arrives_after_the_delay_and_not_before),
		cmocka_unit_test(frame_that_waits_for_receive_is_due_now),
		cmocka_unit_test(clock_never_goes_backwards),
		cmocka_unit_test(frames_arrive_by_time_and_equal_times_in_order_of_sending),
		cmocka_unit_test(both_directions_are_apart),
		cmocka_unit_test(fate_drops_copies_changes_and_cuts),
		cmocka_unit_test(dropped_frame_completes_all_the_same),
		cmocka_unit_test(frames_without_fill_entries_are_lost_and_counted),
		cmocka_unit_test(frames_beyond_the_receive_ring_are_lost_and_counted),
		cmocka_unit_test(rings_take_their_size_and_no_more),
		cmocka_unit_test(full_completion_ring_stops_the_kick),
		cmocka_unit_test(descriptors_outside_the_umem_are_counted_and_never_completed),
		cmocka_unit_test(fill_address_inside_a_frame_means_the_frame),
		cmocka_unit_test(frame_larger_than_the_room_behind_the_headroom_is_lost),
		cmocka_unit_test(wire_of_impossible_ends_is_refused),
		cmocka_unit_test(no_frame_is_lost_by_the_port_itself),
		cmocka_unit_test(port_of_memory_has_nothing_to_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
