/* SPDX-License-Identifier: MIT */
/*
 * Connections that want something in this turn. Whatever happens to a connection (a segment, a
 * timer, a call of the application) puts it on one list; here each is taken through the same
 * steps once: application, TCP output, and its end.
 */
#include "user/lane/internal.h"
#include "user/tcp/internal.h"

static void fifo_put(struct mr_lane *l, struct fifo *list, struct mr_conn *c)
{
	uint32_t i = conn_index(l, c);

	c->ready_next = MR_NONE;
	if (list->tail == MR_NONE)
		list->head = i;
	else
		l->conns[list->tail].ready_next = i;
	list->tail = i;
}

void lane_ready(struct mr_lane *l, struct mr_conn *c)
{
	if (c->flags & MR_CONN_READY || c < l->conns || c >= l->conns + l->n_conns)
		return;
	c->flags |= MR_CONN_READY;
	fifo_put(l, &l->ready, c);
}

/* TCP's events make the connection ready; what to do follows from its state. */
void lane_conn_event(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_event event)
{
	if (c->flags & MR_CONN_FAST_OPEN && c->flags & MR_CONN_PASSIVE &&
	    (event == MR_EVENT_ESTABLISHED || event == MR_EVENT_CLOSED))
		lane_fast_open_over(lane_of(t), c);
	if (event == MR_EVENT_PATH_DOUBT)
		lane_path_doubt(lane_of(t), c);
	lane_ready(lane_of(t), c);
}

/* ----- timers ----- */

/* The node moves only to an earlier time: a later deadline is found when it fires. */
void lane_arm(struct mr_lane *l, struct mr_conn *c)
{
	uint32_t when = mr_tcp_next_deadline(&l->tcp, c);

	if (!when || (mr_wheel_is_armed(c) && !mr_ms_before(when, c->wheel_ms)))
		return;
	mr_wheel_arm(&l->wheel, c, when);
}

static bool take_deadline(struct mr_lane *l, struct mr_conn *c, enum mr_deadline which)
{
	if (!c->deadline[which] || mr_ms_before(l->tcp.now_ms, c->deadline[which]))
		return false;
	c->deadline[which] = 0;
	return true;
}

void lane_timer_fires(void *arg, struct mr_conn *c)
{
	struct mr_lane *l = arg;

	lane_hold(l, conn_index(l, c));
	l->stats->timer_expiries++;
	mr_tcp_timers(&l->tcp, c);
	if (c->state != MR_CLOSED && take_deadline(l, c, MR_DEADLINE_APP))
		lane_call_timer(l, c);
	if (c->state != MR_CLOSED && take_deadline(l, c, MR_DEADLINE_MESSAGE))
		lane_heartbeat_due(l, c);
	if (c->state != MR_CLOSED)
		lane_arm(l, c);
}

/* ----- the end of a connection ----- */

static void count_close(struct mr_lane *l, const struct mr_conn *c)
{
	uint64_t *counters = (uint64_t *)&l->stats->closed;

	l->stats->closes++;
	if (c->close_reason < MR_CLOSE_REASON_COUNT)
		counters[c->close_reason]++;
}

static void leave_accept_queue(struct mr_lane *l, struct mr_conn *c)
{
	struct listener *asked = lane_listener_at(l, c->local, mr_be16(c->local_port));

	if (!(c->flags & MR_CONN_IN_ACCEPT))
		return;
	l->stats->accept_queue--;
	if (asked && asked->n_waiting)
		asked->n_waiting--;
}

static void leave_table(struct mr_lane *l, struct mr_conn *c)
{
	uint64_t hash = lane_hash(l, mr_conn_tuple(c));

	if (c->close_reason == MR_CLOSE_DONE)
		lane_flow_ended(l, hash); /* before others see that we have it no more */
	lane_flow_remove(l, hash, mr_entry(MR_ENTRY_CONN, conn_index(l, c)));
}

/* The application hears of it, everything borrowed goes back, the block is free. */
static void finish(struct mr_lane *l, struct mr_conn *c, bool in_table)
{
	lane_call_closed(l, c);
	count_close(l, c);
	leave_accept_queue(l, c);
	if (c->flags & MR_CONN_PASSIVE)
		lane_source_sub(l, c->remote, MR_SOURCE_CONNECTIONS);
	lane_listener_drop(l, c);
	c->app_state = MR_NONE;
	lane_session_give(l, c);
	mr_wheel_disarm(&l->wheel, c);
	if (in_table)
		leave_table(l, c);
	rule_of(l, c)->conns--;
	lane_conn_give(l, c);
}

/* In TIME-WAIT with nothing left to read or to be told: 64 bytes are enough. */
static bool may_compress(const struct mr_conn *c)
{
	return c->state == MR_TIME_WAIT && c->flags & MR_CONN_ORPHAN && !c->rx_bytes;
}

static void compress(struct mr_lane *l, struct mr_conn *c)
{
	if (c->close_reason == MR_CLOSE_NONE)
		c->close_reason = MR_CLOSE_DONE;
	lane_wait_add(l, c);
	finish(l, c, false);
	lane_hold_in(&l->hand->wait, MR_NONE);
}

