/* SPDX-License-Identifier: MIT */
/*
 * What is told of a connection, a half-open one, and one in TIME-WAIT. Every word of a record is
 * taken for hostile: nothing in it is followed but by mr_arena_one(), which checks, all else is
 * only printed, and enums are bounded.
 */
#include <string.h>

#include "shared/mr_cc.h"
#include "user/daemon/arenas.h"
#include "user/daemon/conns.h"

enum {
	OF_CONN = 1 << 0,
	OF_HALF_OPEN = 1 << 1,
	OF_TIME_WAIT = 1 << 2,
	OF_OPEN = OF_CONN | OF_HALF_OPEN,
	OF_ALL = OF_OPEN | OF_TIME_WAIT,
	NEEDS_ACTIVE = 1 << 3,
	NEEDS_SESSION = 1 << 4,
};

static const char *const state_names[] = MR_TCP_STATE_NAMES;

static const char *const close_names[] = {
#define R(name, field, error, text) #field,
	MR_CLOSE_REASONS(R)
#undef R
};

/* ----- who ----- */

static const struct mr_lane *lane_of(const struct mr_conns_row *r)
{
	return &r->c->d->lanes[r->lane];
}

static void put_interface(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_string(o, mr_lane_link(r->c->d, lane_of(r))->name);
}

static void put_queue(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_number(o, lane_of(r)->index);
}

static void put_id(struct mr_out *o, const struct mr_conns_row *r)
{
	if (o->json)
		mr_out_text(o, "\"", 1);
	mr_out_number(o, r->index);
	mr_out_text(o, ".", 1);
	mr_out_number(o, r->conn->generation);
	if (o->json)
		mr_out_text(o, "\"", 1);
}

static void put_local(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_address(o, r->local);
}

static void put_local_port(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_number(o, r->local_port);
}

static void put_remote(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_address(o, r->remote);
}

static void put_remote_port(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_number(o, r->remote_port);
}

static void put_state(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_string(o, state_names[r->state]);
}

/* NULL: of no rule that is known. */
static const struct mr_lane_rule *rule_of(const struct mr_conns_row *r)
{
	const struct mr_settings *s = &r->c->d->settings;
	uint16_t id = r->conn ? r->conn->rule : r->half_open->rule;

	return id < s->n_rules && s->rules[id].lane.state != MR_RULE_FREE ? &s->rules[id].lane
									  : NULL;
}

static void put_rule(struct mr_out *o, const struct mr_conns_row *r)
{
	const struct mr_lane_rule *rule = rule_of(r);

	if (rule)
		mr_out_string(o, rule->name);
	else
		mr_out_null(o);
}

static void put_app(struct mr_out *o, const struct mr_conns_row *r)
{
	const struct mr_lane_rule *rule = rule_of(r);

	if (rule)
		mr_out_string(o, rule->app);
	else
		mr_out_null(o);
}

static void put_mac(struct mr_out *o, const struct mr_conns_row *r)
{
	static const char digits[] = "0123456789abcdef";
	char text[18];

	for (int i = 0; i < 6; i++) {
		text[3 * i] = digits[r->conn->peer_mac[i] >> 4];
		text[3 * i + 1] = digits[r->conn->peer_mac[i] & 15];
		text[3 * i + 2] = i < 5 ? ':' : '\0';
	}
	mr_out_string(o, text);
}

/* ----- lists: ["a","b"], or a,b ----- */

struct items {
	struct mr_out *o;
	bool any;
};

static struct items items_begin(struct mr_out *o, const char *bracket)
{
	if (o->json)
		mr_out_text(o, bracket, 1);
	return (struct items){ .o = o };
}

static void items_next(struct items *i)
{
	if (i->any)
		mr_out_text(i->o, ",", 1);
	i->any = true;
}

static void items_end(struct items *i, const char *bracket)
{
	if (i->o->json)
		mr_out_text(i->o, bracket, 1);
	else if (!i->any)
		mr_out_null(i->o);
}

static void put_vlan(struct mr_out *o, const struct mr_conns_row *r)
{
	struct items list = items_begin(o, "[");

	for (int i = 0; i < 2; i++)
		if (r->conn->vlan[i] & 0xfff) {
			items_next(&list);
			mr_out_number(o, r->conn->vlan[i] & 0xfff);
		}
	items_end(&list, "]");
}

