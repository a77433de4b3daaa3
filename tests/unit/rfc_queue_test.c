/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.10.2 (SEND call) and the contract of user/tcp/queue.c: a frame is its own retransmit
 * copy, the kernel's frames are not touched, nothing is lost when room or frames are short.
 */
#include "tests/unit/rfc_words.h"

#include <errno.h>
#include <string.h>

static uint8_t text[40 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	rfc_fill(text, sizeof(text));
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

/* Sequence number of byte @n of the stream. */
static uint32_t byte(uint32_t n)
{
	return RFC_ISS + 1 + n;
}

static unsigned int frames_queued(const struct rfc *f, const struct mr_conn *c)
{
	unsigned int n = 0;

	for (uint32_t i = c->tx_head; i != MR_NONE; i = f->records[i].next)
		n++;
	return n;
}

/* The segments since rfc_forget() are the stream from @from to @to, in order. */
static void assert_stream(const struct rfc *f, uint32_t from, uint32_t to)
{
	for (unsigned int i = 0; i < f->n_sent; i++) {
		assert_int_equal(f->sent[i].seq, byte(from));
		assert_memory_equal(f->sent[i].text, text + from, f->sent[i].len);
		from += f->sent[i].len;
	}
	assert_int_equal(from, to);
}

/* The other lanes' and connections' frames: all but @left are taken. Returned by give_back(). */
static void take_frames(struct rfc *f, uint32_t *list, uint32_t left)
{
	*list = MR_NONE;
	while (f->frames.n_free > left) {
		uint32_t i = mr_frame_take(&f->frames, MR_FRAME_HAND, true);

		f->records[i].next = *list;
		*list = i;
	}
}

static void give_back(struct rfc *f, uint32_t list)
{
	mr_frame_give_list(&f->frames, list);
}

/* ----- appending ----- */

static void established_small_writes_fill_one_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	ack_window(&f, c, c->snd_una, 0);
	for (uint32_t i = 0; i < RFC_MSS / 20; i++)
		rfc_send(&f, c, text + 20 * i, 20);
	assert_int_equal(frames_queued(&f, c), 1);
	rfc_send(&f, c, text + RFC_MSS, 1);
	assert_int_equal(frames_queued(&f, c), 2);
	assert_int_equal(f.records[c->tx_head].len, RFC_MSS);
	ack(&f, c, c->snd_una);
	ack(&f, c, byte(RFC_MSS));
	assert_stream(&f, 0, RFC_MSS + 1);
	rfc_fini(&f);
}

static void established_write_after_sending_takes_another_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_send(&f, c, text + 10, 10);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(frames_queued(&f, c), 2);
	rfc_advance(&f, c, 1000); /* sent again as it was */
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->len, 10);
	rfc_fini(&f);
}

static void established_send_buffer_bounds_what_is_queued(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	f.config.send_buffer = 4096;
	assert_int_equal(rfc_send(&f, c, text, 10000), 4096);
	assert_int_equal(rfc_send(&f, c, text, 1), 0);
	assert_int_equal(f.events[MR_EVENT_WRITABLE], 0);
	rfc_forget(&f);
	ack(&f, c, byte(2 * RFC_MSS));
	assert_int_equal(f.events[MR_EVENT_WRITABLE], 1);
	assert_int_equal(rfc_send(&f, c, text + 4096, 10000), 2 * RFC_MSS);
	rfc_fini(&f);
}

static void other_states_send_is_refused(void **state)
{
	static const struct {
		enum mr_tcp_state state;
		int error;
	} rows[] = {
		{ MR_SYN_SENT, -ENOTCONN }, { MR_SYN_RECEIVED, -ENOTCONN },
		{ MR_FIN_WAIT_1, -EPIPE },  { MR_FIN_WAIT_2, -EPIPE },
		{ MR_CLOSING, -EPIPE },	    { MR_LAST_ACK, -EPIPE },
		{ MR_TIME_WAIT, -EPIPE },
	};
	struct rfc f;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mr_conn *c;

		rfc_init(&f);
		c = rfc_conn_in(&f, rows[i].state);
		assert_int_equal(rfc_send(&f, c, "x", 1), rows[i].error);
		assert_int_equal(c->tx_bytes, 0);
		rfc_fini(&f);
	}
}

static void close_wait_send_is_allowed(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	c = rfc_conn_in(&f, MR_CLOSE_WAIT);
	assert_int_equal(rfc_send(&f, c, "x", 1), 1);
	assert_int_equal(f.n_sent, 1);
	rfc_fini(&f);
}

