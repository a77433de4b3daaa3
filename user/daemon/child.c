/* SPDX-License-Identifier: MIT */
#include "user/daemon/child.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "user/daemon/api.h"
#include "user/daemon/beats.h"
#include "user/daemon/changes.h"
#include "user/daemon/channels.h"
#include "user/daemon/log.h"
#include "user/daemon/paths.h"
#include "user/daemon/privileges.h"
#include "user/daemon/pulse.h"
#include "user/daemon/web.h"

enum {
	TICK_MS = 50,
	EVENTS = 32,
	LOG_BYTES = 4096,
};

int mr_child_watch(struct mr_child *c, struct mr_watch *w)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

void mr_child_unwatch(struct mr_child *c, struct mr_watch *w)
{
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, w->fd, NULL);
}

void mr_child_ask(struct mr_child *c, const struct mr_request *q)
{
	/* A parent that is gone needs no complaint: we end as well. */
	if (send(c->parent.fd, q, sizeof(*q), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		mr_warn("request %u to the parent is lost: %s", q->type, strerror(errno));
}

static void into_background(int null)
{
	mr_log_to_syslog();
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
}

static void note(struct mr_child *c, const struct mr_note *n, int fd)
{
	switch ((enum mr_note_type)n->type) {
	case MR_NOTE_SPAWNED:
	case MR_NOTE_EXITED:
		mr_supervise_note(c, n, fd);
		return;
	case MR_NOTE_LISTENING:
	case MR_NOTE_UNLISTENED:
		c->d->bpf.generation.number = n->generation;
		mr_listeners_note(c, n);
		break;
	case MR_NOTE_GUARD:
		c->d->bpf.generation.number = n->generation;
		mr_change_note(c, n);
		break;
	case MR_NOTE_RULES:
		c->d->bpf.generation.number = n->generation;
		mr_agree_over(c);
		mr_change_rules(c, n);
		break;
	case MR_NOTE_RULES_ASKED:
		mr_agree_ask(c, (uint32_t)n->cookie);
		break;
	case MR_NOTE_BACKGROUND:
		into_background(fd);
		break;
	case MR_NOTE_PROGRAM:
		mr_api_program_note(c, n);
		break;
	case MR_NOTE_PROBED:
		mr_api_restart_probed(c, n);
		break;
	case MR_NOTE_STOPPING:
		c->stopping = true;
		break;
	}
	mr_close_fd(&fd);
}

static int passed_fd(struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

static void parent_ready(struct mr_child *c, struct mr_watch *w)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct mr_note n;
	struct iovec iov = { &n, sizeof(n) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(w->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got == sizeof(n))
		note(c, &n, passed_fd(&m));
	else if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		c->stopping = true; /* without a parent there is nothing to do here */
}

/* Workers' words on their way to syslog, a line at a time. */
static void worker_log_ready(struct mr_child *c, struct mr_watch *w)
{
	char text[LOG_BYTES + 1];
	ssize_t n = read(w->fd, text, LOG_BYTES);
	char *line, *rest = text;

	(void)c;
	if (n <= 0)
		return;
	text[n] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (line[0])
			mr_info("%s", line);
}

static int open_watches(struct mr_child *c)
{
	int err;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return -errno;
	c->parent = (struct mr_watch){ c->d->child_socket, parent_ready };
	err = mr_child_watch(c, &c->parent);
	c->worker_log = (struct mr_watch){ c->d->worker_log[0], worker_log_ready };
	if (!err && c->worker_log.fd >= 0)
		err = mr_child_watch(c, &c->worker_log);
	return err;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Forget every descriptor of the parent but those that the child works with. */
static int keep_only_ours(struct mr_daemon *d)
{
	size_t most = 16 + MR_MAP_COUNT + d->n_links + 2 * (size_t)d->n_lanes, n = 0;
	int *keep = malloc(most * sizeof(*keep)), last = -1;

	if (!keep)
		return -ENOMEM;
	for (int fd = 0; fd < 3; fd++)
		keep[n++] = fd;
	keep[n++] = d->child_socket;
	keep[n++] = d->control;
	keep[n++] = d->http;
	keep[n++] = d->worker_log[0];
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++)
		keep[n++] = d->bpf.reader[i];
	for (uint32_t i = 0; i < d->n_lanes; i++) {
		keep[n++] = d->lanes[i].arena_reader;
		keep[n++] = d->lanes[i].socket;
	}
	closelog(); /* its descriptor is not on the list; it connects again */
	qsort(keep, n, sizeof(*keep), compare_fds);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] > last + 1)
			close_range((unsigned int)last + 1, (unsigned int)keep[i] - 1, 0);
		if (keep[i] > last)
			last = keep[i];
	}
	close_range((unsigned int)last + 1, ~0u, 0);
	free(keep);
	return 0;
}

static int become_child(struct mr_daemon *d)
{
	sigset_t none;
	int err;

	setsid();
	prctl(PR_SET_NAME, "millraced-child");
	signal(SIGTERM, SIG_IGN); /* the parent's affair */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	explicit_bzero(d->isn_secret, sizeof(d->isn_secret));
	explicit_bzero(d->hash_secret, sizeof(d->hash_secret));
	err = keep_only_ours(d);
	if (err)
		return err;
	mr_log_reopen();
	return mr_privileges_drop(d->settings.uid, d->settings.gid);
}

static void serve(struct mr_child *c)
{
	struct epoll_event events[EVENTS];

	while (!c->stopping) {
		int wait = mr_beats_wait_ms(c, mr_web_timeout(c, mr_api_timeout(c, TICK_MS)));
		int n = epoll_wait(c->epoll, events, EVENTS, wait);

		mr_pulse_beat(c->d->pulse);
		for (int i = 0; i < n; i++) {
			struct mr_watch *w = events[i].data.ptr;

			/* A watch may have been closed by one before it in this batch. */
			if (w->fd >= 0)
				w->ready(c, w);
		}
		mr_api_turn(c);
		mr_web_turn(c);
		mr_supervise_tick(c, mr_now_ns());
		mr_api_restart_tick(c, mr_now_ns());
		mr_agree_tick(c, mr_now_ns());
		mr_paths_tick(c, mr_now_ns());
	}
}

static int set_up(struct mr_child *c)
{
	int err = become_child(c->d);

	if (!err)
		err = open_watches(c);
	if (!err)
		err = mr_paths_open(c);
	if (!err)
		err = mr_channels_open(c);
	if (!err)
		err = mr_api_open(c);
	if (!err)
		err = mr_web_open(c);
	if (!err)
		err = mr_seccomp_child();
	if (!err)
		err = mr_supervise_init(c);
	return err;
}

int mr_child_run(struct mr_daemon *d, bool started)
{
	static struct mr_child c;
	int err;

	c = (struct mr_child){ .d = d, .start_reported = started };
	err = set_up(&c);
	if (err) {
		mr_error("control process: cannot start: %s", strerror(-err));
		return EXIT_FAILURE;
	}
	serve(&c);
	mr_api_close(&c);
	mr_web_close(&c);
	return EXIT_SUCCESS;
}
