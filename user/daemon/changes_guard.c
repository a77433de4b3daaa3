/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/guard: one change of the guard. The body is a JSON object with one of these keys:
 *
 *	{"add": LINES}	{"delete": LINES}  {"load": LINES}	the block list: text, as a file of
 *								guard.block has it
 *	{"limit": {...}}  {"unlimit": {...}}			keys of guard.limits or guard.rules
 *	{"syn": {...}}						guard's own keys that begin so
 *	{"reset": true}						as the configuration has it all
 *
 * "name" may stand beside lines: what they came from, for messages.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/changes.h"
#include "user/daemon/config_guard.h"
#include "user/daemon/config_raw.h"
#include "user/daemon/guard_keep.h"

#define fail mr_change_fail

/* ----- block lists ----- */

/* Why it was refused, by the words that a function left. */
static int refuse(struct mr_change *g, int err, const char *words)
{
	return fail(g,
		    err == -ENOMEM   ? 503
		    : err == -ENOENT ? 404
		    : err == -E2BIG  ? 409
				     : 400,
		    "%s", words);
}

static int read_lines(struct mr_change *g, const json_t *body, const json_t *v,
		      struct mr_blocks *items)
{
	const char *name = json_string_value(json_object_get(body, "name"));
	char error[MR_BLOCK_ERROR_BYTES] = "";
	const char *words;
	int err;

	*items = (struct mr_blocks){ 0 };
	if (!json_is_string(v))
		return fail(g, 400, "want the prefixes as text, one a line");
	err = mr_blocks_parse(items, name ? name : "", json_string_value(v), json_string_length(v),
			      error);
	words = name ? NULL : strchr(error, ' '); /* ":LINE: words" */
	mr_blocks_sort(items);
	return err ? refuse(g, err, words ? words + 1 : error) : 0;
}

static int change_list(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v,
		       int (*run)(struct mr_guard_changes *g, const struct mr_blocks *config,
				  const struct mr_blocks *items, char words[MR_GUARD_WORDS]))
{
	char words[MR_GUARD_WORDS] = "";
	struct mr_blocks items;
	int err = read_lines(g, body, v, &items);

	if (!err && !items.n && run != mr_guard_blocks_load)
		err = fail(g, 400, "there is no prefix in it; write one a line");
	if (!err) {
		err = run(g->guard, &c->d->settings.guard.blocks, &items, words);
		err = err ? refuse(g, err, words) : 0;
	}
	mr_blocks_free(&items);
	return err;
}

static int add(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	return change_list(c, g, body, v, mr_guard_blocks_add);
}

static int delete (struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	return change_list(c, g, body, v, mr_guard_blocks_delete);
}

static int load(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	return change_list(c, g, body, v, mr_guard_blocks_load);
}

/* ----- limits ----- */

/* Keys of an object: numbers, or one text. */
struct key {
	const char *name;
	uint64_t *number; /* where it is to stand */
	uint64_t **given; /* becomes @number */
	char **text;	  /* borrowed; or NULL: a number */
};

static int read_keys(struct mr_change *g, const char *what, const json_t *o, const struct key *keys,
		     size_t n)
{
	const char *name;
	json_t *v;

	if (!json_is_object(o))
		return fail(g, 400, "%s: must be an object", what);
	json_object_foreach((json_t *)o, name, v)
	{
		const struct key *k = keys;

		while (k < keys + n && strcmp(k->name, name))
			k++;
		if (k == keys + n)
			return fail(g, 400, "%s: unknown key \"%.32s\"; see docs/control-api.md",
				    what, name);
		if (k->text && !json_is_string(v))
			return fail(g, 400, "%s.%s: must be text", what, name);
		if (!k->text && (!json_is_integer(v) || json_integer_value(v) < 0))
			return fail(g, 400, "%s.%s: must be a whole number", what, name);
		if (k->text) {
			*k->text = (char *)json_string_value(v);
			continue;
		}
		*k->number = (uint64_t)json_integer_value(v);
		*k->given = k->number;
	}
	return 0;
}

/* As the configuration's own checks have it, without the place in the file. */
static int refuse_config(struct mr_change *g, const char *error)
{
	const char *words = strchr(error, ' ');

	return fail(g, 400, "%s", words ? words + 1 : "out of memory");
}

