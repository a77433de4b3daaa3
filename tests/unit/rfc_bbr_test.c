/* SPDX-License-Identifier: MIT */
/*
 * BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00) against a bottleneck of 1.25 MB/s
 * and a round trip of 40 ms, its samples (draft-cheng-iccrg-delivery-rate-estimation-02), and
 * pacing.
 */
#include "tests/unit/rfc_fixture.h"

#include <string.h>

enum {
	LINK = 1250000, /* bytes a second */
	RTT_MS = 40,
	PIPE = 4096, /* segments on their way */
};

static uint8_t text[64 << 10];

/* The path: segments leave the bottleneck one by one, their ACKs come a round trip later. */
struct path {
	struct rfc f;
	struct mr_conn *c;
	struct {
		uint32_t end;
		uint64_t ack_us;
	} pipe[PIPE];
	uint32_t head, tail;
	uint64_t free_us; /* when the bottleneck is */
	uint64_t acked;
	uint32_t queue_most_ms;
};

static struct mr_bbr *bbr(struct path *p)
{
	return &mr_active_of(&p->f.tcp, p->c)->cc.bbr;
}

static void begin(struct path *p)
{
	memset(p, 0, sizeof(*p));
	rfc_init(&p->f);
	p->f.cc = MR_CC_BBR;
	p->f.config.send_buffer = 1 << 20;
	p->c = rfc_conn_in(&p->f, MR_ESTABLISHED);
	p->c->snd_shift = 5;
	p->c->snd_wnd = 65535 << 5;
	p->c->flags |= MR_CONN_NODELAY;
}

static void take_sent(struct path *p)
{
	for (uint32_t i = 0; i < p->f.n_sent; i++) {
		const struct rfc_sent *s = &p->f.sent[i];
		uint64_t start = p->free_us > p->f.tcp.now_us ? p->free_us : p->f.tcp.now_us;

		if (!s->len)
			continue;
		p->free_us = start + s->len * 1000000ull / LINK;
		p->pipe[p->tail % PIPE].end = s->seq + s->len;
		p->pipe[p->tail++ % PIPE].ack_us = p->free_us + RTT_MS * 1000;
		assert_true(p->tail - p->head < PIPE);
		if ((p->free_us - p->f.tcp.now_us) / 1000 > p->queue_most_ms)
			p->queue_most_ms = (uint32_t)((p->free_us - p->f.tcp.now_us) / 1000);
	}
	rfc_forget(&p->f);
}

static void deliver_acks(struct path *p)
{
	while (p->head != p->tail && p->pipe[p->head % PIPE].ack_us <= p->f.tcp.now_us) {
		uint32_t end = p->pipe[p->head++ % PIPE].end;

		p->acked += end - p->c->snd_una;
		rfc_arrives(&p->f, p->c,
			    &(struct rfc_in){ .flags = MR_ACK, .seq = p->c->rcv_nxt, .ack = end });
	}
}

/* One millisecond with text always waiting. */
static void step(struct path *p, bool busy)
{
	if (busy)
		rfc_send(&p->f, p->c, text, sizeof(text));
	take_sent(p);
	p->f.tcp.now_ms++;
	p->f.tcp.now_us = (uint64_t)p->f.tcp.now_ms * 1000;
	deliver_acks(p);
	mr_tcp_timers(&p->f.tcp, p->c);
	rfc_output(&p->f, p->c);
	take_sent(p);
}

static void steps(struct path *p, uint32_t ms)
{
	while (ms--)
		step(p, true);
}

static bool run_until(struct path *p, enum mr_bbr_mode mode, uint32_t ms)
{
	while (ms-- && bbr(p)->mode != mode)
		step(p, true);
	return bbr(p)->mode == mode;
}

/* What is still queued or on its way is acknowledged, so that every frame is free again. */
static void end(struct path *p)
{
	for (uint32_t ms = 0; p->c->tx_bytes && ms < 20000; ms++)
		step(p, false);
	assert_int_equal(p->c->tx_bytes, 0);
	rfc_fini(&p->f);
}

