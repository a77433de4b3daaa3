/* SPDX-License-Identifier: MIT */
#include "user/daemon/guard_changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const *mr_syn_answer_names(void)
{
	static const char *const names[] = { "off", "auto", "on", NULL };

	return names;
}

int mr_guard_changes_copy(struct mr_guard_changes *to, const struct mr_guard_changes *from)
{
	to->few = from->few;
	return mr_blocks_copy(&to->blocks, &from->blocks);
}

void mr_guard_changes_free(struct mr_guard_changes *g)
{
	mr_blocks_free(&g->blocks);
	memset(&g->few, 0, sizeof(g->few));
}

void mr_guard_fini(struct mr_settings_guard *g)
{
	mr_blocks_free(&g->blocks);
	free(g->rules);
	*g = (struct mr_settings_guard){ 0 };
}

static bool is_rate(const struct mr_guard_rate *r)
{
	return !r->interval_ns || r->burst;
}

static bool is_none(const struct mr_guard_rate *packets, const struct mr_guard_rate *syns)
{
	return !packets->interval_ns && !syns->interval_ns;
}

static bool is_same_length(const struct mr_guard_limit *a, const struct mr_guard_limit *b)
{
	return a->ipv4_bits == b->ipv4_bits && a->ipv6_bits == b->ipv6_bits;
}

/* ----- words of another process ----- */

static int check_blocks(const struct mr_blocks *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct mr_block_item item = b->item[i];

		if (item.action == MR_BLOCK_NONE)
			item.action = MR_BLOCK_DROP;
		if (!mr_block_is_valid(&item))
			return -EINVAL;
	}
	return mr_blocks_is_sorted(b) ? 0 : -EINVAL;
}

static int check_limits(const struct mr_guard_few *few)
{
	for (uint32_t i = 0; i < few->n_limits; i++) {
		const struct mr_guard_limit *l = &few->limit[i];

		if (l->ipv4_bits > 32 || l->ipv6_bits > 128 || !is_rate(&l->packets) ||
		    !is_rate(&l->syns))
			return -EINVAL;
	}
	for (uint32_t i = 0; i < few->n_rules; i++) {
		const struct mr_guard_rule_change *r = &few->rule[i];

		if (!memchr(r->rule, '\0', sizeof(r->rule)) || !is_rate(&r->packets) ||
		    !is_rate(&r->syns))
			return -EINVAL;
	}
	return 0;
}

int mr_guard_changes_check(const struct mr_guard_changes *g)
{
	const struct mr_guard_few *few = &g->few;

	if (few->n_limits > MR_GUARD_LIMIT_CHANGES || few->n_rules > MR_RULES_MOST)
		return -EINVAL;
	if (few->has_syn &&
	    (few->syn.answers > MR_SYN_ANSWERS_ON || few->syn.at_percent < MR_SYN_AT_LEAST ||
	     few->syn.at_percent > MR_SYN_AT_MOST || !few->syn.calm_s ||
	     few->syn.calm_s > MR_SYN_CALM_MOST_S))
		return -EINVAL;
	return check_limits(few) ? -EINVAL : check_blocks(&g->blocks);
}

/* ----- what holds ----- */

/* One that is there is replaced, or taken away; one that is not is added. False: no room. */
static bool put_limit(struct mr_guard *g, const struct mr_guard_limit *l)
{
	uint32_t i = 0;

	while (i < g->n_limits && !is_same_length(&g->limit[i], l))
		i++;
	if (is_none(&l->packets, &l->syns)) {
		if (i < g->n_limits)
			g->limit[i] = g->limit[--g->n_limits];
		memset(&g->limit[g->n_limits], 0, sizeof(g->limit[0]));
		return true;
	}
	if (i == MR_MAX_GUARD_LIMITS)
		return false;
	g->limit[i] = *l;
	g->n_limits += i == g->n_limits;
	return true;
}

