/* SPDX-License-Identifier: MIT */
#include "tests/api/side.h"

#include <stdio.h>
#include <unistd.h>

static int negative(int result)
{
	return result < 0 ? -errno : result;
}

static struct mr_context *context_of(struct side *d, bool of_client)
{
	return of_client ? d->w->peer : d->w->x;
}

void side_open(struct side *d, struct world *w, bool is_raw)
{
	int i;

	*d = (struct side){ .is_raw = is_raw, .w = w, .address = w->address };
	if (is_raw) {
		d->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		d->address.sin_port = 0;
	}
	for (i = 0; i < SIDE_SETS; i++) {
		d->ep[i] = is_raw ? epoll_create1(EPOLL_CLOEXEC) : -1;
		if (!is_raw)
			assert_int_equal(mr_set_new(w->x, &d->set[i]), 0);
	}
}

void side_close(struct side *d)
{
	int i;

	for (i = 0; i < SIDE_SETS; i++) {
		if (d->is_raw)
			close(d->ep[i]);
		mr_set_free(d->set[i]);
	}
}

void side_note(struct side *d, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(d->record + d->len, RECORD_BYTES - d->len, format, args);
	va_end(args);
	assert_true(n >= 0 && d->len + (size_t)n < RECORD_BYTES);
	d->len += (size_t)n;
}

int side_socket(struct side *d, bool of_client)
{
	const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = d->is_raw ? socket(AF_INET, type, 0)
			   : mr_sock_open(context_of(d, of_client), AF_INET, type, 0);

	assert_true(fd >= 0);
	return fd;
}

int side_listen(struct side *d)
{
	struct sockaddr *a = (struct sockaddr *)&d->address;
	socklen_t len = sizeof(d->address);
	int fd = side_socket(d, false);

	if (d->is_raw) {
		assert_int_equal(bind(fd, a, len), 0);
		assert_int_equal(listen(fd, 8), 0);
		assert_int_equal(getsockname(fd, a, &len), 0);
	} else {
		assert_int_equal(mr_sock_bind(d->w->x, fd, a, len), 0);
		assert_int_equal(mr_sock_listen(d->w->x, fd, 8), 0);
		assert_int_equal(mr_sock_name(d->w->x, fd, a, &len), 0);
	}
	return fd;
}

int side_connect(struct side *d, int fd)
{
	struct sockaddr *a = (struct sockaddr *)&d->address;
	socklen_t len = sizeof(d->address);

	return d->is_raw ? negative(connect(fd, a, len)) : mr_sock_connect(d->w->peer, fd, a, len);
}

int side_accept(struct side *d, int listener)
{
	int fd;

	side_settle(d, listener, POLLIN);
	fd = d->is_raw ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
		       : mr_sock_accept(d->w->x, listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

void side_pair(struct side *d, int *client, int *server)
{
	int listener = side_listen(d);
	int err;

	*client = side_socket(d, true);
	err = side_connect(d, *client);
	assert_true(!err || err == -EINPROGRESS);
	*server = side_accept(d, listener);
	side_end(d, false, listener);
	d->address.sin_port = d->is_raw || is_kernel(d->w) ? 0 : d->address.sin_port;
}

ssize_t side_send(struct side *d, bool of_client, int fd, const char *text)
{
	ssize_t n;

	if (!d->is_raw)
		return mr_sock_send(context_of(d, of_client), fd, text, strlen(text), 0);
	n = send(fd, text, strlen(text), MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t side_recv(struct side *d, bool of_client, int fd, size_t len)
{
	static char buf[1 << 16];
	ssize_t n;

	if (!d->is_raw)
		return mr_sock_recv(context_of(d, of_client), fd, buf, len, 0);
	n = recv(fd, buf, len, 0);
	return n < 0 ? -errno : n;
}

void side_shutdown(struct side *d, bool of_client, int fd, int how)
{
	int err = d->is_raw ? negative(shutdown(fd, how))
			    : mr_sock_shutdown(context_of(d, of_client), fd, how);

	assert_int_equal(err, 0);
}

void side_end(struct side *d, bool of_client, int fd)
{
	assert_int_equal(d->is_raw ? close(fd) : mr_sock_close(context_of(d, of_client), fd), 0);
}

void side_abort(struct side *d, bool of_client, int fd)
{
	struct linger now = { .l_onoff = 1 };

	if (d->is_raw) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	} else {
		assert_int_equal(mr_sock_abort(context_of(d, of_client), fd), 0);
	}
}

void side_settle(struct side *d, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int ms;

	if (!d->is_raw) {
		wait_for(d->w->x, fd, events);
		return;
	}
	for (ms = 0; ms < LONG_MS; ms++) {
		assert_true(poll(&p, 1, LONG_MS) > 0);
		if ((p.revents & events) == events)
			return;
		usleep(1000);
	}
	fail_msg("raw: events %#x did not come", events);
}

static void note_change(struct side *d, int op, int tag, int result)
{
	static const char *const words[] = { "", "add", "remove", "modify" };

	side_note(d, "%s %d: %s\n", words[op], tag, result ? strerrorname_np(-result) : "done");
}

static int change_raw(struct side *d, int i, int op, int fd, struct epoll_event *e)
{
	return negative(epoll_ctl(d->ep[i], op, fd, e));
}

void side_change(struct side *d, int i, int op, int fd, uint32_t events, int tag)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)tag };
	struct mr_set *s = d->set[i];

	if (d->is_raw)
		note_change(d, op, tag, change_raw(d, i, op, fd, &e));
	else if (op == EPOLL_CTL_ADD)
		note_change(d, op, tag, mr_set_add(s, fd, events, e.data));
	else if (op == EPOLL_CTL_MOD)
		note_change(d, op, tag, mr_set_modify(s, fd, events, e.data));
	else
		note_change(d, op, tag, mr_set_remove(s, fd));
}

