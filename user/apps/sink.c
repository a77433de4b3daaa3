/* SPDX-License-Identifier: MIT */
/* sink: messages are consumed. */
#include "user/apps/apps.h"

static enum mr_app_verdict sink_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					const uint8_t *value, size_t len)
{
	(void)h, (void)c, (void)tag, (void)value, (void)len;
	return MR_APP_DONE;
}

const struct mr_app mr_app_sink = {
	.name = "sink",
	.messages = true,
	.message = sink_message,
};
