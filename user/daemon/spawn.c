/* SPDX-License-Identifier: MIT */
/* Workers: started with everything they need in one message, ended in good order or at once. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/estate.h"
#include "user/daemon/lanes.h"
#include "user/daemon/log.h"
#include "user/daemon/privileges.h"

enum {
	STOP_MS = 1000,
	FIRST_FREE_FD = 16, /* what exec needs is moved above it first */
};

/* Descriptors of one HELLO, in the order of enum mr_hello_fd. */
struct parcel {
	struct mr_hello hello;
	int fd[MR_HELLO_FD_COUNT];
	unsigned int n;
};

static void put(struct parcel *p, unsigned int which, int fd)
{
	if (fd < 0)
		return;
	p->hello.fds[which] = 1;
	p->fd[p->n++] = fd;
}

static void pack(const struct mr_daemon *d, const struct mr_lane *l, struct parcel *p)
{
	const struct mr_link *k = mr_lane_link(d, l);

	*p = (struct parcel){
		.hello = {
			.head = { MR_WORKER_MAGIC, MR_MSG_HELLO, sizeof(p->hello) },
			.version = MR_WORKER_VERSION,
			.lane = l->index,
			.n_lanes = k->n_queues,
			.slot = l->slot,
			.ifindex = k->ifindex,
			.queue = l->index,
			.epoch = l->epoch,
			.zero_copy = l->zero_copy,
			.fresh = l->fresh,
			.rx_size = l->rings.rx,
			.tx_size = l->rings.tx,
			.fill_size = l->rings.fill,
			.completion_size = l->rings.completion,
		},
	};
	put(p, MR_HELLO_XSK, l->xsk);
	put(p, MR_HELLO_ARENA, l->arena);
	put(p, MR_HELLO_CONFIG, l->next_config >= 0 ? l->next_config : l->config);
	put(p, MR_HELLO_MAILBOX, k->mailbox);
	put(p, MR_HELLO_PATHS, k->paths_reader);
	put(p, MR_HELLO_BEAT_MAP, d->bpf.map[MR_MAP_BEAT]);
	put(p, MR_HELLO_LANE_MAP, d->bpf.map[MR_MAP_LANE]);
	put(p, MR_HELLO_FULL_MAP, d->bpf.map[MR_MAP_FULL]);
	put(p, MR_HELLO_CAPTURE, l->capture);
	put(p, MR_HELLO_GO, l->go);
	for (uint32_t i = 0; i < k->n_queues; i++)
		put(p, MR_HELLO_DOORBELL + i, d->lanes[k->first_lane + i].doorbell);
	for (unsigned int i = 0; i < d->settings.n_directories; i++)
		put(p, MR_HELLO_DIRECTORY + i, d->directories[i]);
}

