/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.10.7.4, fifth check, with RFC 5961 5.2 (the range of an acceptable ACK). */
#include "tests/unit/rfc_fixture.h"

static struct mr_conn *begin(struct rfc *f, enum mr_tcp_state s)
{
	rfc_init(f);
	return rfc_conn_in(f, s);
}

static int ack(struct rfc *f, struct mr_conn *c, uint32_t number)
{
	return rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = number));
}

static void every_state_segment_without_ack_is_dropped(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, s);

		assert_int_equal(rfc_arrives(&f, c, IN(.seq = c->rcv_nxt, .text = "abc", .len = 3)),
				 MR_DROP_TCP_NO_ACK);
		assert_int_equal(rfc_arrives(&f, c, IN(.flags = MR_FIN, .seq = c->rcv_nxt)),
				 MR_DROP_TCP_NO_ACK);
		assert_int_equal(c->state, s);
		assert_int_equal(c->rx_bytes, 0);
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void established_ack_of_unsent_gets_ack_and_is_dropped(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "hello", 5);
	rfc_forget(&f);
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_nxt + 1,
					.wnd = 1, .text = "abc", .len = 3)),
			 MR_DROP_TCP_ACK);
	assert_int_equal(c->snd_una, RFC_ISS + 1);
	assert_int_equal(c->tx_bytes, 5);
	assert_int_equal(c->snd_wnd, 65535);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	assert_int_equal(f.stats.challenge_acks, 1);
	rfc_fini(&f);
}

static void established_ack_older_than_largest_window_gets_challenge_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	c->max_snd_wnd = 1000;
	assert_int_equal(ack(&f, c, c->snd_una - 1001), MR_DROP_TCP_ACK);
	assert_int_equal(f.stats.challenge_acks, 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(ack(&f, c, c->snd_una + (1u << 31)), MR_DROP_TCP_ACK);
	assert_int_equal(f.stats.challenge_acks, 2);
	rfc_fini(&f);
}

/* At SND.UNA - MAX.SND.WND: an old duplicate; its text still counts, its window does not. */
static void established_old_ack_inside_largest_window_text_is_read(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	c->max_snd_wnd = 1000;
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt,
					.ack = c->snd_una - 1000, .wnd = 7, .text = "abc",
					.len = 3)),
			 MR_DROP_NONE);
	assert_int_equal(f.stats.challenge_acks, 0);
	assert_int_equal(c->rx_bytes, 3);
	assert_int_equal(c->snd_una, RFC_ISS + 1);
	assert_int_equal(c->snd_wnd, 65535);
	rfc_fini(&f);
}

static void established_ack_frees_whole_and_parts_of_segments(void **state)
{
	static uint8_t data[3 * RFC_MSS];
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, data, sizeof(data));
	assert_int_equal(f.n_sent, 3);
	ack(&f, c, RFC_ISS + 1 + RFC_MSS + 10);
	assert_int_equal(c->snd_una, RFC_ISS + 1 + RFC_MSS + 10);
	assert_int_equal(c->tx_bytes, 2 * RFC_MSS - 10);
	assert_int_equal(f.records[c->tx_head].seq, c->snd_una);
	ack(&f, c, RFC_ISS + 1 + 3 * RFC_MSS);
	assert_int_equal(c->tx_bytes, 0);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	rfc_fini(&f);
}

static void established_ack_across_sequence_wrap_frees(void **state)
{
	static uint8_t data[200];
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	c->iss = 0xffffffc0u;
	c->snd_una = c->snd_nxt = c->snd_wl2 = c->iss + 1;
	rfc_send(&f, c, data, sizeof(data));
	assert_int_equal(c->snd_nxt, c->iss + 201);
	assert_int_equal(ack(&f, c, c->snd_nxt + 1), MR_DROP_TCP_ACK);
	assert_int_equal(ack(&f, c, 5), MR_DROP_NONE);
	assert_int_equal(c->snd_una, 5);
	assert_int_equal(ack(&f, c, 0xfffffff0u), MR_DROP_NONE); /* old now */
	assert_int_equal(c->snd_una, 5);
	assert_int_equal(ack(&f, c, c->iss + 201), MR_DROP_NONE);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* ----- SND.WND, SND.WL1, SND.WL2 ----- */

static void window_newer_segment_updates_older_does_not(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100, .wnd = 500));
	assert_int_equal(c->snd_wnd, 500);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 50, .wnd = 600));
	assert_int_equal(c->snd_wnd, 500); /* SND.WL1 > SEG.SEQ */
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100, .wnd = 600));
	assert_int_equal(c->snd_wnd, 600); /* the same, and SND.WL2 =< SEG.ACK */
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 101, .zero_wnd = true));
	assert_int_equal(c->snd_wnd, 0);
	assert_int_equal(c->max_snd_wnd, 65535);
	rfc_fini(&f);
}

/* An ACK that acknowledges more is never old: its window counts, even if text overtook it. */
static void window_older_sequence_newer_ack_updates(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "hello", 5);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100, .ack = RFC_ISS + 1, .wnd = 500));
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt + 50, .ack = RFC_ISS + 6, .wnd = 495));
	assert_int_equal(c->snd_una, RFC_ISS + 6);
	assert_int_equal(c->snd_wnd, 495);
	rfc_fini(&f);
}

