/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4, eighth check; 3.6 (closing, figures 12 and 13), 3.6.1 half-closed
 * connections; 3.10.4 and 3.10.5 (CLOSE and ABORT calls) with SHLD-3 (unread bytes make a RST).
 */
#include "tests/unit/rfc_fixture.h"

#include <errno.h>

static struct mr_conn *begin(struct rfc *f, enum mr_tcp_state s)
{
	rfc_init(f);
	return rfc_conn_in(f, s);
}

/* A FIN in order takes @from to @to, is acknowledged and shown to the reader. */
static void fin_leads(enum mr_tcp_state from, enum mr_tcp_state to, uint32_t ack)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, from);

	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 1, .ack = ack));
	assert_int_equal(c->state, to);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 2);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, c->snd_nxt);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
	assert_int_equal(f.events[MR_EVENT_READABLE], 1);
	assert_int_equal(f.events[MR_EVENT_TIME_WAIT], to == MR_TIME_WAIT);
	rfc_fini(&f);
}

static void each_state_fin_in_order_leads_on(void **state)
{
	(void)state;
	fin_leads(MR_SYN_RECEIVED, MR_CLOSE_WAIT, RFC_ISS + 1);
	fin_leads(MR_ESTABLISHED, MR_CLOSE_WAIT, RFC_ISS + 1);
	fin_leads(MR_FIN_WAIT_1, MR_CLOSING, RFC_ISS + 1);   /* ours is not acknowledged */
	fin_leads(MR_FIN_WAIT_1, MR_TIME_WAIT, RFC_ISS + 2); /* it is, by the same segment */
	fin_leads(MR_FIN_WAIT_2, MR_TIME_WAIT, RFC_ISS + 2);
}

static void later_states_repeated_fin_is_acked_and_ignored(void **state)
{
	static const enum mr_tcp_state states[] = { MR_CLOSE_WAIT, MR_CLOSING, MR_LAST_ACK,
						    MR_TIME_WAIT };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, states[i]);

		/* the same FIN again, and one more behind it */
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt - 1, .ack = c->snd_una));
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .ack = c->snd_una));
		assert_int_equal(c->state, states[i]);
		assert_int_equal(c->rcv_nxt, RFC_IRS + 2);
		rfc_fini(&f);
	}
}

static void syn_sent_fin_is_not_processed(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_SYN_SENT);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_FIN, .seq = 1));
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void established_fin_with_text_both_count(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);
	char got[8];

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 7);
	assert_int_equal(rfc_read(&f, c, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	rfc_fini(&f);
}

static void established_fin_out_of_order_waits_for_the_gap(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 6, .text = "world", .len = 5));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 1);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rx_bytes, 10);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 12);
	rfc_fini(&f);
}

static void established_bare_fin_out_of_order_waits_for_the_gap(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 6));
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 6)); /* twice */
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rx_bytes, 5);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 7);
	assert_int_equal(c->ooo_head, MR_NONE);
	rfc_fini(&f);
}

static void established_repeated_text_with_new_fin_takes_the_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .text = "hello", .len = 5));
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 1, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rx_bytes, 5);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 7);
	rfc_fini(&f);
}

static void established_fin_beyond_window_is_cut_with_the_text(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	f.config.receive_buffer = 3;
	c->rcv_wnd = 3;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = "hello", .len = 5));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->rx_bytes, 3);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 4);
	rfc_fini(&f);
}

/* A peer that lies: text behind its own FIN is never delivered. */
static void established_text_behind_fin_is_dropped(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 11, .text = "later", .len = 5));
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = RFC_IRS + 1, .text = "hello", .len = 5));
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 7, .text = "more", .len = 4));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(c->rx_bytes, 5);
	assert_int_equal(c->rcv_nxt, RFC_IRS + 7);
	rfc_fini(&f);
}

/* ----- both sides ----- */

/* Figure 12: we close first. */
static void close_then_peer_closes_ends_in_time_wait(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
	rfc_fini(&f);
}

/* Figure 12, the other side. */
static void peer_closes_then_close_ends_in_closed(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt));
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(c->state, MR_LAST_ACK);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_DONE);
	rfc_fini(&f);
}

/* Figure 13. */
static void simultaneous_close_goes_through_closing(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .ack = RFC_ISS + 1));
	assert_int_equal(c->state, MR_CLOSING);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 2);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 2));
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(f.n_sent, 2);
	rfc_fini(&f);
}

/*
 * Every case of 3.10.7.4 in CLOSING: both FINs are out, ours is not acknowledged. One segment, what
 * is sent for it, and where it leads.
 */
