/* SPDX-License-Identifier: MIT */
/* Between keeper.c and keeper_run.c: the messages, and the process. */
#ifndef MR_DAEMON_KEEPER_RUN_H
#define MR_DAEMON_KEEPER_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/keeper.h"

#define MR_KEEPER_NAME "millraced-keep" /* of its process */

enum mr_keeper_op {
	/* to the keeper */
	MR_KEEPER_PUT = 1, /* with a descriptor */
	MR_KEEPER_LIST,
	MR_KEEPER_QUIT,
	/* its answer to LIST */
	MR_KEEPER_ITEM, /* with a descriptor */
	MR_KEEPER_END_OF_LIST,
};

/* One record of a SOCK_SEQPACKET socket. */
struct mr_keeper_message {
	uint32_t op;
	char name[MR_HELD_NAME];
};

/** mr_keeper_is_our_user() - is the other end of a Unix socket of our own user? */
bool mr_keeper_is_our_user(int fd);

/** mr_keeper_send() - without waiting; @fd stays the caller's, -1: none; 0 or -errno */
int mr_keeper_send(int to, const struct mr_keeper_message *m, int fd);

/** mr_keeper_receive() - without waiting; *@fd the caller's, -1: none; 0 or -errno, -EPIPE: ended
 */
int mr_keeper_receive(int from, struct mr_keeper_message *m, int *fd);

/**
 * mr_keeper_run() - the keeper's life, after fork
 * @listener:	bound in the run directory
 * @by_name:	bound to a name, or -1; but for these two nothing above 2 is open
 */
void mr_keeper_run(int listener, int by_name) __attribute__((noreturn));

#endif
