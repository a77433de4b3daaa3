/* SPDX-License-Identifier: MIT */
/* user/attach: rings of a channel, an other end that lies, sleep and doorbells. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/attach/channel.h"

static const struct mr_attach_sizes small = {
	.commands = 8,
	.events = 16,
	.receive_buffers = 3,
	.send_buffers = 5,
	.buffer_bytes = 256,
};

struct ends {
	int fd;
	struct mr_channel lane, program;
};

static int set_up(void **state)
{
	static struct ends e;

	assert_int_equal(mr_channel_create(&small, 7, &e.fd), 0);
	assert_int_equal(mr_channel_open(&e.lane, e.fd, MR_CHANNEL_LANE), 0);
	assert_int_equal(mr_channel_open(&e.program, e.fd, MR_CHANNEL_PROGRAM), 0);
	*state = &e;
	return 0;
}

static int tear_down(void **state)
{
	struct ends *e = *state;

	mr_channel_close(&e->lane);
	mr_channel_close(&e->program);
	close(e->fd);
	return 0;
}

static bool put(struct mr_channel *c, uint64_t user)
{
	return mr_channel_put(c, &(struct mr_attach_record){ .op = MR_ATTACH_READ, .user = user });
}

static uint64_t take(struct mr_channel *c)
{
	struct mr_attach_record r;

	assert_int_equal(mr_channel_peek(c, &r), 1);
	mr_channel_done(c);
	return r.user;
}

static void is_empty(struct mr_channel *c)
{
	struct mr_attach_record r;

	assert_int_equal(mr_channel_peek(c, &r), 0);
}

/* Starts just below 2^32, so that each walk wraps, index and ring. */
static void start_at(struct ends *e, uint32_t index)
{
	struct mr_attach_header *h = e->lane.header;

	h->command.producer = h->command.consumer = index;
	h->event.producer = h->event.consumer = index;
	mr_channel_close(&e->lane);
	mr_channel_close(&e->program);
	assert_int_equal(mr_channel_open(&e->lane, e->fd, MR_CHANNEL_LANE), 0);
	assert_int_equal(mr_channel_open(&e->program, e->fd, MR_CHANNEL_PROGRAM), 0);
}

static void records_arrive_in_order_over_the_wrap(void **state)
{
	static const uint32_t starts[] = { 0, 5, 0xfffffff9, 0xffffffff };
	struct ends *e = *state;

	for (unsigned int s = 0; s < 4; s++) {
		uint64_t in = 0, out = 0, back = 0;

		start_at(e, starts[s]);
		for (int i = 0; i < 100; i++) {
			for (int k = 0; k < 3 + i % 6; k++)
				if (put(&e->program, in))
					in++;
			for (int k = 0; k < 5 && out < in; k++) {
				assert_int_equal(take(&e->lane), out);
				assert_true(put(&e->lane, out++));
			}
			while (back < out)
				assert_int_equal(take(&e->program), back++);
		}
		assert_true(out > 300);
	}
}

static void full_ring_refuses_and_loses_nothing(void **state)
{
	struct ends *e = *state;

	assert_int_equal(mr_channel_room(&e->program), 8);
	for (uint64_t i = 0; i < 8; i++)
		assert_true(put(&e->program, i));
	assert_int_equal(mr_channel_room(&e->program), 0);
	assert_false(put(&e->program, 99));
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(take(&e->lane), i);
	is_empty(&e->lane);
	assert_int_equal(mr_channel_room(&e->program), 8);
}

static void peeked_record_stays_until_done(void **state)
{
	struct ends *e = *state;
	struct mr_attach_record r;

	put(&e->program, 1);
	put(&e->program, 2);
	assert_int_equal(mr_channel_peek(&e->lane, &r), 1);
	assert_int_equal(r.user, 1);
	assert_int_equal(mr_channel_peek(&e->lane, &r), 1);
	assert_int_equal(r.user, 1);
	mr_channel_done(&e->lane);
	assert_int_equal(take(&e->lane), 2);
}

static void producer_that_lies_is_found(void **state)
{
	struct ends *e = *state;
	struct mr_attach_record r;

	e->program.header->command.producer = 9; /* the ring has 8 */
	assert_int_equal(mr_channel_peek(&e->lane, &r), -EPROTO);
	e->program.header->command.producer = 0xffffffff;
	assert_int_equal(mr_channel_peek(&e->lane, &r), -EPROTO);
}

static void consumer_that_lies_gets_no_more(void **state)
{
	struct ends *e = *state;

	put(&e->lane, 1);
	e->program.header->event.consumer = 2; /* one more than there is */
	assert_int_equal(mr_channel_room(&e->lane), 0);
	assert_false(put(&e->lane, 2));
	e->program.header->event.consumer = 0x80000000;
	assert_false(put(&e->lane, 2));
}

static void own_index_in_the_header_is_not_believed(void **state)
{
	struct ends *e = *state;

	put(&e->program, 1);
	e->lane.header->command.consumer = 77; /* the other end writes ours */
	assert_int_equal(take(&e->lane), 1);
	assert_int_equal(e->lane.header->command.consumer, 1);
	e->lane.header->event.producer = 0x1234;
	assert_true(put(&e->lane, 5));
	assert_int_equal(take(&e->program), 5);
}

