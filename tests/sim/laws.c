/* SPDX-License-Identifier: MIT */
/*
 * Laws of a lane, looked at after every turn that did something: states, sequence numbers, queues,
 * frames, deadlines. What depends on an algorithm (congestion window and flight) is said as loosely
 * as every algorithm obeys it.
 */
#include "tests/sim/sim.h"

#include <string.h>

enum {
	RARELY = 16, /* turns between two looks at all frames of a lane with many */
	SMALL = 300, /* frames of a lane that is looked at each time */
};

static bool lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ----- states: RFC 9293 3.3.2, figure 5 ----- */

#define TO(state) (1u << MR_##state)

static const uint16_t figure[MR_TCP_STATE_COUNT] = {
	[MR_CLOSED] = TO(LISTEN) | TO(SYN_SENT),
	[MR_LISTEN] = TO(SYN_SENT) | TO(SYN_RECEIVED),
	/* to itself: a block that waited for its path stands in SYN-SENT already */
	[MR_SYN_SENT] = TO(SYN_SENT) | TO(SYN_RECEIVED) | TO(ESTABLISHED),
	[MR_SYN_RECEIVED] = TO(ESTABLISHED) | TO(FIN_WAIT_1) | TO(CLOSE_WAIT),
	[MR_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT),
	[MR_FIN_WAIT_1] = TO(FIN_WAIT_2) | TO(CLOSING) | TO(TIME_WAIT),
	[MR_FIN_WAIT_2] = TO(TIME_WAIT),
	[MR_CLOSE_WAIT] = TO(LAST_ACK),
	[MR_CLOSING] = TO(TIME_WAIT),
	[MR_LAST_ACK] = 0,
	[MR_TIME_WAIT] = 0,
};

/* What must be true of sequence numbers where the figure says "rcv FIN" or "rcv ACK of FIN". */
static const char *entering(const struct mr_conn *c, enum mr_tcp_state to)
{
	bool fin_came = c->flags & MR_CONN_FIN_RECEIVED;
	bool fin_acked = c->flags & MR_CONN_FIN_SENT && c->snd_una == c->snd_nxt;

	if ((to == MR_CLOSE_WAIT || to == MR_CLOSING || to == MR_TIME_WAIT) && !fin_came)
		return "entered without the peer's FIN";
	if ((to == MR_FIN_WAIT_2 || to == MR_TIME_WAIT) && !fin_acked)
		return "entered before our FIN was acknowledged";
	if ((to == MR_FIN_WAIT_1 || to == MR_LAST_ACK) && !(c->flags & MR_CONN_FIN_QUEUED))
		return "entered without a close";
	if (to == MR_ESTABLISHED && c->snd_una == c->iss)
		return "entered before our SYN was acknowledged";
	return NULL;
}

/* The linker leads every call of mr_tcp_set_state() here (-Wl,--wrap). */
void __real_mr_tcp_set_state(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_state to);
void __wrap_mr_tcp_set_state(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_state to);

void __wrap_mr_tcp_set_state(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_state to)
{
	struct mr_lane *l = lane_of(t);
	struct sim_lane *sl = l->s.clock_arg;
	const char *wrong = entering(c, to);

	sl->sim->result->changes++;
	if (to != MR_CLOSED && !(figure[c->state] >> to & 1))
		sim_fail(sl->sim, "%s to %s is not in the figure", mr_tcp_state_name(c->state),
			 mr_tcp_state_name(to));
	if (wrong && !sl->sim->header_altered)
		sim_fail(sl->sim, "%s %s", mr_tcp_state_name(to), wrong);
	__real_mr_tcp_set_state(t, c, to);
}

/* ----- round trips: RFC 6298 3 (Karn), RFC 7323 4 ----- */

void __real_mr_rtt_sample(struct mr_conn *c, uint32_t rtt_us);
void __wrap_mr_rtt_sample(struct mr_conn *c, uint32_t rtt_us);

static struct sim *sim_now; /* mr_rtt_sample() is told the connection alone */

static struct sim_end *end_of_block(const struct mr_conn *c)
{
	for (uint32_t i = 0; i < sim_now->n_lanes; i++) {
		struct mr_lane *l = sim_now->lane[i].lane;

		if (l && c >= l->conns && c < l->conns + l->n_conns)
			return sim_end_of(&sim_now->lane[i], c);
	}
	return NULL;
}

