/* SPDX-License-Identifier: MIT */
/*
 * A deterministic simulation: lanes of two hosts on a simulated net under a virtual clock, in one
 * thread, everything from one seed; docs/simulation.md.
 *
 *	lanes of the client -- port -- net: links, faults -- port -- lanes of the server
 *	      |  applications (flow.c)                                    |
 *	      +-- laws of a lane (laws.c)      laws of the wire (wire.c) --+
 */
#ifndef SIM_H
#define SIM_H

#include "tests/sim/scenario.h"
#include "tests/sim/segment.h"
#include "user/lane/internal.h"
#include "user/port/port.h"
#include "user/tcp/internal.h"

enum {
	SIM_SENDS = 128, /* transmissions remembered for the clock of round trips */
	SIM_WORDS = 400,
	SIM_URGES = 16, /* urgent marks of an end, at most */
};

struct sim;
struct sim_flow;
struct sim_lane;

/* One transmission, as the wire saw it. */
struct sim_sent {
	uint32_t seq, end;
	uint64_t lane_us; /* the sender's clock */
	bool again;	  /* it, or a part of it, was sent again */
};

/* A SYN or SYN-ACK. */
struct sim_syn {
	bool is, ts, sack, has_shift;
	uint8_t shift, flags, ace;
	uint16_t mss;
};

/* Congestion marks at one end; positions in the receive ring tell what its lane has read. */
struct sim_marks {
	bool any, told;	  /* CE arrived; ECE was sent since it did */
	bool owes;	  /* CE on new text up to @ce_end stands at @ce_at of the ring */
	bool echoing;	  /* ECE on everything until CWR arrives */
	bool must_reduce; /* ECE stands at @ece_at of the ring: CWR on the next new text */
	bool has_calm, resent, has_cwr;
	uint32_t cwr_end; /* the text that came with the last CWR */
	uint32_t ce_end, ce_at, ece_at, cwr_at;
	uint32_t n_ce;	   /* CE on segments that arrived */
	uint32_t counted;  /* of them by the lane, when it last sent */
	uint64_t bytes[3]; /* of their text: ECT(1), ECT(0), CE */
	uint32_t calm_seq; /* what was sent with the last CWR, or before text was sent again */
};

/* What pacing allows one end, by the simulator's own count. */
struct sim_pace {
	bool on;
	uint64_t credit, rate, us; /* bytes, bytes a second, the lane's clock */
	uint32_t beyond;	   /* segments that left without credit */
	uint32_t mss;
};

/* What the wire knows of one end of a connection. */
struct sim_wire {
	bool has_iss, has_edge, has_heard, has_ts, fin;
	bool has_early; /* text that left before the SYN-ACK, up to @early_end */
	uint32_t early_end;
	bool offers, has_shift; /* window scale: sent by this end; heard from the peer */
	uint32_t iss, snd_max, fin_seq;
	uint32_t probed;	 /* behind the byte of the last window probe */
	uint32_t last_ack, edge; /* sent: never back */
	uint32_t heard_edge;	 /* the right edge that arrived here */
	uint32_t heard_most;	 /* the largest window that arrived here */
	uint32_t ts_val, ts_ecr;
	uint8_t shift;
	uint16_t mss;
	struct sim_syn said, heard; /* the SYN that it sent, that came */
	bool asked_accurate,
		agreed_accurate; /* by a SYN and a SYN-ACK that it sent, or that came */
	uint32_t n_syns_heard, n_syn_acks, n_syn_texts_heard;
	uint64_t cookie; /* Fast Open: of the last SYN with text that came */
	uint32_t heard_ack;
	bool has_heard_ack;
	uint64_t acked_ms; /* the lane's clock: when that went on */
	struct sim_marks marks;
	struct sim_pace pace;
	struct sim_sent sent[SIM_SENDS];
	uint32_t n_sent;
};

enum sim_finish {
	SIM_FINISH_SHUT,  /* shut down when all is written, close at the peer's end */
	SIM_FINISH_LAST,  /* the peer ends first */
	SIM_FINISH_CLOSE, /* close when all is written */
	SIM_FINISH_ABORT, /* reset at a byte */
};

