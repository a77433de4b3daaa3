/* SPDX-License-Identifier: MIT */
/*
 * Two chains of the daemon. What workers say to the unprivileged child goes on as requests to the
 * privileged parent, whose notes come back and become messages to the workers; and requests that a
 * hostile child makes itself go straight to the parent. What the parent would do to the machine is
 * wrapped by the linker: here it is only asked whether it may.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/control.h"
#include "tests/fuzz/fuzz.h"
#include "user/daemon/log.h"
#include "user/daemon/request.h"
#include "user/daemon/ruleset.h"

enum {
	WORKER_PID = 1 << 30, /* beyond any that exists */
	PUMPS_MAX = 200,
};

static struct control *k;
static int worker[CONTROL_LANES]; /* the workers' ends */

/* ----- instead of what would change the machine ----- */

int __wrap_kill(pid_t pid, int signal);
int __wrap_mr_worker_spawn(struct mr_daemon *d, struct mr_lane *l);
int __wrap_mr_bpf_local(struct mr_daemon *d, const uint8_t addr[16], uint32_t ifindex, bool add);
bool __wrap_mr_links_has_address(const uint8_t addr[16], uint32_t ifindex);
int __wrap_mr_dynamic_open(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16],
			   uint16_t port, uint16_t *rule_id);
int __wrap_mr_dynamic_close(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16],
			    uint16_t port);
void __wrap_mr_leftovers_note(struct mr_daemon *d);
void __wrap_mr_paths_ask(struct mr_child *c, uint32_t lane, const uint8_t remote[16]);
bool __wrap_mr_neighbour_allowed(const struct mr_daemon *d, uint32_t ifindex,
				 const uint8_t addr[16]);
int __wrap_mr_neighbour_resolve(uint32_t ifindex, const uint8_t addr[16]);
void __wrap_mr_log(enum mr_log_level level, const char *fmt, ...);

int __wrap_kill(pid_t pid, int signal)
{
	FUZZ_CHECK(signal == SIGKILL && (pid == WORKER_PID || pid == WORKER_PID + 1));
	return 0;
}

int __wrap_mr_worker_spawn(struct mr_daemon *d, struct mr_lane *l)
{
	FUZZ_CHECK(l >= d->lanes && l < d->lanes + d->n_lanes);
	if (l->pid > 0)
		return -EBUSY;
	return -EAGAIN;
}

int __wrap_mr_bpf_local(struct mr_daemon *d, const uint8_t addr[16], uint32_t ifindex, bool add)
{
	(void)addr, (void)add;
	FUZZ_CHECK(ifindex == d->links[0].ifindex);
	return 0;
}

bool __wrap_mr_links_has_address(const uint8_t addr[16], uint32_t ifindex)
{
	(void)ifindex;
	return addr[0] & 1;
}

/* Never below 1024, never an address that is not ours. */
int __wrap_mr_dynamic_open(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16],
			   uint16_t port, uint16_t *rule_id)
{
	FUZZ_CHECK(lane < d->n_lanes && port >= 1024 && addr[0] & 1);
	*rule_id = MR_MAX_RULES - 1;
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (y->used && y->port == port)
			return -EADDRINUSE;
		if (y->used)
			continue;
		*y = (struct mr_dynamic){ .used = true, .lane = lane, .port = port };
		memcpy(y->addr, addr, sizeof(y->addr));
		return 0;
	}
	return -ENOSPC;
}

int __wrap_mr_dynamic_close(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16],
			    uint16_t port)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (y->used && y->lane == lane && y->port == port && !memcmp(y->addr, addr, 16)) {
			y->used = false;
			return 0;
		}
	}
	return -ENOENT;
}

void __wrap_mr_leftovers_note(struct mr_daemon *d)
{
	(void)d;
}

void __wrap_mr_paths_ask(struct mr_child *c, uint32_t lane, const uint8_t remote[16])
{
	FUZZ_CHECK(lane < c->d->n_lanes && (volatile uint8_t)remote[15] + 1 > 0);
}

bool __wrap_mr_neighbour_allowed(const struct mr_daemon *d, uint32_t ifindex,
				 const uint8_t addr[16])
{
	return ifindex == d->links[0].ifindex && addr[0] & 1;
}

int __wrap_mr_neighbour_resolve(uint32_t ifindex, const uint8_t addr[16])
{
	FUZZ_CHECK(ifindex == k->link.ifindex && addr[0] & 1);
	return 0;
}

void __wrap_mr_log(enum mr_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
}

/* ----- the processes ----- */

static void make_pair(int *a, int *b)
{
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
	*a = pair[0];
	*b = pair[1];
}

static void start(void)
{
	static struct mr_rules_room *room;

	k = malloc(sizeof(*k));
	FUZZ_CHECK(k);
	control_init(k);
	k->link.ifindex = 3;
	if (!room)
		FUZZ_CHECK(!mr_ruleset_room(&k->d));
	room = k->d.rules_room = room ? room : k->d.rules_room;
	k->d.rules_shown = room + 1;
	for (uint32_t i = 0; i < CONTROL_LANES; i++) {
		k->lanes[i].pid = WORKER_PID + (pid_t)i;
		make_pair(&k->lanes[i].socket, &worker[i]);
	}
	memset(k->d.dynamic, 0, sizeof(k->d.dynamic));
	k->c.epoll = epoll_create1(EPOLL_CLOEXEC);
	FUZZ_CHECK(k->c.epoll >= 0);
	make_pair(&k->c.parent.fd, &k->d.child_socket);
	k->c.wards = NULL;
	FUZZ_CHECK(!mr_supervise_init(&k->c));
	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		k->c.wards[i].state = MR_WORKER_STARTING;
}

