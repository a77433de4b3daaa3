/* SPDX-License-Identifier: MIT */
/*
 * TCP options (RFC 9293 3.1 and 3.2, RFC 7323, RFC 2018).
 *
 * Reading: a list of kind, length, body. Nearly every segment of an established connection carries
 * the one block NOP NOP timestamps, so that is recognised whole. Writing: Linux's order, each
 * option padded by NOPs to a multiple of four.
 */
#include "user/wire/tcp_options.h"

#include <string.h>

#include "user/wire/bytes.h"

static bool read_timestamps(struct mr_tcp_options *o, const uint8_t *body, size_t len)
{
	if (len != MR_OPT_TIMESTAMPS_BYTES - 2)
		return false;
	o->has_timestamps = true;
	o->ts_val = load_be32(body);
	o->ts_ecr = load_be32(body + 4);
	return true;
}

static bool read_sack(struct mr_tcp_options *o, const uint8_t *body, size_t len)
{
	if (len % MR_OPT_SACK_BLOCK_BYTES || len > MR_SACK_BLOCKS_MAX * MR_OPT_SACK_BLOCK_BYTES)
		return false;
	o->n_sack = (uint8_t)(len / MR_OPT_SACK_BLOCK_BYTES);
	for (unsigned int i = 0; i < o->n_sack; i++, body += MR_OPT_SACK_BLOCK_BYTES) {
		o->sack[i].left = load_be32(body);
		o->sack[i].right = load_be32(body + 4);
	}
	return true;
}

/* RFC 7413 4.1.1: an invalid length is ignored, not malformed. */
static void read_fast_open(struct mr_tcp_options *o, const uint8_t *body, size_t len)
{
	if (len && (len < MR_FAST_OPEN_COOKIE_LEAST || len > MR_FAST_OPEN_COOKIE_MOST || len % 2))
		return;
	o->has_fast_open = true;
	o->fast_open_bytes = (uint8_t)len;
	memcpy(o->fast_open, body, len);
}

static void read_experimental(struct mr_tcp_options *o, const uint8_t *body, size_t len)
{
	if (len < 2 || load_be16(body) != MR_OPT_FAST_OPEN_MAGIC || o->has_fast_open)
		return;
	read_fast_open(o, body + 2, len - 2);
	o->fast_open_experimental = o->has_fast_open;
}

/* RFC 9768 3.2.3: another length is ignored as far as it is no whole number of counters. */
static void read_acc_ecn(struct mr_tcp_options *o, uint8_t kind, const uint8_t *body, size_t len)
{
	if (len % MR_OPT_ACC_ECN_FIELD_BYTES ||
	    len > MR_ACC_ECN_FIELDS * MR_OPT_ACC_ECN_FIELD_BYTES)
		return;
	o->has_ecn = true;
	o->ecn_kind = kind;
	o->n_ecn = (uint8_t)(len / MR_OPT_ACC_ECN_FIELD_BYTES);
	for (unsigned int i = 0; i < o->n_ecn; i++, body += MR_OPT_ACC_ECN_FIELD_BYTES)
		o->ecn_bytes[i] = (uint32_t)body[0] << 16 | load_be16(body + 1);
}

/*
 * One option body. A kind we do not know is skipped (RFC 9293 3.1, MUST-6); a known kind of the
 * wrong length is malformed (MUST-7).
 */
