/* SPDX-License-Identifier: MIT */
/*
 * One TCP connection without a lane: segments go in as fields, what it sends is recorded, time is
 * a number. For tests of user/tcp by RFC sentence.
 *
 *	struct rfc f;
 *	rfc_init(&f);
 *	struct mr_conn *c = rfc_conn_in(&f, MR_ESTABLISHED);
 *	rfc_arrives(&f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt });
 *	assert_int_equal(c->state, MR_CLOSED);
 *	rfc_fini(&f);		every frame is accounted for
 */
#ifndef MR_RFC_FIXTURE_H
#define MR_RFC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/mr_cc.h"
#include "user/tcp/internal.h"

enum {
	RFC_FRAMES = 1024,
	RFC_ACTIVES = 32, /* more than a test has connections */
	RFC_FRAME_BYTES = 2048,
	RFC_SENT = 4096,
	RFC_ISS = 1000000, /* of the connection under test; its first byte is RFC_ISS + 1 */
	RFC_IRS = 5000000, /* of the peer */
	RFC_MSS = 1460,	   /* of both; snd_mss is 1448 with timestamps */
	RFC_START_MS = 100000,
};

/* A recorded segment. */
struct rfc_sent {
	uint32_t seq, ack;
	uint16_t wnd;
	uint16_t urgent;
	uint8_t flags;
	uint8_t ecn, ttl, dscp; /* of the IP header */
	uint32_t len;
	uint32_t at_ms;
	bool reply; /* by ops->reply: no connection block, or RST */
	struct mr_tcp_options options;
	uint8_t text[RFC_FRAME_BYTES];
};

struct rfc {
	struct mr_tcp tcp;
	struct mr_tcp_config config;
	struct mr_lane_stats stats;
	struct mr_frames frames;
	uint8_t *memory;
	struct mr_frame *records;
	struct mr_actives actives;
	struct mr_active active[RFC_ACTIVES];
	struct mr_conn conn; /* the one under test */
	struct rfc_sent *sent;
	unsigned int n_sent;
	unsigned int events[8]; /* by enum mr_tcp_event */
	bool ready;		/* output stage asked for */
	bool no_room;		/* transmit refuses */
	uint8_t cc;		/* of the connection: NewReno unless the test says otherwise */
	bool hold_tx;		/* sent frames stay with the kernel until rfc_complete() */
};

/* What arrives. ack 0 with MR_ACK means snd_nxt of the connection; wnd 0 needs .zero_wnd. */
struct rfc_in {
	uint8_t flags;
	uint32_t seq;
	uint32_t ack;
	uint16_t wnd;
	bool zero_wnd;
	uint16_t urgent;
	const void *text;
	uint16_t len;
	bool has_ts;
	uint32_t ts_val, ts_ecr;
	uint8_t ecn, ttl, dscp; /* of the IP header */
	uint16_t mss;
	bool has_wscale;
	uint8_t wscale;
	bool sack_permitted;
	uint8_t n_sack;
	struct mr_block sack[4];
};

/* rfc_arrives(f, c, IN(.flags = MR_ACK, .seq = c->rcv_nxt)) */
#define IN(...) (&(struct rfc_in){ __VA_ARGS__ })

/** rfc_init() - frames, clock at RFC_START_MS, defaults of a lane (Nagle on, no keepalive) */
void rfc_init(struct rfc *f);

/** rfc_init_frames() - the same with @count frames instead of RFC_FRAMES */
void rfc_init_frames(struct rfc *f, uint32_t count);

/** rfc_fini() - fails the test when a frame is lost, in two places, or counters disagree */
void rfc_fini(struct rfc *f);

/* A test with a fresh struct rfc in *state: rfc_init() before it, rfc_fini() behind it. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, rfc_begin, rfc_end)

int rfc_begin(void **state);
int rfc_end(void **state);

/**
 * rfc_conn_in() - the connection in any state from SYN-SENT on, IPv4, without timestamps
 *
 * Made directly: RFC_ISS and RFC_IRS are behind it, the peer's window is 65535, nothing queued;
 * cwnd 10 segments. In closing states our or the peer's FIN is counted as RFC 9293's figure 5 says.
 */
struct mr_conn *rfc_conn_in(struct rfc *f, enum mr_tcp_state state);

/** rfc_conn_fresh() - the connection before the OPEN call, with all options of a lane */
struct mr_conn *rfc_conn_fresh(struct rfc *f, bool ipv6);

/** rfc_segment() - what the fixture's peer sends to a listener: for mr_tcp_listen_state() and such
 */
struct mr_segment rfc_segment(uint8_t flags, uint32_t seq, uint32_t ack, uint16_t len);

/** rfc_arrives() - one segment, then the output stage if asked for; returns the drop reason */
int rfc_arrives(struct rfc *f, struct mr_conn *c, const struct rfc_in *in);

/** rfc_arrives_only() - without the output stage (a burst) */
int rfc_arrives_only(struct rfc *f, struct mr_conn *c, const struct rfc_in *in);

/** rfc_output() - the output stage, if it was asked for */
void rfc_output(struct rfc *f, struct mr_conn *c);

/** rfc_check_scoreboard() - fails the test when marks and sums of the send queue disagree */
void rfc_check_scoreboard(struct rfc *f, const struct mr_conn *c);

/**
 * rfc_check_gaps() - fails the test when the list of text out of order is not as user/tcp/gaps.h
 * says, or two neighbours in a run would fit into one frame
 *
 * Return: frames in it
 */
uint32_t rfc_check_gaps(struct rfc *f, const struct mr_conn *c);

/** rfc_check_sent() - fails the test when what was sent is not of @text, byte 0 being RFC_ISS + 1
 */
void rfc_check_sent(const struct rfc *f, const uint8_t *text);

/** rfc_send() - SEND call with the output stage; returns bytes queued */
int64_t rfc_send(struct rfc *f, struct mr_conn *c, const void *data, size_t len);

/** rfc_advance() - let @ms pass; deadlines that are due run at their time, with the output stage */
void rfc_advance(struct rfc *f, struct mr_conn *c, uint32_t ms);

/** rfc_complete() - the kernel is done with every frame that was sent */
void rfc_complete(struct rfc *f);

/** rfc_last() - the newest recorded segment; fails the test when there is none */
const struct rfc_sent *rfc_last(struct rfc *f);

/** rfc_forget() - forget what was sent so far */
void rfc_forget(struct rfc *f);

/** rfc_fill() - a text whose period is longer than any segment */
void rfc_fill(uint8_t *text, size_t len);

/** rfc_read() - take @max bytes from the receive queue into @to, as an application; returns n */
uint32_t rfc_read(struct rfc *f, struct mr_conn *c, void *to, uint32_t max);

#endif
