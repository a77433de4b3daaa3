/* SPDX-License-Identifier: MIT */
/*
 * Would the worker program that is installed now go on with the arenas that we hold? It is asked
 * (millrace-worker --layout) before the old worker stops.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/lanes.h"
#include "user/daemon/privileges.h"

enum {
	PROBE_MS = 1000,
	ANSWER_BYTES = 128,
};

/* Between fork and exec: nothing but system calls. Never returns. */
static void become_probe(const struct mr_daemon *d, int program, int answer)
{
	char *const argv[] = { "millrace-worker", "--layout", NULL };
	char *const envp[] = { "LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	program = fcntl(program, F_DUPFD, 16); /* above those that are taken below */
	answer = fcntl(answer, F_DUPFD, 16);
	if (null < 0 || program < 0 || answer < 0)
		_exit(125);
	dup2(null, STDIN_FILENO);
	dup2(answer, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	dup3(program, 3, O_CLOEXEC);
	if (close_range(4, ~0u, 0) < 0 || chdir("/") < 0 ||
	    mr_privileges_drop(d->settings.uid, d->settings.gid) < 0)
		_exit(125);
	execveat(3, "", argv, envp, AT_EMPTY_PATH);
	_exit(126);
}

/* All that it prints, until it ends or its time is over; bytes. */
static size_t read_answer(int fd, char *text, size_t room)
{
	uint64_t until = mr_now_ns() + PROBE_MS * 1000000ull;
	size_t n = 0;

	while (n + 1 < room) {
		uint64_t now = mr_now_ns();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (now >= until || poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
			break;
		got = read(fd, text + n, room - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	return n;
}

/* What the program says; text empty when it says nothing. 0 or -errno. */
static int ask(const struct mr_daemon *d, char *text, size_t room)
{
	int program = open(d->worker_path, O_PATH | O_CLOEXEC);
	int answer[2], err = 0;
	pid_t pid;

	if (program < 0)
		return -errno;
	if (pipe2(answer, O_CLOEXEC) < 0) {
		err = -errno;
		goto undo_open;
	}
	pid = fork();
	if (pid == 0)
		become_probe(d, program, answer[1]);
	err = pid < 0 ? -errno : 0;
	close(answer[1]);
	if (!err) {
		read_answer(answer[0], text, room);
		kill(pid, SIGKILL); /* harmless when it has ended */
		waitpid(pid, NULL, 0);
	}
	close(answer[0]);
undo_open:
	close(program);
	return err;
}

int mr_worker_probe(const struct mr_daemon *d, const struct mr_lane *l, char *words, size_t room)
{
	unsigned int layout, version;
	char text[ANSWER_BYTES] = "";
	int err = ask(d, text, sizeof(text));

	if (err) {
		snprintf(words, room, "%s: %s", d->worker_path, strerror(-err));
		return err;
	}
	if (sscanf(text, "layout %u version %u", &layout, &version) != 2) {
		snprintf(words, room,
			 "%.64s does not tell its layout: other version? The old "
			 "worker goes on",
			 d->worker_path);
		return -EPROTO;
	}
	if (layout == l->layout.layout && version == MR_WORKER_VERSION)
		return 0;
	snprintf(words, room,
		 "%.64s has arena layout %u, protocol %u; the lane has %u and %u: the "
		 "old worker goes on (restart millraced)",
		 d->worker_path, layout, version, l->layout.layout,
		 (unsigned int)MR_WORKER_VERSION);
	return -EPROTO;
}
