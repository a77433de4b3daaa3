/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/net.h"

/* ----- the client's port ----- */

static struct spread *spread_of(struct mr_port *p)
{
	return (struct spread *)(void *)p;
}

/* Flags of a TCP segment over IPv4 without options or VLAN. */
uint8_t net_flags_of(const uint8_t *frame)
{
	return frame[14 + 20 + 13];
}

static uint32_t spread_receive(struct mr_port *p, struct mr_span *spans, uint32_t max)
{
	struct spread *s = spread_of(p);
	uint32_t n = 0;

	for (int i = 0; i < 2; i++) {
		struct mr_port *half = s->half[(s->turn + (uint32_t)i) % 2];

		n += half->ops->receive(half, spans + n, max - n);
	}
	s->turn++;
	for (uint32_t i = 0; i < n; i++)
		s->net->resets += (net_flags_of(s->umem + spans[i].addr) & MR_RST) != 0;
	return n;
}

static uint32_t spread_fill(struct mr_port *p, const uint64_t *addrs, uint32_t n)
{
	struct spread *s = spread_of(p);

	for (uint32_t i = 0; i < n; i++) {
		struct mr_port *half = s->half[s->turn++ % 2];

		if (!half->ops->fill(half, &addrs[i], 1)) {
			half = s->half[s->turn++ % 2];
			half->ops->fill(half, &addrs[i], 1);
		}
	}
	return n;
}

static uint32_t spread_fill_room(struct mr_port *p)
{
	struct spread *s = spread_of(p);

	return s->half[0]->ops->fill_room(s->half[0]) + s->half[1]->ops->fill_room(s->half[1]);
}

static uint32_t spread_transmit(struct mr_port *p, const struct mr_span *spans, uint32_t n)
{
	struct spread *s = spread_of(p);

	for (uint32_t i = 0; i < n; i++) {
		unsigned int which = s->which(s->net, s->umem + spans[i].addr, spans[i].len);

		s->net->sent++;
		s->queued++;
		assert_int_equal(s->half[which]->ops->transmit(s->half[which], &spans[i], 1), 1);
	}
	return n;
}

static uint32_t spread_transmit_room(struct mr_port *p)
{
	struct spread *s = spread_of(p);
	uint32_t a = s->half[0]->ops->transmit_room(s->half[0]);
	uint32_t b = s->half[1]->ops->transmit_room(s->half[1]);

	return a < b ? a : b;
}

static uint32_t spread_complete(struct mr_port *p, uint64_t *addrs, uint32_t max)
{
	struct spread *s = spread_of(p);
	uint32_t n = s->half[0]->ops->complete(s->half[0], addrs, max);

	return n + s->half[1]->ops->complete(s->half[1], addrs + n, max - n);
}

static uint32_t spread_kick(struct mr_port *p, bool *again)
{
	struct spread *s = spread_of(p);
	bool second = false;

	s->half[0]->ops->kick(s->half[0], again);
	s->half[1]->ops->kick(s->half[1], &second);
	*again |= second;
	return 0;
}

static bool spread_needs_kick(const struct mr_port *p)
{
	const struct spread *s = (const struct spread *)(const void *)p;

	return s->half[0]->ops->needs_kick(s->half[0]) || s->half[1]->ops->needs_kick(s->half[1]);
}

static void spread_statistics(struct mr_port *p, struct mr_port_statistics *out)
{
	(void)p;
	*out = (struct mr_port_statistics){ 0 };
}

static const struct mr_port_ops spread_ops = {
	.receive = spread_receive,
	.fill = spread_fill,
	.fill_room = spread_fill_room,
	.transmit = spread_transmit,
	.transmit_room = spread_transmit_room,
	.complete = spread_complete,
	.kick = spread_kick,
	.needs_kick = spread_needs_kick,
	.statistics = spread_statistics,
};

/* ----- the net ----- */

unsigned int net_alternate(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)frame, (void)len;
	return n->sent % 2;
}

unsigned int net_second_only(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)n, (void)frame, (void)len;
	return 1;
}

uint64_t net_clock(void *arg)
{
	return mr_memory_now(((struct net *)arg)->p[0].wire);
}

/* The second wire ends in the client's UMEM as well. */
static void share_client(struct net *n, struct pair_options o)
{
	struct mr_memory_end ends[2];

	for (int i = 0; i < 2; i++)
		ends[i] = (struct mr_memory_end){
			.umem = mr_arena_area(&n->p[!i].end[i].arena, MR_AREA_FRAMES, NULL),
			.umem_bytes = (uint64_t)o.frames * 2048,
			.frame_bytes = 2048,
			.ring_size = o.ring_size,
		};
	mr_memory_free(n->p[1].wire);
	n->p[1].wire = mr_memory_new(ends, o.delay_ns);
	assert_non_null(n->p[1].wire);
	n->spread = (struct spread){
		.port = { &spread_ops, &n->spread.done, &n->spread.queued },
		.half = { mr_memory_port(n->p[0].wire, 1), mr_memory_port(n->p[1].wire, 1) },
		.which = net_alternate,
		.net = n,
		.umem = ends[1].umem,
	};
}

