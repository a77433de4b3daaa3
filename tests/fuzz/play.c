/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/play.h"

#include "shared/mr_cc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
	OLD_FRAMES = 8,
	/* More than user timeout, keepalive, TIME-WAIT, FIN-WAIT and a listener's answer together;
	 * a drill's own clock runs for an hour at most. */
	SILENCE_MS = 2 * 3600 * 1000,
};

/* Frames that were sent, to come again or to be changed. */
static struct {
	uint8_t bytes[FRAME_MAX];
	size_t len;
} old[OLD_FRAMES];
static unsigned int n_old;

static void emit(struct net *n, const uint8_t *frame, size_t len)
{
	unsigned int i = n_old++ % OLD_FRAMES;

	memcpy(old[i].bytes, frame, len);
	old[i].len = len;
	net_frame(n, frame, len);
}

static void send_segment(struct net *n, const struct frame_segment *s)
{
	uint8_t frame[FRAME_MAX];

	emit(n, frame, frame_build(frame, s));
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
	return p + 4;
}

static uint8_t *put_timestamps(uint8_t *p, uint32_t val, uint32_t ecr)
{
	*p++ = 1;
	*p++ = 1;
	*p++ = 8;
	*p++ = 10;
	return put32(put32(p, val), ecr);
}

/* A distance that is small most of the time: a byte of sign, shift and size. */
static uint32_t distance(struct fuzz_in *in)
{
	uint8_t v = fuzz_u8(in);
	uint32_t d = (uint32_t)(v & 31) << (v >> 5 & 3) * 4;

	return v & 128 ? 0 - d : d;
}

static uint8_t plain_timestamps(const struct net *n, const struct net_conn *c, uint8_t *out)
{
	if (!c->timestamps)
		return 0;
	return (uint8_t)(put_timestamps(out, net_now_ms(n), c->ts_recent) - out);
}

/* ----- instructions ----- */

static void play_syn(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct net_conn *c = &n->conn[i];
	uint8_t how = fuzz_u8(in), port = fuzz_u8(in), options[FRAME_OPTIONS_MAX], *p = options;
	struct frame_segment s;

	*c = (struct net_conn){
		.lane_port = (uint16_t)(PLAY_ECHO + (port & 7) % (PLAY_PORTS_END - PLAY_ECHO + 1)),
		.vlan = how & 64 ? 5 : 0,
		.snd_nxt = how & 128 ? 0xfffffff0u : 1000u * i,
		.shifts = how & 2,
	};
	if (how & 1)
		p = (uint8_t *)memcpy(p, (uint8_t[]){ 2, 4, how & 32 ? 0 : 5, 100 }, 4) + 4;
	if (how & 2)
		p = (uint8_t *)memcpy(p, (uint8_t[]){ 1, 3, 3, port >> 4 }, 4) + 4;
	if (how & 4)
		p = (uint8_t *)memcpy(p, (uint8_t[]){ 1, 1, 4, 2 }, 4) + 4;
	if (how & 8)
		p = put_timestamps(p, net_now_ms(n), 0);
	if (port & 128) /* Fast Open: a cookie is asked for (RFC 7413) */
		p = (uint8_t *)memcpy(p, (uint8_t[]){ 1, 1, 34, 2 }, 4) + 4;
	s = net_segment(n, i);
	s.flags = port & 8 ? MR_SYN | MR_ECE | MR_CWR : MR_SYN; /* RFC 3168 */
	s.ecn = port & 8 && i & 1 ? MR_AE : 0;			/* RFC 9768 */
	s.ack = 0;
	s.options = options;
	s.options_len = (uint8_t)(p - options);
	send_segment(n, &s);
	c->snd_nxt++;
	if (how & 16)
		return; /* half-open it stays */
	net_turns(n);
	s = net_segment(n, i);
	s.options_len = plain_timestamps(n, c, options);
	s.options = options;
	send_segment(n, &s);
}

static void play_text(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct net_conn *c = &n->conn[i];
	struct frame_segment s = net_segment(n, i);
	uint8_t options[12], filler[FRAME_TEXT_MAX];
	uint8_t size = fuzz_u8(in);
	size_t len;

	s.text = fuzz_take(in, size & 63, &len);
	if (size & 64) { /* a lot of what does not matter */
		len = FRAME_TEXT_MAX - 12u - (size & 63);
		memset(filler, size, len);
		s.text = filler;
	}
	s.text_len = (uint16_t)len;
	s.flags = size & 128 ? MR_ACK | MR_PSH : MR_ACK;
	s.options = options;
	s.options_len = plain_timestamps(n, c, options);
	send_segment(n, &s);
	c->snd_nxt += s.text_len;
	c->una = c->rcv_nxt;
}

