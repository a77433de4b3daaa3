/* SPDX-License-Identifier: MIT */
/*
 * What the program makes of a frame's headers. IEEE 802.3, 802.1Q, 802.1ad; RFC 791; RFC 8200;
 * RFC 6946; RFC 9293 3.1; RFC 768. Rules name TCP and UDP of port 7000, so whatever parses is
 * taken.
 */
#include <errno.h>
#include <netinet/in.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

/* ----- Ethernet ----- */

/* So nobody ever sees a shorter frame, except in pieces (below). */
static void ethernet_short_is_refused_by_test_run(void **state)
{
	struct frame f = FRAME();
	struct frame cut = frame_cut(&f, 13);
	struct outcome o = run_frame(&cut, &(struct run){ 0 });

	(void)state;
	assert_int_equal(o.error, -EINVAL);
	assert_int_equal(o.counted, 0);
}

static void ethernet_of_another_protocol_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.ethertype = 0x0806);
	struct frame alone = frame_cut(&f, 14);

	(void)state;
	EXPECT(f, NOT_IP);
	EXPECT(alone, NOT_IP);
	EXPECT(FRAME(.n_tags = 1, .ethertype = 0x8847), NOT_IP);
	EXPECT(FRAME(.ethertype = 0x9100), NOT_IP);
}

static void vlan_one_or_two_tags_are_stepped_over(void **state)
{
	(void)state;
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 1, .tpid = { 0x88a8 }, .tci = { 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 2, .tpid = { 0x88a8, 0x8100 }, .tci = { 20, 10 }), TAKE);
	EXPECT(FRAME(.n_tags = 2, .tci = { 20, 10 }, .family = 6), TAKE);
}

static void vlan_third_tag_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.n_tags = 3, .tci = { 30, 20, 10 }), VLAN_DEEP);
	EXPECT(FRAME(.n_tags = 3, .tpid = { 0x88a8, 0x88a8, 0x88a8 }, .family = 6), VLAN_DEEP);
}

static void vlan_cut_tag_is_left_to_the_kernel(void **state)
{
	struct frame one = FRAME(.n_tags = 1), two = FRAME(.n_tags = 2);

	(void)state;
	EXPECT(frame_cut(&one, 14), VLAN_SHORT);
	EXPECT(frame_cut(&one, 17), VLAN_SHORT);
	EXPECT(frame_cut(&one, 18), IPV4_SHORT);
	EXPECT(frame_cut(&two, 18), VLAN_SHORT);
	EXPECT(frame_cut(&two, 21), VLAN_SHORT);
}

/* ----- IPv4 ----- */

static void ipv4_options_are_stepped_over(void **state)
{
	(void)state;
	for (uint8_t ihl = 5; ihl <= 15; ihl++)
		EXPECT(FRAME(.ihl = ihl, .payload = 3), TAKE);
}

static void ipv4_cut_header_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.ihl = 15);

	(void)state;
	EXPECT(frame_cut(&f, 14), IPV4_SHORT);
	EXPECT(frame_cut(&f, 33), IPV4_SHORT);
	EXPECT(frame_cut(&f, 34), IPV4_SHORT);
	EXPECT(frame_cut(&f, 14 + 59), IPV4_SHORT);
}

static void ipv4_impossible_lengths_are_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.payload = 100);

	(void)state;
	for (uint8_t ihl = 0; ihl < 5; ihl++) {
		f.bytes[f.ip] = (uint8_t)(0x40 | ihl);
		EXPECT(f, IPV4_BAD);
	}
	f.bytes[f.ip] = 0x55;
	EXPECT(f, IPV4_BAD);
	f.bytes[f.ip] = 0x45;
	frame_set16(&f, f.ip + 2, 19);
	EXPECT(f, IPV4_BAD);
	frame_set16(&f, f.ip + 2, 0);
	EXPECT(f, IPV4_BAD);
	frame_set16(&f, f.ip + 2, (uint16_t)(f.len - 14 + 1));
	EXPECT(f, IPV4_BAD);
	frame_set16(&f, f.ip + 2, 0xffff);
	EXPECT(f, IPV4_BAD);
	frame_set16(&f, f.ip + 2, (uint16_t)(f.len - 14));
	EXPECT(f, TAKE);
}

