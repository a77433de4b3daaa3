/* SPDX-License-Identifier: MIT */
/*
 * Received text: the receive queue. What is out of order is gaps.c's, the window window.c's.
 *
 * It is a list of the frames in which the text arrived. Small pieces are copied into the room
 * behind the tail frame's text, so that a peer that sends single bytes holds a frame per frame's
 * worth and not per byte.
 */
#include "user/tcp/gaps.h"

#include <string.h>

enum {
	COPY_BREAK = 256,	/* text up to this is copied into the tail frame when it fits */
	COPY_ALWAYS = 32 << 10, /* unread: from here on whatever fits is copied */
	QUICK_SEGMENTS = 16,	/* at the start of a connection every segment is acknowledged */
};

void mr_tcp_drop_received(struct mr_tcp *t, struct mr_conn *c)
{
	mr_frame_give_list(t->frames, c->rx_head);
	mr_tcp_drop_out_of_order(t, c);
	c->rx_head = MR_NONE;
	c->rx_tail = MR_NONE;
	c->rx_bytes = 0;
}

/*
 * A queue that the application leaves unread fills its frames: at least half of each, whatever the
 * size of segments, which is what the window counts on.
 */
static bool is_worth_copying(const struct mr_conn *c, uint32_t len)
{
	return len <= COPY_BREAK || c->rx_bytes - len >= COPY_ALWAYS;
}

static bool fits_tail(const struct mr_tcp *t, const struct mr_conn *c, uint32_t len)
{
	const struct mr_frame *r;

	if (c->rx_tail == MR_NONE)
		return false;
	r = &t->frames->record[c->rx_tail];
	return (uint32_t)r->offset + r->len + len <= t->frames->frame_bytes;
}

/* Did the copy into the tail frame succeed? Then the segment's own frame is not needed. */
static bool copied_to_tail(struct mr_tcp *t, struct mr_conn *c, const uint8_t *text, uint32_t len)
{
	struct mr_frame *r;

	if (!fits_tail(t, c, len) || !is_worth_copying(c, len))
		return false;
	r = &t->frames->record[c->rx_tail];
	memcpy(mr_frame_payload(t->frames, c->rx_tail) + r->len, text, len);
	r->len = (uint16_t)(r->len + len);
	return true;
}

static void advance_rcv_nxt(struct mr_conn *c, uint32_t n)
{
	uint32_t before = c->rcv_nxt - c->irs;

	c->rcv_nxt += n;
	c->rcv_wnd -= min_u32(n, c->rcv_wnd);
	if (c->rcv_nxt - c->irs < before)
		c->rcv_wraps++;
}

static void append(struct mr_tcp *t, struct mr_conn *c, uint32_t frame)
{
	struct mr_frame *r = &t->frames->record[frame];

	r->next = MR_NONE;
	mr_frame_set_state(t->frames, frame, MR_FRAME_RX);
	if (c->rx_tail == MR_NONE)
		c->rx_head = frame;
	else
		t->frames->record[c->rx_tail].next = frame;
	c->rx_tail = frame;
}

/* In-order text at rcv_nxt goes to the receive queue. Returns true when the frame is kept. */
bool mr_tcp_queue_text(struct mr_tcp *t, struct mr_conn *c, uint32_t frame)
{
	struct mr_frame *r = &t->frames->record[frame];
	uint32_t len = r->len;

	advance_rcv_nxt(c, len);
	if (!len)
		return false;
	c->received_ms = t->now_ms;
	c->rx_bytes += len;
	if (copied_to_tail(t, c, mr_frame_payload(t->frames, frame), len))
		return false;
	append(t, c, frame);
	return true;
}

bool mr_text_cut(struct mr_frame *r, uint32_t cut)
{
	if (cut > r->len || (cut == r->len && !(r->tcp_flags & MR_FIN)))
		return false;
	r->seq += cut;
	r->offset = (uint16_t)(r->offset + cut);
	r->len = (uint16_t)(r->len - cut);
	return true;
}

/* A gap was filled: move what is in order now to the receive queue. Nothing follows a FIN. */
static void drain_ooo(struct mr_tcp *t, struct mr_conn *c)
{
	while (!(c->flags & MR_CONN_FIN_ARRIVED)) {
		uint32_t head = mr_gap_take(t, c);
		struct mr_frame *r;

		if (head == MR_NONE)
			return;
		r = &t->frames->record[head];
		if (!mr_text_cut_front(r, c->rcv_nxt)) {
			mr_frame_give(t->frames, head);
			continue;
		}
		if (r->tcp_flags & MR_FIN)
			c->flags |= MR_CONN_FIN_ARRIVED;
		if (!mr_tcp_queue_text(t, c, head))
			mr_frame_give(t->frames, head);
	}
}

static inline void count_text(struct mr_conn *c, uint32_t len)
{
	if (len < c->rcv_mss)
		return;
	c->rcv_mss = (uint16_t)len;
	if (c->segs_unacked < UINT8_MAX)
		c->segs_unacked++;
}

/* RFC 9293 3.8.6.3, RFC 5681 4.2: at least every second full segment, at once around gaps. */
static void owe_ack(struct mr_tcp *t, struct mr_conn *c, bool gap)
{
	if (gap || c->segs_unacked >= 2 || c->rcv_nxt - c->last_ack_sent >= 2u * c->rcv_mss ||
	    c->rcv_nxt - c->irs < QUICK_SEGMENTS * (uint32_t)c->rcv_mss) {
		c->flags |= MR_CONN_ACK_NOW;
		mr_tcp_want_output(t, c);
		return;
	}
	mr_timer_ack_owed(t, c);
}

