/* SPDX-License-Identifier: MIT */
/* What the store application remembers of a rule; docs/apps.md, "store". */
#ifndef MR_APPS_STORE_H
#define MR_APPS_STORE_H

#include <stdint.h>

enum {
	MR_STORE_RECORD_HEADER = 12, /* connection id 8, value length 4, both big endian */
	MR_STORE_FILES_OPEN = 64,    /* descriptors a lane keeps for one rule */
};

/**
 * struct mr_store_errors - what went wrong for one rule in one lane
 * @count:	records that could not be written; each cost its connection
 * @last:	errno of the last one
 * @last_tag:	and its tag
 * @torn:	of @count: a piece of a record stayed in the file
 */
struct mr_store_errors {
	uint64_t count;
	int last;
	uint64_t last_tag;
	uint64_t torn;
};

/** mr_store_errors() - @rule_state as mr_rule_state() gives it; valid until the lane ends */
const struct mr_store_errors *mr_store_errors(const void *rule_state);

#endif
