/* SPDX-License-Identifier: MIT */
#include "tests/sim/scenario.h"

#include <string.h>

#include "shared/mr_cc.h"
#include "shared/mr_worker.h"
#include "user/wire/segment.h"
#include "user/wire/siphash.h"

const char *sim_class_name(enum sim_class class)
{
	static const char *const names[] = { "calm", "single loss", "mixed", "many",
					     "poor", "both open",   "wild" };

	return class < SIM_CLASS_COUNT ? names[class] : "?";
}

static uint64_t pick(struct sim_rng *r, const uint64_t *from, size_t n)
{
	return from[sim_draw(r) % n];
}

#define PICK(r, ...)                                                                               \
	pick(r, (const uint64_t[]){ __VA_ARGS__ },                                                 \
	     sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void draw_host(struct sim_host *h, struct sim_rng *r)
{
	*h = (struct sim_host){
		.frames = (uint32_t)PICK(r, 512, 1024, 1024),
		.conns = 256,
		.half_open = 128,
		.time_wait = 256,
		.ring = (uint32_t)PICK(r, 64, 128, 256),
		.receive_buffer = (uint32_t)PICK(r, 8 << 10, 64 << 10, 256 << 10),
		.send_buffer = (uint32_t)PICK(r, 8 << 10, 64 << 10, 256 << 10),
		.delayed_ack_ms = (uint32_t)PICK(r, 1, 40, 40, 200, 500),
		.time_wait_ms = (uint32_t)PICK(r, 500, 5000, 60000),
		.fin_wait_ms = (uint32_t)PICK(r, 1000, 20000, 60000),
		.keep_idle_s = sim_chance(r, 300000) ? (uint32_t)sim_between(r, 1, 30) : 0,
		.dma_ns = PICK(r, 0, 0, 0, 20000, 3000000, 3000000, 40000000),
		.isn_key = { sim_draw(r), sim_draw(r) },
		.backlog = 64,
		.nagle = sim_chance(r, 700000),
	};
	/* a tenth of all hosts is about to see its millisecond clock wrap */
	h->clock_ns = SIM_SECOND * sim_between(r, 1, 5000);
	if (sim_chance(r, 100000))
		h->clock_ns = ((1ull << 32) - sim_between(r, 1, 30000)) * SIM_MS;
}

static void draw_losses(struct sim_link *l, struct sim_rng *r)
{
	if (sim_chance(r, 600000))
		l->loss = (uint32_t)PICK(r, 1000, 10000, 50000, 200000);
	if (sim_chance(r, 250000)) {
		l->burst_begin = (uint32_t)sim_between(r, 1000, 20000);
		l->burst_end = (uint32_t)sim_between(r, 100000, 500000);
		l->burst_loss = (uint32_t)sim_between(r, 500000, 1000000);
	}
	if (sim_chance(r, 300000))
		l->twice = (uint32_t)PICK(r, 1000, 20000, 200000);
	if (sim_chance(r, 400000))
		l->reorder = (uint32_t)PICK(r, 1000, 20000, 200000);
	if (sim_chance(r, 300000))
		l->cut = (uint32_t)PICK(r, 10000, 200000);
	if (sim_chance(r, 200000))
		l->late = (uint32_t)PICK(r, 500, 5000);
	if (sim_chance(r, 300000))
		l->flip = (uint32_t)PICK(r, 1000, 20000);
	if (sim_chance(r, 300000))
		l->forge = (uint32_t)PICK(r, 5000, 50000);
	if (sim_chance(r, 40000))
		l->text = 2000;
}

static void draw_link(struct sim_link *l, struct sim_rng *r)
{
	*l = (struct sim_link){
		.rate_bps = PICK(r, 0, 1000000, 10000000, 100000000),
		.delay_ns = PICK(r, 1000, 50000, 1000000, 10000000, 50000000, 150000000),
		.queue_bytes = (uint32_t)PICK(r, 4000, 20000, 100000, 400000),
	};
	if (sim_chance(r, 500000)) {
		l->jitter_ns = sim_between(r, 1, l->delay_ns);
		l->overtakes = sim_chance(r, 500000);
	}
}

static void draw_path(struct sim_link *l, struct sim_rng *r)
{
	if (sim_chance(r, 150000)) {
		l->mtu = (uint32_t)PICK(r, 576, 1280, 1400, 1492);
		l->tells = sim_chance(r, 700000);
	}
}

static void add_event(struct sim_scenario *s, struct sim_rng *r, enum sim_event_kind kind,
		      uint64_t arg)
{
	if (s->n_events < SIM_EVENTS)
		s->event[s->n_events++] = (struct sim_event){
			.at_ns = sim_between(r, 0, s->heal_ns),
			.arg = arg,
			.kind = kind,
			.side = (unsigned int)(sim_draw(r) % 2),
		};
}

static void draw_events(struct sim_scenario *s, struct sim_rng *r)
{
	for (uint32_t i = sim_chance(r, 300000) ? 2 : 0; i; i--)
		add_event(s, r, SIM_EVENT_OUTAGE, sim_between(r, 10, 5000) * SIM_MS);
	for (uint32_t i = sim_chance(r, 250000) ? 2 : 0; i; i--)
		add_event(s, r, SIM_EVENT_ADDRESS, sim_draw(r));
	for (uint32_t i = sim_chance(r, 250000) ? 3 : 0; i; i--)
		add_event(s, r, SIM_EVENT_STALL, sim_between(r, 1, 800) * SIM_MS);
	for (uint32_t i = sim_chance(r, 200000) ? 2 : 0; i; i--)
		add_event(s, r, SIM_EVENT_JUMP, PICK(r, 1, 300, 3000) * SIM_MS);
	if (sim_chance(r, 60000)) {
		add_event(s, r, SIM_EVENT_JUMP, PICK(r, 3600, 10 * 86400) * SIM_SECOND);
		s->strict = false;
	}
	for (uint32_t i = s->lanes > 1 && sim_chance(r, 500000) ? 3 : 0; i; i--)
		add_event(s, r, SIM_EVENT_RSS, 0);
}

/*
 * Initial sequence numbers are a clock and a keyed hash of the tuple (RFC 6528): with one port the
 * tuple is known, and the clock can be set so that the number comes just below @target.
 */
static void steer_isn(struct sim_scenario *s, struct sim_rng *r, unsigned int side)
{
	static const uint8_t v4[2][4] = { { 192, 0, 2, 2 }, { 192, 0, 2, 1 } };
	struct sim_host *h = &s->host[side];
	struct mr_siphash_key key = { { h->isn_key[0], h->isn_key[1] } };
	struct mr_tuple tuple = { 0 };
	uint32_t target = (sim_chance(r, 500000) ? 0 : 1u << 31) -
			  (uint32_t)sim_between(r, 1, s->bytes_most + 1);
	uint16_t port[2] = { SIM_PORT, s->port_lo };

	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *addr = i ? tuple.remote : tuple.local;

		if (s->ipv6) {
			static const uint8_t net[4] = { 0x20, 0x01, 0x0d, 0xb8 };

			memcpy(addr, net, 4);
			addr[15] = (uint8_t)(2 - (i ? !side : side));
		} else {
			memset(addr + 10, 0xff, 2);
			memcpy(addr + 12, v4[i ? !side : side], 4);
		}
	}
	tuple.local_port = mr_to_be16(port[side]);
	tuple.remote_port = mr_to_be16(port[!side]);
	h->clock_ns =
		SIM_SECOND +
		(uint64_t)(target - (uint32_t)mr_siphash24(&key, &tuple, sizeof(tuple)) - 250000) *
			4000;
}

