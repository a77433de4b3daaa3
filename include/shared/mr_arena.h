/* SPDX-License-Identifier: MIT */
/*
 * Layout of a lane's arena: one sealed memfd that the daemon makes and holds,
 * so that everything a lane knows outlives its process. Indexes and offsets
 * only, no pointers: it is mapped anywhere. The daemon reads it for the list of
 * connections and treats every word of it as hostile.
 *
 * Primary records are those declared here. Everything else (hash table, timer
 * wheel, free and ready lists) is derived and rebuilt from them.
 */
#ifndef MR_ARENA_H
#define MR_ARENA_H

#include <stdint.h>

#include "mr_endian.h"
#include "mr_sent.h"
#include "mr_trace.h"

enum {
	MR_ARENA_LAYOUT = 12,	    /* raise it with any change of a record below */
	MR_ARENA_PAGE = 4096,	    /* areas start on pages */
	MR_SACK_RUNS = 16,	    /* runs out of order that are remembered to be reported */
	MR_NONE = 0xffffffffu >> 1, /* no index; indexes are below it */
};

#define MR_ARENA_MAGIC 0x31414e4552415252ull

enum mr_arena_area {
	MR_AREA_FRAMES,	       /* the UMEM: frame_count chunks of frame_bytes */
	MR_AREA_FRAME_RECORDS, /* struct mr_frame */
	MR_AREA_CONNS,	       /* struct mr_conn */
	MR_AREA_HALF_OPEN,     /* struct mr_half_open */
	MR_AREA_TIME_WAIT,     /* struct mr_time_wait */
	MR_AREA_SESSIONS,      /* struct mr_session */
	MR_AREA_ACTIVE,	       /* struct mr_active */
	MR_AREA_MESSAGES,      /* message store: blocks of MR_MESSAGE_BLOCK bytes */
	MR_AREA_MESSAGE_MAP,   /* one byte a block: the buddy order */
	MR_AREA_APP_STATES,    /* an application's bytes of each connection */
	MR_AREA_HAND,	       /* struct mr_hand, one */
	MR_AREA_TRACES,	       /* struct mr_trace, a ring */
	MR_AREA_SENT,	       /* struct mr_sent, one; not touched before somebody captures */
	MR_AREA_COUNT
};

struct mr_arena_area_record {
	uint64_t offset; /* from the arena's start */
	uint64_t bytes;
	uint32_t count;
	uint32_t record_bytes;
};

/* Page 0 of the arena. */
struct mr_arena_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t epoch; /* worker generation that owns the arena */
	uint64_t total_bytes;
	struct mr_arena_area_record area[MR_AREA_COUNT];
	uint32_t conns_used; /* blocks from here on were never touched */
	uint32_t pad;
};

/*
 * One frame of the UMEM, beside it. Owner: whoever `state` names; the kernel as well while
 * `in_tx` is set (between the TX ring and its completion), and then nobody writes the bytes.
 */
struct mr_frame {
	uint32_t next;	   /* list of the state, MR_NONE ends it */
	uint32_t owner;	   /* connection index in RX, OOO, TX, SENT; else MR_NONE */
	uint32_t seq;	   /* sequence number of the first payload byte */
	uint16_t offset;   /* payload from the start of the frame */
	uint16_t len;	   /* payload bytes */
	uint8_t state;	   /* enum mr_frame_state */
	uint8_t in_tx;	   /* 1: with the kernel, completion outstanding */
	uint8_t tcp_flags; /* FIN, PSH to send with the payload, or received with it */
	uint8_t sends;	   /* transmissions, saturating */
	uint32_t sent_us;  /* last transmission, low half of the lane's clock */
	uint8_t marks;	   /* MR_FRAME_SACKED, ... of a frame in the send queue */
	uint8_t limbo;	   /* 1: sent by a generation that died, completion not yet seen */
	uint16_t pad;
	/* the connection's figures when the frame left, for delivery-rate samples */
	uint32_t delivered;
	uint32_t delivered_us;
	uint32_t first_sent_us;
	/* by transmission time, while MR_FRAME_TIMED; of a SACKED frame: a later one of its run.
	 * Out of order: the other end of its run, and the frame before it (user/tcp/gaps.h) */
	uint32_t time_next;
	uint32_t time_prev;
};

