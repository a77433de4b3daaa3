/* SPDX-License-Identifier: MIT */
/*
 * What the XDP program costs a frame: the kernel runs it by BPF_PROG_TEST_RUN, many times in a row
 * on the same frame, and does nothing else.
 *
 *	mr-bench-xdp [--pairs N] [--repeat N]	two JSON lines for each comparison
 *
 * The maps are those of a live lane (heartbeat, AF_XDP socket in the slot), so the program does all
 * that it does for a frame of its own: it looks up, counts, and names the socket to redirect to.
 * TEST_RUN without live frames ends there, so that what drivers and AF_XDP do next is not in it.
 *
 * Two comparisons, each of two sides that take turns (A B A B ...):
 *	xdp-steer-*	the program with one rule; its peer parses the same headers and passes
 *	xdp-rules-*	the program with 4,096 rules; its peer is the program with the one of them
 *			that names the frame (or, where none does, any one); "first": as long
 *			as the CPU does not remember the frame's key, for which the loader
 *			does not promise that numbers count up
 *
 * Time is this thread's CPU time, in which others on the CPU do not count; TEST_RUN's own figure
 * is the same, but in whole nanoseconds.
 */
#include <bpf/libbpf.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/figure.h"
#include "tests/bpf/fixture.h"

enum {
	MAX_PAIRS = 101,
	ADDRESS_CHARS = 48,
	RULES_A_PORT = 4, /* one of each shape */
	DENSE_PORT = 20000,
	SPREAD_PORT = 30000,
	ECHO_TCP_WORDS = 8,    /* with timestamps, as every segment of a connection has them */
	ECHO_PAYLOAD = 6 + 64, /* TLV header and value */
};

/* One side of a pair: a program, and the generation of rules that it shall find. */
struct side {
	int program;
	struct mr_config config;
	uint32_t action;
};

static struct {
	unsigned int pairs;
	uint32_t repeat;
	int parse_pass;
} bench = { .pairs = 9, .repeat = 1000000 };

static void die(const char *what)
{
	fprintf(stderr, "mr-bench-xdp: %s\n", what);
	exit(EXIT_FAILURE);
}

/* ----- measuring ----- */

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds a frame. */
static double run_side(const struct side *s, const struct frame *f)
{
	struct xdp_md ctx = { .data_end = (uint32_t)f->len, .ingress_ifindex = test_ifindex() };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->bytes, .data_size_in = (uint32_t)f->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)bench.repeat);
	double began;

	set_config(&s->config);
	began = cpu_ns();
	if (bpf_prog_test_run_opts(s->program, &opts) < 0)
		die("BPF_PROG_TEST_RUN failed");
	began = cpu_ns() - began;
	if (opts.retval != s->action)
		die("a frame did not get the action that it was to get");
	return began / bench.repeat;
}

/* In "ratio", above 1 is better than the peer; the line "times" is its reverse, as one reads it. */
static void compare(const char *name, const struct frame *f, const struct side *ours,
		    const struct side *theirs, const char *peer)
{
	double value[MAX_PAIRS] = { 0 }, peer_value[MAX_PAIRS] = { 0 }, times[MAX_PAIRS] = { 0 };
	double v, p, t;

	run_side(ours, f);
	run_side(theirs, f);
	for (unsigned int i = 0; i < bench.pairs; i++) {
		value[i] = run_side(ours, f);
		peer_value[i] = run_side(theirs, f);
		times[i] = value[i] / peer_value[i];
	}
	v = median(value, bench.pairs);
	p = median(peer_value, bench.pairs);
	t = median(times, bench.pairs);
	printf("{\"name\": \"%s.time\", \"value\": %.4g, \"unit\": \"ns/frame\", \"peer\": \"%s\", "
	       "\"peer_value\": %.4g, \"ratio\": %.4g, \"spread_low\": %.4g, \"spread_high\": "
	       "%.4g, "
	       "\"pairs\": %u, \"better\": \"less\"}\n",
	       name, v, peer, p, 1 / t, 1 / times[bench.pairs - 1], 1 / times[0], bench.pairs);
	printf("{\"name\": \"%s.times\", \"value\": %.4g, \"unit\": \"times %s\", "
	       "\"spread_low\": %.4g, \"spread_high\": %.4g, \"pairs\": %u, \"better\": "
	       "\"less\"}\n",
	       name, t, peer, times[0], times[bench.pairs - 1], bench.pairs);
	fflush(stdout);
}

/* A side is only worth its time if the frame gets the verdict that is to be measured. */
static struct side program_with(const struct rule_spec *rules, size_t n, const struct frame *f,
				int verdict)
{
	struct side s = { .program = program_fd(), .action = verdict_action(verdict) };

	set_rules(rules, n);
	s.config = get_config();
	if (run_frame(f, &(struct run){ 0 }).verdict != verdict)
		die("a frame did not get the verdict that it was to get");
	return s;
}

/* ----- one rule against parsing alone ----- */

