/* SPDX-License-Identifier: MIT */
/*
 * TCP (RFC 9293): segment and time in, segments and events out. Pure: no clock, no I/O, no
 * allocation but of frames from the pool it is given, no globals; so the same code runs in a lane,
 * in a unit test and in a simulation.
 *
 * Input never sends by itself: mr_tcp_segment_arrives() changes the connection and asks for the
 * turn's output stage through ops->ready(); mr_tcp_output() then sends what may be sent, one ACK
 * for all that came. Only segments that belong to no connection, RST and challenge ACKs leave at
 * once.
 *
 * All functions are called by the thread of the lane that owns the connection.
 */
#ifndef MR_TCP_H
#define MR_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_worker.h"
#include "user/frame/actives.h"
#include "user/frame/frames.h"
#include "user/tcp/pmtu.h"
#include "user/wire/plain.h"
#include "user/wire/segment.h"
#include "user/wire/siphash.h"

/* What a connection tells its lane. */
enum mr_tcp_event {
	MR_EVENT_ESTABLISHED, /* the handshake is done */
	MR_EVENT_READABLE,    /* bytes or the peer's FIN stand in the receive queue */
	MR_EVENT_URGENT,      /* the peer's urgent pointer is ahead of what was read */
	MR_EVENT_WRITABLE,    /* room again, after a sender met the end of it */
	MR_EVENT_TIME_WAIT,   /* nothing is left but to wait: the block may become a record */
	MR_EVENT_PATH_DOUBT,  /* R1: segments time out, nothing is heard: is the next hop right? */
	MR_EVENT_CLOSED,      /* state is CLOSED, close_reason says why; free the block */
};

struct mr_tcp;
struct mr_fast_open_cache;
struct mr_traces;

/**
 * struct mr_tcp_ops - what TCP needs from its lane
 * @transmit:	send a segment of @c. @frame: a frame whose payload goes along, or MR_NONE; it stays
 *		the connection's. False: no room now, nothing happened
 * @copy:	the same for @len bytes at @data, which are copied
 * @answer:	@transmit for a segment with ACK and PSH, timestamps alone, and a frame
 * @reply:	send a segment that belongs to no connection block; may be dropped
 * @ready:	mr_tcp_output() wanted in this turn
 * @armed:	a deadline of @c moved to an earlier time
 * @event:	see enum mr_tcp_event
 */
struct mr_tcp_ops {
	bool (*transmit)(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
			 const struct mr_segment_out *out);
	bool (*copy)(struct mr_tcp *t, struct mr_conn *c, const uint8_t *data, uint32_t len,
		     const struct mr_segment_out *out);
	bool (*answer)(struct mr_tcp *t, struct mr_conn *c, uint32_t frame,
		       const struct mr_plain_out *out);
	void (*reply)(struct mr_tcp *t, const struct mr_tuple *tuple, const struct mr_link *link,
		      const struct mr_segment_out *out);
	void (*ready)(struct mr_tcp *t, struct mr_conn *c);
	void (*armed)(struct mr_tcp *t, struct mr_conn *c);
	void (*event)(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_event event);
};

/* What a rule says of the IP headers of its connections (RFC 9293 MUST-48, MUST-49). */
struct mr_ip_settings {
	uint8_t ttl; /* 0: 64 */
	uint8_t dscp;
};

/* Settings of a lane; milliseconds and bytes. */
struct mr_tcp_config {
	struct mr_siphash_key isn_key;
	uint32_t receive_buffer;
	uint32_t send_buffer;
	uint32_t mtu;		  /* of the interface */
	uint32_t mtu_probing;	  /* enum mr_mtu_probing */
	uint32_t user_timeout_ms; /* 0: R2 alone */
	uint32_t time_wait_ms;
	uint32_t fin_wait_ms;
	uint32_t delayed_ack_ms;
	uint32_t answer_ms; /* MR_ANSWER_MS; tests alone set another, 0: no limit */
	bool nagle;
	bool quiet_half_open; /* see mr_tcp_send_ack() */
	bool keepalive;
	uint32_t keep_idle_s;
	uint32_t keep_interval_s;
	uint32_t keep_count;
	uint8_t syn_ack_retries; /* of a connection opened by Fast Open */
	uint8_t fast_open;	 /* MR_FAST_OPEN_SERVER, MR_FAST_OPEN_CLIENT */
	/* MR_CONN_TIMESTAMPS, _SACK, _WINDOW_SCALE: not offered nor taken; tests alone set it */
	uint32_t options_off;
	bool no_ecn_option;  /* RFC 9768's is not sent */
	uint32_t syn_linear; /* SYNs sent again before the time-out doubles; tests alone set it */
	bool keep_ect;	     /* ECT although the SYN-ACK's came back changed; tests alone set it */
	struct mr_siphash_key fast_open_key;
};