void side_change_kernel(struct side *d, int i, int op, int fd, uint32_t events, int tag)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)tag };
	struct mr_set *s = d->set[i];

	if (d->is_raw)
		note_change(d, op, tag, change_raw(d, i, op, fd, &e));
	else if (op == EPOLL_CTL_ADD)
		note_change(d, op, tag, mr_set_add_kernel(s, fd, events, e.data));
	else if (op == EPOLL_CTL_MOD)
		note_change(d, op, tag, mr_set_modify_kernel(s, fd, events, e.data));
	else
		note_change(d, op, tag, mr_set_remove_kernel(s, fd));
}

int side_wait(struct side *d, int i, struct epoll_event *e, int most, int timeout_ms)
{
	return d->is_raw ? negative(epoll_wait(d->ep[i], e, most, timeout_ms))
			 : mr_set_wait(d->set[i], e, most, timeout_ms);
}

static int by_tag(const void *a, const void *b)
{
	const struct epoll_event *x = a, *y = b;

	return (int)x->data.u32 - (int)y->data.u32;
}

static void note_event(struct side *d, const struct epoll_event *e)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} words[] = {
		{ EPOLLIN, "IN" },   { EPOLLOUT, "OUT" }, { EPOLLPRI, "PRI" },
		{ EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" }, { EPOLLRDHUP, "RDHUP" },
	};
	uint32_t rest = e->events;
	size_t i;

	side_note(d, " %u=", e->data.u32);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (rest & words[i].bit) {
			side_note(d, "%s%s", rest == e->events ? "" : "|", words[i].word);
			rest &= ~words[i].bit;
		}
	if (rest)
		side_note(d, "|%#x", rest);
}

void side_look(struct side *d, int i, int most, int want)
{
	struct epoll_event e[16];
	int n = 0, k, got;

	do {
		got = side_wait(d, i, e + n, most < 16 - n ? most : 16 - n, want ? LONG_MS : 0);
		assert_true(got >= 0);
		n += got;
	} while (got && n < want);
	qsort(e, (size_t)n, sizeof(e[0]), by_tag);
	side_note(d, "events:");
	for (k = 0; k < n; k++)
		note_event(d, &e[k]);
	side_note(d, "\n");
}

int side_poll(struct side *d, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	return d->is_raw ? negative(poll(fds, n, timeout_ms))
			 : mr_poll(d->w->x, fds, n, timeout_ms);
}

int side_select(struct side *d, int n, fd_set *in, fd_set *out, fd_set *except,
		struct timeval *timeout)
{
	return d->is_raw ? negative(select(n, in, out, except, timeout))
			 : mr_select(d->w->x, n, in, out, except, timeout);
}

int side_set_fd(struct side *d, int i)
{
	return d->is_raw ? d->ep[i] : mr_set_fd(d->set[i]);
}
