/* SPDX-License-Identifier: MIT */
/*
 * The application `attach`: its connections are served by programs, over channels (attached.c).
 *
 * Received text is copied from the frame into a buffer of the channel, and counts as used when its
 * event is published. A connection that has its credit unread, or finds no buffer or no room for an
 * event, leaves the rest (the window closes) and is offered it again when some of that comes back.
 *
 * What the program sends stands in its buffers, linked in their slots, until there is room in
 * frames; SENT gives each back when it is copied.
 */
#include "user/lane/attached.h"

#include <errno.h>
#include <sys/socket.h>

struct attached_conn *attached_state(struct mr_lane *l, const struct mr_conn *c)
{
	return c->app_state == MR_NONE ? NULL : lane_state_at(l, c->app_state);
}

struct attached_channel *attached_channel_of(struct mr_lane *l, const struct attached_conn *a)
{
	if (!a || !a->channel || a->channel > MR_ATTACH_CHANNELS || !l->attached)
		return NULL;
	return l->attached->channel[a->channel - 1];
}

static struct mr_conn *conn_of(struct mr_host *h, mr_conn_id id, struct attached_conn **a,
			       struct attached_channel **ch)
{
	struct mr_lane *l = (struct mr_lane *)(void *)h;
	struct mr_conn *c = lane_conn_find(l, id);

	*a = c ? attached_state(l, c) : NULL;
	*ch = attached_channel_of(l, *a);
	return *a ? c : NULL;
}

void attached_begin(struct attached_conn *a, const struct attached_channel *ch)
{
	*a = (struct attached_conn){
		.channel = ch->number + 1,
		.prev = MR_NONE,
		.next = MR_NONE,
		.credit = MR_ATTACH_CREDIT,
		.send_head = MR_NONE,
		.send_tail = MR_NONE,
	};
}

void attached_end_points(const struct mr_conn *c, struct mr_attach_end_points *out)
{
	*out = (struct mr_attach_end_points){
		.local_port = c->local_port,
		.remote_port = c->remote_port,
	};
	__builtin_memcpy(out->local, c->local, sizeof(out->local));
	__builtin_memcpy(out->remote, c->remote, sizeof(out->remote));
}

/* ----- connections that wait for buffers or events ----- */

static struct attached_conn *state_at(struct mr_lane *l, uint32_t i)
{
	return attached_state(l, &l->conns[i]);
}

static void starve(struct mr_lane *l, struct mr_conn *c, struct attached_conn *a,
		   struct attached_channel *ch)
{
	uint32_t i = conn_index(l, c);

	if (a->starved)
		return;
	a->starved = 1;
	a->next = MR_NONE;
	a->prev = ch->starved.tail;
	if (a->prev == MR_NONE)
		ch->starved.head = i;
	else
		state_at(l, a->prev)->next = i;
	ch->starved.tail = i;
}

static void unstarve(struct mr_lane *l, struct attached_conn *a, struct attached_channel *ch)
{
	if (!a->starved)
		return;
	a->starved = 0;
	if (a->prev == MR_NONE)
		ch->starved.head = a->next;
	else
		state_at(l, a->prev)->next = a->next;
	if (a->next == MR_NONE)
		ch->starved.tail = a->prev;
	else
		state_at(l, a->next)->prev = a->prev;
}

/* As many as there are buffers, in the order in which they found none. */
void attached_feed(struct mr_lane *l, struct attached_channel *ch)
{
	for (uint32_t n = ch->n_free; n && ch->starved.head != MR_NONE; n--) {
		struct mr_conn *c = &l->conns[ch->starved.head];

		if (!attached_has_room(ch, 1))
			return;
		lane_hold(l, conn_index(l, c));
		unstarve(l, attached_state(l, c), ch);
		mr_resume(mr_lane_host(l), conn_id(l, c));
	}
}

/* ----- receiving ----- */