enum {
	MR_RTO_MIN_MS = 200, /* RFC 6298 2.4 advises 1 s; Linux's floor, documented */
	MR_RTO_MAX_MS = 120000,
	MR_RTO_INITIAL_MS = 1000,	      /* RFC 6298 2.1 */
	MR_RTO_AFTER_SYN_LOSS_MS = 3000,      /* RFC 6298 5.7 */
	MR_SYN_GIVE_UP_MS = 190000,	      /* R2 of a SYN: at least 3 minutes, MUST-23 */
	MR_RETRIES = 15,		      /* R2 of data: beyond 100 s, SHLD-11 */
	MR_INITIAL_SEGMENTS = 10,	      /* RFC 6928 */
	MR_DUPACKS = 3,			      /* RFC 5681 3.2 */
	MR_PAWS_IDLE_MS = 24 * 24 * 3600000u, /* RFC 7323 5.5 */
	MR_CHALLENGES_PER_S = 100,	      /* RFC 5961 7 */
	MR_ANSWER_MS = 500, /* between two answers of a connection to segments out of the window */
	MR_OOO_RUNS = 512,  /* runs of text out of order that a connection may hold */
	MR_ACTIVE_IDLE_MS = 10000, /* without bytes on their way: struct mr_active goes */
};

/**
 * struct mr_tcp - one lane's TCP: all that is not in a connection block
 * @now_us, @now_ms: the turn's clock reading; @now_ms is never 0
 * @ip:	by rule of a connection; NULL: defaults for all
 * @pmtu:	what is known of destinations, NULL: nothing is kept
 */
struct mr_tcp {
	uint64_t now_us;
	uint32_t now_ms;
	uint32_t ts_offset; /* added to now_ms in timestamps, so that uptime does not show */
	struct mr_frames *frames;
	struct mr_actives *actives;
	struct mr_traces *traces; /* where traces are archived, NULL: nowhere */
	struct mr_pmtu_cache *pmtu;
	const struct mr_tcp_config *config;
	const struct mr_tcp_ops *ops;
	const struct mr_ip_settings *ip;
	struct mr_lane_stats *stats;
	uint32_t challenge_second; /* RFC 5961 7: tokens of this second */
	uint32_t challenges;
	struct mr_fast_open_cache *fast_open; /* of a client (RFC 7413), or NULL */
	uint8_t fast_open_renew;	      /* fast_open.c: the SYN-ACK brings a cookie */
};

/** mr_conn_tuple() - both ends; the block's fields have the tuple's layout */
static inline struct mr_tuple *mr_conn_tuple(struct mr_conn *c)
{
	return (struct mr_tuple *)(void *)c->local;
}

_Static_assert(__builtin_offsetof(struct mr_conn, remote_port) -
			       __builtin_offsetof(struct mr_conn, local) ==
		       __builtin_offsetof(struct mr_tuple, remote_port),
	       "tuple in connection block");

/** mr_plain_segment() - the same for mr_segment_push() */
static inline struct mr_segment_out mr_plain_segment(const struct mr_plain_out *p)
{
	struct mr_segment_out out = { .seq = p->seq,
				      .ack = p->ack,
				      .wnd = p->wnd,
				      .flags = MR_ACK | MR_PSH,
				      .ttl = p->ttl,
				      .dscp = p->dscp };

	out.options.has_timestamps = true;
	out.options.ts_val = p->ts_val;
	out.options.ts_ecr = p->ts_ecr;
	return out;
}

/** mr_conn_link() - where its segments go; the lane adds its own MAC address */
static inline struct mr_link mr_conn_link(const struct mr_conn *c)
{
	struct mr_link link = { .vlan = { c->vlan[0], c->vlan[1] } };

	__builtin_memcpy(link.peer_mac, c->peer_mac, sizeof(link.peer_mac));
	return link;
}

/* ----- RFC 9293 3.10.7, SEGMENT ARRIVES ----- */

/**
 * mr_tcp_segment_arrives() - one segment for a connection
 * @c:		any state but CLOSED and LISTEN
 * @seg:	parsed; sequence and flags not checked
 * @frame:	where its text lies, in no list
 * @kept:	out: true: the frame is the connection's now; false: still the caller's
 *
 * Return: MR_DROP_NONE, or why it was not accepted (enum mr_drop)
 */
