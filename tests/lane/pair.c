/* SPDX-License-Identifier: MIT */
#include "tests/lane/killed.h"
#include "tests/lane/pair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/lane/internal.h"

static const uint8_t mac[2][6] = { { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 1 } };
static const uint8_t v4[2][16] = {
	{ [10] = 0xff, 0xff, 192, 0, 2, 2 },
	{ [10] = 0xff, 0xff, 192, 0, 2, 1 },
};
static const uint8_t v6[2][16] = {
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 2 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "pair: %s\n", what);
	exit(1);
}

static uint64_t clock_ns(void *arg)
{
	struct pair *p = arg;
	struct timespec ts;

	if (!p->real_clock)
		return mr_memory_now(p->wire);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint32_t frames_of(const struct pair_options *o, int end)
{
	return end == PAIR_CLIENT && o->client_frames ? o->client_frames : o->frames;
}

static void fill_path(struct mr_path *path, int from, const uint8_t addr[2][16])
{
	path->state = MR_PATH_VALID;
	path->mtu = 1500;
	memcpy(path->remote, addr[!from], 16);
	memcpy(path->local, addr[from], 16);
	memcpy(path->next_hop_mac, mac[!from], 6);
	memcpy(path->own_mac, mac[from], 6);
}

static void init_end(struct pair *p, int i, const struct pair_options *o)
{
	struct pair_end *e = &p->end[i];
	struct mr_arena_sizes sizes = {
		.frames = frames_of(o, i),
		.frame_bytes = 2048,
		.conns = o->conns,
		.half_open = o->half_open ? o->half_open : 1024,
		.time_wait = o->time_wait ? o->time_wait : 4096,
		.sessions = o->sessions ? o->sessions : 1024,
		.message_bytes = o->message_bytes ? o->message_bytes : 16 << 20,
	};
	bool huge;

	check(mr_arena_create("pair", &sizes, o->huge, &e->arena_fd, &huge) == 0, "arena");
	check(mr_arena_map(&e->arena, e->arena_fd, true) == 0, "arena map");
	e->config = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.isn_secret = { 1, 2 },
		.hash_secret = { 3, 4 },
		.port_lo = 40000,
		.port_hi = 60000,
		.mtu = 1500,
		.nagle = 1,
		.receive_buffer = 256 << 10,
		.send_buffer = 256 << 10,
		.time_wait_ms = 60000,
		.fin_wait_ms = 60000,
		.delayed_ack_ms = 40,
		.beat_ms = 20,
		.open = { .syn_ack_retries = 7 },
		.keepalive = { 0, 7200, 75, 9 },
		.cpu = -1,
		.mtu_probing = MR_MTU_PROBING_BLACK_HOLE,
	};
	memcpy(e->config.mac, mac[i], 6);
	e->paths = calloc(1, sizeof(*e->paths));
	check(e->paths != NULL, "memory");
	fill_path(&e->paths->path[0], i, v4);
	fill_path(&e->paths->path[1], i, v6);
}

void pair_init(struct pair *p, struct pair_options o)
{
	struct mr_memory_end ends[2];

	memset(p, 0, sizeof(*p));
	for (int i = 0; i < 2; i++) {
		init_end(p, i, &o);
		ends[i] = (struct mr_memory_end){
			.umem = mr_arena_area(&p->end[i].arena, MR_AREA_FRAMES, NULL),
			.umem_bytes = (uint64_t)frames_of(&o, i) * 2048,
			.frame_bytes = 2048,
			.ring_size = o.ring_size,
		};
	}
	p->wire = mr_memory_new(ends, o.delay_ns);
	check(p->wire != NULL, "wire");
}

struct mr_lane_rule *pair_rule(struct pair *p, int end, const char *app, uint16_t port)
{
	struct pair_end *e = &p->end[end];
	struct mr_lane_rule *r = &e->rule[e->config.n_rules];

	check(e->config.n_rules < PAIR_RULES, "too many rules");
	*r = (struct mr_lane_rule){
		.vlan = (uint32_t)MR_VLAN_ANY,
		.port = port,
		.rule_id = (uint16_t)e->config.n_rules++,
		.protocol = 6,
		.any_family = 1,
		.backlog = 1024,
		.directory = -1,
		.tlv = { .tag_bytes = 2, .length_bytes = 4, .max_bytes = 1 << 20 },
	};
	snprintf(r->name, sizeof(r->name), "%s-%u", app, port);
	snprintf(r->app, sizeof(r->app), "%s", app);
	return r;
}

static int ask_path(void *arg, const uint8_t remote[16])
{
	struct pair_end *e = arg;

	memcpy(e->asked, remote, 16);
	e->has_asked = true;
	return 0;
}

static int ask_listen(void *arg, uint64_t cookie, const uint8_t addr[16], uint16_t port)
{
	struct pair_end *e = arg;

	(void)addr;
	e->listen.asked = true;
	e->listen.cookie = cookie;
	e->listen.port = port;
	return 0;
}

static int ask_unlisten(void *arg, const uint8_t addr[16], uint16_t port)
{
	struct pair_end *e = arg;

	(void)addr;
	e->listen.given += port == e->listen.port;
	return 0;
}

static int tell_rule_ended(void *arg, uint32_t rule_id)
{
	struct pair_end *e = arg;

	e->ended_rule = rule_id + 1;
	return 0;
}

static const struct mr_lane_asks asks = { ask_path, ask_listen, ask_unlisten, tell_rule_ended };

