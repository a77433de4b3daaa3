/* SPDX-License-Identifier: MIT */
/* source-bytes: pattern bytes without end, until the peer closes; what comes is consumed. */
#include "user/apps/apps.h"
#include "user/apps/pattern.h"

struct source {
	uint64_t sent;
	bool ended;
};

static void source_send(struct mr_host *h, mr_conn_id c)
{
	struct source *s = mr_conn_state(h, c);

	if (s && !s->ended)
		s->sent += mr_pattern_send(h, c, s->sent, UINT64_MAX);
}

static enum mr_app_verdict source_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
					size_t len, size_t *used)
{
	(void)h, (void)c, (void)data;
	*used = len;
	return MR_APP_DONE;
}

static void source_peer_shutdown(struct mr_host *h, mr_conn_id c)
{
	struct source *s = mr_conn_state(h, c);

	s->ended = true;
	mr_close(h, c);
}

const struct mr_app mr_app_source_bytes = {
	.name = "source-bytes",
	.conn_bytes = sizeof(struct source),
	.open = source_send,
	.bytes = source_bytes,
	.writable = source_send,
	.peer_shutdown = source_peer_shutdown,
};
