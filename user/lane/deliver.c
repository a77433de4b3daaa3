/* SPDX-License-Identifier: MIT */
/*
 * From the receive queue to applications: bytes as views into frames, or TLV messages: views
 * where a message lies in one frame, linearised in the message store where it spans.
 */
#include "user/lane/internal.h"
#include "user/lane/ticks.h"

#include <string.h>

enum {
	SLOW_NS = 1000000,
};

/* ----- callbacks are timed ----- */

inline void lane_callback_begin(struct mr_lane *l, uint64_t *start)
{
	*start = l->s.ticks_rate ? mr_ticks() : l->s.clock_ns(l->s.clock_arg);
}

inline void lane_callback_end(struct mr_lane *l, const struct lane_rule *r, uint64_t start)
{
	uint64_t took = l->s.ticks_rate ? mr_ticks_ns(mr_ticks() - start, l->s.ticks_rate)
					: l->s.clock_ns(l->s.clock_arg) - start;
	int bucket = took ? 63 - __builtin_clzll(took) : 0;

	l->stats->callbacks++;
	l->stats->callback_ns[bucket < MR_CALLBACK_BUCKETS ? bucket : MR_CALLBACK_BUCKETS - 1]++;
	if (took > SLOW_NS) {
		l->stats->callbacks_slow++;
		l->stats->app_slow[r->app_index]++;
	}
}

/* An application's callback that takes host and connection alone. */
static void call(struct mr_lane *l, struct mr_conn *c, void (*fn)(struct mr_host *, mr_conn_id))
{
	uint64_t start;

	if (!fn)
		return;
	lane_callback_begin(l, &start);
	fn(mr_lane_host(l), conn_id(l, c));
	lane_callback_end(l, rule_of(l, c), start);
}

void lane_call_open(struct mr_lane *l, struct mr_conn *c)
{
	struct lane_rule *r = rule_of(l, c);

	c->flags |= MR_CONN_OPENED;
	if (r->config->nodelay)
		c->flags |= MR_CONN_NODELAY;
	if (c->app_state == MR_NONE) /* active opens have theirs since mr_connect() */
		lane_state_take(l, c);
	call(l, c, r->app->open);
}

/* Room again: the application may write, and what it left unconsumed is offered again. */
void lane_call_writable(struct mr_lane *l, struct mr_conn *c)
{
	if (!(c->flags & MR_CONN_WANT_WRITE) || !mr_tcp_send_room(&l->tcp, c))
		return;
	c->flags &= ~(MR_CONN_WANT_WRITE | MR_CONN_BLOCKED);
	call(l, c, rule_of(l, c)->app->writable);
}

void lane_call_urgent(struct mr_lane *l, struct mr_conn *c)
{
	if (c->active != MR_NONE && mr_tcp_take_urgent_news(&l->tcp, c))
		call(l, c, rule_of(l, c)->app->urgent);
}

void lane_call_timer(struct mr_lane *l, struct mr_conn *c)
{
	if (c->flags & MR_CONN_ORPHAN)
		return;
	call(l, c, rule_of(l, c)->app->timer);
	lane_ready(l, c);
}

/* Once for every connection that the application knows. */
void lane_call_closed(struct mr_lane *l, struct mr_conn *c)
{
	struct lane_rule *r = rule_of(l, c);
	bool known = c->flags & MR_CONN_OPENED || !(c->flags & MR_CONN_PASSIVE);
	uint64_t start;

	if (!known || !r->app->closed)
		return;
	lane_callback_begin(l, &start);
	r->app->closed(mr_lane_host(l), conn_id(l, c), c->close_reason);
	lane_callback_end(l, r, start);
}

/* ----- bytes ----- */

static uint32_t offer_bytes(struct mr_lane *l, struct mr_conn *c, const uint8_t *data, uint32_t len)
{
	struct lane_rule *r = rule_of(l, c);
	enum mr_app_verdict verdict;
	size_t used = 0;
	uint64_t start;

	lane_callback_begin(l, &start);
	verdict = r->app->bytes(mr_lane_host(l), conn_id(l, c), data, len, &used);
	lane_callback_end(l, r, start);
	if (used > len)
		used = len;
	if (verdict == MR_APP_AGAIN || used < len)
		c->flags |= MR_CONN_BLOCKED;
	return (uint32_t)used;
}

/* ----- messages ----- */

/* Let the store of a spanning value grow: twice what it holds, so that a declared length alone
 * costs nothing. False: no memory. */
