/* SPDX-License-Identifier: MIT */
/* The options of a TCP header, between parse.c, push.c and tcp_options.c. */
#ifndef MR_WIRE_TCP_OPTIONS_H
#define MR_WIRE_TCP_OPTIONS_H

#include "user/wire/segment.h"

/* Kinds (IANA) and their lengths with kind and length byte. */
enum {
	MR_OPT_END = 0,
	MR_OPT_NOP = 1,
	MR_OPT_MSS = 2,		   /* RFC 9293 3.2 */
	MR_OPT_WINDOW_SCALE = 3,   /* RFC 7323 2.2 */
	MR_OPT_SACK_PERMITTED = 4, /* RFC 2018 2 */
	MR_OPT_SACK = 5,	   /* RFC 2018 3 */
	MR_OPT_TIMESTAMPS = 8,	   /* RFC 7323 3.2 */

	MR_OPT_FAST_OPEN = 34, /* RFC 7413 4.1.1 */
	MR_OPT_ACC_ECN0 = 172, /* RFC 9768 3.2.3 */
	MR_OPT_ACC_ECN1 = 174,
	MR_OPT_EXPERIMENTAL = 254, /* RFC 6994, with 16 bits that say whose */

	MR_OPT_FAST_OPEN_MAGIC = 0xf989, /* RFC 7413 1.1: Fast Open before it had a number */
	MR_FAST_OPEN_COOKIE_LEAST = 4,
	MR_FAST_OPEN_COOKIE_MOST = 16,

	MR_OPT_MSS_BYTES = 4,
	MR_OPT_WINDOW_SCALE_BYTES = 3,
	MR_OPT_SACK_PERMITTED_BYTES = 2,
	MR_OPT_SACK_BYTES = 2, /* and 8 for each block */
	MR_OPT_SACK_BLOCK_BYTES = 8,
	MR_OPT_TIMESTAMPS_BYTES = 10,

	/* NOP, NOP, timestamps, length 10: the layout of RFC 7323 appendix A */
	MR_OPT_TS_BLOCK = MR_OPT_NOP << 24 | MR_OPT_NOP << 16 | MR_OPT_TIMESTAMPS << 8 |
			  MR_OPT_TIMESTAMPS_BYTES,

	MR_OPT_ACC_ECN_FIELD_BYTES = 3, /* up to MR_ACC_ECN_FIELDS of them */
	MR_ACC_ECN_FIELDS = 3,

	MR_WINDOW_SHIFT_MAX = 14, /* RFC 7323 2.3 */
	MR_SACK_BLOCKS_MAX = 4,
};

/**
 * mr_tcp_options_write() - write what mr_tcp_options_bytes() has counted
 * @p:	that many bytes
 */
void mr_tcp_options_write(const struct mr_tcp_options *o, uint8_t *p);

#endif
