// SPDX-License-Identifier: MIT
/*
 * The load itself: who may send what and when, whether what came back is what was sent, how long it
 * took. Knows nothing of the network: transports bring bytes out and in.
 *
 * Every connection is a stream of messages of one size in the default TLV format. It keeps `depth`
 * requests in flight (closed loop); with a rate requests fall due at fixed times, whether or not
 * earlier ones were answered, and latency counts from the due time (open loop), so that a server
 * that stops for a while is charged for every request that would have been sent meanwhile.
 *
 * WORKLOAD_CONNECT goes through the same stream, a message a connection: positions go on where the
 * last connection ended, and latency counts from the beginning of the handshake.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/load.h"

enum {
	SETTLE_S = 10,		/* for handshakes without progress, and for replies at the end */
	CONNECT_WINDOW = 128,	/* handshakes at a time */
	START_BATCH = 64,	/* connections that begin to send at a time */
	SINK_BURST = 64,	/* chunks at a time: more than any transport takes at once */
	IDLE_RANK = UINT32_MAX, /* of a connection that stands idle */
};

#define SECOND_NS LOAD_SECOND_NS

const struct endpoint *load_endpoint(const struct load *l, const struct conn *c)
{
	return &l->opt.endpoint[c->index % l->opt.n_endpoints];
}

static bool is_running(const struct load *l)
{
	return l->phase == PHASE_WARMUP || l->phase == PHASE_MEASURING;
}

static bool is_bulk(const struct load *l)
{
	return l->opt.workload == WORKLOAD_SINK || l->opt.workload == WORKLOAD_SOURCE;
}

/* Requests of @c that were begun and are not answered. */
static uint64_t unanswered(const struct load *l, const struct conn *c)
{
	uint64_t begun = (c->sent + l->message_bytes - 1) / l->message_bytes;

	return begun - c->verified / l->message_bytes;
}

static bool has_in_flight(const struct load *l, const struct conn *c)
{
	if (l->opt.workload == WORKLOAD_CONNECT)
		return c->state == CONN_CONNECTING || c->state == CONN_OPEN;
	return c->state == CONN_OPEN && !is_bulk(l) && unanswered(l, c) > 0;
}

/* ----- states of a connection ----- */

static void set_state(struct load *l, struct conn *c, enum conn_state state)
{
	l->n_connecting -= c->state == CONN_CONNECTING;
	l->n_open -= c->state == CONN_OPEN;
	c->state = state;
	l->n_connecting += state == CONN_CONNECTING;
	l->n_open += state == CONN_OPEN;
}

/* Ends @c for good: what it had in flight, or else the connection itself, is an error. */
void load_failed(struct load *l, struct conn *c, const char *format, ...)
{
	uint64_t lost = is_bulk(l) ? 0 : unanswered(l, c);
	va_list ap;

	if (!l->errors) { /* the first says what is wrong; all are counted */
		fprintf(stderr, "mr-load: connection %u to %s: ", c->index,
			load_endpoint(l, c)->text);
		va_start(ap, format);
		vfprintf(stderr, format, ap);
		va_end(ap);
		fputc('\n', stderr);
	}
	l->errors += lost ? lost : 1;
	if (l->phase == PHASE_DRAINING && has_in_flight(l, c))
		l->n_in_flight--;
	set_state(l, c, CONN_CLOSED);
	l->opt.via->close(l, c);
}

static void begin(struct load *l, struct conn *c)
{
	int err;

	set_state(l, c, CONN_CONNECTING);
	err = l->opt.via->connect(l, c);
	if (err)
		load_failed(l, c, "connect: %s", strerror(-err));
}

/* As many handshakes at a time as a listener's queue takes easily. */
static void begin_some(struct load *l)
{
	while (l->n_begun < l->opt.connections && l->n_connecting < CONNECT_WINDOW)
		begin(l, &l->conn[l->n_begun++]);
}

/* ----- sending ----- */

