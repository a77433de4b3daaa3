/* SPDX-License-Identifier: MIT */
/*
 * The lane's life and its turn. One clock reading serves a turn; no lock, no allocation but of
 * application states, no call that blocks.
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LIMBO_MS = 1000,      /* how long frames of a dead worker may take to complete */
	STATISTICS_MS = 1000, /* between two readings of XDP_STATISTICS */
	MTU_LEAST = 576,      /* a smaller one is not believed */
	TABLE_START = 1024,   /* entries that the table has room for at first */
	IDLE_LOOKS = 4096,    /* active records looked at once a second, at most */
};

static void read_clock(struct mr_lane *l)
{
	l->now_ns = l->s.clock_ns(l->s.clock_arg);
	l->tcp.now_us = l->now_ns / 1000;
	l->tcp.now_ms = (uint32_t)(l->now_ns / 1000000);
	if (!l->tcp.now_ms) /* 0 means "off" in deadlines and "none" in stamps */
		l->tcp.now_ms = 1;
}

static void configure_tcp(struct mr_lane *l)
{
	const struct mr_lane_config *c = l->s.config;

	l->tcp_config = (struct mr_tcp_config){
		.isn_key = { { c->isn_secret[0], c->isn_secret[1] } },
		.receive_buffer = c->receive_buffer,
		.send_buffer = c->send_buffer,
		.mtu = c->mtu,
		.mtu_probing = c->mtu_probing,
		.user_timeout_ms = c->user_timeout_ms,
		.time_wait_ms = c->time_wait_ms,
		.fin_wait_ms = c->fin_wait_ms,
		.delayed_ack_ms = c->delayed_ack_ms,
		.answer_ms = MR_ANSWER_MS,
		.nagle = c->nagle,
		.quiet_half_open = l->s.n_lanes > 1,
		.keepalive = c->keepalive.enabled,
		.keep_idle_s = c->keepalive.idle_s,
		.keep_interval_s = c->keepalive.interval_s,
		.keep_count = c->keepalive.count,
		.syn_ack_retries = c->open.syn_ack_retries,
		.fast_open = c->open.fast_open,
		.fast_open_key = { { c->open.fast_open_secret[0], c->open.fast_open_secret[1] } },
	};
	l->hash_key = (struct mr_siphash_key){ { c->hash_secret[0], c->hash_secret[1] } };
	l->tcp.frames = &l->frames;
	l->tcp.actives = &l->actives;
	l->tcp.traces = &l->traces;
	l->tcp.pmtu = &l->pmtu;
	l->tcp.config = &l->tcp_config;
	l->tcp.ops = &lane_tcp_ops;
	l->tcp.stats = l->stats;
	l->tcp.fast_open = &l->fast_open_cache;
	l->tcp.ts_offset = (uint32_t)mr_siphash24(&l->tcp_config.isn_key, "timestamps", 10);
	memcpy(l->mac, c->mac, sizeof(l->mac));
}

/* ----- making one ----- */

static void zero_gauges(struct mr_lane_stats *s)
{
#define C(field, text) s->field = 0;
	MR_LANE_GAUGES(C)
#undef C
}

/*
 * Frames, records and store: as an earlier worker left them, or all free. Returns false when there
 * is no memory to rebuild what it left.
 */
static bool init_memory(struct mr_lane *l)
{
	const struct mr_arena *a = l->s.arena;
	const struct mr_arena_header *h = (const struct mr_arena_header *)(const void *)a->base;
	bool takes_over = h->epoch && !l->s.fresh;
	uint32_t n;
	uint8_t *frames = mr_arena_area(a, MR_AREA_FRAMES, &n);

	mr_frames_adopt(&l->frames, frames, mr_arena_area(a, MR_AREA_FRAME_RECORDS, NULL), n,
			h->area[MR_AREA_FRAMES].record_bytes, (uint64_t *)&l->stats->frames);
	mr_messages_adopt_begin(&l->messages, mr_arena_area(a, MR_AREA_MESSAGES, NULL),
				mr_arena_area(a, MR_AREA_MESSAGE_MAP, NULL),
				h->area[MR_AREA_MESSAGES].bytes);
	if (takes_over)
		return lane_rebuild(l);
	mr_frames_adopted(&l->frames, l->s.held);
	mr_messages_adopt_end(&l->messages);
	lane_records_clear(l);
	memset(l->hand, 0, sizeof(*l->hand));
	lane_hand_clear(l->hand);
	l->hand->state_bytes = l->state_bytes;
	l->hand->tx_index = *l->port->tx_index;
	if (l->s.mailbox && h->epoch)
		mr_mailbox_forget(l->s.mailbox, l->s.n_lanes, l->s.lane);
	lane_transmit_begin(l);
	lane_reset_all(l);
	return true;
}

