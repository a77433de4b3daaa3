/* SPDX-License-Identifier: MIT */
/* GET /v1/guard and /v1/guard/blocks. */
#include "user/daemon/api.h"
#include "user/daemon/bpf.h"

static const char *const stat_names[] = {
#define S(name, field, text) #field,
	MR_GUARD_STATS(S)
#undef S
};

static const char *const stat_words[] = {
#define S(name, field, text) text,
	MR_GUARD_STATS(S)
#undef S
};

const char *mr_guard_stat_name(enum mr_guard_stat s)
{
	return stat_names[s];
}

const char *mr_guard_stat_words(enum mr_guard_stat s)
{
	return stat_words[s];
}

static json_t *rate(struct mr_guard_rate r)
{
	if (!r.interval_ns)
		return json_null();
	return json_pack("{s:i, s:i}", "per_s", (int)(1000000000 / r.interval_ns), "burst",
			 (int)r.burst);
}

static json_t *limits(const struct mr_guard *g)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < g->n_limits; i++)
		json_array_append_new(a, json_pack("{s:i, s:i, s:o, s:o}", "ipv4_prefix",
						   g->limit[i].ipv4_bits, "ipv6_prefix",
						   g->limit[i].ipv6_bits, "packets",
						   rate(g->limit[i].packets), "connections",
						   rate(g->limit[i].syns)));
	return a;
}

static json_t *rules(const struct mr_child *c)
{
	const struct mr_settings *s = &c->d->settings;
	json_t *a = json_array();

	for (unsigned int i = 0; i < s->guard.n_rules; i++) {
		const struct mr_settings_guard_rule *g = &s->guard.rules[i];
		const struct mr_lane_rule *r = &s->rules[g->rule].lane;
		struct mr_count n = mr_bpf_sum(c->d, MR_MAP_GRSTAT, r->rule_id);

		json_array_append_new(a, json_pack("{s:s, s:o, s:o, s:I, s:I}", "rule", r->name,
						   "packets", rate(g->packets), "connections",
						   rate(g->syns), "dropped_packets",
						   (json_int_t)n.packets, "dropped_bytes",
						   (json_int_t)n.bytes));
	}
	return a;
}

static json_t *counters(const struct mr_child *c)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < MR_GUARD_COUNTS; i++) {
		struct mr_count n = mr_bpf_sum(c->d, MR_MAP_GSTAT, i);

		json_array_append_new(a, json_pack("{s:s, s:s, s:I, s:I}", "name", stat_names[i],
						   "text", stat_words[i], "packets",
						   (json_int_t)n.packets, "bytes",
						   (json_int_t)n.bytes));
	}
	return a;
}

static json_t *syn_cookies(const struct mr_child *c)
{
	json_t *a = json_array();

	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1)) {
		const struct mr_lane *l = &c->d->lanes[i];
		const struct mr_beat *b = &c->d->bpf.beats[l->slot];
		bool on = __atomic_load_n(&b->syn, __ATOMIC_RELAXED) & MR_SYN_ANSWER;

		json_array_append_new(a,
				      json_pack("{s:s, s:i, s:b, s:I, s:I}", "interface",
						mr_lane_link(c->d, l)->name, "queue", (int)l->index,
						"on", on, "rounds", (json_int_t)b->syn_rounds,
						"answered", (json_int_t)b->syns_answered));
	}
	return a;
}

json_t *mr_json_guard(struct mr_child *c)
{
	const struct mr_settings *s = &c->d->settings;
	const struct mr_open_settings *o = &s->tcp.open;
	static const char *const answers[] = { "off", "auto", "on" };

	return json_pack("{s:i, s:i, s:s, s:{s:I, s:I}, s:o, s:o, s:o, s:o}", "v", 1, "blocks",
			 (int)s->guard.blocks.n, "syn_cookies", answers[o->syn_answers],
			 "per_source", "connections", (json_int_t)o->source_connections,
			 "half_open", (json_int_t)o->source_half_open, "limits",
			 limits(&s->guard.limits), "rules", rules(c), "lanes", syn_cookies(c),
			 "counters", counters(c));
}

json_t *mr_json_blocks(struct mr_child *c)
{
	const struct mr_blocks *b = &c->d->settings.guard.blocks;
	json_t *a = json_array();
	char text[MR_BLOCK_TEXT];

	for (uint32_t i = 0; i < b->n; i++)
		json_array_append_new(a, json_pack("{s:s, s:s}", "prefix",
						   mr_block_text(&b->item[i], text), "action",
						   b->item[i].action == MR_BLOCK_ALLOW ? "allow"
										       : "block"));
	return json_pack("{s:i, s:o}", "v", 1, "blocks", a);
}