/* A sample begins where something was sent that was sent once, or where a timestamp says. */
static bool is_sample_true(const struct sim_end *e, const struct mr_conn *c, uint32_t rtt_us)
{
	const struct sim_wire *w = &e->wire;
	uint64_t now = sim_lane_ns(e->lane) / 1000;
	uint32_t n = w->n_sent < SIM_SENDS ? w->n_sent : SIM_SENDS;

	if (!w->n_sent || w->n_sent > SIM_SENDS)
		return true;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = w->sent[i].lane_us;

		if (!w->sent[i].again && (uint32_t)(now - at) == rtt_us)
			return true;
		/* a SYN that is asked for between turns leaves with the next one */
		if (!w->sent[i].again && w->sent[i].seq == w->iss && now - at < rtt_us)
			return true;
		if (c->flags & MR_CONN_TIMESTAMPS &&
		    (uint32_t)(now / 1000 - at / 1000) * 1000 == rtt_us)
			return true;
	}
	return c->flags & MR_CONN_TIMESTAMPS && rtt_us % 1000 == 0;
}

void __wrap_mr_rtt_sample(struct mr_conn *c, uint32_t rtt_us)
{
	struct sim_end *e = end_of_block(c);

	if (e && !sim_now->header_altered && !e->flow->odd && !is_sample_true(e, c, rtt_us))
		sim_fail(sim_now, "a round trip of %u us was taken from what was sent again",
			 rtt_us);
	__real_mr_rtt_sample(c, rtt_us);
}

/* ----- one connection ----- */

static bool is_armed(const struct mr_conn *c, enum mr_deadline which)
{
	return c->deadline[which] != 0;
}

static const char *sequence_laws(const struct mr_conn *c)
{
	uint32_t extra = !!(c->flags & MR_CONN_FIN_SENT) + (c->state < MR_ESTABLISHED);

	if (lt(c->snd_nxt, c->snd_una))
		return "snd_una is beyond snd_nxt";
	if (c->snd_nxt - c->snd_una > c->tx_bytes + extra)
		return "more is in flight than was queued";
	if (c->state >= MR_ESTABLISHED && lt(c->rcv_nxt, c->last_ack_sent))
		return "more was acknowledged than received";
	if (c->flags & MR_CONN_FIN_SENT && !(c->flags & MR_CONN_FIN_QUEUED))
		return "a FIN was sent that was not queued";
	if (c->state >= MR_ESTABLISHED && (!c->cwnd || c->cwnd > 1u << 30))
		return "the congestion window is absurd";
	if (c->state >= MR_ESTABLISHED && (c->rto_ms < 200 || c->rto_ms > 120000))
		return "the retransmission timeout is outside its bounds";
	return NULL;
}

/* Who waits has a deadline, or stands on a list of the turn. */
static const char *timer_laws(const struct mr_lane *l, const struct mr_conn *c)
{
	bool listed = c->flags & MR_CONN_READY;

	if (c->flags & MR_CONN_PATH_ASKED)
		return is_armed(c, MR_DEADLINE_MESSAGE) ? NULL : "waits for a path for ever";
	if (c->state == MR_TIME_WAIT || c->state < MR_SYN_SENT)
		return NULL;
	/* text of a SYN that the peer did not take is not on its way */
	if (c->snd_una != c->snd_nxt && !is_armed(c, MR_DEADLINE_RETRANSMIT) &&
	    !(listed && !mr_conn_flight(&l->tcp, c)))
		return "bytes are in flight and no retransmission is armed";
	if (c->tx_next != MR_NONE && l->frames.record[c->tx_next].len && !listed &&
	    !mr_conn_flight(&l->tcp, c) && !mr_tcp_next_deadline(&l->tcp, c))
		return "text waits and nothing will send it";
	if (c->tx_next != MR_NONE && l->frames.record[c->tx_next].len && !listed &&
	    !mr_conn_flight(&l->tcp, c) && !is_armed(c, MR_DEADLINE_RETRANSMIT) &&
	    !mr_pace_waits(&l->tcp, c))
		return "text waits and no probe is armed";
	if (c->flags & MR_CONN_FIN_QUEUED && !(c->flags & MR_CONN_FIN_SENT) &&
	    c->tx_next == MR_NONE && c->state >= MR_ESTABLISHED && !listed)
		return "a FIN waits and nothing will send it";
	if (c->state >= MR_ESTABLISHED && c->rcv_nxt != c->last_ack_sent && !listed &&
	    !is_armed(c, MR_DEADLINE_DELACK))
		return "an ACK is owed and none is coming";
	if (c->keep_idle_s && c->state >= MR_ESTABLISHED && !is_armed(c, MR_DEADLINE_KEEPALIVE))
		return "keepalive is on and not armed";
	if (c->flags & MR_CONN_ORPHAN && c->state == MR_FIN_WAIT_2 &&
	    !is_armed(c, MR_DEADLINE_KEEPALIVE))
		return "an orphan may stay in FIN-WAIT-2 for ever";
	return NULL;
}

