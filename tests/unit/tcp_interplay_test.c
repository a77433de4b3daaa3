/* SPDX-License-Identifier: MIT */
/*
 * Where the parts of TCP meet: loss recovery and window probes (RFC 2018 8, RFC 9293 3.8.6.1), the
 * undo of a timeout and a window that opens (RFC 5682), congestion control and the peer's window
 * (RFC 7661), SYN cookies and the round trip (RFC 6298 3), BBR and its samples, frames that are cut
 * and delivery rates, records of idle connections and urgent text (RFC 9293 3.8.5, MUST-32), a user
 * timeout set late (RFC 9293 3.8.3).
 */
#include "tests/unit/tcp_fixture.h"

#include "user/tcp/cookies.h"

enum {
	WINDOW = 32000,
	HOUR_MS = 3600000,
	ROUNDS = 20,
	INITIAL_WINDOW = 10, /* segments */
};

static void send_text(struct rfc *f, struct mr_conn *c, uint32_t len)
{
	assert_int_equal(rfc_send(f, c, tcp_bytes(0, len), len), len);
}

static struct mr_conn *begin_bbr(struct rfc *f)
{
	struct mr_conn *c;

	f->cc = MR_CC_BBR;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->flags |= MR_CONN_SACK | MR_CONN_NODELAY;
	return c;
}

/* @rounds times: @len bytes, acknowledged after @rtt_ms. */
static void exchange(struct rfc *f, struct mr_conn *c, uint32_t rounds, uint32_t len,
		     uint32_t rtt_ms)
{
	for (uint32_t i = 0; i < rounds; i++) {
		send_text(f, c, len);
		rfc_advance(f, c, rtt_ms);
		tcp_ack_arrives(f, c, c->snd_nxt);
	}
	rfc_forget(f);
}

static void advance_to_probing(struct rfc *f, struct mr_conn *c)
{
	for (int i = 0; i < 100 && !(c->flags & MR_CONN_PROBING); i++)
		rfc_advance(f, c, 20);
	assert_true(c->flags & MR_CONN_PROBING);
}

/* ----- the scoreboard and windows ----- */

/* RFC 2018 8: the head was reported and is asked for again by a window that takes a part of it. */
static void established_probe_of_a_sacked_head_forgets_the_reports(void **state)
{
	const uint32_t first = RFC_ISS + 1, small = 100;
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	const struct mr_active *a;

	c->flags |= MR_CONN_SACK;
	send_text(f, c, 5 * RFC_MSS);
	rfc_advance(f, c, 20);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = first, .wnd = small, .n_sack = 2,
		.sack = { { first + 4 * RFC_MSS, first + 5 * RFC_MSS },
			  { first, first + RFC_MSS } });
	a = mr_active_peek(&f->actives, c);
	assert_int_equal(a->sacked, 2 * RFC_MSS);
	advance_to_probing(f, c);
	rfc_forget(f);
	for (int i = 0; i < 200 && !f->n_sent; i++)
		rfc_advance(f, c, 20);
	assert_int_equal(rfc_last(f)->seq, first);
	assert_int_equal(rfc_last(f)->len, small);
	assert_int_equal(a->sacked, 0);
	assert_int_equal(mr_tcp_pipe(&f->tcp, c), 2 * RFC_MSS); /* of both reports */
	/* a block over the pieces finds the frames it speaks of */
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = first, .wnd = small, .n_sack = 1,
		.sack = { { first, first + 3 * RFC_MSS } });
	assert_int_equal(a->sacked, 3 * RFC_MSS);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->tx_head, MR_NONE);
	assert_int_equal(c->state, MR_ESTABLISHED);
}

