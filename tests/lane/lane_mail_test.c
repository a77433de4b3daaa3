/* SPDX-License-Identifier: MIT */
/*
 * Two lanes of one interface share a mailbox: frames of one connection that arrive on both queues
 * reach the lane that owns it, and only what nobody knows is reset, once.
 *
 *	            wire 0 ---- lane 0 \
 *	client ---<                     > mailbox
 *	            wire 1 ---- lane 1 /
 *
 * The client's port spreads its frames over the two wires by a rule of the test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/net.h"

/* ----- frames of one connection on both queues ----- */

static void spread_frames_reach_their_connection(void **state)
{
	enum { LEN = 200000 };
	uint8_t *data = malloc(LEN);
	struct net *n = net_new();
	struct talk t[10];

	(void)state;
	for (int i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 5 + (i >> 8));
	for (int i = 0; i < 10; i++) {
		t[i] = (struct talk){ .out = data, .out_len = LEN - (size_t)i, .half_close = true };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	for (int i = 0; i < 10; i++) {
		assert_true(net_run(n, 20000, talk_is_closed, &t[i]));
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, LEN - i);
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, data, LEN - (size_t)i));
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(net_server(n, i)->resets_out, 0);
		assert_int_equal(net_server(n, i)->drop.tcp_no_connection, 0);
		assert_true(net_server(n, i)->mail_in > 100);
		assert_int_equal(net_server(n, i)->mail_in, net_server(n, !i)->mail_out);
	}
	assert_int_equal(net_server(n, 0)->passive_opens + net_server(n, 1)->passive_opens, 10);
	net_free(n);
	free(data);
}

/* The queue changes after the handshake and stays so: as veth's hash does after a timeout. */
static unsigned int move_after_handshake(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	(void)n;
	return !(net_flags_of(frame) & MR_SYN);
}

static void flow_that_moved_is_handed_back(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "moved", .out_len = 5, .half_close = true };

	(void)state;
	n->spread.which = move_after_handshake;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 5000, talk_is_closed, &t));
	assert_string_equal(t.in, "moved");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	net_run(n, 10, NULL, NULL);
	assert_int_equal(net_server(n, 0)->passive_opens, 1);
	assert_int_equal(net_server(n, 0)->closed.done, 1);
	assert_int_equal(net_server(n, 1)->passive_opens, 0);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* ----- the handshake ----- */

static unsigned int drop_first_answer(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				      uint64_t *delay_ns)
{
	uint32_t *dropped = arg;

	(void)frame, (void)len, (void)delay_ns;
	if (from != PAIR_SERVER || *dropped)
		return 1;
	(*dropped)++;
	return 0;
}

/* SYN on lane 0, its SYN-ACK is lost, the SYN again on lane 1: lane 0 answers it. */
static void syn_again_on_the_other_queue_joins_the_handshake(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "again", .out_len = 5, .half_close = true };
	uint32_t dropped = 0;

	(void)state;
	mr_memory_set_fate(n->p[0].wire, drop_first_answer, &dropped);
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 10000, talk_is_closed, &t));
	assert_int_equal(dropped, 1);
	assert_string_equal(t.in, "again");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(net_server(n, 0)->passive_opens, 1);
	assert_int_equal(net_server(n, 1)->passive_opens, 0);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* Even when nobody knows what lane 0 has and both lanes have a half-open record, one connection
 * comes of it. */
static void two_half_open_records_make_one_connection(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "twice", .out_len = 5, .half_close = true };
	uint32_t dropped = 0;

	(void)state;
	mr_memory_set_fate(n->p[0].wire, drop_first_answer, &dropped);
	talk_begin(&n->p[0], &t, 7000, false);
	net_run(n, 500, NULL, NULL);
	assert_int_equal(net_server(n, 0)->half_open, 1);
	mr_mailbox_forget(n->mailbox, 2, 0);
	assert_true(net_run(n, 20000, talk_is_closed, &t));
	assert_string_equal(t.in, "twice");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(net_server(n, 0)->passive_opens + net_server(n, 1)->passive_opens, 1);
	net_run(n, 200000, NULL, NULL); /* the other record gives up */
	net_free(n);
}

