/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.9.2.2 (MUST-54 to MUST-56), RFC 5927 4.1 (the quoted segment must be in flight), RFC
 * 5461 2 (soft errors), RFC 1191 and RFC 8201 (path MTU).
 */
#include "tests/unit/tcp_fixture.h"

static void icmp(struct rfc *f, struct mr_conn *c, const struct mr_icmp_error *error)
{
	mr_tcp_icmp_arrives(&f->tcp, c, error);
	rfc_output(f, c);
}

static void syn_sent_port_unreachable_is_refused(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS, .type = 3, .code = 3 });
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_REFUSED);
}

static void syn_sent_ipv6_port_unreachable_is_refused(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS, .type = 1, .code = 4, .ipv6 = true });
	assert_int_equal(c->close_reason, MR_CLOSE_REFUSED);
}

static void syn_sent_protocol_unreachable_is_unreachable(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS, .type = 3, .code = 2 });
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_UNREACHABLE);
}

/* MUST-55, MUST-56: net, host, route, address; time exceeded; parameter problem; source quench. */
static void syn_sent_soft_errors_do_not_abort(void **state)
{
	static const struct mr_icmp_error soft[] = {
		{ .seq = RFC_ISS, .type = 3, .code = 0 },
		{ .seq = RFC_ISS, .type = 3, .code = 1 },
		{ .seq = RFC_ISS, .type = 3, .code = 5 },
		{ .seq = RFC_ISS, .type = 4, .code = 0 },
		{ .seq = RFC_ISS, .type = 11, .code = 0 },
		{ .seq = RFC_ISS, .type = 12, .code = 0 },
		{ .seq = RFC_ISS, .type = 1, .code = 0, .ipv6 = true },
		{ .seq = RFC_ISS, .type = 1, .code = 3, .ipv6 = true },
		{ .seq = RFC_ISS, .type = 3, .code = 0, .ipv6 = true },
	};
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++)
		icmp(f, c, &soft[i]);
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f->stats.icmp_errors, sizeof(soft) / sizeof(soft[0]));
}

static void syn_sent_error_about_another_segment_is_ignored(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);

	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .type = 3, .code = 3 });
	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS - 1, .type = 3, .code = 3 });
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f->stats.icmp_errors, 0);
}

/* RFC 5927 5.2: hard errors do not abort what is established. */
static void established_hard_errors_do_not_abort(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, "x", 1);
	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .type = 3, .code = 2 });
	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .type = 3, .code = 3 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f->stats.icmp_errors, 2);
}

static void established_packet_too_big_resends_in_smaller_segments(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, tcp_bytes(0, 4380), 4380);
	rfc_forget(f);
	icmp(f, c,
	     &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .mtu = 1000, .type = 3, .code = 4 });
	assert_int_equal(c->snd_mss, 960);
	assert_true(f->n_sent >= 5);
	for (unsigned int i = 0, offset = 0; i < f->n_sent; i++) {
		assert_true(f->sent[i].len <= 960);
		assert_int_equal(f->sent[i].seq, RFC_ISS + 1 + offset);
		assert_memory_equal(f->sent[i].text, tcp_bytes(offset, f->sent[i].len),
				    f->sent[i].len);
		offset += f->sent[i].len;
	}
	tcp_ack_arrives(f, c, RFC_ISS + 1 + 4380);
	assert_int_equal(c->tx_bytes, 0);
}

static void established_larger_mtu_than_now_is_ignored(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, "x", 1);
	icmp(f, c,
	     &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .mtu = 9000, .type = 3, .code = 4 });
	assert_int_equal(c->snd_mss, 1460);
	assert_int_equal(f->n_sent, 1);
}

/* RFC 5927 7.1: smaller than every host must take is not believed. */
static void established_tiny_mtu_counts_as_the_least(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, "x", 1);
	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS + 1, .mtu = 68, .type = 3, .code = 4 });
	assert_int_equal(c->snd_mss, 576 - 40);
}

static void established_mtu_about_a_segment_not_in_flight_is_ignored(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, "x", 1);
	icmp(f, c,
	     &(struct mr_icmp_error){ .seq = RFC_ISS + 2, .mtu = 1000, .type = 3, .code = 4 });
	icmp(f, c, &(struct mr_icmp_error){ .seq = RFC_ISS, .mtu = 1000, .type = 3, .code = 4 });
	assert_int_equal(c->snd_mss, 1460);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(syn_sent_port_unreachable_is_refused),
		TEST(syn_sent_ipv6_port_unreachable_is_refused),
		TEST(syn_sent_protocol_unreachable_is_unreachable),
		TEST(syn_sent_soft_errors_do_not_abort),
		TEST(syn_sent_error_about_another_segment_is_ignored),
		TEST(established_hard_errors_do_not_abort),
		TEST(established_packet_too_big_resends_in_smaller_segments),
		TEST(established_larger_mtu_than_now_is_ignored),
		TEST(established_tiny_mtu_counts_as_the_least),
		TEST(established_mtu_about_a_segment_not_in_flight_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