/* RFC 5682: one ACK opens the window and shows that nothing was lost; the rest keeps its timer. */
static void established_window_opens_with_an_undo_keeps_the_timer(void **state)
{
	const uint32_t first = RFC_ISS + 1;
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->flags |= MR_CONN_SACK;
	send_text(f, c, 5 * RFC_MSS);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = first, .zero_wnd = true);
	advance_to_probing(f, c);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = first + 2 * RFC_MSS, .wnd = 60000);
	assert_int_equal(f->stats.frto_spurious, 1);
	assert_false(c->flags & MR_CONN_PROBING);
	assert_int_equal(mr_conn_flight(&f->tcp, c), 3 * RFC_MSS);
	assert_int_not_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	assert_int_equal(c->unacked_ms, f->tcp.now_ms);
	rfc_forget(f);
	rfc_advance(f, c, 10000); /* and they were lost after all */
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_true(f->n_sent > 0);
	assert_int_equal(f->sent[0].seq, first + 2 * RFC_MSS);
	assert_true(f->stats.retransmit_timeouts > 1);
}

/* RFC 7661 1: the window that congestion allows does not grow while the peer's is the limit. */
static void established_peers_window_limits_cwnd_stays(void **state)
{
	struct mr_conn *c;
	struct rfc *f = *state;

	f->cc = MR_CC_CUBIC;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->flags |= MR_CONN_SACK;
	for (int i = 0; i < 300; i++) {
		rfc_send(f, c, tcp_bytes(0, 60000), 60000); /* as much as the buffer takes */
		rfc_advance(f, c, 10);
		arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_nxt, .wnd = WINDOW);
		rfc_forget(f);
	}
	assert_true(c->tx_bytes > WINDOW);
	assert_true(c->cwnd > WINDOW);
	assert_true(c->cwnd <= 65535 + 2 * WINDOW); /* the first flight, and a round trip */
}

/* ----- SYN cookies ----- */

/* RFC 6298 3: nobody knows when the SYN-ACK was sent, so that it is no sample of the round trip. */
static void syn_received_opened_by_a_cookie_takes_no_sample(void **state)
{
	struct rfc *f = *state;
	struct mr_segment syn = rfc_segment(MR_SYN, RFC_IRS, 0, 0);
	struct mr_segment ack = syn;
	struct mr_half_open half;
	bool kept;

	f->tcp.now_ms = HOUR_MS;
	f->tcp.now_us = HOUR_MS * 1000ull;
	assert_true(mr_cookie_send(&f->tcp, &syn, 0, NULL));
	f->tcp.now_ms += 10;
	f->tcp.now_us += 10000;
	ack.flags = MR_ACK;
	ack.seq = RFC_IRS + 1;
	ack.ack = rfc_last(f)->seq + 1;
	ack.options = (struct mr_tcp_options){ 0 };
	assert_true(mr_cookie_check(&f->tcp, &ack, &half));
	mr_half_open_expand(&f->tcp, &half, &f->conn);
	mr_tcp_segment_arrives(&f->tcp, &f->conn, &ack, MR_NONE, &kept);
	assert_int_equal(f->conn.state, MR_ESTABLISHED);
	assert_int_equal(f->conn.srtt_us, 0);
	assert_int_equal(f->conn.backoff, 0);
	assert_int_equal(f->conn.rto_ms, MR_RTO_INITIAL_MS);
}

/* ----- BBR ----- */

/* The first sample is of a hundred bytes: it tells nothing of the path's rate. */
static void established_bbr_small_first_answer_keeps_the_first_rate(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin_bbr(f);
	uint64_t rate;

	mr_rtt_sample(c, 100000);
	rate = mr_cc_of(c)->pacing_rate(c, mr_active_of(&f->tcp, c));
	exchange(f, c, 1, 100, 100);
	assert_true(mr_cc_of(c)->pacing_rate(c, mr_active_of(&f->tcp, c)) >= rate);
	send_text(f, c, 50000);
	rfc_advance(f, c, 99);
	assert_true(f->n_sent >= INITIAL_WINDOW);
}

