/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.6 (closing), 3.10.4 (CLOSE call) and 3.10.5 (ABORT call): what leaves.
 */
#include "tests/unit/rfc_words.h"

static uint8_t text[40 * RFC_MSS];

static struct mr_conn *start(struct rfc *f, enum mr_tcp_state state)
{
	rfc_fill(text, sizeof(text));
	rfc_init(f);
	return rfc_conn_in(f, state);
}

static void shut(struct rfc *f, struct mr_conn *c)
{
	mr_tcp_shutdown_send(&f->tcp, c);
	rfc_output(f, c);
}

/* ----- FIN ----- */

static void established_close_sends_fin_and_waits(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	shut(&f, c);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	assert_int_equal(c->snd_nxt, RFC_ISS + 2);
	ack(&f, c, RFC_ISS + 2);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	rfc_fini(&f);
}

static void close_wait_close_sends_fin_and_ends_with_its_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_CLOSE_WAIT);

	(void)state;
	rfc_send(&f, c, text, 100);
	shut(&f, c);
	assert_int_equal(c->state, MR_LAST_ACK);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	ack(&f, c, RFC_ISS + 1 + 100);
	assert_int_equal(c->state, MR_LAST_ACK);
	ack(&f, c, RFC_ISS + 1 + 101);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_DONE);
	rfc_fini(&f);
}

/*
 * "Queue this until all preceding SENDs have been segmentized, then form a FIN segment and send it"
 */
static void established_close_behind_queued_text_fin_is_last(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t next = RFC_ISS + 1;

	(void)state;
	rfc_send(&f, c, text, 25 * RFC_MSS + 100);
	shut(&f, c);
	assert_int_equal(f.n_sent, 10);
	for (unsigned int i = 0; i < f.n_sent; i++) {
		const struct rfc_sent *s = &f.sent[i];
		bool last = i == 25;

		assert_int_equal(s->seq, next);
		assert_memory_equal(s->text, text + (next - RFC_ISS - 1), s->len);
		assert_int_equal(!!(s->flags & MR_FIN), last);
		next += s->len;
		ack(&f, c, next + last);
	}
	assert_int_equal(next, RFC_ISS + 1 + 25 * RFC_MSS + 100);
	assert_int_equal(f.n_sent, 26);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

static void established_second_close_sends_no_second_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	shut(&f, c);
	shut(&f, c);
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_fini(&f);
}

static void fin_wait_1_timeout_sends_fin_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t rto = 1000;

	(void)state;
	shut(&f, c);
	for (unsigned int i = 2; i <= 6; i++, rto *= 2) {
		rfc_advance(&f, c, rto);
		assert_int_equal(f.n_sent, i);
		assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
		assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	}
	assert_int_equal(c->snd_nxt, RFC_ISS + 2);
	ack(&f, c, RFC_ISS + 2);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* Text and FIN lost: the segment that carried both goes again with both. */
static void fin_wait_1_timeout_sends_text_with_fin_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text + 10, 20); /* Nagle holds it for the FIN */
	shut(&f, c);
	ack(&f, c, RFC_ISS + 11);
	rfc_forget(&f);
	rfc_advance(&f, c, c->rto_ms);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 11);
	assert_int_equal(rfc_last(&f)->len, 20);
	assert_true(rfc_last(&f)->flags & MR_FIN);
	ack(&f, c, RFC_ISS + 32);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* The FIN alone was lost: fast retransmit and the timer find no text and send it. */
static void fin_wait_1_text_acked_only_fin_is_sent_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 10);
	shut(&f, c);
	assert_int_equal(f.n_sent, 2);
	ack(&f, c, RFC_ISS + 11);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_forget(&f);
	rfc_advance(&f, c, c->rto_ms);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 11);
	rfc_fini(&f);
}

static void fin_wait_1_never_acked_closes_after_r2(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	shut(&f, c);
	rfc_advance(&f, c, 100000);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_advance(&f, c, 3600000);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_TIMEOUT);
	rfc_fini(&f);
}

/* A FIN is not text: a window of zero does not hold it back when all text has left. */
static void established_zero_window_nothing_queued_fin_leaves(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	ack_window(&f, c, c->snd_una, 0);
	shut(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	rfc_fini(&f);
}

/* Queued text goes first, and the window holds it: probes, then text and FIN. */
static void established_zero_window_text_queued_fin_waits_behind_it(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	ack_window(&f, c, c->snd_una, 0);
	rfc_send(&f, c, text, 100);
	shut(&f, c);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 1);
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, 0);
	ack_window(&f, c, RFC_ISS + 1, 1000);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 100);
	assert_true(rfc_last(&f)->flags & MR_FIN);
	ack(&f, c, RFC_ISS + 102);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* The only byte that was left is taken by a probe: the FIN must still come. */
static void established_probe_takes_last_byte_fin_follows(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	ack_window(&f, c, c->snd_una, 0);
	rfc_send(&f, c, text, 1);
	shut(&f, c);
	rfc_advance(&f, c, 1000);
	assert_int_equal(rfc_last(&f)->len, 1);
	ack_window(&f, c, RFC_ISS + 2, 0);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 2);
	ack(&f, c, RFC_ISS + 3);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* Text lost before the FIN: recovery resends it, the FIN is not sent in its place. */
