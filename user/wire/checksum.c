/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071). Words are added as they lie in memory, 64 bits at a time, with
 * the carry added back in; byte order and word size do not change the folded result (RFC 1071 2),
 * so it is stored without a swap. Any alignment will do: loads are unaligned ones.
 */
#include "user/wire/checksum.h"

#include "user/wire/bytes.h"

uint64_t mr_checksum_partial(const void *data, size_t len, uint64_t sum)
{
	return sum_bytes(data, len, sum);
}

uint16_t mr_checksum_fold(uint64_t sum)
{
	return sum_fold(sum);
}

/*
 * RFC 9293 3.1 adds four bytes of each IPv4 address. The prefix of a mapped one adds 0xffff, which
 * is zero in ones' complement arithmetic; the sum is never all zero, as the protocol is not.
 */
uint64_t mr_checksum_pseudo(const uint8_t local[16], const uint8_t remote[16], uint8_t protocol,
			    uint32_t len)
{
	return sum_add(sum_addresses(local, remote), sum_protocol(protocol, len));
}
