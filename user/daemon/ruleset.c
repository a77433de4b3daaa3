/* SPDX-License-Identifier: MIT */
#include "user/daemon/ruleset.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shared/mr_cc.h"
#include "user/daemon/config_rule.h"
#include "user/daemon/log.h"

enum {
	NO_NUMBER = UINT16_MAX,
};

int mr_ruleset_room(struct mr_daemon *d)
{
	/* Pages that nobody writes cost nothing. */
	void *p = mmap(NULL, 2 * sizeof(struct mr_rules_room), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return mr_fail(d, -errno, "rules: no memory to change them: %s", strerror(errno));
	d->rules_room = p;
	d->rules_shown = d->rules_room + 1;
	return 0;
}

void mr_ruleset_free(struct mr_ruleset *f)
{
	mr_rules_free(f->list, f->n);
	*f = (struct mr_ruleset){ 0 };
}

/* ----- one rule ----- */

bool mr_rule_is_live(const struct mr_settings_rule *r)
{
	return r->lane.state == MR_RULE_LIVE;
}

void mr_rule_leave(struct mr_settings_rule *r)
{
	r->lane.state = MR_RULE_LEAVING;
	r->match.priority = MR_PRIORITY_LEAVING;
}

/* What only says whose connections it gets; those that stand know nothing of it. */
static struct mr_lane_rule without_choice(const struct mr_lane_rule *r)
{
	struct mr_lane_rule out = *r;

	memset(out.addr, 0, sizeof(out.addr));
	memset(&out.source, 0, sizeof(out.source));
	memset(&out.destination, 0, sizeof(out.destination));
	out.vlan = 0;
	out.port = out.port_hi = out.place = out.rule_id = 0;
	out.any_family = out.family = out.elsewhere = out.state = 0;
	out.backlog = 0;
	return out;
}

bool mr_rule_serves_alike(const struct mr_lane_rule *a, const struct mr_lane_rule *b)
{
	struct mr_lane_rule x = without_choice(a), y = without_choice(b);

	return memcmp(&x, &y, sizeof(x)) == 0;
}

static int copy_prefixes(struct mr_prefixes *to, const struct mr_net *list, uint32_t n)
{
	to->list = NULL;
	to->room = to->n = 0;
	if (!n)
		return 0;
	to->list = malloc(n * sizeof(*list));
	if (!to->list)
		return -ENOMEM;
	memcpy(to->list, list, n * sizeof(*list));
	to->room = to->n = n;
	return 0;
}

static int copy_rule(struct mr_settings_rule *to, const struct mr_settings_rule *from)
{
	const struct mr_match *m = &from->match;
	int err;

	*to = *from;
	to->match.destination.list = NULL;
	to->match.destination.n = 0;
	err = copy_prefixes(&to->match.source, m->source.list, m->source.n);
	if (!err)
		err = copy_prefixes(&to->match.destination, m->destination.list, m->destination.n);
	if (err)
		mr_match_free(&to->match);
	return err;
}

/* ----- sets and settings ----- */

struct mr_settings_rule *mr_ruleset_find(const struct mr_ruleset *f, const char *name)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (mr_rule_is_live(&f->list[i]) && !strcmp(f->list[i].lane.name, name))
			return &f->list[i];
	return NULL;
}

int mr_ruleset_add(struct mr_ruleset *f, const struct mr_settings_rule *r)
{
	struct mr_settings_rule *list = realloc(f->list, (f->n + 1) * sizeof(*list));
	int err;

	if (!list)
		return -ENOMEM;
	f->list = list;
	err = copy_rule(&list[f->n], r);
	f->n += !err;
	return err;
}