static void fin_wait_1_dupacks_resend_text_before_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, 5 * RFC_MSS);
	shut(&f, c);
	rfc_forget(&f);
	for (int i = 0; i < 3; i++)
		ack(&f, c, RFC_ISS + 1);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	assert_int_equal(rfc_last(&f)->len, RFC_MSS);
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, 0);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* ----- orphans in FIN-WAIT-2 ----- */

static void fin_wait_2_orphan_peer_never_closes_ends(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	ack(&f, c, RFC_ISS + 2);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_advance(&f, c, f.config.fin_wait_ms - 1);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_FIN_WAIT);
	rfc_fini(&f);
}

/* With an application that still reads, a half-closed connection may stay (3.6, case 1). */
static void fin_wait_2_with_application_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	shut(&f, c);
	ack(&f, c, RFC_ISS + 2);
	rfc_advance(&f, c, 24 * 3600000);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	mr_tcp_close_call(&f.tcp, c); /* from now on it is an orphan */
	rfc_advance(&f, c, f.config.fin_wait_ms);
	assert_int_equal(c->state, MR_CLOSED);
	rfc_fini(&f);
}

static void fin_wait_2_orphan_peer_closes_is_time_wait(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	ack(&f, c, RFC_ISS + 2);
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_FIN | MR_ACK, .seq = c->rcv_nxt });
	assert_int_equal(c->state, MR_TIME_WAIT);
	assert_int_equal(f.events[MR_EVENT_TIME_WAIT], 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 2);
	rfc_fini(&f);
}

/* ----- ABORT ----- */

/* 3.10.5: <SEQ=SND.NXT><CTL=RST> */
static void synchronised_abort_sends_rst_with_snd_nxt(void **state)
{
	static const enum mr_tcp_state states[] = {
		MR_SYN_RECEIVED, MR_ESTABLISHED, MR_FIN_WAIT_1, MR_FIN_WAIT_2, MR_CLOSE_WAIT,
	};
	struct rfc f;

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct mr_conn *c = start(&f, states[i]);
		uint32_t snd_nxt = c->snd_nxt;

		mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(c->close_reason, MR_CLOSE_ABORTED);
		assert_int_equal(f.n_sent, 1);
		assert_true(rfc_last(&f)->flags & MR_RST);
		assert_int_equal(rfc_last(&f)->seq, snd_nxt);
		assert_int_equal(mr_conn_next_deadline(c), 0);
		rfc_fini(&f);
	}
}

/* SYN-SENT: delete the TCB; CLOSING, LAST-ACK, TIME-WAIT: "respond ok", nothing to send */
static void other_states_abort_sends_nothing(void **state)
{
	static const enum mr_tcp_state states[] = {
		MR_SYN_SENT,
		MR_CLOSING,
		MR_LAST_ACK,
		MR_TIME_WAIT,
	};
	struct rfc f;

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct mr_conn *c = start(&f, states[i]);

		mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(f.n_sent, 0);
		rfc_fini(&f);
	}
}

static void established_abort_drops_both_queues(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);
	uint32_t before = f.frames.n_free;

	(void)state;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK,
				      .seq = c->rcv_nxt,
				      .ack = c->snd_una,
				      .text = text,
				      .len = 1000 });
	mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1 + 10 * RFC_MSS);
	assert_int_equal(f.frames.n_free, before);
	rfc_fini(&f);
}

/* SHLD-3: "a TCP ... SHOULD send a RST to show that data was lost": unread text is thrown away */
static void established_close_with_unread_text_is_an_abort(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(
		&f, c,
		&(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt, .text = text, .len = 1000 });
	mr_tcp_close_call(&f.tcp, c);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_UNREAD);
	assert_true(rfc_last(&f)->flags & MR_RST);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_close_sends_fin_and_waits),
		cmocka_unit_test(close_wait_close_sends_fin_and_ends_with_its_ack),
		cmocka_unit_test(established_close_behind_queued_text_fin_is_last),
		cmocka_unit_test(established_second_close_sends_no_second_fin),
		cmocka_unit_test(fin_wait_1_timeout_sends_fin_again),
		cmocka_unit_test(fin_wait_1_timeout_sends_text_with_fin_again),
		cmocka_unit_test(fin_wait_1_text_acked_only_fin_is_sent_again),
		cmocka_unit_test(fin_wait_1_never_acked_closes_after_r2),
		cmocka_unit_test(established_zero_window_nothing_queued_fin_leaves),
		cmocka_unit_test(established_zero_window_text_queued_fin_waits_behind_it),
		cmocka_unit_test(established_probe_takes_last_byte_fin_follows),
		cmocka_unit_test(fin_wait_1_dupacks_resend_text_before_fin),
		cmocka_unit_test(fin_wait_2_orphan_peer_never_closes_ends),
		cmocka_unit_test(fin_wait_2_with_application_stays),
		cmocka_unit_test(fin_wait_2_orphan_peer_closes_is_time_wait),
		cmocka_unit_test(synchronised_abort_sends_rst_with_snd_nxt),
		cmocka_unit_test(other_states_abort_sends_nothing),
		cmocka_unit_test(established_abort_drops_both_queues),
		cmocka_unit_test(established_close_with_unread_text_is_an_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
