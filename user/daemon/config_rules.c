/* SPDX-License-Identifier: MIT */
/* The rules of the file, and what clashes among them. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_rule.h"

/* What the lanes can run, in the order in which they count slow calls. */
static const struct {
	const char *name;
	bool messages;
	bool directory; /* needs one */
} apps[] = {
	{ "echo", true, false },	   { "sink", true, false },
	{ "store", true, true },	   { "echo-bytes", false, false },
	{ "discard-bytes", false, false }, { "source-bytes", false, false },
	{ "drill", false, false },
};

const char *mr_app_name(unsigned int i)
{
	return i < sizeof(apps) / sizeof(apps[0]) ? apps[i].name : NULL;
}

const char *mr_rule_entry_path(struct mr_rule_entry *e, const char *key)
{
	snprintf(e->path, sizeof(e->path), "rules[%u].%s", e->index, key);
	return e->path;
}

unsigned int mr_rule_entry_line(struct mr_rule_entry *e, const char *key)
{
	return mr_config_line(e->f, mr_rule_entry_path(e, key));
}

static int check_name(struct mr_rule_entry *e)
{
	const char *name = e->raw->name;

	if (strlen(name) >= MR_RULE_NAME_BYTES)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "name"),
				      "rule \"%s\": the name is longer than %d characters", name,
				      MR_RULE_NAME_BYTES - 1);
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c == '"' || *c == '\\' || *c > '~')
			return mr_config_fail(e->f, mr_rule_entry_line(e, "name"),
					      "rule \"%s\": a name has no spaces, quotes or other "
					      "alphabets",
					      name);
	snprintf(e->out->lane.name, sizeof(e->out->lane.name), "%s", name);
	return 0;
}

static int check_app(struct mr_rule_entry *e)
{
	if (!e->raw->app)
		return mr_config_fail(e->f, e->out->line, "rule %s: key \"app\" is missing; add it",
				      e->raw->name);
	for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++) {
		if (strcmp(apps[i].name, e->raw->app))
			continue;
		snprintf(e->out->lane.app, sizeof(e->out->lane.app), "%s", apps[i].name);
		e->out->messages = apps[i].messages;
		if (apps[i].directory && !e->raw->directory)
			return mr_config_fail(e->f, mr_rule_entry_line(e, "app"),
					      "rule %s: app %s writes files; add directory: PATH",
					      e->raw->name, apps[i].name);
		return 0;
	}
	return mr_config_fail(e->f, mr_rule_entry_line(e, "app"),
			      "rule %s: app \"%s\" is none of echo, sink, store, echo-bytes, "
			      "discard-bytes, source-bytes, drill",
			      e->raw->name, e->raw->app);
}

static int check_numbers(struct mr_rule_entry *e)
{
	uint64_t backlog, ttl, dscp;
	int err;

	err = mr_config_number(e->f, mr_rule_entry_path(e, "backlog"), e->raw->backlog, 128, 1,
			       65535, &backlog);
	if (!err)
		err = mr_config_number(e->f, mr_rule_entry_path(e, "ttl"), e->raw->ttl, 64, 1, 255,
				       &ttl);
	if (!err)
		err = mr_config_number(e->f, mr_rule_entry_path(e, "dscp"), e->raw->dscp, 0, 0, 63,
				       &dscp);
	if (err)
		return err;
	e->out->lane.backlog = (uint32_t)backlog;
	e->out->lane.ttl = (uint8_t)ttl;
	e->out->lane.dscp = (uint8_t)dscp;
	e->out->lane.nodelay = e->raw->nodelay && *e->raw->nodelay;
	return 0;
}

/* The lanes' defaults hold where the rule says nothing. */
static int check_congestion(struct mr_rule_entry *e)
{
	struct mr_lane_rule *r = &e->out->lane;
	char path[32];

	r->cc = e->s->tcp.cc;
	r->ecn = e->s->tcp.ecn;
	snprintf(path, sizeof(path), "rules[%u]", e->index);
	return mr_config_cc(e->f, path, e->raw->congestion_control, e->raw->ecn, &r->cc, &r->ecn);
}

static int check_fallback(struct mr_rule_entry *e)
{
	static const char *const names[] = { "none", "kernel", NULL };
	int fallback, err;

	err = mr_config_choice(e->f, mr_rule_entry_path(e, "fallback"), e->raw->fallback, names,
			       MR_FALLBACK_NONE, &fallback);
	e->out->fallback = (enum mr_rule_fallback)fallback;
	return err;
}

