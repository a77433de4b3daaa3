/* SPDX-License-Identifier: MIT */
/*
 * POST /v1/rules: one change of the filters or the mode. The body is a JSON object with one key:
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
#include "user/daemon/config_rule.h"
#include "user/daemon/filters.h"
#include "user/daemon/guard_changes.h"

enum {
	BODY_MOST = 64 << 20,
	BODIES_MOST = 160 << 20, /* of all, with the room that they grow into */
	NUMBER_BYTES = 24,
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

/* ----- from JSON to a rule ----- */

/* A copy of what stands in @v as the file would have it: text, a number, a list of prefixes. */
static char *text_of(const json_t *v)
{
	char *text = NULL;
	size_t bytes, i;
	const json_t *one;
	FILE *out;

	if (json_is_string(v))
		return strdup(json_string_value(v));
	out = open_memstream(&text, &bytes);
	if (!out)
		return NULL;
	if (json_is_integer(v))
		fprintf(out, "%lld", (long long)json_integer_value(v));
	json_array_foreach(v, i, one)
	{
		fprintf(out, "%s,", json_is_string(one) ? json_string_value(one) : "?");
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

struct field {
	const char *key;
	char **text;
};

static void free_fields(const struct field *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(*f[i].text);
}

static int read_fields(struct mr_change *g, const json_t *rule, const struct field *f, size_t n)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)rule, key, v)
	{
		size_t i = 0;

		while (i < n && strcmp(f[i].key, key))
			i++;
		if (i == n)
			return fail(g, 400, "rule: unknown key \"%.32s\"", key);
		if (!json_is_string(v) && !json_is_integer(v) && !json_is_array(v))
			return fail(g, 400, "rule: %s must be text, a number or a list", key);
		*f[i].text = text_of(v);
		if (!*f[i].text)
			return fail(g, 503, "out of memory");
	}
	return 0;
}

static int read_priority(struct mr_change *g, const char *text, uint64_t *value,
			 struct mr_raw_rule *raw)
{
	char *end;

	if (!text)
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return fail(g, 400, "priority: \"%.32s\" is not a number", text);
	raw->priority = value;
	return 0;
}

/* As the configuration's own check has it, without the place in the file. */
static int check(struct mr_change *g, struct mr_settings *s, const struct mr_raw_rule *raw,
		 struct mr_settings_rule *out)
{
	char error[MR_CONFIG_ERROR_BYTES] = "";
	struct mr_config_file f = { .name = "", .error = error };
	struct mr_rule_entry e = { .f = &f, .raw = raw, .s = s, .out = out };
	char *words;
	int err;

	if (!raw->name || !raw->action || !strcmp(raw->action, "steer"))
		return fail(g, 400,
			    "a rule needs a name, and an action: pass or drop; rules that steer "
			    "stand in the configuration file, change them there and restart "
			    "millraced");
	if (!raw->name[0])
		return fail(g, 400, "name: is empty; give one");
	err = mr_config_filter(&e);
	if (!err)
		return 0;
	words = strchr(error, ' ');
	return fail(g, 400, "%s", words ? words + 1 : strerror(-err));
}

static int read_rule(struct mr_child *c, struct mr_change *g, const json_t *rule,
		     struct mr_settings_rule *out)
{
	struct mr_raw_rule raw = { 0 };
	char *priority = NULL;
	uint64_t value;
	const struct field f[] = {
		{ "name", &raw.name },		 { "action", &raw.action },
		{ "comment", &raw.comment },	 { "protocol", &raw.protocol },
		{ "source", &raw.source },	 { "destination", &raw.destination },
		{ "port", &raw.port },		 { "vlan", &raw.vlan },
		{ "interface", &raw.interface }, { "priority", &priority },
	};
	const size_t n = sizeof(f) / sizeof(f[0]);
	int err;

	*out = (struct mr_settings_rule){ 0 };
	if (!json_is_object(rule))
		return fail(g, 400, "a rule must be an object");
	err = read_fields(g, rule, f, n);
	if (!err)
		err = read_priority(g, priority, &value, &raw);
	if (!err)
		err = check(g, &c->d->settings, &raw, out);
	if (err)
		mr_match_free(&out->match);
	free_fields(f, n);
	return err;
}

/* ----- the next set ----- */

static struct mr_settings_rule *find(struct mr_filters *f, const char *name)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (!strcmp(f->list[i].lane.name, name))
			return &f->list[i];
	return NULL;
}

static bool has_id(const struct mr_filters *f, uint16_t id)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (f->list[i].lane.rule_id == id)
			return true;
	return false;
}

/* The next free one behind that given last; there are more than rules. */
static uint16_t new_id(const struct mr_child *c, struct mr_filters *f)
{
	uint16_t first = (uint16_t)(c->d->settings.n_rules + MR_MAX_DYNAMIC);

	do
		f->last_id = f->last_id < first || f->last_id == MR_MAX_RULES - 1
				     ? first
				     : (uint16_t)(f->last_id + 1);
	while (has_id(f, f->last_id));
	return f->last_id;
}

