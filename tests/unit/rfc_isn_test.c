/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.4.1 (MUST-8, SHLD-1) and RFC 6528: initial sequence numbers. */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

static struct mr_tuple tuple_of(struct rfc *f)
{
	return *mr_conn_tuple(rfc_conn_in(f, MR_SYN_SENT));
}

/* MUST-8: "a 32-bit clock that increments roughly every 4 microseconds" */
static void same_tuple_isn_follows_the_clock(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple;
	uint32_t first;

	tuple = tuple_of(f);
	first = mr_tcp_isn(&f->tcp, &tuple);
	f->tcp.now_us += 4;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple) - first, 1);
	f->tcp.now_us += 996;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple) - first, 250);
	f->tcp.now_us += 1000000 - 1000;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple) - first, 250000);
}

/* 3.4.1: it cycles in about 4.77 hours */
static void same_tuple_isn_cycles_with_32_bits(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple;
	uint32_t first;

	tuple = tuple_of(f);
	first = mr_tcp_isn(&f->tcp, &tuple);
	f->tcp.now_us += 4ull << 32;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple), first);
}

/* A later incarnation lies beyond what the earlier one sent, if that was below 250 kB/s. */
static void same_tuple_later_open_has_larger_isn(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple;
	struct mr_link link = { .vlan = { 0 } };
	uint32_t before;

	tuple = tuple_of(f);
	before = mr_tcp_isn(&f->tcp, &tuple);
	for (int i = 0; i < 1000; i++) {
		f->tcp.now_us += 60000000;
		mr_conn_init(&f->tcp, &f->conn, &tuple, &link);
		mr_tcp_open_call(&f->tcp, &f->conn, 0);
		assert_int_equal(f->conn.iss - before, 15000000);
		assert_int_equal(rfc_last(f)->seq, f->conn.iss);
		before = f->conn.iss;
	}
}

/* RFC 6528 3: F(localip, localport, remoteip, remoteport, secretkey): each of them counts */
static void other_tuple_isn_differs_in_every_field(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple, other;
	uint32_t isn;

	tuple = tuple_of(f);
	isn = mr_tcp_isn(&f->tcp, &tuple);
	for (size_t i = 0; i < sizeof(tuple); i++) {
		memcpy(&other, &tuple, sizeof(other));
		((uint8_t *)&other)[i] ^= 1;
		assert_int_not_equal(mr_tcp_isn(&f->tcp, &other), isn);
	}
}

/* SHLD-1: who does not know the key cannot tell one tuple's number from another's */
static void other_key_isn_differs(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple;
	uint32_t isn;

	tuple = tuple_of(f);
	isn = mr_tcp_isn(&f->tcp, &tuple);
	f->config.isn_key.k[0] ^= 1;
	assert_int_not_equal(mr_tcp_isn(&f->tcp, &tuple), isn);
	f->config.isn_key.k[0] ^= 1;
	f->config.isn_key.k[1] ^= 1;
	assert_int_not_equal(mr_tcp_isn(&f->tcp, &tuple), isn);
	f->config.isn_key.k[1] ^= 1;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple), isn);
}

/* Neighbouring ports: all bits of the difference move, not the low ones only. */
static void neighbour_ports_differ_in_all_bits(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple;
	uint32_t isn, ones = 0, zeros = 0;

	tuple = tuple_of(f);
	isn = mr_tcp_isn(&f->tcp, &tuple);
	for (uint16_t port = 1; port <= 64; port++) {
		tuple.remote_port = mr_to_be16(port);
		ones |= mr_tcp_isn(&f->tcp, &tuple) ^ isn;
		zeros |= ~(mr_tcp_isn(&f->tcp, &tuple) ^ isn);
	}
	assert_int_equal(ones, UINT32_MAX);
	assert_int_equal(zeros, UINT32_MAX);
}

/* Passive opens use the same generator. */
static void listen_syn_isn_is_the_generators(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = { .seq = RFC_IRS, .flags = MR_SYN, .wnd = 65535 };
	struct mr_half_open half;

	syn.tuple = tuple_of(f);
	assert_true(mr_tcp_listen_state(&f->tcp, &syn, &half));
	assert_int_equal(half.iss, mr_tcp_isn(&f->tcp, &syn.tuple));
	mr_half_open_send(&f->tcp, &half);
	assert_int_equal(rfc_last(f)->seq, half.iss);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(same_tuple_isn_follows_the_clock),
		TEST(same_tuple_isn_cycles_with_32_bits),
		TEST(same_tuple_later_open_has_larger_isn),
		TEST(other_tuple_isn_differs_in_every_field),
		TEST(other_key_isn_differs),
		TEST(neighbour_ports_differ_in_all_bits),
		TEST(listen_syn_isn_is_the_generators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
