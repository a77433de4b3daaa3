/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * Wire integers: network-order values are types of their own, so a forgotten
 * conversion is a compile error, not a bug on one architecture. Shared by BPF
 * and user space, therefore without any libc header.
 */
#ifndef MR_ENDIAN_H
#define MR_ENDIAN_H

#ifndef __bpf__
#include <stdint.h>
#include <stdbool.h>
#endif

struct mr_be16 {
	unsigned short raw;
};

struct mr_be32 {
	unsigned int raw;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MR_SWAP16(v) __builtin_bswap16(v)
#define MR_SWAP32(v) __builtin_bswap32(v)
#else
#define MR_SWAP16(v) (v)
#define MR_SWAP32(v) (v)
#endif

static inline unsigned short mr_be16(struct mr_be16 v)
{
	return MR_SWAP16(v.raw);
}

static inline unsigned int mr_be32(struct mr_be32 v)
{
	return MR_SWAP32(v.raw);
}

static inline struct mr_be16 mr_to_be16(unsigned short v)
{
	return (struct mr_be16){ MR_SWAP16(v) };
}

static inline struct mr_be32 mr_to_be32(unsigned int v)
{
	return (struct mr_be32){ MR_SWAP32(v) };
}

#endif
