/* SPDX-License-Identifier: MIT */
/*
 * The reader's states, told apart by what was gathered:
 *
 *	idle		nothing: all zero
 *	header		1 byte up to the header less one
 *	value		the header is whole, value_bytes is known and within the
 *			maximum, value_gathered of them are in the store, fewer than all
 *	check		only in formats that have one: the value is in the store (or
 *			empty), check_gathered bytes of the check are here, fewer than all
 *	failed		the header is whole and its length was refused, or the message is
 *			whole and its check is wrong
 *
 * A message is handed over in the call that completes it, so there is no state
 * in which one is waiting.
 */
#include "user/tlv/reader.h"
#include "user/tlv/crc32c.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns bytes taken. */
static size_t gather_header(struct mr_tlv_reader *r, size_t header, const uint8_t *data, size_t len)
{
	size_t n = smaller(header - r->header_gathered, len);

	memcpy(r->header + r->header_gathered, data, n);
	r->header_gathered += (uint8_t)n;
	return n;
}

static enum mr_tlv_status check_header(struct mr_tlv_reader *r, const struct mr_tlv_format *f)
{
	uint64_t tag;

	switch (mr_tlv_decode_header(f, r->header, &tag, &r->value_bytes)) {
	case 0:
		if (f->check != MR_TLV_CHECK_NONE)
			r->sum = mr_crc32c(0, r->header, mr_tlv_header_bytes(f));
		return MR_TLV_MORE;
	case -EBADMSG:
		r->failed = MR_TLV_BAD_LENGTH;
		return MR_TLV_BAD_LENGTH;
	default:
		r->failed = MR_TLV_TOO_LONG;
		return MR_TLV_TOO_LONG;
	}
}

static enum mr_tlv_status hand_over(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
				    const uint8_t *value, struct mr_tlv *out)
{
	out->tag = mr_tlv_load(r->header, f->tag_bytes, f->little_endian);
	out->len = r->value_bytes;
	out->value = value;
	*r = (struct mr_tlv_reader){ 0 };
	return MR_TLV_MESSAGE;
}

/* The whole message is there, its check in the reader and summed up. */
static enum mr_tlv_status hand_over_checked(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
					    const uint8_t *value, struct mr_tlv *out)
{
	if (mr_tlv_load(r->check, MR_TLV_CHECK_MAX, f->little_endian) == r->sum)
		return hand_over(r, f, value, out);
	r->failed = MR_TLV_BAD_CHECK;
	return MR_TLV_BAD_CHECK;
}

/* Returns bytes taken. */
static size_t gather_check(struct mr_tlv_reader *r, const uint8_t *data, size_t len)
{
	size_t n = smaller(MR_TLV_CHECK_MAX - r->check_gathered, len);

	memcpy(r->check + r->check_gathered, data, n);
	r->check_gathered += (uint8_t)n;
	return n;
}

/* Returns bytes taken: all, or what the value or the store leaves room for. */
static size_t gather_value(struct mr_tlv_reader *r, const uint8_t *data, size_t len, uint8_t *store,
			   size_t store_bytes)
{
	size_t n = smaller(len, r->value_bytes - r->value_gathered);

	if (!store || store_bytes <= r->value_gathered)
		return 0;
	n = smaller(n, store_bytes - r->value_gathered);
	memcpy(store + r->value_gathered, data, n);
	r->value_gathered += (uint32_t)n;
	return n;
}

/* Value and check in a format that has one. */
static enum mr_tlv_status read_checked(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
				       const uint8_t *data, size_t len, uint8_t *store,
				       size_t store_bytes, size_t *used, struct mr_tlv *out)
{
	const uint8_t *value = store;
	size_t n;

	if (!r->value_gathered && len >= (size_t)r->value_bytes + MR_TLV_CHECK_MAX) {
		value = data;
		n = r->value_bytes;
		r->value_gathered = r->value_bytes;
	} else {
		n = gather_value(r, data, len, store, store_bytes);
	}
	if (n)
		r->sum = mr_crc32c(r->sum, data, n);
	*used += n;
	if (r->value_gathered < r->value_bytes)
		return n == len ? MR_TLV_MORE : MR_TLV_STORE;
	*used += gather_check(r, data + n, len - n);
	if (r->check_gathered < MR_TLV_CHECK_MAX)
		return MR_TLV_MORE;
	return hand_over_checked(r, f, r->value_bytes ? value : data, out);
}

static enum mr_tlv_status read_value(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
				     const uint8_t *data, size_t len, uint8_t *store,
				     size_t store_bytes, size_t *used, struct mr_tlv *out)
{
	size_t n;

	if (f->check != MR_TLV_CHECK_NONE)
		return read_checked(r, f, data, len, store, store_bytes, used, out);
	if (!r->value_gathered && len >= r->value_bytes) {
		*used += r->value_bytes;
		return hand_over(r, f, data, out);
	}
	n = gather_value(r, data, len, store, store_bytes);
	*used += n;
	if (r->value_gathered == r->value_bytes)
		return hand_over(r, f, store, out);
	return n == len ? MR_TLV_MORE : MR_TLV_STORE;
}

enum mr_tlv_status mr_tlv_read_spanning(struct mr_tlv_reader *r, const struct mr_tlv_format *f,
					const uint8_t *data, size_t len, uint8_t *store,
					size_t store_bytes, size_t *used, struct mr_tlv *out)
{
	size_t header = mr_tlv_header_bytes(f);
	enum mr_tlv_status status;

	*used = 0;
	if (r->failed)
		return r->failed;
	if (!len)
		return MR_TLV_MORE;
	if (r->header_gathered < header) {
		*used = gather_header(r, header, data, len);
		if (r->header_gathered < header)
			return MR_TLV_MORE;
		status = check_header(r, f);
		if (status != MR_TLV_MORE)
			return status;
	}
	return read_value(r, f, data + *used, len - *used, store, store_bytes, used, out);
}
