/* SPDX-License-Identifier: MIT */
/*
 * The receive window grows with what the application takes in a round trip; RFC 9293 3.8.6.2.2
 * (MUST-39, SHLD-14): whatever happens, the right edge never moves back, and a window that was
 * closed opens without being asked; 3.8.6.2.1 (MUST-38): the sender's side, with Fs = 1/2 and an
 * override timeout of 0.1 to 1 s.
 */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

enum {
	SHIFT = 7,
	START = 64 << 10,
	BUFFER = 512 << 10,
};

static uint8_t data[RFC_FRAMES * RFC_MSS];

static uint32_t random_below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % n;
}

static struct mr_conn *begin(struct rfc *f, bool timestamps)
{
	struct mr_conn *c;

	rfc_init(f);
	f->config.receive_buffer = BUFFER;
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->flags |= MR_CONN_WINDOW_SCALE;
	c->rcv_shift = SHIFT;
	c->rcv_wnd = START;
	if (timestamps)
		c->flags |= MR_CONN_TIMESTAMPS;
	return c;
}

/* Text at @seq; with timestamps it echoes what we sent @rtt_ms ago. */
static void text_at(struct rfc *f, struct mr_conn *c, uint32_t seq, uint32_t len, uint32_t rtt_ms)
{
	bool ts = c->flags & MR_CONN_TIMESTAMPS;

	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_ACK,
				      .seq = seq,
				      .text = data,
				      .len = (uint16_t)len,
				      .has_ts = ts,
				      .ts_val = f->tcp.now_ms,
				      .ts_ecr = f->tcp.now_ms + f->tcp.ts_offset - rtt_ms });
}

/* One round trip in which the peer sends up to @most bytes and the application reads @read. */
static void round_trip(struct rfc *f, struct mr_conn *c, uint32_t ms, uint32_t most, uint32_t read)
{
	uint32_t edge = c->rcv_nxt + min_u32(most, c->rcv_wnd);

	while (mr_seq_lt(c->rcv_nxt, edge)) {
		text_at(f, c, c->rcv_nxt, min_u32(edge - c->rcv_nxt, RFC_MSS), ms);
		rfc_read(f, c, data, min_u32(read, sizeof(data)));
		rfc_forget(f);
	}
	rfc_advance(f, c, ms);
}

static uint32_t window(const struct mr_conn *c)
{
	return c->rcv_wnd + c->rx_bytes;
}

/* A peer that fills the window, an application that reads: four times as much in two round trips */
static void established_bulk_read_at_once_widens_the_window(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, ts);
		uint32_t was[8];

		for (int i = 0; i < 8; i++) {
			round_trip(&f, c, 50, BUFFER, BUFFER);
			was[i] = window(c);
			if (i > 2)
				assert_true(was[i] >=
					    min_u32(4 * was[i - 2], BUFFER - 4 * RFC_MSS));
		}
		assert_in_range(was[7], BUFFER - 4 * RFC_MSS, BUFFER);
		rfc_fini(&f);
	}
}

/*
 * A sender in slow start: each ACK of a segment lets it have twice in flight what was acknowledged
 * in the last round trip. The window is never what holds it back, up to the buffer (three segments
 * less: two that an ACK waits for, and the scale).
 */
static void established_slow_start_is_not_held_back(void **state)
{
	(void)state;
	for (uint32_t initial = 2; initial <= 20; initial++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, true);
		uint32_t cwnd = initial * RFC_MSS;

		while (cwnd < BUFFER) {
			for (uint32_t flight = cwnd; flight; flight -= min_u32(flight, RFC_MSS)) {
				uint32_t len = min_u32(flight, RFC_MSS);

				text_at(&f, c, c->rcv_nxt, len, 100);
				rfc_read(&f, c, data, BUFFER);
				cwnd += len;
				assert_true(c->rcv_wnd + 3 * RFC_MSS >=
					    min_u32(cwnd, BUFFER - 4 * RFC_MSS));
				rfc_forget(&f);
			}
			rfc_advance(&f, c, 100);
		}
		rfc_fini(&f);
	}
}