static void near(double value, double wanted, double share)
{
	if (value < wanted * (1 - share) || value > wanted * (1 + share))
		fail_msg("%g is not within %g of %g", value, share, wanted);
}

/* STARTUP finds the rate, DRAIN empties the queue that it made, PROBE_BW holds both. */
static void startup_drain_probe_bw(void **state)
{
	struct path p;
	uint64_t acked;

	(void)state;
	begin(&p);
	assert_int_equal(bbr(&p)->mode, MR_BBR_STARTUP);
	assert_true(run_until(&p, MR_BBR_DRAIN, 1500));
	assert_true(bbr(&p)->full);
	near(bbr(&p)->bw[0].rate, LINK, 0.1);
	assert_true(bbr(&p)->rate < LINK / 2); /* 1 / 2.885 */
	assert_true(run_until(&p, MR_BBR_PROBE_BW, 1500));
	near(bbr(&p)->min_rtt_us, RTT_MS * 1000, 0.1);
	steps(&p, 1000);
	acked = p.acked;
	p.queue_most_ms = 0;
	steps(&p, 4000);
	near((double)(p.acked - acked) / 4, LINK, 0.05);
	near(bbr(&p)->bw[0].rate, LINK, 0.1);
	assert_in_range(p.queue_most_ms, 0, RTT_MS); /* no more than the probes make */
	end(&p);
}

/* PROBE_BW: one phase of eight above the rate, then one below */
static void probe_bw_cycles_through_its_gains(void **state)
{
	bool seen[8] = { false };
	struct path p;

	(void)state;
	begin(&p);
	assert_true(run_until(&p, MR_BBR_PROBE_BW, 3000));
	for (int ms = 0; ms < 1500 && bbr(&p)->mode == MR_BBR_PROBE_BW; ms++) {
		uint8_t before = bbr(&p)->cycle;

		step(&p, true);
		seen[before] = true;
		if (bbr(&p)->cycle != before)
			assert_int_equal(bbr(&p)->cycle, (before + 1) % 8);
	}
	for (int i = 0; i < 8; i++)
		assert_true(seen[i]);
	end(&p);
}

/* Ten seconds without a smaller round trip: four segments for 200 ms and a round, then back. */
static void probe_rtt_after_ten_seconds(void **state)
{
	struct path p;
	uint32_t begun, cwnd, small = 0;

	(void)state;
	begin(&p);
	assert_true(run_until(&p, MR_BBR_PROBE_BW, 3000));
	assert_true(run_until(&p, MR_BBR_PROBE_RTT, 25000));
	assert_true(p.f.tcp.now_ms - RFC_START_MS > 10000);
	cwnd = bbr(&p)->prior_cwnd;
	begun = p.f.tcp.now_ms;
	while (bbr(&p)->mode == MR_BBR_PROBE_RTT && p.f.tcp.now_ms - begun < 2000) {
		assert_true(p.c->cwnd <= 4u * RFC_MSS);
		step(&p, true);
		small += mr_conn_flight(&p.f.tcp, p.c) <= 4u * RFC_MSS;
	}
	assert_int_equal(bbr(&p)->mode, MR_BBR_PROBE_BW);
	assert_in_range(small, 200, 400);
	assert_true(p.c->cwnd >= cwnd / 2);
	end(&p);
}

/* An application that sends little does not lower the estimate. */
static void app_limited_samples_do_not_lower_the_rate(void **state)
{
	struct path p;
	uint64_t rate;

	(void)state;
	begin(&p);
	assert_true(run_until(&p, MR_BBR_PROBE_BW, 3000));
	steps(&p, 500);
	rate = bbr(&p)->bw[0].rate;
	for (int ms = 0; ms < 20000 && p.c->tx_bytes; ms++)
		step(&p, false);
	for (int i = 0; i < 8; i++) { /* less than the ten rounds of the filter */
		rfc_send(&p.f, p.c, text, 500);
		for (int ms = 0; ms < 60; ms++)
			step(&p, false);
	}
	assert_true(bbr(&p)->bw[0].rate >= rate * 9 / 10);
	end(&p);
}