static void end(struct mr_lane *l, struct mr_conn *c)
{
	if (c->state == MR_CLOSED)
		finish(l, c, true);
	else
		compress(l, c);
}

/* ----- one connection's steps ----- */

/* What the application asked for in a callback, now that its bytes are accounted for. */
static void run_asked(struct mr_lane *l, struct mr_conn *c)
{
	if (c->flags & MR_CONN_ABORT_ASKED)
		mr_tcp_abort_call(&l->tcp, c, MR_CLOSE_ABORTED);
	else if (c->flags & MR_CONN_CLOSE_ASKED && !(c->flags & MR_CONN_ORPHAN))
		mr_tcp_close_call(&l->tcp, c);
}

static void application(struct mr_lane *l, struct mr_conn *c)
{
	if ((c->state < MR_ESTABLISHED && !mr_conn_is_early(c)) ||
	    c->flags & (MR_CONN_ORPHAN | MR_CONN_IN_ACCEPT))
		return;
	if (!(c->flags & MR_CONN_OPENED))
		lane_call_open(l, c);
	lane_call_urgent(l, c);
	lane_call_writable(l, c);
	lane_deliver(l, c);
}

static bool is_starved(const struct mr_conn *c)
{
	if (c->flags & MR_CONN_SEND_LIMITED ||
	    (c->flags & MR_CONN_ACK_NOW && c->state >= MR_SYN_RECEIVED))
		return true;
	/* wants to write, has nothing in flight whose ACK would wake it: found too few frames */
	return c->flags & MR_CONN_WANT_WRITE && !c->tx_bytes && !mr_tcp_cannot_send(c);
}

/* Returns false when it can go no further in this turn. */
static inline bool output(struct mr_lane *l, struct mr_conn *c)
{
	c->flags &= ~MR_CONN_READY; /* what was asked for until now is done below */
	if (c->state != MR_CLOSED)
		mr_tcp_output(&l->tcp, c);
	/* what ended while it ran stands on the list again, and a block on it is not freed */
	if (c->state == MR_CLOSED || may_compress(c)) {
		if (!(c->flags & MR_CONN_READY))
			end(l, c);
		return true;
	}
	lane_heartbeat_look(l, c);
	if (!is_starved(c))
		return true;
	if (!(c->flags & MR_CONN_READY)) {
		c->flags |= MR_CONN_READY;
		fifo_put(l, &l->waiting, c);
	}
	return false;
}

static bool run_one(struct mr_lane *l, struct mr_conn *c)
{
	lane_hold(l, conn_index(l, c));
	if (c->state != MR_CLOSED)
		application(l, c);
	if (c->state != MR_CLOSED && c->flags & (MR_CONN_CLOSE_ASKED | MR_CONN_ABORT_ASKED))
		run_asked(l, c);
	return output(l, c);
}

static void answer_later(struct mr_lane *l, struct mr_conn *c)
{
	mr_tcp_owe_expected(&l->tcp, c);
	lane_ready(l, c);
}

static __attribute__((noinline)) void answer_any(struct mr_lane *l, struct mr_conn *c)
{
	c->flags |= MR_CONN_READY; /* it has its turn now: nothing puts it on the list */
	mr_tcp_owe_expected(&l->tcp, c);
	output(l, c);
}

/*
 * The connections whose text was read as it arrived; one may stand here twice. One that is on the
 * list by now waits there for its turn, and what has more to do than to send goes there, too:
 * nothing ends here.
 */
void lane_run_answers(struct mr_lane *l)
{
	for (uint32_t i = 0; i < l->n_answers; i++) {
		struct mr_conn *c = &l->conns[l->answers[i]];

		lane_hold(l, l->answers[i]);
		if (c->flags & MR_CONN_READY)
			mr_tcp_owe_expected(&l->tcp, c);
		else if (c->state != MR_ESTABLISHED ||
			 c->flags & (MR_CONN_CLOSE_ASKED | MR_CONN_ABORT_ASKED))
			answer_later(l, c);
		else if (!mr_tcp_answer(&l->tcp, c, mr_active_peek(&l->actives, c)))
			answer_any(l, c);
		else if (is_starved(c)) /* no room */
			answer_later(l, c);
		else
			lane_heartbeat_look(l, c);
	}
	l->n_answers = 0;
}

/* Those that waited for room come first, in the order in which they met its end. */
static void wake_waiting(struct mr_lane *l)
{
	struct fifo waited = l->waiting;

	if (waited.head == MR_NONE)
		return;
	l->waiting = (struct fifo){ MR_NONE, MR_NONE };
	if (l->ready.head == MR_NONE) {
		l->ready = waited;
		return;
	}
	l->conns[waited.tail].ready_next = l->ready.head;
	l->ready.head = waited.head;
}

unsigned int lane_run_ready(struct mr_lane *l)
{
	unsigned int n = 0;

	wake_waiting(l);
	while (l->ready.head != MR_NONE) {
		struct mr_conn *c = &l->conns[l->ready.head];

		l->ready.head = c->ready_next;
		if (l->ready.head == MR_NONE)
			l->ready.tail = MR_NONE;
		n += run_one(l, c);
	}
	if (l->hand->other != MR_NONE)
		lane_hold_in(&l->hand->other, MR_NONE);
	lane_hold(l, MR_NONE);
	return n;
}
