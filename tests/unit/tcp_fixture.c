/* SPDX-License-Identifier: MIT */
#include "tests/unit/tcp_fixture.h"

#include <stdlib.h>
#include <string.h>

uint8_t tcp_byte(uint32_t offset)
{
	return (uint8_t)(offset * 7 + offset / 251 + offset / 65521);
}

const uint8_t *tcp_bytes(uint32_t offset, uint32_t len)
{
	static uint8_t bytes[64 << 10];

	assert_true(len <= sizeof(bytes));
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = tcp_byte(offset + i);
	return bytes;
}

int tcp_text_arrives(struct rfc *f, struct mr_conn *c, uint32_t offset, uint16_t len, uint8_t flags)
{
	return arrives(f, c, .flags = MR_ACK | flags, .seq = c->irs + 1 + offset,
		       .text = tcp_bytes(offset, len), .len = len);
}

int tcp_ack_arrives(struct rfc *f, struct mr_conn *c, uint32_t ack)
{
	return arrives(f, c, .flags = MR_ACK, .seq = c->rcv_nxt, .ack = ack);
}

uint32_t tcp_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* ----- two ends ----- */

enum {
	CHANNEL = 4096, /* segments on their way */
	TICK_MS = 5,	/* applications and the kernel act so often */
	GIVE_UP_MS = 3600 * 1000,
};

struct end {
	struct rfc f;
	struct mr_half_open half; /* of the server, until it is established */
	struct mr_time_wait wait;
	bool is_server;
	bool done; /* the block is gone or a record */
	bool in_wait;
	uint32_t to_send, sent, to_receive, received;
	bool saw_end;
};

struct packet {
	uint32_t at_ms;
	uint8_t to;
	bool used;
	struct rfc_sent s;
};

struct pair {
	struct tcp_pair_options o;
	struct end end[2];
	struct packet *channel;
	uint32_t n_channel; /* none is used from here on */
	uint32_t now_ms;
	uint32_t seed;
	uint16_t n_full;   /* full segments that the client has sent, each counted the first time */
	uint32_t full_end; /* behind the last of them */
};

static bool chance(struct pair *p, uint32_t per_cent)
{
	return tcp_random(&p->seed) % 100 < per_cent;
}

static struct mr_tuple tuple_of(bool server)
{
	struct mr_tuple t = {
		.local = { [10] = 0xff, 0xff, 192, 0, 2, server ? 2 : 1 },
		.remote = { [10] = 0xff, 0xff, 192, 0, 2, server ? 1 : 2 },
		.local_port = mr_to_be16(server ? 7000 : 40000),
		.remote_port = mr_to_be16(server ? 40000 : 7000),
	};

	return t;
}

static void put(struct pair *p, uint8_t to, const struct rfc_sent *s, uint32_t more_ms)
{
	uint32_t delay = max_u32(p->o.delay_ms, 1) + more_ms +
			 (chance(p, p->o.reorder) ? tcp_random(&p->seed) % 20 : 0);

	for (uint32_t i = 0; i < CHANNEL; i++) {
		if (i < p->n_channel && p->channel[i].used)
			continue;
		if (i == p->n_channel)
			p->n_channel++;
		p->channel[i] = (struct packet){
			.at_ms = p->now_ms + delay, .to = to, .used = true, .s = *s
		};
		return;
	}
	fail_msg("channel full");
}

static bool is_listed(const uint16_t *list, uint16_t n)
{
	for (; list && *list; list++)
		if (*list == n)
			return true;
	return false;
}

/* What an end has sent goes into the channel, or not. */
static void collect(struct pair *p, uint8_t from)
{
	struct rfc *f = &p->end[from].f;

	for (unsigned int i = 0; i < f->n_sent; i++) {
		uint32_t end = f->sent[i].seq + f->sent[i].len;
		bool full = !from && f->sent[i].len >= 1400 &&
			    (!p->n_full || mr_seq_lt(p->full_end, end));

		if (full) {
			p->n_full++;
			p->full_end = end;
		}
		if ((full && is_listed(p->o.lose, p->n_full)) || chance(p, p->o.loss))
			continue;
		put(p, !from, &f->sent[i], full && is_listed(p->o.overtaken, p->n_full) ? 3 : 0);
		if (chance(p, p->o.dup))
			put(p, !from, &f->sent[i], 0);
	}
	f->n_sent = 0;
}

