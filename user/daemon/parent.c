/* SPDX-License-Identifier: MIT */
/* The privileged parent at work: it waits for signals and for its child's few requests. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/child.h"
#include "user/daemon/daemon.h"
#include "user/daemon/estate.h"
#include "user/daemon/lanes.h"
#include "user/daemon/log.h"
#include "user/daemon/pulse.h"
#include "user/daemon/queues.h"
#include "user/daemon/request.h"
#include "user/daemon/rule_change.h"
#include "user/daemon/run_directory.h"
#include "user/daemon/service.h"

enum {
	CHILD_RESTART_MS = 1000,
};

struct parent {
	struct mr_daemon *d;
	int signals;
	bool started;
	void (*on_started)(void *arg);
	void *arg;
	uint64_t child_died_ns;
	int adopted; /* epoll: ends of workers that are not our children */
	int watchdog_ms;
	struct mr_pulse pulse; /* the child's */
	int beat_ms;	       /* until the next mr_queues_beat(), -1: none is due */
	int error;	       /* the start has failed */
};

static void report_ready(const struct mr_daemon *d)
{
	char words[64];

	snprintf(words, sizeof(words), "serving: %u lanes, %u rules", mr_lanes_there(d),
		 mr_rules_live(&d->settings));
	mr_service_ready(words);
}