/* Open loop: message m of the connection of rank r falls due as number m * active + r of all. */
static uint64_t due_messages(const struct load *l, const struct conn *c)
{
	if (c->rank == IDLE_RANK || l->due <= c->rank)
		return 0;
	return (l->due - c->rank - 1) / l->opt.active + 1;
}

static uint64_t due_time(const struct load *l, const struct conn *c, uint64_t message)
{
	double number = (double)(message * l->opt.active + c->rank);

	return l->start_ns + (uint64_t)(number * (double)SECOND_NS / l->opt.rate);
}

/* The position up to which @c may send now. */
static uint64_t send_goal(const struct load *l, const struct conn *c)
{
	uint64_t messages, due;

	if (!is_running(l)) /* finish what is begun */
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

	if (l->opt.workload == WORKLOAD_CONNECT) /* started with the handshake */
		return;
	for (; m * l->message_bytes < to; m++)
		c->stamp[m % l->opt.depth] = l->opt.rate > 0 ? due_time(l, c, m) : now;
}

static void send_requests(struct load *l, struct conn *c, uint64_t now)
{
	uint64_t goal = send_goal(l, c);

	while (c->sent < goal) {
		size_t len = goal - c->sent < LOAD_CHUNK ? goal - c->sent : LOAD_CHUNK;
		int64_t n;

		load_stream_fill(l->out, len, c->index, l->opt.size, c->sent);
		stamp_messages(l, c, c->sent, c->sent + len, now);
		n = l->opt.via->send(l, c, l->out, len);
		if (n < 0) {
			load_failed(l, c, "send: %s", strerror((int)-n));
			return;
		}
		c->sent += (uint64_t)n;
		if (n < (int64_t)len)
			return;
	}
}

/* What the bytes are does not matter to who discards them; they are still those of a stream. */
static void send_bulk(struct load *l, struct conn *c)
{
	for (int i = 0; is_running(l) && i < SINK_BURST; i++) {
		int64_t n = l->opt.via->send(l, c, l->out, LOAD_CHUNK);

		if (n < 0) {
			load_failed(l, c, "send: %s", strerror((int)-n));
			return;
		}
		c->sent += (uint64_t)n;
		if (l->phase == PHASE_MEASURING)
			l->bytes += (uint64_t)n;
		if (n < LOAD_CHUNK)
			return;
	}
}

static void send_what_is_due(struct load *l, struct conn *c, uint64_t now)
{
	if (c->rank == IDLE_RANK || c->rank >= l->n_started)
		return;
	if (l->opt.workload == WORKLOAD_SINK)
		send_bulk(l, c);
	else if (l->opt.workload != WORKLOAD_SOURCE)
		send_requests(l, c, now);
}

void load_opened(struct load *l, struct conn *c)
{
	set_state(l, c, CONN_OPEN);
	if (l->phase == PHASE_CONNECTING) {
		l->end_ns = load_clock_ns() + SETTLE_S * SECOND_NS;
		begin_some(l);
		return;
	}
	send_what_is_due(l, c, load_clock_ns());
	if (l->opt.workload == WORKLOAD_CONNECT && c->state == CONN_OPEN &&
	    l->phase == PHASE_DRAINING && c->sent == c->verified) {
		/* opened too late to be asked anything */
		l->n_in_flight--;
		set_state(l, c, CONN_CLOSED);
		l->opt.via->close(l, c);
	}
}

void load_writable(struct load *l, struct conn *c)
{
	if (c->state == CONN_OPEN)
		send_what_is_due(l, c, load_clock_ns());
}

/* ----- receiving ----- */

/* Replies up to position @to are complete. */
static void count_replies(struct load *l, struct conn *c, uint64_t to, uint64_t now)
{
	uint64_t m = c->verified / l->message_bytes, end = to / l->message_bytes;

	l->messages += end - m;
	if (l->phase == PHASE_MEASURING) {
		l->measured += end - m;
		for (; m < end; m++)
			mr_histogram_add(&l->second, now - c->stamp[m % l->opt.depth]);
	}
	c->verified = to;
}

