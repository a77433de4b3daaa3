/* SPDX-License-Identifier: MIT */
/*
 * Two ends over a channel that loses chosen segments: with SACK no loss but one of everything
 * waits for the retransmission timer (RFC 2018, RFC 8985), and reordering costs nothing once it
 * is known (RFC 8985 6.2, step 4).
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	BYTES = 400000,
	DELAY_MS = 10,
};

static struct mr_lane_stats run(const uint16_t *lose, const uint16_t *overtaken, uint32_t *took)
{
	struct mr_lane_stats stats;
	struct tcp_pair_options o = {
		.seed = 7,
		.client_bytes = BYTES,
		.delay_ms = DELAY_MS,
		.lose = lose,
		.overtaken = overtaken,
		.stats = &stats,
	};

	*took = tcp_pair_run(&o);
	return stats;
}

static void one_lost_segment_costs_a_round_trip(void **state)
{
	uint32_t clean, took;
	struct mr_lane_stats stats;

	(void)state;
	run(NULL, NULL, &clean);
	stats = run((const uint16_t[]){ 40, 0 }, NULL, &took);
	assert_int_equal(stats.retransmits, 1);
	assert_int_equal(stats.retransmit_timeouts, 0);
	/* half a window for a few round trips, and less than the shortest timeout in all */
	assert_true(took < clean + MR_RTO_MIN_MS - 2 * DELAY_MS);
}

static void many_lost_segments_of_a_window_need_no_timeout(void **state)
{
	/* three runs between them, and five: more than an ACK of a burst tells beside timestamps */
	static const uint16_t lose[][12] = {
		{ 30, 31, 32, 36, 37, 38, 39, 43, 44, 45, 46, 0 },
		{ 30, 31, 32, 34, 36, 37, 40, 41, 43, 44, 45, 0 },
	};
	struct mr_lane_stats stats;
	uint32_t took;

	(void)state;
	for (int i = 0; i < 2; i++) {
		stats = run(lose[i], NULL, &took);
		assert_int_equal(stats.retransmits, 11);
		assert_int_equal(stats.retransmit_timeouts, 0);
		assert_int_equal(stats.fast_retransmits, 1);
	}
}

static void lost_last_segment_needs_no_timeout(void **state)
{
	struct mr_lane_stats stats;
	uint32_t took;
	uint16_t last = BYTES / 1448;

	(void)state;
	stats = run((const uint16_t[]){ last, 0 }, NULL, &took);
	assert_int_equal(stats.retransmit_timeouts, 0);
	assert_true(stats.retransmits > 0);
}

/* Three segments and more overtake one, again and again: nothing is sent again after the first */
static void overtaken_segments_are_not_resent_once_reordering_is_known(void **state)
{
	static const uint16_t overtaken[] = { 20,  40,	60,  80,  100, 120, 140,
					      160, 180, 200, 220, 240, 0 };
	struct mr_lane_stats stats;
	uint32_t took;

	(void)state;
	stats = run(NULL, overtaken, &took);
	assert_in_range(stats.retransmits, 0, 2);
	assert_true(stats.spurious_recoveries >= stats.fast_retransmits);
	assert_int_equal(stats.retransmit_timeouts, 0);
}

/* 40 seeds at 3 % loss */
static void lossy_channel_with_sack_beats_newreno(void **state)
{
	uint64_t took[2] = { 0, 0 };

	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++)
		for (int no_sack = 0; no_sack < 2; no_sack++)
			took[no_sack] += tcp_pair_run(&(struct tcp_pair_options){
				.seed = seed,
				.client_bytes = BYTES / 2,
				.delay_ms = DELAY_MS,
				.loss = 3,
				.no_sack = no_sack,
			});
	assert_true(took[0] < took[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lost_segment_costs_a_round_trip),
		cmocka_unit_test(many_lost_segments_of_a_window_need_no_timeout),
		cmocka_unit_test(lost_last_segment_needs_no_timeout),
		cmocka_unit_test(overtaken_segments_are_not_resent_once_reordering_is_known),
		cmocka_unit_test(lossy_channel_with_sack_beats_newreno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