static void draw_addresses(struct sim_scenario *s, struct sim_rng *r)
{
	s->ipv6 = sim_chance(r, 500000);
	s->ipv4 = !s->ipv6 || sim_chance(r, 300000);
	s->port_lo = 40000;
	s->port_hi = 60000;
	if (sim_chance(r, 250000)) { /* ports come again soon */
		s->port_hi = (uint16_t)(s->port_lo + sim_between(r, 0, 3));
		s->strict = s->strict && s->n_flows == 1;
	}
	if (s->n_flows == 1 && sim_chance(r, 700000)) {
		s->port_hi = s->port_lo;
		s->ipv4 = !s->ipv6;
		steer_isn(s, r, SIM_CLIENT);
		if (sim_chance(r, 800000))
			steer_isn(s, r, SIM_SERVER);
	}
}

static void draw_calm(struct sim_scenario *s, struct sim_rng *r)
{
	uint64_t delay = PICK(r, 1000, 1000000, 10000000);
	uint64_t rate = PICK(r, 10000000, 100000000, 1000000000);
	uint64_t strip = sim_chance(r, 400000) ? 1u << 4 : 0; /* SACK */

	s->n_flows = 1;
	s->spread_ns = 0;
	s->bytes_most = 400000;
	s->dawdles = s->stalls = s->aborts = false;
	s->lost_segment = (uint32_t)sim_between(r, 3, 60);
	for (unsigned int i = 0; i < 2; i++) {
		s->link[i] = (struct sim_link){
			.rate_bps = rate, .delay_ns = delay, .queue_bytes = 1 << 30, .strip = strip
		};
		s->host[i].frames = 2048;
		s->host[i].ring = 512;
		s->host[i].receive_buffer = 256 << 10;
		s->host[i].send_buffer = 256 << 10;
		s->host[i].dma_ns = 0;
		s->host[i].keep_idle_s = 0;
		s->host[i].delayed_ack_ms = 40;
	}
	s->lanes = 1;
	s->turn_ns = 0;
	s->heal_ns = SIM_SECOND;
}

