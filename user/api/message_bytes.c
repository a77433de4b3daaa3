/* SPDX-License-Identifier: MIT */
#include "user/api/message_internal.h"

#include <stdlib.h>
#include <string.h>

/* Room for @len more at the back. False: no memory, nothing changed. */
bool bytes_room(struct bytes *b, size_t len)
{
	size_t have = bytes_len(b), room = b->room ? b->room : 1024;
	uint8_t *at;

	if (b->room - b->end >= len)
		return true;
	if (b->room - have >= len && b->first >= have) { /* each byte moves once at most */
		memcpy(b->at, b->at + b->first, have);
	} else {
		while (room - have < len)
			room *= 2;
		at = malloc(room);
		if (!at)
			return false;
		if (have)
			memcpy(at, b->at + b->first, have);
		free(b->at);
		b->at = at;
		b->room = room;
	}
	b->first = 0;
	b->end = have;
	return true;
}

bool bytes_add(struct bytes *b, const void *from, size_t len)
{
	if (!bytes_room(b, len))
		return false;
	if (len)
		memcpy(b->at + b->end, from, len);
	b->end += len;
	return true;
}

/* An idle peer keeps no memory. */
void bytes_take(struct bytes *b, size_t len)
{
	b->first += len;
	if (b->first != b->end)
		return;
	if (b->room > 4096)
		bytes_free(b);
	else
		b->first = b->end = 0;
}

void bytes_free(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){ 0 };
}
