/* SPDX-License-Identifier: MIT */
/*
 * Many connections in one lane, on the in-memory wire, against one lane that is the client of all
 * of them.
 *
 *	mr-bench-scale [--connections N]
 *		N connections (ten million) are established; on every one of them the server's
 *		heartbeat sends a ping and gets the pong. Ends with the line "10m: ok ..."
 *	mr-bench-scale --cost [--connections N] [--pairs N] [--requests N]
 *		what a request costs the server with N connections (a million) and with 1,000, at
 *		the same rate, spread at random over all of them: one JSON line for each kind
 *
 * The client has 64 addresses of its own, and the server eight ports: an address alone has no more
 * than 64,512 connections to a port.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/figure.h"
#include "tests/lane/pair.h"
#include "user/lane/internal.h"

enum {
	PORT = 7000,
	PORTS = 8,
	PORTION = 512, /* connections opened at a time: the half-open table and rings hold them */
	FRAMES = 8192,
	RING = 2048,
	PING = 0xfff0,
	PONG = 0xfff1,
	PING_BYTES = 6, /* a TLV header alone, and so is the pong */
	OPENING_MS = 5000000,
	PING_MS = OPENING_MS + 60000, /* when all are open the first pings leave */
	PONG_MS = 30000,
	FEW = 1000,
	CONNECTIONS_MOST = 20000000, /* two thirds of what addresses and ports allow */
	RATE = 500000,		     /* requests a second of the lanes' clock */
	DELAYED_ACK_MS = 1,
	PAIRS_MOST = 101,
	VALUE_BYTES = 64,
};

static _Noreturn __attribute__((format(printf, 2, 3))) void fail(const char *what,
								 const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", what);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* ----- two lanes and the connections between them ----- */

static struct {
	uint32_t open;
	uint32_t closed;
	uint64_t replies;
	uint64_t wrong;
} seen;

static void on_open(struct mr_host *h, mr_conn_id c)
{
	(void)h;
	(void)c;
	seen.open++;
}

static enum mr_app_verdict on_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
				      const uint8_t *value, size_t len)
{
	(void)h;
	(void)c;
	seen.replies++;
	if (tag != 1 || len != VALUE_BYTES || value[0] != value[VALUE_BYTES - 1])
		seen.wrong++;
	return MR_APP_DONE;
}

static void on_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h;
	(void)c;
	(void)reason;
	seen.closed++;
}

static const struct mr_app client_app = {
	.name = "scale",
	.messages = true,
	.open = on_open,
	.message = on_message,
	.closed = on_closed,
};

static const uint8_t server_address[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };

static struct sockaddr_in address(uint8_t host, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(0xc6120000u | host) };
}

/* 198.18.0.1 and those behind it, as the daemon would tell. */
static void give_addresses(struct pair_end *e)
{
	struct mr_path_table *t = e->paths;

	t->mtu = e->config.mtu;
	memcpy(t->mac, e->config.mac, sizeof(t->mac));
	t->n_addresses = MR_OWN_ADDRESSES;
	for (uint8_t i = 0; i < MR_OWN_ADDRESSES; i++) {
		const uint8_t own[16] = { [10] = 0xff, 0xff, 198, 18, 0, (uint8_t)(i + 1) };

		memcpy(t->address[i].addr, own, sizeof(own));
	}
	t->seq += 2;
}

/*
 * With @pings the server's heartbeat is on. Without them the client is made for requests: it
 * acknowledges a reply before the connection's next request comes, however soon that is, so that
 * with any number of connections the server has two frames a request.
 */