static bool read_option(struct mr_tcp_options *o, uint8_t kind, const uint8_t *body, size_t len)
{
	switch (kind) {
	case MR_OPT_MSS:
		if (len != MR_OPT_MSS_BYTES - 2)
			return false;
		o->mss = load_be16(body);
		return true;
	case MR_OPT_WINDOW_SCALE: /* RFC 7323 2.3: above 14 means 14 */
		if (len != MR_OPT_WINDOW_SCALE_BYTES - 2)
			return false;
		o->has_window_scale = true;
		o->window_shift = body[0] > MR_WINDOW_SHIFT_MAX ? MR_WINDOW_SHIFT_MAX : body[0];
		return true;
	case MR_OPT_SACK_PERMITTED:
		o->sack_permitted = len == MR_OPT_SACK_PERMITTED_BYTES - 2;
		return o->sack_permitted;
	case MR_OPT_SACK:
		return read_sack(o, body, len);
	case MR_OPT_TIMESTAMPS:
		return read_timestamps(o, body, len);
	case MR_OPT_FAST_OPEN:
		o->fast_open_experimental = false;
		read_fast_open(o, body, len);
		return true;
	case MR_OPT_ACC_ECN0:
	case MR_OPT_ACC_ECN1:
		read_acc_ecn(o, kind, body, len);
		return true;
	case MR_OPT_EXPERIMENTAL:
		read_experimental(o, body, len);
		return true;
	default:
		return true;
	}
}

bool mr_tcp_options_parse(struct mr_tcp_options *o, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;

	*o = (struct mr_tcp_options){ 0 };
	if (len == MR_TS_OPTION_BYTES && load_be32(p) == MR_OPT_TS_BLOCK)
		return read_timestamps(o, p + 4, MR_OPT_TIMESTAMPS_BYTES - 2);
	while (p < end && *p != MR_OPT_END) {
		if (*p == MR_OPT_NOP) {
			p++;
			continue;
		}
		if (end - p < 2 || p[1] < 2 || p[1] > end - p)
			return false;
		if (!read_option(o, p[0], p + 2, p[1] - 2u))
			return false;
		p += p[1];
	}
	return true;
}

/* Kind, length, magic and cookie; NOPs to a multiple of four follow. */
static inline size_t fast_open_bytes(const struct mr_tcp_options *o)
{
	return 2 + (o->fast_open_experimental ? 2u : 0) + o->fast_open_bytes;
}

/* With NOPs to a multiple of four. */
static inline size_t acc_ecn_bytes(const struct mr_tcp_options *o)
{
	return (2 + (size_t)o->n_ecn * MR_OPT_ACC_ECN_FIELD_BYTES + 3) & ~(size_t)3;
}

/* It is the one that stays away when the others leave no room. */
static inline bool has_room_for_ecn(const struct mr_tcp_options *o, size_t others)
{
	return o->has_ecn && others + acc_ecn_bytes(o) <= MR_TCP_OPTIONS_MAX;
}

/* Bytes of all options but AccECN and SACK blocks. */
static inline size_t other_bytes(const struct mr_tcp_options *o)
{
	size_t bytes = 0;

	if (o->mss)
		bytes += MR_OPT_MSS_BYTES;
	if (o->has_timestamps)
		bytes += MR_TS_OPTION_BYTES; /* SACK-permitted takes the place of its NOPs */
	else if (o->sack_permitted)
		bytes += 4;
	if (o->has_window_scale)
		bytes += 4;
	if (o->has_fast_open)
		bytes += (fast_open_bytes(o) + 3) & ~(size_t)3;
	return bytes;
}

/* Bytes of all options but SACK blocks. */
static inline size_t plain_bytes(const struct mr_tcp_options *o)
{
	size_t bytes = other_bytes(o);

	return has_room_for_ecn(o, bytes) ? bytes + acc_ecn_bytes(o) : bytes;
}

/* SACK blocks that fit behind @used bytes: three beside timestamps (RFC 2018 3). */
static inline unsigned int sack_blocks(const struct mr_tcp_options *o, size_t used)
{
	size_t room = (MR_TCP_OPTIONS_MAX - used) / 4 * 4;

	room = room < 4 ? 0 : (room - 4) / MR_OPT_SACK_BLOCK_BYTES;
	return o->n_sack < room ? o->n_sack : (unsigned int)room;
}

size_t mr_tcp_options_bytes(const struct mr_tcp_options *o)
{
	size_t bytes = plain_bytes(o);
	unsigned int n;

	if (!o->n_sack)
		return bytes;
	n = sack_blocks(o, bytes);
	return n ? bytes + 4 + n * MR_OPT_SACK_BLOCK_BYTES : bytes;
}

