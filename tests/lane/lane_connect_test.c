/* SPDX-License-Identifier: MIT */
/* Active opens from a lane (RFC 9293 3.10.1, RFC 6056): paths, ports, refusals, time-outs. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

static void start(struct pair *p)
{
	static const struct mr_app *const apps[] = { &talk_app };

	pair_init(p, PAIR_OPTIONS);
	pair_rule(p, PAIR_SERVER, "drill", 7006);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_rule(p, PAIR_CLIENT, "echo-bytes", 8000); /* the drill's A connects here */
	pair_start(p, apps, 1);
}

/* drill's A to the client's lane: what does it say? */
static void expect_connect(const char *line, const char *answer, bool opens)
{
	struct talk t = { .out = line, .out_len = strlen(line) };
	struct pair p;

	start(&p);
	talk_begin(&p, &t, 7006, false);
	pair_run(&p, 8000, NULL, NULL);
	assert_string_equal(t.in, answer);
	assert_int_equal(p.end[PAIR_SERVER].stats.paths_asked, 1);
	assert_int_equal(p.end[PAIR_CLIENT].stats.passive_opens, opens);
	talk_close(&t);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.connections, opens);
	pair_free(&p);
}

static void path_is_asked_and_the_open_succeeds(void **state)
{
	(void)state;
	expect_connect("A 192.0.2.1 8000\n", "0\n", true);
	expect_connect("A 2001:db8::1 8000\n", "0\n", true);
}

static void port_without_a_listener_refuses(void **state)
{
	(void)state;
	expect_connect("A 192.0.2.1 8001\n", "111\n", false); /* ECONNREFUSED */
}

static void unknown_address_is_unreachable(void **state)
{
	(void)state;
	expect_connect("A 198.51.100.1 8000\n", "113\n", false); /* EHOSTUNREACH */
}

static void silent_daemon_makes_it_unreachable(void **state)
{
	struct talk t = { .out = "A 192.0.2.1 8000\n", .out_len = 17 };
	struct pair p;

	(void)state;
	start(&p);
	talk_begin(&p, &t, 7006, false);
	pair_step(&p);
	p.end[PAIR_SERVER].mute = true;
	pair_run(&p, 4900, NULL, NULL);
	assert_string_equal(t.in, "");
	pair_run(&p, 200, NULL, NULL);
	assert_string_equal(t.in, "113\n");
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.unreachable, 1);
	assert_int_equal(p.end[PAIR_SERVER].lane->n_path_waits, 0);
	talk_close(&t);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

/* The application gives up while the path is being asked: the late answer finds nobody. */
static void answer_after_the_end_opens_nothing(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	start(&p);
	p.end[PAIR_CLIENT].mute = true;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	talk_close(&t);
	pair_run(&p, 10, NULL, NULL);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_ABORTED);
	p.end[PAIR_CLIENT].mute = false;
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(p.end[PAIR_CLIENT].stats.active_opens, 0);
	assert_int_equal(p.end[PAIR_CLIENT].lane->n_path_waits, 0);
	talk_end(&p);
}

/* Many opens wait for one answer. */
static void waiting_opens_go_together(void **state)
{
	struct talk t[PATH_WAITS];
	struct pair p;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(7000) };
	mr_conn_id id;

	(void)state;
	memset(t, 0, sizeof(t));
	start(&p);
	p.end[PAIR_CLIENT].mute = true;
	for (int i = 0; i < PATH_WAITS; i++) {
		t[i].out = "x";
		t[i].out_len = 1;
		t[i].half_close = true;
		talk_begin(&p, &t[i], 7000, false);
	}
	inet_pton(AF_INET, "192.0.2.2", &in.sin_addr);
	assert_int_equal(mr_lane_connect(p.end[PAIR_CLIENT].lane, 0, (struct sockaddr *)&in, &id),
			 -ENOBUFS); /* one too many; nothing of it is left */
	assert_int_equal(p.end[PAIR_CLIENT].stats.connections, PATH_WAITS);
	p.end[PAIR_CLIENT].mute = false;
	pair_run(&p, 5000, NULL, NULL);
	for (int i = 0; i < PATH_WAITS; i++) {
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_string_equal(t[i].in, "x");
	}
	talk_end(&p);
}

