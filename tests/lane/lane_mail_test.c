/* SPDX-License-Identifier: MIT */
/*
 * Two lanes of one interface share a mailbox: frames of one connection that arrive on both queues
 * reach the lane that owns it, and only what nobody knows is reset, once.
 *
 *	            wire 0 ---- lane 0 \
 *	client ---<                     > mailbox
 *	            wire 1 ---- lane 1 /
 *
 * The client's port spreads its frames over the two wires by a rule of the test.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"
#include "user/wire/segment.h"

struct net;

/* The client's port: both wires behind one. */
struct spread {
	struct mr_port port;
	struct mr_port *half[2];
	unsigned int (*which)(struct net *n, const uint8_t *frame, uint32_t len);
	struct net *net;
	const uint8_t *umem;
	uint32_t turn; /* of receive and fill */
};

struct net {
	struct pair p[2]; /* end 0 of each is a server lane; end 1 of the first is the client */
	struct spread spread;
	struct mr_mailbox_header *mailbox;
	uint32_t sent;	 /* frames of the client */
	uint32_t resets; /* RSTs that came to the client's port */
};

/* ----- the client's port ----- */

static struct spread *spread_of(struct mr_port *p)
{
	return (struct spread *)(void *)p;
}

/* Flags of a TCP segment over IPv4 without options or VLAN. */
static uint8_t flags_of(const uint8_t *frame)
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
		s->net->resets += (flags_of(s->umem + spans[i].addr) & MR_RST) != 0;
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

static unsigned int alternate(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)frame, (void)len;
	return n->sent % 2;
}

static unsigned int second_only(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)n, (void)frame, (void)len;
	return 1;
}

static uint64_t net_clock(void *arg)
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
		.port = { &spread_ops },
		.half = { mr_memory_port(n->p[0].wire, 1), mr_memory_port(n->p[1].wire, 1) },
		.which = alternate,
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

static struct net *net_new(void)
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

static struct mr_lane_stats *server(struct net *n, int lane)
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

static bool net_run(struct net *n, uint32_t ms, bool (*done)(void *arg), void *arg)
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

static void net_free(struct net *n)
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

/* ----- frames of one connection on both queues ----- */

static void spread_frames_reach_their_connection(void **state)
{
	enum { LEN = 200000 };
	uint8_t *data = malloc(LEN);
	struct net *n = net_new();
	struct talk t[10];

	(void)state;
	for (int i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 5 + (i >> 8));
	for (int i = 0; i < 10; i++) {
		t[i] = (struct talk){ .out = data, .out_len = LEN - (size_t)i, .half_close = true };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	for (int i = 0; i < 10; i++) {
		assert_true(net_run(n, 20000, talk_is_closed, &t[i]));
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, LEN - i);
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, data, LEN - (size_t)i));
	}
	/* an older ACK that comes after the last one meets no connection any more */
	assert_in_range(n->resets, 0, 2);
	for (int i = 0; i < 2; i++) {
		assert_in_range(server(n, i)->resets_out, 0, 2);
		assert_true(server(n, i)->mail_in > 100);
		assert_int_equal(server(n, i)->mail_in, server(n, !i)->mail_out);
	}
	assert_int_equal(server(n, 0)->passive_opens + server(n, 1)->passive_opens, 10);
	net_free(n);
	free(data);
}

/* The queue changes after the handshake and stays so: as veth's hash does after a timeout. */
static unsigned int move_after_handshake(struct net *n, const uint8_t *frame, uint32_t len)
{
	(void)len;
	(void)n;
	return !(flags_of(frame) & MR_SYN);
}

static void flow_that_moved_is_handed_back(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "moved", .out_len = 5, .half_close = true };

	(void)state;
	n->spread.which = move_after_handshake;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 5000, talk_is_closed, &t));
	assert_string_equal(t.in, "moved");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	net_run(n, 10, NULL, NULL);
	assert_int_equal(server(n, 0)->passive_opens, 1);
	assert_int_equal(server(n, 0)->closed.done, 1);
	assert_int_equal(server(n, 1)->passive_opens, 0);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* ----- the handshake ----- */

static unsigned int drop_first_answer(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				      uint64_t *delay_ns)
{
	uint32_t *dropped = arg;

	(void)frame, (void)len, (void)delay_ns;
	if (from != PAIR_SERVER || *dropped)
		return 1;
	(*dropped)++;
	return 0;
}

/* SYN on lane 0, its SYN-ACK is lost, the SYN again on lane 1: lane 0 answers it. */
static void syn_again_on_the_other_queue_joins_the_handshake(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "again", .out_len = 5, .half_close = true };
	uint32_t dropped = 0;

	(void)state;
	mr_memory_set_fate(n->p[0].wire, drop_first_answer, &dropped);
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 10000, talk_is_closed, &t));
	assert_int_equal(dropped, 1);
	assert_string_equal(t.in, "again");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(server(n, 0)->passive_opens, 1);
	assert_int_equal(server(n, 1)->passive_opens, 0);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* Even when the hint is lost and both lanes have a half-open record, one connection comes of it. */
static void two_half_open_records_make_one_connection(void **state)
{
	struct net *n = net_new();
	struct talk t = { .out = "twice", .out_len = 5, .half_close = true };
	uint32_t dropped = 0;

	(void)state;
	mr_memory_set_fate(n->p[0].wire, drop_first_answer, &dropped);
	talk_begin(&n->p[0], &t, 7000, false);
	net_run(n, 500, NULL, NULL);
	assert_int_equal(server(n, 0)->half_open, 1);
	memset(n->mailbox->flow, 0, sizeof(n->mailbox->flow));
	assert_true(net_run(n, 20000, talk_is_closed, &t));
	assert_string_equal(t.in, "twice");
	assert_int_equal(t.reason, MR_CLOSE_DONE);
	assert_int_equal(server(n, 0)->passive_opens + server(n, 1)->passive_opens, 1);
	net_run(n, 200000, NULL, NULL); /* the other record gives up */
	net_free(n);
}

