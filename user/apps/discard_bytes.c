/* SPDX-License-Identifier: MIT */
/* discard-bytes: what comes is consumed, until the peer closes. */
#include "user/apps/apps.h"

static enum mr_app_verdict discard_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
					 size_t len, size_t *used)
{
	(void)h, (void)c, (void)data;
	*used = len;
	return MR_APP_DONE;
}

const struct mr_app mr_app_discard_bytes = {
	.name = "discard-bytes",
	.bytes = discard_bytes,
};
