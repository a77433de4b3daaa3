/* SPDX-License-Identifier: MIT */
/*
 * GET /v1/conns: the connections, out of the lanes' arenas.
 *
 * Records are copied out by pread(), never mapped: what was checked cannot change before it is
 * used, and reading a hole of the memfd does not fill it with pages. Every word is taken for
 * hostile: nothing in a record is followed, only printed, and enums are bounded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/mr_cc.h"
#include "user/daemon/api.h"
#include "user/daemon/arenas.h"

struct list {
	struct mr_child *c;
	const struct mr_conns_query *q;
	FILE *out;
	uint64_t now_ns;
	uint32_t lane;
	enum mr_arena_area kind;
	uint32_t n; /* written */
	bool first; /* of its array */
	bool full;
	char next[48];
};

static const char *const state_names[] = MR_TCP_STATE_NAMES;

static const char *const close_names[] = {
#define R(name, field, error, text) #field,
	MR_CLOSE_REASONS(R)
#undef R
};

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void set(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, number(v));
}

static void set_flag(json_t *o, const char *key, bool v)
{
	json_object_set_new(o, key, json_boolean(v));
}

static uint32_t now_ms(const struct list *l)
{
	return (uint32_t)(l->now_ns / 1000000);
}

/* The lane's clock is CLOCK_MONOTONIC in ms, modulo 2^32. Zero when it is in the future. */
static uint32_t since(const struct list *l, uint32_t then)
{
	uint32_t d = now_ms(l) - then;

	return d > INT32_MAX ? 0 : d;
}

static void put_ends(const struct list *l, json_t *o, const uint8_t local[16], uint16_t local_port,
		     const uint8_t remote[16], uint16_t remote_port)
{
	const struct mr_lane *lane = &l->c->d->lanes[l->lane];
	char text[64];

	json_object_set_new(o, "interface", json_string(mr_lane_link(l->c->d, lane)->name));
	set(o, "queue", lane->index);
	json_object_set_new(o, "local", json_string(mr_address_text(local, text)));
	set(o, "local_port", local_port);
	json_object_set_new(o, "remote", json_string(mr_address_text(remote, text)));
	set(o, "remote_port", remote_port);
}

static void put_rule(const struct list *l, json_t *o, uint16_t id)
{
	const struct mr_settings *s = &l->c->d->settings;
	bool known = id < s->n_rules;

	json_object_set_new(o, "rule", known ? json_string(s->rules[id].lane.name) : json_null());
	json_object_set_new(o, "app", known ? json_string(s->rules[id].lane.app) : json_null());
}

static json_t *timers(const struct list *l, const struct mr_conn *c)
{
	static const char *const names[MR_DEADLINE_COUNT] = {
		[MR_DEADLINE_RETRANSMIT] = "retransmit", [MR_DEADLINE_DELACK] = "delayed_ack",
		[MR_DEADLINE_KEEPALIVE] = "keepalive",	 [MR_DEADLINE_APP] = "app",
		[MR_DEADLINE_MESSAGE] = "message",
	};
	json_t *o = json_object();

	for (int i = 0; i < MR_DEADLINE_COUNT; i++) {
		const char *name = names[i];

		if (i == MR_DEADLINE_RETRANSMIT && c->flags & MR_CONN_PROBING)
			name = "probe";
		if (c->deadline[i])
			json_object_set_new(o, name,
					    json_integer((int32_t)(c->deadline[i] - now_ms(l))));
	}
	return o;
}

static json_t *flags(const struct mr_conn *c)
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
	json_t *a = json_array();

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (c->flags & table[i].bit)
			json_array_append_new(a, json_string(table[i].name));
	return a;
}

static json_t *vlans(const uint16_t vlan[2])
{
	json_t *a = json_array();

	for (int i = 0; i < 2; i++)
		if (vlan[i] & 0xfff)
			json_array_append_new(a, json_integer(vlan[i] & 0xfff));
	return a;
}

