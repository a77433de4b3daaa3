/* SPDX-License-Identifier: MIT */
/*
 * What a lane gets: its queue, its socket, and the three conditions of its heartbeat with the
 * flows that went to the kernel meanwhile (bpf/steer.h).
 */
#include <netinet/in.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

static void set_fallback(uint8_t fallback)
{
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .rule_id = 40, .fallback = fallback } },
	      { .vlan = MR_VLAN_ANY, .family = 6, .rule = { .rule_id = 41, .fallback = fallback } },
	      { .vlan = MR_VLAN_ANY,
		.protocol = IPPROTO_UDP,
		.rule = { .rule_id = 42, .fallback = fallback } });
}

static int setup_stale(void **state)
{
	setup_served(state);
	set_fallback(MR_FALLBACK_KERNEL);
	set_lane(STALE);
	return 0;
}

/* ----- queue and socket ----- */

static void queue_with_a_lane_is_steered_to_its_own_slot(void **state)
{
	(void)state;
	EXPECT_ON({ .queue = 0 }, FRAME(), TAKE);
	EXPECT_ON({ .queue = 1 }, FRAME(), TAKE);
	set_socket(SLOT + 1, false);
	EXPECT_ON({ .queue = 0 }, FRAME(), TAKE);
	EXPECT_ON({ .queue = 1 }, FRAME(), NO_SOCKET);
	set_beat_ns(SLOT, 0);
	EXPECT_ON({ .queue = 0 }, FRAME(), GONE);
	EXPECT_ON({ .queue = 1 }, FRAME(), NO_SOCKET);
}

static void queue_without_a_lane_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT_ON({ .queue = 2 }, FRAME(), NO_QUEUE);
	EXPECT_ON({ .queue = 3 }, FRAME(.family = 6), NO_QUEUE);
	EXPECT_ON({ .queue = 3 }, FRAME(.fragment = 0x2000), NO_QUEUE);
	EXPECT_ON({ .queue = 3 }, FRAME(.dport = 80), NO_RULE);
}

static void slot_without_a_socket_is_left_to_the_kernel(void **state)
{
	struct packet quoted = { .source = "192.0.2.2", .sport = TEST_PORT };

	(void)state;
	set_socket(SLOT, false);
	EXPECT(FRAME(), NO_SOCKET);
	EXPECT(FRAME(.family = 6, .protocol = IPPROTO_UDP), NO_SOCKET);
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), NO_SOCKET);
}

static void slot_beyond_the_maps_is_left_to_the_kernel(void **state)
{
	(void)state;
	set_interface(&(struct mr_interface){ .slot_base = MR_MAX_SLOTS, .n_queues = 1 });
	EXPECT(FRAME(), GONE);
	set_interface(&(struct mr_interface){ .slot_base = UINT32_MAX, .n_queues = 2 });
	EXPECT(FRAME(), GONE);
}

/* ----- heartbeat ----- */

/* Not even if the machine has not run for as long as the limits say. */
static void heartbeat_never_seen_is_gone(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	cfg.stale_ns = INT64_MAX;
	cfg.grace_ns = INT64_MAX;
	set_config(&cfg);
	EXPECT(FRAME(), TAKE);
	set_beat_ns(SLOT, 0);
	EXPECT(FRAME(), GONE);
	EXPECT(FRAME(.flags = SYN), GONE);
}

/* The program's clock stands still between two ticks (10 ms at most), the lane's does not. */
static void heartbeat_just_ahead_of_the_clock_is_fresh(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	cfg.stale_ns = 50000000;
	cfg.grace_ns = 3000000000;
	set_config(&cfg);
	set_beat_ns(SLOT, monotonic_ns() + 2000000000);
	EXPECT(FRAME(), TAKE);
}

