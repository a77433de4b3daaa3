/* SPDX-License-Identifier: MIT */
/*
 * Rules as the daemon writes them, frames as the program judges them: every field of a rule, the
 * order of rules, sets swapped under traffic, and random rules against a reader of the manual
 * (docs/millraced.yaml.5, "Which rule holds") who goes through them one by one.
 */
#include "tests/bpf/fixture.h"

#include <bpf/libbpf.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/daemon/bpf.h"

enum {
	MOST = 320,
	ANY = MR_VLAN_ANY,
	MANY_PREFIXES = 100000,
	SWAPS = 16,
	RANDOM_SETS = 12,
	RANDOM_FRAMES = 32, /* each run waits for the kernel's dispatcher: some 20 ms */
};

static struct mr_daemon *d;
static struct mr_settings_rule rules[MOST];

/* ----- set-up ----- */

static int setup(void **state)
{
	static struct mr_link links[2];
	struct bpf_object *unloaded = bpf_object__open_file(object_path(), NULL);

	setup_served(state);
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	assert_true(unloaded && mr_bpf_inners(d, unloaded));
	bpf_object__close(unloaded);
	d->bpf.object = test_object();
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++)
		d->bpf.map[i] = map_fd(mr_bpf_map_name((enum mr_map)i));
	d->bpf.active = -1;
	d->bpf.generation = get_config().generation;
	links[0] = (struct mr_link){ .name = "mr0", .ifindex = test_ifindex() };
	links[1] = (struct mr_link){ .name = "mr1", .ifindex = test_ifindex() + 1 };
	d->links = links;
	d->n_links = 2;
	d->settings.stale_ms = d->settings.grace_ms = 3600000;
	d->settings.filters = rules; /* whatever they do */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < d->settings.n_filters; i++)
		mr_match_free(&rules[i].match);
	mr_close_fd(&d->bpf.active);
	free(d);
	return 0;
}

/* What a test says of a rule; what it leaves out is any, and steers. */
struct said {
	const char *source, *destination, *interface;
	uint32_t priority;
	uint16_t port_lo, port_hi; /* port_hi 0: just port_lo; both 0: any */
	uint8_t protocol;
	int vlan; /* 0: any; -2: untagged */
	enum mr_rule_action action;
};

static void say(struct mr_prefixes *s, const char *words)
{
	char why[MR_PREFIX_WORDS];

	if (words)
		assert_int_equal(mr_prefixes_words(s, words, why), 0);
	mr_prefixes_finish(s);
}

static void add(const struct said *said)
{
	struct mr_settings_rule *r = &rules[d->settings.n_filters];
	struct mr_match *m = &r->match;

	*r = (struct mr_settings_rule){ .action = said->action };
	r->lane.rule_id = (uint16_t)d->settings.n_filters++;
	m->priority = said->priority;
	m->protocol = said->protocol;
	m->port_lo = said->port_lo;
	m->port_hi = said->port_hi ? said->port_hi : said->port_lo ? said->port_lo : MR_PORT_MOST;
	m->vlan = said->vlan == -2 ? 0 : said->vlan ? (uint32_t)said->vlan : (uint32_t)ANY;
	snprintf(m->interface, sizeof(m->interface), "%s", said->interface ? said->interface : "");
	say(&m->source, said->source);
	say(&m->destination, said->destination);
}

static void forget_rules(void)
{
	for (unsigned int i = 0; i < d->settings.n_filters; i++)
		mr_match_free(&rules[i].match);
	d->settings.n_filters = 0;
}

static void publish(const struct said *said, size_t n)
{
	forget_rules();
	for (size_t i = 0; i < n; i++)
		add(&said[i]);
	assert_int_equal(mr_rules_publish(d), 0);
}

#define SAY(...)                                                                                   \
	publish((const struct said[]){ __VA_ARGS__ },                                              \
		sizeof((const struct said[]){ __VA_ARGS__ }) / sizeof(struct said))
#define DROPS  .action = MR_ACTION_DROP
#define PASSES .action = MR_ACTION_PASS

/* ----- fields ----- */

