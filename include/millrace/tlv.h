/* SPDX-License-Identifier: MIT */
/*
 * TLV messages: tag, length, value. Each width, the byte order and the limit
 * are settings (docs/tlv.md). Everything here is pure: no clock, no I/O, no
 * allocation, no globals; records hold no pointers and may live in an arena.
 */
#ifndef MILLRACE_TLV_H
#define MILLRACE_TLV_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MR_TLV_HEADER_MAX = 16, /* tag 8 + length 8 */
	MR_TLV_CHECK_MAX = 4,
};

/* What follows a value, so that a message that was changed on its way is found. */
enum mr_tlv_check {
	MR_TLV_CHECK_NONE = 0,
	MR_TLV_CHECK_CRC32C, /* RFC 3720 B.4 over tag, length and value: 4 bytes */
};

/**
 * struct mr_tlv_format - how messages are laid out
 * @tag_bytes:		1, 2, 4 or 8
 * @length_bytes:	1, 2, 4 or 8
 * @little_endian:	false: network order
 * @length_has_header:	the length field counts the header too
 * @max_bytes:		largest value, checked before anything is stored; 1 to 2^30
 * @check:		enum mr_tlv_check. Neither the length field nor @max_bytes counts it;
 *			in the byte order of tag and length
 */
struct mr_tlv_format {
	uint8_t tag_bytes;
	uint8_t length_bytes;
	bool little_endian;
	bool length_has_header;
	uint32_t max_bytes;
	uint8_t check;
};

/* The contract's default: tag 2, length 4 (of the value), big endian, at most 1 MiB, no check. */
#define MR_TLV_FORMAT_DEFAULT                                                                      \
	((struct mr_tlv_format){ 2, 4, false, false, 1u << 20, MR_TLV_CHECK_NONE })

/**
 * struct mr_tlv - one message as a view; @value borrowed from what it was read from
 */
struct mr_tlv {
	uint64_t tag;
	uint32_t len; /* bytes of @value */
	const uint8_t *value;
};

/** mr_tlv_format_check() - NULL when @f is usable, else words: what is wrong, and the cure */
const char *mr_tlv_format_check(const struct mr_tlv_format *f);

/** mr_tlv_header_bytes() - tag_bytes + length_bytes */
static inline size_t mr_tlv_header_bytes(const struct mr_tlv_format *f)
{
	return (size_t)f->tag_bytes + f->length_bytes;
}

/** mr_tlv_check_bytes() - bytes that follow the value: 0 or 4 */
static inline size_t mr_tlv_check_bytes(const struct mr_tlv_format *f)
{
	return f->check == MR_TLV_CHECK_CRC32C ? MR_TLV_CHECK_MAX : 0;
}

/**
 * mr_tlv_write_header() - write tag and length of a value of @len bytes
 * @out:	at least mr_tlv_header_bytes() bytes
 *
 * Return: header bytes written, or -EMSGSIZE (@len over max_bytes or not representable),
 *	   -ERANGE (@tag does not fit), nothing written
 */
ssize_t mr_tlv_write_header(const struct mr_tlv_format *f, uint8_t *out, uint64_t tag, size_t len);

/**
 * mr_tlv_write_check() - write what follows the value, if anything does
 * @out:	at least mr_tlv_check_bytes() bytes
 * @header:	as mr_tlv_write_header() wrote it
 * @value:	@len bytes, as many as @header says
 *
 * Return: bytes written: mr_tlv_check_bytes()
 */
size_t mr_tlv_write_check(const struct mr_tlv_format *f, uint8_t *out, const uint8_t *header,
			  const void *value, size_t len);

/**
 * struct mr_tlv_nested - walks the TLVs inside a value (or inside any flat buffer)
 *
 * Inner messages have no check of their own, whatever the format says: that of the outer
 * message covers them.
 */
struct mr_tlv_nested {
	const uint8_t *pos;
	const uint8_t *end;
};

/** mr_tlv_nested_init() - walk @len bytes at @data, borrowed until the walk ends */
void mr_tlv_nested_init(struct mr_tlv_nested *n, const uint8_t *data, size_t len);

/**
 * mr_tlv_nested_next() - the next inner message
 *
 * Return: 1 (@out set), 0 at the exact end, -EBADMSG when the rest is no whole message;
 *	   the position stays on error
 */
int mr_tlv_nested_next(struct mr_tlv_nested *n, const struct mr_tlv_format *f, struct mr_tlv *out);

#ifdef __cplusplus
}
#endif
#endif
