/* SPDX-License-Identifier: MIT */
/*
 * A worker's end is not its lane's: the next one goes on with the arena, the rings and the maps
 * that it left, whether it stopped in good order or was killed between any two instructions.
 *
 * What the hand names (lane_hold()) may be half written: it is dropped, and its peer told. Every
 * other record was left whole, and says what it has: a connection its frames (by its three lists),
 * its active record and its session; a session its block of the message store. What nobody has is
 * the kernel's, as the rings say, or free. All that is derived is made anew: table, wheel, lists,
 * free lists, counts by source and rule. Every index is checked on the way, and who names what is
 * not there, or is another's, is dropped as well.
 *
 * The transmit batch stands in the hand: it is handed over now, unless it was. Received frames
 * stand in the receive ring until the lane is done with each.
 */
#include "user/lane/internal.h"
#include "user/tcp/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
	BEAT_EVERY = 4096, /* connections between two heartbeats */
};

/* What is gathered on the way. */
struct rebuild {
	struct mr_lane *l;
	uint8_t *session_used; /* a byte a session */
	uint8_t *flows;	       /* counts of flows for the other lanes, NULL: none are counted */
	uint32_t dropped;      /* connections to be reset, linked by ready_next */
	bool states_fit;
};

/* Records in the order of their time. */
struct timed {
	int64_t left_ms;
	uint32_t i;
};

void lane_hand_clear(struct mr_hand *h)
{
	h->conn = MR_NONE;
	h->other = MR_NONE;
	h->half = MR_NONE;
	h->wait = MR_NONE;
}

static int compare_timed(const void *a, const void *b)
{
	const struct timed *x = a, *y = b;

	return (x->left_ms > y->left_ms) - (x->left_ms < y->left_ms);
}

/* Into the table, and counted for the other lanes; false: somebody else has its tuple. */
static bool enter_table(struct rebuild *r, uint32_t entry, const struct mr_tuple *tuple)
{
	struct mr_lane *l = r->l;
	uint64_t hash = lane_hash(l, tuple);

	if (mr_table_find(&l->table, hash, tuple) != MR_ENTRY_NONE)
		return false;
	mr_table_insert(&l->table, hash, entry);
	if (r->flows && r->flows[(hash >> 32) % MR_MAIL_FLOWS] < UINT8_MAX)
		r->flows[(hash >> 32) % MR_MAIL_FLOWS]++;
	return true;
}

/* ----- a connection's frames ----- */

static bool claim(struct rebuild *r, uint32_t frame, const struct mr_conn *c,
		  enum mr_frame_state state)
{
	struct mr_lane *l = r->l;

	return mr_frame_claim(&l->frames, l->s.held, frame, conn_index(l, c), state);
}

/* Its list's frames follow each other without a gap from the head to the tail. */
static bool claim_received(struct rebuild *r, const struct mr_conn *c)
{
	const struct mr_frame *rec = r->l->frames.record;
	uint32_t last = MR_NONE, bytes = 0;

	for (uint32_t i = c->rx_head; i != MR_NONE; last = i, i = rec[i].next) {
		if (!claim(r, i, c, MR_FRAME_RX))
			return false;
		bytes += rec[i].len;
	}
	return last == c->rx_tail && bytes == c->rx_bytes;
}

static bool claim_out_of_order(struct rebuild *r, const struct mr_conn *c,
			       const struct mr_active *a)
{
	const struct mr_frame *rec = r->l->frames.record;
	uint32_t last = MR_NONE, n = 0;

	for (uint32_t i = c->ooo_head; i != MR_NONE; last = i, i = rec[i].next, n++)
		if (!claim(r, i, c, MR_FRAME_OOO))
			return false;
	return !n || (a && n == a->ooo_frames && last == a->ooo_tail);
}

static bool claim_to_send(struct rebuild *r, const struct mr_conn *c)
{
	const struct mr_frame *rec = r->l->frames.record;
	uint32_t last = MR_NONE, bytes = 0;
	bool found_next = c->tx_next == MR_NONE;

	for (uint32_t i = c->tx_head; i != MR_NONE; last = i, i = rec[i].next) {
		found_next |= i == c->tx_next;
		if (!claim(r, i, c,
			   found_next && c->tx_next != MR_NONE ? MR_FRAME_TX : MR_FRAME_SENT) ||
		    rec[i].seq != rec[c->tx_head].seq + bytes)
			return false;
		bytes += rec[i].len;
	}
	return found_next && last == c->tx_tail && bytes == c->tx_bytes;
}

/* ----- a connection ----- */