static void window_same_sequence_older_ack_does_not_update(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "hello", 5);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 6, .wnd = 500));
	assert_int_equal(c->snd_wnd, 500);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 3, .wnd = 600));
	assert_int_equal(c->snd_wnd, 500);
	rfc_fini(&f);
}

static void window_is_scaled_as_agreed(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	c->snd_shift = 14;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .wnd = 65535));
	assert_int_equal(c->snd_wnd, 65535u << 14);
	rfc_fini(&f);
}

/* ----- closing states ----- */

static void fin_wait_1_ack_of_fin_enters_fin_wait_2(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_FIN_WAIT_1);

	(void)state;
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void fin_wait_1_ack_of_text_alone_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "hello", 5);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, MR_FIN);
	ack(&f, c, RFC_ISS + 6);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	ack(&f, c, RFC_ISS + 7);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* The FIN waits for text that the window holds: everything sent may be acknowledged before it. */
static void fin_wait_1_ack_before_fin_is_sent_stays(void **state)
{
	static uint8_t data[100];
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	c->snd_wnd = c->max_snd_wnd = 60;
	rfc_send(&f, c, data, sizeof(data));
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(c->snd_nxt, RFC_ISS + 61);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .zero_wnd = true));
	assert_int_equal(c->snd_una, RFC_ISS + 61);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .wnd = 1000));
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, MR_FIN);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

static void closing_ack_of_fin_enters_time_wait(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_CLOSING);

	(void)state;
	ack(&f, c, c->snd_nxt - 1); /* not of the FIN */
	assert_int_equal(c->state, MR_CLOSING);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(f.events[MR_EVENT_TIME_WAIT], 1);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void last_ack_ack_of_fin_closes(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_LAST_ACK);

	(void)state;
	ack(&f, c, c->snd_nxt - 1);
	assert_int_equal(c->state, MR_LAST_ACK);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_DONE);
	assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void close_wait_ack_of_text_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_CLOSE_WAIT);

	(void)state;
	rfc_send(&f, c, "hello", 5);
	ack(&f, c, RFC_ISS + 6);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

static void fin_wait_2_and_time_wait_old_ack_changes_nothing(void **state)
{
	static const enum mr_tcp_state states[] = { MR_FIN_WAIT_2, MR_TIME_WAIT };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, states[i]);

		ack(&f, c, c->snd_nxt);
		ack(&f, c, c->snd_nxt - 1);
		assert_int_equal(c->state, states[i]);
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void closing_states_ack_of_unsent_gets_ack_and_stays(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_ESTABLISHED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, s);

		ack(&f, c, c->snd_nxt + 1);
		assert_int_equal(c->state, s);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
		rfc_fini(&f);
	}
}

/* 3.10.7.4, SYN-RECEIVED: SND.UNA < SEG.ACK =< SND.NXT, else <SEQ=SEG.ACK><CTL=RST>. */
static void syn_received_ack_range(void **state)
{
	static const int off[] = { 0, -1, 2 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_SYN_RECEIVED);
		uint32_t number = RFC_ISS + (uint32_t)off[i];

		assert_int_equal(ack(&f, c, number), MR_DROP_TCP_ACK);
		assert_int_equal(c->state, MR_SYN_RECEIVED);
		assert_int_equal(rfc_last(&f)->flags, MR_RST);
		assert_int_equal(rfc_last(&f)->seq, number);
		ack(&f, c, RFC_ISS + 1);
		assert_int_equal(c->state, MR_ESTABLISHED);
		assert_int_equal(c->snd_wnd, 65535);
		assert_int_equal(f.n_sent, 1);
		rfc_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_segment_without_ack_is_dropped),
		cmocka_unit_test(established_ack_of_unsent_gets_ack_and_is_dropped),
		cmocka_unit_test(established_ack_older_than_largest_window_gets_challenge_ack),
		cmocka_unit_test(established_old_ack_inside_largest_window_text_is_read),
		cmocka_unit_test(established_ack_frees_whole_and_parts_of_segments),
		cmocka_unit_test(established_ack_across_sequence_wrap_frees),
		cmocka_unit_test(window_newer_segment_updates_older_does_not),
		cmocka_unit_test(window_older_sequence_newer_ack_updates),
		cmocka_unit_test(window_same_sequence_older_ack_does_not_update),
		cmocka_unit_test(window_is_scaled_as_agreed),
		cmocka_unit_test(fin_wait_1_ack_of_fin_enters_fin_wait_2),
		cmocka_unit_test(fin_wait_1_ack_of_text_alone_stays),
		cmocka_unit_test(fin_wait_1_ack_before_fin_is_sent_stays),
		cmocka_unit_test(closing_ack_of_fin_enters_time_wait),
		cmocka_unit_test(last_ack_ack_of_fin_closes),
		cmocka_unit_test(close_wait_ack_of_text_stays),
		cmocka_unit_test(fin_wait_2_and_time_wait_old_ack_changes_nothing),
		cmocka_unit_test(closing_states_ack_of_unsent_gets_ack_and_stays),
		cmocka_unit_test(syn_received_ack_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
