/* SPDX-License-Identifier: MIT */
/* Of the part `tcp`: how connections are opened. The names stand in the order of their values. */
#include "user/daemon/config_raw.h"

static const char *const cookies[] = { "off", "auto", "always", NULL };
static const char *const overflows[] = { "drop", "reset", NULL };
static const char *const fast_opens[] = { "off", "server", "client", "both", NULL };

_Static_assert(MR_FAST_OPEN_SERVER == 1 && MR_FAST_OPEN_CLIENT == 2, "bits in names' order");

void mr_config_open_names(const struct mr_open_settings *s, const char **syn_cookies,
			  const char **overflow, const char **fast_open)
{
	*syn_cookies = cookies[s->syn_cookies];
	*overflow = overflows[s->overflow];
	*fast_open = fast_opens[s->fast_open];
}

int mr_config_open(struct mr_config_file *f, const struct mr_raw_tcp *raw,
		   struct mr_open_settings *out)
{
	uint32_t retries;
	int mode, overflow, fast;
	int err;

	err = mr_config_choice(f, "tcp.syn_cookies", raw->syn_cookies, cookies, MR_SYN_COOKIES_AUTO,
			       &mode);
	if (!err)
		err = mr_config_choice(f, "tcp.overflow", raw->overflow, overflows,
				       MR_OVERFLOW_DROP, &overflow);
	if (!err)
		err = mr_config_number32(f, "tcp.syn_ack_retries", raw->syn_ack_retries, 7, 0,
					 MR_SYN_ACK_RETRIES_MOST, &retries);
	if (!err)
		err = mr_config_choice(f, "tcp.fast_open", raw->fast_open, fast_opens, 0, &fast);
	if (!err)
		err = mr_config_number32(f, "tcp.fast_open_pending", raw->fast_open_pending, 128, 1,
					 MR_FAST_OPEN_PENDING_MOST, &out->fast_open_pending);
	if (!err)
		err = mr_config_number32(f, "tcp.per_source.connections",
					 raw->per_source.connections, 0, 0, UINT32_MAX,
					 &out->source_connections);
	if (!err)
		err = mr_config_number32(f, "tcp.per_source.half_open", raw->per_source.half_open,
					 0, 0, UINT32_MAX, &out->source_half_open);
	if (err)
		return err;
	out->fast_open = (uint8_t)fast;
	out->syn_cookies = (uint8_t)mode;
	out->overflow = (uint8_t)overflow;
	out->syn_ack_retries = (uint8_t)retries;
	return 0;
}
