/* SPDX-License-Identifier: MIT */
/*
 * The connections of a simulation and the application at both ends: it writes a pattern in pieces
 * of random sizes, reads, stalls, dawdles, and ends in one of several ways. What it reads is
 * compared with the pattern at once.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	WRITE_MOST = 8192,
};

/* ----- the pattern: any byte of any direction without a table ----- */

void sim_pattern(const struct sim_end *e, uint64_t offset, uint8_t *to, uint32_t len)
{
	uint64_t key = e->flow->key + e->side;
	uint64_t word = sim_mix(key ^ offset >> 3);

	for (uint32_t i = 0; i < len; i++, offset++) {
		if (!(offset & 7))
			word = sim_mix(key ^ offset >> 3);
		to[i] = (uint8_t)(word >> (offset & 7) * 8);
	}
}

bool sim_pattern_is(const struct sim_end *e, uint64_t offset, const uint8_t *p, uint32_t len)
{
	uint8_t expect[SIM_FRAME_BYTES];

	while (len) {
		uint32_t n = len < sizeof(expect) ? len : sizeof(expect);

		sim_pattern(e, offset, expect, n);
		if (memcmp(expect, p, n) != 0)
			return false;
		p += n;
		offset += n;
		len -= n;
	}
	return true;
}

/* ----- plans ----- */

static uint64_t size_of(const struct sim_scenario *s, struct sim_rng *r)
{
	if (s->class == SIM_CALM || s->class == SIM_SINGLE)
		return s->bytes_most;
	return sim_chance(r, 200000) ? sim_between(r, 0, 3) : sim_between(r, 0, s->bytes_most);
}

static void plan_end(struct sim *s, struct sim_end *e, struct sim_rng *r)
{
	const struct sim_scenario *sc = &s->scenario;

	e->rng = sim_rng_split(sim_draw(r), e->side);
	e->finish = SIM_FINISH_SHUT;
	e->to_send = size_of(sc, r);
	e->abort_at = e->stall_at = e->shut_read_at = UINT64_MAX;
	e->write_most = (uint32_t)sim_between(r, 1, sim_chance(r, 500000) ? WRITE_MOST : 100);
	if (e->to_send / e->write_most > 3000)
		e->write_most = WRITE_MOST;
	e->in_place = sim_chance(r, 300000);
	e->nodelay = sim_chance(r, 300000);
	e->pause_ms = (uint32_t)sim_between(r, 1, 300);
	e->dawdles = sc->dawdles && sim_chance(r, 500000);
	if (sc->dawdles && sim_chance(r, 500000))
		e->read_most = (uint32_t)sim_between(r, 1, 3000);
	if (sc->stalls && sim_chance(r, 600000)) {
		e->stall_at = sim_between(r, 0, 20000);
		e->stall_ms = sim_between(r, 100, 20000);
	}
	if (!sc->aborts || !sim_chance(r, 400000))
		return;
	e->finish = sim_chance(r, 500000) ? SIM_FINISH_ABORT : SIM_FINISH_CLOSE;
	e->abort_at = e->finish == SIM_FINISH_ABORT ? sim_between(r, 0, e->to_send) : UINT64_MAX;
	if (sim_chance(r, 200000))
		e->shut_read_at = sim_between(r, 0, 5000);
}

/* What is drawn from streams of its own. */
static void plan_more(struct sim *s, struct sim_end *e)
{
	const struct sim_scenario *sc = &s->scenario;
	uint64_t number = 2ull * e->flow->number + e->side + 1;
	struct sim_rng open = sim_rng_split(sc->seed, SIM_RNG_FAST_OPEN + number);
	struct sim_rng time = sim_rng_split(sc->seed, SIM_RNG_TIMEOUT + number);

	e->urge_rng = sim_rng_split(sc->seed, SIM_RNG_URGENT + number);
	e->urges = sc->urgent && sim_chance(&e->urge_rng, 500000);
	if (sc->timeouts && sim_chance(&time, 300000))
		e->user_timeout_ms = (uint32_t)sim_between(&time, 500, 60000);
	if (e->side != SIM_CLIENT)
		return;
	/* the server knows nothing of a cookie whose ACK is lost: the client has to speak */
	if (sc->host[SIM_SERVER].cookies && !e->to_send && e->finish == SIM_FINISH_LAST)
		e->to_send = 1;
	if (sc->host[SIM_CLIENT].fast_open && sim_chance(&open, 700000)) {
		e->early = sim_between(&open, 1, sim_chance(&open, 500000) ? 4000 : 100);
		e->early = e->early < e->to_send ? e->early : e->to_send;
		e->early = e->early < e->abort_at ? e->early : e->abort_at;
	}
}

