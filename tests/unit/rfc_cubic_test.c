/* SPDX-License-Identifier: MIT */
/*
 * RFC 9438: the curve against its formula in floating point, the Reno-friendly region (4.3),
 * multiplicative decrease (4.6), fast convergence (4.7), timeout (4.8), undo (4.9), the first
 * epoch without a loss (4.10), pauses of the application (5.8). RFC 9406: HyStart++.
 */
#include "tests/unit/rfc_fixture.h"

enum {
	MSS = RFC_MSS,
};

static struct mr_conn *start(struct rfc *f, uint32_t segments)
{
	struct mr_conn *c;

	rfc_init(f);
	f->cc = MR_CC_CUBIC;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->cwnd = segments * MSS;
	return c;
}

static struct mr_active *active(struct rfc *f)
{
	return mr_active_of(&f->tcp, &f->conn);
}

static void acked(struct rfc *f, uint32_t bytes)
{
	mr_cc_cubic.acked(
		&f->tcp, &f->conn, active(f),
		&(struct mr_cc_ack){ .acked = bytes, .delivered = bytes, .limited = true });
}

/* Loss with the window full, and recovery behind us. */
static void loss(struct rfc *f)
{
	struct mr_conn *c = &f->conn;

	c->ssthresh = mr_cc_cubic.ssthresh(&f->tcp, c, active(f), c->cwnd);
	c->cwnd = c->ssthresh;
}

/* One round trip of @ms in which all of the window is acknowledged, a segment at a time. */
static void round_trip(struct rfc *f, uint32_t ms)
{
	uint32_t n = f->conn.cwnd / MSS;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = f->tcp.now_ms;

		acked(f, MSS);
		f->tcp.now_ms = from + (i + 1) * ms / n - i * ms / n;
	}
}

static double cube_root(double v)
{
	double root = 1;

	for (int i = 0; i < 200; i++) /* Newton */
		root -= (root * root * root - v) / (3 * root * root);
	return root;
}

static double curve(double t, double k, double w_max)
{
	return 0.4 * (t - k) * (t - k) * (t - k) + w_max;
}

static void near(double value, double wanted, double share)
{
	if (value < wanted - share * wanted || value > wanted + share * wanted)
		fail_msg("%g is not within %g of %g", value, share, wanted);
}

/* ----- the curve ----- */

/*
 * 4.2, (1) and (2): from 0.7 W_max over the plateau into the convex region. The window follows the
 * curve by a round trip, since the target is W_cubic(t + RTT).
 */
static void window_follows_the_curve(void **state)
{
	const double w_max = 1000, k = cube_root((1000 - 700) / 0.4);
	struct rfc f;
	struct mr_conn *c = start(&f, 1000);
	uint32_t begin;
	bool concave = false, convex = false;

	(void)state;
	c->srtt_us = 100000 * 8;
	loss(&f);
	assert_int_equal(c->cwnd, 700 * MSS);
	begin = f.tcp.now_ms;
	while (f.tcp.now_ms - begin < 15000) {
		double t = (f.tcp.now_ms - begin) / 1000.0;

		if (t > 0.3)
			near((double)c->cwnd / MSS, curve(t, k, w_max), 0.012);
		concave |= t > 1 && t < k - 1 && c->cwnd < w_max * MSS;
		convex |= t > k + 1 && c->cwnd > w_max * MSS;
		round_trip(&f, 100);
	}
	assert_true(concave);
	assert_true(convex);
	near((double)c->cwnd / MSS, curve(15, k, w_max), 0.012);
	rfc_fini(&f);
}

/* The same at other sizes and round trips: it depends on time, not on the round trip. */
static void curve_holds_for_windows_and_round_trips(void **state)
{
	static const struct {
		uint32_t segments, rtt_ms;
	} row[] = { { 100, 200 }, { 400, 50 }, { 3000, 100 }, { 10000, 150 } };

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rfc f;
		struct mr_conn *c = start(&f, row[i].segments);
		double w_max = row[i].segments, k = cube_root(w_max * 0.3 / 0.4), t = 0;
		uint32_t begin;

		c->srtt_us = row[i].rtt_ms * 1000 * 8;
		loss(&f);
		begin = f.tcp.now_ms;
		while (t < 1.3 * k) {
			round_trip(&f, row[i].rtt_ms);
			t = (f.tcp.now_ms - begin) / 1000.0;
			if (t > 1)
				near((double)c->cwnd / MSS, curve(t, k, w_max), 0.03);
		}
		rfc_fini(&f);
	}
}

