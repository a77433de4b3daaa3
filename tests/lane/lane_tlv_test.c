/* SPDX-License-Identifier: MIT */
/*
 * Limits of the message layer on a lane: too long, cut, no memory, many segments, a wrong check;
 * each costs the sender its connection with a reason, and nobody else anything (docs/tlv.md).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "millrace/tlv.h"
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

/* ----- check ----- */

static const struct mr_tlv_format checked = { 2, 4, false, false, 1 << 20, MR_TLV_CHECK_CRC32C };

static size_t put_checked(uint8_t *to, uint16_t tag, const void *value, uint32_t len)
{
	size_t n = put_head(to, tag, len);

	if (len)
		memmove(to + n, value, len);
	return n + len + mr_tlv_write_check(&checked, to + n + len, to, to + n, len);
}

static struct mr_lane_rule *begin_checked(struct pair *p, const char *app)
{
	static const struct mr_app *const apps[] = { &talk_app, &count_app };
	struct mr_lane_rule *rule;

	memset(&seen, 0, sizeof(seen));
	seen.hash = TALK_HASH_BASIS;
	pair_init(p, PAIR_OPTIONS);
	rule = pair_rule(p, PAIR_SERVER, app, 7000);
	rule->tlv.check = MR_TLV_CHECK_CRC32C;
	rule->heartbeat = (struct mr_heartbeat_settings){
		.has_ping = 1, .ping_tag = 0xfff0, .pong_tag = 0xfff1, .ping_ms = 500
	};
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 2);
	return rule;
}

/* Empty, short, over many segments: byte for byte what was sent comes back, with its check. */
static void echo_answers_with_the_check(void **state)
{
	uint8_t *bytes = malloc(120000);
	size_t len = 0;
	struct talk t = { .out = bytes, .half_close = true };
	struct pair p;

	(void)state;
	len += put_checked(bytes + len, 1, NULL, 0);
	len += put_checked(bytes + len, 2, "hello", 5);
	for (size_t i = 0; i < 100000; i++)
		bytes[len + 6 + i] = (uint8_t)(i * 13 + (i >> 9));
	len += put_checked(bytes + len, 3, bytes + len + 6, 100000);
	len += put_checked(bytes + len, 4, "end", 3);
	t.out_len = len;
	begin_checked(&p, "echo");
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(t.in_len, len);
	assert_memory_equal(t.in, bytes, TALK_KEPT);
	assert_int_equal(t.in_hash, talk_hash(TALK_HASH_BASIS, bytes, len));
	assert_int_equal(p.end[PAIR_SERVER].stats.messages_in, 4);
	assert_int_equal(p.end[PAIR_SERVER].stats.messages_out, 4);
	talk_end(&p);
	free(bytes);
}

static void pings_and_pongs_carry_the_check(void **state)
{
	uint8_t out[64], want[64];
	size_t len = put_checked(out, 0xfff0, "time", 4), n = put_checked(want, 0xfff1, "time", 4);
	struct talk t = { .out = out, .out_len = len };
	struct pair p;

	(void)state;
	n += put_checked(want + n, 0xfff0, NULL, 0); /* the lane's own, after 500 ms */
	begin_checked(&p, "count");
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 800, NULL, NULL);
	assert_int_equal(t.in_len, n);
	assert_memory_equal(t.in, want, n);
	talk_say(&t, want, put_checked(want, 0xfff1, NULL, 0)); /* our pong */
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.pongs_in, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.pings_in, 1);
	assert_int_equal(seen.messages, 0);
	assert_int_equal(seen.closed, 0);
	talk_close(&t);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	talk_end(&p);
}

