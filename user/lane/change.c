/* SPDX-License-Identifier: MIT */
/*
 * Rules that change while the lane runs. The new ones are made ready beside those in use, and take
 * their place when nothing can fail any more. Connections know their rule by its number: a rule
 * that is as it was keeps it, with all that its application holds; one that leaves stands, without
 * being looked up, until its last connection ends, which the daemon is told.
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rules to come. */
struct next {
	struct lane_rule *rules;
	struct mr_ip_settings *ip;
	uint32_t n;
	struct rule_index index;
};

static bool is_in_use(const struct lane_rule *r)
{
	return r->conns || r->half_open;
}

/* What only says whose connections it gets; those that stand know nothing of it. */
static struct mr_lane_rule without_choice(const struct mr_lane_rule *r)
{
	struct mr_lane_rule out = *r;

	memset(out.addr, 0, sizeof(out.addr));
	memset(&out.source, 0, sizeof(out.source));
	memset(&out.destination, 0, sizeof(out.destination));
	out.vlan = 0;
	out.port = out.port_hi = out.place = 0;
	out.any_family = out.family = out.elsewhere = out.state = 0;
	out.backlog = 0;
	return out;
}

static bool serves_alike(const struct mr_lane_rule *a, const struct mr_lane_rule *b)
{
	struct mr_lane_rule x = without_choice(a), y = without_choice(b);

	return memcmp(&x, &y, sizeof(x)) == 0;
}

/* Does the rule that has the number now go on under it? */
static bool stays(const struct mr_lane *l, uint32_t i, const struct mr_lane_rule *config)
{
	return i < l->n_rules && l->rules[i].app && config->state != MR_RULE_FREE &&
	       serves_alike(l->rules[i].config, config);
}

static int make_one(struct mr_lane *l, struct next *x, uint32_t i,
		    const struct mr_lane_rule *config, char *error, size_t error_bytes)
{
	struct lane_rule *r = &x->rules[i];

	x->ip[i] = (struct mr_ip_settings){ config->ttl, config->dscp };
	if (stays(l, i, config)) {
		*r = l->rules[i];
		r->config = config;
		r->told = false;
		return 0;
	}
	if (i < l->n_rules && is_in_use(&l->rules[i])) {
		snprintf(error, error_bytes, "rule number %u has connections still", i);
		return -EBUSY;
	}
	r->config = config;
	return config->state == MR_RULE_FREE ? 0 : lane_rule_start(l, r, error, error_bytes);
}

/* The first @n of @x; those that stay are the lane's. */
static void stop_new(struct mr_lane *l, struct next *x, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!stays(l, i, x->rules[i].config))
			lane_rule_stop(l, &x->rules[i]);
}

static void free_next(struct next *x)
{
	lane_rule_index_free(&x->index);
	free(x->rules);
	free(x->ip);
}

/* Numbers behind the last new one are free, too. */
static int make(struct mr_lane *l, struct next *x, const struct mr_lane_rule *rules, char *error,
		size_t error_bytes)
{
	uint32_t i = 0;
	int err = 0;

	x->rules = calloc(x->n + 1, sizeof(*x->rules));
	x->ip = calloc(x->n + 1, sizeof(*x->ip));
	if (!x->rules || !x->ip)
		return -ENOMEM;
	for (uint32_t k = x->n; k < l->n_rules; k++)
		if (is_in_use(&l->rules[k])) {
			snprintf(error, error_bytes, "rule number %u has connections still", k);
			return -EBUSY;
		}
	while (!err && i < x->n) {
		err = make_one(l, x, i, &rules[i], error, error_bytes);
		i += !err;
	}
	if (!err)
		err = lane_rule_index_make(&x->index, x->rules, x->n);
	if (err)
		stop_new(l, x, i);
	return err;
}

static void count(struct mr_lane *l, int sign)
{
	l->n_leaving = 0;
	for (uint32_t i = 0; i < l->n_rules; i++) {
		const struct lane_rule *r = &l->rules[i];

		l->stats->listeners += (uint64_t)(sign * (int)lane_rule_is_live(r));
		l->n_leaving += r->app && !lane_rule_is_live(r);
	}
}

static void replace(struct mr_lane *l, struct next *x)
{
	struct next old = { l->rules, l->ip, l->n_rules, l->rule_index };

	count(l, -1);
	for (uint32_t i = 0; i < old.n; i++)
		if (i >= x->n || !stays(l, i, x->rules[i].config))
			lane_rule_stop(l, &old.rules[i]);
	l->rules = x->rules;
	l->ip = x->ip;
	l->tcp.ip = l->ip;
	l->n_rules = x->n;
	l->rule_index = x->index;
	count(l, 1);
	free_next(&old);
}

int mr_lane_rules(struct mr_lane *l, const struct mr_lane_rule *rules, uint32_t n,
		  const struct mr_net *prefixes, char *error, size_t error_bytes)
{
	struct next x = { .n = n };
	int err;

	snprintf(error, error_bytes, "no memory for the rules");
	err = make(l, &x, rules, error, error_bytes);
	if (err) {
		free_next(&x);
		return err;
	}
	replace(l, &x);
	l->s.rules = rules;
	l->s.prefixes = prefixes;
	error[0] = '\0';
	return 0;
}

/* Now and then: what became of the rules that leave. */
void lane_rules_leave(struct mr_lane *l)
{
	if (!l->n_leaving || !l->s.asks || !l->s.asks->rule_ended)
		return;
	for (uint32_t i = 0; i < l->n_rules; i++) {
		struct lane_rule *r = &l->rules[i];

		if (!r->app || lane_rule_is_live(r) || r->told || is_in_use(r))
			continue;
		if (l->s.asks->rule_ended(l->s.asks_arg, i) < 0)
			continue; /* again later */
		r->told = true;
		l->n_leaving--;
	}
}
