/* SPDX-License-Identifier: MIT */
/*
 * Blocks and records of the arena: free lists (derived, linked through fields that only living
 * records use otherwise) and their places in the table.
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void lane_records_init(struct mr_lane *l)
{
	const struct mr_arena *a = l->s.arena;
	struct mr_active *actives;
	struct mr_trace *traces;
	uint32_t n_actives, n_traces;

	l->header = (struct mr_arena_header *)(void *)a->base;
	l->conns = mr_arena_area(a, MR_AREA_CONNS, &l->n_conns);
	if (l->header->conns_used > l->n_conns) /* whatever the last worker wrote */
		l->header->conns_used = l->n_conns;
	l->halves = mr_arena_area(a, MR_AREA_HALF_OPEN, &l->n_halves);
	l->waits = mr_arena_area(a, MR_AREA_TIME_WAIT, &l->n_waits);
	l->sessions = mr_arena_area(a, MR_AREA_SESSIONS, &l->n_sessions);
	actives = mr_arena_area(a, MR_AREA_ACTIVE, &n_actives);
	mr_actives_init(&l->actives, actives, n_actives, l->conns);
	l->states = mr_arena_area(a, MR_AREA_APP_STATES, NULL);
	l->hand = mr_arena_area(a, MR_AREA_HAND, NULL);
	l->sent = mr_arena_area(a, MR_AREA_SENT, NULL);
	traces = mr_arena_area(a, MR_AREA_TRACES, &n_traces);
	mr_traces_init(&l->traces, traces, n_traces);
	l->free_conn = MR_NONE;
	l->free_half = MR_NONE;
	l->free_wait = MR_NONE;
	l->free_session = MR_NONE;
	for (uint32_t i = 0; i < HALF_LISTS; i++)
		l->half_list[i] = (struct fifo){ MR_NONE, MR_NONE };
	l->wait_list = (struct fifo){ MR_NONE, MR_NONE };
	l->ready = (struct fifo){ MR_NONE, MR_NONE };
	l->waiting = (struct fifo){ MR_NONE, MR_NONE };
}

/* All half-open, TIME-WAIT and session records are free. */
void lane_records_clear(struct mr_lane *l)
{
	for (uint32_t i = l->n_halves; i-- > 0; l->free_half = i) {
		l->halves[i].flags = 0;
		l->halves[i].next = l->free_half;
	}
	for (uint32_t i = l->n_waits; i-- > 0; l->free_wait = i) {
		l->waits[i].local_port.raw = 0; /* dead, also for who takes over */
		l->waits[i].next = l->free_wait;
	}
	for (uint32_t i = l->n_sessions; i-- > 0; l->free_session = i)
		l->sessions[i].block = l->free_session;
}

/* ----- keys ----- */

uint64_t lane_hash(const struct mr_lane *l, const struct mr_tuple *tuple)
{
	if (mr_is_ipv4(tuple->remote))
		return lane_hash_ipv4(l, tuple->remote + 12, tuple->local + 12, tuple->remote_port,
				      tuple->local_port);
	return mr_siphash13(&l->hash_key, tuple, sizeof(*tuple));
}

/* The records hold the tuple's fields in the tuple's order. */
_Static_assert(__builtin_offsetof(struct mr_half_open, remote_port) ==
		       __builtin_offsetof(struct mr_tuple, remote_port),
	       "tuple in half-open record");
_Static_assert(__builtin_offsetof(struct mr_time_wait, remote_port) ==
		       __builtin_offsetof(struct mr_tuple, remote_port),
	       "tuple in TIME-WAIT record");

static const void *tuple_of(const struct mr_lane *l, uint32_t entry)
{
	uint32_t i = mr_entry_index(entry);

	switch (mr_entry_kind(entry)) {
	case MR_ENTRY_CONN:
		return l->conns[i].local;
	case MR_ENTRY_HALF:
		return l->halves[i].local;
	case MR_ENTRY_TIME_WAIT:
		break;
	}
	return l->waits[i].local;
}

bool lane_matches(void *arg, uint32_t entry, const void *key)
{
	return memcmp(tuple_of(arg, entry), key, sizeof(struct mr_tuple)) == 0;
}

uint64_t lane_hash_of(void *arg, uint32_t entry)
{
	struct mr_lane *l = arg;

	return lane_hash(l, tuple_of(l, entry));
}

