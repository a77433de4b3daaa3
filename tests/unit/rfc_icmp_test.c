/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.9.2.2 (MUST-54 to MUST-56, SHLD-26) with RFC 5927 4.1 (the quoted sequence number),
 * 5.2 (hard errors) and 7 (path MTU); RFC 1191 and RFC 8201.
 */
#include "tests/unit/rfc_fixture.h"

static uint8_t data[4 * RFC_MSS];

static struct mr_conn *begin(struct rfc *f, enum mr_tcp_state s)
{
	rfc_init(f);
	return rfc_conn_in(f, s);
}

static void icmp(struct rfc *f, struct mr_conn *c, bool ipv6, uint8_t type, uint8_t code)
{
	struct mr_icmp_error e = { .type = type, .code = code, .ipv6 = ipv6, .seq = c->snd_una };

	mr_tcp_icmp_arrives(&f->tcp, c, &e);
	rfc_output(f, c);
}

static void too_big(struct rfc *f, struct mr_conn *c, uint32_t seq, uint32_t mtu)
{
	struct mr_icmp_error e = { .type = 3, .code = 4, .seq = seq, .mtu = mtu };

	mr_tcp_icmp_arrives(&f->tcp, c, &e);
	rfc_output(f, c);
}

static void syn_sent_hard_error_closes(void **state)
{
	static const struct {
		bool ipv6;
		uint8_t type, code;
		enum mr_close_reason reason;
	} cases[] = {
		{ false, 3, 3, MR_CLOSE_REFUSED },	{ true, 1, 4, MR_CLOSE_REFUSED },
		{ false, 3, 2, MR_CLOSE_UNREACHABLE },	{ true, 1, 1, MR_CLOSE_UNREACHABLE },
		{ false, 3, 13, MR_CLOSE_UNREACHABLE },
	};

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_SYN_SENT);

		icmp(&f, c, cases[i].ipv6, cases[i].type, cases[i].code);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(c->close_reason, cases[i].reason);
		assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

/* MUST-56, and MUST-55 for source quench (type 4): in no state. */
static void every_state_soft_error_changes_nothing(void **state)
{
	static const struct {
		bool ipv6;
		uint8_t type, code;
	} soft[] = {
		{ false, 3, 0 },  { false, 3, 1 },  { false, 3, 5 },  { false, 4, 0 },
		{ false, 11, 0 }, { false, 11, 1 }, { false, 12, 0 }, { true, 1, 0 },
		{ true, 1, 3 },	  { true, 3, 0 },   { true, 3, 1 },   { true, 4, 1 },
	};

	(void)state;
	for (enum mr_tcp_state s = MR_SYN_SENT; s <= MR_TIME_WAIT; s++)
		for (unsigned int i = 0; i < 12; i++) {
			struct rfc f;
			struct mr_conn *c = begin(&f, s);
			struct mr_conn before = *c;

			icmp(&f, c, soft[i].ipv6, soft[i].type, soft[i].code);
			assert_memory_equal(&before, c, sizeof(before));
			assert_int_equal(f.n_sent, 0);
			rfc_fini(&f);
		}
}

/* RFC 5927 5.2: a connection that stands is not aborted by a hard error. */
static void synchronised_hard_error_changes_nothing(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, s);

		icmp(&f, c, false, 3, 3);
		icmp(&f, c, true, 1, 4);
		assert_int_equal(c->state, s);
		rfc_fini(&f);
	}
}

/* RFC 5927 4.1: SND.UNA =< SEQ < SND.NXT, or it is an attacker's guess. */
static void syn_sent_error_about_other_segment_is_ignored(void **state)
{
	static const int off[] = { -1, 1, 100000 };
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_SYN_SENT);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct mr_icmp_error e = { .type = 3,
					   .code = 3,
					   .seq = c->snd_una + (uint32_t)off[i] };

		mr_tcp_icmp_arrives(&f.tcp, c, &e);
	}
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f.stats.icmp_errors, 0);
	rfc_fini(&f);
}

static void established_too_big_sends_smaller_segments_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);
	uint32_t next = RFC_ISS + 1;

	(void)state;
	rfc_send(&f, c, data, 2 * RFC_MSS);
	rfc_forget(&f);
	too_big(&f, c, c->snd_una, 1000);
	assert_int_equal(c->snd_mss, 960);
	assert_true(f.n_sent > 0);
	for (unsigned int i = 0; i < f.n_sent; i++) {
		assert_int_equal(f.sent[i].seq, next);
		assert_in_range(f.sent[i].len, 1, 960);
		next += f.sent[i].len;
	}
	assert_int_equal(next, RFC_ISS + 1 + 2 * RFC_MSS);
	rfc_fini(&f);
}

static void established_too_big_about_other_segment_is_ignored(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, data, RFC_MSS);
	rfc_forget(&f);
	too_big(&f, c, c->snd_una - 1, 1000);
	too_big(&f, c, c->snd_nxt, 1000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void established_too_big_never_raises_and_has_a_floor(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, data, RFC_MSS);
	too_big(&f, c, c->snd_una, 9000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	too_big(&f, c, c->snd_una, 68);
	assert_int_equal(c->snd_mss, 576 - 40);
	too_big(&f, c, c->snd_una, 1500);
	assert_int_equal(c->snd_mss, 576 - 40);
	rfc_fini(&f);
}

/* RFC 8201 4: "it must discard it" */
static void established_ipv6_too_big_below_1280_is_discarded(void **state)
{
	struct mr_icmp_error e = { .type = 2, .ipv6 = true, .mtu = 100 };
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	for (int i = 0; i < 16; i++)
		c->local[i] = c->remote[i] = (uint8_t)(0x20 + i);
	rfc_send(&f, c, data, RFC_MSS);
	e.seq = c->snd_una;
	mr_tcp_icmp_arrives(&f.tcp, c, &e);
	rfc_output(&f, c);
	assert_int_equal(c->snd_mss, RFC_MSS);
	e.mtu = 1280;
	mr_tcp_icmp_arrives(&f.tcp, c, &e);
	assert_int_equal(c->snd_mss, 1280 - 60);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_sent_hard_error_closes),
		cmocka_unit_test(every_state_soft_error_changes_nothing),
		cmocka_unit_test(synchronised_hard_error_changes_nothing),
		cmocka_unit_test(syn_sent_error_about_other_segment_is_ignored),
		cmocka_unit_test(established_too_big_sends_smaller_segments_at_once),
		cmocka_unit_test(established_too_big_about_other_segment_is_ignored),
		cmocka_unit_test(established_too_big_never_raises_and_has_a_floor),
		cmocka_unit_test(established_ipv6_too_big_below_1280_is_discarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
