/* SPDX-License-Identifier: MIT */
/*
 * ICMP errors about flows of lanes: RFC 792, RFC 1122 3.2.2, RFC 4443 2.4 and 3. The quoted packet
 * was sent by this host, so its source is what a rule names.
 */
#include <netinet/in.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

/* Sent by the lane. */
#define QUOTED_IPV4                                                                                \
	.source = "192.0.2.2", .destination = "192.0.2.1", .sport = TEST_PORT,                     \
	.dport = TEST_PEER_PORT
#define QUOTED_IPV6                                                                                \
	.family = 6, .source = "2001:db8::2", .destination = "2001:db8::1", .sport = TEST_PORT,    \
	.dport = TEST_PEER_PORT

/* The router that complains is not the peer. */
#define ERROR_IPV4(type_, ...)                                                                     \
	FRAME(.icmp_type = type_, .source = "203.0.113.9",                                         \
	      .quoted = &(const struct packet){ QUOTED_IPV4, __VA_ARGS__ })
#define ERROR_IPV6(type_, ...)                                                                     \
	FRAME(.family = 6, .icmp_type = type_, .source = "2001:db8:9::9",                          \
	      .quoted = &(const struct packet){ QUOTED_IPV6, __VA_ARGS__ })

static void icmp_error_about_a_steered_flow_is_taken(void **state)
{
	(void)state;
	EXPECT(ERROR_IPV4(3, .payload = 20), TAKE_ICMP);
	EXPECT(ERROR_IPV4(11, .payload = 20), TAKE_ICMP);
	EXPECT(ERROR_IPV4(12, .payload = 20), TAKE_ICMP);
	EXPECT(ERROR_IPV4(3, .protocol = IPPROTO_UDP), TAKE_ICMP);
	EXPECT(ERROR_IPV4(3, .ihl = 15), TAKE_ICMP);
}

static void icmpv6_error_about_a_steered_flow_is_taken(void **state)
{
	(void)state;
	for (uint8_t type = 1; type <= 4; type++)
		EXPECT(ERROR_IPV6(type, .payload = 20), TAKE_ICMP);
	EXPECT(ERROR_IPV6(1, .protocol = IPPROTO_UDP), TAKE_ICMP);
}

static void icmp_other_types_are_left_to_the_kernel(void **state)
{
	static const uint8_t types[] = { 4, 5, 8, 13 }, types6[] = { 5, 127, 128, 135 };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++)
		EXPECT(ERROR_IPV4(types[i], .payload = 20), ICMP_OTHER);
	for (size_t i = 0; i < sizeof(types6); i++)
		EXPECT(ERROR_IPV6(types6[i], .payload = 20), ICMP_OTHER);
}

static void icmp_error_about_another_flow_is_left_to_the_kernel(void **state)
{
	struct packet other = { QUOTED_IPV4 };

	(void)state;
	other.sport = 80;
	EXPECT(FRAME(.icmp_type = 3, .quoted = &other), ICMP_OTHER);
	other.sport = TEST_PEER_PORT; /* of the two ports, ours is the source */
	other.dport = TEST_PORT;
	EXPECT(FRAME(.icmp_type = 3, .quoted = &other), ICMP_OTHER);
	EXPECT(ERROR_IPV4(3, .protocol = 47, .payload = 8), ICMP_OTHER);
	EXPECT(ERROR_IPV6(1, .protocol = 132, .payload = 8), ICMP_OTHER);
}

static void icmp_quote_that_we_did_not_send_is_left_to_the_kernel(void **state)
{
	struct packet other = { QUOTED_IPV4 }, other6 = { QUOTED_IPV6 };

	(void)state;
	other.source = "192.0.2.3";
	EXPECT(FRAME(.icmp_type = 3, .quoted = &other), ICMP_OTHER);
	other6.source = "2001:db8::3";
	EXPECT(FRAME(.family = 6, .icmp_type = 1, .quoted = &other6), ICMP_OTHER);
}

static void icmp_quote_of_the_other_family_is_left_to_the_kernel(void **state)
{
	struct packet ipv4 = { QUOTED_IPV4, .payload = 60 }, ipv6 = { QUOTED_IPV6 };

	(void)state;
	EXPECT(FRAME(.icmp_type = 3, .quoted = &ipv6), ICMP_OTHER);
	EXPECT(FRAME(.family = 6, .icmp_type = 1, .quoted = &ipv4, .quoted_bytes = 60), ICMP_OTHER);
}

static void icmp_quoted_fragment_only_the_first_is_taken(void **state)
{
	(void)state;
	EXPECT(ERROR_IPV4(3, .fragment = 0x2000), TAKE_ICMP);
	EXPECT(ERROR_IPV4(3, .fragment = 0x2001), ICMP_OTHER);
	EXPECT(ERROR_IPV4(3, .fragment = 0x0100), ICMP_OTHER);
	EXPECT(ERROR_IPV6(1, .n_extensions = 1,
			  .extension = { { .kind = FRAGMENT, .fragment = 8 } }),
	       ICMP_OTHER);
	/* lanes send no extension headers, an atomic fragment is none of theirs */
	EXPECT(ERROR_IPV6(1, .n_extensions = 1, .extension = { { .kind = FRAGMENT } }), ICMP_OTHER);
}