static bool has_own_session(struct rebuild *r, const struct mr_conn *c)
{
	return c->session == MR_NONE ||
	       (c->session < r->l->n_sessions && !r->session_used[c->session]);
}

static bool has_own_state(const struct rebuild *r, const struct mr_conn *c)
{
	struct mr_lane *l = r->l;

	if (c->app_state == MR_NONE)
		return !(c->flags & MR_CONN_OPENED) || !rule_of(l, c)->app->conn_bytes;
	return c->app_state == conn_index(l, c) && r->states_fit && rule_of(l, c)->app->conn_bytes;
}

/* Waiting in an accept queue, or owning one: the daemon closed the listener with the worker. */
static bool is_listening(const struct mr_conn *c)
{
	return c->flags & MR_CONN_IN_ACCEPT || c->close_reason == MR_CLOSE_WORKER_DIED;
}

static bool is_whole(struct rebuild *r, const struct mr_conn *c)
{
	struct mr_lane *l = r->l;

	return c->state <= MR_TIME_WAIT && c->rule < l->n_rules && rule_of(l, c)->app &&
	       !is_listening(c) && (c->active == MR_NONE || mr_active_is_of(&l->actives, c)) &&
	       has_own_state(r, c);
}

static bool has_own_frames(struct rebuild *r, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&r->l->actives, c);

	if (claim_received(r, c) && claim_out_of_order(r, c, a) && claim_to_send(r, c))
		return true;
	mr_frames_unclaim(&r->l->frames, conn_index(r->l, c));
	return false;
}

/* Is anything to be done that does not come by a frame or a timer? */
static bool wants_turn(const struct mr_conn *c)
{
	return c->state != MR_ESTABLISHED || c->rx_head != MR_NONE || c->tx_head != MR_NONE ||
	       !(c->flags & (MR_CONN_OPENED | MR_CONN_ORPHAN)) ||
	       c->flags & (MR_CONN_ACK_NOW | MR_CONN_WANT_WRITE | MR_CONN_CLOSE_ASKED |
			   MR_CONN_ABORT_ASKED | MR_CONN_SEND_LIMITED | MR_CONN_FIN_RECEIVED);
}

/* The daemon knows nothing of the question: it is asked again, or the wait ends by its time. */
static void ask_again(struct mr_lane *l, struct mr_conn *c)
{
	if (l->n_path_waits == PATH_WAITS || !l->s.asks || !l->s.asks->path)
		return;
	if (l->s.asks->path(l->s.asks_arg, c->remote) == 0)
		l->path_wait[l->n_path_waits++] = conn_id(l, c);
}

static bool adopt(struct rebuild *r, struct mr_conn *c)
{
	struct mr_lane *l = r->l;
	uint32_t entry = mr_entry(MR_ENTRY_CONN, conn_index(l, c));

	if (!is_whole(r, c) || !has_own_frames(r, c))
		return false;
	if (!has_own_session(r, c) ||
	    (!(c->flags & MR_CONN_PATH_ASKED) && !enter_table(r, entry, mr_conn_tuple(c)))) {
		mr_frames_unclaim(&l->frames, conn_index(l, c));
		return false;
	}
	if (c->session != MR_NONE)
		r->session_used[c->session] = 1;
	if (c->flags & MR_CONN_PATH_ASKED)
		ask_again(l, c);
	if (c->flags & MR_CONN_PASSIVE)
		mr_sources_add(&l->sources, c->remote, MR_SOURCE_CONNECTIONS);
	if (c->flags & MR_CONN_FAST_OPEN && c->flags & MR_CONN_PASSIVE)
		l->fast_open_pending++;
	rule_of(l, c)->conns++;
	l->stats->connections++;
	l->stats->taken_over++;
	lane_arm(l, c);
	if (c->state >= MR_ESTABLISHED && c->rcv_nxt != c->last_ack_sent &&
	    !c->deadline[MR_DEADLINE_DELACK]) /* the answer was to tell it */
		c->flags |= MR_CONN_ACK_NOW;
	if (wants_turn(c))
		lane_ready(l, c);
	return true;
}

/* It ended, and only its block was not given back. */
static void forget_closed(struct mr_lane *l, struct mr_conn *c)
{
	if (c->flags) {
		l->stats->closes++;
		if (c->close_reason < MR_CLOSE_REASON_COUNT)
			((uint64_t *)&l->stats->closed)[c->close_reason]++;
		c->flags = 0;
		c->generation++;
	}
	c->state = MR_CLOSED;
	c->active = MR_NONE;
	c->ready_next = l->free_conn;
	l->free_conn = conn_index(l, c);
}

