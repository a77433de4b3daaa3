/* SPDX-License-Identifier: MIT */
/*
 * Passive opens: a SYN makes an 80-byte record; its ACK makes a connection, if the accept queue
 * has room. SYN-ACKs are sent again from lists of equal time-outs.
 */
#include "user/lane/internal.h"
#include "user/tcp/internal.h"

enum {
	ISS_GAP = 65537, /* between two connections of a tuple, beyond an unscaled window */
};

_Static_assert(HALF_LISTS >= MR_SYN_ACK_RETRIES_MOST + 2, "a list for each SYN-ACK sent");

void lane_half_forget(struct mr_lane *l, uint32_t i)
{
	const struct mr_half_open *h = &l->halves[i];
	struct listener *asked = lane_listener_at(l, h->local, mr_be16(h->local_port));

	l->rules[h->rule].half_open--;
	lane_source_sub(l, h->remote, MR_SOURCE_HALF_OPEN);
	if (asked && asked->n_half)
		asked->n_half--;
	lane_half_remove(l, i);
}

/* A listener goes, and the handshakes under way with it: their ACK finds nobody and is reset. */
void lane_halves_drop(struct mr_lane *l, const uint8_t addr[16], uint16_t port)
{
	for (uint32_t sends = 0; sends < HALF_LISTS; sends++) {
		uint32_t i = l->half_list[sends].head;

		while (i != MR_NONE) {
			const struct mr_half_open *h = &l->halves[i];
			uint32_t next = h->next;

			if (mr_be16(h->local_port) == port &&
			    __builtin_memcmp(h->local, addr, sizeof(h->local)) == 0)
				lane_half_forget(l, i);
			i = next;
		}
	}
}

static bool rule_is_full(const struct listener *asked, const struct lane_rule *rule)
{
	return !asked && rule->half_open >= rule->config->backlog;
}

/* The oldest half-open record that was answered more than once makes room for a new one. */
static bool evict_half(struct mr_lane *l)
{
	for (uint32_t sends = HALF_LISTS; sends-- > 2;) {
		if (l->half_list[sends].head == MR_NONE)
			continue;
		l->stats->half_open_expired++;
		lane_half_forget(l, l->half_list[sends].head);
		return true;
	}
	return false;
}

/* Has the peer's address as many connections as it may? Half-open ones count as connections. */
bool lane_source_is_full(const struct mr_lane *l, const uint8_t remote[16])
{
	const struct mr_open_settings *o = &l->s.config->open;
	uint32_t half, all;

	if (!l->sources.place)
		return false;
	half = mr_sources_get(&l->sources, remote, MR_SOURCE_HALF_OPEN);
	all = half + mr_sources_get(&l->sources, remote, MR_SOURCE_CONNECTIONS);
	return (o->source_connections && all >= o->source_connections) ||
	       (o->source_half_open && half >= o->source_half_open);
}

/* Where a SYN finds no room: enum mr_drop, or MR_DROP_NONE. */
static int lack_of_room(const struct mr_lane *l, const struct listener *asked,
			const struct lane_rule *rule)
{
	if (asked && asked->n_waiting + asked->n_half > asked->backlog)
		return MR_DROP_ACCEPT_FULL;
	if (rule_is_full(asked, rule))
		return MR_DROP_HALF_OPEN_FULL;
	return l->free_half == MR_NONE ? MR_DROP_HALF_OPEN_FULL : MR_DROP_NONE;
}

/*
 * A SYN that shall not become a record: answered by a cookie, which costs no memory. When the
 * accept queue itself is full, or without cookies, nobody answers: the peer sends it again.
 */
static bool is_done_without_record(struct mr_lane *l, const struct mr_segment *seg,
				   const struct listener *asked, struct lane_rule *rule,
				   const uint32_t *used, int *drop)
{
	uint8_t cookies = l->s.config->open.syn_cookies;
	int lack = lack_of_room(l, asked, rule);
	bool accept_full = asked && asked->n_waiting > asked->backlog;

	if (!accept_full && (cookies == MR_SYN_COOKIES_ALWAYS ||
			     (cookies == MR_SYN_COOKIES_AUTO && lack != MR_DROP_NONE))) {
		if (cookies == MR_SYN_COOKIES_AUTO)
			lane_overrun_begin(l);
		lane_cookie_send(l, seg, rule, used, drop);
		return true;
	}
	if (lack == MR_DROP_NONE)
		return false;
	if (lack == MR_DROP_ACCEPT_FULL)
		l->stats->accept_overflow++;
	else if (!rule_is_full(asked, rule) && evict_half(l))
		return false;
	*drop = lack;
	return true;
}

/*
 * A SYN for no connection that we know. Returns false when nobody listens: the caller answers.
 * @used: the last sequence number of an earlier connection of the same tuple, or NULL.
 */
