/* SPDX-License-Identifier: MIT */
/* Messages between a lane and the daemon after the first (shared/mr_worker.h). */
#include "user/worker/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union message {
	struct mr_message head;
	struct mr_path_answer path;
	struct mr_listen_answer listen;
	struct mr_listener_message listener;
	struct mr_syn_message syn;
	struct mr_rules_message rules;
	struct mr_capture_message capture;
};

static int send_now(struct worker *w, void *message, uint16_t type, uint16_t bytes)
{
	struct mr_message *head = message;

	*head = (struct mr_message){ MR_WORKER_MAGIC, type, bytes };
	if (w->control < 0)
		return -ENOTCONN;
	return send(w->control, message, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void worker_send(struct worker *w, void *message, uint16_t type, uint16_t bytes)
{
	int error = send_now(w, message, type, bytes);

	if (error < 0)
		worker_say(w, "message %u to millraced: %s", type, strerror(-error));
}

/* ----- what the lane asks ----- */

static int ask_path(void *arg, const uint8_t remote[16])
{
	struct mr_path_ask ask = { 0 };

	memcpy(ask.remote, remote, 16);
	return send_now(arg, &ask, MR_MSG_PATH_ASK, sizeof(ask));
}

static int ask_listen(void *arg, uint64_t cookie, const uint8_t addr[16], uint16_t port)
{
	struct mr_listen_ask ask = { .cookie = cookie, .port = port };

	memcpy(ask.addr, addr, 16);
	return send_now(arg, &ask, MR_MSG_LISTEN_ASK, sizeof(ask));
}

static int ask_unlisten(void *arg, const uint8_t addr[16], uint16_t port)
{
	struct worker *w = arg;
	struct mr_listener_message m = { .port = port, .lane = (uint16_t)w->hello.lane };

	memcpy(m.addr, addr, 16);
	return send_now(w, &m, MR_MSG_UNLISTEN, sizeof(m));
}

static int tell_rule_ended(void *arg, uint32_t rule_id)
{
	struct worker *w = arg;
	struct mr_rule_ended m = { .serial = w->rules_serial, .rule_id = rule_id };

	return send_now(w, &m, MR_MSG_RULE_ENDED, sizeof(m));
}

const struct mr_lane_asks worker_asks = {
	.path = ask_path,
	.listen = ask_listen,
	.unlisten = ask_unlisten,
	.rule_ended = tell_rule_ended,
};

/* ----- what the daemon says ----- */

static bool has_size(const union message *m, size_t n, size_t want)
{
	return n == want && m->head.bytes == want;
}

/* 0 or -errno, as whoever asked may negate it. */
static int errno_of(int32_t error)
{
	return error > 0 || error < -4095 ? -EPROTO : error;
}

static void obey(struct worker *w, const union message *m, size_t n, int fd)
{
	switch (m->head.type) {
	case MR_MSG_PATH_ANSWER:
		if (has_size(m, n, sizeof(m->path)))
			mr_lane_path_answer(w->lane, m->path.remote, m->path.index);
		return;
	case MR_MSG_LISTEN_ANSWER:
		if (has_size(m, n, sizeof(m->listen)))
			mr_lane_listen_answer(w->lane, m->listen.cookie, errno_of(m->listen.error));
		return;
	case MR_MSG_LISTENER:
	case MR_MSG_UNLISTENER:
		if (has_size(m, n, sizeof(m->listener)))
			mr_lane_listener(w->lane, m->listener.addr, m->listener.port,
					 m->listener.lane, m->head.type == MR_MSG_LISTENER);
		return;
	case MR_MSG_LEAVE:
		w->leave = true;
		w->stop = true;
		return;
	case MR_MSG_DRAIN:
	case MR_MSG_RESUME:
		mr_lane_drain(w->lane, m->head.type == MR_MSG_DRAIN);
		return;
	case MR_MSG_SYN:
		if (has_size(m, n, sizeof(m->syn)))
			mr_lane_syn(w->lane, m->syn.answers == MR_SYN_ANSWERS_ON, m->syn.at_percent,
				    m->syn.calm_s);
		return;
	case MR_MSG_RULES:
		if (has_size(m, n, sizeof(m->rules)))
			worker_rules(w, m->rules.serial, fd);
		return;
	case MR_MSG_CAPTURE:
		if (has_size(m, n, sizeof(m->capture)))
			mr_lane_capture(w->lane, m->capture.until_ns, m->capture.copy_bytes);
		return;
	case MR_MSG_STOP:
		w->stop = true;
		return;
	default:
		worker_say(w, "message %u of millraced not known, %zu bytes", m->head.type, n);
		return;
	}
}

/* A record, and the one descriptor that may come with it, or -1; more than one are not let in. */
static ssize_t receive(int from, union message *m, int *fd)
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
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return n;
}

void worker_control(struct worker *w)
{
	union message m;
	ssize_t n;
	int fd;

	while (w->control >= 0) {
		n = receive(w->control, &m, &fd);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			worker_say(w, "millraced is gone; the lane goes on serving");
			close(w->control);
			w->control = -1;
			return;
		}
		if ((size_t)n >= sizeof(m.head) && m.head.magic == MR_WORKER_MAGIC)
			obey(w, &m, (size_t)n, fd);
		if (fd >= 0)
			close(fd);
	}
}
