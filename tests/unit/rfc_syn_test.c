/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.3 (SYN-SENT), 3.5 figure 8 (simultaneous open, MUST-10), 3.10.7.4 fourth check
 * with RFC 5961 4.2 and 7 (challenge ACKs and their limit), RFC 7323 2.2 and 3.2 (options of a
 * SYN).
 */
#include "tests/unit/rfc_fixture.h"

/* An active open with all options of the lane; its SYN is the last thing that was sent. */
static struct mr_conn *begin_open(struct rfc *f)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_fresh(f, false);
	mr_tcp_open_call(&f->tcp, c, 1500);
	rfc_output(f, c);
	return c;
}

static void open_call_sends_syn_with_options(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);
	const struct rfc_sent *syn = rfc_last(&f);

	(void)state;
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(syn->flags, MR_SYN);
	assert_int_equal(syn->seq, c->iss);
	assert_int_equal(syn->ack, 0);
	assert_int_equal(syn->wnd, 65535);
	assert_int_equal(syn->options.mss, 1460);
	assert_true(syn->options.has_window_scale);
	assert_int_equal(syn->options.window_shift, 3); /* 256 KiB */
	assert_true(syn->options.has_timestamps);
	assert_int_equal(syn->options.ts_ecr, 0);
	rfc_fini(&f);
}

static void syn_sent_syn_ack_with_all_options_establishes(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	rfc_forget(&f);
	rfc_arrives(&f, c,
		    IN(.flags = MR_SYN | MR_ACK, .seq = 7000, .wnd = 1000, .mss = 1400,
		       .has_ts = true, .ts_val = 55, .has_wscale = true, .wscale = 7));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 1);
	assert_int_equal(c->snd_una, c->iss + 1);
	assert_int_equal(c->rcv_nxt, 7001);
	assert_int_equal(c->irs, 7000);
	assert_int_equal(c->snd_wnd, 1000); /* a SYN's window is not scaled */
	assert_int_equal(c->snd_shift, 7);
	assert_int_equal(c->snd_mss, 1400 - 12);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, c->iss + 1);
	assert_int_equal(rfc_last(&f)->ack, 7001);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 55);
	assert_int_equal(rfc_last(&f)->options.mss, 0);
	assert_false(rfc_last(&f)->options.has_window_scale);
	assert_int_equal(rfc_last(&f)->wnd, c->rcv_wnd >> 3);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = 7001, .wnd = 1000, .has_ts = true, .ts_val = 56));
	assert_int_equal(c->snd_wnd, 1000 << 7);
	rfc_fini(&f);
}

/* MUST-15: 536 without the MSS option; no scaling and no timestamps unless both sides asked. */
static void syn_sent_syn_ack_without_options_uses_none(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_SYN | MR_ACK, .seq = 7000, .wnd = 1000));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->snd_mss, 536);
	assert_int_equal(c->snd_shift, 0);
	assert_int_equal(c->rcv_shift, 0);
	assert_int_equal(c->flags & (MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE), 0);
	assert_false(rfc_last(&f)->options.has_timestamps);
	assert_true(rfc_last(&f)->wnd == 65535);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = 7001, .wnd = 3000));
	assert_int_equal(c->snd_wnd, 3000);
	rfc_fini(&f);
}

static void syn_sent_syn_ack_larger_mss_than_ours_is_bounded_by_the_path(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_SYN | MR_ACK, .seq = 7000, .mss = 9000));
	assert_int_equal(c->snd_mss, 1460);
	rfc_fini(&f);
}

static void syn_sent_text_of_syn_ack_is_left_to_the_peer(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_SYN | MR_ACK, .seq = 7000, .text = "early", .len = 5));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(rfc_last(&f)->ack, 7001);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = 7001, .text = "early", .len = 5));
	assert_int_equal(c->rx_bytes, 5);
	rfc_fini(&f);
}

/* "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset <SEQ=SEG.ACK><CTL=RST>" */
static void syn_sent_bad_ack_gets_rst(void **state)
{
	static const int off[] = { 0, -1, 2, 100000 };
	static const uint8_t flags[] = { MR_ACK, MR_SYN | MR_ACK };
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		uint32_t ack = c->iss + (uint32_t)off[i % 4];

		rfc_forget(&f);
		assert_int_equal(rfc_arrives(&f, c,
					     IN(.flags = flags[i / 4], .seq = 7000, .ack = ack)),
				 MR_DROP_TCP_ACK);
		assert_int_equal(c->state, MR_SYN_SENT);
		assert_int_equal(f.n_sent, 1);
		assert_int_equal(rfc_last(&f)->flags, MR_RST);
		assert_int_equal(rfc_last(&f)->seq, ack);
	}
	rfc_fini(&f);
}

