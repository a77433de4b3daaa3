/* SPDX-License-Identifier: MIT */
/*
 * millrace-worker: the process of one lane. Started by millraced with a socket as descriptor 3;
 * the first message brings everything else. It looks for frames as long as there are some, and
 * sleeps in poll() when there are none.
 */
#include "user/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "user/port/tee.h"

enum {
	CONTROL_TURNS = 256, /* busy turns between two looks at the control socket */
	BURST_UNIT = 64,     /* so that the mean does not lose its fraction */
};

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int signal)
{
	(void)signal;
	asked_to_stop = 1;
}

void worker_say(const struct worker *w, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	n = snprintf(line, sizeof(line), "millrace-worker: lane %u: ", w->hello.lane);
	va_start(args, format);
	vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "%s\n", line);
}

static void pin_to_cpu(struct worker *w)
{
	cpu_set_t set;

	if (w->config->cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)w->config->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		worker_say(w, "CPU %d: %s; runs on any", w->config->cpu, strerror(errno));
}

static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_signal };
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &ignore, NULL); /* Ctrl-C is the daemon's affair */
	sigaction(SIGHUP, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static void drain_doorbell(struct worker *w)
{
	uint64_t count;

	while (read(w->fd[MR_HELLO_DOORBELL + w->hello.lane], &count, sizeof(count)) > 0)
		;
}

/* The rate takes a while to be known: the connections of a worker before us do not wait for it. */
static void measure_ticks(struct worker *w)
{
	uint64_t rate = w->ticks.ticks ? mr_ticks_rate_since(&w->ticks) : 0;

	if (!rate)
		return;
	mr_lane_time_by(w->lane, rate);
	w->ticks.ticks = 0;
}

/* Nothing to do: sleep until a frame, mail, the daemon, the next timer or the next beat. */
static void sleep_once(struct worker *w)
{
	uint32_t ms = mr_lane_sleep_ms(w->lane);
	struct pollfd fds[3] = {
		{ .fd = w->port->ops->poll_fd(w->port), .events = POLLIN },
		{ .fd = w->fd[MR_HELLO_DOORBELL + w->hello.lane], .events = POLLIN },
		{ .fd = w->control, .events = POLLIN },
	};

	if (!ms)
		return;
	measure_ticks(w);
	if (mr_lane_doze(w->lane)) {
		w->stats[w->hello.slot].sleeps++;
		poll(fds, 3, (int)ms);
	}
	mr_lane_wake(w->lane);
	if (fds[1].revents & POLLIN)
		drain_doorbell(w);
	if (fds[2].revents)
		worker_control(w);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * How the lane waits. While frames come one at a time (few connections, each waiting for its
 * answer) looking again for busy_poll_us costs less than a sleep and a wake-up, and answers sooner.
 * While they come in bursts the lane lets them gather for coalesce_us when it has taken all, as a
 * NIC does that moderates its interrupts: a larger burst costs less for each. When that brought
 * nothing it sleeps. burst is the mean of frames with text a turn that found any, in 1/16, over
 * about 64 turns: an ACK that comes with a request is no burst.
 */
struct pace {
	uint64_t texts; /* received when the pace was last looked at */
	uint32_t burst;
	bool gathered; /* since the last turn that did something */
};

static void note_turn(struct worker *w, struct pace *p)
{
	uint64_t texts = mr_lane_texts(w->lane);
	uint32_t now = (uint32_t)(texts - p->texts) * 16;

	p->texts = texts;
	if (now)
		p->burst = (p->burst * 63 + now * BURST_UNIT) / 64;
}

static bool comes_in_bursts(const struct pace *p)
{
	return p->burst > 16 * BURST_UNIT * 5 / 4;
}

/* Returns false when frames are not to be waited for, or were. */
static bool gather(const struct worker *w, struct pace *p)
{
	struct timespec ts = { .tv_nsec = (long)w->config->coalesce_us * 1000 };

	if (p->gathered || !ts.tv_nsec || mr_lane_sleep_ms(w->lane) == 0)
		return false;
	p->gathered = true;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	return true;
}

static void serve(struct worker *w)
{
	const struct mr_beat *beat = &w->beats[w->hello.slot];
	uint64_t busy_ns = (uint64_t)w->config->busy_poll_us * 1000;
	struct pace pace = { .burst = 16 * BURST_UNIT };
	uint64_t last_work = now_ns();
	uint32_t turns = 0;

	while (!w->stop && !asked_to_stop) {
		if (mr_lane_turn(w->lane)) {
			note_turn(w, &pace);
			pace.gathered = false;
			last_work = beat->beat_ns;
			if (++turns % CONTROL_TURNS == 0) {
				worker_control(w);
				measure_ticks(w);
			}
			continue;
		}
		if (mr_lane_is_drained(w->lane)) {
			w->drained = true;
			return;
		}
		if (comes_in_bursts(&pace) && gather(w, &pace))
			continue;
		if (comes_in_bursts(&pace) || beat->beat_ns - last_work >= busy_ns)
			sleep_once(w);
	}
}

int main(int argc, char **argv)
{
	struct worker w = { .control = MR_WORKER_FD };
	struct mr_message ready = { 0 };
	int error;

	if (argc > 1 && !strcmp(argv[1], "--layout")) { /* millraced asks before it starts us */
		printf("layout %u version %u\n", (unsigned int)MR_ARENA_LAYOUT,
		       (unsigned int)MR_WORKER_VERSION);
		return 0;
	}
	catch_signals();
	prctl(PR_SET_NAME, "millrace-worker");
	if (worker_receive_hello(&w) < 0 || worker_map(&w) < 0)
		return 1;
	pin_to_cpu(&w);
	fcntl(w.control, F_SETFD, FD_CLOEXEC);
	if (worker_make_lane(&w) < 0)
		return 1;
	prctl(PR_SET_TIMERSLACK, 1); /* ns; 50 us by default, longer than most waits of ours */
	error = worker_confine(w.fd[MR_HELLO_DIRECTORY] >= 0);
	if (error < 0) {
		worker_say(&w, "seccomp filter: %s", strerror(-error));
		return 1;
	}
	mr_lane_turn(w.lane); /* it beats: who hears READY finds the lane fresh */
	worker_send(&w, &ready, MR_MSG_READY, sizeof(ready));
	worker_rules_answer(&w, w.rules_serial, 0, "");
	serve(&w);
	if (w.leave)
		mr_lane_leave(w.lane);
	else
		mr_lane_free(w.lane);
	if (w.drained) /* nobody is to come back to it: no peer shall wait */
		w.beats[w.hello.slot].beat_ns = 0;
	worker_send(&w, &ready, MR_MSG_STOPPED, sizeof(ready));
	w.port->ops->close(w.port);
	return 0;
}
