/* SPDX-License-Identifier: MIT */
/*
 * Which rule names a frame. include/shared/mr_maps.h: shapes of keys and their order, generations,
 * actions, per-rule counters; then the lanes' own ports.
 */
#include <netinet/in.h>
#include <unistd.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

#define STEER .action = MR_ACTION_STEER
#define PASS  .action = MR_ACTION_PASS
#define DROP  .action = MR_ACTION_DROP

/* ----- nothing to look up ----- */

static void empty_maps_pass_everything(void **state)
{
	(void)state;
	setup_empty(NULL);
	for (size_t i = 0; i < n_templates; i++)
		EXPECT(frame_build(&templates[i].packet), NO_INTERFACE);
}

static void interface_without_lanes_passes_everything(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_templates; i++)
		EXPECT_ON({ .ifindex = 1 }, frame_build(&templates[i].packet), NO_INTERFACE);
}

static void rules_none_pass_everything(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	cfg.generation.shapes = 0;
	set_config(&cfg);
	for (size_t i = 0; i < n_templates; i++)
		EXPECT(frame_build(&templates[i].packet), NO_RULES);
}

static void rules_slot_that_is_empty_counts_as_no_rules(void **state)
{
	uint32_t parity = get_config().generation.parity;

	(void)state;
	assert_int_equal(bpf_map_delete_elem(map_fd("mr1_rules"), &parity), 0);
	EXPECT(FRAME(), NO_RULES);
}

/* ----- what a key compares ----- */

static void rule_compares_port_protocol_and_family(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.dport = 7001), NO_RULE);
	EXPECT(FRAME(.sport = TEST_PORT, .dport = 80), NO_RULE);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), NO_RULE);
	EXPECT(FRAME(.family = 6), NO_RULE);
	EXPECT(FRAME(.dport = 0x581b), NO_RULE); /* 7000 with its bytes swapped */
}

static void rule_compares_address(void **state)
{
	(void)state;
	RULES({ .address = "192.0.2.2", .vlan = MR_VLAN_ANY, .rule = { STEER } },
	      { .address = "2001:db8::2", .vlan = MR_VLAN_ANY, .family = 6, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.family = 6), TAKE);
	EXPECT(FRAME(.destination = "192.0.2.3"), NO_RULE);
	EXPECT(FRAME(.source = "192.0.2.2", .destination = "192.0.2.1"), NO_RULE);
	EXPECT(FRAME(.family = 6, .destination = "2001:db8::3"), NO_RULE);
	EXPECT(FRAME(.family = 6, .destination = "2001:db9::2"), NO_RULE);
}

/* On the wire a mapped address is IPv6 all the same. */
static void rule_of_ipv4_does_not_name_a_mapped_ipv6_address(void **state)
{
	(void)state;
	RULES({ .address = "192.0.2.2", .vlan = MR_VLAN_ANY, .rule = { STEER } });
	EXPECT(FRAME(.family = 6, .destination = "::ffff:192.0.2.2"), NO_RULE);
}

static void rule_compares_vlan(void **state)
{
	(void)state;
	RULES({ .vlan = 10, .rule = { STEER } });
	EXPECT(FRAME(), NO_RULE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 0xe00a }), TAKE); /* priority 7 */
	EXPECT(FRAME(.n_tags = 1, .tci = { 11 }), NO_RULE);
	EXPECT(FRAME(.n_tags = 2, .tci = { 20, 10 }), NO_RULE);
	RULES({ .vlan = 20 << 16 | 10, .rule = { STEER } });
	EXPECT(FRAME(.n_tags = 2, .tci = { 20, 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 2, .tci = { 10, 20 }), NO_RULE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), NO_RULE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 20 }), NO_RULE);
}

/* IEEE 802.1Q: VID 0 is a priority tag, the frame is untagged. */
static void rule_of_vlan_0_names_untagged_and_priority_tagged(void **state)
{
	(void)state;
	RULES({ .vlan = 0, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 0 }), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 0x6000 }), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 1 }), NO_RULE);
}

