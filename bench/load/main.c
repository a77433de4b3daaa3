// SPDX-License-Identifier: MIT
/*
 * mr-load: TLV load over kernel sockets, over a lane of Millrace's own, or over AF_XDP without a
 * protocol. bench/load/load.h says which file does what.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/load.h"

enum {
	MAX_DEPTH = 1 << 16,
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

bool load_is_stopped(void)
{
	return stop_signal;
}

uint64_t load_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * LOAD_SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* ----- options ----- */

static const char usage_text[] =
	"usage: mr-load --connect ADDR:PORT [--connect [ADDR6]:PORT ...] [options]\n"
	"\n"
	"TLV requests; every reply is compared byte by byte.\n"
	"\n"
	"  --connect ADDR:PORT  server; repeated: connections are spread over all of them\n"
	"  --via kernel         over kernel sockets (the default)\n"
	"  --via lane           over a lane of its own on AF_XDP; IPv4, root\n"
	"  --via raw            frames of the same size without TCP, to xsk-reflect; root\n"
	"  --interface NAME     where lane and raw attach, and whose addresses are used\n"
	"  --queue N            its queue (0)\n"
	"  --sources N          use up to N of its addresses in turn (1)\n"
	"  --workload echo      every request comes back (the default)\n"
	"  --workload connect   connect, one request and its reply, close; over and over\n"
	"  --workload sink      send without end to a server that discards\n"
	"  --workload source    receive source-bytes' pattern without end\n"
	"  --connections N      connections (1)\n"
	"  --active N           of them that send, the others stand idle (all)\n"
	"  --depth N            requests in flight on each connection (1)\n"
	"  --size N             value bytes of a request, 0 to 1048576 (64)\n"
	"  --seconds S          time that is measured (10)\n"
	"  --warmup S           time before it, not measured (0)\n"
	"  --rate R             open loop: R requests a second over all connections\n"
	"  --busy-poll US       lane, raw: look so long for single frames before sleeping (50)\n"
	"  --gather US          lane, raw: let frames that come in bursts gather so long (30)\n"
	"  --cpu-of PID         report CPU time of this process too; may be repeated\n"
	"  --progress           a line a second on standard error\n"
	"  --json               report as one JSON object\n"
	"  --demo               progress, and the report as the demo's last line\n"
	"\n"
	"Exit status: 0 all replies intact, 1 not so, 2 usage.\n";

static _Noreturn void refuse(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "mr-load: --%s %s: %s\n", option, value, wanted);
	exit(LOAD_EXIT_USAGE);
}

static double parse_number(const char *option, const char *text, double min, double max)
{
	char wanted[80], *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || *end || !(v >= min && v <= max)) {
		snprintf(wanted, sizeof(wanted), "a number from %.10g to %.10g", min, max);
		refuse(option, text, wanted);
	}
	return v;
}

static unsigned long parse_count(const char *option, const char *text, double min, double max)
{
	double v = parse_number(option, text, min, max);

	if (v != (double)(unsigned long)v)
		refuse(option, text, "a whole number");
	return (unsigned long)v;
}

/* ADDR:PORT or [ADDR6]:PORT; numeric, so that nothing is looked up. */
static void parse_endpoint(struct load_options *o, char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct endpoint *e = &o->endpoint[o->n_endpoints];
	char host[128], *colon = strrchr(text, ':');
	struct addrinfo *found;
	size_t len;

	if (o->n_endpoints == LOAD_MAX_ENDPOINTS)
		refuse("connect", text, "too many servers");
	len = colon ? (size_t)(colon - text) : 0;
	if (!len || len >= sizeof(host))
		refuse("connect", text, "want ADDR:PORT or [ADDR6]:PORT");
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	} else if (strchr(host, ':')) {
		refuse("connect", text, "write IPv6 as [ADDR6]:PORT");
	}
	if (getaddrinfo(host, colon + 1, &hints, &found))
		refuse("connect", text, "not a numeric address and port");
	memcpy(&e->addr, found->ai_addr, found->ai_addrlen);
	e->addr_len = found->ai_addrlen;
	e->text = text;
	freeaddrinfo(found);
	o->n_endpoints++;
}

