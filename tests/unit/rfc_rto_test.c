/* SPDX-License-Identifier: MIT */
/*
 * RFC 6298 (retransmission timer), RFC 9293 3.8.1 to 3.8.3 (Karn, R1 and R2, SYN), RFC 7323 4
 * (samples from timestamps), RFC 5681 3.1 (window after a timeout and after a lost SYN).
 */
#include "tests/unit/rfc_words.h"

#include <string.h>

static uint8_t text[20 * RFC_MSS];

static struct mr_conn *start(struct rfc *f, enum mr_tcp_state state)
{
	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + i / 251);
	rfc_init(f);
	return rfc_conn_in(f, state);
}

static void ack_with_echo(struct rfc *f, struct mr_conn *c, uint32_t n, uint32_t ts_ecr)
{
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_ACK,
				      .seq = c->rcv_nxt,
				      .ack = n,
				      .has_ts = true,
				      .ts_val = 1,
				      .ts_ecr = ts_ecr });
}

/* One segment there and back in @ms. */
static void round_trip(struct rfc *f, struct mr_conn *c, uint32_t ms)
{
	assert_int_equal(rfc_send(f, c, "x", 1), 1);
	rfc_advance(f, c, ms);
	ack(f, c, c->snd_nxt);
}

/* The next segment leaves after exactly @ms, and it is @seq again. */
static void assert_resent_after(struct rfc *f, struct mr_conn *c, uint32_t ms, uint32_t seq)
{
	unsigned int before = f->n_sent;

	rfc_advance(f, c, ms - 1);
	assert_int_equal(f->n_sent, before);
	rfc_advance(f, c, 1);
	assert_int_equal(f->n_sent, before + 1);
	assert_int_equal(rfc_last(f)->seq, seq);
}

static void established_no_sample_yet_rto_is_one_second(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1000, RFC_ISS + 1);
	assert_int_equal(rfc_last(&f)->len, 10);
	assert_memory_equal(rfc_last(&f)->text, text, 10);
	assert_int_equal(f.stats.retransmits, 1);
	assert_int_equal(f.stats.retransmit_timeouts, 1);
	rfc_fini(&f);
}

/* 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR */
static void established_first_sample_sets_rto_to_three_times_r(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	round_trip(&f, c, 400);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1200, RFC_ISS + 2);
	rfc_fini(&f);
}

/* 2.3: RTTVAR = 3/4 * 200 + 1/4 * |400 - 800| = 250, SRTT = 7/8 * 400 + 1/8 * 800 = 450 */
static void established_second_sample_uses_alpha_and_beta(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	round_trip(&f, c, 400);
	round_trip(&f, c, 800);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 450 + 4 * 250, RFC_ISS + 3);
	rfc_fini(&f);
}

/* 2.3 with R' below SRTT: RTTVAR = 3/4 * 200 + 1/4 * 300 = 225, SRTT = 350 + 12.5 = 362.5 */
static void established_shorter_sample_counts_its_distance(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	round_trip(&f, c, 400);
	round_trip(&f, c, 100);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1263, RFC_ISS + 3); /* 1262.5, rounded up to the clock */
	rfc_fini(&f);
}

/* 2.4: a floor; 2.5: a ceiling of at least 60 s */
/*
 * 2.4 asks for a minimum; as Linux (tcp_input.c, tcp_rtt_estimator()) it is one of the variance:
 * RTO = SRTT + max(4 * RTTVAR, 200 ms), so that a steady round trip has 200 ms on top.
 */
static void established_short_samples_stop_at_the_floor(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	for (int i = 0; i < 20; i++)
		round_trip(&f, c, 1);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1 + MR_RTO_MIN_MS, RFC_ISS + 21);
	rfc_fini(&f);
}

static void established_long_steady_samples_stop_at_the_floor_of_the_variance(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	for (int i = 0; i < 40; i++)
		round_trip(&f, c, 300);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 300 + MR_RTO_MIN_MS, RFC_ISS + 41);
	rfc_fini(&f);
}

