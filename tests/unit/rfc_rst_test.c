/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.10.7.4, second check, with RFC 5961 3.2; 3.10.7.3, second, in SYN-SENT. */
#include "tests/unit/rfc_fixture.h"

static void established_rst_at_rcv_nxt_resets(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt });
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(f->n_sent, 0);
}

static void established_rst_inside_window_gets_challenge_ack(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt + 1 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->ack, c->rcv_nxt);
}

static void established_rst_outside_window_is_dropped_in_silence(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt + 70000 });
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt - 1 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f->n_sent, 0);
}

/* RST at RCV.NXT in @s: CLOSED with @reason, nothing is sent, the user is told. */
static void resets(enum mr_tcp_state s, enum mr_close_reason reason)
{
	struct rfc f;
	struct mr_conn *c;

	rfc_init(&f);
	c = rfc_conn_in(&f, s);
	assert_int_equal(rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt)), MR_DROP_NONE);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, reason);
	assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
	assert_int_equal(f.stats.resets_in, 1);
	assert_int_equal(mr_conn_next_deadline(c), 0);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void synchronised_rst_at_rcv_nxt_resets(void **state)
{
	(void)state;
	resets(MR_ESTABLISHED, MR_CLOSE_RESET_BY_PEER);
	resets(MR_FIN_WAIT_1, MR_CLOSE_RESET_BY_PEER);
	resets(MR_FIN_WAIT_2, MR_CLOSE_RESET_BY_PEER);
	resets(MR_CLOSE_WAIT, MR_CLOSE_RESET_BY_PEER);
}

/* "CLOSING STATE, LAST-ACK STATE, TIME-WAIT STATE: enter the CLOSED state": no error is told. */
static void closing_rst_at_rcv_nxt_ends_without_error(void **state)
{
	(void)state;
	resets(MR_CLOSING, MR_CLOSE_DONE);
	resets(MR_LAST_ACK, MR_CLOSE_DONE);
	resets(MR_TIME_WAIT, MR_CLOSE_DONE);
}

/* A reset while text is unread: the FIN counts as acknowledged, the reader's bytes stay. */
static void closing_rst_with_unread_text_fin_counts_across_the_wrap(void **state)
{
	static const enum mr_tcp_state states[] = { MR_CLOSING, MR_LAST_ACK };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct rfc f;
		struct mr_conn *c;
		uint8_t got[8];

		rfc_init(&f);
		c = rfc_conn_in(&f, MR_ESTABLISHED);
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "text", .len = 4));
		c->iss = c->snd_nxt + 1; /* 4 GiB were sent: the FIN is the last byte of them */
		mr_tcp_shutdown_send(&f.tcp, c);
		rfc_output(&f, c);
		rfc_arrives(&f, c,
			    IN(.flags = MR_FIN | MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una));
		assert_int_equal(c->state, MR_CLOSING);
		c->state = states[i];
		rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
		assert_int_equal(c->state, i ? MR_LAST_ACK : MR_TIME_WAIT);
		assert_int_equal(c->snd_una, c->snd_nxt);
		assert_int_equal(c->snd_wraps, 1);
		assert_int_equal(rfc_read(&f, c, got, sizeof(got)), 4);
		rfc_fini(&f);
	}
}

static void every_state_rst_inside_window_gets_challenge_ack(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c;

		rfc_init(&f);
		c = rfc_conn_in(&f, s);
		rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt + c->rcv_wnd - 1));
		assert_int_equal(c->state, s);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(f.stats.challenge_acks, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
		assert_int_equal(rfc_last(&f)->seq, c->snd_nxt);
		assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
		rfc_fini(&f);
	}
}

static void every_state_rst_outside_window_is_dropped_in_silence(void **state)
{
	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++) {
		struct rfc f;
		struct mr_conn *c;

		rfc_init(&f);
		c = rfc_conn_in(&f, s);
		rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt - 1));
		rfc_arrives(&f, c, IN(.flags = MR_RST | MR_ACK, .seq = c->rcv_nxt + c->rcv_wnd));
		assert_int_equal(c->state, s);
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void established_rst_with_any_ack_resets(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	rfc_arrives(f, c, IN(.flags = MR_RST | MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_nxt + 5));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(f->n_sent, 0);
}

/* "All segment queues should be flushed": text both ways, in order and not. */
static void established_rst_flushes_all_queues(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	f->hold_tx = true;
	rfc_send(f, c, "hello", 5);
	rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = "abc", .len = 3));
	rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 10, .text = "abc", .len = 3));
	rfc_arrives(f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(c->tx_bytes, 0);
	assert_int_equal(c->ooo_head, MR_NONE);
	rfc_complete(f);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void syn_received_passive_rst_is_reset_active_is_refused(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	resets(MR_SYN_RECEIVED, MR_CLOSE_RESET_BY_PEER);
	c = rfc_conn_in(f, MR_SYN_RECEIVED);
	c->flags &= ~MR_CONN_PASSIVE;
	rfc_arrives(f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_REFUSED);
	assert_int_equal(f->n_sent, 0);
}

static void syn_sent_rst_with_acceptable_ack_is_refused(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_SYN_SENT);
	rfc_arrives(f, c, IN(.flags = MR_RST | MR_ACK, .ack = RFC_ISS + 1));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_REFUSED);
	assert_int_equal(f->n_sent, 0);
}

static void syn_sent_rst_without_acceptable_ack_is_dropped_in_silence(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_SYN_SENT);
	rfc_arrives(f, c, IN(.flags = MR_RST, .ack = RFC_ISS + 1));
	rfc_arrives(f, c, IN(.flags = MR_RST | MR_ACK, .ack = RFC_ISS));
	rfc_arrives(f, c, IN(.flags = MR_RST | MR_ACK, .ack = RFC_ISS + 2));
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f->n_sent, 0);
	assert_int_not_equal(mr_conn_next_deadline(c), 0);
}

static void closed_block_rst_is_dropped_in_silence(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c;

	c = rfc_conn_in(f, MR_ESTABLISHED);
	rfc_arrives(f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
	assert_int_equal(rfc_arrives(f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt)),
			 MR_DROP_TCP_RST_UNKNOWN);
	assert_int_equal(f->events[MR_EVENT_CLOSED], 1);
	assert_int_equal(f->n_sent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established_rst_at_rcv_nxt_resets),
		TEST(established_rst_inside_window_gets_challenge_ack),
		TEST(established_rst_outside_window_is_dropped_in_silence),
		cmocka_unit_test(synchronised_rst_at_rcv_nxt_resets),
		cmocka_unit_test(closing_rst_at_rcv_nxt_ends_without_error),
		cmocka_unit_test(closing_rst_with_unread_text_fin_counts_across_the_wrap),
		cmocka_unit_test(every_state_rst_inside_window_gets_challenge_ack),
		cmocka_unit_test(every_state_rst_outside_window_is_dropped_in_silence),
		TEST(established_rst_with_any_ack_resets),
		TEST(established_rst_flushes_all_queues),
		TEST(syn_received_passive_rst_is_reset_active_is_refused),
		TEST(syn_sent_rst_with_acceptable_ack_is_refused),
		TEST(syn_sent_rst_without_acceptable_ack_is_dropped_in_silence),
		TEST(closed_block_rst_is_dropped_in_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
