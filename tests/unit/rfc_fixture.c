/* SPDX-License-Identifier: MIT */
#include "tests/unit/rfc_fixture.h"

#include <stdlib.h>
#include <string.h>

static struct rfc *of(struct mr_tcp *t)
{
	return (struct rfc *)(void *)t; /* first member */
}

static void record(struct rfc *f, const struct mr_segment_out *out, const uint8_t *text,
		   uint32_t len, bool reply)
{
	struct rfc_sent *s = &f->sent[f->n_sent];

	assert_true(f->n_sent < RFC_SENT);
	f->n_sent++;
	*s = (struct rfc_sent){
		.seq = out->seq,
		.ack = out->ack,
		.wnd = out->wnd,
		.urgent = out->urgent,
		.flags = out->flags,
		.ecn = out->ecn,
		.ttl = out->ttl,
		.dscp = out->dscp,
		.len = len,
		.at_ms = f->tcp.now_ms,
		.reply = reply,
		.options = out->options,
	};
	assert_true(len <= sizeof(s->text));
	if (len)
		memcpy(s->text, text, len);
}

static bool op_copy(struct mr_tcp *t, struct mr_conn *c, const uint8_t *data, uint32_t len,
		    const struct mr_segment_out *out)
{
	(void)c;
	if (of(t)->no_room)
		return false;
	record(of(t), out, data, len, false);
	return true;
}

static bool op_transmit(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
			const struct mr_segment_out *out)
{
	struct rfc *f = of(t);
	struct mr_frame *r;

	if (frame == MR_NONE)
		return op_copy(t, c, NULL, 0, out);
	r = &f->records[frame];
	assert_int_equal(r->in_tx, 0); /* what the kernel holds is never given to it again */
	if (f->no_room)
		return false;
	record(f, out, mr_frame_payload(&f->frames, frame), r->len, false);
	r->in_tx = f->hold_tx;
	return true;
}

static bool op_answer(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
		      const struct mr_plain_out *out)
{
	struct mr_segment_out any = mr_plain_segment(out);

	return op_transmit(t, c, frame, &any);
}

static void op_reply(struct mr_tcp *t, const struct mr_tuple *tuple, const struct mr_link *link,
		     const struct mr_segment_out *out)
{
	(void)tuple;
	(void)link;
	record(of(t), out, NULL, 0, true);
}

static void op_ready(struct mr_tcp *t, struct mr_conn *c)
{
	(void)c;
	of(t)->ready = true;
}

static void op_armed(struct mr_tcp *t, struct mr_conn *c)
{
	(void)t;
	(void)c;
}

static void op_event(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_event event)
{
	(void)c;
	of(t)->events[event]++;
}

static const struct mr_tcp_ops ops = {
	.transmit = op_transmit,
	.answer = op_answer,
	.copy = op_copy,
	.reply = op_reply,
	.ready = op_ready,
	.armed = op_armed,
	.event = op_event,
};

static void set_clock(struct rfc *f, uint32_t ms)
{
	f->tcp.now_ms = ms;
	f->tcp.now_us = (uint64_t)ms * 1000;
}

void rfc_init(struct rfc *f)
{
	rfc_init_frames(f, RFC_FRAMES);
}

void rfc_init_frames(struct rfc *f, uint32_t count)
{
	memset(f, 0, sizeof(*f));
	f->memory = calloc(count, RFC_FRAME_BYTES);
	f->records = calloc(count, sizeof(*f->records));
	f->sent = calloc(RFC_SENT, sizeof(*f->sent));
	assert_true(f->memory && f->records && f->sent);
	mr_frames_init(&f->frames, f->memory, f->records, count, RFC_FRAME_BYTES, NULL,
		       (uint64_t *)&f->stats.frames);
	mr_actives_init(&f->actives, f->active, RFC_ACTIVES, &f->conn);
	f->config = (struct mr_tcp_config){
		.isn_key = { { 1, 2 } },
		.receive_buffer = 256 << 10,
		.send_buffer = 256 << 10,
		.mtu = 1500,
		.time_wait_ms = 60000,
		.fin_wait_ms = 60000,
		.delayed_ack_ms = 40,
		.nagle = true,
		.keep_idle_s = 7200,
		.keep_interval_s = 75,
		.keep_count = 9,
	};
	f->tcp.frames = &f->frames;
	f->tcp.actives = &f->actives;
	f->tcp.config = &f->config;
	f->tcp.ops = &ops;
	f->tcp.stats = &f->stats;
	f->cc = MR_CC_NEWRENO;
	set_clock(f, RFC_START_MS);
}

