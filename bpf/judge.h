/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A frame's verdict. There is one way for all frames, judge_fully(), and a short one for nearly
 * all: plain frames, while the generation asks for nothing but a rule of theirs. It ends in the
 * full one wherever something is out of the ordinary, without having changed or counted anything,
 * so that what is rare takes neither steps nor registers of what is not.
 */
#ifndef MR_BPF_JUDGE_H
#define MR_BPF_JUDGE_H

#include "guard.h"
#include "maps.h"
#include "parse.h"
#include "rules.h"
#include "steer.h"
#include "tap.h"

/* What was found out about a frame, beside its verdict. */
struct found {
	const struct mr_rule *rule; /* NULL: none */
	__u32 slot;		    /* MR_TAP_NONE: for no lane */
	struct flow flow;
};

enum {
	NOT_JUDGED = MR_VERDICT_COUNT,
};

/*
 * Keeps an object on the stack. In registers, clang would spill fields of it that a cut frame
 * left unset, which verifiers refuse.
 */
static __always_inline void in_memory(void *object)
{
	asm volatile("" : : "r"(object) : "memory");
}

static __always_inline const struct mr_interface *near_interface(__u32 ifindex)
{
	const struct mr_interface *near;
	__u32 place = mr_near(ifindex);

	near = bpf_map_lookup_elem(&mr1_near, &place);
	return near && near->ifindex == ifindex ? near : NULL;
}

static __always_inline const struct mr_interface *interface_of(struct rules r, __u32 ifindex)
{
	const struct mr_interface *near = near_interface(ifindex);

	if (near && r.generation.promises & MR_PROMISE_NEAR)
		return near;
	return bpf_map_lookup_elem(&mr1_if, &ifindex);
}

/* Behind the parser; @v: what it found. */
static __always_inline enum mr_verdict judge_flow(struct xdp_md *ctx, __u32 frame_bytes,
						  struct found *found, struct rules r,
						  const struct mr_config *cfg,
						  const struct mr_interface *ifc, enum mr_verdict v,
						  bool only_counted)
{
	const struct flow *f = &found->flow;
	const struct mr_rule *rule = find_rule(r.word, f, ctx);

	found->rule = rule;
	if (!rule && !ifc->port_hi && (!r.generation.shapes || !is_all_there(r.word)))
		return MR_V_NO_RULES;
	v = claim(f, rule, ifc, frame_bytes, v, only_counted);
	if (!is_for_a_lane(v))
		return v;
	if (ctx->rx_queue_index >= ifc->n_queues)
		return MR_V_NO_QUEUE;
	found->slot = ifc->slot_base + ctx->rx_queue_index;
	if (r.generation.promises & MR_GUARD_LIMITS && rule) {
		__u32 parts = r.generation.promises | (only_counted ? ONLY_COUNTED : 0);
		int over = limit_frame(f, rule->rule_id, parts, frame_bytes);

		if (over >= 0)
			return (enum mr_verdict)over;
	}
	return steer(f, rule, cfg, found->slot, v, only_counted);
}

/* What needs no byte of the frame comes first: other interfaces, and no rules, stay cheap. */
static __always_inline enum mr_verdict judge_any(struct xdp_md *ctx, __u32 frame_bytes,
						 struct found *found, const struct mr_config *cfg,
						 struct rules r)
{
	bool only_counted = r.generation.mode == MR_MODE_MONITOR;
	struct flow *f = &found->flow;
	const struct mr_interface *ifc;
	enum mr_verdict v;

	if (r.generation.mode == MR_MODE_BYPASS)
		return MR_V_NO_RULES;
	ifc = interface_of(r, ctx->ingress_ifindex);
	if (!ifc)
		return MR_V_NO_INTERFACE;
	if (!r.generation.shapes && !ifc->port_hi && !(r.generation.promises & MR_GUARD_BLOCK))
		return MR_V_NO_RULES;
	in_memory(f);
	v = parse_all(ctx, frame_bytes, f);
	if (r.generation.promises & MR_GUARD_BLOCK && has_addresses(v) &&
	    is_from_blocked(f, r.generation.promises, frame_bytes))
		return MR_V_GUARD_BLOCK;
	return is_for_a_lane(v) ? judge_flow(ctx, frame_bytes, found, r, cfg, ifc, v, only_counted)
				: v;
}

