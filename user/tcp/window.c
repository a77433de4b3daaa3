/* SPDX-License-Identifier: MIT */
/*
 * The receive window: how large, and when it opens.
 *
 * It starts at 64 KiB and grows as the application shows that it takes what comes (dynamic right
 * sizing, Fisk and Feng 2001): what was taken in a round trip, twice, and more while that grows, up
 * to the configured buffer. A connection that nobody reads never holds more than the start. The
 * frames that are free bound it as well. The right edge never moves back (RFC 9293 3.8.6.2.2).
 *
 * What was grown lives in the active record; when that is given back, nothing stands unread and the
 * window that was offered says how large it was.
 */
#include "user/tcp/gaps.h"

enum {
	RECEIVE_SHORT = 8 << 10, /* window of a connection that reads, when frames are short */
	RTT_LEAST_US = 1000,	 /* timestamps count milliseconds */
	SEGMENT_LEAST = 536,
};

/* ----- round trips, as a receiver sees them ----- */

/* A round trip took no longer than this. Without timestamps that is all that can be known. */
static void note_round_trip(struct mr_active *a, uint32_t us, bool is_bound)
{
	us = max_u32(us, RTT_LEAST_US);
	if (!a->rcv_rtt_us || (is_bound && us < a->rcv_rtt_us))
		a->rcv_rtt_us = us;
	else if (!is_bound)
		a->rcv_rtt_us += us / 8 - a->rcv_rtt_us / 8;
}

/* A full segment, which did not wait for more, arrived in order; rcv_nxt counts it. */
void mr_window_text_arrived(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg)
{
	struct mr_active *a = mr_active_of(t, c);
	uint32_t now = (uint32_t)t->now_us;

	if (c->flags & MR_CONN_TIMESTAMPS) {
		uint32_t ms = t->now_ms + t->ts_offset - seg->options.ts_ecr;

		if (seg->options.has_timestamps && seg->options.ts_ecr && ms < MR_RTO_MAX_MS)
			note_round_trip(a, ms * 1000, false);
		return;
	}
	if (c->srtt_us) { /* our own text has been timed */
		a->rcv_rtt_us = max_u32(c->srtt_us / 8, RTT_LEAST_US);
		return;
	}
	/* the text behind the window that was offered then: a round trip at least */
	if (a->rcv_rtt_start_us && mr_seq_lt(c->rcv_nxt, a->rcv_rtt_edge))
		return;
	if (a->rcv_rtt_start_us)
		note_round_trip(a, now - a->rcv_rtt_start_us, true);
	a->rcv_rtt_start_us = now ? now : 1;
	a->rcv_rtt_edge = c->rcv_nxt + c->rcv_wnd;
}

/* ----- how much ----- */

/* Unread and offered bytes that the connection is good for. */
static uint32_t receive_limit(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t limit = a ? a->rcv_limit : 0;

	if (!limit) /* what it had grown to when it last was active is what it offered */
		limit = max_u32(MR_RECEIVE_START, c->rcv_wnd + c->rx_bytes);
	return min_u32(limit, t->config->receive_buffer);
}

/* Twice what a round trip took, and as much as it may have grown since. */
static void grow(struct mr_tcp *t, const struct mr_conn *c, struct mr_active *a)
{
	uint64_t wanted = 2ull * a->taken + 4ull * (a->taken - a->taken_before);
	uint32_t most = t->config->receive_buffer;

	a->rcv_limit = max_u32(receive_limit(t, c), wanted < most ? (uint32_t)wanted : most);
	a->taken_before = a->taken;
}

/* The application took @n bytes. */
static void note_taken(struct mr_tcp *t, struct mr_conn *c, uint32_t n)
{
	struct mr_active *a = mr_active_peek(t->actives, c);
	uint32_t now = (uint32_t)t->now_us;

	if (!a || !a->rcv_rtt_us)
		return;
	if (!a->taken_us) {
		a->taken_us = now ? now : 1;
		a->taken_before = MR_RECEIVE_START / 8; /* doubled twice, it still fits */
	}
	if (now - a->taken_us >= a->rcv_rtt_us) {
		if (a->taken > a->taken_before)
			grow(t, c, a);
		a->taken = 0;
		a->taken_us = now ? now : 1;
	}
	a->taken += n;
}

/*
 * Of @wanted, when that is more than half of what is free: never more than may be held when the
 * first segment of the window is lost, for what is reported (RFC 2018) shall not have to be
 * dropped. When frames are short, nothing for those that have some unread, and a few segments for
 * those that read what comes.
 */
