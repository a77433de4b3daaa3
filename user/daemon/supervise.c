/* SPDX-License-Identifier: MIT */
/* One ward a lane: its worker is started, listened to, and replaced when it ends or hangs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/api.h"
#include "user/daemon/beats.h"
#include "user/daemon/child.h"
#include "user/daemon/drain.h"
#include "user/daemon/log.h"
#include "user/daemon/paths.h"

enum {
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MOST_MS = 5000,
	STEADY_MS = 100, /* a worker that served so long is replaced at once */
	FRESH_AFTER = 2, /* starts in a row that failed: what the last worker left is the cause */
	START_MS = 10000,
	START_FAILURES = 3,
	BAD_LOGGED = 5,
	GRACES = 4, /* a start may take so many grace times between two heartbeats */
};

/* Any message that a worker may send. */
union message {
	struct mr_message head;
	struct mr_path_ask path_ask;
	struct mr_listen_ask listen_ask;
	struct mr_listener_message listener;
	struct mr_rules_answer rules;
	struct mr_rule_ended rule_ended;
};

static struct mr_lane *lane_of(struct mr_child *c, const struct mr_ward *w)
{
	return &c->d->lanes[w->lane];
}

static const char *name_of(struct mr_child *c, const struct mr_ward *w)
{
	static char name[IFNAMSIZ + 24];
	const struct mr_lane *l = lane_of(c, w);

	snprintf(name, sizeof(name), "%s queue %u", mr_lane_link(c->d, l)->name, l->index);
	return name;
}