/* ----- mr_tcp_reserve(), mr_tcp_commit(), mr_tcp_send_whole() ----- */

static void established_commit_queues_the_reserved_bytes(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t room = 0;
	uint8_t *to = mr_tcp_reserve(&f.tcp, c, &room);

	(void)state;
	assert_non_null(to);
	assert_int_equal(room, RFC_MSS);
	memcpy(to, text, 100);
	mr_tcp_commit(&f.tcp, c, 60);
	rfc_output(&f, c);
	assert_stream(&f, 0, 60);
	rfc_fini(&f);
}

/* An empty frame that was only reserved keeps neither text nor FIN back. */
static void established_close_after_unused_reservation_sends_fin(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t room;

	(void)state;
	assert_non_null(mr_tcp_reserve(&f.tcp, c, &room));
	mr_tcp_commit(&f.tcp, c, 0);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 0);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	rfc_fini(&f);
}

static void established_send_whole_queues_both_or_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	f.config.send_buffer = 3000;
	assert_int_equal(mr_tcp_send_whole(&f.tcp, c, text, 8, text + 8, 1992), 0);
	assert_int_equal(mr_tcp_send_whole(&f.tcp, c, text, 8, text, 1992), -EAGAIN);
	assert_int_equal(c->tx_bytes, 2000);
	rfc_output(&f, c);
	ack(&f, c, byte(RFC_MSS));
	assert_int_equal(f.events[MR_EVENT_WRITABLE], 1);
	assert_stream(&f, 0, 2000);
	assert_int_equal(mr_tcp_send_whole(&f.tcp, c, text, 8, text, 1u << 30), -EMSGSIZE);
	rfc_fini(&f);
}

/* ----- the kernel holds what was sent ----- */

static void established_held_frame_is_resent_as_a_copy(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	f.hold_tx = true;
	rfc_send(&f, c, text, 100);
	assert_int_equal(f.records[c->tx_head].in_tx, 1);
	rfc_advance(&f, c, 1000); /* the fixture fails if the frame itself goes out again */
	assert_int_equal(f.n_sent, 2);
	assert_int_equal(rfc_last(&f)->seq, byte(0));
	assert_memory_equal(rfc_last(&f)->text, text, 100);
	rfc_complete(&f);
	rfc_advance(&f, c, 2000); /* now the frame itself */
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(f.records[c->tx_head].in_tx, 1);
	rfc_fini(&f);
}

static void established_acked_while_held_is_free_at_completion(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t before = f.frames.n_free;

	(void)state;
	f.hold_tx = true;
	rfc_send(&f, c, text, 3 * RFC_MSS);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->tx_head, MR_NONE);
	assert_int_equal(f.frames.n_free, before - 3);
	rfc_complete(&f);
	assert_int_equal(f.frames.n_free, before);
	rfc_fini(&f);
}

static void established_abort_while_held_is_free_at_completion(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t before = f.frames.n_free;

	(void)state;
	f.hold_tx = true;
	rfc_send(&f, c, text, 20 * RFC_MSS);
	mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
	assert_int_equal(f.frames.n_free, before - 10);
	rfc_complete(&f);
	assert_int_equal(f.frames.n_free, before);
	rfc_fini(&f);
}

/* ----- trimming and splitting ----- */

static void partial_ack_trims(bool hold)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	f.hold_tx = hold;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	ack(&f, c, byte(500));
	assert_int_equal(c->tx_bytes, 2 * RFC_MSS - 500);
	rfc_forget(&f);
	rfc_advance(&f, c, c->rto_ms);
	assert_stream(&f, 500, RFC_MSS);
	ack(&f, c, byte(RFC_MSS + 1));
	assert_int_equal(frames_queued(&f, c), 1);
	ack(&f, c, byte(2 * RFC_MSS));
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

static void established_partial_ack_trims_the_head(void **state)
{
	(void)state;
	partial_ack_trims(false);
}

static void established_partial_ack_trims_a_held_head(void **state)
{
	(void)state;
	partial_ack_trims(true);
}