_Static_assert(sizeof(struct mr_frame) == 48, "frame record");

/* mr_frame.marks */
enum {
	MR_FRAME_SACKED = 1 << 0,      /* the peer has it (RFC 2018) */
	MR_FRAME_LOST = 1 << 1,	       /* taken for lost, not sent again yet (RFC 8985) */
	MR_FRAME_APP_LIMITED = 1 << 2, /* sent while the application gave no more */
	MR_FRAME_TIMED = 1 << 3,       /* in the connection's list by transmission time */
};

/* RFC 9293 3.3.2. CLOSED is 0: a zeroed block is a free one. */
enum mr_tcp_state {
	MR_CLOSED = 0,
	MR_LISTEN,
	MR_SYN_SENT,
	MR_SYN_RECEIVED,
	MR_ESTABLISHED,
	MR_FIN_WAIT_1,
	MR_FIN_WAIT_2,
	MR_CLOSE_WAIT,
	MR_CLOSING,
	MR_LAST_ACK,
	MR_TIME_WAIT,
};

#define MR_TCP_STATE_NAMES                                                                         \
	{                                                                                          \
		"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",       \
			"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"             \
	}

enum { MR_TCP_STATE_COUNT = MR_TIME_WAIT + 1 };

/* mr_conn.flags */
enum {
	MR_CONN_PASSIVE = 1 << 0,	/* opened by the peer (MUST-11) */
	MR_CONN_TIMESTAMPS = 1 << 1,	/* RFC 7323, both sides agreed */
	MR_CONN_WINDOW_SCALE = 1 << 2,	/* RFC 7323, both sides agreed */
	MR_CONN_SACK = 1 << 3,		/* RFC 2018, both sides agreed */
	MR_CONN_NODELAY = 1 << 4,	/* Nagle off */
	MR_CONN_ACK_NOW = 1 << 5,	/* an ACK leaves in this turn */
	MR_CONN_FIN_QUEUED = 1 << 6,	/* nothing can be queued any more */
	MR_CONN_FIN_SENT = 1 << 7,	/* snd_nxt counts it */
	MR_CONN_FIN_RECEIVED = 1 << 8,	/* rcv_nxt counts it */
	MR_CONN_RECOVERY = 1 << 9,	/* fast recovery, until `recover` is acknowledged */
	MR_CONN_RTO_RECOVERY = 1 << 10, /* after a timeout, until `recover` is acknowledged */
	MR_CONN_RTT_RUNNING = 1 << 11,	/* rtt_seq is being timed (Karn) */
	MR_CONN_SHUT_RD = 1 << 12,	/* the application reads no more */
	MR_CONN_ORPHAN = 1 << 13,	/* the application closed: no callbacks */
	MR_CONN_READY = 1 << 14,	/* on the turn's ready list */
	MR_CONN_PROBING = 1 << 15,	/* the retransmission deadline is a zero-window probe */
	MR_CONN_PAUSED = 1 << 16,	/* application paused reading */
	MR_CONN_BLOCKED = 1 << 17,	/* application answered MR_APP_AGAIN */
	MR_CONN_WANT_WRITE = 1 << 18,	/* application waits for room */
	MR_CONN_EOF_SEEN = 1 << 19,	/* application was told of the peer's FIN */
	MR_CONN_OPENED = 1 << 20,	/* application was told of the open */
	MR_CONN_IN_ACCEPT = 1 << 21,	/* waits in an accept queue */
	MR_CONN_PATH_ASKED = 1 << 22,	/* waits for the daemon's path */
	MR_CONN_CLOSE_ASKED = 1 << 23,	/* the application closed in a callback */
	MR_CONN_ABORT_ASKED = 1 << 24,	/* the application aborted in a callback */
	MR_CONN_SEND_LIMITED = 1 << 25, /* the transmit ring or the frames were short */
	MR_CONN_CWND_LIMITED = 1 << 26, /* the congestion window was used up (RFC 7661's reason) */
	MR_CONN_FIN_ARRIVED = 1 << 27,	/* the peer's FIN is in order, not yet processed */
	MR_CONN_ECN = 1 << 28,		/* RFC 3168, both sides agreed */
	MR_CONN_ECE_OWED = 1 << 29,	/* CE arrived: ECE until the peer's CWR */
	MR_CONN_CWR_OWED = 1 << 30,	/* the window was reduced: CWR with the next new text */
};

