/* SPDX-License-Identifier: MIT */
/* From the daemon's first message to a lane: receive descriptors, map what they name. */
#include "user/worker/worker.h"
#include "user/lane/ticks.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/port/tee.h"
#include "user/port/xsk.h"

/* ----- HELLO ----- */

/* Hand the descriptors out to their places, in the order of enum mr_hello_fd. */
static bool place_descriptors(struct worker *w, const int *fds, size_t n)
{
	size_t used = 0;

	for (int i = 0; i < MR_HELLO_FD_COUNT; i++) {
		w->fd[i] = -1;
		if (!w->hello.fds[i])
			continue;
		if (used == n)
			return false;
		w->fd[i] = fds[used++];
	}
	return used == n;
}

static bool hello_is_sane(const struct mr_hello *h, ssize_t n)
{
	return n == (ssize_t)sizeof(*h) && h->head.magic == MR_WORKER_MAGIC &&
	       h->head.type == MR_MSG_HELLO && h->version == MR_WORKER_VERSION && h->n_lanes >= 1 &&
	       h->n_lanes <= MR_MAX_LANES && h->lane < h->n_lanes && h->slot < MR_MAX_SLOTS;
}

int worker_receive_hello(struct worker *w)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MR_HELLO_FD_COUNT)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &w->hello, sizeof(w->hello) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(w->control, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (n < 0) {
		worker_say(w,
			   "no socket to millraced on descriptor %d: %s (millraced starts workers)",
			   MR_WORKER_FD, strerror(errno));
		return -1;
	}
	if (!hello_is_sane(&w->hello, n) || msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC) || !c ||
	    c->cmsg_type != SCM_RIGHTS ||
	    !place_descriptors(w, (const int *)(const void *)CMSG_DATA(c),
			       (c->cmsg_len - CMSG_LEN(0)) / sizeof(int))) {
		worker_say(w, "first message of millraced not understood: other version? (install "
			      "millraced and millrace-worker from one build)");
		return -1;
	}
	return 0;
}

/* ----- mappings ----- */

/* @bytes 0: the whole file. */
static void *map(struct worker *w, enum mr_hello_fd which, size_t bytes, int protection,
		 const char *what)
{
	struct stat st;
	void *p;

	if (w->fd[which] < 0) {
		worker_say(w, "%s did not come with the first message", what);
		return NULL;
	}
	if (!bytes && fstat(w->fd[which], &st) == 0)
		bytes = (size_t)st.st_size;
	p = mmap(NULL, bytes, protection, MAP_SHARED, w->fd[which], 0);
	if (p == MAP_FAILED) {
		worker_say(w, "%s: mmap: %s", what, strerror(errno));
		return NULL;
	}
	return p;
}

static bool config_is_sane(const struct worker *w)
{
	struct stat st;

	return fstat(w->fd[MR_HELLO_CONFIG], &st) == 0 &&
	       worker_rules_fit(w->config, (size_t)st.st_size);
}

int worker_map(struct worker *w)
{
	int error = mr_arena_map(&w->arena, w->fd[MR_HELLO_ARENA], true);

	if (error < 0) {
		worker_say(w, "arena: %s",
			   error == -EPROTO ? "made by another version (restart millraced)"
					    : strerror(-error));
		return -1;
	}
	w->config = map(w, MR_HELLO_CONFIG, 0, PROT_READ, "configuration");
	if (!w->config)
		return -1;
	if (!config_is_sane(w)) {
		worker_say(w, "configuration of another version (install one build)");
		return -1;
	}
	w->rules_serial = w->config->rules_serial;
	w->beats = map(w, MR_HELLO_BEAT_MAP, MR_MAX_SLOTS * sizeof(*w->beats),
		       PROT_READ | PROT_WRITE, "map mr1_beat");
	w->stats = map(w, MR_HELLO_LANE_MAP, MR_MAX_SLOTS * sizeof(*w->stats),
		       PROT_READ | PROT_WRITE, "map mr1_lane");
	w->full = map(w, MR_HELLO_FULL_MAP, MR_MAX_SLOTS * sizeof(*w->full), PROT_READ | PROT_WRITE,
		      "map mr1_full");
	if (!w->beats || !w->stats || !w->full)
		return -1;
	if (w->fd[MR_HELLO_PATHS] >= 0)
		w->paths = map(w, MR_HELLO_PATHS, sizeof(*w->paths), PROT_READ, "path table");
	if (w->fd[MR_HELLO_MAILBOX] >= 0)
		w->mailbox = map(w, MR_HELLO_MAILBOX, MR_MAILBOX_BYTES(w->hello.n_lanes),
				 PROT_READ | PROT_WRITE, "mailbox");
	return 0;
}

/* ----- the lane ----- */

