/* SPDX-License-Identifier: MIT */
/* The parent's side of request.h: each request is checked before anything is done for it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "user/daemon/bonds.h"
#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/guard.h"
#include "user/daemon/guard_keep.h"
#include "user/daemon/lanes.h"
#include "user/daemon/links.h"
#include "user/daemon/log.h"
#include "user/daemon/neighbour.h"
#include "user/daemon/queues.h"
#include "user/daemon/recover.h"
#include "user/daemon/request.h"
#include "user/daemon/rule_change.h"
#include "user/daemon/run_directory.h"

enum {
	CHILD_READS_MS = 1000,
};

void mr_note_send(struct mr_daemon *d, const struct mr_note *n, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)n, sizeof(*n) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd room = { .fd = d->child_socket, .events = POLLOUT };

	if (d->child_socket < 0)
		return;
	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	/* A child that does not read is of no use: it is replaced. */
	if (sendmsg(d->child_socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*n))
		return;
	if (errno == EAGAIN && poll(&room, 1, CHILD_READS_MS) == 1 &&
	    sendmsg(d->child_socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*n))
		return;
	if (d->child > 0)
		kill(d->child, SIGKILL);
}

/* The XDP program has given its connections to the kernel, which resets them: they are no more. */
static bool is_gone(const struct mr_daemon *d, const struct mr_lane *l)
{
	uint64_t beat = __atomic_load_n(&d->bpf.beats[l->slot].beat_ns, __ATOMIC_RELAXED);
	uint64_t now = mr_now_ns();

	return beat && now > beat && now - beat > d->settings.grace_ms * 1000000ull;
}

static void request_spawn(struct mr_daemon *d, const struct mr_request *q)
{
	struct mr_lane *l = &d->lanes[q->lane];
	struct mr_note n = { .type = MR_NOTE_SPAWNED, .lane = q->lane };

	l->fresh = q->fresh || l->other_rules || is_gone(d, l);
	l->other_rules = false;
	if (l->fresh && !l->pid)
		mr_lane_header_restore(l);
	d->error[0] = '\0';
	if (l->drained && l->pid == 0 && !mr_lane_link(d, l)->gone)
		n.error = mr_lane_rebind(d, l);
	if (n.error)
		mr_warn("%s", d->error);
	d->error[0] = '\0';
	if (!n.error)
		n.error = mr_worker_spawn(d, l);
	if (!n.error) {
		n.pid = l->pid;
		n.epoch = l->epoch;
		if (l->has_exited)
			l->restarts++;
		mr_leftovers_note(d);
	}
	mr_note_send(d, &n, n.error ? -1 : l->socket);
}

static void request_kill(struct mr_daemon *d, const struct mr_request *q)
{
	mr_worker_kill(&d->lanes[q->lane]);
}

static void request_drain(struct mr_daemon *d, const struct mr_request *q)
{
	d->lanes[q->lane].drain = q->drain;
	d->lanes[q->lane].drain_until_ns = q->drain ? q->cookie : 0;
	mr_estate_note(d);
}

static const struct mr_link *link_of(const struct mr_daemon *d, uint32_t ifindex)
{
	for (uint32_t i = 0; i < d->n_links; i++)
		if (d->links[i].ifindex == ifindex)
			return &d->links[i];
	return NULL;
}

static void request_local(struct mr_daemon *d, const struct mr_request *q)
{
	const struct mr_link *l = link_of(d, q->ifindex);
	bool add = q->type == MR_REQUEST_LOCAL_ADD;

	if (l && mr_links_has_address(q->addr, l) == add)
		mr_bpf_local(d, q->addr, q->ifindex, add);
}

static void request_neighbour(struct mr_daemon *d, const struct mr_request *q)
{
	if (mr_neighbour_allowed(d, q->ifindex, q->addr))
		mr_neighbour_resolve(q->ifindex, q->addr);
}

static bool has_drill(const struct mr_daemon *d)
{
	for (unsigned int i = 0; i < d->settings.n_rules; i++)
		if (d->settings.rules[i].lane.state != MR_RULE_FREE &&
		    !strcmp(d->settings.rules[i].lane.app, "drill"))
			return true;
	return false;
}

static void request_listen(struct mr_daemon *d, const struct mr_request *q)
{
	struct mr_note n = {
		.type = MR_NOTE_LISTENING, .lane = q->lane, .cookie = q->cookie, .port = q->port
	};

	memcpy(n.addr, q->addr, sizeof(n.addr));
	if (!has_drill(d) || q->port < 1024)
		n.error = -EACCES;
	else if (!mr_links_has_address(q->addr, NULL))
		n.error = -EADDRNOTAVAIL;
	else
		n.error = mr_dynamic_open(d, q->lane, q->addr, q->port, &n.rule_id);
	n.generation = d->bpf.generation.number;
	mr_note_send(d, &n, -1);
}

void mr_note_unlistened(struct mr_daemon *d, const struct mr_dynamic *y)
{
	struct mr_note n = {
		.type = MR_NOTE_UNLISTENED,
		.lane = y->lane,
		.port = y->port,
		.rule_id = y->rule_id,
		.generation = d->bpf.generation.number,
	};

	memcpy(n.addr, y->addr, sizeof(n.addr));
	mr_note_send(d, &n, -1);
}