static int send_hello(const struct mr_daemon *d, const struct mr_lane *l, int fd)
{
	char control[CMSG_SPACE(MR_HELLO_FD_COUNT * sizeof(int))] = { 0 };
	struct parcel p;
	struct iovec iov = { &p.hello, sizeof(p.hello) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *c;

	pack(d, l, &p);
	m.msg_controllen = CMSG_SPACE(p.n * sizeof(int));
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(p.n * sizeof(int));
	memcpy(CMSG_DATA(c), p.fd, p.n * sizeof(int));
	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Between fork and exec: nothing but system calls. Never returns. */
static void become_worker(const struct mr_daemon *d, int worker, int socket, int log,
			  const char *label)
{
	char *const argv[] = { "millrace-worker", (char *)label, NULL };
	char *const envp[] = { "LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	worker = fcntl(worker, F_DUPFD, FIRST_FREE_FD);
	socket = fcntl(socket, F_DUPFD, FIRST_FREE_FD);
	null = fcntl(null, F_DUPFD, FIRST_FREE_FD);
	log = fcntl(log, F_DUPFD, FIRST_FREE_FD);
	if (worker < 0 || socket < 0 || null < 0 || log < 0)
		_exit(125);
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	dup2(socket, MR_WORKER_FD);
	dup3(worker, MR_WORKER_FD + 1, O_CLOEXEC);
	if (close_range(MR_WORKER_FD + 2, ~0u, 0) < 0 || chdir("/") < 0 ||
	    mr_privileges_drop(d->settings.uid, d->settings.gid) < 0)
		_exit(125);
	/* By descriptor: its user need not be able to walk to where it lies. */
	execveat(MR_WORKER_FD + 1, "", argv, envp, AT_EMPTY_PATH);
	_exit(126);
}

/*
 * The worker is given nothing before the next daemon would find it: if we die first, its socket
 * ends and so does it. Two workers of one lane would spoil its rings.
 */
static void note_worker(struct mr_daemon *d, struct mr_lane *l, pid_t pid, int socket)
{
	mr_close_fd(&l->socket);
	mr_close_fd(&l->pidfd);
	l->socket = socket;
	l->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	l->pid = pid;
	l->adopted = l->outdated = false;
	mr_estate_worker(d, l);
}

bool mr_worker_has_ended(const struct mr_lane *l, int *status)
{
	struct pollfd p = { .fd = l->pidfd, .events = POLLIN };

	if (!l->adopted)
		return waitpid(l->pid, status, WNOHANG) != 0;
	*status = MR_STATUS_UNKNOWN;
	return poll(&p, 1, 0) == 1;
}

void mr_worker_kill(const struct mr_lane *l)
{
	if (l->pid > 0 && l->adopted)
		syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0);
	else if (l->pid > 0)
		kill(l->pid, SIGKILL);
}

int mr_worker_spawn(struct mr_daemon *d, struct mr_lane *l)
{
	int log = d->worker_log[1] >= 0 ? d->worker_log[1] : STDERR_FILENO;
	char label[IFNAMSIZ + 16];
	int worker, pair[2], err;
	pid_t pid;

	if (l->pid > 0)
		return -EALREADY;
	if (mr_lane_link(d, l)->gone || l->absent)
		return -ENODEV;
	worker = open(d->worker_path, O_PATH | O_CLOEXEC);
	if (worker < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		err = -errno;
		goto undo_open;
	}
	mr_close_fd(&l->go);
	if (!l->bound)
		l->go = eventfd(0, EFD_CLOEXEC);
	if (!l->bound && l->go < 0) {
		err = -errno;
		goto undo_pair;
	}
	l->epoch++;
	snprintf(label, sizeof(label), "%s:%u", mr_lane_link(d, l)->name, l->index);
	pid = fork();
	if (pid < 0) {
		err = -errno;
		goto undo_pair;
	}
	if (pid == 0)
		become_worker(d, worker, pair[1], log, label);
	close(worker);
	close(pair[1]);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	note_worker(d, l, pid, pair[0]);
	err = send_hello(d, l, l->socket);
	if (err)
		kill(pid, SIGKILL);
	return 0; /* it is told like any other end */

undo_pair:
	close(pair[0]);
	close(pair[1]);
undo_open:
	close(worker);
	return err;
}

static bool any_runs(const struct mr_daemon *d)
{
	for (uint32_t i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].pid > 0)
			return true;
	return false;
}

static void reap(struct mr_daemon *d)
{
	int status;

	for (uint32_t i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].pid > 0 && mr_worker_has_ended(&d->lanes[i], &status))
			d->lanes[i].pid = 0;
}

static void reap_until(struct mr_daemon *d, uint64_t until)
{
	reap(d);
	while (any_runs(d) && mr_now_ns() < until) {
		poll(NULL, 0, 5);
		reap(d);
	}
}

void mr_workers_end(struct mr_daemon *d)
{
	struct mr_message stop = { MR_WORKER_MAGIC, MR_MSG_STOP, sizeof(stop) };

	if (!d->lanes)
		return;
	for (uint32_t i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].pid > 0 && d->lanes[i].socket >= 0)
			send(d->lanes[i].socket, &stop, sizeof(stop), MSG_NOSIGNAL);
	reap_until(d, mr_now_ns() + STOP_MS * 1000000ull);
	for (uint32_t i = 0; i < d->n_lanes; i++)
		if (d->lanes[i].pid > 0) {
			mr_warn("%s queue %u: worker %d did not stop within %d ms: killed",
				mr_lane_link(d, &d->lanes[i])->name, d->lanes[i].index,
				(int)d->lanes[i].pid, STOP_MS);
			mr_worker_kill(&d->lanes[i]);
		}
	reap_until(d, UINT64_MAX); /* nothing survives SIGKILL */
}
