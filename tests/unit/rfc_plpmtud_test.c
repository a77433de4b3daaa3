/* SPDX-License-Identifier: MIT */
/*
 * RFC 4821 (7.2 to 7.7), RFC 8899: black holes are noticed, larger segments are probed, and the
 * loss of a probe is no congestion. RFC 9293 3.8.3 (MUST-20): R1 gives advice to the layer below.
 */
#include "tests/unit/rfc_words.h"

#include <string.h>

static uint8_t text[400 * RFC_MSS];

static struct mr_conn *begin(struct rfc *f, enum mr_mtu_probing probing)
{
	struct mr_conn *c;

	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 5 + i / 253);
	rfc_init(f);
	f->config.mtu_probing = probing;
	c = rfc_conn_in(f, MR_SYN_SENT);
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK, .seq = RFC_IRS, .mss = RFC_MSS });
	assert_int_equal(c->state, MR_ESTABLISHED);
	rfc_forget(f);
	return c;
}

/*
 * A path that takes @mtu bytes and says nothing about the rest: each segment that fits arrives at
 * a peer that acknowledges everything at once, until all is acknowledged. Returns the largest
 * segment that arrived.
 */
static uint32_t pass(struct rfc *f, struct mr_conn *c, uint32_t mtu)
{
	static uint8_t has[sizeof(text) + 1];
	uint32_t next = c->snd_una - RFC_ISS - 1, largest = 0;
	uint32_t end = mr_tcp_queue_end(c);

	memset(has, 0, sizeof(has));
	for (int i = 0; i < 4000 && c->snd_una != end; i++) {
		unsigned int n = f->n_sent;
		uint32_t edge[64];
		unsigned int n_acks = 0;

		for (unsigned int k = 0; k < n && n_acks < 64; k++) {
			const struct rfc_sent *s = &f->sent[k];
			uint32_t at = s->seq - RFC_ISS - 1;

			if (!s->len || s->len + 40 > mtu)
				continue;
			assert_memory_equal(s->text, text + at, s->len);
			memset(has + at, 1, s->len);
			largest = max_u32(largest, s->len);
			while (has[next])
				next++;
			edge[n_acks++] = RFC_ISS + 1 + next;
		}
		rfc_forget(f);
		for (unsigned int k = 0; k < n_acks; k++)
			ack(f, c, edge[k]);
		if (!f->n_sent)
			rfc_advance(f, c, 50);
	}
	assert_int_equal(c->snd_una, end);
	return largest;
}

/* 7.7: full segments that never arrive become smaller; the transfer goes on. */
static void established_black_hole_is_left_behind(void **state)
{
	static const uint32_t mtus[] = { 1100, 1024, 600 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_MTU_PROBING_BLACK_HOLE);

		rfc_send(&f, c, text, 20 * RFC_MSS);
		assert_true(pass(&f, c, mtus[i]) <= mtus[i] - 40);
		assert_int_equal(f.stats.black_holes, mtus[i] == 600 ? 2 : 1);
		rfc_fini(&f);
	}
}

static void established_probing_off_keeps_the_size(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_OFF);

	(void)state;
	rfc_send(&f, c, text, 4 * RFC_MSS);
	rfc_advance(&f, c, 30000);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.stats.black_holes, 0);
	rfc_fini(&f);
}

/* Not before the third timeout in succession; a small segment that times out proves nothing. */
static void established_two_timeouts_are_no_black_hole(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_BLACK_HOLE);

	(void)state;
	rfc_send(&f, c, text, 2 * RFC_MSS);
	rfc_advance(&f, c, c->rto_ms * 3);
	assert_int_equal(f.stats.retransmit_timeouts, 2);
	assert_int_equal(c->snd_mss, RFC_MSS);
	ack(&f, c, c->snd_nxt);
	rfc_send(&f, c, text + 2 * RFC_MSS, 500);
	rfc_advance(&f, c, 60000);
	assert_true(f.stats.retransmit_timeouts > 5);
	assert_int_equal(c->snd_mss, RFC_MSS);
	rfc_fini(&f);
}

