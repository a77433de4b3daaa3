/* SPDX-License-Identifier: MIT */
/* RFC 6298: the retransmission timer's value. srtt is kept times 8, rttvar times 4. */
#include "user/tcp/internal.h"

enum {
	CLOCK_GRANULARITY_US = 1000,
};

inline void mr_rtt_sample(struct mr_conn *c, uint32_t rtt_us)
{
	uint32_t rto_us;

	if (!c->srtt_us) { /* 2.2: SRTT <- R, RTTVAR <- R/2 */
		c->srtt_us = max_u32(rtt_us, 1) * 8;
		c->rttvar_us = rtt_us * 2;
	} else { /* 2.3, alpha 1/8, beta 1/4, in this order */
		int32_t error = (int32_t)(rtt_us - c->srtt_us / 8);
		uint32_t size = (uint32_t)(error < 0 ? -error : error);

		c->rttvar_us += size - c->rttvar_us / 4;
		c->srtt_us = max_u32(c->srtt_us + (uint32_t)error, 1);
	}
	rto_us = c->srtt_us / 8 + max_u32(MR_RTO_MIN_MS * 1000, c->rttvar_us);
	c->rto_ms = min_u32((rto_us + 999) / 1000, MR_RTO_MAX_MS);
	c->backoff = 0; /* Karn: only a valid sample ends the back-off */
}

/* 5.5: RTO doubles with each timeout, up to the maximum. */
uint32_t mr_rto_backed_off(const struct mr_conn *c)
{
	uint64_t rto = (uint64_t)c->rto_ms << min_u32(c->backoff, 16);

	return rto > MR_RTO_MAX_MS ? MR_RTO_MAX_MS : (uint32_t)rto;
}