/* RFC 791 3.1; DF means nothing here. */
static void ipv4_later_fragment_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.fragment = 0x4000), TAKE);
	EXPECT(FRAME(.fragment = 0x0001), FRAGMENT);
	EXPECT(FRAME(.fragment = 0x1fff), FRAGMENT);
	EXPECT(FRAME(.fragment = 0x2001), FRAGMENT);
}

static void ipv4_first_fragment_of_a_steered_flow_is_dropped(void **state)
{
	(void)state;
	EXPECT(FRAME(.fragment = 0x2000, .payload = 80), FRAGMENT_STEERED);
	EXPECT(FRAME(.fragment = 0x2000, .protocol = IPPROTO_UDP), FRAGMENT_STEERED);
	EXPECT(FRAME(.fragment = 0x2000, .dport = 80), FRAGMENT);
}

static void ipv4_first_fragment_without_ports_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.fragment = 0x2000);
	struct packet quoted = { .source = "192.0.2.2", .sport = TEST_PORT };

	(void)state;
	EXPECT(frame_cut_honest(&f, f.transport + 16), FRAGMENT);
	f.bytes[f.transport + 12] = 0x10; /* data offset 1 */
	EXPECT(f, FRAGMENT);
	EXPECT(FRAME(.fragment = 0x2000, .protocol = 47), FRAGMENT);
	EXPECT(FRAME(.fragment = 0x2000, .icmp_type = 3, .quoted = &quoted), FRAGMENT);
}

/* ----- IPv6 ----- */

static void ipv6_plain_is_taken(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6), TAKE);
	EXPECT(FRAME(.family = 6, .protocol = IPPROTO_UDP, .payload = 9), TAKE);
}

static void ipv6_cut_header_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.family = 6);

	(void)state;
	EXPECT(frame_cut(&f, 14), IPV6_SHORT);
	EXPECT(frame_cut(&f, 53), IPV6_SHORT);
}

static void ipv6_impossible_lengths_are_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.family = 6, .payload = 40);

	(void)state;
	f.bytes[f.ip] = 0x40;
	EXPECT(f, IPV6_BAD);
	f.bytes[f.ip] = 0x60;
	frame_set_ip_length(&f, 61);
	EXPECT(f, IPV6_BAD);
	frame_set_ip_length(&f, 0xffff);
	EXPECT(f, IPV6_BAD);
	frame_set_ip_length(&f, 60);
	EXPECT(f, TAKE);
}

/* RFC 2675: a jumbogram's length is in an option. None fits in here. */
static void ipv6_jumbogram_is_left_to_the_kernel(void **state)
{
	struct frame f =
		FRAME(.family = 6, .n_extensions = 1, .extension = { { .kind = HOP_BY_HOP } });

	(void)state;
	frame_set_ip_length(&f, 0);
	EXPECT(f, IPV6_EXT_SHORT);
}

static void ipv6_extensions_are_stepped_over(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 1, .extension = { { .kind = HOP_BY_HOP } }),
	       TAKE);
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = DESTINATION, .units = 255 } }),
	       TAKE);
	EXPECT(FRAME(.family = 6, .protocol = IPPROTO_UDP, .n_extensions = 1,
		     .extension = { { .kind = ROUTING, .units = 2 } }),
	       TAKE);
}

static void ipv6_six_extensions_are_taken_seven_are_left(void **state)
{
	struct packet p = { .family = 6 };

	(void)state;
	for (p.n_extensions = 0; p.n_extensions < 8; p.n_extensions++) {
		struct frame f;

		p.extension[p.n_extensions] = (struct extension){ .kind = DESTINATION, .units = 1 };
		f = frame_build(&p);
		if (p.n_extensions <= 6)
			EXPECT(f, TAKE);
		else
			EXPECT(f, IPV6_EXT_DEEP);
	}
}

static void ipv6_cut_extension_is_left_to_the_kernel(void **state)
{
	struct frame f =
		FRAME(.family = 6, .n_extensions = 2,
		      .extension = { { .kind = HOP_BY_HOP, .units = 1 }, { .kind = FRAGMENT } });

	(void)state;
	EXPECT(frame_cut_honest(&f, 54), IPV6_EXT_SHORT);
	EXPECT(frame_cut_honest(&f, 54 + 7), IPV6_EXT_SHORT);
	EXPECT(frame_cut_honest(&f, 54 + 8), IPV6_EXT_SHORT);
	EXPECT(frame_cut_honest(&f, 54 + 16), IPV6_EXT_SHORT);
	EXPECT(frame_cut_honest(&f, 54 + 23), IPV6_EXT_SHORT);
	EXPECT(frame_cut_honest(&f, 54 + 24), TCP_SHORT);
}