/* ----- connection blocks ----- */

/* Never used blocks are taken last, so that untouched memory stays untouched. */
struct mr_conn *lane_conn_take(struct mr_lane *l)
{
	struct mr_conn *c;

	if (l->free_conn != MR_NONE) {
		c = &l->conns[l->free_conn];
		l->free_conn = c->ready_next;
	} else if (l->header->conns_used < l->n_conns) {
		c = &l->conns[l->header->conns_used++];
	} else {
		return NULL;
	}
	l->stats->connections++;
	return c;
}

/* The block must be in no list, wheel or table. */
void lane_conn_give(struct mr_lane *l, struct mr_conn *c)
{
	mr_active_give(&l->actives, c);
	c->state = MR_CLOSED;
	c->flags = 0;
	c->generation++; /* ids of this connection are dead from now on */
	c->ready_next = l->free_conn;
	l->free_conn = conn_index(l, c);
	l->stats->connections--;
}

struct mr_conn *lane_conn_find(struct mr_lane *l, mr_conn_id id)
{
	uint32_t low = (uint32_t)id;
	uint32_t i = (low & ((1u << LANE_SHIFT) - 1)) - 1;
	struct mr_conn *c;

	if (low >> LANE_SHIFT != l->s.lane || i >= l->header->conns_used)
		return NULL;
	c = &l->conns[i];
	return c->generation == id >> 32 ? c : NULL;
}

/* ----- half-open records ----- */

uint32_t lane_half_take(struct mr_lane *l)
{
	uint32_t i = l->free_half;

	if (i == MR_NONE)
		return MR_NONE;
	l->free_half = l->halves[i].next;
	l->n_half_open++;
	l->stats->half_open++;
	return i;
}

void lane_half_give(struct mr_lane *l, uint32_t i)
{
	l->halves[i].flags = 0;
	l->halves[i].next = l->free_half;
	l->free_half = i;
	l->n_half_open--;
	l->stats->half_open--;
}

static struct fifo *half_list_of(struct mr_lane *l, const struct mr_half_open *h)
{
	return &l->half_list[h->sends < HALF_LISTS ? h->sends : HALF_LISTS - 1];
}

/* At the end of the list of its time-out: lists stay in order of expiry. */
void lane_half_list(struct mr_lane *l, uint32_t i)
{
	struct mr_half_open *h = &l->halves[i];
	struct fifo *list = half_list_of(l, h);

	h->next = MR_NONE;
	h->prev = list->tail;
	if (list->tail == MR_NONE)
		list->head = i;
	else
		l->halves[list->tail].next = i;
	list->tail = i;
}

void lane_half_unlist(struct mr_lane *l, uint32_t i)
{
	struct mr_half_open *h = &l->halves[i];
	struct fifo *list = half_list_of(l, h);

	if (h->prev == MR_NONE)
		list->head = h->next;
	else
		l->halves[h->prev].next = h->next;
	if (h->next == MR_NONE)
		list->tail = h->prev;
	else
		l->halves[h->next].prev = h->prev;
}

/* Out of list and table, and free. */
void lane_half_remove(struct mr_lane *l, uint32_t i)
{
	uint32_t entry = mr_entry(MR_ENTRY_HALF, i);

	lane_flow_remove(l, lane_hash_of(l, entry), entry);
	lane_half_unlist(l, i);
	lane_half_give(l, i);
}

/* ----- TIME-WAIT records ----- */

/* Its local port alone says so, for one store must: no connection has port 0. */
bool lane_wait_is_dead(const struct mr_time_wait *w)
{
	return !w->local_port.raw;
}

/* Out of the table; the record itself is freed when it comes to the list's head. */
void lane_wait_forget(struct mr_lane *l, uint32_t i)
{
	uint32_t entry = mr_entry(MR_ENTRY_TIME_WAIT, i);

	lane_flow_remove(l, lane_hash_of(l, entry), entry);
	l->waits[i].local_port.raw = 0;
	l->stats->time_wait--;
}

/*
 * The list is in the order of expiry but for records whose time began anew: they stay where they
 * are, marked in their `next`, and go to the end when they come to the head.
 */
#define WAIT_RESTARTED (1u << 31)

static uint32_t wait_next(const struct mr_lane *l, uint32_t i)
{
	return l->waits[i].next & ~WAIT_RESTARTED;
}