#define MR_CONN_FAST_OPEN (1u << 31) /* text in a SYN, not confirmed yet (RFC 7413) */

/* Deadlines of a connection, one wheel node for all of them. */
enum mr_deadline {
	MR_DEADLINE_RETRANSMIT, /* or zero-window probe, or SYN */
	MR_DEADLINE_DELACK,
	MR_DEADLINE_KEEPALIVE, /* or FIN-WAIT-2 of an orphan */
	MR_DEADLINE_APP,
	MR_DEADLINE_MESSAGE, /* heartbeats of the message layer */
	MR_DEADLINE_COUNT
};

/*
 * Connection block, 256 bytes in four cache lines. Written by its lane alone. The variables of
 * RFC 9293 3.3.1 keep their names in lower case.
 */
struct mr_conn {
	/* line 0: receiving */
	uint32_t rcv_nxt;
	uint32_t rcv_wnd; /* offered: the right edge is rcv_nxt + rcv_wnd and never moves back */
	uint32_t snd_una;
	uint32_t snd_nxt;
	uint32_t snd_wnd; /* bytes, scaled */
	uint32_t snd_wl1;
	uint32_t snd_wl2;
	uint32_t ts_recent;
	uint32_t heard_ms; /* last acceptable segment; how old ts_recent may be (RFC 7323 5.5) */
	uint32_t last_ack_sent;
	uint32_t flags;
	uint8_t state; /* enum mr_tcp_state */
	uint8_t snd_shift;
	uint8_t rcv_shift;
	uint8_t segs_unacked; /* full segments received since the last ACK */
	uint32_t rx_head;     /* received, not consumed */
	uint32_t rx_tail;
	uint32_t ooo_head; /* sorted by sequence number */
	uint32_t rx_bytes;

	/* line 1: sending */
	uint32_t tx_head; /* oldest unacknowledged or unsent frame */
	uint32_t tx_next; /* first frame not yet sent */
	uint32_t tx_tail;
	uint32_t tx_bytes; /* payload queued from snd_una on */
	uint32_t cwnd;
	uint32_t ssthresh;
	uint32_t srtt_us;   /* times 8; 0: no sample yet */
	uint32_t rttvar_us; /* times 4 */
	uint32_t rto_ms;
	uint32_t recover;
	uint32_t rtt_seq;
	uint32_t rtt_start_us;
	uint32_t max_snd_wnd;
	uint16_t snd_mss; /* payload bytes a segment may carry, options taken off */
	uint16_t rcv_mss; /* largest payload received, for delayed ACKs */
	uint8_t dupacks;
	uint8_t backoff;
	uint8_t probes;	 /* keepalive probes unanswered */
	uint8_t cc;	 /* enum mr_cc_algorithm */
	uint32_t active; /* struct mr_active, or MR_NONE */

