/* SPDX-License-Identifier: MIT */
/*
 * Backend "wire": two lanes of this process on an in-memory wire, under a virtual clock, and the
 * library over their channels. What listens does so on the server's lane, what connects does from
 * the client's:
 *
 *	connects -> channel -> lane 1 (192.0.2.1) -- wire -- lane 0 (192.0.2.2) <- channel <-
 *listens
 *
 * Nothing happens by itself: each call lets happen what takes no more than frames' way over the
 * wire, and whoever waits moves the clock on to the next timer of a lane. When none is due before
 * its own time is over, it sleeps. So every run is the same, as long as one thread uses the
 *context.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "user/api/lane.h"
#include "user/api/words.h"
#include "user/lane/lane.h"
#include "user/port/memory.h"

enum {
	ENDS = 2,
	FRAMES = 4096,
	FRAME_BYTES = 2048,
	CONNS = 16384,
	WIRE_NS = 10000, /* one way */
	ROUSE_TIMERS = 64,
	SETTLE_MOST = 1 << 16, /* turns without time */
};

struct wire_end {
	int memory; /* of the arena */
	struct mr_arena arena;
	struct mr_lane_config config;
	struct mr_lane_rule rule;
	struct mr_lane_stats stats;
	struct mr_path_table *paths;
	uint8_t asked[16];
	bool has_asked;
	struct mr_lane *lane;
};

struct wire {
	struct lane_context x;
	struct wire_end end[ENDS];
	struct mr_memory_wire *wire;
	int bell; /* eventfd: another thread rouses who sleeps */
};

static const uint8_t macs[ENDS][6] = { { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 1 } };
static const uint8_t ipv4[ENDS][16] = {
	{ [10] = 0xff, 0xff, 192, 0, 2, 2 },
	{ [10] = 0xff, 0xff, 192, 0, 2, 1 },
};
static const uint8_t ipv6[ENDS][16] = {
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 2 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
};

static struct wire *wire_of(struct lane_context *x)
{
	return (struct wire *)(void *)x;
}

/* ----- the door ----- */

static uint64_t wire_now(struct lane_context *x)
{
	return mr_memory_now(wire_of(x)->wire);
}

static uint64_t clock_ns(void *arg)
{
	return mr_memory_now(((struct wire *)arg)->wire);
}

static void answer_path(struct wire_end *e)
{
	if (!e->has_asked)
		return;
	e->has_asked = false;
	for (int i = 0; i < 2; i++)
		if (!memcmp(e->paths->path[i].remote, e->asked, 16)) {
			mr_lane_path_answer(e->lane, e->asked, i);
			return;
		}
	mr_lane_path_answer(e->lane, e->asked, -EHOSTUNREACH);
}

static bool turns(struct wire *w)
{
	unsigned int n = 0;

	for (int i = 0; i < ENDS; i++) {
		answer_path(&w->end[i]);
		n += mr_lane_turn(w->end[i].lane);
	}
	return n > 0;
}

