/* SPDX-License-Identifier: MIT */
/*
 * The message layer's limits on a connection. What they mean is decided in user/tlv (pure); here
 * are the facts, the deadline, and what the decision does.
 *
 * The deadline is lazy: it is armed for the shortest limit when anything that a limit watches
 * begins, and finds out when it fires what is really due.
 */
#include "user/lane/internal.h"

#include <errno.h>
#include <string.h>

/* The check is not summed up before there is room. */
static int send_checked(struct mr_lane *l, struct mr_conn *c, const struct mr_tlv_format *f,
			const uint8_t *head, const void *value, uint32_t len)
{
	uint32_t head_len = (uint32_t)mr_tlv_header_bytes(f);
	uint8_t check[MR_TLV_CHECK_MAX];
	size_t check_len = mr_tlv_check_bytes(f);
	int error = mr_tcp_send_begin(&l->tcp, c, (uint64_t)head_len + len + check_len);

	if (error)
		return error;
	mr_tlv_write_check(f, check, head, value, len);
	mr_tcp_send_part(&l->tcp, c, head, head_len);
	mr_tcp_send_part(&l->tcp, c, value, len);
	mr_tcp_send_part(&l->tcp, c, check, (uint32_t)check_len);
	return 0;
}

static __attribute__((noinline)) int send_any_message(struct mr_lane *l, struct mr_conn *c,
						      uint64_t tag, const void *value, size_t len)
{
	const struct mr_tlv_format *f = &rule_of(l, c)->format;
	uint8_t head[MR_TLV_HEADER_MAX];
	int error = mr_tcp_cannot_send(c);
	ssize_t head_len;

	if (error)
		return error;
	head_len = mr_tlv_write_header(f, head, tag, len);
	if (head_len < 0)
		return -EMSGSIZE;
	if (f->check == MR_TLV_CHECK_NONE)
		error = mr_tcp_send_whole(&l->tcp, c, head, (uint32_t)head_len, value,
					  (uint32_t)len);
	else
		error = send_checked(l, c, f, head, value, (uint32_t)len);
	if (!error)
		l->stats->messages_out++;
	return error;
}

/* In the default layout, on an established connection with nothing queued, it is written in place.
 */
inline int lane_send_message(struct mr_lane *l, struct mr_conn *c, uint64_t tag, const void *value,
			     size_t len)
{
	const struct lane_rule *r = rule_of(l, c);
	uint8_t *to = NULL;

	if (r->plain_messages && c->state == MR_ESTABLISHED && !(c->flags & MR_CONN_FIN_QUEUED) &&
	    tag <= UINT16_MAX && len <= r->format.max_bytes && len < UINT16_MAX)
		to = mr_tcp_place(&l->tcp, c, MR_TLV_DEFAULT_HEADER + (uint32_t)len);
	if (!to)
		return send_any_message(l, c, tag, value, len);
	mr_tlv_store(to, 2, false, tag);
	mr_tlv_store(to + 2, 4, false, len);
	if (len)
		memcpy(to + MR_TLV_DEFAULT_HEADER, value, len);
	l->stats->messages_out++;
	return 0;
}

/* Stamps are milliseconds modulo 2^32; the decision wants them whole. 0 stays 0: none. */
static uint64_t whole_ms(const struct mr_lane *l, uint32_t stamp)
{
	uint64_t now = l->now_ns / 1000000;

	return stamp ? now - (uint32_t)(l->tcp.now_ms - stamp) : 0;
}

static void gather(struct mr_lane *l, struct mr_conn *c, struct mr_heartbeat_facts *f)
{
	const struct mr_session *s = lane_session(l, c);

	*f = (struct mr_heartbeat_facts){
		.now_ms = l->now_ns / 1000000,
		.last_received_ms = whole_ms(l, c->received_ms),
		.send_blocked_since_ms = whole_ms(l, c->unacked_ms),
	};
	if (!s)
		return;
	f->partial_since_ms = whole_ms(l, s->partial_ms);
	f->ping_sent_ms = whole_ms(l, s->ping_ms);
	f->handler_blocked_since_ms = whole_ms(l, s->handler_ms);
}

