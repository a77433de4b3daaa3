/* SPDX-License-Identifier: MIT */
#include "user/tlv/heartbeat.h"

static bool tag_fits(uint64_t tag, const struct mr_tlv_format *f)
{
	return f->tag_bytes == 8 || tag >> (8 * f->tag_bytes) == 0;
}

const char *mr_heartbeat_config_check(const struct mr_heartbeat_config *cfg,
				      const struct mr_tlv_format *f)
{
	if (!cfg->has_ping && cfg->ping_ms)
		return "a ping interval needs a ping and a pong tag";
	if (!cfg->ping_ms && cfg->pong_ms)
		return "a pong limit needs a ping interval";
	if (cfg->has_ping && cfg->ping_tag == cfg->pong_tag)
		return "the ping tag and the pong tag must differ";
	if (cfg->has_ping && (!tag_fits(cfg->ping_tag, f) || !tag_fits(cfg->pong_tag, f)))
		return "the ping and the pong tag must fit the tag's width";
	if (cfg->ping_ms && cfg->idle_ms && cfg->ping_ms >= cfg->idle_ms)
		return "the ping interval must be shorter than the idle limit";
	return NULL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When a limit that runs since @since_ms is reached; @limit_ms 0: never. */
static uint64_t due(uint64_t since_ms, uint64_t limit_ms)
{
	if (!limit_ms || since_ms > MR_HEARTBEAT_NEVER - limit_ms)
		return MR_HEARTBEAT_NEVER;
	return since_ms + limit_ms;
}

/* The same for a fact of which 0 says that it does not hold. */
static uint64_t due_if(uint64_t since_ms, uint64_t limit_ms)
{
	return since_ms ? due(since_ms, limit_ms) : MR_HEARTBEAT_NEVER;
}

static bool has_ping_outstanding(const struct mr_heartbeat_facts *facts)
{
	return facts->ping_sent_ms && facts->last_received_ms < facts->ping_sent_ms;
}

static uint64_t handler_due(const struct mr_heartbeat_config *cfg,
			    const struct mr_heartbeat_facts *facts)
{
	uint64_t limit = cfg->handler_ms;

	if (limit && facts->send_blocked_since_ms)
		limit += cfg->send_ms;
	return due_if(facts->handler_blocked_since_ms, limit);
}

/* When each close cause would come true; those that do not run now never do. */
static void closes_due(const struct mr_heartbeat_config *cfg,
		       const struct mr_heartbeat_facts *facts, uint64_t at[MR_HEARTBEAT_IDLE + 1])
{
	bool reads = !facts->handler_blocked_since_ms;
	uint64_t ping_sent_ms = has_ping_outstanding(facts) ? facts->ping_sent_ms : 0;

	at[MR_HEARTBEAT_NO_CAUSE] = MR_HEARTBEAT_NEVER;
	at[MR_HEARTBEAT_SEND] = due_if(facts->send_blocked_since_ms, cfg->send_ms);
	at[MR_HEARTBEAT_HANDLER] = handler_due(cfg, facts);
	at[MR_HEARTBEAT_PARTIAL] = reads ? due_if(facts->partial_since_ms, cfg->partial_ms)
					 : MR_HEARTBEAT_NEVER;
	at[MR_HEARTBEAT_PONG] = reads ? due_if(ping_sent_ms, cfg->pong_ms) : MR_HEARTBEAT_NEVER;
	at[MR_HEARTBEAT_IDLE] = reads ? due(facts->last_received_ms, cfg->idle_ms)
				      : MR_HEARTBEAT_NEVER;
}

/* When the next ping is due: one at a time, unless nothing waits for the pong. */
static uint64_t ping_due(const struct mr_heartbeat_config *cfg,
			 const struct mr_heartbeat_facts *facts)
{
	if (!cfg->has_ping || facts->handler_blocked_since_ms)
		return MR_HEARTBEAT_NEVER;
	if (has_ping_outstanding(facts) && cfg->pong_ms)
		return MR_HEARTBEAT_NEVER;
	return due(later(facts->last_received_ms, facts->ping_sent_ms), cfg->ping_ms);
}

struct mr_heartbeat_verdict mr_heartbeat_decide(const struct mr_heartbeat_config *cfg,
						const struct mr_heartbeat_facts *facts)
{
	struct mr_heartbeat_verdict v = { .next_ms = MR_HEARTBEAT_NEVER };
	uint64_t at[MR_HEARTBEAT_IDLE + 1];
	uint64_t ping_ms = ping_due(cfg, facts);
	enum mr_heartbeat_cause cause;

	closes_due(cfg, facts, at);
	for (cause = MR_HEARTBEAT_SEND; cause <= MR_HEARTBEAT_IDLE; cause++) {
		if (facts->now_ms >= at[cause] && at[cause] != MR_HEARTBEAT_NEVER) {
			v.action = MR_HEARTBEAT_CLOSE;
			v.cause = cause;
			v.next_ms = facts->now_ms;
			return v;
		}
		v.next_ms = sooner(v.next_ms, at[cause]);
	}
	if (facts->now_ms >= ping_ms && ping_ms != MR_HEARTBEAT_NEVER) {
		v.action = MR_HEARTBEAT_SEND_PING;
		ping_ms = due(facts->now_ms, cfg->pong_ms ? cfg->pong_ms : cfg->ping_ms);
	}
	v.next_ms = sooner(v.next_ms, ping_ms);
	return v;
}

void mr_heartbeat_unblocked(struct mr_heartbeat_facts *facts)
{
	facts->handler_blocked_since_ms = 0;
	facts->last_received_ms = facts->now_ms;
	if (facts->partial_since_ms)
		facts->partial_since_ms = facts->now_ms;
}
