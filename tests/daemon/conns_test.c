/* SPDX-License-Identifier: MIT */
/*
 * GET /v1/conns (docs/control-api.md): what a lane wrote into its arena is listed, page by page,
 * and whatever it wrote, the answer is JSON and nothing worse happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/daemon/api.h"
#include "user/frame/arena.h"

enum {
	LANES = 2,
	CONNS = 1000,
	HALVES = 64,
	WAITS = 64,
};

struct fixture {
	struct mr_daemon d;
	struct mr_child c;
	struct mr_link link;
	struct mr_lane lanes[LANES];
	struct mr_settings_rule rule;
	struct mr_arena arena[LANES];
};

static int set_up(void **state)
{
	static const struct mr_arena_sizes sizes = {
		.frames = 256,
		.frame_bytes = 2048,
		.conns = CONNS,
		.half_open = HALVES,
		.time_wait = WAITS,
		.sessions = 16,
		.message_bytes = 1 << 16,
	};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->c.d = &f->d;
	f->link.name = "eth0";
	f->link.n_queues = LANES;
	f->d.links = &f->link;
	f->d.n_links = 1;
	f->d.lanes = f->lanes;
	f->d.n_lanes = LANES;
	f->d.settings.rules = &f->rule;
	f->d.settings.n_rules = 1;
	strcpy(f->rule.lane.name, "one");
	strcpy(f->rule.lane.app, "echo");
	for (uint32_t i = 0; i < LANES; i++) {
		bool huge;

		f->lanes[i].index = i;
		if (mr_arena_create("test", &sizes, false, &f->lanes[i].arena_reader, &huge) < 0 ||
		    mr_arena_map(&f->arena[i], f->lanes[i].arena_reader, true) < 0)
			return -1;
		memcpy(&f->lanes[i].layout, f->arena[i].base, sizeof(f->lanes[i].layout));
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < LANES; i++) {
		mr_arena_unmap(&f->arena[i]);
		close(f->lanes[i].arena_reader);
	}
	free(f);
	return 0;
}

static struct mr_conn *conn(struct fixture *f, uint32_t lane, uint32_t index)
{
	return (struct mr_conn *)mr_arena_area(&f->arena[lane], MR_AREA_CONNS, NULL) + index;
}

static struct mr_conn *establish(struct fixture *f, uint32_t lane, uint32_t index)
{
	struct mr_conn *c = conn(f, lane, index);

	c->state = MR_ESTABLISHED;
	c->local_port = mr_to_be16(7000);
	c->remote_port = mr_to_be16((uint16_t)(1024 + index));
	memset(c->local + 10, 0xff, 2);
	memcpy(c->local + 12, (uint8_t[]){ 192, 0, 2, 2 }, 4);
	memcpy(c->remote, c->local, 16);
	c->remote[15] = 1;
	return c;
}

static json_t *ask(struct fixture *f, const struct mr_conns_query *q)
{
	size_t bytes = 0;
	char *text = mr_json_conns(&f->c, q, &bytes);
	json_error_t error;
	json_t *o;

	assert_non_null(text);
	assert_int_equal(strlen(text), bytes);
	o = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		fail_msg("%s in: %.200s", error.text, text);
	free(text);
	return o;
}

static struct mr_conns_query everything(uint32_t limit)
{
	return (struct mr_conns_query){
		.lane = UINT32_MAX, .limit = limit, .state = -1, .port = -1
	};
}

static size_t count(json_t *o, const char *key)
{
	return json_array_size(json_object_get(o, key));
}

static const char *text_of(json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_int_t number_of(json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void empty_arenas_list_nothing(void **state)
{
	struct mr_conns_query q = everything(1000);
	json_t *o = ask(*state, &q);

	assert_int_equal(count(o, "connections"), 0);
	assert_int_equal(count(o, "half_open"), 0);
	assert_int_equal(count(o, "time_wait"), 0);
	assert_true(json_is_null(json_object_get(o, "next")));
	json_decref(o);
}

/* The active record of connection 17 is told with it; one that another connection owns is not. */
static void connection_tells_loss_recovery_of_its_own_record(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q = everything(1000);
	struct mr_conn *c = establish(f, 1, 17);
	struct mr_active *a = mr_arena_area(&f->arena[1], MR_AREA_ACTIVE, NULL);

	c->active = 2;
	a[2] = (struct mr_active){ .sacked = 1448, .lost = 2896, .min_rtt_us = 90 };
	for (uint32_t owner = 16; owner <= 17; owner++) {
		json_t *o, *e;

		a[2].owner = owner;
		o = ask(f, &q);
		e = json_array_get(json_object_get(o, "connections"), 0);
		assert_int_equal(number_of(e, "sacked_bytes"), owner == 17 ? 1448 : 0);
		assert_int_equal(number_of(e, "lost_bytes"), owner == 17 ? 2896 : 0);
		assert_int_equal(number_of(e, "min_rtt_us"), owner == 17 ? 90 : 0);
		json_decref(o);
	}
	c->active = MR_NONE - 1;
	json_decref(ask(f, &q));
}