static void put_timers(struct mr_out *o, const struct mr_conns_row *r)
{
	static const char *const names[MR_DEADLINE_COUNT] = {
		[MR_DEADLINE_RETRANSMIT] = "retransmit", [MR_DEADLINE_DELACK] = "delayed_ack",
		[MR_DEADLINE_KEEPALIVE] = "keepalive",	 [MR_DEADLINE_APP] = "app",
		[MR_DEADLINE_MESSAGE] = "message",
	};
	struct items list = items_begin(o, "{");

	for (int i = 0; i < MR_DEADLINE_COUNT; i++) {
		const char *name = names[i];

		if (!r->conn->deadline[i])
			continue;
		if (i == MR_DEADLINE_RETRANSMIT && r->conn->flags & MR_CONN_PROBING)
			name = "probe";
		items_next(&list);
		mr_out_string(o, name);
		mr_out_text(o, o->json ? ":" : "=", 1);
		mr_out_signed(o, (int32_t)(r->conn->deadline[i] - r->now_ms));
	}
	items_end(&list, "}");
}

static void put_flags(struct mr_out *o, const struct mr_conns_row *r)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} table[] = {
		{ MR_CONN_FIN_QUEUED, "fin_queued" },
		{ MR_CONN_FIN_SENT, "fin_sent" },
		{ MR_CONN_FIN_RECEIVED, "fin_received" },
		{ MR_CONN_RECOVERY, "recovery" },
		{ MR_CONN_RTO_RECOVERY, "rto_recovery" },
		{ MR_CONN_SHUT_RD, "shut_rd" },
		{ MR_CONN_ORPHAN, "orphan" },
		{ MR_CONN_READY, "ready" },
		{ MR_CONN_PROBING, "probing" },
		{ MR_CONN_PAUSED, "paused" },
		{ MR_CONN_BLOCKED, "blocked" },
		{ MR_CONN_WANT_WRITE, "want_write" },
		{ MR_CONN_IN_ACCEPT, "in_accept" },
		{ MR_CONN_PATH_ASKED, "path_asked" },
		{ MR_CONN_SEND_LIMITED, "send_limited" },
		{ MR_CONN_CWND_LIMITED, "cwnd_limited" },
		{ MR_CONN_ECE_OWED, "ece_owed" },
		{ MR_CONN_CWR_OWED, "cwr_owed" },
	};
	struct items list = items_begin(o, "[");

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (r->conn->flags & table[i].bit) {
			items_next(&list);
			mr_out_string(o, table[i].name);
		}
	items_end(&list, "]");
}

/* ----- how much, how fast ----- */

static uint32_t in_flight(const struct mr_conn *c)
{
	uint32_t n = c->snd_nxt - c->snd_una;

	return n > INT32_MAX ? 0 : n;
}

/* Zero when it is in the future. */
static void put_since(struct mr_out *o, const struct mr_conns_row *r, uint32_t then)
{
	uint32_t d = r->now_ms - then;

	mr_out_number(o, d > INT32_MAX ? 0 : d);
}

static void put_age(struct mr_out *o, const struct mr_conns_row *r)
{
	put_since(o, r, r->conn->opened_ms);
}

static void put_idle(struct mr_out *o, const struct mr_conns_row *r)
{
	put_since(o, r, r->conn->received_ms);
}

static void put_unacked(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_number(o, in_flight(r->conn));
}

/* SYN takes the first number of each side. */
static void put_bytes(struct mr_out *o, uint16_t wraps, uint32_t next, uint32_t initial)
{
	mr_out_number(o, ((uint64_t)wraps << 32) + (next == initial ? 0 : next - initial - 1));
}

static void put_bytes_received(struct mr_out *o, const struct mr_conns_row *r)
{
	put_bytes(o, r->conn->rcv_wraps, r->conn->rcv_nxt, r->conn->irs);
}

static void put_bytes_sent(struct mr_out *o, const struct mr_conns_row *r)
{
	put_bytes(o, r->conn->snd_wraps, r->conn->snd_una, r->conn->iss);
}

static void put_known(struct mr_out *o, bool known, uint64_t v)
{
	if (known)
		mr_out_number(o, v);
	else
		mr_out_null(o);
}

static void put_srtt(struct mr_out *o, const struct mr_conns_row *r)
{
	put_known(o, r->conn->srtt_us, r->conn->srtt_us / 8);
}

