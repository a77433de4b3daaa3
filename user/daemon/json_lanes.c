/* SPDX-License-Identifier: MIT */
/* GET /v1/lanes and the sums of /v1/stats. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include <linux/bpf.h>

#include "shared/mr_verdict.h"
#include "user/daemon/api.h"
#include "user/daemon/drain.h"
#include "user/daemon/bpf.h"
#include "user/daemon/sockets.h"

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, number(v));
}

static json_t *counters(const struct mr_lane_stats *s)
{
	json_t *o = json_object();

#define C(field, text) set(o, #field, s->field);
	MR_LANE_COUNTERS(C)
#undef C
	return o;
}

static json_t *gauges(const struct mr_lane_stats *s)
{
	json_t *o = json_object();

#define C(field, text) set(o, #field, s->field);
	MR_LANE_GAUGES(C)
#undef C
	return o;
}

static void set_if(json_t *o, const char *key, uint64_t v, bool zeros)
{
	if (v || zeros)
		set(o, key, v);
}

static json_t *drops(const struct mr_lane_stats *s, bool zeros)
{
	json_t *o = json_object();

#define D(name, field, text) set_if(o, #field, s->drop.field, zeros);
	MR_DROPS(D)
#undef D
	return o;
}

static json_t *closes(const struct mr_lane_stats *s, bool zeros)
{
	json_t *o = json_object();

#define R(name, field, error, text) set_if(o, #field, s->closed.field, zeros);
	MR_CLOSE_REASONS(R)
#undef R
	return o;
}

static json_t *frames(const struct mr_lane_stats *s)
{
	json_t *o = json_object();

#define F(name, field, text) set(o, #field, s->frames.field);
	MR_FRAME_STATES(F)
#undef F
	return o;
}

static json_t *histogram(const struct mr_lane_stats *s)
{
	json_t *a = json_array();

	for (int i = 0; i < MR_CALLBACK_BUCKETS; i++) {
		json_t *bucket;

		if (!s->callback_ns[i])
			continue;
		bucket = json_object();
		set(bucket, "from_ns", i ? 1ull << i : 0);
		json_object_set_new(bucket, "to_ns",
				    i == MR_CALLBACK_BUCKETS - 1 ? json_null()
								 : number((2ull << i) - 1));
		set(bucket, "calls", s->callback_ns[i]);
		json_array_append_new(a, bucket);
	}
	return a;
}

static json_t *callbacks(const struct mr_lane_stats *s)
{
	json_t *o = json_object(), *slow = json_object();

	for (unsigned int i = 0; i < MR_LANE_APPS; i++)
		if (s->app_slow[i] && mr_app_name(i))
			set(slow, mr_app_name(i), s->app_slow[i]);
	set(o, "calls", s->callbacks);
	set(o, "slow", s->callbacks_slow);
	json_object_set_new(o, "slow_by_app", slow);
	json_object_set_new(o, "histogram", histogram(s));
	return o;
}

static void put_identity(json_t *o, struct mr_child *c, uint32_t i)
{
	const struct mr_lane *l = &c->d->lanes[i];
	const struct mr_link *k = mr_lane_link(c->d, l);
	char ports[16], words[48];

	json_object_set_new(o, "interface", json_string(k->name));
	json_object_set_new(o, "bond",
			    k->bond_ifindex ? json_string(k->settings->name) : json_null());
	set(o, "queue", l->index);
	set(o, "lane", l->index);
	set(o, "slot", l->slot);
	json_object_set_new(o, "pid", l->pid > 0 ? json_integer(l->pid) : json_null());
	json_object_set_new(o, "state", json_string(mr_lane_state_text(c, i)));
	set(o, "epoch", l->epoch);
	set(o, "restarts", l->restarts);
	set(o, "stales", c->wards[i].stales);
	json_object_set_new(o, "drain", mr_json_drain(&c->wards[i]));
	json_object_set_new(o, "last_exit",
			    json_string(l->has_exited ? mr_exit_words(l->last_status, words) : ""));
	json_object_set_new(o, "cpu", l->cpu >= 0 ? json_integer(l->cpu) : json_null());
	json_object_set_new(o, "ports", json_string(mr_ports_text(l->port_lo, l->port_hi, ports)));
}

static void put_mode(json_t *o, struct mr_child *c, uint32_t i)
{
	const struct mr_lane *l = &c->d->lanes[i];
	const struct mr_link *k = mr_lane_link(c->d, l);
	uint64_t age_ns;
	const char *beat = mr_lane_beat(c, i, &age_ns);

	json_object_set_new(o, "link", json_string(mr_link_text(k)));
	json_object_set_new(o, "attach", json_string(mr_link_attach_text(k)));
	json_object_set_new(o, "bind", json_string(mr_lane_bind_text(l)));
	json_object_set_new(o, "why", json_string(mr_lane_why(c, i)));
	json_object_set_new(o, "socket", json_string(mr_sockets_text(c->d)));
	json_object_set_new(o, "need_wakeup", json_true()); /* mr_xsk_open() always asks for it */
	json_object_set_new(o, "beat", json_string(beat));
	json_object_set_new(o, "beat_age_ms",
			    strcmp(beat, "none") ? json_real((double)(age_ns / 100000) / 10)
						 : json_null());
	set(o, "arena_bytes", l->layout.total_bytes);
	json_object_set_new(o, "huge_pages", json_boolean(l->huge));
	set(o, "frame_bytes", k->frame_bytes);
	set(o, "frame_count", c->d->settings.lanes.frames);
}