/* RFC 8200 4.1: hop-by-hop options stand first or nowhere; the kernel answers such a chain. */
static void ipv6_hop_by_hop_in_second_place_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 2,
		     .extension = { { .kind = DESTINATION }, { .kind = HOP_BY_HOP } }),
	       NOT_L4);
}

static void ipv6_route_to_elsewhere_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = ROUTING, .units = 2, .segments_left = 1 } }),
	       NOT_L4);
}

static void ipv6_authenticated_packet_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = AUTHENTICATION, .units = 2 } }),
	       NOT_L4);
	EXPECT(FRAME(.family = 6, .protocol = 59), NOT_L4); /* no next header */
}

static void ipv6_atomic_fragment_is_a_whole_packet(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 1, .extension = { { .kind = FRAGMENT } }), TAKE);
	/* RFC 8200 4.5: reserved bits are ignored on reception */
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = FRAGMENT, .units = 255, .fragment = 6 } }),
	       TAKE);
}

static void ipv6_fragments_first_is_dropped_others_are_left(void **state)
{
	(void)state;
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = FRAGMENT, .fragment = 1 } }),
	       FRAGMENT_STEERED);
	EXPECT(FRAME(.family = 6, .dport = 80, .n_extensions = 1,
		     .extension = { { .kind = FRAGMENT, .fragment = 1 } }),
	       FRAGMENT);
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = FRAGMENT, .fragment = 8 } }),
	       FRAGMENT);
	EXPECT(FRAME(.family = 6, .n_extensions = 1,
		     .extension = { { .kind = FRAGMENT, .fragment = 0xfff9 } }),
	       FRAGMENT);
	EXPECT(FRAME(.family = 6, .n_extensions = 2,
		     .extension = { { .kind = FRAGMENT, .fragment = 1 }, { .kind = DESTINATION } }),
	       FRAGMENT_STEERED);
}

/* ----- transport ----- */

static void tcp_options_are_stepped_over(void **state)
{
	(void)state;
	for (uint8_t doff = 5; doff <= 15; doff++) {
		EXPECT(FRAME(.doff = doff), TAKE);
		EXPECT(FRAME(.doff = doff, .family = 6, .payload = 1), TAKE);
	}
}

static void tcp_cut_header_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.payload = 0), g = FRAME(.family = 6);

	(void)state;
	for (size_t left = 0; left < 20; left++) {
		EXPECT(frame_cut_honest(&f, f.transport + left), TCP_SHORT);
		EXPECT(frame_cut_honest(&g, g.transport + left), TCP_SHORT);
	}
}

static void tcp_impossible_offset_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.payload = 12);

	(void)state;
	for (uint8_t doff = 0; doff < 16; doff++) {
		f.bytes[f.transport + 12] = (uint8_t)(doff << 4);
		if (doff < 5 || doff > 8)
			EXPECT(f, TCP_BAD);
		else
			EXPECT(f, TAKE);
	}
}

static void udp_cut_header_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.protocol = IPPROTO_UDP),
		     g = FRAME(.protocol = IPPROTO_UDP, .family = 6);

	(void)state;
	for (size_t left = 0; left < 8; left++) {
		EXPECT(frame_cut_honest(&f, f.transport + left), UDP_SHORT);
		EXPECT(frame_cut_honest(&g, g.transport + left), UDP_SHORT);
	}
	EXPECT(f, TAKE);
	EXPECT(g, TAKE);
}

static void transport_of_another_protocol_is_left_to_the_kernel(void **state)
{
	(void)state;
	EXPECT(FRAME(.protocol = 47, .payload = 8), NOT_L4);
	EXPECT(FRAME(.protocol = 132, .family = 6, .payload = 20), NOT_L4);
	EXPECT(FRAME(.protocol = IPPROTO_ICMPV6, .payload = 40), NOT_L4);
	EXPECT(FRAME(.protocol = IPPROTO_ICMP, .family = 6, .payload = 40), NOT_L4);
}