int mr_tcp_segment_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame, bool *kept);

/**
 * mr_tcp_expected() - header prediction: is @seg the one that @c waits for?
 * @c:	as above
 * @seg:	as mr_plain_read() left it: no other field is looked at
 *
 * True: it is processed but for its text, seg->len bytes at c->rcv_nxt. If there are any, the
 * caller goes on with mr_tcp_queue_expected() or with mr_tcp_hold_expected().
 */
bool mr_tcp_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg);

/** mr_tcp_queue_expected() - its text goes to the receive queue, and MR_EVENT_READABLE is told.
 * True: @frame is the connection's now */
bool mr_tcp_queue_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			   uint32_t frame);

/**
 * mr_tcp_hold_expected() - its text is the whole receive queue, for a reader that takes it at once
 * @frame:	in any state, which stays as it is; its record says where the text lies
 *
 * The queue was empty. Behind the reader follows mr_tcp_held_was_read(), and, unless a segment that
 * leaves in this turn acknowledges the text, mr_tcp_owe_expected().
 */
void mr_tcp_hold_expected(struct mr_tcp *t, struct mr_conn *c, const struct mr_segment *seg,
			  uint32_t frame);

/** mr_tcp_owe_expected() - an ACK for text that was held, now or delayed (RFC 9293 3.8.6.3) */
void mr_tcp_owe_expected(struct mr_tcp *t, struct mr_conn *c);

/**
 * mr_tcp_held_was_read() - the reader took the first @n bytes
 *
 * What is left stays in the queue, and the frame with it (in state RX). True: the frame is the
 * caller's again. False also when the reader gave it back itself (a shutdown, an abort).
 */
bool mr_tcp_held_was_read(struct mr_tcp *t, struct mr_conn *c, uint32_t frame, uint32_t n);

/** mr_tcp_closed_state() - 3.10.7.1: no connection; answers RST unless it is one */
int mr_tcp_closed_state(struct mr_tcp *t, const struct mr_segment *seg);

/**
 * mr_tcp_listen_state() - 3.10.7.2: a segment for a listener
 * @half:	out for true: filled, to be kept; the SYN-ACK is not sent yet
 *
 * Return: true when a half-open connection begins; else it was dropped or answered by RST
 */
bool mr_tcp_listen_state(struct mr_tcp *t, const struct mr_segment *seg, struct mr_half_open *half);

/** mr_tcp_limit_mtu() - before ESTABLISHED: send no packets larger than @mtu; never raises it */
void mr_tcp_limit_mtu(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu);

/**
 * mr_tcp_follow_mtu() - the interface or this host's route to the peer takes @mtu from now on
 * @c:	any state
 *
 * RFC 9293 3.7.1 (SHLD-6). Smaller: too big segments in flight are sent again in pieces. Larger:
 * segments grow, but never beyond what was agreed on when the connection was opened.
 */
void mr_tcp_follow_mtu(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu);

/** mr_tcp_icmp_arrives() - 3.9.2.2 with RFC 5927's checks; soft errors never abort (MUST-56) */
void mr_tcp_icmp_arrives(struct mr_tcp *t, struct mr_conn *c, const struct mr_icmp_error *icmp);

/* ----- half-open and TIME-WAIT records ----- */

/** mr_half_open_send() - send its SYN-ACK, for the first time or again; counts it and sets
 * expire_ms */
void mr_half_open_send(struct mr_tcp *t, struct mr_half_open *h);

/** mr_half_open_expand() - the connection block that it stands for, in SYN-RECEIVED
 * @c:	overwritten; lists empty, wheel node unlinked
 */
void mr_half_open_expand(struct mr_tcp *t, const struct mr_half_open *h, struct mr_conn *c);

/**
 * mr_half_open_choose_cc() - after mr_tcp_listen_state(): what the rule says
 * @cc, @ecn:	enum mr_cc_algorithm, enum mr_ecn_mode
 */
void mr_half_open_choose_cc(struct mr_half_open *h, const struct mr_segment *syn, uint8_t cc,
			    uint8_t ecn);

/** mr_half_open_syn_again() - the same SYN once more: one that does not ask for ECN ends it */
void mr_half_open_syn_again(struct mr_half_open *h, const struct mr_segment *syn);

