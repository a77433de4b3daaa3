/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, first check, table 6 (MUST-66 for the zero window); RFC 7323 4.3 (which
 * timestamp is echoed) and 5 (PAWS).
 */
#include "tests/unit/rfc_fixture.h"

static const char text[4096];

static struct mr_conn *begin(struct rfc *f)
{
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

/* A window of @wnd that does not move: no buffer is left to open it further. */
static struct mr_conn *begin_window(struct rfc *f, uint32_t wnd)
{
	struct mr_conn *c = begin(f);

	f->config.receive_buffer = wnd;
	c->rcv_wnd = wnd;
	return c;
}

static struct mr_conn *begin_timestamps(struct rfc *f, uint32_t ts_recent)
{
	struct mr_conn *c = begin(f);

	c->flags |= MR_CONN_TIMESTAMPS;
	c->ts_recent = ts_recent;
	c->rcv_mss = 1448;
	return c;
}

/* Refused: an ACK that says what is expected, and nothing else happened. */
static void refused(struct rfc *f, struct mr_conn *c, uint32_t seq, uint16_t len)
{
	uint32_t expected = c->rcv_nxt;

	rfc_forget(f);
	assert_int_equal(rfc_arrives(f, c,
				     IN(.flags = MR_ACK, .seq = seq, .text = text, .len = len)),
			 MR_DROP_TCP_SEQUENCE);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->rcv_nxt, expected);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->ack, expected);
	assert_int_equal(rfc_last(f)->seq, c->snd_nxt);
}

static void accepted(struct rfc *f, struct mr_conn *c, uint32_t seq, uint16_t len)
{
	assert_int_equal(rfc_arrives(f, c,
				     IN(.flags = MR_ACK, .seq = seq, .text = text, .len = len)),
			 MR_DROP_NONE);
}

static void table_empty_segment_zero_window_only_rcv_nxt(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 0);

	(void)state;
	accepted(&f, c, c->rcv_nxt, 0);
	assert_int_equal(f.n_sent, 0);
	refused(&f, c, c->rcv_nxt + 1, 0);
	refused(&f, c, c->rcv_nxt - 1, 0);
	rfc_fini(&f);
}

static void table_empty_segment_inside_window_both_edges(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	accepted(&f, c, c->rcv_nxt, 0);
	accepted(&f, c, c->rcv_nxt + 99, 0);
	assert_int_equal(f.n_sent, 0);
	accepted(&f, c, c->rcv_nxt + 100, 0); /* an ACK: see right_edge_pure_ack_alone_is_taken */
	assert_int_equal(f.n_sent, 0);
	refused(&f, c, c->rcv_nxt + 101, 0);
	refused(&f, c, c->rcv_nxt - 1, 0);
	rfc_fini(&f);
}

/* What else stands at the right edge: dropped, and answered as @answered says, by an ACK. */
static void edge_refuses(uint8_t flags, uint16_t len, bool answered, bool challenge)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	assert_int_equal(
		rfc_arrives(&f, c,
			    IN(.flags = flags, .seq = c->rcv_nxt + 100, .text = text, .len = len)),
		MR_DROP_TCP_SEQUENCE);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1);
	assert_int_equal(c->ooo_head, MR_NONE);
	assert_int_equal(f.n_sent, answered);
	assert_int_equal(f.stats.challenge_acks, challenge);
	if (answered)
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	rfc_fini(&f);
}

/* RFC 5961 3.2 (RST outside: silence), 4.2 (SYN anywhere: a challenge) stand as they did. */
static void right_edge_pure_ack_alone_is_taken(void **state)
{
	(void)state;
	edge_refuses(MR_RST, 0, false, false);
	edge_refuses(MR_RST | MR_ACK, 0, false, false);
	edge_refuses(MR_SYN, 0, true, true);
	edge_refuses(MR_SYN | MR_ACK, 0, true, true);
	edge_refuses(MR_SYN | MR_RST | MR_ACK, 0, false, false);
	edge_refuses(MR_FIN | MR_ACK, 0, true, false);
	edge_refuses(MR_ACK, 1, true, false);
	edge_refuses(0, 0, true, false);
	edge_refuses(MR_PSH, 0, true, false);
}