static void source_prefix_of_either_family(void **state)
{
	(void)state;
	SAY({ .source = "10.1.0.0/16, 2001:db8:1::/48", DROPS });
	EXPECT(FRAME(.source = "10.1.2.3"), RULE_DROP);
	EXPECT(FRAME(.source = "10.1.255.255"), RULE_DROP);
	EXPECT(FRAME(.source = "10.2.0.0"), NO_RULE);
	EXPECT(FRAME(.source = "10.0.255.255"), NO_RULE);
	EXPECT(FRAME(.family = 6, .source = "2001:db8:1::9"), RULE_DROP);
	EXPECT(FRAME(.family = 6, .source = "2001:db8:2::9"), NO_RULE);
	EXPECT(FRAME(.family = 6, .source = "::ffff:10.1.2.3"), NO_RULE);
	EXPECT(FRAME(.destination = "10.1.2.3"), NO_RULE);
}

static void destination_prefix_of_either_family(void **state)
{
	(void)state;
	SAY({ .destination = "192.0.2.0/30, 2001:db8::/126" });
	EXPECT(FRAME(.destination = "192.0.2.3"), TAKE);
	EXPECT(FRAME(.destination = "192.0.2.4"), NO_RULE);
	EXPECT(FRAME(.family = 6, .destination = "2001:db8::3"), TAKE);
	EXPECT(FRAME(.family = 6, .destination = "2001:db8::4"), NO_RULE);
	EXPECT(FRAME(.source = "192.0.2.1", .destination = "203.0.113.1"), NO_RULE);
}

/* 8000 to 8010 is 8000+8, 8008+2, 8010. */
static void port_range_ends_where_it_says(void **state)
{
	(void)state;
	SAY({ .port_lo = 8000, .port_hi = 8010, .protocol = IPPROTO_TCP });
	EXPECT(FRAME(.dport = 7999), NO_RULE);
	for (uint16_t port = 8000; port <= 8010; port++)
		EXPECT(FRAME(.dport = port), TAKE);
	EXPECT(FRAME(.dport = 8011), NO_RULE);
	EXPECT(FRAME(.dport = 8005, .protocol = IPPROTO_UDP), NO_RULE);
	SAY({ .port_lo = 1, .port_hi = 65535 });
	EXPECT(FRAME(.dport = 65535), TAKE);
	EXPECT(FRAME(.dport = 1, .protocol = IPPROTO_UDP), TAKE);
	SAY({ .port_lo = 1, .port_hi = 65534 });
	EXPECT(FRAME(.dport = 65535), NO_RULE);
	EXPECT(FRAME(.dport = 65534), TAKE);
}

static void vlan_and_interface(void **state)
{
	(void)state;
	SAY({ .vlan = 10, .source = "0.0.0.0/0", DROPS },
	    { .interface = "mr0", .vlan = -2, .port_lo = 7000 },
	    { .interface = "mr1", .vlan = -2, PASSES });
	EXPECT(FRAME(.n_tags = 1, .tci = { 10 }), RULE_DROP);
	EXPECT(FRAME(.n_tags = 1, .tci = { 11 }), NO_RULE);
	EXPECT(FRAME(.n_tags = 2, .tci = { 11, 10 }), NO_RULE);
	EXPECT(FRAME(), TAKE);
	EXPECT(FRAME(.dport = 7001), NO_RULE);
}

/* An interface that went away: its rules hold nowhere, they are not any interface's. */
static void interface_that_is_not_there_fits_nothing(void **state)
{
	(void)state;
	SAY({ .interface = "mr9", DROPS }, { .source = "10.0.0.0/8", PASSES });
	EXPECT(FRAME(), NO_RULE);
	EXPECT(FRAME(.source = "10.0.0.1"), RULE_PASS);
}

static void list_without_prefixes_fits_nothing(void **state)
{
	(void)state;
	publish(NULL, 0);
	add(&(struct said){ DROPS });
	rules[0].match.source.given = true;
	mr_prefixes_finish(&rules[0].match.source);
	assert_int_equal(mr_rules_publish(d), 0);
	EXPECT(FRAME(), NO_RULE);
}