/* A peer that sends little in a round trip needs no more than the start, for however long. */
static void established_slow_peer_stays_at_the_start(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, ts);

		c->srtt_us = ts ? 0 : 50000 * 8;
		for (int i = 0; i < 300; i++)
			round_trip(&f, c, 50, 10 * RFC_MSS, BUFFER);
		assert_true(c->rcv_nxt - c->irs > 2 * BUFFER); /* much was read in all */
		assert_in_range(window(c), START - 2 * RFC_MSS, START + 4 * RFC_MSS);
		rfc_fini(&f);
	}
}

/* Nobody reads: never more than the start. */
static void established_unread_queue_stays_at_the_start(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, true);

	(void)state;
	for (int i = 0; i < 50; i++)
		round_trip(&f, c, 50, BUFFER, 0);
	assert_true(c->rx_bytes <= START + START / 8); /* rounded up to the scale by each ACK */
	rfc_fini(&f);
}

/* What it had grown to is still there when it was idle and its record went back. */
static void established_idle_window_is_kept(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, true);
	uint32_t before;

	(void)state;
	for (int i = 0; i < 10; i++)
		round_trip(&f, c, 50, BUFFER, BUFFER);
	before = c->rcv_wnd;
	assert_true(before > 4 * START);
	rfc_advance(&f, c, 60000);
	mr_tcp_give_idle(&f.tcp, 100);
	assert_null(mr_active_peek(&f.actives, c));
	text_at(&f, c, c->rcv_nxt, RFC_MSS, 50);
	rfc_read(&f, c, data, BUFFER);
	rfc_advance(&f, c, 50);
	assert_true(window(c) + 2 * RFC_MSS >= before);
	rfc_fini(&f);
}

/* A queue that nobody reads holds half-full frames at worst, whatever the size of segments. */
static void established_unread_middling_segments_share_frames(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, false);
	uint32_t n_free = f.frames.n_free;

	(void)state;
	while (c->rcv_wnd >= 300) {
		text_at(&f, c, c->rcv_nxt, 300, 0);
		rfc_forget(&f);
	}
	assert_true(c->rx_bytes > 60000);
	/* the first 32 KiB each in a frame of its own, the rest five to a frame */
	assert_true(n_free - f.frames.n_free < 32768 / 300 + 3 + 32768 / 1500 + 8);
	rfc_read(&f, c, data, BUFFER);
	rfc_fini(&f);
}

static void established_closed_window_opens_without_being_asked(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, false);

	(void)state;
	while (c->rcv_wnd)
		text_at(&f, c, c->rcv_nxt, min_u32(c->rcv_wnd, RFC_MSS), 0);
	rfc_advance(&f, c, 100);
	assert_int_equal(rfc_last(&f)->wnd, 0);
	rfc_forget(&f);
	rfc_read(&f, c, data, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_read(&f, c, data, 3 * RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	assert_true((uint32_t)rfc_last(&f)->wnd << SHIFT >= 2 * RFC_MSS);
	/* the next update when it is twice as large, not with each segment */
	rfc_forget(&f);
	while (c->rx_bytes)
		rfc_read(&f, c, data, RFC_MSS);
	assert_in_range(f.n_sent, 1, 6);
	assert_true(c->rcv_wnd >= START / 2);
	rfc_fini(&f);
}

/* Take frames away from the pool, or give them back. */
static void press(struct rfc *f, uint32_t *held, uint32_t *n_held, uint32_t want)
{
	while (*n_held < want) {
		uint32_t i = mr_frame_take(&f->frames, MR_FRAME_CTL, true);

		if (i == MR_NONE)
			return;
		held[(*n_held)++] = i;
	}
	while (*n_held > want)
		mr_frame_give(&f->frames, held[--*n_held]);
}

/* One random thing that may happen to a receiver. */
static void happen(struct rfc *f, struct mr_conn *c, uint32_t *seed, uint32_t *held,
		   uint32_t *n_held)
{
	uint32_t len = 1 + random_below(seed, RFC_MSS);

	switch (random_below(seed, 10)) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (c->rcv_wnd && f->frames.n_free > 4)
			text_at(f, c, c->rcv_nxt, min_u32(len, c->rcv_wnd), 1 + len % 50);
		break;
	case 4:
		if (c->rcv_wnd > 2 * len && f->frames.n_free > 4)
			text_at(f, c, c->rcv_nxt + len, len, 5);
		break;
	case 5:
	case 6:
		rfc_read(f, c, data, random_below(seed, 4 * RFC_MSS));
		break;
	case 7:
		rfc_advance(f, c, random_below(seed, 60));
		break;
	case 8: /* from all of them to hardly any */
		press(f, held, n_held, random_below(seed, f->frames.n_free + *n_held - 8));
		break;
	default:
		mr_tcp_give_idle(&f->tcp, 10);
		c->flags |= MR_CONN_ACK_NOW;
		mr_tcp_output(&f->tcp, c);
		break;
	}
}

