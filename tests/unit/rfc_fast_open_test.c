/* SPDX-License-Identifier: MIT */
/* TCP Fast Open in the core: RFC 7413 4.1.2 (keys), 4.2.2 (server), 4.1.3 and 4.2.1 (client). */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

#include "user/tcp/fast_open.h"

static const uint64_t day_us = MR_FAST_OPEN_KEY_S * 1000000ull;

static struct mr_segment syn(uint16_t len)
{
	struct mr_segment s = rfc_segment(MR_SYN, RFC_IRS, 0, len);

	s.options = (struct mr_tcp_options){ .mss = 1460, .has_fast_open = true };
	return s;
}

/* Let the server give its cookie to @s. */
static void take_cookie(struct rfc *f, struct mr_segment *s)
{
	struct mr_half_open h;

	s->options.fast_open_bytes = 0;
	assert_true(mr_tcp_listen_state(&f->tcp, s, &h));
	mr_fast_open_note(&f->tcp, s, &h);
	mr_half_open_send(&f->tcp, &h);
	assert_true(rfc_last(f)->options.has_fast_open);
	s->options.fast_open_bytes = rfc_last(f)->options.fast_open_bytes;
	memcpy(s->options.fast_open, rfc_last(f)->options.fast_open, 16);
}

static void server(struct rfc *f)
{
	rfc_init(f);
	f->config.fast_open = MR_FAST_OPEN_SERVER;
	f->config.fast_open_key = (struct mr_siphash_key){ { 7, 8 } };
	f->tcp.now_us = 10 * day_us;
}

/* The connection that the SYN in @s opens with 5 bytes of text. */
static struct mr_conn *accept_text(struct rfc *f, const struct mr_segment *s)
{
	uint32_t frame = mr_frame_take(&f->frames, MR_FRAME_HAND, true);
	struct mr_half_open h;
	bool kept = false;

	f->records[frame].offset = 256;
	f->records[frame].len = s->len;
	f->records[frame].seq = s->seq + 1;
	memcpy(mr_frame_payload(&f->frames, frame), "hello", s->len);
	assert_true(mr_tcp_listen_state(&f->tcp, s, &h));
	mr_fast_open_accept(&f->tcp, s, &h, mr_fast_open_of(&f->tcp, s), &f->conn, frame, &kept);
	assert_true(kept);
	return &f->conn;
}

/* 4.1.2: bound to the address, not to ports; another key or address, another cookie. */
static void cookie_is_bound_to_the_address_and_the_key(void **state)
{
	struct mr_segment s = syn(5);
	struct rfc f;

	(void)state;
	server(&f);
	take_cookie(&f, &s);
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_GOOD);
	s.tuple.remote_port = mr_to_be16(40001);
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_GOOD);
	s.tuple.remote[15]++;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_ASKED);
	s.tuple.remote[15]--;
	f.config.fast_open_key.k[0]++;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_ASKED);
	f.config.fast_open = MR_FAST_OPEN_CLIENT;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_NONE);
	rfc_fini(&f);
}

static void cookie_ages_with_its_key(void **state)
{
	struct mr_segment s = syn(5);
	struct rfc f;

	(void)state;
	server(&f);
	take_cookie(&f, &s);
	f.tcp.now_us = 11 * day_us - 1;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_GOOD);
	f.tcp.now_us = 11 * day_us;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_OLD);
	f.tcp.now_us = 12 * day_us;
	assert_int_equal(mr_fast_open_of(&f.tcp, &s), MR_FAST_OPEN_ASKED);
	rfc_fini(&f);
}

/* 4.2.2: the SYN-ACK acknowledges the text; it brings a cookie only when that is to be renewed. */
static void accepted_text_is_acknowledged_and_an_old_cookie_renewed(void **state)
{
	(void)state;
	for (uint32_t days = 0; days < 2; days++) {
		struct mr_segment s = syn(5);
		struct mr_conn *c;
		struct rfc f;

		server(&f);
		take_cookie(&f, &s);
		f.tcp.now_us += days * day_us;
		c = accept_text(&f, &s);
		assert_int_equal(c->state, MR_SYN_RECEIVED);
		assert_int_equal(c->rx_bytes, 5);
		assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
		assert_int_equal(rfc_last(&f)->ack, RFC_IRS + 6);
		assert_int_equal(rfc_last(&f)->options.has_fast_open, days == 1);
		if (days)
			assert_memory_not_equal(rfc_last(&f)->options.fast_open,
						s.options.fast_open, 8);
		rfc_fini(&f);
	}
}