	/* line 2: application and timer */
	uint32_t wheel_next;
	uint32_t wheel_prev;
	uint32_t wheel_ms; /* when the node fires; never later than the earliest deadline */
	uint32_t deadline[MR_DEADLINE_COUNT]; /* ms of the lane's clock, 0: off */
	uint32_t generation;		      /* upper half of mr_conn_id */
	uint32_t session;		      /* struct mr_session, or MR_NONE */
	uint32_t ready_next;
	uint32_t app_state;   /* index of the application's state, or MR_NONE */
	uint32_t received_ms; /* last text of the peer */
	uint32_t unacked_ms;  /* since when the oldest sent byte waits; 0: nothing waits */
	uint16_t rule;	      /* rule id */
	uint8_t close_reason;
	uint8_t keep_count;
	uint16_t rcv_wraps; /* how often rcv_nxt - irs passed 2^32: bytes received in all */
	uint16_t snd_wraps; /* the same for snd_una - iss */

	/* line 3: identity, rarely read */
	uint8_t local[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	uint8_t peer_mac[6];
	uint16_t vlan[2]; /* TCI of outer and inner tag, 0: none */
	uint16_t keep_idle_s;
	uint32_t iss;
	uint32_t irs;
	uint32_t opened_ms;
	uint16_t retransmits; /* segments sent again, saturating */
	uint16_t keep_interval_s;
};

_Static_assert(sizeof(struct mr_conn) == 256, "connection block");
_Static_assert(__builtin_offsetof(struct mr_conn, tx_head) == 64, "line 1");
_Static_assert(__builtin_offsetof(struct mr_conn, wheel_next) == 128, "line 2");
_Static_assert(__builtin_offsetof(struct mr_conn, local) == 192, "line 3");

/* mr_half_open.flags */
enum {
	MR_HALF_USED = 1 << 0,
	MR_HALF_TIMESTAMPS = 1 << 1,
	MR_HALF_WINDOW_SCALE = 1 << 2,
	MR_HALF_SACK = 1 << 3,
	MR_HALF_ECN = 1 << 4,
	MR_HALF_FAST_OPEN = 1 << 5,	/* its SYN-ACK brings a cookie (RFC 7413) */
	MR_HALF_FAST_OPEN_EXP = 1 << 6, /* in the experimental option */
};

/* A passive open in SYN-RECEIVED: what is needed to answer its ACK, 80 bytes. */
struct mr_half_open {
	uint8_t local[16];
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	uint8_t peer_mac[6];
	uint16_t vlan[2];
	uint16_t peer_mss; /* as the SYN said, or the default of RFC 9293 3.7.1 */
	uint32_t iss;
	uint32_t irs;
	uint32_t ts_recent;
	uint32_t expire_ms; /* when the SYN-ACK is sent again, or given up */
	uint32_t next;	    /* list of equal time-outs, in order of expiry; or free list */
	uint32_t prev;
	uint16_t rule;
	uint8_t snd_shift;
	uint8_t flags;
	uint8_t sends;	  /* SYN-ACKs sent */
	uint8_t cc;	  /* enum mr_cc_algorithm */
	uint8_t accurate; /* MR_HALF_ACCURATE, ...; 0: it is not */
	uint8_t pad;
};

/* mr_half_open.accurate (RFC 9768) */
enum {
	MR_HALF_SYN_FIELD = 3,	   /* IP's ECN field of the last SYN */
	MR_HALF_ACCURATE = 1 << 2, /* the SYN asked, and the SYN-ACK agrees */
	MR_HALF_NO_ECT = 1 << 3,   /* a later SYN did not ask */
};

_Static_assert(sizeof(struct mr_half_open) == 80, "half-open record");

/* A connection in TIME-WAIT, 64 bytes, in the order of their expiry. */
struct mr_time_wait {
	uint8_t local[16];
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	uint8_t ttl; /* of its rule, 0: the default */
	uint8_t dscp;
	uint8_t pad[8];
	uint16_t expire_half_s; /* half seconds of the lane's clock, modulo 2^16; see time_wait.c */
	uint32_t snd_nxt;
	uint32_t rcv_nxt;
	uint32_t ts_recent; /* 0: no timestamps */
	uint32_t next;
};

_Static_assert(sizeof(struct mr_time_wait) == 64, "TIME-WAIT record");

/* Sequence numbers from left up to right, which is behind the last. */
struct mr_block {
	uint32_t left;
	uint32_t right;
};

/* What MR_DEADLINE_RETRANSMIT stands for beside zero-window probes. */
enum mr_timer_kind {
	MR_TIMER_RTO = 0, /* RFC 6298 */
	MR_TIMER_REORDER, /* RFC 8985 6.2, step 5 */
	MR_TIMER_PROBE,	  /* RFC 8985 7.2: the probe timeout, PTO */
	MR_TIMER_RENEGED, /* RFC 2018 8: an RTO that comes soon, whatever else arrives */
};

enum mr_frto {
	MR_FRTO_OFF = 0,
	MR_FRTO_RESENT, /* RFC 5682 2.1, 1: the first segment went out again */
	MR_FRTO_NEW,	/* 2.1, 2b: new text goes out before what is marked lost */
};

/* An epoch of CUBIC (RFC 9438 4.1.2), windows in bytes. */
struct mr_cubic_epoch {
	uint32_t w_max; /* 0: no reduction yet */
	uint32_t cwnd_prior;
	uint32_t start_ms; /* 0: it begins with the next ACK */
	uint32_t k_ms;
	uint32_t w_est;
};

struct mr_cubic {
	struct mr_cubic_epoch epoch;
	struct mr_cubic_epoch before; /* the last reduction, to undo it */
	uint32_t w_est_rest;
	uint32_t last_ms; /* the last ACK */
	/* HyStart++ (RFC 9406); 0: no sample */
	uint32_t window_end;
	uint32_t last_round_min_us;
	uint32_t round_min_us;
	uint32_t css_base_us;
	uint8_t n_samples;
	uint8_t in_css;
	uint8_t css_rounds;
	uint8_t in_round;
};

/* RFC 8257 3.3 */
struct mr_dctcp {
	uint32_t alpha; /* in 1/2^20 */
	uint32_t window_end;
	uint32_t bytes_acked;
	uint32_t bytes_marked;
	uint8_t begun;
};

/*
 * Accurate ECN feedback (RFC 9768) of a connection that agreed on it, which keeps its mr_active for
 * its life. Bytes by IP's field less one: ECT(1), ECT(0), CE.
 */
struct mr_accurate {
	uint8_t on;	    /* agreed on; 0: all else means nothing */
	uint8_t flags;	    /* MR_ACCURATE_NO_ECT, ... */
	uint8_t syn_answer; /* ACE of the next segment without text: of the peer's SYN-ACK; 0: none
			     */
	uint8_t news;	    /* counters that an option must have to tell what changed; 0: nothing */
	uint8_t ce_untold;  /* marks since the last ACK left */
	uint8_t last_field; /* of the last text */
	uint16_t acked_average; /* segments that an ACK delivers, times 64; 0: unknown */
	uint32_t received_ce;	/* packets */
	uint32_t delivered_ce;	/* packets, as the peer tells */
	uint32_t received[3];	/* bytes of text */
	uint32_t delivered[3];
	uint32_t ts_seen;     /* the newest timestamp of a segment that was looked at */
	struct mr_block told; /* the last duplicate that was told together with the option */
};

/* mr_accurate.flags */
enum {
	MR_ACCURATE_NO_ECT = 1 << 0,	  /* the path does not carry ECN whole: none is sent */
	MR_ACCURATE_OPTION_SEEN = 1 << 1, /* the peer's option came: ours may be sent */
	MR_ACCURATE_OPTION_OFF = 1 << 2,  /* ours does not get through */
};

/* Delivery rate (draft-cheng-iccrg-delivery-rate-estimation): the connection's half; mr_frame's. */
struct mr_rate {
	uint32_t delivered; /* bytes */
	uint32_t delivered_us;
	uint32_t first_sent_us;
	uint32_t app_limited_until; /* as `delivered` */
	/* of the newest frame that this ACK delivered */
	uint32_t prior_delivered;
	uint32_t prior_us;
	uint32_t send_elapsed_us;
	uint8_t app_limited;
	uint8_t has_prior;
	uint8_t prior_app_limited;
	uint8_t pad;
};

enum mr_bbr_mode {
	MR_BBR_STARTUP = 0,
	MR_BBR_DRAIN,
	MR_BBR_PROBE_BW,
	MR_BBR_PROBE_RTT,
};

struct mr_bbr_rate {
	uint64_t rate; /* bytes a second */
	uint32_t round;
	uint32_t pad;
};

struct mr_bbr {
	struct mr_bbr_rate bw[3];
	uint64_t full_bw;
	uint64_t rate; /* pacing, bytes a second; 0: no sample yet */
	uint32_t min_rtt_us;
	uint32_t min_rtt_ms; /* when */
	uint32_t probe_rtt_done_ms;
	uint32_t rounds;
	uint32_t next_round; /* as mr_rate.delivered */
	uint32_t cycle_us;
	uint32_t prior_cwnd;
	uint8_t mode; /* enum mr_bbr_mode */
	uint8_t cycle;
	uint8_t full;
	uint8_t full_rounds;
	uint8_t round_start;
	uint8_t sample_limited;
	uint8_t probing_rtt;
	uint8_t probe_rtt_round_done;
	uint8_t idle_restart;
	uint8_t conserve;
	uint8_t in_recovery;
	uint8_t pad;
};

/*
 * What a connection needs only while bytes are on their way, borrowed from the first byte sent or
 * the first gap on, given back after MR_ACTIVE_IDLE_MS without any (user/frame/actives.h).
 */
struct mr_active {
	uint32_t owner;		  /* connection index; MR_NONE: free */
	uint32_t next_free;	  /* free list */
	uint32_t used_ms;	  /* when it was last needed */
	uint32_t user_timeout_ms; /* the application's own, 0: the lane's. Never given back while
				     set */