/* A transaction is over: the next connection. */
static void finish_transaction(struct load *l, struct conn *c, uint64_t now)
{
	l->opt.via->close(l, c);
	set_state(l, c, CONN_IDLE);
	if (!is_running(l))
		return;
	c->stamp[c->sent / l->message_bytes % l->opt.depth] = now;
	begin(l, c);
}

static void received_replies(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	uint64_t now = load_clock_ns();
	bool was_in_flight;
	size_t i = 0;

	if (len > c->sent - c->verified) {
		load_failed(l, c, "more bytes came back than were sent");
		return;
	}
	load_stream_fill(l->expected, len, c->index, l->opt.size, c->verified);
	if (memcmp(data, l->expected, len)) {
		while (data[i] == l->expected[i])
			i++;
		load_failed(l, c, "reply %" PRIu64 " differs at byte %" PRIu64,
			    (c->verified + i) / l->message_bytes,
			    (c->verified + i) % l->message_bytes);
		return;
	}
	was_in_flight = has_in_flight(l, c);
	count_replies(l, c, c->verified + len, now);
	if (l->opt.workload != WORKLOAD_CONNECT)
		send_requests(l, c, now);
	else if (c->sent == c->verified)
		finish_transaction(l, c, now);
	if (l->phase == PHASE_DRAINING && was_in_flight && !has_in_flight(l, c))
		l->n_in_flight--;
}

static void received_pattern(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	if (memcmp(data, l->pattern + c->verified % MR_PATTERN_PERIOD, len)) {
		load_failed(l, c, "bytes after %" PRIu64 " differ from the pattern", c->verified);
		return;
	}
	c->verified += len;
	if (l->phase == PHASE_MEASURING)
		l->bytes += len;
}

void load_received(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	switch (l->opt.workload) {
	case WORKLOAD_ECHO:
	case WORKLOAD_CONNECT:
		received_replies(l, c, data, len);
		return;
	case WORKLOAD_SINK:
		load_failed(l, c, "bytes came back from a server that shall discard them");
		return;
	case WORKLOAD_SOURCE:
		received_pattern(l, c, data, len);
		return;
	}
}

/* ----- phases ----- */

static void sample_cpu(struct load *l, struct mr_cputime *t)
{
	int err = mr_cputime_sample(t, l->opt.pid, l->opt.n_pids);

	if (err && l->cpu_known)
		fprintf(stderr, "mr-load: CPU time: %s\n", strerror(-err));
	l->cpu_known = l->cpu_known && !err;
}

static void enter_warmup(struct load *l, uint64_t now)
{
	l->phase = PHASE_WARMUP;
	l->start_ns = now;
	l->measure_ns = now + (uint64_t)(l->opt.warmup_s * (double)SECOND_NS);
	if (l->opt.rate > 0)
		l->n_started = l->opt.active;
}

/* The next ones that begin to send: not all at once, or the first burst fills every queue. */
static void start_some(struct load *l, uint64_t now)
{
	for (int i = 0; i < START_BATCH && l->n_started < l->opt.active; i++) {
		struct conn *c = &l->conn[l->n_started++ * l->opt.connections / l->opt.active];

		if (l->opt.workload == WORKLOAD_CONNECT) {
			c->stamp[0] = now;
			begin(l, c);
		} else if (c->state == CONN_OPEN) {
			send_what_is_due(l, c, load_clock_ns());
		}
	}
}

static void enter_measuring(struct load *l, uint64_t now)
{
	l->phase = PHASE_MEASURING;
	l->measure_ns = now;
	l->end_ns = now + (uint64_t)(l->opt.seconds * (double)SECOND_NS);
	l->next_second_ns = now + SECOND_NS;
	sample_cpu(l, &l->cpu_start);
}

static void finish_second(struct load *l, uint64_t now)
{
	uint64_t from = l->next_second_ns - SECOND_NS;

	if (l->opt.progress)
		load_progress(l, now, (double)(now - from) / (double)SECOND_NS);
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
	l->phase = PHASE_DRAINING;
	l->end_ns = now + SETTLE_S * SECOND_NS;
	for (unsigned long i = 0; i < l->opt.connections; i++) {
		c = &l->conn[i];
		if (has_in_flight(l, c))
			l->n_in_flight++;
		if (c->state == CONN_OPEN && l->opt.rate > 0)
			l->unsent += due_messages(l, c) - c->sent / l->message_bytes;
	}
}

