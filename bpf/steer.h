/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whose frame it is: the rules' or a lane's own port, and then whether the lane of this receive
 * queue lives. Its heartbeat has three conditions. Fresh: the lane gets the frame. Stale: it gets
 * what it had begun (it may come back, or be replaced, before its peers notice), while a new
 * connection goes to the kernel where the rule says so, and stays there (mr1_kflow). Gone: the
 * kernel gets everything and resets the peers, which beats a black hole.
 *
 * No metadata is put in front of the frame. The lane has to parse it again anyway, because it
 * must not trust a program that somebody else may have attached; what the program found out
 * beyond that, the rule, costs the lane nothing, since it looks up connections, not rules. Moving
 * the metadata pointer would cost every steered frame a helper call, and drivers that have no
 * room for metadata would refuse it.
 */
#ifndef MR_BPF_STEER_H
#define MR_BPF_STEER_H

#include "full.h"
#include "maps.h"
#include "parse.h"
#include "rules.h"

enum beat {
	BEAT_FRESH,
	BEAT_STALE,
	BEAT_GONE,
};

static __always_inline void count(void *map, __u32 key, __u32 frame_bytes)
{
	struct mr_count *n = bpf_map_lookup_elem(map, &key);

	if (!n)
		return;
	n->packets++;
	n->bytes += frame_bytes;
}

static __noinline bool is_local(const struct flow *f)
{
	struct mr_local_key key;

	__builtin_memcpy(key.addr, f->daddr, sizeof(key.addr));
	return bpf_map_lookup_elem(&mr1_local, &key) != NULL;
}

static __always_inline bool is_port_of_lanes(const struct flow *f, const struct mr_interface *ifc)
{
	__u16 port = mr_be16(f->dport);

	return f->protocol == IPPROTO_TCP && ifc->port_hi && port >= ifc->port_lo &&
	       port <= ifc->port_hi;
}

/* For a connection that a lane opened: its own port, on an address that lanes open from. */
static __always_inline bool is_active_open(const struct flow *f, const struct mr_interface *ifc)
{
	return is_port_of_lanes(f, ifc) && is_local(f);
}

/* Whether the parser found a flow, or a piece of one, that a rule may give to a lane. */
static __always_inline bool is_for_a_lane(enum mr_verdict v)
{
	return v == MR_V_TAKE || v == MR_V_TAKE_ACTIVE || v == MR_V_TAKE_ICMP ||
	       v == MR_V_FRAGMENT_STEERED;
}

/* @v was for a lane, but no lane is to have it. */
static __always_inline enum mr_verdict not_steered(enum mr_verdict v, enum mr_verdict whole)
{
	if (v == MR_V_TAKE_ICMP)
		return MR_V_ICMP_OTHER;
	return v == MR_V_FRAGMENT_STEERED ? MR_V_FRAGMENT : whole;
}