/* 3, Karn: the first byte left in a window probe before: its ACK is no sample. */
static void established_segment_behind_a_probe_is_no_sample(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	c->snd_wnd = 0;
	rfc_send(&f, c, text, 10);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.stats.window_probes, 1);
	rfc_arrives(&f, c,
		    &(struct rfc_in){
			    .flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 1, .wnd = 1000 });
	assert_int_equal(rfc_last(&f)->len, 10);
	rfc_advance(&f, c, 5);
	ack(&f, c, RFC_ISS + 11);
	assert_int_equal(c->srtt_us, 0);
	rfc_fini(&f);
}

static void established_timeouts_double_up_to_the_ceiling(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t rto = 1000;

	(void)state;
	assert_true(MR_RTO_MAX_MS >= 60000); /* 2.5 */
	rfc_send(&f, c, text, 10);
	for (int i = 0; i < MR_RETRIES; i++) {
		assert_resent_after(&f, c, rto, RFC_ISS + 1);
		rto = min_u32(rto * 2, MR_RTO_MAX_MS);
	}
	assert_int_equal(rto, MR_RTO_MAX_MS);
	rfc_fini(&f);
}

/* RFC 9293 3.8.3 (c): R2 of data closes, SHLD-11: at least 100 s */
static void established_r2_over_closes_with_timeout(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t began = f.tcp.now_ms;

	(void)state;
	for (int i = 0; i < 20; i++)
		round_trip(&f, c, 1); /* the shortest RTO gives the shortest R2 */
	rfc_send(&f, c, text, 10);
	rfc_advance(&f, c, 100000);
	assert_int_equal(c->state, MR_ESTABLISHED);
	for (int i = 0; i < 1000 && c->state != MR_CLOSED; i++)
		rfc_advance(&f, c, 10000);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_TIMEOUT);
	assert_true(f.tcp.now_ms - began < 3600000);
	assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
	rfc_fini(&f);
}

/* RFC 9293 3.8.3: R2 measures retransmissions "for the same segment", so progress starts it anew */
static void established_every_segment_lost_once_does_not_count_towards_r2(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	for (int i = 0; i < 3 * MR_RETRIES; i++) {
		unsigned int before = f.n_sent;

		rfc_send(&f, c, text, 10);
		while (f.n_sent < before + 2)
			rfc_advance(&f, c, 1000);
		assert_int_equal(c->state, MR_ESTABLISHED);
		ack(&f, c, c->snd_nxt);
	}
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_fini(&f);
}

/* Karn (section 3): what was sent twice is no sample, and the back-off stays until there is one */
static void established_ack_of_retransmission_is_no_sample(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	round_trip(&f, c, 400);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1200, RFC_ISS + 2);
	rfc_advance(&f, c, 5);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->srtt_us / 8, 400000);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 2400, RFC_ISS + 12);
	rfc_fini(&f);
}

static void established_sample_after_retransmission_ends_backoff(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1000, RFC_ISS + 1);
	ack(&f, c, c->snd_nxt);
	round_trip(&f, c, 400);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1200, RFC_ISS + 12);
	rfc_fini(&f);
}

/* RFC 7323 4: the echoed timestamp says which transmission was acknowledged */
static void established_timestamps_ack_of_retransmission_is_a_sample(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	c->flags |= MR_CONN_TIMESTAMPS;
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 1000, RFC_ISS + 1);
	assert_true(rfc_last(&f)->options.has_timestamps);
	rfc_advance(&f, c, 300);
	ack_with_echo(&f, c, c->snd_nxt, rfc_last(&f)->options.ts_val);
	assert_int_equal(c->srtt_us / 8, 300000);
	rfc_send(&f, c, text, 10);
	assert_resent_after(&f, c, 900, RFC_ISS + 11);
	rfc_fini(&f);
}

/* RFC 7323 4.1: only a segment that advances SND.UNA is a sample */
static void established_timestamps_old_ack_is_no_sample(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	c->flags |= MR_CONN_TIMESTAMPS;
	rfc_send(&f, c, text, 10);
	rfc_advance(&f, c, 300);
	ack_with_echo(&f, c, c->snd_una, rfc_last(&f)->options.ts_val);
	assert_int_equal(c->srtt_us, 0);
	rfc_fini(&f);
}

