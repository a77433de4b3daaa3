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
#include "judge.h"

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

_Static_assert(MR_V_TAKE == 0 && MR_V_TAKE_ACTIVE < MR_V_TAKE_STALE &&
		       MR_V_TAKE_ICMP < MR_V_TAKE_STALE,
	       "the verdicts of frames for lanes are the first");

static __always_inline bool is_one_of(enum mr_verdict v, __u64 verdicts)
{
	return verdicts >> v & 1;
}

/* Those that are not answered are dropped: they would be the flood's way to the lane. */
static __always_inline int answer(struct xdp_md *ctx, __u32 frame_bytes, const struct found *found,
				  __u32 *v)
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

/* What becomes of a frame that no lane gets; @v: its verdict, perhaps with ONLY_COUNTED. */
static __always_inline int act(struct xdp_md *ctx, __u32 frame_bytes, const struct found *found,
			       __u32 *v)
{
	bool only_counted = *v & ONLY_COUNTED;

	*v &= ~ONLY_COUNTED;
	if (only_counted)
		return XDP_PASS;
	if (*v == MR_V_SYN_COOKIE)
		return answer(ctx, frame_bytes, found, v);
	return is_one_of(*v, verdicts_that(XDP_DROP)) ? XDP_DROP : XDP_PASS;
}

/* To the lane of @slot; @v: the verdict, which may change. */
static __always_inline int redirect(__u32 slot, __u32 *v)
{
	int action = bpf_redirect_map(&mr1_xsk, slot, XDP_PASS);

	if (action != XDP_REDIRECT)
		*v = MR_V_NO_SOCKET;
	return action;
}

static __always_inline int handle_fully(struct xdp_md *ctx, __u32 frame_bytes, struct found *found)
{
	__u32 v = judge_fully(ctx, frame_bytes, found);
	int action;

	if (v <= MR_V_TAKE_STALE)
		action = redirect(found->slot, &v);
	else
		action = act(ctx, frame_bytes, found, &v);
	if (is_tapped())
		mr_tap(ctx, v | action << 16, found->rule ? found->rule->rule_id : MR_TAP_NONE,
		       found->slot, frame_bytes);
	count_verdict(v, frame_bytes);
	return action;
}

static __always_inline int handle(struct xdp_md *ctx, __u32 frame_bytes)
{
	struct found found;
	int action = XDP_PASS;
	__u32 slot, v;

	v = judge_plain(ctx, frame_bytes, &found.flow, &slot);
	if (v == NOT_JUDGED)
		return handle_fully(ctx, frame_bytes, &found);
	if (v == MR_V_TAKE)
		action = redirect(slot, &v);
	count(&mr1_verdict, v, frame_bytes);
	return action;
}

_Static_assert(MR_V_NO_SOCKET < MR_VERDICTS_FIRST && MR_V_NO_RULE < MR_VERDICTS_FIRST &&
		       MR_V_KERNEL_FLOW < MR_VERDICTS_FIRST,
	       "what the short way counts is in the first map");

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
