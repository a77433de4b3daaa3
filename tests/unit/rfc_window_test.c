/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.8.6: the window that is offered. 3.8.6.2.2 (receiver's silly window avoidance,
 * MUST-39), 3.8.6 SHLD-14 (the right edge never moves back), RFC 7323 2.3 (scaling), and the
 * lane's own rule when frames are short.
 */
#include "tests/unit/rfc_fixture.h"

static uint8_t data[70000];

static struct mr_conn *begin(struct rfc *f)
{
	rfc_init(f);
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static int text(struct rfc *f, struct mr_conn *c, uint32_t len)
{
	return rfc_arrives(
		f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt, .text = data, .len = (uint16_t)len));
}

/* A segment that must be answered: outside the window, so that it changes nothing. */
static const struct rfc_sent *ask(struct rfc *f, struct mr_conn *c)
{
	rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt - 1));
	return rfc_last(f);
}

static uint32_t offered_edge(const struct mr_conn *c, const struct rfc_sent *s)
{
	return s->ack + ((uint32_t)s->wnd << c->rcv_shift);
}

/* Text until the window is closed; nobody reads. */
static void close_window(struct rfc *f, struct mr_conn *c)
{
	while (c->rcv_wnd)
		text(f, c, min_u32(RFC_MSS, c->rcv_wnd));
	assert_int_equal(ask(f, c)->wnd, 0);
	rfc_forget(f);
}

static void nobody_reads_window_closes_step_by_step(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t edge = c->rcv_nxt + c->rcv_wnd;

	(void)state;
	for (int i = 0; i < 20; i++) {
		text(&f, c, RFC_MSS);
		assert_int_equal(offered_edge(c, ask(&f, c)), edge);
	}
	close_window(&f, c);
	assert_int_equal(c->rcv_nxt, edge);
	assert_int_equal(c->rx_bytes, 65535);
	assert_int_equal(text(&f, c, 100), MR_DROP_TCP_SEQUENCE);
	assert_int_equal(c->rx_bytes, 65535);
	rfc_fini(&f);
}

static void closed_window_reopens_with_an_update_when_bytes_are_read(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	close_window(&f, c);
	assert_int_equal(rfc_read(&f, c, data, sizeof(data)), 65535);
	assert_true(f.n_sent >= 1);
	assert_int_equal(rfc_last(&f)->flags, MR_ACK);
	assert_int_equal(rfc_last(&f)->len, 0);
	assert_true(rfc_last(&f)->wnd >= 2 * RFC_MSS);
	assert_int_equal(text(&f, c, RFC_MSS), MR_DROP_NONE);
	rfc_fini(&f);
}

/* "avoid advancing the right window edge in small increments": Fr * RCV.BUFF or Eff.snd.MSS. */
static void closed_window_small_reads_open_it_by_a_segment_or_not_at_all(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t edge, moves = 0;

	(void)state;
	close_window(&f, c);
	edge = c->rcv_nxt;
	for (int i = 0; i < 200; i++) {
		uint32_t now;

		rfc_read(&f, c, data, 100);
		now = offered_edge(c, ask(&f, c));
		assert_true(now == edge || now - edge >= RFC_MSS);
		moves += now != edge;
		edge = now;
		rfc_forget(&f);
	}
	assert_in_range(moves, 5, 200 * 150 / RFC_MSS); /* what is read opens half as much again */
	rfc_fini(&f);
}

