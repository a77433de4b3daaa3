/* SPDX-License-Identifier: MIT */
/* The caller's side of keeper.h, and the start of the process; what it does: keeper_run.c. */
#include "user/daemon/keeper.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/daemon/keeper_run.h"

enum {
	WAIT_MS = 1000, /* for a keeper that has hardly anything to do */
};

static void address_of(const char *directory, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof(a->sun_path), "%s/keeper", directory);
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int mr_keeper_connect(const char *directory)
{
	struct sockaddr_un a;
	int fd = new_socket(), err;

	if (fd < 0)
		return fd;
	address_of(directory, &a);
	err = connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
	if (!err && !mr_keeper_is_our_user(fd))
		err = -EPERM;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int listen_at(const char *directory)
{
	struct sockaddr_un a;
	int fd = new_socket(), err = 0;
	mode_t mask;

	if (fd < 0)
		return fd;
	address_of(directory, &a);
	unlink(a.sun_path); /* the lock is ours, and its keeper is gone */
	mask = umask(0177);
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0)
		err = -errno;
	umask(mask);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int mr_keeper_start(const char *directory)
{
	int listener = listen_at(directory), fd;
	pid_t pid;

	if (listener < 0)
		return listener;
	pid = fork();
	if (pid == 0) {
		if (dup2(listener, 3) != 3 || close_range(4, ~0u, 0) < 0)
			_exit(1);
		mr_keeper_run(3);
	}
	fd = pid < 0 ? -errno : mr_keeper_connect(directory);
	close(listener);
	return fd;
}

static int wait_for(int keeper, short events)
{
	struct pollfd p = { .fd = keeper, .events = events };

	return poll(&p, 1, WAIT_MS) == 1 ? 0 : -ETIMEDOUT;
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
	err = wait_for(keeper, POLLOUT);
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
		err = wait_for(keeper, POLLIN);
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

void mr_keeper_end(int keeper)
{
	if (keeper < 0)
		return;
	/* It closes our connection when it has let go of all. */
	if (say(keeper, MR_KEEPER_QUIT, "", -1) == 0)
		wait_for(keeper, POLLIN);
	close(keeper);
}