static int set_rule(struct mr_child *c, struct mr_change *g, const char *rule,
		    const struct mr_guard_limit *l)
{
	struct mr_guard_rule_change r = { .packets = l->packets, .syns = l->syns };
	char words[MR_GUARD_WORDS] = "";
	int err;

	if (strlen(rule) >= sizeof(r.rule))
		return fail(g, 404, "rule: no rule that steers is named \"%.40s...\"", rule);
	strcpy(r.rule, rule);
	err = mr_guard_rule_set(g->guard, &c->d->settings, &r, words);
	return err ? refuse(g, err, words) : 0;
}

static int set_limit(struct mr_child *c, struct mr_change *g, const struct mr_guard_limit *l)
{
	char words[MR_GUARD_WORDS] = "";
	int err = mr_guard_limit_set(g->guard, &c->d->settings, l, words);

	return err ? refuse(g, err, words) : 0;
}

/* What is to be limited, and, but for @gone, how much. */
static int change_limit(struct mr_child *c, struct mr_change *g, const json_t *v, bool gone)
{
	char error[MR_CONFIG_ERROR_BYTES] = "", *rule = NULL;
	struct mr_config_file f = { .name = "", .error = error };
	struct mr_raw_guard_limit raw = { 0 };
	struct mr_raw_rates *r = &raw.rates;
	struct mr_guard_limit limit = { 0 };
	uint64_t number[6];
	const struct key keys[] = {
		{ "rule", NULL, NULL, &rule },
		{ "ipv4_prefix", &number[0], &raw.ipv4_prefix, NULL },
		{ "ipv6_prefix", &number[1], &raw.ipv6_prefix, NULL },
		{ "packets_per_s", &number[2], &r->packets_per_s, NULL },
		{ "packets_burst", &number[3], &r->packets_burst, NULL },
		{ "connections_per_s", &number[4], &r->connections_per_s, NULL },
		{ "connections_burst", &number[5], &r->connections_burst, NULL },
	};
	int err = read_keys(g, "limit", v, keys, gone ? 3 : sizeof(keys) / sizeof(keys[0]));

	if (err)
		return err;
	if (rule && (raw.ipv4_prefix || raw.ipv6_prefix))
		return fail(g, 400,
			    "limit: a rule's is over all sources together; leave the prefix "
			    "lengths out");
	err = mr_config_guard_lengths(&f, "limit", &raw, &limit);
	if (!err && !gone)
		err = mr_config_guard_rates(&f, "limit", r, &limit.packets, &limit.syns);
	if (err)
		return refuse_config(g, error);
	return rule ? set_rule(c, g, rule, &limit) : set_limit(c, g, &limit);
}

static int limit(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	(void)body;
	return change_limit(c, g, v, false);
}

static int unlimit(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	(void)body;
	return change_limit(c, g, v, true);
}

/* ----- SYNs, and all of it ----- */

static int set_syn(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	char error[MR_CONFIG_ERROR_BYTES] = "", words[MR_GUARD_WORDS] = "";
	struct mr_guard_syn syn = mr_guard_syn(&c->d->settings, g->guard);
	struct mr_config_file f = { .name = "", .error = error };
	struct mr_raw_guard raw = { 0 };
	uint64_t number[2];
	const struct key keys[] = {
		{ "syn_cookies", NULL, NULL, &raw.syn_cookies },
		{ "syn_at_percent", &number[0], &raw.syn_at_percent, NULL },
		{ "syn_calm_s", &number[1], &raw.syn_calm_s, NULL },
	};
	int err = read_keys(g, "syn", v, keys, sizeof(keys) / sizeof(keys[0]));

	(void)body;
	if (err)
		return err;
	if (!json_object_size(v))
		return fail(g, 400,
			    "syn: changes nothing; give syn_cookies, syn_at_percent or syn_calm_s");
	if (mr_config_guard_syn(&f, "syn", &raw, &syn))
		return refuse_config(g, error);
	err = mr_guard_syn_set(g->guard, &c->d->settings, &syn, words);
	return err ? refuse(g, err, words) : 0;
}

static int reset(struct mr_child *c, struct mr_change *g, const json_t *body, const json_t *v)
{
	(void)c;
	(void)body;
	if (!json_is_true(v))
		return fail(g, 400, "reset: must be true");
	mr_guard_changes_free(g->guard);
	return 0;
}