/* Ethernet pads to 60 bytes. A header must not be read out of the padding. */
static void padding_is_no_part_of_the_packet(void **state)
{
	struct frame f = FRAME(.padding = 46), g = FRAME(.family = 6, .padding = 40);

	(void)state;
	EXPECT(FRAME(.padding = 6), TAKE);
	EXPECT(FRAME(.protocol = IPPROTO_UDP, .padding = 18), TAKE);
	frame_set_ip_length(&f, 19);
	EXPECT(f, TCP_SHORT);
	frame_set_ip_length(&g, 0);
	EXPECT(g, TCP_SHORT);
	frame_set_ip_length(&g, 20);
	g.bytes[g.transport + 12] = 0x60;
	EXPECT(g, TCP_BAD);
}

/* ----- frames in several buffers, where only the first one can be read ----- */

static void skip_unless_in_pieces(void)
{
	if (can_run_in_pieces())
		return;
	print_message("skip: TEST_RUN of this kernel fills the first buffer\n");
	skip();
}

/* IP's length is that of all buffers. */
static void buffers_headers_in_the_first_one_are_enough(void **state)
{
	struct frame f = FRAME(.doff = 8, .payload = 1000);

	(void)state;
	skip_unless_in_pieces();
	EXPECT_ON({ .linear = 200 }, f, TAKE);
	EXPECT_ON({ .linear = 14 + 20 + 32 }, f, TAKE);
	frame_set_ip_length(&f, 1033);
	EXPECT_ON({ .linear = 200 }, f, IPV4_BAD);
}

static void buffers_header_beyond_the_first_one_is_left_to_the_kernel(void **state)
{
	struct frame f = FRAME(.doff = 8, .payload = 1000);

	(void)state;
	skip_unless_in_pieces();
	EXPECT_ON({ .linear = 1 }, f, ETH_SHORT);
	EXPECT_ON({ .linear = 13 }, f, ETH_SHORT);
	EXPECT_ON({ .linear = 14 }, f, IPV4_SHORT);
	EXPECT_ON({ .linear = 14 + 19 }, f, IPV4_SHORT);
	EXPECT_ON({ .linear = 14 + 20 + 19 }, f, TCP_SHORT);
	EXPECT_ON({ .linear = 14 + 20 + 31 }, f, TCP_SHORT);
}

int run_buffer_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_headers_in_the_first_one_are_enough),
		cmocka_unit_test(buffers_header_beyond_the_first_one_is_left_to_the_kernel),
	};

	return cmocka_run_group_tests_name(name, tests, setup_served, NULL);
}

int run_parse_cases(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet_short_is_refused_by_test_run),
		cmocka_unit_test(ethernet_of_another_protocol_is_left_to_the_kernel),
		cmocka_unit_test(vlan_one_or_two_tags_are_stepped_over),
		cmocka_unit_test(vlan_third_tag_is_left_to_the_kernel),
		cmocka_unit_test(vlan_cut_tag_is_left_to_the_kernel),
		cmocka_unit_test(ipv4_options_are_stepped_over),
		cmocka_unit_test(ipv4_cut_header_is_left_to_the_kernel),
		cmocka_unit_test(ipv4_impossible_lengths_are_left_to_the_kernel),
		cmocka_unit_test(ipv4_later_fragment_is_left_to_the_kernel),
		cmocka_unit_test(ipv4_first_fragment_of_a_steered_flow_is_dropped),
		cmocka_unit_test(ipv4_first_fragment_without_ports_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_plain_is_taken),
		cmocka_unit_test(ipv6_cut_header_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_impossible_lengths_are_left_to_the_kernel),
		cmocka_unit_test(ipv6_jumbogram_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_extensions_are_stepped_over),
		cmocka_unit_test(ipv6_six_extensions_are_taken_seven_are_left),
		cmocka_unit_test(ipv6_cut_extension_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_hop_by_hop_in_second_place_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_route_to_elsewhere_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_authenticated_packet_is_left_to_the_kernel),
		cmocka_unit_test(ipv6_atomic_fragment_is_a_whole_packet),
		cmocka_unit_test(ipv6_fragments_first_is_dropped_others_are_left),
		cmocka_unit_test(tcp_options_are_stepped_over),
		cmocka_unit_test(tcp_cut_header_is_left_to_the_kernel),
		cmocka_unit_test(tcp_impossible_offset_is_left_to_the_kernel),
		cmocka_unit_test(udp_cut_header_is_left_to_the_kernel),
		cmocka_unit_test(transport_of_another_protocol_is_left_to_the_kernel),
		cmocka_unit_test(padding_is_no_part_of_the_packet),
	};

	return cmocka_run_group_tests_name(name, tests, setup_served, NULL);
}
