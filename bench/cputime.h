/* SPDX-License-Identifier: MIT */
/*
 * CPU time that processes and the whole machine have used, from /proc.
 *
 * Of processes: the scheduler's own clock in nanoseconds, which runs on while the kernel does
 * softirq work in a process's context. On a veth pair that is nearly all of it: who sends, runs the
 * receive path of the other side. What does not fit there runs in the ksoftirqd threads, whose time
 * is given beside. So processes and ksoftirqd together are what the work costs, and other programs
 * on the machine do not disturb the figure; those of /proc/stat are in clock ticks and everybody's.
 */
#ifndef MR_BENCH_CPUTIME_H
#define MR_BENCH_CPUTIME_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum {
	MR_CPUTIME_PIDS = 64,
};

/* Seconds since the start of the processes and of the machine; differences have a meaning. */
struct mr_cputime {
	double processes_s; /* of the processes asked for, all threads */
	double own_s;	    /* of this process */
	double ksoftirqd_s; /* of the threads ksoftirqd */
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

/* First field of schedstat: nanoseconds on a CPU. */
static inline int mr_cputime_task(const char *path, double *seconds)
{
	char buf[128];
	int err = mr_cputime_read(path, buf, sizeof(buf));

	if (!err)
		*seconds += (double)strtoull(buf, NULL, 10) / 1e9;
	return err;
}

/* All threads that the process has now. Return: 0 or -errno (-ENOENT: it has gone) */
static inline int mr_cputime_process(pid_t pid, double *seconds)
{
	char path[320];
	struct dirent *e;
	DIR *tasks;
	int err = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	while ((e = readdir(tasks))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, e->d_name);
		if (mr_cputime_task(path, seconds) == 0)
			err = 0;
	}
	closedir(tasks);
	return err;
}

/* The pids of the ksoftirqd threads, looked for once. Return: how many */
static inline unsigned int mr_cputime_ksoftirqd(pid_t *pids, unsigned int most)
{
	char path[320], comm[32];
	unsigned int n = 0;
	struct dirent *e;
	DIR *proc = opendir("/proc");

	while (proc && n < most && (e = readdir(proc))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if (mr_cputime_read(path, comm, sizeof(comm)) == 0 &&
		    strncmp(comm, "ksoftirqd/", 10) == 0)
			pids[n++] = (pid_t)atoi(e->d_name);
	}
	if (proc)
		closedir(proc);
	return n;
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
	static pid_t softirqd[MR_CPUTIME_PIDS];
	static unsigned int n_softirqd;
	struct timespec own;
	int err = mr_cputime_machine(t);

	if (!n_softirqd)
		n_softirqd = mr_cputime_ksoftirqd(softirqd, MR_CPUTIME_PIDS);
	t->processes_s = t->ksoftirqd_s = 0;
	for (unsigned int i = 0; i < n && !err; i++)
		err = mr_cputime_process(pids[i], &t->processes_s);
	for (unsigned int i = 0; i < n_softirqd && !err; i++)
		err = mr_cputime_process(softirqd[i], &t->ksoftirqd_s);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
	t->own_s = (double)own.tv_sec + (double)own.tv_nsec / 1e9;
	return err;
}

#endif
