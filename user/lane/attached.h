/* SPDX-License-Identifier: MIT */
/*
 * Programs attached to a lane, between the files of user/lane. attached.c knows channels and
 * commands, attached_conn.c the application that serves their connections.
 */
#ifndef MR_LANE_ATTACHED_H
#define MR_LANE_ATTACHED_H

#include "user/attach/channel.h"
#include "user/lane/internal.h"

enum {
	ATTACHED_LISTENERS = 256,
	ATTACHED_EVENTS_KEPT = 3, /* of a connection: CONNECTED, EOF and CLOSED find room always */
	ATTACHED_TURN = 256,	  /* commands of a channel in one turn */
};

/* Of a connection, in the arena: a worker that takes over goes by it. */
struct attached_conn {
	uint32_t channel;    /* number plus 1; 0: nobody's */
	uint32_t prev, next; /* those that wait for buffers or for room in the event ring */
	uint32_t unread;     /* bytes lent that the program has not said to have read */
	uint32_t credit;     /* as many may be */
	uint32_t send_head, send_tail; /* send buffers queued */
	uint32_t n_sends;
	uint32_t done;	 /* bytes of the first one that stand in frames */
	uint8_t starved; /* it stands in the list */
	uint8_t shut;	 /* FIN behind what is queued */
	uint8_t closing; /* the program gave it back */
	uint8_t pad;
};

struct attached_channel {
	struct mr_channel c;
	uint32_t number;
	int bell;
	bool dirty; /* events since the program was last rung for */
	bool dead;  /* the program is gone; what it sent is still sent */
	bool stuck; /* commands wait for room in the event ring */
	uint32_t n_conns;
	uint32_t *free; /* receive buffers */
	uint32_t n_free;
	uint32_t *sent; /* send buffers to be given back */
	uint32_t n_sent;
	struct fifo starved;
	uint64_t *rules; /* bits: those that it may serve */
	uint32_t n_rules;
};

struct attached_listener {
	struct attached_channel *channel; /* NULL: free */
	uint64_t user;
	uint32_t rule;
	uint32_t backlog;
	uint32_t waiting;
	uint32_t promised; /* connections of this turn that it is about to get */
	uint8_t addr[16];  /* zeros: any */
	uint16_t port;
	uint16_t family; /* 4, 6, 0: any */
};

struct lane_attached {
	struct attached_channel *channel[MR_ATTACH_CHANNELS];
	uint32_t n_channels;
	struct attached_listener listener[ATTACHED_LISTENERS];
	uint32_t n_listeners; /* places looked at */
	uint32_t next;	      /* listener that is asked first when several wait for as many */
};

/* attached.c */
bool attached_has_room(const struct attached_channel *ch, uint32_t n);
void attached_put(struct attached_channel *ch, const struct mr_attach_record *r);
void attached_sent(struct attached_channel *ch, uint32_t buffer);

/* attached_conn.c */
struct attached_conn *attached_state(struct mr_lane *l, const struct mr_conn *c);
struct attached_channel *attached_channel_of(struct mr_lane *l, const struct attached_conn *a);
void attached_begin(struct attached_conn *a, const struct attached_channel *ch);
void attached_end_points(const struct mr_conn *c, struct mr_attach_end_points *out);
void attached_queue(struct mr_lane *l, struct mr_conn *c, struct attached_channel *ch,
		    const struct mr_attach_record *r);
void attached_read(struct mr_lane *l, struct mr_conn *c, uint32_t bytes);
void attached_shutdown(struct mr_lane *l, struct mr_conn *c, int how);
void attached_close(struct mr_lane *l, struct mr_conn *c);
void attached_feed(struct mr_lane *l, struct attached_channel *ch);

#endif
