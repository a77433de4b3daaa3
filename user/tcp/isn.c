/* SPDX-License-Identifier: MIT */
#include "user/tcp/internal.h"

/*
 * RFC 6528: ISN = M + F(localip, localport, remoteip, remoteport, secretkey). M ticks every 4 us
 * (RFC 9293 3.4.1, MUST-8), F is SipHash-2-4, a PRF that outsiders cannot compute (MUST-9). All
 * lanes of a daemon share the key, so that two lanes that answer the same SYN answer alike but
 * for M.
 */
uint32_t mr_tcp_isn(const struct mr_tcp *t, const struct mr_tuple *tuple)
{
	return (uint32_t)(t->now_us / 4) +
	       (uint32_t)mr_siphash24(&t->config->isn_key, tuple, sizeof(*tuple));
}
