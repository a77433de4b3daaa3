/* SPDX-License-Identifier: MIT */
/*
 * Rules that change while a lane runs: what is added serves at once, what leaves keeps its
 * connections and takes no others, what is refused changes nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

static int starts, stops;

static int counting_start(struct mr_host *h, const struct mr_app_args *args, void **state)
{
	(void)h;
	*state = NULL;
	if (!strcmp(args->rule_name, "unwilling"))
		return -EACCES;
	starts++;
	return 0;
}

static void counting_stop(struct mr_host *h, void *state)
{
	(void)h, (void)state;
	stops++;
}

static enum mr_app_verdict counting_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
					  size_t len, size_t *used)
{
	(void)h, (void)c, (void)data;
	*used = len;
	return MR_APP_DONE;
}

static const struct mr_app counting_app = {
	.name = "counting",
	.start = counting_start,
	.stop = counting_stop,
	.bytes = counting_bytes,
};

/* The server's next rules: a copy of those it has. */
static struct mr_lane_rule next[PAIR_RULES];

static struct mr_lane_rule *next_rule(uint32_t i, const char *app, uint16_t port)
{
	struct mr_lane_rule *r = &next[i];

	*r = next[0];
	r->rule_id = (uint16_t)i;
	r->port = port;
	r->place = (uint16_t)i;
	r->state = MR_RULE_LIVE;
	snprintf(r->name, sizeof(r->name), "%s-%u", app, port);
	snprintf(r->app, sizeof(r->app), "%s", app);
	return r;
}

static void start(struct pair *p)
{
	static const struct mr_app *const apps[] = { &talk_app, &counting_app };

	starts = stops = 0;
	pair_init(p, PAIR_OPTIONS);
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	pair_rule(p, PAIR_CLIENT, "talk", 9);
	pair_start(p, apps, 2);
	memcpy(next, p->end[PAIR_SERVER].rule, sizeof(next));
}

static int change(struct pair *p, uint32_t n, char words[MR_RULES_WORDS])
{
	static struct mr_lane_rule now[2][PAIR_RULES]; /* the lane borrows them */
	static int turn;

	turn = !turn;
	memcpy(now[turn], next, sizeof(next));
	return mr_lane_rules(p->end[PAIR_SERVER].lane, now[turn], n, NULL, words, MR_RULES_WORDS);
}

static void changed(struct pair *p, uint32_t n)
{
	char words[MR_RULES_WORDS];

	assert_int_equal(change(p, n, words), 0);
	assert_string_equal(words, "");
}

/* A talk that stays open when it has said "first". */
static void open_talk(struct pair *p, struct talk *t, uint16_t port)
{
	*t = (struct talk){ .out = "first", .out_len = 5, .lasting = true };
	talk_begin(p, t, port, false);
	pair_run(p, 100, NULL, NULL);
	assert_true(t->opened && !t->closed);
	assert_string_equal(t->in, "first");
}

static void goes_on(struct pair *p, struct talk *t)
{
	size_t before = t->in_len;

	talk_say(t, "again", 5);
	pair_run(p, 100, NULL, NULL);
	assert_int_equal(t->in_len, before + 5);
}

static void is_refused(struct pair *p, uint16_t port)
{
	struct talk t = { .out = "x", .out_len = 1 };

	talk_begin(p, &t, port, false);
	pair_run(p, 1000, NULL, NULL);
	assert_true(t.closed && !t.opened);
	assert_int_equal(t.reason, MR_CLOSE_REFUSED);
}

static void ends(struct pair *p, struct talk *t)
{
	talk_close(t);
	pair_run(p, 3000, NULL, NULL);
	assert_true(t->closed);
}

static void added_rule_serves_beside_the_others(void **state)
{
	struct talk old, fresh;
	struct pair p;

	(void)state;
	start(&p);
	open_talk(&p, &old, 7000);
	is_refused(&p, 7001);
	next_rule(1, "echo-bytes", 7001);
	changed(&p, 2);
	assert_int_equal(p.end[PAIR_SERVER].stats.listeners, 2);
	open_talk(&p, &fresh, 7001);
	goes_on(&p, &old);
	goes_on(&p, &fresh);
	ends(&p, &old);
	ends(&p, &fresh);
	talk_end(&p);
}

static void leaving_rule_keeps_its_connections_and_takes_no_others(void **state)
{
	struct talk first, second;
	struct pair p;

	(void)state;
	start(&p);
	open_talk(&p, &first, 7000);
	open_talk(&p, &second, 7000);
	next[0].state = MR_RULE_LEAVING;
	changed(&p, 1);
	assert_int_equal(p.end[PAIR_SERVER].stats.listeners, 0);
	is_refused(&p, 7000);
	goes_on(&p, &first);
	ends(&p, &first);
	goes_on(&p, &second);
	assert_int_equal(p.end[PAIR_SERVER].ended_rule, 0);
	ends(&p, &second);
	assert_int_equal(p.end[PAIR_SERVER].ended_rule, 1);
	next[0].state = MR_RULE_FREE;
	changed(&p, 1);
	next_rule(0, "echo-bytes", 7005);
	changed(&p, 1);
	open_talk(&p, &first, 7005);
	ends(&p, &first);
	talk_end(&p);
}

