/* SPDX-License-Identifier: MIT */
/*
 * Does the control process go on? It counts a word of shared memory up in each turn of its loop,
 * at least every 50 ms; the parent looks. One that was stopped, or hangs, would leave lanes whose
 * workers die without others: it is replaced.
 */
#ifndef MR_DAEMON_PULSE_H
#define MR_DAEMON_PULSE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	MR_PULSE_LOOK_MS = 500,
	MR_PULSE_STOPPED_LOOKS = 3, /* without a turn, of a process that is stopped */
	MR_PULSE_SILENT_LOOKS = 60, /* of any other: it may work, on a machine that is busy */
};

struct mr_pulse {
	uint64_t *word; /* shared; the child may write anything */
	uint64_t seen;
	uint64_t looked_ns;
	unsigned int silent; /* looks in a row that found @seen */
};

/** mr_pulse_make() - the word, before the first child is forked; 0 or -ENOMEM */
int mr_pulse_make(struct mr_pulse *p);

/** mr_pulse_free() - also of a zeroed record */
void mr_pulse_free(struct mr_pulse *p);

/** mr_pulse_beat() - the child's: one turn more; nothing when there is no word */
void mr_pulse_beat(uint64_t *word);

/** mr_pulse_begin() - there is another child */
void mr_pulse_begin(struct mr_pulse *p, uint64_t now);

/**
 * mr_pulse_look() - to be called every MR_PULSE_LOOK_MS or oftener; more often is the same
 * @child:	its pid, a child of the caller
 *
 * Looks are counted, not time: while the caller itself stood still, nobody was silent.
 *
 * Return: NULL, or why the child has to be replaced, for people
 */
const char *mr_pulse_look(struct mr_pulse *p, pid_t child, uint64_t now);

#endif
