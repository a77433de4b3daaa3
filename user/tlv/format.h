/* SPDX-License-Identifier: MIT */
/*
 * The header of a message, bytes to numbers: the one door that the reader and
 * the nested walk go through. docs/tlv.md, "Layout".
 */
#ifndef MR_TLV_FORMAT_H
#define MR_TLV_FORMAT_H

#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "millrace/tlv.h"

/* The layout is what stands in front of the limit: four bytes, one comparison. */
_Static_assert(offsetof(struct mr_tlv_format, max_bytes) == sizeof(uint32_t),
	       "mr_tlv_is_default_layout() compares the first four bytes");

/** mr_tlv_load() - a number of @width bytes (1, 2, 4 or 8) at @p, of any alignment */
static inline uint64_t mr_tlv_load(const uint8_t *p, unsigned int width, bool little_endian)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (width) {
	case 1:
		return *p;
	case 2:
		memcpy(&v16, p, sizeof(v16));
		return little_endian ? le16toh(v16) : be16toh(v16);
	case 4:
		memcpy(&v32, p, sizeof(v32));
		return little_endian ? le32toh(v32) : be32toh(v32);
	default:
		memcpy(&v64, p, sizeof(v64));
		return little_endian ? le64toh(v64) : be64toh(v64);
	}
}

/** mr_tlv_store() - write the low @width bytes (1, 2, 4 or 8) of @v at @p, of any alignment */
static inline void mr_tlv_store(uint8_t *p, unsigned int width, bool little_endian, uint64_t v)
{
	uint64_t v64;

	if (little_endian)
		v64 = htole64(v);
	else
		v64 = htobe64(v << (64 - 8 * width));
	memcpy(p, &v64, width);
}

enum {
	MR_TLV_DEFAULT_HEADER = 6,
};

/** mr_tlv_is_default_layout() - tag 2, length 4 of the value, big endian; any limit, any check */
static inline bool mr_tlv_is_default_layout(const struct mr_tlv_format *f)
{
	const struct mr_tlv_format usual = MR_TLV_FORMAT_DEFAULT;
	uint32_t have, want;

	memcpy(&have, f, sizeof(have));
	memcpy(&want, &usual, sizeof(want));
	return have == want;
}

/**
 * mr_tlv_decode_header() - tag and value length of a whole header
 * @f:		a format that mr_tlv_format_check() let pass
 * @p:		mr_tlv_header_bytes() bytes
 * @tag:	out
 * @len:	out: bytes of the value, 0 to @f's max_bytes
 *
 * The length is compared as 64 bits, before anything is added to it, so that no
 * length can wrap.
 *
 * Return: 0, or -EBADMSG (the length counts the header and is less than it),
 *	   -EMSGSIZE (over max_bytes); then @tag and @len are unchanged
 */
static inline int mr_tlv_decode_header(const struct mr_tlv_format *f, const uint8_t *p,
				       uint64_t *tag, uint32_t *len)
{
	uint64_t n = mr_tlv_load(p + f->tag_bytes, f->length_bytes, f->little_endian);

	if (f->length_has_header) {
		if (n < mr_tlv_header_bytes(f))
			return -EBADMSG;
		n -= mr_tlv_header_bytes(f);
	}
	if (n > f->max_bytes)
		return -EMSGSIZE;
	*tag = mr_tlv_load(p, f->tag_bytes, f->little_endian);
	*len = (uint32_t)n;
	return 0;
}

#endif
