/* SPDX-License-Identifier: MIT */
/* The world: hosts and lanes, the virtual clock, what happens when, and the end. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/port/tee.h"

#define START_NS    SIM_SECOND
#define EVENTS_MOST 4000000ull /* turns: more is a storm */

enum {
	BOUND_S = 3000,	    /* after the net healed, all connections are over */
	PROGRESS_S = 300,   /* and something happens in each of these */
	GIVE_UP_S = 1000,   /* beyond R2 (RFC 9293 3.8.3) of a timeout that was never backed off */
	IDLE_MOST = 200000, /* rounds in a row in which no lane found anything to do */
	TURNS_AT_A_TIME = 2000, /* of a lane without time passing: more is a loop */
};

void sim_fail(struct sim *s, const char *format, ...)
{
	va_list args;
	int n;

	if (s->result->failed)
		return;
	s->result->failed = true;
	n = snprintf(s->result->why, SIM_WORDS,
		     "at %.6f s: ", (double)(s->now_ns - START_NS) / 1e9);
	va_start(args, format);
	vsnprintf(s->result->why + n, SIM_WORDS - (size_t)n, format, args);
	va_end(args);
}

bool sim_is_healed(const struct sim *s)
{
	return s->now_ns - START_NS >= s->scenario.heal_ns;
}

uint64_t sim_lane_ns(const struct sim_lane *l)
{
	return l->sim->now_ns - START_NS + l->sim->offset_ns[l->side];
}

/* Bytes were read, or a connection opened or ended. */
void sim_moved(struct sim *s)
{
	s->progress++;
	s->progress_ns = s->now_ns;
}

static uint64_t clock_ns(void *arg)
{
	return sim_lane_ns(arg);
}

/* ----- hosts ----- */

static void write_path(struct sim_lane *l, unsigned int i)
{
	static const uint8_t v4[2][4] = { { 192, 0, 2, 2 }, { 192, 0, 2, 1 } };
	static const uint8_t v6[4] = { 0x20, 0x01, 0x0d, 0xb8 };
	struct mr_path *p = &l->paths->path[i];

	p->seq += 2;
	p->state = MR_PATH_VALID;
	if (i) {
		memcpy(p->remote, v6, 4);
		memcpy(p->local, v6, 4);
		p->remote[15] = (uint8_t)(2 - !l->side);
		p->local[15] = (uint8_t)(2 - l->side);
	} else {
		memset(p->remote + 10, 0xff, 2);
		memset(p->local + 10, 0xff, 2);
		memcpy(p->remote + 12, v4[!l->side], 4);
		memcpy(p->local + 12, v4[l->side], 4);
	}
	memcpy(p->next_hop_mac, l->sim->net.mac[!l->side], 6);
	memcpy(p->own_mac, l->sim->net.mac[l->side], 6);
	p->vlan[0] = l->sim->net.vlan[!l->side];
	p->mtu = l->config.mtu;
}

static int ask_path(void *arg, const uint8_t remote[16])
{
	struct sim_lane *l = arg;

	memcpy(l->asked, remote, 16);
	l->has_asked = true;
	return 0;
}

/* A turn; the daemon's answer to what it asked comes at once, and another turn behind it. */
unsigned int sim_lane_turn(struct sim_lane *l)
{
	unsigned int n = mr_lane_turn(l->lane);

	if (!l->has_asked)
		return n;
	l->has_asked = false;
	mr_lane_path_answer(l->lane, l->asked, l->asked[0] ? 1 : 0);
	return n + mr_lane_turn(l->lane);
}

