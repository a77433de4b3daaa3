/* SPDX-License-Identifier: MIT */
/*
 * Toeplitz hash: for each bit of the input that is set, the 32 bits of the key that begin at the
 * same bit. Bit by bit: it is needed for active opens, not for segments.
 */
#include "user/wire/toeplitz.h"

#include <string.h>

uint32_t mr_toeplitz(const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t len)
{
	uint32_t window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 |
			  key[3];
	uint32_t hash = 0;

	for (size_t i = 0; i < len && i + 4 < key_bytes; i++) {
		uint8_t next = key[i + 4];

		for (int bit = 7; bit >= 0; bit--) {
			if (data[i] >> bit & 1)
				hash ^= window;
			window = window << 1 | (next >> bit & 1);
		}
	}
	return hash;
}

uint32_t mr_toeplitz_tuple(const uint8_t *key, size_t key_bytes, const struct mr_tuple *tuple,
			   bool ports)
{
	size_t skip = mr_is_ipv4(tuple->remote) ? 12 : 0;
	size_t bytes = 16 - skip;
	uint8_t in[36];

	memcpy(in, tuple->remote + skip, bytes);
	memcpy(in + bytes, tuple->local + skip, bytes);
	memcpy(in + 2 * bytes, &tuple->remote_port, 2);
	memcpy(in + 2 * bytes + 2, &tuple->local_port, 2);
	return mr_toeplitz(key, key_bytes, in, 2 * bytes + (ports ? 4 : 0));
}