static void init_conn(struct rfc *f, struct mr_conn *c)
{
	struct mr_tuple tuple = {
		.local = { [10] = 0xff, 0xff, 192, 0, 2, 2 },
		.remote = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
		.local_port = mr_to_be16(7000),
		.remote_port = mr_to_be16(40000),
	};
	struct mr_link link = { .peer_mac = { 2, 0, 0, 0, 0, 1 } };

	mr_conn_init(&f->tcp, c, &tuple, &link);
	c->flags &= ~(MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE | MR_CONN_SACK);
	c->rcv_shift = 0;
	c->iss = RFC_ISS;
	c->irs = RFC_IRS;
	c->snd_una = RFC_ISS;
	c->snd_nxt = RFC_ISS + 1;
	mr_tcp_set_mss(&f->tcp, c, RFC_MSS, 0);
	c->cc = f->cc;
	mr_cc_of(c)->init(c, false);
}

static void synchronise(struct mr_conn *c)
{
	c->flags |= MR_CONN_PASSIVE;
	c->rcv_nxt = RFC_IRS + 1;
	c->last_ack_sent = c->rcv_nxt;
	c->rcv_wnd = 65535;
	c->snd_wnd = 65535;
	c->max_snd_wnd = 65535;
	c->snd_wl1 = RFC_IRS;
	c->snd_wl2 = RFC_ISS + 1;
}

/* Which FINs a state stands for (RFC 9293 figure 5). */
static void count_fins(struct mr_conn *c, enum mr_tcp_state state)
{
	bool ours = state == MR_FIN_WAIT_1 || state == MR_FIN_WAIT_2 || state == MR_CLOSING ||
		    state == MR_LAST_ACK || state == MR_TIME_WAIT;
	bool acked = state == MR_FIN_WAIT_2 || state == MR_TIME_WAIT;
	bool peers = state == MR_CLOSE_WAIT || state == MR_CLOSING || state == MR_LAST_ACK ||
		     state == MR_TIME_WAIT;

	if (ours) {
		c->flags |= MR_CONN_FIN_QUEUED | MR_CONN_FIN_SENT;
		c->snd_nxt++;
	}
	if (acked)
		c->snd_una = c->snd_nxt;
	if (peers) {
		c->flags |= MR_CONN_FIN_RECEIVED;
		c->rcv_nxt++;
		c->last_ack_sent = c->rcv_nxt;
	}
}

struct mr_conn *rfc_conn_in(struct rfc *f, enum mr_tcp_state state)
{
	struct mr_conn *c = &f->conn;

	init_conn(f, c);
	c->state = (uint8_t)state;
	if (state == MR_SYN_SENT) {
		c->rcv_wnd = 65535;
		mr_timer_data_sent(&f->tcp, c);
		return c;
	}
	synchronise(c);
	if (state == MR_SYN_RECEIVED) {
		mr_timer_data_sent(&f->tcp, c);
		return c;
	}
	c->snd_una = RFC_ISS + 1;
	count_fins(c, state);
	if (c->snd_una != c->snd_nxt)
		mr_timer_data_sent(&f->tcp, c);
	return c;
}

struct mr_conn *rfc_conn_fresh(struct rfc *f, bool ipv6)
{
	struct mr_tuple tuple = {
		.local = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 },
		.remote = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
		.local_port = mr_to_be16(7000),
		.remote_port = mr_to_be16(40000),
	};
	struct mr_conn *c = rfc_conn_in(f, MR_SYN_SENT);
	struct mr_link link = mr_conn_link(c);

	if (!ipv6)
		memcpy(&tuple, mr_conn_tuple(c), sizeof(tuple));
	mr_conn_init(&f->tcp, c, &tuple, &link);
	return c;
}

struct mr_segment rfc_segment(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len)
{
	return (struct mr_segment){
		.tuple = {
			.local = { [10] = 0xff, 0xff, 192, 0, 2, 2 },
			.remote = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
			.local_port = mr_to_be16(7000),
			.remote_port = mr_to_be16(40000),
		},
		.link = { .peer_mac = { 2, 0, 0, 0, 0, 1 } },
		.seq = seq,
		.ack = ack,
		.wnd = 1000,
		.flags = flags,
		.len = len,
	};
}