/* 5.3 */
static void established_ack_of_new_data_restarts_timer(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	rfc_advance(&f, c, 900);
	ack(&f, c, RFC_ISS + 1 + RFC_MSS); /* sample of 900 ms: RTO 2700 ms from now */
	assert_resent_after(&f, c, 2700, RFC_ISS + 1 + RFC_MSS);
	rfc_fini(&f);
}

static void established_ack_of_old_data_does_not_restart_timer(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	rfc_advance(&f, c, 900);
	ack(&f, c, RFC_ISS + 1);
	assert_resent_after(&f, c, 100, RFC_ISS + 1);
	rfc_fini(&f);
}

/* 5.1: running already, so the second segment does not move it */
static void established_second_segment_does_not_restart_timer(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	rfc_advance(&f, c, 900);
	rfc_send(&f, c, text, RFC_MSS);
	assert_resent_after(&f, c, 100, RFC_ISS + 1);
	rfc_fini(&f);
}

/* 5.2 */
static void established_everything_acked_stops_timer(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 5 * RFC_MSS);
	ack(&f, c, c->snd_nxt);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000000);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(mr_conn_next_deadline(c), 0);
	rfc_fini(&f);
}

/* 5.4, RFC 5681 3.1: the earliest segment, one of them, then the rest in slow start */
static void established_timeout_sends_every_byte_again_in_order(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t next = RFC_ISS + 1;
	uint32_t end = RFC_ISS + 1 + 10 * RFC_MSS;
	unsigned int n = 0;

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	assert_int_equal(f.n_sent, 10);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	assert_int_equal(c->cwnd, RFC_MSS);
	while (n < f.n_sent) {
		const struct rfc_sent *s = &f.sent[n++];

		assert_int_equal(s->seq, next);
		assert_memory_equal(s->text, text + (s->seq - RFC_ISS - 1), s->len);
		next += s->len;
		ack(&f, c, next);
	}
	assert_int_equal(next, end);
	assert_int_equal(n, 10);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* The peer had most of it: what an ACK covers is not sent once more. */
static void established_ack_after_timeout_skips_what_it_covers(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_advance(&f, c, 1000);
	rfc_forget(&f);
	ack(&f, c, RFC_ISS + 1 + 9 * RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1 + 9 * RFC_MSS);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* RFC 5681 3.1: the second timeout of the same segment leaves ssthresh */
static void established_second_timeout_of_segment_holds_ssthresh(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10 * RFC_MSS);
	rfc_advance(&f, c, 1000);
	rfc_advance(&f, c, 2000);
	assert_int_equal(f.n_sent, 12);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	rfc_fini(&f);
}

/* RFC 5681 3.1: "the given segment has not yet been resent": MUST set ssthresh, back-off or not */
static void established_timeout_of_later_segment_sets_ssthresh(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_advance(&f, c, 1000);
	ack(&f, c, c->snd_nxt); /* no sample, so the back-off stays */
	c->cwnd = 10 * RFC_MSS;
	c->ssthresh = 100 * RFC_MSS;
	rfc_send(&f, c, text, 8 * RFC_MSS);
	rfc_advance(&f, c, 2000);
	assert_int_equal(f.stats.retransmit_timeouts, 2);
	assert_int_equal(c->ssthresh, 4 * RFC_MSS);
	rfc_fini(&f);
}

/* ----- SYN ----- */

static struct mr_conn *open_conn(struct rfc *f)
{
	struct mr_conn *c;

	start(f, MR_SYN_SENT);
	c = rfc_conn_fresh(f, false);
	mr_tcp_open_call(&f->tcp, c, 0);
	return c;
}

static void answer_syn(struct rfc *f, struct mr_conn *c)
{
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS });
}