static void configure(struct sim_lane *l)
{
	const struct sim_scenario *sc = &l->sim->scenario;
	const struct sim_host *h = &sc->host[l->side];
	uint16_t lo = sc->port_lo, n = (uint16_t)((sc->port_hi - sc->port_lo + 1) / sc->lanes);

	l->config = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.isn_secret = { h->isn_key[0], h->isn_key[1] },
		.hash_secret = { h->isn_key[1] + 1, h->isn_key[0] },
		.mtu = 1500,
		.nagle = h->nagle,
		.receive_buffer = h->receive_buffer,
		.send_buffer = h->send_buffer,
		.time_wait_ms = h->time_wait_ms,
		.fin_wait_ms = h->fin_wait_ms,
		.delayed_ack_ms = h->delayed_ack_ms,
		.beat_ms = 20,
		.user_timeout_ms = h->user_timeout_ms,
		.open = { .syn_cookies = h->cookies,
			  .syn_ack_retries = h->syn_ack_retries,
			  .fast_open = h->fast_open,
			  .fast_open_pending = h->fast_open_pending,
			  .source_connections = h->source_connections,
			  .source_half_open = h->source_half_open,
			  .fast_open_secret = { h->isn_key[0] + 2, h->isn_key[1] + 3 } },
		.keepalive = { h->keep_idle_s > 0, h->keep_idle_s, 5, 9 },
		.cpu = -1,
	};
	n = n ? n : 1;
	l->config.port_lo = l->side == SIM_CLIENT ? (uint16_t)(lo + l->queue * n) : SIM_PORT;
	l->config.port_hi = l->side == SIM_CLIENT ? (uint16_t)(l->config.port_lo + n - 1)
						  : SIM_PORT;
	memcpy(l->config.mac, l->sim->net.mac[l->side], 6);
	l->rule[0] = (struct mr_lane_rule){ .name = "other",
					    .app = "sim",
					    .vlan = (uint32_t)MR_VLAN_ANY,
					    .port = 10,
					    .protocol = 6,
					    .any_family = 1,
					    .ttl = 77,
					    .dscp = 7,
					    .backlog = 1,
					    .directory = -1 };
	l->rule[SIM_RULE] = (struct mr_lane_rule){
		.name = "sim",
		.app = "sim",
		.vlan = (uint32_t)MR_VLAN_ANY,
		.port = l->side == SIM_SERVER && sc->class != SIM_BOTH ? SIM_PORT : 9,
		.protocol = 6,
		.any_family = 1,
		.ttl = h->ttl,
		.dscp = h->dscp,
		.cc = h->cc,
		.ecn = h->ecn,
		.backlog = h->backlog,
		.directory = -1,
	};
	l->config.n_rules = SIM_RULE + 1;
}

static void open_tee(struct sim_lane *l, const char *dir)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/seed-%llu-%s%u.pcapng", dir,
		 (unsigned long long)l->sim->scenario.seed,
		 l->side == SIM_SERVER ? "server" : "client", l->queue);
	l->tee_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (l->tee_fd < 0)
		return;
	l->tee = mr_tee_new(&l->port.port, l->port.umem, l->tee_fd, "sim0", clock_ns, l);
}

static bool make_memory(struct sim_lane *l)
{
	const struct sim_host *h = &l->sim->scenario.host[l->side];
	struct mr_arena_sizes sizes = {
		.frames = h->frames,
		.frame_bytes = SIM_FRAME_BYTES,
		.conns = h->conns,
		.half_open = h->half_open,
		.time_wait = h->time_wait,
		.sessions = 16,
		.message_bytes = MR_MESSAGE_BLOCK,
	};
	bool huge;

	if (mr_arena_create("sim", &sizes, false, &l->arena_fd, &huge) < 0 ||
	    mr_arena_map(&l->arena, l->arena_fd, true) < 0)
		return false;
	l->paths = calloc(1, sizeof(*l->paths));
	l->end_of = calloc(h->conns, sizeof(struct sim_end *));
	l->generation = calloc(h->conns, sizeof(uint32_t));
	l->cwnd_was = calloc(h->conns, sizeof(uint32_t));
	l->mark = calloc(h->frames, 1);
	return l->paths && l->end_of && l->generation && l->cwnd_was && l->mark &&
	       sim_port_init(l, h->ring) == 0;
}