static void start(struct pair *p, uint32_t connections, bool pings)
{
	static const struct mr_app *const apps[] = { &client_app };
	struct pair_options o = { .frames = FRAMES,
				  .conns = connections + 16,
				  .ring_size = RING,
				  .half_open = 2 * PORTION,
				  .time_wait = 16,
				  .huge = !pings };

	pair_init(p, o);
	for (int i = 0; i < 2; i++) {
		p->end[i].config.port_lo = 1024;
		p->end[i].config.port_hi = 65535;
	}
	for (uint16_t i = 0; i <= PORTS; i++) {
		int end = i < PORTS ? PAIR_SERVER : PAIR_CLIENT;
		struct mr_lane_rule *r = pair_rule(p, end, i < PORTS ? "echo" : client_app.name,
						   (uint16_t)(PORT + i));

		r->backlog = 2 * PORTION;
		r->heartbeat.has_ping = 1;
		r->heartbeat.ping_tag = PING;
		r->heartbeat.pong_tag = PONG;
		if (pings && end == PAIR_SERVER) {
			r->heartbeat.ping_ms = PING_MS;
			r->heartbeat.pong_ms = PONG_MS;
		}
	}
	if (!pings)
		p->end[PAIR_CLIENT].config.delayed_ack_ms = DELAYED_ACK_MS;
	give_addresses(&p->end[PAIR_CLIENT]);
	pair_start(p, apps, 1);
	memset(&seen, 0, sizeof(seen));
}

static mr_conn_id open_one(struct pair *p, uint32_t n)
{
	struct sockaddr_in from = address((uint8_t)(1 + n % MR_OWN_ADDRESSES), 0);
	struct sockaddr_in to = address(0, (uint16_t)(PORT + n / MR_OWN_ADDRESSES % PORTS));
	mr_conn_id id = 0;
	int error;

	memcpy(&to.sin_addr, server_address + 12, 4);
	error = lane_connect(p->end[PAIR_CLIENT].lane, 0, (struct sockaddr *)&from,
			     (struct sockaddr *)&to, NULL, NULL, &id);
	if (error)
		fail("scale", "connection %" PRIu32 ": %s", n + 1, strerror(-error));
	return id;
}

static bool all_open(void *arg)
{
	return seen.open == *(uint32_t *)arg;
}

/* @ids: out, of each connection at the client; NULL: nobody asks. Spread over @ms. */
static void open_all(struct pair *p, uint32_t connections, mr_conn_id *ids, uint32_t ms)
{
	uint64_t began = mr_memory_now(p->wire);

	pair_run(p, 1, NULL, NULL); /* the addresses are known from here on */
	for (uint32_t n = 0; n < connections;) {
		uint64_t due, now;

		for (int i = 0; i < PORTION && n < connections; i++, n++) {
			mr_conn_id id = open_one(p, n);

			if (ids)
				ids[n] = id;
			if (!n)
				pair_step(p); /* the first asks for the path */
		}
		if (!pair_run(p, 10000, all_open, &n))
			fail("scale",
			     "%" PRIu32 " of %" PRIu32 " connections were established, "
			     "%" PRIu32 " closed",
			     seen.open, n, seen.closed);
		due = began + (uint64_t)ms * n / connections * 1000000;
		now = mr_memory_now(p->wire);
		if (due > now + 1000000)
			pair_run(p, (uint32_t)((due - now) / 1000000), NULL, NULL);
	}
}

/* ----- ten million ----- */

/* The frames are a lane's, however many connections it has: touched before, not counted. */
static void touch_frames(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		memset(mr_arena_area(&p->end[i].arena, MR_AREA_FRAMES, NULL), 0, FRAMES * 2048u);
}

/* A connection's own books: established, one heartbeat sent and one heard, all acknowledged. */
static bool is_as_it_should(const struct mr_conn *c)
{
	return c->state == MR_ESTABLISHED && c->snd_nxt == c->iss + 1 + PING_BYTES &&
	       c->rcv_nxt == c->irs + 1 + PING_BYTES && c->snd_una == c->snd_nxt;
}

static uint64_t count_errors(const struct pair *p, uint32_t connections)
{
	const struct mr_lane_stats *s = &p->end[PAIR_SERVER].stats;
	const struct mr_lane_stats *c = &p->end[PAIR_CLIENT].stats;
	const uint64_t counted[] = { s->connections, c->connections, s->pings_out,
				     c->pings_in,    c->pongs_out,   s->pongs_in };
	uint64_t errors = seen.wrong + s->closes + c->closes;

	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		errors += counted[i] > connections ? counted[i] - connections
						   : connections - counted[i];
	for (int i = 0; i < 2; i++) {
		const struct mr_conn *conns = mr_arena_area(&p->end[i].arena, MR_AREA_CONNS, NULL);

		for (uint32_t n = 0; n < connections; n++)
			errors += !is_as_it_should(&conns[n]);
	}
	return errors;
}

