/* SPDX-License-Identifier: MIT */
/*
 * The same lane as one of three: frames also come from the other lanes by mail, and the mail may be
 * nonsense. What the lane hands over itself is taken away, so that it never waits for room.
 */
#include "tests/fuzz/play.h"

enum {
	LANES = 3,
};

/* The readers of what lane 0 writes: one is quick, one is slow and its ring runs full. */
static void empty_rings(struct net *n)
{
	struct mr_mail_ring *rings = (struct mr_mail_ring *)(void *)(n->mailbox + 1);
	struct mr_mail_ring *quick = &rings[1 * LANES];

	for (; quick->consumer != quick->producer; quick->consumer++)
		FUZZ_CHECK(quick->mail[quick->consumer % MR_MAIL_SLOTS].len <= MR_MAIL_BYTES);
	FUZZ_CHECK(rings[2 * LANES].producer - rings[2 * LANES].consumer <= MR_MAIL_SLOTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct net n;
	struct fuzz_in in = { data, len };

	play_open(&n, &in, LANES);
	while (play_instruction(&n, &in))
		empty_rings(&n);
	play_close(&n);
	return 0;
}
