/* SPDX-License-Identifier: MIT */
/*
 * The guard (bpf/guard.h): block lists, and limits by GCRA. What a full burst lets through is
 * exact; for the refill the state's clock is set back, so that no test waits.
 */
#include <arpa/inet.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

enum {
	RULE = 0, /* of TCP over IPv4, as setup_served() numbers them */
	SECOND_NS = 1000000000,
};

/* Longer than any of these tests takes. */
#define INTERVAL_NS 4200000000u

/* ----- block lists ----- */

struct entry {
	const char *prefix; /* address/bits */
	uint32_t action;
};

static int split(const char *prefix, uint8_t out[16], uint32_t *bits)
{
	char address[64];
	int family = strchr(prefix, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(sscanf(prefix, "%63[^/]/%u", address, bits), 2);
	assert_int_equal(inet_pton(family, address, out), 1);
	return family;
}

static int make_trie(const char *map, size_t key_bytes)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	struct bpf_map_info info = { 0 };
	uint32_t bytes = sizeof(info);
	struct btf *btf;
	int fd, trie;

	assert_int_equal(bpf_obj_get_info_by_fd(map_fd("mr1_cfg"), &info, &bytes), 0);
	btf = btf__load_from_kernel_by_id(info.btf_id);
	assert_non_null(btf);
	fd = bpf_btf_get_fd_by_id(info.btf_id);
	opts.btf_fd = (uint32_t)fd;
	opts.btf_key_type_id = (uint32_t)btf__find_by_name_kind(
		btf, strstr(map, "4") ? "mr_block4_key" : "mr_block6_key", BTF_KIND_STRUCT);
	opts.btf_value_type_id =
		(uint32_t)btf__find_by_name_kind(btf, "mr_block_entry", BTF_KIND_STRUCT);
	btf__free(btf);
	trie = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, map, (uint32_t)key_bytes,
			      sizeof(struct mr_block_entry), MR_MAX_BLOCKS, &opts);
	close(fd);
	assert_true(trie >= 0);
	return trie;
}

static void set_blocks(const struct entry *list, size_t n, uint32_t parity)
{
	int trie4 = make_trie("mr1_block4", sizeof(struct mr_block4_key));
	int trie6 = make_trie("mr1_block6", sizeof(struct mr_block6_key));

	for (size_t i = 0; i < n; i++) {
		struct mr_block_entry value = { .action = list[i].action };
		struct mr_block6_key key = { 0 };
		int family = split(list[i].prefix, key.addr, &key.prefix_bits);

		assert_int_equal(bpf_map_update_elem(family == AF_INET ? trie4 : trie6, &key,
						     &value, BPF_ANY),
				 0);
	}
	update("mr1_block4", &parity, &trie4);
	update("mr1_block6", &parity, &trie6);
	close(trie4);
	close(trie6);
}
#define BLOCKS(parity, ...)                                                                        \
	set_blocks((const struct entry[]){ __VA_ARGS__ },                                          \
		   sizeof((const struct entry[]){ __VA_ARGS__ }) / sizeof(struct entry), parity)

static void block_source_is_dropped_whatever_it_sends(void **state)
{
	struct packet quoted = { .source = "192.0.2.2",
				 .destination = "192.0.2.1",
				 .sport = TEST_PORT };

	(void)state;
	BLOCKS(0, { "192.0.2.1/32", MR_BLOCK_DROP }, { "2001:db8::/64", MR_BLOCK_DROP });
	EXPECT(FRAME(), TAKE);
	set_guard(MR_GUARD_BLOCK);
	EXPECT(FRAME(), GUARD_BLOCK);
	EXPECT(FRAME(.flags = SYN), GUARD_BLOCK);
	EXPECT(FRAME(.dport = 22), GUARD_BLOCK); /* the kernel's flows too */
	EXPECT(FRAME(.protocol = IPPROTO_UDP), GUARD_BLOCK);
	EXPECT(FRAME(.protocol = 47), GUARD_BLOCK);
	EXPECT(FRAME(.fragment = 0x2000), GUARD_BLOCK);
	EXPECT(FRAME(.fragment = 5), GUARD_BLOCK);
	EXPECT(FRAME(.icmp_type = 3, .source = "203.0.113.9", .quoted = &quoted), GUARD_BLOCK);
	EXPECT(FRAME(.family = 6), GUARD_BLOCK);
	EXPECT(FRAME(.family = 6, .n_extensions = 1, .extension = { { .kind = DESTINATION } }),
	       GUARD_BLOCK);
	EXPECT(FRAME(.n_tags = 1, .tci = { 7 }), GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.family = 6, .source = "2001:db8:0:1::1"), TAKE);
	EXPECT(FRAME(.ethertype = 0x0806), NOT_IP);
}

