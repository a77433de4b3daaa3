/* SPDX-License-Identifier: MIT */
/*
 * A channel: the memory between one thread of a program and one lane. A memfd, sealed against
 * shrinking, that the daemon (or, for tests, the process itself) makes and both sides map:
 *
 *	header page | commands (program -> lane) | events (lane -> program) |
 *	slots of the receive buffers | slots of the send buffers | receive buffers | send buffers
 *
 * Indexes and offsets only. Both rings hold records of one size; a ring's producer and consumer
 * index stand on cache lines of their own and run freely modulo 2^32. Receive buffers belong to the
 * lane, which lends them to the program with a DATA event and gets them back with RETURN; send
 * buffers belong to the program, which lends them with SEND and gets them back with SENT.
 *
 * The lane takes every word here for hostile: sizes are read once and checked against the memfd,
 * records are copied before they are looked at, and what a program writes where it should not
 * harms its own connections alone.
 */
#ifndef MR_ATTACH_H
#define MR_ATTACH_H

#include <stdint.h>

#include "mr_endian.h"

enum {
	MR_ATTACH_LAYOUT = 1, /* raise it with any change of this file */
	MR_ATTACH_PAGE = 4096,
	MR_ATTACH_BATCH = 10, /* buffers that one record gives back */
	MR_ATTACH_BUFFER_LEAST = 256,
	MR_ATTACH_BUFFER_MOST = 1 << 16,
	MR_ATTACH_RING_MOST = 1 << 17,
	MR_ATTACH_BUFFERS_MOST = 1 << 17,
	MR_ATTACH_CREDIT = 64 << 10, /* bytes of a connection that may be unread, by default */
	MR_ATTACH_CREDIT_LEAST = 4 << 10,
	MR_ATTACH_CREDIT_MOST = 16 << 20,
	MR_ATTACH_CHANNELS = 64, /* of one lane */
};

#define MR_ATTACH_MAGIC 0x48435441524d494cull

/* Rings: powers of two. */
struct mr_attach_sizes {
	uint32_t commands;
	uint32_t events; /* each connection keeps two of them free */
	uint32_t receive_buffers;
	uint32_t send_buffers;
	uint32_t buffer_bytes; /* a multiple of 64 */
	uint32_t pad;
};

struct mr_attach_ring {
	uint32_t producer;
	uint32_t pad1[15];
	uint32_t consumer;
	uint32_t pad2[15];
};

/* A side that is about to sleep sets its word, looks once more, and sleeps. */
struct mr_attach_sleeps {
	uint32_t value;
	uint32_t pad[15];
};

struct mr_attach_header {
	uint64_t magic;
	uint32_t layout; /* MR_ATTACH_LAYOUT */
	uint32_t lane;	 /* number of the lane */
	struct mr_attach_sizes sizes;
	uint64_t total_bytes;
	uint64_t pad[2];
	struct mr_attach_sleeps program, lane_sleeps;
	struct mr_attach_ring command, event;
};

_Static_assert(__builtin_offsetof(struct mr_attach_header, program) == 64, "cache lines");
_Static_assert(sizeof(struct mr_attach_header) <= MR_ATTACH_PAGE, "one page");

/*
 * Beside each buffer; written by the lane alone. A send buffer: its place in the queue of its
 * connection. A receive buffer: when it was lent.
 */
struct mr_attach_slot {
	uint32_t next;	 /* index of the next send buffer, MR_NONE: the last */
	uint32_t offset; /* of what is to be sent, in the buffer */
	uint32_t len;
	uint32_t lent; /* 1: with the program (receive), with the lane (send) */
};