static void put_rttvar(struct mr_out *o, const struct mr_conns_row *r)
{
	put_known(o, r->conn->srtt_us, r->conn->rttvar_us / 4);
}

static void put_cc(struct mr_out *o, const struct mr_conns_row *r)
{
	if (r->conn->cc < MR_CC_COUNT)
		mr_out_string(o, mr_cc_names()[r->conn->cc]);
	else
		mr_out_null(o);
}

static void put_ssthresh(struct mr_out *o, const struct mr_conns_row *r)
{
	put_known(o, r->conn->ssthresh < INT32_MAX, r->conn->ssthresh);
}

/*
 * RFC 4898's SndLimState, of this moment: what keeps text from leaving. "snd": there is none to
 * send, or frames, pacing or Nagle's algorithm hold it.
 */
static void put_limited_by(struct mr_out *o, const struct mr_conns_row *r)
{
	const struct mr_conn *c = r->conn;
	uint64_t flight = in_flight(c), unsent = c->tx_bytes > flight ? c->tx_bytes - flight : 0;
	uint64_t next = unsent < c->snd_mss ? unsent : c->snd_mss;

	if (!unsent || c->flags & MR_CONN_SEND_LIMITED)
		mr_out_string(o, "snd");
	else if (flight + next > c->snd_wnd)
		mr_out_string(o, "rwin");
	else if (flight + next > c->cwnd)
		mr_out_string(o, "cwin");
	else
		mr_out_string(o, "snd");
}

#define NUMBER(name, field)                                                                        \
	static void put_##name(struct mr_out *o, const struct mr_conns_row *r)                     \
	{                                                                                          \
		mr_out_number(o, r->field);                                                        \
	}

#define FLAG(name, expression)                                                                     \
	static void put_##name(struct mr_out *o, const struct mr_conns_row *r)                     \
	{                                                                                          \
		mr_out_flag(o, expression);                                                        \
	}

#define SINCE(name, field)                                                                         \
	static void put_##name(struct mr_out *o, const struct mr_conns_row *r)                     \
	{                                                                                          \
		if (r->has_session && r->session.field)                                            \
			put_since(o, r, r->session.field);                                         \
		else                                                                               \
			mr_out_null(o);                                                            \
	}

FLAG(passive, r->conn->flags &MR_CONN_PASSIVE)
FLAG(timestamps, r->conn->flags &MR_CONN_TIMESTAMPS)
FLAG(sack, r->conn->flags &MR_CONN_SACK)
FLAG(ecn, r->conn->flags &MR_CONN_ECN)
FLAG(nodelay, r->conn->flags &MR_CONN_NODELAY)
FLAG(reordering, r->active.rack_reordering)
NUMBER(rx_queue, conn->rx_bytes)
NUMBER(tx_queue, conn->tx_bytes)
NUMBER(rto, conn->rto_ms)
NUMBER(cwnd, conn->cwnd)
NUMBER(mss, conn->snd_mss)
NUMBER(snd_wnd, conn->snd_wnd)
NUMBER(max_snd_wnd, conn->max_snd_wnd)
NUMBER(rcv_wnd, conn->rcv_wnd)
NUMBER(snd_scale, conn->snd_shift)
NUMBER(rcv_scale, conn->rcv_shift)
NUMBER(retransmits, conn->retransmits)
NUMBER(backoff, conn->backoff)
NUMBER(probes, conn->probes)
NUMBER(dupacks, conn->dupacks)
NUMBER(sacked, active.sacked)
NUMBER(lost, active.lost)
NUMBER(sends, half_open->sends)
SINCE(partial, partial_ms)
SINCE(handler, handler_ms)
SINCE(stalled, send_ms)

static void put_min_rtt(struct mr_out *o, const struct mr_conns_row *r)
{
	put_known(o, r->active.min_rtt_us, r->active.min_rtt_us);
}

static void put_rcv_limit(struct mr_out *o, const struct mr_conns_row *r)
{
	put_known(o, r->active.rcv_limit, r->active.rcv_limit);
}

/* How many there are is kept only while there is one. */
static void put_out_of_order(struct mr_out *o, const struct mr_conns_row *r)
{
	mr_out_number(o, r->conn->ooo_head < MR_NONE ? r->active.ooo_frames : 0);
}

static void put_close_reason(struct mr_out *o, const struct mr_conns_row *r)
{
	uint8_t reason = r->conn->close_reason;

	mr_out_string(o, reason < MR_CLOSE_REASON_COUNT ? close_names[reason] : "unknown");
}