/* Without memory for it the lane serves all the same, and counts nobody. */
static void init_sources(struct mr_lane *l)
{
	const struct mr_open_settings *o = &l->s.config->open;

	if (o->source_connections || o->source_half_open)
		mr_sources_init(&l->sources, l->n_conns + l->n_halves, &l->hash_key);
}

static void free_memory(struct mr_lane *l)
{
	lane_attached_fini(l);
	lane_rules_fini(l);
	mr_sources_fini(&l->sources);
	mr_table_fini(&l->table);
	free(l);
}

/* All but the memory of an earlier worker. */
static struct mr_lane *make(const struct mr_lane_setup *setup, char *error, size_t error_bytes)
{
	struct mr_lane *l = calloc(1, sizeof(*l));

	if (!l || mr_table_init(&l->table, TABLE_START, lane_matches, lane_hash_of, l) < 0) {
		snprintf(error, error_bytes, "no memory for the lane");
		free(l);
		return NULL;
	}
	l->s = *setup;
	l->port = setup->port;
	l->stats = setup->stats;
	read_clock(l);
	configure_tcp(l);
	zero_gauges(l->stats);
	lane_records_init(l);
	mr_wheel_init(&l->wheel, l->conns, l->tcp.now_ms);
	init_sources(l);
	return l;
}

struct mr_lane *mr_lane_new(const struct mr_lane_setup *setup, char *error, size_t error_bytes)
{
	struct mr_lane *l = make(setup, error, error_bytes);
	uint64_t begin_ns;

	if (!l)
		return NULL;
	begin_ns = l->now_ns;
	lane_beat(l);
	if (lane_rules_init(l, error, error_bytes) < 0) {
		free_memory(l);
		return NULL;
	}
	if (!init_memory(l)) {
		snprintf(error, error_bytes, "no memory to rebuild the lane");
		free_memory(l);
		return NULL;
	}
	l->s.held = NULL; /* the caller's again */
	read_clock(l);
	if (l->header->epoch && !setup->fresh)
		l->stats->rebuild_us += (l->now_ns - begin_ns) / 1000;
	l->limbo_until_ns = l->now_ns + LIMBO_MS * 1000000ull;
	l->follow_next = UINT32_MAX;
	l->header->epoch = setup->epoch;
	l->stats->epoch = setup->epoch;
	l->stats->started_ns = l->now_ns;
	lane_refill(l);
	lane_transmit_end(l);
	lane_overrun_init(l);
	lane_full_init(l);
	l->stats->state = MR_LANE_SERVING;
	return l;
}

void mr_lane_free(struct mr_lane *l)
{
	read_clock(l);
	l->stats->state = MR_LANE_STOPPING;
	lane_transmit_begin(l);
	for (uint32_t i = 0; i < l->header->conns_used; i++)
		if (l->conns[i].state != MR_CLOSED)
			mr_tcp_abort_call(&l->tcp, &l->conns[i], MR_CLOSE_SHUTDOWN);
	lane_run_ready(l);
	lane_transmit_end(l);
	l->stats->state = MR_LANE_OFF;
	free_memory(l);
}

void mr_lane_leave(struct mr_lane *l)
{
	lane_transmit_end(l);
	l->stats->state = MR_LANE_STARTING;
	free_memory(l);
}

/* ----- the turn ----- */

void lane_beat(struct mr_lane *l)
{
	if (!l->s.beat)
		return;
	l->s.beat->epoch = l->s.epoch;
	/* Release: the XDP program and the daemon take it as "everything before was done". */
	__atomic_store_n(&l->s.beat->beat_ns, l->now_ns, __ATOMIC_RELEASE);
}

/*
 * The daemon follows the interface: its MAC address counts at once, its MTU for new connections at
 * once and for those that stand in the turns that follow.
 */
static void follow_interface(struct mr_lane *l)
{
	const struct mr_path_table *paths = l->s.paths;
	struct mr_own_address own[MR_OWN_ADDRESSES];
	struct mr_mtu_route routes[MR_MTU_ROUTES];
	uint32_t seq, mtu, n, n_own;
	uint8_t mac[6];

	if (!paths)
		return;
	/* Acquire: pairs with the daemon's release after it wrote the fields. */
	seq = __atomic_load_n(&paths->seq, __ATOMIC_ACQUIRE);
	if (seq == l->paths_seq || seq & 1)
		return;
	mtu = paths->mtu;
	memcpy(mac, paths->mac, sizeof(mac));
	n = paths->n_mtu_routes;
	memcpy(routes, paths->mtu_route, sizeof(routes));
	n_own = paths->n_addresses;
	memcpy(own, paths->address, sizeof(own));
	/* Acquire fence: the copy is done before seq is read again. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&paths->seq, __ATOMIC_RELAXED) != seq)
		return; /* being written: next turn */
	l->paths_seq = seq;
	l->n_mtu_routes = n < MR_MTU_ROUTES ? n : MR_MTU_ROUTES;
	memcpy(l->mtu_route, routes, sizeof(routes));
	l->n_addresses = n_own < MR_OWN_ADDRESSES ? n_own : MR_OWN_ADDRESSES;
	memcpy(l->address, own, sizeof(own));
	if (mtu >= MTU_LEAST)
		l->tcp_config.mtu = mtu;
	memcpy(l->mac, mac, sizeof(l->mac));
	l->follow_next = 0;
}