static int clashes(struct mr_change *g, const struct mr_settings_rule *r,
		   const struct mr_settings_rule *list, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (&list[i] == r)
			continue;
		if (!strcmp(list[i].lane.name, r->lane.name))
			return fail(g, 409,
				    "rule %s: there is one of this name; replace it, or "
				    "choose another name",
				    r->lane.name);
		if (mr_match_is_equal(&list[i].match, &r->match))
			return fail(g, 409,
				    "rule %s clashes with rule %s: the same priority, and all else "
				    "that they match; change one",
				    r->lane.name, list[i].lane.name);
	}
	return 0;
}

static int check_place(struct mr_child *c, struct mr_change *g, const struct mr_settings_rule *r)
{
	int err = clashes(g, r, c->d->settings.rules, c->d->settings.n_rules);

	return err ? err : clashes(g, r, g->next.list, g->next.n);
}

/* @r is given: it stands in the set then, or is freed. */
static int append(struct mr_child *c, struct mr_change *g, struct mr_settings_rule *r)
{
	struct mr_filters *f = &g->next;
	struct mr_settings_rule *list;
	int err = check_place(c, g, r);

	if (!err && f->n + c->d->settings.n_rules >= MR_RULES_MOST)
		err = fail(g, 409, "rules: %d are all that fit; delete some", MR_RULES_MOST);
	list = err ? NULL : realloc(f->list, (f->n + 1) * sizeof(*list));
	if (!list) {
		mr_match_free(&r->match);
		return err ? err : fail(g, 503, "out of memory");
	}
	f->list = list;
	list[f->n++] = *r;
	return 0;
}

static int add(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	struct mr_settings_rule r;
	int err = read_rule(c, g, v, &r);

	if (err)
		return err;
	r.lane.rule_id = new_id(c, &g->next);
	return append(c, g, &r);
}

static int replace(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	struct mr_settings_rule r, *old;
	int err = read_rule(c, g, v, &r);

	if (err)
		return err;
	old = find(&g->next, r.lane.name);
	if (!old) {
		mr_match_free(&r.match);
		return fail(g, 404, "rule %s: there is none that passes or drops; add it",
			    r.lane.name);
	}
	mr_match_free(&old->match);
	r.lane.rule_id = old->lane.rule_id;
	*old = r;
	return check_place(c, g, old);
}

static int delete (struct mr_child *c, struct mr_change *g, const json_t *v)
{
	const char *name = json_string_value(v);
	struct mr_settings_rule *old = name ? find(&g->next, name) : NULL;

	(void)c;
	if (!old)
		return fail(g, 404, "rule %.32s: there is none that passes or drops",
			    name ? name : "");
	mr_match_free(&old->match);
	*old = g->next.list[--g->next.n];
	return 0;
}

/* All filters anew; one whose name stays keeps its id and what it has counted. */
static int load(struct mr_child *c, struct mr_change *g, const json_t *v)
{
	struct mr_filters old = g->next;
	int err = json_is_array(v) ? 0 : fail(g, 400, "load: must be a list of rules");
	const json_t *one;
	size_t i;

	g->next = (struct mr_filters){ .mode = old.mode, .last_id = old.last_id };
	json_array_foreach(v, i, one)
	{
		struct mr_settings_rule r, *same;

		err = read_rule(c, g, one, &r);
		if (err)
			break;
		same = find(&old, r.lane.name);
		r.lane.rule_id = same ? same->lane.rule_id : new_id(c, &old);
		err = append(c, g, &r);
		if (err)
			break;
		g->next.last_id = old.last_id;
	}
	mr_filters_free(&old);
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
	int err = mr_filters_copy(&g->next, &c->d->settings) ? fail(g, 503, "out of memory") : 0;

	g->next.last_id = c->last_filter_id;
	if (!err)
		err = apply(c, g, o);
	if (!err && mr_filters_lay(c->d, &g->next))
		err = fail(g, 409, "rules: more than %d of them, or %d prefixes", MR_RULES_MOST,
			   MR_PREFIXES_MOST);
	return err;
}

static void adopt_rules(struct mr_child *c, struct mr_change *g)
{
	c->last_filter_id = g->next.last_id;
	mr_filters_adopt(&c->d->settings, &g->next);
}

static json_t *show_rules(struct mr_child *c)
{
	return json_pack("{s:i, s:i, s:s, s:i}", "v", 1, "generation",
			 (int)c->d->bpf.generation.number, "mode",
			 mr_mode_names()[c->d->settings.mode], "rules",
			 (int)(c->d->settings.n_rules + c->d->settings.n_filters));
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
	if (c->change)
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

void mr_change_note(struct mr_child *c, const struct mr_note *n)
{
	struct mr_change *g = c->change;

	if (!g)
		return;
	c->change = NULL;
	if (n->error) {
		fail(g, 500, "%s: cannot be written, all is as before: %s", g->kind->what,
		     g->kind->why(n->error));
	} else {
		g->kind->adopt(c, g);
	}
	g->stage = MR_CHANGE_DONE;
	MHD_resume_connection(g->http);
	MHD_run(c->http); /* its descriptor does not say that somebody goes on */
}

void mr_change_abandon(struct mr_child *c)
{
	const struct mr_note n = { .error = -ECANCELED };

	mr_change_note(c, &n);
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
	mr_filters_free(&g->next);
	if (g->guard)
		mr_guard_changes_free(g->guard);
	free(g->guard);
	free(g->body);
	free(g);
}