/* A run with this clock kept, of this tick: true if the tick did not end before the frame came. */
static bool run_with_kept_clock(uint64_t now_ns)
{
	const uint32_t slot = SLOT;
	struct mr_beat beat;
	uint64_t tick;

	EXPECT(FRAME(), TAKE);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_beat"), &slot, &beat), 0);
	tick = beat.tick;
	beat.now_ns = now_ns;
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_beat"), &slot, &beat, BPF_ANY), 0);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_beat"), &slot, &beat), 0);
	return beat.tick == tick;
}

/* As a CPU may see it that reads what another one writes: new tick, old clock. */
static void heartbeat_that_an_old_kept_clock_calls_gone_is_fresh(void **state)
{
	struct mr_config cfg = get_config();
	int tries = 1000;

	(void)state;
	cfg.stale_ns = 60000000000;
	cfg.grace_ns = 61000000000;
	set_config(&cfg);
	do
		set_beat_ns(SLOT, monotonic_ns());
	while (!run_with_kept_clock(monotonic_ns() - 3600000000000) && --tries);
	assert_int_not_equal(tries, 0);
}

static void heartbeat_far_ahead_of_the_clock_is_gone(void **state)
{
	(void)state;
	set_lane(GONE); /* for its short limits: the machine runs for longer than these */
	set_beat_ns(SLOT, monotonic_ns() + 2 * get_config().grace_ns);
	EXPECT(FRAME(), GONE);
	set_beat_ns(SLOT, UINT64_MAX);
	EXPECT(FRAME(), GONE);
	set_beat_ns(SLOT, UINT64_MAX / 2);
	EXPECT(FRAME(), GONE);
	set_beat_ns(SLOT, monotonic_ns());
	EXPECT(FRAME(), TAKE);
}

static void heartbeat_limits_that_nobody_set_are_gone(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	cfg.stale_ns = 0;
	cfg.grace_ns = 0;
	set_config(&cfg);
	set_beat_ns(SLOT, monotonic_ns() - 1000000000);
	EXPECT(FRAME(), GONE);
}

static void stale_lane_keeps_what_it_had_begun(void **state)
{
	struct packet quoted = { .source = "192.0.2.2", .sport = TEST_PORT };

	(void)state;
	EXPECT(FRAME(), TAKE_STALE);
	EXPECT(FRAME(.flags = SYN | ACK), TAKE_STALE);
	EXPECT(FRAME(.flags = FIN | ACK), TAKE_STALE);
	EXPECT(FRAME(.flags = RST), TAKE_STALE);
	EXPECT(FRAME(.flags = SYN | RST), TAKE_STALE);
	EXPECT(FRAME(.flags = SYN | FIN), TAKE_STALE);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), TAKE_STALE);
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), TAKE_STALE);
	EXPECT(FRAME(.fragment = 0x2000), FRAGMENT_STEERED);
	assert_int_equal(kernel_flows_inserted(), 0);
}

static void stale_lane_new_connection_waits_for_it_without_fallback(void **state)
{
	(void)state;
	set_fallback(MR_FALLBACK_NONE);
	EXPECT(FRAME(.flags = SYN), TAKE_STALE);
	assert_int_equal(kernel_flows_inserted(), 0);
}

/* Of a rule that is gone the lane has what it had, the kernel what is new, and keeps it. */
static void gone_rule_keeps_what_it_had_steered(void **state)
{
	struct packet quoted = { .source = "192.0.2.2", .sport = TEST_PORT };

	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .rule_id = 40, .action = MR_ACTION_KEEP } },
	      { .vlan = MR_VLAN_ANY, .family = 6, .rule = { 41, .action = MR_ACTION_KEEP } });
	EXPECT(FRAME(.flags = ACK), TAKE);
	EXPECT(FRAME(.flags = SYN | ACK), TAKE);
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), TAKE_ICMP);
	EXPECT(FRAME(.fragment = 0x2000), FRAGMENT_STEERED);
	assert_int_equal(kernel_flows_inserted(), 0);
	EXPECT(FRAME(.sport = 4000, .flags = SYN), NO_RULE);
	EXPECT(FRAME(.sport = 4000, .flags = ACK), KERNEL_FLOW);
	EXPECT(FRAME(.sport = 4000, .flags = SYN), NO_RULE);
	EXPECT(FRAME(.family = 6, .sport = 4000, .flags = SYN), NO_RULE);
	EXPECT(FRAME(.family = 6, .sport = 4000, .flags = ACK), KERNEL_FLOW);
	EXPECT(FRAME(.flags = ACK), TAKE);
	set_lane(STALE);
	EXPECT(FRAME(.flags = ACK), TAKE_STALE);
	EXPECT(FRAME(.sport = 4001, .flags = SYN), NO_RULE);
}

