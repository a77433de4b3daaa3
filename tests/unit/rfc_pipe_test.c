/* SPDX-License-Identifier: MIT */
/*
 * RFC 6675 4, SetPipe(): what was sent, without what was reported and what is lost, and with what
 * was sent again. RFC 8985 6.2, step 4: a wider reordering window "persists for 16 recoveries".
 */
#include "tests/unit/tcp_segments.h"

#include "user/tcp/internal.h"

static uint32_t pipe_segments(const struct rfc *f, const struct mr_conn *c)
{
	uint32_t bytes = mr_tcp_pipe(&f->tcp, c);

	assert_int_equal(bytes % RFC_MSS, 0);
	return bytes / RFC_MSS;
}

static void pipe_is_what_is_on_its_way(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	assert_int_equal(pipe_segments(f, c), 0);
	queue(f, c, SENT_SEGMENTS);
	assert_int_equal(pipe_segments(f, c), 10);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 2, 4); /* two reported, none lost yet */
	assert_int_equal(pipe_segments(f, c), 8);
	sack(f, c, 0, 2, 5); /* 0 and 1 are lost; 0 goes again, 1 waits for PRR */
	assert_int_equal(times_sent(f, 0), 2);
	assert_int_equal(pipe_segments(f, c),
			 10 - 3 - 2 + times_sent(f, 0) - 1 + times_sent(f, 1) - 1);
	tcp_ack_arrives(f, c, segment(5)); /* 0 and 1 came */
	assert_int_equal(pipe_segments(f, c), 5);
	tcp_ack_arrives(f, c, segment(10));
	assert_int_equal(pipe_segments(f, c), 0);
}

/* A DSACK has made the window two quarters of the round trip. */
static struct mr_conn *begin_wide(struct rfc *f)
{
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	assert_int_equal(times_sent(f, 0), 2);
	tcp_ack_arrives(f, c, segment(10));
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(10), .n_sack = 1,
		.sack = { { segment(0), segment(1) } });
	return c;
}

/* Is segment 10, with one reported behind it, lost after a quarter of the round trip? */
static bool is_lost_after_a_quarter(struct rfc *f, struct mr_conn *c)
{
	queue(f, c, 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 10, 11, 12);
	rfc_advance(f, c, RTT / 4 + 2);
	return times_sent(f, 10) == 2;
}

static void wide_window_outlives_fifteen_recoveries(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin_wide(f);

	for (int i = 0; i < 15; i++)
		mr_rack_recovered(mr_active_of(&f->tcp, c));
	assert_false(is_lost_after_a_quarter(f, c));
}

static void wide_window_ends_with_the_sixteenth_recovery(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin_wide(f);

	for (int i = 0; i < 16; i++)
		mr_rack_recovered(mr_active_of(&f->tcp, c));
	assert_true(is_lost_after_a_quarter(f, c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pipe_is_what_is_on_its_way),
		TEST(wide_window_outlives_fifteen_recoveries),
		TEST(wide_window_ends_with_the_sixteenth_recovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
