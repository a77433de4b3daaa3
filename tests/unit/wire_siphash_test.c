/* SPDX-License-Identifier: MIT */
/* SipHash: the reference implementation's vectors, key 00..0f, input 00..len-1. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "user/wire/siphash.h"

static const struct mr_siphash_key key = { { 0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull } };

/* vectors_sip64 as numbers: lengths 0 to 7 and 15, the example of the paper's appendix A. */
static const struct {
	size_t len;
	uint64_t hash;
} vectors[] = {
	{ 0, 0x726fdb47dd0e0e31ull },  { 1, 0x74f839c593dc67fdull }, { 2, 0x0d6c8009d9a94f5aull },
	{ 3, 0x85676696d7fb7e2dull },  { 4, 0xcf2794e0277187b7ull }, { 5, 0x18765564cd99a68dull },
	{ 6, 0xcbc9466e58fee3ceull },  { 7, 0xab0200f58b01d137ull }, { 8, 0x93f5f5799a932462ull },
	{ 15, 0xa129ca6149be45e5ull },
};

/* The bytes in a heap block of their own length, so that a read behind them is found. */
static uint8_t *counting_bytes(size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)i;
	return p;
}

static void siphash24_equals_reference_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		uint8_t *in = counting_bytes(vectors[i].len);

		assert_true(mr_siphash24(&key, in, vectors[i].len) == vectors[i].hash);
		free(in);
	}
}

/* Written from section 2 of the paper once more, the slow way. */
static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void slow_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13);
	v[3] = rotl(v[3], 16);
	v[1] ^= v[0];
	v[3] ^= v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17);
	v[3] = rotl(v[3], 21);
	v[1] ^= v[2];
	v[3] ^= v[0];
	v[2] = rotl(v[2], 32);
}

static uint64_t slow_siphash(const uint8_t *in, size_t len, int c, int d)
{
	uint64_t v[4] = { key.k[0] ^ 0x736f6d6570736575ull, key.k[1] ^ 0x646f72616e646f6dull,
			  key.k[0] ^ 0x6c7967656e657261ull, key.k[1] ^ 0x7465646279746573ull };

	for (size_t w = 0; w <= len / 8; w++) {
		uint64_t m = 0;

		for (size_t i = 0; i < 8; i++)
			if (w * 8 + i < len)
				m |= (uint64_t)in[w * 8 + i] << (8 * i);
		if (w == len / 8)
			m |= (uint64_t)(len & 255) << 56;
		v[3] ^= m;
		for (int i = 0; i < c; i++)
			slow_round(v);
		v[0] ^= m;
	}
	v[2] ^= 255;
	for (int i = 0; i < d; i++)
		slow_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void every_length_to_300_equals_the_definition(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 300; len++) {
		uint8_t *in = counting_bytes(len);

		assert_true(mr_siphash24(&key, in, len) == slow_siphash(in, len, 2, 4));
		assert_true(mr_siphash13(&key, in, len) == slow_siphash(in, len, 1, 3));
		free(in);
	}
}

static void another_key_gives_another_hash(void **state)
{
	const struct mr_siphash_key other = { { key.k[0] ^ 1, key.k[1] } };

	(void)state;
	assert_true(mr_siphash24(&other, "millrace", 8) != mr_siphash24(&key, "millrace", 8));
	assert_true(mr_siphash13(&other, "millrace", 8) != mr_siphash13(&key, "millrace", 8));
}

static void twelve_bytes_in_two_numbers_are_the_same(void **state)
{
	(void)state;
	for (uint32_t n = 0; n < 1000; n++) {
		uint64_t first = 0x0102030405060708ull * (n + 1);
		uint32_t last = 0x9e3779b9u * n;
		uint8_t bytes[12];

		for (int i = 0; i < 8; i++)
			bytes[i] = (uint8_t)(first >> 8 * i);
		for (int i = 0; i < 4; i++)
			bytes[8 + i] = (uint8_t)(last >> 8 * i);
		assert_true(mr_siphash13_12(&key, first, last) ==
			    mr_siphash13(&key, bytes, sizeof(bytes)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash24_equals_reference_vectors),
		cmocka_unit_test(every_length_to_300_equals_the_definition),
		cmocka_unit_test(another_key_gives_another_hash),
		cmocka_unit_test(twelve_bytes_in_two_numbers_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
