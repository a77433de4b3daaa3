/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The XDP program. It takes the frames of just those flows that rules name, or that lanes opened,
 * and hands each to the AF_XDP socket of its receive queue; everything else goes its way through
 * the kernel. With empty maps it is harmless. Each frame gets one verdict of
 * include/shared/mr_verdict.h, which is its action and its counter.
 *
 * Two sections from one body: "xdp" for drivers that hand over a frame in one buffer, "xdp.frags"
 * for those that may hand over several. There the headers must be in the first one.
 */
#include "maps.h"
#include "cookie.h"
#include "guard.h"
#include "parse.h"
#include "rules.h"
#include "steer.h"
#include "tap.h"

/*
 * The verdicts of one action, a bit each. A switch would become a table in .rodata, which is a
 * map of its own.
 */
static __always_inline __u64 verdicts_that(enum xdp_action wanted)
{
#define V(name, action, text) | ((__u64)((action) == wanted) << MR_V_##name)
	return 0 MR_VERDICTS(V);
#undef V
}

_Static_assert(MR_VERDICT_COUNT <= 64, "a verdict is a bit of a word");
#define V(name, action, text)                                                                      \
	_Static_assert((action) == XDP_PASS || (action) == XDP_DROP || (action) == XDP_REDIRECT || \
			       (action) == XDP_TX,                                                 \
		       "action of " #name);
MR_VERDICTS(V)
#undef V

static __always_inline bool is_one_of(enum mr_verdict v, __u64 verdicts)
{
	return verdicts >> v & 1;
}

/*
 * Keeps an object on the stack. In registers, clang would spill fields of it that a cut frame
 * left unset, which verifiers refuse.
 */
static __always_inline void in_memory(void *object)
{
	asm volatile("" : : "r"(object) : "memory");
}

static __always_inline const struct mr_interface *interface_of(const struct rules *r, __u32 ifindex)
{
	const struct mr_interface *near;
	__u32 place = mr_near(ifindex);

	near = bpf_map_lookup_elem(&mr1_near, &place);
	if (near && near->ifindex == ifindex && r->generation.promises & MR_PROMISE_NEAR)
		return near;
	return bpf_map_lookup_elem(&mr1_if, &ifindex);
}

/* What was found out about a frame, beside its verdict. */
struct found {
	const struct mr_rule *rule; /* NULL: none */
	__u32 slot;		    /* MR_TAP_NONE: for no lane */
};

/* What needs no byte of the frame comes first: other interfaces, and no rules, stay cheap. */
static __always_inline enum mr_verdict judge(struct xdp_md *ctx, __u32 frame_bytes, struct flow *f,
					     struct found *found)
{
	struct cursor c = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.left = frame_bytes,
	};
	const struct mr_interface *ifc;
	const struct mr_config *cfg;
	const struct mr_rule *rule;
	struct rules rules;
	enum mr_verdict v;
	__u32 zero = 0;

	cfg = bpf_map_lookup_elem(&mr1_cfg, &zero);
	if (!cfg)
		return MR_V_NO_RULES;
	rules = active_rules(cfg);
	if (rules.generation.mode == MR_MODE_BYPASS)
		return MR_V_NO_RULES;
	f->counted = rules.generation.mode == MR_MODE_MONITOR;
	ifc = interface_of(&rules, ctx->ingress_ifindex);
	if (!ifc)
		return MR_V_NO_INTERFACE;
	if (rules.none && !ifc->port_hi && !(rules.generation.promises & MR_GUARD_BLOCK))
		return MR_V_NO_RULES;
	in_memory(f);
	v = parse_frame(&c, f);
	if (rules.generation.promises & MR_GUARD_BLOCK && has_addresses(v) &&
	    is_from_blocked(f, rules.generation.promises, frame_bytes))
		return MR_V_GUARD_BLOCK;
	if (!is_for_a_lane(v))
		return v;
	rule = find_rule(&rules, f, ctx);
	found->rule = rule;
	if (rules.none && !ifc->port_hi)
		return MR_V_NO_RULES;
	v = claim(f, rule, ifc, frame_bytes, v);
	if (!is_for_a_lane(v))
		return v;
	if (ctx->rx_queue_index >= ifc->n_queues)
		return MR_V_NO_QUEUE;
	found->slot = ifc->slot_base + ctx->rx_queue_index;
	if (rules.generation.promises & MR_GUARD_LIMITS && rule) {
		int over = limit_frame(f, rule->rule_id, rules.generation.promises, frame_bytes);

		if (over >= 0)
			return (enum mr_verdict)over;
	}
	return steer(f, rule, cfg, found->slot, v);
}

