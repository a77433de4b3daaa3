/* SPDX-License-Identifier: MIT */
/* Many seeds in several processes. */
#ifndef SIM_SEEDS_H
#define SIM_SEEDS_H

#include <stdint.h>

#include "tests/sim/sim.h"

struct sim_totals {
	uint64_t seeds, failed, events, connections, bytes, changes, altered;
	uint64_t seen[SIM_SEEN_COUNT];
	uint64_t first_failed;
};

/**
 * struct sim_plan - which seeds, and how
 * @first, @n:	seeds @first to @first + @n - 1
 * @jobs:	processes, 1 to 64
 * @most:	failures after which all stop
 * @dir:	where the first failing seed of each process is recorded again, or NULL
 * @failures:	so far, shared by the processes; sim_seeds() sets it
 */
struct sim_plan {
	uint64_t first, n;
	unsigned int jobs, most;
	const char *dir;
	uint64_t *failures;
};

/**
 * sim_seeds() - run many seeds
 *
 * Each failure is printed with the command that replays it. A process that dies, or a seed that
 * takes two minutes, counts as a failure of the seed that ran.
 */
struct sim_totals sim_seeds(const struct sim_plan *p);

#endif