/* First what goes, so that what comes finds its room. */
static bool put_limits(struct mr_guard *out, const struct mr_guard_few *few)
{
	bool fits = true;

	for (int goes = 1; goes >= 0; goes--)
		for (uint32_t i = 0; i < few->n_limits; i++)
			if (is_none(&few->limit[i].packets, &few->limit[i].syns) == goes)
				fits = fits && put_limit(out, &few->limit[i]);
	return fits;
}

static uint32_t index_of(const struct mr_settings *s, const char *rule)
{
	for (unsigned int i = 0; i < s->n_rules; i++)
		if (mr_rule_is_live(&s->rules[i]) && !strcmp(s->rules[i].lane.name, rule))
			return i;
	return UINT32_MAX;
}

static void put_rule(const struct mr_settings *s, const struct mr_guard_rule_change *r,
		     struct mr_settings_guard *out)
{
	uint32_t index = index_of(s, r->rule);
	unsigned int i = 0;

	if (index == UINT32_MAX)
		return;
	while (i < out->n_rules && out->rules[i].rule != index)
		i++;
	if (is_none(&r->packets, &r->syns)) {
		if (i < out->n_rules)
			out->rules[i] = out->rules[--out->n_rules];
		return;
	}
	out->rules[i] = (struct mr_settings_guard_rule){ index, r->packets, r->syns };
	out->n_rules += i == out->n_rules;
}

int mr_guard_merge(const struct mr_settings *s, const struct mr_guard_changes *g,
		   struct mr_settings_guard *out)
{
	const struct mr_settings_guard *c = &s->guard;
	int err;

	*out = (struct mr_settings_guard){ .limits = c->limits };
	if (!put_limits(&out->limits, &g->few))
		return -E2BIG;
	out->rules = calloc(c->n_rules + g->few.n_rules + 1, sizeof(*out->rules));
	if (!out->rules)
		return -ENOMEM;
	if (c->n_rules)
		memcpy(out->rules, c->rules, c->n_rules * sizeof(*out->rules));
	out->n_rules = c->n_rules;
	for (uint32_t i = 0; i < g->few.n_rules; i++)
		put_rule(s, &g->few.rule[i], out);
	err = mr_blocks_join(&out->blocks, &c->blocks, &g->blocks);
	if (err)
		mr_guard_fini(out);
	return err;
}

struct mr_guard_syn mr_guard_syn(const struct mr_settings *s, const struct mr_guard_changes *g)
{
	const struct mr_open_settings *o = &s->tcp.open;

	if (g->few.has_syn)
		return g->few.syn;
	return (struct mr_guard_syn){ o->syn_answers, o->syn_at_percent, o->syn_calm_s };
}

/* ----- single changes ----- */

static int no_room(int err, char words[MR_GUARD_WORDS])
{
	if (err == -E2BIG)
		snprintf(words, MR_GUARD_WORDS,
			 "more than %u prefixes; sum them up to shorter ones",
			 (unsigned int)MR_MAX_BLOCKS);
	else
		snprintf(words, MR_GUARD_WORDS, "out of memory");
	return err;
}

int mr_guard_blocks_load(struct mr_guard_changes *g, const struct mr_blocks *config,
			 const struct mr_blocks *items, char words[MR_GUARD_WORDS])
{
	struct mr_blocks changes;
	int err = mr_blocks_diff(&changes, config, items);

	if (err)
		return no_room(err, words);
	mr_blocks_free(&g->blocks);
	g->blocks = changes;
	return 0;
}

/* What holds, with @items over it. */
static int change_blocks(struct mr_guard_changes *g, const struct mr_blocks *config,
			 const struct mr_blocks *now, const struct mr_blocks *items,
			 char words[MR_GUARD_WORDS])
{
	struct mr_blocks next;
	int err = mr_blocks_join(&next, now, items);

	if (err)
		return no_room(err, words);
	err = mr_guard_blocks_load(g, config, &next, words);
	mr_blocks_free(&next);
	return err;
}

