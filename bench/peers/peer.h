/* SPDX-License-Identifier: MIT */
/* What the peers over kernel sockets have in common: the TLV frame, the listener, the options. */
#ifndef MR_BENCH_PEER_H
#define MR_BENCH_PEER_H

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
	PEER_HEADER_BYTES = 6, /* tag 2, length 4 */
	PEER_MAX_VALUE = 1 << 20,
	PEER_BACKLOG = 4096,
	PEER_EXIT_USAGE = 2,
};

/* Whole size of the message at @p, of which the header is there; 0: over the limit. */
static inline size_t peer_message_bytes(const uint8_t *p)
{
	size_t len = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];

	return len <= PEER_MAX_VALUE ? PEER_HEADER_BYTES + len : 0;
}

/*
 * How many of @len bytes at @p are whole messages. @need: out, size of the message that is cut off
 * there, as far as it is known; 0: it is over the limit.
 */
static inline size_t peer_whole_messages(const uint8_t *p, size_t len, size_t *need)
{
	size_t pos = 0;

	for (;;) {
		*need = PEER_HEADER_BYTES;
		if (len - pos < PEER_HEADER_BYTES)
			return pos;
		*need = peer_message_bytes(p + pos);
		if (!*need || len - pos < *need)
			return pos;
		pos += *need;
	}
}

/* A socket that listens on IPv4 and IPv6; -errno. @flags: of socket(2) */
static inline int peer_listen(uint16_t port, int flags)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int one = 1, zero = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, PEER_BACKLOG))
		return -errno;
	return fd;
}

static inline void peer_allow_many_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Ends the program when @text is no number from @min to @max. */
static inline long peer_number(const char *who, const char *option, const char *text, long min,
			       long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max) {
		fprintf(stderr, "%s: --%s %s: a number from %ld to %ld\n", who, option, text, min,
			max);
		exit(PEER_EXIT_USAGE);
	}
	return v;
}

#endif