/** mr_time_wait_compress() - what of @c must be kept until 2 MSL are over */
void mr_time_wait_compress(struct mr_tcp *t, const struct mr_conn *c, struct mr_time_wait *w);

/** mr_time_wait_left_ms() - until it ends, 0: it is over */
uint32_t mr_time_wait_left_ms(const struct mr_tcp *t, const struct mr_time_wait *w);

/**
 * mr_time_wait_arrives() - 3.10.7.4 for a connection in TIME-WAIT
 * @reopen:	out: true: a new SYN that may open the tuple again (RFC 6191, MUST/MAY-2): forget
 *		the record and treat the segment as for the listener
 *
 * Return: false when the record must be forgotten (RST), true when it stays
 */
bool mr_time_wait_arrives(struct mr_tcp *t, struct mr_time_wait *w, const struct mr_segment *seg,
			  bool *reopen);

/* ----- RFC 9293 3.10.1 to 3.10.6, user calls ----- */

/** mr_conn_init() - a block for @tuple; state CLOSED, no lists, defaults of the lane */
void mr_conn_init(struct mr_tcp *t, struct mr_conn *c, const struct mr_tuple *tuple,
		  const struct mr_link *link);

/** mr_conn_choose_cc() - before mr_tcp_open_call(): enum mr_cc_algorithm, enum mr_ecn_mode */
void mr_conn_choose_cc(struct mr_conn *c, uint8_t cc, uint8_t ecn);

/** mr_tcp_open_call() - 3.10.1, active: SYN is sent in this turn; @mtu of the path */
void mr_tcp_open_call(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu);

/**
 * mr_tcp_early_call() - 3.10.2 before 3.10.1: bytes for a connection that is not being opened yet
 *
 * They go with the SYN as far as Fast Open allows it (RFC 7413), else behind the handshake.
 *
 * Return: bytes queued, 0 to @len
 */
int64_t mr_tcp_early_call(struct mr_tcp *t, struct mr_conn *c, const void *data, size_t len);

/**
 * mr_tcp_send_call() - 3.10.2: queue bytes, copied
 *
 * Return: bytes queued, 0 to @len; -EPIPE after a close, -ENOTCONN before ESTABLISHED
 */
int64_t mr_tcp_send_call(struct mr_tcp *t, struct mr_conn *c, const void *data, size_t len);

/**
 * mr_tcp_send_begin() - is there room for @len bytes in one go?
 *
 * Return: 0: mr_tcp_send_part() takes that many, in parts, before anything else is called;
 *	   else as mr_tcp_send_whole()
 */
int mr_tcp_send_begin(struct mr_tcp *t, struct mr_conn *c, uint64_t len);

/** mr_tcp_send_part() - queue a part of what mr_tcp_send_begin() found room for; copied */
void mr_tcp_send_part(struct mr_tcp *t, struct mr_conn *c, const void *part, uint32_t len);

/**
 * mr_tcp_send_whole() - queue a head and a body, both or nothing
 *
 * Return: 0; -EAGAIN no room now (MR_EVENT_WRITABLE follows); -EMSGSIZE it would never fit.
 *	   The caller checked mr_tcp_cannot_send()
 */
int mr_tcp_send_whole(struct mr_tcp *t, struct mr_conn *c, const void *head, uint32_t head_len,
		      const void *body, uint32_t body_len);

/** mr_tcp_cannot_send() - 0, -EPIPE after a close, -ENOTCONN before ESTABLISHED */
int mr_tcp_cannot_send(const struct mr_conn *c);

/**
 * mr_tcp_place() - @len bytes that are queued already and only have to be written
 * @c:	mr_tcp_cannot_send() says 0
 *
 * The short way of mr_tcp_send_whole(), for what fits in a segment when nothing else is queued.
 *
 * Return: where they go, all to be written before anything else is called; NULL: take the long way
 */
static inline uint8_t *mr_tcp_place(struct mr_tcp *t, struct mr_conn *c, uint32_t len)
{
	struct mr_frames *f = t->frames;
	uint32_t i;

	if (c->tx_tail != MR_NONE || len > c->snd_mss || !len || f->n_free < f->reserve + 4)
		return NULL;
	i = mr_frame_take(f, MR_FRAME_TX, false);
	f->record[i].seq = c->snd_una;
	f->record[i].len = (uint16_t)len;
	c->tx_head = i;
	c->tx_tail = i;
	c->tx_next = i;
	c->tx_bytes = len;
	t->stats->app_bytes_out += len;
	if (!(c->flags & MR_CONN_READY))
		t->ops->ready(t, c);
	return mr_frame_bytes_at(f, i) + MR_TX_OFFSET;
}