/* One buffer full; returns bytes of @data that it took, 0: no buffer, or no room for the event. */
static uint32_t lend(struct attached_channel *ch, mr_conn_id id, const uint8_t *data, size_t len)
{
	struct mr_attach_record r = { .op = MR_ATTACH_DATA, .conn = id };
	uint32_t i, n = ch->c.sizes.buffer_bytes;

	if (!ch->n_free || !attached_has_room(ch, 1))
		return 0;
	i = ch->free[--ch->n_free];
	n = len < n ? (uint32_t)len : n;
	/* lent as of this event: a worker that takes over finds whether it was published */
	ch->c.receive_slot[i] = (struct mr_attach_slot){ .next = ch->c.produced, .lent = 1 };
	__builtin_memcpy(mr_channel_receive_at(&ch->c, i), data, n);
	r.part.buffer = i;
	r.part.len = n;
	attached_put(ch, &r);
	return n;
}

static enum mr_app_verdict attached_bytes(struct mr_host *h, mr_conn_id id, const uint8_t *data,
					  size_t len, size_t *used)
{
	struct attached_channel *ch;
	struct attached_conn *a;
	struct mr_conn *c = conn_of(h, id, &a, &ch);
	size_t room, done = 0;
	uint32_t n;

	*used = 0;
	if (!c || !ch) /* its channel comes back with the daemon's word, or its end */
		return MR_APP_AGAIN;
	if (a->closing) { /* nobody reads any more */
		mr_abort(h, id);
		return MR_APP_CLOSED;
	}
	room = a->credit > a->unread ? a->credit - a->unread : 0;
	room = room < len ? room : len;
	while (done < room && (n = lend(ch, id, data + done, room - done)))
		done += n;
	a->unread += (uint32_t)done;
	*used = done;
	if (done < room)
		starve((struct mr_lane *)(void *)h, c, a, ch);
	return done < len ? MR_APP_AGAIN : MR_APP_DONE;
}

void attached_read(struct mr_lane *l, struct mr_conn *c, uint32_t bytes)
{
	struct attached_conn *a = attached_state(l, c);

	a->unread -= bytes < a->unread ? bytes : a->unread;
	if (c->flags & MR_CONN_BLOCKED && !a->starved && a->unread < a->credit)
		mr_resume(mr_lane_host(l), conn_id(l, c));
}

static void attached_peer_shutdown(struct mr_host *h, mr_conn_id id)
{
	struct attached_channel *ch;
	struct attached_conn *a;

	if (conn_of(h, id, &a, &ch) && ch)
		attached_put(ch, &(struct mr_attach_record){ .op = MR_ATTACH_EOF, .conn = id });
}

/* ----- sending ----- */

/* What is queued goes back unsent. */
static void drop_sends(struct attached_conn *a, struct attached_channel *ch)
{
	while (a->n_sends && a->send_head < ch->c.sizes.send_buffers) {
		uint32_t i = a->send_head;

		a->n_sends--;
		a->send_head = ch->c.send_slot[i].next;
		attached_sent(ch, i);
	}
	a->n_sends = 0;
	a->send_head = MR_NONE;
	a->send_tail = MR_NONE;
	a->done = 0;
}

/* The first of the queue into frames. False: there is room for a part of it at most. */
static bool send_one(struct mr_lane *l, mr_conn_id id, struct attached_conn *a,
		     struct attached_channel *ch)
{
	const uint32_t i = a->send_head;
	struct mr_attach_slot slot = ch->c.send_slot[i];
	int64_t n = 0;

	/* the slot is the program's memory as well */
	__asm__ volatile("" ::: "memory");
	if (!mr_channel_part_is_inside(&ch->c, ch->c.sizes.send_buffers, i, slot.offset, slot.len))
		slot.len = 0;
	if (a->done < slot.len)
		n = mr_send(mr_lane_host(l), id,
			    mr_channel_send_at(&ch->c, i) + slot.offset + a->done,
			    slot.len - a->done);
	if (n < 0) {
		drop_sends(a, ch);
		return false;
	}
	a->done += (uint32_t)n;
	if (a->done < slot.len)
		return false;
	a->done = 0;
	a->n_sends--;
	a->send_head = slot.next;
	attached_sent(ch, i);
	return true;
}

