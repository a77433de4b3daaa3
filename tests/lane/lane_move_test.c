/* SPDX-License-Identifier: MIT */
/*
 * Queues and RSS tables that change under load: flows move to another queue in mid-transfer, some
 * of them or all, once or again and again. Frames are handed over by the mailbox and counted; no
 * connection is reset, every byte arrives; also for those that a SYN cookie opens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/net.h"

enum {
	FLOWS = 16,
	LEN = 100000,
};

/* Last byte of the client's port, IPv4 without options. */
static uint8_t flow_of(const uint8_t *frame)
{
	return frame[14 + 20 + 1];
}

/* By flow, and the table is turned round after so many frames of the client. */
static unsigned int turned_once(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	return (flow_of(frame) + (n->sent > 400)) % 2;
}

static unsigned int turned_again_and_again(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	return (flow_of(frame) + n->sent / 100) % 2;
}

/* A queue goes away: everything comes to the other one. */
static unsigned int down_to_one(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	return n->sent > 400 ? 0 : flow_of(frame) % 2;
}

/* The other way round: a queue more, half of the flows move there. */
static unsigned int up_to_two(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	return n->sent > 400 ? flow_of(frame) % 2 : 0;
}

static void run_flows(struct net *n)
{
	struct talk t[FLOWS];
	uint8_t *data = malloc(LEN);

	assert_non_null(data);
	for (int i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 11 + (i >> 9));
	for (int i = 0; i < FLOWS; i++) {
		t[i] = (struct talk){ .out = data, .out_len = LEN - (size_t)i, .half_close = true };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	for (int i = 0; i < FLOWS; i++) {
		assert_true(net_run(n, 60000, talk_is_closed, &t[i]));
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, LEN - i);
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, data, LEN - (size_t)i));
	}
	free(data);
}

/* Nothing was reset; what one lane handed over the other one got; all connections ended well. */
static void check(struct net *n, uint64_t mail_least)
{
	uint64_t mail = 0, opens = 0, done = 0;

	net_run(n, 10, NULL, NULL);
	assert_int_equal(n->resets, 0);
	for (int i = 0; i < 2; i++) {
		const struct mr_lane_stats *s = net_server(n, i);

		assert_int_equal(s->resets_out, 0);
		assert_int_equal(s->drop.tcp_no_connection, 0);
		assert_int_equal(s->drop.mail_hops, 0);
		assert_int_equal(s->mail_in, net_server(n, !i)->mail_out);
		mail += s->mail_in;
		opens += s->passive_opens;
		done += s->closed.done;
	}
	assert_true(mail >= mail_least);
	assert_int_equal(opens, FLOWS);
	assert_int_equal(done, FLOWS);
}

static void moved_flows_go_on(unsigned int (*which)(struct net *, const uint8_t *, uint32_t),
			      void (*configure)(struct mr_lane_config *))
{
	struct net *n = net_start(configure);

	n->spread.which = which;
	run_flows(n);
	check(n, 100);
	net_free(n);
}

static void flows_go_on_when_the_table_is_turned_round(void **state)
{
	(void)state;
	moved_flows_go_on(turned_once, NULL);
}

static void flows_go_on_when_the_table_changes_all_the_time(void **state)
{
	(void)state;
	moved_flows_go_on(turned_again_and_again, NULL);
}

static void flows_go_on_when_a_queue_goes_away(void **state)
{
	(void)state;
	moved_flows_go_on(down_to_one, NULL);
}

static void flows_go_on_when_a_queue_is_added(void **state)
{
	(void)state;
	moved_flows_go_on(up_to_two, NULL);
}

static void always_cookies(struct mr_lane_config *c)
{
	c->open.syn_cookies = MR_SYN_COOKIES_ALWAYS;
}

/* The SYN-ACK is of one lane and its ACK comes to another: any lane takes the cookie, one does. */
static void flows_of_cookies_go_on_on_whatever_queue(void **state)
{
	struct net *n = net_start(always_cookies);

	(void)state;
	n->spread.which = turned_once;
	run_flows(n);
	check(n, 100);
	assert_int_equal(net_server(n, 0)->cookies_accepted + net_server(n, 1)->cookies_accepted,
			 FLOWS);
	net_free(n);
	moved_flows_go_on(turned_again_and_again, always_cookies);
}

static unsigned int syn_to_0_rest_to_1(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)n;
	(void)len;
	return !(net_flags_of(frame) & MR_SYN);
}

/* The connection stands where its ACK came, not where the cookie was made: no mail after that. */
static void cookie_opens_on_the_queue_of_its_ack(void **state)
{
	struct net *n = net_start(always_cookies);

	(void)state;
	n->spread.which = syn_to_0_rest_to_1;
	run_flows(n);
	net_run(n, 10, NULL, NULL);
	assert_int_equal(net_server(n, 0)->cookies_sent, FLOWS);
	assert_int_equal(net_server(n, 1)->cookies_accepted, FLOWS);
	assert_int_equal(net_server(n, 1)->mail_in, 0);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_go_on_when_the_table_is_turned_round),
		cmocka_unit_test(flows_go_on_when_the_table_changes_all_the_time),
		cmocka_unit_test(flows_go_on_when_a_queue_goes_away),
		cmocka_unit_test(flows_go_on_when_a_queue_is_added),
		cmocka_unit_test(flows_of_cookies_go_on_on_whatever_queue),
		cmocka_unit_test(cookie_opens_on_the_queue_of_its_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
