/* SPDX-License-Identifier: MIT */
/*
 * RFC 8985 (RACK 6.2, TLP 7), RFC 2018 5 and 8 (the sender), RFC 6675 (pipe, limits), RFC 6937
 * (PRR), RFC 3042 (limited transmit), RFC 5682 (F-RTO), RFC 3522 (Eifel) and RFC 3708 (DSACK undo).
 */
#include "tests/unit/tcp_segments.h"

#include <string.h>

static void ack(struct rfc *f, struct mr_conn *c, uint32_t n)
{
	tcp_ack_arrives(f, c, segment(n));
}

/* ----- 6.2: RACK ----- */

/* "RACK uses ... DupThresh": three SACKed segments and no reordering seen: at once */
static void three_sacked_segments_lose_the_first_at_once(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 2);
	sack(f, c, 0, 1, 3);
	assert_int_equal(times_sent(f, 0), 1);
	sack(f, c, 0, 1, 4);
	assert_int_equal(times_sent(f, 0), 2);
	assert_true(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(f->stats.fast_retransmits, 1);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
}

/* Step 5: else when the reordering window of min_RTT/4 is over */
static void one_sacked_segment_loses_the_first_after_the_window(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 2);
	rfc_advance(f, c, RTT / 4);
	assert_int_equal(times_sent(f, 0), 1);
	rfc_advance(f, c, 2);
	assert_int_equal(times_sent(f, 0), 2);
	assert_int_equal(f->stats.rack_losses, 1);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
}

/* The gap closes within the window: nothing was lost */
static void reordered_segment_within_the_window_is_not_resent(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 2);
	rfc_advance(f, c, RTT / 4 - 1);
	ack(f, c, 2);
	rfc_advance(f, c, 1000);
	assert_int_equal(f->stats.retransmits, 0);
	assert_int_equal(c->cwnd, SENT_SEGMENTS * RFC_MSS);
}

/* Step 3: after reordering was seen three SACKed segments prove no loss any more */
static void reordering_seen_waits_beyond_three_segments(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 2);
	ack(f, c, 2); /* segment 0 came behind 1 */
	queue(f, c, 8);
	rfc_advance(f, c, RTT);
	sack(f, c, 2, 3, 8);
	assert_int_equal(f->stats.retransmits, 0);
	rfc_advance(f, c, 5);
	ack(f, c, 10);
	rfc_advance(f, c, 1000);
	assert_int_equal(f->stats.retransmits, 0);
}

/* Step 4: a DSACK widens the window by min_RTT/4 */
static void dsack_widens_the_window(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	assert_int_equal(times_sent(f, 0), 2);
	ack(f, c, 10); /* the original came after all */
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(10), .n_sack = 1,
		.sack = { { segment(0), segment(1) } });
	assert_int_equal(f->stats.dsacks_in, 1);
	queue(f, c, 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 10, 11, 12);
	rfc_advance(f, c, RTT / 4 + 5);
	assert_int_equal(times_sent(f, 10), 1);
	rfc_advance(f, c, RTT / 4);
	assert_int_equal(times_sent(f, 10), 2);
}

/* A retransmission that is lost is sent again, by what was sent after it; no timeout */
static void lost_retransmission_is_repaired_without_timeout(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 20);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 10); /* 0 goes again, and new ones behind it */
	assert_int_equal(times_sent(f, 0), 2);
	assert_true(mr_seq_lt(segment(10), c->snd_nxt));
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, (c->snd_nxt - segment(0)) / RFC_MSS);
	rfc_advance(f, c, RTT / 4 + 2);
	assert_int_equal(times_sent(f, 0), 3);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
	assert_int_equal(f->stats.fast_retransmits, 1); /* one reduction for one window */
}