static int check_directory(struct mr_rule_entry *e)
{
	const char *directory = e->raw->directory;
	struct mr_settings *s = e->s;
	unsigned int i;

	e->out->lane.directory = -1;
	if (!directory)
		return 0;
	if (directory[0] != '/')
		return mr_config_fail(e->f, mr_rule_entry_line(e, "directory"),
				      "rule %s: directory \"%s\" does not start with /; "
				      "give the whole path",
				      e->raw->name, directory);
	for (i = 0; i < s->n_directories; i++)
		if (!strcmp(s->directories[i], directory))
			break;
	if (i == MR_MAX_DIRECTORIES)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "directory"),
				      "rule %s: more than %d directories; share some", e->raw->name,
				      MR_MAX_DIRECTORIES);
	if (i == s->n_directories) {
		s->directories[i] = strdup(directory);
		if (!s->directories[i])
			return -ENOMEM;
		s->n_directories++;
	}
	e->out->lane.directory = (int32_t)i;
	return 0;
}

static int check_lane_ports(struct mr_rule_entry *e)
{
	const struct mr_settings_lanes *l = &e->s->lanes;
	const struct mr_match *m = &e->out->match;

	if (l->port_hi && m->port_lo <= l->port_hi && m->port_hi >= l->port_lo)
		return mr_config_fail(
			e->f, e->out->line,
			"rule %s: port %u lies in lanes.ports %u-%u; change one of them",
			e->out->lane.name, m->port_lo < l->port_lo ? l->port_lo : m->port_lo,
			l->port_lo, l->port_hi);
	return 0;
}

int mr_config_rule_clashes(struct mr_rule_entry *e, const struct mr_settings_rule *other)
{
	const struct mr_settings_rule *r = e->out;

	if (!strcmp(other->lane.name, r->lane.name))
		return mr_config_fail(e->f, r->line,
				      "rule %s: the rule in line %u has the same name; rename one",
				      r->lane.name, other->line);
	if (mr_match_is_equal(&other->match, &r->match))
		return mr_config_fail(e->f, r->line,
				      "rule %s clashes with rule %s in line %u: the same priority "
				      "%u, ports %u-%u, and all else that they match; remove or "
				      "change one",
				      r->lane.name, other->lane.name, other->line,
				      r->match.priority, r->match.port_lo, r->match.port_hi);
	return 0;
}

static int check_clashes(struct mr_rule_entry *e)
{
	const struct mr_settings *s = e->s;
	int err = 0;

	for (unsigned int i = 0; !err && i < s->n_rules; i++)
		err = mr_config_rule_clashes(e, &s->rules[i]);
	for (unsigned int i = 0; !err && i < s->n_filters; i++)
		err = mr_config_rule_clashes(e, &s->filters[i]);
	return err;
}

/* Keys that say how a lane serves what it gets, in a rule that gives it nothing. */
static int check_no_lane(struct mr_rule_entry *e)
{
	const struct mr_raw_rule *r = e->raw;
	const struct {
		const char *key;
		const void *value;
	} keys[] = {
		{ "app", r->app },
		{ "fallback", r->fallback },
		{ "backlog", r->backlog },
		{ "ttl", r->ttl },
		{ "dscp", r->dscp },
		{ "nodelay", r->nodelay },
		{ "congestion_control", r->congestion_control },
		{ "ecn", r->ecn },
		{ "directory", r->directory },
		{ "tlv", r->tlv },
		{ "heartbeat", r->heartbeat },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].value)
			return mr_config_fail(e->f, mr_rule_entry_line(e, keys[i].key),
					      "rule %s: %s is for rules that steer; remove it",
					      r->name, keys[i].key);
	return 0;
}

int mr_config_filter(struct mr_rule_entry *e)
{
	int err = check_name(e);

	if (!err)
		err = mr_config_rule_match(e);
	e->out->lane.directory = -1;
	return err ? err : check_no_lane(e);
}

