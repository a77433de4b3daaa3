/* SPDX-License-Identifier: MIT */
/* mr-sim: the simulator by hand (`make sim`). */
#include "tests/sim/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int usage(void)
{
	fprintf(stderr,
		"usage: mr-sim [-n seeds] [-f first] [-j processes] [-m failures] [-d directory]\n"
		"       mr-sim -s seed [-d directory]\n");
	return 2;
}

/* One seed, in words, recorded. */
static int replay(uint64_t seed, const char *dir)
{
	struct sim_result r;

	sim_describe(seed);
	mkdir(dir, 0755);
	sim_run(seed, dir, &r);
	printf("  %llu events, %llu connections, %llu bytes, hash %016llx; %s/seed-%llu-*.pcapng\n",
	       (unsigned long long)r.events, (unsigned long long)r.connections,
	       (unsigned long long)r.bytes, (unsigned long long)r.hash, dir,
	       (unsigned long long)seed);
	if (r.failed) {
		printf("sim: seed %llu: %s\n", (unsigned long long)seed, r.why);
		return 1;
	}
	printf("sim: ok seeds=1 events=%llu connections=%llu bytes=%llu\n",
	       (unsigned long long)r.events, (unsigned long long)r.connections,
	       (unsigned long long)r.bytes);
	return 0;
}

int main(int argc, char **argv)
{
	struct sim_plan p = { .first = 1, .n = 2000, .jobs = 2, .most = 20 };
	uint64_t seed = 0;
	bool one = false;
	struct sim_totals t;
	int option;

	while ((option = getopt(argc, argv, "n:f:s:j:d:m:")) != -1) {
		switch (option) {
		case 'n':
			p.n = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			p.first = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			one = true;
			break;
		case 'j':
			p.jobs = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			p.dir = optarg;
			break;
		case 'm':
			p.most = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		default:
			return usage();
		}
	}
	if (!p.n || !p.jobs || p.jobs > 64 || !p.most)
		return usage();
	if (one)
		return replay(seed, p.dir ? p.dir : ".");
	t = sim_seeds(&p);
	if (t.altered)
		printf("sim: %llu frames were altered behind a good checksum: there lengths alone "
		       "were compared\n",
		       (unsigned long long)t.altered);
	if (t.failed) {
		printf("sim: failed seeds=%llu failures=%llu first=%llu\n",
		       (unsigned long long)t.seeds, (unsigned long long)t.failed,
		       (unsigned long long)t.first_failed);
		return 1;
	}
	printf("sim: ok seeds=%llu events=%llu connections=%llu bytes=%llu\n",
	       (unsigned long long)t.seeds, (unsigned long long)t.events,
	       (unsigned long long)t.connections, (unsigned long long)t.bytes);
	return 0;
}