static void closed_window_small_read_sends_no_update(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	close_window(&f, c);
	rfc_read(&f, c, data, 100);
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void small_buffer_half_of_it_is_a_step(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	f.config.receive_buffer = 1000;
	c->rcv_wnd = 1000;
	close_window(&f, c);
	rfc_read(&f, c, data, 499);
	assert_int_equal(ask(&f, c)->wnd, 0);
	rfc_forget(&f);
	rfc_read(&f, c, data, 1);
	assert_int_equal(f.n_sent, 1); /* without being asked */
	assert_int_equal(rfc_last(&f)->wnd, 500);
	rfc_fini(&f);
}

static void peer_closed_reading_sends_no_update(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	while (c->rcv_wnd > RFC_MSS)
		text(&f, c, RFC_MSS);
	rfc_arrives(&f, c, IN(.flags = MR_ACK | MR_FIN, .seq = c->rcv_nxt));
	rfc_forget(&f);
	rfc_read(&f, c, data, sizeof(data));
	assert_int_equal(f.n_sent, 0);
	rfc_fini(&f);
}

static void application_reads_window_grows_to_the_buffer(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	c->rcv_shift = 3;
	for (int i = 0; i < 30; i++) { /* round trips, each with a window of text */
		uint32_t edge = c->rcv_nxt + c->rcv_wnd;

		while (mr_seq_lt(c->rcv_nxt, edge)) {
			text(&f, c, (uint16_t)min_u32(edge - c->rcv_nxt, RFC_MSS));
			rfc_read(&f, c, data, sizeof(data));
			rfc_forget(&f);
		}
		rfc_advance(&f, c, 20);
	}
	assert_true((uint32_t)ask(&f, c)->wnd << 3 > f.config.receive_buffer - 2 * RFC_MSS);
	assert_true((uint32_t)ask(&f, c)->wnd << 3 <= f.config.receive_buffer);
	rfc_fini(&f);
}

/* SHLD-14: whatever becomes of the buffer. */
static void buffer_shrinks_right_edge_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t edge = c->rcv_nxt + c->rcv_wnd;

	(void)state;
	f.config.receive_buffer = 4096;
	text(&f, c, RFC_MSS);
	assert_int_equal(offered_edge(c, ask(&f, c)), edge);
	/* and what was offered is taken */
	assert_int_equal(text(&f, c, RFC_MSS), MR_DROP_NONE);
	rfc_fini(&f);
}

static void scaled_window_covers_what_was_offered(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	f.config.receive_buffer = 1000;
	c->rcv_shift = 7;
	c->rcv_wnd = 1000;
	assert_int_equal(ask(&f, c)->wnd, 8); /* 1024 */
	assert_int_equal(ask(&f, c)->wnd, 8);
	assert_int_equal(c->rcv_wnd, 1024);
	rfc_fini(&f);
}

/* Linux's header prediction takes segments whose window is the one it knows. */
static void reader_keeps_up_window_field_stays_as_it_was(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint16_t wnd;

	(void)state;
	c->rcv_shift = 3;
	c->rcv_wnd = 64 << 10;
	wnd = ask(&f, c)->wnd;
	for (int i = 0; i < 2000; i++) {
		text(&f, c, 70);
		assert_int_equal(rfc_read(&f, c, data, sizeof(data)), 70);
		assert_int_equal(ask(&f, c)->wnd, wnd);
		rfc_forget(&f);
	}
	rfc_fini(&f);
}

/* What stands unread holds the edge, however much of the window is left. */
static void something_is_unread_edge_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	uint32_t edge;

	(void)state;
	f.config.receive_buffer = 20100;
	c->rcv_wnd = 20000;
	edge = c->rcv_nxt + 20100;
	assert_int_equal(offered_edge(c, ask(&f, c)), edge);
	for (int i = 0; i < 5; i++) {
		text(&f, c, 200);
		rfc_read(&f, c, data, 100);
		assert_int_equal(offered_edge(c, ask(&f, c)), edge);
		rfc_forget(&f);
	}
	rfc_fini(&f);
}

/* Rounding to the scale adds a little with each ACK: a peer cannot live on it. */
static void scaled_window_unread_queue_has_an_end(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);

	(void)state;
	f.config.receive_buffer = 4096;
	c->rcv_shift = 14;
	c->rcv_wnd = 4096;
	for (int i = 0; i < 100; i++)
		text(&f, c, RFC_MSS);
	assert_true(c->rx_bytes >= 4096);
	assert_true(c->rx_bytes < 2 * 4096 + RFC_MSS);
	assert_int_equal(text(&f, c, RFC_MSS), MR_DROP_RX_LIMIT);
	rfc_read(&f, c, data, sizeof(data));
	assert_int_equal(text(&f, c, RFC_MSS), MR_DROP_NONE);
	rfc_fini(&f);
}

/* ----- frames are short ----- */

struct taken {
	uint32_t frame[RFC_FRAMES];
	uint32_t n;
};

static void take_down_to(struct rfc *f, struct taken *t, uint32_t left)
{
	while (f->frames.n_free > left)
		t->frame[t->n++] = mr_frame_take(&f->frames, MR_FRAME_HAND, true);
}

static void give_up_to(struct rfc *f, struct taken *t, uint32_t left)
{
	while (t->n && f->frames.n_free < left)
		mr_frame_give(&f->frames, t->frame[--t->n]);
}