bool lane_syn_arrives(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		      uint32_t frame, bool *kept, const uint32_t *used, int *drop)
{
	struct listener *asked = lane_listener_for(l, seg);
	struct lane_rule *rule = asked ? &l->rules[asked->rule] : lane_rule_for(l, seg);
	enum attached_answer attached;
	uint32_t i;

	if (!rule || rule->failed || l->draining || (asked && asked->owner_lane != l->s.lane))
		return false;
	attached = asked ? ATTACHED_OPEN
			 : lane_attached_answer(l, rule, seg->tuple.local,
						mr_be16(seg->tuple.local_port));
	if (attached == ATTACHED_NOBODY)
		return false;
	l->stats->syns_in++;
	if (attached == ATTACHED_FULL) {
		l->stats->accept_overflow++;
		*drop = MR_DROP_ACCEPT_FULL;
		return true;
	}
	if (lane_source_is_full(l, seg->tuple.remote)) {
		lane_full_note(l, seg->tuple.remote);
		*drop = MR_DROP_SOURCE_LIMIT;
		return true;
	}
	if (is_done_without_record(l, seg, asked, rule, used, drop))
		return true;
	if (!asked && !used && lane_fast_open(l, seg, hash, rule, frame, kept))
		return true;
	i = lane_half_take(l);
	lane_hold_in(&l->hand->half, i);
	if (!mr_tcp_listen_state(&l->tcp, seg, &l->halves[i])) {
		lane_half_give(l, i);
		lane_hold_in(&l->hand->half, MR_NONE);
		*drop = MR_DROP_TCP_FLAGS;
		return true;
	}
	mr_fast_open_note(&l->tcp, seg, &l->halves[i]);
	if (used) /* MAY-2 (1): above everything that the earlier connection used */
		l->halves[i].iss = mr_seq_max(l->halves[i].iss, *used + ISS_GAP);
	l->halves[i].rule = (uint16_t)(rule - l->rules);
	mr_half_open_choose_cc(&l->halves[i], seg, rule->config->cc, rule->config->ecn);
	lane_flow_insert(l, hash, mr_entry(MR_ENTRY_HALF, i));
	mr_half_open_send(&l->tcp, &l->halves[i]);
	lane_half_list(l, i);
	rule->half_open++;
	mr_sources_add(&l->sources, seg->tuple.remote, MR_SOURCE_HALF_OPEN);
	if (asked)
		asked->n_half++;
	lane_hold_in(&l->hand->half, MR_NONE);
	if (l->n_half_open > l->overrun_at)
		lane_overrun_begin(l);
	return true;
}

/* The handshake is done: the record becomes the block @c, in its place of the table. */
static void promote(struct mr_lane *l, uint32_t i, struct mr_conn *c, uint64_t hash)
{
	struct listener *asked = lane_listener_at(l, c->local, mr_be16(c->local_port));

	if (asked) {
		asked->n_half -= asked->n_half > 0;
		asked->n_waiting++;
		c->flags |= MR_CONN_IN_ACCEPT;
		l->stats->accept_queue++;
	}
	mr_table_replace(&l->table, hash, mr_entry(MR_ENTRY_HALF, i),
			 mr_entry(MR_ENTRY_CONN, conn_index(l, c)));
	lane_half_unlist(l, i);
	l->rules[l->halves[i].rule].half_open--;
	l->rules[c->rule].conns++;
	lane_half_give(l, i);
	mr_sources_add(&l->sources, c->remote, MR_SOURCE_CONNECTIONS);
	lane_source_sub(l, c->remote, MR_SOURCE_HALF_OPEN);
	l->stats->passive_opens++;
	lane_attached_promise(l, c);
}

/* A SYN again: our SYN-ACK was lost (its own list sends it, but the peer asks now). */
static bool is_same_syn(const struct mr_half_open *h, const struct mr_segment *seg)
{
	return (seg->flags & (MR_SYN | MR_ACK | MR_RST)) == MR_SYN && seg->seq == h->irs;
}

static void answer_again(struct mr_lane *l, uint32_t i)
{
	lane_half_unlist(l, i);
	mr_half_open_send(&l->tcp, &l->halves[i]);
	lane_half_list(l, i);
}

/* Where the expanded connection would wait; full: the final ACK is dropped, to come again. */
bool lane_accept_is_full(struct mr_lane *l, const struct mr_conn *c)
{
	struct listener *asked = lane_listener_at(l, c->local, mr_be16(c->local_port));

	if (asked)
		return asked->n_waiting > asked->backlog;
	return lane_attached_answer(l, rule_of(l, c), c->local, mr_be16(c->local_port)) ==
	       ATTACHED_FULL;
}