/* The wheel's node, and the lane's sleep, are not later than the earliest deadline. */
static const char *wheel_laws(const struct mr_lane *l, const struct mr_conn *c, uint64_t wake_ns)
{
	uint32_t next = mr_tcp_next_deadline(&l->tcp, c);
	uint64_t left;

	if (!next)
		return NULL;
	if (!mr_wheel_is_armed(c))
		return "a deadline and no node in the wheel";
	if (lt(next, c->wheel_ms))
		return "the wheel's node fires after a deadline";
	left = lt(l->tcp.now_ms, next) ? next - l->tcp.now_ms : 0;
	if (wake_ns > (l->now_ns / SIM_MS + left + 1) * SIM_MS)
		return "the lane would oversleep a deadline";
	return NULL;
}

/* RFC 6675's pipe, but for what was sent twice: flight less what the peer has or is lost. */
static uint32_t pipe_of(const struct mr_lane *l, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&l->actives, c);
	uint32_t flight = mr_conn_flight(&l->tcp, c);
	uint32_t gone = a ? a->sacked + a->lost : 0;

	return flight > gone ? flight - gone : 0;
}

/* RFC 8985 7.3: one segment of new text, whatever the congestion window says. */
static bool is_tail_probe(const struct mr_lane *l, const struct mr_conn *c, const struct sim_end *e)
{
	const struct mr_active *a = mr_active_peek(&l->actives, c);

	return a && a->tlp_is_out && c->snd_nxt - e->stuck_una <= c->snd_mss;
}

/* More than the congestion window is in flight only while loss is repaired, or probed for. */
static const char *window_laws(const struct sim_lane *sl, const struct mr_conn *c)
{
	const struct mr_lane *l = sl->lane;
	uint32_t flight = pipe_of(l, c);
	uint32_t before = sl->cwnd_was[conn_index(l, c)];
	uint32_t cwnd = before > c->cwnd ? before : c->cwnd;
	uint32_t slack = c->flags & MR_CONN_SACK ? 3 * c->snd_mss : 0;
	struct sim_end *e = sl->end_of[conn_index(l, c)];

	if (!e || c->state < MR_ESTABLISHED || c->state == MR_TIME_WAIT || c->dupacks ||
	    c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY | MR_CONN_PROBING) || !before)
		return NULL;
	/* a FIN of its own is no text: it goes when text of the handshake has used the window up */
	if (flight > cwnd + slack + 1 &&
	    c->snd_nxt - !!(c->flags & MR_CONN_FIN_SENT) != e->stuck_una &&
	    c->snd_nxt != e->stuck_una && !is_tail_probe(l, c, e))
		return "more is in flight than the congestion window";
	return NULL;
}

static const char *conn_laws(const struct sim_lane *sl, const struct mr_conn *c, uint64_t wake_ns)
{
	const char *wrong = sequence_laws(c);

	wrong = wrong ? wrong : timer_laws(sl->lane, c);
	wrong = wrong ? wrong : wheel_laws(sl->lane, c, wake_ns);
	wrong = wrong ? wrong : sim_timeout_laws(sl->lane, c);
	return wrong ? wrong : window_laws(sl, c);
}

/* ----- queues and frames ----- */