static void closing_each_segment_as_the_rfc_says(void **state)
{
	enum { NEXT = RFC_IRS + 2, UNACKED = RFC_ISS + 1, ALL = RFC_ISS + 2, NOTHING = 0 };
	static const struct {
		struct rfc_in in;
		int drop;
		uint8_t answer; /* flags of the one segment sent, NOTHING: none */
		enum mr_tcp_state state;
	} row[] = {
		/* first: outside the window an ACK, but for RST */
		{ { .flags = MR_ACK, .seq = NEXT + 100000, .ack = ALL },
		  MR_DROP_TCP_SEQUENCE,
		  MR_ACK,
		  MR_CLOSING },
		{ { .flags = MR_ACK, .seq = NEXT - 4, .ack = ALL, .text = "abc", .len = 3 },
		  MR_DROP_TCP_SEQUENCE,
		  MR_ACK,
		  MR_CLOSING },
		{ { .flags = MR_ACK | MR_FIN, .seq = NEXT - 1, .ack = ALL },
		  MR_DROP_TCP_SEQUENCE,
		  MR_ACK,
		  MR_CLOSING },
		{ { .flags = MR_RST, .seq = NEXT + 100000 },
		  MR_DROP_TCP_SEQUENCE,
		  NOTHING,
		  MR_CLOSING },
		/* second: RST, RFC 5961 3.2 */
		{ { .flags = MR_RST, .seq = NEXT + 1 }, MR_DROP_TCP_SEQUENCE, MR_ACK, MR_CLOSING },
		{ { .flags = MR_RST, .seq = NEXT }, MR_DROP_NONE, NOTHING, MR_CLOSED },
		/* fourth: SYN, RFC 5961 4.2 */
		{ { .flags = MR_SYN, .seq = NEXT }, MR_DROP_TCP_SEQUENCE, MR_ACK, MR_CLOSING },
		{ { .flags = MR_SYN | MR_ACK, .seq = NEXT, .ack = ALL },
		  MR_DROP_TCP_SEQUENCE,
		  MR_ACK,
		  MR_CLOSING },
		/* fifth: "if the ACK bit is off, drop the segment and return" */
		{ { .seq = NEXT, .text = "abc", .len = 3 },
		  MR_DROP_TCP_NO_ACK,
		  NOTHING,
		  MR_CLOSING },
		{ { .flags = MR_FIN, .seq = NEXT }, MR_DROP_TCP_NO_ACK, NOTHING, MR_CLOSING },
		{ { .flags = MR_ACK, .seq = NEXT, .ack = ALL + 1 },
		  MR_DROP_TCP_ACK,
		  MR_ACK,
		  MR_CLOSING },
		/* "if the ACK acknowledges our FIN, then enter the TIME-WAIT state; otherwise,
		   ignore the segment" */
		{ { .flags = MR_ACK, .seq = NEXT, .ack = UNACKED },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_CLOSING },
		{ { .flags = MR_ACK, .seq = NEXT, .ack = UNACKED - 1 },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_CLOSING },
		{ { .flags = MR_ACK, .seq = NEXT, .ack = ALL },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_TIME_WAIT },
		/* sixth: "This should not occur": URG is ignored */
		{ { .flags = MR_ACK | MR_URG, .seq = NEXT, .ack = UNACKED, .urgent = 5 },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_CLOSING },
		/* seventh: text behind the peer's FIN is ignored, what it acknowledges is not */
		{ { .flags = MR_ACK, .seq = NEXT, .ack = UNACKED, .text = "abc", .len = 3 },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_CLOSING },
		{ { .flags = MR_ACK, .seq = NEXT, .ack = ALL, .text = "abc", .len = 3 },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_TIME_WAIT },
		/* eighth: FIN, "remain in the CLOSING state" */
		{ { .flags = MR_ACK | MR_FIN, .seq = NEXT, .ack = UNACKED },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_CLOSING },
		{ { .flags = MR_ACK | MR_FIN, .seq = NEXT, .ack = ALL },
		  MR_DROP_NONE,
		  NOTHING,
		  MR_TIME_WAIT },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_CLOSING);

		assert_int_equal(rfc_arrives(&f, c, &row[i].in), row[i].drop);
		assert_int_equal(c->state, row[i].state);
		assert_int_equal(f.n_sent, row[i].answer ? 1 : 0);
		if (row[i].answer) {
			assert_int_equal(rfc_last(&f)->flags, row[i].answer);
			assert_int_equal(rfc_last(&f)->seq, ALL);
			assert_int_equal(rfc_last(&f)->ack, NEXT);
		}
		assert_int_equal(c->rcv_nxt, NEXT);
		assert_int_equal(c->rx_bytes, 0);
		assert_int_equal(c->ooo_head, MR_NONE);
		assert_int_equal(f.events[MR_EVENT_TIME_WAIT], row[i].state == MR_TIME_WAIT);
		assert_int_equal(f.events[MR_EVENT_URGENT], 0);
		rfc_fini(&f);
	}
}

