/* SPDX-License-Identifier: MIT */
/*
 * A lane's worker ends, in good order or at any instruction, and the next one goes on: whoever was
 * not in hand loses and doubles no byte, every frame is accounted for.
 */
#define _GNU_SOURCE 1 /* REG_EFL */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <cmocka.h>

#include "tests/lane/raw.h"
#include "tests/lane/talk.h"
#include "user/lane/internal.h"

enum {
	N = 40,
	BYTES = 60000,
};

/*
 * ----- the death of a lane at any instruction of its turn -----
 *
 * It calls its port and its clock (before and behind every callback of an application) all the
 * time: at one of these calls the processor begins to trap behind each instruction, and after some
 * more of them the turn is left for ever.
 */

static struct {
	sigjmp_buf end;
	const struct mr_port_ops *ops; /* of the port below */
	uint64_t (*clock_ns)(void *arg);
	volatile long calls, instructions; /* left */
	volatile bool in_port;		   /* its rings are the kernel's: whole at any time */
} death;

#ifdef __x86_64__
enum {
	TRAP_FLAG = 1 << 8,
};

static void on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)signal, (void)info;
	if (--death.instructions > 0 || death.in_port)
		return;
	u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	siglongjmp(death.end, 1);
}

static void single_step(bool on)
{
	if (on)
		__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
	else
		__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}
#else
static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
}

static void single_step(bool on)
{
	(void)on;
}
#endif

static void called(void)
{
	if (--death.calls == 0)
		single_step(true);
}

#define GUARDED(name, type, args, call)                                                            \
	static type guarded_##name args                                                            \
	{                                                                                          \
		type r;                                                                            \
                                                                                                   \
		death.in_port = true;                                                              \
		r = death.ops->name call;                                                          \
		death.in_port = false;                                                             \
		called();                                                                          \
		return r;                                                                          \
	}

GUARDED(receive, uint32_t, (struct mr_port * p, struct mr_span *s, uint32_t n), (p, s, n))
GUARDED(fill, uint32_t, (struct mr_port * p, const uint64_t *a, uint32_t n), (p, a, n))
GUARDED(transmit, uint32_t, (struct mr_port * p, const struct mr_span *s, uint32_t n), (p, s, n))
GUARDED(complete, uint32_t, (struct mr_port * p, uint64_t *a, uint32_t n), (p, a, n))
GUARDED(kick, uint32_t, (struct mr_port * p, bool *again), (p, again))

static uint64_t guarded_clock(void *arg)
{
	called();
	return death.clock_ns(arg);
}

static void guard(struct pair_end *e)
{
	static struct mr_port_ops guarded;

	death.calls = 0;
	death.clock_ns = e->setup.clock_ns;
	e->setup.clock_ns = guarded_clock;
	e->lane->s.clock_ns = guarded_clock;
	death.ops = e->setup.port->ops;
	guarded = *e->setup.port->ops;
	guarded.receive = guarded_receive;
	guarded.fill = guarded_fill;
	guarded.transmit = guarded_transmit;
	guarded.complete = guarded_complete;
	guarded.kick = guarded_kick;
	e->setup.port->ops = &guarded;
}

/* A turn of the server that may be its last: true when it died, so far into it. */
static bool turn_dies(struct pair *p, long calls, long instructions)
{
	death.calls = calls;
	death.instructions = instructions;
	death.in_port = false;
	if (sigsetjmp(death.end, 1)) {
		pair_kill(p, PAIR_SERVER);
		return true;
	}
	mr_lane_turn(p->end[PAIR_SERVER].lane);
	single_step(false);
	death.calls = 0;
	return false;
}

static void catch_traps(void)
{
	struct sigaction trap = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	assert_int_equal(sigaction(SIGTRAP, &trap, NULL), 0);
}

/* ----- flows ----- */

static uint8_t stream[BYTES];

/* TLV messages of many sizes, small ones and such as span frames; the last is cut by nothing. */
static size_t write_messages(void)
{
	size_t at = 0;

	for (unsigned int n = 0;; n++) {
		size_t len = n % 5 == 4 ? 1000 + n * 37 % 4000 : n * 13 % 200;

		if (at + 6 + len > sizeof(stream))
			return at;
		stream[at] = (uint8_t)(n >> 8);
		stream[at + 1] = (uint8_t)n;
		memset(stream + at + 2, 0, 2);
		stream[at + 4] = (uint8_t)(len >> 8);
		stream[at + 5] = (uint8_t)len;
		for (size_t i = 0; i < len; i++)
			stream[at + 6 + i] = (uint8_t)(n * 31 + i * 7);
		at += 6 + len;
	}
}

