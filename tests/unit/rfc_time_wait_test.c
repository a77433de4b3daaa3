/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.7.4 for TIME-WAIT, kept as a record; RFC 1337 (RST), RFC 6191 with 3.6.1 MAY-2
 * (which SYN opens the tuple again).
 */
#include "tests/unit/rfc_fixture.h"

enum {
	RCV_NXT = RFC_IRS + 2, /* behind the peer's FIN */
	SND_NXT = RFC_ISS + 2,
	TS_RECENT = 5000,
};

static void begin(struct rfc *f, struct mr_time_wait *w, bool timestamps)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_in(f, MR_TIME_WAIT);
	if (timestamps) {
		c->flags |= MR_CONN_TIMESTAMPS;
		c->ts_recent = TS_RECENT;
	}
	mr_time_wait_compress(&f->tcp, c, w);
}

/* What arrives for the record; false: it is forgotten. */
static bool arrives(struct rfc *f, struct mr_time_wait *w, struct mr_segment seg, bool *reopen)
{
	seg.tuple = *mr_conn_tuple(&f->conn);
	*reopen = true;
	return mr_time_wait_arrives(&f->tcp, w, &seg, reopen);
}

static void stays(struct rfc *f, struct mr_time_wait *w, struct mr_segment seg, unsigned int sent)
{
	bool reopen;

	rfc_forget(f);
	assert_true(arrives(f, w, seg, &reopen));
	assert_false(reopen);
	assert_int_equal(f->n_sent, sent);
	if (!sent)
		return;
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->seq, SND_NXT);
	assert_int_equal(rfc_last(f)->ack, RCV_NXT);
}

static void reopens(struct rfc *f, struct mr_time_wait *w, struct mr_segment seg)
{
	bool reopen;

	rfc_forget(f);
	assert_false(arrives(f, w, seg, &reopen));
	assert_true(reopen);
	assert_int_equal(f->n_sent, 0);
}

static struct mr_segment plain(uint8_t flags, uint32_t seq)
{
	return (struct mr_segment){ .flags = flags, .seq = seq, .ack = SND_NXT };
}

static struct mr_segment stamped(uint8_t flags, uint32_t seq, uint32_t ts_val)
{
	struct mr_segment s = plain(flags, seq);

	s.options.has_timestamps = true;
	s.options.ts_val = ts_val;
	return s;
}

static void pass(struct rfc *f, uint32_t ms)
{
	f->tcp.now_ms += ms;
	f->tcp.now_us += (uint64_t)ms * 1000;
}

static void compress_keeps_what_answers_need(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, true);
	assert_int_equal(w.snd_nxt, SND_NXT);
	assert_int_equal(w.rcv_nxt, RCV_NXT);
	assert_int_equal(w.ts_recent, TS_RECENT);
	assert_memory_equal(w.local, f.conn.local, 16);
	assert_memory_equal(w.remote, f.conn.remote, 16);
	assert_int_equal(w.remote_port.raw, f.conn.remote_port.raw);
	rfc_fini(&f);
}

/* RFC 9293 MUST-48, MUST-49: the record answers as its connection did. */
static void record_answers_with_the_ip_settings_of_its_rule(void **state)
{
	static const struct mr_ip_settings ip[2] = { { 1, 2 }, { 77, 33 } };
	struct mr_time_wait w;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	rfc_init(&f);
	f.tcp.ip = ip;
	c = rfc_conn_in(&f, MR_TIME_WAIT);
	c->rule = 1;
	mr_time_wait_compress(&f.tcp, c, &w);
	stays(&f, &w, plain(MR_FIN | MR_ACK, RCV_NXT - 1), 1);
	assert_int_equal(rfc_last(&f)->ttl, 77);
	assert_int_equal(rfc_last(&f)->dscp, 33);
	rfc_fini(&f);
}

static void record_ends_after_2_msl_not_before(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, false);
	assert_in_range(mr_time_wait_left_ms(&f.tcp, &w), 60000, 60500);
	pass(&f, 59999);
	assert_true(mr_time_wait_left_ms(&f.tcp, &w) > 0);
	pass(&f, 1001);
	assert_int_equal(mr_time_wait_left_ms(&f.tcp, &w), 0);
	pass(&f, 3600000);
	assert_int_equal(mr_time_wait_left_ms(&f.tcp, &w), 0);
	rfc_fini(&f);
}

static void record_ends_after_2_msl_across_the_clocks_wrap(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	rfc_init(&f);
	f.tcp.now_us = (uint64_t)UINT32_MAX * 1000 - 1000000;
	f.tcp.now_ms = (uint32_t)(f.tcp.now_us / 1000);
	mr_time_wait_compress(&f.tcp, rfc_conn_in(&f, MR_TIME_WAIT), &w);
	pass(&f, 59000);
	assert_in_range(mr_time_wait_left_ms(&f.tcp, &w), 1000, 1500);
	pass(&f, 2000);
	assert_int_equal(mr_time_wait_left_ms(&f.tcp, &w), 0);
	rfc_fini(&f);
}