	/* nearly always zero, and looked at for nearly every segment: two words and one */
	union {
		struct {
			uint32_t lost;	       /* bytes of frames marked MR_FRAME_LOST */
			uint16_t mss_most;     /* what was agreed on, when snd_mss is less; 0: it is
						  not */
			uint8_t urgent;	       /* MR_URGENT_IN, ... */
			uint8_t n_gap;	       /* blocks that stand in `gap` */
			struct mr_block dsack; /* to be reported once (RFC 2883), empty: none */
		};
		uint64_t unusual[2]; /* see mr_active_is_usual() */
	};
	union {
		struct {
			uint16_t big_len;     /* a segment that would be the largest acknowledged,
						 and waits for that; 0: none */
			uint16_t claimed_mtu; /* by a router, not believed yet (RFC 5927 7.2); 0:
						 none */
			uint16_t probe_len;   /* of a probe in flight; 0: none is */
			uint8_t timeouts;     /* in succession */
			uint8_t tlp_is_out; /* a tail probe (RFC 8985) that is not accounted for */
		};
		uint64_t unproved; /* what an ACK may prove */
	};

	uint32_t small_end; /* the byte behind the last segment sent that was short (Minshall) */
	uint8_t has_small;  /* there was one */

	/* congestion control */
	uint32_t cc_acked;    /* bytes acknowledged towards the next increase (RFC 3465) */
	uint32_t cc_sent_ms;  /* when new text last left */
	uint32_t flight_most; /* of the round trip that flight_end closes: was the window used? */
	uint32_t flight_end;
	uint32_t ecn_end;     /* snd_nxt when an echo of congestion last reduced the window */
	uint8_t ecn_reduced;  /* it is not acknowledged yet */
	uint8_t pacing;	      /* the fields pace_* are in use */
	uint32_t pace_credit; /* bytes that may leave now */
	uint32_t pace_us;     /* when it was last filled */
	uint32_t pace_ms;     /* deadline: text waits for credit; 0: none does */
	struct mr_rate rate;
	union {
		struct mr_cubic cubic;
		struct mr_dctcp dctcp;
		struct mr_bbr bbr;
	} cc;