int mr_config_steer(struct mr_rule_entry *e)
{
	static int (*const steps[])(struct mr_rule_entry *) = {
		check_name,	    mr_config_rule_match,     check_app,      check_lane_ports,
		check_numbers,	    check_congestion,	      check_fallback, check_directory,
		mr_config_rule_tlv, mr_config_rule_heartbeat,
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
		err = steps[i](e);
	return err;
}

static int check_rule(struct mr_rule_entry *e)
{
	bool steers = !e->raw->action || !strcmp(e->raw->action, "steer");
	int err = steers ? mr_config_steer(e) : mr_config_filter(e);

	return err ? err : check_clashes(e);
}

static bool is_known_app(const struct mr_lane_rule *r)
{
	for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++)
		if (!strncmp(apps[i].name, r->app, sizeof(r->app)))
			return !apps[i].directory || r->directory >= 0;
	return false;
}

static bool is_width(uint8_t bytes)
{
	return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

static bool is_check(uint8_t check)
{
	unsigned int n = 0;

	while (mr_tlv_check_names()[n])
		n++;
	return check < n;
}

bool mr_config_steer_is_sane(const struct mr_settings_rule *r)
{
	const struct mr_lane_rule *l = &r->lane;

	return is_known_app(l) && r->match.protocol == IPPROTO_TCP && r->match.port_lo &&
	       r->fallback <= MR_FALLBACK_KERNEL && l->ttl && l->dscp < 64 && l->cc < MR_CC_COUNT &&
	       l->ecn < MR_ECN_COUNT && l->backlog && l->backlog <= UINT16_MAX &&
	       l->directory >= -1 && l->directory < MR_MAX_DIRECTORIES &&
	       is_width(l->tlv.tag_bytes) && is_width(l->tlv.length_bytes) &&
	       is_check(l->tlv.check);
}

void mr_config_steer_derive(struct mr_settings_rule *r)
{
	struct mr_lane_rule *l = &r->lane;

	for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++)
		if (!strcmp(apps[i].name, l->app))
			r->messages = apps[i].messages;
	l->protocol = r->match.protocol;
	l->port = r->match.port_lo;
	l->port_hi = r->match.port_hi;
	l->vlan = r->match.vlan;
	memset(l->addr, 0, sizeof(l->addr));
	l->family = 0;
	mr_config_rule_address(l, &r->match.destination);
	memset(&l->source, 0, sizeof(l->source));
	memset(&l->destination, 0, sizeof(l->destination));
	l->place = 0;
	l->elsewhere = 0;
}

unsigned int mr_rules_live(const struct mr_settings *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->n_rules; i++)
		n += mr_rule_is_live(&s->rules[i]);
	return n;
}

void mr_rules_free(struct mr_settings_rule *rules, unsigned int n)
{
	for (unsigned int i = 0; rules && i < n; i++)
		mr_match_free(&rules[i].match);
	free(rules);
}

/* Where it belongs. Numbers: rules that steer from the bottom, the others from the top. */
static void keep(struct mr_settings *s, struct mr_settings_rule *r)
{
	if (r->action == MR_ACTION_STEER) {
		r->lane.rule_id = (uint16_t)s->n_rules;
		s->rules[s->n_rules++] = *r;
	} else {
		s->filters[s->n_filters++] = *r;
	}
	memset(&r->match, 0, sizeof(r->match));
}

int mr_config_rules(struct mr_config_file *f, const struct mr_raw_config *raw,
		    struct mr_settings *s)
{
	unsigned int room = raw->n_rules ? raw->n_rules : 1;
	int err = 0;

	if (raw->n_rules > MR_RULES_MOST)
		return mr_config_fail(f, mr_config_line(f, "rules"),
				      "rules: %u are too many; %d fit", raw->n_rules,
				      MR_RULES_MOST);
	s->rules = calloc(room, sizeof(*s->rules));
	s->filters = calloc(room, sizeof(*s->filters));
	if (!s->rules || !s->filters)
		return -ENOMEM;
	for (unsigned int i = 0; !err && i < raw->n_rules; i++) {
		struct mr_settings_rule out = { 0 };
		struct mr_rule_entry e = {
			.f = f, .raw = &raw->rules[i], .s = s, .out = &out, .index = i
		};

		out.line = mr_rule_entry_line(&e, "name");
		err = check_rule(&e);
		if (!err)
			keep(s, &out);
		mr_match_free(&out.match);
	}
	for (unsigned int i = 0; i < s->n_filters; i++)
		s->filters[i].lane.rule_id = s->last_filter = (uint16_t)(MR_RULES_MOST - 1 - i);
	return err;
}