static void push(struct mr_lane *l, struct mr_conn *c, struct attached_conn *a,
		 struct attached_channel *ch)
{
	mr_conn_id id = conn_id(l, c);

	while (a->n_sends) {
		if (a->send_head >= ch->c.sizes.send_buffers) { /* the program wrote there */
			drop_sends(a, ch);
			break;
		}
		if (!send_one(l, id, a, ch) && a->n_sends)
			return;
	}
	if (a->shut)
		mr_shutdown(mr_lane_host(l), id, SHUT_WR);
	a->shut = 0;
	if (a->closing)
		mr_close(mr_lane_host(l), id);
}

void attached_queue(struct mr_lane *l, struct mr_conn *c, struct attached_channel *ch,
		    const struct mr_attach_record *r)
{
	struct attached_conn *a = attached_state(l, c);
	uint32_t i = r->part.buffer;

	ch->c.send_slot[i] = (struct mr_attach_slot){
		.next = MR_NONE,
		.offset = r->part.offset,
		.len = r->part.len,
		.lent = 1,
	};
	if (a->n_sends && a->send_tail < ch->c.sizes.send_buffers)
		ch->c.send_slot[a->send_tail].next = i;
	else
		a->send_head = i;
	a->send_tail = i;
	a->n_sends++;
	if (a->n_sends == 1)
		push(l, c, a, ch);
}

static void attached_writable(struct mr_host *h, mr_conn_id id)
{
	struct attached_channel *ch;
	struct attached_conn *a;
	struct mr_conn *c = conn_of(h, id, &a, &ch);

	if (c && ch)
		push((struct mr_lane *)(void *)h, c, a, ch);
}

/* ----- the end ----- */

void attached_shutdown(struct mr_lane *l, struct mr_conn *c, int how)
{
	struct attached_conn *a = attached_state(l, c);
	mr_conn_id id = conn_id(l, c);

	if (how != SHUT_WR)
		mr_shutdown(mr_lane_host(l), id, SHUT_RD);
	if (how == SHUT_RD)
		return;
	if (a->n_sends)
		a->shut = 1;
	else
		mr_shutdown(mr_lane_host(l), id, SHUT_WR);
}

/* RFC 2525 2.17: bytes that nobody read make it an RST. */
void attached_close(struct mr_lane *l, struct mr_conn *c)
{
	struct attached_conn *a = attached_state(l, c);
	struct attached_channel *ch = attached_channel_of(l, a);
	mr_conn_id id = conn_id(l, c);

	a->closing = 1;
	if (a->unread || c->rx_bytes || c->state < MR_ESTABLISHED)
		mr_abort(mr_lane_host(l), id);
	else if (!a->n_sends || !ch)
		mr_close(mr_lane_host(l), id);
}

static void attached_closed(struct mr_host *h, mr_conn_id id, int reason)
{
	struct attached_channel *ch;
	struct attached_conn *a;
	struct mr_attach_record r = {
		.op = MR_ATTACH_CLOSED,
		.conn = id,
		.value = (uint32_t)mr_close_errno(reason),
	};

	if (!conn_of(h, id, &a, &ch) || !ch)
		return;
	unstarve((struct mr_lane *)(void *)h, a, ch);
	drop_sends(a, ch);
	attached_put(ch, &r);
	ch->n_conns--;
	a->channel = 0;
}

/* ----- the beginning ----- */

static bool is_zero(const uint8_t addr[16])
{
	static const uint8_t zero[16];

	return __builtin_memcmp(addr, zero, 16) == 0;
}

static bool listens(const struct attached_listener *x, uint32_t rule, const uint8_t local[16],
		    uint16_t port)
{
	if (!x->channel || x->rule != rule || x->port != port)
		return false;
	if (x->family && (x->family == 4) != (bool)mr_is_ipv4(local))
		return false;
	return is_zero(x->addr) || __builtin_memcmp(x->addr, local, 16) == 0;
}

