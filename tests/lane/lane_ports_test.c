/* SPDX-License-Identifier: MIT */
/* Local ports of active opens: RFC 6056 2.2, 3.3.4, 3.3.5; and the lane's own queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"
#include "user/wire/toeplitz.h"

static void start(struct pair *p, uint16_t lo, uint16_t hi)
{
	struct mr_lane_config *c;

	pair_init(p, PAIR_OPTIONS);
	c = &p->end[PAIR_CLIENT].config;
	c->port_lo = lo;
	c->port_hi = hi;
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
}

static void go(struct pair *p)
{
	pair_start(p, (const struct mr_app *const[]){ &talk_app }, 1);
}

static struct mr_tuple tuple_to(uint8_t host, uint16_t port)
{
	return (struct mr_tuple){
		.local = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
		.remote = { [10] = 0xff, 0xff, 192, 0, 2, host },
		.remote_port = mr_to_be16(port),
	};
}

static uint16_t choose(struct pair *p, uint8_t host, uint16_t port)
{
	struct mr_tuple t = tuple_to(host, port);

	assert_true(lane_port_choose(p->end[PAIR_CLIENT].lane, &t));
	return mr_be16(t.local_port);
}

/* 2.2: one destination's ports do not repeat soon, and steps are not all alike. */
static void ports_of_a_destination_go_on_by_random_steps(void **state)
{
	struct pair p;
	bool seen[1000] = { false };
	uint32_t steps[17] = { 0 };
	uint16_t last = 0;

	(void)state;
	start(&p, 40000, 40999);
	go(&p);
	for (int i = 0; i < 60; i++) {
		uint16_t port = choose(&p, 2, 7000);

		assert_in_range(port, 40000, 40999);
		assert_false(seen[port - 40000]);
		seen[port - 40000] = true;
		if (i) {
			uint32_t step = (port + 1000u - last) % 1000;

			assert_in_range(step, 1, 16);
			steps[step]++;
		}
		last = port;
	}
	for (int i = 1; i <= 16; i++)
		assert_true(steps[i] < 30);
	talk_end(&p);
}

/* 3.3.4: another destination, another place; nobody learns from his own connections. */
static void destinations_begin_at_places_of_their_own(void **state)
{
	struct pair p;
	uint32_t near = 0;

	(void)state;
	start(&p, 40000, 59999);
	go(&p);
	for (uint8_t i = 0; i < 100; i++) {
		uint16_t a = choose(&p, 2, (uint16_t)(7000 + i));
		uint16_t b = choose(&p, 3, (uint16_t)(7000 + i));

		near += abs(a - b) < 200;
	}
	assert_true(near < 10); /* two in a hundred by chance */
	talk_end(&p);
}

/* Another secret, other ports. */
static void ports_depend_on_the_secret(void **state)
{
	uint16_t port[2];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct pair p;

		start(&p, 10000, 59999);
		p.end[PAIR_CLIENT].config.isn_secret[0] += i;
		go(&p);
		port[i] = choose(&p, 2, 7000);
		talk_end(&p);
	}
	assert_int_not_equal(port[0], port[1]);
}

static void spread(struct mr_lane_config *c, uint32_t queues, uint32_t queue)
{
	c->rss.entries = 128;
	c->rss.key_bytes = 40;
	c->rss.ipv4_ports = c->rss.ipv6_ports = 1;
	for (uint32_t i = 0; i < 40; i++)
		c->rss.key[i] = (uint8_t)(i * 37 + 11);
	for (uint32_t i = 0; i < 128; i++)
		c->rss.queue[i] = (uint8_t)(i % queues);
	c->queue = queue;
}

/* The NIC's key and table: every port's answers come to this lane's queue. */
static void ports_land_on_the_own_queue(void **state)
{
	(void)state;
	for (uint32_t queue = 0; queue < 4; queue++) {
		struct pair p;
		struct mr_lane_config *c = &p.end[PAIR_CLIENT].config;

		start(&p, 40000, 40999);
		spread(c, 4, queue);
		go(&p);
		for (int i = 0; i < 200; i++) {
			struct mr_tuple t = tuple_to(2, (uint16_t)(7000 + i % 5));
			uint32_t hash;

			t.local_port = mr_to_be16(choose(&p, 2, (uint16_t)(7000 + i % 5)));
			hash = mr_toeplitz_tuple(c->rss.key, 40, &t, true);
			assert_int_equal(hash % 128 % 4, queue);
		}
		talk_end(&p);
	}
}

/* No port of the range comes to our queue: any is taken; the mailbox brings what comes. */
static void foreign_queue_is_better_than_no_port(void **state)
{
	struct talk t = { .out = "hi", .out_len = 2, .half_close = true };
	struct pair p;

	(void)state;
	start(&p, 40000, 40003);
	spread(&p.end[PAIR_CLIENT].config, 4, 9);
	go(&p);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 10000, talk_is_closed, &t));
	assert_int_equal(t.in_len, 2);
	pair_run(&p, 100000, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_of_a_destination_go_on_by_random_steps),
		cmocka_unit_test(destinations_begin_at_places_of_their_own),
		cmocka_unit_test(ports_depend_on_the_secret),
		cmocka_unit_test(ports_land_on_the_own_queue),
		cmocka_unit_test(foreign_queue_is_better_than_no_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