static void put_expires(struct mr_out *o, const struct mr_conns_row *r)
{
	if (r->half_open)
		mr_out_signed(o, (int32_t)(r->half_open->expire_ms - r->now_ms));
	else
		mr_out_signed(o,
			      (int16_t)(r->time_wait->expire_half_s - (uint16_t)(r->now_ms / 500)) *
				      500);
}

/* ----- the table: one line is one member, one column ----- */

#define FIELD(name, put, of)                                                                       \
	{                                                                                          \
		name, ",\"" name "\":", sizeof(name) - 1, put, of                                  \
	}

static const struct field {
	const char *name;
	const char *key; /* a comma before it */
	size_t len;	 /* of the name */
	void (*put)(struct mr_out *o, const struct mr_conns_row *r);
	unsigned int of;
} fields[] = {
	FIELD("interface", put_interface, OF_ALL),
	FIELD("queue", put_queue, OF_ALL),
	FIELD("id", put_id, OF_CONN),
	FIELD("local", put_local, OF_ALL),
	FIELD("local_port", put_local_port, OF_ALL),
	FIELD("remote", put_remote, OF_ALL),
	FIELD("remote_port", put_remote_port, OF_ALL),
	FIELD("state", put_state, OF_ALL),
	FIELD("rule", put_rule, OF_OPEN),
	FIELD("app", put_app, OF_OPEN),
	FIELD("passive", put_passive, OF_CONN),
	FIELD("age_ms", put_age, OF_CONN),
	FIELD("idle_ms", put_idle, OF_CONN),
	FIELD("rx_queue_bytes", put_rx_queue, OF_CONN),
	FIELD("tx_queue_bytes", put_tx_queue, OF_CONN),
	FIELD("tx_unacked_bytes", put_unacked, OF_CONN),
	FIELD("bytes_received", put_bytes_received, OF_CONN),
	FIELD("bytes_sent", put_bytes_sent, OF_CONN),
	FIELD("srtt_us", put_srtt, OF_CONN),
	FIELD("rttvar_us", put_rttvar, OF_CONN),
	FIELD("rto_ms", put_rto, OF_CONN),
	FIELD("congestion_control", put_cc, OF_CONN),
	FIELD("cwnd", put_cwnd, OF_CONN),
	FIELD("ssthresh", put_ssthresh, OF_CONN),
	FIELD("mss", put_mss, OF_CONN),
	FIELD("snd_wnd", put_snd_wnd, OF_CONN),
	FIELD("max_snd_wnd", put_max_snd_wnd, OF_CONN),
	FIELD("rcv_wnd", put_rcv_wnd, OF_CONN),
	FIELD("rcv_limit_bytes", put_rcv_limit, OF_CONN | NEEDS_ACTIVE),
	FIELD("snd_scale", put_snd_scale, OF_CONN),
	FIELD("rcv_scale", put_rcv_scale, OF_CONN),
	FIELD("limited_by", put_limited_by, OF_CONN),
	FIELD("timestamps", put_timestamps, OF_CONN),
	FIELD("sack", put_sack, OF_CONN),
	FIELD("ecn", put_ecn, OF_CONN),
	FIELD("nodelay", put_nodelay, OF_CONN),
	FIELD("retransmits", put_retransmits, OF_CONN),
	FIELD("backoff", put_backoff, OF_CONN),
	FIELD("probes", put_probes, OF_CONN),
	FIELD("dupacks", put_dupacks, OF_CONN),
	FIELD("sacked_bytes", put_sacked, OF_CONN | NEEDS_ACTIVE),
	FIELD("lost_bytes", put_lost, OF_CONN | NEEDS_ACTIVE),
	FIELD("out_of_order_frames", put_out_of_order, OF_CONN | NEEDS_ACTIVE),
	FIELD("min_rtt_us", put_min_rtt, OF_CONN | NEEDS_ACTIVE),
	FIELD("reordering", put_reordering, OF_CONN | NEEDS_ACTIVE),
	FIELD("message_partial_ms", put_partial, OF_CONN | NEEDS_SESSION),
	FIELD("handler_blocked_ms", put_handler, OF_CONN | NEEDS_SESSION),
	FIELD("send_stalled_ms", put_stalled, OF_CONN | NEEDS_SESSION),
	FIELD("peer_mac", put_mac, OF_CONN),
	FIELD("vlan", put_vlan, OF_CONN),
	FIELD("timers", put_timers, OF_CONN),
	FIELD("flags", put_flags, OF_CONN),
	FIELD("close_reason", put_close_reason, OF_CONN),
	FIELD("sends", put_sends, OF_HALF_OPEN),
	FIELD("expires_ms", put_expires, OF_HALF_OPEN | OF_TIME_WAIT),
};