/* ----- nobody's ----- */

static unsigned int drop_answers(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				 uint64_t *delay_ns)
{
	(void)arg, (void)frame, (void)len, (void)delay_ns;
	return from != PAIR_SERVER;
}

/* Both server lanes reset what they have, and the client does not hear of it. */
static void forget_connections(struct net *n)
{
	for (int i = 0; i < 2; i++) {
		struct mr_lane *l = n->p[i].end[PAIR_SERVER].lane;

		mr_memory_set_fate(n->p[i].wire, drop_answers, NULL);
		for (uint32_t c = 0; c < l->header->conns_used; c++)
			if (l->conns[c].state != MR_CLOSED)
				mr_tcp_abort_call(&l->tcp, &l->conns[c], MR_CLOSE_ABORTED);
	}
	net_run(n, 10, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		mr_memory_set_fate(n->p[i].wire, NULL, NULL);
		assert_int_equal(server(n, i)->connections, 0);
		server(n, i)->resets_out = 0;
	}
}

/* A segment of a connection that neither lane knows: one RST, from the last that was asked. */
static void unknown_segment_is_reset_once(void **state)
{
	struct net *n = net_new();
	struct talk t = { 0 };

	(void)state;
	talk_begin(&n->p[0], &t, 7000, false);
	assert_true(net_run(n, 1000, talk_is_open, &t));
	net_run(n, 10, NULL, NULL);
	forget_connections(n);
	talk_say(&t, "anybody?", 8);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(n->resets, 1);
	assert_int_equal(server(n, 0)->resets_out + server(n, 1)->resets_out, 1);
	assert_int_equal(
		server(n, 0)->drop.tcp_no_connection + server(n, 1)->drop.tcp_no_connection, 1);
	net_free(n);
}

/* A port where nobody listens: the same. */
static void syn_for_nobody_is_reset_once(void **state)
{
	struct net *n = net_new();
	struct talk t = { 0 };

	(void)state;
	talk_begin(&n->p[0], &t, 7999, false);
	assert_true(net_run(n, 1000, talk_is_closed, &t));
	assert_int_equal(t.reason, MR_CLOSE_REFUSED);
	assert_int_equal(n->resets, 1);
	net_free(n);
}

/* ----- a full mailbox ----- */

/* The other lane does not come to read its mail: the surplus is dropped and counted. */
static void full_mailbox_drops_and_counts(void **state)
{
	struct net *n = net_new();
	struct talk t[100];
	struct mr_lane_stats *s = server(n, 1);

	(void)state;
	for (int i = 0; i < 100; i++) {
		t[i] = (struct talk){ 0 };
		talk_begin(&n->p[0], &t[i], 7000, false);
	}
	n->spread.which = move_after_handshake;
	net_run(n, 1000, NULL, NULL);
	assert_int_equal(server(n, 0)->connections + s->connections, 100);
	n->spread.which = second_only;
	for (int i = 0; i < 100; i++)
		talk_say(&t[i], "mail", 4);
	mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane);
	for (int i = 0; i < 2; i++)
		mr_memory_advance(n->p[i].wire, 20000);
	while (mr_lane_turn(n->p[1].end[PAIR_SERVER].lane)) /* lane 0 does not run */
		;
	assert_true(s->drop.mail_full > 0);
	net_run(n, 5000, NULL, NULL); /* the peers send again, and all is well */
	for (int i = 0; i < 100; i++) {
		assert_string_equal(t[i].in, "mail");
		talk_close(&t[i]);
	}
	net_run(n, 1000, NULL, NULL);
	assert_int_equal(n->resets, 0);
	net_free(n);
}

/* A lane that dozes is told, and does not sleep with mail waiting. */
static void mail_keeps_a_lane_awake(void **state)
{
	struct net *n = net_new();
	struct mr_lane *first = n->p[0].end[PAIR_SERVER].lane;
	struct talk t = { .out = "x", .out_len = 1 };

	(void)state;
	assert_true(mr_lane_doze(first));
	mr_lane_wake(first);
	n->spread.which = move_after_handshake;
	talk_begin(&n->p[0], &t, 7000, false);
	for (int i = 0; i < 4; i++) {
		mr_lane_turn(n->p[0].end[PAIR_CLIENT].lane);
		for (int w = 0; w < 2; w++)
			mr_memory_advance(n->p[w].wire, 20000);
		if (i < 2)
			mr_lane_turn(first);
	}
	mr_lane_turn(n->p[1].end[PAIR_SERVER].lane);
	assert_false(mr_lane_doze(first));
	mr_lane_wake(first);
	net_run(n, 10, NULL, NULL);
	assert_string_equal(t.in, "x");
	talk_close(&t);
	net_run(n, 100, NULL, NULL);
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spread_frames_reach_their_connection),
		cmocka_unit_test(flow_that_moved_is_handed_back),
		cmocka_unit_test(syn_again_on_the_other_queue_joins_the_handshake),
		cmocka_unit_test(two_half_open_records_make_one_connection),
		cmocka_unit_test(unknown_segment_is_reset_once),
		cmocka_unit_test(syn_for_nobody_is_reset_once),
		cmocka_unit_test(full_mailbox_drops_and_counts),
		cmocka_unit_test(mail_keeps_a_lane_awake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
