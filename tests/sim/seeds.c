/* SPDX-License-Identifier: MIT */
#include "tests/sim/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a process tells its parent, also when it dies. */
struct report {
	uint64_t running;
	struct sim_totals t;
};

enum {
	SECONDS_MOST = 120, /* of a seed by the wall clock: then its process dies */
};

static void tell(uint64_t seed, const char *why)
{
	printf("sim: seed %llu: %s\n", (unsigned long long)seed, why);
	printf("sim: replay: make sim SIM_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
}

static void record(uint64_t seed, const char *dir)
{
	struct sim_result again;

	mkdir(dir, 0755);
	sim_run(seed, dir, &again);
	printf("sim: recorded in %s/seed-%llu-*.pcapng\n", dir, (unsigned long long)seed);
}

static void run_share(struct report *r, uint64_t first, uint64_t n, const struct sim_plan *p)
{
	const char *dir = p->dir;

	for (uint64_t seed = first; seed - first < n && *p->failures < p->most; seed += p->jobs) {
		struct sim_result result;

		r->running = seed;
		alarm(SECONDS_MOST);
		sim_run(seed, NULL, &result);
		r->t.seeds++;
		r->t.events += result.events;
		r->t.connections += result.connections;
		r->t.bytes += result.bytes;
		r->t.changes += result.changes;
		r->t.altered += result.altered;
		for (unsigned int i = 0; i < SIM_SEEN_COUNT; i++)
			r->t.seen[i] += result.seen[i];
		if (!result.failed)
			continue;
		__atomic_add_fetch(p->failures, 1, __ATOMIC_RELAXED);
		tell(seed, result.why);
		if (dir && !r->t.failed)
			record(seed, dir);
		if (!r->t.failed++)
			r->t.first_failed = seed;
	}
}

static void add(struct sim_totals *to, const struct sim_totals *t)
{
	if (t->failed && (!to->failed || t->first_failed < to->first_failed))
		to->first_failed = t->first_failed;
	to->seeds += t->seeds;
	to->failed += t->failed;
	to->events += t->events;
	to->connections += t->connections;
	to->bytes += t->bytes;
	to->changes += t->changes;
	to->altered += t->altered;
	for (unsigned int i = 0; i < SIM_SEEN_COUNT; i++)
		to->seen[i] += t->seen[i];
}

static void wait_for(pid_t pid, struct report *r)
{
	int status;

	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	r->t.failed++;
	r->t.first_failed = r->running;
	tell(r->running, "the process died");
}

static void run_in_child(struct report *r, unsigned int i, const struct sim_plan *p)
{
	if (i < p->n)
		run_share(r, p->first + i, p->n - i, p);
	fflush(stdout);
	_exit(0);
}

struct sim_totals sim_seeds(const struct sim_plan *plan)
{
	struct sim_plan p = *plan;
	size_t bytes = sizeof(*p.failures) + p.jobs * sizeof(struct report);
	struct sim_totals total = { 0 };
	struct report *reports;
	pid_t pid[64];

	p.failures = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p.failures == MAP_FAILED || p.jobs > 64)
		abort();
	reports = (struct report *)(void *)(p.failures + 1);
	fflush(stdout);
	for (unsigned int i = 0; i < p.jobs; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			run_in_child(&reports[i], i, &p);
		if (pid[i] < 0)
			abort();
	}
	for (unsigned int i = 0; i < p.jobs; i++) {
		wait_for(pid[i], &reports[i]);
		add(&total, &reports[i].t);
	}
	munmap(p.failures, bytes);
	return total;
}