static void put_sending(json_t *o, const struct mr_conn *c)
{
	uint32_t flight = c->snd_nxt - c->snd_una;

	set(o, "rx_queue_bytes", c->rx_bytes);
	set(o, "tx_queue_bytes", c->tx_bytes);
	set(o, "tx_unacked_bytes", flight > INT32_MAX ? 0 : flight);
	/* SYN takes the first number of each side. */
	set(o, "bytes_received",
	    ((uint64_t)c->rcv_wraps << 32) + (c->rcv_nxt == c->irs ? 0 : c->rcv_nxt - c->irs - 1));
	set(o, "bytes_sent",
	    ((uint64_t)c->snd_wraps << 32) + (c->snd_una == c->iss ? 0 : c->snd_una - c->iss - 1));
	json_object_set_new(o, "srtt_us", c->srtt_us ? number(c->srtt_us / 8) : json_null());
	json_object_set_new(o, "rttvar_us", c->srtt_us ? number(c->rttvar_us / 4) : json_null());
	set(o, "rto_ms", c->rto_ms);
	json_object_set_new(o, "congestion_control",
			    c->cc < MR_CC_COUNT ? json_string(mr_cc_names()[c->cc]) : json_null());
	set(o, "cwnd", c->cwnd);
	json_object_set_new(o, "ssthresh",
			    c->ssthresh >= INT32_MAX ? json_null() : number(c->ssthresh));
	set(o, "mss", c->snd_mss);
	set(o, "snd_wnd", c->snd_wnd);
	set(o, "rcv_wnd", c->rcv_wnd);
	set(o, "snd_scale", c->snd_shift);
	set(o, "rcv_scale", c->rcv_shift);
	set_flag(o, "timestamps", c->flags & MR_CONN_TIMESTAMPS);
	set_flag(o, "sack", c->flags & MR_CONN_SACK);
	set_flag(o, "ecn", c->flags & MR_CONN_ECN);
	set_flag(o, "nodelay", c->flags & MR_CONN_NODELAY);
	set(o, "retransmits", c->retransmits);
	set(o, "backoff", c->backoff);
	set(o, "probes", c->probes);
	set(o, "dupacks", c->dupacks);
}

/* Loss recovery: from the record that only active connections have; zeros without. */
static void put_recovery(const struct list *l, json_t *o, uint32_t index, const struct mr_conn *c)
{
	struct mr_active a = { 0 };

	if (!mr_arena_one(&l->c->d->lanes[l->lane], MR_AREA_ACTIVE, c->active, &a, sizeof(a)) ||
	    a.owner != index)
		a = (struct mr_active){ 0 };
	set(o, "sacked_bytes", a.sacked);
	set(o, "lost_bytes", a.lost);
	json_object_set_new(o, "min_rtt_us", a.min_rtt_us ? number(a.min_rtt_us) : json_null());
	set_flag(o, "reordering", a.rack_reordering);
}

static json_t *conn(const struct list *l, uint32_t index, const struct mr_conn *c)
{
	char id[32], mac[18];
	json_t *o = json_object();

	snprintf(id, sizeof(id), "%" PRIu32 ".%" PRIu32, index, c->generation);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", c->peer_mac[0], c->peer_mac[1],
		 c->peer_mac[2], c->peer_mac[3], c->peer_mac[4], c->peer_mac[5]);
	put_ends(l, o, c->local, mr_be16(c->local_port), c->remote, mr_be16(c->remote_port));
	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "state", json_string(state_names[c->state]));
	put_rule(l, o, c->rule);
	set_flag(o, "passive", c->flags & MR_CONN_PASSIVE);
	set(o, "age_ms", since(l, c->opened_ms));
	set(o, "idle_ms", since(l, c->received_ms));
	put_sending(o, c);
	put_recovery(l, o, index, c);
	json_object_set_new(o, "peer_mac", json_string(mac));
	json_object_set_new(o, "vlan", vlans(c->vlan));
	json_object_set_new(o, "timers", timers(l, c));
	json_object_set_new(o, "flags", flags(c));
	json_object_set_new(o, "close_reason",
			    json_string(c->close_reason < MR_CLOSE_REASON_COUNT
						? close_names[c->close_reason]
						: "unknown"));
	return o;
}

static json_t *half_open(const struct list *l, const struct mr_half_open *h)
{
	json_t *o = json_object();

	put_ends(l, o, h->local, mr_be16(h->local_port), h->remote, mr_be16(h->remote_port));
	json_object_set_new(o, "state", json_string(state_names[MR_SYN_RECEIVED]));
	put_rule(l, o, h->rule);
	set(o, "sends", h->sends);
	json_object_set_new(o, "expires_ms", json_integer((int32_t)(h->expire_ms - now_ms(l))));
	return o;
}

static json_t *time_wait(const struct list *l, const struct mr_time_wait *t)
{
	int16_t half_s = (int16_t)(t->expire_half_s - (uint16_t)(now_ms(l) / 500));
	json_t *o = json_object();

	put_ends(l, o, t->local, mr_be16(t->local_port), t->remote, mr_be16(t->remote_port));
	json_object_set_new(o, "state", json_string(state_names[MR_TIME_WAIT]));
	json_object_set_new(o, "expires_ms", json_integer(half_s * 500));
	return o;
}