	/* RFC 5961 */
	uint32_t answered_ms; /* when an unacceptable segment was last answered, 0: never */

	/* loss recovery: scoreboard */
	uint32_t sacked;    /* bytes of frames marked MR_FRAME_SACKED */
	uint32_t n_sacked;  /* how many they are */
	uint32_t lost_next; /* none before this frame is marked so */
	uint32_t sack_hint; /* frame at the last block's left edge */
	uint32_t time_head; /* sent, not lost, not acknowledged; by transmission time */
	uint32_t time_tail;
	struct mr_block sack_seen[4]; /* blocks of the last ACK */
	/* RACK-TLP (RFC 8985), with its names */
	uint32_t rack_sent_us;
	uint32_t rack_end_seq;
	uint32_t rack_rtt_us;
	uint32_t rack_fack;
	uint32_t rack_dsack_round;
	uint32_t min_rtt_us; /* 0: unknown */
	uint32_t min_rtt_ms; /* when it was measured */
	uint32_t tlp_end_seq;
	uint8_t rack_valid;
	uint8_t rack_fack_known;
	uint8_t rack_reordering;
	uint8_t rack_has_round;
	uint8_t rack_mult; /* of the reordering window, less one */
	uint8_t rack_persist;
	uint8_t tlp_is_retrans;
	uint8_t timer; /* enum mr_timer_kind of MR_DEADLINE_RETRANSMIT */
	/* PRR (RFC 6937) */
	uint32_t prr_delivered;
	uint32_t prr_out;
	uint32_t prr_flight; /* RecoverFS */
	/* undo (RFC 3522, RFC 4015, RFC 3708) and F-RTO (RFC 5682) */
	uint32_t undo_cwnd;
	uint32_t undo_ssthresh;
	uint32_t undo_una;
	uint32_t undo_ts;      /* timestamp of the first retransmission */
	uint32_t undo_retrans; /* retransmissions that no DSACK answered */
	uint32_t dup_flight;   /* flight at the first duplicate ACK (RFC 3042 2) */
	uint8_t undo;	       /* there is something to undo */
	uint8_t undo_sent;     /* retransmitted since */
	uint8_t frto;	       /* enum mr_frto */