static void rule_of_any_vlan_names_them_all(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 2, .tci = { 4095, 4095 }), TAKE);
}

/* ----- which of several ----- */

/* Address and VLAN, address, VLAN, any: each rule drops out in turn. */
static void rules_of_all_shapes_the_narrowest_wins(void **state)
{
	const struct rule_spec all[] = {
		{ .address = "192.0.2.2", .vlan = 10, .rule = { .rule_id = 10 } },
		{ .address = "192.0.2.2", .vlan = MR_VLAN_ANY, .rule = { .rule_id = 11 } },
		{ .vlan = 10, .rule = { .rule_id = 12 } },
		{ .vlan = MR_VLAN_ANY, .rule = { .rule_id = 13 } },
	};
	struct frame f = FRAME(.n_tags = 1, .tci = { 10 });

	(void)state;
	for (size_t first = 0; first < 4; first++) {
		struct mr_count before[4];

		set_rules(all + first, 4 - first);
		for (uint32_t i = 0; i < 4; i++)
			before[i] = rule_count(10 + i);
		EXPECT(f, TAKE);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(rule_count(10 + i).packets - before[i].packets,
					 i == first);
	}
}

static void rules_of_all_shapes_only_what_fits_is_found(void **state)
{
	struct mr_count before;

	(void)state;
	RULES({ .address = "192.0.2.2", .vlan = 10, .rule = { DROP } },
	      { .address = "192.0.2.3", .vlan = MR_VLAN_ANY, .rule = { PASS } },
	      { .vlan = 20, .rule = { DROP } },
	      { .vlan = MR_VLAN_ANY, .rule = { STEER, .rule_id = 20 } });
	before = rule_count(20);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(rule_count(20).packets - before.packets, 1);
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), RULE_DROP);
	EXPECT(FRAME(.n_tags = 1, .tci = { 20 }), RULE_DROP);
	EXPECT(FRAME(.destination = "192.0.2.3"), RULE_PASS);
	EXPECT(FRAME(.destination = "192.0.2.3", .n_tags = 1, .tci = { 20 }), RULE_PASS);
}

/* A shape that the generation word leaves out is not looked up: that is what makes misses cheap. */
static void shape_not_in_the_generation_is_not_looked_up(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	assert_int_equal(cfg.generation.shapes, MR_SHAPE_ANY);
	cfg.generation.shapes = MR_SHAPE_ADDR | MR_SHAPE_VLAN | MR_SHAPE_ADDR_VLAN;
	set_config(&cfg);
	EXPECT(FRAME(), NO_RULE);
}

/* ----- generations ----- */

static void generation_flip_changes_all_rules_at_once(void **state)
{
	struct mr_config cfg;
	uint32_t number = get_config().generation.number;

	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	RULES({ .vlan = MR_VLAN_ANY, .port = 7001, .rule = { STEER } });
	EXPECT(FRAME(), NO_RULE);
	EXPECT(FRAME(.dport = 7001), TAKE);
	cfg = get_config();
	assert_int_equal(cfg.generation.number, number + 2);
	cfg.generation.parity ^= 1; /* back to the one before */
	set_config(&cfg);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.dport = 7001), NO_RULE);
}

static void generation_of_another_size_is_taken_by_the_kernel(void **state)
{
	const struct rule_spec rule = { .vlan = MR_VLAN_ANY, .rule = { STEER } };
	struct mr_config cfg = get_config();
	uint32_t parity = cfg.generation.parity;
	int fd = make_generation(map_fd("mr1_cfg"), &rule, 1, 16);

	(void)state;
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_rules"), &parity, &fd, BPF_ANY), 0);
	close(fd);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.family = 6), NO_RULE);
}

/* ----- what a CPU remembers (mr1_known) ----- */