void mr_tcp_owe_ack(struct mr_tcp *t, struct mr_conn *c, uint32_t len, bool gap)
{
	count_text(c, len);
	owe_ack(t, c, gap);
}

/* Text came that nothing has acknowledged since. */
void mr_tcp_owe_expected(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->state >= MR_ESTABLISHED && c->rcv_nxt != c->last_ack_sent)
		owe_ack(t, c, false);
}

/*
 * The application leaves what came, and frames are short, or a peer lived on what rounding to the
 * window scale adds with each ACK: this connection gets no more of them. What is copied behind the
 * last text takes none: the small segments of one burst, which nobody could read yet.
 */
static bool is_hog(const struct mr_tcp *t, const struct mr_conn *c, const struct mr_frame *r)
{
	if (c->rx_bytes >= 2 * t->config->receive_buffer)
		return true;
	return t->frames->n_free <= 2 * t->frames->reserve && c->rx_bytes &&
	       !(r->seq == c->rcv_nxt && r->len <= COPY_BREAK && fits_tail(t, c, r->len));
}

/* ----- text that header prediction let pass ----- */

static inline void note_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	if (seg->len < c->rcv_mss)
		return;
	mr_window_text_arrived(t, c, seg);
	count_text(c, seg->len);
}

bool mr_tcp_queue_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame)
{
	bool kept;

	t->frames->record[frame].tcp_flags = 0;
	kept = mr_tcp_queue_text(t, c, frame);
	note_expected(t, c, seg);
	owe_ack(t, c, false);
	t->ops->event(t, c, MR_EVENT_READABLE);
	return kept;
}

inline void mr_tcp_hold_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
				 uint32_t frame)
{
	advance_rcv_nxt(c, seg->len);
	c->received_ms = t->now_ms;
	c->rx_head = frame;
	c->rx_tail = frame;
	c->rx_bytes = seg->len;
	t->frames->record[frame].next = MR_NONE;
	t->frames->record[frame].tcp_flags = 0;
	note_expected(t, c, seg);
}

inline bool mr_tcp_held_was_read(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t n)
{
	if (c->rx_head != frame)
		return false;
	if (n < c->rx_bytes) {
		mr_frame_set_state(t->frames, frame, MR_FRAME_RX);
		if (n)
			mr_tcp_consumed(t, c, n);
		return false;
	}
	c->rx_head = MR_NONE;
	c->rx_tail = MR_NONE;
	c->rx_bytes = 0;
	if (!mr_window_is_at_rest(c, mr_active_peek(t->actives, c)))
		mr_window_taken(t, c, n);
	return true;
}

/*
 * RFC 9293 3.10.7.4, seventh, process the segment text. The frame's record holds the text's
 * place and sequence number; both are cut to the window here. A FIN that is now in order leaves
 * MR_CONN_FIN_ARRIVED for the eighth step.
 */
int mr_tcp_receive_text(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			uint32_t frame, bool *kept)
{
	struct mr_frame *r = &t->frames->record[frame];
	bool had_gap = c->ooo_head != MR_NONE;

	r->owner = MR_NONE; /* the lane knows the connection's index */
	r->tcp_flags = seg->flags & MR_FIN;
	if (mr_seq_lt(r->seq, c->rcv_nxt))
		mr_sack_duplicate(t, c, r->seq,
				  mr_seq_lt(c->rcv_nxt, r->seq + r->len) ? c->rcv_nxt
									 : r->seq + r->len);
	if (!mr_text_cut_front(r, c->rcv_nxt)) {
		t->stats->duplicates++;
		c->flags |= MR_CONN_ACK_NOW;
		mr_tcp_want_output(t, c);
		return MR_DROP_NONE;
	}
	mr_text_cut_back(r, c->rcv_nxt + c->rcv_wnd);
	if (r->len && is_hog(t, c, r))
		return MR_DROP_RX_LIMIT; /* not acknowledged: the peer sends it again */
	if (r->seq == c->rcv_nxt) {
		uint32_t len = r->len;

		if (r->tcp_flags & MR_FIN)
			c->flags |= MR_CONN_FIN_ARRIVED;
		if (had_gap)
			mr_gap_overlap(t, c, r);
		*kept = mr_tcp_queue_text(t, c, frame);
		if (len && len >= c->rcv_mss) /* little by little needs no more than the start */
			mr_window_text_arrived(t, c, seg);
		if (had_gap) {
			drain_ooo(t, c);
			mr_sack_advance(t, c);
		}
		if (len || had_gap)
			mr_tcp_owe_ack(t, c, len, had_gap);
		return MR_DROP_NONE;
	}
	t->stats->out_of_order++;
	c->flags |= MR_CONN_ACK_NOW;
	mr_tcp_want_output(t, c);
	return mr_gap_insert(t, c, frame, kept);
}

void mr_tcp_consumed(struct mr_tcp *t, struct mr_conn *c, uint32_t n)
{
	uint32_t taken = n;

	c->rx_bytes -= n;
	while (n) {
		uint32_t head = c->rx_head;
		struct mr_frame *r = &t->frames->record[head];

		if (r->len > n) {
			r->offset = (uint16_t)(r->offset + n);
			r->len = (uint16_t)(r->len - n);
			break;
		}
		n -= r->len;
		c->rx_head = r->next;
		if (c->rx_tail == head)
			c->rx_tail = MR_NONE;
		mr_frame_give(t->frames, head);
	}
	if (c->state == MR_LAST_ACK && !c->rx_bytes && mr_conn_fin_is_acked(c))
		mr_tcp_close_conn(t, c, MR_CLOSE_DONE);
	mr_window_taken(t, c, taken);
}