static const uint8_t *choose_options(const struct net *n, const struct net_conn *c,
				     struct fuzz_in *in, uint8_t *out, uint8_t *bytes)
{
	uint8_t kind = fuzz_u8(in), *p = out;
	size_t raw;

	if (kind & 1)
		p = put_timestamps(p, net_now_ms(n) + distance(in), c->ts_recent + distance(in));
	if (kind & 2) { /* SACK of one or two blocks */
		uint8_t blocks = kind & 4 ? 2 : 1;

		*p++ = 1;
		*p++ = 1;
		*p++ = 5;
		*p++ = (uint8_t)(2 + blocks * 8);
		while (blocks--) {
			uint32_t left = c->una + distance(in);

			p = put32(put32(p, left), left + distance(in));
		}
	}
	if (kind & 8) { /* anything */
		const uint8_t *any =
			fuzz_take(in, (size_t)(FRAME_OPTIONS_MAX - (p - out)) & kind >> 4, &raw);

		if (raw)
			memcpy(p, any, raw);
		p += raw;
	}
	*bytes = (uint8_t)(p - out);
	return out;
}

static void play_segment(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct net_conn *c = &n->conn[i];
	struct frame_segment s = net_segment(n, i);
	uint8_t options[FRAME_OPTIONS_MAX], how = fuzz_u8(in);
	size_t len;

	s.flags = fuzz_u8(in);
	s.seq = (how & 1 ? c->acked : c->snd_nxt) + distance(in);
	s.ack = (how & 2 ? c->una : c->rcv_nxt) + distance(in);
	s.wnd = how & 4 ? fuzz_u8(in) : 65535;
	s.ip_extras = how >> 3;
	s.ecn = how >> 5;
	s.urgent = how & 128 ? fuzz_u16(in) : 0;
	s.options = choose_options(n, c, in, options, &s.options_len);
	s.text = fuzz_take(in, fuzz_u8(in) & 63, &len);
	s.text_len = (uint16_t)len;
	send_segment(n, &s);
}

/* What a well-behaved peer says at the end of its own or of the connection. */
static void play_flags(struct net *n, unsigned int i, struct fuzz_in *in)
{
	static const uint8_t flags[] = { MR_ACK, MR_FIN | MR_ACK, MR_RST, MR_RST | MR_ACK };
	struct net_conn *c = &n->conn[i];
	struct frame_segment s = net_segment(n, i);
	uint8_t options[12], how = fuzz_u8(in);

	s.flags = flags[how % 4];
	s.wnd = how & 4 ? 0 : how & 8 ? 3000 : 65535;
	s.options = options;
	s.options_len = plain_timestamps(n, c, options);
	send_segment(n, &s);
	c->snd_nxt += (s.flags & MR_FIN) != 0;
	c->una = c->rcv_nxt;
}

static void play_icmp(struct net *n, unsigned int i, struct fuzz_in *in)
{
	static const uint8_t usual[2][4][2] = { { { 3, 4 }, { 3, 1 }, { 3, 3 }, { 11, 0 } },
						{ { 2, 0 }, { 1, 0 }, { 1, 4 }, { 3, 0 } } };
	struct net_conn *c = &n->conn[i];
	struct frame_segment s = net_segment(n, i);
	uint8_t frame[FRAME_MAX], how = fuzz_u8(in);
	uint8_t type = usual[i % 2][how % 4][0], code = usual[i % 2][how % 4][1];

	s.from = c->lane_port;
	s.to = (uint16_t)(NET_PORTS + i);
	s.seq = (how & 4 ? c->una : c->rcv_nxt) + distance(in);
	s.ack = c->snd_nxt;
	if (how & 8) {
		type = fuzz_u8(in);
		code = fuzz_u8(in);
	}
	emit(n, frame,
	     frame_build_icmp(frame, &s, type, code, fuzz_u16(in), how & 16 ? 28 + how / 8 : 200));
}

static void play_time(struct net *n, unsigned int i, struct fuzz_in *in)
{
	static const uint32_t ms[] = { 0, 1, 40, 200, 1000, 3000, 30000, 600000 };

	(void)i;
	net_run(n, ms[fuzz_u8(in) % 8]);
}

/* Bytes that are a frame or are not. */
static void play_bytes(struct net *n, unsigned int i, struct fuzz_in *in)
{
	uint8_t frame[FRAME_MAX] = { 0 };
	size_t len;
	const uint8_t *bytes = fuzz_take(in, fuzz_u8(in), &len);

	if (len)
		memcpy(frame, bytes, len);
	if (i & 1) {
		memcpy(frame, frame_lane_mac, 6);
		frame_repair(frame, len);
	}
	emit(n, frame, len);
}

