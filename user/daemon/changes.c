/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/rules: one change of the rules or the mode. The body is a JSON object with one key:
 *
 *	{"add": RULE}	{"replace": RULE}   {"delete": "NAME"}	 {"load": [RULE, ...]}
 *	{"mode": "enforce" | "monitor" | "bypass"}
 *
 * The connection is suspended until the parent has answered; one change at a time.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/api.h"
#include "user/daemon/changes.h"
#include "user/daemon/guard_changes.h"
#include "user/daemon/json_rule_read.h"
#include "user/daemon/log.h"

enum {
	BODY_MOST = 64 << 20,
	BODIES_MOST = 160 << 20, /* of all, with the room that they grow into */
};

#define fail mr_change_fail

int mr_change_fail(struct mr_change *g, unsigned int status, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(g->words, sizeof(g->words), fmt, args);
	va_end(args);
	g->status = status;
	return -EINVAL;
}

static int read_rule(struct mr_child *c, struct mr_change *g, const json_t *rule,
		     struct mr_settings_rule *out)
{
	int err = mr_json_rule_read(&c->d->settings, rule, out, g->words);

	if (err)
		g->status = err == -ENOMEM ? 503 : 400;
	return err;
}

/* ----- the next set ----- */

static int clashes(struct mr_change *g, const struct mr_settings_rule *r)
{
	for (unsigned int i = 0; i < g->next.n; i++) {
		const struct mr_settings_rule *other = &g->next.list[i];

		if (other == r)
			continue;
		if (!strcmp(other->lane.name, r->lane.name))
			return fail(g, 409,
				    "rule %s: there is one of this name; replace it, or "
				    "choose another name",
				    r->lane.name);
		if (mr_match_is_equal(&other->match, &r->match))
			return fail(g, 409,
				    "rule %s clashes with rule %s: the same priority, and all else "
				    "that they match; change one",
				    r->lane.name, other->lane.name);
	}
	return 0;
}

static int append(struct mr_change *g, const struct mr_settings_rule *r)
{
	int err = clashes(g, r);

	if (!err && g->next.n >= MR_RULES_MOST)
		err = fail(g, 409, "rules: %d are all that fit; delete some", MR_RULES_MOST);
	if (!err && mr_ruleset_add(&g->next, r))
		err = fail(g, 503, "out of memory");
	return err;
}

static void take_out(struct mr_ruleset *f, struct mr_settings_rule *r)
{
	mr_match_free(&r->match);
	*r = f->list[--f->n];
}

static int add(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	struct mr_settings_rule r;
	int err = read_rule(c, g, v, &r);

	if (err)
		return err;
	err = append(g, &r);
	mr_match_free(&r.match);
	return err;
}

static int replace(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	struct mr_settings_rule r, *old;
	int err = read_rule(c, g, v, &r);

	if (err)
		return err;
	old = mr_ruleset_find(&g->next, r.lane.name);
	if (!old) {
		mr_match_free(&r.match);
		return fail(g, 404, "rule %s: there is none; add it", r.lane.name);
	}
	mr_match_free(&old->match);
	*old = r;
	return clashes(g, old);
}

static int delete (struct mr_child *c, struct mr_change *g, const json_t *v)
{
	const char *name = json_string_value(v);
	struct mr_settings_rule *old = name ? mr_ruleset_find(&g->next, name) : NULL;

	(void)c;
	if (!old)
		return fail(g, 404, "rule %.32s: there is none", name ? name : "");
	take_out(&g->next, old);
	return 0;
}

/* Rules that steer and stand in the file stay, unless the list has one of their name. */
static bool is_loaded(const struct mr_settings_rule *r, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (r->action != MR_ACTION_STEER || r->added)
		return true;
	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (name && !strcmp(name, r->lane.name))
			return true;
	}
	return false;
}

static int load(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	int err = json_is_array(v) ? 0 : fail(g, 400, "load: must be a list of rules");
	const json_t *one;
	size_t i;

	for (unsigned int k = 0; !err && k < g->next.n;)
		if (is_loaded(&g->next.list[k], v))
			take_out(&g->next, &g->next.list[k]);
		else
			k++;
	json_array_foreach(v, i, one)
	{
		if (!err)
			err = add(c, g, one);
	}
	return err;
}

