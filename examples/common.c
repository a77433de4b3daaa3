/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

int example_check(int result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-result));
		exit(1);
	}
	return result;
}

struct mr_context *example_open(int argc, char **argv)
{
	struct mr_context *x;
	struct rlimit most;
	char why[200];

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s ADDRESS:PORT [BACKEND]\n", argv[0]);
		exit(2);
	}
	if (!getrlimit(RLIMIT_NOFILE, &most)) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_NOFILE, &most);
	}
	if (mr_context_open(argv[2], &x, why, sizeof(why))) {
		fprintf(stderr, "%s: %s\n", argv[0], why);
		exit(1);
	}
	return x;
}

int example_listen(struct mr_context *x, char **argv, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	char *colon = strrchr(argv[1], ':');
	char host[64];
	int fd;

	if (!colon || colon - argv[1] >= (long)sizeof(host))
		example_check(-EINVAL, argv[1]);
	memcpy(host, argv[1], (size_t)(colon - argv[1]));
	host[colon - argv[1]] = 0;
	a.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		example_check(-EINVAL, argv[1]);
	fd = example_check(mr_sock_open(x, AF_INET, SOCK_STREAM | type, 0), "socket");
	example_check(mr_sock_bind(x, fd, (struct sockaddr *)&a, sizeof(a)), "bind");
	example_check(mr_sock_listen(x, fd, 16384), "listen");
	return fd;
}

void example_serve(struct mr_context *x, int fd)
{
	char buf[2048];
	ssize_t n;

	while ((n = mr_sock_recv(x, fd, buf, sizeof(buf), 0)) > 0)
		if (mr_sock_send(x, fd, buf, (size_t)n, 0) != n)
			break;
	mr_sock_close(x, fd);
}

uint32_t example_echo(struct mr_context *x, struct example_conn *c)
{
	ssize_t n;

	for (;;) {
		while (c->at < c->end) {
			n = mr_sock_send(x, c->fd, c->buf + c->at, c->end - c->at, 0);
			if (n == -EAGAIN)
				return EPOLLOUT;
			if (n < 0)
				return 0;
			c->at += (unsigned int)n;
		}
		if (c->ended)
			return 0;
		n = mr_sock_recv(x, c->fd, c->buf, sizeof(c->buf), 0);
		if (n == -EAGAIN)
			return EPOLLIN;
		if (n < 0)
			return 0;
		c->at = 0;
		c->end = (unsigned int)n;
		c->ended = !n;
	}
}

void example_accept(struct mr_context *x, struct mr_set *s, int listener, uint32_t flags)
{
	struct example_conn *c;
	int fd;

	while ((fd = mr_sock_accept(x, listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		c = malloc(sizeof(*c));
		if (!c) {
			mr_sock_abort(x, fd);
			continue;
		}
		c->fd = fd;
		c->armed = EPOLLIN;
		c->at = c->end = 0;
		c->ended = false;
		if (mr_set_add(s, fd, EPOLLIN | flags, (epoll_data_t){ .ptr = c })) {
			mr_sock_abort(x, fd);
			free(c);
		}
	}
}

void example_handle(struct mr_context *x, struct mr_set *s, struct example_conn *c, uint32_t flags)
{
	uint32_t wanted = example_echo(x, c);

	if (!wanted) {
		mr_sock_close(x, c->fd);
		free(c);
	} else if (wanted != c->armed || (flags & EPOLLONESHOT)) {
		c->armed = wanted;
		mr_set_modify(s, c->fd, wanted | flags, (epoll_data_t){ .ptr = c });
	}
}

void example_react(struct mr_context *x, int listener)
{
	struct epoll_event e[256];
	struct mr_set *s;
	int i, n;

	example_check(mr_set_new(x, &s), "set");
	example_check(mr_set_add(s, listener, EPOLLIN, (epoll_data_t){ .ptr = NULL }), "set");
	for (;;) {
		n = mr_set_wait(s, e, 256, -1);
		for (i = 0; i < n; i++)
			if (e[i].data.ptr)
				example_handle(x, s, e[i].data.ptr, 0);
			else
				example_accept(x, s, listener, 0);
	}
}
