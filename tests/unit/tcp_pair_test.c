/* SPDX-License-Identifier: MIT */
/*
 * Two ends over a channel that loses, doubles and reorders, 200 seeds: what one end sends the other
 * reads, byte for byte, both ends end as RFC 9293 figure 5 says, and no frame is lost.
 */
#include "tests/unit/tcp_fixture.h"

static void quiet_channel_both_streams_arrive(void **state)
{
	(void)state;
	assert_true(tcp_pair_run(&(struct tcp_pair_options){
			    .seed = 1, .client_bytes = 300000, .server_bytes = 300000 }) < 3000);
}

static void lossy_channel_both_streams_arrive(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++)
		tcp_pair_run(&(struct tcp_pair_options){
			.seed = seed,
			.client_bytes = seed % 4 ? 20000 + seed * 97 : seed,
			.server_bytes = seed % 5 ? 30000 - seed * 89 : 0,
			.loss = seed % 3 * 4,
			.dup = seed % 4 * 3,
			.reorder = seed % 5 * 8,
			.no_timestamps = seed & 1,
			.no_scale = seed & 2,
			.hold_tx = seed & 4,
			.short_of_room = seed & 8,
			.slow_reader = seed & 16,
			.simultaneous_close = seed & 32,
			.nodelay = seed & 64,
		});
}

static void half_lost_channel_still_delivers(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 5; seed++)
		tcp_pair_run(&(struct tcp_pair_options){
			.seed = seed, .client_bytes = 8000, .server_bytes = 8000, .loss = 30 });
}

/* RFC 9293 3.4: arithmetic modulo 2^32, and its sign at 2^31. */
static void sequence_numbers_wrap_in_both_directions(void **state)
{
	(void)state;
	tcp_pair_run(&(struct tcp_pair_options){ .seed = 3,
						 .client_bytes = 300000,
						 .server_bytes = 300000,
						 .client_iss = 0u - 100000,
						 .server_iss = 0x80000000u - 100000,
						 .loss = 2,
						 .reorder = 10 });
	tcp_pair_run(&(struct tcp_pair_options){ .seed = 4,
						 .client_bytes = 300000,
						 .server_bytes = 300000,
						 .client_iss = 0x80000000u - 100000,
						 .server_iss = 0u - 100000,
						 .loss = 2,
						 .reorder = 10 });
}

static void small_receive_buffer_and_slow_reader_end(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 10; seed++)
		tcp_pair_run(&(struct tcp_pair_options){ .seed = seed,
							 .client_bytes = 100000,
							 .server_bytes = 1000,
							 .receive_buffer = 2048,
							 .loss = 2,
							 .slow_reader = true });
}

/* Both receivers are full: each end's ACKs and window updates must still be acceptable. */
static void both_windows_closed_then_opened_both_streams_arrive(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 10; seed++)
		tcp_pair_run(&(struct tcp_pair_options){ .seed = seed,
							 .client_bytes = 60000,
							 .server_bytes = 60000,
							 .receive_buffer = 4096,
							 .loss = 5,
							 .slow_reader = true,
							 .simultaneous_close = true });
}

/* Segments larger than a frame holds are bounded by the frame. */
static void jumbo_mtu_is_bounded_by_the_frame(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 5; seed++)
		tcp_pair_run(&(struct tcp_pair_options){ .seed = seed,
							 .client_bytes = 100000,
							 .server_bytes = 100000,
							 .mtu = 9000,
							 .loss = 3,
							 .receive_buffer = 4096,
							 .slow_reader = true });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiet_channel_both_streams_arrive),
		cmocka_unit_test(lossy_channel_both_streams_arrive),
		cmocka_unit_test(half_lost_channel_still_delivers),
		cmocka_unit_test(sequence_numbers_wrap_in_both_directions),
		cmocka_unit_test(small_receive_buffer_and_slow_reader_end),
		cmocka_unit_test(both_windows_closed_then_opened_both_streams_arrive),
		cmocka_unit_test(jumbo_mtu_is_bounded_by_the_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
