/* SPDX-License-Identifier: MIT */
/* GET /v1/rules and /v1/config. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mr_cc.h"
#include "user/daemon/api.h"
#include "user/daemon/bpf.h"

static json_t *tlv(const struct mr_settings_rule *r)
{
	const struct mr_tlv_settings *t = &r->lane.tlv;

	if (!r->messages)
		return json_null();
	return json_pack("{s:i, s:i, s:s, s:b, s:i, s:s}", "tag_bytes", t->tag_bytes,
			 "length_bytes", t->length_bytes, "order",
			 t->little_endian ? "little" : "big", "length_has_header",
			 t->length_has_header, "max_bytes", (int)t->max_bytes, "check",
			 mr_tlv_check_names()[t->check]);
}

static json_t *tag(const struct mr_heartbeat_settings *h, uint64_t value)
{
	return h->has_ping ? json_integer((json_int_t)value) : json_null();
}

static json_t *heartbeat(const struct mr_settings_rule *r)
{
	const struct mr_heartbeat_settings *h = &r->lane.heartbeat;

	if (!r->messages)
		return json_null();
	return json_pack("{s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:i}", "ping_tag",
			 tag(h, h->ping_tag), "pong_tag", tag(h, h->pong_tag), "idle_ms",
			 (int)h->idle_ms, "partial_ms", (int)h->partial_ms, "ping_ms",
			 (int)h->ping_ms, "pong_ms", (int)h->pong_ms, "handler_ms",
			 (int)h->handler_ms, "send_ms", (int)h->send_ms);
}

static void put_congestion(json_t *o, uint8_t cc, uint8_t ecn)
{
	json_object_set_new(o, "congestion_control", json_string(mr_cc_names()[cc]));
	json_object_set_new(o, "ecn", json_string(mr_ecn_names()[ecn]));
}

enum {
	PREFIXES_SHOWN = 8,
};

static json_t *prefixes(const struct mr_prefixes *s)
{
	json_t *a = json_array();
	char text[64];

	for (uint32_t i = 0; i < s->n && i < PREFIXES_SHOWN; i++)
		json_array_append_new(a, json_string(mr_net_text(&s->list[i], text)));
	return a;
}

static const char *one_text(const struct mr_prefixes *s, char out[64])
{
	if (s->n == 1)
		return mr_net_text(&s->list[0], out);
	return s->given ? "list" : "any";
}

static void put_prefixes(json_t *o, const char *key, const struct mr_prefixes *s)
{
	char text[64], list[32];

	json_object_set_new(o, key, json_string(one_text(s, text)));
	snprintf(list, sizeof(list), "%s_prefixes", key);
	json_object_set_new(o, list, json_integer(s->n));
	if (s->n > 1) {
		snprintf(list, sizeof(list), "%s_first", key);
		json_object_set_new(o, list, prefixes(s));
	}
}

static json_t *port(const struct mr_match *m)
{
	char text[16];

	if (m->port_lo == m->port_hi)
		return json_integer(m->port_lo);
	if (!m->port_lo && m->port_hi == MR_PORT_MOST)
		return json_string("any");
	return json_string(mr_ports_text(m->port_lo, m->port_hi, text));
}

/* What every rule has. */
static json_t *match(const struct mr_settings_rule *r)
{
	const struct mr_match *m = &r->match;
	const char *protocol = m->protocol == IPPROTO_TCP   ? "tcp"
			       : m->protocol == IPPROTO_UDP ? "udp"
							    : "any";
	char text[64];
	json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:o}", "name", r->lane.name, "action",
			      mr_action_names()[r->action], "priority", (int)m->priority, "comment",
			      r->comment, "protocol", protocol, "address",
			      one_text(&m->destination, text), "port", port(m));

	put_prefixes(o, "source", &m->source);
	put_prefixes(o, "destination", &m->destination);
	json_object_set_new(o, "vlan",
			    m->vlan == (uint32_t)MR_VLAN_ANY ? json_string("any")
							     : json_integer(m->vlan));
	json_object_set_new(o, "on", json_string(m->interface[0] ? m->interface : "any"));
	return o;
}