static void stale_lane_active_open_stays_its_own(void **state)
{
	(void)state;
	set_interface(&(struct mr_interface){
		.slot_base = SLOT, .n_queues = N_LANES, .port_lo = 50000, .port_hi = 50010 });
	set_local("192.0.2.2");
	EXPECT(FRAME(.dport = 50000), TAKE_STALE);
	EXPECT(FRAME(.dport = 50000, .flags = SYN), TAKE_STALE);
	assert_int_equal(kernel_flows_inserted(), 0);
}

static void stale_lane_without_a_socket_is_left_to_the_kernel(void **state)
{
	(void)state;
	set_socket(SLOT, false);
	EXPECT(FRAME(), NO_SOCKET);
}

static void gone_lane_leaves_everything_to_the_kernel(void **state)
{
	struct packet quoted = { .source = "192.0.2.2", .sport = TEST_PORT };

	(void)state;
	set_lane(GONE);
	EXPECT(FRAME(), GONE);
	EXPECT(FRAME(.flags = SYN), GONE);
	EXPECT(FRAME(.family = 6), GONE);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), GONE);
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), GONE);
	EXPECT(FRAME(.fragment = 0x2000), GONE);
	assert_int_equal(kernel_flows_inserted(), 0);
}

/* ----- flows that the kernel took over ----- */

static void stale_lane_new_connection_goes_to_the_kernel_and_stays(void **state)
{
	const struct packet syn = { .flags = SYN }, ack = { .flags = ACK };
	const struct packet syn6 = { .family = 6, .flags = SYN | ECE | CWR, .sport = 40001 };
	const struct packet ack6 = { .family = 6, .flags = ACK, .sport = 40001 };

	(void)state;
	EXPECT(frame_build(&syn), STALE_NEW);
	assert_true(is_in_kernel_flows(&syn));
	assert_int_equal(kernel_flows_inserted(), 1);
	EXPECT(frame_build(&ack), KERNEL_FLOW);
	EXPECT(frame_build(&syn), KERNEL_FLOW);	   /* sent again */
	EXPECT(FRAME(.sport = 40001), TAKE_STALE); /* another connection */
	EXPECT(frame_build(&syn6), STALE_NEW);
	EXPECT(frame_build(&ack6), KERNEL_FLOW);
	assert_int_equal(kernel_flows_inserted(), 2);
	set_lane(FRESH);
	EXPECT(frame_build(&ack), KERNEL_FLOW);
	EXPECT(frame_build(&ack6), KERNEL_FLOW);
	EXPECT(FRAME(.sport = 40002), TAKE);
	set_lane(GONE);
	EXPECT(frame_build(&ack), KERNEL_FLOW);
	assert_int_equal(kernel_flows_inserted(), 2);
}