struct flows {
	struct pair p;
	struct talk t[N];
	size_t bytes;
	uint32_t hash;
	uint64_t rng;
	unsigned int kills;
};

static uint32_t draw(struct flows *f, uint32_t n)
{
	f->rng = f->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(f->rng >> 33) % n;
}

static void begin(struct flows *f, const char *app, uint64_t seed)
{
	*f = (struct flows){ .rng = seed };
	f->bytes = write_messages();
	f->hash = talk_hash(TALK_HASH_BASIS, stream, f->bytes);
	talk_start(&f->p, app, PAIR_OPTIONS);
	for (int i = 0; i < N; i++) {
		f->t[i] = (struct talk){ .out = stream, .out_len = f->bytes, .half_close = true };
		talk_begin(&f->p, &f->t[i], 7000, i % 2);
		if (i < 2)
			pair_step(&f->p);
	}
}

static void steps(struct flows *f, uint32_t n)
{
	while (n--) {
		pair_step(&f->p);
		mr_memory_advance(f->p.wire, 5000);
	}
}

static bool are_all_closed(void *arg)
{
	struct flows *f = arg;

	for (int i = 0; i < N; i++)
		if (!f->t[i].closed)
			return false;
	return true;
}

/* Everybody ended in order with every byte once, but for one in hand a kill. */
static void end(struct flows *f, unsigned int resets_most)
{
	unsigned int resets = 0;

	assert_true(pair_run(&f->p, 60000, are_all_closed, f));
	for (int i = 0; i < N; i++) {
		resets += f->t[i].reason != MR_CLOSE_DONE;
		if (f->t[i].reason != MR_CLOSE_DONE) {
			assert_int_equal(f->t[i].reason, MR_CLOSE_RESET_BY_PEER);
			continue;
		}
		assert_int_equal(f->t[i].in_len, f->bytes);
		assert_int_equal(f->t[i].in_hash, f->hash);
	}
	assert_in_range(resets, 0, resets_most);
	assert_int_equal(f->p.end[PAIR_SERVER].stats.closed.worker_died, resets);
	talk_end(&f->p);
}

/* ----- planned ----- */

static void planned(const char *app, uint64_t seed)
{
	struct flows f;

	begin(&f, app, seed);
	for (int i = 0; i < 12; i++) {
		steps(&f, draw(&f, 40));
		mr_lane_leave(f.p.end[PAIR_SERVER].lane);
		pair_replace(&f.p, PAIR_SERVER);
		assert_true(pair_frames_are_whole(&f.p, PAIR_SERVER, NULL));
	}
	assert_true(f.p.end[PAIR_SERVER].stats.taken_over > 0);
	end(&f, 0);
}

static void lane_left_in_order_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++)
		planned(seed % 2 ? "echo-bytes" : "echo", seed);
}

/* ----- killed ----- */

static void kill_somewhere(struct flows *f)
{
	for (int tries = 0; tries < 50; tries++) {
		long calls = 1 + draw(f, 1u << draw(f, 7));
		long instructions = 1 + draw(f, 1u << (2 + draw(f, 9)));

		steps(f, draw(f, 6));
		if (!turn_dies(&f->p, calls, instructions))
			continue;
		f->kills++;
		pair_replace(&f->p, PAIR_SERVER);
		assert_true(pair_frames_are_whole(&f->p, PAIR_SERVER, NULL));
		return;
	}
}

static void lane_killed_at_any_instruction_loses_one_at_most(void **state)
{
	unsigned int kills = 0;
	struct flows f;

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	catch_traps();
	for (uint64_t seed = 1; seed <= 20; seed++) {
		begin(&f, seed % 2 ? "echo-bytes" : "echo", seed);
		guard(&f.p.end[PAIR_SERVER]);
		for (int i = 0; i < 10; i++)
			kill_somewhere(&f);
		kills += f.kills;
		end(&f, f.kills);
	}
	assert_true(kills >= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lane_left_in_order_loses_nothing),
		cmocka_unit_test(lane_killed_at_any_instruction_loses_one_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