/* Workers that another daemon started with another configuration. */
static void replace_outdated(struct mr_daemon *d)
{
	struct mr_message leave = { MR_WORKER_MAGIC, MR_MSG_LEAVE, sizeof(leave) };

	for (uint32_t i = 0; i < d->n_lanes; i++) {
		const struct mr_lane *l = &d->lanes[i];

		if (!l->outdated || l->pid <= 0)
			continue;
		mr_info("%s queue %u: %s, worker %d is replaced", mr_lane_link(d, l)->name,
			l->index, d->handed_over ? "restart" : "the configuration has changed",
			(int)l->pid);
		send(l->socket, &leave, sizeof(leave), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

static void start_is_complete(struct parent *p)
{
	struct mr_note n = { .type = MR_NOTE_BACKGROUND };

	if (p->started)
		return;
	p->started = true;
	mr_info("serving: %u lanes, %u rules%s", mr_lanes_there(p->d),
		mr_rules_live(&p->d->settings), p->d->adopting ? ", taken up as they ran" : "");
	report_ready(p->d);
	replace_outdated(p->d);
	p->on_started(p->arg);
	if (!p->d->foreground)
		mr_note_send(p->d, &n, STDIN_FILENO); /* which is /dev/null now */
}

static void request(void *arg, struct mr_request *q)
{
	struct parent *p = arg;
	struct mr_daemon *d = p->d;

	q->words[sizeof(q->words) - 1] = '\0';
	if (q->lane >= d->n_lanes)
		return;
	if (q->type == MR_REQUEST_SERVING)
		start_is_complete(p);
	else if (q->type == MR_REQUEST_FAILED && !p->started)
		p->error = mr_fail(d, -ECHILD, "%s", q->words);
	else
		mr_request_serve(d, q);
	if (q->type == MR_REQUEST_LISTEN || q->type == MR_REQUEST_UNLISTEN)
		mr_estate_note(d);
	else if (q->type == MR_REQUEST_UPGRADE || q->type == MR_REQUEST_ROLLBACK)
		mr_estate_programs(d);
}

static void read_requests(struct parent *p)
{
	if (mr_requests_read(p->d->child_socket, request, p))
		return;
	/* It ended, and SIGCHLD comes; or it said nothing at all, which none of ours does. */
	mr_close_fd(&p->d->child_socket);
	if (p->d->child > 0)
		kill(p->d->child, SIGKILL);
}

static void start_child(struct parent *p)
{
	struct mr_daemon *d = p->d;
	int pair[2];

	p->child_died_ns = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		goto failed;
	d->child = fork();
	if (d->child == 0) {
		close(pair[0]);
		close(p->signals);
		mr_close_fd(&d->child_socket);
		d->child_socket = pair[1];
		_exit(mr_child_run(d, p->started));
	}
	close(pair[1]);
	if (d->child < 0) {
		close(pair[0]);
		goto failed;
	}
	mr_close_fd(&d->child_socket);
	d->child_socket = pair[0];
	mr_pulse_begin(&p->pulse, mr_now_ns());
	mr_rules_child_started(d);
	return;
failed:
	mr_error("child: cannot be started: %s", strerror(errno));
	d->child = 0;
	p->child_died_ns = mr_now_ns();
}

static void child_exited(struct parent *p, int status)
{
	p->d->child = 0;
	p->child_died_ns = mr_now_ns();
	mr_close_fd(&p->d->child_socket);
	mr_rules_child_ended(p->d);
	mr_error("control process ended, %s %d; lanes go on, it is started again",
		 WIFSIGNALED(status) ? "signal" : "exit status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (!p->started)
		p->error = mr_fail(p->d, -ECHILD, "the control process does not come up");
}

static void worker_exited(struct mr_daemon *d, uint32_t lane, int status)
{
	struct mr_lane *l = &d->lanes[lane];
	struct mr_note n = {
		.type = MR_NOTE_EXITED,
		.lane = lane,
		.pid = l->pid,
		.epoch = l->epoch,
		.status = status,
	};

	l->pid = 0;
	l->last_status = status;
	l->has_exited = true;
	mr_close_fd(&l->socket);
	mr_dynamic_close_lane(d, lane, mr_note_unlistened);
	mr_note_send(d, &n, -1);
	mr_leftovers_note(d);
	mr_estate_note(d);
}

/* Adopted workers are no children of ours: their ends show in their pidfds. */
static void watch_adopted(struct parent *p)
{
	struct mr_daemon *d = p->d;

	p->adopted = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; p->adopted >= 0 && i < d->n_lanes; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		if (d->lanes[i].adopted && d->lanes[i].pid > 0)
			epoll_ctl(p->adopted, EPOLL_CTL_ADD, d->lanes[i].pidfd, &e);
	}
}

static void adopted_ended(struct parent *p)
{
	struct epoll_event e;

	while (epoll_wait(p->adopted, &e, 1, 0) == 1) {
		const struct mr_lane *l = &p->d->lanes[e.data.u32];

		epoll_ctl(p->adopted, EPOLL_CTL_DEL, l->pidfd, NULL);
		worker_exited(p->d, e.data.u32, MR_STATUS_UNKNOWN);
	}
}

static void reap(struct parent *p)
{
	struct mr_daemon *d = p->d;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == d->child)
			child_exited(p, status);
		for (uint32_t i = 0; i < d->n_lanes; i++)
			if (d->lanes[i].pid == pid && !d->lanes[i].adopted)
				worker_exited(d, i, status);
	}
}

/* True: it is time to end. */
static bool read_signal(struct parent *p)
{
	struct signalfd_siginfo s;

	while (read(p->signals, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGCHLD) {
			reap(p);
		} else if (s.ssi_signo != SIGHUP) {
			p->d->handing_over = s.ssi_signo == SIGUSR2;
			mr_info("%s, signal %u",
				p->d->handing_over ? "leaving lanes to the next daemon"
						   : "stopping",
				s.ssi_signo);
			mr_service_stopping();
			return true;
		}
	}
	return false;
}

static void end_child(struct mr_daemon *d)
{
	struct mr_note n = { .type = MR_NOTE_STOPPING };

	mr_note_send(d, &n, -1);
	mr_close_fd(&d->child_socket); /* it ends by itself when it reads the end */
	for (int i = 0; d->child > 0 && i < 50; i++) {
		if (waitpid(d->child, NULL, WNOHANG) == d->child)
			d->child = 0;
		else
			poll(NULL, 0, 10);
	}
	if (d->child > 0) {
		kill(d->child, SIGKILL);
		waitpid(d->child, NULL, 0);
		d->child = 0;
	}
}

/* Until the next thing that is due; -1: there is none. */
static int wait_ms(const struct parent *p)
{
	int each[] = { p->watchdog_ms, p->beat_ms, p->child_died_ns ? CHILD_RESTART_MS : -1,
		       p->d->child > 0 ? MR_PULSE_LOOK_MS : -1 };
	int first = -1;

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
		if (each[i] >= 0 && (first < 0 || each[i] < first))
			first = each[i];
	return first;
}

/* One that inherits what has changed; lanes and clients that connect meanwhile wait for it. */
static void renew_child(struct parent *p)
{
	p->d->renew_child = false;
	end_child(p->d);
	mr_rules_child_ended(p->d);
	start_child(p);
}

/* What a child that stands still was asked, its clients ask again; lanes lose nothing. */
static void look_at_child(struct parent *p)
{
	struct mr_daemon *d = p->d;
	const char *why = d->child > 0 ? mr_pulse_look(&p->pulse, d->child, mr_now_ns()) : NULL;

	if (!why)
		return;
	mr_error("control process %d stands still, %s: another takes its place; lanes go on",
		 (int)d->child, why);
	kill(d->child, SIGKILL);
	renew_child(p);
}

static void serve(struct parent *p)
{
	while (!p->error) {
		struct pollfd fds[4] = {
			{ .fd = p->signals, .events = POLLIN },
			{ .fd = p->d->child_socket, .events = POLLIN },
			{ .fd = p->adopted, .events = POLLIN },
			{ .fd = p->d->keeper, .events = POLLIN },
		};

		poll(fds, 4, wait_ms(p));
		if (p->watchdog_ms >= 0)
			mr_service_alive();
		p->beat_ms = mr_queues_beat(p->d);
		if (fds[1].revents)
			read_requests(p);
		if (fds[2].revents)
			adopted_ended(p);
		if (fds[3].revents)
			mr_estate_keeper_spoke(p->d);
		if (p->d->renew_child)
			renew_child(p);
		look_at_child(p);
		if (fds[0].revents && read_signal(p))
			return;
		if (!p->error && p->child_died_ns &&
		    mr_now_ns() - p->child_died_ns >= CHILD_RESTART_MS * 1000000ull)
			start_child(p);
	}
}

int mr_parent_serve(struct mr_daemon *d, void (*started)(void *arg), void *arg)
{
	struct parent p = { .d = d, .on_started = started, .arg = arg };
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask); /* what mr_daemon_start() blocked */
	p.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p.signals < 0)
		return mr_fail(d, -errno, "signals: %s", strerror(errno));
	if (mr_pulse_make(&p.pulse) < 0) {
		close(p.signals);
		return mr_fail(d, -ENOMEM, "out of memory");
	}
	d->pulse = p.pulse.word;
	p.watchdog_ms = mr_service_watchdog_ms();
	p.beat_ms = mr_queues_beat(d);
	d->renew_child = false; /* none has been started yet */
	start_child(&p);
	watch_adopted(&p);
	serve(&p);
	end_child(d);
	mr_close_fd(&p.adopted);
	mr_pulse_free(&p.pulse);
	d->pulse = NULL;
	close(p.signals);
	return p.error;
}
