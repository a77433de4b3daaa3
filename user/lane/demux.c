/* SPDX-License-Identifier: MIT */
/*
 * Whose is a frame? A connection's, a half-open or TIME-WAIT record's, another lane's, nobody's;
 * and what becomes of it.
 */
#include "user/lane/arrival.h"

enum {
	RECENT_BYTES = 65535, /* how far back text may lie that says where the peer is */
};

static void count_drop(struct mr_lane *l, int drop)
{
	uint64_t *counters = (uint64_t *)&l->stats->drop;

	if (drop >= 0 && drop < MR_DROP_COUNT)
		counters[drop]++;
}

/*
 * The peer moved, or its router did: what arrives in order says where answers go. So does text that
 * we have: it is sent again because our ACKs go where nobody is any more.
 */
static bool tells_path(const struct mr_segment *seg, int drop, uint32_t rcv_nxt)
{
	if (drop == MR_DROP_TCP_SEQUENCE)
		return !(seg->flags & (MR_SYN | MR_RST)) && seg->len &&
		       rcv_nxt - seg->seq <= RECENT_BYTES;
	return drop == MR_DROP_NONE && rcv_nxt - seg->seq <= RECENT_BYTES;
}

static void learn_path(struct mr_conn *c, const struct mr_segment *seg)
{
	if (__builtin_memcmp(c->peer_mac, seg->link.peer_mac, sizeof(c->peer_mac)) == 0 &&
	    c->vlan[0] == seg->link.vlan[0] && c->vlan[1] == seg->link.vlan[1])
		return;
	__builtin_memcpy(c->peer_mac, seg->link.peer_mac, sizeof(c->peer_mac));
	c->vlan[0] = seg->link.vlan[0];
	c->vlan[1] = seg->link.vlan[1];
}

/*
 * Of the very last frames none is kept for text, which the peer sends again: segments without text
 * must always be read, for what they acknowledge is what becomes free.
 */
static bool has_no_frame_for(const struct mr_lane *l, const struct mr_segment *seg)
{
	return seg->len && l->frames.n_free <= l->frames.reserve / 8;
}

static void conn_arrives(struct mr_lane *l, struct mr_conn *c, struct arrival *a, bool *kept)
{
	uint32_t rcv_nxt = c->state == MR_SYN_SENT ? a->seg.seq : c->rcv_nxt;

	lane_hold(l, conn_index(l, c));
	if (c->state == MR_CLOSED && lane_has_others(l) && c->close_reason == MR_CLOSE_DONE) {
		a->drop = MR_DROP_TCP_LATE;
		return;
	}
	a->drop = mr_tcp_segment_arrives(&l->tcp, c, &a->seg, a->frame, kept);
	if (tells_path(&a->seg, a->drop, rcv_nxt))
		learn_path(c, &a->seg);
	if (*kept)
		l->frames.record[a->frame].owner = conn_index(l, c);
}

static void wait_arrives(struct mr_lane *l, uint32_t i, struct arrival *a, bool *kept)
{
	uint16_t expires = l->waits[i].expire_half_s;
	uint32_t used = l->waits[i].snd_nxt;
	bool reopen;

	if (mr_time_wait_arrives(&l->tcp, &l->waits[i], &a->seg, &reopen)) {
		if (l->waits[i].expire_half_s != expires)
			lane_wait_restarted(l, i);
		return;
	}
	lane_wait_forget(l, i);
	if (reopen)
		lane_syn_arrives(l, &a->seg, a->hash, a->frame, kept, &used, &a->drop);
}

/* To another lane; what does not get there is dropped and counted. @opens: see lane_mail_send(). */
static void send_on(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail, uint32_t to,
		    enum mr_mail_kind kind, uint32_t origin, bool opens)
{
	uint32_t hops = mail ? mail->hops + 1u : 1;

	if (to >= l->s.n_lanes || to == l->s.lane || hops > 2 * l->s.n_lanes)
		a->drop = MR_DROP_MAIL_HOPS;
	else if (!lane_mail_send(l, to, kind, arrival_bytes(l, a), a->len, origin, hops, opens))
		a->drop = MR_DROP_MAIL_FULL;
}

/*
 * What follows a cookie, on another queue than the ACK that brings it: that may stand in a ring
 * that its lane has not looked at yet, or be on its way round the lanes itself, and nothing says
 * who opens the flow. So all are asked in turn, twice; each takes what came to itself before it
 * reads its mail.
 */
