/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.10.8, USER TIMEOUT, and 3.8.3 (MUST-21: the application sets R2). */
#include "tests/unit/rfc_words.h"

enum {
	LIMIT_MS = 10000,
};

static struct mr_conn *start(struct rfc *f, enum mr_tcp_state state)
{
	rfc_init(f);
	f->config.user_timeout_ms = LIMIT_MS;
	return rfc_conn_in(f, state);
}

/* "flush all queues, signal the user error: connection aborted due to user timeout" */
static void established_text_not_acked_in_time_aborts(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "abc", 3);
	rfc_advance(&f, c, LIMIT_MS - 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	assert_true(rfc_last(&f)->flags & MR_RST);
	assert_int_equal(rfc_last(&f)->seq, RFC_ISS + 4);
	assert_int_equal(c->tx_head, MR_NONE);
	assert_int_equal(f.events[MR_EVENT_CLOSED], 1);
	rfc_fini(&f);
}

/* MUST-21: the application sets R2 of one connection, shorter or longer, and idles with it. */
static void own_user_timeout_overrides_the_lanes(void **state)
{
	static const uint32_t own[] = { LIMIT_MS / 10, LIMIT_MS * 3 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rfc f;
		struct mr_conn *c = start(&f, MR_ESTABLISHED);

		mr_tcp_set_user_timeout(&f.tcp, c, own[i]);
		rfc_advance(&f, c, 3 * MR_ACTIVE_IDLE_MS);
		mr_tcp_give_idle(&f.tcp, 1);
		rfc_send(&f, c, "abc", 3);
		rfc_advance(&f, c, own[i] - 1);
		assert_int_equal(c->state, MR_ESTABLISHED);
		rfc_advance(&f, c, 1);
		assert_int_equal(c->state, MR_CLOSED);
		assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
		rfc_fini(&f);
	}
}

/* It counts from the oldest byte that waits: progress starts it anew. */
static void established_progress_starts_it_anew(void **state)
{
	static const uint8_t text[2 * RFC_MSS];
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, text, sizeof(text));
	rfc_advance(&f, c, LIMIT_MS - 1);
	ack(&f, c, RFC_ISS + 1 + RFC_MSS);
	rfc_advance(&f, c, LIMIT_MS - 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	rfc_fini(&f);
}

static void established_duplicate_ack_is_no_progress(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "abc", 3);
	rfc_advance(&f, c, LIMIT_MS - 1);
	ack(&f, c, RFC_ISS + 1);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	rfc_fini(&f);
}

static void established_nothing_outstanding_never_times_out(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_send(&f, c, "abc", 3);
	ack(&f, c, RFC_ISS + 4);
	rfc_advance(&f, c, 100 * LIMIT_MS);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_send(&f, c, "d", 1); /* and idle time is not counted */
	rfc_advance(&f, c, LIMIT_MS - 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_fini(&f);
}

/* The application asked for it: text that a closed window holds counts as well. */
static void established_zero_window_for_too_long_aborts(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .zero_wnd = true });
	rfc_send(&f, c, "abc", 3);
	rfc_advance(&f, c, LIMIT_MS - 1);
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	rfc_fini(&f);
}

/* A limit below the override timeout of a small window is kept too. */
static void established_small_window_does_not_oversleep_a_short_limit(void **state)
{
	static const uint8_t text[RFC_MSS];
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	f.config.user_timeout_ms = 300;
	rfc_arrives(&f, c,
		    &(struct rfc_in){
			    .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .wnd = 1000 });
	rfc_send(&f, c, text, sizeof(text));
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 300);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	rfc_fini(&f);
}

static void last_ack_fin_not_acked_in_time_aborts(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_LAST_ACK);

	(void)state;
	rfc_advance(&f, c, LIMIT_MS);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	rfc_fini(&f);
}

/* No RST: the peer never answered (3.10.5, SYN-SENT). */
static void syn_sent_no_answer_in_time_aborts_without_rst(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_SYN_SENT);

	(void)state;
	rfc_advance(&f, c, LIMIT_MS - 1);
	assert_int_equal(c->state, MR_SYN_SENT);
	rfc_advance(&f, c, 1);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_USER_TIMEOUT);
	for (unsigned int i = 0; i < f.n_sent; i++)
		assert_int_equal(f.sent[i].flags, MR_SYN);
	rfc_fini(&f);
}

static void established_limit_beyond_r2_leaves_r2(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f, MR_ESTABLISHED);

	(void)state;
	f.config.user_timeout_ms = 100000000;
	rfc_send(&f, c, "abc", 3);
	rfc_advance(&f, c, 3600000);
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_TIMEOUT);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_text_not_acked_in_time_aborts),
		cmocka_unit_test(own_user_timeout_overrides_the_lanes),
		cmocka_unit_test(established_progress_starts_it_anew),
		cmocka_unit_test(established_duplicate_ack_is_no_progress),
		cmocka_unit_test(established_nothing_outstanding_never_times_out),
		cmocka_unit_test(established_zero_window_for_too_long_aborts),
		cmocka_unit_test(established_small_window_does_not_oversleep_a_short_limit),
		cmocka_unit_test(last_ack_fin_not_acked_in_time_aborts),
		cmocka_unit_test(syn_sent_no_answer_in_time_aborts_without_rst),
		cmocka_unit_test(established_limit_beyond_r2_leaves_r2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