static void known_frame_follows_every_new_generation(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(), TAKE);
	RULES({ .vlan = MR_VLAN_ANY, .rule = { PASS } });
	EXPECT(FRAME(), RULE_PASS);
	RULES({ .vlan = MR_VLAN_ANY, .port = 7001, .rule = { STEER } });
	EXPECT(FRAME(), NO_RULE);
	EXPECT(FRAME(), NO_RULE);
	RULES({ .vlan = MR_VLAN_ANY, .rule = { DROP } });
	EXPECT(FRAME(), RULE_DROP);
}

/* Everything that a key has tells two frames apart, in whatever order they come. */
static void known_frames_are_not_taken_for_each_other(void **state)
{
	(void)state;
	RULES({ .address = "192.0.2.2", .vlan = 0, .rule = { STEER } });
	for (int i = 0; i < 3; i++) {
		EXPECT(FRAME(), TAKE);
		EXPECT(FRAME(.destination = "192.0.2.3"), NO_RULE);
		EXPECT(FRAME(.dport = 7001), NO_RULE);
		EXPECT(FRAME(.n_tags = 1, .tci = { 5 }), NO_RULE);
		EXPECT(FRAME(.protocol = IPPROTO_UDP), NO_RULE);
		EXPECT(FRAME(.family = 6, .destination = "::ffff:192.0.2.2"), NO_RULE);
		EXPECT(FRAME(.family = 6, .destination = "::1:ffff:192.0.2.2"), NO_RULE);
	}
}

/* More keys than there is room for, twice: those that have lost their place are looked up again. */
static void known_more_than_there_is_room_for(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2 * (MR_MAX_KNOWN + 100); i++) {
		uint16_t port = (uint16_t)(TEST_PORT + i % (MR_MAX_KNOWN + 100));

		EXPECT(FRAME(.dport = port), NO_RULE);
		EXPECT(FRAME(.dport = TEST_PORT - 1), TAKE);
	}
}

static int setup_one_port_below(void **state)
{
	setup_served(state);
	RULES({ .vlan = MR_VLAN_ANY, .port = TEST_PORT - 1, .rule = { STEER } });
	return 0;
}

/* A loader of minor 0, for which this was padding: number and parity say nothing of the rules. */
static void promise_nothing(void)
{
	struct mr_config cfg = get_config();

	cfg.generation.promises = 0;
	set_config(&cfg);
}

static void known_nothing_where_numbers_mean_nothing(void **state)
{
	const struct rule_spec pass = { .vlan = MR_VLAN_ANY, .rule = { PASS } };
	uint32_t parity = get_config().generation.parity;
	int fd = make_generation(map_fd("mr1_cfg"), &pass, 1, MR_MAX_RULES);

	(void)state;
	EXPECT(FRAME(), TAKE); /* what was known before is not either */
	promise_nothing();
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.dport = 7001), NO_RULE);
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_rules"), &parity, &fd, BPF_ANY), 0);
	close(fd);
	EXPECT(FRAME(), RULE_PASS);
}

/* ----- interfaces ----- */

static void interface_that_is_not_near_is_found(void **state)
{
	(void)state;
	set_near(&(struct mr_interface){ 0 });
	EXPECT(FRAME(), TAKE);
	set_near(&(struct mr_interface){ .ifindex = test_ifindex() + MR_NEAR_INTERFACES });
	EXPECT(FRAME(), TAKE);
}

/* Left behind by another loader, while this one only writes mr1_if. */
static void interface_near_is_not_asked_where_nobody_keeps_it(void **state)
{
	(void)state;
	set_near(&(struct mr_interface){ .ifindex = test_ifindex() });
	EXPECT(FRAME(), NO_QUEUE);
	promise_nothing();
	EXPECT(FRAME(), TAKE);
}

/* ----- actions and counters ----- */