/* After an outage that looked like a black hole the first probe has the old size, and it passes. */
static void established_after_an_outage_the_size_comes_back(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_BLACK_HOLE);

	(void)state;
	rfc_send(&f, c, text, 60 * RFC_MSS);
	rfc_advance(&f, c, 60000);
	assert_int_equal(f.stats.black_holes, 2);
	rfc_forget(&f);
	rfc_advance(&f, c, 30000);
	assert_int_equal(pass(&f, c, 1500), RFC_MSS);
	assert_int_equal(c->snd_mss, RFC_MSS);
	assert_int_equal(f.stats.mtu_probes, 1);
	rfc_fini(&f);
}

/* 7.2: on: begins small, and finds the size of any path to within a few bytes. */
static void established_search_finds_the_size_of_the_path(void **state)
{
	static const uint32_t mtus[] = { 1024, 1064, 1280, 1400, 1492, 1500 };

	(void)state;
	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		struct rfc f;
		struct mr_conn *c = begin(&f, MR_MTU_PROBING_ON);

		assert_int_equal(c->snd_mss, 1024 - 40);
		for (int k = 0; k < 12; k++) {
			rfc_send(&f, c, text + (c->snd_nxt - RFC_ISS - 1), 30 * RFC_MSS);
			pass(&f, c, mtus[i]);
			rfc_advance(&f, c, 1000);
		}
		assert_true(c->snd_mss <= mtus[i] - 40);
		assert_true(c->snd_mss + 16u >= mtus[i] - 40);
		assert_int_equal(f.stats.retransmit_timeouts, 0);
		rfc_fini(&f);
	}
}

/* One probe in flight, and what follows it; nothing else. */
static struct mr_conn *probing(struct rfc *f)
{
	struct mr_conn *c = begin(f, MR_MTU_PROBING_ON);

	rfc_send(f, c, text, 20 * RFC_MSS);
	/* the first bytes left before there was enough text: now there is */
	while (!f->stats.mtu_probes) {
		rfc_forget(f);
		ack(f, c, c->snd_nxt);
	}
	assert_int_equal(f->sent[0].len, RFC_MSS);
	assert_int_equal(f->sent[0].seq, c->snd_una);
	assert_true(f->n_sent >= 5);
	rfc_check_sent(f, text);
	return c;
}

/* 7.5 and 7.6.1: the probe alone is lost: in pieces again, the window stays */
static void established_lost_probe_is_no_congestion(void **state)
{
	struct rfc f;
	struct mr_conn *c = probing(&f);
	uint32_t cwnd = c->cwnd, ssthresh = c->ssthresh;
	uint32_t mss = c->snd_mss;
	unsigned int k = 0;

	(void)state;
	rfc_forget(&f);
	for (int i = 0; i < 3; i++)
		ack(&f, c, c->snd_una);
	assert_int_equal(f.stats.mtu_probes_lost, 1);
	assert_int_equal(f.stats.fast_retransmits, 0);
	assert_int_equal(c->cwnd, cwnd);
	assert_int_equal(c->ssthresh, ssthresh);
	assert_int_equal(c->flags & MR_CONN_RECOVERY, 0);
	assert_true(f.n_sent >= 2);
	while (k + 1 < f.n_sent && f.sent[k].seq != c->snd_una)
		k++; /* new text may have left before */
	assert_int_equal(f.sent[k].seq, c->snd_una);
	assert_int_equal(f.sent[k].len, mss);
	assert_int_equal(f.sent[k + 1].seq, c->snd_una + mss);
	assert_int_equal(f.sent[k + 1].len, RFC_MSS - mss);
	rfc_check_sent(&f, text);
	assert_int_equal(c->snd_mss, mss);
	rfc_fini(&f);
}

/* The next probe is smaller than the one that was lost. */
static void established_next_probe_halves_the_distance(void **state)
{
	struct rfc f;
	struct mr_conn *c = probing(&f);
	uint32_t mss = c->snd_mss;
	uint32_t largest = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		ack(&f, c, c->snd_una);
	rfc_advance(&f, c, 150);
	rfc_forget(&f);
	for (int i = 0; i < 10 && f.stats.mtu_probes < 2; i++)
		ack(&f, c, c->snd_nxt);
	rfc_send(&f, c, text + 20 * RFC_MSS, 20 * RFC_MSS);
	for (int i = 0; i < 10 && f.stats.mtu_probes < 2; i++)
		ack(&f, c, c->snd_nxt);
	for (unsigned int i = 0; i < f.n_sent; i++)
		largest = max_u32(largest, f.sent[i].len);
	assert_int_equal(f.stats.mtu_probes, 2);
	assert_int_equal(largest, (mss + RFC_MSS) / 2);
	rfc_check_sent(&f, text);
	rfc_fini(&f);
}