static void icmp_errors_and_fragments_follow_the_rules(void **state)
{
	static const struct packet sent = { .source = "192.0.2.2",
					    .destination = "10.1.2.3",
					    .sport = TEST_PORT,
					    .dport = TEST_PEER_PORT };

	(void)state;
	SAY({ .source = "10.1.0.0/16", .port_lo = 7000, .port_hi = 7003 },
	    { .source = "10.2.0.0/16", DROPS });
	EXPECT(FRAME(.source = "198.51.100.1", .icmp_type = 3, .quoted = &sent), TAKE_ICMP);
	EXPECT(FRAME(.source = "10.1.2.3", .fragment = 0x2000), FRAGMENT_STEERED);
	EXPECT(FRAME(.source = "10.2.2.3", .fragment = 0x2000), RULE_DROP);
	EXPECT(FRAME(.source = "10.3.2.3", .fragment = 0x2000), FRAGMENT);
	SAY({ .source = "10.3.0.0/16", .port_lo = 7000, .port_hi = 7003 });
	EXPECT(FRAME(.source = "198.51.100.1", .icmp_type = 3, .quoted = &sent), ICMP_OTHER);
}

/* ----- order ----- */

static void priority_comes_before_narrowness(void **state)
{
	(void)state;
	SAY({ .priority = 2, .source = "10.1.2.3", .port_lo = 7000, DROPS },
	    { .priority = 1, PASSES });
	EXPECT(FRAME(.source = "10.1.2.3"), RULE_PASS);
	SAY({ .priority = 1, .source = "10.1.2.3", .port_lo = 7000, DROPS },
	    { .priority = 2, PASSES });
	EXPECT(FRAME(.source = "10.1.2.3"), RULE_DROP);
	EXPECT(FRAME(.source = "10.1.2.4"), RULE_PASS);
}

/* Each of these is narrower than the next; they leave one after the other. */
static void narrower_rule_comes_first_field_by_field(void **state)
{
	static const struct said all[] = {
		{ .destination = "192.0.2.2" },
		{ .destination = "192.0.2.0/24", .vlan = -2, DROPS },
		{ .destination = "192.0.2.0/24", .source = "192.0.2.0/24", PASSES },
		{ .vlan = -2, DROPS },
		{ .source = "192.0.2.1" },
		{ .source = "192.0.2.0/24", .port_lo = 7000, DROPS },
		{ .port_lo = 7000, .interface = "mr0" },
		{ .port_lo = 7000, .protocol = IPPROTO_TCP, DROPS },
		{ .port_lo = 7000, .port_hi = 7001 },
		{ .interface = "mr0", PASSES },
		{ .protocol = IPPROTO_TCP, DROPS },
		{ 0 },
	};
	const uint32_t n = sizeof(all) / sizeof(all[0]);
	struct frame f = FRAME();

	(void)state;
	for (uint32_t gone = 0; gone < n; gone++) {
		struct mr_count before;

		forget_rules();
		for (uint32_t i = n; i-- > gone;)
			add(&all[i]); /* the widest has the lowest id */
		before = rule_count(n - 1 - gone);
		assert_int_equal(mr_rules_publish(d), 0);
		run_frame(&f, &(struct run){ 0 });
		assert_int_equal(rule_count(n - 1 - gone).packets - before.packets, 1);
	}
}

static void equally_narrow_rules_go_by_id(void **state)
{
	(void)state;
	SAY({ .source = "192.0.0.0/16, 203.0.113.0/24", DROPS },
	    { .source = "192.0.0.0/16, 198.51.100.0/24", PASSES });
	EXPECT(FRAME(), RULE_DROP);
	EXPECT(FRAME(.source = "198.51.100.1"), RULE_PASS);
}

/* ----- generations ----- */

static void exact_and_classified_generations_follow_each_other(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		SAY({ .protocol = IPPROTO_TCP, .port_lo = 7000 });
		assert_int_equal(get_config().generation.shapes, MR_SHAPE_ANY);
		EXPECT(FRAME(), TAKE);
		SAY({ .source = "192.0.2.0/24", DROPS });
		assert_true(get_config().generation.shapes & MR_SHAPE_CLASSES);
		EXPECT(FRAME(), RULE_DROP);
		EXPECT(FRAME(.source = "10.0.0.1"), NO_RULE);
	}
	SAY({ .protocol = IPPROTO_TCP, .port_lo = 7000 });
	SAY({ .protocol = IPPROTO_TCP, .port_lo = 7000 });
	for (uint32_t parity = 0; parity < 2; parity++) {
		uint32_t id;

		assert_int_not_equal(bpf_map_lookup_elem(map_fd("mr1_field"), &parity, &id), 0);
	}
}

