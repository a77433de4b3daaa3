/* SPDX-License-Identifier: MIT */
/*
 * Between the files of mr-load.
 *
 *   main.c	options, start and end
 *   core.c	phases, who may send what and when, verification, counting: knows no network
 *   stream.c	what the bytes of a stream are
 *   report.c	what is printed
 *   kernel.c	over kernel sockets			\
 *   lane.c	over a lane of our own and AF_XDP	 > transports: bytes out, bytes in
 *   raw.c	frames over AF_XDP without a protocol	/
 *
 * One thread. A transport calls the core (load_*) from its wait(), and from connect(), and never
 * from send() or close().
 */
#ifndef MR_BENCH_LOAD_H
#define MR_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "bench/cputime.h"
#include "bench/histogram.h"
#include "bench/pattern.h"

enum {
	LOAD_HEADER_BYTES = 6,	  /* tag 2, length 4 */
	LOAD_MAX_VALUE = 1 << 20, /* the default format's limit */
	LOAD_MAX_CONNECTIONS = 1 << 20,
	LOAD_MAX_DEPTH = 1 << 16,
	LOAD_MAX_ENDPOINTS = 16,
	LOAD_CHUNK = 1 << 16, /* bytes of one read or write */
	LOAD_EXIT_USAGE = 2,
};

#define LOAD_SECOND_NS 1000000000ull

enum load_workload {
	WORKLOAD_ECHO,	  /* every request comes back */
	WORKLOAD_CONNECT, /* connect, one request and its reply, close, and again */
	WORKLOAD_SINK,	  /* send without end; nothing comes back */
	WORKLOAD_SOURCE,  /* the server's pattern, without end */
};

/*
 * CONNECTING -> WARMUP -> MEASURING -> DRAINING -> ENDED
 *
 * Only MEASURING counts for rates and latencies. DRAINING sends nothing new and waits for what is
 * in flight, so that a lost reply is an error and not a matter of timing.
 */
enum load_phase {
	PHASE_CONNECTING,
	PHASE_WARMUP,
	PHASE_MEASURING,
	PHASE_DRAINING,
	PHASE_ENDED,
};

enum conn_state {
	CONN_IDLE, /* not begun */
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_CLOSED,
};

struct endpoint {
	struct sockaddr_storage addr;
	socklen_t addr_len;
	const char *text;
};

struct load_transport;

struct load_options {
	struct endpoint endpoint[LOAD_MAX_ENDPOINTS];
	unsigned int n_endpoints;
	const struct load_transport *via;
	enum load_workload workload;
	unsigned long connections;
	unsigned long active; /* of them that send; the others stand idle. 0: all */
	unsigned long depth;
	unsigned long size;
	double seconds;
	double warmup_s;
	double rate; /* messages a second over all connections; 0: closed loop */
	const char *interface;
	unsigned long queue;
	unsigned long sources; /* local addresses to use at most */
	unsigned long busy_poll_us;
	unsigned long gather_us;
	pid_t pid[MR_CPUTIME_PIDS];
	unsigned int n_pids;
	bool progress;
	bool json;
	bool demo;
};

/* Positions are bytes of the connection's stream, the same one in both directions. */
struct conn {
	uint32_t index;
	uint32_t rank; /* among those that send, UINT32_MAX: stands idle */
	enum conn_state state;
	bool wants_write; /* the transport calls load_writable() */
	union {		  /* the transport's own */
		int fd;
		uint64_t id;
	};
	uint64_t sent;	   /* bytes given to the transport */
	uint64_t verified; /* bytes read back and equal */
	uint64_t *stamp;   /* start of message m at [m % depth] */
};

struct load {
	struct load_options opt;
	uint64_t message_bytes;
	enum load_phase phase;
	unsigned long n_begun; /* connections whose opening was begun */
	unsigned long n_connecting;
	unsigned long n_open;
	unsigned long n_started;   /* of those that send: may send */
	unsigned long n_in_flight; /* connections with bytes on the way; kept while DRAINING */
	struct conn *conn;
	uint64_t *stamps;
	uint64_t errors;
	uint64_t messages; /* verified, all phases */
	uint64_t measured; /* verified while MEASURING */
	uint64_t bytes;	   /* of bulk workloads, while MEASURING */
	uint64_t due;	   /* open loop: messages that have fallen due */
	uint64_t unsent;   /* open loop: due and not sent when MEASURING ended */
	uint64_t start_ns, measure_ns, end_ns, next_second_ns;
	double elapsed_s; /* of MEASURING */
	struct mr_cputime cpu_start, cpu_end;
	bool cpu_known;
	struct mr_histogram second; /* of the running second */
	struct mr_histogram all;
	uint8_t *pattern; /* WORKLOAD_SOURCE: one period */
	void *transport;  /* the transport's own */
	uint8_t out[LOAD_CHUNK], expected[LOAD_CHUNK];
};

/**
 * struct load_transport - how bytes go to the server and come back
 * @start:	0, or -1 after saying why on standard error
 * @connect:	begin to open @c; load_opened() or load_failed() follows, not before wait()
 * @send:	returns bytes taken, 0 to @len (fewer: load_writable() follows), or -errno
 * @close:	@c is done with, in order when all that came was read; nothing about it follows
 * @counters:	append figures of its own to the JSON report, ", \"name\": N" each; may be NULL
 * @wait:	let things happen until @until_ns at the latest; 0 or -errno
 */
struct load_transport {
	const char *name;
	bool needs_interface;
	int (*start)(struct load *l);
	void (*stop)(struct load *l);
	int (*connect)(struct load *l, struct conn *c);
	int64_t (*send)(struct load *l, struct conn *c, const uint8_t *data, size_t len);
	void (*close)(struct load *l, struct conn *c);
	void (*counters)(const struct load *l);
	int (*wait)(struct load *l, uint64_t now_ns, uint64_t until_ns);
};

extern const struct load_transport load_via_kernel, load_via_lane, load_via_raw;

/* main.c */
uint64_t load_clock_ns(void);
bool load_is_stopped(void);

/* core.c; load_received() may end @c: look at its state before going on with it */
void load_opened(struct load *l, struct conn *c);
void load_failed(struct load *l, struct conn *c, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void load_received(struct load *l, struct conn *c, const uint8_t *data, size_t len);
void load_writable(struct load *l, struct conn *c);
int load_run(struct load *l);
const struct endpoint *load_endpoint(const struct load *l, const struct conn *c);

/* stream.c: bytes [pos, pos + len) of connection @conn's stream of messages with @size value bytes
 */
void load_stream_fill(uint8_t *out, size_t len, uint32_t conn, size_t size, uint64_t pos);
/* report.c */
void load_progress(const struct load *l, uint64_t now_ns, double span_s);
bool load_report(const struct load *l);

#endif
