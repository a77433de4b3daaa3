/* SPDX-License-Identifier: MIT */
/*
 * How many connections each source address has with a lane: IPv4 by the address, IPv6 by the /64,
 * which is what one host gets. A bounded table of open addressing under a keyed hash.
 */
#ifndef MR_SOURCES_H
#define MR_SOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/wire/siphash.h"

enum {
	MR_SOURCES_MOST = 1 << 18, /* places */
};

enum mr_source_count { MR_SOURCE_CONNECTIONS, MR_SOURCE_HALF_OPEN, MR_SOURCE_COUNTS };

struct mr_source {
	uint8_t prefix[16];
	uint32_t count[MR_SOURCE_COUNTS]; /* all 0: the place is free */
};

struct mr_sources {
	struct mr_source *place; /* NULL: nothing is counted */
	uint32_t mask;
	uint32_t used;
	struct mr_siphash_key key;
};

/** mr_sources_init() - for @expected sources at a time; 0 or -ENOMEM */
int mr_sources_init(struct mr_sources *s, uint32_t expected, const struct mr_siphash_key *key);

/** mr_sources_fini() - free its memory */
void mr_sources_fini(struct mr_sources *s);

/** mr_sources_get() - of the source that @addr belongs to */
uint32_t mr_sources_get(const struct mr_sources *s, const uint8_t addr[16],
			enum mr_source_count which);

/** mr_sources_add() - one more; a source that finds no place is not counted */
void mr_sources_add(struct mr_sources *s, const uint8_t addr[16], enum mr_source_count which);

/** mr_sources_sub() - one less; harmless for a source that is not counted */
void mr_sources_sub(struct mr_sources *s, const uint8_t addr[16], enum mr_source_count which);

#endif
