/* SPDX-License-Identifier: MIT */
/*
 * RFC 5961 7 and RFC 9293 3.10.7.4: how often a connection answers segments that it does not
 * accept.
 */
#include "tests/unit/rfc_fixture.h"

static struct mr_conn *begin(struct rfc *f)
{
	rfc_init(f);
	f->config.answer_ms = MR_ANSWER_MS;
	return rfc_conn_in(f, MR_ESTABLISHED);
}

/* Forged SYN, RST in the window, ACK of what was never sent, empty segment: one answer for all. */
static void unacceptable_segments_share_one_answer_in_half_a_second(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	for (uint32_t round = 1; round <= 3; round++) {
		for (int i = 0; i < 10; i++) {
			rfc_arrives(&f, c, IN(.flags = MR_SYN, .seq = c->rcv_nxt + 5));
			rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt + 5));
			rfc_arrives(&f, c,
				    IN(.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_nxt + 9));
			rfc_arrives(&f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt - 1));
		}
		assert_int_equal(f.n_sent, round);
		assert_int_equal(rfc_last(&f)->flags, MR_ACK);
		assert_int_equal(rfc_last(&f)->seq, c->snd_nxt);
		assert_int_equal(f.stats.challenge_acks, round);
		assert_int_equal(f.stats.acks_limited, round * 39);
		rfc_advance(&f, c, MR_ANSWER_MS);
	}
	rfc_fini(&f);
}

/* Text that came before is answered each time: its sender waits for that. */
static void duplicate_text_is_always_answered(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	for (uint32_t i = 1; i <= 10; i++) {
		rfc_arrives(&f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt - 1, .text = "x", .len = 1));
		assert_int_equal(f.n_sent, i);
	}
	assert_int_equal(f.stats.acks_limited, 0);
	rfc_fini(&f);
}

/* RFC 5961 7: what the limit swallows does not count for the lane: others have their answers. */
static void flood_on_one_connection_leaves_the_lanes_share_alone(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t left;

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_SYN, .seq = c->rcv_nxt + 5));
	left = f.tcp.challenges;
	for (int i = 0; i < 1000; i++)
		rfc_arrives(&f, c, IN(.flags = MR_SYN, .seq = c->rcv_nxt + 5));
	assert_int_equal(f.tcp.challenges, left);
	assert_true(left >= MR_CHALLENGES_PER_S / 2 - 1);
	rfc_fini(&f);
}

/* The exact RST still ends it (3.2), whatever was answered before. */
static void exact_rst_is_not_limited(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt + 5));
	rfc_arrives(&f, c, IN(.flags = MR_RST, .seq = c->rcv_nxt));
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_RESET_BY_PEER);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unacceptable_segments_share_one_answer_in_half_a_second),
		cmocka_unit_test(duplicate_text_is_always_answered),
		cmocka_unit_test(flood_on_one_connection_leaves_the_lanes_share_alone),
		cmocka_unit_test(exact_rst_is_not_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
