/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.8.6 (the peer's window, MUST-34, SHLD-15 to SHLD-17), 3.8.6.1 (zero-window probes,
 * MUST-35 to MUST-37, SHLD-29 and SHLD-30) and 3.8.6.2.1 (sender's silly window, MUST-38).
 */
#include "tests/unit/rfc_words.h"

static uint8_t text[40 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	rfc_fill(text, sizeof(text));
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

/* Sequence number of byte @n of the stream. */
static uint32_t byte(uint32_t n)
{
	return RFC_ISS + 1 + n;
}

/* A peer whose window was never larger than @wnd. */
static void small_window(struct rfc *f, struct mr_conn *c, uint16_t wnd)
{
	c->max_snd_wnd = wnd;
	ack_window(f, c, c->snd_una, wnd);
	rfc_forget(f);
}

/* Segments that were sent since rfc_forget() hold @text's bytes and end before @edge. */
static void assert_inside(const struct rfc *f, uint32_t edge)
{
	for (unsigned int i = 0; i < f->n_sent; i++) {
		const struct rfc_sent *s = &f->sent[i];

		assert_true(mr_seq_le(s->seq + s->len, edge));
		if (s->len)
			assert_memory_equal(s->text, text + (s->seq - byte(0)), s->len);
	}
}

/* ----- the window ----- */

static void established_window_lets_out_that_much(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 3000);
	rfc_send(&f, c, text, 10 * RFC_MSS);
	assert_int_equal(f.n_sent, 2); /* 80 bytes more would be a silly segment */
	assert_inside(&f, byte(3000));
	ack_window(&f, c, byte(RFC_MSS), 3000);
	assert_int_equal(f.n_sent, 3);
	assert_inside(&f, byte(RFC_MSS + 3000));
	rfc_fini(&f);
}

static void established_window_of_100_bytes_sends_100_bytes(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	static const uint32_t sizes[] = { 100, 100, 50 };
	uint32_t at = 0;

	(void)state;
	small_window(&f, c, 100);
	rfc_send(&f, c, text, 250);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(f.n_sent, i + 1);
		assert_int_equal(rfc_last(&f)->seq, byte(at));
		assert_int_equal(rfc_last(&f)->len, sizes[i]);
		assert_memory_equal(rfc_last(&f)->text, text + at, sizes[i]);
		at += sizes[i];
		ack_window(&f, c, byte(at), 100);
	}
	assert_int_equal(f.n_sent, 3);
	rfc_fini(&f);
}

static void established_window_of_one_byte_sends_one_byte(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	small_window(&f, c, 1);
	rfc_send(&f, c, text, 20);
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(f.n_sent, i + 1);
		assert_int_equal(rfc_last(&f)->seq, byte(i));
		assert_int_equal(rfc_last(&f)->len, 1);
		assert_int_equal(rfc_last(&f)->text[0], text[i]);
		ack_window(&f, c, byte(i + 1), 1);
	}
	assert_int_equal(f.n_sent, 20);
	rfc_fini(&f);
}

