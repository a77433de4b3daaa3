/* SPDX-License-Identifier: MIT */
/*
 * The byte pattern and the hash that the system tests compare, for Python by ctypes: 256 MiB a
 * direction is too much for an interpreter. Pattern byte i is ((i * 2654435761) >> 13) & 255 in
 * 64-bit arithmetic; the hash is FNV-1a with 32 bits.
 */
#include <stddef.h>
#include <stdint.h>

static inline uint8_t pattern_byte(uint64_t i)
{
	return (uint8_t)((i * 2654435761u) >> 13);
}

/* Write the @len pattern bytes that start at position @from. */
void pattern_fill(uint8_t *out, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = pattern_byte(from + i);
}

/* Return: index of the first byte of @data that is not the pattern's, or -1. */
int64_t pattern_check(const uint8_t *data, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != pattern_byte(from + i))
			return (int64_t)i;
	return -1;
}

/* Return: FNV-1a over @data, going on from @hash (2166136261 to begin with). */
uint32_t fnv1a(uint32_t hash, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ data[i]) * 16777619u;
	return hash;
}