static void connection_is_told_as_it_stands(void **state)
{
	struct mr_conns_query q = everything(1000);
	struct mr_conn *c = establish(*state, 1, 17);
	json_t *o, *e;

	c->generation = 3;
	c->irs = 0xfffffff0;
	c->rcv_nxt = 0x0000000f; /* SYN and 30 bytes */
	c->rcv_wraps = 1;
	c->iss = 5;
	c->snd_una = 6;
	c->snd_nxt = 106;
	c->srtt_us = 8 * 250;
	c->rttvar_us = 4 * 50;
	c->ssthresh = INT32_MAX;
	c->flags = MR_CONN_PASSIVE | MR_CONN_TIMESTAMPS | MR_CONN_BLOCKED;
	o = ask(*state, &q);
	e = json_array_get(json_object_get(o, "connections"), 0);
	assert_string_equal(text_of(e, "id"), "17.3");
	assert_string_equal(text_of(e, "state"), "ESTABLISHED");
	assert_string_equal(text_of(e, "local"), "192.0.2.2");
	assert_string_equal(text_of(e, "remote"), "192.0.2.1");
	assert_int_equal(number_of(e, "remote_port"), 1041);
	assert_int_equal(number_of(e, "queue"), 1);
	assert_string_equal(text_of(e, "rule"), "one");
	assert_string_equal(text_of(e, "app"), "echo");
	assert_true(number_of(e, "bytes_received") == (1ll << 32) + 30);
	assert_int_equal(number_of(e, "bytes_sent"), 0);
	assert_int_equal(number_of(e, "tx_unacked_bytes"), 100);
	assert_int_equal(number_of(e, "srtt_us"), 250);
	assert_int_equal(number_of(e, "rttvar_us"), 50);
	assert_true(json_is_null(json_object_get(e, "ssthresh")));
	assert_true(json_is_true(json_object_get(e, "timestamps")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(e, "flags"), 0)),
			    "blocked");
	json_decref(o);
}

static void queries_choose_by_lane_state_and_port(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q = everything(1000);
	json_t *o;

	establish(f, 0, 1);
	establish(f, 0, 2)->state = MR_FIN_WAIT_2;
	establish(f, 1, 3)->local_port = mr_to_be16(7001);
	q.lane = 0;
	o = ask(f, &q);
	assert_int_equal(count(o, "connections"), 2);
	json_decref(o);
	q.state = MR_FIN_WAIT_2;
	o = ask(f, &q);
	assert_int_equal(count(o, "connections"), 1);
	json_decref(o);
	q = everything(1000);
	q.port = 7001;
	o = ask(f, &q);
	assert_int_equal(count(o, "connections"), 1);
	json_decref(o);
}

static void fill_some_of_each(struct fixture *f);

/* How many connections a query lists that is written as a client writes it. */
static size_t listed(struct fixture *f, const char *name, const char *value)
{
	struct mr_conns_query q;
	size_t n;
	json_t *o;

	mr_conns_query_init(&q);
	assert_null(mr_conns_query_set(&f->c, &q, name, value));
	o = ask(f, &q);
	n = count(o, "connections") + count(o, "half_open") + count(o, "time_wait");
	json_decref(o);
	return n;
}