static bool grow_store(struct mr_lane *l, struct mr_conn *c, const struct mr_tlv_reader *reader)
{
	struct mr_session *s = lane_session_take(l, c);
	uint32_t wanted = mr_tlv_reader_wanted(reader);
	uint32_t size, block;

	if (!s)
		return false;
	size = s->block == MR_NONE ? MR_MESSAGE_BLOCK : s->block_bytes * 2;
	block = mr_messages_take(&l->messages, size < wanted ? size : wanted, &size);
	if (block == MR_NONE)
		return false;
	if (s->block != MR_NONE) {
		memcpy(mr_messages_at(&l->messages, block), mr_messages_at(&l->messages, s->block),
		       mr_tlv_reader_gathered(reader));
		mr_messages_give(&l->messages, s->block);
	}
	s->block = block;
	s->block_bytes = size;
	l->stats->message_bytes = (uint64_t)l->messages.used_blocks * MR_MESSAGE_BLOCK;
	return true;
}

/* Heartbeats are the lane's, everything else is the application's, in the order of the stream. */
static inline enum mr_app_verdict offer_message(struct mr_lane *l, struct mr_conn *c,
						struct lane_rule *r, const struct mr_tlv *m)
{
	enum mr_app_verdict verdict;
	uint64_t start;

	switch (mr_heartbeat_kind(&r->heartbeat, m->tag)) {
	case MR_HEARTBEAT_TAG_PING:
		if (lane_send_message(l, c, r->heartbeat.pong_tag, m->value, m->len) == -EAGAIN)
			return MR_APP_AGAIN;
		l->stats->pings_in++;
		l->stats->pongs_out++;
		return MR_APP_DONE;
	case MR_HEARTBEAT_TAG_PONG:
		l->stats->pongs_in++;
		return MR_APP_DONE;
	case MR_HEARTBEAT_TAG_OTHER:
		break;
	}
	lane_callback_begin(l, &start);
	verdict = r->app->message(mr_lane_host(l), conn_id(l, c), m->tag, m->value, m->len);
	lane_callback_end(l, r, start);
	if (verdict == MR_APP_DONE)
		l->stats->messages_in++;
	return verdict;
}

_Static_assert(sizeof(struct mr_tlv_reader) <= sizeof(((struct mr_session *)0)->reader),
	       "a reader fits into its session record");

/* The reader of this connection: its own while a message is incomplete, else a fresh one. */
static struct mr_tlv_reader *reader_of(struct mr_session *s, struct mr_tlv_reader *fresh)
{
	if (s)
		return (struct mr_tlv_reader *)(void *)s->reader;
	*fresh = (struct mr_tlv_reader){ 0 };
	return fresh;
}

/* A message is incomplete: from now on it has a reader of its own, and a limit. */
static bool keep_reader(struct mr_lane *l, struct mr_conn *c, const struct mr_tlv_reader *reader)
{
	struct mr_session *s = lane_session(l, c);

	if (!s) {
		s = lane_session_take(l, c);
		if (!s)
			return false;
		memcpy(s->reader, reader, sizeof(*reader));
	}
	if (!s->partial_ms)
		s->partial_ms = l->tcp.now_ms;
	return true;
}

static void give_up(struct mr_lane *l, struct mr_conn *c, enum mr_close_reason reason)
{
	mr_tcp_abort_call(&l->tcp, c, reason);
}

static void note_blocked(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session_take(l, c);

	c->flags |= MR_CONN_BLOCKED;
	if (s && !s->handler_ms)
		s->handler_ms = l->tcp.now_ms;
}

static void note_message(struct mr_lane *l, struct mr_conn *c, const struct mr_tlv_reader *before)
{
	struct mr_session *s = lane_session(l, c);

	if (!s)
		return;
	if (before->header_gathered)
		l->stats->messages_spanning++;
	if (s->handler_ms) /* the limits that did not run meanwhile begin anew */
		c->received_ms = l->tcp.now_ms;
	s->partial_ms = 0;
	s->handler_ms = 0;
	lane_session_give_if_idle(l, c);
}

/*
 * One step of the reader over @data. Returns bytes used, or UINT32_MAX when the connection is
 * gone; sets MR_CONN_BLOCKED when the application wants the same again.
 */
