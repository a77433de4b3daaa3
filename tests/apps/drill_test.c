/* SPDX-License-Identifier: MIT */
/*
 * docs/apps.md, "drill": every command. Each test runs twice: the client's bytes
 * in one segment, and one byte a segment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/apps/fake_host.h"
#include "user/apps/apps.h"
#include "user/apps/pattern.h"

static struct mr_host host;
static bool bytewise;

static int setup(void **state)
{
	(void)state;
	bytewise = false;
	fake_host_init(&host, &mr_app_drill);
	return 0;
}

static int setup_bytewise(void **state)
{
	setup(state);
	bytewise = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_host_fini(&host);
	return 0;
}

static void receive(mr_conn_id c, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t i;

	if (!bytewise)
		fake_receive(&host, c, data, len);
	else
		for (i = 0; i < len; i++)
			fake_receive(&host, c, p + i, 1);
}

static void receive_text(mr_conn_id c, const char *text)
{
	receive(c, text, strlen(text));
}

/* A connection whose client sent @text. */
static mr_conn_id drilled(const char *text)
{
	mr_conn_id c = fake_open(&host);

	receive_text(c, text);
	return c;
}

static void expect_out(mr_conn_id c, const void *want, size_t len)
{
	assert_int_equal(fake_conn(&host, c)->out_bytes, len);
	if (len)
		assert_memory_equal(fake_conn(&host, c)->out, want, len);
}

static void expect_text(mr_conn_id c, const char *want)
{
	expect_out(c, want, strlen(want));
}

static void expect_pattern(mr_conn_id c, size_t len)
{
	uint8_t *want = malloc(len);

	mr_pattern_fill(want, len, 0);
	expect_out(c, want, len);
	free(want);
}

static void bad_lines_are_answered_and_closed(void **state)
{
	static const char *const lines[] = {
		"\n",
		"Z\n",
		"e\n",
		"E \n",
		"E 1\n",
		"EE\n",
		"G\n",
		"G \n",
		"G x\n",
		"G 1x\n",
		"G -1\n",
		"G  1\n",
		"G 1 \n",
		"G1\n",
		"G 1099511627777\n",
		"N 3600001\n",
		"B 0\n",
		"B 65536\n",
		"K 0\n",
		"K 32768\n",
		"S\r\n",
		"A\n",
		"A 1.2.3.4\n",
		"A 1.2.3.4 \n",
		"A 1.2.3.4 0\n",
		"A 1.2.3 1\n",
		"A ::g 1\n",
		"A  1\n",
		"C 0\n",
		"H 1\n",
		"G 99999999999999999999999999\n",
		"A 1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb 1\n",
	};
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		mr_conn_id c = drilled(lines[i]);

		expect_text(c, "? unknown command\n");
		assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
		teardown(state);
		fake_host_init(&host, &mr_app_drill);
	}
}

