/* SPDX-License-Identifier: MIT */
/*
 * RFC 1191 (5, 6.3, 7.1), RFC 8201 (4, 5.4), RFC 5927 7.2: what a router's "too big" does, when it
 * counts and for how long; RFC 9293 3.7.1 (SHLD-6): the send size follows the MTU of our own side;
 * RFC 6691: options come off the segment that carries them.
 */
#include "tests/unit/rfc_words.h"

#include <string.h>

static uint8_t text[200 * RFC_MSS];
static struct mr_pmtu_cache cache;

static struct mr_conn *begin(struct rfc *f)
{
	struct mr_conn *c;

	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + i / 251);
	memset(&cache, 0, sizeof(cache));
	rfc_init(f);
	c = rfc_conn_in(f, MR_ESTABLISHED);
	f->tcp.pmtu = &cache;
	return c;
}

static void too_big_of(struct rfc *f, struct mr_conn *c, uint32_t seq, uint32_t mtu,
		       uint16_t quoted)
{
	struct mr_icmp_error e = {
		.type = 3, .code = 4, .seq = seq, .mtu = mtu, .quoted_bytes = quoted
	};

	mr_tcp_icmp_arrives(&f->tcp, c, &e);
	rfc_output(f, c);
}

static void too_big(struct rfc *f, struct mr_conn *c, uint32_t seq, uint32_t mtu)
{
	too_big_of(f, c, seq, mtu, 1500);
}

/* Only what was too big leaves again, in pieces; small segments between stay in flight. */
static void established_too_big_resends_only_the_big_segments(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	rfc_send(&f, c, text, RFC_MSS);
	rfc_send(&f, c, text + RFC_MSS, 300);
	rfc_send(&f, c, text + RFC_MSS + 300, RFC_MSS);
	assert_int_equal(f.n_sent, 3);
	rfc_forget(&f);
	too_big(&f, c, c->snd_una, 1000);
	assert_int_equal(f.n_sent, 4);
	assert_int_equal(f.sent[0].seq, RFC_ISS + 1);
	assert_int_equal(f.sent[0].len, 960);
	assert_int_equal(f.sent[1].len, 500);
	assert_int_equal(f.sent[2].seq, RFC_ISS + 1 + RFC_MSS + 300);
	assert_int_equal(f.sent[2].len, 960);
	assert_int_equal(f.sent[3].len, 500);
	rfc_check_sent(&f, text);
	rfc_fini(&f);
}

/* RFC 8201 5.4: no sign of congestion */
static void established_too_big_leaves_the_congestion_window(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t cwnd = c->cwnd, flight;

	(void)state;
	rfc_send(&f, c, text, 6 * RFC_MSS);
	flight = mr_conn_flight(&f.tcp, c);
	too_big(&f, c, c->snd_una, 1280);
	assert_int_equal(c->cwnd, cwnd);
	assert_int_equal(c->ssthresh, UINT32_MAX);
	assert_int_equal(mr_conn_flight(&f.tcp, c), flight);
	rfc_fini(&f);
}

/* A message about each of many segments in flight: the first one counts. */
static void established_second_too_big_of_the_same_mtu_resends_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	unsigned int n;

	(void)state;
	rfc_send(&f, c, text, 3 * RFC_MSS);
	too_big(&f, c, c->snd_una, 1280);
	n = f.n_sent;
	too_big(&f, c, c->snd_una + RFC_MSS, 1280);
	too_big(&f, c, c->snd_una + 2 * RFC_MSS, 1280);
	assert_int_equal(f.n_sent, n);
	rfc_fini(&f);
}

/* RFC 1191 5 and 7.1: no MTU in the message: the plateau below the quoted packet's length */
static void established_too_big_without_mtu_takes_the_plateau(void **state)
{
	static const struct {
		uint16_t quoted, mtu;
	} rows[] = { { 1500, 1492 }, { 1492, 1006 }, { 1006, 576 }, { 1300, 1006 }, { 0, 1492 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f);

		rfc_send(&f, c, text, 4 * RFC_MSS);
		too_big_of(&f, c, c->snd_una, 0, rows[i].quoted);
		assert_int_equal(c->snd_mss, rows[i].mtu - 40);
		/* about another segment of the same flight: no further down */
		too_big_of(&f, c, c->snd_una + RFC_MSS, 0, rows[i].quoted);
		if (rows[i].quoted)
			assert_int_equal(c->snd_mss, rows[i].mtu - 40);
		rfc_fini(&f);
	}
}

/* The length in the quotation proves nothing: who can quote a number in flight can write any. */
static void established_too_big_counts_whatever_length_is_quoted(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big_of(&f, c, c->snd_una, 1280, 40);
	assert_int_equal(c->snd_mss, 1240);
	rfc_fini(&f);
}

/* ----- RFC 5927 7.2 ----- */

/* A full segment was acknowledged, another one is in flight. */
static struct mr_conn *proven(struct rfc *f)
{
	struct mr_conn *c = begin(f);