/* Walk a list; returns bytes in it, or UINT32_MAX when a frame is where it may not be. */
static uint32_t walk(struct sim_lane *sl, uint32_t head, uint16_t states, uint32_t *tail)
{
	const struct mr_frames *f = &sl->lane->frames;
	uint32_t bytes = 0;

	*tail = MR_NONE;
	for (uint32_t i = head; i != MR_NONE; i = f->record[i].next) {
		if (i >= f->count || sl->mark[i] || !(states >> f->record[i].state & 1))
			return UINT32_MAX;
		sl->mark[i] = 1;
		bytes += f->record[i].len;
		*tail = i;
	}
	return bytes;
}

static const char *send_queue_laws(struct sim_lane *sl, const struct mr_conn *c)
{
	const struct mr_frames *f = &sl->lane->frames;
	bool syn = c->state < MR_ESTABLISHED && !(c->flags & MR_CONN_FAST_OPEN);
	uint32_t seq = c->snd_una + (syn && !(c->flags & MR_CONN_PATH_ASKED));
	bool found = c->tx_next == MR_NONE;
	uint32_t tail;

	if (walk(sl, c->tx_head, 1 << MR_FRAME_TX | 1 << MR_FRAME_SENT, &tail) != c->tx_bytes ||
	    tail != c->tx_tail)
		return "the send queue is not what its block says";
	for (uint32_t i = c->tx_head; i != MR_NONE; i = f->record[i].next) {
		if (f->record[i].len && f->record[i].seq != seq)
			return "the send queue has a gap";
		seq += f->record[i].len;
		found = found || i == c->tx_next;
	}
	return found ? NULL : "tx_next is not in the send queue";
}

static const char *receive_laws(struct sim_lane *sl, const struct mr_conn *c)
{
	const struct mr_frames *f = &sl->lane->frames;
	uint32_t seq = c->rcv_nxt;
	uint32_t tail;

	if (walk(sl, c->rx_head, 1 << MR_FRAME_RX, &tail) != c->rx_bytes || tail != c->rx_tail)
		return "the receive queue is not what its block says";
	if (walk(sl, c->ooo_head, 1 << MR_FRAME_OOO, &tail) == UINT32_MAX)
		return "a frame out of order is in two places";
	for (uint32_t i = c->ooo_head; i != MR_NONE; i = f->record[i].next) {
		const struct mr_frame *r = &f->record[i];

		if (lt(r->seq, seq) || (i == c->ooo_head && r->seq == seq))
			return "the out-of-order list overlaps";
		seq = r->seq + r->len;
	}
	if (c->ooo_head != MR_NONE && lt(c->rcv_nxt + c->rcv_wnd, seq))
		return "text beyond the window was kept";
	return NULL;
}

/* Every frame is in one place, and the counters say in which. */
static const char *frame_laws(struct sim_lane *sl)
{
	const struct mr_frames *f = &sl->lane->frames;
	const struct sim_port *p = &sl->port;
	uint32_t n[MR_FRAME_STATE_COUNT] = { 0 };
	uint32_t in_tx = 0, n_free = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		uint8_t state = f->record[i].state;
		bool queued = state == MR_FRAME_RX || state == MR_FRAME_OOO ||
			      state == MR_FRAME_TX || state == MR_FRAME_SENT;

		n[state]++;
		in_tx += f->record[i].in_tx;
		if (queued != sl->mark[i])
			return "a frame belongs to no queue";
		if (state == MR_FRAME_CTL && !f->record[i].in_tx)
			return "a control frame is nobody's";
	}
	for (uint32_t i = 0; i < MR_FRAME_STATE_COUNT; i++)
		if (n[i] != f->by_state[i])
			return "the count of frames by state is wrong";
	for (uint32_t i = f->free_head; i != MR_NONE && n_free <= f->count; i = f->record[i].next)
		n_free++;
	if (n_free != f->n_free || n_free != n[MR_FRAME_FREE])
		return "the free list is wrong";
	if (n[MR_FRAME_HAND])
		return "a frame stayed in hand";
	if (n[MR_FRAME_FILL] != p->fill.tail - p->fill.head + p->rx.tail - p->rx.head)
		return "posted frames were lost";
	if (in_tx != p->tx.tail - p->tx.head + p->completion.tail - p->completion.head)
		return "frames at the kernel were lost";
	return NULL;
}

/* ----- a lane ----- */

