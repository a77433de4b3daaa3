/* SPDX-License-Identifier: MIT */
/*
 * The path changes under connections that stand, on whole lanes:
 *
 *	client ---- router: an MTU, says so or not; or another router takes over ---- server
 *
 * RFC 1191 and RFC 8201 (too big), RFC 4821 (a router that says nothing), RFC 9293 3.7.1 (SHLD-6:
 * the MTU of our own side), 3.8.3 (MUST-20: advice about the next hop).
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

enum {
	ETHERNET = 14,
	BYTES = 400000,
	QUOTED = 48, /* of a packet in an ICMP error: enough for both families */
};

/* Between the two ends; what passes is looked at in the direction from the server. */
struct router {
	struct raw raw;
	struct talk *talk;
	uint32_t mtu;  /* 0: any */
	bool says;     /* ICMP errors */
	uint32_t from; /* bytes of the client's that have come when the MTU begins to count */
	uint8_t dead_mac[6];
	bool is_dead;	    /* who has dead_mac is there no more: ... */
	uint8_t new_mac[6]; /* ... who has this one took over, ... */
	bool is_found;	    /* ... and forwards to the client since that sent something to it */
	uint8_t pending[64][QUOTED];
	uint32_t n_pending;
	uint32_t largest; /* that passed, since it was last cleared */
	uint32_t dropped;
};

static unsigned int route(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			  uint64_t *delay_ns)
{
	struct router *r = arg;
	uint32_t packet = *len - ETHERNET;

	(void)delay_ns;
	if (r->is_dead && memcmp(frame, r->dead_mac, 6) == 0) {
		r->dropped++;
		return 0;
	}
	if (from != PAIR_SERVER) {
		r->is_found |= r->is_dead;
		return 1;
	}
	if (r->is_dead && !r->is_found)
		return 0;
	if (r->is_dead)
		memcpy(frame + 6, r->new_mac, 6);
	if (r->mtu && packet > r->mtu && r->talk->in_len >= r->from) {
		r->dropped++;
		if (r->says && r->n_pending < 64)
			memcpy(r->pending[r->n_pending++], frame + ETHERNET, QUOTED);
		return 0;
	}
	if (packet > r->largest)
		r->largest = packet;
	return 1;
}

static uint16_t sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* "Too big" about @quoted to who sent it. */
static void say_too_big(struct router *r, const uint8_t *quoted)
{
	const struct mr_path *path = &r->raw.pair->end[PAIR_CLIENT].paths->path[0];
	bool ipv6 = quoted[0] >> 4 == 6;
	uint32_t ip_bytes = ipv6 ? 40 : 20;
	uint8_t f[ETHERNET + 40 + 8 + QUOTED] = { 0 };
	uint8_t *ip = f + ETHERNET, *icmp = ip + ip_bytes;

	memcpy(f, path->next_hop_mac, 6);
	memcpy(f + 6, path->own_mac, 6);
	put16(f + 12, ipv6 ? 0x86dd : 0x0800);
	memcpy(icmp + 8, quoted, QUOTED);
	icmp[0] = ipv6 ? 2 : 3;
	icmp[1] = ipv6 ? 0 : 4;
	put16(icmp + 6, (uint16_t)r->mtu);
	if (ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, 8 + QUOTED);
		ip[6] = 58;
		ip[7] = 64;
		memcpy(ip + 8, quoted + 24, 16);
		memcpy(ip + 24, quoted + 8, 16);
		put16(icmp + 2, sum16(ip + 8, 32 + 8 + QUOTED, 58 + 8 + QUOTED));
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + 8 + QUOTED);
		ip[8] = 64;
		ip[9] = 1;
		memcpy(ip + 12, quoted + 16, 4);
		memcpy(ip + 16, quoted + 12, 4);
		put16(ip + 10, sum16(ip, 20, 0));
		put16(icmp + 2, sum16(icmp, 8 + QUOTED, 0));
	}
	raw_frame(&r->raw, f, ETHERNET + ip_bytes + 8 + QUOTED);
}

/* Between turns the router says what it has to; ends when the connection does. */
static bool is_over(void *arg)
{
	struct router *r = arg;

	while (r->n_pending)
		say_too_big(r, r->pending[--r->n_pending]);
	return r->talk->closed;
}

static bool has_come(void *arg)
{
	struct router *r = arg;

	return is_over(r) || r->talk->in_len >= r->from;
}

static void set_up(struct pair *p, struct router *r, struct talk *t, const char *app)
{
	struct pair_options o = PAIR_OPTIONS;

	o.delay_ns = 5000000;
	talk_start(p, app, o);
	for (int i = 0; i < 2; i++) {
		p->end[i].paths->mtu = 1500;
		memcpy(p->end[i].paths->mac, p->end[i].config.mac, 6);
	}
	*t = (struct talk){ .out = "G 400000\n", .out_len = 9, .half_close = true };
	r->raw.pair = p;
	r->talk = t;
	mr_memory_set_fate(p->wire, route, r);
}