/* RFC 2018 5: "any segment that has the SACKed bit turned on will be skipped" */
static void every_hole_of_a_window_is_resent_once(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(0), .n_sack = 3,
		.sack = { { segment(8), segment(10) },
			  { segment(4), segment(7) },
			  { segment(1), segment(2) } });
	rfc_advance(f, c, RTT);
	for (uint32_t n = 1; n <= 10; n++) {
		ack(f, c, n == 2 ? 2 : n < 4 ? n : n < 7 ? 7 : 10);
		rfc_advance(f, c, 1);
	}
	for (uint32_t n = 0; n < 10; n++)
		assert_int_equal(times_sent(f, n), n == 0 || n == 2 || n == 3 || n == 7 ? 2 : 1);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
}

/* ----- what a peer may say ----- */

static void blocks_outside_what_was_sent_are_ignored(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(0), .n_sack = 4,
		.sack = { { segment(9), segment(11) },
			  { segment(8), segment(8) },
			  { segment(7), segment(6) },
			  { segment(0) + 0x80000000u, segment(5) } });
	assert_int_equal(mr_tcp_pipe(&f->tcp, c), SENT_SEGMENTS * RFC_MSS);
	assert_int_equal(f->active[c->active].n_sacked, 0);
	assert_int_equal(f->stats.retransmits, 0);
}

/* A frame of which the peer has a part is not SACKED. */
static void part_of_a_frame_is_not_marked(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 4);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(0), .n_sack = 1,
		.sack = { { segment(1) + 1, segment(3) + 10 } });
	assert_int_equal(f->active[c->active].sacked, RFC_MSS);
}

/* RFC 2018 8: after a timeout the marks hold, unless the first segment missing is a marked one */
static void timeout_with_head_reported_forgets_all_marks(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 4);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	assert_int_equal(times_sent(f, 0), 2);
	ack(f, c, 1); /* 1 to 3 were dropped by the peer */
	rfc_advance(f, c, RTT);
	assert_int_equal(f->stats.sack_reneges, 1);
	for (uint32_t n = 2; n <= 4; n++)
		ack(f, c, n);
	for (uint32_t n = 1; n < 4; n++)
		assert_int_equal(times_sent(f, n), 2);
	assert_int_equal(mr_tcp_pipe(&f->tcp, c), 0);
}

/* 8: "the retransmission timeout": reports that go on, and what they make us send, delay it not */
static void head_reported_and_missing_reports_go_on_it_is_sent_again(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	ack(f, c, 1); /* 1 to 3 were dropped by the peer */
	assert_int_equal(times_sent(f, 1), 1);
	for (uint32_t i = 0; i < 20; i++) {
		rfc_advance(f, c, 4);
		sack(f, c, 1, 5 + i % 5, 6 + i % 5);
	}
	assert_int_equal(f->stats.sack_reneges, 1);
	assert_true(times_sent(f, 1) > 1);
}

static void timeout_keeps_marks_behind_a_hole(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 4);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 2, 4);
	rfc_advance(f, c, 2000);
	assert_true(f->stats.retransmit_timeouts > 0);
	ack(f, c, 1);
	ack(f, c, 4);
	assert_int_equal(times_sent(f, 2), 1);
	assert_int_equal(times_sent(f, 3), 1);
	assert_int_equal(f->stats.sack_reneges, 0);
}

/* Gaps at every second segment, blocks that each say something new. */
static void every_second_segment_reported_alone_is_marked(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	struct mr_active *a = &f->active[c->active];

	c->cwnd = 1 << 20;
	for (uint32_t i = 0; i < 250; i++) {
		rfc_send(f, c, tcp_bytes(0, 10), 10);
		rfc_send(f, c, tcp_bytes(0, 1), 1);
	}
	for (uint32_t i = 0; i < 250; i += 2) /* every second segment: no run to jump over */
		arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(0), .n_sack = 1,
			.sack = { { segment(0) + 11 * i + 10, segment(0) + 11 * i + 11 } });
	assert_true(a->n_sacked >= 120);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(a->n_sacked, 0);
	assert_int_equal(mr_tcp_pipe(&f->tcp, c), 0);
}

