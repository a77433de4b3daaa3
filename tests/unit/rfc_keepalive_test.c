/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.8.4, TCP keepalive probes: MUST-24 to MUST-29, SHLD-12. */
#include "tests/unit/rfc_words.h"

enum {
	IDLE_S = 100,
	INTERVAL_S = 10,
	COUNT = 3,
};

static struct mr_conn *start(struct rfc *f)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_in(f, MR_ESTABLISHED);
	mr_tcp_set_keepalive(&f->tcp, c, IDLE_S, INTERVAL_S, COUNT);
	return c;
}

/* SEG.SEQ = SND.NXT-1, "with no data" (SHLD-12) */
static void assert_probe(struct rfc *f, const struct mr_conn *c)
{
	const struct rfc_sent *s = rfc_last(f);

	assert_int_equal(s->seq, c->snd_nxt - 1);
	assert_int_equal(s->len, 0);
	assert_int_equal(s->flags, MR_ACK);
	assert_int_equal(s->ack, c->rcv_nxt);
}

/* MUST-25: off by default; MUST-28: two hours at least */
static void established_by_default_no_probe(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_advance(&f, c, 30 * 3600000);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_fini(&f);
}

/* MUST-24: turned on and off for each connection */
static void established_turned_off_again_no_probe(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	mr_tcp_set_keepalive(&f.tcp, c, 0, INTERVAL_S, COUNT);
	rfc_advance(&f, c, 10 * IDLE_S * 1000);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void established_idle_sends_probe_after_the_interval(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_advance(&f, c, IDLE_S * 1000 - 1);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 1);
	assert_int_equal(f.n_sent, 1);
	assert_probe(&f, c);
	assert_int_equal(f.stats.keepalive_probes, 1);
	rfc_fini(&f);
}

/*
 * MUST-26: "no sent data is outstanding, and no data or acknowledgment packets have been received"
 */
static void established_segment_received_puts_probe_off(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_advance(&f, c, IDLE_S * 1000 - 1000);
	ack(&f, c, c->snd_nxt);
	rfc_advance(&f, c, IDLE_S * 1000 - 1);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 1);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

static void established_data_outstanding_no_probe(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_advance(&f, c, IDLE_S * 1000 - 500);
	rfc_send(&f, c, "x", 1);
	rfc_advance(&f, c, IDLE_S * 1000);
	assert_int_equal(f.stats.keepalive_probes, 0);
	assert_true(f.stats.retransmits > 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_fini(&f);
}

static void established_zero_window_with_text_no_keepalive(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .zero_wnd = true });
	rfc_send(&f, c, "x", 1);
	rfc_advance(&f, c, 2 * IDLE_S * 1000);
	assert_int_equal(f.stats.keepalive_probes, 0);
	assert_true(f.stats.window_probes > 0);
	rfc_fini(&f);
}

/* MUST-29: one lost probe is not a dead connection */
static void established_unanswered_probes_close_after_the_count(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_advance(&f, c, IDLE_S * 1000);
	for (unsigned int i = 1; i < COUNT; i++) {
		assert_int_equal(f.n_sent, i);
		rfc_advance(&f, c, INTERVAL_S * 1000 - 1);
		assert_int_equal(f.n_sent, i);
		rfc_advance(&f, c, 1);
		assert_probe(&f, c);
	}
	assert_int_equal(f.n_sent, COUNT);
	rfc_advance(&f, c, INTERVAL_S * 1000 - 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_KEEPALIVE);
	assert_true(rfc_last(&f)->flags & MR_RST);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 1);
	assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
	rfc_fini(&f);
}

static void established_answered_probe_starts_anew(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	for (unsigned int i = 1; i <= 3 * COUNT; i++) {
		unsigned int before = f.n_sent;

		while (f.n_sent == before)
			rfc_advance(&f, c, 1000);
		assert_probe(&f, c);
		ack(&f, c, c->snd_nxt);
	}
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_fini(&f);
}

/* After an answer the whole idle time must pass before the next probe. */
static void established_answered_probe_waits_the_idle_time(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_advance(&f, c, IDLE_S * 1000);
	ack(&f, c, c->snd_nxt);
	rfc_advance(&f, c, IDLE_S * 1000 - 1);
	assert_int_equal(f.n_sent, 1);
	rfc_advance(&f, c, 1);
	assert_int_equal(f.n_sent, 2);
	rfc_fini(&f);
}

/* The other side: a peer's probe is answered, whatever it carries (3.10.7.4, first check). */
static void established_peers_probe_is_answered(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt - 1 });
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	rfc_arrives(
		&f, c,
		&(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt - 1, .text = "\0", .len = 1 });
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	assert_int_equal(c->rx_bytes, 0);
	rfc_fini(&f);
}

/* Set before the handshake by the lane's settings. */
static void syn_sent_established_with_keepalive_in_config_probes(void **state)
{
	struct rfc f;
	struct mr_conn *c;
	struct mr_tuple tuple;
	struct mr_link link;

	(void)state;
	rfc_init(&f);
	f.config.keepalive = true;
	f.config.keep_idle_s = IDLE_S;
	c = rfc_conn_in(&f, MR_SYN_SENT);
	tuple = *mr_conn_tuple(c);
	link = mr_conn_link(c);
	mr_conn_init(&f.tcp, c, &tuple, &link);
	mr_tcp_open_call(&f.tcp, c, 0);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS });
	rfc_forget(&f);
	rfc_advance(&f, c, IDLE_S * 1000);
	assert_int_equal(f.n_sent, 1);
	assert_probe(&f, c);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_by_default_no_probe),
		cmocka_unit_test(established_turned_off_again_no_probe),
		cmocka_unit_test(established_idle_sends_probe_after_the_interval),
		cmocka_unit_test(established_segment_received_puts_probe_off),
		cmocka_unit_test(established_data_outstanding_no_probe),
		cmocka_unit_test(established_zero_window_with_text_no_keepalive),
		cmocka_unit_test(established_unanswered_probes_close_after_the_count),
		cmocka_unit_test(established_answered_probe_starts_anew),
		cmocka_unit_test(established_answered_probe_waits_the_idle_time),
		cmocka_unit_test(established_peers_probe_is_answered),
		cmocka_unit_test(syn_sent_established_with_keepalive_in_config_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
