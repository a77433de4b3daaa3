/* SPDX-License-Identifier: MIT */
/*
 * user/tlv: the reader in every format, its stream cut anywhere, against a plain reading of the
 * whole; the walk over nested messages; headers written and read back.
 */
#include "tests/fuzz/fuzz.h"
#include "user/tlv/reader.h"

enum {
	MESSAGES_MAX = 4096,
};

/* What the stream holds, read at one go. */
struct expected {
	struct mr_tlv message[MESSAGES_MAX];
	size_t n;
	enum mr_tlv_status end; /* after the last of them */
};

static uint64_t number(const uint8_t *p, unsigned int width, bool little_endian)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < width; i++)
		v = v << 8 | p[little_endian ? width - 1 - i : i];
	return v;
}

static void read_plainly(struct expected *e, const struct mr_tlv_format *f, const uint8_t *p,
			 size_t len)
{
	const size_t header = (size_t)f->tag_bytes + f->length_bytes;

	e->n = 0;
	e->end = MR_TLV_MORE;
	while (len >= header) {
		uint64_t n = number(p + f->tag_bytes, f->length_bytes, f->little_endian);

		if (f->length_has_header && n < header) {
			e->end = MR_TLV_BAD_LENGTH;
			return;
		}
		n -= f->length_has_header ? header : 0;
		if (n > f->max_bytes) {
			e->end = MR_TLV_TOO_LONG;
			return;
		}
		if (n > len - header || e->n == MESSAGES_MAX)
			return;
		e->message[e->n++] = (struct mr_tlv){
			.tag = number(p, f->tag_bytes, f->little_endian),
			.len = (uint32_t)n,
			.value = p + header,
		};
		p += header + n;
		len -= header + n;
	}
}

static struct mr_tlv_format read_format(struct fuzz_in *in)
{
	uint8_t shape = fuzz_u8(in);
	struct mr_tlv_format f = {
		.tag_bytes = (uint8_t)(1 << shape % 4),
		.length_bytes = (uint8_t)(1 << shape / 4 % 4),
		.little_endian = shape & 16,
		.length_has_header = shape & 32,
	};

	f.max_bytes = shape & 64 ? fuzz_u32(in) % (1u << 30) + 1 : 1u + fuzz_u8(in) * 64u;
	return f;
}

static bool same_message(const struct mr_tlv *a, const struct mr_tlv *b)
{
	return a->tag == b->tag && a->len == b->len &&
	       (!a->len || !memcmp(a->value, b->value, a->len));
}

static void write_back(const struct mr_tlv_format *f, const struct mr_tlv *m)
{
	uint8_t bytes[MR_TLV_HEADER_MAX];
	const size_t header = mr_tlv_header_bytes(f);
	const ssize_t n = mr_tlv_write_header(f, bytes, m->tag, m->len);

	FUZZ_CHECK(n == (ssize_t)header);
	FUZZ_CHECK(!memcmp(bytes, m->value - header, header));
}

/* One stream on its way through a reader. */
struct stream {
	const struct mr_tlv_format *f;
	struct mr_tlv_reader r;
	uint8_t *store;
	size_t store_bytes;
	size_t n; /* messages so far */
	enum mr_tlv_status status;
};

/* A store of another size, with what must be kept; never the whole of what a peer promises. */
static void grow(struct stream *s, size_t piece)
{
	size_t kept = mr_tlv_reader_gathered(&s->r), want = mr_tlv_reader_wanted(&s->r);
	size_t bytes = want - kept > piece ? kept + piece : want;
	uint8_t *store = malloc(bytes ? bytes : 1);

	FUZZ_CHECK(store && want >= kept);
	if (kept)
		memcpy(store, s->store, kept);
	free(s->store);
	s->store = store;
	s->store_bytes = bytes;
}

/* A second reading of the same bytes from a copy of the reader: nothing else may come of it. */
static void read_twice(struct stream *s, const uint8_t *data, size_t len, size_t *used,
		       struct mr_tlv *m)
{
	struct mr_tlv_reader again = s->r;
	struct mr_tlv second;
	size_t used_again;

	s->status = mr_tlv_read(&s->r, s->f, data, len, s->store, s->store_bytes, used, m);
	FUZZ_CHECK(mr_tlv_read(&again, s->f, data, len, s->store, s->store_bytes, &used_again,
			       &second) == s->status);
	FUZZ_CHECK(*used == used_again && *used <= len);
	FUZZ_CHECK(!memcmp(&again, &s->r, sizeof(again)));
	FUZZ_CHECK(s->status != MR_TLV_MESSAGE || same_message(m, &second));
}

static void read_piece(struct stream *s, const struct expected *e, const uint8_t *data, size_t len)
{
	struct mr_tlv m;
	size_t used;

	while (len && s->n < MESSAGES_MAX) {
		read_twice(s, data, len, &used, &m);
		data += used;
		len -= used;
		switch (s->status) {
		case MR_TLV_MORE:
			FUZZ_CHECK(!len);
			break;
		case MR_TLV_MESSAGE:
			FUZZ_CHECK(s->n < e->n && same_message(&m, &e->message[s->n]));
			FUZZ_CHECK(mr_tlv_reader_is_idle(&s->r));
			s->n++;
			break;
		case MR_TLV_STORE:
			grow(s, len);
			break;
		default:
			return;
		}
	}
}

static void read_in_pieces(const struct mr_tlv_format *f, const struct expected *e,
			   struct fuzz_in cuts, const uint8_t *data, size_t len)
{
	struct stream s = { .f = f, .status = MR_TLV_MORE };

	while (len && s.status < MR_TLV_TOO_LONG) {
		size_t n = cuts.len ? fuzz_u8(&cuts) + 1u : len;
		uint8_t *piece;

		n = n < len ? n : len;
		piece = fuzz_copy(data, n);
		read_piece(&s, e, piece, n);
		free(piece);
		data += n;
		len -= n;
	}
	FUZZ_CHECK(s.n == e->n);
	FUZZ_CHECK(e->n == MESSAGES_MAX ||
		   (s.status < MR_TLV_TOO_LONG ? e->end == MR_TLV_MORE : s.status == e->end));
	free(s.store);
}

static void walk(const struct mr_tlv_format *f, const struct expected *e, const uint8_t *data,
		 size_t len)
{
	struct mr_tlv_nested n;
	struct mr_tlv m;
	size_t i;
	int got = 0;

	mr_tlv_nested_init(&n, data, len);
	for (i = 0; i < e->n; i++) {
		got = mr_tlv_nested_next(&n, f, &m);
		FUZZ_CHECK(got == 1 && same_message(&m, &e->message[i]));
		write_back(f, &m);
	}
	if (e->n == MESSAGES_MAX)
		return;
	got = mr_tlv_nested_next(&n, f, &m);
	FUZZ_CHECK(got == (n.pos == n.end ? 0 : -EBADMSG));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct expected e;
	struct fuzz_in in = { data, len };
	struct mr_tlv_format f = read_format(&in);
	struct fuzz_in cuts;
	uint8_t *stream;
	size_t bytes;

	FUZZ_CHECK(!mr_tlv_format_check(&f));
	cuts.p = fuzz_take(&in, fuzz_u8(&in) % 32, &cuts.len);
	bytes = in.len;
	stream = fuzz_copy(in.p, bytes);
	read_plainly(&e, &f, stream, bytes);
	read_in_pieces(&f, &e, cuts, stream, bytes);
	walk(&f, &e, stream, bytes);
	free(stream);
	return 0;
}
