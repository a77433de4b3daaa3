/* SPDX-License-Identifier: MIT */
/*
 * Header prediction and the short way of answers are short cuts and nothing else: two connections
 * get the same segments, calls and time, one of them without (the linker puts
 * __wrap_mr_tcp_predict() and __wrap_mr_tcp_answer() before them), and stay equal in every field,
 * in what they sent and in what was read.
 */
#include "tests/unit/tcp_fixture.h"

#include <string.h>

enum {
	ROUNDS = 150,
	STEPS = 400,
};

bool __real_mr_tcp_predict(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame, bool *kept);
bool __wrap_mr_tcp_predict(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame, bool *kept);

bool __real_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);
bool __wrap_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a);

static struct {
	const struct mr_tcp *without;
	uint64_t taken, refused, answered;
} predict;

bool __wrap_mr_tcp_answer(struct mr_tcp *t, struct mr_conn *c, struct mr_active *a)
{
	bool answered = t != predict.without && __real_mr_tcp_answer(t, c, a);

	predict.answered += answered;
	return answered;
}

bool __wrap_mr_tcp_predict(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame, bool *kept)
{
	if (t == predict.without)
		return false;
	if (__real_mr_tcp_predict(t, c, seg, frame, kept)) {
		predict.taken++;
		return true;
	}
	predict.refused++;
	return false;
}

/* The two connections: [0] with prediction, [1] without. */
struct twins {
	struct rfc f[2];
	struct mr_conn *c[2];
	uint32_t seed;
	uint32_t peer_ts;
};

static uint32_t one_of(struct twins *w, uint32_t n)
{
	return tcp_random(&w->seed) % n;
}

static void begin(struct twins *w, uint32_t seed)
{
	*w = (struct twins){ .seed = seed, .peer_ts = 777 };
	predict.without = &w->f[1].tcp;
	for (int i = 0; i < 2; i++) {
		struct mr_conn *c;

		rfc_init(&w->f[i]);
		w->f[i].cc = (uint8_t)(seed % MR_CC_COUNT);
		c = rfc_conn_in(&w->f[i], MR_ESTABLISHED);
		c->flags |= MR_CONN_SACK | MR_CONN_TIMESTAMPS | (seed & 1 ? MR_CONN_NODELAY : 0);
		c->ts_recent = w->peer_ts;
		c->snd_mss = RFC_MSS - 12;
		if (seed % 5 == 0) { /* where the sequence space wraps */
			c->rcv_nxt = c->last_ack_sent = 0xfffff000u;
			c->irs = c->rcv_nxt + 3000; /* 2^32 bytes, all but 3000, have come */
			c->snd_wl1 = c->rcv_nxt - 1;
			c->iss = c->snd_una + 3000;
		}
		w->c[i] = c;
	}
}

/* The kinds of segments; most are the one that is waited for. */
static struct rfc_in draw(struct twins *w)
{
	static uint8_t text[RFC_MSS];
	const struct mr_conn *c = w->c[0];
	uint32_t flight = c->snd_nxt - c->snd_una;
	struct rfc_in in = { .flags = MR_ACK | (one_of(w, 2) ? MR_PSH : 0),
			     .seq = c->rcv_nxt,
			     .ack = one_of(w, 8) ? c->snd_nxt : c->snd_una,
			     .wnd = one_of(w, 8) ? 60000 : (uint16_t)(1 + one_of(w, 65535)),
			     .has_ts = true,
			     .ts_ecr = w->f[0].tcp.now_ms + w->f[0].tcp.ts_offset };

	w->peer_ts += one_of(w, 3);
	in.ts_val = w->peer_ts;
	in.text = text;
	in.len = (uint16_t)(one_of(w, 4) ? 1 + one_of(w, 200) : one_of(w, 2) * (RFC_MSS - 12));
	if (!one_of(w, 3))
		in.len = 0;
	for (uint32_t i = 0; i < in.len; i++)
		text[i] = (uint8_t)(in.seq + i);
	switch (one_of(w, 24)) {
	case 0:
		in.seq += 1 + one_of(w, 3000);
		break;
	case 1:
		in.seq -= one_of(w, 300);
		break;
	case 2:
		in.ts_val -= 1 + one_of(w, 1000);
		break;
	case 3:
		in.has_ts = false;
		break;
	case 4:
		in.ack = c->snd_una + (flight ? one_of(w, flight) : 0);
		break;
	case 5:
		in.ack = c->snd_nxt + 1 + one_of(w, 10);
		break;
	case 6:
		in.n_sack = 1;
		in.ack = c->snd_una;
		in.sack[0] = (struct mr_block){ c->snd_una + flight / 2, c->snd_nxt };
		break;
	case 7:
		in.flags |= one_of(w, 2) ? MR_URG : MR_ECE;
		in.urgent = 3;
		break;
	case 8:
		in.zero_wnd = true;
		in.wnd = 0;
		break;
	case 9:
		in.flags = one_of(w, 100) ? in.flags : MR_FIN | MR_ACK;
		break;
	default:
		break;
	}
	return in;
}