/* A probe that was overtaken by a timeout proves nothing; three such count as lost. */
static void established_probe_in_a_timeout_is_inconclusive(void **state)
{
	struct rfc f;
	struct mr_conn *c = probing(&f);
	struct mr_active *a = mr_active_peek(&f.actives, c);

	(void)state;
	rfc_advance(&f, c, c->rto_ms);
	assert_int_equal(f.stats.retransmit_timeouts, 1);
	assert_int_equal(a->probe_len, 0);
	assert_int_equal(a->mss_bad, 0);
	assert_int_equal(a->probe_tries, 1);
	ack(&f, c, c->snd_una + RFC_MSS);
	assert_true(c->snd_mss < RFC_MSS);
	rfc_fini(&f);
}

/* Little text: nothing is probed, nothing waits for a probe. */
static void established_short_writes_are_sent_as_they_are(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_ON);

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		rfc_send(&f, c, text + i * 700, 700);
		assert_int_equal(rfc_last(&f)->len, 700);
		ack(&f, c, c->snd_nxt);
	}
	assert_int_equal(f.stats.mtu_probes, 0);
	rfc_fini(&f);
}

/* Sealed small writes, a reserved tail: gathered bytes stay in order, the tail is not touched. */
static void established_probe_gathers_small_writes(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_ON);
	uint32_t done = 0, room;
	uint8_t *to;

	(void)state;
	c->flags |= MR_CONN_NODELAY;
	c->cwnd = 1000;
	while (done < 40000) {
		rfc_send(&f, c, text + done, 333);
		done += 333;
	}
	c->cwnd = 1 << 20;
	to = mr_tcp_reserve(&f.tcp, c, &room);
	assert_non_null(to);
	rfc_forget(&f);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(f.stats.mtu_probes, 1);
	assert_int_equal(f.sent[0].len, RFC_MSS);
	memcpy(to, text + done, 10);
	mr_tcp_commit(&f.tcp, c, 10);
	rfc_output(&f, c);
	rfc_check_sent(&f, text);
	ack(&f, c, c->snd_nxt);
	ack(&f, c, c->snd_nxt);
	assert_int_equal(c->snd_una, RFC_ISS + 1 + done + 10);
	rfc_fini(&f);
}

/* MUST-20, R1: three retransmissions without a word of the peer, and not when it still speaks. */
static void established_third_timeout_doubts_the_path(void **state)
{
	struct rfc f;
	struct mr_conn *c = begin(&f, MR_MTU_PROBING_OFF);

	(void)state;
	rfc_send(&f, c, text, 100);
	rfc_advance(&f, c, c->rto_ms * 3);
	assert_int_equal(f.stats.retransmit_timeouts, 2);
	assert_int_equal(f.events[MR_EVENT_PATH_DOUBT], 0);
	rfc_advance(&f, c, c->rto_ms * 4);
	assert_int_equal(f.stats.retransmit_timeouts, 3);
	assert_int_equal(f.events[MR_EVENT_PATH_DOUBT], 1);
	ack(&f, c, c->snd_una);
	rfc_advance(&f, c, c->rto_ms * 24);
	assert_true(f.stats.retransmit_timeouts > 3);
	assert_int_equal(f.events[MR_EVENT_PATH_DOUBT], 1);
	rfc_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(established_black_hole_is_left_behind),
		cmocka_unit_test(established_probing_off_keeps_the_size),
		cmocka_unit_test(established_two_timeouts_are_no_black_hole),
		cmocka_unit_test(established_after_an_outage_the_size_comes_back),
		cmocka_unit_test(established_search_finds_the_size_of_the_path),
		cmocka_unit_test(established_lost_probe_is_no_congestion),
		cmocka_unit_test(established_next_probe_halves_the_distance),
		cmocka_unit_test(established_probe_in_a_timeout_is_inconclusive),
		cmocka_unit_test(established_short_writes_are_sent_as_they_are),
		cmocka_unit_test(established_probe_gathers_small_writes),
		cmocka_unit_test(established_third_timeout_doubts_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