/* The peer filled our window, a segment was lost: its ACKs free what we sent all the same. */
static void right_edge_ack_counts_while_text_is_missing(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 200);
	uint32_t edge = c->rcv_nxt + 200;

	(void)state;
	c->flags |= MR_CONN_TIMESTAMPS;
	c->ts_recent = 50;
	rfc_send(&f, c, text, 1000);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100, .ack = c->snd_una, .text = text,
		       .len = 100, .has_ts = true, .ts_val = 60));
	rfc_forget(&f);
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = edge, .wnd = 777, .has_ts = true,
					.ts_val = 61)),
			 MR_DROP_NONE);
	assert_int_equal(c->snd_una, c->snd_nxt);
	assert_int_equal(c->tx_bytes, 0);
	assert_int_equal(c->snd_wnd, 777);
	assert_int_equal(c->ts_recent, 50); /* RFC 7323 4.3: of text in order alone */
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1);
	assert_int_equal(f.n_sent, 0);
	/* RFC 5961 5.2 holds for it as for every ACK */
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = edge, .ack = c->snd_nxt + 1,
					.has_ts = true, .ts_val = 61)),
			 MR_DROP_TCP_ACK);
	assert_int_equal(f.stats.challenge_acks, 1);
	rfc_fini(&f);
}

static void table_text_zero_window_is_refused(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 0);

	(void)state;
	refused(&f, c, c->rcv_nxt, 1);
	assert_int_equal(rfc_last(&f)->wnd, 0);
	refused(&f, c, c->rcv_nxt - 1, 1);
	refused(&f, c, c->rcv_nxt - 1, 2);
	refused(&f, c, c->rcv_nxt + 1, 1);
	assert_int_equal(c->rx_bytes, 0);
	rfc_fini(&f);
}

static void table_text_starts_in_window_is_cut_to_it(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	accepted(&f, c, c->rcv_nxt, 150);
	assert_int_equal(c->rx_bytes, 100);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 101);
	rfc_fini(&f);
}

static void table_text_starts_on_last_byte_of_window_is_accepted(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	accepted(&f, c, c->rcv_nxt + 99, 10);
	assert_int_not_equal(c->ooo_head, MR_NONE);
	assert_int_equal(f.records[c->ooo_head].len, 1);
	refused(&f, c, c->rcv_nxt + 100, 10);
	rfc_fini(&f);
}

static void table_text_ends_in_window_new_part_is_taken(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	accepted(&f, c, c->rcv_nxt - 50, 51);
	assert_int_equal(c->rx_bytes, 1);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 2);
	rfc_fini(&f);
}

static void table_text_before_window_is_refused_and_counted(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	refused(&f, c, c->rcv_nxt - 50, 50);
	assert_int_equal(f.stats.duplicates, 1);
	rfc_fini(&f);
}

static void table_text_around_whole_window_is_refused(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	refused(&f, c, c->rcv_nxt - 10, 200);
	rfc_fini(&f);
}

static void table_fin_counts_as_a_byte(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	/* SEG.LEN is 1: it ends before the window, as its number was acknowledged */
	assert_int_equal(rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt - 1)),
			 MR_DROP_TCP_SEQUENCE);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

static void table_holds_across_sequence_wrap(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 100);

	(void)state;
	c->rcv_nxt = c->last_ack_sent = 0xffffffe0u;
	c->snd_wl1 = c->irs = 0xffffffdfu;
	accepted(&f, c, 67, 0); /* the window's last number */
	refused(&f, c, 68, 1);
	accepted(&f, c, 68, 0); /* its edge: for ACKs */
	refused(&f, c, 69, 0);
	refused(&f, c, 0xffffffdfu, 0);
	accepted(&f, c, c->rcv_nxt, 64);
	assert_int_equal(c->rcv_nxt, 32);
	assert_int_equal(c->rx_bytes, 64);
	rfc_fini(&f);
}