void lane_wait_restarted(struct mr_lane *l, uint32_t i)
{
	l->waits[i].next |= WAIT_RESTARTED;
}

void lane_wait_append(struct mr_lane *l, uint32_t i)
{
	uint32_t tail = l->wait_list.tail;

	l->waits[i].next = MR_NONE;
	if (tail == MR_NONE)
		l->wait_list.head = i;
	else
		l->waits[tail].next = (l->waits[tail].next & WAIT_RESTARTED) | i;
	l->wait_list.tail = i;
}

static uint32_t wait_pop(struct mr_lane *l)
{
	uint32_t i = l->wait_list.head;

	l->wait_list.head = wait_next(l, i);
	if (l->wait_list.head == MR_NONE)
		l->wait_list.tail = MR_NONE;
	return i;
}

/* Free what is over or dead at the head; one that was restarted goes to the end. Returns n. */
uint32_t lane_expire_waits(struct mr_lane *l, bool one_for_sure)
{
	uint32_t n = 0;

	while (l->wait_list.head != MR_NONE) {
		uint32_t i = l->wait_list.head;
		struct mr_time_wait *w = &l->waits[i];
		bool dead = lane_wait_is_dead(w);

		if (!dead && w->next & WAIT_RESTARTED) {
			lane_wait_append(l, wait_pop(l));
			continue;
		}
		if (!dead && !one_for_sure && mr_time_wait_left_ms(&l->tcp, w))
			break;
		wait_pop(l);
		if (!dead)
			lane_wait_forget(l, i);
		w->next = l->free_wait;
		l->free_wait = i;
		one_for_sure = false;
		n++;
	}
	return n;
}

/* The block becomes a record, in the same place of the table; the caller frees the block. */
void lane_wait_add(struct mr_lane *l, struct mr_conn *c)
{
	uint32_t from = mr_entry(MR_ENTRY_CONN, conn_index(l, c));
	uint64_t hash = lane_hash(l, mr_conn_tuple(c));
	uint32_t i;

	if (l->free_wait == MR_NONE) /* the oldest makes room, as in every stack */
		lane_expire_waits(l, true);
	i = l->free_wait;
	l->free_wait = l->waits[i].next;
	lane_hold_in(&l->hand->wait, i); /* until the block is free: end() */
	mr_time_wait_compress(&l->tcp, c, &l->waits[i]);
	lane_wait_append(l, i);
	mr_table_replace(&l->table, hash, from, mr_entry(MR_ENTRY_TIME_WAIT, i));
	l->stats->time_wait++;
}

/* ----- sessions: borrowed while a message is incomplete or something is blocked ----- */

struct mr_session *lane_session(struct mr_lane *l, struct mr_conn *c)
{
	return c->session == MR_NONE ? NULL : &l->sessions[c->session];
}

struct mr_session *lane_session_take(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session(l, c);
	uint32_t i = l->free_session;

	if (s || i == MR_NONE)
		return s;
	s = &l->sessions[i];
	l->free_session = s->block;
	*s = (struct mr_session){ .block = MR_NONE };
	c->session = i;
	return s;
}

void lane_session_give(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session(l, c);

	if (!s)
		return;
	if (s->block != MR_NONE) {
		mr_messages_give(&l->messages, s->block);
		l->stats->message_bytes = (uint64_t)l->messages.used_blocks * MR_MESSAGE_BLOCK;
	}
	s->block = l->free_session;
	l->free_session = c->session;
	c->session = MR_NONE;
}

void lane_session_give_if_idle(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session(l, c);

	if (s && mr_tlv_reader_is_idle((struct mr_tlv_reader *)(void *)s->reader) &&
	    !s->partial_ms && !s->handler_ms && !s->send_ms && !s->ping_ms)
		lane_session_give(l, c);
}

/* ----- application state: bytes of the arena, by the connection's index ----- */

void *lane_state_at(const struct mr_lane *l, uint32_t i)
{
	return l->states + (size_t)i * l->hand->state_bytes;
}

void lane_state_take(struct mr_lane *l, struct mr_conn *c)
{
	if (!rule_of(l, c)->app->conn_bytes)
		return;
	c->app_state = conn_index(l, c);
	memset(lane_state_at(l, c->app_state), 0, l->hand->state_bytes);
}
