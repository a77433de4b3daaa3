/* SPDX-License-Identifier: MIT */
/* A TLS stream over a non-blocking socket: bytes between its two sides and the network. */
#include <millrace/tls.h>

#include <errno.h>
#include <sys/epoll.h>

#include <millrace/sock.h>

enum { PIECE = 16384 };

int mr_tls_sock_flush(struct mr_tls *t, struct mr_context *x, int fd)
{
	const void *bytes;
	size_t len;

	while ((bytes = mr_tls_output(t, &len))) {
		ssize_t n = mr_sock_send(x, fd, bytes, len, MSG_DONTWAIT);

		if (n < 0)
			return (int)n;
		mr_tls_sent(t, (size_t)n);
	}
	return 0;
}

/* One piece of the network's. Return: 1: something came, 0: it ended, or -errno */
static ssize_t fetch(struct mr_tls *t, struct mr_context *x, int fd)
{
	uint8_t piece[PIECE];
	ssize_t n = mr_sock_recv(x, fd, piece, sizeof(piece), MSG_DONTWAIT);

	if (n > 0) {
		n = mr_tls_feed(t, piece, (size_t)n);
		return n < 0 ? n : 1;
	}
	if (!n)
		mr_tls_feed_end(t);
	return n;
}

/* What the stream wants to say now, it says; that the network does not take it is for later. */
static int flush_some(struct mr_tls *t, struct mr_context *x, int fd)
{
	int err = mr_tls_sock_flush(t, x, fd);

	return err == -EAGAIN ? 0 : err;
}

/*
 * The stream is asked first, and the network only when it wants more: so never more than a piece
 * waits in it, and a piece is never left over.
 */
ssize_t mr_tls_sock_recv(struct mr_tls *t, struct mr_context *x, int fd, void *buf, size_t len)
{
	bool over = false;

	for (;;) {
		ssize_t n = mr_tls_recv(t, buf, len), got;
		int err = flush_some(t, x, fd);

		if (n != -EAGAIN || over)
			return n;
		got = fetch(t, x, fd);
		if (got == -EAGAIN)
			return err ? err : -EAGAIN;
		if (got < 0)
			return got;
		over = !got;
	}
}

ssize_t mr_tls_sock_send(struct mr_tls *t, struct mr_context *x, int fd, const void *buf,
			 size_t len)
{
	for (;;) {
		ssize_t n = mr_tls_send(t, buf, len), got;
		int err = flush_some(t, x, fd);

		if (err)
			return err;
		if (n != -EAGAIN || mr_tls_is_open(t))
			return n;
		got = fetch(t, x, fd); /* the handshake goes on */
		if (got <= 0)
			return got ? got : -ECONNRESET;
	}
}

uint32_t mr_tls_sock_events(struct mr_tls *t)
{
	size_t len;

	return EPOLLIN | (mr_tls_output(t, &len) ? EPOLLOUT : 0u);
}