int rfc_arrives_only(struct rfc *f, struct mr_conn *c, const struct rfc_in *in)
{
	struct mr_segment seg = {
		.seq = in->seq,
		.ack = in->flags & MR_ACK && !in->ack ? c->snd_nxt : in->ack,
		.wnd = in->wnd || in->zero_wnd ? in->wnd : 65535,
		.urgent = in->urgent,
		.flags = in->flags,
		.ecn = in->ecn,
		.len = in->len,
		.options = {
			.mss = in->mss,
			.has_timestamps = in->has_ts,
			.ts_val = in->ts_val,
			.ts_ecr = in->ts_ecr,
			.has_window_scale = in->has_wscale,
			.window_shift = in->wscale,
			.sack_permitted = in->sack_permitted,
			.n_sack = in->n_sack,
		},
	};
	uint32_t frame = mr_frame_take(&f->frames, MR_FRAME_HAND, true);
	struct mr_frame *r = &f->records[frame];
	bool kept;
	int drop;

	for (int i = 0; i < in->n_sack; i++) {
		seg.options.sack[i].left = in->sack[i].left;
		seg.options.sack[i].right = in->sack[i].right;
	}
	assert_int_not_equal(frame, MR_NONE);
	memcpy(&seg.tuple, mr_conn_tuple(c), sizeof(seg.tuple));
	r->offset = 256;
	r->len = in->len;
	r->seq = in->seq + !!(in->flags & MR_SYN);
	if (in->len)
		memcpy(mr_frame_payload(&f->frames, frame), in->text, in->len);
	drop = mr_tcp_segment_arrives(&f->tcp, c, &seg, frame, &kept);
	if (!kept)
		mr_frame_give(&f->frames, frame);
	return drop;
}

/* Marks, sums and the list by time agree with the send queue. */
void rfc_check_scoreboard(struct rfc *f, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&f->actives, c);
	uint32_t sacked = 0, lost = 0, n_sacked = 0, timed = 0, before = MR_NONE;
	bool hint = false, next = false;

	if (!a || c->state == MR_CLOSED)
		return;
	for (uint32_t i = c->tx_head; i != MR_NONE; i = f->records[i].next) {
		const struct mr_frame *r = &f->records[i];
		int marks = !!(r->marks & MR_FRAME_SACKED) + !!(r->marks & MR_FRAME_LOST) +
			    !!(r->marks & MR_FRAME_TIMED);

		assert_int_equal(marks, r->sends ? 1 : 0);
		sacked += r->marks & MR_FRAME_SACKED ? r->len : 0;
		n_sacked += !!(r->marks & MR_FRAME_SACKED);
		next |= i == a->lost_next;
		assert_true(next || !(r->marks & MR_FRAME_LOST));
		lost += r->marks & MR_FRAME_LOST ? r->len : 0;
		timed += !!(r->marks & MR_FRAME_TIMED);
		hint |= i == a->sack_hint;
	}
	for (uint32_t i = a->time_head; i != MR_NONE; i = f->records[i].time_next, timed--) {
		assert_int_equal(f->records[i].time_prev, before);
		assert_true(f->records[i].marks & MR_FRAME_TIMED);
		before = i;
	}
	assert_int_equal(a->time_tail, before);
	assert_int_equal(timed, 0);
	assert_int_equal(a->sacked, sacked);
	assert_int_equal(a->n_sacked, n_sacked);
	assert_int_equal(a->lost, lost);
	assert_true(hint || a->sack_hint == MR_NONE);
	assert_true(next || a->lost_next == MR_NONE);
}

void rfc_output(struct rfc *f, struct mr_conn *c)
{
	rfc_check_scoreboard(f, c);
	while (f->ready) {
		f->ready = false;
		if (c->state != MR_CLOSED)
			mr_tcp_output(&f->tcp, c);
	}
	rfc_check_scoreboard(f, c);
}

int rfc_arrives(struct rfc *f, struct mr_conn *c, const struct rfc_in *in)
{
	int drop = rfc_arrives_only(f, c, in);

	rfc_output(f, c);
	return drop;
}

void rfc_check_sent(const struct rfc *f, const uint8_t *text)
{
	for (unsigned int i = 0; i < f->n_sent; i++)
		assert_memory_equal(f->sent[i].text, text + (f->sent[i].seq - RFC_ISS - 1),
				    f->sent[i].len);
}

void rfc_fill(uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (uint8_t)(i * 3 + i / 241);
}

int64_t rfc_send(struct rfc *f, struct mr_conn *c, const void *data, size_t len)
{
	int64_t n = mr_tcp_send_call(&f->tcp, c, data, len);

	rfc_output(f, c);
	return n;
}

