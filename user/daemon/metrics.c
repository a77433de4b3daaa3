/* SPDX-License-Identifier: MIT */
/*
 * GET /metrics: Prometheus text format 0.0.4. A metric's lines stand together under its HELP and
 * TYPE; names come from the tables in mr_lane.h and mr_verdict.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mr_verdict.h"
#include "user/daemon/api.h"
#include "user/daemon/bpf.h"

struct text {
	struct mr_child *c;
	FILE *out;
	struct mr_lane_stats *stats; /* one a lane */
};

static void head(struct text *t, const char *name, const char *type, const char *help)
{
	fprintf(t->out, "# HELP millrace_%s %s\n# TYPE millrace_%s %s\n", name, help, name, type);
}

/* key="value". The kernel lets interfaces have quotes and backslashes in their names. */
static void put_label(struct text *t, const char *key, const char *value)
{
	fprintf(t->out, "%s=\"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\' || *value == '\n')
			fputc('\\', t->out);
		fputc(*value == '\n' ? 'n' : *value, t->out);
	}
	fputc('"', t->out);
}

/* {interface="...",queue="..." without the closing brace */
static void lane_labels(struct text *t, const char *name, uint32_t i)
{
	const struct mr_lane *l = &t->c->d->lanes[i];

	fprintf(t->out, "millrace_%s{", name);
	put_label(t, "interface", mr_lane_link(t->c->d, l)->name);
	fprintf(t->out, ",queue=\"%u\"", l->index);
}

static void lane_value(struct text *t, const char *name, uint32_t i, uint64_t v)
{
	lane_labels(t, name, i);
	fprintf(t->out, "} %" PRIu64 "\n", v);
}

static void lane_value_by(struct text *t, const char *name, uint32_t i, const char *label,
			  const char *key, uint64_t v)
{
	lane_labels(t, name, i);
	fputc(',', t->out);
	put_label(t, label, key);
	fprintf(t->out, "} %" PRIu64 "\n", v);
}

static void put_daemon(struct text *t)
{
	head(t, "info", "gauge", "Version of the daemon.");
	fprintf(t->out, "millrace_info{version=\"%s\"} 1\n", MR_VERSION);
	head(t, "start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.");
	fprintf(t->out, "millrace_start_time_seconds %" PRId64 "\n", t->c->d->started_wall);
	head(t, "rule_generation", "gauge", "Number of the active rule generation.");
	fprintf(t->out, "millrace_rule_generation %u\n", t->c->d->bpf.generation.number);
}

static void put_interfaces(struct text *t)
{
	head(t, "interface_info", "gauge", "How the XDP program is attached.");
	for (uint32_t i = 0; i < t->c->d->n_links; i++) {
		const struct mr_link *k = &t->c->d->links[i];

		fputs("millrace_interface_info{", t->out);
		put_label(t, "interface", k->name);
		fprintf(t->out, ",attach=\"%s\",section=\"%s\",link=\"%s\"} 1\n",
			mr_link_attach_text(k),
			k->section == MR_SECTION_FRAGS ? "xdp.frags" : "xdp", mr_link_text(k));
	}
}

static void put_lane_states(struct text *t)
{
	static const char *const states[] = { "starting", "serving",  "stale", "draining",
					      "drained",  "stopping", "dead" };
	uint32_t n = t->c->d->n_lanes;

	head(t, "lane_state", "gauge", "1 for the state that the lane is in.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1))
		for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++)
			lane_value_by(t, "lane_state", i, "state", states[s],
				      !strcmp(states[s], mr_lane_state_text(t->c, i)));
}