/* Whatever blocks come, in any order: marks and sums stay right. */
static void random_blocks_and_acks_keep_the_scoreboard_right(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	uint32_t seed = 12345;

	for (int round = 0; round < 3000; round++) {
		struct rfc_in in = { .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una };
		uint32_t flight = c->snd_nxt - c->snd_una;

		if (tcp_random(&seed) % 4 == 0)
			queue(f, c, c->tx_bytes < 100 * RFC_MSS ? tcp_random(&seed) % 8 : 0);
		if (tcp_random(&seed) % 3 == 0 && flight)
			in.ack += tcp_random(&seed) % (flight + 1);
		in.n_sack = (uint8_t)(tcp_random(&seed) % 5);
		for (int i = 0; i < in.n_sack; i++) {
			uint32_t from = tcp_random(&seed) % (flight / RFC_MSS + 2);

			in.sack[i].left = c->snd_una + from * RFC_MSS - tcp_random(&seed) % 2;
			in.sack[i].right = in.sack[i].left + tcp_random(&seed) % 4 * RFC_MSS +
					   tcp_random(&seed) % 2;
		}
		rfc_arrives(f, c, &in);
		rfc_advance(f, c, tcp_random(&seed) % 30);
		if (c->state != MR_ESTABLISHED)
			break;
	}
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_true(f->stats.fast_retransmits > 10);
	assert_true(f->stats.retransmit_timeouts > 10);
}

/* ----- 7: TLP ----- */

/* 7.2 and 7.3: after two round trips the last segment goes again, and the window stays */
static void tail_is_probed_after_two_round_trips(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 5);
	rfc_forget(f);
	rfc_advance(f, c, 2 * RTT - 1);
	assert_int_equal(f->n_sent, 0);
	rfc_advance(f, c, 1);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->seq, segment(4));
	assert_int_equal(f->stats.tlp_probes, 1);
	assert_int_equal(c->cwnd, SENT_SEGMENTS * RFC_MSS);
	rfc_advance(f, c, RTT); /* one probe, then the timer */
	assert_int_equal(f->n_sent, 1);
}

/* 7.3: new text rather than old */
static void probe_takes_new_text_when_there_is_some(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 12);
	rfc_forget(f);
	rfc_advance(f, c, 2 * RTT);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->seq, segment(10));
	assert_int_equal(f->stats.retransmits, 0);
}

/* 7.2: one segment alone: time for a delayed ACK; never behind the timeout */
static void single_segment_waits_for_a_delayed_ack(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 1);
	rfc_forget(f);
	rfc_advance(f, c, RTT + MR_RTO_MIN_MS - 1);
	assert_int_equal(f->n_sent, 0);
	rfc_advance(f, c, 1);
	assert_int_equal(f->stats.tlp_probes, 1);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
}

/* The probe's SACK shows the loss before it, which RACK repairs without a timeout */
static void probe_shows_the_lost_tail(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 5);
	rfc_advance(f, c, RTT);
	ack(f, c, 2); /* 2, 3, 4 are lost */
	rfc_advance(f, c, 2 * RTT);
	assert_int_equal(times_sent(f, 4), 2);
	rfc_advance(f, c, RTT);
	sack(f, c, 2, 4, 5);
	rfc_advance(f, c, RTT / 4 + 2);
	assert_int_equal(times_sent(f, 2), 2);
	ack(f, c, 3); /* PRR: one by one, as something arrives */
	assert_int_equal(times_sent(f, 3), 2);
	assert_int_equal(f->stats.retransmit_timeouts, 0);
}

/* 7.4.2: the probe itself repaired a loss: the window answers */
static void probe_that_repaired_a_loss_halves_the_window(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 8);
	rfc_advance(f, c, RTT);
	ack(f, c, 7);
	rfc_advance(f, c, 250); /* 7 again */
	assert_int_equal(times_sent(f, 7), 2);
	ack(f, c, 8);
	assert_int_equal(f->stats.tlp_losses, 0);
	queue(f, c, 1);
	ack(f, c, 9);
	assert_int_equal(f->stats.tlp_losses, 1);
	assert_true(c->cwnd < SENT_SEGMENTS * RFC_MSS);
}