static void icmp_quote_of_a_bad_header_is_left_to_the_kernel(void **state)
{
	struct frame f = ERROR_IPV4(3, .payload = 20), g = ERROR_IPV6(1);

	(void)state;
	g.bytes[g.transport + 8] = 0x50;
	EXPECT(g, ICMP_OTHER);
	f.bytes[f.transport + 8] = 0x44;
	EXPECT(f, ICMP_OTHER);
	f.bytes[f.transport + 8] = 0x65;
	EXPECT(f, ICMP_OTHER);
	f.bytes[f.transport + 8] = 0x4f; /* options that the quote does not hold */
	EXPECT(f, ICMP_SHORT);
}

/* Some hosts quote with the length in their own byte order; it says nothing about the quote. */
static void icmp_quoted_length_is_not_looked_at(void **state)
{
	struct frame f = ERROR_IPV4(3, .payload = 20);

	(void)state;
	frame_set16(&f, f.transport + 8 + 2, 0);
	EXPECT(f, TAKE_ICMP);
	frame_set16(&f, f.transport + 8 + 2, 0xffff);
	EXPECT(f, TAKE_ICMP);
}

static void icmp_cut_quote_is_left_to_the_kernel(void **state)
{
	struct frame f = ERROR_IPV4(3), g = ERROR_IPV6(1);

	(void)state;
	for (size_t left = 0; left < 8 + 20 + 8; left++)
		EXPECT(frame_cut_honest(&f, f.transport + left), ICMP_SHORT);
	EXPECT(frame_cut_honest(&f, f.transport + 8 + 20 + 8), TAKE_ICMP);
	for (size_t left = 0; left < 8 + 40 + 8; left++)
		EXPECT(frame_cut_honest(&g, g.transport + left), ICMP_SHORT);
	EXPECT(frame_cut_honest(&g, g.transport + 8 + 40 + 8), TAKE_ICMP);
}

static void icmp_quote_in_padding_is_not_read(void **state)
{
	struct frame f = ERROR_IPV4(3);

	(void)state;
	frame_set_ip_length(&f, 8 + 20 + 7);
	EXPECT(f, ICMP_SHORT);
}

static void icmp_error_obeys_the_vlan_of_its_own_frame(void **state)
{
	struct packet quoted = { QUOTED_IPV4 };

	(void)state;
	RULES({ .vlan = 10, .rule = { .rule_id = 5 } });
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), ICMP_OTHER);
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted, .n_tags = 1, .tci = { 10 }), TAKE_ICMP);
}

/* The kernel's listener, or nobody, has such a flow: errors about it are the kernel's. */
static void icmp_error_about_a_passed_or_dropped_flow_is_left_to_the_kernel(void **state)
{
	(void)state;
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .action = MR_ACTION_PASS } });
	EXPECT(ERROR_IPV4(3), ICMP_OTHER);
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .action = MR_ACTION_DROP } });
	EXPECT(ERROR_IPV4(3), ICMP_OTHER);
}

static void icmp_error_about_an_active_open_is_taken(void **state)
{
	struct packet quoted = { QUOTED_IPV4 };

	(void)state;
	set_interface(&(struct mr_interface){
		.slot_base = SLOT, .n_queues = N_LANES, .port_lo = 50000, .port_hi = 50010 });
	set_local("192.0.2.2");
	quoted.sport = 50010;
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), TAKE_ICMP);
	quoted.sport = 50011;
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), ICMP_OTHER);
	quoted.sport = 50010;
	quoted.protocol = IPPROTO_UDP; /* lanes open TCP connections only */
	EXPECT(FRAME(.icmp_type = 3, .quoted = &quoted), ICMP_OTHER);
}

int run_icmp_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(icmp_error_about_a_steered_flow_is_taken, setup_served),
		cmocka_unit_test_setup(icmpv6_error_about_a_steered_flow_is_taken, setup_served),
		cmocka_unit_test_setup(icmp_other_types_are_left_to_the_kernel, setup_served),
		cmocka_unit_test_setup(icmp_error_about_another_flow_is_left_to_the_kernel,
				       setup_served),
		cmocka_unit_test_setup(icmp_quote_that_we_did_not_send_is_left_to_the_kernel,
				       setup_served),
		cmocka_unit_test_setup(icmp_quote_of_the_other_family_is_left_to_the_kernel,
				       setup_served),
		cmocka_unit_test_setup(icmp_quoted_fragment_only_the_first_is_taken, setup_served),
		cmocka_unit_test_setup(icmp_quote_of_a_bad_header_is_left_to_the_kernel,
				       setup_served),
		cmocka_unit_test_setup(icmp_quoted_length_is_not_looked_at, setup_served),
		cmocka_unit_test_setup(icmp_cut_quote_is_left_to_the_kernel, setup_served),
		cmocka_unit_test_setup(icmp_quote_in_padding_is_not_read, setup_served),
		cmocka_unit_test_setup(icmp_error_obeys_the_vlan_of_its_own_frame, setup_served),
		cmocka_unit_test_setup(
			icmp_error_about_a_passed_or_dropped_flow_is_left_to_the_kernel,
			setup_served),
		cmocka_unit_test_setup(icmp_error_about_an_active_open_is_taken, setup_served),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
