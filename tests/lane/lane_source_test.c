/* SPDX-License-Identifier: MIT */
/* Limits for one source, include/shared/mr_worker.h: struct mr_open_settings; and their table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"
#include "user/tcp/cookies.h"

enum {
	ISN = 1000000,
	SOURCES = 3000,
};

static void start(struct pair *p, struct raw *r, uint32_t connections, uint32_t half_open,
		  uint8_t cookies)
{
	pair_init(p, PAIR_OPTIONS);
	p->end[PAIR_SERVER].config.open.source_connections = connections;
	p->end[PAIR_SERVER].config.open.source_half_open = half_open;
	p->end[PAIR_SERVER].config.open.syn_cookies = cookies;
	pair_rule(p, PAIR_SERVER, "echo-bytes", 7000);
	talk_serve(p);
	raw_init(r, p);
}

static void reset(struct raw *r, uint16_t from)
{
	raw_reset(r, from, 7000, ISN + 1);
}

static void half_open_of_a_source_are_limited_and_the_rest_not_answered(void **state)
{
	struct pair p;
	struct raw r;
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

	(void)state;
	start(&p, &r, 0, 3, 0);
	for (uint16_t i = 0; i < 10; i++)
		assert_int_equal(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN), i < 3);
	assert_int_equal(s->drop.source_limit, 7);
	assert_int_equal(r.resets, 0);
	reset(&r, RAW_PORTS); /* each that ends makes room for one, however it ends */
	assert_true(raw_syn(&r, RAW_PORTS + 10, 7000, ISN));
	raw_ack(&r, RAW_PORTS + 10, 7000, ISN + 1, NULL, 0);
	assert_true(raw_syn(&r, RAW_PORTS + 11, 7000, ISN));
	assert_false(raw_syn(&r, RAW_PORTS + 12, 7000, ISN));
	raw_run(&r, 250000);
	assert_true(raw_syn(&r, RAW_PORTS + 12, 7000, ISN));
	reset(&r, RAW_PORTS + 12);
	reset(&r, RAW_PORTS + 10);
	assert_int_equal(p.end[PAIR_SERVER].lane->sources.used, 0);
	talk_end(&p);
}

static void connections_of_a_source_are_limited(void **state)
{
	(void)state;
	for (uint8_t cookies = MR_SYN_COOKIES_OFF; cookies <= MR_SYN_COOKIES_ALWAYS; cookies++) {
		struct mr_segment late;
		struct pair p;
		struct raw r;
		const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;

		start(&p, &r, 4, 0, cookies);
		raw_syn(&r, RAW_PORTS + 50, 7000, ISN);
		late = r.last; /* a cookie's ACK that comes when the limit is reached */
		for (uint16_t i = 0; i < 8; i++)
			if (raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN))
				raw_ack(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 1, NULL, 0);
		if (cookies != MR_SYN_COOKIES_ALWAYS)
			reset(&r, RAW_PORTS + 50);
		else
			r.last = late, raw_ack(&r, RAW_PORTS + 50, 7000, ISN + 1, NULL, 0);
		assert_int_equal(s->connections, cookies == MR_SYN_COOKIES_ALWAYS ? 4 : 3);
		assert_int_equal(s->drop.source_limit, 5);
		for (uint16_t i = 0; i < 4; i++)
			reset(&r, (uint16_t)(RAW_PORTS + i));
		assert_int_equal(s->connections, 0);
		assert_int_equal(p.end[PAIR_SERVER].lane->sources.used, 0);
		assert_true(raw_syn(&r, RAW_PORTS + 20, 7000, ISN));
		reset(&r, RAW_PORTS + 20);
		talk_end(&p);
	}
}

/* ----- what the XDP program is told ----- */

static unsigned int n_published(const struct mr_full *f)
{
	unsigned int n = 0;

	for (int i = 0; i < MR_FULL_PLACES; i++)
		n += !!f->ipv4[i] + !!f->ipv6[i];
	return n;
}

/* The one source that the lane counts. */
static bool is_published(const struct mr_full *f, const struct mr_sources *s)
{
	uint32_t i = 0, addr[4];
	uint64_t word;

	while (!s->place[i].count[MR_SOURCE_CONNECTIONS])
		i++;
	memcpy(addr, s->place[i].prefix, sizeof(addr));
	word = mr_is_ipv4(s->place[i].prefix) ? mr_full_ipv4(addr) : mr_full_ipv6(addr);
	return f->ipv4[mr_full_place(word, f->key)] == word;
}

/* From the first SYN that is refused until the source may have another connection. */
static void source_at_its_limit_is_published_while_it_is(void **state)
{
	struct mr_beat beat = { 0 };
	struct mr_full *f = calloc(1, sizeof(*f));
	struct mr_lane *l;
	struct pair p;
	struct raw r;

	(void)state;
	assert_non_null(f);
	start(&p, &r, 2, 0, 0);
	l = p.end[PAIR_SERVER].lane;
	memset(f, 0xff, sizeof(*f)); /* of a worker before */
	l->s.beat = &beat;
	l->s.full = f;
	lane_full_init(l);
	assert_int_equal(n_published(f), 0);
	for (uint16_t i = 0; i < 2; i++) {
		assert_true(raw_syn(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN));
		raw_ack(&r, (uint16_t)(RAW_PORTS + i), 7000, ISN + 1, NULL, 0);
	}
	assert_int_equal(n_published(f), 0); /* it asks for no more */
	assert_false(beat.syn & MR_SYN_FULL);
	for (int again = 0; again < 2; again++) {
		assert_false(raw_syn(&r, (uint16_t)(RAW_PORTS + 9 + again), 7000, ISN));
		assert_int_equal(n_published(f), 1);
		assert_true(beat.syn & MR_SYN_FULL);
	}
	assert_true(is_published(f, &l->sources));
	mr_cookie_describe(&l->tcp, &beat); /* as for an overrun: the flag stays */
	assert_true(beat.syn & MR_SYN_FULL);
	reset(&r, RAW_PORTS);
	assert_int_equal(n_published(f), 0);
	assert_false(beat.syn & MR_SYN_FULL);
	assert_true(raw_syn(&r, RAW_PORTS + 20, 7000, ISN));
	assert_false(raw_syn(&r, RAW_PORTS + 21, 7000, ISN));
	assert_int_equal(n_published(f), 1);
	reset(&r, RAW_PORTS + 20); /* a half-open one makes room, too */
	assert_int_equal(n_published(f), 0);
	reset(&r, RAW_PORTS + 1);
	l->s.full = NULL;
	l->s.beat = NULL;
	talk_end(&p);
	free(f);
}

