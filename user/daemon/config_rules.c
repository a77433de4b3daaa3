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

static int check_protocol(struct mr_rule_entry *e)
{
	const char *protocol = e->raw->protocol;

	e->out->lane.protocol = IPPROTO_TCP;
	if (!protocol || !strcmp(protocol, "tcp"))
		return 0;
	if (!strcmp(protocol, "udp"))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "protocol"),
				      "rule %s: no application takes datagrams yet; "
				      "leave UDP to the kernel and remove the rule",
				      e->raw->name);
	return mr_config_fail(e->f, mr_rule_entry_line(e, "protocol"),
			      "rule %s: protocol \"%s\" is not tcp", e->raw->name, protocol);
}

static int check_app(struct mr_rule_entry *e)
{
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

static int check_address(struct mr_rule_entry *e)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const char *address = e->raw->address;
	struct mr_lane_rule *r = &e->out->lane;
	bool special;

	r->any_family = !address || !strcmp(address, "any");
	if (r->any_family)
		return 0;
	if (inet_pton(AF_INET, address, r->addr + 12) == 1) {
		memcpy(r->addr, mapped, sizeof(mapped));
		r->family = 4;
		special = r->addr[12] == 0 || r->addr[12] >= 224;
	} else if (inet_pton(AF_INET6, address, r->addr) == 1) {
		r->family = 6;
		special = r->addr[0] == 0xff ||
			  IN6_IS_ADDR_UNSPECIFIED((struct in6_addr *)r->addr) ||
			  IN6_IS_ADDR_V4MAPPED((struct in6_addr *)r->addr);
	} else {
		return mr_config_fail(e->f, mr_rule_entry_line(e, "address"),
				      "rule %s: address \"%s\" is neither any, IPv4 nor IPv6",
				      e->raw->name, address);
	}
	if (special)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "address"),
				      "rule %s: no connection can go to address %s; "
				      "name one of this host's, or any",
				      e->raw->name, address);
	return 0;
}

static int check_vlan(struct mr_rule_entry *e)
{
	const char *vlan = e->raw->vlan;
	unsigned long v;
	char *end;

	e->out->lane.vlan = (uint32_t)MR_VLAN_ANY;
	if (!vlan || !strcmp(vlan, "any"))
		return 0;
	v = strtoul(vlan, &end, 10);
	if (*end || vlan[0] < '0' || vlan[0] > '9' || v > 4094)
		return mr_config_fail(
			e->f, mr_rule_entry_line(e, "vlan"),
			"rule %s: vlan \"%s\" is neither any, 0 (untagged) nor 1 to 4094",
			e->raw->name, vlan);
	e->out->lane.vlan = (uint32_t)v;
	return 0;
}

static int check_numbers(struct mr_rule_entry *e)
{
	uint64_t port, backlog, ttl, dscp;
	int err;

	err = mr_config_number(e->f, mr_rule_entry_path(e, "port"), e->raw->port, 0, 1, 65535,
			       &port);
	if (!err)
		err = mr_config_number(e->f, mr_rule_entry_path(e, "backlog"), e->raw->backlog, 128,
				       1, 65535, &backlog);
	if (!err)
		err = mr_config_number(e->f, mr_rule_entry_path(e, "ttl"), e->raw->ttl, 64, 1, 255,
				       &ttl);
	if (!err)
		err = mr_config_number(e->f, mr_rule_entry_path(e, "dscp"), e->raw->dscp, 0, 0, 63,
				       &dscp);
	if (err)
		return err;
	e->out->lane.port = (uint16_t)port;
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

/* Would the program find two entries under one key? More particular rules beside general ones are
 * fine. */
static bool same_key(const struct mr_lane_rule *a, const struct mr_lane_rule *b)
{
	return a->port == b->port && a->protocol == b->protocol && a->vlan == b->vlan &&
	       a->any_family == b->any_family && a->family == b->family &&
	       !memcmp(a->addr, b->addr, sizeof(a->addr));
}

static int check_clashes(struct mr_rule_entry *e)
{
	const struct mr_lane_rule *r = &e->out->lane;
	const struct mr_settings_lanes *l = &e->s->lanes;

	if (r->port >= l->port_lo && r->port <= l->port_hi)
		return mr_config_fail(
			e->f, e->out->line,
			"rule %s: port %u lies in lanes.ports %u-%u; change one of them", r->name,
			r->port, l->port_lo, l->port_hi);
	for (unsigned int i = 0; i < e->index; i++) {
		const struct mr_settings_rule *other = &e->s->rules[i];

		if (!strcmp(other->lane.name, r->name))
			return mr_config_fail(e->f, e->out->line,
					      "rule %s: the rule in line %u has the same name; "
					      "rename one",
					      r->name, other->line);
		if (same_key(&other->lane, r))
			return mr_config_fail(
				e->f, e->out->line,
				"rule %s clashes with rule %s in line %u: same address, "
				"port %u and VLAN; remove or change one",
				r->name, other->lane.name, other->line, r->port);
	}
	return 0;
}

static int check_rule(struct mr_rule_entry *e)
{
	static int (*const steps[])(struct mr_rule_entry *) = {
		check_name,
		check_protocol,
		check_app,
		check_address,
		check_vlan,
		check_numbers,
		check_congestion,
		check_fallback,
		check_directory,
		mr_config_rule_tlv,
		mr_config_rule_heartbeat,
		check_clashes,
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
		err = steps[i](e);
	return err;
}

int mr_config_rules(struct mr_config_file *f, const struct mr_raw_config *raw,
		    struct mr_settings *s)
{
	int err = 0;

	if (raw->n_rules > MR_MAX_RULES / 2)
		return mr_config_fail(f, mr_config_line(f, "rules"),
				      "rules: %u are too many; %d fit", raw->n_rules,
				      MR_MAX_RULES / 2);
	s->rules = calloc(raw->n_rules ? raw->n_rules : 1, sizeof(*s->rules));
	if (!s->rules)
		return -ENOMEM;
	s->n_rules = raw->n_rules;
	for (unsigned int i = 0; !err && i < raw->n_rules; i++) {
		struct mr_rule_entry e = {
			.f = f, .raw = &raw->rules[i], .s = s, .out = &s->rules[i], .index = i
		};

		e.out->lane.rule_id = (uint16_t)i;
		e.out->line = mr_rule_entry_line(&e, "name");
		err = check_rule(&e);
	}
	return err;
}