static void rule_actions_decide(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER } },
	      { .vlan = MR_VLAN_ANY, .port = 7001, .rule = { PASS } },
	      { .vlan = MR_VLAN_ANY, .port = 7002, .rule = { DROP } },
	      { .vlan = MR_VLAN_ANY, .port = 7003, .rule = { .action = 99 } });
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.dport = 7001), RULE_PASS);
	EXPECT(FRAME(.dport = 7002), RULE_DROP);
	EXPECT(FRAME(.dport = 7003), RULE_PASS); /* of a newer daemon */
}

static void first_fragment_obeys_the_action_of_its_rule(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { PASS } },
	      { .vlan = MR_VLAN_ANY, .port = 7002, .rule = { DROP } });
	EXPECT(FRAME(.fragment = 0x2000), FRAGMENT);
	EXPECT(FRAME(.fragment = 0x2000, .dport = 7002), RULE_DROP);
}

static void rule_hits_are_counted_whatever_the_action(void **state)
{
	struct frame f = FRAME(.payload = 100), g = FRAME(.dport = 7002, .payload = 7);
	struct mr_count steered = rule_count(30), dropped = rule_count(4095);

	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER, .rule_id = 30 } },
	      { .vlan = MR_VLAN_ANY, .port = 7002, .rule = { DROP, .rule_id = MR_MAX_RULES - 1 } });
	EXPECT(f, TAKE);
	EXPECT(f, TAKE);
	EXPECT(g, RULE_DROP);
	EXPECT(FRAME(.dport = 80), NO_RULE);
	assert_int_equal(rule_count(30).packets - steered.packets, 2);
	assert_int_equal(rule_count(30).bytes - steered.bytes, 2 * f.len);
	assert_int_equal(rule_count(4095).packets - dropped.packets, 1);
	assert_int_equal(rule_count(4095).bytes - dropped.bytes, g.len);
}

static void rule_id_beyond_the_counters_changes_nothing(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER, .rule_id = MR_MAX_RULES } });
	EXPECT(FRAME(), TAKE);
}

/* ----- modes ----- */

static void mode_bypass_passes_everything_unasked(void **state)
{
	struct mr_count before = rule_count(30);

	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { DROP, .rule_id = 30 } });
	set_mode(MR_MODE_BYPASS);
	for (size_t i = 0; i < n_templates; i++)
		EXPECT(frame_build(&templates[i].packet), NO_RULES);
	assert_int_equal(rule_count(30).packets, before.packets);
	set_mode(MR_MODE_ENFORCE);
	EXPECT(FRAME(), RULE_DROP);
}

static void mode_monitor_counts_and_passes(void **state)
{
	struct mr_count steered = rule_count(30), dropped = rule_count(31);

	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { STEER, .rule_id = 30 } },
	      { .vlan = MR_VLAN_ANY, .port = 7002, .rule = { DROP, .rule_id = 31 } });
	set_mode(MR_MODE_MONITOR);
	expect_only_counted(FRAME(), MR_V_TAKE);
	expect_only_counted(FRAME(.fragment = 0x2000), MR_V_FRAGMENT_STEERED);
	expect_only_counted(FRAME(.dport = 7002), MR_V_RULE_DROP);
	expect_only_counted(FRAME(.dport = 80), MR_V_NO_RULE);
	assert_int_equal(rule_count(30).packets - steered.packets, 2);
	assert_int_equal(rule_count(31).packets - dropped.packets, 1);
}

/* ----- ports of lanes ----- */

static void set_active_ports(uint16_t lo, uint16_t hi)
{
	set_interface(&(struct mr_interface){
		.slot_base = SLOT, .n_queues = N_LANES, .port_lo = lo, .port_hi = hi });
}