	/* urgent text (RFC 9293 3.8.5) */
	uint32_t rcv_up; /* the byte behind the peer's urgent text */
	uint32_t snd_up; /* the byte behind ours */

	/* received: gaps */
	uint8_t n_untold;		   /* the first of them: changed, and in no ACK yet */
	uint16_t ooo_runs;		   /* of text out of order, without a gap in them */
	struct mr_block gap[MR_SACK_RUNS]; /* the one received last is first (RFC 2018 4) */
	uint32_t ooo_tail;		   /* last frame, while mr_conn.ooo_head is one */
	uint32_t ooo_frames;		   /* how many there are */

	/* path: sizes are payload bytes of a segment, as snd_mss */
	uint16_t mss_local;  /* what our own interface and route take, when less; 0: they do not */
	uint16_t mss_bad;    /* the smallest that did not pass; 0: none is known */
	uint16_t mss_acked;  /* the largest that was acknowledged */
	uint8_t probe_tries; /* probes that said nothing */
	uint8_t leapt;	     /* after a timeout, the last ACK was for much more than it resent */
	uint32_t big_end;
	uint32_t claimed_seq;
	uint32_t probe_seq;
	uint32_t path_ms; /* no probe before; 0: now */

	/* receive window */
	uint32_t rcv_limit;    /* bytes that may stand unread or offered; 0: not grown yet */
	uint32_t rcv_rtt_us;   /* 0: no full segment was seen */
	uint32_t rcv_rtt_edge; /* without timestamps: a round trip is over when this arrived */
	uint32_t rcv_rtt_start_us;
	uint32_t taken;	       /* by the application since taken_us */
	uint32_t taken_us;     /* 0: nothing was yet */
	uint32_t taken_before; /* most of a round trip so far */

