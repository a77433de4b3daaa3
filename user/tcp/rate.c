/* SPDX-License-Identifier: MIT */
/*
 * Delivery-rate samples (draft-cheng-iccrg-delivery-rate-estimation-02) and pacing, for algorithms
 * that have a pacing rate; the others pay nothing.
 *
 * A frame remembers how much was delivered when it left. When it is delivered itself, what came in
 * between, over the longer of the times that sending and acknowledging it took, is a sample.
 *
 * Pacing is a bucket of bytes that fills at the rate, holds what the rate gives in two ticks of the
 * millisecond wheel, or two segments, and is asked before new text leaves. So in any time T no more
 * leaves than rate * T and one bucket.
 */
#include "user/tcp/internal.h"

enum {
	BURST_MS = 2,
	BURST_SEGMENTS = 2,
	DT_MOST_US = 1000000,
};

/* ----- samples ----- */

void mr_rate_frame_sent(struct mr_tcp *t, struct mr_conn *c, struct mr_frame *r)
{
	struct mr_rate *rate = &mr_active_of(t, c)->rate;

	/* the pipe was empty, whatever a SYN or a window probe had carried: the clock begins */
	if (!mr_conn_flight(t, c)) {
		rate->first_sent_us = (uint32_t)t->now_us;
		rate->delivered_us = (uint32_t)t->now_us;
	}
	r->first_sent_us = rate->first_sent_us;
	r->delivered_us = rate->delivered_us;
	r->delivered = rate->delivered;
	r->marks &= (uint8_t)~MR_FRAME_APP_LIMITED;
	if (rate->app_limited)
		r->marks |= MR_FRAME_APP_LIMITED;
}

void mr_rate_frame_delivered(struct mr_tcp *t, struct mr_conn *c, const struct mr_frame *r,
			     uint32_t bytes)
{
	struct mr_rate *rate;

	if (!mr_cc_of(c)->pacing_rate || !r->sends)
		return;
	rate = &mr_active_of(t, c)->rate;
	rate->delivered += bytes;
	rate->delivered_us = (uint32_t)t->now_us;
	if (rate->has_prior && mr_seq_le(r->delivered, rate->prior_delivered))
		return;
	rate->has_prior = true;
	rate->prior_delivered = r->delivered;
	rate->prior_us = r->delivered_us;
	rate->prior_app_limited = !!(r->marks & MR_FRAME_APP_LIMITED);
	rate->send_elapsed_us = r->sent_us - r->first_sent_us;
	rate->first_sent_us = r->sent_us;
}

bool mr_rate_sample(struct mr_active *a, struct mr_rate_sample *s)
{
	struct mr_rate *rate = &a->rate;

	*s = (struct mr_rate_sample){ 0 };
	if (rate->app_limited && mr_seq_lt(rate->app_limited_until, rate->delivered))
		rate->app_limited = false;
	if (!rate->has_prior)
		return false;
	rate->has_prior = false;
	s->prior_delivered = rate->prior_delivered;
	s->bytes = rate->delivered - rate->prior_delivered;
	s->interval_us = max_u32(rate->send_elapsed_us, rate->delivered_us - rate->prior_us);
	s->app_limited = rate->prior_app_limited;
	return s->interval_us > 0;
}

void mr_rate_app_limited(struct mr_tcp *t, struct mr_conn *c)
{
	struct mr_rate *rate = &mr_active_of(t, c)->rate;

	rate->app_limited = true;
	rate->app_limited_until = rate->delivered + mr_conn_flight(t, c);
}

/* ----- pacing ----- */

static uint32_t burst_of(const struct mr_conn *c, uint64_t rate)
{
	uint64_t bytes = min_u64(rate * BURST_MS / 1000, UINT32_MAX);

	return max_u32((uint32_t)bytes, BURST_SEGMENTS * c->snd_mss);
}

static void fill(struct mr_tcp *t, const struct mr_conn *c, struct mr_active *a, uint64_t rate)
{
	uint32_t burst = burst_of(c, rate);
	uint32_t dt = min_u32((uint32_t)t->now_us - a->pace_us, DT_MOST_US);
	uint64_t add = rate * dt / 1000000;

	if (!a->pacing) {
		a->pacing = true;
		a->pace_credit = burst;
		a->pace_us = (uint32_t)t->now_us;
	} else if (add) { /* what is less than a byte stays for the next time */
		a->pace_credit = (uint32_t)min_u64(a->pace_credit + add, burst);
		a->pace_us = (uint32_t)t->now_us;
	}
}

/* May @len bytes leave? If not, the deadline is armed that brings the output stage back. */
bool mr_pace_allows(struct mr_tcp *t, struct mr_conn *c, uint32_t len)
{
	struct mr_active *a = mr_active_of(t, c);
	uint64_t rate = mr_cc_of(c)->pacing_rate(c, a);
	uint64_t wait_ms;

	a->pace_ms = 0;
	if (!rate)
		return true;
	fill(t, c, a, rate);
	if (a->pace_credit >= len)
		return true;
	wait_ms = min_u64(((len - a->pace_credit) * 1000ull + rate - 1) / rate, 1000);
	a->pace_ms = t->now_ms + max_u32((uint32_t)wait_ms, 1);
	a->pace_ms += !a->pace_ms;
	t->ops->armed(t, c);
	return false;
}

void mr_pace_sent(struct mr_tcp *t, struct mr_conn *c, uint32_t len)
{
	struct mr_active *a = mr_active_of(t, c);

	a->pace_credit -= min_u32(len, a->pace_credit);
}

bool mr_pace_waits(const struct mr_tcp *t, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(t->actives, c);

	return a && a->pace_ms;
}
