/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.8.6.2.2 (receiver's SWS avoidance, MUST-39; the right edge never moves back, SHLD-14),
 * RFC 7323 2 (window scale).
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	SCALE = 7,
};

static struct mr_conn *scaled(struct rfc *f)
{
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	c->flags |= MR_CONN_WINDOW_SCALE;
	c->rcv_shift = SCALE;
	return c;
}

static uint32_t right_edge(const struct rfc_sent *s, uint8_t shift)
{
	return s->ack + ((uint32_t)s->wnd << shift);
}

/* Random segments and random reads: the edge that the peer sees only grows. */
static void established_right_edge_never_moves_back(void **state)
{
	for (uint32_t round = 0; round < 20; round++) {
		struct rfc *f = *state;
		struct mr_conn *c = round & 1 ? scaled(f) : rfc_conn_in(f, MR_ESTABLISHED);
		uint32_t seed = round + 1, edge = c->rcv_nxt + c->rcv_wnd, offset = 0;
		uint8_t bytes[20000];

		for (int i = 0; i < 300; i++) {
			uint32_t len = 1 + tcp_random(&seed) % 1460;

			len = min_u32(len, c->rcv_wnd);
			rfc_forget(f);
			if (len)
				tcp_text_arrives(f, c, offset, (uint16_t)len, 0);
			offset += len;
			if (tcp_random(&seed) % 4 == 0)
				rfc_read(f, c, bytes, tcp_random(&seed) % sizeof(bytes));
			for (unsigned int n = 0; n < f->n_sent; n++) {
				uint32_t now = right_edge(&f->sent[n], c->rcv_shift);

				assert_true(mr_seq_le(edge, now));
				edge = now;
			}
		}
		mr_tcp_abort_call(&f->tcp, c, MR_CLOSE_ABORTED);
	}
}

static void fill_window(struct rfc *f, struct mr_conn *c)
{
	uint32_t offset = c->rcv_nxt - c->irs - 1;

	while (c->rcv_wnd) {
		uint16_t len = (uint16_t)min_u32(c->rcv_wnd, 1460);

		tcp_text_arrives(f, c, offset, len, 0);
		offset += len;
	}
	rfc_advance(f, c, f->config.delayed_ack_ms);
}

static void established_nobody_reads_window_closes(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);

	fill_window(f, c);
	assert_int_equal(rfc_last(f)->wnd, 0);
	assert_int_equal(rfc_last(f)->ack, c->rcv_nxt);
	assert_true(c->rx_bytes >= 65535);
	assert_true(c->rx_bytes <= f->config.receive_buffer);
}

static void established_closed_window_opens_by_a_segment_at_least(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint8_t bytes[4096];

	fill_window(f, c);
	rfc_forget(f);
	rfc_read(f, c, bytes, 100);
	assert_int_equal(f->n_sent, 0); /* silly */
	for (int i = 0; i < 4; i++)
		rfc_read(f, c, bytes, sizeof(bytes));
	assert_true(f->n_sent >= 1);
	assert_true(f->sent[0].wnd >= 1460);
}

/* min(half the buffer, a segment): a buffer below two segments opens all the same. */
static void established_small_buffer_opens_again_after_a_read(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint8_t bytes[4096];

	f->config.receive_buffer = 2048;
	c->rcv_wnd = 2048;
	fill_window(f, c);
	assert_int_equal(rfc_last(f)->wnd, 0);
	rfc_forget(f);
	rfc_read(f, c, bytes, 2048);
	assert_int_equal(f->n_sent, 1);
	assert_int_equal(rfc_last(f)->wnd, 2048);
}

/* Rounding up to the scale adds to the window with each ACK: a peer may not live on that. */
static void established_one_byte_segments_do_not_fill_beyond_twice_the_buffer(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = scaled(f);

	f->config.receive_buffer = 4096;
	c->rcv_wnd = 4096;
	for (uint32_t i = 0; i < 12000; i++) {
		tcp_text_arrives(f, c, c->rcv_nxt - c->irs - 1, 1, 0);
		rfc_forget(f);
	}
	assert_true(c->rx_bytes <= 2 * 4096);
}

static void established_window_update_is_not_sent_while_the_window_is_wide(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = scaled(f);
	uint8_t bytes[100];

	c->rcv_wnd = 200 << 10;
	tcp_text_arrives(f, c, 0, 100, 0);
	rfc_forget(f);
	rfc_read(f, c, bytes, 100);
	assert_int_equal(f->n_sent, 0);
}

static void close_wait_no_window_update_after_the_fin(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	static uint8_t bytes[65536];

	fill_window(f, c);
	tcp_text_arrives(f, c, c->rcv_nxt - c->irs - 1, 0, MR_FIN);
	assert_int_equal(c->state, MR_CLOSE_WAIT);
	rfc_forget(f);
	rfc_read(f, c, bytes, sizeof(bytes));
	assert_int_equal(f->n_sent, 0);
}

/* RFC 9293 3.8.5 with RFC 6093: urgent text is read in line, in place. */
static void established_urgent_text_is_read_in_line(void **state)
{
	struct rfc *f = *state;
	struct mr_conn *c = rfc_conn_in(f, MR_ESTABLISHED);
	uint8_t bytes[20];

	tcp_text_arrives(f, c, 0, 5, MR_URG);
	tcp_text_arrives(f, c, 5, 5, 0);
	assert_int_equal(rfc_read(f, c, bytes, sizeof(bytes)), 10);
	assert_memory_equal(bytes, tcp_bytes(0, 10), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(established_right_edge_never_moves_back),
		TEST(established_nobody_reads_window_closes),
		TEST(established_closed_window_opens_by_a_segment_at_least),
		TEST(established_small_buffer_opens_again_after_a_read),
		TEST(established_one_byte_segments_do_not_fill_beyond_twice_the_buffer),
		TEST(established_window_update_is_not_sent_while_the_window_is_wide),
		TEST(close_wait_no_window_update_after_the_fin),
		TEST(established_urgent_text_is_read_in_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