/* One good message, then one of @len bytes with a bit flipped, then zeros as large as the limit. */
static void expect_damage_found(uint32_t len, size_t at, size_t piece)
{
	const size_t room = 2u << 20;
	uint8_t *bytes = calloc(1, room);
	size_t good = put_checked(bytes, 1, "good", 4);
	struct talk t = { 0 };
	struct pair p;

	put_checked(bytes + good, 2, bytes + good + 6, len); /* zeros */
	bytes[good + at] ^= 0x10;
	begin_checked(&p, "count");
	t.out = bytes;
	t.out_len = piece ? 0 : room;
	talk_begin(&p, &t, 7000, false);
	if (piece) {
		assert_true(pair_run(&p, 100, talk_is_open, &t));
		for (size_t sent = 0; sent < good + 6 + len + 4 && !t.closed; sent += piece) {
			while (pair_step(&p))
				;
			if (!t.closed)
				talk_say(&t, bytes + sent, piece);
			pair_run(&p, 1, NULL, NULL);
		}
	}
	assert_true(pair_run(&p, 20000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(seen.reason, MR_CLOSE_TLV_CHECK);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.tlv_check, 1);
	assert_int_equal(seen.messages, 1);
	assert_int_equal(seen.bytes, 4);
	assert_int_equal(p.end[PAIR_SERVER].stats.message_bytes, 0);
	talk_end(&p);
	free(bytes);
}

static void damage_that_tcp_did_not_see_resets(void **state)
{
	(void)state;
	expect_damage_found(40, 0, 0);	    /* tag */
	expect_damage_found(40, 5, 0);	    /* length: too short or too long by 16 */
	expect_damage_found(40, 4, 0);	    /* by 4096 */
	expect_damage_found(40, 20, 0);	    /* value */
	expect_damage_found(40, 6 + 43, 0); /* check */
	expect_damage_found(40, 20, 1);	    /* byte by byte */
	expect_damage_found(40, 6 + 42, 1);
	expect_damage_found(100000, 50000, 0); /* over many segments */
	expect_damage_found(100000, 4, 0);
}

static void checked_messages_byte_by_byte_arrive(void **state)
{
	uint8_t bytes[300];
	uint32_t hash = TALK_HASH_BASIS;
	size_t len = 0;
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	for (uint32_t n = 0; n < 8; n++) {
		hash = talk_hash(hash, "abcdefghijklmnop", n * 2);
		len += put_checked(bytes + len, (uint16_t)n, "abcdefghijklmnop", n * 2);
	}
	begin_checked(&p, "count");
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 100, talk_is_open, &t));
	send_in_pieces(&p, &t, bytes, len, 1);
	pair_run(&p, 300, NULL, NULL);
	assert_int_equal(seen.messages, 8);
	assert_int_equal(seen.hash, hash);
	talk_close(&t);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	talk_end(&p);
}

static void end_before_the_check_is_a_cut(void **state)
{
	uint8_t bytes[64];
	size_t len = put_checked(bytes, 1, "hello", 5);

	(void)state;
	for (size_t n = len - 4; n < len; n++) {
		struct talk t = { .out = bytes, .out_len = n, .half_close = true };
		struct pair p;

		begin_checked(&p, "count");
		talk_begin(&p, &t, 7000, false);
		assert_true(pair_run(&p, 5000, talk_is_closed, &t));
		assert_int_equal(seen.reason, MR_CLOSE_TLV_CUT);
		assert_int_equal(seen.messages, 0);
		talk_end(&p);
	}
}

/* A spanning message that is refused for a while: its check is right each time. */
static void refused_checked_message_is_offered_again(void **state)
{
	uint8_t *bytes = calloc(1, 40000);
	size_t len = put_checked(bytes, 1, bytes + 6, 20000);
	struct talk t = { .out = bytes, .half_close = true };
	struct pair p;

	(void)state;
	len += put_checked(bytes + len, 2, "short", 5);
	t.out_len = len;
	begin_checked(&p, "count");
	seen.hold = true;
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 300, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mr_resume(mr_lane_host(p.end[PAIR_SERVER].lane), seen.id), 0);
		pair_run(&p, 10, NULL, NULL);
	}
	assert_int_equal(seen.messages, 0);
	seen.hold = false;
	assert_int_equal(mr_resume(mr_lane_host(p.end[PAIR_SERVER].lane), seen.id), 0);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(seen.messages, 2);
	assert_int_equal(seen.bytes, 20005);
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
		cmocka_unit_test(echo_answers_with_the_check),
		cmocka_unit_test(pings_and_pongs_carry_the_check),
		cmocka_unit_test(damage_that_tcp_did_not_see_resets),
		cmocka_unit_test(checked_messages_byte_by_byte_arrive),
		cmocka_unit_test(end_before_the_check_is_a_cut),
		cmocka_unit_test(refused_checked_message_is_offered_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