static void established_small_window_splits_a_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->max_snd_wnd = 700;
	ack_window(&f, c, byte(0), 700);
	rfc_send(&f, c, text, RFC_MSS);
	ack_window(&f, c, byte(700), 700);
	ack_window(&f, c, byte(1400), 700);
	assert_int_equal(f.n_sent, 3);
	assert_stream(&f, 0, RFC_MSS);
	assert_int_equal(f.sent[0].flags, MR_ACK);
	assert_int_equal(f.sent[2].flags, MR_ACK | MR_PSH);
	ack(&f, c, byte(RFC_MSS));
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* What was written apart keeps its PSH at the end, not in the middle. */
static void established_split_keeps_psh_on_the_last_part(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	c->max_snd_wnd = 700;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, 1000);
	rfc_send(&f, c, text + 1000, 200);
	ack_window(&f, c, byte(0), 700);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 700);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	ack_window(&f, c, byte(700), 700);
	assert_int_equal(f.n_sent, 3);
	assert_int_equal(f.sent[1].flags, MR_ACK | MR_PSH);
	assert_stream(&f, 0, 1200);
	rfc_fini(&f);
}

/*
 * A peer that takes probe after probe and never opens its window: acknowledged bytes leave the
 * tail frame at the front while the application fills it at the end, and it must stay in its frame.
 */
static void probing_tail_never_outgrows_its_frame(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t queued;

	(void)state;
	ack_window(&f, c, byte(0), 0);
	queued = (uint32_t)rfc_send(&f, c, text, RFC_MSS - 1);
	for (uint32_t i = 0; i < 1000; i++) {
		rfc_advance(&f, c, MR_RTO_MAX_MS);
		assert_int_equal(rfc_last(&f)->seq, byte(i));
		assert_int_equal(rfc_last(&f)->text[0], text[i]);
		ack_window(&f, c, byte(i + 1), 0);
		queued += (uint32_t)rfc_send(&f, c, text + queued, 1);
		for (uint32_t j = c->tx_head; j != MR_NONE; j = f.records[j].next)
			assert_true(f.records[j].offset + f.records[j].len <= RFC_FRAME_BYTES);
	}
	assert_int_equal(queued, RFC_MSS - 1 + 1000);
	rfc_forget(&f);
	ack(&f, c, byte(1000));
	while (c->tx_bytes)
		ack(&f, c, c->snd_nxt);
	assert_stream(&f, 1000, queued);
	rfc_fini(&f);
}

/* ----- no room, no frames ----- */

static void established_transmit_refuses_nothing_is_lost(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	f.no_room = true;
	rfc_send(&f, c, text, 5 * RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(c->snd_nxt, byte(0));
	assert_true(c->flags & MR_CONN_SEND_LIMITED);
	assert_int_equal(f.stats.segments_out, 0);
	f.no_room = false;
	f.ready = true;
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 5);
	assert_stream(&f, 0, 5 * RFC_MSS);
	assert_int_equal(f.stats.retransmits, 0);
	rfc_fini(&f);
}

static void established_transmit_refuses_fin_is_not_lost(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	f.no_room = true;
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_true(c->flags & MR_CONN_SEND_LIMITED);
	f.no_room = false;
	f.ready = true;
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_FIN | MR_ACK);
	rfc_fini(&f);
}

/* A retransmission that finds no room is tried again by the timer. */
static void established_transmit_refuses_timeout_tries_again(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	rfc_send(&f, c, text, 100);
	rfc_forget(&f);
	f.no_room = true;
	rfc_advance(&f, c, 60000);
	assert_int_equal(f.n_sent, 0);
	assert_int_equal(c->state, MR_ESTABLISHED);
	f.no_room = false;
	rfc_advance(&f, c, MR_RTO_MAX_MS);
	assert_true(f.n_sent > 0);
	assert_int_equal(f.sent[0].seq, byte(0));
	assert_int_equal(f.sent[0].len, 100);
	rfc_fini(&f);
}

/* Hogs took the rest: whoever has nothing queued gets a frame all the same. */
static void established_frames_short_one_frame_for_the_empty_queue(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t taken;

	(void)state;
	take_frames(&f, &taken, f.frames.reserve);
	assert_int_equal(rfc_send(&f, c, text, 10 * RFC_MSS), RFC_MSS);
	assert_int_equal(rfc_send(&f, c, text + RFC_MSS, 1), 0);
	assert_stream(&f, 0, RFC_MSS);
	ack(&f, c, byte(RFC_MSS));
	assert_int_equal(f.events[MR_EVENT_WRITABLE], 1);
	assert_int_equal(rfc_send(&f, c, text + RFC_MSS, RFC_MSS), RFC_MSS);
	give_back(&f, taken);
	rfc_fini(&f);
}

/*
 * Down to which of the last frames one of @unread bytes and nothing queued may send: half of the
 * reserve; who has something to answer goes below where the fill ring stops, but not to the last
 * eighth, which is for ACKs, probes and resets.
 */
