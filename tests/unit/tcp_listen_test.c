/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.1 (CLOSED), 3.10.7.2 (LISTEN), half-open records, RFC 6528 (ISN), RFC 9293 3.7.1
 * and RFC 6691 (MSS), RFC 7323 2 (window scale).
 */
#include "tests/unit/tcp_fixture.h"

static struct mr_segment segment(uint8_t flags)
{
	return rfc_segment(flags, RFC_IRS, 0, 0);
}

static struct mr_half_open half_of(struct rfc *f, const struct mr_segment *syn)
{
	struct mr_half_open h;

	assert_true(mr_tcp_listen_state(&f->tcp, syn, &h));
	mr_half_open_send(&f->tcp, &h);
	return h;
}

static void closed_segment_with_ack_gets_rst_at_its_ack(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_ACK);

	seg.ack = 4711;
	assert_int_equal(mr_tcp_closed_state(&f->tcp, &seg), MR_DROP_TCP_NO_CONNECTION);
	assert_int_equal(rfc_last(f)->flags, MR_RST);
	assert_int_equal(rfc_last(f)->seq, 4711);
}

static void closed_segment_without_ack_gets_rst_ack_of_all_of_it(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN | MR_FIN);

	seg.len = 10;
	mr_tcp_closed_state(&f->tcp, &seg);
	assert_int_equal(rfc_last(f)->flags, MR_RST | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, 0);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 12);
}

static void closed_rst_is_dropped_in_silence(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_RST);

	assert_int_equal(mr_tcp_closed_state(&f->tcp, &seg), MR_DROP_TCP_RST_UNKNOWN);
	assert_int_equal(f->n_sent, 0);
}

static void listen_rst_and_nothing_are_dropped_ack_gets_rst(void **state)
{
	struct rfc *f = *state;
	struct mr_half_open h;
	struct mr_segment seg = segment(MR_RST | MR_ACK);

	assert_false(mr_tcp_listen_state(&f->tcp, &seg, &h));
	seg = segment(0);
	assert_false(mr_tcp_listen_state(&f->tcp, &seg, &h));
	assert_int_equal(f->n_sent, 0);
	seg = segment(MR_SYN | MR_ACK);
	seg.ack = 99;
	assert_false(mr_tcp_listen_state(&f->tcp, &seg, &h));
	assert_int_equal(rfc_last(f)->flags, MR_RST);
	assert_int_equal(rfc_last(f)->seq, 99);
}

static void listen_syn_gets_syn_ack_with_the_options_offered(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h;

	seg.options = (struct mr_tcp_options){
		.mss = 1400,
		.has_timestamps = true,
		.ts_val = 55,
		.has_window_scale = true,
		.window_shift = 9,
	};
	h = half_of(f, &seg);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_SYN | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, h.iss);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
	assert_int_equal(rfc_last(f)->wnd, 65535); /* never scaled */
	assert_int_equal(rfc_last(f)->options.mss, 1460);
	assert_int_equal(rfc_last(f)->options.ts_ecr, 55);
	assert_true(rfc_last(f)->options.has_window_scale);
}

/* RFC 7323 2.2, 3.2: only what the SYN offered. */
static void listen_bare_syn_gets_mss_only(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN);

	half_of(f, &seg);
	assert_int_equal(rfc_last(f)->options.mss, 1460);
	assert_false(rfc_last(f)->options.has_timestamps);
	assert_false(rfc_last(f)->options.has_window_scale);
	assert_false(rfc_last(f)->options.sack_permitted);
}

static void listen_text_in_the_syn_is_left_to_the_peer(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN);

	seg.len = 100;
	half_of(f, &seg);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
}

static void half_open_syn_ack_again_backs_off(void **state)
{
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h = half_of(f, &seg);

	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(h.expire_ms - f->tcp.now_ms, 1000u << i);
		mr_half_open_send(&f->tcp, &h);
		assert_int_equal(rfc_last(f)->seq, h.iss);
	}
	assert_int_equal(f->stats.retransmits, 6);
}

/*
 * Where other lanes may have the flow, what is not acceptable is answered by the SYN-ACK once more
 * (3.10.7.4, first): no peer of a standing connection believes that one, and a client that
 * begins anew gets an acknowledgement to reset (3.5.1).
 */
static void half_open_beside_other_lanes_answers_by_its_syn_ack(void **state)
{
	static const struct rfc_in bad[] = {
		{ .flags = MR_ACK, .seq = RFC_IRS - 5000 },
		{ .flags = MR_ACK, .seq = RFC_IRS },
		{ .flags = MR_RST, .seq = RFC_IRS + 100 },
		{ .flags = MR_SYN, .seq = RFC_IRS + 1000 },
		{ .flags = MR_SYN, .seq = RFC_IRS - 100000 },
		{ .flags = MR_SYN | MR_ACK, .seq = RFC_IRS },
	};
	struct rfc *f = *state;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h = half_of(f, &seg);

	f->config.quiet_half_open = true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mr_conn *c = &f->conn;
		struct rfc_in in = bad[i];

		in.ack = h.iss + 1;
		mr_half_open_expand(&f->tcp, &h, c);
		rfc_forget(f);
		rfc_arrives(f, c, &in);
		assert_int_equal(c->state, MR_SYN_RECEIVED);
		assert_int_equal(f->n_sent, 1);
		assert_int_equal(rfc_last(f)->flags, MR_SYN | MR_ACK);
		assert_int_equal(rfc_last(f)->seq, h.iss);
		assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
		assert_int_equal(rfc_last(f)->options.mss, 1460);
		mr_active_give(f->tcp.actives, c);
	}
}