static void make_lane(struct sim *s, uint32_t i, const char *dir)
{
	static const struct mr_app *const apps[] = { &sim_app };
	static const struct mr_lane_asks asks = { .path = ask_path };
	struct sim_lane *l = &s->lane[i];
	char error[256] = "";

	l->sim = s;
	l->side = i / s->scenario.lanes;
	l->queue = i % s->scenario.lanes;
	if (!make_memory(l))
		abort();
	configure(l);
	for (unsigned int k = 0; k < 2; k++)
		write_path(l, k);
	if (dir)
		open_tee(l, dir);
	l->setup = (struct mr_lane_setup){
		.arena = &l->arena,
		.port = l->tee ? l->tee : &l->port.port,
		.config = &l->config,
		.rules = l->rule,
		.stats = &l->stats,
		.mailbox = s->mailbox[l->side],
		.paths = l->paths,
		.apps = apps,
		.n_apps = 1,
		.asks = &asks,
		.asks_arg = l,
		.clock_ns = clock_ns,
		.clock_arg = l,
		.lane = l->queue,
		.n_lanes = s->scenario.lanes,
		.epoch = 1,
	};
	l->lane = mr_lane_new(&l->setup, error, sizeof(error));
	if (!l->lane)
		sim_fail(s, "%s", error);
}

static void free_lane(struct sim_lane *l)
{
	if (l->lane)
		mr_lane_free(l->lane);
	if (l->tee) {
		l->tee->ops->close(l->tee);
		close(l->tee_fd);
	}
	sim_port_fini(&l->port);
	mr_arena_unmap(&l->arena);
	close(l->arena_fd);
	free(l->paths);
	free(l->end_of);
	free(l->generation);
	free(l->cwnd_was);
	free(l->mark);
}

static void make_mailboxes(struct sim *s)
{
	for (unsigned int i = 0; i < 2 && s->scenario.lanes > 1; i++) {
		s->mailbox[i] = calloc(1, MR_MAILBOX_BYTES(s->scenario.lanes));
		if (!s->mailbox[i])
			abort();
		s->mailbox[i]->n_lanes = s->scenario.lanes;
	}
}

/* ----- events ----- */

static void happen(struct sim *s, const struct sim_event *e)
{
	struct sim_lane *l = &s->lane[e->side * s->scenario.lanes + e->arg % s->scenario.lanes];

	switch (e->kind) {
	case SIM_EVENT_OUTAGE:
		s->net.outage_ns[e->side] = s->now_ns + e->arg;
		break;
	case SIM_EVENT_ADDRESS:
		sim_net_move(s, e->side, e->arg);
		for (uint32_t i = 0; i < 2 * s->n_lanes; i++)
			write_path(&s->lane[i / 2], i % 2);
		break;
	case SIM_EVENT_STALL:
		l->stalled_ns = s->now_ns + e->arg;
		break;
	case SIM_EVENT_JUMP:
		s->offset_ns[e->side] += e->arg;
		break;
	case SIM_EVENT_RSS:
		s->net.rss++;
		break;
	case SIM_EVENT_KILL:
		sim_kill(l);
		break;
	case SIM_EVENT_KEY:
		memset(s->fast_open, 0, sizeof(s->fast_open));
		for (uint32_t i = 0; i < s->scenario.lanes; i++)
			s->lane[i].lane->tcp_config.fast_open_key.k[0]++;
		break;
	}
}

static int by_time(const void *a, const void *b)
{
	const struct sim_event *e = a, *f = b;

	return e->at_ns < f->at_ns ? -1 : e->at_ns > f->at_ns;
}

static void run_events(struct sim *s)
{
	uint64_t now = s->now_ns - START_NS;

	while (s->next_event < s->scenario.n_events &&
	       s->scenario.event[s->next_event].at_ns <= now)
		happen(s, &s->scenario.event[s->next_event++]);
	while (s->begun < s->n_flows && s->flow[s->begun]->begin_ns <= now)
		sim_flow_begin(s, s->flow[s->begun++]);
}

/* ----- turns ----- */

static bool turn(struct sim_lane *l)
{
	struct sim *s = l->sim;
	bool killed = l->killed;
	unsigned int n;

	if (s->now_ns < l->stalled_ns || s->now_ns < l->turned_ns + s->scenario.turn_ns)
		return false;
	sim_laws_before(l);
	n = sim_lane_turn(l);
	l->turned_ns = s->now_ns;
	/* what was overdue when a wheel began is in its first tick, which is the next one */
	l->killed = killed && sim_lane_ns(l) / SIM_MS == l->killed_ms;
	if (l->killed)
		return n > 0;
	if (n || killed) {
		s->result->events++;
		sim_laws(l, killed);
	}
	return n > 0;
}

