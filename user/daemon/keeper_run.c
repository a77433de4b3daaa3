/* SPDX-License-Identifier: MIT */
/*
 * The keeper's process. It keeps its user, so that nobody of the lanes' user can look into it, but
 * no capability and hardly a system call. What it is sent it never looks at.
 */
#include "user/daemon/keeper_run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LISTENERS = 2,
	CLIENTS = 4,
	LOOK_MS = 1000,
	ALONE_LOOKS = 60, /* so often without a daemon and without a worker, and it ends */
	ANSWER_MS = 1000,
};

struct keeper {
	struct pollfd fds[LISTENERS + CLIENTS]; /* in the directory, and by name; clients */
	struct mr_held held[MR_HELD_MOST];
	int n;
	int looks;
};

static struct keeper k;

bool mr_keeper_is_our_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}

int mr_keeper_send(int to, const struct mr_keeper_message *m, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { (void *)m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int mr_keeper_receive(int from, struct mr_keeper_message *m, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*fd = -1;
	if (n < 0)
		return -errno;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	if (n == (ssize_t)sizeof(*m) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		m->name[sizeof(m->name) - 1] = '\0';
		return 0;
	}
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return n ? -EPROTO : -EPIPE;
}

static void put(const char *name, int fd)
{
	int i = 0;

	while (i < k.n && strcmp(k.held[i].name, name) != 0)
		i++;
	if (fd < 0 || i == MR_HELD_MOST) {
		if (fd >= 0)
			close(fd);
		return;
	}
	if (i == k.n)
		k.n++;
	else
		close(k.held[i].fd);
	memcpy(k.held[i].name, name, sizeof(k.held[i].name));
	k.held[i].fd = fd;
}

static int answer(int client, const struct mr_keeper_message *m, int fd)
{
	struct pollfd room = { .fd = client, .events = POLLOUT };
	int err = mr_keeper_send(client, m, fd);

	if (err == -EAGAIN && poll(&room, 1, ANSWER_MS) == 1)
		err = mr_keeper_send(client, m, fd);
	return err;
}

static int list(int client)
{
	struct mr_keeper_message m = { .op = MR_KEEPER_ITEM };
	int err = 0;

	for (int i = 0; i < k.n && !err; i++) {
		memcpy(m.name, k.held[i].name, sizeof(m.name));
		err = answer(client, &m, k.held[i].fd);
	}
	m = (struct mr_keeper_message){ .op = MR_KEEPER_END_OF_LIST };
	return err ? err : answer(client, &m, -1);
}

/* One message of a client: 0, or not: its connection ends. */
static int obey(int client)
{
	struct mr_keeper_message m = { 0 };
	int fd, err = mr_keeper_receive(client, &m, &fd);

	if (err == -EAGAIN || err == -EINTR)
		return 0;
	if (err)
		return err;
	if (m.op == MR_KEEPER_PUT) {
		put(m.name, fd);
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (m.op == MR_KEEPER_QUIT)
		_exit(0);
	return m.op == MR_KEEPER_LIST ? list(client) : -EPROTO;
}

static bool has_client(void)
{
	for (int i = LISTENERS; i < LISTENERS + CLIENTS; i++)
		if (k.fds[i].fd >= 0)
			return true;
	return false;
}

/*
 * By name somebody may come who has another directory of the same path: he is let in only while
 * nobody else is there, whose lanes these are, and is told so.
 */
static bool may_come(int fd, bool by_name)
{
	const struct mr_keeper_message m = { .op = MR_KEEPER_END_OF_LIST };

	if (fd < 0 || !mr_keeper_is_our_user(fd))
		return false;
	return !by_name || (!has_client() && mr_keeper_send(fd, &m, -1) == 0);
}

static void accept_client(int listener)
{
	int fd = accept4(k.fds[listener].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (may_come(fd, listener > 0))
		for (int i = LISTENERS; i < LISTENERS + CLIENTS; i++)
			if (k.fds[i].fd < 0) {
				k.fds[i].fd = fd;
				return;
			}
	if (fd >= 0)
		close(fd);
}

static bool is_pidfd(const char *name)
{
	size_t n = strlen(name), tail = sizeof(MR_HELD_PIDFD) - 1;

	return n >= tail && !strcmp(name + n - tail, MR_HELD_PIDFD);
}

static bool has_worker(void)
{
	for (int i = 0; i < k.n; i++) {
		struct pollfd p = { .fd = k.held[i].fd, .events = POLLIN };

		if (is_pidfd(k.held[i].name) && poll(&p, 1, 0) == 0)
			return true;
	}
	return false;
}

/* A daemon that never comes back must not leave us here with memory that nobody uses. */
static void look_around(void)
{
	k.looks = has_client() || has_worker() ? 0 : k.looks + 1;
	if (k.looks == ALONE_LOOKS)
		_exit(0);
}

static int confine(void)
{
	static const int allowed[] = {
		SCMP_SYS(accept4),    SCMP_SYS(getsockopt),	 SCMP_SYS(geteuid),
		SCMP_SYS(recvmsg),    SCMP_SYS(sendmsg),	 SCMP_SYS(poll),
		SCMP_SYS(ppoll),      SCMP_SYS(close),		 SCMP_SYS(exit),
		SCMP_SYS(exit_group), SCMP_SYS(futex),		 SCMP_SYS(rt_sigreturn),
		SCMP_SYS(write),      SCMP_SYS(restart_syscall),
	};
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	scmp_filter_ctx f;
	int err = 0;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!f)
		return -ENOMEM;
	for (size_t i = 0; !err && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

static void become_keeper(void)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	setsid();
	prctl(PR_SET_NAME, MR_KEEPER_NAME);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") < 0)
		_exit(1);
	for (int i = 0; i < LISTENERS + CLIENTS; i++)
		k.fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
}

void mr_keeper_run(int listener, int by_name)
{
	become_keeper();
	if (by_name >= 0 && listen(by_name, CLIENTS) == 0)
		k.fds[1].fd = by_name;
	if (listen(listener, CLIENTS) < 0 || confine() < 0)
		_exit(1);
	k.fds[0].fd = listener;
	for (;;) {
		if (poll(k.fds, LISTENERS + CLIENTS, LOOK_MS) == 0)
			look_around();
		for (int i = LISTENERS; i < LISTENERS + CLIENTS; i++) {
			if (k.fds[i].fd < 0 || !k.fds[i].revents || obey(k.fds[i].fd) == 0)
				continue;
			close(k.fds[i].fd);
			k.fds[i].fd = -1;
		}
		for (int i = 0; i < LISTENERS; i++)
			if (k.fds[i].revents & POLLIN)
				accept_client(i);
	}
}
