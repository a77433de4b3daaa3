/* SPDX-License-Identifier: MIT */
/*
 * Frames that the lanes send, fetched from the daemon piece by piece (POST /v1/lanes/sent). What
 * comes was written by an unprivileged worker: every word of it is checked here.
 */
#ifndef MR_CLI_SENT_H
#define MR_CLI_SENT_H

#include "shared/mr_sent.h"
#include "user/cli/client.h"

struct mr_sent_lane {
	uint32_t ifindex, queue, slot;
	char name[64];	 /* INTERFACE:QUEUE */
	uint64_t after;	 /* where to go on; UINT64_MAX: nothing was fetched yet */
	uint64_t number; /* of the last frame */
};

/* A frame: @bytes are head->copied bytes; both only until it returns. Returns 0 to go on. */
typedef int (*mr_sent_taker)(void *arg, const struct mr_sent_lane *lane,
			     const struct mr_sent_frame *head, const uint8_t *bytes);

struct mr_sent_reader;

/**
 * mr_sent_open() - have the lanes copy what they send, as long as they are asked
 * @status:	the daemon's, borrowed for the call
 * @ifindex:	of the interface whose lanes are meant, 0: all
 * @why:	one line for people on error
 *
 * Return: the reader, to be closed; or NULL
 */
struct mr_sent_reader *mr_sent_open(const struct mr_cli *cli, const json_t *status,
				    uint32_t ifindex, uint32_t copy_bytes, mr_sent_taker take,
				    void *arg, char why[MR_CLIENT_WORDS]);

/**
 * mr_sent_read() - hand over what there is now
 *
 * Return: 0; what the taker returned to end it; or -EREMOTEIO with @why: no more will come
 */
int mr_sent_read(struct mr_sent_reader *s, char why[MR_CLIENT_WORDS]);

/** mr_sent_lost() - frames so far that were written over before they were fetched; NULL: 0 */
uint64_t mr_sent_lost(const struct mr_sent_reader *s);

/** mr_sent_close() - the lanes stop within seconds; NULL: nothing */
void mr_sent_close(struct mr_sent_reader *s);

#endif
