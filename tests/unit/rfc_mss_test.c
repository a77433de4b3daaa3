/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.7.1 (MSS option: MUST-14 to MUST-16, SHLD-5, MUST-67), RFC 6691 (options are taken off
 * what is sent, not off the option), 3.7.2 with RFC 1191, RFC 8201 and RFC 5927 7 (path MTU).
 */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

static uint8_t text[10 * RFC_MSS];

/* Active open; @ipv6 by addresses of the documentation prefix. */
static struct mr_conn *open_conn(struct rfc *f, bool ipv6)
{
	struct mr_conn *c = rfc_conn_fresh(f, ipv6);

	rfc_fill(text, sizeof(text));
	mr_tcp_open_call(&f->tcp, c, 0);
	return c;
}

/* The SYN-ACK, with the option when @mss is not 0. */
static void answer(struct rfc *f, struct mr_conn *c, uint16_t mss, bool timestamps)
{
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK,
				      .seq = RFC_IRS,
				      .mss = mss,
				      .has_ts = timestamps,
				      .ts_val = 77 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_forget(f);
}

/* How long our segments are after a SYN-ACK. */
static uint32_t segment_after(bool ipv6, uint16_t mss, bool timestamps)
{
	struct rfc f;
	struct mr_conn *c;
	uint32_t len;

	rfc_init(&f);
	c = open_conn(&f, ipv6);
	answer(&f, c, mss, timestamps);
	rfc_send(&f, c, text, 3 * RFC_MSS);
	assert_true(f.n_sent >= 3);
	len = f.sent[0].len;
	assert_int_equal(f.sent[1].len, len);
	assert_int_equal(f.sent[0].options.has_timestamps, timestamps);
	rfc_fini(&f);
	return len;
}

static void syn_sent_peers_option_bounds_segments(void **state)
{
	(void)state;
	assert_int_equal(segment_after(false, 1000, false), 1000);
	assert_int_equal(segment_after(true, 1000, false), 1000);
}

/* MUST-15: 536 for IPv4, 1220 for IPv6 */
static void syn_sent_no_option_is_the_default(void **state)
{
	(void)state;
	assert_int_equal(segment_after(false, 0, false), 536);
	assert_int_equal(segment_after(true, 0, false), 1220);
}

/* MUST-16: "minus" the options that the segment carries */
static void syn_sent_timestamps_come_off_the_segment(void **state)
{
	(void)state;
	assert_int_equal(segment_after(false, 1460, true), 1448);
	assert_int_equal(segment_after(false, 1000, true), 988);
	assert_int_equal(segment_after(false, 0, true), 524);
	assert_int_equal(segment_after(true, 1440, true), 1428);
}

/* MUST-16: and no more than the interface takes */
static void syn_sent_large_option_is_bounded_by_the_interface(void **state)
{
	(void)state;
	assert_int_equal(segment_after(false, 65535, false), 1460);
	assert_int_equal(segment_after(true, 65535, false), 1440);
	assert_int_equal(segment_after(false, 65535, true), 1448);
}

/* A peer that asks for segments of one byte does not get them: the headers would be all. */
static void syn_sent_tiny_option_is_not_followed_to_the_end(void **state)
{
	(void)state;
	assert_int_equal(segment_after(false, 1, false), 64);
	assert_int_equal(segment_after(false, 1, true), 52);
}

/* MUST-14, MUST-67: what we announce: interface less fixed headers, no options taken off */
static void syn_sent_our_option_is_the_interfaces(void **state)
{
	struct rfc f;

	(void)state;
	rfc_init(&f);
	open_conn(&f, false);
	assert_int_equal(rfc_last(&f)->options.mss, 1460);
	assert_true(rfc_last(&f)->options.has_timestamps);
	open_conn(&f, true);
	assert_int_equal(rfc_last(&f)->options.mss, 1440);
	f.config.mtu = 1280;
	open_conn(&f, true);
	assert_int_equal(rfc_last(&f)->options.mss, 1220);
	rfc_fini(&f);
}

/* A frame must hold what we announce and what we send. */
static void syn_sent_jumbo_interface_is_bounded_by_the_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	f.config.mtu = 9000;
	c = open_conn(&f, false);
	assert_true(rfc_last(&f)->options.mss > 1460);
	assert_true(rfc_last(&f)->options.mss + MR_HEADERS_MAX + 256 <= RFC_FRAME_BYTES);
	answer(&f, c, 8960, false);
	rfc_send(&f, c, text, sizeof(text));
	assert_true(rfc_last(&f)->len <= RFC_FRAME_BYTES - MR_TX_OFFSET);
	for (unsigned int i = 0; i < f.n_sent; i++)
		assert_memory_equal(f.sent[i].text, text + (f.sent[i].seq - c->iss - 1),
				    f.sent[i].len);
	rfc_fini(&f);
}

/* SHLD-5: only SYN segments carry it */
static void established_segments_carry_no_option(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = open_conn(&f, false);
	answer(&f, c, 1460, true);
	rfc_send(&f, c, text, 10);
	assert_int_equal(rfc_last(&f)->options.mss, 0);
	assert_false(rfc_last(&f)->options.has_window_scale);
	rfc_fini(&f);
}