/* 4.2.2: text may be sent before the ACK; a FIN waits for it (RFC 9293 3.10.4). */
static void answer_leaves_before_the_ack_and_the_fin_behind_it(void **state)
{
	struct mr_segment s = syn(5);
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	server(&f);
	take_cookie(&f, &s);
	c = accept_text(&f, &s);
	rfc_forget(&f);
	assert_int_equal(rfc_send(&f, c, "answer", 6), 6);
	mr_tcp_shutdown_send(&f.tcp, c);
	rfc_output(&f, c);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->seq, c->iss + 1);
	assert_int_equal(rfc_last(&f)->flags & MR_FIN, 0);
	assert_int_equal(c->state, MR_SYN_RECEIVED);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = RFC_IRS + 6, .ack = c->iss + 1 });
	assert_int_equal(c->state, MR_FIN_WAIT_1);
	assert_int_equal(f.events[MR_EVENT_ESTABLISHED], 1);
	assert_true(rfc_last(&f)->flags & MR_FIN);
	assert_int_equal(rfc_last(&f)->seq, c->iss + 7);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = RFC_IRS + 6, .ack = c->iss + 8 });
	assert_int_equal(c->state, MR_FIN_WAIT_2);
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* The ACK of the SYN-ACK was lost: one that covers our text as well establishes. */
static void ack_of_the_answer_establishes(void **state)
{
	struct mr_segment s = syn(5);
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	server(&f);
	take_cookie(&f, &s);
	c = accept_text(&f, &s);
	rfc_send(&f, c, "answer", 6);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = RFC_IRS + 6, .ack = c->iss + 7 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_int_equal(c->tx_bytes, 0);
	assert_int_equal(c->snd_una, c->snd_nxt);
	assert_int_equal(c->deadline[MR_DEADLINE_RETRANSMIT], 0);
	rfc_fini(&f);
}

/* The SYN again, after text: Karn, and the right edge that the text offered stays. */
static void syn_again_is_answered_untimed_in_the_same_window(void **state)
{
	struct mr_segment s = syn(5);
	struct mr_conn *c;
	uint32_t offered;
	bool kept;
	struct rfc f;

	(void)state;
	server(&f);
	f.config.receive_buffer = 256 << 10;
	s.options.has_window_scale = true;
	take_cookie(&f, &s);
	c = accept_text(&f, &s);
	assert_true(c->flags & MR_CONN_RTT_RUNNING);
	mr_tcp_send_call(&f.tcp, c, "world", 5);
	mr_tcp_output(&f.tcp, c);
	offered = (uint32_t)rfc_last(&f)->wnd << c->rcv_shift;
	assert_true(offered >= 65535);
	mr_tcp_segment_arrives(&f.tcp, c, &s, MR_NONE, &kept);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN | MR_ACK);
	assert_false(c->flags & MR_CONN_RTT_RUNNING);
	assert_int_equal(c->rcv_wnd, offered);
	rfc_fini(&f);
}

/* Our text was lost, the ACK of the SYN-ACK came: the timer sends the text again. */
static void lost_answer_is_sent_again_after_the_ack(void **state)
{
	struct mr_segment s = syn(5);
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	server(&f);
	take_cookie(&f, &s);
	c = accept_text(&f, &s);
	rfc_send(&f, c, "answer", 6);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = RFC_IRS + 6, .ack = c->iss + 1 });
	rfc_forget(&f);
	rfc_advance(&f, c, 1500);
	assert_true(f.n_sent >= 1);
	assert_int_equal(f.sent[0].seq, c->iss + 1);
	assert_memory_equal(f.sent[0].text, "answer", 6);
	rfc_arrives(&f, c,
		    &(struct rfc_in){ .flags = MR_ACK, .seq = RFC_IRS + 6, .ack = c->iss + 7 });
	assert_int_equal(c->tx_bytes, 0);
	rfc_fini(&f);
}

/* ----- client ----- */

static struct mr_fast_open_cache cache;

static struct mr_conn *client(struct rfc *f, const char *text)
{
	struct mr_segment s = syn(0);

	mr_conn_init(&f->tcp, &f->conn, &s.tuple, &s.link);
	if (text)
		assert_int_equal(mr_tcp_early_call(&f->tcp, &f->conn, text, strlen(text)),
				 (int64_t)strlen(text));
	mr_tcp_open_call(&f->tcp, &f->conn, 1500);
	return &f->conn;
}