/* MUST-46: broadcast, multicast and nobody, also as IPv6 writes IPv4 addresses. */
static void addresses_that_nobody_has_are_invalid(void **state)
{
	static const char *const bad[] = {
		"0.0.0.0",
		"255.255.255.255",
		"224.0.0.1",
		"239.255.255.255",
		"::",
		"ff02::1",
		"ff0e::1234",
		"::ffff:0.0.0.0",
		"::ffff:255.255.255.255",
		"::ffff:224.0.0.1",
	};
	struct pair p;
	mr_conn_id id;

	(void)state;
	start(&p);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(1) };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(1) };
		bool v6 = strchr(bad[i], ':');
		struct sockaddr *sa = v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;

		assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, bad[i],
					   v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr),
				 1);
		assert_int_equal(mr_lane_connect(p.end[1].lane, 0, sa, &id), -EINVAL);
	}
	assert_int_equal(p.end[PAIR_CLIENT].stats.connections, 0);
	talk_end(&p);
}

/* ----- the address of ours ----- */

static union {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
} sa[2];

static struct sockaddr *address(int i, const char *words, uint16_t port)
{
	bool v6 = strchr(words, ':');

	memset(&sa[i], 0, sizeof(sa[i]));
	sa[i].any.sa_family = v6 ? AF_INET6 : AF_INET;
	sa[i].in.sin_port = htons(port); /* of either family in the same place */
	assert_int_equal(inet_pton(sa[i].any.sa_family, words,
				   v6 ? (void *)&sa[i].in6.sin6_addr : &sa[i].in.sin_addr),
			 1);
	return &sa[i].any;
}

static void own_address(struct pair *p, const char *words)
{
	struct mr_path_table *t = p->end[PAIR_CLIENT].paths;
	char mapped[64] = "::ffff:";

	strcat(mapped, words);
	assert_int_equal(inet_pton(AF_INET6, strchr(words, ':') ? words : mapped,
				   t->address[t->n_addresses++].addr),
			 1);
	t->seq += 2;
}

/* From @local: an echo comes back to it, and the server saw that address. */
static void talks_from(struct pair *p, const struct mr_conn *c, const char *local,
		       const char *remote)
{
	struct mr_lane *l = p->end[PAIR_CLIENT].lane;
	struct sockaddr *from = address(0, local, 0), *to = address(1, remote, 7000);
	struct talk t = { .pair = p, .in_hash = TALK_HASH_BASIS, .out = "named", .out_len = 5 };
	const struct mr_conn *opened;
	uint8_t want[16];
	char mapped[64] = "::ffff:";
	mr_conn_id id;

	strcat(mapped, local);
	inet_pton(AF_INET6, strchr(local, ':') ? local : mapped, want);
	assert_int_equal(mr_connect_from(mr_lane_host(l), conn_id(l, c), from, to, &id), 0);
	*(struct talk **)mr_conn_state(mr_lane_host(l), id) = &t;
	pair_run(p, 100, NULL, NULL);
	opened = lane_conn_find(l, id);
	assert_non_null(opened);
	assert_int_equal(opened->state, MR_ESTABLISHED);
	assert_memory_equal(opened->local, want, 16);
	assert_string_equal(t.in, "named");
	mr_abort(mr_lane_host(l), id);
	pair_run(p, 10, NULL, NULL);
}

static int refusal(struct pair *p, const struct mr_conn *c, const char *local, uint16_t port,
		   const char *remote)
{
	struct mr_lane *l = p->end[PAIR_CLIENT].lane;
	mr_conn_id id;

	return mr_connect_from(mr_lane_host(l), conn_id(l, c), address(0, local, port),
			       address(1, remote, 7000), &id);
}

/* MUST-43: the caller may name the local address; it must be one of the interface's. */
static void open_comes_from_the_address_that_was_named(void **state)
{
	struct talk t = { .out = "x", .out_len = 1 };
	const struct mr_conn *c;
	struct pair p;

	(void)state;
	start(&p);
	own_address(&p, "192.0.2.1");
	own_address(&p, "192.0.2.77");
	own_address(&p, "2001:db8::77");
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 100, NULL, NULL);
	c = &p.end[PAIR_CLIENT].lane->conns[0];
	assert_int_equal(c->state, MR_ESTABLISHED);
	talks_from(&p, c, "192.0.2.77", "192.0.2.2");
	talks_from(&p, c, "192.0.2.1", "192.0.2.2");
	talks_from(&p, c, "2001:db8::77", "2001:db8::2");
	assert_int_equal(refusal(&p, c, "192.0.2.78", 0, "192.0.2.2"), -EADDRNOTAVAIL);
	assert_int_equal(refusal(&p, c, "2001:db8::78", 0, "2001:db8::2"), -EADDRNOTAVAIL);
	assert_int_equal(refusal(&p, c, "2001:db8::77", 0, "192.0.2.2"), -EINVAL);
	assert_int_equal(refusal(&p, c, "192.0.2.77", 5, "192.0.2.2"), -EINVAL);
	assert_int_equal(p.end[PAIR_CLIENT].stats.connections, 1);
	talk_close(&t);
	pair_run(&p, 10, NULL, NULL);
	talk_end(&p);
}

