// SPDX-License-Identifier: MIT
/*
 * mr-load: TLV request and reply load over ordinary kernel sockets, one thread, epoll.
 *
 * Every connection is a stream of messages of one size in the default TLV format (tag 2 bytes,
 * length 4 bytes, big endian). What byte p of connection c's stream must be is a function of c and
 * p alone, so nothing that was sent is stored: requests are made when they are written, and each
 * reply byte is compared with the same function. A connection keeps `depth` requests in flight
 * (closed loop); with --rate requests fall due at fixed times, whether or not earlier ones were
 * answered, and latency counts from the due time (open loop).
 *
 *   CONNECTING -> WARMUP -> MEASURING -> DRAINING -> ENDED
 *
 * Only MEASURING counts for rates and latencies. DRAINING sends nothing new and waits for what is
 * in flight, so that a lost reply is an error and not a matter of timing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/cputime.h"
#include "bench/histogram.h"

enum {
	HEADER_BYTES = 6,    /* tag 2, length 4 */
	MAX_VALUE = 1 << 20, /* the default format's limit */
	MAX_CONNECTIONS = 1 << 20,
	MAX_DEPTH = 1 << 16,
	MAX_ENDPOINTS = 16,
	CHUNK = 1 << 16, /* bytes of one read or write */
	EVENTS = 256,
	SETTLE_S = 10, /* for handshakes, and for replies at the end */
	EXIT_USAGE = 2,
};

#define SECOND_NS 1000000000ull

enum phase {
	CONNECTING,
	WARMUP,
	MEASURING,
	DRAINING,
	ENDED,
};

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_CLOSED,
};

struct endpoint {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	const char *text;
};

struct options {
	struct endpoint endpoint[MAX_ENDPOINTS];
	unsigned int n_endpoints;
	unsigned long connections;
	unsigned long depth;
	unsigned long size;
	double seconds;
	double warmup_s;
	double rate; /* messages a second over all connections; 0: closed loop */
	pid_t pid[MR_CPUTIME_PIDS];
	unsigned int n_pids;
	bool progress;
	bool json;
	bool demo;
};

/* Positions are bytes of the connection's stream, the same one in both directions. */
struct conn {
	int fd;
	uint32_t index;
	enum conn_state state;
	bool wants_write;
	uint64_t sent;	   /* bytes written to the socket */
	uint64_t verified; /* bytes read back and equal */
	uint64_t *stamp;   /* start of message m at [m % depth] */
};