static void put_lane_facts(struct text *t)
{
	uint32_t n = t->c->d->n_lanes;

	head(t, "lane_info", "gauge", "Modes that the lane obtained.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1)) {
		const struct mr_lane *l = &t->c->d->lanes[i];

		lane_labels(t, "lane_info", i);
		fprintf(t->out, ",attach=\"%s\",bind=\"%s\"} 1\n",
			mr_link_attach_text(mr_lane_link(t->c->d, l)), mr_lane_bind_text(l));
	}
	put_lane_states(t);
	head(t, "lane_restarts_total", "counter", "Workers that were started again.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1))
		lane_value(t, "lane_restarts_total", i, t->c->d->lanes[i].restarts);
	head(t, "lane_stale_total", "counter",
	     "Times that the heartbeat grew older than stale_ms.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1))
		lane_value(t, "lane_stale_total", i, t->c->wards[i].stales);
	head(t, "lane_beat_age_seconds", "gauge", "Time since the lane's last heartbeat.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1)) {
		uint64_t age_ns;

		if (!strcmp(mr_lane_beat(t->c, i, &age_ns), "none"))
			continue;
		lane_labels(t, "lane_beat_age_seconds", i);
		fprintf(t->out, "} %.6f\n", (double)age_ns / 1e9);
	}
}

static void put_field(struct text *t, const char *name, const char *type, const char *help,
		      size_t offset)
{
	head(t, name, type, help);
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < t->c->d->n_lanes;
	     i = mr_lane_next(t->c->d, i + 1))
		lane_value(t, name, i, *(uint64_t *)((char *)&t->stats[i] + offset));
}

/* The records' microseconds are seconds here: Prometheus wants base units. */
static void put_seconds(struct text *t, const char *field, const char *help, size_t offset)
{
	char name[64];

	snprintf(name, sizeof(name), "lane_%.*s_seconds_total", (int)strlen(field) - 3, field);
	head(t, name, "counter", help);
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < t->c->d->n_lanes;
	     i = mr_lane_next(t->c->d, i + 1)) {
		uint64_t us = *(uint64_t *)((char *)&t->stats[i] + offset);

		lane_labels(t, name, i);
		fprintf(t->out, "} %.6f\n", (double)us / 1e6);
	}
}

static void put_counter(struct text *t, const char *field, const char *help, size_t offset)
{
	size_t len = strlen(field);
	char name[64];

	if (len > 3 && !strcmp(field + len - 3, "_us")) {
		put_seconds(t, field, help, offset);
		return;
	}
	snprintf(name, sizeof(name), "lane_%s_total", field);
	put_field(t, name, "counter", help, offset);
}

