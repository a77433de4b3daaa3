/* SPDX-License-Identifier: MIT */
/*
 * The short ways are short cuts and nothing else. Two pairs of lanes live through the same: what is
 * said, what the wire does to each frame of each connection, and the time. In one of them every
 * frame takes the long way (the linker puts __wrap_lane_usual_arrives() before the short one) and
 * every answer is output.c's. Each connection carries the same segments, and all counters agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/arrival.h"

enum {
	TALKS = 12,
	STREAM = 300000,
	STEPS = 1500,
	SEEDS = 12,
	PORTS = 65536,
};

bool __real_lane_usual_arrives(struct mr_lane *l, struct arrival *a);
bool __wrap_lane_usual_arrives(struct mr_lane *l, struct arrival *a);
bool __real_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
bool __wrap_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);

/* What one connection's segments were, in each direction. */
struct trace {
	uint32_t n[2];
	uint32_t hash[2];
};

struct side {
	struct pair p;
	struct talk talk[TALKS];
	size_t given[TALKS]; /* of its stream */
	struct trace *trace; /* by the client's port */
	uint32_t seed;
};

static struct {
	struct side side[2]; /* [1] goes the long way */
	uint8_t stream[TALKS][STREAM];
	bool lossy;
	uint64_t taken, answered;
} twins;

static bool is_long(const struct mr_lane *l)
{
	return l == twins.side[1].p.end[0].lane || l == twins.side[1].p.end[1].lane;
}

bool __wrap_lane_usual_arrives(struct mr_lane *l, struct arrival *a)
{
	bool taken = !is_long(l) && __real_lane_usual_arrives(l, a);

	twins.taken += taken;
	return taken;
}

bool __wrap_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	bool taken = !is_long(lane_of(t)) && __real_mr_tcp_answer(t, c, a);

	twins.answered += taken;
	return taken;
}

static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return x ^ x >> 16;
}

static uint32_t draw(uint32_t *seed, uint32_t n)
{
	*seed = mix(*seed + 0x9e3779b9u);
	return *seed % n;
}

/*
 * The window is left out: it is tuned by how much was read when, which is by segments the short
 * way and by batches the long way.
 */
static uint32_t hash_segment(uint32_t h, const struct mr_segment *s, const uint8_t *frame)
{
	const uint32_t words[] = {
		s->seq,		  s->ack, s->flags, s->len, s->options.ts_val, s->options.ts_ecr,
		s->options.n_sack
	};

	h = talk_hash(h, words, sizeof(words));
	h = talk_hash(h, s->options.sack, s->options.n_sack * sizeof(s->options.sack[0]));
	return talk_hash(h, frame + s->payload, s->len);
}

/* Notes the segment; its fate hangs on its connection, direction and number alone. */
static unsigned int fate(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			 uint64_t *delay_ns)
{
	struct side *side = arg;
	struct mr_icmp_error icmp;
	struct mr_segment s;
	struct trace *t;
	uint32_t what, port;
	int drop;

	assert_int_equal(mr_frame_parse(frame, *len, &s, &icmp, &drop), MR_KIND_TCP);
	port = mr_be16(from == PAIR_CLIENT ? s.tuple.remote_port : s.tuple.local_port);
	t = &side->trace[port];
	t->hash[from] = hash_segment(t->hash[from], &s, frame);
	what = mix(side->seed ^ mix(port * 2 + from) ^ mix(t->n[from]++)) % 100;
	if (!twins.lossy || s.flags & MR_SYN)
		return 1;
	if (what < 3)
		return 0;
	if (what < 5)
		return 2;
	if (what < 10)
		*delay_ns = what * 300000u;
	return 1;
}

static void fill_streams(uint32_t seed)
{
	for (int i = 0; i < TALKS; i++) {
		uint8_t *p = twins.stream[i];
		uint8_t *end = p + STREAM;

		while (end - p >= 6) {
			uint32_t most = draw(&seed, 8) ? 100 : 5000;
			uint32_t len = draw(&seed, most);

			len = len > (uint32_t)(end - p - 6) ? (uint32_t)(end - p - 6) : len;
			p[0] = 0;
			p[1] = (uint8_t)(1 + draw(&seed, 200));
			p[2] = 0;
			p[3] = 0;
			p[4] = (uint8_t)(len >> 8);
			p[5] = (uint8_t)len;
			for (uint32_t n = 0; n < len; n++)
				p[6 + n] = (uint8_t)(seed >> (n & 7));
			p += 6 + len;
		}
		memset(p, 0, (size_t)(end - p));
	}
}

