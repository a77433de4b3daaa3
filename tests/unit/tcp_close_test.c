/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.6 and 3.10.4 (CLOSE), 3.10.7.4 fifth and eighth step in the closing states, figures 5,
 * 12 and 13; half close both ways; SHLD-3 and RFC 2525 2.17 (RST when text is not read).
 */
#include "tests/unit/tcp_fixture.h"

#include <errno.h>

static void fin_arrives(struct rfc *f, struct mr_conn *c, uint32_t ack)
{
	arrives(f, c, .flags = MR_FIN | MR_ACK, .seq = c->rcv_nxt, .ack = ack);
}

static void established_close_sends_fin_and_waits(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	mr_tcp_close_call(&f->tcp, c);
	rfc_output(f, c);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
	assert_int_equal(c->snd_nxt, RFC_ISS + 2);
}

static void established_close_with_text_queued_fin_goes_with_the_last_byte(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	assert_int_equal(mr_tcp_send_call(&f->tcp, c, tcp_bytes(0, 2000), 2000), 2000);
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(f->sent[0].flags & MR_FIN, 0);
	assert_int_equal(rfc_last(f)->flags, MR_FIN | MR_PSH | MR_ACK);
	assert_int_equal(rfc_last(f)->seq + rfc_last(f)->len, RFC_ISS + 1 + 2000);
	assert_int_equal(mr_tcp_send_call(&f->tcp, c, "x", 1), -EPIPE);
}

static void established_close_after_reserving_sends_fin_all_the_same(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t room;

	rfc_send(f, c, tcp_bytes(0, 1460), 1460);
	assert_non_null(mr_tcp_reserve(&f->tcp, c, &room));
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
	assert_int_equal(rfc_last(f)->flags & MR_FIN, MR_FIN);
	mr_tcp_commit(&f->tcp, c, 1); /* too late: nothing follows a FIN */
	assert_int_equal(c->tx_bytes, 1460);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void time_wait_after_reserving_holds_no_frame(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t room;

	assert_non_null(mr_tcp_reserve(&f->tcp, c, &room));
	mr_tcp_close_call(&f->tcp, c);
	rfc_output(f, c);
	fin_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void fin_wait_1_ack_of_fin_goes_to_fin_wait_2(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_1);

	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
}

static void fin_wait_1_ack_of_text_only_stays(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, "abc", 3);
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
	tcp_ack_arrives(f, c, RFC_ISS + 4);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_not_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
}

static void fin_wait_1_fin_with_ack_of_fin_goes_to_time_wait(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_1);

	fin_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 2);
	assert_int_equal(f->events[MR_EVENT_TIME_WAIT], 1);
}

/* Figure 13: both close at once. */
static void fin_wait_1_fin_without_ack_of_fin_goes_to_closing(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_1);

	fin_arrives(f, c, c->snd_una);
	assert_int_equal(c->state, MR_CLOSING);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 2);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_TIME_WAIT);
}

static void fin_wait_2_fin_goes_to_time_wait(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_2);

	fin_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(mr_conn_next_deadline(c), 0);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 2);
}

static void established_fin_goes_to_close_wait_and_is_acknowledged(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	fin_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->ack, RFC_IRS + 2);
	assert_int_equal(f->events[MR_EVENT_READABLE], 1);
}

static void close_wait_close_goes_to_last_ack_and_its_ack_ends(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_CLOSE_WAIT);

	mr_tcp_close_call(&f->tcp, c);
	rfc_output(f, c);
	assert_int_equal(c->state, MR_LAST_ACK);
	assert_int_equal(rfc_last(f)->flags, MR_FIN | MR_ACK);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_DONE);
	assert_int_equal(f->events[MR_EVENT_CLOSED], 1);
}

/* Half close, our side: text of the peer still arrives and is read. */
static void fin_wait_2_text_is_read(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_2);
	uint8_t bytes[10];

	tcp_text_arrives(f, c, 0, 5, 0);
	assert_int_equal(rfc_read(f, c, bytes, sizeof(bytes)), 5);
	assert_memory_equal(bytes, tcp_bytes(0, 5), 5);
}

/* Half close, the peer's side: we still send. */
static void close_wait_text_is_sent(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_CLOSE_WAIT);

	assert_int_equal(rfc_send(f, c, "hello", 5), 5);
	assert_int_equal(rfc_last(f)->len, 5);
	assert_memory_equal(rfc_last(f)->text, "hello", 5);
}

/* What the peer sent before its FIN is not lost because our own FIN was acknowledged. */
static void last_ack_unread_text_is_read_before_the_end(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint8_t bytes[100];

	tcp_text_arrives(f, c, 0, 100, MR_FIN);
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_LAST_ACK);
	assert_int_equal(mr_conn_next_deadline(c), 0);
	assert_int_equal(rfc_read(f, c, bytes, 40), 40);
	assert_int_equal(c->state, MR_LAST_ACK);
	assert_int_equal(rfc_read(f, c, bytes, 60), 60);
	assert_memory_equal(bytes, tcp_bytes(40, 60), 60);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_DONE);
}

static void last_ack_close_with_unread_text_ends(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 0, 100, MR_FIN);
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
	tcp_ack_arrives(f, c, c->snd_nxt);
	mr_tcp_close_call(&f->tcp, c);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void established_close_with_unread_text_sends_rst(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 0, 10, 0);
	mr_tcp_close_call(&f->tcp, c);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_UNREAD);
	assert_int_equal(rfc_last(f)->flags, MR_RST | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, c->snd_nxt);
}