static void plan_flow(struct sim *s, struct sim_flow *f)
{
	const struct sim_scenario *sc = &s->scenario;
	struct sim_rng r = sim_rng_split(sc->seed, SIM_RNG_PLANS + 1 + f->number);

	f->ipv6 = sc->ipv6 && (!sc->ipv4 || sim_chance(&r, 500000));
	f->key = sim_draw(&r) & ~1ull;
	f->begin_ns = sc->spread_ns ? sim_between(&r, 0, sc->spread_ns) : 0;
	for (unsigned int i = 0; i < 2; i++) {
		f->end[i].sim = s;
		f->end[i].flow = f;
		f->end[i].side = i;
		plan_end(s, &f->end[i], &r);
	}
	if (sc->class == SIM_CALM || sc->class == SIM_SINGLE) {
		f->end[SIM_CLIENT].to_send = 100;
		f->end[SIM_CLIENT].write_most = f->end[SIM_SERVER].write_most = WRITE_MOST;
		f->end[SIM_CLIENT].finish = SIM_FINISH_LAST;
	} else if (sim_chance(&r, 500000)) {
		struct sim_end *last = &f->end[sim_draw(&r) % 2];

		if (last->finish == SIM_FINISH_SHUT)
			last->finish = SIM_FINISH_LAST;
	}
	for (unsigned int i = 0; i < 2; i++)
		plan_more(s, &f->end[i]);
}

static int by_begin(const void *a, const void *b)
{
	const struct sim_flow *const *f = a, *const *g = b;

	if ((*f)->begin_ns != (*g)->begin_ns)
		return (*f)->begin_ns < (*g)->begin_ns ? -1 : 1;
	return (*f)->number < (*g)->number ? -1 : 1;
}

void sim_flows_plan(struct sim *s)
{
	s->n_flows = s->scenario.n_flows;
	s->flow = calloc(s->n_flows, sizeof(struct sim_flow *));
	for (unsigned int i = 0; i < 2; i++) {
		s->by_port[i] = calloc(1 << 16, sizeof(struct sim_flow *));
		s->reset[0][i] = calloc(1 << 16, sizeof(bool));
		s->reset[1][i] = calloc(1 << 16, sizeof(bool));
		if (!s->flow || !s->by_port[i] || !s->reset[0][i] || !s->reset[1][i])
			abort();
	}
	for (uint32_t i = 0; i < s->n_flows; i++) {
		s->flow[i] = calloc(1, sizeof(struct sim_flow));
		if (!s->flow[i])
			abort();
		s->flow[i]->number = i;
		plan_flow(s, s->flow[i]);
	}
	qsort(s->flow, s->n_flows, sizeof(struct sim_flow *), by_begin);
}

void sim_flows_fini(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_flows; i++)
		free(s->flow[i]);
	free(s->flow);
	for (unsigned int i = 0; i < 2; i++) {
		free(s->by_port[i]);
		free(s->reset[0][i]);
		free(s->reset[1][i]);
	}
}

/* ----- who is who ----- */

static struct sim_end *end_of_id(struct mr_host *h, mr_conn_id c)
{
	struct sim_end **e = mr_conn_state(h, c);

	return e ? *e : NULL;
}

struct sim_end *sim_end_of(struct sim_lane *l, const struct mr_conn *c)
{
	uint32_t i = conn_index(l->lane, c);
	struct sim_end *e = l->end_of[i];

	return e && l->generation[i] == c->generation ? e : NULL;
}

