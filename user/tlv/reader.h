/* SPDX-License-Identifier: MIT */
/*
 * Reads messages from a stream that arrives in pieces.
 *
 * A message that lies whole in one piece is a view into it: its value is not
 * copied. One that spans pieces leaves its header (and its check, if the format
 * has one) in the reader and its value in a store that the caller lends; the sum
 * goes along with the bytes, so that nothing is read twice. At a message's boundary
 * the reader is all zero bytes, so an idle connection needs to keep neither.
 *
 * A caller's loop:
 *
 *	while (len) {
 *		status = mr_tlv_read(&r, f, data, len, store, store_bytes, &used, &m);
 *		data += used, len -= used;
 *		switch (status) {
 *		case MR_TLV_MESSAGE:	hand m over; break;
 *		case MR_TLV_MORE:	return;		(len is 0)
 *		case MR_TLV_STORE:	get a larger store, keep what it holds; break;
 *		default:		close the connection; return;
 *		}
 *	}
 *
 * To be able to offer a message again that was not accepted, keep a copy of the
 * reader from before the call; put it back and read the same bytes again with
 * the same store: the result is the same.
 */
#ifndef MR_TLV_READER_H
#define MR_TLV_READER_H

#include "millrace/tlv.h"
#include "user/tlv/format.h"

/* What mr_tlv_read() found. */
enum mr_tlv_status {
	MR_TLV_MORE = 0,   /* all consumed, no message is complete */
	MR_TLV_MESSAGE,	   /* one message */
	MR_TLV_STORE,	   /* a value spans pieces and the store is full or absent */
	MR_TLV_TOO_LONG,   /* a length over the maximum; lasting */
	MR_TLV_BAD_LENGTH, /* a length that counts the header and is less than it; lasting */
	MR_TLV_BAD_CHECK,  /* what follows a value is not its check; lasting */
};

/**
 * struct mr_tlv_reader - a message that is not complete yet
 *
 * No pointers: it may be copied, and may live in an arena. All zero bytes at a
 * message's boundary. Owned by its connection's lane, written by mr_tlv_read() only.
 */
struct mr_tlv_reader {
	uint8_t header[MR_TLV_HEADER_MAX];
	uint32_t value_bytes;	 /* known when the header is whole */
	uint32_t value_gathered; /* of them in the store */
	uint8_t header_gathered;
	uint8_t failed; /* enum mr_tlv_status, MR_TLV_TOO_LONG or later; 0 none */
	uint8_t check_gathered;
	uint8_t reserved;
	uint32_t sum; /* CRC-32C of what was gathered, in a format with check */
	uint8_t check[MR_TLV_CHECK_MAX];
};

_Static_assert(sizeof(struct mr_tlv_reader) == 36, "memory of a connection in mid-message");

/** mr_tlv_reader_is_idle() - at a message's boundary: all zero, need not be kept */
static inline bool mr_tlv_reader_is_idle(const struct mr_tlv_reader *r)
{
	return !r->header_gathered;
}

/** mr_tlv_reader_wanted() - bytes of the value that is being read, 0 before its header is whole */
static inline uint32_t mr_tlv_reader_wanted(const struct mr_tlv_reader *r)
{
	return r->value_bytes;
}

/** mr_tlv_reader_gathered() - bytes at the front of the store that must be kept */
static inline uint32_t mr_tlv_reader_gathered(const struct mr_tlv_reader *r)
{
	return r->value_gathered;
}

/* One message at the front of @data, in any format; errors are left to mr_tlv_read_spanning(). */
static inline bool mr_tlv_is_whole(const struct mr_tlv_format *f, const uint8_t *data, size_t len,
				   struct mr_tlv *out)
{
	size_t header = mr_tlv_header_bytes(f);

	if (len < header || mr_tlv_decode_header(f, data, &out->tag, &out->len))
		return false;
	out->value = data + header;
	return out->len <= len - header;
}

/* The same for the default widths and order: constants, so a handful of instructions. */
static inline bool mr_tlv_is_whole_default(uint32_t max_bytes, const uint8_t *data, size_t len,
					   struct mr_tlv *out)
{
	if (len < MR_TLV_DEFAULT_HEADER)
		return false;
	out->tag = mr_tlv_load(data, 2, false);
	out->len = (uint32_t)mr_tlv_load(data + 2, 4, false);
	out->value = data + MR_TLV_DEFAULT_HEADER;
	return out->len <= max_bytes && out->len <= len - MR_TLV_DEFAULT_HEADER;
}

/**
 * mr_tlv_read_whole() - one message that lies whole at the front of @data, without a reader
 *
 * For a stream that stands at a message's boundary. False: mr_tlv_read() knows what is there.
 */
static inline bool mr_tlv_read_whole(const struct mr_tlv_format *f, const uint8_t *data, size_t len,
				     size_t *used, struct mr_tlv *out)
{
	if (__builtin_expect(f->check != MR_TLV_CHECK_NONE, 0) ||
	    !(mr_tlv_is_default_layout(f) ? mr_tlv_is_whole_default(f->max_bytes, data, len, out)
					  : mr_tlv_is_whole(f, data, len, out)))
		return false;
	*used = mr_tlv_header_bytes(f) + out->len;
	return true;
}

/* mr_tlv_read() for what does not lie whole in one piece, for formats with check, for errors. */
enum mr_tlv_status mr_tlv_read_spanning(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
					const uint8_t *data, size_t len, uint8_t *store,
					size_t store_bytes, size_t *used, struct mr_tlv *out);

/**
 * mr_tlv_read() - read on, up to the end of one message
 * @r:		the connection's reader; zero bytes to begin with
 * @f:		a format that mr_tlv_format_check() let pass, the same for the whole stream
 * @data:	bytes that follow those consumed so far
 * @store:	where a value that spans pieces is put together, or NULL; its first
 *		mr_tlv_reader_gathered() bytes are as the last call left them
 * @store_bytes: size of @store; mr_tlv_reader_wanted() is enough
 * @used:	out: bytes of @data consumed; the rest is for the next call
 * @out:	out with MR_TLV_MESSAGE, else undefined: its value points into @data when
 *		it lies there whole with its check (even if its header came earlier),
 *		else to @store, and is borrowed until that memory changes
 *
 * The maximum is checked as soon as the length field is whole, before a store
 * is asked for.
 *
 * Return: MR_TLV_MORE		all of @data consumed
 *	   MR_TLV_MESSAGE	one message in @out; @r is zero again
 *	   MR_TLV_STORE		@store is full or NULL: call again with a larger one, its
 *				front unchanged, and with the rest of @data
 *	   MR_TLV_TOO_LONG, MR_TLV_BAD_LENGTH, MR_TLV_BAD_CHECK	close the connection: what
 *				follows cannot be told apart; every later call gives the
 *				same and consumes nothing
 */
static inline enum mr_tlv_status mr_tlv_read(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
					     const uint8_t *data, size_t len, uint8_t *store,
					     size_t store_bytes, size_t *used, struct mr_tlv *out)
{
	if (__builtin_expect(mr_tlv_reader_is_idle(r), 1) &&
	    mr_tlv_read_whole(f, data, len, used, out))
		return MR_TLV_MESSAGE;
	return mr_tlv_read_spanning(r, f, data, len, store, store_bytes, used, out);
}

#endif
