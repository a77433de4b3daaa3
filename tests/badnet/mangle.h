/* SPDX-License-Identifier: MIT */
/* The bytes of a frame: what it is, and how it is damaged. Pure, and safe with any bytes. */
#ifndef MR_BADNET_MANGLE_H
#define MR_BADNET_MANGLE_H

#include "fate.h"

enum mr_match {
	MR_MATCH_ANY,
	MR_MATCH_ARP,
	MR_MATCH_TCP,
	MR_MATCH_SYN,	/* TCP with SYN */
	MR_MATCH_DATA,	/* TCP with text */
	MR_MATCH_LOCAL, /* ethertype 0x88b5, IEEE 802's for local experiments */
	MR_MATCH_COUNT
};

extern const char *const mr_match_names[MR_MATCH_COUNT];

/** mr_frame_matches() - is it what the filter names? VLAN tags are read over */
bool mr_frame_matches(enum mr_match m, const uint8_t *frame, size_t len);

/**
 * mr_frame_corrupt() - flip one bit
 * @where:	which bytes are in question
 * @repair:	make the IPv4 header's, TCP's or UDP's checksum good again
 * @salt:	chooses byte and bit
 *
 * A flipped bit never touches a checksum that is to be repaired.
 *
 * Return: false: the frame has no such byte and is as it was
 */
bool mr_frame_corrupt(uint8_t *frame, size_t len, enum mr_corrupt_where where, bool repair,
		      uint64_t salt);

/** mr_frame_cut() - a length for a truncated frame: 14 to @len - 1, or @len if it is shorter */
size_t mr_frame_cut(size_t len, uint64_t salt);

/**
 * mr_frame_mark_ce() - ECN: Congestion Experienced, and the IPv4 header's checksum (RFC 3168 5)
 *
 * Return: false: not IP, or its sender is not ECN capable; the frame is as it was
 */
bool mr_frame_mark_ce(uint8_t *frame, size_t len);

#endif
