/* SPDX-License-Identifier: MIT */
/*
 * TIME-WAIT as a record: RFC 9293 3.10.7.4 (FIN again, MUST-13), RFC 1337 (RST), RFC 6191 and
 * MAY-2 (a new SYN).
 */
#include "tests/unit/tcp_fixture.h"

static struct mr_time_wait wait_with(struct rfc *f, uint32_t ts_recent)
{
	struct mr_conn *c = rfc_conn_in(f, MR_TIME_WAIT);
	struct mr_time_wait w;

	if (ts_recent) {
		c->flags |= MR_CONN_TIMESTAMPS;
		c->ts_recent = ts_recent;
	}
	mr_time_wait_compress(&f->tcp, c, &w);
	return w;
}

static bool stays(struct rfc *f, struct mr_time_wait *w, const struct mr_segment *seg)
{
	bool reopen;
	bool kept = mr_time_wait_arrives(&f->tcp, w, seg, &reopen);

	assert_int_equal(kept, !reopen);
	return kept;
}

static void set_ms(struct rfc *f, uint64_t ms)
{
	f->tcp.now_us = ms * 1000;
	f->tcp.now_ms = (uint32_t)ms;
}

static void time_wait_lasts_its_time(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);

	assert_in_range(mr_time_wait_left_ms(&f->tcp, &w), 60000, 60500);
	set_ms(f, RFC_START_MS + 59999);
	assert_true(mr_time_wait_left_ms(&f->tcp, &w) > 0);
	set_ms(f, RFC_START_MS + 61000);
	assert_int_equal(mr_time_wait_left_ms(&f->tcp, &w), 0);
}

/* The lane's 32-bit milliseconds wrap after 49.7 days. */
static void time_wait_across_the_clocks_wrap_lasts_its_time(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w;

	set_ms(f, (1ull << 32) - 30000);
	w = wait_with(f, 0);
	assert_in_range(mr_time_wait_left_ms(&f->tcp, &w), 60000, 60500);
	set_ms(f, (1ull << 32) + 20000);
	assert_in_range(mr_time_wait_left_ms(&f->tcp, &w), 10000, 10500);
	set_ms(f, (1ull << 32) + 31000);
	assert_int_equal(mr_time_wait_left_ms(&f->tcp, &w), 0);
}

static void time_wait_fin_again_is_acknowledged_and_restarts(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);

	set_ms(f, RFC_START_MS + 30000);
	assert_true(stays(f, &w,
			  &(struct mr_segment){ .flags = MR_FIN | MR_ACK,
						.seq = w.rcv_nxt - 1,
						.ack = w.snd_nxt }));
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->seq, w.snd_nxt);
	assert_int_equal(rfc_last(f)->ack, w.rcv_nxt);
	assert_in_range(mr_time_wait_left_ms(&f->tcp, &w), 60000, 60500);
}

static void time_wait_old_text_is_acknowledged_and_does_not_restart(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);

	set_ms(f, RFC_START_MS + 30000);
	stays(f, &w, &(struct mr_segment){ .flags = MR_ACK, .seq = w.rcv_nxt - 10, .len = 5 });
	assert_int_equal(f->n_sent, 1);
	assert_in_range(mr_time_wait_left_ms(&f->tcp, &w), 30000, 30500);
}

static void time_wait_ack_at_rcv_nxt_is_not_answered(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);

	assert_true(
		stays(f, &w,
		      &(struct mr_segment){ .flags = MR_ACK, .seq = w.rcv_nxt, .ack = w.snd_nxt }));
	assert_int_equal(f->n_sent, 0);
}

static void time_wait_rst_is_ignored(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);

	assert_true(stays(f, &w, &(struct mr_segment){ .flags = MR_RST, .seq = w.rcv_nxt }));
	assert_int_equal(f->n_sent, 0);
}

static void time_wait_with_timestamps_ack_carries_them(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 777);

	stays(f, &w, &(struct mr_segment){ .flags = MR_FIN | MR_ACK, .seq = w.rcv_nxt - 1 });
	assert_true(rfc_last(f)->options.has_timestamps);
	assert_int_equal(rfc_last(f)->options.ts_ecr, 777);
}

static struct mr_segment syn(uint32_t seq, uint32_t ts)
{
	return (struct mr_segment){ .flags = MR_SYN,
				    .seq = seq,
				    .options = { .has_timestamps = ts, .ts_val = ts } };
}

static void time_wait_new_syn_reopens(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);
	struct mr_segment newer = syn(w.rcv_nxt + 1, 0);

	assert_false(stays(f, &w, &newer));
	assert_int_equal(f->n_sent, 0);
}

static void time_wait_old_syn_is_acknowledged(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);
	struct mr_segment older = syn(w.rcv_nxt - 100, 0);

	assert_true(stays(f, &w, &older));
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
}

/* RFC 6191 2: the timestamp decides, the sequence number when they are equal. */
static void time_wait_syn_timestamp_decides(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 1000);
	struct mr_segment newer_time = syn(w.rcv_nxt - 100, 1001);
	struct mr_segment older_time = syn(w.rcv_nxt + 100, 999);
	struct mr_segment same_time = syn(w.rcv_nxt + 100, 1000);
	struct mr_segment same_time_old = syn(w.rcv_nxt - 100, 1000);

	assert_true(stays(f, &w, &older_time));
	assert_true(stays(f, &w, &same_time_old));
	assert_false(stays(f, &w, &same_time));
	assert_false(stays(f, &w, &newer_time));
}

static void time_wait_syn_ack_does_not_reopen(void **state)
{
	struct rfc *f = *state;
	struct mr_time_wait w = wait_with(f, 0);
	struct mr_segment seg = syn(w.rcv_nxt + 1, 0);

	seg.flags |= MR_ACK;
	assert_true(stays(f, &w, &seg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(time_wait_lasts_its_time),
		TEST(time_wait_across_the_clocks_wrap_lasts_its_time),
		TEST(time_wait_fin_again_is_acknowledged_and_restarts),
		TEST(time_wait_old_text_is_acknowledged_and_does_not_restart),
		TEST(time_wait_ack_at_rcv_nxt_is_not_answered),
		TEST(time_wait_rst_is_ignored),
		TEST(time_wait_with_timestamps_ack_carries_them),
		TEST(time_wait_new_syn_reopens),
		TEST(time_wait_old_syn_is_acknowledged),
		TEST(time_wait_syn_timestamp_decides),
		TEST(time_wait_syn_ack_does_not_reopen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