/* What a rule is, and what a rule that steers does. */
static json_t *rule_settings(const struct mr_child *c, const struct mr_settings_rule *r)
{
	const struct mr_lane_rule *l = &r->lane;
	json_t *o = match(r);
	json_t *rest;

	if (r->action != MR_ACTION_STEER)
		return o;
	rest = json_pack("{s:s, s:s, s:i, s:b, s:i, s:i}", "app", l->app, "fallback",
			 r->fallback == MR_FALLBACK_KERNEL ? "kernel" : "none", "backlog",
			 (int)l->backlog, "nodelay", l->nodelay, "ttl", l->ttl, "dscp", l->dscp);
	json_object_update(o, rest);
	json_decref(rest);
	json_object_set_new(o, "directory",
			    l->directory < 0
				    ? json_null()
				    : json_string(c->d->settings.directories[l->directory]));
	put_congestion(o, l->cc, l->ecn);
	json_object_set_new(o, "tlv", tlv(r));
	json_object_set_new(o, "heartbeat", heartbeat(r));
	return o;
}

/* All prefixes with commas between them; "none", which no file has, when there are none. */
static json_t *prefixes_in_file(const struct mr_prefixes *s)
{
	char *text = NULL, one[64];
	size_t bytes;
	json_t *o;
	FILE *out;

	if (!s->n)
		return json_string(s->given ? "none" : "any");
	out = open_memstream(&text, &bytes);
	if (!out)
		return json_null();
	for (uint32_t i = 0; i < s->n; i++)
		fprintf(out, "%s%s", i ? ", " : "", mr_net_text(&s->list[i], one));
	o = fclose(out) == 0 ? json_string(text) : json_null();
	free(text);
	return o;
}

