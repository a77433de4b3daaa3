/* SPDX-License-Identifier: MIT */
/*
 * Network-order fields at any alignment, and the inner steps of the Internet checksum. For
 * user/wire/ alone.
 */
#ifndef MR_WIRE_BYTES_H
#define MR_WIRE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/mr_endian.h"

/* EtherTypes. */
enum {
	ETH_IPV4 = 0x0800,
	ETH_IPV6 = 0x86dd,
	ETH_VLAN = 0x8100, /* IEEE 802.1Q customer tag */
	ETH_QINQ = 0x88a8, /* service tag */
};

static inline uint16_t load_be16(const uint8_t *p)
{
	struct mr_be16 v;

	memcpy(&v, p, sizeof(v));
	return mr_be16(v);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	struct mr_be32 v;

	memcpy(&v, p, sizeof(v));
	return mr_be32(v);
}

static inline void store_be16(uint8_t *p, uint16_t value)
{
	struct mr_be16 v = mr_to_be16(value);

	memcpy(p, &v, sizeof(v));
}

static inline void store_be32(uint8_t *p, uint32_t value)
{
	struct mr_be32 v = mr_to_be32(value);

	memcpy(p, &v, sizeof(v));
}

/* Eight bytes of network order as they lie in memory: for one store, and for sums. */
static inline uint64_t word_of(uint32_t high, uint32_t low)
{
	uint64_t v = (uint64_t)high << 32 | low;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static inline void store_word(uint8_t *p, uint64_t word)
{
	memcpy(p, &word, sizeof(word));
}

/* Four and eight bytes as they lie in memory. */
static inline uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t load_word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Ones' complement addition: the carry goes around (RFC 1071 2, "parallel summation"). */
static inline uint64_t sum_add(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

/* With one chain of carries, which compilers do not find on their own. */
static inline uint64_t add_32_bytes(const uint8_t *p, uint64_t sum)
{
#ifdef __x86_64__
	__asm__("addq 0(%[p]), %[sum]\n\t"
		"adcq 8(%[p]), %[sum]\n\t"
		"adcq 16(%[p]), %[sum]\n\t"
		"adcq 24(%[p]), %[sum]\n\t"
		"adcq $0, %[sum]"
		: [sum] "+r"(sum)
		: [p] "r"(p), "m"(*(const uint8_t(*)[32])p)
		: "cc");
	return sum;
#else
	for (unsigned int i = 0; i < 32; i += 8)
		sum = sum_add(sum, load_word(p + i));
	return sum;
#endif
}

static inline uint64_t add_64_bytes(const uint8_t *p, uint64_t sum)
{
#ifdef __x86_64__
	__asm__("addq 0(%[p]), %[sum]\n\t"
		"adcq 8(%[p]), %[sum]\n\t"
		"adcq 16(%[p]), %[sum]\n\t"
		"adcq 24(%[p]), %[sum]\n\t"
		"adcq 32(%[p]), %[sum]\n\t"
		"adcq 40(%[p]), %[sum]\n\t"
		"adcq 48(%[p]), %[sum]\n\t"
		"adcq 56(%[p]), %[sum]\n\t"
		"adcq $0, %[sum]"
		: [sum] "+r"(sum)
		: [p] "r"(p), "m"(*(const uint8_t(*)[64])p)
		: "cc");
	return sum;
#else
	return add_32_bytes(p + 32, add_32_bytes(p, sum));
#endif
}

/* The last 0 to 7 bytes; an odd one counts as the first byte of a 16-bit word. */
static inline uint64_t add_tail(const uint8_t *p, size_t len, uint64_t sum)
{
	if (len & 4) {
		sum = sum_add(sum, load_u32(p));
		p += 4;
	}
	if (len & 2) {
		uint16_t v;

		memcpy(&v, p, sizeof(v));
		sum = sum_add(sum, v);
		p += 2;
	}
	if (len & 1)
		sum = sum_add(sum, mr_to_be16((uint16_t)(*p << 8)).raw);
	return sum;
}

/* What mr_checksum_partial() does, in line. */
static inline uint64_t sum_bytes(const uint8_t *p, size_t len, uint64_t sum)
{
	const uint8_t *end = p + (len & ~(size_t)63);

	for (; p != end; p += 64)
		sum = add_64_bytes(p, sum);
	if (len & 32) {
		sum = add_32_bytes(p, sum);
		p += 32;
	}
	for (end = p + (len & 24); p != end; p += 8)
		sum = sum_add(sum, load_word(p));
	return len & 7 ? add_tail(p, len, sum) : sum;
}

/* The same for text behind eight bytes at least: the last ones are of one load, without branches.
 */
static inline uint64_t sum_text(const uint8_t *p, size_t len, uint64_t sum)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const uint8_t *last = p + len - 8;
	const uint8_t *end = p + (len & ~(size_t)63);

	for (; p != end; p += 64)
		sum = add_64_bytes(p, sum);
	if (len & 32) {
		sum = add_32_bytes(p, sum);
		p += 32;
	}
	for (end = p + (len & 24); p != end; p += 8)
		sum = sum_add(sum, load_word(p));
	return sum_add(sum, load_word(last) >> 8 >> 8 * (~len & 7));
#else
	return sum_bytes(p, len, sum);
#endif
}

/* Two IPv6 addresses, or two mapped ones. */
static inline uint64_t sum_addresses(const uint8_t a[16], const uint8_t b[16])
{
	uint64_t sum = sum_add(load_word(a), load_word(a + 8));

	sum = sum_add(sum, load_word(b));
	return sum_add(sum, load_word(b + 8));
}

/* Sum of an IPv4 header without options. */
static inline uint64_t sum_ipv4_header(const uint8_t *ip)
{
	uint64_t sum = sum_add(load_word(ip), load_word(ip + 8));

	return sum_add(sum, load_u32(ip + 16));
}

/* Protocol number and length of the pseudo headers. */
static inline uint64_t sum_protocol(uint8_t protocol, uint32_t len)
{
	return (uint64_t)mr_to_be32(len).raw + mr_to_be16(protocol).raw;
}

/*
 * What mr_checksum_fold() does, where a call would cost more than the work. A number plus itself
 * with its halves swapped has the ones' complement sum of the halves in its upper half.
 */
static inline uint16_t sum_fold(uint64_t sum)
{
	uint32_t half;

	sum += sum << 32 | sum >> 32;
	half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t) ~(half >> 16);
}

/* Is the sum with its checksum right (sum_fold() is 0)? @sum is not 0, nor was any before it. */
static inline bool sum_is_right(uint64_t sum)
{
	return sum % 0xffff == 0;
}

#endif
