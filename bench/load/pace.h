/* SPDX-License-Identifier: MIT */
/*
 * How a client over AF_XDP waits, as a worker's lane does (user/worker/main.c): while single frames
 * come it looks again for a while, while they come in bursts it lets them gather, and then it
 * sleeps. The same for every server that it is pointed at.
 */
#ifndef MR_BENCH_PACE_H
#define MR_BENCH_PACE_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/load/load.h"

enum {
	PACE_UNIT = 64,
};

struct pace {
	uint64_t busy_ns, gather_ns;
	uint64_t last_work_ns;
	uint32_t burst; /* mean of frames a turn that found any, in 1 / PACE_UNIT */
	bool gathered;	/* since the last turn that did something */
};

static inline void pace_init(struct pace *p, const struct load_options *o)
{
	prctl(PR_SET_TIMERSLACK, 1); /* ns; 50 us by default, longer than most waits */
	*p = (struct pace){ .busy_ns = o->busy_poll_us * 1000,
			    .gather_ns = o->gather_us * 1000,
			    .burst = PACE_UNIT };
}

static inline void pace_note(struct pace *p, uint32_t frames, uint64_t now_ns)
{
	if (frames)
		p->burst = (p->burst * 63 + frames * PACE_UNIT) / 64;
	p->gathered = false;
	p->last_work_ns = now_ns;
}

/* Nothing was found: wait for @fd, at most until @until_ns. */
static inline void pace_idle(struct pace *p, int fd, uint64_t now_ns, uint64_t until_ns)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	bool bursts = p->burst > 2 * PACE_UNIT; /* an ACK and a request are no burst */
	struct timespec ts;
	uint64_t ns;

	if (until_ns <= now_ns)
		return;
	ns = until_ns - now_ns;
	if (bursts && p->gather_ns && !p->gathered) {
		p->gathered = true;
		if (ns > p->gather_ns)
			ns = p->gather_ns;
		ts = (struct timespec){ 0, (long)ns };
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		return;
	}
	if (!bursts && now_ns - p->last_work_ns < p->busy_ns)
		return;
	ts = (struct timespec){ (time_t)(ns / LOAD_SECOND_NS), (long)(ns % LOAD_SECOND_NS) };
	ppoll(&pfd, 1, &ts, NULL);
}

#endif