/* Loss leaves ssthresh alone, and the window comes back when recovery ends. */
static void loss_does_not_lower_the_model(void **state)
{
	struct path p;
	struct mr_active *a;
	uint32_t cwnd, ssthresh;
	uint64_t rate;

	(void)state;
	begin(&p);
	assert_true(run_until(&p, MR_BBR_PROBE_BW, 3000));
	a = mr_active_of(&p.f.tcp, p.c);
	cwnd = p.c->cwnd;
	ssthresh = p.c->ssthresh;
	rate = bbr(&p)->bw[0].rate;
	assert_int_equal(mr_cc_bbr.ssthresh(&p.f.tcp, p.c, a, cwnd), ssthresh);
	mr_cc_bbr.acked(
		&p.f.tcp, p.c, a,
		&(struct mr_cc_ack){ .delivered = RFC_MSS, .lost = RFC_MSS, .recovery = true });
	assert_int_equal(p.c->cwnd, mr_conn_flight(&p.f.tcp, p.c) + RFC_MSS);
	mr_cc_bbr.acked(&p.f.tcp, p.c, a, &(struct mr_cc_ack){ .delivered = RFC_MSS });
	near(p.c->cwnd, cwnd, 0.1);
	assert_true(bbr(&p)->bw[0].rate == rate);
	end(&p);
}

/* ----- pacing ----- */

/* In any time no more than the rate gives and one bucket: two ticks or two segments. */
static void pacing_never_exceeds_its_rate(void **state)
{
	static const uint32_t rates[] = { 200000, 1000000, 10000000 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t burst = rates[i] / 500 > 2 * RFC_MSS ? rates[i] / 500 : 2 * RFC_MSS;
		uint64_t at[41], sent = 0;
		struct path p;

		begin(&p);
		p.c->cwnd = 1 << 20;
		bbr(&p)->rate = rates[i];
		for (uint32_t ms = 0; ms <= 40; ms++) {
			for (int k = 0; k < 16; k++)
				rfc_send(&p.f, p.c, text, sizeof(text));
			mr_tcp_timers(&p.f.tcp, p.c);
			rfc_output(&p.f, p.c);
			for (uint32_t s = 0; s < p.f.n_sent; s++)
				sent += p.f.sent[s].len;
			take_sent(&p);
			at[ms] = sent;
			for (uint32_t from = 0; from < ms; from++)
				assert_true(at[ms] - at[from] <=
					    (uint64_t)rates[i] * (ms - from) / 1000 + burst);
			p.f.tcp.now_ms++;
			p.f.tcp.now_us += 1000;
		}
		near(sent, rates[i] * 0.04 + burst, 0.2);
		/* it goes on by its deadline alone */
		assert_true(mr_pace_waits(&p.f.tcp, p.c) || p.c->tx_next == MR_NONE);
		mr_tcp_close_conn(&p.f.tcp, p.c, MR_CLOSE_ABORTED);
		rfc_fini(&p.f);
	}
}

/* Nothing else is paced: a window of ten segments leaves at once. */
static void cubic_is_not_paced(void **state)
{
	struct rfc f;
	struct mr_conn *c;

	(void)state;
	rfc_init(&f);
	f.cc = MR_CC_CUBIC;
	c = rfc_conn_in(&f, MR_ESTABLISHED);
	rfc_send(&f, c, text, 10 * RFC_MSS);
	assert_int_equal(f.n_sent, 10);
	assert_false(mr_pace_waits(&f.tcp, c));
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(startup_drain_probe_bw),
		cmocka_unit_test(probe_bw_cycles_through_its_gains),
		cmocka_unit_test(probe_rtt_after_ten_seconds),
		cmocka_unit_test(app_limited_samples_do_not_lower_the_rate),
		cmocka_unit_test(loss_does_not_lower_the_model),
		cmocka_unit_test(pacing_never_exceeds_its_rate),
		cmocka_unit_test(cubic_is_not_paced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
