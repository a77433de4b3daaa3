// SPDX-License-Identifier: MIT
/*
 * What the kernel takes to wake a thread that sleeps in poll() on another CPU: the part of an idle
 * lane's answer that no server over file descriptors is spared. One thread, which never sleeps,
 * writes an eventfd at an even pace and notes when; the other notes when poll() returns.
 *
 *	mr-bench-wake [--rate R] [--seconds S] [--cpus FROM,TO]
 *
 * Prints {name, value, unit} lines: wake.p50, wake.p99, wake.p999.
 */
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "bench/figure.h"
#include "bench/histogram.h"

struct wake {
	int fd;
	_Atomic uint64_t written_ns; /* 0: it is over */
	struct mr_histogram taken;
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* A machine of one CPU has no other: then both share it. */
static void move_to(pthread_t thread, int cpu)
{
	cpu_set_t set;
	int err;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	err = pthread_setaffinity_np(thread, sizeof(set), &set);
	if (err)
		fprintf(stderr, "mr-bench-wake: CPU %d: %s; stays where it is\n", cpu,
			strerror(err));
}

static void *sleep_and_note(void *arg)
{
	struct wake *w = arg;
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	uint64_t now, written, count;

	for (;;) {
		if (poll(&p, 1, -1) != 1)
			continue;
		now = clock_ns();
		written = atomic_load(&w->written_ns);
		if (read(w->fd, &count, sizeof(count)) != sizeof(count))
			continue;
		if (!written)
			return NULL;
		mr_histogram_add(&w->taken, now - written);
	}
}

static void write_at_pace(struct wake *w, double rate, double seconds)
{
	uint64_t gap = (uint64_t)(1e9 / rate), due = clock_ns(), one = 1;
	uint64_t end = due + (uint64_t)(seconds * 1e9);

	while ((due += gap) < end) {
		while (clock_ns() < due)
			;
		atomic_store(&w->written_ns, clock_ns());
		if (write(w->fd, &one, sizeof(one)) != sizeof(one))
			perror("mr-bench-wake: eventfd");
	}
	while (clock_ns() < due) /* the last one is noted by now */
		;
	atomic_store(&w->written_ns, 0);
	if (write(w->fd, &one, sizeof(one)) != sizeof(one))
		perror("mr-bench-wake: eventfd");
}

static _Noreturn void refuse(void)
{
	fputs("usage: mr-bench-wake [--rate 1..10000] [--seconds 0.1..60] [--cpus FROM,TO]\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "rate", required_argument, NULL, 'r' },
						 { "seconds", required_argument, NULL, 's' },
						 { "cpus", required_argument, NULL, 'c' },
						 { 0 } };
	static struct wake w;
	double rate = 500, seconds = 5;
	int from = 1, to = 0, c;
	pthread_t thread;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			rate = atof(optarg);
		else if (c == 's')
			seconds = atof(optarg);
		else if (c != 'c' || sscanf(optarg, "%d,%d", &from, &to) != 2)
			refuse();
	}
	if (!(rate >= 1 && rate <= 10000 && seconds >= 0.1 && seconds <= 60) || optind != argc)
		refuse();
	w.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w.fd < 0 || pthread_create(&thread, NULL, sleep_and_note, &w)) {
		perror("mr-bench-wake");
		return 1;
	}
	move_to(thread, to);
	move_to(pthread_self(), from);
	write_at_pace(&w, rate, seconds);
	pthread_join(thread, NULL);
	close(w.fd);
	figure("wake.p50", (double)mr_histogram_quantile(&w.taken, 0.5) / 1e3, "us");
	figure("wake.p99", (double)mr_histogram_quantile(&w.taken, 0.99) / 1e3, "us");
	figure("wake.p999", (double)mr_histogram_quantile(&w.taken, 0.999) / 1e3, "us");
	return 0;
}