/* Of two in one place the later one stands there; what ends of the other changes nothing. */
static void sources_that_share_a_place_take_turns(void **state)
{
	uint8_t one[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, two[16], none[16] = { 0 };
	struct mr_beat beat = { 0 };
	struct mr_full *f = calloc(1, sizeof(*f));
	struct mr_lane *l;
	struct pair p;
	struct raw r;
	uint32_t n = 0, addr[4];

	(void)state;
	assert_non_null(f);
	start(&p, &r, 1, 0, 0);
	l = p.end[PAIR_SERVER].lane;
	l->s.beat = &beat;
	l->s.full = f;
	lane_full_init(l);
	memcpy(two, one, sizeof(two));
	do {
		n++;
		memcpy(two + 12, &n, sizeof(n));
		memcpy(addr, two, sizeof(addr));
		lane_full_init(l);
		lane_full_note(l, one);
		lane_full_note(l, two);
	} while (n_published(f) == 2);
	assert_int_equal(l->n_full, 1);
	lane_source_sub(l, one, MR_SOURCE_CONNECTIONS); /* it does not stand there */
	assert_int_equal(n_published(f), 1);
	lane_source_sub(l, two, MR_SOURCE_CONNECTIONS);
	assert_int_equal(n_published(f), 0);
	assert_int_equal(l->n_full, 0);
	assert_false(beat.syn & MR_SYN_FULL);
	lane_full_note(l, none); /* ::/64 has no word */
	assert_int_equal(n_published(f), 0);
	l->s.full = NULL;
	l->s.beat = NULL;
	talk_end(&p);
	free(f);
}

/* ----- the table ----- */

static void address_of(uint32_t i, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (i % 2) {
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, &i, 4);
	} else {
		addr[0] = 0x20;
		memcpy(addr + 4, &i, 4);
		addr[15] = (uint8_t)rand(); /* any host of the /64 */
	}
}

/* Random counting up and down against plain counters; nothing is lost in removals. */
static void table_counts_as_plain_counters_do(void **state)
{
	const struct mr_siphash_key key = { { 1, 2 } };
	uint32_t want[SOURCES][MR_SOURCE_COUNTS] = { 0 };
	uint32_t used = 0;
	struct mr_sources s;

	(void)state;
	srand(1);
	assert_int_equal(mr_sources_init(&s, SOURCES, &key), 0);
	for (uint32_t n = 0; n < 200000; n++) {
		uint32_t i = (uint32_t)rand() % SOURCES;
		uint32_t which = (uint32_t)rand() % MR_SOURCE_COUNTS;
		uint8_t addr[16];

		address_of(i, addr);
		if (rand() % 2) {
			mr_sources_add(&s, addr, which);
			want[i][which]++;
		} else {
			mr_sources_sub(&s, addr, which);
			want[i][which] -= want[i][which] > 0;
		}
		assert_int_equal(mr_sources_get(&s, addr, which), want[i][which]);
	}
	for (uint32_t i = 0; i < SOURCES; i++) {
		uint8_t addr[16];

		address_of(i, addr);
		used += want[i][0] || want[i][1];
		for (uint32_t which = 0; which < MR_SOURCE_COUNTS; which++)
			assert_int_equal(mr_sources_get(&s, addr, which), want[i][which]);
	}
	assert_int_equal(s.used, used);
	mr_sources_fini(&s);
}

/* More sources than places: the table stays searchable, what it does not know counts nothing. */
static void full_table_counts_no_more_sources(void **state)
{
	const struct mr_siphash_key key = { { 1, 2 } };
	struct mr_sources s;
	uint8_t addr[16];

	(void)state;
	assert_int_equal(mr_sources_init(&s, 1, &key), 0);
	for (uint32_t i = 0; i < 1000; i++) {
		address_of(i, addr);
		mr_sources_add(&s, addr, MR_SOURCE_CONNECTIONS);
	}
	assert_true(s.used < s.mask);
	for (uint32_t i = 0; i < 1000; i++) {
		address_of(i, addr);
		mr_sources_sub(&s, addr, MR_SOURCE_CONNECTIONS);
	}
	assert_int_equal(s.used, 0);
	mr_sources_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_open_of_a_source_are_limited_and_the_rest_not_answered),
		cmocka_unit_test(connections_of_a_source_are_limited),
		cmocka_unit_test(source_at_its_limit_is_published_while_it_is),
		cmocka_unit_test(sources_that_share_a_place_take_turns),
		cmocka_unit_test(table_counts_as_plain_counters_do),
		cmocka_unit_test(full_table_counts_no_more_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
