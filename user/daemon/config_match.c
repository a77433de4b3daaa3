/* SPDX-License-Identifier: MIT */
/* Of a rule: which frames it names, what becomes of them, and which rule comes first. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_rule.h"

const char *const *mr_mode_names(void)
{
	static const char *const names[] = { "enforce", "monitor", "bypass", NULL };

	return names;
}

const char *const *mr_action_names(void)
{
	static const char *const names[] = { "steer", "pass", "drop", NULL };

	return names;
}

static bool is_any(const char *word)
{
	return !word || !strcmp(word, "any");
}

static int check_action(struct mr_rule_entry *e)
{
	uint64_t priority;
	int action, err;

	err = mr_config_choice(e->f, mr_rule_entry_path(e, "action"), e->raw->action,
			       mr_action_names(), MR_ACTION_STEER, &action);
	if (err)
		return err;
	e->out->action = (enum mr_rule_action)action;
	err = mr_config_number(e->f, mr_rule_entry_path(e, "priority"), e->raw->priority,
			       action == MR_ACTION_STEER ? MR_PRIORITY_STEER : MR_PRIORITY_FILTER,
			       0, MR_PRIORITY_MOST, &priority);
	e->out->match.priority = (uint32_t)priority;
	return err;
}

static int check_comment(struct mr_rule_entry *e)
{
	const char *comment = e->raw->comment ? e->raw->comment : "";

	if (strlen(comment) >= MR_RULE_COMMENT_BYTES)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "comment"),
				      "rule %s: the comment is longer than %d bytes", e->raw->name,
				      MR_RULE_COMMENT_BYTES - 1);
	snprintf(e->out->comment, sizeof(e->out->comment), "%s", comment);
	return 0;
}

static int check_protocol(struct mr_rule_entry *e)
{
	const char *protocol = e->raw->protocol ? e->raw->protocol : "tcp";
	bool steers = e->out->action == MR_ACTION_STEER;

	if (!strcmp(protocol, "tcp"))
		e->out->match.protocol = IPPROTO_TCP;
	else if (!strcmp(protocol, "udp") && !steers)
		e->out->match.protocol = IPPROTO_UDP;
	else if (!strcmp(protocol, "udp"))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "protocol"),
				      "rule %s: no application takes datagrams yet; "
				      "leave UDP to the kernel and remove the rule",
				      e->raw->name);
	else if (strcmp(protocol, "any") || steers)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "protocol"),
				      "rule %s: protocol \"%s\" is not tcp%s", e->raw->name,
				      protocol, steers ? "" : ", udp or any");
	e->out->lane.protocol = e->out->match.protocol;
	return 0;
}

/* Decimal, without leading zeros. */
static bool read_port(const char **at, unsigned long lo, uint16_t *port)
{
	unsigned long v;
	char *end;

	if (**at < '0' || **at > '9' || (**at == '0' && (*at)[1] >= '0' && (*at)[1] <= '9'))
		return false;
	errno = 0;
	v = strtoul(*at, &end, 10);
	if (errno || v < lo || v > MR_PORT_MOST)
		return false;
	*at = end;
	*port = (uint16_t)v;
	return true;
}

static int check_port(struct mr_rule_entry *e)
{
	bool steers = e->out->action == MR_ACTION_STEER;
	struct mr_match *m = &e->out->match;
	const char *at = e->raw->port;

	if (!at && steers)
		return mr_config_fail(e->f, e->out->line,
				      "rule %s: key \"port\" is missing; add it", e->raw->name);
	if (is_any(at) && !steers) {
		m->port_hi = MR_PORT_MOST;
		return 0;
	}
	if (at[0] >= '0' && at[0] <= '9' && at[strspn(at, "0123456789")] == '\0' &&
	    strlen(at) < 10 && (at[0] != '0' || !at[1]) && !read_port(&at, steers, &m->port_lo))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "port"),
				      "%s: %s is out of range; give %d to %d",
				      mr_rule_entry_path(e, "port"), e->raw->port, steers,
				      MR_PORT_MOST);
	at = e->raw->port;
	if (!read_port(&at, steers, &m->port_lo))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "port"),
				      "%s: \"%s\" is not a number; give a port, or a range as "
				      "8000-8010",
				      mr_rule_entry_path(e, "port"), e->raw->port);
	m->port_hi = m->port_lo;
	if (*at == '-' && at++ && !read_port(&at, m->port_lo, &m->port_hi))
		at = "-";
	if (*at)
		return mr_config_fail(e->f, mr_rule_entry_line(e, "port"),
				      "rule %s: port \"%s\" is no range; write it as 8000-8010, "
				      "the lower one first",
				      e->raw->name, e->raw->port);
	e->out->lane.port = m->port_lo;
	e->out->lane.port_hi = m->port_hi;
	return 0;
}