static void block_longest_prefix_wins(void **state)
{
	uint64_t allowed = map_sum("mr1_gstat", MR_GUARD_ALLOWED_STAT).packets;
	uint64_t blocked = map_sum("mr1_gstat", MR_GUARD_BLOCKED_STAT).packets;

	(void)state;
	BLOCKS(0, { "192.0.0.0/16", MR_BLOCK_DROP }, { "192.0.2.0/24", MR_BLOCK_ALLOW },
	       { "192.0.2.128/25", MR_BLOCK_DROP }, { "::/0", MR_BLOCK_DROP },
	       { "2001:db8::1/128", MR_BLOCK_ALLOW });
	set_guard(MR_GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.0.1.1"), GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.0.2.1"), TAKE);
	EXPECT(FRAME(.source = "192.0.2.129"), GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.1.2.1"), TAKE);
	EXPECT(FRAME(.family = 6), TAKE);
	EXPECT(FRAME(.family = 6, .source = "2001:db8::3"), GUARD_BLOCK);
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_ALLOWED_STAT).packets, allowed + 2);
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_BLOCKED_STAT).packets, blocked + 3);
}

/* Both families change with one bit of one word. */
static void block_list_is_swapped_by_its_parity(void **state)
{
	(void)state;
	BLOCKS(0, { "192.0.2.1/32", MR_BLOCK_DROP });
	BLOCKS(1, { "192.0.2.3/32", MR_BLOCK_DROP }, { "2001:db8::1/128", MR_BLOCK_DROP });
	set_guard(MR_GUARD_BLOCK);
	EXPECT(FRAME(), GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.family = 6), TAKE);
	set_guard(MR_GUARD_BLOCK | MR_GUARD_BLOCK_PARITY);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.source = "192.0.2.3"), GUARD_BLOCK);
	EXPECT(FRAME(.family = 6), GUARD_BLOCK);
}

static void block_list_that_is_missing_blocks_nobody(void **state)
{
	(void)state;
	set_guard(MR_GUARD_BLOCK);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.family = 6), TAKE);
}

static void block_list_needs_no_rules(void **state)
{
	struct mr_config cfg = get_config();

	(void)state;
	cfg.generation.shapes = 0;
	set_config(&cfg);
	BLOCKS(0, { "192.0.2.1/32", MR_BLOCK_DROP });
	set_guard(MR_GUARD_BLOCK);
	EXPECT(FRAME(.dport = 22), GUARD_BLOCK);
	EXPECT(FRAME(.source = "192.0.2.3"), NO_RULES);
}

/* ----- limits ----- */

static struct mr_guard_rate with_burst(uint32_t burst)
{
	return (struct mr_guard_rate){ .interval_ns = INTERVAL_NS, .burst = burst };
}

static void set_limits(struct mr_guard_limit a, struct mr_guard_limit b, uint32_t n)
{
	struct mr_guard g = { .n_limits = n, .limit = { a, b } };

	update("mr1_guard", &(uint32_t){ 0 }, &g);
}

/* As if the burst had begun so long ago. */
static void go_back(const char *addr, uint64_t ns)
{
	struct mr_guard_source key = { .limit = 0 };
	struct mr_guard_state s;

	address_bytes((uint8_t *)key.addr, addr);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_gstate"), &key, &s), 0);
	s.packets_ns -= ns;
	s.syns_ns -= ns;
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_gstate"), &key, &s, BPF_EXIST), 0);
}