static void adopt_or_drop(struct rebuild *r, uint32_t i)
{
	struct mr_lane *l = r->l;
	struct mr_conn *c = &l->conns[i];
	bool in_hand = i == l->hand->conn || i == l->hand->other;

	c->flags &= ~MR_CONN_READY;
	c->ready_next = MR_NONE;
	c->wheel_next = MR_NONE;
	c->wheel_prev = MR_NONE;
	if (c->state == MR_CLOSED) {
		forget_closed(l, c);
		return;
	}
	if (!in_hand && adopt(r, c))
		return;
	c->active = MR_NONE;
	c->session = MR_NONE;
	c->ready_next = r->dropped;
	r->dropped = i;
}

static void mark_listening(struct mr_lane *l)
{
	for (uint32_t i = 0; i < MR_LISTENERS; i++) {
		struct mr_conn *c = lane_conn_find(l, l->hand->listening[i]);

		if (c && c->state != MR_CLOSED)
			c->close_reason = MR_CLOSE_WORKER_DIED;
		l->hand->listening[i] = 0;
	}
}

static void adopt_connections(struct rebuild *r)
{
	struct mr_lane *l = r->l;

	mark_listening(l);
	for (uint32_t i = l->header->conns_used; i-- > 0;) {
		if (i % BEAT_EVERY == 0)
			lane_beat(l);
		adopt_or_drop(r, i);
	}
	mr_actives_adopt(&l->actives, l->header->conns_used);
}

/* ----- the other records ----- */

static void adopt_sessions(struct rebuild *r)
{
	struct mr_lane *l = r->l;

	for (uint32_t i = l->n_sessions; i-- > 0;) {
		struct mr_session *s = &l->sessions[i];

		if (!r->session_used[i]) {
			s->block = l->free_session;
			l->free_session = i;
		}
	}
	l->stats->message_bytes = (uint64_t)l->messages.used_blocks * MR_MESSAGE_BLOCK;
}

static bool half_is_whole(const struct mr_lane *l, uint32_t i)
{
	const struct mr_half_open *h = &l->halves[i];

	return i != l->hand->half && h->flags & MR_HALF_USED && h->sends && h->rule < l->n_rules &&
	       l->rules[h->rule].app;
}

/* Lists of equal time-outs are in order of expiry. */
static void list_halves(struct rebuild *r, struct timed *t, uint32_t n)
{
	struct mr_lane *l = r->l;

	qsort(t, n, sizeof(*t), compare_timed);
	for (uint32_t i = 0; i < n; i++) {
		const struct mr_half_open *h = &l->halves[t[i].i];

		l->n_half_open++;
		l->stats->half_open++;
		l->rules[h->rule].half_open++;
		mr_sources_add(&l->sources, h->remote, MR_SOURCE_HALF_OPEN);
		lane_half_list(l, t[i].i);
	}
}

static void adopt_halves(struct rebuild *r, struct timed *t)
{
	struct mr_lane *l = r->l;
	uint32_t n = 0;

	for (uint32_t i = l->n_halves; i-- > 0;) {
		struct mr_half_open *h = &l->halves[i];

		if (half_is_whole(l, i) &&
		    enter_table(r, mr_entry(MR_ENTRY_HALF, i), (const void *)h->local)) {
			t[n++] = (struct timed){ (int32_t)(h->expire_ms - l->tcp.now_ms), i };
			continue;
		}
		h->flags = 0;
		h->next = l->free_half;
		l->free_half = i;
	}
	list_halves(r, t, n);
}

static void adopt_waits(struct rebuild *r, struct timed *t)
{
	struct mr_lane *l = r->l;
	uint32_t n = 0;

	for (uint32_t i = l->n_waits; i-- > 0;) {
		struct mr_time_wait *w = &l->waits[i];

		if (!lane_wait_is_dead(w) && i != l->hand->wait &&
		    enter_table(r, mr_entry(MR_ENTRY_TIME_WAIT, i), (const void *)w->local)) {
			t[n++] = (struct timed){ mr_time_wait_left_ms(&l->tcp, w), i };
			continue;
		}
		w->local_port.raw = 0;
		w->next = l->free_wait;
		l->free_wait = i;
	}
	qsort(t, n, sizeof(*t), compare_timed);
	for (uint32_t i = 0; i < n; i++)
		lane_wait_append(l, t[i].i);
	l->stats->time_wait = n;
}