static void request_unlisten(struct mr_daemon *d, const struct mr_request *q)
{
	struct mr_dynamic y = { .lane = q->lane, .port = q->port };

	memcpy(y.addr, q->addr, sizeof(y.addr));
	if (mr_dynamic_close(d, q->lane, q->addr, q->port) == 0)
		mr_note_unlistened(d, &y);
}

static void request_program(struct mr_daemon *d, const struct mr_request *q)
{
	struct mr_note n = { .type = MR_NOTE_PROGRAM };

	if (q->type == MR_REQUEST_UPGRADE)
		n.error = mr_programs_upgrade(d, q->words, n.words, sizeof(n.words));
	else
		n.error = mr_programs_rollback(d, n.words, sizeof(n.words));
	if (n.error)
		mr_warn("XDP program stays as it is: %s", n.words);
	mr_note_send(d, &n, -1);
}

static void request_probe(struct mr_daemon *d, const struct mr_request *q)
{
	struct mr_note n = { .type = MR_NOTE_PROBED, .lane = q->lane };

	n.error = mr_worker_probe(d, &d->lanes[q->lane], n.words, sizeof(n.words));
	mr_note_send(d, &n, -1);
}

bool mr_requests_read(int socket, void (*serve)(void *arg, struct mr_request *q), void *arg)
{
	struct mr_request q;

	for (int i = 0; i < MR_REQUESTS_A_TURN; i++) {
		ssize_t n = recv(socket, &q, sizeof(q), MSG_DONTWAIT | MSG_TRUNC);

		if (n <= 0)
			return n < 0;
		if (n == sizeof(q))
			serve(arg, &q);
	}
	return true;
}

static void request_rules(struct mr_daemon *d)
{
	struct mr_note n = { .type = MR_NOTE_RULES };
	struct mr_ruleset live;

	n.error = mr_ruleset_take(d->rules_room, &d->settings, false, &live);
	if (n.error) {
		mr_warn("rules: a change was refused: %s", strerror(-n.error));
		mr_note_send(d, &n, -1);
		return;
	}
	live.file = d->settings.rules_in_file;
	live.last_filter = d->settings.last_filter;
	mr_rules_change(d, &live);
}

static void request_guard(struct mr_daemon *d)
{
	struct mr_note n = { .type = MR_NOTE_GUARD };
	struct mr_guard_changes *g = calloc(1, sizeof(*g));

	n.error = g ? mr_guard_take(d, g) : -ENOMEM;
	if (!n.error)
		n.error = mr_guard_apply(d, g);
	if (n.error)
		mr_warn("guard: a change was refused: %s", strerror(-n.error));
	if (g)
		mr_guard_changes_free(g);
	free(g);
	n.generation = d->bpf.generation.number;
	mr_note_send(d, &n, -1);
}

void mr_request_serve(struct mr_daemon *d, const struct mr_request *q)
{
	switch ((enum mr_request_type)q->type) {
	case MR_REQUEST_SPAWN:
		request_spawn(d, q);
		return;
	case MR_REQUEST_KILL:
		request_kill(d, q);
		return;
	case MR_REQUEST_PROBE:
		request_probe(d, q);
		return;
	case MR_REQUEST_LOCAL_ADD:
	case MR_REQUEST_LOCAL_DELETE:
		request_local(d, q);
		return;
	case MR_REQUEST_NEIGHBOUR:
		request_neighbour(d, q);
		return;
	case MR_REQUEST_LISTEN:
		request_listen(d, q);
		return;
	case MR_REQUEST_UNLISTEN:
		request_unlisten(d, q);
		return;
	case MR_REQUEST_UPGRADE:
	case MR_REQUEST_ROLLBACK:
		request_program(d, q);
		return;
	case MR_REQUEST_LINK_GONE:
		mr_link_leave(d, mr_lane_link(d, &d->lanes[q->lane]));
		return;
	case MR_REQUEST_LINK_BACK:
		mr_link_take_again(d, mr_lane_link(d, &d->lanes[q->lane]));
		return;
	case MR_REQUEST_RULES:
		request_rules(d);
		return;
	case MR_REQUEST_QUEUES:
		mr_queues_look(d, mr_lane_link(d, &d->lanes[q->lane]));
		return;
	case MR_REQUEST_BONDS:
		mr_bonds_look(d);
		return;
	case MR_REQUEST_DRAIN:
		request_drain(d, q);
		return;
	case MR_REQUEST_RELEASE:
		mr_queues_release(d, &d->lanes[q->lane]);
		return;
	case MR_REQUEST_GUARD:
		request_guard(d);
		return;
	case MR_REQUEST_RULES_AGREED:
		mr_rules_agreed(d);
		return;
	case MR_REQUEST_RULES_REFUSED:
		mr_rules_refused(d, q->words);
		return;
	case MR_REQUEST_RULES_ENDED:
		mr_rules_ended(d);
		return;
	case MR_REQUEST_SERVING:
	case MR_REQUEST_FAILED:
		return; /* parent.c */
	}
	mr_warn("request %u of the child: unknown; it is replaced", q->type);
	if (d->child > 0)
		kill(d->child, SIGKILL);
}