static void kernel_flow_record_holds_rule_and_last_time(void **state)
{
	struct mr_flow_key key = { .sport = mr_to_be16(TEST_PEER_PORT),
				   .dport = mr_to_be16(TEST_PORT),
				   .protocol = IPPROTO_TCP };
	struct mr_kernel_flow flow;
	int fd = map_fd("mr1_kflow");

	(void)state;
	EXPECT(FRAME(.flags = SYN), STALE_NEW);
	address_bytes(key.saddr, "192.0.2.1");
	address_bytes(key.daddr, "192.0.2.2");
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &flow), 0);
	assert_int_equal(flow.rule_id, 40);
	assert_in_range(flow.last_ns, monotonic_ns() - 1000000000, monotonic_ns());
	flow.last_ns = 1;
	assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_EXIST), 0);
	EXPECT(FRAME(), KERNEL_FLOW);
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &flow), 0);
	assert_in_range(flow.last_ns, monotonic_ns() - 1000000000, monotonic_ns());
}

static void kernel_flow_ends_with_a_reset(void **state)
{
	const struct packet syn = { .flags = SYN };

	(void)state;
	EXPECT(frame_build(&syn), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(.flags = RST | ACK), KERNEL_FLOW);
	assert_false(is_in_kernel_flows(&syn));
	EXPECT(FRAME(), TAKE);
}

static void kernel_flow_new_connection_to_a_fresh_lane_is_the_lanes(void **state)
{
	const struct packet syn = { .flags = SYN };

	(void)state;
	EXPECT(frame_build(&syn), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(), KERNEL_FLOW);
	EXPECT(frame_build(&syn), TAKE);
	assert_false(is_in_kernel_flows(&syn));
	EXPECT(FRAME(), TAKE);
}

/* What would be left to the kernel is neither noted nor forgotten. */
static void kernel_flows_stay_as_they_are_in_mode_monitor(void **state)
{
	const struct packet known = { .flags = SYN }, other = { .flags = SYN, .sport = 40001 };

	(void)state;
	EXPECT(frame_build(&known), STALE_NEW);
	set_mode(MR_MODE_MONITOR);
	expect_only_counted(frame_build(&other), MR_V_STALE_NEW);
	assert_false(is_in_kernel_flows(&other));
	assert_int_equal(kernel_flows_inserted(), 1);
	expect_only_counted(FRAME(.flags = RST | ACK), MR_V_KERNEL_FLOW);
	set_lane(FRESH);
	expect_only_counted(frame_build(&known), MR_V_TAKE); /* a new one for a lane that is back */
	expect_only_counted(FRAME(), MR_V_KERNEL_FLOW);
	assert_true(is_in_kernel_flows(&known));
	set_mode(MR_MODE_ENFORCE);
	EXPECT(FRAME(), KERNEL_FLOW);
	RULES({ .vlan = MR_VLAN_ANY, .port = 7001, .rule = { .action = MR_ACTION_KEEP } });
	set_mode(MR_MODE_MONITOR);
	expect_only_counted(FRAME(.flags = SYN, .dport = 7001), MR_V_NO_RULE);
	assert_int_equal(kernel_flows_inserted(), 1);
	set_mode(MR_MODE_ENFORCE);
	EXPECT(FRAME(.flags = SYN, .dport = 7001), NO_RULE);
	assert_int_equal(kernel_flows_inserted(), 2);
}

static void kernel_flow_icmp_error_about_it_is_the_kernels(void **state)
{
	struct packet quoted = { .source = "192.0.2.2",
				 .destination = "192.0.2.1",
				 .sport = TEST_PORT,
				 .dport = TEST_PEER_PORT };

	(void)state;
	EXPECT(FRAME(.flags = SYN), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(.icmp_type = 3, .source = "203.0.113.9", .quoted = &quoted), KERNEL_FLOW);
	quoted.dport = 40001;
	EXPECT(FRAME(.icmp_type = 3, .source = "203.0.113.9", .quoted = &quoted), TAKE_ICMP);
}

static void kernel_flow_icmpv6_error_about_it_is_the_kernels(void **state)
{
	struct packet quoted = { .family = 6,
				 .source = "2001:db8::2",
				 .destination = "2001:db8::1",
				 .sport = TEST_PORT,
				 .dport = TEST_PEER_PORT };

	(void)state;
	EXPECT(FRAME(.family = 6, .flags = SYN), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(.family = 6, .icmp_type = 1, .source = "2001:db8:9::9", .quoted = &quoted),
	       KERNEL_FLOW);
	quoted.destination = "2001:db8::9";
	EXPECT(FRAME(.family = 6, .icmp_type = 1, .source = "2001:db8:9::9", .quoted = &quoted),
	       TAKE_ICMP);
}