enum {
	N_FIELDS = sizeof(fields) / sizeof(fields[0]),
};

_Static_assert(N_FIELDS < 64, "a bit a field in mr_conns_query");

int mr_conns_field(const char *name, size_t len)
{
	for (int i = 0; i < N_FIELDS; i++)
		if (!strncmp(fields[i].name, name, len) && !fields[i].name[len])
			return i;
	return -1;
}

void mr_conns_titles_put(struct mr_out *o, uint64_t which)
{
	bool any = false;

	for (int i = 0; i < N_FIELDS; i++) {
		if (which && !(which >> i & 1))
			continue;
		mr_out_text(o, "\t", any);
		mr_out_text(o, fields[i].name, fields[i].len);
		any = true;
	}
}

/* ----- a row ----- */

static void set_ends(struct mr_conns_row *r, const uint8_t *local, struct mr_be16 local_port,
		     const uint8_t *remote, struct mr_be16 remote_port)
{
	r->local = local;
	r->remote = remote;
	r->local_port = mr_be16(local_port);
	r->remote_port = mr_be16(remote_port);
}

bool mr_conns_row_set(struct mr_conns_row *r, const void *record)
{
	const struct mr_conn *c = record;
	const struct mr_half_open *h = record;
	const struct mr_time_wait *t = record;

	r->conn = r->kind == MR_AREA_CONNS ? c : NULL;
	r->half_open = r->kind == MR_AREA_HALF_OPEN ? h : NULL;
	r->time_wait = r->kind == MR_AREA_TIME_WAIT ? t : NULL;
	if (r->conn) {
		r->state = c->state;
		set_ends(r, c->local, c->local_port, c->remote, c->remote_port);
		return c->state != MR_CLOSED && c->state < MR_TCP_STATE_COUNT;
	}
	if (r->half_open) {
		r->state = MR_SYN_RECEIVED;
		set_ends(r, h->local, h->local_port, h->remote, h->remote_port);
		return h->flags & MR_HALF_USED;
	}
	r->state = MR_TIME_WAIT;
	set_ends(r, t->local, t->local_port, t->remote, t->remote_port);
	return r->local_port != 0;
}

/* Records that a connection only borrows: of another owner they are not told. */
static void read_more(struct mr_conns_row *r, unsigned int needs)
{
	const struct mr_lane *l = lane_of(r);

	if (needs & NEEDS_ACTIVE &&
	    (!mr_arena_one(l, MR_AREA_ACTIVE, r->conn->active, &r->active, sizeof(r->active)) ||
	     r->active.owner != r->index))
		r->active = (struct mr_active){ 0 };
	if (needs & NEEDS_SESSION)
		r->has_session = mr_arena_one(l, MR_AREA_SESSIONS, r->conn->session, &r->session,
					      sizeof(r->session));
}

static unsigned int needs_of(uint64_t which)
{
	unsigned int needs = 0;

	for (int i = 0; i < N_FIELDS; i++)
		if (!which || which >> i & 1)
			needs |= fields[i].of;
	return needs;
}

static unsigned int kind_bit(const struct mr_conns_row *r)
{
	return r->conn ? OF_CONN : r->half_open ? OF_HALF_OPEN : OF_TIME_WAIT;
}

void mr_conns_row_put(struct mr_out *o, struct mr_conns_row *r, uint64_t which)
{
	unsigned int kind = kind_bit(r);
	bool any = false;

	if (r->conn)
		read_more(r, needs_of(which));
	mr_out_text(o, "{", o->json);
	for (int i = 0; i < N_FIELDS; i++) {
		const struct field *f = &fields[i];

		if ((which && !(which >> i & 1)) || (o->json && !(f->of & kind)))
			continue;
		if (o->json)
			mr_out_text(o, f->key + !any, f->len + 3 + any);
		else
			mr_out_text(o, "\t", any);
		any = true;
		if (f->of & kind)
			f->put(o, r);
		else
			mr_out_null(o);
	}
	mr_out_text(o, "}", o->json);
}