/* Any window and any ACK: never a byte beyond the right edge, and all arrives. */
static void established_any_windows_no_byte_beyond_the_edge(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t seed = 12345, edge = byte(65535);

	(void)state;
	rfc_send(&f, c, text, sizeof(text));
	for (int i = 0; i < 3000 && c->tx_bytes; i++) {
		uint32_t flight = c->snd_nxt - c->snd_una;
		uint32_t una, wnd;

		assert_inside(&f, edge);
		seed = seed * 1664525 + 1013904223;
		una = c->snd_una + (flight ? seed % (flight + 1) : 0);
		wnd = max_u32(edge - una, (seed >> 8) % 4000); /* it does not shrink here */
		wnd = min_u32(wnd, 65535);
		edge = una + wnd;
		rfc_forget(&f);
		ack_window(&f, c, una, (uint16_t)wnd);
		assert_inside(&f, edge);
		rfc_advance(&f, c, 50);
	}
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* 3.10.7.4: SND.WL1 and SND.WL2 "prevent using old segments to update the window" */
static void established_older_ack_leaves_the_window(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	ack_window(&f, c, byte(2 * RFC_MSS), 5000);
	ack_window(&f, c, byte(RFC_MSS), 60000);
	assert_int_equal(c->snd_wnd, 5000);
	rfc_fini(&f);
}

static void established_scaled_window_is_shifted(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->snd_shift = 7;
	ack_window(&f, c, byte(0), 1000);
	assert_int_equal(c->snd_wnd, 128000);
	rfc_fini(&f);
}

/* ----- 3.8.6.2.1, silly window ----- */

static void established_small_part_waits_for_override(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 1000);
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 99);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 901); /* "0.1 - 1.0 seconds" */
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 1000);
	assert_inside(&f, byte(1000));
	ack_window(&f, c, byte(1000), 1000);
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->seq, byte(1000));
	assert_int_equal(rfc_last(&f)->len, 460);
	rfc_fini(&f);
}

/* A long round trip does not make the override longer than a second. */
static void established_override_with_long_rto_within_a_second(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->rto_ms = 20000;
	ack_window(&f, c, byte(0), 1000);
	rfc_send(&f, c, text, RFC_MSS);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 1000);
	rfc_fini(&f);
}

/* (3): at least half of the largest window, with nothing in flight */
static void established_half_of_the_largest_window_leaves_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	small_window(&f, c, 1000);
	ack_window(&f, c, byte(0), 499);
	rfc_send(&f, c, text, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	ack_window(&f, c, byte(0), 500);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 500);
	rfc_fini(&f);
}

/* (2): all that is queued fits */
static void established_last_text_that_fits_leaves_at_once(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 300);
	rfc_send(&f, c, text, 300);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 300);
	rfc_fini(&f);
}

static void established_window_opens_before_override(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 1000);
	rfc_send(&f, c, text, RFC_MSS);
	rfc_advance(&f, c, 50);
	ack_window(&f, c, byte(0), 20000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, RFC_MSS);
	rfc_fini(&f);
}

/* ----- 3.8.6.1, zero window ----- */

static void assert_probe(struct rfc *f, uint32_t n)
{
	const struct rfc_sent *s = rfc_last(f);

	assert_int_equal(s->seq, byte(n));
	assert_int_equal(s->len, 1);
	assert_int_equal(s->text[0], text[n]);
	assert_int_equal(s->flags & MR_ACK, MR_ACK);
}

/* SHLD-29: the first after the retransmission timeout; SHLD-30: exponentially longer */
static void established_zero_window_is_probed_with_one_byte(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t wait = 1000;

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	assert_int_equal(f.n_sent, 0);
	for (unsigned int i = 0; i < 10; i++) {
		rfc_advance(&f, c, wait - 1);
		assert_int_equal(f.n_sent, i);
		rfc_advance(&f, c, 1);
		assert_int_equal(f.n_sent, i + 1);
		assert_probe(&f, 0);
		ack_window(&f, c, byte(0), 0);
		wait = min_u32(2 * wait, MR_RTO_MAX_MS);
	}
	assert_int_equal(f.stats.window_probes, 10);
	assert_int_equal(f.stats.retransmit_timeouts, 0);
	rfc_fini(&f);
}

/* MUST-37: as long as the peer answers, the connection stays open */
static void established_answered_probes_go_on_for_ever(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	for (unsigned int i = 0; i < 300; i++) {
		rfc_advance(&f, c, MR_RTO_MAX_MS);
		ack_window(&f, c, byte(0), 0);
	}
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_true(f.stats.window_probes >= 300);
	assert_int_equal(c->tx_bytes, 100);
	rfc_fini(&f);
}

/*
 * But not when nobody is left to whom it belongs: else a peer that reads nothing and answers holds
 * the block and its text for ever. As long as the probes' back-off grows it may change its mind.
 */