static void report(const struct pair *p, uint32_t connections, double seconds, uint64_t grown)
{
	const struct mr_lane_stats *s = &p->end[PAIR_SERVER].stats;
	uint64_t errors = count_errors(p, connections);
	struct rusage usage;
	char books[160];

	getrusage(RUSAGE_SELF, &usage);
	figure("scale-10m.time", seconds, "s");
	figure("scale-10m.bytes", (double)grown / (2.0 * connections),
	       "bytes/connection and end, resident");
	figure("scale-10m.resident", (double)usage.ru_maxrss * 1024, "bytes, both lanes, at most");
	snprintf(books, sizeof(books),
		 "connections=%" PRIu64 " bytes_per_connection=%" PRIu64 " heartbeats=%" PRIu64
		 " errors=%" PRIu64,
		 (uint64_t)s->connections, grown / connections / 2, (uint64_t)s->pongs_in, errors);
	if (errors)
		fail("10m", "failed %s", books);
	printf("10m: ok %s\n", books);
}

static bool all_heard(void *arg)
{
	struct pair *p = arg;

	return p->end[PAIR_SERVER].stats.pongs_in >= seen.open || seen.closed;
}

/* The process ends with its lanes: there is no need to reset every connection first. */
static void run_many(uint32_t connections)
{
	double began = seconds_on(CLOCK_MONOTONIC);
	struct pair p;
	uint64_t before;

	start(&p, connections, true);
	touch_frames(&p);
	before = resident_bytes();
	open_all(&p, connections, NULL, OPENING_MS);
	fprintf(stderr, "10m: %" PRIu32 " connections established after %.1f s\n", seen.open,
		seconds_on(CLOCK_MONOTONIC) - began);
	pair_run(&p, PING_MS, all_heard, &p);
	pair_run(&p, 1000, NULL, NULL); /* the last ACK */
	report(&p, connections, seconds_on(CLOCK_MONOTONIC) - began, resident_bytes() - before);
}

/* ----- what a request costs ----- */

struct load {
	struct pair pair;
	mr_conn_id *ids; /* in the order in which they get requests, again and again */
	uint32_t connections;
	uint32_t next;
};

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void shuffle(mr_conn_id *ids, uint32_t n)
{
	uint64_t state = 1;

	for (uint32_t i = n; i > 1; i--) {
		uint32_t other = (uint32_t)(next_random(&state) % i);
		mr_conn_id id = ids[i - 1];

		ids[i - 1] = ids[other];
		ids[other] = id;
	}
}

static void load_start(struct load *l, uint32_t connections)
{
	*l = (struct load){ .connections = connections };
	l->ids = calloc(connections, sizeof(*l->ids));
	if (!l->ids)
		fail("scale", "no memory for %" PRIu32 " ids", connections);
	start(&l->pair, connections, false);
	open_all(&l->pair, connections, l->ids, 0);
	shuffle(l->ids, connections);
}

static void send_requests(struct load *l)
{
	struct mr_host *h = mr_lane_host(l->pair.end[PAIR_CLIENT].lane);
	uint8_t value[VALUE_BYTES];

	memset(value, (int)(l->next & 0xff), sizeof(value));
	for (int i = 0; i < PORTION; i++) {
		int error = mr_send_message(h, l->ids[l->next], 1, value, sizeof(value));

		if (error)
			fail("scale", "a request could not be sent: %s", strerror(-error));
		l->next = l->next + 1 < l->connections ? l->next + 1 : 0;
	}
}

static KEEP_WHOLE double serve(struct mr_lane *server)
{
	double began = seconds_on(CLOCK_THREAD_CPUTIME_ID);

	while (mr_lane_turn(server))
		;
	return seconds_on(CLOCK_THREAD_CPUTIME_ID) - began;
}