int mr_ruleset_copy(struct mr_ruleset *f, const struct mr_settings *s, bool leaving)
{
	int err = 0;

	*f = (struct mr_ruleset){ .mode = s->mode,
				  .last_filter = s->last_filter,
				  .file = s->rules_in_file };
	for (unsigned int i = 0; !err && i < s->n_rules; i++)
		if (mr_rule_is_live(&s->rules[i]) ||
		    (leaving && s->rules[i].lane.state == MR_RULE_LEAVING))
			err = mr_ruleset_add(f, &s->rules[i]);
	for (unsigned int i = 0; !err && i < s->n_filters; i++)
		err = mr_ruleset_add(f, &s->filters[i]);
	if (err)
		mr_ruleset_free(f);
	return err;
}

void mr_ruleset_swap(struct mr_settings *a, struct mr_settings *b)
{
	struct mr_settings was = *a;

#define TAKE(to, from)                                                                             \
	(to)->rules = (from)->rules;                                                               \
	(to)->n_rules = (from)->n_rules;                                                           \
	(to)->filters = (from)->filters;                                                           \
	(to)->n_filters = (from)->n_filters;                                                       \
	(to)->mode = (from)->mode;                                                                 \
	(to)->last_filter = (from)->last_filter;                                                   \
	(to)->rules_in_file = (from)->rules_in_file
	TAKE(a, b);
	TAKE(b, &was);
#undef TAKE
}

static unsigned int highest_number(const struct mr_ruleset *f)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < f->n; i++)
		if (f->list[i].action == MR_ACTION_STEER && f->list[i].lane.rule_id >= n)
			n = f->list[i].lane.rule_id + 1u;
	return n;
}

static uint32_t live_number(const struct mr_settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->n_rules; i++)
		if (mr_rule_is_live(&s->rules[i]) && !strcmp(s->rules[i].lane.name, name))
			return i;
	return UINT32_MAX;
}

void mr_ruleset_follow(struct mr_settings *s, const struct mr_settings *was)
{
	struct mr_settings_guard_rule *g = s->guard.rules;
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->guard.n_rules; i++) {
		uint32_t number = live_number(s, was->rules[g[i].rule].lane.name);

		if (number == UINT32_MAX && g[i].rule < s->n_rules &&
		    s->rules[g[i].rule].lane.state == MR_RULE_LEAVING)
			number = g[i].rule;
		if (number == UINT32_MAX)
			continue;
		g[n] = g[i];
		g[n++].rule = number;
	}
	s->guard.n_rules = n;
}

void mr_ruleset_follow_file(struct mr_settings *file, const struct mr_settings *next)
{
	struct mr_settings with = *next;

	with.guard = file->guard;
	mr_ruleset_follow(&with, file);
	file->guard = with.guard;
}

int mr_ruleset_install(struct mr_settings *s, struct mr_ruleset *f)
{
	struct mr_settings to = {
		.n_rules = highest_number(f),
		.mode = f->mode,
		.last_filter = f->last_filter,
		.rules_in_file = f->file,
	};

	to.rules = calloc(to.n_rules + 1, sizeof(*to.rules));
	to.filters = calloc(f->n + 1, sizeof(*to.filters));
	if (!to.rules || !to.filters) {
		free(to.rules);
		free(to.filters);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < to.n_rules; i++) {
		to.rules[i].lane.state = MR_RULE_FREE;
		to.rules[i].lane.rule_id = (uint16_t)i;
		to.rules[i].lane.directory = -1;
	}
	for (unsigned int i = 0; i < f->n; i++)
		if (f->list[i].action == MR_ACTION_STEER)
			to.rules[f->list[i].lane.rule_id] = f->list[i];
		else
			to.filters[to.n_filters++] = f->list[i];
	mr_ruleset_swap(s, &to);
	mr_ruleset_follow(s, &to);
	mr_rules_free(to.rules, to.n_rules);
	mr_rules_free(to.filters, to.n_filters);
	free(f->list);
	*f = (struct mr_ruleset){ 0 };
	return 0;
}

/* ----- numbers ----- */

struct numbers {
	bool taken[MR_RULES_MOST]; /* now or next */
	bool kept[MR_RULES_MOST];
};

