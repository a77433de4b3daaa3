/* SPDX-License-Identifier: MIT */
/*
 * What a worker leaves may be anything: it may have been taken over before it died. The next one
 * believes no index and no count of it, runs on, and resets what makes no sense; one that is told
 * to believe nothing serves as if it were the first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	N = 8,
	BYTES = 20000,
	ROUNDS = 6,
};

static uint8_t stream[BYTES];

struct ruin {
	struct pair p;
	struct talk t[N];
	uint64_t rng;
};

static uint32_t draw(struct ruin *r, uint32_t n)
{
	r->rng = r->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(r->rng >> 33) % n;
}

static void steps(struct ruin *r, uint32_t n)
{
	while (n--) {
		pair_step(&r->p);
		mr_memory_advance(r->p.wire, 5000);
	}
}

static void begin(struct ruin *r, const char *app, uint64_t seed)
{
	*r = (struct ruin){ .rng = seed };
	talk_start(&r->p, app, PAIR_OPTIONS);
	for (int i = 0; i < N; i++) {
		r->t[i] = (struct talk){ .out = stream, .out_len = sizeof(stream) };
		talk_begin(&r->p, &r->t[i], 7000, i % 2);
	}
	steps(r, 1 + draw(r, 60));
}

/* A number that is likely to be an index, a count, a state, or nothing of all these. */
static uint32_t some_number(struct ruin *r)
{
	switch (draw(r, 6)) {
	case 0:
		return draw(r, 16);
	case 1:
		return MR_NONE - draw(r, 2);
	case 2:
		return draw(r, 4096);
	case 3:
		return UINT32_MAX - draw(r, 16);
	case 4:
		return draw(r, 1u << 24);
	default:
		return (uint32_t)(r->rng >> 20);
	}
}

/* Words or bytes of what is used of an area. */
static void spoil(struct ruin *r, enum mr_arena_area area, uint32_t times)
{
	struct mr_arena *a = &r->p.end[PAIR_SERVER].arena;
	const struct mr_arena_header *h = (const void *)a->base;
	uint32_t count, bytes = h->area[area].record_bytes;
	uint8_t *p = mr_arena_area(a, area, &count);

	while (times--) {
		uint8_t *record = p + (size_t)draw(r, count < 64 ? count : 64) * bytes;
		uint32_t number = some_number(r), len = 1u << draw(r, 3);

		if (len < bytes)
			memcpy(record + draw(r, bytes / len) * len, &number, len);
		else
			*record = (uint8_t)number;
	}
}

static void ruin(struct ruin *r)
{
	static const enum mr_arena_area areas[] = {
		MR_AREA_FRAME_RECORDS, MR_AREA_CONNS,  MR_AREA_HALF_OPEN, MR_AREA_TIME_WAIT,
		MR_AREA_SESSIONS,      MR_AREA_ACTIVE, MR_AREA_MESSAGES,  MR_AREA_MESSAGE_MAP,
		MR_AREA_APP_STATES,    MR_AREA_HAND,   MR_AREA_TRACES,
	};
	struct mr_arena_header *h = (void *)r->p.end[PAIR_SERVER].arena.base;

	for (unsigned int i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
		if (draw(r, 2))
			spoil(r, areas[i], 1u << draw(r, 8));
	if (!draw(r, 4))
		h->conns_used = some_number(r);
	if (!draw(r, 8))
		h->epoch = some_number(r);
}

static void lane_over_ruins_runs_on(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct ruin r;

		begin(&r, seed % 2 ? "echo-bytes" : "echo", seed);
		for (int i = 0; i < ROUNDS; i++) {
			pair_kill(&r.p, PAIR_SERVER);
			ruin(&r);
			pair_replace(&r.p, PAIR_SERVER);
			steps(&r, draw(&r, 200));
		}
		pair_free(&r.p);
	}
}

static bool has_opened(void *arg)
{
	const struct talk *t = arg;

	return t->in_len > 0;
}

static void lane_that_believes_nothing_serves(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct talk t = { .out = stream, .out_len = 100 };
		struct ruin r;

		begin(&r, "echo-bytes", seed);
		pair_kill(&r.p, PAIR_SERVER);
		ruin(&r);
		r.p.end[PAIR_SERVER].setup.fresh = true;
		pair_replace(&r.p, PAIR_SERVER);
		assert_true(pair_frames_are_whole(&r.p, PAIR_SERVER, NULL));
		talk_begin(&r.p, &t, 7000, false);
		assert_true(pair_run(&r.p, 10000, has_opened, &t));
		pair_free(&r.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lane_over_ruins_runs_on),
		cmocka_unit_test(lane_that_believes_nothing_serves),
	};

	for (unsigned int i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 7);
	return cmocka_run_group_tests_name("ruins", tests, NULL, NULL);
}