static void kernel_flow_fragment_is_the_kernels(void **state)
{
	(void)state;
	EXPECT(FRAME(.flags = SYN), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(.fragment = 0x2000), KERNEL_FLOW);
	EXPECT(FRAME(.fragment = 0x2000, .sport = 40001), FRAGMENT_STEERED);
}

static void kernel_flow_of_tcp_says_nothing_about_udp(void **state)
{
	(void)state;
	EXPECT(FRAME(.flags = SYN), STALE_NEW);
	set_lane(FRESH);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), TAKE);
}

/* mr1_kflow is looked at only once somebody was ever put there. */
static void kernel_flows_none_ever_saves_the_look_up(void **state)
{
	struct mr_flow_key key = { .sport = mr_to_be16(TEST_PEER_PORT),
				   .dport = mr_to_be16(TEST_PORT),
				   .protocol = IPPROTO_TCP };
	struct mr_kernel_flow flow = { 0 };

	(void)state;
	set_lane(FRESH);
	address_bytes(key.saddr, "192.0.2.1");
	address_bytes(key.daddr, "192.0.2.2");
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_kflow"), &key, &flow, BPF_ANY), 0);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_kflows"), &(uint32_t){ 0 },
					     &(struct mr_kernel_flows){ .inserted = 1 }, BPF_ANY),
			 0);
	EXPECT(FRAME(), KERNEL_FLOW);
}

#define SERVED(f)     cmocka_unit_test_setup(f, setup_served)
#define STALE_LANE(f) cmocka_unit_test_setup(f, setup_stale)

int run_lane_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		SERVED(queue_with_a_lane_is_steered_to_its_own_slot),
		SERVED(queue_without_a_lane_is_left_to_the_kernel),
		SERVED(slot_without_a_socket_is_left_to_the_kernel),
		SERVED(slot_beyond_the_maps_is_left_to_the_kernel),
		SERVED(heartbeat_never_seen_is_gone),
		SERVED(heartbeat_just_ahead_of_the_clock_is_fresh),
		SERVED(heartbeat_that_an_old_kept_clock_calls_gone_is_fresh),
		SERVED(heartbeat_far_ahead_of_the_clock_is_gone),
		SERVED(heartbeat_limits_that_nobody_set_are_gone),
		SERVED(gone_rule_keeps_what_it_had_steered),
		STALE_LANE(stale_lane_keeps_what_it_had_begun),
		STALE_LANE(stale_lane_new_connection_waits_for_it_without_fallback),
		STALE_LANE(stale_lane_active_open_stays_its_own),
		STALE_LANE(stale_lane_without_a_socket_is_left_to_the_kernel),
		STALE_LANE(gone_lane_leaves_everything_to_the_kernel),
		STALE_LANE(stale_lane_new_connection_goes_to_the_kernel_and_stays),
		STALE_LANE(kernel_flow_record_holds_rule_and_last_time),
		STALE_LANE(kernel_flow_ends_with_a_reset),
		STALE_LANE(kernel_flow_new_connection_to_a_fresh_lane_is_the_lanes),
		STALE_LANE(kernel_flows_stay_as_they_are_in_mode_monitor),
		STALE_LANE(kernel_flow_icmp_error_about_it_is_the_kernels),
		STALE_LANE(kernel_flow_icmpv6_error_about_it_is_the_kernels),
		STALE_LANE(kernel_flow_fragment_is_the_kernels),
		STALE_LANE(kernel_flow_of_tcp_says_nothing_about_udp),
		STALE_LANE(kernel_flows_none_ever_saves_the_look_up),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