static void sends_down_to(uint32_t unread, uint32_t last)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t taken;

	if (unread)
		rfc_arrives(&f, c,
			    &(struct rfc_in){ .flags = MR_ACK,
					      .seq = c->rcv_nxt,
					      .text = text,
					      .len = (uint16_t)unread });
	take_frames(&f, &taken, last);
	assert_int_equal(mr_tcp_send_room(&f.tcp, c), 0);
	assert_int_equal(rfc_send(&f, c, text, 100), 0);
	assert_true(c->flags & MR_CONN_WANT_WRITE);
	give_back(&f, taken);
	take_frames(&f, &taken, last + 1);
	assert_int_equal(rfc_send(&f, c, text, 100), 100);
	assert_int_equal(f.frames.n_free, last);
	give_back(&f, taken);
	rfc_fini(&f);
}

static void established_frames_short_last_ones_are_for_control(void **state)
{
	struct rfc f;

	(void)state;
	rfc_init(&f);
	sends_down_to(0, f.frames.reserve / 2);
	sends_down_to(100, f.frames.reserve / 8);
	rfc_fini(&f);
}

static void established_no_frames_send_takes_nothing(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t taken;

	(void)state;
	take_frames(&f, &taken, 0);
	assert_int_equal(rfc_send(&f, c, text, 100), 0);
	assert_true(c->flags & MR_CONN_WANT_WRITE);
	assert_int_equal(f.n_sent, 0);
	give_back(&f, taken);
	assert_int_equal(rfc_send(&f, c, text, 100), 100);
	assert_stream(&f, 0, 100);
	rfc_fini(&f);
}

/* No frame for the rest of one that must be cut: it waits, and leaves when there is one. */
static void established_no_frames_split_waits(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t taken;

	(void)state;
	c->max_snd_wnd = 700;
	ack_window(&f, c, byte(0), 0);
	rfc_send(&f, c, text, RFC_MSS);
	take_frames(&f, &taken, 1); /* for what arrives */
	ack_window(&f, c, byte(0), 700);
	assert_int_equal(f.n_sent, 0);
	assert_true(c->flags & MR_CONN_SEND_LIMITED);
	give_back(&f, taken);
	f.ready = true;
	rfc_output(&f, c);
	assert_stream(&f, 0, 700);
	rfc_fini(&f);
}

/* Without Nagle a write is a segment, but not when a byte would cost a frame that others need. */
static void established_frames_short_nodelay_writes_share_frames(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t taken;

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	ack_window(&f, c, byte(0), 0);
	take_frames(&f, &taken, RFC_FRAMES / 4 - 1);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(rfc_send(&f, c, text + i, 1), 1);
	assert_int_equal(frames_queued(&f, c), 1);
	give_back(&f, taken);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_small_writes_fill_one_frame),
		cmocka_unit_test(established_write_after_sending_takes_another_frame),
		cmocka_unit_test(established_send_buffer_bounds_what_is_queued),
		cmocka_unit_test(other_states_send_is_refused),
		cmocka_unit_test(close_wait_send_is_allowed),
		cmocka_unit_test(established_commit_queues_the_reserved_bytes),
		cmocka_unit_test(established_close_after_unused_reservation_sends_fin),
		cmocka_unit_test(established_send_whole_queues_both_or_nothing),
		cmocka_unit_test(established_held_frame_is_resent_as_a_copy),
		cmocka_unit_test(established_acked_while_held_is_free_at_completion),
		cmocka_unit_test(established_abort_while_held_is_free_at_completion),
		cmocka_unit_test(established_partial_ack_trims_the_head),
		cmocka_unit_test(established_partial_ack_trims_a_held_head),
		cmocka_unit_test(established_small_window_splits_a_frame),
		cmocka_unit_test(established_split_keeps_psh_on_the_last_part),
		cmocka_unit_test(probing_tail_never_outgrows_its_frame),
		cmocka_unit_test(established_transmit_refuses_nothing_is_lost),
		cmocka_unit_test(established_transmit_refuses_fin_is_not_lost),
		cmocka_unit_test(established_transmit_refuses_timeout_tries_again),
		cmocka_unit_test(established_frames_short_one_frame_for_the_empty_queue),
		cmocka_unit_test(established_frames_short_last_ones_are_for_control),
		cmocka_unit_test(established_no_frames_send_takes_nothing),
		cmocka_unit_test(established_no_frames_split_waits),
		cmocka_unit_test(established_frames_short_nodelay_writes_share_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
