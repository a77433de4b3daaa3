/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.1 (CLOSED), 3.10.7.2 (LISTEN), 3.5.2 group 1 (the two forms of RST), and the
 * record of a half-open connection: RFC 6298 2.1 and 5.5 for its SYN-ACK, RFC 7323 2.2 and 3.2.
 */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

/* A segment from the fixture's peer to its listener. */
static struct mr_segment segment(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len)
{
	struct mr_segment s = rfc_segment(flags, seq, ack, len);

	s.link.vlan[0] = 5;
	s.link.vlan[1] = 6;
	return s;
}

static struct mr_segment syn(bool options)
{
	struct mr_segment s = segment(MR_SYN, RFC_IRS, 0, 0);

	if (options)
		s.options = (struct mr_tcp_options){
			.mss = 1400,
			.has_window_scale = true,
			.window_shift = 7,
			.has_timestamps = true,
			.ts_val = 55,
		};
	return s;
}

/* ----- CLOSED ----- */

static void closed_rst_is_dropped(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = segment(MR_RST, 1, 0, 0);

	assert_int_equal(mr_tcp_closed_state(&f->tcp, &s), MR_DROP_TCP_RST_UNKNOWN);
	s.flags |= MR_ACK;
	assert_int_equal(mr_tcp_closed_state(&f->tcp, &s), MR_DROP_TCP_RST_UNKNOWN);
	assert_int_equal(f->n_sent, 0);
}

/* <SEQ=SEG.ACK><CTL=RST> */
static void closed_segment_with_ack_gets_rst_at_its_ack(void **state)
{
	static const uint8_t flags[] = { MR_ACK, MR_SYN | MR_ACK, MR_FIN | MR_ACK };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct mr_segment s = segment(flags[i], 1000, 4242, 10);
		struct rfc f;

		rfc_init(&f);
		assert_int_equal(mr_tcp_closed_state(&f.tcp, &s), MR_DROP_TCP_NO_CONNECTION);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_RST);
		assert_int_equal(rfc_last(&f)->seq, 4242);
		assert_int_equal(rfc_last(&f)->wnd, 0);
		rfc_fini(&f);
	}
}

/* <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>; SYN and FIN count in SEG.LEN */
static void closed_segment_without_ack_gets_rst_that_acks_it(void **state)
{
	static const struct {
		uint8_t flags;
		uint16_t len;
		uint32_t ack;
	} cases[] = {
		{ 0, 0, 0xfffffffeu },	    { 0, 10, 8 },
		{ MR_SYN, 0, 0xffffffffu }, { MR_SYN, 10, 9 },
		{ MR_FIN, 0, 0xffffffffu }, { MR_SYN | MR_FIN, 10, 10 },
	};

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		struct mr_segment s = segment(cases[i].flags, 0xfffffffeu, 4242, cases[i].len);
		struct rfc f;

		rfc_init(&f);
		mr_tcp_closed_state(&f.tcp, &s);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_RST | MR_ACK);
		assert_int_equal(rfc_last(&f)->seq, 0);
		assert_int_equal(rfc_last(&f)->ack, cases[i].ack);
		assert_int_equal(f.stats.resets_out, 1);
		rfc_fini(&f);
	}
}

/* ----- LISTEN ----- */

static void listen_rst_is_ignored_first(void **state)
{
	static const uint8_t flags[] = { MR_RST, MR_RST | MR_ACK, MR_RST | MR_SYN };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct mr_segment s = segment(flags[i], 1, 2, 0);
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		assert_false(mr_tcp_listen_state(&f.tcp, &s, &h));
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void listen_ack_gets_rst_second(void **state)
{
	static const uint8_t flags[] = { MR_ACK, MR_SYN | MR_ACK, MR_FIN | MR_ACK };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct mr_segment s = segment(flags[i], 1, 4242, 0);
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		assert_false(mr_tcp_listen_state(&f.tcp, &s, &h));
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_RST);
		assert_int_equal(rfc_last(&f)->seq, 4242);
		rfc_fini(&f);
	}
}

