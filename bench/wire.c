/* SPDX-License-Identifier: MIT */
/*
 * Two lanes on the in-memory wire, one core: what the stack itself costs, without a kernel.
 * 64-byte TLV requests, one in flight on each connection, answered by the application echo.
 *
 *	mr-bench-wire [--connections N] [--seconds S]
 *		rate, memory, instructions: one JSON line each
 *	mr-bench-wire --requests N
 *		N requests and no more (callgrind counts them)
 *	mr-bench-wire --instructions [--connections N]
 *		instructions alone
 *
 * Instructions are the server's alone: callgrind collects inside serve_turn().
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/figure.h"
#include "tests/lane/pair.h"
#include "user/lane/ticks.h"

enum {
	VALUE_BYTES = 64,
	PORT = 7000,
	CALLGRIND_REQUESTS = 50000,
	IDLE_CONNECTIONS = 100000,
};

static struct {
	uint64_t replies;
	uint64_t wrong;
	uint32_t open;
	uint32_t closed;
	bool quiet; /* open only, send nothing */
	bool stop;
} load;

static void send_request(struct mr_host *h, mr_conn_id c)
{
	uint8_t value[VALUE_BYTES];

	memset(value, (int)(load.replies & 0xff), sizeof(value));
	if (mr_send_message(h, c, 1, value, sizeof(value)) != 0)
		load.wrong++;
}

static void on_open(struct mr_host *h, mr_conn_id c)
{
	load.open++;
	if (!load.quiet)
		send_request(h, c);
}

static enum mr_app_verdict on_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
				      const uint8_t *value, size_t len)
{
	load.replies++;
	if (tag != 1 || len != VALUE_BYTES || value[0] != value[VALUE_BYTES - 1])
		load.wrong++;
	if (!load.stop)
		send_request(h, c);
	return MR_APP_DONE;
}

static void on_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h;
	(void)c;
	(void)reason;
	load.closed++;
}

