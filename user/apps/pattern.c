/* SPDX-License-Identifier: MIT */
#include "user/apps/pattern.h"

enum {
	LANES = 16, /* bytes made at a time */
};

/*
 * Byte i is bits 13 to 20 of i times the factor: 32 bits of the product are enough, and the bytes
 * of one step do not wait for each other.
 */
void mr_pattern_fill(uint8_t *out, size_t len, uint64_t from)
{
	const uint32_t factor = 2654435761u;
	uint32_t product[LANES];
	size_t i = 0;

	for (uint32_t n = 0; n < LANES; n++)
		product[n] = ((uint32_t)from + n) * factor;
	for (; i + LANES <= len; i += LANES) {
		for (uint32_t n = 0; n < LANES; n++) {
			out[i + n] = (uint8_t)(product[n] >> 13);
			product[n] += LANES * factor;
		}
	}
	for (uint32_t n = 0; i < len; i++, n++)
		out[i] = (uint8_t)(product[n] >> 13);
}

uint64_t mr_pattern_send(struct mr_host *h, mr_conn_id c, uint64_t from, uint64_t len)
{
	uint64_t sent = 0;
	size_t room;
	void *out;

	while (sent < len && (out = mr_reserve(h, c, &room))) {
		if (room > len - sent)
			room = (size_t)(len - sent);
		mr_pattern_fill(out, room, from + sent);
		if (mr_commit(h, c, room))
			break;
		sent += room;
	}
	return sent;
}