/* ----- ports ----- */

static void ports_run_out_and_come_back(void **state)
{
	struct talk t[4] = { 0 };
	struct pair p;

	(void)state;
	pair_init(&p, PAIR_OPTIONS);
	pair_rule(&p, PAIR_SERVER, "echo-bytes", 7000);
	pair_rule(&p, PAIR_SERVER, "echo-bytes", 7001);
	pair_rule(&p, PAIR_CLIENT, "talk", 9);
	p.end[PAIR_CLIENT].config.port_lo = 50000;
	p.end[PAIR_CLIENT].config.port_hi = 50001;
	p.end[PAIR_CLIENT].config.time_wait_ms = 1000;
	pair_start(&p, (const struct mr_app *const[]){ &talk_app }, 1);
	for (int i = 0; i < 3; i++) {
		talk_begin(&p, &t[i], 7000, false);
		pair_run(&p, 1, NULL, NULL);
	}
	talk_begin(&p, &t[3], 7001, false); /* another destination has ports of its own */
	pair_run(&p, 100, NULL, NULL);
	assert_true(t[0].opened && t[1].opened && t[3].opened);
	assert_true(t[2].closed);
	assert_int_equal(t[2].reason, MR_CLOSE_NO_PORT);
	assert_int_equal(p.end[PAIR_CLIENT].stats.closed.no_port, 1);
	talk_close(&t[0]);
	pair_run(&p, 100, NULL, NULL);
	assert_true(t[0].closed); /* in TIME-WAIT: the port is not free yet */
	t[2] = (struct talk){ 0 };
	talk_begin(&p, &t[2], 7000, false);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(t[2].reason, MR_CLOSE_NO_PORT);
	pair_run(&p, 2000, NULL, NULL);
	t[2] = (struct talk){ 0 };
	talk_begin(&p, &t[2], 7000, false);
	pair_run(&p, 10, NULL, NULL);
	assert_true(t[2].opened);
	for (int i = 1; i < 4; i++)
		talk_close(&t[i]);
	pair_run(&p, 100, NULL, NULL);
	talk_end(&p);
}

/* ----- nobody answers ----- */

static unsigned int drop_all(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			     uint64_t *delay_ns)
{
	uint32_t *n = arg;

	(void)from, (void)frame, (void)len, (void)delay_ns;
	(*n)++;
	return 0;
}

/* R2 of a SYN: at least 3 minutes (MUST-23). */
static void unanswered_open_times_out_after_three_minutes(void **state)
{
	struct talk t = { 0 };
	struct pair p;
	uint32_t syns = 0;

	(void)state;
	start(&p);
	mr_memory_set_fate(p.wire, drop_all, &syns);
	talk_begin(&p, &t, 7000, true);
	pair_run(&p, 180000, NULL, NULL);
	assert_false(t.closed);
	assert_true(syns >= 7);
	pair_run(&p, 130000, NULL, NULL);
	assert_true(t.closed);
	assert_int_equal(t.reason, MR_CLOSE_OPEN_TIMEOUT);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_is_asked_and_the_open_succeeds),
		cmocka_unit_test(port_without_a_listener_refuses),
		cmocka_unit_test(unknown_address_is_unreachable),
		cmocka_unit_test(silent_daemon_makes_it_unreachable),
		cmocka_unit_test(answer_after_the_end_opens_nothing),
		cmocka_unit_test(waiting_opens_go_together),
		cmocka_unit_test(addresses_that_nobody_has_are_invalid),
		cmocka_unit_test(open_comes_from_the_address_that_was_named),
		cmocka_unit_test(ports_run_out_and_come_back),
		cmocka_unit_test(unanswered_open_times_out_after_three_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
