/* SPDX-License-Identifier: MIT */
/*
 * Byte applications through two whole lanes: half-close both ways, resets both ways, unread bytes,
 * Nagle, keepalive (RFC 9293 3.6, 3.7.4, 3.8.4; RFC 2525 2.17).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

enum {
	BULK = 3 << 20,
};

static uint8_t *pattern(size_t len)
{
	uint8_t *p = malloc(len);

	assert_non_null(p);
	for (uint64_t i = 0; i < len; i++)
		p[i] = (uint8_t)(((i * 2654435761u) >> 13) & 255);
	return p;
}

static void ask(struct pair *p, struct talk *t, const char *line, bool ipv6)
{
	talk_start(p, "drill", PAIR_OPTIONS);
	t->out = line;
	t->out_len = strlen(line);
	talk_begin(p, t, 7000, ipv6);
}

/* A conversation that the server ends in an orderly way. */
static void expect(const char *line, bool half_close, const char *answer)
{
	struct talk t = { .half_close = half_close };
	struct pair p;

	ask(&p, &t, line, false);
	assert_true(pair_run(&p, 10000, talk_is_closed, &t));
	assert_string_equal(t.in, answer);
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_true(t.ended);
	talk_end(&p);
}

/* ----- half-close ----- */

static void client_half_closes_and_reads_on(void **state)
{
	uint8_t *data = pattern(BULK);
	uint32_t hash = talk_hash(TALK_HASH_BASIS, data, BULK);

	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct talk t = { .out = data, .out_len = BULK, .half_close = true };
		struct pair p;

		talk_start(&p, "echo-bytes", PAIR_OPTIONS);
		talk_begin(&p, &t, 7000, ipv6);
		assert_true(pair_run(&p, 60000, talk_is_closed, &t));
		pair_run(&p, 10, NULL, NULL);
		assert_int_equal(t.in_len, BULK);
		assert_int_equal(t.in_hash, hash);
		assert_int_equal(t.reason, MR_CLOSE_DONE);
		assert_int_equal(p.end[0].stats.resets_out + p.end[1].stats.resets_out, 0);
		assert_int_equal(p.end[0].stats.closed.done, 1);
		talk_end(&p);
	}
	free(data);
}

static void hash_after_half_close_is_answered(void **state)
{
	char *data = malloc(BULK + 2), answer[32];
	uint8_t *bytes = pattern(BULK);
	struct talk t = { .out = data, .out_len = BULK + 2, .half_close = true };
	struct pair p;

	(void)state;
	memcpy(data, "H\n", 2);
	memcpy(data + 2, bytes, BULK);
	snprintf(answer, sizeof(answer), "%d %08x\n", BULK,
		 talk_hash(TALK_HASH_BASIS, bytes, BULK));
	talk_start(&p, "drill", PAIR_OPTIONS);
	talk_begin(&p, &t, 7000, false);
	assert_true(pair_run(&p, 60000, talk_is_closed, &t));
	assert_string_equal(t.in, answer);
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	talk_end(&p);
	free(bytes);
	free(data);
}

static void short_hash_is_answered(void **state)
{
	(void)state;
	expect("H\n", true, "0 811c9dc5\n");
	expect("H\na", true, "1 e40c292c\n");
	expect("N 500\nfoobar", true, "6 bf9cf968\n");
	expect("?\n", false, "? unknown command\n");
	expect("C\n", false, "");
}

static bool has_hello(void *arg)
{
	return ((const struct talk *)arg)->in_len >= 5;
}

/* The server ends its direction first, and reads on for as long as the client says something. */
static void server_half_closes_and_reads_on(void **state)
{
	static uint8_t more[100000];
	struct talk t = { .lasting = true };
	struct pair p;

	(void)state;
	ask(&p, &t, "P\n", true);
	assert_true(pair_run(&p, 1000, talk_has_ended, &t));
	assert_true(has_hello(&t));
	assert_string_equal(t.in, "hello");
	talk_say(&t, more, sizeof(more));
	pair_run(&p, 5000, NULL, NULL);
	assert_false(t.closed);
	assert_int_equal(p.end[PAIR_SERVER].stats.app_bytes_in, 2 + sizeof(more));
	talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.time_wait, 1); /* who closed first waits */
	assert_int_equal(p.end[PAIR_CLIENT].stats.time_wait, 0);
	talk_end(&p);
}

static void both_close_at_once(void **state)
{
	struct talk t = { .lasting = true };
	struct pair p;

	(void)state;
	ask(&p, &t, "U 50\n", false); /* closes after 50 ms, nothing unread */
	assert_true(pair_run(&p, 40, talk_is_open, &t));
	pair_run(&p, 49, NULL, NULL);
	mr_memory_advance(p.wire, 60 * 1000000ull);
	talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	pair_run(&p, 100, NULL, NULL);
	assert_int_equal(p.end[0].stats.resets_out + p.end[1].stats.resets_out, 0);
	assert_int_equal(p.end[0].stats.time_wait + p.end[1].stats.time_wait, 2);
	talk_end(&p);
}