	rfc_send(f, c, text, RFC_MSS);
	ack(f, c, c->snd_nxt);
	rfc_send(f, c, text + RFC_MSS, 2 * RFC_MSS);
	rfc_forget(f);
	return c;
}

static void established_too_big_after_larger_ones_passed_waits(void **state)
{
	struct rfc f;
	struct mr_conn *c = proven(&f);

	(void)state;
	too_big(&f, c, c->snd_una, 1280);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 0);
	rfc_fini(&f);
}

static void established_waiting_claim_is_cancelled_by_the_quoted_segments_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = proven(&f);

	(void)state;
	too_big(&f, c, c->snd_una, 1280);
	ack(&f, c, c->snd_una + RFC_MSS);
	rfc_advance(&f, c, 5000); /* the other one times out */
	assert_true(f.stats.retransmit_timeouts > 0);
	assert_int_equal(c->snd_mss, RFC_MSS);
	rfc_fini(&f);
}

static void established_waiting_claim_is_confirmed_by_a_timeout(void **state)
{
	struct rfc f;
	struct mr_conn *c = proven(&f);
	uint32_t cwnd = c->cwnd;

	(void)state;
	too_big(&f, c, c->snd_una, 1280);
	rfc_advance(&f, c, c->rto_ms);
	assert_int_equal(c->snd_mss, 1240);
	assert_int_equal(f.n_sent, 4); /* both, in pieces */
	assert_int_equal(f.sent[0].len, 1240);
	assert_int_equal(f.sent[1].len, 220);
	assert_int_equal(c->cwnd, cwnd);
	rfc_check_sent(&f, text);
	assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 1280);
	assert_true(c->deadline[MR_DEADLINE_RETRANSMIT] != 0);
	rfc_fini(&f);
}

/*
 * A lie about a segment that is small enough: what timed out was lost, and is sent again at once as
 * any other; the claim is forgotten.
 */
static void established_waiting_claim_about_a_small_segment_costs_no_timeout(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	ack(&f, c, c->snd_nxt);
	c->flags |= MR_CONN_NODELAY;
	for (unsigned int i = 1; i <= 2; i++) {
		rfc_send(&f, c, text + RFC_MSS, 100);
		rfc_forget(&f);
		too_big(&f, c, c->snd_una, 1280);
		rfc_advance(&f, c, c->rto_ms << c->backoff);
		assert_int_equal(f.stats.retransmit_timeouts, i);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->len, 100);
		assert_int_equal(c->cwnd, RFC_MSS);
		assert_int_equal(c->snd_mss, RFC_MSS);
		assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 0);
		ack(&f, c, c->snd_nxt);
	}
	rfc_fini(&f);
}

/* A claim that lies above what was acknowledged needs no proof. */
static void established_claim_above_what_was_acknowledged_counts_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, 1000);
	ack(&f, c, c->snd_nxt);
	rfc_send(&f, c, text + 1000, 2 * RFC_MSS);
	too_big(&f, c, c->snd_una, 1280);
	assert_int_equal(c->snd_mss, 1240);
	rfc_fini(&f);
}

/* ----- later ----- */

static void established_on_a_known_path_begins_with_its_size(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 1300);
	mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
	mr_active_give(&f.actives, c);
	c = rfc_conn_in(&f, MR_SYN_SENT);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS });
	assert_int_equal(c->snd_mss, 1260);
	assert_true(c->cwnd <= 14600);
	mr_active_give(&f.actives, c);
	c = rfc_conn_in(&f, MR_SYN_RECEIVED);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->snd_mss, 1260);
	rfc_fini(&f);
}

/* RFC 1191 6.3: "10 minutes" */
static void remembered_size_is_forgotten_after_ten_minutes(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	mr_pmtu_learn(&f.tcp, c->remote, 1300);
	rfc_advance(&f, c, 599000);
	assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 1300);
	rfc_advance(&f, c, 1000);
	assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 0);
	rfc_fini(&f);
}

/* Bounded: any number of destinations, and the newest is found. */
static void remembered_destinations_are_bounded(void **state)
{
	uint8_t remote[16] = { 0x20, 1 };
	uint32_t found = 0;
	struct rfc f;

	(void)state;
	begin(&f);
	for (uint32_t i = 0; i < 5000; i++) {
		memcpy(remote + 12, &i, sizeof(i));
		f.tcp.now_ms++;
		mr_pmtu_learn(&f.tcp, remote, 1280 + i % 100);
		assert_int_equal(mr_pmtu_lookup(&f.tcp, remote), 1280 + i % 100);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		memcpy(remote + 12, &i, sizeof(i));
		found += mr_pmtu_lookup(&f.tcp, remote) != 0;
	}
	assert_true(found > MR_PMTU_SETS && found <= MR_PMTU_SETS * MR_PMTU_WAYS);
	rfc_fini(&f);
}

