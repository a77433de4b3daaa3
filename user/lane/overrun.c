/* SPDX-License-Identifier: MIT */
/*
 * Overrun by SYNs: the XDP program answers them by the lane's own cookies (bpf/cookie.h), so that
 * they wake nobody, until it is calm again.
 *
 *	more than at_percent of all half-open records in use, or a SYN that finds no room -> on
 *	for calm_s seconds: half as many in use at most, no rule's backlog half full, and fewer
 *	SYNs answered a second than would fill a quarter of it -> off
 *
 * Meanwhile the lane sees no SYN of a rule, only the ACKs that bring cookies back. The records of
 * the flood's begin run out by themselves.
 */
#include "user/lane/internal.h"
#include "user/tcp/cookies.h"

enum {
	LOOK_NS = 1000000000,
};

static bool is_on(const struct mr_lane *l)
{
	return l->s.beat && l->s.beat->syn & MR_SYN_ANSWER;
}

/* What an earlier generation had asked for is not ours. */
void lane_overrun_init(struct mr_lane *l)
{
	const struct mr_open_settings *o = &l->s.config->open;

	if (l->s.beat)
		__atomic_store_n(&l->s.beat->syn, 0, __ATOMIC_RELAXED);
	mr_lane_syn(l, o->syn_answers != MR_SYN_ANSWERS_OFF, o->syn_at_percent, o->syn_calm_s);
}

static void end(const struct mr_lane *l)
{
	struct mr_beat *b = l->s.beat;

	__atomic_store_n(&b->syn, b->syn & ~(uint32_t)MR_SYN_ANSWER, __ATOMIC_RELEASE);
}

void mr_lane_syn(struct mr_lane *l, bool answers, uint32_t at_percent, uint32_t calm_s)
{
	if (at_percent < MR_SYN_AT_LEAST || at_percent > MR_SYN_AT_MOST)
		at_percent = MR_SYN_AT_DEFAULT;
	l->overrun_wanted = answers;
	l->overrun_at = (uint32_t)((uint64_t)l->n_halves * at_percent / 100);
	l->overrun_calm_s = calm_s ? calm_s : MR_SYN_CALM_DEFAULT_S;
	if (!answers && is_on(l))
		end(l);
}

void lane_overrun_begin(struct mr_lane *l)
{
	struct mr_beat *b = l->s.beat;

	if (!b || is_on(l) || !l->overrun_wanted ||
	    l->s.config->open.syn_cookies == MR_SYN_COOKIES_OFF)
		return;
	l->overrun_ns = l->now_ns;
	l->overrun_answered = b->syns_answered;
	l->overrun_calm_ns = 0;
	lane_cookie_note(l);
	b->syn_rounds++;
	mr_cookie_describe(&l->tcp, b);
	__atomic_store_n(&b->syn, b->syn | MR_SYN_ANSWER, __ATOMIC_RELEASE);
}

/* How many SYNs a second fill a quarter of the room that the fullest rule may have. */
static uint32_t quarter_of_room(const struct mr_lane *l)
{
	uint32_t room = l->n_halves;

	for (uint32_t i = 0; i < l->n_rules; i++)
		if (lane_rule_is_live(&l->rules[i]) && l->rules[i].config->backlog < room)
			room = l->rules[i].config->backlog;
	return room / 4;
}

static bool is_calm(const struct mr_lane *l, uint64_t answered_a_second)
{
	if (answered_a_second > quarter_of_room(l) || l->n_half_open > l->overrun_at / 2)
		return false;
	for (uint32_t i = 0; i < l->n_rules; i++)
		if (lane_rule_is_live(&l->rules[i]) &&
		    l->rules[i].half_open > l->rules[i].config->backlog / 2)
			return false;
	return true;
}

void lane_overrun_look(struct mr_lane *l)
{
	struct mr_beat *b = l->s.beat;
	uint64_t answered;

	if (!is_on(l) || l->now_ns < l->overrun_ns + LOOK_NS)
		return;
	answered = b->syns_answered - l->overrun_answered;
	if (!is_calm(l, answered * LOOK_NS / (l->now_ns - l->overrun_ns)))
		l->overrun_calm_ns = 0;
	else if (!l->overrun_calm_ns)
		l->overrun_calm_ns = l->overrun_ns;
	l->overrun_ns = l->now_ns;
	l->overrun_answered += answered;
	if (answered)
		lane_cookie_note(l);
	if (l->draining ||
	    (l->overrun_calm_ns &&
	     l->now_ns >= l->overrun_calm_ns + l->overrun_calm_s * (uint64_t)LOOK_NS))
		end(l);
	else
		mr_cookie_describe(&l->tcp, b); /* the interface's MTU may be another */
}