/* 5.1 to 5.5 with MUST-14's option set: the same SYN, doubled intervals */
static void syn_sent_timeout_sends_the_same_syn(void **state)
{
	struct rfc f;
	struct mr_conn *c = open_conn(&f);
	const struct rfc_sent *first = &f.sent[0];
	uint32_t rto = 1000;

	(void)state;
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(first->flags, MR_SYN);
	for (unsigned int i = 1; i <= 5; i++, rto *= 2) {
		assert_resent_after(&f, c, rto, first->seq);
		assert_int_equal(rfc_last(&f)->flags, MR_SYN);
		assert_int_equal(rfc_last(&f)->len, 0);
		assert_int_equal(rfc_last(&f)->options.mss, first->options.mss);
		assert_int_equal(rfc_last(&f)->options.has_window_scale, true);
		assert_int_equal(rfc_last(&f)->options.window_shift, first->options.window_shift);
	}
	rfc_fini(&f);
}

/* MUST-23: at least 3 minutes */
static void syn_sent_r2_over_gives_open_timeout(void **state)
{
	struct rfc f;
	struct mr_conn *c = open_conn(&f);

	(void)state;
	rfc_advance(&f, c, 179999);
	assert_int_equal(c->state, MR_SYN_SENT);
	rfc_advance(&f, c, 200000);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_OPEN_TIMEOUT);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN); /* no RST: the peer never knew us */
	rfc_fini(&f);
}

/* 5.7: RTO 3 s when data begins; RFC 5681 3.1: a window of one segment */
static void syn_sent_lost_syn_starts_slowly(void **state)
{
	struct rfc f;
	struct mr_conn *c = open_conn(&f);

	(void)state;
	rfc_advance(&f, c, 1500);
	answer_syn(&f, c);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->srtt_us, 0); /* Karn */
	rfc_forget(&f);
	rfc_send(&f, c, text, 4 * RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	assert_resent_after(&f, c, 3000, c->iss + 1);
	rfc_fini(&f);
}

static void syn_sent_answer_at_once_is_a_sample(void **state)
{
	struct rfc f;
	struct mr_conn *c = open_conn(&f);

	(void)state;
	rfc_advance(&f, c, 250);
	answer_syn(&f, c);
	assert_int_equal(c->srtt_us / 8, 250000);
	assert_int_equal(c->cwnd, 10 * RFC_MSS);
	rfc_forget(&f);
	rfc_send(&f, c, text, RFC_MSS);
	assert_resent_after(&f, c, 750, c->iss + 1);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_no_sample_yet_rto_is_one_second),
		cmocka_unit_test(established_first_sample_sets_rto_to_three_times_r),
		cmocka_unit_test(established_second_sample_uses_alpha_and_beta),
		cmocka_unit_test(established_shorter_sample_counts_its_distance),
		cmocka_unit_test(established_short_samples_stop_at_the_floor),
		cmocka_unit_test(established_long_steady_samples_stop_at_the_floor_of_the_variance),
		cmocka_unit_test(established_segment_behind_a_probe_is_no_sample),
		cmocka_unit_test(established_timeouts_double_up_to_the_ceiling),
		cmocka_unit_test(established_r2_over_closes_with_timeout),
		cmocka_unit_test(established_every_segment_lost_once_does_not_count_towards_r2),
		cmocka_unit_test(established_ack_of_retransmission_is_no_sample),
		cmocka_unit_test(established_sample_after_retransmission_ends_backoff),
		cmocka_unit_test(established_timestamps_ack_of_retransmission_is_a_sample),
		cmocka_unit_test(established_timestamps_old_ack_is_no_sample),
		cmocka_unit_test(established_ack_of_new_data_restarts_timer),
		cmocka_unit_test(established_ack_of_old_data_does_not_restart_timer),
		cmocka_unit_test(established_second_segment_does_not_restart_timer),
		cmocka_unit_test(established_everything_acked_stops_timer),
		cmocka_unit_test(established_timeout_sends_every_byte_again_in_order),
		cmocka_unit_test(established_ack_after_timeout_skips_what_it_covers),
		cmocka_unit_test(established_second_timeout_of_segment_holds_ssthresh),
		cmocka_unit_test(established_timeout_of_later_segment_sets_ssthresh),
		cmocka_unit_test(syn_sent_timeout_sends_the_same_syn),
		cmocka_unit_test(syn_sent_r2_over_gives_open_timeout),
		cmocka_unit_test(syn_sent_lost_syn_starts_slowly),
		cmocka_unit_test(syn_sent_answer_at_once_is_a_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