/* Our FIN was lost: it goes out again from CLOSING, and is given up in the end. */
static void closing_fin_is_sent_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_CLOSING);

	(void)state;
	rfc_advance(&f, c, 1500);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK | MR_FIN);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
	assert_int_equal(c->state, MR_CLOSING);
	rfc_advance(&f, c, 2000000);
	assert_int_equal(c->state, MR_CLOSED);
	rfc_fini(&f);
}

/*
 * RST in LAST-ACK closes (RFC 9293 3.10.7.4). What nobody has read yet is not lost in silence: it
 * can still be read when only our FIN was outstanding, and a reset is told when text of ours was.
 */
static void last_ack_rst_loses_nothing_in_silence(void **state)
{
	enum { NOTHING, UNREAD, UNREAD_AND_UNACKED, CASES };

	(void)state;
	for (int i = 0; i < CASES; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_ESTABLISHED);
		uint8_t got[3];

		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = "abc",
			       .len = i ? 3 : 0));
		if (i == UNREAD_AND_UNACKED)
			rfc_send(&f, c, "xyz", 3);
		mr_tcp_shutdown_send(&f.tcp, c);
		rfc_output(&f, c);
		assert_int_equal(c->state, MR_LAST_ACK);
		rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
		if (i == UNREAD) {
			assert_int_equal(c->state, MR_LAST_ACK);
			assert_int_equal(rfc_read(&f, c, got, 3), 3);
		}
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(c->close_reason,
				 i == UNREAD_AND_UNACKED ? MR_CLOSE_RESET_BY_PEER : MR_CLOSE_DONE);
		rfc_fini(&f);
	}
}

/* ----- half-closed ----- */

static void half_closed_by_us_still_receives(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(rfc_send(&f, c, "x", 1), -EPIPE);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 1, .text = "one",
		       .len = 3)); /* FIN-WAIT-1 */
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "two", .len = 3));
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "three", .len = 5));
	assert_int_equal(c->rx_bytes, 11);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 12);
	rfc_advance(&f, c, 600000); /* not an orphan: no limit */
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

static void half_closed_by_peer_still_sends(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_CLOSE_WAIT);

	(void)state;
	assert_int_equal(rfc_send(&f, c, "hello", 5), 5);
	assert_int_equal(rfc_last(&f)->len, 5);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

static void shutdown_send_twice_sends_one_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_shutdown_send(&f.tcp, c);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(c->snd_nxt, RFC_ISS + 2);
	rfc_fini(&f);
}

/* ----- nobody reads: RST ----- */

static void is_reset(struct rfc *f, struct mr_conn *c, enum mr_close_reason reason)
{
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, reason);
	assert_int_equal(f->events[MR_EVENT_CLOSED], 1);
	assert_int_equal(rfc_last(f)->flags & MR_RST, MR_RST);
	assert_int_equal(rfc_last(f)->seq, c->snd_nxt);
	assert_true(rfc_last(f)->reply);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(c->tx_bytes, 0);
}

static void shutdown_receive_new_text_gets_rst(void **state)
{
	static const uint32_t gap[] = { 0, 100 }; /* in order or not */

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_ESTABLISHED);

		mr_tcp_shutdown_receive(&f.tcp, c);
		rfc_output(&f, c);
		assert_int_equal(f.n_sent, 0);
		assert_int_equal(rfc_arrives(&f, c,
					     IN(.flags = MR_ACK, .seq = c->rcv_nxt + gap[i],
						.text = "abc", .len = 3)),
				 MR_DROP_TCP_AFTER_SHUTDOWN);
		is_reset(&f, c, MR_CLOSE_UNREAD);
		rfc_fini(&f);
	}
}

static void shutdown_receive_drops_unread_and_stays_open(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "abc", .len = 3));
	mr_tcp_shutdown_receive(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	/* what the peer sends again is not new, an empty segment and its FIN are no text */
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = RFC_IRS + 1, .text = "abc", .len = 3));
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(rfc_send(&f, c, "still", 5), 5);
	rfc_fini(&f);
}