enum mr_attach_op {
	/*
	 * Commands. `conn`: whom it is about, as an event named it; one that is gone is passed
	 * over. `user` comes back in the answer.
	 */
	MR_ATTACH_LISTEN =
		1,	    /* user, end.local, end.local_port; value: backlog. Answer: LISTENING */
	MR_ATTACH_UNLISTEN, /* user of LISTEN */
	MR_ATTACH_ACCEPTED, /* user of LISTEN: a connection waits no more */
	MR_ATTACH_CONNECT,  /* user, end. Answer: OPENING or FAILED */
	MR_ATTACH_SEND,	    /* conn, part */
	MR_ATTACH_READ,	    /* conn; value: bytes that the program has read */
	MR_ATTACH_RETURN,   /* n, buffer[]: receive buffers back */
	MR_ATTACH_SHUTDOWN, /* conn; value: SHUT_RD, SHUT_WR, SHUT_RDWR, behind what is queued */
	MR_ATTACH_CLOSE,    /* conn: no event but SENT and CLOSED follows. Unread bytes: RST */
	MR_ATTACH_ABORT,    /* conn: RST */
	MR_ATTACH_OPTION,   /* conn; value: enum mr_attach_option, word[] */
	MR_ATTACH_ASK,	    /* conn, or 0 and user of LISTEN. Answer: FIGURES */
	MR_ATTACH_COMMANDS,

	/* Events. */
	MR_ATTACH_LISTENING = 64, /* user; value: errno */
	MR_ATTACH_ACCEPT,	  /* conn; user of the LISTEN; end */
	MR_ATTACH_OPENING,	  /* user; conn: its name from now on */
	MR_ATTACH_FAILED,	  /* user; value: errno: nothing was opened */
	MR_ATTACH_CONNECTED,	  /* conn; end */
	MR_ATTACH_DATA,		  /* conn, part */
	MR_ATTACH_EOF,		  /* conn: the peer sends no more */
	MR_ATTACH_SENT,		  /* n, buffer[]: send buffers back: their bytes stand in frames */
	MR_ATTACH_CLOSED,	  /* conn; value: errno; its name is dead */
	MR_ATTACH_FIGURES,	  /* conn, user; figures */
};

enum mr_attach_option {
	MR_ATTACH_NODELAY = 1,	/* word[0]: 0 or 1 */
	MR_ATTACH_KEEPALIVE,	/* word[0]: idle s, 0: off; word[1]: interval s; word[2]: count */
	MR_ATTACH_USER_TIMEOUT, /* word[0]: ms, 0: the lane's */
	MR_ATTACH_RECEIVE,	/* word[0]: bytes that may be unread */
	MR_ATTACH_QUICK_ACK,	/* acknowledge now what has come */
	MR_ATTACH_URGE,		/* what was sent so far is urgent */
};

struct mr_attach_end_points {
	uint8_t local[16]; /* IPv4 as ::ffff:a.b.c.d; zeros: any */
	uint8_t remote[16];
	struct mr_be16 local_port;
	struct mr_be16 remote_port;
	uint32_t pad;
};

struct mr_attach_figures {
	uint32_t unsent;    /* bytes queued in the lane and not acknowledged */
	uint32_t half_open; /* of a listener's rule */
	uint32_t rtt_us;
	uint32_t rttvar_us;
	uint32_t cwnd_bytes;
	uint32_t snd_mss;
	uint32_t rto_ms;
	uint32_t retransmits;
	uint32_t rcv_mss;
	uint8_t state; /* enum mr_tcp_state */
	uint8_t cc;    /* enum mr_cc_algorithm */
	uint8_t backoff;
	uint8_t known; /* 0: there is no such connection */
};

/* One command or event. */
struct mr_attach_record {
	uint16_t op; /* enum mr_attach_op */
	uint16_t n;
	uint32_t value;
	uint64_t conn; /* mr_conn_id */
	uint64_t user;
	union {
		struct {
			uint32_t buffer, offset, len;
		} part;
		uint32_t buffer[MR_ATTACH_BATCH];
		uint32_t word[MR_ATTACH_BATCH];
		struct mr_attach_end_points end;
		struct mr_attach_figures figures;
	};
};

_Static_assert(sizeof(struct mr_attach_record) == 64, "one cache line");

#endif
