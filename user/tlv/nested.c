/* SPDX-License-Identifier: MIT */
#include "user/tlv/format.h"

void mr_tlv_nested_init(struct mr_tlv_nested *n, const uint8_t *data, size_t len)
{
	n->pos = data;
	n->end = len ? data + len : data;
}

int mr_tlv_nested_next(struct mr_tlv_nested *n, const struct mr_tlv_format *f, struct mr_tlv *out)
{
	size_t header = mr_tlv_header_bytes(f);
	size_t rest = (size_t)(n->end - n->pos);
	uint64_t tag;
	uint32_t len;

	if (!rest)
		return 0;
	if (rest < header || mr_tlv_decode_header(f, n->pos, &tag, &len) || len > rest - header)
		return -EBADMSG;
	*out = (struct mr_tlv){ .tag = tag, .len = len, .value = n->pos + header };
	n->pos += header + len;
	return 1;
}