static int apply(struct mr_child *c, struct mr_change *g, const json_t *body)
{
	static const struct {
		const char *key;
		int (*run)(struct mr_child *c, struct mr_change *g, const json_t *body,
			   const json_t *v);
	} kinds[] = {
		{ "add", add },	    { "delete", delete },   { "load", load },
		{ "limit", limit }, { "unlimit", unlimit }, { "syn", set_syn },
		{ "reset", reset },
	};
	size_t n = json_object_size(body) - !!json_object_get(body, "name");

	for (size_t i = 0; n == 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *v = json_object_get(body, kinds[i].key);

		if (v)
			return kinds[i].run(c, g, body, v);
	}
	return fail(g, 400,
		    "want one of add, delete, load, limit, unlimit, syn, reset; see "
		    "docs/control-api.md");
}

/* ----- the change ----- */

/* Whatever is wrong is found here, so that the parent only sees what fits. */
static int check(struct mr_child *c, struct mr_change *g)
{
	struct mr_settings_guard next;
	int err = mr_guard_merge(&c->d->settings, g->guard, &next);

	if (err)
		return err == -E2BIG ? fail(g, 409, "guard: more than fits; delete some")
				     : fail(g, 503, "out of memory");
	mr_guard_fini(&next);
	return 0;
}

static int prepare(struct mr_child *c, struct mr_change *g, const json_t *body)
{
	int err;

	g->guard = calloc(1, sizeof(*g->guard));
	if (!g->guard || mr_guard_changes_copy(g->guard, c->d->guard_changes))
		return fail(g, 503, "out of memory");
	err = apply(c, g, body);
	if (!err)
		err = check(c, g);
	if (!err)
		mr_guard_lay(c->d, g->guard);
	return err;
}

static void adopt(struct mr_child *c, struct mr_change *g)
{
	struct mr_guard_syn was = mr_guard_syn(&c->d->settings, c->d->guard_changes);
	struct mr_guard_syn is = mr_guard_syn(&c->d->settings, g->guard);
	struct mr_settings_guard next;

	/* If memory is short the lists that are shown are those of before. */
	if (mr_guard_merge(&c->d->settings, g->guard, &next) == 0) {
		mr_guard_fini(&c->d->guard);
		c->d->guard = next;
	}
	mr_guard_changes_free(c->d->guard_changes);
	*c->d->guard_changes = *g->guard;
	free(g->guard);
	g->guard = NULL;
	if (memcmp(&was, &is, sizeof(is)) != 0)
		for (uint32_t i = 0; i < c->d->n_lanes; i++)
			mr_guard_tell(c, i);
}

static json_t *show(struct mr_child *c)
{
	const struct mr_settings_guard *g = &c->d->guard;

	return json_pack("{s:i, s:i, s:i, s:i}", "v", 1, "blocks", (int)g->blocks.n, "limits",
			 (int)g->limits.n_limits, "rules", (int)g->n_rules);
}

static const char *why(int error)
{
	return strerror(-error);
}

enum MHD_Result mr_change_serve_guard(struct mr_child *c, struct MHD_Connection *http,
				      const char *data, size_t *bytes, void **state)
{
	static const struct mr_change_kind guard = {
		"guard", MR_REQUEST_GUARD, prepare, adopt, show, why,
	};

	return mr_change_serve_kind(c, &guard, http, data, bytes, state);
}

void mr_guard_tell(struct mr_child *c, uint32_t lane)
{
	struct mr_guard_syn syn = mr_guard_syn(&c->d->settings, c->d->guard_changes);
	bool answers = syn.answers == MR_SYN_ANSWERS_ON ||
		       (syn.answers == MR_SYN_ANSWERS_AUTO &&
			!mr_lane_link(c->d, &c->d->lanes[lane])->is_veth);
	struct mr_syn_message m = {
		.head = { MR_WORKER_MAGIC, MR_MSG_SYN, sizeof(m) },
		.answers = answers ? MR_SYN_ANSWERS_ON : MR_SYN_ANSWERS_OFF,
		.at_percent = syn.at_percent,
		.calm_s = syn.calm_s,
	};

	mr_ward_send(c, lane, &m, sizeof(m));
}
