/* SPDX-License-Identifier: MIT */
#ifndef MR_TOEPLITZ_H
#define MR_TOEPLITZ_H

#include <stddef.h>
#include <stdint.h>

#include "user/wire/segment.h"

/**
 * mr_toeplitz() - the hash by which NICs spread flows over queues (Microsoft, RSS)
 * @key:	@key_bytes, at least @len + 4
 */
uint32_t mr_toeplitz(const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t len);

/**
 * mr_toeplitz_tuple() - of a segment that arrives for @tuple: source is the remote end
 * @ports:	hash the ports too; else the addresses alone
 */
uint32_t mr_toeplitz_tuple(const uint8_t *key, size_t key_bytes, const struct mr_tuple *tuple,
			   bool ports);

#endif