static void start_lane(struct net *n, struct pair_end *e, struct mr_port *port, uint32_t lane)
{
	static const struct mr_app *all[32];
	unsigned int n_apps;
	const struct mr_app *const *builtin = mr_builtin_apps(&n_apps);
	bool server = lane < 2;
	char error[256] = "";

	memcpy(all, builtin, n_apps * sizeof(all[0]));
	all[n_apps++] = &talk_app;
	e->setup = (struct mr_lane_setup){
		.arena = &e->arena,
		.port = port,
		.config = &e->config,
		.rules = e->rule,
		.stats = &e->stats,
		.mailbox = server ? n->mailbox : NULL,
		.paths = e->paths,
		.apps = all,
		.n_apps = n_apps,
		.clock_ns = net_clock,
		.clock_arg = n,
		.lane = server ? lane : 0,
		.n_lanes = server ? 2 : 1,
		.epoch = 1,
	};
	e->lane = mr_lane_new(&e->setup, error, sizeof(error));
	assert_string_equal(error, "");
	assert_non_null(e->lane);
}

struct net *net_new(void)
{
	return net_start(NULL);
}

struct net *net_start(void (*configure)(struct mr_lane_config *c))
{
	struct net *n = calloc(1, sizeof(*n));
	struct pair_options o = PAIR_OPTIONS;
	struct pair_end *client;

	assert_non_null(n);
	n->mailbox = calloc(1, MR_MAILBOX_BYTES(2));
	assert_non_null(n->mailbox);
	n->mailbox->n_lanes = 2;
	for (int i = 0; i < 2; i++) {
		pair_init(&n->p[i], o);
		pair_rule(&n->p[i], PAIR_SERVER, "echo-bytes", 7000);
	}
	for (int i = 0; configure && i < 4; i++)
		configure(&n->p[i / 2].end[i % 2].config);
	client = &n->p[0].end[PAIR_CLIENT];
	pair_rule(&n->p[0], PAIR_CLIENT, "talk", 9);
	share_client(n, o);
	for (uint32_t i = 0; i < 2; i++)
		start_lane(n, &n->p[i].end[PAIR_SERVER], mr_memory_port(n->p[i].wire, 0), i);
	start_lane(n, client, &n->spread.port, 2);
	for (int i = 0; i < 2; i++)
		mr_lane_path_answer(client->lane, client->paths->path[i].remote, i);
	return n;
}

struct mr_lane_stats *net_server(struct net *n, int lane)
{
	return &n->p[lane].end[PAIR_SERVER].stats;
}

static bool net_step(struct net *n)
{
	unsigned int did = mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane);

	for (int i = 0; i < 2; i++)
		did += mr_lane_turn(n->p[i].end[PAIR_SERVER].lane);
	return did > 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool net_run(struct net *n, uint32_t ms, bool (*done)(void *arg), void *arg)
{
	uint64_t end = net_clock(n) + ms * 1000000ull;

	for (;;) {
		uint64_t now = net_clock(n);
		uint64_t next = end;

		while (net_step(n))
			;
		if (done && done(arg))
			return true;
		if (now >= end)
			return !done;
		for (int i = 0; i < 2; i++) {
			next = earlier(next, mr_memory_next(n->p[i].wire));
			next = earlier(next, mr_lane_next_ns(n->p[i].end[PAIR_SERVER].lane));
		}
		next = earlier(next, mr_lane_next_ns(n->p[0].end[PAIR_CLIENT].lane));
		if (next <= now)
			next = now + 1000;
		for (int i = 0; i < 2; i++)
			mr_memory_advance(n->p[i].wire, next - now);
	}
}

void net_free(struct net *n)
{
	uint64_t held;

	net_run(n, 1000, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		for (int e = 0; e < 2 - i; e++) {
			assert_int_equal(n->p[i].end[e].stats.connections, 0);
			assert_int_equal(n->p[i].end[e].stats.half_open, 0);
			assert_true(pair_frames_are_whole(&n->p[i], e, &held));
			assert_int_equal(held, 0);
		}
	}
	for (int i = 0; i < 2; i++) {
		for (int e = 0; e < 2 - i; e++) {
			mr_lane_free(n->p[i].end[e].lane);
			n->p[i].end[e].lane = NULL;
		}
	}
	for (int i = 0; i < 2; i++)
		pair_free(&n->p[i]);
	free(n->mailbox);
	free(n);
}