static void assert_equal_sent(const struct rfc *a, const struct rfc *b)
{
	assert_int_equal(a->n_sent, b->n_sent);
	for (unsigned int i = 0; i < a->n_sent; i++) {
		assert_int_equal(a->sent[i].seq, b->sent[i].seq);
		assert_int_equal(a->sent[i].ack, b->sent[i].ack);
		assert_int_equal(a->sent[i].wnd, b->sent[i].wnd);
		assert_int_equal(a->sent[i].flags, b->sent[i].flags);
		assert_int_equal(a->sent[i].len, b->sent[i].len);
		assert_int_equal(a->sent[i].at_ms, b->sent[i].at_ms);
		assert_int_equal(a->sent[i].options.ts_ecr, b->sent[i].options.ts_ecr);
		assert_memory_equal(a->sent[i].text, b->sent[i].text, a->sent[i].len);
	}
}

static void assert_twins(struct twins *w)
{
	assert_memory_equal(w->c[0], w->c[1], sizeof(*w->c[0]));
	assert_memory_equal(w->f[0].active, w->f[1].active, sizeof(w->f[0].active));
	assert_memory_equal(&w->f[0].stats, &w->f[1].stats, sizeof(w->f[0].stats));
	assert_memory_equal(w->f[0].events, w->f[1].events, sizeof(w->f[0].events));
	assert_int_equal(w->f[0].ready, w->f[1].ready);
	assert_int_equal(w->f[0].frames.n_free, w->f[1].frames.n_free);
	assert_equal_sent(&w->f[0], &w->f[1]);
}

static void step(struct twins *w)
{
	static uint8_t data[8192], got[2][8192];
	uint32_t what = one_of(w, 10);
	uint32_t n = one_of(w, one_of(w, 20) ? 200 : 6000);
	struct rfc_in in = draw(w);
	int drop[2];

	for (int i = 0; i < 2; i++) {
		struct rfc *f = &w->f[i];

		if (what < 4)
			drop[i] = rfc_arrives(f, w->c[i], &in);
		else if (what < 5)
			drop[i] = rfc_arrives_only(f, w->c[i], &in);
		else if (what < 6)
			drop[i] = (int)rfc_send(f, w->c[i], data, n);
		else if (what < 9)
			drop[i] = (int)rfc_read(f, w->c[i], got[i], sizeof(got[i]));
		else
			drop[i] = (rfc_advance(f, w->c[i], n), 0);
		if (what == 9 && n == 5)
			w->c[i]->flags |= MR_CONN_WANT_WRITE;
		if (what == 9 && n == 7)
			mr_tcp_shutdown_send(&f->tcp, w->c[i]);
		if (what >= 6 && what < 9)
			rfc_output(f, w->c[i]);
	}
	assert_int_equal(drop[0], drop[1]);
	if (what >= 6 && what < 9 && drop[0] > 0)
		assert_memory_equal(got[0], got[1], (size_t)drop[0]);
	assert_twins(w);
	for (int i = 0; i < 2; i++)
		rfc_forget(&w->f[i]);
}

static void whatever_arrives_prediction_changes_nothing(void **state)
{
	struct twins w;

	(void)state;
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		begin(&w, round);
		for (int i = 0; i < STEPS && w.c[0]->state != MR_CLOSED; i++)
			step(&w);
		for (int i = 0; i < 2; i++)
			rfc_fini(&w.f[i]);
	}
	assert_true(predict.taken > ROUNDS * STEPS / 20);
	assert_true(predict.refused > ROUNDS * STEPS / 20);
	assert_true(predict.answered > ROUNDS * STEPS / 200);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_arrives_prediction_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