static void attach(struct sim_lane *l, struct mr_host *h, mr_conn_id id, struct sim_end *e)
{
	struct mr_conn *c = lane_conn_find(l->lane, id);
	struct sim_end **place = mr_conn_state(h, id);
	uint32_t i = conn_index(l->lane, c);

	*place = e;
	e->id = id;
	e->lane = l;
	l->end_of[i] = e;
	l->generation[i] = c->generation;
}

static struct sim_lane *lane_of_host(struct sim *s, struct mr_host *h)
{
	for (uint32_t i = 0; i < s->n_lanes; i++)
		if (mr_lane_host(s->lane[i].lane) == h)
			return &s->lane[i];
	abort();
}

/* Whose connection did a passive open begin? The peer's initial sequence number tells. */
static struct sim_end *accepted(struct sim *s, const struct mr_conn *c)
{
	uint16_t port = mr_be16(c->remote_port);
	struct sim_flow *f = s->by_port[!mr_is_ipv4(c->remote)][port];

	if (f && f->end[SIM_CLIENT].wire.iss == c->irs)
		return &f->end[SIM_SERVER];
	for (uint32_t i = 0; i < s->begun; i++) {
		f = s->flow[i];
		if (f->bound && f->client_port == port && f->end[SIM_CLIENT].wire.iss == c->irs)
			return &f->end[SIM_SERVER];
	}
	return NULL;
}

/* ----- the application ----- */

static void arm(struct mr_host *h, struct sim_end *e)
{
	uint64_t now = mr_now_ms(h);
	uint64_t next = e->say_ms;

	if (e->read_ms && (!next || e->read_ms < next))
		next = e->read_ms;
	if (next)
		mr_timer(h, e->id, next > now ? (unsigned int)(next - now) : 1);
}

static void give_back(struct mr_host *h, struct sim_end *e)
{
	e->gave_back = true;
	mr_close(h, e->id);
}

/* All is written: how does this end leave? */
static void finish(struct mr_host *h, struct sim_end *e)
{
	if (e->gave_back)
		return;
	if (e->eof || e->finish == SIM_FINISH_CLOSE) {
		give_back(h, e);
	} else if (e->finish == SIM_FINISH_SHUT && !e->shut) {
		e->shut = true;
		mr_shutdown(h, e->id, SHUT_WR);
	}
}

static uint64_t piece(struct sim_end *e)
{
	uint64_t most = e->to_send < e->abort_at ? e->to_send : e->abort_at;
	uint64_t n = sim_between(&e->rng, 1, e->write_most);

	return n < most - e->written ? n : most - e->written;
}

/* Returns false when no more can be written now. */
static bool write_piece(struct mr_host *h, struct sim_end *e)
{
	uint8_t bytes[WRITE_MOST];
	uint64_t n = piece(e);
	int64_t done;

	if (e->in_place) {
		size_t room = 0;
		uint8_t *to = mr_reserve(h, e->id, &room);

		if (!to)
			return false;
		n = n < room ? n : room;
		sim_pattern(e, e->written, to, (uint32_t)n);
		mr_commit(h, e->id, n);
		e->written += n;
		return true;
	}
	sim_pattern(e, e->written, bytes, (uint32_t)n);
	done = mr_send(h, e->id, bytes, n);
	if (done < 0)
		return false;
	e->written += (uint64_t)done;
	return (uint64_t)done == n;
}

static void urge(struct mr_host *h, struct sim_end *e)
{
	if (!e->urges || e->n_urged == SIM_URGES || !sim_chance(&e->urge_rng, 100000))
		return;
	e->urged[e->n_urged++] = e->written;
	if (mr_urge(h, e->id) < 0)
		sim_fail(e->sim, "text that was queued cannot be urgent");
}

static void say(struct mr_host *h, struct sim_end *e)
{
	if (e->shut || e->gave_back || e->closed || e->say_ms)
		return;
	while (e->written < e->to_send && e->written < e->abort_at) {
		if (!write_piece(h, e))
			return;
		urge(h, e);
		if (e->dawdles && sim_chance(&e->rng, 300000) && !sim_is_healed(e->sim)) {
			e->say_ms = mr_now_ms(h) + sim_between(&e->rng, 1, e->pause_ms);
			arm(h, e);
			return;
		}
	}
	if (e->written >= e->abort_at) {
		e->gave_back = true;
		mr_abort(h, e->id);
		return;
	}
	finish(h, e);
}