static void filters_choose_by_what_a_connection_is(void **state)
{
	struct fixture *f = *state;
	uint32_t now = (uint32_t)(mr_now_ns() / 1000000);
	struct mr_conn *a = establish(f, 0, 1), *b = establish(f, 1, 2), *c = establish(f, 1, 3);
	struct mr_half_open *h = mr_arena_area(&f->arena[0], MR_AREA_HALF_OPEN, NULL);

	memcpy(b->remote, (uint8_t[16]){ 0x20, 0x01, 0x0d, 0xb8, [15] = 9 }, 16);
	c->remote[12] = 10;
	c->rule = 1;
	a->opened_ms = now - 60000;
	b->opened_ms = c->opened_ms = now;
	a->received_ms = b->received_ms = now;
	c->received_ms = now - 30000;
	b->retransmits = 7;
	h->flags = MR_HALF_USED;
	memcpy(h->local, a->local, 16);
	memcpy(h->remote, a->remote, 16);
	assert_int_equal(listed(f, "remote", "192.0.2.1"), 2);
	assert_int_equal(listed(f, "remote", "192.0.2.0/24"), 2);
	assert_int_equal(listed(f, "remote", "192.0.2.2/31"), 0);
	assert_int_equal(listed(f, "remote", "0.0.0.0/0"), 3);
	assert_int_equal(listed(f, "remote", "2001:db8::/33"), 1);
	assert_int_equal(listed(f, "remote", "::/0"), 4);
	assert_int_equal(listed(f, "local", "192.0.2.2"), 4);
	assert_int_equal(listed(f, "address", "192.0.2.1"), 2);
	assert_int_equal(listed(f, "address", "192.0.2.2"), 4);
	assert_int_equal(listed(f, "remote_port", "1025"), 1);
	assert_int_equal(listed(f, "rule", "one"), 3);
	/* half-open connections have no age: they are not of those that are asked for by it */
	assert_int_equal(listed(f, "min_age_ms", "50000"), 1);
	assert_int_equal(listed(f, "max_age_ms", "50000"), 2);
	assert_int_equal(listed(f, "min_idle_ms", "20000"), 1);
	assert_int_equal(listed(f, "min_retransmits", "7"), 1);
	assert_int_equal(listed(f, "min_retransmits", "8"), 0);
}

