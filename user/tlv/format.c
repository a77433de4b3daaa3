/* SPDX-License-Identifier: MIT */
#include "user/tlv/format.h"
#include "user/tlv/crc32c.h"

enum {
	MAX_BYTES_MOST = 1u << 30,
};

static bool is_width(unsigned int bytes)
{
	return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

static bool fits(uint64_t v, unsigned int width)
{
	return width == 8 || v >> (8 * width) == 0;
}

const char *mr_tlv_format_check(const struct mr_tlv_format *f)
{
	if (!is_width(f->tag_bytes))
		return "the tag's width must be 1, 2, 4 or 8 bytes";
	if (!is_width(f->length_bytes))
		return "the length's width must be 1, 2, 4 or 8 bytes";
	if (f->max_bytes < 1 || f->max_bytes > MAX_BYTES_MOST)
		return "the largest value must be 1 to 1073741824 bytes";
	if (f->check > MR_TLV_CHECK_CRC32C)
		return "the check must be none or crc32c";
	return NULL;
}

ssize_t mr_tlv_write_header(const struct mr_tlv_format *f, uint8_t *out, uint64_t tag, size_t len)
{
	uint64_t length = len;

	if (len > f->max_bytes)
		return -EMSGSIZE;
	if (f->length_has_header)
		length += mr_tlv_header_bytes(f);
	if (!fits(length, f->length_bytes))
		return -EMSGSIZE;
	if (!fits(tag, f->tag_bytes))
		return -ERANGE;
	mr_tlv_store(out, f->tag_bytes, f->little_endian, tag);
	mr_tlv_store(out + f->tag_bytes, f->length_bytes, f->little_endian, length);
	return (ssize_t)mr_tlv_header_bytes(f);
}

size_t mr_tlv_write_check(const struct mr_tlv_format *f, uint8_t *out, const uint8_t *header,
			  const void *value, size_t len)
{
	uint32_t sum;

	if (f->check == MR_TLV_CHECK_NONE)
		return 0;
	sum = mr_crc32c(mr_crc32c(0, header, mr_tlv_header_bytes(f)), value, len);
	mr_tlv_store(out, MR_TLV_CHECK_MAX, f->little_endian, sum);
	return MR_TLV_CHECK_MAX;
}
