/* SPDX-License-Identifier: MIT */
/* The Toeplitz hash against Microsoft's table "Verifying the RSS Hash Calculation". */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "user/wire/toeplitz.h"

static const uint8_t key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct {
	const char *to;
	uint16_t to_port;
	const char *from;
	uint16_t from_port;
	uint32_t addresses, with_ports;
} rows[] = {
	{ "161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178 },
	{ "65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea },
	{ "12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a },
	{ "209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f },
	{ "202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2 },
	{ "3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d },
	{ "ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf },
	{ "fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251,
	  0x4b61e985, 0x02d1feef },
};

static void read_address(const char *text, uint8_t out[16])
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	assert_true(inet_pton(AF_INET, text, out + 12) == 1 || inet_pton(AF_INET6, text, out) == 1);
}

static void every_row_of_the_table_hashes_as_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mr_tuple t = { .local_port = mr_to_be16(rows[i].to_port),
				      .remote_port = mr_to_be16(rows[i].from_port) };

		read_address(rows[i].to, t.local);
		read_address(rows[i].from, t.remote);
		assert_int_equal(mr_toeplitz_tuple(key, 40, &t, false), rows[i].addresses);
		assert_int_equal(mr_toeplitz_tuple(key, 40, &t, true), rows[i].with_ports);
	}
}

/* The longest input takes the shortest usable key to its last bit. */
static void last_bit_takes_the_last_bits_of_the_key(void **state)
{
	uint8_t in[36] = { 0 };

	(void)state;
	in[35] = 1;
	assert_int_equal(mr_toeplitz(key, 40, in, 36), 0x3bbeac01u << 7 | 0xfau >> 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table_hashes_as_it_says),
		cmocka_unit_test(last_bit_takes_the_last_bits_of_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
