/* SPDX-License-Identifier: MIT */
/*
 * What a program opens first: a way to the network.
 *
 * A context is one thread's door to a backend. Backends are chosen by a string:
 *
 *   "kernel"		sockets of this host's kernel; needs no rights of its own
 *   "lane"		Millrace's lanes, by the daemon of this host; "lane:PATH" names its socket
 *   "wire"		two lanes in this process, under a virtual clock: for tests. Whatever a
 *			context of it listens on is reached by its own connects
 *
 * The same calls mean the same on all of them; where the kernel does otherwise the function says
 * so. Any thread may call any function on a context: one lock stands before it. Programs that want
 * speed open one context a thread; a socket stays with the context that made it.
 *
 * Functions return 0 or a number of their own on success and a negative errno otherwise, and then
 * nothing was changed unless they say so. No function ends the program or prints.
 */
#ifndef MILLRACE_CONTEXT_H
#define MILLRACE_CONTEXT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_context;

/**
 * mr_context_open() - attach to a backend
 * @backend:	as above; NULL: the environment's MILLRACE_BACKEND, and without it "kernel"
 * @out:	the context, to be given back by mr_context_close()
 * @error:	words for a person when it fails, naming the cure; may be NULL
 * @error_bytes: room there
 *
 * Return: 0, or
 *	   -EINVAL	no such backend
 *	   -ECONNREFUSED, -ENOENT	no daemon serves there
 *	   -EACCES	no rule lets this user attach
 *	   -EPROTO	daemon and library are of versions that do not fit
 *	   -ENOMEM, -EMFILE
 */
int mr_context_open(const char *backend, struct mr_context **out, char *error, size_t error_bytes);

/**
 * mr_context_close() - give everything back
 *
 * Sockets that stand open are closed as by mr_sock_close(), sets are freed. No other thread may
 * be inside a call on @x. NULL is allowed.
 */
void mr_context_close(struct mr_context *x);

/** mr_context_backend() - "kernel", "lane" or "wire" */
const char *mr_context_backend(const struct mr_context *x);

#ifdef __cplusplus
}
#endif
#endif