/* Until both lanes are idle and no frame is on its way; timers wait for somebody who sleeps. */
static void wire_settle(struct lane_context *x)
{
	struct wire *w = wire_of(x);

	for (int n = 0; n < SETTLE_MOST; n++) {
		uint64_t next, now;

		if (turns(w))
			continue;
		next = mr_memory_next(w->wire);
		now = mr_memory_now(w->wire);
		if (next == UINT64_MAX)
			return;
		mr_memory_advance(w->wire, next > now ? next - now : 1);
	}
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Nothing on the wire is due before @until_ns: only a signal, another thread or a descriptor of the
 * kernel's can bring something, so the time is waited for really.
 */
static void sleep_really(struct lane_context *x, uint64_t until_ns, int kernel_fd)
{
	struct wire *w = wire_of(x);
	struct pollfd p[2] = { { .fd = w->bell, .events = POLLIN },
			       { .fd = kernel_fd, .events = POLLIN } };
	uint64_t left = until_ns - mr_memory_now(w->wire), rung, begin = real_ns(), took;
	struct timespec t = { (time_t)(left / 1000000000), (long)(left % 1000000000) };
	int n;

	lane_unlock(x);
	n = ppoll(p, 2, until_ns == LANE_NEVER ? NULL : &t, NULL);
	took = n ? real_ns() - begin : left;
	lane_lock(x);
	x->interrupted |= n < 0;
	if (n > 0 && p[0].revents)
		n = (int)read(w->bell, &rung, sizeof(rung));
	if (until_ns != LANE_NEVER) /* what is cut short again and again ends nevertheless */
		mr_memory_advance(w->wire, took < left ? took : left);
}

static uint64_t next_timer(struct wire *w)
{
	uint64_t a = mr_lane_next_ns(w->end[0].lane), b = mr_lane_next_ns(w->end[1].lane);

	return a < b ? a : b;
}

/* Timers may follow one another without end, and a mutex is not fair. */
static void let_others_in(struct lane_context *x)
{
	while (lane_others_want(x)) {
		lane_unlock(x);
		usleep(100);
		lane_lock(x);
	}
}

static void wire_sleep(struct lane_context *x, uint64_t until_ns, int kernel_fd)
{
	struct wire *w = wire_of(x);
	uint64_t next = next_timer(w), now = mr_memory_now(w->wire);

	if (next < until_ns) {
		mr_memory_advance(w->wire, next > now ? next - now : 1);
		let_others_in(x);
	} else {
		sleep_really(x, until_ns, kernel_fd);
	}
	wire_settle(x);
}

/*
 * Somebody sleeps, and this thread did something. The timers that are due before the sleeper would
 * look again are run here; it is woken when they, or this call, brought something for it.
 */
static void wire_rouse(struct lane_context *x)
{
	struct wire *w = wire_of(x);
	const uint64_t one = 1;

	for (int n = 0; n < ROUSE_TIMERS && !x->sleeper->woken; n++) {
		uint64_t next = next_timer(w), now = mr_memory_now(w->wire);

		if (next >= x->sleep_until_ns && x->sleep_until_ns)
			return;
		if (!x->sleep_until_ns) /* another waiter's time is over sooner */
			break;
		mr_memory_advance(w->wire, next > now ? next - now : 1);
		wire_settle(x);
		lane_take_events(x);
	}
	if (write(w->bell, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is readable */
}

static void wire_ring(struct lane_context *x, unsigned int channel)
{
	(void)x, (void)channel; /* lanes have their turns by wire_settle() */
}

/* ----- making it ----- */

static int ask_path(void *arg, const uint8_t remote[16])
{
	struct wire_end *e = arg;

	memcpy(e->asked, remote, 16);
	e->has_asked = true;
	return 0;
}

static void fill_path(struct mr_path *path, int from, const uint8_t addr[ENDS][16])
{
	path->state = MR_PATH_VALID;
	path->mtu = 1500;
	memcpy(path->remote, addr[!from], 16);
	memcpy(path->local, addr[from], 16);
	memcpy(path->next_hop_mac, macs[!from], 6);
	memcpy(path->own_mac, macs[from], 6);
}

/* As the daemon has them by default; the secrets are the same in each run. */
static void configure(struct wire_end *e, int i)
{
	e->config = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.n_rules = 1,
		.isn_secret = { 1, 2 },
		.hash_secret = { 3, 4 },
		.port_lo = 32768,
		.port_hi = 60999,
		.mtu = 1500,
		.nagle = 1,
		.receive_buffer = 256 << 10,
		.send_buffer = 256 << 10,
		.time_wait_ms = 60000,
		.fin_wait_ms = 60000,
		.delayed_ack_ms = 40,
		.beat_ms = 20,
		.open = { .syn_ack_retries = 5 },
		.keepalive = { 0, 7200, 75, 9 },
		.cpu = -1,
	};
	memcpy(e->config.mac, macs[i], 6);
	e->rule = (struct mr_lane_rule){
		.name = "wire",
		.app = "attach",
		.vlan = (uint32_t)MR_VLAN_ANY,
		.port = 1,
		.port_hi = UINT16_MAX,
		.protocol = 6,
		.any_family = 1,
		.backlog = 4096,
		.directory = -1,
	};
}

static int make_memory(struct wire_end *e, int i)
{
	const struct mr_arena_sizes sizes = {
		.frames = FRAMES,
		.frame_bytes = FRAME_BYTES,
		.conns = CONNS,
		.half_open = 4096,
		.time_wait = CONNS,
		.sessions = 1024,
		.message_bytes = 1 << 20,
	};
	bool huge;
	int err = mr_arena_create("wire", &sizes, false, &e->memory, &huge);

	if (err < 0)
		return err;
	err = mr_arena_map(&e->arena, e->memory, true);
	if (err < 0)
		return err;
	e->paths = calloc(1, sizeof(*e->paths));
	if (!e->paths)
		return -ENOMEM;
	fill_path(&e->paths->path[0], i, ipv4);
	fill_path(&e->paths->path[1], i, ipv6);
	configure(e, i);
	return 0;
}

static int make_lane(struct wire *w, int i, char *error, size_t error_bytes)
{
	static const struct mr_lane_asks asks = { .path = ask_path };
	struct wire_end *e = &w->end[i];
	const struct mr_lane_setup setup = {
		.arena = &e->arena,
		.port = mr_memory_port(w->wire, (unsigned int)i),
		.config = &e->config,
		.rules = &e->rule,
		.stats = &e->stats,
		.paths = e->paths,
		.asks = &asks,
		.asks_arg = e,
		.clock_ns = clock_ns,
		.clock_arg = w,
		.n_lanes = 1,
		.epoch = 1,
	};

	e->lane = mr_lane_new(&setup, error, error_bytes);
	return e->lane ? 0 : -ENOMEM;
}

static int make_channel(struct wire *w, int i)
{
	struct mr_attach_sizes sizes = mr_channel_sizes_default();
	struct mr_lane_channel from = { .bell = -1 };
	int err;

	err = mr_channel_create(&sizes, (uint32_t)i, &from.memory);
	if (err < 0)
		return err;
	err = mr_lane_attach(w->end[i].lane, &from);
	if (!err)
		err = lane_context_add(&w->x, from.memory, i == 0, i == 1);
	close(from.memory);
	return err;
}

static int make_lanes(struct wire *w, char *error, size_t error_bytes)
{
	struct mr_memory_end ends[ENDS];
	int err = 0;

	for (int i = 0; i < ENDS && !err; i++) {
		err = make_memory(&w->end[i], i);
		ends[i] = (struct mr_memory_end){
			.umem = err ? NULL : mr_arena_area(&w->end[i].arena, MR_AREA_FRAMES, NULL),
			.umem_bytes = (uint64_t)FRAMES * FRAME_BYTES,
			.frame_bytes = FRAME_BYTES,
			.ring_size = 1024,
		};
	}
	if (err)
		return err;
	w->wire = mr_memory_new(ends, WIRE_NS);
	err = w->wire ? 0 : -ENOMEM;
	for (int i = 0; i < ENDS && !err; i++) {
		err = make_lane(w, i, error, error_bytes);
		if (!err)
			err = make_channel(w, i);
	}
	return err;
}

/* Both lanes first: the last frames of one are copied into the memory of the other. */
static void wire_unmake(struct lane_context *x)
{
	struct wire *w = wire_of(x);

	for (int i = 0; i < ENDS; i++)
		if (w->end[i].lane)
			mr_lane_free(w->end[i].lane);
	for (int i = 0; i < ENDS; i++) {
		struct wire_end *e = &w->end[i];

		mr_arena_unmap(&e->arena);
		if (e->memory >= 0)
			close(e->memory);
		free(e->paths);
	}
	if (w->wire)
		mr_memory_free(w->wire);
	if (w->bell >= 0)
		close(w->bell);
	free(w);
}

static const struct lane_door wire_door = {
	.now_ns = wire_now,
	.settle = wire_settle,
	.sleep = wire_sleep,
	.rouse = wire_rouse,
	.ring = wire_ring,
	.close = wire_unmake,
};

extern const struct mr_backend mr_backend_wire;

static int wire_open(const char *where, struct mr_context **out, char *error, size_t error_bytes)
{
	struct wire *w;
	int err;

	if (where)
		return mr_api_words(error, error_bytes, -EINVAL,
				    "backend wire:%s: a wire has no place; say wire", where);
	w = calloc(1, sizeof(*w));
	if (!w)
		return mr_api_words(error, error_bytes, -ENOMEM, "backend wire: no memory");
	w->end[0].memory = w->end[1].memory = -1;
	w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lane_context_init(&w->x, &mr_backend_wire, &wire_door);
	err = w->bell < 0 ? -errno : make_lanes(w, error, error_bytes);
	if (err < 0) {
		lane_context_fini(&w->x);
		return mr_api_words(error, error_bytes, err, "backend wire: %s", strerror(-err));
	}
	*out = &w->x.context;
	return 0;
}

const struct mr_backend mr_backend_wire = {
	.name = "wire",
	.open = wire_open,
	.close = lane_context_close,
	.sock_open = lane_sock_open,
	.sock_bind = lane_sock_bind,
	.sock_listen = lane_sock_listen,
	.sock_accept = lane_sock_accept,
	.sock_connect = lane_sock_connect,
	.sock_sendv = lane_sock_sendv,
	.sock_recvv = lane_sock_recvv,
	.sock_shutdown = lane_sock_shutdown,
	.sock_close = lane_sock_close,
	.sock_abort = lane_sock_abort,
	.sock_blocking = lane_sock_blocking,
	.sock_set_option = lane_sock_set_option,
	.sock_option = lane_sock_option,
	.sock_name = lane_sock_name,
	.sock_peer = lane_sock_peer,
	.sock_queues = lane_sock_queues,
	.set_new = lane_set_new,
	.set_free = lane_set_free,
	.set_change = lane_set_change,
	.set_wait = lane_set_wait,
	.set_fd = lane_set_fd,
	.poll = lane_poll,
};
