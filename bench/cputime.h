/* SPDX-License-Identifier: MIT */
/*
 * CPU time that processes and the whole machine have used, from /proc. The kernel accounts in clock
 * ticks (10 ms with USER_HZ 100): sample over seconds.
 */
#ifndef MR_BENCH_CPUTIME_H
#define MR_BENCH_CPUTIME_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum {
	MR_CPUTIME_PIDS = 64,
};

/* Seconds since the start of the processes and of the machine; differences have a meaning. */
struct mr_cputime {
	double processes_s; /* utime + stime of the processes asked for, all threads */
	double busy_s;	    /* all CPUs: user, nice, system, irq, softirq */
	double softirq_s;   /* of it in softirq */
};

/* Reads the start of @path as a string. Return: 0 or -errno. */
static inline int mr_cputime_read(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return -errno;
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n ? 0 : -ESRCH;
}

/* proc_pid_stat(5): fields 14 and 15; the name in field 2 may hold spaces and brackets. */
static inline int mr_cputime_process(pid_t pid, double *seconds)
{
	unsigned long long utime, stime;
	char path[64], buf[1024];
	const char *rest;
	int err;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	err = mr_cputime_read(path, buf, sizeof(buf));
	if (err)
		return err;
	rest = strrchr(buf, ')');
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			    &utime, &stime) != 2)
		return -EBADMSG;
	*seconds += (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
	return 0;
}

/* proc_stat(5), line "cpu": user nice system idle iowait irq softirq ... */
static inline int mr_cputime_machine(struct mr_cputime *t)
{
	unsigned long long user, nice, system, irq, softirq;
	double hz = (double)sysconf(_SC_CLK_TCK);
	char buf[512];
	int err;

	err = mr_cputime_read("/proc/stat", buf, sizeof(buf));
	if (err)
		return err;
	if (sscanf(buf, "cpu %llu %llu %llu %*u %*u %llu %llu", &user, &nice, &system, &irq,
		   &softirq) != 5)
		return -EBADMSG;
	t->busy_s = (double)(user + nice + system + irq + softirq) / hz;
	t->softirq_s = (double)softirq / hz;
	return 0;
}

/**
 * mr_cputime_sample() - CPU time used so far
 * @pids:	@n processes, may be none
 *
 * Return: 0 or -errno (-ENOENT: a process has gone), @t undefined
 */
static inline int mr_cputime_sample(struct mr_cputime *t, const pid_t *pids, unsigned int n)
{
	int err = mr_cputime_machine(t);

	t->processes_s = 0;
	for (unsigned int i = 0; i < n && !err; i++)
		err = mr_cputime_process(pids[i], &t->processes_s);
	return err;
}

#endif
