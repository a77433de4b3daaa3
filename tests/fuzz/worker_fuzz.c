/* SPDX-License-Identifier: MIT */
/*
 * What a worker reads from its socket: the first message with its descriptors, and later ones of
 * any type and length, while its lane has connections that wait for paths and listeners.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/play.h"
#include "user/worker/worker.h"

enum {
	FDS_MAX = 8,
	TYPES = MR_MSG_MAPPED + 1,
};

/* In place of main.c's: what a worker says of bad messages is for its own log. */
void worker_say(const struct worker *w, const char *format, ...)
{
	char line[512];
	va_list args;

	(void)w;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
}

static void make_pair(int pair[2])
{
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

/* ----- HELLO ----- */

static void send_with_fds(int to, const void *bytes, size_t len, unsigned int n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *c;
		int fds[FDS_MAX];

		for (unsigned int i = 0; i < n_fds; i++)
			fds[i] = to;
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	FUZZ_CHECK(sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len);
}

/* A good HELLO with some bytes changed, cut or lengthened, and a number of descriptors. */
static void hello(struct fuzz_in *in)
{
	static struct worker w;
	uint8_t bytes[sizeof(struct mr_hello) + 8] = { 0 };
	struct mr_hello h = {
		.head = { MR_WORKER_MAGIC, MR_MSG_HELLO, sizeof(h) },
		.version = MR_WORKER_VERSION,
		.n_lanes = 2,
		.epoch = 1,
	};
	unsigned int n_fds = fuzz_u8(in) % (FDS_MAX + 1), changes = fuzz_u8(in) % 16;
	size_t len = sizeof(h);
	int pair[2], top;

	memcpy(bytes, &h, sizeof(h));
	memset(bytes + offsetof(struct mr_hello, fds), 1, n_fds);
	if (changes & 1)
		len = fuzz_u8(in) + 1u;
	while (changes-- && in->len) {
		size_t at = fuzz_u8(in);

		bytes[at % sizeof(h)] = fuzz_u8(in);
	}
	len = len < sizeof(bytes) ? len : sizeof(bytes);
	make_pair(pair);
	top = pair[1] > pair[0] ? pair[1] : pair[0];
	memset(&w, 0, sizeof(w));
	w.control = pair[0];
	send_with_fds(pair[1], bytes, len, n_fds);
	if (worker_receive_hello(&w) == 0) {
		unsigned int placed = 0;

		FUZZ_CHECK(w.hello.lane < w.hello.n_lanes && w.hello.n_lanes <= MR_MAX_LANES);
		for (int i = 0; i < MR_HELLO_FD_COUNT; i++)
			placed += w.fd[i] >= 0;
		FUZZ_CHECK(placed == n_fds);
	}
	close(pair[0]);
	close(pair[1]);
	close_range((unsigned int)top + 1, ~0u, 0);
}

/* ----- later messages ----- */

/* Something waits for an answer: a listener's client wants a port, the lane opens connections. */
static void make_waiters(struct net *n)
{
	static const uint8_t program[] = {
		0,
		0,
		3,
		PLAY_DRILL - PLAY_ECHO, /* a SYN to drill, and its ACK */
		129,
		0,
		7,
		'B',
		' ',
		'7',
		'1',
		'0',
		'0',
		'\n', /* B 7100 */
		8,
		2,
		PLAY_ECHO_BYTES - PLAY_ECHO | 128, /* a connection whose path is not known */
		8,
		3,
		PLAY_SINK - PLAY_ECHO, /* and one whose path is */
	};
	struct fuzz_in in = { program, sizeof(program) };

	while (play_instruction(n, &in))
		;
}

/* A configuration whose rules are the net's with some bytes changed, cut or not, sealed or not. */
static int rules_memfd(const struct net *n, struct fuzz_in *in)
{
	static const uint16_t ports[] = { 7000, 7100, 7000, 80 };
	struct mr_lane_config c = n->config;
	struct mr_lane_rule rule[NET_RULES];
	uint8_t how = fuzz_u8(in), changes = fuzz_u8(in) % 8;
	int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0);
	memcpy(rule, n->rule, sizeof(rule));
	rule[fuzz_u8(in) % c.n_rules].state = how % 4;
	rule[fuzz_u8(in) % c.n_rules].port = ports[how >> 6];
	if (how & 4 && c.n_rules < NET_RULES) {
		rule[c.n_rules] = rule[how % c.n_rules];
		rule[c.n_rules++].port = 7100;
	}
	while (changes--) {
		size_t at = fuzz_u16(in) % sizeof(rule);

		((uint8_t *)rule)[at] = fuzz_u8(in);
	}
	c.n_prefixes = how & 8 ? fuzz_u32(in) : 0;
	c.n_rules = how & 16 ? fuzz_u32(in) : c.n_rules;
	c.version = MR_WORKER_VERSION;
	FUZZ_CHECK(write(fd, &c, sizeof(c)) == sizeof(c));
	FUZZ_CHECK(write(fd, rule, sizeof(rule)) == sizeof(rule));
	if (how & 32)
		FUZZ_CHECK(!ftruncate(fd, fuzz_u16(in)));
	if (fuzz_u8(in) & 7)
		FUZZ_CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE));
	return fd;
}

