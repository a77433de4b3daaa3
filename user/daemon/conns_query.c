/* SPDX-License-Identifier: MIT */
/* What a client asks of /v1/conns, and whether a record is it. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/api.h"
#include "user/daemon/conns.h"

bool mr_api_number(const char *text, uint32_t lo, uint32_t hi, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	*out = (uint32_t)v;
	return !errno && !*end && v >= lo && v <= hi;
}

/* Without an interface the queue must be one lane's alone. */
const char *mr_api_lane_named(const struct mr_child *c, const char *text, uint32_t *lane)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint32_t queue = 0, found = 0, which = 0;
	bool is_number = mr_api_number(colon ? colon + 1 : text, 0, MR_MAX_LANES, &queue);

	for (uint32_t i = mr_lane_next(c->d, 0); is_number && i < c->d->n_lanes;
	     i = mr_lane_next(c->d, i + 1)) {
		const char *name = mr_lane_link(c->d, &c->d->lanes[i])->name;

		if (c->d->lanes[i].index != queue ||
		    (colon && (strlen(name) != len || memcmp(name, text, len) != 0)))
			continue;
		which = i;
		found++;
	}
	if (found != 1)
		return "lane: there is no such lane; write it as INTERFACE:QUEUE";
	*lane = which;
	return NULL;
}

static const char *set_lane(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	return mr_api_lane_named(c, text, &q->lane);
}

static const char *set_limit(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	q->limit_given = true;
	q->limit = UINT32_MAX;
	if (!strcmp(text, "all") || mr_api_number(text, 1, UINT32_MAX - 1, &q->limit))
		return NULL;
	return "limit: give 1 or more, or all";
}

static const char *set_state(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	static const char *const names[] = MR_TCP_STATE_NAMES;

	(void)c;
	for (int i = 0; i < MR_TCP_STATE_COUNT; i++)
		if (!strcmp(names[i], text)) {
			q->state = i;
			return NULL;
		}
	return "state: no such TCP state; write it as ESTABLISHED";
}

static const char *set_port(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	uint32_t port;

	(void)c;
	if (!mr_api_number(text, 1, 65535, &port))
		return "port: give 1 to 65535";
	q->port = (int)port;
	return NULL;
}

static const char *set_remote_port(const struct mr_child *c, struct mr_conns_query *q,
				   const char *text)
{
	uint32_t port;

	(void)c;
	if (!mr_api_number(text, 1, 65535, &port))
		return "remote_port: give 1 to 65535";
	q->remote_port = (uint16_t)port;
	return NULL;
}

/* ADDRESS or ADDRESS/BITS. Bits behind the prefix may be set: they do not count. */
static bool parse_prefix(const char *text, struct mr_prefix *p)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	uint32_t bits, most = 128;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	memset(p->addr, 0, sizeof(p->addr));
	if (inet_pton(AF_INET, address, p->addr + 12) == 1) {
		p->addr[10] = p->addr[11] = 0xff;
		most = 32;
	} else if (inet_pton(AF_INET6, address, p->addr) != 1) {
		return false;
	}
	bits = most;
	if (slash && !mr_api_number(slash + 1, 0, most, &bits))
		return false;
	p->bits = (uint8_t)(bits + 128 - most);
	return true;
}

static const char *set_address(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return parse_prefix(text, &q->address) ? NULL : "address: give ADDRESS or ADDRESS/BITS";
}

static const char *set_local(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return parse_prefix(text, &q->local) ? NULL : "local: give ADDRESS or ADDRESS/BITS";
}

static const char *set_remote(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return parse_prefix(text, &q->remote) ? NULL : "remote: give ADDRESS or ADDRESS/BITS";
}

static const char *set_rule(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	const struct mr_settings *s = &c->d->settings;

	for (unsigned int i = 0; i < s->n_rules; i++)
		if (s->rules[i].lane.state != MR_RULE_FREE &&
		    !strcmp(s->rules[i].lane.name, text)) {
			q->rule = s->rules[i].lane.rule_id;
			q->has_rule = true;
			return NULL;
		}
	return "rule: there is none of this name; see /v1/rules";
}

static const char *set_id(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	char rest;

	(void)c;
	q->has_id = true;
	if (sscanf(text, "%" SCNu32 ".%" SCNu32 "%c", &q->id_index, &q->id_generation, &rest) != 2)
		return "id: give the \"id\" of a connection, and its lane";
	return NULL;
}

static const char *set_min_age(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return mr_api_number(text, 0, INT32_MAX, &q->min_age_ms) ? NULL
								 : "min_age_ms: give 0 or more";
}

static const char *set_max_age(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return mr_api_number(text, 1, INT32_MAX, &q->max_age_ms) ? NULL
								 : "max_age_ms: give 1 or more";
}

static const char *set_min_idle(const struct mr_child *c, struct mr_conns_query *q,
				const char *text)
{
	(void)c;
	return mr_api_number(text, 0, INT32_MAX, &q->min_idle_ms) ? NULL
								  : "min_idle_ms: give 0 or more";
}

static const char *set_min_retransmits(const struct mr_child *c, struct mr_conns_query *q,
				       const char *text)
{
	(void)c;
	return mr_api_number(text, 0, UINT16_MAX, &q->min_retransmits)
		       ? NULL
		       : "min_retransmits: give 0 to 65535";
}

static const char *set_fields(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	q->fields = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		int field = mr_conns_field(text, len);

		if (field < 0)
			return "fields: names of members, separated by commas; one of them is none";
		q->fields |= 1ull << field;
		if (!text[len])
			return NULL;
		text += len + 1;
	}
}