static void listen_other_segments_are_dropped(void **state)
{
	static const uint8_t flags[] = { 0, MR_FIN, MR_PSH, MR_SYN | MR_FIN };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mr_segment s = segment(flags[i], 1, 0, 5);
		struct mr_half_open h;
		struct rfc f;

		rfc_init(&f);
		assert_false(mr_tcp_listen_state(&f.tcp, &s, &h));
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void listen_syn_fills_the_record_and_sends_nothing(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(true);
	struct mr_half_open h;

	assert_true(mr_tcp_listen_state(&f->tcp, &s, &h));
	assert_int_equal(f->n_sent, 0);
	assert_int_equal(h.irs, RFC_IRS);
	assert_int_equal(h.iss, mr_tcp_isn(&f->tcp, &s.tuple));
	assert_int_equal(h.peer_mss, 1400);
	assert_int_equal(h.snd_shift, 7);
	assert_int_equal(h.ts_recent, 55);
	assert_int_equal(h.flags, MR_HALF_USED | MR_HALF_TIMESTAMPS | MR_HALF_WINDOW_SCALE);
	assert_int_equal(h.sends, 0);
	assert_int_equal(h.vlan[0], 5);
	assert_int_equal(h.vlan[1], 6);
	assert_memory_equal(h.peer_mac, s.link.peer_mac, 6);
	assert_memory_equal(h.remote, s.tuple.remote, 16);
}

/* RFC 6528: another tuple, another number; the same one again, 250,000 a second further on. */
static void listen_isn_depends_on_tuple_and_time(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(false);
	struct mr_half_open h, other, later;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	s.tuple.remote_port = mr_to_be16(40001);
	mr_tcp_listen_state(&f->tcp, &s, &other);
	s.tuple.remote_port = mr_to_be16(40000);
	f->tcp.now_us += 1000000;
	mr_tcp_listen_state(&f->tcp, &s, &later);
	assert_int_not_equal(h.iss, other.iss);
	assert_int_equal(later.iss - h.iss, 250000);
	f->config.isn_key.k[0]++;
	mr_tcp_listen_state(&f->tcp, &s, &other);
	assert_int_not_equal(later.iss, other.iss);
}

/* ----- SYN-ACK ----- */

static void half_open_send_answers_with_the_peers_options(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(true);
	struct mr_half_open h;
	const struct rfc_sent *out;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_send(&f->tcp, &h);
	assert_int_equal(f->n_sent, 1);
	out = rfc_last(f);
	assert_true(out->reply);
	assert_int_equal(out->flags, MR_SYN | MR_ACK);
	assert_int_equal(out->seq, h.iss);
	assert_int_equal(out->ack, RFC_IRS + 1);
	assert_int_equal(out->wnd, 65535); /* not scaled */
	assert_int_equal(out->options.mss, 1460);
	assert_true(out->options.has_window_scale);
	assert_int_equal(out->options.window_shift, 3);
	assert_true(out->options.has_timestamps);
	assert_int_equal(out->options.ts_ecr, 55);
	assert_int_equal(h.sends, 1);
}

static void half_open_send_offers_nothing_that_the_syn_did_not(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(false);
	struct mr_half_open h;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_send(&f->tcp, &h);
	assert_false(rfc_last(f)->options.has_window_scale);
	assert_false(rfc_last(f)->options.has_timestamps);
	assert_int_equal(rfc_last(f)->options.mss, 1460); /* SHLD-5: always */
}

static void half_open_send_again_backs_off_from_one_second(void **state)
{
	struct rfc *f = *state;
	static const uint32_t wait_s[] = { 1, 2, 4, 8, 16, 32, 64, 64 };
	struct mr_segment s = syn(true);
	struct mr_half_open h;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	for (unsigned int i = 0; i < 8; i++) {
		mr_half_open_send(&f->tcp, &h);
		assert_int_equal(h.expire_ms, f->tcp.now_ms + wait_s[i] * 1000);
		assert_int_equal(h.sends, i + 1);
		assert_int_equal(f->stats.retransmits, i);
		assert_int_equal(rfc_last(f)->seq, h.iss);
	}
}

/* ----- the block that it stands for ----- */

static void half_open_expand_is_in_syn_received(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(true);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_send(&f->tcp, &h);
	c->generation = 77;
	mr_half_open_expand(&f->tcp, &h, c);
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(c->generation, 77);
	assert_int_equal(c->snd_una, h.iss);
	assert_int_equal(c->snd_nxt, h.iss + 1);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1);
	assert_int_equal(c->snd_shift, 7);
	assert_int_equal(c->rcv_shift, 3);
	assert_int_equal(c->snd_mss, 1400 - 12);
	assert_int_equal(c->flags & (MR_CONN_PASSIVE | MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE),
			 MR_CONN_PASSIVE | MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE);
	assert_memory_equal(mr_conn_tuple(c), &s.tuple, sizeof(s.tuple));
	assert_int_equal(c->vlan[1], 6);
	assert_int_equal(c->rx_head, MR_NONE);
	assert_int_equal(c->tx_head, MR_NONE);
	assert_int_equal(c->ooo_head, MR_NONE);
}

