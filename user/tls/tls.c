/* SPDX-License-Identifier: MIT */
/*
 * A TLS stream between two memory BIOs: what the network sent, and what it is to be given. OpenSSL
 * decides everything else.
 */
#include <millrace/tls.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>

struct mr_tls {
	SSL *ssl;
	BIO *in, *out; /* the SSL's */
	bool ended;    /* no more is sent */
	bool failed;
	char error[200];
};

/* A host's name goes out (RFC 6066 3: no addresses) and is held against the certificate. */
static bool set_name(SSL *ssl, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

int mr_tls_new(SSL_CTX *ctx, bool server, const char *name, struct mr_tls **out)
{
	struct mr_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ssl = SSL_new(ctx);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->ssl || !t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_mem_eof_return(t->in, -1); /* empty: not the end */
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				     SSL_MODE_RELEASE_BUFFERS);
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	if (name && !set_name(t->ssl, name)) {
		mr_tls_free(t);
		ERR_clear_error();
		return -EINVAL;
	}
	*out = t;
	return 0;
}

void mr_tls_free(struct mr_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl); /* and the BIOs */
	free(t);
}

/* ----- the network's side ----- */

ssize_t mr_tls_feed(struct mr_tls *t, const void *bytes, size_t len)
{
	size_t have = BIO_ctrl_pending(t->in);
	size_t room = have < MR_TLS_WAITING_MOST ? MR_TLS_WAITING_MOST - have : 0;
	int n;

	if (len > room)
		len = room;
	if (!len)
		return 0;
	n = BIO_write(t->in, bytes, (int)len);
	return n > 0 ? n : -ENOMEM;
}

void mr_tls_feed_end(struct mr_tls *t)
{
	BIO_set_mem_eof_return(t->in, 0);
}

const void *mr_tls_output(struct mr_tls *t, size_t *len)
{
	char *at = NULL;
	long n = BIO_get_mem_data(t->out, &at);

	*len = n > 0 ? (size_t)n : 0;
	return *len ? at : NULL;
}

void mr_tls_sent(struct mr_tls *t, size_t len)
{
	char gone[4096];

	while (len) {
		int n = BIO_read(t->out, gone, (int)(len < sizeof(gone) ? len : sizeof(gone)));

		if (n <= 0)
			return;
		len -= (size_t)n;
	}
}

/* ----- the program's side ----- */

static int failed(struct mr_tls *t)
{
	unsigned long code = ERR_get_error();
	const char *words = code ? ERR_reason_error_string(code) : NULL;
	long verified = SSL_get_verify_result(t->ssl);

	if (verified != X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE)
		words = X509_verify_cert_error_string(verified);
	t->failed = true;
	strncpy(t->error, words ? words : "the peer broke the protocol", sizeof(t->error) - 1);
	ERR_clear_error();
	return -EPROTO;
}

/* What OpenSSL says of a call that moved nothing. */
static ssize_t outcome(struct mr_tls *t, int result)
{
	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL: /* the end of the BIO, which is not the stream's */
		if (!ERR_peek_error())
			return -ECONNRESET;
		return failed(t);
	default:
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			ERR_clear_error();
			return -ECONNRESET;
		}
		return failed(t);
	}
}

ssize_t mr_tls_recv(struct mr_tls *t, void *buf, size_t len)
{
	size_t n = 0;
	int ok;

	if (t->failed)
		return -EPROTO;
	ERR_clear_error();
	ok = SSL_read_ex(t->ssl, buf, len, &n);
	return ok ? (ssize_t)n : outcome(t, ok);
}

ssize_t mr_tls_send(struct mr_tls *t, const void *buf, size_t len)
{
	size_t n = 0;
	int ok;

	if (t->failed)
		return -EPROTO;
	if (t->ended)
		return -EPIPE;
	if (BIO_ctrl_pending(t->out) >= MR_TLS_WAITING_MOST)
		return -EAGAIN;
	if (!len)
		return 0;
	ERR_clear_error();
	ok = SSL_write_ex(t->ssl, buf, len, &n);
	if (ok)
		return (ssize_t)n;
	return outcome(t, ok) == -EAGAIN ? -EAGAIN : failed(t);
}

void mr_tls_end(struct mr_tls *t)
{
	if (t->ended || t->failed)
		return;
	t->ended = true;
	if (SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
}

bool mr_tls_is_open(const struct mr_tls *t)
{
	return SSL_is_init_finished(t->ssl);
}

const char *mr_tls_error(const struct mr_tls *t)
{
	return t->error;
}

SSL *mr_tls_ssl(struct mr_tls *t)
{
	return t->ssl;
}