/* The server's own side changes. */
static void publish_mtu(struct pair *p, uint32_t mtu)
{
	struct mr_path_table *t = p->end[PAIR_SERVER].paths;

	t->mtu = mtu;
	t->seq += 2;
}

static void finish(struct pair *p, struct router *r, uint32_t ms)
{
	assert_true(pair_run(p, ms, is_over, r));
	assert_int_equal(r->talk->reason, MR_CLOSE_DONE);
	assert_int_equal(r->talk->in_len, BYTES);
}

static void server_told_of_the_mtu_goes_on(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct router r = { .mtu = 1300, .says = true };
		struct mr_lane_stats *s;
		struct talk t;
		struct pair p;

		set_up(&p, &r, &t, "drill");
		s = &p.end[PAIR_SERVER].stats;
		talk_begin(&p, &t, 7000, ipv6);
		finish(&p, &r, 2000); /* no timeout needed */
		assert_int_equal(s->retransmit_timeouts, 0);
		assert_true(r.dropped > 0 && r.dropped <= 10); /* the first flight */
		assert_int_equal(r.largest, 1300);
		assert_int_equal(s->mtu_lowered, 1);
		/* the next connection to the same peer begins with it */
		r.dropped = 0;
		t = (struct talk){ .out = "G 400000\n", .out_len = 9, .half_close = true };
		talk_begin(&p, &t, 7000, ipv6);
		finish(&p, &r, 2000);
		assert_int_equal(r.dropped, 0);
		talk_end(&p);
	}
}

/* Larger ones had passed: the claim waits for a timeout (RFC 5927 7.2), the transfer goes on. */
static void server_told_later_goes_on(void **state)
{
	struct router r = { .mtu = 1300, .says = true, .from = BYTES / 2 };
	struct talk t;
	struct pair p;

	(void)state;
	set_up(&p, &r, &t, "drill");
	talk_begin(&p, &t, 7000, false);
	finish(&p, &r, 10000);
	assert_int_equal(p.end[PAIR_SERVER].stats.mtu_lowered, 1);
	assert_true(p.end[PAIR_SERVER].stats.retransmit_timeouts >= 1);
	talk_end(&p);
}

/* A router that says nothing: RFC 4821 */
static void server_told_nothing_finds_a_size_that_passes(void **state)
{
	static const uint32_t from[] = { 0, BYTES / 2 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct router r = { .mtu = 1280, .from = from[i] };
		struct talk t;
		struct pair p;

		set_up(&p, &r, &t, "drill");
		talk_begin(&p, &t, 7000, i);
		finish(&p, &r, 60000);
		assert_true(p.end[PAIR_SERVER].stats.black_holes >= 1);
		talk_end(&p);
	}
}

static void server_follows_its_interface_down_and_up(void **state)
{
	struct router r = { .from = BYTES / 4 };
	struct talk t;
	struct pair p;

	(void)state;
	set_up(&p, &r, &t, "drill");
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 10000, has_come, &r));
	assert_int_equal(r.largest, 1500);
	publish_mtu(&p, 1280);
	pair_run(&p, 1, NULL, NULL);
	r.largest = 0;
	r.from = BYTES * 5 / 16; /* while some of it is not queued yet, in small segments */
	assert_true(pair_run(&p, 10000, has_come, &r));
	assert_int_equal(r.largest, 1280);
	publish_mtu(&p, 1500);
	finish(&p, &r, 10000);
	assert_int_equal(r.largest, 1500);
	assert_int_equal(p.end[PAIR_SERVER].stats.retransmit_timeouts, 0);
	talk_end(&p);
}

static void server_follows_a_route_that_came_later(void **state)
{
	struct router r = { .from = BYTES / 4 };
	struct mr_path_table *table;
	struct talk t;
	struct pair p;

	(void)state;
	set_up(&p, &r, &t, "drill");
	table = p.end[PAIR_SERVER].paths;
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 10000, has_come, &r));
	table->mtu_route[0] = (struct mr_mtu_route){ .prefix = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
						     .bits = 128,
						     .mtu = 1400 };
	table->n_mtu_routes = 1;
	table->seq += 2;
	pair_run(&p, 1, NULL, NULL);
	r.largest = 0;
	finish(&p, &r, 10000);
	assert_int_equal(r.largest, 1400);
	talk_end(&p);
}

/* ----- the next hop ----- */

