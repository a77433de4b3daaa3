/* SPDX-License-Identifier: MIT */
/*
 * Flows that were seen lately: which connection a plain IPv4 frame most likely belongs to, without
 * the table's hash, which has to keep peers from choosing collisions and costs accordingly. Here a
 * collision costs the one that is forgotten no more than that hash: whoever asks compares, and
 * looks into the table when it was another.
 */
#ifndef MR_LANE_KNOWN_H
#define MR_LANE_KNOWN_H

#include <stdint.h>
#include <string.h>

enum {
	KNOWN_BITS = 14, /* 128 KiB: with more connections than that it is of little use */
};

struct known_flow {
	uint32_t tag;
	uint32_t conn;
};

/** struct known_flows - all zero: connection 0 for whatever has tag 0, which is as good as none */
struct known_flows {
	struct known_flow flow[1 << KNOWN_BITS];
};

/** known_key() - of both addresses as they stand in the IPv4 header, and both ports */
static inline uint64_t known_key(const uint8_t addresses[8], const uint8_t ports[4])
{
	uint64_t a;
	uint32_t p;

	memcpy(&a, addresses, sizeof(a));
	memcpy(&p, ports, sizeof(p));
	return (a ^ p * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
}

/** known_at() - where a flow stands if it was seen lately; the tag says whether */
static inline struct known_flow *known_at(struct known_flows *k, uint64_t key)
{
	return &k->flow[key >> (64 - KNOWN_BITS)];
}

static inline uint32_t known_tag(uint64_t key)
{
	return (uint32_t)(key >> 16);
}

#endif