static void say_wrong(struct sim_lane *sl, const struct mr_conn *c, const char *wrong)
{
	struct sim_end *e = sl->end_of[conn_index(sl->lane, c)];

	sim_fail(sl->sim, "%s, flow %d in %s: %s", sl->side == SIM_SERVER ? "server" : "client",
		 e ? (int)e->flow->number : -1, mr_tcp_state_name(c->state), wrong);
}

/* Before a turn: what it may use of the congestion window. */
void sim_laws_before(struct sim_lane *sl)
{
	sim_now = sl->sim;
	for (uint32_t i = 0; i < sl->lane->header->conns_used; i++) {
		const struct mr_conn *c = &sl->lane->conns[i];

		if (c->state >= MR_ESTABLISHED && sim_end_of(sl, c))
			sim_pace_turn(sim_end_of(sl, c), sl->lane, c);
		if (sim_end_of(sl, c))
			sim_end_of(sl, c)->n_urged_before = sim_end_of(sl, c)->n_urged;
		sl->cwnd_was[i] = c->state >= MR_ESTABLISHED ? c->cwnd : 0;
		if (sl->end_of[i])
			sl->end_of[i]->stuck_una = c->snd_nxt;
	}
}

static bool queue_laws(struct sim_lane *sl, const struct mr_conn *c)
{
	const char *wrong = send_queue_laws(sl, c);

	wrong = wrong ? wrong : receive_laws(sl, c);
	if (wrong)
		say_wrong(sl, c, wrong);
	return !wrong;
}

void sim_laws(struct sim_lane *sl, bool all)
{
	const struct mr_lane *l = sl->lane;
	uint64_t wake_ns = mr_lane_next_ns(l);
	const char *wrong;

	all = all || l->frames.count + l->header->conns_used < SMALL || sl->checks++ % RARELY == 0;
	if (all)
		memset(sl->mark, 0, l->frames.count);
	for (uint32_t i = 0; i < l->header->conns_used; i++) {
		const struct mr_conn *c = &l->conns[i];

		if (c->state == MR_CLOSED)
			continue;
		wrong = conn_laws(sl, c, wake_ns);
		if (wrong)
			say_wrong(sl, c, wrong);
		if (all && !queue_laws(sl, c))
			return;
	}
	sim_open_laws(sl);
	wrong = all ? frame_laws(sl) : NULL;
	if (wrong)
		sim_fail(sl->sim, "%s: %s", sl->side == SIM_SERVER ? "server" : "client", wrong);
}

/* ----- ends ----- */

/* In LAST-ACK the connection ends with the last byte that is read: nobody is told of the end. */
static bool has_read_all(struct sim_end *e)
{
	const struct sim_end *p = sim_peer(e);

	return e->eof || ((p->shut || p->gave_back) && e->received == p->written);
}

/* Did the peer's host send an RST there, for whichever connection of the port? */
static bool was_reset(const struct sim_end *e)
{
	const struct mr_conn *c = e->id ? lane_conn_find(e->lane->lane, e->id) : NULL;
	uint16_t port = e->flow->client_port;

	if (c)
		port = mr_be16(e->side == SIM_CLIENT ? c->local_port : c->remote_port);
	return e->sim->reset[!e->side][e->flow->ipv6][port];
}

/*
 * Our FIN, or its ACKs, were lost for longer than the peer's TIME-WAIT: it has forgotten us, and
 * says so (RFC 9293 3.10.7.1). It had read everything, and everything of it had arrived.
 */
static bool outlived_time_wait(struct sim_end *e)
{
	struct sim_end *p = sim_peer(e);
	uint64_t wait_ns = e->sim->scenario.host[p->side].time_wait_ms * (uint64_t)SIM_MS;

	return e->reason == MR_CLOSE_RESET_BY_PEER && p->closed && p->reason == MR_CLOSE_DONE &&
	       e->sim->now_ns >= p->closed_ns + wait_ns && has_read_all(p);
}