static void sizes_that_change_later_change_nothing(void **state)
{
	struct ends *e = *state;

	e->program.header->sizes.events = 1 << 20;
	e->program.header->sizes.buffer_bytes = 1 << 20;
	for (int i = 0; i < 16; i++)
		assert_true(put(&e->lane, 1));
	assert_false(put(&e->lane, 1));
	assert_int_equal(mr_channel_send_at(&e->lane, 4) - mr_channel_send_at(&e->lane, 0), 1024);
}

static void parts_outside_of_buffers_are_found(void **state)
{
	struct ends *e = *state;

	assert_true(mr_channel_part_is_inside(&e->lane, 5, 4, 0, 256));
	assert_true(mr_channel_part_is_inside(&e->lane, 5, 4, 256, 0));
	assert_false(mr_channel_part_is_inside(&e->lane, 5, 5, 0, 1));
	assert_false(mr_channel_part_is_inside(&e->lane, 5, 0, 1, 256));
	assert_false(mr_channel_part_is_inside(&e->lane, 5, 0, 257, 0));
	assert_false(mr_channel_part_is_inside(&e->lane, 5, 0, 0xffffffff, 2));
	assert_false(mr_channel_part_is_inside(&e->lane, 5, 0, 2, 0xffffffff));
}

static void foreign_memory_is_refused(void **state)
{
	struct ends *e = *state;
	struct mr_channel c = { 0 };
	struct mr_attach_header h = *e->lane.header;
	int fd = memfd_create("x", MFD_ALLOW_SEALING);

	assert_int_equal(mr_channel_open(&c, fd, MR_CHANNEL_LANE), -EPROTO); /* empty */
	assert_int_equal(ftruncate(fd, (off_t)e->lane.bytes), 0);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(mr_channel_open(&c, fd, MR_CHANNEL_LANE), -EPROTO); /* may shrink */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(mr_channel_open(&c, fd, MR_CHANNEL_LANE), 0);
	mr_channel_close(&c);
	h.sizes.receive_buffers += 4096; /* more than there is */
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(mr_channel_open(&c, fd, MR_CHANNEL_LANE), -EPROTO);
	h.sizes = small;
	h.layout++;
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(mr_channel_open(&c, fd, MR_CHANNEL_LANE), -EPROTO);
	assert_null(c.header);
	close(fd);
}

static void sizes_out_of_range_are_refused(void **state)
{
	struct mr_attach_sizes s = small;
	int fd;

	(void)state;
	s.commands = 12;
	assert_int_equal(mr_channel_create(&s, 0, &fd), -EINVAL);
	s = small;
	s.events = 0;
	assert_int_equal(mr_channel_bytes(&s), 0);
	s = small;
	s.buffer_bytes = 300;
	assert_int_equal(mr_channel_bytes(&s), 0);
	s = small;
	s.send_buffers = 0xffffffff;
	assert_int_equal(mr_channel_bytes(&s), 0);
}

static void memory_cannot_shrink_or_grow(void **state)
{
	struct ends *e = *state;

	assert_int_equal(ftruncate(e->fd, 4096), -1);
	assert_int_equal(ftruncate(e->fd, 1 << 24), -1);
}

static void doorbell_rings_only_for_a_sleeper_and_once(void **state)
{
	struct ends *e = *state;

	put(&e->program, 1);
	assert_false(mr_channel_must_ring(&e->program));
	take(&e->lane);
	assert_true(mr_channel_doze(&e->lane));
	put(&e->program, 2);
	assert_true(mr_channel_must_ring(&e->program));
	put(&e->program, 3);
	assert_false(mr_channel_must_ring(&e->program));
	mr_channel_wake(&e->lane);
}

static void who_has_records_does_not_sleep(void **state)
{
	struct ends *e = *state;

	put(&e->lane, 1);
	assert_false(mr_channel_doze(&e->program));
	mr_channel_wake(&e->program);
	assert_false(mr_channel_must_ring(&e->lane));
	take(&e->program);
	assert_true(mr_channel_doze(&e->program));
	mr_channel_wake(&e->program);
}

static void next_end_goes_on_where_the_last_stood(void **state)
{
	struct ends *e = *state;

	put(&e->program, 1);
	put(&e->program, 2);
	take(&e->lane);
	put(&e->lane, 8);
	mr_channel_close(&e->lane);
	assert_int_equal(mr_channel_open(&e->lane, e->fd, MR_CHANNEL_LANE), 0);
	assert_int_equal(take(&e->lane), 2);
	put(&e->lane, 9);
	assert_int_equal(take(&e->program), 8);
	assert_int_equal(take(&e->program), 9);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(records_arrive_in_order_over_the_wrap),
		T(full_ring_refuses_and_loses_nothing),
		T(peeked_record_stays_until_done),
		T(producer_that_lies_is_found),
		T(consumer_that_lies_gets_no_more),
		T(own_index_in_the_header_is_not_believed),
		T(sizes_that_change_later_change_nothing),
		T(parts_outside_of_buffers_are_found),
		T(foreign_memory_is_refused),
		T(sizes_out_of_range_are_refused),
		T(memory_cannot_shrink_or_grow),
		T(doorbell_rings_only_for_a_sleeper_and_once),
		T(who_has_records_does_not_sleep),
		T(next_end_goes_on_where_the_last_stood),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
