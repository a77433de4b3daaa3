/* SPDX-License-Identifier: MIT */
#ifndef MR_CHECKSUM_H
#define MR_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/**
 * mr_checksum_partial() - ones' complement sum of bytes (RFC 1071)
 * @sum:	sum so far; any earlier piece had an even number of bytes
 *
 * Return: the sum, to be folded by mr_checksum_fold()
 */
uint64_t mr_checksum_partial(const void *data, size_t len, uint64_t sum);

/** mr_checksum_fold() - the 16-bit Internet checksum of a sum, ready to be stored as it is */
uint16_t mr_checksum_fold(uint64_t sum);

/** mr_checksum_pseudo() - sum of the pseudo header of RFC 9293 3.1 or RFC 8200 8.1
 * @local, @remote:	16 bytes each, IPv4 mapped; the sum does not depend on their order
 */
uint64_t mr_checksum_pseudo(const uint8_t local[16], const uint8_t remote[16], uint8_t protocol,
			    uint32_t len);

#endif