/* A final ACK finds the accept queue full. Returns true when it is reset: forget the handshake. */
bool lane_accept_overflow(struct mr_lane *l, const struct mr_segment *seg, int *drop)
{
	*drop = MR_DROP_ACCEPT_FULL;
	l->stats->accept_overflow++;
	if (l->s.config->open.overflow != MR_OVERFLOW_RESET)
		return false;
	l->stats->accept_resets++;
	mr_tcp_reply_rst(&l->tcp, seg);
	return true;
}

/* It did not become established: reset, back to LISTEN; or still half-open, and answered. */
static void throw_away(struct mr_lane *l, uint32_t i, struct mr_conn *c)
{
	if (c->state == MR_CLOSED) {
		lane_half_forget(l, i);
	} else {
		mr_tcp_output(&l->tcp, c);
		l->halves[i].ts_recent = c->ts_recent;
	}
	mr_wheel_disarm(&l->wheel, c);
	lane_conn_give(l, c);
}

/* Our route to the peer may have a smaller MTU than the interface. */
void lane_limit_to_route(struct mr_lane *l, struct mr_conn *c)
{
	uint32_t mtu = l->n_mtu_routes ? lane_route_mtu(l, c->remote) : 0;

	if (mtu)
		mr_tcp_limit_mtu(&l->tcp, c, mtu);
}

/*
 * A segment for a half-open connection runs through the ordinary steps, on the block that the
 * record expands to. A block that did not become established is thrown away again.
 */
void lane_half_arrives(struct mr_lane *l, uint32_t i, const struct mr_segment *seg, uint64_t hash,
		       uint32_t frame, bool *kept, int *drop)
{
	struct mr_half_open *h = &l->halves[i];
	struct mr_conn *c;

	if (is_same_syn(h, seg)) {
		mr_half_open_syn_again(h, seg);
		answer_again(l, i);
		return;
	}
	c = lane_conn_take(l);
	if (!c) {
		*drop = MR_DROP_NO_CONN;
		return;
	}
	lane_hold(l, conn_index(l, c));
	lane_hold_in(&l->hand->half, i);
	mr_half_open_expand(&l->tcp, h, c);
	lane_limit_to_route(l, c);
	if (seg->flags & MR_ACK && !(seg->flags & MR_RST) && lane_accept_is_full(l, c)) {
		if (lane_accept_overflow(l, seg, drop))
			lane_half_forget(l, i);
		lane_conn_give(l, c);
		lane_hold_in(&l->hand->half, MR_NONE);
		return;
	}
	c->flags |=
		MR_CONN_READY; /* not to be put on the list: the block may not outlive this call */
	*drop = mr_tcp_segment_arrives(&l->tcp, c, seg, frame, kept);
	c->flags &= ~MR_CONN_READY;
	if (c->state >= MR_ESTABLISHED) {
		if (*kept)
			l->frames.record[frame].owner = conn_index(l, c);
		promote(l, i, c, hash);
		lane_ready(l, c);
	} else {
		throw_away(l, i, c);
	}
	lane_hold_in(&l->hand->half, MR_NONE);
}

/* ----- time ----- */

static uint32_t expire_halves(struct mr_lane *l)
{
	uint32_t n = 0;

	for (uint32_t sends = 1; sends < HALF_LISTS; sends++) {
		uint32_t i;

		while ((i = l->half_list[sends].head) != MR_NONE &&
		       !mr_ms_before(l->tcp.now_ms, l->halves[i].expire_ms) && l->tx_room) {
			n++;
			if (sends <= l->s.config->open.syn_ack_retries) {
				answer_again(l, i);
				continue;
			}
			l->stats->half_open_expired++;
			lane_half_forget(l, i);
		}
	}
	return n;
}

uint32_t lane_expire_records(struct mr_lane *l)
{
	uint32_t n = l->n_half_open ? expire_halves(l) : 0;

	return l->wait_list.head == MR_NONE ? n : n + lane_expire_waits(l, false);
}

/* Milliseconds until a record expires, UINT32_MAX: none stands. */
uint32_t lane_next_record_ms(const struct mr_lane *l)
{
	uint32_t next = UINT32_MAX;

	for (uint32_t sends = 1; sends < HALF_LISTS; sends++) {
		uint32_t i = l->half_list[sends].head;
		uint32_t left;

		if (i == MR_NONE)
			continue;
		left = mr_ms_before(l->tcp.now_ms, l->halves[i].expire_ms)
			       ? l->halves[i].expire_ms - l->tcp.now_ms
			       : 0;
		next = left < next ? left : next;
	}
	if (!next && !l->tx_room) /* it waits for room in the ring */
		next = 1;
	if (l->wait_list.head != MR_NONE) {
		uint32_t left = mr_time_wait_left_ms(&l->tcp, &l->waits[l->wait_list.head]);

		next = left < next ? left : next;
	}
	return next;
}
