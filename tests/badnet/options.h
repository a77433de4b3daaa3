/* SPDX-License-Identifier: MIT */
#ifndef MR_BADNET_OPTIONS_H
#define MR_BADNET_OPTIONS_H

#include "link.h"
#include "mangle.h"

/* What happens to frames of one direction. */
struct mr_way {
	struct mr_fate_rules fate;
	struct mr_link_rules link;
	enum mr_match match;
};

struct mr_options {
	uint64_t seed;
	struct mr_way way[2]; /* 0: from the first interface to the second, 1: back */
	const char *interface[2];
};

/**
 * mr_options_read() - the command line of mr-impair
 *
 * Prints what is wrong, or the help, and exits: 2 for a wrong line, 0 after the help.
 */
void mr_options_read(struct mr_options *o, int argc, char *argv[]);

#endif
