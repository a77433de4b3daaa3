/* SPDX-License-Identifier: MIT */
/* The end of a lane as SIGKILL leaves it: nothing is said or written, its own memory is gone. */
#ifndef TESTS_LANE_KILLED_H
#define TESTS_LANE_KILLED_H

#include <stdlib.h>

#include "user/lane/internal.h"

static inline void killed_lane_forget(struct mr_lane *l)
{
	lane_attached_fini(l);
	lane_rules_fini(l);
	mr_sources_fini(&l->sources);
	mr_table_fini(&l->table);
	free(l);
}

#endif