static void close_then_new_text_gets_rst(void **state)
{
	(void)state;
	for (int acked = 0; acked < 2; acked++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_ESTABLISHED);

		mr_tcp_close_call(&f.tcp, c);
		rfc_output(&f, c);
		if (acked)
			rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt));
		assert_int_equal(c->state, acked ? MR_FIN_WAIT_2 : MR_FIN_WAIT_1);
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .text = "abc",
			       .len = 3));
		is_reset(&f, c, MR_CLOSE_UNREAD);
		rfc_fini(&f);
	}
}

static void close_with_unread_bytes_sends_rst(void **state)
{
	static const enum mr_tcp_state states[] = { MR_ESTABLISHED, MR_FIN_WAIT_1, MR_FIN_WAIT_2 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, states[i]);

		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .text = "abc",
			       .len = 3));
		mr_tcp_close_call(&f.tcp, c);
		is_reset(&f, c, MR_CLOSE_UNREAD);
		rfc_fini(&f);
	}
}

static void close_wait_close_with_unread_bytes_sends_rst(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = "abc", .len = 3));
	mr_tcp_close_call(&f.tcp, c);
	is_reset(&f, c, MR_CLOSE_UNREAD);
	rfc_fini(&f);
}

static void close_sends_queued_text_before_fin(void **state)
{
	static uint8_t data[100 + RFC_MSS + 50];
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, data, 100);
	rfc_send(&f, c, data + 100, sizeof(data) - 100);
	assert_int_equal(f.n_sent, 2); /* Nagle holds 50 bytes behind the short segment */
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(f.sent[0].flags & MR_FIN, 0);
	assert_int_equal(f.sent[1].flags & MR_FIN, 0);
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, MR_FIN);
	assert_int_equal(rfc_last(&f)->seq + rfc_last(&f)->len, RFC_ISS + 1 + sizeof(data));
	rfc_fini(&f);
}

/* ----- CLOSE and ABORT in the other states ----- */

static void syn_sent_close_deletes_in_silence(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_SYN_SENT);

	(void)state;
	mr_tcp_close_call(&f.tcp, c);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_ABORTED);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void abort_call_sends_rst_where_the_peer_waits_for_us(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_SENT; s <= MR_TIME_WAIT; s++) {
		bool rst = s >= MR_SYN_RECEIVED && s <= MR_CLOSE_WAIT;
		struct rfc f;
		struct mr_conn *c = begin(&f, s);

		mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(f.n_sent, rst);
		assert_int_equal(f.stats.resets_out, rst);
		if (rst)
			is_reset(&f, c, MR_CLOSE_ABORTED);
		rfc_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_fin_in_order_leads_on),
		cmocka_unit_test(later_states_repeated_fin_is_acked_and_ignored),
		cmocka_unit_test(syn_sent_fin_is_not_processed),
		cmocka_unit_test(established_fin_with_text_both_count),
		cmocka_unit_test(established_fin_out_of_order_waits_for_the_gap),
		cmocka_unit_test(established_bare_fin_out_of_order_waits_for_the_gap),
		cmocka_unit_test(established_repeated_text_with_new_fin_takes_the_fin),
		cmocka_unit_test(established_fin_beyond_window_is_cut_with_the_text),
		cmocka_unit_test(established_text_behind_fin_is_dropped),
		cmocka_unit_test(close_then_peer_closes_ends_in_time_wait),
		cmocka_unit_test(peer_closes_then_close_ends_in_closed),
		cmocka_unit_test(last_ack_rst_loses_nothing_in_silence),
		cmocka_unit_test(simultaneous_close_goes_through_closing),
		cmocka_unit_test(closing_each_segment_as_the_rfc_says),
		cmocka_unit_test(closing_fin_is_sent_again),
		cmocka_unit_test(half_closed_by_us_still_receives),
		cmocka_unit_test(half_closed_by_peer_still_sends),
		cmocka_unit_test(shutdown_send_twice_sends_one_fin),
		cmocka_unit_test(shutdown_receive_new_text_gets_rst),
		cmocka_unit_test(shutdown_receive_drops_unread_and_stays_open),
		cmocka_unit_test(close_then_new_text_gets_rst),
		cmocka_unit_test(close_with_unread_bytes_sends_rst),
		cmocka_unit_test(close_wait_close_with_unread_bytes_sends_rst),
		cmocka_unit_test(close_sends_queued_text_before_fin),
		cmocka_unit_test(syn_sent_close_deletes_in_silence),
		cmocka_unit_test(abort_call_sends_rst_where_the_peer_waits_for_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