/* ----- SYNs of flows that another lane has ----- */

static struct {
	uint8_t bytes[128];
	uint32_t len;
} last_syn;

/* All by queue 0, and the last SYN is kept. */
static unsigned int keep_syn(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)n;
	if (net_flags_of(frame) & MR_SYN && len <= sizeof(last_syn.bytes)) {
		memcpy(last_syn.bytes, frame, len);
		last_syn.len = len;
	}
	return 0;
}

/* The SYN that was kept comes to a server lane's queue. */
static void syn_comes_late(struct net *n, int lane)
{
	struct mr_lane *l = n->p[lane].end[PAIR_SERVER].lane;
	uint32_t frame = mr_frame_take(&l->frames, MR_FRAME_HAND, true);

	assert_int_not_equal(frame, MR_NONE);
	memcpy(mr_frame_bytes_at(&l->frames, frame), last_syn.bytes, last_syn.len);
	lane_frame_arrives(l, frame, 0, last_syn.len, NULL);
}

/* The handshake is over for long: lane 1 does not begin another, lane 0 answers (RFC 5961 4.2). */
static void syn_of_a_standing_connection_is_its_lanes(void **state)
{
	struct net *n = net_new();
	struct talk t = { 0 };

	(void)state;
	n->spread.which = keep_syn;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 1000, talk_is_open, &t));
	net_run(n, 3000, NULL, NULL);
	syn_comes_late(n, 1);
	net_run(n, 100, NULL, NULL);
	assert_int_equal(net_server(n, 1)->syns_in, 0);
	assert_int_equal(net_server(n, 1)->half_open, 0);
	assert_int_equal(net_server(n, 0)->challenge_acks, 1);
	talk_close(&t);
	assert_true(net_run(n, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* MAY-2: a new SYN for a connection in TIME-WAIT is judged by the lane that has it. */
static void syn_of_a_record_in_time_wait_is_its_lanes(void **state)
{
	struct net *n = net_new();
	struct mr_lane *first = n->p[0].end[PAIR_SERVER].lane;
	struct talk t = { 0 };

	(void)state;
	n->spread.which = keep_syn;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 1000, talk_is_open, &t));
	net_run(n, 10, NULL, NULL);
	for (uint32_t i = 0; i < first->header->conns_used; i++)
		mr_tcp_close_call(&first->tcp, &first->conns[i]);
	net_run(n, 1000, NULL, NULL);
	talk_close(&t);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_int_equal(net_server(n, 0)->time_wait, 1);
	syn_comes_late(n, 1);
	net_run(n, 100, NULL, NULL);
	assert_int_equal(net_server(n, 0)->time_wait, 1);
	assert_int_equal(net_server(n, 1)->syns_in, 0);
	assert_int_equal(net_server(n, 1)->half_open, 0);
	net_run(n, 70000, NULL, NULL);
	net_free(n);
}

/* Every flow of lane 1 looks as if lane 0 may have it: lane 0 is asked, and lane 1 opens it. */
static void syn_that_nobody_knows_comes_back(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "mine", .out_len = 4, .half_close = true };

	(void)state;
	memset(mr_mailbox_flows(n->mailbox, 2, 0), 1, MR_MAIL_FLOWS);
	n->spread.which = net_second_only;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_string_equal(t.in, "mine");
	assert_int_equal(net_server(n, 1)->passive_opens, 1);
	assert_int_equal(net_server(n, 0)->passive_opens, 0);
	assert_int_equal(net_server(n, 0)->mail_in, 1);
	assert_int_equal(net_server(n, 1)->mail_in, 1);
	for (uint32_t i = 0; i < MR_MAIL_CLAIMS; i++)
		assert_int_equal(n->mailbox->claim[i], 0);
	net_free(n);
}

