/* SPDX-License-Identifier: MIT */
/* A rule under check: between config_rules.c and config_messages.c. */
#ifndef MR_DAEMON_CONFIG_RULE_H
#define MR_DAEMON_CONFIG_RULE_H

#include "user/daemon/config_raw.h"

struct mr_rule_entry {
	struct mr_config_file *f;
	const struct mr_raw_rule *raw;
	struct mr_settings *s;
	struct mr_settings_rule *out;
	unsigned int index;
	char path[64];
};

/** mr_rule_entry_path() - "rules[3].KEY", in a buffer of @e */
const char *mr_rule_entry_path(struct mr_rule_entry *e, const char *key);

/** mr_rule_entry_line() - where that key stands, or the deepest part of its path that exists */
unsigned int mr_rule_entry_line(struct mr_rule_entry *e, const char *key);

/** mr_config_rule_tlv(), mr_config_rule_heartbeat(): 0, or -EINVAL with an error noted */
int mr_config_rule_tlv(struct mr_rule_entry *e);
int mr_config_rule_heartbeat(struct mr_rule_entry *e);

/** mr_config_rule_match() - what a rule names, its action, priority and comment; so too */
int mr_config_rule_match(struct mr_rule_entry *e);

/**
 * mr_config_filter() - a rule that passes or drops, by what stands in @e->raw
 *
 * Without the checks against other rules: mr_rules_clash().
 */
int mr_config_filter(struct mr_rule_entry *e);

/**
 * mr_config_steer() - the same for one that steers
 *
 * A directory that @e->s has not yet is added to it.
 */
int mr_config_steer(struct mr_rule_entry *e);

/** mr_config_steer_is_sane() - of a rule that steers, whoever says it: is all of it possible? */
bool mr_config_steer_is_sane(const struct mr_settings_rule *r);

/** mr_config_steer_derive() - what follows from its other parts: @r->match and the application */
void mr_config_steer_derive(struct mr_settings_rule *r);

/** mr_config_rule_address() - a lane rule's address, by the prefixes that it names */
void mr_config_rule_address(struct mr_lane_rule *r, const struct mr_prefixes *to);

/** mr_config_rule_clashes() - with a rule before it; -EINVAL with an error noted */
int mr_config_rule_clashes(struct mr_rule_entry *e, const struct mr_settings_rule *other);

#endif
