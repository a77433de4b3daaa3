/* SPDX-License-Identifier: MIT */
/* Heartbeats and limits of a peer: what user/tlv/heartbeat.h decides is carried out here. */
#include "user/api/message_internal.h"

#include <errno.h>

static struct mr_heartbeat_facts facts_of(const struct mr_peer *p)
{
	return (struct mr_heartbeat_facts){
		.now_ms = loop_now_ms(),
		.last_received_ms = p->received_ms,
		.partial_since_ms = p->partial_ms,
		.ping_sent_ms = p->ping_ms,
		.handler_blocked_since_ms = p->blocked_ms,
		.send_blocked_since_ms = p->stuck_ms,
	};
}

static struct mr_heartbeat_verdict decide(const struct mr_peer *p)
{
	struct mr_heartbeat_facts facts = facts_of(p);

	return mr_heartbeat_decide(&p->limits, &facts);
}

/* The program took what it had left: the peer is not blamed for the silence meanwhile. */
void peer_limits_unblocked(struct mr_peer *p)
{
	struct mr_heartbeat_facts facts = facts_of(p);

	mr_heartbeat_unblocked(&facts);
	p->received_ms = facts.last_received_ms;
	p->partial_ms = facts.partial_since_ms;
	p->ping_ms = facts.ping_sent_ms;
	p->blocked_ms = 0;
}

static enum mr_peer_reason reason_of(enum mr_heartbeat_cause cause)
{
	static const enum mr_peer_reason reason[] = {
		[MR_HEARTBEAT_SEND] = MR_PEER_SEND,	  [MR_HEARTBEAT_HANDLER] = MR_PEER_HANDLER,
		[MR_HEARTBEAT_PARTIAL] = MR_PEER_PARTIAL, [MR_HEARTBEAT_PONG] = MR_PEER_NO_PONG,
		[MR_HEARTBEAT_IDLE] = MR_PEER_IDLE,
	};

	return reason[cause];
}

static void carry_out(struct mr_peer *p, const struct mr_heartbeat_verdict *v)
{
	if (v->action == MR_HEARTBEAT_CLOSE) {
		peer_end(p, reason_of(v->cause), ETIMEDOUT);
		return;
	}
	if (v->action == MR_HEARTBEAT_SEND_PING) {
		p->ping_ms = loop_now_ms();
		peer_queue(p, p->o.ping_tag, NULL, 0); /* no room: what is queued asks as well */
	}
	if (v->next_ms == MR_HEARTBEAT_NEVER)
		loop_timer_clear(p->loop, &p->timer);
	else if (loop_timer_set(p->loop, &p->timer, v->next_ms))
		peer_end(p, MR_PEER_NO_MEMORY, ENOMEM);
}

/* A closing peer has one limit left: what it still has to send makes progress. */
void peer_limits_arm(struct mr_peer *p)
{
	struct mr_heartbeat_verdict v;

	if (!p->has_limits || (p->state != PEER_OPEN && p->state != PEER_CLOSING))
		return;
	if (p->state == PEER_CLOSING) {
		p->limits = (struct mr_heartbeat_config){ .send_ms = p->o.send_ms };
		p->partial_ms = p->blocked_ms = p->ping_ms = 0;
	}
	v = decide(p);
	if (v.action == MR_HEARTBEAT_NONE)
		carry_out(p, &v);
	else
		loop_timer_set(p->loop, &p->timer, loop_now_ms());
}

void peer_limits_due(struct mr_peer *p)
{
	struct mr_heartbeat_verdict v;

	if (p->state != PEER_OPEN && p->state != PEER_CLOSING)
		return;
	v = decide(p);
	carry_out(p, &v);
	loop_pending(p);
}
