/* SPDX-License-Identifier: MIT */
/*
 * TLS over any stream of bytes, by OpenSSL: a library of its own, libmillrace-tls.
 *
 * What comes from the network is fed in, what is to go there is taken out, and the program reads
 * and writes plain bytes in between; the handshake runs along. It knows no sockets and never
 * blocks, so that it serves in callbacks of a lane as well (app.h). For sockets of a context there
 * are calls that do both sides.
 *
 * Certificates, protocol versions and ciphers are the SSL_CTX's: the program makes it, and it must
 * outlive its streams. A stream belongs to one thread at a time.
 */
#ifndef MILLRACE_TLS_H
#define MILLRACE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <openssl/ssl.h>

#include <millrace/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_tls;

enum { MR_TLS_WAITING_MOST = 1 << 18 };

/**
 * mr_tls_new() - a stream
 * @server:	true: it waits for a client's hello
 * @name:	client: the server's name, sent (SNI) and held against its certificate where @ctx
 *		verifies; NULL: neither
 *
 * Return: 0, or -ENOMEM, -EINVAL (@name cannot be a host's)
 */
int mr_tls_new(SSL_CTX *ctx, bool server, const char *name, struct mr_tls **out);

/** mr_tls_free() - NULL is allowed; without mr_tls_end() the peer sees a truncated stream */
void mr_tls_free(struct mr_tls *t);

/**
 * mr_tls_feed() - bytes came from the network
 *
 * Return: how many were taken: fewer than @len while MR_TLS_WAITING_MOST wait to be read by
 *	   mr_tls_recv(); -ENOMEM
 */
ssize_t mr_tls_feed(struct mr_tls *t, const void *bytes, size_t len);

/** mr_tls_feed_end() - the network sends no more (FIN) */
void mr_tls_feed_end(struct mr_tls *t);

/**
 * mr_tls_output() - bytes for the network, as a view until the next call on @t
 * @len:	out
 *
 * mr_tls_sent() says how many went. Return: NULL: none
 */
const void *mr_tls_output(struct mr_tls *t, size_t *len);
void mr_tls_sent(struct mr_tls *t, size_t len);

/**
 * mr_tls_recv() - plain bytes
 *
 * Goes on with the handshake too: call it whenever something was fed.
 *
 * Return: bytes, 0: the peer ended the stream in order (close_notify), or
 *	   -EAGAIN	more must be fed first
 *	   -ECONNRESET	the network ended before the peer's close_notify: perhaps truncated
 *	   -EPROTO	the handshake or a record failed: mr_tls_error() has words; what
 *			mr_tls_output() gives then tells the peer
 */
ssize_t mr_tls_recv(struct mr_tls *t, void *buf, size_t len);

/**
 * mr_tls_send() - plain bytes for the peer
 *
 * Return: bytes taken, 1 to @len; or -EAGAIN (the handshake is not done, or MR_TLS_WAITING_MOST
 *	   wait for the network), -EPROTO, -EPIPE (behind mr_tls_end())
 */
ssize_t mr_tls_send(struct mr_tls *t, const void *buf, size_t len);

/** mr_tls_end() - close_notify behind what was sent; the peer's bytes may still be read */
void mr_tls_end(struct mr_tls *t);

/** mr_tls_is_open() - the handshake is done */
bool mr_tls_is_open(const struct mr_tls *t);

/** mr_tls_error() - words for the last -EPROTO, "" if there was none */
const char *mr_tls_error(const struct mr_tls *t);

/** mr_tls_ssl() - OpenSSL's object, for certificates, ALPN, session data; the stream keeps it */
SSL *mr_tls_ssl(struct mr_tls *t);

/*
 * Over a non-blocking socket of a context. Each first moves what can be moved both ways, so a
 * program calls them as it would mr_sock_recv() and mr_sock_send(), and waits for
 * mr_tls_sock_events() when they say -EAGAIN. Errors of the socket come as they are.
 */
ssize_t mr_tls_sock_recv(struct mr_tls *t, struct mr_context *x, int fd, void *buf, size_t len);
ssize_t mr_tls_sock_send(struct mr_tls *t, struct mr_context *x, int fd, const void *buf,
			 size_t len);

/** mr_tls_sock_flush() - Return: 0: all output went, or -EAGAIN, or the socket's error */
int mr_tls_sock_flush(struct mr_tls *t, struct mr_context *x, int fd);

/** mr_tls_sock_events() - EPOLLIN, and EPOLLOUT while output waits */
uint32_t mr_tls_sock_events(struct mr_tls *t);

#ifdef __cplusplus
}
#endif
#endif
