/* SPDX-License-Identifier: MIT */
#include "user/daemon/run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/log.h"

enum {
	PATH_BYTES = 128,
	CONTROL_BACKLOG = 16,
};

static const char *path_of(const struct mr_daemon *d, const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s", d->settings.run_directory, name);
	return path;
}

/* Who holds the lock wrote its pid into it. */
static int lock_is_held(struct mr_daemon *d, int fd, const char *path)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
	return mr_fail(d, -EBUSY,
		       "%s: millraced already runs, process %s; stop it, or give this one a "
		       "run_directory of its own",
		       path, pid[0] ? pid : "unknown");
}

/* What lies there is believed, and removed: nobody else may put anything there. */
static int check_owner(struct mr_daemon *d)
{
	const char *path = d->settings.run_directory;
	struct stat s;

	if (lstat(path, &s) < 0)
		return mr_fail(d, -errno, "run_directory %s: %s", path, strerror(errno));
	if (S_ISDIR(s.st_mode) && s.st_uid == geteuid() && !(s.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	return mr_fail(d, -EPERM,
		       "run_directory %s: must be a directory of root's that nobody else may "
		       "write; chown root: and chmod go-w it, or name another",
		       path);
}

/* A daemon that ends removes its lock: what was locked may be nobody's any more. */
static bool is_still(int fd, const char *path)
{
	struct stat there, ours;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && there.st_ino == ours.st_ino &&
	       there.st_dev == ours.st_dev;
}

/* Of nobody's business: who may open it could lock it, and there would be no daemon any more. */
static int take_lock(struct mr_daemon *d, const char *path)
{
	int err;

	d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0)
		return mr_fail(d, -errno, "%s: cannot be opened: %s", path, strerror(errno));
	if (flock(d->lock, LOCK_EX | LOCK_NB) == 0 && is_still(d->lock, path))
		return 0;
	err = lock_is_held(d, d->lock, path);
	mr_close_fd(&d->lock);
	return err;
}

int mr_run_directory_open(struct mr_daemon *d)
{
	char path[PATH_BYTES], pid[16];
	int n, err;

	if (mkdir(d->settings.run_directory, 0755) < 0 && errno != EEXIST)
		return mr_fail(d, -errno, "run_directory %s: cannot be made: %s",
			       d->settings.run_directory, strerror(errno));
	err = check_owner(d);
	if (!err)
		err = take_lock(d, path_of(d, "lock", path));
	if (err)
		return err;
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) < 0 || pwrite(d->lock, pid, (size_t)n, 0) != n)
		return mr_fail(d, -EIO, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}

void mr_run_directory_close(struct mr_daemon *d)
{
	static const char *const names[] = { "control.sock", "keeper", "lanes", "lanes.new",
					     "lock" };
	char path[PATH_BYTES];

	if (d->lock < 0)
		return;
	mr_close_fd(&d->control);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(d, names[i], path));
	mr_close_fd(&d->lock);
	/* Only a directory of our own is empty now. */
	rmdir(d->settings.run_directory);
}

/*
 * Field 22 of /proc/PID/stat: with the pid it names one process for ever. 0: no such process, or
 * one that is dead and waits for its parent.
 */
static uint64_t start_time(pid_t pid)
{
	char path[32], stat[512];
	uint64_t t = 0;
	const char *p;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (fgets(stat, sizeof(stat), in)) {
		p = strrchr(stat, ')'); /* the name may hold anything */
		if (p && !strncmp(p, ") Z", 3))
			p = NULL;
		for (int field = 2; p && field < 22; field++)
			p = strchr(p + 1, ' ');
		if (p)
			t = strtoull(p + 1, NULL, 10);
	}
	fclose(in);
	return t;
}

static void end_leftover(pid_t pid, uint64_t started)
{
	if (pid <= 1 || start_time(pid) != started)
		return;
	mr_warn("worker %d of a daemon that died: ended", (int)pid);
	kill(pid, SIGKILL);
	for (int i = 0; i < 200 && start_time(pid) == started; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

/* Of the command line that workers have: spawn.c. */
static bool is_worker_of(pid_t pid, const char *label)
{
	char path[32], line[64] = "";
	const char *second;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	in = fopen(path, "re");
	if (!in)
		return false;
	if (!fread(line, 1, sizeof(line) - 1, in))
		line[0] = '\0';
	fclose(in);
	second = line + strlen(line) + 1;
	return !strcmp(line, "millrace-worker") && second < line + sizeof(line) &&
	       !strcmp(second, label);
}

/* Without CAP_SYS_PTRACE that of other users is not to be seen. */
static bool is_elsewhere(pid_t pid)
{
	struct stat ours, its;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	return stat("/proc/self/ns/net", &ours) == 0 && stat(path, &its) == 0 &&
	       ours.st_ino != its.st_ino;
}

pid_t mr_orphan_find(const char *interface, uint32_t queue)
{
	char label[IFNAMSIZ + 16];
	const struct dirent *e;
	pid_t found = 0;
	DIR *proc = opendir("/proc");

	snprintf(label, sizeof(label), "%s:%u", interface, queue);
	while (proc && !found && (e = readdir(proc))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid > 0 && is_worker_of(pid, label) && !is_elsewhere(pid))
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

void mr_leftovers_end(struct mr_daemon *d)
{
	char path[PATH_BYTES];
	uint64_t started;
	FILE *in;
	int pid;

	in = fopen(path_of(d, "lanes", path), "re");
	if (!in)
		return;
	while (fscanf(in, "%d %" SCNu64, &pid, &started) == 2)
		end_leftover(pid, started);
	fclose(in);
	unlink(path);
}

void mr_leftovers_note(struct mr_daemon *d)
{
	char path[PATH_BYTES], temporary[PATH_BYTES];
	FILE *out = fopen(path_of(d, "lanes.new", temporary), "we");

	if (!out) {
		mr_warn("%s: cannot be written: %s", temporary, strerror(errno));
		return;
	}
	for (uint32_t i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].pid > 0)
			fprintf(out, "%d %" PRIu64 "\n", (int)d->lanes[i].pid,
				start_time(d->lanes[i].pid));
	if (fclose(out) != 0 || rename(temporary, path_of(d, "lanes", path)) < 0)
		mr_warn("%s: cannot be written: %s", path, strerror(errno));
}

void mr_control_unlink(struct mr_daemon *d)
{
	char path[PATH_BYTES];

	if (d->control >= 0)
		unlink(path_of(d, "control.sock", path));
	mr_close_fd(&d->control);
}

int mr_control_listen(struct mr_daemon *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[PATH_BYTES];
	mode_t mask;
	int err;

	path_of(d, "control.sock", path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	unlink(path); /* the lock is ours, so nobody listens there */
	d->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->control < 0)
		return mr_fail(d, -errno, "control socket: %s", strerror(errno));
	mask = umask(0177);
	err = bind(d->control, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	umask(mask);
	if (!err && (chown(path, 0, d->settings.gid) < 0 || chmod(path, 0660) < 0 ||
		     listen(d->control, CONTROL_BACKLOG) < 0))
		err = -errno;
	if (err)
		return mr_fail(d, err, "%s: cannot be made: %s", path, strerror(-err));
	return 0;
}