/* The same frames; which rule comes first is another matter. */
static bool names_alike(const struct mr_settings_rule *a, const struct mr_settings_rule *b)
{
	struct mr_match m = a->match;

	m.priority = b->match.priority;
	return mr_match_is_equal(&m, &b->match);
}

static uint16_t old_number(const struct mr_ruleset *now, const struct mr_settings_rule *r)
{
	const struct mr_settings_rule *old = mr_ruleset_find(now, r->lane.name);
	bool steers = r->action == MR_ACTION_STEER;

	if (!old || (old->action == MR_ACTION_STEER) != steers)
		return NO_NUMBER;
	if (steers && (!mr_rule_serves_alike(&old->lane, &r->lane) || !names_alike(old, r)))
		return NO_NUMBER;
	return old->lane.rule_id;
}

/* From the bottom for lanes, whose lists are as long as the highest one. */
static uint16_t new_number(const struct numbers *n, const struct mr_settings_rule *r,
			   uint16_t *last_filter)
{
	if (r->action == MR_ACTION_STEER) {
		for (uint16_t i = 0; i < MR_RULES_MOST; i++)
			if (!n->taken[i])
				return i;
		return NO_NUMBER;
	}
	/* The next free one below that given last: used again as late as can be. */
	for (unsigned int i = 0; i < MR_RULES_MOST; i++) {
		*last_filter = *last_filter && *last_filter < MR_RULES_MOST
				       ? (uint16_t)(*last_filter - 1)
				       : MR_RULES_MOST - 1;
		if (!n->taken[*last_filter])
			return *last_filter;
	}
	return NO_NUMBER;
}

static int add_leaving(struct mr_ruleset *next, const struct mr_ruleset *now,
		       const struct numbers *n)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < now->n; i++) {
		const struct mr_settings_rule *r = &now->list[i];

		if (r->action != MR_ACTION_STEER || n->kept[r->lane.rule_id])
			continue;
		err = mr_ruleset_add(next, r);
		if (!err)
			mr_rule_leave(&next->list[next->n - 1]);
	}
	return err;
}

static int number_all(struct mr_ruleset *next, const struct mr_ruleset *now, struct numbers *n)
{
	for (unsigned int i = 0; i < now->n; i++)
		n->taken[now->list[i].lane.rule_id] = true;
	for (unsigned int i = 0; i < next->n; i++) {
		struct mr_settings_rule *r = &next->list[i];

		r->lane.rule_id = old_number(now, r);
		if (r->lane.rule_id != NO_NUMBER)
			n->kept[r->lane.rule_id] = true;
	}
	for (unsigned int i = 0; i < next->n; i++) {
		struct mr_settings_rule *r = &next->list[i];

		if (r->lane.rule_id != NO_NUMBER)
			continue;
		r->lane.rule_id = new_number(n, r, &next->last_filter);
		if (r->lane.rule_id == NO_NUMBER)
			return -ENOSPC;
		n->taken[r->lane.rule_id] = true;
	}
	return add_leaving(next, now, n);
}

int mr_ruleset_number(struct mr_ruleset *next, const struct mr_ruleset *now)
{
	struct numbers *n = calloc(1, sizeof(*n));
	int err = n ? number_all(next, now, n) : -ENOMEM;

	free(n);
	return err;
}

/* ----- is it the same? ----- */

static uint64_t digest(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n--)
		h = (h ^ *p++) * 0x100000001b3;
	return h;
}

static uint64_t digest_text(const char *text)
{
	return digest(0xcbf29ce484222325, text, strlen(text));
}

static uint64_t digest_prefixes(uint64_t h, const struct mr_prefixes *s)
{
	h = digest(h, &s->given, sizeof(s->given));
	return digest(h, s->list, s->n * sizeof(*s->list));
}

