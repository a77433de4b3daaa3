/* SPDX-License-Identifier: MIT */
/*
 * TLV messages: servers and clients by callbacks, over the sockets of a context on any backend.
 *
 * A loop runs in one thread: mr_loop_run() calls the handlers of its peers, and every function
 * here is called from that thread, inside a handler or outside. A peer is one end of one
 * connection. Messages go out in the order in which they were sent; what handlers send while a
 * piece of the stream is being read leaves in one call of the socket.
 */
#ifndef MILLRACE_MESSAGE_H
#define MILLRACE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <millrace/context.h>
#include <millrace/tlv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_loop;
struct mr_peer;
struct mr_message_server;

/* Why a connection ended. */
enum mr_peer_reason {
	MR_PEER_CLOSED_HERE,   /* mr_peer_close(), mr_peer_abort(), or its server or loop ended */
	MR_PEER_CLOSED_THERE,  /* by the other end, at a message's boundary */
	MR_PEER_CUT_SHORT,     /* by the other end, in the middle of a message */
	MR_PEER_ERROR,	       /* the socket failed; the errno says how */
	MR_PEER_NOT_CONNECTED, /* it was never open; the errno says why */
	MR_PEER_TOO_LONG,      /* a length over the maximum of the format */
	MR_PEER_BAD_LENGTH,    /* a length that counts the header and is less than it */
	MR_PEER_BAD_CHECK,     /* a message was changed on its way */
	MR_PEER_IDLE,	       /* nothing came for idle_ms */
	MR_PEER_PARTIAL,       /* a message was begun and not completed within partial_ms */
	MR_PEER_NO_PONG,       /* a ping was not answered within pong_ms */
	MR_PEER_HANDLER,       /* on_message left a message unconsumed for handler_ms */
	MR_PEER_SEND,	       /* what was sent made no progress for send_ms */
	MR_PEER_NO_MEMORY,
	MR_PEER_REASON_COUNT
};

/** mr_peer_reason_text() - words, never NULL */
const char *mr_peer_reason_text(enum mr_peer_reason reason);

/* What on_message tells the loop. */
enum mr_message_verdict {
	MR_MESSAGE_DONE = 0,
	MR_MESSAGE_AGAIN = 1, /* not consumed: the same comes again after mr_peer_resume(); until
			       * then nothing is read, and the peer's window closes */
};

/**
 * struct mr_message_handlers - what a peer calls; each may be NULL but on_message
 * @on_open:	the connection is there
 * @on_message:	one message; @value is valid until return. Replies that mr_message_request()
 *		waits for go there instead
 * @on_writable: less than low_water is queued, after mr_message_send() gave -EAGAIN
 * @on_heartbeat: a pong came, @ms after its ping
 * @on_close:	the connection is over. Called once for each on_open, and for a first connection
 *		that failed. @p is gone after return, unless it reconnects
 *
 * Handlers may call everything here, mr_peer_close() of their own peer too.
 */
struct mr_message_handlers {
	void (*on_open)(struct mr_peer *p, void *arg);
	enum mr_message_verdict (*on_message)(struct mr_peer *p, uint64_t tag, const uint8_t *value,
					      size_t len, void *arg);
	void (*on_writable)(struct mr_peer *p, void *arg);
	void (*on_heartbeat)(struct mr_peer *p, uint64_t ms, void *arg);
	void (*on_close)(struct mr_peer *p, enum mr_peer_reason reason, int error, void *arg);
};

/**
 * struct mr_message_options - how messages look, and limits; 0 turns a limit off
 * @format:	mr_message_options_default() gives the contract's
 * @has_ping:	@ping_tag and @pong_tag mean ping and pong: answered by the loop, behind the
 *		replies to all messages before
 * @idle_ms, @partial_ms, @ping_ms, @pong_ms, @handler_ms, @send_ms: docs/tlv.md
 * @high_water:	bytes queued beyond which mr_message_send() refuses
 * @low_water:	at most @high_water
 * @reconnect:	clients: connect again when the connection ends other than by
 *		mr_peer_close() or mr_peer_abort()
 * @backoff_ms:	the first wait before that, doubled each time, up to @backoff_most_ms; of each
 *		wait a random half to whole is taken. A connection that stood that long begins anew
 * @backlog:	servers
 */
struct mr_message_options {
	struct mr_tlv_format format;
	bool has_ping;
	uint64_t ping_tag;
	uint64_t pong_tag;
	uint32_t idle_ms;
	uint32_t partial_ms;
	uint32_t ping_ms;
	uint32_t pong_ms;
	uint32_t handler_ms;
	uint32_t send_ms;
	size_t high_water;
	size_t low_water;
	bool reconnect;
	uint32_t backoff_ms;
	uint32_t backoff_most_ms;
	int backlog;
};

/** mr_message_options_default() - no heartbeats, 1 MiB and 256 KiB of water, 50 ms to 5 s */
struct mr_message_options mr_message_options_default(void);

/** mr_loop_new() - a loop over @x. Return: 0, -ENOMEM, -EMFILE */
int mr_loop_new(struct mr_context *x, struct mr_loop **out);