/* All lanes, in an order that the seed chooses, until none has anything to do now. */
static void run_lanes(struct sim *s)
{
	bool busy = true;

	s->idle++;
	for (uint32_t n = 0; busy && !s->result->failed; n++) {
		uint32_t first = (uint32_t)(sim_draw(&s->turns) % s->n_lanes);

		busy = false;
		sim_net_arrive(s);
		for (uint32_t i = 0; i < s->n_lanes; i++)
			busy |= turn(&s->lane[(first + i) % s->n_lanes]);
		if (busy)
			s->idle = 0;
		if (s->scenario.turn_ns)
			break;
		if (s->idle > IDLE_MOST)
			sim_fail(s, "a lane wakes again and again and finds nothing to do");
		if (n > TURNS_AT_A_TIME)
			sim_fail(s, "lanes are busy and no time passes");
	}
}

static uint64_t lane_next(const struct sim_lane *l)
{
	uint64_t wake = mr_lane_next_ns(l->lane);
	uint64_t now = sim_lane_ns(l);
	uint64_t next = UINT64_MAX;

	if (lane_mail_waits(l->lane))
		next = l->sim->now_ns;
	else if (wake != UINT64_MAX)
		next = l->sim->now_ns + (wake > now ? wake - now : 0);
	if (next != UINT64_MAX && next < l->stalled_ns)
		next = l->stalled_ns;
	if (next != UINT64_MAX && next < l->turned_ns + l->sim->scenario.turn_ns)
		next = l->turned_ns + l->sim->scenario.turn_ns;
	return next;
}

/* The clock, to the next thing that happens; at least a little, so that no lane spins. */
static bool advance(struct sim *s)
{
	uint64_t next = sim_net_next(s);
	uint64_t least = s->now_ns + (s->scenario.turn_ns ? s->scenario.turn_ns : 1000);

	for (uint32_t i = 0; i < s->n_lanes; i++) {
		uint64_t at = lane_next(&s->lane[i]);

		next = at < next ? at : next;
	}
	if (s->next_event < s->scenario.n_events &&
	    s->scenario.event[s->next_event].at_ns + START_NS < next)
		next = s->scenario.event[s->next_event].at_ns + START_NS;
	if (s->begun < s->n_flows && s->flow[s->begun]->begin_ns + START_NS < next)
		next = s->flow[s->begun]->begin_ns + START_NS;
	if (next == UINT64_MAX)
		return false;
	s->now_ns = next > least ? next : least;
	return true;
}

/* ----- progress ----- */

/*
 * The peer of this end is gone, its last RST was lost, and this end has nothing to send: no TCP
 * would ever find that out. Its application gives up. So it does where a cookie of an earlier
 * connection of the ports opened what the peer knows nothing of, and R2 is a quarter of an hour.
 */
static bool reap(struct sim *s)
{
	bool any = false;

	for (uint32_t i = 0; i < 2 * s->n_flows; i++) {
		struct sim_end *e = &s->flow[i / 2]->end[i % 2];
		struct sim_end *p = sim_peer(e);
		struct mr_conn *c;

		if (!e->id || e->closed || e->reaped || (p->id && !p->closed))
			continue;
		c = lane_conn_find(e->lane->lane, e->id);
		if (!c || (c->snd_una != c->snd_nxt && !s->header_altered &&
			   !s->scenario.host[SIM_SERVER].cookies))
			continue;
		e->reaped = any = true;
		mr_abort(mr_lane_host(e->lane->lane), e->id);
	}
	return any;
}

/* What was corrupted behind a good checksum may have left both ends in good faith apart. */
static bool reap_all(struct sim *s)
{
	bool any = false;

	for (uint32_t i = 0; s->header_altered && i < 2 * s->n_flows; i++) {
		struct sim_end *e = &s->flow[i / 2]->end[i % 2];

		if (!e->id || e->closed || e->reaped)
			continue;
		e->reaped = any = true;
		mr_abort(mr_lane_host(e->lane->lane), e->id);
	}
	return any;
}

