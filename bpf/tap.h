/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copies of frames for who captures (`millrace capture`), with what became of them. Off, it costs a
 * frame one load and one branch. On, a frame is copied into a ring that the capturer brought; one
 * that finds no room there is counted, and goes its way as ever.
 *
 * A ring takes records of a size that is known when the program is made, so there are three: what
 * is small, a frame of an ordinary MTU, a jumbo frame. Who reads is woken when a good deal waits,
 * and looks by itself else: a wake-up a frame would cost more than the copy.
 */
#ifndef MR_BPF_TAP_H
#define MR_BPF_TAP_H

#include "maps.h"

enum {
	TAP_SMALL = 256, /* bytes of a record */
	TAP_USUAL = 2048,
	TAP_LARGE = 16384,
};

_Static_assert(TAP_LARGE - sizeof(struct mr_tap_frame) == MR_TAP_COPY_MOST, "largest record");

/* @bytes of a record hold what is to be copied. False: no room. */
static __always_inline bool tap_record(struct xdp_md *ctx, void *ring,
				       const struct mr_tap_frame *head, __u32 bytes, __u64 wake)
{
	__u32 room = bytes - sizeof(*head), behind_first = head->copied - 1;
	struct mr_tap_frame *record = bpf_ringbuf_reserve(ring, bytes, 0);

	if (!record)
		return false;
	*record = *head;
	/* For the verifier, which forgets what the caller compared, and which before 6.8 does not
	 * take "not 0" for "1 and more": so said, that the sum cannot be 0. */
	barrier_var(behind_first);
	if (behind_first < room && bpf_xdp_load_bytes(ctx, 0, record + 1, behind_first + 1) < 0)
		record->copied = 0;
	bpf_ringbuf_submit(record, wake);
	return true;
}

static __always_inline bool tap_copy(struct xdp_md *ctx, void *ring, const struct mr_tap *tap,
				     const struct mr_tap_frame *head)
{
	__u64 wake = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= tap->wake_bytes
			     ? BPF_RB_FORCE_WAKEUP
			     : BPF_RB_NO_WAKEUP;

	if (head->copied <= TAP_SMALL - sizeof(*head))
		return tap_record(ctx, ring, head, TAP_SMALL, wake);
	if (head->copied <= TAP_USUAL - sizeof(*head))
		return tap_record(ctx, ring, head, TAP_USUAL, wake);
	return tap_record(ctx, ring, head, TAP_LARGE, wake);
}

/* The capturer died, or is late: off, until it says so again. */
static __always_inline bool tap_is_over(struct mr_tap *tap, __u64 now)
{
	__u64 until = *(volatile __u64 *)&tap->until_ns;

	if (until > now)
		return false;
	if (until)
		__sync_val_compare_and_swap(&tap->until_ns, until, 0);
	return true;
}

/*
 * Not static, so that it is verified once, alone, not again for every way that leads to it.
 * @verdict: and the action in its upper half.
 */
__noinline int mr_tap(struct xdp_md *ctx, __u32 verdict, __u32 rule_id, __u32 slot,
		      __u32 frame_bytes)
{
	__u64 now = bpf_ktime_get_ns();
	struct mr_tap_frame head = {
		.time_ns = now,
		.ifindex = ctx->ingress_ifindex,
		.queue = ctx->rx_queue_index,
		.frame_bytes = frame_bytes,
		.copied = frame_bytes,
		.rule_id = rule_id,
		.slot = slot,
		.verdict = verdict,
		.action = verdict >> 16,
	};
	struct mr_tap *tap;
	__u32 zero = 0;
	void *ring;

	tap = bpf_map_lookup_elem(&mr1_tap, &zero);
	if (!tap || tap_is_over(tap, now) || (tap->ifindex && tap->ifindex != head.ifindex))
		return 0;
	ring = bpf_map_lookup_elem(&mr1_tapring, &zero);
	if (!ring)
		return 0;
	if (head.copied > tap->copy_bytes)
		head.copied = tap->copy_bytes;
	if (head.copied > MR_TAP_COPY_MOST)
		head.copied = MR_TAP_COPY_MOST;
	if (!tap_copy(ctx, ring, tap, &head))
		__sync_fetch_and_add(&tap->lost, 1);
	return 0;
}

static __always_inline bool is_tapped(void)
{
	const struct mr_tap *tap;
	__u32 zero = 0;

	tap = bpf_map_lookup_elem(&mr1_tap, &zero);
	return tap && *(const volatile __u64 *)&tap->until_ns;
}

#endif