/* RFC 1191 6.3: after ten minutes a larger size is tried, not before */
static void established_larger_size_is_probed_after_ten_minutes(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 1280);
	ack(&f, c, c->snd_nxt);
	rfc_advance(&f, c, 590000);
	rfc_forget(&f);
	rfc_send(&f, c, text + RFC_MSS, 8 * 1240);
	assert_int_equal(f.sent[0].len, 1240);
	ack(&f, c, c->snd_nxt);
	rfc_advance(&f, c, 10000);
	rfc_forget(&f);
	rfc_send(&f, c, text + RFC_MSS + 8 * 1240, 8 * 1240);
	assert_int_equal(f.sent[0].len, RFC_MSS);
	rfc_check_sent(&f, text);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(mr_pmtu_lookup(&f.tcp, c->remote), 0);
	rfc_fini(&f);
}

/* What it may grow to is not forgotten while it is idle. */
static void established_lowered_idle_connection_keeps_its_record(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 1280);
	ack(&f, c, c->snd_nxt);
	rfc_advance(&f, c, 60000);
	mr_tcp_give_idle(&f.tcp, 100);
	assert_non_null(mr_active_peek(&f.actives, c));
	assert_int_equal(mr_active_peek(&f.actives, c)->mss_most, RFC_MSS);
	rfc_fini(&f);
}

/* ----- our own side ----- */

/* SHLD-6: down, and what is in flight and too big again; up again to what was agreed on. */
static void established_follows_the_mtu_of_the_interface(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	rfc_forget(&f);
	mr_tcp_follow_mtu(&f.tcp, c, 1400);
	assert_int_equal(c->snd_mss, 1360);
	assert_int_equal(f.n_sent, 4);
	rfc_check_sent(&f, text);
	mr_tcp_follow_mtu(&f.tcp, c, 1450);
	assert_int_equal(c->snd_mss, 1410);
	mr_tcp_follow_mtu(&f.tcp, c, 9000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	mr_tcp_follow_mtu(&f.tcp, c, 1500);
	assert_int_equal(c->snd_mss, RFC_MSS);
	ack(&f, c, c->snd_nxt);
	rfc_fini(&f);
}

/* The loss window of a timeout is one segment (RFC 5681 3.1), of larger ones that follow too. */
static void established_windows_hold_a_segment_of_the_new_size(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	mr_tcp_follow_mtu(&f.tcp, c, 1000);
	rfc_advance(&f, c, 3000);
	assert_int_equal(c->cwnd, 960);
	mr_tcp_follow_mtu(&f.tcp, c, 1500);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(c->cwnd, RFC_MSS);
	assert_true(c->ssthresh >= 2 * RFC_MSS);
	rfc_fini(&f);
}

/* A path that takes less than the interface does not grow with the interface. */
static void established_interface_grows_the_path_does_not(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	mr_tcp_follow_mtu(&f.tcp, c, 1400);
	rfc_send(&f, c, text, RFC_MSS);
	too_big_of(&f, c, c->snd_una, 1280, 1400);
	mr_tcp_follow_mtu(&f.tcp, c, 1500);
	assert_int_equal(c->snd_mss, 1240);
	rfc_fini(&f);
}

static void syn_sent_follows_downwards_only(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	begin(&f);
	c = rfc_conn_in(&f, MR_SYN_SENT);
	mr_tcp_follow_mtu(&f.tcp, c, 1400);
	assert_int_equal(c->snd_mss, 1360);
	mr_tcp_follow_mtu(&f.tcp, c, 1500);
	assert_int_equal(c->snd_mss, 1360);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_too_big_resends_only_the_big_segments),
		cmocka_unit_test(established_too_big_leaves_the_congestion_window),
		cmocka_unit_test(established_second_too_big_of_the_same_mtu_resends_nothing),
		cmocka_unit_test(established_too_big_without_mtu_takes_the_plateau),
		cmocka_unit_test(established_too_big_counts_whatever_length_is_quoted),
		cmocka_unit_test(established_too_big_after_larger_ones_passed_waits),
		cmocka_unit_test(established_waiting_claim_is_cancelled_by_the_quoted_segments_ack),
		cmocka_unit_test(established_waiting_claim_is_confirmed_by_a_timeout),
		cmocka_unit_test(established_waiting_claim_about_a_small_segment_costs_no_timeout),
		cmocka_unit_test(established_claim_above_what_was_acknowledged_counts_at_once),
		cmocka_unit_test(established_on_a_known_path_begins_with_its_size),
		cmocka_unit_test(remembered_size_is_forgotten_after_ten_minutes),
		cmocka_unit_test(remembered_destinations_are_bounded),
		cmocka_unit_test(established_larger_size_is_probed_after_ten_minutes),
		cmocka_unit_test(established_lowered_idle_connection_keeps_its_record),
		cmocka_unit_test(established_follows_the_mtu_of_the_interface),
		cmocka_unit_test(established_windows_hold_a_segment_of_the_new_size),
		cmocka_unit_test(established_interface_grows_the_path_does_not),
		cmocka_unit_test(syn_sent_follows_downwards_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