static uint64_t digest_rule(const struct mr_settings *s, uint64_t h,
			    const struct mr_settings_rule *r)
{
	const struct mr_match *m = &r->match;
	const uint32_t numbers[] = { m->priority,	   m->protocol, m->port_lo,
				     m->port_hi,	   m->vlan,	(uint32_t)r->action,
				     (uint32_t)r->fallback };
	struct mr_lane_rule lane = r->lane;

	lane.rule_id = 0;
	h = digest(h, &lane, sizeof(lane));
	h = digest(h, numbers, sizeof(numbers));
	h = digest(h, m->interface, sizeof(m->interface));
	h = digest(h, r->comment, strlen(r->comment) + 1);
	h = digest_prefixes(h, &m->source);
	h = digest_prefixes(h, &m->destination);
	return lane.directory < 0 ? h : h ^ digest_text(s->directories[lane.directory]);
}

uint64_t mr_ruleset_digest(const struct mr_settings *s)
{
	uint64_t h = digest(0xcbf29ce484222325, &s->mode, sizeof(s->mode));

	for (unsigned int i = 0; i < s->n_rules; i++)
		h = digest_rule(s, h, &s->rules[i]);
	for (unsigned int i = 0; i < s->n_filters; i++)
		h = digest_rule(s, h, &s->filters[i]);
	return h;
}

/* ----- into a room ----- */

static bool lay_prefixes(struct mr_rules_room *room, const struct mr_prefixes *s, uint32_t *at)
{
	if (s->n > MR_PREFIXES_MOST - *at)
		return false;
	if (s->n)
		memcpy(room->prefix + *at, s->list, s->n * sizeof(*s->list));
	*at += s->n;
	return true;
}

int mr_ruleset_lay(struct mr_rules_room *room, const struct mr_settings *s,
		   const struct mr_ruleset *f)
{
	uint32_t at = 0;

	if (f->n > MR_RULES_MOST)
		return -E2BIG;
	room->mode = f->mode;
	room->n = f->n;
	room->last_filter = f->last_filter;
	room->file = f->file;
	memset(room->directory, 0, sizeof(room->directory));
	for (unsigned int i = 0; i < s->n_directories; i++)
		room->directory[i] = digest_text(s->directories[i]);
	for (unsigned int i = 0; i < f->n; i++) {
		room->list[i] = f->list[i];
		if (!lay_prefixes(room, &f->list[i].match.source, &at) ||
		    !lay_prefixes(room, &f->list[i].match.destination, &at))
			return -E2BIG;
	}
	return 0;
}

/* ----- and out of it ----- */

/* One with bits behind its length would lie in its equals, deeper than an address has bits. */
static bool are_sound(const struct mr_prefixes *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (!mr_net_is_sound(&s->list[i]))
			return false;
	return true;
}

/* The copy is finished again, so that whatever was laid is sorted. */
static int take_prefixes(const struct mr_rules_room *room, struct mr_prefixes *s, uint32_t *at)
{
	uint32_t n = s->n;
	int err;

	if (n > MR_PREFIXES_MOST - *at)
		err = -EINVAL;
	else
		err = copy_prefixes(s, room->prefix + *at, n);
	if (err) {
		*s = (struct mr_prefixes){ 0 };
		return err;
	}
	*at += n;
	if (!are_sound(s))
		return -EINVAL;
	mr_prefixes_finish(s);
	return 0;
}

static bool is_terminated(const char *text, size_t bytes)
{
	return memchr(text, '\0', bytes) != NULL;
}

static bool is_leaving(const struct mr_settings_rule *r)
{
	return r->action == MR_ACTION_STEER && r->lane.state == MR_RULE_LEAVING;
}

static bool is_sane(const struct mr_settings_rule *r, bool whole)
{
	const struct mr_match *m = &r->match;
	bool steers = r->action == MR_ACTION_STEER;

	if (r->action != MR_ACTION_PASS && r->action != MR_ACTION_DROP && !steers)
		return false;
	if (steers && !mr_config_steer_is_sane(r))
		return false;
	return is_terminated(r->lane.name, sizeof(r->lane.name)) &&
	       is_terminated(r->comment, sizeof(r->comment)) &&
	       is_terminated(m->interface, sizeof(m->interface)) && m->port_lo <= m->port_hi &&
	       (m->priority <= MR_PRIORITY_MOST ||
		(is_leaving(r) && m->priority == MR_PRIORITY_LEAVING)) &&
	       (!m->protocol || m->protocol == IPPROTO_TCP || m->protocol == IPPROTO_UDP) &&
	       (!whole ||
		(r->lane.rule_id < MR_RULES_MOST && (mr_rule_is_live(r) || is_leaving(r))));
}