static void mode_is_part_of_the_generation(void **state)
{
	struct frame f = FRAME();

	(void)state;
	d->settings.mode = MR_MODE_MONITOR;
	SAY({ .source = "192.0.2.0/24", DROPS });
	assert_int_equal(run_frame(&f, &(struct run){ 0 }).verdict, MR_V_RULE_DROP);
	assert_int_equal(run_frame(&f, &(struct run){ 0 }).action, XDP_PASS);
	d->settings.mode = MR_MODE_BYPASS;
	assert_int_equal(mr_rules_publish(d), 0);
	EXPECT(f, NO_RULES);
	d->settings.mode = MR_MODE_ENFORCE;
	assert_int_equal(mr_rules_publish(d), 0);
	EXPECT(f, RULE_DROP);
}

/* Frames that run while rules are swapped, and what became of them. */
static struct {
	bool stop;
	uint64_t n[XDP_REDIRECT + 1];
	uint64_t failed;
} traffic;

static void *send_frames(void *arg)
{
	struct frame f = FRAME();
	struct xdp_md ctx = { .data_end = (uint32_t)f.len, .ingress_ifindex = test_ifindex() };

	(void)arg;
	while (!__atomic_load_n(&traffic.stop, __ATOMIC_RELAXED)) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f.bytes,
			    .data_size_in = (uint32_t)f.len, .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx), .repeat = 64);

		if (bpf_prog_test_run_opts(program_fd(), &opts) < 0 || opts.retval > XDP_REDIRECT)
			__atomic_add_fetch(&traffic.failed, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&traffic.n[opts.retval], 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static uint64_t seen(uint32_t action)
{
	return __atomic_load_n(&traffic.n[action], __ATOMIC_RELAXED);
}

/* The one set drops the frame by its last rule, the other steers it by its first; whoever takes
 * the fields of one and the order of the other passes it.
 */
static void no_frame_meets_half_of_a_generation(void **state)
{
	pthread_t thread;

	(void)state;
	memset(&traffic, 0, sizeof(traffic));
	SAY({ .source = "192.0.2.0/24", DROPS });
	assert_int_equal(pthread_create(&thread, NULL, send_frames, NULL), 0);
	for (int i = 0; i < SWAPS; i++) {
		uint32_t wanted = i % 2 ? XDP_DROP : XDP_REDIRECT;
		uint64_t before;

		if (i % 2)
			SAY({ .source = "10.0.0.1", PASSES }, { .source = "10.0.0.2", PASSES },
			    { .source = "192.0.2.0/24", DROPS });
		else
			SAY({ .source = "192.0.2.1" }, { .source = "10.0.0.0/8", PASSES },
			    { .source = "10.0.0.0/9", PASSES });
		before = seen(wanted);
		while (seen(wanted) < before + 8 && !traffic.failed)
			sched_yield();
	}
	__atomic_store_n(&traffic.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(traffic.failed, 0);
	assert_int_equal(traffic.n[XDP_PASS], 0);
	assert_true(traffic.n[XDP_DROP] && traffic.n[XDP_REDIRECT]);
}

/* ----- lists ----- */

static double seconds_since(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

static void list_of_100000_prefixes(void **state)
{
	struct mr_prefixes *s = &rules[0].match.source;
	struct timespec began;

	(void)state;
	publish(NULL, 0);
	add(&(struct said){ DROPS });
	s->given = true;
	for (uint32_t i = 0; i < MANY_PREFIXES; i++) {
		struct mr_net p = { .addr = { [10] = 0xff, [11] = 0xff, [12] = 11 },
				    .bits = (uint8_t)(96 + 32),
				    .family = 4 };

		p.addr[13] = (uint8_t)(i >> 15);
		p.addr[14] = (uint8_t)(i >> 7);
		p.addr[15] = (uint8_t)(i << 1);
		assert_int_equal(mr_prefixes_add(s, &p), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &began);
	mr_prefixes_finish(s);
	assert_int_equal(mr_rules_publish(d), 0);
	print_message("100,000 prefixes: %.3f s\n", seconds_since(&began));
	EXPECT(FRAME(.source = "11.0.0.0"), RULE_DROP);
	EXPECT(FRAME(.source = "11.0.0.1"), NO_RULE);
	EXPECT(FRAME(.source = "11.3.13.62"), RULE_DROP); /* the last: 99999 * 2 */
	EXPECT(FRAME(.source = "11.3.13.64"), NO_RULE);
	EXPECT(FRAME(.source = "11.1.0.8"), RULE_DROP);
}

/* ----- random rules ----- */

static uint64_t random_state;

static uint32_t pick(uint32_t n)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % n;
}

static void pick_prefix(char out[64])
{
	uint32_t bits = pick(4) ? 32 - pick(6) : pick(33);
	uint32_t addr = 0x0a000000 | pick(4) << 8 | pick(16);

	addr &= bits ? ~0u << (32 - bits) : 0;
	if (pick(2))
		snprintf(out, 64, "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
			 addr & 255, bits);
	else
		snprintf(out, 64, "2001:db8::%x:%x/%u", addr >> 16, addr & 0xffff, 96 + bits);
}

static const char *pick_prefixes(char out[256])
{
	uint32_t n = pick(4);
	size_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		char one[64];

		pick_prefix(one);
		at += (size_t)snprintf(out + at, 256 - at, "%s,", one);
	}
	return n ? out : NULL;
}

static void add_random_rule(void)
{
	char source[256], destination[256];
	struct said r = {
		.source = pick_prefixes(source),
		.destination = pick_prefixes(destination),
		.interface = pick(4)   ? NULL
			     : pick(2) ? "mr0"
				       : "mr1",
		.priority = pick(3),
		.protocol = (uint8_t[]){ 0, IPPROTO_TCP, IPPROTO_UDP }[pick(3)],
		.vlan = (int[]){ 0, 0, 0, -2, 5 }[pick(5)],
		.action = (enum mr_rule_action)pick(3),
	};

	if (pick(3)) {
		r.port_lo = (uint16_t)(1000 + pick(16));
		r.port_hi = (uint16_t)(r.port_lo + pick(12));
	}
	add(&r);
}

struct shown {
	uint8_t source[16], destination[16];
	uint8_t family, protocol;
	uint16_t port;
	uint32_t vlan;
};

static bool bits_agree(const uint8_t *a, const uint8_t *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool is_in(const struct mr_prefixes *s, const uint8_t addr[16], uint8_t family)
{
	if (!s->given)
		return true;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->list[i].family == family &&
		    bits_agree(s->list[i].addr, addr, s->list[i].bits))
			return true;
	return false;
}

static bool names(const struct mr_match *m, const struct shown *f)
{
	return (!m->protocol || m->protocol == f->protocol) && f->port >= m->port_lo &&
	       f->port <= m->port_hi && (m->vlan == (uint32_t)ANY || m->vlan == f->vlan) &&
	       (!m->interface[0] || !strcmp(m->interface, "mr0")) &&
	       is_in(&m->source, f->source, f->family) &&
	       is_in(&m->destination, f->destination, f->family);
}

/* Of 1000 for any to 0 for one alone: how wide a set of prefixes is. */
static unsigned int width(const struct mr_prefixes *s)
{
	unsigned int widest = 0;

	if (!s->given)
		return 1000;
	for (uint32_t i = 0; i < s->n; i++)
		if (128u - s->list[i].bits > widest)
			widest = 128u - s->list[i].bits;
	return widest;
}

/* Smaller comes first; the manual's list, one line each. */
static bool comes_before(const struct mr_match *a, const struct mr_match *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (width(&a->destination) != width(&b->destination))
		return width(&a->destination) < width(&b->destination);
	if ((a->vlan == (uint32_t)ANY) != (b->vlan == (uint32_t)ANY))
		return b->vlan == (uint32_t)ANY;
	if (width(&a->source) != width(&b->source))
		return width(&a->source) < width(&b->source);
	if (a->port_hi - a->port_lo != b->port_hi - b->port_lo)
		return a->port_hi - a->port_lo < b->port_hi - b->port_lo;
	if (!a->interface[0] != !b->interface[0])
		return a->interface[0];
	return a->protocol && !b->protocol;
}

static const struct mr_settings_rule *rule_by_the_manual(const struct shown *f)
{
	const struct mr_settings_rule *best = NULL;

	for (unsigned int i = 0; i < d->settings.n_filters; i++)
		if (names(&rules[i].match, f) &&
		    (!best || comes_before(&rules[i].match, &best->match)))
			best = &rules[i];
	return best;
}

static void expect_by_the_manual(void)
{
	static const uint32_t actions[] = { XDP_REDIRECT, XDP_PASS, XDP_DROP };
	uint8_t family = pick(2) ? 4 : 6;
	char source[64], destination[64];
	struct packet p = {
		.family = family,
		.protocol = pick(2) ? IPPROTO_TCP : IPPROTO_UDP,
		.source = source,
		.destination = destination,
		.dport = (uint16_t)(998 + pick(32)),
		.n_tags = pick(3) == 0,
		.tci = { 5 },
	};
	struct shown shown = {
		.family = family, .protocol = p.protocol, .port = p.dport, .vlan = p.n_tags ? 5 : 0
	};
	const struct mr_settings_rule *want;
	struct mr_count before = { 0 };
	struct xdp_md ctx = { .ingress_ifindex = test_ifindex() };
	struct frame f;

	snprintf(source, 64, family == 4 ? "10.0.%x.%u" : "2001:db8::a00:%x%02x", pick(4),
		 pick(16));
	snprintf(destination, 64, family == 4 ? "10.0.%x.%u" : "2001:db8::a00:%x%02x", pick(4),
		 pick(16));
	address_bytes(shown.source, source);
	address_bytes(shown.destination, destination);
	f = frame_build(&p);
	ctx.data_end = (uint32_t)f.len;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f.bytes, .data_size_in = (uint32_t)f.len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 2);
	want = rule_by_the_manual(&shown);
	if (want)
		before = rule_count(want->lane.rule_id);
	assert_int_equal(bpf_prog_test_run_opts(program_fd(), &opts), 0);
	assert_int_equal(opts.retval, want ? actions[want->action] : XDP_PASS);
	if (want)
		assert_int_equal(rule_count(want->lane.rule_id).packets - before.packets, 2);
}

/* Each frame twice: looked up, and remembered. Every third set without memory. */
static void random_rules_as_the_manual_says(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= RANDOM_SETS; seed++) {
		uint32_t n;

		random_state = seed;
		n = seed % 5 ? 1 + pick(24) : MOST;
		d->bpf.generation.promises = seed % 3 ? MR_PROMISE_NUMBER | MR_PROMISE_NEAR : 0;
		forget_rules();
		for (uint32_t i = 0; i < n; i++)
			add_random_rule();
		assert_int_equal(mr_rules_publish(d), 0);
		for (int i = 0; i < RANDOM_FRAMES; i++)
			expect_by_the_manual();
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(source_prefix_of_either_family),
		CASE(destination_prefix_of_either_family),
		CASE(port_range_ends_where_it_says),
		CASE(vlan_and_interface),
		CASE(interface_that_is_not_there_fits_nothing),
		CASE(list_without_prefixes_fits_nothing),
		CASE(icmp_errors_and_fragments_follow_the_rules),
		CASE(priority_comes_before_narrowness),
		CASE(narrower_rule_comes_first_field_by_field),
		CASE(equally_narrow_rules_go_by_id),
		CASE(exact_and_classified_generations_follow_each_other),
		CASE(mode_is_part_of_the_generation),
		CASE(no_frame_meets_half_of_a_generation),
		CASE(list_of_100000_prefixes),
		CASE(random_rules_as_the_manual_says),
	};
	int failed;

	fixture_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_close();
	return failed;
}