/* The keys of a rule as in the file. */
static json_t *rule_in_file(const struct mr_child *c, const struct mr_settings_rule *r)
{
	static const char *const told[] = {
		"address", "source_prefixes",	   "source_first",
		"on",	   "destination_prefixes", "destination_first",
	};
	json_t *o = rule_settings(c, r);

	for (unsigned int i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		json_object_del(o, told[i]);
	json_object_set_new(o, "source", prefixes_in_file(&r->match.source));
	json_object_set_new(o, "destination", prefixes_in_file(&r->match.destination));
	json_object_set_new(o, "interface",
			    json_string(r->match.interface[0] ? r->match.interface : "any"));
	return o;
}

static void put_counts(struct mr_child *c, json_t *o, uint32_t rule_id)
{
	struct mr_count n = mr_bpf_sum(c->d, MR_MAP_RSTAT, rule_id);

	json_object_set_new(o, "packets", json_integer((json_int_t)n.packets));
	json_object_set_new(o, "bytes", json_integer((json_int_t)n.bytes));
}

static json_t *static_rule(struct mr_child *c, const struct mr_settings_rule *r, uint32_t conns)
{
	json_t *o = rule_settings(c, r);

	json_object_set_new(o, "id", json_integer(r->lane.rule_id));
	json_object_set_new(o, "dynamic", json_false());
	json_object_set_new(o, "leaving", json_boolean(!mr_rule_is_live(r)));
	json_object_set_new(o, "added", json_boolean(r->added));
	json_object_set_new(o, "interface", json_null());
	json_object_set_new(o, "lane", json_null());
	json_object_set_new(o, "connections", json_integer(conns));
	put_counts(c, o, r->lane.rule_id);
	return o;
}

/* The keys that only rules that steer have are null. */
static json_t *filter_rule(struct mr_child *c, const struct mr_settings_rule *r)
{
	static const char *const none[] = {
		"app",	     "fallback",	   "backlog", "nodelay", "ttl",	      "dscp",
		"directory", "congestion_control", "ecn",     "tlv",	 "heartbeat",
	};
	json_t *o = static_rule(c, r, 0);

	for (unsigned int i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		json_object_set_new(o, none[i], json_null());
	return o;
}

static json_t *dynamic_rule(struct mr_child *c, const struct mr_dynamic *y, uint32_t conns)
{
	/* of the rule that asked */
	static const char *const askers[] = { "congestion_control", "ecn", "ttl", "dscp" };
	static const char *const any[] = { "source", "on" };
	const struct mr_lane *l = &c->d->lanes[y->lane];
	char addr[64];
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:n, s:b, s:n, s:n, s:n, "
			      "s:b, s:s, s:i, s:i}",
			      "id", (int)y->rule_id, "name", "listener", "protocol", "tcp",
			      "address", mr_address_text(y->addr, addr), "port", (int)y->port,
			      "vlan", "any", "app", "drill", "fallback", "none", "backlog",
			      "nodelay", 0, "directory", "tlv", "heartbeat", "dynamic", 1,
			      "interface", mr_lane_link(c->d, l)->name, "lane", (int)l->index,
			      "connections", (int)conns);

	for (unsigned int i = 0; i < sizeof(askers) / sizeof(askers[0]); i++)
		json_object_set_new(o, askers[i], json_null());
	for (unsigned int i = 0; i < sizeof(any) / sizeof(any[0]); i++)
		json_object_set_new(o, any[i], json_string("any"));
	json_object_set_new(o, "action", json_string("steer"));
	json_object_set_new(o, "leaving", json_false());
	json_object_set_new(o, "added", json_true());
	json_object_set_new(o, "priority", json_integer(MR_PRIORITY_STEER));
	json_object_set_new(o, "comment", json_string(""));
	json_object_set_new(o, "destination", json_string(addr));
	json_object_set_new(o, "source_prefixes", json_integer(0));
	json_object_set_new(o, "destination_prefixes", json_integer(1));
	put_counts(c, o, y->rule_id);
	return o;
}

json_t *mr_json_rules(struct mr_child *c)
{
	json_t *o = json_pack("{s:i, s:i, s:s}", "v", 1, "generation",
			      (int)c->d->bpf.generation.number, "mode",
			      mr_mode_names()[c->d->settings.mode]);
	uint32_t *conns = calloc(MR_MAX_RULES, sizeof(*conns));
	json_t *a = json_array();

	if (!conns) {
		json_decref(o);
		json_decref(a);
		return NULL;
	}
	mr_conns_count(c, conns);
	for (unsigned int i = 0; i < c->d->settings.n_rules; i++)
		if (c->d->settings.rules[i].lane.state != MR_RULE_FREE)
			json_array_append_new(a,
					      static_rule(c, &c->d->settings.rules[i], conns[i]));
	for (unsigned int i = 0; i < c->d->settings.n_filters; i++)
		json_array_append_new(a, filter_rule(c, &c->d->settings.filters[i]));
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++)
		if (c->dynamic[i].used)
			json_array_append_new(a, dynamic_rule(c, &c->dynamic[i],
							      conns[c->dynamic[i].rule_id]));
	free(conns);
	json_object_set_new(o, "rules", a);
	return o;
}

static json_t *interfaces(const struct mr_settings *s)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < s->n_interfaces; i++) {
		const struct mr_settings_interface *k = &s->interfaces[i];

		json_array_append_new(
			a,
			json_pack("{s:s, s:o, s:s, s:s, s:s, s:b}", "name", k->name, "queues",
				  k->queues ? json_integer(k->queues) : json_string("all"), "mode",
				  mr_attach_mode_name(k->mode), "attach", mr_attach_by_name(k->by),
				  "bind", mr_xsk_bind_name(k->bind), "force", k->force));
	}
	return a;
}