/* An old frame again: as it was, cut, or changed in a place. */
static void play_again(struct net *n, unsigned int i, struct fuzz_in *in)
{
	uint8_t frame[FRAME_MAX], how = fuzz_u8(in);
	size_t len = old[i % OLD_FRAMES].len;

	memcpy(frame, old[i % OLD_FRAMES].bytes, len);
	if (how & 1 && len)
		frame[fuzz_u16(in) % len] ^= fuzz_u8(in);
	if (how & 2 && len)
		len = fuzz_u16(in) % len;
	if (how & 4)
		frame_repair(frame, len);
	net_frame(n, frame, len);
}

/* The lane opens a connection to the peer's port. */
static void play_connect(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(NET_PORTS + i) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(NET_PORTS + i) };
	const struct sockaddr *to = i % 2 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
	uint8_t how = fuzz_u8(in);
	mr_conn_id id;

	memcpy(&in4.sin_addr, frame_peer_addr[0] + 12, 4);
	memcpy(&in6.sin6_addr, frame_peer_addr[1], 16);
	if (how & 128) /* nobody knows a path to it */
		in4.sin_addr.s_addr ^= htonl(1u << 8);
	n->conn[i] = (struct net_conn){ .snd_nxt = 77u * i, .shifts = true };
	n->has_asked = false;
	if (mr_lane_connect(n->lane, how % (n->config.n_rules + 1), to, &id) < 0)
		return;
	if (n->has_asked && !(how & 128))
		mr_lane_path_answer(n->lane, n->asked, i % 2);
	net_turns(n);
	if (how & 64)
		return;
	if (n->conn[i].lane_port) {
		struct frame_segment s = net_segment(n, i);

		s.flags = how & 32 ? MR_SYN : MR_SYN | MR_ACK;
		send_segment(n, &s);
		n->conn[i].snd_nxt++;
	}
}

/* The daemon speaks. */
static void play_daemon(struct net *n, unsigned int i, struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	struct mr_path *p = &n->paths->path[how >> 3 & 1];

	switch (how % 8) {
	case 0:
		mr_lane_path_answer(n->lane, n->asked, (int8_t)fuzz_u8(in));
		break;
	case 1:
		mr_lane_listen_answer(n->lane, n->cookie, how & 8 ? -98 : 0);
		break;
	case 2:
	case 3:
		mr_lane_listener(n->lane, frame_lane_addr[i % 2],
				 (uint16_t)(PLAY_PORTS_END + how / 16), how & 8 ? 0 : fuzz_u8(in),
				 how & 1);
		break;
	case 4:
		p->seq += 2;
		p->mtu = fuzz_u16(in);
		break;
	case 5:
		p->seq += 2;
		p->state = fuzz_u8(in) % 5;
		break;
	case 6:
		p->seq++; /* in the middle of a change */
		break;
	default:
		n->paths->seq += 2;
		n->paths->n_mtu_routes = 1;
		n->paths->mtu_route[0] =
			(struct mr_mtu_route){ .bits = fuzz_u8(in), .mtu = fuzz_u16(in) };
		memcpy(n->paths->mtu_route[0].prefix, frame_peer_addr[i % 2], 16);
	}
}

static void play_flood(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct frame_segment s = net_segment(n, i);
	uint8_t count = fuzz_u8(in) % 64, flags = fuzz_u8(in);

	s.flags = flags & 64 ? MR_SYN : flags & 63;
	s.to = (uint16_t)(PLAY_ECHO + flags % 8);
	for (s.from = 1; s.from <= count; s.from++) {
		uint8_t frame[FRAME_MAX];

		net_frame(n, frame, frame_build(frame, &s));
		if (s.from % 16 == 0)
			net_turns(n);
	}
}

/* A peer that acknowledges whatever it got, for as long as there is more. */
static void play_acks(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct net_conn *c = &n->conn[i];
	uint8_t rounds = fuzz_u8(in) % 8;

	do {
		struct frame_segment s = net_segment(n, i);
		uint8_t options[12];

		s.wnd = 65535;
		s.options = options;
		s.options_len = plain_timestamps(n, c, options);
		c->una = c->rcv_nxt;
		send_segment(n, &s);
		net_turns(n);
	} while (rounds-- && c->una != c->rcv_nxt);
}

/* Another lane of the interface hands a frame over, or writes nonsense where mail should be. */
static void play_mail(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct mr_mail_ring *rings, *r;
	uint8_t how = fuzz_u8(in);
	struct mr_mail *m;

	if (!n->mailbox)
		return;
	rings = (struct mr_mail_ring *)(void *)(n->mailbox + 1);
	r = &rings[1 + i % (n->mailbox->n_lanes - 1)];
	m = &r->mail[r->producer % MR_MAIL_SLOTS];
	m->kind = how & 3;
	m->len = (uint16_t)old[i % OLD_FRAMES].len;
	memcpy(m->frame, old[i % OLD_FRAMES].bytes, m->len);
	m->origin = how & 4 ? fuzz_u8(in) : 1 + i % (n->mailbox->n_lanes - 1);
	m->hops = how >> 3 & 3;
	if (how & 32)
		m->len = fuzz_u16(in);
	r->producer += how & 64 ? fuzz_u8(in) : 1;
	if (how & 128)
		memset(n->mailbox->claim, fuzz_u8(in), sizeof(n->mailbox->claim));
}

