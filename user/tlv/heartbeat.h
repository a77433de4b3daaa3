/* SPDX-License-Identifier: MIT */
/*
 * Heartbeats: is anybody still there, and who is to blame if not.
 *
 * TCP's own keepalive is answered by the peer's kernel, by a middlebox, or is
 * dropped on the way: it says nothing about the peer's program. So a connection
 * has limits of its own, each with its own close cause, and may have a ping and
 * a pong tag in the messages themselves.
 *
 * A ping's value is echoed in the pong. The pong is queued in the order of the
 * messages: after the application has consumed all earlier ones, and when there
 * is room to send. A lane never answers past a blocked handler or a full buffer,
 * so that a peer sees both in the missing pong.
 *
 * Everything here decides only; the lane keeps the facts and carries it out.
 */
#ifndef MR_TLV_HEARTBEAT_H
#define MR_TLV_HEARTBEAT_H

#include "millrace/tlv.h"

#define MR_HEARTBEAT_NEVER UINT64_MAX

/**
 * struct mr_heartbeat_config - the limits of one rule; 0 turns a limit off
 * @has_ping:	@ping_tag and @pong_tag mean ping and pong
 * @idle_ms:	close when no message byte came for so long; a pong's bytes count
 * @partial_ms:	a message that has begun must be complete within this
 * @ping_ms:	send a ping when nothing was received for so long
 * @pong_ms:	then wait so long for any received byte; 0: ping again every @ping_ms
 * @handler_ms:	the application may leave messages unconsumed (MR_APP_AGAIN) for so long
 * @send_ms:	queued bytes may make no progress for so long
 */
struct mr_heartbeat_config {
	bool has_ping;
	uint64_t ping_tag;
	uint64_t pong_tag;
	uint32_t idle_ms;
	uint32_t partial_ms;
	uint32_t ping_ms;
	uint32_t pong_ms;
	uint32_t handler_ms;
	uint32_t send_ms;
};

/**
 * struct mr_heartbeat_facts - what the lane knows of one connection
 * @now_ms:		the turn's clock
 * @last_received_ms:	when the last message byte came; to begin with, the open
 * @partial_since_ms:	when the message that is not complete began; 0 none
 * @ping_sent_ms:	when the last ping was sent; 0 none. Need not be cleared when
 *			bytes come: a ping is answered when @last_received_ms is not before it
 * @handler_blocked_since_ms: when the application first left the message in hand
 *			unconsumed; 0 it is not blocked
 * @send_blocked_since_ms: since when bytes are queued without any of them being
 *			acknowledged; 0 none are queued. Every acknowledgement moves it
 *
 * All by one clock that does not read 0.
 */
struct mr_heartbeat_facts {
	uint64_t now_ms;
	uint64_t last_received_ms;
	uint64_t partial_since_ms;
	uint64_t ping_sent_ms;
	uint64_t handler_blocked_since_ms;
	uint64_t send_blocked_since_ms;
};

enum mr_heartbeat_action {
	MR_HEARTBEAT_NONE = 0,
	MR_HEARTBEAT_SEND_PING,
	MR_HEARTBEAT_CLOSE,
};

/* Why a connection is closed; the first that holds, in this order, is the cause. */
enum mr_heartbeat_cause {
	MR_HEARTBEAT_NO_CAUSE = 0,
	MR_HEARTBEAT_SEND,    /* the peer does not read: queued bytes made no progress */
	MR_HEARTBEAT_HANDLER, /* our own application did not consume */
	MR_HEARTBEAT_PARTIAL, /* a message was begun and not completed in time */
	MR_HEARTBEAT_PONG,    /* a ping was not answered */
	MR_HEARTBEAT_IDLE,    /* no byte came */
};

/**
 * struct mr_heartbeat_verdict - what to do now
 * @next_ms:	ask again at this time, or earlier when a fact changed for the worse (an
 *		application began to block, a message began, bytes were queued); MR_HEARTBEAT_NEVER:
 *		nothing runs. After MR_HEARTBEAT_SEND_PING it already counts the ping
 *		as sent now
 */
struct mr_heartbeat_verdict {
	enum mr_heartbeat_action action;
	enum mr_heartbeat_cause cause; /* with MR_HEARTBEAT_CLOSE */
	uint64_t next_ms;
};

/* What a tag means. */
enum mr_heartbeat_kind {
	MR_HEARTBEAT_TAG_OTHER = 0, /* the application's */
	MR_HEARTBEAT_TAG_PING,
	MR_HEARTBEAT_TAG_PONG,
};

/**
 * mr_heartbeat_config_check() - NULL when @cfg is usable with @f, else words that name what is
 * wrong and the cure
 */
const char *mr_heartbeat_config_check(const struct mr_heartbeat_config *cfg,
				      const struct mr_tlv_format *f);

/**
 * mr_heartbeat_decide() - what a connection's limits ask for now
 * @cfg:	its rule's limits
 * @facts:	what is known of it
 *
 * While the application is blocked the lane does not read, so the peer is not
 * blamed for silence: no ping is sent, and the idle, partial and pong limits do
 * not run. While queued bytes make no progress as well, the application may be
 * blocked only because the peer does not read: the handler limit then comes
 * later by send_ms, so that the cause is MR_HEARTBEAT_SEND.
 *
 * When a ping is asked for and there is no room to queue it, take it as sent all
 * the same: the bytes queued before it ask the peer for an answer just as well.
 */
struct mr_heartbeat_verdict mr_heartbeat_decide(const struct mr_heartbeat_config *cfg,
						const struct mr_heartbeat_facts *facts);

/**
 * mr_heartbeat_unblocked() - the application consumed what it had left
 * @facts:	now_ms set; the limits that did not run meanwhile begin anew from it
 */
void mr_heartbeat_unblocked(struct mr_heartbeat_facts *facts);

/** mr_heartbeat_kind() - whether @tag is ping, pong or the application's own */
static inline enum mr_heartbeat_kind mr_heartbeat_kind(const struct mr_heartbeat_config *cfg,
						       uint64_t tag)
{
	if (!cfg->has_ping)
		return MR_HEARTBEAT_TAG_OTHER;
	if (tag == cfg->ping_tag)
		return MR_HEARTBEAT_TAG_PING;
	return tag == cfg->pong_tag ? MR_HEARTBEAT_TAG_PONG : MR_HEARTBEAT_TAG_OTHER;
}

#endif