static json_t *cpus(const struct mr_settings_lanes *l)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < l->n_cpus; i++)
		json_array_append_new(a, json_integer(l->cpus[i]));
	return a;
}

static json_t *lanes(const struct mr_settings_lanes *l)
{
	char ports[16];

	return json_pack(
		"{s:I, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:s, s:s}",
		"frames", (json_int_t)l->frames, "frame_bytes",
		l->frame_bytes ? json_integer(l->frame_bytes) : json_null(), "huge_pages",
		l->huge_pages ? "auto" : "never", "connections", (json_int_t)l->connections,
		"half_open", (json_int_t)l->half_open, "time_wait", (json_int_t)l->time_wait,
		"message_bytes", (json_int_t)l->message_bytes, "receive_buffer",
		(json_int_t)l->receive_buffer, "send_buffer", (json_int_t)l->send_buffer,
		"busy_poll_us", (json_int_t)l->busy_poll_us, "coalesce_us",
		(json_int_t)l->coalesce_us, "cpus", cpus(l), "capture_directory",
		l->capture_directory ? json_string(l->capture_directory) : json_null(), "ports",
		l->port_hi ? mr_ports_text(l->port_lo, l->port_hi, ports) : "none", "sockets",
		l->renew_sockets ? "renew" : "auto");
}

static json_t *opening(const struct mr_open_settings *s)
{
	const char *cookies, *overflow, *fast;

	mr_config_open_names(s, &cookies, &overflow, &fast);
	return json_pack("{s:s, s:s, s:i, s:s, s:i, s:{s:I, s:I}}", "syn_cookies", cookies,
			 "overflow", overflow, "syn_ack_retries", (int)s->syn_ack_retries,
			 "fast_open", fast, "fast_open_pending", (int)s->fast_open_pending,
			 "per_source", "connections", (json_int_t)s->source_connections,
			 "half_open", (json_int_t)s->source_half_open);
}

static json_t *tcp(const struct mr_settings_tcp *t)
{
	json_t *all = opening(&t->open);
	json_t *rest = json_pack("{s:b, s:i, s:i, s:i, s:i, s:s, s:{s:b, s:i, s:i, s:i}}", "nagle",
				 t->nagle, "user_timeout_ms", (int)t->user_timeout_ms,
				 "time_wait_ms", (int)t->time_wait_ms, "fin_wait_ms",
				 (int)t->fin_wait_ms, "delayed_ack_ms", (int)t->delayed_ack_ms,
				 "mtu_probing", mr_mtu_probing_name(t->mtu_probing), "keepalive",
				 "enabled", (int)t->keepalive.enabled, "idle_s",
				 (int)t->keepalive.idle_s, "interval_s",
				 (int)t->keepalive.interval_s, "count", (int)t->keepalive.count);

	json_object_update(all, rest);
	json_decref(rest);
	put_congestion(all, t->cc, t->ecn);
	return all;
}

json_t *mr_json_config(struct mr_child *c)
{
	const struct mr_settings *s = &c->d->settings;
	json_t *rules = json_array();

	for (unsigned int i = 0; i < s->n_rules; i++)
		if (mr_rule_is_live(&s->rules[i]))
			json_array_append_new(rules, rule_in_file(c, &s->rules[i]));
	for (unsigned int i = 0; i < s->n_filters; i++)
		json_array_append_new(rules, rule_in_file(c, &s->filters[i]));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:{s:i, s:i}, s:o, s:o, s:o}",
			 "v", 1, "file", s->file, "user", s->user, "run_directory",
			 s->run_directory, "pin_directory", s->pin_directory, "http",
			 s->http ? s->http : "off", "mode", mr_mode_names()[s->mode], "interfaces",
			 interfaces(s), "heartbeat", "stale_ms", (int)s->stale_ms, "grace_ms",
			 (int)s->grace_ms, "lanes", lanes(&s->lanes), "tcp", tcp(&s->tcp), "rules",
			 rules);
}