static const struct mr_app client_app = {
	.name = "bench-client",
	.messages = true,
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

/* A function of its own, so that callgrind can tell the server's turn from the client's. */
static KEEP_WHOLE unsigned int serve_turn(struct pair *p)
{
	return mr_lane_turn(p->end[PAIR_SERVER].lane);
}

static void turn(struct pair *p)
{
	serve_turn(p);
	mr_lane_turn(p->end[PAIR_CLIENT].lane);
	mr_memory_advance(p->wire, 1000);
}

static void start(struct pair *p, uint32_t connections)
{
	static const struct mr_app *const apps[] = { &client_app };
	struct pair_options o = { .frames = 8192, .conns = connections + 16, .ring_size = 2048 };

	memset(&load, 0, sizeof(load));
	pair_init(p, o);
	p->ticks_rate = mr_ticks_rate();
	for (int i = 0; i < 2; i++) {
		p->end[i].config.port_lo = 1024;
		p->end[i].config.port_hi = 65535;
	}
	pair_rule(p, PAIR_SERVER, "echo", PORT)->backlog = 65535;
	pair_rule(p, PAIR_SERVER, "echo", PORT + 1)->backlog = 65535;
	pair_rule(p, PAIR_CLIENT, "bench-client", 9);
	pair_start(p, apps, 1);
}

/* In portions, so that the half-open table and the rings are never the limit. */
static void open_all(struct pair *p, uint32_t connections)
{
	for (uint32_t n = 0; n < connections;) {
		for (int i = 0; i < 64 && n < connections; i++, n++)
			pair_connect(p, 0, (uint16_t)(PORT + (n >= 60000)), false);
		for (int i = 0; i < 20000 && load.open < n; i++) {
			pair_step(p);
			mr_memory_advance(p->wire, 1000);
		}
	}
}

static void check(uint32_t connections)
{
	if (load.open == connections && !load.wrong && !load.closed)
		return;
	fprintf(stderr, "mr-bench-wire: %u of %u connections, %llu wrong replies, %u closed\n",
		load.open, connections, (unsigned long long)load.wrong, load.closed);
	exit(1);
}

static void bench_rate(uint32_t connections, double seconds)
{
	struct pair p;
	uint64_t replies;
	double began, took;
	char name[64];

	start(&p, connections);
	open_all(&p, connections);
	for (int i = 0; i < 1000; i++)
		turn(&p);
	replies = load.replies;
	began = seconds_on(CLOCK_MONOTONIC);
	do {
		for (int i = 0; i < 100; i++)
			turn(&p);
		took = seconds_on(CLOCK_MONOTONIC) - began;
	} while (took < seconds);
	check(connections);
	snprintf(name, sizeof(name), "wire-echo-c%u.rate", connections);
	figure(name, (double)(load.replies - replies) / took, "requests/s, both lanes on one core");
	pair_free(&p);
}

static void run_requests(uint32_t connections, uint64_t requests)
{
	struct pair p;

	start(&p, connections);
	open_all(&p, connections);
	while (load.replies < requests)
		turn(&p);
	check(connections);
	pair_free(&p);
}

/* Server instructions of one run with @requests under callgrind; 0 when it cannot run. */
static double instructions_of(const char *self, uint32_t connections, uint64_t requests)
{
	char command[512], line[256];
	double collected = 0;
	FILE *out;

	snprintf(command, sizeof(command),
		 "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
		 "--toggle-collect=serve_turn %s --connections %u --requests %llu 2>&1",
		 self, connections, (unsigned long long)requests);
	out = popen(command, "r");
	if (!out)
		return 0;
	while (fgets(line, sizeof(line), out)) {
		const char *at = strstr(line, "Collected :");

		if (at)
			collected = atof(at + strlen("Collected :"));
	}
	return pclose(out) == 0 ? collected : 0;
}

static bool bench_instructions(const char *self, uint32_t connections)
{
	double less = instructions_of(self, connections, CALLGRIND_REQUESTS);
	double more = instructions_of(self, connections, 2 * CALLGRIND_REQUESTS);
	char name[64];

	if (!less || !more) {
		fprintf(stderr, "mr-bench-wire: callgrind does not run; no instructions counted\n");
		return false;
	}
	snprintf(name, sizeof(name), "wire-echo-c%u.instructions", connections);
	figure(name, (more - less) / CALLGRIND_REQUESTS, "instructions/request, server");
	return true;
}

/* What the process grew by, over both ends of each connection: blocks, tables, everything. */
static void bench_memory(void)
{
	struct pair p;
	uint64_t before;

	start(&p, IDLE_CONNECTIONS);
	load.quiet = true;
	/* the frames are a lane's, however many connections it has: touched before, not counted */
	for (int i = 0; i < 2; i++) {
		uint32_t n;
		uint8_t *frames = mr_arena_area(&p.end[i].arena, MR_AREA_FRAMES, &n);

		memset(frames, 0, (size_t)n * 2048);
	}
	open_all(&p, 1000);
	before = resident_bytes();
	open_all(&p, IDLE_CONNECTIONS - 1000);
	pair_run(&p, 1000, NULL, NULL);
	check(IDLE_CONNECTIONS);
	figure("wire-idle.bytes",
	       (double)(resident_bytes() - before) / (2.0 * (IDLE_CONNECTIONS - 1000)),
	       "bytes/idle connection, resident");
	pair_free(&p);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'c' },
		{ "seconds", required_argument, NULL, 's' },
		{ "requests", required_argument, NULL, 'r' },
		{ "instructions", no_argument, NULL, 'i' },
		{ 0 },
	};
	uint32_t connections = 64;
	uint64_t requests = 0;
	double seconds = 2;
	bool instructions = false;
	int o;

	while ((o = getopt_long(argc, argv, "c:s:r:i", options, NULL)) != -1) {
		if (o == 'c')
			connections = (uint32_t)atoi(optarg);
		else if (o == 's')
			seconds = atof(optarg);
		else if (o == 'r')
			requests = (uint64_t)atoll(optarg);
		else if (o == 'i')
			instructions = true;
		else
			return 2;
	}
	if (requests) {
		run_requests(connections, requests);
		return 0;
	}
	if (instructions)
		return bench_instructions(argv[0], connections) ? 0 : 1;
	bench_rate(connections, seconds);
	bench_rate(1000, seconds);
	bench_instructions(argv[0], connections);
	bench_memory();
	return 0;
}