/* A block in TIME-WAIT becomes a record only when nothing is left to read: a close drops it. */
static void time_wait_close_with_unread_text_drops_it(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_2);

	tcp_text_arrives(f, c, 0, 10, MR_FIN);
	assert_int_equal(c->state, MR_TIME_WAIT);
	mr_tcp_close_call(&f->tcp, c);
	assert_int_equal(c->rx_bytes, 0);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void refuses_text(struct rfc *f, struct mr_conn *c)
{
	assert_int_equal(tcp_text_arrives(f, c, 0, 10, 0), MR_DROP_TCP_AFTER_SHUTDOWN);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(rfc_last(f)->flags & MR_RST, MR_RST);
}

static void fin_wait_2_text_after_close_gets_rst(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	mr_tcp_close_call(&f->tcp, c);
	rfc_output(f, c);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	refuses_text(f, c);
}

static void established_text_after_shutdown_receive_gets_rst(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	mr_tcp_shutdown_receive(&f->tcp, c);
	refuses_text(f, c);
}

static void established_duplicate_text_after_shutdown_receive_is_acknowledged(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	tcp_text_arrives(f, c, 0, 10, 0);
	mr_tcp_shutdown_receive(&f->tcp, c);
	rfc_output(f, c);
	tcp_text_arrives(f, c, 0, 10, 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
}

/* FIN again, in every state that knows it: ACK, and no other change. */
static void closing_states_fin_again_is_acknowledged(void **state)
{
	static const enum mr_tcp_state states[] = { MR_CLOSE_WAIT, MR_CLOSING, MR_LAST_ACK,
						    MR_TIME_WAIT };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct rfc *f = *state;
		struct mr_conn *c = rfc_conn_in(f, states[i]);

		rfc_forget(f);
		arrives(f, c, .flags = MR_FIN | MR_ACK, .seq = c->rcv_nxt - 1, .ack = c->snd_una);
		assert_int_equal(c->state, states[i]);
		assert_int_equal(f->n_sent, 1);
		assert_int_equal(rfc_last(f)->ack, RFC_IRS + 2);
	}
}

static void fin_wait_2_orphan_ends_after_its_time(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	mr_tcp_close_call(&f->tcp, c);
	rfc_output(f, c);
	tcp_ack_arrives(f, c, c->snd_nxt);
	rfc_advance(f, c, f->config.fin_wait_ms - 1);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_advance(f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_FIN_WAIT);
}

static void fin_wait_2_not_closed_by_the_application_stays(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_FIN_WAIT_2);

	rfc_advance(f, c, 10 * f->config.fin_wait_ms);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
}

/* 3.10.5: RST where the peer knows us. */
static void abort_sends_rst_in_the_states_that_the_rfc_names(void **state)
{
	static const struct {
		enum mr_tcp_state state;
		unsigned int rst;
	} cases[] = {
		{ MR_SYN_SENT, 0 },   { MR_SYN_RECEIVED, 1 }, { MR_ESTABLISHED, 1 },
		{ MR_FIN_WAIT_1, 1 }, { MR_FIN_WAIT_2, 1 },   { MR_CLOSE_WAIT, 1 },
		{ MR_CLOSING, 0 },    { MR_LAST_ACK, 0 },     { MR_TIME_WAIT, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rfc *f = *state;
		struct mr_conn *c = rfc_conn_in(f, cases[i].state);

		rfc_forget(f);
		mr_tcp_abort_call(&f->tcp, c, MR_CLOSE_ABORTED);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(f->n_sent, cases[i].rst);
		if (cases[i].rst) {
			assert_int_equal(rfc_last(f)->flags & MR_RST, MR_RST);
			assert_int_equal(rfc_last(f)->seq, c->snd_nxt);
		}
	}
}

static void last_ack_fin_is_sent_again_until_acknowledged(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_LAST_ACK);

	rfc_advance(f, c, 1000);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established_close_sends_fin_and_waits),
		TEST(established_close_with_text_queued_fin_goes_with_the_last_byte),
		TEST(established_close_after_reserving_sends_fin_all_the_same),
		TEST(time_wait_after_reserving_holds_no_frame),
		TEST(fin_wait_1_ack_of_fin_goes_to_fin_wait_2),
		TEST(fin_wait_1_ack_of_text_only_stays),
		TEST(fin_wait_1_fin_with_ack_of_fin_goes_to_time_wait),
		TEST(fin_wait_1_fin_without_ack_of_fin_goes_to_closing),
		TEST(fin_wait_2_fin_goes_to_time_wait),
		TEST(established_fin_goes_to_close_wait_and_is_acknowledged),
		TEST(close_wait_close_goes_to_last_ack_and_its_ack_ends),
		TEST(fin_wait_2_text_is_read),
		TEST(close_wait_text_is_sent),
		TEST(last_ack_unread_text_is_read_before_the_end),
		TEST(last_ack_close_with_unread_text_ends),
		TEST(established_close_with_unread_text_sends_rst),
		TEST(time_wait_close_with_unread_text_drops_it),
		TEST(fin_wait_2_text_after_close_gets_rst),
		TEST(established_text_after_shutdown_receive_gets_rst),
		TEST(established_duplicate_text_after_shutdown_receive_is_acknowledged),
		TEST(closing_states_fin_again_is_acknowledged),
		TEST(fin_wait_2_orphan_ends_after_its_time),
		TEST(fin_wait_2_not_closed_by_the_application_stays),
		TEST(abort_sends_rst_in_the_states_that_the_rfc_names),
		TEST(last_ack_fin_is_sent_again_until_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