static void listen_syn_option_bounds_segments_and_ours_is_sent(void **state)
{
	static const struct {
		uint16_t peer, segment;
	} rows[] = { { 1000, 1000 }, { 0, 536 }, { 9000, 1460 }, { 8, 64 } };
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_SYN_SENT);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mr_segment syn = {
			.seq = RFC_IRS, .flags = MR_SYN, .wnd = 65535, .options.mss = rows[i].peer
		};
		struct mr_half_open half;
		struct mr_conn expanded;

		memcpy(&syn.tuple, mr_conn_tuple(c), sizeof(syn.tuple));
		assert_true(mr_tcp_listen_state(&f.tcp, &syn, &half));
		mr_half_open_send(&f.tcp, &half);
		assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
		assert_int_equal(rfc_last(&f)->options.mss, 1460);
		mr_half_open_expand(&f.tcp, &half, &expanded);
		assert_int_equal(expanded.snd_mss, rows[i].segment);
	}
	rfc_fini(&f);
}

/* ----- path MTU ----- */

static struct mr_conn *start(struct rfc *f, bool ipv6)
{
	struct mr_conn *c;

	rfc_init(f);
	c = open_conn(f, ipv6);
	answer(f, c, ipv6 ? 1440 : 1460, false);
	return c;
}

static void too_big(struct rfc *f, struct mr_conn *c, uint32_t seq, uint32_t mtu)
{
	bool ipv6 = !mr_is_ipv4(c->remote);
	struct mr_icmp_error icmp = {
		.seq = seq,
		.mtu = mtu,
		.type = ipv6 ? 2 : 3,
		.code = ipv6 ? 0 : 4,
		.ipv6 = ipv6,
	};

	memcpy(&icmp.tuple, mr_conn_tuple(c), sizeof(icmp.tuple));
	mr_tcp_icmp_arrives(&f->tcp, c, &icmp);
	rfc_output(f, c);
}

/* Smaller segments, and what was too big once more: every byte in order, no window lost for it. */
static void established_too_big_resends_in_smaller_segments(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, false);
	uint32_t next = c->iss + 1;
	uint32_t cwnd = c->cwnd;

	(void)state;
	rfc_send(&f, c, text, 4 * RFC_MSS);
	rfc_forget(&f);
	too_big(&f, c, c->snd_una, 1000);
	assert_int_equal(c->cwnd, cwnd); /* RFC 8201 5.4: not a sign of congestion */
	for (unsigned int i = 0; i < f.n_sent; i++) {
		assert_int_equal(f.sent[i].seq, next);
		assert_true(f.sent[i].len <= 960);
		assert_memory_equal(f.sent[i].text, text + (next - c->iss - 1), f.sent[i].len);
		next += f.sent[i].len;
	}
	assert_int_equal(next, c->iss + 1 + 4 * RFC_MSS);
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt, .ack = next });
	assert_int_equal(c->tx_bytes, 0);
	rfc_forget(&f);
	rfc_send(&f, c, text, 2 * 960);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(f.sent[0].len, 960);
	rfc_fini(&f);
}

/* RFC 5927 4.1: the quoted segment must be in flight */
static void established_too_big_for_nothing_in_flight_is_ignored(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, false);

	(void)state;
	too_big(&f, c, c->snd_una, 1000);
	rfc_send(&f, c, text, 2 * RFC_MSS);
	too_big(&f, c, c->snd_nxt, 1000);
	too_big(&f, c, c->snd_una - 1, 1000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.n_sent, 2);
	rfc_fini(&f);
}

/* RFC 1191 3 and RFC 5927 7.2: no lower than 576; RFC 8201 4: below 1280 it is discarded */
static void established_too_big_with_absurd_mtu_stops_at_the_floor(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, false);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 68);
	assert_int_equal(c->snd_mss, 536);
	rfc_fini(&f);
	c = start(&f, true);
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 68);
	assert_int_equal(c->snd_mss, 1440);
	rfc_fini(&f);
}

/* RFC 1191 3: it "must not" raise the estimate */
static void established_too_big_with_larger_mtu_changes_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, false);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	too_big(&f, c, c->snd_una, 1500);
	too_big(&f, c, c->snd_una, 9000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syn_sent_peers_option_bounds_segments),
		cmocka_unit_test(syn_sent_no_option_is_the_default),
		cmocka_unit_test(syn_sent_timestamps_come_off_the_segment),
		cmocka_unit_test(syn_sent_large_option_is_bounded_by_the_interface),
		cmocka_unit_test(syn_sent_tiny_option_is_not_followed_to_the_end),
		cmocka_unit_test(syn_sent_our_option_is_the_interfaces),
		cmocka_unit_test(syn_sent_jumbo_interface_is_bounded_by_the_frame),
		cmocka_unit_test(established_segments_carry_no_option),
		cmocka_unit_test(listen_syn_option_bounds_segments_and_ours_is_sent),
		cmocka_unit_test(established_too_big_resends_in_smaller_segments),
		cmocka_unit_test(established_too_big_for_nothing_in_flight_is_ignored),
		cmocka_unit_test(established_too_big_with_absurd_mtu_stops_at_the_floor),
		cmocka_unit_test(established_too_big_with_larger_mtu_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
