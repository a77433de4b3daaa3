/* SPDX-License-Identifier: MIT */
/*
 * Who listens: the rules of the configuration, on every lane alike, and ports that an application
 * asked for, which the lane of the asking connection owns (the others send their SYNs there).
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mr_app *app_named(const struct mr_lane *l, const char *name, uint32_t *index)
{
	for (unsigned int i = 0; i < l->s.n_apps; i++) {
		if (strncmp(l->s.apps[i]->name, name, MR_APP_NAME_BYTES) == 0) {
			*index = i < MR_LANE_APPS ? i : MR_LANE_APPS - 1;
			return l->s.apps[i];
		}
	}
	*index = MR_LANE_APPS - 1;
	if (strncmp(lane_attached_app.name, name, MR_APP_NAME_BYTES) == 0)
		return &lane_attached_app;
	return NULL;
}

static void read_settings(struct lane_rule *r)
{
	const struct mr_tlv_settings *t = &r->config->tlv;
	const struct mr_heartbeat_settings *h = &r->config->heartbeat;
	const uint32_t limits[] = { h->idle_ms, h->partial_ms, h->ping_ms,
				    h->pong_ms, h->handler_ms, h->send_ms };

	r->format = (struct mr_tlv_format){
		.tag_bytes = t->tag_bytes,
		.length_bytes = t->length_bytes,
		.little_endian = t->little_endian,
		.length_has_header = t->length_has_header,
		.max_bytes = t->max_bytes,
		.check = t->check,
	};
	r->plain_messages = r->app->messages && r->format.check == MR_TLV_CHECK_NONE &&
			    mr_tlv_is_default_layout(&r->format);
	r->heartbeat = (struct mr_heartbeat_config){
		.has_ping = h->has_ping,
		.ping_tag = h->ping_tag,
		.pong_tag = h->pong_tag,
		.idle_ms = h->idle_ms,
		.partial_ms = h->partial_ms,
		.ping_ms = h->ping_ms,
		.pong_ms = h->pong_ms,
		.handler_ms = h->handler_ms,
		.send_ms = h->send_ms,
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i] && (!r->shortest_ms || limits[i] < r->shortest_ms))
			r->shortest_ms = limits[i];
}

int lane_rule_start(struct mr_lane *l, struct lane_rule *r, char *error, size_t error_bytes)
{
	const struct mr_lane_rule *config = r->config;
	struct mr_app_args args = {
		.directory = config->directory >= 0 ? l->s.directories[config->directory] : -1,
		.lane = l->s.lane,
	};
	const char *wrong;
	int err;

	r->app = app_named(l, config->app, &r->app_index);
	if (!r->app) {
		snprintf(error, error_bytes, "rule %.*s: no application is called %.*s",
			 MR_RULE_NAME_BYTES, config->name, MR_APP_NAME_BYTES, config->app);
		return -ENOENT;
	}
	if (r->app->conn_bytes > MR_APP_STATE_BYTES) {
		snprintf(error, error_bytes,
			 "rule %.*s: application %s keeps %zu bytes of a "
			 "connection, %d are possible",
			 MR_RULE_NAME_BYTES, config->name, r->app->name, r->app->conn_bytes,
			 MR_APP_STATE_BYTES);
		return -EMSGSIZE;
	}
	read_settings(r);
	wrong = r->app->messages ? mr_tlv_format_check(&r->format) : NULL;
	if (!wrong && r->app->messages)
		wrong = mr_heartbeat_config_check(&r->heartbeat, &r->format);
	if (wrong) {
		snprintf(error, error_bytes, "rule %.*s: %s", MR_RULE_NAME_BYTES, config->name,
			 wrong);
		return -EINVAL;
	}
	r->name = strndup(config->name, MR_RULE_NAME_BYTES - 1);
	args.rule_name = r->name;
	if (!r->name)
		err = -ENOMEM;
	else
		err = r->app->start ? r->app->start(mr_lane_host(l), &args, &r->state) : 0;
	if (err >= 0)
		return 0;
	snprintf(error, error_bytes, "rule %.*s: application %s does not start: %s",
		 MR_RULE_NAME_BYTES, config->name, r->app->name, strerror(-err));
	free(r->name);
	r->name = NULL;
	r->app = NULL;
	return err;
}

void lane_rule_stop(struct mr_lane *l, struct lane_rule *r)
{
	if (r->app && r->app->stop)
		r->app->stop(mr_lane_host(l), r->state);
	free(r->name);
	r->name = NULL;
	r->app = NULL;
}

/* Of whatever application a rule may have later: states that stand keep their places. */
static void size_states(struct mr_lane *l)
{
	l->state_bytes = (uint32_t)(lane_attached_app.conn_bytes + 7) & ~7u;
	for (unsigned int i = 0; i < l->s.n_apps; i++) {
		size_t bytes = l->s.apps[i]->conn_bytes;

		if (bytes > l->state_bytes && bytes <= MR_APP_STATE_BYTES)
			l->state_bytes = (uint32_t)(bytes + 7) & ~7u;
	}
}

int lane_rules_init(struct mr_lane *l, char *error, size_t error_bytes)
{
	size_states(l);
	l->n_rules = l->s.config->n_rules;
	l->rules = calloc(l->n_rules + 1, sizeof(*l->rules));
	l->ip = calloc(l->n_rules + 1, sizeof(*l->ip));
	l->tcp.ip = l->ip;
	if (!l->rules || !l->ip)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->n_rules; i++) {
		struct lane_rule *r = &l->rules[i];
		int err;

		r->config = &l->s.rules[i];
		if (r->config->state == MR_RULE_FREE)
			continue;
		l->ip[i] = (struct mr_ip_settings){ r->config->ttl, r->config->dscp };
		err = lane_rule_start(l, r, error, error_bytes);
		if (err < 0) {
			r->failed = true;
			l->n_rules = i;
			return err;
		}
		l->stats->listeners += lane_rule_is_live(r);
		l->n_leaving += !lane_rule_is_live(r);
	}
	return lane_rule_index_make(&l->rule_index, l->rules, l->n_rules);
}

