/* SPDX-License-Identifier: MIT */
#include "user/daemon/config_guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_raw.h"
#include "user/daemon/guard_changes.h"

enum {
	RATE_MOST = 100000000, /* a second */
	BURST_MOST = 1 << 24,
	SECOND_NS = 1000000000,
};

/* clang-format off */
#define NUMBER(type, member, key) \
	CYAML_FIELD_UINT_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member)
#define RATES(type) \
	NUMBER(type, rates.packets_per_s, "packets_per_s"), \
	NUMBER(type, rates.packets_burst, "packets_burst"), \
	NUMBER(type, rates.connections_per_s, "connections_per_s"), \
	NUMBER(type, rates.connections_burst, "connections_burst")

static const cyaml_schema_field_t limit_fields[] = {
	NUMBER(struct mr_raw_guard_limit, ipv4_prefix, "ipv4_prefix"),
	NUMBER(struct mr_raw_guard_limit, ipv6_prefix, "ipv6_prefix"),
	RATES(struct mr_raw_guard_limit),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t limit_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct mr_raw_guard_limit, limit_fields),
};

static const cyaml_schema_field_t rule_fields[] = {
	CYAML_FIELD_STRING_PTR("rule", CYAML_FLAG_POINTER, struct mr_raw_guard_rule, rule, 1, CYAML_UNLIMITED),
	RATES(struct mr_raw_guard_rule),
	CYAML_FIELD_END
};

static const cyaml_schema_value_t rule_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct mr_raw_guard_rule, rule_fields),
};

static const cyaml_schema_value_t file_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED),
};

#define LIST(key, member, count, schema) \
	CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct mr_raw_guard, \
				   member, count, schema, 0, CYAML_UNLIMITED)

const cyaml_schema_field_t mr_raw_guard_fields[] = {
	CYAML_FIELD_STRING_PTR("syn_cookies", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			       struct mr_raw_guard, syn_cookies, 0, CYAML_UNLIMITED),
	NUMBER(struct mr_raw_guard, syn_at_percent, "syn_at_percent"),
	NUMBER(struct mr_raw_guard, syn_calm_s, "syn_calm_s"),
	LIST("block", block, n_block, &file_schema),
	LIST("limits", limits, n_limits, &limit_schema),
	LIST("rules", rules, n_rules, &rule_schema),
	CYAML_FIELD_END
};
/* clang-format on */

/* A rate and its burst, of which neither goes without the other; a tenth of a second by default. */
static int check_rate(struct mr_config_file *f, const char *where, const char *what,
		      const uint64_t *per_s, const uint64_t *burst, struct mr_guard_rate *out)
{
	uint32_t rate, most;
	char path[96];
	int err;

	*out = (struct mr_guard_rate){ 0 };
	snprintf(path, sizeof(path), "%s.%s_burst", where, what);
	if (!per_s && burst)
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: a burst of no rate; add %s_per_s", path, what);
	if (!per_s)
		return 0;
	snprintf(path, sizeof(path), "%s.%s_per_s", where, what);
	err = mr_config_number32(f, path, per_s, 0, 1, RATE_MOST, &rate);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.%s_burst", where, what);
	err = mr_config_number32(f, path, burst, rate / 10 ? rate / 10 : 1, 1, BURST_MOST, &most);
	out->interval_ns = SECOND_NS / rate;
	out->burst = most;
	return err;
}

int mr_config_guard_rates(struct mr_config_file *f, const char *where,
			  const struct mr_raw_rates *raw, struct mr_guard_rate *packets,
			  struct mr_guard_rate *syns)
{
	int err = check_rate(f, where, "packets", raw->packets_per_s, raw->packets_burst, packets);

	if (!err)
		err = check_rate(f, where, "connections", raw->connections_per_s,
				 raw->connections_burst, syns);
	if (!err && !packets->interval_ns && !syns->interval_ns)
		err = mr_config_fail(f, mr_config_line(f, where),
				     "%s: limits nothing; add packets_per_s or connections_per_s",
				     where);
	return err;
}

int mr_config_guard_lengths(struct mr_config_file *f, const char *where,
			    const struct mr_raw_guard_limit *raw, struct mr_guard_limit *out)
{
	uint32_t ipv4, ipv6;
	char path[64];
	int err;

	snprintf(path, sizeof(path), "%s.ipv4_prefix", where);
	err = mr_config_number32(f, path, raw->ipv4_prefix, 32, 0, 32, &ipv4);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.ipv6_prefix", where);
	err = mr_config_number32(f, path, raw->ipv6_prefix, 64, 0, 128, &ipv6);
	out->ipv4_bits = (uint8_t)ipv4;
	out->ipv6_bits = (uint8_t)ipv6;
	return err;
}

static int check_limit(struct mr_config_file *f, const struct mr_raw_guard_limit *raw,
		       unsigned int i, struct mr_guard_limit *out)
{
	char where[48];
	int err;

	snprintf(where, sizeof(where), "guard.limits[%u]", i);
	err = mr_config_guard_rates(f, where, &raw->rates, &out->packets, &out->syns);
	return err ? err : mr_config_guard_lengths(f, where, raw, out);
}