static uint64_t clock_ns(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t wall_clock_ns(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int attach_port(struct worker *w)
{
	const struct mr_hello *h = &w->hello;
	struct mr_xsk_sizes sizes = {
		.rx = h->rx_size,
		.tx = h->tx_size,
		.fill = h->fill_size,
		.completion = h->completion_size,
	};
	const struct mr_arena_header *header = (const void *)w->arena.base;
	const struct mr_arena_area_record *umem = &header->area[MR_AREA_FRAMES];

	w->xsk = mr_xsk_attach(w->fd[MR_HELLO_XSK], &sizes, umem->record_bytes,
			       (uint64_t)umem->count * umem->record_bytes);
	if (!w->xsk) {
		worker_say(w, "rings of the AF_XDP socket: %s", strerror(errno));
		return -1;
	}
	w->port = w->xsk;
	if (w->fd[MR_HELLO_CAPTURE] < 0)
		return 0;
	w->port = mr_tee_new(w->xsk, mr_arena_area(&w->arena, MR_AREA_FRAMES, NULL),
			     w->fd[MR_HELLO_CAPTURE], "lane", wall_clock_ns, NULL);
	if (!w->port) {
		worker_say(w, "capture: %s; goes on without", strerror(errno));
		w->port = w->xsk;
	}
	return 0;
}

/*
 * Until the daemon has bound the socket, which it does when the rings are mapped. What else it
 * says meanwhile waits in its socket. -1: it will not, or we are to end.
 */
static int wait_until_bound(struct worker *w)
{
	struct pollfd fds[2] = { { .fd = w->fd[MR_HELLO_GO], .events = POLLIN },
				 { .fd = w->control } };
	struct mr_message mapped = { 0 };
	uint64_t how = 0;

	worker_send(w, &mapped, MR_MSG_MAPPED, sizeof(mapped));
	while (!fds[0].revents)
		if (poll(fds, 2, -1) < 0 || (!fds[0].revents && fds[1].revents))
			return -1;
	if (read(w->fd[MR_HELLO_GO], &how, sizeof(how)) != sizeof(how))
		return -1;
	w->hello.zero_copy = how == MR_GO_ZERO_COPY;
	mr_xsk_bound(w->xsk);
	return 0;
}

/* Where an earlier generation's frames are: the rings say it, and the records of sent ones. */
struct held {
	uint8_t *state;
	uint32_t count;
	uint32_t frame_bytes;
	uint8_t mark;
};

static void mark_held(void *arg, uint64_t addr)
{
	struct held *h = arg;
	uint64_t i = addr / h->frame_bytes;

	if (i < h->count)
		h->state[i] = h->mark;
}

static uint8_t *find_held(struct worker *w)
{
	const struct mr_arena_header *header = (const void *)w->arena.base;
	uint32_t count;
	const struct mr_frame *record = mr_arena_area(&w->arena, MR_AREA_FRAME_RECORDS, &count);
	struct held h = { .count = count,
			  .frame_bytes = header->area[MR_AREA_FRAMES].record_bytes };

	h.state = calloc(count, 1);
	if (!h.state)
		return NULL;
	h.mark = MR_FRAME_CTL;
	for (uint32_t i = 0; i < count; i++)
		if (record[i].in_tx)
			h.state[i] = h.mark;
	mr_xsk_each(w->xsk, MR_XSK_TX, mark_held, &h);
	mr_xsk_each(w->xsk, MR_XSK_COMPLETION, mark_held, &h);
	h.mark = MR_FRAME_FILL;
	mr_xsk_each(w->xsk, MR_XSK_FILL, mark_held, &h);
	mr_xsk_each(w->xsk, MR_XSK_RX, mark_held, &h);
	/* a zero-copy driver holds posted frames beyond the rings: the records know them */
	for (uint32_t i = 0; w->hello.zero_copy && i < count; i++)
		if (record[i].state == MR_FRAME_FILL && !h.state[i])
			h.state[i] = MR_FRAME_FILL;
	return h.state;
}

int worker_make_lane(struct worker *w)
{
	struct mr_lane_setup s = {
		.arena = &w->arena,
		.config = w->config,
		.rules = worker_rules_of(w->config),
		.prefixes = worker_prefixes_of(w->config),
		.directories = &w->fd[MR_HELLO_DIRECTORY],
		.beat = &w->beats[w->hello.slot],
		.full = &w->full[w->hello.slot],
		.stats = &w->stats[w->hello.slot],
		.mailbox = w->mailbox,
		.doorbells = &w->fd[MR_HELLO_DOORBELL],
		.paths = w->paths,
		.asks = &worker_asks,
		.asks_arg = w,
		.clock_ns = clock_ns,
		.fresh = w->hello.fresh,
		.lane = w->hello.lane,
		.n_lanes = w->hello.n_lanes,
		.epoch = w->hello.epoch,
	};
	char error[256] = "";
	uint8_t *held;

	mr_ticks_begin(&w->ticks);
	if (attach_port(w) < 0 || (w->fd[MR_HELLO_GO] >= 0 && wait_until_bound(w) < 0))
		return -1;
	s.zero_copy = w->hello.zero_copy;
	s.port = w->port;
	s.apps = mr_builtin_apps(&s.n_apps);
	held = w->hello.epoch > 1 ? find_held(w) : NULL;
	s.held = held;
	w->lane = mr_lane_new(&s, error, sizeof(error));
	free(held);
	if (!w->lane) {
		worker_say(w, "%s", error);
		return -1;
	}
	return 0;
}