/* One end of a connection: what its application will do, and what it did. */
struct sim_end {
	struct sim *sim;
	struct sim_flow *flow;
	struct sim_lane *lane;
	mr_conn_id id;
	unsigned int side;
	struct sim_rng rng;
	/* plan */
	enum sim_finish finish;
	uint64_t to_send, abort_at, stall_at, stall_ms, shut_read_at;
	uint32_t write_most, read_most, pause_ms;
	bool in_place, nodelay, dawdles;
	uint64_t early;		  /* bytes that go with the open */
	uint32_t user_timeout_ms; /* that it asks for; 0: the host's */
	bool urges;
	struct sim_rng urge_rng;
	/* so far */
	uint64_t written, received, say_ms, read_ms;
	bool opened, closed, eof, shut, gave_back, stalled, shut_read, reaped;
	int reason;
	uint64_t closed_ns;
	uint32_t stuck_una; /* see laws of progress */
	uint64_t urged[SIM_URGES];
	uint32_t n_urged, n_urged_before; /* when the turn began */
	struct sim_wire wire;
};

struct sim_flow {
	uint32_t number;
	bool ipv6, bound, failed; /* @failed: could not begin */
	bool odd;		  /* the server answered its SYN again after the connection's end */
	uint16_t client_port;
	struct sim_flow *before; /* the last one with this port */
	uint64_t key;		 /* of its bytes */
	uint64_t begin_ns;
	uint64_t done_ns;
	struct sim_end end[2];
};

struct sim_fifo {
	struct mr_span *slot;
	uint64_t *note; /* sum of the bytes at transmit */
	uint64_t *due_ns;
	uint32_t size, head, tail;
};

/* The kernel's side of a lane's rings. */
struct sim_port {
	struct mr_port port; /* first */
	uint32_t done;
	struct sim_lane *lane;
	uint8_t *umem;
	uint64_t umem_bytes;
	struct sim_fifo rx, tx, fill, completion;
};

struct sim_lane {
	struct sim *sim;
	unsigned int side, queue;
	int arena_fd;
	struct mr_arena arena;
	struct mr_lane_config config;
	struct mr_lane_rule rule[SIM_RULE + 1];
	struct mr_lane_stats stats;
	struct mr_path_table *paths;
	struct mr_lane_setup setup;
	struct mr_lane *lane;
	struct sim_port port;
	struct mr_port *tee;
	int tee_fd;
	uint64_t stalled_ns; /* does not run before */
	uint64_t turned_ns;
	uint64_t checks;
	uint8_t asked[16];
	bool has_asked;
	bool killed; /* since its last turn, at */
	uint64_t killed_ms;
	struct sim_end **end_of; /* by connection block */
	uint32_t *generation;
	uint8_t *mark;	    /* laws: a byte a frame */
	uint32_t *cwnd_was; /* laws: by connection block */
};

struct sim_flight {
	uint64_t at_ns, serial;
	unsigned int to;
	uint32_t len;
	uint8_t bytes[SIM_FRAME_BYTES + 64];
};

struct sim_net {
	struct sim_rng rng, marks, open;
	struct sim_flight **heap;
	uint32_t n_heap, heap_size;
	struct sim_flight *unused;
	uint64_t serial;
	uint64_t busy_ns[2], last_ns[2], outage_ns[2];
	bool in_burst[2];
	uint32_t text_segments;
	uint32_t rss;
	uint8_t mac[2][6], old_mac[2][6];
	uint16_t vlan[2], old_vlan[2];
	uint64_t frames, lost;
	bool lost_one;
};

/* How often it was seen what a seed may draw: tests ask that it was. */
enum sim_seen {
	SIM_SEEN_MARK,
	SIM_SEEN_ECE,
	SIM_SEEN_CWR,
	SIM_SEEN_COOKIE,
	SIM_SEEN_FAST_OPEN,
	SIM_SEEN_FALLBACK,
	SIM_SEEN_GHOST,
	SIM_SEEN_LIMIT,
	SIM_SEEN_URGENT,
	SIM_SEEN_TIMEOUT,
	SIM_SEEN_PACED,
	SIM_SEEN_ACE,
	SIM_SEEN_COUNTERS,
	SIM_SEEN_KILL,
	SIM_SEEN_COUNT
};

struct sim_result {
	uint64_t seen[SIM_SEEN_COUNT];
	uint64_t events, connections, bytes, hash, changes, altered;
	bool failed;
	char why[SIM_WORDS];
};

struct sim {
	struct sim_scenario scenario;
	struct sim_net net;
	struct sim_lane lane[2 * SIM_QUEUES];
	uint32_t n_lanes;
	struct mr_mailbox_header *mailbox[2];
	uint64_t start_ns, now_ns, offset_ns[2];
	struct sim_rng turns, apps;
	struct sim_flow **flow;
	uint32_t n_flows, n_bound, first_open, begun;
	struct sim_flow **by_port[2]; /* family, client's port: the last one */
	bool *reset[2][2];	      /* side, family, client's port: it sent an RST there */
	uint32_t next_event;
	uint64_t fast_open[2][2]; /* family: the cookies given last, under the present key */
	uint64_t progress, progress_ns;
	uint32_t idle;			   /* times that a lane woke for nothing, in a row */
	bool text_altered, header_altered; /* so far, behind a good checksum */
	struct sim_result *result;
};

