/* SPDX-License-Identifier: MIT */
/* The caller's side of keeper.h, and the start of the process; what it does: keeper_run.c. */
#include "user/daemon/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/keeper_run.h"

enum {
	WAIT_MS = 1000,	 /* for a keeper that has hardly anything to do */
	FETCH_MS = 5000, /* lanes depend on it, and the machine may be very busy */
	NAME_TRIES = 50,
	NAME_TRY_MS = 10,
	FIRST_FREE_FD = 16, /* listeners are moved above it first */
};

static int wait_for(int keeper, short events, int ms)
{
	struct pollfd p = { .fd = keeper, .events = events };

	return poll(&p, 1, ms) == 1 ? 0 : -ETIMEDOUT;
}

static void address_of(const char *directory, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/keeper", directory);
}

/*
 * For when somebody has removed the run directory: a name of the network namespace, that the lanes'
 * interfaces are of, too. Anybody may have taken it, so both sides look at the other's user.
 */
static socklen_t name_of(const char *directory, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s:%.80s",
					    MR_KEEPER_NAME, directory));
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int connect_to(const struct sockaddr_un *a, socklen_t bytes)
{
	int fd = new_socket(), err;

	if (fd < 0)
		return fd;
	err = connect(fd, (const struct sockaddr *)a, bytes) < 0 ? -errno : 0;
	if (!err && !mr_keeper_is_our_user(fd))
		err = -EPERM;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int connect_at(const char *directory)
{
	struct sockaddr_un a;

	address_of(directory, &a);
	return connect_to(&a, sizeof(a));
}

/* It says a word to who may stay. */
static int greeted(int fd)
{
	struct mr_keeper_message m = { 0 };
	int none = -1, err = wait_for(fd, POLLIN, FETCH_MS);

	if (!err)
		err = mr_keeper_receive(fd, &m, &none) || m.op != MR_KEEPER_END_OF_LIST ? -EBUSY
											: 0;
	mr_close_fd(&none);
	return err;
}

/* -EBUSY: another daemon is with it; or one was, until just now. */
static int connect_by_name(const char *directory)
{
	struct sockaddr_un a;
	socklen_t bytes = name_of(directory, &a);
	int fd = -EBUSY, err = -EBUSY;

	for (int i = 0; err == -EBUSY && i < NAME_TRIES; i++) {
		if (i)
			poll(NULL, 0, NAME_TRY_MS);
		fd = connect_to(&a, bytes);
		err = fd < 0 ? fd : greeted(fd);
		if (err && fd >= 0)
			close(fd);
	}
	return err ? err : fd;
}

int mr_keeper_connect(const char *directory)
{
	int fd = connect_at(directory), other;

	if (fd != -ENOENT && fd != -ECONNREFUSED)
		return fd;
	other = connect_by_name(directory);
	return other >= 0 || other == -ETIMEDOUT ? other : fd;
}

/* One that has just ended may have the name for a moment yet; without one it is done without. */
static int bind_by_name(const char *directory)
{
	struct sockaddr_un a;
	socklen_t bytes = name_of(directory, &a);
	int fd = new_socket();

	for (int i = 0; fd >= 0 && i < NAME_TRIES; i++) {
		if (bind(fd, (const struct sockaddr *)&a, bytes) == 0)
			return fd;
		if (errno != EADDRINUSE)
			break;
		poll(NULL, 0, NAME_TRY_MS);
	}
	mr_close_fd(&fd);
	return -1;
}

static int bind_at(const char *directory)
{
	struct sockaddr_un a;
	int fd = new_socket(), err = 0;
	mode_t mask;

	if (fd < 0)
		return fd;
	address_of(directory, &a);
	unlink(a.sun_path); /* the lock is ours, and its keeper is gone */
	mask = umask(0177);
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		err = -errno;
	umask(mask);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* The keeper itself listens: so the socket's credentials are its own (mr_keeper_kill()). */
static int connect_to_new(const char *directory, pid_t pid)
{
	int fd = connect_at(directory);

	for (int ms = 0; fd == -ECONNREFUSED && ms < FETCH_MS; ms++) {
		poll(NULL, 0, 1);
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return -ECHILD;
		fd = connect_at(directory);
	}
	if (fd >= 0)
		return fd;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

/* With the two listeners alone. */
static void __attribute__((noreturn)) become_keeper(int listener, int by_name)
{
	if (by_name >= 0)
		by_name = fcntl(by_name, F_DUPFD, FIRST_FREE_FD);
	if (dup2(listener, 3) != 3 || (by_name >= 0 && dup2(by_name, 4) != 4) ||
	    close_range(by_name >= 0 ? 5 : 4, ~0u, 0) < 0)
		_exit(1);
	mr_keeper_run(3, by_name >= 0 ? 4 : -1);
}

int mr_keeper_start(const char *directory)
{
	int listener = bind_at(directory), by_name, fd;
	pid_t pid;

	if (listener < 0)
		return listener;
	by_name = bind_by_name(directory);
	pid = fork();
	if (pid == 0)
		become_keeper(listener, by_name);
	fd = pid < 0 ? -errno : connect_to_new(directory, pid);
	close(listener);
	mr_close_fd(&by_name);
	return fd;
}

static int say(int keeper, enum mr_keeper_op op, const char *name, int fd)
{
	struct mr_keeper_message m = { .op = op };
	int err;

	if (keeper < 0)
		return -ENOTCONN;
	snprintf(m.name, sizeof(m.name), "%s", name);
	err = mr_keeper_send(keeper, &m, fd);
	if (err != -EAGAIN)
		return err;
	err = wait_for(keeper, POLLOUT, WAIT_MS);
	return err ? err : mr_keeper_send(keeper, &m, fd);
}

int mr_keeper_put(int keeper, const char *name, int fd)
{
	return say(keeper, MR_KEEPER_PUT, name, fd);
}

static void let_go(struct mr_held *held, int n)
{
	while (n-- > 0)
		close(held[n].fd);
}

int mr_keeper_fetch(int keeper, struct mr_held *held)
{
	struct mr_keeper_message m = { 0 };
	int n = 0, fd, err = say(keeper, MR_KEEPER_LIST, "", -1);

	while (!err) {
		err = wait_for(keeper, POLLIN, FETCH_MS);
		if (!err)
			err = mr_keeper_receive(keeper, &m, &fd);
		if (!err && m.op == MR_KEEPER_END_OF_LIST)
			return n;
		if (err || m.op != MR_KEEPER_ITEM || fd < 0 || n == MR_HELD_MOST) {
			err = err ? err : -EPROTO;
			if (fd >= 0)
				close(fd);
			break;
		}
		memcpy(held[n].name, m.name, sizeof(m.name));
		held[n++].fd = fd;
	}
	let_go(held, n);
	return err;
}

/* The process that listened, if it is still a keeper: pids come again. */
static pid_t pid_of(int keeper)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	char path[32], name[16] = "";
	FILE *in;

	if (getsockopt(keeper, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 1)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer.pid);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (!fgets(name, sizeof(name), in))
		name[0] = '\0';
	fclose(in);
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, MR_KEEPER_NAME) ? 0 : peer.pid;
}

void mr_keeper_kill(int keeper)
{
	pid_t pid = keeper < 0 ? 0 : pid_of(keeper);

	if (pid > 0)
		kill(pid, SIGKILL);
}

void mr_keeper_end(int keeper)
{
	if (keeper < 0)
		return;
	/* It closes our connection when it has let go of all. */
	if (say(keeper, MR_KEEPER_QUIT, "", -1) != 0 || wait_for(keeper, POLLIN, WAIT_MS) != 0) {
		mr_keeper_kill(keeper); /* it stands still, and holds what must go */
		wait_for(keeper, POLLIN, WAIT_MS);
	}
	close(keeper);
}