static bool wanted(const struct list *l, int state, struct mr_be16 local_port)
{
	return (l->q->state < 0 || l->q->state == state) &&
	       (l->q->port < 0 || l->q->port == mr_be16(local_port));
}

/* A record in use that the query wants, as an object; else NULL. */
static json_t *describe(const struct list *l, uint32_t index, const void *record)
{
	const struct mr_conn *c = record;
	const struct mr_half_open *h = record;
	const struct mr_time_wait *t = record;

	switch (l->kind) {
	case MR_AREA_CONNS:
		if (c->state == MR_CLOSED || c->state >= MR_TCP_STATE_COUNT ||
		    !wanted(l, c->state, c->local_port))
			return NULL;
		return conn(l, index, c);
	case MR_AREA_HALF_OPEN:
		if (!(h->flags & MR_HALF_USED) || !wanted(l, MR_SYN_RECEIVED, h->local_port))
			return NULL;
		return half_open(l, h);
	case MR_AREA_TIME_WAIT:
		if (!mr_be16(t->local_port) || !wanted(l, MR_TIME_WAIT, t->local_port))
			return NULL;
		return time_wait(l, t);
	default:
		return NULL;
	}
}

static bool put_record(void *arg, uint32_t index, const void *record)
{
	struct list *l = arg;
	json_t *o = describe(l, index, record);

	if (!o)
		return true;
	if (l->n == l->q->limit) {
		/* One more than fits: so there is something to come back for. */
		l->full = true;
		snprintf(l->next, sizeof(l->next), "%" PRIu32 ".%d.%" PRIu32, l->lane, (int)l->kind,
			 index);
		json_decref(o);
		return false;
	}
	fputs(l->first ? "" : ",", l->out);
	json_dumpf(o, l->out, JSON_COMPACT);
	json_decref(o);
	l->first = false;
	l->n++;
	return true;
}

/*
 * The cursor names the next record: kind, then lane, then index. So a kind before the cursor's is
 * done, and of its own the lanes before the cursor's are.
 */
static uint32_t first_index(const struct list *l)
{
	const struct mr_conns_query *q = l->q;

	if ((uint32_t)l->kind != q->after_kind)
		return (uint32_t)l->kind < q->after_kind ? UINT32_MAX : 0;
	if (l->lane != q->after_lane)
		return l->lane < q->after_lane ? UINT32_MAX : 0;
	return q->after_index;
}

static void put_kind(struct list *l, const char *name, enum mr_arena_area kind)
{
	fprintf(l->out, ",\"%s\":[", name);
	l->kind = kind;
	l->first = true;
	for (uint32_t i = 0; i < l->c->d->n_lanes && !l->full; i++) {
		l->lane = i;
		if (l->q->lane == UINT32_MAX || l->q->lane == i)
			mr_arena_each(&l->c->d->lanes[i], kind, first_index(l), put_record, l);
	}
	fputs("]", l->out);
}

char *mr_json_conns(struct mr_child *c, const struct mr_conns_query *q, size_t *bytes)
{
	struct list l = { .c = c, .q = q, .now_ns = mr_now_ns() };
	char *text = NULL;

	l.out = open_memstream(&text, bytes);
	if (!l.out)
		return NULL;
	fputs("{\"v\":1", l.out);
	put_kind(&l, "connections", MR_AREA_CONNS);
	put_kind(&l, "half_open", MR_AREA_HALF_OPEN);
	put_kind(&l, "time_wait", MR_AREA_TIME_WAIT);
	if (l.full)
		fprintf(l.out, ",\"next\":\"%s\"}\n", l.next);
	else
		fputs(",\"next\":null}\n", l.out);
	if (fclose(l.out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool count_record(void *arg, uint32_t index, const void *record)
{
	const struct mr_conn *c = record;
	uint32_t *counts = arg;

	(void)index;
	if (c->state != MR_CLOSED && c->rule < MR_MAX_RULES)
		counts[c->rule]++;
	return true;
}

void mr_conns_count(struct mr_child *c, uint32_t counts[MR_MAX_RULES])
{
	for (uint32_t i = 0; i < c->d->n_lanes; i++)
		mr_arena_each(&c->d->lanes[i], MR_AREA_CONNS, 0, count_record, counts);
}