static void bench_steer(void)
{
	static const struct {
		const char *name;
		struct packet packet;
	} kinds[] = {
		{ "xdp-steer-ipv4", { 0 } },
		{ "xdp-steer-ipv6", { .family = 6 } },
		{ "xdp-steer-vlan", { .n_tags = 1, .tci = { 5 } } },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct packet p = kinds[i].packet;
		struct rule_spec rule = { .vlan = MR_VLAN_ANY, .family = p.family };
		struct side steer, parse;
		struct frame f;

		p.doff = ECHO_TCP_WORDS;
		p.payload = ECHO_PAYLOAD;
		f = frame_build(&p);
		steer = program_with(&rule, 1, &f, MR_V_TAKE);
		parse = (struct side){ bench.parse_pass, steer.config, XDP_PASS };
		compare(kinds[i].name, &f, &steer, &parse, "parse and pass");
	}
}

/* ----- 4,096 rules against one ----- */

static struct {
	struct rule_spec rule[MR_MAX_RULES];
	char address[MR_MAX_RULES][ADDRESS_CHARS];
} many;

/*
 * Rules of each shape in turn, IPv4 and IPv6. Dense: the four shapes share a port, so that a frame
 * may have to be looked for in all of them; spread: every rule has a port of its own.
 */
static void make_many(bool dense)
{
	for (unsigned int i = 0; i < MR_MAX_RULES; i++) {
		bool v6 = i / RULES_A_PORT % 2;
		unsigned int shape = i % RULES_A_PORT;

		if (v6)
			snprintf(many.address[i], ADDRESS_CHARS, "2001:db8::%x:1", i + 1);
		else
			snprintf(many.address[i], ADDRESS_CHARS, "10.%u.%u.1", i >> 8, i & 255);
		many.rule[i] = (struct rule_spec){
			.address = shape < 2 ? many.address[i] : NULL,
			.vlan = shape % 2 ? MR_VLAN_ANY : (int)(1 + i % 4000),
			.port = (uint16_t)(dense ? DENSE_PORT + i / RULES_A_PORT : SPREAD_PORT + i),
			.family = v6 ? 6 : 4,
			.rule = { .rule_id = i },
		};
	}
}

static struct frame frame_for(const struct rule_spec *r)
{
	return FRAME(.family = r->family, .destination = r->address, .dport = r->port,
		     .doff = ECHO_TCP_WORDS, .payload = ECHO_PAYLOAD,
		     .n_tags = r->vlan != MR_VLAN_ANY, .tci = { (uint16_t)r->vlan });
}

static void bench_rules(bool dense)
{
	static const char *const shapes[RULES_A_PORT] = { "address-vlan", "address", "vlan",
							  "any" };
	const unsigned int first = MR_MAX_RULES / 2; /* an IPv4 rule of the first shape */
	struct side one, all;
	struct frame f;
	char name[64];

	make_many(dense);
	for (unsigned int i = 0; i < RULES_A_PORT; i++) {
		const struct rule_spec *r = &many.rule[first + i];

		f = frame_for(r);
		one = program_with(r, 1, &f, MR_V_TAKE);
		all = program_with(many.rule, MR_MAX_RULES, &f, MR_V_TAKE);
		snprintf(name, sizeof(name), "xdp-rules-%s-%s", dense ? "dense" : "spread",
			 shapes[i]);
		compare(name, &f, &all, &one, "one rule");
	}
	/* the last shape is the last that is looked for: what a flow's first frame costs */
	one.config.generation.promises = MR_PROMISE_NEAR;
	all.config.generation.promises = MR_PROMISE_NEAR;
	snprintf(name, sizeof(name), "xdp-rules-%s-any-first", dense ? "dense" : "spread");
	compare(name, &f, &all, &one, "one rule");
	f = FRAME(.dport = 443, .doff = ECHO_TCP_WORDS, .payload = ECHO_PAYLOAD);
	one = program_with(&many.rule[first + RULES_A_PORT - 1], 1, &f, MR_V_NO_RULE);
	all = program_with(many.rule, MR_MAX_RULES, &f, MR_V_NO_RULE);
	snprintf(name, sizeof(name), "xdp-rules-%s-none", dense ? "dense" : "spread");
	compare(name, &f, &all, &one, "one rule");
}

/* ----- start ----- */

/* @self: of this program; the peer lies beside it. */
static struct bpf_object *load_peer(const char *self)
{
	const char *slash = strrchr(self, '/');
	struct bpf_object *object;
	char path[4096];

	snprintf(path, sizeof(path), "%.*sparse_pass.bpf.o", slash ? (int)(slash - self + 1) : 0,
		 self);
	object = bpf_object__open_file(path, NULL);
	if (!object || bpf_object__load(object))
		die("parse_pass.bpf.o cannot be loaded");
	bench.parse_pass = bpf_program__fd(bpf_object__next_program(object, NULL));
	return object;
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pairs", required_argument, NULL, 'p' },
		{ "repeat", required_argument, NULL, 'r' },
		{ 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "p:r:", options, NULL)) != -1) {
		if (o == 'p')
			bench.pairs = (unsigned int)strtoul(optarg, NULL, 10);
		else if (o == 'r')
			bench.repeat = (uint32_t)strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	if (bench.pairs < 1 || bench.pairs > MAX_PAIRS || bench.repeat < 1)
		die("--pairs: 1 to 101; --repeat: 1 or more");
}

int main(int argc, char **argv)
{
	struct bpf_object *peer;

	parse_options(argc, argv);
	fixture_open();
	peer = load_peer(argv[0]);
	setup_served(NULL);
	bench_steer();
	bench_rules(false);
	bench_rules(true);
	bpf_object__close(peer);
	fixture_close();
	return 0;
}
