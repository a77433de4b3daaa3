/* SPDX-License-Identifier: MIT */
/*
 * The same byte stream, in order and then cut into segments in any way (overlapping, again, out of
 * order, with pauses, to an application that is slow), must reach the application as the same bytes
 * or messages and end the same way. Meanwhile nothing is acknowledged that was not sent, and the
 * right edge of the window never moves back.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/net.h"

enum {
	PORT = 7000,
	STREAM_MAX = 4096,
	MESSAGES_MAX = STREAM_MAX / 2 + 1,
	MSS = 1400,
	ROUNDS_MAX = 4000,
};

struct message {
	uint64_t tag;
	size_t offset, len; /* of the value in bytes[] */
};

/* What an application got. */
struct tape {
	uint8_t bytes[STREAM_MAX + 1];
	size_t n;
	struct message message[MESSAGES_MAX];
	size_t n_messages;
	bool ended;
	bool closed;
	int reason;
};

/* One playing of the stream. */
struct player {
	struct net net;
	const uint8_t *stream;
	size_t len;
	uint32_t isn;		   /* sequence number of the first byte */
	bool sent[STREAM_MAX + 1]; /* by byte; the last is the FIN */
	uint32_t edge;
	bool has_edge;
};

static struct tape tape;  /* of the playing that runs; applications have no other way to it */
static uint8_t slowness;  /* 0: takes all at once */
static unsigned int left; /* how often it has left something */

/* Now and then an application is not ready; it takes the same again 5 ms later. */
static bool is_tired(struct mr_host *h, mr_conn_id c)
{
	if (!slowness || ++left % (slowness % 4u + 2))
		return false;
	mr_timer(h, c, 5);
	return true;
}

static enum mr_app_verdict tape_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				      size_t len, size_t *used)
{
	size_t n = len;

	if (is_tired(h, c))
		n = len / 2;
	FUZZ_CHECK(len && tape.n + n <= sizeof(tape.bytes) && !tape.ended && !tape.closed);
	memcpy(tape.bytes + tape.n, data, n);
	tape.n += n;
	*used = n;
	return n == len ? MR_APP_DONE : MR_APP_AGAIN;
}

static enum mr_app_verdict tape_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					const uint8_t *value, size_t len)
{
	if (is_tired(h, c))
		return MR_APP_AGAIN;
	FUZZ_CHECK(tape.n + len <= sizeof(tape.bytes) && !tape.ended && !tape.closed);
	FUZZ_CHECK(tape.n_messages < MESSAGES_MAX);
	tape.message[tape.n_messages++] = (struct message){ tag, tape.n, len };
	if (len)
		memcpy(tape.bytes + tape.n, value, len);
	tape.n += len;
	return MR_APP_DONE;
}

static void tape_timer(struct mr_host *h, mr_conn_id c)
{
	mr_resume(h, c);
}

static void tape_shutdown(struct mr_host *h, mr_conn_id c)
{
	FUZZ_CHECK(!tape.ended);
	tape.ended = true;
	mr_close(h, c);
}

static void tape_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h, (void)c;
	FUZZ_CHECK(!tape.closed);
	tape.closed = true;
	tape.reason = reason;
}

#define TAPE                                                                                       \
	.name = "tape", .bytes = tape_bytes, .message = tape_message, .timer = tape_timer,         \
	.peer_shutdown = tape_shutdown, .closed = tape_closed

static const struct mr_app tape_of_bytes = { TAPE };
static const struct mr_app tape_of_messages = { TAPE, .messages = true };

/* ----- the wire ----- */

/* Everything the lane says is held against what was sent. */
static void seen(struct net *n, struct net_conn *c, const struct mr_segment *seg)
{
	struct player *p = n->arg;
	uint32_t acked = seg->ack - p->isn;

	if (seg->flags & (MR_RST | MR_SYN) || !(seg->flags & MR_ACK))
		return;
	FUZZ_CHECK(acked <= p->len + 1);
	for (uint32_t i = 0; i < acked; i++)
		FUZZ_CHECK(p->sent[i]);
	if (tape.ended || tape.closed)
		return; /* nobody needs a window any more */
	FUZZ_CHECK(!p->has_edge || !mr_seq_lt(c->edge, p->edge));
	p->edge = c->edge;
	p->has_edge = true;
}

/* Bytes @from to @to of the stream; the FIN is the byte behind its end. */
static void play(struct player *p, size_t from, size_t to)
{
	struct frame_segment s = net_segment(&p->net, 0);
	struct net_conn *c = &p->net.conn[0];

	s.seq = p->isn + (uint32_t)from;
	s.flags = MR_ACK | MR_PSH;
	memset(p->sent + from, true, to - from);
	if (to > p->len) {
		s.flags |= MR_FIN;
		to = p->len;
	}
	s.text = p->stream + from;
	s.text_len = (uint16_t)(to - from);
	c->una = c->rcv_nxt;
	net_send(&p->net, &s);
}

