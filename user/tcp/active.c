/* SPDX-License-Identifier: MIT */
/* When a connection has its struct mr_active (see user/frame/actives.h), and when not any more. */
#include "user/tcp/internal.h"

/* The record of @c, taken when it has none; never NULL. */
struct mr_active *mr_active_of(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_active *a = mr_active_peek(t->actives, c);

	if (!a)
		a = mr_active_take(t->actives, c);
	a->used_ms = t->now_ms;
	return a;
}

/* The connection's own limit, or the lane's (RFC 9293 3.10.8); 0: R2 alone. @a may be NULL. */
uint32_t mr_tcp_user_timeout(const struct mr_tcp *t, const struct mr_active *a)
{
	return a && a->user_timeout_ms ? a->user_timeout_ms : t->config->user_timeout_ms;
}

static bool is_idle(struct mr_tcp *t, const struct mr_conn *c, const struct mr_active *a)
{
	return !a->user_timeout_ms && !a->accurate.on &&
	       t->now_ms - a->used_ms >= MR_ACTIVE_IDLE_MS && c->snd_una == c->snd_nxt &&
	       !c->tx_bytes && !a->mss_most && c->ooo_head == MR_NONE &&
	       !(c->flags & (MR_CONN_RECOVERY | MR_CONN_RTO_RECOVERY)) && !mr_tcp_urgent(t, c);
}

void mr_tcp_give_idle(struct mr_tcp *t, uint32_t n)
{
	struct mr_actives *pool = t->actives;

	for (; n && pool->used; n--) {
		const struct mr_active *a = &pool->record[pool->hand];

		pool->hand = (pool->hand + 1) % pool->used;
		if (a->owner != MR_NONE && is_idle(t, &pool->conns[a->owner], a))
			mr_active_give(pool, &pool->conns[a->owner]);
	}
}