void lane_rules_fini(struct mr_lane *l)
{
	for (uint32_t i = 0; i < l->n_rules; i++)
		lane_rule_stop(l, &l->rules[i]);
	lane_rule_index_free(&l->rule_index);
	free(l->rules);
	free(l->ip);
}

/* ----- asked listeners ----- */

struct listener *lane_listener_at(struct mr_lane *l, const uint8_t addr[16], uint16_t port)
{
	for (uint32_t i = 0; i < l->n_listeners; i++) {
		struct listener *x = &l->listener[i];

		if (x->used && x->port == port && memcmp(x->addr, addr, 16) == 0)
			return x;
	}
	return NULL;
}

struct listener *lane_listener_for(struct mr_lane *l, const struct mr_segment *seg)
{
	struct listener *x;

	if (!l->n_listeners)
		return NULL;
	x = lane_listener_at(l, seg->tuple.local, mr_be16(seg->tuple.local_port));
	return x && !x->asked ? x : NULL;
}

static struct listener *free_listener(struct mr_lane *l)
{
	for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
		if (l->listener[i].used)
			continue;
		if (i >= l->n_listeners)
			l->n_listeners = i + 1;
		return &l->listener[i];
	}
	return NULL;
}

static void forget(struct mr_lane *l, struct listener *x)
{
	x->used = false;
	l->hand->listening[x - l->listener] = 0;
}

int lane_listen(struct mr_lane *l, struct mr_conn *c, uint16_t port, unsigned int backlog,
		void (*answer)(struct mr_host *h, mr_conn_id c, int error))
{
	struct listener *x;
	int err;

	if (!port || !backlog || backlog > UINT16_MAX)
		return -EINVAL;
	if (lane_listener_at(l, c->local, port))
		return -EADDRINUSE;
	if (!l->s.asks || !l->s.asks->listen)
		return -EOPNOTSUPP;
	x = free_listener(l);
	if (!x)
		return -ENOSPC;
	*x = (struct listener){
		.used = true,
		.asked = true,
		.port = port,
		.owner_lane = l->s.lane,
		.conn = conn_id(l, c),
		.rule = c->rule,
		.backlog = backlog,
		.answer = answer,
	};
	memcpy(x->addr, c->local, sizeof(x->addr));
	err = l->s.asks->listen(l->s.asks_arg, (uint64_t)(x - l->listener), x->addr, port);
	if (err < 0)
		x->used = false;
	else
		l->hand->listening[x - l->listener] = x->conn;
	return err;
}

void mr_lane_listen_answer(struct mr_lane *l, uint64_t cookie, int error)
{
	struct listener *x = cookie < LISTENERS_MAX ? &l->listener[cookie] : NULL;
	struct mr_conn *c;
	uint64_t start;

	if (!x || !x->used || !x->asked)
		return;
	x->asked = false;
	c = lane_conn_find(l, x->conn);
	if (error < 0)
		forget(l, x);
	else
		l->stats->listeners++;
	if (!c) { /* who asked is gone */
		if (error >= 0)
			lane_listener_drop(l, NULL);
		return;
	}
	lane_hold(l, conn_index(l, c));
	lane_callback_begin(l, &start);
	x->answer(mr_lane_host(l), x->conn, error);
	lane_callback_end(l, rule_of(l, c), start);
	lane_ready(l, c);
}

/* News of the daemon: another lane of the interface listens, or no longer. */
void mr_lane_listener(struct mr_lane *l, const uint8_t addr[16], uint16_t port, uint32_t owner,
		      bool on)
{
	struct listener *x = lane_listener_at(l, addr, port);

	if (owner == l->s.lane)
		return;
	if (!on) {
		if (x && x->owner_lane == owner)
			x->used = false;
		return;
	}
	if (!x)
		x = free_listener(l);
	if (!x)
		return;
	*x = (struct listener){ .used = true, .port = port, .owner_lane = owner };
	memcpy(x->addr, addr, sizeof(x->addr));
}

/* Connections that nobody accepted go with their listener. */
static void reset_waiting(struct mr_lane *l, const struct listener *x)
{
	for (uint32_t i = 0; i < l->header->conns_used && l->stats->accept_queue; i++) {
		struct mr_conn *c = &l->conns[i];

		if (c->state != MR_CLOSED && c->flags & MR_CONN_IN_ACCEPT &&
		    mr_be16(c->local_port) == x->port && memcmp(c->local, x->addr, 16) == 0)
			mr_tcp_abort_call(&l->tcp, c, MR_CLOSE_ABORTED);
	}
}

/* The connection that asked for listeners ends, and they with it; NULL: all whose owner is gone. */
void lane_listener_drop(struct mr_lane *l, struct mr_conn *c)
{
	for (uint32_t i = 0; i < l->n_listeners; i++) {
		struct listener *x = &l->listener[i];

		if (!x->used || x->asked || x->owner_lane != l->s.lane)
			continue;
		if (c ? x->conn != conn_id(l, c) : lane_conn_find(l, x->conn) != NULL)
			continue;
		lane_halves_drop(l, x->addr, x->port);
		reset_waiting(l, x);
		l->s.asks->unlisten(l->s.asks_arg, x->addr, x->port);
		forget(l, x);
		l->stats->listeners--;
	}
}