static void app_open(struct mr_host *h, mr_conn_id id)
{
	struct sim_end *e = end_of_id(h, id);

	if (!e) { /* a passive open; mr_lane is behind its host */
		struct mr_lane *lane = (struct mr_lane *)(void *)h;
		struct sim *s = lane->s.clock_arg ? ((struct sim_lane *)lane->s.clock_arg)->sim : 0;

		e = accepted(s, lane_conn_find(lane, id));
		if (!e || e->opened) {
			if (!s->header_altered && !(e && sim_open_may_come_again(e)))
				sim_fail(s, "a connection opened that nobody asked for");
			mr_abort(h, id);
			return;
		}
		attach(lane_of_host(s, h), h, id, e);
	}
	e->opened = true;
	sim_moved(e->sim);
	sim_open_done(e, lane_conn_find(e->lane->lane, id));
	if (e->user_timeout_ms)
		mr_user_timeout(h, id, e->user_timeout_ms);
	if (e->nodelay)
		mr_nodelay(h, id, true);
	say(h, e);
}

/* How many of @len bytes will it take now? */
static size_t appetite(struct mr_host *h, struct sim_end *e, size_t len)
{
	if (e->received >= e->stall_at && !e->stalled && !sim_is_healed(e->sim)) {
		e->stalled = true;
		e->read_ms = mr_now_ms(h) + e->stall_ms;
		arm(h, e);
		return 0;
	}
	if (e->read_ms && mr_now_ms(h) < e->read_ms)
		return 0;
	if (e->read_most && len > e->read_most && !sim_is_healed(e->sim)) {
		e->read_ms = mr_now_ms(h) + sim_between(&e->rng, 1, e->pause_ms);
		arm(h, e);
		return e->read_most;
	}
	return len;
}

static enum mr_app_verdict app_bytes(struct mr_host *h, mr_conn_id id, const uint8_t *data,
				     size_t len, size_t *used)
{
	struct sim_end *e = end_of_id(h, id);

	*used = len;
	if (!e)
		return MR_APP_DONE;
	if (!e->sim->header_altered) {
		if (e->received + len > sim_peer(e)->written)
			sim_fail(e->sim, "more bytes arrived than were sent");
		else if (!e->sim->text_altered &&
			 !sim_pattern_is(sim_peer(e), e->received, data, (uint32_t)len))
			sim_fail(e->sim, "bytes arrived that were not sent there");
		if (e->eof)
			sim_fail(e->sim, "bytes behind the end");
	}
	*used = appetite(h, e, len);
	e->received += *used;
	e->sim->result->bytes += *used;
	if (*used)
		sim_moved(e->sim);
	if (e->received >= e->shut_read_at && !e->shut_read) {
		e->shut_read = true;
		mr_shutdown(h, id, SHUT_RD);
	}
	return *used < len ? MR_APP_AGAIN : MR_APP_DONE;
}

static void app_writable(struct mr_host *h, mr_conn_id id)
{
	struct sim_end *e = end_of_id(h, id);

	if (e)
		say(h, e);
}

static void app_peer_shutdown(struct mr_host *h, mr_conn_id id)
{
	struct sim_end *e = end_of_id(h, id);
	struct sim_end *p;

	if (!e) {
		mr_close(h, id);
		return;
	}
	p = sim_peer(e);
	if (!e->sim->header_altered && !e->shut_read &&
	    (e->received != p->written || !(p->shut || p->gave_back)))
		sim_fail(e->sim, "the end came after %llu of %llu bytes",
			 (unsigned long long)e->received, (unsigned long long)p->written);
	e->eof = true;
	sim_moved(e->sim);
	if (e->shut)
		give_back(h, e);
	else
		say(h, e);
}