/** mr_loop_free() - abort all peers (on_close is called), end all servers. NULL is allowed */
void mr_loop_free(struct mr_loop *l);

/**
 * mr_loop_run() - call handlers until the time is over or mr_loop_stop() is called
 * @timeout_ms:	0: what is due now, once; -1: for ever
 *
 * Return: 0, or -EINTR: a signal handler ran
 */
int mr_loop_run(struct mr_loop *l, int timeout_ms);

/** mr_loop_stop() - let mr_loop_run() return behind the running handler; or the next one at once */
void mr_loop_stop(struct mr_loop *l);

/** mr_loop_fd() - readable when mr_loop_run(l, 0) has something to do, limits of time apart */
int mr_loop_fd(struct mr_loop *l);

/**
 * mr_message_listen() - serve peers
 * @h, @o:	copied
 *
 * Return: 0, or -EINVAL (options that do not fit together), -ENOMEM, -ESHUTDOWN (the loop is being
 *	   freed), or what mr_sock_bind() and mr_sock_listen() say
 */
int mr_message_listen(struct mr_loop *l, const struct sockaddr *addr, socklen_t len,
		      const struct mr_message_handlers *h, const struct mr_message_options *o,
		      void *arg, struct mr_message_server **out);

/** mr_message_server_address() - where it listens, as getsockname(2) */
int mr_message_server_address(const struct mr_message_server *s, struct sockaddr *addr,
			      socklen_t *len);

/** mr_message_server_end() - accept nobody more; its peers stay */
void mr_message_server_end(struct mr_message_server *s);

/**
 * mr_message_connect() - a client; on_open or on_close follows
 *
 * Messages may be sent at once: they wait for the connection. Those that were not given to the
 * socket yet when it ends wait for the next one where it reconnects, from the first that was not
 * given whole; whether the last ones before arrived only the application can know.
 *
 * Return: 0, or -EINVAL, -ENOMEM, -ESHUTDOWN
 */
int mr_message_connect(struct mr_loop *l, const struct sockaddr *addr, socklen_t len,
		       const struct mr_message_handlers *h, const struct mr_message_options *o,
		       void *arg, struct mr_peer **out);

/**
 * mr_message_send() - queue a message
 *
 * Return: 0, or -EAGAIN (high_water; on_writable follows), -EMSGSIZE (@tag or @len do not fit the
 *	   format), -EPIPE (the peer is being closed), -ENOMEM; nothing queued
 */
int mr_message_send(struct mr_peer *p, uint64_t tag, const void *value, size_t len);

/**
 * mr_message_reserve(), mr_message_commit() - build a message where it will be sent from
 * @most:	bytes that the value will have at most
 *
 * Nothing is queued before mr_message_commit(), with the bytes written; no other call on @p may
 * stand between. Return: where to write, or NULL: @error out, as mr_message_send()
 */
void *mr_message_reserve(struct mr_peer *p, uint64_t tag, size_t most, int *error);
int mr_message_commit(struct mr_peer *p, size_t len);

/**
 * mr_message_request() - send a message and wait for its reply
 * @reply_tag:	what the reply has; requests with the same one are answered in their order
 * @timeout_ms:	0: no limit
 * @on_reply:	called once: @error 0 with the reply, or -ETIMEDOUT, -ECONNRESET (the connection
 *		ended first), with a @value of NULL. A reply that comes after the time is dropped
 *
 * Return: as mr_message_send(), and then @on_reply is not called
 */
int mr_message_request(struct mr_peer *p, uint64_t tag, const void *value, size_t len,
		       uint64_t reply_tag, uint32_t timeout_ms,
		       void (*on_reply)(struct mr_peer *p, int error, const uint8_t *value,
					size_t len, void *arg),
		       void *arg);

/** mr_peer_resume() - offer again what MR_MESSAGE_AGAIN left, at the loop's next step */
void mr_peer_resume(struct mr_peer *p);

/** mr_peer_close() - read no more; when all that is queued is sent, close. on_close follows */
void mr_peer_close(struct mr_peer *p);

/** mr_peer_abort() - RST; on_close follows */
void mr_peer_abort(struct mr_peer *p);

/** mr_peer_queued() - bytes that were not given to the socket yet */
size_t mr_peer_queued(const struct mr_peer *p);

/** mr_peer_is_open() */
bool mr_peer_is_open(const struct mr_peer *p);

/** mr_peer_data(), mr_peer_set_data() - a word of the program's own; NULL to begin with */
void *mr_peer_data(const struct mr_peer *p);
void mr_peer_set_data(struct mr_peer *p, void *data);

/** mr_peer_address() - the other end, as getpeername(2) */
int mr_peer_address(const struct mr_peer *p, struct sockaddr *addr, socklen_t *len);

/** mr_peer_socket() - its socket, -1: none now. For options and queues; the peer keeps it */
int mr_peer_socket(const struct mr_peer *p);

#ifdef __cplusplus
}
#endif
#endif