static void add_pid(struct load_options *o, const char *text)
{
	if (o->n_pids == MR_CPUTIME_PIDS)
		refuse("cpu-of", text, "too many processes");
	o->pid[o->n_pids++] = (pid_t)parse_count("cpu-of", text, 1, 1 << 30);
}

static const struct load_transport *parse_via(const char *text)
{
	static const struct load_transport *const all[] = { &load_via_kernel, &load_via_lane,
							    &load_via_raw };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i]->name, text) == 0)
			return all[i];
	refuse("via", text, "want kernel, lane or raw");
}

static enum load_workload parse_workload(const char *text)
{
	static const char *const names[] = { "echo", "connect", "sink", "source" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], text) == 0)
			return (enum load_workload)i;
	refuse("workload", text, "want echo, connect, sink or source");
}

enum option_letter {
	OPT_CONNECT = 'a',
	OPT_CONNECTIONS = 'c',
	OPT_DEPTH = 'd',
	OPT_SIZE = 'b',
	OPT_SECONDS = 's',
	OPT_WARMUP = 'w',
	OPT_RATE = 'r',
	OPT_CPU_OF = 'u',
	OPT_PROGRESS = 'p',
	OPT_JSON = 'j',
	OPT_DEMO = 'x',
	OPT_HELP = 'h',
	OPT_VIA = 'v',
	OPT_INTERFACE = 'i',
	OPT_QUEUE = 'q',
	OPT_SOURCES = 'n',
	OPT_WORKLOAD = 'l',
	OPT_ACTIVE = 'A',
	OPT_BUSY_POLL = 'B',
	OPT_GATHER = 'G',
};

static const struct option long_options[] = {
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "via", required_argument, NULL, OPT_VIA },
	{ "interface", required_argument, NULL, OPT_INTERFACE },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "sources", required_argument, NULL, OPT_SOURCES },
	{ "workload", required_argument, NULL, OPT_WORKLOAD },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "active", required_argument, NULL, OPT_ACTIVE },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "busy-poll", required_argument, NULL, OPT_BUSY_POLL },
	{ "gather", required_argument, NULL, OPT_GATHER },
	{ "cpu-of", required_argument, NULL, OPT_CPU_OF },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "demo", no_argument, NULL, OPT_DEMO },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* Those with a number or a word. False: another one. */
static bool take_value(struct load_options *o, int letter, const char *arg)
{
	switch (letter) {
	case OPT_CONNECTIONS:
		o->connections = parse_count("connections", arg, 1, LOAD_MAX_CONNECTIONS);
		return true;
	case OPT_ACTIVE:
		o->active = parse_count("active", arg, 1, LOAD_MAX_CONNECTIONS);
		return true;
	case OPT_DEPTH:
		o->depth = parse_count("depth", arg, 1, MAX_DEPTH);
		return true;
	case OPT_SIZE:
		o->size = parse_count("size", arg, 0, LOAD_MAX_VALUE);
		return true;
	case OPT_SECONDS:
		o->seconds = parse_number("seconds", arg, 0.1, 1e6);
		return true;
	case OPT_WARMUP:
		o->warmup_s = parse_number("warmup", arg, 0, 1e6);
		return true;
	case OPT_RATE:
		o->rate = parse_number("rate", arg, 0.001, 1e9);
		return true;
	case OPT_QUEUE:
		o->queue = parse_count("queue", arg, 0, 63);
		return true;
	case OPT_SOURCES:
		o->sources = parse_count("sources", arg, 1, 64);
		return true;
	case OPT_BUSY_POLL:
		o->busy_poll_us = parse_count("busy-poll", arg, 0, 1e6);
		return true;
	case OPT_GATHER:
		o->gather_us = parse_count("gather", arg, 0, 1e5);
		return true;
	}
	return false;
}