/* An ACK before the handshake's end rounds the window up; the next block may not fall behind it. */
static void half_open_expand_window_is_what_an_ack_says(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(true);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	f->config.receive_buffer = 256 << 10;
	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	assert_true(c->rcv_shift > 0);
	assert_int_equal(c->rcv_wnd, 65536);
	mr_half_open_send(&f->tcp, &h);
	assert_int_equal(rfc_last(f)->wnd, 65535);
}

static void half_open_expand_without_options_uses_none(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(false);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	assert_int_equal(c->flags & (MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE), 0);
	assert_int_equal(c->snd_shift, 0);
	assert_int_equal(c->rcv_shift, 0);
	assert_int_equal(c->snd_mss, 536); /* MUST-15 */
}

/* The handshake's last ACK, with text: established, window scaled, text read. */
static void half_open_expand_ack_establishes(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(true);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_send(&f->tcp, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	rfc_arrives(f, c,
		    IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .wnd = 100, .has_ts = true,
		       .ts_val = 56, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f->events[MR_EVENT_ESTABLISHED], 1);
	assert_int_equal(c->snd_wnd, 100 << 7);
	assert_int_equal(c->rx_bytes, 5);
	assert_int_equal(c->cwnd, 10 * c->snd_mss);
	assert_int_equal(rfc_last(f)->options.ts_ecr, 56);
}

/* RFC 5681 3.1, RFC 6298 5.7: after a lost SYN-ACK one segment and 3 seconds. */
static void half_open_expand_after_loss_starts_small(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(false);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_send(&f->tcp, &h);
	mr_half_open_send(&f->tcp, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->cwnd, c->snd_mss);
	assert_int_equal(c->rto_ms, MR_RTO_AFTER_SYN_LOSS_MS);
}

static void half_open_expand_bad_ack_gets_rst(void **state)
{
	struct rfc *f = *state;
	struct mr_segment s = syn(false);
	struct mr_half_open h;
	struct mr_conn *c = &f->conn;

	mr_tcp_listen_state(&f->tcp, &s, &h);
	mr_half_open_expand(&f->tcp, &h, c);
	rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .ack = h.iss + 2));
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(rfc_last(f)->flags, MR_RST);
	assert_int_equal(rfc_last(f)->seq, h.iss + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(closed_rst_is_dropped),
		cmocka_unit_test(closed_segment_with_ack_gets_rst_at_its_ack),
		cmocka_unit_test(closed_segment_without_ack_gets_rst_that_acks_it),
		cmocka_unit_test(listen_rst_is_ignored_first),
		cmocka_unit_test(listen_ack_gets_rst_second),
		cmocka_unit_test(listen_other_segments_are_dropped),
		TEST(listen_syn_fills_the_record_and_sends_nothing),
		TEST(listen_isn_depends_on_tuple_and_time),
		TEST(half_open_send_answers_with_the_peers_options),
		TEST(half_open_send_offers_nothing_that_the_syn_did_not),
		TEST(half_open_send_again_backs_off_from_one_second),
		TEST(half_open_expand_is_in_syn_received),
		TEST(half_open_expand_window_is_what_an_ack_says),
		TEST(half_open_expand_without_options_uses_none),
		TEST(half_open_expand_ack_establishes),
		TEST(half_open_expand_after_loss_starts_small),
		TEST(half_open_expand_bad_ack_gets_rst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