static void play_bad_vlan(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct frame_segment s = net_segment(n, i);

	s.vlan = fuzz_u16(in);
	s.flags = fuzz_u8(in);
	send_segment(n, &s);
}

/* A part of what the lane has sent and the peer has not acknowledged: 0 nothing, 255 all. */
static uint32_t part_of(const struct net_conn *c, struct fuzz_in *in)
{
	return (uint32_t)((uint64_t)(c->rcv_nxt - c->una) * fuzz_u8(in) / 255);
}

/* A peer with gaps: it acknowledges up to one, and says by SACK what it has behind it. */
static void play_sack(struct net *n, unsigned int i, struct fuzz_in *in)
{
	struct net_conn *c = &n->conn[i];
	struct frame_segment s = net_segment(n, i);
	uint8_t options[FRAME_OPTIONS_MAX], how = fuzz_u8(in), blocks = how & 3, *p;

	p = options + plain_timestamps(n, c, options);
	s.ack = c->una + (how & 16 ? part_of(c, in) : 0);
	if (blocks) {
		p = (uint8_t *)memcpy(p, (uint8_t[]){ 1, 1, 5, 2 + blocks * 8 }, 4) + 4;
		for (uint8_t b = 0; b < blocks; b++) {
			uint32_t left = c->una + part_of(c, in), length = part_of(c, in);

			if (how & 8 && !b) /* what it has twice (RFC 2883) */
				left = s.ack - 2000 + length;
			else if (!(how & 4) && length > c->rcv_nxt - left)
				length = c->rcv_nxt - left;
			p = put32(put32(p, left), left + length);
		}
	}
	s.wnd = 65535;
	s.options = options;
	s.options_len = (uint8_t)(p - options);
	c->una = s.ack;
	for (int times = how >> 5; times >= 0; times--)
		send_segment(n, &s);
}

static void (*const instructions[16])(struct net *n, unsigned int i, struct fuzz_in *in) = {
	play_syn,   play_text,	   play_segment, play_flags,  play_icmp,  play_time,
	play_bytes, play_again,	   play_connect, play_daemon, play_flood, play_acks,
	play_mail,  play_bad_vlan, play_text,	 play_sack,
};

bool play_instruction(struct net *n, struct fuzz_in *in)
{
	uint8_t op, which;

	if (!in->len)
		return false;
	op = fuzz_u8(in);
	which = fuzz_u8(in);
	instructions[op % 16](n, which % NET_CONNS, in);
	if (!(op & 128)) /* else it comes in one burst with the next */
		net_turns(n);
	return true;
}

void play_open(struct net *n, struct fuzz_in *in, uint32_t n_lanes)
{
	static const char *const apps[] = { "echo",	     "sink",	     "echo-bytes",
					    "discard-bytes", "source-bytes", "drill" };
	uint8_t how = fuzz_u8(in);
	struct net_options o = {
		.conns = how & 1 ? 4 : NET_CONNS + 8,
		.receive_buffer = how & 2 ? 4096 : 64 << 10,
		.n_lanes = n_lanes,
		.nagle = how & 4,
	};

	n_old = 0;
	memset(old, 0, sizeof(old));
	net_init(n, &o);
	for (unsigned int i = 0; i < sizeof(apps) / sizeof(apps[0]); i++) {
		struct mr_lane_rule *r = net_rule(n, apps[i], (uint16_t)(PLAY_ECHO + i));

		r->ecn = MR_ECN_ACCURATE;
		if (how & 8 && i < 2)
			r->heartbeat = (struct mr_heartbeat_settings){
				.has_ping = 1,
				.ping_tag = 1,
				.pong_tag = 2,
				.idle_ms = 60000,
				.partial_ms = 1000,
				.ping_ms = 500,
				.pong_ms = 300,
				.handler_ms = 2000,
				.send_ms = 2000,
			};
		if (how & 16)
			r->backlog = 1;
	}
	net_open(n, &o);
}

/* Whatever was said: a peer that is gone for long holds nothing. */
void play_close(struct net *n)
{
	net_run(n, SILENCE_MS);
	FUZZ_CHECK(n->stats.connections == 0);
	FUZZ_CHECK(n->stats.half_open == 0);
	FUZZ_CHECK(n->stats.time_wait == 0);
	FUZZ_CHECK(n->stats.accept_queue == 0);
	FUZZ_CHECK(n->stats.message_bytes == 0);
	FUZZ_CHECK(net_held(n) == 0);
	net_close(n);
}