	struct mr_accurate accurate;

	/* trace: the last events, a ring */
	uint32_t n_traced;     /* events so far */
	uint32_t trace_number; /* of the archived copy, 0: none */
	struct mr_trace_event trace[MR_TRACE_EVENTS];
	uint32_t trace_writes; /* odd while owner or trace change; the last member */
};

/* mr_active.urgent */
enum {
	MR_URGENT_IN = 1 << 0,	 /* rcv_up is set */
	MR_URGENT_OUT = 1 << 1,	 /* snd_up is not acknowledged yet */
	MR_URGENT_NEWS = 1 << 2, /* the application has not been told of rcv_up */
};

/* What a connection needs only while a message is incomplete or something is blocked. */
struct mr_session {
	uint64_t reader[5];   /* struct mr_tlv_reader */
	uint32_t block;	      /* first block of the message store, or MR_NONE */
	uint32_t block_bytes; /* how much of it */
	uint32_t partial_ms;  /* since when a message is incomplete, 0: none is */
	uint32_t handler_ms;  /* since when the application answers MR_APP_AGAIN, 0: it does not */
	uint32_t send_ms;     /* since when the peer takes nothing, 0: it does */
	uint32_t ping_ms;     /* when a ping was sent that waits for an answer, 0: none */
};

_Static_assert(sizeof(struct mr_session) == 64, "session record");

enum {
	MR_MESSAGE_BLOCK = 4096,
	MR_APP_STATE_BYTES = 256, /* most that an application may keep of a connection */
};

/* A frame's bytes in the UMEM. */
struct mr_span {
	uint64_t addr;
	uint32_t len;
	uint32_t options; /* 0; XDP_PKT_CONTD never passes a port */
};

enum {
	MR_HAND_BATCH = 64,
	MR_COOKIES_SEEN = 1024, /* accepted cookies that are remembered */
	MR_PORT_COUNTS = 256,	/* counters of RFC 6056, algorithm 4 */
	MR_LISTENERS = 64,	/* that applications asked for, all lanes of an interface */
};

/*
 * What a lane has in hand, and what it must not forget beside its records. A worker may be killed
 * between any two instructions: the next one drops what is named here, and whatever is not named
 * was left whole. The compiler keeps the order of the stores; no CPU barrier is needed, for whoever
 * reads them comes after the writer's end. Indexes, MR_NONE: none.
 */
struct mr_hand {
	uint32_t conn;	/* the connection that is being changed */
	uint32_t other; /* one that its application changes meanwhile */
	uint32_t half;	/* the half-open record that is being made, or becomes a connection */
	uint32_t wait;	/* the TIME-WAIT record that a connection becomes */
	/* Frames collected for the transmit ring, and that ring's producer index before them: when
	 * it stands there still, they were not handed over. */
	uint32_t n_out;
	uint32_t tx_index;
	struct mr_span out[MR_HAND_BATCH];
	uint32_t cookie_ms;   /* when the last SYN cookie was sent, 0: never */
	uint32_t state_bytes; /* of an application's state in MR_AREA_APP_STATES */
	uint64_t port_steps;
	uint64_t cookie_seen[MR_COOKIES_SEEN]; /* those that opened a connection */
	uint64_t listening[MR_LISTENERS];      /* ids of connections that own listeners */
	uint16_t port_count[MR_PORT_COUNTS];   /* where each group of destinations stands */
};

#endif
