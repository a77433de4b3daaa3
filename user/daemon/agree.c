/* SPDX-License-Identifier: MIT */
/*
 * Other rules, as the lanes see them. The parent has told them; here it is heard whether each takes
 * them, and which rules that leave have no connection any more. A lane without a worker is waited
 * for: its next one begins with the rules that are asked about, and says so. One that is drained,
 * or whose interface or queue is gone, has no say.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "user/daemon/child.h"
#include "user/daemon/ruleset.h"

enum {
	ANSWER_MS = 5000,
};

static bool has_no_say(const struct mr_child *c, const struct mr_ward *w)
{
	const struct mr_lane *l = &c->d->lanes[w->lane];

	return w->state == MR_WORKER_DRAINED || l->absent || mr_lane_link(c->d, l)->gone;
}

static void refuse(struct mr_child *c, const struct mr_ward *w, const char *words)
{
	struct mr_request q = { .type = MR_REQUEST_RULES_REFUSED };
	const struct mr_lane *l = &c->d->lanes[w->lane];

	c->agree.asked = false;
	snprintf(q.words, sizeof(q.words), "%s queue %u: %s", mr_lane_link(c->d, l)->name, l->index,
		 words);
	mr_child_ask(c, &q);
}

static void look(struct mr_child *c)
{
	struct mr_request q = { .type = MR_REQUEST_RULES_AGREED };

	if (!c->agree.asked)
		return;
	for (uint32_t i = 0; i < c->d->n_lanes; i++)
		if (!has_no_say(c, &c->wards[i]) && c->wards[i].rules_serial != c->agree.serial)
			return;
	c->agree.asked = false;
	mr_child_ask(c, &q);
}

void mr_agree_ask(struct mr_child *c, uint32_t serial)
{
	c->agree.asked = true;
	c->agree.serial = serial;
	c->agree.since_ns = mr_now_ns();
	look(c);
}

void mr_agree_over(struct mr_child *c)
{
	c->agree.asked = false;
	c->agree.ended = true; /* what was said meanwhile */
}

/* Of another process, for people. */
static void take_words(const char *from, char out[MR_RULES_WORDS])
{
	snprintf(out, MR_RULES_WORDS, "%.*s", MR_RULES_WORDS - 1, from);
	for (char *p = out; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
}

void mr_agree_answer(struct mr_child *c, struct mr_ward *w, const struct mr_rules_answer *m)
{
	char words[MR_RULES_WORDS];

	if (!m->error) {
		w->rules_serial = m->serial;
		look(c);
		return;
	}
	if (!c->agree.asked || m->serial != c->agree.serial)
		return;
	take_words(m->words, words);
	refuse(c, w, words[0] ? words : "its worker refuses the rules");
}

void mr_agree_rule_ended(struct mr_child *c, struct mr_ward *w, const struct mr_rule_ended *m)
{
	const struct mr_settings *s = &c->d->settings;

	if (m->rule_id >= s->n_rules || s->rules[m->rule_id].lane.state != MR_RULE_LEAVING)
		return; /* of rules that are not in force yet, or any more: it says it again */
	w->ended[m->rule_id / 64] |= 1ull << m->rule_id % 64;
	c->agree.ended = true;
}

void mr_agree_forget(struct mr_ward *w)
{
	w->rules_serial = 0;
	memset(w->ended, 0, sizeof(w->ended));
}

static bool has_ended(const struct mr_child *c, uint32_t id)
{
	for (uint32_t i = 0; i < c->d->n_lanes; i++)
		if (!has_no_say(c, &c->wards[i]) && !(c->wards[i].ended[id / 64] >> id % 64 & 1))
			return false;
	return true;
}

/* Those that no lane has connections of, into the memory that the parent reads. */
static bool gather_ended(struct mr_child *c, uint64_t ended[MR_RULE_WORDS])
{
	const struct mr_settings *s = &c->d->settings;
	bool any = false;

	memset(ended, 0, MR_RULE_WORDS * sizeof(*ended));
	for (uint32_t i = 0; i < s->n_rules; i++) {
		if (s->rules[i].lane.state != MR_RULE_LEAVING || !has_ended(c, i))
			continue;
		ended[i / 64] |= 1ull << i % 64;
		any = true;
	}
	return any;
}

void mr_agree_tick(struct mr_child *c, uint64_t now)
{
	struct mr_request q = { .type = MR_REQUEST_RULES_ENDED };

	look(c);
	if (c->agree.asked && now - c->agree.since_ns >= ANSWER_MS * 1000000ull) {
		for (uint32_t i = 0; i < c->d->n_lanes; i++)
			if (!has_no_say(c, &c->wards[i]) &&
			    c->wards[i].rules_serial != c->agree.serial) {
				refuse(c, &c->wards[i],
				       "the lane does not answer, see millrace lane list; try "
				       "again");
				return;
			}
	}
	if (!c->agree.ended || c->agree.asked || c->change)
		return;
	c->agree.ended = false;
	if (gather_ended(c, c->d->rules_room->ended))
		mr_child_ask(c, &q);
}