/* Those that are not answered are dropped: they would be the flood's way to the lane. */
static __always_inline int answer(struct xdp_md *ctx, __u32 frame_bytes, const struct found *found,
				  enum mr_verdict *v)
{
	if (found->rule && answer_syn(ctx, frame_bytes, found->slot, found->rule->rule_id)) {
		count(&mr1_gstat, MR_GUARD_SYNS_ANSWERED_STAT, frame_bytes);
		return XDP_TX;
	}
	count(&mr1_gstat, MR_GUARD_SYNS_ODD_STAT, frame_bytes);
	*v = MR_V_SYN_ODD;
	return XDP_DROP;
}

static __always_inline void count_verdict(enum mr_verdict v, __u32 frame_bytes)
{
	if (v < MR_VERDICTS_FIRST)
		count(&mr1_verdict, v, frame_bytes);
	else
		count(&mr1_verdict2, v - MR_VERDICTS_FIRST, frame_bytes);
}

static __always_inline int decide(struct xdp_md *ctx, __u32 frame_bytes, bool tapped)
{
	struct found found = { .slot = MR_TAP_NONE };
	int action = XDP_PASS;
	enum mr_verdict v;
	struct flow f;

	f.counted = 0;
	v = judge(ctx, frame_bytes, &f, &found);
	if (f.counted) {
		action = XDP_PASS;
	} else if (is_one_of(v, verdicts_that(XDP_REDIRECT))) {
		action = bpf_redirect_map(&mr1_xsk, found.slot, XDP_PASS);
		if (action != XDP_REDIRECT)
			v = MR_V_NO_SOCKET;
	} else if (v == MR_V_SYN_COOKIE) {
		action = answer(ctx, frame_bytes, &found, &v);
	} else if (is_one_of(v, verdicts_that(XDP_DROP))) {
		action = XDP_DROP;
	}
	if (tapped)
		mr_tap(ctx, v | action << 16, found.rule ? found.rule->rule_id : MR_TAP_NONE,
		       found.slot, frame_bytes);
	count_verdict(v, frame_bytes);
	return action;
}

/*
 * The same while somebody captures. A function of its own, so that what the capture wants to know
 * need not be kept while nobody does; and not static, so that it is verified by itself.
 */
__noinline int mr_tapped(struct xdp_md *ctx, __u32 frame_bytes)
{
	return decide(ctx, frame_bytes, true);
}

static __always_inline int handle(struct xdp_md *ctx, __u32 frame_bytes)
{
	if (__builtin_expect(is_tapped(), 0))
		return mr_tapped(ctx, frame_bytes);
	return decide(ctx, frame_bytes, false);
}

SEC("xdp")
int mr_xdp(struct xdp_md *ctx)
{
	return handle(ctx, ctx->data_end - ctx->data);
}

SEC("xdp.frags")
int mr_xdp_frags(struct xdp_md *ctx)
{
	return handle(ctx, bpf_xdp_get_buff_len(ctx));
}

/*
 * What the object is, for whoever reads the file before loading it (docs/maps.md). In a section
 * that loaders do not know, it becomes no map.
 */
const struct mr_abi MR_ABI SEC("mr_abi") = {
	.magic = MR_ABI_MAGIC,
	.major = MR_ABI_MAJOR,
	.minor = MR_ABI_MINOR,
	.n_verdicts = MR_VERDICT_COUNT,
};

char LICENSE[] SEC("license") = "GPL";
