/* SPDX-License-Identifier: MIT */
/*
 * user/wire: frames and options as a peer may send them, and that what is written is read back.
 * The first byte chooses: a frame as it is, with its checksums made right, options alone, a segment
 * to be pushed, or a good segment in any dress that IP allows, which must be read as it was meant.
 */
#include "tests/fuzz/frame.h"
#include "tests/fuzz/fuzz.h"
#include "user/wire/segment.h"

static bool same_options(const struct mr_tcp_options *a, const struct mr_tcp_options *b)
{
	if (a->mss != b->mss || a->has_window_scale != b->has_window_scale ||
	    a->window_shift != b->window_shift || a->sack_permitted != b->sack_permitted ||
	    a->has_timestamps != b->has_timestamps || a->ts_val != b->ts_val ||
	    a->ts_ecr != b->ts_ecr || a->n_sack != b->n_sack)
		return false;
	if (a->has_ecn && (!b->has_ecn || a->n_ecn != b->n_ecn || a->ecn_kind != b->ecn_kind ||
			   memcmp(a->ecn_bytes, b->ecn_bytes, a->n_ecn * sizeof(a->ecn_bytes[0]))))
		return false;
	return !memcmp(a->sack, b->sack, a->n_sack * sizeof(a->sack[0]));
}

static void check_options(const struct mr_tcp_options *o)
{
	FUZZ_CHECK(o->window_shift <= 14);
	FUZZ_CHECK(o->n_sack <= sizeof(o->sack) / sizeof(o->sack[0]));
	FUZZ_CHECK(o->n_ecn <= sizeof(o->ecn_bytes) / sizeof(o->ecn_bytes[0]));
	FUZZ_CHECK(mr_tcp_options_bytes(o) <= MR_TCP_OPTIONS_MAX);
	FUZZ_CHECK(mr_tcp_options_bytes(o) % 4 == 0);
}

/* Whole options that fit come back; of SACK blocks as many as there was room for. */
static void push_and_parse(const struct mr_tuple *tuple, const struct mr_link *link,
			   const struct mr_segment_out *out, const uint8_t *text, size_t len)
{
	uint8_t *buffer = malloc(MR_HEADERS_MAX + len), *payload = buffer + MR_HEADERS_MAX;
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	size_t headers;
	int drop = 0;

	FUZZ_CHECK(buffer);
	if (len)
		memcpy(payload, text, len);
	headers = mr_segment_push(payload, len, tuple, link, out, 7);
	FUZZ_CHECK(headers <= MR_HEADERS_MAX);
	FUZZ_CHECK(mr_frame_parse(payload - headers, headers + len, &seg, &icmp, &drop) ==
		   MR_KIND_TCP);
	FUZZ_CHECK(!memcmp(seg.tuple.local, tuple->remote, 16));
	FUZZ_CHECK(!memcmp(seg.tuple.remote, tuple->local, 16));
	FUZZ_CHECK(seg.tuple.local_port.raw == tuple->remote_port.raw);
	FUZZ_CHECK(seg.tuple.remote_port.raw == tuple->local_port.raw);
	FUZZ_CHECK(seg.seq == out->seq && seg.ack == out->ack && seg.wnd == out->wnd);
	FUZZ_CHECK(seg.flags == out->flags && seg.ecn == (out->ecn & 7));
	FUZZ_CHECK(seg.payload == headers && seg.len == len);
	FUZZ_CHECK(seg.options.n_sack <= out->options.n_sack);
	seg.options.n_sack = out->options.n_sack;
	memcpy(seg.options.sack, out->options.sack, sizeof(seg.options.sack));
	FUZZ_CHECK(same_options(&seg.options, &out->options));
	free(buffer);
}

/* The answer to a segment that was read: its tuple turned round, its numbers as they are. */
static void push_again(const struct mr_segment *seg)
{
	struct mr_segment_out out = {
		.seq = seg->seq,
		.ack = seg->ack,
		.wnd = seg->wnd,
		.flags = seg->flags,
		.ecn = seg->ecn,
		.options = seg->options,
	};
	struct mr_link link = { .vlan = { seg->link.vlan[0], seg->link.vlan[1] } };

	memcpy(link.own_mac, frame_lane_mac, 6);
	memcpy(link.peer_mac, frame_peer_mac, 6);
	push_and_parse(&seg->tuple, &link, &out, NULL, 0);
}

static void parse_frame(const uint8_t *data, size_t len, bool repaired)
{
	uint8_t *frame = fuzz_copy(data, len);
	struct mr_icmp_error icmp = { 0 };
	struct mr_segment seg = { 0 };
	int drop = 0;

	if (repaired)
		frame_repair(frame, len);
	switch (mr_frame_parse(frame, len, &seg, &icmp, &drop)) {
	case MR_KIND_TCP:
		FUZZ_CHECK((size_t)seg.payload + seg.len <= len);
		check_options(&seg.options);
		push_again(&seg);
		break;
	case MR_KIND_ICMP:
		break;
	case MR_KIND_DROP:
		FUZZ_CHECK(drop >= 0);
		break;
	}
	free(frame);
}

static void parse_options(const uint8_t *data, size_t len)
{
	uint8_t *bytes = fuzz_copy(data, len);
	struct mr_tcp_options o;

	if (mr_tcp_options_parse(&o, bytes, len))
		check_options(&o);
	free(bytes);
}