static int set_mode(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	const char *word = json_is_string(v) ? json_string_value(v) : "";

	(void)c;
	for (int i = 0; mr_mode_names()[i]; i++)
		if (!strcmp(mr_mode_names()[i], word)) {
			g->next.mode = (enum mr_mode)i;
			return 0;
		}
	return fail(g, 400, "mode: \"%.32s\" is none of enforce, monitor, bypass", word);
}

static int apply(struct mr_child *c, struct mr_change *g, const json_t *o)
{
	static const struct {
		const char *key;
		int (*run)(struct mr_child *c, struct mr_change *g, const json_t *v);
	} kinds[] = {
		{ "add", add },	  { "replace", replace }, { "delete", delete },
		{ "load", load }, { "mode", set_mode },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *v = json_object_get(o, kinds[i].key);

		if (v && json_object_size(o) == 1)
			return kinds[i].run(c, g, v);
	}
	return fail(g, 400,
		    "want one of add, replace, delete, load, mode; see docs/control-api.md");
}

/* ----- request and answer ----- */

static int prepare_rules(struct mr_child *c, struct mr_change *g, const json_t *o)
{
	int err = mr_ruleset_copy(&g->next, &c->d->settings, false) ? fail(g, 503, "out of memory")
								    : 0;

	if (!err)
		err = apply(c, g, o);
	if (!err && mr_ruleset_lay(c->d->rules_room, &c->d->settings, &g->next))
		err = fail(g, 409, "rules: more than %d of them, or %d prefixes", MR_RULES_MOST,
			   MR_PREFIXES_MOST);
	return err;
}

/* mr_change_rules() has it done. */
static void adopt_rules(struct mr_child *c, struct mr_change *g)
{
	(void)c, (void)g;
}

static json_t *show_rules(struct mr_child *c)
{
	return json_pack("{s:i, s:i, s:s, s:i}", "v", 1, "generation",
			 (int)c->d->bpf.generation.number, "mode",
			 mr_mode_names()[c->d->settings.mode], "rules",
			 (int)(mr_rules_live(&c->d->settings) + c->d->settings.n_filters));
}

static const char *why_rules(int error)
{
	return error == -E2BIG ? "too many different combinations of them" : strerror(-error);
}

static const struct mr_change_kind rules = {
	"rules", MR_REQUEST_RULES, prepare_rules, adopt_rules, show_rules, why_rules,
};