/* As Linux (TCP_CA_Loss): a timeout is a recovery too, the window comes back at its end. */
static void established_bbr_ack_after_a_timeout_keeps_the_small_window(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin_bbr(f);
	uint32_t before, first;

	exchange(f, c, ROUNDS, 20000, 20);
	send_text(f, c, 60000);
	rfc_advance(f, c, 10);
	before = c->cwnd;
	first = c->snd_una;
	for (int i = 0; i < 200 && !f->stats.retransmit_timeouts; i++)
		rfc_advance(f, c, 10);
	assert_int_equal(f->stats.retransmit_timeouts, 1);
	assert_int_equal(c->cwnd, RFC_MSS);
	tcp_ack_arrives(f, c, first + RFC_MSS);
	assert_true(c->flags & MR_CONN_RTO_RECOVERY);
	assert_int_equal(c->cwnd, 4 * RFC_MSS); /* the least of BBR */
	for (int i = 0; i < 200 && c->snd_una != first + 60000; i++) {
		rfc_advance(f, c, 20);
		tcp_ack_arrives(f, c, c->snd_nxt);
	}
	assert_false(c->flags & MR_CONN_RTO_RECOVERY);
	assert_true(c->cwnd >= before);
}

/* A frame keeps what was known when it was sent; what another connection left there is gone. */
static void established_bbr_cut_frame_keeps_its_delivery_rate(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin_bbr(f);
	const struct mr_active *a;
	uint64_t rate;

	exchange(f, c, ROUNDS, RFC_MSS, 10);
	a = mr_active_peek(&f->actives, c);
	rate = a->cc.bbr.bw[0].rate;
	assert_true(rate > 0);
	for (uint32_t i = 0; i < RFC_FRAMES; i++)
		if (f->records[i].state == MR_FRAME_FREE)
			f->records[i].delivered = 1u << 28;
	send_text(f, c, RFC_MSS);
	assert_true(mr_tcp_split(&f->tcp, c, c->tx_head, RFC_MSS / 2));
	rfc_advance(f, c, 10);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_true(a->cc.bbr.bw[0].rate <= 2 * rate);
}

/* ----- records of idle connections, user timeouts ----- */

/* MUST-32: the application reads late, and still learns that urgent text waits. */
static void established_urgent_text_unread_outlives_idleness(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	char text[5];

	arrives(f, c, .flags = MR_ACK | MR_URG, .seq = c->rcv_nxt, .urgent = 5, .text = "hello",
		.len = 5);
	assert_int_equal(mr_tcp_urgent(&f->tcp, c), 5);
	rfc_advance(f, c, 3 * MR_ACTIVE_IDLE_MS);
	mr_tcp_give_idle(&f->tcp, RFC_ACTIVES);
	assert_int_equal(mr_tcp_urgent(&f->tcp, c), 5);
	assert_int_equal(rfc_read(f, c, text, sizeof(text)), 5);
	assert_int_equal(mr_tcp_urgent(&f->tcp, c), 0);
	rfc_advance(f, c, 3 * MR_ACTIVE_IDLE_MS);
	mr_tcp_give_idle(&f->tcp, RFC_ACTIVES);
	assert_int_equal(c->active, MR_NONE); /* read: nothing keeps the record */
}

/* RFC 9293 3.8.3: the limit counts from the text that waits, however far the timer is backed off */
static void established_user_timeout_set_while_text_waits_is_kept(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	send_text(f, c, RFC_MSS);
	rfc_advance(f, c, 40000);
	mr_tcp_set_user_timeout(&f->tcp, c, 45000);
	rfc_advance(f, c, 4999);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established_probe_of_a_sacked_head_forgets_the_reports),
		TEST(established_window_opens_with_an_undo_keeps_the_timer),
		TEST(established_peers_window_limits_cwnd_stays),
		TEST(syn_received_opened_by_a_cookie_takes_no_sample),
		TEST(established_bbr_small_first_answer_keeps_the_first_rate),
		TEST(established_bbr_ack_after_a_timeout_keeps_the_small_window),
		TEST(established_bbr_cut_frame_keeps_its_delivery_rate),
		TEST(established_urgent_text_unread_outlives_idleness),
		TEST(established_user_timeout_set_while_text_waits_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
