/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open on a lane (RFC 7413): a SYN with text and a good cookie makes a connection at once.
 * How many wait for their handshake's end is limited; one that is reset meanwhile counts on for a
 * while, else a forger of addresses that are reachable could start without end (5.1).
 */
#include "user/lane/internal.h"

/* Requests that count: those under way, and those that were reset not long ago. */
static uint32_t pending(struct mr_lane *l)
{
	while (l->fast_open_resets &&
	       !mr_ms_before(l->tcp.now_ms, l->fast_open_reset_ms[l->fast_open_reset_from])) {
		l->fast_open_reset_from = (l->fast_open_reset_from + 1) % MR_FAST_OPEN_PENDING_MOST;
		l->fast_open_resets--;
	}
	return l->fast_open_pending + l->fast_open_resets;
}

static bool may_take_text(struct mr_lane *l)
{
	if (pending(l) < l->s.config->open.fast_open_pending)
		return true;
	l->stats->fast_open_overflow++;
	return false;
}

/* Returns false when the SYN goes the ordinary way: its text is not acknowledged. */
bool lane_fast_open(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		    const struct lane_rule *rule, uint32_t frame, bool *kept)
{
	enum mr_fast_open cookie = mr_fast_open_of(&l->tcp, seg);
	struct mr_half_open half;
	struct mr_conn *c;

	if (cookie < MR_FAST_OPEN_OLD || !seg->len || l->frames.n_free <= l->frames.reserve ||
	    !may_take_text(l) || !mr_tcp_listen_state(&l->tcp, seg, &half))
		return false;
	c = lane_conn_take(l);
	if (!c)
		return false;
	lane_hold(l, conn_index(l, c));
	half.rule = (uint16_t)(rule - l->rules);
	mr_half_open_choose_cc(&half, seg, rule->config->cc, rule->config->ecn);
	half.flags &= (uint8_t) ~(MR_HALF_FAST_OPEN | MR_HALF_FAST_OPEN_EXP);
	half.accurate = 0; /* text may leave before the handshake is done: RFC 3168's will do */
	lane_flow_insert(l, hash, mr_entry(MR_ENTRY_CONN, conn_index(l, c)));
	l->fast_open_pending++;
	mr_fast_open_accept(&l->tcp, seg, &half, cookie, c, frame, kept);
	l->rules[c->rule].conns++;
	mr_sources_add(&l->sources, c->remote, MR_SOURCE_CONNECTIONS);
	lane_limit_to_route(l, c);
	if (*kept)
		l->frames.record[frame].owner = conn_index(l, c);
	lane_ready(l, c);
	return true;
}

/* The handshake is done, or will not be any more. */
void lane_fast_open_over(struct mr_lane *l, struct mr_conn *c)
{
	uint32_t at = (l->fast_open_reset_from + l->fast_open_resets) % MR_FAST_OPEN_PENDING_MOST;

	l->fast_open_pending--;
	if (c->state != MR_CLOSED) {
		l->stats->passive_opens++;
		return;
	}
	c->flags &= ~MR_CONN_FAST_OPEN;
	if (c->close_reason != MR_CLOSE_RESET_BY_PEER ||
	    l->fast_open_resets == MR_FAST_OPEN_PENDING_MOST)
		return;
	l->fast_open_reset_ms[at] = l->tcp.now_ms + MR_FAST_OPEN_RESET_MS;
	l->fast_open_resets++;
}