void pair_start(struct pair *p, const struct mr_app *const *apps, unsigned int n_apps)
{
	static const struct mr_app *all[32];
	unsigned int n;
	const struct mr_app *const *builtin = mr_builtin_apps(&n);
	char error[256];

	memcpy(all, builtin, n * sizeof(all[0]));
	for (unsigned int i = 0; i < n_apps; i++)
		all[n++] = apps[i];
	for (int i = 0; i < 2; i++) {
		struct pair_end *e = &p->end[i];

		e->setup = (struct mr_lane_setup){
			.arena = &e->arena,
			.port = mr_memory_port(p->wire, (unsigned int)i),
			.config = &e->config,
			.rules = e->rule,
			.stats = &e->stats,
			.paths = e->paths,
			.apps = all,
			.n_apps = n,
			.asks = &asks,
			.asks_arg = e,
			.clock_ns = clock_ns,
			.clock_arg = p,
			.ticks_rate = p->ticks_rate,
			.n_lanes = 1,
			.epoch = 1,
		};
		e->lane = mr_lane_new(&e->setup, error, sizeof(error));
		check(e->lane != NULL, error);
	}
}

static void answer_paths(struct pair_end *e)
{
	if (!e->has_asked || e->mute)
		return;
	e->has_asked = false;
	for (int i = 0; i < 2; i++)
		if (memcmp(e->paths->path[i].remote, e->asked, 16) == 0) {
			mr_lane_path_answer(e->lane, e->asked, i);
			return;
		}
	mr_lane_path_answer(e->lane, e->asked, -EHOSTUNREACH);
}

static void answer_listens(struct pair_end *e)
{
	if (!e->listen.asked)
		return;
	e->listen.asked = false;
	mr_lane_listen_answer(e->lane, e->listen.cookie, e->listen.error);
}

bool pair_step(struct pair *p)
{
	unsigned int n = 0;

	for (int i = 0; i < 2; i++) {
		answer_paths(&p->end[i]);
		answer_listens(&p->end[i]);
		n += mr_lane_turn(p->end[i].lane);
	}
	return n > 0;
}

/* The clock to the next event, at most to @end. */
static void advance(struct pair *p, uint64_t end)
{
	uint64_t next = mr_memory_next(p->wire);
	uint64_t now = mr_memory_now(p->wire);

	for (int i = 0; i < 2; i++) {
		uint64_t timer = mr_lane_next_ns(p->end[i].lane);

		next = timer < next ? timer : next;
	}
	if (next <= now)
		next = now + 1000;
	if (next > end)
		next = end;
	mr_memory_advance(p->wire, next - now);
}

bool pair_run(struct pair *p, uint32_t ms, bool (*done)(void *arg), void *arg)
{
	uint64_t end = mr_memory_now(p->wire) + ms * 1000000ull;

	for (;;) {
		while (pair_step(p))
			if (done && done(arg))
				return true;
		if (done && done(arg))
			return true;
		if (mr_memory_now(p->wire) >= end)
			return !done;
		advance(p, end);
	}
}

mr_conn_id pair_connect(struct pair *p, uint32_t client_rule, uint16_t port, bool ipv6)
{
	return pair_connect_with(p, client_rule, port, ipv6, NULL, NULL);
}

mr_conn_id pair_connect_with(struct pair *p, uint32_t client_rule, uint16_t port, bool ipv6,
			     const void *text, size_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	mr_conn_id id = 0;

	memcpy(&in.sin_addr, &v4[0][12], 4);
	memcpy(&in6.sin6_addr, v6[0], 16);
	check(lane_connect(p->end[PAIR_CLIENT].lane, client_rule, NULL,
			   ipv6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in, text, len,
			   &id) == 0,
	      "connect");
	return id;
}

void pair_kill(struct pair *p, int end)
{
	struct pair_end *e = &p->end[end];

	killed_lane_forget(e->lane);
	e->lane = NULL;
}

static void mark_held(void *arg, uint64_t addr)
{
	((uint8_t *)arg)[addr / 2048] = MR_FRAME_FILL;
}

/* As the worker finds out: by the records of what was sent, and by the fill and receive rings. */
static uint8_t *find_held(struct pair_end *e)
{
	uint32_t n;
	const struct mr_frame *record = mr_arena_area(&e->arena, MR_AREA_FRAME_RECORDS, &n);
	uint8_t *held = calloc(n, 1);

	check(held != NULL, "memory");
	for (uint32_t i = 0; i < n; i++)
		if (record[i].in_tx)
			held[i] = MR_FRAME_CTL;
	mr_memory_each(e->setup.port, mark_held, held);
	return held;
}

void pair_replace(struct pair *p, int end)
{
	struct pair_end *e = &p->end[end];
	char error[256] = "";
	uint8_t *held = find_held(e);

	mr_memory_adopt(e->setup.port);
	e->setup.epoch++;
	e->setup.held = held;
	e->lane = mr_lane_new(&e->setup, error, sizeof(error));
	check(e->lane != NULL, error);
	free(held);
}

bool pair_frames_are_whole(const struct pair *p, int end, uint64_t *held)
{
	const struct mr_lane_stats *s = &p->end[end].stats;
	uint32_t frames;
	uint64_t sum = 0;

	mr_arena_area(&p->end[end].arena, MR_AREA_FRAMES, &frames);
#define F(name, field, text) sum += s->frames.field;
	MR_FRAME_STATES(F)
#undef F
	if (held)
		*held = s->frames.rx + s->frames.ooo + s->frames.tx + s->frames.sent +
			s->frames.ctl + s->frames.hand;
	return sum == frames;
}

void pair_free(struct pair *p)
{
	/* both first: the last frames of one are copied into the memory of the other */
	for (int i = 0; i < 2; i++)
		if (p->end[i].lane)
			mr_lane_free(p->end[i].lane);
	for (int i = 0; i < 2; i++) {
		mr_arena_unmap(&p->end[i].arena);
		close(p->end[i].arena_fd);
		free(p->end[i].paths);
	}
	mr_memory_free(p->wire);
}