static int verdict_of(struct packet p)
{
	struct frame f = frame_build(&p);

	return run_frame(&f, &(struct run){ 0 }).verdict;
}

/* How many of @n frames of a kind pass. */
static unsigned int passed(struct packet p, unsigned int n)
{
	unsigned int n_passed = 0;

	for (unsigned int i = 0; i < n; i++)
		n_passed += verdict_of(p) == MR_V_TAKE;
	return n_passed;
}

static void source_limit_lets_the_burst_through_and_no_more(void **state)
{
	uint64_t over = map_sum("mr1_gstat", MR_GUARD_SOURCE_PACKETS_STAT).packets;
	struct mr_guard_limit l = { .packets = with_burst(5), .ipv4_bits = 32, .ipv6_bits = 64 };

	(void)state;
	set_limits(l, l, 1);
	set_guard(MR_GUARD_SOURCE);
	assert_int_equal(passed((struct packet){ 0 }, 12), 5);
	EXPECT(FRAME(), GUARD_SOURCE);
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_SOURCE_PACKETS_STAT).packets, over + 8);
	/* others have a burst of their own */
	assert_int_equal(passed((struct packet){ .source = "192.0.2.9" }, 7), 5);
	assert_int_equal(passed((struct packet){ .family = 6 }, 7), 5);
	/* within the /64 they share it */
	EXPECT(FRAME(.family = 6, .source = "2001:db8::77"), GUARD_SOURCE);
	EXPECT(FRAME(.family = 6, .source = "2001:db8:0:1::77"), TAKE);
}

static void source_limit_refills_one_an_interval(void **state)
{
	struct mr_guard_limit l = { .packets = with_burst(4), .ipv4_bits = 32, .ipv6_bits = 64 };

	(void)state;
	set_limits(l, l, 1);
	set_guard(MR_GUARD_SOURCE);
	assert_int_equal(passed((struct packet){ 0 }, 6), 4);
	go_back("192.0.2.1", INTERVAL_NS);
	assert_int_equal(passed((struct packet){ 0 }, 6), 1);
	go_back("192.0.2.1", 3ull * INTERVAL_NS);
	assert_int_equal(passed((struct packet){ 0 }, 6), 3);
	/* however long it was quiet, no more than the burst */
	go_back("192.0.2.1", 3600ull * INTERVAL_NS);
	assert_int_equal(passed((struct packet){ 0 }, 9), 4);
}

/* A burst of a slow rate, used up before the rate was changed, is one of the new rate. */
static void source_limit_of_before_does_not_count(void **state)
{
	struct mr_guard_limit l = { .packets = with_burst(3), .ipv4_bits = 32, .ipv6_bits = 64 };

	(void)state;
	set_limits(l, l, 1);
	set_guard(MR_GUARD_SOURCE);
	assert_int_equal(passed((struct packet){ 0 }, 5), 3);
	go_back("192.0.2.1", -1000000ull * INTERVAL_NS);
	EXPECT(FRAME(), GUARD_SOURCE);
	EXPECT(FRAME(), GUARD_SOURCE);
	go_back("192.0.2.1", 2ull * INTERVAL_NS);
	assert_int_equal(passed((struct packet){ 0 }, 5), 2);
}

static void source_limit_of_a_shorter_prefix_is_shared(void **state)
{
	struct mr_guard_limit host = { .packets = with_burst(3),
				       .ipv4_bits = 32,
				       .ipv6_bits = 128 };
	struct mr_guard_limit net = { .packets = with_burst(5), .ipv4_bits = 24, .ipv6_bits = 48 };

	(void)state;
	set_limits(host, net, 2);
	set_guard(MR_GUARD_SOURCE);
	assert_int_equal(passed((struct packet){ .source = "192.0.2.1" }, 3), 3);
	assert_int_equal(passed((struct packet){ .source = "192.0.2.3" }, 3), 2);
	assert_int_equal(passed((struct packet){ .source = "192.0.3.3" }, 3), 3);
	assert_int_equal(passed((struct packet){ .family = 6, .source = "2001:db8:0:1::1" }, 3), 3);
	assert_int_equal(passed((struct packet){ .family = 6, .source = "2001:db8:0:2::1" }, 3), 2);
}

