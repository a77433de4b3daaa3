/* SPDX-License-Identifier: MIT */
/* All layouts of TLV messages: 64, without a check, then with one. */
#ifndef MR_TLV_LAYOUTS_H
#define MR_TLV_LAYOUTS_H

#include "millrace/tlv.h"

static inline struct mr_tlv_format tlv_layout(unsigned int i, uint32_t max_bytes)
{
	static const uint8_t widths[] = { 1, 2, 4, 8 };

	return (struct mr_tlv_format){ .tag_bytes = widths[i & 3],
				       .length_bytes = widths[i >> 2 & 3],
				       .little_endian = i >> 4 & 1,
				       .length_has_header = i >> 5 & 1,
				       .max_bytes = max_bytes,
				       .check = i >> 6 & 1 };
}

#endif