static void stop(void)
{
	for (uint32_t i = 0; i < CONTROL_LANES; i++) {
		mr_close_fd(&k->c.wards[i].watch.fd);
		mr_close_fd(&worker[i]);
		mr_arena_unmap(&k->arena[i]);
		mr_close_fd(&k->lanes[i].arena_reader);
	}
	mr_close_fd(&k->c.parent.fd);
	mr_close_fd(&k->d.child_socket);
	mr_close_fd(&k->c.epoll);
	free(k->c.wards);
	free(k);
	k = NULL;
}

/* As parent.c does before it serves one. */
static bool parent_reads(void)
{
	struct mr_request q;

	if (recv(k->d.child_socket, &q, sizeof(q), MSG_DONTWAIT) != sizeof(q))
		return false;
	if (q.lane < k->d.n_lanes && q.type != MR_REQUEST_SERVING && q.type != MR_REQUEST_FAILED)
		mr_request_serve(&k->d, &q);
	return true;
}

/* As child.c does with what the parent says. */
static bool child_reads(void)
{
	struct mr_note n;

	if (recv(k->c.parent.fd, &n, sizeof(n), MSG_DONTWAIT) != sizeof(n))
		return false;
	FUZZ_CHECK(n.lane < k->d.n_lanes);
	if (n.type == MR_NOTE_RULES)
		mr_agree_over(&k->c);
	if (n.type == MR_NOTE_LISTENING || n.type == MR_NOTE_UNLISTENED)
		mr_listeners_note(&k->c, &n);
	return true;
}

static void workers_read(void)
{
	struct mr_listener_message m;

	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		while (recv(worker[i], &m, sizeof(m), MSG_DONTWAIT) > 0)
			FUZZ_CHECK(m.head.magic == MR_WORKER_MAGIC);
}

/* @honest: the requests are the child's own, and its notes are answers to them */
static void pump(bool honest)
{
	for (int i = 0; i < PUMPS_MAX; i++) {
		bool parent = parent_reads();
		bool child = honest && child_reads();
		struct mr_note n;

		workers_read();
		while (!honest && recv(k->c.parent.fd, &n, sizeof(n), MSG_DONTWAIT) > 0)
			FUZZ_CHECK(n.lane < k->d.n_lanes);
		if (!parent && !child)
			return;
	}
}

/* ----- what is said ----- */

static void worker_says(uint32_t lane, struct fuzz_in *in)
{
	union {
		struct mr_message head;
		uint8_t bytes[600];
	} m = { .head = { MR_WORKER_MAGIC, fuzz_u8(in) % (MR_MSG_MAPPED + 2), 0 } };
	uint8_t how = fuzz_u8(in);
	size_t len = sizeof(m.head), got;
	const uint8_t *body;

	if (m.head.type == MR_MSG_PATH_ASK)
		len = sizeof(struct mr_path_ask);
	else if (m.head.type == MR_MSG_LISTEN_ASK)
		len = sizeof(struct mr_listen_ask);
	else if (m.head.type == MR_MSG_UNLISTEN)
		len = sizeof(struct mr_listener_message);
	else if (m.head.type == MR_MSG_RULES_ANSWER)
		len = sizeof(struct mr_rules_answer);
	else if (m.head.type == MR_MSG_RULE_ENDED)
		len = sizeof(struct mr_rule_ended);
	if (how & 1)
		len = 1 + fuzz_u16(in) % sizeof(m.bytes);
	m.head.bytes = how & 2 ? fuzz_u16(in) : (uint16_t)len;
	if (how & 4)
		m.head.magic = fuzz_u32(in);
	body = fuzz_take(in, len > sizeof(m.head) ? len - sizeof(m.head) : 0, &got);
	if (got)
		memcpy(m.bytes + sizeof(m.head), body, got);
	if (k->c.wards[lane].watch.fd < 0 ||
	    send(worker[lane], &m, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
	k->c.wards[lane].watch.ready(&k->c, &k->c.wards[lane].watch);
}

static void child_says(struct fuzz_in *in)
{
	uint8_t type = fuzz_u8(in) % (MR_REQUEST_FAILED + 7);
	static const uint16_t late[] = { MR_REQUEST_RULES_AGREED, MR_REQUEST_RULES_REFUSED,
					 MR_REQUEST_RULES_ENDED, MR_REQUEST_BIND };
	struct mr_request q = { .type = type };
	uint8_t how = fuzz_u8(in);
	size_t len = sizeof(q);

	if (type > MR_REQUEST_FAILED + 2)
		q.type = late[(type - MR_REQUEST_FAILED - 3) % 4];
	q.lane = how & 1 ? fuzz_u32(in) : how >> 7;
	q.ifindex = how & 2 ? fuzz_u32(in) : 3;
	q.port = fuzz_u16(in);
	for (int i = 0; i < 16; i++)
		q.addr[i] = fuzz_u8(in);
	if (how & 4)
		len = fuzz_u8(in) + 1u;
	len = len < sizeof(q) ? len : sizeof(q);
	if (send(k->c.parent.fd, &q, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		FUZZ_CHECK(errno == EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	bool honest = fuzz_u8(&in) & 1;

	start();
	while (in.len) {
		uint8_t who = fuzz_u8(&in);

		if (!honest)
			child_says(&in);
		else
			worker_says(who % CONTROL_LANES, &in);
		if (honest && who & 64) { /* as if lanes were asked */
			mr_agree_ask(&k->c, fuzz_u8(&in) & 1);
			mr_agree_tick(&k->c, mr_now_ns());
		}
		if (!(who & 128))
			pump(honest);
	}
	pump(honest);
	FUZZ_CHECK(!honest || !k->c.listens_asked);
	stop();
	return 0;
}
