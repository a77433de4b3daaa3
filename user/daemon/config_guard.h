/* SPDX-License-Identifier: MIT */
/* The part `guard` of the configuration: as libcyaml reads it, and as it is used. */
#ifndef MR_DAEMON_CONFIG_GUARD_H
#define MR_DAEMON_CONFIG_GUARD_H

#include <cyaml/cyaml.h>

#include "user/daemon/config.h"

struct mr_config_file;
struct mr_guard_syn;

struct mr_raw_rates {
	uint64_t *packets_per_s;
	uint64_t *packets_burst;
	uint64_t *connections_per_s;
	uint64_t *connections_burst;
};

struct mr_raw_guard_limit {
	uint64_t *ipv4_prefix;
	uint64_t *ipv6_prefix;
	struct mr_raw_rates rates;
};

struct mr_raw_guard_rule {
	char *rule;
	struct mr_raw_rates rates;
};

struct mr_raw_guard {
	char *syn_cookies;
	uint64_t *syn_at_percent;
	uint64_t *syn_calm_s;
	char **block;
	unsigned int n_block;
	struct mr_raw_guard_limit *limits;
	unsigned int n_limits;
	struct mr_raw_guard_rule *rules;
	unsigned int n_rules;
};

extern const cyaml_schema_field_t mr_raw_guard_fields[];

/*
 * The parts, which changes at run time are checked by as well. @where: what stands in front of
 * keys in messages, without its dot. 0, or as mr_config_fail().
 */
int mr_config_guard_rates(struct mr_config_file *f, const char *where,
			  const struct mr_raw_rates *raw, struct mr_guard_rate *packets,
			  struct mr_guard_rate *syns);
int mr_config_guard_lengths(struct mr_config_file *f, const char *where,
			    const struct mr_raw_guard_limit *raw, struct mr_guard_limit *out);

/** mr_config_guard_syn() - @out: in: what holds for keys that are not there */
int mr_config_guard_syn(struct mr_config_file *f, const char *where, const struct mr_raw_guard *raw,
			struct mr_guard_syn *out);

/** mr_config_guard() - check it, with the rules and the part `tcp` of @s done; reads block lists */
int mr_config_guard(struct mr_config_file *f, const struct mr_raw_guard *raw,
		    struct mr_settings *s);

#endif