static void put_lane_counters(struct text *t)
{
#define C(field, text) put_counter(t, #field, text ".", offsetof(struct mr_lane_stats, field));
	MR_LANE_COUNTERS(C)
#undef C
#define C(field, text)                                                                             \
	put_field(t, "lane_" #field, "gauge", text ".", offsetof(struct mr_lane_stats, field));
	MR_LANE_GAUGES(C)
#undef C
}

static void put_lane_tables(struct text *t)
{
	uint32_t n = t->c->d->n_lanes;

	head(t, "lane_drops_total", "counter", "Frames and segments dropped, by reason.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1)) {
#define D(name, field, text)                                                                       \
	lane_value_by(t, "lane_drops_total", i, "reason", #field, t->stats[i].drop.field);
		MR_DROPS(D)
#undef D
	}
	head(t, "lane_closed_total", "counter", "Connections that ended, by reason.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1)) {
#define R(name, field, error, text)                                                                \
	lane_value_by(t, "lane_closed_total", i, "reason", #field, t->stats[i].closed.field);
		MR_CLOSE_REASONS(R)
#undef R
	}
	head(t, "lane_frames", "gauge", "Frames of the lane, by where they are.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1)) {
#define F(name, field, text)                                                                       \
	lane_value_by(t, "lane_frames", i, "state", #field, t->stats[i].frames.field);
		MR_FRAME_STATES(F)
#undef F
	}
}

/* The lane keeps no sum of times: the middle of each bucket stands for its calls. */
static void put_histogram(struct text *t, uint32_t lane)
{
	const __u64 *bucket = t->stats[lane].callback_ns;
	uint64_t calls = 0;
	double seconds = 0;

	for (int i = 0; i < MR_CALLBACK_BUCKETS; i++) {
		calls += bucket[i];
		seconds += (double)bucket[i] * (double)(1ull << i) * 1.5e-9;
		lane_labels(t, "lane_callback_seconds_bucket", lane);
		if (i == MR_CALLBACK_BUCKETS - 1)
			fprintf(t->out, ",le=\"+Inf\"} %" PRIu64 "\n", calls);
		else
			fprintf(t->out, ",le=\"%.9g\"} %" PRIu64 "\n", (double)(2ull << i) * 1e-9,
				calls);
	}
	lane_labels(t, "lane_callback_seconds_sum", lane);
	fprintf(t->out, "} %.9f\n", seconds);
	lane_value(t, "lane_callback_seconds_count", lane, calls);
}

static void put_callbacks(struct text *t)
{
	uint32_t n = t->c->d->n_lanes;

	head(t, "lane_callback_seconds", "histogram",
	     "Time spent in application callbacks; the sum is estimated from the buckets.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1))
		put_histogram(t, i);
	head(t, "lane_app_slow_callbacks_total", "counter",
	     "Application callbacks over 1 ms, by application.");
	for (uint32_t i = mr_lane_next(t->c->d, 0); i < n; i = mr_lane_next(t->c->d, i + 1))
		for (unsigned int app = 0; app < MR_LANE_APPS && mr_app_name(app); app++)
			lane_value_by(t, "lane_app_slow_callbacks_total", i, "app",
				      mr_app_name(app), t->stats[i].app_slow[app]);
}

static void put_verdicts(struct text *t)
{
	static const char *const names[] = {
#define V(name, action, text) #name,
		MR_VERDICTS(V)
#undef V
	};
	struct mr_count n[MR_VERDICT_COUNT];

	for (uint32_t i = 0; i < MR_VERDICT_COUNT; i++)
		n[i] = mr_bpf_verdict(t->c->d, i);
	head(t, "verdict_packets_total", "counter", "Packets by what the XDP program decided.");
	for (uint32_t i = 0; i < MR_VERDICT_COUNT; i++)
		fprintf(t->out, "millrace_verdict_packets_total{verdict=\"%s\"} %" PRIu64 "\n",
			mr_lower(names[i]), (uint64_t)n[i].packets);
	head(t, "verdict_bytes_total", "counter", "Bytes by what the XDP program decided.");
	for (uint32_t i = 0; i < MR_VERDICT_COUNT; i++)
		fprintf(t->out, "millrace_verdict_bytes_total{verdict=\"%s\"} %" PRIu64 "\n",
			mr_lower(names[i]), (uint64_t)n[i].bytes);
}

static void put_rule(struct text *t, const char *what, const struct mr_settings_rule *r,
		     uint64_t value)
{
	const struct mr_match *m = &r->match;

	fprintf(t->out, "millrace_rule_%s_total{", what);
	put_label(t, "rule", r->lane.name);
	fprintf(t->out, ",port=\"%u", m->port_lo);
	if (m->port_hi != m->port_lo)
		fprintf(t->out, "-%u", m->port_hi);
	fprintf(t->out, "\",action=\"%s\"} %" PRIu64 "\n", mr_action_names()[r->action], value);
}

static void put_rules_count(struct text *t, const char *what, bool bytes)
{
	const struct mr_settings *s = &t->c->d->settings;

	for (unsigned int i = 0; i < s->n_rules + s->n_filters; i++) {
		const struct mr_settings_rule *r = i < s->n_rules ? &s->rules[i]
								  : &s->filters[i - s->n_rules];
		struct mr_count n;

		if (!mr_rule_is_live(r)) /* its name may be another's by now */
			continue;
		n = mr_bpf_sum(t->c->d, MR_MAP_RSTAT, r->lane.rule_id);
		put_rule(t, what, r, bytes ? n.bytes : n.packets);
	}
}

static void put_rules(struct text *t)
{
	head(t, "rule_packets_total", "counter", "Packets that matched a rule.");
	put_rules_count(t, "packets", false);
	head(t, "rule_bytes_total", "counter", "Bytes that matched a rule.");
	put_rules_count(t, "bytes", true);
}

static void put_guard(struct text *t)
{
	const struct mr_daemon *d = t->c->d;
	uint32_t answering = 0;

	head(t, "guard_packets_total", "counter", "Packets by what the guard did with them.");
	for (uint32_t i = 0; i < MR_GUARD_COUNTS; i++)
		fprintf(t->out, "millrace_guard_packets_total{part=\"%s\"} %" PRIu64 "\n",
			mr_guard_stat_name(i), (uint64_t)mr_bpf_sum(d, MR_MAP_GSTAT, i).packets);
	head(t, "guard_blocks", "gauge", "Prefixes on the block list, exceptions included.");
	fprintf(t->out, "millrace_guard_blocks %u\n", d->guard.blocks.n);
	for (uint32_t i = mr_lane_next(d, 0); i < d->n_lanes; i = mr_lane_next(d, i + 1))
		answering += d->bpf.beats[d->lanes[i].slot].syn & MR_SYN_ANSWER;
	head(t, "guard_answering_lanes", "gauge", "Lanes whose SYNs are answered in XDP.");
	fprintf(t->out, "millrace_guard_answering_lanes %u\n", answering);
}

char *mr_metrics_text(struct mr_child *c, size_t *bytes)
{
	struct text t = { .c = c };
	char *text = NULL;

	t.stats = calloc(c->d->n_lanes, sizeof(*t.stats));
	t.out = t.stats ? open_memstream(&text, bytes) : NULL;
	if (!t.out) {
		free(t.stats);
		return NULL;
	}
	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1))
		mr_lane_stats_read(c, i, &t.stats[i]);
	put_daemon(&t);
	put_interfaces(&t);
	put_lane_facts(&t);
	put_lane_counters(&t);
	put_lane_tables(&t);
	put_callbacks(&t);
	put_verdicts(&t);
	put_rules(&t);
	put_guard(&t);
	free(t.stats);
	if (fclose(t.out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
