/* SPDX-License-Identifier: MIT */
/* Between the files of the message layer. */
#ifndef MR_API_MESSAGE_INTERNAL_H
#define MR_API_MESSAGE_INTERNAL_H

#include <millrace/message.h>
#include <millrace/set.h>
#include <millrace/sock.h>

#include "user/api/timers.h"
#include "user/tlv/heartbeat.h"
#include "user/tlv/reader.h"

enum {
	LOOP_EVENTS = 64,
	LOOP_READ_BYTES = 1 << 16,
	SERVER_ACCEPTS = 64,   /* of one listener, before others have their turn */
	SERVER_PAUSE_MS = 100, /* when there is no descriptor for another connection */
	PEER_REQUESTS = 65536, /* that wait for replies, of one peer */
};

/* What the set tells about, and what time tells about: first in their owners. */
struct loop_source {
	void (*ready)(struct loop_source *s, uint32_t events);
};

struct loop_timer {
	struct api_timer t;
	void (*fire)(struct loop_timer *t);
};

/* Bytes in order: taken at the front, added at the back. */
struct bytes {
	uint8_t *at;
	size_t first, end, room;
};

struct mr_loop {
	struct mr_context *context;
	struct mr_set *set;
	struct api_timers timers;
	struct mr_peer *peers;
	struct mr_message_server *servers;
	struct mr_peer *pending; /* that want something done behind the handlers */
	struct mr_message_server *ended_servers;
	bool stop;
	bool ending; /* nothing new begins */
	uint8_t in[LOOP_READ_BYTES];
};

struct mr_message_server {
	struct loop_source source;
	struct loop_timer timer; /* accepting goes on */
	struct mr_loop *loop;
	struct mr_message_server *next, **link;
	struct mr_message_handlers h;
	struct mr_message_options o;
	void *arg;
	int fd;
};

/* A reply that is waited for; past its time it stays, to know the late reply by. */
struct request {
	struct loop_timer timer;
	struct mr_peer *peer;
	struct request *next;
	uint64_t reply_tag;
	uint64_t number; /* of its message, among those queued by the peer */
	void (*on_reply)(struct mr_peer *p, int error, const uint8_t *value, size_t len, void *arg);
	void *arg;
};

enum peer_state {
	PEER_WAITING, /* to connect again */
	PEER_CONNECTING,
	PEER_OPEN,
	PEER_CLOSING, /* reads no more; ends when all is sent */
	PEER_ENDED,   /* on_close is due */
};

struct mr_peer {
	struct loop_source source;
	struct loop_timer timer; /* limits of the message layer, or the next connection */
	struct mr_loop *loop;
	struct mr_peer *next, **link;
	struct mr_peer *next_pending;
	struct mr_message_handlers h;
	struct mr_message_options o;
	struct mr_heartbeat_config limits;
	void *arg, *data;
	int fd;
	uint32_t interest; /* EPOLL bits that the set has */

	enum peer_state state;
	enum mr_peer_reason reason; /* of PEER_CLOSING and PEER_ENDED */
	int error;
	bool is_pending;
	bool is_client, has_limits;
	bool was_open;	 /* on_close is owed */
	bool was_told;	 /* of a first connection that failed */
	bool by_program; /* closed for good: it does not connect again */
	bool aborted;
	bool blocked;  /* MR_MESSAGE_AGAIN */
	bool for_room; /* a pong waits for room: blocked until there is some */
	bool resumed;
	bool wants_room; /* was told -EAGAIN */

	struct sockaddr_storage addr; /* of a client: where it connects to */
	socklen_t addr_len;
	uint32_t backoff_ms;

	struct mr_tlv_reader reader;
	uint8_t *store;
	size_t store_bytes;
	struct bytes held; /* read, and left by MR_MESSAGE_AGAIN */

	struct bytes out;
	size_t given;	 /* of the message at the front of @out */
	size_t reserved; /* room of the value that mr_message_reserve() made */
	bool has_reserved;
	uint64_t reserved_tag;
	uint64_t n_queued; /* messages */
	uint64_t n_given;  /* of them, given to the socket whole */

	struct request *requests, **requests_end;
	uint32_t n_requests;

	uint64_t opened_ms, received_ms, partial_ms, ping_ms, blocked_ms, stuck_ms;
};

/* message_bytes.c */
bool bytes_room(struct bytes *b, size_t len);
bool bytes_add(struct bytes *b, const void *from, size_t len);
void bytes_take(struct bytes *b, size_t len);
void bytes_free(struct bytes *b);

static inline size_t bytes_len(const struct bytes *b)
{
	return b->end - b->first;
}

/* loop.c */
uint64_t loop_now_ms(void);
int loop_timer_set(struct mr_loop *l, struct loop_timer *t, uint64_t at_ms);
void loop_timer_clear(struct mr_loop *l, struct loop_timer *t);
void loop_pending(struct mr_peer *p);

/* message_server.c */
void server_free(struct mr_message_server *s);

/* peer.c: from its beginning to its end */
struct mr_peer *peer_new(struct mr_loop *l, const struct mr_message_handlers *h,
			 const struct mr_message_options *o, void *arg);
int peer_accepted(struct mr_peer *p, int fd);
void peer_end(struct mr_peer *p, enum mr_peer_reason reason, int error);
void peer_settle(struct mr_peer *p);
void peer_free(struct mr_peer *p);
const char *peer_options_check(const struct mr_message_options *o);

/* peer_in.c */
void peer_read(struct mr_peer *p);
void peer_read_held(struct mr_peer *p);

/* peer_out.c */
int peer_queue(struct mr_peer *p, uint64_t tag, const void *value, size_t len);
void peer_flush(struct mr_peer *p);
void peer_begin_again(struct mr_peer *p);

/* peer_limits.c */
void peer_limits_arm(struct mr_peer *p);
void peer_limits_due(struct mr_peer *p);
void peer_limits_unblocked(struct mr_peer *p);

/* peer_requests.c */
bool peer_reply(struct mr_peer *p, uint64_t tag, const uint8_t *value, size_t len);
void peer_requests_fail(struct mr_peer *p, bool all);

#endif
