/* SPDX-License-Identifier: MIT */
/* echo-bytes: what comes is sent back; what finds no room is left to the lane. */
#include "user/apps/apps.h"

static enum mr_app_verdict echo_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				      size_t len, size_t *used)
{
	int64_t n = mr_send(h, c, data, len);

	if (n < 0) {
		*used = 0;
		mr_abort(h, c);
		return MR_APP_CLOSED;
	}
	*used = (size_t)n;
	return *used < len ? MR_APP_AGAIN : MR_APP_DONE;
}

static void echo_peer_shutdown(struct mr_host *h, mr_conn_id c)
{
	mr_close(h, c); /* everything was consumed, so everything was queued */
}

const struct mr_app mr_app_echo_bytes = {
	.name = "echo-bytes",
	.bytes = echo_bytes,
	.peer_shutdown = echo_peer_shutdown,
};