/* A connection ends with a reason, and the reason is true. */
void sim_laws_closed(struct sim_end *e)
{
	struct sim *s = e->sim;
	bool reset = was_reset(e);

	if (e->reason <= MR_CLOSE_NONE || e->reason >= MR_CLOSE_REASON_COUNT)
		sim_fail(s, "a connection ended without a reason");
	if (s->header_altered)
		return;
	if ((e->reason == MR_CLOSE_RESET_BY_PEER || e->reason == MR_CLOSE_REFUSED) && !reset)
		sim_fail(s, "a connection was reset and the peer sent no RST");
	if (e->reason == MR_CLOSE_USER_TIMEOUT) {
		uint32_t limit = e->opened && e->user_timeout_ms
					 ? e->user_timeout_ms
					 : s->scenario.host[e->side].user_timeout_ms;

		s->result->seen[SIM_SEEN_TIMEOUT]++;
		if (!limit || (e->wire.acked_ms &&
			       sim_lane_ns(e->lane) / SIM_MS - e->wire.acked_ms + 1 < limit))
			sim_fail(s, "flow %u, %s: the user time-out came too early",
				 e->flow->number, e->side == SIM_SERVER ? "server" : "client");
	}
	if (e->reason == MR_CLOSE_ABORTED && !e->gave_back && !e->reaped)
		sim_fail(s, "a connection was aborted by nobody");
	if (sim_flow_is_strict(s, e->flow) && e->reason != MR_CLOSE_DONE && !outlived_time_wait(e))
		sim_fail(s, "flow %u, %s ended: %s", e->flow->number,
			 e->side == SIM_SERVER ? "server" : "client",
			 mr_close_reason_text(e->reason));
	if (e->reason == MR_CLOSE_DONE && !e->gave_back && !reset && !has_read_all(e))
		sim_fail(s, "flow %u, %s ended in order before its end", e->flow->number,
			 e->side == SIM_SERVER ? "server" : "client");
}

static void flow_at_end(struct sim *s, struct sim_flow *f)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct sim_end *e = &f->end[i];

		if (e->id && !e->closed)
			sim_fail(s, "flow %u never ended", f->number);
		else if (sim_flow_is_strict(s, f) &&
			 (!has_read_all(e) || e->received != sim_peer(e)->to_send))
			sim_fail(s, "flow %u: %llu of %llu bytes arrived", f->number,
				 (unsigned long long)e->received,
				 (unsigned long long)sim_peer(e)->to_send);
	}
}

static void lane_at_end(struct sim_lane *l)
{
	const struct mr_lane_stats *st = &l->stats;
	uint64_t reasons = 0;

#define R(name, field, error, text) reasons += st->closed.field;
	MR_CLOSE_REASONS(R)
#undef R
	if (st->connections || st->half_open || st->time_wait || st->accept_queue)
		sim_fail(l->sim, "records stayed: %llu connections, %llu half open, %llu waiting",
			 (unsigned long long)st->connections, (unsigned long long)st->half_open,
			 (unsigned long long)st->time_wait);
	if (reasons != st->closes || st->closed.none)
		sim_fail(l->sim, "ends and reasons differ");
	if (st->frames.rx + st->frames.ooo + st->frames.tx + st->frames.sent + st->frames.ctl)
		sim_fail(l->sim, "frames stayed in use");
	sim_open_at_end(l);
	sim_laws(l, true);
}

/* What a net without faults, or with one, may not need. */
static void calm_at_end(struct sim *s)
{
	const struct sim_link *l = &s->scenario.link[SIM_SERVER];
	uint64_t bytes = s->flow[0]->end[SIM_SERVER].to_send;
	uint64_t took = s->flow[0]->done_ns - s->start_ns;
	uint64_t most;

	if (s->scenario.class != SIM_CALM && s->scenario.class != SIM_SINGLE)
		return;
	most = 2 * (bytes * 8 * SIM_SECOND / l->rate_bps) + 40 * l->delay_ns + 300ull * SIM_MS;
	if (s->lane[0].stats.retransmit_timeouts + s->lane[1].stats.retransmit_timeouts)
		sim_fail(s, "a timeout that nothing called for");
	if (took > most)
		sim_fail(s, "%llu bytes took %llu ms, %llu are enough", (unsigned long long)bytes,
			 (unsigned long long)took / SIM_MS, (unsigned long long)most / SIM_MS);
}

void sim_laws_at_end(struct sim *s)
{
	for (uint32_t i = 0; i < s->n_flows; i++)
		flow_at_end(s, s->flow[i]);
	for (uint32_t i = 0; i < s->n_lanes; i++)
		lane_at_end(&s->lane[i]);
	calm_at_end(s);
}
