/* SPDX-License-Identifier: MIT */
/*
 * Local ports of active opens: RFC 6056 3.3.4, algorithm 4 (double hash), with random increments
 * (3.3.5) in the lane's own range. Where the NIC says how it spreads flows, the first free port
 * whose answers come to the lane's own queue; where not, they come to any queue, and the mailbox
 * brings them here.
 */
#include "user/lane/internal.h"
#include "user/wire/toeplitz.h"

enum {
	STEP_MOST = 16, /* the trade-off N of RFC 6056 3.3.5: larger is harder to guess */
};

/* Both hashes of the algorithm: F in the low half, G in the high one. */
static uint64_t destination_hash(const struct mr_lane *l, const struct mr_tuple *tuple)
{
	struct {
		struct mr_tuple tuple;
		uint8_t use[4];
	} in = { *tuple, "por" };

	in.tuple.local_port.raw = 0;
	return mr_siphash24(&l->tcp_config.isn_key, &in, sizeof(in));
}

static uint32_t random_step(struct mr_lane *l)
{
	uint64_t in[3] = { l->hand->port_steps++, l->now_ns, 0x73746570 };

	return 1 + (uint32_t)(mr_siphash24(&l->tcp_config.isn_key, in, sizeof(in)) % STEP_MOST);
}

/* Will the NIC bring the answers to our queue? Yes when it does not say. */
static bool is_ours(const struct mr_lane *l, const struct mr_tuple *tuple)
{
	const struct mr_rss_settings *r = &l->s.config->rss;
	bool ports = mr_is_ipv4(tuple->remote) ? r->ipv4_ports : r->ipv6_ports;
	uint32_t hash;

	if (!r->entries || !ports)
		return true;
	hash = mr_toeplitz_tuple(r->key, r->key_bytes, tuple, true);
	return r->queue[hash & (r->entries - 1u)] == l->s.config->queue;
}

static bool is_free(struct mr_lane *l, const struct mr_tuple *tuple)
{
	return mr_table_find(&l->table, lane_hash(l, tuple), tuple) == MR_ENTRY_NONE;
}

/* The lane's port for @tuple, whose other fields are set; false: all are in use. */
bool lane_port_choose(struct mr_lane *l, struct mr_tuple *tuple)
{
	uint32_t lo = l->s.config->port_lo;
	uint32_t n = l->s.config->port_hi - lo + 1u;
	uint64_t hash = destination_hash(l, tuple);
	uint16_t *count = &l->hand->port_count[(hash >> 32) % MR_PORT_COUNTS];
	struct mr_be16 other = { 0 };

	if (!lo || l->s.config->port_hi < lo)
		return false;
	*count = (uint16_t)(*count + random_step(l));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = ((uint32_t)hash + *count + i) % n;

		tuple->local_port = mr_to_be16((uint16_t)(lo + at));
		if (!is_free(l, tuple))
			continue;
		if (is_ours(l, tuple)) {
			*count = (uint16_t)(*count + i);
			return true;
		}
		if (!other.raw)
			other = tuple->local_port;
	}
	tuple->local_port = other;
	return other.raw != 0;
}