static void fail_all(struct load *l, bool connecting, const char *why)
{
	for (unsigned long i = 0; i < l->opt.connections; i++) {
		struct conn *c = &l->conn[i];

		if (connecting ? c->state == CONN_CONNECTING : has_in_flight(l, c))
			load_failed(l, c, "%s", why);
	}
}

/* Open loop: lets those connections send for which a message has fallen due. */
static void send_due(struct load *l, uint64_t now)
{
	uint64_t from = l->due, n;

	l->due = (uint64_t)((double)(now - l->start_ns) * l->opt.rate / (double)SECOND_NS) + 1;
	n = l->due - from;
	if (n > l->opt.active)
		n = l->opt.active;
	for (uint64_t k = l->due - n; k < l->due; k++) {
		struct conn *c = &l->conn[k % l->opt.active * l->opt.connections / l->opt.active];

		if (c->state == CONN_OPEN)
			send_requests(l, c, now);
	}
}

static void advance_running(struct load *l, uint64_t now)
{
	if (l->phase == PHASE_WARMUP && now >= l->measure_ns && l->n_started == l->opt.active)
		enter_measuring(l, now);
	if (l->phase == PHASE_MEASURING && (now >= l->end_ns || !(l->n_open + l->n_connecting))) {
		enter_draining(l, now);
		return;
	}
	if (l->phase == PHASE_MEASURING && now >= l->next_second_ns)
		finish_second(l, now);
	if (l->n_started < l->opt.active)
		start_some(l, now);
	if (l->opt.rate > 0)
		send_due(l, now);
}

static void advance_connecting(struct load *l, uint64_t now)
{
	if (l->opt.workload == WORKLOAD_CONNECT) {
		enter_warmup(l, now);
		return;
	}
	if (now >= l->end_ns)
		fail_all(l, true, "connect: no answer");
	begin_some(l);
	if (!l->n_connecting && l->n_begun == l->opt.connections)
		enter_warmup(l, now);
}

static void advance_once(struct load *l, uint64_t now)
{
	switch (l->phase) {
	case PHASE_CONNECTING:
		advance_connecting(l, now);
		break;
	case PHASE_WARMUP:
	case PHASE_MEASURING:
		advance_running(l, now);
		break;
	case PHASE_DRAINING:
		if (now >= l->end_ns)
			fail_all(l, false, "no reply");
		if (!l->n_in_flight)
			l->phase = PHASE_ENDED;
		break;
	case PHASE_ENDED:
		break;
	}
}

/* Into the phase that is due now; a phase that finds nothing to wait for is passed through. */
static void advance(struct load *l, uint64_t now)
{
	enum load_phase before;

	do {
		before = l->phase;
		advance_once(l, now);
	} while (l->phase != before);
}

/* When advance() has to be called though nothing arrives. */
static uint64_t next_event_ns(const struct load *l)
{
	uint64_t at = l->end_ns, due;

	if (l->phase == PHASE_WARMUP)
		at = l->measure_ns;
	if (l->phase == PHASE_MEASURING && l->next_second_ns < at)
		at = l->next_second_ns;
	if (is_running(l) && l->n_started < l->opt.active)
		at = 0;
	if (l->opt.rate > 0 && is_running(l)) {
		due = l->start_ns + (uint64_t)((double)l->due * (double)SECOND_NS / l->opt.rate);
		if (due < at)
			at = due;
	}
	return at;
}

/* Return: 0, or -errno when waiting itself fails. */
int load_run(struct load *l)
{
	uint64_t now = load_clock_ns();
	int err = 0;

	l->end_ns = now + SETTLE_S * SECOND_NS;
	for (advance(l, now); l->phase != PHASE_ENDED && !load_is_stopped() && !err;
	     advance(l, now)) {
		err = l->opt.via->wait(l, now, next_event_ns(l));
		now = load_clock_ns();
	}
	return err;
}