/* 7.4.2, case 1: a DSACK says that the original came */
static void probe_reported_as_duplicate_is_no_loss(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, 8);
	rfc_advance(f, c, RTT);
	ack(f, c, 7);
	rfc_advance(f, c, 250);
	ack(f, c, 8);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(8), .n_sack = 1,
		.sack = { { segment(7), segment(8) } });
	queue(f, c, 1);
	ack(f, c, 9);
	assert_int_equal(f->stats.tlp_losses, 0);
	assert_true(c->cwnd >= SENT_SEGMENTS * RFC_MSS);
}

/* ----- RFC 6937 ----- */

/* "sndcnt = CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out": a segment for two delivered */
static void prr_sends_one_segment_for_two(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	unsigned int before;

	queue(f, c, 40);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4); /* 3 delivered: CEIL(3 * 5 / 10) = 2 */
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
	before = f->n_sent;
	for (uint32_t n = 5; n <= 8; n++)
		sack(f, c, 0, 1, n);
	assert_in_range(f->n_sent - before, 1, 2);
	assert_true(c->cwnd >= c->ssthresh);
	ack(f, c, 10);
	rfc_advance(f, c, 1);
	ack(f, c, (c->snd_nxt - segment(0)) / RFC_MSS);
	assert_false(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(c->ssthresh, 5 * RFC_MSS);
}

/* ----- RFC 3042, peers without SACK ----- */

static void without_sack_two_duplicates_each_let_one_segment_out(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	c->flags &= ~MR_CONN_SACK;
	queue(f, c, 20);
	rfc_forget(f);
	ack(f, c, 0);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->seq, segment(10));
	ack(f, c, 0);
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(c->cwnd, SENT_SEGMENTS * RFC_MSS);
	ack(f, c, 0);
	assert_int_equal(rfc_last(f)->seq, segment(0));
	assert_int_equal(c->ssthresh, 5 * RFC_MSS); /* of what was out before */
}

/* ----- RFC 5682 ----- */

/* 2.1: (1) to (3b): the ACKs of the originals come late: everything is put back */
static void timeout_answered_by_originals_is_undone(void **state)
{
	for (int with_sack = 0; with_sack < 2; with_sack++) {
		struct rfc *f = *state;
		struct mr_conn *c = begin(f);
		uint64_t before = f->stats.frto_spurious;

		c->flags &= with_sack ? ~0u : ~(uint32_t)MR_CONN_SACK;
		queue(f, c, 20);
		while (!(c->flags & MR_CONN_RTO_RECOVERY))
			rfc_advance(f, c, 10);
		assert_int_equal(c->cwnd, RFC_MSS);
		rfc_forget(f);
		ack(f, c, 1); /* 2b: new text */
		assert_true(f->n_sent > 0);
		assert_true(mr_seq_le(segment(10), f->sent[0].seq));
		ack(f, c, 2); /* 3b: not sent again since */
		assert_int_equal(f->stats.frto_spurious, before + 1);
		assert_true(c->cwnd >= SENT_SEGMENTS * RFC_MSS);
		assert_false(c->flags & MR_CONN_RTO_RECOVERY);
		for (uint32_t n = 1; n < 10; n++)
			assert_int_equal(times_sent(f, n), 0);
		tcp_ack_arrives(f, c, c->snd_nxt);
		mr_tcp_drop_sent(&f->tcp, c);
	}
}

/* 3a: a duplicate instead: the loss was real, and all of it goes again */
static void timeout_answered_by_duplicate_is_real(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	c->flags &= ~MR_CONN_SACK;
	queue(f, c, 20);
	rfc_advance(f, c, c->rto_ms);
	assert_true(c->flags & MR_CONN_RTO_RECOVERY);
	ack(f, c, 1);
	ack(f, c, 1);
	assert_int_equal(times_sent(f, 1), 2);
	assert_int_equal(f->stats.frto_spurious, 0);
	for (uint32_t n = 2; n <= 10; n++)
		ack(f, c, n);
	for (uint32_t n = 0; n < 9; n++)
		assert_int_equal(times_sent(f, n), 2);
}

