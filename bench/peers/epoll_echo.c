// SPDX-License-Identifier: MIT
/*
 * epoll-echo: the benchmarks' peer, a TLV echo server over kernel sockets, as fast as one thread
 * with epoll makes it: edge triggered, one read and one write for all messages that a readiness
 * brings, replies written straight from the receive buffer. Same format and limit as Millrace's
 * rule: tag 2 bytes, length 4 bytes, big endian, at most 1 MiB.
 *
 * All connections share one buffer. Only a connection with half a message, or with replies that the
 * socket did not take, has a buffer of its own, and gives it back when that is done.
 */
#include <getopt.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/peers/peer.h"

enum {
	SHARED_BYTES = 1 << 18,
	EVENTS = 256,
	MAX_PROCESSES = 64,
};

_Static_assert((int)SHARED_BYTES > (int)PEER_HEADER_BYTES, "a header fits the shared buffer");

/* Bytes that must wait: the start of a message, or the unsent rest of replies. */
struct held {
	uint8_t *data;
	size_t len;  /* bytes there */
	size_t size; /* of @data */
};

struct conn {
	int fd;
	struct held partial;
	struct held unsent;
};

struct server {
	int epoll;
	int listener;
	bool listens; /* not while it has no descriptor left */
	uint8_t shared[SHARED_BYTES];
};

enum outcome {
	GO_ON,
	WAIT, /* until the socket is readable or writable again */
	CLOSE,
};

/* ----- held bytes ----- */

static void held_free(struct held *h)
{
	free(h->data);
	*h = (struct held){ 0 };
}

/* Makes room for @size bytes in all; what is there stays. Return: 0 or -ENOMEM, nothing changed. */
static int held_grow(struct held *h, size_t size)
{
	uint8_t *data;

	if (size <= h->size)
		return 0;
	data = realloc(h->data, size);
	if (!data)
		return -ENOMEM;
	h->data = data;
	h->size = size;
	return 0;
}

static int held_append(struct held *h, const uint8_t *data, size_t len)
{
	if (held_grow(h, h->len + len))
		return -ENOMEM;
	memcpy(h->data + h->len, data, len);
	h->len += len;
	return 0;
}

/* ----- connections ----- */

static void conn_free(struct conn *c)
{
	close(c->fd); /* leaves the epoll set with it */
	held_free(&c->partial);
	held_free(&c->unsent);
	free(c);
}

/* Sends all of @len bytes or holds the rest. */
static enum outcome reply(struct conn *c, const uint8_t *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return CLOSE;
	if (n < 0)
		n = 0;
	if ((size_t)n == len)
		return GO_ON;
	return held_append(&c->unsent, data + n, len - (size_t)n) ? CLOSE : WAIT;
}

static enum outcome send_unsent(struct conn *c)
{
	struct held rest = c->unsent;
	enum outcome outcome;

	if (!rest.len)
		return GO_ON;
	c->unsent = (struct held){ 0 };
	outcome = reply(c, rest.data, rest.len);
	held_free(&rest);
	return outcome;
}

/* Answers what is whole of @len bytes at @data and holds the rest. */
static enum outcome handle_bytes(struct conn *c, const uint8_t *data, size_t len)
{
	size_t need, whole = peer_whole_messages(data, len, &need);
	enum outcome outcome = GO_ON;

	if (whole)
		outcome = reply(c, data, whole);
	if (!need)
		return CLOSE;
	if (whole < len && outcome != CLOSE) {
		if (held_grow(&c->partial, need) ||
		    held_append(&c->partial, data + whole, len - whole))
			return CLOSE;
	}
	return outcome;
}

/* The message that began in an earlier read goes on in @c's own buffer, and no further. */
static enum outcome read_partial(struct conn *c)
{
	struct held *h = &c->partial, done;
	enum outcome outcome;
	ssize_t n;
	size_t need;

	while (h->len < PEER_HEADER_BYTES || h->len < peer_message_bytes(h->data)) {
		need = h->len < PEER_HEADER_BYTES ? PEER_HEADER_BYTES : peer_message_bytes(h->data);
		if (held_grow(h, need))
			return CLOSE;
		n = recv(c->fd, h->data + h->len, need - h->len, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? WAIT : CLOSE;
		h->len += (size_t)n;
		if (h->len >= PEER_HEADER_BYTES && !peer_message_bytes(h->data))
			return CLOSE;
	}
	done = *h;
	*h = (struct held){ 0 };
	outcome = reply(c, done.data, done.len);
	held_free(&done);
	return outcome;
}

/*
 * Edge triggered: goes on until the socket has no more, or takes no more. A short read has emptied
 * it (epoll(7), question 9), but says nothing of a FIN, which was reported with @events.
 */
static enum outcome serve(struct server *s, struct conn *c, uint32_t events)
{
	enum outcome outcome = send_unsent(c);