static void app_urgent(struct mr_host *h, mr_conn_id id)
{
	struct sim_end *e = end_of_id(h, id);

	if (e && !e->gave_back)
		sim_urge_laws(e, mr_urgent(h, id));
}

static void app_timer(struct mr_host *h, mr_conn_id id)
{
	struct sim_end *e = end_of_id(h, id);
	uint64_t now = mr_now_ms(h);

	if (!e)
		return;
	if (e->say_ms && e->say_ms <= now) {
		e->say_ms = 0;
		say(h, e);
	}
	if (e->read_ms && e->read_ms <= now) {
		e->read_ms = 0;
		mr_resume(h, id);
	}
	arm(h, e);
}

static void app_closed(struct mr_host *h, mr_conn_id id, int reason)
{
	struct sim_end *e = end_of_id(h, id);

	if (!e)
		return;
	if (e->closed)
		sim_fail(e->sim, "a connection was closed twice");
	e->closed = true;
	e->reason = reason;
	e->closed_ns = e->sim->now_ns;
	if (!e->flow->done_ns && sim_flow_is_over(e->flow))
		e->flow->done_ns = e->sim->now_ns;
	sim_moved(e->sim);
	sim_laws_closed(e);
}

const struct mr_app sim_app = {
	.name = "sim",
	.conn_bytes = sizeof(struct sim_end *),
	.open = app_open,
	.bytes = app_bytes,
	.writable = app_writable,
	.peer_shutdown = app_peer_shutdown,
	.urgent = app_urgent,
	.timer = app_timer,
	.closed = app_closed,
};

/* ----- beginning and end ----- */

static void begin_end(struct sim *s, struct sim_end *e, uint16_t port)
{
	static const uint8_t v4[2][4] = { { 192, 0, 2, 2 }, { 192, 0, 2, 1 } };
	struct sim_lane *l =
		&s->lane[e->side * s->scenario.lanes +
			 (e->side == SIM_CLIENT ? e->flow->number % s->scenario.lanes : 0)];
	uint8_t early[SIM_FRAME_BYTES * 2];
	size_t n_early = (size_t)e->early;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	mr_conn_id id;

	memcpy(&in.sin_addr, v4[!e->side], 4);
	in6.sin6_addr.s6_addr[0] = 0x20;
	in6.sin6_addr.s6_addr[1] = 0x01;
	in6.sin6_addr.s6_addr[2] = 0x0d;
	in6.sin6_addr.s6_addr[3] = 0xb8;
	in6.sin6_addr.s6_addr[15] = e->side == SIM_CLIENT ? 2 : 1;
	sim_lane_turn(l); /* reads the clock */
	sim_pattern(e, 0, early, (uint32_t)n_early);
	if (lane_connect(l->lane, SIM_RULE, NULL,
			 e->flow->ipv6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
			 n_early ? early : NULL, &n_early, &id) < 0) {
		e->flow->failed = true;
		return;
	}
	e->written = n_early;
	attach(l, mr_lane_host(l->lane), id, e);
	sim_lane_turn(l);
}

void sim_flow_begin(struct sim *s, struct sim_flow *f)
{
	if (s->scenario.class == SIM_BOTH) {
		begin_end(s, &f->end[SIM_SERVER], s->scenario.port_lo);
		begin_end(s, &f->end[SIM_CLIENT], SIM_PORT);
		return;
	}
	begin_end(s, &f->end[SIM_CLIENT], SIM_PORT);
}

bool sim_flow_is_over(const struct sim_flow *f)
{
	for (unsigned int i = 0; i < 2; i++)
		if (f->end[i].id && !f->end[i].closed)
			return false;
	return f->failed || f->end[0].id || f->end[1].id;
}

/* Must this connection have ended in order, with all bytes on both sides? */
bool sim_flow_is_strict(const struct sim *s, const struct sim_flow *f)
{
	if (!s->scenario.strict || s->header_altered)
		return false;
	for (unsigned int i = 0; i < 2; i++)
		if (f->end[i].finish > SIM_FINISH_LAST || f->end[i].shut_read_at != UINT64_MAX)
			return false;
	return true;
}