/* The client only sends, and its next hop is replaced: nothing arrives that would say so. */
static void client_asks_for_the_path_and_moves(void **state)
{
	static uint8_t out[BYTES];
	static const uint8_t other[6] = { 2, 0, 0, 0, 9, 9 };
	struct router r = { 0 };
	struct mr_path *path;
	struct talk t;
	struct pair p;

	(void)state;
	set_up(&p, &r, &t, "discard-bytes");
	t = (struct talk){ .out = out, .out_len = sizeof(out), .half_close = true };
	talk_begin(&p, &t, 7000, false);
	path = &p.end[PAIR_CLIENT].paths->path[0];
	pair_run(&p, 40, NULL, NULL);
	memcpy(r.dead_mac, path->next_hop_mac, 6);
	r.is_dead = true;
	memcpy(r.new_mac, other, 6);
	memcpy(path->next_hop_mac, other, 6);
	path->seq += 2;
	assert_true(pair_run(&p, 20000, talk_is_closed, &t));
	assert_true(r.dropped >= 3);
	assert_true(p.end[PAIR_CLIENT].stats.paths_asked >= 1);
	talk_end(&p);
}

/* The daemon says nothing: the connection asks again with its next timeout, and ends by itself. */
static void client_without_an_answer_goes_on_trying(void **state)
{
	struct router r = { 0 };
	struct talk t;
	struct pair p;

	(void)state;
	set_up(&p, &r, &t, "echo-bytes");
	t = (struct talk){ .out = "hello", .out_len = 5, .lasting = true };
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	memcpy(r.dead_mac, p.end[PAIR_CLIENT].paths->path[0].next_hop_mac, 6);
	r.is_dead = true;
	p.end[PAIR_CLIENT].mute = true;
	talk_say(&t, "again", 5);
	pair_run(&p, 10000, NULL, NULL);
	assert_in_range(p.end[PAIR_CLIENT].stats.paths_asked, 2, 6);
	assert_false(t.closed);
	r.is_dead = false;
	pair_run(&p, 20000, NULL, NULL);
	assert_int_equal(t.in_len, 10);
	talk_abort(&t);
	pair_run(&p, 1000, talk_is_closed, &t);
	talk_end(&p);
}

/* The peer's router was replaced, and our ACKs go to the old one: the peer's text comes again from
 * the new one, and that says where ACKs go. */
static void server_learns_from_text_that_is_sent_again(void **state)
{
	static const uint8_t other[6] = { 2, 0, 0, 0, 7, 7 };
	struct raw r;
	struct pair p;
	uint8_t old[6];
	struct mr_conn *c;
	struct mr_path *path;

	(void)state;
	talk_start(&p, "drill", PAIR_OPTIONS);
	raw_init(&r, &p);
	path = &p.end[PAIR_CLIENT].paths->path[0];
	assert_true(raw_syn(&r, RAW_PORTS, 7000, 1000));
	raw_ack(&r, RAW_PORTS, 7000, 1001, NULL, 0);
	c = &p.end[PAIR_SERVER].lane->conns[0];
	assert_int_equal(c->state, MR_ESTABLISHED);
	memcpy(old, path->own_mac, 6);
	raw_ack(&r, RAW_PORTS, 7000, 1001, "G 0\n", 4);
	assert_memory_equal(c->peer_mac, old, 6);
	memcpy(path->own_mac, other, 6);
	/* neither a guess far away nor an RST says anything */
	raw_ack(&r, RAW_PORTS, 7000, 1001 - 100000, "G 0\n", 4);
	raw_segment(&r, RAW_PORTS, 7000, &(struct mr_segment_out){ .seq = 1003, .flags = MR_RST },
		    NULL, 0);
	raw_run(&r, 1);
	assert_memory_equal(c->peer_mac, old, 6);
	raw_ack(&r, RAW_PORTS, 7000, 1001, "G 0\n", 4);
	assert_memory_equal(c->peer_mac, other, 6);
	memcpy(path->own_mac, old, 6);
	raw_segment(&r, RAW_PORTS, 7000, &(struct mr_segment_out){ .seq = 1005, .flags = MR_RST },
		    NULL, 0);
	raw_run(&r, 10);
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, 0);
	mr_memory_set_fate(p.wire, NULL, NULL);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_told_of_the_mtu_goes_on),
		cmocka_unit_test(server_told_later_goes_on),
		cmocka_unit_test(server_told_nothing_finds_a_size_that_passes),
		cmocka_unit_test(server_follows_its_interface_down_and_up),
		cmocka_unit_test(server_follows_a_route_that_came_later),
		cmocka_unit_test(client_asks_for_the_path_and_moves),
		cmocka_unit_test(client_without_an_answer_goes_on_trying),
		cmocka_unit_test(server_learns_from_text_that_is_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