/* Blocks of the message store that the sessions of connections name; false: not all are good. */
static void adopt_messages(struct rebuild *r)
{
	struct mr_lane *l = r->l;

	for (uint32_t i = 0; i < l->header->conns_used; i++) {
		struct mr_conn *c = &l->conns[i];
		const struct mr_session *s = lane_session(l, c);

		if (c->state == MR_CLOSED || !s || s->block == MR_NONE ||
		    mr_messages_adopt(&l->messages, s->block, s->block_bytes))
			continue;
		l->sessions[c->session].block = MR_NONE;
		mr_tcp_abort_call(&l->tcp, c, MR_CLOSE_WORKER_DIED);
	}
	mr_messages_adopt_end(&l->messages);
}

/* ----- the peers of what was dropped ----- */

static void drop(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_segment_out out = { .seq = c->snd_nxt,
				      .ack = c->rcv_nxt,
				      .flags = MR_RST | MR_ACK };
	struct mr_link link = mr_conn_link(c);

	if (c->state >= MR_SYN_RECEIVED && c->state < MR_TIME_WAIT && c->local_port.raw &&
	    c->remote_port.raw && l->tx_room) {
		l->stats->resets_out++;
		lane_tcp_ops.reply(&l->tcp, mr_conn_tuple(c), &link, &out);
	}
	l->stats->closes++;
	l->stats->closed.worker_died++;
	l->stats->connections++; /* lane_conn_give() takes it off again */
	c->app_state = MR_NONE;
	lane_conn_give(l, c);
}

/*
 * Nothing is believed: all connections are reset. The peers learn it at once, as far as the
 * transmit ring has room, the others with their next segment.
 */
void lane_reset_all(struct mr_lane *l)
{
	for (uint32_t i = 0; i < l->header->conns_used; i++) {
		struct mr_conn *c = &l->conns[i];

		c->active = MR_NONE; /* of a pool that is new now */
		if (c->state == MR_CLOSED)
			forget_closed(l, c);
		else
			drop(l, c);
	}
}

static void drop_all(struct rebuild *r)
{
	struct mr_lane *l = r->l;

	while (r->dropped != MR_NONE) {
		struct mr_conn *c = &l->conns[r->dropped];

		r->dropped = c->ready_next;
		drop(l, c);
	}
}

static void publish_counts(uint8_t *to, const uint8_t *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (to[i] != from[i])
			__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
}

/* The counts change in place: to those who read them meanwhile nothing that stands looks gone. */
static void publish_flows(const struct rebuild *r)
{
	const struct mr_lane *l = r->l;
	uint8_t *counts;

	if (!r->flows)
		return;
	counts = mr_mailbox_flows(l->s.mailbox, l->s.n_lanes, l->s.lane);
	/* Eight at a time: most of them are as they were, and the peers wait. */
	for (uint32_t i = 0; i < MR_MAIL_FLOWS; i += sizeof(uint64_t))
		if (memcmp(&counts[i], &r->flows[i], sizeof(uint64_t)) != 0)
			publish_counts(&counts[i], &r->flows[i], sizeof(uint64_t));
	mr_mailbox_unclaim(l->s.mailbox, l->s.lane);
}

/* Frames that were collected to be sent, and did not get into the ring. */
static void adopt_batch(struct mr_lane *l)
{
	struct mr_hand *h = l->hand;
	bool there = h->n_out <= BATCH && *l->port->tx_index == h->tx_index;

	if (!there)
		h->n_out = 0;
	h->tx_index = *l->port->tx_index;
}

static bool begin(struct rebuild *r, struct mr_lane *l, struct timed **t)
{
	uint32_t most = l->n_halves > l->n_waits ? l->n_halves : l->n_waits;

	*r = (struct rebuild){ .l = l, .dropped = MR_NONE };
	r->states_fit = l->hand->state_bytes == l->state_bytes;
	r->session_used = calloc(l->n_sessions, 1);
	if (l->s.mailbox && l->s.n_lanes > 1)
		r->flows = calloc(MR_MAIL_FLOWS, 1);
	*t = malloc(most * sizeof(**t));
	return r->session_used && *t;
}

bool lane_rebuild(struct mr_lane *l)
{
	struct rebuild r;
	struct timed *t;
	bool ok = begin(&r, l, &t);

	if (ok) {
		adopt_batch(l);
		adopt_connections(&r);
		adopt_halves(&r, t);
		adopt_waits(&r, t);
		mr_frames_adopted(&l->frames, l->s.held);
		lane_transmit_begin(l);
		adopt_messages(&r);
		adopt_sessions(&r);
		drop_all(&r);
		publish_flows(&r);
		l->hand->state_bytes = l->state_bytes;
		lane_hand_clear(l->hand);
	}
	free(r.session_used);
	free(r.flows);
	free(t);
	return ok;
}