/* 4.2: "target ... 1.5 * cwnd if W_cubic(t + RTT) > 1.5 * cwnd": no more than half in a round. */
static void window_grows_by_half_a_round_trip_at_most(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 20);
	uint32_t before;

	(void)state;
	c->srtt_us = 100000 * 8;
	loss(&f);
	acked(&f, MSS);
	f.tcp.now_ms += 60000; /* limited all the time, though no ACK came */
	before = c->cwnd;
	for (uint32_t i = 0; i < before / MSS; i++)
		acked(&f, MSS);
	assert_true(c->cwnd > before * 13 / 10);
	assert_true(c->cwnd < before * 165 / 100); /* 1.5 on each ACK compounds over the round */
	rfc_fini(&f);
}

/* ----- 4.3 ----- */

/* "alpha_cubic = 3 * (1 - beta) / (1 + beta)" until cwnd_prior, then 1: with a short round trip. */
static void reno_friendly_region_grows_by_alpha(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 100);
	double w_est = 70;

	(void)state;
	c->srtt_us = 1000 * 8;
	loss(&f);
	assert_int_equal(c->cwnd, 70 * MSS);
	while (w_est < 120) {
		uint32_t n = c->cwnd / MSS;

		for (uint32_t i = 0; i < n; i++) {
			double alpha = w_est < 100 ? 9.0 / 17 : 1;

			w_est += alpha * MSS / c->cwnd;
			acked(&f, MSS);
		}
		f.tcp.now_ms++;
		near((double)c->cwnd / MSS, w_est, 0.01);
	}
	rfc_fini(&f);
}

/* ----- 4.6, 4.7 ----- */

/* "ssthresh = flight_size * beta_cubic", beta 0.7, "max(ssthresh, 2)" */
static void loss_leaves_seven_tenths(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 100);

	(void)state;
	assert_int_equal(mr_cc_cubic.ssthresh(&f.tcp, c, active(&f), 100 * MSS), 70 * MSS);
	assert_int_equal(mr_cc_cubic.ssthresh(&f.tcp, c, active(&f), 40 * MSS), 28 * MSS);
	assert_int_equal(mr_cc_cubic.ssthresh(&f.tcp, c, active(&f), 2 * MSS), 2 * MSS);
	rfc_fini(&f);
}

/* "if cwnd < W_max ... W_max = cwnd * (1 + beta_cubic) / 2, else W_max = cwnd" */
static void second_loss_below_w_max_converges_fast(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 100);

	(void)state;
	loss(&f);
	assert_int_equal(active(&f)->cc.cubic.epoch.w_max, 100 * MSS);
	c->cwnd = 80 * MSS;
	loss(&f);
	assert_int_equal(active(&f)->cc.cubic.epoch.w_max, 68 * MSS);
	c->cwnd = 90 * MSS;
	loss(&f);
	assert_int_equal(active(&f)->cc.cubic.epoch.w_max, 90 * MSS);
	rfc_fini(&f);
}

/* ----- 4.8, 4.9, 4.10 ----- */

/* 4.8: after a timeout "K is set to 0, and W_max is set to the congestion window size at the
 * beginning of the current congestion avoidance stage" */
static void timeout_begins_without_k(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 1000);
	uint32_t begin;

	(void)state;
	c->srtt_us = 100000 * 8;
	c->ssthresh = mr_cc_cubic.ssthresh(&f.tcp, c, active(&f), c->cwnd);
	mr_cc_cubic.event(&f.tcp, c, active(&f), MR_CC_TIMEOUT);
	c->cwnd = c->ssthresh; /* slow start is over */
	begin = f.tcp.now_ms;
	for (int i = 0; i < 60; i++)
		round_trip(&f, 100);
	near((double)c->cwnd / MSS, curve((f.tcp.now_ms - begin) / 1000.0, 0, 700), 0.02);
	rfc_fini(&f);
}

/* 4.9: a reduction for nothing leaves no trace: the same window at the same time as without it */
static void undo_goes_on_with_the_old_epoch(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 1000);
	struct mr_cubic_epoch before;
	uint32_t cwnd, ssthresh;

	(void)state;
	c->srtt_us = 100000 * 8;
	loss(&f);
	for (int i = 0; i < 20; i++)
		round_trip(&f, 100);
	before = active(&f)->cc.cubic.epoch;
	cwnd = c->cwnd;
	ssthresh = c->ssthresh;
	loss(&f);
	assert_int_equal(active(&f)->cc.cubic.epoch.start_ms, 0);
	c->cwnd = cwnd;
	c->ssthresh = ssthresh;
	mr_cc_cubic.event(&f.tcp, c, active(&f), MR_CC_UNDO);
	assert_memory_equal(&active(&f)->cc.cubic.epoch, &before, sizeof(before));
	assert_int_not_equal(before.start_ms, 0);
	rfc_fini(&f);
}

