/* SPDX-License-Identifier: MIT */
/*
 * A server that speaks TLS: each line goes back as it came; "GET ..." is answered as HTTP has it,
 * so that curl can ask too. One thread, one set. It says its port in its first line.
 *
 *	tls_server CERTIFICATE KEY [ADDRESS] PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <millrace/set.h>
#include <millrace/sock.h>
#include <millrace/tls.h>

static struct mr_context *context;
static struct mr_set *set;
static SSL_CTX *tls;

struct client {
	int fd;
	struct mr_tls *stream;
	char line[4096];
	size_t have, sent, to_send; /* bytes of it; of them, gone back, and to go back */
};

static void end(struct client *c)
{
	mr_tls_end(c->stream);
	mr_tls_sock_flush(c->stream, context, c->fd);
	mr_tls_free(c->stream);
	mr_sock_shutdown(context, c->fd, SHUT_WR);
	mr_sock_close(context, c->fd);
	free(c);
}

/* A whole line is there: what goes back for it. */
static void answer(struct client *c, size_t len)
{
	static const char page[] = "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nmillrace\n";

	if (strncmp(c->line, "GET ", 4) == 0) {
		len = c->have = sizeof(page) - 1;
		memcpy(c->line, page, len);
	}
	c->to_send = len, c->sent = 0;
}

/* False: the connection is over. */
static int serve(struct client *c)
{
	for (;;) {
		char *newline = memchr(c->line, '\n', c->have);
		ssize_t n;

		if (!c->to_send && (newline || c->have == sizeof(c->line)))
			answer(c, newline ? (size_t)(newline - c->line) + 1 : c->have);
		if (c->to_send) {
			n = mr_tls_sock_send(c->stream, context, c->fd, c->line + c->sent,
					     c->to_send - c->sent);
			if (n < 0)
				return n == -EAGAIN;
			c->sent += (size_t)n;
			if (c->sent < c->to_send)
				continue;
			if (strncmp(c->line, "HTTP/", 5) == 0)
				return 0;
			c->have -= c->to_send;
			memmove(c->line, c->line + c->to_send, c->have);
			c->to_send = 0;
			continue;
		}
		n = mr_tls_sock_recv(c->stream, context, c->fd, c->line + c->have,
				     sizeof(c->line) - c->have);
		if (n == -EPROTO)
			fprintf(stderr, "tls: %s\n", mr_tls_error(c->stream));
		if (n <= 0)
			return n == -EAGAIN;
		c->have += (size_t)n;
	}
}

static void accept_one(int listener)
{
	int fd = mr_sock_accept(context, listener, NULL, NULL, SOCK_NONBLOCK);
	struct client *c = fd >= 0 ? calloc(1, sizeof(*c)) : NULL;

	if (!c || mr_tls_new(tls, true, NULL, &c->stream) ||
	    mr_set_add(set, fd, EPOLLIN, (epoll_data_t){ .ptr = c })) {
		mr_sock_close(context, fd); /* -EBADF where there was none */
		if (c)
			mr_tls_free(c->stream);
		free(c);
	} else {
		c->fd = fd;
	}
}

static int start(const char *address, const char *port, const char *cert, const char *key)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = inet_addr(address),
				 .sin_port = htons((uint16_t)atoi(port)) };
	socklen_t len = sizeof(a);
	int fd;

	tls = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
	    mr_context_open(NULL, &context, NULL, 0) || mr_set_new(context, &set))
		return -1;
	fd = mr_sock_open(context, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (mr_sock_bind(context, fd, (struct sockaddr *)&a, len) ||
	    mr_sock_listen(context, fd, 128) ||
	    mr_set_add(set, fd, EPOLLIN, (epoll_data_t){ .ptr = NULL }))
		return -1;
	mr_sock_name(context, fd, (struct sockaddr *)&a, &len);
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct epoll_event event[64];
	int n, listener = argc < 4 ? -1
				   : start(argc == 5 ? argv[3] : "127.0.0.1", argv[argc - 1],
					   argv[1], argv[2]);

	if (listener < 0) {
		fprintf(stderr, "usage: tls_server CERTIFICATE KEY [ADDRESS] PORT\n");
		return 2;
	}
	while ((n = mr_set_wait(set, event, 64, -1)) >= 0 || n == -EINTR) {
		for (int i = 0; i < n; i++) {
			struct client *c = event[i].data.ptr;

			if (!c)
				accept_one(listener);
			else if (!serve(c))
				end(c);
			else
				mr_set_modify(set, c->fd, mr_tls_sock_events(c->stream),
					      (epoll_data_t){ .ptr = c });
		}
	}
	return 1;
}
