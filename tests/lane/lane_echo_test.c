/* SPDX-License-Identifier: MIT */
/* Two lanes on the in-memory wire: the main job, bytes and messages, both families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/pair.h"

/* A client that sends `total` messages of growing size and compares what comes back. */
static struct {
	mr_conn_id id;
	unsigned int opened, received, closed;
	unsigned int total;
	size_t size;
	int reason;
	bool wrong;
} client;

static void fill(uint8_t *value, unsigned int n, size_t len)
{
	for (size_t i = 0; i < len; i++)
		value[i] = (uint8_t)(n * 31 + i);
}

static void send_next(struct mr_host *h, mr_conn_id c)
{
	uint8_t *value = malloc(client.size + 1);

	fill(value, client.received, client.size);
	if (mr_send_message(h, c, client.received & 0xffff, value, client.size) != 0)
		client.wrong = true;
	free(value);
}

static void on_open(struct mr_host *h, mr_conn_id c)
{
	client.opened++;
	client.id = c;
	send_next(h, c);
}

static enum mr_app_verdict on_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
				      const uint8_t *value, size_t len)
{
	uint8_t *want = malloc(client.size + 1);

	fill(want, client.received, client.size);
	if (tag != (client.received & 0xffff) || len != client.size ||
	    memcmp(want, value, len) != 0)
		client.wrong = true;
	free(want);
	if (++client.received == client.total)
		mr_close(h, c);
	else
		send_next(h, c);
	return MR_APP_DONE;
}

static void on_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h;
	(void)c;
	client.closed++;
	client.reason = reason;
}

static const struct mr_app client_app = {
	.name = "test-client",
	.messages = true,
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

static bool is_closed(void *arg)
{
	(void)arg;
	return client.closed > 0;
}

static void echo(size_t size, unsigned int total, bool ipv6)
{
	static const struct mr_app *const apps[] = { &client_app };
	struct pair p;
	uint64_t held;

	memset(&client, 0, sizeof(client));
	client.size = size;
	client.total = total;
	pair_init(&p, PAIR_OPTIONS);
	pair_rule(&p, PAIR_SERVER, "echo", 7000);
	pair_rule(&p, PAIR_CLIENT, "test-client", 9);
	pair_start(&p, apps, 1);
	pair_connect(&p, 0, 7000, ipv6);
	assert_true(pair_run(&p, 60000, is_closed, NULL));
	assert_int_equal(client.opened, 1);
	assert_int_equal(client.received, total);
	assert_false(client.wrong);
	assert_int_equal(client.reason, MR_CLOSE_DONE);
	pair_run(&p, 100, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		assert_true(pair_frames_are_whole(&p, i, &held));
		assert_int_equal(held, 0);
		assert_int_equal(p.end[i].stats.connections, 0);
		assert_int_equal(p.end[i].stats.retransmits, 0);
	}
	assert_int_equal(p.end[PAIR_CLIENT].stats.time_wait, 1);
	pair_free(&p);
}

static void short_messages_come_back(void **state)
{
	(void)state;
	echo(64, 1000, false);
}

static void short_messages_come_back_over_ipv6(void **state)
{
	(void)state;
	echo(64, 1000, true);
}

static void messages_over_many_segments_come_back(void **state)
{
	(void)state;
	echo(100000, 20, false);
}

static void empty_messages_come_back(void **state)
{
	(void)state;
	echo(0, 10, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_messages_come_back),
		cmocka_unit_test(short_messages_come_back_over_ipv6),
		cmocka_unit_test(messages_over_many_segments_come_back),
		cmocka_unit_test(empty_messages_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