int mr_guard_blocks_add(struct mr_guard_changes *g, const struct mr_blocks *config,
			const struct mr_blocks *items, char words[MR_GUARD_WORDS])
{
	struct mr_blocks now;
	int err = mr_blocks_join(&now, config, &g->blocks);

	if (err)
		return no_room(err, words);
	err = change_blocks(g, config, &now, items, words);
	mr_blocks_free(&now);
	return err;
}

/* Whether all of @items stand on the list @now as what they are said to be. */
static int check_there(const struct mr_blocks *now, const struct mr_blocks *items,
		       char words[MR_GUARD_WORDS])
{
	char text[MR_BLOCK_TEXT];

	for (uint32_t i = 0; i < items->n; i++) {
		const struct mr_block_item *there = mr_blocks_find(now, &items->item[i]);
		const char *prefix = mr_block_text(&items->item[i], text);

		if (there && there->action == items->item[i].action)
			continue;
		if (!there)
			snprintf(words, MR_GUARD_WORDS,
				 "%s: is not on the list; GET /v1/guard/blocks, \"millrace guard "
				 "block list\", shows what is",
				 prefix);
		else
			snprintf(words, MR_GUARD_WORDS,
				 "%s: is %s; delete it as such, with \"millrace guard %s del\"",
				 prefix,
				 there->action == MR_BLOCK_ALLOW ? "an exception, not blocked"
								 : "blocked, no exception",
				 there->action == MR_BLOCK_ALLOW ? "allow" : "block");
		return -ENOENT;
	}
	return 0;
}

int mr_guard_blocks_delete(struct mr_guard_changes *g, const struct mr_blocks *config,
			   const struct mr_blocks *items, char words[MR_GUARD_WORDS])
{
	struct mr_blocks now, gone;
	int err = mr_blocks_join(&now, config, &g->blocks);

	if (err)
		return no_room(err, words);
	err = check_there(&now, items, words);
	if (!err) {
		err = mr_blocks_copy(&gone, items);
		for (uint32_t i = 0; i < gone.n; i++)
			gone.item[i].action = MR_BLOCK_NONE;
		err = err ? no_room(err, words) : change_blocks(g, config, &now, &gone, words);
		mr_blocks_free(&gone);
	}
	mr_blocks_free(&now);
	return err;
}

/* As the configuration has it: then nothing is changed. */
static bool is_configured(const struct mr_guard *config, const struct mr_guard_limit *l)
{
	for (uint32_t i = 0; i < config->n_limits; i++)
		if (is_same_length(&config->limit[i], l))
			return !memcmp(&config->limit[i], l, sizeof(*l));
	return is_none(&l->packets, &l->syns);
}

/* False: no room, beside changes of what another configuration had. */
static bool put_limit_change(struct mr_guard_few *few, const struct mr_guard *config,
			     const struct mr_guard_limit *l)
{
	uint32_t i = 0;

	while (i < few->n_limits && !is_same_length(&few->limit[i], l))
		i++;
	if (is_configured(config, l)) {
		if (i < few->n_limits)
			few->limit[i] = few->limit[--few->n_limits];
		return true;
	}
	if (i == MR_GUARD_LIMIT_CHANGES)
		return false;
	few->limit[i] = *l;
	few->n_limits += i == few->n_limits;
	return true;
}

static int no_limit_fits(char words[MR_GUARD_WORDS])
{
	snprintf(words, MR_GUARD_WORDS, "limit: %d prefix lengths are all that fit; delete one",
		 MR_MAX_GUARD_LIMITS);
	return -E2BIG;
}

int mr_guard_limit_set(struct mr_guard_changes *g, const struct mr_settings *s,
		       const struct mr_guard_limit *limit, char words[MR_GUARD_WORDS])
{
	struct mr_guard now = s->guard.limits;
	uint32_t n;

	put_limits(&now, &g->few);
	n = now.n_limits;
	if (!put_limit(&now, limit))
		return no_limit_fits(words);
	if (is_none(&limit->packets, &limit->syns) && now.n_limits == n) {
		snprintf(words, MR_GUARD_WORDS,
			 "limit: there is none for prefixes of /%u and /%u; \"millrace guard "
			 "list\" shows those that there are",
			 limit->ipv4_bits, limit->ipv6_bits);
		return -ENOENT;
	}
	return put_limit_change(&g->few, &s->guard.limits, limit) ? 0 : no_limit_fits(words);
}