static json_t *lane(struct mr_child *c, uint32_t i)
{
	json_t *o = json_object(), *levels;
	struct mr_lane_stats s;

	mr_lane_stats_read(c, i, &s);
	put_identity(o, c, i);
	put_mode(o, c, i);
	levels = gauges(&s);
	json_object_update(o, levels);
	json_decref(levels);
	json_object_set_new(o, "counters", counters(&s));
	json_object_set_new(o, "drops", drops(&s, false));
	json_object_set_new(o, "closes", closes(&s, false));
	json_object_set_new(o, "frames", frames(&s));
	json_object_set_new(o, "callbacks", callbacks(&s));
	return o;
}

/* Interfaces that have more queues than lanes. */
static json_t *unserved(const struct mr_daemon *d)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < d->n_links; i++) {
		const struct mr_link *k = &d->links[i];

		if (!k->gone && k->queues > k->n_queues)
			json_array_append_new(a, json_pack("{s:s, s:i, s:i}", "interface", k->name,
							   "receive_queues", (int)k->queues,
							   "lanes", (int)k->n_queues));
	}
	return a;
}

json_t *mr_json_lanes(struct mr_child *c)
{
	json_t *o = json_pack("{s:i, s:s}", "v", 1, "mode", mr_mode_names()[c->d->settings.mode]);
	json_t *a = json_array();

	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1))
		json_array_append_new(a, lane(c, i));
	json_object_set_new(o, "lanes", a);
	json_object_set_new(o, "unserved", unserved(c->d));
	return o;
}

static const char *action_text(int action)
{
	if (action == XDP_TX)
		return "answer";
	return action == XDP_REDIRECT ? "redirect" : action == XDP_DROP ? "drop" : "pass";
}

static json_t *verdicts(struct mr_child *c)
{
	static const struct {
		const char *name;
		int action;
		const char *text;
	} table[] = {
#define V(name, action, text) { #name, action, text },
		MR_VERDICTS(V)
#undef V
	};
	json_t *a = json_array();

	for (uint32_t i = 0; i < MR_VERDICT_COUNT; i++) {
		struct mr_count n = mr_bpf_verdict(c->d, i);

		json_array_append_new(a, json_pack("{s:s, s:s, s:s, s:I, s:I}", "name",
						   mr_lower(table[i].name), "action",
						   action_text(table[i].action), "text",
						   table[i].text, "packets", (json_int_t)n.packets,
						   "bytes", (json_int_t)n.bytes));
	}
	return a;
}

/* All of it is 64-bit numbers but the first two fields, which mean nothing in a sum. */
static void add_stats(struct mr_lane_stats *sum, const struct mr_lane_stats *s)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)s;

	for (size_t i = 1; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

json_t *mr_json_stats(struct mr_child *c)
{
	struct mr_lane_stats sum = { 0 }, s;
	struct mr_kernel_flows flows = { 0 };
	json_t *o = json_pack("{s:i, s:s}", "v", 1, "mode", mr_mode_names()[c->d->settings.mode]);
	uint32_t zero = 0;

	for (uint32_t i = mr_lane_next(c->d, 0); i < c->d->n_lanes; i = mr_lane_next(c->d, i + 1)) {
		mr_lane_stats_read(c, i, &s);
		add_stats(&sum, &s);
	}
	bpf_map_lookup_elem(c->d->bpf.reader[MR_MAP_KFLOWS], &zero, &flows);
	json_object_set_new(o, "verdicts", verdicts(c));
	json_object_set_new(o, "counters", counters(&sum));
	json_object_set_new(o, "gauges", gauges(&sum));
	json_object_set_new(o, "drops", drops(&sum, true));
	json_object_set_new(o, "closes", closes(&sum, true));
	json_object_set_new(o, "frames", frames(&sum));
	json_object_set_new(o, "callbacks", callbacks(&sum));
	set(o, "kernel_flows", flows.inserted);
	return o;
}
