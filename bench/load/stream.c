// SPDX-License-Identifier: MIT
/*
 * What byte p of connection c's stream must be is a function of c and p alone, so nothing that was
 * sent is stored: requests are made when they are written, and replies compared with the same.
 */
#include <string.h>

#include "bench/load/load.h"

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static uint64_t message_key(uint32_t conn, uint64_t message)
{
	return mix(((uint64_t)conn << 40) ^ message);
}

/* Value bytes [off, off + len) of a message: 64-bit words, each a function of key and place. */
static void fill_value(uint8_t *out, uint64_t key, size_t off, size_t len)
{
	uint64_t word;

	while (len) {
		size_t skip = off % sizeof(word), n = sizeof(word) - skip;

		if (n > len)
			n = len;
		word = mix(key + (off / sizeof(word) + 1) * 0x9e3779b97f4a7c15ull);
		if (n == sizeof(word))
			memcpy(out, &word, sizeof(word));
		else
			memcpy(out, (uint8_t *)&word + skip, n);
		out += n;
		off += n;
		len -= n;
	}
}

/* Bytes [off, off + len) of one message. */
static void fill_message(uint8_t *out, uint32_t conn, uint64_t message, size_t size, size_t off,
			 size_t len)
{
	uint64_t key = message_key(conn, message);
	uint8_t header[LOAD_HEADER_BYTES] = {
		(uint8_t)(key >> 8),   (uint8_t)key,	     (uint8_t)(size >> 24),
		(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,
	};

	while (len && off < LOAD_HEADER_BYTES) {
		*out++ = header[off++];
		len--;
	}
	if (len)
		fill_value(out, key, off - LOAD_HEADER_BYTES, len);
}

void load_stream_fill(uint8_t *out, size_t len, uint32_t conn, size_t size, uint64_t pos)
{
	uint64_t message_bytes = LOAD_HEADER_BYTES + size;

	while (len) {
		size_t off = pos % message_bytes, n = message_bytes - off;

		if (n > len)
			n = len;
		fill_message(out, conn, pos / message_bytes, size, off, n);
		out += n;
		pos += n;
		len -= n;
	}
}