void rfc_advance(struct rfc *f, struct mr_conn *c, uint32_t ms)
{
	uint32_t end = f->tcp.now_ms + ms;

	for (;;) {
		uint32_t next = c->state == MR_CLOSED ? 0 : mr_tcp_next_deadline(&f->tcp, c);

		if (!next || mr_ms_before(end, next))
			break;
		if (mr_ms_before(f->tcp.now_ms, next))
			set_clock(f, next);
		mr_tcp_timers(&f->tcp, c);
		rfc_output(f, c);
	}
	set_clock(f, end);
}

void rfc_complete(struct rfc *f)
{
	for (uint32_t i = 0; i < f->frames.count; i++)
		if (f->records[i].in_tx)
			mr_frame_completed(&f->frames, i);
}

const struct rfc_sent *rfc_last(struct rfc *f)
{
	assert_true(f->n_sent > 0);
	return &f->sent[f->n_sent - 1];
}

void rfc_forget(struct rfc *f)
{
	f->n_sent = 0;
}

uint32_t rfc_read(struct rfc *f, struct mr_conn *c, void *to, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && c->rx_head != MR_NONE) {
		uint32_t len = min_u32(f->records[c->rx_head].len, max - n);

		memcpy((uint8_t *)to + n, mr_frame_payload(&f->frames, c->rx_head), len);
		mr_tcp_consumed(&f->tcp, c, len);
		n += len;
	}
	rfc_output(f, c);
	return n;
}

/* ----- every frame is in one place ----- */

static uint32_t walk(struct rfc *f, uint8_t *seen, uint32_t head, uint32_t *bytes)
{
	uint32_t n = 0;

	for (; head != MR_NONE; head = f->records[head].next, n++) {
		assert_true(head < f->frames.count);
		assert_int_equal(seen[head], 0);
		seen[head] = 1;
		*bytes += f->records[head].len;
	}
	return n;
}

uint32_t rfc_check_gaps(struct rfc *f, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&f->actives, c);
	const struct mr_frame *rec = f->records;
	uint32_t n = 0, n_runs = 0, before = MR_NONE, first = MR_NONE;
	uint32_t edge = c->rcv_nxt + 1;

	for (uint32_t i = c->ooo_head; i != MR_NONE; before = i, i = rec[i].next, n++) {
		bool is_first = before == MR_NONE || rec[before].tcp_flags & MR_FIN ||
				edge != rec[i].seq;

		assert_int_equal(rec[i].state, MR_FRAME_OOO);
		assert_int_equal(rec[i].time_prev, before);
		assert_true(mr_seq_le(edge, rec[i].seq));
		if (is_first && first != MR_NONE)
			assert_int_equal(rec[first].time_next, before);
		if (!is_first)
			assert_true(rec[before].len + rec[i].len > RFC_FRAME_BYTES - MR_TX_OFFSET);
		first = is_first ? i : first;
		n_runs += is_first;
		edge = rec[i].seq + rec[i].len;
		if (rec[i].next == MR_NONE || rec[rec[i].next].seq != edge)
			assert_int_equal(rec[i].time_next, first);
	}
	if (n) {
		assert_int_equal(rec[first].time_next, before);
		assert_int_equal(a->ooo_tail, before);
		assert_int_equal(a->ooo_frames, n);
		assert_int_equal(a->ooo_runs, n_runs);
	}
	return n;
}

void rfc_fini(struct rfc *f)
{
	struct mr_conn *c = &f->conn;
	uint8_t *seen = calloc(f->frames.count, 1);
	uint32_t free_bytes = 0, rx = 0, tx = 0, ooo = 0;
	uint32_t held = 0, n;

	assert_non_null(seen);
	rfc_complete(f);
	n = walk(f, seen, f->frames.free_head, &free_bytes);
	assert_int_equal(n, f->frames.n_free);
	assert_int_equal(n, f->stats.frames.free);
	if (mr_conn_tuple(c)->local_port.raw) {
		held += walk(f, seen, c->rx_head, &rx);
		held += walk(f, seen, c->ooo_head, &ooo);
		rfc_check_gaps(f, c);
		held += walk(f, seen, c->tx_head, &tx);
		assert_int_equal(rx, c->rx_bytes);
		assert_int_equal(tx, c->tx_bytes);
	}
	assert_int_equal(n + held, f->frames.count);
	free(seen);
	free(f->memory);
	free(f->records);
	free(f->sent);
}

int rfc_begin(void **state)
{
	struct rfc *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	rfc_init(f);
	*state = f;
	return 0;
}

int rfc_end(void **state)
{
	rfc_fini(*state);
	free(*state);
	return 0;
}
