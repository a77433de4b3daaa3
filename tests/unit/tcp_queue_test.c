/* SPDX-License-Identifier: MIT */
/*
 * The send queue (user/tcp/queue.c): frames are their own retransmit copies; what the kernel holds
 * is never written; the tail takes more while it was never sent; nothing is lost when the transmit
 * ring or the frames are short.
 */
#include "tests/unit/tcp_fixture.h"

#include <errno.h>
#include <string.h>

/* The text of all recorded segments, by sequence number, equals the stream. */
static void assert_sent_stream(struct rfc *f, uint32_t from, uint32_t len)
{
	uint32_t next = from;

	for (unsigned int i = 0; i < f->n_sent; i++) {
		const struct rfc_sent *s = &f->sent[i];
		uint32_t offset = s->seq - (RFC_ISS + 1);

		if (!s->len)
			continue;
		assert_memory_equal(s->text, tcp_bytes(offset, s->len), s->len);
		if (offset == next)
			next += s->len;
	}
	assert_int_equal(next, from + len);
}

static void kernel_holds_frame_retransmission_is_a_copy(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint8_t before[RFC_FRAME_BYTES];
	uint32_t frame;

	f->hold_tx = true;
	rfc_send(f, c, tcp_bytes(0, 100), 100);
	frame = c->tx_head;
	assert_int_equal(f->records[frame].in_tx, 1);
	memcpy(before, mr_frame_bytes_at(&f->frames, frame), sizeof(before));
	rfc_advance(f, c, 1000); /* op_transmit fails the test for a frame with in_tx */
	assert_int_equal(f->n_sent, 2);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
	assert_memory_equal(rfc_last(f)->text, tcp_bytes(0, 100), 100);
	assert_memory_equal(before, mr_frame_bytes_at(&f->frames, frame), sizeof(before));
}

static void kernel_holds_frame_later_text_takes_another(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t first;

	f->hold_tx = true;
	rfc_send(f, c, tcp_bytes(0, 100), 100);
	first = c->tx_head;
	rfc_send(f, c, tcp_bytes(100, 100), 100);
	assert_int_equal(f->records[first].len, 100);
	assert_int_not_equal(c->tx_tail, first);
}

static void acknowledged_while_the_kernel_holds_it_is_free_at_completion(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	f->hold_tx = true;
	rfc_send(f, c, tcp_bytes(0, 100), 100);
	tcp_ack_arrives(f, c, c->snd_nxt);
	assert_int_equal(c->tx_head, MR_NONE);
	assert_int_equal(f->stats.frames.ctl, 1);
	assert_int_equal(f->frames.n_free, RFC_FRAMES - 1);
	rfc_complete(f);
	assert_int_equal(f->frames.n_free, RFC_FRAMES);
}

static void tail_not_sent_yet_takes_more_bytes(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	for (uint32_t i = 0; i < 20; i++)
		mr_tcp_send_call(&f->tcp, c, tcp_bytes(i * 50, 50), 50);
	assert_int_equal(c->tx_head, c->tx_tail);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->len, 1000);
	assert_sent_stream(f, 0, 1000);
}

static void nodelay_writes_are_segments_of_their_own(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->flags |= MR_CONN_NODELAY;
	for (uint32_t i = 0; i < 3; i++)
		mr_tcp_send_call(&f->tcp, c, tcp_bytes(i * 50, 50), 50);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 3);
	assert_sent_stream(f, 0, 150);
}

static void ring_full_nothing_is_lost_and_all_is_sent_later(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	f->no_room = true;
	assert_int_equal(rfc_send(f, c, tcp_bytes(0, 5840), 5840), 5840);
	assert_int_equal(f->n_sent, 0);
	assert_int_equal(c->snd_nxt, RFC_ISS + 1);
	assert_true(c->flags & MR_CONN_SEND_LIMITED);
	f->no_room = false;
	mr_tcp_output(&f->tcp, c);
	assert_false(c->flags & MR_CONN_SEND_LIMITED);
	assert_sent_stream(f, 0, 5840);
}

static void ring_full_at_a_timeout_asks_for_output(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, tcp_bytes(0, 100), 100);
	rfc_forget(f);
	f->no_room = true;
	f->tcp.now_ms += 1000;
	mr_tcp_timers(&f->tcp, c);
	assert_int_equal(f->n_sent, 0);
	assert_true(f->ready);
	f->no_room = false;
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
}

/* RFC 5681 3.2: the third duplicate met a full ring: the fourth retransmits. */
static void ring_full_at_the_third_dupack_the_next_one_retransmits(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, tcp_bytes(0, 10000), 10000);
	rfc_forget(f);
	f->no_room = true;
	for (int i = 0; i < 3; i++)
		tcp_ack_arrives(f, c, RFC_ISS + 1);
	assert_int_equal(f->n_sent, 0);
	f->no_room = false;
	tcp_ack_arrives(f, c, RFC_ISS + 1);
	assert_int_equal(f->sent[0].seq, RFC_ISS + 1);
	assert_int_equal(f->stats.fast_retransmits, 1);
}