/* CPU nanoseconds of the server for each of about @requests. */
static double run_requests(struct load *l, uint64_t requests)
{
	struct mr_lane *client = l->pair.end[PAIR_CLIENT].lane;
	uint64_t n;
	double took = 0;

	for (n = 0; n < requests; n += PORTION) {
		uint64_t expected = seen.replies + PORTION;

		send_requests(l);
		while (mr_lane_turn(client))
			;
		took += serve(l->pair.end[PAIR_SERVER].lane);
		while (mr_lane_turn(client))
			;
		if (seen.replies != expected || seen.wrong || seen.closed)
			fail("scale",
			     "%" PRId64 " replies are missing, %" PRIu64 " wrong, %" PRIu32
			     " connections closed",
			     (int64_t)(expected - seen.replies), seen.wrong, seen.closed);
		mr_memory_advance(l->pair.wire, PORTION * 1000000000ull / RATE);
	}
	return took * 1e9 / (double)n;
}

/* ----- pairs ----- */

/* As mr-bench-xdp: in "ratio" above 1 is better, "times" is its reverse, as one reads it. */
static void print_cost(double *many, double *few, double *times, unsigned int pairs)
{
	double m = median(many, pairs), f = median(few, pairs), t = median(times, pairs);

	printf("{\"name\": \"scale-1m.cost\", \"value\": %.4g, \"unit\": \"ns/request, server\", "
	       "\"peer\": \"1,000 connections\", \"peer_value\": %.4g, \"ratio\": %.4g, "
	       "\"spread_low\": %.4g, \"spread_high\": %.4g, \"pairs\": %u, \"better\": "
	       "\"less\", \"fastest\": %.4g, \"peer_fastest\": %.4g}\n",
	       m, f, 1 / t, 1 / times[pairs - 1], 1 / times[0], pairs, many[0], few[0]);
	printf("{\"name\": \"scale-1m.times\", \"value\": %.4g, \"unit\": \"times 1,000 "
	       "connections\", \"spread_low\": %.4g, \"spread_high\": %.4g, \"pairs\": %u, "
	       "\"better\": \"less\"}\n",
	       t, times[0], times[pairs - 1], pairs);
}

static void bench_cost(uint32_t connections, unsigned int pairs, uint64_t requests)
{
	static struct load many, few;
	double a[PAIRS_MOST] = { 0 }, b[PAIRS_MOST] = { 0 }, times[PAIRS_MOST] = { 0 };

	load_start(&many, connections);
	load_start(&few, FEW);
	run_requests(&many, connections); /* each connection was in use before */
	run_requests(&few, requests);
	for (unsigned int i = 0; i < pairs; i++) {
		a[i] = run_requests(&many, requests);
		b[i] = run_requests(&few, requests);
		times[i] = a[i] / b[i];
	}
	print_cost(a, b, times, pairs);
}

/* ----- start ----- */

static struct {
	uint32_t connections; /* UINT32_MAX: as many as the benchmark is known for */
	uint32_t pairs;
	uint32_t requests;
	bool cost;
} options = { .connections = UINT32_MAX, .pairs = 9, .requests = 500000 };

static bool read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "connections", required_argument, NULL, 'n' },
		{ "cost", no_argument, NULL, 'c' },
		{ "pairs", required_argument, NULL, 'p' },
		{ "requests", required_argument, NULL, 'r' },
		{ 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "n:cp:r:", known, NULL)) != -1) {
		if (o == 'n')
			options.connections = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 'c')
			options.cost = true;
		else if (o == 'p')
			options.pairs = (uint32_t)strtoul(optarg, NULL, 10);
		else if (o == 'r')
			options.requests = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return false;
	}
	if (options.connections == UINT32_MAX)
		options.connections = options.cost ? 1000000 : 10000000;
	return options.pairs >= 1 && options.pairs <= PAIRS_MOST && options.requests &&
	       options.connections >= (options.cost ? FEW : 1u) &&
	       options.connections <= CONNECTIONS_MOST;
}

int main(int argc, char **argv)
{
	if (!read_options(argc, argv)) {
		fprintf(stderr,
			"usage: mr-bench-scale [--connections N] [--cost [--pairs N] "
			"[--requests N]]; N connections: 1 (with --cost %d) to %d; pairs: 1 to "
			"%d\n",
			FEW, CONNECTIONS_MOST, PAIRS_MOST);
		return 2;
	}
	if (options.cost)
		bench_cost(options.connections, options.pairs, options.requests);
	else
		run_many(options.connections);
	return 0;
}