static int check_limits(struct mr_config_file *f, const struct mr_raw_guard *raw,
			struct mr_guard *out)
{
	int err = 0;

	if (raw->n_limits > MR_MAX_GUARD_LIMITS)
		return mr_config_fail(f, mr_config_line(f, "guard.limits"),
				      "guard.limits: %u are too many; %d prefix lengths at most",
				      raw->n_limits, MR_MAX_GUARD_LIMITS);
	for (unsigned int i = 0; !err && i < raw->n_limits; i++)
		err = check_limit(f, &raw->limits[i], i, &out->limit[i]);
	out->n_limits = raw->n_limits;
	return err;
}

static int check_rule(struct mr_config_file *f, const struct mr_raw_guard_rule *raw, unsigned int i,
		      struct mr_settings *s)
{
	struct mr_settings_guard_rule *out = &s->guard.rules[i];
	char where[48], path[64];

	snprintf(where, sizeof(where), "guard.rules[%u]", i);
	snprintf(path, sizeof(path), "%s.rule", where);
	out->rule = UINT32_MAX;
	for (unsigned int r = 0; r < s->n_rules; r++)
		if (!strcmp(s->rules[r].lane.name, raw->rule))
			out->rule = r;
	if (out->rule == UINT32_MAX)
		return mr_config_fail(f, mr_config_line(f, path),
				      "%s: there is no rule \"%s\"; give a name from rules", path,
				      raw->rule);
	for (unsigned int k = 0; k < i; k++)
		if (s->guard.rules[k].rule == out->rule)
			return mr_config_fail(f, mr_config_line(f, path),
					      "%s: \"%s\" has limits already; remove one", path,
					      raw->rule);
	return mr_config_guard_rates(f, where, &raw->rates, &out->packets, &out->syns);
}

static int check_rules(struct mr_config_file *f, const struct mr_raw_guard *raw,
		       struct mr_settings *s)
{
	int err = 0;

	if (!raw->n_rules)
		return 0;
	s->guard.rules = calloc(raw->n_rules, sizeof(*s->guard.rules));
	if (!s->guard.rules)
		return -ENOMEM;
	s->guard.n_rules = raw->n_rules;
	for (unsigned int i = 0; !err && i < raw->n_rules; i++)
		err = check_rule(f, &raw->rules[i], i, s);
	return err;
}

static int read_list(struct mr_config_file *f, const char *file, unsigned int i,
		     struct mr_blocks *out)
{
	char path[48], error[MR_BLOCK_ERROR_BYTES] = "";
	unsigned int line;

	snprintf(path, sizeof(path), "guard.block[%u]", i);
	line = mr_config_line(f, path);
	if (file[0] != '/')
		return mr_config_fail(f, line, "%s: \"%s\" is not a whole path; begin it with /",
				      path, file);
	if (mr_blocks_read(out, file, error) < 0)
		return mr_config_fail(f, line, "%s: %s", path, error);
	return 0;
}

int mr_config_guard_syn(struct mr_config_file *f, const char *where, const struct mr_raw_guard *raw,
			struct mr_guard_syn *out)
{
	int answers = (int)out->answers, err;
	char path[48];

	snprintf(path, sizeof(path), "%s.syn_cookies", where);
	err = mr_config_choice(f, path, raw->syn_cookies, mr_syn_answer_names(), answers, &answers);
	out->answers = (uint32_t)answers;
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.syn_at_percent", where);
	err = mr_config_number32(f, path, raw->syn_at_percent, out->at_percent, MR_SYN_AT_LEAST,
				 MR_SYN_AT_MOST, &out->at_percent);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s.syn_calm_s", where);
	return mr_config_number32(f, path, raw->syn_calm_s, out->calm_s, 1, MR_SYN_CALM_MOST_S,
				  &out->calm_s);
}

static int check_syn(struct mr_config_file *f, const struct mr_raw_guard *raw,
		     struct mr_open_settings *o)
{
	struct mr_guard_syn syn = { MR_SYN_ANSWERS_AUTO, MR_SYN_AT_DEFAULT, MR_SYN_CALM_DEFAULT_S };
	int err = mr_config_guard_syn(f, "guard", raw, &syn);

	o->syn_answers = syn.answers;
	o->syn_at_percent = syn.at_percent;
	o->syn_calm_s = syn.calm_s;
	if (!err && syn.answers == MR_SYN_ANSWERS_ON && o->syn_cookies == MR_SYN_COOKIES_OFF)
		err = mr_config_fail(f, mr_config_line(f, "guard.syn_cookies"),
				     "guard.syn_cookies: lanes take no cookies; remove "
				     "tcp.syn_cookies: off");
	return err;
}

int mr_config_guard(struct mr_config_file *f, const struct mr_raw_guard *raw, struct mr_settings *s)
{
	int err = check_syn(f, raw, &s->tcp.open);

	if (!err)
		err = check_limits(f, raw, &s->guard.limits);
	if (!err)
		err = check_rules(f, raw, s);
	for (unsigned int i = 0; !err && i < raw->n_block; i++)
		err = read_list(f, raw->block[i], i, &s->guard.blocks);
	mr_blocks_sort(&s->guard.blocks);
	return err;
}