static enum mr_close_reason reason_of(enum mr_heartbeat_cause cause)
{
	switch (cause) {
	case MR_HEARTBEAT_SEND:
		return MR_CLOSE_HEARTBEAT_SEND;
	case MR_HEARTBEAT_HANDLER:
		return MR_CLOSE_HEARTBEAT_HANDLER;
	case MR_HEARTBEAT_PARTIAL:
		return MR_CLOSE_HEARTBEAT_PARTIAL;
	case MR_HEARTBEAT_PONG:
		return MR_CLOSE_HEARTBEAT_PONG;
	case MR_HEARTBEAT_IDLE:
	case MR_HEARTBEAT_NO_CAUSE:
		break;
	}
	return MR_CLOSE_HEARTBEAT_IDLE;
}

static void set_deadline(struct mr_lane *l, struct mr_conn *c, uint64_t in_ms)
{
	uint32_t when = l->tcp.now_ms + (uint32_t)(in_ms < INT32_MAX ? in_ms : INT32_MAX);

	c->deadline[MR_DEADLINE_MESSAGE] = when ? when : 1;
	lane_arm(l, c);
}

static void send_ping(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session_take(l, c);

	/* no room: what is queued asks the peer for an answer just as well */
	if (lane_send_message(l, c, rule_of(l, c)->heartbeat.ping_tag, NULL, 0) == 0)
		l->stats->pings_out++;
	if (s)
		s->ping_ms = l->tcp.now_ms;
}

static void forget_answered_ping(struct mr_lane *l, struct mr_conn *c)
{
	struct mr_session *s = lane_session(l, c);

	if (!s || !s->ping_ms || mr_ms_before(c->received_ms, s->ping_ms))
		return;
	s->ping_ms = 0;
	lane_session_give_if_idle(l, c);
}

/* The deadline has come. */
void lane_heartbeat_due(struct mr_lane *l, struct mr_conn *c)
{
	const struct mr_heartbeat_config *cfg = &rule_of(l, c)->heartbeat;
	struct mr_heartbeat_verdict v;
	struct mr_heartbeat_facts facts;

	if (c->flags & MR_CONN_PATH_ASKED) { /* no answer about the path */
		lane_path_wait_over(l, c);
		return;
	}
	if (c->flags & MR_CONN_ORPHAN || !(c->flags & MR_CONN_OPENED))
		return;
	forget_answered_ping(l, c);
	gather(l, c, &facts);
	v = mr_heartbeat_decide(cfg, &facts);
	switch (v.action) {
	case MR_HEARTBEAT_CLOSE:
		mr_tcp_abort_call(&l->tcp, c, reason_of(v.cause));
		return;
	case MR_HEARTBEAT_SEND_PING:
		send_ping(l, c);
		gather(l, c, &facts);
		v = mr_heartbeat_decide(cfg, &facts);
		break;
	case MR_HEARTBEAT_NONE:
		break;
	}
	if (v.next_ms != MR_HEARTBEAT_NEVER)
		set_deadline(l, c, v.next_ms > facts.now_ms ? v.next_ms - facts.now_ms : 1);
}

/* After a connection ran: is anything begun that a limit watches, and not yet under a deadline? */
void lane_heartbeat_look(struct mr_lane *l, struct mr_conn *c)
{
	const struct lane_rule *r = rule_of(l, c);
	uint32_t latest = l->tcp.now_ms + r->shortest_ms;
	uint32_t armed = c->deadline[MR_DEADLINE_MESSAGE];

	if (!r->shortest_ms || !r->app->messages || !(c->flags & MR_CONN_OPENED) ||
	    c->flags & MR_CONN_ORPHAN)
		return;
	if (c->session == MR_NONE && !c->unacked_ms && !r->heartbeat.idle_ms &&
	    !r->heartbeat.ping_ms)
		return;
	if (!armed || mr_ms_before(latest, armed))
		set_deadline(l, c, r->shortest_ms);
}
