/* SPDX-License-Identifier: MIT */
/*
 * What a scenario of the public library stands on: a backend, an address to listen on, and sockets
 * of it. A scenario is one function for all backends; where they differ it asks is_kernel().
 */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <cmocka.h>

#include <millrace/context.h>
#include <millrace/set.h>
#include <millrace/sock.h>

enum { LONG_MS = 20000 };

/**
 * struct world - a backend under test
 * @x:		the server's context
 * @peer:	the client's; the same as @x on "wire"
 * @address:	to listen on and connect to; its port is known after listen_on()
 */
struct world {
	const char *backend;
	struct mr_context *x;
	struct mr_context *peer;
	struct sockaddr_in address;
};

/* A row of the table. */
struct scenario {
	const char *name;
	void (*run)(struct world *w);
};

/** run_scenarios() - each row on each backend that this build has, as a test of its own */
int run_scenarios(const char *group, const struct scenario *rows, size_t n);

bool is_kernel(const struct world *w);

/** listen_on() - a listener of @w, non-blocking; sets the address when the backend chooses it */
int listen_on(struct world *w, int backlog);

/** open_client() - a socket of the client's context */
int open_client(struct world *w, int type);

/** connect_to() - connect a socket that does not block, and wait until it is done. Return: 0,
 * -errno */
int connect_to(struct world *w, int fd);

/** accept_one() - the next connection of a listener, non-blocking; waits for it */
int accept_one(struct world *w, int listener);

/** open_pair() - a connection: @client of w->peer, @server of w->x, both non-blocking */
void open_pair(struct world *w, int *client, int *server);

/** wait_for() - until poll() tells all of @events of @fd; fails after LONG_MS */
void wait_for(struct mr_context *x, int fd, short events);

/** send_text(), expect_text() - bytes of a string; expect_text() waits for all of them */
void send_text(struct mr_context *x, int fd, const char *text);
void expect_text(struct mr_context *x, int fd, const char *text);

/** expect_end() - mr_sock_recv() gives @result once there is something to tell */
void expect_end(struct mr_context *x, int fd, ssize_t result);

#endif
