/* SPDX-License-Identifier: MIT */
/* What a rule names, and which of two rules comes first. */
#ifndef MR_DAEMON_MATCH_H
#define MR_DAEMON_MATCH_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/prefixes.h"

enum {
	MR_PRIORITY_FILTER = 100, /* of rules that pass or drop, unless they say another */
	MR_PRIORITY_STEER = 200,
	MR_PRIORITY_MOST = 65535,
	MR_PRIORITY_LEAVING = MR_PRIORITY_MOST + 1, /* of rules that are gone: behind all others */
	MR_PORT_MOST = 65535,
};

struct mr_match {
	uint32_t priority;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP; 0: both */
	uint16_t port_lo; /* destination port; 0 to MR_PORT_MOST: any */
	uint16_t port_hi;
	uint32_t vlan;		  /* as struct mr_rule_key has it */
	char interface[IFNAMSIZ]; /* "": any */
	struct mr_prefixes source, destination;
};

/**
 * mr_match_compare() - the documented order of rules (millraced.yaml(5)), but for the last tie
 *
 * Lower priority first. Then the narrower one: by destination, VLAN, source, ports, interface and
 * protocol, in this order. The widest prefix of a set is its width.
 *
 * Return: below 0: @a comes first; 0: whoever has the lower id does
 */
int mr_match_compare(const struct mr_match *a, const struct mr_match *b);

/** mr_match_is_equal() - the same priority, and exactly the same frames */
bool mr_match_is_equal(const struct mr_match *a, const struct mr_match *b);

/** mr_match_is_exact() - could it be found by struct mr_rule_key, but for its priority? */
bool mr_match_is_exact(const struct mr_match *m);

/** mr_match_free() - what it owns */
void mr_match_free(struct mr_match *m);

#endif
