/* SPDX-License-Identifier: MIT */
/*
 * Limits of the message layer on a lane: too long, cut, no memory, many segments; each costs the
 * sender its connection with a reason, and nobody else anything (docs/tlv.md).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

/* The server's application: counts, answers with the length, may keep a message waiting. */
static struct {
	uint32_t messages;
	uint64_t bytes;
	uint32_t hash;
	uint32_t closed;
	int reason;
	bool hold;
	mr_conn_id id;
} seen;

static enum mr_app_verdict count_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					 const uint8_t *value, size_t len)
{
	(void)h, (void)tag;
	seen.id = c;
	if (seen.hold)
		return MR_APP_AGAIN;
	seen.messages++;
	seen.bytes += len;
	seen.hash = talk_hash(seen.hash, value, len);
	return MR_APP_DONE;
}

static void count_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h, (void)c;
	seen.closed++;
	seen.reason = reason;
}

static const struct mr_app count_app = {
	.name = "count",
	.messages = true,
	.message = count_message,
	.closed = count_closed,
};

static void begin(struct pair *p, struct pair_options o, uint32_t max_bytes)
{
	static const struct mr_app *const apps[] = { &talk_app, &count_app };

	memset(&seen, 0, sizeof(seen));
	seen.hash = TALK_HASH_BASIS;
	pair_init(p, o);
	pair_rule(p, PAIR_SERVER, "count", 7000)->tlv.max_bytes = max_bytes;
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 2);
}

static size_t put_head(uint8_t *to, uint16_t tag, uint32_t len)
{
	const uint8_t head[6] = { (uint8_t)(tag >> 8),	(uint8_t)tag,	     (uint8_t)(len >> 24),
				  (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len };

	memcpy(to, head, sizeof(head));
	return sizeof(head);
}

static void expect_reset(const void *bytes, size_t len, uint32_t max_bytes, int reason,
			 uint32_t messages)
{
	struct talk t = { .out = bytes, .out_len = len };
	struct pair p;

	begin(&p, PAIR_OPTIONS, max_bytes);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.reason, reason);
	assert_int_equal(seen.messages, messages);
	assert_int_equal(((uint64_t *)&p.end[PAIR_SERVER].stats.closed)[reason], 1);
	talk_end(&p);
}

/* ----- too long ----- */

static void length_over_the_limit_resets(void **state)
{
	uint8_t bytes[64] = { 0 };
	size_t len;

	(void)state;
	len = put_head(bytes, 1, 1001);
	expect_reset(bytes, len, 1000, MR_CLOSE_TLV_TOO_LONG, 0);
	len = put_head(bytes, 1, UINT32_MAX); /* beyond any memory, and it wraps with the header */
	expect_reset(bytes, len, 1000, MR_CLOSE_TLV_TOO_LONG, 0);
	len = put_head(bytes, 1, 10) + 10; /* one good message first */
	len += put_head(bytes + len, 2, 1001);
	expect_reset(bytes, len, 1000, MR_CLOSE_TLV_TOO_LONG, 1);
}

static void length_at_the_limit_passes(void **state)
{
	static uint8_t bytes[6 + 1000];
	struct talk t = { .out = bytes, .out_len = sizeof(bytes), .half_close = true };
	struct pair p;

	(void)state;
	put_head(bytes, 1, 1000);
	begin(&p, PAIR_OPTIONS, 1000);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(seen.messages, 1);
	talk_end(&p);
}

/* ----- cut ----- */

static void end_inside_a_message_is_a_cut(void **state)
{
	static uint8_t bytes[10000];

	(void)state;
	put_head(bytes, 1, 9000);
	for (size_t len = 1; len < 9006; len += len < 8 ? 1 : 2999) {
		struct talk t = { .out = bytes, .out_len = len, .half_close = true };
		struct pair p;

		begin(&p, PAIR_OPTIONS, 1 << 20);
		talk_begin(&p, &t, 7000, len % 2);
		assert_true(pair_run(&p, 5000, talk_is_closed, &t));
		assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
		assert_int_equal(seen.reason, MR_CLOSE_TLV_CUT);
		assert_int_equal(p.end[PAIR_SERVER].stats.closed.tlv_cut, 1);
		talk_end(&p);
	}
}

/* ----- memory ----- */

static void no_memory_for_a_spanning_value_resets(void **state)
{
	static uint8_t bytes[40000];
	struct talk t = { .out = bytes, .out_len = sizeof(bytes) };
	struct talk other = { .out = bytes, .out_len = 6 + 100, .half_close = true };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.message_bytes = 4 * MR_MESSAGE_BLOCK;
	put_head(bytes, 1, 39994);
	begin(&p, o, 1 << 20);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(seen.reason, MR_CLOSE_TLV_MEMORY);
	assert_int_equal(p.end[PAIR_SERVER].stats.message_bytes, 0);
	put_head(bytes, 1, 100);
	talk_begin(&p, &other, 7000, false); /* others go on */
	assert_true(pair_run(&p, 5000, talk_is_closed, &other));
	assert_int_equal(other.reason, MR_CLOSE_DONE);
	assert_int_equal(seen.messages, 1);
	talk_end(&p);
}

/* A declared length alone costs one block, not its length. */
static void declared_length_alone_costs_little(void **state)
{
	static uint8_t bytes[6 + 10];
	struct talk t[8] = { 0 };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.message_bytes = 8 * MR_MESSAGE_BLOCK;
	put_head(bytes, 1, 1 << 20);
	begin(&p, o, 1 << 20);
	for (int i = 0; i < 8; i++) {
		t[i].out = bytes;
		t[i].out_len = sizeof(bytes);
		talk_begin(&p, &t[i], 7000, false);
	}
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.message_bytes, 8 * MR_MESSAGE_BLOCK);
	for (int i = 0; i < 8; i++) {
		assert_false(t[i].closed);
		talk_abort(&t[i]);
	}
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.reset_by_peer, 8);
	talk_end(&p);
}