/* ----- bytes from the server ----- */

static void pattern_bytes_arrive(const char *line, size_t len, bool closes)
{
	uint8_t *want = pattern(len);
	struct talk t = { 0 };
	struct pair p;

	ask(&p, &t, line, false);
	pair_run(&p, 5000, closes ? talk_is_closed : NULL, &t);
	assert_int_equal(t.in_len, len);
	assert_int_equal(t.in_hash, talk_hash(TALK_HASH_BASIS, want, len));
	assert_int_equal(t.closed, closes);
	if (!closes)
		talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	talk_end(&p);
	free(want);
}

static void pattern_is_sent_and_closed_or_kept(void **state)
{
	(void)state;
	pattern_bytes_arrive("F 2000000\n", 2000000, true);
	pattern_bytes_arrive("F 0\n", 0, true);
	pattern_bytes_arrive("F 1\n", 1, true);
	pattern_bytes_arrive("G 1000000\n", 1000000, false);
}

/* RFC 9293 3.7.4: small writes are joined while data is unacknowledged; without Nagle too, since
 * all writes of one callback lie in one frame; what may differ is the number of segments. */
static void small_writes_arrive_whole(const char *line)
{
	struct talk t = { 0 };
	struct pair p;

	ask(&p, &t, line, false);
	pair_run(&p, 2000, NULL, NULL);
	assert_int_equal(t.in_len, 5000);
	for (int i = 0; i < TALK_KEPT; i++)
		assert_int_equal(t.in[i], '0' + i % 10);
	talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	talk_end(&p);
}

static void small_writes_with_and_without_nagle(void **state)
{
	(void)state;
	small_writes_arrive_whole("W 500\n");
	small_writes_arrive_whole("D 500\n");
}

/* ----- resets ----- */

static void server_abort_resets_the_client(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "R\n", false);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.aborted, 1);
	talk_end(&p);
}

static void client_abort_resets_the_server(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "G 500000\n", false);
	pair_run(&p, 1, NULL, NULL);
	talk_abort(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_ABORTED);
	pair_run(&p, 10, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.reset_by_peer, 1);
	talk_end(&p);
}

/* RFC 2525 2.17: a close with bytes unread says so. */
static void close_with_unread_bytes_resets(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "U 100\nnobody reads this", false);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.unread, 1);
	talk_end(&p);
}

static void data_after_server_shut_reading_is_reset(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "Q\n", false);
	pair_run(&p, 1000, NULL, NULL);
	assert_false(t.closed);
	talk_say(&t, "more", 4);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(p.end[PAIR_SERVER].stats.drop.tcp_after_shutdown, 1);
	talk_end(&p);
}

/* ... but its end alone is not. */
static void end_after_server_shut_reading_is_orderly(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "Q\n", false);
	pair_run(&p, 1000, NULL, NULL);
	talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	talk_end(&p);
}

/* ----- keepalive ----- */

static void keepalive_of_a_living_peer_goes_on(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "K 2\n", false);
	pair_run(&p, 20500, NULL, NULL);
	assert_false(t.closed);
	assert_in_range(p.end[PAIR_SERVER].stats.keepalive_probes, 9, 11);
	talk_close(&t);
	assert_true(pair_run(&p, 1000, talk_is_closed, &t));
	talk_end(&p);
}

static unsigned int drop_all(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			     uint64_t *delay_ns)
{
	(void)arg, (void)from, (void)frame, (void)len, (void)delay_ns;
	return 0;
}

static void keepalive_of_a_dead_peer_closes(void **state)
{
	struct talk t = { 0 };
	struct pair p;

	(void)state;
	ask(&p, &t, "K 2\n", false);
	pair_run(&p, 1000, NULL, NULL);
	mr_memory_set_fate(p.wire, drop_all, NULL);
	pair_run(&p, 6000, NULL, NULL); /* 2 s idle, three probes a second apart */
	assert_int_equal(p.end[PAIR_SERVER].stats.closed.keepalive, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.keepalive_probes, 3);
	mr_memory_set_fate(p.wire, NULL, NULL);
	talk_say(&t, "hello?", 6);
	assert_true(pair_run(&p, 3000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_half_closes_and_reads_on),
		cmocka_unit_test(hash_after_half_close_is_answered),
		cmocka_unit_test(short_hash_is_answered),
		cmocka_unit_test(server_half_closes_and_reads_on),
		cmocka_unit_test(both_close_at_once),
		cmocka_unit_test(pattern_is_sent_and_closed_or_kept),
		cmocka_unit_test(small_writes_with_and_without_nagle),
		cmocka_unit_test(server_abort_resets_the_client),
		cmocka_unit_test(client_abort_resets_the_server),
		cmocka_unit_test(close_with_unread_bytes_resets),
		cmocka_unit_test(data_after_server_shut_reading_is_reset),
		cmocka_unit_test(end_after_server_shut_reading_is_orderly),
		cmocka_unit_test(keepalive_of_a_living_peer_goes_on),
		cmocka_unit_test(keepalive_of_a_dead_peer_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