/* What fills the gap acknowledges what came before it too: that shows nothing without SACK */
static void timeout_of_the_first_segment_alone_is_not_undone(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	c->flags &= ~MR_CONN_SACK;
	queue(f, c, 10);
	rfc_advance(f, c, c->rto_ms);
	assert_true(c->flags & MR_CONN_RTO_RECOVERY);
	ack(f, c, 9);
	assert_int_equal(f->stats.frto_spurious, 0);
	assert_true(c->cwnd < 5 * RFC_MSS);
}

/* ----- undo ----- */

/* RFC 3522 3.2: the ACK echoes a timestamp from before the retransmission */
static void echo_of_the_original_undoes_recovery(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);
	uint32_t first;

	c->flags |= MR_CONN_TIMESTAMPS;
	queue(f, c, SENT_SEGMENTS);
	first = rfc_last(f)->options.ts_val;
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	assert_true(c->flags & MR_CONN_RECOVERY);
	assert_int_equal(times_sent(f, 0), 2);
	rfc_advance(f, c, 5);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(4), .has_ts = true,
		.ts_val = 1, .ts_ecr = first);
	assert_false(c->flags & MR_CONN_RECOVERY);
	assert_true(c->cwnd >= SENT_SEGMENTS * RFC_MSS);
	assert_int_equal(f->stats.spurious_recoveries, 1);
}

static void echo_of_the_retransmission_undoes_nothing(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	c->flags |= MR_CONN_TIMESTAMPS;
	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	rfc_advance(f, c, RTT);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(4), .has_ts = true,
		.ts_val = 1, .ts_ecr = rfc_last(f)->options.ts_val);
	assert_int_equal(f->stats.spurious_recoveries, 0);
	assert_true(c->flags & MR_CONN_RECOVERY);
}

/* RFC 3708 2: all that was sent again is reported as duplicate */
static void duplicates_of_all_retransmissions_undo_recovery(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = begin(f);

	queue(f, c, SENT_SEGMENTS);
	rfc_advance(f, c, RTT);
	sack(f, c, 0, 1, 4);
	ack(f, c, 10);
	assert_true(c->cwnd < SENT_SEGMENTS * RFC_MSS);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = segment(10), .n_sack = 1,
		.sack = { { segment(0), segment(1) } });
	assert_int_equal(f->stats.spurious_recoveries, 1);
	assert_true(c->cwnd >= SENT_SEGMENTS * RFC_MSS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(three_sacked_segments_lose_the_first_at_once),
		TEST(one_sacked_segment_loses_the_first_after_the_window),
		TEST(reordered_segment_within_the_window_is_not_resent),
		TEST(reordering_seen_waits_beyond_three_segments),
		TEST(dsack_widens_the_window),
		TEST(lost_retransmission_is_repaired_without_timeout),
		TEST(every_hole_of_a_window_is_resent_once),
		TEST(blocks_outside_what_was_sent_are_ignored),
		TEST(part_of_a_frame_is_not_marked),
		TEST(timeout_with_head_reported_forgets_all_marks),
		TEST(head_reported_and_missing_reports_go_on_it_is_sent_again),
		TEST(timeout_keeps_marks_behind_a_hole),
		TEST(every_second_segment_reported_alone_is_marked),
		TEST(random_blocks_and_acks_keep_the_scoreboard_right),
		TEST(tail_is_probed_after_two_round_trips),
		TEST(probe_takes_new_text_when_there_is_some),
		TEST(single_segment_waits_for_a_delayed_ack),
		TEST(probe_shows_the_lost_tail),
		TEST(probe_that_repaired_a_loss_halves_the_window),
		TEST(probe_reported_as_duplicate_is_no_loss),
		TEST(prr_sends_one_segment_for_two),
		TEST(without_sack_two_duplicates_each_let_one_segment_out),
		TEST(timeout_answered_by_originals_is_undone),
		TEST(timeout_answered_by_duplicate_is_real),
		TEST(timeout_of_the_first_segment_alone_is_not_undone),
		TEST(echo_of_the_original_undoes_recovery),
		TEST(echo_of_the_retransmission_undoes_nothing),
		TEST(duplicates_of_all_retransmissions_undo_recovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