struct load {
	struct options opt;
	uint64_t message_bytes;
	enum phase phase;
	int epoll;
	unsigned long n_connecting;
	unsigned long n_open;
	unsigned long n_in_flight; /* connections with bytes on the way; kept while DRAINING */
	struct conn *conn;
	uint64_t *stamps;
	uint64_t errors;
	uint64_t messages; /* verified, all phases */
	uint64_t measured; /* verified while MEASURING */
	uint64_t due;	   /* open loop: messages that have fallen due */
	uint64_t unsent;   /* open loop: due and not sent when MEASURING ended */
	uint64_t start_ns, measure_ns, end_ns, next_second_ns;
	double elapsed_s; /* of MEASURING */
	struct mr_cputime cpu_start, cpu_end;
	bool cpu_known;
	struct mr_histogram second; /* of the running second */
	struct mr_histogram all;
	uint8_t in[CHUNK], out[CHUNK], expected[CHUNK];
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
	stop_signal = sig;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* ----- what the bytes of a stream are ----- */

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t message_key(uint32_t conn, uint64_t message)
{
	return mix(((uint64_t)conn << 40) ^ message);
}

/* Value bytes [off, off + len) of a message: 64-bit words, each a function of key and place. */
static void fill_value(uint8_t *out, uint64_t key, size_t off, size_t len)
{
	uint64_t word;

	while (len) {
		size_t skip = off % sizeof(word), n = sizeof(word) - skip;

		if (n > len)
			n = len;
		word = mix(key + (off / sizeof(word) + 1) * 0x9e3779b97f4a7c15ull);
		if (n == sizeof(word))
			memcpy(out, &word, sizeof(word));
		else
			memcpy(out, (uint8_t *)&word + skip, n);
		out += n;
		off += n;
		len -= n;
	}
}

/* Bytes [off, off + len) of one message. */
static void fill_message(uint8_t *out, uint32_t conn, uint64_t message, size_t size, size_t off,
			 size_t len)
{
	uint64_t key = message_key(conn, message);
	uint8_t header[HEADER_BYTES] = {
		(uint8_t)(key >> 8),   (uint8_t)key,	     (uint8_t)(size >> 24),
		(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,
	};

	while (len && off < HEADER_BYTES) {
		*out++ = header[off++];
		len--;
	}
	if (len)
		fill_value(out, key, off - HEADER_BYTES, len);
}

/* Bytes [pos, pos + len) of connection @conn's stream. */
static void fill_stream(const struct load *l, uint32_t conn, uint64_t pos, uint8_t *out, size_t len)
{
	while (len) {
		size_t off = pos % l->message_bytes, n = l->message_bytes - off;

		if (n > len)
			n = len;
		fill_message(out, conn, pos / l->message_bytes, l->opt.size, off, n);
		out += n;
		pos += n;
		len -= n;
	}
}

/* ----- connections ----- */

static const char *endpoint_text(const struct load *l, const struct conn *c)
{
	return l->opt.endpoint[c->index % l->opt.n_endpoints].text;
}

/* Requests of @c that were begun and are not answered. */
static uint64_t unanswered(const struct load *l, const struct conn *c)
{
	uint64_t begun = (c->sent + l->message_bytes - 1) / l->message_bytes;

	return begun - c->verified / l->message_bytes;
}

static bool has_in_flight(const struct load *l, const struct conn *c)
{
	return c->state == CONN_OPEN && unanswered(l, c) > 0;
}

/* Ends @c for good: what it had in flight, or else the connection itself, is an error. */
static void fail(struct load *l, struct conn *c, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void fail(struct load *l, struct conn *c, const char *format, ...)
{
	uint64_t lost = unanswered(l, c);
	va_list ap;

	if (!l->errors) { /* the first says what is wrong; all are counted */
		fprintf(stderr, "mr-load: connection %u to %s: ", c->index, endpoint_text(l, c));
		va_start(ap, format);
		vfprintf(stderr, format, ap);
		va_end(ap);
		fputc('\n', stderr);
	}
	l->errors += lost ? lost : 1;
	if (l->phase == DRAINING && has_in_flight(l, c))
		l->n_in_flight--;
	if (c->state == CONN_CONNECTING)
		l->n_connecting--;
	else
		l->n_open--;
	c->state = CONN_CLOSED;
	close(c->fd);
	c->fd = -1;
}

static void watch(struct load *l, struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(l->epoll, op, c->fd, &ev))
		fail(l, c, "epoll: %s", strerror(errno));
}

static void watch_writable(struct load *l, struct conn *c, bool on)
{
	if (c->wants_write == on)
		return;
	c->wants_write = on;
	watch(l, c, EPOLL_CTL_MOD, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Open loop: message m of connection i falls due as number m * connections + i of all. */
static uint64_t due_messages(const struct load *l, const struct conn *c)
{
	if (l->due <= c->index)
		return 0;
	return (l->due - c->index - 1) / l->opt.connections + 1;
}

static uint64_t due_time(const struct load *l, const struct conn *c, uint64_t message)
{
	double number = (double)(message * l->opt.connections + c->index);

	return l->start_ns + (uint64_t)(number * (double)SECOND_NS / l->opt.rate);
}

/* The position up to which @c may send now. */
static uint64_t send_goal(const struct load *l, const struct conn *c)
{
	uint64_t messages, due;

	if (l->phase != WARMUP && l->phase != MEASURING) /* finish what is begun */
		return (c->sent + l->message_bytes - 1) / l->message_bytes * l->message_bytes;
	messages = c->verified / l->message_bytes + l->opt.depth;
	if (l->opt.rate > 0) {
		due = due_messages(l, c);
		if (due < messages)
			messages = due;
	}
	return messages * l->message_bytes;
}

/* Messages whose first byte lies in [from, to) start now, or when they fell due. */
static void stamp_messages(struct load *l, struct conn *c, uint64_t from, uint64_t to, uint64_t now)
{
	uint64_t m = (from + l->message_bytes - 1) / l->message_bytes;

	for (; m * l->message_bytes < to; m++)
		c->stamp[m % l->opt.depth] = l->opt.rate > 0 ? due_time(l, c, m) : now;
}

static void send_requests(struct load *l, struct conn *c, uint64_t now)
{
	uint64_t goal = send_goal(l, c);

	while (c->sent < goal) {
		size_t len = goal - c->sent < CHUNK ? goal - c->sent : CHUNK;
		ssize_t n;

		fill_stream(l, c->index, c->sent, l->out, len);
		stamp_messages(l, c, c->sent, c->sent + len, now);
		n = send(c->fd, l->out, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			fail(l, c, "send: %s", strerror(errno));
			return;
		}
		if (n > 0)
			c->sent += (uint64_t)n;
		if (n < (ssize_t)len)
			break;
	}
	watch_writable(l, c, c->sent < goal);
}

/* Replies up to position @to are complete. */
static void count_replies(struct load *l, struct conn *c, uint64_t to, uint64_t now)
{
	uint64_t m = c->verified / l->message_bytes, end = to / l->message_bytes;

	l->messages += end - m;
	if (l->phase == MEASURING) {
		l->measured += end - m;
		for (; m < end; m++)
			mr_histogram_add(&l->second, now - c->stamp[m % l->opt.depth]);
	}
	c->verified = to;
	if (l->phase == DRAINING && !has_in_flight(l, c))
		l->n_in_flight--;
}

static void receive_replies(struct load *l, struct conn *c)
{
	ssize_t n = recv(c->fd, l->in, CHUNK, 0);
	uint64_t now = clock_ns();
	size_t i = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fail(l, c, "%s", n ? strerror(errno) : "closed by the server");
		return;
	}
	if ((uint64_t)n > c->sent - c->verified) {
		fail(l, c, "more bytes came back than were sent");
		return;
	}
	fill_stream(l, c->index, c->verified, l->expected, (size_t)n);
	if (memcmp(l->in, l->expected, (size_t)n)) {
		while (l->in[i] == l->expected[i])
			i++;
		fail(l, c, "reply %" PRIu64 " differs at byte %" PRIu64,
		     (c->verified + i) / l->message_bytes, (c->verified + i) % l->message_bytes);
		return;
	}
	count_replies(l, c, c->verified + (uint64_t)n, now);
	send_requests(l, c, now);
}

/* The handshake has ended, one way or the other. */
static void finish_connecting(struct load *l, struct conn *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error) {
		fail(l, c, "connect: %s", strerror(error));
		return;
	}
	l->n_connecting--;
	l->n_open++;
	c->state = CONN_OPEN;
	c->wants_write = false;
	watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
}

static void start_connecting(struct load *l, struct conn *c)
{
	const struct endpoint *e = &l->opt.endpoint[c->index % l->opt.n_endpoints];
	int one = 1;

	c->state = CONN_CONNECTING;
	l->n_connecting++;
	c->fd = socket(e->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		fail(l, c, "socket: %s", strerror(errno));
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (const struct sockaddr *)&e->addr, e->addr_len) &&
	    errno != EINPROGRESS) {
		fail(l, c, "connect: %s", strerror(errno));
		return;
	}
	watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void handle_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING) {
		finish_connecting(l, c);
		return;
	}
	if (c->state == CONN_OPEN && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive_replies(l, c);
	if (c->state == CONN_OPEN && events & EPOLLOUT)
		send_requests(l, c, clock_ns());
}

/* ----- phases ----- */

static double us(uint64_t ns)
{
	return (double)ns / 1000.0;
}

static void sample_cpu(struct load *l, struct mr_cputime *t)
{
	int err = mr_cputime_sample(t, l->opt.pid, l->opt.n_pids);

	if (err && l->cpu_known)
		fprintf(stderr, "mr-load: CPU time: %s\n", strerror(-err));
	l->cpu_known = l->cpu_known && !err;
}

static void enter_warmup(struct load *l, uint64_t now)
{
	l->phase = WARMUP;
	l->start_ns = now;
	l->measure_ns = now + (uint64_t)(l->opt.warmup_s * (double)SECOND_NS);
	if (l->opt.rate > 0)
		return;
	for (unsigned long i = 0; i < l->opt.connections; i++)
		if (l->conn[i].state == CONN_OPEN)
			send_requests(l, &l->conn[i], clock_ns());
}

static void enter_measuring(struct load *l, uint64_t now)
{
	l->phase = MEASURING;
	l->measure_ns = now;
	l->end_ns = now + (uint64_t)(l->opt.seconds * (double)SECOND_NS);
	l->next_second_ns = now + SECOND_NS;
	sample_cpu(l, &l->cpu_start);
}

static void finish_second(struct load *l, uint64_t now)
{
	uint64_t from = l->next_second_ns - SECOND_NS;
	double span_s = (double)(now - from) / (double)SECOND_NS;

	if (l->opt.progress) {
		fprintf(stderr,
			"%s: %.0f s: %.0f messages/s, p50 %.0f us, p99 %.0f us, %" PRIu64
			" errors\n",
			l->opt.demo ? "demo" : "mr-load",
			(double)(now - l->measure_ns) / (double)SECOND_NS,
			(double)l->second.count / span_s,
			us(mr_histogram_quantile(&l->second, 0.5)),
			us(mr_histogram_quantile(&l->second, 0.99)), l->errors);
	}
	mr_histogram_merge(&l->all, &l->second);
	memset(&l->second, 0, sizeof(l->second));
	l->next_second_ns = now + SECOND_NS;
}

static void enter_draining(struct load *l, uint64_t now)
{
	struct conn *c;

	sample_cpu(l, &l->cpu_end);
	/* A last second that was all but whole is shown, a scrap is not. */
	if (now + SECOND_NS / 10 < l->next_second_ns)
		l->opt.progress = false;
	finish_second(l, now);
	l->elapsed_s = (double)(now - l->measure_ns) / (double)SECOND_NS;
	l->phase = DRAINING;
	l->end_ns = now + SETTLE_S * SECOND_NS;
	for (unsigned long i = 0; i < l->opt.connections; i++) {
		c = &l->conn[i];
		if (has_in_flight(l, c))
			l->n_in_flight++;
		if (c->state == CONN_OPEN && l->opt.rate > 0)
			l->unsent += due_messages(l, c) - c->sent / l->message_bytes;
	}
}

static void fail_all(struct load *l, enum conn_state state, const char *why)
{
	for (unsigned long i = 0; i < l->opt.connections; i++) {
		struct conn *c = &l->conn[i];

		if (c->state == state && (state != CONN_OPEN || has_in_flight(l, c)))
			fail(l, c, "%s", why);
	}
}

/* Open loop: lets those connections send for which a message has fallen due. */
static void send_due(struct load *l, uint64_t now)
{
	uint64_t from = l->due, n;

	l->due = (uint64_t)((double)(now - l->start_ns) * l->opt.rate / (double)SECOND_NS) + 1;
	n = l->due - from;
	if (n > l->opt.connections)
		n = l->opt.connections;
	for (uint64_t k = l->due - n; k < l->due; k++) {
		struct conn *c = &l->conn[k % l->opt.connections];

		if (c->state == CONN_OPEN)
			send_requests(l, c, now);
	}
}

static void advance_running(struct load *l, uint64_t now)
{
	if (l->phase == WARMUP && now >= l->measure_ns)
		enter_measuring(l, now);
	if (l->phase == MEASURING && (now >= l->end_ns || !l->n_open)) {
		enter_draining(l, now);
		return;
	}
	if (l->phase == MEASURING && now >= l->next_second_ns)
		finish_second(l, now);
	if (l->opt.rate > 0)
		send_due(l, now);
}

static void advance_once(struct load *l, uint64_t now)
{
	switch (l->phase) {
	case CONNECTING:
		if (now >= l->end_ns)
			fail_all(l, CONN_CONNECTING, "connect: no answer");
		if (!l->n_connecting)
			enter_warmup(l, now);
		break;
	case WARMUP:
	case MEASURING:
		advance_running(l, now);
		break;
	case DRAINING:
		if (now >= l->end_ns)
			fail_all(l, CONN_OPEN, "no reply");
		if (!l->n_in_flight)
			l->phase = ENDED;
		break;
	case ENDED:
		break;
	}
}

/* Into the phase that is due now; a phase that finds nothing to wait for is passed through. */
static void advance(struct load *l, uint64_t now)
{
	enum phase before;

	do {
		before = l->phase;
		advance_once(l, now);
	} while (l->phase != before);
}

/* When advance() has to be called though nothing arrives. */
static uint64_t next_event_ns(const struct load *l)
{
	uint64_t at = l->end_ns, due;

	if (l->phase == WARMUP)
		at = l->measure_ns;
	if (l->phase == MEASURING && l->next_second_ns < at)
		at = l->next_second_ns;
	if (l->opt.rate > 0 && (l->phase == WARMUP || l->phase == MEASURING)) {
		due = l->start_ns + (uint64_t)((double)l->due * (double)SECOND_NS / l->opt.rate);
		if (due < at)
			at = due;
	}
	return at;
}

/* Return: 0, or -errno when waiting itself fails. */
static int run(struct load *l)
{
	struct epoll_event events[EVENTS];
	uint64_t now = clock_ns(), at;
	int n;

	l->end_ns = now + SETTLE_S * SECOND_NS;
	for (advance(l, now); l->phase != ENDED && !stop_signal; advance(l, now)) {
		struct timespec ts;

		now = clock_ns();
		at = next_event_ns(l);
		at = at > now ? at - now : 0;
		ts = (struct timespec){ (time_t)(at / SECOND_NS), (long)(at % SECOND_NS) };
		n = epoll_pwait2(l->epoll, events, EVENTS, &ts, NULL);
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			handle_event(l, events[i].data.ptr, events[i].events);
		now = clock_ns();
	}
	return 0;
}

/* ----- report ----- */

static double rate(const struct load *l)
{
	return l->elapsed_s > 0 ? (double)l->measured / l->elapsed_s : 0;
}

static void print_json(const struct load *l)
{
	const struct mr_histogram *h = &l->all;

	printf("{\"messages\": %" PRIu64 ", \"measured\": %" PRIu64 ", \"rate\": %.1f, "
	       "\"seconds\": %.6f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
	       "\"max_us\": %.3f, \"errors\": %" PRIu64 ", \"unsent\": %" PRIu64
	       ", \"connections\": %lu, \"depth\": %lu, \"size\": %lu",
	       l->messages, l->measured, rate(l), l->elapsed_s, us(mr_histogram_quantile(h, 0.5)),
	       us(mr_histogram_quantile(h, 0.99)), us(mr_histogram_quantile(h, 0.999)), us(h->max),
	       l->errors, l->unsent, l->opt.connections, l->opt.depth, l->opt.size);
	if (l->cpu_known) {
		printf(", \"server_cpu_s\": %.2f, \"machine_cpu_s\": %.2f, "
		       "\"machine_softirq_s\": %.2f",
		       l->cpu_end.processes_s - l->cpu_start.processes_s,
		       l->cpu_end.busy_s - l->cpu_start.busy_s,
		       l->cpu_end.softirq_s - l->cpu_start.softirq_s);
	}
	printf("}\n");
}

static void print_text(const struct load *l)
{
	const struct mr_histogram *h = &l->all;

	printf("messages  %" PRIu64 "\nrate      %.0f/s\np50       %.1f us\np99       %.1f us\n"
	       "p99.9     %.1f us\nmax       %.1f us\nerrors    %" PRIu64 "\n",
	       l->messages, rate(l), us(mr_histogram_quantile(h, 0.5)),
	       us(mr_histogram_quantile(h, 0.99)), us(mr_histogram_quantile(h, 0.999)), us(h->max),
	       l->errors);
	if (l->unsent)
		printf("unsent    %" PRIu64 "\n", l->unsent);
	if (l->cpu_known && l->opt.n_pids)
		printf("cpu       %.2f s of the server, %.2f s of the machine\n",
		       l->cpu_end.processes_s - l->cpu_start.processes_s,
		       l->cpu_end.busy_s - l->cpu_start.busy_s);
}

/* Return: does every message count as intact? */
static bool report(const struct load *l)
{
	bool ok = !l->errors && l->measured;

	if (l->opt.demo)
		printf("demo: %s messages=%" PRIu64 " rate=%.0f/s p50_us=%.0f p99_us=%.0f "
		       "errors=%" PRIu64 "\n",
		       ok ? "ok" : "failed", l->messages, rate(l),
		       us(mr_histogram_quantile(&l->all, 0.5)),
		       us(mr_histogram_quantile(&l->all, 0.99)), l->errors);
	else if (l->opt.json)
		print_json(l);
	else
		print_text(l);
	return ok && !fflush(stdout);
}

/* ----- options ----- */

static const char usage_text[] =
	"usage: mr-load --connect ADDR:PORT [--connect [ADDR6]:PORT ...] [options]\n"
	"\n"
	"TLV requests over kernel sockets; every reply is compared byte by byte.\n"
	"\n"
	"  --connect ADDR:PORT  server; repeated: connections are spread over all of them\n"
	"  --connections N      connections (1)\n"
	"  --depth N            requests in flight on each connection (1)\n"
	"  --size N             value bytes of a request, 0 to 1048576 (64)\n"
	"  --seconds S          time that is measured (10)\n"
	"  --warmup S           time before it, not measured (0)\n"
	"  --rate R             open loop: R requests a second over all connections\n"
	"  --cpu-of PID         report CPU time of this process too; may be repeated\n"
	"  --progress           a line a second on standard error\n"
	"  --json               report as one JSON object\n"
	"  --demo               progress, and the report as the demo's last line\n"
	"\n"
	"Exit status: 0 all replies intact, 1 not so, 2 usage.\n";

static void refuse(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "mr-load: --%s %s: %s\n", option, value, wanted);
	exit(EXIT_USAGE);
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
static void parse_endpoint(struct options *o, char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	struct endpoint *e = &o->endpoint[o->n_endpoints];
	char host[128], *colon = strrchr(text, ':');
	struct addrinfo *found;
	size_t len;

	if (o->n_endpoints == MAX_ENDPOINTS)
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

static void add_pid(struct options *o, const char *text)
{
	if (o->n_pids == MR_CPUTIME_PIDS)
		refuse("cpu-of", text, "too many processes");
	o->pid[o->n_pids++] = (pid_t)parse_count("cpu-of", text, 1, 1 << 30);
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
};

static const struct option long_options[] = {
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "cpu-of", required_argument, NULL, OPT_CPU_OF },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "demo", no_argument, NULL, OPT_DEMO },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static void take_option(struct options *o, int letter, char *arg)
{
	switch (letter) {
	case OPT_CONNECT:
		parse_endpoint(o, arg);
		break;
	case OPT_CONNECTIONS:
		o->connections = parse_count("connections", arg, 1, MAX_CONNECTIONS);
		break;
	case OPT_DEPTH:
		o->depth = parse_count("depth", arg, 1, MAX_DEPTH);
		break;
	case OPT_SIZE:
		o->size = parse_count("size", arg, 0, MAX_VALUE);
		break;
	case OPT_SECONDS:
		o->seconds = parse_number("seconds", arg, 0.1, 1e6);
		break;
	case OPT_WARMUP:
		o->warmup_s = parse_number("warmup", arg, 0, 1e6);
		break;
	case OPT_RATE:
		o->rate = parse_number("rate", arg, 0.001, 1e9);
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
		exit(EXIT_USAGE);
	}
}

static void parse_options(struct options *o, int argc, char *argv[])
{
	int letter;

	*o = (struct options){ .connections = 1, .depth = 1, .size = 64, .seconds = 10 };
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(o, letter, optarg);
	if (optind != argc || !o->n_endpoints) {
		fputs(usage_text, stderr);
		exit(EXIT_USAGE);
	}
}

/* ----- start and end ----- */

static int raise_descriptor_limit(const struct load *l)
{
	rlim_t wanted = l->opt.connections + 16;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= wanted)
		return 0;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted; /* root may */
	limit.rlim_cur = wanted;
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

static int load_init(struct load *l)
{
	unsigned long n = l->opt.connections;

	l->message_bytes = HEADER_BYTES + l->opt.size;
	l->cpu_known = true;
	l->conn = calloc(n, sizeof(*l->conn));
	l->stamps = calloc(n * l->opt.depth, sizeof(*l->stamps));
	if (!l->conn || !l->stamps)
		return -ENOMEM;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	for (unsigned long i = 0; i < n; i++) {
		l->conn[i] = (struct conn){ .fd = -1, .index = (uint32_t)i };
		l->conn[i].stamp = &l->stamps[i * l->opt.depth];
		start_connecting(l, &l->conn[i]);
	}
	return 0;
}

static void load_fini(struct load *l)
{
	for (unsigned long i = 0; l->conn && i < l->opt.connections; i++)
		if (l->conn[i].fd >= 0)
			close(l->conn[i].fd);
	if (l->epoll >= 0)
		close(l->epoll);
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
	l->epoll = -1;
	parse_options(&l->opt, argc, argv);
	catch_signals();
	err = raise_descriptor_limit(l);
	if (err) {
		fprintf(stderr, "mr-load: %lu connections: %s; raise it by ulimit -n\n",
			l->opt.connections, strerror(-err));
		goto out;
	}
	err = load_init(l);
	if (!err)
		err = run(l);
	if (err)
		fprintf(stderr, "mr-load: %s\n", strerror(-err));
	else if (!stop_signal)
		ok = report(l);
out:
	load_fini(l);
	if (stop_signal)
		return 128 + stop_signal;
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