static void source_limit_of_new_connections_counts_syns_alone(void **state)
{
	uint64_t over = map_sum("mr1_gstat", MR_GUARD_SOURCE_SYNS_STAT).packets;
	struct mr_guard_limit l = { .syns = with_burst(2), .ipv4_bits = 32, .ipv6_bits = 64 };

	(void)state;
	set_limits(l, l, 1);
	set_guard(MR_GUARD_SOURCE);
	assert_int_equal(passed((struct packet){ .flags = SYN }, 5), 2);
	assert_int_equal(passed((struct packet){ .flags = ACK }, 9), 9);
	assert_int_equal(passed((struct packet){ .flags = SYN | ACK }, 4), 4);
	assert_int_equal(passed((struct packet){ .protocol = IPPROTO_UDP }, 4), 4);
	EXPECT(FRAME(.flags = SYN), GUARD_SOURCE);
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_SOURCE_SYNS_STAT).packets, over + 4);
	go_back("192.0.2.1", INTERVAL_NS);
	assert_int_equal(passed((struct packet){ .flags = SYN }, 3), 1);
}

/* What monitor counts is of limits of its own: what is enforced later has its whole burst. */
static void limits_in_mode_monitor_take_nothing_of_what_is_enforced(void **state)
{
	uint64_t sources = map_sum("mr1_gstat", MR_GUARD_SOURCE_PACKETS_STAT).packets;
	uint64_t rules = map_sum("mr1_gstat", MR_GUARD_RULE_PACKETS_STAT).packets;
	struct mr_guard_limit l = { .packets = with_burst(4), .ipv4_bits = 32, .ipv6_bits = 64 };
	struct mr_guard_rule r = { .packets = with_burst(3) }, after;
	const uint32_t rule = RULE;

	(void)state;
	set_limits(l, l, 1);
	update("mr1_grule", &rule, &r);
	set_guard(MR_GUARD_SOURCE | MR_GUARD_RULE);
	set_mode(MR_MODE_MONITOR);
	assert_int_equal(passed((struct packet){ 0 }, 6), 3); /* 4 by source, 3 of them by rule */
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_SOURCE_PACKETS_STAT).packets, sources + 2);
	assert_int_equal(map_sum("mr1_gstat", MR_GUARD_RULE_PACKETS_STAT).packets, rules + 1);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_grule"), &rule, &after), 0);
	assert_memory_equal(&after, &r, sizeof(r));
	set_mode(MR_MODE_ENFORCE);
	assert_int_equal(passed((struct packet){ 0 }, 6), 3);
	set_mode(MR_MODE_MONITOR);
	assert_int_equal(verdict_of((struct packet){ 0 }), MR_V_GUARD_SOURCE);
}

/* What no rule gives to a lane is not the guard's to limit. */
static void limits_are_for_what_goes_to_lanes(void **state)
{
	struct mr_guard_limit l = { .packets = with_burst(1), .ipv4_bits = 32, .ipv6_bits = 64 };

	(void)state;
	set_limits(l, l, 1);
	set_guard(MR_GUARD_SOURCE | MR_GUARD_RULE);
	for (int i = 0; i < 4; i++)
		EXPECT(FRAME(.dport = 22), NO_RULE);
	set_interface(&(struct mr_interface){
		.slot_base = SLOT, .n_queues = N_LANES, .port_lo = 50000, .port_hi = 50010 });
	set_local("192.0.2.2");
	for (int i = 0; i < 4; i++)
		EXPECT(FRAME(.dport = 50000), TAKE_ACTIVE);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(), GUARD_SOURCE);
}