/* 4.10: slow start was left without a loss: K = 0, W_max = cwnd */
static void first_epoch_without_loss_is_convex_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 500);
	uint32_t begin = f.tcp.now_ms;

	(void)state;
	c->srtt_us = 100000 * 8;
	c->ssthresh = c->cwnd;
	for (int i = 0; i < 60; i++)
		round_trip(&f, 100);
	near((double)c->cwnd / MSS, curve((f.tcp.now_ms - begin) / 1000.0, 0, 500), 0.02);
	rfc_fini(&f);
}

/* 5.8: time in which the application did not fill the window is no part of t */
static void pause_of_the_application_does_not_count(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 1000);
	uint32_t begin, cwnd, epoch;

	(void)state;
	c->srtt_us = 100000 * 8;
	loss(&f);
	begin = f.tcp.now_ms;
	for (int i = 0; i < 20; i++)
		round_trip(&f, 100);
	cwnd = c->cwnd;
	epoch = active(&f)->cc.cubic.epoch.start_ms;
	assert_true(epoch - begin <= 100);
	for (int i = 0; i < 30; i++) { /* 3 s of small requests */
		f.tcp.now_ms += 100;
		mr_cc_cubic.acked(&f.tcp, c, active(&f), &(struct mr_cc_ack){ .acked = 100 });
	}
	assert_int_equal(c->cwnd, cwnd);
	assert_in_range(active(&f)->cc.cubic.epoch.start_ms - epoch, 3000, 3100);
	f.tcp.now_ms += 5000; /* and 5 s of none at all */
	mr_cc_cubic.event(&f.tcp, c, active(&f), MR_CC_IDLE);
	assert_in_range(active(&f)->cc.cubic.epoch.start_ms - epoch, 8000, 8100);
	round_trip(&f, 100);
	near(c->cwnd, cwnd, 0.03);
	rfc_fini(&f);
}

/* RFC 3168 6.1.2: no growth on an ACK with ECN-Echo */
static void echo_of_congestion_does_not_grow(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 20);

	(void)state;
	mr_cc_cubic.acked(&f.tcp, c, active(&f),
			  &(struct mr_cc_ack){ .acked = MSS, .limited = true, .ece = true });
	assert_int_equal(c->cwnd, 20 * MSS);
	acked(&f, MSS);
	assert_int_equal(c->cwnd, 21 * MSS);
	rfc_fini(&f);
}

/* ----- RFC 9406 ----- */

static const struct mr_cubic *cubic(struct rfc *f)
{
	return &active(f)->cc.cubic;
}

/* A round of slow start, ended by the ACK of what was sent when it began. */
static void slow_start_round(struct rfc *f, uint32_t rtt_us)
{
	struct mr_conn *c = &f->conn;
	uint32_t end;

	c->snd_nxt = c->snd_una + c->cwnd / MSS * MSS;
	end = cubic(f)->in_round ? cubic(f)->window_end : c->snd_nxt;
	while (c->snd_una != end) {
		c->snd_una += MSS;
		mr_cc_cubic.acked(
			&f->tcp, c, active(f),
			&(struct mr_cc_ack){ .acked = MSS, .rtt_us = rtt_us, .limited = true });
		c->snd_nxt = c->snd_una + c->cwnd / MSS * MSS;
	}
}

/* RFC 9406 4.2: "cwnd = cwnd + min(N, L * SMSS)", L without a bound (newreno.c says why) */
static void slow_start_doubles(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 10);

	(void)state;
	slow_start_round(&f, 20000);
	assert_int_equal(c->cwnd, 20 * MSS);
	acked(&f, 20 * MSS);
	assert_int_equal(c->cwnd, 40 * MSS);
	rfc_fini(&f);
}

/*
 * "RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT / MIN_RTT_DIVISOR, MAX_RTT_THRESH))": 4 ms
 * below 32 ms, an eighth, and 16 ms above 128 ms.
 */
