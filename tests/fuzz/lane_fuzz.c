/* SPDX-License-Identifier: MIT */
/*
 * A whole lane and up to 24 connections of a peer that says anything (play.h): in-window and
 * outside, overlapping, any flags and options, ICMP errors that quote it, VLANs, IPv6, time that
 * passes. The lane comes to rest after each frame, loses no frame, sends only whole segments, and
 * has nothing left when the peer was silent for long.
 */
#include "tests/fuzz/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct net n;
	struct fuzz_in in = { data, len };

	play_open(&n, &in, 1);
	while (play_instruction(&n, &in))
		;
	play_close(&n);
	return 0;
}