static int check_vlan(struct mr_rule_entry *e)
{
	const char *vlan = e->raw->vlan;
	unsigned long v;
	char *end;

	e->out->match.vlan = e->out->lane.vlan = (uint32_t)MR_VLAN_ANY;
	if (is_any(vlan))
		return 0;
	v = strtoul(vlan, &end, 10);
	if (*end || vlan[0] < '0' || vlan[0] > '9' || v > 4094)
		return mr_config_fail(
			e->f, mr_rule_entry_line(e, "vlan"),
			"rule %s: vlan \"%s\" is neither any, 0 (untagged) nor 1 to 4094",
			e->raw->name, vlan);
	e->out->match.vlan = e->out->lane.vlan = (uint32_t)v;
	return 0;
}

static int check_interface(struct mr_rule_entry *e)
{
	const char *name = e->raw->interface;

	if (is_any(name))
		return 0;
	for (unsigned int i = 0; i < e->s->n_interfaces; i++)
		if (!strcmp(e->s->interfaces[i].name, name)) {
			snprintf(e->out->match.interface, sizeof(e->out->match.interface), "%s",
				 name);
			return 0;
		}
	return mr_config_fail(e->f, mr_rule_entry_line(e, "interface"),
			      "rule %s: interface %s is none of those under interfaces; add it "
			      "there, or write any",
			      e->raw->name, name);
}

static int check_prefixes(struct mr_rule_entry *e, const char *key, const char *words,
			  const char *file_key, const char *file, struct mr_prefixes *out)
{
	char why[MR_PREFIX_WORDS] = "out of memory";

	if (file && words)
		return mr_config_fail(e->f, mr_rule_entry_line(e, file_key),
				      "rule %s: %s and %s do not go together; remove one",
				      e->raw->name, key, file_key);
	if (file && file[0] != '/')
		return mr_config_fail(e->f, mr_rule_entry_line(e, file_key),
				      "rule %s: %s \"%s\" does not start with /; give the whole "
				      "path",
				      e->raw->name, file_key, file);
	if (file && mr_prefixes_file(out, file, why))
		return mr_config_fail(e->f, mr_rule_entry_line(e, file_key), "rule %s: %s: %s",
				      e->raw->name, file, why);
	if (!file && !is_any(words) && mr_prefixes_words(out, words, why))
		return mr_config_fail(e->f, mr_rule_entry_line(e, key), "rule %s: %s %s",
				      e->raw->name, key, why);
	mr_prefixes_finish(out);
	return 0;
}

/* Where no connection can go a lane need not listen. */
static bool is_special(const struct mr_net *p)
{
	const uint8_t *a = p->addr;

	if (p->family == 4)
		return p->bits > 96 && (a[12] >= 224 || (p->bits == 128 && a[12] == 0));
	return p->bits >= 8 &&
	       (a[0] == 0xff || IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a) ||
		(p->bits == 128 && IN6_IS_ADDR_UNSPECIFIED((const struct in6_addr *)a)));
}

/* What the lane's rule says of it too: any address, or just one. */
void mr_config_rule_address(struct mr_lane_rule *r, const struct mr_prefixes *to)
{
	r->any_family = !to->given;
	if (to->n != 1 || to->list[0].bits != 128)
		return;
	memcpy(r->addr, to->list[0].addr, sizeof(r->addr));
	r->family = to->list[0].family;
}

static int check_destination(struct mr_rule_entry *e)
{
	const char *key = e->raw->address ? "address" : "destination";
	const char *words = e->raw->address ? e->raw->address : e->raw->destination;
	struct mr_prefixes *to = &e->out->match.destination;
	struct mr_net p;
	int err;

	if (e->raw->address && e->raw->destination)
		return mr_config_fail(
			e->f, mr_rule_entry_line(e, "address"),
			"rule %s: address is another word for destination; remove one",
			e->raw->name);
	if (e->raw->address && !is_any(words) && mr_net_parse(words, &p, NULL))
		return mr_config_fail(e->f, mr_rule_entry_line(e, "address"),
				      "rule %s: address \"%s\" is neither any, IPv4 nor IPv6",
				      e->raw->name, words);
	err = check_prefixes(e, key, words, "destination_file", e->raw->destination_file, to);
	for (uint32_t i = 0; !err && i < to->n && e->out->action == MR_ACTION_STEER; i++)
		if (is_special(&to->list[i]))
			return mr_config_fail(e->f, mr_rule_entry_line(e, key),
					      "rule %s: no connection can go to address %s; "
					      "name one of this host's, or any",
					      e->raw->name,
					      words ? words : e->raw->destination_file);
	mr_config_rule_address(&e->out->lane, to);
	return err;
}

static int check_source(struct mr_rule_entry *e)
{
	return check_prefixes(e, "source", e->raw->source, "source_file", e->raw->source_file,
			      &e->out->match.source);
}

int mr_config_rule_match(struct mr_rule_entry *e)
{
	static int (*const steps[])(struct mr_rule_entry * e) = {
		check_action, check_comment,   check_protocol,	  check_port,
		check_vlan,   check_interface, check_destination, check_source,
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
		err = steps[i](e);
	return err;
}