/* A tenth of the pool, so that a record idles hardly longer than twice MR_ACTIVE_IDLE_MS. */
static uint32_t idle_looks(const struct mr_lane *l)
{
	uint32_t n = l->actives.used / 10 + 1;

	return n < IDLE_LOOKS ? n : IDLE_LOOKS;
}

/* What is looked after once a second. */
static void now_and_then(struct mr_lane *l)
{
	struct mr_port_statistics s;

	if (l->now_ns < l->statistics_ns + STATISTICS_MS * 1000000ull)
		return;
	l->statistics_ns = l->now_ns;
	mr_tcp_give_idle(&l->tcp, idle_looks(l));
	lane_rules_leave(l);
	l->port->ops->statistics(l->port, &s);
	l->stats->xsk_rx_dropped = s.rx_dropped;
	l->stats->xsk_rx_invalid = s.rx_invalid;
	l->stats->xsk_tx_invalid = s.tx_invalid;
	l->stats->xsk_rx_ring_full = s.rx_ring_full;
	l->stats->xsk_fill_empty = s.fill_empty;
	l->stats->xsk_tx_empty = s.tx_empty;
	if (l->limbo_until_ns && l->now_ns > l->limbo_until_ns && !l->s.zero_copy) {
		l->limbo_until_ns = 0;
		mr_frames_end_limbo(&l->frames);
	}
}

unsigned int mr_lane_turn(struct mr_lane *l)
{
	unsigned int n;

	read_clock(l);
	lane_beat(l);
	n = lane_complete(l);
	lane_transmit_begin(l);
	follow_interface(l);
	n += lane_follow_paths(l);
	n += lane_receive(l);
	n += lane_mail_receive(l);
	n += mr_wheel_advance(&l->wheel, l->tcp.now_ms, lane_timer_fires, l);
	n += lane_expire_records(l);
	if (l->attached)
		n += lane_attached_look(l);
	n += lane_run_ready(l);
	if (l->attached)
		lane_attached_tell(l);
	if (lane_transmit_end(l)) /* in copy mode the kernel is done with them */
		lane_complete(l);
	lane_refill(l);
	lane_overrun_look(l);
	now_and_then(l);
	l->stats->turns += n > 0;
	return n;
}

static uint32_t next_ms(const struct mr_lane *l)
{
	uint32_t timer = mr_wheel_next(&l->wheel);
	uint32_t record = lane_next_record_ms(l);

	return timer < record ? timer : record;
}

uint32_t mr_lane_sleep_ms(struct mr_lane *l)
{
	uint32_t ms = next_ms(l);
	uint32_t most = l->s.config->beat_ms;

	if (l->follow_next != UINT32_MAX)
		return 0;
	if (l->ready.head != MR_NONE) /* an answer of the daemon came since the turn */
		return 0;
	/* for frames, for room in the ring, or for a program to take events */
	if (l->waiting.head != MR_NONE || l->tx_refused || (l->attached && lane_attached_waits(l)))
		most = 1;
	return ms < most ? ms : most;
}

uint64_t mr_lane_next_ns(const struct mr_lane *l)
{
	uint32_t ms = next_ms(l);

	if (l->ready.head != MR_NONE || l->follow_next != UINT32_MAX)
		return l->now_ns;
	/* looked at again as often as mr_lane_sleep_ms() says */
	if (l->waiting.head != MR_NONE || (l->attached && lane_attached_waits(l)))
		ms = ms < 1 ? ms : 1;
	return ms == UINT32_MAX ? UINT64_MAX : (l->now_ns / 1000000 + ms) * 1000000;
}

void mr_lane_drain(struct mr_lane *l, bool on)
{
	l->draining = on;
}

void mr_lane_time_by(struct mr_lane *l, uint64_t ticks_rate)
{
	l->s.ticks_rate = ticks_rate;
}

bool mr_lane_is_drained(const struct mr_lane *l)
{
	return l->draining && !l->stats->connections && !l->stats->half_open;
}

uint64_t mr_lane_texts(const struct mr_lane *l)
{
	return l->n_texts;
}

uint64_t mr_lane_memory(const struct mr_lane *l)
{
	return sizeof(*l) + mr_table_bytes(&l->table);
}
