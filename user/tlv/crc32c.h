/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C: RFC 3720 B.4, the polynomial 0x1edc6f41 of Castagnoli. It finds every burst of up to
 * 32 bits; of everything else 1 - 2^-32. It is no protection from a peer that means harm.
 */
#ifndef MR_TLV_CRC32C_H
#define MR_TLV_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * mr_crc32c() - sum of @len more bytes
 * @sum:	of what stands before them; 0 to begin with
 * @data:	of any alignment; may be NULL when @len is 0
 *
 * By the processor's own instruction where it has one (SSE4.2), else by a table.
 */
uint32_t mr_crc32c(uint32_t sum, const void *data, size_t len);

/** mr_crc32c_by_table() - the same on any processor */
uint32_t mr_crc32c_by_table(uint32_t sum, const void *data, size_t len);

#endif