static void every_state_unacceptable_segment_gets_ack(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c;
		uint32_t next;

		rfc_init(&f);
		c = rfc_conn_in(&f, s);
		next = c->snd_nxt;
		assert_int_equal(rfc_arrives(&f, c,
					     IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100000)),
				 MR_DROP_TCP_SEQUENCE);
		assert_int_equal(c->state, s);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
		assert_int_equal(rfc_last(&f)->seq, next);
		assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
		rfc_fini(&f);
	}
}

/* ----- MUST-66: with a window of zero, ACK and RST still count ----- */

static void zero_window_ack_of_refused_text_is_processed(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 0);

	(void)state;
	assert_int_equal(rfc_send(&f, c, "hello", 5), 5);
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .wnd = 1000,
					.text = text, .len = 10)),
			 MR_DROP_TCP_SEQUENCE);
	assert_int_equal(c->snd_una, RFC_ISS + 6);
	assert_int_equal(c->snd_wnd, 1000);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	rfc_fini(&f);
}

static void zero_window_text_with_fin_leaves_fin_for_later(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 0);

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = text, .len = 10));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	rfc_fini(&f);
}

static void zero_window_rst_at_rcv_nxt_resets(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_window(&f, 0);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt + 1));
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* ----- RFC 7323 5.3: PAWS ----- */

static void paws_older_timestamp_is_acked_and_dropped(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true,
					.ts_val = 999, .text = text, .len = 10)),
			 MR_DROP_TCP_PAWS);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 1);
	assert_int_equal(c->ts_recent, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1000);
	rfc_fini(&f);
}

static void paws_same_timestamp_is_accepted(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true,
					.ts_val = 1000, .text = text, .len = 10)),
			 MR_DROP_NONE);
	assert_int_equal(c->rx_bytes, 10);
	rfc_fini(&f);
}

static void paws_timestamps_compare_modulo_2_to_32(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 0xfffffff0u);

	(void)state;
	assert_int_equal(
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true, .ts_val = 5)),
		MR_DROP_NONE);
	assert_int_equal(c->ts_recent, 5);
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true,
					.ts_val = 0xfffffff8u)),
			 MR_DROP_TCP_PAWS);
	rfc_fini(&f);
}

static void paws_rst_is_exempt(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt, .has_ts = true, .ts_val = 1));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_RESET_BY_PEER);
	rfc_fini(&f);
}

/* RFC 7323 5.5: after 24 idle days TS.Recent is not valid; R3 then takes the new value. */
static void paws_idle_beyond_24_days_accepts_and_starts_anew(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	f.tcp.now_ms += MR_PAWS_IDLE_MS + 1;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(rfc_arrives(&f, c,
					     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true,
						.ts_val = 0x90000000u + i, .text = text,
						.len = 10)),
				 MR_DROP_NONE);
	assert_int_equal(c->rx_bytes, 30);
	assert_int_equal(c->ts_recent, 0x90000002u);
	rfc_fini(&f);
}

static void paws_idle_below_24_days_still_refuses(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	f.tcp.now_ms += MR_PAWS_IDLE_MS - 1;
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_ACK, .seq = c->rcv_nxt, .has_ts = true,
					.ts_val = 0x90000000u)),
			 MR_DROP_TCP_PAWS);
	rfc_fini(&f);
}

/* RFC 7323 3.2: "MUST NOT abort a TCP connection because any segment lacks an expected TSopt". */
static void timestamps_absent_from_segment_does_not_abort(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->ts_recent, 1000);
	rfc_fini(&f);
}

/* ----- RFC 7323 4.3: which timestamp is echoed ----- */

static void in_order(struct rfc *f, struct mr_conn *c, uint32_t skip, uint32_t ts_val)
{
	rfc_arrives_only(f, c,
			 IN(.flags = MR_ACK, .seq = c->rcv_nxt + skip, .has_ts = true,
			    .ts_val = ts_val, .text = text, .len = 1448));
}