static void send_rules(int to, const struct net *n, struct fuzz_in *in)
{
	struct mr_rules_message m = { .head = { MR_WORKER_MAGIC, MR_MSG_RULES, sizeof(m) } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fd = rules_memfd(n, in);

	m.serial = fuzz_u32(in);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		FUZZ_CHECK(errno == EAGAIN);
	close(fd);
}

/* What the worker says of rules: whole answers, in words that end. */
static void hear(int from)
{
	struct mr_rules_answer a;
	ssize_t n;

	while ((n = recv(from, &a, sizeof(a), MSG_DONTWAIT)) > 0)
		if (a.head.type == MR_MSG_RULES_ANSWER)
			FUZZ_CHECK(n == sizeof(a) && memchr(a.words, 0, sizeof(a.words)) &&
				   !a.error == !a.words[0]);
}

static void send_message(int to, const struct net *n, struct fuzz_in *in)
{
	union {
		struct mr_message head;
		struct mr_path_answer path;
		struct mr_listen_answer listen;
		struct mr_listener_message listener;
		uint8_t bytes[600];
	} m = { .head = { MR_WORKER_MAGIC, fuzz_u8(in) % TYPES, 0 } };
	uint8_t how = fuzz_u8(in);
	size_t len = sizeof(m.head), got;
	const uint8_t *body;

	if (m.head.type == MR_MSG_PATH_ANSWER)
		len = sizeof(m.path);
	else if (m.head.type == MR_MSG_LISTEN_ANSWER)
		len = sizeof(m.listen);
	else if (m.head.type == MR_MSG_LISTENER || m.head.type == MR_MSG_UNLISTENER)
		len = sizeof(m.listener);
	m.head.bytes = (uint16_t)len;
	body = fuzz_take(in, len - sizeof(m.head), &got);
	if (got)
		memcpy(m.bytes + sizeof(m.head), body, got);
	if (how & 1 && m.head.type == MR_MSG_PATH_ANSWER)
		memcpy(m.path.remote, n->asked, 16);
	if (how & 1 && m.head.type == MR_MSG_LISTEN_ANSWER)
		m.listen.cookie = n->cookie;
	if (how & 2)
		len = 1 + fuzz_u16(in) % sizeof(m.bytes);
	if (how & 4)
		m.head.bytes = fuzz_u16(in);
	if (how & 8)
		m.head.magic = fuzz_u32(in);
	if (send(to, &m, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		FUZZ_CHECK(errno == EAGAIN);
}

static void messages(struct fuzz_in *in)
{
	static struct net n;
	struct worker w = { .fd = { 0 } };
	int pair[2];

	play_open(&n, in, 1);
	make_waiters(&n);
	make_pair(pair);
	w.control = pair[0];
	w.lane = n.lane;
	while (in->len) {
		uint8_t how = fuzz_u8(in);

		if (how & 1)
			play_instruction(&n, in);
		else if (how & 2)
			send_rules(pair[1], &n, in);
		else
			send_message(pair[1], &n, in);
		worker_control(&w);
		hear(pair[1]);
		FUZZ_CHECK(w.control == pair[0]);
		net_turns(&n);
	}
	close(pair[1]);
	worker_control(&w);
	FUZZ_CHECK(w.control == -1);
	play_close(&n);
	if (w.rules)
		munmap((void *)(uintptr_t)w.rules, w.rules_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };

	if (fuzz_u8(&in) & 1)
		hello(&in);
	else
		messages(&in);
	return 0;
}