/* While lane 1 asks, the SYN comes to lane 0 as well, which had said that it knows of nothing. */
static void syn_while_another_lane_asks_makes_one_connection(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "once", .out_len = 4, .half_close = true };

	(void)state;
	memset(mr_mailbox_flows(n->mailbox, 2, 0), 1, MR_MAIL_FLOWS);
	n->spread.which = keep_syn;
	talk_begin(&n->p[0], &t, 7000, false);
	mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane); /* its SYN is on the way to queue 0 */
	syn_comes_late(n, 1);
	mr_lane_turn(n->p[0].end[PAIR_SERVER].lane); /* the question, and the SYN itself */
	mr_memory_advance(n->p[0].wire, 20000);
	mr_lane_turn(n->p[0].end[PAIR_SERVER].lane);
	assert_int_equal(net_server(n, 0)->half_open, 0);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_string_equal(t.in, "once");
	assert_int_equal(net_server(n, 0)->passive_opens, 0);
	assert_int_equal(net_server(n, 1)->passive_opens, 1);
	net_run(n, 200000, NULL, NULL);
	assert_int_equal(net_server(n, 0)->half_open_expired, 0);
	net_free(n);
}

/* Every flow that a lane had is counted off again, and what a worker had when it died with it. */
static void counters_follow_the_records(void **state)
{
	struct net *n = net_new();
	uint8_t *flows[2] = { mr_mailbox_flows(n->mailbox, 2, 0),
			      mr_mailbox_flows(n->mailbox, 2, 1) };
	struct talk t[20];
	uint64_t sum[2] = { 0 };

	(void)state;
	for (int i = 0; i < 20; i++) {
		t[i] = (struct talk){ 0 };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	net_run(n, 1000, NULL, NULL);
	for (uint32_t i = 0; i < 2 * MR_MAIL_FLOWS; i++)
		sum[i / MR_MAIL_FLOWS] += flows[i / MR_MAIL_FLOWS][i % MR_MAIL_FLOWS];
	assert_int_equal(sum[0], net_server(n, 0)->connections);
	assert_int_equal(sum[1], net_server(n, 1)->connections);
	assert_int_equal(sum[0] + sum[1], 20);
	for (int i = 0; i < 20; i++)
		talk_close(&t[i]);
	net_run(n, 70000, NULL, NULL);
	for (uint32_t i = 0; i < MR_MAIL_FLOWS; i++)
		assert_int_equal(flows[0][i] + flows[1][i], 0);
	flows[1][77] = 3;
	n->mailbox->claim[5] = 2;
	mr_mailbox_forget(n->mailbox, 2, 1);
	assert_int_equal(flows[1][77], 0);
	assert_int_equal(n->mailbox->claim[5], 0);
	net_free(n);
}

/* ----- nobody's ----- */

static unsigned int drop_answers(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				 uint64_t *delay_ns)
{
	(void)arg, (void)frame, (void)len, (void)delay_ns;
	return from != PAIR_SERVER;
}

/* Both server lanes reset what they have, and the client does not hear of it. */
static void forget_connections(struct net *n)
{
	for (int i = 0; i < 2; i++) {
		struct mr_lane *l = n->p[i].end[PAIR_SERVER].lane;

		mr_memory_set_fate(n->p[i].wire, drop_answers, NULL);
		for (uint32_t c = 0; c < l->header->conns_used; c++)
			if (l->conns[c].state != MR_CLOSED)
				mr_tcp_abort_call(&l->tcp, &l->conns[c], MR_CLOSE_ABORTED);
	}
	net_run(n, 10, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		mr_memory_set_fate(n->p[i].wire, NULL, NULL);
		assert_int_equal(net_server(n, i)->connections, 0);
		net_server(n, i)->resets_out = 0;
	}
}

/* A segment of a connection that neither lane knows: one RST, from the last that was asked. */
static void unknown_segment_is_reset_once(void **state)
{
	struct net *n = net_new();
	struct talk t = { 0 };

	(void)state;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 1000, talk_is_open, &t));
	net_run(n, 10, NULL, NULL);
	forget_connections(n);
	talk_say(&t, "anybody?", 8);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(n->resets, 1);
	assert_int_equal(net_server(n, 0)->resets_out + net_server(n, 1)->resets_out, 1);
	assert_int_equal(net_server(n, 0)->drop.tcp_no_connection +
				 net_server(n, 1)->drop.tcp_no_connection,
			 1);
	net_free(n);
}