static struct mr_segment segment_of(const struct rfc_sent *s, bool server)
{
	return (struct mr_segment){
		.tuple = tuple_of(server),
		.seq = s->seq,
		.ack = s->ack,
		.wnd = s->wnd,
		.flags = s->flags,
		.len = (uint16_t)s->len,
		.options = s->options,
	};
}

/* The block that the half-open record stands for, as a lane would run it. */
static bool promote(struct pair *p, struct end *e, const struct mr_segment *seg)
{
	bool no_half = !(e->half.flags & MR_HALF_USED);

	if (no_half) {
		if (!mr_tcp_listen_state(&e->f.tcp, seg, &e->half))
			return false;
		if (p->o.server_iss)
			e->half.iss = p->o.server_iss;
		mr_half_open_send(&e->f.tcp, &e->half);
		return false;
	}
	if ((seg->flags & (MR_SYN | MR_ACK | MR_RST)) == MR_SYN) {
		mr_half_open_send(&e->f.tcp, &e->half);
		return false;
	}
	mr_half_open_expand(&e->f.tcp, &e->half, &e->f.conn);
	return true;
}

static void deliver(struct pair *p, struct packet *packet)
{
	struct end *e = &p->end[packet->to];
	struct mr_conn *c = &e->f.conn;
	struct mr_segment seg = segment_of(&packet->s, e->is_server);
	bool fresh = false, kept = false, reopen;
	uint32_t frame;

	if (e->in_wait) {
		mr_time_wait_arrives(&e->f.tcp, &e->wait, &seg, &reopen);
		assert_false(reopen);
		return;
	}
	if (e->done || c->close_reason != MR_CLOSE_NONE) {
		mr_tcp_closed_state(&e->f.tcp, &seg);
		return;
	}
	if (e->is_server && c->state == MR_CLOSED) {
		if (!promote(p, e, &seg))
			return;
		fresh = true;
	}
	frame = mr_frame_take(&e->f.frames, MR_FRAME_HAND, true);
	if (frame == MR_NONE)
		return; /* as a lane without frames: lost */
	e->f.records[frame].offset = 256;
	e->f.records[frame].len = seg.len;
	e->f.records[frame].seq = seg.seq + !!(seg.flags & MR_SYN);
	memcpy(mr_frame_payload(&e->f.frames, frame), packet->s.text, seg.len);
	mr_tcp_segment_arrives(&e->f.tcp, c, &seg, frame, &kept);
	if (!kept)
		mr_frame_give(&e->f.frames, frame);
	if (fresh && c->state == MR_SYN_RECEIVED)
		c->state = MR_CLOSED; /* a block that did not become established is thrown away */
	else if (fresh)
		e->half.flags = 0;
}

/* ----- applications ----- */

static void write_some(struct pair *p, struct end *e)
{
	struct mr_conn *c = &e->f.conn;

	while (e->sent < e->to_send) {
		uint32_t n = 1 + tcp_random(&p->seed) % 5000;
		int64_t took;

		if (n > e->to_send - e->sent)
			n = e->to_send - e->sent;
		took = mr_tcp_send_call(&e->f.tcp, c, tcp_bytes(e->sent, n), n);
		assert_true(took >= 0);
		e->sent += (uint32_t)took;
		if ((uint32_t)took < n)
			return;
	}
}

