// SPDX-License-Identifier: MIT
/*
 * epoll-bulk: the benchmarks' peer for bytes in bulk over kernel sockets: one port discards what
 * comes, one sends the pattern of source-bytes without end. Edge triggered, one thread; the pattern
 * is made once, so sending is the kernel's work alone.
 */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/pattern.h"
#include "bench/peers/peer.h"

enum {
	EVENTS = 64,
	READ_BYTES = 1 << 18,
};

struct conn {
	int fd;
	bool listens;
	bool sends;	/* the port's, if it listens */
	uint64_t place; /* in the pattern */
};

struct server {
	int epoll;
	uint8_t *pattern;
	uint8_t in[READ_BYTES];
};

static int watch(struct server *s, struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c };

	if (c->sends && !c->listens)
		ev.events |= EPOLLOUT;
	if (c->listens)
		ev.events = EPOLLIN;
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &ev) ? -errno : 0;
}

static void conn_free(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void accept_all(struct server *s, const struct conn *listener)
{
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c) {
			close(fd);
			continue;
		}
		*c = (struct conn){ .fd = fd, .sends = listener->sends };
		if (watch(s, c))
			conn_free(c);
	}
}

/* Both go on until the socket has had enough; false: close. */
static bool discard(struct server *s, struct conn *c)
{
	ssize_t n;

	do
		n = recv(c->fd, s->in, sizeof(s->in), 0);
	while (n > 0);
	return n < 0 && errno == EAGAIN;
}

static bool send_pattern(struct server *s, struct conn *c)
{
	ssize_t n;

	while ((n = send(c->fd, s->pattern + c->place % MR_PATTERN_PERIOD, MR_PATTERN_CHUNK,
			 MSG_NOSIGNAL)) >= 0)
		c->place += (uint64_t)n;
	return errno == EAGAIN;
}

static void serve(struct server *s, struct conn *c)
{
	if (c->listens)
		accept_all(s, c);
	else if (!discard(s, c) || (c->sends && !send_pattern(s, c)))
		conn_free(c);
}

static int add_port(struct server *s, uint16_t port, bool sends)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct conn){ .fd = peer_listen(port, SOCK_NONBLOCK),
			    .listens = true,
			    .sends = sends };
	return c->fd < 0 ? c->fd : watch(s, c);
}

static int run(struct server *s)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			serve(s, events[i].data.ptr);
	}
}

static _Noreturn void usage(FILE *to, int status)
{
	fputs("usage: epoll-bulk [--discard PORT] [--source PORT]\n"
	      "\n"
	      "Bytes in bulk over kernel sockets: port 7004 discards, port 7005 sends.\n"
	      "Prints one line when it listens; ends on SIGTERM.\n",
	      to);
	exit(status);
}

int main(int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "discard", required_argument, NULL, 'd' },
		{ "source", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	long discard_port = 7004, source_port = 7005;
	static struct server s;
	int letter, err;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'd')
			discard_port = peer_number("epoll-bulk", "discard", optarg, 1, UINT16_MAX);
		else if (letter == 's')
			source_port = peer_number("epoll-bulk", "source", optarg, 1, UINT16_MAX);
		else
			usage(letter == 'h' ? stdout : stderr,
			      letter == 'h' ? EXIT_SUCCESS : PEER_EXIT_USAGE);
	}
	s.pattern = mr_pattern_new();
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	err = !s.pattern ? -ENOMEM : s.epoll < 0 ? -errno : 0;
	if (!err)
		err = add_port(&s, (uint16_t)discard_port, false);
	if (!err)
		err = add_port(&s, (uint16_t)source_port, true);
	if (!err) {
		printf("epoll-bulk: ready on ports %ld and %ld\n", discard_port, source_port);
		fflush(stdout);
		err = run(&s);
	}
	fprintf(stderr, "epoll-bulk: %s\n", strerror(-err));
	return EXIT_FAILURE;
}
