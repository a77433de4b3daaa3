/* SPDX-License-Identifier: MIT */
/* Heartbeats stand in memory that workers write: whatever they are, they are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "user/daemon/beats.h"

enum {
	STALE_MS = 50,
	GRACE_MS = 3000,
	EPOCH = 7,
	TICK_MS = 40,
};

static struct mr_beat beat;
static struct mr_lane lane;
static struct mr_link interface;
static struct mr_daemon d;
static struct mr_ward ward;
static struct mr_child c;

static int set_up(void **state)
{
	(void)state;
	beat = (struct mr_beat){ .epoch = EPOCH };
	lane = (struct mr_lane){ .epoch = EPOCH };
	interface.name = "eth0";
	memset(&d, 0, sizeof(d));
	d.settings.stale_ms = STALE_MS;
	d.settings.grace_ms = GRACE_MS;
	d.lanes = &lane;
	d.n_lanes = 1;
	d.links = &interface;
	d.bpf.beats = &beat;
	ward = (struct mr_ward){ .state = MR_WORKER_SERVING };
	c = (struct mr_child){ .d = &d, .wards = &ward, .parent.fd = -1 };
	return 0;
}

static uint64_t ms(uint64_t n)
{
	return n * 1000000;
}

static void a_fresh_one_is_waited_for(void **state)
{
	(void)state;
	beat.beat_ns = mr_now_ns();
	assert_int_equal(mr_beats_wait_ms(&c, TICK_MS), TICK_MS);
	mr_beats_look(&c, &ward, GRACE_MS, mr_now_ns());
	assert_int_equal(ward.stales, 0);
}

/* It neither keeps the loop from sleeping, nor lets its lane live for ever. */
static void one_that_lies_ahead_is_none(void **state)
{
	static const uint64_t ahead[] = { UINT64_MAX, UINT64_MAX - STALE_MS * 1000000ull, 0 };

	(void)state;
	for (unsigned int i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		uint64_t now = mr_now_ns();

		set_up(NULL);
		beat.beat_ns = ahead[i] ? ahead[i] : now + ms(3600 * 1000);
		ward.since_ns = now;
		assert_in_range(mr_beats_wait_ms(&c, TICK_MS), 1, TICK_MS);
		ward.since_ns = now - ms(2 * GRACE_MS);
		for (uint64_t at = 0; at < GRACE_MS; at += 20)
			mr_beats_look(&c, &ward, GRACE_MS, now + ms(at));
		assert_int_equal(ward.stales, 1);
		assert_true(ward.killed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_fresh_one_is_waited_for, set_up),
		cmocka_unit_test_setup(one_that_lies_ahead_is_none, set_up),
	};

	return cmocka_run_group_tests_name("heartbeats", tests, NULL, NULL);
}