/* A port where nobody listens: the same. */
static void syn_for_nobody_is_reset_once(void **state)
{
	struct net *n = net_new();
	struct talk t = { 0 };

	(void)state;
	talk_begin(&n->p[0], &t, 7999, false);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_REFUSED);
	assert_int_equal(n->resets, 1);
	net_free(n);
}

/* ----- a full mailbox ----- */

/* The other lane does not come to read its mail: the surplus is dropped and counted. */
static void full_mailbox_drops_and_counts(void **state)
{
	struct net *n = net_new();
	struct talk t[100];
	struct mr_lane_stats *s = net_server(n, 1);

	(void)state;
	for (int i = 0; i < 100; i++) {
		t[i] = (struct talk){ 0 };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	n->spread.which = move_after_handshake;
	net_run(n, 1000, NULL, NULL);
	assert_int_equal(net_server(n, 0)->connections + s->connections, 100);
	n->spread.which = net_second_only;
	for (int i = 0; i < 100; i++)
		talk_say(&t[i], "mail", 4);
	mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane);
	for (int i = 0; i < 2; i++)
		mr_memory_advance(n->p[i].wire, 20000);
	while (mr_lane_turn(n->p[1].end[PAIR_SERVER].lane)) /* lane 0 does not run */
		;
	assert_true(s->drop.mail_full > 0);
	net_run(n, 5000, NULL, NULL); /* the peers send again, and all is well */
	for (int i = 0; i < 100; i++) {
		assert_string_equal(t[i].in, "mail");
		talk_close(&t[i]);
	}
	net_run(n, 1000, NULL, NULL);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* A lane that dozes is told, and does not sleep with mail waiting. */
static void mail_keeps_a_lane_awake(void **state)
{
	struct net *n = net_new();
	struct mr_lane *first = n->p[0].end[PAIR_SERVER].lane;
	struct talk t = { .out = "x", .out_len = 1 };

	(void)state;
	assert_true(mr_lane_doze(first));
	mr_lane_wake(first);
	n->spread.which = move_after_handshake;
	talk_begin(&n->p[0], &t, 7000, false);
	for (int i = 0; i < 4; i++) {
		mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane);
		for (int w = 0; w < 2; w++)
			mr_memory_advance(n->p[w].wire, 20000);
		if (i < 2)
			mr_lane_turn(first);
	}
	mr_lane_turn(n->p[1].end[PAIR_SERVER].lane);
	assert_false(mr_lane_doze(first));
	mr_lane_wake(first);
	net_run(n, 10, NULL, NULL);
	assert_string_equal(t.in, "x");
	talk_close(&t);
	net_run(n, 100, NULL, NULL);
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spread_frames_reach_their_connection),
		cmocka_unit_test(flow_that_moved_is_handed_back),
		cmocka_unit_test(syn_again_on_the_other_queue_joins_the_handshake),
		cmocka_unit_test(two_half_open_records_make_one_connection),
		cmocka_unit_test(syn_of_a_standing_connection_is_its_lanes),
		cmocka_unit_test(syn_of_a_record_in_time_wait_is_its_lanes),
		cmocka_unit_test(syn_that_nobody_knows_comes_back),
		cmocka_unit_test(syn_while_another_lane_asks_makes_one_connection),
		cmocka_unit_test(counters_follow_the_records),
		cmocka_unit_test(unknown_segment_is_reset_once),
		cmocka_unit_test(syn_for_nobody_is_reset_once),
		cmocka_unit_test(full_mailbox_drops_and_counts),
		cmocka_unit_test(mail_keeps_a_lane_awake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