static __always_inline bool is_new_connection(const struct flow *f)
{
	return (f->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline struct mr_flow_key flow_key(const struct flow *f)
{
	struct mr_flow_key key = { .sport = f->sport, .dport = f->dport, .protocol = f->protocol };

	__builtin_memcpy(key.saddr, f->saddr, sizeof(key.saddr));
	__builtin_memcpy(key.daddr, f->daddr, sizeof(key.daddr));
	return key;
}

/* False: it could not be noted, so that the kernel must not get it. */
static __noinline bool leave_to_kernel(const struct flow *f, __u32 rule_id, __u64 now)
{
	struct mr_kernel_flow value = { .last_ns = now, .rule_id = rule_id };
	struct mr_flow_key key = flow_key(f);
	struct mr_kernel_flows *all;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&mr1_kflows, &zero);
	if (!all || bpf_map_update_elem(&mr1_kflow, &key, &value, BPF_ANY) < 0)
		return false;
	__sync_fetch_and_add(&all->inserted, 1);
	return true;
}

/*
 * A rule that is gone: what it had steered goes on to the lane. A new connection is the kernel's,
 * and noted, for the rest of its frames look the same.
 */
static __noinline bool is_kept(const struct flow *f, __u32 rule_id, bool only_counted)
{
	if (!is_new_connection(f))
		return true;
	if (!only_counted)
		leave_to_kernel(f, rule_id, bpf_ktime_get_coarse_ns());
	return false;
}

/*
 * What a rule that does not steer says. A dropped flow's first fragment is dropped too, or
 * fragments would be the way around the rule; errors about it are not, they say nothing for it.
 */
static __always_inline enum mr_verdict obey_rule(const struct flow *f, const struct mr_rule *rule,
						 enum mr_verdict v, bool only_counted)
{
	if (rule->action == MR_ACTION_KEEP)
		return v != MR_V_TAKE || is_kept(f, rule->rule_id, only_counted) ? v : MR_V_NO_RULE;
	if (rule->action == MR_ACTION_DROP && v != MR_V_TAKE_ICMP)
		return MR_V_RULE_DROP;
	return not_steered(v, MR_V_RULE_PASS);
}

/* Whose the flow is; @v: what the parser found. A rule's hit counts whatever the rule says. */
static __always_inline enum mr_verdict claim(const struct flow *f, const struct mr_rule *rule,
					     const struct mr_interface *ifc, __u32 frame_bytes,
					     enum mr_verdict v, bool only_counted)
{
	if (rule) {
		count(&mr1_rstat, rule->rule_id, frame_bytes);
		return rule->action == MR_ACTION_STEER ? v : obey_rule(f, rule, v, only_counted);
	}
	if (!is_active_open(f, ifc))
		return not_steered(v, MR_V_NO_RULE);
	return v == MR_V_TAKE ? MR_V_TAKE_ACTIVE : v;
}

/*
 * The coarse clock as it was when this tick's first frame came to any CPU. Reading jiffies is a
 * load; reading the clock costs as much as all look-ups of a steered frame. The kernel moves
 * jiffies a little before the clock, and other CPUs may write here at the same time, so what is
 * kept may be old: up to two ticks, and where processors reorder stores, for a moment, as old as
 * the frame before. Never ahead. So a lane may look fresher than it is, but whoever finds it not
 * fresh has to ask the clock.
 */
static __always_inline __u64 kept_clock(struct mr_beat *b)
{
	volatile __u64 *kept_tick = &b->tick, *now_ns = &b->now_ns; /* in this order */
	__u64 tick = bpf_jiffies64();

	if (*kept_tick != tick) {
		*now_ns = bpf_ktime_get_coarse_ns();
		*kept_tick = tick;
	}
	return *now_ns;
}

/*
 * The coarse clock stands still between two ticks, so a beat may lie ahead of it. One that lies
 * further ahead than the grace time is no clock's reading.
 */
static __always_inline enum beat beat_of(const struct mr_beat *b, const struct mr_config *cfg,
					 __u64 now)
{
	__u64 beat = *(const volatile __u64 *)&b->beat_ns, age = now - beat;

	if (!beat)
		return BEAT_GONE;
	if (age <= cfg->stale_ns || -age <= cfg->grace_ns)
		return BEAT_FRESH;
	return age <= cfg->grace_ns ? BEAT_STALE : BEAT_GONE;
}

/* In mode monitor a frame passes whatever its verdict, beside which this stands. */
enum {
	ONLY_COUNTED = 1 << 8,
};

/*
 * What only few frames need stands in functions of its own, so that the registers are the others'.
 *
 * Whether the kernel has this connection since a lane was stale. Its end is a RST, or the peer's
 * new connection to a lane that is back; all else leaves the map by age.
 */
static __noinline bool is_known_to_kernel(const struct flow *f, enum beat beat, __u64 now,
					  bool only_counted)
{
	struct mr_flow_key key = flow_key(f);
	struct mr_kernel_flow *known = bpf_map_lookup_elem(&mr1_kflow, &key);
	bool is_over = is_new_connection(f) && beat == BEAT_FRESH;

	if (!known || only_counted)
		return known && !is_over;
	if (is_over) {
		bpf_map_delete_elem(&mr1_kflow, &key);
		return false;
	}
	if (f->tcp_flags & TCP_RST)
		bpf_map_delete_elem(&mr1_kflow, &key);
	else
		known->last_ns = now;
	return true;
}

static __always_inline bool is_kernel_flow(const struct flow *f, enum beat beat, __u64 now,
					   bool only_counted)
{
	const struct mr_kernel_flows *all;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&mr1_kflows, &zero);
	return all && all->inserted && f->protocol == IPPROTO_TCP &&
	       is_known_to_kernel(f, beat, now, only_counted);
}

/* A SYN of a rule. */
static __always_inline bool is_answered(const struct flow *f, enum mr_verdict v)
{
	return v == MR_V_TAKE && is_new_connection(f);
}

/* While the lane says that not all SYNs are for it. */
static __always_inline enum mr_verdict look_at_syn(const struct flow *f, const struct mr_beat *b,
						   __u32 slot, __u64 now, enum mr_verdict v,
						   bool only_counted)
{
	if (!is_answered(f, v))
		return v;
	if (b->syn & MR_SYN_FULL && is_source_full(f, slot, now, only_counted))
		return MR_V_SOURCE_FULL;
	return b->syn & MR_SYN_ANSWER ? MR_V_SYN_COOKIE : v;
}

/* What a lane of that beat gets of a frame that is its own; @v: the verdict while it is fresh. */
static __always_inline enum mr_verdict steer_by(const struct flow *f, const struct mr_rule *rule,
						const struct mr_beat *b, __u32 slot, enum beat beat,
						__u64 now, enum mr_verdict v, bool only_counted)
{
	if (is_kernel_flow(f, beat, now, only_counted))
		return MR_V_KERNEL_FLOW;
	if (beat == BEAT_GONE)
		return MR_V_GONE;
	if (beat == BEAT_FRESH || v == MR_V_FRAGMENT_STEERED)
		return b->syn & MR_SYN_LOOK ? look_at_syn(f, b, slot, now, v, only_counted) : v;
	if (rule && rule->fallback == MR_FALLBACK_KERNEL && is_new_connection(f) &&
	    (only_counted || leave_to_kernel(f, rule->rule_id, now)))
		return MR_V_STALE_NEW;
	return MR_V_TAKE_STALE;
}

/* What the lane of @slot gets, whatever its condition. */
static __always_inline enum mr_verdict steer(const struct flow *f, const struct mr_rule *rule,
					     const struct mr_config *cfg, __u32 slot,
					     enum mr_verdict v, bool only_counted)
{
	struct mr_beat *b = bpf_map_lookup_elem(&mr1_beat, &slot);
	enum beat beat;
	__u64 now;

	if (!b)
		return MR_V_GONE;
	now = kept_clock(b);
	beat = beat_of(b, cfg, now);
	if (beat != BEAT_FRESH) {
		now = bpf_ktime_get_coarse_ns();
		beat = beat_of(b, cfg, now);
	}
	return steer_by(f, rule, b, slot, beat, now, v, only_counted);
}

#endif