static bool is_over(struct sim *s)
{
	if (s->begun < s->n_flows)
		return false;
	while (s->first_open < s->n_flows && sim_flow_is_over(s->flow[s->first_open]))
		s->first_open++;
	for (uint32_t i = s->first_open; i < s->n_flows; i++)
		if (!sim_flow_is_over(s->flow[i]))
			return false;
	return true;
}

static bool is_quiet(const struct sim *s)
{
	if (s->net.n_heap)
		return false;
	for (uint32_t i = 0; i < s->n_lanes; i++) {
		const struct mr_lane_stats *st = &s->lane[i].stats;

		if (st->connections || st->half_open || st->time_wait || st->frames.ctl)
			return false;
	}
	return true;
}

/* Says of the first connection that is not over how both ends stand. */
static void fail_waiting(struct sim *s, const char *what)
{
	char text[2][120] = { "not open", "not open" };
	const struct sim_flow *f = s->flow[s->first_open < s->n_flows ? s->first_open : 0];

	for (unsigned int i = 0; i < 2; i++) {
		const struct sim_end *e = &f->end[i];
		const struct mr_conn *c = e->id ? lane_conn_find(e->lane->lane, e->id) : NULL;

		if (c)
			snprintf(text[i], sizeof(text[i]),
				 "%s, flags %x, wrote %u/%u, read %u, queued %u, unread %u, window "
				 "%u",
				 mr_tcp_state_name(c->state), c->flags, (uint32_t)e->written,
				 (uint32_t)e->to_send, (uint32_t)e->received, c->tx_bytes,
				 c->rx_bytes, c->snd_wnd);
		else if (e->closed)
			snprintf(text[i], sizeof(text[i]), "%s", mr_close_reason_text(e->reason));
	}
	sim_fail(s, "%s: flow %u, port %u: server %s; client %s", what, f->number, f->client_port,
		 text[0], text[1]);
}

/*
 * Where a corrupted header left both ends apart, what their applications have closed already is
 * given up by R2 alone: a timestamp from the future makes all that is true look old.
 */
static void watch_progress(struct sim *s)
{
	uint32_t bound_s = s->header_altered ? GIVE_UP_S : PROGRESS_S;
	uint64_t healed = START_NS + s->scenario.heal_ns;
	uint64_t since = s->progress_ns > healed ? s->progress_ns : healed;

	if (s->now_ns < since + bound_s * SIM_SECOND)
		return;
	s->progress_ns = s->now_ns;
	if (!reap(s) && !reap_all(s) && !is_over(s))
		fail_waiting(s, "no progress");
}

static void run(struct sim *s)
{
	uint64_t bound = START_NS + s->scenario.heal_ns + BOUND_S * SIM_SECOND;

	while (!s->result->failed) {
		run_events(s);
		run_lanes(s);
		if (is_over(s) && is_quiet(s))
			return;
		watch_progress(s);
		if (s->now_ns > bound)
			fail_waiting(s, "not over in time");
		if (s->result->events > EVENTS_MOST)
			sim_fail(s, "a storm of frames");
		if (!advance(s)) {
			if (!is_over(s) && !reap(s) && !reap_all(s))
				fail_waiting(s, "nothing will ever happen");
			else if (is_over(s))
				return;
		}
	}
}

bool sim_run(uint64_t seed, const char *dir, struct sim_result *r)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	memset(r, 0, sizeof(*r));
	s->result = r;
	s->start_ns = s->now_ns = START_NS;
	sim_scenario_draw(&s->scenario, seed);
	qsort(s->scenario.event, s->scenario.n_events, sizeof(struct sim_event), by_time);
	s->turns = sim_rng_split(seed, SIM_RNG_TURNS);
	for (unsigned int i = 0; i < 2; i++)
		s->offset_ns[i] = s->scenario.host[i].clock_ns;
	sim_net_init(s);
	make_mailboxes(s);
	s->n_lanes = 2 * s->scenario.lanes;
	for (uint32_t i = 0; i < s->n_lanes; i++)
		make_lane(s, i, dir);
	sim_flows_plan(s);
	run(s);
	if (!r->failed)
		sim_laws_at_end(s);
	r->hash = sim_mix(r->hash ^ r->events ^ s->now_ns << 20 ^ r->bytes << 40);
	r->connections = s->begun;
	for (uint32_t i = 0; i < s->n_lanes; i++)
		free_lane(&s->lane[i]);
	sim_flows_fini(s);
	sim_net_fini(s);
	free(s->mailbox[0]);
	free(s->mailbox[1]);
	free(s);
	return !r->failed;
}