static void begin(struct side *side, uint32_t seed)
{
	struct pair_options o = PAIR_OPTIONS;

	memset(&side->p, 0, sizeof(side->p));
	memset(side->talk, 0, sizeof(side->talk));
	memset(side->given, 0, sizeof(side->given));
	memset(side->trace, 0, PORTS * sizeof(*side->trace));
	side->seed = seed;
	/* so many frames that none of them bounds a window: how many are free for a moment differs
	 */
	o.frames = 16384;
	talk_start(&side->p, "echo", o);
	mr_memory_set_fate(side->p.wire, fate, side);
	for (int i = 0; i < TALKS; i++) {
		side->talk[i].lasting = true;
		talk_begin(&side->p, &side->talk[i], 7000, i & 1);
	}
	pair_run(&side->p, 50, NULL, NULL);
}

static void say(struct side *side, int i, uint32_t n)
{
	size_t left = STREAM - side->given[i];
	struct talk *t = &side->talk[i];

	if (!t->opened || t->closed || t->said < t->out_len) /* the last words are not out yet */
		return;
	n = n < left ? n : (uint32_t)left;
	if (n)
		talk_say(t, twins.stream[i] + side->given[i], n);
	side->given[i] += n;
}

/* One step of both: a few of them say something, and time passes. */
static void step(uint32_t *seed)
{
	uint32_t who = draw(seed, 1u << TALKS) & draw(seed, 1u << TALKS);
	uint32_t n = draw(seed, 6) ? 1 + draw(seed, 300) : 1 + draw(seed, 4000);
	uint32_t ms = draw(seed, 4) ? 0 : draw(seed, 60) ? draw(seed, 5) : draw(seed, 700);

	for (int s = 0; s < 2; s++) {
		for (int i = 0; i < TALKS; i++)
			if (who >> i & 1)
				say(&twins.side[s], i, n);
		if (ms)
			pair_run(&twins.side[s].p, ms, NULL, NULL);
		else
			pair_step(&twins.side[s].p);
	}
}

static void compare(void)
{
	const struct side *a = &twins.side[0], *b = &twins.side[1];

	assert_memory_equal(a->trace, b->trace, PORTS * sizeof(*a->trace));
	for (int i = 0; i < TALKS; i++) {
		assert_int_equal(a->talk[i].in_len, b->talk[i].in_len);
		assert_int_equal(a->talk[i].in_hash, b->talk[i].in_hash);
		assert_int_equal(a->talk[i].closed, b->talk[i].closed);
	}
	for (int e = 0; e < 2; e++) {
		struct mr_lane_stats x = a->p.end[e].stats, y = b->p.end[e].stats;

		/* in pieces of a message alone may they differ: what comes in one batch is read in
		 * one piece or in two */
		x.messages_spanning = y.messages_spanning = 0;
		x.callbacks = y.callbacks = 0;
		memset(x.callback_ns, 0, sizeof(x.callback_ns));
		memset(y.callback_ns, 0, sizeof(y.callback_ns));
		assert_memory_equal(&x, &y, sizeof(x));
	}
}

static void live(uint32_t seed)
{
	uint32_t steps = seed;

	fill_streams(seed);
	for (int s = 0; s < 2; s++)
		begin(&twins.side[s], seed);
	for (int i = 0; i < STEPS; i++)
		step(&steps);
	for (int s = 0; s < 2; s++)
		pair_run(&twins.side[s].p, 5000, NULL, NULL);
	compare();
	for (int s = 0; s < 2; s++) {
		for (int i = 0; i < TALKS; i++)
			if (!twins.side[s].talk[i].closed)
				talk_close(&twins.side[s].talk[i]);
		talk_end(&twins.side[s].p);
	}
}

static void live_all(bool lossy)
{
	twins.lossy = lossy;
	twins.taken = twins.answered = 0;
	for (int s = 0; s < 2; s++)
		twins.side[s].trace = calloc(PORTS, sizeof(struct trace));
	for (uint32_t seed = 1; seed <= SEEDS; seed++)
		live(seed);
	for (int s = 0; s < 2; s++)
		free(twins.side[s].trace);
	assert_true(twins.taken > SEEDS * STEPS / 4);
	assert_true(twins.answered > SEEDS * STEPS / 4);
}

static void good_wire_short_ways_change_nothing(void **state)
{
	(void)state;
	live_all(false);
}

static void bad_wire_short_ways_change_nothing(void **state)
{
	(void)state;
	live_all(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_wire_short_ways_change_nothing),
		cmocka_unit_test(bad_wire_short_ways_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
