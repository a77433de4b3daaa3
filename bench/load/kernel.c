// SPDX-License-Identifier: MIT
/* mr-load's transport over ordinary kernel sockets: one epoll set. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/load/addresses.h"
#include "bench/load/load.h"

enum {
	EVENTS = 256,
	MANY = 1000, /* so many connections end by RST, or their ports would stay in TIME-WAIT */
};

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct kernel {
	int epoll;
	struct load_addresses local; /* more than one: connections take turns */
	uint8_t in[LOAD_CHUNK];
};

static struct kernel *kernel_of(struct load *l)
{
	return l->transport;
}

static int raise_descriptor_limit(const struct load *l)
{
	rlim_t wanted = l->opt.connections + 64;
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

static int kernel_start(struct load *l)
{
	struct kernel *k;
	int err = raise_descriptor_limit(l);

	if (err) {
		fprintf(stderr, "mr-load: %lu connections: %s; raise it by ulimit -n\n",
			l->opt.connections, strerror(-err));
		return -1;
	}
	k = calloc(1, sizeof(*k));
	l->transport = k;
	if (!k)
		return -1;
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k->epoll < 0) {
		fprintf(stderr, "mr-load: epoll: %s\n", strerror(errno));
		return -1;
	}
	if (l->opt.sources > 1 &&
	    load_addresses_of(&k->local, l->opt.interface, l->opt.sources) < 0)
		return -1;
	for (unsigned long i = 0; i < l->opt.connections; i++)
		l->conn[i].fd = -1;
	return 0;
}

static void kernel_stop(struct load *l)
{
	struct linger linger = { .l_onoff = 1 };
	struct kernel *k = kernel_of(l);

	for (unsigned long i = 0; k && i < l->n_begun; i++) {
		int fd = l->conn[i].fd;

		if (l->conn[i].state != CONN_OPEN)
			continue;
		if (l->opt.connections >= MANY)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
	}
	if (k)
		close(k->epoll);
	free(k);
	l->transport = NULL;
}

static int watch(struct load *l, struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	return epoll_ctl(kernel_of(l)->epoll, op, c->fd, &ev) ? -errno : 0;
}

static int bind_to_source(struct kernel *k, struct conn *c)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int one = 1;

	if (k->local.n < 2)
		return 0;
	sa.sin_addr = k->local.addr[c->index % k->local.n];
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(c->fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
}

static int kernel_connect(struct load *l, struct conn *c)
{
	const struct endpoint *e = load_endpoint(l, c);
	int one = 1, err;

	c->wants_write = false;
	c->fd = socket(e->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	err = bind_to_source(kernel_of(l), c);
	if (err)
		return err;
	if (connect(c->fd, (const struct sockaddr *)&e->addr, e->addr_len) && errno != EINPROGRESS)
		return -errno;
	return watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static int watch_writable(struct load *l, struct conn *c, bool on)
{
	if (c->wants_write == on)
		return 0;
	c->wants_write = on;
	return watch(l, c, EPOLL_CTL_MOD, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int64_t kernel_send(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
	int err = 0;

	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (n < 0)
		n = 0;
	if (n < (ssize_t)len || l->opt.workload == WORKLOAD_SINK)
		err = watch_writable(l, c, true);
	else if (c->wants_write)
		err = watch_writable(l, c, false);
	return err ? err : n;
}

static void kernel_close(struct load *l, struct conn *c)
{
	(void)l;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/* The handshake has ended, one way or the other. */
static void finish_connecting(struct load *l, struct conn *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error)
		error = -watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
	if (error)
		load_failed(l, c, "connect: %s", strerror(error));
	else
		load_opened(l, c);
}

static void receive(struct load *l, struct conn *c)
{
	struct kernel *k = kernel_of(l);
	ssize_t n = recv(c->fd, k->in, sizeof(k->in), 0);

	if (n > 0)
		load_received(l, c, k->in, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		load_failed(l, c, "%s", n ? strerror(errno) : "closed by the server");
}

static void handle_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->state == CONN_CONNECTING) {
		finish_connecting(l, c);
		return;
	}
	if (c->state == CONN_OPEN && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(l, c);
	if (c->state == CONN_OPEN && events & EPOLLOUT) {
		if (l->opt.workload != WORKLOAD_SINK)
			watch_writable(l, c, false);
		load_writable(l, c);
	}
}

static int kernel_wait(struct load *l, uint64_t now_ns, uint64_t until_ns)
{
	uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec ts = { (time_t)(ns / LOAD_SECOND_NS), (long)(ns % LOAD_SECOND_NS) };
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(kernel_of(l)->epoll, events, EVENTS, &ts, NULL);

	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		handle_event(l, events[i].data.ptr, events[i].events);
	return 0;
}

const struct load_transport load_via_kernel = {
	.name = "kernel",
	.start = kernel_start,
	.stop = kernel_stop,
	.connect = kernel_connect,
	.send = kernel_send,
	.close = kernel_close,
	.wait = kernel_wait,
};