/* More incomplete messages than session records: the surplus is reset, the others complete. */
static void no_session_for_a_partial_message_resets(void **state)
{
	static uint8_t bytes[6 + 10];
	struct talk t[20] = { 0 };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;
	uint32_t reset = 0;

	(void)state;
	o.sessions = 16;
	put_head(bytes, 1, 10);
	begin(&p, o, 1 << 20);
	for (int i = 0; i < 20; i++) {
		t[i].out = bytes;
		t[i].out_len = 3;
		talk_begin(&p, &t[i], 7000, false);
	}
	pair_run(&p, 1000, NULL, NULL);
	for (int i = 0; i < 20; i++)
		reset += t[i].closed;
	assert_int_equal(reset, 4);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.tlv_memory, 4);
	for (int i = 0; i < 20; i++) {
		if (t[i].closed)
			continue;
		t[i].half_close = true;
		talk_say(&t[i], bytes + 3, sizeof(bytes) - 3);
	}
	pair_run(&p, 1000, NULL, NULL);
	assert_int_equal(seen.messages, 16);
	talk_end(&p);
}

/* ----- spanning ----- */

/* The wire cuts the client's segments: nothing to do with how the application writes. */
static void send_in_pieces(struct pair *p, struct talk *t, const uint8_t *bytes, size_t len,
			   size_t piece)
{
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		while (pair_step(p))
			;
		talk_say(t, bytes + at, n);
		pair_run(p, 1, NULL, NULL);
	}
}

static void largest_message_over_700_segments_arrives(void **state)
{
	size_t len = 6 + (1 << 20);
	uint8_t *bytes = malloc(len);
	struct talk t = { .out = bytes, .out_len = len, .half_close = true };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 13 + (i >> 9));
	put_head(bytes, 1, 1 << 20);
	begin(&p, PAIR_OPTIONS, 1 << 20);
	talk_begin(&p, &t, 7000, true);
	assert_true(pair_run(&p, 20000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_true(p.end[PAIR_SERVER].stats.rx_frames > 700);
	assert_int_equal(seen.messages, 1);
	assert_int_equal(seen.bytes, 1 << 20);
	assert_int_equal(seen.hash, talk_hash(TALK_HASH_BASIS, bytes + 6, 1 << 20));
	assert_int_equal(p.end[PAIR_SERVER].stats.messages_spanning, 1);
	talk_end(&p);
	free(bytes);
}

/* One byte a segment, through header and value, several messages. */
static void messages_byte_by_byte_arrive(void **state)
{
	uint8_t bytes[200];
	uint32_t hash = TALK_HASH_BASIS;
	size_t len = 0;
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	for (uint32_t n = 0; n < 8; n++) {
		len += put_head(bytes + len, (uint16_t)n, n * 2);
		memset(bytes + len, (int)('a' + n), n * 2);
		hash = talk_hash(hash, bytes + len, n * 2);
		len += n * 2;
	}
	begin(&p, PAIR_OPTIONS, 1 << 20);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 100, talk_is_open, &t));
	send_in_pieces(&p, &t, bytes, len, 1);
	pair_run(&p, 5000, NULL, NULL);
	assert_int_equal(seen.messages, 8);
	assert_int_equal(seen.hash, hash);
	talk_close(&t);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	talk_end(&p);
}

/* ----- AGAIN ----- */

/* A spanning message that is refused for a while is offered whole again, and the rest after it. */
static void refused_spanning_message_is_offered_again(void **state)
{
	size_t len = 0;
	uint8_t *bytes = malloc(60000);
	uint32_t hash = TALK_HASH_BASIS;
	struct talk t = { .half_close = true };
	struct pair p;

	(void)state;
	for (uint32_t n = 0; n < 5; n++) {
		len += put_head(bytes + len, 1, 9000 + n);
		memset(bytes + len, (int)('a' + n), 9000 + n);
		hash = talk_hash(hash, bytes + len, 9000 + n);
		len += 9000 + n;
	}
	t.out = bytes;
	t.out_len = len;
	begin(&p, PAIR_OPTIONS, 1 << 20);
	seen.hold = true;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 3000, NULL, NULL);
	assert_int_equal(seen.messages, 0);
	assert_false(t.ended);
	for (int i = 0; i < 3; i++) /* offered again, refused again */
		assert_int_equal(mr_resume(mr_lane_host(p.end[PAIR_SERVER].lane), seen.id), 0),
			pair_run(&p, 10, NULL, NULL);
	assert_int_equal(seen.messages, 0);
	seen.hold = false;
	assert_int_equal(mr_resume(mr_lane_host(p.end[PAIR_SERVER].lane), seen.id), 0);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(seen.messages, 5);
	assert_int_equal(seen.hash, hash);
	talk_end(&p);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(length_over_the_limit_resets),
		cmocka_unit_test(length_at_the_limit_passes),
		cmocka_unit_test(end_inside_a_message_is_a_cut),
		cmocka_unit_test(no_memory_for_a_spanning_value_resets),
		cmocka_unit_test(declared_length_alone_costs_little),
		cmocka_unit_test(no_session_for_a_partial_message_resets),
		cmocka_unit_test(largest_message_over_700_segments_arrives),
		cmocka_unit_test(messages_byte_by_byte_arrive),
		cmocka_unit_test(refused_spanning_message_is_offered_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