static void delay_beyond_the_threshold_enters_css(void **state)
{
	static const struct {
		uint32_t base_us, more_us;
		bool css;
	} row[] = {
		{ 8000, 3999, false },	{ 8000, 4000, true },	  { 80000, 9999, false },
		{ 80000, 10000, true }, { 400000, 15999, false }, { 400000, 16000, true },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rfc f;

		start(&f, 10);
		slow_start_round(&f, row[i].base_us);
		assert_false(cubic(&f)->in_css);
		slow_start_round(&f, row[i].base_us + row[i].more_us);
		assert_int_equal(cubic(&f)->in_css, row[i].css);
		assert_int_equal(f.conn.ssthresh, UINT32_MAX);
		rfc_fini(&f);
	}
}

/* "(rttSampleCount >= N_RTT_SAMPLE)": seven samples are too few */
static void few_samples_decide_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 10);
	const struct mr_cc_ack slow = { .acked = MSS, .rtt_us = 60000, .limited = true };

	(void)state;
	slow_start_round(&f, 20000);
	c->snd_nxt = c->snd_una + 20 * MSS;
	for (int i = 0; i < 7; i++)
		mr_cc_cubic.acked(&f.tcp, c, active(&f), &slow);
	assert_false(cubic(&f)->in_css);
	mr_cc_cubic.acked(&f.tcp, c, active(&f), &slow);
	assert_true(cubic(&f)->in_css);
	rfc_fini(&f);
}

/* "cwnd = cwnd + (min(N, L * SMSS) / CSS_GROWTH_DIVISOR)", CSS_ROUNDS rounds, then avoidance */
static void css_lasts_five_rounds(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 16);
	uint32_t before;

	(void)state;
	slow_start_round(&f, 20000);
	slow_start_round(&f, 30000); /* the partial round counts as the first */
	assert_true(cubic(&f)->in_css);
	before = c->cwnd;
	slow_start_round(&f, 30000);
	near(c->cwnd, before * 1.25, 0.04);
	for (int i = 0; i < 2; i++) {
		slow_start_round(&f, 30000);
		assert_int_equal(c->ssthresh, UINT32_MAX);
	}
	slow_start_round(&f, 30000);
	assert_int_equal(c->ssthresh, c->cwnd);
	before = c->cwnd;
	f.tcp.now_ms += 30;
	slow_start_round(&f, 30000);
	assert_true(c->cwnd < before + 3 * MSS);
	rfc_fini(&f);
}

/* "if (currentRoundMinRTT < cssBaselineMinRtt) ... resume slow start including HyStart++" */
static void delay_that_falls_in_css_resumes_slow_start(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 16);
	uint32_t before;

	(void)state;
	slow_start_round(&f, 20000);
	slow_start_round(&f, 30000);
	assert_true(cubic(&f)->in_css);
	slow_start_round(&f, 29000);
	assert_false(cubic(&f)->in_css);
	before = c->cwnd;
	slow_start_round(&f, 29000);
	near(c->cwnd, before * 2, 0.04);
	rfc_fini(&f);
}

/* 4.2: "An implementation SHOULD use HyStart++ only for the initial slow start" */
static void later_slow_start_stops_at_ssthresh(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, 10);

	(void)state;
	c->ssthresh = 25 * MSS;
	slow_start_round(&f, 20000);
	assert_int_equal(c->cwnd, 20 * MSS);
	slow_start_round(&f, 60000);
	assert_false(cubic(&f)->in_css);
	assert_in_range(c->cwnd, 25 * MSS, 28 * MSS);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(window_follows_the_curve),
		cmocka_unit_test(curve_holds_for_windows_and_round_trips),
		cmocka_unit_test(window_grows_by_half_a_round_trip_at_most),
		cmocka_unit_test(reno_friendly_region_grows_by_alpha),
		cmocka_unit_test(loss_leaves_seven_tenths),
		cmocka_unit_test(second_loss_below_w_max_converges_fast),
		cmocka_unit_test(timeout_begins_without_k),
		cmocka_unit_test(undo_goes_on_with_the_old_epoch),
		cmocka_unit_test(first_epoch_without_loss_is_convex_at_once),
		cmocka_unit_test(pause_of_the_application_does_not_count),
		cmocka_unit_test(echo_of_congestion_does_not_grow),
		cmocka_unit_test(slow_start_doubles),
		cmocka_unit_test(delay_beyond_the_threshold_enters_css),
		cmocka_unit_test(few_samples_decide_nothing),
		cmocka_unit_test(css_lasts_five_rounds),
		cmocka_unit_test(delay_that_falls_in_css_resumes_slow_start),
		cmocka_unit_test(later_slow_start_stops_at_ssthresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