static void read_some(struct pair *p, struct end *e)
{
	struct mr_conn *c = &e->f.conn;
	uint32_t left = UINT32_MAX;

	e->saw_end = c->flags & MR_CONN_FIN_RECEIVED && !c->rx_bytes;
	if (p->o.slow_reader && e->is_server) {
		if (!chance(p, 20))
			return;
		left = tcp_random(&p->seed) % 20000;
	}
	while (c->rx_bytes && left) {
		struct mr_frame *r = &e->f.records[c->rx_head];
		uint32_t n = min_u32(r->len, left);

		if (memcmp(mr_frame_payload(&e->f.frames, c->rx_head), tcp_bytes(e->received, n),
			   n))
			fail_msg("seed %u: wrong byte near %u", p->o.seed, e->received);
		mr_tcp_consumed(&e->f.tcp, c, n);
		e->received += n;
		left -= n;
	}
	if (!c->rx_bytes)
		e->saw_end = c->flags & MR_CONN_FIN_RECEIVED;
}

static bool may_finish(const struct pair *p, const struct end *e)
{
	return e->sent == e->to_send && (p->o.simultaneous_close || !e->is_server || e->saw_end);
}

static void application(struct pair *p, struct end *e)
{
	struct mr_conn *c = &e->f.conn;

	if (c->state < MR_ESTABLISHED)
		return;
	if (!mr_tcp_cannot_send(c))
		write_some(p, e);
	read_some(p, e);
	if (c->state == MR_CLOSED)
		return;
	if (may_finish(p, e))
		mr_tcp_shutdown_send(&e->f.tcp, c);
	if (e->saw_end && c->flags & MR_CONN_FIN_QUEUED && !(c->flags & MR_CONN_ORPHAN))
		mr_tcp_close_call(&e->f.tcp, c);
}

/* The lane's part: output, and the end of a block. */
static void run_end(struct pair *p, struct end *e)
{
	struct mr_conn *c = &e->f.conn;
	bool existed = c->state != MR_CLOSED;

	if (e->done)
		return;
	if (existed)
		application(p, e);
	for (int i = 0; i < 10 && c->state != MR_CLOSED &&
			(e->f.ready || c->flags & (MR_CONN_SEND_LIMITED | MR_CONN_ACK_NOW));
	     i++) {
		e->f.ready = false;
		mr_tcp_output(&e->f.tcp, c);
	}
	if (c->state == MR_CLOSED && c->close_reason != MR_CLOSE_NONE) {
		if (c->close_reason != MR_CLOSE_DONE)
			fail_msg("seed %u: %s closed for reason %u at %u ms", p->o.seed,
				 e->is_server ? "server" : "client", c->close_reason, p->now_ms);
		e->done = true;
	}
	if (c->state == MR_TIME_WAIT && c->flags & MR_CONN_ORPHAN && !c->rx_bytes) {
		mr_time_wait_compress(&e->f.tcp, c, &e->wait);
		e->in_wait = true;
		e->done = true;
	}
}

static void set_clock(struct pair *p, uint32_t ms)
{
	p->now_ms = ms;
	for (int i = 0; i < 2; i++) {
		p->end[i].f.tcp.now_ms = ms;
		p->end[i].f.tcp.now_us = (uint64_t)ms * 1000;
	}
}

static void run_timers(struct end *e)
{
	struct mr_tcp *t = &e->f.tcp;

	if (e->half.flags & MR_HALF_USED && e->f.conn.state == MR_CLOSED && !e->done &&
	    !mr_ms_before(t->now_ms, e->half.expire_ms))
		mr_half_open_send(t, &e->half);
	if (e->f.conn.state != MR_CLOSED && !e->done)
		mr_tcp_timers(t, &e->f.conn);
}

/* The next millisecond in which something happens, at most a tick away. */
static uint32_t next_ms(struct pair *p)
{
	uint32_t next = p->now_ms + TICK_MS;

	while (p->n_channel && !p->channel[p->n_channel - 1].used)
		p->n_channel--;
	for (uint32_t i = 0; i < p->n_channel; i++)
		if (p->channel[i].used && mr_ms_before(p->channel[i].at_ms, next))
			next = p->channel[i].at_ms;
	return mr_ms_before(p->now_ms, next) ? next : p->now_ms + 1;
}

