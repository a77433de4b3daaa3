/* SPDX-License-Identifier: MIT */
/* What all examples do before they differ: arguments, a listener, an echo. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <stdbool.h>
#include <stdint.h>

#include <millrace/context.h>
#include <millrace/set.h>
#include <millrace/sock.h>

/* Listen on what argv[1] names, ADDRESS:PORT, over the backend that argv[2] or the environment's
 * MILLRACE_BACKEND names. Says "listening" when it does; ends the program where it cannot. */
struct mr_context *example_open(int argc, char **argv);
int example_listen(struct mr_context *x, char **argv, int type);

/* End the program with words when @result is a negative errno; returns it otherwise. */
int example_check(int result, const char *what);

/* Echo a connection that blocks until its peer sends no more, then close it. */
void example_serve(struct mr_context *x, int fd);

/* A connection of a set: what was read and could not be sent yet. */
struct example_conn {
	int fd;
	uint32_t armed;	      /* events that are asked for */
	unsigned int at, end; /* unsent bytes in buf */
	bool ended;	      /* the peer sends no more */
	char buf[2048];
};

/* Echo as far as it goes without blocking. Returns the events to wait for, 0: it is over. */
uint32_t example_echo(struct mr_context *x, struct example_conn *c);

/* Accept all that wait on a listener that does not block, each into the set. */
void example_accept(struct mr_context *x, struct mr_set *s, int listener, uint32_t flags);

/* Serve a connection's event in the set: arm it for what it waits for, or close it. */
void example_handle(struct mr_context *x, struct mr_set *s, struct example_conn *c, uint32_t flags);

/* A reactor: serve a listener and its connections in this thread, for ever. */
void example_react(struct mr_context *x, int listener);

#endif