static int prepare(struct mr_child *c, struct mr_change *g)
{
	json_error_t error;
	json_t *o;
	int err;

	if (g->too_long)
		return fail(g, 413, "body: longer than %d MiB; use a file of the configuration",
			    BODY_MOST >> 20);
	if (g->no_room)
		return fail(g, 503, "too many large bodies at once; try again");
	o = json_loadb(g->body ? g->body : "", g->bytes, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		return fail(g, 400, "body: no JSON: %s", error.text);
	err = g->kind->prepare(c, g, o);
	json_decref(o);
	return err;
}

static enum MHD_Result answer(struct mr_child *c, struct mr_change *g)
{
	if (g->status)
		return mr_api_reply(g->http, g->status,
				    json_pack("{s:i, s:s}", "v", 1, "error", g->words));
	return mr_api_reply(g->http, 200, g->kind->shown(c));
}

/* All bodies that are being read share a bound: one of the greatest fits, or many small ones. */
static bool has_room(const struct mr_child *c, size_t more)
{
	for (const struct mr_change *g = c->changes; g; g = g->next_one)
		more += g->room;
	return more <= BODIES_MOST;
}

/* What there is no room for is read past, and the answer says so. */
static void collect(const struct mr_child *c, struct mr_change *g, const char *data, size_t bytes)
{
	if (bytes > BODY_MOST - g->bytes)
		g->too_long = true;
	if (g->too_long || g->no_room)
		return;
	if (bytes > g->room - g->bytes) {
		size_t room = 2 * (g->bytes + bytes);
		char *body = has_room(c, room - g->room) ? realloc(g->body, room) : NULL;

		if (!body) {
			g->no_room = true;
			return;
		}
		g->body = body;
		g->room = room;
	}
	memcpy(g->body + g->bytes, data, bytes);
	g->bytes += bytes;
}

enum MHD_Result mr_change_serve(struct mr_child *c, struct MHD_Connection *http, const char *data,
				size_t *bytes, void **state)
{
	return mr_change_serve_kind(c, &rules, http, data, bytes, state);
}

enum MHD_Result mr_change_serve_kind(struct mr_child *c, const struct mr_change_kind *kind,
				     struct MHD_Connection *http, const char *data, size_t *bytes,
				     void **state)
{
	struct mr_request q = { .type = kind->request };
	struct mr_change *g = *state;

	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return MHD_NO;
		g->kind = kind;
		g->http = http;
		g->next_one = c->changes;
		*state = c->changes = g;
		return MHD_YES;
	}
	if (*bytes) {
		collect(c, g, data, *bytes);
		*bytes = 0;
		return MHD_YES;
	}
	if (g->stage == MR_CHANGE_DONE)
		return answer(c, g);
	if (c->change || c->agree.asked)
		fail(g, 409, "another change is being made; try again");
	else if (prepare(c, g) == 0) {
		g->stage = MR_CHANGE_ASKED;
		c->change = g;
		MHD_suspend_connection(http);
		mr_child_ask(c, &q);
		return MHD_YES;
	}
	return answer(c, g);
}

/* What the parent has put in force; the words of that memory are its own. */
static int take_rules(struct mr_daemon *d)
{
	struct mr_settings_guard guard;
	struct mr_ruleset f;
	int err = mr_ruleset_take(d->rules_shown, &d->settings, true, &f);

	if (!err)
		err = mr_ruleset_install(&d->settings, &f);
	mr_ruleset_free(&f);
	if (!err)
		err = mr_guard_merge(&d->settings, d->guard_changes, &guard);
	if (err)
		return err;
	mr_guard_fini(&d->guard);
	d->guard = guard;
	return 0;
}

void mr_change_rules(struct mr_child *c, const struct mr_note *n)
{
	int err = n->error ? 0 : take_rules(c->d);

	if (err)
		mr_warn("rules: what is shown of them is what was: %s", strerror(-err));
	if (!n->status && c->change && c->change->kind == &rules)
		mr_change_note(c, n);
}

static void finish(struct mr_child *c, struct mr_change *g)
{
	c->change = NULL;
	g->stage = MR_CHANGE_DONE;
	MHD_resume_connection(g->http);
	MHD_run(c->http); /* its descriptor does not say that somebody goes on */
}

void mr_change_note(struct mr_child *c, const struct mr_note *n)
{
	struct mr_change *g = c->change;

	if (!g)
		return;
	if (n->error)
		fail(g, n->error == -EINVAL ? 500 : 409, "%s; nothing has changed",
		     n->words[0] ? n->words : g->kind->why(n->error));
	else
		g->kind->adopt(c, g);
	finish(c, g);
}

/* The parent may have done it, or do it yet: that is not known here. */
void mr_change_abandon(struct mr_child *c)
{
	struct mr_change *g = c->change;

	if (!g)
		return;
	fail(g, 503, "the control process ends before the outcome is known; see millrace %s list",
	     g->kind == &rules ? "rule" : "guard");
	finish(c, g);
}

void mr_change_completed(struct mr_child *c, const void *state)
{
	struct mr_change **at = &c->changes, *g;

	while (*at && *at != state)
		at = &(*at)->next_one;
	g = *at;
	if (!g)
		return;
	*at = g->next_one;
	if (c->change == g)
		c->change = NULL;
	mr_ruleset_free(&g->next);
	if (g->guard)
		mr_guard_changes_free(g->guard);
	free(g->guard);
	free(g->body);
	free(g);
}
