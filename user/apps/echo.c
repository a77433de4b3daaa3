/* SPDX-License-Identifier: MIT */
/* echo: each message is answered with the same tag and value. */
#include <errno.h>

#include "user/apps/apps.h"

static enum mr_app_verdict echo_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					const uint8_t *value, size_t len)
{
	int err = mr_send_message(h, c, tag, value, len);

	if (!err)
		return MR_APP_DONE;
	if (err == -EAGAIN)
		return MR_APP_AGAIN;
	mr_abort(h, c); /* it would never fit: waiting for room would be for ever */
	return MR_APP_CLOSED;
}

const struct mr_app mr_app_echo = {
	.name = "echo",
	.messages = true,
	.message = echo_message,
};