static void step(struct pair *p)
{
	set_clock(p, next_ms(p));
	for (uint32_t i = 0; i < p->n_channel; i++) {
		if (!p->channel[i].used || mr_ms_before(p->now_ms, p->channel[i].at_ms))
			continue;
		deliver(p, &p->channel[i]);
		p->channel[i].used = false;
	}
	for (uint8_t i = 0; i < 2; i++) {
		struct end *e = &p->end[i];

		e->f.no_room = p->o.short_of_room && chance(p, 30);
		e->f.hold_tx = p->o.hold_tx && chance(p, 70);
		if (chance(p, 30))
			rfc_complete(&e->f);
		run_timers(e);
		run_end(p, e);
		rfc_check_scoreboard(&e->f, &e->f.conn);
		collect(p, i);
	}
}

static void start(struct pair *p)
{
	struct mr_tuple tuple = tuple_of(false);
	struct mr_link link = { .peer_mac = { 2, 0, 0, 0, 0, 1 } };
	struct mr_conn *c = &p->end[0].f.conn;

	for (int i = 0; i < 2; i++) {
		struct mr_tcp_config *config;

		rfc_init(&p->end[i].f);
		config = &p->end[i].f.config;
		p->end[i].is_server = i;
		p->end[i].to_send = i ? p->o.server_bytes : p->o.client_bytes;
		p->end[i].to_receive = i ? p->o.client_bytes : p->o.server_bytes;
		if (p->o.receive_buffer)
			config->receive_buffer = p->o.receive_buffer;
		if (p->o.mtu)
			config->mtu = p->o.mtu;
		config->nagle = !p->o.nodelay;
		config->answer_ms = MR_ANSWER_MS;
	}
	set_clock(p, RFC_START_MS);
	mr_conn_init(&p->end[0].f.tcp, c, &tuple, &link);
	if (p->o.no_timestamps)
		c->flags &= ~MR_CONN_TIMESTAMPS;
	if (p->o.no_sack)
		c->flags &= ~MR_CONN_SACK;
	if (p->o.no_scale) {
		c->flags &= ~MR_CONN_WINDOW_SCALE;
		c->rcv_shift = 0;
	}
	mr_tcp_open_call(&p->end[0].f.tcp, c, p->o.mtu);
	if (p->o.client_iss) { /* before anything was seen of it: send the SYN again */
		c->iss = c->snd_una = c->recover = c->rtt_seq = p->o.client_iss;
		c->snd_nxt = c->iss + 1;
		p->end[0].f.n_sent = 0;
		mr_tcp_send_syn(&p->end[0].f.tcp, c);
	}
	collect(p, 0);
}

uint32_t tcp_pair_run(const struct tcp_pair_options *o)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint32_t took;

	assert_non_null(p);
	p->channel = calloc(CHANNEL, sizeof(*p->channel));
	assert_non_null(p->channel);
	p->o = *o;
	p->seed = o->seed * 2654435761u + 1;
	start(p);
	while (!(p->end[0].done && p->end[1].done)) {
		if (p->now_ms - RFC_START_MS > GIVE_UP_MS)
			fail_msg("seed %u: client %s %u/%u, server %s %u/%u", o->seed,
				 mr_tcp_state_name(p->end[0].f.conn.state), p->end[0].received,
				 o->server_bytes, mr_tcp_state_name(p->end[1].f.conn.state),
				 p->end[1].received, o->client_bytes);
		step(p);
	}
	took = p->now_ms - RFC_START_MS;
	if (o->stats)
		*o->stats = p->end[0].f.stats;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(p->end[i].received, p->end[i].to_receive);
		/* nothing stands in a list of what has ended: all frames are free */
		assert_int_equal(p->end[i].f.conn.rx_head, MR_NONE);
		assert_int_equal(p->end[i].f.conn.ooo_head, MR_NONE);
		assert_int_equal(p->end[i].f.conn.tx_head, MR_NONE);
		rfc_fini(&p->end[i].f);
	}
	free(p->channel);
	free(p);
	return took;
}
