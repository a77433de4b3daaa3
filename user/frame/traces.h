/* SPDX-License-Identifier: MIT */
/*
 * The ring of archived traces in the arena. It describes itself: who takes an arena over goes on
 * behind the highest number that stands there.
 */
#ifndef MR_TRACES_H
#define MR_TRACES_H

#include <stdint.h>

#include "shared/mr_arena.h"

struct mr_traces {
	struct mr_trace *record;
	uint32_t count;
	uint32_t last; /* highest number so far */
};

/** mr_traces_init() - go on with what stands in @records, whatever it is */
void mr_traces_init(struct mr_traces *r, struct mr_trace *records, uint32_t count);

/**
 * mr_traces_put() - archive a connection's trace
 * @number:	what it has already, and is overwritten as long as it stands there; 0: none
 * @a:		the record with its events
 *
 * Return: the number that it has now
 */
uint32_t mr_traces_put(struct mr_traces *r, uint32_t number, uint32_t index,
		       const struct mr_conn *c, const struct mr_active *a);

#endif
