/* SPDX-License-Identifier: MIT */
/*
 * Addresses that no connection may have (RFC 9293 MUST-57, MUST-63; RFC 1122 3.2.1.3): the
 * broadcast addresses of the interface's networks, which the daemon tells, come in unicast frames
 * as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"

#define V4(a, b, c, d)                                                                             \
	{                                                                                          \
		[10] = 0xff, 0xff, a, b, c, d                                                      \
	}

static const uint8_t server[16] = V4(192, 0, 2, 2);
static const uint8_t peer[16] = V4(192, 0, 2, 9);
static const uint8_t broadcast[16] = V4(192, 0, 2, 255);
static const uint8_t other[16] = V4(198, 51, 100, 127); /* of another network of the interface */

static void set_up(struct pair *p, struct raw *r)
{
	struct mr_path_table *t;

	pair_init(p, PAIR_OPTIONS);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	talk_serve(p);
	raw_init(r, p);
	t = p->end[PAIR_SERVER].paths;
	t->n_addresses = 2;
	memcpy(t->address[0].addr, server, 16);
	memcpy(t->address[0].broadcast, broadcast, 16);
	memcpy(t->address[1].broadcast, other, 16);
	t->seq += 2;
	pair_run(p, 1, NULL, NULL);
}

/* A segment from one address to another; returns what the server sent because of it. */
static uint64_t sent_for(struct pair *p, struct raw *r, const uint8_t from[16],
			 const uint8_t to[16], uint8_t flags)
{
	const struct mr_path *path = &p->end[PAIR_CLIENT].paths->path[0];
	struct mr_tuple tuple = { .local_port = mr_to_be16(RAW_PORTS),
				  .remote_port = mr_to_be16(7000) };
	struct mr_segment_out out = { .seq = 1, .ack = 5, .wnd = 60000, .flags = flags };
	uint64_t before = p->end[PAIR_SERVER].stats.tx_frames;
	struct mr_link link = { .vlan = { 0, 0 } };
	uint8_t buffer[MR_HEADERS_MAX];
	size_t headers;

	memcpy(tuple.local, from, 16);
	memcpy(tuple.remote, to, 16);
	memcpy(link.own_mac, path->own_mac, 6);
	memcpy(link.peer_mac, path->next_hop_mac, 6);
	headers = mr_segment_push(buffer + sizeof(buffer), 0, &tuple, &link, &out, 1);
	raw_frame(r, buffer + sizeof(buffer) - headers, (uint32_t)headers);
	raw_run(r, 1);
	return p->end[PAIR_SERVER].stats.tx_frames - before;
}

static void syn_from_the_broadcast_address_is_dropped_in_silence(void **state)
{
	struct pair p;
	struct raw r;

	(void)state;
	set_up(&p, &r);
	assert_int_equal(sent_for(&p, &r, broadcast, server, MR_SYN), 0);
	assert_int_equal(sent_for(&p, &r, other, server, MR_SYN), 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.drop.ip_source, 2);
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
	talk_end(&p);
}

static void segments_to_the_broadcast_address_are_dropped_in_silence(void **state)
{
	struct pair p;
	struct raw r;

	(void)state;
	set_up(&p, &r);
	assert_int_equal(sent_for(&p, &r, peer, broadcast, MR_SYN), 0);
	assert_int_equal(sent_for(&p, &r, peer, broadcast, MR_ACK), 0); /* no RST */
	assert_int_equal(sent_for(&p, &r, peer, other, MR_SYN), 0);
	assert_int_equal(p.end[PAIR_SERVER].stats.drop.ip_destination, 3);
	talk_end(&p);
}

/* The network is renumbered: what was its broadcast address is a host's now. */
static void addresses_follow_the_interface(void **state)
{
	struct mr_path_table *t;
	struct pair p;
	struct raw r;

	(void)state;
	set_up(&p, &r);
	assert_int_equal(sent_for(&p, &r, other, server, MR_SYN), 0);
	t = p.end[PAIR_SERVER].paths;
	t->n_addresses = 1;
	t->seq += 2;
	pair_run(&p, 1, NULL, NULL);
	assert_int_equal(sent_for(&p, &r, other, server, MR_SYN), 1);
	assert_int_equal(sent_for(&p, &r, broadcast, server, MR_SYN), 0);
	assert_int_equal(sent_for(&p, &r, other, server, MR_RST), 0); /* gone again */
	pair_run(&p, 200000, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_from_the_broadcast_address_is_dropped_in_silence),
		cmocka_unit_test(segments_to_the_broadcast_address_are_dropped_in_silence),
		cmocka_unit_test(addresses_follow_the_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