static void learn(struct rfc *f)
{
	struct mr_segment s = syn(0);
	struct mr_conn *c;
	bool kept;

	rfc_init(f);
	memset(&cache, 0, sizeof(cache));
	f->tcp.fast_open = &cache;
	f->config.fast_open = MR_FAST_OPEN_CLIENT;
	c = client(f, NULL);
	assert_true(rfc_last(f)->options.has_fast_open);
	assert_int_equal(rfc_last(f)->options.fast_open_bytes, 0);
	s.flags = MR_SYN | MR_ACK;
	s.ack = c->iss + 1;
	s.options.fast_open_bytes = 6;
	memcpy(s.options.fast_open, "cookie", 6);
	mr_tcp_segment_arrives(&f->tcp, c, &s, MR_NONE, &kept);
	assert_int_equal(c->state, MR_ESTABLISHED);
	mr_tcp_abort_call(&f->tcp, c, MR_CLOSE_ABORTED);
	f->ready = false;
	rfc_forget(f);
}

static void syn_brings_the_cookie_and_the_text(void **state)
{
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	learn(&f);
	c = client(&f, "hello");
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->flags, MR_SYN);
	assert_int_equal(rfc_last(&f)->seq, c->iss);
	assert_int_equal(rfc_last(&f)->len, 5);
	assert_memory_equal(rfc_last(&f)->text, "hello", 5);
	assert_int_equal(rfc_last(&f)->options.fast_open_bytes, 6);
	assert_memory_equal(rfc_last(&f)->options.fast_open, "cookie", 6);
	assert_int_equal(c->snd_nxt, c->iss + 6);
	rfc_fini(&f);
}

/* 4.2.1: any acknowledgment from the SYN to all of the text; what it leaves is sent at once. */
static void syn_ack_may_acknowledge_any_part_of_the_text(void **state)
{
	(void)state;
	for (uint32_t n = 0; n <= 7; n++) {
		struct mr_conn *c;
		struct rfc f;

		learn(&f);
		c = client(&f, "hello");
		rfc_forget(&f);
		rfc_arrives(&f, c,
			    &(struct rfc_in){ .flags = MR_SYN | MR_ACK,
					      .seq = RFC_IRS,
					      .ack = c->iss + n,
					      .mss = 1460 });
		if (n == 0 || n == 7) { /* of nothing, and of what was never sent: RST */
			assert_int_equal(c->state, MR_SYN_SENT);
			assert_int_equal(rfc_last(&f)->flags, MR_RST);
		} else {
			assert_int_equal(c->state, MR_ESTABLISHED);
			assert_int_equal(rfc_last(&f)->len, 6 - n);
			assert_int_equal(rfc_last(&f)->seq, c->iss + n);
			assert_int_equal(c->tx_bytes, 6 - n);
			assert_int_equal(f.stats.fast_open_fallbacks, n == 1);
		}
		rfc_fini(&f);
	}
}

/* 4.1.3.1: the SYN again is plain, and the text is not lost. */
static void syn_again_is_plain(void **state)
{
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	learn(&f);
	c = client(&f, "hello");
	rfc_forget(&f);
	rfc_advance(&f, c, 1000);
	assert_int_equal(f.n_sent, 1);
	assert_int_equal(rfc_last(&f)->len, 0);
	assert_false(rfc_last(&f)->options.has_fast_open);
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .ack = c->iss + 1, .mss = 1460 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	assert_memory_equal(rfc_last(&f)->text, "hello", 5);
	rfc_fini(&f);
}

/* Text that a SYN had carried in vain begins the clock of delivery rates all the same. */
static void text_that_was_not_taken_is_timed_from_now(void **state)
{
	const struct mr_active *a;
	struct mr_conn *c;
	struct rfc f;

	(void)state;
	learn(&f);
	c = client(&f, "hello");
	c->cc = MR_CC_BBR;
	rfc_advance(&f, c, 1000);
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .ack = c->iss + 1, .mss = 1460 });
	assert_int_equal(rfc_last(&f)->len, 5);
	a = mr_active_peek(f.tcp.actives, c);
	assert_int_equal(a->rate.first_sent_us, (uint32_t)f.tcp.now_us);
	assert_int_equal(a->rate.delivered_us, (uint32_t)f.tcp.now_us);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookie_is_bound_to_the_address_and_the_key),
		cmocka_unit_test(cookie_ages_with_its_key),
		cmocka_unit_test(accepted_text_is_acknowledged_and_an_old_cookie_renewed),
		cmocka_unit_test(answer_leaves_before_the_ack_and_the_fin_behind_it),
		cmocka_unit_test(ack_of_the_answer_establishes),
		cmocka_unit_test(syn_again_is_answered_untimed_in_the_same_window),
		cmocka_unit_test(lost_answer_is_sent_again_after_the_ack),
		cmocka_unit_test(syn_brings_the_cookie_and_the_text),
		cmocka_unit_test(syn_ack_may_acknowledge_any_part_of_the_text),
		cmocka_unit_test(syn_again_is_plain),
		cmocka_unit_test(text_that_was_not_taken_is_timed_from_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