static void active_open_port_range_is_taken(void **state)
{
	(void)state;
	set_active_ports(50000, 50010);
	set_local("192.0.2.2");
	set_local("2001:db8::2");
	EXPECT(FRAME(.dport = 50000), TAKE_ACTIVE);
	EXPECT(FRAME(.dport = 50010), TAKE_ACTIVE);
	EXPECT(FRAME(.dport = 50005, .family = 6), TAKE_ACTIVE);
	EXPECT(FRAME(.dport = 50005, .n_tags = 1, .tci = { 10 }), TAKE_ACTIVE);
	EXPECT(FRAME(.dport = 49999), NO_RULE);
	EXPECT(FRAME(.dport = 50011), NO_RULE);
	EXPECT(FRAME(.dport = 50005, .protocol = IPPROTO_UDP), NO_RULE);
	EXPECT(FRAME(.dport = 50005, .fragment = 0x2000), FRAGMENT_STEERED);
}

static void active_open_from_another_address_is_left_to_the_kernel(void **state)
{
	(void)state;
	set_active_ports(50000, 50010);
	set_local("192.0.2.2");
	EXPECT(FRAME(.dport = 50005, .destination = "192.0.2.3"), NO_RULE);
	EXPECT(FRAME(.dport = 50005, .family = 6), NO_RULE);
}

static void active_open_needs_no_rules(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	set_active_ports(50000, 65535);
	set_local("192.0.2.2");
	cfg.generation.shapes = 0;
	set_config(&cfg);
	EXPECT(FRAME(.dport = 65535), TAKE_ACTIVE);
	EXPECT(FRAME(), NO_RULE);
}

static void active_open_port_that_a_rule_names_is_the_rules(void **state)
{
	(void)state;
	set_active_ports(6000, 8000);
	set_local("192.0.2.2");
	EXPECT(FRAME(), TAKE);
	RULES({ .vlan = MR_VLAN_ANY, .rule = { PASS } });
	EXPECT(FRAME(), RULE_PASS);
	EXPECT(FRAME(.dport = 7001), TAKE_ACTIVE);
}

#define CASE(f) cmocka_unit_test_setup(f, setup_served)

int run_rule_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		CASE(empty_maps_pass_everything),
		CASE(interface_without_lanes_passes_everything),
		CASE(rules_none_pass_everything),
		CASE(rules_slot_that_is_empty_counts_as_no_rules),
		CASE(rule_compares_port_protocol_and_family),
		CASE(rule_compares_address),
		CASE(rule_of_ipv4_does_not_name_a_mapped_ipv6_address),
		CASE(rule_compares_vlan),
		CASE(rule_of_vlan_0_names_untagged_and_priority_tagged),
		CASE(rule_of_any_vlan_names_them_all),
		CASE(rules_of_all_shapes_the_narrowest_wins),
		CASE(rules_of_all_shapes_only_what_fits_is_found),
		CASE(shape_not_in_the_generation_is_not_looked_up),
		CASE(generation_flip_changes_all_rules_at_once),
		CASE(generation_of_another_size_is_taken_by_the_kernel),
		CASE(known_frame_follows_every_new_generation),
		CASE(known_frames_are_not_taken_for_each_other),
		cmocka_unit_test_setup(known_more_than_there_is_room_for, setup_one_port_below),
		CASE(known_nothing_where_numbers_mean_nothing),
		CASE(interface_that_is_not_near_is_found),
		CASE(interface_near_is_not_asked_where_nobody_keeps_it),
		CASE(rule_actions_decide),
		CASE(first_fragment_obeys_the_action_of_its_rule),
		CASE(rule_hits_are_counted_whatever_the_action),
		CASE(rule_id_beyond_the_counters_changes_nothing),
		CASE(mode_bypass_passes_everything_unasked),
		CASE(mode_monitor_counts_and_passes),
		CASE(active_open_port_range_is_taken),
		CASE(active_open_from_another_address_is_left_to_the_kernel),
		CASE(active_open_needs_no_rules),
		CASE(active_open_port_that_a_rule_names_is_the_rules),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