static void timestamps_in_order_echoes_the_segment(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	f.tcp.ts_offset = 77;
	in_order(&f, c, 0, 1005);
	rfc_output(&f, c);
	assert_true(rfc_last(&f)->options.has_timestamps);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1005);
	assert_int_equal(rfc_last(&f)->options.ts_val, f.tcp.now_ms + 77);
	rfc_fini(&f);
}

/* (A): one ACK for several segments echoes the first of them. */
static void timestamps_delayed_ack_echoes_the_earliest(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	in_order(&f, c, 0, 1001);
	in_order(&f, c, 0, 1002);
	in_order(&f, c, 0, 1003);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1 + 3 * 1448);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1001);
	in_order(&f, c, 0, 1004);
	rfc_output(&f, c);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1004);
	rfc_fini(&f);
}

/* (B): behind a hole the last in-order one; (C): the one that fills the hole. */
static void timestamps_out_of_order_echoes_last_in_order_then_the_filler(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	in_order(&f, c, 0, 1001);
	rfc_output(&f, c);
	in_order(&f, c, 1448, 1003);
	rfc_output(&f, c);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1001);
	in_order(&f, c, 2 * 1448, 1004);
	rfc_output(&f, c);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1001);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1 + 1448);
	in_order(&f, c, 0, 1002);
	rfc_output(&f, c);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1 + 4 * 1448);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 1002);
	rfc_fini(&f);
}

static void timestamps_of_unacceptable_segment_are_not_taken(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_timestamps(&f, 1000);

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt + 100000, .has_ts = true,
		       .ts_val = 2000));
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt - 100, .has_ts = true, .ts_val = 2000,
		       .text = text, .len = 50));
	assert_int_equal(c->ts_recent, 1000);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_empty_segment_zero_window_only_rcv_nxt),
		cmocka_unit_test(table_empty_segment_inside_window_both_edges),
		cmocka_unit_test(right_edge_pure_ack_alone_is_taken),
		cmocka_unit_test(right_edge_ack_counts_while_text_is_missing),
		cmocka_unit_test(table_text_zero_window_is_refused),
		cmocka_unit_test(table_text_starts_in_window_is_cut_to_it),
		cmocka_unit_test(table_text_starts_on_last_byte_of_window_is_accepted),
		cmocka_unit_test(table_text_ends_in_window_new_part_is_taken),
		cmocka_unit_test(table_text_before_window_is_refused_and_counted),
		cmocka_unit_test(table_text_around_whole_window_is_refused),
		cmocka_unit_test(table_fin_counts_as_a_byte),
		cmocka_unit_test(table_holds_across_sequence_wrap),
		cmocka_unit_test(every_state_unacceptable_segment_gets_ack),
		cmocka_unit_test(zero_window_ack_of_refused_text_is_processed),
		cmocka_unit_test(zero_window_text_with_fin_leaves_fin_for_later),
		cmocka_unit_test(zero_window_rst_at_rcv_nxt_resets),
		cmocka_unit_test(paws_older_timestamp_is_acked_and_dropped),
		cmocka_unit_test(paws_same_timestamp_is_accepted),
		cmocka_unit_test(paws_timestamps_compare_modulo_2_to_32),
		cmocka_unit_test(paws_rst_is_exempt),
		cmocka_unit_test(paws_idle_beyond_24_days_accepts_and_starts_anew),
		cmocka_unit_test(paws_idle_below_24_days_still_refuses),
		cmocka_unit_test(timestamps_absent_from_segment_does_not_abort),
		cmocka_unit_test(timestamps_in_order_echoes_the_segment),
		cmocka_unit_test(timestamps_delayed_ack_echoes_the_earliest),
		cmocka_unit_test(timestamps_out_of_order_echoes_last_in_order_then_the_filler),
		cmocka_unit_test(timestamps_of_unacceptable_segment_are_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