static void take_option(struct load_options *o, int letter, char *arg)
{
	switch (letter) {
	case OPT_CONNECT:
		parse_endpoint(o, arg);
		break;
	case OPT_VIA:
		o->via = parse_via(arg);
		break;
	case OPT_INTERFACE:
		o->interface = arg;
		break;
	case OPT_WORKLOAD:
		o->workload = parse_workload(arg);
		break;
	case OPT_CPU_OF:
		add_pid(o, arg);
		break;
	case OPT_PROGRESS:
		o->progress = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_DEMO:
		o->demo = o->progress = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(EXIT_SUCCESS);
	default:
		fputs(usage_text, stderr);
		exit(LOAD_EXIT_USAGE);
	}
}

static void check_options(const struct load_options *o)
{
	if ((o->via->needs_interface || o->sources > 1) && !o->interface)
		refuse("via", o->via->name, "name the interface too: --interface NAME");
	if (o->via == &load_via_raw && o->workload != WORKLOAD_ECHO)
		refuse("via", "raw", "knows the workload echo only");
	if (o->workload != WORKLOAD_ECHO && o->rate > 0)
		refuse("rate", "R", "only with --workload echo");
	if (o->workload == WORKLOAD_CONNECT && (o->depth != 1 || o->active != o->connections))
		refuse("workload", "connect", "depth is 1, and all connections are active");
	if (o->active > o->connections)
		refuse("active", "N", "at most as many as connections");
}

static void parse_options(struct load_options *o, int argc, char *argv[])
{
	int letter;

	*o = (struct load_options){ .via = &load_via_kernel,
				    .connections = 1,
				    .depth = 1,
				    .size = 64,
				    .seconds = 10,
				    .sources = 1,
				    .busy_poll_us = 50,
				    .gather_us = 30 };
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!take_value(o, letter, optarg))
			take_option(o, letter, optarg);
	if (optind != argc || !o->n_endpoints) {
		fputs(usage_text, stderr);
		exit(LOAD_EXIT_USAGE);
	}
	if (!o->active)
		o->active = o->connections;
	check_options(o);
}

/* ----- start and end ----- */

static int load_init(struct load *l)
{
	unsigned long n = l->opt.connections;

	l->message_bytes = LOAD_HEADER_BYTES + l->opt.size;
	l->cpu_known = true;
	l->conn = calloc(n, sizeof(*l->conn));
	l->stamps = calloc(l->opt.active * l->opt.depth, sizeof(*l->stamps));
	if (l->opt.workload == WORKLOAD_SOURCE)
		l->pattern = mr_pattern_new();
	if (!l->conn || !l->stamps || (l->opt.workload == WORKLOAD_SOURCE && !l->pattern)) {
		fputs("mr-load: out of memory\n", stderr);
		return -1;
	}
	for (unsigned long i = 0; i < n; i++) {
		l->conn[i].index = (uint32_t)i;
		l->conn[i].rank = UINT32_MAX;
	}
	for (unsigned long r = 0; r < l->opt.active; r++) {
		struct conn *c = &l->conn[r * n / l->opt.active];

		c->rank = (uint32_t)r;
		c->stamp = &l->stamps[r * l->opt.depth];
	}
	load_stream_fill(l->out, sizeof(l->out), 0, l->opt.size, 0);
	return l->opt.via->start(l);
}

static void load_fini(struct load *l)
{
	l->opt.via->stop(l);
	free(l->pattern);
	free(l->stamps);
	free(l->conn);
	free(l);
}

/* Set here and not inherited: a shell's background job has SIGINT ignored. */
static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int main(int argc, char *argv[])
{
	struct load *l = calloc(1, sizeof(*l));
	bool ok = false;
	int err;

	if (!l) {
		fputs("mr-load: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	parse_options(&l->opt, argc, argv);
	catch_signals();
	if (load_init(l) == 0) {
		err = load_run(l);
		if (err)
			fprintf(stderr, "mr-load: %s\n", strerror(-err));
		else if (!stop_signal)
			ok = load_report(l);
	}
	load_fini(l);
	if (stop_signal)
		return 128 + stop_signal;
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
