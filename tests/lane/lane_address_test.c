/* SPDX-License-Identifier: MIT */
/*
 * Addresses that no connection may have (RFC 9293 MUST-57, MUST-63; RFC 1122 3.2.1.3): the
 * broadcast addresses of the interface's networks, which the daemon tells, come in unicast frames
 * as well.
 * And what becomes of source routes (MUST-51 to MUST-53), which lanes know nothing of.
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
#include "user/wire/checksum.h"

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
	struct mr_segment_out out = {
		.seq = flags & MR_RST ? 2 : 1, .ack = 5, .wnd = 60000, .flags = flags
	};
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
	talk_end(&p);
}

/* ----- source routes ----- */

/* A SYN from the peer with @options in its IP header, 8 bytes. */
static void syn_with_options(struct pair *p, struct raw *r, const uint8_t options[8])
{
	const struct mr_path *path = &p->end[PAIR_CLIENT].paths->path[0];
	struct mr_tuple tuple = { .local_port = mr_to_be16(RAW_PORTS),
				  .remote_port = mr_to_be16(7000) };
	struct mr_segment_out syn = { .seq = 1, .wnd = 60000, .flags = MR_SYN };
	struct mr_link link = { .vlan = { 0, 0 } };
	uint8_t buffer[MR_HEADERS_MAX], frame[MR_HEADERS_MAX + 8];
	uint8_t *start, *ip = frame + 14;
	uint16_t sum;
	size_t n;

	memcpy(tuple.local, peer, 16);
	memcpy(tuple.remote, server, 16);
	memcpy(link.own_mac, path->own_mac, 6);
	memcpy(link.peer_mac, path->next_hop_mac, 6);
	n = mr_segment_push(buffer + sizeof(buffer), 0, &tuple, &link, &syn, 1);
	start = buffer + sizeof(buffer) - n;
	memcpy(frame, start, 34);
	memcpy(frame + 34, options, 8);
	memcpy(frame + 42, start + 34, n - 34);
	ip[0] = 0x47;
	ip[3] = (uint8_t)(ip[3] + 8);
	ip[10] = ip[11] = 0;
	sum = mr_checksum_fold(mr_checksum_partial(ip, 28, 0));
	memcpy(ip + 10, &sum, 2);
	raw_frame(r, frame, (uint32_t)n + 8);
	raw_run(r, 1);
}

/* RFC 7126 4.3, 4.4: nobody follows them; the answer goes straight back and carries none. */
static void syn_with_a_source_route_is_answered_directly(void **state)
{
	static const uint8_t route[][8] = {
		{ 131, 7, 8, 203, 0, 113, 1, 0 }, /* loose, at its end */
		{ 137, 7, 8, 203, 0, 113, 1, 0 }, /* strict, at its end */
		{ 131, 255, 255, 203, 0, 113, 1, 0 },
		{ 137, 0, 0, 0, 0, 0, 0, 137 },
	};
	struct pair p;
	struct raw r;

	(void)state;
	set_up(&p, &r);
	for (unsigned int i = 0; i < sizeof(route) / sizeof(route[0]); i++) {
		raw_forget(&r);
		syn_with_options(&p, &r, route[i]);
		assert_int_equal(r.syn_acks, 1);
		assert_memory_equal(r.last.tuple.local, peer, 16);
		assert_memory_equal(r.last.link.own_mac, p.end[PAIR_CLIENT].paths->path[0].own_mac,
				    6);
		assert_int_equal(r.last.payload, 14 + 20 + 20 + 4); /* MSS alone */
		sent_for(&p, &r, peer, server, MR_RST);
		assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 0);
	}
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_from_the_broadcast_address_is_dropped_in_silence),
		cmocka_unit_test(segments_to_the_broadcast_address_are_dropped_in_silence),
		cmocka_unit_test(addresses_follow_the_interface),
		cmocka_unit_test(syn_with_a_source_route_is_answered_directly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