static bool has_interface(const struct mr_settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->n_interfaces; i++)
		if (!strcmp(s->interfaces[i].name, name))
			return true;
	return !name[0];
}

static bool is_of_lanes(const struct mr_settings_lanes *l, const struct mr_match *m)
{
	return l->port_hi && m->port_lo <= l->port_hi && m->port_hi >= l->port_lo;
}

/* Directories are told by their paths: another configuration may number them otherwise. */
static bool find_directory(const struct mr_rules_room *room, const struct mr_settings *s,
			   struct mr_lane_rule *r)
{
	if (r->directory < 0)
		return true;
	for (unsigned int i = 0; i < s->n_directories; i++)
		if (digest_text(s->directories[i]) == room->directory[r->directory]) {
			r->directory = (int32_t)i;
			return true;
		}
	return false;
}

/* What of the configuration @r names and it has not, or NULL. */
static const char *lack(const struct mr_rules_room *room, const struct mr_settings *s,
			struct mr_settings_rule *r)
{
	if (!has_interface(s, r->match.interface))
		return "interface";
	if (r->action != MR_ACTION_STEER)
		return NULL;
	if (is_of_lanes(&s->lanes, &r->match))
		return "port outside lanes.ports";
	return find_directory(room, s, &r->lane) ? NULL : "directory";
}

static int take_one(const struct mr_rules_room *room, struct mr_settings_rule *r, bool whole,
		    uint32_t *at)
{
	struct mr_match *m = &r->match;
	int err;

	m->source.list = m->destination.list = NULL;
	err = is_sane(r, whole) ? 0 : -EINVAL;
	if (!err)
		err = take_prefixes(room, &m->source, at);
	if (!err)
		err = take_prefixes(room, &m->destination, at);
	if (!err && !whole)
		r->lane.state = MR_RULE_LIVE;
	if (!err && r->action == MR_ACTION_STEER)
		mr_config_steer_derive(r);
	return err;
}

static int take_all(const struct mr_rules_room *room, const struct mr_settings *s, bool whole,
		    struct mr_ruleset *f)
{
	uint32_t n = *(const volatile uint32_t *)&room->n, at = 0;
	uint8_t used[MR_RULES_MOST] = { 0 };

	if (n > MR_RULES_MOST)
		return -EINVAL;
	f->list = calloc(n + 1, sizeof(*f->list));
	if (!f->list)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct mr_settings_rule *r = &f->list[f->n];
		const char *what;
		int err;

		*r = room->list[i];
		f->n++;
		err = take_one(room, r, whole, &at);
		if (!err && whole && used[r->lane.rule_id]++)
			err = -EINVAL;
		if (err)
			return err;
		what = lack(room, s, r);
		if (what && !whole)
			return -EINVAL;
		if (!what)
			continue;
		mr_warn("rule %s: dropped, the configuration has not its %s", r->lane.name, what);
		mr_match_free(&f->list[--f->n].match);
	}
	return 0;
}

int mr_ruleset_take(const struct mr_rules_room *room, const struct mr_settings *s, bool whole,
		    struct mr_ruleset *f)
{
	uint32_t mode = *(const volatile uint32_t *)&room->mode;
	int err;

	*f = (struct mr_ruleset){
		.mode = (enum mr_mode)mode,
		.last_filter = (uint16_t)room->last_filter,
		.file = room->file,
	};
	err = mode > MR_MODE_BYPASS ? -EINVAL : take_all(room, s, whole, f);
	if (err)
		mr_ruleset_free(f);
	return err;
}