static void syn_sent_good_ack_without_syn_is_dropped(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_open(&f);

	(void)state;
	rfc_forget(&f);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = 7000, .text = "x", .len = 1));
	rfc_arrives(&f, c, IN(.flags = MR_FIN, .seq = 7000));
	assert_int_equal(c->state, MR_SYN_SENT);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* ----- simultaneous open ----- */

static struct mr_conn *begin_simultaneous(struct rfc *f)
{
	struct mr_conn *c = begin_open(f);

	rfc_forget(f);
	rfc_arrives(f, c,
		    IN(.flags = MR_SYN, .seq = 7000, .wnd = 1000, .mss = 1400, .has_ts = true,
		       .ts_val = 55, .has_wscale = true, .wscale = 7));
	return c;
}

static void syn_sent_syn_alone_answers_syn_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_simultaneous(&f);

	(void)state;
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, c->iss);
	assert_int_equal(rfc_last(&f)->ack, 7001);
	assert_int_equal(rfc_last(&f)->wnd, 65535);
	assert_int_equal(rfc_last(&f)->options.mss, 1460);
	assert_int_equal(rfc_last(&f)->options.window_shift, 3);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, 55);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 0);
	rfc_fini(&f);
}

static void simultaneous_open_syn_ack_completes_window_not_scaled(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_simultaneous(&f);

	(void)state;
	assert_int_equal(rfc_arrives(&f, c,
				     IN(.flags = MR_SYN | MR_ACK, .seq = 7000, .wnd = 2000,
					.mss = 1400, .has_ts = true, .ts_val = 56,
					.has_wscale = true, .wscale = 7)),
			 MR_DROP_NONE);
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 1);
	assert_int_equal(c->snd_una, c->iss + 1);
	assert_int_equal(c->rcv_nxt, 7001);
	assert_int_equal(c->snd_wnd, 2000);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = 7001, .wnd = 2000, .has_ts = true, .ts_val = 57,
		       .text = "abc", .len = 3));
	assert_int_equal(c->rx_bytes, 3);
	assert_int_equal(c->snd_wnd, 2000 << 7);
	rfc_fini(&f);
}

static void simultaneous_open_ack_completes_window_scaled(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_simultaneous(&f);

	(void)state;
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = 7001, .wnd = 2000, .has_ts = true, .ts_val = 56));
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 1);
	assert_int_equal(c->snd_wnd, 2000 << 7);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	rfc_fini(&f);
}

/*
 * RFC 6298 3 (Karn): our SYN goes out twice, alone and with the ACK of the peer's; which of them is
 * answered nobody knows without timestamps, however late the answer to the first may look.
 */
static void simultaneous_open_takes_no_sample_from_a_syn_sent_twice(void **state)
{
	static const struct {
		uint32_t before_ms; /* from our SYN to the peer's */
		uint8_t flags;	    /* of what completes the handshake */
		uint32_t rto_ms;
	} row[] = {
		{ 300, MR_ACK, MR_RTO_INITIAL_MS },
		{ 300, MR_SYN | MR_ACK, MR_RTO_INITIAL_MS },
		{ 0, MR_ACK, MR_RTO_INITIAL_MS },
		{ 1300, MR_ACK, MR_RTO_AFTER_SYN_LOSS_MS }, /* once more by the timer as well */
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		bool again = row[i].flags & MR_SYN;
		struct rfc f;
		struct mr_conn *c = begin_open(&f);

		rfc_advance(&f, c, row[i].before_ms);
		rfc_arrives(&f, c, IN(.flags = MR_SYN, .seq = 7000, .wnd = 1000, .mss = 1400));
		assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
		rfc_advance(&f, c, 40);
		rfc_arrives(&f, c, IN(.flags = row[i].flags, .seq = again ? 7000 : 7001));
		assert_int_equal(c->state, MR_ESTABLISHED);
		assert_int_equal(c->srtt_us, 0);
		assert_int_equal(c->rto_ms, row[i].rto_ms);
		/* the first that is sent once is the first sample */
		rfc_send(&f, c, "abc", 3);
		rfc_advance(&f, c, 70);
		rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = 7001));
		assert_int_equal(c->srtt_us >> 3, 70000);
		rfc_fini(&f);
	}
}

static void simultaneous_open_bad_ack_gets_rst(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_simultaneous(&f);
	uint32_t ack = c->iss + 2;

	(void)state;
	rfc_forget(&f);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK, .seq = 7001, .ack = ack, .has_ts = true, .ts_val = 56));
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_RST);
	assert_int_equal(rfc_last(&f)->seq, ack);
	rfc_fini(&f);
}

static void simultaneous_open_lost_syn_ack_is_sent_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin_simultaneous(&f);

	(void)state;
	rfc_forget(&f);
	rfc_advance(&f, c, 1500);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
	assert_int_equal(rfc_last(&f)->seq, c->iss);
	assert_int_equal(rfc_last(&f)->ack, 7001);
	rfc_fini(&f);
}