static void limits_change_with_their_parity(void **state)
{
	struct mr_guard none = { 0 };

	(void)state;
	set_limits((struct mr_guard_limit){ .packets = with_burst(1), .ipv4_bits = 0 },
		   (struct mr_guard_limit){ 0 }, 1);
	update("mr1_guard", &(uint32_t){ 1 }, &none);
	set_guard(MR_GUARD_SOURCE);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.source = "198.51.100.1"), GUARD_SOURCE); /* /0: everybody */
	set_guard(MR_GUARD_SOURCE | MR_GUARD_PARITY);
	EXPECT(FRAME(), TAKE);
}

static void rule_limit_is_of_all_sources_together(void **state)
{
	struct mr_guard_rule r = { .packets = with_burst(3), .syns = with_burst(2) };
	uint64_t dropped = map_sum("mr1_grstat", RULE).packets;
	const uint32_t rule = RULE;

	(void)state;
	update("mr1_grule", &rule, &r);
	EXPECT(FRAME(), TAKE); /* not switched on */
	set_guard(MR_GUARD_RULE);
	EXPECT(FRAME(.flags = SYN), TAKE);
	EXPECT(FRAME(.flags = SYN, .source = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.flags = SYN, .source = "192.0.2.4"), GUARD_RULE);
	EXPECT(FRAME(.source = "192.0.2.5"), GUARD_RULE);
	EXPECT(FRAME(.family = 6), TAKE); /* another rule */
	assert_int_equal(map_sum("mr1_grstat", RULE).packets, dropped + 2);
	update("mr1_grule", &rule, &(struct mr_guard_rule){ 0 });
	EXPECT(FRAME(), TAKE);
}

/* A source that is over its own limit takes nothing of the rule's. */
static void source_limit_comes_before_the_rules(void **state)
{
	struct mr_guard_limit l = { .packets = with_burst(1), .ipv4_bits = 32, .ipv6_bits = 64 };
	struct mr_guard_rule r = { .packets = with_burst(2) };
	const uint32_t rule = RULE;

	(void)state;
	set_limits(l, l, 1);
	update("mr1_grule", &rule, &r);
	set_guard(MR_GUARD_SOURCE | MR_GUARD_RULE);
	EXPECT(FRAME(), TAKE);
	for (int i = 0; i < 5; i++)
		EXPECT(FRAME(), GUARD_SOURCE);
	EXPECT(FRAME(.source = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.source = "192.0.2.4"), GUARD_RULE);
	update("mr1_grule", &rule, &(struct mr_guard_rule){ 0 });
}

/* ----- SYNs for a lane that is overrun (what the answers say: xdp_cookie_test.c) ----- */

static void ask_for_answers(uint32_t flags)
{
	uint32_t slot = SLOT;
	struct mr_beat b = { .beat_ns = monotonic_ns(), .syn = flags };

	update("mr1_beat", &slot, &b);
}

static void overrun_lane_gets_everything_but_syns(void **state)
{
	const struct frame tagged = FRAME(.flags = SYN, .n_tags = 2, .tci = { 5, 6 });
	uint32_t slot = SLOT;
	struct mr_beat b;

	(void)state;
	EXPECT(FRAME(.flags = SYN), TAKE);
	ask_for_answers(MR_SYN_ANSWER);
	for (int i = 0; i < 2; i++) { /* the reply's length may be another: counted are SYNs */
		struct frame f = i ? tagged : FRAME(.flags = SYN, .payload = 4);

		assert_int_equal(run_frame(&f, &(struct run){ 0 }).action, XDP_TX);
	}
	assert_int_equal(verdict_of((struct packet){ .family = 6, .flags = SYN }), MR_V_SYN_COOKIE);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.flags = SYN | ACK), TAKE);
	EXPECT(FRAME(.flags = SYN | FIN), TAKE);
	EXPECT(FRAME(.flags = SYN, .fragment = 0x2000), FRAGMENT_STEERED);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), TAKE);
	EXPECT(FRAME(.flags = SYN, .dport = 80), NO_RULE);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_beat"), &slot, &b), 0);
	assert_int_equal(b.syns_answered, 3);
	ask_for_answers(MR_SYN_TIMESTAMPS);
	EXPECT(FRAME(.flags = SYN), TAKE);
}