/* A handshake whose ACK comes behind the change: it began before, and counts. */
static void handshake_under_way_is_a_connection_of_the_rule(void **state)
{
	struct talk t = { .out = "late", .out_len = 4, .lasting = true };
	struct pair_options o = PAIR_OPTIONS;
	struct pair p;

	(void)state;
	o.delay_ns = 50000000;
	talk_start(&p, "echo-bytes", o);
	memcpy(next, p.end[PAIR_SERVER].rule, sizeof(next));
	talk_begin(&p, &t, 7000, false);
	pair_run(&p, 70, NULL, NULL);
	assert_int_equal(p.end[PAIR_SERVER].stats.half_open, 1);
	next[0].state = MR_RULE_LEAVING;
	changed(&p, 1);
	pair_run(&p, 1500, NULL, NULL);
	assert_string_equal(t.in, "late");
	assert_int_equal(p.end[PAIR_SERVER].ended_rule, 0);
	ends(&p, &t);
	assert_int_equal(p.end[PAIR_SERVER].ended_rule, 1);
	talk_end(&p);
}

static void refused(struct pair *p, uint32_t n, int error, const char *words)
{
	char said[MR_RULES_WORDS];

	assert_int_equal(change(p, n, said), error);
	assert_non_null(strstr(said, words));
	assert_int_equal(starts, stops);
}

static void refused_rules_change_nothing(void **state)
{
	struct talk t, fresh;
	struct pair p;

	(void)state;
	start(&p);
	open_talk(&p, &t, 7000);
	next_rule(1, "counting", 7001);
	next_rule(2, "nobody's", 7002);
	refused(&p, 3, -ENOENT, "no application is called nobody's");
	next_rule(2, "counting", 7002);
	snprintf(next[2].name, sizeof(next[2].name), "unwilling");
	refused(&p, 3, -EACCES, "does not start: Permission denied");
	next_rule(2, "echo", 7002)->tlv.tag_bytes = 99;
	refused(&p, 3, -EINVAL, "rule echo-7002: ");
	next[0].state = MR_RULE_FREE;
	refused(&p, 2, -EBUSY, "number 0 has connections");
	next_rule(0, "discard-bytes", 7000);
	refused(&p, 2, -EBUSY, "number 0 has connections");
	refused(&p, 0, -EBUSY, "number 0 has connections");
	is_refused(&p, 7001);
	goes_on(&p, &t);
	open_talk(&p, &fresh, 7000);
	ends(&p, &fresh);
	ends(&p, &t);
	talk_end(&p);
}

/* Whom it names says nothing of what its application holds. */
static void moved_rule_goes_on_another_one_starts_anew(void **state)
{
	struct pair p;

	(void)state;
	start(&p);
	next_rule(1, "counting", 7001);
	changed(&p, 2);
	assert_int_equal(starts, 1);
	next_rule(1, "counting", 7001);
	snprintf(next[1].name, sizeof(next[1].name), "counting-7001");
	next[1].port = 7009;
	next[1].backlog = 3;
	changed(&p, 2);
	assert_int_equal(starts, 1);
	assert_int_equal(stops, 0);
	is_refused(&p, 7001);
	next[1].dscp = 9;
	changed(&p, 2);
	assert_int_equal(starts, 2);
	assert_int_equal(stops, 1);
	changed(&p, 1);
	assert_int_equal(stops, 2);
	talk_end(&p);
}

static void next_worker_knows_the_rules_that_leave(void **state)
{
	struct pair_end *e;
	struct talk t;
	struct pair p;

	(void)state;
	start(&p);
	e = &p.end[PAIR_SERVER];
	open_talk(&p, &t, 7000);
	next[0].state = MR_RULE_LEAVING;
	next_rule(1, "echo-bytes", 7001);
	next[1].state = MR_RULE_FREE;
	next_rule(2, "echo-bytes", 7002);
	changed(&p, 3);
	pair_kill(&p, PAIR_SERVER);
	memcpy(e->rule, next, sizeof(next));
	e->config.n_rules = 3;
	pair_replace(&p, PAIR_SERVER);
	assert_int_equal(e->stats.listeners, 1);
	goes_on(&p, &t);
	is_refused(&p, 7000);
	assert_int_equal(e->ended_rule, 0);
	ends(&p, &t);
	assert_int_equal(e->ended_rule, 1);
	open_talk(&p, &t, 7002);
	ends(&p, &t);
	talk_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(added_rule_serves_beside_the_others),
		cmocka_unit_test(leaving_rule_keeps_its_connections_and_takes_no_others),
		cmocka_unit_test(handshake_under_way_is_a_connection_of_the_rule),
		cmocka_unit_test(refused_rules_change_nothing),
		cmocka_unit_test(moved_rule_goes_on_another_one_starts_anew),
		cmocka_unit_test(next_worker_knows_the_rules_that_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