static void orphan_at_window_zero_is_given_up(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	unsigned int i;

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	for (i = 0; i < 60; i++) { /* a minute */
		rfc_advance(&f, c, 1000);
		ack_window(&f, c, byte(0), 0);
	}
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	for (i = 0; i < 600 && c->state != MR_CLOSED; i++) {
		rfc_advance(&f, c, 1000);
		if (c->state != MR_CLOSED)
			ack_window(&f, c, byte(0), 0);
	}
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_TIMEOUT);
	assert_int_equal(rfc_last(&f)->flags & MR_RST, MR_RST);
	rfc_fini(&f);
}

/* A window that opens by a segment every minute begins the back-off anew each time. */
static void orphan_whose_window_opens_goes_on(void **state)
{
	enum { SEGMENTS = 8 };
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, SEGMENTS * RFC_MSS);
	mr_tcp_close_call(&f.tcp, c);
	rfc_output(&f, c);
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		rfc_advance(&f, c, 35000);
		ack_window(&f, c, byte(i * RFC_MSS), 0); /* the probe's byte is not taken */
		rfc_advance(&f, c, 30000);
		ack_window(&f, c, byte(i * RFC_MSS), RFC_MSS);
		assert_int_equal(c->state, MR_FIN_WAIT_1);
		assert_int_equal(rfc_last(&f)->len, RFC_MSS);
		ack_window(&f, c, byte((i + 1) * RFC_MSS), 0);
	}
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, MR_FIN);
	ack_window(&f, c, c->snd_nxt, 0);
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	rfc_fini(&f);
}

/* Without an answer it is a dead peer like any other. */
static void established_unanswered_probes_close_after_r2(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	rfc_advance(&f, c, 100000);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(&f, c, 3600000);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_TIMEOUT);
	rfc_fini(&f);
}

/* The probe's byte is on its way: without room for its text the timer must see to it (RFC
 * 6298 5.1). */
static void probing_window_opens_without_room_timer_runs(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	rfc_advance(&f, c, 3000);
	f.no_room = true;
	ack_window(&f, c, byte(0), 1000);
	assert_int_equal(c->snd_nxt - c->snd_una, 1);
	assert_int_not_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	f.no_room = false;
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, byte(0));
	assert_int_equal(rfc_last(&f)->len, 100);
	ack_window(&f, c, byte(100), 1000);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

static void probing_window_opens_sends_all_text(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	rfc_advance(&f, c, 3000); /* two probes */
	rfc_forget(&f);
	ack_window(&f, c, byte(0), 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, byte(0));
	assert_int_equal(rfc_last(&f)->len, 100);
	assert_memory_equal(rfc_last(&f)->text, text, 100);
	rfc_advance(&f, c, 999);
	assert_int_equal(f.n_sent, 1);
	rfc_advance(&f, c, 1); /* the retransmission timer, not backed off by probes */
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 100);
	ack_window(&f, c, byte(100), 1000);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

static void probing_peer_takes_the_byte_probes_the_next(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 100);
	for (uint32_t i = 0; i < 5; i++) {
		unsigned int before = f.n_sent;

		rfc_advance(&f, c, MR_RTO_MAX_MS);
		assert_true(f.n_sent > before);
		assert_probe(&f, i);
		ack_window(&f, c, byte(i + 1), 0);
	}
	assert_int_equal(c->tx_bytes, 95);
	rfc_forget(&f);
	ack_window(&f, c, byte(5), 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, byte(5));
	assert_int_equal(rfc_last(&f)->len, 95);
	assert_memory_equal(rfc_last(&f)->text, text + 5, 95);
	rfc_fini(&f);
}

static void established_window_closes_behind_acked_text_is_probed(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, byte(0), 2 * RFC_MSS);
	rfc_send(&f, c, text, 3 * RFC_MSS);
	assert_int_equal(f.n_sent, 2);
	ack_window(&f, c, byte(2 * RFC_MSS), 0);
	rfc_forget(&f);
	rfc_advance(&f, c, 5000);
	assert_true(f.n_sent > 0);
	assert_probe(&f, 2 * RFC_MSS);
	rfc_fini(&f);
}

