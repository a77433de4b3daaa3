/* SPDX-License-Identifier: MIT */
/* The run directory: lock, control socket, and what a crashed daemon left behind. */
#ifndef MR_DAEMON_RUN_DIRECTORY_H
#define MR_DAEMON_RUN_DIRECTORY_H

#include <stdint.h>
#include <sys/types.h>

struct mr_daemon;

/** mr_run_directory_open() - make it, take its lock; -EBUSY with words: another daemon has it */
int mr_run_directory_open(struct mr_daemon *d);

/** mr_run_directory_close() - remove what was made there; the lock last */
void mr_run_directory_close(struct mr_daemon *d);

/** mr_leftovers_end() - kill workers of a daemon that died, named by the file `lanes` */
void mr_leftovers_end(struct mr_daemon *d);

/**
 * mr_orphan_find() - a worker of a queue, whoever started it, for words to people
 *
 * By its command line, which anybody may have: nothing may be done to it without being asked.
 *
 * Return: its pid, or 0; one that is in another network namespace, as far as that is to be seen, is
 * none
 */
pid_t mr_orphan_find(const char *interface, uint32_t queue);

/** mr_leftovers_note() - write the file `lanes`: pid and start time of each worker */
void mr_leftovers_note(struct mr_daemon *d);

/** mr_control_listen() - the control socket, mode 0660, root and the group of the user */
int mr_control_listen(struct mr_daemon *d);

/** mr_control_unlink() - nobody listens there any more; safe when nobody did */
void mr_control_unlink(struct mr_daemon *d);

#endif