static void frames_short_reader_keeps_a_window_hog_gets_none(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	struct taken t = { .n = 0 };

	(void)state;
	close_window(&f, c);
	take_down_to(&f, &t, 10); /* and those that reading frees stay below the mark */
	rfc_read(&f, c, data, 65000);
	assert_int_equal(ask(&f, c)->wnd, 0); /* 535 bytes are unread */
	rfc_read(&f, c, data, sizeof(data));
	assert_in_range(ask(&f, c)->wnd, 2 * RFC_MSS, 8192);
	give_up_to(&f, &t, RFC_FRAMES);
	assert_true(ask(&f, c)->wnd > 8192);
	rfc_fini(&f);
}

static void frames_short_again_right_edge_stays(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f);
	struct taken t = { .n = 0 };
	uint32_t edge = offered_edge(c, ask(&f, c));

	(void)state;
	take_down_to(&f, &t, f.frames.reserve);
	assert_int_equal(offered_edge(c, ask(&f, c)), edge);
	text(&f, c, RFC_MSS);
	assert_int_equal(offered_edge(c, ask(&f, c)), edge);
	give_up_to(&f, &t, RFC_FRAMES);
	rfc_fini(&f);
}

/* ----- whatever happens ----- */

static uint32_t next_random(uint32_t *r)
{
	*r ^= *r << 13;
	*r ^= *r >> 17;
	*r ^= *r << 5;
	return *r;
}

static void step(struct rfc *f, struct mr_conn *c, struct taken *t, uint32_t *r)
{
	switch (next_random(r) % 5) {
	case 0:
		take_down_to(f, t, 2 + next_random(r) % RFC_FRAMES);
		break;
	case 1:
		give_up_to(f, t, next_random(r) % RFC_FRAMES);
		break;
	case 2:
		rfc_read(f, c, data, next_random(r) % 20000);
		break;
	case 3:
		rfc_arrives(f, c,
			    IN(.flags = MR_ACK, .seq = c->rcv_nxt + next_random(r) % 5000,
			       .text = data, .len = (uint16_t)(next_random(r) % RFC_MSS)));
		break;
	case 4:
		text(f, c, next_random(r) % RFC_MSS);
		break;
	}
}

static void any_load_any_scale_offered_edge_never_moves_back(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed++) {
		uint32_t r = seed * 2654435761u, edge;
		struct taken t = { .n = 0 };
		struct rfc f;
		struct mr_conn *c = begin(&f);

		f.config.receive_buffer = 1u << (11 + seed % 10);
		c->rcv_shift = (uint8_t)(seed % 15);
		c->rcv_wnd = min_u32(f.config.receive_buffer, 65535);
		edge = c->rcv_nxt + c->rcv_wnd;
		for (int i = 0; i < 300; i++) {
			step(&f, c, &t, &r);
			for (unsigned int k = 0; k < f.n_sent; k++) {
				assert_true(mr_seq_le(edge, offered_edge(c, &f.sent[k])));
				edge = offered_edge(c, &f.sent[k]);
			}
			assert_true(mr_seq_le(edge, c->rcv_nxt + c->rcv_wnd));
			rfc_forget(&f);
		}
		/* an unread queue has an end, whatever the scale rounds up */
		assert_true(c->rx_bytes < 2 * f.config.receive_buffer + RFC_MSS + 65536);
		give_up_to(&f, &t, RFC_FRAMES);
		rfc_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_reads_window_closes_step_by_step),
		cmocka_unit_test(closed_window_reopens_with_an_update_when_bytes_are_read),
		cmocka_unit_test(closed_window_small_reads_open_it_by_a_segment_or_not_at_all),
		cmocka_unit_test(closed_window_small_read_sends_no_update),
		cmocka_unit_test(small_buffer_half_of_it_is_a_step),
		cmocka_unit_test(peer_closed_reading_sends_no_update),
		cmocka_unit_test(application_reads_window_grows_to_the_buffer),
		cmocka_unit_test(buffer_shrinks_right_edge_stays),
		cmocka_unit_test(scaled_window_covers_what_was_offered),
		cmocka_unit_test(reader_keeps_up_window_field_stays_as_it_was),
		cmocka_unit_test(something_is_unread_edge_stays),
		cmocka_unit_test(scaled_window_unread_queue_has_an_end),
		cmocka_unit_test(frames_short_reader_keeps_a_window_hog_gets_none),
		cmocka_unit_test(frames_short_again_right_edge_stays),
		cmocka_unit_test(any_load_any_scale_offered_edge_never_moves_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