static void draw_poor(struct sim_scenario *s, struct sim_rng *r)
{
	for (unsigned int i = 0; i < 2; i++) {
		s->host[i].frames = (uint32_t)PICK(r, 128, 128, 256);
		s->host[i].conns = (uint32_t)sim_between(r, 2, 32);
		s->host[i].half_open = 16;
		s->host[i].time_wait = 16;
		s->host[i].ring = (uint32_t)PICK(r, 16, 32);
		s->host[i].backlog = (uint32_t)sim_between(r, 1, 16);
	}
	s->n_flows = (uint32_t)sim_between(r, 4, 40);
	s->bytes_most = 40000;
	s->strict = false;
}

static void draw_many(struct sim_scenario *s, struct sim_rng *r)
{
	s->n_flows = (uint32_t)PICK(r, 300, 1000, 3000);
	s->bytes_most = 200;
	s->spread_ns = s->n_flows * 5ull * SIM_MS;
	for (unsigned int i = 0; i < 2; i++) {
		s->host[i].conns = 4096;
		s->host[i].half_open = 1024;
		s->host[i].time_wait = 4096;
		s->host[i].backlog = 1024;
		s->host[i].fin_wait_ms = 60000;
		s->link[i].late = 0;
		if (s->link[i].loss > 10000)
			s->link[i].loss = 10000;
	}
	s->dawdles = false;
	s->stalls = false;
	s->port_hi = 60000;
}

static void draw_class(struct sim_scenario *s, struct sim_rng *r)
{
	static const uint8_t share[SIM_CLASS_COUNT] = { 8, 8, 52, 1, 15, 6, 10 };
	uint32_t n = (uint32_t)sim_between(r, 0, 99);

	while (n >= share[s->class])
		n -= share[s->class ++];
}