static __attribute__((noinline)) uint32_t scarce_space(const struct mr_tcp *t,
						       const struct mr_conn *c, uint32_t wanted)
{
	uint32_t n_free = t->frames->n_free;
	uint64_t share;

	if (n_free <= 2 * t->frames->reserve)
		return c->rx_bytes ? 0 : min_u32(wanted, RECEIVE_SHORT);
	share = (n_free - 2 * t->frames->reserve) * (t->frames->frame_bytes / 2ull);
	share = min_u64(share, (uint64_t)mr_gap_frames_most(t, c, mr_active_peek(t->actives, c)) *
				       max_u32(t->frames->frame_bytes / 2, c->rcv_mss));
	if (!c->rx_bytes && share < RECEIVE_SHORT)
		share = RECEIVE_SHORT;
	return (uint32_t)min_u64(wanted, share);
}

/* Bytes that the receive queue may still take. A frame is taken to be half full. */
static uint32_t receive_space(const struct mr_tcp *t, const struct mr_conn *c)
{
	uint64_t n_free = t->frames->n_free;
	uint32_t limit = receive_limit(t, c);

	if (c->rx_bytes >= limit)
		return 0;
	/* half of what is free holds it, in order or not */
	if (n_free > 2 * t->frames->reserve &&
	    (n_free - 2 * t->frames->reserve) * (t->frames->frame_bytes / 4) >= limit)
		return limit - c->rx_bytes;
	return scarce_space(t, c, limit - c->rx_bytes);
}

/*
 * RFC 9293 3.8.6.2.2: the right edge moves on by a segment or half the buffer at least, or not
 * at all, and never back. That keeps peers that the window holds back from sending in crumbs. One
 * that has half of the limit ahead of it is not held back, and while all it sent is read the edge
 * follows byte by byte, as Linux's does: the field stays as it was from segment to segment, which
 * is what the peer's header prediction waits for. Returns rcv_wnd to offer, a multiple of the scale
 * that covers what was offered before.
 */
static __attribute__((noinline)) uint32_t select_window(const struct mr_tcp *t,
							const struct mr_conn *c)
{
	uint32_t unit = 1u << c->rcv_shift;
	uint32_t most = 65535u << c->rcv_shift;
	uint32_t space = min_u32(receive_space(t, c), most) & ~(unit - 1);
	uint32_t offered = (c->rcv_wnd + unit - 1) & ~(unit - 1);
	uint32_t step = min_u32(t->config->receive_buffer / 2, max_u32(c->rcv_mss, SEGMENT_LEAST));

	if (space < c->rcv_wnd + step && (c->rx_bytes || space < offered || c->rcv_wnd < space / 2))
		space = offered;
	return min_u32(space, most);
}

/*
 * Most connections read what comes and never needed more than the start: nothing is unread, at most
 * half of that window was used, and frames are plenty. Then it is the start again.
 */
static inline bool is_start_again(const struct mr_tcp *t, const struct mr_conn *c,
				  const struct mr_active *a)
{
	const struct mr_frames *f = t->frames;

	return mr_window_is_at_rest(c, a) && c->rcv_wnd <= MR_RECEIVE_START && c->rcv_shift &&
	       t->config->receive_buffer >= MR_RECEIVE_START && f->n_free > 2 * f->reserve &&
	       (uint64_t)(f->n_free - 2 * f->reserve) << (f->frame_shift - 2) >= MR_RECEIVE_START;
}

uint32_t mr_tcp_select_window(struct mr_tcp *t, struct mr_conn *c)
{
	return mr_tcp_window_of(t, c, mr_active_peek(t->actives, c));
}

inline uint32_t mr_tcp_window_of(struct mr_tcp *t, struct mr_conn *c, const struct mr_active *a)
{
	return is_start_again(t, c, a) ? (uint32_t)MR_RECEIVE_START : select_window(t, c);
}

/*
 * The application took @n bytes: a window update is worth a segment of its own when the window
 * opens by two segments and to twice what the peer still has.
 */
void mr_window_taken(struct mr_tcp *t, struct mr_conn *c, uint32_t n)
{
	uint32_t window, step;

	note_taken(t, c, n);
	if (c->state < MR_ESTABLISHED || c->flags & MR_CONN_FIN_RECEIVED ||
	    c->rcv_wnd > receive_limit(t, c) / 2)
		return;
	window = mr_tcp_select_window(t, c);
	step = min_u32(t->config->receive_buffer / 2, 2 * max_u32(c->rcv_mss, SEGMENT_LEAST));
	if (window >= c->rcv_wnd + max_u32(step, c->rcv_wnd)) {
		c->flags |= MR_CONN_ACK_NOW;
		mr_tcp_want_output(t, c);
	}
}