static void overrun_lane_odd_syns_are_dropped(void **state)
{
	(void)state;
	ask_for_answers(MR_SYN_ANSWER);
	EXPECT(FRAME(.flags = SYN, .ihl = 6), SYN_ODD);
	EXPECT(FRAME(.flags = SYN, .source = "127.0.0.1"), SYN_ODD);
	EXPECT(FRAME(.flags = SYN, .source = "255.255.255.255"), SYN_ODD);
	EXPECT(FRAME(.flags = SYN, .source = "224.0.0.1"), SYN_ODD);
	EXPECT(FRAME(.flags = SYN, .source = "192.0.2.2"), SYN_ODD);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "ff02::1"), SYN_ODD);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "2001:db8::2"), SYN_ODD);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "::ffff:192.0.2.1"), SYN_ODD);
	EXPECT(FRAME(.family = 6, .flags = SYN, .n_extensions = 1,
		     .extension = { { .kind = DESTINATION } }),
	       SYN_ODD);
}

static void overrun_lane_that_is_stale_is_not_answered_for(void **state)
{
	uint32_t slot = SLOT;
	struct mr_beat b = { .syn = MR_SYN_ANSWER };

	(void)state;
	set_lane(STALE);
	b.beat_ns = monotonic_ns() - 5ull * SECOND_NS;
	update("mr1_beat", &slot, &b);
	EXPECT(FRAME(.flags = SYN), TAKE_STALE);
}

/* ----- sources at their limit of connections (user/lane/full.c publishes them) ----- */

/* What the lane of SLOT says: a key, and sources; nothing was let through for an hour to come. */
static void publish(struct mr_full *m, const char *ipv4, const char *ipv6)
{
	uint32_t slot = SLOT, addr[4];
	uint64_t word;

	memset(m, 0, sizeof(*m));
	m->key = 0x9e3779b97f4a7c15;
	for (int i = 0; i < MR_FULL_LET; i++)
		m->let_ns[i] = monotonic_ns() + 3600ull * SECOND_NS;
	if (ipv4) {
		address_bytes((uint8_t *)addr, ipv4);
		word = mr_full_ipv4(addr);
		m->ipv4[mr_full_place(word, m->key)] = word;
	}
	if (ipv6) {
		address_bytes((uint8_t *)addr, ipv6);
		word = mr_full_ipv6(addr);
		m->ipv6[mr_full_place(word, m->key)] = word;
	}
	update("mr1_full", &slot, m);
}

static void full_source_opens_nothing_and_keeps_what_it_has(void **state)
{
	struct mr_full m;

	(void)state;
	publish(&m, "192.0.2.1", "2001:db8::1");
	EXPECT(FRAME(.flags = SYN), TAKE); /* not switched on */
	ask_for_answers(MR_SYN_FULL);
	EXPECT(FRAME(.flags = SYN), SOURCE_FULL);
	EXPECT(FRAME(.family = 6, .flags = SYN), SOURCE_FULL);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "2001:db8::ffff"), SOURCE_FULL);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.flags = SYN | ACK), TAKE);
	EXPECT(FRAME(.flags = FIN | ACK), TAKE);
	EXPECT(FRAME(.protocol = IPPROTO_UDP), TAKE);
	EXPECT(FRAME(.flags = SYN, .dport = 80), NO_RULE);
	EXPECT(FRAME(.flags = SYN, .source = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "2001:db8:0:1::1"), TAKE);
	EXPECT(FRAME(.family = 6, .flags = SYN, .source = "::ffff:192.0.2.1"), TAKE);
	publish(&m, NULL, NULL);
	EXPECT(FRAME(.flags = SYN), TAKE);
}

/* A full source gets no cookie, and the others do. */
static void full_source_of_an_overrun_lane_is_not_answered(void **state)
{
	struct mr_full m;

	(void)state;
	publish(&m, "192.0.2.1", NULL);
	ask_for_answers(MR_SYN_FULL | MR_SYN_ANSWER);
	EXPECT(FRAME(.flags = SYN), SOURCE_FULL);
	assert_int_equal(verdict_of((struct packet){ .source = "192.0.2.3", .flags = SYN }),
			 MR_V_SYN_COOKIE);
}