static uint8_t *put(uint8_t *p, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	p[0] = a;
	p[1] = b;
	p[2] = c;
	p[3] = d;
	return p + 4;
}

static uint8_t *write_fast_open(const struct mr_tcp_options *o, uint8_t *p)
{
	size_t len = fast_open_bytes(o);
	uint8_t *body = p + 2;

	p[0] = o->fast_open_experimental ? MR_OPT_EXPERIMENTAL : MR_OPT_FAST_OPEN;
	p[1] = (uint8_t)len;
	if (o->fast_open_experimental) {
		store_be16(body, MR_OPT_FAST_OPEN_MAGIC);
		body += 2;
	}
	memcpy(body, o->fast_open, o->fast_open_bytes);
	while (len % 4)
		p[len++] = MR_OPT_NOP;
	return p + len;
}

static uint8_t *write_acc_ecn(const struct mr_tcp_options *o, uint8_t *p)
{
	size_t len = 2;

	p[0] = o->ecn_kind;
	p[1] = (uint8_t)(2 + o->n_ecn * MR_OPT_ACC_ECN_FIELD_BYTES);
	for (unsigned int i = 0; i < o->n_ecn; i++, len += MR_OPT_ACC_ECN_FIELD_BYTES) {
		p[len] = (uint8_t)(o->ecn_bytes[i] >> 16);
		store_be16(p + len + 1, o->ecn_bytes[i]);
	}
	while (len % 4)
		p[len++] = MR_OPT_NOP;
	return p + len;
}

static void write_sack(const struct mr_tcp_options *o, unsigned int n, uint8_t *p)
{
	p = put(p, MR_OPT_NOP, MR_OPT_NOP, MR_OPT_SACK,
		(uint8_t)(MR_OPT_SACK_BYTES + n * MR_OPT_SACK_BLOCK_BYTES));
	for (unsigned int i = 0; i < n; i++, p += MR_OPT_SACK_BLOCK_BYTES) {
		store_be32(p, o->sack[i].left);
		store_be32(p + 4, o->sack[i].right);
	}
}

/* Timestamps, SACK-permitted in the place of their NOPs or alone; AccECN behind the former. */
static uint8_t *write_middle(const struct mr_tcp_options *o, bool ecn, uint8_t *p)
{
	if (o->has_timestamps) {
		if (o->sack_permitted)
			p = put(p, MR_OPT_SACK_PERMITTED, MR_OPT_SACK_PERMITTED_BYTES,
				MR_OPT_TIMESTAMPS, MR_OPT_TIMESTAMPS_BYTES);
		else
			p = put(p, MR_OPT_NOP, MR_OPT_NOP, MR_OPT_TIMESTAMPS,
				MR_OPT_TIMESTAMPS_BYTES);
		store_be32(p, o->ts_val);
		store_be32(p + 4, o->ts_ecr);
		p += 8;
	}
	if (ecn)
		p = write_acc_ecn(o, p);
	if (o->sack_permitted && !o->has_timestamps)
		p = put(p, MR_OPT_NOP, MR_OPT_NOP, MR_OPT_SACK_PERMITTED,
			MR_OPT_SACK_PERMITTED_BYTES);
	return p;
}

void mr_tcp_options_write(const struct mr_tcp_options *o, uint8_t *p)
{
	bool ecn = o->has_ecn && has_room_for_ecn(o, other_bytes(o));
	uint8_t *start = p;
	unsigned int n;

	if (o->mss)
		p = put(p, MR_OPT_MSS, MR_OPT_MSS_BYTES, (uint8_t)(o->mss >> 8), (uint8_t)o->mss);
	p = write_middle(o, ecn, p);
	if (o->has_window_scale)
		p = put(p, MR_OPT_NOP, MR_OPT_WINDOW_SCALE, MR_OPT_WINDOW_SCALE_BYTES,
			o->window_shift);
	if (o->has_fast_open)
		p = write_fast_open(o, p);
	n = o->n_sack ? sack_blocks(o, (size_t)(p - start)) : 0;
	if (n)
		write_sack(o, n, p);
}