static void parameter_that_makes_no_sense_is_told(void **state)
{
	static const char *const wrong[][2] = {
		{ "colour", "red" },	    { "lane", "eth0" },	    { "lane", "eth0:9" },
		{ "limit", "0" },	    { "limit", "-1" },	    { "state", "established" },
		{ "port", "65536" },	    { "remote_port", "0" }, { "address", "192.0.2" },
		{ "local", "1.2.3.4/33" },  { "remote", "::/129" }, { "remote", "::1/" },
		{ "rule", "none" },	    { "id", "5" },	    { "id", "5.6.7" },
		{ "min_age_ms", "1s" },	    { "max_age_ms", "0" },  { "min_idle_ms", "" },
		{ "min_retransmits", "x" }, { "fields", "" },	    { "fields", "id,,state" },
		{ "fields", "nothing" },    { "format", "xml" },    { "after", "1.2" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct mr_conns_query q;

		mr_conns_query_init(&q);
		if (!mr_conns_query_set(&f->c, &q, wrong[i][0], wrong[i][1]))
			fail_msg("%s=%s was taken", wrong[i][0], wrong[i][1]);
	}
}

static void one_is_found_by_its_id(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q;
	json_t *o;

	establish(f, 1, 17)->generation = 3;
	establish(f, 0, 17)->generation = 3;
	establish(f, 1, 18)->generation = 3;
	mr_conns_query_init(&q);
	assert_null(mr_conns_query_set(&f->c, &q, "lane", "eth0:1"));
	assert_null(mr_conns_query_set(&f->c, &q, "id", "17.3"));
	o = ask(f, &q);
	assert_int_equal(count(o, "connections"), 1);
	assert_int_equal(number_of(json_array_get(json_object_get(o, "connections"), 0), "queue"),
			 1);
	json_decref(o);
	assert_null(mr_conns_query_set(&f->c, &q, "id", "17.4"));
	o = ask(f, &q);
	assert_int_equal(count(o, "connections"), 0);
	json_decref(o);
}

static char *text_in(struct fixture *f, const char *format, const char *fields)
{
	struct mr_conns_query q;
	size_t bytes;
	char *text;

	mr_conns_query_init(&q);
	q.limit = UINT32_MAX;
	assert_null(mr_conns_query_set(&f->c, &q, "format", format));
	assert_null(mr_conns_query_set(&f->c, &q, "fields", fields));
	text = mr_json_conns(&f->c, &q, &bytes);
	assert_non_null(text);
	return text;
}

static void formats_have_a_line_a_connection_and_a_last_line(void **state)
{
	struct fixture *f = *state;
	struct mr_time_wait *w = mr_arena_area(&f->arena[0], MR_AREA_TIME_WAIT, NULL);
	struct mr_conn *c = establish(f, 0, 2);
	char *text;

	c->flags = MR_CONN_PASSIVE | MR_CONN_READY | MR_CONN_BLOCKED;
	w->local_port = mr_to_be16(7000);
	text = text_in(f, "tsv", "state,id,flags,rule,passive,srtt_us");
	assert_string_equal(text, "id\tstate\trule\tpassive\tsrtt_us\tflags\n"
				  "2.0\tESTABLISHED\tone\t"
				  "yes\t-\tready,blocked\n"
				  "-\tTIME-WAIT\t-\t-\t-\t-\n"
				  "# next null\n");
	free(text);
	text = text_in(f, "lines", "state,id,passive");
	assert_string_equal(text, "{\"id\":\"2.0\",\"state\":\"ESTABLISHED\",\"passive\":true}\n"
				  "{\"state\":\"TIME-WAIT\"}\n"
				  "{\"v\":1,\"next\":null}\n");
	free(text);
}

/* RFC 4898 3.2, tcpEStatsPerfSndLimTrans*: which of the three it is now. */
static void limit_of_sending_is_named(void **state)
{
	struct fixture *f = *state;
	struct mr_conn *c = establish(f, 0, 1);
	static const struct {
		uint32_t queued, flight, snd_wnd, cwnd, flags;
		const char *words;
	} cases[] = {
		{ 0, 0, 10000, 10000, 0, "snd" },
		{ 5000, 5000, 5000, 5000, 0, "snd" },
		{ 9000, 5000, 5500, 20000, 0, "rwin" },
		{ 9000, 5000, 20000, 5500, 0, "cwin" },
		{ 9000, 5000, 20000, 20000, 0, "snd" },
		{ 9000, 5000, 5500, 5500, MR_CONN_SEND_LIMITED, "snd" },
	};

	c->snd_mss = 1448;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[64], *text;

		c->tx_bytes = cases[i].queued;
		c->snd_nxt = c->snd_una + cases[i].flight;
		c->snd_wnd = cases[i].snd_wnd;
		c->cwnd = cases[i].cwnd;
		c->flags = cases[i].flags;
		snprintf(expected, sizeof(expected), "limited_by\n%s\n# next null\n",
			 cases[i].words);
		text = text_in(f, "tsv", "limited_by");
		assert_string_equal(text, expected);
		free(text);
	}
}

/* Whoever looks for what is not there does not keep others waiting: it comes back in between. */
static void search_gives_others_their_turn(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q;
	struct mr_conns_walk *w;
	unsigned int turns = 0;
	char part[64];
	ssize_t n;

	fill_some_of_each(f);
	mr_conns_query_init(&q);
	q.remote_port = 9;
	w = mr_conns_walk_new(&f->c, &q);
	assert_non_null(w);
	for (n = 0; n >= 0; turns++)
		n = mr_conns_walk_read(w, part, sizeof(part));
	assert_true(turns > 2);
	mr_conns_walk_free(w);
}

static void fill_some_of_each(struct fixture *f)
{
	for (uint32_t lane = 0; lane < LANES; lane++) {
		struct mr_half_open *h = mr_arena_area(&f->arena[lane], MR_AREA_HALF_OPEN, NULL);
		struct mr_time_wait *w = mr_arena_area(&f->arena[lane], MR_AREA_TIME_WAIT, NULL);

		for (uint32_t i = 0; i < 50; i++)
			establish(f, lane, i * 20);
		for (uint32_t i = 0; i < 10; i++) {
			h[i * 6].flags = MR_HALF_USED;
			w[i * 6].local_port = mr_to_be16(7000);
		}
	}
}

