/* SPDX-License-Identifier: MIT */
/*
 * Passive opens without a record: SYNs answered by a cookie, and connections made by its ACK.
 *
 * An ACK is held against the cookies only after a lane of the interface sent one not long ago, and
 * only once: the same segment again after the connection's end, delayed or replayed, opens nothing.
 */
#include "user/lane/internal.h"
#include "user/tcp/cookies.h"

enum {
	COOKIE_MS = MR_COOKIE_MINUTES * 60000,
};

/* Cookies are about from now on, for as long as they are good. */
void lane_cookie_note(struct mr_lane *l)
{
	l->hand->cookie_ms = l->tcp.now_ms;
	if (l->s.mailbox)
		__atomic_store_n(&l->s.mailbox->cookie_ms, l->tcp.now_ms, __ATOMIC_RELAXED);
}

void lane_cookie_send(struct mr_lane *l, const struct mr_segment *seg, const struct lane_rule *rule,
		      const uint32_t *used, int *drop)
{
	if (!mr_cookie_send(&l->tcp, seg, (uint16_t)(rule - l->rules), used)) {
		*drop = used ? MR_DROP_HALF_OPEN_FULL : MR_DROP_TCP_FLAGS;
		return;
	}
	lane_cookie_note(l);
}

static bool is_recent(const struct mr_lane *l, uint32_t ms)
{
	return ms && l->tcp.now_ms - ms < COOKIE_MS;
}

/* Did any lane that shares our queues' flows send a cookie that may still come back? */
bool lane_cookies_are_about(const struct mr_lane *l)
{
	if (is_recent(l, l->hand->cookie_ms))
		return true;
	return l->s.mailbox &&
	       is_recent(l, __atomic_load_n(&l->s.mailbox->cookie_ms, __ATOMIC_RELAXED));
}

static uint64_t *seen_at(struct mr_lane *l, uint64_t hash, uint32_t ack, uint64_t *mark)
{
	*mark = hash ^ ((uint64_t)ack << 32 | ack);
	return &l->hand->cookie_seen[*mark % MR_COOKIES_SEEN];
}

static bool was_seen(struct mr_lane *l, uint64_t hash, uint32_t ack)
{
	uint64_t mark;

	return *seen_at(l, hash, ack, &mark) == mark;
}

static void note_seen(struct mr_lane *l, uint64_t hash, uint32_t ack)
{
	uint64_t mark;
	uint64_t *at = seen_at(l, hash, ack, &mark);

	*at = mark;
}

/* Into the table, in the place of a record that an earlier SYN of the tuple had left. */
static void enter(struct mr_lane *l, struct mr_conn *c, uint64_t hash)
{
	uint32_t other = mr_table_find(&l->table, hash, mr_conn_tuple(c));
	struct listener *asked = lane_listener_at(l, c->local, mr_be16(c->local_port));

	if (other != MR_ENTRY_NONE && mr_entry_kind(other) == MR_ENTRY_HALF)
		lane_half_forget(l, mr_entry_index(other));
	mr_sources_add(&l->sources, c->remote, MR_SOURCE_CONNECTIONS);
	lane_flow_insert(l, hash, mr_entry(MR_ENTRY_CONN, conn_index(l, c)));
	if (asked) {
		asked->n_waiting++;
		c->flags |= MR_CONN_IN_ACCEPT;
		l->stats->accept_queue++;
	}
	l->rules[c->rule].conns++;
	l->stats->passive_opens++;
	l->stats->cookies_accepted++;
	lane_attached_promise(l, c);
}

/* The cookie is good: the block, and the segment through the ordinary steps. */
void lane_cookie_open(struct mr_lane *l, const struct mr_half_open *half,
		      const struct mr_segment *seg, uint64_t hash, uint32_t frame, bool *kept,
		      int *drop)
{
	struct mr_conn *c;

	if (lane_source_is_full(l, seg->tuple.remote)) {
		*drop = MR_DROP_SOURCE_LIMIT;
		return;
	}
	c = lane_conn_take(l);
	if (!c) {
		*drop = MR_DROP_NO_CONN;
		return;
	}
	lane_hold(l, conn_index(l, c));
	mr_half_open_expand(&l->tcp, half, c);
	lane_limit_to_route(l, c);
	if (lane_accept_is_full(l, c)) {
		lane_accept_overflow(l, seg, drop);
		lane_conn_give(l, c);
		return;
	}
	c->flags |= MR_CONN_READY; /* not on the list before it stands in the table */
	*drop = mr_tcp_segment_arrives(&l->tcp, c, seg, frame, kept);
	c->flags &= ~MR_CONN_READY;
	if (c->state < MR_ESTABLISHED) {
		mr_wheel_disarm(&l->wheel, c);
		lane_conn_give(l, c);
		return;
	}
	if (*kept)
		l->frames.record[frame].owner = conn_index(l, c);
	note_seen(l, hash, seg->ack);
	enter(l, c, hash);
	lane_ready(l, c);
}

static struct lane_rule *rule_for(struct mr_lane *l, const struct mr_segment *seg,
				  const struct listener *asked)
{
	struct lane_rule *rule;

	if (!l->s.config->open.syn_cookies || !lane_cookies_are_about(l))
		return NULL;
	rule = asked ? &l->rules[asked->rule] : lane_rule_for(l, seg);
	return rule && !rule->failed ? rule : NULL;
}

/*
 * An ACK for no connection of this lane. False: it is no cookie of ours, or one that opened a
 * connection already.
 */
bool lane_cookie_check(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		       struct mr_half_open *half)
{
	struct lane_rule *rule = rule_for(l, seg, lane_listener_for(l, seg));

	if (!rule || !mr_cookie_check(&l->tcp, seg, half) || was_seen(l, hash, seg->ack))
		return false;
	half->rule = (uint16_t)(rule - l->rules);
	half->cc = rule->config->cc;
	return true;
}

/* An ACK that no lane knows is about to be answered: was it meant for a cookie? */
void lane_cookie_failed(struct mr_lane *l, const struct mr_segment *seg)
{
	if (rule_for(l, seg, lane_listener_for(l, seg)))
		l->stats->cookies_failed++;
}