/* All frames but the reserve are elsewhere: what does not fit waits, and is not half queued. */
static void frames_short_message_is_queued_whole_or_not_at_all(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t hog = MR_NONE;
	uint32_t i;

	while ((i = mr_frame_take(&f->frames, MR_FRAME_HAND, false)) != MR_NONE) {
		f->records[i].next = hog;
		hog = i;
	}
	assert_int_equal(mr_tcp_send_whole(&f->tcp, c, "head", 4, tcp_bytes(0, 5000), 5000),
			 -EAGAIN);
	assert_int_equal(c->tx_bytes, 0);
	assert_true(c->flags & MR_CONN_WANT_WRITE);
	/* nothing is queued: one frame of the reserve is for whoever has none */
	assert_int_equal(mr_tcp_send_whole(&f->tcp, c, "head", 4, tcp_bytes(0, 100), 100), 0);
	assert_int_equal(c->tx_bytes, 104);
	mr_frame_give_list(&f->frames, hog);
	assert_int_equal(mr_tcp_send_whole(&f->tcp, c, "head", 4, tcp_bytes(0, 5000), 5000), 0);
	assert_int_equal(c->tx_bytes, 104 + 5004);
	assert_int_equal(mr_tcp_send_whole(&f->tcp, c, "head", 4, NULL, UINT32_MAX), -EMSGSIZE);
}

static void partly_acknowledged_frame_is_cut_and_resent_from_there(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	rfc_send(f, c, tcp_bytes(0, 1000), 1000);
	tcp_ack_arrives(f, c, RFC_ISS + 1 + 300);
	rfc_forget(f);
	rfc_advance(f, c, 1000);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1 + 300);
	assert_int_equal(rfc_last(f)->len, 700);
	assert_sent_stream(f, 300, 700);
}

/*
 * Zero-window probes take bytes off the front of a frame that is still filled: its end stays the
 * frame's end (the next frame's headers stand there).
 */
static void probed_tail_never_grows_beyond_its_frame(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->snd_mss = RFC_FRAME_BYTES - MR_TX_OFFSET;
	c->snd_wnd = 0;
	rfc_send(f, c, tcp_bytes(0, 10), 10);
	for (uint32_t i = 1; i <= 5; i++) {
		while (c->snd_nxt == c->snd_una) /* it backs off */
			rfc_advance(f, c, 1000);
		arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = RFC_ISS + 1 + i,
			.zero_wnd = true);
	}
	assert_int_equal(c->tx_bytes, 5);
	rfc_send(f, c, tcp_bytes(10, 4000), 4000);
	for (uint32_t i = c->tx_head; i != MR_NONE; i = f->records[i].next)
		assert_true(f->records[i].offset + f->records[i].len <= RFC_FRAME_BYTES);
	rfc_forget(f);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .wnd = 60000);
	tcp_ack_arrives(f, c, c->snd_nxt); /* what Nagle's algorithm held */
	assert_sent_stream(f, 5, 4005);
}

/* A probe put snd_nxt beyond the closed window: an ACK there would not be acceptable. */
static void probing_acks_and_rst_stay_inside_the_peers_window(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->snd_wnd = 0;
	rfc_send(f, c, tcp_bytes(0, 10), 10);
	rfc_advance(f, c, 1000);
	assert_int_equal(c->snd_nxt, RFC_ISS + 2);
	rfc_forget(f);
	arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .zero_wnd = true,
		.text = "x", .len = 1);
	assert_int_equal(rfc_last(f)->flags, MR_ACK);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
	mr_tcp_abort_call(&f->tcp, c, MR_CLOSE_ABORTED);
	assert_int_equal(rfc_last(f)->flags, MR_RST | MR_ACK);
	assert_int_equal(rfc_last(f)->seq, RFC_ISS + 1);
}

static void commit_of_nothing_queues_nothing(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint32_t room;

	mr_tcp_commit(&f->tcp, c, 0); /* nothing was reserved */
	assert_non_null(mr_tcp_reserve(&f->tcp, c, &room));
	assert_int_equal(room, c->snd_mss);
	mr_tcp_commit(&f->tcp, c, 0);
	rfc_output(f, c);
	assert_int_equal(f->n_sent, 0);
	assert_int_equal(c->tx_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(kernel_holds_frame_retransmission_is_a_copy),
		TEST(kernel_holds_frame_later_text_takes_another),
		TEST(acknowledged_while_the_kernel_holds_it_is_free_at_completion),
		TEST(tail_not_sent_yet_takes_more_bytes),
		TEST(nodelay_writes_are_segments_of_their_own),
		TEST(ring_full_nothing_is_lost_and_all_is_sent_later),
		TEST(ring_full_at_a_timeout_asks_for_output),
		TEST(ring_full_at_the_third_dupack_the_next_one_retransmits),
		TEST(frames_short_message_is_queued_whole_or_not_at_all),
		TEST(partly_acknowledged_frame_is_cut_and_resent_from_there),
		TEST(probed_tail_never_grows_beyond_its_frame),
		TEST(probing_acks_and_rst_stay_inside_the_peers_window),
		TEST(commit_of_nothing_queues_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