/* The verdict, perhaps with ONLY_COUNTED. */
static __noinline __u32 judge_fully(struct xdp_md *ctx, __u32 frame_bytes, struct found *found)
{
	const struct mr_config *cfg;
	struct rules r;
	__u32 zero = 0;

	found->rule = NULL;
	found->slot = MR_TAP_NONE;
	cfg = bpf_map_lookup_elem(&mr1_cfg, &zero);
	if (!cfg)
		return MR_V_NO_RULES;
	r = active_rules(cfg);
	return judge_any(ctx, frame_bytes, found, cfg, r) |
	       (r.generation.mode == MR_MODE_MONITOR ? ONLY_COUNTED : 0);
}

/* Nothing is asked but the rule of a key, and that interfaces stand in mr1_near is promised. */
static __always_inline bool is_ordinary(struct rules r)
{
	const struct rules wanted = { .generation = { .promises = MR_PROMISE_NEAR } };
	const struct rules of = { .generation = {
					  .shapes = MR_SHAPE_SOURCES | MR_SHAPE_INTERFACES,
					  .promises = MR_PROMISE_NEAR | MR_GUARD_BLOCK |
						      MR_GUARD_LIMITS,
					  .mode = 0xff, /* MR_MODE_ENFORCE is 0 */
				  } };

	return !((r.word ^ wanted.word) & of.word);
}

_Static_assert(MR_MODE_ENFORCE == 0, "no bit of the mode");

/* Of a key that no rule names: NO_RULE, unless a lane may have opened the connection. */
static __always_inline __u32 judge_unnamed(struct xdp_md *ctx, const struct flow *f)
{
	const struct mr_interface *ifc = near_interface(ctx->ingress_ifindex);

	return ifc && !is_port_of_lanes(f, ifc) ? MR_V_NO_RULE : NOT_JUDGED;
}

/*
 * The short way: TAKE, with the slot, or a verdict of frames that pass; else NOT_JUDGED, and
 * nothing is changed but what the CPU remembers.
 */
static __always_inline __u32 judge_plain(struct xdp_md *ctx, __u32 frame_bytes, struct flow *f,
					 __u32 *slot)
{
	const struct mr_interface *ifc;
	const struct mr_config *cfg;
	struct mr_beat *b;
	struct memory m;
	struct rules r;
	__u32 zero = 0;
	__u64 now;

	cfg = bpf_map_lookup_elem(&mr1_cfg, &zero);
	if (!cfg || is_tapped())
		return NOT_JUDGED;
	r = active_rules(cfg);
	if (!is_ordinary(r))
		return NOT_JUDGED;
	ifc = near_interface(ctx->ingress_ifindex);
	if (!ifc)
		return NOT_JUDGED;
	*slot = ctx->rx_queue_index < ifc->n_queues ? ifc->slot_base + ctx->rx_queue_index
						    : MR_TAP_NONE;
	in_memory(f);
	if (!parse_plain(ctx, frame_bytes, f))
		return NOT_JUDGED;
	m = remembered(r.word, f);
	if (!m.sure) {
		if (!r.generation.shapes)
			return NOT_JUDGED;
		m.rule = find_anew(r.word, f);
	}
	if (!m.rule)
		return m.sure || is_all_there(r.word) ? judge_unnamed(ctx, f) : NOT_JUDGED;
	if (m.rule->action != MR_ACTION_STEER)
		return NOT_JUDGED;
	b = bpf_map_lookup_elem(&mr1_beat, slot);
	if (!b || b->syn & MR_SYN_LOOK)
		return NOT_JUDGED;
	now = kept_clock(b);
	if (beat_of(b, cfg, now) != BEAT_FRESH)
		return NOT_JUDGED;
	count(&mr1_rstat, m.rule->rule_id, frame_bytes);
	return is_kernel_flow(f, BEAT_FRESH, now, false) ? MR_V_KERNEL_FLOW : MR_V_TAKE;
}

#endif
