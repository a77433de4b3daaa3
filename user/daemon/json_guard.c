/* SPDX-License-Identifier: MIT */
/* GET /v1/guard and /v1/guard/blocks. */
#include "user/daemon/api.h"
#include "user/daemon/bpf.h"
#include "user/daemon/guard_changes.h"

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

/* Where something that holds comes from. */
static const char *origin(bool changed)
{
	return changed ? "run time" : "configuration";
}

static json_t *limits(const struct mr_child *c)
{
	const struct mr_guard *g = &c->d->guard.limits;
	json_t *a = json_array();

	for (uint32_t i = 0; i < g->n_limits; i++) {
		const struct mr_guard_limit *l = &g->limit[i];
		bool changed = mr_guard_limit_changed(c->d->guard_changes, l);

		json_array_append_new(a, json_pack("{s:i, s:i, s:o, s:o, s:s}", "ipv4_prefix",
						   l->ipv4_bits, "ipv6_prefix", l->ipv6_bits,
						   "packets", rate(l->packets), "connections",
						   rate(l->syns), "from", origin(changed)));
	}
	return a;
}

static json_t *rules(const struct mr_child *c)
{
	const struct mr_settings *s = &c->d->settings;
	json_t *a = json_array();

	for (unsigned int i = 0; i < c->d->guard.n_rules; i++) {
		const struct mr_settings_guard_rule *g = &c->d->guard.rules[i];
		const struct mr_lane_rule *r = &s->rules[g->rule].lane;
		struct mr_count n = mr_bpf_sum(c->d, MR_MAP_GRSTAT, r->rule_id);

		bool changed = mr_guard_rule_changed(c->d->guard_changes, r->name);

		json_array_append_new(a, json_pack("{s:s, s:o, s:o, s:I, s:I, s:s}", "rule",
						   r->name, "packets", rate(g->packets),
						   "connections", rate(g->syns), "dropped_packets",
						   (json_int_t)n.packets, "dropped_bytes",
						   (json_int_t)n.bytes, "from", origin(changed)));
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

/* Of the block list: how many came at run time, and how many of the configuration's went. */
static void count_changes(const struct mr_blocks *changes, int *came, int *went)
{
	*came = *went = 0;
	for (uint32_t i = 0; i < changes->n; i++)
		(*(changes->item[i].action == MR_BLOCK_NONE ? went : came))++;
}

json_t *mr_json_guard(struct mr_child *c)
{
	const struct mr_guard_changes *changes = c->d->guard_changes;
	const struct mr_open_settings *o = &c->d->settings.tcp.open;
	struct mr_guard_syn syn = mr_guard_syn(&c->d->settings, changes);
	int came, went;

	count_changes(&changes->blocks, &came, &went);
	return json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:s, s:{s:I, s:I}, s:o, s:o, s:o, "
			 "s:o}",
			 "v", 1, "blocks", (int)c->d->guard.blocks.n, "blocks_run_time", came,
			 "blocks_taken_away", went, "syn_cookies",
			 mr_syn_answer_names()[syn.answers], "syn_at_percent", (int)syn.at_percent,
			 "syn_calm_s", (int)syn.calm_s, "syn_from", origin(changes->few.has_syn),
			 "per_source", "connections", (json_int_t)o->source_connections,
			 "half_open", (json_int_t)o->source_half_open, "limits", limits(c), "rules",
			 rules(c), "lanes", syn_cookies(c), "counters", counters(c));
}

json_t *mr_json_blocks(struct mr_child *c)
{
	const struct mr_blocks *b = &c->d->guard.blocks;
	json_t *a = json_array();
	char text[MR_BLOCK_TEXT];

	for (uint32_t i = 0; i < b->n; i++) {
		const struct mr_block_item *item = &b->item[i];
		bool changed = mr_blocks_find(&c->d->guard_changes->blocks, item);

		json_array_append_new(
			a, json_pack("{s:s, s:s, s:s}", "prefix", mr_block_text(item, text),
				     "action", item->action == MR_BLOCK_ALLOW ? "allow" : "block",
				     "from", origin(changed)));
	}
	return json_pack("{s:i, s:o}", "v", 1, "blocks", a);
}