	while (outcome == GO_ON) {
		ssize_t n;

		if (c->partial.len) {
			outcome = read_partial(c);
			continue;
		}
		n = recv(c->fd, s->shared, SHARED_BYTES, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN ? WAIT : CLOSE;
		outcome = handle_bytes(c, s->shared, (size_t)n);
		if (n < SHARED_BYTES && outcome == GO_ON && !(events & EPOLLRDHUP))
			return WAIT;
	}
	return outcome;
}

static int watch_listener(struct server *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL };

	s->listens = epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &ev) == 0;
	return s->listens ? 0 : -errno;
}

static void accept_all(struct server *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int fd, one = 1;
	struct conn *c;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = calloc(1, sizeof(*c));
		if (!c) {
			close(fd);
			continue;
		}
		c->fd = fd;
		ev.data.ptr = c;
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev))
			conn_free(c);
	}
	if (errno == EMFILE) { /* another process, or later */
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->listener, NULL);
		s->listens = false;
	}
}

static void end(struct server *s, struct conn *c)
{
	conn_free(c);
	if (!s->listens)
		watch_listener(s);
}

static int run(struct server *s)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c)
				accept_all(s);
			else if (serve(s, c, events[i].events) == CLOSE)
				end(s, c);
		}
	}
}

/* ----- start ----- */

static int open_epoll(struct server *s)
{
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return -errno;
	return watch_listener(s);
}

/* More processes on the same listener, each with descriptors of its own; they end with this one. */
static void start_more(int processes)
{
	while (--processes > 0)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			return;
		}
}

static int pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static _Noreturn void usage(FILE *to, int status)
{
	fputs("usage: epoll-echo [--port N] [--cpu N] [--processes N]\n"
	      "\n"
	      "TLV echo over kernel sockets, IPv4 and IPv6, on port 7000 or --port. More "
	      "processes:\n"
	      "where one may not have as many descriptors as there are connections.\n"
	      "Prints one line when it listens; ends on SIGTERM.\n",
	      to);
	exit(status);
}

struct settings {
	uint16_t port;
	int cpu;
	int processes;
};

static void parse_options(int argc, char *argv[], struct settings *o)
{
	static const struct option long_options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "processes", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'p')
			o->port =
				(uint16_t)peer_number("epoll-echo", "port", optarg, 1, UINT16_MAX);
		else if (letter == 'c')
			o->cpu = (int)peer_number("epoll-echo", "cpu", optarg, 0, CPU_SETSIZE - 1);
		else if (letter == 'n')
			o->processes = (int)peer_number("epoll-echo", "processes", optarg, 1,
							MAX_PROCESSES);
		else if (letter == 'h')
			usage(stdout, EXIT_SUCCESS);
		else
			usage(stderr, PEER_EXIT_USAGE);
	}
	if (optind != argc)
		usage(stderr, PEER_EXIT_USAGE);
}

int main(int argc, char *argv[])
{
	static struct server s;
	struct settings o = { .port = 7000, .cpu = -1, .processes = 1 };
	int err;

	parse_options(argc, argv, &o);
	err = o.cpu < 0 ? 0 : pin_to(o.cpu);
	if (err) {
		fprintf(stderr, "epoll-echo: pin to CPU %d: %s\n", o.cpu, strerror(-err));
		return EXIT_FAILURE;
	}
	peer_allow_many_descriptors();
	s.listener = peer_listen(o.port, SOCK_NONBLOCK);
	if (s.listener < 0) {
		fprintf(stderr, "epoll-echo: listen on port %u: %s\n", o.port,
			strerror(-s.listener));
		return EXIT_FAILURE;
	}
	printf("epoll-echo: pid %d ready on port %u\n", (int)getpid(), o.port);
	fflush(stdout);
	start_more(o.processes);
	err = open_epoll(&s);
	if (!err)
		err = run(&s);
	fprintf(stderr, "epoll-echo: epoll: %s\n", strerror(-err));
	return EXIT_FAILURE;
}