static void established_nothing_queued_zero_window_is_not_probed(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, RFC_MSS);
	ack_window(&f, c, byte(RFC_MSS), 0);
	rfc_forget(&f);
	rfc_advance(&f, c, 1000000);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* ----- MUST-34: a peer that takes its window back ----- */

static void established_window_shrinks_old_text_inside_is_resent(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 5 * RFC_MSS);
	ack_window(&f, c, byte(0), 2 * RFC_MSS);
	rfc_forget(&f);
	rfc_send(&f, c, text + 5 * RFC_MSS, RFC_MSS);
	assert_int_equal(f.n_sent, 0); /* SHLD-15 */
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1); /* SHLD-16 */
	assert_int_equal(rfc_last(&f)->seq, byte(0));
	ack_window(&f, c, byte(RFC_MSS), RFC_MSS);
	assert_int_equal(f.n_sent, 2);
	assert_inside(&f, byte(2 * RFC_MSS));
	ack_window(&f, c, byte(2 * RFC_MSS), 10 * RFC_MSS);
	for (uint32_t i = 3; i <= 6; i++)
		ack_window(&f, c, byte(i * RFC_MSS), 10 * RFC_MSS);
	assert_int_equal(c->tx_bytes, 0);
	assert_inside(&f, byte(6 * RFC_MSS));
	rfc_fini(&f);
}

/* "If the window shrinks to zero, the TCP implementation MUST probe it in the standard way." */
static void established_window_shrinks_to_zero_is_probed_and_stays_open(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 5 * RFC_MSS);
	ack_window(&f, c, byte(0), 0);
	rfc_forget(&f);
	for (unsigned int i = 0; i < 60; i++) {
		rfc_advance(&f, c, MR_RTO_MAX_MS);
		ack_window(&f, c, byte(0), 0);
	}
	assert_int_equal(c->state, MR_ESTABLISHED); /* SHLD-17 */
	assert_true(f.stats.window_probes >= 50);
	assert_probe(&f, 0);
	assert_inside(&f, byte(1));
	for (uint32_t i = 0; i <= 5; i++)
		ack_window(&f, c, byte(i * RFC_MSS), 10 * RFC_MSS);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_window_lets_out_that_much),
		cmocka_unit_test(established_window_of_100_bytes_sends_100_bytes),
		cmocka_unit_test(established_window_of_one_byte_sends_one_byte),
		cmocka_unit_test(established_any_windows_no_byte_beyond_the_edge),
		cmocka_unit_test(established_older_ack_leaves_the_window),
		cmocka_unit_test(established_scaled_window_is_shifted),
		cmocka_unit_test(established_small_part_waits_for_override),
		cmocka_unit_test(established_override_with_long_rto_within_a_second),
		cmocka_unit_test(established_half_of_the_largest_window_leaves_at_once),
		cmocka_unit_test(established_last_text_that_fits_leaves_at_once),
		cmocka_unit_test(established_window_opens_before_override),
		cmocka_unit_test(established_zero_window_is_probed_with_one_byte),
		cmocka_unit_test(established_answered_probes_go_on_for_ever),
		cmocka_unit_test(orphan_at_window_zero_is_given_up),
		cmocka_unit_test(orphan_whose_window_opens_goes_on),
		cmocka_unit_test(established_unanswered_probes_close_after_r2),
		cmocka_unit_test(probing_window_opens_sends_all_text),
		cmocka_unit_test(probing_window_opens_without_room_timer_runs),
		cmocka_unit_test(probing_peer_takes_the_byte_probes_the_next),
		cmocka_unit_test(established_window_closes_behind_acked_text_is_probed),
		cmocka_unit_test(established_nothing_queued_zero_window_is_not_probed),
		cmocka_unit_test(established_window_shrinks_old_text_inside_is_resent),
		cmocka_unit_test(established_window_shrinks_to_zero_is_probed_and_stays_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