static uint32_t next_for_cookies(const struct mr_lane *l, const struct arrival *a,
				 const struct mr_mail *mail)
{
	uint32_t hops = mail ? mail->hops + 1u : 1, lanes;

	if (a->kind != MR_KIND_TCP || (a->seg.flags & (MR_SYN | MR_ACK | MR_RST)) != MR_ACK ||
	    !lane_has_others(l) || !lane_cookies_are_about(l))
		return MR_NONE;
	lanes = mr_mailbox_lanes(l->s.mailbox, l->s.n_lanes);
	return hops >= 2 * lanes ? MR_NONE : (l->s.lane + 1) % lanes;
}

/* Who else may know the flow? The next lane in turn, until all were asked that may. */
static bool hand_over(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail)
{
	uint32_t origin = mail ? mail->origin : l->s.lane;
	uint32_t next = lane_flow_next(l, a->hash, origin);
	bool opens = a->kind == MR_KIND_TCP && a->seg.flags & MR_SYN;

	if (next == MR_NONE) { /* nobody is known to have it: no more than new flows may take */
		next = next_for_cookies(l, a, mail);
		opens = true;
	}
	if (next == MR_NONE || (mail && mail->kind == MR_MAIL_YOURS))
		return false;
	send_on(l, a, mail, next, MR_MAIL_FLOW, origin, opens);
	return true;
}

/*
 * A segment that opens a connection: is it another lane's? Its listener's if there is one; else of
 * the lane that is opening the flow; else of one that has it, which all that may are asked; and
 * when none does it comes back to the lane that asked. True: nothing is left to do here.
 */
static bool is_opened_elsewhere(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail)
{
	const struct listener *asked = lane_has_others(l) ? lane_listener_for(l, &a->seg) : NULL;
	uint32_t origin = mail && mail->kind == MR_MAIL_FLOW ? mail->origin : l->s.lane;
	uint32_t to = l->s.lane;
	enum mr_mail_kind kind = MR_MAIL_YOURS;

	if (!lane_has_others(l) || (mail && mail->kind == MR_MAIL_YOURS))
		return false;
	if (asked) {
		to = asked->owner_lane;
	} else if (origin == l->s.lane) {
		to = lane_flow_claim(l, a->hash);
		kind = MR_MAIL_HERE;
	}
	if (to == l->s.lane && !asked) {
		to = lane_flow_next(l, a->hash, origin);
		kind = to == MR_NONE ? MR_MAIL_YOURS : MR_MAIL_FLOW;
		to = to == MR_NONE ? origin : to;
	}
	if (to == l->s.lane)
		return false;
	send_on(l, a, mail, to, kind, origin, kind == MR_MAIL_HERE || a->seg.flags & MR_SYN);
	if (a->drop != MR_DROP_NONE)
		lane_flow_release(l, a->hash, origin);
	return true;
}

static bool is_listening(struct mr_lane *l, const struct mr_segment *seg)
{
	return lane_listener_for(l, seg) || lane_rule_for(l, seg);
}

/*
 * The ACK of a cookie opens a connection, on one lane. False: it is none. @ours: a later SYN of the
 * flow stands here, so nobody else opens it.
 */
static bool cookie_arrives(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail,
			   bool ours, bool *kept)
{
	struct mr_half_open half;

	if (!lane_cookie_check(l, &a->seg, a->hash, &half))
		return false;
	if (!ours && is_opened_elsewhere(l, a, mail))
		return true;
	lane_cookie_open(l, &half, &a->seg, a->hash, a->frame, kept, &a->drop);
	lane_flow_release(l, a->hash, l->s.lane);
	return true;
}

static bool syn_arrives(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail,
			bool *kept)
{
	bool done = is_opened_elsewhere(l, a, mail);

	if (done)
		return true;
	done = lane_syn_arrives(l, &a->seg, a->hash, a->frame, kept, NULL, &a->drop);
	lane_flow_release(l, a->hash, l->s.lane);
	return done;
}

/* MUST-57, MUST-63: nobody opens a connection from, or to, the broadcast address of a network. */
static int drop_of_addresses(const struct mr_lane *l, const struct mr_tuple *tuple)
{
	if (lane_is_broadcast(l, tuple->remote))
		return MR_DROP_IP_SOURCE;
	return lane_is_broadcast(l, tuple->local) ? MR_DROP_IP_DESTINATION : MR_DROP_NONE;
}