/** mr_tcp_send_room() - bytes that may be queued now */
uint32_t mr_tcp_send_room(const struct mr_tcp *t, const struct mr_conn *c);

/** mr_tcp_reserve() - writable bytes behind what is queued; NULL: no room, or closed */
uint8_t *mr_tcp_reserve(struct mr_tcp *t, struct mr_conn *c, uint32_t *room);

/** mr_tcp_commit() - queue the first @len reserved bytes */
void mr_tcp_commit(struct mr_tcp *t, struct mr_conn *c, uint32_t len);

/**
 * mr_tcp_consumed() - 3.10.3: the application took @n bytes from the head of the receive queue
 *
 * Frees the frames that they filled, may ask for a window update. In LAST-ACK with our FIN
 * acknowledged the connection ends with its last byte.
 */
void mr_tcp_consumed(struct mr_tcp *t, struct mr_conn *c, uint32_t n);

/** mr_tcp_urge() - 3.10.2, URGENT flag: everything queued so far is urgent (MUST-30, MUST-31) */
void mr_tcp_urge(struct mr_tcp *t, struct mr_conn *c);

/** mr_tcp_urgent() - bytes up to the end of the peer's urgent text, from the next unread one on; 0:
 * none is ahead (MUST-33) */
uint32_t mr_tcp_urgent(struct mr_tcp *t, const struct mr_conn *c);

/** mr_tcp_take_urgent_news() - is there urgent text ahead that was not told yet? Then it is told */
bool mr_tcp_take_urgent_news(struct mr_tcp *t, const struct mr_conn *c);

/** mr_tcp_shutdown_send() - 3.10.4 for one direction: FIN after what is queued */
void mr_tcp_shutdown_send(struct mr_tcp *t, struct mr_conn *c);

/** mr_tcp_shutdown_receive() - unread bytes are dropped; later data is answered by RST */
void mr_tcp_shutdown_receive(struct mr_tcp *t, struct mr_conn *c);

/** mr_tcp_close_call() - 3.10.4: the application is gone; unread bytes make it an abort (SHLD-3) */
void mr_tcp_close_call(struct mr_tcp *t, struct mr_conn *c);

/** mr_tcp_abort_call() - 3.10.5: RST where the peer knows us; everything queued is dropped */
void mr_tcp_abort_call(struct mr_tcp *t, struct mr_conn *c, enum mr_close_reason reason);

/** mr_tcp_set_keepalive() - 3.8.4; @idle_s 0: off */
void mr_tcp_set_keepalive(struct mr_tcp *t, struct mr_conn *c, uint32_t idle_s, uint32_t interval_s,
			  uint32_t count);

/** mr_tcp_set_user_timeout() - 3.10.8, R2 of this connection (MUST-21); 0: the lane's again */
void mr_tcp_set_user_timeout(struct mr_tcp *t, struct mr_conn *c, uint32_t ms);

/* ----- turn ----- */

/** mr_tcp_output() - send what may be sent: text, FIN, ACK */
void mr_tcp_output(struct mr_tcp *t, struct mr_conn *c);

/** mr_tcp_timers() - 3.10.8: run the deadlines of @c that are over, but not MESSAGE and APP */
void mr_tcp_timers(struct mr_tcp *t, struct mr_conn *c);

/** mr_conn_next_deadline() - the earliest in its block; 0: none is armed */
uint32_t mr_conn_next_deadline(const struct mr_conn *c);

/** mr_tcp_next_deadline() - the same with that of pacing, which stands in the active record */
uint32_t mr_tcp_next_deadline(const struct mr_tcp *t, const struct mr_conn *c);

/** mr_conn_flight() - bytes sent and not acknowledged, FIN included */
uint32_t mr_conn_flight(const struct mr_tcp *t, const struct mr_conn *c);

/** mr_tcp_pipe() - bytes of text on their way: sent, not acknowledged in any way, not lost */
uint32_t mr_tcp_pipe(const struct mr_tcp *t, const struct mr_conn *c);

/** mr_tcp_give_idle() - give back records of idle connections: look at the next @n of the pool */
void mr_tcp_give_idle(struct mr_tcp *t, uint32_t n);

/** mr_ms_before() - is @a before @b, modulo 2^32? */
static inline bool mr_ms_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/** mr_tcp_state_name() - RFC 9293's name */
const char *mr_tcp_state_name(uint8_t state);

#endif