static __attribute__((noinline)) uint32_t read_message(struct mr_lane *l, struct mr_conn *c,
						       const uint8_t *data, uint32_t len)
{
	struct mr_session *s = lane_session(l, c);
	struct mr_tlv_reader fresh;
	struct mr_tlv_reader *reader = reader_of(s, &fresh);
	struct mr_tlv_reader before = *reader;
	bool has_store = s && s->block != MR_NONE;
	struct mr_tlv m;
	size_t used = 0;

	switch (mr_tlv_read(reader, &rule_of(l, c)->format, data, len,
			    has_store ? mr_messages_at(&l->messages, s->block) : NULL,
			    has_store ? s->block_bytes : 0, &used, &m)) {
	case MR_TLV_MORE:
		if (!keep_reader(l, c, reader))
			break;
		return (uint32_t)used;
	case MR_TLV_STORE:
		if (!keep_reader(l, c, reader) ||
		    !grow_store(l, c, reader_of(lane_session(l, c), &fresh)))
			break;
		return (uint32_t)used;
	case MR_TLV_MESSAGE:
		if (offer_message(l, c, rule_of(l, c), &m) == MR_APP_AGAIN) {
			*reader = before;
			note_blocked(l, c);
			return 0;
		}
		note_message(l, c, &before);
		return (uint32_t)used;
	case MR_TLV_TOO_LONG:
		give_up(l, c, MR_CLOSE_TLV_TOO_LONG);
		return UINT32_MAX;
	case MR_TLV_BAD_LENGTH:
		give_up(l, c, MR_CLOSE_TLV_BAD);
		return UINT32_MAX;
	case MR_TLV_BAD_CHECK:
		give_up(l, c, MR_CLOSE_TLV_CHECK);
		return UINT32_MAX;
	}
	give_up(l, c, MR_CLOSE_TLV_MEMORY);
	return UINT32_MAX;
}

/* All messages of a frame; returns bytes to consume, UINT32_MAX: the connection is gone. */
static inline uint32_t offer_messages(struct mr_lane *l, struct mr_conn *c, const uint8_t *data,
				      uint32_t len)
{
	struct lane_rule *r = rule_of(l, c);
	uint32_t done = 0;
	struct mr_tlv m;

	while (done < len && !(c->flags & LANE_NOT_READING)) {
		size_t used;

		/* in the middle of no message */
		if (c->session == MR_NONE &&
		    mr_tlv_read_whole(&r->format, data + done, len - done, &used, &m)) {
			if (offer_message(l, c, r, &m) == MR_APP_AGAIN) {
				note_blocked(l, c);
				return done;
			}
		} else {
			used = read_message(l, c, data + done, len - done);
			if (used == UINT32_MAX)
				return UINT32_MAX;
		}
		done += (uint32_t)used;
	}
	return done;
}

/* ----- the queue ----- */

static bool is_in_message(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session(l, c);

	return s && !mr_tlv_reader_is_idle((struct mr_tlv_reader *)(void *)s->reader);
}

/* The peer's FIN, after everything before it was consumed. */
static void offer_end(struct mr_lane *l, struct mr_conn *c)
{
	struct lane_rule *r = rule_of(l, c);

	if (c->rx_bytes || !(c->flags & MR_CONN_FIN_RECEIVED) ||
	    c->flags & (MR_CONN_EOF_SEEN | MR_CONN_PAUSED | MR_CONN_ORPHAN | MR_CONN_CLOSE_ASKED |
			MR_CONN_ABORT_ASKED))
		return;
	c->flags |= MR_CONN_EOF_SEEN;
	if (r->app->messages && is_in_message(l, c)) {
		give_up(l, c, MR_CLOSE_TLV_CUT);
		return;
	}
	if (r->app->peer_shutdown)
		call(l, c, r->app->peer_shutdown);
	else
		c->flags |= MR_CONN_CLOSE_ASKED;
}

/* What the application says of the text at @data: bytes used, UINT32_MAX: the connection is gone.
 */
static inline uint32_t offer(struct mr_lane *l, struct mr_conn *c, const uint8_t *data,
			     uint32_t len)
{
	uint32_t used = rule_of(l, c)->app->messages ? offer_messages(l, c, data, len)
						     : offer_bytes(l, c, data, len);

	if (used == UINT32_MAX)
		return used;
	if (used > c->rx_bytes) /* the application shut reading down meanwhile */
		used = c->rx_bytes;
	l->stats->app_bytes_in += used;
	return used;
}

/* The text in @frame, which alone is the receive queue. True: the frame is the caller's again. */
inline bool lane_read_held(struct mr_lane *l, struct mr_conn *c, uint32_t frame)
{
	uint32_t used = offer(l, c, mr_frame_payload(&l->frames, frame), c->rx_bytes);

	return used != UINT32_MAX && mr_tcp_held_was_read(&l->tcp, c, frame, used);
}

void lane_deliver(struct mr_lane *l, struct mr_conn *c)
{
	while (c->rx_head != MR_NONE && !(c->flags & LANE_NOT_READING)) {
		const uint8_t *data = mr_frame_payload(&l->frames, c->rx_head);
		uint32_t used = offer(l, c, data, l->frames.record[c->rx_head].len);

		if (used == UINT32_MAX)
			return;
		if (used)
			mr_tcp_consumed(&l->tcp, c, used);
	}
	if (c->state != MR_CLOSED)
		offer_end(l, c);
}