static const char *set_format(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	static const char *const names[] = {
		[MR_CONNS_JSON] = "json", [MR_CONNS_LINES] = "lines", [MR_CONNS_TSV] = "tsv"
	};

	(void)c;
	for (uint8_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], text)) {
			q->format = i;
			return NULL;
		}
	return "format: give json, lines or tsv";
}

static bool parse_flag(const char *text, bool *flag)
{
	*flag = !strcmp(text, "yes");
	return *flag || !strcmp(text, "no");
}

/* Read before all others, as it decides what they mean. */
static const char *set_live(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	(void)q;
	return strcmp(text, "yes") ? "live: give yes, or leave it out" : NULL;
}

static const char *set_events(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	(void)c;
	return parse_flag(text, &q->events) ? NULL : "events: give yes or no";
}

static const char *set_min_events(const struct mr_child *c, struct mr_conns_query *q,
				  const char *text)
{
	(void)c;
	return mr_api_number(text, 0, UINT32_MAX, &q->min_events) ? NULL
								  : "min_events: give 0 or more";
}

static const char *set_after(const struct mr_child *c, struct mr_conns_query *q, const char *text)
{
	char rest;

	(void)c;
	if (sscanf(text, "%" SCNu32 ".%" SCNu32 ".%" SCNu32 "%c", &q->after_lane, &q->after_kind,
		   &q->after_index, &rest) != 3)
		return "after: give the \"next\" of the answer before";
	return NULL;
}

enum {
	OF_CONNS = 1 << 0,
	OF_TRACES = 1 << 1,
	OF_BOTH = OF_CONNS | OF_TRACES,
};

static const struct {
	const char *name;
	const char *(*set)(const struct mr_child *c, struct mr_conns_query *q, const char *text);
	unsigned int of;
} parameters[] = {
	{ "lane", set_lane, OF_BOTH },
	{ "limit", set_limit, OF_BOTH },
	{ "after", set_after, OF_BOTH },
	{ "state", set_state, OF_BOTH },
	{ "port", set_port, OF_BOTH },
	{ "remote_port", set_remote_port, OF_BOTH },
	{ "address", set_address, OF_BOTH },
	{ "local", set_local, OF_BOTH },
	{ "remote", set_remote, OF_BOTH },
	{ "rule", set_rule, OF_BOTH },
	{ "id", set_id, OF_BOTH },
	{ "min_age_ms", set_min_age, OF_BOTH },
	{ "max_age_ms", set_max_age, OF_BOTH },
	{ "min_idle_ms", set_min_idle, OF_BOTH },
	{ "min_retransmits", set_min_retransmits, OF_BOTH },
	{ "fields", set_fields, OF_CONNS },
	{ "format", set_format, OF_CONNS },
	{ "live", set_live, OF_TRACES },
	{ "events", set_events, OF_TRACES },
	{ "min_events", set_min_events, OF_TRACES },
};

void mr_conns_query_init(struct mr_conns_query *q)
{
	*q = (struct mr_conns_query){
		.lane = UINT32_MAX, .limit = MR_CONNS_DEFAULT, .state = -1, .port = -1
	};
}

void mr_conns_query_traces(struct mr_conns_query *q)
{
	mr_conns_query_init(q);
	q->traces = true;
	q->min_events = 1;
}

const char *mr_conns_query_set(const struct mr_child *c, struct mr_conns_query *q, const char *name,
			       const char *value)
{
	unsigned int of = q->traces ? OF_TRACES : OF_CONNS;

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
		if (parameters[i].of & of && !strcmp(parameters[i].name, name))
			return parameters[i].set(c, q, value);
	return "there is no such parameter; docs/control-api.md has them";
}

/* ----- is it what was asked for? ----- */

static bool is_in(const struct mr_prefix *p, const uint8_t addr[16])
{
	unsigned int bytes = p->bits / 8, rest = p->bits % 8;

	if (memcmp(p->addr, addr, bytes) != 0)
		return false;
	return !rest || !((p->addr[bytes] ^ addr[bytes]) >> (8 - rest));
}

/* What only a connection has: half-open ones and those in TIME-WAIT have no age. */
static bool conn_wanted(const struct mr_conns_query *q, const struct mr_conns_row *r)
{
	uint32_t age = r->now_ms - r->conn->opened_ms, idle = r->now_ms - r->conn->received_ms;

	if (q->min_age_ms && (age > INT32_MAX || age < q->min_age_ms))
		return false;
	if (q->max_age_ms && age <= INT32_MAX && age > q->max_age_ms)
		return false;
	if (q->min_idle_ms && (idle > INT32_MAX || idle < q->min_idle_ms))
		return false;
	if (q->has_id && (q->id_index != r->index || q->id_generation != r->conn->generation))
		return false;
	return r->conn->retransmits >= q->min_retransmits;
}

static bool needs_conn(const struct mr_conns_query *q)
{
	return q->min_age_ms || q->max_age_ms || q->min_idle_ms || q->min_retransmits || q->has_id;
}

static bool rule_wanted(const struct mr_conns_query *q, const struct mr_conns_row *r)
{
	if (r->conn)
		return r->conn->rule == q->rule;
	return r->half_open && r->half_open->rule == q->rule;
}

bool mr_conns_wanted(const struct mr_conns_query *q, const struct mr_conns_row *r)
{
	if (q->state >= 0 && q->state != r->state)
		return false;
	if (q->port >= 0 && q->port != r->local_port)
		return false;
	if (q->remote_port && q->remote_port != r->remote_port)
		return false;
	if (q->has_rule && !rule_wanted(q, r))
		return false;
	if (!is_in(&q->local, r->local) || !is_in(&q->remote, r->remote))
		return false;
	if (!is_in(&q->address, r->local) && !is_in(&q->address, r->remote))
		return false;
	return r->conn ? conn_wanted(q, r) : !needs_conn(q);
}