/** sim_run() - one seed, from beginning to end
 * @dir:	where a pcapng file a lane goes, or NULL
 *
 * Return: true when every law held; else @r->why says what did not
 */
bool sim_run(uint64_t seed, const char *dir, struct sim_result *r);

/** sim_is_accurate() - have both said that they use accurate ECN feedback (RFC 9768)? */
bool sim_is_accurate(const struct sim_end *e);

/** sim_describe() - what a seed stands for, to standard output */
void sim_describe(uint64_t seed);

/* sim.c */
void sim_fail(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool sim_is_healed(const struct sim *s);
uint64_t sim_lane_ns(const struct sim_lane *l);
void sim_moved(struct sim *s);
unsigned int sim_lane_turn(struct sim_lane *l);
static inline struct sim_end *sim_peer(struct sim_end *e);

/* net.c */
void sim_net_init(struct sim *s);
int sim_port_init(struct sim_lane *l, uint32_t ring);
void sim_port_fini(struct sim_port *p);
void sim_net_fini(struct sim *s);
void sim_net_arrive(struct sim *s);
uint64_t sim_net_next(const struct sim *s);
void sim_net_move(struct sim *s, unsigned int side, uint64_t arg);
void sim_fifo_init(struct sim_fifo *f, uint32_t size);

/* kill.c */
void sim_kill(struct sim_lane *l);

/* impair.c */
void sim_net_send(struct sim *s, unsigned int from, const uint8_t *bytes, uint32_t len);
void sim_net_put(struct sim *s, unsigned int to, const uint8_t *bytes, uint32_t len,
		 uint64_t at_ns);

/* flow.c */
extern const struct mr_app sim_app;
void sim_flows_plan(struct sim *s);
void sim_flows_fini(struct sim *s);
void sim_flow_begin(struct sim *s, struct sim_flow *f);
bool sim_flow_is_over(const struct sim_flow *f);
bool sim_flow_is_strict(const struct sim *s, const struct sim_flow *f);
struct sim_end *sim_end_of(struct sim_lane *l, const struct mr_conn *c);
void sim_pattern(const struct sim_end *e, uint64_t offset, uint8_t *to, uint32_t len);
bool sim_pattern_is(const struct sim_end *e, uint64_t offset, const uint8_t *p, uint32_t len);

/* wire.c: laws of the wire */
void sim_wire_sent(struct sim_lane *l, uint8_t *frame, uint32_t len);
void sim_wire_arrived(struct sim_lane *l, struct sim_seg *seg);
void sim_wire_wrong(struct sim_end *e, const struct sim_seg *seg, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
struct sim_flow *sim_flow_of(struct sim *s, const struct sim_seg *seg);

/* opening.c: laws of SYNs, cookies, Fast Open and limits */
void sim_open_syn_sent(struct sim_lane *l, struct sim_end *e, const struct sim_seg *seg);
void sim_open_syn_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg);
void sim_open_done(struct sim_end *e, const struct mr_conn *c);
bool sim_open_may_come_again(struct sim_end *e);
void sim_open_laws(struct sim_lane *l);
void sim_open_at_end(struct sim_lane *l);

/* marks.c: laws of congestion marks, pacing, urgent text, time-outs and IP headers */
void sim_marks_sent(struct sim_end *e, const struct mr_conn *c, const struct sim_seg *seg);
void sim_marks_arrived(struct sim_end *from, struct sim_end *to, const struct sim_seg *seg,
		       uint32_t at);
void sim_pace_turn(struct sim_end *e, const struct mr_lane *l, const struct mr_conn *c);
void sim_urge_laws(struct sim_end *e, uint64_t ahead);
const char *sim_timeout_laws(const struct mr_lane *l, const struct mr_conn *c);

/* laws.c: laws of a lane */
void sim_laws_before(struct sim_lane *l);
void sim_laws(struct sim_lane *l, bool all);
void sim_laws_at_end(struct sim *s);
void sim_laws_closed(struct sim_end *e);

static inline struct sim_end *sim_peer(struct sim_end *e)
{
	return &e->flow->end[!e->side];
}

#endif