static void syn_received_ack_with_text_and_fin_is_processed(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_SYN_RECEIVED);
	rfc_arrives(&f, c,
		    IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt, .text = "abc", .len = 3));
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 1);
	assert_int_equal(c->rx_bytes, 3);
	assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 5);
	rfc_fini(&f);
}

static void syn_received_without_ack_is_dropped(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_SYN_RECEIVED);
	assert_int_equal(rfc_arrives(&f, c, IN(.seq = c->rcv_nxt, .text = "abc", .len = 3)),
			 MR_DROP_TCP_NO_ACK);
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* ----- SYN on a connection that stands ----- */

static void every_state_syn_gets_challenge_ack_wherever_it_lies(void **state)
{
	static const uint32_t off[] = { 0,	 1, 60000, 1u << 20, (uint32_t)-1, (uint32_t)-5000,
					1u << 31 };
	static const uint8_t flags[] = { MR_SYN, MR_SYN | MR_ACK };

	(void)state;
	for (enum mr_tcp_state s = MR_SYN_RECEIVED; s <= MR_TIME_WAIT; s++)
		for (unsigned int i = 0; i < 14; i++) {
			struct rfc f;
			struct mr_conn *c;
			struct mr_conn before;

			rfc_init(&f);
			c = rfc_conn_in(&f, s);
			before = *c;
			if (s == MR_SYN_RECEIVED && i == 11)
				c->irs++; /* else it is the answer to both SYNs */
			rfc_arrives(&f, c,
				    IN(.flags = flags[i / 7], .seq = c->rcv_nxt + off[i % 7]));
			assert_int_equal(c->state, s);
			assert_int_equal(c->rcv_nxt, before.rcv_nxt);
			assert_int_equal(c->snd_una, before.snd_una);
			assert_int_equal(f.stats.challenge_acks, 1);
			assert_int_equal(f.n_sent, 1);
			assert_int_equal(rfc_last(&f)->flags, MR_ACK);
			assert_int_equal(rfc_last(&f)->seq, c->snd_nxt);
			assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
			rfc_fini(&f);
		}
}

static unsigned int challenges_of_one_second(struct rfc *f, struct mr_conn *c)
{
	rfc_forget(f);
	for (int i = 0; i < 500; i++)
		rfc_arrives(f, c, IN(.flags = MR_SYN, .seq = c->rcv_nxt));
	return f->n_sent;
}

/* RFC 5961 7, with a number that an outsider cannot know (the count is a side channel). */
static void established_flood_of_syns_challenges_are_limited_each_second(void **state)
{
	struct rfc f;
	struct mr_conn *c;
	unsigned int different = 0, first = 0;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	for (int i = 0; i < 8; i++) {
		unsigned int n = challenges_of_one_second(&f, c);

		assert_in_range(n, MR_CHALLENGES_PER_S / 2, MR_CHALLENGES_PER_S * 3 / 2);
		first = i ? first : n;
		different += n != first;
		assert_int_equal(challenges_of_one_second(&f, c), 0);
		rfc_advance(&f, c, 1000);
	}
	assert_true(different > 0);
	rfc_fini(&f);
}

static void established_spent_challenges_leave_ordinary_acks_alone(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	challenges_of_one_second(&f, c);
	rfc_forget(&f);
	rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt + 10, .text = "abc", .len = 3));
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_call_sends_syn_with_options),
		cmocka_unit_test(syn_sent_syn_ack_with_all_options_establishes),
		cmocka_unit_test(syn_sent_syn_ack_without_options_uses_none),
		cmocka_unit_test(syn_sent_syn_ack_larger_mss_than_ours_is_bounded_by_the_path),
		cmocka_unit_test(syn_sent_text_of_syn_ack_is_left_to_the_peer),
		cmocka_unit_test(syn_sent_bad_ack_gets_rst),
		cmocka_unit_test(syn_sent_good_ack_without_syn_is_dropped),
		cmocka_unit_test(syn_sent_syn_alone_answers_syn_ack),
		cmocka_unit_test(simultaneous_open_syn_ack_completes_window_not_scaled),
		cmocka_unit_test(simultaneous_open_ack_completes_window_scaled),
		cmocka_unit_test(simultaneous_open_takes_no_sample_from_a_syn_sent_twice),
		cmocka_unit_test(simultaneous_open_bad_ack_gets_rst),
		cmocka_unit_test(simultaneous_open_lost_syn_ack_is_sent_again),
		cmocka_unit_test(syn_received_ack_with_text_and_fin_is_processed),
		cmocka_unit_test(syn_received_without_ack_is_dropped),
		cmocka_unit_test(every_state_syn_gets_challenge_ack_wherever_it_lies),
		cmocka_unit_test(established_flood_of_syns_challenges_are_limited_each_second),
		cmocka_unit_test(established_spent_challenges_leave_ordinary_acks_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