/* Only who opened actively waits for a SYN-ACK (3.5, figure 8). */
static void half_open_is_not_opened_by_a_syn_ack(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = &f->conn;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h = half_of(f, &seg);

	mr_half_open_expand(&f->tcp, &h, c);
	arrives(f, c, .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .ack = h.iss + 1);
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 1);
}

/* The final ACK, with text: the block that the record expands to takes both. */
static void half_open_ack_with_text_establishes(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = &f->conn;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h;

	seg.options =
		(struct mr_tcp_options){ .mss = 1460, .has_window_scale = true, .window_shift = 2 };
	h = half_of(f, &seg);
	mr_half_open_expand(&f->tcp, &h, c);
	tcp_text_arrives(f, c, 0, 10, 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->rx_bytes, 10);
	assert_int_equal(c->snd_wnd, 65535 << 2); /* scaled from now on */
	assert_int_equal(c->cwnd, 10 * 1460);
}

/* RFC 6928 2, RFC 6298 5.7: a lost SYN-ACK: one segment, three seconds. */
static void half_open_lost_syn_ack_starts_slowly(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = &f->conn;
	struct mr_segment seg = segment(MR_SYN);
	struct mr_half_open h = half_of(f, &seg);

	mr_half_open_send(&f->tcp, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	tcp_ack_arrives(f, c, h.iss + 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->cwnd, c->snd_mss);
	assert_int_equal(c->rto_ms, MR_RTO_AFTER_SYN_LOSS_MS);
}

static uint32_t send_mss(struct rfc *f, uint16_t peer_mss, bool timestamps, bool ipv6)
{
	struct mr_segment seg = segment(MR_SYN);
	struct mr_conn c = { 0 };
	struct mr_half_open h;

	if (ipv6) {
		seg.tuple.local[0] = seg.tuple.remote[0] = 0x20;
		seg.tuple.local[10] = seg.tuple.remote[10] = 0;
	}
	seg.options.mss = peer_mss;
	seg.options.has_timestamps = timestamps;
	h = half_of(f, &seg);
	mr_half_open_expand(&f->tcp, &h, &c);
	return c.snd_mss;
}

/* MUST-15, MUST-16, RFC 6691: the peer's option, or the default, without our options. */
static void syn_received_segment_size_follows_the_peers_mss(void **state)
{
	struct rfc *f = *state;

	assert_int_equal(send_mss(f, 0, false, false), 536);
	assert_int_equal(send_mss(f, 0, false, true), 1220);
	assert_int_equal(send_mss(f, 1000, false, false), 1000);
	assert_int_equal(send_mss(f, 1000, true, false), 1000 - 12);
	assert_int_equal(send_mss(f, 9000, false, false), 1460);
	assert_int_equal(send_mss(f, 9000, false, true), 1440);
	assert_int_equal(send_mss(f, 8, false, false), 64); /* tiny: bounded, see output.c */
}

/* RFC 6528 3, MUST-8: M ticks every 4 us; F differs by tuple and key. */
static void isn_follows_clock_tuple_and_key(void **state)
{
	struct rfc *f = *state;
	struct mr_tuple tuple = segment(0).tuple;
	struct mr_tuple other = tuple;
	uint32_t first = mr_tcp_isn(&f->tcp, &tuple);

	f->tcp.now_us += 4000;
	assert_int_equal(mr_tcp_isn(&f->tcp, &tuple) - first, 1000);
	other.remote_port = mr_to_be16(40001);
	assert_int_not_equal(mr_tcp_isn(&f->tcp, &other), first + 1000);
	assert_true(mr_tcp_isn(&f->tcp, &other) - first > 100000); /* far away, for this key */
	f->config.isn_key.k[0]++;
	assert_int_not_equal(mr_tcp_isn(&f->tcp, &tuple), first + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(closed_segment_with_ack_gets_rst_at_its_ack),
		TEST(closed_segment_without_ack_gets_rst_ack_of_all_of_it),
		TEST(closed_rst_is_dropped_in_silence),
		TEST(listen_rst_and_nothing_are_dropped_ack_gets_rst),
		TEST(listen_syn_gets_syn_ack_with_the_options_offered),
		TEST(listen_bare_syn_gets_mss_only),
		TEST(listen_text_in_the_syn_is_left_to_the_peer),
		TEST(half_open_syn_ack_again_backs_off),
		TEST(half_open_beside_other_lanes_answers_by_its_syn_ack),
		TEST(half_open_is_not_opened_by_a_syn_ack),
		TEST(half_open_ack_with_text_establishes),
		TEST(half_open_lost_syn_ack_starts_slowly),
		TEST(syn_received_segment_size_follows_the_peers_mss),
		TEST(isn_follows_clock_tuple_and_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