static struct mr_tcp_options read_options(struct fuzz_in *in)
{
	struct mr_tcp_options o = { 0 };
	uint8_t kinds = fuzz_u8(in);

	if (kinds & 1)
		o.mss = fuzz_u16(in);
	o.has_window_scale = kinds & 2;
	if (o.has_window_scale)
		o.window_shift = fuzz_u8(in) % 15;
	o.sack_permitted = kinds & 4;
	o.has_timestamps = kinds & 8;
	if (o.has_timestamps) {
		o.ts_val = fuzz_u32(in);
		o.ts_ecr = fuzz_u32(in);
	}
	o.n_sack = (kinds >> 4) % 5;
	for (unsigned int i = 0; i < o.n_sack; i++) {
		o.sack[i].left = fuzz_u32(in);
		o.sack[i].right = fuzz_u32(in);
	}
	o.n_ecn = fuzz_u8(in) & 3; /* nothing is left of an old input: no option */
	o.has_ecn = o.n_ecn;
	o.ecn_kind = fuzz_u8(in) & 1 ? 172 : 174;
	for (unsigned int i = 0; i < o.n_ecn; i++)
		o.ecn_bytes[i] = fuzz_u32(in) & 0xffffff;
	return o;
}

static void push_segment(struct fuzz_in *in)
{
	uint8_t shape = fuzz_u8(in);
	struct mr_link link = { .vlan = { 0 } };
	struct mr_segment_out out = { .seq = fuzz_u32(in),
				      .ack = fuzz_u32(in),
				      .wnd = fuzz_u16(in),
				      .flags = fuzz_u8(in),
				      .ecn = fuzz_u8(in) & 7,
				      .ttl = fuzz_u8(in) };
	struct mr_tuple tuple = { .local_port = mr_to_be16(fuzz_u16(in)),
				  .remote_port = mr_to_be16(fuzz_u16(in)) };
	const uint8_t *text;
	size_t len;

	memcpy(link.own_mac, frame_lane_mac, 6);
	memcpy(link.peer_mac, frame_peer_mac, 6);
	memcpy(tuple.local, frame_lane_addr[shape & 1], 16);
	memcpy(tuple.remote, frame_peer_addr[shape & 1], 16);
	if (shape & 2)
		link.vlan[0] = fuzz_u16(in);
	if (link.vlan[0] && shape & 4)
		link.vlan[1] = fuzz_u16(in);
	out.options = read_options(in);
	text = fuzz_take(in, FRAME_TEXT_MAX, &len);
	/* at most 40 bytes of options are a segment: of too many, SACK blocks stay away */
	push_and_parse(&tuple, &link, &out, text, len);
}

/* IP options, extension headers, a tag, padding behind the packet: the segment is what it is. */
static void parse_good(struct fuzz_in *in)
{
	uint8_t shape = fuzz_u8(in), padding = shape >> 4, options[FRAME_OPTIONS_MAX] = { 0 };
	uint8_t built[FRAME_MAX + 16] = { 0 };
	struct frame_segment s = { .ipv6 = shape & 1,
				   .vlan = shape & 2 ? fuzz_u16(in) : 0,
				   .ip_extras = shape >> 2 & 3,
				   .ecn = fuzz_u8(in) & 7,
				   .from = fuzz_u16(in),
				   .to = fuzz_u16(in),
				   .seq = fuzz_u32(in),
				   .ack = fuzz_u32(in),
				   .wnd = fuzz_u16(in),
				   .flags = fuzz_u8(in) };
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	uint8_t *frame;
	size_t len, n;
	int drop = 0;

	s.options_len = fuzz_u8(in) % 10 * 4;
	memset(options, 1, s.options_len); /* NOPs */
	s.options = options;
	s.text = fuzz_take(in, FRAME_TEXT_MAX, &n);
	s.text_len = (uint16_t)n;
	len = frame_build(built, &s);
	frame = fuzz_copy(built, len + padding);
	FUZZ_CHECK(mr_frame_parse(frame, len + padding, &seg, &icmp, &drop) == MR_KIND_TCP);
	FUZZ_CHECK(!memcmp(seg.tuple.local, frame_lane_addr[s.ipv6], 16));
	FUZZ_CHECK(!memcmp(seg.tuple.remote, frame_peer_addr[s.ipv6], 16));
	FUZZ_CHECK(mr_be16(seg.tuple.local_port) == s.to);
	FUZZ_CHECK(mr_be16(seg.tuple.remote_port) == s.from);
	FUZZ_CHECK(seg.seq == s.seq && seg.ack == s.ack && seg.wnd == s.wnd);
	FUZZ_CHECK(seg.flags == s.flags && seg.ecn == s.ecn && seg.link.vlan[0] == s.vlan);
	FUZZ_CHECK(seg.len == n && (size_t)seg.payload + seg.len == len);
	FUZZ_CHECK(!n || !memcmp(frame + seg.payload, s.text, n));
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };

	switch (fuzz_u8(&in) % 5) {
	case 0:
		parse_frame(in.p, in.len, false);
		break;
	case 1:
		parse_frame(in.p, in.len, true);
		break;
	case 2:
		parse_options(in.p, in.len);
		break;
	case 3:
		push_segment(&in);
		break;
	default:
		parse_good(&in);
	}
	return 0;
}
