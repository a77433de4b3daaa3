/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.9.2.1 (MUST-50): "IP options that are not understood are silently ignored", and
 * RFC 791 3.1's own options, which are understood by nobody here: they change nothing (the
 * source routes are MUST-51 to MUST-53, not done). RFC 1122 3.2.1.7: "a host MUST NOT discard a
 * datagram just because it was received with TTL less than 2".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mr_lane.h"
#include "user/wire/segment.h"

#include "wire_frames.h"

/* The segment behind @options is taken, its addresses are the header's, its text is in place. */
static void assert_taken(const uint8_t *options, size_t len)
{
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	struct frame f;
	uint8_t *copy;
	int drop;

	frame_start(&f, false, 0);
	frame_ipv4_options(&f, options, len);
	frame_tcp(&f, NULL, 0, "hello", 5);
	copy = malloc(f.len); /* exactly its length, for the sanitizer */
	memcpy(copy, f.b, f.len);
	assert_int_equal(mr_frame_parse(copy, f.len, &seg, &icmp, &drop), MR_KIND_TCP);
	assert_memory_equal(seg.tuple.local, v4_own, 16);
	assert_memory_equal(seg.tuple.remote, v4_peer, 16);
	assert_int_equal(mr_be16(seg.tuple.local_port), 7000);
	assert_int_equal(seg.seq, 0x01020304);
	assert_int_equal(seg.len, 5);
	assert_memory_equal(copy + seg.payload, "hello", 5);
	free(copy);
}

/* Every type, of every class, copied or not; with the lengths that fit, and with absurd ones. */
static void ipv4_unknown_options_are_ignored(void **state)
{
	(void)state;
	for (unsigned int type = 2; type < 256; type++)
		for (unsigned int len = 0; len < 256; len++) {
			uint8_t options[40] = { (uint8_t)type, (uint8_t)len };

			memset(options + 2, 0x9e, sizeof(options) - 2);
			assert_taken(options, 4);
			assert_taken(options, sizeof(options));
		}
}

static void ipv4_known_options_are_stepped_over(void **state)
{
	static const uint8_t record_route[8] = { 7, 7, 4, 0, 0, 0, 0, 0 };
	static const uint8_t timestamp[12] = { 68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t loose[8] = { 131, 7, 4, 198, 51, 100, 9, 0 };
	static const uint8_t strict[8] = { 137, 7, 8, 198, 51, 100, 9, 0 };
	static const uint8_t stream[4] = { 136, 4, 0, 1 };
	static const uint8_t security[12] = { 130, 11, 0x6b, 0xc5 };
	static const uint8_t router_alert[4] = { 148, 4, 0, 0 };

	(void)state;
	assert_taken(record_route, sizeof(record_route));
	assert_taken(timestamp, sizeof(timestamp));
	assert_taken(loose, sizeof(loose));
	assert_taken(strict, sizeof(strict));
	assert_taken(stream, sizeof(stream));
	assert_taken(security, sizeof(security));
	assert_taken(router_alert, sizeof(router_alert));
}

static void any_time_to_live_is_taken(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++)
		for (unsigned int ttl = 0; ttl < 256; ttl++) {
			struct mr_icmp_error icmp;
			struct mr_segment seg;
			struct frame f;
			int drop;

			frame_start(&f, v6, 0);
			f.b[f.ip + (v6 ? 7 : 8)] = (uint8_t)ttl;
			frame_tcp(&f, NULL, 0, "hello", 5);
			assert_int_equal(mr_frame_parse(f.b, f.len, &seg, &icmp, &drop),
					 MR_KIND_TCP);
			assert_int_equal(seg.len, 5);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_unknown_options_are_ignored),
		cmocka_unit_test(ipv4_known_options_are_stepped_over),
		cmocka_unit_test(any_time_to_live_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