/* Text, gaps, reads, time, frames taken away and given back, records lost: the edge only grows. */
static void random_operations_right_edge_never_moves_back(void **state)
{
	static uint32_t held[RFC_FRAMES];

	(void)state;
	for (uint32_t round = 0; round < 60; round++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, round & 1);
		uint32_t seed = round * 7919 + 1, n_held = 0;
		uint32_t edge = c->rcv_nxt + c->rcv_wnd;

		c->rcv_shift = (uint8_t)(round % 11);
		c->rcv_wnd = min_u32(c->rcv_wnd, 65535u << c->rcv_shift);
		edge = c->rcv_nxt + c->rcv_wnd;
		f.config.receive_buffer = round % 3 ? BUFFER : 6000;
		for (int i = 0; i < 400; i++) {
			happen(&f, c, &seed, held, &n_held);
			for (unsigned int k = 0; k < f.n_sent; k++) {
				uint32_t now =
					f.sent[k].ack + ((uint32_t)f.sent[k].wnd << c->rcv_shift);

				assert_true(mr_seq_le(edge, now));
				edge = now;
			}
			rfc_forget(&f);
		}
		press(&f, held, &n_held, 0);
		/* and when all is read and there are frames again, the window is open */
		rfc_read(&f, c, data, sizeof(data));
		assert_true(c->rcv_wnd >= min_u32(f.config.receive_buffer / 2, 2 * RFC_MSS));
		rfc_fini(&f);
	}
}

/* ----- the sender's side, 3.8.6.2.1 ----- */

static struct mr_conn *sender(struct rfc *f, uint32_t peers_window)
{
	struct mr_conn *c;

	rfc_init(f);
	c = rfc_conn_in(f, MR_ESTABLISHED);
	c->max_snd_wnd = 4000;
	c->snd_wnd = peers_window;
	return c;
}

/* (3): half of the largest window that was ever offered, and nothing in flight: sent at once */
static void established_half_of_the_largest_window_is_sent(void **state)
{
	struct rfc f;
	struct mr_conn *c = sender(&f, 1300);

	(void)state;
	c->max_snd_wnd = 2600;
	rfc_send(&f, c, data, RFC_MSS);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].len, 1300);
	rfc_fini(&f);
	c = sender(&f, 1299);
	c->max_snd_wnd = 2600;
	rfc_send(&f, c, data, RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

/* Less than half: the override timeout sends it, 0.1 to 1 s later */
static void established_less_waits_for_the_override_timeout(void **state)
{
	struct rfc f;
	struct mr_conn *c = sender(&f, 1000);

	(void)state;
	rfc_send(&f, c, data, 3 * RFC_MSS);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 99);
	assert_int_equal(f.n_sent, 0);
	rfc_advance(&f, c, 901);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(f.sent[0].len, 1000);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_bulk_read_at_once_widens_the_window),
		cmocka_unit_test(established_slow_start_is_not_held_back),
		cmocka_unit_test(established_slow_peer_stays_at_the_start),
		cmocka_unit_test(established_unread_queue_stays_at_the_start),
		cmocka_unit_test(established_idle_window_is_kept),
		cmocka_unit_test(established_unread_middling_segments_share_frames),
		cmocka_unit_test(established_closed_window_opens_without_being_asked),
		cmocka_unit_test(random_operations_right_edge_never_moves_back),
		cmocka_unit_test(established_half_of_the_largest_window_is_sent),
		cmocka_unit_test(established_less_waits_for_the_override_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
