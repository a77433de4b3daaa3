/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.10.7.4, second check, with RFC 5961 3.2. */
#include "tests/unit/rfc_fixture.h"

static void established_rst_at_rcv_nxt_resets(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt });
	assert_int_equal(c->state, MR_CLOSED);
	assert_int_equal(c->close_reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void established_rst_inside_window_gets_challenge_ack(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt + 1 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->ack, c->rcv_nxt);
	rfc_fini(&f);
}

static void established_rst_outside_window_is_dropped_in_silence(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt + 70000 });
	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt - 1 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_rst_at_rcv_nxt_resets),
		cmocka_unit_test(established_rst_inside_window_gets_challenge_ack),
		cmocka_unit_test(established_rst_outside_window_is_dropped_in_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