static void line_with_a_zero_byte_is_refused(void **state)
{
	mr_conn_id c = fake_open(&host);

	(void)state;
	receive(c, "S\0\n", 3);
	expect_text(c, "? unknown command\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void line_of_128_bytes_is_read_and_one_more_is_refused(void **state)
{
	char line[256];
	mr_conn_id c;

	(void)state;
	memset(line, '0', sizeof(line));
	memcpy(line, "G ", 2);
	memcpy(line + 127, "3\n", 3);
	c = drilled(line);
	expect_pattern(c, 3);

	memset(line, '0', sizeof(line));
	memcpy(line, "G ", 2);
	line[200] = '\0';
	c = drilled(line);
	expect_text(c, "? unknown command\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void complaint_without_room_is_finished_later(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 5;
	c = drilled("Z\nand much more");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_fin(&host, c);
	fake_make_room(&host, c, 5);
	expect_text(c, "? unknown ");
	fake_make_room(&host, c, 100);
	expect_text(c, "? unknown command\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void fin_without_a_line_closes_and_within_one_is_answered(void **state)
{
	mr_conn_id c = fake_open(&host);

	(void)state;
	fake_fin(&host, c);
	expect_text(c, "");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	c = drilled("E");
	fake_fin(&host, c);
	expect_text(c, "? unknown command\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void e_echoes_what_follows_the_line(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 2;
	c = drilled("E\nhello\nthere");
	expect_text(c, "he");
	fake_make_room(&host, c, 100);
	expect_text(c, "hello\nthere");
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	expect_text(c, "hello\nthere");
}

static void e_fin_before_all_is_echoed_closes_after_it(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 3;
	c = drilled("E\nhello");
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_make_room(&host, c, 100);
	expect_text(c, "hello");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void s_discards_until_the_peer_closes(void **state)
{
	mr_conn_id c = drilled("S\nhello");

	(void)state;
	expect_text(c, "");
	assert_int_equal(fake_conn(&host, c)->in_bytes, 0);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void g_sends_the_pattern_then_discards(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 1000;
	c = drilled("G 2500\nxyz");
	expect_pattern(c, 1000);
	receive_text(c, "more");
	fake_make_room(&host, c, 1);
	expect_pattern(c, 1001);
	fake_make_room(&host, c, 5000);
	expect_pattern(c, 2500);
	receive_text(c, "more");
	assert_int_equal(fake_conn(&host, c)->in_bytes, 0);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void g_fin_before_all_is_sent_closes_after_it(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 10;
	c = drilled("G 25\n");
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_make_room(&host, c, 100);
	expect_pattern(c, 25);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void g_zero_sends_nothing_and_largest_number_begins(void **state)
{
	mr_conn_id c = drilled("G 0\n");

	(void)state;
	expect_text(c, "");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	host.room = 100;
	c = drilled("G 1099511627776\n");
	expect_pattern(c, 100);
}

static void f_sends_the_pattern_and_closes(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 1000;
	c = drilled("F 2500\n");
	expect_pattern(c, 1000);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_make_room(&host, c, 5000);
	expect_pattern(c, 2500);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	c = drilled("F 0\n");
	expect_text(c, "");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

/* The hash of "foobar" is from the FNV authors' list of test vectors. */
static void h_answers_count_and_hash_after_the_fin(void **state)
{
	mr_conn_id c = drilled("H\nfoo");

	(void)state;
	receive_text(c, "bar");
	expect_text(c, "");
	fake_fin(&host, c);
	expect_text(c, "6 bf9cf968\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	c = drilled("H\n");
	fake_fin(&host, c);
	expect_text(c, "0 811c9dc5\n");
}

static void h_answer_without_room_comes_later(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 4;
	c = drilled("H\nfoobar");
	fake_fin(&host, c);
	expect_text(c, "6 bf");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_make_room(&host, c, 100);
	expect_text(c, "6 bf9cf968\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void n_reads_nothing_before_its_time(void **state)
{
	mr_conn_id c = drilled("N 500\nfoo");

	(void)state;
	assert_int_equal(fake_conn(&host, c)->in_bytes, 3);
	assert_true(fake_conn(&host, c)->paused);
	receive_text(c, "bar");
	fake_advance(&host, 499);
	assert_int_equal(fake_conn(&host, c)->in_bytes, 6);
	fake_advance(&host, 1);
	assert_int_equal(fake_conn(&host, c)->in_bytes, 0);
	expect_text(c, "");
	fake_fin(&host, c);
	expect_text(c, "6 bf9cf968\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void n_fin_before_its_time_is_answered_at_it(void **state)
{
	mr_conn_id c = drilled("N 500\nfoobar"), empty = drilled("N 500\n");

	(void)state;
	fake_fin(&host, c);
	fake_fin(&host, empty);
	expect_text(c, "");
	expect_text(empty, "");
	fake_advance(&host, 500);
	expect_text(c, "6 bf9cf968\n");
	expect_text(empty, "0 811c9dc5\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	assert_int_equal(fake_end(&host, empty), FAKE_CLOSED);
}

/* A lane may report a FIN that nothing unread precedes, although nothing is offered. */
static void n_fin_reported_while_paused_is_answered_at_its_time(void **state)
{
	mr_conn_id c = drilled("N 500\n");

	(void)state;
	fake_conn(&host, c)->fin = fake_conn(&host, c)->fin_told = true;
	mr_app_drill.peer_shutdown(&host, c);
	expect_text(c, "");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_advance(&host, 500);
	expect_text(c, "0 811c9dc5\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void n_zero_is_h(void **state)
{
	mr_conn_id c = drilled("N 0\nfoobar");

	(void)state;
	assert_false(fake_conn(&host, c)->paused);
	fake_fin(&host, c);
	expect_text(c, "6 bf9cf968\n");
}

static void c_closes_at_once(void **state)
{
	mr_conn_id c = drilled("C\n");

	(void)state;
	expect_text(c, "");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	assert_int_equal(fake_conn(&host, c)->n_closed, 1);
}

static void r_aborts(void **state)
{
	mr_conn_id c = drilled("R\n");

	(void)state;
	assert_int_equal(fake_end(&host, c), FAKE_ABORTED);
	assert_int_equal(fake_conn(&host, c)->n_closed, 1);
}

static void u_closes_with_bytes_unread_at_its_time(void **state)
{
	mr_conn_id c = drilled("U 200\nleft unread");

	(void)state;
	assert_int_equal(fake_conn(&host, c)->in_bytes, 11);
	fake_advance(&host, 199);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_advance(&host, 1);
	assert_int_equal(fake_end(&host, c), FAKE_RESET);
}

static void u_without_bytes_closes_in_order(void **state)
{
	mr_conn_id c = drilled("U 200\n");

	(void)state;
	fake_advance(&host, 200);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	c = drilled("U 0\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void u_fin_does_not_end_it_before_its_time(void **state)
{
	mr_conn_id c = drilled("U 200\n");

	(void)state;
	fake_conn(&host, c)->fin_told = true;
	mr_app_drill.peer_shutdown(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_advance(&host, 200);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void w_writes_with_nagle_and_d_without(void **state)
{
	mr_conn_id w = drilled("W 3\n"), d = drilled("D 2\n");

	(void)state;
	expect_text(w, "012345678901234567890123456789");
	assert_int_equal(fake_conn(&host, w)->n_sends, 3);
	assert_int_equal(fake_conn(&host, w)->nodelay, 0);
	expect_text(d, "01234567890123456789");
	assert_int_equal(fake_conn(&host, d)->n_sends, 2);
	assert_int_equal(fake_conn(&host, d)->nodelay, 1);
	receive_text(d, "discarded");
	assert_int_equal(fake_conn(&host, d)->in_bytes, 0);
	fake_fin(&host, d);
	assert_int_equal(fake_end(&host, d), FAKE_CLOSED);
}

static void w_write_that_is_cut_goes_on_where_it_was(void **state)
{
	mr_conn_id c;
	unsigned int i;

	(void)state;
	host.room = 13;
	c = drilled("W 3\n");
	expect_text(c, "0123456789012");
	for (i = 0; i < 5; i++)
		fake_make_room(&host, c, 4);
	expect_text(c, "012345678901234567890123456789");
}

static void p_says_hello_shuts_down_and_reads_on(void **state)
{
	mr_conn_id c;

	(void)state;
	host.room = 2;
	c = drilled("P\nand");
	assert_false(fake_conn(&host, c)->write_shut);
	fake_make_room(&host, c, 100);
	expect_text(c, "hello");
	assert_true(fake_conn(&host, c)->write_shut);
	assert_false(fake_conn(&host, c)->read_shut);
	receive_text(c, "more");
	assert_int_equal(fake_conn(&host, c)->in_bytes, 0);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	expect_text(c, "hello");
}

static void a_connects_reports_and_echoes_on_the_new_connection(void **state)
{
	mr_conn_id c = drilled("A 192.0.2.9 8080\nignored"), new = c + 1;
	const struct sockaddr_in *in = (void *)&fake_conn(&host, new)->remote;

	(void)state;
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(in->sin_addr.s_addr, inet_addr("192.0.2.9"));
	assert_int_equal(ntohs(in->sin_port), 8080);
	expect_text(c, "");
	fake_established(&host, new);
	expect_text(c, "0\n");
	receive_text(new, "E\nis echoed too");
	expect_text(new, "E\nis echoed too");

	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	receive_text(new, ", still");
	expect_text(new, "E\nis echoed too, still");
	fake_fin(&host, new);
	assert_int_equal(fake_end(&host, new), FAKE_CLOSED);
	expect_text(c, "0\n");
}

static void a_takes_ipv6(void **state)
{
	mr_conn_id c = drilled("A 2001:db8::1 65535\n");
	const struct sockaddr_in6 *in6 = (void *)&fake_conn(&host, c + 1)->remote;
	struct in6_addr want;

	(void)state;
	inet_pton(AF_INET6, "2001:db8::1", &want);
	assert_int_equal(in6->sin6_family, AF_INET6);
	assert_memory_equal(&in6->sin6_addr, &want, sizeof(want));
	assert_int_equal(ntohs(in6->sin6_port), 65535);
}

static void a_that_fails_reports_the_errno(void **state)
{
	mr_conn_id c = drilled("A 192.0.2.9 1\n");
	char want[16];

	(void)state;
	fake_lose(&host, c + 1, ECONNREFUSED);
	snprintf(want, sizeof(want), "%d\n", ECONNREFUSED);
	expect_text(c, want);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);

	host.connect_error = -ENOBUFS;
	c = drilled("A 192.0.2.9 1\n");
	snprintf(want, sizeof(want), "%d\n", ENOBUFS);
	expect_text(c, want);
}

static void a_reports_once_although_the_new_connection_is_lost_later(void **state)
{
	mr_conn_id c = drilled("A 192.0.2.9 1\n");

	(void)state;
	fake_established(&host, c + 1);
	fake_lose(&host, c + 1, ECONNRESET);
	expect_text(c, "0\n");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
}

static void a_fin_before_the_report_closes_after_it(void **state)
{
	mr_conn_id c = drilled("A 192.0.2.9 1\n");

	(void)state;
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_established(&host, c + 1);
	expect_text(c, "0\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
	assert_int_equal(fake_end(&host, c + 1), FAKE_ALIVE);
}

static void a_whose_first_connection_died_reports_to_nobody(void **state)
{
	mr_conn_id c = drilled("A 192.0.2.9 1\n");

	(void)state;
	fake_lose(&host, c, ECONNRESET);
	fake_established(&host, c + 1);
	expect_text(c, "");
	receive_text(c + 1, "echo");
	expect_text(c + 1, "echo");
	fake_lose(&host, c + 1, ECONNRESET);
	assert_int_equal(fake_conn(&host, c + 1)->n_closed, 1);
}

static void q_shuts_reading_and_leaves_bytes_unread(void **state)
{
	mr_conn_id c = drilled("Q\nunread");

	(void)state;
	assert_true(fake_conn(&host, c)->read_shut);
	assert_false(fake_conn(&host, c)->write_shut);
	assert_int_equal(fake_conn(&host, c)->in_bytes, 6);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_lose(&host, c, ECONNRESET);
	assert_int_equal(fake_conn(&host, c)->n_closed, 1);
}

static void q_fin_closes(void **state)
{
	mr_conn_id c = drilled("Q\n");

	(void)state;
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void b_listens_with_a_backlog_of_one_and_reports(void **state)
{
	mr_conn_id c = drilled("B 7100\n"), taken = drilled("B 7101\n"), none;
	char want[16];

	(void)state;
	assert_int_equal(fake_conn(&host, c)->listen_port, 7100);
	assert_int_equal(fake_conn(&host, c)->backlog, 1);
	expect_text(c, "");
	fake_listening(&host, c, 0);
	expect_text(c, "0\n");
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_listening(&host, taken, -EADDRINUSE);
	snprintf(want, sizeof(want), "%d\n", EADDRINUSE);
	expect_text(taken, want);
	host.listen_error = -EALREADY;
	none = drilled("B 7102\n");
	snprintf(want, sizeof(want), "%d\n", EALREADY);
	expect_text(none, want);
}

static void b_fin_before_the_report_closes_after_it(void **state)
{
	mr_conn_id c = drilled("B 7100\n");

	(void)state;
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_ALIVE);
	fake_listening(&host, c, 0);
	expect_text(c, "0\n");
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

static void k_sets_keepalive_then_discards(void **state)
{
	mr_conn_id c = drilled("K 5\ndiscarded");

	(void)state;
	assert_int_equal(fake_conn(&host, c)->keepalive[0], 5);
	assert_int_equal(fake_conn(&host, c)->keepalive[1], 1);
	assert_int_equal(fake_conn(&host, c)->keepalive[2], 3);
	assert_int_equal(fake_conn(&host, c)->in_bytes, 0);
	fake_fin(&host, c);
	assert_int_equal(fake_end(&host, c), FAKE_CLOSED);
}

#define BOTH(name)                                                                                 \
	{ #name ", one segment", name, setup, teardown, NULL },                                    \
	{                                                                                          \
#name ", byte by byte", name, setup_bytewise, teardown, NULL                       \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(bad_lines_are_answered_and_closed),
		BOTH(line_with_a_zero_byte_is_refused),
		BOTH(line_of_128_bytes_is_read_and_one_more_is_refused),
		BOTH(complaint_without_room_is_finished_later),
		BOTH(fin_without_a_line_closes_and_within_one_is_answered),
		BOTH(e_echoes_what_follows_the_line),
		BOTH(e_fin_before_all_is_echoed_closes_after_it),
		BOTH(s_discards_until_the_peer_closes),
		BOTH(g_sends_the_pattern_then_discards),
		BOTH(g_fin_before_all_is_sent_closes_after_it),
		BOTH(g_zero_sends_nothing_and_largest_number_begins),
		BOTH(f_sends_the_pattern_and_closes),
		BOTH(h_answers_count_and_hash_after_the_fin),
		BOTH(h_answer_without_room_comes_later),
		BOTH(n_reads_nothing_before_its_time),
		BOTH(n_fin_before_its_time_is_answered_at_it),
		BOTH(n_fin_reported_while_paused_is_answered_at_its_time),
		BOTH(n_zero_is_h),
		BOTH(c_closes_at_once),
		BOTH(r_aborts),
		BOTH(u_closes_with_bytes_unread_at_its_time),
		BOTH(u_without_bytes_closes_in_order),
		BOTH(u_fin_does_not_end_it_before_its_time),
		BOTH(w_writes_with_nagle_and_d_without),
		BOTH(w_write_that_is_cut_goes_on_where_it_was),
		BOTH(p_says_hello_shuts_down_and_reads_on),
		BOTH(a_connects_reports_and_echoes_on_the_new_connection),
		BOTH(a_takes_ipv6),
		BOTH(a_that_fails_reports_the_errno),
		BOTH(a_reports_once_although_the_new_connection_is_lost_later),
		BOTH(a_fin_before_the_report_closes_after_it),
		BOTH(a_whose_first_connection_died_reports_to_nobody),
		BOTH(q_shuts_reading_and_leaves_bytes_unread),
		BOTH(q_fin_closes),
		BOTH(b_listens_with_a_backlog_of_one_and_reports),
		BOTH(b_fin_before_the_report_closes_after_it),
		BOTH(k_sets_keepalive_then_discards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