/* Of all sources that share a place just the one that stands there is meant. */
static void full_source_is_believed_whole_or_not_at_all(void **state)
{
	uint32_t slot = SLOT, addr[4];
	struct mr_full m;
	uint64_t word;

	(void)state;
	ask_for_answers(MR_SYN_FULL);
	publish(&m, NULL, NULL);
	address_bytes((uint8_t *)addr, "192.0.2.1");
	word = mr_full_ipv4(addr);
	for (int bit = 0; bit < 33; bit++) {
		m.ipv4[mr_full_place(word, m.key)] = word ^ 1ull << bit;
		update("mr1_full", &slot, &m);
		EXPECT(FRAME(.flags = SYN), TAKE);
	}
	memset(m.ipv4, 0, sizeof(m.ipv4)); /* in another's place */
	m.ipv4[mr_full_place(word, m.key) ^ 1] = word;
	update("mr1_full", &slot, &m);
	EXPECT(FRAME(.flags = SYN), TAKE);
}

static void full_source_gets_a_syn_a_second_through(void **state)
{
	uint32_t slot = SLOT;
	struct mr_full m, after;

	(void)state;
	publish(&m, "192.0.2.1", NULL);
	ask_for_answers(MR_SYN_FULL);
	EXPECT(FRAME(.flags = SYN), SOURCE_FULL);
	memset(m.let_ns, 0, sizeof(m.let_ns));
	update("mr1_full", &slot, &m);
	EXPECT(FRAME(.flags = SYN), TAKE);
	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_full"), &slot, &after), 0);
	assert_memory_not_equal(after.let_ns, m.let_ns, sizeof(m.let_ns));
	assert_memory_equal(after.ipv4, m.ipv4, sizeof(m.ipv4));
}

/* What a lane said that does not run any more blocks nobody. */
static void full_source_of_a_lane_that_is_stale_is_free(void **state)
{
	uint32_t slot = SLOT;
	struct mr_beat b = { .syn = MR_SYN_FULL };
	struct mr_full m;

	(void)state;
	publish(&m, "192.0.2.1", NULL);
	set_lane(STALE);
	b.beat_ns = monotonic_ns() - 5ull * SECOND_NS;
	update("mr1_beat", &slot, &b);
	EXPECT(FRAME(.flags = SYN), TAKE_STALE);
}

#define SERVED(f) cmocka_unit_test_setup(f, setup_served)

int run_guard_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		SERVED(block_source_is_dropped_whatever_it_sends),
		SERVED(block_longest_prefix_wins),
		SERVED(block_list_is_swapped_by_its_parity),
		SERVED(block_list_that_is_missing_blocks_nobody),
		SERVED(block_list_needs_no_rules),
		SERVED(source_limit_lets_the_burst_through_and_no_more),
		SERVED(source_limit_refills_one_an_interval),
		SERVED(source_limit_of_before_does_not_count),
		SERVED(source_limit_of_a_shorter_prefix_is_shared),
		SERVED(source_limit_of_new_connections_counts_syns_alone),
		SERVED(limits_are_for_what_goes_to_lanes),
		SERVED(limits_in_mode_monitor_take_nothing_of_what_is_enforced),
		SERVED(limits_change_with_their_parity),
		SERVED(rule_limit_is_of_all_sources_together),
		SERVED(source_limit_comes_before_the_rules),
		SERVED(overrun_lane_gets_everything_but_syns),
		SERVED(overrun_lane_odd_syns_are_dropped),
		SERVED(overrun_lane_that_is_stale_is_not_answered_for),
		SERVED(full_source_opens_nothing_and_keeps_what_it_has),
		SERVED(full_source_of_an_overrun_lane_is_not_answered),
		SERVED(full_source_is_believed_whole_or_not_at_all),
		SERVED(full_source_gets_a_syn_a_second_through),
		SERVED(full_source_of_a_lane_that_is_stale_is_free),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