/* "The only thing that can arrive is a retransmission of the remote FIN. Acknowledge it, and
 * restart the 2 MSL timeout." */
static void fin_again_is_acked_and_restarts(void **state)
{
	struct mr_segment with_text = plain(MR_FIN | MR_ACK, RCV_NXT - 11);
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	with_text.len = 10;
	begin(&f, &w, true);
	pass(&f, 50000);
	stays(&f, &w, plain(MR_FIN | MR_ACK, RCV_NXT - 1), 1);
	assert_int_equal(rfc_last(&f)->options.ts_ecr, TS_RECENT);
	assert_true(mr_time_wait_left_ms(&f.tcp, &w) >= 60000);
	pass(&f, 50000);
	stays(&f, &w, with_text, 1);
	assert_true(mr_time_wait_left_ms(&f.tcp, &w) >= 60000);
	rfc_fini(&f);
}

static void other_fin_is_acked_and_does_not_restart(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, false);
	pass(&f, 50000);
	stays(&f, &w, plain(MR_FIN | MR_ACK, RCV_NXT - 100), 1);
	stays(&f, &w, plain(MR_FIN | MR_ACK, RCV_NXT), 1);
	assert_in_range(mr_time_wait_left_ms(&f.tcp, &w), 9500, 10500);
	assert_false(rfc_last(&f)->options.has_timestamps);
	rfc_fini(&f);
}

static void ack_in_place_is_silent_others_are_answered(void **state)
{
	struct mr_segment text = plain(MR_ACK, RCV_NXT);
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	text.len = 5;
	begin(&f, &w, false);
	stays(&f, &w, plain(MR_ACK, RCV_NXT), 0);
	stays(&f, &w, plain(MR_ACK, RCV_NXT - 1), 1); /* a keepalive probe */
	stays(&f, &w, text, 1);
	rfc_fini(&f);
}

static void rst_is_ignored(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, false);
	stays(&f, &w, plain(MR_RST, RCV_NXT), 0);
	stays(&f, &w, plain(MR_RST | MR_ACK, RCV_NXT), 0);
	stays(&f, &w, plain(MR_RST, RCV_NXT + 100), 0);
	stays(&f, &w, plain(MR_RST | MR_SYN, RCV_NXT + 100), 0);
	rfc_fini(&f);
}

static void syn_newer_by_sequence_reopens_older_does_not(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, false);
	stays(&f, &w, plain(MR_SYN, RCV_NXT - 1), 1);
	stays(&f, &w, plain(MR_SYN, RCV_NXT - 100000), 1);
	reopens(&f, &w, plain(MR_SYN, RCV_NXT + 1));
	reopens(&f, &w, plain(MR_SYN, RCV_NXT + 0x7fffffffu));
	stays(&f, &w, plain(MR_SYN, RCV_NXT + 0x80000001u), 1);
	rfc_fini(&f);
}

static void syn_newer_by_timestamp_reopens_whatever_its_sequence(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, true);
	reopens(&f, &w, stamped(MR_SYN, RCV_NXT - 100000, TS_RECENT + 1));
	stays(&f, &w, stamped(MR_SYN, RCV_NXT + 100000, TS_RECENT - 1), 1);
	rfc_fini(&f);
}

static void syn_with_equal_or_no_timestamp_is_judged_by_sequence(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, true);
	reopens(&f, &w, stamped(MR_SYN, RCV_NXT + 1, TS_RECENT));
	stays(&f, &w, stamped(MR_SYN, RCV_NXT - 1, TS_RECENT), 1);
	reopens(&f, &w, plain(MR_SYN, RCV_NXT + 1));
	stays(&f, &w, plain(MR_SYN, RCV_NXT - 1), 1);
	rfc_fini(&f);
}

/* Only what a listener takes may end the record: not SYN with ACK, not SYN with FIN. */
static void syn_with_other_flags_never_reopens(void **state)
{
	struct mr_time_wait w;
	struct rfc f;

	(void)state;
	begin(&f, &w, false);
	stays(&f, &w, plain(MR_SYN | MR_ACK, RCV_NXT + 1000), 1);
	stays(&f, &w, plain(MR_SYN | MR_FIN, RCV_NXT + 1000), 1);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compress_keeps_what_answers_need),
		cmocka_unit_test(record_answers_with_the_ip_settings_of_its_rule),
		cmocka_unit_test(record_ends_after_2_msl_not_before),
		cmocka_unit_test(record_ends_after_2_msl_across_the_clocks_wrap),
		cmocka_unit_test(fin_again_is_acked_and_restarts),
		cmocka_unit_test(other_fin_is_acked_and_does_not_restart),
		cmocka_unit_test(ack_in_place_is_silent_others_are_answered),
		cmocka_unit_test(rst_is_ignored),
		cmocka_unit_test(syn_newer_by_sequence_reopens_older_does_not),
		cmocka_unit_test(syn_newer_by_timestamp_reopens_whatever_its_sequence),
		cmocka_unit_test(syn_with_equal_or_no_timestamp_is_judged_by_sequence),
		cmocka_unit_test(syn_with_other_flags_never_reopens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