static const struct mr_settings_guard_rule *configured(const struct mr_settings *s, uint32_t index)
{
	for (unsigned int i = 0; i < s->guard.n_rules; i++)
		if (s->guard.rules[i].rule == index)
			return &s->guard.rules[i];
	return NULL;
}

static bool is_as_configured(const struct mr_settings_guard_rule *c,
			     const struct mr_guard_rule_change *r)
{
	if (!c)
		return is_none(&r->packets, &r->syns);
	return !memcmp(&c->packets, &r->packets, sizeof(r->packets)) &&
	       !memcmp(&c->syns, &r->syns, sizeof(r->syns));
}

int mr_guard_rule_set(struct mr_guard_changes *g, const struct mr_settings *s,
		      const struct mr_guard_rule_change *change, char words[MR_GUARD_WORDS])
{
	struct mr_guard_few *few = &g->few;
	uint32_t index = index_of(s, change->rule), i = 0;
	const struct mr_settings_guard_rule *c = configured(s, index);
	bool has;

	if (index == UINT32_MAX) {
		snprintf(words, MR_GUARD_WORDS,
			 "rule: no rule that steers is named \"%s\"; \"millrace rule list\" shows "
			 "their names",
			 change->rule);
		return -ENOENT;
	}
	while (i < few->n_rules && strcmp(few->rule[i].rule, change->rule))
		i++;
	has = i < few->n_rules ? !is_none(&few->rule[i].packets, &few->rule[i].syns) : c != NULL;
	if (!has && is_none(&change->packets, &change->syns)) {
		snprintf(words, MR_GUARD_WORDS,
			 "rule %s: has no limits; \"millrace guard list\" shows those that there "
			 "are",
			 change->rule);
		return -ENOENT;
	}
	if (is_as_configured(c, change)) {
		if (i < few->n_rules)
			few->rule[i] = few->rule[--few->n_rules];
		return 0;
	}
	if (i == MR_RULES_MOST) { /* of rules that are not there any more */
		snprintf(words, MR_GUARD_WORDS, "rule: limits of %d rules are all that fit",
			 MR_RULES_MOST);
		return -E2BIG;
	}
	few->rule[i] = *change;
	few->n_rules += i == few->n_rules;
	return 0;
}

int mr_guard_syn_set(struct mr_guard_changes *g, const struct mr_settings *s,
		     const struct mr_guard_syn *syn, char words[MR_GUARD_WORDS])
{
	const struct mr_open_settings *o = &s->tcp.open;

	if (syn->answers == MR_SYN_ANSWERS_ON && o->syn_cookies == MR_SYN_COOKIES_OFF) {
		snprintf(words, MR_GUARD_WORDS,
			 "syn_cookies: lanes take no cookies; remove tcp.syn_cookies: off from the "
			 "configuration and restart millraced");
		return -EINVAL;
	}
	g->few.syn = *syn;
	g->few.has_syn = syn->answers != o->syn_answers || syn->at_percent != o->syn_at_percent ||
			 syn->calm_s != o->syn_calm_s;
	return 0;
}

/* ----- which of it was changed ----- */

bool mr_guard_limit_changed(const struct mr_guard_changes *g, const struct mr_guard_limit *limit)
{
	for (uint32_t i = 0; i < g->few.n_limits; i++)
		if (is_same_length(&g->few.limit[i], limit))
			return true;
	return false;
}

bool mr_guard_rule_changed(const struct mr_guard_changes *g, const char *rule)
{
	for (uint32_t i = 0; i < g->few.n_rules; i++)
		if (!strcmp(g->few.rule[i].rule, rule))
			return true;
	return false;
}
