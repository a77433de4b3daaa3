/* SPDX-License-Identifier: MIT */
/* The record of an active connection: borrowed with the first byte, taken back when it idles. */
#include "tests/unit/rfc_fixture.h"

static const uint8_t text[2 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static void ack_all(struct rfc *f, struct mr_conn *c)
{
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt });
}

static void established_acked_text_takes_a_record_idling_gives_it_back(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, sizeof(text));
	ack_all(&f, c);
	assert_int_not_equal(c->active, MR_NONE);
	assert_int_equal(f.actives.n_taken, 1);
	rfc_advance(&f, c, MR_ACTIVE_IDLE_MS - 1);
	mr_tcp_give_idle(&f.tcp, 100);
	assert_int_not_equal(c->active, MR_NONE);
	rfc_advance(&f, c, 1);
	mr_tcp_give_idle(&f.tcp, 100);
	assert_int_equal(c->active, MR_NONE);
	assert_int_equal(f.actives.n_taken, 0);
	rfc_fini(&f);
}

/* What is under way keeps it, however long the peer is silent. */
static void established_text_in_flight_keeps_the_record(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, sizeof(text));
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 101 });
	assert_int_not_equal(c->active, MR_NONE);
	c->deadline[MR_DEADLINE_RETRANSMIT] = 0; /* nothing else shall touch it */
	rfc_advance(&f, c, 2 * MR_ACTIVE_IDLE_MS);
	mr_tcp_give_idle(&f.tcp, 100);
	assert_int_not_equal(c->active, MR_NONE);
	rfc_fini(&f);
}

/* One record for each connection: all can be taken, the last given is the first taken again. */
static void every_connection_can_have_one_and_the_last_given_is_taken_first(void **state)
{
	struct mr_conn conn[4] = { { .active = MR_NONE },
				   { .active = MR_NONE },
				   { .active = MR_NONE },
				   { .active = MR_NONE } };
	struct mr_active record[4];
	struct mr_actives pool;

	(void)state;
	memset(record, 0xaa, sizeof(record));
	mr_actives_init(&pool, record, 4, conn);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(pool.used, i); /* those behind were never touched */
		assert_int_equal(mr_active_take(&pool, &conn[i])->owner, i);
	}
	mr_active_give(&pool, &conn[2]);
	mr_active_give(&pool, &conn[2]); /* harmless */
	assert_int_equal(pool.n_taken, 3);
	mr_active_give(&pool, &conn[0]);
	assert_ptr_equal(mr_active_take(&pool, &conn[2]), &record[0]);
	assert_ptr_equal(mr_active_take(&pool, &conn[0]), &record[2]);
	assert_int_equal(record[2].used_ms, 0);
	assert_ptr_equal(mr_active_peek(&pool, &conn[0]), &record[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_acked_text_takes_a_record_idling_gives_it_back),
		cmocka_unit_test(established_text_in_flight_keeps_the_record),
		cmocka_unit_test(every_connection_can_have_one_and_the_last_given_is_taken_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