static void describe_link(const char *name, const struct sim_link *l)
{
	printf("  %s: %llu bit/s, %llu us + %llu us%s, queue %u; loss %u, bursts %u/%u/%u, twice "
	       "%u, "
	       "reorder %u, late %u, flip %u, text %u, header %u, forge %u, mtu %u%s, strip %llx, "
	       "marks %u, SYN text lost %u, twice %u\n",
	       name, (unsigned long long)l->rate_bps, (unsigned long long)l->delay_ns / 1000,
	       (unsigned long long)l->jitter_ns / 1000, l->overtakes ? " overtaking" : "",
	       l->queue_bytes, l->loss, l->burst_begin, l->burst_end, l->burst_loss, l->twice,
	       l->reorder, l->late, l->flip, l->text, l->header, l->forge, l->mtu,
	       l->tells ? " told" : "", (unsigned long long)l->strip, l->mark, l->syn_text_loss,
	       l->syn_twice);
}

void sim_describe(uint64_t seed)
{
	static const char *const kinds[] = { "outage", "address", "stall", "jump",
					     "rss",    "key",	  "kill" };
	struct sim_scenario s;

	sim_scenario_draw(&s, seed);
	printf("  seed %llu: %s, %u+%u lanes, %u connections of up to %u bytes, %s%s, ports %u-%u, "
	       "heals at %llu ms%s%s%s%s%s%s\n",
	       (unsigned long long)seed, sim_class_name(s.class), s.lanes, s.lanes, s.n_flows,
	       s.bytes_most, s.ipv4 ? "IPv4 " : "", s.ipv6 ? "IPv6" : "", s.port_lo, s.port_hi,
	       (unsigned long long)s.heal_ns / SIM_MS, s.strict ? ", strict" : "",
	       s.dawdles ? ", dawdling" : "", s.stalls ? ", stalling" : "",
	       s.aborts ? ", aborting" : "", s.timeouts ? ", time-outs" : "",
	       s.urgent ? ", urgent" : "");
	for (unsigned int i = 0; i < 2; i++) {
		const struct sim_host *h = &s.host[i];

		printf("  %s: %u frames, %u blocks, rings %u, buffers %u/%u, delack %u ms, dma "
		       "%llu us, "
		       "keepalive %u s, time-wait %u ms, clock %llu ms\n",
		       i ? "client" : "server", h->frames, h->conns, h->ring, h->receive_buffer,
		       h->send_buffer, h->delayed_ack_ms, (unsigned long long)h->dma_ns / 1000,
		       h->keep_idle_s, h->time_wait_ms, (unsigned long long)h->clock_ns / SIM_MS);
		printf("    %s, ecn %s, ttl %u, dscp %u, cookies %u, SYN-ACKs %u, Fast Open %u of "
		       "%u, "
		       "a source %u/%u, user time-out %u ms\n",
		       mr_cc_names()[h->cc], mr_ecn_names()[h->ecn], h->ttl, h->dscp, h->cookies,
		       h->syn_ack_retries, h->fast_open, h->fast_open_pending,
		       h->source_connections, h->source_half_open, h->user_timeout_ms);
		describe_link(i ? "client to server" : "server to client", &s.link[i]);
	}
	for (uint32_t i = 0; i < s.n_events; i++)
		printf("  at %llu ms: %s of side %u, %llu\n",
		       (unsigned long long)s.event[i].at_ns / SIM_MS, kinds[s.event[i].kind],
		       s.event[i].side, (unsigned long long)s.event[i].arg);
}