static void draw_by_class(struct sim_scenario *s, struct sim_rng *r)
{
	switch (s->class) {
	case SIM_CALM:
	case SIM_SINGLE:
		draw_calm(s, r);
		break;
	case SIM_POOR:
		draw_poor(s, r);
		break;
	case SIM_BOTH:
		s->n_flows = (uint32_t)sim_between(r, 1, 2);
		s->strict = s->n_flows == 1; /* they have the same ports */
		s->lanes = 1;
		break;
	case SIM_WILD:
		s->link[0].header = (uint32_t)PICK(r, 1000, 20000);
		s->link[1].header = (uint32_t)PICK(r, 1000, 20000);
		s->strict = false;
		break;
	case SIM_MIXED:
	case SIM_MANY:
	case SIM_CLASS_COUNT:
		break;
	}
}

static bool is_calm(const struct sim_scenario *s)
{
	return s->class == SIM_CALM || s->class == SIM_SINGLE;
}

/* ----- drawn later than the rest, each from a stream of its own ----- */

static void draw_cc(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_CC);

	for (unsigned int i = 0; i < 2; i++) {
		s->host[i].cc = (uint8_t)PICK(&r, MR_CC_CUBIC, MR_CC_CUBIC, MR_CC_NEWRENO,
					      MR_CC_DCTCP, MR_CC_BBR);
		s->host[i].ecn = (uint8_t)PICK(&r, MR_ECN_PASSIVE, MR_ECN_PASSIVE, MR_ECN_ON,
					       MR_ECN_ON, MR_ECN_OFF);
	}
}

/* RFC 9768: two hosts in five know accurate feedback. */
static void draw_accurate(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_ACCURATE);

	for (unsigned int i = 0; i < 2; i++)
		if (sim_chance(&r, 400000))
			s->host[i].ecn = (uint8_t)PICK(&r, MR_ECN_ACCURATE, MR_ECN_ACCURATE,
						       MR_ECN_ACCURATE_ON, MR_ECN_ACCURATE_PASSIVE);
}

static void draw_marks(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_MARKS);

	for (unsigned int i = 0; i < 2 && !is_calm(s); i++)
		if (sim_chance(&r, 500000))
			s->link[i].mark = (uint32_t)PICK(&r, 2000, 20000, 200000, 1000000);
}

/* A handshake that is given up early, or that finds no room, may end a connection. */
static void draw_open(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_OPEN);
	struct sim_host *h = &s->host[SIM_SERVER];

	h->cookies = (uint8_t)PICK(&r, MR_SYN_COOKIES_OFF, MR_SYN_COOKIES_OFF, MR_SYN_COOKIES_OFF,
				   MR_SYN_COOKIES_OFF, MR_SYN_COOKIES_AUTO, MR_SYN_COOKIES_ALWAYS);
	h->syn_ack_retries = 7;
	if (is_calm(s) || s->class == SIM_BOTH)
		return;
	if (h->cookies == MR_SYN_COOKIES_AUTO && sim_chance(&r, 700000)) {
		h->half_open = 16; /* as few as there may be */
		h->backlog = (uint32_t)sim_between(&r, 1, 3);
	}
	if (sim_chance(&r, 300000))
		h->syn_ack_retries = (uint8_t)PICK(&r, 0, 1, 3, 5, 8);
	/* a cookie's listener knows the first segment alone: one behind it is answered by RST */
	s->strict = s->strict && h->syn_ack_retries > 5 && !h->cookies;
	if (s->n_flows == 1 || !sim_chance(&r, 200000))
		return;
	if (sim_chance(&r, 700000))
		h->source_connections = (uint32_t)sim_between(&r, 1, s->n_flows);
	else
		h->source_half_open = (uint32_t)sim_between(&r, 1, 3);
	s->strict = false;
}

static void draw_ip(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_IP);

	for (unsigned int i = 0; i < 2; i++) {
		s->host[i].ttl = (uint8_t)PICK(&r, 0, 64, 255, 1, sim_between(&r, 1, 255));
		s->host[i].dscp = (uint8_t)PICK(&r, 0, 63, sim_between(&r, 0, 63));
	}
}