static bool may_wait_more(const struct attached_listener *x)
{
	return x->waiting + x->promised < x->backlog &&
	       attached_has_room(x->channel, (x->promised + 1) * (1 + ATTACHED_EVENTS_KEPT));
}

/*
 * The listener with the fewest that wait; of several of them the next in turn. NULL: none has room.
 * @any: somebody listens
 */
static struct attached_listener *choose(struct lane_attached *at, uint32_t rule,
					const uint8_t local[16], uint16_t port, bool *any)
{
	struct attached_listener *best = NULL;

	*any = false;
	for (uint32_t k = 0; k < at->n_listeners; k++) {
		struct attached_listener *x = &at->listener[(at->next + k) % at->n_listeners];

		if (!listens(x, rule, local, port))
			continue;
		*any = true;
		if (may_wait_more(x) &&
		    (!best || x->waiting + x->promised < best->waiting + best->promised))
			best = x;
	}
	return best;
}

enum attached_answer lane_attached_answer(struct mr_lane *l, const struct lane_rule *r,
					  const uint8_t local[16], uint16_t port)
{
	bool any = false;

	if (r->app != &lane_attached_app)
		return ATTACHED_OPEN;
	if (l->attached && choose(l->attached, (uint32_t)(r - l->rules), local, port, &any))
		return ATTACHED_OPEN;
	return any ? ATTACHED_FULL : ATTACHED_NOBODY;
}

/* Several handshakes are done in one burst, before the first of them is opened. */
void lane_attached_promise(struct mr_lane *l, const struct mr_conn *c)
{
	struct attached_listener *x;
	bool any;

	if (!l->attached || rule_of(l, c)->app != &lane_attached_app)
		return;
	x = choose(l->attached, c->rule, c->local, mr_be16(c->local_port), &any);
	if (!x)
		return;
	x->promised++;
	l->attached->next = (uint32_t)(x - l->attached->listener) + 1;
}

/* The listener that it was promised to; or one that has room, when that left or nothing was said.
 */
static struct attached_listener *take_listener(struct mr_lane *l, const struct mr_conn *c)
{
	struct lane_attached *at = l->attached;
	bool any;

	for (uint32_t i = 0; at && i < at->n_listeners; i++) {
		struct attached_listener *x = &at->listener[i];

		if (x->promised && listens(x, c->rule, c->local, mr_be16(c->local_port))) {
			x->promised--;
			return x;
		}
	}
	return at ? choose(at, c->rule, c->local, mr_be16(c->local_port), &any) : NULL;
}

static void accept_one(struct mr_lane *l, struct mr_conn *c)
{
	struct attached_listener *x = take_listener(l, c);
	struct mr_attach_record r = { .op = MR_ATTACH_ACCEPT, .conn = conn_id(l, c) };

	if (!x) { /* its listener left meanwhile */
		mr_abort(mr_lane_host(l), conn_id(l, c));
		return;
	}
	attached_begin(attached_state(l, c), x->channel);
	x->waiting++;
	r.user = x->user;
	attached_end_points(c, &r.end);
	attached_put(x->channel, &r);
	x->channel->n_conns++;
}

static void attached_open(struct mr_host *h, mr_conn_id id)
{
	struct attached_channel *ch;
	struct attached_conn *a;
	struct mr_conn *c = conn_of(h, id, &a, &ch);
	struct mr_attach_record r = { .op = MR_ATTACH_CONNECTED, .conn = id };

	if (!c)
		return;
	if (c->flags & MR_CONN_PASSIVE) {
		accept_one((struct mr_lane *)(void *)h, c);
	} else if (ch) {
		attached_end_points(c, &r.end);
		attached_put(ch, &r);
	}
}

const struct mr_app lane_attached_app = {
	.name = "attach",
	.conn_bytes = sizeof(struct attached_conn),
	.open = attached_open,
	.bytes = attached_bytes,
	.writable = attached_writable,
	.peer_shutdown = attached_peer_shutdown,
	.closed = attached_closed,
};