const char *mr_exit_words(int status, char *out)
{
	if (status == MR_STATUS_UNKNOWN)
		snprintf(out, 48, "how is not known");
	else if (WIFSIGNALED(status))
		snprintf(out, 48, "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 125)
		snprintf(out, 48, "could not give up its privileges");
	else if (WEXITSTATUS(status) == 126)
		snprintf(out, 48, "its program cannot be run");
	else
		snprintf(out, 48, "exit status %d", WEXITSTATUS(status));
	return out;
}

static void set_state(struct mr_ward *w, enum mr_worker_state state)
{
	w->state = state;
	w->since_ns = mr_now_ns();
	w->waits_words = false;
}

static void forget_socket(struct mr_child *c, struct mr_ward *w)
{
	if (w->watch.fd < 0)
		return;
	mr_child_unwatch(c, &w->watch);
	mr_close_fd(&w->watch.fd);
}

static void ask_spawn(struct mr_child *c, struct mr_ward *w)
{
	struct mr_request q = { .type = MR_REQUEST_SPAWN,
				.lane = w->lane,
				.fresh = w->failures >= FRESH_AFTER };

	if (c->spawns_asked == MR_SPAWNS_AT_ONCE)
		return; /* the next tick tries again */
	c->spawns_asked++;
	set_state(w, MR_WORKER_ASKED);
	mr_child_ask(c, &q);
}

static void report_start(struct mr_child *c)
{
	struct mr_request q = { .type = MR_REQUEST_SERVING };

	if (c->start_reported)
		return;
	for (uint32_t i = 0; i < c->d->n_lanes; i++)
		if (c->wards[i].state != MR_WORKER_SERVING &&
		    c->wards[i].state != MR_WORKER_DRAINED && !c->d->lanes[i].absent)
			return;
	c->start_reported = true;
	mr_child_ask(c, &q);
}

static void report_failure(struct mr_child *c, const struct mr_ward *w, const char *why)
{
	struct mr_request q = { .type = MR_REQUEST_FAILED, .lane = w->lane };

	if (c->start_reported)
		return;
	snprintf(q.words, sizeof(q.words), "%s: worker does not come up: %s", name_of(c, w), why);
	mr_child_ask(c, &q);
}

static void worker_is_ready(struct mr_child *c, struct mr_ward *w)
{
	const struct mr_lane *l = lane_of(c, w);

	if (w->state != MR_WORKER_STARTING)
		return;
	w->ready = true;
	if (!l->bound)
		return; /* worker_bound() comes */
	set_state(w, MR_WORKER_SERVING);
	w->failures = 0;
	mr_info("%s: worker %d serves, epoch %u, %s%s%s", name_of(c, w), (int)l->pid, l->epoch,
		l->zero_copy ? "zero-copy" : "copy", l->bind_why[0] ? ", " : "", l->bind_why);
	mr_listeners_greet(c, w->lane);
	mr_guard_tell(c, w->lane);
	if (w->drain)
		mr_drain_tell(c, w->lane, MR_MSG_DRAIN);
	report_start(c);
	mr_api_restart_ready(c, w->lane);
}

/* Its rings are mapped: the socket may be bound. */
static void ask_bind(struct mr_child *c, struct mr_ward *w)
{
	struct mr_request q = { .type = MR_REQUEST_BIND, .lane = w->lane };

	if (w->state == MR_WORKER_STARTING && !lane_of(c, w)->bound)
		mr_child_ask(c, &q);
}

/* What the parent says of the bind; a worker whose socket cannot be bound it has killed. */
static void worker_bound(struct mr_child *c, struct mr_ward *w, const struct mr_note *n)
{
	struct mr_lane *l = lane_of(c, w);

	if (n->error) {
		mr_warn("%s", n->words);
		report_failure(c, w, n->words);
		return;
	}
	l->bound = true;
	l->zero_copy = n->cookie;
	snprintf(l->bind_why, sizeof(l->bind_why), "%.*s", MR_WORDS - 1, n->words);
	if (w->ready)
		worker_is_ready(c, w);
}

/* A worker that talks nonsense must not fill the log with it. */
static void complain(struct mr_child *c, struct mr_ward *w, const char *what, unsigned int number)
{
	if (w->bad++ < BAD_LOGGED)
		mr_warn("%s: worker %d: %s %u", name_of(c, w), (int)lane_of(c, w)->pid, what,
			number);
}

static bool has_length(const union message *m, size_t want)
{
	return m->head.bytes == want;
}

static void dispatch(struct mr_child *c, struct mr_ward *w, const union message *m)
{
	switch (m->head.type) {
	case MR_MSG_READY:
		worker_is_ready(c, w);
		return;
	case MR_MSG_MAPPED:
		ask_bind(c, w);
		return;
	case MR_MSG_PATH_ASK:
		if (has_length(m, sizeof(m->path_ask)))
			mr_paths_ask(c, w->lane, m->path_ask.remote);
		return;
	case MR_MSG_LISTEN_ASK:
		if (has_length(m, sizeof(m->listen_ask)))
			mr_listeners_ask(c, w->lane, &m->listen_ask);
		return;
	case MR_MSG_UNLISTEN:
		if (has_length(m, sizeof(m->listener)))
			mr_listeners_unlisten(c, w->lane, &m->listener);
		return;
	case MR_MSG_RULES_ANSWER:
		if (has_length(m, sizeof(m->rules)))
			mr_agree_answer(c, w, &m->rules);
		return;
	case MR_MSG_RULE_ENDED:
		if (has_length(m, sizeof(m->rule_ended)))
			mr_agree_rule_ended(c, w, &m->rule_ended);
		return;
	case MR_MSG_STOPPED:
		set_state(w, MR_WORKER_STOPPING);
		return;
	default:
		complain(c, w, "unknown message", m->head.type);
	}
}

/*
 * Its end, or an empty record, which looks the same: a worker that cannot be heard is of no use.
 * One that has ended is killed in vain; the parent tells how it ended.
 */
static void hang_up(struct mr_child *c, struct mr_ward *w)
{
	struct mr_request q = { .type = MR_REQUEST_KILL, .lane = w->lane };

	forget_socket(c, w);
	mr_child_ask(c, &q);
}

static void worker_speaks(struct mr_child *c, struct mr_watch *watch)
{
	struct mr_ward *w = (struct mr_ward *)watch;
	union message m;
	ssize_t n;

	/* A few at a time: a worker that never stops talking must not have all of our time. */
	for (int i = 0; i < 64; i++) {
		n = recv(w->watch.fd, &m, sizeof(m), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			hang_up(c, w);
			return;
		}
		if ((size_t)n < sizeof(m.head) || m.head.magic != MR_WORKER_MAGIC ||
		    m.head.bytes != n)
			complain(c, w, "malformed message, bytes", (unsigned int)n);
		else
			dispatch(c, w, &m);
	}
}

static void adopt_socket(struct mr_child *c, struct mr_ward *w, int fd)
{
	forget_socket(c, w);
	w->watch.fd = fd;
	if (fd >= 0 && mr_child_watch(c, &w->watch) < 0)
		mr_close_fd(&w->watch.fd);
}

/* At once when it served; slower and slower while they do not come up. */
static void plan_restart(struct mr_ward *w, uint64_t lived_ms)
{
	if (lived_ms >= STEADY_MS)
		w->backoff_ms = 0;
	w->next_try_ns = mr_now_ns() + w->backoff_ms * 1000000ull;
	w->backoff_ms = w->backoff_ms ? w->backoff_ms * 2 : BACKOFF_FIRST_MS;
	if (w->backoff_ms > BACKOFF_MOST_MS)
		w->backoff_ms = BACKOFF_MOST_MS;
}

/* So that ethtool may take it away, too. */
static void release_queue(struct mr_child *c, const struct mr_ward *w)
{
	struct mr_request q = { .type = MR_REQUEST_RELEASE, .lane = w->lane };

	lane_of(c, w)->drained = true;
	mr_child_ask(c, &q);
}

/* By the administrator, the kernel short of memory, a test: not by us, for its silence. */
static bool killed_by_others(const struct mr_ward *w, int status)
{
	return status != MR_STATUS_UNKNOWN && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
	       !w->killed;
}

/*
 * Is what the last worker left to be suspected? Not of one that somebody else killed, nor of one
 * whose socket was not bound yet: it has not looked at it.
 */
static bool start_has_failed(const struct mr_child *c, const struct mr_ward *w,
			     const struct mr_lane *l, int status)
{
	return !c->start_reported || (l->bound && !killed_by_others(w, status));
}

static void worker_ended(struct mr_child *c, struct mr_ward *w, const struct mr_note *n)
{
	struct mr_lane *l = lane_of(c, w);
	bool served = w->state == MR_WORKER_SERVING || w->state == MR_WORKER_STOPPING;
	uint64_t lived_ms = (mr_now_ns() - w->since_ns) / 1000000;
	char words[48];

	l->pid = 0;
	l->has_exited = true;
	l->last_status = n->status;
	forget_socket(c, w);
	mr_agree_forget(w);
	if (w->drain && w->state == MR_WORKER_STOPPING) {
		mr_drain_done(c, w);
		release_queue(c, w);
		set_state(w, MR_WORKER_DRAINED);
		return;
	}
	mr_exit_words(n->status, words);
	if (w->leaving) { /* it served, and did what it was asked */
		served = true;
		lived_ms = STEADY_MS;
		l->has_exited = false; /* no failure: another follows at once */
	}
	if (killed_by_others(w, n->status) && w->backoff_ms > BACKOFF_FIRST_MS)
		w->backoff_ms = BACKOFF_FIRST_MS; /* it would have come up */
	plan_restart(w, served ? lived_ms : 0);
	if (mr_lane_link(c->d, l)->gone) {
		mr_info("%s: worker %d ended with its interface", name_of(c, w), n->pid);
		set_state(w, MR_WORKER_DEAD);
		return;
	}
	if (w->leaving)
		mr_info("%s: worker %d left; another goes on", name_of(c, w), n->pid);
	else
		mr_warn("%s: worker %d ended, %s%s; starting another in %u ms", name_of(c, w),
			n->pid, words, w->killed ? ", after its silence" : "",
			(unsigned int)((w->next_try_ns - mr_now_ns() + 500000) / 1000000));
	if (!served && start_has_failed(c, w, l, n->status) && ++w->failures >= START_FAILURES)
		report_failure(c, w, words);
	w->killed = false;
	w->leaving = false;
	set_state(w, MR_WORKER_DEAD);
	if (mr_now_ns() >= w->next_try_ns) /* its connections wait */
		ask_spawn(c, w);
}

static void worker_spawned(struct mr_child *c, struct mr_ward *w, const struct mr_note *n, int fd)
{
	struct mr_lane *l = lane_of(c, w);

	if (n->error) {
		mr_warn("%s: worker cannot be started: %s", name_of(c, w), strerror(-n->error));
		report_failure(c, w, strerror(-n->error));
		plan_restart(w, 0);
		set_state(w, MR_WORKER_DEAD);
		mr_close_fd(&fd);
		return;
	}
	if (l->has_exited)
		l->restarts++;
	l->pid = n->pid;
	l->epoch = n->epoch;
	l->drained = false;
	l->bound = n->cookie;
	w->ready = false;
	w->bad = 0;
	adopt_socket(c, w, fd);
	set_state(w, MR_WORKER_STARTING);
}

void mr_supervise_note(struct mr_child *c, const struct mr_note *n, int fd)
{
	if (n->type == MR_NOTE_EXITED) {
		worker_ended(c, &c->wards[n->lane], n);
		return;
	}
	if (n->type == MR_NOTE_BOUND) {
		worker_bound(c, &c->wards[n->lane], n);
		return;
	}
	c->spawns_asked--;
	worker_spawned(c, &c->wards[n->lane], n, fd);
}

static void check_start(struct mr_child *c, struct mr_ward *w, uint64_t now)
{
	if (w->waits_words || now - w->since_ns < START_MS * 1000000ull)
		return;
	w->waits_words = true;
	mr_warn("%s: worker %d is not ready after %d s", name_of(c, w), (int)lane_of(c, w)->pid,
		START_MS / 1000);
	report_failure(c, w, "not ready in time");
}

void mr_supervise_tick(struct mr_child *c, uint64_t now)
{
	for (uint32_t i = 0; i < c->d->n_lanes; i++) {
		struct mr_ward *w = &c->wards[i];

		switch (w->state) {
		case MR_WORKER_DEAD:
			if (now >= w->next_try_ns && !lane_of(c, w)->absent &&
			    !mr_lane_link(c->d, lane_of(c, w))->gone)
				ask_spawn(c, w);
			break;
		case MR_WORKER_STARTING:
			check_start(c, w, now);
			mr_beats_look(c, w, GRACES * c->d->settings.grace_ms, now);
			break;
		case MR_WORKER_SERVING:
			mr_drain_tick(c, w, now);
			mr_beats_look(c, w, c->d->settings.grace_ms, now);
			break;
		case MR_WORKER_STOPPING:
			mr_beats_look(c, w, c->d->settings.grace_ms, now);
			break;
		case MR_WORKER_ASKED:
		case MR_WORKER_DRAINED:
			break;
		}
	}
}

int mr_supervise_init(struct mr_child *c)
{
	c->wards = calloc(c->d->n_lanes, sizeof(*c->wards));
	if (!c->wards)
		return -ENOMEM;
	memcpy(c->dynamic, c->d->dynamic, sizeof(c->dynamic));
	for (uint32_t i = 0; i < c->d->n_lanes; i++) {
		struct mr_ward *w = &c->wards[i];
		struct mr_lane *l = &c->d->lanes[i];

		w->watch = (struct mr_watch){ -1, worker_speaks };
		w->lane = i;
		if (l->pid > 0) {
			/* Ours before our restart; whether it was ready, its beats will show. */
			adopt_socket(c, w, l->socket);
			set_state(w, MR_WORKER_SERVING);
			mr_guard_tell(c, i); /* the configuration may be another */
			if (!l->bound)
				hang_up(c, w); /* its word that it waits for that is lost */
		} else if (l->drained && l->drain) {
			set_state(w, MR_WORKER_DRAINED);
		}
		mr_drain_go_on(c, w);
		l->socket = -1;
	}
	report_start(c); /* of lanes that ran before the daemon, it may be complete */
	return 0;
}

void mr_ward_send(struct mr_child *c, uint32_t lane, const void *message, size_t bytes)
{
	struct mr_ward *w = &c->wards[lane];

	if (w->watch.fd >= 0 &&
	    send(w->watch.fd, message, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
		complain(c, w, "a message to it is lost, errno", (unsigned int)errno);
}