/* No connection, half-open or TIME-WAIT record of this lane has the tuple. */
static void unknown_arrives(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail,
			    bool *kept)
{
	uint8_t bits = a->seg.flags & (MR_SYN | MR_ACK | MR_RST);

	a->drop = drop_of_addresses(l, &a->seg.tuple);
	if (a->drop != MR_DROP_NONE)
		return;
	if (bits == MR_SYN && syn_arrives(l, a, mail, kept))
		return;
	if (bits == MR_ACK && cookie_arrives(l, a, mail, false, kept))
		return;
	if (bits != MR_SYN && hand_over(l, a, mail))
		return;
	if (bits == MR_ACK && lane_flow_ended_lately(l, a->hash)) {
		a->drop = MR_DROP_TCP_LATE;
		return;
	}
	if (bits == MR_ACK)
		lane_cookie_failed(l, &a->seg);
	if (!bits && is_listening(l, &a->seg))
		a->drop = MR_DROP_TCP_FLAGS; /* 3.10.7.2, fourth: drop and return */
	else
		a->drop = mr_tcp_closed_state(&l->tcp, &a->seg);
}

/* An ACK that our SYN-ACK did not ask for: a cookie's, or the flow is another lane's after all. */
static bool is_foreign_ack(const struct mr_half_open *h, const struct mr_segment *seg)
{
	return (seg->flags & (MR_ACK | MR_RST)) == MR_ACK && seg->ack != h->iss + 1;
}

/*
 * MAY-2 without the SYN, which somebody else has answered: it was beyond everything that the old
 * connection could have sent.
 */
static bool is_reopened_by_cookie(struct mr_lane *l, uint32_t i, struct arrival *a, bool *kept)
{
	const struct mr_time_wait *w = &l->waits[i];
	struct mr_half_open half;

	if ((a->seg.flags & (MR_SYN | MR_ACK | MR_RST)) != MR_ACK ||
	    !mr_seq_lt(w->rcv_nxt, a->seg.seq - 1) || !mr_seq_lt(w->snd_nxt, a->seg.ack) ||
	    !lane_cookie_check(l, &a->seg, a->hash, &half))
		return false;
	lane_wait_forget(l, i);
	lane_cookie_open(l, &half, &a->seg, a->hash, a->frame, kept, &a->drop);
	return true;
}

static void tcp_arrives(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail,
			bool *kept)
{
	uint32_t entry = mr_table_find(&l->table, a->hash, &a->seg.tuple);
	uint32_t i = mr_entry_index(entry);

	if (entry == MR_ENTRY_NONE) {
		unknown_arrives(l, a, mail, kept);
		return;
	}
	if (mail) /* who asked opens nothing */
		lane_flow_release(l, a->hash, mail->origin);
	switch (mr_entry_kind(entry)) {
	case MR_ENTRY_CONN:
		a->guess = i;
		if (has_no_frame_for(l, &a->seg))
			a->drop = MR_DROP_NO_FRAME;
		else
			conn_arrives(l, &l->conns[i], a, kept);
		break;
	case MR_ENTRY_HALF:
		if (is_foreign_ack(&l->halves[i], &a->seg) &&
		    (cookie_arrives(l, a, mail, true, kept) || hand_over(l, a, mail)))
			break;
		lane_half_arrives(l, i, &a->seg, a->hash, a->frame, kept, &a->drop);
		break;
	case MR_ENTRY_TIME_WAIT:
		if (!is_reopened_by_cookie(l, i, a, kept))
			wait_arrives(l, i, a, kept);
		break;
	}
}

static void icmp_arrives(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail)
{
	uint32_t entry = mr_table_find(&l->table, a->hash, &a->icmp.tuple);

	if (entry == MR_ENTRY_NONE) {
		if (!hand_over(l, a, mail))
			a->drop = MR_DROP_ICMP_UNKNOWN;
		return;
	}
	if (mr_entry_kind(entry) != MR_ENTRY_CONN)
		return;
	lane_hold(l, mr_entry_index(entry));
	mr_tcp_icmp_arrives(&l->tcp, &l->conns[mr_entry_index(entry)], &a->icmp);
}

void lane_dispatch(struct mr_lane *l, struct arrival *a, const struct mr_mail *mail)
{
	bool kept = false;

	a->guess = MR_NONE;
	if (a->kind == MR_KIND_TCP) {
		a->drop = MR_DROP_NONE;
		tcp_arrives(l, a, mail, &kept);
	} else if (a->kind == MR_KIND_ICMP) {
		a->drop = MR_DROP_NONE;
		icmp_arrives(l, a, mail);
	}
	count_drop(l, a->drop);
	if (!kept)
		mr_frame_give(&l->frames, a->frame);
}