/* Every record once, whatever the size of the pages. */
static void pages_together_are_the_whole(void **state)
{
	struct fixture *f = *state;

	fill_some_of_each(f);
	for (uint32_t limit = 1; limit < 150; limit += 7) {
		struct mr_conns_query q = everything(limit);
		size_t conns = 0, halves = 0, waits = 0;
		const char *next;
		json_t *o;

		do {
			o = ask(f, &q);
			conns += count(o, "connections");
			halves += count(o, "half_open");
			waits += count(o, "time_wait");
			next = text_of(o, "next");
			if (next)
				assert_int_equal(sscanf(next, "%u.%u.%u", &q.after_lane,
							&q.after_kind, &q.after_index),
						 3);
			json_decref(o);
		} while (next);
		assert_int_equal(conns, LANES * 50);
		assert_int_equal(halves, LANES * 10);
		assert_int_equal(waits, LANES * 10);
	}
}

static void cursor_beyond_everything_lists_nothing(void **state)
{
	struct mr_conns_query q = everything(10);
	json_t *o;

	fill_some_of_each(*state);
	q.after_lane = q.after_kind = q.after_index = UINT32_MAX;
	o = ask(*state, &q);
	assert_int_equal(count(o, "connections") + count(o, "time_wait"), 0);
	json_decref(o);
	q.after_kind = MR_AREA_CONNS;
	q.after_lane = 0;
	o = ask(*state, &q);
	assert_int_equal(count(o, "connections"), 10); /* those of lane 1 */
	json_decref(o);
}

static void scribble(const struct fixture *f, uint32_t lane, enum mr_arena_area area)
{
	const struct mr_arena_area_record *r = &f->lanes[lane].layout.area[area];
	uint8_t *p = f->arena[lane].base + r->offset;

	for (size_t i = 0; i < (size_t)r->count * r->record_bytes; i++)
		p[i] = (uint8_t)(rand() >> 7);
}

/* A lane that was taken over may write anything, the header of its arena too. */
static void hostile_arena_gives_json(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q = everything(UINT32_MAX);

	srand(1);
	for (int round = 0; round < 20; round++) {
		uint32_t counts[MR_MAX_RULES] = { 0 };

		for (uint32_t lane = 0; lane < LANES; lane++) {
			scribble(f, lane, MR_AREA_CONNS);
			scribble(f, lane, MR_AREA_HALF_OPEN);
			scribble(f, lane, MR_AREA_TIME_WAIT);
			memset(f->arena[lane].base, rand() & 255, MR_ARENA_PAGE);
		}
		json_decref(ask(f, &q));
		free(text_in(f, "tsv", "local,rule,flags,timers,vlan,close_reason,sacked_bytes"));
		mr_conns_count(&f->c, counts);
	}
}

/* Reading must not fill the holes of a sparse arena. */
static void reading_costs_no_memory(void **state)
{
	struct fixture *f = *state;
	struct mr_conns_query q = everything(1000);
	struct mr_arena_area_record *r = &f->lanes[0].layout.area[MR_AREA_CONNS];
	unsigned char there[CONNS * sizeof(struct mr_conn) / 4096 + 2];
	size_t pages = 0;

	establish(f, 0, 999);
	json_decref(ask(f, &q));
	assert_int_equal(mincore(f->arena[0].base + r->offset, r->bytes, there), 0);
	for (size_t i = 0; i < r->bytes / 4096; i++)
		pages += there[i] & 1;
	assert_true(pages <= 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(empty_arenas_list_nothing),
		T(connection_tells_loss_recovery_of_its_own_record),
		T(connection_is_told_as_it_stands),
		T(queries_choose_by_lane_state_and_port),
		T(filters_choose_by_what_a_connection_is),
		T(parameter_that_makes_no_sense_is_told),
		T(one_is_found_by_its_id),
		T(formats_have_a_line_a_connection_and_a_last_line),
		T(limit_of_sending_is_named),
		T(search_gives_others_their_turn),
		T(pages_together_are_the_whole),
		T(cursor_beyond_everything_lists_nothing),
		T(hostile_arena_gives_json),
		T(reading_costs_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
