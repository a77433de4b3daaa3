/* SPDX-License-Identifier: MIT */
#include "user/apps/pattern.h"

void mr_pattern_fill(uint8_t *out, size_t len, uint64_t from)
{
	const uint64_t factor = 2654435761u;
	uint64_t product = from * factor;
	size_t i;

	for (i = 0; i < len; i++, product += factor)
		out[i] = (uint8_t)(product >> 13);
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