static void draw_fast_open(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_FAST_OPEN);
	struct sim_link *to = &s->link[SIM_CLIENT];

	if (s->class == SIM_BOTH || !sim_chance(&r, 400000))
		return;
	s->host[SIM_CLIENT].fast_open = MR_FAST_OPEN_CLIENT;
	s->host[SIM_SERVER].fast_open = sim_chance(&r, 900000) ? MR_FAST_OPEN_SERVER : 0;
	s->host[SIM_SERVER].fast_open_pending = (uint32_t)PICK(&r, 1, 4, 1000, 1000);
	if (is_calm(s))
		return;
	to->syn_text_loss = (uint32_t)PICK(&r, 0, 0, 0, 200000, 1000000);
	to->syn_twice = (uint32_t)PICK(&r, 0, 0, 100000, 500000);
	if (sim_chance(&r, 100000))
		s->link[sim_draw(&r) % 2].strip |= 1ull << 34;
	for (uint32_t i = sim_chance(&r, 300000) ? 2 : 0; i; i--)
		add_event(s, &r, SIM_EVENT_KEY, 0);
}

static void draw_timeouts(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_TIMEOUT);

	if (is_calm(s) || !sim_chance(&r, 250000))
		return;
	s->timeouts = true;
	s->strict = false;
	for (unsigned int i = 0; i < 2; i++)
		s->host[i].user_timeout_ms = (uint32_t)PICK(&r, 0, 1000, 5000, 30000, 120000);
}

static void draw_kills(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_KILL);

	for (uint32_t i = sim_chance(&r, 300000) ? (uint32_t)sim_between(&r, 1, 6) : 0; i; i--)
		add_event(s, &r, SIM_EVENT_KILL, sim_draw(&r));
}

static void draw_urgent(struct sim_scenario *s)
{
	struct sim_rng r = sim_rng_split(s->seed, SIM_RNG_URGENT);

	s->urgent = sim_chance(&r, 250000);
}

void sim_scenario_draw(struct sim_scenario *s, uint64_t seed)
{
	struct sim_rng rng = sim_rng_split(seed, SIM_RNG_SCENARIO);
	struct sim_rng *r = &rng;

	*s = (struct sim_scenario){ .seed = seed, .strict = true };
	draw_class(s, r);
	s->lanes = sim_chance(r, 250000) ? 2 : 1;
	s->astray = s->lanes > 1 ? (uint32_t)PICK(r, 0, 10000, 500000) : 0;
	s->turn_ns = PICK(r, 0, 0, 20000, 1000000);
	s->heal_ns = sim_between(r, 1000, 15000) * SIM_MS;
	s->n_flows = (uint32_t)PICK(r, 1, 1, 1, 2, 3, 8, 20);
	s->bytes_most = (uint32_t)PICK(r, 0, 2000, 30000, 30000, 200000) / s->n_flows;
	s->spread_ns = s->n_flows > 1 ? s->heal_ns * 3 / 4 : 0;
	s->dawdles = sim_chance(r, 400000);
	s->stalls = sim_chance(r, 300000);
	s->aborts = sim_chance(r, 250000);
	for (unsigned int i = 0; i < 2; i++) {
		draw_host(&s->host[i], r);
		draw_link(&s->link[i], r);
		draw_losses(&s->link[i], r);
		draw_path(&s->link[i], r);
	}
	if (sim_chance(r, 150000))
		s->link[0].strip = s->link[1].strip = (uint32_t)PICK(r, 1u << 8, 1u << 3,
								     1u << 8 | 1u << 3, 1u << 2,
								     1u << 4, 1u << 4 | 1u << 8);
	draw_by_class(s, r);
	draw_addresses(s, r);
	if (s->class == SIM_MANY)
		draw_many(s, r);
	if (s->class == SIM_BOTH)
		s->port_hi = s->port_lo = 40000;
	if (s->class != SIM_CALM && s->class != SIM_SINGLE)
		draw_events(s, r);
	draw_cc(s);
	draw_accurate(s);
	draw_marks(s);
	draw_open(s);
	draw_ip(s);
	draw_fast_open(s);
	draw_timeouts(s);
	draw_urgent(s);
	if (!is_calm(s))
		draw_kills(s);
}