static bool open_connection(struct player *p)
{
	struct frame_segment s;

	p->net.conn[0] = (struct net_conn){ .lane_port = PORT, .shifts = true };
	s = net_segment(&p->net, 0);
	s.seq = p->isn - 1;
	s.flags = MR_SYN;
	s.options = (const uint8_t[]){ 1, 3, 3, 7 };
	s.options_len = 4;
	net_send(&p->net, &s);
	net_turns(&p->net);
	p->net.conn[0].snd_nxt = p->isn;
	s = net_segment(&p->net, 0);
	net_send(&p->net, &s);
	net_turns(&p->net);
	return p->net.conn[0].acked == p->isn && !p->net.conn[0].reset;
}

/* As the input says: offset, length, and what is between this one and the next. */
static void play_cuts(struct player *p, struct fuzz_in cuts)
{
	while (cuts.len >= 3 && !p->net.conn[0].reset) {
		size_t from = fuzz_u16(&cuts), to;
		uint8_t how = fuzz_u8(&cuts);

		from %= p->len + 1;
		to = from + 1 + (size_t)(how & 63) * 22;
		play(p, from, to < p->len + 1 ? to : p->len + 1);
		if (how & 64)
			net_turns(&p->net);
		if (how & 128)
			net_run(&p->net, 7);
	}
	net_turns(&p->net);
}

/* All that is not acknowledged, in order, until it is; then the end of the connection. */
static void play_rest(struct player *p)
{
	struct net_conn *c = &p->net.conn[0];
	unsigned int rounds = 0;

	while (!c->reset && !tape.closed) {
		size_t from = c->acked - p->isn;

		if (from <= p->len)
			play(p, from, from + MSS < p->len + 1 ? from + MSS : p->len + 1);
		net_turns(&p->net);
		if (c->acked - p->isn == from) {
			struct frame_segment s = net_segment(&p->net, 0);

			s.seq = c->acked;
			net_send(&p->net, &s);
			net_run(&p->net, 5);
		}
		FUZZ_CHECK(rounds++ < ROUNDS_MAX);
	}
	net_turns(&p->net);
}

struct settings {
	const struct mr_app *app;
	struct mr_tlv_settings tlv;
	uint32_t isn;
	uint32_t receive_buffer;
};

static void play_stream(const struct settings *set, const uint8_t *stream, size_t len,
			struct fuzz_in cuts)
{
	static struct player p;
	struct net_options o = { .conns = 4,
				 .receive_buffer = set->receive_buffer,
				 .app = set->app };

	memset(&p, 0, sizeof(p));
	memset(&tape, 0, sizeof(tape));
	left = 0;
	p.stream = stream;
	p.len = len;
	p.isn = set->isn;
	net_init(&p.net, &o);
	net_rule(&p.net, "tape", PORT)->tlv = set->tlv;
	net_open(&p.net, &o);
	p.net.seen = seen;
	p.net.arg = &p;
	FUZZ_CHECK(open_connection(&p));
	play_cuts(&p, cuts);
	play_rest(&p);
	net_run(&p.net, 60000);
	FUZZ_CHECK(tape.closed && !net_held(&p.net) && !p.net.stats.connections);
	FUZZ_CHECK(p.net.stats.message_bytes == 0);
	net_close(&p.net);
}

static void check_same(const struct tape *a, const struct tape *b)
{
	FUZZ_CHECK(a->n == b->n && !memcmp(a->bytes, b->bytes, a->n));
	FUZZ_CHECK(a->n_messages == b->n_messages);
	for (size_t i = 0; i < a->n_messages; i++)
		FUZZ_CHECK(a->message[i].tag == b->message[i].tag &&
			   a->message[i].len == b->message[i].len);
	FUZZ_CHECK(a->ended == b->ended && a->reason == b->reason);
}

static struct settings read_settings(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in), shape = fuzz_u8(in);

	return (struct settings){
		.app = how & 1 ? &tape_of_messages : &tape_of_bytes,
		.isn = how & 2 ? 0xffffff00u + shape : how & 4 ? 0x7fffff00u + shape : shape,
		.receive_buffer = how & 8 ? 2048 : 32768,
		.tlv = {
			.tag_bytes = (uint8_t)(1 << shape % 4),
			.length_bytes = (uint8_t)(1 << shape / 4 % 4),
			.little_endian = shape >> 4 & 1,
			.length_has_header = shape >> 5 & 1,
			.max_bytes = shape & 64 ? 100 : 1 << 15,
		},
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct tape straight;
	struct fuzz_in in = { data, len }, cuts, none = { 0 };
	struct settings set = read_settings(&in);
	uint8_t slow = fuzz_u8(&in);
	const uint8_t *stream;
	size_t bytes;

	cuts.p = fuzz_take(&in, fuzz_u8(&in) * 3u, &cuts.len);
	stream = fuzz_take(&in, STREAM_MAX, &bytes);
	slowness = 0;
	play_stream(&set, stream, bytes, none);
	straight = tape;
	FUZZ_CHECK(straight.n_messages || (straight.n == (set.app->messages ? 0 : bytes) &&
					   !memcmp(straight.bytes, stream, straight.n)));
	slowness = slow;
	play_stream(&set, stream, bytes, cuts);
	check_same(&straight, &tape);
	return 0;
}
